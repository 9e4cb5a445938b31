//! Floods, and those who wait no longer.

use std::net::{Ipv4Addr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use model::{CallState, Command, Event, FailureKind, Transport, WayStep};
use sip_message::{HeaderName, Message, Method, StatusCode};

use super::house::{House, account, switchboard, tenant, tone};
use super::peer::{Peer, SDP, free_addr, to_tag};

/// So many calls of one address that is no server of the account may ring.
const RINGING: usize = 16;

/// Ports for two streams and no more, all of them free.
pub(super) fn two_pairs() -> RangeInclusive<u16> {
    loop {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let first = socket.local_addr().expect("it is bound").port() & !1;
        drop(socket);
        let range = first..=first.saturating_add(3);
        let free = |port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        if first < 65_000 && range.clone().all(free) {
            return range;
        }
    }
}

#[tokio::test]
async fn a_thousand_calls_take_no_sockets_and_do_not_harm_the_one_that_is_up() {
    let (_switchboard, proxy) = switchboard().await;
    let at = free_addr();
    let alice = account("sip:alice@alpha.test", proxy, |settings| {
        settings.register = false;
        settings.bind = Some(at.to_string());
    });
    let given = vec![tenant("Alpha", vec![alice])];
    let mut house = House::start_with(given, tone(), |c| c.media_ports = two_pairs()).await;
    house
        .until("alice is there", |s| s.accounts.first().map(|_| ()))
        .await;
    let echo = house.dial("alice", "echo").await;
    house.until_state(echo, CallState::Connected).await;

    let dan = Peer::bind().await;
    let mut busy = 0;
    for call in 0..1_000 {
        let id = format!("flood-{call}@");
        let invite = dan
            .says("INVITE", 1, None, SDP)
            .replace("carol@127.0.0.1", "alice@127.0.0.1")
            .replace("c1@", &id)
            .replace("z9hG4bK-INVITE-1", &format!("z9hG4bK-flood-{call}"));
        dan.send(at, &invite).await;
        loop {
            let (message, _) = dan.receive().await.expect("every call is answered at once");
            let Message::Response(response) = message else {
                continue;
            };
            let call_id = response.headers.get(HeaderName::CallId).unwrap_or_default();
            if call_id.starts_with(&id) {
                busy += usize::from(response.status == StatusCode::BUSY_HERE);
                break;
            }
        }
    }
    assert_eq!(busy, 1_000 - RINGING);
    let ringing = house
        .until("so many ring", |s| {
            let ring = |c: &&model::CallView| c.state == CallState::Ringing;
            let ids: Vec<_> = s.calls.iter().filter(ring).map(|c| c.id).collect();
            (ids.len() == RINGING).then_some(ids)
        })
        .await;
    let heard = house.until_heard(echo, 0).await;
    house.until_heard(echo, heard + 50).await;

    // Who calls from elsewhere is not kept out by them.
    let erin = Peer::bind_at("127.0.0.3").await;
    let invite = erin
        .says("INVITE", 1, None, SDP)
        .replace("carol@127.0.0.1", "alice@127.0.0.1");
    erin.send(at, &invite).await;
    house
        .until("one more rings", |s| {
            let ring = |c: &&model::CallView| c.state == CallState::Ringing;
            (s.calls.iter().filter(ring).count() == RINGING + 1).then_some(())
        })
        .await;

    // The ports that are left are there for the one that is answered.
    house.engine.send(Command::AnswerCall { call: ringing[0] });
    let response = dan.final_response().await;
    assert_eq!(response.status, StatusCode::OK);
    let ack = dan
        .says("ACK", 1, Some(&to_tag(&response)), "")
        .replace("carol@127.0.0.1", "alice@127.0.0.1")
        .replace("c1@", "flood-0@");
    dan.send(at, &ack).await;
    house.until_state(ringing[0], CallState::Connected).await;
    // And one for which none are left is not, and says why.
    house.engine.send(Command::AnswerCall { call: ringing[1] });
    let ended = house.until_state(ringing[1], CallState::Ended).await;
    let failure = ended.failure.expect("it says why");
    assert!(
        failure.sentence().reveal().contains("no media port"),
        "{}",
        failure.sentence().reveal()
    );
    assert_eq!(
        dan.final_response().await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    house.close().await;
}

#[tokio::test]
async fn a_question_to_a_silent_server_ends_when_its_time_is_up() {
    let silent = Peer::bind().await;
    let carol = account("sip:carol@127.0.0.1", silent.local, |s| s.register = false);
    let given = vec![tenant("Solo", vec![carol])];
    let limit = Duration::from_millis(700);
    let mut house = House::start_with(given, tone(), |c| c.ask_limit = Some(limit)).await;
    house
        .until("carol is there", |s| s.accounts.first().map(|_| ()))
        .await;
    let begun = Instant::now();
    house.engine.send(Command::SendOptions {
        account: house.id_of("carol"),
        target: "dan".into(),
    });
    silent.request(Method::Options).await;
    let failure = house
        .until_event("it is told", |event| match event {
            Event::OptionsAnswered { failure, .. } => failure.clone(),
            _ => None,
        })
        .await;
    let waited = begun.elapsed();
    assert!(
        waited >= limit && waited < Duration::from_secs(5),
        "{waited:?}"
    );
    match failure.what {
        FailureKind::NoAnswer { asked: Some(asked) } => {
            assert!(asked.contains(&silent.local.to_string()), "{asked}");
        }
        other => panic!("{other:?}"),
    }
    house.close().await;
}

/// How a call ends that has little time to ring, at a port that takes connections and says nothing.
async fn called_in_vain(transport: Transport, target: String) -> FailureKind {
    let carol = account("sip:carol@127.0.0.1", free_addr(), |settings| {
        settings.register = false;
        settings.proxy = None;
        settings.transport = Some(transport);
    });
    let given = vec![tenant("Solo", vec![carol])];
    let limit = Duration::from_millis(900);
    let mut house = House::start_with(given, tone(), |c| c.ring_limit = Some(limit)).await;
    house
        .until("carol is there", |s| s.accounts.first().map(|_| ()))
        .await;
    let call = house.dial("carol", &target).await;
    let ended = house.until_state(call, CallState::Ended).await;
    house.close().await;
    ended.failure.expect("it says why").what
}

#[tokio::test]
async fn a_call_that_never_left_says_what_it_waited_for() {
    // The kernel takes the connections; nobody speaks TLS or WebSocket there.
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let at = silent.local_addr().expect("it is bound");
    for (transport, word, step) in [
        (Transport::Tls, "tls", WayStep::Tls),
        (Transport::Ws, "ws", WayStep::WebSocket),
        (Transport::Wss, "wss", WayStep::Tls),
    ] {
        let target = format!("sip:dan@{at};transport={word}");
        let asked = at.to_string();
        let why = called_in_vain(transport, target).await;
        assert_eq!(why, FailureKind::NotReached { step, asked });
    }
}

#[tokio::test]
async fn a_call_that_nobody_answered_at_all_does_not_say_that_nobody_picked_up() {
    let silent = Peer::bind().await;
    let asked = Some(silent.local.to_string());
    let target = format!("sip:dan@{}", silent.local);
    let why = called_in_vain(Transport::Udp, target).await;
    assert_eq!(why, FailureKind::NoAnswer { asked });
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let at = silent.local_addr().expect("it is bound");
    let asked = Some(at.to_string());
    let target = format!("sip:dan@{at};transport=tcp");
    let why = called_in_vain(Transport::Tcp, target).await;
    assert_eq!(why, FailureKind::NoAnswer { asked });
}
