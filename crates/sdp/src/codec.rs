//! The codecs we can name in a description, and the formats that others name.

/// A codec this phone speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus (RFC 7587): always `opus/48000/2`, whatever is encoded.
    Opus,
    /// G.722 (RFC 3551 §4.5.2), payload type 9: always `G722/8000`, though it is sampled at 16 kHz.
    G722,
    /// G.711 µ-law (RFC 3551), payload type 0.
    Pcmu,
    /// G.711 A-law (RFC 3551), payload type 8.
    Pcma,
}

impl Codec {
    /// Every codec, best first.
    pub const ALL: [Self; 4] = [Self::Opus, Self::G722, Self::Pcmu, Self::Pcma];

    /// The encoding name of `a=rtpmap`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::G722 => "G722",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// From an encoding name in any case, as in settings.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Clock rate of its RTP timestamps.
    #[must_use]
    pub fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::G722 | Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    /// Its payload type where RFC 3551 assigns one.
    #[must_use]
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Opus => None,
            Self::G722 => Some(9),
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
        }
    }

    /// The value of `a=rtpmap` behind the payload type.
    pub(crate) fn encoding(self) -> &'static str {
        match self {
            Self::Opus => "opus/48000/2",
            Self::G722 => "G722/8000",
            Self::Pcmu => "PCMU/8000",
            Self::Pcma => "PCMA/8000",
        }
    }

    /// The packet time to send where `wanted_ms` is asked for: one that every decoder knows.
    pub(crate) fn packet_time_ms(self, wanted_ms: u32, longest_ms: Option<u32>) -> u32 {
        let times: &[u32] = match self {
            Self::Opus => &[60, 40, 20, 10],
            Self::G722 | Self::Pcmu | Self::Pcma => &[60, 50, 40, 30, 20, 10],
        };
        let limit = wanted_ms.min(longest_ms.unwrap_or(u32::MAX));
        times
            .iter()
            .copied()
            .find(|time| *time <= limit)
            .unwrap_or(10)
    }
}

/// Whether RTP under this payload type can be taken for RTCP where both share a port: with the marker, 64 to 95 read as the packet
/// types 192 to 223, and so must not be used there (RFC 5761 §4).
pub(crate) fn reads_as_rtcp(payload_type: u8) -> bool {
    (64..=95).contains(&payload_type)
}

/// The clocks of audio that telephone events are taken on: theirs is that of the audio that they go with (RFC 4733 §2.1).
const EVENT_CLOCKS_HZ: [u32; 5] = [8_000, 16_000, 32_000, 44_100, 48_000];

/// One format of an audio line: a payload type and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatMap {
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The encoding name as its author wrote it; empty where nothing tells what a dynamic payload
    /// type means.
    pub name: String,
    /// Clock rate in hertz.
    pub clock_rate_hz: u32,
    /// Channels, 1 where nothing is said.
    pub channels: u32,
    /// The value of `a=fmtp` behind the payload type.
    pub parameters: Option<String>,
}

impl FormatMap {
    /// The codec of ours that this is.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        let codec = Codec::from_name(&self.name)?;
        let fits = match codec {
            // RFC 7587 §7 fixes two channels; a peer that forgets them means the same.
            Codec::Opus => self.channels <= 2,
            Codec::G722 | Codec::Pcmu | Codec::Pcma => self.channels == 1,
        };
        // Who writes the true rate of G.722 counts its timestamps in 8000 all the same.
        let usual = self.clock_rate_hz == codec.clock_rate_hz();
        let honest = codec == Codec::G722 && self.clock_rate_hz == 16_000;
        (fits && (usual || honest)).then_some(codec)
    }

    /// Whether these are telephone events (RFC 4733), on a clock that audio has.
    #[must_use]
    pub fn is_telephone_event(&self) -> bool {
        let known = EVENT_CLOCKS_HZ.contains(&self.clock_rate_hz);
        known && self.name.eq_ignore_ascii_case("telephone-event")
    }

    /// Whether this is comfort noise beside codecs whose timestamps count in 8000 (RFC 3389 §5).
    #[must_use]
    pub fn is_comfort_noise(&self) -> bool {
        self.name.eq_ignore_ascii_case("CN") && self.clock_rate_hz == 8_000 && self.channels == 1
    }

    /// From `a=rtpmap`'s value behind the payload type. None when it is malformed.
    pub(crate) fn parse(payload_type: u8, encoding: &str) -> Option<Self> {
        let mut parts = encoding.trim().split('/').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let clock_rate_hz = parts.next()?.parse().ok().filter(|rate| *rate > 0)?;
        let channels = match parts.next() {
            Some(channels) => channels.parse().ok().filter(|n| *n > 0)?,
            None => 1,
        };
        Some(Self {
            payload_type,
            name: name.to_owned(),
            clock_rate_hz,
            channels,
            parameters: None,
        })
    }

    /// What a payload type means without `a=rtpmap` (RFC 3551 §6, table 4).
    pub(crate) fn without_map(payload_type: u8) -> Self {
        let (name, clock_rate_hz, channels) = match payload_type {
            0 => ("PCMU", 8_000, 1),
            3 => ("GSM", 8_000, 1),
            4 => ("G723", 8_000, 1),
            5 => ("DVI4", 8_000, 1),
            6 => ("DVI4", 16_000, 1),
            7 => ("LPC", 8_000, 1),
            8 => ("PCMA", 8_000, 1),
            9 => ("G722", 8_000, 1),
            10 => ("L16", 44_100, 2),
            11 => ("L16", 44_100, 1),
            12 => ("QCELP", 8_000, 1),
            13 => ("CN", 8_000, 1),
            14 => ("MPA", 90_000, 1),
            15 => ("G728", 8_000, 1),
            16 => ("DVI4", 11_025, 1),
            17 => ("DVI4", 22_050, 1),
            18 => ("G729", 8_000, 1),
            _ => ("", 0, 1),
        };
        Self {
            payload_type,
            name: name.to_owned(),
            clock_rate_hz,
            channels,
            parameters: None,
        }
    }
}
