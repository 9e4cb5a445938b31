//! The non-INVITE server transaction (RFC 3261 §17.2.2) with the restraint of RFC 4320.
//!
//! ```text
//!                request received
//!                      │
//!                      ▼       repeats absorbed
//!          ┌──────── Trying ───────────── unanswered for 64·T1 ──┐
//!          │           │ 100, the owner's or after Timer E's T2  │
//!          │           ▼       repeat: 100 again                 │
//!          │       Proceeding ─────────── unanswered for 64·T1 ──┤
//!          └────┬──────┘ 200-699, but never 408                  │
//!               ▼                                                │
//!           Completed ──┐ repeat: response again                 │
//!               │   └───┘                                        │
//!               │ J or transport error                           │
//!               ▼                                                │
//!           Terminated ◄─────────────────────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use sip_message::{Request, Response, StatusCode};

use super::{Class, ServerOutput};
use crate::path::TransportError;
use crate::stateless;
use crate::timers::{Deadlines, Timer, Timers};

/// A request other than INVITE and ACK received by us, until repeats of it are no longer to be
/// expected.
#[derive(Clone)]
pub struct ServerNonInvite {
    state: State,
    /// The 100 that the transaction sends by itself.
    trying: Vec<u8>,
    /// The last response, to be sent again.
    last: Option<Vec<u8>>,
    reliable: bool,
    timers: Timers,
    /// From here on a 100 is allowed on an unreliable transport.
    late_at: Instant,
    deadlines: Deadlines<Timer>,
    outputs: VecDeque<ServerOutput>,
    ignored: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

enum Input {
    Repeat,
    Respond(Class, Response),
    TransportError(TransportError),
    Fired(Timer),
}

impl ServerNonInvite {
    /// Takes a new request, its top Via already marked with where it came from.
    pub fn new(now: Instant, request: &Request, reliable: bool, timers: &Timers) -> Self {
        let mut transaction = Self {
            state: State::Trying,
            trying: stateless::response(request, StatusCode::TRYING, None).to_bytes(),
            last: None,
            reliable,
            timers: *timers,
            late_at: now + timers.until_t2(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            ignored: 0,
        };
        transaction.start(Timer::LateTrying, now);
        transaction.start(Timer::Unanswered, now);
        transaction
    }

    /// Takes a repeat of the request. The owner has matched it by [`super::ServerKey`].
    pub fn handle_request(&mut self, now: Instant, _request: &Request) {
        self.step(now, Input::Repeat);
    }

    /// Sends a response of the owner.
    pub fn respond(&mut self, now: Instant, response: Response) {
        let class = Class::of(response.status);
        self.step(now, Input::Respond(class, response));
    }

    /// Takes the news that a response could not be sent.
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
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
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

    /// Whether a final response was sent, or may no longer be.
    pub fn has_final(&self) -> bool {
        matches!(self.state, State::Completed | State::Terminated)
    }

    /// How many inputs did not fit the state.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    fn step(&mut self, now: Instant, input: Input) {
        use Class::{Failure, Provisional, Success};
        use State::{Completed, Proceeding, Terminated, Trying};
        self.state = match (self.state, input) {
            // RFC 3261 §17.2.2.
            (Trying, Input::Repeat) => Trying,
            (Proceeding | Completed, Input::Repeat) => {
                self.send_last();
                self.state
            }
            // RFC 4320 §4.1: only 100, and on unreliable transports only late.
            (Trying | Proceeding, Input::Respond(Provisional, response))
                if response.status == StatusCode::TRYING
                    && (self.reliable || now >= self.late_at) =>
            {
                self.send_and_keep(&response);
                self.deadlines.clear(Timer::LateTrying);
                Proceeding
            }
            // RFC 4320 §4.1: still silent when the peer repeats only each T2.
            (Trying, Input::Fired(Timer::LateTrying)) => {
                self.last = Some(self.trying.clone());
                self.send_last();
                Proceeding
            }
            // RFC 4320 §4.2: a 408 comes too late by its nature and only does harm.
            (Trying | Proceeding, Input::Respond(Failure, response))
                if response.status == StatusCode::REQUEST_TIMEOUT =>
            {
                self.terminate()
            }
            // RFC 3261 §17.2.2: J is zero on reliable transports.
            (Trying | Proceeding, Input::Respond(Success | Failure, response)) => {
                self.deadlines.clear_all();
                self.send_and_keep(&response);
                if self.reliable {
                    self.terminate()
                } else {
                    self.start(Timer::J, now);
                    Completed
                }
            }
            // RFC 4320 §4.2: nobody waits any longer.
            (Trying | Proceeding, Input::Fired(Timer::Unanswered)) => {
                self.outputs.push_back(ServerOutput::TimedOut);
                self.terminate()
            }
            // RFC 3261 §17.2.4.
            (Trying | Proceeding | Completed, Input::TransportError(error)) => {
                self.outputs.push_back(ServerOutput::TransportFailed(error));
                self.terminate()
            }
            (Completed, Input::Fired(Timer::J)) => self.terminate(),
            // Not legal, or too late to matter: another 1xx than 100 or a 100 too early, a second
            // final response, anything after the end.
            (
                state @ (Trying | Proceeding | Completed | Terminated),
                Input::Repeat | Input::Respond(..) | Input::TransportError(_) | Input::Fired(_),
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

    fn send_and_keep(&mut self, response: &Response) {
        self.last = Some(response.to_bytes());
        self.send_last();
    }

    fn send_last(&mut self) {
        if let Some(last) = &self.last {
            self.outputs.push_back(ServerOutput::Send(last.clone()));
        }
    }

    fn terminate(&mut self) -> State {
        self.deadlines.clear_all();
        self.outputs.push_back(ServerOutput::Terminated);
        State::Terminated
    }
}
