//! TLS: whom we trust, who we are, and which step failed.
//!
//! ```text
//!  certificate ─► remembered for this domain? ─ same ──────────────────────────────► trusted
//!                      │ no            └ other ─► Changed (an alarm)
//!                      ▼
//!                 in the CA file itself? ─ no ─► path to a root, dates, revocation (webpki)
//!                      │ yes                           │
//!                      └───────────► names (RFC 5922 §7) ◄┘ ──────────────────────► trusted
//! ```
//!
//! Names are checked here and not by webpki, which knows no SIP URIs and allows wildcards.
//! Sessions are not resumed: connections live long, and a resumed one would not show the
//! certificate again.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime,
};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError,
    PeerIncompatible, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use webpki::{EndEntityCert, ExpirationPolicy, RevocationOptionsBuilder, UnknownStatusPolicy};

use crate::certificate::{Certificate, Fingerprint};
use crate::error::{CertificateFault, Error, TlsError};
use crate::locked;

/// A certificate with its chain, and its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both from PEM: the chain with the leaf first, and a key without passphrase.
    ///
    /// # Errors
    /// What is not as it should be, in words for whoever wrote the files.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::from_pem_with(certificate, key, None)
    }

    /// The same, with a key that may be under a passphrase (RFC 5958 §3).
    ///
    /// # Errors
    /// [`TlsError::KeyLocked`] without the passphrase, [`TlsError::WrongPassphrase`] with another
    /// one, and what is not as it should be.
    pub fn from_pem_with(
        certificate: &[u8],
        key: &[u8],
        passphrase: Option<&str>,
    ) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Setup(
                "the certificate file holds no certificate in PEM".to_owned(),
            ));
        }
        let key = locked::open(key, passphrase)?;
        Ok(Self { chain, key })
    }

    /// The fingerprint of the leaf.
    pub fn fingerprint(&self) -> Fingerprint {
        self.chain.first().map_or_else(
            || Fingerprint::of(&[]),
            |leaf| Fingerprint::of(leaf.as_ref()),
        )
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint())
    }
}

/// Whose word is taken for a certificate.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// Those whom the operating system trusts.
    #[default]
    Platform,
    /// These and nobody else: certificates in PEM, of authorities or of servers themselves. Lists of
    /// revoked certificates may stand among them.
    Pem(Vec<u8>),
}

/// Certificates that a person was asked about and trusts, by domain: "ask and remember". Clones
/// share what they remember; a tenant has one.
#[derive(Clone, Debug, Default)]
pub struct Remembered(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    by_domain: HashMap<String, Fingerprint>,
    anywhere: HashSet<Fingerprint>,
}

impl Remembered {
    /// From now on this certificate is good for any domain, and no other one is an alarm.
    pub fn accept(&self, fingerprint: Fingerprint) {
        self.write().anywhere.insert(fingerprint);
    }

    /// From now on this certificate is the one of this domain, and another one is an alarm.
    pub fn remember(&self, domain: &str, fingerprint: Fingerprint) {
        let domain = remembered_as(domain);
        self.write().by_domain.insert(domain, fingerprint);
    }

    /// The roots decide again.
    pub fn forget(&self, domain: &str) {
        self.write().by_domain.remove(&remembered_as(domain));
    }

    /// What is remembered for a domain.
    pub fn find(&self, domain: &str) -> Option<Fingerprint> {
        self.read().by_domain.get(&remembered_as(domain)).copied()
    }

    fn accepts(&self, fingerprint: &Fingerprint) -> bool {
        self.read().anywhere.contains(fingerprint)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remembered_as(domain: &str) -> String {
    bare_name(domain).to_ascii_lowercase()
}

/// A name as TLS and certificates write it: no brackets, no dot at the end.
fn bare_name(name: &str) -> &str {
    name.trim_end_matches('.')
        .trim_start_matches('[')
        .trim_end_matches(']')
}

/// How to be a client of TLS.
pub struct ClientTls {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    has_identity: bool,
    remembered: Remembered,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("has_identity", &self.has_identity)
            .finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads what is needed; for [`Roots::Platform`] that is files or a store of the system, once
    /// for the whole program.
    ///
    /// # Errors
    /// When a file holds nothing usable, or certificate and key do not belong together.
    pub fn new(
        roots: &Roots,
        remembered: Remembered,
        identity: Option<&Identity>,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = Arc::new(Verifier {
            named: Named::SipDomain,
            trusted: match roots {
                Roots::Platform => platform_roots(),
                Roots::Pem(pem) => Arc::new(Trusted::from_pem(pem)?),
            },
            remembered: remembered.clone(),
            provider: Arc::clone(&provider),
        });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| setup(&e))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut config = match identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|e| setup(&e))?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            verifier,
            has_identity: identity.is_some(),
            remembered,
        })
    }

    /// What it remembers, to be changed while it is used.
    pub fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// Shakes hands with the server of this SIP domain, or of this address when there was no domain.
    ///
    /// # Errors
    /// The server is not the one of this domain, or the handshake comes to nothing in time.
    pub async fn connect<S>(
        &self,
        domain: &str,
        stream: S,
        patience: Duration,
    ) -> Result<(client::TlsStream<S>, Secured), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = ClientConfig::clone(&self.config);
        self.shake(config, domain, stream, patience).await
    }

    /// The same with a server that is none of SIP, as a relay is: its certificate is for a host.
    ///
    /// # Errors
    /// The server is not this host, or the handshake comes to nothing in time.
    pub async fn connect_to_host<S>(
        &self,
        host: &str,
        stream: S,
        patience: Duration,
    ) -> Result<(client::TlsStream<S>, Secured), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = ClientConfig::clone(&self.config);
        let verifier = Verifier {
            named: Named::Host,
            ..Verifier::clone(&self.verifier)
        };
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        self.shake(config, host, stream, patience).await
    }

    async fn shake<S>(
        &self,
        mut config: ClientConfig,
        domain: &str,
        stream: S,
        patience: Duration,
    ) -> Result<(client::TlsStream<S>, Secured), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // An address becomes no server name indication (RFC 6066 §3): rustls leaves it out.
        let name = ServerName::try_from(bare_name(domain).to_owned())
            .map_err(|_| TlsError::Setup(format!("“{domain}” cannot be the name of a server")))?;
        let asked = Arc::new(Asked {
            inner: Arc::clone(&self.config.client_auth_cert_resolver),
            was_asked: AtomicBool::new(false),
        });
        config.client_auth_cert_resolver = Arc::clone(&asked) as Arc<dyn ResolvesClientCert>;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = match tokio::time::timeout(patience, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let lacking = asked.was_asked.load(Ordering::Relaxed) && !self.has_identity;
                return Err(Error::Tls(match tls_error(&error, lacking) {
                    Some(error) => error,
                    None => TlsError::Handshake(words(&error)),
                }));
            }
            Err(_) => return Err(TlsError::TimedOut.into()),
        };
        let secured = Secured::of(stream.get_ref().1);
        Ok((stream, secured))
    }
}

/// How to be a server of TLS.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerTls({})", self.fingerprint)
    }
}

impl ServerTls {
    /// A server with this certificate. With `clients`, authorities in PEM, every client has to show
    /// a certificate from one of them.
    ///
    /// # Errors
    /// When certificate and key do not belong together or the authorities cannot be read.
    pub fn new(identity: &Identity, clients: Option<&[u8]>) -> Result<Self, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| setup(&e))?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem)? {
                    roots.add(certificate).map_err(|e| setup(&e))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|e| setup(&e))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|e| setup(&e))?;
        Ok(Self {
            config: Arc::new(config),
            fingerprint: identity.fingerprint(),
        })
    }

    /// The fingerprint of the certificate that is shown to clients.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) async fn accept<S>(
        &self,
        stream: S,
        patience: Duration,
    ) -> Result<(server::TlsStream<S>, Secured), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepting = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream);
        match tokio::time::timeout(patience, accepting).await {
            Ok(Ok(stream)) => {
                let secured = Secured::of(stream.get_ref().1);
                Ok((stream, secured))
            }
            Ok(Err(error)) => Err(Error::Tls(
                tls_error(&error, false).unwrap_or_else(|| TlsError::Handshake(words(&error))),
            )),
            Err(_) => Err(TlsError::TimedOut.into()),
        }
    }
}

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// `TLS 1.3`
    pub version: &'static str,
    /// `TLS13_AES_256_GCM_SHA384`
    pub cipher: String,
    /// What the other side showed.
    pub certificate: Option<Certificate>,
}

impl Secured {
    fn of(connection: &rustls::CommonState) -> Self {
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        };
        let cipher = connection
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()))
            .unwrap_or_default();
        let certificate = connection
            .peer_certificates()
            .and_then(|chain| Certificate::read(chain.first()?.as_ref()));
        Self {
            version,
            cipher,
            certificate,
        }
    }
}

/// What an error of a stream says about TLS; `None` when it is none of TLS. `lacking` says that a
/// certificate of ours was asked for and there is none.
pub(crate) fn tls_error(error: &io::Error, lacking: bool) -> Option<TlsError> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            match inner.downcast_ref::<TlsError>() {
                Some(error) => error.clone(),
                None => TlsError::Handshake(error.to_string()),
            }
        }
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => TlsError::ClientCertificateWanted,
            AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::AccessDenied
                if lacking =>
            {
                TlsError::ClientCertificateWanted
            }
            AlertDescription::ProtocolVersion => TlsError::ProtocolVersion,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => {
                TlsError::ClientCertificateRefused(format!("{alert:?}"))
            }
            other => TlsError::Handshake(format!("the other side ended it with {other:?}")),
        },
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => TlsError::ProtocolVersion,
        rustls::Error::NoCertificatesPresented => TlsError::ClientCertificateWanted,
        rustls::Error::InvalidMessage(_) => {
            TlsError::Handshake(format!("the other side does not speak TLS ({error})"))
        }
        other => TlsError::Handshake(other.to_string()),
    })
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the other side closed the connection during the handshake".to_owned()
        }
        _ => error.to_string(),
    }
}

fn setup(error: &dyn fmt::Display) -> TlsError {
    TlsError::Setup(error.to_string())
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::Setup(format!("a certificate in PEM cannot be read ({e:?})")))
}

/// Whom a chain may lead to.
#[derive(Debug, Default)]
struct Trusted {
    anchors: Vec<TrustAnchor<'static>>,
    /// Certificates of the file as they are: a server's own, self-signed one may stand there.
    leaves: Vec<CertificateDer<'static>>,
    revocations: Vec<webpki::CertRevocationList<'static>>,
}

impl Trusted {
    fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let leaves = certificates(pem)?;
        if leaves.is_empty() {
            return Err(TlsError::Setup(
                "the file of authorities holds no certificate in PEM".to_owned(),
            ));
        }
        let mut revocations = Vec::new();
        for list in CertificateRevocationListDer::pem_slice_iter(pem) {
            let list = list.map_err(|e| {
                TlsError::Setup(format!("a revocation list in PEM cannot be read ({e:?})"))
            })?;
            let list = webpki::OwnedCertRevocationList::from_der(list.as_ref())
                .map_err(|e| TlsError::Setup(format!("a revocation list cannot be read ({e})")))?;
            revocations.push(list.into());
        }
        Ok(Self {
            anchors: anchors(&leaves),
            leaves,
            revocations,
        })
    }
}

/// What of the certificates can vouch for others; a store of a system may hold some that cannot.
fn anchors(certificates: &[CertificateDer<'static>]) -> Vec<TrustAnchor<'static>> {
    certificates
        .iter()
        .filter_map(|certificate| webpki::anchor_from_trusted_cert(certificate).ok())
        .map(|anchor| anchor.to_owned())
        .collect()
}

fn platform_roots() -> Arc<Trusted> {
    static ROOTS: OnceLock<Arc<Trusted>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| {
        // A store that cannot be read in part is used for the rest; with none at all every
        // certificate is one of an unknown issuer, and says so.
        let found = rustls_native_certs::load_native_certs();
        Arc::new(Trusted {
            anchors: anchors(&found.certs),
            ..Trusted::default()
        })
    }))
}

/// Which names of a certificate count.
#[derive(Clone, Copy, Debug)]
enum Named {
    /// [`Certificate::is_for`]
    SipDomain,
    /// [`Certificate::is_for_host`]
    Host,
}

/// Decides about the certificates of servers.
#[derive(Clone, Debug)]
struct Verifier {
    named: Named,
    trusted: Arc<Trusted>,
    remembered: Remembered,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        asked: &str,
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let Some(shown) = Certificate::read(leaf.as_ref()) else {
            return Err(TlsError::Handshake(
                "the server's certificate cannot be read".to_owned(),
            ));
        };
        if self.remembered.accepts(&shown.fingerprint) {
            return Ok(());
        }
        let fault = match (self.remembered.find(asked), self.named) {
            // A person said yes to this very certificate, with all that is wrong with it.
            (Some(remembered), _) if remembered == shown.fingerprint => return Ok(()),
            (Some(remembered), Named::SipDomain) => Some(CertificateFault::Changed { remembered }),
            // What is remembered is that of a SIP server; another one of the same name may have its own.
            (Some(_), Named::Host) | (None, _) => self
                .fault_of_chain(leaf, intermediates, &shown, now)
                .or_else(|| {
                    let (is_for, instead) = match self.named {
                        Named::SipDomain => (shown.is_for(asked), shown.sip_domain_instead(asked)),
                        Named::Host => (shown.is_for_host(asked), None),
                    };
                    (!is_for).then(|| CertificateFault::OtherName {
                        asked: asked.to_owned(),
                        instead: instead.map(str::to_owned),
                    })
                }),
        };
        match fault {
            None => Ok(()),
            Some(fault) => Err(TlsError::Certificate {
                fault,
                certificate: Box::new(shown),
            }),
        }
    }

    fn fault_of_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        shown: &Certificate,
        now: UnixTime,
    ) -> Option<CertificateFault> {
        if self.trusted.leaves.contains(leaf) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
            return match shown.is_timely(now) {
                true => None,
                false if now < shown.not_before => Some(CertificateFault::NotYetValid),
                false => Some(CertificateFault::Expired),
            };
        }
        let lists: Vec<&webpki::CertRevocationList<'_>> = self.trusted.revocations.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Ignore)
                .build()
        });
        let verdict = EndEntityCert::try_from(leaf).and_then(|certificate| {
            certificate
                .verify_for_usage(
                    self.provider.signature_verification_algorithms.all,
                    &self.trusted.anchors,
                    intermediates,
                    now,
                    ForServers,
                    revocation,
                    None,
                )
                .map(drop)
        });
        verdict.err().map(|error| fault(&error, shown))
    }
}

fn fault(error: &webpki::Error, shown: &Certificate) -> CertificateFault {
    match error {
        webpki::Error::CertExpired { .. } => CertificateFault::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateFault::NotYetValid,
        webpki::Error::CertRevoked => CertificateFault::Revoked,
        webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity if shown.is_self_issued => {
            CertificateFault::SelfSigned
        }
        webpki::Error::UnknownIssuer => CertificateFault::UnknownIssuer,
        other => CertificateFault::Invalid(flaw(other)),
    }
}

/// What is wrong with it, in words: the library has none but its own names.
fn flaw(error: &webpki::Error) -> String {
    use webpki::Error as Of;
    match error {
        Of::RequiredEkuNotFoundContext(context) => {
            let purposes = context.present.iter().take(4);
            let purposes: Vec<String> = purposes.map(|oid| purpose(oid)).collect();
            let not_for = "it is not meant for servers";
            match purposes.is_empty() {
                true => not_for.to_owned(),
                false => format!("{not_for}, but for {}", purposes.join(", ")),
            }
        }
        Of::CaUsedAsEndEntity => "it is an authority's, and no server's".to_owned(),
        Of::EndEntityUsedAsCa => "it was issued by one that may not issue any".to_owned(),
        Of::PathLenConstraintViolated => {
            "an authority between may not let others issue any".to_owned()
        }
        Of::NameConstraintViolation => "its issuer may not issue any for such a name".to_owned(),
        Of::InvalidSignatureForPublicKey | Of::SignatureAlgorithmMismatch => {
            "its signature is not its issuer's".to_owned()
        }
        Of::UnsupportedSignatureAlgorithmContext(_)
        | Of::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "it is signed in a way that is weak or not known here".to_owned()
        }
        Of::UnsupportedCriticalExtension => {
            "it has a critical extension that is not known here".to_owned()
        }
        Of::UnsupportedCertVersion => "it is of an old version".to_owned(),
        Of::InvalidCertValidity => "it ends before it begins".to_owned(),
        Of::EmptyEkuExtension => "it is meant for nothing".to_owned(),
        Of::MaximumPathBuildCallsExceeded
        | Of::MaximumPathDepthExceeded
        | Of::MaximumSignatureChecksExceeded
        | Of::MaximumNameConstraintComparisonsExceeded => {
            "there are too many certificates between it and an authority".to_owned()
        }
        other => {
            // The name alone, without what stands in it.
            let name = format!("{other:?}");
            let end = name.find(|c: char| !c.is_ascii_alphanumeric());
            let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
            format!("it breaks the rules for certificates: {name}")
        }
    }
}

/// What a certificate is meant for (RFC 5280 §4.2.1.12), for a person.
fn purpose(oid: &[usize]) -> String {
    let known = match oid.strip_prefix(PURPOSES) {
        Some([2]) => Some("clients"),
        Some([3]) => Some("signing programs"),
        Some([4]) => Some("mail"),
        Some([8]) => Some("time stamps"),
        Some([9]) => Some("telling of revocations"),
        _ => None,
    };
    known.map_or_else(
        || {
            let numbers: Vec<String> = oid.iter().take(16).map(usize::to_string).collect();
            format!("purpose {}", numbers.join("."))
        },
        str::to_owned,
    )
}

/// An arc of an object identifier as it is: `webpki` puts its groups of seven bits (X.690 §8.19.2) eight bits apart.
fn arc(apart: usize) -> usize {
    let groups = apart.to_be_bytes();
    groups
        .iter()
        .fold(0, |arc, group| (arc << 7) | usize::from(group & 0x7F))
}

/// The arc of all purposes that RFCs define: id-kp.
const PURPOSES: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3];
/// id-kp-serverAuth.
const SERVERS: usize = 1;
/// id-kp-sipDomain (RFC 5924 §4).
const SIP_DOMAINS: usize = 20;

/// A certificate that names its purposes has to name servers of TLS or SIP domains among them (RFC 5924 §5).
struct ForServers;

impl webpki::ExtendedKeyUsageValidator for ForServers {
    fn validate(&self, purposes: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut present = Vec::new();
        for purpose in purposes {
            let oid = purpose?.to_decoded_oid().into_iter().map(arc);
            let oid: Vec<usize> = oid.collect();
            if let Some([SERVERS | SIP_DOMAINS]) = oid.strip_prefix(PURPOSES) {
                return Ok(());
            }
            present.push(oid);
        }
        if present.is_empty() {
            return Ok(());
        }
        let required = webpki::KeyUsage::server_auth();
        Err(webpki::Error::RequiredEkuNotFoundContext(
            webpki::RequiredEkuNotFoundContext { required, present },
        ))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates, &server_name.to_str(), now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|error| {
                rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(
                    error,
                ))))
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Notes that a server wants a certificate of ours: some only say so by hanging up.
#[derive(Debug)]
struct Asked {
    inner: Arc<dyn ResolvesClientCert>,
    was_asked: AtomicBool,
}

impl ResolvesClientCert for Asked {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.inner.resolve(root_hint_subjects, schemes)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.inner.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        // Asked for even when there are none, so that the wish is noticed.
        true
    }
}
