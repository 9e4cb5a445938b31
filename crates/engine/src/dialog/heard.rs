//! How a call sounds, second by second, kept for when it is over.

use model::{MediaStats, QualityStep, QualityTrend, Sounded};

/// What was heard of the peer so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    trend: QualityTrend,
    last: MediaStats,
    received: u64,
    lost: u64,
}

impl Heard {
    /// Takes the figures of the second that is over, as totals since the stream began.
    pub(super) fn take(&mut self, stats: &MediaStats) {
        // A stream that was begun anew counts from nothing.
        let before = if stats.received < self.last.received {
            MediaStats::default()
        } else {
            self.last
        };
        let received = stats.received - before.received;
        let lost = stats.lost.saturating_sub(before.lost);
        self.last = *stats;
        self.received += received;
        // What was late is no longer lost: it is among the received.
        self.lost = (self.lost + stats.lost).saturating_sub(before.lost);
        let expected = received + lost;
        // Who holds a call, or is silent, sounds neither well nor badly.
        let mos = stats.mos.filter(|_| expected > 0).unwrap_or(0.0);
        self.trend.push(QualityStep {
            mos_tenths: (mos * 10.0).round() as u8,
            lost_percent: (100 * lost).div_ceil(expected.max(1)) as u8,
            jitter_ms: stats.jitter_ms.round() as u8,
        });
    }

    /// In a line and step by step; `None` where nothing was heard at all.
    pub(super) fn sounded(&mut self) -> Option<(Sounded, QualityTrend)> {
        let expected = self.received + self.lost;
        if expected == 0 {
            return None;
        }
        let mos = self.trend.mos();
        let sounded = Sounded {
            mos: mos.map(|(mean, _)| mean),
            worst_mos: mos.map(|(_, worst)| worst),
            lost: self.lost as f32 / expected as f32,
            jitter_ms: self.last.jitter_ms,
            rtt_ms: self.last.rtt_ms,
        };
        Some((sounded, std::mem::take(&mut self.trend)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(received: u64, lost: u64, mos: f32) -> MediaStats {
        MediaStats {
            received,
            lost,
            mos: Some(mos),
            jitter_ms: 400.0,
            ..MediaStats::default()
        }
    }

    #[test]
    fn each_second_is_judged_by_itself_and_the_call_by_all_of_it() {
        let mut heard = Heard::default();
        heard.take(&stats(50, 0, 4.4));
        heard.take(&stats(75, 25, 2.04));
        // Held: nothing comes, and the last judgement does not go on.
        heard.take(&stats(75, 25, 2.04));
        // One that was lost came late, and a stream was begun anew.
        heard.take(&stats(125, 24, 4.4));
        heard.take(&stats(50, 1, 4.0));
        let (sounded, trend) = heard.sounded().expect("it was heard");
        let steps: Vec<_> = trend
            .steps
            .iter()
            .map(|s| (s.mos_tenths, s.lost_percent, s.jitter_ms))
            .collect();
        let expected = [(44, 0), (20, 50), (0, 0), (44, 0), (40, 2)];
        assert_eq!(steps, expected.map(|(mos, lost)| (mos, lost, 255)));
        assert_eq!(sounded.lost, 25.0 / 200.0);
        assert_eq!(sounded.worst_mos, Some(2.0));
        assert_eq!(sounded.mos, Some(37.0 / 10.0));
    }

    #[test]
    fn a_call_without_sound_sounded_in_no_way() {
        let mut heard = Heard::default();
        heard.take(&MediaStats::default());
        assert_eq!(heard.sounded(), None);
    }
}
