//! Certificates of servers, as a person is shown them before trusting one.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateFault {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for other names than the one that was asked for (RFC 5922 §7).
    OtherName,
    /// Nobody whom we trust vouches for it.
    UnknownIssuer,
    /// Nobody but itself vouches for it.
    SelfSigned,
    /// Its issuer took it back.
    Revoked,
    /// It is another one than the one that a person trusted: an alarm.
    Changed,
    /// It breaks the rules for certificates.
    Invalid,
}

/// A certificate that was not trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// The name that was asked for, for which it can be trusted.
    pub host: String,
    /// SHA-256 over it, `AB:CD:…`.
    pub fingerprint: String,
    /// What is wrong with it.
    pub fault: CertificateFault,
    /// Whom it is for: `CN=pbx.example, O=Example`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The other names that it is for.
    pub names: Vec<String>,
    /// It is valid from then.
    pub not_before: Timestamp,
    /// It is valid until then.
    pub not_after: Timestamp,
    /// The fingerprint that was trusted, where it is another one now.
    pub remembered: Option<String>,
}

/// A certificate that a person trusts for a host, whatever is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedCertificate {
    /// The name, or address, of the server.
    pub host: String,
    /// SHA-256 over its certificate, `AB:CD:…`.
    pub fingerprint: String,
}
