//! Sound devices that come and go in a call, and one that only rings.

use std::time::{Duration, Instant};

use crate::rig::desktop::{Server, SoundCard, settings_with};
use crate::rig::folder::Folder;
use crate::rig::process::Process;
use crate::rig::program::{self, Account, Program, SOON, is};
use crate::rig::{seconds, sound, switchboard, until};

/// Louder than this is a tone and no silence.
const SOUND: f32 = 0.01;

/// Waits until a sink plays something, and says how long that took.
fn until_heard(card: &SoundCard, folder: &Folder, sink: &str) -> Duration {
    let began = Instant::now();
    let path = folder.join("heard.raw");
    // What was heard before is not heard now.
    let _ = std::fs::remove_file(&path);
    let _listening = card.listen_at(folder, &path, sink);
    until(&format!("sound at {sink}"), seconds(20), || {
        std::fs::metadata(&path).ok()?;
        let heard = sound::read_raw(&path, 48_000);
        let latest = &heard[heard.len().saturating_sub(800)..];
        (sound::loudness(latest) > SOUND).then_some(())
    });
    began.elapsed()
}

#[test]
fn a_speaker_that_is_unplugged_and_plugged_in_again_is_heard_within_two_seconds() {
    survives_unplugging(Server::PulseAudio);
}

#[test]
fn a_speaker_of_pipewire_that_is_unplugged_and_plugged_in_again_is_heard_within_two_seconds() {
    survives_unplugging(Server::PipeWire);
}

fn survives_unplugging(server: Server) {
    let folder = Folder::new(&format!("hotplug_{server:?}"));
    let card = SoundCard::start_by(&folder, server);
    let (_switchboard, port) = switchboard::start(&folder);
    let mut command = program::command(&folder.inner("home"));
    command
        .args(["call", "601", "--audio", "devices", "--codecs", "pcmu"])
        .args(["--for", "60s", "--json", "--aor"])
        .arg(format!("sip:alice@127.0.0.1:{port}"));
    card.serve(&mut command);
    let mut tipring = Process::start("tipring", &folder, &mut command);
    let first = until_heard(&card, &folder, "speaker");
    // One of two is taken away: the sound server has another.
    card.unplug("speaker");
    let moved = until_heard(&card, &folder, "feed");
    // That was the last one, and the microphone's too. The call goes on in silence.
    card.unplug("feed");
    std::thread::sleep(seconds(1));
    tipring.assert_alive();
    card.plug("speaker");
    let back = until_heard(&card, &folder, "speaker");
    println!("heard after {first:?}; after it was moved {moved:?}; back after {back:?}");
    tipring.assert_alive();
    // The server's own time to play and to be listened to is in it.
    assert!(back < seconds(2), "{back:?}");
}

#[test]
fn a_speaker_that_takes_two_seconds_to_begin_is_waited_for() {
    let folder = Folder::new("sleepy");
    let card = SoundCard::start(&folder);
    let mut woke = Instant::now();
    let (_switchboard, program) = talk(&folder, "60s", |command| {
        // A sink of PulseAudio that nobody plays to plays two seconds of silence in advance, and takes no sound for as long.
        card.pactl(&["suspend-sink", "speaker", "1"]);
        woke = Instant::now();
        card.pactl(&["suspend-sink", "speaker", "0"]);
        card.serve(command);
    });
    until_heard(&card, &folder, "speaker");
    let took = woke.elapsed();
    println!("heard after {took:?}");
    assert!(
        took > Duration::from_millis(1_900),
        "it does not sleep: {took:?}"
    );
    // Nothing is to be told of it, then or while it plays.
    std::thread::sleep(seconds(1));
    let events = program.events();
    let told: Vec<_> = events.iter().filter(|event| is(event, "notice")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_call_rings_where_it_is_to_ring_and_nowhere_else() {
    let folder = Folder::new("ringer");
    let card = SoundCard::start(&folder);
    card.plug("ringer");
    card.pactl(&["set-default-sink", "speaker"]);
    let (_switchboard, port) = switchboard::start(&folder);
    let aor = |user: &str| format!("sip:{user}@127.0.0.1:{port}");
    let mut command = program::command(&folder.inner("bob"));
    command
        .args(["answer", "--audio", "devices", "--after", "60s"])
        .args(["--ringer", "alsa:ringer", "--json", "--aor", &aor("bob")]);
    card.serve(&mut command);
    let mut bob = Program::spawn(&folder, "bob", &mut command);
    bob.wait_registered();
    let alice = Account::new(aor("alice"), "");
    let _alice = Program::start(&folder, "alice", "call", &alice, "bob --for 60s");
    let speaker = folder.join("speaker.raw");
    let listening = card.listen_at(&folder, &speaker, "speaker");
    until("the recording to begin", SOON, || {
        std::fs::metadata(&speaker)
            .ok()
            .filter(|file| file.len() > 0)
    });
    until_heard(&card, &folder, "ringer");
    drop(listening);
    let loudness = sound::loudness(&sound::read_raw(&speaker, 48_000));
    assert!(
        loudness < SOUND / 10.0,
        "it rings at the speaker, too: {loudness}"
    );
}

/// A call to the test number that speaks, by devices of the system, for so long. The switchboard is to be kept as long.
fn talk(
    folder: &Folder,
    length: &str,
    prepare: impl FnOnce(&mut std::process::Command),
) -> (Process, Program) {
    let (switchboard, port) = switchboard::start(folder);
    let mut command = program::command(&folder.inner("home"));
    command
        .args(["call", "601", "--audio", "devices", "--codecs", "pcmu"])
        .args(["--for", length, "--json", "--aor"])
        .arg(format!("sip:alice@127.0.0.1:{port}"));
    prepare(&mut command);
    let mut program = Program::spawn(folder, "alice", &mut command);
    program.wait_call("connected");
    (switchboard, program)
}

/// Waits until something is said, and gives it.
fn until_said(program: &mut Program, words: &str) -> String {
    let said = program.wait_for(&format!("notice of “{words}”"), seconds(20), |event| {
        is(event, "notice") && event["text"].as_str().is_some_and(|t| t.contains(words))
    });
    said["text"].as_str().unwrap_or_default().to_owned()
}

/// Speech comes, and silence goes at its pace.
fn until_both_ways(program: &mut Program) {
    program.wait_for("sound both ways", seconds(20), |event| {
        let on = |light: &str| event["lights"][light]["on"] == true;
        is(event, "media") && on("sent") && on("received")
    });
}

/// The last of the cards that ALSA can have, in place of every other.
const NO_CARD: &str = "\
pcm.!default { type hw card 31 }
ctl.!default { type hw card 31 }
pcm.!hw { type hw card 31 }
ctl.!hw { type hw card 31 }
pcm.!plughw { type hw card 31 }
";

#[test]
fn without_any_sound_server_or_card_a_call_goes_on_in_silence_and_says_so() {
    let folder = Folder::new("no_sound");
    let nowhere = folder.join("nowhere");
    // A machine that has a card is to be like one that has none: whatever leads to a card leads to one that is not there.
    let no_card = folder.join("asoundrc");
    std::fs::write(&no_card, NO_CARD).expect("settings can be written");
    let (_switchboard, mut program) = talk(&folder, "8s", |command| {
        command
            .env("ALSA_CONFIG_PATH", settings_with(&no_card))
            .env("PULSE_SERVER", format!("unix:{}", nowhere.display()))
            .env("PIPEWIRE_RUNTIME_DIR", &nowhere);
    });
    let said = until_said(&mut program, "nobody hears anything");
    println!("{said}");
    assert_eq!(
        said,
        "There is no microphone and no speaker; calls work, and nobody hears anything."
    );
    until_both_ways(&mut program);
    program.finish(seconds(30)).assert_code(0);
}

#[test]
fn a_sound_server_that_has_stopped_is_told_of_and_the_call_goes_on() {
    let folder = Folder::new("stopped_server");
    let card = SoundCard::start(&folder);
    card.pause();
    let (_switchboard, mut program) = talk(&folder, "60s", |command| card.serve(command));
    let said = until_said(
        &mut program,
        "microphone does not answer. The system’s speaker does not answer.",
    );
    println!("{said}");
    until_both_ways(&mut program);
    // It goes on, and is heard.
    card.resume();
    until_heard(&card, &folder, "speaker");
}
