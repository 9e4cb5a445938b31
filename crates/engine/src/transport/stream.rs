//! Connections: opened when needed, reused in both directions. The sockets are those of [`wire`]; here
//! is remembered who waits for what was sent on them.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::WayStep;
use ractor::ActorRef;
use sip_core::{Destination, FlowId, Path, TransportError};
use sip_message::Message;
use tokio::net::{TcpListener, UdpSocket};
use wire::{Closed, Door, Keepalive, Limits, Stun, Towards, Wire};

use super::guard::Guard;
use super::{Delivery, Owner, TransportMsg, branch_of};
use crate::wake::now;

/// Messages of all connections that have arrived and are not handled yet.
const ARRIVED: usize = 512;
/// Requests on one connection that are remembered until they are answered. Only the newest can still
/// be waited for.
const HANDED_OVER: usize = 256;
/// Answered requests that are remembered.
const ANSWERED: usize = 64;
/// How long a request may wait for its first answer: 64·T1.
const ANSWER_PATIENCE: Duration = Duration::from_secs(32);
/// How long an ACK may turn out not to have left. It has no answer, and a peer that misses it says its
/// 2xx again after four seconds at the most (RFC 3261 §13.3.1.4), which brings the ACK again.
const ACK_PATIENCE: Duration = Duration::from_secs(2);

/// What an ended connection takes with it.
pub(crate) enum Loss {
    /// A message that did not leave.
    Unsent {
        owner: Owner,
        bytes: Vec<u8>,
        error: TransportError,
        /// The domain that was asked for.
        domain: Option<String>,
    },
    /// The flow.
    Flow(FlowId),
}

/// The connections of one tenant.
pub(super) struct Connections {
    wire: Wire,
    /// Requests that were handed over, so that their owners hear when the connection fails. Of
    /// responses nobody needs to hear: whoever misses one asks again.
    handed_over: HashMap<FlowId, Vec<HandedOver>>,
    /// The last requests that had an answer. An ACK with the branch of one acknowledges a refusal: that transaction is
    /// over with it, and nobody waits for it (RFC 3261 §17.1.1.2).
    answered: VecDeque<String>,
    /// How far each connection is; `None` when it is up.
    steps: HashMap<FlowId, Option<WayStep>>,
}

/// A request that was handed over and had no answer yet; an ACK, which never has one, for a while.
struct HandedOver {
    owner: Owner,
    towards: Towards,
    bytes: Vec<u8>,
    branch: String,
    at: Instant,
    /// Whether it was on another connection before.
    again: bool,
}

impl Connections {
    pub(super) fn new(actor: ActorRef<TransportMsg>, guard: Arc<Guard>) -> Self {
        // Called from the tasks that read: what is too much goes no further.
        let sink = move |event| {
            let is_too_much = match &event {
                wire::Event::Arrived(arrived) => {
                    let source = arrived.path.remote.ip();
                    guard
                        .admit(source, arrived.bytes.len(), arrived.at)
                        .is_none()
                }
                _ => false,
            };
            if !is_too_much {
                return actor.cast(TransportMsg::Stream(event)).is_ok();
            }
            !guard.has_news() || actor.cast(TransportMsg::Report).is_ok()
        };
        let limits = Limits {
            arrived: ARRIVED,
            ..Limits::default()
        };
        Self {
            wire: Wire::new(limits, Arc::new(sink)),
            handed_over: HashMap::new(),
            answered: VecDeque::new(),
            steps: HashMap::new(),
        }
    }

    /// Makes a datagram socket known, so that its peers can be kept alive.
    pub(super) fn lend(&self, socket: Arc<UdpSocket>) -> std::io::Result<FlowId> {
        self.wire.lend_datagrams(socket)
    }

    /// What reads the STUN messages that come to such a socket.
    pub(super) fn stun(&self) -> Stun {
        self.wire.stun()
    }

    /// Keeps a connection alive; `None` ends that. A strict peer has to answer from the first.
    pub(super) fn keep_alive(&self, flow: FlowId, every: Option<Duration>, strict: bool) {
        match every {
            Some(every) if !strict => self.wire.keep_alive_of_any(flow, every),
            every => self.wire.keep_alive(flow, every),
        }
    }

    /// Keeps the way from a datagram socket to a peer open; `None` ends that.
    pub(super) fn keep_datagrams_alive(
        &self,
        flow: FlowId,
        remote: SocketAddr,
        keepalive: Option<Keepalive>,
    ) {
        self.wire.keep_alive_datagrams(flow, remote, keepalive);
    }

    /// Connections that were closed at once, or to make room.
    pub(super) fn turned_away(&self) -> u64 {
        self.wire.counts().turned_away
    }

    /// Accepts connections from now on.
    pub(super) fn accept_from(&mut self, listener: Arc<TcpListener>) {
        self.wire.serve(listener, Door::Tcp);
    }

    /// Sends on the flow while it lives, else on any connection that leads to the same, else on a
    /// new one.
    pub(super) fn send(
        &mut self,
        destination: &Destination,
        towards: &Towards,
        bytes: &[u8],
        owner: &Owner,
    ) -> Result<(), TransportError> {
        let elsewhere = self.way_of_a_late_answer(destination, bytes);
        let flow = self
            .wire
            .send(elsewhere.as_ref().unwrap_or(destination), towards, bytes)
            .map_err(|error| TransportError::from(&error))?;
        if let Some(branch) = request_branch(bytes) {
            let step = *self.steps.entry(flow).or_insert(Some(WayStep::Connecting));
            if !is_ack(bytes) {
                on_the_way(owner, destination.path().remote, step);
            } else if self.answered.contains(&branch) {
                return Ok(());
            }
            let request = HandedOver {
                owner: owner.clone(),
                towards: towards.clone(),
                bytes: bytes.to_vec(),
                branch,
                at: now(),
                again: false,
            };
            self.remember(flow, request);
        }
        Ok(())
    }

    /// Where an answer goes whose connection has ended: to where the peer listens by its Via, at the
    /// address that it came from (RFC 3261 §18.2.2). At the port it came from nobody listens.
    fn way_of_a_late_answer(&self, destination: &Destination, bytes: &[u8]) -> Option<Destination> {
        let Destination::Flow { id, path } = destination else {
            return None;
        };
        if self.wire.has(*id) || !bytes.starts_with(b"SIP/2.0 ") {
            return None;
        }
        let message = Message::parse(bytes).ok()?;
        let via = message.headers().via_top().ok()?;
        let port = via.port.unwrap_or(path.transport.default_port());
        let remote = SocketAddr::new(path.remote.ip(), port);
        Some(Destination::Path(Path { remote, ..*path }))
    }

    /// Answers on the connection a request came by, and on no other.
    pub(super) fn answer(
        &mut self,
        flow: FlowId,
        path: &Path,
        bytes: &[u8],
    ) -> Result<(), TransportError> {
        let sent = self.wire.answer(flow, path, bytes);
        sent.map_err(|error| TransportError::from(&error))
    }

    /// Closes the connections whose paths are no good any more.
    pub(super) fn close_where(&self, is_bad: impl Fn(&Path) -> bool) {
        self.wire.close_where(is_bad);
    }

    /// A response came: the request it answers has left, whatever becomes of its connection.
    pub(super) fn on_response(&mut self, branch: &str) {
        for requests in self.handed_over.values_mut() {
            requests.retain(|r| r.branch != branch);
        }
        if self.answered.back().is_none_or(|last| last != branch) {
            if self.answered.len() >= ANSWERED {
                self.answered.pop_front();
            }
            self.answered.push_back(branch.to_owned());
        }
    }

    /// A connection has got so far; `None` when it is up.
    pub(super) fn on_step(&mut self, flow: FlowId, path: &Path, step: Option<WayStep>) {
        self.steps.insert(flow, step);
        let waiting = self.handed_over.get(&flow).into_iter().flatten();
        for request in waiting.filter(|request| !is_ack(&request.bytes)) {
            on_the_way(&request.owner, path.remote, step);
        }
    }

    /// What the end of a connection takes with it.
    pub(super) fn on_closed(&mut self, closed: &Closed) -> Vec<Loss> {
        self.steps.remove(&closed.flow);
        let unanswered = self.handed_over.remove(&closed.flow).unwrap_or_default();
        // Nobody listens at the port that a peer connected from.
        let another = closed.was_up && !closed.accepted;
        let mut losses = vec![Loss::Flow(closed.flow)];
        let now = now();
        for request in unanswered {
            if request.is_past(now) {
                continue;
            }
            // Whether an ACK that was written has arrived is the peer's to say.
            let quiet = is_ack(&request.bytes) && (closed.was_up || request.again);
            if another && !request.again {
                let lost = self.send_again(closed.path, request);
                losses.extend(lost.filter(|_| !quiet));
            } else if !quiet {
                let error = TransportError::from(&closed.error);
                let error = if request.again { broken(error) } else { error };
                losses.push(Loss::Unsent {
                    owner: request.owner,
                    bytes: request.bytes,
                    error,
                    domain: request.towards.domain,
                });
            }
        }
        losses
    }

    /// The connection may have been closing already when the request was written to it. On a new one
    /// it is a repeat to a peer that knows it, and news to one that does not (RFC 3261 §17.2).
    fn send_again(&mut self, path: Path, request: HandedOver) -> Option<Loss> {
        let destination = Destination::Path(path);
        match self
            .wire
            .send(&destination, &request.towards, &request.bytes)
        {
            Ok(flow) => {
                let again = true;
                self.remember(flow, HandedOver { again, ..request });
                None
            }
            Err(error) => Some(Loss::Unsent {
                owner: request.owner,
                bytes: request.bytes,
                error: broken(TransportError::from(&error)),
                domain: request.towards.domain,
            }),
        }
    }

    fn remember(&mut self, flow: FlowId, request: HandedOver) {
        let requests = self.handed_over.entry(flow).or_default();
        // No answer takes an ACK out.
        requests.retain(|other| !is_ack(&other.bytes) || !other.is_past(request.at));
        if requests.len() >= HANDED_OVER {
            requests.drain(..HANDED_OVER / 2);
        }
        requests.push(request);
    }
}

impl HandedOver {
    /// Whether nothing comes of it any more, however its connection ends.
    fn is_past(&self, now: Instant) -> bool {
        let patience = if is_ack(&self.bytes) {
            ACK_PATIENCE
        } else {
            ANSWER_PATIENCE
        };
        now.saturating_duration_since(self.at) >= patience
    }
}

/// What the end of a second try is told as. No connection came about, it may be, but one was there before, and on that
/// the request may have arrived.
fn broken(error: TransportError) -> TransportError {
    match error {
        TransportError::Refused | TransportError::Unreachable | TransportError::TimedOut => {
            TransportError::Other(format!(
                "the connection broke, and a new one did not come about: {error}"
            ))
        }
        other => other,
    }
}

/// Tells a call how far the way of its request is; nobody else asks.
pub(super) fn on_the_way(owner: &Owner, to: SocketAddr, step: Option<WayStep>) {
    if owner.call.is_some() {
        owner.deliver(Delivery::OnTheWay { to, step });
    }
}

/// The branch of a request; responses have none of ours.
fn request_branch(bytes: &[u8]) -> Option<String> {
    if bytes.starts_with(b"SIP/2.0 ") {
        return None;
    }
    branch_of(&Message::parse(bytes).ok()?)
}

fn is_ack(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ACK ")
}
