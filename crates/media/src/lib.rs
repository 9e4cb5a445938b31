//! A media stream from frame to packet and back, and the pump thread that carries all of them.
//!
//! ```text
//!  capture ring ─► 10 ms frame ─► mute, 48 k → 8 k ─► encode ─► rtp::Sender ─► socket
//!                                                        ▲ echo, file, tone, silence
//!  playout ring ◄─ mix, limit ◄─ 8 k → 48 k ◄─ decode, conceal ◄─ jitter buffer ◄─ rtp::Receiver ◄─ socket
//!                   ▲ local tones                 └─► record (written on another thread), echo, the room of a conference
//! ```
//!
//! There is one pump for the process ([`PumpHandle::start`]). Its thread is named "media", steps every
//! 10 ms by deadlines counted from its start, never blocks, and sleeps without ticking while there is
//! nothing to do. What is heavy is made before it gets there and freed after it has left: encoders,
//! decoders and buffers travel to the pump and back through rings. A fault in one stream is caught, marks
//! that stream as failed and leaves the others alone.
//!
//! The same work without the thread is [`Pump`], which takes the time as an argument; tests use it.
//!
//! Inside, speech is 48 kHz mono `f32`, but a stream that neither hears the microphone nor is heard by the
//! loudspeaker (an echo, a file, a recording) stays at its codec's rate all the way.

mod config;
mod counters;
mod handle;

mod pump;
mod stream;

mod control;
mod receive;
mod room;
mod send;
mod silence;
mod stretch;

mod keeper;
mod peer;
mod shield;
pub mod socket;

mod record;
pub mod wav;

mod device;
pub mod resample;
mod tone;

pub use config::{
    Codec, Dtls, Security, Sink, Source, StreamConfig, StreamEvent, StreamParameters,
    TelephoneEvent,
};
pub use counters::{PumpCounters, StreamCounters};
pub use handle::{MediaError, PumpHandle, StreamHandle};
pub use pump::Pump;
pub use record::Aside;
pub use rtp::srtp::{MasterKey, Suite};
pub use shield::UnusableKey;
pub use tone::Tone;

/// The rate of everything that goes to or comes from a device.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// One step of the pump.
pub const TICK: std::time::Duration = std::time::Duration::from_millis(10);

/// Samples of a step at [`SAMPLE_RATE_HZ`].
pub const FRAME_SAMPLES: usize = 480;

/// Streams that one pump carries at most.
pub const MOST_STREAMS: usize = 512;
