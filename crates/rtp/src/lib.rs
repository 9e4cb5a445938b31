//! RTP and RTCP as values: packets, sequence numbers, the sending and the receiving end of one
//! stream, reports, telephone events, the adaptive jitter buffer and the quality estimate.
//!
//! [`srtp`] stands between them and the wire where keys were agreed.
//!
//! Nothing here reads a clock, owns a socket or draws a random number: time comes in as
//! [`std::time::Instant`], randomness as a seed. Nothing that arrives from the network panics,
//! and every store has a fixed bound.
//!
//! ```text
//!  frames ─► codec ─► Sender ─► datagram            datagram ─► RtpPacket::parse
//!                       │                                            │
//!                  SenderInfo                                    Receiver ──► ReportBlock
//!                       │                                            │ Accept
//!                  rtcp::build                                 JitterBuffer ─► codec ─► frames
//! ```

pub mod packet;
mod sequence;

pub mod receiver;
pub mod sender;

pub mod srtp;

pub mod rtcp;
pub mod telephone_event;

pub mod jitter_buffer;

pub mod quality;

pub mod timeline;

pub use jitter_buffer::{
    JitterBuffer, JitterBufferConfig, JitterBufferStatistics, Payload, Playout,
};
pub use packet::{PacketError, RtpHeader, RtpPacket, looks_like_rtcp, looks_like_rtp};
pub use receiver::{Receiver, ReceiverStatistics, Verdict};
pub use sender::Sender;
pub use sequence::{nearest_sequence, nearest_timestamp};
pub use timeline::Timeline;
