//! Servers and peers that do what nobody should: odd grants, requests that belong to nothing, every legal
//! message at the wrong time, and name servers that lead astray. What a person is told is checked to the
//! word.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rig::control::Control;
use crate::rig::dns::NameServer;
use crate::rig::folder::Folder;
use crate::rig::peer::{Heard, Peer, description, with_body};
use crate::rig::process::resident_kb;
use crate::rig::program::{Account, Outcome, Program, SOON, is};
use crate::rig::{ports, seconds, switchboard};

// ---- A registrar ----

/// It is asked again and again, and not in a tight loop.
#[test]
fn a_registrar_that_grants_one_second_is_lived_with() {
    let asked = granted("grants_a_second", 1, seconds(6));
    assert!((3..=14).contains(&asked), "asked {asked} times in 6 s");
}

#[test]
fn a_registrar_that_grants_thirty_years_is_lived_with() {
    let asked = granted("grants_thirty_years", 946_080_000, seconds(3));
    assert_eq!(asked, 1);
}

/// How often a registrar is asked that grants so much; the account is registered all the time.
fn granted(name: &str, grant_s: u32, watched: Duration) -> usize {
    let folder = Folder::new(name);
    let registrar = Peer::new();
    let home = folder.inner("alice");
    let socket = home.join("control");
    let account = Account::new(
        format!("sip:alice@127.0.0.1:{}", registrar.port),
        "--transport udp --audio null",
    );
    let args = format!("--control {}", socket.display());
    let alice = Program::start(&folder, "alice", "headless", &account, &args);
    let mut control = Control::connect(&socket);
    let mut asked = 0;
    let mut answer = |patience| {
        let Some(heard) = registrar.hear(patience) else {
            return;
        };
        if heard.text.starts_with("REGISTER") {
            asked += 1;
            let contact = format!("Contact: <{}>;expires={grant_s}", heard.uri("Contact"));
            registrar.answer(&heard, "200 OK", "r", &contact);
        }
    };
    answer(SOON);
    control.wait_for("registration", SOON, registered);
    let end = Instant::now() + watched;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        answer(left.min(Duration::from_millis(200)));
        let state = control.snapshot();
        assert!(registered(&state).is_some(), "{}", state["accounts"]);
    }
    drop(alice);
    asked
}

fn registered(state: &Value) -> Option<()> {
    (state["accounts"][0]["state"] == "registered").then_some(())
}

// ---- A flood ----

#[test]
fn ten_thousand_notifies_without_a_subscription_are_counted_and_nothing_else() {
    const MANY: u32 = 10_000;
    const MOST_KB: u64 = 24 * 1024;
    let folder = Folder::new("notifies");
    let (bob, port) = waiting(&folder, "--count 1");
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let peer = Peer::new();
    let before = resident_kb(bob.id());
    let mut answered = 0_u32;
    for number in 0..MANY {
        let event = ["message-summary", "dialog", "presence", "refer"][number as usize % 4];
        let more = format!(
            "Event: {event}\r\nSubscription-State: active;expires=3600\r\nContent-Type: text/plain\r\n\r\nMessages-Waiting: yes"
        );
        peer.send(
            to,
            &request(&peer, "NOTIFY", number, "bob", port, "", &more),
        );
        // A look that finds nothing takes some milliseconds, and this is to be a flood.
        while number % 100 == 0
            && let Some(heard) = peer.hear(Duration::from_micros(1))
        {
            assert!(heard.text.starts_with("SIP/2.0 481 "), "{}", heard.text);
            answered += 1;
        }
    }
    while let Some(heard) = peer.hear(Duration::from_millis(300)) {
        assert!(heard.text.starts_with("SIP/2.0 481 "), "{}", heard.text);
        answered += 1;
    }
    assert!((1..=MANY).contains(&answered), "{answered} answers");
    let after = resident_kb(bob.id());
    assert!(after < before + MOST_KB, "from {before} kB to {after} kB");
    println!(
        "{MANY} NOTIFYs: {answered} answered 481, {} kB more",
        after.saturating_sub(before)
    );
    assert!(
        !bob.events().iter().any(|event| is(event, "call")),
        "{}",
        bob.story()
    );
    let alice = Account::new("sip:alice@127.0.0.1", "--no-register --transport udp");
    let args = format!("sip:bob@127.0.0.1:{port} --for 1s");
    Program::start(&folder, "alice", "call", &alice, &args)
        .finish(seconds(30))
        .assert_code(0);
    bob.finish(SOON).assert_code(0);
}

// ---- Every legal message at the wrong time ----

/// How long an answer is waited for before a request is sent once more (RFC 3261 §17.1.1.1).
const T1: Duration = Duration::from_millis(500);

/// Methods that a phone may hear, in no state in which they mean anything. BYE and CANCEL name another
/// call; in this one they would be right.
const METHODS: [&str; 13] = [
    "ACK",
    "BYE",
    "CANCEL",
    "PRACK",
    "UPDATE",
    "REFER",
    "SUBSCRIBE",
    "NOTIFY",
    "INFO",
    "MESSAGE",
    "OPTIONS",
    "REGISTER",
    "PUBLISH",
];
const ANSWERS: [&str; 12] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "200 OK",
    "202 Accepted",
    "302 Moved Temporarily",
    "401 Unauthorized",
    "404 Not Found",
    "481 Call/Transaction Does Not Exist",
    "487 Request Terminated",
    "503 Service Unavailable",
    "603 Decline",
];

#[test]
fn a_peer_that_sends_every_legal_message_at_the_wrong_time_disturbs_no_call() {
    let folder = Folder::new("wrong_time");
    let (mut bob, port) = waiting(&folder, "--count 1 --after 2s");
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let peer = Peer::new();
    let media = ports::free();

    // Before there is a call.
    let mut number = 100;
    disturb(&peer, to, &mut number, "nobody", None);
    let offer = format!(
        "Content-Type: application/sdp\r\n\r\n{}",
        description(media)
    );
    let invite = request(&peer, "INVITE", 1, "bob", port, "", &offer);
    peer.send(to, &invite);
    let ringing = peer.wait("SIP/2.0 180");
    // While it rings, in its early dialog and beside it.
    disturb(&peer, to, &mut number, "bob", Some(&ringing));
    disturb(&peer, to, &mut number, "bob", None);
    let answered = peer.wait("SIP/2.0 200");
    assert!(
        answered.header("CSeq").ends_with("INVITE"),
        "{}",
        answered.text
    );
    let tag = answered
        .header("To")
        .rsplit_once(";tag=")
        .map_or("", |(_, tag)| tag);
    let ack = request(&peer, "ACK", 1, "bob", port, tag, "");
    peer.send(to, &ack);
    bob.wait_call("connected");
    // While they talk: the INVITE and its ACK once more, and everything else.
    peer.send(to, &invite);
    peer.send(to, &ack);
    disturb(&peer, to, &mut number, "bob", Some(&answered));
    disturb(&peer, to, &mut number, "bob", None);
    let last = bob.events().into_iter().rfind(|event| is(event, "call"));
    assert_eq!(
        last.expect("a call")["state"],
        "connected",
        "{}",
        bob.story()
    );

    number += 1;
    peer.send(to, &in_dialog(&peer, "BYE", number, &answered, ""));
    loop {
        let heard = peer.wait("SIP/2.0 200");
        if heard.header("CSeq") == format!("{number} BYE") {
            break;
        }
    }
    disturb(&peer, to, &mut number, "bob", Some(&answered));
    let outcome = bob.finish(seconds(20));
    outcome.assert_code(0);
    let rang = |event: &&Value| is(event, "call") && event["state"] == "ringing";
    assert_eq!(
        outcome.events.iter().filter(rang).count(),
        1,
        "{}",
        outcome.story
    );
}

/// Sends every method and every response, in the dialog of `within` or in none, and hears that each
/// request but ACK is answered for good.
fn disturb(peer: &Peer, to: SocketAddr, number: &mut u32, user: &str, within: Option<&Heard>) {
    for method in METHODS {
        *number += 1;
        let own_end = matches!(method, "BYE" | "CANCEL");
        let text = match within {
            Some(dialog) if !own_end => in_dialog(peer, method, *number, dialog, body_of(method)),
            _ => request(
                peer,
                method,
                *number,
                user,
                to.port(),
                "elsewhere",
                body_of(method),
            ),
        };
        peer.send(to, &text);
        // The one has no answer, about the other a person is asked.
        if method == "ACK" || method == "REFER" && within.is_some() {
            continue;
        }
        let cseq = format!("{number} {method}");
        let deadline = Instant::now() + seconds(3);
        loop {
            // Whom nobody talks with yet gets ten answers a second, and says it again (RFC 3261 §17.1.2.2).
            let Some(heard) = peer.hear(T1) else {
                assert!(
                    Instant::now() < deadline,
                    "{method} is not answered:\n{text}"
                );
                peer.send(to, &text);
                continue;
            };
            let is_final = !heard.text.starts_with("SIP/2.0 1");
            if heard.text.starts_with("SIP/2.0") && is_final && heard.header("CSeq") == cseq {
                break;
            }
            // What the phone asks of us meanwhile, as a NOTIFY after a REFER.
            if !heard.text.starts_with("SIP/2.0") && !heard.text.starts_with("ACK") {
                peer.answer(&heard, "481 Call/Transaction Does Not Exist", "x", "");
            }
        }
    }
    for answer in ANSWERS {
        *number += 1;
        let asked = match within {
            Some(dialog) => in_dialog(peer, "INVITE", *number, dialog, ""),
            None => request(peer, "INVITE", *number, user, to.port(), "", ""),
        };
        let asked = Heard {
            text: asked,
            from: to,
        };
        let contact = format!("Contact: <sip:elsewhere@127.0.0.1:{}>", peer.port);
        peer.send(to, &asked.answered(answer, "stray", &contact));
    }
}

/// Header lines and a body that make the request legal.
fn body_of(method: &str) -> &'static str {
    match method {
        "PRACK" => "RAck: 1 1 INVITE",
        "REFER" => "Refer-To: <sip:carol@127.0.0.1:9>",
        "SUBSCRIBE" => "Event: dialog\r\nExpires: 60",
        "NOTIFY" => {
            "Event: refer\r\nSubscription-State: active\r\nContent-Type: message/sipfrag\r\n\r\nSIP/2.0 200 OK"
        }
        "INFO" => "Content-Type: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=100\r\n",
        "MESSAGE" => "Content-Type: text/plain\r\n\r\nhello",
        "PUBLISH" => "Event: presence\r\nExpires: 60",
        "REGISTER" => "Expires: 60",
        _ => "",
    }
}

/// A request to `user` at `port`; `tag` is that of To.
fn request(
    peer: &Peer,
    method: &str,
    number: u32,
    user: &str,
    port: u16,
    tag: &str,
    more: &str,
) -> String {
    let own = peer.port;
    let tag = if tag.is_empty() {
        String::new()
    } else {
        format!(";tag={tag}")
    };
    let call = if method == "INVITE" || method == "ACK" && number == 1 {
        1
    } else {
        number
    };
    let branch = if method == "ACK" { "ack" } else { "r" };
    with_body(
        format!(
            "{method} sip:{user}@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{branch}{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:mallory@127.0.0.1:{own}>;tag=m\r\nTo: <sip:{user}@127.0.0.1:{port}>{tag}\r\n\
             Call-ID: strange-{call}\r\nCSeq: {number} {method}\r\nContact: <sip:mallory@127.0.0.1:{own}>\r\n"
        ),
        more,
    )
}

/// A request in the dialog that a response of the phone made.
fn in_dialog(peer: &Peer, method: &str, number: u32, dialog: &Heard, more: &str) -> String {
    let own = peer.port;
    with_body(
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bKd{number};rport\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContact: <sip:mallory@127.0.0.1:{own}>\r\n",
            dialog.uri("Contact"),
            dialog.header("From"),
            dialog.header("To"),
            dialog.header("Call-ID"),
        ),
        more,
    )
}

/// `tipring answer` as bob on a port of its own.
fn waiting(folder: &Folder, args: &str) -> (Program, u16) {
    let port = ports::free();
    let account = Account::new(
        "sip:bob@127.0.0.1",
        &format!("--no-register --transport udp --codecs pcmu --bind 127.0.0.1:{port}"),
    );
    let bob = Program::start(folder, "bob", "answer", &account, args);
    switchboard::wait_taken(port, || {});
    (bob, port)
}

// ---- Name servers ----

#[test]
fn a_name_that_leads_to_ourselves_is_not_followed() {
    let own = ports::free();
    let records = |_: u16| {
        vec![
            format!("srv-host=_sip._udp.office.test,self.office.test,{own},10,1"),
            "host-record=self.office.test,127.0.0.1".to_owned(),
        ]
    };
    let outcome = sign_in("dns_self", &records, &format!("--bind 127.0.0.1:{own}"));
    check_reason(&outcome, "office.test leads to ourselves");
}

#[test]
fn a_name_that_leads_nowhere_is_said() {
    // RFC 2782: a lone dot says that the service is decidedly not available.
    let outcome = sign_in(
        "dns_nowhere",
        &|_| vec!["srv-host=_sip._udp.office.test".to_owned()],
        "",
    );
    check_reason(&outcome, "says that it has no such service");
}

#[test]
fn of_forty_dead_servers_so_many_are_asked_and_then_a_person_is_told() {
    let records = |first: u16| {
        let target = |number: u16| {
            let port = first + number;
            format!("srv-host=_sip._udp.office.test,s{number}.office.test,{port},{number},1")
        };
        let host = |number: u16| format!("host-record=s{number}.office.test,127.0.0.1");
        (0..40).map(target).chain((0..40).map(host)).collect()
    };
    let started = Instant::now();
    let outcome = sign_in("dns_forty", &records, "");
    check_reason(&outcome, "Port closed");
    println!("forty dead servers: told after {:.1?}", started.elapsed());
}

/// Signs in at `office.test` with these records; gives what became of it.
fn sign_in(name: &str, records: &dyn Fn(u16) -> Vec<String>, more: &str) -> Outcome {
    let folder = Folder::new(name);
    let names = NameServer::start(&folder, &records(ports::free_run(40)));
    let account = Account::new(
        "sip:alice@office.test",
        &format!("--transport udp --dns 127.0.0.1:{} {more}", names.port),
    );
    Program::start(&folder, "alice", "register", &account, "--for 12s").finish(seconds(30))
}

/// Checks that it failed, and that this was said.
fn check_reason(outcome: &Outcome, words: &str) {
    outcome.assert_code(1);
    let mut reasons = outcome
        .events
        .iter()
        .filter(|event| is(event, "registration"))
        .filter_map(|event| event["reason"].as_str());
    let said = reasons.find(|reason| reason.contains(words));
    println!(
        "{}",
        said.unwrap_or_else(|| panic!("nobody said “{words}”\n{}", outcome.story))
    );
}
