//! `tipring ctl`: one JSON-RPC call to a running Tipring.

use std::time::Duration;

use anyhow::Context;
use control::{Client, ClientError, Notification};
use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::cli::{Common, CtlArgs};
use crate::headless::socket_path;
use crate::session::{folders, interrupted, runtime};

/// How long a running Tipring may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(common: &Common, args: &CtlArgs) -> anyhow::Result<Outcome> {
    let params: Map<String, Value> = match &args.params {
        Some(text) => serde_json::from_str(text).context("the parameters are not a JSON object")?,
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
                println!("{result}");
                Ok(Outcome::Done)
            }
            Err(ClientError::Refused(error)) => {
                println!(
                    "{}",
                    json!({"error": {"code": error.code, "message": error.message}})
                );
                Ok(Outcome::Failed)
            }
            Err(error) => Err(error.into()),
        }
    })
}

/// Prints events until interrupted.
async fn follow(mut client: Client) -> anyhow::Result<Outcome> {
    loop {
        let told = tokio::select! {
            told = client.next() => told,
            () = interrupted() => return Ok(Outcome::Done),
        };
        match told {
            Ok(Notification::Event(event)) => println!("{}", serde_json::to_string(&event)?),
            Ok(Notification::Resync { lost }) => {
                println!("{}", json!({"event": "lost", "count": lost}));
            }
            Err(_) => return Ok(Outcome::Done),
        }
    }
}
