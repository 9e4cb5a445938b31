//! The parts that speech passes on its way from the microphone, in their order, and what each of them asks for.
//!
//! ```text
//!  10 ms ─► high-pass ─► three bands ─► echo ─► noise ─► one band ─► gain
//!                                        ▲  (noise is measured before the echo is out)
//!  10 ms to the loudspeaker ─► three bands
//! ```
//!
//! The bands are of 8 kHz each; echo and noise are dealt with in the lowest, and the two others follow it. They are made
//! once and joined once, for sound is later by each time.

use sonora::config::{AdaptiveDigital, GainController2, MaxProcessingRate, Pipeline};
use sonora::high_pass_filter::HighPassFilter;
use sonora::three_band_filter_bank::{NUM_BANDS, SPLIT_BAND_SIZE, ThreeBandFilterBank};
use sonora::{AudioProcessing, Config, StreamConfig};
use sonora_ns::config::NsConfig;
use sonora_ns::noise_suppressor::NoiseSuppressor;

use super::Processing;
use super::echo::EchoControl;
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// 10 ms in three bands, each at 16 kHz.
pub(super) type Bands = [[f32; SPLIT_BAND_SIZE]; NUM_BANDS];

/// Full scale of what the parts work on; ours is 1.0.
const FULL_SCALE: f32 = 32_768.0;

/// What is as loud as this has been cut off by the sound card, or nearly.
const CLIPPED: f32 = 32_700.0;

/// Quiet speech becomes louder by this much at most: 50 dB, the default of the crate, would fetch the next room.
const MOST_GAIN_DB: f32 = 24.0;

/// All that is done to the sound of one pair of devices. What is not asked for any more stays with what it has learned, and is
/// passed by.
#[derive(Debug, Default)]
pub(super) struct Machine {
    asked: Processing,
    /// The filter takes a list of channels; ours has one, and its memory is kept.
    high_pass: Option<(HighPassFilter, [Vec<f32>; 1])>,
    banded: Option<Banded>,
    gain: Option<AudioProcessing>,
}

impl Machine {
    /// Takes memory.
    pub(super) fn new(processing: Processing) -> Self {
        let mut machine = Self::default();
        machine.ask(processing);
        machine
    }

    /// Does this from here on. Takes memory for what is asked for the first time.
    pub(super) fn ask(&mut self, processing: Processing) {
        self.asked = processing;
        let Processing { echo, noise, .. } = processing;
        if self.filters() {
            self.high_pass.get_or_insert_with(|| {
                let filter = HighPassFilter::new(SAMPLE_RATE_HZ as i32, 1);
                (filter, [vec![0.0; FRAME_SAMPLES]])
            });
        }
        if echo || noise {
            let banded = self.banded.get_or_insert_with(Banded::new);
            if echo {
                banded.echo.get_or_insert_with(Echo::new);
            }
            if noise {
                banded.noise.get_or_insert_with(|| {
                    NoiseSuppressor::new_with_bands(NsConfig::default(), NUM_BANDS)
                });
            }
        }
        if processing.gain {
            self.gain.get_or_insert_with(even);
        }
    }

    /// Whether rumble is cut off: the canceller would learn it as an echo, and take what it hears of it for speech.
    fn filters(&self) -> bool {
        self.asked.high_pass || self.asked.echo || self.asked.noise
    }

    /// 10 ms that go to the loudspeaker.
    pub(super) fn far_end(&mut self, frame: &[f32; FRAME_SAMPLES]) {
        if !self.asked.echo {
            return;
        }
        if let Some(echo) = self.banded.as_mut().and_then(|b| b.echo.as_mut()) {
            echo.far_end(&frame.map(|sample| sample * FULL_SCALE));
        }
    }

    /// 10 ms of the microphone, and how much later than [`far_end`](Self::far_end) what was played is heard, in ms.
    pub(super) fn near_end(&mut self, frame: &mut [f32; FRAME_SAMPLES], late_ms: i32) {
        let filters = self.filters();
        if let Some((filter, channels)) = self.high_pass.as_mut().filter(|_| filters) {
            let clipped = frame.iter().any(|s| s.abs() * FULL_SCALE >= CLIPPED);
            let [channel] = channels;
            channel.clear();
            channel.extend(frame.iter().map(|sample| sample * FULL_SCALE));
            filter.process_channels(channels);
            let [channel] = channels;
            frame.copy_from_slice(channel);
            let Processing { echo, noise, .. } = self.asked;
            if let Some(banded) = self.banded.as_mut().filter(|_| echo || noise) {
                banded.near_end(frame, self.asked, clipped, late_ms);
            }
            for sample in frame.iter_mut() {
                *sample /= FULL_SCALE;
            }
        }
        if let Some(gain) = self.gain.as_mut().filter(|_| self.asked.gain) {
            let heard = *frame;
            // The only fault it knows is another format.
            let _ = gain.process_capture_f32(&[&heard], &mut [frame]);
        }
    }
}

/// What makes the level even.
fn even() -> AudioProcessing {
    let config = Config {
        pipeline: Pipeline {
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            ..Pipeline::default()
        },
        gain_controller2: Some(GainController2 {
            adaptive_digital: Some(AdaptiveDigital {
                max_gain_db: MOST_GAIN_DB,
                initial_gain_db: 0.0,
                ..AdaptiveDigital::default()
            }),
            ..GainController2::default()
        }),
        ..Config::default()
    };
    let format = StreamConfig::new(SAMPLE_RATE_HZ, 1);
    AudioProcessing::builder()
        .config(config)
        .capture_config(format)
        .render_config(format)
        .build()
}

/// What is done to the bands.
#[derive(Debug)]
struct Banded {
    near: ThreeBandFilterBank,
    echo: Option<Echo>,
    noise: Option<NoiseSuppressor>,
}

impl Banded {
    fn new() -> Self {
        Self {
            near: ThreeBandFilterBank::new(),
            echo: None,
            noise: None,
        }
    }

    fn near_end(
        &mut self,
        frame: &mut [f32; FRAME_SAMPLES],
        asked: Processing,
        clipped: bool,
        late_ms: i32,
    ) {
        let mut bands = [[0.0; SPLIT_BAND_SIZE]; NUM_BANDS];
        self.near.analysis(frame, &mut bands);
        let mut noise = self.noise.as_mut().filter(|_| asked.noise);
        // Noise is what the room has, not what echo control puts where it took something away.
        if let Some(noise) = &mut noise {
            noise.analyze(&bands[0]);
        }
        if let Some(echo) = self.echo.as_mut().filter(|_| asked.echo) {
            echo.control.near_end(&mut bands, clipped, late_ms);
        }
        if let Some(noise) = noise {
            let [low, upper @ ..] = &mut bands;
            noise.process(low);
            let gain = noise.upper_band_gain();
            for (n, band) in upper.iter_mut().enumerate() {
                noise.process_upper_band(band, n, gain);
            }
            bands.iter_mut().for_each(NoiseSuppressor::clamp_frame);
        }
        self.near.synthesis(&bands, frame);
    }
}

/// Echo control, and what makes bands of what it is to take out.
#[derive(Debug)]
struct Echo {
    far: ThreeBandFilterBank,
    control: EchoControl,
}

impl Echo {
    fn new() -> Self {
        Self {
            far: ThreeBandFilterBank::new(),
            control: EchoControl::new(),
        }
    }

    fn far_end(&mut self, frame: &[f32; FRAME_SAMPLES]) {
        let mut bands = [[0.0; SPLIT_BAND_SIZE]; NUM_BANDS];
        self.far.analysis(frame, &mut bands);
        self.control.far_end(&bands);
    }
}
