//! One handshake for one media path.
//!
//! ```text
//!             the remote side is known, or its first flight comes
//!   waiting ────────────────────────────────────────────────────► talking, to a few remote sides at most
//!      │                                                             │ right certificate     │ wrong one, or no answer
//!      │ GIVE_UP                                                     ▼                       ▼
//!      └────────────────────────────► failed ◄────────────────── secured ◄─┐             that remote side is dropped
//!                                                                   └──────┘ repeats its last flight (RFC 6347 §4.2.4)
//!                                                                            for LINGER, and then keeps nothing
//! ```

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;

use crate::certificate::Certificate;
use crate::fingerprint::{Fingerprint, is_announced};
use crate::keys::{Keys, LABEL, Profile};
use crate::sieve::{HANDSHAKE, HEAD, Sieve, first_encrypted, records};

/// Remote sides that are talked to at once: the announced one, the same behind a NAT, and strangers.
pub const MOST_REMOTES: usize = 4;

/// From the first flight on the peer has this long.
const GIVE_UP: Duration = Duration::from_secs(20);

/// A flight without answer is repeated after this. RFC 6347 §4.2.4.1 recommends a second and allows less where
/// somebody waits: here a person does, for sound.
const REPEAT: Duration = Duration::from_millis(400);

/// A handshake that broke is begun anew after this.
const AGAIN: Duration = Duration::from_millis(500);

/// Bytes of a random number (RFC 5246 §7.4.1.2).
const RANDOM: usize = 32;

/// Records of a remote side that are known again: a flight has a dozen, with a long chain of certificates some more.
const MOST_RECORDS: usize = 128;

/// Messages of a handshake (RFC 6347 §4.3.2).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;

/// Who has returned the cookie and then says nothing keeps its place this long where others want it.
const STALLED: Duration = Duration::from_secs(3);

/// A server repeats its last flight on demand this long: twice the time that TCP takes a segment to live (RFC 6347
/// §4.2.4, RFC 793 §3.3). Nobody demands a client's: it is the server's that ends the handshake.
const LINGER: Duration = Duration::from_secs(240);

/// How often it does so at the most, which is as often as `rtc-dtls` does, and how long after the last time.
const MOST_ANSWERS: u8 = 7;
const ANSWER_GAP: Duration = Duration::from_millis(100);

/// A whole flight fits into what every path carries.
const MTU: usize = 1_200;

/// Who begins (RFC 4145 `a=setup`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// We do: `active`.
    Client,
    /// The peer does: `passive`.
    Server,
}

/// What the session descriptions say about the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its certificates: it has to show one of these.
    pub fingerprints: Vec<Fingerprint>,
    /// What we are to it.
    pub role: Role,
}

/// Why there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// The certificate shown is not the announced one.
    #[error("the other side showed another certificate than it had announced")]
    WrongCertificate,
    /// Nothing came of it in time.
    #[error("the other side did not complete the handshake for the keys")]
    NoAnswer,
    /// The other side broke the handshake off.
    #[error("the other side refused the handshake for the keys")]
    Refused,
    /// Nothing that both sides have protects the media.
    #[error("the two sides have no protection of media in common")]
    NothingInCommon,
    /// The machinery failed on our side.
    #[error("the handshake for the keys could not be begun here")]
    Ours,
}

/// What a handshake comes to; once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There are keys, and the peer is who it should be.
    Secured {
        /// The keys of both directions.
        keys: Keys,
        /// From where the peer spoke.
        remote: SocketAddr,
    },
    /// There will be none.
    Failed(Failure),
}

/// What [`Handshake::poll_output`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To be sent.
    Transmit {
        /// The datagram.
        datagram: Vec<u8>,
        /// Where to.
        to: SocketAddr,
    },
    /// What has come of it.
    Event(Event),
    /// Nothing more until then.
    Deadline(Option<Instant>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Secured { remote: SocketAddr },
    Failed,
}

/// What is left to do for the other side when there are keys.
struct Linger {
    until: Instant,
    answers: u8,
    answered: Option<Instant>,
}

/// With whom a handshake is going on.
struct Remote {
    address: SocketAddr,
    /// The random number with which it began, where it did.
    hello: Option<[u8; RANDOM]>,
    /// What it has said before there were keys, each record by its hash.
    heard: Vec<u64>,
    /// Our last word was the question whether it is there (HelloVerifyRequest), which only its repetition repeats.
    asked: bool,
    /// Since when it has got no further.
    since: Instant,
    /// It has returned the cookie, so it is where it says (RFC 6347 §4.2.1).
    is_there: bool,
    sieve: Sieve,
}

impl Remote {
    fn new(now: Instant, address: SocketAddr, hello: Option<[u8; RANDOM]>) -> Self {
        Self {
            address,
            hello,
            heard: Vec::new(),
            asked: false,
            since: now,
            is_there: false,
            sieve: Sieve::default(),
        }
    }
}

/// See the module.
pub struct Handshake {
    role: Role,
    fingerprints: Vec<Fingerprint>,
    phase: Phase,
    endpoint: Endpoint,
    client: Option<Arc<HandshakeConfig>>,
    /// Where the peer is, as it says.
    announced: Option<SocketAddr>,
    /// With whom it is going on, the oldest first.
    remotes: Vec<Remote>,
    hasher: RandomState,
    outputs: VecDeque<Output>,
    begun: Option<Instant>,
    again_at: Option<Instant>,
    /// A certificate was shown that is not the right one.
    wrong: Arc<AtomicBool>,
    /// The most telling thing that went wrong so far.
    fault: Failure,
    linger: Option<Linger>,
}

impl Handshake {
    /// A handshake with `peer`, showing `certificate`. It begins when there is somebody to talk to.
    #[must_use]
    pub fn new(certificate: &Certificate, peer: &Peer) -> Self {
        let wrong = Arc::new(AtomicBool::new(false));
        let config = config(certificate, peer, &wrong);
        let is_client = peer.role == Role::Client;
        let (client, server) = match config {
            Ok(config) if is_client => (Some(config), None),
            Ok(config) => (None, Some(config)),
            Err(_) => (None, None),
        };
        let broken = client.is_none() && server.is_none();
        let mut handshake = Self {
            role: peer.role,
            fingerprints: peer.fingerprints.clone(),
            phase: Phase::Waiting,
            endpoint: endpoint(server),
            client,
            announced: None,
            remotes: Vec::new(),
            hasher: RandomState::new(),
            outputs: VecDeque::new(),
            begun: None,
            again_at: None,
            wrong,
            fault: Failure::NoAnswer,
            linger: None,
        };
        if broken || peer.fingerprints.is_empty() {
            handshake.fail(Failure::Ours);
        }
        handshake
    }

    /// Where the peer is to be found. A client begins with this; a server's time runs from here.
    pub fn handle_remote(&mut self, now: Instant, remote: SocketAddr) {
        if self.phase != Phase::Waiting || self.announced == Some(remote) {
            return;
        }
        self.announced = Some(remote);
        self.begun.get_or_insert(now);
        self.connect(now);
    }

    /// Takes in a datagram for which [`crate::looks_like_dtls`] holds.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8], from: SocketAddr) {
        match self.phase {
            Phase::Waiting => {}
            Phase::Secured { remote } if remote == from => return self.answer(now, from, datagram),
            Phase::Secured { .. } | Phase::Failed => return,
        }
        if !self.admit(now, from, datagram) || self.is_repeated(from, datagram) {
            return;
        }
        let mut remotes = self.remotes.iter_mut();
        let Some(remote) = remotes.find(|remote| remote.address == from) else {
            return;
        };
        // Who says more than a handshake has to say begins anew, with nothing kept.
        let Ok(useful) = remote.sieve.sift(datagram) else {
            return self.drop_remote(now, from);
        };
        if useful.is_empty() {
            return;
        }
        let read = self.endpoint.read(now, from, None, useful);
        self.collect(now);
        match read {
            Ok(events) => {
                let done =
                    |event: &EndpointEvent| matches!(event, EndpointEvent::HandshakeComplete);
                if events.iter().any(done) {
                    self.on_complete(now, from);
                } else if events.iter().any(is_farewell) {
                    self.drop_remote(now, from);
                }
            }
            Err(error) => self.on_broken(now, from, &error),
        }
    }

    /// Its time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.phase == Phase::Waiting && self.begun.is_some_and(|begun| now >= begun + GIVE_UP) {
            return self.fail(self.fault);
        }
        if self.linger.as_ref().is_some_and(|left| now >= left.until) {
            self.rest();
        }
        let remotes: Vec<_> = self.remotes.iter().map(|remote| remote.address).collect();
        for remote in remotes {
            let is_due = |at: Instant| now >= at;
            if !self.endpoint.poll_timeout(&remote).is_some_and(is_due) {
                continue;
            }
            let repeated = self.endpoint.handle_timeout(remote, now);
            self.collect(now);
            if repeated.is_err() && self.phase == Phase::Waiting {
                self.drop_remote(now, remote);
            }
        }
        if self.again_at.is_some_and(|at| now >= at) {
            self.again_at = None;
            self.connect(now);
        }
    }

    /// The next thing to do for the caller.
    pub fn poll_output(&mut self) -> Output {
        self.outputs
            .pop_front()
            .unwrap_or_else(|| Output::Deadline(self.deadline()))
    }

    /// Whether there are keys.
    #[must_use]
    pub fn is_secured(&self) -> bool {
        matches!(self.phase, Phase::Secured { .. })
    }

    fn deadline(&self) -> Option<Instant> {
        let give_up = match self.phase {
            Phase::Failed => return None,
            Phase::Secured { .. } => self.linger.as_ref().map(|left| left.until),
            Phase::Waiting => self.begun.map(|begun| begun + GIVE_UP),
        };
        let repeats = self.remotes.iter();
        let repeats = repeats.filter_map(|remote| self.endpoint.poll_timeout(&remote.address));
        repeats.chain(give_up).chain(self.again_at).min()
    }

    /// As a client: talks to the announced address.
    fn connect(&mut self, now: Instant) {
        let (Some(config), Some(remote)) = (self.client.clone(), self.announced) else {
            return;
        };
        if self.knows(remote) {
            return;
        }
        match self.endpoint.connect(now, remote, config, None) {
            Ok(()) => {
                self.make_room(now);
                self.remotes.push(Remote::new(now, remote, None));
            }
            // Nowhere to send to, or no randomness.
            Err(_) => self.again_at = Some(now + AGAIN),
        }
        self.collect(now);
    }

    fn knows(&self, address: SocketAddr) -> bool {
        self.remotes.iter().any(|remote| remote.address == address)
    }

    /// Whether a datagram from there is looked at.
    fn admit(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        if self.knows(from) {
            self.follow_anew(now, from, datagram);
            return true;
        }
        // A client talks first; a server is talked to by the first message of a client (RFC 6347 §4.2.2).
        if self.role == Role::Client || !begins(datagram) {
            return false;
        }
        if self.remotes.len() >= MOST_REMOTES {
            let is_expected = self.announced == Some(from);
            if !is_expected && !self.remotes.iter().any(|remote| self.yields(now, remote)) {
                return false;
            }
            self.make_room(now);
        }
        self.begun.get_or_insert(now);
        self.remotes.push(Remote::new(now, from, hello(datagram)));
        true
    }

    /// Whether a datagram brings only what was heard before, while our own flight is repeated in time anyway: it has
    /// the peer say its own again, and that is all that RFC 6347 §4.2.4 wants of it. `rtc-dtls` would stop its timer for
    /// it, so that a flight that was lost would never be said again.
    fn is_repeated(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        let is_timed = self.endpoint.poll_timeout(&from).is_some();
        let mut remotes = self.remotes.iter_mut();
        let Some(remote) = remotes.find(|remote| remote.address == from) else {
            return false;
        };
        let mut news = false;
        for record in records(datagram) {
            let is_open = record.kind == HANDSHAKE && record.epoch == 0;
            let Some(body) = is_open.then_some(record.body) else {
                news = true;
                continue;
            };
            let known = self.hasher.hash_one(body);
            if !remote.heard.contains(&known) {
                news = true;
                if remote.heard.len() < MOST_RECORDS {
                    remote.heard.push(known);
                }
            }
        }
        !news && is_timed && !remote.asked
    }

    /// Who gave up and begins from the start is not repeating itself: its random number is another (RFC 6347 §4.2.8).
    fn follow_anew(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Some(random) = hello(datagram).filter(|_| self.role == Role::Server) else {
            return;
        };
        let mut remotes = self.remotes.iter_mut();
        let Some(remote) = remotes.find(|remote| remote.address == from) else {
            return;
        };
        match remote.hello.replace(random) {
            Some(known) if known != random => {
                *remote = Remote::new(now, from, Some(random));
                self.forget(now, from);
            }
            _ => {}
        }
    }

    /// Whether the place of `remote` is for whoever comes: it is not where the peer says that it is, and either it has
    /// not shown that it is there at all (anybody can send in the name of anybody) or it has come to a standstill.
    fn yields(&self, now: Instant, remote: &Remote) -> bool {
        let is_idle = || now.saturating_duration_since(remote.since) >= STALLED;
        Some(remote.address) != self.announced && (!remote.is_there || is_idle())
    }

    /// Takes a stranger out if there is no room: the oldest of those that have got least far.
    fn make_room(&mut self, now: Instant) {
        if self.remotes.len() < MOST_REMOTES {
            return;
        }
        let strangers = self.remotes.iter().enumerate();
        let strangers = strangers.filter(|(_, remote)| Some(remote.address) != self.announced);
        if let Some((stranger, _)) =
            strangers.min_by_key(|(_, remote)| (remote.is_there, remote.since))
        {
            let remote = self.remotes.remove(stranger);
            self.forget(now, remote.address);
        }
    }

    /// Repeats the last flight for who repeats its own, and answers a farewell.
    fn answer(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let Some(left) = &mut self.linger else {
            return;
        };
        let is_soon = |at: Instant| now < at + ANSWER_GAP;
        let Some(record) =
            first_encrypted(datagram).filter(|_| !left.answered.is_some_and(is_soon))
        else {
            return;
        };
        // What cannot be used changes nothing any more.
        let read = self.endpoint.read(now, from, None, BytesMut::from(record));
        let before = self.outputs.len();
        self.collect(now);
        let Some(left) = &mut self.linger else {
            return;
        };
        if self.outputs.len() > before {
            left.answered = Some(now);
            left.answers += 1;
        }
        let is_over = read.is_ok_and(|events| events.iter().any(is_farewell));
        if left.answers >= MOST_ANSWERS || is_over {
            self.rest();
        }
    }

    /// Nothing more is to be said: what the handshake knows of the keys goes.
    fn rest(&mut self) {
        self.linger = None;
        self.remotes.clear();
        self.endpoint = endpoint(None);
        self.client = None;
    }

    fn on_complete(&mut self, now: Instant, remote: SocketAddr) {
        if self.phase != Phase::Waiting {
            return;
        }
        match self.export(remote) {
            Ok(keys) => {
                self.phase = Phase::Secured { remote };
                for other in std::mem::take(&mut self.remotes) {
                    if other.address != remote {
                        self.forget(now, other.address);
                    }
                }
                self.remotes.push(Remote::new(now, remote, None));
                self.again_at = None;
                self.linger = Some(Linger {
                    until: now + LINGER,
                    answers: 0,
                    answered: None,
                });
                if self.role == Role::Client {
                    self.rest();
                }
                self.outputs
                    .push_back(Output::Event(Event::Secured { keys, remote }));
            }
            Err(failure) => self.fail(failure),
        }
    }

    fn export(&self, remote: SocketAddr) -> Result<Keys, Failure> {
        let state = self.endpoint.get_connection_state(remote);
        let state = state.ok_or(Failure::Ours)?;
        // It was checked before the handshake went on; keys are worth a second look.
        let shown = state.peer_certificates.first();
        if !shown.is_some_and(|der| is_announced(der, &self.fingerprints)) {
            return Err(Failure::WrongCertificate);
        }
        let profile = Profile::from_wire(state.srtp_protection_profile());
        let profile = profile.ok_or(Failure::NothingInCommon)?;
        let material = state
            .export_keying_material(LABEL, &[], profile.material_len())
            .map_err(|_| Failure::Ours)?;
        let is_client = self.role == Role::Client;
        Keys::from_material(profile, material.as_ref(), is_client).ok_or(Failure::Ours)
    }

    /// What a remote side sent could not be used. Only what was meant for the right one counts.
    fn on_broken(&mut self, now: Instant, from: SocketAddr, error: &Error) {
        if self.phase != Phase::Waiting {
            return;
        }
        if self.wrong.swap(false, Relaxed) {
            self.fault = Failure::WrongCertificate;
            if self.announced == Some(from) {
                return self.fail(Failure::WrongCertificate);
            }
            return self.drop_remote(now, from);
        }
        match error {
            Error::ErrAlertFatalOrClose => {
                if self.fault == Failure::NoAnswer {
                    self.fault = Failure::Refused;
                }
                self.drop_remote(now, from);
            }
            Error::ErrServerNoMatchingSrtpProfile
            | Error::ErrClientNoMatchingSrtpProfile
            | Error::ErrRequestedButNoSrtpExtension
            | Error::ErrCipherSuiteNoIntersection => {
                if self.fault != Failure::WrongCertificate {
                    self.fault = Failure::NothingInCommon;
                }
                self.drop_remote(now, from);
            }
            // Junk between the records: the next flight is repeated anyway.
            _ => {}
        }
    }

    fn drop_remote(&mut self, now: Instant, remote: SocketAddr) {
        self.remotes.retain(|known| known.address != remote);
        self.forget(now, remote);
        if self.role == Role::Client && self.again_at.is_none() {
            self.again_at = Some(now + AGAIN);
        }
    }

    /// Without a farewell: who is dropped may be anybody.
    fn forget(&mut self, now: Instant, remote: SocketAddr) {
        let _ = self.endpoint.stop(now, remote);
        while self.endpoint.poll_transmit().is_some() {}
    }

    fn collect(&mut self, now: Instant) {
        while let Some(message) = self.endpoint.poll_transmit() {
            let to = message.transport.peer_addr;
            let mut remotes = self.remotes.iter_mut();
            if let Some(remote) = remotes.find(|remote| remote.address == to) {
                remote.asked = begins_with(&message.message, HELLO_VERIFY_REQUEST);
                if begins_with(&message.message, SERVER_HELLO) && !remote.is_there {
                    (remote.is_there, remote.since) = (true, now);
                }
            }
            self.outputs.push_back(Output::Transmit {
                datagram: message.message.to_vec(),
                to,
            });
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Failed;
        self.rest();
        self.again_at = None;
        self.outputs
            .push_back(Output::Event(Event::Failed(failure)));
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// One without anybody to talk to yet. Its address is only handed back with each datagram, and nobody looks at it.
fn endpoint(server: Option<Arc<HandshakeConfig>>) -> Endpoint {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Endpoint::new(nowhere, TransportProtocol::UDP, server)
}

fn is_farewell(event: &EndpointEvent) -> bool {
    matches!(event, EndpointEvent::PeerClosed)
}

/// Whether a datagram is a flight whose first message is of this type (RFC 6347 §4.3.2).
fn begins_with(datagram: &[u8], message: u8) -> bool {
    datagram.first() == Some(&HANDSHAKE) && datagram.get(HEAD) == Some(&message)
}

/// Whether a datagram begins with the first message of a client, or with a part of it.
fn begins(datagram: &[u8]) -> bool {
    let is_first = datagram.get(HEAD + 4..HEAD + 6) == Some(&[0, 0]);
    is_first && datagram.get(3..5) == Some(&[0, 0]) && begins_with(datagram, CLIENT_HELLO)
}

/// The random number of a first flight (RFC 6347 §4.2.1: record header, message header, version, and then it).
fn hello(datagram: &[u8]) -> Option<[u8; RANDOM]> {
    let is_hello = begins_with(datagram, CLIENT_HELLO);
    let random = datagram.get(27..27 + RANDOM).filter(|_| is_hello)?;
    random.try_into().ok()
}

fn config(
    certificate: &Certificate,
    peer: &Peer,
    wrong: &Arc<AtomicBool>,
) -> Result<Arc<HandshakeConfig>, Error> {
    let announced = peer.fingerprints.clone();
    let wrong = Arc::clone(wrong);
    let profiles = Profile::ALL.into_iter();
    let profiles = match peer.role {
        Role::Client => profiles
            .filter(|profile| *profile != Profile::Aes128CmHmacSha1_32)
            .map(Profile::to_wire)
            .collect(),
        Role::Server => profiles.map(Profile::to_wire).collect(),
    };
    let config = ConfigBuilder::default()
        .with_crypto_provider(Arc::clone(&certificate.provider))
        .with_certificates(vec![certificate.inner.clone()])
        .with_srtp_protection_profiles(profiles)
        // RFC 7627: without it keys can be synchronised between two handshakes; old peers do not have it.
        .with_extended_master_secret(ExtendedMasterSecretType::Request)
        // The authority is the session description, not a chain (RFC 5763 §5).
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true)
        .with_verify_peer_certificate(Some(Arc::new(move |chain, _| {
            let shown = chain.first();
            if shown.is_some_and(|der| is_announced(der, &announced)) {
                return Ok(());
            }
            wrong.store(true, Relaxed);
            Err(Error::ErrInvalidCertificate)
        })))
        .with_flight_interval(REPEAT)
        .with_mtu(MTU);
    Ok(Arc::new(config.build(peer.role == Role::Client, None)?))
}
