//! The ladder: who said what to whom, from top to bottom.
//!
//! [`layout`] is pure: records in, columns and rows out. A window draws them, [`text`](mod@text) prints
//! them.

pub mod text;

use std::collections::HashMap;
use std::time::Duration;

use model::{Timestamp, TraceRecord};

use crate::summary::{Kind, Summary, summary};

/// A laid-out ladder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ladder {
    /// Endpoints from left to right, in the order in which they appear.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// Records that were folded into other rows' authentication.
    pub folded: usize,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its address, `IP:PORT`.
    pub address: String,
    /// Whether it is ours.
    pub is_local: bool,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When; of a message sent several times the first.
    pub time: Timestamp,
    /// Time since the row above; zero when clocks went back.
    pub since_previous: Duration,
    /// Time since the first row.
    pub since_first: Duration,
    /// What stands in it.
    pub what: Mark,
    /// The records it stands for, by position in what was laid out; the one to show first.
    pub records: Vec<usize>,
}

/// What stands in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// A message.
    Arrow(Arrow),
    /// Something inside the program.
    Note {
        /// A word for filters.
        topic: String,
        /// One sentence.
        text: String,
    },
    /// Nothing, for longer than a break is worth drawing to scale.
    Gap {
        /// How long.
        length: Duration,
    },
}

/// A message from one column to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrow {
    /// Column it leaves.
    pub from: usize,
    /// Column it reaches; the same for a message to oneself.
    pub to: usize,
    /// `INVITE`, `180 Ringing`.
    pub label: String,
    /// What it means.
    pub meaning: Meaning,
    /// Whether it carries a session description.
    pub has_sdp: bool,
    /// How many times it was seen; more than 1 means retransmissions.
    pub times_seen: u32,
    /// The status (401 or 407) of the challenge that was answered and is folded into this row.
    pub authenticated: Option<u16>,
}

/// What an arrow means, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// A request.
    Request,
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx.
    Redirect,
    /// A challenge that was not folded.
    Challenge,
    /// 4xx to 6xx.
    Failure,
    /// No SIP message.
    Other,
}

/// How to lay out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LadderOptions {
    /// Whether a challenge and its answer become one row.
    pub fold_authentication: bool,
    /// From which silence on a break is drawn.
    pub gap: Duration,
}

impl Default for LadderOptions {
    fn default() -> Self {
        Self {
            fold_authentication: true,
            gap: Duration::from_secs(2),
        }
    }
}

/// Lays out records, which stand in the order of their times.
pub fn layout(records: &[TraceRecord]) -> Ladder {
    layout_with(records, &LadderOptions::default())
}

/// The same with options.
pub fn layout_with(records: &[TraceRecord], options: &LadderOptions) -> Ladder {
    let mut draft = Draft::default();
    for (at, record) in records.iter().enumerate() {
        draft.add(at, &summary(record));
    }
    let folded = if options.fold_authentication {
        draft.fold_authentication()
    } else {
        0
    };
    let columns = std::mem::take(&mut draft.columns);
    Ladder {
        rows: draft.timed_rows(options.gap),
        columns,
        folded,
    }
}

#[derive(Default)]
struct Draft {
    columns: Vec<Column>,
    column_of: HashMap<String, usize>,
    rows: Vec<DraftRow>,
    /// Row of each message, to find it when it is sent again.
    seen: HashMap<Identity, usize>,
}

struct DraftRow {
    time: Timestamp,
    mark: Mark,
    records: Vec<usize>,
    exchange: Option<Exchange>,
    gone: bool,
}

impl DraftRow {
    /// Records in this row that came from others.
    fn folded(&self) -> usize {
        match &self.mark {
            Mark::Arrow(arrow) if arrow.authenticated.is_some() => {
                self.records.len().saturating_sub(arrow.times_seen as usize)
            }
            _ => 0,
        }
    }
}

/// What makes two records the same message on the same way.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    from: usize,
    to: usize,
    title: String,
    method: Option<Box<str>>,
    cseq: Option<u32>,
    branch: Option<Box<str>>,
    call_id: Option<Box<str>>,
    tags: [Option<Box<str>>; 2],
}

/// What a challenge and its answer are recognised by.
struct Exchange {
    key: ExchangeKey,
    code: Option<u16>,
    is_ack: bool,
    has_credentials: bool,
}

/// Call-ID, method and CSeq number. The ACK of a challenge counts as INVITE.
type ExchangeKey = (Box<str>, Box<str>, u32);

impl Draft {
    fn add(&mut self, at: usize, summary: &Summary) {
        if let Kind::Note { topic, text } = &summary.kind {
            self.rows.push(DraftRow {
                time: summary.time,
                mark: Mark::Note {
                    topic: topic.to_string(),
                    text: text.to_string(),
                },
                records: vec![at],
                exchange: None,
                gone: false,
            });
            return;
        }
        let Some(wire) = &summary.wire else { return };
        let local = self.column(&wire.local, true);
        let peer = self.column(&wire.peer, false);
        let (from, to) = if wire.sent {
            (local, peer)
        } else {
            (peer, local)
        };
        let identity = identity(summary, from, to);
        // Only what has a transaction can be known to be the same message again.
        if summary.branch.is_some()
            && let Some(row) = self
                .seen
                .get(&identity)
                .and_then(|row| self.rows.get_mut(*row))
            && let Mark::Arrow(arrow) = &mut row.mark
        {
            arrow.times_seen = arrow.times_seen.saturating_add(1);
            row.records.push(at);
            return;
        }
        self.seen.insert(identity, self.rows.len());
        self.rows.push(DraftRow {
            time: summary.time,
            mark: Mark::Arrow(Arrow {
                from,
                to,
                label: summary.title(),
                meaning: meaning(summary),
                has_sdp: summary.has_sdp,
                times_seen: 1,
                authenticated: None,
            }),
            records: vec![at],
            exchange: exchange(summary),
            gone: false,
        });
    }

    fn column(&mut self, address: &str, is_local: bool) -> usize {
        if let Some(column) = self.column_of.get(address) {
            return *column;
        }
        // A flood from many addresses would be wider than any screen: the rest shares a column.
        let column = if self.columns.len() < MOST_COLUMNS {
            self.columns.push(Column {
                address: address.to_owned(),
                is_local,
            });
            self.columns.len() - 1
        } else {
            if let Some(last) = self.columns.last_mut() {
                last.address = "others".to_owned();
            }
            MOST_COLUMNS - 1
        };
        self.column_of.insert(address.to_owned(), column);
        column
    }

    /// A request, its challenge, the challenge's ACK and the request with credentials become one row,
    /// where the last of them stands. Without an answer a challenge stays: it is the failure.
    fn fold_authentication(&mut self) -> usize {
        let mut rows_of: HashMap<ExchangeKey, Vec<usize>> = HashMap::new();
        for (at, row) in self.rows.iter().enumerate() {
            if let Some(exchange) = &row.exchange {
                rows_of.entry(exchange.key.clone()).or_default().push(at);
            }
        }
        for at in 0..self.rows.len() {
            let Some((code, key)) = self.challenge(at) else {
                continue;
            };
            let (call_id, method, number) = key.clone();
            let Some(next) = number.checked_add(1) else {
                continue;
            };
            let answer = rows_of
                .get(&(call_id, method, next))
                .into_iter()
                .flatten()
                .copied()
                .find(|row| *row > at && self.answers(*row));
            let before = rows_of.get(&key).cloned().unwrap_or_default();
            let (Some(answer), true) = (answer, before.iter().any(|row| self.asks(*row))) else {
                continue;
            };
            let mut absorbed = Vec::new();
            for row in before {
                if let Some(row) = self.rows.get_mut(row) {
                    row.gone = true;
                    absorbed.append(&mut row.records);
                }
            }
            if let Some(row) = self.rows.get_mut(answer) {
                row.records.append(&mut absorbed);
                if let Mark::Arrow(arrow) = &mut row.mark {
                    arrow.authenticated = Some(code);
                }
            }
        }
        self.rows.retain(|row| !row.gone);
        self.rows.iter().map(DraftRow::folded).sum()
    }

    fn exchange(&self, row: usize) -> Option<&Exchange> {
        let row = self.rows.get(row).filter(|row| !row.gone)?;
        row.exchange.as_ref()
    }

    fn challenge(&self, row: usize) -> Option<(u16, ExchangeKey)> {
        let exchange = self.exchange(row)?;
        let code = exchange.code.filter(|code| matches!(code, 401 | 407))?;
        Some((code, exchange.key.clone()))
    }

    fn asks(&self, row: usize) -> bool {
        self.exchange(row)
            .is_some_and(|exchange| exchange.code.is_none() && !exchange.is_ack)
    }

    fn answers(&self, row: usize) -> bool {
        self.asks(row) && self.exchange(row).is_some_and(|e| e.has_credentials)
    }

    fn timed_rows(self, gap: Duration) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.rows.len());
        let first = self.rows.first().map_or(Timestamp(0), |row| row.time);
        let mut previous = first;
        for row in self.rows {
            let since_previous = row.time.since(previous);
            let since_first = row.time.since(first);
            if since_previous > gap {
                rows.push(Row {
                    time: previous,
                    since_previous: Duration::ZERO,
                    since_first: previous.since(first),
                    what: Mark::Gap {
                        length: since_previous,
                    },
                    records: Vec::new(),
                });
            }
            previous = row.time;
            rows.push(Row {
                time: row.time,
                since_previous,
                since_first,
                what: row.mark,
                records: row.records,
            });
        }
        rows
    }
}

fn identity(summary: &Summary, from: usize, to: usize) -> Identity {
    let tag = |party: &Option<crate::PartySummary>| party.as_ref().and_then(|p| p.tag.clone());
    Identity {
        from,
        to,
        title: summary.title(),
        method: summary.method.clone(),
        cseq: summary.cseq,
        branch: summary.branch.clone(),
        call_id: summary.call_id.clone(),
        tags: [tag(&summary.from), tag(&summary.to)],
    }
}

fn exchange(summary: &Summary) -> Option<Exchange> {
    let method = summary.method.clone()?;
    let is_ack = &*method == "ACK";
    let method = if is_ack { "INVITE".into() } else { method };
    Some(Exchange {
        key: (summary.call_id.clone()?, method, summary.cseq?),
        code: summary.code(),
        is_ack,
        has_credentials: summary.has_credentials,
    })
}

fn meaning(summary: &Summary) -> Meaning {
    match summary.kind {
        Kind::Request => Meaning::Request,
        Kind::Response { code, .. } => match code {
            ..200 => Meaning::Provisional,
            200..300 => Meaning::Success,
            300..400 => Meaning::Redirect,
            401 | 407 => Meaning::Challenge,
            400.. => Meaning::Failure,
        },
        _ => Meaning::Other,
    }
}

const MOST_COLUMNS: usize = 32;

#[cfg(test)]
mod tests;
