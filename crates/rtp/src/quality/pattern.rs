//! How losses follow each other: their share, and where they come in bursts (RFC 3611 §4.7.2, G.107 §7.5).

use super::share;

/// So many packets in a row have to come to end a burst (RFC 3611 §4.7.2).
pub const GMIN: u8 = 16;

/// Gathers loss packet by packet, in the order in which they are played: what came too late is as lost as what
/// never came.
///
/// ```text
///  ····x···················x·x··x············ ···x····
///  gap, one of it lost     │ burst │ gap, one of it lost
///                          from its first loss to its last, never GMIN received in a row
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossPattern {
    played: u64,
    lost: u64,
    /// Unbroken runs of losses.
    runs: u64,
    /// Played since the last loss.
    since_loss: u64,
    /// Losses that are nearer to each other than [`GMIN`], the last ones: a burst, unless it stays at one.
    open: Stretch,
    bursts: u64,
    /// All bursts together.
    in_bursts: Stretch,
    /// Where the first burst began, and where the last one ended.
    first: u64,
    last: u64,
}

/// Losses that belong together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stretch {
    begins: u64,
    packets: u64,
    lost: u64,
}

/// What bursts of loss do, and what is lost in the gaps between them (RFC 3611 §4.7.2, §4.7.3).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BurstsAndGaps {
    /// Share of packets lost within bursts.
    pub burst_density: f32,
    /// Share of packets lost within gaps.
    pub gap_density: f32,
    /// Mean length of a burst in packets, 0 without one.
    pub burst_packets: f32,
    /// Mean length of a gap in packets, 0 without one.
    pub gap_packets: f32,
}

impl LossPattern {
    /// Counts a packet that was there at its turn.
    pub fn count_played(&mut self) {
        self.played += 1;
        self.since_loss += 1;
    }

    /// Counts packets in a row that were not.
    pub fn count_lost(&mut self, packets: u64) {
        if packets == 0 {
            return;
        }
        self.runs += u64::from(self.lost == 0 || self.since_loss > 0);
        if self.open.lost > 0 && self.since_loss < u64::from(GMIN) {
            self.open.packets += self.since_loss + packets;
            self.open.lost += packets;
        } else {
            self.close();
            self.open = Stretch {
                begins: self.total(),
                packets,
                lost: packets,
            };
        }
        self.lost += packets;
        self.since_loss = 0;
    }

    /// The last losses belong to nothing that is still to come. A single one belongs to a gap.
    fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        if open.lost < 2 {
            return;
        }
        if self.bursts == 0 {
            self.first = open.begins;
        }
        self.last = open.begins + open.packets;
        self.bursts += 1;
        self.in_bursts.packets += open.packets;
        self.in_bursts.lost += open.lost;
    }

    fn total(&self) -> u64 {
        self.played + self.lost
    }

    /// Share of packets lost.
    #[must_use]
    pub fn loss(&self) -> f32 {
        share(self.lost, self.total())
    }

    /// Mean length of an unbroken run of losses over the one that random loss of this share would have; at least 1.
    #[must_use]
    pub fn burst_ratio(&self) -> f32 {
        let mean = share(self.lost, self.runs);
        (mean * (1.0 - self.loss())).max(1.0)
    }

    /// What was played and lost since it was as `before`, without bursts and gaps; all of it where `before` was of another
    /// source.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let difference = |now: u64, before: u64| now.checked_sub(before);
        let played = difference(self.played, before.played);
        let lost = difference(self.lost, before.lost);
        let runs = difference(self.runs, before.runs);
        let (Some(played), Some(lost), Some(runs)) = (played, lost, runs) else {
            return *self;
        };
        Self {
            played,
            lost,
            // One that goes on has begun before.
            runs: runs.max(u64::from(lost > 0)),
            ..Self::default()
        }
    }

    /// Packets that were there at their turn, and that were not.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.total()
    }

    /// Bursts and gaps as they stand, as if nothing but good packets followed.
    #[must_use]
    pub fn bursts_and_gaps(&self) -> BurstsAndGaps {
        let mut closed = *self;
        closed.close();
        let bursts = closed.in_bursts;
        let (lost, packets) = (closed.lost - bursts.lost, closed.total() - bursts.packets);
        let gaps = match closed.bursts {
            0 => u64::from(packets > 0),
            // One between each two, one before the first and one behind the last.
            count => {
                (count - 1) + u64::from(closed.first > 0) + u64::from(closed.last < closed.total())
            }
        };
        BurstsAndGaps {
            burst_density: share(bursts.lost, bursts.packets),
            gap_density: share(lost, packets),
            burst_packets: share(bursts.packets, closed.bursts),
            gap_packets: share(packets, gaps),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `x` is a loss.
    fn pattern(packets: &str) -> LossPattern {
        let mut pattern = LossPattern::default();
        for packet in packets.chars() {
            match packet {
                'x' => pattern.count_lost(1),
                _ => pattern.count_played(),
            }
        }
        pattern
    }

    fn check(packets: &str, [burst, gap]: [f32; 2], [in_burst, in_gap]: [f32; 2]) {
        let expected = BurstsAndGaps {
            burst_density: burst,
            gap_density: gap,
            burst_packets: in_burst,
            gap_packets: in_gap,
        };
        assert_eq!(pattern(packets).bursts_and_gaps(), expected, "{packets}");
    }

    #[test]
    fn share_and_burstiness_are_told() {
        let even = pattern(&"x.........".repeat(100));
        let bursty = pattern(&("x".repeat(10) + &".".repeat(90)).repeat(10));
        assert!((even.loss() - 0.1).abs() < 1e-6 && (bursty.loss() - 0.1).abs() < 1e-6);
        assert!((even.burst_ratio() - 1.0).abs() < 1e-6);
        assert!((bursty.burst_ratio() - 9.0).abs() < 1e-3);
        assert!((LossPattern::default().burst_ratio() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn without_loss_the_whole_stream_is_one_gap() {
        check("", [0.0, 0.0], [0.0, 0.0]);
        check(&".".repeat(100), [0.0, 0.0], [0.0, 100.0]);
    }

    #[test]
    fn a_loss_alone_belongs_to_a_gap() {
        let apart = ".".repeat(16);
        // RFC 3611 §4.7.2: at most one in Gmin + 1 is lost in a gap.
        check(
            &format!("{apart}x{apart}x{apart}"),
            [0.0, 0.04],
            [0.0, 50.0],
        );
        // At the very start and end, too: the stream is thought of as between packets that came.
        check(&format!("x{apart}x"), [0.0, 2.0 / 18.0], [0.0, 18.0]);
    }

    #[test]
    fn losses_less_than_gmin_apart_are_one_burst() {
        let near = ".".repeat(15);
        let far = ".".repeat(16);
        // From the first loss to the last: 17 packets, 2 of them lost; a gap before it and one behind.
        check(
            &format!("{far}x{near}x{far}"),
            [2.0 / 17.0, 0.0],
            [17.0, 16.0],
        );
        check("xxxx", [1.0, 0.0], [4.0, 0.0]);
        check(&format!("xx{far}"), [1.0, 0.0], [2.0, 16.0]);
        // Two bursts of 2 and 3 with 16 between them, and 4 packets behind.
        check(&format!("xx{far}x.x...."), [0.8, 0.0], [2.5, 10.0]);
        // A loss alone between two bursts is the gap's: 1 of 33.
        check(&format!("xx{far}x{far}xx"), [1.0, 1.0 / 33.0], [2.0, 33.0]);
    }

    proptest! {
        #[test]
        fn bursts_and_gaps_make_up_the_whole(packets in "[x.]{0,200}") {
            let pattern = pattern(&packets);
            let told = pattern.bursts_and_gaps();
            for share in [told.burst_density, told.gap_density] {
                prop_assert!((0.0..=1.0).contains(&share));
            }
            // RFC 3611 §4.7.2, but for the edges of the stream.
            let edges = packets.len() < 40;
            prop_assert!(edges || told.gap_density <= 2.0 / 17.0, "{told:?}");
            let many: LossPattern = {
                let mut many = LossPattern::default();
                for run in packets.split_inclusive('.') {
                    let lost = run.bytes().filter(|b| *b == b'x').count();
                    many.count_lost(lost as u64);
                    if run.ends_with('.') {
                        many.count_played();
                    }
                }
                many
            };
            prop_assert_eq!(many, pattern);
        }
    }
}
