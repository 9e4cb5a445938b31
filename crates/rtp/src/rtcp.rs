//! Reports between the two ends (RFC 3550 §6): building, reading, and when to send the next.
//!
//! A compound always begins with a report and carries a CNAME (§6.1). What arrives is walked by
//! our own bounds before a sub-packet is read, so a length that lies costs at most the rest of
//! its own datagram.

use std::time::{Duration, Instant};

use rtcp_types::prelude::{RtcpPacketParser, RtcpPacketWriterExt};
use rtcp_types::{
    Bye, Compound as Builder, ReceiverReport, ReceiverReportBuilder, Sdes, SdesChunk, SdesItem,
    SenderReport, SenderReportBuilder,
};

/// Report blocks one sub-packet can carry (a five-bit count).
const MAX_BLOCKS: usize = 31;
/// Sub-packets read from one compound; real ones have two to five.
const MAX_SUBPACKETS: usize = 64;
/// Longest text of a CNAME or a reason.
const MAX_TEXT: usize = 255;

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
    CannotWrite(String),
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
    /// Given when this is our farewell: the reason, may be empty.
    pub bye: Option<&'a str>,
}

impl Report<'_> {
    /// Appends the compound to `out`: SR or RR, SDES with the CNAME, and BYE where we leave.
    ///
    /// # Errors
    /// More than 31 report blocks, or a text longer than 255 bytes.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), RtcpError> {
        if self.blocks.len() > MAX_BLOCKS || self.cname.len() > MAX_TEXT {
            return Err(RtcpError::CannotWrite("too much for one report".to_owned()));
        }
        let blocks = self.blocks.iter().map(|block| {
            rtcp_types::ReportBlock::builder(block.ssrc)
                .fraction_lost(block.fraction_lost)
                .cumulative_lost(block.cumulative_lost.cast_unsigned() & 0xFF_FFFF)
                .extended_sequence_number(block.extended_highest_sequence)
                .interarrival_jitter(block.jitter)
                .last_sender_report_timestamp(block.last_sr)
                .delay_since_last_sender_report_timestamp(block.delay_since_last_sr)
        });
        let mut compound = Builder::builder();
        compound = match self.sender {
            Some(info) => {
                let report = SenderReport::builder(self.ssrc)
                    .ntp_timestamp(info.ntp_timestamp)
                    .rtp_timestamp(info.rtp_timestamp)
                    .packet_count(info.packet_count)
                    .octet_count(info.octet_count);
                compound.add_packet(blocks.fold(report, SenderReportBuilder::add_report_block))
            }
            None => {
                let report = ReceiverReport::builder(self.ssrc);
                compound.add_packet(blocks.fold(report, ReceiverReportBuilder::add_report_block))
            }
        };
        let chunk =
            SdesChunk::builder(self.ssrc).add_item(SdesItem::builder(SdesItem::CNAME, self.cname));
        compound = compound.add_packet(Sdes::builder().add_chunk(chunk));
        if let Some(reason) = self.bye {
            let mut bye = Bye::builder().add_source(self.ssrc);
            if !reason.is_empty() {
                bye = bye.reason(reason);
            }
            compound = compound.add_packet(bye);
        }
        let cannot = |e: rtcp_types::RtcpWriteError| RtcpError::CannotWrite(e.to_string());
        let size =
            rtcp_types::prelude::RtcpPacketWriter::calculate_size(&compound).map_err(cannot)?;
        let start = out.len();
        out.resize(start.saturating_add(size), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        match compound.write_into(room) {
            Ok(_) => Ok(()),
            Err(e) => {
                out.truncate(start);
                Err(cannot(e))
            }
        }
    }
}

/// One compound that was received, sorted by what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Sender reports: who, and the sender's half.
    pub senders: Vec<(u32, SenderInfo)>,
    /// All report blocks, each with who reports.
    pub blocks: Vec<(u32, ReportBlock)>,
    /// Canonical names by source.
    pub cnames: Vec<(u32, String)>,
    /// Sources that leave.
    pub leaving: Vec<u32>,
    /// Why they leave, where they tell.
    pub leaving_reason: Option<String>,
    /// Sub-packets that were unknown or unreadable.
    pub ignored: usize,
}

impl Incoming {
    /// Reads a datagram. Sub-packets of other types (APP, feedback, XR) are stepped over; from an
    /// unreadable length on the rest is ignored. A reduced-size packet (RFC 5506) is read too.
    ///
    /// # Errors
    /// It is not RTCP at all, or nothing in it was readable.
    pub fn parse(datagram: &[u8]) -> Result<Self, RtcpError> {
        let mut incoming = Self::default();
        let mut rest = datagram;
        let mut framed = 0usize;
        for _ in 0..MAX_SUBPACKETS {
            let [first, kind, high, low, ..] = *rest else {
                incoming.ignored += usize::from(!rest.is_empty());
                break;
            };
            if first >> 6 != 2 {
                if framed == 0 {
                    return Err(RtcpError::NotRtcp);
                }
                incoming.ignored += 1;
                break;
            }
            let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
            let Some((packet, after)) = rest.split_at_checked(length) else {
                incoming.ignored += 1;
                break;
            };
            rest = after;
            framed += 1;
            incoming.ignored += usize::from(incoming.read(kind, packet).is_none());
        }
        match (framed, datagram.len()) {
            (0, 0..=3) => Err(RtcpError::NotRtcp),
            (0, length) => Err(RtcpError::NothingReadable(length)),
            _ => Ok(incoming),
        }
    }

    fn read(&mut self, kind: u8, packet: &[u8]) -> Option<()> {
        match kind {
            200 => {
                let report = SenderReport::parse(packet).ok()?;
                let info = SenderInfo {
                    ntp_timestamp: report.ntp_timestamp(),
                    rtp_timestamp: report.rtp_timestamp(),
                    packet_count: report.packet_count(),
                    octet_count: report.octet_count(),
                };
                self.senders.push((report.ssrc(), info));
                let blocks = report.report_blocks();
                self.blocks
                    .extend(blocks.map(|b| (report.ssrc(), read_block(&b))));
            }
            201 => {
                let report = ReceiverReport::parse(packet).ok()?;
                let blocks = report.report_blocks();
                self.blocks
                    .extend(blocks.map(|b| (report.ssrc(), read_block(&b))));
            }
            202 => {
                let description = Sdes::parse(packet).ok()?;
                for chunk in description.chunks() {
                    let name = chunk.items().find(|item| item.type_() == SdesItem::CNAME);
                    if let Some(name) = name {
                        let name = String::from_utf8_lossy(name.value()).into_owned();
                        self.cnames.push((chunk.ssrc(), name));
                    }
                }
            }
            203 => {
                let bye = Bye::parse(packet).ok()?;
                self.leaving.extend(bye.ssrcs());
                if let Some(reason) = bye.reason() {
                    self.leaving_reason = Some(String::from_utf8_lossy(reason).into_owned());
                }
            }
            _ => return None,
        }
        Some(())
    }
}

fn read_block(block: &rtcp_types::ReportBlock<'_>) -> ReportBlock {
    // A signed number of 24 bit.
    let cumulative_lost = (block.cumulative_lost() << 8).cast_signed() >> 8;
    ReportBlock {
        ssrc: block.ssrc(),
        fraction_lost: block.fraction_lost(),
        cumulative_lost,
        extended_highest_sequence: block.extended_sequence_number(),
        jitter: block.interarrival_jitter(),
        last_sr: block.last_sender_report_timestamp(),
        delay_since_last_sr: block.delay_since_last_sender_report_timestamp(),
    }
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
/// where the peer's numbers would make it negative or longer than a minute.
#[must_use]
pub fn round_trip(block: &ReportBlock, arrival_ntp: u64) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    let since_ours = compact_ntp(arrival_ntp).wrapping_sub(block.last_sr);
    let compact = since_ours.checked_sub(block.delay_since_last_sr)?;
    let trip = Duration::from_micros(u64::from(compact) * 1_000_000 / 65_536);
    (trip <= Duration::from_secs(60)).then_some(trip)
}

/// When to send the next report (RFC 3550 §6.2, §6.3, A.7), for the two ends of a call.
///
/// A timer with reconsideration: ask [`Schedule::deadline`], call [`Schedule::handle_timeout`]
/// then; where that says true, build and send a report and tell it by [`Schedule::on_sent`].
#[derive(Debug, Clone)]
pub struct Schedule {
    /// RTCP's share of the session, in bytes a second: 5 % (RFC 3550 §6.2).
    rtcp_bytes_per_second: f64,
    average_size: f64,
    members: u32,
    we_send: bool,
    they_send: bool,
    initial: bool,
    previous: Instant,
    next: Instant,
    random: u64,
}

/// Shortest mean interval (RFC 3550 §6.2); half of it before the first report.
const MINIMUM_INTERVAL_S: f64 = 5.0;
/// e − 3/2, which makes up for what timer reconsideration does to the mean (RFC 3550 §6.3.1).
const COMPENSATION: f64 = std::f64::consts::E - 1.5;
/// Headers of IPv4 and UDP, which count into the bandwidth.
const LOWER_HEADERS: f64 = 28.0;

impl Schedule {
    /// Begins a session of `session_bits_per_second` at `now`. `seed` is a random number of the
    /// caller: the spread of the intervals comes from it.
    #[must_use]
    pub fn new(now: Instant, session_bits_per_second: u32, seed: u64) -> Self {
        let mut schedule = Self {
            rtcp_bytes_per_second: (f64::from(session_bits_per_second) * 0.05 / 8.0).max(1.0),
            average_size: 120.0 + LOWER_HEADERS,
            members: 2,
            we_send: false,
            they_send: false,
            initial: true,
            previous: now,
            next: now,
            random: seed,
        };
        schedule.next = now + schedule.interval();
        schedule
    }

    /// When [`Schedule::handle_timeout`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Tells who sends audio at present: senders share a quarter of the bandwidth.
    pub fn set_senders(&mut self, we_send: bool, they_send: bool) {
        (self.we_send, self.they_send) = (we_send, they_send);
    }

    /// Counts a compound of `size` bytes that arrived.
    pub fn on_received(&mut self, size: usize) {
        self.average(size);
    }

    /// Whether to send now. Otherwise the deadline was moved (timer reconsideration, §6.3.6).
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        let due = self.previous + self.interval();
        if due <= now {
            return true;
        }
        self.next = due;
        false
    }

    /// Counts a compound of `size` bytes that we sent at `now` and sets the next deadline.
    pub fn on_sent(&mut self, now: Instant, size: usize) {
        self.average(size);
        self.initial = false;
        self.previous = now;
        self.next = now + self.interval();
    }

    fn average(&mut self, size: usize) {
        let size = f64::from(u16::try_from(size).unwrap_or(u16::MAX)) + LOWER_HEADERS;
        self.average_size += (size - self.average_size) / 16.0;
    }

    // RFC 3550 §6.3.1 and A.7.
    fn interval(&mut self) -> Duration {
        let members = f64::from(self.members);
        let senders = f64::from(u8::from(self.we_send)) + f64::from(u8::from(self.they_send));
        let (count, bandwidth) = if senders > 0.0 && senders <= members * 0.25 {
            if self.we_send {
                (senders, self.rtcp_bytes_per_second * 0.25)
            } else {
                (members - senders, self.rtcp_bytes_per_second * 0.75)
            }
        } else {
            (members, self.rtcp_bytes_per_second)
        };
        let minimum = if self.initial {
            MINIMUM_INTERVAL_S / 2.0
        } else {
            MINIMUM_INTERVAL_S
        };
        let mean = (count * self.average_size / bandwidth).max(minimum);
        Duration::from_secs_f64(mean * (0.5 + self.uniform()) / COMPENSATION)
    }

    /// SplitMix64: spread is all that is asked of it.
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        f64::from((z >> 32) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
