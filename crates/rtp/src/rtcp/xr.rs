//! Extended reports (RFC 3611): the round trip for those who only listen, and how the voice is heard.
//!
//! ```text
//!  we ── Receiver Reference Time: our clock ──────────────► they
//!  we ◄── DLRR: our clock, and how long it lay there ────── they      as LSR and DLSR, without sending
//!  we ── VoIP Metrics: how we hear them ──────────────────► they
//! ```

use std::time::Duration;

use super::trip;

/// Block types (RFC 3611 §4).
pub(super) const REFERENCE_TIME: u8 = 4;
pub(super) const REFERENCE_DELAYS: u8 = 5;
pub(super) const VOIP_METRICS: u8 = 7;

/// A value that is not known (RFC 3611 §4.7.4, §4.7.5).
const UNAVAILABLE: u8 = 127;

/// What goes into one extended report.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtendedReport<'a> {
    /// Our wall clock, 32.32 fixed point seconds since 1900, for them to answer.
    pub reference_time: Option<u64>,
    /// Answers to their clocks.
    pub delays: &'a [ReferenceDelay],
    /// How we hear somebody.
    pub metrics: Option<VoipMetrics>,
}

impl ExtendedReport<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.reference_time.is_none() && self.delays.is_empty() && self.metrics.is_none()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if let Some(ntp) = self.reference_time {
            out.extend([REFERENCE_TIME, 0, 0, 2]);
            out.extend(ntp.to_be_bytes());
        }
        if !self.delays.is_empty() {
            let words = u16::try_from(3 * self.delays.len()).unwrap_or(u16::MAX);
            let [high, low] = words.to_be_bytes();
            out.extend([REFERENCE_DELAYS, 0, high, low]);
            for delay in self.delays {
                for word in [delay.ssrc, delay.last_reference, delay.delay] {
                    out.extend(word.to_be_bytes());
                }
            }
        }
        if let Some(metrics) = &self.metrics {
            out.extend([VOIP_METRICS, 0, 0, 8]);
            out.extend(metrics.to_bytes());
        }
    }
}

/// How long a wall clock of somebody lay with the one who answers it (RFC 3611 §4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferenceDelay {
    /// Whose clock it was.
    pub ssrc: u32,
    /// The middle 32 bits of that clock, 0 when none came.
    pub last_reference: u32,
    /// Time since it arrived, in 65536ths of a second.
    pub delay: u32,
}

impl ReferenceDelay {
    /// Network round trip, where it answers a clock of ours and arrived when our wall clock showed `arrival_ntp`;
    /// none where the numbers make no sense, as with [`super::round_trip`].
    #[must_use]
    pub fn round_trip(&self, arrival_ntp: u64) -> Option<Duration> {
        trip(self.last_reference, self.delay, arrival_ntp)
    }
}

/// How a receiver fills in for what is lost (RFC 3611 §4.7.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Concealment {
    /// Not told.
    #[default]
    Unspecified,
    /// Silence is played.
    Disabled,
    /// By more than repeating what was there before.
    Enhanced,
    /// By repeating what was there before, or as simply.
    Standard,
}

impl Concealment {
    /// As the field has it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::Disabled => 1,
            Self::Enhanced => 2,
            Self::Standard => 3,
        }
    }
}

/// Whether a jitter buffer follows the network (RFC 3611 §4.7.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adaptation {
    /// Not told.
    #[default]
    Unknown,
    /// A value that is reserved.
    Reserved,
    /// It keeps its size.
    Fixed,
    /// It follows the network.
    Adaptive,
}

impl Adaptation {
    /// As the field has it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Reserved => 1,
            Self::Fixed => 2,
            Self::Adaptive => 3,
        }
    }
}

/// How somebody's voice is heard: the VoIP Metrics block (RFC 3611 §4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoipMetrics {
    /// Who is heard.
    pub ssrc: u32,
    /// Share lost on the way, in 256ths.
    pub loss_rate: u8,
    /// Share that came and could not be played, in 256ths.
    pub discard_rate: u8,
    /// Share lost or discarded within bursts, in 256ths.
    pub burst_density: u8,
    /// Share lost or discarded in the gaps between them, in 256ths.
    pub gap_density: u8,
    /// Mean length of a burst.
    pub burst_duration_ms: u16,
    /// Mean length of a gap.
    pub gap_duration_ms: u16,
    /// The last round trip between the two ends; 0 when it is not known.
    pub round_trip_ms: u16,
    /// What this end adds to the delay: gathering and encoding what is said, buffering and playing what is heard.
    pub end_system_delay_ms: u16,
    /// Of the voice while it speaks, over 0 dBm0.
    pub signal_level_dbm: Option<i8>,
    /// Of what is heard while it does not, over 0 dBm0.
    pub noise_level_dbm: Option<i8>,
    /// Residual echo return loss in decibels.
    pub echo_return_loss_db: Option<u8>,
    /// So many packets in a row have to come to end a burst.
    pub gmin: u8,
    /// R of G.107 for what this stream carries, 0 to 100.
    pub r_factor: Option<u8>,
    /// The same for what another network does to the call.
    pub external_r_factor: Option<u8>,
    /// Listening quality in tenths, 10 to 50.
    pub mos_lq: Option<u8>,
    /// Conversational quality in tenths, 10 to 50: delay counts too.
    pub mos_cq: Option<u8>,
    /// What is done about losses.
    pub concealment: Concealment,
    /// Whether the jitter buffer follows the network.
    pub adaptation: Adaptation,
    /// How fast it does, 0 to 15; see RFC 3611 §4.7.6.
    pub adjustment: u8,
    /// What the buffer adds to a packet that comes right on time.
    pub buffer_nominal_ms: u16,
    /// What it adds at present to the first packet that comes too late.
    pub buffer_maximum_ms: u16,
    /// What it may add at the worst.
    pub buffer_absolute_maximum_ms: u16,
}

impl VoipMetrics {
    /// How long the block is, behind its header.
    pub const LENGTH: usize = 32;

    /// The block as it is on the wire, behind its header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let level = |level: Option<i8>| level.map_or(UNAVAILABLE, i8::cast_unsigned);
        let value = |value: Option<u8>| value.unwrap_or(UNAVAILABLE);
        let (concealment, adaptation) = (self.concealment.number(), self.adaptation.number());
        let configuration = concealment << 6 | adaptation << 4 | self.adjustment.min(15);
        let durations = [
            self.burst_duration_ms,
            self.gap_duration_ms,
            self.round_trip_ms,
            self.end_system_delay_ms,
        ];
        let buffer = [
            self.buffer_nominal_ms,
            self.buffer_maximum_ms,
            self.buffer_absolute_maximum_ms,
        ];
        let octets = self.ssrc.to_be_bytes().into_iter();
        let octets = octets
            .chain([
                self.loss_rate,
                self.discard_rate,
                self.burst_density,
                self.gap_density,
            ])
            .chain(durations.into_iter().flat_map(u16::to_be_bytes))
            .chain([
                level(self.signal_level_dbm),
                level(self.noise_level_dbm),
                value(self.echo_return_loss_db),
                self.gmin,
                value(self.r_factor),
                value(self.external_r_factor),
                value(self.mos_lq),
                value(self.mos_cq),
                configuration,
                0,
            ])
            .chain(buffer.into_iter().flat_map(u16::to_be_bytes));
        let mut bytes = [0; Self::LENGTH];
        for (place, octet) in bytes.iter_mut().zip(octets) {
            *place = octet;
        }
        bytes
    }

    /// Reads it. What is outside the range of its field counts as not known.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Self {
        let rest = &mut bytes.as_slice();
        let ssrc = u32::from_be_bytes(next(rest));
        let [loss_rate, discard_rate, burst_density, gap_density] = next(rest);
        let [
            burst_duration_ms,
            gap_duration_ms,
            round_trip_ms,
            end_system_delay_ms,
        ] = std::array::from_fn(|_| u16::from_be_bytes(next(rest)));
        let [signal, noise, echo, gmin] = next(rest);
        let [r_factor, external_r_factor, mos_lq, mos_cq] = next(rest);
        let [configuration, _] = next(rest);
        let [
            buffer_nominal_ms,
            buffer_maximum_ms,
            buffer_absolute_maximum_ms,
        ] = std::array::from_fn(|_| u16::from_be_bytes(next(rest)));
        let level = |level: u8| Some(level.cast_signed()).filter(|_| level != UNAVAILABLE);
        let factor = |factor: u8| Some(factor).filter(|factor| *factor <= 100);
        let mos = |mos: u8| Some(mos).filter(|mos| (10..=50).contains(mos));
        Self {
            ssrc,
            loss_rate,
            discard_rate,
            burst_density,
            gap_density,
            burst_duration_ms,
            gap_duration_ms,
            round_trip_ms,
            end_system_delay_ms,
            signal_level_dbm: level(signal),
            noise_level_dbm: level(noise),
            echo_return_loss_db: Some(echo).filter(|echo| *echo != UNAVAILABLE),
            gmin,
            r_factor: factor(r_factor),
            external_r_factor: factor(external_r_factor),
            mos_lq: mos(mos_lq),
            mos_cq: mos(mos_cq),
            concealment: match configuration >> 6 {
                0 => Concealment::Unspecified,
                1 => Concealment::Disabled,
                2 => Concealment::Enhanced,
                _ => Concealment::Standard,
            },
            adaptation: match configuration >> 4 & 3 {
                0 => Adaptation::Unknown,
                1 => Adaptation::Reserved,
                2 => Adaptation::Fixed,
                _ => Adaptation::Adaptive,
            },
            adjustment: configuration & 15,
            buffer_nominal_ms,
            buffer_maximum_ms,
            buffer_absolute_maximum_ms,
        }
    }
}

/// The next octets, and zeros behind the last.
fn next<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((octets, after)) = rest.split_first_chunk() else {
        return [0; N];
    };
    *rest = after;
    *octets
}

#[cfg(test)]
mod tests;
