use super::super::tests::Incoming;
use super::super::{Report, compact_ntp, ntp_from_unix};
use super::*;
use proptest::prelude::*;

/// One value in each field that occurs nowhere else in the block.
const METRICS: VoipMetrics = VoipMetrics {
    ssrc: 0x0102_0304,
    loss_rate: 5,
    discard_rate: 6,
    burst_density: 7,
    gap_density: 8,
    burst_duration_ms: 0x090A,
    gap_duration_ms: 0x0B0C,
    round_trip_ms: 0x0D0E,
    end_system_delay_ms: 0x0F10,
    signal_level_dbm: Some(-20),
    noise_level_dbm: Some(-70),
    echo_return_loss_db: Some(55),
    gmin: 16,
    r_factor: Some(93),
    external_r_factor: None,
    mos_lq: Some(44),
    mos_cq: Some(43),
    concealment: Concealment::Enhanced,
    adaptation: Adaptation::Adaptive,
    adjustment: 9,
    buffer_nominal_ms: 0x1112,
    buffer_maximum_ms: 0x1314,
    buffer_absolute_maximum_ms: 0x1516,
};

/// Field after field as RFC 3611 §4.7 draws them.
const ON_THE_WIRE: [u8; 32] = [
    1,
    2,
    3,
    4, // SSRC of source
    5,
    6,
    7,
    8, // loss, discard, burst and gap rates
    9,
    10,
    11,
    12, // burst and gap duration
    13,
    14,
    15,
    16, // round trip and end system delay
    0xEC,
    0xBA,
    55,
    16, // signal and noise in two's complement, RERL, Gmin
    93,
    127,
    44,
    43, // R, external R, MOS-LQ, MOS-CQ
    0b1011_1001,
    0,
    0x11,
    0x12, // RX config, reserved, JB nominal
    0x13,
    0x14,
    0x15,
    0x16, // JB maximum, JB abs max
];

fn written(extended: ExtendedReport<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let report = Report {
        ssrc: 0xAABB_CCDD,
        cname: "x",
        sender: None,
        blocks: &[],
        extended,
        bye: None,
    };
    report.write(&mut out).unwrap();
    out
}

#[test]
fn each_metric_is_where_the_standard_has_it() {
    assert_eq!(METRICS.to_bytes(), ON_THE_WIRE);
    assert_eq!(VoipMetrics::from_bytes(&ON_THE_WIRE), METRICS);
}

#[test]
fn the_three_blocks_stand_behind_the_name_octet_by_octet() {
    let delays = [ReferenceDelay {
        ssrc: 7,
        last_reference: 0x1234_5678,
        delay: 65_536,
    }];
    let bytes = written(ExtendedReport {
        reference_time: Some(0x0102_0304_0506_0708),
        delays: &delays,
        metrics: Some(METRICS),
    });
    // An empty receiver report, and the name "x" with its zeros.
    let (report, extended) = bytes.split_at(8 + 12);
    assert_eq!(&report[..4], [0x80, 201, 0, 1]);
    assert_eq!(
        &report[8..],
        [0x81, 202, 0, 2, 0xAA, 0xBB, 0xCC, 0xDD, 1, 1, b'x', 0]
    );
    // RFC 3611 §2: length in words less one, then who tells.
    assert_eq!(&extended[..8], [0x80, 207, 0, 17, 0xAA, 0xBB, 0xCC, 0xDD]);
    // §4.4: block type 4 of two words.
    assert_eq!(&extended[8..20], [4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
    // §4.5: block type 5, three words for each.
    assert_eq!(
        &extended[20..36],
        [5, 0, 0, 3, 0, 0, 0, 7, 0x12, 0x34, 0x56, 0x78, 0, 1, 0, 0]
    );
    // §4.7: block type 7 of eight words.
    assert_eq!(&extended[36..40], [7, 0, 0, 8]);
    assert_eq!(&extended[40..], ON_THE_WIRE);

    let read = Incoming::parse(&bytes).unwrap();
    assert_eq!(read.reference_times, [(0xAABB_CCDD, 0x0102_0304_0506_0708)]);
    assert_eq!(read.delays, [(0xAABB_CCDD, delays[0])]);
    assert_eq!(read.metrics, [(0xAABB_CCDD, METRICS)]);
    assert_eq!(read.ignored, 0);
}

#[test]
fn nothing_to_tell_is_no_extended_report() {
    let read = Incoming::parse(&written(ExtendedReport::default())).unwrap();
    assert_eq!((read.ignored, read.metrics.len()), (0, 0));
    assert_eq!(written(ExtendedReport::default()).len(), 8 + 12);
}

#[test]
fn what_no_field_can_mean_is_not_known() {
    let mut bytes = ON_THE_WIRE;
    // Levels and RERL of 127; R of 101 and 255; MOS below 1 and above 5.
    bytes[16..19].fill(127);
    (bytes[20], bytes[21]) = (101, 255);
    (bytes[22], bytes[23]) = (9, 51);
    let read = VoipMetrics::from_bytes(&bytes);
    assert_eq!((read.signal_level_dbm, read.noise_level_dbm), (None, None));
    assert_eq!(read.echo_return_loss_db, None);
    assert_eq!((read.r_factor, read.external_r_factor), (None, None));
    assert_eq!((read.mos_lq, read.mos_cq), (None, None));
}

#[test]
fn blocks_that_we_do_not_know_are_stepped_over() {
    // Packet Receipt Times of one word, and a statistics summary (RFC 3611 §4.3, §4.6), before ours.
    let mut bytes = vec![0x80, 207, 0, 14, 0, 0, 0, 9, 3, 0, 0, 1, 1, 1, 1, 1];
    bytes.extend([6, 0xE0, 0, 1, 0, 0, 0, 1]);
    bytes.extend([7, 0, 0, 8]);
    bytes.extend(ON_THE_WIRE);
    let read = Incoming::parse(&bytes).unwrap();
    assert_eq!((read.metrics, read.ignored), (vec![(9, METRICS)], 0));
}

#[test]
fn a_block_whose_length_lies_costs_the_rest_of_its_report_only() {
    // Too long for its packet; too short for metrics; no whole number of answers; half a clock.
    for (block, length) in [(7u8, 200u8), (7, 7), (5, 4), (4, 1)] {
        let mut bytes = vec![0x80, 207, 0, 10, 0, 0, 0, 9, block, 0, 0, length];
        bytes.extend(ON_THE_WIRE);
        bytes.extend(written(ExtendedReport::default()));
        let read = Incoming::parse(&bytes).unwrap();
        assert_eq!((read.ignored, read.metrics.len()), (1, 0), "{block}");
        assert_eq!((read.delays.len(), read.cnames.len()), (0, 1), "{block}");
    }
    // No room for a block's header, nor for who tells.
    let cut = [0x80, 207, 0, 1, 0, 0, 0, 9, 0x80, 207, 0, 0];
    assert_eq!(Incoming::parse(&cut).unwrap().ignored, 1);
}

#[test]
fn who_only_listens_learns_the_round_trip_from_its_own_clock() {
    let sent = Duration::from_secs(1_700_000_000);
    let delay = ReferenceDelay {
        ssrc: 1,
        last_reference: compact_ntp(ntp_from_unix(sent)),
        delay: 65_536,
    };
    let arrival = ntp_from_unix(sent + Duration::from_millis(1_060));
    let trip = delay.round_trip(arrival).unwrap();
    assert!((59..=61).contains(&trip.as_millis()), "{trip:?}");
    let lies = ReferenceDelay {
        delay: u32::MAX,
        ..delay
    };
    assert_eq!(lies.round_trip(arrival), None);
    let none = ReferenceDelay {
        last_reference: 0,
        ..delay
    };
    assert_eq!(none.round_trip(arrival), None);
}

#[test]
fn more_answers_than_a_report_holds_are_refused() {
    let delays = [ReferenceDelay {
        ssrc: 7,
        last_reference: 1,
        delay: 1,
    }; 32];
    let mut out = Vec::new();
    let report = Report {
        ssrc: 1,
        cname: "x",
        sender: None,
        blocks: &[],
        extended: ExtendedReport {
            delays: &delays,
            ..ExtendedReport::default()
        },
        bye: None,
    };
    assert!(report.write(&mut out).is_err() && out.is_empty());
}

proptest! {
    #[test]
    fn any_metrics_are_read_and_written_alike(bytes in any::<[u8; 32]>()) {
        let read = VoipMetrics::from_bytes(&bytes);
        prop_assert_eq!(VoipMetrics::from_bytes(&read.to_bytes()), read);
    }

    #[test]
    fn any_blocks_are_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..120)) {
        let words = content.len() / 4;
        let mut bytes = vec![0x80, 207, 0, (words + 1) as u8, 0, 0, 0, 9];
        bytes.extend(&content[..words * 4]);
        let _ = Incoming::parse(&bytes);
    }
}
