//! What the window knows: the engine's state, folded from events, and what the person is doing.

use std::collections::{HashMap, VecDeque};

use model::{
    AccountId, AccountView, CallId, CallState, CallView, DevicesView, Direction, Event, Failure,
    HistoryEntry, LoginWanted, MessageView, Notice, NoticeLevel, Party, Preferences,
    RegistrationState, SecretsView, Snapshot, TenantId, TenantView, Timestamp, Transfer,
};

use crate::trace_log::TraceLog;
use crate::window::Window;

/// Most lines of history that are kept here; older ones stand on disk.
pub const HISTORY_LINES: usize = 10_000;
/// Most notices that wait to be read.
const NOTICES: usize = 20;

/// Everything the window shows.
#[derive(Default)]
pub struct ViewState {
    /// What the engine told.
    pub data: Data,
    /// What the person is doing.
    pub window: Window,
    /// Local time less UTC, in seconds; set by whoever knows the time zone.
    pub utc_offset_s: i32,
}

/// The engine's state as folded from its events.
#[derive(Default)]
pub struct Data {
    /// Whether the engine has spoken yet, or has stopped.
    pub phase: Phase,
    /// All tenants, in the order of the rail.
    pub tenants: Vec<TenantView>,
    /// All accounts, in the order of the list.
    pub accounts: Vec<AccountView>,
    /// All calls that were not put away, oldest first.
    pub calls: Vec<CallView>,
    /// Text messages, oldest first.
    pub messages: Vec<MessageView>,
    /// Finished calls, newest first.
    pub history: Vec<HistoryEntry>,
    /// What was recorded.
    pub trace: TraceLog,
    /// Sound devices.
    pub devices: DevicesView,
    /// What the user chose about the window.
    pub preferences: Preferences,
    /// Where passwords are kept.
    pub secrets: SecretsView,
    /// Last answer to an OPTIONS of each account.
    pub options: HashMap<AccountId, OptionsAnswer>,
    /// Notices that were not put away, oldest first, each with its number.
    pub notices: VecDeque<(u64, Notice)>,
    /// Counts up when accounts or tenants change, for what is computed from them.
    pub accounts_version: u64,
    /// Logins that are asked for and not there, oldest first.
    pub logins: Vec<LoginWanted>,
    /// Counts up when the history changes.
    pub history_version: u64,
    next_notice: u64,
}

/// How far the engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It has not spoken yet.
    #[default]
    Starting,
    /// It works.
    Running,
    /// It has ended.
    Stopped,
}

/// What came of an OPTIONS.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionsAnswer {
    /// Whom was asked.
    pub target: model::Identity,
    /// Status and phrase of the answer.
    pub status: Option<(u16, model::Private)>,
    /// Round trip in milliseconds.
    pub round_trip_ms: Option<f32>,
    /// Methods in its Allow header.
    pub allow: Vec<String>,
    /// What the server calls itself.
    pub server: Option<String>,
    /// Why there is no answer.
    pub failure: Option<Failure>,
}

impl Data {
    /// The account with this id.
    pub fn account(&self, id: &AccountId) -> Option<&AccountView> {
        self.accounts.iter().find(|a| a.id == *id)
    }

    /// The tenant with this id.
    pub fn tenant(&self, id: &TenantId) -> Option<&TenantView> {
        self.tenants.iter().find(|t| t.id == *id)
    }

    /// The call with this id.
    pub fn call(&self, id: CallId) -> Option<&CallView> {
        self.calls.iter().find(|c| c.id == id)
    }

    /// Index of a tenant's colour; the first when the tenant is not known.
    pub fn tenant_colour(&self, id: &TenantId) -> u8 {
        self.tenant(id).map_or(0, |t| t.colour)
    }

    /// How many accounts want to be registered, and how many are.
    pub fn registered(&self) -> (usize, usize) {
        let wanted = self
            .accounts
            .iter()
            .filter(|a| a.settings.register && a.state != RegistrationState::Off)
            .count();
        let there = self
            .accounts
            .iter()
            .filter(|a| a.state == RegistrationState::Registered)
            .count();
        (there, wanted.max(there))
    }

    /// Accounts that need a look.
    pub fn failing(&self) -> impl Iterator<Item = &AccountView> {
        self.accounts.iter().filter(|a| is_failing(a.state))
    }

    /// Whether there is nothing to work with yet.
    pub fn is_first_run(&self) -> bool {
        self.phase == Phase::Running && self.accounts.is_empty()
    }

    fn touch_accounts(&mut self) {
        self.accounts_version += 1;
    }

    fn add_notice(&mut self, notice: Notice) {
        self.notices.push_back((self.next_notice, notice));
        self.next_notice += 1;
        if self.notices.len() > NOTICES {
            self.notices.pop_front();
        }
    }

    fn replace(&mut self, snapshot: Snapshot) {
        let Snapshot {
            tenants,
            accounts,
            calls,
            messages,
            history,
            trace,
            logins,
            devices,
            preferences,
            secrets,
            notices,
        } = snapshot;
        self.phase = Phase::Running;
        self.tenants = tenants;
        self.accounts = accounts;
        self.calls = calls;
        self.messages = messages;
        self.history = history;
        self.trace.replace(trace);
        self.logins = logins;
        self.devices = devices;
        self.preferences = preferences;
        self.secrets = secrets;
        for notice in notices {
            if !self.notices.iter().any(|(_, known)| *known == notice) {
                self.add_notice(notice);
            }
        }
        self.touch_accounts();
        self.history_version += 1;
    }
}

/// Whether an account in this state needs a look.
pub(crate) fn is_failing(state: RegistrationState) -> bool {
    matches!(
        state,
        RegistrationState::Refused | RegistrationState::Silent | RegistrationState::Degraded
    )
}

/// Folds one event in. Pure: no clock, no drawing; the same events make the same state.
pub fn apply(state: &mut ViewState, event: Event) {
    let ViewState { data, window, .. } = state;
    match event {
        Event::Resync { snapshot } => data.replace(*snapshot),
        Event::Tenant { tenant } => {
            put(&mut data.tenants, tenant, |a, b| a.id == b.id);
            data.touch_accounts();
        }
        Event::TenantRemoved { tenant } => {
            data.tenants.retain(|t| t.id != tenant);
            data.accounts.retain(|a| a.tenant != tenant);
            data.calls.retain(|c| c.tenant != tenant);
            data.messages.retain(|m| m.tenant != tenant);
            data.history.retain(|h| h.tenant != tenant);
            data.trace.forget_tenant(&tenant);
            data.touch_accounts();
            data.history_version += 1;
        }
        Event::Account { account } => {
            let is_new = data.account(&account.id).is_none();
            if is_new && std::mem::take(&mut window.awaits_account) {
                window.account = Some(account.id.clone());
            }
            put(&mut data.accounts, *account, |a, b| a.id == b.id);
            data.touch_accounts();
        }
        Event::AccountRemoved { account } => {
            data.accounts.retain(|a| a.id != account);
            data.messages.retain(|m| m.account != account);
            data.logins.retain(|l| l.account != account);
            data.options.remove(&account);
            data.touch_accounts();
        }
        Event::Call { call } => {
            let is_new = data.call(call.id).is_none();
            // What the person has just started is what they look at; a ringing call waits beside.
            if is_new && call.direction == Direction::Outgoing {
                window.call = Some(call.id);
            }
            if !call.state.is_live() {
                data.logins.retain(|login| login.call != Some(call.id));
            }
            put(&mut data.calls, *call, |a, b| a.id == b.id);
        }
        Event::CallRemoved { call } => data.calls.retain(|c| c.id != call),
        Event::Dtmf { .. } | Event::Quality { .. } => {}
        Event::History { entry } => {
            if !data.history.iter().any(|h| h.id == entry.id) {
                data.history.insert(0, entry);
                data.history.truncate(HISTORY_LINES);
                data.history_version += 1;
            }
        }
        Event::HistoryCleared { tenant } => {
            data.history.retain(|h| h.tenant != tenant);
            data.history_version += 1;
        }
        Event::Trace { records } => {
            let several = data.tenants.len() > 1;
            data.trace.extend(records, several);
        }
        Event::Devices { devices } => data.devices = devices,
        Event::Preferences { preferences } => data.preferences = preferences,
        Event::Secrets { secrets } => data.secrets = secrets,
        Event::OptionsAnswered {
            account,
            target,
            status,
            round_trip_ms,
            allow,
            server,
            failure,
        } => {
            data.options.insert(
                account,
                OptionsAnswer {
                    target,
                    status,
                    round_trip_ms,
                    allow,
                    server,
                    failure,
                },
            );
        }
        // Whoever sent it reads the answer; the window sends none.
        Event::RequestAnswered { .. } => {}
        Event::LoginWanted { login } => login.put_into(&mut data.logins),
        Event::LoginSettled { login } => login.take_from(&mut data.logins),
        Event::Message { message } => {
            if !data.messages.iter().any(|m| m.id == message.id) {
                window.messages.on_new(&message);
            }
            message.put_into(&mut data.messages);
        }
        Event::MessagesCleared { account } => data.messages.retain(|m| m.account != account),
        Event::Notice { notice } => {
            data.add_notice(notice);
        }
        Event::Stopped => data.phase = Phase::Stopped,
    }
    window.follow(data);
}

fn put<T>(list: &mut Vec<T>, item: T, same: impl Fn(&T, &T) -> bool) {
    match list.iter_mut().find(|old| same(old, &item)) {
        Some(old) => *old = item,
        None => list.push(item),
    }
}

/// When a notice leaves by itself; an error stays until it is put away.
pub(crate) fn notice_ends(notice: &Notice) -> Option<Timestamp> {
    let seconds = match notice.level {
        NoticeLevel::Info => 6,
        NoticeLevel::Warning => 15,
        NoticeLevel::Error => return None,
    };
    Some(Timestamp(notice.time.0.saturating_add(seconds * 1_000_000)))
}

/// Whom the peer of a call wants us to call instead, and who says so, while that is to be decided.
pub(crate) fn wanted_transfer(call: &CallView) -> Option<(&Party, Option<&Party>)> {
    match &call.transfer {
        Some(Transfer::Wanted { target, by }) if call.state.is_live() => {
            Some((target, by.as_ref()))
        }
        _ => None,
    }
}

/// Whether a call waits to be answered here.
pub(crate) fn is_ringing_here(call: &CallView) -> bool {
    call.direction == Direction::Incoming
        && matches!(call.state, CallState::Trying | CallState::Ringing)
}

#[cfg(test)]
mod tests {
    use model::{AccountSettings, Outcome, Sentence, TraceBody, TraceRecord};

    use super::*;

    fn tenant(id: &str) -> TenantView {
        TenantView {
            id: TenantId::new(id),
            name: id.to_uppercase(),
            colour: 0,
            degraded: false,
            bind: None,
            traffic: model::Traffic::default(),
            trusted: Vec::new(),
        }
    }

    fn account(id: &str, tenant: &str, state: RegistrationState) -> Event {
        Event::Account {
            account: Box::new(AccountView {
                state,
                ..AccountView::new(
                    AccountId::new(id),
                    TenantId::new(tenant),
                    AccountSettings::new(format!("sip:{id}@example.com")),
                    Timestamp(0),
                )
            }),
        }
    }

    fn call(id: u64, direction: Direction, state: CallState) -> Event {
        Event::Call {
            call: Box::new(CallView {
                id: CallId(id),
                tenant: TenantId::new("t"),
                account: AccountId::new("a"),
                direction,
                remote: Party::default(),
                state,
                held_by_us: false,
                held_by_peer: false,
                muted: false,
                created_at: Timestamp(0),
                connected_at: None,
                ended_at: None,
                codec: None,
                secured: false,
                security: model::MediaSecurity::default(),
                media_peer: None,
                dtmf_sent: model::Private::default(),
                dtmf_received: model::Private::default(),
                stats: None,
                failure: None,
                last_status: None,
                sip_call_id: String::new(),
                transfer: None,
                redirect: None,
                details: model::CallDetails::default(),
                conference: None,
                sound: model::SoundView::default(),
                ending: None,
            }),
        }
    }

    fn history(id: i64, tenant: &str) -> Event {
        Event::History {
            entry: HistoryEntry {
                id,
                tenant: TenantId::new(tenant),
                account: AccountId::new("a"),
                direction: Direction::Outgoing,
                remote: Party::default(),
                started_at: Timestamp(0),
                talk_ms: 0,
                outcome: Outcome::Answered,
                sounded: None,
                status: None,
                sentence: None,
                sip_call_id: String::new(),
            },
        }
    }

    fn note(tenant: &str, id: u64) -> TraceRecord {
        TraceRecord {
            id,
            time: Timestamp(0),
            tenant: TenantId::new(tenant),
            account: None,
            call: None,
            body: TraceBody::Note {
                topic: "test".to_owned(),
                text: Sentence::default(),
                sip_call_id: None,
            },
        }
    }

    fn folded(events: impl IntoIterator<Item = Event>) -> ViewState {
        let mut state = ViewState::default();
        for event in events {
            apply(&mut state, event);
        }
        state
    }

    #[test]
    fn the_first_event_ends_the_wait_and_the_last_one_is_remembered() {
        assert_eq!(ViewState::default().data.phase, Phase::Starting);
        let mut state = folded([Event::Resync {
            snapshot: Box::default(),
        }]);
        assert!(state.data.is_first_run());
        apply(&mut state, Event::Stopped);
        assert_eq!(state.data.phase, Phase::Stopped);
    }

    #[test]
    fn a_new_view_of_a_thing_takes_the_place_of_the_old_one() {
        let state = folded([
            account("a", "t", RegistrationState::Trying),
            account("b", "t", RegistrationState::Silent),
            account("a", "t", RegistrationState::Registered),
        ]);
        let states: Vec<_> = state.data.accounts.iter().map(|a| a.state).collect();
        assert_eq!(
            states,
            [RegistrationState::Registered, RegistrationState::Silent]
        );
        assert_eq!(state.data.registered(), (1, 2));
        assert_eq!(state.data.failing().count(), 1);
    }

    #[test]
    fn an_account_that_was_asked_for_is_looked_at_when_it_comes() {
        let mut state = folded([account("a", "t", RegistrationState::Off)]);
        assert_eq!(state.window.account, None);
        state.window.awaits_account = true;
        apply(&mut state, account("a", "t", RegistrationState::Trying));
        assert_eq!(state.window.account, None);
        apply(&mut state, account("b", "t", RegistrationState::Off));
        apply(&mut state, account("c", "t", RegistrationState::Off));
        assert_eq!(state.window.account, Some(AccountId::new("b")));
    }

    #[test]
    fn with_a_tenant_everything_of_it_goes() {
        let tenants = ["t", "u"].map(|id| Event::Tenant { tenant: tenant(id) });
        let mut state = folded(tenants.into_iter().chain([
            account("a", "t", RegistrationState::Registered),
            account("b", "u", RegistrationState::Registered),
            history(1, "t"),
            history(2, "u"),
            Event::Trace {
                records: vec![note("t", 1), note("u", 1), note("t", 2)],
            },
        ]));
        state.data.trace.settle(Timestamp(1_000_000));
        state.window.tenant = Some(TenantId::new("t"));
        assert_eq!(state.window.dial_account, Some(AccountId::new("a")));
        apply(
            &mut state,
            Event::TenantRemoved {
                tenant: TenantId::new("t"),
            },
        );
        assert_eq!(state.data.accounts.len(), 1);
        assert_eq!(state.data.history.len(), 1);
        assert_eq!(state.data.trace.len(), 1);
        assert_eq!(state.window.tenant, None);
        assert_eq!(state.window.dial_account, Some(AccountId::new("b")));
    }

    #[test]
    fn an_outgoing_call_is_looked_at_and_an_incoming_one_waits() {
        let mut state = folded([
            call(1, Direction::Outgoing, CallState::Connected),
            call(2, Direction::Incoming, CallState::Ringing),
        ]);
        assert_eq!(state.window.current_call(&state.data), Some(CallId(1)));
        apply(&mut state, Event::CallRemoved { call: CallId(1) });
        assert_eq!(state.window.current_call(&state.data), Some(CallId(2)));
    }

    #[test]
    fn the_same_line_of_history_comes_once_and_the_newest_is_first() {
        let state = folded([history(1, "t"), history(2, "t"), history(2, "t")]);
        let ids: Vec<_> = state.data.history.iter().map(|h| h.id).collect();
        assert_eq!(ids, [2, 1]);
    }

    #[test]
    fn the_trace_keeps_its_numbers_while_old_records_leave() {
        let records = |range: std::ops::Range<u64>| Event::Trace {
            records: range.map(|id| note("t", id)).collect(),
        };
        let most = TRACE_RECORDS_U64;
        let mut state = folded([records(0..most)]);
        assert_eq!(state.data.trace.get(7).map(|r| r.id), Some(7));
        apply(&mut state, records(most..most + 10));
        assert_eq!(state.data.trace.len() as u64, most);
        assert_eq!(state.data.trace.get(7), None);
        assert_eq!(state.data.trace.get(11).map(|r| r.id), Some(11));
        assert_eq!(state.data.trace.end(), most + 10);
    }

    #[test]
    fn the_trace_holds_so_many_bytes_and_says_when_older_ones_had_to_leave() {
        let large = |id| TraceRecord {
            body: TraceBody::Sip {
                sent: false,
                transport: model::Transport::Udp,
                local: String::new(),
                peer: String::new(),
                bytes: std::sync::Arc::from(vec![b'x'; 64 << 10]),
            },
            ..note("t", id)
        };
        let fit = (crate::TRACE_BYTES / (64 << 10)) as u64;
        let mut state = folded([Event::Trace {
            records: (0..fit).map(large).collect(),
        }]);
        assert_eq!(state.data.trace.len() as u64, fit);
        assert!(!state.data.trace.has_older());
        apply(
            &mut state,
            Event::Trace {
                records: (fit..fit + 5).map(large).collect(),
            },
        );
        assert_eq!(state.data.trace.len() as u64, fit);
        assert_eq!(state.data.trace.first(), 5);
        assert!(state.data.trace.has_older());
    }

    const TRACE_RECORDS_U64: u64 = crate::TRACE_RECORDS as u64;

    #[test]
    fn notices_do_not_pile_up() {
        let notice = Event::Notice {
            notice: Notice {
                time: Timestamp(0),
                level: NoticeLevel::Error,
                tenant: None,
                text: Sentence::default(),
            },
        };
        let state = folded(std::iter::repeat_n(notice, NOTICES + 5));
        assert_eq!(state.data.notices.len(), NOTICES);
        assert_eq!(state.data.notices.front().map(|(n, _)| *n), Some(5));
    }
}
