//! What becomes of the flows to the registrar, and what that makes of the account.

use model::{
    AccountView, BindingView, FlowView, LoginPurpose, NoticeLevel, RegistrationMark,
    RegistrationState, Timestamp,
};
use sip_core::auth::LoginWanted;
use sip_core::registration::{BoundContact, Refusal, Registered, RegistrationEvent};

use super::*;
use crate::names;
use crate::transport::Way;

/// Marks of one registration that are kept.
const MARKS: usize = 50;
/// Round trips that are kept.
const ROUND_TRIPS: usize = 64;
/// Bindings that are shown.
const MOST_BINDINGS: usize = 64;
/// Flows of one account at most.
const MOST_FLOWS: usize = 4;
/// A granted time below this is worth a word: it is renewed every few seconds.
const SHORT_GRANT: Duration = Duration::from_secs(10);
/// A granted time above this is worth a word: nobody waits for it.
const LONG_GRANT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The ways to the registrar: a proxy each, or the registrar itself.
fn ways(args: &AccountArgs) -> Vec<Option<Uri>> {
    let identity = &args.identity;
    let mut ways: Vec<Option<Uri>> = identity
        .proxy
        .iter()
        .chain(&identity.more_proxies)
        .cloned()
        .map(Some)
        .collect();
    if ways.is_empty() {
        ways.push(None);
    }
    // With fewer proxies than flows, the further flows take other addresses of the same ones.
    let wanted = usize::from(args.settings.flows).clamp(ways.len().min(MOST_FLOWS), MOST_FLOWS);
    ways.iter().cloned().cycle().take(wanted).collect()
}

pub(super) fn flow_set(args: &AccountArgs) -> Taped<FlowSet> {
    let config = config(args);
    let seed = args.shared.seed();
    let name = format!("registration of {}", args.id.as_str());
    let tape = drive::tape(&args.shared, &args.recorder, &name);
    let plain = args.settings.flows == 0 && args.identity.more_proxies.is_empty();
    let ways = (!plain).then(|| ways(args));
    Taped::flows(now(), &config, ways.as_deref(), &seed, tape)
}

fn config(args: &AccountArgs) -> RegistrationConfig {
    let identity = &args.identity;
    let mut config = RegistrationConfig::new(identity.registrar.clone(), identity.from.clone());
    config.contact_user = Some(identity.contact_user.clone());
    config.route.clone_from(&identity.proxy);
    config.transport = identity.transport;
    if let Some(patience) = args.shared.failover.patience {
        config.patience = Some(patience);
    }
    config.expires = Duration::from_secs(u64::from(args.settings.expires_s));
    config.instance_id = Some(args.shared.instance_id.clone());
    config.gruu = args.settings.gruu;
    config.public = identity.public;
    config.inside = identity.inside.clone();
    config.credentials = args.passwords.credentials(identity);
    config
        .user_agent
        .clone_from(&args.shared.capabilities.user_agent);
    config
}

/// What is shown of an account that starts: nothing is known yet, but what was seen of it before a
/// restart stays seen.
pub(super) fn first_view(args: &AccountArgs) -> AccountView {
    let now = wall();
    let before = args
        .shared
        .hub
        .read(|state| state.accounts.iter().find(|a| a.id == args.id).cloned());
    let settings = args.settings.clone();
    let mut view = AccountView::new(args.id.clone(), args.tenant_id.clone(), settings, now);
    if let Some(before) = before {
        let up_now = before.state == RegistrationState::Registered;
        view.up_ms = before.up_ms + if up_now { millis(before.since, now) } else { 0 };
        view.watched_since = before.watched_since;
        view.round_trips_ms = before.round_trips_ms;
        view.marks = before.marks;
        view.presence = before.presence.filter(|_| args.settings.publish_presence);
    }
    let proxies: Vec<Option<Uri>> = ways(args);
    let several = args.settings.flows > 0 || proxies.len() > 1;
    view.flows = (1..)
        .zip(proxies.iter().take(if several { MOST_FLOWS } else { 1 }))
        .map(|(reg_id, proxy)| FlowView {
            reg_id,
            proxy: proxy.as_ref().map(|uri| uri.to_string().into()),
            state: RegistrationState::Off,
            since: now,
            target: None,
            expires_at: None,
            retry_at: None,
            flow_timer_s: None,
            failure: None,
        })
        .collect();
    view
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}

impl AccountState {
    pub(super) fn on_event(&mut self, FlowEvent { reg_id, event }: FlowEvent) {
        let index = usize::try_from(reg_id.saturating_sub(1)).unwrap_or(0);
        match event {
            RegistrationEvent::Trying => {
                // A refresh of what stands is no news.
                if self.flow_state(index) != RegistrationState::Registered {
                    self.flow(index, |flow| {
                        flow.state = RegistrationState::Trying;
                        flow.retry_at = None;
                    });
                }
            }
            RegistrationEvent::Registered(registered) => self.on_registered(index, *registered),
            RegistrationEvent::Refused(refusal) => {
                self.ask_for_login(&refusal);
                let failure = failures::refusal(&refusal);
                self.fail(index, failure, RegistrationState::Refused, None);
            }
            RegistrationEvent::Failed { what, retry_in } => {
                let retry_at = Some(crate::after(wall(), retry_in));
                let failure = failures::trouble(&what);
                self.fail(index, failure, RegistrationState::Silent, retry_at);
            }
            RegistrationEvent::Bindings(bindings) => {
                self.note(format!("the registrar lists {} bindings", bindings.len()));
                self.show_bindings(&bindings);
                self.publish();
            }
            RegistrationEvent::NotListed(why) => {
                let text = format!("The registrar did not list the bindings: {}.", why.reveal());
                self.note(text.clone());
                self.args
                    .shared
                    .notice(NoticeLevel::Warning, Some(&self.args.tenant_id), text);
            }
            RegistrationEvent::Unregistered => {
                self.fallen(index);
                self.tell_standing(None);
                self.flow(index, |flow| {
                    flow.state = RegistrationState::Off;
                    flow.expires_at = None;
                    flow.retry_at = None;
                });
                if std::mem::take(&mut self.cleared) {
                    // The other flows' bindings went with the list.
                    self.registration.register(now());
                }
            }
            RegistrationEvent::Tried(tried) => {
                let _ = self.args.transport.cast(TransportMsg::Tried(tried));
            }
            RegistrationEvent::Notice(text) => self.note(text),
        }
    }

    /// A login is missing, or was refused: a person is asked for it, and the account signs in anew with it.
    fn ask_for_login(&mut self, refusal: &Refusal) {
        let Refusal::Auth {
            error,
            status,
            path,
        } = refusal
        else {
            return;
        };
        let wanted = LoginWanted::of(error, *status, Some(path.remote));
        let asks = self.args.identity.login_wait.is_some();
        if let Some(wanted) = wanted.filter(|_| asks) {
            self.login.ask(
                &self.args.id,
                self.args.identity.login_name(),
                (LoginPurpose::Registration, None),
                &wanted,
            );
        }
    }

    fn on_registered(&mut self, index: usize, registered: Registered) {
        let path = registered.path;
        self.login.settle();
        self.unbound = None;
        self.note_grant(registered.granted);
        let granted_s = u32::try_from(registered.granted.as_secs()).unwrap_or(u32::MAX);
        self.view.granted_s = Some(granted_s);
        self.view.mapped = registered.mapped.map(|m| m.to_string());
        self.view.round_trip_ms = registered.round_trip.map(|t| t.as_secs_f32() * 1000.0);
        if let Some(time) = self.view.round_trip_ms {
            self.view.round_trips_ms.push(time);
            let surplus = self.view.round_trips_ms.len().saturating_sub(ROUND_TRIPS);
            self.view.round_trips_ms.drain(..surplus);
        }
        self.view.outbound = registered.outbound;
        self.view.public_gruu = registered.public_gruu.clone();
        self.view.temporary_gruu = registered.temporary_gruu.clone();
        self.show_bindings(&registered.bindings);
        if self.servers.insert(path.remote.ip()) {
            self.tell_reachable();
        }
        let facts = AccountFacts {
            service_route: registered
                .service_route
                .iter()
                .filter_map(|r| NameAddr::parse(r.reveal()).ok())
                .collect(),
            contact: registered
                .contact_for_dialogs()
                .or_else(|| self.public_contact(registered.contact.reveal())),
            anonymous_contact: registered
                .temporary_gruu
                .as_ref()
                .and_then(|uri| Uri::parse(uri.reveal()).ok()),
            realms: registered.realms,
            weakest_login: registered.weakest_login,
            servers: vec![path.remote],
        };
        if let Some(entry) = self.standing.get_mut(index) {
            *entry = Some(Standing { facts, path });
        }
        self.path = Some(path);
        self.tell_standing(Some(index));
        let way = Way {
            flow: registered.flow,
            path,
            timer: registered.flow_timer,
            outbound: registered.outbound,
            mapped: registered.mapped,
        };
        self.keep_open(index, Some(way));
        let expires_at = Some(crate::after(wall(), registered.granted));
        let flow_timer_s = registered
            .flow_timer
            .and_then(|time| u32::try_from(time.as_secs()).ok());
        self.flow(index, |flow| {
            flow.state = RegistrationState::Registered;
            flow.target = Some(path.to_string());
            flow.expires_at = expires_at;
            flow.retry_at = None;
            flow.flow_timer_s = flow_timer_s;
            flow.failure = None;
        });
    }

    /// Where an address was set to be told, dialogs tell it too.
    fn public_contact(&self, contact: &str) -> Option<Uri> {
        self.args.identity.public?;
        Uri::parse(contact).ok()
    }

    /// A registrar that grants a moment, or half a life, is lived with, and that is said once.
    fn note_grant(&self, granted: Duration) {
        let seconds = granted.as_secs();
        if self.view.granted_s.map(u64::from) == Some(seconds) {
            return;
        }
        if granted < SHORT_GRANT {
            self.note(format!(
                "the registrar grants {seconds} s only, so the registration is renewed every moment"
            ));
        } else if granted > LONG_GRANT {
            self.note(format!(
                "the registrar grants {} days; the registration is renewed each day all the same",
                seconds / 86_400
            ));
        }
    }

    /// The first flow that stands says how the account is reached and what its calls go through: its
    /// server takes them first.
    fn tell_standing(&mut self, refreshed: Option<usize>) {
        let first = self.standing.iter().position(Option::is_some);
        let path = first
            .and_then(|index| self.standing.get(index)?.as_ref())
            .map(|standing| standing.path);
        if path.is_none() || path != self.home || refreshed == first {
            self.home = path;
            let owner = self.owner.clone();
            let _ = self.args.transport.cast(TransportMsg::Home { owner, path });
        }
        self.pass_on_facts(self.view.state != RegistrationState::Registered);
    }

    /// `returned`: the account was not reachable until now.
    pub(super) fn pass_on_facts(&mut self, returned: bool) {
        let Some(standing) = self.standing.iter().flatten().next() else {
            return;
        };
        let mut facts = standing.facts.clone();
        // Each of them may bring a call, and so may every other server that the domain names.
        let others = self.standing.iter().flatten();
        let others = others.map(|other| other.path.remote);
        for server in others.chain(self.named.iter().copied()) {
            if !facts.servers.contains(&server) {
                facts.servers.push(server);
            }
        }
        self.watch.on_facts(&facts, returned);
        if self.told.as_ref() != Some(&facts) {
            let _ = self.args.tenant.cast(TenantMsg::AccountFacts {
                account: self.args.id.clone(),
                facts: Box::new(facts.clone()),
            });
            self.told = Some(facts);
        }
    }

    /// Has the way of a flow kept open, or no longer (RFC 5626 §4.4).
    fn keep_open(&self, index: usize, way: Option<Way>) {
        let _ = self.args.transport.cast(TransportMsg::KeepAlive {
            owner: self.owner.clone(),
            which: u32::try_from(index).unwrap_or(u32::MAX),
            way,
        });
    }

    /// What this flow learned is no longer true; what calls go through stays until another stands.
    fn fallen(&mut self, index: usize) {
        if let Some(entry) = self.standing.get_mut(index)
            && entry.take().is_some()
        {
            self.keep_open(index, None);
        }
    }

    fn show_bindings(&mut self, bindings: &[BoundContact]) {
        let now = wall();
        self.view.bindings = bindings
            .iter()
            .take(MOST_BINDINGS)
            .map(|binding| BindingView {
                uri: binding.uri.clone(),
                own: binding.own,
                expires_at: binding.expires.map(|time| crate::after(now, time)),
            })
            .collect();
    }

    /// Begins what waits to be asked of the registrar's list, when nothing else is on its way.
    pub(super) fn begin_wish(&mut self) -> bool {
        let at = now();
        let begun = match self.wishes.front() {
            None => false,
            Some(Wish::List) => self.registration.fetch_bindings(at),
            Some(Wish::Clear) => self.registration.clear_bindings(at),
            Some(Wish::Remove(uri)) => {
                let own = |b: &BindingView| b.own && b.uri == *uri.as_str();
                if self.view.bindings.iter().any(own) || Uri::parse(uri).is_err() {
                    let text = "Only a binding of another phone can be removed; to remove our own, sign out.";
                    self.args.shared.notice(
                        NoticeLevel::Warning,
                        Some(&self.args.tenant_id),
                        text.to_owned(),
                    );
                    self.wishes.pop_front();
                    return false;
                }
                self.registration.remove_binding(at, uri)
            }
        };
        if begun {
            self.cleared = self.wishes.pop_front() == Some(Wish::Clear);
        }
        begun
    }

    pub(super) fn sign_out(&mut self) {
        for index in 0..self.view.flows.len() {
            if self.flow_state(index) == RegistrationState::Registered {
                self.flow(index, |flow| flow.state = RegistrationState::Leaving);
            }
        }
        self.cleared = false;
        self.registration.unregister(now());
    }

    fn flow_state(&self, index: usize) -> RegistrationState {
        self.view
            .flows
            .get(index)
            .map_or(RegistrationState::Off, |flow| flow.state)
    }

    /// Changes one flow, and the account with it.
    fn flow(&mut self, index: usize, change: impl FnOnce(&mut FlowView)) {
        if let Some(flow) = self.view.flows.get_mut(index) {
            let before = flow.state;
            change(flow);
            if flow.state != before {
                flow.since = wall();
            }
        }
        self.settle();
    }

    fn fail(
        &mut self,
        index: usize,
        failure: Failure,
        state: RegistrationState,
        retry_at: Option<Timestamp>,
    ) {
        let mut failure = self.unbound.clone().unwrap_or(failure);
        failures::blame(&mut failure, &mut self.untrusted);
        failures::blame_answer(&mut failure, &mut self.unreadable);
        self.note(failure.sentence());
        self.fallen(index);
        self.pass_on_facts(self.view.state != RegistrationState::Registered);
        self.flow(index, |flow| {
            flow.state = state;
            flow.expires_at = None;
            flow.retry_at = retry_at;
            flow.failure = Some(failure);
        });
    }

    /// The way is closed for all flows.
    pub(super) fn fail_all(&mut self, failure: Failure) {
        let mut failure = self.unbound.clone().unwrap_or(failure);
        failures::blame(&mut failure, &mut self.untrusted);
        self.note(failure.sentence());
        self.all_flows(RegistrationState::Silent, Some(failure));
    }

    pub(super) fn all_flows(&mut self, state: RegistrationState, failure: Option<Failure>) {
        let now = wall();
        for flow in &mut self.view.flows {
            flow.since = if flow.state == state { flow.since } else { now };
            flow.state = state;
            flow.expires_at = None;
            flow.failure.clone_from(&failure);
        }
        self.settle();
    }

    /// What the flows are makes what the account is: it can be reached while one of them stands.
    fn settle(&mut self) {
        const ORDER: [RegistrationState; 6] = [
            RegistrationState::Registered,
            RegistrationState::Trying,
            RegistrationState::Leaving,
            RegistrationState::Silent,
            RegistrationState::Refused,
            RegistrationState::Off,
        ];
        let leading = ORDER
            .iter()
            .find_map(|state| self.view.flows.iter().find(|flow| flow.state == *state));
        let Some(leading) = leading.cloned() else {
            return;
        };
        self.view.expires_at = leading.expires_at;
        self.view.retry_at = leading.retry_at;
        match leading.state {
            RegistrationState::Registered => {
                self.view.target = leading.target;
                self.view.failure = None;
            }
            RegistrationState::Silent | RegistrationState::Refused => {
                self.view.failure = leading.failure;
            }
            RegistrationState::Off if leading.failure.is_none() && self.unbound.is_none() => {
                self.view.failure = None;
            }
            _ => {}
        }
        self.enter(leading.state);
    }

    /// The one place where the state changes.
    fn enter(&mut self, state: RegistrationState) {
        if self.view.state != state {
            tracing::info!(account = ?self.args.id, from = ?self.view.state, to = ?state, "registration");
            self.note(format!(
                "the registration was {} and is {}",
                names::registration(self.view.state),
                names::registration(state)
            ));
            let now = wall();
            if self.view.state == RegistrationState::Registered {
                self.view.up_ms += millis(self.view.since, now);
            }
            self.view.state = state;
            self.view.since = now;
            self.mark(now);
        }
        self.publish();
    }

    /// Keeps what happened to the registration, and why.
    fn mark(&mut self, time: Timestamp) {
        let state = self.view.state;
        let text = match state {
            RegistrationState::Silent | RegistrationState::Refused => {
                self.view.failure.as_ref().map(Failure::sentence)
            }
            RegistrationState::Registered => self.view.target.as_deref().map(Into::into),
            _ => None,
        };
        self.view.marks.push(RegistrationMark { time, state, text });
        let surplus = self.view.marks.len().saturating_sub(MARKS);
        self.view.marks.drain(..surplus);
    }
}
