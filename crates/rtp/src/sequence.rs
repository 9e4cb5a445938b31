//! Numbers that wrap on the wire, continued without wrapping (RFC 1982, RFC 3550 A.1).

/// The unwrapped number closest to `reference` whose low 16 bits are `sequence_number`.
///
/// Reordered numbers from before a wrap come out below those from after it.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // The low bits are what is compared.
pub fn nearest_sequence(reference: i64, sequence_number: u16) -> i64 {
    let step = sequence_number.wrapping_sub(reference as u16).cast_signed();
    reference.saturating_add(i64::from(step))
}

/// The unwrapped timestamp closest to `reference` whose low 32 bits are `timestamp`.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // The low bits are what is compared.
pub fn nearest_timestamp(reference: i64, timestamp: u32) -> i64 {
    let step = timestamp.wrapping_sub(reference as u32).cast_signed();
    reference.saturating_add(i64::from(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_continue_over_the_wrap_in_both_directions() {
        assert_eq!(nearest_sequence(65_534, 1), 65_537);
        assert_eq!(nearest_sequence(65_537, 65_535), 65_535);
        assert_eq!(nearest_sequence(0, 65_535), -1);
        assert_eq!(
            nearest_timestamp(i64::from(u32::MAX), 159),
            i64::from(u32::MAX) + 160
        );
        assert_eq!(nearest_timestamp(10, u32::MAX), -1);
    }

    proptest! {
        #[test]
        fn the_result_is_near_and_has_the_same_low_bits(reference in -1_000_000_000_000i64..1_000_000_000_000, wire: u16, stamp: u32) {
            let sequence = nearest_sequence(reference, wire);
            prop_assert!((sequence - reference).abs() <= 32_768);
            prop_assert_eq!(sequence.rem_euclid(65_536), i64::from(wire));
            let ticks = nearest_timestamp(reference, stamp);
            prop_assert!((ticks - reference).abs() <= 1 << 31);
            prop_assert_eq!(ticks.rem_euclid(1 << 32), i64::from(stamp));
        }
    }
}
