//! Which records are listed, brought up to date as they come.

use std::collections::VecDeque;

use model::{AccountId, TenantId, TraceRecord};
use trace::query::{Query, Selection};
use trace::{QueryError, Summary};

use super::ladder;
use crate::trace_log::TraceLog;

/// Most records that one frame looks at when only their heads count.
const WITHOUT_SEARCH: u64 = 200_000;
/// Most records whose whole text one frame searches.
const WITH_SEARCH: u64 = 10_000;

/// What the person looks at in the trace.
#[derive(Default)]
pub struct TraceWindow {
    /// What stands in the filter field.
    pub filter: String,
    /// Only this account's records.
    pub account: Option<AccountId>,
    /// Only this dialog's records, by Call-ID.
    pub call: Option<String>,
    /// Whether OPTIONS and registrations that go well are shown too.
    pub noise: bool,
    /// Number of the first record that is not shown because the display stands still.
    pub paused: Option<u64>,
    /// Number of the record that is looked at.
    pub selected: Option<u64>,
    /// Whether the pane with the message is put away.
    pub message_hidden: bool,
    pub(super) listed: Listed,
    pub(super) ladder: ladder::Shown,
    pub(super) said: Option<(u64, String)>,
    pub(super) reveal: bool,
    pub(super) reveal_step: bool,
}

/// What is listed, brought up to date as records come.
#[derive(Default)]
pub(super) struct Listed {
    of: Option<Wish>,
    next: u64,
    pub(super) selection: Selection,
    /// Of other tenants, accounts or calls.
    pub(super) elsewhere: usize,
    /// Why the filter cannot be understood.
    pub(super) wrong: Option<QueryError>,
}

/// Everything that decides which records are listed.
#[derive(Clone, PartialEq)]
struct Wish {
    generation: u64,
    filter: String,
    account: Option<AccountId>,
    call: Option<String>,
    tenant: Option<TenantId>,
    noise: bool,
}

impl TraceWindow {
    /// Shows one dialog.
    pub(crate) fn look_at_call(&mut self, sip_call_id: &str) {
        self.call = Some(sip_call_id.to_owned());
        self.filter.clear();
        self.account = None;
        self.selected = None;
    }

    /// Shows one account with its registrations.
    pub(crate) fn look_at_account(&mut self, account: &AccountId) {
        self.account = Some(account.clone());
        self.filter.clear();
        self.call = None;
        self.noise = true;
        self.selected = None;
    }

    pub(super) fn clear(&mut self) {
        self.filter.clear();
        self.account = None;
        self.call = None;
    }

    pub(super) fn is_narrowed(&self) -> bool {
        !self.filter.trim().is_empty() || self.account.is_some() || self.call.is_some()
    }

    /// Brings the list up to date with the log, a bounded number of records at a time so that no frame
    /// waits for a search. Answers whether there are more.
    pub(super) fn update(&mut self, log: &TraceLog, tenant: Option<&TenantId>) -> bool {
        let of = Wish {
            generation: log.generation(),
            filter: self.filter.trim().to_owned(),
            account: self.account.clone(),
            call: self.call.clone(),
            tenant: tenant.cloned(),
            noise: self.noise || self.call.is_some(),
        };
        if self.listed.of.as_ref() != Some(&of) {
            self.start(of.clone(), log.first());
        }
        let first = log.first();
        self.listed.selection.forget_before(first);
        let end = self.paused.unwrap_or_else(|| log.end()).min(log.end());
        let begin = self.listed.next.max(first);
        let budget = if of.filter.is_empty() {
            WITHOUT_SEARCH
        } else {
            WITH_SEARCH
        };
        let stop = end.min(begin.saturating_add(budget));
        for number in begin..stop {
            let (Some(record), Some(summary)) = (log.get(number), log.summary(number)) else {
                continue;
            };
            if of.takes(record, summary) {
                self.listed.selection.add(number, summary, record);
            } else {
                self.listed.elsewhere += 1;
            }
        }
        self.listed.next = stop.max(self.listed.next);
        stop < end
    }

    /// Begins the list anew. A filter that cannot be understood yet leaves the one before in force, so
    /// that the list does not jump while a filter is typed.
    fn start(&mut self, of: Wish, first: u64) {
        match Query::parse(&of.filter) {
            Ok(query) => {
                self.listed = Listed {
                    next: first,
                    selection: Selection::new(query, of.noise),
                    ..Listed::default()
                };
                self.reveal = true;
            }
            Err(wrong) => self.listed.wrong = Some(wrong),
        }
        self.listed.of = Some(of);
    }

    pub(super) fn shown(&self) -> &VecDeque<u64> {
        self.listed.selection.shown()
    }
}

impl Wish {
    fn takes(&self, record: &TraceRecord, summary: &Summary) -> bool {
        self.tenant.as_ref().is_none_or(|t| *t == record.tenant)
            && self
                .account
                .as_ref()
                .is_none_or(|a| record.account.as_ref() == Some(a))
            && self
                .call
                .as_ref()
                .is_none_or(|c| summary.call_id.as_deref() == Some(c))
    }
}
