//! Comfort noise (RFC 3389): what a silence sounds like, told in a few bytes and made again at the other end.
//!
//! ```text
//!  byte 0     level of the noise, in dB below overload (0 to 127)            §3.1
//!  byte 1…    reflection coefficients, k = 258 · (N − 127) / 32768           §3.2
//! ```
//!
//! Most senders tell the level alone; then the noise is white. The coefficients are those of the recursion by which
//! `A(z) = 1 + a₁z⁻¹ + …` grows, so that for noise with more low tones than high ones the first is negative.

/// Coefficients that are sent; the RFC leaves the number free.
const ORDER: usize = 8;

/// Coefficients that are followed; further ones are passed over, as §3.2 allows.
const MOST: usize = 12;

/// A payload of this many bytes has room for what [`NoiseMeter::payload`] writes.
pub const NOISE_PAYLOAD: usize = ORDER + 1;

/// What the level at full scale is, for samples of 16 bits.
const FULL: f32 = 32_768.0;

/// How much of the past a frame leaves: the noise of a room is measured over about half a second of frames of 20 ms.
const SLOWLY: f32 = 0.9;

/// Of each frame of the generator the part of the way that level and colour go to what was told last.
const APPROACH: f32 = 0.25;

/// Listens to what is not speech.
#[derive(Clone, Debug)]
pub struct NoiseMeter {
    /// Autocorrelation per sample, slowly following.
    correlation: [f32; ORDER + 1],
    heard: bool,
}

impl Default for NoiseMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl NoiseMeter {
    /// Nothing heard yet: silence.
    #[must_use]
    pub fn new() -> Self {
        Self {
            correlation: [0.0; ORDER + 1],
            heard: false,
        }
    }

    /// Takes in a frame without speech.
    pub fn hear(&mut self, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        let keep = if self.heard { SLOWLY } else { 0.0 };
        self.heard = true;
        for (lag, sum) in self.correlation.iter_mut().enumerate() {
            let pairs = samples.iter().zip(samples.get(lag..).unwrap_or_default());
            let product: f32 = pairs.map(|(a, b)| f32::from(*a) * f32::from(*b)).sum();
            *sum = *sum * keep + product / samples.len() as f32 * (1.0 - keep);
        }
    }

    /// The level of what was heard, in dB below overload, 0 to 127.
    #[must_use]
    pub fn level_db(&self) -> u8 {
        let power = self.correlation[0] / (FULL * FULL);
        // `as` saturates: silence is infinitely far below.
        (-10.0 * power.max(1e-13).log10()).round().clamp(0.0, 127.0) as u8
    }

    /// Writes what was heard; answers how many bytes that took, 0 when there is no room.
    pub fn payload(&self, out: &mut [u8]) -> usize {
        let Some(out) = out.get_mut(..NOISE_PAYLOAD) else {
            return 0;
        };
        let mut k = [0.0; ORDER];
        reflections(&self.correlation, &mut k);
        out[0] = self.level_db();
        for (byte, k) in out.iter_mut().skip(1).zip(k) {
            *byte = (127.0 + k * FULL / 258.0).round().clamp(0.0, 254.0) as u8;
        }
        NOISE_PAYLOAD
    }
}

/// Levinson's and Durbin's recursion.
fn reflections(correlation: &[f32; ORDER + 1], out: &mut [f32; ORDER]) {
    // A little white noise keeps it well behaved.
    let mut error = correlation[0] * 1.000_1 + 1e-3;
    let mut a = [0.0f32; ORDER + 1];
    a[0] = 1.0;
    for m in 1..=ORDER {
        let sum: f32 = (0..m).map(|i| a[i] * correlation[m - i]).sum();
        let k = (-sum / error).clamp(-0.99, 0.99);
        out[m - 1] = k;
        let before = a;
        for i in 1..=m {
            a[i] = before[i] + k * before[m - i];
        }
        error *= 1.0 - k * k;
    }
}

/// Makes noise as it was told.
#[derive(Clone, Debug)]
pub struct NoiseMaker {
    /// Root mean square, in samples of 16 bits, and where it goes.
    level: f32,
    wanted_level: f32,
    k: [f32; MOST],
    wanted_k: [f32; MOST],
    memory: [f32; MOST],
    state: u32,
}

impl Default for NoiseMaker {
    fn default() -> Self {
        Self::new()
    }
}

impl NoiseMaker {
    /// Told nothing yet: silence.
    #[must_use]
    pub fn new() -> Self {
        Self {
            level: 0.0,
            wanted_level: 0.0,
            k: [0.0; MOST],
            wanted_k: [0.0; MOST],
            memory: [0.0; MOST],
            state: 0x2545_f491,
        }
    }

    /// Takes in a payload. An empty one says nothing new.
    pub fn tell(&mut self, payload: &[u8]) {
        let Some((level, colour)) = payload.split_first() else {
            return;
        };
        // §3.1: the most significant bit is 0; who sets it means nothing by it.
        let db = f32::from(level & 0x7f);
        self.wanted_level = FULL * 10f32.powf(-db / 20.0);
        self.wanted_k = [0.0; MOST];
        for (k, byte) in self.wanted_k.iter_mut().zip(colour) {
            // 255 is reserved (§3.2).
            *k = (f32::from((*byte).min(254)) - 127.0) * 258.0 / FULL;
        }
    }

    /// Begins with what was told last, without leading over to it: a silence has just begun.
    pub fn begin(&mut self) {
        self.level = self.wanted_level;
        self.k = self.wanted_k;
    }

    /// Fills a frame.
    pub fn make(&mut self, out: &mut [i16]) {
        self.level += (self.wanted_level - self.level) * APPROACH;
        let mut gain = self.level;
        for (k, wanted) in self.k.iter_mut().zip(self.wanted_k) {
            *k += (wanted - *k) * APPROACH;
            // What the filter adds to the power of its input.
            gain *= (1.0 - *k * *k).max(0.0).sqrt();
        }
        for sample in out {
            *sample = self.filtered(gain).round() as i16;
        }
    }

    /// One sample through the lattice.
    fn filtered(&mut self, gain: f32) -> f32 {
        let mut forward = self.white() * gain;
        for m in (0..MOST).rev() {
            forward -= self.k[m] * self.memory[m];
            let backward = self.memory[m] + self.k[m] * forward;
            if let Some(next) = self.memory.get_mut(m + 1) {
                *next = backward;
            }
        }
        self.memory[0] = forward;
        // Stable as long as every |k| is below 1; what rounding does is bounded here.
        forward.clamp(-FULL, FULL)
    }

    /// White noise with a root mean square of 1.
    fn white(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        (self.state as f32 / u32::MAX as f32 - 0.5) * 12f32.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rms(samples: &[i16]) -> f32 {
        let sum: f32 = samples.iter().map(|s| f32::from(*s).powi(2)).sum();
        (sum / samples.len() as f32).sqrt()
    }

    /// How alike neighbours are: 1 for deep sounds, -1 for high ones.
    fn colour(samples: &[i16]) -> f32 {
        let product: f32 = samples
            .windows(2)
            .map(|w| f32::from(w[0]) * f32::from(w[1]))
            .sum();
        product / (rms(samples).powi(2) * samples.len() as f32)
    }

    fn made(payload: &[u8]) -> Vec<i16> {
        let mut maker = NoiseMaker::new();
        maker.tell(payload);
        maker.begin();
        let mut samples = vec![0; 160 * 50];
        for frame in samples.chunks_mut(160) {
            maker.make(frame);
        }
        samples
    }

    #[test]
    fn a_level_alone_makes_white_noise_of_that_level() {
        // RFC 3389 §3.1: -30 dBov.
        for (db, root) in [(30, 1_036.0f32), (60, 32.77), (75, 5.83)] {
            let samples = made(&[db]);
            let heard = rms(&samples);
            assert!((heard / root - 1.0).abs() < 0.1, "{db} dB: {heard}");
            assert!(colour(&samples).abs() < 0.06, "{db} dB");
        }
        assert_eq!(rms(&made(&[127])), 0.0);
    }

    #[test]
    fn noise_comes_back_with_its_level_and_colour() {
        for (pole, gain) in [(0.9f32, 100.0f32), (0.5, 300.0), (-0.6, 200.0), (0.0, 40.0)] {
            let mut source = NoiseMaker::new();
            let mut last = 0.0;
            let room: Vec<i16> = (0..160 * 100)
                .map(|_| {
                    last = pole * last + source.white() * gain;
                    last as i16
                })
                .collect();
            let mut meter = NoiseMeter::new();
            room.chunks(160).for_each(|frame| meter.hear(frame));
            let mut payload = [0; NOISE_PAYLOAD];
            assert_eq!(meter.payload(&mut payload), NOISE_PAYLOAD);
            let again = made(&payload);
            let (one, other) = (rms(&room), rms(&again));
            assert!((other / one - 1.0).abs() < 0.2, "{pole}: {one} and {other}");
            let (one, other) = (colour(&room), colour(&again));
            assert!((other - one).abs() < 0.1, "{pole}: {one} and {other}");
        }
    }

    #[test]
    fn a_new_level_is_led_over_to() {
        let mut maker = NoiseMaker::new();
        maker.tell(&[40]);
        maker.begin();
        let mut frame = [0; 160];
        maker.make(&mut frame);
        let before = rms(&frame);
        maker.tell(&[60]);
        maker.make(&mut frame);
        let next = rms(&frame);
        assert!(next < before && next > before / 4.0, "{before}, {next}");
        (0..30).for_each(|_| maker.make(&mut frame));
        assert!((rms(&frame) / 32.77 - 1.0).abs() < 0.2, "{}", rms(&frame));
    }

    #[test]
    fn silence_is_told_as_silence() {
        let mut meter = NoiseMeter::new();
        meter.hear(&[]);
        meter.hear(&[0; 160]);
        assert_eq!(meter.level_db(), 127);
        assert_eq!(meter.payload(&mut [0; 3]), 0);
    }

    #[test]
    fn whatever_is_told_the_noise_does_not_grow() {
        let mut state = 9u64;
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        for n in 0..300 {
            let payload: Vec<u8> = (0..n % 40).map(|_| byte()).collect();
            let samples = made(&payload);
            let (early, late) = (rms(&samples[..4_000]), rms(&samples[4_000..]));
            assert!(late <= early * 3.0 + 300.0, "{payload:?}: {early}, {late}");
        }
        // The strongest colours there are.
        for extreme in [0, 254, 255] {
            let samples = made(&[[0].as_slice(), &[extreme; 12]].concat());
            assert!(rms(&samples).is_finite());
        }
    }
}
