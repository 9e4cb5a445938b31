//! TURN over streams: where one message ends and the next begins (RFC 8656 §12.5).

/// What comes is neither STUN nor ChannelData, or longer than any that is meant for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay's stream is broken")]
pub struct BrokenStream;

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    /// Takes in what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, without padding. To be asked until there is none, so that the buffer stays small.
    ///
    /// # Errors
    /// The stream is broken, and stays so.
    pub fn poll(&mut self) -> Result<Option<Vec<u8>>, BrokenStream> {
        let Some((length, whole)) = lengths(&self.buffer)? else {
            return Ok(None);
        };
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let mut message: Vec<u8> = self.buffer.drain(..whole).collect();
        message.truncate(length);
        Ok(Some(message))
    }
}

/// The same datagram as a stream carries it.
#[must_use]
pub fn padded(mut datagram: Vec<u8>) -> Vec<u8> {
    datagram.resize(datagram.len().next_multiple_of(4), 0);
    datagram
}

/// How long the first message is, without and with padding.
fn lengths(bytes: &[u8]) -> Result<Option<(usize, usize)>, BrokenStream> {
    let Some((first, length)) = bytes.first().copied().zip(bytes.get(2..4)) else {
        return Ok(None);
    };
    let head = match first >> 6 {
        0 => crate::stun::HEAD,
        1 => 4,
        _ => return Err(BrokenStream),
    };
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if length > LONGEST {
        return Err(BrokenStream);
    }
    Ok(Some((head + length, (head + length).next_multiple_of(4))))
}

/// Room for any packet that a network carries whole, with what is around it.
const LONGEST: usize = 2_000;
