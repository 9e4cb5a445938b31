//! The receiving end of one stream: is this packet believable, and how good is the network
//! (RFC 3550 §6.4.1, A.1, A.3, A.8).
//!
//! ```text
//!             two packets in a row                 A.1: two in a row after a large jump
//!  nothing ───────────────────────► current ◄────────────────────────────────┐
//!                                      │  ▲                                  │
//!                 another source talks │  │ it comes back first          restart of
//!                                      ▼  │                              its numbers
//!                                   candidate ──────► becomes current: two in a row
//!                                                     and the old one silent for 100 ms
//! ```

use std::time::{Duration, Instant};

use crate::packet::RtpHeader;
use crate::rtcp::{ReportBlock, compact_ntp};
use crate::sender::ticks;
use crate::sequence::nearest_sequence;

/// In-order packets that make a source believable (RFC 3550 A.1 `MIN_SEQUENTIAL`).
const MIN_SEQUENTIAL: u8 = 2;
/// A jump ahead by less than this is loss (RFC 3550 A.1 `MAX_DROPOUT`).
const MAX_DROPOUT: i64 = 3_000;
/// A packet older by less than this is reordering (RFC 3550 A.1 `MAX_MISORDER`).
const MAX_MISORDER: i64 = 100;
/// How long the current source has to be silent before another one replaces it. Longer than any
/// packet time, so two sources that talk at once (a fork) do not make the sound flap.
const SILENCE_BEFORE_CHANGE: Duration = Duration::from_millis(100);
/// Sequence numbers remembered for telling duplicates, in bits of one word.
const REMEMBERED: i64 = 128;

/// What [`Receiver::receive`] makes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Use it.
    Accept {
        /// The sequence number without wrap, counted up since the source began.
        extended_sequence: i64,
        /// The source is a new one or began its numbers anew: what is buffered belongs to the past.
        restarted: bool,
    },
    /// The first packet of a source, or the first after a jump: believable with its successor.
    Probation,
    /// Already received.
    Duplicate,
    /// From a source that is not the current one, which is still talking.
    Foreign,
}

impl Verdict {
    /// Whether the packet is to be used.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Accept { .. })
    }
}

/// What was observed so far. Counts are of the current source, except where said.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReceiverStatistics {
    /// Packets accepted.
    pub received: u64,
    /// Packets that the sequence numbers promise (RFC 3550 A.3).
    pub expected: u64,
    /// `expected - received`, never negative here.
    pub lost: u64,
    /// The same of all sources so far, each from its beginning to its end.
    pub lost_in_all: u64,
    /// Repetitions of an accepted packet, dropped. Over all sources.
    pub duplicates: u64,
    /// Accepted packets that came after a later one.
    pub reordered: u64,
    /// Packets of another source while the current one talks, dropped. Over all sources.
    pub foreign: u64,
    /// Packets held on probation, dropped. Over all sources.
    pub on_probation: u64,
    /// How often the source changed or began its numbers anew.
    pub restarts: u32,
    /// Interarrival jitter (RFC 3550 §6.4.1), smoothed over sixteen packets.
    pub jitter: Duration,
}

/// The receiving end of one RTP stream. Ask it about every packet before using one.
#[derive(Debug, Clone)]
pub struct Receiver {
    clock_rate_hz: u32,
    /// Arrival instants are counted in ticks from here.
    epoch: Option<Instant>,
    current: Option<Source>,
    candidate: Option<Candidate>,
    totals: ReceiverStatistics,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    ssrc: u32,
    next_sequence: u16,
    in_a_row: u8,
}

#[derive(Debug, Clone)]
struct Source {
    ssrc: u32,
    base: i64,
    highest: i64,
    /// Bit n: `highest - n` was received.
    seen: u128,
    received: u64,
    reordered: u64,
    last_heard: Instant,
    /// A.1 `bad_seq`: after a jump, the number that would confirm it.
    after_jump: Option<u16>,
    /// What it has sent since was not listened to, and is not expected.
    unheard: bool,
    transit: Option<u32>,
    /// A.8: jitter in ticks, times 16.
    jitter_q4: u32,
    expected_before: u64,
    received_before: u64,
    sender_report: Option<(u32, Instant)>,
}

impl Source {
    fn new(now: Instant, ssrc: u32, sequence_number: u16) -> Self {
        let base = i64::from(sequence_number);
        Self {
            ssrc,
            base,
            highest: base,
            seen: 0,
            received: 0,
            reordered: 0,
            last_heard: now,
            after_jump: None,
            unheard: false,
            transit: None,
            jitter_q4: 0,
            expected_before: 0,
            received_before: 0,
            sender_report: None,
        }
    }

    fn expected(&self) -> u64 {
        u64::try_from(self.highest - self.base + 1).unwrap_or(0)
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }
}

impl Receiver {
    /// Nothing heard yet; jitter will be measured on a clock of `clock_rate_hz`.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz: clock_rate_hz.max(1),
            epoch: None,
            current: None,
            candidate: None,
            totals: ReceiverStatistics::default(),
        }
    }

    /// Nothing is listened to from here to the next packet that is judged: on hold, a peer may go on sending. None of
    /// that is expected, so none of it is lost.
    pub fn rest(&mut self) {
        if let Some(source) = &mut self.current {
            source.unheard = true;
            source.transit = None;
        }
    }

    /// Judges a packet that arrived at `now` and counts it.
    pub fn receive(&mut self, now: Instant, header: &RtpHeader) -> Verdict {
        self.receive_on(now, header, Some(self.clock_rate_hz))
    }

    /// The same where the payload types of a stream count in several clocks (RFC 7160): with the clock of this packet's
    /// timestamp, or none where that tells nothing about how long it took. From one clock to the other the jitter goes on as
    /// the same time; in between is none.
    pub fn receive_on(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        clock_rate_hz: Option<u32>,
    ) -> Verdict {
        self.epoch.get_or_insert(now);
        let verdict = match &self.current {
            Some(source) if source.ssrc == header.ssrc => self.judge_current(header),
            _ => self.judge_candidate(now, header),
        };
        match verdict {
            Verdict::Accept { restarted, .. } => self.count(now, header, restarted, clock_rate_hz),
            Verdict::Probation => self.totals.on_probation += 1,
            Verdict::Duplicate => self.totals.duplicates += 1,
            Verdict::Foreign => self.totals.foreign += 1,
        }
        verdict
    }

    /// Whether the source is the one that we listen to, or may become it with its next packet.
    #[must_use]
    pub fn knows(&self, ssrc: u32) -> bool {
        let candidate = self
            .candidate
            .is_some_and(|candidate| candidate.ssrc == ssrc);
        candidate || self.ssrc() == Some(ssrc)
    }

    // RFC 3550 A.1, `update_seq`.
    fn judge_current(&mut self, header: &RtpHeader) -> Verdict {
        let Some(source) = &mut self.current else {
            return Verdict::Probation;
        };
        let extended = nearest_sequence(source.highest, header.sequence_number);
        let step = extended - source.highest;
        if step > 0 && step < MAX_DROPOUT {
            source.seen = u32::try_from(step)
                .ok()
                .and_then(|step| source.seen.checked_shl(step))
                .unwrap_or(0)
                | 1;
            if std::mem::take(&mut source.unheard) {
                source.base += step - 1;
                // What is late from the time between is not expected either.
                source.seen = u128::MAX;
            }
            source.highest = extended;
            source.after_jump = None;
            return Verdict::Accept {
                extended_sequence: extended,
                restarted: false,
            };
        }
        if step <= 0 && -step < MAX_MISORDER.min(REMEMBERED) {
            let bit = 1u128 << (-step).clamp(0, REMEMBERED - 1);
            if source.seen & bit != 0 {
                return Verdict::Duplicate;
            }
            source.seen |= bit;
            source.base = source.base.min(extended);
            source.reordered += u64::from(step < 0);
            source.after_jump = None;
            return Verdict::Accept {
                extended_sequence: extended,
                restarted: false,
            };
        }
        // A very large jump: two in a row mean that the other side began anew.
        if source.after_jump == Some(header.sequence_number) {
            self.totals.lost_in_all += source.lost();
            let restarted = Source {
                transit: None,
                ..Source::new(source.last_heard, source.ssrc, header.sequence_number)
            };
            self.current = Some(Source {
                seen: 1,
                sender_report: source.sender_report,
                ..restarted
            });
            return Verdict::Accept {
                extended_sequence: i64::from(header.sequence_number),
                restarted: true,
            };
        }
        source.after_jump = Some(header.sequence_number.wrapping_add(1));
        Verdict::Probation
    }

    fn judge_candidate(&mut self, now: Instant, header: &RtpHeader) -> Verdict {
        let in_a_row = match self.candidate {
            Some(candidate)
                if candidate.ssrc == header.ssrc
                    && candidate.next_sequence == header.sequence_number =>
            {
                candidate.in_a_row.saturating_add(1)
            }
            _ => 1,
        };
        let current_talks = self.current.as_ref().is_some_and(|source| {
            now.saturating_duration_since(source.last_heard) < SILENCE_BEFORE_CHANGE
        });
        if in_a_row >= MIN_SEQUENTIAL && !current_talks {
            self.candidate = None;
            self.totals.lost_in_all += self.current.as_ref().map_or(0, Source::lost);
            self.current = Some(Source {
                seen: 1,
                ..Source::new(now, header.ssrc, header.sequence_number)
            });
            return Verdict::Accept {
                extended_sequence: i64::from(header.sequence_number),
                restarted: true,
            };
        }
        self.candidate = Some(Candidate {
            ssrc: header.ssrc,
            next_sequence: header.sequence_number.wrapping_add(1),
            in_a_row,
        });
        if current_talks {
            Verdict::Foreign
        } else {
            Verdict::Probation
        }
    }

    fn count(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        restarted: bool,
        clock_rate_hz: Option<u32>,
    ) {
        self.totals.restarts += u32::from(restarted);
        let Some(source) = &mut self.current else {
            return;
        };
        source.received += 1;
        source.last_heard = now;
        let Some(clock_rate_hz) = clock_rate_hz.map(|rate| rate.max(1)) else {
            return;
        };
        if clock_rate_hz != self.clock_rate_hz {
            let jitter = u64::from(source.jitter_q4) * u64::from(clock_rate_hz)
                / u64::from(self.clock_rate_hz);
            source.jitter_q4 = u32::try_from(jitter).unwrap_or(u32::MAX);
            source.transit = None;
            self.clock_rate_hz = clock_rate_hz;
        }
        let arrival = ticks(
            now.saturating_duration_since(self.epoch.unwrap_or(now)),
            self.clock_rate_hz,
        );
        // RFC 3550 A.8. A second and more between two packets is a talk spurt, not jitter.
        let transit = arrival.wrapping_sub(header.timestamp);
        if let Some(before) = source.transit {
            let difference = transit.wrapping_sub(before).cast_signed().unsigned_abs();
            if difference < self.clock_rate_hz {
                source.jitter_q4 = source
                    .jitter_q4
                    .saturating_add(difference)
                    .saturating_sub((source.jitter_q4 + 8) >> 4);
            }
        }
        source.transit = Some(transit);
    }

    /// Remembers a sender report that arrived at `now`, for LSR and DLSR of our reports and for
    /// nothing else. One of another source is ignored.
    pub fn on_sender_report(&mut self, now: Instant, ssrc: u32, ntp_timestamp: u64) {
        if let Some(source) = &mut self.current
            && source.ssrc == ssrc
        {
            source.sender_report = Some((compact_ntp(ntp_timestamp), now));
        }
    }

    /// The report block about the current source (RFC 3550 §6.4.1). The fraction lost is that
    /// since the previous call, so call it once for each report that is really sent. None where nothing
    /// has come since (§6.4): what may have been lost meanwhile nobody knows, and none lost would be a claim.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let source = self.current.as_mut()?;
        if source.received == source.received_before {
            return None;
        }
        let expected = source.expected();
        // RFC 3550 A.3: the count may be negative where packets were doubled; ours never are.
        let cumulative_lost = i32::try_from(source.lost().min(0x7F_FFFF)).unwrap_or(0x7F_FFFF);
        let expected_since = expected.saturating_sub(source.expected_before);
        let received_since = source.received.saturating_sub(source.received_before);
        (source.expected_before, source.received_before) = (expected, source.received);
        let lost_since = expected_since.saturating_sub(received_since);
        let fraction_lost = match expected_since {
            0 => 0,
            _ => u8::try_from(lost_since * 256 / expected_since).unwrap_or(u8::MAX),
        };
        let (last_sr, delay_since_last_sr) = match source.sender_report {
            Some((middle, at)) => (middle, ticks(now.saturating_duration_since(at), 65_536)),
            None => (0, 0),
        };
        #[allow(clippy::cast_possible_truncation)] // Cycles and number, modulo 2³².
        let extended_highest_sequence = source.highest as u32;
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost,
            cumulative_lost,
            extended_highest_sequence,
            jitter: source.jitter_q4 >> 4,
            last_sr,
            delay_since_last_sr,
        })
    }

    /// The source we listen to.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.current.as_ref().map(|source| source.ssrc)
    }

    /// When the current source was last heard.
    #[must_use]
    pub fn last_heard(&self) -> Option<Instant> {
        self.current.as_ref().map(|source| source.last_heard)
    }

    /// What was observed so far.
    #[must_use]
    pub fn statistics(&self) -> ReceiverStatistics {
        let mut statistics = self.totals;
        if let Some(source) = &self.current {
            statistics.received = source.received;
            statistics.expected = source.expected();
            statistics.lost = source.lost();
            statistics.lost_in_all += source.lost();
            statistics.reordered = source.reordered;
            let jitter_ticks = u64::from(source.jitter_q4 >> 4);
            statistics.jitter =
                Duration::from_micros(jitter_ticks * 1_000_000 / u64::from(self.clock_rate_hz));
        }
        statistics
    }
}

#[cfg(test)]
mod tests;
