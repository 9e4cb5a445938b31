//! `tipring trace`: looks into the flight recorder of a settings folder, also while Tipring runs.

use std::path::Path;

use anyhow::{Context, bail};
use model::{TenantId, TraceRecord};
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

pub(crate) fn run(common: &Common, args: &TraceArgs) -> anyhow::Result<Outcome> {
    let folders = folders(common)?;
    let (TraceVerb::List(selection)
    | TraceVerb::Show(selection)
    | TraceVerb::Export { selection, .. }) = &args.verb;
    let records = select(&folders, selection)?;
    let options = if selection.no_redact {
        RedactOptions::none()
    } else {
        RedactOptions::default()
    };
    let text = match &args.verb {
        TraceVerb::List(_) if common.json => trace::export::json(&records, &options)?,
        TraceVerb::List(_) => list(&records, options),
        TraceVerb::Show(_) => show(&records, &options)?,
        TraceVerb::Export {
            format: TraceFormat::Text,
            ..
        } => trace::export::text(&records, &options)?,
        TraceVerb::Export {
            format: TraceFormat::Json,
            ..
        } => trace::export::json(&records, &options)?,
    };
    // JSON escapes by itself what a terminal would obey.
    let text = if text.starts_with('{') {
        text
    } else {
        printable(&text)
    };
    words::print(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// The records that are asked for, of all tenants, oldest first.
fn select(folders: &Folders, selection: &TraceSelection) -> anyhow::Result<Vec<TraceRecord>> {
    let query = Query::parse(&selection.filter).context("--filter cannot be read")?;
    let dir = folders.trace_dir();
    let mut records = Vec::new();
    for tenant in tenants(folders, &dir, selection.tenant.as_deref())? {
        records.extend(
            store::read_stored(&dir, &tenant, MOST_BYTES)
                .map_err(|error| words::of_file(&dir, &error))?
                .into_iter()
                .filter(|record| {
                    query.is_empty() || query.matches(&trace::summary(record), record)
                }),
        );
    }
    records.sort_by_key(|record| record.time);
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
        let summary = trace::summary(&redactor.record(record));
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
