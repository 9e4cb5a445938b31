//! G.722 at 64 kbit/s (ITU-T G.722, mode 1): 16 kHz in two bands of 8 kHz, six bits for each lower sample and
//! two for each upper one.
//!
//! ```text
//!  16 kHz ─► QMF ─┬─ lower ─► − prediction ─► 6 bits ─┬─► one byte for two samples
//!                 └─ upper ─► − prediction ─► 2 bits ─┘
//! ```
//!
//! Each band is an ADPCM with two poles and six zeros that adapt to what was decoded, at both ends alike.
//! The names of the steps are those of the recommendation (§6.2). `ezk-g722` 0.1.2 was looked at first: it
//! makes a new vector for each frame, which a thread with deadlines must not, and brings a media framework
//! with it, and begins with a step size of 0 where the recommendation has 32 and 8. But for that, this makes the
//! same bits.

/// One band's predictor and step size.
#[derive(Debug, Clone)]
struct Band {
    /// The predictor's output: the signal estimate.
    s: i32,
    sz: i32,
    /// Reconstructed signal, newest first.
    r: [i32; 3],
    /// Partially reconstructed signal, newest first.
    p: [i32; 3],
    /// Coefficients of the poles, at 1 and 2.
    a: [i32; 3],
    /// Quantised difference signal, newest first.
    d: [i32; 7],
    /// Coefficients of the zeros, at 1 to 6.
    b: [i32; 7],
    /// Logarithm of the step size.
    nb: i32,
    /// Step size.
    det: i32,
}

impl Band {
    fn new(det: i32) -> Self {
        Self {
            s: 0,
            sz: 0,
            r: [0; 3],
            p: [0; 3],
            a: [0; 3],
            d: [0; 7],
            b: [0; 7],
            nb: 0,
            det,
        }
    }

    /// Blocks 4L and 4H: adapts the predictor to a difference and predicts the next sample.
    fn adapt(&mut self, difference: i32) {
        // RECONS and PARREC.
        self.d[0] = difference;
        self.r[0] = saturated(self.s + difference);
        self.p[0] = saturated(self.sz + difference);
        // UPPOL2.
        let sign = self.p.map(|p| p >> 15);
        let doubled = saturated(self.a[1] << 2);
        let turned = if sign[0] == sign[1] {
            -doubled
        } else {
            doubled
        }
        .min(32_767);
        let towards = if sign[0] == sign[2] { 128 } else { -128 };
        let second =
            (towards + (turned >> 7) + ((self.a[2] * 32_512) >> 15)).clamp(-12_288, 12_288);
        // UPPOL1.
        let towards = if sign[0] == sign[1] { 192 } else { -192 };
        let limit = saturated(15_360 - second);
        let first = saturated(towards + ((self.a[1] * 32_640) >> 15)).clamp(-limit, limit);
        // UPZERO.
        let step = if difference == 0 { 0 } else { 128 };
        let sign = difference >> 15;
        for (b, d) in self.b.iter_mut().zip(&self.d).skip(1) {
            let towards = if d >> 15 == sign { step } else { -step };
            *b = saturated(towards + ((*b * 32_640) >> 15));
        }
        // DELAYA.
        self.d.copy_within(..6, 1);
        self.r.copy_within(..2, 1);
        self.p.copy_within(..2, 1);
        (self.a[1], self.a[2]) = (first, second);
        // FILTEP and FILTEZ.
        let pole = |n: usize| (self.a[n] * saturated(2 * self.r[n])) >> 15;
        let sp = saturated(pole(1) + pole(2));
        let zeros = self.b.iter().zip(&self.d).skip(1);
        let sz = zeros.map(|(b, d)| (b * saturated(2 * d)) >> 15).sum();
        self.sz = saturated(sz);
        // PREDIC.
        self.s = saturated(sp + self.sz);
    }

    /// Blocks 3L and 3H: adapts the step size.
    fn scale(&mut self, weight: i32, most: i32, shift: i32) {
        self.nb = (((self.nb * 127) >> 7) + weight).clamp(0, most);
        let fraction = entry(&ILB, self.nb >> 6 & 31);
        let shift = shift - (self.nb >> 11);
        let linear = if shift < 0 {
            fraction << -shift
        } else {
            fraction >> shift
        };
        self.det = linear << 2;
    }

    /// The lower band takes in a code of six bits, of which the upper four adapt it.
    fn take_lower(&mut self, code: i32) {
        let short = code >> 2;
        let difference = (self.det * entry(&QM4, short)) >> 15;
        self.scale(entry(&WL, entry(&RL42, short)), 18_432, 8);
        self.adapt(difference);
    }

    /// The upper band takes in a code of two bits.
    fn take_upper(&mut self, code: i32) {
        let difference = (self.det * entry(&QM2, code)) >> 15;
        self.scale(entry(&WH, entry(&RH2, code)), 22_528, 10);
        self.adapt(difference);
    }
}

/// From 16 kHz to 64 kbit/s.
#[derive(Debug, Clone)]
pub struct Encoder {
    line: [i32; 24],
    lower: Band,
    upper: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            line: [0; 24],
            lower: Band::new(32),
            upper: Band::new(8),
        }
    }
}

impl Encoder {
    /// One byte for each two samples, as many as there is room for.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) {
        for (pair, byte) in samples.chunks_exact(2).zip(out) {
            self.line.copy_within(2.., 0);
            let [.., first, second] = &mut self.line;
            (*first, *second) = (i32::from(pair[0]), i32::from(pair[1]));
            let even = filtered(&self.line, 0, QMF.iter());
            let odd = filtered(&self.line, 1, QMF.iter().rev());
            let lower = (odd + even) >> 14;
            let upper = (odd - even) >> 14;
            let (low, high) = (self.lower_code(lower), self.upper_code(upper));
            self.lower.take_lower(low);
            self.upper.take_upper(high);
            *byte = (high << 6 | low) as u8;
        }
    }

    /// Blocks 1L: the difference in 60 steps.
    fn lower_code(&self, sample: i32) -> i32 {
        let difference = saturated(sample - self.lower.s);
        let size = if difference < 0 {
            -(difference + 1)
        } else {
            difference
        };
        let above = |step: &&i32| size >= (**step * self.lower.det) >> 12;
        let level = 1 + Q6.iter().take_while(above).count();
        // The codes count down from the smallest difference to the largest.
        let level = i32::try_from(level).unwrap_or(30);
        match (difference < 0, level) {
            (true, 1..=2) => 64 - level,
            (true, _) => 34 - level,
            (false, _) => 62 - level,
        }
    }

    /// Block 1H: the difference in four steps.
    fn upper_code(&self, sample: i32) -> i32 {
        let difference = saturated(sample - self.upper.s);
        let size = if difference < 0 {
            -(difference + 1)
        } else {
            difference
        };
        let large = size >= (564 * self.upper.det) >> 12;
        match (difference < 0, large) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        }
    }
}

/// From 64 kbit/s to 16 kHz. Any bytes are speech to it.
#[derive(Debug, Clone)]
pub struct Decoder {
    line: [i32; 24],
    lower: Band,
    upper: Band,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            line: [0; 24],
            lower: Band::new(32),
            upper: Band::new(8),
        }
    }
}

impl Decoder {
    /// Two samples for each byte, as many as there is room for.
    pub fn decode(&mut self, bytes: &[u8], out: &mut [i16]) {
        for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
            let (low, high) = (i32::from(byte & 0x3F), i32::from(byte >> 6));
            // Blocks 5 and 6: all six bits make the sample, four of them adapt.
            let lower = self.lower.s + ((self.lower.det * entry(&QM6, low)) >> 15);
            let upper = self.upper.s + ((self.upper.det * entry(&QM2, high)) >> 15);
            let (lower, upper) = (lower.clamp(-16_384, 16_383), upper.clamp(-16_384, 16_383));
            self.lower.take_lower(low);
            self.upper.take_upper(high);
            self.line.copy_within(2.., 0);
            let [.., first, second] = &mut self.line;
            (*first, *second) = (lower + upper, lower - upper);
            let even = filtered(&self.line, 0, QMF.iter());
            let odd = filtered(&self.line, 1, QMF.iter().rev());
            pair[0] = saturated(odd >> 11) as i16;
            pair[1] = saturated(even >> 11) as i16;
        }
    }
}

/// One half of the quadrature mirror filter of 24 taps (§3.1, §4.4): the even or the odd places against its
/// twelve coefficients, forwards or backwards.
fn filtered<'a>(line: &[i32; 24], place: usize, taps: impl Iterator<Item = &'a i32>) -> i32 {
    let places = line.iter().skip(place).step_by(2);
    places.zip(taps).map(|(sample, tap)| sample * tap).sum()
}

fn saturated(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// Codes have no more bits than their tables have entries.
fn entry<const N: usize>(table: &[i32; N], code: i32) -> i32 {
    let place = usize::try_from(code).unwrap_or_default();
    table.get(place).copied().unwrap_or_default()
}

const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

const Q6: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023,
    1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];

const QM2: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];

const QM4: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];

const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];

const WL: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1_198, 3_042];

const RL42: [i32; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];

const WH: [i32; 3] = [0, -214, 798];

const RH2: [i32; 4] = [2, 1, 2, 1];

const ILB: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];
