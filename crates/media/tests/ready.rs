//! What is said in place of the microphone and was converted ahead of time.

mod common;

use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, parameters, shared};
use media::{Instead, Ready, Sink, Source, StreamParameters};

/// The two are told apart by their loudness: what was made ready is not made again, and where it is for another rate than
/// the codec's the file itself is heard, from where it was.
#[test]
fn what_was_made_ready_is_played_as_it_is_while_the_codec_has_its_rate() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Silence, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    let level = |bench: &mut Bench| {
        bench.run(Duration::from_secs(1));
        right.counters().receive_level()
    };
    let what = |number| {
        let source = Source::File {
            samples: shared(&vec![0.2; 48_000 * 3]),
            looped: true,
        };
        Some(Instead {
            source,
            number,
            alone: true,
        })
    };
    let ready = |rate_hz| Ready::new(&vec![0.4; 48_000 * 3], rate_hz);
    left.say_ready(what(1), Some(&ready(8_000))).unwrap();
    assert!((0.35..0.45).contains(&level(&mut bench)));
    assert!((0.35..0.45).contains(&level(&mut bench)));
    for (stream, to) in [(&left, 0), (&right, 1)] {
        stream
            .update(StreamParameters {
                remote: Some(bench.wires[to].address()),
                ..parameters(CodecKind::G722)
            })
            .unwrap();
    }
    bench.run(Duration::from_millis(200));
    assert!((0.15..0.25).contains(&level(&mut bench)));
    left.say_ready(what(2), Some(&ready(8_000))).unwrap();
    bench.run(Duration::from_millis(200));
    assert!((0.15..0.25).contains(&level(&mut bench)));
    left.say_ready(what(3), Some(&ready(16_000))).unwrap();
    bench.run(Duration::from_millis(200));
    assert!((0.35..0.45).contains(&level(&mut bench)));
}
