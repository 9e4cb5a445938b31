//! The newest part of what was recorded, held ready for the list.

use std::collections::VecDeque;

use model::{TenantId, TraceRecord};

/// Most records that are kept here; the recorder keeps the rest.
pub const TRACE_RECORDS: usize = 100_000;

/// Records in the order in which they came. Each has a number that stays the same while older ones
/// leave.
#[derive(Default)]
pub struct TraceLog {
    records: VecDeque<TraceRecord>,
    first: u64,
    generation: u64,
}

impl TraceLog {
    /// Number of the oldest record that is kept.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Number that the next record will have.
    pub fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// How many records are kept.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record with this number, while it is kept.
    pub fn get(&self, number: u64) -> Option<&TraceRecord> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.records.get(index)
    }

    /// Counts up when records were taken out of the middle: what was computed from numbers is void.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn extend(&mut self, records: impl IntoIterator<Item = TraceRecord>) {
        self.records.extend(records);
        let surplus = self.records.len().saturating_sub(TRACE_RECORDS);
        self.records.drain(..surplus);
        self.first += surplus as u64;
    }

    pub(crate) fn clear(&mut self) {
        self.first = self.end();
        self.records.clear();
        self.generation += 1;
    }

    pub(crate) fn forget_tenant(&mut self, tenant: &TenantId) {
        let end = self.end();
        self.records.retain(|r| r.tenant != *tenant);
        self.first = end;
        self.generation += 1;
    }
}
