//! Instant messages, one at a time (RFC 3428): [`InstantMessage`] sends one, [`read_message`]
//! reads one that came.

mod incoming;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use privacy::Sentence;
use sip_message::{HeaderName, Method, NameAddr, Response, StatusCode, Uri};

pub(crate) use incoming::READABLE;
pub use incoming::{Broken, MessageRefusal, ReceivedMessage, answer_message, read_message};

use super::fault::answer_of;
use super::{Fault, outside_dialogs};
use crate::auth::{Authenticator, Credentials, Home, LoginWanted};
use crate::client::{ClientContext, Draft};
use crate::dispatch::OwnerKey;
use crate::errand::{Errand, ErrandEnd, ErrandOutput};
use crate::output::{Outbox, Output};
use crate::path::{Inbound, Path, ResolveError, ResolveId, Transport, TransportError};
use crate::timers::Timers;
use crate::tokens::{Seed, Tokens};

/// What to say to whom.
#[derive(Clone)]
pub struct MessageConfig {
    /// To whom: request URI and To.
    pub to: NameAddr,
    /// Ourselves, for From.
    pub from: NameAddr,
    /// Proxies to pass, nearest first.
    pub route: Vec<Uri>,
    /// The only transport to use; whatever RFC 3263 gives when `None`.
    pub transport: Option<Transport>,
    /// Content-Type of the body.
    pub content_type: String,
    /// The body. One that makes the request larger than 1300 bytes goes over TCP (RFC 3261
    /// §18.1.1, RFC 3428 §8).
    pub body: Vec<u8>,
    /// Passwords.
    pub credentials: Vec<Credentials>,
    /// Whose challenges they answer.
    pub home: Home,
    /// How long it waits for a login that is not there, or was refused ([`InstantMessage::login`]).
    pub login_wait: Option<Duration>,
    /// Value of User-Agent; none is sent when empty.
    pub user_agent: String,
    /// Timer values.
    pub timers: Timers,
}

impl MessageConfig {
    /// A text with everything else at its default: no proxy, no password.
    pub fn text(to: NameAddr, from: NameAddr, text: &str) -> Self {
        Self {
            to,
            from,
            route: Vec::new(),
            transport: None,
            content_type: "text/plain;charset=UTF-8".to_owned(),
            body: text.as_bytes().to_vec(),
            credentials: Vec::new(),
            home: Home::default(),
            login_wait: None,
            user_agent: String::new(),
            timers: Timers::default(),
        }
    }
}

impl std::fmt::Debug for MessageConfig {
    /// Without identities and what is said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageConfig")
            .field("transport", &self.transport)
            .field("proxies", &self.route.len())
            .field("length", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came of it. Exactly one of `Delivered`, `Stored` and `Failed` comes.
#[derive(Clone, Debug)]
pub enum MessageEvent {
    /// The other end has it: a 2xx other than 202 (RFC 3428 §4).
    Delivered {
        /// Who answered.
        path: Path,
        /// From request to answer; `None` when the request had to be repeated.
        round_trip: Option<Duration>,
    },
    /// A server has it and will try to pass it on (202); nobody will say whether that worked.
    Stored {
        /// Who answered.
        path: Path,
    },
    /// It did not arrive; the fault says who said so, if anybody did.
    Failed(Fault),
    /// It is asked for a login that we do not have, and waits for [`InstantMessage::login`].
    LoginWanted(LoginWanted),
    /// Nobody waits for that login any more.
    LoginSettled {
        /// Who asked.
        realm: String,
    },
    /// Something a person may want to know.
    Notice(Sentence),
}

/// One MESSAGE. Made, sent, drained, dropped.
#[derive(Debug)]
pub struct InstantMessage {
    config: MessageConfig,
    key: OwnerKey,
    authenticator: Authenticator,
    tokens: Tokens,
    cseq: u32,
    step: Step,
    outbox: Outbox<MessageEvent>,
}

#[derive(Debug)]
enum Step {
    Idle,
    Going(Box<Errand>),
    Done,
}

/// The only question that is ever asked.
const QUESTION: ResolveId = ResolveId(1);

impl InstantMessage {
    /// A message not yet sent.
    pub fn new(config: MessageConfig, seed: &Seed) -> Self {
        let mut tokens = Tokens::new(seed);
        Self {
            key: OwnerKey {
                call_id: tokens.call_id(),
                local_tag: tokens.tag(),
            },
            authenticator: Authenticator::at_home(config.credentials.clone(), config.home.clone()),
            cseq: tokens.cseq(),
            tokens,
            config,
            step: Step::Idle,
            outbox: Outbox::default(),
        }
    }

    /// Sends it. A second time it does nothing.
    pub fn send(&mut self, _now: Instant) {
        self.outbox.begin_input();
        if !matches!(self.step, Step::Idle) {
            return;
        }
        let config = &self.config;
        let mut request = outside_dialogs(
            Method::Message,
            &config.to.uri,
            &config.to,
            &config.from,
            &self.key,
            &config.route,
        );
        // RFC 3428 §4: no Contact. It makes no dialog.
        if !config.user_agent.is_empty() {
            request
                .headers
                .push(HeaderName::UserAgent, config.user_agent.as_str());
        }
        request.set_body(&config.content_type, config.body.clone());
        let draft = Draft {
            request,
            contact: None,
        };
        let next_hop = config.route.first().unwrap_or(&config.to.uri).clone();
        let errand = Errand::resolving(QUESTION, &next_hop, draft, None);
        self.step = Step::Going(Box::new(errand.asking(self.config.login_wait)));
        self.outbox
            .resolve(QUESTION, next_hop, self.config.transport);
    }

    /// Takes the answer to [`Output::Resolve`].
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        outcome: Result<Vec<Path>, ResolveError>,
    ) {
        self.outbox.begin_input();
        self.with_errand(|errand, context| {
            errand.handle_resolved(now, id, outcome, context);
        });
    }

    /// Takes a response; one that belongs to nothing on its way is dropped.
    pub fn handle_response(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        self.outbox.begin_input();
        self.with_errand(|errand, context| {
            errand.handle_response(now, response, inbound, context);
        });
    }

    /// Takes the news that what had this branch could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.outbox.begin_input();
        self.with_errand(|errand, context| {
            errand.handle_transport_error(now, branch, &error, context);
        });
    }

    /// Gives the login that it waits for since [`MessageEvent::LoginWanted`]; `None` gives up waiting.
    pub fn login(&mut self, now: Instant, credentials: Option<Credentials>) {
        self.outbox.begin_input();
        self.with_errand(|errand, context| {
            errand.login(now, credentials, context);
        });
    }

    /// Does what is due. Too early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outbox.begin_input();
        self.with_errand(|errand, context| errand.handle_timeout(now, context));
    }

    /// The next thing to do; see [`crate`] for the contract.
    pub fn poll_output(&mut self) -> Output<MessageEvent> {
        let deadline = match &self.step {
            Step::Going(errand) => errand.deadline(),
            Step::Idle | Step::Done => None,
        };
        self.outbox.poll(deadline)
    }

    /// Under which responses find it.
    pub fn owner_key(&self) -> OwnerKey {
        self.key.clone()
    }

    /// Whether nothing runs: before it was sent and after its end.
    pub fn is_drained(&self) -> bool {
        matches!(self.step, Step::Idle | Step::Done)
    }

    fn with_errand(&mut self, act: impl FnOnce(&mut Errand, &mut ClientContext<'_>)) {
        if let Step::Going(errand) = &mut self.step {
            let mut context = ClientContext {
                authenticator: &mut self.authenticator,
                tokens: &mut self.tokens,
                cseq: &mut self.cseq,
                timers: &self.config.timers,
            };
            act(errand, &mut context);
        }
        while let Step::Going(errand) = &mut self.step {
            match errand.poll_output() {
                None => return,
                Some(ErrandOutput::Transmit(transmit)) => self.outbox.transmit(transmit),
                Some(ErrandOutput::Notice(text)) => {
                    self.outbox.event(MessageEvent::Notice(text));
                }
                Some(ErrandOutput::LoginWanted(wanted)) => {
                    self.outbox.event(MessageEvent::LoginWanted(wanted));
                }
                Some(ErrandOutput::LoginSettled { realm }) => {
                    self.outbox.event(MessageEvent::LoginSettled { realm });
                }
                Some(ErrandOutput::Done(end)) => {
                    self.step = Step::Done;
                    self.outbox.event(event_of(end));
                }
            }
        }
    }
}

fn event_of(end: ErrandEnd) -> MessageEvent {
    match answer_of(end) {
        Ok(answered) if answered.response.status == StatusCode::ACCEPTED => MessageEvent::Stored {
            path: answered.inbound.path,
        },
        Ok(answered) if answered.response.status.is_success() => MessageEvent::Delivered {
            path: answered.inbound.path,
            round_trip: answered.round_trip,
        },
        Ok(answered) => MessageEvent::Failed(Fault::of_answer(&answered)),
        Err(fault) => MessageEvent::Failed(fault),
    }
}
