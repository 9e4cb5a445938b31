//! When to send a ping, and when to give up waiting for its answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sip_message::framer::StreamFramer;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often a connection is kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) every: Duration,
    /// Whether the peer has to answer from the first ping on.
    pub(crate) strict: bool,
}

/// What keepalives need both halves of a connection for.
#[derive(Default)]
pub(super) struct Pulse {
    /// A ping is to be answered.
    pub(super) reply: Notify,
    /// A ping of ours was answered.
    pong: Notify,
    /// Pings of ours without answer so far, and those that the framer knows of.
    due: AtomicU32,
    untold: AtomicU32,
}

impl Pulse {
    /// A ping is about to be sent.
    pub(super) fn expect(&self) {
        self.due.fetch_add(1, Ordering::AcqRel);
        self.untold.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn tell(&self, framer: &mut StreamFramer) {
        for _ in 0..self.untold.swap(0, Ordering::AcqRel) {
            framer.expect_pong();
        }
    }

    /// A stray line end is no answer to what was not asked.
    pub(super) fn on_pong(&self) {
        if self.due.swap(0, Ordering::AcqRel) > 0 {
            self.pong.notify_one();
        }
    }
}

/// When to send a ping, and when to give up waiting for its answer.
pub(super) struct Beat {
    pace: watch::Receiver<Option<Pace>>,
    patience: Duration,
    is_set: bool,
    /// Whether the peer has answered a ping.
    has_answered: bool,
    /// Whether the ping that is waited for was out of turn. Who was never told to answer any need not.
    is_out_of_turn: bool,
    next: Option<Instant>,
    pong_by: Option<Instant>,
}

pub(super) enum Due {
    Ping,
    Failed,
}

impl Beat {
    pub(super) fn new(mut pace: watch::Receiver<Option<Pace>>, patience: Duration) -> Self {
        pace.mark_changed();
        Self {
            pace,
            patience,
            is_set: true,
            has_answered: false,
            is_out_of_turn: false,
            next: None,
            pong_by: None,
        }
    }

    /// Whether a ping is to be sent at once, out of turn: not while one is waited for.
    pub(super) fn hurry(&mut self) -> bool {
        let is_free = self.pong_by.is_none();
        if is_free {
            self.is_out_of_turn = true;
            self.pong_by = Some(Instant::now() + self.patience);
        }
        is_free
    }

    /// Waits for what is due next. Can be dropped and asked again at any time.
    pub(super) async fn due(&mut self, pulse: &Pulse) -> Due {
        loop {
            tokio::select! {
                biased;
                () = pulse.pong.notified(), if self.pong_by.is_some() => {
                    self.has_answered = true;
                    self.pong_by = None;
                }
                () = until(self.pong_by) => {
                    let pace = *self.pace.borrow();
                    let is_strict = pace.map_or(!self.is_out_of_turn, |pace| pace.strict);
                    if is_strict || self.has_answered {
                        return Due::Failed;
                    }
                    self.pong_by = None;
                }
                changed = self.pace.changed(), if self.is_set => {
                    self.is_set = changed.is_ok();
                    let pace = *self.pace.borrow_and_update();
                    self.next = spread(pace.map(|pace| pace.every));
                }
                () = until(self.next) => {
                    let pace = *self.pace.borrow();
                    self.next = spread(pace.map(|pace| pace.every));
                    if self.pong_by.is_none() {
                        self.is_out_of_turn = false;
                        self.pong_by = Some(Instant::now() + self.patience);
                        return Due::Ping;
                    }
                }
            }
        }
    }
}

/// A time between 80 and 100 percent of the interval, so that a thousand phones do not ping at once
/// (RFC 5626 §4.4.1).
pub(crate) fn spread(every: Option<Duration>) -> Option<Instant> {
    let every = every.filter(|every| !every.is_zero())?;
    let share = getrandom::u32().unwrap_or(0) % 2_001;
    Some(Instant::now() + every * (8_000 + share) / 10_000)
}

pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
