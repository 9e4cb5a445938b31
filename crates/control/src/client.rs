//! The end of the command line and of scripts.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Event;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use crate::connection::{Read, read_line};
use crate::door;
use crate::rpc::RpcError;

/// A connection to a running Tipring.
pub struct Client {
    reader: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    next_id: u64,
    /// What was told while an answer was awaited.
    told: VecDeque<Notification>,
}

/// Something the program told without being asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Notification {
    /// An event.
    Event(Box<Event>),
    /// So many events were missed; [`Client::call`] `snapshot` and go on from there.
    Resync {
        /// How many.
        lost: u64,
    },
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("Tipring is not running")]
    NotRunning,
    /// No socket can have this path.
    #[error("the path of the control socket may have {} characters; --control takes a shorter one: {}", door::PATH_BYTES, .0.display())]
    PathTooLong(PathBuf),
    /// It answered with an error.
    #[error(transparent)]
    Refused(#[from] RpcError),
    /// What came is not what this protocol says.
    #[error("the answer cannot be understood: {0}")]
    Protocol(String),
    /// It went away.
    #[error("Tipring has ended")]
    Closed,
    /// The connection broke.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

impl Client {
    /// Connects to the program that listens at `path`.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when there is none.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        if path.as_os_str().len() > door::PATH_BYTES {
            return Err(ClientError::PathTooLong(path.to_owned()));
        }
        let (reader, writer) = door::connect(path)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NotRunning
                }
                _ => ClientError::Io(error),
            })?;
        Ok(Self {
            reader: BufReader::new(Box::new(reader)),
            writer: Box::new(writer),
            next_id: 1,
            told: VecDeque::new(),
        })
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the program's own words, others when it cannot be reached.
    pub async fn call(
        &mut self,
        method: &str,
        params: Map<String, Value>,
    ) -> Result<Value, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let sent = self.writer.write_all(format!("{line}\n").as_bytes()).await;
        // The program may have said why before it closed; its words matter more than the broken pipe.
        let mut answer = loop {
            let Some(mut object) = self.read().await? else {
                sent?;
                return Err(ClientError::Closed);
            };
            if object.contains_key("method") {
                self.keep(&mut object)?;
            } else if object.get("id").and_then(Value::as_u64) == Some(id)
                || object.get("id") == Some(&Value::Null)
            {
                break object;
            }
        };
        match (answer.remove("error"), answer.remove("result")) {
            (Some(error), _) => Err(match serde_json::from_value::<RpcError>(error) {
                Ok(error) => ClientError::Refused(error),
                Err(error) => ClientError::Protocol(error.to_string()),
            }),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(ClientError::Protocol("there is no result".to_owned())),
        }
    }

    /// Asks for all events from now on; they come from [`Client::next`].
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn subscribe(&mut self) -> Result<(), ClientError> {
        self.call("events", Map::new()).await.map(drop)
    }

    /// Waits for the next thing the program tells.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when the program ends.
    pub async fn next(&mut self) -> Result<Notification, ClientError> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Ok(told);
            }
            let Some(mut object) = self.read().await? else {
                return Err(ClientError::Closed);
            };
            if object.contains_key("method") {
                self.keep(&mut object)?;
            }
        }
    }

    fn keep(&mut self, object: &mut Map<String, Value>) -> Result<(), ClientError> {
        let params = object.remove("params").unwrap_or(Value::Null);
        let told = match object.get("method").and_then(Value::as_str) {
            Some("event") => serde_json::from_value(params)
                .map(|event| Notification::Event(Box::new(event)))
                .map_err(|error| ClientError::Protocol(error.to_string()))?,
            Some("resync") => Notification::Resync {
                lost: params.get("lost").and_then(Value::as_u64).unwrap_or(0),
            },
            // A newer program may tell more than we know.
            _ => return Ok(()),
        };
        if self.told.len() >= KEPT {
            self.told.clear();
            self.told
                .push_back(Notification::Resync { lost: KEPT as u64 });
        }
        self.told.push_back(told);
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<Map<String, Value>>, ClientError> {
        let mut line = Vec::new();
        match read_line(&mut self.reader, &mut line, LINE, None, LINE_TIME).await? {
            Read::End => Ok(None),
            Read::TooLong => Err(ClientError::Protocol("a line is too long".to_owned())),
            Read::Line => match serde_json::from_slice(&line) {
                Ok(Value::Object(object)) => Ok(Some(object)),
                Ok(_) => Err(ClientError::Protocol("a line is no object".to_owned())),
                Err(error) => Err(ClientError::Protocol(error.to_string())),
            },
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// A snapshot with all its trace records is long.
const LINE: usize = 64 << 20;
const LINE_TIME: Duration = Duration::from_secs(60);
const KEPT: usize = 4096;
