//! What keeps a request of the event kind from its aim.

use std::time::Duration;

use privacy::{Private, Sentence};
use sip_message::StatusCode;
use thiserror::Error;

use crate::auth::AuthError;
use crate::client::{Answered, RequestFailure};
use crate::errand::ErrandEnd;
use crate::path::{Path, ResolveError};
use crate::refresh::{is_for_good, retry_after};

/// Why a subscription, a publication or a message did not come about or did not last.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Somebody answered no.
    #[error("{code} {phrase:?}: {path}", code = .status.code())]
    Status {
        /// The status.
        status: StatusCode,
        /// Its phrase.
        phrase: Private,
        /// Who said it.
        path: Path,
        /// When to ask again at the earliest, if it said so.
        retry_after: Option<Duration>,
    },
    /// The notifier ended the subscription, with its reason (RFC 6665 §4.1.3).
    #[error("the notifier ended the subscription, with a reason: {}", .reason.is_some())]
    Terminated {
        /// `deactivated`, `rejected`, `noresource`, …; `None` when none was given.
        reason: Option<Private>,
    },
    /// The notifier accepted and then told nothing (RFC 6665 §4.1.2.4, Timer N).
    #[error("the subscription was accepted and no notification came")]
    NoNotify,
    /// It was not renewed before its time was over.
    #[error("the granted time is over")]
    Expired,
    /// The server keeps it for no time at all.
    #[error("granted for no time: {path}")]
    NothingGranted {
        /// Who said so.
        path: Path,
    },
    /// The answer lacks what it must have.
    #[error("the answer has no {missing}: {path}")]
    Incomplete {
        /// The header missing.
        missing: &'static str,
        /// Who answered.
        path: Path,
    },
    /// Nobody answered, no path carried the request, or a challenge cannot be answered.
    #[error(transparent)]
    Request(#[from] RequestFailure),
    /// The way there was not found.
    #[error(transparent)]
    Unresolved(#[from] ResolveError),
}

impl Fault {
    /// The same as `Display`, with the words of the peer: for a person.
    pub fn sentence(&self) -> Sentence {
        match self {
            Self::Status {
                status,
                phrase,
                path,
                ..
            } => format!("{} {}: {path}", status.code(), phrase.reveal()).into(),
            Self::Terminated { reason } => {
                let reason = reason.as_ref().map_or("without a reason", Private::reveal);
                format!("the notifier ended the subscription: {reason}").into()
            }
            Self::NoNotify
            | Self::Expired
            | Self::NothingGranted { .. }
            | Self::Incomplete { .. }
            | Self::Request(_)
            | Self::Unresolved(_) => self.to_string().into(),
        }
    }

    /// Whether another try would end the same.
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::Status { status, .. } => is_for_good(*status),
            Self::Request(RequestFailure::Auth { error, .. }) => {
                !matches!(error, AuthError::Stale { .. } | AuthError::TooOften { .. })
            }
            Self::Terminated { .. }
            | Self::NoNotify
            | Self::Expired
            | Self::NothingGranted { .. }
            | Self::Incomplete { .. }
            | Self::Request(_)
            | Self::Unresolved(_) => false,
        }
    }

    /// The status, where it was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// When the server wants to be asked again at the earliest.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn of_answer(answered: &Answered) -> Self {
        Self::Status {
            status: answered.response.status,
            phrase: answered.response.reason.as_str().into(),
            path: answered.path,
            retry_after: retry_after(&answered.response),
        }
    }
}

/// The answer, good or bad, or why there is none.
pub(crate) fn answer_of(end: ErrandEnd) -> Result<Box<Answered>, Fault> {
    match end {
        ErrandEnd::Answered(answered) => Ok(answered),
        ErrandEnd::Failed(failure) => Err(Fault::Request(failure)),
        ErrandEnd::Unresolved(error) => Err(Fault::Unresolved(error)),
    }
}
