//! The end that a running program holds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::connection;
use crate::door::{BindError, Door};
use crate::events::Publisher;
use crate::rpc::{self, Request, RpcError};

/// What clients may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Clients at once.
    pub connections: usize,
    /// Bytes in one line of a client.
    pub line_bytes: usize,
    /// Lines that wait for one client.
    pub queued_lines: usize,
    /// Bytes that wait for one client: events beyond them are lost, and no further request is taken up.
    pub queued_bytes: usize,
    /// Bytes of the answers to one batch; what does not fit is refused.
    pub batch_bytes: usize,
    /// From connecting to the first byte, and from the first byte of a line to its end.
    pub line_time: Duration,
    /// For the program to answer one request.
    pub answer: Duration,
    /// For a client to take one line.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            line_bytes: 256 << 10,
            queued_lines: 1024,
            queued_bytes: 8 << 20,
            batch_bytes: 8 << 20,
            line_time: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            write: Duration::from_secs(60),
        }
    }
}

/// The listening socket of the one running program.
pub struct Server {
    door: Door,
    limits: Limits,
    publisher: Publisher,
}

impl Server {
    /// Opens the socket at `path`; a left-over of a program that is gone is replaced. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError::AlreadyRunning`] when another program holds it.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        Self::bind_with(path, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_with(path: &Path, limits: Limits) -> Result<Self, BindError> {
        Ok(Self {
            door: Door::open(path)?,
            limits,
            publisher: Publisher::default(),
        })
    }

    /// Tells events to the clients that asked for them.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Serves clients until the future is dropped, which closes all connections and removes the socket.
    /// The requests of one client are handled one after the other, those of several side by side.
    pub async fn serve<H, F>(self, handler: H)
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Value, RpcError>> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let limits = Arc::new(self.limits);
        let handler = Arc::new(handler);
        let mut clients = JoinSet::new();
        loop {
            // Ended ones are taken out, or the set would keep their results for ever.
            while clients.try_join_next().is_some() {}
            let (reader, mut writer) = match self.door.accept().await {
                Ok(client) => client,
                Err(error) => {
                    tracing::debug!(target: "control", "a client was not let in: {error}");
                    // Out of file handles is an error at once, again and again.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                let error = RpcError::new(RpcError::BUSY, "too many clients");
                let line = format!("{}\n", rpc::answer(&Value::Null, Err(error)));
                // The buffer of a new connection takes one short line; a client that does not is no loss.
                let _ = tokio::time::timeout(
                    Duration::from_millis(100),
                    writer.write_all(line.as_bytes()),
                )
                .await;
                continue;
            };
            let (limits, handler) = (Arc::clone(&limits), Arc::clone(&handler));
            let publisher = self.publisher.clone();
            clients.spawn(async move {
                connection::serve(reader, writer, &limits, &publisher, &*handler).await;
                drop(place);
            });
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

#[cfg(test)]
pub(crate) mod tests;
