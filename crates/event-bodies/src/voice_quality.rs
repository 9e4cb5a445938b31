//! How a call sounded: `application/vq-rtcpxr` (RFC 6035 §4.6).

use std::fmt::{self, Write};
use std::net::SocketAddr;

use crate::BodyError;

/// The Content-Type.
pub const CONTENT_TYPE: &str = "application/vq-rtcpxr";
/// The package.
pub const PACKAGE: &str = "vq-rtcpxr";

/// A larger body is not looked at.
const LARGEST: usize = 64 * 1024;

/// The last report of a session: `VQSessionReport: CallTerm`.
#[derive(Clone, PartialEq)]
pub struct SessionReport {
    /// Its Call-ID.
    pub call_id: String,
    /// The tag of the one who reports and that of the other side, where the dialog is known.
    pub tags: Option<[String; 2]>,
    /// Who reports, as a URI.
    pub local: String,
    /// The other side, as a URI.
    pub remote: String,
    /// Whether the other side began it.
    pub incoming: bool,
    /// What else belongs to the one who reports, and to the other side: a domain, a site.
    pub local_group: String,
    /// See `local_group`.
    pub remote_group: String,
    /// Where media came in.
    pub local_media: Source,
    /// Where it went to.
    pub remote_media: Source,
    /// From its answer, `2026-11-21T14:02:03Z` (RFC 3339).
    pub start: String,
    /// To its end.
    pub stop: String,
    /// What the one who reports heard.
    pub heard: Metrics,
    /// What the other side told that it heard.
    pub told: Option<Metrics>,
}

/// Who the parties were is nothing for a log.
impl fmt::Debug for SessionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionReport")
            .field("heard", &self.heard)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// One end of the media.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its address.
    pub address: SocketAddr,
    /// Its source identifier.
    pub ssrc: u32,
}

/// How one side heard the other. What is `None`, is not written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// What was spoken.
    pub codec: Option<Codec>,
    /// The jitter buffer: kind and rate (RFC 3611 §4.7.6), then its usual, present largest and largest delay in
    /// milliseconds.
    pub buffer: Option<[u32; 5]>,
    /// Lost on the way, in per cent.
    pub lost: f32,
    /// Came and could not be played, in per cent.
    pub discarded: f32,
    /// Missing within bursts, in per cent, and how long one was on average, in milliseconds.
    pub bursts: (f32, u32),
    /// The same for the gaps between them.
    pub gaps: (f32, u32),
    /// So many packets in a row had to come to end a burst.
    pub gmin: u32,
    /// Round trip in milliseconds.
    pub round_trip_ms: Option<u32>,
    /// What this side itself added, in milliseconds.
    pub end_system_ms: u32,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: Option<u32>,
    /// Level of the voice, over 0 dBm0.
    pub signal_dbm: Option<i8>,
    /// Level of the background, over 0 dBm0.
    pub noise_dbm: Option<i8>,
    /// Residual echo return loss in decibels.
    pub echo_return_loss_db: Option<u8>,
    /// R of the conversation.
    pub r_factor: Option<u8>,
    /// Listening and conversational quality, 1.0 to 4.9.
    pub mos_lq: Option<f32>,
    /// See `mos_lq`.
    pub mos_cq: Option<f32>,
}

/// What was spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// Payload type.
    pub payload_type: u8,
    /// Its name.
    pub name: &'static str,
    /// Samples a second.
    pub rate_hz: u32,
    /// Speech in a packet, in milliseconds.
    pub packet_ms: u32,
    /// What is done about losses (RFC 3611 §4.7.6).
    pub concealment: u8,
    /// Whether nothing is sent while nothing is said.
    pub silence_suppression: bool,
}

impl SessionReport {
    /// The body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = String::new();
        // Writing into memory cannot fail.
        let _ = self.write(&mut body);
        body.into_bytes()
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let [local, remote] = [&self.local, &self.remote].map(|uri| token(uri));
        let origin = if self.incoming { &remote } else { &local };
        let call_id = token(&self.call_id);
        line(out, "VQSessionReport", "CallTerm")?;
        line(out, "CallID", &call_id)?;
        line(out, "LocalID", &format!("<{local}>"))?;
        line(out, "RemoteID", &format!("<{remote}>"))?;
        line(out, "OrigID", &format!("<{origin}>"))?;
        line(out, "LocalGroup", &token(&self.local_group))?;
        line(out, "RemoteGroup", &token(&self.remote_group))?;
        line(out, "LocalAddr", &self.local_media.to_string())?;
        line(out, "RemoteAddr", &self.remote_media.to_string())?;
        let times = format!("START={} STOP={}", self.start, self.stop);
        for (name, metrics) in [
            ("LocalMetrics", Some(&self.heard)),
            ("RemoteMetrics", self.told.as_ref()),
        ] {
            if let Some(metrics) = metrics {
                write!(out, "{name}:\r\n")?;
                line(out, "Timestamps", &times)?;
                metrics.write(out)?;
            }
        }
        let Some([ours, theirs]) = &self.tags else {
            return Ok(());
        };
        // As in the INVITE: who called is named by its From.
        let (from, to) = if self.incoming {
            (theirs, ours)
        } else {
            (ours, theirs)
        };
        let tags = [("to-tag", to), ("from-tag", from)].map(|(name, tag)| match &*token(tag) {
            "" => String::new(),
            tag => format!(";{name}={tag}"),
        });
        line(out, "DialogID", &format!("{call_id}{}", tags.concat()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ip, port) = (self.address.ip(), self.address.port());
        write!(f, "IP={ip} PORT={port} SSRC=0x{:08x}", self.ssrc)
    }
}

impl Metrics {
    fn write(&self, out: &mut String) -> fmt::Result {
        if let Some(codec) = &self.codec {
            let packets = 1_000 / codec.packet_ms.max(1);
            let quiet = if codec.silence_suppression {
                "on"
            } else {
                "off"
            };
            let described = format!(
                "PT={} PD={} SR={} FD={} FPP=1 PPS={packets} PLC={} SSUP={quiet}",
                codec.payload_type, codec.name, codec.rate_hz, codec.packet_ms, codec.concealment
            );
            line(out, "SessionDesc", &described)?;
        }
        if let Some([adaptation, rate, nominal, most, absolute]) = self.buffer {
            let buffer =
                format!("JBA={adaptation} JBR={rate} JBN={nominal} JBM={most} JBX={absolute}");
            line(out, "JitterBuffer", &buffer)?;
        }
        let percent = |percent: f32| percent.clamp(0.0, 100.0);
        let loss = format!(
            "NLR={:.1} JDR={:.1}",
            percent(self.lost),
            percent(self.discarded)
        );
        line(out, "PacketLoss", &loss)?;
        let ((burst, burst_ms), (gap, gap_ms)) = (self.bursts, self.gaps);
        let bursts = format!(
            "BLD={:.1} BD={burst_ms} GLD={:.1} GD={gap_ms} GMIN={}",
            percent(burst),
            percent(gap),
            self.gmin
        );
        line(out, "BurstGapLoss", &bursts)?;
        let delay = [
            given("RTD", self.round_trip_ms),
            given("ESD", Some(self.end_system_ms)),
            given("IAJ", self.jitter_ms),
        ];
        some(out, "Delay", delay)?;
        let signal = [
            given("SL", self.signal_dbm),
            given("NL", self.noise_dbm),
            given("RERL", self.echo_return_loss_db),
        ];
        some(out, "Signal", signal)?;
        let tenths = |mos: Option<f32>| mos.map(|mos| format!("{:.1}", mos.clamp(1.0, 4.9)));
        let quality = [
            given("RCQ", self.r_factor),
            given("MOSLQ", tenths(self.mos_lq)),
            given("MOSCQ", tenths(self.mos_cq)),
        ];
        some(out, "QualityEst", quality)
    }
}

/// Whether a body is a report of this package, of whichever kind.
///
/// # Errors
/// It is none.
pub fn check(body: &[u8]) -> Result<(), BodyError> {
    if body.len() > LARGEST {
        return Err(BodyError::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError::NotUtf8)?;
    let first = text.lines().next().unwrap_or_default();
    let kind = first.split(':').next().unwrap_or_default().trim();
    match kind {
        "VQSessionReport" | "VQIntervalReport" | "VQAlertReport" => Ok(()),
        other => Err(BodyError::SomethingElse(other.chars().take(32).collect())),
    }
}

fn line(out: &mut String, name: &str, value: &str) -> fmt::Result {
    write!(out, "{name}:{value}\r\n")
}

/// The parameters that there are, in a line unless there are none.
fn some<const N: usize>(out: &mut String, name: &str, values: [Option<String>; N]) -> fmt::Result {
    let values: Vec<String> = values.into_iter().flatten().collect();
    if values.is_empty() {
        return Ok(());
    }
    line(out, name, &values.join(" "))
}

fn given(name: &str, value: Option<impl fmt::Display>) -> Option<String> {
    value.map(|value| format!("{name}={value}"))
}

/// Without what would end its line, or its angle brackets.
fn token(text: &str) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '<' | '>');
    text.chars().filter(|c| !bad(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> SessionReport {
        SessionReport {
            call_id: "6dg37f1890463".to_owned(),
            tags: Some(["9123dh311".to_owned(), "8472761".to_owned()]),
            local: "sip:alice@example.org".to_owned(),
            remote: "sip:bill@example.net".to_owned(),
            incoming: false,
            local_group: "example.org".to_owned(),
            remote_group: "example.net".to_owned(),
            local_media: Source {
                address: "192.0.2.100:5000".parse().unwrap(),
                ssrc: 0x1A3B_5C7D,
            },
            remote_media: Source {
                address: "[2001:db8::1]:5002".parse().unwrap(),
                ssrc: 0x18,
            },
            start: "2026-11-21T18:23:43Z".to_owned(),
            stop: "2026-11-21T18:26:02Z".to_owned(),
            heard: Metrics {
                codec: Some(Codec {
                    payload_type: 0,
                    name: "PCMU",
                    rate_hz: 8_000,
                    packet_ms: 20,
                    concealment: 3,
                    silence_suppression: false,
                }),
                buffer: Some([3, 2, 40, 80, 120]),
                lost: 5.04,
                discarded: 2.0,
                bursts: (0.0, 0),
                gaps: (2.0, 500),
                gmin: 16,
                round_trip_ms: Some(200),
                end_system_ms: 140,
                jitter_ms: Some(2),
                signal_dbm: Some(-21),
                noise_dbm: Some(-50),
                echo_return_loss_db: Some(55),
                r_factor: Some(85),
                mos_lq: Some(4.2),
                mos_cq: Some(4.3),
            },
            told: Some(Metrics {
                gmin: 16,
                end_system_ms: 90,
                ..Metrics::default()
            }),
        }
    }

    #[test]
    fn a_session_is_reported_as_the_grammar_has_it() {
        let text = String::from_utf8(report().to_bytes()).unwrap();
        // RFC 6035 §4.6.1, and the order of its example in §4.7.
        let lines = [
            "VQSessionReport:CallTerm",
            "CallID:6dg37f1890463",
            "LocalID:<sip:alice@example.org>",
            "RemoteID:<sip:bill@example.net>",
            "OrigID:<sip:alice@example.org>",
            "LocalGroup:example.org",
            "RemoteGroup:example.net",
            "LocalAddr:IP=192.0.2.100 PORT=5000 SSRC=0x1a3b5c7d",
            "RemoteAddr:IP=2001:db8::1 PORT=5002 SSRC=0x00000018",
            "LocalMetrics:",
            "Timestamps:START=2026-11-21T18:23:43Z STOP=2026-11-21T18:26:02Z",
            "SessionDesc:PT=0 PD=PCMU SR=8000 FD=20 FPP=1 PPS=50 PLC=3 SSUP=off",
            "JitterBuffer:JBA=3 JBR=2 JBN=40 JBM=80 JBX=120",
            "PacketLoss:NLR=5.0 JDR=2.0",
            "BurstGapLoss:BLD=0.0 BD=0 GLD=2.0 GD=500 GMIN=16",
            "Delay:RTD=200 ESD=140 IAJ=2",
            "Signal:SL=-21 NL=-50 RERL=55",
            "QualityEst:RCQ=85 MOSLQ=4.2 MOSCQ=4.3",
            "RemoteMetrics:",
            "Timestamps:START=2026-11-21T18:23:43Z STOP=2026-11-21T18:26:02Z",
            "PacketLoss:NLR=0.0 JDR=0.0",
            "BurstGapLoss:BLD=0.0 BD=0 GLD=0.0 GD=0 GMIN=16",
            "Delay:ESD=90",
            "DialogID:6dg37f1890463;to-tag=8472761;from-tag=9123dh311",
            "",
        ];
        assert_eq!(text, lines.join("\r\n"));
        assert_eq!(check(text.as_bytes()), Ok(()));
    }

    #[test]
    fn who_called_is_the_origin() {
        let incoming = SessionReport {
            incoming: true,
            told: None,
            ..report()
        };
        let text = String::from_utf8(incoming.to_bytes()).unwrap();
        assert!(text.contains("OrigID:<sip:bill@example.net>\r\n"), "{text}");
        assert!(!text.contains("RemoteMetrics"), "{text}");
        let dialog = "DialogID:6dg37f1890463;to-tag=9123dh311;from-tag=8472761\r\n";
        assert!(text.ends_with(dialog), "{text}");
    }

    #[test]
    fn what_a_peer_chose_makes_no_line_of_its_own() {
        let forged = SessionReport {
            call_id: "a\r\nLocalID:<sip:mallory@example.com>".to_owned(),
            remote: "sip:b@example.net>\r\nRemoteGroup:x".to_owned(),
            // RFC 3261 §12.1.1: a peer of RFC 2543 has no tag.
            tags: Some(["a\r\nb".to_owned(), String::new()]),
            ..report()
        };
        let text = String::from_utf8(forged.to_bytes()).unwrap();
        assert_eq!(text.lines().count(), 24);
        assert!(text.ends_with(".com;from-tag=ab\r\n"), "{text}");
        assert!(
            text.contains("CallID:aLocalID:sip:mallory@example.com\r\n"),
            "{text}"
        );
    }

    #[test]
    fn nobody_is_named_by_the_debug_output() {
        let shown = format!("{:?}", report());
        assert!(
            !shown.contains("alice") && !shown.contains("192.0.2"),
            "{shown}"
        );
    }

    #[test]
    fn reports_of_each_kind_are_known_and_other_bodies_are_not() {
        for good in [
            "VQSessionReport\r\n",
            "VQIntervalReport : x",
            "VQAlertReport: Type=NLR",
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [&b""[..], b"<presence/>", b"\xFF", &[b'V'; LARGEST + 1]] {
            assert!(check(bad).is_err());
        }
    }
}
