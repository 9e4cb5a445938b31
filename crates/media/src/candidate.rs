//! What a source says before it is believed: kept for a moment, so that it can be heard once it is.
//!
//! ```text
//!  heard until now   ▓▓▓▓▓▓
//!  another                  1 2 3 4 5 6   believed with the sixth, 100 ms after the last of the former
//!  heard             ▓▓▓▓▓▓ . . . . . 1 2 3 4 5 6 …    and the jitter buffer gives the delay back
//! ```

use std::time::Instant;

use rtp::{RtpHeader, RtpPacket};

/// Packets that are kept at most: those of 10 ms in the 100 ms for which another source waits, and two.
const MOST: usize = 12;

/// Larger payloads are not kept: they do not come in one piece.
const LARGEST: usize = 1_500;

/// The last packets of a source that is not believed yet, in a row. Nothing is allocated after it was made.
#[derive(Debug)]
pub(crate) struct Candidate {
    packets: Box<[Kept; MOST]>,
    /// Where the oldest is, and how many there are.
    first: usize,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    at: Instant,
    header: RtpHeader,
    /// Octets of the datagram.
    datagram: usize,
    length: usize,
    payload: [u8; LARGEST],
}

impl Candidate {
    pub(crate) fn new(now: Instant) -> Self {
        let header = RtpHeader {
            marker: false,
            payload_type: 0,
            sequence_number: 0,
            timestamp: 0,
            ssrc: 0,
        };
        let nothing = Kept {
            at: now,
            header,
            datagram: 0,
            length: 0,
            payload: [0; LARGEST],
        };
        Self {
            packets: Box::new([nothing; MOST]),
            first: 0,
            count: 0,
        }
    }

    /// Keeps a packet that came `at` then, in a datagram of so many octets, and forgets those that it does not follow.
    /// Answers how many are no longer kept, itself among them where it is too large.
    pub(crate) fn keep(&mut self, at: Instant, packet: &RtpPacket<'_>, datagram: usize) -> usize {
        let mut gone = 0;
        if !self.leads_to(&packet.header) {
            gone += self.clear();
        }
        let length = packet.payload.len();
        if length > LARGEST {
            return gone + self.clear() + 1;
        }
        if self.count == MOST {
            self.first = (self.first + 1) % MOST;
            self.count -= 1;
            gone += 1;
        }
        let place = (self.first + self.count) % MOST;
        if let Some(kept) = self.packets.get_mut(place) {
            (kept.at, kept.header, kept.datagram) = (at, packet.header, datagram);
            kept.length = length;
            let (room, _) = kept.payload.split_at_mut(length);
            room.copy_from_slice(packet.payload);
            self.count += 1;
        }
        gone
    }

    /// Whether a packet is the next of the source.
    pub(crate) fn leads_to(&self, header: &RtpHeader) -> bool {
        self.newest().is_some_and(|newest| {
            newest.ssrc == header.ssrc
                && newest.sequence_number.wrapping_add(1) == header.sequence_number
        })
    }

    fn newest(&self) -> Option<RtpHeader> {
        let last = self.count.checked_sub(1)?;
        let kept = self.packets.get((self.first + last) % MOST)?;
        Some(kept.header)
    }

    /// Forgets all, and answers how many that were.
    pub(crate) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.count)
    }

    /// What is kept, oldest first: when it came, the packet, and the octets of its datagram.
    pub(crate) fn packets(&self) -> impl Iterator<Item = (Instant, RtpPacket<'_>, usize)> {
        let places = (0..self.count).map(|n| (self.first + n) % MOST);
        places.filter_map(|place| {
            let kept = self.packets.get(place)?;
            let packet = RtpPacket {
                header: kept.header,
                contributors: 0,
                payload: kept.payload.get(..kept.length)?,
            };
            Some((kept.at, packet, kept.datagram))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(candidate: &mut Candidate, ssrc: u32, sequence_number: u16, payload: &[u8]) -> usize {
        let header = RtpHeader {
            marker: false,
            payload_type: 0,
            sequence_number,
            timestamp: 0,
            ssrc,
        };
        let packet = RtpPacket {
            header,
            contributors: 0,
            payload,
        };
        candidate.keep(Instant::now(), &packet, payload.len() + 12)
    }

    fn numbers(candidate: &Candidate) -> Vec<u16> {
        let packets = candidate.packets();
        packets.map(|(_, p, _)| p.header.sequence_number).collect()
    }

    #[test]
    fn the_last_packets_in_a_row_of_one_source_are_kept() {
        let mut candidate = Candidate::new(Instant::now());
        let gone: usize = (0..20u16)
            .map(|n| {
                keep(
                    &mut candidate,
                    1,
                    65_530u16.wrapping_add(n),
                    &[n as u8; 160],
                )
            })
            .sum();
        assert_eq!(gone, 8);
        let expected: Vec<u16> = (8..20u16).map(|n| 65_530u16.wrapping_add(n)).collect();
        assert_eq!(numbers(&candidate), expected);
        for ((_, packet, datagram), n) in candidate.packets().zip(8u8..) {
            assert_eq!((packet.payload, datagram), (&[n; 160][..], 172));
        }
        // A gap, another source, and what is too large.
        assert_eq!(keep(&mut candidate, 1, 15, &[1]), 12);
        assert_eq!(keep(&mut candidate, 2, 16, &[1, 2]), 1);
        assert_eq!(numbers(&candidate), [16]);
        assert_eq!(keep(&mut candidate, 2, 17, &[0; LARGEST]), 0);
        assert_eq!(keep(&mut candidate, 2, 18, &[0; LARGEST + 1]), 3);
        assert!(numbers(&candidate).is_empty());
    }
}
