//! The switchboard's test numbers as the program hears them: with encryption that it insists on, and in wide band.

use crate::rig::folder::Folder;
use crate::rig::program::{Account, Outcome, Program, is};
use crate::rig::{seconds, sound, switchboard};
use crate::srtp::sdes;

/// As alike as speech is to what was said after G.711 or G.722.
const ALIKE: f32 = 0.9;

#[test]
fn the_echo_is_heard_by_who_insists_on_encryption() {
    let outcome = echo("required", "--codecs pcmu --srtp required");
    assert_eq!(sdes(&outcome), "AEAD_AES_256_GCM");
    assert_eq!(codec(&outcome), "PCMU/8000");
}

#[test]
fn the_echo_is_heard_in_g722_alone() {
    let outcome = echo("g722", "--codecs g722");
    assert_eq!(codec(&outcome), "G722/8000");
}

#[test]
fn the_echo_is_heard_in_g722_and_two_lines_to_choose_from() {
    let outcome = echo("both", "--codecs g722 --srtp optional-two-lines");
    assert_eq!(sdes(&outcome), "AEAD_AES_256_GCM");
    assert_eq!(codec(&outcome), "G722/8000");
}

/// RFC 3261 §20.43: 302.
#[test]
fn who_insists_on_a_handshake_is_told_that_there_is_none() {
    let folder = Folder::new("numbers_handshake");
    let (_switchboard, port) = switchboard::start(&folder);
    let more = "--no-register --srtp required --srtp-keys dtls";
    let alice = Account::new(format!("sip:alice@127.0.0.1:{port}"), more);
    let outcome = Program::start(&folder, "alice", "call", &alice, "600 --for 5s");
    let outcome = outcome.finish(seconds(30));
    outcome.assert_code(1);
    let reason = outcome.last_call()["reason"].as_str().unwrap_or_default();
    println!("{reason}");
    assert!(reason.contains("keys by DTLS are not done"), "{reason}");
}

/// RFC 3261 §15: a call is over with the answer to its BYE, and whoever looks at messages sees both.
#[test]
fn the_messages_of_a_call_are_told_to_the_last() {
    let folder = Folder::new("numbers_messages");
    let (_switchboard, port) = switchboard::start(&folder);
    let alice = Account::new(format!("sip:alice@127.0.0.1:{port}"), "--no-register");
    let args = "600 --for 1s --sip";
    let outcome = Program::start(&folder, "alice", "call", &alice, args).finish(seconds(30));
    outcome.assert_code(0);
    let is_told = |direction: &str, begins: &str, has: &str| {
        let mut messages = outcome.events.iter().filter(|event| is(event, "sip"));
        messages.any(|event| {
            let text = event["text"].as_str().unwrap_or_default();
            event["direction"] == direction && text.starts_with(begins) && text.contains(has)
        })
    };
    let (bye, ok) = ("BYE ", "SIP/2.0 200 ");
    assert!(is_told("sent", bye, ""), "{}", outcome.story);
    assert!(is_told("received", ok, " BYE"), "{}", outcome.story);
}

/// Calls 600, says something and compares what comes back.
fn echo(name: &str, more: &str) -> Outcome {
    let folder = Folder::new(&format!("numbers_{name}"));
    let (_switchboard, port) = switchboard::start(&folder);
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let alice = Account::new(format!("sip:alice@127.0.0.1:{port}"), "--no-register").with(more);
    let args = format!(
        "600 --for 14s --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let outcome = Program::start(&folder, "alice", "call", &alice, &args).finish(seconds(40));
    outcome.assert_code(0);
    let likeness = sound::likeness(&sound::read(&speech), &sound::read(&heard));
    println!("{name}: what comes back is like what was said by {likeness:.3}");
    assert!(likeness >= ALIKE, "{likeness}\n{}", outcome.story);
    outcome
}

/// What the program says it spoke, as descriptions name it.
fn codec(outcome: &Outcome) -> String {
    let media = outcome.events.iter().rfind(|event| is(event, "media"));
    let media = media.unwrap_or_else(|| panic!("no event about media\n{}", outcome.story));
    media["codec"].as_str().unwrap_or_default().to_owned()
}
