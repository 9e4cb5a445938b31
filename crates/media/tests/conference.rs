//! Three calls with codecs of three rates are brought together, in virtual time.

mod common;

use std::num::NonZeroU64;
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, align, parameters, read_wav, rms, scratch_file, shared, voice};
use media::{Instead, Sink, Source, StreamHandle, StreamParameters};

const RATE: usize = 48_000;
const KINDS: [CodecKind; 3] = [CodecKind::Pcmu, CodecKind::G722, CodecKind::Opus];

/// Our three calls, and the three who are at their other ends.
struct Conference {
    bench: Bench,
    ours: Vec<StreamHandle>,
    theirs: Vec<StreamHandle>,
    files: Vec<std::path::PathBuf>,
}

impl Conference {
    /// Each of the three says what `says` has for it; the person says `person`.
    fn new(name: &str, says: [Vec<f32>; 3], person: Vec<f32>) -> Self {
        let mut bench = Bench::new();
        let (mut ours, mut theirs, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, said) in KINDS.into_iter().zip(says) {
            let file = scratch_file(&format!("{name}-{kind}"));
            let source = Source::File {
                samples: shared(&said),
                looped: false,
            };
            let (left, right) = bench.pair(
                &parameters(kind),
                (Source::Microphone, Sink::Speaker),
                (source, Sink::Record(file.clone())),
            );
            left.set_room(NonZeroU64::new(5));
            ours.push(left);
            theirs.push(right);
            files.push(file);
        }
        bench.attach_microphone(person);
        bench.attach_speaker();
        Self {
            bench,
            ours,
            theirs,
            files,
        }
    }

    fn run(&mut self, seconds: u64) {
        self.bench.run(Duration::from_secs(seconds));
    }

    /// What each of the three heard, at 48 kHz.
    fn finish(mut self) -> Vec<Vec<f32>> {
        drop((self.ours, self.theirs));
        self.bench.run(Duration::from_millis(50));
        let read = |file: &std::path::PathBuf| {
            let (rate, samples) = read_wav(file);
            std::fs::remove_file(file).unwrap();
            media::resample::convert_all(&samples, rate, 48_000)
        };
        self.files.iter().map(read).collect()
    }
}

/// `said` from second `from` for two seconds, silence around it.
fn in_turn(said: &[f32], from: usize) -> Vec<f32> {
    let mut samples = vec![0.0; from * RATE];
    samples.extend_from_slice(&said[..2 * RATE]);
    samples
}

/// How much of `said` is in what was heard in the two seconds from `from` on: level against the original, and likeness.
fn heard_of(said: &[f32], heard: &[f32], from: usize) -> (f32, f64) {
    // What is under way at the edges of a turn belongs to a neighbour.
    let said = &said[RATE / 4..RATE + RATE / 2];
    let heard = &heard[from * RATE + RATE / 4..];
    let (_, likeness) = align(said, heard, RATE / 4);
    let middle = &heard[RATE / 4..RATE + RATE / 2];
    (rms(middle) / rms(said), likeness)
}

#[test]
fn each_of_three_hears_the_two_others_and_the_person_and_never_itself() {
    let said = voice(2.0);
    let turns = [0, 1, 2].map(|who| in_turn(&said, 2 * who + 1));
    let mut conference = Conference::new("turns", turns, in_turn(&said, 7));
    conference.run(10);
    let speaker = conference.bench.heard().to_vec();
    let heard = conference.finish();
    for (who, kind) in KINDS.into_iter().enumerate() {
        for (speaks, turn) in [(0, 1), (1, 3), (2, 5), (3, 7)] {
            let (level, likeness) = heard_of(&said, &heard[who], turn);
            println!("{kind} hears {speaks}: level {level:.3}, likeness {likeness:.3}");
            if speaks == who {
                assert!(level < 0.003, "{kind} hears itself at {level}");
            } else {
                // Opus and the narrow band on one way change the waveform most.
                assert!(likeness > 0.85, "{kind} hears {speaks}: {likeness}");
                assert!((0.7..1.3).contains(&level), "{kind}, {speaks}: {level}");
            }
        }
    }
    for turn in [1, 3, 5] {
        assert!(
            heard_of(&said, &speaker, turn).1 > 0.85,
            "the person hears them"
        );
    }
    assert!(
        heard_of(&said, &speaker, 7).0 < 0.003,
        "the person hears itself"
    );
}

#[test]
fn who_leaves_or_is_held_neither_hears_nor_is_heard_and_comes_back() {
    let said: Vec<f32> = voice(2.0).into_iter().cycle().take(14 * RATE).collect();
    let silence = || vec![0.0; RATE];
    let mut conference = Conference::new("leaves", [said, silence(), silence()], Vec::new());
    let hold = |stream: &StreamHandle, bench: &Bench, held: bool| {
        stream
            .update(StreamParameters {
                remote: Some(bench.wires[2].address()),
                send: !held,
                receive: !held,
                ..parameters(KINDS[1])
            })
            .unwrap();
    };
    conference.run(3);
    conference.ours[2].set_room(None);
    conference.run(3);
    conference.ours[2].set_room(NonZeroU64::new(5));
    hold(&conference.ours[1], &conference.bench, true);
    conference.run(3);
    hold(&conference.ours[1], &conference.bench, false);
    conference.run(3);
    let heard = conference.finish();
    let level = |who: usize, second: usize| rms(&heard[who][second * RATE..][..2 * RATE]);
    // The second is held and the third out; one second for each change to get there.
    println!(
        "second {:?}, third {:?}",
        [1, 4, 7, 10].map(|s| level(1, s)),
        [1, 4, 7, 10].map(|s| level(2, s))
    );
    assert!(level(1, 1) > 0.03 && level(2, 1) > 0.03);
    assert!(level(1, 4) > 0.03 && level(2, 4) < 0.001);
    assert!(level(1, 7) < 0.001 && level(2, 7) > 0.03);
    assert!(level(1, 10) > 0.03 && level(2, 10) > 0.03);
    assert!(level(0, 1) < 0.001 && level(0, 10) < 0.001);
}

/// Who is recorded is told (47 CFR 64.501): in a conference that is everybody whose voice gets into the file, also who
/// comes later.
#[test]
fn everybody_in_a_recorded_conference_hears_the_tone() {
    let silence = || vec![0.0; RATE];
    let mut conference =
        Conference::new("told", [silence(), silence(), silence()], vec![0.0; RATE]);
    conference.ours[2].set_room(None);
    conference.run(1);
    let file = scratch_file("told-both");
    let recording = media::Recording {
        path: file.clone(),
        tone: media::ConsentTone::AtStart,
    };
    conference.ours[0].record(Some(&recording)).unwrap();
    conference.run(2);
    conference.ours[2].set_room(NonZeroU64::new(5));
    conference.run(2);
    conference.ours[0].record(None).unwrap();
    let here = conference.bench.heard().to_vec();
    let heard = conference.finish();
    let (rate, both) = read_wav(&file);
    std::fs::remove_file(&file).unwrap();
    // The tone is 0.1 of full scale. Each hears it once, at one level, and not once from each side.
    let tone = |samples: &[f32], at: usize| rms(&samples[RATE * at + RATE / 20..][..RATE * 3 / 20]);
    let near = |level: f32| (0.03..0.08).contains(&level);
    for (who, kind) in KINDS.into_iter().enumerate() {
        let levels = [1, 3].map(|at| tone(&heard[who], at));
        println!("{kind}: {levels:?}");
        assert_eq!(near(levels[0]), who != 2, "{kind}: {levels:?}");
        assert!(near(levels[1]), "{kind}: {levels:?}");
        // And then it is over.
        assert!(rms(&heard[who][RATE * 2..RATE * 3]) < 0.001, "{kind}");
        assert!(rms(&heard[who][RATE * 4..RATE * 5]) < 0.001, "{kind}");
    }
    assert!(near(tone(&here, 1)) && near(tone(&here, 3)));
    // In the file it is what the peer heard, so it is on the left.
    let left: Vec<f32> = both.iter().copied().step_by(2).collect();
    let first = rms(&left[rate as usize / 50..rate as usize * 9 / 50]);
    assert!((0.06..0.08).contains(&first), "{first}");
}

#[test]
fn loud_voices_together_are_lowered_and_not_cut_off() {
    // Together these are 6 dB above full scale.
    let tone = |hz: f32| -> Vec<f32> {
        (0..4 * RATE)
            .map(|n| (n as f32 * hz * std::f32::consts::TAU / RATE as f32).sin() * 0.95)
            .collect()
    };
    let mut conference = Conference::new(
        "loud",
        [tone(300.0), tone(410.0), tone(530.0)],
        tone(700.0)[..4 * RATE].to_vec(),
    );
    conference.run(4);
    let heard = conference.finish();
    for (who, kind) in KINDS.into_iter().enumerate() {
        let steady = &heard[who][2 * RATE..3 * RATE];
        let peak = steady.iter().fold(0.0f32, |peak, s| peak.max(s.abs()));
        let full = steady.iter().filter(|s| s.abs() > 0.99).count();
        println!(
            "{kind}: peak {peak:.2}, level {:.2}, {full} at full scale",
            rms(steady)
        );
        assert!(full < 50, "{kind}: {full} samples at full scale");
        assert!(rms(steady) > 0.2, "{kind}");
    }
}

/// Whom we hold hears neither us nor the others of its conference.
#[test]
fn who_hears_something_instead_hears_nobody_of_the_conference() {
    let said: Vec<f32> = voice(2.0).into_iter().cycle().take(8 * RATE).collect();
    let silence = || vec![0.0; RATE];
    let person = said.clone();
    let mut conference = Conference::new("instead", [said, silence(), silence()], person);
    conference.run(4);
    let hold = Instead {
        source: Source::Silence,
        number: 0,
        alone: true,
    };
    conference.ours[1].say_instead(Some(hold)).unwrap();
    conference.run(4);
    let heard = conference.finish();
    let level = |who: usize, second: usize| rms(&heard[who][second * RATE..][..2 * RATE]);
    assert!(level(1, 1) > 0.03 && level(2, 1) > 0.03);
    assert!(level(1, 5) < 0.001, "{}", level(1, 5));
    assert!(level(2, 5) > 0.03);
}
