//! Sound devices: list them, open them by choice, close them, and tell when one is gone.
//!
//! ```text
//!  microphone ─► cpal ─► callback::Capture ─► ring ─► media's pump ─► ring ─► callback::Playout ─► cpal ─► speaker
//!  WAV file, silence, program ─► a thread by the clock ─┘              └─► a thread by the clock ─► WAV file, nowhere, program
//! ```
//!
//! A device is open only while an [`OpenDevices`] is held, which is during a call or a sound test; dropping it
//! closes the device, and the pump then lets go of the ring by itself. Nothing here follows devices
//! around: faults are polled ([`OpenDevices::poll_fault`]), it is asked again what is there ([`list`], [`is_there`]), and who holds
//! the devices opens others.
//!
//! A sound system may hang: [`list`], [`is_there`], [`prepare`] and [`prepare_ringer`] then take for ever, so they are asked by
//! [`in_time`]. What is prepared is used by nobody until it is attached, so that what comes too late changes nothing.
//!
//! Devices are opened on a thread that comes before ordinary ones, where the system lets it, and are served 5 ms at a time then;
//! else 10 ms.
//!
//! # Which back-end
//!
//! On Linux it is ALSA, which every system has and which reaches PulseAudio and PipeWire through their
//! plug-ins: measured round trip 26 ms with blocks of 960 samples through the PulseAudio plug-in. With the
//! feature `pipewire` it is PipeWire directly (21 ms, and even callbacks), for builds that may depend on its
//! library. cpal's PulseAudio back-end is not used: unless asked for a fixed block it buffers two seconds, its
//! input comes in crumbs of 24 samples two thousand times a second (15 % of a core against 9 %), and in a debug
//! build its reader starved the streams until the program hung.

mod asking;
pub mod callback;
mod complaints;
mod device;
mod fault;
mod open;
mod pipe;
mod priority;
mod timed;

pub use asking::{AT_ONCE, PATIENCE, Unanswered, in_time};
pub use device::{Device, Devices, is_there, list};
pub use fault::{AudioError, Fault, FaultKind, Role};
pub use open::{
    CaptureChoice, OpenDevices, PlayoutChoice, Prepared, open, prepare, prepare_ringer,
};
pub use pipe::{Pipe, pipe};
pub use priority::raise;
