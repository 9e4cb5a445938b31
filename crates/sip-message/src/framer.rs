//! Messages out of a stream of octets (RFC 3261 §18.3, RFC 5626 §3.5.1).
//!
//! ```text
//!            CRLF CRLF ─► Ping
//!  boundary ─ CRLF ─────► Pong (when one is due, or when something else follows)
//!            octets ────► head ── empty line ──► body ── Content-Length octets ──► Message
//! ```

use thiserror::Error;

use crate::error::ParseError;
use crate::error::ParseErrorKind;
use crate::limits::Limits;
use crate::view::{announced_length, find_line_end};

/// What a stream delivers.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// The octets of one message, start line to body, to be read with [`crate::Message::parse`].
    Message(Vec<u8>),
    /// A double CRLF, to be answered with one CRLF.
    Ping,
    /// A single CRLF: the answer to a ping, or a stray line end.
    Pong,
}

/// Why a stream cannot be followed any further. The connection is of no use after it; an answer
/// can be sent first where the fault lets one be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the stream cannot be framed: {0}")]
pub struct FramerError(pub ParseError);

/// Cuts a stream into messages and keepalives. However the octets are split on their way, the
/// frames are the same.
#[derive(Clone, Default)]
pub struct StreamFramer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Octets of the buffer that have been handed out.
    used: usize,
    /// Where the line begins that has not been seen whole.
    line: usize,
    /// Where the search for its end goes on, so that no octet is searched twice.
    searched: usize,
    /// Length of head and body of the message at hand, once its head is complete.
    length: Option<usize>,
    pongs_due: u32,
    failed: Option<FramerError>,
}

impl StreamFramer {
    /// A framer with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// A framer with other limits.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes octets in. Poll until nothing comes before pushing more: what is buffered then is at
    /// most one unfinished message, within the limits.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.used > 0 {
            self.buffer.drain(..self.used.min(self.buffer.len()));
            self.line = self.line.saturating_sub(self.used);
            self.searched = self.searched.saturating_sub(self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that a ping was sent, so that the next single CRLF is its answer and is told at once.
    /// Without it a single CRLF is told when the octets behind it show that it is no half of a
    /// ping.
    pub fn expect_pong(&mut self) {
        self.pongs_due = self.pongs_due.saturating_add(1);
    }

    /// Octets of an unfinished message or keepalive.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.used.min(self.buffer.len())
    }

    /// Whether no message has begun: what is buffered is nothing, half a keepalive, or line ends that a peer writes behind
    /// its messages, which are ignored (RFC 3261 §7.5).
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.rest().iter().all(|byte| matches!(byte, b'\r' | b'\n')) && self.length.is_none()
    }

    pub(crate) fn unfinished(&self) -> &[u8] {
        self.rest()
    }

    /// The next frame; `None` until more octets come.
    ///
    /// # Errors
    /// Where the next message would begin is unknown, or a limit is passed. The same error comes
    /// again on every later poll.
    pub fn poll(&mut self) -> Result<Option<Frame>, FramerError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let frame = if self.length.is_none() && self.line <= self.used {
            self.boundary()
        } else {
            self.message()
        };
        frame.map_err(|error| {
            let error = FramerError(error);
            self.failed = Some(error.clone());
            self.buffer = Vec::new();
            self.used = 0;
            error
        })
    }

    /// Between two messages.
    fn boundary(&mut self) -> Result<Option<Frame>, ParseError> {
        loop {
            return match self.rest() {
                [] | [b'\r'] => Ok(None),
                [b'\r', b'\n', ..] if self.pongs_due > 0 => {
                    self.pongs_due -= 1;
                    Ok(Some(self.keepalive(2, Frame::Pong)))
                }
                [b'\r', b'\n', b'\r', b'\n', ..] => Ok(Some(self.keepalive(4, Frame::Ping))),
                [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => Ok(None),
                [b'\r', b'\n', ..] => Ok(Some(self.keepalive(2, Frame::Pong))),
                // A line end of neither kind says nothing.
                [b'\r' | b'\n', ..] => {
                    self.used += 1;
                    continue;
                }
                _ => {
                    self.line = self.used;
                    self.message()
                }
            };
        }
    }

    fn keepalive(&mut self, length: usize, frame: Frame) -> Frame {
        self.used += length;
        frame
    }

    /// Within a message: its head, then its body.
    fn message(&mut self) -> Result<Option<Frame>, ParseError> {
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(head) = self.head_end() else {
                    return if self.buffered() > self.limits.message {
                        Err(ParseError::new(ParseErrorKind::MessageTooLarge))
                    } else {
                        Ok(None)
                    };
                };
                let head = self.buffer.get(self.used..head).unwrap_or_default();
                let length = head.len() + announced_length(head, &self.limits)?;
                self.length = Some(length);
                length
            }
        };
        let Some(message) = self.rest().get(..length) else {
            return Ok(None);
        };
        let message = message.to_vec();
        self.used += length;
        self.line = self.used;
        self.length = None;
        Ok(Some(Frame::Message(message)))
    }

    /// Where the empty line ends that ends the head. A line may end in LF alone.
    fn head_end(&mut self) -> Option<usize> {
        let mut from = self.line.max(self.searched);
        loop {
            let Some(end) = find_line_end(self.buffer.get(from..)?) else {
                self.searched = self.buffer.len();
                return None;
            };
            let end = from + end;
            let next = match self.buffer.get(end..)? {
                [b'\n', ..] => end + 1,
                [b'\r', b'\n', ..] => end + 2,
                [b'\r'] => {
                    self.searched = end;
                    return None;
                }
                // A CR alone does not end a line.
                _ => {
                    from = end + 1;
                    continue;
                }
            };
            let empty = end == self.line;
            self.line = next;
            from = next;
            if empty {
                return Some(next);
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
