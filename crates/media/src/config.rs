//! What a stream is told: where to, which codec, what goes in and what comes out.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use codecs::{CodecKind, EncoderOptions};
use rtp::srtp::Security;

/// The negotiated codec with its payload types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec {
    /// Which codec.
    pub kind: CodecKind,
    /// The type that the peer wants to see.
    pub send_payload_type: u8,
    /// The type that the peer sends.
    pub receive_payload_type: u8,
}

impl Codec {
    /// A codec with the same payload type both ways.
    #[must_use]
    pub fn new(kind: CodecKind, payload_type: u8) -> Self {
        Self {
            kind,
            send_payload_type: payload_type,
            receive_payload_type: payload_type,
        }
    }
}

/// Negotiated telephone events (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// The type that the peer wants to see.
    pub send_payload_type: u8,
    /// The type that the peer sends.
    pub receive_payload_type: u8,
    /// The clock their durations count in.
    pub clock_rate_hz: u32,
}

/// Payload types that are looked at beyond the agreed ones: there are four codecs, and as many clocks.
pub const MOST_RECEIVED: usize = 8;

/// A codec that the peer may send, by its payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedCodec {
    /// The type that the peer sends.
    pub payload_type: u8,
    /// What it means; the clock of its timestamps is the codec's.
    pub kind: CodecKind,
}

/// Telephone events that the peer may send, by their payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedEvents {
    /// The type that the peer sends.
    pub payload_type: u8,
    /// The clock their durations count in.
    pub clock_rate_hz: u32,
}

/// What the peer says about the Opus that it wants to get (RFC 7587 §6.1, §7). It is a receiver's word: it binds what we
/// send, and says nothing about what comes. That a peer could play two channels (`stereo`) is of no use to a telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusWishes {
    /// No more than this on average, in bits per second.
    pub most_bps: Option<u32>,
    /// It plays at this rate, in hertz: more would not be heard.
    pub playback_rate_hz: u32,
    /// Copies for what may be lost help it. Where they do not, their bits go into the speech.
    pub fec: bool,
    /// It would rather get nothing in silence.
    pub dtx: bool,
    /// It would rather get packets of one length.
    pub constant_bit_rate: bool,
}

impl Default for OpusWishes {
    /// Nothing but what we want ourselves.
    fn default() -> Self {
        Self {
            most_bps: None,
            playback_rate_hz: 48_000,
            fec: true,
            dtx: false,
            constant_bit_rate: false,
        }
    }
}

impl OpusWishes {
    /// How to encode for this peer, where we would like to do it like `ours`: the lower of the rates, silence left out where
    /// either wants that, copies where both do.
    #[must_use]
    pub fn with(self, ours: EncoderOptions) -> EncoderOptions {
        let most = self.most_bps.unwrap_or(u32::MAX);
        EncoderOptions {
            bitrate_bps: ours.bitrate_bps.min(most),
            playback_rate_hz: ours.playback_rate_hz.min(self.playback_rate_hz),
            fec: ours.fec && self.fec,
            dtx: ours.dtx || self.dtx,
            constant_bit_rate: ours.constant_bit_rate || self.constant_bit_rate,
            ..ours
        }
    }
}

/// A handshake on the stream's own path that makes the keys of an encrypted stream (RFC 5764). Until it is done
/// nothing is sent and nothing is heard.
///
/// Where reports have a port of their own they have a handshake of their own there, with the same certificates and roles
/// and with keys for nothing else (RFC 5764 §4.2). Speech does not wait for it, and goes on without reports where it
/// comes to nothing ([`StreamEvent::ReportsNotSecured`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtls {
    /// What we show.
    pub certificate: dtls::Certificate,
    /// Who the other side has to be.
    pub peer: dtls::Peer,
    /// Which association is meant, where both sides name it: their names for it (RFC 8842 §4). It goes on for as long as they
    /// stay; without names it goes on where the peer and we stay.
    pub association: Option<Association>,
}

/// What both sides call one association of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// By which we call it.
    pub ours: String,
    /// By which the other side does.
    pub theirs: String,
}

impl Dtls {
    /// Whether `now` wants another handshake than this; `moved` is whether somebody has moved without checks that lead there
    /// (RFC 5763 §6.6).
    pub(crate) fn ends_with(&self, now: &Self, moved: bool) -> bool {
        if !self.is_with(now) {
            return true;
        }
        match (&self.association, &now.association) {
            (Some(before), Some(now)) => before != now,
            _ => moved,
        }
    }

    /// Whether both sides show the same certificates in the same roles: the keys of before are good until there are others.
    #[must_use]
    pub fn is_with(&self, now: &Self) -> bool {
        (&self.certificate, &self.peer) == (&now.certificate, &now.peer)
    }
}

/// Extended reports (RFC 3611) that the peer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtendedReports {
    /// How we hear it.
    pub metrics: bool,
    /// The round trip without sending: our clock, and answers to its own.
    pub round_trip: bool,
}

/// What offer and answer decide, and what a re-INVITE may change. Given whole each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamParameters {
    /// The peer's announced RTP address; `None` while unknown, and nothing is sent then unless media comes
    /// from somewhere.
    pub remote: Option<SocketAddr>,
    /// Where the signalling comes from. A peer behind a router announces an address that leads nowhere: who speaks from here
    /// is believed before others are, who could be anybody.
    pub signalling: Option<IpAddr>,
    /// The peer's announced RTCP address; `None` means the port after `remote`.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// The codec in use. It is what we send for as long as these parameters hold.
    pub codec: Codec,
    /// What the peer may send besides, without a word and at any time: whoever has agreed on several formats "MUST be
    /// prepared to receive" each of them (RFC 3264 §6.1, §7). We follow it in what we hear and not in what we send: an
    /// answer has its formats in the order of preference, and the first is the one to send (§6.1). Some gateways send back
    /// what they get; to follow such a one would be to follow ourselves. Beyond [`MOST_RECEIVED`] with the agreed one none
    /// counts.
    pub further_codecs: Vec<ReceivedCodec>,
    /// How the peer wants its Opus. A re-INVITE that changes this changes it from the next packet on.
    pub opus: OpusWishes,
    /// Telephone events, where negotiated. Without them digits are sent as tones in the speech.
    pub telephone_event: Option<TelephoneEvent>,
    /// The same on other clocks, for the codecs that have them (RFC 4733 §2.1). Only where there are the agreed ones; beyond
    /// [`MOST_RECEIVED`] with those none counts.
    pub further_events: Vec<ReceivedEvents>,
    /// How much speech a packet carries: 10, 20, 30, 40 or 60 ms (30 is 20 with Opus).
    pub ptime_ms: u32,
    /// While nothing is said nothing is sent, and what the silence sounds like is told with this payload type (RFC 3389).
    /// For G.711 and G.722; Opus has [`EncoderOptions::dtx`] instead. What the peer tells is heard in any case.
    pub comfort_noise: Option<u8>,
    /// Every packet is sent twice, 10 ms apart, for networks that lose much. Who hears both counts one of them.
    pub twice: bool,
    /// We send. False while we are on hold by the peer's wish, or hold with `inactive`.
    pub send: bool,
    /// We hear. False while we hold the peer.
    pub receive: bool,
    /// With keys everything is sent encrypted, and what comes and is not is dropped. A key that stays the
    /// same goes on; another one takes over with the next packet.
    pub security: Option<Security>,
    /// With this the keys come from a handshake, and `security` is not looked at. The same one again goes on with its
    /// keys; another one begins anew. Without [`rtcp_mux`](Self::rtcp_mux) there is a second one for the reports, which
    /// begins when they leave the port of the media and ends when they come back to it.
    pub dtls: Option<Dtls>,
    /// With this the way to the peer is found by ICE, and nothing is sent before. Where none is found,
    /// [`remote`](Self::remote) is as good as any, but only for a peer that has never answered: one that has is sent
    /// nothing until it does again. Reports have a way of their own where they do not share the port.
    pub ice: Option<nat::ice::Session>,
    /// What our reports have beyond what all reports have. What the peer's have is read in any case.
    pub extended_reports: ExtendedReports,
}

impl StreamParameters {
    /// Both ways, 20 ms, nothing known about the peer.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self {
            remote: None,
            signalling: None,
            remote_rtcp: None,
            rtcp_mux: false,
            codec,
            further_codecs: Vec::new(),
            opus: OpusWishes::default(),
            telephone_event: None,
            further_events: Vec::new(),
            ptime_ms: 20,
            comfort_noise: None,
            twice: false,
            send: true,
            receive: true,
            security: None,
            dtls: None,
            ice: None,
            extended_reports: ExtendedReports::default(),
        }
    }

    /// Keys come from a handshake, and reports have one of their own.
    pub(crate) fn has_reports_apart(&self) -> bool {
        self.dtls.is_some() && !self.rtcp_mux
    }

    /// Where the peer takes reports that have a port of their own: where it says, else at the port after that of its media
    /// (RFC 3550 §11). None where it takes no media at all.
    pub(crate) fn reports_at(&self) -> Option<SocketAddr> {
        let remote = self.remote.filter(|to| is_reachable(*to))?;
        let reports = self.remote_rtcp.unwrap_or_else(|| next_port(remote));
        Some(reports).filter(|to| is_reachable(*to))
    }
}

/// 0.0.0.0 and port 0 mean "nowhere" in SDP (RFC 3264 §8.4).
pub(crate) fn is_reachable(to: SocketAddr) -> bool {
    !to.ip().is_unspecified() && to.port() != 0
}

pub(crate) fn next_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().saturating_add(1))
}

/// The sockets at one address.
#[derive(Debug)]
pub struct Place {
    /// For RTP, bound.
    pub socket: UdpSocket,
    /// For RTCP, bound; `None` when that shares the other.
    pub rtcp_socket: Option<UdpSocket>,
    /// An address at a relay that was asked for from the RTP socket.
    pub relay: Option<nat::turn::Client>,
    /// One that was asked for from the RTCP socket.
    pub rtcp_relay: Option<nat::turn::Client>,
}

/// Everything a stream begins with.
#[derive(Debug)]
pub struct StreamConfig {
    /// The RTP socket, bound. The stream owns it from here on.
    pub socket: UdpSocket,
    /// The RTCP socket, bound; `None` when RTCP shares the RTP socket.
    pub rtcp_socket: Option<UdpSocket>,
    /// What offer and answer decided.
    pub parameters: StreamParameters,
    /// An address at a relay that was asked for from this socket, for the stream to keep and to give back. Everything
    /// goes through it unless ICE finds a better way.
    pub relay: Option<nat::turn::Client>,
    /// The same for the RTCP socket, where reports may need a way of their own.
    pub rtcp_relay: Option<nat::turn::Client>,
    /// Sockets at other addresses of ours, from which ICE may find a way. To ICE the RTP socket of the stream is number 0
    /// and its RTCP socket 1; those of the first place in here are 2 and 3, and so on. Beyond [`MOST_PLACES`] addresses
    /// none counts.
    ///
    /// [`MOST_PLACES`]: crate::socket::MOST_PLACES
    pub further: Vec<Place>,
    /// Our source identifier, drawn at random by the caller (RFC 3550 §8.1).
    pub ssrc: u32,
    /// A random number, for the first sequence number and timestamp and the spread of the reports.
    pub seed: u64,
    /// Our canonical name, the same for a whole call (RFC 3550 §6.5.1). Not a user's name.
    pub cname: String,
    /// How we would like to encode; what the peer wishes limits it ([`StreamParameters::opus`]).
    pub encoder: EncoderOptions,
    /// What is said.
    pub source: Source,
    /// Where to what is heard goes.
    pub sink: Sink,
    /// Whether nothing of the source is sent from the first packet on ([`StreamHandle::set_muted`]).
    ///
    /// [`StreamHandle::set_muted`]: crate::StreamHandle::set_muted
    pub muted: bool,
}

impl StreamConfig {
    /// A stream from the microphone to the speaker, with the defaults for the rest.
    ///
    /// `random` is where source identifier, numbers and name come from: a fresh random number for each.
    #[must_use]
    pub fn new(socket: UdpSocket, parameters: StreamParameters, random: u64) -> Self {
        let spread = random.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            socket,
            rtcp_socket: None,
            parameters,
            relay: None,
            rtcp_relay: None,
            further: Vec::new(),
            ssrc: (spread >> 32) as u32,
            seed: spread.rotate_left(29) ^ random,
            cname: format!("{:016x}", spread.rotate_left(17)),
            encoder: EncoderOptions::default(),
            source: Source::Microphone,
            sink: Sink::Speaker,
            muted: false,
        }
    }
}

/// What a stream says.
#[derive(Clone, Debug)]
pub enum Source {
    /// The capture device; silence while none is attached.
    Microphone,
    /// Samples at 48 kHz, as [`crate::wav::load`] makes them. Silence afterwards unless looped.
    File {
        /// What is played.
        samples: Arc<[f32]>,
        /// From the start again at the end.
        looped: bool,
    },
    /// A sine of a quarter of full scale.
    Tone {
        /// Its frequency.
        hz: f32,
    },
    /// Packets of silence.
    Silence,
    /// What was heard goes back.
    Echo,
}

/// What is said in place of a stream's source for a while.
#[derive(Clone, Debug)]
pub struct Instead {
    /// What.
    pub source: Source,
    /// A number for it, which [`StreamEvent::Said`] tells again.
    pub number: u64,
    /// Whether the others of its conference are kept from the peer, too: it is on hold.
    pub alone: bool,
}

/// Where to what a stream hears goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// The playout device, mixed with the other streams.
    Speaker,
    /// A file, mono, at the codec's rate, written by another thread: Ogg Opus where its name ends with `.opus`, WAV
    /// otherwise.
    Record(PathBuf),
    /// Both.
    RecordAndSpeaker(PathBuf),
    /// Nowhere; it is decoded and counted all the same.
    Discard,
}

/// Which ways are used, once no others are needed any more (RFC 8445 §8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Of the search: a later one makes this worthless.
    pub(crate) search: u64,
    /// That of the media.
    pub media: nat::ice::Way,
    /// That of the reports, where they have one of their own.
    pub reports: Option<nat::ice::Way>,
}

impl Settled {
    pub(crate) fn of(search: u64, agent: &nat::ice::Agent) -> Option<Self> {
        Some(Self {
            search,
            media: agent.selected()?,
            reports: agent.selected_for(nat::ice::Component::Reports),
        })
    }

    /// Whether one of them leads through the relay of this socket.
    #[must_use]
    pub fn needs_relay_of(&self, socket: u8) -> bool {
        let ways = [Some(self.media), self.reports];
        let mut ways = ways.into_iter().flatten();
        ways.any(|way| way.relayed && way.socket == socket)
    }
}

/// What a stream has to tell, besides its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The peer pressed a key.
    Dtmf {
        /// Which: 0–9, `*`, `#`, A–D.
        digit: char,
        /// How long it was held.
        duration: Duration,
    },
    /// The first of a digit of ours has gone out: 0–9, `*`, `#`, A–D. One that is
    /// [taken back](crate::StreamHandle::drop_dtmf) while it waits is not told.
    DigitSent(char),
    /// The first packet that counts was heard.
    FirstPacket {
        /// Where it came from.
        from: SocketAddr,
    },
    /// Packets now go to where they come from instead of to the announced address.
    PeerMoved {
        /// What was announced.
        announced: Option<SocketAddr>,
        /// Where media goes now.
        actual: SocketAddr,
    },
    /// Ways were tried, and this is the one that works; none means that no way has ever answered, and media goes where
    /// the description says.
    WayFound(Option<nat::ice::Way>),
    /// The peer has not answered for half a minute on the way that was found: nothing is sent until one is found again
    /// by a restart (RFC 7675 §5.1).
    WayLost,
    /// The ways of a restart were tried, and none has answered: still nothing is sent.
    NoWay,
    /// The ways of a restart were tried, and none has answered; the one before does, and is used on.
    WayKept(nat::ice::Way),
    /// It is settled which ways are used, and the peer has had the time to see it, too. What other addresses at relays
    /// there are may be given back ([`StreamHandle::keep_relays`](crate::StreamHandle::keep_relays)).
    WaysSettled(Settled),
    /// The relay does not carry packets to this peer.
    RelayRefuses(SocketAddr, nat::turn::Refusal),
    /// The address that this socket had at a relay is gone, numbered as in [`nat::ice::Way::socket`]. What went through it
    /// goes nowhere until the stream has other sockets ([`StreamHandle::move_to`](crate::StreamHandle::move_to)) or another
    /// way.
    RelayLost(u8, nat::turn::Refusal),
    /// A handshake made keys with the right peer: from here on there is sound.
    Secured(dtls::Profile),
    /// A handshake came to nothing: there will be no sound.
    NotSecured(dtls::Failure),
    /// What was said in place of the source, by its number, came to its end, and the source goes on.
    Said(u64),
    /// The handshake on the port of the reports came to nothing: none will come or go, and the speech goes on.
    ReportsNotSecured(dtls::Failure),
    /// The key that was agreed on for what we send has served in this stream before: nothing is sent, encrypted or plain,
    /// until another is agreed on (RFC 3711 §9.1).
    KeyServedBefore,
    /// A recording ended early; the call goes on. What was written can be played.
    RecordingEnded {
        /// Which: the file that was asked for.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The stream met a fault and is dead; the others are not.
    Failed,
}
