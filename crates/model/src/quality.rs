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

/// How the voice of one end is heard at the other, in the figures of RFC 3611 §4.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoiceQuality {
    /// Share of packets lost on the way, 0 to 1.
    pub lost: f32,
    /// Share of packets that came and could not be played, 0 to 1.
    pub discarded: f32,
    /// Share of packets missing within bursts, and in the gaps between them, 0 to 1.
    pub burst_density: f32,
    /// See `burst_density`.
    pub gap_density: f32,
    /// Mean length of a burst, in milliseconds.
    pub burst_ms: u32,
    /// Mean length of a gap, in milliseconds.
    pub gap_ms: u32,
    /// Round trip between the two ends, in milliseconds, once it is known there.
    pub rtt_ms: Option<u32>,
    /// What that end itself adds to the delay, in milliseconds.
    pub end_system_ms: u32,
    /// Level of the voice while it speaks, over 0 dBm0.
    pub signal_dbm: Option<i8>,
    /// Level of what is heard while it does not, over 0 dBm0.
    pub noise_dbm: Option<i8>,
    /// Rating R of G.107, 0 to 100.
    pub r_factor: Option<u8>,
    /// Listening quality, 1 to 5.
    pub mos_lq: Option<f32>,
    /// Conversational quality, 1 to 5: delay counts too.
    pub mos_cq: Option<f32>,
    /// What the jitter buffer adds, in milliseconds.
    pub buffer_ms: u32,
    /// What the jitter buffer may add at the worst, in milliseconds.
    pub buffer_most_ms: u32,
}

/// Levels of one call at this moment, 0 (silence) to 1 (full scale), already smoothed for a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// What we send.
    pub capture: f32,
    /// What we hear.
    pub playout: f32,
}
