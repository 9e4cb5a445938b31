//! Counts what the pump allocates and frees while it works: nothing.

mod common;

use std::cell::Cell;
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, parameters, security, shared, voice};
use media::{ExtendedReports, Sink, Source, StreamParameters, Suite};
use testkit::Counting;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count(_: isize) {
    if WATCHED.try_with(Cell::get).unwrap_or(false) {
        COUNT.with(|count| count.set(count.get() + 1));
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

/// With all that reports can have.
fn talkative(kind: CodecKind) -> StreamParameters {
    StreamParameters {
        extended_reports: ExtendedReports {
            metrics: true,
            round_trip: true,
        },
        ..parameters(kind)
    }
}

#[test]
fn a_warm_pump_neither_allocates_nor_frees() {
    let mut bench = Bench::new();
    let mut streams = Vec::new();
    for kind in [
        CodecKind::Pcmu,
        CodecKind::Pcma,
        CodecKind::G722,
        CodecKind::Opus,
    ] {
        let looped = Source::File {
            samples: shared(&voice(1.0)),
            looped: true,
        };
        streams.push(bench.pair(
            &talkative(kind),
            (Source::Microphone, Sink::Speaker),
            (Source::Echo, Sink::Discard),
        ));
        streams.push(bench.pair(
            &talkative(kind),
            (looped, Sink::Speaker),
            (Source::Tone { hz: 300.0 }, Sink::Speaker),
        ));
    }
    for suite in Suite::ALL {
        let secured = StreamParameters {
            security: Some(security(suite, 1, 2)),
            ..talkative(CodecKind::Pcmu)
        };
        streams.push(bench.pair(
            &secured,
            (Source::Microphone, Sink::Speaker),
            (Source::Echo, Sink::Discard),
        ));
    }
    for wire in &mut bench.wires {
        wire.loss = 0.05;
    }
    bench.attach_microphone(voice(3.0));
    bench.attach_speaker();
    bench.run(Duration::from_millis(500));
    let mut worst = 0;
    // The first reports come after a second and more.
    for _ in 0..400 {
        let ntp = bench.ticks << 32;
        for wire in &mut bench.wires {
            wire.step(bench.now);
        }
        COUNT.set(0);
        WATCHED.set(true);
        bench.pump.step(bench.now, ntp);
        WATCHED.set(false);
        worst = worst.max(COUNT.get());
        bench.now += common::TICK;
        bench.ticks += 1;
    }
    assert_eq!(worst, 0, "allocations in one step");
    for (left, right) in &streams {
        let reports = left.counters().reports_received() + right.counters().reports_received();
        assert!(reports >= 2 && left.counters().peer_metrics().is_some());
    }
    let heard: u64 = streams
        .iter()
        .map(|(left, _)| left.counters().received())
        .sum();
    assert!(heard > 200, "{heard}");
}
