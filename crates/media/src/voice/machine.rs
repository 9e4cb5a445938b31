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

/// All that is done to the sound of one pair of devices.
#[derive(Debug)]
pub(super) struct Machine {
    /// The filter takes a list of channels; ours has one, and its memory is kept.
    high_pass: Option<(HighPassFilter, [Vec<f32>; 1])>,
    banded: Option<Banded>,
    gain: Option<AudioProcessing>,
}

impl Machine {
    /// Takes memory.
    pub(super) fn new(processing: Processing) -> Self {
        let Processing {
            echo,
            noise,
            gain,
            high_pass,
        } = processing;
        // The canceller would learn rumble as an echo, and take what it hears of it for speech.
        let high_pass = (high_pass || echo || noise).then(|| {
            let filter = HighPassFilter::new(SAMPLE_RATE_HZ as i32, 1);
            (filter, [vec![0.0; FRAME_SAMPLES]])
        });
        Self {
            high_pass,
            banded: (echo || noise).then(|| Banded::new(echo, noise)),
            gain: gain.then(even),
        }
    }

    /// 10 ms that go to the loudspeaker.
    pub(super) fn far_end(&mut self, frame: &[f32; FRAME_SAMPLES]) {
        if let Some(banded) = &mut self.banded {
            banded.far_end(&frame.map(|sample| sample * FULL_SCALE));
        }
    }

    /// 10 ms of the microphone, and how much later than [`far_end`](Self::far_end) what was played is heard, in ms.
    pub(super) fn near_end(&mut self, frame: &mut [f32; FRAME_SAMPLES], late_ms: i32) {
        if let Some((filter, channels)) = &mut self.high_pass {
            let clipped = frame.iter().any(|s| s.abs() * FULL_SCALE >= CLIPPED);
            let [channel] = channels;
            channel.clear();
            channel.extend(frame.iter().map(|sample| sample * FULL_SCALE));
            filter.process_channels(channels);
            let [channel] = channels;
            frame.copy_from_slice(channel);
            if let Some(banded) = &mut self.banded {
                banded.near_end(frame, clipped, late_ms);
            }
            for sample in frame.iter_mut() {
                *sample /= FULL_SCALE;
            }
        }
        if let Some(gain) = &mut self.gain {
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
    echo: Option<(ThreeBandFilterBank, EchoControl)>,
    noise: Option<NoiseSuppressor>,
}

impl Banded {
    fn new(echo: bool, noise: bool) -> Self {
        Self {
            near: ThreeBandFilterBank::new(),
            echo: echo.then(|| (ThreeBandFilterBank::new(), EchoControl::new())),
            noise: noise.then(|| NoiseSuppressor::new_with_bands(NsConfig::default(), NUM_BANDS)),
        }
    }

    fn far_end(&mut self, frame: &[f32; FRAME_SAMPLES]) {
        if let Some((bank, echo)) = &mut self.echo {
            let mut bands = [[0.0; SPLIT_BAND_SIZE]; NUM_BANDS];
            bank.analysis(frame, &mut bands);
            echo.far_end(&bands);
        }
    }

    fn near_end(&mut self, frame: &mut [f32; FRAME_SAMPLES], clipped: bool, late_ms: i32) {
        let mut bands = [[0.0; SPLIT_BAND_SIZE]; NUM_BANDS];
        self.near.analysis(frame, &mut bands);
        // Noise is what the room has, not what echo control puts where it took something away.
        if let Some(noise) = &mut self.noise {
            noise.analyze(&bands[0]);
        }
        if let Some((_, echo)) = &mut self.echo {
            echo.near_end(&mut bands, clipped, late_ms);
        }
        if let Some(noise) = &mut self.noise {
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
