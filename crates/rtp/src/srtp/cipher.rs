//! A keyed suite: encrypts and tags, checks and decrypts, in place.

use aes::cipher::BlockCipherEncrypt;
use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::{SrtpError, Suite};

/// Blocks that are encrypted together: what the processor's instructions like.
const TOGETHER: usize = 8;

/// AES with either length of key.
// The larger one is what the heap would otherwise be asked for; there are two of them in a stream.
#[allow(clippy::large_enum_variant)]
pub(super) enum Aes {
    Short(Aes128),
    Long(Aes256),
}

impl Aes {
    /// Counter mode (RFC 3711 §4.1.1): the last two bytes of `start`, which are zero, count the blocks.
    pub(super) fn apply_key_stream(&self, start: &[u8; 16], data: &mut [u8]) {
        let mut number = 0u16;
        for chunk in data.chunks_mut(16 * TOGETHER) {
            let mut blocks = [aes::Block::from(*start); TOGETHER];
            let count = chunk.len().div_ceil(16);
            let Some(blocks) = blocks.get_mut(..count) else {
                return;
            };
            for block in &mut *blocks {
                let [.., high, low] = &mut block.0;
                [*high, *low] = number.to_be_bytes();
                number = number.wrapping_add(1);
            }
            match self {
                Self::Short(aes) => aes.encrypt_blocks(blocks),
                Self::Long(aes) => aes.encrypt_blocks(blocks),
            }
            for (bytes, keys) in chunk.chunks_mut(16).zip(blocks) {
                bytes.iter_mut().zip(&keys.0).for_each(|(b, k)| *b ^= k);
            }
        }
    }
}

/// A suite with its session keys, for RTP or for RTCP.
pub(super) struct Cipher {
    mode: Mode,
    salt: Zeroizing<[u8; 14]>,
    tag_len: usize,
}

#[allow(clippy::large_enum_variant)] // As above.
enum Mode {
    Counter { aes: Aes, mac: Hmac<Sha1> },
    Gcm128(Aes128Gcm),
    Gcm256(Aes256Gcm),
}

/// Which packet of which source: what makes each key stream another.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) ssrc: u32,
    /// 48 bits for RTP (rollover counter and sequence number), 31 bits for RTCP.
    pub(super) index: u64,
}

impl Cipher {
    /// `salt` has its suite's length at the front.
    pub(super) fn new(
        suite: Suite,
        key: &[u8],
        mac: &[u8; 20],
        salt: &[u8; 14],
        tag_len: usize,
    ) -> Option<Self> {
        let counter = |aes| {
            let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(mac).ok()?;
            Some(Mode::Counter { aes, mac })
        };
        let mode = match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                counter(Aes::Short(KeyInit::new_from_slice(key).ok()?))?
            }
            Suite::AesCm256HmacSha1_80 | Suite::AesCm256HmacSha1_32 => {
                counter(Aes::Long(KeyInit::new_from_slice(key).ok()?))?
            }
            Suite::AeadAes128Gcm => Mode::Gcm128(KeyInit::new_from_slice(key).ok()?),
            Suite::AeadAes256Gcm => Mode::Gcm256(KeyInit::new_from_slice(key).ok()?),
        };
        Some(Self {
            mode,
            salt: Zeroizing::new(*salt),
            tag_len,
        })
    }

    pub(super) fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Whether the tag stands before what is only authenticated behind the payload (RFC 7714 §9.3), or
    /// behind it (RFC 3711 §3.4).
    pub(super) fn tag_is_before_trailer(&self) -> bool {
        !matches!(self.mode, Mode::Counter { .. })
    }

    /// Encrypts `payload` and makes the tag of `header`, of it, and of `trailer`, which in counter mode is
    /// the rollover counter or the SRTCP index and with AEAD the index or nothing.
    pub(super) fn seal(
        &self,
        place: Place,
        header: &[u8],
        payload: &mut [u8],
        trailer: &[u8],
    ) -> Result<Tag, SrtpError> {
        let mut tag = [0; 16];
        let mut room = [0; 12];
        match &self.mode {
            Mode::Counter { aes, mac } => {
                aes.apply_key_stream(&self.counter_start(place), payload);
                let mut mac = mac.clone();
                mac.update(header);
                mac.update(payload);
                mac.update(trailer);
                let made = mac.finalize().into_bytes();
                tag.iter_mut().zip(made).for_each(|(tag, made)| *tag = made);
            }
            Mode::Gcm128(gcm) => {
                let made = gcm.encrypt_inout_detached(
                    &self.nonce(place).into(),
                    associated(header, trailer, &mut room),
                    payload.into(),
                );
                tag = made.map_err(|_| SrtpError::Malformed)?.into();
            }
            Mode::Gcm256(gcm) => {
                let made = gcm.encrypt_inout_detached(
                    &self.nonce(place).into(),
                    associated(header, trailer, &mut room),
                    payload.into(),
                );
                tag = made.map_err(|_| SrtpError::Malformed)?.into();
            }
        }
        Ok(Tag {
            bytes: tag,
            length: self.tag_len,
        })
    }

    /// Checks the tag and decrypts `payload`, which is untouched when the tag is wrong. The comparison
    /// takes the same time wherever they differ.
    pub(super) fn open(
        &self,
        place: Place,
        header: &[u8],
        payload: &mut [u8],
        trailer: &[u8],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
        let mut room = [0; 12];
        match &self.mode {
            Mode::Counter { aes, mac } => {
                let mut mac = mac.clone();
                mac.update(header);
                mac.update(payload);
                mac.update(trailer);
                mac.verify_truncated_left(tag)
                    .map_err(|_| SrtpError::NotGenuine)?;
                aes.apply_key_stream(&self.counter_start(place), payload);
                Ok(())
            }
            Mode::Gcm128(gcm) => {
                let tag = tag.try_into().map_err(|_| SrtpError::Malformed)?;
                let nonce = self.nonce(place).into();
                gcm.decrypt_inout_detached(
                    &nonce,
                    associated(header, trailer, &mut room),
                    payload.into(),
                    tag,
                )
                .map_err(|_| SrtpError::NotGenuine)
            }
            Mode::Gcm256(gcm) => {
                let tag = tag.try_into().map_err(|_| SrtpError::Malformed)?;
                let nonce = self.nonce(place).into();
                gcm.decrypt_inout_detached(
                    &nonce,
                    associated(header, trailer, &mut room),
                    payload.into(),
                    tag,
                )
                .map_err(|_| SrtpError::NotGenuine)
            }
        }
    }

    /// RFC 3711 §4.1.1: salt · 2¹⁶ ⊕ SSRC · 2⁶⁴ ⊕ index · 2¹⁶.
    fn counter_start(&self, place: Place) -> [u8; 16] {
        let salt = self.salt.iter().chain(&[0; 2]);
        let number = (u128::from(place.ssrc) << 64) ^ (u128::from(place.index) << 16);
        mixed(number.to_be_bytes(), salt)
    }

    /// RFC 7714 §8.1 and §9.1: two zero bytes, the SSRC and the index in 48 bits, ⊕ salt.
    fn nonce(&self, place: Place) -> [u8; 12] {
        let number = (u128::from(place.ssrc) << 48) ^ u128::from(place.index);
        let [_, _, _, _, nonce @ ..] = number.to_be_bytes();
        mixed(nonce, self.salt.iter())
    }
}

fn mixed<'a, const N: usize>(mut bytes: [u8; N], salt: impl Iterator<Item = &'a u8>) -> [u8; N] {
    bytes.iter_mut().zip(salt).for_each(|(b, s)| *b ^= s);
    bytes
}

/// What a packet gets behind its payload.
pub(super) struct Tag {
    bytes: [u8; 16],
    length: usize,
}

impl Tag {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Header and trailer in a row, as AEAD wants what is only authenticated. RTP has no trailer there, and
/// the readable part of RTCP is eight bytes.
fn associated<'a>(header: &'a [u8], trailer: &[u8], room: &'a mut [u8; 12]) -> &'a [u8] {
    if trailer.is_empty() {
        return header;
    }
    let both = header.iter().chain(trailer);
    room.iter_mut()
        .zip(both)
        .for_each(|(room, byte)| *room = *byte);
    room
}
