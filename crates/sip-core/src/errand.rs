//! One request of ours with the question for its paths before it: what subscriptions,
//! publications, messages and notifications send.
//!
//! ```text
//!   Resolving ── paths ──► Requesting ──► Done
//!       └── none found ───────────────────►┘
//! ```

use std::time::{Duration, Instant};

use privacy::Sentence;
use sip_message::{Response, Uri};

use crate::auth::{Credentials, LoginWanted};
use crate::client::{
    Answered, ClientContext, ClientRequest, ClientRequestOutput, Draft, RequestFailure,
    RequestResult,
};
use crate::path::{Destination, Inbound, Path, ResolveError, ResolveId, Transmit, TransportError};

/// How long one server may be silent while there is another to try: as long as for a registration.
const PATIENCE: Duration = Duration::from_secs(6);

/// A request from the question for its paths to its end.
#[derive(Debug)]
pub(crate) struct Errand {
    step: Step,
    /// How long it waits for a login that is not there.
    login_wait: Option<Duration>,
}

#[derive(Debug)]
enum Step {
    Resolving {
        id: ResolveId,
        /// The next hop asked for.
        hop: Box<Uri>,
        draft: Box<Draft>,
        /// Gone first, when its path is among those found.
        prefer: Option<Destination>,
    },
    Requesting(Box<ClientRequest>),
    Unresolved(ResolveError),
    Over,
}

/// What an errand wants done.
#[derive(Debug)]
pub(crate) enum ErrandOutput {
    Transmit(Transmit),
    Notice(Sentence),
    /// A login is wanted, of those that ask for it only.
    LoginWanted(LoginWanted),
    LoginSettled {
        realm: String,
    },
    /// The one end of it.
    Done(ErrandEnd),
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum ErrandEnd {
    Answered(Box<Answered>),
    Failed(RequestFailure),
    Unresolved(ResolveError),
}

impl Errand {
    /// Waits for the paths asked for under this id.
    pub(crate) fn resolving(
        id: ResolveId,
        hop: &Uri,
        draft: Draft,
        prefer: Option<Destination>,
    ) -> Self {
        Self {
            step: Step::Resolving {
                id,
                hop: Box::new(hop.clone()),
                draft: Box::new(draft),
                prefer,
            },
            login_wait: None,
        }
    }

    /// The same, and where a login is missing or refused it waits so long for a person to give one.
    pub(crate) fn asking(mut self, wait: Option<Duration>) -> Self {
        self.login_wait = wait;
        self
    }

    /// Goes on with the login that it waits for, or without any when there is none. Answers whether it waited.
    pub(crate) fn login(
        &mut self,
        now: Instant,
        credentials: Option<Credentials>,
        context: &mut ClientContext<'_>,
    ) -> bool {
        match (&mut self.step, credentials) {
            (Step::Requesting(request), Some(credentials)) => {
                request.login(now, credentials, context)
            }
            (Step::Requesting(request), None) => request.give_up_login(now, context),
            _ => false,
        }
    }

    /// Goes along these destinations.
    pub(crate) fn along(
        now: Instant,
        draft: Draft,
        destinations: Vec<Destination>,
        context: &mut ClientContext<'_>,
    ) -> Self {
        let request =
            ClientRequest::new(now, draft, destinations, context).with_patience(Some(PATIENCE));
        Self {
            step: Step::Requesting(Box::new(request)),
            login_wait: None,
        }
    }

    /// Takes the answer to a question for paths. False when it was somebody else's.
    pub(crate) fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        outcome: Result<Vec<Path>, ResolveError>,
        context: &mut ClientContext<'_>,
    ) -> bool {
        match &self.step {
            Step::Resolving { id: wanted, .. } if *wanted == id => {}
            _ => return false,
        }
        if let Step::Resolving {
            hop, draft, prefer, ..
        } = std::mem::replace(&mut self.step, Step::Over)
        {
            self.step = match outcome {
                Ok(paths) => {
                    context.authenticator.learn(&hop, &paths);
                    let destinations = in_order(paths, prefer);
                    let request = ClientRequest::new(now, *draft, destinations, context)
                        .with_patience(Some(PATIENCE))
                        .asking(self.login_wait);
                    Step::Requesting(Box::new(request))
                }
                Err(error) => Step::Unresolved(error),
            };
        }
        true
    }

    /// Takes a response. Answers whether it was this request's.
    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        response: &Response,
        inbound: &Inbound,
        context: &mut ClientContext<'_>,
    ) -> bool {
        match &mut self.step {
            Step::Requesting(request) => request.handle_response(now, response, inbound, context),
            _ => false,
        }
    }

    /// Takes the news that what had this branch could not be sent. Answers whether it was ours.
    pub(crate) fn handle_transport_error(
        &mut self,
        now: Instant,
        branch: &str,
        error: &TransportError,
        context: &mut ClientContext<'_>,
    ) -> bool {
        match &mut self.step {
            Step::Requesting(request) => {
                request.handle_transport_error(now, branch, error.clone(), context)
            }
            _ => false,
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, context: &mut ClientContext<'_>) {
        if let Step::Requesting(request) = &mut self.step {
            request.handle_timeout(now, context);
        }
    }

    /// The next thing to do, if any.
    pub(crate) fn poll_output(&mut self) -> Option<ErrandOutput> {
        match &mut self.step {
            Step::Requesting(request) => loop {
                return Some(match request.poll_output()? {
                    ClientRequestOutput::Transmit(transmit) => ErrandOutput::Transmit(transmit),
                    ClientRequestOutput::Provisional(_) => continue,
                    ClientRequestOutput::Notice(text) => ErrandOutput::Notice(text),
                    ClientRequestOutput::LoginWanted(wanted) => ErrandOutput::LoginWanted(wanted),
                    ClientRequestOutput::LoginSettled { realm } => {
                        ErrandOutput::LoginSettled { realm }
                    }
                    ClientRequestOutput::Done(result) => {
                        self.step = Step::Over;
                        ErrandOutput::Done(match result {
                            RequestResult::Answered(answered) => ErrandEnd::Answered(answered),
                            RequestResult::Failed(failure) => ErrandEnd::Failed(failure),
                        })
                    }
                });
            },
            Step::Unresolved(_) => match std::mem::replace(&mut self.step, Step::Over) {
                Step::Unresolved(error) => Some(ErrandOutput::Done(ErrandEnd::Unresolved(error))),
                _ => None,
            },
            Step::Resolving { .. } | Step::Over => None,
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.step {
            Step::Requesting(request) => request.deadline(),
            _ => None,
        }
    }

    /// Whether nothing was sent yet, so that there is nothing to undo.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self.step, Step::Resolving { .. })
    }
}

/// The paths in their order, but for the known flow, which goes first when it leads along one of
/// them.
fn in_order(paths: Vec<Path>, prefer: Option<Destination>) -> Vec<Destination> {
    let known = prefer.filter(|known| paths.contains(known.path()));
    let known_path = known.map(|known| *known.path());
    known
        .into_iter()
        .chain(
            paths
                .into_iter()
                .filter(|path| Some(*path) != known_path)
                .map(Destination::Path),
        )
        .collect()
}
