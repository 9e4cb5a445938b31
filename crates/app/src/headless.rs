//! `tipring headless`: the engine without a window, for scripts and services.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::{Publisher, Request, RpcError, Server};
use engine::{CommandSender, Engine, EngineConfig, EngineHandle, GivenTenant, Hub};
use model::Event;
use serde_json::{Value, json};
use settings::Folders;

use crate::cli::{Common, HeadlessArgs};
use crate::report::Report;
use crate::session::{call_media, folders, interrupted, passphrase, runtime};
use crate::{Outcome, account};

/// How long hanging up and signing out may take.
const FAREWELL: Duration = Duration::from_secs(6);

pub(crate) fn run(common: &Common, args: &HeadlessArgs) -> anyhow::Result<Outcome> {
    runtime()?.block_on(async {
        let given = account::given(&args.account)?;
        let folders = match (&given, &common.config) {
            (Some(_), None) => None,
            _ => Some(folders(common)?),
        };
        let socket = socket_path(args.control.clone(), folders.as_ref())?;
        let server = Server::bind(&socket)?;
        let config = EngineConfig {
            use_settings: given.is_none(),
            folders,
            given: given
                .map(|given| GivenTenant {
                    name: "command line".to_owned(),
                    accounts: vec![given],
                })
                .into_iter()
                .collect(),
            media: call_media(&args.audio, args.echo)?,
            hosts: account::hosts(&args.account)?,
            passphrase: passphrase(),
            ..EngineConfig::default()
        };
        let engine = Engine::start(config).await?;
        let _serving = serve(&engine, server);
        let mut events = engine.subscribe(None);
        let mut report = Report::new(common);
        report.own(json!({"event": "listening", "control": socket}), || {
            format!("listening on {}", socket.display())
        });
        loop {
            tokio::select! {
                event = events.next() => {
                    report.event(&event);
                    if event == Event::Stopped {
                        return Ok(Outcome::Done);
                    }
                }
                () = interrupted() => break,
            }
        }
        engine.shutdown(FAREWELL).await;
        Ok(Outcome::Done)
    })
}

/// The socket that was named, else the one of the folder.
pub(crate) fn socket_path(
    named: Option<PathBuf>,
    folders: Option<&Folders>,
) -> anyhow::Result<PathBuf> {
    match (named, folders) {
        (Some(path), _) => Ok(path),
        (None, Some(folders)) => Ok(folders.control_socket()),
        (None, None) => anyhow::bail!("which socket? give --control PATH"),
    }
}

/// Tasks that end when this is dropped.
pub(crate) struct Serving(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Serves other clients beside the window or instead of it.
pub(crate) fn serve(engine: &EngineHandle, server: Server) -> Serving {
    let publisher = server.publisher();
    let (hub, sender) = (engine.hub(), engine.sender());
    let events = tokio::spawn(forward(engine.hub(), publisher));
    let requests = tokio::spawn(
        server.serve(move |request| answer(request, Arc::clone(&hub), sender.clone())),
    );
    Serving(vec![events, requests])
}

async fn forward(hub: Arc<Hub>, publisher: Publisher) {
    let mut events = hub.subscribe(None);
    loop {
        publisher.publish(&events.next().await);
    }
}

async fn answer(request: Request, hub: Arc<Hub>, sender: CommandSender) -> Result<Value, RpcError> {
    match request {
        Request::Command(command) => {
            sender.send(*command);
            Ok(Value::Null)
        }
        Request::Snapshot => serde_json::to_value(hub.snapshot())
            .map_err(|error| RpcError::new(RpcError::INTERNAL, error.to_string())),
    }
}
