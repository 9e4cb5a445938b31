//! The recorder: a ring in memory and segment files behind it. The only module that touches files.
//!
//! Each tenant has a folder of segments, `00000001.trace` and so on, that are only ever appended to and
//! deleted whole, oldest first. Records carry a checksum: after a crash the torn one at the end is left
//! out and everything before it is there. A new run begins a new segment.
//!
//! There is no clock here. Age is counted from the newest record.

mod format;
mod segments;
mod tapes;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{AccountId, CallId, TenantId, Timestamp, TraceBody, TraceRecord};

use segments::Segments;
pub use tapes::{Tapes, read_tape};

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderLimits {
    /// Bytes in memory.
    pub memory_bytes: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes of one segment, about.
    pub segment_bytes: u64,
    /// Records older than this against the newest are let go.
    pub age: Duration,
}

impl Default for RecorderLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            disk_bytes: 256 << 20,
            segment_bytes: 4 << 20,
            age: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Records what happens to one tenant.
pub struct Recorder {
    tenant: TenantId,
    limits: RecorderLimits,
    ring: VecDeque<TraceRecord>,
    ring_bytes: usize,
    next_id: u64,
    segments: Option<Segments>,
    trouble: Option<String>,
}

impl Recorder {
    /// Opens the records of a tenant in a folder that several tenants may share, or records in memory
    /// only. Never fails: a folder that cannot be used is told by [`Recorder::take_trouble`].
    pub fn open(tenant: TenantId, dir: Option<&Path>) -> Self {
        Self::open_with(tenant, dir, RecorderLimits::default())
    }

    /// The same with other limits.
    pub fn open_with(tenant: TenantId, dir: Option<&Path>, limits: RecorderLimits) -> Self {
        let mut recorder = Self {
            tenant,
            limits,
            ring: VecDeque::new(),
            ring_bytes: 0,
            next_id: 1,
            segments: None,
            trouble: None,
        };
        let Some(dir) = dir else { return recorder };
        match Segments::open(&tenant_dir(dir, &recorder.tenant)) {
            Ok(segments) => {
                recorder.load(&segments);
                recorder.segments = Some(segments);
            }
            Err(error) => recorder.trouble = Some(sentence(&error)),
        }
        recorder
    }

    /// Records one thing and gives it back with its number. The file is written later, see
    /// [`Recorder::flush`].
    pub fn record(
        &mut self,
        time: Timestamp,
        account: Option<AccountId>,
        call: Option<CallId>,
        body: TraceBody,
    ) -> TraceRecord {
        let record = TraceRecord {
            id: self.next_id,
            time,
            tenant: self.tenant.clone(),
            account,
            call,
            body,
        };
        self.next_id = self.next_id.saturating_add(1);
        if let Some(segments) = &mut self.segments
            && let Err(error) = segments.append(&record, &self.limits)
        {
            self.disk_failed(&error);
        }
        self.keep(record.clone());
        record
    }

    /// Writes what was recorded since the last time to the file. Not forced to the disk: a crash of the
    /// program loses nothing, a power cut at most the last seconds.
    pub fn flush(&mut self) {
        if let Some(segments) = &mut self.segments
            && let Err(error) = segments.flush()
        {
            self.disk_failed(&error);
        }
    }

    /// The newest records in memory, oldest first.
    pub fn newest(&self, most: usize) -> Vec<TraceRecord> {
        let skipped = self.ring.len().saturating_sub(most);
        self.ring.iter().skip(skipped).cloned().collect()
    }

    /// All records in memory, oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &TraceRecord> + ExactSizeIterator {
        self.ring.iter()
    }

    /// A record by its number, while it is in memory.
    pub fn get(&self, id: u64) -> Option<&TraceRecord> {
        let at = self
            .ring
            .binary_search_by_key(&id, |record| record.id)
            .ok()?;
        self.ring.get(at)
    }

    /// Bytes in memory, as the limit counts them.
    pub fn memory_bytes(&self) -> usize {
        self.ring_bytes
    }

    /// What went wrong with the disk, once: recording goes on in memory.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    fn load(&mut self, segments: &Segments) {
        for record in segments.read_newest(&self.tenant, self.limits.memory_bytes as u64) {
            self.next_id = self.next_id.max(record.id.saturating_add(1));
            // Numbers rise in a file that is whole; one that falls back would break the search.
            if self.ring.back().is_none_or(|last| last.id < record.id) {
                self.keep(record);
            }
        }
    }

    fn keep(&mut self, record: TraceRecord) {
        let newest = record.time;
        self.ring_bytes = self.ring_bytes.saturating_add(weight(&record));
        self.ring.push_back(record);
        while let Some(oldest) = self.ring.front() {
            let too_old = newest.since(oldest.time) > self.limits.age;
            if self.ring_bytes <= self.limits.memory_bytes && !too_old {
                break;
            }
            self.ring_bytes = self.ring_bytes.saturating_sub(weight(oldest));
            self.ring.pop_front();
        }
    }

    fn disk_failed(&mut self, error: &std::io::Error) {
        self.segments = None;
        self.trouble = Some(sentence(error));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Reads a tenant's stored records without opening them for writing, oldest first, at most about so
/// many bytes of the newest. For looking at the records of a program that may be running.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn read_stored(
    dir: &Path,
    tenant: &TenantId,
    most_bytes: u64,
) -> std::io::Result<Vec<TraceRecord>> {
    Segments::look(&tenant_dir(dir, tenant))
        .map(|segments| segments.read_newest(tenant, most_bytes))
}

/// Reads the newest of a tenant's stored records that are wanted, so many at most, oldest first. Goes
/// back no further than it has to, and at most about so many bytes.
///
/// # Errors
/// As [`read_stored`].
pub fn read_wanted(
    dir: &Path,
    tenant: &TenantId,
    most_bytes: u64,
    most: usize,
    wanted: impl FnMut(&TraceRecord) -> bool,
) -> std::io::Result<Vec<TraceRecord>> {
    Segments::look(&tenant_dir(dir, tenant))
        .map(|segments| segments.read_wanted(tenant, most_bytes, most, wanted))
}

/// Tenants that have records in this folder.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn stored_tenants(dir: &Path) -> std::io::Result<Vec<TenantId>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut tenants: Vec<TenantId> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| folder_tenant(entry.file_name().to_str()?))
        .collect();
    tenants.sort();
    Ok(tenants)
}

/// Deletes a tenant's stored records, as removing a tenant asks.
///
/// # Errors
/// When something could not be deleted.
pub fn forget(dir: &Path, tenant: &TenantId) -> std::io::Result<()> {
    match std::fs::remove_dir_all(tenant_dir(dir, tenant)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn tenant_dir(dir: &Path, tenant: &TenantId) -> PathBuf {
    dir.join(tenant_folder(tenant))
}

/// The id as a folder's name. Ids that we make stand as they are; anything else in one is written as
/// its bytes, so that no id leads out of the folder or into another tenant's.
fn tenant_folder(tenant: &TenantId) -> String {
    let mut name = String::from("t-");
    for byte in tenant.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("_{byte:02x}")),
        }
    }
    name
}

fn folder_tenant(name: &str) -> Option<TenantId> {
    let mut rest = name.strip_prefix("t-")?.as_bytes();
    let mut id = Vec::new();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'_' {
            let (digits, tail) = rest.split_at_checked(2)?;
            id.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            id.push(*first);
        }
    }
    String::from_utf8(id).ok().map(TenantId::new)
}

/// What a record takes in memory, about.
fn weight(record: &TraceRecord) -> usize {
    let body = match &record.body {
        TraceBody::Sip {
            local, peer, bytes, ..
        } => local.len() + peer.len() + bytes.len(),
        TraceBody::Note {
            topic,
            text,
            sip_call_id,
        } => topic.len() + text.reveal().len() + sip_call_id.as_ref().map_or(0, String::len),
    };
    std::mem::size_of::<TraceRecord>() + body
}

fn sentence(error: &std::io::Error) -> String {
    let why = model::system_words(error);
    format!(
        "The trace cannot be written to the disk: {why}. It is kept in memory until Tipring ends."
    )
}

#[cfg(test)]
mod tests;
