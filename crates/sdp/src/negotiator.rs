//! One end of one session: offers, answers, hold, and what they come to (RFC 3264).
//!
//! ```text
//!             offer()                        handle_answer()
//!   idle ───────────────► our offer waits ───────────────────► idle, agreed
//!    │ ▲                        │ rollback(): refused, or 491
//!    │ └────────────────────────┘
//!    └── handle_offer() ► idle, agreed            (an offer while ours waits is glare)
//! ```
//!
//! A late offer is the same machine: the offer goes into the 200, the answer comes with the ACK.
//! For a forked INVITE clone the negotiator after [`Negotiator::offer`], one for each early
//! dialog: the first answer in each wins, whatever comes after it there is no answer any more.

mod compose;
#[cfg(test)]
mod crypto_tests;
#[cfg(test)]
mod dtls_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod ice_tests;
mod read;
#[cfg(test)]
mod report_tests;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use crate::codec::{Codec, reads_as_rtcp};
use crate::crypto::{CryptoAttribute, CryptoSuite, Encryption, KeySeed, NegotiatedCrypto, OurKeys};
use crate::description::SessionDescription;
use crate::direction::Direction;
use crate::error::SdpError;
use crate::fingerprint::{Association, DtlsRole, Fingerprint, NegotiatedDtls, OurDtls, Setup};
use crate::ice::{self, NegotiatedIce, OurIce};
use crate::media::{MediaView, OpusParameters};
use crate::reports::ExtendedReports;
use compose::{Composed, Format, Numbers, may_share_port};
use privacy::Sentence;

/// What we have to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where we want to receive, as the other side shall see it.
    pub address: IpAddr,
    /// The RTP port; RTCP is on the next one or on the same.
    pub port: u16,
    /// In order of preference. None at all means every codec we have.
    pub codecs: Vec<Codec>,
    /// Packet time we want to receive, and send where the other side does not mind.
    pub ptime_ms: u32,
    /// Whether to send and receive digits as telephone events (RFC 4733).
    pub telephone_event: bool,
    /// Session id of `o=`, a number of the caller that differs from call to call.
    pub session_id: u64,
}

/// A codec that both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// Which.
    pub codec: Codec,
    /// Payload type that the other side wants to receive.
    pub send_payload_type: u8,
    /// Payload type that the other side will send.
    pub receive_payload_type: u8,
}

/// Telephone events that both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiatedEvents {
    /// Payload type that the other side wants to receive.
    pub send_pt: u8,
    /// Payload type that the other side will send.
    pub receive_pt: u8,
    /// Clock in which durations count: the codec's, where the other side has it so.
    pub clock_rate_hz: u32,
}

/// What offer and answer came to, from our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Where to send. None: the line has port 0, or the other side is at `0.0.0.0` (old hold).
    pub remote: Option<SocketAddr>,
    /// Where to send RTCP; the same as `remote` with `rtcp_mux`.
    pub remote_rtcp: Option<SocketAddr>,
    /// The codec to send.
    pub codec: Codec,
    /// Its payload type towards them.
    pub send_payload_type: u8,
    /// Its payload type towards us.
    pub receive_payload_type: u8,
    /// Every codec that the other side may send, the chosen one first.
    pub codecs: Vec<NegotiatedCodec>,
    /// Digits as events, where both want them.
    pub telephone_event: Option<NegotiatedEvents>,
    /// The same on the clocks of the other codecs that the other side may send (RFC 4733 §2.1).
    pub further_events: Vec<NegotiatedEvents>,
    /// Payload type under which the other side wants to hear what our silence sounds like, where we asked for that.
    pub comfort_noise: Option<u8>,
    /// Which way media flows, from our side.
    pub direction: Direction,
    /// Whether the other side put us on hold: it does not want to receive what we would send.
    pub held_by_peer: bool,
    /// Packet time to send.
    pub ptime_ms: u32,
    /// Whether RTCP goes over the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// The bandwidth that the other side wants to receive at most.
    pub max_bits_per_second: Option<u64>,
    /// What the other side says about Opus, where that is the codec.
    pub opus: Option<OpusParameters>,
    /// The keys of both directions; none where media is plain.
    pub crypto: Option<NegotiatedCrypto>,
    /// The handshake that makes the keys of both directions, where it is that.
    pub dtls: Option<NegotiatedDtls>,
    /// What to go by in finding a way, where both want that.
    pub ice: Option<NegotiatedIce>,
    /// Extended reports that the other side asks for, of those that we told we know.
    pub extended_reports: ExtendedReports,
    /// Faults of the peer's description that were repaired, each as a clause for a log line.
    pub repairs: Vec<Sentence>,
}

/// The offer/answer engine. See the module for its states.
#[derive(Debug, Clone)]
pub struct Negotiator {
    local: LocalMedia,
    hold: bool,
    /// Which way media shall flow at most, hold aside.
    asked: Direction,
    numbers: Numbers,
    /// The media lines of the session, in order; never shorter than it was.
    lines: Vec<Line>,
    /// The description of ours that is in force.
    sent: Option<Composed>,
    /// The offer of ours that was withdrawn last.
    withdrawn: Option<Composed>,
    highest_version: u64,
    /// A description of ours wanted less than media both ways.
    was_directed: bool,
    pending: Option<Pending>,
    agreed: Option<Negotiated>,
    /// Session id of the other side's `o=`: another one is another party behind the same call.
    peer_session: Option<String>,
    /// How often that party, or our address, was another one.
    context: u64,
    encryption: Encryption,
    keys: OurKeys,
    rtcp_port: Option<u16>,
    ice: Option<OurIce>,
    /// Whether offers of ours have it.
    offers_ice: bool,
    /// Whether our description that is being written shall have it: an answer, where the offer had.
    answers_ice: bool,
    /// Whether it shall say that theirs did not fit to the address beside it (RFC 8839 §4.2.5).
    tells_mismatch: bool,
    /// And with candidates for reports: an answer, where those do not share the port.
    tells_reports: bool,
    /// And with the name of the DTLS association: an answer, where the offer has one (RFC 8842 §5.3).
    names_association: bool,
    /// Where we were when offer and answer last agreed.
    settled: Option<Settled>,
    dtls: Option<OurDtls>,
    /// Whether an address of theirs leads nowhere from an address of ours.
    is_out_of_reach: fn(IpAddr, IpAddr) -> bool,
    comfort_noise: bool,
    /// What our descriptions may ask for, and what the one that is being written does: an answer, what the offer does.
    reports: ExtendedReports,
    reports_told: ExtendedReports,
    /// Of `b=AS`.
    bandwidth: Option<u32>,
}

/// What a line of ours says about keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keying {
    None,
    /// `a=crypto`.
    Sdes,
    /// `a=fingerprint`, `a=setup` and `a=tls-id`.
    Dtls(Setup),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    /// The line of the call's audio. There are two while an offer lets the peer choose whether to encrypt.
    Audio { protocol: String, keying: Keying },
    /// A line that we refuse, mirrored.
    Refused {
        kind: String,
        protocol: String,
        formats: String,
    },
}

impl Line {
    fn is_audio(&self) -> bool {
        matches!(self, Self::Audio { .. })
    }
}

/// Where we were, and by which names our ways were tried, when offer and answer agreed.
#[derive(Debug, Clone)]
struct Settled {
    address: IpAddr,
    port: u16,
    rtcp_port: Option<u16>,
    ice: Option<OurIce>,
    /// What we call the DTLS association.
    association: Option<String>,
}

/// Our offer that waits for its answer.
#[derive(Debug, Clone)]
struct Pending {
    lines: Vec<Line>,
    numbers: Numbers,
    composed: Composed,
    formats: Vec<Format>,
    direction: Direction,
    crypto: Vec<CryptoAttribute>,
    /// What it calls the DTLS association.
    association: Option<String>,
}

impl Pending {
    /// What our line at this place says about keys.
    fn keying(&self, place: usize) -> Keying {
        match self.lines.get(place) {
            Some(Line::Audio { keying, .. }) => *keying,
            Some(Line::Refused { .. }) | None => Keying::None,
        }
    }
}

impl Negotiator {
    /// A session in which nothing was said yet.
    #[must_use]
    pub fn new(local: LocalMedia) -> Self {
        let mut codecs: Vec<Codec> = Vec::new();
        for codec in &local.codecs {
            if !codecs.contains(codec) {
                codecs.push(*codec);
            }
        }
        if codecs.is_empty() {
            codecs.extend(Codec::ALL);
        }
        Self {
            local: LocalMedia { codecs, ..local },
            hold: false,
            asked: Direction::SendReceive,
            numbers: Numbers::default(),
            lines: Vec::new(),
            sent: None,
            withdrawn: None,
            highest_version: 0,
            was_directed: false,
            pending: None,
            agreed: None,
            peer_session: None,
            context: 0,
            encryption: Encryption::Off,
            keys: OurKeys::default(),
            rtcp_port: None,
            ice: None,
            offers_ice: true,
            answers_ice: true,
            tells_mismatch: false,
            tells_reports: true,
            names_association: true,
            settled: None,
            dtls: None,
            is_out_of_reach: |_, _| false,
            comfort_noise: false,
            reports: ExtendedReports::default(),
            reports_told: ExtendedReports::default(),
            bandwidth: None,
        }
    }

    /// The same with media encrypted by keys in the description (RFC 4568), from the first offer or answer
    /// on. `seed` is drawn from the operating system for this session alone: all keys come from it.
    #[must_use]
    pub fn with_encryption(mut self, encryption: Encryption, seed: KeySeed) -> Self {
        self.encryption = encryption;
        self.keys = OurKeys::new(seed);
        self
    }

    /// The same with keys by a DTLS handshake (RFC 5763), in which we show the certificate of this fingerprint.
    /// With `offered` that is what an offer asks for instead of `a=crypto`; in answers it is preferred in any case.
    /// Without encryption it changes nothing. `seed` is drawn like that of the keys.
    #[must_use]
    pub fn with_dtls(mut self, fingerprint: Fingerprint, offered: bool, seed: KeySeed) -> Self {
        self.dtls = Some(OurDtls::new(fingerprint, offered, seed));
        self
    }

    /// The same with a rule by which an address of theirs, the first one, is out of reach from one of ours. Who leaves it to
    /// us to begin a handshake, and announces such an address and no other ways, begins itself.
    #[must_use]
    pub fn with_reach(mut self, is_out_of_reach: fn(IpAddr, IpAddr) -> bool) -> Self {
        self.is_out_of_reach = is_out_of_reach;
        self
    }

    /// The same with ways found by ICE (RFC 8445) where the other side does that, too. `seed` is drawn like that of the keys.
    #[must_use]
    pub fn with_ice(mut self, seed: KeySeed) -> Self {
        self.ice = Some(OurIce::new(seed));
        self
    }

    /// The same with comfort noise in place of silence (RFC 3389 §5) where the other side does that, too.
    #[must_use]
    pub fn with_comfort_noise(mut self) -> Self {
        self.comfort_noise = true;
        self
    }

    /// The same with extended reports (RFC 3611 §5): those that we know are asked for, and sent to those who ask.
    #[must_use]
    pub fn with_extended_reports(mut self) -> Self {
        self.reports = ExtendedReports::ALL;
        self
    }

    /// The same with a bandwidth that the other side is asked not to exceed, in kbit/s with all headers (`b=AS`,
    /// RFC 8866 §5.8).
    #[must_use]
    pub fn with_bandwidth(mut self, kbit_per_second: u32) -> Self {
        self.bandwidth = Some(kbit_per_second);
        self
    }

    /// Our candidates, each the value of its attribute; the address that is told is among them. Those for reports are told
    /// to whoever may not share the port.
    pub fn set_ways(&mut self, candidates: Vec<String>) {
        if let Some(ice) = &mut self.ice {
            ice.ways = Some(candidates);
        }
    }

    /// Tries all ways anew from the next offer on (RFC 8445 §2.4).
    pub fn restart_ice(&mut self) {
        if let Some(ice) = &mut self.ice {
            ice.renew();
        }
    }

    /// Whether offers of ours say how ways are tried, from the next one on. An offer without takes them out of the
    /// session again (RFC 8839 §4.2.5); a peer that offers them is answered with them in any case.
    pub fn offer_ice(&mut self, offered: bool) {
        self.offers_ice = offered;
    }

    /// Goes back to the place that the last agreement is about, because the peer did not take another one and the old
    /// one is still ours.
    pub fn return_to_agreed_place(&mut self) {
        let Some(settled) = self.settled.clone() else {
            return;
        };
        if (self.local.address, self.local.port) != (settled.address, settled.port) {
            self.keys.renew();
        }
        (self.local.address, self.local.port) = (settled.address, settled.port);
        self.rtcp_port = settled.rtcp_port;
        self.withdraw_restart();
    }

    /// Sends with another key from the next offer or answer on.
    pub fn renew_keys(&mut self) {
        self.keys.renew();
    }

    /// Puts the other side on hold or takes it back, from the next offer or answer on.
    pub fn set_hold(&mut self, hold: bool) {
        self.hold = hold;
    }

    /// Asks for media these ways only, from the next offer or answer on: an offer names them (RFC 3264 §5.1), and an
    /// answer what of them the offer allows (§6.1). A hold takes away what we would receive (§8.4).
    pub fn set_direction(&mut self, direction: Direction) {
        self.asked = direction;
    }

    /// Moves to another address and port, from the next offer or answer on, with reports on the port after it; with other keys, for the
    /// numbers of the packets may begin anew there (RFC 4568 §7.1.4).
    pub fn set_address(&mut self, address: IpAddr, port: u16) {
        if (self.local.address, self.local.port) != (address, port) {
            self.keys.renew();
            self.context += 1;
            // RFC 8842 §4, RFC 5763 §6.6: elsewhere it is another association, unless checks lead there.
            if self
                .agreed
                .as_ref()
                .is_none_or(|agreed| agreed.ice.is_none())
                && let Some(dtls) = &mut self.dtls
            {
                dtls.renew();
            }
            // Checks that went to the old place say nothing about the new one.
            if let Some(ice) = &mut self.ice {
                ice.renew();
                ice.ways = None;
            }
        }
        (self.local.address, self.local.port) = (address, port);
        self.rtcp_port = None;
    }

    /// Tells our sockets, which stay where they are, by another address of theirs from the next offer or answer on, and by
    /// these candidates: once ways are settled, others are told no more (RFC 8839 §4.4.1.2.2). Keys and credentials stay,
    /// and the place that the last agreement is about is known by that address from now on.
    pub fn retell(
        &mut self,
        address: IpAddr,
        port: u16,
        rtcp_port: Option<u16>,
        candidates: Vec<String>,
    ) {
        let before = (self.local.address, self.local.port);
        (self.local.address, self.local.port) = (address, port);
        self.rtcp_port = rtcp_port;
        let settled = self.settled.as_mut();
        if let Some(settled) = settled.filter(|s| (s.address, s.port) == before) {
            (settled.address, settled.port, settled.rtcp_port) = (address, port, rtcp_port);
            if let Some(ice) = &mut settled.ice {
                ice.ways = Some(candidates.clone());
            }
        }
        self.set_ways(candidates);
    }

    /// Where we want to receive reports, where that is not the port after that of the media (RFC 3605); nothing when
    /// it is.
    pub fn set_rtcp_port(&mut self, port: Option<u16>) {
        self.rtcp_port = port;
    }

    /// Makes an offer: the first one, or one that changes or refreshes the session. The same
    /// state makes the same bytes; the version of `o=` rises with each change only.
    ///
    /// A codec that was agreed before is offered first, so that hold does not change it.
    pub fn offer(&mut self) -> Vec<u8> {
        let crypto = self.crypto_to_offer();
        self.offer_with(crypto)
    }

    fn offer_with(&mut self, crypto: Vec<CryptoAttribute>) -> Vec<u8> {
        self.answers_ice = self.offers_ice;
        self.tells_mismatch = false;
        self.tells_reports = true;
        self.names_association = true;
        self.reports_told = self.reports;
        let mut lines = self.lines.clone();
        // RFC 8842 §5.5: each offer leaves the roles open; the answer keeps those of a handshake that goes on.
        for line in &mut lines {
            if let Line::Audio { keying, .. } = line
                && matches!(keying, Keying::Dtls(_))
            {
                *keying = Keying::Dtls(Setup::ActPass);
            }
        }
        if !lines.iter().any(Line::is_audio) {
            lines.extend(self.first_lines());
        }
        let formats = self.formats_to_offer();
        let mut numbers = self.numbers.clone();
        numbers.assign(&formats);
        let direction = self.wish();
        let rtcp_mux = may_share_port(&numbers, &formats);
        let composed = self.compose(&lines, &numbers, &formats, direction, rtcp_mux, &crypto);
        let bytes = composed.to_bytes();
        self.was_directed |= direction != Direction::SendReceive;
        self.highest_version = self.highest_version.max(composed.version);
        self.pending = Some(Pending {
            lines,
            numbers,
            composed,
            formats,
            direction,
            crypto,
            association: self.dtls.as_ref().map(|dtls| dtls.name.clone()),
        });
        bytes
    }

    /// An offer without encryption in the place of one that was refused for it; `None` where encryption is required, or
    /// there is none anyway. From then on descriptions of ours are plain.
    pub fn offer_plainly(&mut self) -> Option<Vec<u8>> {
        match self.encryption {
            Encryption::Off | Encryption::Required => return None,
            Encryption::OptionalInOneLine | Encryption::OptionalInTwoLines => {}
        }
        self.rollback();
        self.encryption = Encryption::Off;
        Some(self.offer())
    }

    /// An offer in the place of the one that waits, after an answer that names one of our suites under the tag of another
    /// key of ours (RFC 4568 §5.1.3). Which of the two its sender goes by is not known, and it may be neither: baresip with ICE
    /// names its favourite before it has read our keys, and goes by the first of them that it knows once it has. This offer
    /// has the key of that suite alone, and the lines that the answer did not take are refused (RFC 3264 §8), so that nothing
    /// is left to mistake. The names by which ways are tried stay what they are, and so does the key.
    ///
    /// `None`, and nothing is changed, where something else is wrong with the answer, or nothing, or the offer that waits
    /// had one key only: whoever mistakes that is not asked again.
    pub fn offer_unmistakably(&mut self, answer: &[u8]) -> Option<(CryptoSuite, Vec<u8>)> {
        let answer = SessionDescription::parse(answer).ok()?;
        let pending = self.pending.as_ref()?;
        let (place, suite) = self.mistaken_key(pending, &answer)?;
        let pending = self.pending.take()?;
        self.lines = settled(pending.lines, Some(place));
        self.numbers = pending.numbers;
        self.sent = Some(pending.composed);
        let crypto = pending
            .crypto
            .into_iter()
            .filter(|ours| ours.suite == suite);
        let crypto = crypto.map(|ours| CryptoAttribute { tag: 1, ..ours });
        Some((suite, self.offer_with(crypto.collect())))
    }

    /// Withdraws the offer that waits: it was refused, or crossed with one of theirs. The session
    /// is what it was before, and the ways are tried by the names that were agreed on (RFC 8839 §4.4.1.1.1: an answer of
    /// ours must not have others unless the offer asks for it). What was set by [`Negotiator::set_hold`] stays a wish.
    pub fn rollback(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.withdrawn = Some(pending.composed);
            self.withdraw_restart();
        }
    }

    /// Takes back names that nobody has agreed to, unless we are at another place than those that were.
    fn withdraw_restart(&mut self) {
        let place = (self.local.address, self.local.port);
        let settled = self.settled.as_ref();
        let settled = settled.filter(|settled| (settled.address, settled.port) == place);
        let Some(settled) = settled else { return };
        if let (Some(ice), Some(before)) = (&mut self.ice, &settled.ice) {
            ice.take_back(before);
        }
        if let (Some(dtls), Some(before)) = (&mut self.dtls, &settled.association) {
            dtls.name.clone_from(before);
        }
    }

    fn settle(&mut self) {
        self.settled = Some(Settled {
            address: self.local.address,
            port: self.local.port,
            rtcp_port: self.rtcp_port,
            ice: self.ice.clone(),
            association: self.dtls.as_ref().map(|dtls| dtls.name.clone()),
        });
    }

    /// A key of ours that is agreed on no longer is offered no more: what goes out under it would have numbers that went
    /// out before (RFC 3711 §9.1). Of a first offer that holds for the keys that this answer did not take, too: another
    /// fork may have taken one of them, and have heard us.
    fn retire_keys(&mut self, offered: &[CryptoAttribute], now: &Negotiated) {
        let before = self.agreed.as_ref().map(|before| before.crypto.as_ref());
        let offered = offered.iter().filter(|_| before.is_none());
        let before = before.flatten().map(|before| &before.send_key);
        let in_force = now.crypto.as_ref().map(|now| &now.send_key);
        let served = before.into_iter().chain(offered.map(|ours| &ours.key));
        for key in served.filter(|key| Some(*key) != in_force) {
            self.keys.retire(key);
        }
    }

    /// Takes the answer to our offer.
    ///
    /// # Errors
    /// An unusable answer; our offer then still waits, until [`Negotiator::rollback`].
    pub fn handle_answer(&mut self, answer: &[u8]) -> Result<Negotiated, SdpError> {
        let Some(pending) = &self.pending else {
            return Err(SdpError::UnexpectedAnswer);
        };
        let answer = SessionDescription::parse(answer)?;
        let (place, negotiated) = self.read_answer(pending, &answer)?;
        self.context = self.context_with(&answer);
        self.peer_session = Some(answer.session_id().to_owned());
        if let Some(pending) = self.pending.take() {
            self.retire_keys(&pending.crypto, &negotiated);
            self.lines = settled(pending.lines, place);
            self.numbers = pending.numbers;
            self.sent = Some(pending.composed);
        }
        self.withdrawn = None;
        self.agreed = Some(negotiated.clone());
        self.settle();
        Ok(negotiated)
    }

    /// Takes an offer and makes the answer: one codec, the first of ours that they have, under
    /// their payload types, so that nothing has to be switched in the middle of a call. The same
    /// party's later offers keep the codec while they name it; another party behind the same call
    /// (a transfer by a PBX shows as a new session id) chooses anew.
    ///
    /// # Errors
    /// Glare, or an offer without anything for us; the session stays what it was.
    pub fn handle_offer(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Negotiated), SdpError> {
        if self.pending.is_some() {
            return Err(SdpError::OfferPending);
        }
        let offer = SessionDescription::parse(offer)?;
        let mut keys = self.keys.clone();
        let ours = (self.ice.clone(), self.dtls.clone());
        self.follow_restart(&offer);
        self.follow_association(&offer);
        if self.peer_session.as_deref() != Some(offer.session_id()) {
            // Whoever was there before knows the keys.
            keys.renew();
        }
        let accepted = match self.read_offer(&offer, &mut keys) {
            Ok(accepted) => accepted,
            Err(error) => {
                (self.ice, self.dtls) = ours;
                return Err(error);
            }
        };
        self.answers_ice = accepted.negotiated.ice.is_some();
        self.tells_mismatch = accepted.ice_mismatch;
        self.tells_reports = !accepted.negotiated.rtcp_mux;
        let dtls = accepted.negotiated.dtls.as_ref();
        self.names_association = dtls.is_some_and(|dtls| dtls.association.is_some());
        self.reports_told = accepted.negotiated.extended_reports;
        self.keys = keys;
        self.retire_keys(&[], &accepted.negotiated);
        self.context = self.context_with(&offer);
        self.peer_session = Some(offer.session_id().to_owned());
        let direction = accepted.negotiated.direction;
        let composed = self.compose(
            &accepted.lines,
            &accepted.numbers,
            &accepted.formats,
            direction,
            accepted.negotiated.rtcp_mux,
            accepted.crypto.as_slice(),
        );
        let bytes = composed.to_bytes();
        self.was_directed |= direction != Direction::SendReceive;
        self.highest_version = self.highest_version.max(composed.version);
        self.lines = accepted.session_lines;
        self.numbers = accepted.numbers;
        self.sent = Some(composed);
        self.withdrawn = None;
        self.agreed = Some(accepted.negotiated.clone());
        self.settle();
        Ok((bytes, accepted.negotiated))
    }

    /// Other credentials of theirs ask for other ones of ours (RFC 8445 §9).
    fn follow_restart(&mut self, offer: &SessionDescription) {
        let before = self.agreed.as_ref().and_then(|agreed| agreed.ice.as_ref());
        let Some(before) = before.map(|before| before.remote.clone()) else {
            return;
        };
        // They are a stream's (RFC 8839 §4.4.1.1.1): those of lines that we do not take are none of our business.
        let theirs = self.audio_of(offer).and_then(|audio| audio.ice());
        let restarts = theirs.is_some_and(|theirs| theirs.credentials != before);
        if let Some(ice) = self.ice.as_mut().filter(|_| restarts) {
            ice.renew();
        }
    }

    /// Another name of theirs for the association of our audio asks for another one of ours (RFC 8842 §5.3). It is said of each
    /// line (§5.1): those of lines that we do not take are none of our business. Where they name none, another party wants
    /// another one.
    fn follow_association(&mut self, offer: &SessionDescription) {
        let before = self.agreed.as_ref().and_then(|agreed| agreed.dtls.as_ref());
        let before = before.and_then(|before| before.association.as_ref());
        let Some(before) = before.map(|before| before.theirs.as_str()) else {
            return;
        };
        let theirs = self.audio_of(offer).and_then(|audio| audio.association());
        let renews = match theirs {
            Some(theirs) => theirs != before,
            None => self.peer_session.as_deref() != Some(offer.session_id()),
        };
        if let Some(dtls) = self.dtls.as_mut().filter(|_| renews) {
            dtls.renew();
        }
    }

    /// Whether an offer of ours waits for its answer.
    #[must_use]
    pub fn awaits_answer(&self) -> bool {
        self.pending.is_some()
    }

    /// What was agreed last.
    #[must_use]
    pub fn agreed(&self) -> Option<&Negotiated> {
        self.agreed.as_ref()
    }

    /// The session id of the other side (`o=`): another one is another party behind the same call.
    #[must_use]
    pub fn peer_session(&self) -> Option<&str> {
        self.peer_session.as_deref()
    }

    /// Whether we hold, or will with the next offer or answer.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.hold
    }

    /// What we have to offer.
    #[must_use]
    pub fn local(&self) -> &LocalMedia {
        &self.local
    }

    /// Our own wish, whatever the other side does: its hold is not taken over (RFC 6337 §5.3).
    fn wish(&self) -> Direction {
        Direction::new(self.asked.sends(), self.asked.receives() && !self.hold)
    }

    fn formats_to_offer(&self) -> Vec<Format> {
        let agreed = self.agreed.as_ref().map(|agreed| agreed.codec);
        let mut codecs = self.local.codecs.clone();
        codecs.sort_by_key(|codec| Some(*codec) != agreed);
        let mut formats: Vec<Format> = codecs.iter().map(|c| Format::Codec(*c)).collect();
        if self.local.telephone_event {
            // RFC 4733 §2.1: one for each clock rate among the codecs.
            for clock_rate_hz in [48_000, 8_000] {
                if codecs
                    .iter()
                    .any(|codec| codec.clock_rate_hz() == clock_rate_hz)
                {
                    formats.push(Format::Events(clock_rate_hz));
                }
            }
        }
        if self.comfort_noise && codecs.iter().any(|codec| codec.clock_rate_hz() == 8_000) {
            formats.push(Format::ComfortNoise);
        }
        formats
    }

    /// What we have, in words.
    fn wanted(&self) -> String {
        let names: Vec<&str> = self.local.codecs.iter().map(|codec| codec.name()).collect();
        let by_handshake = self.offers_dtls();
        let profile = match self.encryption {
            Encryption::Off => "RTP/AVP",
            Encryption::OptionalInOneLine | Encryption::OptionalInTwoLines if by_handshake => {
                "UDP/TLS/RTP/SAVP or RTP/AVP"
            }
            Encryption::OptionalInOneLine | Encryption::OptionalInTwoLines => "RTP/SAVP or RTP/AVP",
            Encryption::Required if by_handshake => DTLS_PROFILE,
            Encryption::Required => "RTP/SAVP",
        };
        format!("{} over {profile}", names.join(", "))
    }

    /// The audio of a first offer.
    fn first_lines(&self) -> Vec<Line> {
        let line = |protocol: &str, keying| Line::Audio {
            protocol: protocol.to_owned(),
            keying,
        };
        let (keying, secure) = if self.offers_dtls() {
            (Keying::Dtls(Setup::ActPass), DTLS_PROFILE)
        } else {
            (Keying::Sdes, "RTP/SAVP")
        };
        match self.encryption {
            Encryption::Off => vec![line("RTP/AVP", Keying::None)],
            // RFC 8643 §3.1.
            Encryption::OptionalInOneLine => vec![line("RTP/AVP", keying)],
            Encryption::OptionalInTwoLines => {
                vec![line(secure, keying), line("RTP/AVP", Keying::None)]
            }
            Encryption::Required => vec![line(secure, keying)],
        }
    }

    fn offers_dtls(&self) -> bool {
        self.dtls.as_ref().is_some_and(|dtls| dtls.offered)
    }

    /// Our keys for an offer: the suite in force first, so that a re-INVITE does not change it.
    fn crypto_to_offer(&mut self) -> Vec<CryptoAttribute> {
        if !self.encryption.may() {
            return Vec::new();
        }
        let agreed = self.agreed.as_ref().and_then(|a| a.crypto.as_ref());
        let in_force = agreed.map(|crypto| crypto.suite);
        let rest = CryptoSuite::OFFERED.into_iter();
        let rest = rest.filter(|suite| Some(*suite) != in_force);
        let suites = in_force.into_iter().chain(rest);
        let numbered = suites.zip(1..);
        let keys = &mut self.keys;
        let attributes = numbered.filter_map(|(suite, tag)| {
            Some(CryptoAttribute {
                tag,
                suite,
                key: keys.of(suite)?,
                mki: Vec::new(),
            })
        });
        attributes.collect()
    }
}

/// What an offer of ours asks for where keys come from a handshake (RFC 5764 §8).
const DTLS_PROFILE: &str = "UDP/TLS/RTP/SAVP";

/// The lines after the answer: the one it took, the others refused.
fn settled(lines: Vec<Line>, taken: Option<usize>) -> Vec<Line> {
    let Some(taken) = taken else { return lines };
    let lines = lines.into_iter().enumerate();
    let lines = lines.map(|(place, line)| match line {
        Line::Audio { protocol, .. } if place != taken => Line::Refused {
            kind: "audio".to_owned(),
            protocol,
            formats: "0".to_owned(),
        },
        line => line,
    });
    lines.collect()
}

/// What an offer came to, before it is in force.
struct Accepted {
    /// The lines of the answer: as many as the offer has.
    lines: Vec<Line>,
    /// The lines of the session from now on.
    session_lines: Vec<Line>,
    numbers: Numbers,
    formats: Vec<Format>,
    negotiated: Negotiated,
    /// Their candidates are not for the address beside them.
    ice_mismatch: bool,
    /// Our `a=crypto`, where they are to be encrypted.
    crypto: Option<CryptoAttribute>,
}
