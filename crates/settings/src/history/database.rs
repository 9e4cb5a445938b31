//! The database itself: schema, rows, and what happens when the disk misbehaves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{
    AccountId, Direction, HistoryEntry, Outcome, Party, QualityStep, QualityTrend, Sounded,
    TenantId, Timestamp,
};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params, params_from_iter};

use super::{Filed, HistoryError, HistoryFilter, side_files};
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
    pub(super) fn add(&mut self, batch: &[Filed]) -> Option<String> {
        let inserted = insert(&mut self.connection, batch);
        if self.path.is_none() && inserted.is_ok() {
            // What no file holds must not fill the memory. A failure is tried again with the next batch.
            let _ = self.connection.execute_batch(TRIM);
        }
        let error = inserted.err()?;
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
        let error = forget(&mut self.connection, tenant).err()?;
        Some(format!(
            "The call history could not be cleared: {}.",
            words(&error)
        ))
    }

    pub(super) fn query(&self, filter: &HistoryFilter) -> Result<Vec<HistoryEntry>, HistoryError> {
        select(&self.connection, filter).map_err(|error| HistoryError::Database(words(&error)))
    }

    /// How a call sounded, step by step; empty where nothing is kept.
    pub(super) fn trend(&self, call: i64) -> Result<QualityTrend, HistoryError> {
        trend(&self.connection, call).map_err(|error| HistoryError::Database(words(&error)))
    }

    /// Goes on in memory with the newest lines of the file. Whether they could be read.
    fn move_to_memory(&mut self) -> bool {
        let filter = HistoryFilter::default();
        let newest = select(&self.connection, &filter);
        let Ok(mut fresh) = memory() else {
            return false;
        };
        let with_trend = |entry: HistoryEntry| Filed {
            trend: trend(&self.connection, entry.id).unwrap_or_default(),
            entry,
        };
        let newest = newest.map(|lines| lines.into_iter().map(with_trend).collect::<Vec<_>>());
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

fn insert(connection: &mut Connection, batch: &[Filed]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(INSERT)?;
        let mut trends = transaction.prepare_cached(INSERT_TREND)?;
        for Filed { entry, trend } in batch {
            if !trend.steps.is_empty() {
                trends.execute(params![entry.id, trend.step_s, octets(trend)])?;
            }
            let sounded = entry.sounded.as_ref();
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
                sounded.and_then(|s| s.mos),
                sounded.and_then(|s| s.worst_mos),
                sounded.map(|s| s.lost),
                sounded.map(|s| s.jitter_ms),
                sounded.and_then(|s| s.rtt_ms),
            ])?;
        }
    }
    transaction.commit()
}

/// All calls of a tenant, and how they sounded.
fn forget(connection: &mut Connection, tenant: &TenantId) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "DELETE FROM trends WHERE call IN (SELECT id FROM calls WHERE tenant = ?1)",
        [tenant.as_str()],
    )?;
    transaction.execute("DELETE FROM calls WHERE tenant = ?1", [tenant.as_str()])?;
    transaction.commit()
}

/// Three octets a step.
fn octets(trend: &QualityTrend) -> Vec<u8> {
    let of = |step: &QualityStep| [step.mos_tenths, step.lost_percent, step.jitter_ms];
    trend.steps.iter().flat_map(of).collect()
}

fn trend(connection: &Connection, call: i64) -> rusqlite::Result<QualityTrend> {
    let mut statement =
        connection.prepare_cached("SELECT step_s, steps FROM trends WHERE call = ?1")?;
    let mut rows = statement.query([call])?;
    let Some(row) = rows.next()? else {
        return Ok(QualityTrend::default());
    };
    let octets: Vec<u8> = row.get("steps")?;
    let (whole, _) = octets.as_chunks::<3>();
    let step = |&[mos_tenths, lost_percent, jitter_ms]: &[u8; 3]| QualityStep {
        mos_tenths,
        lost_percent,
        jitter_ms,
    };
    let steps = whole.iter().take(QualityTrend::MOST).map(step);
    Ok(QualityTrend::kept(row.get("step_s")?, steps.collect()))
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
        sounded: sounded(row)?,
    }))
}

/// How the call sounded; nothing where nothing was heard, and of calls from before it was kept.
fn sounded(row: &Row<'_>) -> rusqlite::Result<Option<Sounded>> {
    let (lost, jitter_ms): (Option<f32>, Option<f32>) = (row.get("lost")?, row.get("jitter_ms")?);
    let (Some(lost), Some(jitter_ms)) = (lost, jitter_ms) else {
        return Ok(None);
    };
    Ok(Some(Sounded {
        mos: row.get("mos")?,
        worst_mos: row.get("worst_mos")?,
        lost,
        jitter_ms,
        rtt_ms: row.get("rtt_ms")?,
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
const SCHEMA: [&str; 2] = [
    "
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
",
    "
    ALTER TABLE calls ADD COLUMN mos REAL;
    ALTER TABLE calls ADD COLUMN worst_mos REAL;
    ALTER TABLE calls ADD COLUMN lost REAL;
    ALTER TABLE calls ADD COLUMN jitter_ms REAL;
    ALTER TABLE calls ADD COLUMN rtt_ms REAL;
    CREATE TABLE trends (
        call INTEGER PRIMARY KEY,
        step_s INTEGER NOT NULL,
        steps BLOB NOT NULL
    );
",
];

const INSERT: &str = "INSERT INTO calls (id, tenant, account, direction, display, uri, started_at, \
    talk_ms, outcome, code, phrase, sentence, sip_call_id, mos, worst_mos, lost, jitter_ms, rtt_ms) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

/// Leaves as many of the newest calls as are ever shown.
const TRIM: &str = "
    DELETE FROM trends WHERE call <= (SELECT MAX(id) FROM calls) - 10000;
    DELETE FROM calls WHERE id <= (SELECT MAX(id) FROM calls) - 10000;
";

const INSERT_TREND: &str = "INSERT INTO trends (call, step_s, steps) VALUES (?1, ?2, ?3)";

const SELECT: &str = "SELECT id, tenant, account, direction, display, uri, started_at, talk_ms, \
    outcome, code, phrase, sentence, sip_call_id, mos, worst_mos, lost, jitter_ms, rtt_ms FROM calls";

/// A larger file is not read whole at each start.
const CHECKED_WHOLE: u64 = 64 << 20;
