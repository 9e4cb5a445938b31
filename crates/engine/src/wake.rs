//! One wake-up for a protocol object, re-armed as its deadline moves.

use std::time::Instant;

use ractor::{ActorRef, Message};
use tokio::task::AbortHandle;

/// The time as the protocol objects see it. Follows tokio's clock, so tests can stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// At most one pending wake-up.
///
/// A wake-up that is already in the mailbox when the deadline moves carries an old generation and
/// is passed over by [`Wake::is_current`].
#[derive(Default)]
pub(crate) struct Wake {
    generation: u64,
    armed: Option<(Instant, AbortHandle)>,
}

impl Wake {
    /// Sees to it that `message(generation)` is cast to `actor` at `deadline`, and nothing else is.
    pub(crate) fn arm<M: Message>(
        &mut self,
        deadline: Option<Instant>,
        actor: &ActorRef<M>,
        message: impl FnOnce(u64) -> M + Send + 'static,
    ) {
        if self.armed.as_ref().map(|(at, _)| *at) == deadline {
            return;
        }
        self.disarm();
        let Some(at) = deadline else { return };
        let generation = self.generation;
        let actor = actor.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            // An actor that has ended meanwhile needs no waking.
            let _ = actor.cast(message(generation));
        });
        self.armed = Some((at, task.abort_handle()));
    }

    /// Whether a wake-up that has come is the one that was armed last; if so it is used up.
    pub(crate) fn is_current(&mut self, generation: u64) -> bool {
        let current = generation == self.generation && self.armed.is_some();
        if current {
            self.disarm();
        }
        current
    }

    fn disarm(&mut self) {
        self.generation += 1;
        if let Some((_, task)) = self.armed.take() {
            task.abort();
        }
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.disarm();
    }
}
