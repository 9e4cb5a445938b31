//! Sound before the call is taken, from one phone and from several.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::CallState;
use sip_message::{HeaderName, Message, Method, Request, Response};
use tokio::net::UdpSocket;

use super::house::{House, notes, tone};
use super::peer::{Peer, SDP, answer, carol, carol_with, to_tag, with};

/// An answer of the fork with this tag, which wants media at this port.
fn fork(request: &Request, peer: &Peer, line: &str, tag: &str, port: u16) -> String {
    let sdp = SDP.replace("40000", &port.to_string());
    described(request, peer, line, tag, &sdp)
}

/// The same with this description.
fn described(request: &Request, peer: &Peer, line: &str, tag: &str, sdp: &str) -> String {
    let more = format!(
        "Contact: <sip:{tag}@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    answer(request, line, &more, sdp).replace("tag=peer", &format!("tag={tag}"))
}

async fn ears() -> (UdpSocket, u16) {
    let ears = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = ears.local_addr().unwrap().port();
    (ears, port)
}

/// Waits until this one hears something that it did not hear before.
async fn until_heard(ears: &UdpSocket) {
    let mut packet = [0; 2048];
    while ears.try_recv_from(&mut packet).is_ok() {}
    let hearing = ears.recv_from(&mut packet);
    let heard = tokio::time::timeout(std::time::Duration::from_secs(5), hearing).await;
    heard.expect("something is heard").unwrap();
}

async fn dials(house: &mut House, peer: &Peer) -> (model::CallId, Request, std::net::SocketAddr) {
    let call = house
        .dial("carol", &format!("sip:dan@{}", peer.local))
        .await;
    let (invite, from) = peer.request(Method::Invite).await;
    (call, invite, from)
}

#[tokio::test]
async fn the_fork_that_answered_last_is_heard_and_then_the_one_that_takes_the_call() {
    let (mut house, _) = carol(tone()).await;
    let peer = Peer::bind().await;
    let (desk, desk_port) = ears().await;
    let (cell, cell_port) = ears().await;
    let (call, invite, at) = dials(&mut house, &peer).await;
    let early = |tag, port| fork(&invite, &peer, "183 Session Progress", tag, port);
    peer.send(at, &early("desk", desk_port)).await;
    house.until_state(call, CallState::Early).await;
    until_heard(&desk).await;
    peer.send(at, &early("cell", cell_port)).await;
    until_heard(&cell).await;
    // The first one takes it, and gives the answer that it gave before.
    let ok = fork(&invite, &peer, "200 OK", "desk", desk_port);
    peer.send(at, &ok).await;
    let (ack, _) = peer.request(Method::Ack).await;
    assert!(ack.uri.to_string().contains("desk@"));
    house.until_state(call, CallState::Connected).await;
    until_heard(&desk).await;
    house.close().await;
}

#[tokio::test]
async fn a_fork_that_takes_the_call_with_its_first_words_is_heard_after_early_media_of_another() {
    let (mut house, _) = carol(tone()).await;
    let peer = Peer::bind().await;
    let (desk, desk_port) = ears().await;
    let (cell, cell_port) = ears().await;
    let (call, invite, at) = dials(&mut house, &peer).await;
    let early = fork(&invite, &peer, "183 Session Progress", "desk", desk_port);
    peer.send(at, &early).await;
    until_heard(&desk).await;
    peer.send(at, &fork(&invite, &peer, "200 OK", "cell", cell_port))
        .await;
    house.until_state(call, CallState::Connected).await;
    until_heard(&cell).await;
    // And hold works in what has become the session.
    house.engine.send(model::Command::HoldCall { call });
    peer.request(Method::Ack).await;
    let (held, _) = peer.request(Method::Invite).await;
    assert!(held.uri.to_string().contains("cell@"));
    house.close().await;
}

#[tokio::test]
async fn who_wants_no_early_media_hears_the_phone_ring_and_talks_after_the_answer() {
    let (mut house, _) = carol_with(tone(), |settings| settings.calls.early_media = false).await;
    let peer = Peer::bind().await;
    let (desk, port) = ears().await;
    let (call, invite, at) = dials(&mut house, &peer).await;
    peer.send(at, &answer(&invite, "180 Ringing", "", "")).await;
    house.until_state(call, CallState::Ringing).await;
    let early = fork(&invite, &peer, "183 Session Progress", "peer", port);
    peer.send(at, &early).await;
    peer.send(at, &answer(&invite, "180 Ringing", "", "")).await;
    house.until_message(false, "183 Session Progress").await;
    assert_eq!(house.call(call).state, CallState::Ringing);
    let mut packet = [0; 2048];
    assert!(desk.try_recv_from(&mut packet).is_err(), "nothing is sent");
    peer.send(at, &fork(&invite, &peer, "200 OK", "peer", port))
        .await;
    house.until_state(call, CallState::Connected).await;
    until_heard(&desk).await;
    house.close().await;
}

/// Where the description in this request wants media.
fn wanted_at(request: &Request) -> SocketAddr {
    let text = String::from_utf8(request.body.clone()).expect("a description");
    let line = text.lines().find_map(|line| line.strip_prefix("m=audio "));
    let port = line.and_then(|line| line.split(' ').next()?.parse().ok());
    SocketAddr::from(([127, 0, 0, 1], port.expect("a line of audio")))
}

/// Speaks until it is dropped.
struct Speaker(tokio::task::JoinHandle<()>);

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// PCMU every 20 ms from there, as `ssrc` and from this number on.
fn speak(from: &Arc<UdpSocket>, to: SocketAddr, ssrc: u8, first: u16) -> Speaker {
    let from = Arc::clone(from);
    let speaks = async move {
        let mut every = tokio::time::interval(Duration::from_millis(20));
        for n in first.. {
            every.tick().await;
            let mut packet = vec![0x80, 0];
            packet.extend(n.to_be_bytes());
            packet.extend((u32::from(n) * 160).to_be_bytes());
            packet.extend([0, 0, 0, ssrc]);
            packet.resize(12 + 160, 0x55);
            from.send_to(&packet, to).await.expect("it can be sent");
        }
    };
    Speaker(tokio::spawn(speaks))
}

/// RFC 3960 §3.2: an answer is no sound. The phone is heard ringing from here after a 180 and while no media comes; a 183
/// alone never rings.
#[tokio::test]
async fn a_phone_that_rings_and_sends_nothing_is_heard_ringing_whatever_it_has_answered() {
    const RINGS: &str = "it is heard ringing from here";
    const SOUNDS: &str = "is heard in place of its ringing";
    let (mut house, _) = carol(tone()).await;
    let peer = Peer::bind().await;
    let (desk, port) = ears().await;
    let desk = Arc::new(desk);
    let (call, invite, at) = dials(&mut house, &peer).await;
    let progress = fork(&invite, &peer, "183 Session Progress", "desk", port);
    peer.send(at, &progress).await;
    house.until_state(call, CallState::Early).await;
    until_heard(&desk).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    house.until_state(call, CallState::Early).await;
    let rings = house.engine.hub.read(|s| notes(s, RINGS));
    assert_eq!(rings, 0, "a 183 does not ring");
    let ringing = answer(&invite, "180 Ringing", "", "").replace("tag=peer", "tag=desk");
    peer.send(at, &ringing).await;
    house.until_notes(RINGS, 1).await;
    // An announcement, and its end.
    let speaker = speak(&desk, wanted_at(&invite), 1, 0);
    house.until_notes(SOUNDS, 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(speaker);
    house.until_notes(RINGS, 2).await;
    let _speaker = speak(&desk, wanted_at(&invite), 1, 50);
    house.until_notes(SOUNDS, 2).await;
    let ok = fork(&invite, &peer, "200 OK", "desk", port);
    peer.send(at, &ok).await;
    house.until_state(call, CallState::Connected).await;
    house.close().await;
}

/// A 180 that has the answer in it, as many send one.
#[tokio::test]
async fn a_180_with_an_answer_rings_too() {
    let (mut house, _) = carol(tone()).await;
    let peer = Peer::bind().await;
    let (_desk, port) = ears().await;
    let (call, invite, at) = dials(&mut house, &peer).await;
    peer.send(at, &fork(&invite, &peer, "180 Ringing", "desk", port))
        .await;
    house.until_state(call, CallState::Early).await;
    house.until_notes("it is heard ringing from here", 1).await;
    house.close().await;
}

/// A peer behind a router announces an address that leads nowhere. Somebody else is quicker and does not stop; what we say
/// goes to whom the signalling comes from all the same.
#[tokio::test]
async fn a_stranger_who_speaks_first_does_not_get_what_we_say() {
    let (mut house, _) = carol(tone()).await;
    let peer = Peer::bind().await;
    let (right, _) = ears().await;
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let (call, invite, at) = dials(&mut house, &peer).await;
    let hidden = SDP.replace("c=IN IP4 127.0.0.1", "c=IN IP4 10.11.12.13");
    peer.send(at, &described(&invite, &peer, "200 OK", "desk", &hidden))
        .await;
    house.until_state(call, CallState::Connected).await;
    let to = wanted_at(&invite);
    let _stranger = speak(&Arc::new(stranger), to, 1, 0);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let right = Arc::new(right);
    let _right = speak(&right, to, 2, 0);
    until_heard(&right).await;
    house.close().await;
}

/// Carol, whose callers hear an announcement before the call is taken.
async fn announcing() -> (House, std::net::SocketAddr) {
    let mut settings = model::AccountSettings::new("sip:carol@127.0.0.1");
    let at = super::peer::free_addr();
    settings.register = false;
    settings.bind = Some(at.to_string());
    let given = crate::GivenAccount {
        logins: Vec::new(),
        settings,
        password: None,
        relay_password: None,
    };
    let tenants = vec![super::house::tenant("Solo", vec![given])];
    let mut house = House::start_with(tenants, tone(), |config| config.announce = true).await;
    house
        .until("carol is there", |s| s.accounts.first().map(|_| ()))
        .await;
    (house, at)
}

/// The next response to a request of this method that says more than 100.
async fn response_to(peer: &Peer, method: Method) -> Response {
    loop {
        let (message, _) = peer.receive().await.expect("an answer comes");
        if let Message::Response(response) = message
            && response.status.code() > 100
            && response
                .headers
                .cseq()
                .is_ok_and(|cseq| cseq.method == method)
        {
            return response;
        }
    }
}

/// RFC 3261 §13.3.1.4, RFC 3960 §3.1.
#[tokio::test]
async fn a_caller_hears_an_announcement_before_its_call_is_taken_and_the_same_answer_again() {
    let (mut house, at) = announcing().await;
    let peer = Peer::bind().await;
    let (caller, port) = ears().await;
    let sdp = SDP.replace("40000", &port.to_string());
    peer.send(at, &peer.says("INVITE", 1, None, &sdp)).await;
    let progress = loop {
        let (message, _) = peer.receive().await.expect("it is announced");
        if let sip_message::Message::Response(response) = message
            && response.status.code() == 183
        {
            break response;
        }
    };
    until_heard(&caller).await;
    let call = house.until_ringing().await;
    house.engine.send(model::Command::AnswerCall { call });
    let ok = peer.final_response().await;
    assert_eq!(ok.status.code(), 200);
    assert_eq!(ok.body, progress.body, "the same answer");
    let tag = super::peer::to_tag(&ok);
    peer.send(at, &peer.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    until_heard(&caller).await;
    house.close().await;
}

/// RFC 3311 §5.2 and §5.1: the session of the reliable 183 was acknowledged with PRACK, so the caller may change it before
/// anybody has picked up. It is answered at once: nobody is asked.
#[tokio::test]
async fn a_caller_changes_the_announced_session_before_its_call_is_taken() {
    let (mut house, at) = announcing().await;
    let peer = Peer::bind().await;
    let (first, first_port) = ears().await;
    let (second, second_port) = ears().await;
    let sdp = |port: u16, version: u32| {
        let sdp = SDP.replace("40000", &port.to_string());
        sdp.replace("o=- 1 1 ", &format!("o=- 1 {version} "))
    };
    let extensions = "Supported: 100rel\r\nAllow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE\r\n";
    let invite = peer.says("INVITE", 1, None, &sdp(first_port, 1));
    peer.send(at, &with(&invite, extensions)).await;
    // RFC 3262 §4: each reliable answer is acknowledged, the ringing, too.
    let mut cseq = 1;
    let tag = loop {
        let progress = response_to(&peer, Method::Invite).await;
        let tag = to_tag(&progress);
        let Some(rseq) = progress.headers.get(HeaderName::RSeq) else {
            continue;
        };
        cseq += 1;
        let prack = peer.says("PRACK", cseq, Some(&tag), "");
        let rack = format!("RAck: {rseq} 1 INVITE\r\n");
        peer.send(at, &with(&prack, &rack)).await;
        let ok = response_to(&peer, Method::Prack).await;
        assert_eq!(ok.status.code(), 200);
        if progress.status.code() == 183 {
            assert!(!progress.body.is_empty(), "it holds the answer");
            break tag;
        }
    };
    until_heard(&first).await;
    // Without an offer it moves the target alone, and is answered without a description.
    let silent = peer.says("UPDATE", cseq + 1, Some(&tag), "");
    peer.send(at, &silent).await;
    let ok = response_to(&peer, Method::Update).await;
    assert_eq!((ok.status.code(), ok.body.len()), (200, 0));
    assert!(
        ok.headers.has(HeaderName::Contact),
        "§5.2: a target refresh"
    );
    // With an offer it is the session that changes.
    let update = peer.says("UPDATE", cseq + 2, Some(&tag), &sdp(second_port, 2));
    peer.send(at, &update).await;
    let ok = response_to(&peer, Method::Update).await;
    assert_eq!(ok.status.code(), 200);
    let answer = String::from_utf8(ok.body.clone()).expect("a description");
    assert!(answer.contains("m=audio ") && !answer.contains("m=audio 0 "));
    until_heard(&second).await;
    let ringing = house.until_ringing().await;
    assert!(
        house.call(ringing).connected_at.is_none(),
        "nobody has picked up"
    );
    // §5.2: one that cannot be used is refused, and the session stays as it was.
    let strange = sdp(first_port, 3).replace("RTP/AVP 0", "RTP/AVP 99");
    let strange = strange.replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:99 nobody/8000");
    let update = peer.says("UPDATE", cseq + 3, Some(&tag), &strange);
    peer.send(at, &update).await;
    assert_eq!(response_to(&peer, Method::Update).await.status.code(), 488);
    until_heard(&second).await;
    house
        .engine
        .send(model::Command::AnswerCall { call: ringing });
    let taken = response_to(&peer, Method::Invite).await;
    assert_eq!(taken.status.code(), 200);
    // RFC 6337 §2.2: the answer was given, and is not given again.
    assert!(taken.body.is_empty(), "the 2xx holds no description");
    peer.send(at, &peer.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(ringing, CallState::Connected).await;
    until_heard(&second).await;
    house.close().await;
}
