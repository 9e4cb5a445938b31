//! A file of passwords, encrypted under a passphrase.
//!
//! ```text
//! "TRVAULT1"  8 bytes
//! memory      u32, KiB      ┐
//! passes      u32           ├ Argon2id (RFC 9106)
//! lanes       u32           │
//! salt        16 bytes      ┘
//! nonce       24 bytes        XChaCha20-Poly1305, new with each write
//! sealed      the rest        everything before it is authenticated with it
//! ```
//!
//! Numbers are little-endian. Inside: for each entry its name and its password, each with a u32 length
//! in front. The file may come from an enemy: sizes and costs have limits that are checked before any
//! memory is taken.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use zeroize::{Zeroize, Zeroizing};

use crate::atomic;

/// Why the vault could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The passphrase is not the one, or the file was changed.
    #[error("the passphrase is wrong, or the vault was tampered with")]
    WrongPassphrase,
    /// A passphrase of nothing protects nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The file is not a vault, or is damaged.
    #[error("the vault is damaged: {0}")]
    Damaged(&'static str),
    /// The disk refused.
    #[error("the vault could not be used: {} ({})", atomic::reason(.source), .path.display())]
    Disk {
        /// What the system said.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The machine gave no memory or no randomness.
    #[error("the vault could not be sealed: {0}")]
    Machine(String),
}

/// An open vault: its key and what is in it.
pub(super) struct Vault {
    path: PathBuf,
    costs: Costs,
    salt: [u8; SALT],
    key: SecretBox<[u8; 32]>,
    entries: BTreeMap<String, SecretString>,
}

/// What deriving the key costs, so that guessing does too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Costs {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Vault {
    /// Opens the file, or starts an empty vault when there is none. A new vault is on disk with its
    /// first entry.
    pub(super) fn open_or_create(
        path: &Path,
        passphrase: &SecretString,
    ) -> Result<Self, VaultError> {
        if passphrase.expose_secret().is_empty() {
            return Err(VaultError::EmptyPassphrase);
        }
        match read(path) {
            Ok(Some(bytes)) => Self::open(path, &bytes, passphrase),
            Ok(None) => {
                let mut salt = [0; SALT];
                random(&mut salt)?;
                Ok(Self {
                    path: path.to_owned(),
                    costs: COSTS,
                    salt,
                    key: derive(passphrase, &salt, COSTS)?,
                    entries: BTreeMap::new(),
                })
            }
            Err(error) => Err(error),
        }
    }

    fn open(path: &Path, bytes: &[u8], passphrase: &SecretString) -> Result<Self, VaultError> {
        let (header, sealed) = bytes
            .split_at_checked(HEADER)
            .ok_or(VaultError::Damaged("it is too short"))?;
        let mut fields = header;
        if take::<8>(&mut fields)? != *MAGIC {
            return Err(VaultError::Damaged("it is no vault of this kind"));
        }
        let costs = Costs {
            memory_kib: u32::from_le_bytes(take(&mut fields)?),
            passes: u32::from_le_bytes(take(&mut fields)?),
            lanes: u32::from_le_bytes(take(&mut fields)?),
        };
        if costs.memory_kib > COST_LIMITS.memory_kib
            || costs.passes > COST_LIMITS.passes
            || costs.lanes > COST_LIMITS.lanes
        {
            return Err(VaultError::Damaged("it asks for too much work"));
        }
        let salt: [u8; SALT] = take(&mut fields)?;
        let nonce: [u8; NONCE] = take(&mut fields)?;
        let key = derive(passphrase, &salt, costs)?;
        let payload = Payload {
            msg: sealed,
            aad: header,
        };
        let plain = cipher(&key)
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| VaultError::WrongPassphrase)?;
        let plain = Zeroizing::new(plain);
        Ok(Self {
            path: path.to_owned(),
            costs,
            salt,
            key,
            entries: unpack(&plain)?,
        })
    }

    pub(super) fn password(&self, key: &str) -> Option<&SecretString> {
        self.entries.get(key)
    }

    /// Adds or replaces entries and writes the file. On an error the vault is as it was.
    pub(super) fn extend(
        &mut self,
        entries: impl IntoIterator<Item = (String, SecretString)>,
    ) -> Result<(), VaultError> {
        let before = self.entries.clone();
        self.entries.extend(entries);
        self.write_or_restore(before)
    }

    /// Removes an entry; writes the file when it was there.
    pub(super) fn remove(&mut self, key: &str) -> Result<(), VaultError> {
        if !self.entries.contains_key(key) {
            return Ok(());
        }
        let before = self.entries.clone();
        self.entries.remove(key);
        self.write_or_restore(before)
    }

    fn write_or_restore(
        &mut self,
        before: BTreeMap<String, SecretString>,
    ) -> Result<(), VaultError> {
        let written = self.write();
        if written.is_err() {
            self.entries = before;
        }
        written
    }

    fn write(&self) -> Result<(), VaultError> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        let mut file = Vec::with_capacity(HEADER);
        file.extend_from_slice(MAGIC);
        for number in [self.costs.memory_kib, self.costs.passes, self.costs.lanes] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(&self.salt);
        file.extend_from_slice(&nonce);
        let plain = pack(&self.entries)?;
        let payload = Payload {
            msg: &plain,
            aad: &file,
        };
        let sealed = cipher(&self.key)
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| VaultError::Machine("it is too large".to_owned()))?;
        file.extend_from_slice(&sealed);
        atomic::write(&self.path, &file).map_err(|source| VaultError::Disk {
            source,
            path: self.path.clone(),
        })
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, VaultError> {
    let disk = |source| VaultError::Disk {
        source,
        path: path.to_owned(),
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk(error)),
        Ok(meta) if meta.len() > FILE_LIMIT => Err(VaultError::Damaged("it is too large")),
        Ok(_) => fs::read(path).map(Some).map_err(disk),
    }
}

fn derive(
    passphrase: &SecretString,
    salt: &[u8],
    costs: Costs,
) -> Result<SecretBox<[u8; 32]>, VaultError> {
    let params = Params::new(costs.memory_kib, costs.passes, costs.lanes, Some(32))
        .map_err(|_| VaultError::Damaged("its costs make no sense"))?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut failed = None;
    let key = SecretBox::init_with_mut(|key: &mut [u8; 32]| {
        failed = argon
            .hash_password_into(passphrase.expose_secret().as_bytes(), salt, key)
            .err();
    });
    match failed {
        None => Ok(key),
        Some(error) => Err(VaultError::Machine(error.to_string())),
    }
}

fn cipher(key: &SecretBox<[u8; 32]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose_secret().into())
}

fn random(into: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(into).map_err(|error| VaultError::Machine(error.to_string()))
}

fn pack(entries: &BTreeMap<String, SecretString>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let size = entries
        .iter()
        .map(|(key, password)| 8 + key.len() + password.expose_secret().len())
        .sum();
    // Sized at once: growing would leave copies of passwords in freed memory.
    let mut plain = Zeroizing::new(Vec::with_capacity(size));
    for (key, password) in entries {
        for text in [key.as_str(), password.expose_secret()] {
            let length = u32::try_from(text.len())
                .map_err(|_| VaultError::Machine("an entry is too long".to_owned()))?;
            plain.extend_from_slice(&length.to_le_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
    }
    if plain.len() as u64 > FILE_LIMIT / 2 {
        return Err(VaultError::Machine("there are too many entries".to_owned()));
    }
    Ok(plain)
}

fn unpack(mut plain: &[u8]) -> Result<BTreeMap<String, SecretString>, VaultError> {
    let mut entries = BTreeMap::new();
    while !plain.is_empty() {
        let mut key = text(&mut plain)?.to_owned();
        let password = SecretString::from(text(&mut plain)?);
        entries.insert(std::mem::take(&mut key), password);
        key.zeroize();
    }
    Ok(entries)
}

fn text<'a>(plain: &mut &'a [u8]) -> Result<&'a str, VaultError> {
    const TORN: VaultError = VaultError::Damaged("an entry is torn");
    let length = u32::from_le_bytes(take(plain)?) as usize;
    let (text, rest) = plain.split_at_checked(length).ok_or(TORN)?;
    *plain = rest;
    std::str::from_utf8(text).map_err(|_| TORN)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], VaultError> {
    let (taken, rest) = bytes
        .split_first_chunk()
        .ok_or(VaultError::Damaged("it is too short"))?;
    *bytes = rest;
    Ok(*taken)
}

const MAGIC: &[u8; 8] = b"TRVAULT1";
const SALT: usize = 16;
const NONCE: usize = 24;
const HEADER: usize = 8 + 3 * 4 + SALT + NONCE;
const FILE_LIMIT: u64 = 8 << 20;

/// Above the second recommendation of RFC 9106 §4 in memory a pass, one lane since we have one thread.
#[cfg(not(test))]
const COSTS: Costs = Costs {
    memory_kib: 64 << 10,
    passes: 3,
    lanes: 1,
};

/// Tests open vaults by the hundred.
#[cfg(test)]
const COSTS: Costs = Costs {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

/// No file makes us take more than this.
const COST_LIMITS: Costs = Costs {
    memory_kib: 256 << 10,
    passes: 16,
    lanes: 8,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::scratch;

    fn phrase(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn sample(dir: &Path) -> PathBuf {
        let path = dir.join("secrets.vault");
        let mut vault = Vault::open_or_create(&path, &phrase("correct horse")).unwrap();
        vault
            .extend([("acme/alice".to_owned(), phrase("s3cret-of-alice"))])
            .unwrap();
        path
    }

    #[test]
    fn what_was_put_in_comes_out_with_the_passphrase_and_only_with_it() {
        let dir = scratch("vault-open");
        let path = sample(&dir);
        let vault = Vault::open_or_create(&path, &phrase("correct horse")).unwrap();
        let password = vault.password("acme/alice").unwrap();
        assert_eq!(password.expose_secret(), "s3cret-of-alice");
        assert!(matches!(
            Vault::open_or_create(&path, &phrase("battery staple")),
            Err(VaultError::WrongPassphrase)
        ));
        assert!(matches!(
            Vault::open_or_create(&path, &phrase("")),
            Err(VaultError::EmptyPassphrase)
        ));
    }

    #[test]
    fn neither_names_nor_passwords_can_be_read_in_the_file() {
        let bytes = fs::read(sample(&scratch("vault-plain"))).unwrap();
        for word in ["alice", "s3cret", "acme", "horse"] {
            assert!(!bytes.windows(word.len()).any(|w| w == word.as_bytes()));
        }
    }

    #[test]
    fn each_write_has_its_own_nonce() {
        let dir = scratch("vault-nonce");
        let path = sample(&dir);
        let nonce = || fs::read(&path).unwrap()[HEADER - NONCE..HEADER].to_vec();
        let before = nonce();
        let mut vault = Vault::open_or_create(&path, &phrase("correct horse")).unwrap();
        vault.extend([("a/b".to_owned(), phrase("x"))]).unwrap();
        assert_ne!(before, nonce());
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let dir = scratch("vault-hostile");
        let path = sample(&dir);
        let good = fs::read(&path).unwrap();
        let open = |bytes: &[u8]| Vault::open(&path, bytes, &phrase("correct horse"));
        assert!(open(&good).is_ok());
        for at in 0..good.len() {
            assert!(open(&good[..at]).is_err(), "cut at {at}");
            let mut bad = good.clone();
            // The highest bit also makes each cost absurd, which must be refused before it is paid.
            bad[at] ^= 0x80;
            assert!(open(&bad).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn torn_contents_are_an_error_and_no_panic() {
        for plain in [
            &b"\x01"[..],
            &b"\xff\xff\xff\xff"[..],
            &b"\x01\x00\x00\x00a"[..],
            &b"\x01\x00\x00\x00\xff\x00\x00\x00\x00"[..],
        ] {
            assert!(unpack(plain).is_err());
        }
        assert!(unpack(b"").unwrap().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_keeps_the_old_vault_in_file_and_memory() {
        let dir = scratch("vault-full");
        let path = sample(&dir);
        std::os::unix::fs::symlink("/dev/full", dir.join("secrets.vault.tmp")).unwrap();
        let mut vault = Vault::open_or_create(&path, &phrase("correct horse")).unwrap();
        let error = vault
            .extend([("a/b".to_owned(), phrase("x"))])
            .unwrap_err()
            .to_string();
        assert!(error.contains("the disk is full"), "{error}");
        assert!(vault.password("a/b").is_none());
        assert!(Vault::open_or_create(&path, &phrase("correct horse")).is_ok());
    }
}
