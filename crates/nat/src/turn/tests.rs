//! The client against a relay that is a table of answers, in time that is moved.

use super::peers::{MOST_BESIDE, MOST_CHANNELS};
use super::*;
use proptest::prelude::*;

const REALM: &str = "relay.test";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config() -> Config {
    Config {
        server: at("192.0.2.1:3478"),
        reliable: false,
        ipv6: false,
        login: Some(Login::new("alice", "secret")),
        seed: [7; 16],
    }
}

/// What the relay does with a request that proves its sender.
#[derive(Clone, Copy)]
enum Does {
    Grant(u32),
    Refuse(u16),
}

struct Relay {
    client: Client,
    now: Instant,
    nonce: &'static str,
    does: Does,
    /// Kinds of requests and indications, as they came, with the time since the start.
    seen: Vec<(u16, Duration)>,
    events: Vec<Event>,
    began: Instant,
    silent: bool,
}

impl Relay {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self {
            client: Client::new(now, config),
            now,
            nonce: "one",
            does: Does::Grant(600),
            seen: Vec::new(),
            events: Vec::new(),
            began: now,
            silent: false,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.drain().filter(|next| *next <= end);
            self.now = next.unwrap_or(end).max(self.now);
            self.client.handle_timeout(self.now);
            if next.is_none() {
                self.drain();
                return;
            }
        }
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.client.poll_output() {
                Output::Event(event) => self.events.push(event),
                Output::Deadline(deadline) => return deadline,
                Output::Transmit(datagram) => {
                    let view = View::parse(&datagram).expect("it writes what it can read");
                    self.seen.push((view.kind, self.now - self.began));
                    if let Some(answer) = self.answer(view).filter(|_| !self.silent) {
                        assert_eq!(
                            self.client.handle_datagram(self.now, &answer),
                            Received::Handled
                        );
                    }
                }
            }
        }
    }

    fn answer(&self, view: View<'_>) -> Option<Vec<u8>> {
        if view.kind & CLASS != 0 {
            return None;
        }
        let key = Key::new("alice", REALM, "secret");
        let error = |code: u16| {
            let (class, number) = ((code / 100) as u8, (code % 100) as u8);
            Draft::new(view.kind | ERROR, view.id)
                .with(message::ERROR_CODE, &[0, 0, class, number, b'n', b'o'])
        };
        let challenge = |code| {
            error(code)
                .with(message::REALM, REALM.as_bytes())
                .with(message::NONCE, self.nonce.as_bytes())
                .finish(None)
        };
        if !view.is_proved_by(&key) {
            return Some(challenge(401));
        }
        if view.text(message::NONCE) != Some(self.nonce) {
            return Some(challenge(438));
        }
        let answer = match self.does {
            Does::Refuse(code) => error(code),
            Does::Grant(lifetime) => Draft::new(view.kind | SUCCESS, view.id)
                .with_address(message::XOR_RELAYED_ADDRESS, at("192.0.2.1:50000"), view.id)
                .with_address(message::XOR_MAPPED_ADDRESS, at("203.0.113.9:4000"), view.id)
                .with(message::LIFETIME, &lifetime.to_be_bytes()),
        };
        Some(answer.finish(Some(&key)))
    }

    fn count(&self, kind: u16) -> usize {
        self.seen.iter().filter(|(seen, _)| *seen == kind).count()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const ALLOCATE: u16 = 0x0003;
const REFRESH: u16 = 0x0004;
const PERMIT: u16 = 0x0008;
const BIND: u16 = 0x0009;

#[test]
fn an_address_is_asked_for_refreshed_a_minute_before_its_end_and_given_back() {
    let mut relay = Relay::new(config());
    relay.run(SECOND);
    let given = Allocation {
        relayed: at("192.0.2.1:50000"),
        mapped: Some(at("203.0.113.9:4000")),
        lifetime: Duration::from_secs(600),
    };
    assert_eq!(relay.events, [Event::Allocated(given)]);
    assert_eq!(relay.client.allocation(), Some(given));
    // Without, and then with, who we are.
    assert_eq!(relay.count(ALLOCATE), 2);
    // The next challenge is another one: it is answered, and no password is in doubt.
    relay.nonce = "two";
    relay.run(540 * SECOND);
    let refreshes: Vec<u64> = relay
        .seen
        .iter()
        .filter(|(kind, _)| *kind == REFRESH)
        .map(|(_, time)| time.as_secs())
        .collect();
    assert_eq!(refreshes, [540, 540]);
    // The way to the relay is kept open.
    assert_eq!(relay.count(0x0011), 541 / 15);
    relay.client.release(relay.now);
    relay.run(SECOND);
    assert_eq!(relay.events.last(), Some(&Event::Released));
    assert!(relay.client.is_over());
    assert_eq!(relay.drain(), None);
}

#[test]
fn each_refusal_has_its_sentence() {
    for (code, refusal, words) in [
        (403, Refusal::Forbidden, "does not serve us"),
        (437, Refusal::Mismatch, "earlier call"),
        (440, Refusal::Family(440), "IPv4 or IPv6"),
        (441, Refusal::WrongUser, "another user"),
        (442, Refusal::NoUdp, "UDP"),
        (486, Refusal::Quota, "as allowed"),
        (508, Refusal::Full, "no address left"),
        (300, Refusal::Senseless, "no sense"),
        (
            599,
            Refusal::Other {
                code: 599,
                phrase: "no".to_owned(),
            },
            "599 no",
        ),
    ] {
        let mut relay = Relay::new(config());
        relay.does = Does::Refuse(code);
        relay.run(SECOND);
        assert!(refusal.to_string().contains(words), "{refusal}");
        assert_eq!(relay.events, [Event::Lost(refusal)]);
        assert!(relay.client.is_over());
    }
    let wrong = Config {
        login: Some(Login::new("alice", "wrong")),
        ..config()
    };
    let nobody = Config {
        login: None,
        ..config()
    };
    for (config, refusal) in [(wrong, Refusal::WrongLogin), (nobody, Refusal::NoLogin)] {
        let mut relay = Relay::new(config);
        relay.run(SECOND);
        assert_eq!(relay.events, [Event::Lost(refusal)]);
    }
}

#[test]
fn a_silent_relay_is_asked_seven_times_and_given_up() {
    let mut relay = Relay::new(config());
    relay.silent = true;
    relay.run(39 * SECOND);
    let times: Vec<u128> = relay
        .seen
        .iter()
        .map(|(_, time)| time.as_millis())
        .collect();
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert!(relay.events.is_empty());
    relay.run(SECOND);
    assert_eq!(relay.events, [Event::Lost(Refusal::Silent)]);
    // A way that loses nothing carries it once.
    let mut relay = Relay::new(Config {
        reliable: true,
        ..config()
    });
    relay.silent = true;
    relay.run(40 * SECOND);
    assert_eq!(relay.seen.len(), 1);
    assert_eq!(relay.events, [Event::Lost(Refusal::Silent)]);
}

#[test]
fn peers_get_channels_which_are_renewed_before_their_permission_ends() {
    let mut relay = Relay::new(config());
    let peer = at("198.51.100.7:4000");
    assert_eq!(relay.client.wrap(relay.now, peer, b"early"), None);
    relay.run(SECOND);
    assert_eq!(relay.client.wrap(relay.now, peer, b"first"), None);
    relay.run(SECOND);
    let channel = 0x4000;
    assert_eq!(relay.events.last(), Some(&Event::Bound { peer, channel }));
    let packet = relay.client.wrap(relay.now, peer, b"hello").unwrap();
    assert_eq!(packet, b"\x40\x00\x00\x05hello");
    let padded = [&packet[..], &[0; 3]].concat();
    for packet in [packet, padded] {
        let payload = &b"hello"[..];
        let received = relay.client.handle_datagram(relay.now, &packet);
        assert_eq!(received, Received::Data { peer, payload });
    }
    relay.run(300 * SECOND);
    assert_eq!(relay.count(BIND), 2);
    assert_eq!(relay.client.channels().count(), 1);
    // One that may not be reached is none of the others' business.
    relay.does = Does::Refuse(403);
    let forbidden = at("198.51.100.8:1");
    assert!(relay.client.want(relay.now, forbidden));
    relay.run(SECOND);
    let refused = Event::PeerRefused {
        peer: forbidden,
        why: Refusal::Forbidden,
    };
    assert_eq!(relay.events.last(), Some(&refused));
    assert!(!relay.client.want(relay.now, forbidden));
    assert!(relay.client.wrap(relay.now, peer, b"more").is_some());
}

#[test]
fn peers_are_bounded_and_of_the_family_that_was_given() {
    let mut relay = Relay::new(config());
    relay.run(SECOND);
    for strange in ["[2001:db8::1]:9", "0.0.0.0:9", "198.51.100.1:0"] {
        assert!(!relay.client.want(relay.now, at(strange)), "{strange}");
    }
    let wanted = (1..100).filter(|port| {
        let peer = SocketAddr::from(([198, 51, 100, 1], *port));
        relay.client.want(relay.now, peer)
    });
    assert_eq!(wanted.count(), MOST_CHANNELS);
}

/// RFC 8656 §9, §12: an outage that the allocation outlives costs a channel no more than its time.
#[test]
fn a_channel_that_could_not_be_renewed_is_asked_for_again_when_the_network_is_back() {
    let mut relay = Relay::new(config());
    let peer = at("198.51.100.7:4000");
    relay.run(SECOND);
    assert!(relay.client.want(relay.now, peer));
    relay.run(239 * SECOND);
    // From before the channel is to be renewed until after it was given up.
    relay.silent = true;
    relay.run(42 * SECOND);
    let refused = Event::PeerRefused {
        peer,
        why: Refusal::Silent,
    };
    assert_eq!(relay.events.last(), Some(&refused));
    relay.silent = false;
    relay.run(10 * SECOND);
    let channel = 0x4000;
    assert_eq!(relay.events.last(), Some(&Event::Bound { peer, channel }));
    for minute in 0..60 {
        let packet = relay.client.wrap(relay.now, peer, b"speech");
        assert!(packet.is_some(), "minute {minute}");
        relay.run(60 * SECOND);
    }
    assert_eq!(relay.events.len(), 4, "{:?}", relay.events);
}

#[test]
fn a_peer_that_is_refused_is_asked_for_with_pauses_and_told_once() {
    let mut relay = Relay::new(config());
    let peer = at("198.51.100.7:4000");
    relay.run(SECOND);
    relay.does = Does::Refuse(403);
    relay.client.want(relay.now, peer);
    relay.run(160 * SECOND);
    let times: Vec<u64> = relay
        .seen
        .iter()
        .filter(|(kind, _)| *kind == BIND)
        .map(|(_, time)| time.as_secs())
        .collect();
    assert_eq!(times, [1, 6, 16, 36, 76, 136]);
    assert_eq!(relay.events.len(), 2, "{:?}", relay.events);
    relay.does = Does::Grant(600);
    relay.run(60 * SECOND);
    assert!(relay.client.want(relay.now, peer));
    assert!(relay.client.wrap(relay.now, peer, b"speech").is_some());
}

/// RFC 8656 §12: a number is another peer's no sooner than five minutes after its channel has gone, and §12.2: a peer has
/// one number.
#[test]
fn a_channel_that_nobody_uses_makes_room_for_another_and_keeps_its_number() {
    let mut relay = Relay::new(config());
    relay.run(SECOND);
    let peer = |port: u16| SocketAddr::from(([198, 51, 100, 1], port));
    for port in 1..=16 {
        assert!(relay.client.want(relay.now, peer(port)));
    }
    relay.run(SECOND);
    assert!(!relay.client.want(relay.now, peer(17)), "all are in use");
    // All but the first and the last are heard or sent to.
    for _ in 0..31 {
        for port in 2..16 {
            let number = 0x3fff + port;
            match port % 3 {
                0 => drop(relay.client.wrap(relay.now, peer(port), b"speech")),
                1 => relay.client.is_used(relay.now, number),
                _ => {
                    let packet = wrapped(number, b"speech").unwrap();
                    relay.client.handle_datagram(relay.now, &packet);
                }
            }
        }
        relay.run(SECOND);
    }
    for port in [17, 18] {
        assert!(relay.client.want(relay.now, peer(port)), "{port}");
    }
    assert!(!relay.client.want(relay.now, peer(19)));
    relay.run(SECOND);
    let numbers: Vec<(u16, SocketAddr)> = relay.client.channels().collect();
    assert_eq!(numbers.len(), MOST_CHANNELS);
    assert!(numbers.contains(&(0x4010, peer(17))) && numbers.contains(&(0x4011, peer(18))));
    assert!(
        !numbers
            .iter()
            .any(|(_, held)| [peer(1), peer(16)].contains(held))
    );
    // What comes by the channel of before is its peer's still.
    let late = wrapped(0x4000, b"late").unwrap();
    let received = relay.client.handle_datagram(relay.now, &late);
    let payload = &b"late"[..];
    assert_eq!(
        received,
        Received::Data {
            peer: peer(1),
            payload
        }
    );
    relay.run(31 * SECOND);
    assert!(relay.client.want(relay.now, peer(1)));
    relay.run(SECOND);
    assert!(
        relay
            .client
            .channels()
            .any(|held| held == (0x4000, peer(1)))
    );
    // Once the relay has forgotten the others, their numbers are anybody's.
    relay.run(1_000 * SECOND);
    assert!(relay.client.want(relay.now, peer(20)));
    relay.run(SECOND);
    let held = relay.client.channels().find(|(_, held)| *held == peer(20));
    assert!(held.is_some_and(|(number, _)| number < 0x4012), "{held:?}");
}

/// RFC 8656 §9: a permission is for an address, and lasts five minutes.
#[test]
fn an_address_is_permitted_and_stays_so() {
    let mut relay = Relay::new(config());
    let ip = at("198.51.100.7:0").ip();
    assert!(!relay.client.permit(relay.now, ip), "there is no relay yet");
    relay.run(SECOND);
    assert!(!relay.client.permit(relay.now, at("[2001:db8::1]:9").ip()));
    assert!(relay.client.permit(relay.now, ip));
    assert!(relay.client.permit(relay.now, ip));
    relay.run(400 * SECOND);
    assert_eq!(relay.count(PERMIT), 2);
    // One that was refused is asked for again.
    relay.does = Does::Refuse(508);
    relay.run(82 * SECOND);
    relay.does = Does::Grant(600);
    relay.run(200 * SECOND);
    assert_eq!(relay.count(PERMIT), 4);
}

/// A place of a peer that has many.
fn place(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 9, high, low], 4_000))
}

/// Whom a datagram that goes to the relay is for, and what it carries (RFC 8656 §11.1, §12.4).
fn carried(relay: &Relay, datagram: &[u8]) -> (SocketAddr, Vec<u8>) {
    assert!(is_carried(datagram));
    if let Some((number, payload)) = unwrapped(datagram) {
        let mut channels = relay.client.channels();
        let (_, peer) = channels.find(|(bound, _)| *bound == number).unwrap();
        return (peer, payload.to_vec());
    }
    let view = View::parse(datagram).unwrap();
    assert_eq!(view.kind, SEND_INDICATION);
    let peer = view.address(message::XOR_PEER_ADDRESS).unwrap();
    (peer, view.get(message::DATA).unwrap().to_vec())
}

/// Has the places asked as checks are (RFC 8445 §14.2, RFC 8489 §6.2.1), and answers which questions got out to whom.
fn check(relay: &mut Relay, places: &[SocketAddr]) -> Vec<(SocketAddr, usize)> {
    let mut out = Vec::new();
    for (round, wait) in [500u64, 1_000, 2_000, 4_000].into_iter().enumerate() {
        let end = relay.now + Duration::from_millis(wait);
        for place in places {
            let question = format!("question {round} to {place}").into_bytes();
            if let Some(datagram) = relay.client.wrap(relay.now, *place, &question) {
                assert_eq!(carried(relay, &datagram), (*place, question));
                out.push((*place, round));
            }
            relay.run(Duration::from_millis(10));
        }
        relay.run(end.saturating_duration_since(relay.now));
    }
    out
}

/// RFC 8656 §9, §11: what exceeds the channels needs none. A machine with containers and tunnels has more addresses than that,
/// and only the last may be reached.
#[test]
fn of_many_candidates_all_are_asked_through_the_relay() {
    let mut relay = Relay::new(config());
    relay.run(SECOND);
    let places: Vec<SocketAddr> = (0..40).map(place).collect();
    let out = check(&mut relay, &places);
    for place in &places {
        // The first question asks the relay; each that follows gets out.
        let rounds = out.iter().filter(|(to, _)| to == place);
        let rounds: Vec<usize> = rounds.map(|(_, round)| *round).collect();
        assert_eq!(rounds, [1, 2, 3], "{place}");
    }
    assert_eq!(relay.client.channels().count(), MOST_CHANNELS);
    assert_eq!((relay.count(BIND), relay.count(PERMIT)), (16, 24));
    // The last one answers, and media goes there; of the others one had a channel that is in use.
    let busy = place(3);
    relay.client.wrap(relay.now, busy, b"speech");
    let last = place(39);
    assert!(!relay.client.want(relay.now, last));
    assert!(relay.client.need(relay.now, last));
    // Nothing is lost meanwhile.
    let datagram = relay.client.wrap(relay.now, last, b"consent").unwrap();
    assert_eq!(carried(&relay, &datagram), (last, b"consent".to_vec()));
    relay.run(SECOND);
    let packet = relay.client.wrap(relay.now, last, b"speech").unwrap();
    assert_eq!(packet.len(), 4 + b"speech".len());
    // RFC 8656 §12: a channel is not another peer's before the relay has forgotten it.
    let numbers: Vec<(u16, SocketAddr)> = relay.client.channels().collect();
    assert_eq!(numbers.len(), MOST_CHANNELS);
    assert!(numbers.contains(&(0x4010, last)));
    assert!(numbers.iter().any(|(_, held)| *held == busy));
    // Who had to make room is asked all the same.
    let held = |place: &&SocketAddr| numbers.iter().any(|(_, held)| held == *place);
    let gone = places.iter().take(16).find(|place| !held(place)).unwrap();
    let again: Vec<SocketAddr> = vec![*gone];
    let rounds = check(&mut relay, &again);
    assert_eq!(rounds, [(*gone, 1), (*gone, 2), (*gone, 3)]);
}

/// RFC 8656 §9: a permission lasts five minutes. Who is asked no more needs none, and whatever a peer offers, what is kept of it
/// is bounded.
#[test]
fn who_is_permitted_beside_the_channels_stays_so_while_something_is_sent_there() {
    let mut relay = Relay::new(config());
    relay.run(SECOND);
    let many: Vec<SocketAddr> = (0..1_000).map(place).collect();
    for place in &many {
        assert_eq!(relay.client.wrap(relay.now, *place, b"check"), None);
    }
    relay.run(SECOND);
    assert_eq!((relay.count(BIND), relay.count(PERMIT)), (16, MOST_BESIDE));
    let mut reached = many.clone();
    reached.retain(|place| relay.client.wrap(relay.now, *place, b"check").is_some());
    assert_eq!(reached.len(), MOST_CHANNELS + MOST_BESIDE);
    // Sixteen by channels and one beside are used for twenty minutes.
    let used: Vec<SocketAddr> = many[..17].to_vec();
    for _ in 0..240 {
        relay.run(5 * SECOND);
        for place in &used {
            let datagram = relay.client.wrap(relay.now, *place, b"check");
            assert!(
                datagram.is_some(),
                "{place} at {:?}",
                relay.now - relay.began
            );
        }
    }
    assert_eq!(relay.count(PERMIT), MOST_BESIDE + 5);
    // Others take the places of those that are asked no more.
    let others: Vec<SocketAddr> = (2_000..2_040).map(place).collect();
    let out = check(&mut relay, &others);
    assert_eq!(out.len(), 3 * others.len());
}

/// RFC 8656 §9.2: without a word of the relay nothing is sent that it would throw away.
#[test]
fn nothing_is_sent_to_whom_the_relay_has_not_permitted() {
    for answers in [None, Some(403)] {
        let mut relay = Relay::new(config());
        relay.run(SECOND);
        let places: Vec<SocketAddr> = (0..17).map(place).collect();
        check(&mut relay, &places[..16]);
        match answers {
            Some(code) => relay.does = Does::Refuse(code),
            None => relay.silent = true,
        }
        assert_eq!(check(&mut relay, &places[16..]), []);
        // It may agree later: it is asked again with pauses.
        (relay.does, relay.silent) = (Does::Grant(600), false);
        for _ in 0..12 {
            relay.run(5 * SECOND);
            for place in &places[..16] {
                relay.client.wrap(relay.now, *place, b"in use");
            }
            relay.client.wrap(relay.now, places[16], b"check");
        }
        assert_eq!(check(&mut relay, &places[16..]).len(), 4);
    }
}

#[test]
fn a_relay_whose_stream_ended_is_lost_at_once() {
    let mut relay = Relay::new(Config {
        reliable: true,
        ..config()
    });
    relay.run(SECOND);
    relay.client.handle_end();
    relay.run(Duration::ZERO);
    assert_eq!(relay.events.last(), Some(&Event::Lost(Refusal::Ended)));
    assert_eq!(relay.drain(), None);
    assert!(relay.client.is_over());
    relay.client.handle_end();
    assert_eq!(relay.events.len(), 2);
}

#[test]
fn a_relay_that_forgot_us_is_lost() {
    let mut relay = Relay::new(config());
    relay.run(SECOND);
    relay.does = Does::Refuse(437);
    relay.run(600 * SECOND);
    assert_eq!(relay.events.last(), Some(&Event::Lost(Refusal::Mismatch)));
    assert_eq!(relay.client.allocation(), None);
    assert_eq!(relay.drain(), None);
}

#[test]
fn what_is_granted_for_no_time_or_for_ever_is_lived_with() {
    for (granted, refreshes) in [(0, 10..=11), (u32::MAX, 0..=0)] {
        let mut relay = Relay::new(config());
        relay.does = Does::Grant(granted);
        relay.run(105 * SECOND);
        assert!(refreshes.contains(&relay.count(REFRESH)), "{granted}");
    }
}

#[test]
fn what_others_say_changes_nothing() {
    let mut relay = Relay::new(config());
    relay.silent = true;
    relay.run(Duration::ZERO);
    let Some(question) = relay.client.questions.first() else {
        panic!("it asks");
    };
    let id = question.id;
    let key = Key::new("mallory", REALM, "secret");
    let grant = |id, kind| {
        Draft::new(kind, id)
            .with_address(message::XOR_RELAYED_ADDRESS, at("192.0.2.66:1"), id)
            .with(message::LIFETIME, &[0, 0, 2, 88])
            .finish(Some(&key))
    };
    let other = TransactionId([0; 12]);
    for lie in [
        grant(other, 0x0103),
        grant(id, 0x0101),
        grant(other, 0x0113),
        grant(id, 0x0003),
    ] {
        relay.client.handle_datagram(relay.now, &lie);
        assert_eq!(relay.client.allocation(), None);
    }
    // Once we know each other, only who knows the password is believed.
    relay.silent = false;
    relay.run(SECOND);
    relay.silent = true;
    relay.run(550 * SECOND);
    let ids: Vec<TransactionId> = relay.client.questions.iter().map(|q| q.id).collect();
    assert_eq!(ids.len(), 1);
    let lie = Draft::new(0x0114, ids[0])
        .with(message::ERROR_CODE, &[0, 0, 4, 37])
        .finish(Some(&key));
    assert_eq!(
        relay.client.handle_datagram(relay.now, &lie),
        Received::Unknown
    );
    assert!(relay.client.allocation().is_some());
}

#[test]
fn a_stream_is_cut_where_messages_end() {
    let question = Draft::new(0x0003, TransactionId([1; 12])).finish(None);
    let data = wrapped(0x4001, b"hello").unwrap();
    let stream = [question.clone(), padded(data.clone()), question.clone()].concat();
    for size in 1..=stream.len() {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            frames.push(piece);
            while let Some(message) = frames.poll().unwrap() {
                found.push(message);
            }
        }
        assert_eq!(found, [question.clone(), data.clone(), question.clone()]);
    }
    // TLS, another protocol, media without a frame, STUN of an odd length, and a number that is no channel's.
    for broken in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01"[..],
        b"SSH-2.0-x",
        &[0x80; 20],
        &[1, 1, 0, 3],
        &[0x50, 0, 0, 4],
    ] {
        let mut frames = Frames::default();
        frames.push(broken);
        assert_eq!(frames.poll(), Err(BrokenStream));
    }
}

/// RFC 8656 §12.4, §12.5: ChannelData carries up to 65,535 bytes, and so may a Data indication. Whatever a peer sends, what
/// comes after it is heard, and none of it is kept.
#[test]
fn what_is_too_long_is_passed_over_and_the_stream_goes_on() {
    let data = wrapped(0x4001, b"hello").unwrap();
    for length in [2_001u16, 3_000, 9_001, u16::MAX] {
        let long = padded(wrapped(0x4000, &vec![0x80; usize::from(length)]).unwrap());
        let mut told = Draft::new(DATA_INDICATION, TransactionId([2; 12])).finish(None);
        told.truncate(20);
        let attributes = usize::from(length) / 4 * 4;
        told[2..4].copy_from_slice(&u16::try_from(attributes).unwrap().to_be_bytes());
        told.resize(20 + attributes, 0x80);
        let stream = [long, padded(data.clone()), told, padded(data.clone())].concat();
        for size in [1, 7, 1_448, 2_048, stream.len()] {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in stream.chunks(size) {
                frames.push(piece);
                while let Some(message) = frames.poll().unwrap() {
                    found.push(message);
                }
                assert!(frames.waiting() <= 2_048, "{}", frames.waiting());
            }
            assert_eq!(found, [data.clone(), data.clone()], "{length} by {size}");
            assert_eq!(frames.passed_over(), 2);
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_comes_panics(
        kind in prop::sample::select(vec![0x0103u16, 0x0113, 0x0104, 0x0114, 0x0109, 0x0119, 0x0017, 0x0016, 0x4000]),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        ours: bool,
    ) {
        let mut relay = Relay::new(config());
        relay.run(SECOND);
        relay.silent = true;
        relay.client.want(relay.now, at("198.51.100.7:4000"));
        let id = relay.client.questions.first().map(|question| question.id);
        let id = id.filter(|_| ours).unwrap_or(TransactionId([0; 12]));
        let mut datagram = Draft::new(kind, id).finish(None);
        datagram.truncate(20);
        datagram.extend(&bytes);
        if let Ok(length) = u16::try_from(bytes.len()) {
            datagram[2..4].copy_from_slice(&length.to_be_bytes());
        }
        relay.client.handle_datagram(relay.now, &datagram);
        relay.run(SECOND);
        let mut frames = Frames::default();
        frames.push(&bytes);
        while let Ok(Some(message)) = frames.poll() {
            prop_assert!(message.len() <= bytes.len());
        }
    }
}
