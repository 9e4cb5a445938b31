//! Which records a list shows, kept up to date as records come.

use std::collections::{HashSet, VecDeque};

use model::{TenantId, TraceRecord};

use super::Query;
use crate::summary::{Kind, Noise, Summary, summary};

/// Summaries of records by their number in a log, each made when it is first asked for.
#[derive(Debug, Default)]
pub struct Index {
    first: u64,
    rows: VecDeque<Option<Box<Summary>>>,
}

impl Index {
    /// The summary of the record with this number. Numbers are those of the log that holds the records:
    /// without gaps, rising.
    pub fn summary(&mut self, number: u64, record: &TraceRecord) -> &Summary {
        if number < self.first || self.rows.is_empty() {
            self.clear(number);
        }
        let at = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        if at.saturating_sub(self.rows.len()) > MOST_AHEAD {
            // Asked for far ahead: what lies between was dropped from the log.
            self.clear(number);
        }
        let at = usize::try_from(number - self.first).unwrap_or(0);
        while self.rows.len() <= at {
            self.rows.push_back(None);
        }
        let row = &mut self.rows[at];
        row.get_or_insert_with(|| Box::new(summary(record)))
    }

    /// How many records it spans.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it spans none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Lets go of summaries of records that left the log.
    pub fn forget_before(&mut self, number: u64) {
        while self.first < number && self.rows.pop_front().is_some() {
            self.first += 1;
        }
        self.first = self.first.max(number);
    }

    /// Lets go of everything; numbers go on from here.
    pub fn clear(&mut self, first: u64) {
        self.rows.clear();
        self.first = first;
    }
}

/// The records that a list shows: those that match, without the noise unless it is wanted. Fed with
/// each record once, so that a list of a million costs nothing when one is added.
#[derive(Debug, Default)]
pub struct Selection {
    query: Query,
    with_noise: bool,
    shown: VecDeque<u64>,
    noise: usize,
    filtered: usize,
    /// Registrations that stand: what is sent on is a refresh. By tenant and Call-ID.
    registered: HashSet<(TenantId, Box<str>)>,
}

impl Selection {
    /// An empty selection.
    pub fn new(query: Query, with_noise: bool) -> Self {
        Self {
            query,
            with_noise,
            ..Self::default()
        }
    }

    /// Takes the next record into account.
    pub fn add(&mut self, number: u64, summary: &Summary, record: &TraceRecord) {
        let is_noise = self.is_noise(summary);
        if !self.query.matches(summary, record) {
            self.filtered += 1;
        } else if is_noise && !self.with_noise {
            self.noise += 1;
        } else {
            self.shown.push_back(number);
        }
    }

    /// Numbers of the records to show, rising.
    pub fn shown(&self) -> &VecDeque<u64> {
        &self.shown
    }

    /// How many match and are hidden as noise.
    pub fn hidden_noise(&self) -> usize {
        self.noise
    }

    /// How many do not match.
    pub fn hidden_by_filter(&self) -> usize {
        self.filtered
    }

    /// Lets go of records that left the log.
    pub fn forget_before(&mut self, number: u64) {
        while self.shown.front().is_some_and(|first| *first < number) {
            self.shown.pop_front();
        }
    }

    /// OPTIONS and keep-alives always are; a REGISTER once its registration stands.
    fn is_noise(&mut self, summary: &Summary) -> bool {
        if summary.noise != Some(Noise::Register) {
            // A registration that failed, or ended, is interesting until it stands again.
            if summary.method.as_deref() == Some("REGISTER")
                && let Some(key) = key(summary)
            {
                self.registered.remove(&key);
            }
            return summary.noise.is_some();
        }
        let Some(key) = key(summary) else {
            return false;
        };
        let stands = self.registered.contains(&key);
        if matches!(summary.kind, Kind::Response { code: 200..300, .. })
            && self.registered.len() < MOST_REGISTRATIONS
        {
            self.registered.insert(key);
        }
        stands
    }
}

fn key(summary: &Summary) -> Option<(TenantId, Box<str>)> {
    Some((summary.tenant.clone(), summary.call_id.clone()?))
}

const MOST_AHEAD: usize = 1_000_000;
const MOST_REGISTRATIONS: usize = 10_000;
