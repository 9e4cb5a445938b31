//! What an account learns of others and tells of itself: waiting messages (RFC 3842), busy lamps (RFC
//! 4235), presence (RFC 3856), and its own presence at the server (RFC 3903).
//!
//! ```text
//! AccountActor ── facts: how others are reached ──▶ SubscriptionsActor ── SUBSCRIBE, PUBLISH ──▶
//!      ▲                                                  │ ◀── NOTIFY
//!      └────────────── Seen: all that is shown ───────────┘
//! ```
//!
//! One thing begins at a time, and not before the account has its turn: when five hundred accounts
//! start together, their questions do not.

mod bindings;
mod items;
mod read;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use event_bodies::{conference, dialog_info, message_summary, presence, reg_info};
use model::{CallView, NoticeLevel, OwnPresence, PresenceState, Private, Sentence};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip_core::dispatch;
use sip_core::stateless::Capabilities;
use sip_core::{OwnerKey, ResolveId, Spacing};
use sip_message::Message;

use self::bindings::Others;
pub(crate) use self::items::config;
use self::items::{Item, Notable, What};
use crate::account::{AccountArgs, AccountFacts, AccountMsg, Seen};
use crate::drive::{Outlet, Questions};
use crate::recorder::RecorderMsg;
use crate::transport::{Delivery, Owner, TransportMsg};
use crate::wake::{Wake, now};
use crate::{DRAINED, wall};

/// The bodies of what accounts and their calls are notified of.
const BODIES: [&str; 5] = [
    message_summary::CONTENT_TYPE,
    dialog_info::CONTENT_TYPE,
    presence::CONTENT_TYPE,
    conference::CONTENT_TYPE,
    reg_info::CONTENT_TYPE,
];
/// How far apart the beginnings of all accounts are.
pub(crate) const APART: Duration = Duration::from_millis(20);
/// How long one thing may be on its way before the next begins all the same.
const TURN: Duration = Duration::from_secs(4);
/// How long goodbyes may take.
const FAREWELL: Duration = Duration::from_millis(700);
/// Things that are being left, at most.
const MOST_LEAVING: usize = 64;

/// What calls can do, and text messages and notifications beside them.
pub(crate) fn told(calls: Capabilities) -> Capabilities {
    calls.with_messages().with_events(&BODIES)
}

/// What is said of a notifier whose states do not fit together.
pub(crate) fn with_gaps(wait: Duration) -> String {
    let seconds = wait.as_millis().div_ceil(1000);
    format!("Its states come with gaps: asked again in {seconds} s.")
}

/// What a [`SubscriptionsActor`] can be told.
pub(crate) enum SubscriptionsMsg {
    /// The account is reachable, and this is how it reaches others.
    Facts {
        facts: Box<AccountFacts>,
        /// Whether it was not reachable before.
        returned: bool,
    },
    /// A summary of waiting messages came without a subscription.
    Waiting(Vec<u8>),
    /// Tell this of our person.
    Presence(PresenceState, Private),
    /// Whether a call is up.
    OnThePhone(bool),
    /// The next thing may begin.
    Next(u64),
    /// The transport brought something.
    Delivered(Delivery),
    /// A deadline has come.
    Wake(u64),
    /// The tenant has a new transport.
    TransportReplaced(ActorRef<TransportMsg>),
    /// End everything, then end.
    Leave,
    /// Goodbyes have had their time.
    LeaveNow,
    /// Fail, so that the supervisor's answer can be seen.
    #[cfg(test)]
    Crash,
}

/// Watches others for one account.
pub(crate) struct SubscriptionsActor;

/// What a [`SubscriptionsActor`] is started with.
pub(crate) struct SubscriptionsArgs {
    /// Who is told.
    pub(crate) account: ActorRef<AccountMsg>,
    /// Everything that its account was started with.
    pub(crate) of: AccountArgs,
    /// What was told of our person before.
    pub(crate) presence: OwnPresence,
}

pub(crate) struct SubscriptionsState {
    account: ActorRef<AccountMsg>,
    args: AccountArgs,
    owner: Owner,
    facts: Option<AccountFacts>,
    items: Vec<Item>,
    /// What was replaced and is being ended.
    left: Vec<Item>,
    /// Who asked which question: the number of the item and its own number of the question.
    asked: HashMap<u64, (u64, ResolveId)>,
    numbers: u64,
    questions: Questions,
    /// Items that have not begun yet, by number.
    waiting: VecDeque<u64>,
    /// The item that has begun and has no result yet.
    begun: Option<u64>,
    /// Counts the turns, so that an old one has no effect.
    turn: u64,
    seen: Seen,
    told: Option<Seen>,
    /// Other phones under our address.
    others: Others,
    /// Asking for the list of them.
    list: Spacing,
    wake: Wake,
    leaving: bool,
}

impl Actor for SubscriptionsActor {
    type Msg = SubscriptionsMsg;
    type State = SubscriptionsState;
    type Arguments = SubscriptionsArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let SubscriptionsArgs {
            account,
            of: args,
            presence,
        } = args;
        let owner = Owner::new(&myself, args.id.clone(), None, SubscriptionsMsg::Delivered)
            .ruled_by(&args.identity.rules);
        let publishes = args.settings.publish_presence;
        if publishes {
            follow_calls(&myself, &args);
        }
        let mut state = SubscriptionsState {
            seen: Seen {
                lamps: items::dark_lamps(&args.settings),
                presence: publishes.then_some(OwnPresence {
                    published: false,
                    sentence: None,
                    ..presence
                }),
                ..Seen::default()
            },
            account,
            args,
            owner,
            facts: None,
            items: Vec::new(),
            left: Vec::new(),
            asked: HashMap::new(),
            numbers: 0,
            questions: Questions::default(),
            waiting: VecDeque::new(),
            begun: None,
            turn: 0,
            told: None,
            others: Others::default(),
            list: Spacing::default(),
            wake: Wake::default(),
            leaving: false,
        };
        state.tell();
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SubscriptionsMsg::Facts { facts, returned } => state.on_facts(*facts, returned),
            SubscriptionsMsg::Waiting(body) => state.take_summary(&body),
            SubscriptionsMsg::Presence(presence, note) => {
                state.change_presence(|own| {
                    own.state = presence;
                    own.note = note;
                });
            }
            SubscriptionsMsg::OnThePhone(on_the_phone) => {
                state.change_presence(|own| own.on_the_phone = on_the_phone);
            }
            SubscriptionsMsg::Next(turn) => {
                if turn == state.turn {
                    state.begin_next(&myself);
                }
            }
            SubscriptionsMsg::Delivered(delivery) => state.on_delivery(delivery),
            SubscriptionsMsg::Wake(generation) => {
                if state.wake.is_current(generation) {
                    let at = now();
                    state.each(|item| item.object.handle_timeout(at));
                    if state.list.pop_due(at) {
                        state.ask_for_list();
                    }
                }
            }
            SubscriptionsMsg::TransportReplaced(transport) => {
                state.args.transport = transport;
                state.on_transport_replaced();
            }
            SubscriptionsMsg::Leave => {
                state.leave();
                myself.send_after(FAREWELL, || SubscriptionsMsg::LeaveNow);
            }
            SubscriptionsMsg::LeaveNow => myself.stop(Some(DRAINED.to_owned())),
            #[cfg(test)]
            SubscriptionsMsg::Crash => panic!("told to fail"),
        }
        state.drive(&myself);
        if state.leaving && state.left.is_empty() {
            myself.stop(Some(DRAINED.to_owned()));
        }
        Ok(())
    }
}

/// Tells the actor when a call of its account is up, and when none is any more.
fn follow_calls(myself: &ActorRef<SubscriptionsMsg>, args: &AccountArgs) {
    let (myself, id, shared) = (myself.clone(), args.id.clone(), Arc::clone(&args.shared));
    let mut events = shared.hub.subscribe(None);
    tokio::spawn(async move {
        let mut told = false;
        loop {
            let event = events.next().await;
            let matters = matches!(
                event,
                model::Event::Call { .. }
                    | model::Event::CallRemoved { .. }
                    | model::Event::Resync { .. }
            );
            let ours = |call: &CallView| call.account == id && call.state.is_up();
            let up = shared.hub.read(|state| state.calls.iter().any(ours));
            if matters && up != told {
                told = up;
                if myself.cast(SubscriptionsMsg::OnThePhone(up)).is_err() {
                    return;
                }
            }
            let ended = myself.get_status() >= ractor::ActorStatus::Stopping;
            if ended || event == model::Event::Stopped {
                return;
            }
        }
    });
}

impl SubscriptionsState {
    /// The account can be reached: what was not begun begins, what stood is renewed when it could not
    /// be reached for a while, and begins anew when it is reached another way.
    fn on_facts(&mut self, facts: AccountFacts, returned: bool) {
        if self.leaving {
            return;
        }
        let at = now();
        let same_way = self.facts.as_ref().is_some_and(|known| {
            known.service_route == facts.service_route && known.contact == facts.contact
        });
        self.facts = Some(facts);
        if same_way {
            if returned {
                self.each(|item| item.object.renew(at));
            }
            return;
        }
        for mut item in std::mem::take(&mut self.items) {
            item.object.end(at);
            self.left.push(item);
        }
        let surplus = self.left.len().saturating_sub(MOST_LEAVING);
        let forgotten: Vec<Item> = self.left.drain(..surplus).collect();
        for item in forgotten {
            self.disclaim(item.key);
        }
        self.waiting.clear();
        self.begun = None;
        for what in self.wanted() {
            self.numbers += 1;
            let Some(item) = self.item(self.numbers, what) else {
                continue;
            };
            self.waiting.push_back(item.number);
            self.claim(item.key.clone());
            self.items.push(item);
        }
        self.turn += 1;
    }

    /// Whether something waits for its turn and nothing is on its way.
    fn is_idle(&self) -> bool {
        self.begun.is_none() && !self.waiting.is_empty()
    }

    fn begin_next(&mut self, myself: &ActorRef<SubscriptionsMsg>) {
        self.begun = None;
        let Some(number) = self.waiting.pop_front() else {
            return;
        };
        let at = now();
        let body = self.presence_body();
        if let Some(item) = self.items.iter_mut().find(|item| item.number == number) {
            item.object.begin(at, body);
            self.begun = Some(number);
            self.turn += 1;
            let turn = self.turn;
            myself.send_after(TURN, move || SubscriptionsMsg::Next(turn));
        }
    }

    fn claim(&self, key: OwnerKey) {
        let _ = self.args.transport.cast(TransportMsg::Claim {
            key,
            server_key: None,
            owner: self.owner.clone(),
        });
    }

    /// A subscription made anew shares nothing with the old one (RFC 6665 §4.1.2.2).
    pub(super) fn rename(&mut self, number: u64, key: OwnerKey) {
        self.claim(key.clone());
        let item = self
            .items
            .iter_mut()
            .chain(&mut self.left)
            .find(|item| item.number == number);
        if let Some(item) = item {
            let old = std::mem::replace(&mut item.key, key);
            self.disclaim(old);
        }
    }

    fn disclaim(&self, key: OwnerKey) {
        let _ = self.args.transport.cast(TransportMsg::Disclaim(key));
    }

    fn on_transport_replaced(&mut self) {
        let keys: Vec<OwnerKey> = self
            .items
            .iter()
            .chain(&self.left)
            .map(|item| item.key.clone())
            .collect();
        keys.into_iter().for_each(|key| self.claim(key));
        self.questions.ask_again(&Outlet::of(
            &self.owner,
            &self.args.transport,
            &self.args.identity,
        ));
    }

    fn on_delivery(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Message {
                message,
                inbound,
                at,
            } => {
                let key = match &*message {
                    Message::Response(response) => dispatch::response_owner(response),
                    Message::Request(request) => dispatch::request_owner(request),
                };
                let item = self
                    .items
                    .iter_mut()
                    .chain(&mut self.left)
                    .find(|item| Some(&item.key) == key.as_ref());
                if let Some(item) = item {
                    match *message {
                        Message::Response(response) => {
                            item.object.handle_response(at, &response, &inbound);
                        }
                        Message::Request(request) => {
                            item.object.handle_request(at, &request, &inbound);
                        }
                    }
                }
            }
            Delivery::Resolved { id, result } => {
                self.questions.on_answer(id);
                let Some((number, inner)) = self.asked.remove(&id.0) else {
                    return;
                };
                let item = self
                    .items
                    .iter_mut()
                    .chain(&mut self.left)
                    .find(|item| item.number == number);
                if let Some(item) = item {
                    item.object.handle_resolved(now(), inner, result);
                }
            }
            Delivery::Unsent { branch, error } => {
                let at = now();
                self.each(|item| {
                    let object = &mut item.object;
                    object.handle_transport_error(at, &branch, error.clone());
                });
            }
            // The registration finds another way and says so.
            Delivery::FlowLost(_)
            | Delivery::Targets { .. }
            | Delivery::BetterServer
            | Delivery::Unreadable(_)
            | Delivery::OnTheWay { .. }
            | Delivery::Untrusted(_) => {}
        }
    }

    fn leave(&mut self) {
        let at = now();
        self.leaving = true;
        self.waiting.clear();
        self.list.stop();
        for mut item in std::mem::take(&mut self.items) {
            item.object.end(at);
            self.left.push(item);
        }
    }

    fn each(&mut self, act: impl FnMut(&mut Item)) {
        self.items.iter_mut().chain(&mut self.left).for_each(act);
    }

    /// Drains everything, handles what happened, and re-arms the wake-up.
    fn drive(&mut self, myself: &ActorRef<SubscriptionsMsg>) {
        let deadline = loop {
            let mut events: Vec<(u64, What, Notable)> = Vec::new();
            let deadline = self.drain(&mut events);
            if events.is_empty() {
                break deadline;
            }
            for (number, what, event) in events {
                self.on_event(number, what, event);
            }
        };
        let (over, left) = std::mem::take(&mut self.left)
            .into_iter()
            .partition(|item| item.object.is_drained());
        self.left = left;
        for item in over {
            self.disclaim(item.key);
        }
        if self.is_idle() {
            self.turn += 1;
            let turn = self.turn;
            // Held until its turn comes, or for good when something else comes between.
            self.begun = self.waiting.front().copied();
            let wait = self.args.shared.pacer.turn(now());
            myself.send_after(wait, move || SubscriptionsMsg::Next(turn));
        }
        self.tell();
        let deadline = [deadline, self.list.deadline()].into_iter().flatten().min();
        self.wake.arm(deadline, myself, SubscriptionsMsg::Wake);
    }

    /// Shows what changed.
    fn tell(&mut self) {
        if self.told.as_ref() != Some(&self.seen) {
            self.told = Some(self.seen.clone());
            let seen = Box::new(self.seen.clone());
            let _ = self.account.cast(AccountMsg::Seen(seen));
        }
    }

    fn note(&self, text: impl Into<Sentence>) {
        self.args.recorder.cast(RecorderMsg::Note {
            time: wall(),
            topic: "subscription",
            text: text.into(),
            account: Some(self.args.id.clone()),
            call: None,
            sip_call_id: None,
        });
    }

    fn notice(&self, text: impl Into<Sentence>) {
        let shared = &self.args.shared;
        shared.notice(NoticeLevel::Warning, Some(&self.args.tenant_id), text);
    }
}
