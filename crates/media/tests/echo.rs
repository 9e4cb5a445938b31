//! What the loudspeaker plays does not come back to who said it, and whoever speaks near by is heard all the same:
//! `cargo xtask bench echo` scores the same conversations.

mod common;
#[path = "common/echo.rs"]
#[allow(dead_code, reason = "the bench uses the rest")]
mod echo;

use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, parameters, shared};
use echo::{Room, conversation, level_db, sentence};
use media::{Processing, Sink, Source, Voice};

const ECHO: Processing = Processing {
    echo: true,
    ..Processing::NONE
};

/// What is asked of a conversation at least and at most, in dB, of one, and per cent.
struct Goal {
    down_db: f32,
    after_db: f32,
    near_db: f32,
    likeness: f32,
    swallowed: f32,
}

/// What a room without tricks has to come to.
const GOAL: Goal = Goal {
    down_db: 30.0,
    after_db: 30.0,
    near_db: -2.0,
    likeness: 0.7,
    swallowed: 12.0,
};

fn check(name: &str, room: &Room, processing: Processing, goal: &Goal) {
    let outcome = conversation(room, processing);
    let swallowed = outcome.swallowed * 100.0;
    println!(
        "{name}, {processing:?}: {:.1} dB down, {:.1} dB after both spoke; near speech {:+.1} dB, likeness {:.3}, {swallowed:.1} % swallowed",
        outcome.down_db, outcome.after_db, outcome.near_db, outcome.likeness,
    );
    assert!(outcome.down_db >= goal.down_db, "{name}");
    assert!(outcome.after_db >= goal.after_db, "{name}");
    assert!(outcome.near_db >= goal.near_db, "{name}");
    assert!(outcome.likeness >= goal.likeness, "{name}");
    assert!(swallowed <= goal.swallowed, "{name}");
}

#[test]
fn an_echo_is_30_db_down_after_two_seconds_and_near_speech_is_kept() {
    for delay_ms in [40, 100, 200] {
        check(&format!("{delay_ms} ms"), &Room::new(delay_ms), ECHO, &GOAL);
    }
}

#[test]
fn near_speech_is_kept_with_all_that_is_done_to_it() {
    // Noise suppression lowers faint sounds a little more.
    let goal = Goal {
        swallowed: 16.0,
        ..GOAL
    };
    for delay_ms in [40, 200] {
        check(
            &format!("{delay_ms} ms"),
            &Room::new(delay_ms),
            Processing::ALL,
            &goal,
        );
    }
}

#[test]
fn a_room_that_resounds_and_a_loudspeaker_that_is_driven_hard_are_no_worse() {
    let room = Room::new(40);
    check("reverberant", &room.clone().reverberant(), ECHO, &GOAL);
    check("driven", &room.driven(4.0), ECHO, &GOAL);
}

#[test]
fn two_seconds_after_the_microphone_was_moved_the_echo_is_down_again() {
    let goal = Goal {
        near_db: -2.5,
        swallowed: 29.0,
        ..GOAL
    };
    check("moved", &Room::new(40).moved(), ECHO, &goal);
}

#[test]
fn a_clock_that_drifts_is_followed() {
    let goal = Goal {
        after_db: 20.0,
        likeness: 0.65,
        ..GOAL
    };
    check("drift", &Room::new(40).drifting(100.0), ECHO, &goal);
}

#[test]
fn a_quiet_echo_and_noise_cost_near_speech_little() {
    // What is left lies at the noise, and no lower.
    let room = Room::new(40);
    let goal = Goal {
        swallowed: 3.0,
        ..GOAL
    };
    check("quiet", &room.clone().quieter(14.0), ECHO, &goal);
    let goal = Goal {
        down_db: 22.0,
        after_db: 24.0,
        swallowed: 5.0,
        ..GOAL
    };
    check("noise", &room.noisy(-50.0), ECHO, &goal);
}

#[test]
fn of_who_has_a_headset_hardly_a_frame_is_lost() {
    let goal = Goal {
        down_db: f32::NEG_INFINITY,
        after_db: f32::NEG_INFINITY,
        swallowed: 3.0,
        near_db: -1.0,
        likeness: 0.7,
    };
    check("headset", &Room::headset(), ECHO, &goal);
}

/// A call of an account that wants something else done begins beside this one, or ends: the room is still the same.
#[test]
fn what_was_learned_of_the_room_stays_when_something_else_is_done() {
    let room = Room::new(40);
    let far = sentence("far.wav");
    let played: Vec<f32> = far.iter().cycle().take(48_000 * 16).copied().collect();
    let echo: Vec<f32> = (0..played.len()).map(|at| room.echo(&played, at)).collect();
    // Where it changes, in seconds, and to what.
    let changes = [
        (4, Processing::ALL),
        (6, ECHO),
        (8, Processing::NONE),
        (10, Processing::ALL),
    ];
    let run = |change: fn(&mut Voice, Processing)| -> Vec<f32> {
        let mut voice = Voice::new(ECHO).expect("there is something to do");
        let mut sent = Vec::with_capacity(played.len());
        let frames = played.chunks_exact(480).zip(echo.chunks_exact(480));
        for (step, (played, heard)) in frames.enumerate() {
            let now = changes.iter().find(|(at_s, _)| at_s * 100 == step);
            if let Some((_, processing)) = now {
                change(&mut voice, *processing);
            }
            let mut frame: [f32; 480] = heard.try_into().expect("a frame is a frame");
            voice.far_end(played.try_into().expect("a frame is a frame"));
            voice.near_end(&mut frame, 0);
            sent.extend(frame);
        }
        sent
    };
    let kept = run(Voice::change);
    let anew = run(|voice, processing| match Voice::new(processing) {
        Some(new) => *voice = new,
        None => voice.change(processing),
    });
    // In the second after it, but for the time in which it fades.
    let down = |sent: &[f32], at_s: usize| {
        let second = at_s * 48_000 + 1_440..(at_s + 1) * 48_000;
        level_db(&echo[second.clone()]) - level_db(&sent[second])
    };
    for (at_s, processing) in changes {
        let (kept, anew) = (down(&kept, at_s), down(&anew, at_s));
        println!("{at_s} s, {processing:?}: {kept:.1} dB down, {anew:.1} dB from the beginning");
        if processing == Processing::NONE {
            assert!(kept.abs() < 0.1, "nothing is done");
        } else {
            assert!(kept >= 30.0, "{at_s} s");
            assert!(kept >= anew + 5.0, "{at_s} s");
        }
    }
}

/// How loud the peer hears itself, in dB: what it says goes through the pump to the loudspeaker, through a room to the
/// microphone, and back.
fn returned_db(processing: Processing) -> f32 {
    let room = Room::new(40);
    let mut bench = Bench::new();
    let path = std::env::temp_dir().join(format!(
        "tipring-{}-echo-{}.wav",
        std::process::id(),
        processing.echo
    ));
    let far = Source::File {
        samples: shared(&sentence("far.wav")),
        looped: true,
    };
    let streams = bench.pair(
        &parameters(CodecKind::Opus),
        (Source::Microphone, Sink::Speaker),
        (far, Sink::Record(path.clone())),
    );
    bench.attach_speaker();
    bench.attach_microphone(Vec::new());
    bench.handle.set_processing(processing).expect("it is idle");
    for _ in 0..800 {
        let heard = bench.heard();
        let next: Vec<f32> = (heard.len()..heard.len() + 480)
            .map(|at| room.echo(heard, at))
            .collect();
        if let Some((_, samples, _)) = &mut bench.microphone {
            samples.extend(next);
        }
        bench.step();
    }
    drop(streams);
    bench.run(Duration::from_millis(200));
    assert!(!bench.handle.counters().voice_failed());
    let samples = media::wav::load(&path).expect("it was recorded");
    std::fs::remove_file(&path).expect("it is ours");
    level_db(&samples[4 * 48_000..])
}

#[test]
fn the_peer_does_not_hear_itself_through_our_speaker_and_microphone() {
    let without = returned_db(Processing::NONE);
    let with = returned_db(Processing::ALL);
    println!("{without:.1} dB come back without, {with:.1} dB with echo control");
    assert!(without > -40.0, "{without}");
    assert!(with <= without - 30.0, "{with} dB, {without} dB without");
}
