//! All that a peer may send: a decoder for each codec, and what reads its digits. Made off the pump.
//!
//! Offer and answer name several codecs, and whoever sends may go from one to another of them without a word
//! (RFC 3264 §7). Each packet says by its payload type which it is.
//!
//! ```text
//!  payload type ─► decoder ─► 8, 16 or 48 kHz ─► the widest of them ─┐
//!                                                                    ├─ faded over 10 ms ─► heard
//!  the decoder before: 10 ms of what would have followed ────────────┘   where the codec changes
//! ```

use codecs::{CodecError, CodecKind, Decoder, DtmfDetector};
use rtp::telephone_event::EventReceiver;

use crate::FRAME_SAMPLES;
use crate::config::{MOST_RECEIVED, ReceivedCodec, ReceivedEvents, StreamParameters};
use crate::resample::{Downsampler, Upsampler};
use crate::stream::{to_float, to_int};

/// What of a negotiation decides how the peer is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hearable {
    /// The agreed codec first.
    codecs: Vec<ReceivedCodec>,
    events: Vec<ReceivedEvents>,
}

impl Hearable {
    pub(crate) fn new(parameters: &StreamParameters) -> Self {
        let agreed = ReceivedCodec {
            payload_type: parameters.codec.receive_payload_type,
            kind: parameters.codec.kind,
        };
        let mut codecs = vec![agreed];
        for codec in &parameters.further_codecs {
            let known = |known: &ReceivedCodec| known.payload_type == codec.payload_type;
            if codecs.len() < MOST_RECEIVED && !codecs.iter().any(known) {
                codecs.push(*codec);
            }
        }
        let agreed = parameters.telephone_event.map(|event| ReceivedEvents {
            payload_type: event.receive_payload_type,
            clock_rate_hz: event.clock_rate_hz.max(1),
        });
        let mut events: Vec<ReceivedEvents> = agreed.into_iter().collect();
        for event in &parameters.further_events {
            let known = |known: &ReceivedEvents| known.payload_type == event.payload_type;
            if agreed.is_some() && events.len() < MOST_RECEIVED && !events.iter().any(known) {
                events.push(*event);
            }
        }
        Self { codecs, events }
    }
}

/// The decoders of one negotiation, and which of them is heard.
pub(crate) struct Formats {
    /// Which decoder it is for a payload type.
    types: Vec<(u8, usize)>,
    decoders: Vec<Decoder>,
    current: usize,
    events: Vec<(ReceivedEvents, EventReceiver)>,
    /// Listens for digits in the speech where none are agreed on as events.
    pub(crate) tones: DtmfDetector,
    /// The rate of what is heard: the highest of any of the codecs.
    rate_hz: u32,
    /// There where the codecs have several rates.
    bridge: Option<Box<Bridge>>,
    /// What the decoder before would have said next, at our rate.
    tail: Box<[i16; FRAME_SAMPLES]>,
    fading: usize,
}

impl Formats {
    /// # Errors
    /// A decoder cannot be made.
    pub(crate) fn new(hearable: &Hearable) -> Result<Self, CodecError> {
        let (mut types, mut decoders) = (Vec::new(), Vec::<Decoder>::new());
        for codec in &hearable.codecs {
            let found = decoders.iter().position(|d| d.kind() == codec.kind);
            let place = found.unwrap_or(decoders.len());
            if found.is_none() {
                decoders.push(Decoder::new(codec.kind)?);
            }
            types.push((codec.payload_type, place));
        }
        let rates = || decoders.iter().map(|d| d.kind().sample_rate_hz());
        let rate_hz = rates().max().unwrap_or(8_000);
        let bridge = rates().any(|rate| rate != rate_hz);
        let events = hearable.events.iter();
        let events = events.map(|event| (*event, EventReceiver::new(event.clock_rate_hz)));
        Ok(Self {
            types,
            current: 0,
            events: events.collect(),
            tones: DtmfDetector::new(rate_hz),
            rate_hz,
            bridge: bridge.then(Box::default),
            tail: Box::new([0; FRAME_SAMPLES]),
            fading: 0,
            decoders,
        })
    }

    /// Goes on where others were: what decoders have heard, and digits that are being pressed. Those stay behind that are no
    /// longer agreed on.
    pub(crate) fn take_over(&mut self, before: &mut Self) {
        let kind = before.kind();
        for ours in &mut self.decoders {
            let mut theirs = before.decoders.iter_mut();
            if let Some(theirs) = theirs.find(|theirs| theirs.kind() == ours.kind()) {
                std::mem::swap(ours, theirs);
            }
        }
        self.current = self.place_of_kind(kind).unwrap_or(0);
        for (event, ours) in &mut self.events {
            let mut theirs = before.events.iter_mut();
            if let Some((_, theirs)) = theirs.find(|(theirs, _)| theirs == event) {
                std::mem::swap(ours, theirs);
            }
        }
        if self.rate_hz == before.rate_hz {
            std::mem::swap(&mut self.tones, &mut before.tones);
            if self.bridge.is_some() && before.bridge.is_some() {
                std::mem::swap(&mut self.bridge, &mut before.bridge);
            }
        }
    }

    /// The codec that is heard at present.
    pub(crate) fn kind(&self) -> CodecKind {
        self.decoders
            .get(self.current)
            .map_or(CodecKind::Pcmu, Decoder::kind)
    }

    /// The rate of what is heard.
    pub(crate) fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// The codec of a payload type.
    pub(crate) fn kind_of(&self, payload_type: u8) -> Option<CodecKind> {
        let place = self.place_of(payload_type)?;
        self.decoders.get(place).map(Decoder::kind)
    }

    fn place_of(&self, payload_type: u8) -> Option<usize> {
        let mut types = self.types.iter();
        let found = types.find(|(number, _)| *number == payload_type)?;
        Some(found.1)
    }

    fn place_of_kind(&self, kind: CodecKind) -> Option<usize> {
        self.decoders.iter().position(|d| d.kind() == kind)
    }

    /// What reads the digits of a payload type, and the clock they count in.
    pub(crate) fn events_of(&mut self, payload_type: u8) -> Option<(u32, &mut EventReceiver)> {
        let mut events = self.events.iter_mut();
        let (event, receiver) = events.find(|(event, _)| event.payload_type == payload_type)?;
        Some((event.clock_rate_hz, receiver))
    }

    /// What reads digits of any payload type; none where they come as tones.
    pub(crate) fn events(&mut self) -> impl Iterator<Item = &mut EventReceiver> {
        self.events.iter_mut().map(|(_, receiver)| receiver)
    }

    /// Whether digits come as events.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The decoder that is heard.
    pub(crate) fn decoder(&mut self) -> Option<&mut Decoder> {
        self.decoders.get_mut(self.current)
    }

    /// Makes the decoder of this payload type the one that is heard; false where there is none. `native` is room for 10 ms at
    /// any rate. What it costs does not depend on how often it happens: 10 ms of concealment.
    pub(crate) fn turn_to(&mut self, payload_type: u8, native: &mut [i16]) -> bool {
        let Some(place) = self.place_of(payload_type) else {
            return false;
        };
        if place == self.current {
            return true;
        }
        let Ok([before, next]) = self.decoders.get_disjoint_mut([self.current, place]) else {
            return false;
        };
        let (from, to) = (before.kind(), next.kind());
        if from.sample_rate_hz() != to.sample_rate_hz() {
            let count = from.frame_samples(10).min(native.len());
            let native = native.get_mut(..count).unwrap_or_default();
            before.conceal(native);
            self.fading = match &mut self.bridge {
                Some(bridge) => {
                    let rates = (from.sample_rate_hz(), self.rate_hz);
                    let count = bridge.bring(rates, native, &mut self.tail[..]);
                    bridge.forget(to.sample_rate_hz());
                    count
                }
                None => 0,
            };
        }
        next.follow(before);
        self.current = place;
        true
    }

    /// Nothing that was heard sounds on in what comes next.
    pub(crate) fn forget_sound(&mut self) {
        if let Some(bridge) = &mut self.bridge {
            bridge.forget(8_000);
            bridge.forget(16_000);
        }
        self.fading = 0;
    }

    /// Brings what the decoder has made to the rate of what is heard; answers how many samples of `out` that are.
    pub(crate) fn bring(&mut self, native: &[i16], out: &mut [i16]) -> usize {
        let rates = (self.kind().sample_rate_hz(), self.rate_hz);
        let count = match &mut self.bridge {
            Some(bridge) => bridge.bring(rates, native, out),
            None => copy(native, out),
        };
        let fading = std::mem::take(&mut self.fading).min(count);
        for (n, (new, old)) in out.iter_mut().zip(&*self.tail).take(fading).enumerate() {
            let weight = (n + 1) as f32 / (fading + 1) as f32;
            *new = (f32::from(*new) * weight + f32::from(*old) * (1.0 - weight)) as i16;
        }
        count
    }
}

/// From the rate of any codec to that of a wider one.
#[derive(Default)]
struct Bridge {
    narrow: Upsampler<6>,
    wide: Upsampler<3>,
    down: Downsampler<3>,
}

impl Bridge {
    fn bring(&mut self, (from_hz, to_hz): (u32, u32), samples: &[i16], out: &mut [i16]) -> usize {
        if from_hz >= to_hz {
            return copy(samples, out);
        }
        let ratio = (to_hz / from_hz) as usize;
        let step = (from_hz / 100) as usize;
        let mut made = 0;
        for (chunk, room) in samples.chunks(step).zip(out.chunks_mut(step * ratio)) {
            let (mut low, mut full) = ([0.0; 160], [0.0; FRAME_SAMPLES]);
            to_float(chunk, &mut low);
            let low = low.get(..chunk.len()).unwrap_or_default();
            let count = chunk.len() * ratio;
            if from_hz == 8_000 {
                self.narrow.process(low, &mut full);
            } else {
                self.wide.process(low, &mut full);
            }
            if to_hz == 16_000 {
                let wide = full.get(..count * 3).unwrap_or_default();
                let mut half = [0.0; 160];
                self.down.process(wide, &mut half);
                to_int(half.get(..count).unwrap_or_default(), room);
            } else {
                to_int(full.get(..count).unwrap_or_default(), room);
            }
            made += count.min(room.len());
        }
        made
    }

    /// Begins anew from this rate.
    fn forget(&mut self, from_hz: u32) {
        match from_hz {
            8_000 => {
                self.narrow.forget();
                self.down.forget();
            }
            _ => self.wide.forget(),
        }
    }
}

fn copy(from: &[i16], to: &mut [i16]) -> usize {
    let count = from.len().min(to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Codec, TelephoneEvent};

    /// A description may name any number under any meaning; what that costs is bounded.
    #[test]
    fn of_many_payload_types_eight_count_and_each_codec_has_one_decoder() {
        let parameters = StreamParameters {
            further_codecs: (0..127)
                .map(|payload_type| ReceivedCodec {
                    payload_type,
                    kind: if payload_type % 2 == 0 {
                        CodecKind::Pcmu
                    } else {
                        CodecKind::Opus
                    },
                })
                .collect(),
            telephone_event: Some(TelephoneEvent {
                send_payload_type: 101,
                receive_payload_type: 101,
                clock_rate_hz: 8_000,
            }),
            further_events: (0..127)
                .map(|payload_type| ReceivedEvents {
                    payload_type,
                    clock_rate_hz: 48_000,
                })
                .collect(),
            ..StreamParameters::new(Codec::new(CodecKind::G722, 9))
        };
        let formats = Formats::new(&Hearable::new(&parameters)).unwrap();
        assert_eq!((formats.types.len(), formats.events.len()), (8, 8));
        assert_eq!(formats.decoders.len(), 3);
        // The agreed one stays what it is.
        assert_eq!(formats.kind_of(9), Some(CodecKind::G722));
        assert_eq!(formats.kind(), CodecKind::G722);
        assert_eq!(formats.kind_of(6), Some(CodecKind::Pcmu));
        assert_eq!(formats.kind_of(7), None);
    }
}
