//! Two agents and what lies between them: which way is found, and until when it is one.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::*;
use crate::message::{self, View};

mod hostile;
mod wrong;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn direct(to: SocketAddr) -> Way {
    Way {
        to,
        socket: 0,
        relayed: false,
    }
}

fn by_relay(to: SocketAddr) -> Way {
    Way {
        relayed: true,
        ..direct(to)
    }
}

fn credentials(name: &str) -> Credentials {
    Credentials {
        ufrag: format!("ufrag+{name}"),
        pwd: format!("a+password+of+22+signs+{name}"),
    }
}

fn base(socket: u8, component: Component, text: &str) -> Base {
    Base {
        socket,
        component,
        at: at(text),
        mapped: None,
        relayed: None,
    }
}

fn session(
    ours: &str,
    theirs: &str,
    here: &str,
    candidates: &[&str],
    controlling: bool,
) -> Session {
    Session {
        local: credentials(ours),
        remote: credentials(theirs),
        bases: vec![base(0, Component::Media, here)],
        candidates: candidates.iter().map(|text| (*text).to_owned()).collect(),
        controlling,
    }
}

fn is_question(datagram: &[u8]) -> bool {
    View::parse(datagram).is_some_and(|view| view.kind == 1)
}

fn nominates(datagram: &[u8]) -> bool {
    View::parse(datagram).is_some_and(|view| view.get(message::USE_CANDIDATE).is_some())
}

/// What one side has sent.
#[derive(Debug, Clone)]
struct Sent {
    when: Instant,
    way: Way,
    datagram: Vec<u8>,
}

/// Where a datagram of the first or second side comes out, and where it seems to come from; none where it is lost.
type Route<'a> = dyn FnMut(usize, Way) -> Option<(SocketAddr, Way)> + 'a;

/// Two sides and what lies between them, in virtual time.
struct Net<'a> {
    now: Instant,
    agents: [Agent; 2],
    route: Box<Route<'a>>,
    /// What each of them sends is lost.
    cut: [bool; 2],
    /// Questions that nominate are lost.
    loses_nominations: bool,
    sent: [Vec<Sent>; 2],
    events: [Vec<Event>; 2],
}

impl<'a> Net<'a> {
    fn new(
        sessions: [&Session; 2],
        route: impl FnMut(usize, Way) -> Option<(SocketAddr, Way)> + 'a,
    ) -> Self {
        let now = Instant::now();
        Self {
            now,
            agents: sessions.map(|session| Agent::new(now, session)),
            route: Box::new(route),
            cut: [false; 2],
            loses_nominations: false,
            sent: [Vec::new(), Vec::new()],
            events: [Vec::new(), Vec::new()],
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let mut next = end;
            for side in [0, 1, 0] {
                next = next.min(self.drain(side).unwrap_or(end));
            }
            self.now = next.max(self.now + Duration::from_millis(1));
            for agent in &mut self.agents {
                agent.handle_timeout(self.now);
            }
        }
    }

    fn drain(&mut self, side: usize) -> Option<Instant> {
        loop {
            match self.agents[side].poll_output() {
                Output::Transmit { datagram, way } => self.carry(side, datagram, way),
                Output::Event(event) => self.events[side].push(event),
                Output::Deadline(deadline) => return deadline,
            }
        }
    }

    fn carry(&mut self, side: usize, datagram: Vec<u8>, way: Way) {
        assert!(crate::stun::is_stun(&datagram));
        assert_eq!(
            View::parse(&datagram).unwrap().has_right_fingerprint(),
            Some(true)
        );
        let is_lost = self.cut[side] || self.loses_nominations && nominates(&datagram);
        if !is_lost && let Some((_, seen)) = (self.route)(side, way) {
            self.agents[1 - side].handle_datagram(self.now, &datagram, seen);
        }
        self.sent[side].push(Sent {
            when: self.now,
            way,
            datagram,
        });
    }

    fn asked(&self, side: usize) -> usize {
        let sent = self.sent[side].iter();
        sent.filter(|sent| is_question(&sent.datagram)).count()
    }

    fn selected(&self) -> [Option<Way>; 2] {
        [0, 1].map(|side| self.agents[side].selected())
    }
}

/// Everything gets there: the first side's one socket is at `left`, the second one's at `right`.
fn plain<'a>(
    left: &Session,
    right: &Session,
) -> impl FnMut(usize, Way) -> Option<(SocketAddr, Way)> + 'a {
    let places = [left.bases[0].at, right.bases[0].at];
    move |side, way| {
        let reached = way.to == places[1 - side] && !way.relayed;
        reached.then(|| (way.to, direct(places[side])))
    }
}

const HOST: &str = "1 1 udp 2130706431 192.0.2.1 4000 typ host";
const PEER: &str = "1 1 udp 2130706431 192.0.2.9 4000 typ host";
const INSIDE: &str = "1 1 UDP 2130706431 10.0.0.7 4000 typ host";

/// Two that reach each other.
fn two() -> (Session, Session) {
    (
        session("l", "r", "192.0.2.1:4000", &[PEER], true),
        session("r", "l", "192.0.2.9:4000", &[HOST], false),
    )
}

#[test]
fn a_peer_behind_a_router_is_found_where_it_is_seen() {
    let left = session("l", "r", "192.0.2.1:4000", &[INSIDE], true);
    let right = session("r", "l", "10.0.0.7:4000", &[HOST], false);
    let outside = at("203.0.113.5:61000");
    let mut opened = false;
    let mut net = Net::new([&left, &right], |side, way| match side {
        // What the second side has not written to first does not come in.
        0 => (opened && way.to == outside).then(|| (way.to, direct(at("192.0.2.1:4000")))),
        _ => {
            opened |= way.to == at("192.0.2.1:4000");
            opened.then(|| (way.to, direct(outside)))
        }
    });
    net.run(Duration::from_secs(5));
    assert_eq!(
        net.selected(),
        [Some(direct(outside)), Some(direct(at("192.0.2.1:4000")))]
    );
    assert!(
        !net.events
            .iter()
            .flatten()
            .any(|event| *event == Event::Failed)
    );
}

#[test]
fn where_nothing_else_leads_the_relay_is_the_way() {
    let theirs = "1 1 udp 2130706431 198.51.100.7 4000 typ host";
    let relay = at("203.0.113.1:50000");
    let mut left = session("l", "r", "10.0.0.1:4000", &[theirs], true);
    left.bases[0].relayed = Some(relay);
    let ours = described(&left.bases);
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let right = session("r", "l", "198.51.100.7:4000", &ours, false);
    let far = at("198.51.100.7:4000");
    let mut net = Net::new([&left, &right], |side, way| match side {
        0 => (way.relayed && way.to == far).then(|| (far, direct(relay))),
        _ => (way.to == relay).then(|| (relay, by_relay(far))),
    });
    net.run(Duration::from_secs(5));
    assert_eq!(net.selected(), [Some(by_relay(far)), Some(direct(relay))]);
}

/// RFC 8445 §12.1: the best that has answered carries media; §8.1.1: one is nominated in the end, and §8.1.2: nothing
/// more is asked then.
#[test]
fn media_goes_by_the_relay_until_a_better_way_answers_and_that_one_is_nominated() {
    let far = at("198.51.100.7:4000");
    let relay = at("203.0.113.1:50000");
    let mut left = session(
        "l",
        "r",
        "10.0.0.1:4000",
        &["1 1 udp 2130706431 198.51.100.7 4000 typ host"],
        true,
    );
    left.bases[0].relayed = Some(relay);
    let ours = described(&left.bases);
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let right = session("r", "l", "198.51.100.7:4000", &ours, false);
    let start = Instant::now();
    let opened = std::cell::Cell::new(false);
    let outside = at("203.0.113.77:9000");
    let mut net = Net::new([&left, &right], |side, way| match (side, way.relayed) {
        (0, true) => (way.to == far).then(|| (far, direct(relay))),
        (0, false) => (opened.get() && way.to == far).then(|| (far, direct(outside))),
        _ if way.to == relay => Some((relay, by_relay(far))),
        _ => (opened.get() && way.to == outside).then(|| (far, direct(far))),
    });
    net.run(Duration::from_millis(300));
    assert_eq!(net.agents[0].selected(), Some(by_relay(far)));
    let early = net.sent[0].iter().filter(|sent| nominates(&sent.datagram));
    assert_eq!(early.count(), 0, "a better way may still answer");
    opened.set(true);
    net.run(Duration::from_secs(4));
    assert_eq!(net.selected(), [Some(direct(far)), Some(direct(outside))]);
    let nominated: Vec<Way> = net.sent[0]
        .iter()
        .filter(|sent| nominates(&sent.datagram))
        .map(|sent| sent.way)
        .collect();
    assert!(
        !nominated.is_empty() && nominated.iter().all(|way| *way == direct(far)),
        "{nominated:?}"
    );
    // Consent only, on the one way, and about every five seconds.
    let before = [net.asked(0), net.asked(1)];
    net.run(Duration::from_secs(60));
    for (side, before) in before.into_iter().enumerate() {
        let asked = net.asked(side) - before;
        assert!((9..=16).contains(&asked), "{asked} in a minute");
    }
    assert!(net.now - start > Duration::from_secs(60));
}

/// RFC 7675 §5.1: consent ends 30 seconds after the last answer, and nothing is sent without it.
#[test]
fn a_peer_that_says_nothing_for_half_a_minute_is_sent_nothing_more() {
    let (left, right) = two();
    let mut net = Net::new([&left, &right], plain(&left, &right));
    net.run(Duration::from_secs(60));
    let way = direct(at("192.0.2.9:4000"));
    let found = Event::Selected(Component::Media, way);
    assert_eq!(net.events[0], [found, Event::Concluded]);
    net.cut = [true; 2];
    net.run(Duration::from_secs(24));
    assert!(net.agents[0].selected().is_some());
    net.run(Duration::from_secs(20));
    assert_eq!(net.selected(), [None, None]);
    for side in 0..2 {
        assert_eq!(
            net.events[side].last(),
            Some(&Event::Lost(Component::Media))
        );
    }
}

/// RFC 7675 §5.1: consent is an answer to what we ask. A peer that we do not reach asks on, and has not consented.
#[test]
fn questions_of_a_peer_that_does_not_hear_us_are_no_consent() {
    let (left, right) = two();
    let mut net = Net::new([&left, &right], plain(&left, &right));
    net.run(Duration::from_secs(60));
    net.cut[0] = true;
    net.run(Duration::from_secs(23));
    assert!(net.agents[0].selected().is_some());
    net.run(Duration::from_secs(8));
    assert_eq!(net.agents[0].selected(), None);
    assert_eq!(net.events[0].last(), Some(&Event::Lost(Component::Media)));
}

/// RFC 7675 §5.1: once consent is lost, the same credentials are not used on that way again.
#[test]
fn a_way_that_was_lost_comes_back_with_other_credentials_only() {
    let (left, right) = two();
    let mut net = Net::new([&left, &right], plain(&left, &right));
    net.run(Duration::from_secs(5));
    net.cut[0] = true;
    net.run(Duration::from_secs(36));
    assert_eq!(net.events[0].last(), Some(&Event::Lost(Component::Media)));
    net.cut[0] = false;
    // The other one begins anew, with the same names and passwords, and asks.
    net.agents[1] = Agent::new(net.now, &right);
    net.events = [Vec::new(), Vec::new()];
    let before = [net.asked(0), net.asked(1)];
    net.run(Duration::from_secs(60));
    assert!(net.events[0].is_empty(), "{:?}", net.events[0]);
    assert_eq!(net.agents[0].selected(), None);
    assert_eq!(net.asked(0), before[0]);
    assert!(net.asked(1) > before[1]);
    net.agents[0] = Agent::new(
        net.now,
        &session("l2", "r2", "192.0.2.1:4000", &[PEER], true),
    );
    net.agents[1] = Agent::new(
        net.now,
        &session("r2", "l2", "192.0.2.9:4000", &[HOST], false),
    );
    net.run(Duration::from_secs(5));
    assert_eq!(net.agents[0].selected(), Some(direct(at("192.0.2.9:4000"))));
}

/// RFC 8445 §7.3.1.1: a conflict of roles is settled whichever both want, and whoever asks first.
#[test]
fn both_may_want_to_nominate_and_both_may_not() {
    for controlling in [true, false] {
        // Who has the greater number is another one with other names.
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let left = session(name, "r", "192.0.2.1:4000", &[PEER], controlling);
            let right = session("r", name, "192.0.2.9:4000", &[HOST], controlling);
            let mut net = Net::new([&left, &right], plain(&left, &right));
            net.run(Duration::from_secs(5));
            let both = [
                Some(direct(at("192.0.2.9:4000"))),
                Some(direct(at("192.0.2.1:4000"))),
            ];
            assert_eq!(net.selected(), both, "{name}, {controlling}");
            let nominators = net.sent.iter();
            let nominators =
                nominators.filter(|sent| sent.iter().any(|one| nominates(&one.datagram)));
            assert_eq!(nominators.count(), 1, "{name}, {controlling}");
            // It is settled once.
            let refusals = net.sent.iter().flatten();
            let refusals = refusals.filter(|sent| {
                let view = View::parse(&sent.datagram).unwrap();
                view.error().is_some_and(|(code, _)| code == 487)
            });
            let refusals = refusals.count();
            assert!(refusals <= 2, "{refusals} refusals: {name}, {controlling}");
        }
    }
}

#[test]
fn no_way_is_told_and_strangers_and_junk_are_none() {
    let candidates = [
        "1 1 udp 2130706431 198.51.100.1 4000 typ host",
        "2 1 TCP 2130706431 198.51.100.1 9 typ host tcptype active",
        "nonsense",
        "",
    ];
    let left = session("l", "r", "192.0.2.1:4000", &candidates, true);
    let stranger = session("x", "y", "198.51.100.1:4000", &[HOST], false);
    let mut net = Net::new([&left, &stranger], plain(&left, &stranger));
    net.run(Duration::from_secs(9));
    assert!(net.events[0].is_empty());
    for first in 0..4u8 {
        for length in [0, 19, 20, 21, 60, 1_200] {
            let mut junk = vec![first; length];
            if let Some(cookie) = junk.get_mut(4..8) {
                cookie.copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            }
            let from = direct(at("198.51.100.1:4000"));
            net.agents[0].handle_datagram(net.now, &junk, from);
        }
    }
    net.run(Duration::from_secs(2));
    assert_eq!(net.events[0], [Event::Failed]);
    assert_eq!(net.agents[0].selected(), None);
}

/// RFC 8445 §5.1.1.1: a peer has no business with what listens on our loopback.
#[test]
fn nothing_is_asked_of_our_own_loopback() {
    let theirs = [
        "1 1 udp 2130706431 127.0.0.1 53 typ host",
        "2 1 udp 2130706175 127.9.9.9 8080 typ srflx raddr 0.0.0.0 rport 0",
        "3 1 udp 1694498815 198.51.100.1 4000 typ host",
    ];
    let session = session("l", "r", "192.0.2.1:4000", &theirs, true);
    let now = Instant::now();
    let mut agent = Agent::new(now, &session);
    let mut asked = Vec::new();
    for ms in 0..3_000 {
        agent.handle_timeout(now + Duration::from_millis(ms));
        while let Output::Transmit { way, .. } = agent.poll_output() {
            asked.push(way.to);
        }
    }
    asked.dedup();
    assert_eq!(asked, [at("198.51.100.1:4000")]);
}

/// RFC 8421 §4, with its own example: two of IPv4 and six of IPv6.
#[test]
fn families_are_tried_in_turn_with_a_head_start_for_ipv6() {
    let read =
        |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
    for (given, ordered) in [
        (
            &[
                "192.0.2.1",
                "192.0.2.2",
                "2001:db8::1",
                "2001:db8::2",
                "2001:db8::3",
                "2001:db8::4",
                "2001:db8::5",
                "2001:db8::6",
            ][..],
            &[
                "2001:db8::1",
                "2001:db8::2",
                "2001:db8::3",
                "2001:db8::4",
                "192.0.2.1",
                "2001:db8::5",
                "2001:db8::6",
                "192.0.2.2",
            ][..],
        ),
        (&["192.0.2.1", "2001:db8::1"], &["2001:db8::1", "192.0.2.1"]),
        (
            &["192.0.2.1", "192.0.2.2", "2001:db8::1"],
            &["2001:db8::1", "192.0.2.1", "192.0.2.2"],
        ),
        (&["192.0.2.2", "192.0.2.1"], &["192.0.2.2", "192.0.2.1"]),
        (
            &["2001:db8::2", "2001:db8::1"],
            &["2001:db8::2", "2001:db8::1"],
        ),
        (&[], &[]),
    ] {
        assert_eq!(in_order(&read(given)), read(ordered), "{given:?}");
    }
}

/// RFC 8445 §5.1.2.1, §5.1.1.3, RFC 8839 §5.1.
#[test]
fn every_socket_has_candidates_of_its_own_whose_order_their_priorities_say() {
    let mut bases = vec![
        base(0, Component::Media, "[2001:db8::7]:4000"),
        base(1, Component::Reports, "[2001:db8::7]:4001"),
        base(2, Component::Media, "10.0.0.7:4000"),
        base(3, Component::Reports, "10.0.0.7:4001"),
    ];
    // Seen where it is: no candidate of its own (§5.1.3).
    bases[0].mapped = Some(bases[0].at);
    bases[2].mapped = Some(at("203.0.113.9:61000"));
    bases[2].relayed = Some(at("198.51.100.3:50000"));
    bases[3].relayed = Some(at("198.51.100.3:50002"));
    let lines = described(&bases);
    assert_eq!(
        lines,
        [
            "1 1 udp 2130706431 2001:db8::7 4000 typ host",
            "1 2 udp 2130706430 2001:db8::7 4001 typ host",
            "2 1 udp 2130706175 10.0.0.7 4000 typ host",
            "3 1 udp 1694498559 203.0.113.9 61000 typ srflx raddr 10.0.0.7 rport 4000",
            "4 1 udp 16776959 198.51.100.3 50000 typ relay raddr 203.0.113.9 rport 61000",
            "2 2 udp 2130706174 10.0.0.7 4001 typ host",
            "4 2 udp 16776958 198.51.100.3 50002 typ relay raddr 10.0.0.7 rport 4001",
        ]
    );
}

/// Two networks of one family each, and one family broken: the other carries.
#[test]
fn with_one_family_broken_the_other_carries() {
    let two_of = |name: &str, other: &str, end: u8, candidates: Vec<String>, controlling| Session {
        local: credentials(name),
        remote: credentials(other),
        bases: vec![
            base(0, Component::Media, &format!("[2001:db8::{end}]:4000")),
            base(2, Component::Media, &format!("192.0.2.{end}:4000")),
        ],
        candidates,
        controlling,
    };
    for broken_is_six in [true, false] {
        let right = two_of("r", "l", 9, Vec::new(), false);
        let left = two_of("l", "r", 1, described(&right.bases), true);
        let right = two_of("r", "l", 9, described(&left.bases), false);
        let bases = [left.bases.clone(), right.bases.clone()];
        let mut net = Net::new([&left, &right], move |side, way| {
            let from = bases[side].iter().find(|base| base.socket == way.socket)?;
            let to = bases[1 - side].iter().find(|base| base.at == way.to)?;
            let seen = Way {
                to: from.at,
                socket: to.socket,
                relayed: false,
            };
            (from.at.is_ipv6() != broken_is_six && from.at.is_ipv4() == to.at.is_ipv4())
                .then_some((way.to, seen))
        });
        net.run(Duration::from_secs(3));
        for (side, end) in [(0, 9), (1, 1)] {
            let way = net.agents[side].selected().unwrap();
            assert_eq!(way.to.is_ipv4(), broken_is_six);
            assert_eq!(way.socket, if broken_is_six { 2 } else { 0 });
            let told = way.to.ip().to_string();
            assert!(told.ends_with(&end.to_string()), "{told}");
        }
    }
}

fn two_components(
    name: &str,
    other: &str,
    end: u8,
    candidates: Vec<String>,
    controlling: bool,
) -> Session {
    Session {
        local: credentials(name),
        remote: credentials(other),
        bases: vec![
            base(0, Component::Media, &format!("192.0.2.{end}:4000")),
            base(1, Component::Reports, &format!("192.0.2.{end}:4001")),
        ],
        candidates,
        controlling,
    }
}

/// RFC 8445 §6.1.2.6, §7.2.5.3.3: reports wait for the media to show that a foundation is good, and each has its way.
#[test]
fn reports_on_a_port_of_their_own_have_a_way_of_their_own_and_wait_for_the_media() {
    let right = two_components("r", "l", 9, Vec::new(), false);
    let left = two_components("l", "r", 1, described(&right.bases), true);
    let right = two_components("r", "l", 9, described(&left.bases), false);
    let ends = [1, 9];
    let mut net = Net::new([&left, &right], move |side, way| {
        let to = format!("192.0.2.{}", ends[1 - side]);
        let port = 4000 + u16::from(way.socket);
        let from = SocketAddr::new(format!("192.0.2.{}", ends[side]).parse().unwrap(), port);
        let reached = way.to.ip().to_string() == to;
        let socket = u8::try_from(way.to.port() - 4000).unwrap();
        reached.then_some((
            way.to,
            Way {
                to: from,
                socket,
                relayed: false,
            },
        ))
    });
    net.run(Duration::from_secs(3));
    for (side, end) in [(0, 9), (1, 1)] {
        for (component, socket) in [(Component::Media, 0), (Component::Reports, 1)] {
            let to = at(&format!("192.0.2.{end}:{}", 4000 + u16::from(socket)));
            let way = Way {
                to,
                socket,
                relayed: false,
            };
            assert_eq!(net.agents[side].selected_for(component), Some(way));
        }
        let first = net.sent[side]
            .iter()
            .find(|sent| is_question(&sent.datagram));
        assert_eq!(first.unwrap().way.socket, 0);
    }
    // Silent for the media alone, it loses that and with it all.
    net.cut = [true; 2];
    net.run(Duration::from_secs(40));
    assert!(net.events[0].contains(&Event::Lost(Component::Media)));
    assert_eq!(net.agents[0].selected_for(Component::Reports), None);
}

/// RFC 7675 §5.1 holds for each way by itself.
#[test]
fn reports_whose_way_is_lost_are_not_sent_any_more_and_the_media_is() {
    let right = two_components("r", "l", 9, Vec::new(), false);
    let left = two_components("l", "r", 1, described(&right.bases), true);
    let right = two_components("r", "l", 9, described(&left.bases), false);
    let ends = [1, 9];
    let deaf = std::cell::Cell::new(false);
    let mut net = Net::new([&left, &right], |side, way| {
        let from = at(&format!(
            "192.0.2.{}:{}",
            ends[side],
            4000 + u16::from(way.socket)
        ));
        let socket = u8::try_from(way.to.port() - 4000).unwrap();
        let seen = Way {
            to: from,
            socket,
            relayed: false,
        };
        (!deaf.get() || socket == 0).then_some((way.to, seen))
    });
    net.run(Duration::from_secs(3));
    deaf.set(true);
    net.run(Duration::from_secs(120));
    for side in 0..2 {
        let lost: Vec<_> = net.events[side]
            .iter()
            .filter(|event| matches!(event, Event::Lost(_)))
            .collect();
        assert_eq!(lost, [&Event::Lost(Component::Reports)]);
        assert!(net.agents[side].selected().is_some());
        assert_eq!(net.agents[side].selected_for(Component::Reports), None);
    }
}

#[test]
fn reports_that_nobody_answers_do_not_hold_up_the_media() {
    let right = session("r", "l", "192.0.2.9:4000", &[HOST], false);
    let theirs = vec![
        PEER.to_owned(),
        "1 2 udp 2130706430 192.0.2.9 4001 typ host".to_owned(),
    ];
    let left = two_components("l", "r", 1, theirs, true);
    let mut net = Net::new([&left, &right], plain(&left, &right));
    net.run(Duration::from_secs(12));
    assert_eq!(
        net.events[0],
        [Event::Selected(
            Component::Media,
            direct(at("192.0.2.9:4000"))
        )]
    );
    assert_eq!(net.agents[0].selected_for(Component::Reports), None);
}

/// When each side was told first that it has concluded, looked at every 10 ms.
fn concluded(net: &mut Net<'_>, time: Duration) -> [Option<Duration>; 2] {
    let start = net.now;
    let mut seen = [None; 2];
    while net.now - start < time {
        net.run(Duration::from_millis(10));
        for (seen, events) in seen.iter_mut().zip(&net.events) {
            if seen.is_none() && events.contains(&Event::Concluded) {
                *seen = Some(net.now - start);
            }
        }
    }
    seen
}

/// RFC 8445 §8.3.1: candidates that were not selected are kept for three seconds after it is settled which was.
#[test]
fn what_was_not_selected_may_be_freed_three_seconds_after_a_way_was_nominated() {
    let far = at("198.51.100.7:4000");
    let (relay, outside) = (at("203.0.113.1:50000"), at("203.0.113.77:9000"));
    let theirs = "1 1 udp 2130706431 198.51.100.7 4000 typ host";
    let mut left = session("l", "r", "10.0.0.1:4000", &[theirs], true);
    left.bases[0].relayed = Some(relay);
    let ours = described(&left.bases);
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let right = session("r", "l", "198.51.100.7:4000", &ours, false);
    let opened = std::cell::Cell::new(false);
    let mut net = Net::new([&left, &right], |side, way| match (side, way.relayed) {
        (0, true) => (way.to == far).then(|| (far, direct(relay))),
        (0, false) => (opened.get() && way.to == far).then(|| (far, direct(outside))),
        _ if way.to == relay => Some((relay, by_relay(far))),
        _ => (opened.get() && way.to == outside).then(|| (far, direct(far))),
    });
    // The relay carries media, and nobody has been nominated.
    net.run(Duration::from_millis(300));
    assert_eq!(net.agents[0].selected(), Some(by_relay(far)));
    opened.set(true);
    let start = net.now;
    let seen = concluded(&mut net, Duration::from_secs(20));
    assert_eq!(net.selected(), [Some(direct(far)), Some(direct(outside))]);
    let mut asked = net.sent[0].iter();
    let nominated = asked.find(|sent| nominates(&sent.datagram)).unwrap().when;
    for seen in seen {
        let after = start + seen.expect("both have concluded") - nominated;
        let wanted = Duration::from_millis(3_000)..Duration::from_millis(3_100);
        assert!(wanted.contains(&after), "{after:?}");
    }
    // It is told once.
    net.run(Duration::from_secs(300));
    for events in &net.events {
        let told = events.iter().filter(|event| **event == Event::Concluded);
        assert_eq!(told.count(), 1);
    }
}

/// RFC 8445 §8.1: nothing is settled before the controlling side has nominated, and that is answered.
#[test]
fn without_a_nomination_nothing_may_be_freed() {
    let (left, right) = two();
    let mut net = Net::new([&left, &right], plain(&left, &right));
    net.loses_nominations = true;
    net.run(Duration::from_secs(20));
    // Media flows meanwhile.
    assert!(net.selected().iter().all(Option::is_some));
    assert!(net.events.iter().flatten().all(|e| *e != Event::Concluded));
    net.loses_nominations = false;
    let seen = concluded(&mut net, Duration::from_secs(30));
    for seen in seen {
        let seen = seen.expect("it is settled in the end");
        assert!(seen >= Duration::from_secs(3), "{seen:?}");
    }
}

/// RFC 8445 §8.1.2: the check lists of all components count. One without any answer has failed once its last question has
/// had its time (RFC 8489 §6.2.1: 39.5 s).
#[test]
fn what_reports_may_still_need_is_kept_until_they_have_a_way_or_none_to_hope_for() {
    let right = session("r", "l", "192.0.2.9:4000", &[HOST], false);
    let theirs = vec![
        PEER.to_owned(),
        "1 2 udp 2130706430 192.0.2.9 4001 typ host".to_owned(),
    ];
    let left = two_components("l", "r", 1, theirs, true);
    let mut net = Net::new([&left, &right], plain(&left, &right));
    let [ours, theirs] = concluded(&mut net, Duration::from_secs(60));
    let ours = ours.expect("it ends");
    assert!(
        ours > Duration::from_millis(39_500) && ours < Duration::from_secs(45),
        "{ours:?}"
    );
    // The peer has one component alone.
    assert!(
        theirs.is_some_and(|at| at < Duration::from_secs(5)),
        "{theirs:?}"
    );
    // A peer that has none for reports is not waited for.
    let left = two_components("l", "r", 1, vec![PEER.to_owned()], true);
    let right = session("r", "l", "192.0.2.9:4000", &[HOST], false);
    let mut net = Net::new([&left, &right], plain(&left, &right));
    let [ours, _] = concluded(&mut net, Duration::from_secs(60));
    assert!(
        ours.is_some_and(|at| at < Duration::from_secs(5)),
        "{ours:?}"
    );
}

/// RFC 8445 §6.1.2.5, §14.2: however many candidates there are, no more than a hundred pairs are tried, one in 50 ms.
#[test]
fn a_peer_with_many_candidates_is_asked_slowly_and_not_everywhere() {
    let many: Vec<String> = (0..200)
        .map(|n| {
            format!(
                "f{n} 1 udp {} 198.51.100.{n} 4000 typ host",
                2_130_706_431 - n * 256
            )
        })
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut left = session("l", "r", "192.0.2.1:4000", &many, true);
    for n in 1..6 {
        let more = base(n, Component::Media, &format!("192.0.2.{}:4000", n + 1));
        left.bases.push(more);
    }
    let nobody = session("x", "y", "203.0.113.1:4000", &[], false);
    let mut net = Net::new([&left, &nobody], |_, _| None);
    net.run(Duration::from_secs(60));
    let mut ways: HashMap<Way, Vec<Instant>> = HashMap::new();
    for sent in &net.sent[0] {
        ways.entry(sent.way).or_default().push(sent.when);
    }
    assert_eq!(ways.len(), 100);
    assert!(ways.values().all(|times| times.len() <= 7));
    let mut first: Vec<Instant> = ways.values().map(|times| times[0]).collect();
    first.sort();
    for pair in first.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(50));
    }
    let before = net.sent[0].len();
    net.run(Duration::from_secs(300));
    assert!(net.sent[0].len() - before < 700, "it comes to an end");
}

#[test]
fn a_peer_that_calls_all_its_candidates_alike_is_found_as_soon_as_any() {
    let theirs = [
        "1 1 udp 2130706431 198.51.100.7 4000 typ host",
        "1 1 udp 2130706430 198.51.100.8 4000 typ host",
        "1 1 udp 2130706429 192.0.2.9 4000 typ host",
    ];
    let left = session("l", "r", "192.0.2.1:4000", &theirs, true);
    let right = session("r", "l", "192.0.2.9:4000", &[], false);
    let mut net = Net::new([&left, &right], plain(&left, &right));
    net.run(Duration::from_millis(300));
    assert_eq!(net.agents[0].selected(), Some(direct(at("192.0.2.9:4000"))));
}
