//! From frame to packet: a source, the mute gate, the encoder, the RTP sender.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use codecs::{CodecKind, Encoder, LONGEST_PAYLOAD};
use rtp::Sender;
use rtp::telephone_event::{EventSender, EventStep, digit_of};

use crate::activity::Activity;
use crate::apart::{Finished, Processor};
use crate::config::{Source, StreamParameters};
use crate::counters::{StreamCounters, Wishes};
use crate::device::Capture;
use crate::pump::limit;
use crate::resample::{FromDevice, ToDevice, convert_all};
use crate::room::Leveller;
use crate::silence::{Silence, Verdict};
use crate::stream::{level, to_float, to_int};
use crate::tape::Tape;
use crate::tone::{Player, Tone, dtmf};
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// 60 ms at 48 kHz.
const LONGEST_FRAME: usize = 2_880;

/// Digits that wait as tones in the speech; more are refused.
const MOST_DIGITS: usize = 64;

/// The effort of Opus when many streams share the pump: a quarter of the time of the default, and a little less
/// clear.
const CROWDED_COMPLEXITY: u8 = 1;

/// Silence between two digits in the speech.
const PAUSE_TICKS: u32 = 6;

/// The capture device's frame of this step, at the rates that streams want it.
pub(crate) struct Microphone {
    frame: [f32; FRAME_SAMPLES],
    full: Option<[i16; FRAME_SAMPLES]>,
    wide: Option<[i16; 160]>,
    narrow: Option<[i16; 80]>,
    down: FromDevice,
    /// That of the last sample.
    gain: f32,
}

impl Microphone {
    pub(crate) fn new() -> Self {
        Self {
            frame: [0.0; FRAME_SAMPLES],
            full: None,
            wide: None,
            narrow: None,
            down: FromDevice::default(),
            gain: 1.0,
        }
    }

    /// Begins a step; false when the device had nothing. `waiting_ms` is what waits between here and the devices. The
    /// frame is there to be used when it is [finished](Self::finish).
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        capture: Option<&mut Capture>,
        voice: Option<&mut Processor>,
        waiting_ms: u64,
    ) -> bool {
        (self.full, self.wide, self.narrow) = (None, None, None);
        let Some(capture) = capture else {
            self.frame.fill(0.0);
            return true;
        };
        let heard = capture.read(now, &mut self.frame);
        if let Some(voice) = voice {
            voice.begin(&mut self.frame, waiting_ms);
        }
        heard
    }

    /// Has the frame of this step as it is to be said. For a step that has a device. Another gain than before comes in the
    /// course of the frame, as a jump would click.
    pub(crate) fn finish(&mut self, voice: Option<&mut Processor>, gain: f32) -> Finished {
        let finished = voice.map(|voice| voice.finish(&mut self.frame));
        if gain != 1.0 || self.gain != 1.0 {
            let step = (gain - self.gain) / FRAME_SAMPLES as f32;
            for sample in &mut self.frame {
                self.gain += step;
                *sample = limit(*sample * self.gain);
            }
            self.gain = gain;
        }
        finished.unwrap_or_default()
    }

    pub(crate) fn frame(&self) -> &[f32; FRAME_SAMPLES] {
        &self.frame
    }

    /// The frame at the codec's rate; converted once a step, for all streams.
    fn samples(&mut self, kind: CodecKind) -> &[i16] {
        let (frame, down) = (&self.frame, &mut self.down);
        let rate_hz = kind.sample_rate_hz();
        match rate_hz {
            SAMPLE_RATE_HZ => self.full.get_or_insert_with(|| {
                let mut samples = [0; FRAME_SAMPLES];
                down.process(frame, rate_hz, &mut samples);
                samples
            }),
            16_000 => self.wide.get_or_insert_with(|| {
                let mut samples = [0; 160];
                down.process(frame, rate_hz, &mut samples);
                samples
            }),
            _ => self.narrow.get_or_insert_with(|| {
                let mut samples = [0; 80];
                down.process(frame, rate_hz, &mut samples);
                samples
            }),
        }
    }
}

/// What there is to say something of, in one step.
pub(crate) struct Around<'a> {
    pub(crate) microphone: &'a mut Microphone,
    /// What this stream heard, at the rate that the peer is heard at.
    pub(crate) heard: &'a [i16],
    /// What the others of its conference say.
    pub(crate) others: Option<&'a [f32; FRAME_SAMPLES]>,
    /// What records the call and tells the peer so.
    pub(crate) tape: Option<&'a mut Tape>,
}

/// A source, made ready for one codec's rate.
pub(crate) enum Prepared {
    Microphone,
    File {
        samples: Arc<[i16]>,
        position: usize,
        looped: bool,
    },
    Tone(Box<Player>),
    Silence,
    /// With what brings it to the codec's rate, where it is heard at another.
    Echo(Box<(ToDevice, FromDevice)>),
}

/// What is said in place of the source for a while.
pub(crate) struct Instead {
    pub(crate) source: Prepared,
    pub(crate) number: u64,
    /// The others of its conference are not heard either.
    pub(crate) alone: bool,
    /// That it is over has been told.
    pub(crate) told: bool,
}

impl Prepared {
    /// Converts where that is needed; heavy for a file, so not on the pump.
    pub(crate) fn new(source: &Source, kind: CodecKind) -> Self {
        let rate_hz = kind.sample_rate_hz();
        match source {
            Source::Microphone => Self::Microphone,
            Source::Silence => Self::Silence,
            Source::Echo => Self::Echo(Box::default()),
            Source::Tone { hz } => {
                Self::Tone(Box::new(Player::new(Tone::Sine { hz: *hz }, rate_hz)))
            }
            Source::File { samples, looped } => {
                let converted = convert_all(samples, SAMPLE_RATE_HZ, rate_hz);
                let mut samples = vec![0; converted.len()];
                to_int(&converted, &mut samples);
                Self::File {
                    samples: samples.into(),
                    position: 0,
                    looped: *looped,
                }
            }
        }
    }

    /// A file that goes on where it was for another codec, or with another rate.
    pub(crate) fn go_on_from(&mut self, other: &Self) {
        if let (
            Self::File {
                samples, position, ..
            },
            Self::File {
                samples: before,
                position: was,
                ..
            },
        ) = (self, other)
        {
            *position = was.saturating_mul(samples.len()) / before.len().max(1);
        }
    }

    /// A file that has been said to its end.
    fn is_over(&self) -> bool {
        matches!(self, Self::File { samples, position, looped: false } if *position >= samples.len())
    }

    fn fill(
        &mut self,
        kind: CodecKind,
        microphone: &mut Microphone,
        heard: &[i16],
        out: &mut [i16],
    ) {
        match self {
            Self::Microphone => copy(microphone.samples(kind), out),
            Self::Echo(_) if heard.is_empty() || heard.len() == out.len() => copy(heard, out),
            Self::Echo(rates) => {
                let (mut full, (up, down)) = ([0.0; FRAME_SAMPLES], &mut **rates);
                up.process(heard, heard.len() as u32 * 100, &mut full);
                down.process(&full, kind.sample_rate_hz(), out);
            }
            Self::Silence => out.fill(0),
            Self::Tone(player) => {
                let mut samples = [0.0; FRAME_SAMPLES];
                let samples = &mut samples[..out.len().min(FRAME_SAMPLES)];
                player.add(samples);
                to_int(samples, out);
            }
            Self::File {
                samples,
                position,
                looped,
            } => play(samples, position, *looped, out),
        }
    }
}

fn copy(from: &[i16], out: &mut [i16]) {
    if from.len() == out.len() {
        out.copy_from_slice(from);
    } else {
        out.fill(0);
    }
}

fn play(samples: &[i16], position: &mut usize, looped: bool, out: &mut [i16]) {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let waiting = samples.get(*position..).unwrap_or_default();
        if waiting.is_empty() {
            if !looped || samples.is_empty() {
                rest.fill(0);
                return;
            }
            *position = 0;
            continue;
        }
        let count = waiting.len().min(rest.len());
        rest[..count].copy_from_slice(&waiting[..count]);
        *position += count;
        filled += count;
    }
}

/// The sending half of a stream.
pub(crate) struct SendPath {
    pub(crate) sender: Sender,
    pub(crate) encoder: Encoder,
    pub(crate) source: Prepared,
    /// Said in place of the source, which waits.
    pub(crate) instead: Option<Box<Instead>>,
    kind: CodecKind,
    payload_type: u8,
    frame: Box<[i16; LONGEST_FRAME]>,
    filled: usize,
    /// Where in the frame what was said in this step is; empty when nothing was.
    spoken: Range<usize>,
    packet_samples: usize,
    /// The payload type for comfort noise, where silence is not sent.
    comfort_noise: Option<u8>,
    silence: Silence,
    activity: Activity,
    payload: Box<[u8; LONGEST_PAYLOAD]>,
    /// Whether it was silenced last; unknown before there was anything.
    muted: Option<bool>,
    /// Steps to let pass at the start, so that not all streams encode in the same step.
    wait: u32,
    complexity: u8,
    events: Option<(EventSender, u8, u32)>,
    /// Digits to be sent as tones, with their length in seconds.
    digits: VecDeque<(char, f32)>,
    digit: Option<Player>,
    /// Which digit has begun in this step.
    begun: Option<char>,
    pause: u32,
    /// Brings what the others of a conference say to the codec's rate.
    down: FromDevice,
    leveller: Leveller,
}

impl SendPath {
    pub(crate) fn new(
        sender: Sender,
        encoder: Encoder,
        source: Prepared,
        parameters: &StreamParameters,
        complexity: u8,
        wait: u32,
    ) -> Self {
        let mut path = Self {
            wait,
            complexity,
            kind: encoder.kind(),
            sender,
            encoder,
            source,
            instead: None,
            payload_type: 0,
            frame: Box::new([0; LONGEST_FRAME]),
            filled: 0,
            spoken: 0..0,
            packet_samples: 0,
            comfort_noise: None,
            silence: Silence::new(),
            activity: Activity::new(),
            payload: Box::new([0; LONGEST_PAYLOAD]),
            muted: None,
            events: None,
            digits: VecDeque::with_capacity(MOST_DIGITS),
            digit: None,
            begun: None,
            pause: 0,
            down: FromDevice::default(),
            leveller: Leveller::new(),
        };
        path.set_parameters(parameters);
        path
    }

    /// Follows a negotiation; the encoder has been exchanged before if it is another.
    pub(crate) fn set_parameters(&mut self, parameters: &StreamParameters) {
        if self.kind != self.encoder.kind() {
            self.kind = self.encoder.kind();
            self.sender.set_clock_rate(self.kind.rtp_clock_hz());
            self.filled = 0;
        }
        self.payload_type = parameters.codec.send_payload_type;
        let comfort_noise = parameters.comfort_noise;
        self.comfort_noise = comfort_noise.filter(|_| self.kind != CodecKind::Opus);
        let packet_samples = self
            .kind
            .frame_samples(packet_ms(self.kind, parameters.ptime_ms));
        if packet_samples != self.packet_samples {
            self.packet_samples = packet_samples;
            self.filled = 0;
        }
        self.events = parameters.telephone_event.map(|event| {
            let rate_hz = event.clock_rate_hz.max(1_000);
            let sender = match self.events.take() {
                Some((sender, _, same)) if same == rate_hz => sender,
                _ => EventSender::new(rate_hz),
            };
            (sender, event.send_payload_type, rate_hz)
        });
    }

    /// Queues a digit; too many are dropped.
    pub(crate) fn queue_digit(&mut self, digit: char, duration: Duration) {
        if let Some((events, ..)) = &mut self.events {
            let _ = events.queue(digit, duration);
        } else if self.digits.len() < MOST_DIGITS && dtmf(digit).is_some() {
            let seconds = duration.as_secs_f32().clamp(0.04, 30.0);
            self.digits.push_back((digit, seconds));
        }
    }

    /// Forgets the digits that wait, and breaks off the one that is under way. Whoever heard its beginning as an event takes
    /// it for ended when no more of it comes (RFC 4733 §2.5.2.2).
    pub(crate) fn drop_digits(&mut self) {
        if let Some((events, _, rate_hz)) = &mut self.events {
            *events = EventSender::new(*rate_hz);
        }
        self.digits.clear();
        self.digit = None;
    }

    /// The digit that has begun since the last look.
    pub(crate) fn just_begun(&mut self) -> Option<char> {
        self.begun.take()
    }

    /// Follows the number of streams: with many of them each may take less time.
    pub(crate) fn set_crowded(&mut self, crowded: bool) {
        let complexity = if crowded {
            self.complexity.min(CROWDED_COMPLEXITY)
        } else {
            self.complexity
        };
        // A refusal leaves it as it was, which is good enough.
        let _ = self.encoder.set_complexity(complexity);
    }

    /// The number of what is said in place of the source, where it has just come to its end.
    pub(crate) fn just_ended(&mut self) -> Option<u64> {
        let ended = |instead: &&mut Box<Instead>| !instead.told && instead.source.is_over();
        let ended = self.instead.as_mut().filter(ended)?;
        ended.told = true;
        Some(ended.number)
    }

    /// Begins a step in which nothing has been said yet.
    pub(crate) fn be_silent(&mut self) {
        self.spoken = 0..0;
    }

    /// What was said in this step, at the codec's rate; nothing where it was a silence.
    pub(crate) fn spoken(&self) -> &[i16] {
        self.frame.get(self.spoken.clone()).unwrap_or_default()
    }

    /// Lets 10 ms pass in which nothing may be sent.
    pub(crate) fn rest(&mut self) {
        self.filled = 0;
        if let Some((events, _, rate_hz)) = &mut self.events {
            events.pass(*rate_hz / 100);
        }
        self.sender
            .skip(self.kind.ticks(self.kind.frame_samples(10)));
    }

    /// Takes in 10 ms and answers whether `packet` now holds a packet to send.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        around: Around<'_>,
        wishes: &Wishes,
        counters: &StreamCounters,
        packet: &mut Vec<u8>,
    ) -> bool {
        if self.wait > 0 {
            self.wait -= 1;
            self.rest();
            return false;
        }
        let count = self.kind.frame_samples(10);
        let Some(room) = self.frame.get_mut(self.filled..self.filled + count) else {
            self.filled = 0;
            return false;
        };
        // Muted is who speaks here, and not what is played.
        let instead = self.instead.as_mut().filter(|i| !i.source.is_over());
        let alone = instead.as_ref().is_some_and(|instead| instead.alone);
        if let Some(instead) = instead {
            instead
                .source
                .fill(self.kind, around.microphone, around.heard, room);
            counters.source_level.set(level(room));
        } else {
            self.source
                .fill(self.kind, around.microphone, around.heard, room);
            counters.source_level.set(level(room));
            mute(room, &mut self.muted, wishes.muted.load(Relaxed));
        }
        self.filled += count;
        if let Some(others) = around.others.filter(|_| !alone) {
            self.join(others, self.filled - count);
        }
        self.sound_digit(self.filled - count);
        self.spoken = self.filled - count..self.filled;
        if let Some(tape) = around.tape
            && let Some(spoken) = self.frame.get_mut(self.spoken.clone())
        {
            tape.sound_there(spoken);
        }
        if self.filled < self.packet_samples {
            return false;
        }
        self.filled = 0;
        self.write_packet(now, counters, packet)
    }

    fn write_packet(
        &mut self,
        now: Instant,
        counters: &StreamCounters,
        packet: &mut Vec<u8>,
    ) -> bool {
        packet.clear();
        let ticks = self.kind.ticks(self.packet_samples);
        if let Some((events, payload_type, rate_hz)) = &mut self.events {
            let event_ticks =
                u64::from(ticks) * u64::from(*rate_hz) / u64::from(self.kind.rtp_clock_hz());
            let step = events.step(self.sender.timestamp(), event_ticks as u32);
            if let EventStep::Send(event) = step {
                if event.marker {
                    let [code, ..] = event.payload;
                    self.begun = digit_of(code);
                }
                let written = self.sender.send_at(
                    now,
                    *payload_type,
                    event.marker,
                    event.timestamp,
                    &event.payload,
                    packet,
                );
                self.sender.skip(ticks);
                return written.is_ok();
            }
            if step == EventStep::Pause {
                self.sender.skip(ticks);
                return false;
            }
        }
        let samples = self.frame.get(..self.packet_samples).unwrap_or_default();
        let loud = level(samples);
        counters.send_level.set(loud);
        let ms = samples.len() * 10 / self.kind.frame_samples(10).max(1);
        let speaks = self.activity.hear(loud, ms);
        counters.we_speak.store(self.activity.is_active(), Relaxed);
        if let Some(payload_type) = self.comfort_noise {
            let verdict = self.silence.judge(samples, ms, speaks);
            if verdict != Verdict::Speech {
                let length = self.silence.payload(&mut self.payload[..]);
                let payload = self.payload.get(..length).unwrap_or_default();
                let timestamp = self.sender.timestamp();
                let written = verdict == Verdict::Noise
                    && self
                        .sender
                        .send_at(now, payload_type, false, timestamp, payload, packet)
                        .is_ok();
                self.sender.skip(ticks);
                return written;
            }
        }
        let length = self.encoder.encode(samples, &mut self.payload[..]);
        let payload = length.ok().and_then(|length| self.payload.get(..length));
        match payload {
            Some(payload) if !payload.is_empty() => self
                .sender
                .send(now, self.payload_type, payload, ticks, packet)
                .is_ok(),
            // Silence that Opus need not send.
            _ => {
                self.sender.skip(ticks);
                false
            }
        }
    }

    /// Adds what the others of the conference say to the speech from `start` on.
    fn join(&mut self, others: &[f32; FRAME_SAMPLES], start: usize) {
        let Some(room) = self.frame.get_mut(start..self.filled) else {
            return;
        };
        let mut sum = [0.0; FRAME_SAMPLES];
        let mut own = [0.0; FRAME_SAMPLES];
        let count = room.len().min(FRAME_SAMPLES);
        let (sum, own) = (&mut sum[..count], &mut own[..count]);
        self.down.lower(others, self.kind.sample_rate_hz(), sum);
        to_float(room, own);
        for (sum, sample) in sum.iter_mut().zip(own) {
            *sum += *sample;
        }
        self.leveller.process(sum);
        to_int(sum, room);
    }

    /// Replaces the speech from `start` on by the digit that is due, where digits are tones.
    fn sound_digit(&mut self, start: usize) {
        if self.pause > 0 {
            self.pause -= 1;
        } else if self.digit.is_none()
            && let Some((digit, seconds)) = self.digits.pop_front()
        {
            let rate_hz = self.kind.sample_rate_hz();
            self.digit = Some(Player::once(Tone::Dtmf(digit), rate_hz, seconds));
            self.begun = Some(digit.to_ascii_uppercase());
        }
        let Some(player) = &mut self.digit else {
            return;
        };
        let Some(room) = self.frame.get_mut(start..self.filled) else {
            return;
        };
        let mut samples = [0.0; FRAME_SAMPLES];
        let samples = &mut samples[..room.len().min(FRAME_SAMPLES)];
        if !player.add(samples) {
            self.digit = None;
            self.pause = PAUSE_TICKS;
        }
        to_int(samples, room);
    }
}

/// The packet time that the codec can do: Opus has no 30 ms frame, and 60 ms is the most for both.
fn packet_ms(kind: CodecKind, wanted_ms: u32) -> usize {
    match (kind, wanted_ms) {
        (CodecKind::Opus, 10) => 10,
        (CodecKind::Opus, 40) => 40,
        (CodecKind::Opus, 60) => 60,
        (CodecKind::Opus, _) => 20,
        (_, ms @ (10 | 20 | 30 | 40 | 50 | 60)) => ms as usize,
        _ => 20,
    }
}

/// Silences a frame; the first and the last are led out and in, or they click.
fn mute(frame: &mut [i16], was: &mut Option<bool>, is: bool) {
    let length = frame.len() as f32;
    match (was.unwrap_or(is), is) {
        (false, false) => {}
        (true, true) => frame.fill(0),
        (false, true) => scale(frame, |n| 1.0 - n as f32 / length),
        (true, false) => scale(frame, |n| n as f32 / length),
    }
    *was = Some(is);
}

fn scale(frame: &mut [i16], gain: impl Fn(usize) -> f32) {
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = (f32::from(*sample) * gain(n)) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_gain_comes_in_the_course_of_a_frame_and_the_loudest_is_not_cut_off() {
        let mut microphone = Microphone::new();
        let mut last = 0.4;
        let mut frame_with = |gain: f32, speech: f32| {
            microphone.frame.fill(speech);
            microphone.finish(None, gain);
            let mut widest: f32 = 0.0;
            for sample in microphone.frame {
                widest = widest.max((sample - last).abs());
                last = sample;
            }
            (widest, last)
        };
        assert_eq!(frame_with(1.0, 0.4), (0.0, 0.4));
        for (gain, settled) in [(2.0, 0.8), (0.0, 0.0), (1.0, 0.4)] {
            let (widest, end) = frame_with(gain, 0.4);
            println!("to {gain}: {widest} in a sample, {end} at its end");
            assert!(widest < 0.003, "a step of {widest}");
            assert!((end - limit(settled)).abs() < 1e-3, "{end}");
            // It stays there.
            assert!(frame_with(gain, 0.4).0 < 1e-3);
        }
        frame_with(2.0, 0.4);
        let (_, loudest) = frame_with(2.0, 1.0);
        assert!((0.9..=1.0).contains(&loudest), "{loudest}");
    }
}
