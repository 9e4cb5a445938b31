use super::*;

fn header(sequence_number: u16, timestamp: u32) -> RtpHeader {
    RtpHeader {
        marker: false,
        payload_type: 0,
        sequence_number,
        timestamp,
        ssrc: 1,
    }
}

/// Packets of 20 ms: their sequence number, timestamp and clock, and how many milliseconds after the first they come.
fn placed(packets: &[(u16, u32, u32, u64)]) -> Vec<u32> {
    let (mut timeline, start) = (Timeline::new(48_000), Instant::now());
    let packets = packets.iter();
    packets
        .map(|(sequence, timestamp, clock, at)| {
            let now = start + Duration::from_millis(*at);
            timeline
                .place(now, &header(*sequence, *timestamp), *clock, clock / 50)
                .timestamp
        })
        .collect()
}

#[test]
fn what_follows_in_another_clock_begins_where_the_packet_before_ended() {
    let heard = placed(&[
        (7, 160, 8_000, 0),
        (8, 320, 8_000, 20),
        (9, 71_234, 48_000, 40),
        (10, 72_194, 48_000, 60),
        (11, 900, 8_000, 80),
        (12, 1_060, 8_000, 100),
    ]);
    assert_eq!(heard, [960, 1_920, 2_880, 3_840, 4_800, 5_760]);
}

#[test]
fn what_is_lost_at_the_change_leaves_its_place() {
    let heard = placed(&[(65_535, 160, 8_000, 0), (2, 5, 48_000, 60)]);
    assert_eq!(heard, [960, 960 + 3 * 960]);
}

#[test]
fn what_comes_late_from_before_the_change_is_where_it_belongs() {
    let heard = placed(&[
        (1, 160, 8_000, 0),
        (3, 90_000, 48_000, 40),
        (2, 320, 8_000, 41),
        (4, 90_960, 48_000, 60),
    ]);
    assert_eq!(heard, [960, 2_880, 1_920, 3_840]);
}

#[test]
fn after_a_pause_the_arrival_counts() {
    let heard = placed(&[(1, 160, 8_000, 0), (2, 5, 48_000, 2_000)]);
    assert_eq!(heard, [960, 960 + 96_000]);
}

#[test]
fn the_wrap_of_the_slower_clock_is_none_of_ours() {
    let heard = placed(&[(1, u32::MAX - 159, 8_000, 0), (2, 0, 8_000, 20)]);
    assert_eq!(heard[1].wrapping_sub(heard[0]), 960);
}

#[test]
fn a_change_with_each_packet_keeps_even_time() {
    let mut packets = Vec::new();
    for n in 0..500u16 {
        let at = u64::from(n) * 20;
        packets.push(if n % 2 == 0 {
            (n, u32::from(n) * 160, 8_000, at)
        } else {
            (n, u32::from(n) * 7_777, 48_000, at)
        });
    }
    let heard = placed(&packets);
    assert!(heard.windows(2).all(|two| two[1] - two[0] == 960));
}

proptest::proptest! {
    #[test]
    fn no_stream_panics(packets: Vec<(u16, u32, bool, u16, u32)>) {
        let (mut timeline, start) = (Timeline::new(48_000), Instant::now());
        for (sequence, timestamp, wide, at, ticks) in packets {
            let clock = if wide { 48_000 } else { 8_000 };
            let now = start + Duration::from_millis(at.into());
            let _ = timeline.place(now, &header(sequence, timestamp), clock, ticks);
        }
    }
}
