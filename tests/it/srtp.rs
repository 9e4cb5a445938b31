//! Encrypted calls with baresip, by keys in the session description (SDES) and by a handshake (DTLS): both directions,
//! each side asking for it or merely offering it, and what happens when one cannot.

use serde_json::{Value, json};

use crate::baresip::{check_both, echo, on_its_own, playing};
use crate::ice::assert_reports_found;
use crate::rig::baresip::{Baresip, Hears, Setup};
use crate::rig::folder::Folder;
use crate::rig::program::{Outcome, Program, SOON, is};
use crate::rig::{ports, seconds, sound, switchboard};

#[test]
fn it_is_called_and_both_ask_for_encryption() {
    let outcome = we_call("mandatory", "required", "srtp-mand");
    assert_eq!(sdes(&outcome), "AEAD_AES_256_GCM");
}

#[test]
fn it_is_called_and_both_offer_encryption_in_one_line() {
    sdes(&we_call("optional", "optional", "srtp"));
}

#[test]
fn it_calls_and_both_ask_for_encryption() {
    sdes(&it_calls("mandatory", "required", "srtp-mand"));
}

#[test]
fn it_calls_and_offers_encryption_in_one_line() {
    sdes(&it_calls("optional", "optional-two-lines", "srtp"));
}

#[test]
fn it_is_called_and_a_handshake_makes_the_keys() {
    handshake(&we_call(
        "handshake",
        "required --srtp-keys dtls",
        "dtls_srtp",
    ));
}

#[test]
fn it_calls_and_a_handshake_makes_the_keys() {
    // Who offers a handshake gets one, whatever we would have offered.
    handshake(&it_calls("handshake", "required", "dtls_srtp"));
}

/// RFC 5764 §4.2: reports that have a port of their own have a handshake of their own.
#[test]
fn it_is_called_and_its_reports_have_a_handshake_of_their_own() {
    let ours = "required --srtp-keys dtls";
    let outcome = we_call_one(
        "handshakes",
        ours,
        Setup {
            reports_apart: true,
            ..encrypting("dtls_srtp")
        },
    );
    handshake(&outcome);
    assert_reports_found(&outcome);
}

#[test]
fn it_calls_and_its_reports_have_a_handshake_of_their_own() {
    let outcome = it_calls_as(
        "handshakes",
        "required",
        Setup {
            reports_apart: true,
            ..encrypting("dtls_srtp")
        },
    );
    handshake(&outcome);
    assert_reports_found(&outcome);
}

#[test]
fn a_call_that_must_be_encrypted_does_not_come_about_in_the_clear() {
    let folder = Folder::new("srtp_refused");
    let mut bob = Baresip::start(&folder, "bob", &echo("PCMU/8000/1"));
    let alice = on_its_own().with("--codecs pcmu --srtp required");
    let args = format!("sip:bob@127.0.0.1:{} --for 5s", bob.port);
    let outcome = Program::start(&folder, "alice", "call", &alice, &args).finish(seconds(30));
    assert_ne!(outcome.code, Some(0), "{}", outcome.story);
    assert!(!outcome.events.iter().any(|event| is(event, "media")));
    // And the other way round.
    let port = ports::free();
    let carol = on_its_own().with(&format!("--srtp required --bind 127.0.0.1:{port}"));
    let _carol = Program::start(&folder, "carol", "answer", &carol, "--count 1");
    switchboard::wait_taken(port, || {});
    bob.command("dial", &format!("sip:alice@127.0.0.1:{port}"));
    bob.wait_event("refusal", SOON, |event| {
        event["type"] == "CALL_CLOSED" && event["param"].as_str().is_some_and(|p| p.contains("488"))
    });
}

#[test]
fn where_encryption_is_optional_a_peer_without_it_is_heard_in_the_clear() {
    let folder = Folder::new("srtp_plain");
    let speech = sound::speech(&folder, 48_000);
    let bob = Baresip::start(&folder, "bob", &playing("PCMU/8000/1", &speech));
    let heard = folder.join("heard.wav");
    let alice = on_its_own().with("--codecs pcmu --srtp optional");
    let args = format!(
        "sip:bob@127.0.0.1:{} --for 14s --play {} --record {}",
        bob.port,
        speech.display(),
        heard.display()
    );
    let outcome = Program::start(&folder, "alice", "call", &alice, &args).finish(seconds(40));
    outcome.assert_code(0);
    let security = security(&outcome);
    assert_eq!(
        security,
        json!({"sent": null, "received": null, "keys_in_clear": false})
    );
    check_both(&speech, &heard, &bob);
}

fn encrypting(how: &str) -> Setup<'_> {
    Setup {
        encryption: Some(how),
        ..echo("PCMU/8000/1")
    }
}

fn we_call(name: &str, ours: &str, theirs: &str) -> Outcome {
    we_call_one(name, ours, encrypting(theirs))
}

fn it_calls(name: &str, ours: &str, theirs: &str) -> Outcome {
    it_calls_as(name, ours, encrypting(theirs))
}

/// We call, both play speech, both record.
fn we_call_one(name: &str, ours: &str, theirs: Setup<'_>) -> Outcome {
    let folder = Folder::new(&format!("srtp_called_{name}"));
    let speech = sound::speech(&folder, 48_000);
    let setup = Setup {
        hears: Hears::File(speech.clone()),
        ..theirs
    };
    let bob = Baresip::start(&folder, "bob", &setup);
    let heard = folder.join("heard.wav");
    let alice = on_its_own().with(&format!("--codecs pcmu --srtp {ours}"));
    let args = format!(
        "sip:bob@127.0.0.1:{} --for 14s --play {} --record {}",
        bob.port,
        speech.display(),
        heard.display()
    );
    let outcome = Program::start(&folder, "alice", "call", &alice, &args).finish(seconds(40));
    outcome.assert_code(0);
    check_both(&speech, &heard, &bob);
    outcome
}

/// It calls, both play speech, both record.
fn it_calls_as(name: &str, ours: &str, theirs: Setup<'_>) -> Outcome {
    let folder = Folder::new(&format!("srtp_calls_{name}"));
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let port = ports::free();
    let alice = on_its_own().with(&format!(
        "--codecs pcmu --srtp {ours} --bind 127.0.0.1:{port}"
    ));
    let args = format!(
        "--count 1 --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let mut alice = Program::start(&folder, "alice", "answer", &alice, &args);
    let setup = Setup {
        hears: Hears::File(speech.clone()),
        ..theirs
    };
    let mut bob = Baresip::start(&folder, "bob", &setup);
    switchboard::wait_taken(port, || {});
    bob.command("dial", &format!("sip:alice@127.0.0.1:{port}"));
    alice.wait_call("connected");
    std::thread::sleep(seconds(14));
    bob.command("hangup", "");
    let outcome = alice.finish(SOON);
    outcome.assert_code(0);
    check_both(&speech, &heard, &bob);
    outcome
}

/// What the program says about the secrecy of its call.
fn security(outcome: &Outcome) -> Value {
    let media = outcome.events.iter().rfind(|event| is(event, "media"));
    let media = media.unwrap_or_else(|| panic!("no event about media\n{}", outcome.story));
    media["security"].clone()
}

/// Both directions have keys that nobody could read, though the signalling is plain UDP.
pub(crate) fn handshake(outcome: &Outcome) {
    let security = security(outcome);
    assert_eq!(security["sent"]["by"], "dtls", "{security}");
    assert_eq!(security["sent"], security["received"]);
    assert_eq!(security["keys_in_clear"], false);
}

/// The suite of both directions. The signalling is plain UDP, and that is said.
pub(crate) fn sdes(outcome: &Outcome) -> String {
    let security = security(outcome);
    assert_eq!(security["sent"]["by"], "sdes", "{security}");
    assert_eq!(security["sent"], security["received"]);
    assert_eq!(security["keys_in_clear"], true);
    let suite = security["sent"]["suite"].as_str();
    suite.expect("the suite has a name").to_owned()
}
