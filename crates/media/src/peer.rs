//! Where to send: the announced address, unless media shows that it is wrong (symmetric RTP, RFC 4961).
//!
//! A peer behind a NAT announces an address that cannot be reached, and its packets come from another. But
//! anybody can send packets, so the target moves only when the announced address is silent or private and the
//! packets come steadily from one place; and while the announced address talks, nobody else is heard.
//!
//! Once somebody has spoken from where it was announced, or steadily from elsewhere, it takes more than a pause to move the
//! target away from there: the same stream going on from another address (a router that forgot it), what only the one
//! with the keys can have sent, or silence of media and reports alike.
//!
//! Who is the first to send steadily need not be the peer. The address that the signalling comes from is known to be of
//! its side: for [`SIGNALLING_FIRST`] nobody else is believed who has shown nothing, and whoever was believed afterwards
//! without having shown more than that it sends gives way to it.
//!
//! Where checks have found a way (ICE), the peer speaks from places that they know (RFC 8445 §12.1: data is sent on valid
//! pairs only), so these are what the announced address is elsewhere: while one of them talks, or has talked and the peer
//! still answers there, nobody else is heard.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The announced address counts as talking for this long after a packet.
const TALKING: Duration = Duration::from_secs(2);

/// A peer that has talked on a way that was found counts as there for this long after it has said so on it: it asks for
/// consent, and is asked, every five seconds (RFC 7675 §5.1), and three questions in a row may be lost.
const THERE: Duration = Duration::from_secs(20);

/// An announced address that could be reached has this long to speak before another is believed.
const PATIENCE: Duration = Duration::from_secs(1);

/// How steadily media has to come from elsewhere: so many packets over at least so long.
const STEADY_PACKETS: u32 = 10;
const STEADY_TIME: Duration = Duration::from_millis(150);

/// And, from where the signalling comes from while others speak, without a longer pause than this: packets now and then show
/// nothing.
const STEADY_PAUSE: Duration = Duration::from_millis(500);

/// Nobody but who has to do with the signalling is believed for so long after an address was announced: the time in which its
/// own media comes, even where it is far. A peer behind a router whose signalling goes by a proxy hears us that much later, so
/// it is no longer; and who comes later from where the signalling does is believed all the same.
const SIGNALLING_FIRST: Duration = Duration::from_millis(500);

/// Numbers that may be missing where a stream goes on from another address: half a minute of packets.
const MOST_MISSING: u16 = 1_500;

/// From elsewhere than announced, so many packets make somebody known: two seconds of them.
const KNOWN_PACKETS: u32 = 100;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speech {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    /// Nobody without the keys can have made it.
    pub(crate) genuine: bool,
}

impl Speech {
    /// Of an RTP packet, encrypted or not: its header never is.
    pub(crate) fn of(datagram: &[u8], genuine: bool) -> Option<Self> {
        let sequence = datagram.get(2..4)?.try_into().ok()?;
        let ssrc = datagram.get(8..12)?.try_into().ok()?;
        Some(Self {
            ssrc: u32::from_be_bytes(ssrc),
            sequence: u16::from_be_bytes(sequence),
            genuine,
        })
    }
}

/// Who has spoken, and from where.
#[derive(Debug)]
struct Voice {
    from: SocketAddr,
    last: Speech,
    packets: u32,
    heard: Instant,
    /// When something else last told of it: its reports go on in a pause.
    sign: Option<Instant>,
}

impl Voice {
    /// Whether this is the same one, or may be: the same machine, and the same stream going on.
    fn may_be(&self, from: SocketAddr, speech: Speech) -> bool {
        let further = speech.sequence.wrapping_sub(self.last.sequence);
        let goes_on = speech.ssrc == self.last.ssrc && (1..=MOST_MISSING).contains(&further);
        speech.genuine || from.ip() == self.from.ip() || goes_on
    }

    fn is_there(&self, now: Instant) -> bool {
        let last = self.sign.map_or(self.heard, |sign| sign.max(self.heard));
        now.saturating_duration_since(last) <= THERE
    }
}

#[derive(Debug)]
pub(crate) struct Peer {
    announced: Option<SocketAddr>,
    /// When it was announced.
    since: Instant,
    announced_heard: Option<Instant>,
    /// Where media really comes from, once that is believed, and when it last came.
    moved: Option<(SocketAddr, Instant)>,
    /// The way that was found by checks leads there: that is where to send, whatever comes from where.
    selected: Option<SocketAddr>,
    /// When media last came from a place that checks know while there was such a way, and the last sign from there after it
    /// that is none.
    known_heard: Option<Instant>,
    known_there: Option<Instant>,
    candidate: Option<Candidate>,
    /// Who was believed last.
    voice: Option<Voice>,
    /// Where the signalling comes from.
    signalling: Option<IpAddr>,
    /// What came from there last, whether it was used or not.
    signaller: Option<Candidate>,
    /// Where media came from last that checks know, whatever they have found.
    checked: Option<SocketAddr>,
    /// A place that keys have proved to be the right one.
    proven: Option<SocketAddr>,
    /// Where the peer was known to be before it announced another address.
    before: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    first: Instant,
    last: Instant,
    packets: u32,
}

impl Candidate {
    fn new(now: Instant, address: SocketAddr) -> Self {
        Self {
            address,
            first: now,
            last: now,
            packets: 1,
        }
    }

    /// It has sent once more.
    fn sends(self, now: Instant) -> Self {
        Self {
            last: now,
            packets: self.packets.saturating_add(1),
            ..self
        }
    }

    fn is_steady(&self) -> bool {
        self.packets >= STEADY_PACKETS
            && self.last.saturating_duration_since(self.first) >= STEADY_TIME
    }
}

impl Peer {
    pub(crate) fn new(now: Instant, announced: Option<SocketAddr>) -> Self {
        Self {
            announced: announced.map(canonical),
            since: now,
            announced_heard: None,
            moved: None,
            selected: None,
            known_heard: None,
            known_there: None,
            candidate: None,
            voice: None,
            signalling: None,
            signaller: None,
            checked: None,
            proven: None,
            before: None,
        }
    }

    /// The signalling comes from there.
    pub(crate) fn set_signalling(&mut self, signalling: Option<IpAddr>) {
        self.signalling = signalling.map(|ip| ip.to_canonical());
    }

    /// A new answer or re-INVITE; an address that stays the same keeps what was learned, and what checks have found stays
    /// until they find something else.
    pub(crate) fn announce(&mut self, now: Instant, announced: Option<SocketAddr>) {
        if self.announced != announced.map(canonical) {
            *self = Self {
                selected: self.selected,
                known_heard: self.known_heard,
                known_there: self.known_there,
                signalling: self.signalling,
                before: self.known().map(|voice| voice.from.ip()).or(self.before),
                ..Self::new(now, announced)
            };
        }
    }

    /// Whether a packet from there may be listened to; `is_known` says that checks know the place.
    pub(crate) fn may_speak(&self, now: Instant, from: SocketAddr, is_known: bool) -> bool {
        // Until both have settled on a way, the peer may speak by another one than we (RFC 8445 §12.2).
        if self.announced == Some(from) || self.is_on_a_way(from, is_known) {
            return true;
        }
        if self.selected.is_some() && self.is_on_its_way(now) {
            return false;
        }
        let Some(announced) = self.announced else {
            return true;
        };
        // The same machine with another port is no stranger.
        if is_recent(self.announced_heard, now) && from.ip() != announced.ip() {
            return false;
        }
        // Two at once are one too many, and what signals is of the peer's side.
        let near = is_known || from.ip() == announced.ip() || self.signalling == Some(from.ip());
        if !near && !self.is_proven() && self.signaller(now).is_some() {
            return false;
        }
        match self.moved {
            Some((address, heard)) => {
                let is_over = !is_recent(Some(heard), now);
                from.ip() == address.ip() || is_over || self.takes_over(from)
            }
            None => true,
        }
    }

    /// Media has come from there, whether it is used or not: a stranger who was quicker is not to keep the right one out.
    pub(crate) fn on_media(&mut self, now: Instant, from: SocketAddr, is_known: bool) {
        if self.announced == Some(from) {
            self.announced_heard = Some(now);
        }
        if is_known {
            self.checked = Some(from);
        }
        if self.signalling == Some(from.ip()) {
            let is_brief = |one: &Candidate| {
                one.address == from && now.saturating_duration_since(one.last) <= STEADY_PAUSE
            };
            let before = self.signaller.filter(is_brief);
            self.signaller =
                Some(before.map_or(Candidate::new(now, from), |before| before.sends(now)));
        }
        if self.is_on_a_way(from, is_known) {
            self.known_heard = Some(now);
        }
    }

    /// Something else has come from there that tells of the peer: in a pause it asks and answers still.
    pub(crate) fn on_sign(&mut self, now: Instant, from: SocketAddr) {
        if self.selected == Some(from) {
            self.known_there = Some(now);
        }
        if let Some(voice) = &mut self.voice
            && voice.from.ip() == from.ip()
        {
            voice.sign = Some(now);
        }
    }

    /// Whether somebody known is still there, and this is somebody else. In a pause without any sign of it others may be
    /// heard, but nothing goes to them.
    pub(crate) fn is_another(&self, now: Instant, from: SocketAddr, speech: Speech) -> bool {
        let shows = |voice: &&Voice| voice.sign.is_some_and(|sign| sign > voice.heard);
        let known = self.known().filter(shows);
        self.selected.is_none()
            && !self.takes_over(from)
            && known.is_some_and(|voice| voice.is_there(now) && !voice.may_be(from, speech))
    }

    /// Who has spoken from where it was announced, or for a while from elsewhere.
    fn known(&self) -> Option<&Voice> {
        let is_known =
            |voice: &&Voice| self.announced == Some(voice.from) || voice.packets >= KNOWN_PACKETS;
        self.voice.as_ref().filter(is_known)
    }

    /// Whether whoever is believed has shown no more than that it sends, and this comes from where the signalling does.
    fn takes_over(&self, from: SocketAddr) -> bool {
        let is_elsewhere = |(address, _): (SocketAddr, Instant)| address.ip() != from.ip();
        self.signalling == Some(from.ip())
            && self.moved.is_some_and(is_elsewhere)
            && !self.is_proven()
    }

    /// Who sends steadily from where the signalling comes from.
    fn signaller(&self, now: Instant) -> Option<SocketAddr> {
        let one = self.signaller.filter(Candidate::is_steady)?;
        is_recent(Some(one.last), now).then_some(one.address)
    }

    /// Whether keys have proved whoever is believed.
    fn is_proven(&self) -> bool {
        let is_it = |(address, _): (SocketAddr, Instant)| self.proven == Some(address);
        self.moved.is_some_and(is_it)
    }

    /// Whether somebody may be believed there, if it sends steadily.
    fn may_be_right(&self, now: Instant, from: SocketAddr, speech: Speech) -> bool {
        let announced = self.announced.map(|announced| announced.ip());
        // Signalling by another protocol says nothing about whence media comes.
        let comparable = |ip: &IpAddr| announced.is_none_or(|to| to.is_ipv4() == ip.is_ipv4());
        let Some(signalling) = self.signalling.filter(comparable) else {
            return true;
        };
        let near = [Some(signalling), announced, self.before];
        near.contains(&Some(from.ip()))
            || speech.genuine
            || self.checked == Some(from)
            || now.saturating_duration_since(self.since) >= SIGNALLING_FIRST
    }

    fn note(&mut self, now: Instant, from: SocketAddr, last: Speech) {
        let voice = self.voice.take().filter(|voice| voice.from == from);
        self.voice = Some(Voice {
            from,
            last,
            packets: voice.as_ref().map_or(0, |v| v.packets).saturating_add(1),
            heard: now,
            sign: voice.and_then(|voice| voice.sign),
        });
    }

    /// A place that checks know, once they have found a way; the same machine with another port is no stranger.
    fn is_on_a_way(&self, from: SocketAddr, is_known: bool) -> bool {
        let same = |selected: SocketAddr| is_known || selected.ip() == from.ip();
        self.selected.is_some_and(same)
    }

    /// Whether the peer talks on the way that was found, or has done so and pauses.
    fn is_on_its_way(&self, now: Instant) -> bool {
        let is_there = |there: Instant| now.saturating_duration_since(there) <= THERE;
        is_recent(self.known_heard, now)
            || self.known_heard.is_some() && self.known_there.is_some_and(is_there)
    }

    /// Takes note of an accepted packet; true when the target has changed by it.
    pub(crate) fn on_accepted(&mut self, now: Instant, from: SocketAddr, speech: Speech) -> bool {
        if self.announced == Some(from) {
            self.note(now, from, speech);
            self.announced_heard = Some(now);
            self.candidate = None;
            return self.selected.is_none() && self.moved.take().is_some();
        }
        if self.selected.is_some() {
            return false;
        }
        if let Some((address, heard)) = &mut self.moved
            && *address == from
        {
            *heard = now;
            if speech.genuine {
                self.proven = Some(from);
            }
            self.note(now, from, speech);
            return false;
        }
        let takes_over = self.takes_over(from);
        let known = self.known().filter(|_| !takes_over);
        if known.is_some_and(|voice| voice.is_there(now) && !voice.may_be(from, speech))
            || !self.may_be_right(now, from, speech)
        {
            return false;
        }
        let before = self.candidate.filter(|before| before.address == from);
        let candidate = before.map_or(Candidate::new(now, from), |before| before.sends(now));
        self.candidate = Some(candidate);
        let steady = self.signaller(now) == Some(from) || !takes_over && candidate.is_steady();
        if !steady || !self.announced_is_doubtful(now) {
            return false;
        }
        self.moved = Some((from, now));
        if speech.genuine {
            self.proven = Some(from);
        }
        self.candidate = None;
        self.note(now, from, speech);
        true
    }

    /// The right one has proved to be there. True when the target has changed by it.
    pub(crate) fn confirm(&mut self, now: Instant, from: SocketAddr) -> bool {
        let from = canonical(from);
        self.candidate = None;
        self.proven = Some(from);
        if self.announced == Some(from) {
            self.announced_heard = Some(now);
            return self.moved.take().is_some();
        }
        let before = self.target();
        self.moved = Some((from, now));
        before != Some(from)
    }

    /// Checks have found that this is where to send, or nothing is known by checks any more. True when the target has
    /// changed by it.
    pub(crate) fn select(&mut self, selected: Option<SocketAddr>) -> bool {
        let before = self.target();
        self.selected = selected.map(canonical);
        if selected.is_none() {
            (self.known_heard, self.known_there) = (None, None);
        }
        self.candidate = None;
        self.target() != before
    }

    pub(crate) fn announced(&self) -> Option<SocketAddr> {
        self.announced
    }

    pub(crate) fn moved(&self) -> Option<SocketAddr> {
        let selected = self
            .selected
            .filter(|selected| self.announced != Some(*selected));
        selected.or(self.moved.map(|(address, _)| address))
    }

    /// Where packets go.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        self.selected.or(self.moved()).or(self.announced)
    }

    fn announced_is_doubtful(&self, now: Instant) -> bool {
        let Some(announced) = self.announced else {
            return true;
        };
        match self.announced_heard {
            Some(heard) => now.saturating_duration_since(heard) > TALKING,
            None => {
                is_private(announced.ip()) || now.saturating_duration_since(self.since) >= PATIENCE
            }
        }
    }
}

fn is_recent(heard: Option<Instant>, now: Instant) -> bool {
    heard.is_some_and(|heard| now.saturating_duration_since(heard) <= TALKING)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Addresses that mean nothing outside their own network, and those that mean nothing at all. Who announces this very
/// machine is on it.
fn is_private(ip: IpAddr) -> bool {
    ip.is_unspecified() || !ip.is_loopback() && nat::reach::is_private(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Packets every 20 ms; answers after how many the target moved.
    fn hear(peer: &mut Peer, from: SocketAddr, start: Instant, packets: u32) -> Option<u32> {
        (0..packets).find(|n| {
            let now = start + Duration::from_millis(20) * *n;
            peer.may_speak(now, from, false) && peer.on_accepted(now, from, speech(from, *n))
        })
    }

    /// A packet of whoever is there.
    fn speech(from: SocketAddr, n: u32) -> Speech {
        Speech {
            ssrc: u32::from(from.port()),
            sequence: n as u16,
            genuine: false,
        }
    }

    /// Who has shown where it is is not left for somebody else in a pause, as long as anything tells of it: but for its own
    /// stream from another place, and for who has the keys.
    #[test]
    fn in_a_pause_nobody_takes_over_what_is_sent() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let (announced, stranger) = (at("198.51.100.1:4000"), at("203.0.113.9:5000"));
        let talked = || {
            let mut peer = Peer::new(start, Some(announced));
            for n in 0..50 {
                peer.on_accepted(after(u64::from(n) * 20), announced, speech(announced, n));
            }
            peer
        };
        // Nobody steals it, with reports or without; with them nobody else is even heard.
        for reports in [true, false] {
            let mut peer = talked();
            for n in 0..500 {
                let now = after(4_000 + u64::from(n) * 20);
                if reports && n % 250 == 0 {
                    peer.on_sign(now, announced);
                }
                let speech = speech(stranger, n);
                assert_eq!(peer.is_another(now, stranger, speech), reports);
                assert!(!peer.on_accepted(now, stranger, speech));
            }
            assert_eq!(peer.target(), Some(announced));
        }
        // A router that has forgotten it: the same stream goes on from another port, of another machine even.
        for (first, genuine, moves) in [
            (60, false, true),
            (4_000, false, false),
            (4_000, true, true),
        ] {
            let mut peer = talked();
            peer.on_sign(after(3_900), announced);
            for n in 0..20 {
                let speech = Speech {
                    genuine,
                    ..speech(announced, first + n)
                };
                let now = after(4_000 + u64::from(n) * 20);
                assert_eq!(peer.is_another(now, stranger, speech), !moves);
                peer.on_accepted(now, stranger, speech);
            }
            assert_eq!(peer.target() == Some(stranger), moves, "{first} {genuine}");
        }
        // Nothing has told of it for long.
        let mut peer = talked();
        assert_eq!(hear(&mut peer, stranger, after(22_000), 50), Some(9));
        // Who is behind a router and was believed for two seconds is no less safe than the announced one.
        let mut peer = Peer::new(start, Some(at("192.168.1.5:4000")));
        let behind = at("198.51.100.1:7000");
        for n in 0..200 {
            peer.on_accepted(after(u64::from(n) * 20), behind, speech(behind, n));
        }
        assert_eq!(peer.target(), Some(behind));
        assert_eq!(hear(&mut peer, stranger, after(8_000), 200), None);
        // And a little noise before it keeps nobody out.
        let mut peer = Peer::new(start, Some(at("192.168.1.5:4000")));
        hear(&mut peer, stranger, start, 50);
        assert_eq!(
            hear(&mut peer, at("198.51.100.1:7000"), after(4_000), 50),
            Some(9)
        );
    }

    #[test]
    fn a_silent_public_address_gets_a_second_before_another_is_believed() {
        let start = Instant::now();
        let mut peer = Peer::new(start, Some(at("198.51.100.1:4000")));
        let elsewhere = at("203.0.113.9:5000");
        assert_eq!(hear(&mut peer, elsewhere, start, 200), Some(50));
        assert_eq!(peer.target(), Some(elsewhere));
    }

    #[test]
    fn a_private_address_is_given_up_as_soon_as_media_is_steady() {
        let start = Instant::now();
        let mut peer = Peer::new(start, Some(at("192.168.1.5:4000")));
        assert_eq!(hear(&mut peer, at("203.0.113.9:5000"), start, 200), Some(9));
    }

    #[test]
    fn nobody_talks_over_an_announced_address_that_talks() {
        let start = Instant::now();
        let announced = at("192.168.1.5:4000");
        let stranger = at("203.0.113.9:5000");
        let mut peer = Peer::new(start, Some(announced));
        peer.on_accepted(start, announced, speech(announced, 0));
        assert!(!peer.may_speak(start + Duration::from_millis(500), stranger, false));
        assert_eq!(hear(&mut peer, stranger, start, 90), None);
        assert_eq!(peer.target(), Some(announced));
    }

    #[test]
    fn the_announced_address_wins_back_when_it_speaks() {
        let start = Instant::now();
        let announced = at("192.168.1.5:4000");
        let mut peer = Peer::new(start, Some(announced));
        hear(&mut peer, at("203.0.113.9:5000"), start, 20);
        assert!(peer.on_accepted(
            start + Duration::from_secs(1),
            announced,
            speech(announced, 0)
        ));
        assert_eq!(peer.target(), Some(announced));
    }

    #[test]
    fn packets_from_many_places_move_nothing() {
        let start = Instant::now();
        let mut peer = Peer::new(start, Some(at("192.168.1.5:4000")));
        for n in 0..200u16 {
            let now = start + Duration::from_millis(20) * u32::from(n);
            let from = SocketAddr::new(at("203.0.113.9:1").ip(), 1_000 + n % 7);
            assert!(!peer.on_accepted(now, from, speech(from, n.into())));
        }
    }

    #[test]
    fn a_second_stranger_is_not_heard_while_the_first_is() {
        let start = Instant::now();
        let mut peer = Peer::new(start, None);
        let first = at("203.0.113.9:5000");
        assert_eq!(hear(&mut peer, first, start, 20), Some(9));
        peer.announce(start, Some(at("192.168.1.5:4000")));
        hear(&mut peer, first, start, 20);
        assert_eq!(peer.target(), Some(first));
        let second = at("203.0.113.77:5000");
        assert!(!peer.may_speak(start + Duration::from_millis(400), second, false));
    }

    /// What checks have found is neither left for what is announced nor for who speaks from elsewhere, and is heard beside it.
    #[test]
    fn a_way_that_was_selected_is_kept_whoever_speaks() {
        let start = Instant::now();
        let (announced, selected) = (at("198.51.100.1:4000"), at("203.0.113.2:5000"));
        let mut peer = Peer::new(start, Some(announced));
        peer.on_accepted(start, announced, speech(announced, 0));
        assert!(peer.select(Some(selected)));
        assert!(peer.may_speak(start, selected, false));
        assert_eq!(hear(&mut peer, announced, start, 20), None);
        assert_eq!(peer.target(), Some(selected));
        assert_eq!(hear(&mut peer, selected, start, 200), None);
        assert!(!peer.may_speak(start, at("192.0.2.77:1"), false));
        peer.announce(start, Some(at("198.51.100.9:4000")));
        assert_eq!(peer.target(), Some(selected));
        assert!(peer.select(None));
        assert_eq!(peer.target(), Some(at("198.51.100.9:4000")));
    }

    /// RFC 8445 §12.1: the peer sends on valid pairs only. Whoever comes from elsewhere is not heard while it talks, nor in
    /// a pause in which it answers, and is heard when nothing tells of the peer any more.
    #[test]
    fn nobody_talks_over_a_peer_on_the_way_that_was_selected() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let selected = at("203.0.113.2:5000");
        let (stranger, checked) = (at("192.0.2.77:1"), at("198.51.100.7:6000"));
        for announced in [None, Some(at("198.51.100.1:4000"))] {
            let mut peer = Peer::new(start, announced);
            peer.select(Some(selected));
            // Nobody has talked yet: a peer that keeps to no rule may begin anywhere.
            peer.on_sign(start, selected);
            assert!(peer.may_speak(start, stranger, false));
            peer.on_media(start, checked, true);
            assert!(!peer.may_speak(after(2_000), stranger, false));
            assert!(peer.may_speak(after(2_000), checked, true));
            assert!(peer.may_speak(after(2_000), selected, false));
            // It is silent for minutes, and answers; from elsewhere anybody could do that.
            for second in 1..200 {
                peer.on_sign(after(5_000 * second), selected);
                assert!(!peer.may_speak(after(5_000 * second + 4_999), stranger, false));
            }
            peer.on_sign(after(1_014_000), stranger);
            assert!(!peer.may_speak(after(1_015_000), stranger, false));
            assert!(peer.may_speak(after(1_015_001), stranger, false));
            // A way that takes the place of another is no occasion.
            peer.on_media(after(1_020_000), selected, false);
            peer.select(Some(checked));
            assert!(!peer.may_speak(after(1_021_000), stranger, false));
            peer.select(None);
            assert!(peer.may_speak(after(1_021_000), stranger, false));
        }
    }

    /// Who begins before the right one is not heard any more when that one does.
    #[test]
    fn whoever_was_quicker_gives_way_to_the_announced_address() {
        let start = Instant::now();
        let announced = at("198.51.100.1:4000");
        let stranger = at("192.0.2.77:1");
        let mut peer = Peer::new(start, Some(announced));
        assert!(peer.may_speak(start, stranger, false));
        peer.on_media(start, stranger, false);
        assert!(peer.may_speak(start, stranger, false));
        peer.on_media(start, announced, false);
        assert!(!peer.may_speak(start, stranger, false));
    }

    /// A peer behind a router, that signals from `SIGNALS`.
    fn behind_a_router(start: Instant) -> Peer {
        let mut peer = Peer::new(start, Some(announced()));
        peer.set_signalling(Some(at(SIGNALS).ip()));
        peer
    }

    fn announced() -> SocketAddr {
        at("192.168.1.5:4000")
    }

    const SIGNALS: &str = "198.51.100.1:7000";
    const STRANGER: &str = "203.0.113.9:5000";

    /// Both send every 20 ms, the stranger 10 ms later, each from its time on in milliseconds; answers where media goes, and
    /// from when on.
    fn both(
        peer: &mut Peer,
        start: Instant,
        (right_from, stranger_from): (u64, u64),
        until: u64,
    ) -> Vec<(u64, SocketAddr)> {
        let (right, stranger) = (at(SIGNALS), at(STRANGER));
        let mut targets = vec![(0, peer.target().unwrap())];
        // The receiver listens to one source until that has been silent for 100 ms.
        let mut source = (peer.target().unwrap(), 0);
        for ms in (0..until).step_by(10) {
            let now = start + Duration::from_millis(ms);
            let (from, begins) = match ms % 20 {
                0 => (right, right_from),
                _ => (stranger, stranger_from),
            };
            let speech = speech(from, (ms / 20) as u32);
            if ms >= begins
                && peer.may_speak(now, from, false)
                && !peer.is_another(now, from, speech)
            {
                peer.on_media(now, from, false);
                if source.0 == from || ms - source.1 >= 100 || source.0 == announced() {
                    source = (from, ms);
                    peer.on_accepted(now, from, speech);
                }
            }
            let target = peer.target().unwrap();
            if targets.last().is_none_or(|(_, last)| *last != target) {
                targets.push((ms, target));
            }
        }
        targets
    }

    /// The first comer is not the peer: nothing goes to it where the one that signals sends, however much it sends itself.
    #[test]
    fn whoever_is_quicker_than_the_one_that_signals_gets_nothing() {
        let start = Instant::now();
        for (right_from, moves) in [(0, 180), (300, 580), (200, 480)] {
            let mut peer = behind_a_router(start);
            let targets = both(&mut peer, start, (right_from, 0), 10_000);
            assert_eq!(targets, [(0, announced()), (moves, at(SIGNALS))]);
            assert!(!peer.may_speak(start + Duration::from_secs(10), at(STRANGER), false));
        }
    }

    /// It keeps nobody out either that came before: for seconds it was the only one, and has shown nothing but that.
    #[test]
    fn whoever_was_believed_for_want_of_another_gives_way_to_the_one_that_signals() {
        let start = Instant::now();
        let mut peer = behind_a_router(start);
        // Its reports do not make it anybody either.
        let targets = both(&mut peer, start, (u64::MAX, 0), 6_000);
        assert_eq!(targets[0], (0, announced()));
        assert_eq!(targets[1].1, at(STRANGER));
        assert!((500..800).contains(&targets[1].0), "{targets:?}");
        let later = start + Duration::from_secs(6);
        peer.on_sign(later, at(STRANGER));
        let targets = both(&mut peer, later, (0, 0), 6_000);
        assert_eq!(targets, [(0, at(STRANGER)), (280, at(SIGNALS))]);
    }

    /// Symmetric RTP by a relay at another address than the signalling's: it is heard from its first packet on, and sent to
    /// after half a second; a packet now and then from where the signalling is changes nothing.
    #[test]
    fn media_by_a_relay_elsewhere_is_heard_at_once_and_answered_after_half_a_second() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        // Where the announced address may well lead somewhere, it has its time before that; and the one packet from where the
        // signalling is that comes just then has whoever is believed count from the beginning.
        for (announced, first) in [("192.168.1.5:4000", 34), ("198.51.100.1:4000", 59)] {
            let relay = at(STRANGER);
            let mut peer = Peer::new(start, Some(at(announced)));
            peer.set_signalling(Some(at(SIGNALS).ip()));
            for n in 0..1_000 {
                let now = after(u64::from(n) * 20);
                assert!(peer.may_speak(now, relay, false), "{n}");
                peer.on_media(now, relay, false);
                peer.on_accepted(now, relay, speech(relay, n));
                let reached = peer.target() == Some(relay);
                assert_eq!(reached, n >= first, "{announced}, {n}");
                if n % 50 == 49 {
                    peer.on_media(now, at(SIGNALS), false);
                    peer.on_accepted(now, at(SIGNALS), speech(at(SIGNALS), n));
                }
            }
            // The next description has another port, and the relay is the same.
            peer.announce(after(20_000), Some(at("192.168.1.5:4002")));
            assert_eq!(hear(&mut peer, relay, after(20_000), 50), Some(9));
        }
    }

    /// Keys and checks say more than an address: who has them is believed at once, and for good.
    #[test]
    fn who_has_the_keys_or_is_known_by_checks_does_not_wait_for_the_signalling() {
        let start = Instant::now();
        let elsewhere = at("203.0.113.2:5000");
        let hear = |peer: &mut Peer, genuine, is_known| {
            (0..25).find(|n| {
                let now = start + Duration::from_millis(20) * *n;
                peer.on_media(now, elsewhere, is_known);
                let speech = Speech {
                    genuine,
                    ..speech(elsewhere, *n)
                };
                peer.on_accepted(now, elsewhere, speech)
            })
        };
        assert_eq!(hear(&mut behind_a_router(start), false, false), None);
        assert_eq!(hear(&mut behind_a_router(start), false, true), Some(9));
        let mut peer = behind_a_router(start);
        assert_eq!(hear(&mut peer, true, false), Some(9));
        let later = start + Duration::from_secs(1);
        assert!(!peer.may_speak(later, at(SIGNALS), false));
        let mut peer = behind_a_router(start);
        assert!(peer.confirm(start, elsewhere));
        assert!(!peer.may_speak(start, at(SIGNALS), false));
        // Signalling by IPv6 does not keep back media by IPv4.
        let mut peer = behind_a_router(start);
        peer.set_signalling(Some(at("[2001:db8::1]:1").ip()));
        assert_eq!(hear(&mut peer, false, false), Some(9));
    }
}
