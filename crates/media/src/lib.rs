//! A media stream from frame to packet and back, and the pump thread that carries all of them.
//!
//! ```text
//!  capture ring ─► 10 ms frame ─► echo, noise, gain ─► mute, 48 k → 8 k ─► encode ─► rtp::Sender ─► socket
//!                                                        ▲ echo, file, tone, silence
//!  playout ring ◄─ mix, limit ◄─ 8 k → 48 k ◄─ decode, conceal ◄─ jitter buffer ◄─ rtp::Receiver ◄─ socket
//!                   ▲ local tones                 └─► record, both sides too (written on another thread), echo, the room of a conference
//! ```
//!
//! There is one pump for the process ([`PumpHandle::start`]). Its thread is named "media", steps every
//! 10 ms by deadlines counted from its start, takes no lock, and sleeps without ticking while there is
//! nothing to do. It neither allocates nor frees. Echo, noise and gain are done by a crate that does, so that works beside it on a
//! thread of its own, "tipring-voice": the pump hands it a frame, hears what the network has brought, and waits 5 ms at the
//! most for what became of the frame. What is heavy is made before it gets there and freed after it has left: encoders,
//! decoders and buffers travel to the pump and back through rings. A fault in one stream is caught, marks
//! that stream as failed and leaves the others alone.
//!
//! The same work without the threads is [`Pump`], which takes the time as an argument; tests use it.
//!
//! Inside, speech is 48 kHz mono `f32`, but a stream that neither hears the microphone nor is heard by the
//! loudspeaker (an echo, a file, a recording) stays at the rate of the widest codec that the peer may send all the way.
//!
//! # What is left of speech
//!
//! `cargo xtask bench impair` says 24 s of it through two pumps and a network whose faults follow from a seed. Narrow-band
//! PESQ (P.862.1) of ours, and of baresip 1.0 at both ends of the same faults in November 2026; 20 ms packets:
//!
//! | network                            | Opus 32 kb/s | G.722       | PCMU        |
//! | ---------------------------------- | ------------ | ----------- | ----------- |
//! | perfect, or 30 or 60 ms of jitter  | 4.15 (3.77)  | 3.95 (3.93) | 3.98 (3.96) |
//! | one in ten overtaken               | 4.15 (3.77)  | 3.95 (3.93) | 3.98 (3.96) |
//! | 1 % lost, 30 ms of jitter          | 4.06 (3.74)  | 3.80 (3.58) | 3.86 (3.67) |
//! | 3 % lost, 30 ms of jitter          | 3.91 (3.68)  | 3.52 (3.18) | 3.62 (3.26) |
//! | 5 % lost, 30 ms of jitter          | 3.67 (3.51)  | 3.08 (2.75) | 3.20 (2.79) |
//! | 10 % lost, 30 ms of jitter         | 3.36 (3.12)  | 2.48 (2.07) | 2.61 (2.20) |
//! | 5 % in bursts of 3, 30 ms          | 3.30 (2.68)  | 3.02 (2.58) | 3.09 (2.64) |
//! | clocks 200 ppm apart               | 4.15 (3.77)  | 3.95 (3.93) | 3.98 (3.96) |
//!
//! From microphone to loudspeaker that takes 80, 74 and 75 ms on a perfect network, of which 20 are the network's, 20 the packet
//! and 10 the buffer, and 117, 106 and 102 ms with 30 ms of jitter and 5 % of loss, for which the buffer adds 40, 30 and 30.
//! There packets arrive in the pump's steps; where the system tells when they do, the buffer has 5 ms less in the mean. What clocks
//! that are 200 ppm apart ask for makes a tone no steeper than it is. `tests/impaired.rs` holds what needs no score.

mod config;
mod counters;
mod handle;

mod pump;
mod stream;

mod activity;
mod candidate;
mod control;
mod formats;
mod ready;
mod receive;
mod relay;
mod room;
mod send;
mod silence;

mod quality;
mod stretch;

mod gate;
mod keeper;
mod peer;
pub mod socket;

mod ogg;
mod record;
mod tape;
pub mod wav;

mod apart;
mod arrival;
mod voice;

pub mod country;
mod device;
mod pace;
pub mod resample;
mod tone;
mod trial;

pub use config::{
    Association, Codec, Dtls, ExtendedReports, Instead, MOST_RECEIVED, OpusWishes, Place,
    ReceivedCodec, ReceivedEvents, Settled, Sink, Source, StreamConfig, StreamEvent,
    StreamParameters, TelephoneEvent,
};
pub use counters::{PumpCounters, StreamCounters};
pub use handle::{MediaError, PumpHandle, StreamHandle};
pub use pace::Pace;
pub use pump::Pump;
pub use ready::Ready;
pub use record::Aside;
pub use rtp::rtcp::xr::VoipMetrics;
pub use rtp::srtp::{MasterKey, Security, Suite, UnusableKey};
pub use tape::{ConsentTone, Recording};
pub use tone::Tone;
pub use trial::Trial;
pub use voice::{Processing, Voice};

/// The rate of everything that goes to or comes from a device.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// One step of the pump.
pub const TICK: std::time::Duration = std::time::Duration::from_millis(10);

/// Samples of a step at [`SAMPLE_RATE_HZ`].
pub const FRAME_SAMPLES: usize = 480;

/// Streams that one pump carries at most.
pub const MOST_STREAMS: usize = 512;

/// The number that the system knows the calling thread by, where threads have one: on Linux.
#[must_use]
pub fn thread_number() -> Option<u32> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}
