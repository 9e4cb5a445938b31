//! The pump: all streams, the devices' rings and the local tone, 10 ms at a time.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread::Thread;
use std::time::{Duration, Instant};

use codecs::CodecKind;
use rtrb::{Consumer, Producer};

use crate::apart::Processor;
use crate::arrival::Clocks;
use crate::config::StreamEvent;
use crate::counters::{Fraction, PumpCounters};
use crate::device::{Capture, Playout};
use crate::keeper::{Keeper, Outcome, Post, Way};
use crate::relay::Channels;
use crate::send::{Instead, Microphone, Prepared};
use crate::socket::{SPARE_PER_STEP, Wire};
use crate::stream::{Change, Output, Scratch, Stream};
use crate::tape::Tape;
use crate::tone::{Player, Tone};
use crate::trial::Trying;
use crate::voice::Processing;
use crate::{FRAME_SAMPLES, MOST_STREAMS, SAMPLE_RATE_HZ, TICK};

/// Behind by more than this the steps are given up: the machine was suspended or stopped.
const LONGEST_LAG: Duration = Duration::from_millis(200);

/// A step that begins later than this after its deadline is counted: half a step.
const LATE: Duration = Duration::from_millis(5);

/// More Opus streams than this share the time: their encoders are told to make less effort. With 256 us per
/// frame at full effort sixteen take a fifth of a core, and a hundred at 69 us take not much more than a third.
const CROWD: usize = 16;

/// Above this the mix is bent towards full scale instead of cut off.
pub(crate) const LINEAR: f32 = 0.8;

/// What a handle asks for. Whatever needs memory has it with it.
pub(crate) enum Command {
    Add(Box<Stream>),
    Change(u64, Box<Change>),
    Source(u64, Prepared),
    /// Says this in place of the source; none no longer.
    Instead(u64, Option<Box<Instead>>),
    Output(u64, Output),
    /// Records both sides; none no longer.
    Tape(u64, Option<Box<Tape>>),
    Press(u64, char, Duration),
    /// Forgets the digits of the stream of this number.
    Unpress(u64),
    Wire(u64, Wire),
    /// A datagram of a handshake.
    Send(u64, u8, Box<[u8]>, SocketAddr),
    Secured(Box<Outcome>),
    Way(Way),
    /// What leads through the relay of this line; none when there is none.
    Relay(u64, u8, Option<Box<Channels>>),
    Tell(u64, StreamEvent),
    Capture(Option<Capture>),
    Playout(Option<Playout>),
    /// What is done to what the microphone hears; none for nothing.
    Voice(Option<Processor>),
    /// Something else is done to it, with what has been learned.
    Processing(Processing),
    /// Where it rings instead of at the speaker.
    Ringer(Option<Playout>),
    Trial(Option<Trying>),
    Tone(Option<Tone>),
}

/// What the pump is done with and must not free itself. Nobody looks at it again.
#[expect(dead_code, reason = "it is here to be dropped, on another thread")]
pub(crate) enum Trash {
    Stream(Box<Stream>),
    Change(Box<Change>),
    Source(Prepared),
    Instead(Option<Box<Instead>>),
    Output(Output),
    Tape(Option<Box<Tape>>),
    Wire(Wire),
    Sent(Box<[u8]>),
    Secured(Box<Outcome>),
    Relay(Option<Box<Channels>>),
    Capture(Capture),
    Playout(Playout),
    Voice(Processor),
    Trial(Trying),
}

/// What handles and pump share without a ring.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) counters: PumpCounters,
    pub(crate) shutdown: AtomicBool,
    pub(crate) capture_gain: Fraction,
    pub(crate) playout_volume: Fraction,
    /// The number that the system knows the pump's thread by; nothing before it runs.
    pub(crate) thread: AtomicU32,
    /// The same of the thread that works on the microphone's sound; nothing while there is none.
    pub(crate) voice_thread: AtomicU32,
    /// Whether something is done to the microphone's sound, or was with these devices.
    pub(crate) has_voice: AtomicBool,
}

impl Common {
    pub(crate) fn new() -> Self {
        let common = Self {
            counters: PumpCounters::default(),
            shutdown: AtomicBool::new(false),
            capture_gain: Fraction::default(),
            playout_volume: Fraction::default(),
            thread: AtomicU32::new(0),
            voice_thread: AtomicU32::new(0),
            has_voice: AtomicBool::new(false),
        };
        common.capture_gain.set(1.0);
        common.playout_volume.set(1.0);
        common
    }
}

/// Everything the pump thread does, without the thread: [`step`](Self::step) it by any clock.
pub struct Pump {
    commands: Consumer<Command>,
    trash: Producer<Trash>,
    /// What the trash ring had no room for.
    leftover: Vec<Trash>,
    streams: Vec<Box<Stream>>,
    microphone: Microphone,
    capture: Option<Capture>,
    playout: Option<Playout>,
    ringer: Option<Playout>,
    trial: Option<Trying>,
    voice: Option<Processor>,
    tone: Option<Player>,
    /// The tone before it, which fades out in the next step.
    leaving: Option<Player>,
    scratch: Scratch,
    common: Arc<Common>,
    aside: Option<Thread>,
    /// There where it has no thread of its own.
    keeper: Option<Keeper>,
    littered: bool,
    playout_volume: f32,
    /// How late this step is.
    late: Duration,
}

impl Pump {
    pub(crate) fn new(
        commands: Consumer<Command>,
        trash: Producer<Trash>,
        common: Arc<Common>,
        aside: Option<Thread>,
        post: Post,
        keeper: Option<Keeper>,
    ) -> Self {
        Self {
            commands,
            trash,
            leftover: Vec::with_capacity(MOST_STREAMS),
            streams: Vec::with_capacity(MOST_STREAMS),
            microphone: Microphone::new(),
            capture: None,
            playout: None,
            ringer: None,
            trial: None,
            voice: None,
            tone: None,
            leaving: None,
            scratch: Scratch::new(post),
            common,
            aside,
            keeper,
            littered: false,
            playout_volume: 1.0,
            late: Duration::ZERO,
        }
    }

    /// One step: 10 ms of every stream. `now` should be 10 ms after that of the step before; `ntp` is the wall
    /// clock as an NTP timestamp, for the reports.
    pub fn step(&mut self, now: Instant, ntp: u64) {
        self.take_commands(now);
        self.remove_unwanted(now, ntp);
        self.begin_frame(now);
        // All hear before one speaks: in a conference each says what the others were heard to say.
        let scratch = &mut self.scratch;
        for stream in &mut self.streams {
            guarded(stream, |stream| stream.hear(now, ntp, scratch));
        }
        self.finish_microphone();
        let (microphone, scratch) = (&mut self.microphone, &mut self.scratch);
        for stream in &mut self.streams {
            guarded(stream, |stream| stream.speak(now, microphone, scratch));
        }
        self.end_frame(now);
        self.tidy();
        self.scratch.post.send_off();
        if let Some(keeper) = &mut self.keeper {
            keeper.step(now);
        }
        self.common.counters.ticks.add(1);
    }

    /// Takes what the handles have asked for. [`step`](Self::step) does so too.
    pub fn take_commands(&mut self, now: Instant) {
        while let Ok(command) = self.commands.pop() {
            let regroups = matches!(command, Command::Add(_) | Command::Change(..));
            self.obey(now, command);
            if regroups {
                self.share_effort();
            }
        }
        self.common.counters.streams.set(self.streams.len() as u64);
    }

    /// Whether there is nothing to step for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.streams.is_empty()
            && self.tone.is_none()
            && self.leaving.is_none()
            && self.capture.is_none()
            && self.playout.is_none()
            && self.ringer.is_none()
            && self.leftover.is_empty()
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Add(mut stream) => {
                stream.begin(now);
                self.streams.push(stream);
            }
            Command::Change(id, mut change) => {
                if let Some(stream) = self.stream(id) {
                    stream.change(now, &mut change);
                }
                self.discard(Trash::Change(change));
            }
            Command::Source(id, mut source) => {
                if let Some(stream) = self.stream(id) {
                    std::mem::swap(&mut stream.send.source, &mut source);
                }
                self.discard(Trash::Source(source));
            }
            Command::Instead(id, mut instead) => {
                if let Some(stream) = self.stream(id) {
                    std::mem::swap(&mut stream.send.instead, &mut instead);
                }
                self.discard(Trash::Instead(instead));
            }
            Command::Output(id, mut output) => {
                if let Some(stream) = self.stream(id) {
                    std::mem::swap(&mut stream.output, &mut output);
                }
                self.discard(Trash::Output(output));
            }
            Command::Tape(id, mut tape) => {
                if let Some(stream) = self.stream(id) {
                    std::mem::swap(&mut stream.tape, &mut tape);
                }
                self.discard(Trash::Tape(tape));
            }
            Command::Wire(id, mut wire) => {
                if let Some(stream) = self.stream(id) {
                    std::mem::swap(&mut stream.wire, &mut wire);
                }
                self.discard(Trash::Wire(wire));
            }
            Command::Send(id, line, datagram, to) => {
                if let Some(stream) = self.stream(id) {
                    stream.gate.on_sent(&datagram, to);
                    if !stream.wire.send(line, &datagram, to) {
                        stream.counters.send_errors.add(1);
                    }
                }
                self.discard(Trash::Sent(datagram));
            }
            Command::Secured(mut outcome) => {
                if let Some(stream) = self.stream(outcome.stream) {
                    stream.secure(now, &mut outcome);
                }
                self.discard(Trash::Secured(outcome));
            }
            Command::Way(way) => {
                if let Some(stream) = self.stream(way.stream) {
                    stream.go(&way);
                }
            }
            Command::Relay(id, line, mut relay) => {
                let place = self.stream(id).map(|stream| &mut stream.relays);
                if let Some(place) = place.and_then(|all| all.get_mut(usize::from(line))) {
                    std::mem::swap(place, &mut relay);
                }
                self.discard(Trash::Relay(relay));
            }
            Command::Tell(id, event) => {
                if let Some(stream) = self.stream(id) {
                    let _ = stream.receive.events.push(event);
                }
            }
            Command::Press(id, digit, duration) => {
                if let Some(stream) = self.stream(id) {
                    stream.press(digit, duration);
                }
            }
            Command::Unpress(id) => {
                if let Some(stream) = self.stream(id) {
                    stream.unpress();
                }
            }
            Command::Capture(capture) => self.set_capture(capture),
            Command::Playout(playout) => self.set_playout(playout),
            Command::Ringer(ringer) => self.set_ringer(ringer),
            Command::Trial(trial) => {
                if let Some(old) = std::mem::replace(&mut self.trial, trial) {
                    self.discard(Trash::Trial(old));
                }
            }
            Command::Voice(voice) => {
                if let Some(old) = std::mem::replace(&mut self.voice, voice) {
                    self.discard(Trash::Voice(old));
                }
                self.common.counters.voice_failed.store(false, Relaxed);
            }
            Command::Processing(processing) => {
                if let Some(voice) = &mut self.voice {
                    voice.change(processing);
                }
            }
            Command::Tone(tone) => {
                let tone = tone.map(|tone| Player::new(tone, SAMPLE_RATE_HZ));
                self.leaving = std::mem::replace(&mut self.tone, tone).or(self.leaving.take());
            }
        }
    }

    fn share_effort(&mut self) {
        let kinds = self.streams.iter().map(|stream| stream.send.encoder.kind());
        let crowded = kinds.filter(|kind| *kind == CodecKind::Opus).count() > CROWD;
        for stream in &mut self.streams {
            stream.send.set_crowded(crowded);
        }
    }

    fn stream(&mut self, id: u64) -> Option<&mut Stream> {
        let found = self.streams.iter_mut().find(|stream| stream.id == id);
        found.map(Box::as_mut)
    }

    fn remove_unwanted(&mut self, now: Instant, ntp: u64) {
        let mut n = 0;
        while let Some(stream) = self.streams.get_mut(n) {
            if !stream.wishes.removed.load(Relaxed) {
                n += 1;
                continue;
            }
            if !stream.counters.failed() {
                stream.farewell(now, ntp);
            }
            let stream = self.streams.swap_remove(n);
            self.discard(Trash::Stream(stream));
            self.common.counters.streams.set(self.streams.len() as u64);
            self.share_effort();
        }
    }

    fn set_capture(&mut self, capture: Option<Capture>) {
        if let Some(old) = std::mem::replace(&mut self.capture, capture) {
            self.discard(Trash::Capture(old));
        }
        self.common.counters.capture_level.set(0.0);
    }

    fn set_playout(&mut self, playout: Option<Playout>) {
        if let Some(old) = std::mem::replace(&mut self.playout, playout) {
            self.discard(Trash::Playout(old));
        }
        self.common.counters.playout_level.set(0.0);
    }

    fn set_ringer(&mut self, ringer: Option<Playout>) {
        if let Some(old) = std::mem::replace(&mut self.ringer, ringer) {
            self.discard(Trash::Playout(old));
        }
    }

    /// A device that is closed drops its end of the ring; that is how it is detached.
    fn let_go_of_closed_devices(&mut self) {
        if self.capture.as_ref().is_some_and(Capture::is_gone) {
            self.set_capture(None);
        }
        if self.playout.as_ref().is_some_and(Playout::is_gone) {
            self.set_playout(None);
        }
        if self.ringer.as_ref().is_some_and(Playout::is_gone) {
            self.set_ringer(None);
        }
    }

    fn begin_frame(&mut self, now: Instant) {
        self.let_go_of_closed_devices();
        let counters = &self.common.counters;
        let voice = self.voice.as_mut();
        let waiting = counters.capture_waiting_ms() + counters.playout_waiting_ms();
        if !self
            .microphone
            .begin(now, self.capture.as_mut(), voice, waiting)
        {
            counters.capture_underruns.add(1);
        }
        if let Some(capture) = &self.capture {
            counters.capture_waiting_ms.set(in_ms(capture.waiting()));
        }
        self.scratch.mix.fill(0.0);
        self.scratch.rooms.begin();
        self.scratch.spare = SPARE_PER_STEP;
    }

    /// From here on what the microphone hears is needed; until here another thread had the time to work on it.
    fn finish_microphone(&mut self) {
        if self.capture.is_none() {
            return;
        }
        let counters = &self.common.counters;
        let gain = self.common.capture_gain.get();
        let finished = self.microphone.finish(self.voice.as_mut(), gain);
        counters.voice_late.add(u64::from(finished.late));
        let waited = u64::try_from(finished.waited.as_micros()).unwrap_or(u64::MAX);
        counters.voice_waited_us.add(waited);
        if self.voice.as_ref().is_some_and(Processor::has_failed) {
            counters.voice_failed.store(true, Relaxed);
        }
        counters.capture_level.set(rms(self.microphone.frame()));
    }

    fn end_frame(&mut self, now: Instant) {
        let mix = &mut self.scratch.mix;
        if let Some(trial) = &mut self.trial {
            trial.add(self.microphone.frame(), mix);
        }
        let mut ring = [0.0; FRAME_SAMPLES];
        // Only a call that comes in is for the whole room.
        let has_ringer = self.ringer.is_some();
        let is_apart = |player: &Player| has_ringer && player.tone() == Tone::Ring;
        if let Some(mut leaving) = self.leaving.take() {
            let mut last = [0.0; FRAME_SAMPLES];
            leaving.add(&mut last);
            let heard = if is_apart(&leaving) {
                &mut ring
            } else {
                &mut *mix
            };
            for (n, (sum, sample)) in heard.iter_mut().zip(last).enumerate() {
                *sum += sample * (1.0 - (n + 1) as f32 / FRAME_SAMPLES as f32);
            }
        }
        if let Some(tone) = &mut self.tone {
            let heard = if is_apart(tone) { &mut ring } else { &mut *mix };
            if !tone.add(heard) {
                self.tone = None;
            }
        }
        if let Some(ringer) = &mut self.ringer {
            ringer.write(now, self.late, &ring);
        }
        let Some(playout) = &mut self.playout else {
            listen(self.voice.as_mut(), &self.capture, &[0.0; FRAME_SAMPLES]);
            return;
        };
        let wanted = self.common.playout_volume.get();
        let step = (wanted - self.playout_volume) / FRAME_SAMPLES as f32;
        for sample in mix.iter_mut() {
            self.playout_volume += step;
            *sample = limit(*sample * self.playout_volume);
        }
        self.playout_volume = wanted;
        playout.write(now, self.late, mix);
        listen(self.voice.as_mut(), &self.capture, mix);
        let counters = &self.common.counters;
        counters.playout_level.set(rms(mix));
        counters.playout_waiting_ms.set(in_ms(playout.waiting()));
    }

    fn discard(&mut self, trash: Trash) {
        self.littered = true;
        if let Err(rtrb::PushError::Full(trash)) = self.trash.push(trash) {
            self.leftover.push(trash);
        }
    }

    /// Hands on what is left over, and wakes the thread that frees it.
    fn tidy(&mut self) {
        while let Some(trash) = self.leftover.pop() {
            if let Err(rtrb::PushError::Full(trash)) = self.trash.push(trash) {
                self.leftover.push(trash);
                break;
            }
        }
        if std::mem::take(&mut self.littered)
            && let Some(aside) = &self.aside
        {
            aside.unpark();
        }
    }

    /// For the thread that is going to [`run`](Self::run) it.
    pub(crate) fn tell_thread(&self) {
        let number = crate::thread_number().unwrap_or_default();
        self.common.thread.store(number, Relaxed);
    }

    /// The thread's loop; ends when the handles want it to.
    pub(crate) fn run(mut self) {
        let began = Instant::now();
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let ntp = |now: Instant| rtp::rtcp::ntp_from_unix(wall + (now - began));
        // The deadline of step n is n ticks after this.
        let mut origin = began;
        let mut ticks = 0u32;
        loop {
            let now = Instant::now();
            self.take_commands(now);
            if self.common.shutdown.load(Relaxed) {
                self.leave(now, ntp(now));
                return;
            }
            if self.is_idle() {
                self.tidy();
                std::thread::park();
                (origin, ticks) = (Instant::now(), 0);
                continue;
            }
            let deadline = origin + TICK * ticks;
            if let Some(early) = deadline.checked_duration_since(now)
                && !early.is_zero()
            {
                std::thread::sleep(early);
            }
            let now = Instant::now();
            let lag = now.saturating_duration_since(deadline);
            let counters = &self.common.counters;
            if lag > LONGEST_LAG {
                let missed = lag.as_millis() / TICK.as_millis();
                counters
                    .skipped_ticks
                    .add(u64::try_from(missed).unwrap_or(u64::MAX));
                (origin, ticks) = (now, 0);
                continue;
            }
            counters.late_ticks.add(u64::from(lag >= LATE));
            self.late = lag;
            self.scratch.clocks = Some(Clocks::now());
            // By the deadline and not by the clock, so that a late step does not look like jitter.
            self.step(deadline, ntp(now));
            let counters = &self.common.counters;
            let took_ns = u64::try_from(now.elapsed().as_nanos()).unwrap_or(u64::MAX);
            counters.in_steps_ns.add(took_ns);
            let took_us = took_ns / 1_000;
            if took_us > counters.longest_step_us() {
                counters.longest_step_us.set(took_us);
            }
            let lead = self.capture.as_mut().map(Capture::lead).unwrap_or_default();
            origin = shifted(origin, lead.later_s);
            if lead.is_leap {
                let speakers = [&mut self.playout, &mut self.ringer];
                speakers.into_iter().flatten().for_each(Playout::leap);
            }
            ticks += 1;
            if ticks == u32::MAX {
                (origin, ticks) = (deadline + TICK, 0);
            }
        }
    }

    fn leave(&mut self, now: Instant, ntp: u64) {
        for stream in &mut self.streams {
            if !stream.counters.failed() {
                stream.farewell(now, ntp);
            }
        }
        while let Some(stream) = self.streams.pop() {
            self.discard(Trash::Stream(stream));
        }
        self.tidy();
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // The trash ring is abandoned a moment later; the helper thread is woken by who joins it.
        if let Some(aside) = &self.aside {
            aside.unpark();
        }
    }
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump")
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}

/// Shows what is played to whoever takes it out of what the microphone hears: a frame for each of the microphone.
fn listen(voice: Option<&mut Processor>, capture: &Option<Capture>, played: &[f32; FRAME_SAMPLES]) {
    if let (Some(voice), Some(_)) = (voice, capture) {
        voice.play(played);
    }
}

/// So many seconds later, or earlier below nothing.
fn shifted(at: Instant, by: f64) -> Instant {
    let far = Duration::from_secs_f64(by.abs());
    let earlier = || at.checked_sub(far).unwrap_or(at);
    if by < 0.0 { earlier() } else { at + far }
}

/// A fault in one stream is its own.
fn guarded(stream: &mut Stream, work: impl FnOnce(&mut Stream)) {
    if stream.counters.failed() {
        return;
    }
    if catch_unwind(AssertUnwindSafe(|| work(stream))).is_err() {
        stream.fail();
    }
}

/// Several voices at once may be louder than full scale; a bend is less ugly than an edge.
pub(crate) fn limit(sample: f32) -> f32 {
    if sample.abs() <= LINEAR {
        return sample;
    }
    let above = (sample.abs() - LINEAR) / (1.0 - LINEAR);
    (LINEAR + (1.0 - LINEAR) * above.tanh()).copysign(sample)
}

fn rms(frame: &[f32; FRAME_SAMPLES]) -> f32 {
    let mut sums = [0.0f32; 8];
    for chunk in frame.chunks_exact(8) {
        for (sum, sample) in sums.iter_mut().zip(chunk) {
            *sum += sample * sample;
        }
    }
    (sums.iter().sum::<f32>() / FRAME_SAMPLES as f32).sqrt()
}

fn in_ms(samples: usize) -> u64 {
    (samples / (SAMPLE_RATE_HZ as usize / 1_000)) as u64
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::{
        Codec, PumpHandle, Sink, Source, StreamConfig, StreamEvent, StreamHandle, StreamParameters,
    };

    fn stream(pump: &PumpHandle, random: u64) -> StreamHandle {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let parameters = StreamParameters {
            remote: socket.local_addr().ok(),
            ..StreamParameters::new(Codec::new(CodecKind::Pcmu, 0))
        };
        let config = StreamConfig {
            source: Source::Tone { hz: 440.0 },
            sink: Sink::Discard,
            ..StreamConfig::new(socket, parameters, random)
        };
        pump.add_stream(config).unwrap()
    }

    #[test]
    fn a_fault_ends_its_stream_and_spares_the_others() {
        let (handle, mut pump, _aside) = PumpHandle::manual();
        let streams = [stream(&handle, 1), stream(&handle, 2), stream(&handle, 3)];
        let mut now = Instant::now();
        let mut run = |pump: &mut Pump, steps: u32| {
            for _ in 0..steps {
                pump.step(now, 0);
                now += TICK;
            }
        };
        run(&mut pump, 50);
        pump.streams[1].fault = true;
        run(&mut pump, 50);
        let failed = streams.each_ref().map(|stream| stream.counters().failed());
        assert_eq!(failed, [false, true, false]);
        // The second one began a step later.
        let sent = streams.each_ref().map(|stream| stream.counters().sent());
        assert_eq!(sent, [50, 24, 50]);
        let events: Vec<_> = std::iter::from_fn(|| streams[1].poll_event()).collect();
        assert_eq!(events.last(), Some(&StreamEvent::Failed));
        assert!(matches!(
            streams[0].poll_event(),
            Some(StreamEvent::FirstPacket { .. })
        ));
        assert_eq!(streams[0].poll_event(), None);
        drop(streams);
        run(&mut pump, 1);
        assert!(pump.is_idle());
    }

    #[test]
    fn the_mix_is_bent_and_never_cut() {
        assert_eq!(limit(0.5), 0.5);
        assert_eq!(limit(-0.8), -0.8);
        let mut before = 0.0;
        for n in 0..400 {
            let value = limit(n as f32 / 100.0);
            assert!(value >= before && value <= 1.0, "{n}");
            assert_eq!(limit(-(n as f32) / 100.0), -value);
            before = value;
        }
    }
}
