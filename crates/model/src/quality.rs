//! What is measured of a call's media.

use serde::{Deserialize, Serialize};

/// Media figures of one call, totals since the stream began unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaStats {
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets received and used.
    pub received: u64,
    /// Packets that never came, by sequence number (RFC 3550 §6.4.1).
    pub lost: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Interarrival jitter in milliseconds (RFC 3550 §6.4.1).
    pub jitter_ms: f32,
    /// Round trip from RTCP in milliseconds, when the peer reports.
    pub rtt_ms: Option<f32>,
    /// Delay that the jitter buffer adds, in milliseconds.
    pub buffer_ms: f32,
    /// Share of played time that was concealed, 0 to 1.
    pub concealed: f32,
    /// Estimated listening quality, 1 to 4.5 (ITU-T G.107), once there is enough to judge.
    pub mos: Option<f32>,
}

/// Levels of one call at this moment, 0 (silence) to 1 (full scale), already smoothed for a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// What we send.
    pub capture: f32,
    /// What we hear.
    pub playout: f32,
}
