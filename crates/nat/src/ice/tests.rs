use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn direct(to: SocketAddr) -> Way {
    Way { to, relayed: false }
}

fn credentials(name: &str) -> Credentials {
    Credentials {
        ufrag: format!("ufrag-{name}"),
        pwd: format!("a-password-of-22-signs-{name}"),
    }
}

fn session(
    ours: &str,
    theirs: &str,
    base: &str,
    candidates: &[&str],
    controlling: bool,
) -> Session {
    Session {
        local: credentials(ours),
        remote: credentials(theirs),
        base: at(base),
        mapped: None,
        relayed: None,
        candidates: candidates.iter().map(|text| (*text).to_owned()).collect(),
        controlling,
    }
}

/// Two sides, and a router in front of the second: it is seen at `outside`, and what it has not written to first
/// does not come in.
struct Net {
    now: Instant,
    left: Agent,
    right: Agent,
    left_at: SocketAddr,
    right_at: SocketAddr,
    outside: Option<SocketAddr>,
    relay: Option<SocketAddr>,
    opened: bool,
    /// What each of them sends is lost.
    cut: [bool; 2],
    /// How many checks each has sent.
    asked: [u32; 2],
    events: [Vec<Event>; 2],
}

impl Net {
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let mut next = end;
            for side in 0..2 {
                next = next.min(self.drain(side).unwrap_or(end));
            }
            self.now = next.max(self.now + Duration::from_millis(1));
            self.left.handle_timeout(self.now);
            self.right.handle_timeout(self.now);
        }
    }

    fn drain(&mut self, side: usize) -> Option<Instant> {
        loop {
            let agent = if side == 0 {
                &mut self.left
            } else {
                &mut self.right
            };
            match agent.poll_output() {
                Output::Transmit { datagram, way } => self.carry(side, &datagram, way),
                Output::Event(event) => self.events[side].push(event),
                Output::Deadline(deadline) => return deadline,
            }
        }
    }

    fn carry(&mut self, side: usize, datagram: &[u8], way: Way) {
        assert!(crate::stun::is_stun(datagram));
        if stun::StunMessage::parse(datagram).is_ok_and(|m| m.is_binding_request()) {
            self.asked[side] += 1;
        }
        let now = self.now;
        if self.cut[side] {
            return;
        }
        if let Some(relay) = self.relay {
            // Nobody is reached but through the relay, which is at the left one's service.
            if side == 0 && way.relayed && way.to == self.right_at {
                self.right.handle_datagram(now, datagram, direct(relay));
            }
            if side == 1 && way.to == relay {
                let from = Way {
                    to: self.right_at,
                    relayed: true,
                };
                self.left.handle_datagram(now, datagram, from);
            }
            return;
        }
        let front = self.outside.unwrap_or(self.right_at);
        if side == 0 && way.to == front && (self.opened || self.outside.is_none()) {
            let from = direct(self.left_at);
            self.right.handle_datagram(now, datagram, from);
        }
        if side == 1 && way.to == self.left_at {
            self.opened = true;
            self.left.handle_datagram(now, datagram, direct(front));
        }
    }
}

fn net(left: &Session, right: &Session, outside: Option<SocketAddr>) -> Net {
    let now = Instant::now();
    Net {
        now,
        left: Agent::new(now, left),
        right: Agent::new(now, right),
        left_at: left.base,
        right_at: right.base,
        outside,
        relay: left.relayed,
        opened: false,
        cut: [false; 2],
        asked: [0; 2],
        events: [Vec::new(), Vec::new()],
    }
}

const HOST: &str = "1 1 udp 2130706431 192.0.2.1 4000 typ host";
const INSIDE: &str = "1 1 UDP 2130706431 10.0.0.7 4000 typ host";

#[test]
fn a_peer_behind_a_router_is_found_where_it_is_seen() {
    let left = session("l", "r", "192.0.2.1:4000", &[INSIDE], true);
    let right = session("r", "l", "10.0.0.7:4000", &[HOST], false);
    let mut net = net(&left, &right, Some(at("203.0.113.5:61000")));
    net.run(Duration::from_secs(5));
    assert_eq!(net.left.selected(), Some(direct(at("203.0.113.5:61000"))));
    assert_eq!(net.right.selected(), Some(direct(at("192.0.2.1:4000"))));
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
    let left = Session {
        relayed: Some(at("203.0.113.1:50000")),
        ..session("l", "r", "10.0.0.1:4000", &[theirs], true)
    };
    let ours = [
        "1 1 udp 2130706431 10.0.0.1 4000 typ host",
        "2 1 udp 16777215 203.0.113.1 50000 typ relay raddr 10.0.0.1 rport 4000",
    ];
    let right = session("r", "l", "198.51.100.7:4000", &ours, false);
    let mut net = net(&left, &right, None);
    net.run(Duration::from_secs(5));
    let by_relay = Way {
        to: at("198.51.100.7:4000"),
        relayed: true,
    };
    assert_eq!(net.left.selected(), Some(by_relay));
    assert_eq!(net.right.selected(), Some(direct(at("203.0.113.1:50000"))));
}

/// RFC 7675 §5.1: consent ends 30 seconds after the last answer, and nothing is sent without it.
#[test]
fn a_peer_that_says_nothing_for_half_a_minute_is_sent_nothing_more() {
    let theirs = "1 1 udp 2130706431 192.0.2.9 4000 typ host";
    let left = session("l", "r", "192.0.2.1:4000", &[theirs], true);
    let right = session("r", "l", "192.0.2.9:4000", &[HOST], false);
    let mut net = net(&left, &right, None);
    net.run(Duration::from_secs(60));
    assert_eq!(net.events[0].len(), 1);
    net.cut = [true; 2];
    net.run(Duration::from_secs(25));
    assert!(net.left.selected().is_some());
    net.run(Duration::from_secs(20));
    assert_eq!(net.left.selected(), None);
    assert_eq!(net.events[0].last(), Some(&Event::Lost));
    assert_eq!(net.events[1].last(), Some(&Event::Lost));
}

/// RFC 7675 §5.1: consent is an answer to what we ask. A peer that we do not reach asks on, and has not consented.
#[test]
fn questions_of_a_peer_that_does_not_hear_us_are_no_consent() {
    let theirs = "1 1 udp 2130706431 192.0.2.9 4000 typ host";
    let left = session("l", "r", "192.0.2.1:4000", &[theirs], true);
    let right = session("r", "l", "192.0.2.9:4000", &[HOST], false);
    let mut net = net(&left, &right, None);
    net.run(Duration::from_secs(60));
    net.cut[0] = true;
    net.run(Duration::from_secs(25));
    assert!(net.left.selected().is_some());
    net.run(Duration::from_secs(6));
    assert_eq!(net.left.selected(), None);
    assert_eq!(net.events[0].last(), Some(&Event::Lost));
}

/// RFC 7675 §5.1: once consent is lost, the same credentials are not used on that way again.
#[test]
fn a_way_that_was_lost_comes_back_with_other_credentials_only() {
    let theirs = "1 1 udp 2130706431 192.0.2.9 4000 typ host";
    let left = session("l", "r", "192.0.2.1:4000", &[theirs], true);
    let right = session("r", "l", "192.0.2.9:4000", &[HOST], false);
    let mut net = net(&left, &right, None);
    net.run(Duration::from_secs(5));
    net.cut[0] = true;
    net.run(Duration::from_secs(31));
    assert_eq!(net.events[0].last(), Some(&Event::Lost));
    net.cut[0] = false;
    // The other one begins anew, with the same names and passwords, and asks.
    net.right = Agent::new(net.now, &right);
    net.events = [Vec::new(), Vec::new()];
    net.asked = [0; 2];
    net.run(Duration::from_secs(60));
    assert!(net.events[0].is_empty(), "{:?}", net.events[0]);
    assert_eq!(net.left.selected(), None);
    assert_eq!(net.asked[0], 0);
    assert!(net.asked[1] > 0);
    net.left = Agent::new(
        net.now,
        &session("l2", "r2", "192.0.2.1:4000", &[theirs], true),
    );
    net.right = Agent::new(
        net.now,
        &session("r2", "l2", "192.0.2.9:4000", &[HOST], false),
    );
    net.run(Duration::from_secs(5));
    assert_eq!(net.left.selected(), Some(direct(at("192.0.2.9:4000"))));
}

#[test]
fn both_may_want_to_nominate() {
    let left = session(
        "l",
        "r",
        "192.0.2.1:4000",
        &["1 1 udp 1 192.0.2.9 4000 typ host"],
        true,
    );
    let right = session("r", "l", "192.0.2.9:4000", &[HOST], true);
    let mut net = net(&left, &right, None);
    net.run(Duration::from_secs(5));
    assert_eq!(net.left.selected(), Some(direct(at("192.0.2.9:4000"))));
    assert_eq!(net.right.selected(), Some(direct(at("192.0.2.1:4000"))));
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
    let mut net = net(&left, &stranger, None);
    net.run(Duration::from_secs(9));
    assert!(net.events[0].is_empty());
    for first in 0..4u8 {
        for length in [0, 19, 20, 21, 60, 1_200] {
            let mut junk = vec![first; length];
            if let Some(cookie) = junk.get_mut(4..8) {
                cookie.copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            }
            let from = direct(at("198.51.100.1:4000"));
            net.left.handle_datagram(net.now, &junk, from);
        }
    }
    net.run(Duration::from_secs(2));
    assert_eq!(net.events[0], [Event::Failed]);
    assert_eq!(net.left.selected(), None);
}
