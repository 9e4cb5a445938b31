//! The sending direction.

use super::cipher::{Cipher, Place};
use super::{MOST_SOURCES, MasterKey, SrtpError, derive, rtp_header_len, sequence_number, word};
use crate::sequence::nearest_sequence;

/// RTP packets that one key may protect, per source (RFC 3711 §9.2).
const MOST_RTP: u64 = 1 << 48;
/// RTCP packets that one key may protect, per source.
const MOST_RTCP: u64 = 1 << 31;

/// Protects what one side of a media line sends.
pub struct Protector {
    rtp: Cipher,
    rtcp: Cipher,
    mark: KeyMark,
    sources: Vec<Source>,
}

/// Tells one master key from another, and says nothing about either. A key with another suite is the same key: the suites
/// of counter mode differ in their tags only, and make the same key stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMark([u8; 16]);

/// What has gone out of one source.
struct Source {
    ssrc: u32,
    /// The highest index of RTP used. None before the first packet under this key.
    highest: Option<u64>,
    /// Where the numbers were under the key before: the rollover counter goes on (RFC 3711 §3.3.1).
    before: Option<u64>,
    /// The next index of RTCP.
    report: u64,
}

impl Protector {
    /// From a key that the peer knows as ours. None only if the key were not of its suite's length, which
    /// [`MasterKey::new`] has made sure of.
    #[must_use]
    pub fn new(master: &MasterKey) -> Option<Self> {
        Some(Self {
            rtp: derive::rtp_cipher(master)?,
            rtcp: derive::rtcp_cipher(master)?,
            mark: KeyMark(derive::mark(master)?),
            sources: Vec::with_capacity(MOST_SOURCES),
        })
    }

    /// Which key this is under. Whoever makes a second [`Protector`] of one key begins its numbers anew, and gives the key
    /// stream away (RFC 3711 §9.1); by this it can be seen before.
    #[must_use]
    pub fn mark(&self) -> KeyMark {
        self.mark
    }

    /// Takes over the rollover counters of the key before, which a new key does not set back
    /// (RFC 3711 §3.3.1).
    pub fn follow(&mut self, before: &Self) {
        for old in &before.sources {
            let Ok(source) = source(&mut self.sources, old.ssrc) else {
                return;
            };
            source.before = old.highest.or(old.before);
        }
    }

    /// Encrypts an RTP packet and appends its tag. With [`OVERHEAD`](super::OVERHEAD) bytes of room in
    /// `packet` nothing is allocated.
    ///
    /// # Errors
    /// It is no RTP packet, its number was used before, or the key has served its time. The packet must not
    /// be sent then.
    pub fn protect_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let header_len = rtp_header_len(packet).ok_or(SrtpError::Malformed)?;
        let sequence = sequence_number(packet).ok_or(SrtpError::Malformed)?;
        let ssrc = word(packet, 8).ok_or(SrtpError::Malformed)?;
        let source = source(&mut self.sources, ssrc)?;
        let index = match source.highest.or(source.before) {
            Some(highest) => {
                let index = nearest_sequence(highest.cast_signed(), sequence);
                u64::try_from(index).map_err(|_| SrtpError::NumberUsed)?
            }
            None => u64::from(sequence),
        };
        // The same key stream twice would show both packets to everybody.
        if source.highest.is_some_and(|highest| index <= highest) {
            return Err(SrtpError::NumberUsed);
        }
        if index >= MOST_RTP {
            return Err(SrtpError::KeyUsedUp);
        }
        let (header, payload) = packet
            .split_at_mut_checked(header_len)
            .ok_or(SrtpError::Malformed)?;
        let rollover = roll_over_counter(index).to_be_bytes();
        let trailer: &[u8] = if self.rtp.tag_is_before_trailer() {
            &[]
        } else {
            &rollover
        };
        let tag = self
            .rtp
            .seal(Place { ssrc, index }, header, payload, trailer)?;
        packet.extend_from_slice(tag.bytes());
        source.highest = Some(index);
        Ok(())
    }

    /// Encrypts an RTCP compound and appends its index and tag.
    ///
    /// # Errors
    /// As with [`Protector::protect_rtp`].
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let ssrc = word(packet, 4).ok_or(SrtpError::Malformed)?;
        let source = source(&mut self.sources, ssrc)?;
        let index = source.report;
        if index >= MOST_RTCP {
            return Err(SrtpError::KeyUsedUp);
        }
        let (header, payload) = packet.split_at_mut_checked(8).ok_or(SrtpError::Malformed)?;
        // The first bit says that it is encrypted (RFC 3711 §3.4).
        let trailer = (1 << 31 | index as u32).to_be_bytes();
        let tag = self
            .rtcp
            .seal(Place { ssrc, index }, header, payload, &trailer)?;
        if self.rtcp.tag_is_before_trailer() {
            packet.extend_from_slice(tag.bytes());
            packet.extend_from_slice(&trailer);
        } else {
            packet.extend_from_slice(&trailer);
            packet.extend_from_slice(tag.bytes());
        }
        source.report = index + 1;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn of(rtp: Cipher, rtcp: Cipher) -> Self {
        Self {
            rtp,
            rtcp,
            mark: KeyMark([0; 16]),
            sources: Vec::with_capacity(MOST_SOURCES),
        }
    }

    #[cfg(test)]
    pub(super) fn set(&mut self, ssrc: u32, highest: Option<u64>, report: u64) {
        let source = source(&mut self.sources, ssrc).unwrap();
        (source.highest, source.report) = (highest, report);
    }
}

impl std::fmt::Debug for Protector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protector").finish_non_exhaustive()
    }
}

/// The upper 32 of an index's 48 bits (RFC 3711 §3.3.1).
pub(super) fn roll_over_counter(index: u64) -> u32 {
    (index >> 16) as u32
}

fn source(sources: &mut Vec<Source>, ssrc: u32) -> Result<&mut Source, SrtpError> {
    let place = sources.iter().position(|source| source.ssrc == ssrc);
    let place = match place {
        Some(place) => place,
        None if sources.len() >= MOST_SOURCES => return Err(SrtpError::TooManySources),
        None => {
            sources.push(Source {
                ssrc,
                highest: None,
                before: None,
                report: 0,
            });
            sources.len() - 1
        }
    };
    sources.get_mut(place).ok_or(SrtpError::TooManySources)
}
