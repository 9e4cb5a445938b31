//! Who gets to the [keeper](crate::keeper) when more comes than it is to read. Anybody can send to a media port, so what
//! strangers send is counted apart from what is waited for: neither keeps the other out, and no stream the others.
//!
//! ```text
//!  answers, and questions of those we have asked ─┐
//!  questions to us by name (RFC 8445 §7.2.2) ─────┤
//!  other STUN ────────────────────────────────────┼─► each so many in a step ─► of each stream so many at once ─► letters
//!  handshakes: of who is expected, of others ─────┤
//!  the relay: its answers, what it carries ───────┘
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use nat::ice::Session;
use nat::stun;

/// Of a class in one step: checks leave every 50 ms and consent is asked for every 5 s, so this is plenty.
const EXPECTED: u8 = 8;

/// STUN of strangers in one step.
const STRANGE: u8 = 4;

/// Datagrams of a handshake in one step, from where the peer should be and from elsewhere: either holds a flight.
const SHAKES: u8 = 16;
const STRANGE_SHAKES: u8 = 24;

/// The same of one address among those.
const ONE_STRANGERS_SHAKES: u8 = 16;

/// The same once there are keys: the peer repeats its last flight where ours was lost (RFC 6347 §4.2.4).
const REPEATED_SHAKES: u8 = 8;

/// What a relay carries in one step that is no media, by channels and without: handshakes and checks come through it.
const CARRIED: u8 = 16;

/// Addresses that are remembered for having been asked; an agent has some fifty at most.
const ASKED: usize = 64;

/// So much of our name in checks is compared: that is cheap, and the agent compares the whole.
const NAME: usize = 32;

/// The ports of a stream that have a handshake: that of the media, and that of the reports.
const PORTS: usize = 2;

/// How pressing it is that something is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// It seems to be of somebody who has to do with the stream.
    Expected,
    /// It may be of anybody.
    Strange,
}

/// Who sends handshakes, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shaker {
    /// There are keys, and they were made with somebody there, or elsewhere.
    Secured { is_it: bool },
    /// There are none; it comes from where the peer should be.
    Expected,
    /// There are none, and it comes from elsewhere.
    Stranger,
}

/// Letters of a stream that wait; whoever reads one counts it off.
pub(crate) type Waiting = Arc<AtomicUsize>;

/// The beginning of the name that checks call us by: the peer says `ours:theirs`.
#[derive(Debug, Clone, Copy)]
struct Name {
    bytes: [u8; NAME],
    length: usize,
}

impl Name {
    fn new(session: &Session) -> Self {
        let mut bytes = [0; NAME];
        let name = session.local.ufrag.bytes().chain([b':']);
        let length = bytes.iter_mut().zip(name).map(|(b, of)| *b = of).count();
        Self { bytes, length }
    }

    fn begins(&self, username: &[u8]) -> bool {
        username.starts_with(self.bytes.get(..self.length).unwrap_or_default())
    }
}

/// What has come in this step.
#[derive(Debug, Default)]
struct Counts {
    asked: u8,
    named: u8,
    strange: u8,
    relay: u8,
    by_channel: u8,
    without_channel: u8,
    shakes: [u8; PORTS],
    strange_shakes: [u8; PORTS],
    strangers: [Option<(SocketAddr, u8)>; STRANGE_SHAKES as usize],
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Ours in this search, and in the one before where that is used still.
    names: [Option<Name>; 2],
    /// Whom checks have asked, the latest last.
    asked: [Option<SocketAddr>; ASKED],
    counts: Counts,
    waiting: Waiting,
}

impl Gate {
    pub(crate) fn new(search: Option<&Session>) -> Self {
        Self {
            names: [search.map(Name::new), None],
            asked: [None; ASKED],
            counts: Counts::default(),
            waiting: Waiting::default(),
        }
    }

    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Another search begins, or there is none any more.
    pub(crate) fn search(&mut self, search: Option<&Session>, keeps: bool) {
        let before = self.names[0].filter(|_| keeps);
        self.names = [search.map(Name::new), before];
        if !keeps {
            self.asked = [None; ASKED];
        }
    }

    pub(crate) fn begin_step(&mut self) {
        self.counts = Counts::default();
    }

    /// This leaves for there: whoever is asked may answer.
    pub(crate) fn on_sent(&mut self, datagram: &[u8], to: SocketAddr) {
        if !stun::is_request(datagram) {
            return;
        }
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        let place = self.asked.iter().position(|asked| *asked == Some(to));
        if let Some(later) = self.asked.get_mut(place.unwrap_or(0)..) {
            later.rotate_left(1);
        }
        if let Some(last) = self.asked.last_mut() {
            *last = Some(to);
        }
    }

    /// Whether checks have asked there: the peer has said that it can be there, or has asked us from there by our name
    /// and with our password.
    pub(crate) fn knows(&self, from: SocketAddr) -> bool {
        self.asked.iter().rev().any(|asked| *asked == Some(from))
    }

    /// STUN that came straight to us.
    pub(crate) fn stun(&mut self, datagram: &[u8], from: SocketAddr) -> Option<Rank> {
        let counts = &mut self.counts;
        if self.asked.iter().rev().any(|asked| *asked == Some(from)) {
            return take(&mut counts.asked, EXPECTED).then_some(Rank::Expected);
        }
        let is_named = self.names[0].is_some()
            && stun::is_request(datagram)
            && stun::username(datagram).is_some_and(|username| {
                let mut names = self.names.iter().flatten();
                names.any(|name| name.begins(username))
            });
        if is_named {
            take(&mut counts.named, EXPECTED).then_some(Rank::Expected)
        } else {
            take(&mut counts.strange, STRANGE).then_some(Rank::Strange)
        }
    }

    /// What a relay says, or carries by a channel or without one.
    pub(crate) fn relayed(&mut self, datagram: &[u8]) -> Option<Rank> {
        let counts = &mut self.counts;
        let (count, most) = if stun::is_answer(datagram) {
            (&mut counts.relay, EXPECTED)
        } else if nat::turn::unwrapped(datagram).is_some() {
            (&mut counts.by_channel, CARRIED)
        } else {
            (&mut counts.without_channel, CARRIED)
        };
        take(count, most).then_some(Rank::Expected)
    }

    /// A part of a handshake, on the port of the media or that of the reports.
    pub(crate) fn shake(
        &mut self,
        on_reports: bool,
        from: SocketAddr,
        shaker: Shaker,
    ) -> Option<Rank> {
        let port = usize::from(on_reports);
        let shakes = self.counts.shakes.get_mut(port)?;
        match shaker {
            Shaker::Secured { is_it } => {
                (is_it && take(shakes, REPEATED_SHAKES)).then_some(Rank::Expected)
            }
            Shaker::Expected => take(shakes, SHAKES).then_some(Rank::Expected),
            Shaker::Stranger => {
                let mut places = self.counts.strangers.iter_mut();
                // One that sends much leaves something to another, who may be the right one.
                let place = places.find(|place| place.is_none_or(|(address, _)| address == from));
                let (_, count) = place?.get_or_insert((from, 0));
                let all = self.counts.strange_shakes.get_mut(port)?;
                let may = *all < STRANGE_SHAKES && take(count, ONE_STRANGERS_SHAKES);
                (may && take(all, STRANGE_SHAKES)).then_some(Rank::Strange)
            }
        }
    }
}

/// One more, unless there are so many already.
fn take(count: &mut u8, most: u8) -> bool {
    let may = *count < most;
    *count += u8::from(may);
    may
}

/// Whether a stream that has so many letters waiting may have one more, where so many places of all are free.
pub(crate) fn may_post(waiting: &Waiting, rank: Rank, free: usize, all: usize) -> bool {
    let own = match rank {
        Rank::Expected => all / 4,
        // What is expected has its place also where strangers have taken all that they may.
        Rank::Strange if free < all / 2 => 0,
        Rank::Strange => all / 8,
    };
    waiting.load(Relaxed) < own
}

#[cfg(test)]
mod tests {
    use super::*;
    use nat::ice::Credentials;
    use nat::stun::{Binding, TransactionId};

    fn at(number: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 1_000 + number))
    }

    fn session(ufrag: &str) -> Session {
        let credentials = |ufrag: &str| Credentials {
            ufrag: ufrag.to_owned(),
            pwd: "a-password-of-22-signs-0".to_owned(),
        };
        Session {
            local: credentials(ufrag),
            remote: credentials("theirs"),
            bases: Vec::new(),
            candidates: Vec::new(),
            controlling: true,
        }
    }

    /// A check, as far as its name (RFC 8489 §14.3).
    fn check(username: &str) -> Vec<u8> {
        let mut bytes = question();
        bytes.extend([0, 6]);
        bytes.extend((username.len() as u16).to_be_bytes());
        bytes.extend(username.bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let length = (bytes.len() - 20) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    fn question() -> Vec<u8> {
        Binding::Request(TransactionId([7; 12])).to_bytes()
    }

    #[test]
    fn strangers_take_no_place_of_those_who_were_asked_and_those_who_name_us() {
        let mut gate = Gate::new(Some(&session("ours")));
        gate.on_sent(&question(), at(1));
        let answer = Binding::Success(TransactionId([7; 12]), Some(at(9))).to_bytes();
        for _ in 0..3 {
            gate.begin_step();
            let strange = (0..64).filter(|n| gate.stun(&question(), at(2 + n)).is_some());
            assert_eq!(strange.count(), usize::from(STRANGE));
            for other in ["our:theirs", "OURS:theirs", "oursandmore:theirs", ""] {
                assert_eq!(gate.stun(&check(other), at(2)), None, "{other}");
            }
            // An answer that nobody waits for is one of a stranger, whoever it names.
            assert_eq!(gate.stun(&answer, at(2)), None);
            for _ in 0..EXPECTED {
                assert_eq!(gate.stun(&answer, at(1)), Some(Rank::Expected));
                let named = gate.stun(&check("ours:theirs"), at(3));
                assert_eq!(named, Some(Rank::Expected));
            }
            assert_eq!(gate.stun(&answer, at(1)), None);
            assert_eq!(gate.stun(&check("ours:theirs"), at(3)), None);
        }
    }

    #[test]
    fn after_a_restart_the_name_before_counts_where_its_way_is_used() {
        let mut gate = Gate::new(Some(&session("first")));
        gate.on_sent(&question(), at(1));
        gate.search(Some(&session("second")), true);
        let expected = Some(Rank::Expected);
        assert_eq!(gate.stun(&check("first:theirs"), at(2)), expected);
        assert_eq!(gate.stun(&check("second:theirs"), at(2)), expected);
        assert!(gate.knows(at(1)));
        gate.search(Some(&session("third")), false);
        let strange = Some(Rank::Strange);
        assert_eq!(gate.stun(&check("second:theirs"), at(2)), strange);
        assert!(!gate.knows(at(1)));
        gate.search(None, false);
        assert_eq!(gate.stun(&check("third:theirs"), at(2)), strange);
    }

    #[test]
    fn those_asked_last_are_remembered() {
        let mut gate = Gate::new(None);
        let answer = Binding::Success(TransactionId([7; 12]), Some(at(9))).to_bytes();
        gate.on_sent(&answer, at(1_000));
        assert!(!gate.knows(at(1_000)));
        for n in 0..200 {
            gate.on_sent(&question(), at(n));
            gate.on_sent(&question(), at(0));
        }
        assert!(gate.knows(at(0)));
        let known = (0..200).filter(|n| gate.knows(at(*n))).count();
        assert_eq!(known, ASKED);
        assert!(gate.knows(at(199)) && !gate.knows(at(1)));
    }

    #[test]
    fn a_handshake_has_its_places_beside_those_of_others_and_later_only_its_own() {
        let mut gate = Gate::new(None);
        let count = |gate: &mut Gate, from: &[u16], shaker| {
            let passed = from
                .iter()
                .filter(|n| gate.shake(false, at(**n), shaker).is_some());
            passed.count() as u8
        };
        let flood = [1; 64];
        assert_eq!(
            count(&mut gate, &flood, Shaker::Stranger),
            ONE_STRANGERS_SHAKES
        );
        assert_eq!(count(&mut gate, &[2; 6], Shaker::Stranger), 6);
        assert_eq!(count(&mut gate, &flood, Shaker::Expected), SHAKES);
        // From everywhere at once.
        let many: Vec<u16> = (3..67).collect();
        assert_eq!(count(&mut gate, &many, Shaker::Stranger), 2);
        assert!(gate.shake(true, at(80), Shaker::Expected).is_some());
        gate.begin_step();
        let secured = |is_it| Shaker::Secured { is_it };
        assert_eq!(count(&mut gate, &flood, secured(false)), 0);
        assert_eq!(count(&mut gate, &flood, secured(true)), REPEATED_SHAKES);
    }

    #[test]
    fn a_relays_answers_come_beside_whatever_it_carries() {
        let mut gate = Gate::new(None);
        let carried = [0x40, 0, 0, 4, 22, 0, 0, 0];
        // Data indication (RFC 8656 §11.4).
        let mut data = question();
        data[..2].copy_from_slice(&[0x00, 0x17]);
        let answer = Binding::Success(TransactionId([7; 12]), None).to_bytes();
        for (datagram, most) in [
            (&carried[..], CARRIED),
            (&data, CARRIED),
            (&answer, EXPECTED),
        ] {
            let passed = (0..64).filter(|_| gate.relayed(datagram).is_some());
            assert_eq!(passed.count(), usize::from(most));
        }
    }

    #[test]
    fn no_stream_takes_the_places_of_the_others() {
        let waiting = Waiting::default();
        let may = |waits: usize, rank, free| {
            waiting.store(waits, Relaxed);
            may_post(&waiting, rank, free, 256)
        };
        assert!(may(31, Rank::Strange, 200) && !may(32, Rank::Strange, 200));
        assert!(!may(0, Rank::Strange, 127));
        assert!(may(63, Rank::Expected, 1) && !may(64, Rank::Expected, 200));
    }
}
