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
//! those that have not shown that they are there make room for others, and none of them can end the handshake with the
//! right one. What anybody sends is looked at before the library sees it: it would keep all of it.
//!
//! [`Keys`] and what they are made of here wipe themselves. `rtc-dtls` does not: the secrets from which the keys come
//! (pre-master and master secret, the key pair of the exchange) lie in its state as plain vectors, and are given back
//! to the allocator as they are. So its state is not kept for longer than it is needed: a client's goes when there are
//! keys, a server's when nobody can ask for its last flight any more (four minutes, RFC 6347 §4.2.4), when it has
//! repeated it as often as the library does, or when the peer says farewell. No farewell is said.

mod certificate;
mod fingerprint;
mod handshake;
mod keys;
mod sieve;
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
