//! From packet to frame: the RTP receiver, the jitter buffer, the decoder.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use codecs::{CodecKind, LONGEST_FRAME_SAMPLES, NoiseMaker};
use rtp::jitter_buffer::{Empty, JitterBuffer, JitterBufferConfig, Pace, Playout};
use rtp::srtp::Shield;
use rtp::telephone_event::EventReceiver;
use rtp::{Receiver, RtpHeader, RtpPacket, Timeline, Verdict};
use rtrb::Producer;

use crate::activity::Activity;
use crate::candidate::Candidate;
use crate::config::{StreamEvent, StreamParameters};
use crate::counters::StreamCounters;
use crate::formats::Formats;
use crate::peer::{Peer, Speech};
use crate::quality::{self, LastSecond};
use crate::stream::level;
use crate::stretch::{join, lengthen, shorten};

/// What is decoded and waits for its step.
const STORE: usize = 2 * LONGEST_FRAME_SAMPLES;

/// Below this root mean square it counts as quiet: -54 dB.
const QUIET: f32 = 0.002;

/// Comfort noise (RFC 3389) and its older number.
const COMFORT_NOISE: [u8; 2] = [13, 19];

/// The clock of comfort noise (RFC 3389 §4).
const NOISE_CLOCK_HZ: u32 = 8_000;

/// The clock that all timestamps are brought to: every codec's divides it.
const CLOCK_HZ: u32 = 48_000;

/// An Opus packet this short says that silence goes on.
const SILENCE_BYTES: usize = 3;

/// Packets from one that was made shorter or longer to the next: about 7 ms in 60 ms, which is not heard as haste.
const STRETCH_EVERY: u32 = 3;

/// So many packets without a copy of the one before, 5 s, and none is expected any more: unvoiced ones have none.
const NO_COPY: u32 = 250;

/// What becomes of a packet.
enum Taken {
    Accepted,
    /// Its source is not believed yet, or another talks.
    Kept,
    Dropped,
}

/// The receiving half of a stream.
pub(crate) struct ReceivePath {
    pub(crate) receiver: Receiver,
    /// What is heard once its source is believed. It is away while it is read.
    candidate: Option<Candidate>,
    formats: Formats,
    pub(crate) peer: Peer,
    pub(crate) events: Producer<StreamEvent>,
    pub(crate) counters: Arc<StreamCounters>,
    pub(crate) activity: Activity,
    last_second: LastSecond,
    timeline: Timeline,
    jitter: JitterBuffer,
    packet_ms: u32,
    comfort_noise: Option<u8>,
    /// What a decoder makes, at its own rate.
    native: Box<[i16; STORE]>,
    store: Box<[i16; STORE]>,
    start: usize,
    end: usize,
    /// The last payload was one of silence, so the decoder makes comfort noise for what follows.
    comfort: bool,
    /// What the peer told its silence sounds like (RFC 3389), and whether it is heard at present.
    noise: Option<NoiseMaker>,
    in_noise: bool,
    /// Something was played since it was silent last.
    sounds: bool,
    /// The number of the last packet that told so. It holds until audio behind it (RFC 3389 §4).
    noise_number: Option<u16>,
    /// Packets since one was made shorter or longer.
    unstretched: u32,
    /// Samples for which the buffer has asked for that, in vain.
    wanted: usize,
    /// What is left out, and leads over to what is played instead.
    cut: Box<[i16; LONGEST_FRAME_SAMPLES]>,
    /// Packets since one that carried a copy of the one before it.
    without_copy: u32,
    began: Instant,
    last_heard: Option<Instant>,
    enabled: bool,
}

impl ReceivePath {
    pub(crate) fn new(
        now: Instant,
        formats: Formats,
        parameters: &StreamParameters,
        events: Producer<StreamEvent>,
        counters: Arc<StreamCounters>,
    ) -> Self {
        let mut path = Self {
            receiver: Receiver::new(formats.kind().rtp_clock_hz()),
            candidate: Some(Candidate::new(now)),
            formats,
            peer: Peer::new(now, parameters.remote),
            events,
            counters,
            activity: Activity::new(),
            last_second: LastSecond::default(),
            timeline: Timeline::new(CLOCK_HZ),
            jitter: JitterBuffer::new(JitterBufferConfig {
                pause_octets: SILENCE_BYTES,
                ..JitterBufferConfig::new(CLOCK_HZ)
            }),
            packet_ms: 20,
            comfort_noise: None,
            native: Box::new([0; STORE]),
            store: Box::new([0; STORE]),
            start: 0,
            end: 0,
            comfort: false,
            noise: None,
            in_noise: false,
            sounds: false,
            noise_number: None,
            unstretched: 0,
            wanted: 0,
            cut: Box::new([0; LONGEST_FRAME_SAMPLES]),
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

    /// Hears what another negotiation allows; what is no longer needed goes back in `formats`. What waits is decoded as
    /// what it is, if that is still agreed on.
    pub(crate) fn set_formats(&mut self, formats: &mut Formats) {
        formats.take_over(&mut self.formats);
        if formats.rate_hz() != self.formats.rate_hz() {
            (self.start, self.end) = (0, 0);
        }
        std::mem::swap(formats, &mut self.formats);
    }

    /// Follows a negotiation; the formats have been exchanged before if they are others.
    pub(crate) fn set_parameters(&mut self, now: Instant, parameters: &StreamParameters) {
        self.packet_ms = parameters.ptime_ms;
        self.comfort_noise = parameters.comfort_noise;
        if self.enabled != parameters.receive {
            // What waits is from before the hold.
            self.enabled = parameters.receive;
            self.jitter.reset();
            self.timeline.reset();
            self.receiver.rest();
            self.forget_candidate();
            self.forget_sound();
        }
        self.peer.announce(now, parameters.remote);
        self.tell_addresses();
    }

    /// What was heard leads over to nothing, and no pause that was told of goes on.
    fn forget_sound(&mut self) {
        self.forget_pause();
        (self.noise, self.in_noise, self.sounds) = (None, false, false);
        (self.start, self.end) = (0, 0);
        self.formats.forget_sound();
    }

    /// Whoever said that nothing would come for a while is not who is listened to now.
    fn forget_pause(&mut self) {
        (self.noise_number, self.comfort) = (None, false);
    }

    /// Takes in a datagram of the RTP port that is no RTCP: now, and when it had arrived; with whence it comes is said whether checks know the place.
    pub(crate) fn take(
        &mut self,
        (now, arrived): (Instant, Instant),
        datagram: &mut [u8],
        (from, is_known): (SocketAddr, bool),
        shield: &mut Shield,
    ) {
        let length = datagram.len();
        let speech = Speech::of(datagram, shield.is_closed());
        let Some(speech) = speech.filter(|_| rtp::looks_like_rtp(datagram)) else {
            if self.enabled {
                self.counters.dropped.add(1);
            }
            return;
        };
        let welcome =
            self.peer.may_speak(now, from, is_known) && !self.peer.is_another(now, from, speech);
        // Only what is genuine is looked at, and makes the peer known. On hold the numbers of the packets
        // are followed all the same, or they could not be decrypted afterwards.
        let opened = welcome.then(|| self.counters.opened(shield.open(now, datagram)));
        if !self.enabled {
            // The peer's music is not even counted as loss: the receiver rests.
            return;
        }
        let taken = opened
            .flatten()
            .and_then(|datagram| RtpPacket::parse(datagram).ok())
            .map_or(Taken::Dropped, |packet| {
                if !self.is_agreed(&packet) {
                    // It has come all the same: its number is neither lost nor does it make strangers of those around it.
                    if self.receiver.knows(packet.header.ssrc) {
                        let _ = self.count(arrived, &packet.header, None);
                        self.forget_candidate();
                    }
                    return Taken::Dropped;
                }
                self.peer.on_media(now, from, is_known);
                self.accept((now, arrived), &packet, length)
            });
        match taken {
            Taken::Accepted => {}
            Taken::Kept => return,
            Taken::Dropped => {
                self.counters.dropped.add(1);
                return;
            }
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
        if self.peer.on_accepted(now, from, speech) {
            self.on_moved();
        }
    }

    /// Checks have found where to send, or there is nothing that they have found.
    pub(crate) fn select(&mut self, to: Option<SocketAddr>) {
        match self.peer.select(to) {
            true if to.is_some() => self.on_moved(),
            true => self.tell_addresses(),
            false => {}
        }
    }

    /// The peer has proved who it is, and speaks from there.
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

    /// Whether the packet carries what was agreed on.
    fn is_agreed(&mut self, packet: &RtpPacket<'_>) -> bool {
        let payload_type = packet.header.payload_type;
        self.formats.kind_of(payload_type).is_some()
            || self.formats.events_of(payload_type).is_some()
            || self.is_noise(payload_type)
    }

    fn is_noise(&self, payload_type: u8) -> bool {
        COMFORT_NOISE.contains(&payload_type) || self.comfort_noise == Some(payload_type)
    }

    /// Takes note of a packet's number, and begins anew where its source does.
    fn count(&mut self, arrived: Instant, header: &RtpHeader, clock: Option<u32>) -> Verdict {
        let verdict = self.receiver.receive_on(arrived, header, clock);
        if let Verdict::Accept {
            restarted: true, ..
        } = verdict
        {
            self.formats.events().for_each(EventReceiver::restart);
            // What the numbers were is over for all that follow them: near the old ones, they would be taken for late.
            self.timeline.reset();
            self.jitter.begin_source();
            self.forget_pause();
        }
        verdict
    }

    /// What was kept is not going to be heard.
    fn forget_candidate(&mut self) {
        let gone = self.candidate.as_mut().map_or(0, Candidate::clear);
        self.counters.dropped.add(gone as u64);
    }

    /// Hears what the source said before it was believed, up to its packet of this header.
    fn hear_candidate(&mut self, header: &RtpHeader) {
        let Some(mut candidate) = self.candidate.take() else {
            return;
        };
        if candidate.leads_to(header) {
            for (at, packet, datagram) in candidate.packets() {
                self.insert((at, at), &packet);
                self.counters.received.add(1);
                self.counters.received_bytes.add(datagram as u64);
            }
            candidate.clear();
        }
        self.candidate = Some(candidate);
        self.forget_candidate();
    }

    /// Judges a packet that came in a datagram of so many octets, and hears it where it belongs to the source that we listen
    /// to.
    fn accept(
        &mut self,
        (now, arrived): (Instant, Instant),
        packet: &RtpPacket<'_>,
        datagram: usize,
    ) -> Taken {
        let payload_type = packet.header.payload_type;
        let audio = self.formats.kind_of(payload_type);
        let event = self.formats.events_of(payload_type).map(|(clock, _)| clock);
        let is_noise = self.is_noise(payload_type);
        let clock = match (audio, event) {
            (Some(kind), _) => kind.rtp_clock_hz(),
            (None, Some(clock)) => clock,
            (None, None) if is_noise => NOISE_CLOCK_HZ,
            (None, None) => return Taken::Dropped,
        };
        // What is no audio has the clock of the codec beside it, or its timestamp says nothing about the way.
        let beside = self.formats.kind().rtp_clock_hz() == clock;
        let clock = Some(clock).filter(|_| audio.is_some() || beside);
        match self.count(arrived, &packet.header, clock) {
            Verdict::Accept {
                restarted: true, ..
            } => self.hear_candidate(&packet.header),
            // What another said while this one talks is not heard later either.
            Verdict::Accept { .. } => self.forget_candidate(),
            Verdict::Duplicate => return Taken::Dropped,
            Verdict::Probation | Verdict::Foreign => {
                let candidate = self.candidate.as_mut();
                let gone = candidate.map_or(1, |c| c.keep(arrived, packet, datagram));
                self.counters.dropped.add(gone as u64);
                return Taken::Kept;
            }
        }
        self.insert((now, arrived), packet);
        Taken::Accepted
    }

    /// Gives a packet to whoever plays it: in the step of `now`, and when it came for that.
    fn insert(&mut self, (now, came): (Instant, Instant), packet: &RtpPacket<'_>) {
        let payload_type = packet.header.payload_type;
        if let Some(kind) = self.formats.kind_of(payload_type) {
            let ticks = kind.payload_ticks(packet.payload);
            let header = self
                .timeline
                .place(came, &packet.header, kind.rtp_clock_hz(), ticks);
            self.jitter.insert(came, &RtpPacket { header, ..*packet });
        } else if let Some((_, events)) = self.formats.events_of(payload_type) {
            events.receive(now, &packet.header, packet.payload);
            self.jitter.insert_other(now, &packet.header);
        } else if self.is_noise(payload_type) {
            self.noise
                .get_or_insert_with(NoiseMaker::new)
                .tell(packet.payload);
            self.noise_number = Some(packet.header.sequence_number);
            self.jitter.insert_other(now, &packet.header);
        }
    }

    /// Fills `out` with the next 10 ms.
    pub(crate) fn frame(&mut self, now: Instant, out: &mut [i16]) {
        while self.end - self.start < out.len() {
            let before = self.end - self.start;
            self.refill(now);
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
        if !self.formats.has_events()
            && let Some(heard) = self.formats.tones.process(out)
        {
            let _ = self.events.push(StreamEvent::Dtmf {
                digit: heard.digit,
                duration: Duration::from_millis(u64::from(heard.duration_ms)),
            });
        }
        for receiver in self.formats.events() {
            while let Some(digit) = receiver.poll(now) {
                let _ = self.events.push(StreamEvent::Dtmf {
                    digit: digit.digit,
                    duration: digit.duration,
                });
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        self.store.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let (made, quiet) = self.make(now);
        let rate_hz = self.formats.kind().sample_rate_hz();
        let native = self.native.get(..made).unwrap_or_default();
        if let Some(room) = self.store.get_mut(self.end..) {
            self.end += self.formats.bring(native, room);
        }
        if let Some(quiet) = quiet {
            let ms = made * 1_000 / rate_hz as usize;
            self.counters.played_ms.add(ms as u64);
            self.jitter.heard(quiet);
            self.jitter.set_repairs(self.without_copy < NO_COPY);
        }
    }

    /// Makes what comes next, at the rate of its codec; answers how many samples there are, and whether they are quiet where
    /// they stand for a packet.
    fn make(&mut self, now: Instant) -> (usize, Option<bool>) {
        let native = &mut self.native[..];
        match self.jitter.pull(now) {
            Playout::Payload(payload) => {
                self.comfort = payload.bytes.len() <= SILENCE_BYTES;
                self.in_noise = false;
                self.sounds = true;
                let behind = |number: u16| payload.sequence_number.wrapping_sub(number) < 0x8000;
                self.noise_number = self.noise_number.filter(|number| !behind(*number));
                let is_ours = self.formats.turn_to(payload.payload_type, native);
                let kind = self.formats.kind();
                let step = kind.frame_samples(10);
                let Some(decoder) = self.formats.decoder() else {
                    return silence(native, step);
                };
                self.counters.hear_codec(kind);
                self.without_copy = if is_ours && decoder.carries_fec(payload.bytes) {
                    0
                } else {
                    self.without_copy.saturating_add(1)
                };
                let rate_hz = kind.sample_rate_hz();
                // Decoded, too, so that the decoder is where its sender is. It is of the same codec.
                let cut = payload.cut.filter(|_| is_ours).and_then(|cut| {
                    let decoded = decoder.decode(cut, self.cut.as_mut_slice());
                    decoded.ok().and_then(|samples| self.cut.get(..samples))
                });
                let room = native.get_mut(..LONGEST_FRAME_SAMPLES).unwrap_or_default();
                let decoded = Some(payload.bytes).filter(|_| is_ours);
                let decoded = decoded.and_then(|bytes| decoder.decode(bytes, room).ok());
                let samples = decoded.unwrap_or_else(|| {
                    // A payload that is not of this codec, or of one that is no longer agreed on, sounds like a lost one.
                    decoder.conceal(&mut native[..2 * step]);
                    2 * step
                });
                let samples = cut.map_or(samples, |cut| join(cut, native, samples, rate_hz));
                let quiet = level(&native[..samples]) < QUIET;
                self.unstretched = self.unstretched.saturating_add(1);
                let change = match payload.pace {
                    Pace::Faster => Some(shorten as fn(&mut [i16], usize, u32, u32) -> usize),
                    Pace::Slower => Some(lengthen as fn(&mut [i16], usize, u32, u32) -> usize),
                    Pace::Steady => None,
                };
                if change.is_none() || cut.is_some() {
                    self.wanted = 0;
                }
                let change = change.filter(|_| self.unstretched >= STRETCH_EVERY);
                let count = change.map_or(samples, |change| {
                    let wanted_ms = self.wanted * 1_000 / rate_hz as usize;
                    self.wanted = self.wanted.saturating_add(samples);
                    let wanted_ms = u32::try_from(wanted_ms).unwrap_or(u32::MAX);
                    change(native, samples, rate_hz, wanted_ms)
                });
                if count != samples {
                    (self.unstretched, self.wanted) = (0, 0);
                }
                (count, Some(quiet))
            }
            Playout::Lost { samples, next } => {
                let kind = self.formats.kind();
                let samples = lost_samples(kind, samples);
                // The copy in a packet of another codec is for the decoder of that.
                let next = next.filter(|n| self.formats.kind_of(n.payload_type) == Some(kind));
                let native = &mut native[..samples];
                match (self.formats.decoder(), next) {
                    (Some(decoder), Some(next)) => {
                        decoder.decode_fec(next.bytes, native);
                    }
                    (Some(decoder), None) => decoder.conceal(native),
                    (None, _) => native.fill(0),
                }
                (samples, Some(false))
            }
            Playout::Empty(why) => {
                let kind = self.formats.kind();
                let step = kind.frame_samples(10);
                let native = &mut native[..step];
                let conceal = match why {
                    Empty::Starved | Empty::Stretch => true,
                    Empty::Silence => self.comfort && kind == CodecKind::Opus,
                    Empty::Filling => false,
                };
                let decoder = self.formats.decoder().filter(|_| conceal);
                let in_pause = why == Empty::Silence && self.noise_number.is_some();
                if let Some(noise) = self.noise.as_mut().filter(|_| in_pause) {
                    if !std::mem::replace(&mut self.in_noise, true) {
                        noise.begin();
                    }
                    noise.make(native);
                } else if let Some(decoder) = decoder {
                    decoder.conceal(native);
                } else if let Some(decoder) = self.formats.decoder().filter(|_| self.sounds) {
                    // Where the sound is cut off it goes on for a moment, so that its end is no click.
                    decoder.conceal(native);
                    fade_out(native);
                    self.sounds = false;
                } else {
                    native.fill(0);
                }
                (step, None)
            }
        }
    }

    /// Brings the counters up to date that are not counted one by one.
    pub(crate) fn tell(&mut self, now: Instant) {
        let counters = Arc::clone(&self.counters);
        let heard = self.receiver.statistics();
        let buffer = self.jitter.statistics();
        counters.lost.set(heard.lost_in_all);
        counters
            .duplicates
            .set(heard.duplicates + counters.repeated());
        counters
            .jitter_us
            .set(u64::try_from(heard.jitter.as_micros()).unwrap_or(u64::MAX));
        counters.late.set(buffer.late);
        counters
            .buffer_us
            .set((buffer.delay_ms.max(0.0) * 1_000.0) as u64);
        counters.concealed_ms.set(buffer.concealed_ms);
        let since = now.saturating_duration_since(self.last_heard.unwrap_or(self.began));
        counters
            .silent_ms
            .set(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        counters.pauses.store(self.is_in_pause(), Relaxed);
        let mut last = std::mem::take(&mut self.last_second);
        quality::tell(self, &mut last, &counters);
        self.last_second = last;
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

    /// The codec that is heard at present.
    pub(crate) fn kind(&self) -> CodecKind {
        self.formats.kind()
    }

    /// The rate of what is heard, which is that of the widest codec that may be.
    pub(crate) fn rate_hz(&self) -> u32 {
        self.formats.rate_hz()
    }

    /// What the peer said last is that it says nothing for a while: by noise (RFC 3389), or by silence that Opus leaves out.
    pub(crate) fn is_in_pause(&self) -> bool {
        self.noise_number.is_some() || self.comfort
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

fn fade_out(samples: &mut [i16]) {
    let count = samples.len().max(1) as i32;
    for (left, sample) in (0..count).rev().zip(samples) {
        *sample = (i32::from(*sample) * left / count) as i16;
    }
}

fn silence(out: &mut [i16], samples: usize) -> (usize, Option<bool>) {
    out.iter_mut().take(samples).for_each(|sample| *sample = 0);
    (samples, None)
}

/// The length of a lost frame as the decoder can make it: Opus counts in 2.5 ms.
fn lost_samples(kind: CodecKind, ticks: u32) -> usize {
    let grain = match kind {
        CodecKind::Opus => 120,
        CodecKind::G722 | CodecKind::Pcmu | CodecKind::Pcma => 1,
    };
    let most = kind.frame_samples(codecs::LONGEST_FRAME_MS);
    let samples = u64::from(ticks) * u64::from(kind.sample_rate_hz()) / u64::from(CLOCK_HZ);
    let samples = usize::try_from(samples).unwrap_or(most).min(most);
    (samples / grain * grain).max(grain)
}
