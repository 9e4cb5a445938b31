//! What is told of it all: to the flight recorder, and by counting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{AccountId, CallId, Sentence, Timestamp, Traffic};
use sip_core::Path;

use super::TransportState;
use crate::recorder::{RecorderMsg, Wire};
use crate::tenant::TenantMsg;
use crate::wake::now;

/// How often counts are told at most.
pub(super) const REPORT_EVERY: Duration = Duration::from_millis(500);
/// Notes about connections that may be written at once, and how often one more.
const NOTES: u32 = 32;
const NOTE_EVERY: Duration = Duration::from_secs(2);

/// Keeps those who open connections from filling the record with notes about them.
#[derive(Debug)]
pub(super) struct Notes {
    left: u32,
    since: Instant,
    unwritten: u64,
}

impl Notes {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: NOTES,
            since: now,
            unwritten: 0,
        }
    }

    /// How many went unwritten before this one; `None` when it is not written either.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let rested = now.saturating_duration_since(self.since).as_secs() / NOTE_EVERY.as_secs();
        if rested > 0 {
            let rested = u32::try_from(rested).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(rested).min(NOTES);
            self.since = now;
        }
        if self.left == 0 {
            self.unwritten += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.unwritten))
    }
}

impl TransportState {
    /// A note about a connection, unless there were too many of late.
    pub(super) fn note_connection(&mut self, text: impl Into<Sentence>) {
        match self.notes.admit(now()) {
            Some(0) => self.note(text),
            Some(unwritten) => {
                let text = text.into();
                self.note(format!("{} (and {unwritten} more like it)", text.reveal()));
            }
            None => {}
        }
    }

    fn note(&self, text: impl Into<Sentence>) {
        self.args.recorder.cast(RecorderMsg::Note {
            time: crate::wall(),
            topic: "transport",
            text: text.into(),
            account: None,
            call: None,
            sip_call_id: None,
        });
    }

    /// Counts what went by, and says so at 1, 2, 4, 8 …: a flood must not fill the record.
    pub(super) fn count(&mut self, what: &str, counter: impl FnOnce(&mut Traffic) -> &mut u64) {
        let counter = counter(&mut self.traffic);
        *counter += 1;
        let count = *counter;
        if count.is_power_of_two() {
            self.note(format!("{count} so far: {what}"));
        }
        self.ask_for_report();
    }

    /// Sees to it that the counts are told soon.
    pub(super) fn ask_for_report(&self) {
        if self.guard.has_news() {
            self.report_soon();
        }
    }

    /// Tells the counts after a while, and whatever is counted until then with them.
    pub(super) fn report_soon(&self) {
        self.myself
            .send_after(REPORT_EVERY, || super::TransportMsg::ReportNow);
    }

    pub(super) fn report(&mut self) {
        let before = self.traffic.clone();
        self.guard.fill_in(&mut self.traffic, now(), crate::wall());
        self.traffic.turned_away = self.connections.turned_away();
        for (what, before, count) in [
            (
                "messages beyond what one source may send",
                before.limited,
                self.traffic.limited,
            ),
            (
                "messages dropped because those before them were not handled yet",
                before.no_room,
                self.traffic.no_room,
            ),
            (
                "connections turned away",
                before.turned_away,
                self.traffic.turned_away,
            ),
        ] {
            if count.checked_ilog2() > before.checked_ilog2() {
                self.note(format!("{count} so far: {what}"));
            }
        }
        let _ = self
            .args
            .tenant
            .cast(TenantMsg::Traffic(Box::new(self.traffic.clone())));
    }

    pub(super) fn record(
        &mut self,
        time: Timestamp,
        sent: bool,
        path: Path,
        bytes: &[u8],
        account: Option<AccountId>,
        call: Option<CallId>,
    ) {
        let is_known = account.is_some() || self.guard.may_record(bytes.len(), now());
        let room = is_known.then(|| self.under_way.room(bytes.len())).flatten();
        let Some(room) = room else {
            self.traffic.unrecorded += 1;
            return self.ask_for_report();
        };
        self.args.recorder.cast(RecorderMsg::Wire(Wire {
            time,
            sent,
            path,
            bytes: Arc::from(bytes),
            account,
            call,
            _room: room,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_make_few_notes_and_none_is_forgotten() {
        let start = Instant::now();
        let mut notes = Notes::new(start);
        let written = (0..1_000).filter(|_| notes.admit(start).is_some()).count();
        assert_eq!(written, 32);
        let later = start + NOTE_EVERY;
        assert_eq!(notes.admit(later), Some(968), "the next one tells of them");
        assert_eq!(notes.admit(later), None);
    }
}
