//! Ports at which nobody listens say so at once (as far as the system tells it: on Linux).
#![cfg(any(target_os = "linux", target_os = "android"))]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use model::{AccountSettings, CallState, Command, Event, Failure, FailureKind, NetworkStep};
use sip_message::Method;

use super::house::{House, account, tenant, tone};
use super::peer::{Peer, SDP, answer, carol, free_addr};
use crate::GivenAccount;

/// Long for one machine, and short beside the 32 seconds of a transaction.
const AT_ONCE: Duration = Duration::from_millis(1_500);

/// Nobody listens there, and no peer has said a word.
fn assert_refused(failure: &Failure) {
    let FailureKind::Network { step, .. } = &failure.what else {
        panic!("{failure:?}");
    };
    assert_eq!(*step, NetworkStep::Refused);
    // A port may have these digits in it.
    let sentence = failure.sentence();
    let mut words = sentence
        .reveal()
        .split(|c: char| !c.is_ascii_digit() && c != ':' && c != '.');
    assert!(words.all(|word| word != "408"), "nobody sent a code");
}

#[tokio::test]
async fn a_call_to_a_closed_port_fails_at_once() {
    let (mut house, _) = carol(tone()).await;
    let closed = free_addr();
    let begun = Instant::now();
    let out = house.dial("carol", &format!("sip:dan@{closed}")).await;
    let ended = house.until_state(out, CallState::Ended).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_refused(&ended.failure.expect("it says why"));
    assert_eq!(ended.last_status, None);
    house.until_notes("found nobody", 1).await;
    house.close().await;
}

#[tokio::test]
async fn a_registration_and_a_question_at_a_closed_port_fail_at_once() {
    let closed = free_addr();
    let begun = Instant::now();
    let given = account("sip:alice@alpha.test", closed, |_| {});
    let mut house = House::start(vec![tenant("Alpha", vec![given])], tone()).await;
    let failure = house
        .until("the account says why", |s| {
            s.accounts.first().and_then(|a| a.failure.clone())
        })
        .await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_refused(&failure);
    let begun = Instant::now();
    house.engine.send(Command::SendOptions {
        account: house.id_of("alice"),
        target: "dan".into(),
    });
    let failure = house
        .until_event("the question is answered", |event| match event {
            Event::OptionsAnswered { failure, .. } => failure.clone(),
            _ => None,
        })
        .await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_refused(&failure);
    house.close().await;
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried_at_once() {
    let dan = Peer::bind().await;
    let mut settings = AccountSettings::new("sip:carol@127.0.0.1");
    settings.register = false;
    let given = GivenAccount {
        logins: Vec::new(),
        settings,
        password: None,
        relay_password: None,
    };
    let given = vec![tenant("Solo", vec![given])];
    let mut house = House::start_with(given, tone(), |config| {
        let both = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST];
        let both = both.map(IpAddr::V4).to_vec();
        config.naming.hosts.insert("pair.test".to_owned(), both);
    })
    .await;
    house
        .until("carol is there", |s| s.accounts.first().map(|_| ()))
        .await;
    let begun = Instant::now();
    let target = format!("sip:dan@pair.test:{};transport=udp", dan.local.port());
    house.dial("carol", &target).await;
    dan.request(Method::Invite).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    house.close().await;
}

#[tokio::test]
async fn a_call_that_was_answered_does_not_hear_that_its_port_is_closed() {
    let (mut house, _) = carol(tone()).await;
    let dan = Peer::bind().await;
    let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    let more = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        dan.local
    );
    dan.send(from, &answer(&invite, "200 OK", &more, SDP)).await;
    dan.request(Method::Ack).await;
    house.until_state(out, CallState::Connected).await;
    drop(dan);
    let sent = house.count_messages(true, "INVITE sip:");
    house.engine.send(Command::HoldCall { call: out });
    // It is repeated as often as ever: the second one proves that the first was not taken for lost.
    house
        .until("the change is sent again", |s| {
            let now = super::house::messages(s, true, "INVITE sip:");
            (now >= sent + 3).then_some(())
        })
        .await;
    let found_nobody = |s: &model::Snapshot| super::house::notes(s, "found nobody");
    assert_eq!(house.engine.hub.read(found_nobody), 0);
    assert_eq!(house.call(out).state, CallState::Connected);
    // The loss of one peer is nothing to another.
    let eve = Peer::bind().await;
    house.dial("carol", &format!("sip:eve@{}", eve.local)).await;
    eve.request(Method::Invite).await;
    house.close().await;
}
