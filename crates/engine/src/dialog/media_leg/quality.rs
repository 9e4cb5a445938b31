//! How a call sounded, for those whom the account wants told (RFC 6035).

use event_bodies::voice_quality::{Codec, Metrics, SessionReport, Source};
use media::VoipMetrics;
use model::{Direction, Timestamp};

use super::super::DialogState;
use super::MediaLeg;
use super::terms::codec_kind;
use crate::stream::quality;
use crate::tenant::TenantMsg;
use crate::wall;

/// The gap that RFC 3611 §4.7.2 recommends.
const GMIN: u32 = 16;

/// A call that is shorter need not have been heard.
const LONG_ENOUGH_S: u64 = 3;

impl DialogState {
    /// Writes down how the call sounded, and has the account's collector told where the account has one. To be called
    /// while the stream is still there.
    pub(in crate::dialog) fn report_quality(&self) {
        let Some(since) = self.view.connected_at else {
            return;
        };
        let lasted = wall().since(since).as_secs();
        let sounded = self.media.as_ref().and_then(|media| media.sounded(lasted));
        let Some(sounded) = sounded else { return };
        // The trace outlasts the call and the program.
        let mut text = match sounded.remote.ssrc {
            0 => format!("nothing was heard of the peer in {lasted} s"),
            _ => format!("the peer was heard with {}", in_words(&sounded.heard)),
        };
        if let Some(told) = &sounded.told {
            text += &format!("; it heard us with {}", in_words(told));
        }
        self.note("quality", text);
        if self.settings.quality_report.is_none() {
            return;
        }
        let (local, remote) = (
            self.identity.from.uri.to_string(),
            self.view.remote.uri.reveal(),
        );
        let report = SessionReport {
            call_id: self.view.sip_call_id.clone(),
            tags: self.tags.clone(),
            incoming: self.view.direction == Direction::Incoming,
            local_group: group(&local),
            remote_group: group(remote),
            remote: remote.to_owned(),
            local,
            local_media: sounded.local,
            remote_media: sounded.remote,
            start: in_seconds(since),
            stop: in_seconds(wall()),
            heard: sounded.heard,
            told: sounded.told,
        };
        let _ = self.tenant.cast(TenantMsg::QualityReport {
            account: self.view.account.clone(),
            report: Box::new(report),
        });
    }
}

/// What a stream leaves to be told.
struct Sounded {
    local: Source,
    remote: Source,
    heard: Metrics,
    told: Option<Metrics>,
}

impl MediaLeg {
    /// After a call of so many seconds. One in which all was missing that was to be heard is told as that: whoever collects
    /// reports looks for those first.
    fn sounded(&self, lasted_s: u64) -> Option<Sounded> {
        let (counters, agreed) = (self.counters()?, self.agreed.as_ref()?);
        let heard = counters.metrics();
        let was_long = lasted_s >= LONG_ENOUGH_S && agreed.direction.receives();
        if heard.is_none() && !was_long {
            return None;
        }
        let ours = self.negotiator.local();
        let codec = Codec {
            payload_type: agreed.receive_payload_type,
            name: agreed.codec.name(),
            rate_hz: codec_kind(agreed.codec).sample_rate_hz(),
            packet_ms: agreed.ptime_ms,
            concealment: 0,
            silence_suppression: self.silence_suppression,
        };
        // The peer may have gone to another of those agreed.
        let last = counters.codec_heard();
        let mut listened = agreed.codecs.iter();
        let listened = listened.find(|c| Some(codec_kind(c.codec)) == last);
        let listened = listened.or(agreed.codecs.first())?;
        // Of all that this stream was sent, whichever source it was; what was discarded is known of the present one only,
        // and its share is in the block.
        let lost = counters.lost();
        let lost = 100.0 * lost as f32 / (counters.received() + lost).max(1) as f32;
        let told = counters.peer_metrics();
        let concealment = heard.map_or(0, |heard| heard.concealment.number());
        let all = Metrics {
            lost: 100.0,
            gmin: GMIN,
            ..Metrics::default()
        };
        let heard_so = heard.map_or(all, |heard| Metrics {
            lost,
            jitter_ms: in_ms(counters.jitter_us()),
            ..metrics(&heard)
        });
        Some(Sounded {
            local: Source {
                address: (ours.address, ours.port).into(),
                ssrc: self.ssrc,
            },
            remote: Source {
                address: counters.target().or(agreed.remote)?,
                ssrc: heard.map_or(0, |heard| heard.ssrc),
            },
            heard: Metrics {
                codec: Some(Codec {
                    payload_type: listened.receive_payload_type,
                    name: listened.codec.name(),
                    rate_hz: codec_kind(listened.codec).sample_rate_hz(),
                    concealment,
                    ..codec.clone()
                }),
                ..heard_so
            },
            told: told.map(|told| Metrics {
                codec: Some(Codec {
                    payload_type: agreed.send_payload_type,
                    concealment: told.concealment.number(),
                    ..codec
                }),
                jitter_ms: in_ms(counters.peer_jitter_us()),
                ..metrics(&told)
            }),
        })
    }
}

/// What stands in a block of RFC 3611 §4.7, in the units of RFC 6035.
fn metrics(block: &VoipMetrics) -> Metrics {
    let percent = |share: f32| share * 100.0;
    let told = quality(block);
    Metrics {
        codec: None,
        buffer: Some([
            block.adaptation.number().into(),
            block.adjustment.into(),
            told.buffer_ms,
            block.buffer_maximum_ms.into(),
            told.buffer_most_ms,
        ]),
        lost: percent(told.lost),
        discarded: percent(told.discarded),
        bursts: (percent(told.burst_density), told.burst_ms),
        gaps: (percent(told.gap_density), told.gap_ms),
        gmin: block.gmin.into(),
        round_trip_ms: told.rtt_ms,
        end_system_ms: told.end_system_ms,
        jitter_ms: None,
        signal_dbm: told.signal_dbm,
        noise_dbm: told.noise_dbm,
        echo_return_loss_db: block.echo_return_loss_db,
        r_factor: told.r_factor,
        mos_lq: told.mos_lq,
        mos_cq: told.mos_cq,
    }
}

/// For the trace.
fn in_words(metrics: &Metrics) -> String {
    let mut words = match (metrics.mos_cq, metrics.r_factor) {
        (Some(mos), Some(r)) => format!("MOS {mos:.1} (R {r}), "),
        (Some(mos), None) => format!("MOS {mos:.1}, "),
        _ => String::new(),
    };
    words += &format!(
        "{:.1} % lost, {:.1} % too late",
        metrics.lost, metrics.discarded
    );
    for (name, ms) in [
        ("jitter", metrics.jitter_ms),
        ("round trip", metrics.round_trip_ms),
    ] {
        if let Some(ms) = ms {
            words += &format!(", {name} {ms} ms");
        }
    }
    words
}

fn in_ms(us: u64) -> Option<u32> {
    u32::try_from(us / 1_000).ok()
}

/// The domain, by which reports of one house can be laid together.
fn group(uri: &str) -> String {
    let (_, rest) = uri.split_once('@').unwrap_or(("", uri));
    let end = rest.find([';', '?', '>']).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default().to_owned()
}

/// Without parts of a second, as the examples of RFC 6035 have it.
fn in_seconds(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_of_one_house_are_one_group() {
        for (uri, domain) in [
            ("sip:alice@example.com;transport=tcp", "example.com"),
            ("sip:602@[2001:db8::1]:5070", "[2001:db8::1]:5070"),
            ("tel:+4930123", "tel:+4930123"),
        ] {
            assert_eq!(group(uri), domain);
        }
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let some = Metrics {
            mos_cq: Some(4.25),
            r_factor: Some(90),
            lost: 0.21,
            jitter_ms: Some(3),
            ..Metrics::default()
        };
        assert_eq!(
            in_words(&some),
            "MOS 4.2 (R 90), 0.2 % lost, 0.0 % too late, jitter 3 ms"
        );
        assert_eq!(in_words(&Metrics::default()), "0.0 % lost, 0.0 % too late");
    }

    #[test]
    fn times_are_told_in_whole_seconds() {
        let time = Timestamp::parse("2026-11-21T14:02:03.25Z").expect("a time");
        assert_eq!(in_seconds(time), "2026-11-21T14:02:03Z");
        let whole = Timestamp::parse("2026-11-21T14:02:03Z").expect("a time");
        assert_eq!(in_seconds(whole), "2026-11-21T14:02:03Z");
    }
}
