//! G.711: the two companding laws, by arithmetic one way and by table the other.
//!
//! Both laws cut the magnitude into eight segments, each twice as coarse as the one before, and give
//! four bits to the place within the segment. µ-law adds 33 (132 at 16 bit) to the magnitude first, so that
//! its segments begin at powers of two; it sends all bits inverted, A-law every second one.

/// What µ-law adds to a 16-bit magnitude.
const BIAS: u16 = 132;

/// The largest 16-bit magnitude that µ-law can tell from its neighbours.
const MU_LAW_CLIP: u16 = 32_635;

/// Each µ-law code's value, at 16 bit.
static MU_LAW: [i16; 256] = mu_law_table();

/// Each A-law code's value, at 16 bit.
static A_LAW: [i16; 256] = a_law_table();

/// The µ-law code of silence.
pub const MU_LAW_SILENCE: u8 = 0xff;

/// The A-law code of silence.
pub const A_LAW_SILENCE: u8 = 0xd5;

/// Encodes as many samples as both slices have.
pub fn encode_mu_law(samples: &[i16], payload: &mut [u8]) {
    for (sample, code) in samples.iter().zip(payload) {
        *code = mu_law_code(*sample);
    }
}

/// Encodes as many samples as both slices have.
pub fn encode_a_law(samples: &[i16], payload: &mut [u8]) {
    for (sample, code) in samples.iter().zip(payload) {
        *code = a_law_code(*sample);
    }
}

/// Decodes as many codes as both slices have.
pub fn decode_mu_law(payload: &[u8], samples: &mut [i16]) {
    for (code, sample) in payload.iter().zip(samples) {
        *sample = MU_LAW[usize::from(*code)];
    }
}

/// Decodes as many codes as both slices have.
pub fn decode_a_law(payload: &[u8], samples: &mut [i16]) {
    for (code, sample) in payload.iter().zip(samples) {
        *sample = A_LAW[usize::from(*code)];
    }
}

/// G.711 table 2a and 2b: the code of one sample.
#[must_use]
pub const fn mu_law_code(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs();
    let clipped = if magnitude > MU_LAW_CLIP {
        MU_LAW_CLIP
    } else {
        magnitude
    };
    // With the bias the value lies in 132..32768, so the leading one is bit 7 (segment 0) to bit 14.
    let biased = clipped + BIAS;
    let segment = 8 - biased.leading_zeros() as u16;
    let place = (biased >> (segment + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | (segment << 4) as u8 | place as u8)
}

/// G.711 table 1a and 1b: the code of one sample.
#[must_use]
pub const fn a_law_code(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs();
    let clipped = if magnitude > 0x7fff {
        0x7fff
    } else {
        magnitude
    };
    // The two lowest segments have the same step; from 256 on each starts at a power of two.
    let segment = if clipped < 256 {
        0
    } else {
        8 - clipped.leading_zeros() as u16
    };
    let shift = if segment == 0 { 4 } else { segment + 3 };
    let place = (clipped >> shift) & 0x0f;
    // In A-law the sign bit says *positive*.
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | (segment << 4) as u8 | place as u8) ^ 0x55
}

/// The value of a µ-law code: the middle of its interval.
const fn mu_law_value(code: u8) -> i16 {
    let bits = !code;
    let segment = (bits >> 4) & 7;
    let place = (bits & 0x0f) as i16;
    let magnitude = (((place << 3) + BIAS as i16) << segment) - BIAS as i16;
    if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The value of an A-law code: the middle of its interval.
const fn a_law_value(code: u8) -> i16 {
    let bits = code ^ 0x55;
    let segment = (bits >> 4) & 7;
    let place = (bits & 0x0f) as i16;
    let magnitude = if segment == 0 {
        (place << 4) + 8
    } else {
        ((place << 4) + 8 + 256) << (segment - 1)
    };
    if bits & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}

const fn mu_law_table() -> [i16; 256] {
    let mut values = [0; 256];
    let mut code = 0;
    while code < 256 {
        values[code] = mu_law_value(code as u8);
        code += 1;
    }
    values
}

const fn a_law_table() -> [i16; 256] {
    let mut values = [0; 256];
    let mut code = 0;
    while code < 256 {
        values[code] = a_law_value(code as u8);
        code += 1;
    }
    values
}
