//! What notifications say, and what answers mean.

use event_bodies::dialog_info::{DialogEntry, DialogInfo, DialogTable, Lamp};
use event_bodies::message_summary::{MessageClass, MessageSummary};
use event_bodies::presence::{ON_THE_PHONE, Presence, Tuple};
use event_bodies::{Applied, presence};
use model::{
    LampCall, LampState, LampView, OwnPresence, Party, PresenceState, PresenceView, Sentence,
    WaitingView,
};
use sip_core::events::{
    Fault, LegState, Notified, PublicationEvent, SubscriptionEnd, SubscriptionEvent,
};

use super::{SubscriptionsState, with_gaps};
use sip_message::StatusCode;

use super::items::{Notable, Object, What};
use crate::wake::now;
use crate::wall;

/// Calls of one lamp that are shown.
const MOST_CALLS: usize = 16;

impl SubscriptionsState {
    pub(super) fn on_event(&mut self, number: u64, what: What, event: Notable) {
        // What was replaced is being ended; nobody looks at it any more.
        let present = self.items.iter().any(|item| item.number == number);
        match event {
            Notable::Asked(SubscriptionEvent::NewKey(key)) => self.rename(number, key),
            _ if !present => {}
            Notable::Asked(SubscriptionEvent::Trying) => {
                // It counts its documents anew.
                self.table(number, DialogTable::clear);
            }
            Notable::Asked(event) => {
                self.settled(number);
                self.on_asked(number, what, event);
            }
            Notable::Told(event) => {
                self.settled(number);
                self.on_published(event);
            }
        }
    }

    /// It has a first result: the next may begin.
    fn settled(&mut self, number: u64) {
        if self.begun == Some(number) {
            self.begun = None;
        }
    }

    fn table(&mut self, number: u64, act: impl FnOnce(&mut DialogTable)) {
        if let Some(item) = self.items.iter_mut().find(|item| item.number == number) {
            act(&mut item.table);
        }
    }

    fn on_asked(&mut self, number: u64, what: What, event: SubscriptionEvent) {
        match event {
            SubscriptionEvent::Notified(notified) => self.on_notified(number, what, &notified),
            SubscriptionEvent::State { state, .. } => {
                if state == LegState::Pending {
                    self.say(what, Some("Somebody has to allow it first.".to_owned()));
                }
            }
            SubscriptionEvent::Failed { what: fault, .. } => {
                self.darken(number, what);
                let text = format!("{} It is tried again by itself.", said(what, &fault));
                self.note(text.clone());
                self.say(what, Some(text));
            }
            SubscriptionEvent::Ended(SubscriptionEnd::Refused(fault)) => {
                self.darken(number, what);
                let text = said(what, &fault);
                self.note(text.clone());
                self.say(what, Some(text));
            }
            SubscriptionEvent::Ended(SubscriptionEnd::Unsubscribed | SubscriptionEnd::Polled) => {
                self.darken(number, what);
            }
            SubscriptionEvent::Notice(text) => self.note(text),
            SubscriptionEvent::NewKey(_) | SubscriptionEvent::Trying => {}
        }
    }

    fn on_notified(&mut self, number: u64, what: What, notified: &Notified) {
        if notified.state == LegState::Pending && notified.body.is_empty() {
            return;
        }
        self.say(what, None);
        match what {
            What::Mailbox if !notified.body.is_empty() => self.take_summary(&notified.body),
            What::Bindings if !notified.body.is_empty() => self.take_bindings(&notified.body),
            What::Mailbox | What::Bindings | What::Own => {}
            What::Calls(place) => self.take_dialogs(number, place, &notified.body),
            What::Presence(place) => self.take_presence(place, &notified.body),
        }
    }

    /// RFC 3842 §5.2.
    pub(super) fn take_summary(&mut self, body: &[u8]) {
        match MessageSummary::parse(body) {
            Ok(summary) => {
                let voice = summary.of(MessageClass::Voice).unwrap_or_default();
                self.seen.waiting_sentence = None;
                self.seen.waiting = Some(WaitingView {
                    waiting: summary.waiting,
                    new: voice.new,
                    old: voice.old,
                    urgent: voice.new_urgent,
                    mailbox: summary.account,
                    at: wall(),
                });
            }
            Err(error) => self.note(format!("a summary of waiting messages: {error}")),
        }
    }

    /// RFC 4235 §4. Many servers say nothing at all of who has no call.
    fn take_dialogs(&mut self, number: u64, place: usize, body: &[u8]) {
        let mut gap = false;
        if !body.is_empty() {
            let info = match DialogInfo::parse(body) {
                Ok(info) => info,
                Err(error) => return self.note(format!("what a lamp was told: {error}")),
            };
            self.table(number, |table| gap = table.apply(&info) == Applied::Gap);
        }
        let Some(item) = self.items.iter_mut().find(|item| item.number == number) else {
            return;
        };
        if gap {
            // RFC 4235 §3.10: a document is missing, so all of it is asked for again.
            if let Object::Asks(subscription) = &mut item.object {
                let wait = subscription.ask_anew(now());
                if !wait.is_zero() {
                    self.say(What::Calls(place), Some(with_gaps(wait)));
                }
            }
            return;
        }
        let lamp = lamp_state(item.table.lamp());
        let calls = item.table.dialogs().iter().take(MOST_CALLS).map(lamp_call);
        let calls = calls.collect();
        if let Some(view) = self.seen.lamps.get_mut(place) {
            light(view, lamp);
            view.calls = calls;
        }
    }

    /// RFC 3863, RFC 4480.
    fn take_presence(&mut self, place: usize, body: &[u8]) {
        let presence = if body.is_empty() {
            Presence::default()
        } else {
            match Presence::parse(body) {
                Ok(presence) => presence,
                Err(error) => return self.note(format!("what a lamp was told: {error}")),
            }
        };
        let watches_calls = self.args.settings.watch.calls();
        if let Some(view) = self.seen.lamps.get_mut(place) {
            // Who is watched by presence alone has a lamp all the same.
            if !watches_calls {
                let lamp = match presence.does(ON_THE_PHONE) {
                    true => LampState::Talking,
                    false if presence.is_open().is_some() => LampState::Idle,
                    false => LampState::Unknown,
                };
                light(view, lamp);
            }
            view.presence = Some(PresenceView {
                open: presence.is_open(),
                activities: presence.activities.clone(),
                note: presence.note,
            });
        }
    }

    /// Nothing is known any more.
    fn darken(&mut self, number: u64, what: What) {
        self.table(number, DialogTable::clear);
        match what {
            What::Calls(place) => {
                if let Some(view) = self.seen.lamps.get_mut(place) {
                    light(view, LampState::Unknown);
                    view.calls.clear();
                }
            }
            What::Presence(place) => {
                if let Some(view) = self.seen.lamps.get_mut(place) {
                    view.presence = None;
                }
            }
            What::Mailbox | What::Bindings | What::Own => {}
        }
    }

    fn say(&mut self, what: What, sentence: Option<String>) {
        let sentence = sentence.map(Sentence::from);
        match what {
            What::Mailbox => self.seen.waiting_sentence = sentence,
            // The timeline has it.
            What::Bindings => {}
            // Where calls are watched too, the lamp is known without presence, and many servers have none.
            What::Presence(_) if self.args.settings.watch.calls() => {}
            What::Calls(place) | What::Presence(place) => {
                if let Some(view) = self.seen.lamps.get_mut(place) {
                    view.sentence = sentence;
                }
            }
            What::Own => {
                if let Some(own) = &mut self.seen.presence {
                    own.sentence = sentence;
                }
            }
        }
    }

    fn on_published(&mut self, event: PublicationEvent) {
        let (published, sentence) = match event {
            PublicationEvent::Published { .. } => (true, None),
            PublicationEvent::Failed { what, .. } => {
                let text = said(What::Own, &what);
                (false, Some(format!("{text} It is tried again by itself.")))
            }
            PublicationEvent::Refused(what) => (false, Some(said(What::Own, &what))),
            PublicationEvent::Removed => (false, None),
            PublicationEvent::Notice(text) => return self.note(text),
        };
        if let Some(text) = &sentence {
            self.note(text.clone());
            if self.seen.presence.as_ref().is_some_and(|own| own.published) {
                self.notice(text.clone());
            }
        }
        if let Some(own) = &mut self.seen.presence {
            own.published = published;
            own.sentence = sentence.map(Into::into);
        }
    }

    /// Our person does something else: the server hears of it when it knows us.
    pub(super) fn change_presence(&mut self, change: impl FnOnce(&mut OwnPresence)) {
        let Some(own) = &mut self.seen.presence else {
            return;
        };
        let before = own.clone();
        change(own);
        if *own == before {
            return;
        }
        let body = self.presence_body();
        let waiting = &self.waiting;
        let item = self
            .items
            .iter_mut()
            .find(|item| item.what == What::Own && !waiting.contains(&item.number));
        if let Some(item) = item {
            item.object.begin(now(), body);
        }
    }

    /// RFC 3863 with the activities of RFC 4480.
    pub(super) fn presence_body(&self) -> Vec<u8> {
        let own = self.seen.presence.clone().unwrap_or_default();
        let address = model::Identity::new(self.args.identity.from.uri.to_string());
        let mut activities = Vec::new();
        match own.state {
            PresenceState::Available => {}
            PresenceState::Busy => activities.push("busy".to_owned()),
            PresenceState::Away => activities.push("away".to_owned()),
        }
        if own.on_the_phone {
            activities.push(ON_THE_PHONE.to_owned());
        }
        let document = presence::Presence {
            tuples: vec![Tuple {
                id: self.args.identity.contact_user.clone(),
                open: Some(own.state == PresenceState::Available),
                contact: Some(address.clone()),
                ..Tuple::default()
            }],
            entity: address,
            activities,
            note: Some(own.note).filter(|note| !note.is_empty()),
        };
        document.to_bytes()
    }
}

fn light(view: &mut LampView, lamp: LampState) {
    if view.lamp != lamp {
        view.lamp = lamp;
        view.since = wall();
    }
}

fn lamp_state(lamp: Lamp) -> LampState {
    match lamp {
        Lamp::Idle => LampState::Idle,
        Lamp::Calling => LampState::Calling,
        Lamp::Ringing => LampState::Ringing,
        Lamp::Busy => LampState::Talking,
    }
}

fn lamp_call(dialog: &DialogEntry) -> LampCall {
    let remote = &dialog.remote;
    let uri = remote.identity.as_ref().or(remote.target.as_ref());
    LampCall {
        id: dialog.id.clone(),
        lamp: lamp_state(dialog.lamp()),
        remote: uri.map(|uri| Party {
            display: remote.display.clone(),
            uri: uri.clone(),
        }),
        call_id: dialog.call_id.clone(),
        local_tag: dialog.local_tag.clone(),
        remote_tag: dialog.remote_tag.clone(),
        target: dialog.local.target.clone(),
    }
}

/// What a person makes of it.
fn said(what: What, fault: &Fault) -> String {
    let thing = match what {
        What::Mailbox => "waiting messages",
        What::Bindings => "what is registered",
        What::Calls(_) => "the calls of others",
        What::Presence(_) => "presence",
        What::Own => "your presence",
    };
    let why = fault.sentence();
    let why = why.reveal();
    match fault.status().map(StatusCode::code) {
        Some(405 | 489 | 501) => format!("The server does not offer {thing} ({why})."),
        Some(403 | 603) => format!("The server does not allow {thing} ({why})."),
        Some(404 | 604) => format!("The server knows no such address ({why})."),
        _ => format!("Nothing is known of {thing}: {why}."),
    }
}
