//! Peers inside our own network and outside of it, and what each is told.

use model::{AccountSettings, CallState, Command};
use sip_message::{HeaderName, Method};

use super::house::{House, account, switchboard, tenant, tone};
use super::peer::{Peer, SDP, carol_with, to_tag};

/// Behind a router with this address outside, and known by a name inside.
fn behind_a_router(settings: &mut AccountSettings, inside: &str) {
    settings.public_address = Some("203.0.113.9".to_owned());
    settings.inside = vec!["2001:db8::/32".to_owned(), inside.to_owned()];
    settings.inside_name = Some("phone.lan".to_owned());
}

#[tokio::test]
async fn who_is_called_is_told_the_local_address_inside_and_the_public_one_outside() {
    for (network, address, named) in [
        ("127.0.0.0/8", "127.0.0.1", true),
        ("10.0.0.0/8", "203.0.113.9", false),
    ] {
        let (mut house, at) = carol_with(tone(), |s| behind_a_router(s, network)).await;
        let peer = Peer::bind().await;
        house
            .dial("carol", &format!("sip:dan@{}", peer.local))
            .await;
        let (invite, _) = peer.request(Method::Invite).await;
        let offer = String::from_utf8(invite.body.clone()).expect("a description");
        let line = format!("c=IN IP4 {address}\r\n");
        assert!(offer.contains(&line), "{network}: {offer}");
        let contact = invite.headers.get(HeaderName::Contact).unwrap_or_default();
        let name = format!("@phone.lan:{}", at.port());
        assert_eq!(contact.contains(&name), named, "{network}: {contact}");
        house.close().await;
    }
}

#[tokio::test]
async fn who_calls_from_inside_is_answered_from_inside() {
    let change = |s: &mut AccountSettings| behind_a_router(s, "127.0.0.1");
    let (mut house, at) = carol_with(tone(), change).await;
    let peer = Peer::bind().await;
    peer.send(at, &peer.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let ok = peer.final_response().await;
    let contact = ok.headers.get(HeaderName::Contact).unwrap_or_default();
    let name = format!("@phone.lan:{}", at.port());
    assert!(contact.contains(&name), "{contact}");
    let answer = String::from_utf8(ok.body.clone()).expect("a description");
    assert!(answer.contains("c=IN IP4 127.0.0.1\r\n"), "{answer}");
    let tag = to_tag(&ok);
    peer.send(at, &peer.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    house.close().await;
}

#[tokio::test]
async fn a_registrar_inside_is_told_the_name_and_one_outside_the_public_address() {
    for (network, told) in [
        ("127.0.0.0/8", "@phone.lan:"),
        ("10.0.0.0/8", "@203.0.113.9:"),
    ] {
        let (_switchboard, addr) = switchboard().await;
        let alice = account("sip:alice@alpha.test", addr, |s| {
            behind_a_router(s, network);
        });
        let mut house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
        house.until_registered(1).await;
        house.until_message(true, told).await;
        house.close().await;
    }
}

#[test]
fn what_is_no_network_or_name_is_said_to_be_none() {
    let with = |change: fn(&mut AccountSettings)| {
        let mut settings = AccountSettings::new("sip:alice@alpha.test");
        change(&mut settings);
        crate::check_account(&settings).map_err(|error| error.sentence().into_revealed())
    };
    let network = with(|s| s.inside = vec!["10.0.0.0/33".to_owned()]);
    assert!(network.is_err_and(|said| said.contains("192.168.0.0/16")));
    let name = with(|s| s.inside_name = Some("two words".to_owned()));
    assert!(name.is_err_and(|said| said.contains("phone.example.com")));
    assert_eq!(with(|s| s.inside = vec!["fd00::/8".to_owned()]), Ok(()));
}
