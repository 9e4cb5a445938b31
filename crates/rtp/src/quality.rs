//! How good a call sounds, estimated from what the network does (E-model, ITU-T G.107).
//!
//! Simplified: all of a normal telephone's defaults, so that of the model's terms only those of
//! delay and of codec and loss remain: `R = 93.2 − Id − Ie,eff`. Echo is taken as cancelled.
//! Wideband is rated on the same narrow-band scale; Opus has no factors agreed by the ITU, ours
//! are set so that 5 % loss with its concealment rates like G.711 with concealment.

mod pattern;

use std::time::Duration;

pub use pattern::{BurstsAndGaps, GMIN, LossPattern};

/// R with all defaults of G.107 and no impairment.
pub const BEST_R: f32 = 93.2;

/// What a codec does to speech by itself and under loss (G.113 Appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodecProfile {
    /// Ie: equipment impairment without loss.
    pub impairment: f32,
    /// Bpl: packet-loss robustness.
    pub robustness: f32,
}

impl CodecProfile {
    /// G.711 with concealment of lost frames.
    pub const G711: Self = Self {
        impairment: 0.0,
        robustness: 25.1,
    };
    /// G.711 that plays silence for lost frames.
    pub const G711_WITHOUT_CONCEALMENT: Self = Self {
        impairment: 0.0,
        robustness: 4.3,
    };
    /// G.729A with voice activity detection.
    pub const G729: Self = Self {
        impairment: 11.0,
        robustness: 19.0,
    };
    /// Opus as this phone sends it.
    pub const OPUS: Self = Self {
        impairment: 0.0,
        robustness: 25.1,
    };
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Codec in use.
    pub codec: CodecProfile,
    /// Mouth to ear, one way: half the round trip, the jitter buffer, codec and devices.
    pub one_way_delay: Duration,
    /// Share of frames that were lost or came too late, 0.0 to 1.0.
    pub loss: f32,
    /// Mean length of loss bursts over that of random loss; 1.0 where losses are independent.
    pub burst_ratio: f32,
}

/// The estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Transmission rating R, 0 to 93.2.
    pub r: f32,
    /// Mean opinion score of listening and talking, 1.0 to 4.5.
    pub mos: f32,
}

/// Rates a call (G.107 §7).
#[must_use]
pub fn rate(conditions: &Conditions) -> Quality {
    let delay = delay_impairment(conditions.one_way_delay);
    let equipment = equipment_impairment(conditions);
    let r = (BEST_R - delay - equipment).clamp(0.0, BEST_R);
    Quality { r, mos: mos_of(r) }
}

/// The mean opinion score of a rating (G.107 Annex B).
#[must_use]
pub fn mos_of(r: f32) -> f32 {
    match r {
        r if r.is_nan() || r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        // The polynomial dips below 1 for the smallest ratings.
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7.0e-6).clamp(1.0, 4.5),
    }
}

/// A part of a whole, 0 where there is nothing to share.
#[must_use]
pub fn share(part: u64, whole: u64) -> f32 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64) as f32
}

/// Idd: what delay does to a conversation, nothing up to 100 ms (G.107 §7.4).
fn delay_impairment(one_way: Duration) -> f32 {
    let ms = one_way.as_secs_f32() * 1_000.0;
    if ms <= 100.0 {
        return 0.0;
    }
    let x = (ms / 100.0).log2();
    let sixth = |base: f32| (1.0 + base.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

/// Ie,eff (G.107 §7.5).
fn equipment_impairment(conditions: &Conditions) -> f32 {
    let CodecProfile {
        impairment,
        robustness,
    } = conditions.codec;
    let percent = if conditions.loss.is_finite() {
        conditions.loss.clamp(0.0, 1.0) * 100.0
    } else {
        0.0
    };
    let burst = if conditions.burst_ratio.is_finite() {
        conditions.burst_ratio.max(1.0)
    } else {
        1.0
    };
    impairment + (95.0 - impairment) * percent / (percent / burst + robustness.max(f32::EPSILON))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codec: CodecProfile, delay_ms: u64, loss: f32, burst_ratio: f32) -> Quality {
        let one_way_delay = Duration::from_millis(delay_ms);
        rate(&Conditions {
            codec,
            one_way_delay,
            loss,
            burst_ratio,
        })
    }

    #[test]
    fn scores_of_known_ratings_are_those_of_the_standard() {
        // G.107 Annex B, table B.1 and G.109: R to MOS.
        for (r, mos) in [
            (93.2, 4.41),
            (90.0, 4.34),
            (80.0, 4.03),
            (70.0, 3.60),
            (60.0, 3.10),
            (50.0, 2.58),
            (0.0, 1.0),
            (100.0, 4.5),
        ] {
            assert!((mos_of(r) - mos).abs() < 0.011, "{r}: {}", mos_of(r));
        }
        assert!((mos_of(f32::NAN) - 1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn delay_costs_nothing_up_to_100_ms_and_then_what_idd_says() {
        assert!((check(CodecProfile::G711, 100, 0.0, 1.0).r - BEST_R).abs() < 0.001);
        // Idd by the formula of §7.4, worked by hand: X = 1 gives 25·(2^⅙ − 3·(1 + 3⁻⁶)^⅙ + 2).
        let at_200 = BEST_R - check(CodecProfile::G711, 200, 0.0, 1.0).r;
        assert!((at_200 - 3.044).abs() < 0.01, "{at_200}");
        // X = 2: 25·(65^⅙ − 3·(1 + (2/3)⁶)^⅙ + 2).
        let at_400 = BEST_R - check(CodecProfile::G711, 400, 0.0, 1.0).r;
        assert!((at_400 - 24.09).abs() < 0.1, "{at_400}");
    }

    #[test]
    fn loss_costs_what_codec_and_bursts_make_of_it() {
        // 95·5/(5 + 25.1) and 95·5/(5 + 4.3).
        let concealed = check(CodecProfile::G711, 0, 0.05, 1.0).r;
        assert!((concealed - (BEST_R - 15.78)).abs() < 0.01, "{concealed}");
        let bare = check(CodecProfile::G711_WITHOUT_CONCEALMENT, 0, 0.05, 1.0).r;
        assert!((bare - (BEST_R - 51.08)).abs() < 0.01, "{bare}");
        // 11 + 84·2/(2 + 19), G.729A at 2 %.
        let g729 = check(CodecProfile::G729, 0, 0.02, 1.0).r;
        assert!((g729 - (BEST_R - 19.0)).abs() < 0.01, "{g729}");
        assert!(check(CodecProfile::G711, 0, 0.05, 2.0).r < concealed);
    }

    #[test]
    fn nonsense_is_rated_within_the_scale() {
        for (loss, burst) in [
            (f32::NAN, 1.0),
            (2.0, f32::INFINITY),
            (-1.0, -5.0),
            (1.0, 1.0),
        ] {
            let quality = check(CodecProfile::OPUS, 100_000, loss, burst);
            assert!((0.0..=BEST_R).contains(&quality.r) && (1.0..=4.5).contains(&quality.mos));
        }
    }
}
