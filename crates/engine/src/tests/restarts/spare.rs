//! Addresses at a relay that a call has and does not need.

use std::collections::HashSet;

use super::*;

/// A relay (RFC 8656) that asks nobody who they are and carries nothing.
struct Relay {
    at: SocketAddr,
    given: Arc<AtomicU64>,
    back: Arc<AtomicU64>,
}

impl Relay {
    async fn open() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            at: socket.local_addr().unwrap(),
            given: Arc::default(),
            back: Arc::default(),
        };
        let (given, back) = (Arc::clone(&relay.given), Arc::clone(&relay.back));
        tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            let mut known = HashSet::new();
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = &buffer[..length];
                let is_new = known.insert(question[4..20].to_vec());
                let lifetime = |seconds: u8| [0, 0x0d, 0, 4, 0, 0, 2 * seconds.min(1), 0x58];
                let attributes = match question[..2] {
                    [0, 3] => {
                        given.fetch_add(is_new.into(), Relaxed);
                        let port = 50_000 + u16::try_from(known.len()).unwrap();
                        let [high, low] = (port ^ 0x2112).to_be_bytes();
                        // XOR-RELAYED-ADDRESS: 127.0.0.1 and the port, both mixed with the cookie.
                        let mut all = vec![0, 0x16, 0, 8, 0, 1, high, low];
                        all.extend([127 ^ 0x21, 0x12, 0xa4, 1 ^ 0x42]);
                        all.extend(lifetime(1));
                        all
                    }
                    [0, 4] => {
                        let ends = question
                            .windows(8)
                            .any(|w| w == [0, 0x0d, 0, 4, 0, 0, 0, 0]);
                        back.fetch_add((is_new && ends).into(), Relaxed);
                        lifetime(1).to_vec()
                    }
                    [0, 9] => Vec::new(),
                    _ => continue,
                };
                let length = u8::try_from(attributes.len()).unwrap();
                let mut answer = vec![1, question[1], 0, length];
                answer.extend(&question[4..20]);
                answer.extend(attributes);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        relay
    }

    fn counts(&self) -> [u64; 2] {
        [&self.given, &self.back].map(|count| count.load(Relaxed))
    }

    async fn until(&self, counts: [u64; 2]) {
        let waits = async {
            while self.counts() != counts {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(30), waits).await;
        assert!(done.is_ok(), "{:?} and not {counts:?}", self.counts());
    }
}

async fn with_relay() -> (Relay, (House, Peer, Ears, CallId, (SocketAddr, String))) {
    let relay = Relay::open().await;
    let at = relay.at;
    let talking = talking_with(|settings| settings.turn = Some(format!("turn:{at}").into())).await;
    (relay, talking)
}

fn line(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_default().to_owned()
}

/// RFC 8445 §8.3.1: what was not selected may be freed. RFC 8445 §9: in a restart candidates are gathered again, here
/// one that the peer asks for; in a change that is none they are not.
#[tokio::test]
async fn what_no_way_needs_is_given_back_and_asked_for_again_where_the_peer_tries_ways_anew() {
    let (relay, (house, peer, mut ears, call, (at, tag))) = with_relay().await;
    assert_eq!(relay.counts()[0], 2, "for media and for reports");
    relay.until([2, 2]).await;
    ears.hear().await;
    let again = peer.says("INVITE", 2, Some(&tag), &ears.sdp(2, true));
    peer.send(at, &again).await;
    let ok = peer.final_response().await;
    peer.send(at, &peer.says("ACK", 2, Some(&tag), "")).await;
    let told = String::from_utf8_lossy(&ok.body).into_owned();
    assert!(!told.contains("typ relay"), "{told}");
    // RFC 8839 §4.2.1.2: the place in the line is one of the candidates.
    let port = line(&told, "m=audio").split(' ').nth(1).map(str::to_owned);
    let port = port.expect("a port");
    assert!(
        told.contains(&format!(" 127.0.0.1 {port} typ host")),
        "{told}"
    );
    assert_eq!(relay.counts(), [2, 2]);
    ears.hear().await;
    let restart = ears.sdp(3, true).replace(":dans", ":dora");
    peer.send(at, &peer.says("INVITE", 3, Some(&tag), &restart))
        .await;
    let ok = peer.final_response().await;
    peer.send(at, &peer.says("ACK", 3, Some(&tag), "")).await;
    let anew = String::from_utf8_lossy(&ok.body).into_owned();
    assert!(anew.contains("typ relay"), "{anew}");
    assert_ne!(line(&anew, "a=ice-ufrag"), line(&told, "a=ice-ufrag"));
    assert_eq!(relay.counts()[0], 4);
    assert_eq!(house.call(call).state, CallState::Connected);
    house.close().await;
    relay.until([4, 4]).await;
}

/// The same where we try them anew: what was offered is used, and given back when it is not needed again.
#[tokio::test]
async fn our_own_restart_offers_the_relay_again() {
    let (relay, (house, peer, mut ears, call, _)) = with_relay().await;
    relay.until([2, 2]).await;
    house.crash("carol", Child::Way(call));
    let (told, from) = peer.request(Method::Invite).await;
    assert!(text(&told).contains("typ relay"), "{}", text(&told));
    assert_eq!(relay.counts(), [4, 2]);
    ears.agree(&told.body);
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    let sdp = ears.sdp(2, true);
    peer.send(from, &answer(&told, "200 OK", &contact, &sdp))
        .await;
    peer.request(Method::Ack).await;
    ears.hear().await;
    relay.until([4, 4]).await;
    ears.hear().await;
    assert_eq!(house.call(call).state, CallState::Connected);
    house.close().await;
}

/// What an offer names that has no answer yet may be used any moment.
#[tokio::test]
async fn nothing_is_given_back_while_an_offer_of_ours_is_open() {
    let (relay, (house, peer, mut ears, call, _)) = with_relay().await;
    house.engine.send(Command::HoldCall { call });
    let (told, from) = peer.request(Method::Invite).await;
    let before = relay.counts();
    assert!(before[1] <= 1, "media may still need its own");
    // Six seconds of sound, in which the ways are settled.
    for _ in 0..300 {
        ears.hear().await;
    }
    assert_eq!(relay.counts(), before);
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    let sdp = ears.sdp(2, true) + "a=recvonly\r\n";
    peer.send(from, &answer(&told, "200 OK", &contact, &sdp))
        .await;
    relay.until([2, 2]).await;
    house.close().await;
}
