//! What the two ends of a call tell each other of how they hear (RFC 3611).

mod common;

use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, parameters, shared, voice};
use media::{ExtendedReports, Sink, Source, StreamParameters};

#[test]
fn each_end_learns_how_it_is_heard_where_it_asks_for_that() {
    let mut bench = Bench::new();
    let speech = || Source::File {
        samples: shared(&voice(2.0)),
        looped: true,
    };
    let asks = StreamParameters {
        extended_reports: ExtendedReports {
            metrics: true,
            round_trip: true,
        },
        ..parameters(CodecKind::Pcmu)
    };
    let (left, right) = bench.pair(&asks, (speech(), Sink::Discard), (speech(), Sink::Discard));
    let silent = parameters(CodecKind::Pcmu);
    let (other, _further) = bench.pair(
        &silent,
        (speech(), Sink::Discard),
        (speech(), Sink::Discard),
    );
    // One way of the first call loses one packet in ten, and delays.
    bench.wires[0].loss = 0.1;
    bench.wires[0].delay = Duration::from_millis(30);
    bench.run(Duration::from_secs(20));

    let heard = right
        .counters()
        .metrics()
        .expect("there was enough to hear");
    let told = left.counters().peer_metrics().expect("a report has come");
    assert_eq!(told.ssrc, heard.ssrc);
    for metrics in [heard, told] {
        // A tenth is 25 in 256.
        assert!((12..=40).contains(&metrics.loss_rate), "{metrics:?}");
        assert!(
            metrics.burst_density > 0 && metrics.burst_duration_ms >= 40,
            "{metrics:?}"
        );
        assert!(
            metrics.gap_duration_ms > metrics.burst_duration_ms / 8,
            "{metrics:?}"
        );
        assert_eq!(metrics.gmin, 16);
        assert!(metrics.r_factor.is_some_and(|r| r < 85), "{metrics:?}");
        assert!(
            metrics.mos_lq >= metrics.mos_cq && metrics.mos_cq.is_some(),
            "{metrics:?}"
        );
        // A packet and devices, and the buffer.
        assert!(metrics.end_system_delay_ms >= 60, "{metrics:?}");
        assert_eq!(metrics.buffer_absolute_maximum_ms, 400);
        assert!(
            metrics
                .signal_level_dbm
                .is_some_and(|dbm| (-40..4).contains(&dbm)),
            "{metrics:?}"
        );
    }
    // The other way is perfect, and is said to be.
    let clear = right.counters().peer_metrics().expect("a report has come");
    assert_eq!(
        (
            clear.loss_rate,
            clear.burst_density,
            clear.burst_duration_ms
        ),
        (0, 0, 0)
    );
    assert!(clear.r_factor.is_some_and(|r| r >= 90), "{clear:?}");
    // What is measured is known to everybody, and told to who asks.
    assert!(other.counters().metrics().is_some());
    assert_eq!(other.counters().peer_metrics(), None);
}

/// RFC 3611 §4.7: the block is about one source. What the one before it lost, or sent too late, is not this one's.
#[test]
fn a_new_source_is_judged_by_itself() {
    let mut bench = Bench::new();
    let tone = || (Source::Tone { hz: 440.0 }, Sink::Discard);
    let (left, right) = bench.pair(&parameters(CodecKind::Pcmu), tone(), tone());
    bench.wires[0].loss = 0.2;
    bench.wires[0].jitter = Duration::from_millis(200);
    bench.run(Duration::from_secs(10));
    let before = right.counters().metrics().unwrap();
    assert!(
        before.loss_rate > 30 && before.discard_rate > 0,
        "{before:?}"
    );
    bench.wires[0].loss = 0.0;
    bench.wires[0].jitter = Duration::ZERO;
    drop(left);
    bench.run(Duration::from_secs(1));
    let (other, _control) = media::socket::bind_pair(common::HERE, 0..=0).unwrap();
    let config = media::StreamConfig {
        source: Source::Tone { hz: 440.0 },
        sink: Sink::Discard,
        ..media::StreamConfig::new(
            other,
            StreamParameters {
                remote: Some(bench.wires[0].address()),
                ..parameters(CodecKind::Pcmu)
            },
            99,
        )
    };
    let _other = bench.handle.add_stream(config).unwrap();
    bench.run(Duration::from_secs(10));
    let after = right.counters().metrics().unwrap();
    assert_ne!(after.ssrc, before.ssrc);
    assert_eq!((after.loss_rate, after.discard_rate), (0, 0), "{after:?}");
    assert_eq!(
        (after.burst_density, after.gap_density),
        (0, 0),
        "{after:?}"
    );
    assert_eq!(right.counters().discarded(), 0);
    assert!(after.mos_lq >= Some(42), "{after:?}");
}

#[test]
fn whether_somebody_speaks_is_known_of_both_directions() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Opus),
        (Source::Tone { hz: 440.0 }, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.run(Duration::from_secs(2));
    assert!(left.counters().we_speak() && !left.counters().they_speak());
    assert!(right.counters().they_speak() && !right.counters().we_speak());
    left.set_muted(true);
    bench.run(Duration::from_secs(1));
    assert!(!left.counters().we_speak() && !right.counters().they_speak());
}
