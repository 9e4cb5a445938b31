//! The end of a program, and listeners that fall behind.

use std::time::{Duration, Instant};

use model::{CallState, Command, Event, Outcome};
use sip_message::Method;

use super::house::{House, account, switchboard, tenant, tone};
use super::limits::two_pairs;
use super::peer::{Peer, SDP, answer, carol, free_addr, to_tag};

#[tokio::test]
async fn leaving_hangs_up_and_signs_out_and_does_not_take_long() {
    let (switchboard, addr) = switchboard().await;
    let given = vec![
        tenant("Alpha", vec![account("sip:alice@alpha.test", addr, |_| {})]),
        tenant("Beta", vec![account("sip:bob@beta.test", addr, |_| {})]),
    ];
    let mut house = House::start(given, tone()).await;
    house.until_registered(2).await;
    let echo = house.dial("alice", "echo").await;
    house.until_state(echo, CallState::Connected).await;
    house.talk("alice", "sip:bob@beta.test").await;
    let begun = Instant::now();
    house.engine.send(Command::Shutdown);
    house
        .until_event("it has ended", |event| {
            (*event == Event::Stopped).then_some(())
        })
        .await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        house.count_messages(true, "BYE sip:") >= 2,
        "both calls were hung up"
    );
    let answers = house.count_messages(false, " BYE\r\n");
    assert!(answers >= 1, "and the other end heard of it");
    let bindings = switchboard.counts().await.expect("it runs").bindings;
    assert_eq!(bindings, 0, "both have signed out");
    house.close().await;
}

#[tokio::test]
async fn leaving_frees_the_ports_of_signalling_and_of_sound() {
    let (_switchboard, addr) = switchboard().await;
    let at = free_addr();
    let alice = account("sip:alice@alpha.test", addr, |settings| {
        settings.bind = Some(at.to_string());
    });
    let media = two_pairs();
    let mut house = House::start_with(vec![tenant("Alpha", vec![alice])], tone(), |config| {
        config.media_ports = media.clone();
    })
    .await;
    house.until_registered(1).await;
    let echo = house.dial("alice", "echo").await;
    house.until_state(echo, CallState::Connected).await;
    let bind = |port: u16| std::net::UdpSocket::bind(("127.0.0.1", port));
    assert!(bind(at.port()).is_err(), "it is in use");
    // Who is told to leave does so by itself, well before anybody's patience is at its end.
    let begun = Instant::now();
    house.engine.send(Command::Shutdown);
    until_stopped(&mut house).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    house.close().await;
    // The tasks that held them end a moment later.
    let begun = Instant::now();
    let is_free = || {
        let signalling = bind(at.port()).is_ok() && std::net::TcpListener::bind(at).is_ok();
        signalling && media.clone().all(|port| bind(port).is_ok())
    };
    while !is_free() {
        assert!(begun.elapsed() < Duration::from_secs(20), "a port is held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// RFC 3261 §16.7, §21.6.2: a 6xx would end it on every phone that rings for it, and nobody has declined it.
#[tokio::test]
async fn leaving_lets_a_call_that_rings_go_on_ringing_elsewhere() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::Shutdown);
    assert_eq!(dan.final_response().await.status.code(), 480);
    let ended = house.until_state(call, CallState::Ended).await;
    assert_eq!(ended.details.outcome, Some(Outcome::Missed));
    house.close().await;
}

/// RFC 3261 §17.1.2.2: what is lost is said again, also by a program on its way out.
#[tokio::test]
async fn leaving_says_a_lost_bye_again_and_goes_once_it_is_answered() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&dan.final_response().await);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    house.engine.send(Command::Shutdown);
    let (lost, _) = dan.request(Method::Bye).await;
    let (again, from) = dan.request(Method::Bye).await;
    assert_eq!(lost.headers.cseq(), again.headers.cseq());
    dan.send(from, &answer(&again, "200 OK", "", "")).await;
    let answered = Instant::now();
    until_stopped(&mut house).await;
    // Not the five seconds for which the answer may be repeated.
    assert!(answered.elapsed() < Duration::from_secs(2));
    house.close().await;
}

#[tokio::test]
async fn leaving_says_a_lost_cancel_again_and_acknowledges_what_comes_of_it() {
    let (mut house, _) = carol(tone()).await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    dan.send(from, &answer(&invite, "180 Ringing", "", ""))
        .await;
    house.until_state(call, CallState::Ringing).await;
    house.engine.send(Command::Shutdown);
    dan.request(Method::Cancel).await;
    let (cancel, _) = dan.request(Method::Cancel).await;
    dan.send(from, &answer(&cancel, "200 OK", "", "")).await;
    dan.send(from, &answer(&invite, "487 Request Terminated", "", ""))
        .await;
    dan.request(Method::Ack).await;
    let answered = Instant::now();
    until_stopped(&mut house).await;
    assert!(answered.elapsed() < Duration::from_secs(2));
    house.close().await;
}

async fn until_stopped(house: &mut House) {
    house
        .until_event("it has ended", |event| {
            (*event == Event::Stopped).then_some(())
        })
        .await;
}

#[tokio::test]
async fn leaving_does_not_wait_for_a_silent_server() {
    let silent = super::peer::Peer::bind().await;
    let given = account("sip:alice@alpha.test", silent.local, |_| {});
    let mut house = House::start(vec![tenant("Alpha", vec![given])], tone()).await;
    silent.request(sip_message::Method::Register).await;
    let begun = Instant::now();
    house.engine.send(Command::Shutdown);
    house
        .until_event("it has ended", |event| {
            (*event == Event::Stopped).then_some(())
        })
        .await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    house.close().await;
}

#[tokio::test]
async fn a_call_that_comes_while_leaving_is_turned_away() {
    let (mut house, at) = super::peer::carol(tone()).await;
    let dan = super::peer::Peer::bind().await;
    dan.send(at, &dan.says("OPTIONS", 1, None, "")).await;
    dan.final_response().await;
    house.engine.send(Command::Shutdown);
    dan.send(at, &dan.says("INVITE", 2, None, super::peer::SDP))
        .await;
    assert!(dan.final_response().await.status.is_failure());
    house
        .until_event("it has ended", |event| {
            (*event == Event::Stopped).then_some(())
        })
        .await;
    assert!(house.engine.snapshot().calls.is_empty());
    house.close().await;
}

#[tokio::test]
async fn a_removed_tenant_leaves_nothing_behind() {
    let mut house = House::open().await;
    let (_, into) = house.talk("alice", "sip:bob@beta.test").await;
    let alpha = house.tenant_of("alice");
    house.engine.send(Command::RemoveTenant {
        tenant: alpha.clone(),
    });
    house.until_state(into, CallState::Ended).await;
    house
        .until("it is gone", |s| {
            let gone = s.tenants.len() == 1
                && s.accounts.iter().all(|a| a.tenant != alpha)
                && s.calls.iter().all(|c| c.tenant != alpha);
            gone.then_some(())
        })
        .await;
    house
        .until_event("its history is forgotten", |event| {
            matches!(event, Event::HistoryCleared { tenant } if *tenant == alpha).then_some(())
        })
        .await;
    let (out, _) = (house.dial("bob", "echo").await, ());
    house.until_state(out, CallState::Connected).await;
    let left = |s: &model::Snapshot| s.history.iter().any(|h| h.tenant == alpha);
    assert!(!house.engine.hub.read(left));
    house.close().await;
}

#[tokio::test]
async fn a_listener_that_slept_through_a_call_knows_how_it_ended() {
    let mut house = House::open().await;
    let mut sleeper = house.engine.subscribe(None);
    let _ = sleeper.try_next();
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for round in 0..600 {
        house.engine.send(Command::MuteCall {
            call: out,
            muted: round % 2 == 0,
        });
        house.engine.send(Command::MuteCall {
            call: into,
            muted: round % 2 == 0,
        });
    }
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    house.until_state(out, CallState::Ended).await;
    let Some(Event::Resync { snapshot }) = sleeper.try_next() else {
        panic!("it should have to start over")
    };
    assert!(snapshot.calls.iter().all(|c| c.state == CallState::Ended));
    house.close().await;
}
