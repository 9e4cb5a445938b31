//! Private keys in PEM, with a passphrase and without.

use pkcs8::pkcs5::Error as Locked;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::error::TlsError;

/// The label of a key under a passphrase (RFC 7468 §11).
const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// What OpenSSL wrote before (RFC 1421 §4.6.1.1): its key comes from the passphrase by one round of MD5.
const OLD: &str = "Proc-Type: 4,ENCRYPTED";

/// Reads a key; one that is locked with its passphrase.
pub(crate) fn open(
    pem: &[u8],
    passphrase: Option<&str>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    if let Ok(key) = PrivateKeyDer::from_pem_slice(pem) {
        return Ok(key);
    }
    let text = String::from_utf8_lossy(pem);
    if text.contains(OLD) {
        return Err(outdated());
    }
    let Some(locked) = block(&text) else {
        return Err(TlsError::Setup(
            "the key file holds no key in PEM".to_owned(),
        ));
    };
    let passphrase = passphrase.ok_or(TlsError::KeyLocked)?;
    let unreadable = || TlsError::Setup("the locked key in PEM cannot be read".to_owned());
    let (_, document) = SecretDocument::from_pem(locked).map_err(|_| unreadable())?;
    // What is locked by anything older than RFC 8018 does not even read.
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| outdated())?;
    let key = info.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            Locked::UnsupportedAlgorithm { .. }
            | Locked::AlgorithmParametersInvalid { .. }
            | Locked::NoPbes1CryptSupport,
        ) => outdated(),
        // Also where the padding happened to be right and what came out is no key.
        _ => TlsError::WrongPassphrase,
    })?;
    let key = PrivatePkcs8KeyDer::from(key.as_bytes().to_vec());
    Ok(PrivateKeyDer::Pkcs8(key))
}

/// The block of the locked key among whatever else stands in the file.
fn block(text: &str) -> Option<&str> {
    let (begin, end) = (
        format!("-----BEGIN {LABEL}-----"),
        format!("-----END {LABEL}-----"),
    );
    let from = text.get(text.find(&begin)?..)?;
    from.get(..from.find(&end)? + end.len())
}

fn outdated() -> TlsError {
    TlsError::Setup(
        "the key is locked in an old way that is no protection any more; `openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW` locks it anew".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, ServerTls};

    const CERTIFICATE: &[u8] = include_bytes!("../../../tests/data/keys/desk.pem");
    const PBKDF2: &[u8] = include_bytes!("../../../tests/data/keys/desk-pbkdf2.key");
    const SCRYPT: &[u8] = include_bytes!("../../../tests/data/keys/desk-scrypt.key");
    const PBES1: &[u8] = include_bytes!("../../../tests/data/keys/desk-pbes1.key");

    #[test]
    fn a_locked_key_opens_with_its_passphrase_and_belongs_to_its_certificate() {
        for key in [PBKDF2, SCRYPT] {
            let own = Identity::from_pem_with(CERTIFICATE, key, Some("wonder"));
            let own = own.expect("the passphrase is right");
            // Certificate and key are held against each other here.
            ServerTls::new(&own, None).expect("they belong together");
            // Certificate and key may stand in one file.
            let both = [CERTIFICATE, key].concat();
            Identity::from_pem_with(&both, &both, Some("wonder")).expect("they are both found");
        }
    }

    #[test]
    fn without_the_passphrase_or_with_another_one_it_stays_locked() {
        for key in [PBKDF2, SCRYPT] {
            let read = |passphrase| Identity::from_pem_with(CERTIFICATE, key, passphrase).map(drop);
            assert_eq!(read(None), Err(TlsError::KeyLocked));
            for wrong in ["", "Wonder", "wonder "] {
                assert_eq!(
                    read(Some(wrong)),
                    Err(TlsError::WrongPassphrase),
                    "{wrong:?}"
                );
            }
        }
    }

    #[test]
    fn an_old_lock_is_told_how_to_be_made_anew() {
        let read = Identity::from_pem_with(CERTIFICATE, PBES1, Some("wonder")).map(drop);
        let said = read.expect_err("it is too weak").to_string();
        assert!(
            said.contains("openssl pkcs8 -topk8 -v2 aes-256-cbc"),
            "{said}"
        );
    }

    #[test]
    fn what_is_no_key_is_no_key_with_any_passphrase() {
        let cut = PBKDF2.get(..200).expect("it is longer");
        let broken = String::from_utf8_lossy(PBKDF2).replace('M', "A");
        for key in [
            b"".as_slice(),
            b"nothing",
            cut,
            broken.as_bytes(),
            CERTIFICATE,
        ] {
            assert!(open(key, Some("wonder")).is_err());
        }
    }
}
