//! The newest part of what was recorded, held ready for the list.

use std::collections::VecDeque;

use model::{TenantId, TraceBody, TraceRecord};
use trace::{Summary, summary};

/// Most records that are kept here; the recorder keeps the rest.
pub const TRACE_RECORDS: usize = 100_000;
/// Most bytes of messages and notes that are kept here: large ones leave sooner.
pub const TRACE_BYTES: usize = 64 << 20;

/// Records in the order in which they came. Each has a number that stays the same while older ones
/// leave.
#[derive(Default)]
pub struct TraceLog {
    entries: VecDeque<Entry>,
    first: u64,
    generation: u64,
    bytes: usize,
    has_older: bool,
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

    /// Whether some had to leave for newer ones: the recorder still has them.
    pub fn has_older(&self) -> bool {
        self.has_older
    }

    pub(crate) fn extend(&mut self, records: impl IntoIterator<Item = TraceRecord>) {
        for record in records {
            self.bytes = self.bytes.saturating_add(bytes_of(&record));
            self.entries.push_back(Entry {
                summary: summary(&record),
                record,
            });
            while self.entries.len() > TRACE_RECORDS || self.bytes > TRACE_BYTES {
                let Some(oldest) = self.entries.pop_front() else {
                    break;
                };
                self.bytes = self.bytes.saturating_sub(bytes_of(&oldest.record));
                self.first += 1;
                self.has_older = true;
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.first = self.end();
        self.entries.clear();
        self.generation += 1;
        self.bytes = 0;
        self.has_older = false;
    }

    pub(crate) fn forget_tenant(&mut self, tenant: &TenantId) {
        let end = self.end();
        self.entries.retain(|e| e.record.tenant != *tenant);
        self.first = end;
        self.generation += 1;
        self.bytes = self.entries.iter().map(|e| bytes_of(&e.record)).sum();
    }
}

/// What of a record has no fixed size.
fn bytes_of(record: &TraceRecord) -> usize {
    match &record.body {
        TraceBody::Sip { bytes, .. } => bytes.len(),
        TraceBody::Note { text, .. } => text.len(),
    }
}
