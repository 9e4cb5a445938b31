//! `--events`: what becomes of calls, a JSON object a line, with nobody's name or number in it.
//!
//! ```text
//!  incoming_call ─┬─► call_ringing ─┬─► call_answered ─┬─► call_ended
//!  outgoing_call ─┘                 │                  │
//!                                   ├─► call_rejected  │  with the status and who said it
//!                                   └─► call_cancelled │  before anybody answered
//! ```
//!
//! Of each call the first line is how it began and the last one of the three ends; what happened while events were
//! lost is told from what is known afterwards. Names and fields are part of the command-line contract.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use model::{
    AccountId, AccountView, CallId, CallState, CallView, Direction, Event, Failure, Outcome,
    Timestamp, mask_identity,
};
use serde_json::{Value, json};

/// At this length the file becomes `FILE.1`, of which there is one.
const LIMIT: u64 = 16 << 20;

/// Writes what becomes of calls.
pub(crate) struct CallLog {
    calls: Calls,
    place: Place,
}

enum Place {
    Output,
    File {
        path: PathBuf,
        file: File,
        bytes: u64,
    },
}

impl CallLog {
    /// Writes to a file, behind what is there, or with `-` to standard output.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let place = if path == Path::new("-") {
            Place::Output
        } else {
            let file = append(path)
                .with_context(|| format!("the events cannot be written to {}", path.display()))?;
            let bytes = file.metadata().map_or(0, |metadata| metadata.len());
            let path = path.to_owned();
            Place::File { path, file, bytes }
        };
        Ok(Self {
            calls: Calls::default(),
            place,
        })
    }

    /// Whether it takes standard output for itself.
    pub(crate) fn takes_output(&self) -> bool {
        matches!(self.place, Place::Output)
    }

    /// Writes what an event tells of calls.
    pub(crate) fn event(&mut self, event: &Event) {
        for object in self.calls.on_event(event) {
            // A disk that is full, or a reader that has gone away, ends the log and no call.
            let _ = self.place.write(&format!("{object}\n"));
        }
    }
}

impl Place {
    fn write(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Output => {
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes())?;
                out.flush()
            }
            Self::File { path, file, bytes } => {
                let more = line.len() as u64;
                if *bytes > 0 && bytes.saturating_add(more) > LIMIT {
                    let mut older = path.as_os_str().to_owned();
                    older.push(".1");
                    std::fs::rename(&*path, older)?;
                    *file = append(path)?;
                    *bytes = 0;
                }
                *bytes = bytes.saturating_add(more);
                file.write_all(line.as_bytes())
            }
        }
    }
}

/// Opens a file that its user alone may read.
fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// What was told of calls so far.
#[derive(Default)]
struct Calls {
    told: HashMap<CallId, HashSet<&'static str>>,
    /// Addresses of record, masked.
    accounts: HashMap<AccountId, String>,
}

impl Calls {
    fn on_event(&mut self, event: &Event) -> Vec<Value> {
        match event {
            Event::Resync { snapshot } => {
                snapshot.accounts.iter().for_each(|a| self.account(a));
                let mut lines = Vec::new();
                for call in &snapshot.calls {
                    lines.extend(self.call(call));
                }
                let shown = |id: &CallId| snapshot.calls.iter().any(|call| call.id == *id);
                self.told.retain(|id, _| shown(id));
                lines
            }
            Event::Account { account } => {
                self.account(account);
                Vec::new()
            }
            Event::Call { call } => self.call(call),
            Event::CallRemoved { call } => {
                self.told.remove(call);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn account(&mut self, account: &AccountView) {
        let masked = mask_identity(account.settings.aor.reveal());
        self.accounts.insert(account.id.clone(), masked);
    }

    fn call(&mut self, call: &CallView) -> Vec<Value> {
        let told = self.told.entry(call.id).or_default();
        let mut lines = Vec::new();
        for (name, time) in reached(call) {
            if told.insert(name) {
                lines.push(line(name, time, call, self.accounts.get(&call.account)));
            }
        }
        lines
    }
}

/// What a call has come through so far, in order. A call that was answered has rung, and one that is seen for the
/// first time at its end began.
fn reached(call: &CallView) -> Vec<(&'static str, Timestamp)> {
    let began = match call.direction {
        Direction::Incoming => "incoming_call",
        Direction::Outgoing => "outgoing_call",
    };
    let mut names = vec![(began, call.created_at)];
    if call.state == CallState::Ringing {
        names.push(("call_ringing", crate::report::now()));
    }
    if let Some(at) = call.connected_at {
        names.push(("call_answered", at));
    }
    if call.state == CallState::Ended {
        names.push((end(call), call.ended_at.unwrap_or(call.created_at)));
    }
    names
}

fn end(call: &CallView) -> &'static str {
    let refused = call.failure.as_ref().and_then(Failure::code).is_some();
    match call.details.outcome {
        _ if call.connected_at.is_some() => "call_ended",
        Some(Outcome::Declined) => "call_rejected",
        Some(Outcome::Cancelled) => "call_cancelled",
        // Nobody took it before the caller gave up, or it was sent away without having been seen.
        Some(Outcome::Missed) if call.details.our_status.is_some() => "call_rejected",
        Some(Outcome::Missed) if call.failure.is_none() => "call_cancelled",
        _ if refused => "call_rejected",
        _ => "call_ended",
    }
}

fn line(name: &'static str, time: Timestamp, call: &CallView, account: Option<&String>) -> Value {
    let remote = mask_identity(call.remote.uri.reveal());
    let mut object = json!({
        "time": time,
        "event": name,
        "call": call.id,
        "account": account,
        "remote": remote,
        "ip": call.details.peer,
        "call_id": mask_identity(&call.sip_call_id),
    });
    let Some(fields) = object.as_object_mut() else {
        return object;
    };
    let said_by_them = call.failure.as_ref().and_then(Failure::code);
    match name {
        "call_rejected" => {
            let ours = call.details.our_status;
            let by = if ours.is_some() { "us" } else { "peer" };
            fields.insert("status".to_owned(), json!(ours.or(said_by_them)));
            fields.insert("by".to_owned(), json!(by));
        }
        "call_cancelled" => {
            let ours = call.direction == Direction::Outgoing;
            fields.insert("by".to_owned(), json!(if ours { "us" } else { "peer" }));
        }
        "call_ended" => {
            let talk = call.connected_at.zip(call.ended_at);
            let talk = talk.map_or(0.0, |(from, to)| to.since(from).as_secs_f64());
            fields.insert("seconds".to_owned(), json!(talk));
            fields.insert("failure".to_owned(), json!(call.failure.as_ref().map(why)));
        }
        _ => {}
    }
    object
}

/// The kind of a failure, without what anybody said or typed.
fn why(failure: &Failure) -> Value {
    let kind = serde_json::to_value(&failure.what).unwrap_or_default();
    kind.get("kind").cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use model::{AccountSettings, FailureKind, Party, Snapshot, TenantId};

    use super::*;

    fn call(direction: Direction, state: CallState) -> CallView {
        let fields = json!({
            "id": 7, "tenant": "t", "account": "a", "direction": direction, "state": state,
            "remote": Party::default(), "held_by_us": false, "held_by_peer": false, "muted": false,
            "created_at": Timestamp(0), "connected_at": null, "ended_at": null, "codec": null,
            "media_peer": null, "secured": false, "dtmf_sent": "", "dtmf_received": "",
            "stats": null, "failure": null, "last_status": null, "sip_call_id": "0a1b2c3d@192.0.2.7",
        });
        let mut call: CallView = serde_json::from_value(fields).expect("a call");
        call.remote.uri = "sip:+4930123456@example.com".into();
        call.remote.display = Some("Bob Builder".into());
        call.details.peer = Some("192.0.2.1:5060".to_owned());
        call
    }

    fn ended(mut call: CallView, outcome: Outcome) -> CallView {
        call.state = CallState::Ended;
        call.ended_at = Some(Timestamp(5_000_000));
        call.details.outcome = Some(outcome);
        call
    }

    fn failed(call: CallView, what: FailureKind) -> CallView {
        let mut call = ended(call, Outcome::Failed);
        call.failure = Some(Failure::new(what));
        call
    }

    /// What is told when a call is seen in these states, one after the other and all of it twice.
    fn told(views: &[CallView]) -> Vec<Value> {
        let mut calls = Calls::default();
        let settings = AccountSettings::new("sip:alice.jones@example.com");
        let (account, tenant) = (AccountId::new("a"), TenantId::new("t"));
        let account = Box::new(AccountView::new(account, tenant, settings, Timestamp(0)));
        calls.on_event(&Event::Account { account });
        let mut lines = Vec::new();
        for view in views {
            for _ in 0..2 {
                let call = Box::new(view.clone());
                lines.extend(calls.on_event(&Event::Call { call }));
            }
        }
        lines
    }

    fn names(lines: &[Value]) -> Vec<&str> {
        lines
            .iter()
            .filter_map(|line| line["event"].as_str())
            .collect()
    }

    #[test]
    fn each_step_of_a_call_is_told_once_and_its_end_says_how_it_ended() {
        use CallState::{Connected, Held, Ringing, Trying};
        let incoming = |state| call(Direction::Incoming, state);
        let outgoing = |state| call(Direction::Outgoing, state);
        let up = |state| CallView {
            connected_at: Some(Timestamp(2_000_000)),
            ..incoming(state)
        };
        let talk = [
            incoming(Ringing),
            up(Connected),
            up(Held),
            ended(up(Held), Outcome::Answered),
        ];
        let lines = told(&talk);
        let expected = [
            "incoming_call",
            "call_ringing",
            "call_answered",
            "call_ended",
        ];
        assert_eq!(names(&lines), expected);
        assert_eq!(lines[3]["seconds"], 3.0);
        assert_eq!(lines[3]["failure"], Value::Null);

        let mut declined = ended(incoming(Ringing), Outcome::Declined);
        declined.details.our_status = Some(486);
        let lines = told(&[incoming(Ringing), declined]);
        assert_eq!(names(&lines)[2..], ["call_rejected"]);
        assert_eq!(
            (&lines[2]["status"], &lines[2]["by"]),
            (&json!(486), &json!("us"))
        );

        let busy = FailureKind::Status {
            code: 600,
            phrase: "Busy, Bob".into(),
        };
        let lines = told(&[outgoing(Trying), failed(outgoing(Trying), busy)]);
        assert_eq!(names(&lines), ["outgoing_call", "call_rejected"]);
        assert_eq!(
            (&lines[1]["status"], &lines[1]["by"]),
            (&json!(600), &json!("peer"))
        );

        for (gave_up, by) in [
            (ended(outgoing(Ringing), Outcome::Cancelled), "us"),
            (ended(incoming(Ringing), Outcome::Missed), "peer"),
        ] {
            let lines = told(&[gave_up]);
            assert_eq!(names(&lines)[1..], ["call_cancelled"]);
            assert_eq!(lines[1]["by"], by);
        }
        let silent = FailureKind::NoAnswer { asked: None };
        let lines = told(&[failed(outgoing(Trying), silent)]);
        assert_eq!(names(&lines), ["outgoing_call", "call_ended"]);
        assert_eq!(
            (&lines[1]["failure"], &lines[1]["seconds"]),
            (&json!("no_answer"), &json!(0.0))
        );
    }

    #[test]
    fn no_line_names_anybody_and_each_says_which_call_and_machine() {
        let bad = FailureKind::BadTarget {
            detail: "Bob Builder is nobody".into(),
        };
        let lines = told(&[
            call(Direction::Incoming, CallState::Ringing),
            failed(call(Direction::Incoming, CallState::Ringing), bad),
        ]);
        assert_eq!(lines.len(), 3);
        for line in &lines {
            let text = line.to_string();
            for name in ["Bob", "alice", "49301", "0a1b"] {
                assert!(!text.contains(name), "{text}");
            }
            assert_eq!(line["account"], "sip:*******ones@example.com");
            assert_eq!(line["remote"], "sip:*******3456@example.com");
            assert_eq!(line["ip"], "192.0.2.1:5060");
            assert_eq!(line["call"], 7);
            assert_eq!(line["call_id"], "****2c3d@192.0.2.7");
        }
    }

    #[test]
    fn what_happened_while_events_were_lost_is_told_and_what_was_put_away_is_forgotten() {
        let mut calls = Calls::default();
        let mut over = ended(
            call(Direction::Incoming, CallState::Held),
            Outcome::Answered,
        );
        over.connected_at = Some(Timestamp(1));
        let resync = |calls: Vec<CallView>| Event::Resync {
            snapshot: Box::new(Snapshot {
                calls,
                ..Snapshot::default()
            }),
        };
        let lines = calls.on_event(&resync(vec![over.clone()]));
        assert_eq!(
            names(&lines),
            ["incoming_call", "call_answered", "call_ended"]
        );
        assert!(calls.on_event(&resync(vec![over])).is_empty());
        assert!(calls.on_event(&resync(Vec::new())).is_empty());
        assert!(calls.told.is_empty());
    }

    #[test]
    fn a_file_takes_no_more_than_its_limit_and_its_older_half() {
        let dir = std::env::temp_dir().join(format!("tipring-events-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let path = dir.join("calls.jsonl");
        let mut log = CallLog::open(&path).expect("it can be written");
        let Place::File { bytes, .. } = &mut log.place else {
            panic!("it is a file");
        };
        *bytes = LIMIT - 5;
        for line in ["one\n", "two\n"] {
            log.place.write(line).expect("it can be written");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("the newer"), "two\n");
        let older = dir.join("calls.jsonl.1");
        assert_eq!(std::fs::read_to_string(older).expect("the older"), "one\n");
        std::fs::remove_dir_all(&dir).expect("it goes");
        assert!(CallLog::open(&dir.join("none/calls")).is_err());
    }
}
