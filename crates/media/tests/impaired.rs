//! What the receiving half has to reach on networks with faults, as far as it can be said without listening:
//! `cargo xtask bench impair` listens.

#[path = "common/impaired.rs"]
#[allow(dead_code, reason = "the bench uses the rest")]
mod impaired;

use std::time::Duration;

use codecs::CodecKind;
use impaired::{Impairment, Line, sharpest};
use media::{Codec, Source, StreamParameters};

const CODECS: [CodecKind; 4] = [
    CodecKind::Opus,
    CodecKind::G722,
    CodecKind::Pcmu,
    CodecKind::Pcma,
];

fn parameters(kind: CodecKind) -> StreamParameters {
    StreamParameters::new(Codec::new(kind, kind.static_payload_type().unwrap_or(111)))
}

/// A tone with two more above it, as a voice has them: 200, 400 and 600 Hz in different strength.
fn hum(seconds: usize) -> Source {
    let samples: Vec<f32> = (0..seconds * 48_000)
        .map(|n| {
            let phase = n as f32 % 240.0 / 240.0 * std::f32::consts::TAU;
            0.2 * phase.sin() + 0.1 * (2.0 * phase).sin() + 0.05 * (3.0 * phase).sin()
        })
        .collect();
    Source::File {
        samples: samples.into(),
        looped: true,
    }
}

#[test]
fn the_buffer_adds_no_more_than_the_network_asks_for() {
    for jitter_ms in [0, 30, 60, 100] {
        let impairment = Impairment {
            jitter: Duration::from_millis(jitter_ms),
            ..Impairment::NONE
        };
        let mut line = Line::new(hum(1), &parameters(CodecKind::Pcmu), impairment, 5);
        line.run(Duration::from_secs(10), |_| {});
        let (mut sum, mut looks) = (0, 0);
        let before = line.counters().concealed_ms();
        line.run(Duration::from_secs(30), |counters| {
            sum += counters.buffer_us() / 1_000;
            looks += 1;
        });
        let (mean, p95) = (sum / looks, line.fates.p95().as_millis() as u64);
        let concealed = line.counters().concealed_ms() - before;
        println!("jitter {jitter_ms} ms: {mean} ms for {p95} ms, {concealed} ms concealed of 30 s");
        assert!(mean <= p95 + 20, "{jitter_ms}: {mean} ms for {p95} ms");
        assert!(concealed <= 300, "{jitter_ms}: {concealed} ms of 30 s");
    }
}

#[test]
fn little_more_is_made_up_than_was_lost() {
    for kind in CODECS {
        for (loss, burst) in [(0.05, 1.0), (0.1, 1.0), (0.05, 3.0)] {
            let impairment = Impairment {
                loss,
                burst,
                jitter: Duration::from_millis(30),
                ..Impairment::NONE
            };
            let mut line = Line::new(hum(1), &parameters(kind), impairment, 6);
            line.run(Duration::from_secs(30), |_| {});
            let lost_ms = 20 * line.fates.lost as u64;
            let concealed = line.counters().concealed_ms();
            println!("{kind}, {loss} in {burst}: {concealed} ms made up, {lost_ms} ms lost");
            assert!(
                concealed <= lost_ms + 400,
                "{kind}, {loss}: {concealed} ms for {lost_ms} ms"
            );
        }
    }
}

#[test]
fn packets_that_overtake_each_other_are_put_in_order() {
    let impairment = Impairment {
        reordered: 0.1,
        ..Impairment::NONE
    };
    let mut line = Line::new(hum(1), &parameters(CodecKind::Pcmu), impairment, 7);
    line.run(Duration::from_secs(10), |_| {});
    let before = line.counters().concealed_ms();
    line.run(Duration::from_secs(30), |_| {});
    let concealed = line.counters().concealed_ms() - before;
    assert_eq!(line.counters().lost(), 0);
    assert!(concealed <= 100, "{concealed} ms of 30 s");
}

#[test]
fn clocks_that_differ_are_followed_without_a_click() {
    for kind in CODECS {
        let steepest = |drift_ppm| {
            let impairment = Impairment {
                drift_ppm,
                ..Impairment::NONE
            };
            let mut line = Line::new(hum(1), &parameters(kind), impairment, 8);
            let mut most = 0;
            line.run(Duration::from_secs(90), |counters| {
                most = most.max(counters.buffer_us() / 1_000);
            });
            let counters = line.counters();
            assert!(most <= 60, "{kind}, {drift_ppm} ppm: {most} ms");
            assert_eq!((counters.lost(), counters.late()), (0, 0));
            // From the third second on; the start may conceal.
            sharpest(&line.heard()[3 * 48_000..])
        };
        let plain = steepest(0.0);
        for drift_ppm in [200.0, -200.0] {
            let steep = steepest(drift_ppm);
            println!("{kind}, {drift_ppm} ppm: {steep:.5}, plain {plain:.5}");
            assert!(
                steep <= plain * 1.25,
                "{kind}, {drift_ppm} ppm: {steep}, plain {plain}"
            );
        }
    }
}

/// Five tones that have no period in common: nothing repeats within what a packet carries.
fn chord(seconds: usize) -> Source {
    let tones = [331.7, 487.3, 729.1, 1_013.9, 1_371.3];
    let samples: Vec<f32> = (0..seconds * 48_000)
        .map(|n| {
            let seconds = n as f64 / 48_000.0;
            let tone = |hz: &f64| (hz * seconds * std::f64::consts::TAU).sin();
            (0.07 * tones.iter().map(tone).sum::<f64>()) as f32
        })
        .collect();
    Source::File {
        samples: samples.into(),
        looped: true,
    }
}

/// A sentence, again and again, with its hisses.
fn sentence(name: &str) -> Source {
    let sound = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/sound");
    Source::File {
        samples: media::wav::load(&std::path::Path::new(sound).join(name)).unwrap(),
        looped: true,
    }
}

#[test]
fn clocks_that_differ_are_followed_without_a_click_where_nothing_repeats() {
    for kind in [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus] {
        let sounds: [(&str, &dyn Fn() -> Source); 3] = [
            ("five tones", &|| chord(120)),
            ("near.wav", &|| sentence("near.wav")),
            ("far.wav", &|| sentence("far.wav")),
        ];
        for (name, sound) in sounds {
            let steepest = |drift_ppm| {
                let impairment = Impairment {
                    drift_ppm,
                    ..Impairment::NONE
                };
                let mut line = Line::new(sound(), &parameters(kind), impairment, 8);
                line.run(Duration::from_secs(180), |_| {});
                let counters = line.counters();
                assert_eq!((counters.lost(), counters.late()), (0, 0));
                sharpest(&line.heard()[3 * 48_000..])
            };
            let plain = steepest(0.0);
            for drift_ppm in [200.0, -200.0] {
                let steep = steepest(drift_ppm);
                println!("{name}, {kind}, {drift_ppm} ppm: {steep:.5}, plain {plain:.5}");
                assert!(
                    steep <= plain * 1.25,
                    "{name}, {kind}, {drift_ppm} ppm: {steep}, plain {plain}"
                );
            }
        }
    }
}
