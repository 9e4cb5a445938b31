//! One request outside any dialog of ours, until it is answered: an OPTIONS, a MESSAGE, or the BYE of a
//! call whose own actor has failed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use event_bodies::voice_quality;
use model::{
    AccountId, Answer, Event, Failure, FailureKind, LoginPurpose, MessageState, MessageView,
    QuestionId, Sentence,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip_core::auth::LoginWanted;
use sip_core::call::{ByeCard, Call, CallConfig, CallEvent};
use sip_core::dispatch::{OwnerKey, ServerKey};
use sip_core::events::{InstantMessage, MessageConfig, MessageEvent};
use sip_core::options::{Options, OptionsConfig, OptionsEvent, Question};
use sip_core::{Path, Seed, Timers};
use sip_message::{Message, Method, NameAddr, Response, Uri};

use crate::drive::{self, Outlet, Questions};
use crate::identity::Identity;
use crate::logins::LoginQuestion;
use crate::passwords::GivenLogin;
use crate::recorder::RecorderMsg;
use crate::shared::{Service, Shared};
use crate::transport::{Delivery, Owner, TransportMsg};
use crate::wake::{Wake, now};
use crate::{DRAINED, failures};

/// What a [`OneShotActor`] can be told.
pub(crate) enum OneShotMsg {
    /// The transport brought something.
    Delivered(Delivery),
    /// A deadline has come.
    Wake(u64),
    /// The tenant has a new transport.
    TransportReplaced(ActorRef<TransportMsg>),
    /// Whoever asked waits no longer.
    TooLate,
    /// A person gave the login that somebody asks for, or gives none.
    Login {
        questions: Vec<QuestionId>,
        given: Option<Box<GivenLogin>>,
    },
}

/// Owns one request until it is over.
pub(crate) struct OneShotActor;

/// What a [`OneShotActor`] is started with.
pub(crate) struct OneShotArgs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) account: AccountId,
    pub(crate) identity: Identity,
    pub(crate) config: CallConfig,
    pub(crate) transport: ActorRef<TransportMsg>,
    pub(crate) recorder: Arc<Service<RecorderMsg>>,
    pub(crate) task: Task,
}

/// What is to be done.
pub(crate) enum Task {
    /// Ask a peer what it can do, or send another request that begins no call.
    Ask {
        /// Whom.
        target: Uri,
        /// What was typed, to answer with.
        typed: model::Identity,
        /// What, where it is not the OPTIONS that [`Event::OptionsAnswered`] answers.
        question: Option<Box<Question>>,
    },
    /// Send a text message.
    Say {
        /// To whom.
        target: Uri,
        /// The message as it is shown.
        view: Box<MessageView>,
    },
    /// Tell a collector how a call sounded (RFC 6035).
    Report {
        /// The collector.
        target: Uri,
        /// What is told.
        body: Vec<u8>,
    },
    /// Hang up for an actor that cannot.
    Farewell {
        /// What that takes.
        card: Box<ByeCard>,
    },
}

pub(crate) struct OneShotState {
    args: Asker,
    owner: Owner,
    key: OwnerKey,
    /// The INVITE that it refuses, if it does.
    server_key: Option<ServerKey>,
    request: Running,
    /// The login that it waits for.
    login: LoginQuestion,
    questions: Questions,
    wake: Wake,
}

struct Asker {
    shared: Arc<Shared>,
    account: AccountId,
    identity: Identity,
    transport: ActorRef<TransportMsg>,
    recorder: Arc<Service<RecorderMsg>>,
    typed: model::Identity,
    purpose: Purpose,
}

/// Who waits for the answer to a question.
enum Purpose {
    /// Who asked what a peer can do.
    Options,
    /// Who wrote a request with this method.
    Request(Method),
    /// The trace.
    QualityReport,
}

/// The protocol object of the task.
enum Running {
    Ask(Box<Options>, VecDeque<OptionsEvent>),
    Say(
        Box<InstantMessage>,
        VecDeque<MessageEvent>,
        Box<MessageView>,
    ),
    Farewell(Box<Call>, VecDeque<CallEvent>),
}

impl Actor for OneShotActor {
    type Msg = OneShotMsg;
    type State = OneShotState;
    type Arguments = OneShotArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let owner = Owner::new(&myself, args.account.clone(), None, OneShotMsg::Delivered)
            .ruled_by(&args.identity.rules);
        let at = now();
        let seed = args.shared.seed();
        let server_key = match &args.task {
            Task::Ask { .. } | Task::Say { .. } | Task::Report { .. } => None,
            Task::Farewell { card } => card.server_key(),
        };
        let mut purpose = Purpose::Options;
        let (request, key, typed) = match args.task {
            Task::Ask {
                target,
                typed,
                question,
            } => {
                let question = question.map(|question| *question);
                let method = question.as_ref().map(|question| question.method.clone());
                purpose = method.map_or(Purpose::Options, Purpose::Request);
                let config =
                    question_to(&args.shared, &args.identity, &args.config, target, question);
                let (running, key) = ask(at, &seed, config);
                (running, key, typed)
            }
            Task::Report { target, body } => {
                purpose = Purpose::QualityReport;
                let question = Some(quality_report(body));
                // Nobody is asked for a password for it.
                let config = OptionsConfig {
                    login_wait: None,
                    ..question_to(&args.shared, &args.identity, &args.config, target, question)
                };
                let (running, key) = ask(at, &seed, config);
                (running, key, model::Identity::default())
            }
            Task::Say { target, view } => {
                let config = MessageConfig {
                    route: args.config.route.clone(),
                    transport: args.identity.transport,
                    credentials: args.config.credentials.clone(),
                    home: args.config.home.clone(),
                    login_wait: args.identity.login_wait,
                    user_agent: args.shared.capabilities.user_agent.clone(),
                    ..MessageConfig::text(
                        NameAddr::new(target),
                        args.identity.from.clone(),
                        view.text.reveal(),
                    )
                };
                let mut message = InstantMessage::new(config, &seed);
                message.send(at);
                let key = message.owner_key();
                let running = Running::Say(Box::new(message), VecDeque::new(), view);
                (running, key, model::Identity::default())
            }
            Task::Farewell { card } => {
                let key = card.owner_key();
                let call = card.into_bye(at, args.config, &seed);
                (
                    Running::Farewell(Box::new(call), VecDeque::new()),
                    key,
                    model::Identity::default(),
                )
            }
        };
        let login = LoginQuestion::new(&args.shared.hub);
        let asker = Asker {
            shared: args.shared,
            account: args.account,
            identity: args.identity,
            transport: args.transport,
            recorder: args.recorder,
            typed,
            purpose,
        };
        let mut state = OneShotState {
            args: asker,
            owner,
            key,
            server_key,
            request,
            login,
            questions: Questions::default(),
            wake: Wake::default(),
        };
        if let (Running::Ask(..), Some(limit)) = (&state.request, state.args.shared.ask_limit) {
            myself.send_after(limit, || OneShotMsg::TooLate);
        }
        state.claim();
        state.drive(&myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            OneShotMsg::Delivered(delivery) => state.on_delivery(delivery),
            OneShotMsg::Wake(generation) => {
                if state.wake.is_current(generation) {
                    state.on_wake(now());
                }
            }
            OneShotMsg::TransportReplaced(transport) => state.on_transport_replaced(transport),
            OneShotMsg::Login { questions, given } => {
                if questions.iter().any(|id| state.login.is(*id)) {
                    state.on_login(given.as_deref());
                }
            }
            OneShotMsg::TooLate => {
                if let Running::Ask(options, _) = &mut state.request {
                    options.give_up(now());
                }
            }
        }
        state.drive(&myself);
        let drained = match &state.request {
            Running::Ask(options, _) => options.is_drained(),
            Running::Say(message, ..) => message.is_drained(),
            Running::Farewell(call, _) => call.is_drained(),
        };
        if drained {
            myself.stop(Some(DRAINED.to_owned()));
        }
        Ok(())
    }
}

/// What is asked whom: an OPTIONS where nothing else is.
fn question_to(
    shared: &Shared,
    identity: &Identity,
    config: &CallConfig,
    target: Uri,
    question: Option<Question>,
) -> OptionsConfig {
    OptionsConfig {
        target,
        from: identity.from.clone(),
        route: identity.proxy.clone(),
        transport: identity.transport,
        credentials: config.credentials.clone(),
        home: config.home.clone(),
        login_wait: identity.login_wait,
        capabilities: shared.capabilities.clone(),
        question: question.unwrap_or_default(),
        timers: Timers::default(),
    }
}

/// A question on its way, and under what its answer finds it.
fn ask(at: Instant, seed: &Seed, config: OptionsConfig) -> (Running, OwnerKey) {
    let mut options = Options::new(config, seed);
    options.ask(at);
    let key = options.owner_key().clone();
    (Running::Ask(Box::new(options), VecDeque::new()), key)
}

/// A PUBLISH of how a call sounded. It asks for no time to be kept, and is not renewed: the call is over.
fn quality_report(body: Vec<u8>) -> Question {
    Question {
        method: Method::Publish,
        headers: vec![("Event".to_owned(), voice_quality::PACKAGE.to_owned())],
        body: Some((voice_quality::CONTENT_TYPE.to_owned(), body)),
        contact_user: String::new(),
    }
}

impl OneShotState {
    fn claim(&self) {
        let _ = self.args.transport.cast(TransportMsg::Claim {
            key: self.key.clone(),
            server_key: self.server_key.clone(),
            owner: self.owner.clone(),
        });
    }

    fn on_transport_replaced(&mut self, transport: ActorRef<TransportMsg>) {
        self.args.transport = transport;
        self.claim();
        let outlet = Outlet::of(&self.owner, &self.args.transport, &self.args.identity);
        self.questions.ask_again(&outlet);
    }

    fn on_delivery(&mut self, delivery: Delivery) {
        if let Delivery::Resolved { id, .. } = &delivery {
            self.questions.on_answer(*id);
        }
        match delivery {
            Delivery::Message {
                message,
                inbound,
                at,
            } => match (&mut self.request, *message) {
                (Running::Ask(options, _), Message::Response(response)) => {
                    options.handle_response(at, &response, &inbound);
                }
                (Running::Say(say, ..), Message::Response(response)) => {
                    say.handle_response(at, &response, &inbound);
                }
                (Running::Farewell(call, _), Message::Request(request)) => {
                    call.handle_request(at, request, inbound);
                }
                (Running::Farewell(call, _), Message::Response(response)) => {
                    call.handle_response(at, response, inbound);
                }
                // Nobody has a dialog with a question.
                (Running::Ask(..) | Running::Say(..), Message::Request(_)) => {}
            },
            Delivery::Resolved { id, result } => match &mut self.request {
                Running::Ask(options, _) => options.handle_resolved(now(), id, result),
                Running::Say(say, ..) => say.handle_resolved(now(), id, result),
                Running::Farewell(call, _) => call.handle_resolved(now(), id, result),
            },
            Delivery::Unsent { branch, error } => match &mut self.request {
                Running::Ask(options, _) => options.handle_transport_error(now(), &branch, error),
                Running::Say(say, ..) => say.handle_transport_error(now(), &branch, error),
                Running::Farewell(call, _) => call.handle_transport_error(now(), &branch, error),
            },
            Delivery::FlowLost(_)
            | Delivery::Targets { .. }
            | Delivery::BetterServer
            | Delivery::Unreadable(_)
            | Delivery::OnTheWay { .. }
            | Delivery::Untrusted(_) => {}
        }
    }

    fn on_login(&mut self, given: Option<&GivenLogin>) {
        let credentials = given.map(|given| given.credentials(&self.args.identity));
        match &mut self.request {
            Running::Ask(options, _) => options.login(now(), credentials),
            Running::Say(say, ..) => say.login(now(), credentials),
            Running::Farewell(..) => {}
        }
    }

    fn on_wake(&mut self, at: Instant) {
        match &mut self.request {
            Running::Ask(options, _) => options.handle_timeout(at),
            Running::Say(say, ..) => say.handle_timeout(at),
            Running::Farewell(call, _) => call.handle_timeout(at),
        }
    }

    fn drive(&mut self, myself: &ActorRef<OneShotMsg>) {
        let outlet = Outlet::of(&self.owner, &self.args.transport, &self.args.identity);
        let deadline = match &mut self.request {
            Running::Ask(options, events) => {
                let deadline = drive::drain(
                    || options.poll_output(),
                    &outlet,
                    &mut self.questions,
                    events,
                );
                for event in std::mem::take(events) {
                    match event {
                        OptionsEvent::LoginWanted(wanted) => {
                            self.args
                                .ask(&mut self.login, LoginPurpose::Options, &wanted);
                        }
                        OptionsEvent::LoginSettled { .. } => {
                            self.login.settle();
                        }
                        event => self.args.on_answer(event),
                    }
                }
                deadline
            }
            Running::Say(say, events, view) => {
                let deadline =
                    drive::drain(|| say.poll_output(), &outlet, &mut self.questions, events);
                for event in std::mem::take(events) {
                    match event {
                        MessageEvent::LoginWanted(wanted) => {
                            self.args
                                .ask(&mut self.login, LoginPurpose::Message, &wanted);
                        }
                        MessageEvent::LoginSettled { .. } => {
                            self.login.settle();
                        }
                        event => self.args.on_said(event, view),
                    }
                }
                deadline
            }
            // What becomes of a farewell interests nobody any more.
            Running::Farewell(call, events) => {
                let deadline =
                    drive::drain(|| call.poll_output(), &outlet, &mut self.questions, events);
                events.clear();
                deadline
            }
        };
        self.wake.arm(deadline, myself, OneShotMsg::Wake);
    }
}

impl Asker {
    fn ask(&self, login: &mut LoginQuestion, purpose: LoginPurpose, wanted: &LoginWanted) {
        let user = self.identity.login_name();
        login.ask(&self.account, user, (purpose, None), wanted);
    }

    fn on_said(&self, event: MessageEvent, view: &mut MessageView) {
        match event {
            MessageEvent::Delivered { round_trip, .. } => {
                view.state = MessageState::Delivered;
                view.round_trip_ms = round_trip.map(|t| t.as_secs_f32() * 1000.0);
            }
            MessageEvent::Stored { .. } => view.state = MessageState::Accepted,
            MessageEvent::Failed(fault) => {
                view.state = MessageState::Failed;
                view.failure = Some(failures::fault(&fault));
            }
            MessageEvent::LoginWanted(_) | MessageEvent::LoginSettled { .. } => return,
            MessageEvent::Notice(text) => {
                return self.note("message", text);
            }
        }
        self.shared.hub.publish(Event::Message {
            message: Box::new(view.clone()),
        });
    }

    fn on_answer(&self, event: OptionsEvent) {
        match &self.purpose {
            Purpose::Request(method) => self.on_reply(method, event),
            Purpose::Options => self.on_options(event),
            Purpose::QualityReport => self.on_report(event),
        }
    }

    /// Whether a collector took the report; nobody waits for it.
    fn on_report(&self, event: OptionsEvent) {
        let failure = match event {
            OptionsEvent::Answered {
                path,
                server,
                response,
                ..
            } => refusal(&response, &path, server.as_deref()),
            OptionsEvent::Failed(why) => Some(failures::request(&why)),
            OptionsEvent::Unresolved(why) => Some(failures::resolve(&why)),
            OptionsEvent::LoginWanted(_)
            | OptionsEvent::LoginSettled { .. }
            | OptionsEvent::Notice(_) => return,
        };
        self.note(
            "quality",
            match failure {
                None => "the report on how the call sounded was taken".to_owned(),
                Some(failure) => format!(
                    "the report on how the call sounded was not taken: {}",
                    failure.sentence().reveal()
                ),
            },
        );
    }

    fn note(&self, topic: &'static str, text: impl Into<Sentence>) {
        self.recorder.cast(RecorderMsg::Note {
            time: crate::wall(),
            topic,
            text: text.into(),
            account: Some(self.account.clone()),
            call: None,
            sip_call_id: None,
        });
    }

    /// What a request of somebody's own making came to.
    fn on_reply(&self, method: &Method, event: OptionsEvent) {
        let (answer, failure) = match event {
            OptionsEvent::Answered {
                path,
                round_trip,
                server,
                response,
                ..
            } => {
                let failure = refusal(&response, &path, server.as_deref());
                let round_trip_ms = round_trip.map(|t| t.as_secs_f32() * 1000.0);
                (Some(Box::new(shown(&response, round_trip_ms))), failure)
            }
            OptionsEvent::Failed(why) => (None, Some(failures::request(&why))),
            OptionsEvent::Unresolved(why) => (None, Some(failures::resolve(&why))),
            OptionsEvent::LoginWanted(_)
            | OptionsEvent::LoginSettled { .. }
            | OptionsEvent::Notice(_) => return,
        };
        self.shared.hub.publish(Event::RequestAnswered {
            account: self.account.clone(),
            method: method.to_string(),
            target: self.typed.clone(),
            answer,
            failure,
        });
    }

    fn on_options(&self, event: OptionsEvent) {
        let mut answer = Event::OptionsAnswered {
            account: self.account.clone(),
            target: self.typed.clone(),
            status: None,
            round_trip_ms: None,
            allow: Vec::new(),
            server: None,
            failure: None,
        };
        let Event::OptionsAnswered {
            status,
            round_trip_ms,
            allow,
            server,
            failure,
            ..
        } = &mut answer
        else {
            return;
        };
        match event {
            OptionsEvent::Answered {
                status: code,
                phrase,
                path,
                round_trip,
                allow: methods,
                server: name,
                response,
            } => {
                *failure = refusal(&response, &path, name.as_deref());
                *status = Some((code.code(), phrase));
                *round_trip_ms = round_trip.map(|t| t.as_secs_f32() * 1000.0);
                *allow = methods
                    .unwrap_or_default()
                    .split(',')
                    .map(|m| m.trim().to_owned())
                    .filter(|m| !m.is_empty())
                    .collect();
                *server = name;
            }
            OptionsEvent::Failed(why) => *failure = Some(failures::request(&why)),
            OptionsEvent::Unresolved(why) => *failure = Some(failures::resolve(&why)),
            OptionsEvent::LoginWanted(_)
            | OptionsEvent::LoginSettled { .. }
            | OptionsEvent::Notice(_) => return,
        }
        self.shared.hub.publish(answer);
    }
}

/// Why an answer is no yes.
fn refusal(response: &Response, path: &Path, server: Option<&str>) -> Option<Failure> {
    if response.status.code() < 300 {
        return None;
    }
    let mut said = Failure::new(FailureKind::Status {
        code: response.status.code(),
        phrase: response.reason.clone().into(),
    });
    said.said_by = failures::said_by(Some(&path.remote), server);
    Some(said)
}

/// An answer for whoever wanted to see all of it.
fn shown(response: &Response, round_trip_ms: Option<f32>) -> Answer {
    let headers = response.headers.iter();
    Answer {
        code: response.status.code(),
        phrase: response.reason.clone().into(),
        round_trip_ms,
        headers: headers
            .map(|field| format!("{}: {}", field.name(), field.value()).into())
            .collect(),
        body: String::from_utf8_lossy(&response.body).into_owned().into(),
    }
}
