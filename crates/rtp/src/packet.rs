//! One RTP packet (RFC 3550 §5.1), read from and written to datagrams.

use rtp_types::{RtpPacketBuilder, RtpParseError, RtpWriteError};

/// Why a datagram is no RTP packet, or a packet cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The version field is not 2.
    #[error("RTP version {0} instead of 2")]
    Version(u8),
    /// Header, contributing sources or extension reach past the end.
    #[error("RTP packet of {actual} bytes is shorter than the {expected} it announces")]
    Truncated {
        /// What its fields announce, in bytes.
        expected: usize,
        /// What arrived, in bytes.
        actual: usize,
    },
    /// The padding count is zero or larger than what is there.
    #[error("RTP padding of {0} bytes does not fit the packet")]
    Padding(u8),
    /// We were asked to write a payload type above 127.
    #[error("payload type {0} is above 127")]
    PayloadType(u8),
    /// We were asked to write into a buffer that is too small.
    #[error("RTP packet of {0} bytes does not fit the buffer")]
    BufferTooSmall(usize),
}

/// The fixed part of an RTP header, by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// Begin of a talk spurt (RFC 3551 §4.1) or of a telephone event.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Counts packets, wraps at 16 bit.
    pub sequence_number: u16,
    /// Sampling instant of the first sample, in ticks of the payload's clock.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
}

impl RtpHeader {
    /// Appends header and payload to `out`. Contributing sources and extensions are never sent.
    ///
    /// # Errors
    /// [`PacketError::PayloadType`] when the payload type does not fit its seven bits.
    pub fn write(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), PacketError> {
        self.builder(payload)
            .write_into_vec(out)
            .map_err(|e| write_error(&e, self.payload_type))
    }

    /// Writes header and payload to the front of `buffer` and tells how many bytes that took.
    ///
    /// # Errors
    /// Payload type above 127, or a buffer that is too small.
    pub fn write_into(&self, payload: &[u8], buffer: &mut [u8]) -> Result<usize, PacketError> {
        self.builder(payload)
            .write_into(buffer)
            .map_err(|e| write_error(&e, self.payload_type))
    }

    fn builder<'a>(&self, payload: &'a [u8]) -> RtpPacketBuilder<&'a [u8], &'a [u8]> {
        RtpPacketBuilder::new()
            .marker_bit(self.marker)
            .payload_type(self.payload_type)
            .sequence_number(self.sequence_number)
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .payload(payload)
    }
}

/// A received packet: the header's values and a borrowed payload. Contributing sources, header
/// extension and padding are stepped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// The fixed header.
    pub header: RtpHeader,
    /// How many contributing sources a mixer named.
    pub contributors: u8,
    /// The codec's bytes, without padding. May be empty.
    pub payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// Anything that contradicts RFC 3550 §5.1; the datagram is then to be counted and dropped.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let packet = rtp_types::RtpPacket::parse(datagram).map_err(|e| match e {
            RtpParseError::UnsupportedVersion(version) => PacketError::Version(version),
            RtpParseError::Truncated { expected, actual } => {
                PacketError::Truncated { expected, actual }
            }
            RtpParseError::PaddingInvalid(count) => PacketError::Padding(count),
        })?;
        // The payload is cut here rather than taken from `packet`, whose borrow ends with it.
        let start = packet.payload_offset();
        let end = start.saturating_add(packet.payload_len());
        let payload = datagram.get(start..end).ok_or(PacketError::Truncated {
            expected: end,
            actual: datagram.len(),
        })?;
        Ok(Self {
            header: RtpHeader {
                marker: packet.marker_bit(),
                payload_type: packet.payload_type(),
                sequence_number: packet.sequence_number(),
                timestamp: packet.timestamp(),
                ssrc: packet.ssrc(),
            },
            contributors: packet.n_csrcs(),
            payload,
        })
    }
}

/// Whether a datagram on a shared port is RTCP: version 2 and a second byte of 192 to 223
/// (RFC 5761 §4), which no RTP payload type may then look like.
#[must_use]
pub fn looks_like_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if first >> 6 == 2 && (192..=223).contains(second))
}

/// Whether a datagram on a shared port is RTP: a first byte of 128 to 191 (RFC 7983 §7) that is
/// not RTCP. STUN, DTLS and keep-alives of a few bytes are not.
#[must_use]
pub fn looks_like_rtp(datagram: &[u8]) -> bool {
    datagram.len() >= rtp_types::RtpPacket::MIN_RTP_PACKET_LEN
        && datagram.first().is_some_and(|first| first >> 6 == 2)
        && !looks_like_rtcp(datagram)
}

fn write_error(error: &RtpWriteError, payload_type: u8) -> PacketError {
    match error {
        RtpWriteError::OutputTooSmall(size) => PacketError::BufferTooSmall(*size),
        // Neither sources, extension nor padding is ever written, so the rest cannot happen.
        _ => PacketError::PayloadType(payload_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: RtpHeader = RtpHeader {
        marker: true,
        payload_type: 111,
        sequence_number: 0xFFFE,
        timestamp: 0xDEAD_BEEF,
        ssrc: 0x0102_0304,
    };

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = Vec::new();
        HEADER.write(b"sound", &mut bytes).unwrap();
        assert_eq!(bytes.len(), 17);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!((packet.header, packet.payload), (HEADER, &b"sound"[..]));
        let mut small = [0u8; 16];
        assert_eq!(
            HEADER.write_into(b"sound", &mut small),
            Err(PacketError::BufferTooSmall(17))
        );
        let wrong = RtpHeader {
            payload_type: 128,
            ..HEADER
        };
        assert_eq!(
            wrong.write(b"", &mut bytes),
            Err(PacketError::PayloadType(128))
        );
    }

    #[test]
    fn sources_extension_and_padding_are_stepped_over() {
        let mut bytes = vec![0xB2, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([0, 0, 0, 9, 0, 0, 0, 8]); // two contributing sources
        bytes.extend([0xBE, 0xDE, 0, 1, 1, 2, 3, 4]); // one word of extension
        bytes.extend([7, 7, 7, 0, 0, 3]); // payload and three bytes of padding
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.payload, [7, 7, 7]);
        assert_eq!(packet.contributors, 2);
    }

    #[test]
    fn a_lying_extension_or_padding_is_refused() {
        let mut bytes = vec![0x90, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0xFF, 0xFF];
        assert!(matches!(
            RtpPacket::parse(&bytes),
            Err(PacketError::Truncated { .. })
        ));
        bytes = vec![0xA0, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 200];
        assert!(RtpPacket::parse(&bytes).is_err());
        bytes[12] = 0;
        assert_eq!(RtpPacket::parse(&bytes), Err(PacketError::Padding(0)));
        assert_eq!(RtpPacket::parse(&[0x40; 12]), Err(PacketError::Version(1)));
    }

    #[test]
    fn rtcp_and_rtp_are_told_apart_on_one_port() {
        let mut rtp = Vec::new();
        HEADER.write(&[], &mut rtp).unwrap();
        assert!(looks_like_rtp(&rtp) && !looks_like_rtcp(&rtp));
        let rtcp = [0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(looks_like_rtcp(&rtcp) && !looks_like_rtp(&rtcp));
        assert!(!looks_like_rtp(b"\r\n\r\n") && !looks_like_rtp(&[0; 20]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(packet) = RtpPacket::parse(&bytes) {
                prop_assert!(packet.payload.len() + 12 <= bytes.len());
            }
            let _ = (looks_like_rtp(&bytes), looks_like_rtcp(&bytes));
        }
    }
}
