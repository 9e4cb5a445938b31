//! Digits in the speech itself: tones of two frequencies, told apart from words.
//!
//! ```text
//!            1209  1336  1477  1633 Hz
//!   697 Hz     1     2     3     A
//!   770 Hz     4     5     6     B
//!   852 Hz     7     8     9     C
//!   941 Hz     *     0     #     D
//! ```
//!
//! A block of 12.75 ms is asked how much of each frequency is in it (Goertzel). It counts as a digit when one row and one
//! column stand out, are about as loud as each other (ITU-T Q.24 table A-1), hold most of all the energy there is, which
//! words do not, and have no overtones. Two such blocks in a row begin a digit, which is told when it has ended.

use std::f32::consts::TAU;

const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const KEYS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// Blocks in a second: 102 samples at 8 kHz.
const BLOCKS_PER_SECOND: f32 = 8_000.0 / 102.0;

/// Blocks that make a digit. 40 ms hold two whole ones at least, 20 ms never do (Q.24: 40 ms is one, 20 ms is none).
const BLOCKS: u32 = 2;

/// Blocks that may be missing in the middle of a digit: 20 ms of loss is none (Q.24: a gap of 10 ms).
const GAP: u32 = 2;

/// The least level of the two together, as mean square: about -36 dB below full scale.
const LEAST: f32 = 2.5e-4;

/// How much louder the column may be than the row, and the row than the column: 8 dB and 6 dB. Q.24 wants 4 to 8 and 4.
const TWIST: f32 = 6.3;
const REVERSE_TWIST: f32 = 4.0;

/// How much a frequency stands out from the others of its group: 8 dB.
const STANDS_OUT: f32 = 6.3;

/// The share of all energy that the two have. Exact ones have all of it, ones that are off by 1.5 % four fifths; and 20 ms
/// cannot fill that much of two blocks.
const SHARE: f32 = 0.79;

/// The share of a tone that its overtone may have: voices have strong ones.
const OVERTONE: f32 = 0.1;

/// A digit that was heard in the speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardDigit {
    /// Which: 0–9, `*`, `#`, A–D.
    pub digit: char,
    /// How long it sounded, in milliseconds, give or take 25.
    pub duration_ms: u32,
}

/// How much of one frequency a block has.
#[derive(Clone, Copy, Debug, Default)]
struct Goertzel {
    factor: f32,
    last: f32,
    before: f32,
}

impl Goertzel {
    fn new(hz: f32, rate_hz: f32) -> Self {
        Self {
            factor: 2.0 * (TAU * hz / rate_hz).cos(),
            last: 0.0,
            before: 0.0,
        }
    }

    fn push(&mut self, sample: f32) {
        let next = sample + self.factor * self.last - self.before;
        self.before = std::mem::replace(&mut self.last, next);
    }

    fn take(&mut self) -> f32 {
        let (last, before) = (self.last, self.before);
        (self.last, self.before) = (0.0, 0.0);
        last * last + before * before - self.factor * last * before
    }
}

/// Listens for digits. Allocates nothing.
#[derive(Clone, Debug)]
pub struct DtmfDetector {
    /// Rows, columns, and the overtones of both.
    tones: [Goertzel; 16],
    energy: f32,
    seen: u32,
    block: u32,
    /// What the blocks have been so far, and how many of them in a row.
    candidate: Option<char>,
    hits: u32,
    misses: u32,
}

impl DtmfDetector {
    /// A detector for speech of this rate, 8000 or more.
    #[must_use]
    pub fn new(rate_hz: u32) -> Self {
        let rate = rate_hz.max(8_000) as f32;
        let tones = std::array::from_fn(|n| {
            let hz = if n % 8 < 4 {
                ROWS_HZ[n % 4]
            } else {
                COLUMNS_HZ[n % 4]
            };
            Goertzel::new(if n < 8 { hz } else { 2.0 * hz }, rate)
        });
        Self {
            tones,
            energy: 0.0,
            seen: 0,
            block: (rate / BLOCKS_PER_SECOND) as u32,
            candidate: None,
            hits: 0,
            misses: 0,
        }
    }

    /// Listens to more speech. A digit is told when it is over; of two that end in the same frame the first is lost, but
    /// no frame is as long as two digits.
    pub fn process(&mut self, samples: &[i16]) -> Option<HeardDigit> {
        let mut heard = None;
        for sample in samples {
            let sample = f32::from(*sample) / 32_768.0;
            self.energy += sample * sample;
            for tone in &mut self.tones {
                tone.push(sample);
            }
            self.seen += 1;
            if self.seen >= self.block {
                let found = self.judge();
                heard = self.follow(found).or(heard);
            }
        }
        heard
    }

    /// What the block that is now whole holds.
    fn judge(&mut self) -> Option<char> {
        let count = self.seen as f32;
        let power = self.tones.each_mut().map(Goertzel::take);
        let energy = std::mem::take(&mut self.energy);
        self.seen = 0;
        // A sine of mean square 1 has a power of count²/2.
        let (row, row_power) = loudest(&power[..4])?;
        let (column, column_power) = loudest(&power[4..8])?;
        let both = (row_power + column_power) * 2.0 / count;
        let fits = energy / count >= LEAST
            && both >= SHARE * energy
            && column_power <= TWIST * row_power
            && row_power <= REVERSE_TWIST * column_power
            && power[8 + row] <= OVERTONE * row_power
            && power[12 + column] <= OVERTONE * column_power;
        fits.then(|| KEYS[row][column])
    }

    /// Takes in one block more.
    fn follow(&mut self, found: Option<char>) -> Option<HeardDigit> {
        if found.is_some() && found == self.candidate {
            // What was missing in between belongs to it.
            self.hits += 1 + std::mem::take(&mut self.misses);
            return None;
        }
        self.misses += 1;
        if found.is_none() && self.misses <= GAP && self.candidate.is_some() {
            return None;
        }
        let over = self.candidate.take().filter(|_| self.hits >= BLOCKS);
        let heard = over.map(|digit| HeardDigit {
            digit,
            // At either end there is a part of a block.
            duration_ms: ((self.hits + 1) as f32 * 1_000.0 / BLOCKS_PER_SECOND) as u32,
        });
        self.candidate = found;
        self.hits = u32::from(found.is_some());
        self.misses = 0;
        heard
    }
}

/// The loudest of a group, if it stands out from all others of it.
fn loudest(power: &[f32]) -> Option<(usize, f32)> {
    let (best, most) = power
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let alone = power
        .iter()
        .enumerate()
        .all(|(n, other)| n == best || other * STANDS_OUT <= most);
    alone.then_some((best, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u32; 3] = [8_000, 16_000, 48_000];

    struct Press {
        digit: char,
        ms: u32,
        /// Levels of row and column below full scale, in decibels.
        db: [f32; 2],
        /// By how much the frequencies are off.
        off: f32,
    }

    impl Press {
        fn new(digit: char, ms: u32) -> Self {
            Self {
                digit,
                ms,
                db: [-12.0, -12.0],
                off: 0.0,
            }
        }

        fn sound(&self, rate_hz: u32) -> Vec<i16> {
            let rows = KEYS.iter().zip(ROWS_HZ);
            let (row, column) = rows
                .flat_map(|(keys, row)| {
                    keys.iter()
                        .zip(COLUMNS_HZ)
                        .map(move |(key, column)| (*key, row, column))
                })
                .find_map(|(key, row, column)| (key == self.digit).then_some((row, column)))
                .unwrap();
            let gain = self.db.map(|db| 10f32.powf(db / 20.0));
            (0..rate_hz * self.ms / 1_000)
                .map(|n| {
                    let t = n as f32 / rate_hz as f32;
                    let turn = TAU * t * (1.0 + self.off);
                    let sum = gain[0] * (turn * row).sin() + gain[1] * (turn * column).sin();
                    (sum * 32_767.0) as i16
                })
                .collect()
        }
    }

    /// What is heard of some presses with silence between them, in frames of 10 ms.
    fn heard(rate_hz: u32, presses: &[Press], pause_ms: u32) -> Vec<HeardDigit> {
        let pause = vec![0; (rate_hz * pause_ms / 1_000) as usize];
        let mut sound = pause.clone();
        for press in presses {
            sound.extend(press.sound(rate_hz));
            sound.extend(&pause);
        }
        sound.extend(vec![0; rate_hz as usize / 10]);
        listen(rate_hz, &sound)
    }

    fn listen(rate_hz: u32, sound: &[i16]) -> Vec<HeardDigit> {
        let mut detector = DtmfDetector::new(rate_hz);
        let frames = sound.chunks(rate_hz as usize / 100);
        frames.filter_map(|frame| detector.process(frame)).collect()
    }

    #[test]
    fn every_key_is_heard_once_at_every_rate_with_its_length() {
        for rate in RATES {
            let presses: Vec<Press> = "123A456B789C*0#D"
                .chars()
                .map(|digit| Press::new(digit, 100))
                .collect();
            let heard = heard(rate, &presses, 60);
            let digits: String = heard.iter().map(|heard| heard.digit).collect();
            assert_eq!(digits, "123A456B789C*0#D", "{rate}");
            for heard in heard {
                assert!((75..=125).contains(&heard.duration_ms), "{heard:?}");
            }
        }
    }

    #[test]
    fn forty_milliseconds_are_a_digit_and_twenty_are_none() {
        for digit in "159D".chars() {
            for shift in 0..13 {
                let at = |ms| heard(8_000, &[Press::new(digit, ms)], 50 + shift).len();
                assert_eq!((at(40), at(20)), (1, 0), "{digit} at {shift}");
            }
        }
        // The same key twice, 45 ms apart, is two digits.
        let twice = [Press::new('5', 60), Press::new('5', 60)];
        assert_eq!(heard(8_000, &twice, 45).len(), 2);
    }

    #[test]
    fn frequencies_and_levels_are_taken_as_far_as_the_standard_says() {
        let check = |db: [f32; 2], off: f32| {
            let press = |digit| Press {
                db,
                off,
                ..Press::new(digit, 80)
            };
            "159D"
                .chars()
                .filter(|d| heard(8_000, &[press(*d)], 50).len() == 1)
                .count()
        };
        // Q.24: within 1.5 % always, beyond 3.5 % never.
        for off in [-0.015, 0.015] {
            assert_eq!(check([-12.0, -12.0], off), 4, "{off}");
        }
        for off in [-0.04, 0.04] {
            assert_eq!(check([-12.0, -12.0], off), 0, "{off}");
        }
        assert_eq!(check([-28.0, -28.0], 0.0), 4);
        assert_eq!(check([-60.0, -60.0], 0.0), 0);
        // Lines weaken high frequencies, and phones strengthen them in turn.
        assert_eq!(check([-16.0, -10.0], 0.0), 4);
        assert_eq!(check([-10.0, -14.0], 0.0), 4);
        assert_eq!(check([-22.0, -10.0], 0.0), 0);
        assert_eq!(check([-10.0, -22.0], 0.0), 0);
    }

    #[test]
    fn words_music_and_noise_are_no_digits() {
        let rate = 8_000u32;
        let mut state = 9u64;
        let mut noise = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let mut phase = 0.0f32;
        // Two minutes of a voice whose pitch wanders over three octaves, its overtones falling off slowly.
        let voice: Vec<i16> = (0..rate * 120)
            .map(|n| {
                let t = n as f32 / rate as f32;
                phase =
                    (phase + (80.0 * 8f32.powf(0.5 + 0.5 * (t * 0.7).sin())) / rate as f32) % 1.0;
                let tone: f32 = (1..6)
                    .map(|h| (phase * TAU * h as f32).sin() / h as f32)
                    .sum();
                ((0.25 * tone + 0.01 * noise()) * 20_000.0) as i16
            })
            .collect();
        assert_eq!(listen(rate, &voice), []);
        let hiss: Vec<i16> = (0..rate * 60)
            .map(|_| (noise() * 20_000.0) as i16)
            .collect();
        assert_eq!(listen(rate, &hiss), []);
        // Dial tone, ringback of North America, and a single frequency of the keypad.
        for pair in [[350.0, 440.0], [440.0, 480.0], [697.0, 697.0]] {
            let tone: Vec<i16> = (0..rate * 5)
                .map(|n| {
                    let t = n as f32 / rate as f32;
                    let sum: f32 = pair.iter().map(|hz| (TAU * hz * t).sin()).sum();
                    (sum * 8_000.0) as i16
                })
                .collect();
            assert_eq!(listen(rate, &tone), [], "{pair:?}");
        }
    }

    #[test]
    fn a_digit_is_heard_over_noise() {
        let mut state = 5u64;
        let mut sound = vec![0i16; 800];
        sound.extend(Press::new('8', 100).sound(8_000));
        sound.extend([0; 1_600]);
        for sample in &mut sound {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // 20 dB below the tones.
            *sample = sample.saturating_add(((state >> 48) as i16) / 20);
        }
        let digits: String = listen(8_000, &sound)
            .iter()
            .map(|heard| heard.digit)
            .collect();
        assert_eq!(digits, "8");
    }
}
