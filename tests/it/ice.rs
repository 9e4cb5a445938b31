//! Ways for media tried with baresip (ICE), in both directions.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;

use crate::baresip::{check_both, playing};
use crate::rig::baresip::{Baresip, Setup};
use crate::rig::folder::Folder;
use crate::rig::program::{Account, Outcome, Program, SOON};
use crate::rig::{ports, seconds, sound, until};
use crate::srtp::{handshake, sdes};

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

/// What of a call is not as it usually is here.
#[derive(Clone, Copy, Default)]
struct Kind {
    /// Its reports have a port of their own.
    reports_apart: bool,
    /// How both encrypt, in our spelling and in baresip's.
    keys: Option<(&'static str, &'static str)>,
}

impl Kind {
    const REPORTS_APART: Self = Self {
        reports_apart: true,
        keys: None,
    };

    fn keys(ours: &'static str, theirs: &'static str) -> Self {
        Self {
            reports_apart: false,
            keys: Some((ours, theirs)),
        }
    }

    fn ours(self) -> String {
        self.keys
            .map(|(ours, _)| format!("--srtp {ours}"))
            .unwrap_or_default()
    }

    fn setup<'a>(self, here: Ipv4Addr, speech: &Path) -> Setup<'a> {
        Setup {
            tries_ways_at: Some(here),
            reports_apart: self.reports_apart,
            encryption: self.keys.map(|(_, theirs)| theirs),
            ..playing("PCMU/8000/1", speech)
        }
    }

    fn check(self, outcome: &Outcome, bob: &Baresip) {
        assert_found(bob);
        if self.reports_apart {
            assert_reports_found(outcome);
        }
        match self.keys {
            Some((_, "dtls_srtp")) => handshake(outcome),
            Some(_) => println!("keys for {}", sdes(outcome)),
            None => {}
        }
    }
}

#[test]
fn we_call_and_the_way_that_answers_is_taken() {
    we_call("ice_called", Kind::default());
}

/// RFC 8445 §4, RFC 5761 §5.1.3: its reports have a port of their own, and so a way.
#[test]
fn we_call_who_has_reports_apart_and_both_ways_are_found() {
    we_call("ice_called_apart", Kind::REPORTS_APART);
}

/// RFC 5763 §6.7.1, RFC 5764 §4.2: a handshake on each of the ways, once it is found.
#[test]
fn we_call_who_has_reports_apart_and_both_ways_have_a_handshake() {
    let kind = Kind {
        reports_apart: true,
        ..Kind::keys("required --srtp-keys dtls", "dtls_srtp")
    };
    we_call("ice_called_dtls", kind);
}

/// Its answer has the tag of one key and the suite of another, since it has not looked at our keys before it has found a
/// way: what it meant is offered alone.
#[test]
fn we_call_who_mistakes_our_keys_while_it_looks_for_ways_and_both_are_heard_in_secret() {
    we_call("ice_called_mandatory", Kind::keys("required", "srtp-mand"));
}

#[test]
fn we_call_who_mistakes_our_keys_in_one_line_and_both_are_heard_in_secret() {
    we_call("ice_called_optional", Kind::keys("optional", "srtp"));
}

fn we_call(name: &str, kind: Kind) {
    let here = own_address();
    let folder = Folder::new(name);
    let speech = sound::speech(&folder, 48_000);
    let heard = folder.join("heard.wav");
    let bob = Baresip::start(&folder, "bob", &kind.setup(here, &speech));
    let more = format!("--bind {here}:{} {}", ports::free(), kind.ours());
    let account = alice(here, &more);
    let args = format!(
        "sip:bob@{here}:{} --for 14s --play {} --record {}",
        bob.port,
        speech.display(),
        heard.display()
    );
    let outcome = Program::start(&folder, "alice", "call", &account, &args).finish(seconds(40));
    outcome.assert_code(0);
    check_both(&speech, &heard, &bob);
    kind.check(&outcome, &bob);
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
    it_calls("ice_calls", Kind::default());
}

#[test]
fn who_calls_with_reports_apart_is_answered_with_both_ways() {
    it_calls("ice_calls_apart", Kind::REPORTS_APART);
}

#[test]
fn who_calls_with_keys_in_its_offer_finds_a_way_and_is_heard_in_secret() {
    it_calls("ice_calls_mandatory", Kind::keys("required", "srtp-mand"));
}

#[test]
fn who_calls_with_keys_in_one_line_finds_a_way_and_is_heard_in_secret() {
    it_calls("ice_calls_optional", Kind::keys("optional", "srtp"));
}

fn it_calls(name: &str, kind: Kind) {
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
    let account = alice(here, &format!("--bind {here}:{port} {}", kind.ours()));
    let mut alice = Program::start(&folder, "alice", "answer", &account, &args);
    let mut bob = Baresip::start(&folder, "bob", &kind.setup(here, &speech));
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
    kind.check(&outcome, &bob);
}
