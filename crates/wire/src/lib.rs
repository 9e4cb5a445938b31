//! SIP's sockets: UDP, TCP, TLS, WS and WSS, framed and bounded.
//!
//! ```text
//!   sockets, listeners ─┐                           ┌─► Event::Arrived, Up, Closed … ─► Sink
//!                       ├─► Wire: a task for each ──┤
//!   send(destination) ──┘        connection         └─► bytes on the way
//! ```
//!
//! A [`Wire`] carries bytes and understands no SIP beyond where a message ends. Whoever owns one is
//! told what happens through a [`Sink`], and each message holds its [`Room`] until it has been
//! handled, so that nothing can pile up in between. It knows no names: what a name leads to is
//! found elsewhere, and the domain that was asked for comes along in [`Towards`], so that the
//! certificate can be held against it (RFC 5922).
//!
//! What fails says at which step ([`Error`]), and is never a SIP status.
//!
//! # What it stands on
//! - `rustls` with ring for TLS 1.2 and 1.3, and `rustls-webpki` directly for the path to a root:
//!   rustls's own verifier checks names in the same breath, and it knows no SIP URIs in certificates
//!   and takes wildcards, against RFC 5922 §7.
//! - `rustls-native-certs` for the roots of the system rather than `rustls-platform-verifier`: that
//!   one checks names inside the operating system, which cannot be told RFC 5922, and this one
//!   needs no more than files on Linux and a read of the store on macOS and Windows.
//! - `tokio-tungstenite` for WebSocket frames and the upgrade; TLS below it is ours.
//! - Names and dates of certificates are read by a hundred lines of DER in [`certificate`]: what
//!   crates for X.509 bring along is many times that.

pub mod certificate;
mod connection;
mod datagram;
mod error;
mod limits;
mod locked;
#[cfg(test)]
mod tests;
mod tls;
mod websocket;
mod wire;

pub use certificate::{Certificate, Fingerprint};
pub use connection::{Door, Towards};
pub use datagram::{local_toward, open_listener, open_pair, open_udp, source_of};
pub use error::{CertificateFault, ConnectError, Error, Step, TlsError, WebSocketError};
pub use limits::Limits;
pub use nat::stun;
pub use tls::{ClientTls, Identity, Remembered, Roots, Secured, ServerTls};
pub use wire::{Arrived, Closed, Counts, Event, Keepalive, Room, Sink, Stun, Wire, next_flow};
