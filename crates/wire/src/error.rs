//! What can go wrong on the way, by the step it went wrong at.
//!
//! Nothing here is a SIP status: no peer has sent one.

use std::io;

use sip_core::TransportError;
use thiserror::Error;

use crate::certificate::{Certificate, Fingerprint};

/// Why something could not be sent, or why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The connection did not come up.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// TLS could not be agreed, or broke.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The WebSocket could not be agreed.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    /// The peer closed the connection, or it broke.
    #[error("connection closed")]
    Closed,
    /// A keepalive had no answer in time: the flow has failed (RFC 5626 §4.4).
    #[error("no answer to a keepalive")]
    FlowFailed,
    /// Nothing at all came after a request: the flow has failed.
    #[error("nothing came after a request for too long")]
    Silent,
    /// The peer lets what is sent to it pile up.
    #[error("the peer does not read")]
    SlowReader,
    /// The peer began a message and did not finish it in time.
    #[error("a message was begun and not finished in time")]
    Unfinished,
    /// The peer sent what cannot be cut into messages, or more than fits into one.
    #[error("what the peer sends cannot be followed: {0}")]
    Unframed(String),
    /// Nothing came for so long that the place was given back.
    #[error("nothing came for too long")]
    Idle,
    /// Another connection needed the place.
    #[error("closed to make room for another connection")]
    Displaced,
    /// We closed it.
    #[error("closed by us")]
    Dismissed,
    /// There are as many connections as there may be.
    #[error("too many connections")]
    Full,
    /// The message does not fit into a datagram or is beyond the limit.
    #[error("message of {0} octets is too large")]
    TooLarge(usize),
    /// We were asked for what is not set up: a transport without socket, TLS without settings.
    #[error("{0}")]
    Unusable(String),
    /// Anything else, in the words of the operating system.
    #[error("{0}")]
    Other(String),
}

/// Why a TCP connection did not come up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The host is there, and nobody listens at the port.
    #[error("connection refused")]
    Refused,
    /// Nobody answered.
    #[error("connection timed out")]
    TimedOut,
    /// There is no way to the host or its network.
    #[error("network unreachable")]
    Unreachable,
    /// Anything else, in the words of the operating system.
    #[error("{0}")]
    Other(String),
}

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The server's certificate is not to be trusted as it is. It comes along, so that a person can
    /// be shown it and asked.
    #[error("{fault}: {certificate}")]
    Certificate {
        /// What is wrong with it.
        fault: CertificateFault,
        /// What the server showed.
        certificate: Box<Certificate>,
    },
    /// The server speaks no version of TLS that we do (1.2 and 1.3).
    #[error("the server speaks no TLS 1.2 or 1.3")]
    ProtocolVersion,
    /// The server wants a certificate of ours and there is none.
    #[error("the server wants a client certificate")]
    ClientCertificateWanted,
    /// The server did not take our certificate.
    #[error("the server refused our certificate ({0})")]
    ClientCertificateRefused(String),
    /// The handshake was not finished in time.
    #[error("the TLS handshake took too long")]
    TimedOut,
    /// The handshake failed otherwise.
    #[error("TLS handshake failed: {0}")]
    Handshake(String),
    /// Our own key is protected by a passphrase, which was not given.
    #[error("the key is protected by a passphrase, which is not known yet")]
    KeyLocked,
    /// The passphrase is another one.
    #[error("the passphrase does not open the key")]
    WrongPassphrase,
    /// A certificate, key or name of our own cannot be used.
    #[error("{0}")]
    Setup(String),
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateFault {
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// It is for other names than the domain that was asked for (RFC 5922 §7).
    #[error("the certificate is not for {asked}{}", beside(.instead.as_deref()))]
    OtherName {
        /// The domain.
        asked: String,
        /// The SIP domain that it is for, where it names the one that was asked for as a host and so would be for it
        /// if it named no SIP domain (RFC 5922 §7.1).
        instead: Option<String>,
    },
    /// Nobody whom we trust vouches for it.
    #[error("the certificate was issued by nobody we trust")]
    UnknownIssuer,
    /// Nobody but itself vouches for it.
    #[error("the certificate is self-signed")]
    SelfSigned,
    /// Its issuer took it back.
    #[error("the certificate was revoked")]
    Revoked,
    /// It is another one than the one that was remembered for this domain: an alarm. Either the
    /// server got a new one, or somebody else answers in its place.
    #[error("the certificate is another one than before ({remembered})")]
    Changed {
        /// The one that was remembered.
        remembered: Fingerprint,
    },
    /// It breaks the rules for certificates.
    #[error("the certificate is not valid ({0})")]
    Invalid(String),
}

/// Why a name that stands in a certificate does not count.
fn beside(instead: Option<&str>) -> String {
    instead.map_or_else(String::new, |domain| {
        format!(
            " but for the SIP domain {domain}: beside a SIP URI the names of hosts in it do not count"
        )
    })
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WebSocketError {
    /// The server answered the upgrade with another status of HTTP.
    #[error("the server answered the WebSocket request with HTTP {status} {phrase}")]
    Status {
        /// The status, of HTTP.
        status: u16,
        /// What it stands for.
        phrase: String,
    },
    /// The server does not speak SIP there: it did not agree to the subprotocol `sip` (RFC 7118
    /// §4.1).
    #[error("the server does not speak SIP over WebSocket (no subprotocol “sip”)")]
    SubprotocolMissing,
    /// The handshake was not finished in time.
    #[error("the WebSocket handshake took too long")]
    TimedOut,
    /// The handshake failed otherwise.
    #[error("WebSocket handshake failed: {0}")]
    Handshake(String),
}

/// Where on the way something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// TCP.
    Connect,
    /// TLS.
    Tls,
    /// WebSocket.
    WebSocket,
    /// Everything was up.
    Flow,
    /// Our own side.
    Setup,
}

impl Error {
    /// Where on the way it failed.
    pub fn step(&self) -> Step {
        match self {
            Self::Connect(_) => Step::Connect,
            Self::Tls(TlsError::Setup(_) | TlsError::KeyLocked | TlsError::WrongPassphrase)
            | Self::Unusable(_)
            | Self::Full
            | Self::TooLarge(_) => Step::Setup,
            Self::Tls(_) => Step::Tls,
            Self::WebSocket(_) => Step::WebSocket,
            _ => Step::Flow,
        }
    }

    /// The certificate to ask a person about, where the failure is about one.
    pub fn certificate(&self) -> Option<(&CertificateFault, &Certificate)> {
        match self {
            Self::Tls(TlsError::Certificate { fault, certificate }) => Some((fault, certificate)),
            _ => None,
        }
    }

    /// What a connection that was up has ended with. Whatever the words, it is not that none came about: what was
    /// written to it may have arrived.
    pub(crate) fn of_connection(error: &io::Error) -> Self {
        match Self::of_datagram(error) {
            Self::Connect(lost) => Self::Other(lost.to_string()),
            other => other,
        }
    }

    /// What sending a datagram failed with: for an earlier one, it may be, but none of that peer's arrived.
    pub(crate) fn of_datagram(error: &io::Error) -> Self {
        match connect_kind(error) {
            ConnectError::Other(_) => match error.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof => Self::Closed,
                _ => Self::Other(system_words(error)),
            },
            known => Self::Connect(known),
        }
    }

    pub(crate) fn of_connecting(error: &io::Error) -> Self {
        Self::Connect(connect_kind(error))
    }
}

/// As the protocol objects are told.
impl From<&Error> for TransportError {
    fn from(error: &Error) -> Self {
        match error {
            Error::Connect(ConnectError::Refused) => Self::Refused,
            Error::Connect(ConnectError::TimedOut) => Self::TimedOut,
            Error::Connect(ConnectError::Unreachable) => Self::Unreachable,
            Error::Connect(ConnectError::Other(text)) => Self::Other(text.clone()),
            Error::Tls(error) => Self::Tls(error.to_string()),
            Error::WebSocket(error) => Self::WebSocket(error.to_string()),
            Error::TooLarge(_) => Self::TooLarge,
            Error::Closed | Error::Idle | Error::Displaced | Error::Dismissed => Self::Closed,
            other => Self::Other(other.to_string()),
        }
    }
}

fn connect_kind(error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused,
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => ConnectError::Unreachable,
        _ => ConnectError::Other(system_words(error)),
    }
}

fn system_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses the address".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A large request goes by UDP after all only where TCP did not come about (RFC 3261 §18.1.1).
    #[test]
    fn a_connection_that_breaks_is_never_told_as_one_that_did_not_come_up() {
        for kind in [
            io::ErrorKind::TimedOut,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::NetworkDown,
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
        ] {
            let error = io::Error::from(kind);
            let lost = Error::of_connection(&error);
            assert_eq!(lost.step(), Step::Flow, "{kind:?}");
            let told = TransportError::from(&lost);
            let fine = matches!(told, TransportError::Closed | TransportError::Other(_));
            assert!(fine, "{kind:?}: {told:?}");
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        for error in [Error::of_connecting(&refused), Error::of_datagram(&refused)] {
            assert_eq!(TransportError::from(&error), TransportError::Refused);
        }
    }
}
