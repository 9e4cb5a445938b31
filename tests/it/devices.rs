//! Sound devices that come and go in a call, and one that only rings.

use std::time::{Duration, Instant};

use crate::rig::desktop::{Server, SoundCard};
use crate::rig::folder::Folder;
use crate::rig::process::Process;
use crate::rig::program::{self, Account, Program, SOON};
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
    // Two seconds are asked for; to listen takes its own time.
    assert!(back < first + seconds(2), "{back:?}");
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
