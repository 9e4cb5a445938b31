//! The network changes in the middle of a call.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use model::{CallId, CallState, Command};
use sip_message::{HeaderName, Method};

use super::house::{House, tone};
use super::peer::{Peer, SDP, answer, carol, to_tag};
use crate::network::Moved;
use crate::phone::PhoneMsg;
use crate::tenant::TenantMsg;

const ELSEWHERE: &str = "127.0.0.9";

/// Carol's calls have another address from now on.
fn move_calls(house: &House) {
    let local = ELSEWHERE.parse().expect("it is an address");
    let message = TenantMsg::MoveCalls(local);
    house.tell_phone(PhoneMsg::Tell(house.tenant_of("carol"), Box::new(message)));
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

fn elsewhere(body: &[u8]) -> bool {
    text(body).contains(&format!("c=IN IP4 {ELSEWHERE}"))
}

/// What an answer says that makes a dialog with a description in it.
fn describes(peer: &Peer, more: &str) -> String {
    let local = peer.local;
    format!("Contact: <sip:dan@{local}>\r\nContent-Type: application/sdp\r\n{more}")
}

/// Carol has taken a call of the peer.
async fn talking(offer: &str) -> (House, Peer, CallId) {
    let (mut house, at) = carol(tone()).await;
    let peer = Peer::bind().await;
    peer.send(at, &peer.says("INVITE", 1, None, offer)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&peer.final_response().await);
    peer.send(at, &peer.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    (house, peer, call)
}

/// Carol calls the peer.
async fn calling() -> (House, Peer, CallId) {
    let (mut house, _) = carol(tone()).await;
    let peer = Peer::bind().await;
    let them = format!("sip:dan@{}", peer.local);
    let call = house.dial("carol", &them).await;
    (house, peer, call)
}

#[tokio::test]
async fn the_peer_is_told_of_a_new_address_until_it_takes_it_and_hears_us_from_there() {
    let ears = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = ears.local_addr().unwrap().port();
    let sdp = |version: u32| {
        let sdp = SDP.replace("40000", &port.to_string());
        sdp.replace("o=- 1 1", &format!("o=- 1 {version}"))
    };
    let (mut house, peer, call) = talking(&sdp(1)).await;
    let mut packet = [0; 2048];
    let (_, from) = ears.recv_from(&mut packet).await.unwrap();
    assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 1]));
    let ssrc = packet[8..12].to_vec();

    move_calls(&house);
    // A refusal is no reason to give up: without it nobody hears anybody.
    let (told, from) = peer.request(Method::Invite).await;
    assert!(elsewhere(&told.body));
    peer.send(from, &answer(&told, "488 Not Acceptable Here", "", ""))
        .await;
    let (told, from) = peer.request(Method::Invite).await;
    assert!(elsewhere(&told.body));
    let more = describes(&peer, "");
    peer.send(from, &answer(&told, "200 OK", &more, &sdp(2)))
        .await;
    peer.request(Method::Ack).await;
    house
        .until_notes("the call goes on from the new address", 1)
        .await;
    // The same stream, from the new place.
    loop {
        let (_, from) = ears.recv_from(&mut packet).await.unwrap();
        if from.ip() == ELSEWHERE.parse::<IpAddr>().unwrap() {
            break;
        }
    }
    assert_eq!(packet[8..12], ssrc[..]);
    assert_eq!(house.call(call).state, CallState::Connected);
    house.end(call);
    let (bye, from) = peer.request(Method::Bye).await;
    peer.send(from, &answer(&bye, "200 OK", "", "")).await;
    house.until_state(call, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn a_held_call_stays_held_when_the_network_changes() {
    let (mut house, peer, call) = talking(SDP).await;
    // Both at once: the change of address waits for the answer to the hold.
    house.engine.send(Command::HoldCall { call });
    let (held, from) = peer.request(Method::Invite).await;
    move_calls(&house);
    house
        .until_notes("the network changed; the peer is told", 1)
        .await;
    let more = describes(&peer, "");
    let body = SDP.replace("o=- 1 1", "o=- 1 2") + "a=recvonly\r\n";
    peer.send(from, &answer(&held, "200 OK", &more, &body))
        .await;
    let (told, from) = peer.request(Method::Invite).await;
    let offer = text(&told.body);
    assert!(
        offer.contains("a=sendonly") && offer.contains(ELSEWHERE),
        "{offer}"
    );
    let body = SDP.replace("o=- 1 1", "o=- 1 3") + "a=recvonly\r\n";
    peer.send(from, &answer(&told, "200 OK", &more, &body))
        .await;
    house
        .until_notes("the call goes on from the new address", 1)
        .await;
    assert!(house.call(call).held_by_us);
    house.close().await;
}

#[tokio::test]
async fn only_calls_whose_way_may_be_another_tell_their_peers() {
    let (mut house, peer, _) = talking(SDP).await;
    let gone = |address: [u8; 4]| {
        PhoneMsg::Moved(Arc::new(Moved {
            gone: BTreeSet::from([IpAddr::from(address)]),
            ..Moved::default()
        }))
    };
    house.tell_phone(gone([10, 0, 0, 9]));
    house.until_notes("10.0.0.9 is gone", 1).await;
    house.tell_phone(gone([127, 0, 0, 1]));
    peer.request(Method::Invite).await;
    house.until_notes("the network changed; the peer", 1).await;
    let told = |s: &model::Snapshot| super::house::notes(s, "the network changed; the peer");
    assert_eq!(house.engine.hub.read(told), 1);
    house.close().await;
}

#[tokio::test]
async fn a_call_that_rings_is_answered_from_the_new_address() {
    let (mut house, at) = carol(tone()).await;
    let peer = Peer::bind().await;
    peer.send(at, &peer.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    move_calls(&house);
    house
        .until_notes("the answer will name the new address", 1)
        .await;
    assert_eq!(house.call(call).state, CallState::Ringing);
    house.engine.send(Command::AnswerCall { call });
    let ok = peer.final_response().await;
    assert!(elsewhere(&ok.body), "{}", text(&ok.body));
    let ack = peer.says("ACK", 1, Some(&to_tag(&ok)), "");
    peer.send(at, &ack).await;
    house.until_state(call, CallState::Connected).await;
    house.close().await;
}

/// RFC 3311 §5.1: with an answer that may still be another one only the Contact can be told.
#[tokio::test]
async fn who_rings_for_us_is_told_of_the_new_address_and_of_the_sound_when_the_call_is_taken() {
    let (mut house, peer, call) = calling().await;
    let (invite, at) = peer.request(Method::Invite).await;
    let early = describes(&peer, "Allow: INVITE, UPDATE\r\n");
    let early = answer(&invite, "183 Session Progress", &early, SDP);
    peer.send(at, &early).await;
    house.until_state(call, CallState::Early).await;
    move_calls(&house);
    let (update, from) = peer.request(Method::Update).await;
    assert!(update.body.is_empty());
    assert!(update.headers.has(HeaderName::Contact));
    peer.send(from, &answer(&update, "200 OK", &describes(&peer, ""), ""))
        .await;
    peer.send(at, &answer(&invite, "200 OK", &describes(&peer, ""), SDP))
        .await;
    peer.request(Method::Ack).await;
    let (told, from) = peer.request(Method::Invite).await;
    assert!(elsewhere(&told.body));
    let sdp = SDP.replace("o=- 1 1", "o=- 1 2");
    let taken = answer(&told, "200 OK", &describes(&peer, ""), &sdp);
    peer.send(from, &taken).await;
    house
        .until_notes("the call goes on from the new address", 1)
        .await;
    assert_eq!(house.call(call).state, CallState::Connected);
    house.close().await;
}

#[tokio::test]
async fn sound_before_the_call_is_taken_follows_to_the_new_address_where_it_was_agreed_on() {
    let (mut house, peer, call) = calling().await;
    let (invite, at) = peer.request(Method::Invite).await;
    let more = "Allow: INVITE, PRACK, UPDATE\r\nRequire: 100rel\r\nRSeq: 1\r\n";
    let early = answer(
        &invite,
        "183 Session Progress",
        &describes(&peer, more),
        SDP,
    );
    peer.send(at, &early).await;
    let (prack, from) = peer.request(Method::Prack).await;
    peer.send(from, &answer(&prack, "200 OK", "", "")).await;
    house.until_message(false, "200 OK").await;
    house.until_state(call, CallState::Early).await;
    move_calls(&house);
    let (update, from) = peer.request(Method::Update).await;
    assert!(elsewhere(&update.body), "{}", text(&update.body));
    let sdp = SDP.replace("o=- 1 1", "o=- 1 2");
    let taken = answer(&update, "200 OK", &describes(&peer, ""), &sdp);
    peer.send(from, &taken).await;
    house
        .until_notes("the call goes on from the new address", 1)
        .await;
    assert_eq!(house.call(call).state, CallState::Early);
    let contact = format!("Contact: <sip:dan@{}>\r\n", peer.local);
    peer.send(at, &answer(&invite, "200 OK", &contact, ""))
        .await;
    peer.request(Method::Ack).await;
    house.until_state(call, CallState::Connected).await;
    house.close().await;
}
