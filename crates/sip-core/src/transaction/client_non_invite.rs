//! The non-INVITE client transaction (RFC 3261 §17.1.2).
//!
//! ```text
//!                   request sent
//!                        │            E: repeat, T1 doubling to T2
//!                        ▼           ┌─────┐
//!          ┌────────── Trying ───────┴─────┘── F or transport error ──┐
//!          │             │ 1xx: deliver                               │
//!          │             ▼            E: repeat each T2               │
//!          │         Proceeding ─────┬─────┐── F or transport error ──┤
//!          │             │           └─────┘                          │
//!          └─────┬───────┘ 200-699: deliver                           │
//!                ▼                                                    │
//!            Completed ──┐ responses absorbed                         │
//!                │   └───┘                                            │
//!                │ K                                                  │
//!                ▼                                                    │
//!            Terminated ◄─────────────────────────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sip_message::{Method, Request, Response};

use super::{Class, ClientOutput, response_matches};
use crate::path::TransportError;
use crate::timers::{Deadlines, Timer, Timers};

/// A request other than INVITE and ACK sent by us, until its final response.
#[derive(Clone)]
pub struct ClientNonInvite {
    state: State,
    method: Method,
    branch: String,
    bytes: Vec<u8>,
    reliable: bool,
    timers: Timers,
    /// The present length of Timer E.
    interval: Duration,
    deadlines: Deadlines<Timer>,
    outputs: VecDeque<ClientOutput>,
    ignored: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

enum Input<'a> {
    Response(Class, &'a Response),
    TransportError(TransportError),
    Fired(Timer),
}

impl ClientNonInvite {
    /// Sends a request. `branch` is that of its top Via; `reliable` tells whether the transport
    /// repeats by itself.
    pub fn new(
        now: Instant,
        request: &Request,
        branch: &str,
        reliable: bool,
        timers: &Timers,
    ) -> Self {
        let bytes = request.to_bytes();
        let mut transaction = Self {
            state: State::Trying,
            method: request.method.clone(),
            branch: branch.to_owned(),
            reliable,
            timers: *timers,
            interval: timers.first_repeat(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::from([ClientOutput::Send(bytes.clone())]),
            bytes,
            ignored: 0,
        };
        // RFC 3261 §17.1.2.2: E only where the transport does not repeat, F always.
        transaction.start(Timer::E, now);
        transaction.start(Timer::F, now);
        transaction
    }

    /// Takes a response. Answers whether it belongs to this transaction.
    pub fn handle_response(&mut self, now: Instant, response: &Response) -> bool {
        if !response_matches(response, &self.branch, &self.method) {
            self.ignored = self.ignored.saturating_add(1);
            return false;
        }
        let input = Input::Response(Class::of(response.status), response);
        self.step(now, input);
        true
    }

    /// Takes the news that the request could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, error: TransportError) {
        self.step(now, Input::TransportError(error));
    }

    /// Lets due timers fire. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((timer, _)) = self.deadlines.pop_due(now) {
            self.step(now, Input::Fired(timer));
        }
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Whether a final response came, or will never come.
    pub fn has_final(&self) -> bool {
        matches!(self.state, State::Completed | State::Terminated)
    }

    /// The branch of the request's Via.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The method of the request.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// How many inputs did not fit: foreign responses and those not legal in the state.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    fn step(&mut self, now: Instant, input: Input<'_>) {
        use Class::{Failure, Provisional, Success};
        use State::{Completed, Proceeding, Terminated, Trying};
        self.state = match (self.state, input) {
            // RFC 3261 §17.1.2.2: MIN(2·E, T2) while nothing came, T2 after a 1xx.
            (state @ (Trying | Proceeding), Input::Fired(Timer::E)) => {
                self.outputs
                    .push_back(ClientOutput::Send(self.bytes.clone()));
                self.interval = if state == Trying {
                    self.timers.doubled(self.interval)
                } else {
                    self.timers.t2
                };
                self.deadlines.set(Timer::E, now + self.interval);
                state
            }
            // RFC 3261 §17.1.2.2: no final answer.
            (Trying | Proceeding, Input::Fired(Timer::F)) => {
                self.outputs.push_back(ClientOutput::TimedOut);
                self.terminate()
            }
            // RFC 3261 §17.1.4.
            (Trying | Proceeding, Input::TransportError(error)) => {
                self.outputs.push_back(ClientOutput::TransportFailed(error));
                self.terminate()
            }
            // RFC 3261 §17.1.2.2.
            (Trying | Proceeding, Input::Response(Provisional, response)) => {
                self.deliver(response);
                Proceeding
            }
            // RFC 3261 §17.1.2.2: K is zero on reliable transports.
            (Trying | Proceeding, Input::Response(Success | Failure, response)) => {
                self.deadlines.clear_all();
                self.deliver(response);
                if self.reliable {
                    self.terminate()
                } else {
                    self.start(Timer::K, now);
                    Completed
                }
            }
            // RFC 3261 §17.1.2.2: repeats are absorbed.
            (Completed, Input::Response(..)) => Completed,
            (Completed, Input::Fired(Timer::K)) => self.terminate(),
            // Not legal, or too late to matter: an error after the final answer, anything after
            // the end.
            (
                state @ (Trying | Proceeding | Completed | Terminated),
                Input::Response(..) | Input::TransportError(_) | Input::Fired(_),
            ) => {
                self.ignored = self.ignored.saturating_add(1);
                state
            }
        };
    }

    fn start(&mut self, timer: Timer, now: Instant) {
        if let Some(length) = timer.length(&self.timers, self.reliable) {
            self.deadlines.set(timer, now + length);
        }
    }

    fn deliver(&mut self, response: &Response) {
        self.outputs
            .push_back(ClientOutput::Deliver(response.clone()));
    }

    fn terminate(&mut self) -> State {
        self.deadlines.clear_all();
        self.outputs.push_back(ClientOutput::Terminated);
        State::Terminated
    }
}
