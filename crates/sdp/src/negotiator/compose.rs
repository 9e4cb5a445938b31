//! Writing our own descriptions.

use sdp_types::{Attribute, Bandwidth, Connection, Media, Origin, Session, Time};
use std::fmt;

use super::*;

/// Something a payload type stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Codec(Codec),
    /// Telephone events on a clock of this rate.
    Events(u32),
    /// Comfort noise (RFC 3389), beside codecs whose timestamps count in 8000.
    ComfortNoise,
}

impl Format {
    fn usual_number(self) -> u8 {
        match self {
            Self::Codec(Codec::Opus) => 111,
            Self::Codec(Codec::G722) => 9,
            Self::Codec(Codec::Pcmu) => 0,
            Self::Codec(Codec::Pcma) => 8,
            Self::ComfortNoise => 13,
            Self::Events(8_000) => 101,
            Self::Events(_) => 110,
        }
    }

    /// Whether everybody knows what this number means.
    fn is_static(self, number: u8) -> bool {
        match self {
            Self::Codec(codec) => codec.static_payload_type() == Some(number),
            Self::Events(_) => false,
            Self::ComfortNoise => number == 13,
        }
    }

    fn encoding(self) -> String {
        match self {
            Self::Codec(codec) => codec.encoding().to_owned(),
            Self::Events(clock_rate_hz) => format!("telephone-event/{clock_rate_hz}"),
            Self::ComfortNoise => "CN/8000".to_owned(),
        }
    }

    fn parameters(self) -> Option<&'static str> {
        match self {
            Self::Codec(Codec::Opus) => Some("minptime=10;useinbandfec=1"),
            Self::Codec(_) | Self::ComfortNoise => None,
            Self::Events(_) => Some("0-15"),
        }
    }
}

/// The payload types under which we receive. Within a session a number keeps its meaning
/// (RFC 3264 §8.3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbers(Vec<(Format, u8)>);

impl Numbers {
    pub(super) fn of(&self, format: Format) -> u8 {
        let known = self.0.iter().find(|(f, _)| *f == format);
        known.map_or(format.usual_number(), |(_, number)| *number)
    }

    /// Takes over the number under which the other side knows a format.
    pub(super) fn adopt(&mut self, format: Format, number: u8) {
        self.0.retain(|(f, n)| *f != format && *n != number);
        self.0.push((format, number));
    }

    /// Gives every format a number that no other has.
    pub(super) fn assign(&mut self, formats: &[Format]) {
        for format in formats {
            if self.0.iter().any(|(f, _)| f == format) {
                continue;
            }
            let taken = |number: u8| self.0.iter().any(|(_, n)| *n == number);
            let dynamic = (96..=127).rev();
            let mut choice = std::iter::once(format.usual_number()).chain(dynamic);
            let number = choice.find(|number| !taken(*number));
            self.0
                .push((*format, number.unwrap_or(format.usual_number())));
        }
    }
}

/// Whether nothing of this is mistaken for a report on a port that is shared with them (RFC 5761 §4).
pub(super) fn may_share_port(numbers: &Numbers, formats: &[Format]) -> bool {
    let mut numbers = formats.iter().map(|format| numbers.of(*format));
    !numbers.any(reads_as_rtcp)
}

/// A description of ours with its version.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Composed {
    session: Session,
    pub(super) version: u64,
}

/// Without the description, which has our keys.
impl fmt::Debug for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composed")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Composed {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut session = self.session.clone();
        session.origin.sess_version = self.version;
        SessionDescription::of(session).to_bytes()
    }
}

impl Negotiator {
    /// Writes the lines with one set of formats for the audio. The version is that of an equal
    /// description sent before, else the next one.
    pub(super) fn compose(
        &self,
        lines: &[Line],
        numbers: &Numbers,
        formats: &[Format],
        direction: Direction,
        rtcp_mux: bool,
        crypto: &[CryptoAttribute],
    ) -> Composed {
        // RFC 3264 §8: it stays the same but for the version, wherever we are by now.
        let pending = self.pending.as_ref().map(|pending| &pending.composed);
        let first = self.sent.as_ref().or(pending).or(self.withdrawn.as_ref());
        let origin = first.map_or_else(
            || Origin::with_ip_addr(self.local.session_id, 0, self.local.address),
            |first| first.session.origin.clone(),
        );
        let mut session = Session::new(origin, "-");
        session.connection = Some(Connection::from_ip_addr(self.local.address));
        session.times.push(Time::new(0, 0));
        for line in lines {
            session.medias.push(match line {
                Line::Audio { protocol, keying } => {
                    let mut audio = self.audio(protocol, numbers, formats, direction, rtcp_mux);
                    audio.attributes.extend(self.keying(*keying, crypto));
                    audio
                }
                Line::Refused {
                    kind,
                    protocol,
                    formats,
                } => media(kind, 0, protocol, formats),
            });
        }
        let waiting = self.pending.as_ref().map(|pending| &pending.composed);
        let before = [self.sent.as_ref(), waiting, self.withdrawn.as_ref()];
        let mut before = before.into_iter().flatten();
        let same = before.find(|composed| composed.session == session);
        let version = same.map_or(self.highest_version.saturating_add(1), |same| same.version);
        Composed { session, version }
    }

    fn keying(&self, keying: Keying, crypto: &[CryptoAttribute]) -> Vec<Attribute> {
        match keying {
            Keying::None => Vec::new(),
            Keying::Sdes => {
                let values = crypto.iter().map(CryptoAttribute::to_value);
                values.map(|value| with_value("crypto", value)).collect()
            }
            Keying::Dtls(setup) => {
                let fingerprint = self.dtls.iter().map(|dtls| dtls.fingerprint.to_value());
                let fingerprint = fingerprint.map(|value| with_value("fingerprint", value));
                let setup = with_value("setup", setup.as_str().to_owned());
                let named = self.dtls.iter().filter(|_| self.names_association);
                let name = named.map(|dtls| with_value("tls-id", dtls.name.clone()));
                fingerprint.chain([setup]).chain(name).collect()
            }
        }
    }

    fn audio(
        &self,
        protocol: &str,
        numbers: &Numbers,
        formats: &[Format],
        direction: Direction,
        rtcp_mux: bool,
    ) -> Media {
        let list: Vec<String> = formats.iter().map(|f| numbers.of(*f).to_string()).collect();
        let mut audio = media("audio", self.local.port, protocol, &list.join(" "));
        audio
            .bandwidths
            .extend(self.bandwidth.map(|kbit| Bandwidth {
                bwtype: "AS".to_owned(),
                bandwidth: u64::from(kbit),
            }));
        for format in formats {
            let number = numbers.of(*format);
            // RFC 3551 §6 says what these mean, and an INVITE with a login has little room in a datagram.
            if !format.is_static(number) {
                let encoding = format.encoding();
                audio
                    .attributes
                    .push(with_value("rtpmap", format!("{number} {encoding}")));
            }
            if let Some(parameters) = format.parameters() {
                audio
                    .attributes
                    .push(with_value("fmtp", format!("{number} {parameters}")));
            }
        }
        let codec = formats.iter().find_map(|format| match format {
            Format::Codec(codec) => Some(*codec),
            Format::Events(_) | Format::ComfortNoise => None,
        });
        let ptime = codec.map_or(20, |codec| codec.packet_time_ms(self.local.ptime_ms, None));
        audio
            .attributes
            .push(with_value("ptime", ptime.to_string()));
        if let Some(port) = self.rtcp_port {
            audio.attributes.push(with_value("rtcp", port.to_string()));
        }
        if rtcp_mux {
            audio.attributes.push(Attribute::new("rtcp-mux"));
        }
        let reports = self.reports_told.to_value();
        audio
            .attributes
            .extend(reports.map(|value| with_value("rtcp-xr", value)));
        let ice = self.ice.as_ref().filter(|_| self.answers_ice);
        let told = SocketAddr::new(self.local.address, self.local.port);
        for (name, value) in ice
            .iter()
            .flat_map(|ice| ice.attributes(told, self.tells_reports))
        {
            audio.attributes.push(with_value(name, value));
        }
        if self.tells_mismatch {
            audio.attributes.push(Attribute::new("ice-mismatch"));
        }
        // RFC 8866 §6.7: without it media flows both ways. After a hold that is said, for peers that would rather read it.
        if direction != Direction::SendReceive || self.was_directed {
            audio.attributes.push(Attribute::new(direction.as_str()));
        }
        audio
    }
}

fn media(kind: &str, port: u16, protocol: &str, formats: &str) -> Media {
    Media {
        media: kind.to_owned(),
        port,
        num_ports: None,
        proto: protocol.to_owned(),
        fmt: formats.to_owned(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

fn with_value(name: &str, value: String) -> Attribute {
    Attribute::with_value(name, value)
}
