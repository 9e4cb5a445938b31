use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{CallId, Command, Event, Snapshot};
use serde_json::{Map, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::*;
use crate::{Client, ClientError, Notification};

/// A folder of its own for one test, empty; gone when this is dropped.
pub(crate) struct Scratch(PathBuf);

pub(crate) fn scratch(name: &str) -> Scratch {
    let dir = std::env::temp_dir().join(format!("trc-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    Scratch(dir)
}

impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to tidy up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Running {
    _dir: Scratch,
    path: PathBuf,
    publisher: Publisher,
    task: JoinHandle<()>,
    handled: Arc<AtomicUsize>,
}

fn start(name: &str, limits: Limits) -> Running {
    let dir = scratch(name);
    let path = dir.join("run/control.sock");
    let server = Server::bind_with(&path, limits).unwrap();
    let publisher = server.publisher();
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let task = tokio::spawn(server.serve(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            match request {
                Request::ShowWindow { .. } => Ok(json!({"window": false})),
                Request::Snapshot => Ok(serde_json::to_value(Snapshot::default()).unwrap()),
                Request::Command(command) => match *command {
                    Command::Shutdown => Err(RpcError::new(RpcError::BUSY, "not now")),
                    Command::RefreshDevices => std::future::pending().await,
                    _ => Ok(Value::Null),
                },
            }
        }
    }));
    Running {
        _dir: dir,
        path,
        publisher,
        task,
        handled,
    }
}

/// Sends bytes and gives all that comes back until the server closes or a line has come.
async fn exchange(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    // The server may close before it has read all of a hostile line.
    let _ = stream.write_all(bytes).await;
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line).await;
    line
}

async fn is_alive(running: &Running) {
    let mut client = Client::connect(&running.path).await.unwrap();
    let pong = client.call("ping", Map::new()).await.unwrap();
    assert_eq!(pong["program"], "tipring");
}

#[tokio::test]
async fn a_client_asks_and_is_answered() {
    let running = start("ask", Limits::default());
    is_alive(&running).await;
    let mut client = Client::connect(&running.path).await.unwrap();
    let (method, params) = crate::method_and_params(&Command::EndCall { call: CallId(7) }).unwrap();
    assert_eq!(client.call(&method, params).await.unwrap(), Value::Null);
    let shown = client.call("show_window", Map::new()).await.unwrap();
    assert_eq!(shown, json!({"window": false}));
    let snapshot = client.call("snapshot", Map::new()).await.unwrap();
    let snapshot: Snapshot = serde_json::from_value(snapshot).unwrap();
    assert_eq!(snapshot, Snapshot::default());
    let refused = client.call("shutdown", Map::new()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(error) if error.message == "not now"));
    let unknown = client.call("explode", Map::new()).await.unwrap_err();
    assert!(matches!(unknown, ClientError::Refused(error) if error.code == -32601));
    assert_eq!(running.handled.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn events_reach_those_who_asked_in_order() {
    let running = start("events", Limits::default());
    let mut listener = Client::connect(&running.path).await.unwrap();
    listener.subscribe().await.unwrap();
    let mut quiet = Client::connect(&running.path).await.unwrap();
    quiet.call("ping", Map::new()).await.unwrap();
    assert_eq!(running.publisher.subscribers(), 1);
    for call in 0..100 {
        running
            .publisher
            .publish(&Event::CallRemoved { call: CallId(call) });
    }
    // An answer among the events does not disturb them.
    listener.call("ping", Map::new()).await.unwrap();
    for call in 0..100 {
        let expected = Event::CallRemoved { call: CallId(call) };
        let told = listener.next().await.unwrap();
        assert_eq!(told, Notification::Event(Box::new(expected)));
    }
    drop(listener);
    while running.publisher.subscribers() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_what_it_missed() {
    let limits = Limits {
        queued_lines: 16,
        ..Limits::default()
    };
    let running = start("slow", limits);
    let mut slow = Client::connect(&running.path).await.unwrap();
    slow.subscribe().await.unwrap();
    const TOLD: u64 = 100_000;
    for call in 0..TOLD {
        running
            .publisher
            .publish(&Event::CallRemoved { call: CallId(call) });
    }
    let mut events = 0;
    let lost = loop {
        match slow.next().await.unwrap() {
            Notification::Event(_) => events += 1,
            Notification::Resync { lost } => break lost,
        }
    };
    assert_eq!(events + lost, TOLD);
    running.publisher.publish(&Event::Stopped);
    let after = slow.next().await.unwrap();
    assert_eq!(after, Notification::Event(Box::new(Event::Stopped)));
}

#[tokio::test]
async fn batches_are_answered_as_batches_and_notifications_not_at_all() {
    let running = start("batch", Limits::default());
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "ping"},
        {"jsonrpc": "2.0", "id": "b", "method": "nothing"},
        5,
    ]);
    let answer = exchange(&running.path, format!("{batch}\n").as_bytes()).await;
    let answers: Vec<Value> = serde_json::from_str(&answer).unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[1]["id"], "b");
    assert_eq!(answers[1]["error"]["code"], -32601);
    assert_eq!(answers[2]["error"]["code"], -32600);
    let silent_then_ping = b"{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\n\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n";
    let answer = exchange(&running.path, silent_then_ping).await;
    assert!(answer.contains("\"id\":9"), "{answer}");
}

#[tokio::test]
async fn a_batch_of_long_answers_is_cut_off_at_the_limit_and_short_ones_are_given() {
    let dir = scratch("long-batch");
    let path = dir.join("control.sock");
    let limits = Limits {
        batch_bytes: 40_000,
        ..Limits::default()
    };
    let server = Server::bind_with(&path, limits).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(server.serve(move |request| {
        let long = request == Request::Snapshot;
        count.fetch_add(usize::from(long), Ordering::SeqCst);
        async move {
            Ok(if long {
                Value::String("x".repeat(15_000))
            } else {
                Value::Null
            })
        }
    }));
    let mut batch: Vec<Value> = (0..63)
        .map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "snapshot"}))
        .collect();
    batch.push(json!({"jsonrpc": "2.0", "id": 63, "method": "refresh_devices"}));
    let line = format!("{}\n", Value::Array(batch));
    let answer = exchange(&path, line.as_bytes()).await;
    let answers: Vec<Value> = serde_json::from_str(&answer).unwrap();
    assert_eq!(answers.len(), 64);
    let good = answers.iter().filter(|a| a["result"].is_string()).count();
    assert_eq!(good, 2);
    assert!(
        answers[2..63]
            .iter()
            .all(|a| a["error"]["code"] == RpcError::TOO_LONG)
    );
    assert!(
        answers[63].get("error").is_none(),
        "a command is carried out"
    );
    assert!(answer.len() < 60_000, "{}", answer.len());
}

#[tokio::test]
async fn garbage_is_answered_with_a_parse_error_and_harms_nobody() {
    let running = start("garbage", Limits::default());
    for garbage in [
        &b"\x00\xff\xfe garbage\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"jsonrpc\":\n",
        &[&[b'['; 5000][..], b"\n"].concat(),
    ] {
        let answer = exchange(&running.path, garbage).await;
        assert!(answer.contains("-32700"), "{answer}");
    }
    is_alive(&running).await;
}

#[tokio::test]
async fn a_line_without_end_is_cut_off_at_the_limit() {
    let limits = Limits {
        line_bytes: 1000,
        ..Limits::default()
    };
    let running = start("huge", limits);
    let answer = exchange(&running.path, &vec![b'x'; 4 << 20]).await;
    // Closing with unread bytes may take the answer with it; what must hold is that the line ended.
    assert!(
        answer.is_empty() || answer.contains("at most 1000 bytes"),
        "{answer}"
    );
    let exact = format!(
        "{:1000}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}"
    );
    let answer = exchange(&running.path, format!("{exact}\n").as_bytes()).await;
    assert!(answer.contains("\"result\""), "{answer}");
    is_alive(&running).await;
}

#[tokio::test(start_paused = true)]
async fn half_open_connections_lose_their_places() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let running = start("half", limits);
    let mut silent = UnixStream::connect(&running.path).await.unwrap();
    let mut torn = UnixStream::connect(&running.path).await.unwrap();
    torn.write_all(b"{\"jsonrpc\":\"2.0\",").await.unwrap();
    // Both end by themselves; virtual time runs only while nothing else can.
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.unwrap();
    torn.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    is_alive(&running).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_answered_inside_ends_in_an_error() {
    let running = start("stuck", Limits::default());
    let mut client = Client::connect(&running.path).await.unwrap();
    let error = client
        .call("refresh_devices", Map::new())
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Refused(error) if error.code == RpcError::BUSY));
    client.call("ping", Map::new()).await.unwrap();
}

#[tokio::test]
async fn a_thousand_connections_do_not_take_the_program_down() {
    let running = start("crowd", Limits::default());
    let mut crowd = Vec::new();
    let mut turned_away = 0;
    for _ in 0..1000 {
        // One after the other, each to its end or to its first answer.
        let mut stream = UnixStream::connect(&running.path).await.unwrap();
        let _ = stream
            .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n")
            .await;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let _ = stream.read_line(&mut line).await;
        if line.contains("\"result\"") {
            crowd.push(stream);
        } else {
            assert!(
                line.is_empty() || line.contains("too many clients"),
                "{line}"
            );
            turned_away += 1;
        }
    }
    assert_eq!((crowd.len(), turned_away), (64, 936));
    crowd.clear();
    loop {
        let mut client = Client::connect(&running.path).await.unwrap();
        if client.call("ping", Map::new()).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn a_second_program_finds_the_first() {
    let running = start("second", Limits::default());
    assert!(matches!(
        Server::bind(&running.path),
        Err(BindError::AlreadyRunning)
    ));
    is_alive(&running).await;
    running.task.abort();
    let _ = running.task.await;
    assert!(!running.path.exists(), "the socket goes with the program");
    let missing = Client::connect(&running.path).await.unwrap_err();
    assert!(matches!(missing, ClientError::NotRunning));
    drop(Server::bind(&running.path).unwrap());
}

#[tokio::test]
async fn a_socket_left_by_a_program_that_died_is_replaced() {
    let dir = scratch("stale");
    let path = dir.join("control.sock");
    // What a killed process leaves: a socket nobody listens on and a lock nobody holds.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    std::fs::write(path.with_file_name("control.sock.lock"), b"").unwrap();
    let refused = Client::connect(&path).await.unwrap_err();
    assert!(matches!(refused, ClientError::NotRunning));
    let server = Server::bind(&path).unwrap();
    tokio::spawn(server.serve(|_| async { Ok(Value::Null) }));
    let mut client = Client::connect(&path).await.unwrap();
    client.call("ping", Map::new()).await.unwrap();
}

#[tokio::test]
async fn a_file_of_that_name_is_left_as_it_is() {
    let dir = scratch("thesis");
    let path = dir.join("thesis.txt");
    std::fs::write(&path, b"my thesis").unwrap();
    let refused = Server::bind(&path).map(drop).unwrap_err();
    assert!(refused.to_string().contains("no socket"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"my thesis");
    assert!(!dir.join("thesis.txt.lock").exists());
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let running = start("private", Limits::default());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&running.path), 0o600);
    assert_eq!(mode(running.path.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn a_path_that_does_not_fit_is_said() {
    let dir = scratch("long");
    let path = dir.join("x".repeat(120));
    assert!(matches!(
        Server::bind(&path),
        Err(BindError::PathTooLong(_))
    ));
    let refused = Client::connect(&path).await.unwrap_err();
    assert!(matches!(refused, ClientError::PathTooLong(_)), "{refused}");
}
