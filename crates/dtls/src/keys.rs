//! What a handshake comes to.

use std::fmt;

use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use zeroize::Zeroizing;

/// The label under which the keys are exported (RFC 5764 §4.2).
pub(crate) const LABEL: &str = "EXTRACTOR-dtls_srtp";

/// What protects the media (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `SRTP_AEAD_AES_256_GCM`.
    AeadAes256Gcm,
    /// `SRTP_AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`: what everybody has.
    Aes128CmHmacSha1_80,
    /// `SRTP_AES128_CM_HMAC_SHA1_32`: not offered, taken from who has nothing else.
    Aes128CmHmacSha1_32,
}

impl Profile {
    /// In our order of preference.
    pub const ALL: [Self; 4] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes128CmHmacSha1_80,
        Self::Aes128CmHmacSha1_32,
    ];

    /// Its registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::Aes128CmHmacSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::Aes128CmHmacSha1_32 => "SRTP_AES128_CM_HMAC_SHA1_32",
        }
    }

    fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 => 16,
        }
    }

    fn salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 => 14,
        }
    }

    /// Bytes of both master keys and both salts.
    pub(crate) fn material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    pub(crate) fn to_wire(self) -> SrtpProtectionProfile {
        match self {
            Self::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
            Self::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            Self::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            Self::Aes128CmHmacSha1_32 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32,
        }
    }

    pub(crate) fn from_wire(profile: SrtpProtectionProfile) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.to_wire() == profile)
    }
}

/// The keys of both directions, each a master key with its salt behind it. Wiped when they go, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// What they are for.
    pub profile: Profile,
    /// For what we send.
    pub send: Zeroizing<Vec<u8>>,
    /// For what the peer sends.
    pub receive: Zeroizing<Vec<u8>>,
}

impl Keys {
    /// Takes the exported material apart: both keys, then both salts, the client's before the server's
    /// (RFC 5764 §4.2).
    pub(crate) fn from_material(
        profile: Profile,
        material: &[u8],
        we_are_client: bool,
    ) -> Option<Self> {
        let (keys, salts) = material.split_at_checked(2 * profile.key_len())?;
        let (client_key, server_key) = keys.split_at_checked(profile.key_len())?;
        let (client_salt, server_salt) = salts.split_at_checked(profile.salt_len())?;
        if server_salt.len() != profile.salt_len() {
            return None;
        }
        let client = Zeroizing::new([client_key, client_salt].concat());
        let server = Zeroizing::new([server_key, server_salt].concat());
        let (send, receive) = if we_are_client {
            (client, server)
        } else {
            (server, client)
        };
        Some(Self {
            profile,
            send,
            receive,
        })
    }
}

/// The profile alone.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
