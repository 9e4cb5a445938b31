//! From packet to frame: the RTP receiver, the jitter buffer, the decoder.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use codecs::{CodecKind, Decoder, DtmfDetector, LONGEST_FRAME_SAMPLES, NoiseMaker};
use rtp::jitter_buffer::{Empty, JitterBuffer, JitterBufferConfig, Pace, Playout};
use rtp::telephone_event::EventReceiver;
use rtp::{Receiver, RtpPacket, Verdict};
use rtrb::Producer;

use crate::activity::Activity;
use crate::config::{StreamEvent, StreamParameters};
use crate::counters::StreamCounters;
use crate::peer::Peer;
use crate::quality;
use crate::shield::Shield;
use crate::stream::level;
use crate::stretch::{lengthen, shorten};

/// What is decoded and waits for its step.
const STORE: usize = 2 * LONGEST_FRAME_SAMPLES;

/// Below this root mean square it counts as quiet: -54 dB.
const QUIET: f32 = 0.002;

/// Comfort noise (RFC 3389) and its older number.
const COMFORT_NOISE: [u8; 2] = [13, 19];

/// An Opus packet this short says that silence goes on.
const SILENCE_BYTES: usize = 3;

/// Packets from one that was made shorter or longer to the next: about 7 ms in 60 ms, which is not heard as haste.
const STRETCH_EVERY: u32 = 3;

/// So many packets without a copy of the one before, 5 s, and none is expected any more: unvoiced ones have none.
const NO_COPY: u32 = 250;

/// The receiving half of a stream.
pub(crate) struct ReceivePath {
    pub(crate) receiver: Receiver,
    pub(crate) decoder: Decoder,
    pub(crate) peer: Peer,
    pub(crate) events: Producer<StreamEvent>,
    pub(crate) counters: Arc<StreamCounters>,
    pub(crate) activity: Activity,
    kind: CodecKind,
    jitter: JitterBuffer,
    packet_ms: u32,
    payload_type: u8,
    telephone_event: Option<u8>,
    digits: EventReceiver,
    digit_rate_hz: u32,
    /// Listens for digits in the speech where none are agreed on as events.
    tones: DtmfDetector,
    store: Box<[i16; STORE]>,
    start: usize,
    end: usize,
    /// The last payload was one of silence, so the decoder makes comfort noise for what follows.
    comfort: bool,
    /// What the peer told its silence sounds like (RFC 3389), and whether it is heard at present.
    noise: Option<NoiseMaker>,
    in_noise: bool,
    /// Packets since one was made shorter or longer.
    unstretched: u32,
    /// Packets since one that carried a copy of the one before it.
    without_copy: u32,
    began: Instant,
    last_heard: Option<Instant>,
    enabled: bool,
}

impl ReceivePath {
    pub(crate) fn new(
        now: Instant,
        decoder: Decoder,
        parameters: &StreamParameters,
        events: Producer<StreamEvent>,
        counters: Arc<StreamCounters>,
    ) -> Self {
        let kind = decoder.kind();
        let clock_rate_hz = kind.rtp_clock_hz();
        let mut path = Self {
            receiver: Receiver::new(clock_rate_hz),
            decoder,
            peer: Peer::new(now, parameters.remote),
            events,
            counters,
            activity: Activity::new(),
            kind,
            jitter: JitterBuffer::new(JitterBufferConfig::new(clock_rate_hz)),
            packet_ms: 20,
            payload_type: 0,
            telephone_event: None,
            digits: EventReceiver::new(8_000),
            digit_rate_hz: 8_000,
            tones: DtmfDetector::new(kind.sample_rate_hz()),
            store: Box::new([0; STORE]),
            start: 0,
            end: 0,
            comfort: false,
            noise: None,
            in_noise: false,
            unstretched: 0,
            without_copy: NO_COPY,
            began: now,
            last_heard: None,
            enabled: true,
        };
        path.set_parameters(now, parameters);
        path
    }

    /// Starts the clocks when the stream gets to the pump.
    pub(crate) fn begin(&mut self, now: Instant, announced: Option<SocketAddr>) {
        self.peer = Peer::new(now, announced);
        self.began = now;
        self.tell_addresses();
    }

    /// Follows a negotiation; the decoder has been exchanged before if it is another.
    pub(crate) fn set_parameters(&mut self, now: Instant, parameters: &StreamParameters) {
        if self.kind != self.decoder.kind() {
            self.kind = self.decoder.kind();
            self.receiver.set_clock_rate(self.kind.rtp_clock_hz());
            self.jitter.set_clock_rate(self.kind.rtp_clock_hz());
            self.tones = DtmfDetector::new(self.kind.sample_rate_hz());
            (self.start, self.end) = (0, 0);
        }
        self.payload_type = parameters.codec.receive_payload_type;
        self.packet_ms = parameters.ptime_ms;
        self.telephone_event = parameters
            .telephone_event
            .map(|event| event.receive_payload_type);
        if let Some(event) = parameters.telephone_event
            && event.clock_rate_hz != self.digit_rate_hz
        {
            self.digit_rate_hz = event.clock_rate_hz;
            self.digits = EventReceiver::new(event.clock_rate_hz);
        }
        if self.enabled != parameters.receive {
            // What waits is from before the hold.
            self.enabled = parameters.receive;
            self.jitter.reset();
            self.receiver.rest();
            self.noise = None;
            (self.start, self.end) = (0, 0);
        }
        self.peer.announce(now, parameters.remote);
        self.tell_addresses();
    }

    /// Takes in a datagram of the RTP port that is no RTCP.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        datagram: &mut [u8],
        from: SocketAddr,
        shield: &mut Shield,
    ) {
        let length = datagram.len();
        let welcome = rtp::looks_like_rtp(datagram) && self.peer.may_speak(now, from);
        // Only what is genuine is looked at, and makes the peer known. On hold the numbers of the packets
        // are followed all the same, or they could not be decrypted afterwards.
        let opened = welcome.then(|| shield.open(now, datagram, &self.counters));
        if !self.enabled {
            // The peer's music is not even counted as loss: the receiver rests.
            return;
        }
        let accepted = opened
            .flatten()
            .and_then(|datagram| RtpPacket::parse(datagram).ok())
            .is_some_and(|packet| self.accept(now, &packet));
        if !accepted {
            self.counters.dropped.add(1);
            return;
        }
        self.counters.received.add(1);
        self.counters.received_bytes.add(length as u64);
        if self.last_heard.is_none() {
            let _ = self.events.push(StreamEvent::FirstPacket { from });
        }
        self.last_heard = Some(now);
        if self.counters.actual.get() != Some(from) {
            self.counters.actual.set(Some(from));
        }
        if self.peer.on_accepted(now, from) {
            self.on_moved();
        }
    }

    /// The peer has proved who it is, and speaks from there.
    /// Checks have found where to send, or there is nothing that they have found.
    pub(crate) fn select(&mut self, to: Option<SocketAddr>) {
        match self.peer.select(to) {
            true if to.is_some() => self.on_moved(),
            true => self.tell_addresses(),
            false => {}
        }
    }

    pub(crate) fn confirm(&mut self, now: Instant, from: SocketAddr) {
        if self.peer.confirm(now, from) {
            self.on_moved();
        }
    }

    fn on_moved(&mut self) {
        self.tell_addresses();
        if let Some(actual) = self.peer.target() {
            let announced = self.peer.announced();
            let _ = self
                .events
                .push(StreamEvent::PeerMoved { announced, actual });
        }
    }

    /// Whether the packet is one of ours.
    fn accept(&mut self, now: Instant, packet: &RtpPacket<'_>) -> bool {
        let kind = packet.header.payload_type;
        let is_event = self.telephone_event == Some(kind);
        let is_audio = kind == self.payload_type;
        if !is_audio && !is_event && !COMFORT_NOISE.contains(&kind) {
            return false;
        }
        let Verdict::Accept { restarted, .. } = self.receiver.receive(now, &packet.header) else {
            return false;
        };
        if restarted {
            self.digits.restart();
            self.jitter.begin_source();
        }
        if is_event {
            self.digits.receive(now, &packet.header, packet.payload);
        }
        if is_audio {
            self.jitter.insert(now, packet);
        } else if is_event {
            self.jitter.insert_other(now, &packet.header);
        } else {
            self.noise
                .get_or_insert_with(NoiseMaker::new)
                .tell(packet.payload);
            self.jitter.insert_noise(now, &packet.header);
        }
        true
    }

    /// Fills `out` with the next 10 ms.
    pub(crate) fn frame(&mut self, now: Instant, out: &mut [i16]) {
        while self.end - self.start < out.len() {
            let before = self.end - self.start;
            self.refill(now, out.len());
            if self.end - self.start <= before {
                // It cannot be, for each refill adds 10 ms at least; but nobody must wait here.
                break;
            }
        }
        let ready = self.store.get(self.start..self.start + out.len());
        match ready {
            Some(ready) if self.start + out.len() <= self.end => {
                out.copy_from_slice(ready);
                self.start += out.len();
            }
            _ => out.fill(0),
        }
        if self.telephone_event.is_none()
            && let Some(heard) = self.tones.process(out)
        {
            let _ = self.events.push(StreamEvent::Dtmf {
                digit: heard.digit,
                duration: Duration::from_millis(u64::from(heard.duration_ms)),
            });
        }
        while let Some(digit) = self.digits.poll(now) {
            let _ = self.events.push(StreamEvent::Dtmf {
                digit: digit.digit,
                duration: digit.duration,
            });
        }
    }

    fn refill(&mut self, now: Instant, step: usize) {
        self.store.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let Some(room) = self.store.get_mut(self.end..) else {
            return;
        };
        let (added, quiet) = match self.jitter.pull(now) {
            Playout::Payload(payload) => {
                self.comfort = payload.bytes.len() <= SILENCE_BYTES;
                self.in_noise = false;
                self.without_copy = if self.decoder.carries_fec(payload.bytes) {
                    0
                } else {
                    self.without_copy.saturating_add(1)
                };
                let decoded = self.decoder.decode(payload.bytes, room);
                let samples = decoded.unwrap_or_else(|_| {
                    // A payload that is not of this codec sounds like a lost one.
                    self.decoder.conceal(&mut room[..2 * step]);
                    2 * step
                });
                let quiet = level(&room[..samples]) < QUIET;
                self.unstretched = self.unstretched.saturating_add(1);
                let change = match payload.pace {
                    Pace::Faster => Some(shorten as fn(&mut [i16], usize, u32) -> usize),
                    Pace::Slower => Some(lengthen as fn(&mut [i16], usize, u32) -> usize),
                    Pace::Steady => None,
                };
                let change = change.filter(|_| self.unstretched >= STRETCH_EVERY);
                let count = change.map_or(samples, |change| {
                    change(room, samples, self.kind.sample_rate_hz())
                });
                if count != samples {
                    self.unstretched = 0;
                }
                (count, quiet)
            }
            Playout::Lost { samples, next } => {
                let samples = lost_samples(self.kind, samples);
                let room = &mut room[..samples];
                match next {
                    Some(next) => {
                        self.decoder.decode_fec(next.bytes, room);
                    }
                    None => self.decoder.conceal(room),
                }
                (samples, false)
            }
            Playout::Empty(why) => {
                let room = &mut room[..step];
                let conceal = match why {
                    Empty::Starved | Empty::Stretch => true,
                    Empty::Silence => self.comfort && self.kind == CodecKind::Opus,
                    Empty::Filling => false,
                };
                if let Some(noise) = self.noise.as_mut().filter(|_| why == Empty::Silence) {
                    if !std::mem::replace(&mut self.in_noise, true) {
                        noise.begin();
                    }
                    noise.make(room);
                } else if conceal {
                    self.decoder.conceal(room);
                } else {
                    room.fill(0);
                }
                self.end += step;
                return;
            }
        };
        self.end += samples_within(added, STORE - self.end);
        let ms = added * 1_000 / self.kind.sample_rate_hz() as usize;
        self.counters.played_ms.add(ms as u64);
        self.jitter.heard(quiet);
        self.jitter.set_repairs(self.without_copy < NO_COPY);
    }

    /// Brings the counters up to date that are not counted one by one.
    pub(crate) fn tell(&self, now: Instant) {
        let counters = &self.counters;
        let heard = self.receiver.statistics();
        let buffer = self.jitter.statistics();
        counters.lost.set(heard.lost);
        counters
            .duplicates
            .set(heard.duplicates + counters.repeated());
        counters
            .jitter_us
            .set(u64::try_from(heard.jitter.as_micros()).unwrap_or(u64::MAX));
        counters.late.set(buffer.late);
        counters.buffer_ms.set(buffer.delay_ms.max(0.0) as u64);
        counters
            .buffer_target_ms
            .set(buffer.target_ms.max(0.0) as u64);
        counters.concealed_ms.set(buffer.concealed_ms);
        let since = now.saturating_duration_since(self.last_heard.unwrap_or(self.began));
        counters
            .silent_ms
            .set(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        quality::tell(self, counters);
    }

    /// Takes in how loud the 10 ms were that are heard now.
    pub(crate) fn hear(&mut self, loud: f32) {
        self.counters.receive_level.set(loud);
        // Before the first packet there is nobody to be silent.
        if self.last_heard.is_some() {
            self.activity.hear(loud, 10);
        }
        self.counters
            .they_speak
            .store(self.activity.is_active(), Relaxed);
    }

    /// Nothing is heard, by agreement.
    pub(crate) fn rest(&self) {
        self.counters.receive_level.set(0.0);
        self.counters.they_speak.store(false, Relaxed);
    }

    pub(crate) fn jitter(&self) -> &JitterBuffer {
        &self.jitter
    }

    pub(crate) fn kind(&self) -> CodecKind {
        self.kind
    }

    /// How much speech a packet of ours carries.
    pub(crate) fn packet_ms(&self) -> u32 {
        self.packet_ms
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn tell_addresses(&self) {
        self.counters.announced.set(self.peer.announced());
        self.counters.target.set(self.peer.target());
    }
}

/// The length of a lost frame as the decoder can make it: Opus counts in 2.5 ms.
fn lost_samples(kind: CodecKind, ticks: u32) -> usize {
    let grain = match kind {
        CodecKind::Opus => 120,
        CodecKind::G722 | CodecKind::Pcmu | CodecKind::Pcma => 1,
    };
    let most = kind.frame_samples(codecs::LONGEST_FRAME_MS);
    let samples = kind.samples(ticks).min(most);
    (samples / grain * grain).max(grain)
}

fn samples_within(samples: usize, room: usize) -> usize {
    samples.min(room)
}
