//! Ways to the peer that are to be tried anew in the middle of a call, and a peer that does not want that.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use model::{AccountSettings, CallId, CallState, Command};
use nat::ice::{Agent, Base, Component, Credentials, Output, Session, Way};
use sip_message::{Method, Request};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::house::{House, tone};
use super::peer::{Peer, answer, carol_with, to_tag};
use crate::phone::PhoneMsg;
use crate::tenant::{Child, TenantMsg};

mod lost;
mod spare;

const ELSEWHERE: &str = "127.0.0.9";

/// The peer's media: it answers checks by its first names for as long as it is there, and counts what is said.
struct Ears {
    at: SocketAddr,
    heard: Arc<AtomicU64>,
    /// Where what was heard last came from.
    from: mpsc::UnboundedReceiver<SocketAddr>,
    session: mpsc::UnboundedSender<Session>,
}

impl Ears {
    async fn open() -> Self {
        Self::open_for(|_| true).await
    }

    /// Behind something that lets only these through.
    async fn open_for(lets: fn(SocketAddr) -> bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let heard = Arc::new(AtomicU64::new(0));
        let (told, from) = mpsc::unbounded_channel();
        let (session, sessions) = mpsc::unbounded_channel();
        tokio::spawn(listen(socket, Arc::clone(&heard), told, sessions, lets));
        Self {
            at,
            heard,
            from,
            session,
        }
    }

    fn credentials() -> Credentials {
        Credentials {
            ufrag: "dans".to_owned(),
            pwd: "dans-password-has-28-signs-x".replace('-', "+"),
        }
    }

    fn sdp(&self, version: u32, ice: bool) -> String {
        let Credentials { ufrag, pwd } = Self::credentials();
        let port = self.at.port();
        let ways = format!(
            "a=rtcp-mux\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
        );
        format!(
            "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\n{}",
            if ice { &ways } else { "" }
        )
    }

    /// Begins to answer checks of who has described itself so.
    fn agree(&self, theirs: &[u8]) {
        self.agree_as(theirs, Self::credentials());
    }

    /// The same by other names.
    fn agree_as(&self, theirs: &[u8], local: Credentials) {
        let theirs = String::from_utf8_lossy(theirs).into_owned();
        let all = |name: &str| -> Vec<String> {
            let values = theirs.lines().filter_map(|line| line.strip_prefix(name));
            values.map(str::to_owned).collect()
        };
        let one = |name: &str| all(name).first().cloned().expect("it tries ways");
        let session = Session {
            local,
            remote: Credentials {
                ufrag: one("a=ice-ufrag:"),
                pwd: one("a=ice-pwd:"),
            },
            bases: vec![Base {
                socket: 0,
                component: Component::Media,
                at: self.at,
                mapped: None,
                relayed: None,
            }],
            candidates: all("a=candidate:"),
            controlling: true,
        };
        self.session.send(session).unwrap();
    }

    /// Waits until something more is heard, and tells where it came from.
    async fn hear(&mut self) -> SocketAddr {
        while self.from.try_recv().is_ok() {}
        let wait = tokio::time::timeout(Duration::from_secs(20), self.from.recv());
        wait.await.expect("something is heard").expect("it listens")
    }
}

async fn listen(
    socket: UdpSocket,
    heard: Arc<AtomicU64>,
    told: mpsc::UnboundedSender<SocketAddr>,
    mut sessions: mpsc::UnboundedReceiver<Session>,
    lets: fn(SocketAddr) -> bool,
) {
    let mut agent: Option<Agent> = None;
    let mut buffer = [0; 2_048];
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            session = sessions.recv() => match session {
                Some(session) => agent = Some(Agent::new(Instant::now(), &session)),
                None => return,
            },
            _ = tick.tick() => {}
            Ok((length, from)) = socket.recv_from(&mut buffer) => {
                if !lets(from) {
                    continue;
                }
                let datagram = &buffer[..length];
                let way = Way { to: from, socket: 0, relayed: false };
                if !nat::stun::is_stun(datagram) {
                    heard.fetch_add(1, Relaxed);
                    let _ = told.send(from);
                } else if let Some(agent) = &mut agent {
                    agent.handle_datagram(Instant::now(), datagram, way);
                }
            }
        }
        let Some(agent) = &mut agent else { continue };
        agent.handle_timeout(Instant::now());
        loop {
            match agent.poll_output() {
                Output::Transmit { datagram, way } => {
                    let _ = socket.send_to(&datagram, way.to).await;
                }
                Output::Event(_) => {}
                Output::Deadline(_) => break,
            }
        }
    }
}

/// Carol has taken a call of the peer, and a way is found.
async fn talking() -> (House, Peer, Ears, CallId) {
    let (house, peer, ears, call, _) = talking_with(|_| {}).await;
    (house, peer, ears, call)
}

/// The same with settings of the test's own; the last is what the peer needs to go on.
async fn talking_with(
    change: impl FnOnce(&mut AccountSettings),
) -> (House, Peer, Ears, CallId, (SocketAddr, String)) {
    talking_to(Ears::open().await, change).await
}

async fn talking_to(
    mut ears: Ears,
    change: impl FnOnce(&mut AccountSettings),
) -> (House, Peer, Ears, CallId, (SocketAddr, String)) {
    let (mut house, at) = carol_with(tone(), |settings| {
        settings.ice = true;
        change(settings);
    })
    .await;
    let peer = Peer::bind().await;
    peer.send(at, &peer.says("INVITE", 1, None, &ears.sdp(1, true)))
        .await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let ok = peer.final_response().await;
    ears.agree(&ok.body);
    peer.send(at, &peer.says("ACK", 1, Some(&to_tag(&ok)), ""))
        .await;
    house.until_state(call, CallState::Connected).await;
    house.until_notes("of the ways to the peer", 1).await;
    ears.hear().await;
    let tag = to_tag(&ok);
    (house, peer, ears, call, (at, tag))
}

fn text(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

fn ufrag(request: &Request) -> Option<String> {
    let text = text(request);
    let mut lines = text.lines();
    lines.find_map(|line| Some(line.strip_prefix("a=ice-ufrag:")?.to_owned()))
}

async fn refuse(peer: &Peer, status: &str) -> Request {
    let (told, from) = peer.request(Method::Invite).await;
    peer.send(from, &answer(&told, status, "", "")).await;
    peer.request(Method::Ack).await;
    told
}

async fn take(peer: &Peer, sdp: &str) -> Request {
    let (told, from) = peer.request(Method::Invite).await;
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    peer.send(from, &answer(&told, "200 OK", &contact, sdp))
        .await;
    peer.request(Method::Ack).await;
    told
}

#[tokio::test]
async fn a_peer_that_refuses_to_try_ways_anew_is_offered_the_media_without() {
    for status in ["488 Not Acceptable Here", "500 Server Internal Error"] {
        let (mut house, peer, mut ears, call) = talking().await;
        house.crash("carol", Child::Way(call));
        let refused = refuse(&peer, status).await;
        assert!(ufrag(&refused).is_some(), "{}", text(&refused));
        let plain = take(&peer, &ears.sdp(2, false)).await;
        assert!(!text(&plain).contains("a=ice-"), "{}", text(&plain));
        assert!(!text(&plain).contains("a=candidate"), "{}", text(&plain));
        let code = &status[..3];
        let note =
            format!("does not want the ways to it tried anew ({code}): it is offered the media");
        house.until_notes(&note, 1).await;
        ears.hear().await;
        assert_eq!(house.call(call).state, CallState::Connected);
        house.close().await;
    }
}

/// Our address is another one from now on: what the peer is told, and from where.
async fn moved(house: &House, peer: &Peer) -> (Request, SocketAddr) {
    let message = TenantMsg::MoveCalls(ELSEWHERE.parse().unwrap());
    house.tell_phone(PhoneMsg::Tell(house.tenant_of("carol"), Box::new(message)));
    peer.request(Method::Invite).await
}

/// RFC 8445 §9: while the restart is under way, and where it is refused, the old pair goes on.
#[tokio::test]
async fn a_peer_that_does_not_take_a_new_address_is_talked_to_from_the_old_one_while_we_have_it() {
    let (mut house, peer, mut ears, call) = talking().await;
    let before = ears.hear().await;
    let (told, from) = moved(&house, &peer).await;
    assert!(text(&told).contains(&format!("c=IN IP4 {ELSEWHERE}")));
    let agreed = ufrag(&told);
    // It takes its time, and the sound does not.
    assert_eq!(ears.hear().await, before);
    peer.send(from, &answer(&told, "488 Not Acceptable Here", "", ""))
        .await;
    peer.request(Method::Ack).await;
    house
        .until_notes("the call goes on from the old one, which still works", 1)
        .await;
    for _ in 0..20 {
        assert_eq!(ears.hear().await, before);
    }
    // What is offered next is what was agreed on before.
    house.engine.send(Command::HoldCall { call });
    let held = take(&peer, &(ears.sdp(2, true) + "a=recvonly\r\n")).await;
    assert!(
        text(&held).contains("c=IN IP4 127.0.0.1"),
        "{}",
        text(&held)
    );
    assert_ne!(ufrag(&held), agreed);
    house.close().await;
}

#[tokio::test]
async fn a_peer_that_takes_a_new_address_hears_us_from_there_and_not_before() {
    let (mut house, peer, mut ears, call) = talking().await;
    let before = ears.hear().await;
    let (told, from) = moved(&house, &peer).await;
    assert_eq!(ears.hear().await, before);
    // It begins anew with the same names, which says little for it; a way is found all the same.
    ears.agree(&told.body);
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    let ok = answer(&told, "200 OK", &contact, &ears.sdp(2, true));
    peer.send(from, &ok).await;
    peer.request(Method::Ack).await;
    house
        .until_notes("the call goes on from the new address", 1)
        .await;
    let local: IpAddr = ELSEWHERE.parse().unwrap();
    while ears.hear().await.ip() != local {}
    assert_eq!(house.call(call).state, CallState::Connected);
    assert!(ears.heard.load(Relaxed) > 0);
    house.close().await;
}
