//! Answers given at once, kept for the repeats of their requests: what is left of the non-INVITE
//! server transaction (RFC 3261 §17.2.2) for an owner that never thinks twice.

use std::time::Instant;

use sip_message::{Request, Response};

use crate::path::{Destination, Inbound, Transmit};
use crate::timers::{Timer, Timers};
use crate::transaction::ServerKey;

/// The latest answers on unreliable transports, for Timer J each. Bounded: past the limit the
/// oldest goes, and a repeat of its request is then judged anew.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    key: ServerKey,
    transmit: Transmit,
    until: Instant,
}

impl Answers {
    /// Answers kept at most.
    pub(crate) const LIMIT: usize = 16;

    /// The answer that a repeat gets again; `None` for a new request.
    pub(crate) fn repeated(&self, request: &Request) -> Option<Transmit> {
        let key = ServerKey::of(request)?;
        let kept = self.kept.iter().find(|kept| kept.key == key)?;
        Some(kept.transmit.clone())
    }

    /// Makes the answer ready to send, and keeps it where repeats may come.
    pub(crate) fn give(
        &mut self,
        now: Instant,
        request: &Request,
        inbound: &Inbound,
        response: &Response,
        timers: &Timers,
    ) -> Transmit {
        let destination = inbound.destination();
        let transmit = answer(request, destination, response);
        let reliable = destination.transport().is_reliable();
        if let (false, Some(key), Some(length)) = (
            reliable,
            ServerKey::of(request),
            Timer::J.length(timers, reliable),
        ) {
            if self.kept.len() >= Self::LIMIT {
                self.kept.remove(0);
            }
            self.kept.push(Kept {
                key,
                transmit: transmit.clone(),
                until: now + length,
            });
        }
        transmit
    }

    /// Forgets what nobody repeats any more.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.kept.retain(|kept| kept.until > now);
    }

    /// When something can be forgotten.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.kept.iter().map(|kept| kept.until).min()
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// An answer on its way back, with nothing kept of it.
pub(crate) fn answer(request: &Request, destination: Destination, response: &Response) -> Transmit {
    let what = format!(
        "{} {} to {}",
        response.status.code(),
        response.reason,
        request.method
    );
    Transmit::new(destination, response.to_bytes(), what)
}
