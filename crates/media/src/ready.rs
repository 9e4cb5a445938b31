//! A file's sound at a codec's rate, made ahead of time: for five minutes of it that takes a third of a second, in which
//! whoever carries a call should do something else.

use std::sync::Arc;

use codecs::CodecKind;

use crate::SAMPLE_RATE_HZ;
use crate::config::{Instead, Source};
use crate::resample::convert_all;
use crate::send::{self, Prepared};
use crate::stream::to_int;

/// See the module.
#[derive(Clone, Debug)]
pub struct Ready {
    rate_hz: u32,
    samples: Arc<[i16]>,
}

impl Ready {
    /// Samples at 48 kHz, as [`crate::wav::load`] makes them, for codecs of this rate in hertz.
    #[must_use]
    pub fn new(samples: &[f32], rate_hz: u32) -> Self {
        let converted = convert_all(samples, SAMPLE_RATE_HZ, rate_hz);
        let mut samples = vec![0; converted.len()];
        to_int(&converted, &mut samples);
        Self {
            rate_hz,
            samples: samples.into(),
        }
    }

    /// The rate of the codecs that it is for, in hertz.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }
}

impl Instead {
    /// Made ready for this codec: converted here where that was not done before, or for another rate.
    pub(crate) fn prepared(&self, kind: CodecKind, ready: Option<&Ready>) -> Box<send::Instead> {
        let ready = ready.filter(|ready| ready.rate_hz == kind.sample_rate_hz());
        let source = match (&self.source, ready) {
            (Source::File { looped, .. }, Some(ready)) => Prepared::File {
                samples: Arc::clone(&ready.samples),
                position: 0,
                looped: *looped,
            },
            (source, _) => Prepared::new(source, kind),
        };
        Box::new(send::Instead {
            source,
            number: self.number,
            alone: self.alone,
            told: false,
        })
    }
}
