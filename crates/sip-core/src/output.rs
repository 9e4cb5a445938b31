//! What comes out of a protocol object.

use std::collections::VecDeque;
use std::time::Instant;

use sip_message::Uri;

use crate::path::{ResolveId, Transmit, Transport};

/// One thing that a protocol object wants done. Drained until [`Output::Deadline`].
#[derive(Clone, Debug)]
pub enum Output<E> {
    /// Send this.
    Transmit(Transmit),
    /// Find the paths to this next hop and answer with `handle_resolved`.
    Resolve {
        /// Names the answer.
        id: ResolveId,
        /// The next hop: outbound proxy, first route or request URI (RFC 3261 §8.1.2).
        uri: Box<Uri>,
        /// The transport of the account, as [`NextHop::new`](crate::locate::NextHop::new) takes it; without any RFC 3263
        /// alone decides.
        transport: Option<Transport>,
        /// Which of several flows the path is for, as in [`Transmit::lane`].
        lane: Option<u32>,
    },
    /// Something the owner should know.
    Event(E),
    /// Everything is out. Call `handle_timeout` at this instant, or never if there is none.
    Deadline(Option<Instant>),
}

impl<E> Output<E> {
    /// The same with another kind of event.
    pub fn map<F>(self, map: impl FnOnce(E) -> F) -> Output<F> {
        match self {
            Self::Transmit(transmit) => Output::Transmit(transmit),
            Self::Resolve {
                id,
                uri,
                transport,
                lane,
            } => Output::Resolve {
                id,
                uri,
                transport,
                lane,
            },
            Self::Event(event) => Output::Event(map(event)),
            Self::Deadline(deadline) => Output::Deadline(deadline),
        }
    }
}

/// The outputs that wait to be polled, with the check that they are. Every top-level object
/// holds one.
#[derive(Clone, Debug)]
pub struct Outbox<E> {
    queue: VecDeque<Output<E>>,
    /// Whether the last poll answered with the deadline.
    drained: bool,
}

impl<E> Default for Outbox<E> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            drained: true,
        }
    }
}

impl<E> Outbox<E> {
    /// To be called first by each input.
    ///
    /// # Panics
    ///
    /// In debug builds, when outputs of the input before were left undrained.
    pub fn begin_input(&mut self) {
        debug_assert!(
            self.drained,
            "an input came before the outputs were drained to the deadline"
        );
        self.drained = false;
    }

    /// Queues something to send.
    pub fn transmit(&mut self, transmit: Transmit) {
        self.queue.push_back(Output::Transmit(transmit));
    }

    /// Queues a question for paths.
    pub fn resolve(&mut self, id: ResolveId, uri: Uri, transport: Option<Transport>) {
        self.queue.push_back(Output::Resolve {
            id,
            uri: Box::new(uri),
            transport,
            lane: None,
        });
    }

    /// Queues an event.
    pub fn event(&mut self, event: E) {
        self.queue.push_back(Output::Event(event));
    }

    /// The next output; the deadline once nothing else waits.
    pub fn poll(&mut self, deadline: Option<Instant>) -> Output<E> {
        match self.queue.pop_front() {
            Some(output) => output,
            None => {
                self.drained = true;
                Output::Deadline(deadline)
            }
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Outbox, Output};

    #[test]
    fn outputs_come_in_order_and_then_the_deadline() {
        let mut outbox = Outbox::default();
        outbox.begin_input();
        outbox.event(1);
        outbox.event(2);
        assert!(matches!(outbox.poll(None), Output::Event(1)));
        assert!(matches!(outbox.poll(None), Output::Event(2)));
        assert!(matches!(outbox.poll(None), Output::Deadline(None)));
        outbox.begin_input();
    }

    #[test]
    #[should_panic(expected = "drained to the deadline")]
    fn an_input_before_the_deadline_was_polled_is_a_mistake() {
        let mut outbox = Outbox::default();
        outbox.begin_input();
        outbox.event(1);
        let _ = outbox.poll(None);
        outbox.begin_input();
    }
}
