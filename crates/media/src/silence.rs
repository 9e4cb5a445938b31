//! When nothing is said: whether a packet is worth sending, and what the silence sounds like instead (RFC 3389).
//!
//! ```text
//!  level ▂▂▂▇▇▅▇▂▂▂▂▂▂▂▂▂▂▇▇
//!  sent  ────────────────CN      CN ──     what is no speech for long is told now and then
//! ```

use codecs::NoiseMeter;

use crate::activity::HANGOVER_MS;

/// A change of level that is worth a packet, in dB, and the longest time without one.
const WORTH_DB: u8 = 3;
const AGAIN_MS: usize = 1_000;

/// Tells a silence that is worth telling from one that is not, and remembers what the silence was told to sound like.
pub(crate) struct Silence {
    meter: NoiseMeter,
    /// Since the last speech.
    since_ms: usize,
    /// What was told last in this silence, and how long ago.
    told: Option<(u8, usize)>,
}

/// What to do with a packet's worth of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it.
    Speech,
    /// Send what the silence sounds like.
    Noise,
    /// Send nothing.
    Nothing,
}

impl Silence {
    pub(crate) fn new() -> Self {
        Self {
            meter: NoiseMeter::new(),
            since_ms: 0,
            told: None,
        }
    }

    /// Judges a packet of `ms` milliseconds, which is speech or not.
    pub(crate) fn judge(&mut self, samples: &[i16], ms: usize, speech: bool) -> Verdict {
        if speech {
            self.since_ms = 0;
            self.told = None;
            return Verdict::Speech;
        }
        self.meter.hear(samples);
        self.since_ms = self.since_ms.saturating_add(ms);
        if self.since_ms <= HANGOVER_MS {
            return Verdict::Speech;
        }
        let level_db = self.meter.level_db();
        let (told_db, ago_ms) = match self.told {
            Some((told_db, ago_ms)) => (Some(told_db), ago_ms + ms),
            None => (None, 0),
        };
        let worth = told_db.is_none_or(|told_db| told_db.abs_diff(level_db) >= WORTH_DB);
        if worth || ago_ms >= AGAIN_MS {
            self.told = Some((level_db, 0));
            return Verdict::Noise;
        }
        self.told = told_db.map(|told_db| (told_db, ago_ms));
        Verdict::Nothing
    }

    /// Writes what the silence sounds like; answers how many bytes that took.
    pub(crate) fn payload(&self, out: &mut [u8]) -> usize {
        self.meter.payload(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Activity;
    use crate::stream::level;

    /// A silence and who tells it from speech.
    struct Room {
        silence: Silence,
        activity: Activity,
    }

    impl Room {
        fn new() -> Self {
            Self {
                silence: Silence::new(),
                activity: Activity::new(),
            }
        }

        fn judge(&mut self, samples: &[i16], ms: usize) -> Verdict {
            let speech = self.activity.hear(level(samples), ms);
            self.silence.judge(samples, ms, speech)
        }
    }

    fn noise(loud: f32, seed: u64) -> impl FnMut() -> Vec<i16> {
        let mut state = seed;
        move || {
            (0..160)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let even = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
                    (even * loud * 32_768.0 * 3f32.sqrt()) as i16
                })
                .collect()
        }
    }

    #[test]
    fn a_quiet_room_is_told_once_a_second_and_speech_is_sent_with_its_end() {
        let mut silence = Room::new();
        let (mut room, mut speech) = (noise(0.001, 1), noise(0.05, 2));
        let mut told = Vec::new();
        for n in 0..400 {
            let talks = (100..150).contains(&n);
            let frame = if talks { speech() } else { room() };
            let verdict = silence.judge(&frame, 20);
            if talks || (150..165).contains(&n) {
                assert_eq!(verdict, Verdict::Speech, "{n}");
            }
            if verdict == Verdict::Noise {
                told.push(n);
                let mut payload = [0; codecs::NOISE_PAYLOAD];
                assert_eq!(silence.silence.payload(&mut payload), payload.len());
                assert!((58..=62).contains(&payload[0]), "{} dB", payload[0]);
            }
        }
        assert_eq!(told, [15, 65, 165, 215, 265, 315, 365]);
    }

    #[test]
    fn music_goes_on_and_a_louder_room_is_learned() {
        let mut silence = Room::new();
        let mut music = noise(0.03, 3);
        for n in 0..3_000 {
            assert_eq!(silence.judge(&music(), 20), Verdict::Speech, "{n}");
        }
        // A fan is switched on: at first it is sent, after some seconds it is the room.
        let mut silence = Room::new();
        let (mut room, mut fan) = (noise(0.000_6, 4), noise(0.004, 5));
        (0..200).for_each(|_| {
            let _ = silence.judge(&room(), 20);
        });
        assert_eq!(silence.judge(&fan(), 20), Verdict::Speech);
        let sent = (0..1_000)
            .filter(|_| silence.judge(&fan(), 20) == Verdict::Speech)
            .count();
        assert!((100..900).contains(&sent), "{sent} of 1000");
        assert_eq!(silence.judge(&fan(), 20), Verdict::Nothing);
    }

    #[test]
    fn digital_silence_is_silence() {
        let mut silence = Room::new();
        let verdicts: Vec<Verdict> = (0..30).map(|_| silence.judge(&[0; 160], 20)).collect();
        assert_eq!(verdicts[14], Verdict::Speech);
        assert_eq!(verdicts[15], Verdict::Noise);
        assert!(verdicts[16..].iter().all(|v| *v == Verdict::Nothing));
    }
}
