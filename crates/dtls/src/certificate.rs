//! Our own certificate.

use std::fmt;
use std::sync::Arc;

use rtc_dtls::crypto_provider::{RTCCryptoProvider, default_provider};

use crate::fingerprint::{Fingerprint, Hash};

/// What the certificate says it is of. It is shown to every peer, so it tells nothing (RFC 5763 §8.4).
const NAME: &str = "call.invalid";

/// No certificate could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificate for encrypted media could be made: {0}")]
pub struct CertificateError(String);

/// A certificate with its key, ECDSA on P-256, signed by itself. Clones share it.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) inner: rtc_dtls::crypto::Certificate,
    pub(crate) provider: Arc<dyn RTCCryptoProvider>,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// A new one, of a key that was never used.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn generate() -> Result<Self, CertificateError> {
        let told = |error: &dyn fmt::Display| CertificateError(error.to_string());
        let provider = default_provider().map_err(|error| told(&error))?;
        let names = vec![NAME.to_owned()];
        let inner = rtc_dtls::crypto::Certificate::generate_self_signed(names, provider.crypto())
            .map_err(|error| told(&error))?;
        let der = inner.certificate.first();
        let der = der.ok_or_else(|| told(&"it is empty"))?;
        let fingerprint = Fingerprint::of(Hash::Sha256, der);
        Ok(Self {
            inner,
            provider,
            fingerprint,
        })
    }

    /// What the session description says about it: SHA-256 (RFC 8122 §5).
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// Two are the same when their fingerprints are.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}
