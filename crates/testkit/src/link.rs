use crate::Chance;
use std::time::Duration;

/// How packets fare on their way. Probabilities are in per mille.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Packets that never arrive.
    pub loss: u32,
    /// Packets that arrive twice; the second copy draws its own delay.
    pub duplicate: u32,
    /// Packets that are held back by [`Link::reorder_by`], so that later ones overtake them.
    pub reorder: u32,
    /// How long a reordered packet is held back.
    pub reorder_by: Duration,
    /// One-way delay of every packet.
    pub delay: Duration,
    /// Random addition to the delay, from zero to this. Packets may overtake each other by it.
    pub jitter: Duration,
}

impl Link {
    /// Delivers everything once, in order, after a millisecond.
    pub const PERFECT: Self = Self {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        reorder_by: Duration::from_millis(200),
        delay: Duration::from_millis(1),
        jitter: Duration::ZERO,
    };

    /// A bad mobile connection: 20 % loss, 10 % twice, 10 % late, 40 to 80 ms.
    pub const BAD: Self = Self {
        loss: 200,
        duplicate: 100,
        reorder: 100,
        reorder_by: Duration::from_millis(700),
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(40),
    };

    /// The delays of the copies of one packet that arrive: none when it is lost.
    pub(crate) fn draw(&self, chance: &mut Chance) -> Vec<Duration> {
        let lost = chance.hits(self.loss);
        let twice = chance.hits(self.duplicate);
        let first = self.draw_delay(chance);
        let second = self.draw_delay(chance);
        match (lost, twice) {
            (true, _) => Vec::new(),
            (false, false) => vec![first],
            (false, true) => vec![first, second],
        }
    }

    fn draw_delay(&self, chance: &mut Chance) -> Duration {
        let jitter = chance.up_to(self.jitter);
        let held = if chance.hits(self.reorder) {
            self.reorder_by
        } else {
            Duration::ZERO
        };
        self.delay + jitter + held
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::PERFECT
    }
}
