//! How the peer is heard, in the figures of RFC 3611 §4.7 and G.107.

use std::time::Duration;

use codecs::CodecKind;
use rtp::quality::{CodecProfile, Conditions, GMIN, rate, share};
use rtp::rtcp::xr::{Adaptation, Concealment, VoipMetrics};

use crate::counters::StreamCounters;
use crate::receive::ReceivePath;

/// What the sound devices of one end add to the delay.
const DEVICES: Duration = Duration::from_millis(40);

/// Packets before there is anything to judge.
const ENOUGH_TO_JUDGE: u64 = 50;

/// How long the buffer takes from 30 to 100 ms: ten milliseconds more in each tenth of a second.
const ADJUSTMENT_MS: u64 = 700;

/// Judges how the present source is heard (RFC 3611 §4.7) and brings the counters of quality up to date.
pub(crate) fn tell(path: &ReceivePath, counters: &StreamCounters) {
    let Some(ssrc) = path.receiver.ssrc() else {
        return;
    };
    let (heard, buffer) = (path.receiver.statistics(), path.jitter().statistics());
    let pattern = path.jitter().pattern();
    let (told, packet) = (pattern.bursts_and_gaps(), path.jitter().packet_time());
    let discarded = path.jitter().discarded();
    counters.discarded.set(discarded);

    let end_system = Duration::from_secs_f32(buffer.delay_ms.max(0.0) / 1_000.0)
        + Duration::from_millis(u64::from(path.packet_ms()))
        + DEVICES;
    let theirs = counters.peer_metrics().map(|peer| peer.end_system_delay_ms);
    let theirs = theirs.filter(|ms| *ms > 0);
    let theirs = theirs.map_or(end_system, |ms| Duration::from_millis(u64::from(ms)));
    let round_trip = counters.round_trip().unwrap_or_default();
    let conditions = Conditions {
        codec: profile(path.kind()),
        // RFC 3611 §4.7.3, were it the same both ways.
        one_way_delay: (round_trip + end_system + theirs) / 2,
        loss: share(heard.lost + discarded, heard.expected),
        burst_ratio: pattern.burst_ratio(),
    };
    let conversation = rate(&conditions);
    let listening = rate(&Conditions {
        one_way_delay: Duration::ZERO,
        ..conditions
    });
    let judged = heard.received >= ENOUGH_TO_JUDGE;
    if judged {
        counters.mos.set(conversation.mos);
    }
    let tenths = |mos: f32| Some((mos * 10.0).round() as u8).filter(|_| judged);
    let packet_ms = packet.as_secs_f32() * 1_000.0;
    let delay_ms = whole_ms(buffer.delay_ms);
    let adjustment = ADJUSTMENT_MS / (2 * u64::from(path.packet_ms()).max(1));
    counters.metrics.set(&VoipMetrics {
        ssrc,
        loss_rate: in_256ths(share(heard.lost, heard.expected)),
        discard_rate: in_256ths(share(discarded, heard.expected)),
        burst_density: in_256ths(told.burst_density),
        gap_density: in_256ths(told.gap_density),
        burst_duration_ms: whole_ms(told.burst_packets * packet_ms),
        gap_duration_ms: whole_ms(told.gap_packets * packet_ms),
        round_trip_ms: whole_ms(round_trip.as_secs_f32() * 1_000.0),
        end_system_delay_ms: whole_ms(end_system.as_secs_f32() * 1_000.0),
        signal_level_dbm: path.activity.signal_dbm(),
        noise_level_dbm: path.activity.noise_dbm(),
        echo_return_loss_db: None,
        gmin: GMIN,
        r_factor: Some(conversation.r.round() as u8).filter(|_| judged),
        external_r_factor: None,
        mos_lq: tenths(listening.mos),
        mos_cq: tenths(conversation.mos),
        concealment: match path.kind() {
            CodecKind::Opus => Concealment::Enhanced,
            CodecKind::G722 | CodecKind::Pcmu | CodecKind::Pcma => Concealment::Standard,
        },
        adaptation: Adaptation::Adaptive,
        adjustment: u8::try_from(adjustment).unwrap_or(u8::MAX).min(15),
        buffer_nominal_ms: delay_ms,
        buffer_maximum_ms: delay_ms.max(whole_ms(buffer.target_ms)),
        buffer_absolute_maximum_ms: whole_ms(
            path.jitter().config().maximum_delay.as_secs_f32() * 1_000.0,
        ),
    });
}

fn profile(kind: CodecKind) -> CodecProfile {
    match kind {
        CodecKind::Opus => CodecProfile::OPUS,
        // The scale is that of the narrow band, on which G.722 is as good as G.711.
        CodecKind::G722 | CodecKind::Pcmu | CodecKind::Pcma => CodecProfile::G711,
    }
}

/// The whole part, as RFC 3611 §4.7.1 wants it; all is 255.
fn in_256ths(share: f32) -> u8 {
    (share * 256.0) as u8
}

/// `as` saturates.
fn whole_ms(ms: f32) -> u16 {
    ms.round() as u16
}
