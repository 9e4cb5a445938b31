//! `tipring options`: asks a peer what it can do.

use model::{Command, Event};
use serde_json::json;

use crate::Outcome;
use crate::cli::{Common, OptionsArgs};
use crate::session::{Session, runtime};
use engine::{CallMedia, EngineConfig};

pub(crate) fn run(common: &Common, args: &OptionsArgs) -> anyhow::Result<Outcome> {
    runtime()?.block_on(async {
        let mut account = args.account.clone();
        // A question needs no registration.
        account.no_register = true;
        let config = EngineConfig {
            media: CallMedia::null(),
            ask_limit: args.limit,
            ..EngineConfig::default()
        };
        let mut session = Session::start_with(common, &account, config).await?;
        let from = session.account.clone();
        session.engine.send(Command::SendOptions {
            account: from,
            target: args.target.as_str().into(),
        });
        let outcome = loop {
            let Event::OptionsAnswered {
                target,
                status,
                round_trip_ms,
                allow,
                server,
                failure,
                ..
            } = session.next().await
            else {
                continue;
            };
            let code = status.as_ref().map(|(code, _)| *code);
            let object = json!({
                "event": "options",
                "target": target,
                "code": code,
                "reason": status.as_ref().map(|(_, phrase)| phrase.reveal().to_owned())
                    .or_else(|| failure.as_ref().map(|why| why.sentence().into_revealed())),
                "round_trip_ms": round_trip_ms,
                "allow": allow,
                "server": server,
                "failure": failure,
            });
            session.report.own(object, || match (&status, &failure) {
                (Some((code, phrase)), _) => format!(
                    "{code} {} after {:.1} ms, allows {}{}",
                    phrase.reveal(),
                    round_trip_ms.unwrap_or(0.0),
                    if allow.is_empty() {
                        "nothing that it names".to_owned()
                    } else {
                        allow.join(", ")
                    },
                    server
                        .as_deref()
                        .map(|s| format!(", says it is {s}"))
                        .unwrap_or_default(),
                ),
                (None, Some(failure)) => failure.sentence().into_revealed(),
                (None, None) => "no answer".to_owned(),
            });
            // Any answer shows that the peer is there and speaks SIP; only 2xx means yes.
            break if code.is_some_and(|code| (200..300).contains(&code)) {
                Outcome::Done
            } else {
                Outcome::Failed
            };
        };
        session.finish_quietly().await;
        Ok(outcome)
    })
}
