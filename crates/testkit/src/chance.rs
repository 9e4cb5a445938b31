use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::time::Duration;

/// Seeded luck for tests: the same seed draws the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha12Rng);

impl Chance {
    /// Starts the sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// True in `per_mille` of 1000 draws; 0 is never, 1000 and more is always.
    pub fn hits(&mut self, per_mille: u32) -> bool {
        // A draw is taken in every case, so that switching a fault off does not shift the rest of the run.
        let draw = self.below(1000);
        draw < per_mille
    }

    /// A number from 0 to `bound - 1`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let draw = u64::from(self.0.next_u32());
        // Multiply-and-shift: the bias of 2^-32 does not matter to a test.
        u32::try_from((draw * u64::from(bound)) >> 32).unwrap_or(0)
    }

    /// A duration from zero to `most`, in whole microseconds.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u32::try_from(most.as_micros()).unwrap_or(u32::MAX);
        Duration::from_micros(u64::from(self.below(micros.saturating_add(1))))
    }

    /// 32 bytes, fit to seed another generator.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        self.0.fill_bytes(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            (0..50).map(|_| chance.below(1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn hits_is_never_at_0_and_always_at_1000() {
        let mut chance = Chance::new(1);
        assert!((0..1000).all(|_| !chance.hits(0)));
        assert!((0..1000).all(|_| chance.hits(1000)));
        let hits = (0..10_000).filter(|_| chance.hits(200)).count();
        assert!((1_800..2_200).contains(&hits), "{hits} of 10000 at 20 %");
    }

    #[test]
    fn up_to_stays_within_its_bound() {
        let mut chance = Chance::new(3);
        let most = Duration::from_millis(20);
        assert!((0..1000).all(|_| chance.up_to(most) <= most));
        assert_eq!(chance.up_to(Duration::ZERO), Duration::ZERO);
    }
}
