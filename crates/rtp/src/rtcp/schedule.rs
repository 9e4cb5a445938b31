//! When to report.

use std::time::{Duration, Instant};

/// When to send the next report (RFC 3550 §6.2, §6.3, A.7), for the two ends of a call.
///
/// A timer with reconsideration: ask [`Schedule::deadline`], call [`Schedule::handle_timeout`]
/// then; where that says true, build and send a report and tell it by [`Schedule::on_sent`].
#[derive(Debug, Clone)]
pub struct Schedule {
    /// RTCP's share of the session, in bytes a second: 5 % (RFC 3550 §6.2).
    rtcp_bytes_per_second: f64,
    average_size: f64,
    initial: bool,
    previous: Instant,
    next: Instant,
    random: u64,
}

/// The two ends of a call.
const MEMBERS: f64 = 2.0;
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

    /// RFC 3550 §6.3.1 and A.7. Where a member sends it is half of all, and more than a quarter shares with those who only
    /// hear.
    fn interval(&mut self) -> Duration {
        let minimum = if self.initial {
            MINIMUM_INTERVAL_S / 2.0
        } else {
            MINIMUM_INTERVAL_S
        };
        let mean = (MEMBERS * self.average_size / self.rtcp_bytes_per_second).max(minimum);
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
