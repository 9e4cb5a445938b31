//! What the owner of a registration learns.

use std::net::SocketAddr;
use std::time::Duration;

use privacy::{Identity, Private, Sentence, ServerUri};
use sip_message::{StatusCode, Uri};
use thiserror::Error;

use crate::auth::{AuthError, Strength};
use crate::client::RequestFailure;
use crate::locate::Tried;
use crate::path::{FlowId, Path, ResolveError};

/// What the owner of a registration learns.
#[derive(Clone, Debug)]
pub enum RegistrationEvent {
    /// A REGISTER is on its way, for the first time or again.
    Trying,
    /// The registrar holds our binding. Comes after each refresh too.
    Registered(Box<Registered>),
    /// The registrar, or the lack of a password, says no for good. Nothing more is tried until
    /// [`register`](super::Registration::register) is called.
    Refused(Refusal),
    /// It did not work and is tried again by itself.
    Failed {
        /// Why.
        what: Trouble,
        /// In how long the next try comes.
        retry_in: Duration,
    },
    /// The bindings under our address of record, as asked for by
    /// [`fetch_bindings`](super::Registration::fetch_bindings) or left after
    /// [`remove_binding`](super::Registration::remove_binding).
    Bindings(Vec<BoundContact>),
    /// What bindings there are was asked and not told, with why.
    NotListed(Sentence),
    /// Signed out, or given up at our own wish.
    Unregistered,
    /// A server failed, whatever comes of the REGISTER elsewhere.
    Tried(Tried),
    /// Something a person may want to know: a peer's fault repaired, a path changed.
    Notice(Sentence),
}

/// A binding that the registrar holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// How long from now the registrar keeps it.
    pub granted: Duration,
    /// In how long it is refreshed.
    pub refresh_in: Duration,
    /// The flow on which the registrar answered, and on which requests to us will come.
    pub flow: FlowId,
    /// Its path: `remote` is the real address of the server that answered.
    pub path: Path,
    /// From REGISTER to answer; `None` when the REGISTER had to be repeated.
    pub round_trip: Option<Duration>,
    /// How the server sees us, if it told.
    pub mapped: Option<SocketAddr>,
    /// The URI of our binding: what calls to us will have as request URI.
    pub contact: Identity,
    /// Service-Route values, for the Route of our requests (RFC 3608).
    pub service_route: Vec<ServerUri>,
    /// Realms that asked for a login on the way and took it.
    pub realms: Vec<String>,
    /// The weakest way in which one of them asked; `None` when none did.
    pub weakest_login: Option<Strength>,
    /// P-Associated-URI values: further addresses that are ours (RFC 7315).
    pub associated: Vec<Identity>,
    /// Whether the registrar keeps to the flow (RFC 5626 §6).
    pub outbound: bool,
    /// How often the first hop wants a keep-alive at least, if it said so (RFC 5626 §5.4).
    pub flow_timer: Option<Duration>,
    /// The lasting URI of this instance, if there is one (RFC 5627 §4.2).
    pub public_gruu: Option<Identity>,
    /// The URI of this instance that hides who it is, if there is one.
    pub temporary_gruu: Option<Identity>,
    /// Bindings of others under our address of record.
    pub other_bindings: usize,
    /// All bindings that the registrar lists, ours among them.
    pub bindings: Vec<BoundContact>,
}

impl Registered {
    /// The Contact to offer in requests that make dialogs, where another than that of the path is
    /// better: our lasting GRUU (RFC 5627 §4.4), else the binding with `ob` where the registrar
    /// keeps to the flow (RFC 5626 §4.3).
    pub fn contact_for_dialogs(&self) -> Option<Uri> {
        if let Some(gruu) = &self.public_gruu {
            return Uri::parse(gruu.reveal()).ok();
        }
        if !self.outbound {
            return None;
        }
        let mut uri = Uri::parse(self.contact.reveal()).ok()?;
        uri.params.set_flag("ob");
        Some(uri)
    }
}

/// One binding in the registrar's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundContact {
    /// Its URI.
    pub uri: Identity,
    /// How long it stays, if the registrar says so.
    pub expires: Option<Duration>,
    /// Whether it is ours.
    pub own: bool,
}

/// A no for good.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The registrar's own words.
    #[error("{code} {phrase:?}: {path}", code = .status.code())]
    Status {
        /// Its status.
        status: StatusCode,
        /// Its phrase.
        phrase: Private,
        /// Who said it.
        path: Path,
    },
    /// It wants a longer time and does not say how long, or nothing that can be followed (RFC 3261 §10.2.8).
    #[error("no time that the registrar takes is known: {path}")]
    IntervalTooBrief {
        /// What we asked for.
        asked: Duration,
        /// Its Min-Expires, which a 423 has to have (RFC 3261 §21.4.17).
        least: Option<Duration>,
        /// Who said it.
        path: Path,
    },
    /// It wants a password and has none that it likes.
    #[error("{error}: {path}")]
    Auth {
        /// Refused, missing, or no method known.
        error: AuthError,
        /// Status of the challenge: 401 or 407.
        status: StatusCode,
        /// Who said it.
        path: Path,
    },
}

impl Trouble {
    /// The same as `Display`, with the words of the peer: for a person.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Status {
                status,
                phrase,
                path,
            } => format!("{} {}: {path}", status.code(), phrase.reveal()),
            Self::Resolve(_) | Self::Request(_) | Self::NothingGranted { .. } | Self::FlowLost => {
                self.to_string()
            }
        }
    }
}

/// Something that may pass by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The way to the registrar was not found.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Nobody answered, or no path carried the request.
    #[error(transparent)]
    Request(#[from] RequestFailure),
    /// The registrar cannot now.
    #[error("{code} {phrase:?}: {path}", code = .status.code())]
    Status {
        /// Its status.
        status: StatusCode,
        /// Its phrase.
        phrase: Private,
        /// Who said it.
        path: Path,
    },
    /// It said yes and granted no time.
    #[error("registration granted for no time: {path}")]
    NothingGranted {
        /// Who said it.
        path: Path,
    },
    /// Connections close as soon as the registration stands.
    #[error("connection lost right after registering")]
    FlowLost,
}
