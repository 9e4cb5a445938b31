//! How a call begins: what it is made of, the way to the peer, the INVITE.

use std::collections::VecDeque;
use std::time::Instant;

use model::{
    CallState, CallView, Direction, Failure, FailureKind, MediaDirection, MediaSecurity, Outcome,
    Party, Private,
};
use nat::turn::Login;
use ractor::ActorRef;
use replay::{Sink, Taped};
use secrecy::ExposeSecret;
use sip_core::call::{CallConfig, CardStamp};
use sip_core::dispatch::ServerKey;
use sip_core::stateless::Capabilities;
use sip_core::stateless::StatusLine;
use sip_core::{Inbound, Path, ResolveError};
use sip_message::{HeaderName, Message, NameAddr, Request, Uri};

use super::focus::Focus;
use super::heard::Heard;
use super::keys::Keys;
use super::media_leg::MediaLeg;
use super::relayed::Losses;
use super::ringback::Ringback;
use super::saying::Instead;
use super::transfer::{Placement, Transfers};
use super::{DialogArgs, DialogMsg, DialogState, FIRST_LOOK_UP, Phase, Start, details, policy};
use crate::account::AccountFacts;
use crate::drive::{self, Outlet, Questions};
use crate::identity::Identity;
use crate::logins::LoginQuestion;
use crate::network::Mooring;
use crate::passwords::Passwords;
use crate::shared::Shared;
use crate::supervise::Budget;
use crate::transport::{Owner, TransportMsg};
use crate::wake::{Wake, now};
use crate::{failures, subscriptions, wall};

impl DialogState {
    pub(super) fn new(myself: &ActorRef<DialogMsg>, args: DialogArgs) -> Self {
        let owner = Owner::new(
            myself,
            args.account.clone(),
            Some(args.id),
            DialogMsg::Delivered,
        )
        .ruled_by(&args.identity.rules);
        let peer = match &args.start {
            Start::Incoming { inbound, .. } => Some(inbound.path.remote.to_string()),
            Start::Outgoing { .. } => None,
        };
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
            details: model::CallDetails {
                peer,
                ..model::CallDetails::default()
            },
            conference: None,
            sound: model::SoundView::default(),
            ending: None,
        };
        let mut config = call_config(&args.shared, &args.identity, &args.facts, &args.passwords);
        let outgoing = matches!(args.start, Start::Outgoing { .. });
        policy::configure(&mut config, &args.settings.calls, outgoing);
        if let Start::Outgoing { target, .. } = &args.start
            && args.settings.calls.anonymous
        {
            hide_ourselves(&mut config, target, &args.facts);
        }
        if let Start::Incoming { inbound, .. } = &args.start {
            config.trusts_first_hop = details::is_from_server(inbound, &args.identity, &args.facts);
        }
        let asks =
            subscriptions::config(&args.shared, &args.identity, &args.facts, &args.passwords);
        let mut state = Self {
            owner,
            phase: Phase::Over,
            events: VecDeque::new(),
            media: None,
            relay_login: relay_login(&args),
            view,
            wake: Wake::default(),
            questions: Questions::default(),
            cards: args.cards,
            card: CardStamp::None,
            hold_wanted: false,
            held_alone: false,
            instead: Instead::new(myself),
            direction_wanted: MediaDirection::Both,
            keys_wanted: false,
            ways_wanted: None,
            ways_asked: None,
            stream_budget: Budget::stream(),
            dismissed: false,
            filed: false,
            sounded: Heard::default(),
            keys: Keys::default(),
            ringback: Ringback::default(),
            on_the_way: None,
            heard: false,
            login: LoginQuestion::new(&args.shared.hub),
            untrusted: None,
            tags: None,
            leaving: false,
            hung_up: false,
            unreadable: None,
            transfers: Transfers::default(),
            moving: None,
            moves: 0,
            relays_lost: Losses::default(),
            relay_gone: None,
            mooring: Mooring::default(),
            media_tries: 0,
            unseen: false,
            recording_begins: None,
            refused_offer: None,
            focus: Focus::new(asks),
            announced: None,
            mending: None,
            resolver: args.resolver,
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
                place,
                referral,
                direction,
            } => {
                state.direction_wanted = direction;
                match place.map(|place| *place) {
                    Some(Placement {
                        dialog,
                        joins: true,
                    }) => config.join = Some(dialog),
                    place => config.replaces = place.map(|place| place.dialog),
                }
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
                if let Some((claim, candidates)) = place {
                    state.ask_for_place(myself, candidates, &claim);
                }
                state.start_incoming(config, *request, inbound, at);
            }
        }
        state
    }

    /// Looks for the way first: the offer names our address on that way.
    pub(super) fn start_outgoing(
        &mut self,
        mut config: CallConfig,
        target: Uri,
        headers: Vec<(String, String)>,
    ) {
        config.extra_headers.extend(headers);
        let next_hop = config.route.first().unwrap_or(&target).clone();
        config.remote = Some(NameAddr::new(target));
        let outlet = Outlet::of(&self.owner, &self.transport, &self.identity);
        self.questions
            .ask(&outlet, FIRST_LOOK_UP, next_hop, self.identity.transport);
        self.phase = Phase::Finding(Box::new(config));
        self.update_tones();
    }

    /// Peers inside our own network are told how they reach us there.
    fn place_ourselves(&self, config: &mut CallConfig, path: Option<&Path>) {
        let found =
            path.and_then(|path| self.identity.contact_inside(path, config.contact.as_ref()));
        // Who does not want to be known does not show a name either.
        if !config.anonymous {
            config.contact = found.or(config.contact.take());
        }
    }

    pub(super) fn start_incoming(
        &mut self,
        mut config: CallConfig,
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
        self.place_ourselves(&mut config, Some(&path));
        let (seed, tape) = (self.shared.seed(), self.tape());
        match Taped::incoming(at, request.clone(), inbound, config, &seed, tape) {
            Ok(call) => {
                self.phase = Phase::Calling(Box::new(call));
                self.claim(server_key);
                self.introduce();
                self.focus.look_at(&Message::Request(request));
                self.prepare_media(&[path]);
            }
            Err(rejection) => {
                self.note("call", format!("turned away: {}", rejection.why));
                // The transport knows it from now on, and answers its repeats without a call.
                let _ = self.transport.cast(TransportMsg::TurnAway {
                    request: Box::new(request),
                    inbound,
                    line: StatusLine::of(&rejection.response),
                });
                self.finish(None, Outcome::Missed);
            }
        }
    }

    pub(super) async fn on_path_found(&mut self, result: Result<Vec<Path>, ResolveError>) {
        let Phase::Finding(mut config) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return;
        };
        let paths = match result {
            Ok(paths) if paths.is_empty() => {
                return self.end_before_start(failures::resolve(&ResolveError::NoAnswer));
            }
            Ok(paths) => paths,
            Err(error) => return self.end_before_start(failures::resolve(&error)),
        };
        self.place_ourselves(&mut config, paths.first());
        self.prepare_media(&paths);
        // It may be on hold already: what is heard before it is taken is heard by somebody.
        self.settle_what_is_said();
        if let Err(detail) = self.bind_media() {
            return self.end_before_start(Failure::new(FailureKind::Internal {
                detail: detail.into(),
            }));
        }
        self.find_media_address().await;
        let offer = self.media.as_mut().map(MediaLeg::first_offer);
        config.second_offer = self.media.as_mut().and_then(MediaLeg::plain_offer);
        let (seed, tape) = (self.shared.seed(), self.tape());
        let call = Taped::outgoing(now(), *config, offer, &seed, tape);
        self.phase = Phase::Calling(Box::new(call));
        self.claim(None);
    }

    /// What goes into the call is written down, so that it can be played again.
    pub(super) fn tape(&self) -> Option<(String, Sink)> {
        drive::tape(
            &self.shared,
            &self.recorder,
            &format!("call {}", self.view.id.0),
        )
    }

    /// The call failed before anything was sent.
    pub(super) fn end_before_start(&mut self, failure: Failure) {
        self.phase = Phase::Over;
        self.finish(Some(failure), Outcome::Failed);
    }
}

/// Name and password for the relay: its own, or those of the account.
fn relay_login(args: &DialogArgs) -> Option<Login> {
    let (name, password) = match &args.settings.turn_user {
        Some(user) => (user.reveal().to_owned(), args.passwords.relay.as_ref()?),
        None => (
            args.identity.login_name().to_owned(),
            args.passwords.own.as_ref()?,
        ),
    };
    Some(Login::new(name, password.expose_secret()))
}

/// Who calls, as it says itself.
pub(super) fn caller(request: &Request) -> Party {
    match request.headers.from() {
        Ok(from) => party(&from),
        Err(_) => Party {
            display: None,
            uri: "sip:anonymous@anonymous.invalid".into(),
        },
    }
}

/// How much of a display name is shown, in characters.
const LONGEST_NAME: usize = 128;

/// The beginning of what a peer says of itself, as much as is worth showing.
pub(super) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Somebody as the user sees them.
pub(super) fn party(who: &NameAddr) -> Party {
    let mut uri: Uri = who.uri.clone();
    uri.headers.clear();
    let display = who.display.as_deref();
    Party {
        display: display.map(|name| cut(name, LONGEST_NAME).into()),
        uri: uri.to_string().into(),
    }
}

/// How this account makes and takes calls.
pub(crate) fn call_config(
    shared: &Shared,
    identity: &Identity,
    facts: &AccountFacts,
    passwords: &Passwords,
) -> CallConfig {
    let mut config = CallConfig::new(identity.from.clone(), &identity.contact_user);
    config.route = identity.route(facts);
    config.transport = identity.transport;
    config.contact.clone_from(&facts.contact);
    config.credentials = passwords.credentials(identity);
    config.home = identity.home(facts);
    config.login_wait = identity.login_wait;
    config.capabilities = shared.capabilities.clone();
    config.extra_headers.clone_from(&identity.headers);
    config.ring_limit = shared.ring_limit.or(config.ring_limit);
    config
}

/// Makes it a call that does not tell who makes it (RFC 3323 §4.1): neither by its From nor by its Contact, which is
/// the address of this phone that hides whose it is, where the registrar gave one (RFC 5627 §3.1.2).
fn hide_ourselves(config: &mut CallConfig, target: &Uri, facts: &AccountFacts) {
    config.anonymous = true;
    "anonymous".clone_into(&mut config.contact_user);
    let lasting = |contact: &Uri| contact.params.has("gr");
    let plain = facts.contact.clone().filter(|contact| !lasting(contact));
    let nameless = plain.map(|contact| contact.with_user("anonymous"));
    config.contact = facts.anonymous_contact.clone().or(nameless);
    // RFC 3325 §9.2: to our own proxy alone, which tells it to nobody.
    let to_our_own = !config.route.is_empty() || config.local.uri.host.equivalent(&target.host);
    config.preferred_identity = to_our_own.then(|| config.local.clone());
}

/// Callers say how they want to be taken, by Answer-Mode and Priv-Answer-Mode (RFC 5373 §5).
pub(super) const ANSWER_MODE: &str = "answermode";

/// What every call of ours can do, for Allow, Supported and Accept wherever they are said.
pub(crate) fn capabilities() -> Capabilities {
    let nobody = Uri::parse("sip:anonymous.invalid").expect("the address is written well");
    let mut capabilities = Capabilities {
        user_agent: concat!("Tipring/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..CallConfig::new(NameAddr::new(nobody), "")
            .with_transfers()
            .capabilities
    };
    capabilities.supported.push(ANSWER_MODE.to_owned());
    capabilities
}
