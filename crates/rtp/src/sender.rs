//! The sending end of one stream: numbers packets, counts samples, feeds the sender report.

use std::time::{Duration, Instant};

use crate::packet::{PacketError, RtpHeader};
use crate::rtcp::SenderInfo;

/// The sending end of one RTP stream (RFC 3550 §5.1, §6.4.1).
///
/// The timestamp counts sampled time, not packets sent: [`Sender::skip`] moves it on while nothing
/// is sent (muted with DTX, on hold), and the next packet then carries the marker of a talk spurt.
#[derive(Debug, Clone)]
pub struct Sender {
    ssrc: u32,
    clock_rate_hz: u32,
    sequence_number: u16,
    timestamp: u32,
    /// Whether the next audio packet opens a talk spurt (RFC 3551 §4.1).
    spurt_begins: bool,
    packet_count: u32,
    octet_count: u32,
    /// When the packet with which timestamp left, to tell the timestamp of any other instant.
    last_sent: Option<(Instant, u32)>,
}

impl Sender {
    /// A stream that has sent nothing. Source, first sequence number and first timestamp are
    /// random numbers of the caller (RFC 3550 §5.1 asks for unpredictable ones).
    #[must_use]
    pub fn new(
        ssrc: u32,
        first_sequence_number: u16,
        first_timestamp: u32,
        clock_rate_hz: u32,
    ) -> Self {
        Self {
            ssrc,
            clock_rate_hz: clock_rate_hz.max(1),
            sequence_number: first_sequence_number,
            timestamp: first_timestamp,
            spurt_begins: true,
            packet_count: 0,
            octet_count: 0,
            last_sent: None,
        }
    }

    /// Appends an audio packet of `samples` ticks to `out` and moves the timestamp on by them.
    ///
    /// # Errors
    /// The payload type is above 127; nothing was counted then.
    pub fn send(
        &mut self,
        now: Instant,
        payload_type: u8,
        payload: &[u8],
        samples: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        let (marker, timestamp) = (self.spurt_begins, self.timestamp);
        self.send_at(now, payload_type, marker, timestamp, payload, out)?;
        self.spurt_begins = false;
        self.timestamp = self.timestamp.wrapping_add(samples);
        Ok(())
    }

    /// Appends a packet with its own marker and timestamp (a telephone event, RFC 4733) and takes
    /// the next sequence number for it. The stream's own timestamp is not moved.
    ///
    /// # Errors
    /// The payload type is above 127; nothing was counted then.
    pub fn send_at(
        &mut self,
        now: Instant,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        let header = RtpHeader {
            marker,
            payload_type,
            sequence_number: self.sequence_number,
            timestamp,
            ssrc: self.ssrc,
        };
        header.write(payload, out)?;
        self.sequence_number = self.sequence_number.wrapping_add(1);
        self.packet_count = self.packet_count.wrapping_add(1);
        let octets = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.octet_count = self.octet_count.wrapping_add(octets);
        self.last_sent = Some((now, self.timestamp));
        Ok(())
    }

    /// Lets `samples` ticks pass without an audio packet. The next one gets the marker.
    pub fn skip(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.spurt_begins = true;
    }

    /// Changes the clock rate, as after a re-negotiation to another codec. The timestamp goes on from where it is.
    ///
    /// RFC 7160 §4.1 wants another source for another clock. This phone keeps its own, as most do: a source that is
    /// new is heard only after some packets, and the peer knows the clock from the payload type.
    pub fn set_clock_rate(&mut self, clock_rate_hz: u32) {
        self.clock_rate_hz = clock_rate_hz.max(1);
        self.spurt_begins = true;
    }

    /// Our source identifier.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The timestamp of the next audio packet, in ticks.
    #[must_use]
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Ticks a second.
    #[must_use]
    pub fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// How many packets were written, modulo 2³².
    #[must_use]
    pub fn packet_count(&self) -> u32 {
        self.packet_count
    }

    /// How many payload bytes were written, modulo 2³² (no headers, RFC 3550 §6.4.1).
    #[must_use]
    pub fn octet_count(&self) -> u32 {
        self.octet_count
    }

    /// What a sender report says about us at `now`, which is `ntp_timestamp` on the wall clock
    /// (see [`crate::rtcp::ntp_from_unix`]). None before the first packet: then a receiver report
    /// is due instead.
    #[must_use]
    pub fn info(&self, now: Instant, ntp_timestamp: u64) -> Option<SenderInfo> {
        let (sent_at, timestamp) = self.last_sent?;
        let elapsed = ticks(now.saturating_duration_since(sent_at), self.clock_rate_hz);
        Some(SenderInfo {
            ntp_timestamp,
            rtp_timestamp: timestamp.wrapping_add(elapsed),
            packet_count: self.packet_count,
            octet_count: self.octet_count,
        })
    }
}

/// A duration in RTP ticks, modulo 2³².
#[allow(clippy::cast_possible_truncation)] // Timestamps wrap by design.
pub(crate) fn ticks(duration: Duration, clock_rate_hz: u32) -> u32 {
    (duration.as_micros() * u128::from(clock_rate_hz) / 1_000_000) as u32
}

#[cfg(test)]
mod tests;
