//! One media line, seen as audio.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Media, Session};

use crate::codec::FormatMap;
use crate::crypto::{self, CryptoAttribute};
use crate::direction::Direction;
use crate::error::SdpError;
use crate::fingerprint::{self, Fingerprint, Setup};
use crate::ice::{self, IceCredentials, TheirIce};
use crate::reports::ExtendedReports;

/// The values of the attributes of one name.
fn values<'a>(
    attributes: &'a [Attribute],
    name: &'static str,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let named = attributes
        .iter()
        .filter(move |a| a.attribute.eq_ignore_ascii_case(name));
    named.filter_map(|a| a.value.as_deref())
}

/// The transport profile of a media line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// RTP/AVP: plain RTP (RFC 3551).
    Avp,
    /// RTP/AVPF: plain RTP with feedback (RFC 4585).
    Avpf,
    /// Anything that needs keys: RTP/SAVP, RTP/SAVPF and both over DTLS.
    Secure(String),
    /// Anything else.
    Other(String),
}

impl Protocol {
    /// From the field of the media line, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let upper = name.to_ascii_uppercase();
        match upper.as_str() {
            "RTP/AVP" => Self::Avp,
            "RTP/AVPF" => Self::Avpf,
            _ if upper.ends_with("/SAVP") || upper.ends_with("/SAVPF") => {
                Self::Secure(name.to_owned())
            }
            _ => Self::Other(name.to_owned()),
        }
    }

    /// The field of the media line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Avpf => "RTP/AVPF",
            Self::Secure(name) | Self::Other(name) => name,
        }
    }

    /// Whether it is RTP with keys by `a=crypto` (RFC 4568, RFC 5124), which we speak. RTP over DTLS is not.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        let Self::Secure(name) = self else {
            return false;
        };
        ["RTP/SAVP", "RTP/SAVPF"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether it is RTP with keys by a DTLS handshake (RFC 5764 §8), which we speak.
    #[must_use]
    pub fn is_dtls(&self) -> bool {
        let Self::Secure(name) = self else {
            return false;
        };
        ["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether it is plain RTP, which we speak.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Avp | Self::Avpf)
    }
}

/// What the other side says about the Opus it wants to receive (RFC 7587 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusParameters {
    /// Highest rate worth sending, in hertz.
    pub max_playback_rate_hz: u32,
    /// Highest average bit rate it wants.
    pub max_average_bits_per_second: Option<u32>,
    /// Whether in-band FEC helps it.
    pub in_band_fec: bool,
    /// Whether it prefers discontinuous transmission.
    pub dtx: bool,
    /// Whether it prefers a constant bit rate.
    pub constant_bit_rate: bool,
}

impl Default for OpusParameters {
    /// What holds when nothing is said.
    fn default() -> Self {
        Self {
            max_playback_rate_hz: 48_000,
            max_average_bits_per_second: None,
            in_band_fec: false,
            dtx: false,
            constant_bit_rate: false,
        }
    }
}

impl OpusParameters {
    /// Reads the value of `a=fmtp`; what is malformed counts as not said.
    #[must_use]
    pub fn parse(parameters: &str) -> Self {
        let mut read = Self::default();
        for parameter in parameters.split(';') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "maxplaybackrate" => {
                    let rate = value.parse().unwrap_or(48_000);
                    read.max_playback_rate_hz = u32::clamp(rate, 8_000, 48_000);
                }
                "maxaveragebitrate" => {
                    let rate = value.parse::<u32>().ok();
                    read.max_average_bits_per_second = rate.map(|r| r.clamp(6_000, 510_000));
                }
                "useinbandfec" => read.in_band_fec = value == "1",
                "usedtx" => read.dtx = value == "1",
                "cbr" => read.constant_bit_rate = value == "1",
                _ => {}
            }
        }
        read
    }
}

/// One media line with what it inherits from its session.
#[derive(Clone, Copy)]
pub struct MediaView<'a> {
    session: &'a Session,
    media: &'a Media,
}

/// What kind it is and where it goes: its attributes have keys.
impl fmt::Debug for MediaView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaView")
            .field("kind", &self.kind())
            .field("port", &self.port())
            .field("protocol", &self.protocol())
            .field("formats", &self.format_list())
            .finish_non_exhaustive()
    }
}

impl<'a> MediaView<'a> {
    pub(crate) fn new(session: &'a Session, media: &'a Media) -> Self {
        Self { session, media }
    }

    /// The media type: "audio", "video", "image" …
    #[must_use]
    pub fn kind(&self) -> &'a str {
        &self.media.media
    }

    /// Whether this is audio.
    #[must_use]
    pub fn is_audio(&self) -> bool {
        self.media.media.eq_ignore_ascii_case("audio")
    }

    /// The port; 0 is a refused or ended line.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.media.port
    }

    /// The transport profile.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        Protocol::parse(&self.media.proto)
    }

    /// The transport profile as written.
    #[must_use]
    pub fn protocol_name(&self) -> &'a str {
        &self.media.proto
    }

    /// The formats as written.
    #[must_use]
    pub fn format_list(&self) -> &'a str {
        &self.media.fmt
    }

    /// The formats with their meaning, in the author's order of preference, each once.
    #[must_use]
    pub fn formats(&self) -> Vec<FormatMap> {
        let mut formats: Vec<FormatMap> = Vec::new();
        for number in self.media.fmt.split_whitespace() {
            let Some(payload_type) = number.parse().ok().filter(|pt| *pt <= 127u8) else {
                continue;
            };
            if formats.iter().any(|f| f.payload_type == payload_type) {
                continue;
            }
            let map = self.parameter_of("rtpmap", payload_type);
            let mut format = map
                .and_then(|encoding| FormatMap::parse(payload_type, encoding))
                .unwrap_or_else(|| FormatMap::without_map(payload_type));
            format.parameters = self.parameter_of("fmtp", payload_type).map(str::to_owned);
            formats.push(format);
        }
        formats
    }

    /// Which way media flows, as the author states it; its own line goes before the session's.
    #[must_use]
    pub fn direction(&self) -> Direction {
        let stated = |attributes: &[Attribute]| {
            let plain = attributes.iter().filter(|a| a.value.is_none());
            plain.filter_map(|a| Direction::parse(&a.attribute)).next()
        };
        stated(&self.media.attributes)
            .or_else(|| stated(&self.session.attributes))
            .unwrap_or_default()
    }

    /// Where its author wants to receive RTP: the line's own `c=` goes before the session's.
    ///
    /// # Errors
    /// [`SdpError::UnusableAddress`]: none, a host name, or an address for many receivers.
    pub fn address(&self) -> Result<SocketAddr, SdpError> {
        let connection = self
            .media
            .connections
            .first()
            .or(self.session.connection.as_ref());
        let Some(connection) = connection else {
            return Err(SdpError::UnusableAddress("no c= line".to_owned()));
        };
        let text = connection.connection_address.trim();
        // Brackets are no syntax of SDP, but some peers write them around IPv6.
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let Ok(ip) = bare.parse::<IpAddr>() else {
            return Err(SdpError::UnusableAddress(text.to_owned()));
        };
        if is_for_many(ip) {
            return Err(SdpError::UnusableAddress(text.to_owned()));
        }
        Ok(SocketAddr::new(ip, self.media.port))
    }

    /// Where its author wants to receive RTCP: `a=rtcp` (RFC 3605), else the next port. An address there that is nobody's or
    /// for many, or of another kind than that of the media, counts for nothing; its port does.
    #[must_use]
    pub fn rtcp_address(&self) -> Option<SocketAddr> {
        let rtp = self.address().ok()?;
        let Some(value) = self.attribute("rtcp") else {
            return Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
        };
        let mut fields = value.split_whitespace();
        let port = fields
            .next()?
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)?;
        let ip = fields.nth(2).and_then(|ip| ip.parse::<IpAddr>().ok());
        let ip = ip.filter(|ip| !is_for_many(*ip) && !ip.is_unspecified());
        let ip = ip.filter(|ip| ip.is_ipv4() == rtp.is_ipv4());
        Some(SocketAddr::new(ip.unwrap_or(rtp.ip()), port))
    }

    /// Whether RTCP may share the RTP port (RFC 5761).
    #[must_use]
    pub fn rtcp_mux(&self) -> bool {
        self.media
            .attributes
            .iter()
            .any(|a| a.attribute.eq_ignore_ascii_case("rtcp-mux"))
    }

    /// The extended reports that its author asks for (RFC 3611 §5.1); the line's own word goes before the session's.
    #[must_use]
    pub fn extended_reports(&self) -> ExtendedReports {
        let own = values(&self.media.attributes, "rtcp-xr").next();
        let of_session = || values(&self.session.attributes, "rtcp-xr").next();
        own.or_else(of_session)
            .map_or_else(ExtendedReports::default, ExtendedReports::parse)
    }

    /// The usable `a=crypto` of the line, in its author's order of preference.
    #[must_use]
    pub fn crypto(&self) -> Vec<CryptoAttribute> {
        crypto::attributes(self.crypto_values())
    }

    /// Whether the line has any `a=crypto`, usable or not.
    #[must_use]
    pub fn has_crypto(&self) -> bool {
        self.crypto_values().next().is_some()
    }

    fn crypto_values(&self) -> impl Iterator<Item = &'a str> {
        values(&self.media.attributes, "crypto")
    }

    /// The usable fingerprints of its author's certificates: the line's own go before the session's
    /// (RFC 8122 §5).
    #[must_use]
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let own = values(&self.media.attributes, "fingerprint");
        let found = fingerprint::fingerprints(own);
        if !found.is_empty() || self.attribute("fingerprint").is_some() {
            return found;
        }
        fingerprint::fingerprints(values(&self.session.attributes, "fingerprint"))
    }

    /// Whether it has any fingerprint, usable or not.
    #[must_use]
    pub fn has_fingerprint(&self) -> bool {
        let both = [&self.media.attributes, &self.session.attributes];
        both.into_iter()
            .any(|attributes| values(attributes, "fingerprint").next().is_some())
    }

    /// What its author calls the association whose keys are meant (`a=tls-id`, RFC 8842 §5.1).
    #[must_use]
    pub fn association(&self) -> Option<&'a str> {
        let name = values(&self.media.attributes, "tls-id").next();
        name.and_then(fingerprint::association_name)
    }

    /// Who begins the handshake; the line's own word goes before the session's.
    #[must_use]
    pub fn setup(&self) -> Option<Setup> {
        let own = values(&self.media.attributes, "setup").next();
        let of_session = || values(&self.session.attributes, "setup").next();
        own.or_else(of_session).and_then(Setup::parse)
    }

    /// What its author says about ICE, if it is enough to go by; the line's own credentials go before the session's.
    pub(crate) fn ice(&self) -> Option<TheirIce> {
        let of = |name| {
            let own = values(&self.media.attributes, name).next();
            own.or_else(|| values(&self.session.attributes, name).next())
        };
        let credentials = IceCredentials::parse(of("ice-ufrag")?, of("ice-pwd")?)?;
        let lite = |a: &Attribute| a.attribute.eq_ignore_ascii_case("ice-lite");
        let candidates = ice::candidates(values(&self.media.attributes, "candidate"));
        let told = self.address().ok();
        Some(TheirIce {
            credentials,
            mismatch: told.is_some_and(|told| ice::leaves_out(&candidates, told)),
            candidates,
            lite: self.session.attributes.iter().any(lite),
        })
    }

    /// Whether its author has found that its own description of ICE does not fit to the address that came with it
    /// (RFC 8839 §5.5).
    pub(crate) fn tells_ice_mismatch(&self) -> bool {
        let is_told = |a: &Attribute| a.attribute.eq_ignore_ascii_case("ice-mismatch");
        self.media.attributes.iter().any(is_told)
    }

    /// Packet time its author wants to receive.
    #[must_use]
    pub fn ptime_ms(&self) -> Option<u32> {
        self.milliseconds("ptime")
    }

    /// Longest packet time its author accepts.
    #[must_use]
    pub fn maxptime_ms(&self) -> Option<u32> {
        self.milliseconds("maxptime")
    }

    /// The bandwidth its author wants to receive at most (`b=TIAS` or `b=AS`), the line's own
    /// before the session's.
    #[must_use]
    pub fn bandwidth_bits_per_second(&self) -> Option<u64> {
        let both = [&self.media.bandwidths, &self.session.bandwidths];
        both.into_iter().find_map(|lines| {
            let of = |kind: &str| lines.iter().find(|b| b.bwtype.eq_ignore_ascii_case(kind));
            let exact = of("TIAS").map(|b| b.bandwidth);
            exact.or_else(|| of("AS").map(|b| b.bandwidth.saturating_mul(1_000)))
        })
    }

    /// The value of an attribute of the line itself.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        let mut named = self.media.attributes.iter();
        let found = named.find(|a| a.attribute.eq_ignore_ascii_case(name))?;
        found.value.as_deref()
    }

    /// Its codecs in words, with the profile where that is not plain: "opus, PCMU",
    /// "RTP/SAVP with PCMU".
    #[must_use]
    pub fn summary(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for format in self.formats() {
            let hidden = format.is_telephone_event() || format.name.eq_ignore_ascii_case("CN");
            let name = match (hidden, format.name.is_empty()) {
                (true, _) => continue,
                (_, true) => format!("payload type {}", format.payload_type),
                _ => format
                    .codec()
                    .map_or(format.name, |codec| codec.name().to_owned()),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let names = if names.is_empty() {
            "no codec".to_owned()
        } else {
            names.join(", ")
        };
        match self.protocol() {
            Protocol::Secure(profile) | Protocol::Other(profile) => {
                format!("{profile} with {names}")
            }
            Protocol::Avp | Protocol::Avpf => names,
        }
    }

    fn parameter_of(&self, name: &str, payload_type: u8) -> Option<&'a str> {
        let named = self.media.attributes.iter();
        let mut named = named.filter(|a| a.attribute.eq_ignore_ascii_case(name));
        named.find_map(|attribute| {
            let (number, rest) = attribute
                .value
                .as_deref()?
                .trim()
                .split_once(char::is_whitespace)?;
            (number.parse() == Ok(payload_type)).then_some(rest.trim())
        })
    }

    fn milliseconds(&self, name: &str) -> Option<u32> {
        let value = self.attribute(name)?.trim();
        // Some peers write a fraction; nothing below a millisecond matters.
        let whole = value.split('.').next()?;
        whole.parse().ok().filter(|ms| (1..=1_000).contains(ms))
    }
}

/// Whether more than one machine would receive what goes there.
fn is_for_many(ip: IpAddr) -> bool {
    ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}
