//! Events on stdout: one JSON object a line with `--json`, else a short line for a person.
//!
//! Names and fields are part of the command-line contract.

use std::collections::{HashMap, VecDeque};
use std::io::Write;

use model::{
    AccountView, CallId, CallState, CallView, Direction, Ending, Event, Failure, LampState,
    LampView, MessageState, MessageView, Notice, RegistrationState, Sentence, Timestamp, TraceBody,
    TraceRecord, Transfer, TransferState, WaitingView,
};
use serde_json::{Value, json};

use crate::call_log::CallLog;
use crate::cli::Common;
use crate::missing::Missing;

/// More than a snapshot tells again.
const NOTICES: usize = 64;
/// The same for text messages.
const MESSAGES: usize = 512;

/// The contract's word for a call that is over.
const ENDED: &str = "ended";

/// Prints what is new.
pub(crate) struct Report {
    json: bool,
    sip: bool,
    /// What `--events` asks for.
    call_log: Option<CallLog>,
    /// Whether standard output is taken by sound.
    sound_out: bool,
    /// Whether somebody at the terminal is asked for logins.
    asks: bool,
    registrations: HashMap<model::AccountId, (RegistrationState, Option<Timestamp>)>,
    calls: HashMap<CallId, Told>,
    /// What was last said of sound that is missing.
    missing: HashMap<CallId, Missing>,
    /// The newest notices that were printed.
    noticed: VecDeque<Notice>,
    /// Text messages and what was said of them last.
    messages: VecDeque<(u64, MessageState)>,
    /// What was last said of what each account learned.
    learned: HashMap<model::AccountId, (Option<WaitingView>, Vec<LampView>)>,
    /// What was last said of the sound.
    sound: Option<String>,
    /// What is answered to peers that want us to call somebody else; nothing where a person decides.
    follows: Option<bool>,
    /// Whether only calls are told from now on.
    leaving: bool,
    /// Whether the reason of a failed call waits until [`Report::conclude`].
    reason_last: bool,
    /// Why a call ended, kept back so that nothing is printed after it.
    reason: Option<(Value, String)>,
}

#[derive(PartialEq)]
struct Told {
    state: &'static str,
    status: Option<u16>,
    stats_sent: u64,
    codec: Option<String>,
    transfer: Option<Transfer>,
}

impl Report {
    /// A report as the command line asks for.
    ///
    /// # Errors
    /// When what becomes of calls cannot be written where it is to be.
    pub(crate) fn new(common: &Common) -> anyhow::Result<Self> {
        let call_log = common.events.as_deref().map(CallLog::open).transpose()?;
        Ok(Self {
            json: common.json,
            sip: common.sip,
            call_log,
            sound_out: false,
            asks: false,
            registrations: HashMap::new(),
            calls: HashMap::new(),
            missing: HashMap::new(),
            noticed: VecDeque::new(),
            messages: VecDeque::new(),
            learned: HashMap::new(),
            sound: None,
            follows: None,
            leaving: false,
            reason_last: false,
            reason: None,
        })
    }

    /// Standard output carries sound: what is told goes to standard error.
    ///
    /// # Errors
    /// When calls are to be told there.
    pub(crate) fn leave_output_to_sound(&mut self) -> anyhow::Result<()> {
        if self.call_log.as_ref().is_some_and(CallLog::takes_output) {
            anyhow::bail!(
                "with --audio pipe sound goes to standard output; --events takes a file then"
            );
        }
        self.sound_out = true;
        Ok(())
    }

    /// There is one call, and why it failed is to be the last line, after messages that are told late.
    pub(crate) fn keep_reason(&mut self) {
        self.reason_last = self.sip;
    }

    /// Peers that want us to call somebody else are followed, or told no.
    pub(crate) fn follow_transfers(&mut self, follows: bool) {
        self.follows = Some(follows);
    }

    /// Somebody sits at the terminal and is asked for logins.
    pub(crate) fn ask_here(&mut self) {
        self.asks = true;
    }

    /// From now on only calls are told: the account takes its leave, and the reason of a failure is to be
    /// the last that is said.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Tells why the last call failed, if that was kept back.
    pub(crate) fn conclude(&mut self) {
        if let Some((object, line)) = self.reason.take() {
            self.print(object, || line);
        }
    }

    /// Prints what an event brings that was not printed before.
    pub(crate) fn event(&mut self, event: &Event) {
        if let Some(log) = &mut self.call_log {
            log.event(event);
        }
        match event {
            Event::Resync { snapshot } => {
                snapshot.notices.iter().for_each(|notice| self.notice(notice));
                snapshot.accounts.iter().for_each(|account| self.account(account));
                snapshot.calls.iter().for_each(|call| self.call(call));
                snapshot.messages.iter().for_each(|message| self.message(message));
            }
            Event::Account { account } => self.account(account),
            Event::Call { call } => self.call(call),
            Event::CallRemoved { call } => {
                self.calls.remove(call);
                self.missing.remove(call);
            }
            Event::AccountRemoved { account } => drop(self.registrations.remove(account)),
            Event::Dtmf { call, digit, duration_ms } => self.print(
                json!({"event": "dtmf", "call": call.0, "digit": digit.to_string(), "duration_ms": duration_ms}),
                || format!("call {call}: received digit {digit}"),
            ),
            Event::Message { message } => self.message(message),
            Event::LoginWanted { login } => self.print(
                json!({
                    "event": "login_wanted", "question": login.id, "account": login.account, "realm": login.realm, "server": login.server,
                    "refused": login.refused, "purpose": login.purpose, "call": login.call,
                }),
                || match self.asks {
                    true => login.sentence(),
                    false => format!(
                        "{} Give one with `tipring ctl answer_login '{{\"question\": {}, \"password\": \"…\"}}'`.",
                        login.sentence(),
                        login.id
                    ),
                },
            ),
            Event::Notice { notice } => self.notice(notice),
            Event::Devices { devices } => self.sound(devices.warning.as_deref()),
            Event::Trace { records } if self.sip => records.iter().for_each(|record| self.sip(record)),
            _ => {}
        }
    }

    /// Whether everything has been said already.
    fn is_over(&self) -> bool {
        self.leaving && self.calls.values().all(|told| told.state == ENDED)
    }

    fn notice(&mut self, notice: &Notice) {
        if self.is_over() {
            return;
        }
        // After a gap all are told again. Two may have come in the same microsecond.
        if self.noticed.contains(notice) {
            return;
        }
        if self.noticed.len() >= NOTICES {
            self.noticed.pop_front();
        }
        self.noticed.push_back(notice.clone());
        let object = json!({"event": "notice", "level": notice.level, "text": notice.text});
        self.print(object, || notice.text.reveal().to_owned());
    }

    fn message(&mut self, message: &MessageView) {
        let told = (message.id, message.state);
        if self.messages.contains(&told) || message.state == MessageState::Read {
            return;
        }
        if self.messages.len() >= MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(told);
        let reason = message.failure.as_ref().map(Failure::sentence);
        let object = json!({
            "event": "message",
            "id": message.id,
            "account": message.account,
            "direction": message.direction,
            "remote": message.remote.uri,
            "text": message.text,
            "state": message.state,
            "code": message.failure.as_ref().and_then(Failure::code),
            "reason": reason,
            "round_trip_ms": message.round_trip_ms,
            "failure": message.failure,
        });
        let whom = message.remote.title();
        self.print(object, || match message.state {
            MessageState::Received | MessageState::Read => {
                format!("message from {whom}: {}", message.text.reveal())
            }
            MessageState::Sending => format!("message to {whom}: on its way"),
            MessageState::Delivered => match message.round_trip_ms {
                Some(time) => format!("message to {whom}: delivered after {time:.1} ms"),
                None => format!("message to {whom}: delivered"),
            },
            MessageState::Accepted => {
                format!("message to {whom}: a server has it and passes it on when it can")
            }
            MessageState::Failed => format!(
                "message to {whom}: {}",
                reason
                    .as_ref()
                    .map_or("it did not arrive", Sentence::reveal)
            ),
        });
    }

    /// Sound that does not work as chosen is a notice too.
    fn sound(&mut self, warning: Option<&str>) {
        if self.is_over() || self.sound.as_deref() == warning {
            return;
        }
        self.sound = warning.map(str::to_owned);
        if let Some(text) = warning {
            let object = json!({"event": "notice", "level": "warning", "text": text});
            self.print(object, || text.to_owned());
        }
    }

    /// Prints an event of a subcommand's own.
    pub(crate) fn own(&self, object: Value, line: impl FnOnce() -> String) {
        self.print(object, line);
    }

    /// The same, where people hear of it only now and then.
    pub(crate) fn counts(&self, object: Value, line: impl FnOnce() -> Option<String>) {
        if self.json {
            self.print(object, String::new);
        } else if let Some(line) = line() {
            self.print(object, || line);
        }
    }

    /// What an account learned of others.
    fn learned(&mut self, account: &AccountView) {
        let known = self.learned.entry(account.id.clone()).or_default();
        let waiting = account
            .waiting
            .clone()
            .filter(|_| known.0 != account.waiting);
        let lamps: Vec<LampView> = account
            .lamps
            .iter()
            .filter(|lamp| {
                let before = known.1.iter().find(|old| old.watched == lamp.watched);
                let quiet = lamp.lamp == LampState::Unknown && lamp.sentence.is_none();
                before.map_or(!quiet, |old| old != *lamp)
            })
            .cloned()
            .collect();
        *known = (account.waiting.clone(), account.lamps.clone());
        if let Some(waiting) = waiting {
            let object = json!({
                "event": "waiting",
                "account": account.id,
                "waiting": waiting.waiting,
                "new": waiting.new,
                "old": waiting.old,
                "urgent": waiting.urgent,
                "mailbox": waiting.mailbox,
            });
            self.print(object, || {
                format!(
                    "{}: {} new messages and {} old ones wait",
                    account.title(),
                    waiting.new,
                    waiting.old
                )
            });
        }
        for lamp in lamps {
            let object = json!({
                "event": "lamp",
                "account": account.id,
                "watched": lamp.watched,
                "lamp": lamp.lamp,
                "calls": lamp.calls,
                "presence": lamp.presence,
                "reason": lamp.sentence,
            });
            self.print(object, || {
                let why = lamp.sentence.as_ref().map_or("", Sentence::reveal);
                let state = match lamp.lamp {
                    LampState::Unknown => "unknown",
                    LampState::Idle => "idle",
                    LampState::Calling => "calls somebody",
                    LampState::Ringing => "rings",
                    LampState::Talking => "talks",
                };
                format!("{}: {state}. {why}", lamp.watched.reveal())
                    .trim_end_matches(['.', ' '])
                    .to_owned()
            });
        }
    }

    fn account(&mut self, account: &AccountView) {
        if self.leaving {
            return;
        }
        self.learned(account);
        let told = (account.state, account.expires_at);
        if self.registrations.insert(account.id.clone(), told) == Some(told)
            || (account.state == RegistrationState::Off && !account.settings.register)
        {
            return;
        }
        let failure = account.failure.as_ref();
        let expires = account
            .expires_at
            .filter(|_| account.state == RegistrationState::Registered)
            .map(|at| (at.since(now()).as_secs_f64()).round() as u64);
        let object = json!({
            "event": "registration",
            "account": account.id,
            "state": account.state,
            "code": failure.and_then(Failure::code),
            "reason": failure.map(Failure::sentence),
            "failure": failure,
            "expires": expires,
            "target": account.target,
            "mapped": account.mapped,
            "round_trip_ms": account.round_trip_ms,
            "granted": account.granted_s,
            "outbound": account.outbound,
            "flows": account.flows,
        });
        self.print(object, || {
            let word = registration_word(account.state);
            match (failure, expires) {
                (Some(failure), _) => {
                    format!(
                        "{}: {word}. {}",
                        account.title(),
                        failure.sentence().reveal()
                    )
                }
                (None, Some(s)) => format!("{}: {word} for {s} s", account.title()),
                (None, None) => format!("{}: {word}", account.title()),
            }
        });
    }

    fn call(&mut self, call: &CallView) {
        let old = self.calls.get(&call.id);
        // Hanging up is no state of the contract: the call is what it was until it has ended.
        let state = call_word(call.state)
            .or(old.map(|old| old.state))
            .unwrap_or("trying");
        let stats_sent = call.stats.map_or(0, |s| s.sent);
        let status = call.last_status.as_ref().map(|(code, _)| *code);
        let state_is_new = old.is_none_or(|old| old.state != state);
        let media_is_new = call.stats.is_some()
            && old.is_none_or(|old| old.stats_sent != stats_sent || state_is_new)
            || call.codec.is_some() && old.is_none_or(|old| old.codec != call.codec);
        let transfer = call
            .transfer
            .as_ref()
            .filter(|transfer| old.is_none_or(|old| old.transfer.as_ref() != Some(*transfer)));
        self.calls.insert(
            call.id,
            Told {
                state,
                status,
                stats_sent,
                codec: call.codec.clone(),
                transfer: call.transfer.clone(),
            },
        );
        if let Some(transfer) = transfer {
            self.transfer(call, transfer);
        }
        // Of an ended call nothing is told after the reason.
        if media_is_new && state == ENDED {
            self.media(call);
        }
        if state_is_new {
            self.call_state(call, state);
        }
        if media_is_new && state != ENDED {
            self.media(call);
        }
        self.missing(call);
    }

    /// Each line of `--json` says what is missing.
    fn missing(&mut self, call: &CallView) {
        if self.json {
            return;
        }
        let missing = self.missing.entry(call.id).or_default();
        let talks = call.state == CallState::Connected;
        for line in missing.lines(&call.sound.silences, talks) {
            self.print(Value::Null, || format!("call {}: {line}", call.id));
        }
    }

    fn call_state(&mut self, call: &CallView, state: &'static str) {
        let failure = call.failure.as_ref();
        let status = call.last_status.as_ref().map(|(code, _)| *code);
        let ended = call.state == CallState::Ended;
        let code = failure
            .and_then(Failure::code)
            .or(status.filter(|_| !ended));
        let reason = call.why_ended().map(Sentence::into_revealed).or_else(|| {
            call.last_status
                .as_ref()
                .filter(|_| !ended)
                .map(|(_, phrase)| phrase.reveal().to_owned())
        });
        let object = json!({
            "event": "call",
            "id": call.id,
            "account": call.account,
            "direction": call.direction,
            "state": state,
            "code": code,
            "reason": reason,
            "failure": failure,
            "ending": call.ending,
            "remote": call.remote.uri,
            "remote_display": call.remote.display,
            "held_by_us": call.held_by_us,
            "held_by_peer": call.held_by_peer,
            "sip_call_id": call.sip_call_id,
        });
        let line = || {
            let arrow = if call.direction == Direction::Outgoing {
                "to"
            } else {
                "from"
            };
            let who = call.remote.title();
            let ending = call.ending.as_ref().and_then(Ending::sentence);
            match failure.map(Failure::sentence).or(ending) {
                Some(why) => format!("call {} {arrow} {who}: {state}. {}", call.id, why.reveal()),
                None => format!("call {} {arrow} {who}: {state}", call.id),
            }
        };
        // Messages are told in batches, some of them after the state that they lead to.
        if ended && failure.is_some() && self.reason_last {
            self.conclude();
            self.reason = Some((timed(object), line()));
        } else {
            self.print(object, line);
        }
    }

    /// The call becomes one with somebody else, or is to.
    fn transfer(&self, call: &CallView, transfer: &Transfer) {
        let target = transfer.target();
        let (state, by, code, other) = match transfer {
            Transfer::Wanted { by, .. } => ("wanted", by.as_ref(), None, None),
            Transfer::Following { call, .. } => ("following", None, None, Some(call.0)),
            Transfer::Ours { state, status, .. } => {
                let word = match state {
                    TransferState::Asked => "asked",
                    TransferState::Trying => "trying",
                    TransferState::Done => "done",
                    TransferState::Failed => "failed",
                };
                (word, None, status.as_ref().map(|(code, _)| *code), None)
            }
        };
        let answer = match (transfer, self.follows) {
            (Transfer::Wanted { .. }, Some(true)) => Some("accepted"),
            (Transfer::Wanted { .. }, Some(false)) => Some("declined"),
            _ => None,
        };
        let object = json!({
            "event": "transfer",
            "call": call.id,
            "state": state,
            "target": target.uri,
            "target_display": target.display,
            "by": by.map(|by| &by.uri),
            "answer": answer,
            "other": other,
            "code": code,
        });
        let (id, whom) = (call.id, target.title());
        self.print(object, || match (transfer, answer) {
            (Transfer::Wanted { .. }, Some("accepted")) => {
                format!("call {id}: the peer wants {whom} to be called instead: accepted")
            }
            (Transfer::Wanted { .. }, Some(_)) => format!(
                "call {id}: the peer wants {whom} to be called instead: declined (--follow-transfers accepts)"
            ),
            (Transfer::Wanted { .. }, None) => {
                format!("call {id}: the peer wants {whom} to be called instead")
            }
            (Transfer::Following { call, .. }, _) => {
                format!("call {id}: {whom} is called instead, by call {call}")
            }
            (Transfer::Ours { .. }, _) => format!("call {id}: transfer to {whom}: {state}"),
        });
    }

    fn media(&self, call: &CallView) {
        let stats = call.stats.unwrap_or_default();
        let sound = &call.sound;
        let silences: Vec<String> = sound.silences.iter().map(ToString::to_string).collect();
        let object = json!({
            "event": "media",
            "call": call.id,
            "codec": call.codec,
            "secured": call.secured,
            "security": call.security,
            "peer": call.media_peer,
            "sent": stats.sent,
            "received": stats.received,
            "lost": stats.lost,
            "late": stats.late,
            "jitter_ms": stats.jitter_ms,
            "rtt_ms": stats.rtt_ms,
            "buffer_ms": stats.buffer_ms,
            "concealed": stats.concealed,
            "mos": stats.mos,
            "lights": {
                "captured": sound.captured,
                "sent": sound.sent,
                "received": sound.received,
                "played": sound.played,
            },
            "expected_peer": sound.expected_peer,
            "actual_peer": sound.actual_peer,
            "silences": silences,
        });
        // A line a second would bury the rest for a person, who is told how it was when it is over.
        if self.json || call.state == CallState::Ended {
            self.print(object, || {
                format!("call {}: {}", call.id, quality_line(call))
            });
        }
    }

    fn sip(&self, record: &TraceRecord) {
        let TraceBody::Sip {
            sent,
            transport,
            local,
            peer,
            ..
        } = &record.body
        else {
            return;
        };
        // The last messages of a call come after it is shown as ended; signing out is none of them.
        let is_farewell = || {
            let method = trace::summary(record).method;
            matches!(method.as_deref(), Some("REGISTER" | "SUBSCRIBE" | "NOTIFY"))
        };
        if self.is_over() && is_farewell() {
            return;
        }
        let text = trace::redact::message(record);
        let direction = if *sent { "sent" } else { "received" };
        let object = json!({
            "event": "sip",
            "direction": direction,
            "transport": transport,
            "local": local,
            "peer": peer,
            "text": text,
            "time": record.time,
        });
        self.print(object, || {
            format!("{direction} {} {peer}\n{text}", transport.as_str())
        });
    }

    fn print(&self, mut object: Value, line: impl FnOnce() -> String) {
        if self.call_log.as_ref().is_some_and(CallLog::takes_output) {
            return;
        }
        let text = if self.json {
            object = timed(object);
            object.to_string()
        } else {
            printable(&line())
        };
        if self.sound_out {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
            return;
        }
        // A reader that has gone away ends the printing, not the call.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// The object with the time of now, unless it has one.
fn timed(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.entry("time").or_insert_with(|| json!(now()));
    }
    object
}

/// The quality line of a call, for a person.
pub(crate) fn quality_line(call: &CallView) -> String {
    let Some(stats) = call.stats else {
        return "no media".to_owned();
    };
    let loss = if stats.received + stats.lost == 0 {
        0.0
    } else {
        stats.lost as f64 * 100.0 / (stats.received + stats.lost) as f64
    };
    let mos = stats.mos.map_or("–".to_owned(), |m| format!("{m:.2}"));
    format!(
        "{}: {} sent, {} received, {loss:.1} % lost, jitter {:.1} ms, buffer {:.0} ms, MOS {mos}",
        call.codec.as_deref().unwrap_or("no codec"),
        stats.sent,
        stats.received,
        stats.jitter_ms,
        stats.buffer_ms,
    )
}

/// Text for a terminal: what a peer sent moves no cursor, rings no bell and turns no direction.
pub(crate) fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if obeyed(c) { '\u{FFFD}' } else { c })
        .collect()
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}

fn registration_word(state: RegistrationState) -> &'static str {
    match state {
        RegistrationState::Off => "signed out",
        RegistrationState::Trying => "signing in",
        RegistrationState::Registered => "registered",
        RegistrationState::Refused => "refused",
        RegistrationState::Silent => "silent",
        RegistrationState::Leaving => "signing out",
        RegistrationState::Degraded => "degraded",
    }
}

/// The contract's word for a call's state, if it has one.
fn call_word(state: CallState) -> Option<&'static str> {
    match state {
        CallState::Trying => Some("trying"),
        CallState::Ringing => Some("ringing"),
        CallState::Early => Some("early"),
        CallState::Connected => Some("connected"),
        CallState::Held => Some("held"),
        // The next word is `connected`, or why it is not.
        CallState::Answering | CallState::Ending => None,
        CallState::Ended => Some(ENDED),
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_peer_cannot_command_the_terminal() {
        assert_eq!(
            printable("\u{1b}[2J\u{7}EVE\r\n\u{202e}x"),
            "\u{FFFD}[2J\u{FFFD}EVE\u{FFFD}\n\u{FFFD}x"
        );
    }
}
