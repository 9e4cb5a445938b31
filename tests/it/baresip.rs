//! Calls with baresip, directly from phone to phone: sound and digits in both directions and both
//! codecs.

use std::path::Path;

use crate::rig::baresip::{Answers, Baresip, Hears, Setup};
use crate::rig::folder::Folder;
use crate::rig::program::{Account, Program, SOON, is};
use crate::rig::{ports, seconds, sound, switchboard};

#[test]
fn it_is_called_and_both_hear_each_other_with_pcmu() {
    we_call("PCMU/8000/1", "pcmu");
}

#[test]
fn it_is_called_and_both_hear_each_other_with_opus() {
    we_call("opus/48000/1", "opus");
}

#[test]
fn it_is_called_and_both_hear_each_other_with_g722() {
    we_call("G722/16000/1", "g722");
}

#[test]
fn it_calls_and_both_hear_each_other_with_g722() {
    it_calls("G722/16000/1", "g722");
}

#[test]
fn it_calls_and_both_hear_each_other_with_pcmu() {
    it_calls("PCMU/8000/1", "pcmu");
}

#[test]
fn it_calls_and_both_hear_each_other_with_opus() {
    it_calls("opus/48000/1", "opus");
}

/// We call, both play speech, both record.
fn we_call(codec: &str, ours: &str) {
    let folder = Folder::new(&format!("baresip_called_{ours}"));
    let speech = sound::speech(&folder, 48_000);
    let bob = Baresip::start(&folder, "bob", &playing(codec, &speech));
    let heard = folder.join("heard.wav");
    let args = format!(
        "sip:bob@127.0.0.1:{} --for 14s --play {} --record {}",
        bob.port,
        speech.display(),
        heard.display()
    );
    let alice = on_its_own().with(&format!("--codecs {ours}"));
    let alice = Program::start(&folder, "alice", "call", &alice, &args).finish(seconds(40));
    alice.assert_code(0);
    let codec = alice
        .events
        .iter()
        .rfind(|event| is(event, "media"))
        .map(|event| event["codec"].clone());
    let codec = codec.unwrap_or_else(|| panic!("no event about media\n{}", alice.story));
    assert!(
        codec
            .as_str()
            .is_some_and(|name| name.to_lowercase().starts_with(ours)),
        "{codec}"
    );
    check_both(&speech, &heard, &bob);
}

/// It calls, both play speech, both record.
fn it_calls(codec: &str, ours: &str) {
    let folder = Folder::new(&format!("baresip_calls_{ours}"));
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let port = ports::free();
    let alice = on_its_own().with(&format!("--codecs {ours} --bind 127.0.0.1:{port}"));
    let args = format!(
        "--count 1 --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let mut alice = Program::start(&folder, "alice", "answer", &alice, &args);
    let mut bob = Baresip::start(&folder, "bob", &playing(codec, &speech));
    switchboard::wait_taken(port, || {});
    bob.command("dial", &format!("sip:alice@127.0.0.1:{port}"));
    alice.wait_call("connected");
    std::thread::sleep(seconds(14));
    bob.command("hangup", "");
    let outcome = alice.finish(SOON);
    outcome.assert_code(0);
    check_both(&speech, &heard, &bob);
}

pub(crate) fn check_both(speech: &Path, heard: &Path, bob: &Baresip) {
    let original = sound::read(speech);
    let ours = sound::likeness(&original, &sound::read(heard));
    assert!(ours >= 0.9, "we heard what it said by {ours}");
    let files = bob.heard();
    let theirs = files
        .iter()
        .find(|file| file.to_string_lossy().ends_with("-dec.wav"))
        .unwrap_or_else(|| panic!("baresip recorded nothing: {files:?}"));
    let theirs = sound::likeness(&original, &sound::read(theirs));
    assert!(theirs >= 0.9, "it heard what we said by {theirs}");
}

#[test]
fn digits_go_both_ways() {
    let folder = Folder::new("baresip_digits");
    let mut bob = Baresip::start(&folder, "bob", &echo("PCMU/8000/1"));
    let args = format!("sip:bob@127.0.0.1:{} --for 8s --dtmf-send 159#", bob.port);
    let mut alice = Program::start(&folder, "alice", "call", &on_its_own(), &args);
    alice.wait_call("connected");
    bob.command("sndcode", "42*");
    for (count, digit) in [(1, "4"), (2, "2"), (3, "*")] {
        let event = alice.wait_for_nth("digit", count, SOON, |event| is(event, "dtmf"));
        assert_eq!(event["digit"], digit, "{event}");
    }
    alice.finish(seconds(20)).assert_code(0);
    let log = bob.log();
    let ended: Vec<char> = log
        .match_indices("received event: '")
        .filter(|(at, found)| {
            log[at + found.len()..]
                .chars()
                .skip(1)
                .take(9)
                .collect::<String>()
                == "' (end=1)"
        })
        .filter_map(|(at, found)| log[at + found.len()..].chars().next())
        .collect();
    assert_eq!(ended, ['1', '5', '9', '#'], "{log}");
}

/// An account without any server.
pub(crate) fn on_its_own() -> Account {
    Account::new("sip:alice@127.0.0.1", "--no-register --transport udp")
}

pub(crate) fn playing<'a>(codecs: &'a str, speech: &Path) -> Setup<'a> {
    Setup {
        hears: Hears::File(speech.to_owned()),
        ..echo(codecs)
    }
}

pub(crate) fn echo(codecs: &str) -> Setup<'_> {
    Setup {
        address: "bob@127.0.0.1",
        proxy_port: None,
        codecs,
        hears: Hears::Echo,
        answers: Answers::AtOnce,
        encryption: None,
        tries_ways_at: None,
        reports_apart: false,
    }
}
