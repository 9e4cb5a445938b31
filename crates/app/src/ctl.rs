//! `tipring ctl`: one JSON-RPC call to a running Tipring.

use std::time::Duration;

use anyhow::Context;
use control::{Client, ClientError, Notification};
use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::cli::{Common, CtlArgs};
use crate::headless::socket_path;
use crate::session::{folders, interrupted, runtime};
use crate::words;

/// How long a running Tipring may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(common: &Common, args: &CtlArgs) -> anyhow::Result<Outcome> {
    let params: Map<String, Value> = match &args.params {
        Some(text) => serde_json::from_str(text).map_err(|_| {
            anyhow::anyhow!(
                "the parameters are not a JSON object; one looks like '{{\"call\": 1}}'"
            )
        })?,
        None => Map::new(),
    };
    let folders = folders(common).ok();
    let socket = socket_path(args.control.clone(), folders.as_ref())?;
    runtime()?.block_on(async {
        let connecting = tokio::time::timeout(PATIENCE, Client::connect(&socket));
        let mut client = connecting.await.context("Tipring does not answer")??;
        if args.method == "events" {
            client.subscribe().await?;
            return follow(client).await;
        }
        let calling = tokio::time::timeout(PATIENCE, client.call(&args.method, params));
        match calling.await.context("Tipring does not answer")? {
            Ok(result) => {
                print(&result.to_string())?;
                Ok(Outcome::Done)
            }
            Err(ClientError::Refused(error)) => {
                let answer = json!({"error": {"code": error.code, "message": error.message}});
                print(&answer.to_string())?;
                Ok(Outcome::Failed)
            }
            Err(error) => Err(error.into()),
        }
    })
}

fn print(line: &str) -> anyhow::Result<()> {
    words::print(format!("{line}\n").as_bytes())
}

/// Prints events until interrupted.
async fn follow(mut client: Client) -> anyhow::Result<Outcome> {
    loop {
        let told = tokio::select! {
            told = client.next() => told,
            () = interrupted() => return Ok(Outcome::Done),
        };
        match told {
            Ok(Notification::Event(event)) => print(&serde_json::to_string(&event)?)?,
            Ok(Notification::Resync { lost }) => {
                print(&json!({"event": "lost", "count": lost}).to_string())?;
            }
            Err(_) => return Ok(Outcome::Done),
        }
    }
}
