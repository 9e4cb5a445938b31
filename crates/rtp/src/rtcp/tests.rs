use std::time::Instant;

use super::xr::{ReferenceDelay, VoipMetrics};
use super::*;
use proptest::prelude::*;

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0xAABB_CCDD,
    fraction_lost: 12,
    cumulative_lost: -3,
    extended_highest_sequence: 70_000,
    jitter: 42,
    last_sr: 0x1234_5678,
    delay_since_last_sr: 65_536,
};
const INFO: SenderInfo = SenderInfo {
    ntp_timestamp: 0x0102_0304_0506_0708,
    rtp_timestamp: 9,
    packet_count: 10,
    octet_count: 1_600,
};

/// One compound that was received, sorted by what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::rtcp) struct Incoming {
    pub(in crate::rtcp) senders: Vec<(u32, SenderInfo)>,
    pub(in crate::rtcp) blocks: Vec<(u32, ReportBlock)>,
    pub(in crate::rtcp) cnames: Vec<(u32, String)>,
    pub(in crate::rtcp) leaving: Vec<u32>,
    pub(in crate::rtcp) leaving_reason: Option<String>,
    pub(in crate::rtcp) reference_times: Vec<(u32, u64)>,
    pub(in crate::rtcp) delays: Vec<(u32, ReferenceDelay)>,
    pub(in crate::rtcp) metrics: Vec<(u32, VoipMetrics)>,
    pub(in crate::rtcp) ignored: usize,
}

impl Incoming {
    pub(in crate::rtcp) fn parse(datagram: &[u8]) -> Result<Self, RtcpError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut incoming = Self::default();
        let ignored = read(datagram, |item| match item {
            Item::Sender { from, info } => incoming.senders.push((from, info)),
            Item::Block { from, block } => incoming.blocks.push((from, block)),
            Item::Name { of, name } => incoming.cnames.push((of, text(name))),
            Item::Leaving { who } => incoming.leaving.push(who),
            Item::Reason { reason } => incoming.leaving_reason = Some(text(reason)),
            Item::ReferenceTime { from, ntp } => incoming.reference_times.push((from, ntp)),
            Item::Delay { from, delay } => incoming.delays.push((from, delay)),
            Item::Metrics { from, metrics } => incoming.metrics.push((from, metrics)),
        })?;
        incoming.ignored = ignored;
        Ok(incoming)
    }
}

fn written(sender: Option<SenderInfo>, blocks: &[ReportBlock], bye: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let report = Report {
        ssrc: 5,
        cname: "x7f@tipring",
        sender,
        blocks,
        extended: ExtendedReport::default(),
        bye,
    };
    report.write(&mut out).unwrap();
    out
}

#[test]
fn a_compound_is_read_as_it_was_written() {
    let bytes = written(Some(INFO), &[BLOCK], Some("hung up"));
    assert!(crate::looks_like_rtcp(&bytes));
    let read = Incoming::parse(&bytes).unwrap();
    assert_eq!(read.senders, [(5, INFO)]);
    assert_eq!(read.blocks, [(5, BLOCK)]);
    assert_eq!(read.cnames, [(5, "x7f@tipring".to_owned())]);
    assert_eq!(read.leaving, [5]);
    assert_eq!(read.leaving_reason.as_deref(), Some("hung up"));
    assert_eq!(read.ignored, 0);
}

#[test]
fn who_sends_nothing_writes_a_receiver_report() {
    let read = Incoming::parse(&written(None, &[BLOCK], None)).unwrap();
    assert!(read.senders.is_empty() && read.leaving.is_empty());
    assert_eq!(read.blocks, [(5, BLOCK)]);
    let empty = Incoming::parse(&written(None, &[], Some(""))).unwrap();
    assert_eq!((empty.leaving, empty.leaving_reason), (vec![5], None));
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_no_bytes() {
    let mut out = vec![1, 2, 3];
    let long = "n".repeat(300);
    let report = Report {
        ssrc: 1,
        cname: &long,
        sender: None,
        blocks: &[],
        extended: ExtendedReport::default(),
        bye: None,
    };
    assert!(report.write(&mut out).is_err());
    let many = [BLOCK; 32];
    let report = Report {
        ssrc: 1,
        cname: "n",
        sender: None,
        blocks: &many,
        extended: ExtendedReport::default(),
        bye: None,
    };
    assert!(report.write(&mut out).is_err());
    let reason = "r".repeat(300);
    let report = Report {
        ssrc: 1,
        cname: "n",
        sender: None,
        blocks: &[],
        extended: ExtendedReport::default(),
        bye: Some(&reason),
    };
    assert!(report.write(&mut out).is_err());
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn a_length_that_lies_costs_the_rest_of_its_datagram_only() {
    let mut bytes = written(Some(INFO), &[BLOCK], None);
    let sdes_length = 52 + 3;
    bytes[sdes_length] = 200;
    let read = Incoming::parse(&bytes).unwrap();
    assert_eq!(
        (read.senders.len(), read.blocks.len(), read.ignored),
        (1, 1, 1)
    );
    // More report blocks announced than there are.
    let mut bytes = written(None, &[], None);
    bytes[0] |= 31;
    let read = Incoming::parse(&bytes).unwrap();
    assert!(read.blocks.is_empty());
    assert_eq!((read.ignored, read.cnames.len()), (1, 1));
}

#[test]
fn unknown_parts_are_stepped_over() {
    let mut bytes = vec![0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]; // feedback
    bytes.extend(written(None, &[BLOCK], None));
    let read = Incoming::parse(&bytes).unwrap();
    assert_eq!((read.ignored, read.blocks.len()), (1, 1));
    assert_eq!(Incoming::parse(b"GET"), Err(RtcpError::NotRtcp));
    assert_eq!(
        Incoming::parse(&[0x80, 200, 9, 9]),
        Err(RtcpError::NothingReadable(4))
    );
}

#[test]
fn the_round_trip_leaves_out_the_time_at_the_far_end() {
    let sent = Duration::from_secs(1_700_000_000);
    let block = ReportBlock {
        last_sr: compact_ntp(ntp_from_unix(sent)),
        delay_since_last_sr: 65_536 * 2,
        ..BLOCK
    };
    let arrival = ntp_from_unix(sent + Duration::from_millis(2_080));
    let trip = round_trip(&block, arrival).unwrap();
    assert!((79..=81).contains(&trip.as_millis()), "{trip:?}");
    assert_eq!(
        round_trip(
            &ReportBlock {
                last_sr: 0,
                ..block
            },
            arrival
        ),
        None
    );
    // Who counts in steps of 10 ms may come to more than all of it; who comes to much more is wrong.
    for (more_ms, told) in [(9, Some(Duration::ZERO)), (11, None)] {
        let coarse = ReportBlock {
            delay_since_last_sr: (2_080 + more_ms) * 65_536 / 1_000,
            ..block
        };
        assert_eq!(round_trip(&coarse, arrival), told, "{more_ms} ms");
    }
    let lying = ReportBlock {
        delay_since_last_sr: u32::MAX,
        ..block
    };
    assert_eq!(round_trip(&lying, arrival), None);
}

#[test]
fn unix_time_is_told_as_seconds_since_1900() {
    let ntp = ntp_from_unix(Duration::new(0, 500_000_000));
    assert_eq!(ntp, (2_208_988_800 << 32) | 0x8000_0000);
    assert_eq!(compact_ntp(0x1111_2222_3333_4444), 0x2222_3333);
}

#[test]
fn intervals_spread_around_five_seconds_and_the_first_is_shorter() {
    let mut total = Duration::ZERO;
    let mut sent = 0u32;
    for seed in 0..50 {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 80_000, seed);
        let mut last = start;
        for n in 0..40 {
            let now = schedule.deadline();
            if !schedule.handle_timeout(now) {
                assert!(schedule.deadline() > now);
                continue;
            }
            let gap = now - last;
            if n > 0 && last > start {
                // 0.5 to 1.5 times 5 s, over 1.21828 (RFC 3550 §6.3.1).
                assert!((2.05..=6.2).contains(&gap.as_secs_f64()), "{gap:?}");
                total += gap;
                sent += 1;
            } else {
                assert!((1.0..=3.1).contains(&gap.as_secs_f64()), "{gap:?}");
            }
            schedule.on_sent(now, 100);
            schedule.on_received(100);
            last = now;
        }
    }
    let mean = total.as_secs_f64() / f64::from(sent);
    assert!((4.3..=5.7).contains(&mean), "{mean}");
}

#[test]
fn a_narrow_session_reports_more_rarely() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start, 2_000, 3);
    schedule.on_sent(start, 200);
    // 296 bytes at 12.5 bytes a second.
    assert!(schedule.deadline() - start > Duration::from_secs(9));
    assert!(!schedule.handle_timeout(start));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Incoming::parse(&bytes);
    }

    #[test]
    fn a_damaged_compound_is_read_or_refused(at in 0usize..92, value: u8, cut in 0usize..92) {
        let mut bytes = written(Some(INFO), &[BLOCK], Some("gone"));
        let length = bytes.len();
        bytes[at % length] = value;
        let _ = Incoming::parse(&bytes);
        bytes.truncate(cut);
        let _ = Incoming::parse(&bytes);
    }

    #[test]
    fn padding_and_names_of_any_kind_are_survived(items in proptest::collection::vec(any::<u8>(), 0..60), padded: bool) {
        let words = items.len() / 4;
        let mut bytes = vec![if padded { 0xA1 } else { 0x81 }, 202, 0, (words + 1) as u8, 0, 0, 0, 9];
        bytes.extend(&items[..words * 4]);
        let _ = Incoming::parse(&bytes);
    }
}
