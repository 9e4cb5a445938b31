//! SIP on a stream.

use sip_message::framer::{Frame, StreamFramer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::keepalive::{Beat, Due, Pulse, until};
use super::{Connection, Course, FAREWELL, Silence};
use crate::error::Error;

/// What is read at a time.
const READ_CHUNK: usize = 8 * 1024;
const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";

impl Connection {
    pub(super) async fn carry_stream<S: AsyncRead + AsyncWrite>(
        &mut self,
        stream: S,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        course: &mut Course,
    ) -> Error {
        let (reader, mut writer) = tokio::io::split(stream);
        let pulse = Pulse::default();
        let beat = Beat::new(self.keepalive.clone(), self.shared.limits.pong);
        // What the peer said comes before what is to be said to it: above all that it is gone.
        let (error, last_words) = tokio::select! {
            biased;
            ended = self.read_stream(reader, &pulse) => ended,
            error = self.write_stream(&mut writer, queue, &pulse, beat, course) => (error, None),
        };
        let farewell = async {
            if let Some(words) = last_words.filter(|_| course.unwritten.is_none()) {
                writer.write_all(&words).await?;
            }
            writer.shutdown().await
        };
        // It ends anyway; what ended it is known.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        error
    }

    /// Reads until it cannot go on: why, and what to say to a peer that broke the rules.
    async fn read_stream<R: AsyncRead + Unpin>(
        &self,
        mut reader: R,
        pulse: &Pulse,
    ) -> (Error, Option<Vec<u8>>) {
        let limits = &self.shared.limits;
        let mut framer = StreamFramer::with_limits(sip_message::Limits {
            message: limits.message,
            ..sip_message::Limits::default()
        });
        let mut chunk = vec![0_u8; READ_CHUNK];
        let up_since = Instant::now();
        let mut begun = None;
        loop {
            let (deadline, lateness) = match begun {
                Some(since) => (Some(since + limits.unfinished), Error::Unfinished),
                None => (self.patience(up_since), Error::Idle),
            };
            let length = tokio::select! {
                length = reader.read(&mut chunk) => match length {
                    Ok(0) => return (Error::Closed, None),
                    Ok(length) => length,
                    Err(error) => return (Self::error_of(&error), None),
                },
                () = until(deadline) => return (lateness, None),
            };
            let at = Instant::now();
            self.on_heard();
            pulse.tell(&mut framer);
            framer.push(chunk.get(..length).unwrap_or_default());
            loop {
                match framer.poll() {
                    Ok(None) => break,
                    Ok(Some(Frame::Message(bytes))) => {
                        begun = None;
                        if !self.bring(bytes, at.into_std()).await {
                            return (Error::Dismissed, None);
                        }
                    }
                    // RFC 5626 §4.4.1: one pong for a ping.
                    Ok(Some(Frame::Ping)) => pulse.reply.notify_one(),
                    Ok(Some(Frame::Pong)) => pulse.on_pong(),
                    Err(error) => {
                        let answer = error.0.answer().map(|response| response.to_bytes());
                        return (Error::Unframed(error.to_string()), answer);
                    }
                }
            }
            if framer.is_between_messages() {
                begun = None;
            } else {
                // From the first octet of a message, however slowly the others drip in.
                begun.get_or_insert(at);
            }
            // The other half has its turn, however much the peer sends.
            tokio::task::yield_now().await;
        }
    }

    async fn write_stream<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        queue: &mut mpsc::Receiver<Vec<u8>>,
        pulse: &Pulse,
        mut beat: Beat,
        course: &mut Course,
    ) -> Error {
        loop {
            let (bytes, is_message) = tokio::select! {
                biased;
                silence = self.silence() => match silence {
                    Silence::Probe if beat.hurry() => {
                        pulse.expect();
                        (PING.to_vec(), false)
                    }
                    Silence::Probe => continue,
                    Silence::Failed => return Error::Silent,
                },
                due = beat.due(pulse) => match due {
                    Due::Ping => {
                        pulse.expect();
                        (PING.to_vec(), false)
                    }
                    Due::Failed => return Error::FlowFailed,
                },
                () = pulse.reply.notified() => (PONG.to_vec(), false),
                message = queue.recv() => match message {
                    Some(bytes) => (bytes, true),
                    None => return Error::Dismissed,
                },
            };
            let unwritten = if is_message {
                &*course.unwritten.insert(bytes)
            } else {
                &bytes
            };
            let writing = async {
                writer.write_all(unwritten).await?;
                writer.flush().await
            };
            match tokio::time::timeout(self.shared.limits.write, writing).await {
                Ok(Ok(())) if is_message => self.on_written(course),
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Self::error_of(&error),
                Err(_) => return Error::SlowReader,
            }
        }
    }
}
