//! Several flows of one instance to one registrar (RFC 5626): each a registration of its own with
//! its `reg-id`, kept apart so that one server or network path may fail without the account being
//! gone. Where several lead to one server, each has a connection of its own, or a socket, whose number goes with what is
//! sent ([`Transmit::lane`]).

use std::time::Instant;

use sip_message::{Response, Uri};

use super::{Kin, Registration, RegistrationConfig, RegistrationEvent};
use crate::dispatch::{OwnerKey, response_owner};
use crate::output::Output;
use crate::path::{
    FlowId, Inbound, Path, ResolveError, ResolveId, Transmit, Transport, TransportError,
};
use crate::refresh::Backoff;
use crate::tokens::{Seed, Tokens};

/// The flows of one account. Used as a [`Registration`] is.
#[derive(Debug)]
pub struct FlowSet {
    flows: Vec<Registration>,
    /// The number of each that shares its way with another: only these need to be told from one another.
    lanes: Vec<Option<u32>>,
    /// The flow that is given up once all that its last answer brought is taken out, and the time of that answer.
    given_up: Option<(usize, Instant)>,
    /// Where the next poll goes on.
    polled: usize,
    deadline: Option<Instant>,
}

/// What happened on which flow.
#[derive(Clone, Debug)]
pub struct FlowEvent {
    /// Its `reg-id`, counted from 1.
    pub reg_id: u32,
    /// What.
    pub event: RegistrationEvent,
}

/// Flows of one account at most; RFC 5626 §4.2.1 asks for two.
const MOST_FLOWS: usize = 4;

impl FlowSet {
    /// As many flows as there are proxies to reach the registrar by (the outbound-proxy-set of RFC
    /// 5626 §4.2); with the same proxy given twice, the second flow takes another of its addresses
    /// where there is one.
    pub fn new(config: &RegistrationConfig, proxies: &[Uri], seed: &Seed) -> Self {
        let ways: Vec<Option<Uri>> = proxies.iter().cloned().map(Some).collect();
        Self::along(config, &ways, seed)
    }

    /// The same along ways that need not have a proxy: `None` goes to the registrar itself.
    pub fn along(config: &RegistrationConfig, ways: &[Option<Uri>], seed: &Seed) -> Self {
        let mut tokens = Tokens::new(seed);
        let several = ways.len() > 1;
        let ways = ways.get(..MOST_FLOWS).unwrap_or(ways);
        let is_shared = |way: &Option<Uri>| ways.iter().filter(|other| *other == way).count() > 1;
        let lanes = (0..).zip(ways);
        let lanes = lanes.map(|(lane, way)| is_shared(way).then_some(lane));
        let lanes = lanes.collect();
        let flows = (1..).zip(ways);
        let flows = flows
            .map(|(reg_id, way)| {
                let config = RegistrationConfig {
                    reg_id: Some(reg_id),
                    route: way.clone(),
                    ..config.clone()
                };
                let mut flow = Registration::new(config, &tokens.seed());
                if several {
                    flow.set_backoff(Backoff::ALL_FLOWS_FAILED);
                }
                flow
            })
            .collect();
        Self::of(flows, lanes)
    }

    /// One registration that asks for no flow (RFC 3261 §10.2), used as a set of them is.
    pub fn plain(config: &RegistrationConfig, seed: &Seed) -> Self {
        let config = RegistrationConfig {
            reg_id: None,
            ..config.clone()
        };
        Self::of(vec![Registration::new(config, seed)], vec![None])
    }

    fn of(flows: Vec<Registration>, lanes: Vec<Option<u32>>) -> Self {
        Self {
            flows,
            lanes,
            given_up: None,
            polled: 0,
            deadline: None,
        }
    }

    /// A better server can be had; see [`Registration::fail_back`]. Where there are several flows,
    /// each stays where it is: they are kept apart on purpose.
    pub fn fail_back(&mut self, now: Instant) {
        if self.flows.len() == 1 {
            self.each(|flow| flow.fail_back(now));
        }
    }

    /// Asks what bindings there are, on a flow that stands before one that does not; see
    /// [`Registration::fetch_bindings`].
    pub fn fetch_bindings(&mut self, now: Instant) -> bool {
        self.one(|flow| flow.fetch_bindings(now))
    }

    /// Removes a binding of somebody else; see [`Registration::remove_binding`].
    pub fn remove_binding(&mut self, now: Instant, uri: &str) -> bool {
        self.one(|flow| flow.remove_binding(now, uri))
    }

    /// Removes all bindings, those of the other flows included; see
    /// [`Registration::clear_bindings`].
    pub fn clear_bindings(&mut self, now: Instant) -> bool {
        self.one(|flow| flow.clear_bindings(now))
    }

    /// Lets one flow act: the first that can, of those that stand before the others.
    fn one(&mut self, mut act: impl FnMut(&mut Registration) -> bool) -> bool {
        self.polled = 0;
        [true, false].into_iter().any(|standing| {
            self.flows
                .iter_mut()
                .filter(|flow| flow.is_registered() == standing)
                .any(&mut act)
        })
    }

    /// Registers on all flows; see [`Registration::register`].
    pub fn register(&mut self, now: Instant) {
        self.each(|flow| flow.register(now));
    }

    /// Signs out on all flows; see [`Registration::unregister`].
    pub fn unregister(&mut self, now: Instant) {
        self.each(|flow| flow.unregister(now));
    }

    /// A flow is gone; see [`Registration::flow_lost`].
    pub fn flow_lost(&mut self, now: Instant, lost: FlowId) {
        self.each(|flow| flow.flow_lost(now, lost));
    }

    /// The network is another one; see [`Registration::moved`].
    pub fn moved(&mut self, now: Instant) {
        self.each(|flow| flow.moved(now));
    }

    /// Takes the answer to a [`Output::Resolve`]. Paths on which another flow stands go last: two
    /// flows to one server fail together.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        outcome: Result<Vec<Path>, ResolveError>,
    ) {
        let (index, id) = self.inner(id);
        let taken: Vec<Path> = self
            .flows
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .filter_map(|(_, flow)| flow.bound_path())
            .collect();
        let outcome = outcome.map(|paths| {
            let (last, mut first): (Vec<Path>, Vec<Path>) = paths
                .into_iter()
                .partition(|path| taken.iter().any(|taken| taken.remote == path.remote));
            first.extend(last);
            first
        });
        if let Some(flow) = self.flows.get_mut(index) {
            flow.handle_resolved(now, id, outcome);
        }
        self.polled = 0;
    }

    /// Takes a response; one that belongs to nothing on its way is dropped.
    pub fn handle_response(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        let owner = response_owner(response);
        let index = self
            .flows
            .iter()
            .position(|flow| Some(flow.owner_key()) == owner);
        if let Some(index) = index {
            let kin = self.kin(index);
            if let Some(flow) = self.flows.get_mut(index) {
                flow.set_kin(kin);
                flow.handle_response(now, response, inbound);
            }
            if self.is_plain(index) {
                self.given_up = Some((index, now));
            }
        }
        self.polled = 0;
    }

    /// Takes the news that what had this branch could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.each(|flow| flow.handle_transport_error(now, branch, error.clone()));
    }

    /// Does what is due. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.each(|flow| flow.handle_timeout(now));
    }

    /// The next thing to do; see [`crate`] for the contract.
    pub fn poll_output(&mut self) -> Output<FlowEvent> {
        if self.polled == 0 {
            self.deadline = None;
        }
        let count = u64::try_from(self.flows.len()).unwrap_or(1);
        while let Some(flow) = self.flows.get_mut(self.polled) {
            let index = u64::try_from(self.polled).unwrap_or(0);
            let lane = self.lanes.get(self.polled).copied().flatten();
            match flow.poll_output() {
                Output::Transmit(transmit) => {
                    return Output::Transmit(Transmit { lane, ..transmit });
                }
                Output::Resolve {
                    id, uri, transport, ..
                } => {
                    let id = ResolveId(id.0.saturating_mul(count).saturating_add(index));
                    return Output::Resolve {
                        id,
                        uri,
                        transport,
                        lane,
                    };
                }
                Output::Event(event) => {
                    self.learn();
                    let reg_id = u32::try_from(index).unwrap_or(0).saturating_add(1);
                    return Output::Event(FlowEvent { reg_id, event });
                }
                Output::Deadline(_)
                    if let Some((_, at)) =
                        self.given_up.take_if(|(index, _)| *index == self.polled) =>
                {
                    flow.unregister(at);
                }
                Output::Deadline(deadline) => {
                    self.deadline = [self.deadline, deadline].into_iter().flatten().min();
                    self.polled += 1;
                }
            }
        }
        Output::Deadline(self.deadline)
    }

    /// Whether a request with this branch has no answer yet; see [`Registration::awaits_answer_to`].
    pub fn awaits_answer_to(&self, branch: &str) -> bool {
        self.flows.iter().any(|flow| flow.awaits_answer_to(branch))
    }

    /// Under which responses find its flows.
    pub fn owner_keys(&self) -> Vec<OwnerKey> {
        self.flows.iter().map(Registration::owner_key).collect()
    }

    /// How many flows there are to be.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// How many of the flows stand.
    pub fn standing(&self) -> usize {
        self.flows.iter().filter(|f| f.is_registered()).count()
    }

    /// Whether all flows are off and nothing runs any more.
    pub fn is_drained(&self) -> bool {
        self.flows.iter().all(Registration::is_drained)
    }

    /// What one flow has to know of the others.
    fn kin(&self, index: usize) -> Kin {
        let others = self.flows.iter().enumerate();
        let others = others.filter(|(other, _)| *other != index);
        Kin {
            flows: u32::try_from(self.flows.len()).unwrap_or_default(),
            bound: others.flat_map(|(_, flow)| flow.bound_uris()).collect(),
        }
    }

    fn each(&mut self, act: impl FnMut(&mut Registration)) {
        self.flows.iter_mut().for_each(act);
        self.polled = 0;
    }

    /// By UDP a further flow to one server has a port, and with it a Contact, of its own. A registrar that keeps to no
    /// flows takes that for a second phone, which would ring twice for one call: it is to be signed out again.
    fn is_plain(&self, index: usize) -> bool {
        let is_further = self.lanes.get(index).copied().flatten() > Some(0);
        let flow = self.flows.get(index).filter(|_| is_further);
        let by_udp = |path: Path| path.transport == Transport::Udp;
        flow.is_some_and(|flow| {
            flow.is_registered() && !flow.is_outbound() && flow.bound_path().is_some_and(by_udp)
        })
    }

    /// RFC 5626 §4.5: who still has a flow takes more time to make another one.
    fn learn(&mut self) {
        if self.flows.len() < 2 {
            return;
        }
        let backoff = if self.standing() == 0 {
            Backoff::ALL_FLOWS_FAILED
        } else {
            Backoff::ANOTHER_FLOW_WORKS
        };
        self.flows.iter_mut().for_each(|f| f.set_backoff(backoff));
    }

    /// Whose question an answer belongs to.
    fn inner(&self, id: ResolveId) -> (usize, ResolveId) {
        let count = u64::try_from(self.flows.len().max(1)).unwrap_or(1);
        let index = usize::try_from(id.0 % count).unwrap_or(0);
        (index, ResolveId(id.0 / count))
    }
}
