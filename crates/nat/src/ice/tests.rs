use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::*;
use crate::message::{self, Draft, Key, View};
use crate::stun::{Binding, TransactionId};

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
        if !self.cut[side]
            && let Some((_, seen)) = (self.route)(side, way)
        {
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
    assert_eq!(
        net.events[0],
        [Event::Selected(
            Component::Media,
            direct(at("192.0.2.9:4000"))
        )]
    );
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

/// A question of the peer `r` to the agent of `l`, as the given attributes make it.
struct Asking {
    draft: Draft,
}

const ID: TransactionId = TransactionId([7; 12]);
const PEERS_PLACE: &str = "192.0.2.9:4000";

impl Asking {
    fn new() -> Self {
        let name = format!("{}:{}", credentials("l").ufrag, credentials("r").ufrag);
        Self {
            draft: Draft::new(1, ID).with(message::USERNAME, name.as_bytes()),
        }
    }

    fn bare() -> Self {
        Self {
            draft: Draft::new(1, ID),
        }
    }

    fn with(self, kind: u16, value: &[u8]) -> Self {
        Self {
            draft: self.draft.with(kind, value),
        }
    }

    fn usual(self) -> Self {
        self.with(message::PRIORITY, &1_000_000_u32.to_be_bytes())
            .with(message::ICE_CONTROLLED, &5_u64.to_be_bytes())
    }

    fn finish(self) -> Vec<u8> {
        self.draft
            .finish(Some(&Key::short_term(&credentials("l").pwd)))
    }
}

/// What the agent says to one datagram: nothing (None where it is none of its business), success, or the code.
fn said(datagram: &[u8]) -> Option<Vec<u16>> {
    let left = session("l", "r", "192.0.2.1:4000", &[], true);
    let now = Instant::now();
    let mut agent = Agent::new(now, &left);
    while !matches!(agent.poll_output(), Output::Deadline(_)) {}
    if !agent.handle_datagram(now, datagram, direct(at(PEERS_PLACE))) {
        return None;
    }
    let mut said = Vec::new();
    loop {
        match agent.poll_output() {
            Output::Transmit { datagram, .. } => {
                let view = View::parse(&datagram).unwrap();
                match view.kind {
                    0x0101 => said.push(200),
                    0x0111 => said.push(view.error().unwrap().0),
                    _ => {}
                }
                if view.error().is_some_and(|(code, _)| code == 420) {
                    assert_eq!(
                        view.get(message::UNKNOWN_ATTRIBUTES),
                        Some(&[0x7f, 0xff][..])
                    );
                }
            }
            Output::Event(_) => {}
            Output::Deadline(_) => return Some(said),
        }
    }
}

/// A datagram whose length is put right, with a proof and a fingerprint where they are wanted.
fn raw(attributes: &[(u16, &[u8])], proved: bool) -> Vec<u8> {
    let mut asking = Asking::bare();
    for (kind, value) in attributes {
        asking = asking.with(*kind, value);
    }
    match proved {
        true => asking.finish(),
        false => asking.draft.finish(None),
    }
}

/// RFC 8489 §6.3, §9.1.3, §14 and RFC 8445 §7.3, attribute by attribute.
#[test]
fn each_attribute_of_a_question_that_is_wrong_is_met_as_the_rules_say() {
    let name = format!("{}:{}", credentials("l").ufrag, credentials("r").ufrag);
    let name = name.as_bytes();
    let priority = 1_000_000_u32.to_be_bytes();
    let role = 5_u64.to_be_bytes();
    let usual = || Asking::new().usual();
    let good = usual().finish();
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut datagram = good.clone();
        change(&mut datagram);
        datagram
    };
    // From where an attribute begins on, without the fingerprint being put right.
    let place_of = |kind: u16| {
        let found = good.windows(2).enumerate().skip(20).step_by(4);
        let mut found = found.filter(|(_, two)| *two == kind.to_be_bytes());
        found.next().map(|(place, _)| place).unwrap()
    };
    let lie = |kind: u16, length: u16| {
        let place = place_of(kind);
        edit(&|datagram| datagram[place + 2..place + 4].copy_from_slice(&length.to_be_bytes()))
    };
    type Case<'a> = (&'a str, Vec<u8>, Option<&'a [u16]>);
    let cases: Vec<Case<'_>> = vec![
        ("a good one", good.clone(), Some(&[200])),
        // Framing.
        ("too short", good[..19].to_vec(), None),
        ("cut in an attribute", good[..good.len() - 5].to_vec(), None),
        (
            "cut between attributes",
            good[..good.len() - 8].to_vec(),
            None,
        ),
        ("longer than it says", [&good[..], &[0; 4]].concat(), None),
        (
            "a length that is no multiple of four",
            edit(&|d| d[3] += 1),
            None,
        ),
        ("no cookie", edit(&|d| d[4] ^= 1), None),
        ("a first bit", edit(&|d| d[0] |= 0x80), None),
        ("another method", edit(&|d| d[1] = 3), None),
        ("an indication", edit(&|d| d[1] = 0x11), None),
        (
            "an attribute beyond the end",
            lie(message::FINGERPRINT, 400),
            None,
        ),
        (
            "an attribute that swallows those behind it",
            lie(message::PRIORITY, 16),
            Some(&[]),
        ),
        (
            "a name that swallows all",
            lie(message::USERNAME, u16::MAX),
            None,
        ),
        // USERNAME.
        (
            "no name",
            raw(
                &[
                    (message::PRIORITY, &priority),
                    (message::ICE_CONTROLLED, &role),
                ],
                true,
            ),
            None,
        ),
        (
            "another's name",
            raw(
                &[(message::USERNAME, b"x:y"), (message::PRIORITY, &priority)],
                true,
            ),
            None,
        ),
        (
            "half a name",
            raw(
                &[
                    (message::USERNAME, &name[..4]),
                    (message::PRIORITY, &priority),
                ],
                true,
            ),
            None,
        ),
        (
            "a name that is no text",
            raw(
                &[
                    (message::USERNAME, &[0xff, b':', 0xfe]),
                    (message::PRIORITY, &priority),
                ],
                true,
            ),
            None,
        ),
        (
            "an empty name",
            raw(
                &[(message::USERNAME, b""), (message::PRIORITY, &priority)],
                true,
            ),
            None,
        ),
        (
            "two names, of which the first counts",
            Asking::new()
                .with(message::USERNAME, b"x:y")
                .usual()
                .finish(),
            Some(&[200]),
        ),
        // MESSAGE-INTEGRITY.
        (
            "no proof",
            Asking::new().usual().draft.finish(None),
            Some(&[400]),
        ),
        (
            "a wrong proof",
            Asking::new()
                .usual()
                .draft
                .finish(Some(&Key::short_term("another password"))),
            Some(&[401]),
        ),
        (
            "a proof of wrong length",
            Asking::new()
                .usual()
                .with(message::MESSAGE_INTEGRITY, &[1; 16])
                .draft
                .finish(None),
            Some(&[401]),
        ),
        (
            "an empty proof",
            Asking::new()
                .usual()
                .with(message::MESSAGE_INTEGRITY, b"")
                .draft
                .finish(None),
            Some(&[401]),
        ),
        (
            "a bit of it turned",
            edit(&|d| d[place_of(message::MESSAGE_INTEGRITY) + 6] ^= 1),
            Some(&[]),
        ),
        // FINGERPRINT.
        (
            "a wrong fingerprint",
            edit(&|d| *d.last_mut().unwrap() ^= 1),
            Some(&[]),
        ),
        (
            "an attribute behind the fingerprint",
            {
                let mut late = good.clone();
                late.extend([0x80, 0x22, 0, 0]);
                let length = u16::try_from(late.len() - 20).unwrap().to_be_bytes();
                late[2..4].copy_from_slice(&length);
                late
            },
            Some(&[]),
        ),
        (
            "a proof behind the fingerprint",
            {
                let bytes = Asking::new().usual().draft.finish(None);
                Draft::reopen(bytes).finish(Some(&Key::short_term(&credentials("l").pwd)))
            },
            Some(&[]),
        ),
        (
            "no fingerprint at all",
            {
                let mut short = good[..good.len() - 8].to_vec();
                let length = u16::try_from(short.len() - 20).unwrap().to_be_bytes();
                short[2..4].copy_from_slice(&length);
                short
            },
            Some(&[200]),
        ),
        // PRIORITY.
        (
            "no priority",
            Asking::new().with(message::ICE_CONTROLLED, &role).finish(),
            Some(&[400]),
        ),
        (
            "a short priority",
            Asking::new().with(message::PRIORITY, &[1, 2]).finish(),
            Some(&[400]),
        ),
        (
            "a long priority",
            Asking::new().with(message::PRIORITY, &[1; 8]).finish(),
            Some(&[400]),
        ),
        (
            "a priority of nothing",
            Asking::new().with(message::PRIORITY, &[0; 4]).finish(),
            Some(&[400]),
        ),
        (
            "a priority above all",
            Asking::new().with(message::PRIORITY, &[0xff; 4]).finish(),
            Some(&[400]),
        ),
        (
            "a priority behind the proof",
            {
                let mut bytes = Asking::new().with(message::ICE_CONTROLLED, &role).finish();
                bytes.truncate(bytes.len() - 8);
                Draft::reopen(bytes)
                    .with(message::PRIORITY, &priority)
                    .finish(None)
            },
            Some(&[400]),
        ),
        // Roles.
        (
            "no role",
            Asking::new().with(message::PRIORITY, &priority).finish(),
            Some(&[200]),
        ),
        (
            "both roles",
            usual().with(message::ICE_CONTROLLING, &role).finish(),
            Some(&[400]),
        ),
        (
            "the same role and less",
            Asking::new()
                .with(message::PRIORITY, &priority)
                .with(message::ICE_CONTROLLING, &[0; 8])
                .finish(),
            Some(&[487]),
        ),
        (
            "the same role and more",
            Asking::new()
                .with(message::PRIORITY, &priority)
                .with(message::ICE_CONTROLLING, &[0xff; 8])
                .finish(),
            Some(&[200]),
        ),
        (
            "a short role is none",
            Asking::new()
                .with(message::PRIORITY, &priority)
                .with(message::ICE_CONTROLLING, &[0; 4])
                .finish(),
            Some(&[200]),
        ),
        // The rest.
        (
            "USE-CANDIDATE from who does not nominate",
            usual().with(message::USE_CANDIDATE, b"").finish(),
            Some(&[200]),
        ),
        (
            "USE-CANDIDATE with something in it",
            usual().with(message::USE_CANDIDATE, &[1; 9]).finish(),
            Some(&[200]),
        ),
        (
            "one that must be understood",
            usual().with(0x7fff, &[1, 2, 3]).finish(),
            Some(&[420]),
        ),
        (
            "one that must not",
            usual().with(0xbfff, &[1, 2, 3]).finish(),
            Some(&[200]),
        ),
        (
            "one that must be understood, behind the proof",
            {
                let mut bytes = usual().finish();
                bytes.truncate(bytes.len() - 8);
                Draft::reopen(bytes).with(0x7fff, &[0; 4]).finish(None)
            },
            Some(&[200]),
        ),
        (
            "words about the program",
            usual().with(message::SOFTWARE, &[0xff; 700]).finish(),
            Some(&[200]),
        ),
        (
            "addresses that a question has not",
            usual().with(message::XOR_MAPPED_ADDRESS, &[0; 3]).finish(),
            Some(&[200]),
        ),
        (
            "an error in a question",
            usual().with(message::ERROR_CODE, &[0; 1]).finish(),
            Some(&[200]),
        ),
        (
            "a thousand attributes",
            (0..1_000)
                .fold(usual(), |asking, n| asking.with(0x9000 + n, b""))
                .finish(),
            Some(&[200]),
        ),
    ];
    for (what, datagram, wanted) in cases {
        assert_eq!(said(&datagram).as_deref(), wanted, "{what}");
    }
}

/// What an agent of `l` makes of an answer to its first question: whether a way is found by it.
fn is_convinced(answer: impl Fn(TransactionId, &Key) -> Vec<u8>, from: &str) -> bool {
    let left = session("l", "r", "192.0.2.1:4000", &[PEER], true);
    let now = Instant::now();
    let mut agent = Agent::new(now, &left);
    let Output::Transmit { datagram, .. } = agent.poll_output() else {
        panic!("it asks at once");
    };
    let id = View::parse(&datagram).unwrap().id;
    let key = Key::short_term(&credentials("r").pwd);
    agent.handle_datagram(now, &answer(id, &key), direct(at(from)));
    agent.selected().is_some()
}

/// RFC 8445 §7.2.5, RFC 8489 §6.3.3, §9.1.4.
#[test]
fn an_answer_that_is_wrong_in_anything_shows_no_way() {
    let mapped = |id| crate::stun::mask(at("192.0.2.1:4000"), id);
    let good = |id, key: &Key| {
        let draft = Draft::new(0x0101, id);
        draft
            .with(message::XOR_MAPPED_ADDRESS, &mapped(id))
            .finish(Some(key))
    };
    assert!(is_convinced(good, PEERS_PLACE));
    assert!(!is_convinced(good, "192.0.2.9:4001"), "from another port");
    assert!(!is_convinced(good, "192.0.2.8:4000"), "from another host");
    type Answer<'a> = Box<dyn Fn(TransactionId, &Key) -> Vec<u8> + 'a>;
    let cases: Vec<(&str, Answer<'_>)> = vec![
        ("another question's", Box::new(move |_, key| good(ID, key))),
        (
            "by who does not know the password",
            Box::new(move |id, _| good(id, &Key::short_term("guess"))),
        ),
        (
            "without a proof",
            Box::new(move |id, _| {
                Draft::new(0x0101, id)
                    .with(message::XOR_MAPPED_ADDRESS, &mapped(id))
                    .finish(None)
            }),
        ),
        (
            "without an address",
            Box::new(|id, key| Draft::new(0x0101, id).finish(Some(key))),
        ),
        (
            "with half an address",
            Box::new(|id, key| {
                Draft::new(0x0101, id)
                    .with(message::XOR_MAPPED_ADDRESS, &[0, 1, 2])
                    .finish(Some(key))
            }),
        ),
        (
            "with an address of no family",
            Box::new(|id, key| {
                Draft::new(0x0101, id)
                    .with(message::XOR_MAPPED_ADDRESS, &[0, 9, 1, 2, 3, 4, 5, 6])
                    .finish(Some(key))
            }),
        ),
        (
            "with something that must be understood",
            Box::new(move |id, key| {
                let draft = Draft::new(0x0101, id).with(message::XOR_MAPPED_ADDRESS, &mapped(id));
                draft.with(0x7ffe, &[]).finish(Some(key))
            }),
        ),
        (
            "with a wrong fingerprint",
            Box::new(move |id, key| {
                let mut bytes = good(id, key);
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            }),
        ),
        (
            "an error",
            Box::new(|id, key| {
                Draft::new(0x0111, id)
                    .with(message::ERROR_CODE, &[0, 0, 5, 0])
                    .finish(Some(key))
            }),
        ),
        (
            "an error without a number",
            Box::new(|id, key| Draft::new(0x0111, id).finish(Some(key))),
        ),
    ];
    for (what, answer) in cases {
        assert!(!is_convinced(answer, PEERS_PLACE), "{what}");
    }
}

/// RFC 8445 §7.2.5.1: only with a proof does a 487 change the role, and a late one does not change it back.
#[test]
fn a_conflict_that_nobody_vouches_for_changes_no_role() {
    let left = session("l", "r", "192.0.2.1:4000", &[PEER], true);
    let now = Instant::now();
    let mut agent = Agent::new(now, &left);
    let ask = |agent: &mut Agent, at: Instant| {
        agent.handle_timeout(at);
        let mut asked = Vec::new();
        loop {
            match agent.poll_output() {
                Output::Transmit { datagram, .. } => asked.push(datagram),
                Output::Event(_) => {}
                Output::Deadline(_) => return asked,
            }
        }
    };
    let is_controlling = |datagram: &[u8]| {
        let view = View::parse(datagram).unwrap();
        assert_ne!(
            view.get(message::ICE_CONTROLLING).is_some(),
            view.get(message::ICE_CONTROLLED).is_some()
        );
        view.get(message::ICE_CONTROLLING).is_some()
    };
    let first = ask(&mut agent, now);
    assert!(is_controlling(&first[0]));
    let id = View::parse(&first[0]).unwrap().id;
    let key = Key::short_term(&credentials("r").pwd);
    let conflict = |key| {
        Draft::new(0x0111, id)
            .with(message::ERROR_CODE, &[0, 0, 4, 87])
            .finish(key)
    };
    let way = direct(at(PEERS_PLACE));
    agent.handle_datagram(now, &conflict(None), way);
    let guess = Key::short_term("guess");
    agent.handle_datagram(now, &conflict(Some(&guess)), way);
    let soon = now + Duration::from_millis(600);
    let again = ask(&mut agent, soon);
    assert!(again.iter().all(|datagram| is_controlling(datagram)) && !again.is_empty());
    agent.handle_datagram(soon, &conflict(Some(&key)), way);
    let changed = ask(&mut agent, soon + Duration::from_millis(60));
    assert!(!is_controlling(changed.last().unwrap()));
    agent.handle_datagram(soon, &conflict(Some(&key)), way);
    let later = ask(&mut agent, soon + Duration::from_millis(700));
    assert!(later.iter().all(|datagram| !is_controlling(datagram)));
}

/// The sample request of RFC 5769 §2.1.
#[test]
fn the_sample_request_with_a_short_term_secret_is_answered() {
    let mut request = vec![0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42];
    request.extend([
        0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    ]);
    request.extend([0x80, 0x22, 0x00, 0x10]);
    request.extend(b"STUN test client");
    request.extend([0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff]);
    request.extend([
        0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36,
    ]);
    request.extend([0x00, 0x06, 0x00, 0x09]);
    request.extend(b"evtj:h6vY   ");
    request.extend([0x00, 0x08, 0x00, 0x14]);
    request.extend([0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e]);
    request.extend([0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2]);
    request.extend([0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf]);
    let name = |ufrag: &str, pwd: &str| Credentials {
        ufrag: ufrag.to_owned(),
        pwd: pwd.to_owned(),
    };
    let session = Session {
        local: name("evtj", "VOkJxbRl1RmTxUk/WvJxBt"),
        remote: name("h6vY", "a+password+of+22+signs"),
        ..session("l", "r", "192.0.2.1:4000", &[], true)
    };
    let now = Instant::now();
    let mut agent = Agent::new(now, &session);
    let from = at("192.0.2.9:32853");
    assert!(agent.handle_datagram(now, &request, direct(from)));
    let Output::Transmit { datagram, way } = agent.poll_output() else {
        panic!("it answers");
    };
    assert_eq!(way, direct(from));
    let read = Binding::read(&datagram);
    assert!(matches!(read, Some(Binding::Success(_, Some(seen))) if seen == from));
}

/// Who knows the password may ask from wherever it likes: it is answered, and nothing grows by it.
#[test]
fn a_peer_that_asks_from_everywhere_costs_no_more_than_one_that_does_not() {
    let left = session("l", "r", "192.0.2.1:4000", &[PEER], true);
    let now = Instant::now();
    let mut agent = Agent::new(now, &left);
    let question = Asking::new().usual().finish();
    for port in 1..=20_000 {
        let from = SocketAddr::new(at("198.51.100.1:1").ip(), port);
        assert!(agent.handle_datagram(now, &question, direct(from)));
        while !matches!(agent.poll_output(), Output::Deadline(_)) {}
    }
    let size = agent.size();
    assert!(size <= 100 + 32 + 16, "{size}");
    // Nobody has it write to a crowd, or to nobody.
    for nowhere in [
        "224.0.0.1:4000",
        "255.255.255.255:4000",
        "0.0.0.0:4000",
        "192.0.2.5:0",
    ] {
        let candidate = format!(
            "1 1 udp 1 {} {} typ host",
            at(nowhere).ip(),
            at(nowhere).port()
        );
        let left = session("l", "r", "192.0.2.1:4000", &[&candidate], true);
        let mut agent = Agent::new(now, &left);
        assert!(
            !matches!(agent.poll_output(), Output::Transmit { .. }),
            "{nowhere}"
        );
    }
}

#[test]
fn candidates_of_the_peer_are_read_as_far_as_they_can_be_tried() {
    let tried = |value: &str| {
        let left = session("l", "r", "192.0.2.1:4000", &[value], true);
        match Agent::new(Instant::now(), &left).poll_output() {
            Output::Transmit { way, .. } => Some(way.to),
            _ => None,
        }
    };
    let place = Some(at("198.51.100.1:4000"));
    for good in [
        "1 1 udp 1 198.51.100.1 4000 typ host",
        "candidate:1 1 UDP 2147483647 198.51.100.1 4000 TYP HOST",
        "Ha+/9 1 UdP 1 198.51.100.1 4000 typ relay raddr 10.0.0.1 rport 9",
        "1 1 udp 1 198.51.100.1 4000 typ srflx raddr nonsense rport nonsense generation 0 network-cost 50",
        "1 1 udp 1 ::ffff:198.51.100.1 4000 typ prflx",
    ] {
        assert_eq!(tried(good), place, "{good}");
    }
    for bad in [
        "",
        "1",
        "1 1 udp 1 198.51.100.1 4000",
        "1 1 udp 1 198.51.100.1 4000 typ",
        "1 1 udp 1 198.51.100.1 4000 typ unheard-of",
        "1 1 tcp 1 198.51.100.1 4000 typ host",
        "1 0 udp 1 198.51.100.1 4000 typ host",
        "1 3 udp 1 198.51.100.1 4000 typ host",
        "1 65537 udp 1 198.51.100.1 4000 typ host",
        "1 1 udp 0 198.51.100.1 4000 typ host",
        "1 1 udp 2147483648 198.51.100.1 4000 typ host",
        "1 1 udp -1 198.51.100.1 4000 typ host",
        "1 1 udp 1 somewhere.local 4000 typ host",
        "1 1 udp 1 198.51.100.1 65536 typ host",
        "1 1 udp 1 198.51.100.1 0 typ host",
        "1 1 udp 1 2001:db8::1 4000 typ host",
        "a-foundation-of-more-than-32-signs-in-all 1 udp 1 198.51.100.1 4000 typ host",
    ] {
        assert_eq!(tried(bad), None, "{bad}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes in whichever order, it ends: no event repeats itself, and a deadline is in the future once
        /// what is due has been done.
        #[test]
        fn nothing_stalls_and_nothing_panics(
            steps in proptest::collection::vec((any::<u8>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..90)), 0..60),
        ) {
            let (left, _) = two();
            let mut now = Instant::now();
            let mut agent = Agent::new(now, &left);
            let good = Asking::new().usual().finish();
            let mut last = good.clone();
            for (kind, wait, bytes) in steps {
                now += Duration::from_millis(u64::from(wait) * 4);
                let from = SocketAddr::new(at(PEERS_PLACE).ip(), wait.max(1));
                let way = Way { to: from, socket: kind % 3, relayed: kind & 4 == 0 };
                let mut datagram = if kind & 8 == 0 { good.clone() } else { last.clone() };
                for (place, byte) in bytes.iter().enumerate() {
                    let place = (usize::from(*byte) * 7 + place) % datagram.len();
                    if kind & 16 == 0 {
                        datagram[place] ^= byte;
                    }
                }
                agent.handle_datagram(now, &datagram, way);
                agent.handle_timeout(now);
                for _ in 0..1_000 {
                    match agent.poll_output() {
                        Output::Transmit { datagram, .. } => last = datagram,
                        Output::Event(_) => {}
                        Output::Deadline(_) => break,
                    }
                }
                let settled = matches!(agent.poll_output(), Output::Deadline(next) if next.is_none_or(|next| next > now));
                prop_assert!(settled, "{:?}", agent);
            }
        }
    }
}
