//! Stand-in for `audiopus_sys`: the same C interface, linked from a current libopus.
pub use opusic_sys::*;
