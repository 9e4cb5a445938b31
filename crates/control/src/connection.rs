//! One client: lines in, lines out, and limits on both.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::events::{Lines, Outbox, Publisher, outbox};
use crate::rpc::{self, Asked, Call, Line, Request, RpcError};
use crate::server::Limits;

/// Serves one client until it leaves, breaks a limit, or stops reading.
pub(crate) async fn serve<H, F>(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin + Send + 'static,
    limits: &Limits,
    publisher: &Publisher,
    handler: &H,
) where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Value, RpcError>>,
{
    let (outbox, lines) = outbox(limits.queued_lines, limits.queued_bytes);
    let writing = tokio::spawn(write(writer, lines, limits.write));
    read(BufReader::new(reader), &outbox, limits, publisher, handler).await;
    publisher.unsubscribe(&outbox);
    drop(outbox);
    // What is queued may still be written, at most until its own time is over.
    let _ = writing.await;
}

async fn read<H, F>(
    mut reader: impl AsyncBufRead + Unpin,
    outbox: &Outbox,
    limits: &Limits,
    publisher: &Publisher,
    handler: &H,
) where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Value, RpcError>>,
{
    let mut line = Vec::new();
    // Whoever connects and says nothing holds a place that others need.
    let mut first = Some(limits.line_time);
    loop {
        line.clear();
        match read_line(
            &mut reader,
            &mut line,
            limits.line_bytes,
            first.take(),
            limits.line_time,
        )
        .await
        {
            Ok(Read::Line) => {}
            Ok(Read::TooLong) => {
                let error = RpcError::new(
                    RpcError::INVALID_REQUEST,
                    format!("a line has at most {} bytes", limits.line_bytes),
                );
                outbox
                    .send(text(&rpc::answer(&Value::Null, Err(error))))
                    .await;
                return;
            }
            Ok(Read::End) | Err(_) => return,
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let reply = match rpc::read(&line) {
            Line::Bad(error) => Some(rpc::answer(&Value::Null, Err(error))),
            Line::One(call) => answer(call, outbox, limits, publisher, handler).await,
            Line::Batch(calls) => {
                let answers = batch(calls, outbox, limits, publisher, handler).await;
                if let Some(answers) = answers
                    && !outbox.send(answers.into()).await
                {
                    return;
                }
                continue;
            }
        };
        if let Some(reply) = reply
            && !outbox.send(text(&reply)).await
        {
            return;
        }
    }
}

/// Answers the calls of a batch one after the other; `None` when all are notifications. Each answer becomes text at
/// once, and what has no room any more is refused: a line of 64 short questions is no order for 64 long answers.
async fn batch<H, F>(
    calls: Vec<Call>,
    outbox: &Outbox,
    limits: &Limits,
    publisher: &Publisher,
    handler: &H,
) -> Option<String>
where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Value, RpcError>>,
{
    let mut answers = String::new();
    let mut is_full = false;
    for call in calls {
        // Whoever comes in meanwhile has a turn between two answers.
        tokio::task::yield_now().await;
        let id = call.id.clone();
        let told = match (&call.asked, &id) {
            // What is long is not even put together when there is no room for it.
            (Ok(Asked::Of(Request::Snapshot)), Some(id)) if is_full => no_room(id, limits),
            _ => match answer(call, outbox, limits, publisher, handler).await {
                Some(answer) => answer.to_string(),
                None => continue,
            },
        };
        let told = match &id {
            Some(id) if told.len() > SHORT && answers.len() + told.len() > limits.batch_bytes => {
                is_full = true;
                no_room(id, limits)
            }
            _ => told,
        };
        answers.push(if answers.is_empty() { '[' } else { ',' });
        answers.push_str(&told);
    }
    (!answers.is_empty()).then(|| answers + "]")
}

fn no_room(id: &Value, limits: &Limits) -> String {
    let error = RpcError::new(
        RpcError::TOO_LONG,
        format!(
            "the answers to a batch have at most {} bytes; ask for this on a line of its own",
            limits.batch_bytes
        ),
    );
    rpc::answer(id, Err(error)).to_string()
}

/// Bytes of an answer that says yes or no, whatever its id: those are given also when there is no room.
const SHORT: usize = 1 << 10;

/// Answers one call; `None` for a notification.
async fn answer<H, F>(
    call: Call,
    outbox: &Outbox,
    limits: &Limits,
    publisher: &Publisher,
    handler: &H,
) -> Option<Value>
where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Value, RpcError>>,
{
    let result = match call.asked {
        Err(error) => Err(error),
        Ok(Asked::Ping) => Ok(json!({
            "program": "tipring",
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
        })),
        Ok(Asked::Methods) => Ok(json!(rpc::methods())),
        Ok(Asked::Events) => {
            publisher.subscribe(outbox);
            Ok(Value::Null)
        }
        Ok(Asked::Of(request)) => match timeout(limits.answer, handler(request)).await {
            Ok(result) => result,
            Err(_) => Err(RpcError::new(
                RpcError::BUSY,
                "the program did not answer in time",
            )),
        },
    };
    Some(rpc::answer(&call.id?, result))
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut lines: Lines, limit: Duration) {
    while let Some(line) = lines.next().await {
        let written = timeout(limit, async {
            writer.write_all(line.as_bytes()).await?;
            writer.write_all(b"\n").await?;
            writer.flush().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(limit, writer.shutdown()).await;
}

fn text(value: &Value) -> Arc<str> {
    value.to_string().into()
}

/// How reading a line ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A whole line is there, without its end.
    Line,
    /// The peer closed.
    End,
    /// More came than a line may have.
    TooLong,
}

/// Reads up to a line feed, never holding more than `most` bytes. `first` bounds the wait for the first
/// byte, `whole` the time from there to the end of the line.
pub(crate) async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    most: usize,
    first: Option<Duration>,
    whole: Duration,
) -> io::Result<Read> {
    let begun = match first {
        Some(limit) => timeout(limit, reader.fill_buf()).await??.is_empty(),
        None => reader.fill_buf().await?.is_empty(),
    };
    if begun {
        return Ok(Read::End);
    }
    timeout(whole, async {
        loop {
            let chunk = reader.fill_buf().await?;
            if chunk.is_empty() {
                // A line that was cut off by the end is no line.
                return Ok(Read::End);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            if line.len().saturating_add(part.len()) > most {
                return Ok(Read::TooLong);
            }
            line.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            reader.consume(used);
            if end.is_some() {
                return Ok(Read::Line);
            }
        }
    })
    .await?
}
