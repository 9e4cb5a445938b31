//! What others may know of a user: calls for busy lamps (RFC 4235), waiting messages (RFC 3842),
//! presence (RFC 3856) and bindings (RFC 3680). The switchboard tells it itself, so that lamps work
//! with phones that tell nothing.
//!
//! ```text
//!  INVITE, 180, 200, BYE on their way ─▶ calls ─────┐
//!  PUBLISH ─▶ published ────────────────────────────┼─▶ subscriptions ─▶ NOTIFY
//!  REGISTER ─▶ location, the numbers “leave”, “clear” ┘
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use event_bodies::{Scope, dialog_info, message_summary, presence, reg_info, voice_quality};
use sip_core::dispatch::{self, OwnerKey};
use sip_core::events::{Notifier, NotifierConfig, NotifierEvent};
use sip_core::transaction::ServerKey;
use sip_core::{Destination, Inbound, Output, Path, ResolveId, TransportError};
use sip_message::{HeaderName, Method, Request, Response, StatusCode, Uri};

use dialog_info::{DialogEntry, DialogInfo, DialogState, Direction, Party};
use message_summary::{MessageClass, MessageSummary};
use presence::{Presence, Tuple};
use reg_info::{RegContact, RegEntry, RegInfo, RegState};

use super::calls::path_to_caller;
use super::{Action, Exchange, Fate};
use crate::location::Aor;
use crate::proxy::Sending;
use crate::sources::Source;

/// Subscriptions at most.
const SUBSCRIPTIONS: usize = 4_096;
/// Of one source at most: a console with all lamps of a large house.
const SUBSCRIPTIONS_OF_A_SOURCE: usize = 1_024;
/// Calls watched at most, and of one user told at most.
const CALLS: usize = 8_192;
const CALLS_OF_ONE: usize = 32;
/// A call of which no end was seen is over after this.
const LONGEST_CALL: Duration = Duration::from_secs(12 * 3_600);
/// Users with waiting messages or published states at most.
const PEOPLE: usize = 2_048;
/// States published by one user at most, and octets of one.
const PUBLICATIONS: usize = 8;
const PUBLISHED_OCTETS: usize = 16 * 1024;
/// How long a published state lasts: at least, usually, and at most (RFC 3903 §6).
const PUBLISHED_LEAST: u32 = 30;
const PUBLISHED_USUAL: u32 = 3_600;
/// How far apart two NOTIFYs of changes are.
const THROTTLE: Duration = Duration::from_millis(250);

/// What can be subscribed to, and the type of what is told.
const PACKAGES: [(&str, &str); 4] = [
    (dialog_info::PACKAGE, dialog_info::CONTENT_TYPE),
    (message_summary::PACKAGE, message_summary::CONTENT_TYPE),
    (presence::PACKAGE, presence::CONTENT_TYPE),
    (reg_info::PACKAGE, reg_info::CONTENT_TYPE),
];

/// The packages that are told here.
pub(super) fn packages() -> [&'static str; 4] {
    PACKAGES.map(|(package, _)| package)
}

/// A call as its first request names it: Call-ID and From tag.
pub(crate) type CallKey = (String, String);

/// Everything that can be told, and who wants to know.
#[derive(Default)]
pub(super) struct Events {
    subscriptions: HashMap<u64, Subscription>,
    by_owner: HashMap<OwnerKey, u64>,
    by_request: HashMap<ServerKey, u64>,
    by_entity: HashMap<Aor, Vec<u64>>,
    by_source: HashMap<Source, usize>,
    alarms: BTreeSet<(Instant, u64)>,
    touched: Vec<u64>,
    /// Subscriptions of which something has changed since they were last drained.
    stale: Vec<u64>,
    last: u64,
    calls: HashMap<CallKey, Watched>,
    calls_of: HashMap<Aor, Vec<CallKey>>,
    /// New and old messages.
    waiting: HashMap<Aor, [u32; 2]>,
    published: HashMap<Aor, Vec<Published>>,
}

struct Subscription {
    notifier: Notifier,
    entity: Aor,
    package: &'static str,
    inbound: Inbound,
    key: ServerKey,
    filed: Option<Instant>,
}

struct Watched {
    caller: Aor,
    callee: Aor,
    state: DialogState,
    to_tag: Option<String>,
    since: Instant,
}

struct Published {
    etag: String,
    body: Vec<u8>,
    until: Instant,
}

enum Input {
    Event(NotifierEvent),
    Resolved(ResolveId, Path),
}

impl Events {
    pub(super) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The subscription that a request belongs to; it will be drained.
    pub(super) fn find_for(&mut self, key: &ServerKey, request: &Request) -> Option<&mut Notifier> {
        let id = self.by_request.get(key).or_else(|| {
            let owner = dispatch::request_owner(request)?;
            self.by_owner.get(&owner)
        });
        let id = *id?;
        self.touch(id)
    }

    /// The way to the subscriber in whose dialog a request is.
    pub(super) fn way_of_owner(&self, request: &Request) -> Option<Destination> {
        let id = self.by_owner.get(&dispatch::request_owner(request)?)?;
        Some(self.subscriptions.get(id)?.inbound.destination())
    }

    /// The subscription whose NOTIFY is answered here; it will be drained.
    pub(super) fn find_asker(&mut self, response: &Response) -> Option<&mut Notifier> {
        let owner = dispatch::response_owner(response)?;
        let id = *self.by_owner.get(&owner)?;
        self.touch(id)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let due = self.alarms.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<u64> = due.map(|(_, id)| *id).collect();
        for id in due {
            if let Some(notifier) = self.touch(id) {
                notifier.handle_timeout(now);
            }
        }
    }

    pub(super) fn handle_transport_error(
        &mut self,
        now: Instant,
        branch: &str,
        error: &TransportError,
    ) {
        for (id, subscription) in &mut self.subscriptions {
            let notifier = &mut subscription.notifier;
            notifier.handle_transport_error(now, branch, error.clone());
            self.touched.push(*id);
        }
    }

    fn touch(&mut self, id: u64) -> Option<&mut Notifier> {
        self.touched.push(id);
        self.subscriptions.get_mut(&id).map(|s| &mut s.notifier)
    }

    /// Something of somebody's has changed.
    fn changed(&mut self, entity: &Aor, packages: &[&str]) {
        let ids = self.by_entity.get(entity).cloned().unwrap_or_default();
        for id in ids {
            if let Some(subscription) = self.subscriptions.get(&id)
                && packages.contains(&subscription.package)
            {
                self.stale.push(id);
            }
        }
    }

    /// An INVITE goes from one to another.
    pub(super) fn begin_call(&mut self, now: Instant, key: CallKey, caller: Aor, callee: Aor) {
        if self.calls.len() >= CALLS {
            let old = |watched: &Watched| now.duration_since(watched.since) >= LONGEST_CALL;
            let stale: Vec<CallKey> = self
                .calls
                .iter()
                .filter(|(_, watched)| old(watched))
                .map(|(key, _)| key.clone())
                .collect();
            for key in stale {
                self.end_call(&key);
            }
        }
        if self.calls.len() >= CALLS || self.calls.contains_key(&key) {
            return;
        }
        for party in [&caller, &callee] {
            let calls = self.calls_of.entry(party.clone()).or_default();
            if !calls.contains(&key) {
                calls.push(key.clone());
            }
        }
        let watched = Watched {
            caller,
            callee,
            state: DialogState::Trying,
            to_tag: None,
            since: now,
        };
        self.calls.insert(key.clone(), watched);
        self.tell_parties(&key);
    }

    /// A call went on; nobody steps back.
    pub(super) fn call_becomes(
        &mut self,
        key: &CallKey,
        state: DialogState,
        to_tag: Option<String>,
    ) {
        if state == DialogState::Terminated {
            return self.end_call(key);
        }
        let Some(watched) = self.calls.get_mut(key) else {
            return;
        };
        if watched.state == state || watched.state == DialogState::Confirmed {
            return;
        }
        watched.state = state;
        watched.to_tag = to_tag.or(watched.to_tag.take());
        self.tell_parties(key);
    }

    pub(super) fn end_call(&mut self, key: &CallKey) {
        let Some(watched) = self.calls.remove(key) else {
            return;
        };
        for party in [&watched.caller, &watched.callee] {
            if let Some(calls) = self.calls_of.get_mut(party) {
                calls.retain(|other| other != key);
                if calls.is_empty() {
                    self.calls_of.remove(party);
                }
            }
            self.changed(party, &[dialog_info::PACKAGE, presence::PACKAGE]);
        }
    }

    fn tell_parties(&mut self, key: &CallKey) {
        let Some(watched) = self.calls.get(key) else {
            return;
        };
        for party in [watched.caller.clone(), watched.callee.clone()] {
            self.changed(&party, &[dialog_info::PACKAGE, presence::PACKAGE]);
        }
    }

    /// A message is left for somebody, or all of theirs are heard.
    pub(super) fn mail(&mut self, entity: &Aor, leaves: bool) {
        if leaves && self.waiting.len() >= PEOPLE && !self.waiting.contains_key(entity) {
            return;
        }
        let [new, old] = self.waiting.entry(entity.clone()).or_default();
        if leaves {
            *new = new.saturating_add(1);
        } else {
            *old = old.saturating_add(std::mem::take(new));
        }
        self.changed(entity, &[message_summary::PACKAGE]);
    }

    fn calls_told(&self, now: Instant, entity: &Aor) -> Vec<DialogEntry> {
        let keys = self.calls_of.get(entity).into_iter().flatten();
        let watched = keys.filter_map(|key| Some((key, self.calls.get(key)?)));
        let entries = watched.map(|(key, watched)| {
            let calls = watched.caller == *entity;
            let party = |aor: &Aor| Party {
                identity: Some(format!("sip:{aor}").into()),
                target: Some(format!("sip:{aor}").into()),
                ..Party::default()
            };
            let (local, remote) = if calls {
                (&watched.caller, &watched.callee)
            } else {
                (&watched.callee, &watched.caller)
            };
            let (from, to) = (Some(key.1.clone()), watched.to_tag.clone());
            let (local_tag, remote_tag) = if calls { (from, to) } else { (to, from) };
            DialogEntry {
                call_id: Some(key.0.clone()),
                local_tag,
                remote_tag,
                direction: Some(if calls {
                    Direction::Initiator
                } else {
                    Direction::Recipient
                }),
                duration_s: Some(now.duration_since(watched.since).as_secs() as u32),
                local: party(local),
                remote: party(remote),
                ..DialogEntry::new(format!("{}{}", key.0, key.1), watched.state)
            }
        });
        entries.take(CALLS_OF_ONE).collect()
    }

    fn forget_published(&mut self, now: Instant) {
        self.published.retain(|_, states| {
            states.retain(|state| state.until > now);
            !states.is_empty()
        });
    }

    fn add(&mut self, subscription: Subscription) {
        self.last += 1;
        let id = self.last;
        self.by_owner.insert(subscription.notifier.owner_key(), id);
        self.by_request.insert(subscription.key.clone(), id);
        let entity = subscription.entity.clone();
        self.by_entity.entry(entity).or_default().push(id);
        let source = Source::of(&subscription.inbound);
        *self.by_source.entry(source).or_default() += 1;
        self.subscriptions.insert(id, subscription);
        self.touched.push(id);
    }

    /// Files a subscription under its new deadline, or forgets it when it is over.
    fn file(&mut self, id: u64, deadline: Option<Instant>) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if let Some(at) = subscription.filed.take() {
            self.alarms.remove(&(at, id));
        }
        if !subscription.notifier.is_drained() {
            if let Some(at) = deadline {
                subscription.filed = Some(at);
                self.alarms.insert((at, id));
            }
            return;
        }
        let Some(gone) = self.subscriptions.remove(&id) else {
            return;
        };
        self.by_owner.remove(&gone.notifier.owner_key());
        self.by_request.remove(&gone.key);
        if let Some(ids) = self.by_entity.get_mut(&gone.entity) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_entity.remove(&gone.entity);
            }
        }
        let source = Source::of(&gone.inbound);
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

impl Exchange {
    /// The address of record that a URI means here: a name at our own address is whoever has it.
    pub(super) fn whose(&mut self, now: Instant, uri: &Uri) -> Option<Aor> {
        let aor = Aor::of(uri)?;
        let only = if self.is_at_our_address(uri) {
            self.location.only_of_user(now, &aor.user)
        } else {
            None
        };
        Some(only.unwrap_or(aor))
    }

    /// A SUBSCRIBE to what is told here; `None` as a fate when it was taken.
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        request: &Request,
        answer_to: Inbound,
        entity: Aor,
        package: &'static str,
    ) -> Option<Fate> {
        let source = Source::of(&answer_to);
        let of_source = self.events.by_source.get(&source).copied();
        if self.events.len() >= SUBSCRIPTIONS
            || of_source.unwrap_or_default() >= SUBSCRIPTIONS_OF_A_SOURCE
        {
            return Some(Fate::Refuse(Box::new(self.no_room(request))));
        }
        let key = ServerKey::of(request)?;
        let content_type = PACKAGES
            .iter()
            .find(|(known, _)| *known == package)
            .map_or("", |(_, content_type)| content_type);
        let mut config = NotifierConfig::new(package, content_type, &entity.user);
        config.throttle = THROTTLE;
        config.user_agent = self.capabilities.user_agent.clone();
        let seed = self.tokens.seed();
        match Notifier::accept(now, request, &answer_to, config, &seed) {
            Ok(notifier) => {
                self.events.add(Subscription {
                    notifier,
                    entity,
                    package,
                    inbound: answer_to,
                    key,
                    filed: None,
                });
                None
            }
            Err(response) => Some(Fate::Refuse(response)),
        }
    }

    /// The package that a SUBSCRIBE asks for, when it is told here.
    pub(super) fn package_of(request: &Request) -> Option<&'static str> {
        if request.method != Method::Subscribe {
            return None;
        }
        let event = request.headers.event().ok()?;
        packages()
            .into_iter()
            .find(|known| event.package.eq_ignore_ascii_case(known))
    }

    /// PUBLISH (RFC 3903 §6) of somebody's own presence.
    pub(super) fn publish(&mut self, now: Instant, request: &Request, entity: &Aor) -> Fate {
        let headers = &request.headers;
        let is_presence = headers
            .event()
            .is_ok_and(|event| event.package.eq_ignore_ascii_case(presence::PACKAGE));
        if !is_presence {
            return self.answer(request, StatusCode::BAD_EVENT);
        }
        self.events.forget_published(now);
        let wanted = headers.expires().unwrap_or(PUBLISHED_USUAL);
        if wanted != 0 && wanted < PUBLISHED_LEAST {
            let mut fate = self.answer(request, StatusCode::INTERVAL_TOO_BRIEF);
            if let Fate::Refuse(response) = &mut fate {
                response
                    .headers
                    .push(HeaderName::MinExpires, PUBLISHED_LEAST);
            }
            return fate;
        }
        let wanted = wanted.min(PUBLISHED_USUAL);
        let old = headers.sip_if_match().ok();
        let states = self.events.published.get(entity);
        let place = old.as_ref().map(|etag| {
            let mut states = states.into_iter().flatten();
            states.position(|state| state.etag == *etag)
        });
        let state = match (place, request.body.is_empty()) {
            // §6 step 4: the state that it means is gone.
            (Some(None), _) => return self.answer(request, CONDITIONAL_REQUEST_FAILED),
            (None, true) => return self.answer(request, StatusCode::BAD_REQUEST),
            (_, false) if request.body.len() > PUBLISHED_OCTETS => {
                return self.answer(request, REQUEST_ENTITY_TOO_LARGE);
            }
            (_, false) if Presence::parse(&request.body).is_err() => {
                return self.answer(request, StatusCode::BAD_REQUEST);
            }
            (place, _) => place.flatten(),
        };
        let full = self.events.published.len() >= PEOPLE;
        if full && !self.events.published.contains_key(entity) {
            return Fate::Refuse(Box::new(self.no_room(request)));
        }
        let states = self.events.published.entry(entity.clone()).or_default();
        let before = state
            .filter(|at| *at < states.len())
            .map(|at| states.remove(at));
        let etag = self.tokens.hex(8);
        let body = match (request.body.is_empty(), before) {
            (true, Some(before)) => before.body,
            _ => request.body.clone(),
        };
        if wanted > 0 {
            if states.len() >= PUBLICATIONS {
                states.remove(0);
            }
            states.push(Published {
                etag: etag.clone(),
                body,
                until: now + Duration::from_secs(u64::from(wanted)),
            });
        } else if states.is_empty() {
            self.events.published.remove(entity);
        }
        self.events.changed(entity, &[presence::PACKAGE]);
        self.published(request, etag, wanted)
    }

    /// Both are in each 2xx (RFC 3903 §6, step 6).
    fn published(&self, request: &Request, etag: String, expires: u32) -> Fate {
        let mut response = sip_core::stateless::respond_statelessly(
            request,
            StatusCode::OK,
            &self.capabilities,
            &self.tokens,
        );
        response.headers.push(HeaderName::SipEtag, etag);
        response.headers.push(HeaderName::Expires, expires);
        Fate::Answer(Box::new(response))
    }

    pub(super) fn is_quality_report(request: &Request) -> bool {
        request.method == Method::Publish
            && request
                .headers
                .event()
                .is_ok_and(|event| event.package.eq_ignore_ascii_case(voice_quality::PACKAGE))
    }

    /// PUBLISH of how a call sounded (RFC 6035). It stands in the log of messages, and nothing is kept.
    pub(super) fn take_quality_report(&mut self, request: &Request) -> Fate {
        let headers = &request.headers;
        let (kind, sub) = ("application", "vq-rtcpxr");
        if !headers.content_type().is_ok_and(|of| of.is(kind, sub)) {
            return self.answer(request, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        if request.body.len() > PUBLISHED_OCTETS {
            return self.answer(request, REQUEST_ENTITY_TOO_LARGE);
        }
        if voice_quality::check(&request.body).is_err() {
            return self.answer(request, StatusCode::BAD_REQUEST);
        }
        let etag = self.tokens.hex(8);
        let expires = headers.expires().unwrap_or(0).min(PUBLISHED_USUAL);
        self.published(request, etag, expires)
    }

    pub(super) fn drain_events(&mut self, now: Instant) {
        for aor in self.location.take_changed() {
            self.events
                .changed(&aor, &[reg_info::PACKAGE, presence::PACKAGE]);
        }
        let mut touched = std::mem::take(&mut self.events.touched);
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            self.drain_subscription(now, id);
        }
        let mut stale = std::mem::take(&mut self.events.stale);
        stale.sort_unstable();
        stale.dedup();
        for id in stale {
            if let Some(subscription) = self.events.subscriptions.get_mut(&id) {
                subscription.notifier.changed(now);
            }
            self.drain_subscription(now, id);
        }
    }

    fn drain_subscription(&mut self, now: Instant, id: u64) {
        let mut inputs = VecDeque::new();
        loop {
            let Some(subscription) = self.events.subscriptions.get_mut(&id) else {
                return;
            };
            match subscription.notifier.poll_output() {
                Output::Transmit(transmit) => self.actions.push(Action::Send(Sending {
                    destination: transmit.destination,
                    bytes: transmit.bytes,
                })),
                Output::Resolve {
                    id: question,
                    uri,
                    transport,
                    ..
                } => {
                    let path = path_to_caller(&subscription.inbound, &uri, transport);
                    inputs.push_back(Input::Resolved(question, path));
                }
                Output::Event(event) => inputs.push_back(Input::Event(event)),
                Output::Deadline(deadline) => match inputs.pop_front() {
                    Some(Input::Resolved(question, path)) => {
                        subscription
                            .notifier
                            .handle_resolved(now, question, Ok(vec![path]));
                    }
                    Some(Input::Event(NotifierEvent::StateWanted { version })) => {
                        let (entity, package) = (subscription.entity.clone(), subscription.package);
                        let body = self.state_of(now, &entity, package, version);
                        if let Some(subscription) = self.events.subscriptions.get_mut(&id) {
                            subscription.notifier.give_state(now, body);
                        }
                    }
                    Some(Input::Event(_)) => {}
                    None => return self.events.file(id, deadline),
                },
            }
        }
    }

    /// The whole of what can be told.
    fn state_of(&mut self, now: Instant, entity: &Aor, package: &str, version: u32) -> Vec<u8> {
        let uri = format!("sip:{entity}");
        match package {
            dialog_info::PACKAGE => DialogInfo {
                version,
                scope: Scope::Full,
                entity: uri.into(),
                dialogs: self.events.calls_told(now, entity),
            }
            .to_bytes(),
            message_summary::PACKAGE => {
                let [new, old] = self.events.waiting.get(entity).copied().unwrap_or_default();
                let counts = message_summary::Counts {
                    new,
                    old,
                    ..message_summary::Counts::default()
                };
                MessageSummary {
                    waiting: new > 0,
                    account: Some(uri.into()),
                    counts: vec![(MessageClass::Voice, counts)],
                }
                .to_bytes()
            }
            presence::PACKAGE => self.presence_of(now, entity).to_bytes(),
            _ => self.bindings_told(now, entity, version).to_bytes(),
        }
    }

    fn presence_of(&mut self, now: Instant, entity: &Aor) -> Presence {
        self.events.forget_published(now);
        let states = self.events.published.get(entity).into_iter().flatten();
        let documents: Vec<Presence> = states
            .filter_map(|state| Presence::parse(&state.body).ok())
            .collect();
        let here = !self.location.bindings(now, entity).is_empty();
        let mut told = Presence {
            entity: format!("sip:{entity}").into(),
            ..Presence::default()
        };
        // What the newest says comes last and counts.
        for document in documents {
            told.tuples.extend(document.tuples);
            told.activities.extend(document.activities);
            told.note = document.note.or(told.note);
        }
        if told.tuples.is_empty() {
            told.tuples.push(Tuple {
                id: "phone".to_owned(),
                open: Some(here),
                ..Tuple::default()
            });
        }
        let calls = self.events.calls_of.contains_key(entity);
        if calls && !told.does(presence::ON_THE_PHONE) {
            told.activities.push(presence::ON_THE_PHONE.to_owned());
        }
        told
    }

    fn bindings_told(&mut self, now: Instant, entity: &Aor, version: u32) -> RegInfo {
        let bindings = self.location.bindings(now, entity);
        let contacts: Vec<RegContact> = bindings
            .iter()
            .enumerate()
            .map(|(n, binding)| RegContact {
                id: format!("c{n}"),
                active: true,
                event: "registered".to_owned(),
                uri: binding.contact.to_string().into(),
                display: None,
                expires_s: Some(binding.expires.duration_since(now).as_secs() as u32),
                retry_after_s: None,
                call_id: None,
                cseq: None,
            })
            .collect();
        RegInfo {
            version,
            scope: Scope::Full,
            registrations: vec![RegEntry {
                aor: format!("sip:{entity}").into(),
                id: "a".to_owned(),
                state: if contacts.is_empty() {
                    RegState::Init
                } else {
                    RegState::Active
                },
                contacts,
            }],
        }
    }
}

const CONDITIONAL_REQUEST_FAILED: StatusCode = match StatusCode::new(412) {
    Some(status) => status,
    None => StatusCode::BAD_REQUEST,
};
const REQUEST_ENTITY_TOO_LARGE: StatusCode = match StatusCode::new(413) {
    Some(status) => status,
    None => StatusCode::BAD_REQUEST,
};
