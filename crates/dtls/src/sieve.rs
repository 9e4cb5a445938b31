//! What of a datagram `rtc-dtls` gets to see.
//!
//! It keeps every fragment of a message until the message is whole, those of messages that were whole long ago for ever,
//! and everything of the next epoch until there are keys, and walks through all of it at every record; of fragments it
//! counts only the bytes, and a fragment may have none. So what it gets is checked and counted here: whoever is talked
//! to has it keep a few hundred pieces at the most, and work in proportion.

use bytes::BytesMut;

/// Bytes before what a record carries (RFC 6347 §4.1).
pub(crate) const HEAD: usize = 13;

/// Types of records (RFC 5246 §6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;

/// Bytes before what a fragment of a message carries (RFC 6347 §4.2.2).
const MESSAGE_HEAD: usize = 12;

/// Messages of one side of a handshake are numbered below this: a client has six, a server seven (RFC 6347 §4.2.4),
/// and some room for what extensions add.
const MESSAGES: usize = 16;

/// Bytes of a message: a chain of certificates is the longest.
const LONGEST: usize = 32_768;

/// Bytes of an encrypted record of a handshake or an alert: `Finished` has 24, and what protects it up to 304.
const LONGEST_ENCRYPTED: usize = 512;

/// Pieces of all messages of one side, with their repetitions; what is encrypted counts as many as it might hold.
pub(crate) const MOST_PIECES: usize = 256;

/// Pieces of one message, with their repetitions.
const MOST_OF_ONE: u8 = 64;

/// Bytes of all pieces.
pub(crate) const MOST_BYTES: usize = 131_072;

/// One sent more than a handshake has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch;

/// Checks and counts what one remote side sends before there are keys.
#[derive(Debug, Default)]
pub(crate) struct Sieve {
    pieces: usize,
    bytes: usize,
    of_message: [u8; MESSAGES],
}

impl Sieve {
    /// The records of a datagram that can be of use, without those that cannot.
    pub(crate) fn sift(&mut self, datagram: &[u8]) -> Result<BytesMut, TooMuch> {
        let mut useful = BytesMut::new();
        for record in records(datagram) {
            if self.passes(&record)? {
                self.bytes += record.whole.len();
                useful.extend_from_slice(record.whole);
            }
        }
        if self.pieces > MOST_PIECES || self.bytes > MOST_BYTES {
            return Err(TooMuch);
        }
        Ok(useful)
    }

    fn passes(&mut self, record: &Record<'_>) -> Result<bool, TooMuch> {
        let length = record.body.len();
        let holds = match (record.kind, record.epoch) {
            (HANDSHAKE, 0) => {
                if !messages(record.body).all(|message| message.is_some()) {
                    return Ok(false);
                }
                let mut holds = 0;
                for number in messages(record.body).flatten() {
                    let of_one = &mut self.of_message[number];
                    *of_one += 1;
                    if *of_one > MOST_OF_ONE {
                        return Err(TooMuch);
                    }
                    holds += 1;
                }
                holds
            }
            (CHANGE_CIPHER_SPEC, 0) | (ALERT, 0) => usize::from(length <= 2),
            (HANDSHAKE | ALERT, 1) if length <= LONGEST_ENCRYPTED => {
                length.div_ceil(MESSAGE_HEAD).max(1)
            }
            // Application data is nothing to us, and what cannot be read is silently discarded (RFC 6347 §4.1.2.7).
            _ => 0,
        };
        self.pieces += holds;
        Ok(holds > 0)
    }
}

/// What can still matter when there are keys: the first encrypted record that repeats the peer's last flight (RFC 6347
/// §4.2.4) or says farewell. What is not encrypted may be from anybody; in a repeated flight `Finished` comes with it.
pub(crate) fn first_encrypted(datagram: &[u8]) -> Option<&[u8]> {
    let matters = |record: &Record<'_>| {
        matches!(record.kind, HANDSHAKE | ALERT)
            && record.epoch == 1
            && record.body.len() <= LONGEST_ENCRYPTED
    };
    let record = records(datagram).find(matters)?;
    Some(record.whole)
}

/// One record (RFC 6347 §4.1).
pub(crate) struct Record<'a> {
    pub(crate) kind: u8,
    pub(crate) epoch: u16,
    pub(crate) body: &'a [u8],
    whole: &'a [u8],
}

/// The records of a datagram, up to where its lengths are wrong.
pub(crate) fn records(datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let head = rest.get(..HEAD)?;
        let length = usize::from(u16::from_be_bytes([head[11], head[12]]));
        let (whole, after) = rest.split_at_checked(HEAD + length)?;
        rest = after;
        Some(Record {
            kind: whole[0],
            epoch: u16::from_be_bytes([whole[3], whole[4]]),
            body: &whole[HEAD..],
            whole,
        })
    })
}

/// The fragments in a record of a handshake (RFC 6347 §4.2.2 and §4.2.3), each by the number of its message; nothing for
/// one that no handshake has. A part of a message is the last in its record: `rtc-dtls` takes for the rest of it what
/// follows.
fn messages(body: &[u8]) -> impl Iterator<Item = Option<usize>> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let body = rest.take()?;
        let message = fragment(body);
        rest = message.and_then(|(_, length)| body.get(length..).filter(|rest| !rest.is_empty()));
        Some(message.map(|(number, _)| number))
    })
}

/// The number of a message, and how long its first fragment here is with its header.
fn fragment(body: &[u8]) -> Option<(usize, usize)> {
    let head = body.get(..MESSAGE_HEAD)?;
    let three = |at: usize| {
        usize::from(head[at]) << 16 | usize::from(head[at + 1]) << 8 | usize::from(head[at + 2])
    };
    let (length, offset, carried) = (three(1), three(6), three(9));
    let number = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let end = MESSAGE_HEAD + carried;
    let is_whole = carried == length;
    let is_sound = number < MESSAGES
        && length <= LONGEST
        && offset + carried <= length
        && (carried > 0 || length == 0)
        && (end == body.len() || is_whole && end < body.len());
    is_sound.then_some((number, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        let head = [kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, 0];
        [&head[..], &length, body].concat()
    }

    /// A fragment with so many bytes, and a header that says this.
    fn part(number: u16, length: u32, offset: u32, carried: u32, bytes: usize) -> Vec<u8> {
        let mut part = vec![11];
        part.extend(&length.to_be_bytes()[1..]);
        part.extend(number.to_be_bytes());
        part.extend(&offset.to_be_bytes()[1..]);
        part.extend(&carried.to_be_bytes()[1..]);
        part.resize(part.len() + bytes, 7);
        part
    }

    fn passes(record: &[u8]) -> bool {
        let useful = Sieve::default().sift(record).unwrap();
        assert!(useful.is_empty() || useful == record);
        !useful.is_empty()
    }

    #[test]
    fn what_handshakes_have_passes_and_what_they_cannot_have_does_not() {
        let open = |parts: &[Vec<u8>]| passes(&record(HANDSHAKE, 0, &parts.concat()));
        // Whole messages, an empty one (ServerHelloDone), and parts.
        assert!(open(&[part(0, 80, 0, 80, 80)]));
        assert!(open(&[part(4, 0, 0, 0, 0)]));
        assert!(open(&[part(1, 80, 0, 80, 80), part(5, 0, 0, 0, 0)]));
        assert!(open(&[part(2, 3_000, 1_100, 1_100, 1_100)]));
        assert!(open(&[part(1, 80, 0, 80, 80), part(2, 900, 0, 500, 500)]));
        // Nothing of something, more than there is, less than is said, behind the end, too far ahead, too long.
        assert!(!open(&[part(0, 80, 0, 0, 0)]));
        assert!(!open(&[part(0, 80, 80, 0, 0)]));
        assert!(!open(&[part(0, 80, 0, 80, 79)]));
        assert!(!open(&[part(0, 80, 0, 40, 80)]));
        assert!(!open(&[part(0, 80, 41, 40, 40)]));
        assert!(!open(&[part(16, 80, 0, 80, 80)]));
        assert!(!open(&[part(u16::MAX, 80, 0, 80, 80)]));
        assert!(!open(&[part(0, 32_769, 0, 80, 80)]));
        assert!(!open(&[part(0, 0xFF_FFFF, 0xFF_FF00, 80, 80)]));
        // One that is wrong makes the record wrong, and a part is the last.
        assert!(!open(&[part(1, 80, 0, 80, 80), part(5, 9, 0, 0, 0)]));
        assert!(!open(&[part(1, 80, 0, 40, 40), part(1, 80, 40, 40, 40)]));
        assert!(!open(&[vec![1; 11]]) && !open(&[]));
        // Other records.
        assert!(passes(&record(CHANGE_CIPHER_SPEC, 0, &[1])));
        assert!(passes(&record(ALERT, 0, &[2, 40])));
        assert!(passes(&record(HANDSHAKE, 1, &[9; 48])));
        assert!(!passes(&record(HANDSHAKE, 1, &[9; 513])));
        assert!(!passes(&record(HANDSHAKE, 2, &[9; 48])));
        assert!(!passes(&record(CHANGE_CIPHER_SPEC, 0, &[1; 100])));
        assert!(!passes(&record(23, 0, &[9; 48])) && !passes(&record(23, 1, &[9; 48])));
        assert!(!passes(&record(63, 0, &[9; 48])));
        // What is sound in a datagram passes without what is not.
        let sound = record(HANDSHAKE, 0, &part(0, 80, 0, 80, 80));
        let junk = record(HANDSHAKE, 0, &part(0, 80, 0, 0, 0));
        let both = [&junk[..], &sound, &junk, &[22, 1]].concat();
        assert_eq!(Sieve::default().sift(&both).unwrap(), sound);
    }

    #[test]
    fn no_side_has_more_kept_than_a_handshake_with_its_repetitions_has() {
        // A byte at a time, of every message in turn, of one message, whole long ones, and what nobody can read yet.
        let small = |n: u32| record(HANDSHAKE, 0, &part((n % 16) as u16, 900, n % 900, 1, 1));
        let of_one = |n: u32| record(HANDSHAKE, 0, &part(3, 900, n % 900, 1, 1));
        let long = |n: u32| record(HANDSHAKE, 0, &part((n % 8) as u16, 9_000, 0, 9_000, 9_000));
        let encrypted = |_| record(HANDSHAKE, 1, &[9; 100]);
        let change = |_| record(CHANGE_CIPHER_SPEC, 0, &[1]);
        type Sends<'a> = &'a dyn Fn(u32) -> Vec<u8>;
        let kinds: [(Sends<'_>, usize); 5] = [
            (&small, MOST_PIECES),
            (&of_one, 64),
            (&long, MOST_BYTES / 9_025),
            (&encrypted, MOST_PIECES / 9),
            (&change, MOST_PIECES),
        ];
        for (kind, most) in kinds {
            let mut sieve = Sieve::default();
            let passed = (0..10_000).take_while(|n| sieve.sift(&kind(*n)).is_ok());
            assert_eq!(passed.count(), most);
            assert_eq!(sieve.sift(&kind(0)), Err(TooMuch));
        }
    }

    #[test]
    fn with_keys_only_the_first_encrypted_record_of_a_datagram_matters() {
        let finished = record(HANDSHAKE, 1, &[9; 48]);
        let flight = [
            record(HANDSHAKE, 0, &part(2, 80, 0, 80, 80)),
            record(CHANGE_CIPHER_SPEC, 0, &[1]),
            finished.clone(),
            record(HANDSHAKE, 1, &[8; 48]),
        ];
        assert_eq!(first_encrypted(&flight.concat()), Some(&finished[..]));
        assert_eq!(first_encrypted(&flight[..2].concat()), None);
        let farewell = record(ALERT, 1, &[9; 26]);
        assert_eq!(first_encrypted(&farewell), Some(&farewell[..]));
        assert_eq!(first_encrypted(&record(23, 1, &[9; 48])), None);
        assert_eq!(first_encrypted(&record(HANDSHAKE, 1, &[9; 600])), None);
    }
}
