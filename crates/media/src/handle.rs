//! What everybody else holds of the pump and of its streams.

mod stream;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use codecs::{CodecError, Encoder};
use nat::ice::Component;
use rtp::srtp::{Renewal, Shield, UnusableKey};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::MOST_STREAMS;
use crate::apart::Processor;
use crate::config::{Place, Sink, StreamConfig, StreamParameters};
use crate::control::Control;
use crate::counters::{PumpCounters, StreamCounters, Wishes};
use crate::device::{Capture, Playout};
use crate::formats::{Formats, Hearable};
use crate::gate::Gate;
use crate::keeper::{Keeper, LETTERS, Order, Post};
use crate::pace::Pace;
use crate::pump::{Command, Common, Pump};
use crate::receive::ReceivePath;
use crate::record::{Aside, Recorder, Trouble, Writing, record};
use crate::relay::{Channels, Relay};
use crate::resample::ToDevice;
use crate::send::{Prepared, SendPath};
use crate::socket::{MOST_LINES, MOST_PLACES, Wire};
use crate::stream::{Heard, LONGEST_PACKET, Output, Stream};
use crate::tone::Tone;
use crate::trial::{Trial, Trying};
use crate::voice::{Processing, Voice};

use self::stream::Last;
pub use self::stream::StreamHandle;

/// Commands that may wait: a step takes them all.
const COMMANDS: usize = 1_024;

/// Events of one stream that may wait until they are polled; further ones are lost.
const EVENTS: usize = 128;

/// Why the pump cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The codec cannot be made.
    #[error("codec: {0}")]
    Codec(#[from] CodecError),
    /// Media cannot be encrypted as was agreed.
    #[error(transparent)]
    Key(#[from] UnusableKey),
    /// The character is no key of a telephone.
    #[error("{0:?} is not a key of a telephone")]
    NotADigit(char),
    /// A file for recording cannot be made.
    #[error("{path} cannot be recorded to: {reason}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The pump carries all it can.
    #[error("the pump carries {MOST_STREAMS} streams already")]
    TooManyStreams,
    /// The pump is far behind and takes no more commands.
    #[error("the pump does not keep up")]
    Busy,
    /// The thread cannot be started.
    #[error("the media thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// The socket cannot be used.
    #[error("socket: {0}")]
    Socket(std::io::Error),
}

struct Shared {
    commands: Arc<Mutex<Producer<Command>>>,
    orders: Arc<Mutex<Vec<Order>>>,
    next_handshake: AtomicU64,
    common: Arc<Common>,
    arriving: Arc<Mutex<Vec<Writing>>>,
    next_id: AtomicU64,
    threads: Mutex<Option<Threads>>,
    pump: Option<std::thread::Thread>,
    aside: Option<std::thread::Thread>,
    keeper: Option<std::thread::Thread>,
}

struct Threads {
    pump: JoinHandle<()>,
    keeper: JoinHandle<()>,
    aside: JoinHandle<()>,
}

impl Shared {
    fn command(&self, command: Command) -> Result<(), MediaError> {
        let pushed = lock(&self.commands).push(command);
        self.wake();
        pushed.map_err(|_| MediaError::Busy)
    }

    fn wake(&self) {
        if let Some(pump) = &self.pump {
            pump.unpark();
        }
    }

    fn order(&self, order: Order) {
        lock(&self.orders).push(order);
        self.wake_keeper();
    }

    fn wake_keeper(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.unpark();
        }
    }

    /// Has addresses at relays kept, and the peer reached through the first.
    fn begin_relays(&self, stream: u64, relays: Vec<(u8, Relay)>, remote: Option<SocketAddr>) {
        for (line, relay) in relays {
            let relay = Box::new(relay);
            self.order(Order::Relay {
                stream,
                line,
                relay,
            });
        }
        if let Some(remote) = remote {
            self.order(Order::Remote {
                stream,
                component: Component::Media,
                remote,
            });
        }
    }

    /// Has the relay of the media carry what comes from there: a peer behind a router tells an address that nothing comes
    /// from, and its port is not known before.
    fn permit(&self, stream: u64, ip: Option<IpAddr>) {
        if let Some(ip) = ip {
            let ip = ip.to_canonical();
            self.order(Order::Permit { stream, ip });
        }
    }

    /// Has a way looked for, under this number.
    fn begin_search(&self, stream: u64, number: u64, keeps: bool, parameters: &StreamParameters) {
        let Some(session) = parameters.ice.clone() else {
            return;
        };
        self.order(Order::Search {
            stream,
            number,
            session: Box::new(session),
            keeps,
        });
    }

    /// Has the handshake of this number done for a stream, on the port of its media or on that of its reports.
    fn begin_handshake(
        &self,
        stream: u64,
        component: Component,
        number: u64,
        parameters: &StreamParameters,
    ) {
        let Some(dtls) = parameters.dtls.clone() else {
            return;
        };
        self.order(Order::Begin {
            stream,
            component,
            number,
            dtls: Box::new(dtls),
            remote: match component {
                Component::Media => parameters.remote,
                Component::Reports => parameters.reports_at(),
            },
        });
    }

    /// Begins a file, of one or two channels; answers where it is told that it ended early.
    fn recorder(
        &self,
        path: &Path,
        rate_hz: u32,
        channels: u16,
    ) -> Result<(Recorder, Trouble), MediaError> {
        let (recorder, writing) = record(path, rate_hz, channels)?;
        let trouble = writing.trouble();
        lock(&self.arriving).push(writing);
        if let Some(aside) = &self.aside {
            aside.unpark();
        }
        Ok((recorder, trouble))
    }

    fn output(
        &self,
        sink: &Sink,
        rate_hz: u32,
    ) -> Result<(Output, Option<(PathBuf, Trouble)>), MediaError> {
        let (path, speaker) = match sink {
            Sink::Speaker => (None, true),
            Sink::Discard => (None, false),
            Sink::Record(path) => (Some(path), false),
            Sink::RecordAndSpeaker(path) => (Some(path), true),
        };
        let Some(path) = path else {
            let output = Output {
                speaker,
                recorder: None,
            };
            return Ok((output, None));
        };
        let (recorder, trouble) = self.recorder(path, rate_hz, 1)?;
        let output = Output {
            speaker,
            recorder: Some(Box::new(recorder)),
        };
        Ok((output, Some((path.clone(), trouble))))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.common.shutdown.store(true, Relaxed);
        self.wake();
        self.wake_keeper();
    }
}

/// The pump, for all who have something for it to do. Clones are the same pump; it ends with the last of
/// them and of the streams.
#[derive(Clone)]
pub struct PumpHandle {
    shared: Arc<Shared>,
}

impl PumpHandle {
    /// Starts the thread "media", "media-aside" that writes and frees for it, and "media-keys" for handshakes. They
    /// sleep until there is something to do. Another one comes and goes with [`set_processing`](Self::set_processing).
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start() -> Result<Self, MediaError> {
        let (commands, commands_out) = RingBuffer::new(COMMANDS);
        let (trash, trash_out) = RingBuffer::new(COMMANDS);
        let common = Arc::new(Common::new());
        let arriving = Arc::new(Mutex::new(Vec::new()));
        let aside = Aside {
            trash: trash_out,
            arriving: Arc::clone(&arriving),
            writings: Vec::new(),
        };
        let aside = std::thread::Builder::new()
            .name("media-aside".to_owned())
            .spawn(move || aside.run())
            .map_err(MediaError::Thread)?;
        let aside_thread = aside.thread().clone();
        let commands = Arc::new(Mutex::new(commands));
        let orders = Arc::new(Mutex::new(Vec::new()));
        let (letters, letters_out) = RingBuffer::new(LETTERS);
        let keeper = Keeper::new(letters_out, Arc::clone(&orders), Arc::clone(&commands));
        let (for_keeper, pump_thread) = std::sync::mpsc::channel();
        let keepers = Arc::clone(&common);
        let keeper = std::thread::Builder::new()
            .name("media-keys".to_owned())
            .spawn(move || {
                // Without a pump there is nothing to keep keys for.
                if let Ok(pump) = pump_thread.recv() {
                    keeper.run(&keepers, pump);
                }
            })
            .map_err(MediaError::Thread)?;
        let keeper_thread = keeper.thread().clone();
        let pump = Pump::new(
            commands_out,
            trash,
            Arc::clone(&common),
            Some(aside_thread.clone()),
            Post::new(letters, Some(keeper_thread.clone())),
            None,
        );
        let waker = aside_thread.clone();
        let (running, runs) = std::sync::mpsc::channel();
        let pump = std::thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || {
                pump.tell_thread();
                let _ = running.send(());
                pump.run();
                // Only now is the trash ring abandoned: the helper may look and leave.
                waker.unpark();
            })
            .map_err(MediaError::Thread)?;
        // Its number is known from here on.
        let _ = runs.recv();
        // It waits for this, so it is there.
        let _ = for_keeper.send(pump.thread().clone());
        Ok(Self {
            shared: Arc::new(Shared {
                commands,
                orders,
                next_handshake: AtomicU64::new(1),
                common,
                arriving,
                next_id: AtomicU64::new(1),
                pump: Some(pump.thread().clone()),
                aside: Some(aside_thread),
                keeper: Some(keeper_thread),
                threads: Mutex::new(Some(Threads {
                    pump,
                    keeper,
                    aside,
                })),
            }),
        })
    }

    /// The same without threads: the caller steps the pump and runs the helper, by any clock.
    #[must_use]
    pub fn manual() -> (Self, Pump, Aside) {
        let (commands, commands_out) = RingBuffer::new(COMMANDS);
        let (trash, trash_out) = RingBuffer::new(COMMANDS);
        let common = Arc::new(Common::new());
        let arriving = Arc::new(Mutex::new(Vec::new()));
        let aside = Aside {
            trash: trash_out,
            arriving: Arc::clone(&arriving),
            writings: Vec::new(),
        };
        let commands = Arc::new(Mutex::new(commands));
        let orders = Arc::new(Mutex::new(Vec::new()));
        let (letters, letters_out) = RingBuffer::new(LETTERS);
        let keeper = Keeper::new(letters_out, Arc::clone(&orders), Arc::clone(&commands));
        let pump = Pump::new(
            commands_out,
            trash,
            Arc::clone(&common),
            None,
            Post::new(letters, None),
            Some(keeper),
        );
        let shared = Shared {
            commands,
            orders,
            next_handshake: AtomicU64::new(1),
            common,
            arriving,
            next_id: AtomicU64::new(1),
            threads: Mutex::new(None),
            pump: None,
            aside: None,
            keeper: None,
        };
        let handle = Self {
            shared: Arc::new(shared),
        };
        (handle, pump, aside)
    }

    /// Ends all streams with a farewell to their peers, completes the recordings and waits for both threads.
    /// Streams that are still held are dead afterwards.
    pub fn shutdown(&self) {
        self.shared.common.shutdown.store(true, Relaxed);
        self.shared.wake();
        self.shared.wake_keeper();
        let Some(threads) = lock(&self.shared.threads).take() else {
            return;
        };
        // A thread that has panicked has nothing more to wait for.
        let _ = threads.pump.join();
        let _ = threads.keeper.join();
        threads.aside.thread().unpark();
        let _ = threads.aside.join();
    }

    /// Adds a stream; it begins within 10 ms and ends when its handle is dropped.
    ///
    /// # Errors
    /// The codec, the file to record to or the socket cannot be had, or the pump is full.
    pub fn add_stream(&self, config: StreamConfig) -> Result<StreamHandle, MediaError> {
        if self.shared.common.counters.streams() >= MOST_STREAMS as u64 {
            return Err(MediaError::TooManyStreams);
        }
        // The pump sets the real beginning when the stream gets there.
        let now = Instant::now();
        let kind = config.parameters.codec.kind;
        let encoder = Encoder::new(kind, config.parameters.opus.with(config.encoder))?;
        let hearable = Hearable::new(&config.parameters);
        let formats = Formats::new(&hearable)?;
        let (output, trouble) = self.shared.output(&config.sink, kind.sample_rate_hz())?;
        let reports_have_port = config.rtcp_socket.is_some();
        let first = Place {
            socket: config.socket,
            rtcp_socket: config.rtcp_socket,
            relay: config.relay,
            rtcp_relay: config.rtcp_relay,
        };
        let (wire, mut relays) = lines(first, config.further)?;
        let (events, events_out) = RingBuffer::new(EVENTS);
        let counters = Arc::new(StreamCounters::default());
        let wishes = Arc::new(Wishes::default());
        wishes.muted.store(config.muted, Relaxed);
        let id = self.shared.next_id.fetch_add(1, Relaxed);
        let sender = rtp::Sender::new(
            config.ssrc,
            // In the lower half, so that the numbers do not wrap while a peer may not yet listen: it could
            // not tell the rollover counter of an encrypted stream (RFC 4568 §6.4).
            (config.seed >> 49) as u16,
            (config.seed >> 16) as u32,
            kind.rtp_clock_hz(),
        );
        let source = Prepared::new(&config.source, kind);
        let security = config.parameters.security.clone();
        let ice = config.parameters.ice.clone();
        let dtls = config.parameters.dtls.clone();
        let remote = config.parameters.remote;
        let signalling = config.parameters.signalling;
        let handshake = self.shared.next_handshake.fetch_add(1, Relaxed);
        let mut shield = Shield::default();
        let mut renewal = match &dtls {
            Some(_) => Renewal::close(),
            None => Renewal::new(None, security.as_ref())?,
        };
        // The first key cannot have served before.
        let _ = shield.change(now, &mut renewal, true);
        let apart = reports_have_port && config.parameters.has_reports_apart();
        let report_handshake = self.shared.next_handshake.fetch_add(1, Relaxed);
        let mut report_shield = Shield::default();
        if apart {
            let _ = report_shield.change(now, &mut Renewal::close(), true);
        }
        let stream = Stream {
            id,
            wire,
            shield,
            handshake,
            gate: Gate::new(ice.as_ref()),
            secured: None,
            report_shield,
            report_handshake,
            report_remote: None,
            report_opened: None,
            expected_loss: f32::from(config.encoder.expected_loss_percent),
            report_refused: false,
            search: handshake,
            searching: ice.is_some(),
            relays: channels(&mut relays),
            looked: None,
            line: 0,
            direct: false,
            without_way: false,
            report_way: None,
            send: SendPath::new(
                sender,
                encoder,
                source,
                &config.parameters,
                config.encoder.complexity,
                // Most streams send every second step: half of them in the one, half in the other.
                ((id + 1) % 2) as u32,
            ),
            receive: ReceivePath::new(
                now,
                formats,
                &config.parameters,
                events,
                Arc::clone(&counters),
            ),
            control: Control::new(now, config.ssrc, config.cname, config.seed),
            parameters: config.parameters,
            output,
            tape: None,
            counters: Arc::clone(&counters),
            wishes: Arc::clone(&wishes),
            up: ToDevice::default(),
            heard: Heard::new(),
            volume: 1.0,
            seed: config.seed,
            steps: 0,
            sent: None,
            again: Vec::with_capacity(LONGEST_PACKET),
            #[cfg(test)]
            fault: false,
        };
        let parameters = stream.parameters.clone();
        self.shared.command(Command::Add(Box::new(stream)))?;
        let relayed = !relays.is_empty();
        if relayed {
            self.shared.begin_relays(id, relays, parameters.remote);
            self.shared.permit(id, parameters.signalling);
        }
        self.shared.begin_search(id, handshake, false, &parameters);
        self.shared
            .begin_handshake(id, Component::Media, handshake, &parameters);
        if apart {
            self.shared
                .begin_handshake(id, Component::Reports, report_handshake, &parameters);
        }
        Ok(StreamHandle {
            shared: Arc::clone(&self.shared),
            id,
            counters,
            wishes,
            events: Mutex::new(events_out),
            last: Mutex::new(Last {
                kind,
                hearable,
                encoder: config.encoder,
                source: config.source,
                instead: None,
                security,
                dtls,
                remote,
                signalling,
                handshake,
                reports_have_port,
                apart,
                report_handshake,
                ice,
                search: handshake,
                trouble,
                tape_trouble: None,
                relayed,
                has_moved: false,
            }),
        })
    }

    /// Gives the pump a microphone: a ring of 48 kHz mono that a device fills, telling its pace from the ring's first
    /// sample on. Replaces the one before; it is detached when the device drops its end.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn attach_capture(&self, ring: Consumer<f32>, pace: Arc<Pace>) -> Result<(), MediaError> {
        let capture = Some(Capture::new(ring, pace));
        self.shared.command(Command::Capture(capture))
    }

    /// Takes the microphone away; what waits in its ring is lost.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn detach_capture(&self) -> Result<(), MediaError> {
        self.shared.command(Command::Capture(None))
    }

    /// Gives the pump a speaker: a ring of 48 kHz mono, with room for 300 ms or more, that a device empties,
    /// telling its pace from the ring's first sample on. Replaces the one before; it is detached when the device drops its end.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn attach_playout(&self, ring: Producer<f32>, pace: Arc<Pace>) -> Result<(), MediaError> {
        let playout = Some(Playout::new(ring, pace));
        self.shared.command(Command::Playout(playout))
    }

    /// Takes the speaker away.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn detach_playout(&self) -> Result<(), MediaError> {
        self.shared.command(Command::Playout(None))
    }

    /// Gives the pump a device that rings in place of the speaker: [`Tone::Ring`] goes there, and nothing else. It is like
    /// the speaker in all else.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn attach_ringer(&self, ring: Producer<f32>, pace: Arc<Pace>) -> Result<(), MediaError> {
        let ringer = Some(Playout::new(ring, pace));
        self.shared.command(Command::Ringer(ringer))
    }

    /// Lets the devices be tried, or ends that.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn try_devices(&self, trial: Option<Trial>) -> Result<(), MediaError> {
        let trial = trial.map(Trying::new);
        self.shared.command(Command::Trial(trial))
    }

    /// Sets what is done to what the microphone hears, from the beginning: what was learned of the room before is
    /// forgotten. So this is asked for when the devices are others, and not for each call.
    ///
    /// Where the pump has a thread this has one too, "tipring-voice", until it is set anew.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn set_processing(&self, processing: Processing) -> Result<(), MediaError> {
        let voice = Voice::new(processing)
            .map(Box::new)
            .map(|voice| match &self.shared.pump {
                Some(pump) => Processor::apart(voice, pump.clone(), &self.shared.common),
                None => Processor::Here(voice),
            });
        let common = &self.shared.common;
        common.has_voice.store(voice.is_some(), Relaxed);
        self.shared.command(Command::Voice(voice))
    }

    /// Changes what is done to what the same microphone hears, beside the same loudspeaker: what was learned of the room is
    /// kept, also of what is not done for a while. What has failed begins anew.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn change_processing(&self, processing: Processing) -> Result<(), MediaError> {
        let common = &self.shared.common;
        if common.has_voice.load(Relaxed) && !common.counters.voice_failed() {
            return self.shared.command(Command::Processing(processing));
        }
        self.set_processing(processing)
    }

    /// Plays a tone to the user, in place of the one before, until it ends or is stopped.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn play_tone(&self, tone: Tone) -> Result<(), MediaError> {
        self.shared.command(Command::Tone(Some(tone)))
    }

    /// Stops the tone.
    ///
    /// # Errors
    /// [`MediaError::Busy`].
    pub fn stop_tone(&self) -> Result<(), MediaError> {
        self.shared.command(Command::Tone(None))
    }

    /// Sets the microphone's gain, 1.0 as it comes.
    pub fn set_capture_gain(&self, gain: f32) {
        self.shared.common.capture_gain.set(clean_gain(gain));
    }

    /// Sets the volume of everything that is played, 1.0 as it comes.
    pub fn set_playout_volume(&self, volume: f32) {
        self.shared.common.playout_volume.set(clean_gain(volume));
    }

    /// What the pump counts.
    #[must_use]
    pub fn counters(&self) -> &PumpCounters {
        &self.shared.common.counters
    }

    /// The number of the pump's thread, as of [`thread_number`](crate::thread_number); `None` before it runs and where it has
    /// none.
    #[must_use]
    pub fn thread_number(&self) -> Option<u32> {
        Some(self.shared.common.thread.load(Relaxed)).filter(|number| *number > 0)
    }

    /// The numbers of all threads that have to be in time: the pump's, and that which works on the microphone's sound while
    /// [there is one](Self::set_processing).
    #[must_use]
    pub fn thread_numbers(&self) -> Vec<u32> {
        let voice = self.shared.common.voice_thread.load(Relaxed);
        let voice = Some(voice).filter(|number| *number > 0);
        self.thread_number().into_iter().chain(voice).collect()
    }
}

impl std::fmt::Debug for PumpHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PumpHandle").finish_non_exhaustive()
    }
}

/// All sockets of a stream with their numbers, and the keeper's ends of those that have an address at a relay.
fn lines(first: Place, further: Vec<Place>) -> Result<(Wire, Vec<(u8, Relay)>), MediaError> {
    let mut relays = Vec::new();
    let mut sockets = Vec::new();
    let places = std::iter::once(first).chain(further).take(MOST_PLACES);
    for (line, place) in (0..).step_by(2).zip(places) {
        if let Some(client) = place.relay {
            relays.push((line, relay(client, &place.socket)?));
        }
        sockets.push((line, place.socket));
        let Some(socket) = place.rtcp_socket else {
            continue;
        };
        if let Some(client) = place.rtcp_relay {
            relays.push((line + 1, relay(client, &socket)?));
        }
        sockets.push((line + 1, socket));
    }
    let wire = Wire::new(sockets.into_iter()).map_err(MediaError::Socket)?;
    Ok((wire, relays))
}

/// The pump's ends of them.
fn channels(relays: &mut [(u8, Relay)]) -> [Option<Box<Channels>>; MOST_LINES] {
    let mut channels: [Option<Box<Channels>>; MOST_LINES] = Default::default();
    for (line, relay) in relays {
        if let Some(place) = channels.get_mut(usize::from(*line)) {
            *place = Some(Box::new(relay.channels()));
        }
    }
    channels
}

fn relay(client: nat::turn::Client, socket: &UdpSocket) -> Result<Relay, MediaError> {
    let socket = socket.try_clone().and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    let socket = socket.map_err(MediaError::Socket)?;
    Ok(Relay::new(client, socket))
}

/// Not below silence, not above 20 dB, and a number.
fn clean_gain(gain: f32) -> f32 {
    if gain.is_finite() {
        gain.clamp(0.0, 10.0)
    } else {
        1.0
    }
}

/// Nothing here can be left half done by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
