//! The database itself: schema, rows, and what happens when the disk misbehaves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{AccountId, Direction, HistoryEntry, Outcome, Party, TenantId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params, params_from_iter};

use super::{HistoryError, HistoryFilter, side_files};
use crate::atomic;

/// The one connection. After a failure to write it is one in memory.
pub(super) struct Database {
    connection: Connection,
    path: Option<PathBuf>,
}

/// Why a file could not be opened.
enum Unusable {
    /// It is not a database, or not a whole one: moved aside.
    Damaged(String),
    /// A newer Tipring made it: left alone.
    Newer(i64),
    /// The disk or another program: left alone.
    Refused(String),
}

impl Database {
    pub(super) fn open(path: &Path) -> (Self, Option<String>) {
        match open_file(path) {
            Ok(connection) => (Self::of(connection, path), None),
            Err(Unusable::Damaged(why)) => match move_aside(path) {
                Some(aside) => {
                    let aside = aside.file_name().unwrap_or_default().to_string_lossy();
                    let sentence = format!(
                        "The call history was damaged ({why}). It is kept as {aside}, and a new one was begun."
                    );
                    match open_file(path) {
                        Ok(connection) => (Self::of(connection, path), Some(sentence)),
                        Err(_) => Self::memory(sentence),
                    }
                }
                None => Self::memory(format!(
                    "The call history is damaged ({why}) and could not be moved aside."
                )),
            },
            Err(Unusable::Newer(version)) => Self::memory(format!(
                "The call history was written by a newer Tipring (version {version}) and is left alone."
            )),
            Err(Unusable::Refused(why)) => {
                Self::memory(format!("The call history could not be opened: {why}."))
            }
        }
    }

    pub(super) fn in_memory() -> (Self, Option<String>) {
        let (database, _) = Self::memory(String::new());
        (database, None)
    }

    fn of(connection: Connection, path: &Path) -> Self {
        Self {
            connection,
            path: Some(path.to_owned()),
        }
    }

    fn memory(sentence: String) -> (Self, Option<String>) {
        let connection = memory().expect("SQLite opens a database in memory and makes our schema");
        let database = Self {
            connection,
            path: None,
        };
        (
            database,
            Some(format!("{sentence} New calls are kept until Tipring ends.")),
        )
    }

    /// The highest row number there is.
    pub(super) fn last_id(&self) -> i64 {
        self.connection
            .query_row("SELECT COALESCE(MAX(id), 0) FROM calls", [], |row| {
                row.get(0)
            })
            .unwrap_or(0)
    }

    /// Files calls in one transaction. On failure the history moves into memory with them; the answer
    /// is then a sentence.
    pub(super) fn add(&mut self, batch: &[HistoryEntry]) -> Option<String> {
        let error = insert(&mut self.connection, batch).err()?;
        let why = words(&error);
        if self.path.is_none() {
            return Some(format!("{} calls were not filed: {why}.", batch.len()));
        }
        let kept = self.move_to_memory();
        let lost = insert(&mut self.connection, batch).is_err();
        Some(match (kept, lost) {
            (true, false) => format!(
                "The call history cannot be written: {why}. New calls are kept until Tipring ends."
            ),
            (false, false) => format!(
                "The call history can be neither written nor read: {why}. New calls are kept until Tipring ends."
            ),
            (_, true) => format!("{} calls were not filed: {why}.", batch.len()),
        })
    }

    /// Forgets a tenant's calls.
    pub(super) fn clear(&mut self, tenant: &TenantId) -> Option<String> {
        let deleted = self
            .connection
            .execute("DELETE FROM calls WHERE tenant = ?1", [tenant.as_str()]);
        let error = deleted.err()?;
        Some(format!(
            "The call history could not be cleared: {}.",
            words(&error)
        ))
    }

    pub(super) fn query(&self, filter: &HistoryFilter) -> Result<Vec<HistoryEntry>, HistoryError> {
        select(&self.connection, filter).map_err(|error| HistoryError::Database(words(&error)))
    }

    /// Goes on in memory with the newest lines of the file. Whether they could be read.
    fn move_to_memory(&mut self) -> bool {
        let filter = HistoryFilter::default();
        let newest = select(&self.connection, &filter);
        let Ok(mut fresh) = memory() else {
            return false;
        };
        let kept = newest.is_ok_and(|lines| insert(&mut fresh, &lines).is_ok());
        self.connection = fresh;
        self.path = None;
        kept
    }

    /// Makes the disk full at the present size, as far as SQLite can tell.
    #[cfg(test)]
    pub(super) fn fill_disk(&self) {
        let pages: i64 = self
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        self.connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap();
    }
}

fn open_file(path: &Path) -> Result<Connection, Unusable> {
    if let Some(dir) = path.parent() {
        atomic::private_dir(dir).map_err(|e| Unusable::Refused(atomic::reason(&e)))?;
    }
    own_file(path).map_err(|e| Unusable::Refused(atomic::reason(&e)))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unusable)?;
    prepare(&connection, path)?;
    Ok(connection)
}

/// Makes the file for its owner alone before SQLite would make it for everybody.
fn own_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), Unusable> {
    connection
        .busy_timeout(Duration::from_secs(2))
        .map_err(unusable)?;
    // Reading the version is the first real look at the file: garbage is found out here.
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(unusable)?;
    if version > SCHEMA.len() as i64 {
        return Err(Unusable::Newer(version));
    }
    connection
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .map_err(unusable)?;
    connection
        .execute_batch("PRAGMA synchronous = NORMAL")
        .map_err(unusable)?;
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size <= CHECKED_WHOLE {
        let verdict: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(unusable)?;
        if verdict != "ok" {
            return Err(Unusable::Damaged(
                "its pages do not fit together".to_owned(),
            ));
        }
    }
    bring_up_to_date(connection, version).map_err(unusable)
}

fn memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    bring_up_to_date(&connection, 0)?;
    Ok(connection)
}

fn bring_up_to_date(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(version).unwrap_or(0);
    for (step, sql) in SCHEMA.iter().enumerate().skip(done) {
        connection.execute_batch(&format!(
            "BEGIN; {sql} PRAGMA user_version = {}; COMMIT;",
            step + 1
        ))?;
    }
    Ok(())
}

fn unusable(error: rusqlite::Error) -> Unusable {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Unusable::Damaged("it is no database".to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => Unusable::Damaged("its pages are torn".to_owned()),
        // A schema that is not ours cannot be worked with either.
        Some(ErrorCode::Unknown) => Unusable::Damaged("it has another shape".to_owned()),
        _ => Unusable::Refused(words(&error)),
    }
}

/// SQLite's verdict in words for a person; the statement is nobody's business.
fn words(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
        Some(ErrorCode::ReadOnly) => "the file is read-only".to_owned(),
        Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "the file may not be opened".to_owned()
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program uses it".to_owned()
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "it is damaged".to_owned(),
        Some(ErrorCode::SystemIoFailure) => "the disk failed".to_owned(),
        _ => error.to_string(),
    }
}

fn move_aside(path: &Path) -> Option<PathBuf> {
    let aside = atomic::free_name_beside(path, "broken")?;
    std::fs::rename(path, &aside).ok()?;
    // The side files belong to the damaged database and would spoil a new one.
    for (from, to) in side_files(path).iter().zip(side_files(&aside)) {
        let _ = std::fs::rename(from, to);
    }
    Some(aside)
}

fn insert(connection: &mut Connection, entries: &[HistoryEntry]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(INSERT)?;
        for entry in entries {
            let status = entry.status.as_ref();
            statement.execute(params![
                entry.id,
                entry.tenant.as_str(),
                entry.account.as_str(),
                direction_word(entry.direction),
                entry.remote.display.as_ref().map(model::Private::reveal),
                entry.remote.uri.reveal(),
                entry.started_at.0,
                i64::try_from(entry.talk_ms).unwrap_or(i64::MAX),
                outcome_word(entry.outcome),
                status.map(|(code, _)| *code),
                status.map(|(_, phrase)| phrase.reveal()),
                entry.sentence.as_ref().map(model::Sentence::reveal),
                entry.sip_call_id,
            ])?;
        }
    }
    transaction.commit()
}

fn select(connection: &Connection, filter: &HistoryFilter) -> rusqlite::Result<Vec<HistoryEntry>> {
    let mut sql = String::from(SELECT);
    let mut values: Vec<Value> = Vec::new();
    let mut wish = |clause: &str, value: Value| {
        values.push(value);
        let n = values.len();
        sql.push_str(if n == 1 { " WHERE " } else { " AND " });
        sql.push_str(&clause.replace("?", &format!("?{n}")));
    };
    if let Some(tenant) = &filter.tenant {
        wish("tenant = ?", tenant.to_string().into());
    }
    if let Some(account) = &filter.account {
        wish("account = ?", account.as_str().to_owned().into());
    }
    if let Some(outcome) = filter.outcome {
        wish("outcome = ?", outcome_word(outcome).to_owned().into());
    }
    if let Some(party) = filter.party.as_deref().filter(|p| !p.is_empty()) {
        wish(
            "(display LIKE ? ESCAPE '\\' OR uri LIKE ? ESCAPE '\\')",
            like(party).into(),
        );
    }
    let limit = match filter.limit {
        0 => HistoryFilter::MOST,
        limit => limit.min(HistoryFilter::MOST),
    };
    let offset = i64::try_from(filter.offset).unwrap_or(i64::MAX);
    sql.push_str(&format!(
        " ORDER BY started_at DESC, id DESC LIMIT {limit} OFFSET {offset}"
    ));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), entry)?;
    // A row that another hand has spoiled is passed over; the rest is still worth showing.
    Ok(rows.filter_map(Result::ok).flatten().collect())
}

/// A pattern that finds `text` anywhere, with its own wildcards taken as they stand.
fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Option<HistoryEntry>> {
    let (Some(direction), Some(outcome)) = (
        direction_of(&row.get::<_, String>("direction")?),
        outcome_of(&row.get::<_, String>("outcome")?),
    ) else {
        return Ok(None);
    };
    let code: Option<u16> = row.get("code")?;
    let phrase: Option<String> = row.get("phrase")?;
    Ok(Some(HistoryEntry {
        id: row.get("id")?,
        tenant: TenantId::new(row.get::<_, String>("tenant")?),
        account: AccountId::new(row.get::<_, String>("account")?),
        direction,
        remote: Party {
            display: row.get::<_, Option<String>>("display")?.map(Into::into),
            uri: row.get::<_, String>("uri")?.into(),
        },
        started_at: Timestamp(row.get("started_at")?),
        talk_ms: u64::try_from(row.get::<_, i64>("talk_ms")?).unwrap_or(0),
        outcome,
        status: code.map(|code| (code, phrase.unwrap_or_default().into())),
        sentence: row.get::<_, Option<String>>("sentence")?.map(Into::into),
        sip_call_id: row.get("sip_call_id")?,
    }))
}

// The words in the database are its own, like those of the settings file.

fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Incoming => "incoming",
        Direction::Outgoing => "outgoing",
    }
}

fn direction_of(word: &str) -> Option<Direction> {
    [Direction::Incoming, Direction::Outgoing]
        .into_iter()
        .find(|direction| direction_word(*direction) == word)
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Missed => "missed",
        Outcome::Elsewhere => "elsewhere",
        Outcome::Declined => "declined",
        Outcome::Cancelled => "cancelled",
        Outcome::Failed => "failed",
    }
}

fn outcome_of(word: &str) -> Option<Outcome> {
    [
        Outcome::Answered,
        Outcome::Missed,
        Outcome::Elsewhere,
        Outcome::Declined,
        Outcome::Cancelled,
        Outcome::Failed,
    ]
    .into_iter()
    .find(|outcome| outcome_word(*outcome) == word)
}

/// Append only: step `n` takes a database from version `n` to `n + 1`.
const SCHEMA: [&str; 1] = ["
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        account TEXT NOT NULL,
        direction TEXT NOT NULL,
        display TEXT,
        uri TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        talk_ms INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        code INTEGER,
        phrase TEXT,
        sentence TEXT,
        sip_call_id TEXT NOT NULL
    );
    CREATE INDEX calls_by_time ON calls (started_at DESC, id DESC);
    CREATE INDEX calls_by_tenant ON calls (tenant, started_at DESC, id DESC);
"];

const INSERT: &str = "INSERT INTO calls (id, tenant, account, direction, display, uri, started_at, \
    talk_ms, outcome, code, phrase, sentence, sip_call_id) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

const SELECT: &str = "SELECT id, tenant, account, direction, display, uri, started_at, talk_ms, \
    outcome, code, phrase, sentence, sip_call_id FROM calls";

/// A larger file is not read whole at each start.
const CHECKED_WHOLE: u64 = 64 << 20;
