//! Tones that this phone makes: for its user, and digits in the speech where no telephone events are
//! negotiated.

use crate::country::{Country, Signal};

/// A tone for the user of this phone. Those of the network sound as they do in a country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tone {
    /// The far end rings.
    Ringback(&'static Country),
    /// The far end is busy.
    Busy(&'static Country),
    /// The call cannot be put through.
    Congestion(&'static Country),
    /// A call waits while another goes on: softer than the others, for somebody is speaking.
    CallWaiting(&'static Country),
    /// This phone rings: a soft chord in pairs, every 3 s.
    Ring,
    /// The call is recorded: 1400 Hz, once for 0.2 s, for both to hear.
    Recorded,
    /// A key was pressed: its two frequencies for 120 ms (ITU-T Q.23).
    Dtmf(char),
    /// One sine until it is stopped, a quarter of full scale.
    Sine {
        /// Its frequency.
        hz: f32,
    },
}

/// Edges are led in and out over 5 ms, or they click.
const EDGE_S: f32 = 0.005;

impl Tone {
    /// Frequencies with amplitudes.
    fn parts(self) -> [(f32, f32); 3] {
        match self {
            Self::Ringback(country) => parts(country.ringback, 0.12),
            Self::Busy(country) => parts(country.busy, 0.15),
            Self::Congestion(country) => parts(country.congestion, 0.15),
            Self::CallWaiting(country) => parts(country.waiting, 0.08),
            Self::Ring => [(523.25, 0.14), (659.26, 0.12), (783.99, 0.10)],
            Self::Recorded => [(1_400.0, 0.1), (0.0, 0.0), (0.0, 0.0)],
            Self::Dtmf(digit) => {
                let (low, high) = dtmf(digit).unwrap_or((0.0, 0.0));
                [(low, 0.15), (high, 0.18), (0.0, 0.0)]
            }
            Self::Sine { hz } => [(hz, 0.25), (0.0, 0.0), (0.0, 0.0)],
        }
    }

    /// On and off times in seconds, repeated; a tone that ends has no repetition.
    fn cadence(self) -> (&'static [(f32, f32)], bool) {
        match self {
            Self::Ringback(country) => (country.ringback.cadence, true),
            Self::Busy(country) => (country.busy.cadence, true),
            Self::Congestion(country) => (country.congestion.cadence, true),
            Self::CallWaiting(country) => (country.waiting.cadence, true),
            Self::Ring => (&[(0.4, 0.2), (0.4, 2.0)], true),
            Self::Recorded => (&[(0.2, 0.0)], false),
            Self::Dtmf(_) => (&[(0.12, 0.0)], false),
            Self::Sine { .. } => (&[(f32::MAX, 0.0)], true),
        }
    }
}

/// The frequencies of a network's tone, together as loud as one alone.
fn parts(signal: Signal, amplitude: f32) -> [(f32, f32); 3] {
    let [low, high] = signal.hz;
    if high == 0.0 {
        return [(low, amplitude), (0.0, 0.0), (0.0, 0.0)];
    }
    let each = amplitude * std::f32::consts::FRAC_1_SQRT_2;
    [(low, each), (high, each), (0.0, 0.0)]
}

/// The two frequencies of a key (ITU-T Q.23).
pub(crate) fn dtmf(digit: char) -> Option<(f32, f32)> {
    const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    const KEYS: [&str; 4] = ["123A", "456B", "789C", "*0#D"];
    KEYS.iter().zip(LOW).find_map(|(row, low)| {
        let column = row.find(digit.to_ascii_uppercase())?;
        Some((low, *HIGH.get(column)?))
    })
}

/// Plays a tone at some rate.
#[derive(Clone, Debug)]
pub(crate) struct Player {
    tone: Tone,
    rate_hz: f32,
    phases: [f32; 3],
    /// Which step of the cadence, and samples since it began.
    step: usize,
    elapsed: f32,
    /// Overrides the cadence: on for so many samples and then over.
    length: Option<f32>,
}

impl Player {
    pub(crate) fn new(tone: Tone, rate_hz: u32) -> Self {
        Self {
            tone,
            rate_hz: rate_hz as f32,
            phases: [0.0; 3],
            step: 0,
            elapsed: 0.0,
            length: None,
        }
    }

    pub(crate) fn tone(&self) -> Tone {
        self.tone
    }

    /// Once for `seconds`, whatever the tone's cadence.
    pub(crate) fn once(tone: Tone, rate_hz: u32, seconds: f32) -> Self {
        Self {
            length: Some(seconds * rate_hz as f32),
            ..Self::new(tone, rate_hz)
        }
    }

    /// Adds the next samples to `out`; false when the tone is over.
    pub(crate) fn add(&mut self, out: &mut [f32]) -> bool {
        let parts = self.tone.parts();
        let (cadence, repeats) = self.tone.cadence();
        let edge = EDGE_S * self.rate_hz;
        for sample in out {
            let (on, off) = match (self.length, cadence.get(self.step)) {
                (Some(length), _) => (length, 0.0),
                (None, Some((on, off))) => (on * self.rate_hz, off * self.rate_hz),
                (None, None) => return false,
            };
            if self.elapsed < on {
                let level = (self.elapsed / edge)
                    .min((on - self.elapsed) / edge)
                    .min(1.0);
                let mut value = 0.0;
                for ((hz, amplitude), phase) in parts.iter().zip(&mut self.phases) {
                    value += amplitude * (*phase * std::f32::consts::TAU).sin();
                    *phase += hz / self.rate_hz;
                    *phase -= phase.floor();
                }
                *sample += value * level;
            }
            self.elapsed += 1.0;
            if self.elapsed >= on + off {
                self.elapsed = 0.0;
                self.step += 1;
                if self.length.is_some() {
                    return false;
                }
                if self.step >= cadence.len() {
                    if !repeats {
                        return false;
                    }
                    self.step = 0;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::country::EUROPE;

    /// The power of one frequency (Goertzel), 1.0 for a full sine.
    fn power(samples: &[f32], hz: f32, rate_hz: f32) -> f32 {
        let (mut re, mut im) = (0.0f64, 0.0f64);
        for (i, sample) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * f64::from(hz) * i as f64 / f64::from(rate_hz);
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        (2.0 * (re * re + im * im).sqrt() / samples.len() as f64) as f32
    }

    #[test]
    fn a_country_has_its_own_ringing_and_is_no_louder_for_two_frequencies() {
        let country = Country::of("US").expect("it is there");
        let mut player = Player::new(Tone::Ringback(country), 48_000);
        let mut out = vec![0.0; 6 * 48_000];
        assert!(player.add(&mut out));
        for hz in [440.0, 480.0] {
            let power = power(&out[2_400..50_400], hz, 48_000.0);
            assert!((power - 0.12 * 0.707).abs() < 0.01, "{hz}: {power}");
        }
        assert!(out[2 * 48_000..].iter().all(|sample| *sample == 0.0));
    }

    #[test]
    fn busy_is_425_hz_half_a_second_on_and_off() {
        let mut player = Player::new(Tone::Busy(&EUROPE), 48_000);
        let mut out = vec![0.0; 96_000];
        assert!(player.add(&mut out));
        assert!((power(&out[2_400..21_600], 425.0, 48_000.0) - 0.15).abs() < 0.01);
        assert!(out[24_000..48_000].iter().all(|s| *s == 0.0));
        assert!((power(&out[50_400..69_600], 425.0, 48_000.0) - 0.15).abs() < 0.01);
    }

    #[test]
    fn a_key_sounds_with_its_two_frequencies_and_ends() {
        let mut player = Player::once(Tone::Dtmf('5'), 8_000, 0.1);
        let mut out = vec![0.0; 1_600];
        assert!(!player.add(&mut out));
        assert!(power(&out[40..760], 770.0, 8_000.0) > 0.12);
        assert!(power(&out[40..760], 1336.0, 8_000.0) > 0.14);
        assert!(power(&out[40..760], 1209.0, 8_000.0) < 0.03);
        assert!(out[800..].iter().all(|s| *s == 0.0));
        assert_eq!(dtmf('x'), None);
    }

    #[test]
    fn edges_do_not_click() {
        let mut player = Player::new(Tone::Busy(&EUROPE), 48_000);
        let mut out = vec![0.0f32; 48_000];
        player.add(&mut out);
        let steepest = out
            .windows(2)
            .map(|w| (w[1] - w[0]).abs())
            .fold(0.0, f32::max);
        // A sine of 425 Hz and 0.15 moves by 0.0084 per sample at most.
        assert!(steepest < 0.0086, "{steepest}");
    }
}
