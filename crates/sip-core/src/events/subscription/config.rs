//! What to subscribe to, and what the owner learns.

use std::time::Duration;

use privacy::Sentence;
use sip_message::{Event, NameAddr, Uri};

use crate::auth::{Credentials, Home};
use crate::dispatch::OwnerKey;
use crate::events::Fault;
use crate::path::Transport;
use crate::timers::Timers;

/// What to subscribe to. Does not change while it lives.
#[derive(Clone)]
pub struct SubscriptionConfig {
    /// Whose state: request URI and To.
    pub target: Uri,
    /// Ourselves, for From.
    pub from: NameAddr,
    /// User part of our Contact.
    pub contact_user: String,
    /// Our whole Contact, e.g. a GRUU (RFC 5627 §4.4), instead of one made for the path.
    pub contact: Option<Uri>,
    /// Proxies to pass, nearest first: outbound proxy, then the registrar's Service-Route.
    pub route: Vec<Uri>,
    /// The only transport to use; whatever RFC 3263 gives when `None`.
    pub transport: Option<Transport>,
    /// The package, with `id` where one dialog carries several.
    pub event: Event,
    /// Body types understood: Accept, and what else is refused with 415. Empty takes anything.
    pub accept: Vec<String>,
    /// A filter to send along, as (type, body).
    pub filter: Option<(String, Vec<u8>)>,
    /// The time to ask for; zero only asks for the state of now (RFC 6665 §4.4.3).
    pub expires: Duration,
    /// What happens when several notifiers answer.
    pub forks: Forks,
    /// A larger body is refused with 413.
    pub largest_body: usize,
    /// Passwords.
    pub credentials: Vec<Credentials>,
    /// Whose challenges they answer.
    pub home: Home,
    /// Value of User-Agent; none is sent when empty.
    pub user_agent: String,
    /// Timer values.
    pub timers: Timers,
}

impl SubscriptionConfig {
    /// A subscription with everything else at its default: an hour, the first notifier only, 64 KB
    /// a body, no proxy, no password.
    pub fn new(target: Uri, from: NameAddr, contact_user: impl Into<String>, event: Event) -> Self {
        Self {
            target,
            from,
            contact_user: contact_user.into(),
            contact: None,
            route: Vec::new(),
            transport: None,
            event,
            accept: Vec::new(),
            filter: None,
            expires: Duration::from_secs(3600),
            forks: Forks::First,
            largest_body: 64 * 1024,
            credentials: Vec::new(),
            home: Home::default(),
            user_agent: String::new(),
            timers: Timers::default(),
        }
    }
}

/// What happens when a SUBSCRIBE forks and several notifiers answer (RFC 6665 §4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forks {
    /// The first is taken, the others are told 481.
    First,
    /// Each is a subscription of its own, up to a limit.
    All,
}

/// One of the notifiers that answered, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u32);

/// How far the subscription at one notifier is (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegState {
    /// Received and not yet decided upon.
    Pending,
    /// Accepted. States that we do not know count as this.
    Active,
    /// Over.
    Terminated,
}

/// A notification.
#[derive(Clone, PartialEq, Eq)]
pub struct Notified {
    /// By whom.
    pub leg: LegId,
    /// The state with it.
    pub state: LegState,
    /// Content-Type, if there is a body.
    pub content_type: Option<String>,
    /// The body; empty when the notifier has nothing to tell.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Notified {
    /// Without the body: it holds identities.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notified")
            .field("leg", &self.leg)
            .field("state", &self.state)
            .field("content_type", &self.content_type)
            .field("length", &self.body.len())
            .finish()
    }
}

/// What the owner of a subscription learns.
#[derive(Clone, Debug)]
pub enum SubscriptionEvent {
    /// Messages for it are found under this key from now on, and no longer under the one before: a
    /// subscription made anew shares nothing with the old one (RFC 6665 §4.1.2.2).
    NewKey(OwnerKey),
    /// A SUBSCRIBE that makes a subscription is on its way.
    Trying,
    /// A notifier's state changed.
    State {
        /// Which.
        leg: LegId,
        /// To what.
        state: LegState,
        /// How long it lasts unless renewed.
        expires_in: Option<Duration>,
    },
    /// A notification came.
    Notified(Box<Notified>),
    /// It did not work, or is over before its time, and is tried again by itself.
    Failed {
        /// Why.
        what: Fault,
        /// In how long the next try comes.
        retry_in: Duration,
    },
    /// The one end of it, until `subscribe` is called again.
    Ended(SubscriptionEnd),
    /// Something a person may want to know.
    Notice(Sentence),
}

/// How a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionEnd {
    /// At our own wish.
    Unsubscribed,
    /// The state that was asked for once has come.
    Polled,
    /// It will not work, or not again.
    Refused(Fault),
}
