//! TURN over streams: where one message ends and the next begins (RFC 8656 §12.5).

use super::peers::{FIRST_CHANNEL, LAST_CHANNEL};
use crate::stun::COOKIE;

/// What comes is neither STUN nor ChannelData.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay's stream is broken")]
pub struct BrokenStream;

/// Cuts a stream into messages. Whoever may send to us by the relay may send up to 65,535 bytes at once (§12.4): what is
/// longer than any media is passed over without being kept, and the stream goes on.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// What is still to come of a message that is passed over.
    rest: usize,
    passed_over: u64,
}

impl Frames {
    /// Takes in what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        let unwanted = self.rest.min(bytes.len());
        self.rest -= unwanted;
        self.buffer
            .extend_from_slice(bytes.get(unwanted..).unwrap_or_default());
    }

    /// The next whole message, without padding. To be asked until there is none, so that the buffer stays small.
    ///
    /// # Errors
    /// The stream is broken, and stays so.
    pub fn poll(&mut self) -> Result<Option<Vec<u8>>, BrokenStream> {
        loop {
            let Some(Lengths { message, whole }) = lengths(&self.buffer)? else {
                return Ok(None);
            };
            if message > LONGEST {
                let here = whole.min(self.buffer.len());
                self.buffer.drain(..here);
                self.rest = whole - here;
                self.passed_over += 1;
                continue;
            }
            if self.buffer.len() < whole {
                return Ok(None);
            }
            let mut found: Vec<u8> = self.buffer.drain(..whole).collect();
            found.truncate(message);
            return Ok(Some(found));
        }
    }

    /// How much is kept of what is not whole yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// How many messages were too long.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

/// The same datagram as a stream carries it.
#[must_use]
pub fn padded(mut datagram: Vec<u8>) -> Vec<u8> {
    datagram.resize(datagram.len().next_multiple_of(4), 0);
    datagram
}

/// How long a message is, without and with padding.
struct Lengths {
    message: usize,
    whole: usize,
}

/// Those of the first one.
fn lengths(bytes: &[u8]) -> Result<Option<Lengths>, BrokenStream> {
    let Some(([a, b, c, d], rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let payload = usize::from(u16::from_be_bytes([*c, *d]));
    let head = match u16::from_be_bytes([*a, *b]) {
        // RFC 8489 §5: the length has no remainder, and the cookie follows.
        0..0x4000 => {
            let cookie = COOKIE.to_be_bytes();
            let known = rest.iter().zip(cookie);
            if payload % 4 != 0 || !known.into_iter().all(|(byte, sign)| *byte == sign) {
                return Err(BrokenStream);
            }
            crate::stun::HEAD
        }
        FIRST_CHANNEL..=LAST_CHANNEL => 4,
        _ => return Err(BrokenStream),
    };
    let message = head + payload;
    Ok(Some(Lengths {
        message,
        whole: message.next_multiple_of(4),
    }))
}

/// Room for any packet that a network carries whole, with what is around it.
const LONGEST: usize = 2_000;
