//! How much one source may ask of us.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Messages a second that one source may send for long.
const RATE: f64 = 2_000.0;
/// Messages that one source may send at once.
const BURST: f64 = 4_000.0;
/// Sources remembered at a time; when there are more, those that rest are forgotten first.
const SOURCES: usize = 4_096;

/// A token bucket for each source address.
#[derive(Debug, Default)]
pub(crate) struct SourceLimiter {
    buckets: HashMap<IpAddr, Bucket>,
    /// Messages refused so far.
    pub(crate) refused: u64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl SourceLimiter {
    /// Whether a message from `source` may pass.
    pub(crate) fn admit(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.buckets.len() >= SOURCES && !self.buckets.contains_key(&source) {
            self.forget_rested(now);
        }
        let bucket = self.buckets.entry(source).or_insert(Bucket {
            tokens: BURST,
            filled_at: now,
        });
        let elapsed = now
            .saturating_duration_since(bucket.filled_at)
            .as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * RATE).min(BURST);
        bucket.filled_at = now;
        if bucket.tokens < 1.0 {
            self.refused += 1;
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Forgets the sources whose buckets are full again; if none are, all of them: a flood from
    /// thousands of addresses is no reason to remember any.
    fn forget_rested(&mut self, now: Instant) {
        let rest = Duration::from_secs_f64(BURST / RATE);
        self.buckets
            .retain(|_, bucket| now.saturating_duration_since(bucket.filled_at) < rest);
        if self.buckets.len() >= SOURCES {
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_flood_is_cut_to_the_rate_and_others_do_not_notice() {
        let start = Instant::now();
        let flood = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let quiet = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
        let mut limiter = SourceLimiter::default();
        let passed = (0..100_000)
            .filter(|i| limiter.admit(flood, start + Duration::from_micros(i * 10)))
            .count();
        assert!(
            (5_900..=6_100).contains(&passed),
            "burst and one second's rate, got {passed}"
        );
        assert!(limiter.admit(quiet, start + Duration::from_secs(1)));
        assert_eq!(limiter.refused, 100_000 - passed as u64);
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let mut limiter = SourceLimiter::default();
        for i in 0..100_000_u32 {
            limiter.admit(IpAddr::V4(Ipv4Addr::from(i)), start);
        }
        assert!(limiter.buckets.len() <= SOURCES);
    }
}
