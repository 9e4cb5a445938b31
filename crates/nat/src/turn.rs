//! An address at a relay, for when no other way leads to the peer (TURN, RFC 8656), without sockets and clocks.
//!
//! ```text
//!            401: with name and password          want(peer)
//!   Asking ◄──────────┐                  Holding ◄──────────┐   release()
//!     │ └─────────────┘ ── success ────►  │  └── channel ───┘ ────────────► Leaving ──► Over
//!     └── refused, silent ──► Over        └── refreshed in time; lost: Over
//! ```
//!
//! A peer gets a channel (§12), which is its permission (§9) as well: four bytes before each packet, and no room for
//! what a peer that we never named sends. Who may be heard before it is known from which port it speaks is permitted by its
//! address alone; what it says comes as Data indications. Of those that checks ask, more than there are channels for, the
//! rest is permitted, too, and sent to by Send indications (§11) until media goes there.
//!
//! The relay's answers are known by their 96 random bits and, where it asked for a password, by MESSAGE-INTEGRITY. It
//! sees everything that passes: secrecy is the business of SRTP.
//!
//! Written here since the clients at hand (`turn-client-proto` 0.7 is the nearest) say that an allocation failed and not
//! with which code, and a person must read whether the password, the quota or the relay itself was the reason.

mod frames;
mod peers;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::message::{self, Draft, Key, View};
use crate::stun::{self, TransactionId};
pub use frames::{BrokenStream, Frames, padded};
use peers::{Begun, FIRST_CHANNEL, LAST_CHANNEL, Peers, Place};

/// Who we are for the relay. The password is wiped when this goes, and `Debug` shows neither.
#[derive(Clone)]
pub struct Login {
    username: String,
    password: Zeroizing<String>,
}

impl Login {
    /// A name and its password.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: username.into(),
            password: Zeroizing::new(password.into()),
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the relay is; what comes from elsewhere is none of its words.
    pub server: SocketAddr,
    /// The way there loses nothing (TCP, TLS), so that nothing is said twice (RFC 8489 §6.2.2).
    pub reliable: bool,
    /// An IPv6 address is wanted, instead of an IPv4 one.
    pub ipv6: bool,
    /// What to say when it asks who we are.
    pub login: Option<Login>,
    /// Drawn from the operating system for this client alone: the names of its questions come from it.
    pub seed: [u8; 16],
}

/// What the relay has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    /// Where peers send to.
    pub relayed: SocketAddr,
    /// Where the relay sees us, if it said so.
    pub mapped: Option<SocketAddr>,
    /// How long it lasts unless it is refreshed.
    pub lifetime: Duration,
}

/// Why there is no address, or none any more. Written to follow "there is no relay: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401, and there is nothing to answer it with.
    #[error("it wants a name and a password, and there are none")]
    NoLogin,
    /// 401 to what we have.
    #[error("it does not take this name and password")]
    WrongLogin,
    /// 403.
    #[error("it does not serve us, or not to this peer (403)")]
    Forbidden,
    /// 437.
    #[error("it does not know this address any more, or keeps it for an earlier call (437)")]
    Mismatch,
    /// 440, 443.
    #[error("it has no address of this family, IPv4 or IPv6 ({0})")]
    Family(u16),
    /// 441.
    #[error("the address belongs to another user (441)")]
    WrongUser,
    /// 442.
    #[error("it does not relay UDP (442)")]
    NoUdp,
    /// 486.
    #[error("this user has as many addresses there as allowed (486)")]
    Quota,
    /// 508.
    #[error("it has no address left (508)")]
    Full,
    /// 300.
    #[error("it sends us to another server (300), at {0}")]
    Elsewhere(SocketAddr),
    /// Any other.
    #[error("it answers {code} {phrase}")]
    Other {
        /// The number.
        code: u16,
        /// What it says about it, cut to what fits into a sentence.
        phrase: String,
    },
    /// It answers, and the answer cannot be used.
    #[error("its answer makes no sense")]
    Senseless,
    /// Nothing comes back.
    #[error("it does not answer")]
    Silent,
    /// The stream to it has ended.
    #[error("the connection to it has ended")]
    Ended,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is an address.
    Allocated(Allocation),
    /// There is a channel to this peer.
    Bound {
        /// Whose.
        peer: SocketAddr,
        /// Its number on the wire.
        channel: u16,
    },
    /// There is none to this one. It is asked for again in a while, which is not told unless it is given then.
    PeerRefused {
        /// Whose.
        peer: SocketAddr,
        /// Why.
        why: Refusal,
    },
    /// There is no address, or none any more: this is over.
    Lost(Refusal),
    /// It was given back: this is over.
    Released,
}

/// What [`Client::poll_output`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To be sent to the relay.
    Transmit(Vec<u8>),
    /// What has happened.
    Event(Event),
    /// Nothing more until then.
    Deadline(Option<Instant>),
}

/// What a datagram from the relay was.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A peer's, to us.
    Data {
        /// Who sent it.
        peer: SocketAddr,
        /// What.
        payload: &'a [u8],
    },
    /// The relay's own business.
    Handled,
    /// Nothing of either.
    Unknown,
}

/// See the module.
pub struct Client {
    config: Config,
    drawn: u64,
    trust: Option<Trust>,
    phase: Phase,
    questions: Vec<Question>,
    peers: Peers,
    refresh_at: Option<Instant>,
    keep_open_at: Option<Instant>,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Holding(Allocation),
    Leaving,
    Over,
}

/// What the relay challenged us with, and the key that comes of it.
struct Trust {
    realm: String,
    nonce: String,
    key: Key,
}

/// A question under way.
struct Question {
    id: TransactionId,
    ask: Ask,
    bytes: Vec<u8>,
    /// When it is asked again, or given up.
    due: Instant,
    wait: Duration,
    sent: u32,
    /// How often the challenge was another one.
    challenged: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Allocate,
    Refresh,
    Bind(u16),
    Permit(IpAddr),
    Release,
}

impl Client {
    /// Begins to ask for an address.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let mut client = Self {
            config,
            drawn: 0,
            trust: None,
            phase: Phase::Asking,
            questions: Vec::new(),
            peers: Peers::default(),
            refresh_at: None,
            keep_open_at: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
        };
        client.ask(now, Ask::Allocate, 0);
        client
    }

    /// Sees to it that packets can go to this peer by a channel. False when they cannot now: it is of another family, it was
    /// refused, or there are too many.
    pub fn want(&mut self, now: Instant, peer: SocketAddr) -> bool {
        self.seek(now, peer, Place::Spare)
    }

    /// The same for a peer that media goes to: where there are too many, the one that was not used for the longest time has no
    /// channel any more.
    pub fn need(&mut self, now: Instant, peer: SocketAddr) -> bool {
        self.seek(now, peer, Place::Any)
    }

    fn seek(&mut self, now: Instant, peer: SocketAddr, place: Place) -> bool {
        if !self.may_reach(peer.ip()) || peer.port() == 0 {
            return false;
        }
        if let Some(holds) = self.peers.holds(now, peer) {
            return holds;
        }
        let Some(Begun { number, instead_of }) = self.peers.begin(now, peer, place) else {
            return false;
        };
        if let Some(gone) = instead_of {
            self.questions
                .retain(|question| question.ask != Ask::Bind(gone));
        }
        self.ask(now, Ask::Bind(number), 0);
        true
    }

    /// Has the relay carry what comes from this address, from whichever port (§9). False when that cannot be.
    pub fn permit(&mut self, now: Instant, ip: IpAddr) -> bool {
        let may = self.may_reach(ip);
        if may && self.peers.permit(now, ip) {
            self.ask(now, Ask::Permit(ip), 0);
        }
        may
    }

    fn may_reach(&self, ip: IpAddr) -> bool {
        let Phase::Holding(allocation) = self.phase else {
            return false;
        };
        allocation.relayed.is_ipv4() == ip.is_ipv4() && !ip.is_unspecified()
    }

    /// The datagram that carries this to a peer: by its channel, or without one where its address is permitted. None while it
    /// is neither; for that it asks then.
    pub fn wrap(&mut self, now: Instant, peer: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
        if !self.may_reach(peer.ip()) || peer.port() == 0 {
            return None;
        }
        if let Some(number) = self.peers.bound_to(now, peer) {
            return wrapped(number, payload);
        }
        self.want(now, peer);
        if self.peers.is_permitted(now, peer.ip()) {
            return self.indication(peer, payload);
        }
        if self.peers.holds(now, peer).is_none() && self.peers.permit_beside(now, peer.ip()) {
            self.ask(now, Ask::Permit(peer.ip()), 0);
        }
        None
    }

    /// A Send indication (§11.1).
    fn indication(&mut self, peer: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
        let is_short = payload.len() <= LONGEST_CARRIED;
        let id = self.draw();
        is_short.then(|| {
            Draft::new(SEND_INDICATION, id)
                .with_address(message::XOR_PEER_ADDRESS, peer, id)
                .with(message::DATA, payload)
                .finish(None)
        })
    }

    /// This channel is used, by whoever puts the four bytes there without us.
    pub fn is_used(&mut self, now: Instant, number: u16) {
        self.peers.peer_of(now, number);
    }

    /// The stream to the relay has ended: it answers nothing any more.
    pub fn handle_end(&mut self) {
        match self.phase {
            Phase::Asking | Phase::Holding(_) => self.lose(Refusal::Ended),
            Phase::Leaving => {
                self.questions.clear();
                self.phase = Phase::Over;
                self.events.push_back(Event::Released);
            }
            Phase::Over => {}
        }
    }

    /// Gives the address back. Its answer is waited for a moment.
    pub fn release(&mut self, now: Instant) {
        let held = matches!(self.phase, Phase::Holding(_));
        self.questions.clear();
        self.peers.clear();
        (self.refresh_at, self.keep_open_at) = (None, None);
        if held {
            self.phase = Phase::Leaving;
            self.ask(now, Ask::Release, 0);
        } else {
            self.phase = Phase::Over;
        }
    }

    /// Takes in a datagram that came from the relay.
    pub fn handle_datagram<'a>(&mut self, now: Instant, datagram: &'a [u8]) -> Received<'a> {
        if let Some((number, payload)) = unwrapped(datagram) {
            return match self.peers.peer_of(now, number) {
                Some(peer) => Received::Data { peer, payload },
                None => Received::Unknown,
            };
        }
        let Some(view) = View::parse(datagram) else {
            return Received::Unknown;
        };
        if view.kind == DATA_INDICATION {
            let holds = matches!(self.phase, Phase::Holding(_));
            let peer = view.address(message::XOR_PEER_ADDRESS).filter(|_| holds);
            return match (peer, view.get(message::DATA)) {
                (Some(peer), Some(payload)) => Received::Data { peer, payload },
                _ => Received::Unknown,
            };
        }
        let place = self.questions.iter().position(|question| {
            question.id == view.id && question.ask.method() == view.kind & METHOD
        });
        let Some(place) = place else {
            return Received::Unknown;
        };
        match view.kind & CLASS {
            SUCCESS if self.is_vouched_for(view) => {
                let question = self.questions.swap_remove(place);
                self.on_success(now, question.ask, view);
            }
            ERROR
                if view.get(message::MESSAGE_INTEGRITY).is_none() || self.is_vouched_for(view) =>
            {
                let question = self.questions.swap_remove(place);
                self.on_error(now, &question, view);
            }
            _ => return Received::Unknown,
        }
        Received::Handled
    }

    /// Its time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.repeat(now);
        if self.refresh_at.is_some_and(|at| now >= at) {
            self.refresh_at = None;
            self.ask(now, Ask::Refresh, 0);
        }
        let (channels, permits) = self.peers.due(now);
        for number in channels {
            self.ask(now, Ask::Bind(number), 0);
        }
        for ip in permits {
            self.ask(now, Ask::Permit(ip), 0);
        }
        if self.keep_open_at.is_some_and(|at| now >= at) {
            self.keep_open_at = Some(now + KEEP_OPEN);
            let id = self.draw();
            self.out.push_back(stun::indication(id).to_vec());
        }
    }

    /// The next thing to do for the caller.
    pub fn poll_output(&mut self) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        if let Some(datagram) = self.out.pop_front() {
            return Output::Transmit(datagram);
        }
        let questions = self.questions.iter().map(|question| question.due);
        let rest = [self.refresh_at, self.keep_open_at, self.peers.deadline()];
        Output::Deadline(questions.chain(rest.into_iter().flatten()).min())
    }

    /// Where the relay is.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        self.config.server
    }

    /// What it has given.
    #[must_use]
    pub fn allocation(&self) -> Option<Allocation> {
        match self.phase {
            Phase::Holding(allocation) => Some(allocation),
            Phase::Asking | Phase::Leaving | Phase::Over => None,
        }
    }

    /// Whether there is nothing left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether something was asked that is not answered yet.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.questions.is_empty()
    }

    /// The channels that carry packets, with whose they are.
    pub fn channels(&self) -> impl Iterator<Item = (u16, SocketAddr)> + '_ {
        self.peers.bound()
    }

    fn is_vouched_for(&self, view: View<'_>) -> bool {
        let trust = self.trust.as_ref();
        trust.is_none_or(|trust| view.is_proved_by(&trust.key))
    }

    fn on_success(&mut self, now: Instant, ask: Ask, view: View<'_>) {
        let lifetime = view.number(message::LIFETIME).map(lifetime);
        match (ask, self.phase) {
            (Ask::Allocate, Phase::Asking) => {
                let relayed = view.address(message::XOR_RELAYED_ADDRESS);
                let (Some(relayed), Some(lifetime)) = (relayed, lifetime) else {
                    return self.lose(Refusal::Senseless);
                };
                let allocation = Allocation {
                    relayed,
                    mapped: view.address(message::XOR_MAPPED_ADDRESS),
                    lifetime,
                };
                self.phase = Phase::Holding(allocation);
                self.refresh_at = Some(now + until_refresh(lifetime));
                self.keep_open_at = Some(now + KEEP_OPEN);
                self.events.push_back(Event::Allocated(allocation));
            }
            (Ask::Refresh, Phase::Holding(_)) => {
                self.refresh_at = Some(now + until_refresh(lifetime.unwrap_or(LEAST_LIFETIME)));
            }
            (Ask::Bind(number), Phase::Holding(_)) => {
                if let Some(peer) = self.peers.on_bound(number) {
                    self.events.push_back(Event::Bound {
                        peer,
                        channel: number,
                    });
                }
            }
            (Ask::Permit(ip), Phase::Holding(_)) => self.peers.on_permitted(ip),
            (Ask::Release, _) => {
                self.phase = Phase::Over;
                self.events.push_back(Event::Released);
            }
            // An answer to a question of a phase that is over.
            (Ask::Allocate | Ask::Refresh | Ask::Bind(_) | Ask::Permit(_), _) => {}
        }
    }

    fn on_error(&mut self, now: Instant, question: &Question, view: View<'_>) {
        let Some((code, phrase)) = view.error() else {
            return self.refuse(now, question.ask, Refusal::Senseless);
        };
        let is_challenge = matches!(code, 401 | 438);
        if is_challenge && question.challenged < MOST_CHALLENGES {
            match self.take_challenge(code, view) {
                Ok(()) => return self.ask(now, question.ask, question.challenged + 1),
                Err(refusal) => return self.refuse(now, question.ask, refusal),
            }
        }
        self.refuse(now, question.ask, refusal(code, phrase, view));
    }

    /// Takes realm and nonce for the next try (RFC 8489 §9.2.5).
    fn take_challenge(&mut self, code: u16, view: View<'_>) -> Result<(), Refusal> {
        let fits = |text: &&str| text.len() <= LONGEST_TEXT;
        let realm = view.text(message::REALM).filter(fits);
        let nonce = view.text(message::NONCE).filter(fits);
        let (Some(realm), Some(nonce)) = (realm, nonce) else {
            return Err(Refusal::Senseless);
        };
        let login = self.config.login.as_ref().ok_or(Refusal::NoLogin)?;
        if let Some(trust) = &mut self.trust
            && trust.realm == realm
        {
            if code == 401 {
                return Err(Refusal::WrongLogin);
            }
            nonce.clone_into(&mut trust.nonce);
            return Ok(());
        }
        self.trust = Some(Trust {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            key: Key::new(&login.username, realm, &login.password),
        });
        Ok(())
    }

    fn refuse(&mut self, now: Instant, ask: Ask, why: Refusal) {
        match ask {
            Ask::Bind(_) | Ask::Permit(_) if why == Refusal::Mismatch => self.lose(why),
            Ask::Bind(number) => {
                let answered = why != Refusal::Silent;
                if let Some(peer) = self.peers.on_refused(now, number, answered) {
                    self.events.push_back(Event::PeerRefused { peer, why });
                }
            }
            // It is heard less; what is sent has channels, or is a check that is asked again.
            Ask::Permit(ip) => self.peers.on_not_permitted(now, ip),
            Ask::Allocate | Ask::Refresh => self.lose(why),
            // Whatever it says, we are gone.
            Ask::Release => {
                self.phase = Phase::Over;
                self.events.push_back(Event::Released);
            }
        }
    }

    fn lose(&mut self, why: Refusal) {
        self.phase = Phase::Over;
        self.questions.clear();
        self.peers.clear();
        (self.refresh_at, self.keep_open_at) = (None, None);
        self.events.push_back(Event::Lost(why));
    }

    fn draw(&mut self) -> TransactionId {
        self.drawn += 1;
        let hash = Sha1::new()
            .chain_update(self.config.seed)
            .chain_update(self.drawn.to_be_bytes())
            .finalize();
        let mut id = [0; 12];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        TransactionId(id)
    }

    fn ask(&mut self, now: Instant, ask: Ask, challenged: u8) {
        let id = self.draw();
        let bytes = self.question(id, ask);
        self.out.push_back(bytes.clone());
        let wait = if self.config.reliable {
            PATIENCE
        } else {
            AGAIN
        };
        self.questions.push(Question {
            id,
            ask,
            bytes,
            due: now + wait,
            wait,
            sent: 1,
            challenged,
        });
    }

    fn question(&self, id: TransactionId, ask: Ask) -> Vec<u8> {
        let mut draft = Draft::new(ask.method(), id);
        match ask {
            Ask::Allocate => {
                draft = draft
                    .with(message::SOFTWARE, b"Tipring")
                    .with(message::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
                if self.config.ipv6 {
                    draft = draft.with(message::REQUESTED_ADDRESS_FAMILY, &[IPV6, 0, 0, 0]);
                }
            }
            Ask::Refresh => {}
            Ask::Bind(number) => {
                let [high, low] = number.to_be_bytes();
                draft = draft.with(message::CHANNEL_NUMBER, &[high, low, 0, 0]);
                if let Some(peer) = self.peers.asked_for(number) {
                    draft = draft.with_address(message::XOR_PEER_ADDRESS, peer, id);
                }
            }
            Ask::Permit(ip) => {
                // Its port says nothing (§9).
                let peer = SocketAddr::new(ip, 0);
                draft = draft.with_address(message::XOR_PEER_ADDRESS, peer, id);
            }
            Ask::Release => draft = draft.with(message::LIFETIME, &[0; 4]),
        }
        let (Some(trust), Some(login)) = (&self.trust, &self.config.login) else {
            return draft.finish(None);
        };
        draft
            .with(message::USERNAME, login.username.as_bytes())
            .with(message::REALM, trust.realm.as_bytes())
            .with(message::NONCE, trust.nonce.as_bytes())
            .finish(Some(&trust.key))
    }

    /// Asks again, or gives up (RFC 8489 §6.2.1).
    fn repeat(&mut self, now: Instant) {
        let mut silent = None;
        for question in &mut self.questions {
            if now < question.due {
                continue;
            }
            if self.config.reliable || question.sent >= MOST_SENT {
                silent = Some(question.ask);
                continue;
            }
            self.out.push_back(question.bytes.clone());
            question.sent += 1;
            question.wait = if question.sent == MOST_SENT {
                AGAIN * LAST_WAIT
            } else {
                question.wait * 2
            };
            question.due = now + question.wait;
        }
        if let Some(ask) = silent {
            self.questions.retain(|question| question.ask != ask);
            self.refuse(now, ask, Refusal::Silent);
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("phase", &self.phase)
            .field("channels", &self.peers.len())
            .finish_non_exhaustive()
    }
}

impl Ask {
    fn method(self) -> u16 {
        match self {
            Self::Allocate => 0x0003,
            Self::Refresh | Self::Release => 0x0004,
            Self::Permit(_) => 0x0008,
            Self::Bind(_) => 0x0009,
        }
    }
}

/// Number and payload of ChannelData (§12.4). What follows is padding, of streams only.
#[must_use]
pub fn unwrapped(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = datagram.split_at_checked(4)?;
    let number = u16::from_be_bytes([*head.first()?, *head.get(1)?]);
    let length = usize::from(u16::from_be_bytes([*head.get(2)?, *head.get(3)?]));
    let is_channel = (FIRST_CHANNEL..=LAST_CHANNEL).contains(&number);
    Some((number, rest.get(..length)?)).filter(|_| is_channel)
}

/// Whether this has the relay carry something on, and asks it for nothing: ChannelData (§12.4), or a Send indication
/// (§11.1). What it has carried is lost without harm, as on any way.
#[must_use]
pub fn is_carried(datagram: &[u8]) -> bool {
    let is_send = datagram.starts_with(&SEND_INDICATION.to_be_bytes());
    unwrapped(datagram).is_some() || is_send && crate::stun::is_stun(datagram)
}

/// The four bytes before a payload of this length.
#[must_use]
pub fn channel_head(number: u16, length: usize) -> Option<[u8; 4]> {
    let [a, b] = number.to_be_bytes();
    let [c, d] = u16::try_from(length).ok()?.to_be_bytes();
    Some([a, b, c, d])
}

fn wrapped(number: u16, payload: &[u8]) -> Option<Vec<u8>> {
    Some([&channel_head(number, payload.len())?, payload].concat())
}

fn refusal(code: u16, phrase: &str, view: View<'_>) -> Refusal {
    match code {
        300 => match view.plain_address(message::ALTERNATE_SERVER) {
            Some(server) => Refusal::Elsewhere(server),
            None => Refusal::Senseless,
        },
        401 => Refusal::WrongLogin,
        403 => Refusal::Forbidden,
        437 => Refusal::Mismatch,
        440 | 443 => Refusal::Family(code),
        441 => Refusal::WrongUser,
        442 => Refusal::NoUdp,
        486 => Refusal::Quota,
        508 => Refusal::Full,
        code => {
            let signs = phrase.chars().filter(|sign| !sign.is_control());
            let phrase = signs.take(LONGEST_PHRASE).collect();
            Refusal::Other { code, phrase }
        }
    }
}

/// What a server grants, within what can be lived with.
fn lifetime(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into()).clamp(LEAST_LIFETIME, MOST_LIFETIME)
}

/// A minute before the end (§8), or half-way where there is not much more.
fn until_refresh(lifetime: Duration) -> Duration {
    lifetime
        .saturating_sub(Duration::from_secs(60))
        .max(lifetime / 2)
}

/// RFC 8656 §17.
const SEND_INDICATION: u16 = 0x0016;
/// No datagram is longer, with the attributes beside it.
const LONGEST_CARRIED: usize = 65_000;
/// Routers forget a way after thirty seconds.
const KEEP_OPEN: Duration = Duration::from_secs(15);
/// What servers grant is taken for no less than this.
const LEAST_LIFETIME: Duration = Duration::from_secs(20);
/// And for no more: who comes to another network should not be remembered for a day.
const MOST_LIFETIME: Duration = Duration::from_secs(3_600);

/// RFC 8489 §6.2.1: RTO, Rc and Rm.
const AGAIN: Duration = Duration::from_millis(500);
const MOST_SENT: u32 = 7;
const LAST_WAIT: u32 = 16;
/// Ti, for ways that lose nothing (RFC 8489 §6.2.2).
const PATIENCE: Duration = Duration::from_millis(39_500);
/// The first challenge, and some more while its nonce is stale.
const MOST_CHALLENGES: u8 = 3;
/// Realm and nonce have 127 characters at most (RFC 8489 §14.9, §14.10).
const LONGEST_TEXT: usize = 763;
/// Of what a server says about an error that we do not know.
const LONGEST_PHRASE: usize = 60;

const METHOD: u16 = !CLASS;
const CLASS: u16 = 0x0110;
const SUCCESS: u16 = 0x0100;
const ERROR: u16 = 0x0110;
const DATA_INDICATION: u16 = 0x0017;
/// IANA's protocol number.
const UDP: u8 = 17;
const IPV6: u8 = 2;
