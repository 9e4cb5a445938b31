//! Session descriptions and the offer/answer engine (RFC 8866, RFC 3264), for audio calls.
//!
//! [`SessionDescription`] reads what peers really send, repairing what can be repaired and saying
//! so; [`Negotiator`] holds one end of one session and turns offers into answers. Neither has a
//! clock, a socket or a random number: the session id comes from the caller.

mod codec;
mod crypto;
mod description;
#[cfg(test)]
mod description_tests;
mod direction;
mod error;
mod fingerprint;
mod ice;
mod media;
mod negotiator;
mod repair;
mod reports;

pub use codec::{Codec, FormatMap};
pub use crypto::{CryptoAttribute, CryptoKey, CryptoSuite, Encryption, KeySeed, NegotiatedCrypto};
pub use description::{SessionDescription, summary};
pub use direction::Direction;
pub use error::SdpError;
pub use fingerprint::{Association, DtlsRole, Fingerprint, FingerprintHash, NegotiatedDtls, Setup};
pub use ice::{IceCredentials, NegotiatedIce};
pub use media::{MediaView, OpusParameters, Protocol};
pub use negotiator::{LocalMedia, Negotiated, NegotiatedCodec, NegotiatedEvents, Negotiator};
pub use reports::ExtendedReports;
