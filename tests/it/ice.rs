//! Ways for media tried with baresip (ICE), in both directions.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use crate::baresip::{check_both, playing};
use crate::rig::baresip::{Baresip, Setup};
use crate::rig::folder::Folder;
use crate::rig::program::{Account, Outcome, Program, SOON};
use crate::rig::{ports, seconds, sound, until};

/// An address of this machine that is not loopback, where nobody tries ways. Nothing is sent to find it.
fn own_address() -> Ipv4Addr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
    let found = socket
        .connect("198.51.100.1:9")
        .and_then(|()| socket.local_addr())
        .map(|local| local.ip());
    match found {
        Ok(IpAddr::V4(ip)) if !ip.is_loopback() => ip,
        other => panic!("this test needs an address that is not loopback: {other:?}"),
    }
}

fn alice(here: Ipv4Addr, more: &str) -> Account {
    let args = format!("--no-register --transport udp --codecs pcmu --ice {more}");
    Account::new(format!("sip:alice@{here}"), &args)
}

/// It says what came of its search, and hears what went there.
fn assert_found(bob: &Baresip) {
    let log = bob.log();
    assert!(log.contains("connectivity check is complete"), "{log}");
}

#[test]
fn we_call_and_the_way_that_answers_is_taken() {
    we_call("ice_called", false, None);
}

/// RFC 8445 §4, RFC 5761 §5.1.3: its reports have a port of their own, and so a way.
#[test]
fn we_call_who_has_reports_apart_and_both_ways_are_found() {
    we_call("ice_called_apart", true, None);
}

/// RFC 5763 §6.7.1, RFC 5764 §4.2: a handshake on each of the ways, once it is found.
#[test]
fn we_call_who_has_reports_apart_and_both_ways_have_a_handshake() {
    we_call("ice_called_dtls", true, Some("dtls_srtp"));
}

fn we_call(name: &str, reports_apart: bool, encryption: Option<&str>) {
    let here = own_address();
    let folder = Folder::new(name);
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let setup = Setup {
        tries_ways_at: Some(here),
        reports_apart,
        encryption,
        ..playing("PCMU/8000/1", &speech)
    };
    let bob = Baresip::start(&folder, "bob", &setup);
    let keys = encryption.map_or("", |_| "--srtp required --srtp-keys dtls");
    let account = alice(here, &format!("--bind {here}:{} {keys}", ports::free()));
    let args = format!(
        "sip:bob@{here}:{} --for 14s --play {} --record {}",
        bob.port,
        speech.display(),
        heard.display()
    );
    let outcome = Program::start(&folder, "alice", "call", &account, &args).finish(seconds(40));
    outcome.assert_code(0);
    check_both(&speech, &heard, &bob);
    assert_found(&bob);
    if reports_apart {
        assert_reports_found(&outcome);
    }
}

/// Reports of each have come to the other: its own say how long ours took.
pub(crate) fn assert_reports_found(outcome: &Outcome) {
    let rtt = outcome
        .events
        .iter()
        .rfind(|event| event["rtt_ms"].is_number());
    assert!(rtt.is_some(), "no report of theirs came\n{}", outcome.story);
}

#[test]
fn it_calls_and_the_way_that_answers_is_taken() {
    it_calls("ice_calls", false);
}

#[test]
fn who_calls_with_reports_apart_is_answered_with_both_ways() {
    it_calls("ice_calls_apart", true);
}

fn it_calls(name: &str, reports_apart: bool) {
    let here = own_address();
    let folder = Folder::new(name);
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let port = ports::free();
    let args = format!(
        "--count 1 --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let account = alice(here, &format!("--bind {here}:{port}"));
    let mut alice = Program::start(&folder, "alice", "answer", &account, &args);
    let setup = Setup {
        tries_ways_at: Some(here),
        reports_apart,
        ..playing("PCMU/8000/1", &speech)
    };
    let mut bob = Baresip::start(&folder, "bob", &setup);
    until("the port to be taken", SOON, || {
        ports::is_taken(port).then_some(())
    });
    bob.command("dial", &format!("sip:alice@{here}:{port}"));
    alice.wait_call("connected");
    std::thread::sleep(seconds(14));
    bob.command("hangup", "");
    let outcome = alice.finish(SOON);
    outcome.assert_code(0);
    check_both(&speech, &heard, &bob);
    assert_found(&bob);
    if reports_apart {
        assert_reports_found(&outcome);
    }
}
