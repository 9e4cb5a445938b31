//! SIP on a WebSocket.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use super::keepalive::{Beat, Due, Pulse, until};
use super::{Connection, Course, FAREWELL, Silence};
use crate::error::Error;
use crate::websocket;

impl Connection {
    pub(super) async fn carry_websocket<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        websocket: WebSocketStream<S>,
        meter: &AtomicU64,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        course: &mut Course,
    ) -> Error {
        let (mut writer, reader) = websocket.split();
        let pulse = Pulse::default();
        let beat = Beat::new(self.keepalive.clone(), self.shared.limits.pong);
        let error = tokio::select! {
            biased;
            error = self.read_websocket(reader, meter, &pulse) => error,
            error = self.write_websocket(&mut writer, queue, &pulse, beat, course) => error,
        };
        let _ = tokio::time::timeout(FAREWELL, writer.close()).await;
        error
    }

    async fn read_websocket<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut reader: SplitStream<WebSocketStream<S>>,
        meter: &AtomicU64,
        pulse: &Pulse,
    ) -> Error {
        let limits = &self.shared.limits;
        let up_since = Instant::now();
        let mut whole = meter.load(Ordering::Relaxed);
        let mut begun: Option<Instant> = None;
        loop {
            let idle = self.patience(up_since);
            // The library does not say when a message begins: the octets that it reads do.
            let look = Instant::now() + limits.unfinished / 2;
            let item = tokio::select! {
                item = reader.next() => item,
                () = until(idle) => return Error::Idle,
                () = tokio::time::sleep_until(look) => {
                    let is_partial = meter.load(Ordering::Relaxed) != whole;
                    match begun {
                        Some(since) if is_partial && since.elapsed() >= limits.unfinished => {
                            return Error::Unfinished;
                        }
                        _ => begun = is_partial.then(|| begun.unwrap_or_else(Instant::now)),
                    }
                    continue;
                }
            };
            let at = Instant::now();
            let message = match item {
                Some(Ok(message)) => message,
                Some(Err(error)) => return websocket::of_flow(&error),
                None => return Error::Closed,
            };
            if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
                begun = None;
                whole = meter.load(Ordering::Relaxed);
            } else if begun.is_none() {
                whole = meter.load(Ordering::Relaxed);
            }
            self.on_heard();
            let bytes = match message {
                Message::Text(text) => Bytes::from(text),
                Message::Binary(bytes) => bytes,
                Message::Pong(_) => {
                    pulse.on_pong();
                    continue;
                }
                // RFC 6455 §5.5.1: nothing comes after it and nothing may go there. The library answers it with the
                // farewell.
                Message::Close(_) => return Error::Closed,
                // The library answers pings.
                Message::Ping(_) | Message::Frame(_) => continue,
            };
            // Keepalives of streams have no meaning here and do no harm.
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if !self.bring(bytes.into(), at.into_std()).await {
                return Error::Dismissed;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn write_websocket<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        writer: &mut SplitSink<WebSocketStream<S>, Message>,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        pulse: &Pulse,
        mut beat: Beat,
        course: &mut Course,
    ) -> Error {
        loop {
            let message = tokio::select! {
                biased;
                silence = self.silence() => match silence {
                    Silence::Probe if beat.hurry() => {
                        pulse.expect();
                        Message::Ping(Bytes::new())
                    }
                    Silence::Probe => continue,
                    Silence::Failed => return Error::Silent,
                },
                due = beat.due(pulse) => match due {
                    Due::Ping => {
                        pulse.expect();
                        Message::Ping(Bytes::new())
                    }
                    Due::Failed => return Error::FlowFailed,
                },
                message = queue.recv() => match message {
                    Some(bytes) => framed(Bytes::from(course.unwritten.insert(bytes).clone())),
                    None => return Error::Dismissed,
                },
            };
            match tokio::time::timeout(self.shared.limits.write, writer.send(message)).await {
                // After a ping there is nothing to take off the list.
                Ok(Ok(())) => self.on_written(course),
                Ok(Err(error)) => return websocket::of_flow(&error),
                Err(_) => return Error::SlowReader,
            }
        }
    }
}

/// One message in one frame: as text when it is, since some peers take nothing else (RFC 7118 §5).
fn framed(bytes: Bytes) -> Message {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(bytes),
    }
}
