//! One call leg: the protocol's call, its offers and answers, and its stream.
//!
//! The actor only translates. What SIP asks for is decided in `sip_core::call`, what SDP asks for
//! in `sdp::Negotiator`, and what is heard in `media`; here they are introduced to each other, and
//! the result is shown to the user as a [`CallView`].

mod details;
mod media_leg;
mod moved;
mod offers;
mod policy;
mod transfer;
mod verbs;

pub(crate) use self::transfer::Referral;

use std::collections::VecDeque;
#[cfg(test)]
use std::net::IpAddr;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{
    AccountId, AccountSettings, CallId, CallState, CallView, CertificateView, Direction, Event,
    Failure, FailureKind, MediaSecurity, MediaStats, Outcome, Party, Private, TenantId,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use replay::{Sink, Taped};
use secrecy::SecretString;
use sip_core::call::{Call, CallConfig, CallEvent, CardStamp, EndKind, Fit, ReferId};
use sip_core::dispatch::ServerKey;
use sip_core::stateless::Capabilities;
use sip_core::{Inbound, Path, ResolveError, ResolveId};
use sip_message::{HeaderName, Message, Method, NameAddr, Replaces, Request, StatusCode, Uri};

use self::media_leg::MediaLeg;
use self::moved::{MOVED_LOOK_UP, Moving};
use self::transfer::Transfers;
use crate::account::AccountFacts;
use crate::cards::{Card, Cards};
use crate::drive::{self, Outlet, Questions};
use crate::identity::Identity;
use crate::network::{Mooring, Moved as NetworkMoved};
use crate::recorder::RecorderMsg;
use crate::shared::{Service, Shared};
use crate::supervise::Budget;
use crate::tenant::TenantMsg;
use crate::transport::{Delivery, Owner, TransportMsg};
use crate::wake::{Wake, now};
use crate::{failures, wall};

/// The number of the look-up that is made before the call exists; the call counts its own from 0.
const FIRST_LOOK_UP: ResolveId = ResolveId(u64::MAX);

/// What a [`DialogActor`] can be told.
pub(crate) enum DialogMsg {
    /// Pick up.
    Answer,
    /// Decline.
    Reject(Option<u16>),
    /// End it, whatever it is doing.
    End,
    /// Hold, or take off hold.
    Hold(bool),
    /// Cut the microphone off, or connect it.
    Mute(bool),
    /// Send digits.
    Digits(Private),
    /// Ask the peer to call somebody else, or to take the place of a call there.
    Transfer {
        /// Whom.
        target: Box<NameAddr>,
        /// The call whose place it is to take.
        replaces: Option<Box<Replaces>>,
    },
    /// From now on its peer hears those of the calls with the same number, and they hear it; `None` is nobody.
    Conference(Option<NonZeroU64>),
    /// The peer of that call is to be connected with the peer of this one.
    Lend(ActorRef<DialogMsg>),
    /// The user decided about the transfer that the peer asks for.
    AnswerTransfer(bool),
    /// The call exists that the peer asked for.
    Following(CallId),
    /// How the call goes that the peer asked for.
    Reported {
        /// Which asking.
        refer: ReferId,
        /// The last answer of the new peer.
        status: StatusCode,
    },
    /// A new call wants the place of this one.
    MayReplace {
        /// How it names this one.
        replaces: Replaces,
        /// Who wants to know.
        asker: ActorRef<DialogMsg>,
    },
    /// Whether this call may have the place it wants.
    Fits {
        /// The call that was asked.
        old: ActorRef<DialogMsg>,
        /// What it says.
        fit: Fit,
    },
    /// Another call has taken the place of this one.
    Replaced,
    /// The user has put the ended call away.
    Dismiss,
    /// The transport brought something.
    Delivered(Delivery),
    /// A deadline has come.
    Wake(u64),
    /// The tenant has a new transport.
    TransportReplaced(ActorRef<TransportMsg>),
    /// The peer pressed a key (RTP).
    DigitHeard {
        /// Which.
        digit: char,
        /// How long.
        duration: Duration,
    },
    /// The first packet of media has come, from there.
    MediaFlows(SocketAddr),
    /// Media stopped coming, or came back.
    MediaSilent(bool),
    /// Something else that the pump noticed.
    MediaNews(String),
    /// The last second's figures.
    Stats(MediaStats),
    /// The machine came to another network, or slept.
    Moved(Arc<NetworkMoved>),
    /// Try once more to tell the peer of that change of address.
    MoveAgain(u32),
    /// It has rung for as long as set.
    NotTaken,
    /// Take it without a hand.
    TakeUnasked,
    /// Call one of the places that the call was sent to.
    Follow(u32),
    /// Call none of them.
    DeclineRedirect,
    /// Try once more to bring the stream in line with what was agreed.
    ApplyMedia,
    /// Media is to go to this address of ours from now on.
    #[cfg(test)]
    MovedTo(IpAddr),
    /// Fail, so that the supervisor's answer can be seen.
    #[cfg(test)]
    Crash,
    /// Make the stream's actor fail.
    #[cfg(test)]
    CrashStream,
}

/// Owns one call leg.
pub(crate) struct DialogActor;

/// What a [`DialogActor`] is started with.
pub(crate) struct DialogArgs {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tenant_id: TenantId,
    pub(crate) account: AccountId,
    pub(crate) settings: AccountSettings,
    pub(crate) identity: Identity,
    pub(crate) password: Option<SecretString>,
    pub(crate) facts: AccountFacts,
    pub(crate) transport: ActorRef<TransportMsg>,
    pub(crate) recorder: Arc<Service<RecorderMsg>>,
    pub(crate) tenant: ActorRef<TenantMsg>,
    pub(crate) cards: Cards,
    pub(crate) id: CallId,
    pub(crate) start: Start,
}

/// How a call begins.
pub(crate) enum Start {
    /// We call.
    Outgoing {
        /// Whom, already checked.
        target: Uri,
        /// Headers for this call only.
        headers: Vec<(String, String)>,
        /// The call whose place it is to take at the far end.
        replaces: Option<Box<Replaces>>,
        /// The peer that asked for it.
        referral: Option<Box<Referral>>,
    },
    /// We are called.
    Incoming {
        /// The INVITE.
        request: Box<Request>,
        /// Where it came from.
        inbound: Inbound,
        /// When it came.
        at: Instant,
        /// How it names the call whose place it wants, and those that may be meant.
        place: Option<(Replaces, Vec<ActorRef<DialogMsg>>)>,
    },
}

pub(crate) struct DialogState {
    shared: Arc<Shared>,
    settings: AccountSettings,
    identity: Identity,
    transport: ActorRef<TransportMsg>,
    recorder: Arc<Service<RecorderMsg>>,
    tenant: ActorRef<TenantMsg>,
    owner: Owner,
    phase: Phase,
    events: VecDeque<CallEvent>,
    media: Option<MediaLeg>,
    view: CallView,
    wake: Wake,
    questions: Questions,
    cards: Cards,
    /// What the present card was drawn from.
    card: CardStamp,
    /// Whether the user wants the call held; carried out as soon as the call can.
    hold_wanted: bool,
    stream_budget: Budget,
    /// Set when the user has put the call away, which may be before it is drained.
    dismissed: bool,
    filed: bool,
    transfers: Transfers,
    /// The certificate that was not trusted last.
    untrusted: Option<Box<CertificateView>>,
    /// A change of our address that the peer is not told of yet.
    moving: Option<Moving>,
    /// How many there have been.
    moves: u32,
    /// Whether a change of the network is any of our business.
    mooring: Mooring,
    /// How often the sound machinery has refused what was agreed last.
    media_tries: u8,
    /// It was turned away or sent on without the user.
    unseen: bool,
}

/// What there is of the call.
enum Phase {
    /// The way to the peer is looked for; there is no INVITE yet.
    Finding(Box<CallConfig>),
    /// The protocol's call.
    Calling(Box<Taped<Call>>),
    /// It never became one.
    Over,
}

impl Actor for DialogActor {
    type Msg = DialogMsg;
    type State = DialogState;
    type Arguments = DialogArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let mut state = DialogState::new(&myself, args);
        state.drive(&myself).await;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DialogMsg::Answer => state.on_answer(&myself).await,
            DialogMsg::Reject(code) => state.on_reject(code),
            DialogMsg::End => state.on_end(),
            DialogMsg::Hold(hold) => state.on_hold(hold),
            DialogMsg::Mute(muted) => state.on_mute(muted),
            DialogMsg::Digits(digits) => state.on_digits(digits.reveal()),
            DialogMsg::Transfer { target, replaces } => {
                state.on_transfer(*target, replaces.map(|replaces| *replaces));
            }
            DialogMsg::Conference(room) => state.on_conference(room),
            DialogMsg::Lend(to) => state.on_lend(&to),
            DialogMsg::AnswerTransfer(accept) => state.on_answer_transfer(&myself, accept),
            DialogMsg::Following(call) => state.on_following(call),
            DialogMsg::Reported { refer, status } => {
                state.on_reported(&myself, refer, status);
            }
            DialogMsg::MayReplace { replaces, asker } => {
                state.on_may_replace(&myself, &replaces, &asker);
            }
            DialogMsg::Fits { old, fit } => state.on_fits(&myself, old, fit).await,
            DialogMsg::Replaced => state.on_replaced(),
            DialogMsg::Dismiss => state.on_dismiss(),
            DialogMsg::Delivered(delivery) => state.on_delivery(&myself, delivery),
            DialogMsg::Wake(generation) => {
                if state.wake.is_current(generation)
                    && let Phase::Calling(call) = &mut state.phase
                {
                    call.handle_timeout(now());
                }
            }
            DialogMsg::TransportReplaced(transport) => {
                state.transport = transport;
                state.on_transport_replaced();
            }
            DialogMsg::DigitHeard { digit, duration } => {
                state.on_digit_heard(digit, u32::try_from(duration.as_millis()).ok());
            }
            DialogMsg::MediaFlows(from) => {
                state.view.media_peer = Some(from.to_string());
                state.note(
                    "media",
                    format!("the first packet of media came from {from}"),
                );
                state.publish();
            }
            DialogMsg::MediaSilent(silent) => state.on_media_silent(silent),
            DialogMsg::MediaNews(news) => state.note("media", news),
            // A report that was under way when the stream was closed is older than the last figures.
            DialogMsg::Stats(stats) => {
                if state.media.is_some() {
                    state.view.stats = Some(stats);
                    state.publish();
                }
            }
            DialogMsg::Moved(moved) => state.on_network_moved(&moved),
            DialogMsg::MoveAgain(generation) => state.on_move_again(generation),
            DialogMsg::NotTaken => state.on_not_taken(),
            DialogMsg::TakeUnasked => state.on_take_unasked(&myself).await,
            DialogMsg::Follow(target) => state.on_follow(target),
            DialogMsg::DeclineRedirect => state.on_decline_redirect(),
            DialogMsg::ApplyMedia => state.apply_media(&myself).await,
            #[cfg(test)]
            DialogMsg::MovedTo(local) => state.on_moved(Some(local)),
            #[cfg(test)]
            DialogMsg::Crash => panic!("told to fail"),
            #[cfg(test)]
            DialogMsg::CrashStream => state.media.iter().for_each(MediaLeg::crash),
        }
        state.drive(&myself).await;
        if state.is_drained() {
            myself.stop(Some(crate::DRAINED.to_owned()));
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let failed = match &event {
            SupervisionEvent::ActorFailed(who, _) => Some(who.get_id()),
            SupervisionEvent::ActorTerminated(who, _, reason)
                if reason.as_deref() != Some(crate::DRAINED) =>
            {
                Some(who.get_id())
            }
            _ => None,
        };
        if let Some(failed) = failed
            && state.media.as_ref().is_some_and(|m| m.watched_by(failed))
        {
            state.on_stream_failed(&myself).await;
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.close_media();
        Ok(())
    }
}

impl DialogState {
    fn new(myself: &ActorRef<DialogMsg>, args: DialogArgs) -> Self {
        let owner = Owner::new(
            myself,
            args.account.clone(),
            Some(args.id),
            DialogMsg::Delivered,
        );
        let (direction, remote) = match &args.start {
            Start::Outgoing { target, .. } => (
                Direction::Outgoing,
                Party {
                    display: None,
                    uri: target.to_string().into(),
                },
            ),
            Start::Incoming { request, .. } => (Direction::Incoming, caller(request)),
        };
        let view = CallView {
            id: args.id,
            tenant: args.tenant_id.clone(),
            account: args.account.clone(),
            direction,
            remote,
            state: CallState::Trying,
            held_by_us: false,
            held_by_peer: false,
            muted: false,
            created_at: wall(),
            connected_at: None,
            ended_at: None,
            codec: None,
            secured: false,
            security: MediaSecurity::default(),
            dtmf_sent: Private::default(),
            dtmf_received: Private::default(),
            stats: None,
            failure: None,
            last_status: None,
            media_peer: None,
            sip_call_id: String::new(),
            transfer: None,
            redirect: None,
            details: model::CallDetails::default(),
            conference: None,
        };
        let mut config = call_config(
            &args.shared,
            &args.identity,
            &args.facts,
            args.password.as_ref(),
        );
        let outgoing = matches!(args.start, Start::Outgoing { .. });
        policy::configure(&mut config, &args.settings.calls, outgoing);
        if let Start::Incoming { inbound, .. } = &args.start {
            config.trusts_first_hop = details::is_from_server(inbound, &args.identity, &args.facts);
        }
        let mut state = Self {
            owner,
            phase: Phase::Over,
            events: VecDeque::new(),
            media: None,
            view,
            wake: Wake::default(),
            questions: Questions::default(),
            cards: args.cards,
            card: CardStamp::None,
            hold_wanted: false,
            stream_budget: Budget::stream(),
            dismissed: false,
            filed: false,
            untrusted: None,
            transfers: Transfers::default(),
            moving: None,
            moves: 0,
            mooring: Mooring::default(),
            media_tries: 0,
            unseen: false,
            tenant: args.tenant,
            shared: args.shared,
            settings: args.settings,
            identity: args.identity,
            transport: args.transport,
            recorder: args.recorder,
        };
        state.publish();
        match args.start {
            Start::Outgoing {
                target,
                headers,
                replaces,
                referral,
            } => {
                config.replaces = replaces.map(|replaces| *replaces);
                if let Some(referral) = referral {
                    config.replaces = referral.replaces;
                    config.referred_by = referral.referred_by;
                    state.report_to(referral.asked_in, referral.refer);
                }
                state.start_outgoing(config, target, headers);
            }
            Start::Incoming {
                request,
                inbound,
                at,
                place,
            } => {
                if let Some((replaces, candidates)) = place {
                    state.ask_for_place(myself, candidates, &replaces);
                }
                state.start_incoming(config, *request, inbound, at);
            }
        }
        state
    }

    /// Looks for the way first: the offer names our address on that way.
    fn start_outgoing(
        &mut self,
        mut config: CallConfig,
        target: Uri,
        headers: Vec<(String, String)>,
    ) {
        config.extra_headers.extend(headers);
        let next_hop = config.route.first().unwrap_or(&target).clone();
        config.remote = Some(NameAddr::new(target));
        let outlet = Outlet {
            owner: &self.owner,
            transport: &self.transport,
            bind: self.identity.bind,
            tls: self.identity.tls.as_ref(),
        };
        self.questions
            .ask(&outlet, FIRST_LOOK_UP, next_hop, self.identity.transport);
        self.phase = Phase::Finding(Box::new(config));
        self.update_tones();
    }

    fn start_incoming(
        &mut self,
        config: CallConfig,
        request: Request,
        inbound: Inbound,
        at: Instant,
    ) {
        let server_key = ServerKey::of(&request);
        self.view.sip_call_id = request
            .headers
            .get(HeaderName::CallId)
            .unwrap_or_default()
            .to_owned();
        let path = inbound.path;
        let (seed, tape) = (self.shared.seed(), self.tape());
        match Taped::incoming(at, request.clone(), inbound, config, &seed, tape) {
            Ok(call) => {
                self.phase = Phase::Calling(Box::new(call));
                self.claim(server_key);
                self.introduce();
                self.prepare_media(&[path]);
            }
            Err(rejection) => {
                self.note("call", format!("turned away: {}", rejection.why));
                // The transport knows it from now on, and answers its repeats without a call.
                let _ = self.transport.cast(TransportMsg::TurnAway {
                    request: Box::new(request),
                    inbound,
                    status: rejection.response.status,
                });
                self.finish(None, Outcome::Missed);
            }
        }
    }

    fn on_path_found(&mut self, result: Result<Vec<Path>, ResolveError>) {
        let Phase::Finding(config) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return;
        };
        let paths = match result {
            Ok(paths) if paths.is_empty() => {
                return self.end_before_start(failures::resolve(&ResolveError::NoAnswer));
            }
            Ok(paths) => paths,
            Err(error) => return self.end_before_start(failures::resolve(&error)),
        };
        self.prepare_media(&paths);
        if let Err(detail) = self.bind_media() {
            return self.end_before_start(Failure::new(FailureKind::Internal { detail }));
        }
        let offer = self.media.as_mut().map(MediaLeg::first_offer);
        let (seed, tape) = (self.shared.seed(), self.tape());
        let call = Taped::outgoing(now(), *config, offer, &seed, tape);
        self.phase = Phase::Calling(Box::new(call));
        self.claim(None);
    }

    /// What goes into the call is written down, so that it can be played again.
    fn tape(&self) -> Option<(String, Sink)> {
        drive::tape(
            &self.shared,
            &self.recorder,
            &format!("call {}", self.view.id.0),
        )
    }

    /// The call failed before anything was sent.
    fn end_before_start(&mut self, failure: Failure) {
        self.phase = Phase::Over;
        self.finish(Some(failure), Outcome::Failed);
    }

    /// The dialog stays; what it said and asked on the old transport finds its way on the new one.
    fn on_transport_replaced(&mut self) {
        self.claim(None);
        let outlet = Outlet {
            owner: &self.owner,
            transport: &self.transport,
            bind: self.identity.bind,
            tls: self.identity.tls.as_ref(),
        };
        self.questions.ask_again(&outlet);
    }

    /// What the transport brought; what it says beside its purpose is shown.
    fn on_delivery(&mut self, myself: &ActorRef<DialogMsg>, delivery: Delivery) {
        if let Delivery::Resolved { id, .. } = &delivery {
            self.questions.on_answer(*id);
        }
        if let Delivery::Resolved {
            id: FIRST_LOOK_UP,
            result,
        } = delivery
        {
            return self.on_path_found(result);
        }
        if let Delivery::Resolved {
            id: MOVED_LOOK_UP,
            result,
        } = delivery
        {
            return self.on_way_after_move(myself, result);
        }
        if let (Delivery::Message { inbound, .. }, Some(media)) = (&delivery, &mut self.media) {
            media.travels_over(&inbound.path);
        }
        let Phase::Calling(call) = &mut self.phase else {
            return;
        };
        match delivery {
            Delivery::Message {
                message,
                inbound,
                at,
            } => match *message {
                Message::Request(request) => call.handle_request(at, request, inbound),
                Message::Response(response) => {
                    let of_call = response
                        .headers
                        .cseq()
                        .is_ok_and(|cseq| cseq.method == Method::Invite);
                    let status = response.status;
                    if of_call && status.code() > 100 {
                        self.view.last_status = Some((status.code(), response.reason.clone()));
                    }
                    call.handle_response(at, response, inbound);
                }
            },
            Delivery::Resolved { id, result } => call.handle_resolved(now(), id, result),
            Delivery::Unsent { branch, error } => {
                call.handle_transport_error(now(), &branch, error);
            }
            // Requests find another connection by themselves.
            Delivery::FlowLost(_) | Delivery::Targets(_) | Delivery::BetterServer => {}
            Delivery::Untrusted(certificate) => self.untrusted = Some(certificate),
        }
        if self.learn() {
            self.publish();
        }
    }

    /// Drains the call, handling its events one by one, and re-arms the wake-up.
    async fn drive(&mut self, myself: &ActorRef<DialogMsg>) {
        loop {
            let deadline = self.drain();
            match self.events.pop_front() {
                Some(event) => self.on_event(myself, event).await,
                None => {
                    self.wake.arm(deadline, myself, DialogMsg::Wake);
                    break;
                }
            }
        }
        self.draw_card();
    }

    /// Polls the call dry. Every verb is followed by this before the next one.
    fn drain(&mut self) -> Option<Instant> {
        let Phase::Calling(call) = &mut self.phase else {
            return None;
        };
        let outlet = Outlet {
            owner: &self.owner,
            transport: &self.transport,
            bind: self.identity.bind,
            tls: self.identity.tls.as_ref(),
        };
        drive::drain(
            || call.poll_output(),
            &outlet,
            &mut self.questions,
            &mut self.events,
        )
    }

    async fn on_event(&mut self, myself: &ActorRef<DialogMsg>, event: CallEvent) {
        // What was queued before we ended it ourselves brings nothing back.
        let over = self.view.state == CallState::Ended;
        match event {
            CallEvent::Notice(text) => self.note("call", text),
            CallEvent::Tried(tried) => {
                let _ = self.transport.cast(TransportMsg::Tried(tried));
            }
            // A transfer is told to its end, also when the call is over.
            CallEvent::Refer { id, progress } => self.on_refer_progress(id, progress),
            _ if over => {}
            CallEvent::Trying => {}
            CallEvent::Progress { status, reason, .. } => {
                self.view.last_status = Some((status.code(), reason));
                self.report(status);
                if self.view.state == CallState::Trying && status == StatusCode::RINGING {
                    self.enter(CallState::Ringing);
                } else {
                    self.publish();
                }
                self.update_tones();
            }
            CallEvent::Offer { body } => self.on_offer(myself, body).await,
            CallEvent::OfferWanted => self.on_offer_wanted(myself),
            CallEvent::Answer { body, early } => self.on_answered(myself, &body, early).await,
            CallEvent::Established => self.on_established(myself).await,
            CallEvent::ReofferFailed { status } => self.on_reoffer_failed(myself, status),
            CallEvent::OfferUnanswered => self.on_offer_unanswered(),
            CallEvent::Info {
                content_type, body, ..
            } => self.on_info(&content_type, &body),
            CallEvent::ReferRequested(request) => self.on_refer_requested(request),
            CallEvent::Redirected { contacts } => self.on_redirected(&contacts),
            CallEvent::Ended(reason) => self.on_ended(&reason.kind),
        }
    }

    async fn on_established(&mut self, myself: &ActorRef<DialogMsg>) {
        if let Some(media) = &mut self.media {
            media.forks_are_over();
            if media.is_agreed() && !media.is_running() {
                self.apply_media(myself).await;
            }
        }
        if self.view.connected_at.is_none() {
            self.view.connected_at = Some(wall());
        }
        self.enter(self.talking_state());
        self.update_tones();
        self.settle_hold();
        self.report(StatusCode::OK);
        self.take_place();
    }

    fn talking_state(&self) -> CallState {
        if self.view.held_by_us || self.view.held_by_peer {
            CallState::Held
        } else {
            CallState::Connected
        }
    }

    fn on_ended(&mut self, kind: &EndKind) {
        let outcome = match kind {
            _ if self.view.connected_at.is_some() => Outcome::Answered,
            EndKind::Cancelled { .. } => Outcome::Missed,
            // Our own time to ring ran out.
            EndKind::NoAnswer if self.view.direction == Direction::Incoming => Outcome::Missed,
            // Nobody here had a hand in it.
            EndKind::WeRejected { .. } if self.unseen => Outcome::Missed,
            EndKind::WeRejected { .. } => Outcome::Declined,
            EndKind::WeHungUp if self.view.direction == Direction::Outgoing => Outcome::Cancelled,
            EndKind::WeHungUp => Outcome::Declined,
            _ => Outcome::Failed,
        };
        if let EndKind::Status { code, phrase, .. } = kind {
            self.view.last_status = Some((*code, phrase.clone()));
        }
        let mut failure = failures::call(kind);
        if let Some(failure) = &mut failure {
            failures::blame(failure, &mut self.untrusted);
            self.note("call", failure.sentence());
        }
        self.finish(failure, outcome);
    }

    /// The call is over for the user; the protocol may still have farewells to repeat.
    fn finish(&mut self, failure: Option<Failure>, outcome: Outcome) {
        self.close_media();
        self.report(transfer::status_of_end(
            self.view.state,
            self.view.last_status.as_ref(),
        ));
        self.view.failure = failure;
        self.view.ended_at = Some(wall());
        let room = self.view.conference.take();
        self.enter(CallState::Ended);
        if room.is_some() {
            let _ = self.tenant.cast(TenantMsg::Parted(self.view.id));
        }
        self.update_tones();
        self.file(outcome);
    }

    fn file(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.filed, true) {
            self.shared.file(&self.view, outcome);
        }
    }

    /// Leaves what it takes to end the call should this actor fail, or its tenant. Drawn anew when
    /// the old card would not do; the CSeq of a BYE leaves room for what the card does not know.
    fn draw_card(&mut self) {
        let Phase::Calling(call) = &self.phase else {
            return;
        };
        let stamp = call.card_stamp();
        if stamp != self.card {
            self.card = stamp;
            let account = self.view.account.clone();
            let card = call.bye_card().map(|bye| Card {
                account,
                bye: Box::new(bye),
            });
            self.cards.put(self.view.id, card);
        }
    }

    fn claim(&mut self, server_key: Option<ServerKey>) {
        let Phase::Calling(call) = &self.phase else {
            return;
        };
        let key = call.owner_key().clone();
        if self.view.sip_call_id.is_empty() {
            self.view.sip_call_id.clone_from(&key.call_id);
            self.publish();
        }
        let _ = self.transport.cast(TransportMsg::Claim {
            key,
            server_key,
            owner: self.owner.clone(),
        });
    }

    fn is_drained(&self) -> bool {
        let protocol_done = match &self.phase {
            Phase::Finding(_) => false,
            Phase::Calling(call) => call.is_drained(),
            Phase::Over => true,
        };
        protocol_done && self.view.state == CallState::Ended
    }

    fn note(&self, topic: &'static str, text: String) {
        self.recorder.cast(RecorderMsg::Note {
            time: wall(),
            topic,
            text,
            account: Some(self.view.account.clone()),
            call: Some(self.view.id),
            sip_call_id: Some(self.view.sip_call_id.clone()),
        });
    }

    /// The one place where the state changes.
    fn enter(&mut self, state: CallState) {
        if self.view.state != state {
            tracing::info!(call = %self.view.id, from = ?self.view.state, to = ?state, "call");
            self.view.state = state;
        }
        self.publish();
    }

    fn publish(&self) {
        if !self.dismissed {
            self.shared.hub.publish(Event::Call {
                call: Box::new(self.view.clone()),
            });
        }
    }
}

/// Who calls, as it says itself.
fn caller(request: &Request) -> Party {
    match request.headers.from() {
        Ok(from) => party(&from),
        Err(_) => Party {
            display: None,
            uri: "sip:anonymous@anonymous.invalid".into(),
        },
    }
}

/// Somebody as the user sees them.
fn party(who: &NameAddr) -> Party {
    let mut uri: Uri = who.uri.clone();
    uri.headers.clear();
    Party {
        display: who.display.clone().map(Into::into),
        uri: uri.to_string().into(),
    }
}

/// How this account makes and takes calls.
pub(crate) fn call_config(
    shared: &Shared,
    identity: &Identity,
    facts: &AccountFacts,
    password: Option<&SecretString>,
) -> CallConfig {
    let mut config = CallConfig::new(identity.from.clone(), &identity.contact_user);
    config.route = identity.route(facts);
    config.transport = identity.transport;
    config.contact.clone_from(&facts.contact);
    config.credentials = identity.credentials(password);
    config.home = identity.home(facts);
    config.capabilities = shared.capabilities.clone();
    config.extra_headers.clone_from(&identity.headers);
    config.ring_limit = shared.ring_limit.or(config.ring_limit);
    config
}

/// What every call of ours can do, for Allow, Supported and Accept wherever they are said.
pub(crate) fn capabilities() -> Capabilities {
    let nobody = Uri::parse("sip:anonymous.invalid").expect("the address is written well");
    Capabilities {
        user_agent: concat!("Tipring/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..CallConfig::new(NameAddr::new(nobody), "")
            .with_transfers()
            .capabilities
    }
}
