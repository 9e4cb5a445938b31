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

/// G.107: half of the packets lost is as bad as it gets, however long all was well before; and it is good again when it is.
#[test]
fn the_quality_of_each_second_is_that_of_this_second() {
    let mut bench = Bench::new();
    let speech = || Source::File {
        samples: shared(&voice(2.0)),
        looped: true,
    };
    let (_left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (speech(), Sink::Discard),
        (speech(), Sink::Discard),
    );
    let mut told = Vec::new();
    for loss in [0.0, 0.5, 0.0, 0.03] {
        bench.wires[0].loss = loss;
        for _ in 0..60 {
            bench.run(Duration::from_secs(1));
            told.push(right.counters().mos().unwrap_or_default());
        }
    }
    let mean = |seconds: std::ops::Range<usize>| {
        let count = seconds.len() as f32;
        told[seconds].iter().sum::<f32>() / count
    };
    // What is under way when it changes is of both.
    let [clear, half, again, some] = [(2..60), (62..120), (122..180), (182..240)].map(mean);
    println!(
        "{clear:.2} without loss, {half:.2} with half lost, {again:.2} without, {some:.2} with 3 %"
    );
    assert!(clear > 4.3 && again > 4.2, "{told:?}");
    assert!(half < 2.0, "{told:?}");
    assert!((3.7..4.4).contains(&some), "{told:?}");
    // The very next second tells it.
    assert!(told[61] < 2.6, "{told:?}");
    // The reports are about the whole source: 50 % and 3 % of a quarter each, of 256.
    let metrics = right.counters().metrics().expect("it was heard");
    assert!((24..=44).contains(&metrics.loss_rate), "{metrics:?}");
}
