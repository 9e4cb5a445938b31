//! `tipring headless`: the engine without a window, for scripts and services.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::{BindError, Place, Publisher, Request, RpcError, Server};
use engine::{CommandSender, Engine, EngineConfig, EngineHandle, GivenTenant, Hub};
use model::{Command, Event, TraceRecord};
use serde_json::{Value, json};
use settings::Folders;
use trace::redact::{RedactOptions, Redactor};

use crate::cli::{Common, HeadlessArgs};
use crate::front::Front;
use crate::report::Report;
use crate::session::{call_media, folders, interrupted, passphrase, pipe, runtime, sound_ports};
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
        // With a socket elsewhere it still is the one program with these settings.
        let _place = match &folders {
            Some(folders) if folders.control_socket() != socket => {
                Some(Place::take(&folders.control_socket()).map_err(in_words)?)
            }
            _ => None,
        };
        let server = Server::bind(&socket).map_err(in_words)?;
        // An account given in place leaves nothing but what was recorded of it.
        let folders = folders.or_else(|| Folders::standard().map(Folders::for_traces_only));
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
            naming: account::naming(&args.account)?,
            key_passphrase: account::key_passphrase(&args.account)?,
            passphrase: passphrase(),
            ..sound_ports(&args.audio)
        };
        let piped = !config.hardware;
        let engine = Engine::start(config).await?;
        let _serving = serve(&engine, server, Show::Nothing);
        let mut events = engine.subscribe(None);
        let mut report = Report::new(common)?;
        let _pipe = if piped {
            Some(pipe(&engine, &mut report)?)
        } else {
            None
        };
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

fn in_words(error: BindError) -> anyhow::Error {
    match error {
        BindError::AlreadyRunning => anyhow::anyhow!(
            "Tipring is already running with these settings; `tipring ctl` asks it, and --config DIR starts another one beside it"
        ),
        error => error.into(),
    }
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

/// What a second start brings to the front.
#[derive(Clone)]
pub(crate) enum Show {
    /// There is no window.
    Nothing,
    /// The window, once it is open.
    Window(Arc<Front>),
}

impl Show {
    /// Brings the window to the front; answers whether there is one.
    fn now(&self, dial: Option<String>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Window(front) => {
                front.show(dial);
                true
            }
        }
    }
}

/// Serves other clients beside the window or instead of it.
pub(crate) fn serve(engine: &EngineHandle, server: Server, show: Show) -> Serving {
    let publisher = server.publisher();
    let (hub, sender) = (engine.hub(), engine.sender());
    let events = tokio::spawn(forward(engine.hub(), publisher));
    let requests = tokio::spawn(
        server
            .serve(move |request| answer(request, Arc::clone(&hub), sender.clone(), show.clone())),
    );
    Serving(vec![events, requests])
}

async fn forward(hub: Arc<Hub>, publisher: Publisher) {
    let mut events = hub.subscribe(None);
    loop {
        publisher.publish(&without_secrets(events.next().await));
    }
}

/// The event as it may leave the process: what answers a challenge can be tried against word lists.
fn without_secrets(mut event: Event) -> Event {
    match &mut event {
        Event::Trace { records } => mask(records),
        Event::Resync { snapshot } => mask(&mut snapshot.trace),
        _ => {}
    }
    event
}

fn mask(records: &mut [TraceRecord]) {
    let mut redactor = Redactor::new(records.iter(), RedactOptions::secrets_only());
    for record in records {
        *record = redactor.record(record);
    }
}

async fn answer(
    request: Request,
    hub: Arc<Hub>,
    sender: CommandSender,
    show: Show,
) -> Result<Value, RpcError> {
    match request {
        Request::Command(command) => {
            hub.read(|state| control::check(&command, state))?;
            if let Command::AddAccount { settings, .. } | Command::UpdateAccount { settings, .. } =
                &*command
            {
                engine::check_account(settings).map_err(|error| {
                    let text = error.sentence().into_revealed();
                    RpcError::new(RpcError::INVALID_PARAMS, text)
                })?;
            }
            sender.send(*command);
            Ok(Value::Null)
        }
        Request::ShowWindow { dial } => {
            let dial = dial.map(model::Identity::into_revealed);
            Ok(json!({"window": show.now(dial)}))
        }
        Request::Snapshot => {
            let mut snapshot = hub.snapshot();
            newest(&mut snapshot.trace);
            mask(&mut snapshot.trace);
            serde_json::to_value(snapshot)
                .map_err(|error| RpcError::new(RpcError::INTERNAL, error.to_string()))
        }
    }
}

/// Bytes that the trace in the answer to `snapshot` may have as JSON: a message of control characters takes six times
/// its room there.
const TRACE_JSON: usize = 6 << 20;

/// Leaves the newest records, as many as fit; the recorder has the others.
fn newest(records: &mut Vec<TraceRecord>) {
    let mut room = TRACE_JSON;
    let fit = records.iter().rev().take_while(|record| {
        let size = serde_json::to_string(record).map_or(usize::MAX, |text| text.len());
        let left = room.checked_sub(size);
        room = left.unwrap_or(0);
        left.is_some()
    });
    let surplus = records.len() - fit.count();
    records.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Snapshot, TenantId, Timestamp, TraceBody, Transport};

    use super::*;

    const ANSWER: &str = "6629fae49393a05397450978507c4ef1";

    fn register() -> TraceRecord {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
             Authorization: Digest username=\"alice\", realm=\"r\", nonce=\"n\", response=\"{ANSWER}\"\r\n\r\n"
        );
        TraceRecord {
            id: 1,
            time: Timestamp(0),
            tenant: TenantId::new("t"),
            account: None,
            call: None,
            body: TraceBody::Sip {
                sent: true,
                transport: Transport::Udp,
                local: "192.0.2.1:5060".to_owned(),
                peer: "192.0.2.2:5060".to_owned(),
                bytes: Arc::from(text.as_bytes()),
            },
        }
    }

    #[test]
    fn a_snapshot_holds_the_newest_records_that_fit() {
        let record = |id| TraceRecord {
            id,
            body: TraceBody::Note {
                topic: "t".to_owned(),
                text: "\u{1}".repeat(256 << 10).into(),
                sip_call_id: None,
            },
            ..register()
        };
        let mut records: Vec<_> = (1..=10).map(record).collect();
        newest(&mut records);
        let ids: Vec<_> = records.iter().map(|r| r.id).collect();
        assert_eq!(ids, [8, 9, 10], "each has a megabyte and a half as JSON");
    }

    #[test]
    fn what_answers_a_challenge_does_not_leave_the_process() {
        let records = vec![register()];
        let snapshot = Snapshot {
            trace: records.clone(),
            ..Snapshot::default()
        };
        let resync = Event::Resync {
            snapshot: Box::new(snapshot),
        };
        for event in [Event::Trace { records }, resync] {
            let told = serde_json::to_string(&without_secrets(event)).expect("it is JSON");
            assert!(!told.contains(ANSWER), "{told}");
            assert!(
                told.contains("sip:alice@example.com"),
                "the rest stays: {told}"
            );
        }
    }
}
