//! One call leg: the protocol's call, its offers and answers, and its stream.
//!
//! The actor only translates. What SIP asks for is decided in `sip_core::call`, what SDP asks for
//! in `sdp::Negotiator`, and what is heard in `media`; here they are introduced to each other, and
//! the result is shown to the user as a [`CallView`].

mod deliver;
mod details;
mod finish;
mod focus;
mod heard;
mod keys;
mod media_leg;
mod moved;
mod offers;
mod policy;
mod recording;
mod relayed;
mod ringback;
mod saying;
mod start;
mod transfer;
mod verbs;
mod ways;

pub(crate) use self::details::is_from_server;
use self::start::party;
pub(crate) use self::start::{call_config, capabilities};
pub(crate) use self::transfer::{Candidate, Claim, Placement, Referral};

use std::collections::VecDeque;
#[cfg(test)]
use std::net::IpAddr;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{
    AccountId, AccountSettings, CallId, CallState, CallView, CertificateView, Event, Failure,
    MediaDirection, MediaStats, Private, QuestionId, Sentence, SoundView, TenantId, WayStep,
};
use nat::turn::Login;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use replay::Taped;
use sip_core::call::{Call, CallConfig, CallEvent, CardStamp, Fit, ReferId};
use sip_core::dispatch::{OwnerKey, ServerKey};
use sip_core::{Inbound, ResolveId};
use sip_message::{NameAddr, Replaces, Request, StatusCode, Uri};

use self::focus::Focus;
use self::heard::Heard;
use self::keys::Keys;
use self::media_leg::MediaLeg;
use self::moved::Moving;
use self::ringback::Ringback;
use self::saying::Instead;
use self::transfer::{Heir, Transfers, Withheld};
use self::ways::Wish;
use crate::account::AccountFacts;
use crate::cards::Cards;
use crate::drive::Questions;
use crate::failures::Unreadable;
use crate::identity::Identity;
use crate::logins::LoginQuestion;
use crate::network::{Mooring, Moved as NetworkMoved};
use crate::passwords::{GivenLogin, Passwords};
use crate::recorder::RecorderMsg;
use crate::shared::{Service, Shared};
use crate::sounds::Sound;
use crate::supervise::Budget;
use crate::tenant::TenantMsg;
use crate::transport::{Delivery, Owner, Resolver, TransportMsg};
use crate::wake::{Wake, now};
use crate::wall;

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
    /// The same, and do not stay for repeats once the peer has answered.
    Leave,
    /// Hold, or take off hold.
    Hold(bool),
    /// Agree on other keys for the media.
    RenewKeys,
    /// Cut the microphone off, or connect it.
    Mute(bool),
    /// Record both sides, or no longer.
    Record(bool),
    /// Play this file into the call, or nothing any more.
    Play(Option<PathBuf>),
    /// What was to be said instead of the microphone, by its number, has been read.
    Read(u64, PathBuf, Result<Arc<Sound>, String>),
    /// What was said instead of the microphone, by its number, is at its end.
    Said(u64),
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
    /// Media is to flow these ways only.
    Direction(MediaDirection),
    /// A person gave the login that the call waits for, or gives none.
    Login {
        question: QuestionId,
        given: Option<Box<GivenLogin>>,
    },
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
    /// A new call wants the place of this one, or to join it.
    MayReplace {
        /// How it names this one, what it wants, and who it is.
        claim: Claim,
        /// Whether the account of this call lets who asks without a person's word.
        trusts: bool,
        /// Who wants to know.
        asker: ActorRef<DialogMsg>,
    },
    /// Whether this call may have the place it wants.
    Fits {
        /// The call that was asked.
        old: ActorRef<DialogMsg>,
        /// Which that is.
        call: CallId,
        /// With whom it is.
        with: Private,
        /// What it says.
        fit: Fit,
        /// Whether nobody has to be asked.
        trusted: bool,
        /// What its peer does not get of the person.
        withheld: Withheld,
    },
    /// The calls that were asked for their place have had their time.
    PlaceUnanswered,
    /// Another call has taken the place of this one: by itself, where it is named.
    Replaced(Option<Heir>),
    /// Another call is up that joins this one.
    JoinedBy(Heir),
    /// The peer of the call whose place this one takes, or that it joins, does not get this of the person.
    Withhold(Withheld),
    /// The user has put the ended call away.
    Dismiss,
    /// The transport brought something.
    Delivered(Delivery),
    /// A deadline has come.
    Wake(u64),
    /// The tenant has a new transport.
    TransportReplaced(ActorRef<TransportMsg>),
    /// A digit of ours begins to go out with the sound.
    DigitSent(char),
    /// The peer pressed a key (RTP).
    DigitHeard {
        /// Which.
        digit: char,
        /// How long.
        duration: Duration,
    },
    /// The first packet of media has come, from there.
    MediaFlows(SocketAddr),
    /// It is time to look whether media comes before the call is taken.
    LookForMedia,
    /// Media stopped coming, or came back.
    MediaSilent(bool),
    /// What the handshake for the keys came to.
    MediaSecured(Result<dtls::Profile, dtls::Failure>),
    /// Nobody answers any more on the way of the media.
    WayLost,
    /// The ways that were tried anew lead nowhere, and there is no old one.
    NoWay,
    /// Which ways are used is known, and others are not needed any more.
    WaysSettled(media::Settled),
    /// Something else that the pump noticed.
    MediaNews(String),
    /// The address that this socket of our media had at a relay is gone.
    RelayLost(u8, nat::turn::Refusal),
    /// The recording into this file ended early, and why.
    RecordingEnded(PathBuf, String),
    /// The file of a recording has been made, or could not be.
    RecordingBegun(PathBuf, Result<(), String>),
    /// The last second's figures, and what is true about the sound.
    Stats(MediaStats, Box<SoundView>),
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
    pub(crate) passwords: Passwords,
    pub(crate) facts: AccountFacts,
    pub(crate) transport: ActorRef<TransportMsg>,
    pub(crate) recorder: Arc<Service<RecorderMsg>>,
    /// Finds servers for the media.
    pub(crate) resolver: Resolver,
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
        /// The call at the far end whose place it is to take, or which it is to join.
        place: Option<Box<Placement>>,
        /// The peer that asked for it.
        referral: Option<Box<Referral>>,
        /// Which way media is to flow.
        direction: MediaDirection,
    },
    /// We are called.
    Incoming {
        /// The INVITE.
        request: Box<Request>,
        /// Where it came from.
        inbound: Inbound,
        /// When it came.
        at: Instant,
        /// How it names the call that it is about, and those that may be meant.
        place: Option<(Claim, Vec<Candidate>)>,
    },
}

pub(crate) struct DialogState {
    shared: Arc<Shared>,
    settings: AccountSettings,
    identity: Identity,
    transport: ActorRef<TransportMsg>,
    recorder: Arc<Service<RecorderMsg>>,
    resolver: Resolver,
    tenant: ActorRef<TenantMsg>,
    owner: Owner,
    phase: Phase,
    events: VecDeque<CallEvent>,
    media: Option<MediaLeg>,
    /// Who we are for the relay.
    relay_login: Option<Login>,
    view: CallView,
    /// Our tag and the peer's, once there is a call. The protocol's call forgets its dialog when it is over.
    tags: Option<[String; 2]>,
    wake: Wake,
    questions: Questions,
    cards: Cards,
    /// What the present card was drawn from.
    card: CardStamp,
    /// Whether the user wants the call held; carried out as soon as the call can.
    hold_wanted: bool,
    /// The peer refused to be put on hold, and is held by us alone: it is not heard, and hears nobody here.
    held_alone: bool,
    /// What the peer hears in place of the microphone.
    instead: Instead,
    /// Which way media shall flow.
    direction_wanted: MediaDirection,
    /// Whether other keys are wanted; offered as soon as the call can.
    keys_wanted: bool,
    /// What is to be done about the ways to the peer; offered as soon as the call can.
    ways_wanted: Option<Wish>,
    /// What of that the offer asks for that waits for its answer.
    ways_asked: Option<Wish>,
    stream_budget: Budget,
    /// Set when the user has put the call away, which may be before it is drained.
    dismissed: bool,
    filed: bool,
    sounded: Heard,
    /// The keys that the peer presses.
    keys: Keys,
    ringback: Ringback,
    transfers: Transfers,
    /// The login that it waits for.
    login: LoginQuestion,
    /// How far the way of the last request is.
    on_the_way: Option<(SocketAddr, Option<WayStep>)>,
    /// Whether the peer has answered anything.
    heard: bool,
    /// The certificate that was not trusted last.
    untrusted: Option<Box<CertificateView>>,
    /// Whether its tenant is on its way out.
    leaving: bool,
    /// Whether the person has ended it.
    hung_up: bool,
    /// The last answer, where it could not be read.
    unreadable: Option<Unreadable>,
    /// A change of our address that the peer is not told of yet.
    moving: Option<Moving>,
    /// How many there have been.
    moves: u32,
    /// How often a relay was lost to our media.
    relays_lost: relayed::Losses,
    /// The relay of our media is gone, and was when another one could not be asked for yet.
    relay_gone: Option<(u8, nat::turn::Refusal)>,
    /// Whether a change of the network is any of our business.
    mooring: Mooring,
    /// How often the sound machinery has refused what was agreed last.
    media_tries: u8,
    /// It was turned away or sent on without the user.
    unseen: bool,
    /// The file of a recording that is being made.
    recording_begins: Option<recording::Beginning>,
    /// What was wrong with the caller's offer, for which it was turned away.
    refused_offer: Option<Failure>,
    /// The conference that the peer is the middle of.
    focus: Focus,
    /// Our answer that the caller has had before anybody took its call.
    announced: Option<Vec<u8>>,
    /// What was wrong with the answer that a second offer is to put right, while that waits for its own.
    mending: Option<Failure>,
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
            DialogMsg::End => {
                state.hung_up = true;
                state.on_end();
            }
            DialogMsg::Leave => {
                state.leaving = true;
                state.on_end();
            }
            DialogMsg::Hold(hold) => state.on_hold(hold),
            DialogMsg::RenewKeys => state.on_renew_keys(),
            DialogMsg::Mute(muted) => state.on_mute(muted),
            DialogMsg::Record(on) => state.on_record(&myself, on),
            DialogMsg::RecordingBegun(file, begun) => state.on_recording_begun(&file, begun),
            DialogMsg::Play(file) => state.on_play(file),
            DialogMsg::Read(number, file, sound) => state.on_read(number, &file, sound),
            DialogMsg::Said(number) => state.on_said(number),
            DialogMsg::Digits(digits) => state.on_digits(digits.reveal()),
            DialogMsg::Transfer { target, replaces } => {
                state.on_transfer(*target, replaces.map(|replaces| *replaces));
            }
            DialogMsg::Conference(room) => state.on_conference(room),
            DialogMsg::Lend(to) => state.on_lend(&to),
            DialogMsg::Direction(direction) => state.on_direction(direction),
            DialogMsg::Login { question, given } => state.on_login(question, given.as_deref()),
            DialogMsg::AnswerTransfer(accept) => state.on_answer_transfer(&myself, accept),
            DialogMsg::Following(call) => state.on_following(call),
            DialogMsg::Reported { refer, status } => {
                state.on_reported(&myself, refer, status);
            }
            DialogMsg::MayReplace {
                claim,
                trusts,
                asker,
            } => state.on_may_replace(&myself, &claim, trusts, &asker),
            DialogMsg::Fits {
                old,
                call,
                with,
                fit,
                trusted,
                withheld,
            } => {
                let old = (old, call);
                state
                    .on_fits(&myself, old, with, fit, trusted, withheld)
                    .await;
            }
            DialogMsg::PlaceUnanswered => state.on_place_unanswered(),
            DialogMsg::JoinedBy(heir) => state.on_joined_by(&heir),
            DialogMsg::Replaced(heir) => state.on_replaced(heir.as_ref()),
            DialogMsg::Withhold(withheld) => state.withhold(withheld),
            DialogMsg::Dismiss => state.on_dismiss(),
            DialogMsg::Delivered(delivery) => state.on_delivery(&myself, delivery).await,
            DialogMsg::Wake(generation) => {
                if state.wake.is_current(generation) {
                    if let Phase::Calling(call) = &mut state.phase {
                        call.handle_timeout(now());
                    }
                    state.focus.handle_timeout(now());
                }
            }
            DialogMsg::TransportReplaced(transport) => {
                state.transport = transport;
                state.on_transport_replaced();
            }
            DialogMsg::DigitSent(digit) => state.on_digit_sent(digit),
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
            DialogMsg::LookForMedia => state.on_listen_for_media(&myself),
            DialogMsg::MediaSilent(silent) => state.on_media_silent(silent),
            DialogMsg::MediaSecured(outcome) => state.on_media_secured(outcome),
            DialogMsg::WayLost => state.on_way_lost().await,
            DialogMsg::NoWay => state.on_no_way().await,
            DialogMsg::WaysSettled(settled) => state.on_ways_settled(settled),
            DialogMsg::MediaNews(news) => state.note("media", news),
            DialogMsg::RelayLost(socket, why) => state.on_relay_lost(socket, why).await,
            DialogMsg::RecordingEnded(file, reason) => state.on_recording_ended(&file, &reason),
            // A report that was under way when the stream was closed is older than the last figures.
            DialogMsg::Stats(stats, sound) => {
                if let Some(media) = &state.media {
                    state.view.details.heard_codec = media.other_codec();
                    state.on_sound(*sound);
                    if state.view.connected_at.is_some() {
                        state.sounded.take(&stats);
                    }
                    state.view.stats = Some(stats);
                    state.publish();
                    // An offer may have been open when it was known what is not needed.
                    state.give_back_relays();
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
            DialogMsg::Crash => panic!("told to fail in a call with {:?}", state.view.remote),
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
    fn claim(&mut self, server_key: Option<ServerKey>) {
        let Phase::Calling(call) = &self.phase else {
            return;
        };
        let key = call.owner_key().clone();
        if self.view.sip_call_id.is_empty() {
            self.view.sip_call_id.clone_from(&key.call_id);
            self.publish();
        }
        self.claim_key(key, server_key);
    }

    fn claim_key(&self, key: OwnerKey, server_key: Option<ServerKey>) {
        let _ = self.transport.cast(TransportMsg::Claim {
            key,
            server_key,
            owner: self.owner.clone(),
        });
    }

    fn is_drained(&self) -> bool {
        let protocol_done = match &self.phase {
            Phase::Finding(_) => false,
            Phase::Calling(call) if self.leaving => return self.is_over() && call.is_settled(),
            Phase::Calling(call) => call.is_drained(),
            Phase::Over => true,
        };
        protocol_done && self.focus.is_drained() && self.is_over()
    }

    fn is_over(&self) -> bool {
        self.view.state == CallState::Ended
    }

    fn note(&self, topic: &'static str, text: impl Into<Sentence>) {
        self.recorder.cast(RecorderMsg::Note {
            time: wall(),
            topic,
            text: text.into(),
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
