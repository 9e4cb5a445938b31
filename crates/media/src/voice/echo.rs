//! Echo control with settings of our own.

use sonora::three_band_filter_bank::NUM_BANDS;
use sonora_aec3::block::Block;
use sonora_aec3::block_processor::BlockProcessor;
use sonora_aec3::common::BLOCK_SIZE;
use sonora_aec3::config::EchoCanceller3Config;

use super::machine::Bands;
use crate::SAMPLE_RATE_HZ;

/// Later than this the canceller does not look, and no device is.
const MOST_LATE_MS: i32 = 500;

/// Takes out of the microphone's sound what of the loudspeaker's is in it.
#[derive(Debug)]
pub(super) struct EchoControl {
    canceller: BlockProcessor,
    far: Blocks,
    near: Blocks,
}

impl EchoControl {
    /// Takes memory.
    pub(super) fn new() -> Self {
        let rate_hz = SAMPLE_RATE_HZ as usize;
        Self {
            canceller: BlockProcessor::new(&settings(), rate_hz, 1, 1),
            far: Blocks::new(),
            near: Blocks::new(),
        }
    }

    /// 10 ms that go to the loudspeaker.
    pub(super) fn far_end(&mut self, bands: &Bands) {
        let canceller = &mut self.canceller;
        let mut bands = *bands;
        self.far
            .pass(&mut bands, |block| canceller.buffer_render(block));
    }

    /// 10 ms of the microphone, whether they were cut off at full scale, and how much later than
    /// [`far_end`](Self::far_end) what was played is heard, in ms.
    pub(super) fn near_end(&mut self, bands: &mut Bands, clipped: bool, late_ms: i32) {
        let canceller = &mut self.canceller;
        canceller.set_audio_buffer_delay(late_ms.min(MOST_LATE_MS));
        self.near.pass(bands, |block| {
            canceller.process_capture(false, clipped, None, block);
        });
    }
}

/// Frames of 10 ms on their way through blocks of 4 ms, 4 ms later.
#[derive(Debug)]
struct Blocks {
    /// Before [`at`](Self::at) what has come in, behind it what has yet to go out.
    block: Block,
    at: usize,
}

impl Blocks {
    fn new() -> Self {
        Self {
            block: Block::new(NUM_BANDS, 1),
            at: 0,
        }
    }

    /// Leaves in `bands` what came 4 ms before, and does `work` on each block that is full.
    fn pass(&mut self, bands: &mut Bands, mut work: impl FnMut(&mut Block)) {
        let mut done = 0;
        while done < bands[0].len() {
            let some = (BLOCK_SIZE - self.at).min(bands[0].len() - done);
            for (n, band) in bands.iter_mut().enumerate() {
                let block = self.block.view_mut(n, 0);
                band[done..done + some].swap_with_slice(&mut block[self.at..self.at + some]);
            }
            done += some;
            self.at += some;
            if self.at == BLOCK_SIZE {
                work(&mut self.block);
                self.at = 0;
            }
        }
    }
}

/// What differs from the defaults.
fn settings() -> EchoCanceller3Config {
    let mut settings = EchoCanceller3Config::default();
    settings
}
