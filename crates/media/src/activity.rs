//! Whether somebody speaks, told by the level alone, and how loud voice and background are.
//!
//! ```text
//!  level ▂▂▂▇▇▅▇▂▂▂▂▂▂▂▂▂▂▇▇     floor: the least of the last seconds, rising slowly
//!  voice ───▇▇▇▇▇▇▇▇▇──────▇     speech is what is 10 dB above the floor, and 300 ms after it
//! ```

/// Louder than the floor by this is speech: 10 dB.
const ABOVE: f32 = 3.16;

/// The floor is never taken for higher: -45 dB. What is 10 dB louder is speech, however long it lasts: music.
const HIGHEST_FLOOR: f32 = 0.0056;

/// Below this nothing is speech: -66 dB.
const INAUDIBLE: f32 = 0.0005;

/// How much the floor rises in 10 ms: to twice as much in seven seconds.
const RISE: f32 = 1.001;

/// What still belongs to speech behind it, so that ends of words do: 300 ms.
pub(crate) const HANGOVER_MS: usize = 300;

/// Over so much time levels are averaged.
const MEMORY_MS: f32 = 5_000.0;

/// What a root mean square of 1 is over 0 dBm0: a sine of full scale has 3.17 dBm0 in µ-law (G.711 Table 5), and its
/// root mean square is 3.01 dB less.
const FULL_SCALE_DBM: f32 = 6.18;

/// Quieter than what sixteen bits can say is nothing.
const QUIETEST_DBM: f32 = -90.0;

/// The level of the background.
#[derive(Debug)]
struct Floor(f32);

impl Floor {
    fn new() -> Self {
        Self(HIGHEST_FLOOR)
    }

    /// Whether `loud`, a root mean square over `ms` milliseconds, is speech.
    fn is_speech(&mut self, loud: f32, ms: usize) -> bool {
        self.0 = if loud < self.0 {
            loud
        } else {
            self.0 * RISE.powi(i32::try_from(ms / 10).unwrap_or(1))
        }
        .clamp(INAUDIBLE / ABOVE, HIGHEST_FLOOR);
        loud > (self.0 * ABOVE).max(INAUDIBLE)
    }
}

/// One direction of a call, listened to by its level.
#[derive(Debug)]
pub(crate) struct Activity {
    floor: Floor,
    pause_ms: usize,
    voice: Power,
    background: Power,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            floor: Floor::new(),
            // Nobody has spoken yet.
            pause_ms: HANGOVER_MS,
            voice: Power::default(),
            background: Power::default(),
        }
    }

    /// Takes in a root mean square over `ms` milliseconds; answers whether it is speech.
    pub(crate) fn hear(&mut self, loud: f32, ms: usize) -> bool {
        if self.floor.is_speech(loud, ms) {
            self.pause_ms = 0;
            self.voice.add(loud, ms);
            return true;
        }
        self.pause_ms = self.pause_ms.saturating_add(ms);
        if !self.is_active() {
            self.background.add(loud, ms);
        }
        false
    }

    /// Whether somebody speaks.
    pub(crate) fn is_active(&self) -> bool {
        self.pause_ms < HANGOVER_MS
    }

    /// Of the voice while it speaks, over 0 dBm0 (RFC 3611 §4.7.4); none before it has.
    pub(crate) fn signal_dbm(&self) -> Option<i8> {
        self.voice.dbm()
    }

    /// Of what is heard while it does not.
    pub(crate) fn noise_dbm(&self) -> Option<i8> {
        self.background.dbm()
    }
}

/// The mean of the last seconds.
#[derive(Debug, Default)]
struct Power {
    mean_square: f32,
    heard_ms: f32,
}

impl Power {
    fn add(&mut self, loud: f32, ms: usize) {
        let ms = ms as f32;
        self.heard_ms = (self.heard_ms + ms).min(MEMORY_MS);
        self.mean_square += (loud * loud - self.mean_square) * (ms / self.heard_ms.max(1.0));
    }

    fn dbm(&self) -> Option<i8> {
        if self.heard_ms == 0.0 {
            return None;
        }
        let dbm = 10.0 * self.mean_square.log10() + FULL_SCALE_DBM;
        // `as` saturates, and silence is minus infinity.
        Some(dbm.max(QUIETEST_DBM).round() as i8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(voice: &mut Activity, loud: f32, ms: usize) {
        for _ in 0..ms / 10 {
            voice.hear(loud, 10);
        }
    }

    #[test]
    fn speech_is_active_while_it_lasts_and_a_little_longer() {
        let mut voice = Activity::new();
        assert!(!voice.is_active());
        hear(&mut voice, 0.001, 500);
        assert!(!voice.is_active());
        hear(&mut voice, 0.1, 10);
        assert!(voice.is_active());
        hear(&mut voice, 0.001, 290);
        assert!(voice.is_active());
        hear(&mut voice, 0.001, 10);
        assert!(!voice.is_active());
    }

    #[test]
    fn levels_of_voice_and_background_are_told_apart() {
        let mut voice = Activity::new();
        assert_eq!((voice.signal_dbm(), voice.noise_dbm()), (None, None));
        for _ in 0..10 {
            hear(&mut voice, 0.001, 1_000);
            hear(&mut voice, 0.1, 1_000);
        }
        // 20·log₁₀ of the level, and 6.18 dB.
        assert_eq!(voice.signal_dbm(), Some(-14));
        assert_eq!(voice.noise_dbm(), Some(-54));
    }

    #[test]
    fn a_sine_of_full_scale_is_three_decibels_above_the_reference() {
        let mut voice = Activity::new();
        hear(&mut voice, std::f32::consts::FRAC_1_SQRT_2, 1_000);
        assert_eq!(voice.signal_dbm(), Some(3));
    }

    #[test]
    fn digital_silence_is_as_quiet_as_can_be_said() {
        let mut voice = Activity::new();
        hear(&mut voice, 0.0, 1_000);
        assert_eq!((voice.signal_dbm(), voice.noise_dbm()), (None, Some(-90)));
        assert!(!voice.is_active());
    }
}
