//! The call history: an SQLite database that one thread owns.
//!
//! The writer takes work from a bounded queue and puts what has gathered there into one transaction.
//! Questions go through the same queue, so whoever adds and then asks sees what was added. A database
//! that is damaged is moved aside; a disk that is full moves the history into memory. Both are said in
//! a sentence and neither loses what can still be read.

mod database;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use model::{AccountId, HistoryEntry, Outcome, QualityTrend, TenantId};

use database::Database;

/// What to look for. Everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Only this tenant's calls.
    pub tenant: Option<TenantId>,
    /// Only this account's calls.
    pub account: Option<AccountId>,
    /// Only calls whose far end has this text in its name or address, upper and lower case alike.
    pub party: Option<String>,
    /// Only calls filed like this.
    pub outcome: Option<Outcome>,
    /// At most so many lines; 0 means [`HistoryFilter::MOST`].
    pub limit: usize,
    /// Lines to pass over first, for paging.
    pub offset: usize,
}

impl HistoryFilter {
    /// More lines than this are never given at once.
    pub const MOST: usize = 10_000;
}

/// Why the history did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// More calls end than can be filed; this one is not filed.
    #[error("the history cannot keep up; this call was not filed")]
    Full,
    /// The writer has ended.
    #[error("the history has ended")]
    Ended,
    /// The database says no.
    #[error("the history could not be read: {0}")]
    Database(String),
}

/// The history. Cheap to clone; the last one dropped writes what is queued and ends the thread.
#[derive(Clone)]
pub struct History {
    shared: Arc<Shared>,
}

struct Shared {
    work: Option<SyncSender<Work>>,
    next_id: AtomicI64,
    trouble: Arc<Mutex<Option<String>>>,
    writer: Option<JoinHandle<()>>,
}

/// A call and how it sounded.
struct Filed {
    entry: HistoryEntry,
    trend: QualityTrend,
}

enum Work {
    Add(Box<Filed>),
    Clear(TenantId),
    Query(
        HistoryFilter,
        SyncSender<Result<Vec<HistoryEntry>, HistoryError>>,
    ),
    Trend(i64, SyncSender<Result<QualityTrend, HistoryError>>),
    Flush(SyncSender<()>),
}

impl History {
    /// Opens the database, or makes it. Never fails: what cannot be opened is moved aside or left
    /// alone, the history goes on empty or in memory, and [`History::trouble`] says so.
    pub fn open(path: &Path) -> Self {
        let (database, trouble) = Database::open(path);
        Self::start(database, trouble)
    }

    /// A history that is gone when the program ends, for demonstrations.
    pub fn in_memory() -> Self {
        let (database, trouble) = Database::in_memory();
        Self::start(database, trouble)
    }

    fn start(database: Database, trouble: Option<String>) -> Self {
        let next_id = AtomicI64::new(database.last_id().saturating_add(1));
        let trouble = Arc::new(Mutex::new(trouble));
        let (work, queue) = mpsc::sync_channel(QUEUE);
        let said = Arc::clone(&trouble);
        let writer = thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || run(database, &queue, &said));
        let (work, writer) = match writer {
            Ok(writer) => (Some(work), Some(writer)),
            Err(error) => {
                set(
                    &trouble,
                    format!("The history does not work in this session: {error}."),
                );
                (None, None)
            }
        };
        Self {
            shared: Arc::new(Shared {
                work,
                next_id,
                trouble,
                writer,
            }),
        }
    }

    /// Files a call and how it sounded, and gives it back with its row number. Does not wait.
    ///
    /// # Errors
    /// [`HistoryError::Full`] when the queue is full, [`HistoryError::Ended`] when the writer is gone.
    pub fn add(
        &self,
        mut entry: HistoryEntry,
        trend: QualityTrend,
    ) -> Result<HistoryEntry, HistoryError> {
        entry.id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let work = self.shared.work.as_ref().ok_or(HistoryError::Ended)?;
        let filed = Filed {
            entry: entry.clone(),
            trend,
        };
        match work.try_send(Work::Add(Box::new(filed))) {
            Ok(()) => Ok(entry),
            Err(TrySendError::Full(_)) => Err(HistoryError::Full),
            Err(TrySendError::Disconnected(_)) => Err(HistoryError::Ended),
        }
    }

    /// Lines that match, newest first. Waits for the writer: belongs on a blocking thread.
    ///
    /// # Errors
    /// [`HistoryError`] when the writer is gone or the database cannot be read.
    pub fn query(&self, filter: HistoryFilter) -> Result<Vec<HistoryEntry>, HistoryError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.send(Work::Query(filter, answer))?;
        answered.recv().map_err(|_| HistoryError::Ended)?
    }

    /// How a call sounded, step by step; empty where nothing is kept. Waits for the writer: belongs on
    /// a blocking thread.
    ///
    /// # Errors
    /// [`HistoryError`] when the writer is gone or the database cannot be read.
    pub fn trend(&self, call: i64) -> Result<QualityTrend, HistoryError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.send(Work::Trend(call, answer))?;
        answered.recv().map_err(|_| HistoryError::Ended)?
    }

    /// Forgets the calls of a tenant. Waits while the queue is full.
    ///
    /// # Errors
    /// [`HistoryError::Ended`] when the writer is gone.
    pub fn clear(&self, tenant: &TenantId) -> Result<(), HistoryError> {
        self.send(Work::Clear(tenant.clone()))
    }

    /// Waits until everything queued before is in the database.
    ///
    /// # Errors
    /// [`HistoryError::Ended`] when the writer is gone.
    pub fn flush(&self) -> Result<(), HistoryError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.send(Work::Flush(answer))?;
        answered.recv().map_err(|_| HistoryError::Ended)
    }

    /// What a person should know: a database moved aside, a full disk. The newest, if any.
    pub fn trouble(&self) -> Option<String> {
        self.shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn send(&self, work: Work) -> Result<(), HistoryError> {
        let queue = self.shared.work.as_ref().ok_or(HistoryError::Ended)?;
        queue.send(work).map_err(|_| HistoryError::Ended)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Closing the queue is what ends the writer; it empties the queue first.
        self.work = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("History")
    }
}

/// The writer: one piece of work, or a batch of calls that wait anyway.
fn run(mut database: Database, queue: &Receiver<Work>, trouble: &Mutex<Option<String>>) {
    let mut waiting = None;
    while let Some(work) = waiting.take().or_else(|| queue.recv().ok()) {
        match work {
            Work::Add(filed) => {
                let mut batch = vec![*filed];
                while batch.len() < BATCH {
                    match queue.try_recv() {
                        Ok(Work::Add(filed)) => batch.push(*filed),
                        Ok(other) => {
                            waiting = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                if let Some(sentence) = database.add(&batch) {
                    set(trouble, sentence);
                }
            }
            Work::Clear(tenant) => {
                if let Some(sentence) = database.clear(&tenant) {
                    set(trouble, sentence);
                }
            }
            // Whoever asked may have gone; that is no fault of ours.
            Work::Query(filter, answer) => {
                let _ = answer.send(database.query(&filter));
            }
            Work::Trend(call, answer) => {
                let _ = answer.send(database.trend(call));
            }
            Work::Flush(answer) => {
                let _ = answer.send(());
            }
        }
    }
}

fn set(trouble: &Mutex<Option<String>>, sentence: String) {
    tracing::warn!(target: "history", "{sentence}");
    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(sentence);
}

/// Side files that SQLite keeps beside a database in WAL mode.
fn side_files(path: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

const QUEUE: usize = 1024;
const BATCH: usize = 256;

#[cfg(test)]
mod tests;
