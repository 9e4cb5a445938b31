//! One account's registration (RFC 3261 §10.2), from "be reachable" to "be gone".
//!
//! ```text
//!            register              2xx
//!    Off ─────────────► Trying ──────────► Registered ─┐ refresh before the granted
//!     ▲                  │  ▲                  │       │ time, flow lost, new mapping
//!     │                  │  └──────────────────┼───────┘
//!     │   refused for    │ silence, 5xx,       │
//!     │   good           │ transport error     │ unregister
//!     │  ┌──── Refused ◄─┤                     ▼
//!     │  │               └──► Waiting ──► Trying   Leaving
//!     │  └ register                 back-off       │
//!     └────────────────────────────────────────────┘ 2xx, or no answer
//! ```
//!
//! There is one operation at a time: what is asked for meanwhile waits for its end, so that an
//! un-REGISTER never overtakes the REGISTER that it undoes.

mod answer;
mod config;
mod event;
mod flows;
mod mapping;
mod outcome;
mod send;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use sip_message::{Response, Uri};

use crate::auth::Authenticator;
use crate::client::ClientRequest;
use crate::dispatch::OwnerKey;
use crate::output::{Outbox, Output};
use crate::path::{Destination, FlowId, Inbound, Path, ResolveError, ResolveId, TransportError};
use crate::refresh::{Backoff, Due, Refresher};
use crate::tokens::{Seed, Tokens};

pub use answer::mapped_address;
pub use config::RegistrationConfig;
pub use event::{BoundContact, Refusal, Registered, RegistrationEvent, Trouble};
pub use flows::{FlowEvent, FlowSet};
use mapping::Mapping;
pub(crate) use send::route_value;

/// One account's registration. See the module's text for its states.
pub struct Registration {
    config: RegistrationConfig,
    key: OwnerKey,
    contact_user: String,
    authenticator: Authenticator,
    tokens: Tokens,
    cseq: u32,
    /// Whether the account is to be reachable.
    wanted: bool,
    operation: Option<Operation>,
    /// The binding that the registrar holds as far as we know.
    binding: Option<Binding>,
    refresher: Refresher,
    mapping: Mapping,
    /// Set once the first hop has said that it cannot keep to flows (439).
    outbound_refused: bool,
    /// The URI of the Contact last registered, to be removed when another takes its place.
    bound_contact: Option<String>,
    /// The URI under which the registrar listed it then.
    listed_as: Option<Uri>,
    /// Whether the registrar kept to the flow then (RFC 5626 §6).
    outbound: bool,
    kin: Kin,
    /// Set when the present operation is to be followed by another REGISTER.
    again: bool,
    /// The binding of somebody else that [`Purpose::Remove`] removes.
    to_remove: Option<String>,
    /// Set when the next REGISTER is to try the servers as they are told, and not where the binding
    /// stands first.
    in_order: bool,
    /// Flows lost in a row, each soon after the answer that came on it.
    quick_losses: u32,
    resolve_counter: u64,
    outbox: Outbox<RegistrationEvent>,
}

impl fmt::Debug for Registration {
    /// Without identities.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("wanted", &self.wanted)
            .field("cseq", &self.cseq)
            .field("busy", &self.operation.is_some())
            .field("bound", &self.binding.is_some())
            .finish_non_exhaustive()
    }
}

/// The flows of the account, as far as one of them has to know.
#[derive(Debug, Default)]
struct Kin {
    /// How many there are, this one included; their numbers count from 1.
    flows: u32,
    /// The URIs that the others have bound, and under which the registrar lists them.
    bound: Vec<Uri>,
}

/// The one thing that is going on.
#[derive(Debug)]
struct Operation {
    purpose: Purpose,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Resolving(ResolveId),
    Requesting(Box<ClientRequest>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Register,
    Unregister,
    /// Removes the bindings of everybody under our address of record.
    Clear,
    /// Asks what bindings there are (RFC 3261 §10.2.3).
    Fetch,
    /// Removes one binding of somebody else (RFC 3261 §10.2.2).
    Remove,
}

impl Purpose {
    /// Whether the account's own registration is no part of it.
    fn is_aside(self) -> bool {
        matches!(self, Self::Fetch | Self::Remove)
    }
}

#[derive(Clone, Debug)]
struct Binding {
    /// `None` once it is lost.
    flow: Option<FlowId>,
    path: Path,
    since: Instant,
}

impl Binding {
    fn destination(&self) -> Destination {
        let path = self.path;
        self.flow
            .map_or(Destination::Path(path), |id| Destination::Flow { id, path })
    }
}

/// Flows that die sooner than this after the answer, twice in a row, count as failures, so that a
/// server which accepts and hangs up is not called in a tight loop.
const STABLE_AFTER: Duration = Duration::from_secs(30);

impl Registration {
    /// A registration that is off.
    pub fn new(config: RegistrationConfig, seed: &Seed) -> Self {
        let mut tokens = Tokens::new(seed);
        let key = OwnerKey {
            call_id: tokens.call_id(),
            local_tag: tokens.tag(),
        };
        let random_user = tokens.contact_user();
        Self {
            contact_user: config.contact_user.clone().unwrap_or(random_user),
            authenticator: Authenticator::new(config.credentials.clone()),
            cseq: tokens.cseq(),
            refresher: Refresher::new(config.expires, Backoff::default()),
            kin: Kin {
                flows: config.reg_id.unwrap_or_default(),
                bound: Vec::new(),
            },
            key,
            tokens,
            config,
            wanted: false,
            operation: None,
            binding: None,
            mapping: Mapping::default(),
            outbound_refused: false,
            bound_contact: None,
            listed_as: None,
            outbound: false,
            again: false,
            to_remove: None,
            in_order: false,
            quick_losses: 0,
            resolve_counter: 0,
            outbox: Outbox::default(),
        }
    }

    /// Makes the account reachable: registers now, also when a retry is still waiting or the
    /// registrar has refused before. While a REGISTER is on its way it changes nothing.
    pub fn register(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.wanted = true;
        self.refresher.forgive();
        self.register_soon(now);
    }

    /// A server that is better than the present one may be tried again: registers now, on the paths
    /// in the order in which they are told. The present binding stands until another takes its
    /// place. Nothing happens without a binding, or while something is on its way.
    pub fn fail_back(&mut self, now: Instant) {
        self.outbox.begin_input();
        if self.wanted && self.binding.is_some() && self.operation.is_none() {
            self.in_order = true;
            self.register_soon(now);
        }
    }

    /// Signs out. If a REGISTER is on its way, its end is awaited first.
    pub fn unregister(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.wanted = false;
        self.again = false;
        self.refresher.begin();
        // Who asks about the list and leaves before the answer does without it.
        if self
            .operation
            .as_ref()
            .is_some_and(|o| o.purpose.is_aside())
        {
            self.operation = None;
        }
        match &self.operation {
            // Nothing was sent yet, so there is nothing to undo.
            Some(operation)
                if matches!(operation.step, Step::Resolving(_)) && self.binding.is_none() =>
            {
                self.operation = None;
                self.outbox.event(RegistrationEvent::Unregistered);
            }
            Some(operation) if matches!(operation.step, Step::Resolving(_)) => {
                self.operation = None;
                self.begin(now, Purpose::Unregister);
            }
            Some(_) => {}
            None if self.binding.is_some() => self.begin(now, Purpose::Unregister),
            None => self.outbox.event(RegistrationEvent::Unregistered),
        }
    }

    /// Removes every binding under the address of record, those of other phones included (RFC
    /// 3261 §10.2.2). Its end is told as [`RegistrationEvent::Unregistered`]; an account that is
    /// to be reachable registers again after it. While something else is on its way it does
    /// nothing and answers false.
    pub fn clear_bindings(&mut self, now: Instant) -> bool {
        if self.operation.is_some() {
            return false;
        }
        self.outbox.begin_input();
        self.refresher.begin();
        self.begin(now, Purpose::Clear);
        true
    }

    /// Asks the registrar what bindings there are under our address of record, those of other
    /// phones included, and changes none of them (RFC 3261 §10.2.3). They are told as
    /// [`RegistrationEvent::Bindings`]. While something else is on its way it does nothing and
    /// answers false.
    pub fn fetch_bindings(&mut self, now: Instant) -> bool {
        if self.operation.is_some() {
            return false;
        }
        self.outbox.begin_input();
        self.begin(now, Purpose::Fetch);
        true
    }

    /// Removes one binding of somebody else under our address of record (RFC 3261 §10.2.2), named
    /// as the registrar lists it. What is left is told as [`RegistrationEvent::Bindings`]. Our own
    /// is not removed this way. While something else is on its way it does nothing and answers
    /// false.
    pub fn remove_binding(&mut self, now: Instant, uri: &str) -> bool {
        let own = self.bound_contact.as_deref() == Some(uri);
        if self.operation.is_some() || own || Uri::parse(uri).is_err() {
            return false;
        }
        self.outbox.begin_input();
        self.to_remove = Some(uri.to_owned());
        self.begin(now, Purpose::Remove);
        true
    }

    /// Sets how long to wait after failures, e.g. as RFC 5626 §4.5 has it for one flow of several.
    pub fn set_backoff(&mut self, backoff: Backoff) {
        self.refresher.set_backoff(backoff);
    }

    /// Tells of the flows of the account, so that their bindings are known as ours.
    fn set_kin(&mut self, kin: Kin) {
        self.kin = kin;
    }

    /// The URIs that are bound here: as we said it, and as the registrar lists it.
    fn bound_uris(&self) -> impl Iterator<Item = Uri> {
        let said = self.bound_contact.as_deref();
        let said = said.and_then(|uri| Uri::parse(uri).ok());
        said.into_iter().chain(self.listed_as.clone())
    }

    /// Whether the registrar keeps to the flow of the binding that stands (RFC 5626 §6).
    pub fn is_outbound(&self) -> bool {
        self.outbound
    }

    /// The path of the binding that stands.
    pub fn bound_path(&self) -> Option<Path> {
        self.binding.as_ref().map(|binding| binding.path)
    }

    /// The transport layer lost a flow. If our binding is on it, it is made anew at once.
    pub fn flow_lost(&mut self, now: Instant, flow: FlowId) {
        self.outbox.begin_input();
        let Some(binding) = self.binding.as_mut().filter(|b| b.flow == Some(flow)) else {
            return;
        };
        binding.flow = None;
        let age = now.saturating_duration_since(binding.since);
        if !self.wanted {
            return;
        }
        self.quick_losses = if age < STABLE_AFTER {
            self.quick_losses.saturating_add(1)
        } else {
            0
        };
        // Once may be a change of network, which must not keep us waiting.
        if self.quick_losses >= 2 && self.operation.is_none() {
            self.refresher.begin();
            self.refresher.set_failures(self.quick_losses - 2);
            self.retry_later(now, Trouble::FlowLost, None);
        } else {
            self.register_soon(now);
        }
    }

    /// The machine came to another network, or slept: what is on its way is given up, since its answer
    /// may never come, and the registration is made anew at once, by the way that leads there now. The
    /// old binding goes with the same request (RFC 5626 §4.2.1 and §4.5 leave a lost flow to it). Signing
    /// out goes on.
    pub fn moved(&mut self, now: Instant) {
        self.outbox.begin_input();
        if !self.wanted {
            return;
        }
        self.refresher.forgive();
        if let Some(binding) = &mut self.binding {
            binding.flow = None;
        }
        if self
            .operation
            .as_ref()
            .is_some_and(|o| o.purpose.is_aside() || o.purpose == Purpose::Register)
        {
            self.operation = None;
        }
        self.register_soon(now);
    }

    /// Takes the answer to a [`Output::Resolve`].
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        outcome: Result<Vec<Path>, ResolveError>,
    ) {
        self.outbox.begin_input();
        let Some(Operation {
            purpose,
            step: Step::Resolving(wanted),
            ..
        }) = &self.operation
        else {
            return;
        };
        if *wanted != id {
            return;
        }
        let purpose = *purpose;
        match outcome {
            Ok(paths) => self.send(now, purpose, paths),
            Err(error) => self.on_trouble(now, Trouble::Resolve(error), None),
        }
    }

    /// Takes a response; one that belongs to nothing on its way is dropped.
    pub fn handle_response(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        self.outbox.begin_input();
        self.with_request(now, |request, context| {
            request.handle_response(now, response, inbound, context);
        });
    }

    /// Takes the news that what had this branch could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.outbox.begin_input();
        self.with_request(now, |request, context| {
            request.handle_transport_error(now, branch, error, context);
        });
    }

    /// Does what is due. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.with_request(now, |request, context| request.handle_timeout(now, context));
        while let Some(due) = self.refresher.pop_due(now) {
            match due {
                Due::Refresh | Due::Retry => self.register_soon(now),
                Due::Expiry => self.binding = None,
            }
        }
    }

    /// The next thing to do; see [`crate`] for the contract.
    pub fn poll_output(&mut self) -> Output<RegistrationEvent> {
        let of_request = match &self.operation {
            Some(Operation {
                step: Step::Requesting(request),
                ..
            }) => request.deadline(),
            _ => None,
        };
        let deadline = [of_request, self.refresher.deadline()]
            .into_iter()
            .flatten()
            .min();
        self.outbox.poll(deadline)
    }

    /// Whether the request with this branch has no answer yet.
    pub fn awaits_answer_to(&self, branch: &str) -> bool {
        match &self.operation {
            Some(Operation {
                step: Step::Requesting(request),
                ..
            }) => request.branch() == Some(branch),
            _ => false,
        }
    }

    /// Under which responses find this registration.
    pub fn owner_key(&self) -> OwnerKey {
        self.key.clone()
    }

    /// The user part of our Contact: the dispatcher knows our calls by it.
    pub fn contact_user(&self) -> &str {
        &self.contact_user
    }

    /// Whether the registrar holds our binding, as far as we know.
    pub fn is_registered(&self) -> bool {
        self.binding.is_some()
    }

    /// Whether it is off and nothing runs any more.
    pub fn is_drained(&self) -> bool {
        !self.wanted && self.operation.is_none()
    }
}
