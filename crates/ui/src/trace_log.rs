//! The newest part of what was recorded, held ready for the list.

use std::collections::VecDeque;

use model::{TenantId, Timestamp, TraceBody, TraceRecord};
use trace::{Summary, summary};

/// Most records that are kept here; the recorder keeps the rest.
pub const TRACE_RECORDS: usize = 100_000;
/// Most bytes of messages and notes that are kept here: large ones leave sooner.
pub const TRACE_BYTES: usize = 64 << 20;

/// Records in the order in which things happened. Each has a number that stays the same while older ones
/// leave.
///
/// Each organisation's recorder tells in batches of its own, so that what comes later may have happened
/// earlier. With several organisations a record therefore waits a moment until whatever
/// was before it must have come.
#[derive(Default)]
pub struct TraceLog {
    entries: VecDeque<Entry>,
    /// What waits for its place, in order of time.
    fresh: Vec<TraceRecord>,
    first: u64,
    generation: u64,
    bytes: usize,
    has_older: bool,
}

/// How long a record waits for those of other organisations, in microseconds: a few batches of a recorder.
pub(crate) const SETTLING: i64 = 300_000;
/// Most records that wait: in a flood the order of some matters less than its end.
const FRESH: usize = 10_000;

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

    /// Takes in what was recorded; `several` says whether there is more than one organisation.
    pub(crate) fn extend(&mut self, records: impl IntoIterator<Item = TraceRecord>, several: bool) {
        if !several && self.fresh.is_empty() {
            return records.into_iter().for_each(|record| self.push(record));
        }
        self.fresh.extend(records);
        // Stable: what happened in the same microsecond stays as it came.
        self.fresh.sort_by_key(|record| record.time);
        if let Some(newest) = self.fresh.last().map(|record| record.time) {
            self.settle(newest);
        }
        let surplus = self.fresh.len().saturating_sub(FRESH);
        self.take_fresh(surplus);
    }

    /// Gives a place to what has waited long enough at `now`.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        let over = |record: &TraceRecord| record.time.0.saturating_add(SETTLING) <= now.0;
        let settled = self.fresh.partition_point(over);
        self.take_fresh(settled);
    }

    /// Whether something waits for its place.
    pub(crate) fn is_settling(&self) -> bool {
        !self.fresh.is_empty()
    }

    fn take_fresh(&mut self, count: usize) {
        let settled: Vec<TraceRecord> = self.fresh.drain(..count).collect();
        settled.into_iter().for_each(|record| self.push(record));
    }

    /// Takes in a whole snapshot, of which nothing is missing.
    pub(crate) fn replace(&mut self, mut records: Vec<TraceRecord>) {
        self.clear();
        records.sort_by_key(|record| record.time);
        records.into_iter().for_each(|record| self.push(record));
    }

    fn push(&mut self, record: TraceRecord) {
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

    fn clear(&mut self) {
        self.fresh.clear();
        self.first = self.end();
        self.entries.clear();
        self.generation += 1;
        self.bytes = 0;
        self.has_older = false;
    }

    pub(crate) fn forget_tenant(&mut self, tenant: &TenantId) {
        let end = self.end();
        self.entries.retain(|e| e.record.tenant != *tenant);
        self.fresh.retain(|record| record.tenant != *tenant);
        self.first = end;
        self.generation += 1;
        self.bytes = self.entries.iter().map(|e| bytes_of(&e.record)).sum();
    }
}

/// What of a record has no fixed size.
fn bytes_of(record: &TraceRecord) -> usize {
    match &record.body {
        TraceBody::Sip { bytes, .. } => bytes.len(),
        TraceBody::Note { text, .. } => text.reveal().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tenant: &str, id: u64, at_ms: i64) -> TraceRecord {
        TraceRecord {
            id,
            time: Timestamp(at_ms * 1_000),
            tenant: TenantId::new(tenant),
            account: None,
            call: None,
            body: TraceBody::Note {
                topic: "test".to_owned(),
                text: String::new().into(),
                sip_call_id: None,
            },
        }
    }

    fn listed(log: &TraceLog) -> Vec<(String, i64)> {
        (log.first()..log.end())
            .filter_map(|n| log.get(n))
            .map(|r| (r.tenant.to_string(), r.time.0 / 1_000))
            .collect()
    }

    #[test]
    fn what_several_organisations_recorded_stands_in_the_order_of_time() {
        let mut log = TraceLog::default();
        log.extend([record("a", 1, 1_000), record("a", 2, 1_080)], true);
        assert!(log.is_empty() && log.is_settling());
        log.extend([record("b", 1, 1_020), record("b", 2, 1_090)], true);
        log.extend([record("a", 3, 1_085)], true);
        log.settle(Timestamp(1_300_000));
        let early = [("a", 1_000)].map(|(t, at)| (t.to_owned(), at));
        assert_eq!(listed(&log), early);
        log.settle(Timestamp(1_400_000));
        let all = [
            ("a", 1_000),
            ("b", 1_020),
            ("a", 1_080),
            ("a", 1_085),
            ("b", 1_090),
        ];
        assert_eq!(listed(&log), all.map(|(t, at)| (t.to_owned(), at)));
        assert!(!log.is_settling());
    }

    #[test]
    fn a_stream_of_records_settles_by_itself_and_one_organisation_waits_for_nobody() {
        let mut log = TraceLog::default();
        log.extend([record("a", 1, 1_000)], true);
        log.extend([record("b", 1, 1_600)], true);
        assert_eq!(log.len(), 1);
        let mut alone = TraceLog::default();
        alone.extend([record("a", 1, 1_000)], false);
        assert_eq!(alone.len(), 1);
        // Beyond a bound nothing waits.
        let flood = (0..FRESH as u64 + 5).map(|id| record("c", id, 1_601));
        log.extend(flood, true);
        assert_eq!(log.len(), 1 + 1 + 5);
    }
}
