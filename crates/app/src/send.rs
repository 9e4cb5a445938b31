//! `tipring send`: sends one request of any method and prints what is answered.

use std::io::Read;

use anyhow::Context;
use engine::{CallMedia, EngineConfig};
use model::{Answer, Command, Event};
use serde_json::json;

use crate::Outcome;
use crate::cli::{Common, SendArgs};
use crate::session::{Session, runtime};

/// The longest body that is read: more than a message takes, so that it is refused and not cut.
const BODY: u64 = 128 * 1024;

pub(crate) fn run(common: &Common, args: &SendArgs) -> anyhow::Result<Outcome> {
    let body = match args.body.as_deref() {
        Some("-") => standard_input()?,
        Some(text) => text.to_owned(),
        None => String::new(),
    };
    runtime()?.block_on(async {
        let mut account = args.account.clone();
        // A request needs no registration, and what would go with calls goes with it.
        account.no_register = true;
        let headers = std::mem::take(&mut account.header);
        let config = EngineConfig {
            media: CallMedia::null(),
            ask_limit: args.limit,
            ..EngineConfig::default()
        };
        let mut session = Session::start_with(common, &account, config).await?;
        session.engine.send(Command::SendRequest {
            account: session.account.clone(),
            method: args.method.clone(),
            target: args.target.as_str().into(),
            headers: headers.into_iter().map(Into::into).collect(),
            content_type: args.content_type.clone(),
            body: body.into(),
        });
        let (answer, failure) = loop {
            if let Event::RequestAnswered {
                answer, failure, ..
            } = session.next().await
            {
                break (answer, failure);
            }
        };
        let answer = answer.as_deref();
        let object = json!({
            "event": "answer",
            "method": args.method,
            "target": args.target,
            "code": answer.map(|answer| answer.code),
            "reason": answer.map(|answer| answer.phrase.reveal().to_owned())
                .or_else(|| failure.as_ref().map(|why| why.sentence().into_revealed())),
            "round_trip_ms": answer.and_then(|answer| answer.round_trip_ms),
            "headers": answer.map(|answer| &answer.headers),
            "body": answer.map(|answer| &answer.body),
            "failure": failure,
        });
        session.report.own(object, || match (answer, &failure) {
            (Some(answer), _) => in_lines(answer),
            (None, Some(failure)) => failure.sentence().into_revealed(),
            (None, None) => "no answer".to_owned(),
        });
        session.finish_quietly().await;
        Ok(match answer {
            Some(answer) if (200..300).contains(&answer.code) => Outcome::Done,
            _ => Outcome::Failed,
        })
    })
}

fn standard_input() -> anyhow::Result<String> {
    let mut body = String::new();
    std::io::stdin()
        .take(BODY)
        .read_to_string(&mut body)
        .context("the body cannot be read from standard input as text in UTF-8")?;
    Ok(body)
}

/// An answer as a person reads it: how it ended and how fast, then its headers and body.
fn in_lines(answer: &Answer) -> String {
    let time = answer
        .round_trip_ms
        .map(|time| format!(" after {time:.1} ms"))
        .unwrap_or_default();
    let mut text = format!("{} {}{time}", answer.code, answer.phrase.reveal());
    for header in &answer.headers {
        text.push('\n');
        text.push_str(header.reveal());
    }
    if !answer.body.is_empty() {
        text.push_str("\n\n");
        text.push_str(answer.body.reveal());
    }
    text
}
