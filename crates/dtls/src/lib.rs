//! Keys for encrypted media by a DTLS handshake on the media's own path (DTLS-SRTP, RFC 5763 and RFC 5764).
//!
//! ```text
//!  a=fingerprint, a=setup ─► Handshake ◄─► datagrams whose first byte is 20 to 63 (RFC 7983)
//!                               │
//!                               └─► Keys: a profile, and a master key with salt for each direction
//! ```
//!
//! Who the peer is says the fingerprint of its certificate in the session description: a certificate that has
//! another one ends the handshake, and no key comes of it. Certificates are signed by nobody; ours is made anew at
//! each start and names nobody.
//!
//! [`Handshake`] has no socket and no clock; it draws its secrets from the operating system. Underneath is
//! `rtc-dtls`: DTLS 1.2 with RSA and ECDSA certificates, ECDHE only. It was chosen before `dimpl`, which knows no RSA
//! and so cannot talk to FreeSWITCH. What comes from strangers is bounded: [`MOST_REMOTES`] at once are talked to,
//! and none of them can end the handshake with the right one.

mod certificate;
mod fingerprint;
mod handshake;
mod keys;
#[cfg(test)]
mod tests;

pub use certificate::{Certificate, CertificateError};
pub use fingerprint::{Fingerprint, Hash};
pub use handshake::{Event, Failure, Handshake, MOST_REMOTES, Output, Peer, Role};
pub use keys::{Keys, Profile};

/// Whether a datagram on a media port belongs to DTLS (RFC 7983 §7).
#[must_use]
pub fn looks_like_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63)) && datagram.len() > 13
}
