//! What is measured of a call's media.

use serde::{Deserialize, Serialize};

/// Media figures of one call, totals since the stream began unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaStats {
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets received and used.
    pub received: u64,
    /// Packets that never came, by sequence number (RFC 3550 §6.4.1).
    pub lost: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Interarrival jitter in milliseconds (RFC 3550 §6.4.1).
    pub jitter_ms: f32,
    /// Round trip from RTCP in milliseconds, when the peer reports.
    pub rtt_ms: Option<f32>,
    /// Delay that the jitter buffer adds, in milliseconds.
    pub buffer_ms: f32,
    /// Share of played time that was concealed, 0 to 1.
    pub concealed: f32,
    /// Estimated quality of the conversation in the last second, delay included, 1 to 4.5 (ITU-T G.107), once there is enough to judge.
    pub mos: Option<f32>,
}

/// How one step of a call sounded, in numbers that are small enough to be kept by the thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityStep {
    /// The same in tenths, 10 to 45; 0 where there was nothing to judge.
    pub mos_tenths: u8,
    /// Packets that never came, in hundredths of those expected.
    pub lost_percent: u8,
    /// Interarrival jitter in milliseconds; 255 for that and more.
    pub jitter_ms: u8,
}

impl QualityStep {
    /// The worse of each figure.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let mos = match (self.mos_tenths, other.mos_tenths) {
            (0, mos) | (mos, 0) => mos,
            (one, other) => one.min(other),
        };
        Self {
            mos_tenths: mos,
            lost_percent: self.lost_percent.max(other.lost_percent),
            jitter_ms: self.jitter_ms.max(other.jitter_ms),
        }
    }
}

/// How a call sounded from its answer to its end: a value for each second, of very long calls the worst
/// of each two, four … seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QualityTrend {
    /// Seconds that each step stands for; 0 while there is none.
    pub step_s: u32,
    /// The oldest first.
    pub steps: Vec<QualityStep>,
    /// Seconds that the last one has so far.
    #[serde(skip)]
    open_s: u32,
}

impl QualityTrend {
    /// Steps that are kept at most: four hours of seconds.
    pub const MOST: usize = 14_400;

    /// What was kept before.
    pub fn kept(step_s: u32, steps: Vec<QualityStep>) -> Self {
        Self {
            step_s,
            steps,
            open_s: step_s,
        }
    }

    /// Takes the next second.
    pub fn push(&mut self, second: QualityStep) {
        self.step_s = self.step_s.max(1);
        if self.open_s < self.step_s
            && let Some(last) = self.steps.last_mut()
        {
            *last = last.worse(second);
            self.open_s += 1;
            return;
        }
        if self.steps.len() >= Self::MOST {
            let pairs = self.steps.chunks(2);
            let worst = pairs.filter_map(|pair| pair.iter().copied().reduce(QualityStep::worse));
            self.steps = worst.collect();
            self.step_s = self.step_s.saturating_mul(2);
        }
        self.steps.push(second);
        self.open_s = 1;
    }

    /// The mean quality of the conversation and the worst; `None` where nothing was judged.
    pub fn mos(&self) -> Option<(f32, f32)> {
        let judged = self.steps.iter().map(|step| step.mos_tenths);
        let judged = judged.filter(|tenths| *tenths > 0);
        let worst = judged.clone().min()?;
        let sum: u64 = judged.clone().map(u64::from).sum();
        let mean = sum as f32 / judged.count() as f32;
        Some((mean / 10.0, f32::from(worst) / 10.0))
    }
}

/// How a call sounded, in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sounded {
    /// Mean quality of the conversation over the call, delay included, 1 to 4.5 (ITU-T G.107).
    pub mos: Option<f32>,
    /// The same of its worst second.
    pub worst_mos: Option<f32>,
    /// Share of packets that never came, 0 to 1.
    pub lost: f32,
    /// Interarrival jitter at the end, in milliseconds.
    pub jitter_ms: f32,
    /// Round trip, in milliseconds, where the peer reported.
    pub rtt_ms: Option<f32>,
}

/// How the voice of one end is heard at the other, in the figures of RFC 3611 §4.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoiceQuality {
    /// Share of packets lost on the way, 0 to 1.
    pub lost: f32,
    /// Share of packets that came and could not be played, 0 to 1.
    pub discarded: f32,
    /// Share of packets missing within bursts, and in the gaps between them, 0 to 1.
    pub burst_density: f32,
    /// See `burst_density`.
    pub gap_density: f32,
    /// Mean length of a burst, in milliseconds.
    pub burst_ms: u32,
    /// Mean length of a gap, in milliseconds.
    pub gap_ms: u32,
    /// Round trip between the two ends, in milliseconds, once it is known there.
    pub rtt_ms: Option<u32>,
    /// What that end itself adds to the delay, in milliseconds.
    pub end_system_ms: u32,
    /// Level of the voice while it speaks, over 0 dBm0.
    pub signal_dbm: Option<i8>,
    /// Level of what is heard while it does not, over 0 dBm0.
    pub noise_dbm: Option<i8>,
    /// Rating R of G.107, 0 to 100.
    pub r_factor: Option<u8>,
    /// Listening quality, 1 to 5.
    pub mos_lq: Option<f32>,
    /// Conversational quality, 1 to 5: delay counts too.
    pub mos_cq: Option<f32>,
    /// What the jitter buffer adds, in milliseconds.
    pub buffer_ms: u32,
    /// What the jitter buffer may add at the worst, in milliseconds.
    pub buffer_most_ms: u32,
}

/// Levels of one call at this moment, 0 (silence) to 1 (full scale), already smoothed for a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// What we send.
    pub capture: f32,
    /// What we hear.
    pub playout: f32,
}

#[cfg(test)]
mod tests {
    use super::{QualityStep, QualityTrend};

    fn step(mos_tenths: u8, lost_percent: u8) -> QualityStep {
        QualityStep {
            mos_tenths,
            lost_percent,
            jitter_ms: 3,
        }
    }

    #[test]
    fn each_second_of_a_call_is_kept() {
        let mut trend = QualityTrend::default();
        assert_eq!(trend.mos(), None);
        for mos in [0, 44, 40, 30] {
            trend.push(step(mos, 0));
        }
        assert_eq!((trend.step_s, trend.steps.len()), (1, 4));
        let (mean, worst) = trend.mos().expect("it was judged");
        assert!((mean - 3.8).abs() < 1e-5 && (worst - 3.0).abs() < 1e-5);
    }

    #[test]
    fn a_call_of_a_day_keeps_the_worst_of_each_step_and_grows_no_more() {
        let mut trend = QualityTrend::default();
        for second in 0..86_400 {
            let bad = second == 50_000;
            trend.push(if bad { step(12, 90) } else { step(43, 0) });
            assert!(trend.steps.len() <= QualityTrend::MOST);
        }
        assert_eq!(trend.step_s, 8);
        assert_eq!(trend.steps.len(), 86_400 / 8);
        let at = trend.steps.iter().position(|s| s.mos_tenths == 12);
        assert_eq!(at, Some(50_000 / 8));
        assert_eq!(trend.steps[50_000 / 8].lost_percent, 90);
    }
}
