//! The newest part of what was recorded, held ready for the list.

use std::collections::VecDeque;

use model::{TenantId, TraceRecord};
use trace::{Summary, summary};

/// Most records that are kept here; the recorder keeps the rest.
pub const TRACE_RECORDS: usize = 100_000;

/// Records in the order in which they came. Each has a number that stays the same while older ones
/// leave.
#[derive(Default)]
pub struct TraceLog {
    entries: VecDeque<Entry>,
    first: u64,
    generation: u64,
}

/// A record and what lists show of it, read once.
struct Entry {
    record: TraceRecord,
    summary: Summary,
}

impl TraceLog {
    /// Number of the oldest record that is kept.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Number that the next record will have.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// How many records are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get(index)
    }

    /// The record with this number, while it is kept.
    pub fn get(&self, number: u64) -> Option<&TraceRecord> {
        self.entry(number).map(|e| &e.record)
    }

    /// What a list shows of it.
    pub fn summary(&self, number: u64) -> Option<&Summary> {
        self.entry(number).map(|e| &e.summary)
    }

    /// Counts up when records were taken out of the middle: what was computed from numbers is void.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn extend(&mut self, records: impl IntoIterator<Item = TraceRecord>) {
        self.entries.extend(records.into_iter().map(|record| Entry {
            summary: summary(&record),
            record,
        }));
        let surplus = self.entries.len().saturating_sub(TRACE_RECORDS);
        self.entries.drain(..surplus);
        self.first += surplus as u64;
    }

    pub(crate) fn clear(&mut self) {
        self.first = self.end();
        self.entries.clear();
        self.generation += 1;
    }

    pub(crate) fn forget_tenant(&mut self, tenant: &TenantId) {
        let end = self.end();
        self.entries.retain(|e| e.record.tenant != *tenant);
        self.first = end;
        self.generation += 1;
    }
}
