//! Speech codecs behind one face: Opus, G.722, G.711 µ-law and A-law, and what fills the gap when a packet is lost.
//!
//! Samples are 16-bit and mono, at the codec's own rate ([`CodecKind::sample_rate_hz`]). An [`Encoder`]
//! turns a frame into a payload, a [`Decoder`] turns payloads back and can also say something plausible
//! where a payload is missing: [`Decoder::decode_fec`] when the packet after the gap is at hand,
//! [`Decoder::conceal`] when it is not. Both allocate when they are made and never again, so they may be
//! used on a thread with deadlines.
//!
//! ```text
//!  i16 frame ─► Encoder::encode ─► payload ─► Decoder::decode     ─► i16 frame
//!                                  lost, next known ─► decode_fec ─► i16 frame
//!                                  lost             ─► conceal    ─► i16 frame
//! ```
//!
//! What a silence sounds like is told and made by [`NoiseMeter`] and [`NoiseMaker`] (RFC 3389).

use std::fmt;

mod comfort_noise;
mod concealment;
mod dtmf;
pub mod g711;
pub mod g722;
mod opus;

pub use comfort_noise::{NOISE_PAYLOAD, NoiseMaker, NoiseMeter};
use concealment::Concealment;
pub use dtmf::{DtmfDetector, HeardDigit};
pub use opus::RecordingEncoder;

/// The longest frame a single payload may hold, in milliseconds (RFC 6716 §2.1.4).
pub const LONGEST_FRAME_MS: usize = 120;

/// The most samples that one payload can decode to: 120 ms of Opus at 48 kHz.
pub const LONGEST_FRAME_SAMPLES: usize = 5760;

/// A payload buffer of this many bytes is enough for every frame that [`Encoder::encode`] accepts.
pub const LONGEST_PAYLOAD: usize = 1276;

/// A codec this crate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodecKind {
    /// Opus (RFC 6716, RTP in RFC 7587): 48 kHz, mono.
    Opus,
    /// G.722 (RTP in RFC 3551 §4.5.2): 16 kHz, 64 kb/s.
    G722,
    /// G.711 µ-law (RTP in RFC 3551 §4.5.14): 8 kHz, 64 kb/s.
    Pcmu,
    /// G.711 A-law (RTP in RFC 3551 §4.5.14): 8 kHz, 64 kb/s.
    Pcma,
}

impl CodecKind {
    /// The rate of the samples that go in and come out.
    #[must_use]
    pub const fn sample_rate_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::G722 => 16_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    /// The rate at which RTP timestamps count. Opus always says 48000 (RFC 7587 §4.1), and G.722 has 8000
    /// though it is sampled at 16000: an error of RFC 1890 that RFC 3551 §4.5.2 keeps.
    #[must_use]
    pub const fn rtp_clock_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::G722 | Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    /// How many ticks of the RTP clock so many samples last.
    #[must_use]
    pub const fn ticks(self, samples: usize) -> u32 {
        (samples as u64 * self.rtp_clock_hz() as u64 / self.sample_rate_hz() as u64) as u32
    }

    /// How many samples so many ticks of the RTP clock last.
    #[must_use]
    pub const fn samples(self, ticks: u32) -> usize {
        (ticks as u64 * self.sample_rate_hz() as u64 / self.rtp_clock_hz() as u64) as usize
    }

    /// How many ticks of the RTP clock a payload lasts, as its length or its first bytes tell: Opus says it in the table of
    /// contents (RFC 6716 §3.1, §3.2). What is broken counts as 20 ms.
    #[must_use]
    pub fn payload_ticks(self, payload: &[u8]) -> u32 {
        let ticks = match self {
            Self::Opus => opus::payload_samples(payload),
            // A byte for each tick of 8 kHz.
            Self::G722 | Self::Pcmu | Self::Pcma => u32::try_from(payload.len()).ok(),
        };
        let ticks = ticks.filter(|ticks| *ticks > 0);
        ticks.unwrap_or(self.rtp_clock_hz() / 50)
    }

    /// How many samples a frame of `ms` milliseconds has.
    #[must_use]
    pub const fn frame_samples(self, ms: usize) -> usize {
        self.sample_rate_hz() as usize / 1000 * ms
    }

    /// The payload type that RFC 3551 §6 fixes, where there is one.
    #[must_use]
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Opus => None,
            Self::G722 => Some(9),
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
        }
    }

    /// The encoding name as SDP writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::G722 => "G722",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }
}

impl fmt::Display for CodecKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What can go wrong at a codec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload is not one of this codec. What arrives from the network can cause it.
    #[error("payload of {length} bytes is not valid {codec}")]
    BadPayload {
        /// Whose rules the payload breaks.
        codec: CodecKind,
        /// The payload's length in bytes.
        length: usize,
    },
    /// The caller's frame has a length that this codec has no name for.
    #[error("{codec} has no frame of {samples} samples")]
    BadFrame {
        /// The codec asked.
        codec: CodecKind,
        /// The frame's length in samples.
        samples: usize,
    },
    /// The caller's buffer is shorter than what has to go in.
    #[error("buffer of {given} is too short, {needed} needed")]
    BufferTooShort {
        /// The buffer's length.
        given: usize,
        /// The length that would do.
        needed: usize,
    },
    /// libopus refused to make a codec or to take a setting.
    #[error("libopus refused: {0}")]
    Opus(String),
}

/// How an [`Encoder`] should work. G.711 has no choices and ignores all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderOptions {
    /// Aimed-at bit rate of Opus in bits per second. Below about 20 kb/s libopus spends nothing on FEC.
    pub bitrate_bps: u32,
    /// Put a coarse copy of each frame into the next packet (RFC 6716 §2.1.7).
    pub fec: bool,
    /// The loss to prepare for, in percent; without it libopus spends nothing on FEC.
    pub expected_loss_percent: u8,
    /// Send nothing in silence (RFC 7587 §3.1.3); [`Encoder::encode`] then answers 0.
    pub dtx: bool,
    /// Every frame of the same length (RFC 7587 §6.1, `cbr`).
    pub constant_bit_rate: bool,
    /// The highest rate of the far end's loudspeaker in hertz (RFC 7587 §6.1, `maxplaybackrate`): no wider band is encoded.
    pub playback_rate_hz: u32,
    /// Effort from 0 to 10.
    pub complexity: u8,
}

impl Default for EncoderOptions {
    /// Speech as a call wants it: 32 kb/s (PESQ 3.72 at 5 % loss, where 28 kb/s have 3.56), FEC for 10 % loss, no DTX
    /// (it makes silence sound dead).
    fn default() -> Self {
        Self {
            bitrate_bps: 32_000,
            fec: true,
            expected_loss_percent: 10,
            dtx: false,
            constant_bit_rate: false,
            playback_rate_hz: 48_000,
            complexity: 9,
        }
    }
}

/// Turns frames into payloads.
#[derive(Debug)]
pub struct Encoder {
    kind: CodecKind,
    /// There for Opus only.
    opus: Option<opus::OpusEncoder>,
    /// Used by G.722 only; G.711 has no state.
    g722: g722::Encoder,
}

impl Encoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// [`CodecError::Opus`] when libopus has no memory or refuses an option.
    pub fn new(kind: CodecKind, options: EncoderOptions) -> Result<Self, CodecError> {
        let opus = match kind {
            CodecKind::Opus => Some(opus::OpusEncoder::new(options)?),
            CodecKind::G722 | CodecKind::Pcmu | CodecKind::Pcma => None,
        };
        Ok(Self {
            kind,
            opus,
            g722: g722::Encoder::default(),
        })
    }

    /// Encodes one frame into `payload` and answers how many bytes were written.
    ///
    /// 0 means that this frame need not be sent (Opus in silence with DTX); its time passes all the same.
    /// Opus takes frames of 2.5, 5, 10, 20, 40 or 60 ms, G.722 any even number of samples, G.711 any length.
    ///
    /// # Errors
    /// [`CodecError::BadFrame`] and [`CodecError::BufferTooShort`] when the caller is wrong.
    pub fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        if let Some(opus) = &mut self.opus {
            return opus.encode(samples, payload);
        }
        let (given, needed) = (payload.len(), self.kind.ticks(samples.len()) as usize);
        if self.kind.samples(needed as u32) != samples.len() {
            return Err(CodecError::BadFrame {
                codec: self.kind,
                samples: samples.len(),
            });
        }
        // A byte for each tick of 8 kHz.
        let Some(payload) = payload.get_mut(..needed) else {
            return Err(CodecError::BufferTooShort { given, needed });
        };
        match self.kind {
            CodecKind::G722 => self.g722.encode(samples, payload),
            CodecKind::Pcma => g711::encode_a_law(samples, payload),
            _ => g711::encode_mu_law(samples, payload),
        }
        Ok(needed)
    }

    /// Tells Opus how much loss the far end reports, so that it spends bits on FEC accordingly.
    ///
    /// # Errors
    /// [`CodecError::Opus`] when libopus refuses.
    pub fn set_expected_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        match &mut self.opus {
            Some(opus) => opus.set_expected_loss(percent),
            None => Ok(()),
        }
    }

    /// Changes the bit rate of Opus.
    ///
    /// # Errors
    /// [`CodecError::Opus`] when libopus refuses.
    pub fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        match &mut self.opus {
            Some(opus) => opus.set_bitrate(bits_per_second),
            None => Ok(()),
        }
    }

    /// Works as these options say from the next frame on, but for the loss and the effort, which have their own.
    ///
    /// # Errors
    /// [`CodecError::Opus`] when libopus refuses.
    pub fn set_options(&mut self, options: &EncoderOptions) -> Result<(), CodecError> {
        match &mut self.opus {
            Some(opus) => opus.set_options(options),
            None => Ok(()),
        }
    }

    /// Changes the effort of Opus, 0 to 10: 9 takes three to four times the time of 1.
    ///
    /// # Errors
    /// [`CodecError::Opus`] when libopus refuses.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), CodecError> {
        match &mut self.opus {
            Some(opus) => opus.set_complexity(complexity),
            None => Ok(()),
        }
    }

    /// Which codec this is.
    #[must_use]
    pub fn kind(&self) -> CodecKind {
        self.kind
    }
}

/// Turns payloads into frames, and missing payloads into something that is not noticed much.
#[derive(Debug)]
pub struct Decoder {
    kind: CodecKind,
    state: State,
}

#[derive(Debug)]
enum State {
    Opus(opus::OpusDecoder),
    /// Samples need a history to conceal from; the codec itself has no state.
    G711(Box<Concealment>),
    G722(Box<(g722::Decoder, Concealment)>),
}

impl Decoder {
    /// Makes a decoder.
    ///
    /// # Errors
    /// [`CodecError::Opus`] when libopus has no memory.
    pub fn new(kind: CodecKind) -> Result<Self, CodecError> {
        let state = match kind {
            CodecKind::Opus => State::Opus(opus::OpusDecoder::new()?),
            CodecKind::G722 => State::G722(Box::new((
                g722::Decoder::default(),
                Concealment::new(16_000),
            ))),
            CodecKind::Pcmu | CodecKind::Pcma => State::G711(Box::new(Concealment::new(8_000))),
        };
        Ok(Self { kind, state })
    }

    /// Decodes a payload into the front of `out` and answers how many samples there are.
    ///
    /// # Errors
    /// [`CodecError::BadPayload`] when the payload is empty or broken, [`CodecError::BufferTooShort`]
    /// when it is longer than `out`; [`LONGEST_FRAME_SAMPLES`] is enough for Opus.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let (g722, concealment) = match &mut self.state {
            State::Opus(opus) => return opus.decode(payload, out),
            State::G711(concealment) => (None, &mut **concealment),
            State::G722(both) => (Some(&mut both.0), &mut both.1),
        };
        if payload.is_empty() {
            return Err(CodecError::BadPayload {
                codec: self.kind,
                length: 0,
            });
        }
        let given = out.len();
        let needed = if g722.is_some() {
            2 * payload.len()
        } else {
            payload.len()
        };
        let Some(out) = out.get_mut(..needed) else {
            return Err(CodecError::BufferTooShort { given, needed });
        };
        match (g722, self.kind) {
            (Some(g722), _) => g722.decode(payload, out),
            (None, CodecKind::Pcma) => g711::decode_a_law(payload, out),
            (None, _) => g711::decode_mu_law(payload, out),
        }
        concealment.remember(out);
        Ok(needed)
    }

    /// Fills `out`, whose length is that of the lost frame, from the copy that the *next* payload may
    /// carry; conceals when it carries none. The next payload still has to be given to
    /// [`decode`](Self::decode) afterwards.
    ///
    /// Answers `true` when a copy was there.
    pub fn decode_fec(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        match &mut self.state {
            State::Opus(opus) => opus.decode_fec(next, out),
            State::G711(concealment) => {
                concealment.conceal(out);
                false
            }
            State::G722(both) => {
                both.1.conceal(out);
                false
            }
        }
    }

    /// Fills `out`, whose length is that of what is missing (whole multiples of 10 ms), with a
    /// continuation of what was heard; it fades to silence in a long gap.
    pub fn conceal(&mut self, out: &mut [i16]) {
        match &mut self.state {
            State::Opus(opus) => opus.conceal(out),
            State::G711(concealment) => concealment.conceal(out),
            State::G722(both) => both.1.conceal(out),
        }
    }

    /// Begins anew in the place of another decoder: what this one heard long ago says nothing about what comes. From the
    /// other law of G.711 it takes over what was heard, for a payload that is missing then.
    pub fn follow(&mut self, before: &mut Self) {
        match (&mut self.state, &mut before.state) {
            (State::G711(ours), State::G711(theirs)) => std::mem::swap(ours, theirs),
            (State::G711(ours), _) => **ours = Concealment::new(8_000),
            (State::G722(ours), _) => {
                **ours = (g722::Decoder::default(), Concealment::new(16_000));
            }
            (State::Opus(opus), _) => opus.reset(),
        }
    }

    /// Whether a payload carries a copy of what the one before it said, for [`decode_fec`](Self::decode_fec).
    #[must_use]
    pub fn carries_fec(&self, payload: &[u8]) -> bool {
        self.kind == CodecKind::Opus && opus::carries_fec(payload)
    }

    /// Which codec this is.
    #[must_use]
    pub fn kind(&self) -> CodecKind {
        self.kind
    }
}

/// The libopus that is linked, as it names itself, such as `libopus 1.6.1`.
#[must_use]
pub fn libopus_version() -> &'static str {
    audiopus::version()
}

#[cfg(test)]
mod tests;
