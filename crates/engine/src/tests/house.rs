//! An engine with two organisations at a switchboard of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use model::{
    AccountId, AccountSettings, AccountView, CallId, CallState, CallView, Command, Direction,
    Event, RegistrationState, Snapshot, TenantId, TraceBody,
};
use secrecy::SecretString;
use switchboard::{Config, Switchboard, Users};

use crate::phone::PhoneMsg;
use crate::tenant::{Child, TenantMsg};
use crate::{
    CallMedia, Engine, EngineConfig, EngineHandle, GivenAccount, GivenTenant, Sink, Source,
    Subscription,
};

/// How long anything may take that happens on one machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The password of everybody.
pub(super) const PASSWORD: &str = "k3ep-th1s-to-yourself";

/// An engine, what it has said so far, and what it talks to.
pub(super) struct House {
    pub(super) engine: EngineHandle,
    pub(super) seen: Vec<Event>,
    events: Subscription,
    _switchboard: Option<Switchboard>,
}

/// Starts a switchboard that knows alice, amy and bob.
pub(super) async fn switchboard() -> (Switchboard, SocketAddr) {
    let mut config = Config::open_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    config.users = Users::List(
        ["alice", "amy", "bob"]
            .map(|user| (user.to_owned(), PASSWORD.to_owned()))
            .into(),
    );
    // The port that is free for UDP may be taken for TCP.
    for _ in 0..16 {
        if let Ok(switchboard) = Switchboard::start(config.clone()).await {
            let (_, addr) = switchboard.local_addrs()[0];
            return (switchboard, addr);
        }
    }
    panic!("no port is free for UDP and TCP alike")
}

pub(super) fn account(
    aor: &str,
    proxy: SocketAddr,
    change: impl Fn(&mut AccountSettings),
) -> GivenAccount {
    let mut settings = AccountSettings::new(aor);
    settings.proxy = Some(format!("sip:{proxy};lr").into());
    // Nobody here has a mailbox.
    settings.mwi = false;
    change(&mut settings);
    GivenAccount {
        logins: Vec::new(),
        settings,
        password: Some(SecretString::from(PASSWORD)),
        relay_password: None,
    }
}

pub(super) fn tenant(name: &str, accounts: Vec<GivenAccount>) -> GivenTenant {
    GivenTenant {
        name: name.to_owned(),
        accounts,
    }
}

impl House {
    /// Alice and Amy at Alpha, Bob at Beta, all signed in; calls carry a tone.
    pub(super) async fn open() -> Self {
        Self::open_with(|_| {}, tone()).await
    }

    pub(super) async fn open_with(change: impl Fn(&mut AccountSettings), media: CallMedia) -> Self {
        Self::open_as(change, media, |_| {}).await
    }

    /// The same with more to be set.
    pub(super) async fn open_as(
        change: impl Fn(&mut AccountSettings),
        media: CallMedia,
        more: impl FnOnce(&mut EngineConfig),
    ) -> Self {
        let (switchboard, addr) = switchboard().await;
        let given = vec![
            tenant(
                "Alpha",
                vec![
                    account("sip:alice@alpha.test", addr, &change),
                    account("sip:amy@alpha.test", addr, &change),
                ],
            ),
            tenant("Beta", vec![account("sip:bob@beta.test", addr, &change)]),
        ];
        let mut house = Self::start_with(given, media, more).await;
        house._switchboard = Some(switchboard);
        house.until_registered(3).await;
        house
    }

    /// An engine with these accounts and nothing else.
    pub(super) async fn start(given: Vec<GivenTenant>, media: CallMedia) -> Self {
        Self::start_with(given, media, |_| {}).await
    }

    /// The same with more to be set.
    pub(super) async fn start_with(
        given: Vec<GivenTenant>,
        media: CallMedia,
        change: impl FnOnce(&mut EngineConfig),
    ) -> Self {
        let mut config = EngineConfig {
            use_settings: false,
            given,
            media,
            // What happens to the machine that tests run on is no part of them.
            watch_network: false,
            ..EngineConfig::default()
        };
        change(&mut config);
        let engine = Engine::start(config).await.expect("the engine starts");
        let events = engine.subscribe(None);
        Self {
            engine,
            seen: Vec::new(),
            events,
            _switchboard: None,
        }
    }

    pub(super) async fn until_registered(&mut self, count: usize) {
        self.until("the accounts sign in", |s| {
            let registered = |a: &&AccountView| a.state == RegistrationState::Registered;
            (s.accounts.iter().filter(registered).count() == count).then_some(())
        })
        .await;
    }

    /// Waits until the state has what is looked for.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Snapshot) -> Option<T>,
    ) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.engine.hub.read(&mut look) {
                return found;
            }
            match tokio::time::timeout_at(deadline, self.events.next()).await {
                Ok(event) => self.seen.push(event),
                Err(_) => panic!("in vain: {what}\n{}", self.report()),
            }
        }
    }

    /// Waits for an event, one that was seen already included.
    pub(super) async fn until_event<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut next = 0;
        loop {
            while let Some(event) = self.seen.get(next) {
                if let Some(found) = look(event) {
                    return found;
                }
                next += 1;
            }
            match tokio::time::timeout_at(deadline, self.events.next()).await {
                Ok(event) => self.seen.push(event),
                Err(_) => panic!("in vain: {what}\n{}", self.report()),
            }
        }
    }

    /// Waits for a notice with these words.
    pub(super) async fn until_notice(&mut self, words: &str) {
        self.until_event(words, |event| match event {
            Event::Notice { notice } if notice.text.reveal().contains(words) => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits for so many notes with these words in the record.
    pub(super) async fn until_notes(&mut self, words: &str, count: usize) {
        self.until(words, |s| (notes(s, words) >= count).then_some(()))
            .await;
    }

    /// Waits until a message with this in it was sent, or received.
    pub(super) async fn until_message(&mut self, sent: bool, part: &str) {
        self.until(part, |s| (messages(s, sent, part) > 0).then_some(()))
            .await;
    }

    pub(super) fn account(&self, user: &str) -> AccountView {
        let part = format!(":{user}@");
        self.engine
            .hub
            .read(|s| {
                s.accounts
                    .iter()
                    .find(|a| a.settings.aor.reveal().contains(&part))
                    .cloned()
            })
            .expect("there is this account")
    }

    pub(super) fn call(&self, id: CallId) -> CallView {
        self.engine
            .hub
            .read(|s| s.calls.iter().find(|c| c.id == id).cloned())
            .expect("there is this call")
    }

    pub(super) fn tenant_of(&self, user: &str) -> TenantId {
        self.account(user).tenant
    }

    /// Dials, and waits until the call is shown.
    pub(super) async fn dial(&mut self, user: &str, target: &str) -> CallId {
        let account = self.account(user).id;
        let newest = self.newest();
        self.engine.send(Command::PlaceCall {
            account,
            target: target.into(),
            headers: Vec::new(),
            direction: model::MediaDirection::Both,
        });
        self.until("the call is shown", |s| {
            s.calls
                .iter()
                .find(|c| c.id > newest && c.direction == Direction::Outgoing)
                .map(|c| c.id)
        })
        .await
    }

    /// Waits until a phone of ours rings.
    pub(super) async fn until_ringing(&mut self) -> CallId {
        self.until("a phone rings", |s| {
            s.calls
                .iter()
                .find(|c| c.direction == Direction::Incoming && c.state == CallState::Ringing)
                .map(|c| c.id)
        })
        .await
    }

    pub(super) async fn until_state(&mut self, call: CallId, state: CallState) -> CallView {
        self.until(&format!("call {call} is {state:?}"), |s| {
            s.calls
                .iter()
                .find(|c| c.id == call && c.state == state)
                .cloned()
        })
        .await
    }

    /// One calls, the other answers; both legs are up and hear each other.
    pub(super) async fn talk(&mut self, from: &str, to: &str) -> (CallId, CallId) {
        let out = self.dial(from, to).await;
        let into = self.until_ringing().await;
        self.engine.send(Command::AnswerCall { call: into });
        for call in [out, into] {
            self.until_state(call, CallState::Connected).await;
        }
        (out, into)
    }

    /// Waits for figures that say that media has come.
    pub(super) async fn until_heard(&mut self, call: CallId, more_than: u64) -> u64 {
        self.until(&format!("media comes in call {call}"), |s| {
            let call = s.calls.iter().find(|c| c.id == call)?;
            let received = call.stats.as_ref()?.received;
            (received > more_than).then_some(received)
        })
        .await
    }

    pub(super) fn end(&self, call: CallId) {
        self.engine.send(Command::EndCall { call });
    }

    /// Makes a child of this user's tenant fail.
    pub(super) fn crash(&self, user: &str, child: Child) {
        let tenant = self.tenant_of(user);
        self.tell_phone(PhoneMsg::Tell(tenant, Box::new(TenantMsg::Crash(child))));
    }

    pub(super) fn tell_phone(&self, message: PhoneMsg) {
        self.engine.phone.cast(message).expect("the root lives");
    }

    pub(super) fn id_of(&self, user: &str) -> AccountId {
        self.account(user).id
    }

    pub(super) fn count_messages(&self, sent: bool, part: &str) -> usize {
        self.engine.hub.read(|s| messages(s, sent, part))
    }

    /// Peers that say nothing more are not waited for.
    pub(super) async fn close(self) {
        self.engine.shutdown(Duration::from_millis(500)).await;
    }

    fn newest(&self) -> CallId {
        self.engine
            .hub
            .read(|s| s.calls.iter().map(|c| c.id).max())
            .unwrap_or(CallId(0))
    }

    /// What is known when a test waits in vain.
    fn report(&self) -> String {
        let state = self.engine.snapshot();
        let mut lines: Vec<String> = state
            .accounts
            .iter()
            .map(|a| format!("{}: {:?} {:?}", a.settings.aor.reveal(), a.state, a.failure))
            .collect();
        lines.extend(state.calls.iter().map(|c| {
            format!(
                "call {} {:?} {:?} {:?}",
                c.id, c.direction, c.state, c.failure
            )
        }));
        lines.extend(state.trace.iter().map(|r| match &r.body {
            TraceBody::Sip { sent, bytes, .. } => {
                let text = String::from_utf8_lossy(bytes);
                let arrow = if *sent { "->" } else { "<-" };
                format!("{arrow} {}", text.lines().next().unwrap_or(""))
            }
            TraceBody::Note { topic, text, .. } => format!("{topic}: {}", text.reveal()),
        }));
        lines.join("\n")
    }
}

/// A tone out, nowhere in.
pub(super) fn tone() -> CallMedia {
    CallMedia::PerCall {
        source: Source::Tone { hz: 440.0 },
        sink: Sink::Discard,
    }
}

/// How many notes hold these words.
pub(super) fn notes(state: &Snapshot, words: &str) -> usize {
    let fits = |body: &TraceBody| matches!(body, TraceBody::Note { text, .. } if text.reveal().contains(words));
    state.trace.iter().filter(|r| fits(&r.body)).count()
}

/// How many notes of this topic there are.
pub(super) fn notes_of(state: &Snapshot, wanted: &str) -> usize {
    let fits = |body: &TraceBody| matches!(body, TraceBody::Note { topic, .. } if topic == wanted);
    state.trace.iter().filter(|r| fits(&r.body)).count()
}

/// How many messages hold this text.
pub(super) fn messages(state: &Snapshot, was_sent: bool, part: &str) -> usize {
    let fits = |body: &TraceBody| {
        matches!(body, TraceBody::Sip { sent, bytes, .. }
            if *sent == was_sent && String::from_utf8_lossy(bytes).contains(part))
    };
    state.trace.iter().filter(|r| fits(&r.body)).count()
}
