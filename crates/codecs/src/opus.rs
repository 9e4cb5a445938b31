//! Opus through libopus, mono at 48 kHz.

use std::fmt;

use audiopus::coder::{Decoder, Encoder, GenericCtl};
use audiopus::packet::Packet;
use audiopus::{Application, Bandwidth, Bitrate, Channels, MutSignals, SampleRate, Signal};

use crate::{CodecError, CodecKind, EncoderOptions, LONGEST_FRAME_SAMPLES};

/// A packet of one byte (or two) says nothing but "still silent" (RFC 6716 §3.1, RFC 7587 §3.1.3).
const SILENCE_BYTES: usize = 2;

pub(crate) struct OpusEncoder(Encoder);

impl OpusEncoder {
    pub(crate) fn new(options: EncoderOptions) -> Result<Self, CodecError> {
        let mut encoder = Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip)
            .map_err(refused)?;
        encoder.set_signal(Signal::Voice).map_err(refused)?;
        let mut encoder = Self(encoder);
        encoder.set_complexity(options.complexity)?;
        encoder.set_expected_loss(options.expected_loss_percent)?;
        encoder.set_options(&options)?;
        Ok(encoder)
    }

    pub(crate) fn set_options(&mut self, options: &EncoderOptions) -> Result<(), CodecError> {
        // RFC 7587 §3.1.1, table 2.
        let widest = match options.playback_rate_hz {
            ..12_000 => Bandwidth::Narrowband,
            12_000..16_000 => Bandwidth::Mediumband,
            16_000..24_000 => Bandwidth::Wideband,
            24_000..48_000 => Bandwidth::Superwideband,
            48_000.. => Bandwidth::Fullband,
        };
        let encoder = &mut self.0;
        encoder.set_inband_fec(options.fec).map_err(refused)?;
        encoder.set_dtx(options.dtx).map_err(refused)?;
        encoder
            .set_vbr(!options.constant_bit_rate)
            .map_err(refused)?;
        encoder.set_max_bandwidth(widest).map_err(refused)?;
        self.set_bitrate(options.bitrate_bps)
    }

    pub(crate) fn encode(
        &mut self,
        samples: &[i16],
        payload: &mut [u8],
    ) -> Result<usize, CodecError> {
        // 2.5, 5, 10, 20, 40 and 60 ms (RFC 6716 §2.1.4).
        if !matches!(samples.len(), 120 | 240 | 480 | 960 | 1920 | 2880) {
            return Err(CodecError::BadFrame {
                codec: CodecKind::Opus,
                samples: samples.len(),
            });
        }
        let written = self.0.encode(samples, payload).map_err(refused)?;
        Ok(if written <= SILENCE_BYTES { 0 } else { written })
    }

    pub(crate) fn set_expected_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        self.0
            .set_packet_loss_perc(percent.min(100))
            .map_err(refused)
    }

    pub(crate) fn set_complexity(&mut self, complexity: u8) -> Result<(), CodecError> {
        self.0.set_complexity(complexity.min(10)).map_err(refused)
    }

    pub(crate) fn set_bitrate(&mut self, bits_per_second: u32) -> Result<(), CodecError> {
        // libopus takes 500 b/s to 512 kb/s.
        let bits = i32::try_from(bits_per_second.clamp(500, 512_000)).unwrap_or(512_000);
        self.0
            .set_bitrate(Bitrate::BitsPerSecond(bits))
            .map_err(refused)
    }
}

impl fmt::Debug for OpusEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpusEncoder")
    }
}

/// Opus for a file instead of a call: one channel or two, at any rate of our codecs, 32 kb/s a channel. Nothing is there
/// for loss, and a voice on one side stays on that side.
pub struct RecordingEncoder {
    encoder: Encoder,
    channels: usize,
    rate_hz: u32,
}

/// Good speech over its full band, by the file and not by the packet.
const RECORDING_BPS: i32 = 32_000;

impl RecordingEncoder {
    /// For samples of so many channels at this rate.
    ///
    /// # Errors
    /// [`CodecError::Opus`] when there is no Opus of that kind.
    pub fn new(rate_hz: u32, channels: u16) -> Result<Self, CodecError> {
        let odd = |what: &str| CodecError::Opus(format!("no Opus of {what}"));
        let rate = i32::try_from(rate_hz).map_err(|_| odd("this rate"))?;
        let rate = SampleRate::try_from(rate).map_err(refused)?;
        let (count, bits) = match channels {
            1 => (Channels::Mono, RECORDING_BPS),
            2 => (Channels::Stereo, 2 * RECORDING_BPS),
            _ => return Err(odd("so many channels")),
        };
        let mut encoder = Encoder::new(rate, count, Application::Audio).map_err(refused)?;
        encoder.set_signal(Signal::Voice).map_err(refused)?;
        encoder
            .set_bitrate(Bitrate::BitsPerSecond(bits))
            .map_err(refused)?;
        encoder.set_complexity(5).map_err(refused)?;
        Ok(Self {
            encoder,
            channels: usize::from(channels),
            rate_hz,
        })
    }

    /// Encodes 20 ms, the samples of all channels in turn; answers the length of the packet, which is never empty.
    ///
    /// # Errors
    /// It is another length, or `packet` is shorter than [`LONGEST_PAYLOAD`](crate::LONGEST_PAYLOAD).
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Result<usize, CodecError> {
        if samples.len() != (self.rate_hz / 50) as usize * self.channels {
            return Err(CodecError::BadFrame {
                codec: CodecKind::Opus,
                samples: samples.len(),
            });
        }
        self.encoder.encode(samples, packet).map_err(refused)
    }

    /// By how many samples of a channel what is decoded is later than what went in.
    #[must_use]
    pub fn lookahead(&self) -> u32 {
        // It only fails for an encoder that is none.
        self.encoder.lookahead().unwrap_or(0)
    }
}

impl fmt::Debug for RecordingEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordingEncoder")
    }
}

pub(crate) struct OpusDecoder(Decoder);

impl OpusDecoder {
    pub(crate) fn new() -> Result<Self, CodecError> {
        Decoder::new(SampleRate::Hz48000, Channels::Mono)
            .map(Self)
            .map_err(refused)
    }

    pub(crate) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let bad = CodecError::BadPayload {
            codec: CodecKind::Opus,
            length: payload.len(),
        };
        if out.is_empty() {
            return Err(CodecError::BufferTooShort {
                given: 0,
                needed: LONGEST_FRAME_SAMPLES,
            });
        }
        let Ok(packet) = Packet::try_from(payload) else {
            return Err(bad);
        };
        let Ok(signals) = MutSignals::try_from(&mut *out) else {
            return Err(bad);
        };
        self.0.decode(Some(packet), signals, false).map_err(|_| bad)
    }

    /// Forgets what it heard.
    pub(crate) fn reset(&mut self) {
        // It only fails for a decoder that is none.
        let _ = self.0.reset_state();
    }

    /// Answers whether the next packet carried a copy; `out` is filled either way.
    pub(crate) fn decode_fec(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        if !carries_fec(next) {
            self.conceal(out);
            return false;
        }
        let decoded = match (Packet::try_from(next), MutSignals::try_from(&mut *out)) {
            (Ok(packet), Ok(signals)) => self.0.decode(Some(packet), signals, true),
            _ => Ok(0),
        };
        if decoded.is_ok_and(|samples| samples == out.len()) {
            return true;
        }
        self.conceal(out);
        false
    }

    pub(crate) fn conceal(&mut self, out: &mut [i16]) {
        // libopus conceals up to 120 ms at a time, in steps of 2.5 ms.
        for piece in out.chunks_mut(LONGEST_FRAME_SAMPLES) {
            let decoded = MutSignals::try_from(&mut *piece)
                .and_then(|signals| self.0.decode(None, signals, false));
            if !decoded.is_ok_and(|samples| samples == piece.len()) {
                piece.fill(0);
            }
        }
    }
}

impl fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpusDecoder")
    }
}

/// How many samples of 48 kHz a packet says that it holds: its configuration and its count of frames (RFC 6716 §3.1, §3.2).
/// None where it is empty, or longer than a packet may be.
pub(crate) fn payload_samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        silk @ 0..12 => [480, 960, 1_920, 2_880][usize::from(silk % 4)],
        hybrid @ 12..16 => [480, 960][usize::from(hybrid % 2)],
        celt => [120, 240, 480, 960][usize::from(celt % 4)],
    };
    let frames = match toc & 0x03 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3F),
    };
    Some(frame * frames).filter(|samples| *samples <= LONGEST_FRAME_SAMPLES as u32)
}

/// Whether a packet carries a copy of the frame before it: the LBRR flag of a SILK or hybrid packet
/// (RFC 6716 §4.2.4).
///
/// The first bits of the first SILK frame are the voice-activity flags, one per 20 ms, and then the LBRR
/// flag. They are coded with even odds, and the range coder's first symbols of even odds are the
/// first bits of the frame.
pub(crate) fn carries_fec(packet: &[u8]) -> bool {
    let Some((toc, rest)) = packet.split_first() else {
        return false;
    };
    let configuration = toc >> 3;
    // 16..=31 is CELT alone, which has no such copy.
    if configuration >= 16 {
        return false;
    }
    let silk_frames = match configuration {
        // Hybrid: 10 and 20 ms, both one SILK frame.
        12..=15 => 1,
        silk => match silk % 4 {
            0 | 1 => 1,
            2 => 2,
            _ => 3,
        },
    };
    // The frame begins after the table of contents, and after the count byte and the lengths of the
    // packets with several frames; those are not looked into, the decoder is asked instead.
    if toc & 0x03 != 0 {
        return true;
    }
    rest.first()
        .is_some_and(|first| first & (0x80 >> silk_frames) != 0)
}

fn refused(error: audiopus::Error) -> CodecError {
    CodecError::Opus(error.to_string())
}
