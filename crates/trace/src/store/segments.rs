//! The segment files of one tenant.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use model::{TenantId, Timestamp, TraceRecord};

use super::{RecorderLimits, format};

/// All segments, oldest first; the last may be open.
pub(super) struct Segments {
    dir: PathBuf,
    closed: Vec<Segment>,
    open: Option<Open>,
    next_number: u64,
}

struct Segment {
    path: PathBuf,
    bytes: u64,
    newest: Timestamp,
}

struct Open {
    segment: Segment,
    file: File,
    buffer: Vec<u8>,
}

impl Segments {
    /// Makes the folder and finds what is in it.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
        Self::look(dir)
    }

    /// Finds what is in the folder; a folder that is not there is empty.
    pub(super) fn look(dir: &Path) -> io::Result<Self> {
        let mut numbered = Vec::new();
        match fs::read_dir(dir) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry?;
                    let path = entry.path();
                    let Some(number) = number_of(&path) else {
                        continue;
                    };
                    // One that vanished meanwhile was deleted for its age.
                    let Ok(meta) = entry.metadata() else { continue };
                    let newest = meta.modified().unwrap_or(UNIX_EPOCH);
                    numbered.push((
                        number,
                        Segment {
                            path,
                            bytes: meta.len(),
                            newest: Timestamp::from_system(newest.max(SystemTime::UNIX_EPOCH)),
                        },
                    ));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        numbered.sort_by_key(|(number, _)| *number);
        let next_number = numbered
            .last()
            .map_or(1, |(number, _)| number.saturating_add(1));
        Ok(Self {
            dir: dir.to_owned(),
            closed: numbered.into_iter().map(|(_, segment)| segment).collect(),
            open: None,
            next_number,
        })
    }

    /// The newest records, oldest first: whole segments until so many bytes are read.
    pub(super) fn read_newest(&self, tenant: &TenantId, most_bytes: u64) -> Vec<TraceRecord> {
        let mut parts: Vec<_> = self.newest_parts(tenant, most_bytes).collect();
        parts.reverse();
        parts.into_iter().flatten().collect()
    }

    /// The newest records that are wanted, so many at most, oldest first. Older segments are not read
    /// once there are enough.
    pub(super) fn read_wanted(
        &self,
        tenant: &TenantId,
        most_bytes: u64,
        most: usize,
        wanted: impl FnMut(&TraceRecord) -> bool,
    ) -> Vec<TraceRecord> {
        let newest_first = self
            .newest_parts(tenant, most_bytes)
            .flat_map(|part| part.into_iter().rev());
        let mut records: Vec<_> = newest_first.filter(wanted).take(most).collect();
        records.reverse();
        records
    }

    /// What each segment holds, the newest segment first, until so many bytes are read.
    fn newest_parts(
        &self,
        tenant: &TenantId,
        most_bytes: u64,
    ) -> impl Iterator<Item = Vec<TraceRecord>> {
        let mut read = 0_u64;
        let recent = self.closed.iter().rev().take_while(move |segment| {
            let fits = read < most_bytes;
            read = read.saturating_add(segment.bytes);
            fits
        });
        recent.map(|segment| {
            let mut bytes = Vec::new();
            // What cannot be read is as good as not recorded; the rest is still worth having.
            let file = File::open(&segment.path);
            let whole = file.and_then(|file| file.take(SEGMENT_LIMIT).read_to_end(&mut bytes));
            whole.map_or_else(|_| Vec::new(), |_| format::read(&bytes, tenant))
        })
    }

    /// Puts a record into the buffer of the open segment, and begins a new one when that is full.
    pub(super) fn append(
        &mut self,
        record: &TraceRecord,
        limits: &RecorderLimits,
    ) -> io::Result<()> {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.segment.bytes >= limits.segment_bytes)
        {
            self.flush()?;
            self.closed
                .extend(self.open.take().map(|open| open.segment));
        }
        if self.open.is_none() {
            self.drop_oldest(record.time, limits);
            self.open = Some(self.begin()?);
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let before = open.buffer.len();
        format::write(&mut open.buffer, record);
        open.segment.bytes += (open.buffer.len() - before) as u64;
        open.segment.newest = record.time;
        if open.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open
            && !open.buffer.is_empty()
        {
            open.file.write_all(&open.buffer)?;
            open.buffer.clear();
        }
        Ok(())
    }

    /// Stands another file under the open segment.
    #[cfg(test)]
    pub(super) fn replace_open_file(&mut self, path: &str) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        self.open.as_mut().unwrap().file = file;
    }

    fn begin(&mut self) -> io::Result<Open> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut tries = 0;
        let (path, file) = loop {
            let path = self.dir.join(format!("{:08}.trace", self.next_number));
            self.next_number = self.next_number.saturating_add(1);
            match options.open(&path) {
                Ok(file) => break (path, file),
                // Another program records here too and was faster: several commands may run at once.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < OTHERS => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        };
        Ok(Open {
            segment: Segment {
                path,
                bytes: format::MAGIC.len() as u64,
                newest: Timestamp(0),
            },
            file,
            buffer: format::MAGIC.to_vec(),
        })
    }

    /// Deletes segments, oldest first, until a new one fits and none is too old.
    fn drop_oldest(&mut self, now: Timestamp, limits: &RecorderLimits) {
        let room = limits.disk_bytes.saturating_sub(limits.segment_bytes);
        let mut total: u64 = self.closed.iter().map(|segment| segment.bytes).sum();
        let mut dropped = 0;
        for segment in &self.closed {
            let too_many = self.closed.len() - dropped >= MOST_SEGMENTS;
            let too_old = now.since(segment.newest) > limits.age;
            if total <= room && !too_old && !too_many {
                break;
            }
            total = total.saturating_sub(segment.bytes);
            dropped += 1;
            // One that cannot be deleted is not counted again, or it would end the recording.
            let _ = fs::remove_file(&segment.path);
        }
        self.closed.drain(..dropped);
    }
}

fn number_of(path: &Path) -> Option<u64> {
    if path.extension()? != "trace" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

const BUFFER: usize = 64 << 10;

/// Each run begins a segment: short runs make many small ones.
const MOST_SEGMENTS: usize = 512;

/// Segments that others may have begun since we looked.
const OTHERS: usize = 1000;

/// No file of ours is longer; one that is was not written by us.
const SEGMENT_LIMIT: u64 = 64 << 20;
