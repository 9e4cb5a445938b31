//! The public address of the media, from a STUN server into session descriptions.

use std::net::SocketAddr;

use model::{CallState, Command};
use nat::stun::Binding;
use sip_message::Method;
use tokio::net::UdpSocket;

use super::house::{House, tone};
use super::peer::{Peer, SDP, answer, carol_with, to_tag};

/// A server that sees everybody at another address, as if a router stood between.
async fn server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let local = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        let mut asked = 0;
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Some(Binding::Request(id)) = Binding::read(&buffer[..length]) else {
                continue;
            };
            asked += 1;
            // The first question of each socket is lost.
            if asked > 2 {
                let port = 20_000 + from.port() % 2;
                let seen = SocketAddr::from(([203, 0, 113, 9], port * 2));
                let told = Binding::Success(id, Some(seen)).to_bytes();
                let _ = socket.send_to(&told, from).await;
            }
        }
    });
    local
}

/// Carol, who has her media's address told by this server.
async fn who_asks(server: SocketAddr) -> (House, SocketAddr) {
    carol_with(tone(), |settings| {
        settings.stun = Some(server.to_string().into());
    })
    .await
}

#[tokio::test]
async fn the_address_that_a_stun_server_sees_stands_in_the_offer() {
    let server = server().await;
    let (mut house, _) = who_asks(server).await;
    let peer = Peer::bind().await;
    let call = house
        .dial("carol", &format!("sip:dan@{}", peer.local))
        .await;
    let (invite, at) = peer.request(Method::Invite).await;
    let offer = String::from_utf8(invite.body.clone()).unwrap();
    assert!(offer.contains("c=IN IP4 203.0.113.9\r\n"), "{offer}");
    assert!(offer.contains("m=audio 40000 "), "{offer}");
    // Reports are seen at a port that nobody would guess.
    assert!(offer.contains("a=rtcp:40002\r\n"), "{offer}");
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    // A private address, which who is elsewhere cannot reach.
    let sdp = SDP.replace("c=IN IP4 127.0.0.1", "c=IN IP4 10.9.8.7");
    peer.send(at, &answer(&invite, "200 OK", &contact, &sdp))
        .await;
    house.until_state(call, CallState::Connected).await;
    house
        .until_notes("a private address that cannot be reached", 1)
        .await;
    house.close().await;
}

#[tokio::test]
async fn it_stands_in_the_answer_too_and_nothing_is_told_before_it_is_known() {
    let server = server().await;
    let (mut house, at) = who_asks(server).await;
    let peer = Peer::bind().await;
    peer.send(at, &peer.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let ok = peer.final_response().await;
    assert_eq!(ok.status.code(), 200);
    // The server's first answers are lost, so that its word comes later than the person's.
    let answer = String::from_utf8(ok.body.clone()).unwrap();
    assert!(answer.contains("c=IN IP4 203.0.113.9\r\n"), "{answer}");
    assert!(answer.contains("m=audio 40000 "), "{answer}");
    // No message of ours told another address.
    assert_eq!(house.count_messages(true, "c=IN IP4 127.0.0.1"), 0);
    let tag = to_tag(&ok);
    peer.send(at, &peer.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    house.close().await;
}

#[tokio::test]
async fn a_stun_server_that_is_silent_costs_a_moment_and_no_call() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = silent.local_addr().unwrap();
    let (mut house, _) = who_asks(server).await;
    let peer = Peer::bind().await;
    let _call = house
        .dial("carol", &format!("sip:dan@{}", peer.local))
        .await;
    house
        .until_notice("away: where our media is seen is not known: the STUN server does not answer")
        .await;
    // It comes after the time that the server has.
    house
        .until_notes("the STUN server does not answer", 1)
        .await;
    let (invite, _) = peer.request(Method::Invite).await;
    let offer = String::from_utf8(invite.body).unwrap();
    assert!(offer.contains("c=IN IP4 127.0.0.1\r\n"), "{offer}");
    house.close().await;
}

/// A relay that answers every request for an address with this error.
async fn relay_that_says(code: u16) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let local = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let question = &buffer[..length];
            assert_eq!(question[..2], [0, 3], "it asks for an address");
            let [class, number] = [(code / 100) as u8, (code % 100) as u8];
            let mut answer = vec![0x01, 0x13, 0, 8];
            answer.extend(&question[4..20]);
            answer.extend([0, 9, 0, 4, 0, 0, class, number]);
            let _ = socket.send_to(&answer, from).await;
        }
    });
    local
}

#[tokio::test]
async fn a_relay_that_says_no_is_noted_with_its_reason_and_the_call_goes_on() {
    for (code, reason) in [
        (
            486,
            "this user has as many addresses there as allowed (486)",
        ),
        (508, "it has no address left (508)"),
        (403, "it does not serve us"),
    ] {
        let relay = relay_that_says(code).await;
        let (mut house, _) = carol_with(tone(), |settings| {
            settings.turn = Some(format!("turn:{relay}").into());
        })
        .await;
        let peer = Peer::bind().await;
        let _call = house
            .dial("carol", &format!("sip:dan@{}", peer.local))
            .await;
        let note = format!("there is no relay for our media: {reason}");
        house.until_notes(&note, 1).await;
        let (invite, _) = peer.request(Method::Invite).await;
        let offer = String::from_utf8(invite.body).unwrap();
        assert!(offer.contains("c=IN IP4 127.0.0.1\r\n"), "{offer}");
        house.close().await;
    }
}
