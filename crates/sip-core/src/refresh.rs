//! Keeping alive what a server granted for a time: registrations (RFC 3261 §10.2.4),
//! subscriptions (RFC 6665 §4.1.2.2) and publications (RFC 3903 §4.3).
//!
//! ```text
//!            granted                    due
//!   asked ───────────► standing ──────────────► asked again
//!     │  ▲                │ not renewed in time
//!     │  └── waiting ◄────┴──► lapsed
//!     └──────► ▲ trouble: back-off with spread, Retry-After
//! ```
//!
//! A [`Refresher`] knows when; its owner knows what to send. Which answers are worth another try
//! is decided in [`is_for_good`].

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use sip_message::{HeaderName, Response, StatusCode};

use crate::timers::Deadlines;
use crate::tokens::Tokens;

/// How long to wait after failures: from a half to the whole of `first`, doubled with each further
/// failure up to `longest`. The spread keeps phones apart that lost their server together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The upper bound of the first wait.
    pub first: Duration,
    /// The upper bound of all waits that no server asked for.
    pub longest: Duration,
}

impl Default for Backoff {
    /// 5 s, and up to 10 min: a person is waiting.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(600),
        }
    }
}

impl Backoff {
    /// RFC 5626 §4.5 with its default values, for a client none of whose flows work: 30 s
    /// (base-time-all-fail) and up to 30 min (max-time).
    pub const ALL_FLOWS_FAILED: Self = Self {
        first: Duration::from_secs(60),
        longest: Duration::from_secs(1800),
    };
    /// RFC 5626 §4.5, while another flow works: 90 s (base-time-not-failed) and up to 30 min.
    pub const ANOTHER_FLOW_WORKS: Self = Self {
        first: Duration::from_secs(180),
        longest: Duration::from_secs(1800),
    };

    /// The upper bound of the wait after so many failures before this one.
    pub fn most(&self, failures_before: u32) -> Duration {
        self.first
            .saturating_mul(1 << failures_before.min(16))
            .min(self.longest)
    }

    /// The wait after so many failures before this one. The formula of RFC 5626 §4.5: an upper
    /// bound of base-time · 2^failures, and a wait of 50 to 100 percent of it.
    pub fn wait(&self, failures_before: u32, tokens: &mut Tokens) -> Duration {
        self.most(failures_before)
            .mul_f64(0.5 + 0.5 * tokens.fraction())
    }
}

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Due {
    /// Renew it: the granted time is nearly over.
    Refresh,
    /// Try again: the wait after a failure is over.
    Retry,
    /// The server has forgotten it.
    Expiry,
}

/// When to renew one thing that a server grants for a time.
#[derive(Clone, Debug)]
pub struct Refresher {
    /// The time to ask for: the configured one until a 423 raises it.
    asked: Duration,
    /// Whether a Min-Expires was followed in the present operation already (RFC 3261 §10.2.8:
    /// once is enough).
    raised: bool,
    /// Failures in a row.
    failures: u32,
    backoff: Backoff,
    deadlines: Deadlines<Due>,
}

/// A Retry-After beyond this is cut: the account would look dead.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// A Min-Expires beyond this is not followed.
const LONGEST_MIN_EXPIRES: Duration = Duration::from_secs(7 * 24 * 3600);
/// Whatever is granted, it is renewed within this time: a server that lost its memory in a restart
/// learns of us again, and a grant of thirty years is not believed for thirty years.
const LONGEST_UNREFRESHED: Duration = Duration::from_secs(24 * 3600);
/// Whatever is granted, renewals are not closer together than this.
const SHORTEST_REFRESH: Duration = Duration::from_millis(500);

impl Refresher {
    /// Asks for this time, and waits so after failures.
    pub fn new(asked: Duration, backoff: Backoff) -> Self {
        Self {
            asked,
            raised: false,
            failures: 0,
            backoff,
            deadlines: Deadlines::default(),
        }
    }

    /// An operation begins: neither refresh nor retry is due while it runs.
    pub fn begin(&mut self) {
        self.raised = false;
        self.deadlines.clear(Due::Refresh);
        self.deadlines.clear(Due::Retry);
    }

    /// The server granted this time from now. Answers in how long it is renewed: after four fifths
    /// to nine tenths, early enough for a lost request to be repeated, and spread so that what
    /// began together does not stay together.
    pub fn granted(&mut self, now: Instant, granted: Duration, tokens: &mut Tokens) -> Duration {
        self.failures = 0;
        self.raised = false;
        let refresh_in = granted
            .min(LONGEST_UNREFRESHED)
            .mul_f64(0.8 + 0.1 * tokens.fraction())
            .max(SHORTEST_REFRESH);
        self.deadlines.clear(Due::Retry);
        self.deadlines.set(Due::Refresh, now + refresh_in);
        match now.checked_add(granted) {
            Some(end) => self.deadlines.set(Due::Expiry, end),
            None => self.deadlines.clear(Due::Expiry),
        }
        refresh_in
    }

    /// It stands for this long and is not renewed: its owner wants its end.
    pub fn granted_last(&mut self, now: Instant, granted: Duration) {
        self.begin();
        if let Some(end) = now.checked_add(granted) {
            self.deadlines.set(Due::Expiry, end);
        }
    }

    /// The time is too short for the server: takes Min-Expires of its 423 as the time to ask for
    /// (RFC 3261 §10.2.8, RFC 6665 §4.1.2.1, RFC 3903 §4.2). False when that makes no sense: none
    /// is named, it is no longer than what we asked for or absurdly long, or we did so already.
    pub fn raise(&mut self, response: &Response) -> bool {
        let minimum = seconds(response, HeaderName::MinExpires);
        match minimum {
            Some(minimum)
                if !self.raised && minimum > self.asked && minimum <= LONGEST_MIN_EXPIRES =>
            {
                self.asked = minimum;
                self.raised = true;
                true
            }
            _ => false,
        }
    }

    /// The operation that begins follows a Min-Expires, and does so only once.
    pub(crate) fn hold_raised(&mut self) {
        self.raised = true;
    }

    /// It did not work. Answers in how long the next try is due: the back-off, and not sooner than
    /// the server asked (RFC 3261 §20.33).
    pub fn failed(
        &mut self,
        now: Instant,
        retry_after: Option<Duration>,
        tokens: &mut Tokens,
    ) -> Duration {
        let backoff = self.backoff.wait(self.failures, tokens);
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.map(|asked| {
            let asked = asked.min(LONGEST_RETRY_AFTER);
            // A little spread, for we are not alone.
            asked + asked.mul_f64(0.1 * tokens.fraction())
        });
        let retry_in = asked.map_or(backoff, |asked| asked.max(backoff));
        self.deadlines.set(Due::Retry, now + retry_in);
        retry_in
    }

    /// Forgets earlier failures, e.g. because a person asks for another try.
    pub fn forgive(&mut self) {
        self.failures = 0;
    }

    /// Counts as so many failures.
    pub fn set_failures(&mut self, failures: u32) {
        self.failures = failures;
    }

    /// Waits so after failures from now on.
    pub fn set_backoff(&mut self, backoff: Backoff) {
        self.backoff = backoff;
    }

    /// The server holds nothing any more; a retry stays due.
    pub fn lapse(&mut self) {
        self.deadlines.clear(Due::Refresh);
        self.deadlines.clear(Due::Expiry);
    }

    /// Nothing is due any more.
    pub fn stop(&mut self) {
        self.raised = false;
        self.deadlines.clear_all();
    }

    /// The time to ask for.
    pub fn asked(&self) -> Duration {
        self.asked
    }

    /// Until when the server keeps it.
    pub fn expires_at(&self) -> Option<Instant> {
        self.deadlines.at(Due::Expiry)
    }

    /// Takes what is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<Due> {
        self.deadlines.pop_due(now).map(|(due, _)| due)
    }

    /// When something is due next.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}

/// Whether the answer would be the same next time. What may pass by itself: timeouts, overload,
/// a proxy that lost its flow (430), 480, 494, and the 5xx that speak of the present.
pub fn is_for_good(status: StatusCode) -> bool {
    match status.code() {
        408 | 413 | 425 | 429 | 430 | 480 | 482 | 483 | 486 | 487 | 491 | 494 => false,
        501 | 505 | 513 | 555 => true,
        500..=599 => false,
        _ => true,
    }
}

/// A header of whole seconds; parameters and comments behind the number (Retry-After) are cut.
pub(crate) fn seconds(response: &Response, name: HeaderName) -> Option<Duration> {
    let value = response.headers.get(name)?.trim();
    let end = value
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(value.len());
    let number: u32 = value.get(..end)?.parse().ok()?;
    Some(Duration::from_secs(u64::from(number)))
}

/// Retry-After (RFC 3261 §20.33): the time from the answer on.
pub fn retry_after(response: &Response) -> Option<Duration> {
    seconds(response, HeaderName::RetryAfter)
}
