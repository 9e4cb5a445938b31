//! Reports between the two ends (RFC 3550 §6): building, reading, and when to send the next.
//!
//! A compound always begins with a report and carries a CNAME (§6.1). What arrives is walked by
//! its bounds before anything in it is read, so a length that lies costs at most the rest of its
//! own datagram. Writing and [`read`] take no memory: reports are made between two frames of speech.

mod read;
mod schedule;
pub mod xr;

use std::time::Duration;

pub use read::{Item, read};
pub use schedule::Schedule;
use xr::ExtendedReport;

/// Report blocks one sub-packet can carry (a five-bit count).
const MAX_BLOCKS: usize = 31;
/// Longest text of a CNAME or a reason.
const MAX_TEXT: usize = 255;

/// What a sub-packet is (RFC 3550 §12.1, RFC 3611 §2).
mod kind {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const DESCRIPTION: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const EXTENDED_REPORT: u8 = 207;
}

/// The item of a source description that is its canonical name (RFC 3550 §6.5.1).
const CNAME: u8 = 1;

/// Why a datagram is no RTCP compound, or one cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// Fewer than four bytes, or another version than 2.
    #[error("not an RTCP packet")]
    NotRtcp,
    /// Not one sub-packet could be read.
    #[error("RTCP compound of {0} bytes has no readable part")]
    NothingReadable(usize),
    /// We were asked to report about too many sources, or with a text that does not fit.
    #[error("RTCP compound cannot be written: {0}")]
    CannotWrite(&'static str),
}

/// The sender's half of a sender report (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall clock of the report, 32.32 fixed point seconds since 1900.
    pub ntp_timestamp: u64,
    /// The same instant on the stream's clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the source began.
    pub packet_count: u32,
    /// Payload bytes sent since the source began.
    pub octet_count: u32,
}

/// What one end tells about a source that it hears (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source this is about.
    pub ssrc: u32,
    /// Share lost since the previous report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; negative where more came than were sent.
    pub cumulative_lost: i32,
    /// Cycles and highest sequence number received.
    pub extended_highest_sequence: u32,
    /// Interarrival jitter in ticks.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last sender report, 0 when none came.
    pub last_sr: u32,
    /// Time since that report arrived, in 65536ths of a second.
    pub delay_since_last_sr: u32,
}

/// One compound to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Our source identifier.
    pub ssrc: u32,
    /// Our canonical name, the same for the whole call.
    pub cname: &'a str,
    /// Given when we sent packets since the last two reports: makes it a sender report.
    pub sender: Option<SenderInfo>,
    /// About those whom we hear.
    pub blocks: &'a [ReportBlock],
    /// What the other side wants to know beyond that; nothing is written for what is empty.
    pub extended: ExtendedReport<'a>,
    /// Given when this is our farewell: the reason, may be empty.
    pub bye: Option<&'a str>,
}

impl Report<'_> {
    /// Appends the compound to `out`: SR or RR, SDES with the CNAME, XR where there is something to
    /// tell in it, and BYE where we leave.
    ///
    /// # Errors
    /// More than 31 report blocks or answers, or a text longer than 255 bytes; `out` is as it was then.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), RtcpError> {
        let texts = [self.cname, self.bye.unwrap_or_default()];
        if texts.iter().any(|text| text.len() > MAX_TEXT) {
            return Err(RtcpError::CannotWrite("a text of more than 255 bytes"));
        }
        if self.blocks.len().max(self.extended.delays.len()) > MAX_BLOCKS {
            return Err(RtcpError::CannotWrite("too much for one report"));
        }
        let count = u8::try_from(self.blocks.len()).unwrap_or(0);
        let report = match self.sender {
            Some(_) => kind::SENDER_REPORT,
            None => kind::RECEIVER_REPORT,
        };
        packet(out, count, report, |out| {
            put(out, self.ssrc);
            if let Some(info) = self.sender {
                out.extend(info.ntp_timestamp.to_be_bytes());
                put(out, info.rtp_timestamp);
                put(out, info.packet_count);
                put(out, info.octet_count);
            }
            for block in self.blocks {
                block.write(out);
            }
        });
        packet(out, 1, kind::DESCRIPTION, |out| {
            put(out, self.ssrc);
            out.push(CNAME);
            put_text(out, self.cname);
            // RFC 3550 §6.5: at least one zero ends the items.
            out.push(0);
        });
        if !self.extended.is_empty() {
            packet(out, 0, kind::EXTENDED_REPORT, |out| {
                put(out, self.ssrc);
                self.extended.write(out);
            });
        }
        if let Some(reason) = self.bye {
            packet(out, 1, kind::BYE, |out| {
                put(out, self.ssrc);
                if !reason.is_empty() {
                    put_text(out, reason);
                }
            });
        }
        Ok(())
    }
}

impl ReportBlock {
    fn write(&self, out: &mut Vec<u8>) {
        put(out, self.ssrc);
        let lost = self.cumulative_lost.cast_unsigned() & 0xFF_FFFF;
        put(out, u32::from(self.fraction_lost) << 24 | lost);
        put(out, self.extended_highest_sequence);
        put(out, self.jitter);
        put(out, self.last_sr);
        put(out, self.delay_since_last_sr);
    }
}

/// Appends a sub-packet with its common header (RFC 3550 §6.4), filled up to whole words.
fn packet(out: &mut Vec<u8>, count: u8, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([2 << 6 | count, kind, 0, 0]);
    body(out);
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or(u16::MAX);
    if let Some(length) = out.get_mut(start + 2..start + 4) {
        length.copy_from_slice(&words.to_be_bytes());
    }
}

fn put(out: &mut Vec<u8>, word: u32) {
    out.extend(word.to_be_bytes());
}

/// A text of at most [`MAX_TEXT`] bytes behind its length.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend(text.as_bytes());
}

/// Time since 1970 as an NTP timestamp: 32.32 fixed point seconds since 1900.
#[must_use]
pub fn ntp_from_unix(since_1970: Duration) -> u64 {
    const FROM_1900_TO_1970_S: u64 = 2_208_988_800;
    let seconds = since_1970.as_secs().wrapping_add(FROM_1900_TO_1970_S);
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

/// The middle 32 bits of an NTP timestamp: 16.16 fixed point seconds (RFC 3550 §4).
#[must_use]
pub fn compact_ntp(ntp_timestamp: u64) -> u32 {
    ((ntp_timestamp >> 16) & 0xFFFF_FFFF) as u32
}

/// Network round trip from a report block about us that arrived when our wall clock showed
/// `arrival_ntp` (RFC 3550 §6.4.1). None where no sender report of ours had arrived there, and
/// where the peer's numbers would make it longer than a minute, or negative by more than they may be coarse.
#[must_use]
pub fn round_trip(block: &ReportBlock, arrival_ntp: u64) -> Option<Duration> {
    trip(block.last_sr, block.delay_since_last_sr, arrival_ntp)
}

/// Ten milliseconds: who measures in coarse steps may say that ours lay there a little longer than it was away.
const COARSE: u32 = 655;

/// From when ours left, how long it lay there, and when the answer came.
fn trip(left: u32, delay: u32, arrival_ntp: u64) -> Option<Duration> {
    if left == 0 {
        return None;
    }
    let since_ours = compact_ntp(arrival_ntp).wrapping_sub(left);
    let compact = match since_ours.checked_sub(delay) {
        Some(compact) => compact,
        None if delay - since_ours <= COARSE => 0,
        None => return None,
    };
    let trip = Duration::from_micros(u64::from(compact) * 1_000_000 / 65_536);
    (trip <= Duration::from_secs(60)).then_some(trip)
}

#[cfg(test)]
mod tests;
