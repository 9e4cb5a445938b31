//! Opening devices and holding them open.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfig};
use media::{Pace, PumpHandle, SAMPLE_RATE_HZ};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::asking::{self, PATIENCE, in_time};
use crate::callback::{Capture, Counters, Playout};
use crate::complaints::to_the_log;
use crate::device::find_awake;
use crate::fault::{AudioError, Fault, FaultCell, FaultKind, Role};
use crate::priority;
use crate::timed::{Heard, Played, Timed, TimedEnd, create};

/// Between callback and pump: a second, of which a few hundredths are ever used.
const RING: usize = SAMPLE_RATE_HZ as usize;

/// What is asked of a device: 5 ms at a time, of which back-ends keep two or three, and 10 ms if that is refused or sound has
/// no priority over other work. Left to themselves, some buffer seconds.
const BLOCKS_MS: [u32; 2] = [5, 10];

/// What is asked if that is refused.
const OTHER_BLOCKS: [u32; 3] = [512, 1_024, 2_048];

/// What is tried where a device refuses our rate, though it offers it.
const OTHER_RATES_HZ: [u32; 5] = [44_100, 96_000, 32_000, 16_000, 8_000];

/// How many formats of one rate are tried, and how many rates.
const FORMATS_PER_RATE: usize = 6;
const RATES: usize = 6;

/// How often a back-end looks whether a stream is still there. It is no limit for opening one.
const POLLING: Duration = Duration::from_secs(5);

/// How long a back-end may take to close one: its callback ends within a block.
const CLOSING: Duration = Duration::from_millis(300);

/// A device that has brought or taken nothing for so long has stalled.
const STALLED: Duration = Duration::from_secs(3);

/// What a back-end calls a failure may be a hiccup: that of ALSA says so when PulseAudio does not know for some milliseconds where
/// its stream is, and goes on. One that moves less than half of what is due for so long has failed, …
const DOUBT: Duration = Duration::from_millis(300);

/// … and one that has moved no more than this since it was opened has twice as long.
const NEW: Duration = Duration::from_millis(500);
const DOUBT_OF_THE_NEW: Duration = Duration::from_millis(600);

/// What a device may ask for at once, so that it has something in hand.
const AT_ONCE: Duration = Duration::from_millis(200);

/// How long the back-end of ALSA is held up at a failure: it asks a device that is gone without a pause, before all other work, until
/// it is closed.
const HELD_UP: Duration = Duration::from_millis(1);

/// What to hear with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CaptureChoice {
    /// The system's default.
    #[default]
    Default,
    /// The one of that id ([`crate::Device::id`]).
    Id(String),
    /// Silence, in time.
    Null,
    /// A WAV file, in time.
    Wav {
        /// The file.
        path: PathBuf,
        /// From the start again at the end; silence otherwise.
        looped: bool,
    },
    /// Not at all.
    Off,
}

/// What to play with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlayoutChoice {
    /// The system's default.
    #[default]
    Default,
    /// The one of that id ([`crate::Device::id`]).
    Id(String),
    /// Nothing, in time.
    Null,
    /// A WAV file of 48 kHz mono, complete when the devices are closed.
    Wav(PathBuf),
    /// Not at all.
    Off,
}

/// Devices that are open; dropping it closes them.
pub struct OpenDevices {
    cards: Vec<Card>,
    _timed: Option<Timed>,
}

/// An open device of the sound system.
struct Card {
    role: Role,
    name: String,
    /// Set before the stream is dropped, so that the errors of closing are not taken for faults.
    closing: Arc<AtomicBool>,
    faults: Arc<FaultCell>,
    counters: Arc<Counters>,
    rate_hz: u32,
    /// The frames it had moved, and when.
    seen: (u64, Instant),
    /// It said that it had failed, and it is not known whether it has.
    doubted: Option<Doubt>,
    /// What the user should know of how it works.
    remark: Option<String>,
    stream: Option<Box<dyn Send>>,
}

/// A device that said that it had failed.
struct Doubt {
    /// The frames it had moved when it said so first, and when that was.
    first: (u64, Instant),
    /// The same of the last look.
    last: (u64, Instant),
    /// The last look at which it had moved at least half of what was due.
    well: Instant,
}

impl Drop for Card {
    /// Waits for the sound system to let go of the device, but no longer than that where it does not answer.
    fn drop(&mut self) {
        self.closing.store(true, Relaxed);
        let Some(stream) = self.stream.take() else {
            return;
        };
        let (closing, closed) = mpsc::channel::<()>();
        let closer = std::thread::Builder::new().name("audio-close".to_owned());
        let counted = asking::counted(&format!("close {}", self.name));
        let spawned = closer.spawn(move || {
            drop(stream);
            drop(counted);
            drop(closing);
        });
        if spawned.is_ok() && closed.recv_timeout(CLOSING) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(device = %self.name, "sound device does not close");
        }
    }
}

/// Devices that are open and not used yet; dropping it closes them.
pub struct Prepared {
    devices: OpenDevices,
    capture: Option<End<Consumer<f32>>>,
    playout: Option<End<Producer<f32>>>,
    ringer: Option<End<Producer<f32>>>,
    heard: Option<TimedEnd<Producer<f32>, Heard>>,
    played: Option<TimedEnd<Consumer<f32>, Played>>,
}

impl Prepared {
    /// Attaches them to the pump. Does not block.
    ///
    /// # Errors
    /// The pump takes nothing, or there is no thread that keeps the time of a device without hardware.
    pub fn attach(mut self, pump: &PumpHandle) -> Result<OpenDevices, AudioError> {
        if let Some(end) = self.ringer {
            pump.attach_ringer(end.ring, end.pace)?;
        }
        if let Some(end) = self.playout {
            pump.attach_playout(end.ring, end.pace)?;
        }
        if let Some(end) = self.capture {
            pump.attach_capture(end.ring, end.pace)?;
        }
        if self.heard.is_some() || self.played.is_some() {
            self.devices._timed = Some(Timed::start(self.heard, self.played)?);
        }
        Ok(self.devices)
    }

    /// What the user should know of how they work: in a whole sentence.
    #[must_use]
    pub fn remark(&self) -> Option<&str> {
        let mut remarks = self.devices.cards.iter().map(|card| card.remark.as_deref());
        remarks.find_map(|remark| remark)
    }

    fn new(cards: Vec<Card>) -> Self {
        Self {
            devices: OpenDevices {
                cards,
                _timed: None,
            },
            capture: None,
            playout: None,
            ringer: None,
            heard: None,
            played: None,
        }
    }
}

/// Opens the chosen devices and attaches them to the pump. Takes some hundredths of a second, or as long as [`PATIENCE`] when the
/// sound system does not answer: not for a thread that draws.
///
/// # Errors
/// One of them cannot be opened; the other one is closed again. The error says which it is, so that the caller
/// can go on with [`CaptureChoice::Null`] or [`PlayoutChoice::Null`].
pub fn open(
    capture: &CaptureChoice,
    playout: &PlayoutChoice,
    pump: &PumpHandle,
) -> Result<OpenDevices, AudioError> {
    let role = match capture {
        CaptureChoice::Default | CaptureChoice::Id(_) => Role::Capture,
        _ => Role::Playout,
    };
    let id = match (role, capture, playout) {
        (Role::Capture, CaptureChoice::Id(id), _) | (_, _, PlayoutChoice::Id(id)) => Some(&**id),
        _ => None,
    };
    let what = format!("open {capture:?}, {playout:?}");
    let opens = (capture.clone(), playout.clone(), pump.clone());
    in_time(&what, PATIENCE, move || {
        prepare(&opens.0, &opens.1, &opens.2)
    })
    .map_err(|why| AudioError::unanswered(role, id, why))??
    .attach(pump)
}

/// Opens the chosen devices. The pump hears of them when they are attached; until then it is only told, where the system
/// lets it, to come before other work. Where the sound system hangs this takes for ever: ask by [`in_time`].
///
/// # Errors
/// Like those of [`open`].
pub fn prepare(
    capture: &CaptureChoice,
    playout: &PlayoutChoice,
    pump: &PumpHandle,
) -> Result<Prepared, AudioError> {
    first(pump, |raised| open_both(capture, playout, raised))
}

/// Opens a device that rings in place of the speaker, the one of that id or the system's default. Otherwise like
/// [`prepare`].
///
/// # Errors
/// It cannot be opened.
pub fn prepare_ringer(id: Option<&str>, pump: &PumpHandle) -> Result<Prepared, AudioError> {
    first(pump, |raised| {
        let _turn = asking::turn();
        let device = find_awake(Role::Ringer, id)?;
        let (card, end) = open_playout(Role::Ringer, &device, raised)?;
        let ringer = Some(end);
        Ok(Prepared {
            ringer,
            ..Prepared::new(vec![card])
        })
    })
}

/// Works on a thread that comes before ordinary ones.
fn first<T: Send>(
    pump: &PumpHandle,
    work: impl FnOnce(bool) -> Result<T, AudioError> + Send,
) -> Result<T, AudioError> {
    let behalf = asking::behalf();
    priority::first(pump, |raised| {
        asking::on_behalf(behalf, || to_the_log(|| work(raised)))
    })?
}

fn open_both(
    capture: &CaptureChoice,
    playout: &PlayoutChoice,
    raised: bool,
) -> Result<Prepared, AudioError> {
    let mut cards = Vec::new();
    let (mut heard, mut played) = (None, None);
    let hears = |id| {
        let _turn = asking::turn();
        open_capture(Role::Capture, &find_awake(Role::Capture, id)?, raised)
    };
    let plays = |id| {
        let _turn = asking::turn();
        open_playout(Role::Playout, &find_awake(Role::Playout, id)?, raised)
    };
    let capture = match capture {
        CaptureChoice::Default => Some(keep(hears(None)?, &mut cards)),
        CaptureChoice::Id(id) => Some(keep(hears(Some(id))?, &mut cards)),
        CaptureChoice::Null => Some(timed_capture(Heard::Silence, &mut heard)),
        CaptureChoice::Wav { path, looped } => {
            let samples = media::wav::load(path)?;
            let looped = *looped;
            Some(timed_capture(Heard::File { samples, looped }, &mut heard))
        }
        CaptureChoice::Off => None,
    };
    let playout = match playout {
        PlayoutChoice::Default => Some(keep(plays(None)?, &mut cards)),
        PlayoutChoice::Id(id) => Some(keep(plays(Some(id))?, &mut cards)),
        PlayoutChoice::Null => Some(timed_playout(Played::Nothing, &mut played)),
        PlayoutChoice::Wav(path) => Some(timed_playout(create(path)?, &mut played)),
        PlayoutChoice::Off => None,
    };
    Ok(Prepared {
        capture,
        playout,
        heard,
        played,
        ..Prepared::new(cards)
    })
}

fn keep<End>((card, end): (Card, End), cards: &mut Vec<Card>) -> End {
    cards.push(card);
    end
}

/// The pump's end of a ring, with the pace of the device at the other.
struct End<Ring> {
    ring: Ring,
    pace: Arc<Pace>,
}

impl<Ring> End<Ring> {
    fn new(ring: Ring) -> Self {
        let pace = Arc::default();
        Self { ring, pace }
    }
}

fn timed_capture(
    what: Heard,
    kept: &mut Option<TimedEnd<Producer<f32>, Heard>>,
) -> End<Consumer<f32>> {
    let (ring, pump_end) = RingBuffer::new(RING);
    let end = End::new(pump_end);
    *kept = Some(TimedEnd {
        ring,
        pace: Arc::clone(&end.pace),
        what,
    });
    end
}

fn timed_playout(
    what: Played,
    kept: &mut Option<TimedEnd<Consumer<f32>, Played>>,
) -> End<Producer<f32>> {
    let (pump_end, ring) = RingBuffer::new(RING);
    let end = End::new(pump_end);
    *kept = Some(TimedEnd {
        ring,
        pace: Arc::clone(&end.pace),
        what,
    });
    end
}

impl OpenDevices {
    /// The next fault of an open device, if there is one. Ask a few times a second; after one, close and open
    /// again.
    pub fn poll_fault(&mut self) -> Option<Fault> {
        let now = Instant::now();
        self.cards.iter_mut().find_map(|card| {
            let kind = card.fault(now)?;
            let role = card.role;
            tracing::warn!(device = %card.name, ?kind, "sound device fault");
            Some(Fault { role, kind })
        })
    }

    /// Which device of the sound system works this way; none where it is a file or silence.
    #[must_use]
    pub fn card(&self, role: Role) -> Option<&str> {
        let card = self.cards.iter().find(|card| card.role == role)?;
        Some(&card.name)
    }

    /// What the callbacks of the microphone have counted, if it is one of the sound system.
    #[must_use]
    pub fn capture_counters(&self) -> Option<&Counters> {
        self.counters(Role::Capture)
    }

    /// What the callbacks of the speaker have counted, if it is one of the sound system.
    #[must_use]
    pub fn playout_counters(&self) -> Option<&Counters> {
        self.counters(Role::Playout)
    }

    fn counters(&self, role: Role) -> Option<&Counters> {
        let card = self.cards.iter().find(|card| card.role == role)?;
        Some(&card.counters)
    }
}

impl std::fmt::Debug for OpenDevices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.cards.iter().map(|card| &card.name).collect();
        f.debug_struct("OpenDevices")
            .field("cards", &names)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Prepared").field(&self.devices).finish()
    }
}

impl Card {
    fn fault(&mut self, now: Instant) -> Option<FaultKind> {
        let told = self.faults.take();
        if told.is_some_and(|kind| kind != FaultKind::Failed) {
            return told;
        }
        self.failed(now, told.is_some())
            .or_else(|| self.stalled(now))
    }

    /// Whether it has stopped, having said at this look or at an earlier one that it failed.
    fn failed(&mut self, now: Instant, told: bool) -> Option<FaultKind> {
        let frames = self.counters.frames();
        if told {
            self.doubted.get_or_insert(Doubt {
                first: (frames, now),
                last: (frames, now),
                well: now,
            });
        }
        let doubt = self.doubted.as_mut()?;
        let rate = f64::from(self.rate_hz);
        let in_frames = |time: Duration| time.as_secs_f64() * rate;
        let moved_and_due = |(before, since): (u64, Instant)| {
            let due = in_frames(now.saturating_duration_since(since));
            (frames.saturating_sub(before) as f64, due)
        };
        let (moved, due) = moved_and_due(std::mem::replace(&mut doubt.last, (frames, now)));
        let is_well = due > 0.0 && moved >= due / 2.0;
        if is_well {
            doubt.well = now;
        }
        let (moved, due) = moved_and_due(doubt.first);
        let is_new = doubt.first.0 as f64 <= in_frames(NEW);
        // One whose sound nobody takes may ask for more and more of it.
        let is_mad = self.role != Role::Capture
            && due >= in_frames(DOUBT)
            && moved > due * 1.5 + in_frames(AT_ONCE);
        // A sink of PulseAudio that was idle may take two seconds to begin. A back-end that says it only once, and ends, is not that.
        let may_begin_late = is_new && cfg!(target_os = "linux");
        if !told && !is_mad && (is_well || may_begin_late) {
            self.doubted = None;
            tracing::debug!(device = %self.name, "sound device said that it failed, and goes on");
            return None;
        }
        let patience = if is_new { DOUBT_OF_THE_NEW } else { DOUBT };
        let is_over = now.saturating_duration_since(doubt.well) >= patience;
        (is_over || is_mad).then(|| {
            self.doubted = None;
            FaultKind::Failed
        })
    }

    fn stalled(&mut self, now: Instant) -> Option<FaultKind> {
        // A callback alone says nothing: some devices call back again and again with nothing.
        let frames = self.counters.frames();
        if frames != self.seen.0 {
            self.seen = (frames, now);
            return None;
        }
        if now.saturating_duration_since(self.seen.1) < STALLED {
            return None;
        }
        self.seen.1 = now;
        Some(FaultKind::Stalled)
    }
}

/// What the error callback and the guard share.
struct Watch {
    closing: Arc<AtomicBool>,
    faults: Arc<FaultCell>,
}

impl Watch {
    fn on_error(&self) -> impl FnMut(cpal::Error) + Send + 'static {
        let (closing, faults) = (Arc::clone(&self.closing), Arc::clone(&self.faults));
        move |error| {
            if !closing.load(Relaxed) {
                faults.note(error.kind());
            }
            // Other back-ends end at a failure, and some tell of it in the callback that has the sound.
            if cfg!(target_os = "linux") && FaultKind::of(error.kind()) == Some(FaultKind::Failed) {
                std::thread::sleep(HELD_UP);
            }
        }
    }
}

fn open_capture<Device>(
    role: Role,
    device: &Device,
    raised: bool,
) -> Result<(Card, End<Consumer<f32>>), AudioError>
where
    Device: DeviceTrait,
    Device::Stream: Send + 'static,
{
    let ranges = device.supported_input_configs();
    let ranges = ranges.map_err(|error| AudioError::from_cpal(role, &error))?;
    let formats = formats(ranges, device.default_input_config().ok());
    let build = |format: SampleFormat, config: StreamConfig, counters, watch: &Watch| {
        let (ring, pump_end) = RingBuffer::new(RING);
        let pump_end = End::new(pump_end);
        let pace = Arc::clone(&pump_end.pace);
        let mut end = Capture::new(ring, config.channels, config.sample_rate, pace, counters);
        let (error, polling) = (watch.on_error(), Some(POLLING));
        let stream = match format {
            SampleFormat::F32 => device.build_input_stream(
                config,
                move |data: &[f32], _: &_| end.take(data),
                error,
                polling,
            ),
            SampleFormat::I16 => device.build_input_stream(
                config,
                move |data: &[i16], _: &_| end.take(data),
                error,
                polling,
            ),
            SampleFormat::I32 => device.build_input_stream(
                config,
                move |data: &[i32], _: &_| end.take(data),
                error,
                polling,
            ),
            _ => return Err(cpal::ErrorKind::UnsupportedConfig.into()),
        };
        Ok((stream?, pump_end))
    };
    open_card(role, device, &formats, raised, build)
}

fn open_playout<Device>(
    role: Role,
    device: &Device,
    raised: bool,
) -> Result<(Card, End<Producer<f32>>), AudioError>
where
    Device: DeviceTrait,
    Device::Stream: Send + 'static,
{
    let ranges = device.supported_output_configs();
    let ranges = ranges.map_err(|error| AudioError::from_cpal(role, &error))?;
    let formats = formats(ranges, device.default_output_config().ok());
    let build = |format: SampleFormat, config: StreamConfig, counters, watch: &Watch| {
        let (pump_end, ring) = RingBuffer::new(RING);
        let pump_end = End::new(pump_end);
        let pace = Arc::clone(&pump_end.pace);
        let mut end = Playout::new(ring, config.channels, config.sample_rate, pace, counters);
        let (error, polling) = (watch.on_error(), Some(POLLING));
        let stream = match format {
            SampleFormat::F32 => device.build_output_stream(
                config,
                move |data: &mut [f32], _: &_| end.fill(data),
                error,
                polling,
            ),
            SampleFormat::I16 => device.build_output_stream(
                config,
                move |data: &mut [i16], _: &_| end.fill(data),
                error,
                polling,
            ),
            SampleFormat::I32 => device.build_output_stream(
                config,
                move |data: &mut [i32], _: &_| end.fill(data),
                error,
                polling,
            ),
            _ => return Err(cpal::ErrorKind::UnsupportedConfig.into()),
        };
        Ok((stream?, pump_end))
    };
    open_card(role, device, &formats, raised, build)
}

/// Builds and starts a stream in the best format and with the smallest block that the device takes: not all that one offers
/// can be had of it.
fn open_card<Device, End>(
    role: Role,
    device: &Device,
    formats: &[SupportedStreamConfig],
    raised: bool,
    build: impl Fn(
        SampleFormat,
        StreamConfig,
        Arc<Counters>,
        &Watch,
    ) -> Result<(Device::Stream, End), cpal::Error>,
) -> Result<(Card, End), AudioError>
where
    Device: DeviceTrait,
    Device::Stream: Send + 'static,
{
    let watch = Watch {
        closing: Arc::new(AtomicBool::new(false)),
        faults: Arc::new(FaultCell::default()),
    };
    let counters = Arc::new(Counters::default());
    let best = formats.first().ok_or(AudioError::Unsupported(role))?;
    for (format, block) in formats.iter().flat_map(|format| blocks(format, raised)) {
        if asking::is_given_up() {
            break;
        }
        let config = StreamConfig {
            channels: format.channels(),
            sample_rate: format.sample_rate(),
            buffer_size: BufferSize::Fixed(block),
        };
        let kind = format.sample_format();
        let built = build(kind, config, Arc::clone(&counters), &watch);
        let started = built.and_then(|(stream, end)| stream.play().map(|()| (stream, end)));
        match started {
            Ok((stream, end)) => {
                let name = device
                    .id()
                    .map_or_else(|_| role.to_string(), |id| id.to_string());
                tracing::info!(device = %name, ?format, block, "sound device open");
                let card = Card {
                    role,
                    name,
                    closing: watch.closing,
                    faults: watch.faults,
                    counters,
                    rate_hz: config.sample_rate,
                    seen: (0, Instant::now()),
                    doubted: None,
                    remark: remark(role, best, format),
                    stream: Some(Box::new(stream)),
                };
                return Ok((card, end));
            }
            Err(error) if error.kind() == cpal::ErrorKind::UnsupportedConfig => {
                tracing::debug!(%role, ?format, block, "a sound format is refused that was offered");
            }
            Err(error) => return Err(AudioError::from_cpal(role, &error)),
        }
    }
    Err(AudioError::Unsupported(role))
}

/// The blocks to try with a format, each once.
fn blocks(
    format: &SupportedStreamConfig,
    raised: bool,
) -> impl Iterator<Item = (&SupportedStreamConfig, u32)> {
    let wanted = BLOCKS_MS.into_iter().skip(usize::from(!raised));
    let wanted = wanted.map(|ms| format.sample_rate() * ms / 1_000);
    let mut tried = Vec::new();
    for block in wanted.chain(OTHER_BLOCKS) {
        let block = within(block, format.buffer_size());
        if !tried.contains(&block) {
            tried.push(block);
        }
    }
    tried.into_iter().map(move |block| (format, block))
}

/// What is to be said where a device does not do the rate that it offers. Widths and channels are not heard.
fn remark(
    role: Role,
    offered: &SupportedStreamConfig,
    had: &SupportedStreamConfig,
) -> Option<String> {
    let rates = (offered.sample_rate(), had.sample_rate());
    (rates.0 != rates.1).then(|| {
        let channels = match had.channels() {
            1 => "mono".to_owned(),
            2 => "stereo".to_owned(),
            more => format!("{more} channels"),
        };
        format!(
            "The {role} refuses {} Hz, which it offers; it is used with {} Hz, {channels}.",
            rates.0, rates.1
        )
    })
}

fn within(block: u32, range: &SupportedBufferSize) -> u32 {
    match *range {
        SupportedBufferSize::Range { min, max } if min <= max => block.clamp(min, max),
        _ => block,
    }
}

/// What a device offers, that first which costs least: our rate before any other, few channels before many, floats before
/// integers. No more than [`RATES`] times [`FORMATS_PER_RATE`], and what the device would take by itself.
fn formats(
    ranges: impl Iterator<Item = cpal::SupportedStreamConfigRange>,
    default: Option<SupportedStreamConfig>,
) -> Vec<SupportedStreamConfig> {
    let mut offers: Vec<_> = ranges
        .filter(|range| range.channels() > 0)
        .flat_map(|range| {
            let (min, max) = (range.min_sample_rate(), range.max_sample_rate());
            let nearest = SAMPLE_RATE_HZ.clamp(min, max.max(min));
            let others = OTHER_RATES_HZ.into_iter();
            let others = others.filter(move |rate| (min..=max).contains(rate) && *rate != nearest);
            let rates = std::iter::once(nearest).chain(others);
            rates.map(move |rate| range.with_sample_rate(rate))
        })
        .filter_map(|format| Some((cost(&format)?, format)))
        .collect();
    offers.sort_by_key(|(cost, _)| *cost);
    offers.dedup_by_key(|(cost, _)| *cost);
    let rates = offers.chunk_by(|(_, one), (_, next)| one.sample_rate() == next.sample_rate());
    let tried = rates.take(RATES).flat_map(|of_one_rate| {
        let few = of_one_rate.iter().take(FORMATS_PER_RATE);
        few.map(|(_, format)| *format)
    });
    let mut tried: Vec<_> = tried.collect();
    tried.extend(default.filter(|default| cost(default).is_some() && !tried.contains(default)));
    tried
}

/// How far a format is from the best, if we can do it at all; no two have the same.
fn cost(format: &SupportedStreamConfig) -> Option<(u32, u32, u16, u8)> {
    let width = match format.sample_format() {
        SampleFormat::F32 => 0,
        SampleFormat::I16 => 1,
        SampleFormat::I32 => 2,
        _ => return None,
    };
    let rate = format.sample_rate();
    // What is above our rate loses nothing.
    let distance = match rate.checked_sub(SAMPLE_RATE_HZ) {
        Some(above) => above / 4,
        None => SAMPLE_RATE_HZ - rate,
    };
    // Mono and stereo are equally good: a mono request may get a device's left channel alone.
    let crowd = match format.channels() {
        2 => 0,
        channels => channels,
    };
    Some((distance, rate, crowd, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpal::SupportedStreamConfigRange;

    fn range(channels: u16, rates: (u32, u32), format: SampleFormat) -> SupportedStreamConfigRange {
        let buffer = SupportedBufferSize::Range { min: 64, max: 512 };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, buffer, format)
    }

    fn first_of(ranges: &[SupportedStreamConfigRange]) -> Option<SupportedStreamConfig> {
        formats(ranges.iter().copied(), None).into_iter().next()
    }

    #[test]
    fn our_rate_is_worth_more_than_width_and_channels() {
        let chosen = first_of(&[
            range(2, (44_100, 44_100), SampleFormat::F32),
            range(8, (8_000, 96_000), SampleFormat::F32),
            range(2, (8_000, 96_000), SampleFormat::I32),
            range(2, (8_000, 96_000), SampleFormat::I16),
            range(2, (8_000, 96_000), SampleFormat::U8),
        ])
        .unwrap();
        assert_eq!(chosen.sample_rate(), 48_000);
        assert_eq!(chosen.channels(), 2);
        assert_eq!(chosen.sample_format(), SampleFormat::I16);
        assert_eq!(within(960, chosen.buffer_size()), 512);
        let poor = [range(1, (8_000, 16_000), SampleFormat::I16)];
        assert_eq!(first_of(&poor).unwrap().sample_rate(), 16_000);
        let none = [range(2, (48_000, 48_000), SampleFormat::U8)];
        assert!(first_of(&none).is_none());
    }

    #[test]
    fn what_is_offered_is_tried_in_order_and_no_more_than_that() {
        let all = [SampleFormat::I32, SampleFormat::I16, SampleFormat::F32];
        let offers = all.into_iter().flat_map(|format| {
            (1..=64).map(move |channels| range(channels, (4_000, 384_000), format))
        });
        let tried = formats(offers, None);
        assert_eq!(tried.len(), RATES * FORMATS_PER_RATE);
        let told = |format: &SupportedStreamConfig| {
            let channels = format.channels();
            (format.sample_rate(), channels, format.sample_format())
        };
        let told: Vec<_> = tried.iter().map(told).collect();
        assert_eq!(
            told[..7],
            [
                (48_000, 2, SampleFormat::F32),
                (48_000, 2, SampleFormat::I16),
                (48_000, 2, SampleFormat::I32),
                (48_000, 1, SampleFormat::F32),
                (48_000, 1, SampleFormat::I16),
                (48_000, 1, SampleFormat::I32),
                (44_100, 2, SampleFormat::F32),
            ]
        );
    }

    /// A device that offers all rates and widths, and takes of them what it takes. It calls back thrice with so many frames.
    #[derive(Clone, Debug)]
    struct Fake {
        takes: Vec<(u32, u16, SampleFormat)>,
        frames: usize,
        asked: Arc<std::sync::atomic::AtomicUsize>,
    }

    impl Fake {
        fn taking(takes: &[(u32, u16, SampleFormat)], frames: usize) -> Self {
            let (takes, asked) = (takes.to_vec(), Arc::default());
            Self {
                takes,
                frames,
                asked,
            }
        }

        fn offers(&self) -> std::vec::IntoIter<SupportedStreamConfigRange> {
            let all = [SampleFormat::F32, SampleFormat::I16, SampleFormat::I32];
            let of = |format| [1, 2].map(|channels| range(channels, (8_000, 96_000), format));
            all.into_iter().flat_map(of).collect::<Vec<_>>().into_iter()
        }

        fn build(&self, config: StreamConfig, format: SampleFormat) -> Result<(), cpal::Error> {
            self.asked.fetch_add(1, Relaxed);
            let wanted = (config.sample_rate, config.channels, format);
            if self.takes.contains(&wanted) {
                return Ok(());
            }
            Err(cpal::ErrorKind::UnsupportedConfig.into())
        }
    }

    impl PartialEq for Fake {
        fn eq(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.asked, &other.asked)
        }
    }

    impl Eq for Fake {}

    impl std::hash::Hash for Fake {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            Arc::as_ptr(&self.asked).hash(state);
        }
    }

    impl std::fmt::Display for Fake {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("fake")
        }
    }

    struct FakeStream;

    impl StreamTrait for FakeStream {
        fn play(&self) -> Result<(), cpal::Error> {
            Ok(())
        }

        fn pause(&self) -> Result<(), cpal::Error> {
            Ok(())
        }

        fn buffer_size(&self) -> Result<cpal::FrameCount, cpal::Error> {
            Ok(480)
        }

        fn now(&self) -> cpal::StreamInstant {
            cpal::StreamInstant::new(0, 0)
        }
    }

    impl DeviceTrait for Fake {
        type SupportedInputConfigs = std::vec::IntoIter<SupportedStreamConfigRange>;
        type SupportedOutputConfigs = std::vec::IntoIter<SupportedStreamConfigRange>;
        type Stream = FakeStream;

        fn description(&self) -> Result<cpal::DeviceDescription, cpal::Error> {
            Err(cpal::ErrorKind::UnsupportedOperation.into())
        }

        fn id(&self) -> Result<cpal::DeviceId, cpal::Error> {
            Err(cpal::ErrorKind::UnsupportedOperation.into())
        }

        fn supported_input_configs(&self) -> Result<Self::SupportedInputConfigs, cpal::Error> {
            Ok(self.offers())
        }

        fn supported_output_configs(&self) -> Result<Self::SupportedOutputConfigs, cpal::Error> {
            Ok(self.offers())
        }

        fn default_input_config(&self) -> Result<SupportedStreamConfig, cpal::Error> {
            Err(cpal::ErrorKind::UnsupportedOperation.into())
        }

        fn default_output_config(&self) -> Result<SupportedStreamConfig, cpal::Error> {
            Err(cpal::ErrorKind::UnsupportedOperation.into())
        }

        fn build_input_stream<T, D, E>(
            &self,
            config: StreamConfig,
            mut data_callback: D,
            _: E,
            _: Option<Duration>,
        ) -> Result<FakeStream, cpal::Error>
        where
            T: cpal::SizedSample,
            D: FnMut(&[T], &cpal::InputCallbackInfo) + Send + 'static,
            E: FnMut(cpal::Error) + Send + 'static,
        {
            self.build(config, T::FORMAT)?;
            let at = cpal::StreamInstant::new(0, 0);
            let info = cpal::InputCallbackInfo::new(cpal::InputStreamTimestamp {
                callback: at,
                capture: at,
            });
            let heard = vec![T::EQUILIBRIUM; self.frames * usize::from(config.channels)];
            (0..3).for_each(|_| data_callback(&heard, &info));
            Ok(FakeStream)
        }

        fn build_output_stream<T, D, E>(
            &self,
            config: StreamConfig,
            mut data_callback: D,
            _: E,
            _: Option<Duration>,
        ) -> Result<FakeStream, cpal::Error>
        where
            T: cpal::SizedSample,
            D: FnMut(&mut [T], &cpal::OutputCallbackInfo) + Send + 'static,
            E: FnMut(cpal::Error) + Send + 'static,
        {
            self.build(config, T::FORMAT)?;
            let at = cpal::StreamInstant::new(0, 0);
            let info = cpal::OutputCallbackInfo::new(cpal::OutputStreamTimestamp {
                callback: at,
                playback: at,
            });
            let mut played = vec![T::EQUILIBRIUM; self.frames * usize::from(config.channels)];
            (0..3).for_each(|_| data_callback(&mut played, &info));
            Ok(FakeStream)
        }

        fn build_input_stream_raw<D, E>(
            &self,
            _: StreamConfig,
            _: SampleFormat,
            _: D,
            _: E,
            _: Option<Duration>,
        ) -> Result<FakeStream, cpal::Error>
        where
            D: FnMut(&cpal::Data, &cpal::InputCallbackInfo) + Send + 'static,
            E: FnMut(cpal::Error) + Send + 'static,
        {
            Err(cpal::ErrorKind::UnsupportedOperation.into())
        }

        fn build_output_stream_raw<D, E>(
            &self,
            _: StreamConfig,
            _: SampleFormat,
            _: D,
            _: E,
            _: Option<Duration>,
        ) -> Result<FakeStream, cpal::Error>
        where
            D: FnMut(&mut cpal::Data, &cpal::OutputCallbackInfo) + Send + 'static,
            E: FnMut(cpal::Error) + Send + 'static,
        {
            Err(cpal::ErrorKind::UnsupportedOperation.into())
        }
    }

    #[test]
    fn a_rate_that_is_offered_and_refused_is_told_and_another_is_had() {
        let mono = Fake::taking(&[(44_100, 1, SampleFormat::I16)], 441);
        let (card, _) = open_playout(Role::Playout, &mono, true).unwrap();
        assert_eq!(
            card.remark.as_deref(),
            Some("The speaker refuses 48000 Hz, which it offers; it is used with 44100 Hz, mono.")
        );
        assert_eq!(card.counters.frames(), 3 * 441);
        let slow = Fake::taking(&[(8_000, 1, SampleFormat::I32)], 80);
        let (card, _) = open_capture(Role::Capture, &slow, true).unwrap();
        let remark = card.remark.as_deref();
        assert!(remark.is_some_and(|remark| remark.contains("with 8000 Hz, mono")));
        // One that refuses all that it offers is given up.
        let none = Fake::taking(&[], 0);
        let refused = open_capture(Role::Capture, &none, true).map(|_| ());
        assert!(
            matches!(refused, Err(AudioError::Unsupported(Role::Capture))),
            "{refused:?}"
        );
        let tried = none.asked.load(Relaxed);
        let most = RATES * FORMATS_PER_RATE * (BLOCKS_MS.len() + OTHER_BLOCKS.len());
        println!("{tried} tries, {most} at most");
        assert!(tried <= most);
    }

    #[test]
    fn a_width_that_is_offered_and_refused_is_not_heard_and_not_told() {
        let whole = Fake::taking(&[(48_000, 2, SampleFormat::I32)], 480);
        let (card, _) = open_capture(Role::Capture, &whole, true).unwrap();
        assert_eq!(card.remark, None);
        assert_eq!(card.counters.frames(), 3 * 480);
    }

    #[test]
    fn a_device_that_calls_back_with_nothing_has_stalled() {
        let best = [(48_000, 2, SampleFormat::F32)];
        let (silent, works) = (Fake::taking(&best, 0), Fake::taking(&best, 480));
        let (mut deaf, _) = open_capture(Role::Capture, &silent, true).unwrap();
        let (mut mute, _) = open_playout(Role::Playout, &silent, true).unwrap();
        let (mut heard, _) = open_capture(Role::Capture, &works, true).unwrap();
        let began = Instant::now();
        for card in [&mut deaf, &mut mute] {
            assert_eq!(card.counters.callbacks(), 3);
            assert_eq!(card.stalled(began + STALLED / 2), None);
            let at = began + STALLED;
            assert_eq!(card.stalled(at), Some(FaultKind::Stalled));
            // Once in a while, and not at each look.
            assert_eq!(card.stalled(at + STALLED / 2), None);
            assert_eq!(card.stalled(at + STALLED), Some(FaultKind::Stalled));
        }
        assert_eq!(heard.stalled(began + STALLED), None);
        // It worked until now, and no longer.
        assert_eq!(heard.stalled(began + STALLED * 3 / 2), None);
        assert_eq!(heard.stalled(began + STALLED * 2), Some(FaultKind::Stalled));
        let fault = Fault {
            role: Role::Capture,
            kind: FaultKind::Stalled,
        };
        assert_eq!(fault.to_string(), "The microphone has stopped working.");
    }

    /// A device at some rate, looked at every 100 ms for five seconds. It says that it failed at each look that is in `says`, moves
    /// what is due, or more, between two looks as `moves` has it, and has moved so many seconds of sound before. Answers when
    /// something is said of it, and what.
    fn looked_at(
        role: Role,
        rate_hz: u32,
        before_s: u64,
        says: impl Fn(u32) -> bool,
        moves: impl Fn(u32) -> f64,
    ) -> Option<(Duration, FaultKind)> {
        let slow = Fake::taking(&[(rate_hz, 2, SampleFormat::F32)], 0);
        let mut card = match role {
            Role::Capture => open_capture(role, &slow, true).unwrap().0,
            _ => open_playout(role, &slow, true).unwrap().0,
        };
        let second = rate_hz as usize;
        (0..before_s).for_each(|_| card.counters.count(second));
        let began = card.seen.1;
        (0..50u32).find_map(|look| {
            if says(look) {
                card.faults.note(cpal::ErrorKind::BackendError);
            }
            let frames = second as f64 / 10.0 * moves(look);
            card.counters.count(frames as usize);
            let after = Duration::from_millis(100) * look;
            Some((after, card.fault(began + after)?))
        })
    }

    #[test]
    fn a_device_that_says_that_it_failed_and_goes_on_is_kept() {
        let always = |_| true;
        let once = |look| look == 10;
        let failed_at = |ms| Some((Duration::from_millis(ms), FaultKind::Failed));
        for rate_hz in [8_000, 48_000] {
            let plays = |says: fn(u32) -> bool, moves: fn(u32) -> f64| {
                looked_at(Role::Playout, rate_hz, 10, says, moves)
            };
            // Once, once with a gap, now and then, and all the time: it plays.
            assert_eq!(plays(once, |_| 1.0), None);
            let pauses = |look| if (10..12).contains(&look) { 0.0 } else { 1.0 };
            assert_eq!(plays(once, pauses), None);
            assert_eq!(plays(|look| look % 2 == 0, |_| 0.9), None);
            assert_eq!(plays(always, |_| 0.6), None);
            // It has stopped, whether it goes on saying so or not; and it plays less than half.
            let stops = |look| if look < 10 { 1.0 } else { 0.0 };
            assert_eq!(plays(once, stops), failed_at(1_300));
            assert_eq!(plays(|look| look >= 10, stops), failed_at(1_300));
            let hardly = |look| if look < 10 { 1.0 } else { 0.3 };
            assert_eq!(plays(once, hardly), failed_at(1_300));
            // Nobody plays that much; a microphone may have it in hand.
            let mad = |look| if look < 10 { 1.0 } else { 6.0 };
            assert_eq!(plays(|look| look >= 10, mad), failed_at(1_300));
            let hears = |moves| looked_at(Role::Capture, rate_hz, 10, once, moves);
            assert_eq!(hears(mad as fn(u32) -> f64), None);
            assert_eq!(hears(stops), failed_at(1_300));
        }
    }

    #[test]
    fn what_says_that_it_is_gone_is_gone_at_once_whatever_was_said_before() {
        let works = Fake::taking(&[(48_000, 2, SampleFormat::F32)], 480);
        let (mut card, _) = open_playout(Role::Playout, &works, true).unwrap();
        card.faults.note(cpal::ErrorKind::BackendError);
        card.faults.note(cpal::ErrorKind::DeviceNotAvailable);
        card.faults.note(cpal::ErrorKind::BackendError);
        assert_eq!(card.fault(Instant::now()), Some(FaultKind::Gone));
    }

    #[test]
    fn a_device_that_says_that_it_failed_when_it_is_new_is_given_time() {
        let says_for = |looks: u32, begins: Option<u32>| {
            let moves = |look| f64::from(u8::from(begins.is_some_and(|begins| look >= begins)));
            looked_at(Role::Playout, 48_000, 0, |look| look <= looks, moves)
        };
        // It begins while it says so, when it no longer does, at the last moment, and long afterwards.
        assert_eq!(says_for(4, Some(3)), None);
        assert_eq!(says_for(4, Some(4)), None);
        assert_eq!(says_for(5, Some(5)), None);
        assert_eq!(says_for(20, Some(5)), None);
        if cfg!(target_os = "linux") {
            assert_eq!(says_for(5, Some(6)), None);
            assert_eq!(says_for(0, Some(19)), None);
            let stalled = Some((STALLED, FaultKind::Stalled));
            assert_eq!(says_for(0, None), stalled);
        }
        let failed = Some((DOUBT_OF_THE_NEW, FaultKind::Failed));
        assert_eq!(says_for(50, None), failed);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_back_end_that_fails_without_a_pause_is_held_up_until_it_has_ended() {
        let watch = Watch {
            closing: Arc::default(),
            faults: Arc::default(),
        };
        let mut on_error = watch.on_error();
        for (closing, told) in [(false, Some(FaultKind::Failed)), (true, None)] {
            watch.closing.store(closing, Relaxed);
            let began = Instant::now();
            (0..20).for_each(|_| on_error(cpal::ErrorKind::BackendError.into()));
            assert!(began.elapsed() >= HELD_UP * 20);
            assert_eq!(watch.faults.take(), told);
        }
    }

    #[test]
    fn what_is_open_can_be_held_by_any_thread() {
        fn is_send<T: Send>() {}
        is_send::<OpenDevices>();
    }
}
