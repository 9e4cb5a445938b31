use super::*;
use crate::rtcp::ntp_from_unix;
use proptest::prelude::*;

const STEP: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

fn header(ssrc: u32, sequence_number: u16, timestamp: u32) -> RtpHeader {
    RtpHeader {
        marker: false,
        payload_type: 0,
        sequence_number,
        timestamp,
        ssrc,
    }
}

/// Feeds numbers of one source, one each 20 ms of an 8 kHz clock, and tells which are accepted.
fn feed(receiver: &mut Receiver, start: Instant, ssrc: u32, numbers: &[u16]) -> Vec<bool> {
    let verdicts = numbers.iter().zip(0u32..).map(|(number, n)| {
        let timestamp = u32::from(*number).wrapping_mul(160);
        receiver
            .receive(start + STEP * n, &header(ssrc, *number, timestamp))
            .is_accepted()
    });
    verdicts.collect()
}

#[test]
fn the_second_packet_in_a_row_makes_a_source_believable() {
    let mut receiver = Receiver::new(8_000);
    let now = Instant::now();
    assert_eq!(
        receiver.receive(now, &header(1, 500, 0)),
        Verdict::Probation
    );
    assert_eq!(
        receiver.receive(now, &header(1, 900, 0)),
        Verdict::Probation
    );
    let accepted = receiver.receive(now, &header(1, 901, 160));
    assert_eq!(
        accepted,
        Verdict::Accept {
            extended_sequence: 901,
            restarted: true
        }
    );
    assert_eq!(receiver.ssrc(), Some(1));
}

#[test]
fn loss_and_order_are_counted_over_the_wrap() {
    let mut receiver = Receiver::new(8_000);
    let numbers = [65_532, 65_533, 65_534, 0, 65_535, 2, 3, 3, 5];
    let accepted = feed(&mut receiver, Instant::now(), 1, &numbers);
    assert_eq!(
        accepted,
        [false, true, true, true, true, true, true, false, true]
    );
    let statistics = receiver.statistics();
    // 65533 to 5 are nine numbers; 1 and 4 never came.
    assert_eq!(
        (statistics.expected, statistics.received, statistics.lost),
        (9, 7, 2)
    );
    assert_eq!((statistics.duplicates, statistics.reordered), (1, 1));
    let block = receiver.report_block(Instant::now()).unwrap();
    assert_eq!(block.extended_highest_sequence, 65_536 + 5);
    assert_eq!(block.cumulative_lost, 2);
    assert_eq!(block.fraction_lost, u8::try_from(2 * 256 / 9).unwrap());
}

#[test]
fn the_fraction_lost_is_that_since_the_last_report() {
    let mut receiver = Receiver::new(8_000);
    let now = Instant::now();
    feed(&mut receiver, now, 1, &[1, 2, 3, 5]);
    assert!(receiver.report_block(now).unwrap().fraction_lost > 0);
    feed(&mut receiver, now, 1, &[6, 7, 8]);
    let block = receiver.report_block(now).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1));
}

/// RFC 3550 §6.4: a block tells of what came since the last report; that nothing was lost where nothing came is not known.
#[test]
fn of_a_source_that_says_nothing_more_nothing_is_told() {
    let mut receiver = Receiver::new(8_000);
    let now = Instant::now();
    feed(&mut receiver, now, 1, &[1, 2, 3, 4]);
    assert!(receiver.report_block(now).is_some());
    assert_eq!(receiver.report_block(now), None);
    assert_eq!(receiver.report_block(now), None);
    // All that was lost meanwhile is told with the first that comes again.
    feed(&mut receiver, now, 1, &[8]);
    let block = receiver.report_block(now).unwrap();
    assert_eq!((block.cumulative_lost, block.fraction_lost), (3, 192));
}

/// RFC 3550 §6.4.1 counts what was expected and did not come. What a peer sends while we hold it is not expected.
#[test]
fn what_is_sent_while_nobody_listens_is_not_lost() {
    let mut receiver = Receiver::new(8_000);
    let now = Instant::now();
    feed(&mut receiver, now, 1, &[1, 2, 3, 5]);
    assert!(receiver.report_block(now).unwrap().fraction_lost > 0);
    receiver.rest();
    // 6 to 999 are sent meanwhile; 1001 is really lost, and 998 comes late.
    let accepted = feed(&mut receiver, now, 1, &[1_000, 1_002, 998, 1_003]);
    assert_eq!(accepted, [true, true, false, true]);
    let statistics = receiver.statistics();
    assert_eq!(
        (statistics.expected, statistics.received, statistics.lost),
        (8, 6, 2)
    );
    let block = receiver.report_block(now).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (64, 2));
    assert_eq!(block.extended_highest_sequence, 1_003);
    // A peer that has paused too has nothing to forget.
    receiver.rest();
    feed(&mut receiver, now, 1, &[1_004, 1_006]);
    assert_eq!(receiver.statistics().lost, 3);
}

#[test]
fn numbers_that_begin_anew_are_believed_the_second_time() {
    let mut receiver = Receiver::new(8_000);
    let now = Instant::now();
    feed(&mut receiver, now, 1, &[1, 2, 3]);
    assert_eq!(
        receiver.receive(now, &header(1, 40_000, 0)),
        Verdict::Probation
    );
    // A stray packet from the old series in between does not hurt.
    assert!(receiver.receive(now, &header(1, 4, 0)).is_accepted());
    assert_eq!(
        receiver.receive(now, &header(1, 41_000, 0)),
        Verdict::Probation
    );
    let accepted = receiver.receive(now, &header(1, 41_001, 160));
    assert_eq!(
        accepted,
        Verdict::Accept {
            extended_sequence: 41_001,
            restarted: true
        }
    );
    assert_eq!(receiver.statistics().expected, 1);
}

#[test]
fn another_source_takes_over_when_the_first_is_silent_and_not_before() {
    let mut receiver = Receiver::new(8_000);
    let start = Instant::now();
    feed(&mut receiver, start, 1, &[1, 2, 3, 4]);
    let talking = start + STEP * 4;
    for n in 0..5 {
        let verdict = receiver.receive(talking, &header(2, 100 + n, 0));
        assert_eq!(verdict, Verdict::Foreign);
    }
    assert_eq!(receiver.ssrc(), Some(1));
    let later = talking + SILENCE_BEFORE_CHANGE;
    let accepted = receiver.receive(later, &header(2, 105, 0));
    assert_eq!(
        accepted,
        Verdict::Accept {
            extended_sequence: 105,
            restarted: true
        }
    );
    assert_eq!(
        (receiver.ssrc(), receiver.statistics().restarts),
        (Some(2), 2)
    );
}

/// RFC 3550 §6.4.1: a report block tells what was lost of its source. Over all that were heard it is the sum.
#[test]
fn what_was_lost_of_each_source_is_told_of_it_and_of_all() {
    let mut receiver = Receiver::new(8_000);
    let start = Instant::now();
    let mut told = Vec::new();
    // The third is the second, with numbers that begin anew.
    for (nth, ssrc, first) in [(0, 1, 10), (1, 2, 500), (2, 2, 30_000), (3, 3, 7)] {
        // What was doubted at the beginning is not expected; of the others, one is lost after each.
        let numbers: Vec<u16> = [first]
            .into_iter()
            .chain((1..40).step_by(2).map(|n| first + n))
            .collect();
        let at = start + SECOND * nth;
        feed(&mut receiver, at, ssrc, &numbers);
        let block = receiver.report_block(at).unwrap();
        let statistics = receiver.statistics();
        assert_eq!((statistics.lost, block.cumulative_lost), (19, 19), "{nth}");
        told.push(statistics.lost_in_all);
    }
    assert_eq!(told, [19, 38, 57, 76]);
}

#[test]
fn jitter_of_even_packets_is_zero_and_grows_with_uneven_ones() {
    let mut receiver = Receiver::new(8_000);
    let start = Instant::now();
    for n in 0..50u16 {
        let at = start + STEP * u32::from(n);
        let _ = receiver.receive(at, &header(1, n, u32::from(n) * 160));
    }
    assert_eq!(receiver.statistics().jitter, Duration::ZERO);
    for n in 50..400u16 {
        let late = Duration::from_millis(u64::from(n % 2) * 8);
        let at = start + STEP * u32::from(n) + late;
        let _ = receiver.receive(at, &header(1, n, u32::from(n) * 160));
    }
    // Each step differs by 8 ms from the one before: the mean difference is 8 ms.
    let jitter = receiver.statistics().jitter;
    assert!((7..=8).contains(&jitter.as_millis()), "{jitter:?}");
}

#[test]
fn a_sender_report_is_echoed_with_its_age() {
    let mut receiver = Receiver::new(8_000);
    let start = Instant::now();
    feed(&mut receiver, start, 7, &[1, 2]);
    assert_eq!(receiver.report_block(start).unwrap().last_sr, 0);
    feed(&mut receiver, start, 7, &[3]);
    let ntp = ntp_from_unix(Duration::from_secs(1_700_000_000));
    receiver.on_sender_report(start, 99, ntp);
    assert_eq!(receiver.report_block(start).unwrap().last_sr, 0);
    feed(&mut receiver, start, 7, &[4]);
    receiver.on_sender_report(start, 7, ntp);
    let block = receiver
        .report_block(start + Duration::from_millis(1_500))
        .unwrap();
    assert_eq!(block.last_sr, compact_ntp(ntp));
    assert_eq!(block.delay_since_last_sr, 65_536 * 3 / 2);
}

proptest! {
    #[test]
    fn any_numbers_at_any_time_are_survived(packets in proptest::collection::vec((0u32..3, prop_oneof![any::<u16>(), 0u16..300], any::<u32>(), 0u64..200_000, 0u8..10), 0..200)) {
        let mut receiver = Receiver::new(48_000);
        let mut now = Instant::now();
        for (ssrc, number, timestamp, wait, rests) in packets {
            if rests == 0 {
                receiver.rest();
            }
            now += Duration::from_millis(wait);
            let _ = receiver.receive(now, &header(ssrc, number, timestamp));
            let statistics = receiver.statistics();
            prop_assert!(statistics.received <= statistics.expected);
            let _ = receiver.report_block(now);
        }
    }
}

/// RFC 7160 §4.3: what was measured on one clock is the same time on another.
#[test]
fn jitter_is_the_same_time_on_another_clock_and_none_is_between_them() {
    let (mut receiver, start) = (Receiver::new(8_000), Instant::now());
    for n in 0..200u16 {
        // Every second packet is 8 ms late.
        let at = start + STEP * u32::from(n) + Duration::from_millis(u64::from(n % 2) * 8);
        let _ = receiver.receive(at, &header(1, n, u32::from(n) * 160));
    }
    let before = receiver.statistics().jitter;
    let at = start + STEP * 200;
    let _ = receiver.receive_on(at, &header(1, 200, 3_000_000), Some(48_000));
    let after = receiver.statistics().jitter;
    assert!(
        before.abs_diff(after) < Duration::from_millis(1),
        "{before:?}, {after:?}"
    );
    // A packet whose timestamp says nothing.
    let at = start + STEP * 201;
    let _ = receiver.receive_on(at, &header(1, 201, 17), None);
    assert_eq!(receiver.statistics().jitter, after);
    // In 48 kHz the block counts in 48 kHz (RFC 3550 §6.4.1).
    let block = receiver.report_block(at).expect("it was heard");
    let ticks = after.as_micros() * 48 / 1_000;
    assert!(u128::from(block.jitter).abs_diff(ticks) <= 1);
}
