//! The INVITE server transaction (RFC 3261 §17.2.1 as changed by RFC 6026 §7.1).
//!
//! ```text
//!                    INVITE received
//!                          │          200 ms without a word: 100
//!                          ▼          repeat: last 1xx again
//!            ┌──────── Proceeding ────┐ 1xx: send
//!            │             │     └────┘
//!        2xx │             │ 300-699: send
//!            ▼             ▼
//!        Accepted ──┐   Completed ────┐ G or repeat: send again
//!            │  └───┘      │  │  └────┘
//!            │ repeats     │  └── H or transport error: tell ──┐
//!            │ absorbed,   │ ACK                               │
//!            │ 2xx sent    ▼                                   │
//!            │         Confirmed ───┐ ACKs absorbed            │
//!            │             │   └────┘                          │
//!            │ L           │ I                                 │
//!            └──────► Terminated ◄─────────────────────────────┘
//! ```
//!
//! The 2xx is repeated by its owner until the ACK comes (RFC 3261 §13.3.1.4): each time it is
//! handed to [`ServerInvite::respond`] again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sip_message::{Method, Request, Response, StatusCode};

use super::{Class, ServerOutput};
use crate::path::TransportError;
use crate::stateless;
use crate::timers::{Deadlines, Timer, Timers};

/// An INVITE received by us, until the ACK to its refusal or 64·T1 after its acceptance.
#[derive(Clone)]
pub struct ServerInvite {
    state: State,
    /// The 100 that the transaction sends by itself.
    trying: Vec<u8>,
    /// The last provisional or the refusal, to be sent again.
    last: Option<Vec<u8>>,
    reliable: bool,
    timers: Timers,
    /// The present length of Timer G.
    interval: Duration,
    deadlines: Deadlines<Timer>,
    outputs: VecDeque<ServerOutput>,
    ignored: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

enum Input<'a> {
    Invite,
    Ack(&'a Request),
    Respond(Class, Response),
    TransportError(TransportError),
    Fired(Timer),
}

impl ServerInvite {
    /// Takes a new INVITE, its top Via already marked with where it came from.
    pub fn new(now: Instant, request: &Request, reliable: bool, timers: &Timers) -> Self {
        let mut deadlines = Deadlines::default();
        // RFC 3261 §17.2.1: 100 unless the owner speaks within 200 ms.
        if let Some(length) = Timer::Trying.length(timers, reliable) {
            deadlines.set(Timer::Trying, now + length);
        }
        Self {
            state: State::Proceeding,
            trying: stateless::response(request, StatusCode::TRYING, None).to_bytes(),
            last: None,
            reliable,
            timers: *timers,
            interval: timers.first_repeat(),
            deadlines,
            outputs: VecDeque::new(),
            ignored: 0,
        }
    }

    /// Takes a repeat of the INVITE, or an ACK with its branch. The owner has matched it by
    /// [`super::ServerKey`].
    pub fn handle_request(&mut self, now: Instant, request: &Request) {
        let input = match request.method {
            Method::Ack => Input::Ack(request),
            _ => Input::Invite,
        };
        self.step(now, input);
    }

    /// Sends a response of the owner. A 2xx may be handed in again and again.
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

    /// Whether a refusal went out that nobody has acknowledged: it is repeated (Timer G, RFC 3261 §17.2.1).
    pub fn awaits_ack(&self) -> bool {
        self.state == State::Completed
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Whether a final response was sent.
    pub fn has_final(&self) -> bool {
        self.state != State::Proceeding
    }

    /// How many inputs did not fit the state.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    fn step(&mut self, now: Instant, input: Input<'_>) {
        use Class::{Failure, Provisional, Success};
        use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        self.state = match (self.state, input) {
            // RFC 3261 §17.2.1: the owner is slow, or has not spoken when the repeat comes.
            (Proceeding, Input::Fired(Timer::Trying)) => {
                self.send_trying();
                Proceeding
            }
            (Proceeding, Input::Invite) => {
                match self.last.clone() {
                    Some(last) => self.outputs.push_back(ServerOutput::Send(last)),
                    None => self.send_trying(),
                }
                Proceeding
            }
            (Proceeding, Input::Respond(Provisional, response)) => {
                self.deadlines.clear(Timer::Trying);
                self.send_and_keep(&response);
                Proceeding
            }
            // RFC 6026 §7.1.
            (Proceeding, Input::Respond(Success, response)) => {
                self.deadlines.clear_all();
                self.last = None;
                self.outputs
                    .push_back(ServerOutput::Send(response.to_bytes()));
                self.start(Timer::L, now);
                Accepted
            }
            // RFC 3261 §17.2.1.
            (Proceeding, Input::Respond(Failure, response)) => {
                self.deadlines.clear_all();
                self.send_and_keep(&response);
                self.start(Timer::G, now);
                self.start(Timer::H, now);
                Completed
            }
            // RFC 3261 §17.2.4: the owner decides what a lost 1xx means; the INVITE stands.
            (Proceeding, Input::TransportError(error)) => {
                self.outputs.push_back(ServerOutput::TransportFailed(error));
                Proceeding
            }
            // RFC 6026 §7.1: repeats of the INVITE are absorbed, 2xx go out, ACKs go to the owner.
            (Accepted, Input::Invite) => Accepted,
            (Accepted, Input::Respond(Success, response)) => {
                self.outputs
                    .push_back(ServerOutput::Send(response.to_bytes()));
                Accepted
            }
            (Accepted, Input::Ack(ack)) => {
                self.outputs.push_back(ServerOutput::Ack(ack.clone()));
                Accepted
            }
            (Accepted, Input::TransportError(error)) => {
                self.outputs.push_back(ServerOutput::TransportFailed(error));
                Accepted
            }
            (Accepted, Input::Fired(Timer::L)) => self.terminate(),
            // RFC 3261 §17.2.1: the refusal again, on a repeat or by Timer G, MIN(2·G, T2).
            (Completed, Input::Invite) => {
                self.send_last();
                Completed
            }
            (Completed, Input::Fired(Timer::G)) => {
                self.send_last();
                self.interval = self.timers.doubled(self.interval);
                self.deadlines.set(Timer::G, now + self.interval);
                Completed
            }
            (Completed, Input::Fired(Timer::H)) => {
                self.outputs.push_back(ServerOutput::TimedOut);
                self.terminate()
            }
            (Completed, Input::TransportError(error)) => {
                self.outputs.push_back(ServerOutput::TransportFailed(error));
                self.terminate()
            }
            // RFC 3261 §17.2.1: I is zero on reliable transports.
            (Completed, Input::Ack(_)) => {
                self.deadlines.clear_all();
                if self.reliable {
                    self.terminate()
                } else {
                    self.start(Timer::I, now);
                    Confirmed
                }
            }
            (Confirmed, Input::Ack(_) | Input::Invite) => Confirmed,
            (Confirmed, Input::Fired(Timer::I)) => self.terminate(),
            // Not legal, or too late to matter: a second final response, a 1xx after it, an ACK
            // to nothing, anything after the end.
            (
                state @ (Proceeding | Accepted | Completed | Confirmed | Terminated),
                Input::Invite
                | Input::Ack(_)
                | Input::Respond(..)
                | Input::TransportError(_)
                | Input::Fired(_),
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

    fn send_trying(&mut self) {
        self.deadlines.clear(Timer::Trying);
        self.last = Some(self.trying.clone());
        self.send_last();
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
