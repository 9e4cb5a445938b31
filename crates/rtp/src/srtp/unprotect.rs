//! The receiving direction: what was sent before is refused, then what is not genuine, and only what
//! is left is decrypted and remembered (RFC 3711 §3.3).

use super::cipher::{Cipher, Place};
use super::protect::roll_over_counter;
use super::{MOST_SOURCES, MasterKey, SrtpError, derive, rtp_header_len, sequence_number, word};
use crate::sequence::nearest_sequence;

/// Length of the index in SRTCP, with the bit that says "encrypted".
const INDEX_LEN: usize = 4;
const ENCRYPTED: u32 = 1 << 31;

/// The longest name of a key that is understood. Eight bytes tell more keys apart than there will ever be.
const LONGEST_MKI: usize = 8;

/// Checks and decrypts what the other side of a media line sends.
pub struct Unprotector {
    rtp: Cipher,
    rtcp: Cipher,
    /// The name of the key that each packet carries (RFC 3711 §3.1), where the peer gave one.
    mki: ([u8; LONGEST_MKI], usize),
    /// Only sources of which a genuine packet came: strangers cannot make this grow.
    sources: Vec<Source>,
}

/// What was heard of one source.
#[derive(Clone, Copy)]
struct Source {
    ssrc: u32,
    rtp: Window,
    rtcp: Window,
    /// Where the numbers were under the key before. A peer goes on from there (RFC 3711 §3.3.1), or
    /// begins at nothing, as many do.
    before: Option<u64>,
}

impl Unprotector {
    /// From the key that the peer has sent, and the name that its packets carry for it, empty for none.
    /// None when that name is longer than eight bytes.
    #[must_use]
    pub fn new(master: &MasterKey, mki: &[u8]) -> Option<Self> {
        let mut name = [0; LONGEST_MKI];
        name.get_mut(..mki.len())?.copy_from_slice(mki);
        Some(Self {
            rtp: derive::rtp_cipher(master)?,
            rtcp: derive::rtcp_cipher(master)?,
            mki: (name, mki.len()),
            sources: Vec::with_capacity(MOST_SOURCES),
        })
    }

    /// Remembers where the numbers were under the key before.
    pub fn follow(&mut self, before: &Self) {
        self.sources.clear();
        let followed = before.sources.iter().map(|old| Source {
            ssrc: old.ssrc,
            rtp: Window::default(),
            rtcp: Window::default(),
            before: old.rtp.highest.or(old.before),
        });
        self.sources.extend(followed.take(MOST_SOURCES));
    }

    /// Checks and decrypts an SRTP packet in place; what is left of it is an RTP packet of the length
    /// returned.
    ///
    /// # Errors
    /// It was received before, is not genuine, or is no packet at all. The bytes are as they were then, but those of a
    /// packet that is [`Repeated`](SrtpError::Repeated).
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header_len = rtp_header_len(packet).ok_or(SrtpError::Malformed)?;
        let sequence = sequence_number(packet).ok_or(SrtpError::Malformed)?;
        let ssrc = word(packet, 8).ok_or(SrtpError::Malformed)?;
        let mki_len = self.mki.1;
        let tag_len = self.rtp.tag_len();
        let length = packet.len().checked_sub(tag_len + mki_len);
        let length = length
            .filter(|length| *length >= header_len)
            .ok_or(SrtpError::Malformed)?;
        let (packet, behind) = packet
            .split_at_mut_checked(length)
            .ok_or(SrtpError::Malformed)?;
        // The name stands before the tag, and with AEAD behind it (RFC 7714 §8.2).
        let (mki, tag) = if self.rtp.tag_is_before_trailer() {
            let (tag, mki) = behind.split_at(tag_len);
            (mki, tag)
        } else {
            behind.split_at(mki_len)
        };
        if mki != self.name() {
            return Err(SrtpError::NotGenuine);
        }
        let known = self.known(ssrc);
        let (header, payload) = packet
            .split_at_mut_checked(header_len)
            .ok_or(SrtpError::Malformed)?;
        let mut outcome = Err(SrtpError::NotGenuine);
        for index in indices(known.as_ref(), sequence).into_iter().flatten() {
            let again = known.is_some_and(|source| source.rtp.has(index));
            if again && !known.is_some_and(|source| source.rtp.may_repeat(index)) {
                outcome = Err(SrtpError::Replayed);
                continue;
            }
            let rollover = roll_over_counter(index).to_be_bytes();
            let trailer: &[u8] = if self.rtp.tag_is_before_trailer() {
                &[]
            } else {
                &rollover
            };
            let place = Place { ssrc, index };
            match self.rtp.open(place, header, payload, trailer, tag) {
                Ok(()) if again => {
                    self.remember(ssrc)?.rtp.mark_repeated(index);
                    return Err(SrtpError::Repeated);
                }
                Ok(()) => {
                    self.remember(ssrc)?.rtp.mark(index);
                    return Ok(length);
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Checks and decrypts an SRTCP packet in place; what is left of it is an RTCP compound of the length
    /// returned.
    ///
    /// # Errors
    /// As with [`Unprotector::unprotect_rtp`], and when it is not encrypted.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = word(packet, 4).ok_or(SrtpError::Malformed)?;
        let (mki_len, tag_len) = (self.mki.1, self.rtcp.tag_len());
        let length = packet.len().checked_sub(tag_len + mki_len + INDEX_LEN);
        let length = length
            .filter(|length| *length >= 8)
            .ok_or(SrtpError::Malformed)?;
        let (packet, behind) = packet
            .split_at_mut_checked(length)
            .ok_or(SrtpError::Malformed)?;
        // Counter mode: index, name, tag (RFC 3711 §3.4). AEAD: tag, index, name (RFC 7714 §9.2).
        let (trailer, mki, tag) = if self.rtcp.tag_is_before_trailer() {
            let (tag, rest) = behind.split_at(tag_len);
            let (trailer, mki) = rest.split_at(INDEX_LEN);
            (trailer, mki, tag)
        } else {
            let (trailer, rest) = behind.split_at(INDEX_LEN);
            let (mki, tag) = rest.split_at(mki_len);
            (trailer, mki, tag)
        };
        let marked = word(trailer, 0).ok_or(SrtpError::Malformed)?;
        let index = u64::from(marked & !ENCRYPTED);
        if mki != self.name() {
            return Err(SrtpError::NotGenuine);
        }
        if marked & ENCRYPTED == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        if self
            .known(ssrc)
            .is_some_and(|source| source.rtcp.has(index))
        {
            return Err(SrtpError::Replayed);
        }
        let (header, payload) = packet.split_at_mut_checked(8).ok_or(SrtpError::Malformed)?;
        let place = Place { ssrc, index };
        self.rtcp.open(place, header, payload, trailer, tag)?;
        self.remember(ssrc)?.rtcp.mark(index);
        Ok(length)
    }

    fn name(&self) -> &[u8] {
        self.mki.0.get(..self.mki.1).unwrap_or_default()
    }

    fn known(&self, ssrc: u32) -> Option<Source> {
        let mut sources = self.sources.iter();
        sources.find(|source| source.ssrc == ssrc).copied()
    }

    /// The source's entry; made now, when a packet of it has proved genuine.
    fn remember(&mut self, ssrc: u32) -> Result<&mut Source, SrtpError> {
        let place = self.sources.iter().position(|source| source.ssrc == ssrc);
        let place = match place {
            Some(place) => place,
            None if self.sources.len() >= MOST_SOURCES => return Err(SrtpError::TooManySources),
            None => {
                self.sources.push(Source {
                    ssrc,
                    rtp: Window::default(),
                    rtcp: Window::default(),
                    before: None,
                });
                self.sources.len() - 1
            }
        };
        self.sources.get_mut(place).ok_or(SrtpError::TooManySources)
    }

    #[cfg(test)]
    pub(super) fn of(rtp: Cipher, rtcp: Cipher) -> Self {
        Self {
            rtp,
            rtcp,
            mki: ([0; LONGEST_MKI], 0),
            sources: Vec::with_capacity(MOST_SOURCES),
        }
    }

    #[cfg(test)]
    pub(super) fn source_count(&self) -> usize {
        self.sources.len()
    }
}

impl std::fmt::Debug for Unprotector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unprotector").finish_non_exhaustive()
    }
}

/// The indices that a packet may have: that next to the highest one heard (RFC 3711 §3.3.1). For the first
/// packet of a source the counter is at nothing, or at one when the peer began just below the wrap and the
/// packets before were lost; for the first under a new key it went on, or was set back.
fn indices(known: Option<&Source>, sequence: u16) -> [Option<u64>; 2] {
    let beginning = u64::from(sequence);
    let next_to = |highest: u64| {
        // Before the very first packet there is nothing: it can only be a jump ahead.
        u64::try_from(nearest_sequence(highest.cast_signed(), sequence)).unwrap_or(beginning)
    };
    let wrapped = Some(beginning + 65_536);
    let Some(source) = known else {
        return [Some(beginning), wrapped];
    };
    match (source.rtp.highest, source.before) {
        (Some(highest), _) => [Some(next_to(highest)), None],
        (None, Some(before)) => {
            let continued = next_to(before);
            [
                Some(continued),
                (continued != beginning).then_some(beginning),
            ]
        }
        // Only reports were heard so far.
        (None, None) => [Some(beginning), wrapped],
    }
}

/// Which of the last numbers were received (RFC 3711 §3.3.2, which asks for 64 at least).
#[derive(Clone, Copy, Default)]
struct Window {
    highest: Option<u64>,
    /// Bit n: `highest - n` was received.
    seen: u128,
    /// Bit n: and it came again.
    repeated: u128,
}

/// How many numbers behind the highest a packet may come a second time: more than 100 ms of packets of 20 ms.
const REPEATED_WITHIN: u64 = 8;

impl Window {
    /// Whether the number was received, or is too old to tell.
    fn has(&self, index: u64) -> bool {
        let Some(highest) = self.highest else {
            return false;
        };
        match highest.checked_sub(index) {
            None => false,
            Some(age) => age >= 128 || self.seen >> age & 1 == 1,
        }
    }

    /// Whether a number that was received may be so once more.
    fn may_repeat(&self, index: u64) -> bool {
        let age = self.highest.and_then(|highest| highest.checked_sub(index));
        age.is_some_and(|age| age < REPEATED_WITHIN && self.repeated >> age & 1 == 0)
    }

    fn mark_repeated(&mut self, index: u64) {
        let age = self.highest.and_then(|highest| highest.checked_sub(index));
        if let Some(age @ 0..128) = age {
            self.repeated |= 1 << age;
        }
    }

    fn mark(&mut self, index: u64) {
        let Some(highest) = self.highest else {
            (self.highest, self.seen, self.repeated) = (Some(index), 1, 0);
            return;
        };
        if let Some(age) = highest.checked_sub(index) {
            if age < 128 {
                self.seen |= 1 << age;
            }
            return;
        }
        let ahead = index - highest;
        let shifted = |bits: u128| if ahead < 128 { bits << ahead } else { 0 };
        self.repeated = shifted(self.repeated);
        self.seen = shifted(self.seen) | 1;
        self.highest = Some(index);
    }
}
