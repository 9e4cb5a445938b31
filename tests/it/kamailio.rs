//! Registering and calling through kamailio: accounts of two organisations, and everything that a
//! call can fail with. The last event says what went wrong, and has a code only where one was sent.

use serde_json::Value;

use crate::rig::baresip::{Answers, Baresip, Hears, Setup};
use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::program::{Account, Outcome, Program, SOON, is};
use crate::rig::{ports, seconds, sound, until};

#[test]
fn accounts_of_two_organisations_call_each_other_over_udp() {
    call_each_other("udp", "pcmu");
}

#[test]
fn accounts_of_two_organisations_call_each_other_over_tcp() {
    call_each_other("tcp", "pcma");
}

fn call_each_other(transport: &str, codec: &str) {
    let folder = Folder::new(&format!("kamailio_{transport}"));
    let kamailio = Kamailio::start(&folder);
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let bob = kamailio
        .account("bob@south.test", transport)
        .with("--codecs pcma,pcmu");
    let mut bob = Program::start(&folder, "bob", "answer", &bob, "--count 1 --echo");
    bob.wait_registered();

    let alice = kamailio
        .account("alice@north.test", transport)
        .with(&format!("--codecs {codec}"));
    let args = format!(
        "sip:bob@south.test --for 14s --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let alice = Program::start(&folder, "alice", "call", &alice, &args).finish(seconds(40));
    alice.assert_code(0);
    bob.finish(SOON).assert_code(0);

    let states = states(&alice);
    for state in ["trying", "ringing", "connected", "ended"] {
        assert!(
            states.iter().any(|seen| seen == state),
            "{state} is missing: {states:?}"
        );
    }
    let media = alice.events.iter().rfind(|event| is(event, "media"));
    let media = media.unwrap_or_else(|| panic!("no event about media\n{}", alice.story));
    assert!(media["received"].as_u64() > Some(300), "{media}");
    assert_eq!(media["lost"].as_u64(), Some(0), "{media}");
    let likeness = sound::likeness(&sound::read(&speech), &sound::read(&heard));
    assert!(
        likeness >= 0.9,
        "the echo is like what was said by {likeness}"
    );
    let log = kamailio.log();
    assert!(
        log.contains("SEEN INVITE sip:bob@south.test from sip:alice@north.test")
            && log.contains(&format!("/{transport}")),
        "{log}"
    );
}

#[test]
fn signing_out_removes_the_binding() {
    let folder = Folder::new("kamailio_sign_out");
    let kamailio = Kamailio::start(&folder);
    let bob = kamailio.account("bob@south.test", "udp");
    let mut registered = Program::start(&folder, "bob", "register", &bob, "--for 2s");
    let event = registered.wait_registered();
    assert!(event["expires"].as_u64() > Some(0), "{event}");
    registered.finish(SOON).assert_code(0);
    // Nobody is there any more.
    let outcome = alice_calls(&folder, &kamailio, "sip:bob@south.test");
    assert_eq!(outcome.last_call()["code"], 404, "{}", outcome.story);
}

#[test]
fn a_wrong_password_is_said_and_not_tried_again() {
    let folder = Folder::new("kamailio_password");
    let kamailio = Kamailio::start(&folder);
    let bob = kamailio
        .account("bob@south.test", "udp")
        .with_password("wrong");
    let outcome = Program::start(&folder, "bob", "register", &bob, "--for 5s").finish(seconds(20));
    outcome.assert_code(1);
    let mut registrations = outcome
        .events
        .iter()
        .filter(|event| is(event, "registration"));
    let was_refused = registrations
        .clone()
        .any(|event| event["state"] == "refused");
    assert!(was_refused, "{}", outcome.story);
    // Signing out comes after it, and the reason stays.
    let last = registrations.next_back().expect("there is one");
    assert!(
        text(last, "reason").contains("Password not accepted"),
        "{last}"
    );
    let tries = kamailio.log().matches("SEEN REGISTER").count();
    // Once without, once with the password; a stubborn client may try a fresh nonce once.
    assert!((2..=3).contains(&tries), "{tries} tries");
}

#[test]
fn an_unknown_number_is_said_by_the_proxy() {
    check_refusal("unknown", "sip:nobody@south.test", 404, "Number unknown");
}

#[test]
fn a_busy_number_is_busy() {
    check_refusal("busy", "sip:busy@south.test", 486, "Busy");
}

#[test]
fn a_declined_call_is_declined() {
    check_refusal("declined", "sip:declined@south.test", 603, "Declined");
}

fn check_refusal(name: &str, target: &str, code: u16, words: &str) {
    let folder = Folder::new(&format!("kamailio_{name}"));
    let kamailio = Kamailio::start(&folder);
    let outcome = alice_calls(&folder, &kamailio, target);
    outcome.assert_code(1);
    let last = outcome.last_call();
    assert_eq!(last["state"], "ended", "{}", outcome.story);
    assert_eq!(last["code"], code, "{}", outcome.story);
    assert!(text(last, "reason").contains(words), "{last}");
}

#[test]
fn a_phone_that_nobody_picks_up_ends_in_the_servers_word() {
    let folder = Folder::new("kamailio_not_picked_up");
    let kamailio = Kamailio::start(&folder);
    let _bob = ringing_bob(&folder, &kamailio);
    let outcome = alice_calls(&folder, &kamailio, "sip:bob@south.test");
    outcome.assert_code(1);
    assert!(
        states(&outcome).contains(&"ringing".to_owned()),
        "{}",
        outcome.story
    );
    assert_eq!(outcome.last_call()["code"], 408, "{}", outcome.story);
}

#[test]
fn giving_up_while_it_rings_cancels_the_call() {
    let folder = Folder::new("kamailio_cancel");
    let kamailio = Kamailio::start(&folder);
    let mut bob = ringing_bob(&folder, &kamailio);
    let alice = kamailio.account("alice@north.test", "udp");
    let mut alice = Program::start(&folder, "alice", "call", &alice, "sip:bob@south.test");
    alice.wait_call("ringing");
    alice.interrupt();
    bob.wait_event("the end of the call", SOON, |event| {
        event["type"] == "CALL_CLOSED"
    });
    let outcome = alice.finish(SOON);
    assert_eq!(outcome.last_call()["state"], "ended", "{}", outcome.story);
    assert!(kamailio.log().contains("SEEN CANCEL"), "{}", kamailio.log());
}

#[test]
fn a_closed_port_has_no_sip_code() {
    let folder = Folder::new("kamailio_closed");
    let port = ports::free();
    let alice = Account::new(
        "sip:alice@north.test",
        &format!("--proxy sip:127.0.0.1:{port};transport=tcp;lr --transport tcp --no-register"),
    );
    let outcome =
        Program::start(&folder, "alice", "call", &alice, "sip:bob@south.test").finish(seconds(40));
    outcome.assert_code(1);
    let last = outcome.last_call();
    assert!(last["code"].is_null(), "nobody sent a code: {last}");
    assert!(text(last, "reason").contains("Port closed"), "{last}");
}

#[test]
fn a_silent_server_has_no_sip_code() {
    let folder = Folder::new("kamailio_silent");
    let kamailio = Kamailio::start(&folder);
    let alice = kamailio
        .account("alice@north.test", "udp")
        // Small enough for UDP with its login, too: a larger one goes by TCP and is not repeated.
        .with("--no-register --codecs pcmu");
    // Timer B is 32 seconds, and the call may not take much longer.
    let outcome = Program::start(&folder, "alice", "call", &alice, "sip:silent@south.test")
        .finish(seconds(45));
    outcome.assert_code(1);
    let last = outcome.last_call();
    assert!(last["code"].is_null(), "nobody sent a code: {last}");
    assert!(text(last, "reason").contains("Server silent"), "{last}");
    // An INVITE is repeated while nobody answers: 0.5, 1, 2, 4, 8, 16 seconds apart.
    let tries = kamailio
        .log()
        .matches("SEEN INVITE sip:silent@south.test")
        .count();
    assert!(tries >= 7, "{tries} tries\n{}", kamailio.log());
}

#[test]
fn a_registration_renews_itself() {
    let folder = Folder::new("kamailio_renewal");
    let kamailio = Kamailio::granting(&folder, 8);
    let bob = kamailio.account("bob@south.test", "tcp");
    let mut bob = Program::start(&folder, "bob", "register", &bob, "--for 14s");
    bob.wait_registered();
    let asked = |log: &str| log.matches("SEEN REGISTER").count();
    let first = asked(&kamailio.log());
    until("a renewal", seconds(12), || {
        (asked(&kamailio.log()) > first).then_some(())
    });
    let outcome = bob.finish(seconds(25));
    outcome.assert_code(0);
    let lost = outcome.events.iter().any(|event| {
        is(event, "registration")
            && ["refused", "silent"]
                .iter()
                .any(|state| event["state"] == *state)
    });
    assert!(!lost, "{}", outcome.story);
}

fn ringing_bob(folder: &Folder, kamailio: &Kamailio) -> Baresip {
    let setup = Setup {
        address: "bob@south.test",
        proxy_port: Some(kamailio.port),
        codecs: "PCMU/8000/1",
        hears: Hears::Echo,
        answers: Answers::Never,
        encryption: None,
        tries_ways_at: None,
        reports_apart: false,
    };
    Baresip::start(folder, "bob", &setup)
}

fn alice_calls(folder: &Folder, kamailio: &Kamailio, target: &str) -> Outcome {
    let alice = kamailio.account("alice@north.test", "udp");
    Program::start(
        folder,
        "alice",
        "call",
        &alice,
        &format!("{target} --for 2s"),
    )
    .finish(seconds(30))
}

fn states(outcome: &Outcome) -> Vec<String> {
    let calls = outcome.events.iter().filter(|event| is(event, "call"));
    calls
        .filter_map(|event| event["state"].as_str())
        .map(str::to_owned)
        .collect()
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}
