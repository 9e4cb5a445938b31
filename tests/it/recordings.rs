//! Recordings in Ogg Opus, read by programs that are not ours: opusinfo and opusdec.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::folder::Folder;
use crate::rig::program::{Account, Program, SOON};
use crate::rig::{ports, process, seconds, sound, switchboard};

/// What is said in the call lasts about 11 s.
const TALK: &str = "--for 14s";
/// As alike as speech through G.711 and Opus is to what was said.
const ALIKE: f32 = 0.9;

/// Two programs that call each other and play the same speech; the caller records as it is told.
struct Call {
    folder: Folder,
    speech: PathBuf,
    alice: Program,
    bob: Program,
}

impl Call {
    fn start(name: &str, codec: &str, record: &str) -> Self {
        let folder = Folder::new(&format!("recordings_{name}"));
        let speech = sound::speech(&folder, 48_000);
        let port = ports::free();
        let more = |bind: &str| format!("--no-register --transport udp --codecs {codec}{bind}");
        let bind = format!(" --bind 127.0.0.1:{port}");
        let bob = Account::new("sip:bob@127.0.0.1", &more(&bind));
        let args = format!("--count 1 --play {}", speech.display());
        let bob = Program::start(&folder, "bob", "answer", &bob, &args);
        switchboard::wait_taken(port, || {});
        let alice = Account::new("sip:alice@127.0.0.1", &more(""));
        let args = format!(
            "sip:bob@127.0.0.1:{port} {TALK} --play {} {record}",
            speech.display()
        )
        .replace("FOLDER", &folder.display().to_string());
        let alice = Program::start(&folder, "alice", "call", &alice, &args);
        Self {
            folder,
            speech,
            alice,
            bob,
        }
    }
}

/// What opusinfo says of a file; it has to be content with it.
fn check_file(file: &Path, channels: u32) {
    let said = process::output(Command::new("opusinfo").arg(file));
    assert!(!said.contains("WARNING"), "{said}");
    assert!(said.contains(&format!("Channels: {channels}")), "{said}");
}

/// One channel of a file, decoded by opusdec, from the left.
fn decoded(folder: &Folder, file: &Path, channel: u32) -> PathBuf {
    let all = folder.join("decoded.wav");
    process::output(
        Command::new("opusdec")
            .args(["--quiet", "--rate", "48000"])
            .args([file, &all]),
    );
    let one = folder.join(format!("channel-{channel}.wav"));
    process::output(
        Command::new("sox")
            .args([&all, &one])
            .args(["remix", &channel.to_string()]),
    );
    one
}

fn assert_alike(speech: &Path, heard: &Path) {
    let likeness = sound::likeness(&sound::read(speech), &sound::read(heard));
    assert!(likeness > ALIKE, "{}: {likeness}", heard.display());
}

#[test]
fn a_recording_in_opus_is_read_by_others_and_sounds_like_the_call() {
    let record = "--record FOLDER/heard.opus --record-both FOLDER/both.opus";
    let call = Call::start("narrow", "pcmu", record);
    call.alice.finish(seconds(40)).assert_code(0);
    call.bob.finish(SOON).assert_code(0);
    let (heard, both) = (
        call.folder.join("heard.opus"),
        call.folder.join("both.opus"),
    );
    check_file(&heard, 1);
    check_file(&both, 2);
    assert_alike(&call.speech, &decoded(&call.folder, &heard, 1));
    for channel in [1, 2] {
        assert_alike(&call.speech, &decoded(&call.folder, &both, channel));
    }
}

/// Over the full band what was heard is compared with another recording of it: speech that is coded twice is less like what
/// was said than speech that is coded once.
#[test]
fn a_recording_of_a_call_over_the_full_band_sounds_like_one_in_wav() {
    let record = "--record FOLDER/heard.wav --record-both FOLDER/both.opus";
    let call = Call::start("full", "opus", record);
    call.alice.finish(seconds(40)).assert_code(0);
    call.bob.finish(SOON).assert_code(0);
    let both = call.folder.join("both.opus");
    check_file(&both, 2);
    assert_alike(&call.speech, &decoded(&call.folder, &both, 1));
    let heard = call.folder.join("heard.wav");
    assert_alike(&heard, &decoded(&call.folder, &both, 2));
}

#[test]
fn a_recording_in_opus_whose_program_is_killed_lacks_less_than_a_second() {
    let mut call = Call::start("killed", "pcmu", "--record-both FOLDER/both.opus");
    call.alice.wait_call("connected");
    let began = std::time::Instant::now();
    // The middle of the speech, as time goes in a recording.
    std::thread::sleep(seconds(8));
    process::signal(call.alice.id(), "KILL");
    let talked = began.elapsed().as_secs_f64();
    let both = call.folder.join("both.opus");
    check_file(&both, 2);
    let whole = sound::read(&call.speech);
    for channel in [1, 2] {
        let heard = sound::read(&decoded(&call.folder, &both, channel));
        let lasts = heard.len() as f64 / 8_000.0;
        assert!(lasts > talked - 1.0, "{lasts} s of {talked} s");
        // Of the speech it has what was said by then.
        let likeness = sound::likeness(&whole[..whole.len() * 5 / 10], &heard);
        assert!(likeness > ALIKE, "{likeness}");
    }
}
