//! Reading a compound, piece by piece and without memory of its own.

use super::xr::{ReferenceDelay, VoipMetrics};
use super::{CNAME, ReportBlock, RtcpError, SenderInfo, kind};

/// Sub-packets read from one compound; real ones have two to five.
const MAX_SUBPACKETS: usize = 64;
/// Octets of a report block (RFC 3550 §6.4.1).
const BLOCK: usize = 24;

/// One thing that a compound says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// The sender's half of a sender report.
    Sender {
        /// Who sends.
        from: u32,
        /// What it says of itself.
        info: SenderInfo,
    },
    /// A report block.
    Block {
        /// Who reports.
        from: u32,
        /// What it says of whom it hears.
        block: ReportBlock,
    },
    /// A canonical name.
    Name {
        /// Whose.
        of: u32,
        /// The name, in whatever its author takes for UTF-8.
        name: &'a [u8],
    },
    /// A source leaves.
    Leaving {
        /// Which.
        who: u32,
    },
    /// Why sources leave.
    Reason {
        /// The text, in whatever its author takes for UTF-8.
        reason: &'a [u8],
    },
    /// The wall clock of one who reports (RFC 3611 §4.4).
    ReferenceTime {
        /// Who.
        from: u32,
        /// 32.32 fixed point seconds since 1900.
        ntp: u64,
    },
    /// An answer to a wall clock (RFC 3611 §4.5).
    Delay {
        /// Who answers.
        from: u32,
        /// Whose clock, and how long it lay there.
        delay: ReferenceDelay,
    },
    /// How somebody is heard (RFC 3611 §4.7).
    Metrics {
        /// Who hears.
        from: u32,
        /// What and how.
        metrics: VoipMetrics,
    },
}

/// Reads a datagram, gives `take` what it says, and answers how many sub-packets were unknown or
/// unreadable. Those of other types (APP, feedback) are stepped over; from an unreadable length on
/// the rest is ignored. A reduced-size packet (RFC 5506) is read too.
///
/// # Errors
/// It is not RTCP at all, or nothing in it was readable.
pub fn read<'a>(datagram: &'a [u8], mut take: impl FnMut(Item<'a>)) -> Result<usize, RtcpError> {
    let (mut rest, mut framed, mut ignored) = (datagram, 0usize, 0usize);
    for _ in 0..MAX_SUBPACKETS {
        let [first, kind, high, low, ..] = *rest else {
            ignored += usize::from(!rest.is_empty());
            break;
        };
        if first >> 6 != 2 {
            if framed == 0 {
                return Err(RtcpError::NotRtcp);
            }
            ignored += 1;
            break;
        }
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let Some((packet, after)) = rest.split_at_checked(length) else {
            ignored += 1;
            break;
        };
        rest = after;
        framed += 1;
        let said =
            content(first, packet).and_then(|body| sub_packet(first & 0x1F, kind, body, &mut take));
        ignored += usize::from(said.is_none());
    }
    match (framed, datagram.len()) {
        (0, 0..=3) => Err(RtcpError::NotRtcp),
        (0, length) => Err(RtcpError::NothingReadable(length)),
        _ => Ok(ignored),
    }
}

/// What is behind the common header and before the padding (RFC 3550 §6.4.1).
fn content(first: u8, packet: &[u8]) -> Option<&[u8]> {
    let body = packet.get(4..)?;
    if first & 0x20 == 0 {
        return Some(body);
    }
    let padding = usize::from(*body.last()?);
    let kept = body.len().checked_sub(padding)?;
    body.get(..kept).filter(|_| padding > 0)
}

fn sub_packet<'a>(
    count: u8,
    kind: u8,
    body: &'a [u8],
    take: &mut impl FnMut(Item<'a>),
) -> Option<()> {
    let mut body = Words(body);
    match kind {
        kind::SENDER_REPORT => {
            let from = body.word()?;
            let info = SenderInfo {
                ntp_timestamp: body.long()?,
                rtp_timestamp: body.word()?,
                packet_count: body.word()?,
                octet_count: body.word()?,
            };
            if body.0.len() < usize::from(count) * BLOCK {
                return None;
            }
            take(Item::Sender { from, info });
            blocks(from, count, &mut body, take)
        }
        kind::RECEIVER_REPORT => {
            let from = body.word()?;
            if body.0.len() < usize::from(count) * BLOCK {
                return None;
            }
            blocks(from, count, &mut body, take)
        }
        kind::DESCRIPTION => (0..count).try_for_each(|_| chunk(&mut body, take)),
        kind::BYE => {
            for _ in 0..count {
                take(Item::Leaving { who: body.word()? });
            }
            if let [length, text @ ..] = body.0 {
                let reason = text.get(..usize::from(*length))?;
                take(Item::Reason { reason });
            }
            Some(())
        }
        kind::EXTENDED_REPORT => {
            let from = body.word()?;
            while !body.0.is_empty() {
                extended(from, &mut body, take)?;
            }
            Some(())
        }
        _ => None,
    }
}

fn blocks<'a>(
    from: u32,
    count: u8,
    body: &mut Words<'a>,
    take: &mut impl FnMut(Item<'a>),
) -> Option<()> {
    for _ in 0..count {
        let (ssrc, lost) = (body.word()?, body.word()?);
        let block = ReportBlock {
            ssrc,
            fraction_lost: (lost >> 24) as u8,
            // A signed number of 24 bit.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            extended_highest_sequence: body.word()?,
            jitter: body.word()?,
            last_sr: body.word()?,
            delay_since_last_sr: body.word()?,
        };
        take(Item::Block { from, block });
    }
    Some(())
}

/// One source's description: items, a zero, and zeros up to the next word (RFC 3550 §6.5).
fn chunk<'a>(body: &mut Words<'a>, take: &mut impl FnMut(Item<'a>)) -> Option<()> {
    let of = body.word()?;
    let whole = body.0.len();
    let mut items = body.0;
    while let [kind @ 1..=u8::MAX, length, rest @ ..] = items {
        let (text, after) = rest.split_at_checked(usize::from(*length))?;
        if *kind == CNAME {
            take(Item::Name { of, name: text });
        }
        items = after;
    }
    // The zero has to be there, and it takes at least one octet.
    items.first().filter(|end| **end == 0)?;
    let used = (whole - items.len() + 1).next_multiple_of(4);
    body.0 = body.0.get(used..)?;
    Some(())
}

/// One block of an extended report (RFC 3611 §3); one that we do not know is stepped over.
fn extended<'a>(from: u32, body: &mut Words<'a>, take: &mut impl FnMut(Item<'a>)) -> Option<()> {
    let [kind, _, high, low, ..] = *body.0 else {
        return None;
    };
    let length = 4 * usize::from(u16::from_be_bytes([high, low]));
    let (content, after) = body.0.get(4..)?.split_at_checked(length)?;
    body.0 = after;
    let mut content = Words(content);
    match kind {
        super::xr::REFERENCE_TIME if length == 8 => {
            let ntp = content.long()?;
            take(Item::ReferenceTime { from, ntp });
        }
        super::xr::REFERENCE_DELAYS if length.is_multiple_of(12) => {
            while !content.0.is_empty() {
                let delay = ReferenceDelay {
                    ssrc: content.word()?,
                    last_reference: content.word()?,
                    delay: content.word()?,
                };
                take(Item::Delay { from, delay });
            }
        }
        super::xr::VOIP_METRICS => {
            let metrics = VoipMetrics::from_bytes(content.0.try_into().ok()?);
            take(Item::Metrics { from, metrics });
        }
        super::xr::REFERENCE_TIME | super::xr::REFERENCE_DELAYS => return None,
        _ => {}
    }
    Some(())
}

/// What is left to be read, a word at a time.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    fn long(&mut self) -> Option<u64> {
        let (long, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*long))
    }
}
