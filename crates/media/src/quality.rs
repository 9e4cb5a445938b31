//! How the peer is heard, in the figures of RFC 3611 §4.7 and G.107.

use std::time::Duration;

use codecs::CodecKind;
use rtp::quality::{CodecProfile, Conditions, GMIN, LossPattern, rate, share};
use rtp::rtcp::xr::{Adaptation, Concealment, VoipMetrics};

use crate::counters::StreamCounters;
use crate::receive::ReceivePath;

/// What the sound devices of one end add to the delay.
const DEVICES: Duration = Duration::from_millis(40);

/// Packets before there is anything to judge.
const ENOUGH_TO_JUDGE: u64 = 50;

/// How long the buffer takes from 30 to 100 ms: ten milliseconds more in each tenth of a second.
const ADJUSTMENT_MS: u64 = 700;

/// So often a second is [told](tell).
const TOLD_IN_A_SECOND: usize = 10;

/// What has come of one source until a moment, and what has not.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    expected: u64,
    /// Lost or discarded.
    missing: u64,
    /// What was there at its turn.
    pattern: LossPattern,
}

impl Mark {
    /// The share that was missing since then, and how it came in bursts; none where nothing was expected.
    fn since(&self, before: &Self) -> Option<(f32, f32)> {
        // Another source counts from nothing.
        let counted = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        let expected = counted(self.expected, before.expected);
        let missing = counted(self.missing, before.missing);
        let pattern = self.pattern.since(&before.pattern);
        if expected == 0 && pattern.packets() == 0 {
            return None;
        }
        // What came and had no turn is in the first alone, what was late to its turn and came in the end in the second.
        let missing = share(missing, expected).min(1.0).max(pattern.loss());
        Some((missing, pattern.burst_ratio()))
    }
}

/// The marks of the last second.
#[derive(Debug, Default)]
pub(crate) struct LastSecond {
    before: [Mark; TOLD_IN_A_SECOND],
    at: usize,
}

/// After so long without a packet there is nothing to judge, unless the peer has said that it pauses.
const NOTHING_MS: u64 = 3_000;

/// Whoever claims to keep sound for longer than this does not know: ours would be as good as theirs.
const LONGEST_END_SYSTEM_MS: u16 = 1_000;

impl LastSecond {
    /// What became of it, see [`Mark::since`].
    fn turn(&mut self, now: Mark) -> Option<(f32, f32)> {
        self.at = (self.at + 1) % TOLD_IN_A_SECOND;
        let before = self.before.get_mut(self.at)?;
        now.since(&std::mem::replace(before, now))
    }
}

/// Judges how the present source is heard (RFC 3611 §4.7) and brings the counters of quality up to date. Reports are about all
/// that came from it so far; what is shown is about the last second.
pub(crate) fn tell(path: &ReceivePath, last: &mut LastSecond, counters: &StreamCounters) {
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
    let theirs = theirs.filter(|ms| (1..=LONGEST_END_SYSTEM_MS).contains(ms));
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
    let last = last.turn(Mark {
        expected: heard.expected,
        missing: heard.lost + discarded,
        pattern,
    });
    // Who is silent sounds neither well nor badly.
    if let Some((loss, burst_ratio)) = last.filter(|_| judged) {
        let second = Conditions {
            loss,
            burst_ratio,
            ..conditions
        };
        counters.mos.set(rate(&second).mos);
    } else if counters.silent_ms() >= NOTHING_MS && !path.is_in_pause() {
        // What was heard before says nothing about now.
        counters.mos.set(0.0);
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
