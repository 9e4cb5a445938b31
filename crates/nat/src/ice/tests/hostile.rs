//! Peers that mean no good, and peers at random.

use proptest::prelude::*;

use super::wrong::{Asking, PEERS_PLACE};
use super::*;

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
