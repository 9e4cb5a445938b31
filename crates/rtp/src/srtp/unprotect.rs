//! The receiving direction: what was sent before is refused, then what is not genuine, and only what
//! is left is decrypted and remembered (RFC 3711 §3.3).
//!
//! A peer may have more sources than are told apart, one after the other. A new one, once a packet of it has proved
//! genuine, takes the place of the one that was silent for longest. Of that its highest numbers stay known, so that it
//! may come back and go on behind them; what it sent before is refused, the replay and the latecomer alike. That ends
//! with the 224th source after it: what was recorded of a source forgotten so thoroughly would be taken as new. No
//! bounded memory can tell it (RFC 3711 §3.3.2); a new key does.

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
    /// Those that gave their places to others, the one that did so last at the end.
    gone: Vec<Gone>,
    /// Genuine packets so far.
    genuine: u64,
}

/// Sources that are known to have been there, beside [`MOST_SOURCES`].
const MOST_GONE: usize = 224;

/// Sources whose numbers go on under a new key: a call has one or two.
const MOST_FOLLOWED: usize = 4;

/// What remains of a source.
struct Gone {
    ssrc: u32,
    rtp: Option<u64>,
    rtcp: Option<u64>,
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
    /// Which genuine packet was its last one.
    heard: u64,
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
            gone: Vec::with_capacity(MOST_GONE),
            genuine: 0,
        })
    }

    /// Remembers where the numbers of the sources that spoke last were under the key before.
    pub fn follow(&mut self, before: &Self) {
        self.sources.clear();
        self.gone.clear();
        self.genuine = before.genuine;
        for old in &before.sources {
            let Some(highest) = old.rtp.highest.or(old.before) else {
                continue;
            };
            let followed = Source {
                before: Some(highest),
                ..Source::new(old.ssrc, old.heard)
            };
            if self.sources.len() < MOST_FOLLOWED {
                self.sources.push(followed);
            } else if let Some(silent) = self.sources.iter_mut().min_by_key(|s| s.heard)
                && silent.heard < followed.heard
            {
                *silent = followed;
            }
        }
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
        let present = sources.find(|source| source.ssrc == ssrc).copied();
        present.or_else(|| {
            let mut gone = self.gone.iter();
            gone.find(|gone| gone.ssrc == ssrc).map(Source::back)
        })
    }

    /// The source's entry; made now, when a packet of it has proved genuine.
    fn remember(&mut self, ssrc: u32) -> Result<&mut Source, SrtpError> {
        self.genuine += 1;
        let place = match self.sources.iter().position(|source| source.ssrc == ssrc) {
            Some(place) => place,
            None => self.make_place(ssrc),
        };
        let source = self.sources.get_mut(place);
        let source = source.ok_or(SrtpError::TooManySources)?;
        source.heard = self.genuine;
        Ok(source)
    }

    /// A place for a source that has none.
    fn make_place(&mut self, ssrc: u32) -> usize {
        let gone = self.gone.iter().position(|gone| gone.ssrc == ssrc);
        let source = match gone {
            Some(place) => Source::back(&self.gone.remove(place)),
            None => Source::new(ssrc, self.genuine),
        };
        if self.sources.len() < MOST_SOURCES {
            self.sources.push(source);
            return self.sources.len() - 1;
        }
        let sources = self.sources.iter().enumerate();
        let silent = sources.min_by_key(|(_, source)| source.heard);
        let place = silent.map_or(0, |(place, _)| place);
        if let Some(entry) = self.sources.get_mut(place) {
            let leaves = std::mem::replace(entry, source);
            let (rtp, rtcp) = (leaves.rtp.highest, leaves.rtcp.highest);
            // Of one that was only followed nothing was heard that could come again.
            if rtp.is_some() || rtcp.is_some() {
                if self.gone.len() >= MOST_GONE {
                    self.gone.remove(0);
                }
                let ssrc = leaves.ssrc;
                self.gone.push(Gone { ssrc, rtp, rtcp });
            }
        }
        place
    }

    #[cfg(test)]
    pub(super) fn of(rtp: Cipher, rtcp: Cipher) -> Self {
        Self {
            rtp,
            rtcp,
            mki: ([0; LONGEST_MKI], 0),
            sources: Vec::with_capacity(MOST_SOURCES),
            gone: Vec::with_capacity(MOST_GONE),
            genuine: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn source_count(&self) -> usize {
        self.sources.len()
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> (usize, usize) {
        (self.sources.capacity(), self.gone.capacity())
    }
}

impl Source {
    fn new(ssrc: u32, heard: u64) -> Self {
        Self {
            ssrc,
            rtp: Window::default(),
            rtcp: Window::default(),
            before: None,
            heard,
        }
    }

    /// One that returns goes on behind what was heard of it.
    fn back(gone: &Gone) -> Self {
        Self {
            rtp: Window::closed(gone.rtp),
            rtcp: Window::closed(gone.rtcp),
            ..Self::new(gone.ssrc, 0)
        }
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
    /// With nothing open up to `highest`.
    fn closed(highest: Option<u64>) -> Self {
        let all = if highest.is_some() { u128::MAX } else { 0 };
        Self {
            highest,
            seen: all,
            repeated: all,
        }
    }

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
