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

use crate::callback::{Capture, Counters, Playout};
use crate::complaints::to_the_log;
use crate::device::find;
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

/// How long a back-end may take to open a device.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a back-end may take to close one: its callback ends within a block.
const CLOSING: Duration = Duration::from_millis(300);

/// A device that has not called back for so long has stalled.
const STALLED: Duration = Duration::from_secs(3);

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
    seen: (u64, Instant),
    stream: Option<cpal::Stream>,
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
        let spawned = closer.spawn(move || {
            drop(stream);
            drop(closing);
        });
        if spawned.is_ok() && closed.recv_timeout(CLOSING) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(device = %self.name, "sound device does not close");
        }
    }
}

/// Opens the chosen devices and attaches them to the pump. Takes some hundredths of a second, or seconds when the
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
    priority::first(pump, |raised| {
        to_the_log(|| open_both(capture, playout, pump, raised))
    })?
}

/// Opens a device that rings in place of the speaker, the one of that id or the system's default, and attaches it to the
/// pump. Otherwise like [`open`].
///
/// # Errors
/// It cannot be opened.
pub fn open_ringer(id: Option<&str>, pump: &PumpHandle) -> Result<OpenDevices, AudioError> {
    let open = |raised| {
        let mut cards = Vec::new();
        let end = keep(open_playout(Role::Ringer, id, raised)?, &mut cards);
        pump.attach_ringer(end.ring, end.pace)?;
        Ok(OpenDevices {
            cards,
            _timed: None,
        })
    };
    priority::first(pump, |raised| to_the_log(|| open(raised)))?
}

fn open_both(
    capture: &CaptureChoice,
    playout: &PlayoutChoice,
    pump: &PumpHandle,
    raised: bool,
) -> Result<OpenDevices, AudioError> {
    let mut cards = Vec::new();
    let (mut heard, mut played) = (None, None);
    let capture_end = match capture {
        CaptureChoice::Default => Some(keep(open_capture(None, raised)?, &mut cards)),
        CaptureChoice::Id(id) => Some(keep(open_capture(Some(id), raised)?, &mut cards)),
        CaptureChoice::Null => Some(timed_capture(Heard::Silence, &mut heard)),
        CaptureChoice::Wav { path, looped } => {
            let samples = media::wav::load(path)?;
            let looped = *looped;
            Some(timed_capture(Heard::File { samples, looped }, &mut heard))
        }
        CaptureChoice::Off => None,
    };
    let playout_end = match playout {
        PlayoutChoice::Default => {
            Some(keep(open_playout(Role::Playout, None, raised)?, &mut cards))
        }
        PlayoutChoice::Id(id) => Some(keep(
            open_playout(Role::Playout, Some(id), raised)?,
            &mut cards,
        )),
        PlayoutChoice::Null => Some(timed_playout(Played::Nothing, &mut played)),
        PlayoutChoice::Wav(path) => Some(timed_playout(create(path)?, &mut played)),
        PlayoutChoice::Off => None,
    };
    if let Some(end) = playout_end {
        pump.attach_playout(end.ring, end.pace)?;
    }
    if let Some(end) = capture_end {
        pump.attach_capture(end.ring, end.pace)?;
    }
    let timed = if heard.is_some() || played.is_some() {
        Some(Timed::start(heard, played)?)
    } else {
        None
    };
    Ok(OpenDevices {
        cards,
        _timed: timed,
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
            let kind = card.faults.take().or_else(|| card.stalled(now))?;
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

impl Card {
    fn stalled(&mut self, now: Instant) -> Option<FaultKind> {
        let callbacks = self.counters.callbacks();
        if callbacks != self.seen.0 {
            self.seen = (callbacks, now);
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
        }
    }
}

fn open_capture(id: Option<&str>, raised: bool) -> Result<(Card, End<Consumer<f32>>), AudioError> {
    let role = Role::Capture;
    let device = find(role, id)?;
    let ranges = device.supported_input_configs();
    let ranges = ranges.map_err(|error| AudioError::from_cpal(role, &error))?;
    let format = choose(ranges)
        .or_else(|| device.default_input_config().ok())
        .ok_or(AudioError::Unsupported(role))?;
    open_card(role, &device, &format, raised, |config, counters, watch| {
        let (ring, pump_end) = RingBuffer::new(RING);
        let pump_end = End::new(pump_end);
        let pace = Arc::clone(&pump_end.pace);
        let mut end = Capture::new(ring, config.channels, config.sample_rate, pace, counters);
        let (error, patience) = (watch.on_error(), Some(PATIENCE));
        let stream = match format.sample_format() {
            SampleFormat::F32 => device.build_input_stream(
                config,
                move |data: &[f32], _: &_| end.take(data),
                error,
                patience,
            ),
            SampleFormat::I16 => device.build_input_stream(
                config,
                move |data: &[i16], _: &_| end.take(data),
                error,
                patience,
            ),
            SampleFormat::I32 => device.build_input_stream(
                config,
                move |data: &[i32], _: &_| end.take(data),
                error,
                patience,
            ),
            _ => return Err(cpal::ErrorKind::UnsupportedConfig.into()),
        };
        Ok((stream?, pump_end))
    })
}

fn open_playout(
    role: Role,
    id: Option<&str>,
    raised: bool,
) -> Result<(Card, End<Producer<f32>>), AudioError> {
    let device = find(role, id)?;
    let ranges = device.supported_output_configs();
    let ranges = ranges.map_err(|error| AudioError::from_cpal(role, &error))?;
    let format = choose(ranges)
        .or_else(|| device.default_output_config().ok())
        .ok_or(AudioError::Unsupported(role))?;
    open_card(role, &device, &format, raised, |config, counters, watch| {
        let (pump_end, ring) = RingBuffer::new(RING);
        let pump_end = End::new(pump_end);
        let pace = Arc::clone(&pump_end.pace);
        let mut end = Playout::new(ring, config.channels, config.sample_rate, pace, counters);
        let (error, patience) = (watch.on_error(), Some(PATIENCE));
        let stream = match format.sample_format() {
            SampleFormat::F32 => device.build_output_stream(
                config,
                move |data: &mut [f32], _: &_| end.fill(data),
                error,
                patience,
            ),
            SampleFormat::I16 => device.build_output_stream(
                config,
                move |data: &mut [i16], _: &_| end.fill(data),
                error,
                patience,
            ),
            SampleFormat::I32 => device.build_output_stream(
                config,
                move |data: &mut [i32], _: &_| end.fill(data),
                error,
                patience,
            ),
            _ => return Err(cpal::ErrorKind::UnsupportedConfig.into()),
        };
        Ok((stream?, pump_end))
    })
}

/// Builds and starts a stream with the block we want, or with one that the device takes.
fn open_card<End>(
    role: Role,
    device: &cpal::Device,
    format: &SupportedStreamConfig,
    raised: bool,
    build: impl Fn(StreamConfig, Arc<Counters>, &Watch) -> Result<(cpal::Stream, End), cpal::Error>,
) -> Result<(Card, End), AudioError> {
    let watch = Watch {
        closing: Arc::new(AtomicBool::new(false)),
        faults: Arc::new(FaultCell::default()),
    };
    let counters = Arc::new(Counters::default());
    let wanted = BLOCKS_MS.into_iter().skip(usize::from(!raised));
    let wanted = wanted.map(|ms| format.sample_rate() * ms / 1_000);
    let mut refusal = cpal::ErrorKind::UnsupportedConfig.into();
    for block in wanted.chain(OTHER_BLOCKS) {
        let config = StreamConfig {
            channels: format.channels(),
            sample_rate: format.sample_rate(),
            buffer_size: BufferSize::Fixed(within(block, format.buffer_size())),
        };
        let built = build(config, Arc::clone(&counters), &watch);
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
                    seen: (0, Instant::now()),
                    stream: Some(stream),
                };
                return Ok((card, end));
            }
            Err(error) if error.kind() == cpal::ErrorKind::UnsupportedConfig => refusal = error,
            Err(error) => return Err(AudioError::from_cpal(role, &error)),
        }
    }
    Err(AudioError::from_cpal(role, &refusal))
}

fn within(block: u32, range: &SupportedBufferSize) -> u32 {
    match *range {
        SupportedBufferSize::Range { min, max } if min <= max => block.clamp(min, max),
        _ => block,
    }
}

/// The format that costs least: our rate before any other, floats before integers, few channels before many.
fn choose(
    ranges: impl Iterator<Item = cpal::SupportedStreamConfigRange>,
) -> Option<SupportedStreamConfig> {
    ranges
        .filter(|range| range.channels() > 0)
        .filter_map(|range| {
            let width = match range.sample_format() {
                SampleFormat::F32 => 0,
                SampleFormat::I16 => 1,
                SampleFormat::I32 => 2,
                _ => return None,
            };
            let (min, max) = (range.min_sample_rate(), range.max_sample_rate());
            let rate = SAMPLE_RATE_HZ.clamp(min, max.max(min));
            // Mono and stereo are equally good: a mono request may get a device's left channel alone.
            let crowd = range.channels().abs_diff(2);
            let distance = rate.abs_diff(SAMPLE_RATE_HZ);
            Some(((distance, crowd, width), range.with_sample_rate(rate)))
        })
        .min_by_key(|(cost, _)| *cost)
        .map(|(_, format)| format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpal::SupportedStreamConfigRange;

    fn range(channels: u16, rates: (u32, u32), format: SampleFormat) -> SupportedStreamConfigRange {
        let buffer = SupportedBufferSize::Range { min: 64, max: 512 };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, buffer, format)
    }

    #[test]
    fn our_rate_is_worth_more_than_width_and_channels() {
        let ranges = [
            range(2, (44_100, 44_100), SampleFormat::F32),
            range(8, (8_000, 96_000), SampleFormat::F32),
            range(2, (8_000, 96_000), SampleFormat::I32),
            range(2, (8_000, 96_000), SampleFormat::I16),
            range(2, (8_000, 96_000), SampleFormat::U8),
        ];
        let chosen = choose(ranges.into_iter()).unwrap();
        assert_eq!(chosen.sample_rate(), 48_000);
        assert_eq!(chosen.channels(), 2);
        assert_eq!(chosen.sample_format(), SampleFormat::I16);
        assert_eq!(within(960, chosen.buffer_size()), 512);
        let poor = [range(1, (8_000, 16_000), SampleFormat::I16)];
        assert_eq!(choose(poor.into_iter()).unwrap().sample_rate(), 16_000);
        let none = [range(2, (48_000, 48_000), SampleFormat::U8)];
        assert!(choose(none.into_iter()).is_none());
    }

    #[test]
    fn what_is_open_can_be_held_by_any_thread() {
        fn is_send<T: Send>() {}
        is_send::<OpenDevices>();
    }
}
