//! `tipring trace`: looks into the flight recorder of a settings folder, also while Tipring runs.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use model::{TenantId, TraceRecord};
use serde_json::json;
use settings::{Folders, Settings};
use trace::redact::{RedactOptions, Redactor};
use trace::{Query, ladder, store};

use crate::Outcome;
use crate::cli::{Common, TraceArgs, TraceFormat, TraceSelection, TraceVerb};
use crate::report::printable;
use crate::session::folders;
use crate::words;

/// What is read of each tenant, newest first.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// Records in a list when nobody says how many.
const LISTED: usize = 1_000;

pub(crate) fn run(common: &Common, args: &TraceArgs) -> anyhow::Result<Outcome> {
    match &args.verb {
        TraceVerb::List(selection) => {
            let (records, options) = chosen(common, selection, LISTED)?;
            let text = if common.json {
                trace::export::json(&records, &options)?
            } else {
                list(&records, options)
            };
            put(&text)?;
            // Who asked for a number knows that there are more.
            if records.len() == LISTED && selection.last.is_none() && !selection.all {
                eprintln!("These are the newest {LISTED}; --last N and --all show more.");
            }
            Ok(Outcome::Done)
        }
        TraceVerb::Show(selection) => {
            let (records, options) = chosen(common, selection, usize::MAX)?;
            put(&show(&records, &options)?)?;
            Ok(Outcome::Done)
        }
        TraceVerb::Export {
            selection,
            format,
            output,
        } => {
            let (records, options) = chosen(common, selection, usize::MAX)?;
            export(&records, &options, *format, output.as_deref())?;
            Ok(Outcome::Done)
        }
        TraceVerb::Replay { file, tenant, only } => {
            let tape = tape(common, file.as_deref(), tenant.as_deref())?;
            match only {
                Some(name) => cut(&tape, name),
                None => replay(common, &tape),
            }
        }
    }
}

fn chosen(
    common: &Common,
    selection: &TraceSelection,
    usual: usize,
) -> anyhow::Result<(Vec<TraceRecord>, RedactOptions)> {
    let most = match selection.last {
        Some(last) => last,
        None if selection.all => usize::MAX,
        None => usual,
    };
    let records = select(&folders(common)?, selection, most)?;
    let options = if selection.no_redact {
        RedactOptions::none()
    } else {
        RedactOptions::default()
    };
    Ok((records, options))
}

/// Prints text.
fn put(text: &str) -> anyhow::Result<()> {
    // JSON escapes by itself what a terminal would obey.
    if text.starts_with('{') {
        words::print(text.as_bytes())
    } else {
        words::print(printable(text).as_bytes())
    }
}

fn export(
    records: &[TraceRecord],
    options: &RedactOptions,
    format: TraceFormat,
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let bytes = match format {
        TraceFormat::Text => trace::export::text(records, options)?.into_bytes(),
        TraceFormat::Json => trace::export::json(records, options)?.into_bytes(),
        TraceFormat::Pcapng => trace::pcapng::pcapng(records, options)?,
    };
    match (output, format) {
        (Some(path), _) => {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let written = options
                .open(path)
                .and_then(|mut file| file.write_all(&bytes));
            written.map_err(|error| words::of_file(path, &error))
        }
        (None, TraceFormat::Pcapng) if std::io::stdout().is_terminal() => {
            bail!("pcapng is nothing for a terminal: name a file with --output")
        }
        (None, TraceFormat::Pcapng) => words::print(&bytes),
        (None, TraceFormat::Text | TraceFormat::Json) => put(&String::from_utf8_lossy(&bytes)),
    }
}

/// The tape of a file, or those of the settings folder.
fn tape(common: &Common, file: Option<&Path>, tenant: Option<&str>) -> anyhow::Result<String> {
    if let Some(file) = file {
        let size = std::fs::metadata(file).map_err(|error| words::of_file(file, &error))?;
        if size.len() > MOST_BYTES {
            bail!("{}: this is too long for a tape", file.display());
        }
        return std::fs::read_to_string(file).map_err(|error| words::of_file(file, &error));
    }
    let folders = folders(common)?;
    let dir = folders.trace_dir();
    let mut tape = String::new();
    for tenant in tenants(&folders, &dir, tenant)? {
        let of_tenant = store::read_tape(&dir, &tenant);
        tape.push_str(&of_tenant.map_err(|error| words::of_file(&dir, &error))?);
    }
    if tape.is_empty() {
        bail!("there is no tape yet: it begins with the next call or registration");
    }
    Ok(tape)
}

/// The lines of one object, for a file of their own.
fn cut(tape: &str, name: &str) -> anyhow::Result<Outcome> {
    let mut out = String::new();
    for line in tape.lines() {
        let read: replay::Line = serde_json::from_str(line).context("this is no tape")?;
        if read.object == name {
            out.push_str(line);
            out.push('\n');
        }
    }
    if out.is_empty() {
        bail!("there is no “{name}” on the tape");
    }
    words::print(out.as_bytes())?;
    Ok(Outcome::Done)
}

/// Plays a tape and says of each object on it what came out.
fn replay(common: &Common, tape: &str) -> anyhow::Result<Outcome> {
    let played = replay::play(tape, Instant::now())?;
    let mut out = String::new();
    let mut differs = false;
    for object in &played {
        differs |= object.difference.is_some() || object.inputs == 0;
        if common.json {
            let difference = object
                .difference
                .as_ref()
                .map(|d| json!({ "line": d.line, "then": d.then, "now": d.now }));
            let object = json!({
                "object": object.object,
                "inputs": object.inputs,
                "messages": object.messages,
                "stopped": object.stopped,
                "difference": difference,
            });
            out.push_str(&format!("{object}\n"));
            continue;
        }
        let verdict = match (&object.difference, &object.stopped) {
            (None, None) => "the same".to_owned(),
            (None, Some(why)) if object.inputs == 0 => format!("NOT PLAYED: {why}"),
            (None, Some(why)) => format!("the same as far as it goes; {why}"),
            (Some(difference), _) => format!("DIFFERS at line {}", difference.line),
        };
        out.push_str(&format!(
            "{}: {} inputs, {} messages: {verdict}\n",
            object.object, object.inputs, object.messages
        ));
        if let Some(difference) = &object.difference {
            for (when, what) in [("then", &difference.then), ("now", &difference.now)] {
                let what = what.as_deref().unwrap_or("nothing").replace("\r\n", "\n");
                out.push_str(&format!("--- {when}\n{}\n", what.trim_end()));
            }
        }
    }
    put(&out)?;
    Ok(if differs {
        Outcome::Failed
    } else {
        Outcome::Done
    })
}

/// The newest records that are asked for, of all tenants, so many at most, oldest first.
fn select(
    folders: &Folders,
    selection: &TraceSelection,
    most: usize,
) -> anyhow::Result<Vec<TraceRecord>> {
    let query = Query::parse(&selection.filter).context("--filter cannot be read")?;
    let dir = folders.trace_dir();
    let wanted =
        |record: &TraceRecord| query.is_empty() || query.matches(&trace::summary(record), record);
    let mut records = Vec::new();
    for tenant in tenants(folders, &dir, selection.tenant.as_deref())? {
        let of_tenant = store::read_wanted(&dir, &tenant, MOST_BYTES, most, wanted);
        records.extend(of_tenant.map_err(|error| words::of_file(&dir, &error))?);
    }
    records.sort_by_key(|record| record.time);
    let surplus = records.len().saturating_sub(most);
    records.drain(..surplus);
    Ok(records)
}

fn tenants(folders: &Folders, dir: &Path, wanted: Option<&str>) -> anyhow::Result<Vec<TenantId>> {
    let mut stored = store::stored_tenants(dir).map_err(|error| words::of_file(dir, &error))?;
    if let Some(wanted) = wanted {
        let settings = Settings::load(folders.config()).settings;
        let by_name = settings
            .tenants
            .iter()
            .find(|t| t.name == wanted)
            .map(|t| t.id.clone());
        stored.retain(|id| id.as_str() == wanted || Some(id) == by_name.as_ref());
        if stored.is_empty() {
            bail!("nothing is recorded of a tenant “{wanted}”");
        }
    }
    Ok(stored)
}

/// A line a record: when, which way, with whom, what.
fn list(records: &[TraceRecord], options: RedactOptions) -> String {
    let mut redactor = Redactor::new(records, options);
    let mut out = String::new();
    for record in records {
        let record = redactor.record(record);
        let summary = trace::summary(&record);
        let way = summary.wire.as_ref().map_or_else(String::new, |wire| {
            let arrow = if wire.sent { "→" } else { "←" };
            format!("{} {arrow} {}", wire.transport.as_str(), wire.peer)
        });
        let ends = match (&summary.from, &summary.to) {
            (Some(from), Some(to)) => format!("{} → {}", from.uri, to.uri),
            _ => String::new(),
        };
        let account = record.account.as_ref().map_or("-", |id| id.as_str());
        out.push_str(&format!(
            "{} {account:16} {way:28} {:28} {ends}\n",
            record.time,
            summary.title()
        ));
    }
    out
}

/// The ladder of all that was selected, then the messages.
fn show(records: &[TraceRecord], options: &RedactOptions) -> anyhow::Result<String> {
    let mut redactor = Redactor::new(records, options.clone());
    let masked: Vec<TraceRecord> = records
        .iter()
        .map(|record| redactor.record(record))
        .collect();
    let mut out = ladder::text::render(
        &ladder::layout(&masked),
        &ladder::text::TextOptions::default(),
    );
    out.push('\n');
    out.push_str(&trace::export::text(records, options)?);
    Ok(out)
}
