//! The INVITE client transaction (RFC 3261 §17.1.1 as changed by RFC 6026 §7.2).
//!
//! ```text
//!                     INVITE sent
//!                          │           A: repeat
//!                          ▼          ┌─────┐
//!            ┌───────── Calling ──────┴─────┘──── B or transport error ──┐
//!            │             │ 1xx                                         │
//!            │             ▼                                             │
//!            ├──────── Proceeding ──┐ 1xx: deliver                       │
//!            │             │   └────┘                                    │
//!        2xx │             │ 300-699: ACK, deliver                       │
//!            │             ▼                                             │
//!            │         Completed ───┐ 300-699: ACK again                 │
//!            │             │   └────┘                                    │
//!            ▼             │ D or transport error                        │
//!        Accepted ──┐ 2xx: │ deliver                                     │
//!            │  └───┘      │                                             │
//!            │ M           ▼                                             ▼
//!            └──────► Terminated ◄───────────────────────────────────────┘
//! ```
//!
//! The ACK to a 2xx is not made here: it belongs to the dialog (RFC 3261 §13.2.2.4).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sip_message::{HeaderName, Method, Request, Response};

use super::{Class, ClientOutput, response_matches};
use crate::path::TransportError;
use crate::timers::{Deadlines, Timer, Timers};

/// An INVITE sent by us, until its last 2xx or the ACK to its refusal.
#[derive(Clone)]
pub struct ClientInvite {
    state: State,
    request: Request,
    branch: String,
    bytes: Vec<u8>,
    /// The ACK to a non-2xx, once made.
    ack: Vec<u8>,
    reliable: bool,
    timers: Timers,
    /// The present length of Timer A.
    interval: Duration,
    deadlines: Deadlines<Timer>,
    outputs: VecDeque<ClientOutput>,
    ignored: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

enum Input<'a> {
    Response(Class, &'a Response),
    TransportError(TransportError),
    Fired(Timer),
}

impl ClientInvite {
    /// Sends an INVITE. `branch` is that of its top Via; `reliable` tells whether the transport
    /// repeats by itself.
    pub fn new(
        now: Instant,
        request: Request,
        branch: &str,
        reliable: bool,
        timers: &Timers,
    ) -> Self {
        let bytes = request.to_bytes();
        Self::sent_as(now, request, bytes, branch, reliable, timers)
    }

    /// The same for a request that is written in these bytes.
    pub(crate) fn sent_as(
        now: Instant,
        request: Request,
        bytes: Vec<u8>,
        branch: &str,
        reliable: bool,
        timers: &Timers,
    ) -> Self {
        let mut transaction = Self {
            state: State::Calling,
            request,
            branch: branch.to_owned(),
            ack: Vec::new(),
            reliable,
            timers: *timers,
            interval: timers.first_repeat(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::from([ClientOutput::Send(bytes.clone())]),
            bytes,
            ignored: 0,
        };
        // RFC 3261 §17.1.1.2: A only where the transport does not repeat, B always.
        transaction.start(Timer::A, now);
        transaction.start(Timer::B, now);
        transaction
    }

    /// Takes a response. Answers whether it belongs to this transaction.
    pub fn handle_response(&mut self, now: Instant, response: &Response) -> bool {
        if !response_matches(response, &self.branch, &Method::Invite) {
            self.ignored = self.ignored.saturating_add(1);
            return false;
        }
        let input = Input::Response(Class::of(response.status), response);
        self.step(now, input);
        true
    }

    /// Takes the news that the request or the ACK could not be sent.
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

    /// Whether a CANCEL may be sent: a provisional response came and no final one (RFC 3261
    /// §9.1).
    pub fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Whether a final response came.
    pub fn has_final(&self) -> bool {
        matches!(
            self.state,
            State::Completed | State::Accepted | State::Terminated
        )
    }

    /// The branch of the request's Via.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The INVITE as it was sent.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The CANCEL of this INVITE (RFC 3261 §9.1): same request URI, Call-ID, To, From, CSeq
    /// number and Route, and one Via that is the top one of the INVITE byte for byte. It runs in
    /// a [`super::ClientNonInvite`] of its own with the same branch.
    pub fn cancel_request(&self) -> Request {
        hop_request(&self.request, Method::Cancel, None)
    }

    /// How many inputs did not fit: foreign responses and those not legal in the state.
    pub fn ignored(&self) -> u32 {
        self.ignored
    }

    fn step(&mut self, now: Instant, input: Input<'_>) {
        use Class::{Failure, Provisional, Success};
        use State::{Accepted, Calling, Completed, Proceeding, Terminated};
        self.state = match (self.state, input) {
            // RFC 3261 §17.1.1.2: repeat, doubling without limit until B.
            (Calling, Input::Fired(Timer::A)) => {
                self.send_request();
                self.interval = self.interval.saturating_mul(2);
                self.deadlines.set(Timer::A, now + self.interval);
                Calling
            }
            // RFC 3261 §17.1.1.2: no answer at all.
            (Calling, Input::Fired(Timer::B)) => {
                self.outputs.push_back(ClientOutput::TimedOut);
                self.terminate()
            }
            // RFC 3261 §17.1.1.2 and §17.1.4.
            (Calling | Completed, Input::TransportError(error)) => {
                self.outputs.push_back(ClientOutput::TransportFailed(error));
                self.terminate()
            }
            // RFC 6026 §7.2: the ACK to a 2xx is the owner's, the transaction goes on.
            (Accepted, Input::TransportError(error)) => {
                self.outputs.push_back(ClientOutput::TransportFailed(error));
                Accepted
            }
            // RFC 3261 §17.1.1.2: an answer stops the repeats; from here on it may ring for long.
            (Calling | Proceeding, Input::Response(Provisional, response)) => {
                self.deadlines.clear_all();
                self.deliver(response);
                Proceeding
            }
            // RFC 6026 §7.2: 2xx responses of all forks, and their repeats, go to the owner.
            (Calling | Proceeding, Input::Response(Success, response)) => {
                self.deadlines.clear_all();
                self.start(Timer::M, now);
                self.deliver(response);
                Accepted
            }
            (Accepted, Input::Response(Success, response)) => {
                self.deliver(response);
                Accepted
            }
            (Accepted, Input::Fired(Timer::M)) => self.terminate(),
            // RFC 3261 §17.1.1.2: ACK, tell the owner, stay to answer repeats.
            (Calling | Proceeding, Input::Response(Failure, response)) => {
                self.deadlines.clear_all();
                self.ack = ack_for(&self.request, response).to_bytes();
                self.send_ack();
                self.deliver(response);
                if self.reliable {
                    self.terminate()
                } else {
                    self.start(Timer::D, now);
                    Completed
                }
            }
            // RFC 3261 §17.1.1.2: the same ACK again, nothing to the owner.
            (Completed, Input::Response(Failure, _)) => {
                self.send_ack();
                Completed
            }
            (Completed, Input::Fired(Timer::D)) => self.terminate(),
            // Not legal, or too late to matter: a 1xx after the final answer, a refusal after a
            // 2xx, a 2xx after a refusal, anything after the end.
            (
                state @ (Calling | Proceeding | Completed | Accepted | Terminated),
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

    fn send_request(&mut self) {
        self.outputs
            .push_back(ClientOutput::Send(self.bytes.clone()));
    }

    fn send_ack(&mut self) {
        self.outputs.push_back(ClientOutput::Send(self.ack.clone()));
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

/// The ACK to a non-2xx (RFC 3261 §17.1.1.3): everything of the INVITE, but the To of the
/// response. Credentials are repeated as §22.1 asks.
fn ack_for(invite: &Request, response: &Response) -> Request {
    hop_request(invite, Method::Ack, response.headers.get(HeaderName::To))
}

/// A request that goes only as far as the INVITE's own hop: CANCEL or the ACK to a non-2xx.
fn hop_request(invite: &Request, method: Method, to: Option<&str>) -> Request {
    let from = &invite.headers;
    let mut request = Request::new(method.clone(), invite.uri.clone());
    let headers = &mut request.headers;
    let mut copy_first = |name: HeaderName| {
        if let Some(value) = from.get(name.clone()) {
            headers.push(name, value);
        }
    };
    copy_first(HeaderName::Via);
    copy_first(HeaderName::From);
    copy_first(HeaderName::CallId);
    copy_first(HeaderName::MaxForwards);
    if let Some(to) = to.or_else(|| from.get(HeaderName::To)) {
        headers.push(HeaderName::To, to);
    }
    let number = from.cseq().map_or(0, |cseq| cseq.number);
    headers.push(HeaderName::CSeq, format!("{number} {method}"));
    // RFC 7989 §6: they belong to the same call.
    let mut repeated = vec![HeaderName::Route, HeaderName::SessionId];
    if method == Method::Ack {
        repeated.extend([HeaderName::Authorization, HeaderName::ProxyAuthorization]);
    }
    for name in repeated {
        for value in from.get_all(name.clone()) {
            headers.push(name.clone(), value);
        }
    }
    request
}
