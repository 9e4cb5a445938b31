//! The adaptive jitter buffer: packets in as the network brings them, frames out in even time.
//!
//! It knows no codec. The caller decodes what it is given, conceals or repairs by FEC what is
//! missing, and tells by [`JitterBuffer::heard`] whether it is quiet, for then time may be cut
//! or stretched unheard. A caller with time stretching follows [`Payload::pace`] instead; the
//! buffer measures its delay at each pull, so it sees what either of them did.
//!
//! ```text
//!  sender's clock    ──┬────┬────┬────┬──►  timestamps
//!                      │    │    │    │
//!  arrival             └─┐  └──┐ └┐   └───┐        base = least transit of the last seconds
//!                        ▼     ▼  ▼       ▼        relative delay = transit − base
//!  playout  ──────────── ▓▓▓▓ ▓▓▓▓ ▓▓▓▓ ▓▓▓▓ ──►   delay at pull = now − (timestamp + base)
//!                        pulled 10 ms by 10 ms     target = 95th percentile of relative delay
//! ```
//!
//! A packet is due when its delay reaches the target. That decides about the first packet and
//! about each one after a silence; in between frames follow each other without a gap, and the
//! delay drifts to the target by frames dropped and steps inserted.
//!
//! Where a lost packet can be mended by its successor ([`JitterBuffer::set_repairs`]) and packets
//! are lost, the target is one packet more: the successor has to be here at the turn of the lost one.

mod delay;
mod play;
mod store;
mod take;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::packet::{RtpHeader, RtpPacket};
use crate::quality::LossPattern;
use crate::sequence::{nearest_sequence, nearest_timestamp};
use delay::DelayEstimate;
use store::{Content, Slot, Store};
use take::micros;

/// What [`Playout::Empty`] stands for, and the grid that [`JitterBuffer::pull`] is thought for.
pub const STEP: Duration = Duration::from_millis(10);

/// The step in microseconds, the unit of all times inside.
const STEP_US: i64 = 10_000;
/// A sequence number farther away than this begins a new series (as RFC 3550 A.1), where nobody has said so by
/// [`JitterBuffer::begin_source`].
const SEQUENCE_JUMP: i64 = 3_000;
/// A transit time farther from the base than this is another timeline: the sender's timestamps
/// jumped, or stood still while it was on hold.
const TIMELINE_JUMP_US: i64 = 2_000_000;
/// Two suspicious packets in a row agree when their transit differs by less.
const AGREEMENT_US: i64 = 200_000;
/// Longest frame that is believed when learning the packet time (RFC 6716: 120 ms).
const LONGEST_FRAME: Duration = Duration::from_millis(120);
/// A hole longer than this is not filled with concealment: its end is scheduled like a silence.
const LONGEST_CONCEALMENT_US: i64 = 300_000;
/// After this long without a packet it is a pause, no longer a gap in speech.
const STARVED_LIMIT_US: i64 = 200_000;
/// Too much delay while it is not quiet: one frame is cut after this, however small.
const PATIENCE_US: i64 = 1_000_000;
/// Far too much delay (more than [`FAR_US`]) while it is not quiet: one frame after this.
const SHORT_PATIENCE_US: i64 = 160_000;
/// So many losses within this time are a habit of the network …
const LOSSES: usize = 3;
const LOSS_HABIT_US: i64 = 10_000_000;
/// … which it has until so long after the last one: each change of the delay can be heard.
const LOSS_MEMORY_US: i64 = 60_000_000;
/// What counts as far.
const FAR_US: i64 = 60_000;
/// Far too little delay while it is not quiet: one step is inserted after this.
const INSERT_PATIENCE_US: i64 = 100_000;
/// A little less than a target that is smaller than a step: one step is inserted after this.
const SMALL_PATIENCE_US: i64 = 300_000;

/// Bounds and the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterBufferConfig {
    /// Ticks a second of the payload's timestamps. Where there are several clocks, a [`Timeline`](crate::Timeline) makes
    /// one of them.
    pub clock_rate_hz: u32,
    /// Delay aimed at before the network is known.
    pub start_delay: Duration,
    /// The target is never below this: what scheduling on this machine needs.
    pub minimum_delay: Duration,
    /// The target is never above this, and more delay than this is cut at once.
    pub maximum_delay: Duration,
    /// Packets held at most. The oldest go first.
    pub capacity: usize,
    /// A payload of no more octets than this says that a pause follows, as those do in which Opus leaves silence out
    /// (RFC 7587 §3.1.3).
    pub pause_octets: usize,
}

impl JitterBufferConfig {
    /// 40 ms at the start, then 5 to 400 ms; 256 packets; no payload says that a pause follows.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz,
            start_delay: Duration::from_millis(40),
            minimum_delay: Duration::from_millis(5),
            maximum_delay: Duration::from_millis(400),
            capacity: 256,
            pause_octets: 0,
        }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// Waits for its turn.
    Kept,
    /// Its turn was over. Dropped.
    Late,
    /// It is here already, or was. Dropped.
    Duplicate,
    /// It begins a new series; what was buffered is gone.
    Restarted,
    /// It fits nothing: dropped, but its successor may show that the series began anew.
    Suspect,
    /// Larger than any audio frame. Dropped.
    TooLarge,
}

/// Whether the caller should gain or lose time while it plays, if it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// The delay is as it should be.
    #[default]
    Steady,
    /// There is more delay than needed: shorten the sound, drop quiet samples.
    Faster,
    /// There is less delay than needed: lengthen the sound, repeat quiet samples.
    Slower,
}

/// One packet's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Which codec, by the session's mapping.
    pub payload_type: u8,
    /// As on the wire.
    pub sequence_number: u16,
    /// As on the wire.
    pub timestamp: u32,
    /// As on the wire.
    pub marker: bool,
    /// What to decode. Its length in time is what the decoder says.
    pub bytes: &'a [u8],
    /// What the buffer would like.
    pub pace: Pace,
    /// The packet before it where that is left out, to have less delay: what it says begins where the last sound ended, so
    /// lead over from it to this one.
    pub cut: Option<&'a [u8]>,
}

/// Why there is nothing to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// The first packet has not come, or waits for the delay that was chosen: play silence.
    Filling,
    /// The sender pauses: play silence or comfort noise.
    Silence,
    /// The next packet is overdue: conceal.
    Starved,
    /// More delay is needed and this is the moment: conceal, or play 10 ms of quiet.
    Stretch,
}

/// What to play next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playout<'a> {
    /// Decode this; pull again when its sound is used up.
    Payload(Payload<'a>),
    /// A packet is missing for good: make `samples` ticks of sound. Where its successor is here
    /// it is shown, for repair by in-band FEC; it will be returned again by the next pull.
    Lost {
        /// Ticks of the RTP clock to fill.
        samples: u32,
        /// The packet directly behind the missing one.
        next: Option<Payload<'a>>,
    },
    /// Nothing for the next 10 ms ([`STEP`]).
    Empty(Empty),
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JitterBufferStatistics {
    /// Packets offered.
    pub received: u64,
    /// Packets played.
    pub played: u64,
    /// Packets dropped because their turn was over.
    pub late: u64,
    /// Packets that were not there at their turn: late ones and those that never came.
    pub lost: u64,
    /// Packets offered twice.
    pub duplicates: u64,
    /// Packets cut to have less delay.
    pub shortened: u64,
    /// Steps of 10 ms inserted on purpose to have more delay.
    pub stretched: u64,
    /// Steps of 10 ms with nothing to play though the sender was talking.
    pub starved: u64,
    /// Packets thrown out because the buffer was full.
    pub overflowed: u64,
    /// Packets that fitted nothing.
    pub suspect: u64,
    /// New series: another source, or numbers and timestamps that began anew.
    pub restarts: u64,
    /// Time filled in for what was missing, in milliseconds.
    pub concealed_ms: u64,
    /// Delay this buffer adds at present, in milliseconds.
    pub delay_ms: f32,
    /// Delay it aims at, in milliseconds.
    pub target_ms: f32,
    /// Packets that wait.
    pub waiting: usize,
}

/// The buffer of one received stream. See the module for how it works.
#[derive(Debug, Clone)]
pub struct JitterBuffer {
    config: JitterBufferConfig,
    epoch: Option<Instant>,
    ssrc: Option<u32>,
    highest: Option<Newest>,
    suspect: Option<Suspect>,
    store: Store,
    estimate: DelayEstimate,
    next: Option<Next>,
    frame: FrameTime,
    /// The slot that the last pull lent out.
    lent: Slot,
    /// The slot that was left out last, and whether that was since the last pull.
    cut: Slot,
    is_cut: bool,
    /// Microseconds of `Empty` since the last payload, with which a loss is paid first.
    owed_us: i64,
    quiet: bool,
    /// What had its turn last says that a pause follows, or takes the place of sound.
    silent: bool,
    /// Microseconds for which sound was made up though it is not known yet whether any was left out.
    pending_us: i64,
    /// Since when the delay is too large, or too small, without a break.
    excess_since: Option<i64>,
    lack_since: Option<i64>,
    delay_us: Option<i64>,
    /// A lost packet can be mended by the one behind it.
    repairs: bool,
    /// When the last packets were lost, newest last.
    losses: [Option<i64>; LOSSES],
    lossy: bool,
    pattern: LossPattern,
    /// What was late or too much before the present source.
    discarded_before: u64,
    statistics: JitterBufferStatistics,
}

/// The newest packet seen, in numbers that do not wrap.
#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: i64,
    /// Of the newest packet of audio.
    timestamp: i64,
    is_audio: bool,
    /// Bit n: `sequence - n` was seen.
    seen: u128,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    successor: u16,
    transit_us: i64,
    timestamp: i64,
}

/// What has to be played next.
#[derive(Debug, Clone, Copy)]
struct Next {
    sequence: i64,
    timestamp: i64,
    last_played: i64,
}

/// The packet time, learned from packets that follow each other.
#[derive(Debug, Clone, Copy)]
struct FrameTime {
    ticks: i64,
    candidate: i64,
    votes: u8,
}

impl FrameTime {
    fn learn(&mut self, ticks: i64) {
        if ticks == self.ticks {
            self.votes = 0;
        } else if ticks == self.candidate {
            self.votes += 1;
            // A longer step may be a pause: it has to be seen again and again.
            if ticks < self.ticks || self.votes >= 2 {
                (self.ticks, self.votes) = (ticks, 0);
            }
        } else {
            (self.candidate, self.votes) = (ticks, 0);
        }
    }
}

impl JitterBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new(config: JitterBufferConfig) -> Self {
        let config = JitterBufferConfig {
            clock_rate_hz: config.clock_rate_hz.max(1_000),
            capacity: config.capacity.clamp(8, 4_096),
            maximum_delay: config.maximum_delay.max(config.minimum_delay),
            ..config
        };
        Self {
            config,
            epoch: None,
            ssrc: None,
            highest: None,
            suspect: None,
            store: Store::new(config.capacity),
            estimate: DelayEstimate::new(),
            next: None,
            frame: FrameTime {
                ticks: i64::from(config.clock_rate_hz) / 50,
                candidate: 0,
                votes: 0,
            },
            lent: store::empty_slot(),
            cut: store::empty_slot(),
            is_cut: false,
            owed_us: 0,
            quiet: false,
            silent: false,
            pending_us: 0,
            excess_since: None,
            lack_since: None,
            delay_us: None,
            repairs: false,
            losses: [None; LOSSES],
            lossy: false,
            pattern: LossPattern::default(),
            discarded_before: 0,
            statistics: JitterBufferStatistics::default(),
        }
    }

    /// Takes in a packet of audio that arrived at `now`.
    pub fn insert(&mut self, now: Instant, packet: &RtpPacket<'_>) -> Inserted {
        if packet.payload.len() > store::LARGEST_PAYLOAD {
            return Inserted::TooLarge;
        }
        self.take(now, &packet.header, Content::Audio, packet.payload)
    }

    /// Takes note of a packet of the same stream that is no audio: its sequence number is then not a lost frame, and until the
    /// next audio nothing is missing. Comfort noise (RFC 3389) tells that a pause begins or goes on, and a telephone event
    /// is in place of the sound of its time (RFC 4733 §2.5).
    pub fn insert_other(&mut self, now: Instant, header: &RtpHeader) -> Inserted {
        self.take(now, header, Content::Other, &[])
    }

    /// Tells whether the sound of the last payload was near silence. While it is, the buffer
    /// moves its delay to the target at once; otherwise slowly.
    pub fn heard(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// Tells whether a lost packet can be mended by the one behind it (in-band FEC). While packets
    /// are lost again and again, the buffer then waits for that one, too.
    pub fn set_repairs(&mut self, repairs: bool) {
        self.repairs = repairs;
    }

    /// Forgets everything but its statistics, as for another stream.
    pub fn reset(&mut self) {
        self.forget_series();
        self.ssrc = None;
        self.estimate = DelayEstimate::new();
    }

    /// Another source begins, or the same begins its numbers anew, as a [`Receiver`](crate::Receiver) says by `restarted`: the
    /// next packet is the first of a series, wherever its number is. How late packets are is remembered, for the network is
    /// the same; [`pattern`](Self::pattern) and [`discarded`](Self::discarded) tell of this source alone from here on
    /// (RFC 3611 §4.7.1).
    pub fn begin_source(&mut self) {
        if self.highest.is_some() {
            self.restart();
        }
        self.ssrc = None;
        // How it sounded when the one before ended: that is no reason to leave out how this one begins.
        self.quiet = false;
        self.pattern = LossPattern::default();
        self.discarded_before += self.discarded();
    }

    /// What happened so far.
    #[must_use]
    pub fn statistics(&self) -> JitterBufferStatistics {
        JitterBufferStatistics {
            delay_ms: self.delay_us.unwrap_or(0) as f32 / 1_000.0,
            target_ms: self.target_us() as f32 / 1_000.0,
            waiting: self.store.len(),
            ..self.statistics
        }
    }

    /// Packets of the present source that came and were not played: too late, too many at once, or with a timestamp that
    /// fits nothing.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        let s = &self.statistics;
        s.late + s.overflowed + s.suspect - self.discarded_before
    }

    /// How the packets of the present source that were not there at their turn follow each other.
    #[must_use]
    pub fn pattern(&self) -> LossPattern {
        self.pattern
    }

    /// How much time a packet of the sender stands for, as far as that was seen.
    #[must_use]
    pub fn packet_time(&self) -> Duration {
        Duration::from_micros(self.ticks_to_us(self.frame.ticks).unsigned_abs())
    }

    /// The bounds that it was given.
    #[must_use]
    pub fn config(&self) -> &JitterBufferConfig {
        &self.config
    }

    fn target_us(&self) -> i64 {
        let least = if self.estimate.is_settled() {
            self.config.minimum_delay
        } else {
            self.config.start_delay.max(self.config.minimum_delay)
        };
        let most = micros(self.config.maximum_delay);
        let repair = if self.repairs && self.is_lossy() {
            self.ticks_to_us(self.frame.ticks)
        } else {
            0
        };
        let target = self.estimate.target_us().saturating_add(repair);
        target.max(micros(least)).min(most)
    }

    /// How far the delay may be below the target before something is done about it. A small target is left by half of it and no
    /// more: what is not here at its turn is lost, however little it lacks.
    fn lack_limit_us(&self) -> i64 {
        STEP_US.min(self.target_us() / 2)
    }

    fn is_lossy(&self) -> bool {
        let now_us = self.estimate.now_us();
        let newest = self.losses.last().copied().flatten();
        self.lossy && newest.is_some_and(|at| now_us - at < LOSS_MEMORY_US)
    }

    fn note_loss(&mut self, now_us: i64) {
        self.lossy = self.is_lossy();
        self.losses.rotate_left(1);
        if let Some(newest) = self.losses.last_mut() {
            *newest = Some(now_us);
        }
        let oldest = self.losses.first().copied().flatten();
        self.lossy |= oldest.is_some_and(|at| now_us - at < LOSS_HABIT_US);
    }
}
