//! Passwords.
//!
//! In order of preference: the system's keystore; where none answers, a vault file encrypted under a
//! passphrase; where there is no passphrase, memory, until the program ends. Which of them it is can be
//! shown ([`SecretStore::backend`], [`SecretStore::sentence`]). There is no path to plain text on a
//! disk.

mod keystore;
mod vault;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{AccountId, Login, TenantId};
pub use secrecy::{ExposeSecret, SecretString};

use crate::Folders;
use keystore::{Guarded, SystemKeystore};
use vault::Vault;
pub use vault::VaultError;

/// Where new passwords go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The system's keystore: Secret Service, Keychain, Credential Manager.
    Keystore,
    /// An encrypted file under a passphrase.
    Vault,
    /// Memory only; gone when the program ends.
    SessionOnly,
}

/// How to open a [`SecretStore`].
pub struct SecretOptions {
    /// Name of our entries in the keystore, [`Folders::keystore_service`].
    pub service: String,
    /// The vault file, [`Folders::vault_file`].
    pub vault_file: PathBuf,
    /// The passphrase of the vault, from a prompt or `TIPRING_PASSPHRASE`.
    pub passphrase: Option<SecretString>,
    /// Whether the system's keystore may be asked. Off for scripts and portable use.
    pub use_keystore: bool,
}

impl SecretOptions {
    /// The usual places of `folders`, without a passphrase.
    pub fn new(folders: &Folders) -> Self {
        Self {
            service: folders.keystore_service(),
            vault_file: folders.vault_file(),
            passphrase: None,
            use_keystore: true,
        }
    }
}

/// Why a password could not be kept, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The keystore said no.
    #[error("the system's keystore refused: {0}")]
    Keystore(String),
    /// The keystore did not answer; perhaps it waits for someone to unlock it.
    #[error("the system's keystore did not answer within {} s; it may be waiting to be unlocked", .0.as_secs())]
    Deadline(Duration),
    /// The vault could not be read or written.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl SecretError {
    /// The cause alone, to stand in a sentence about the keystore.
    fn cause(&self) -> String {
        match self {
            Self::Keystore(cause) => cause.clone(),
            other => other.to_string(),
        }
    }
}

/// Keeps the passwords of all accounts. Cheap to clone; calls block for at most five seconds, so they
/// belong on a blocking thread.
#[derive(Clone)]
pub struct SecretStore {
    shared: Arc<Shared>,
}

struct Shared {
    keystore: Option<Guarded>,
    vault_file: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// The keystore refused something: new passwords go elsewhere.
    keystore_refused: Option<String>,
    vault: Option<Vault>,
    vault_trouble: Option<String>,
    session: BTreeMap<String, SecretString>,
}

impl SecretStore {
    /// Opens what there is. Never fails: the worst case is [`Backend::SessionOnly`] with a sentence.
    pub fn open(options: SecretOptions) -> Self {
        let SecretOptions {
            service,
            vault_file,
            passphrase,
            use_keystore,
        } = options;
        let keystore = use_keystore.then_some(SystemKeystore { service });
        Self::with_keystore(
            keystore.map(|keystore| Guarded::new(Arc::new(keystore), DEADLINE)),
            vault_file,
            passphrase.as_ref(),
        )
    }

    fn with_keystore(
        keystore: Option<Guarded>,
        vault_file: PathBuf,
        passphrase: Option<&SecretString>,
    ) -> Self {
        let refused = match &keystore {
            None => Some("it is switched off".to_owned()),
            Some(keystore) => keystore.status().err().map(|error| error.cause()),
        };
        let store = Self {
            shared: Arc::new(Shared {
                keystore,
                vault_file,
                state: Mutex::new(State {
                    keystore_refused: refused,
                    vault: None,
                    vault_trouble: None,
                    session: BTreeMap::new(),
                }),
            }),
        };
        if let Some(passphrase) = passphrase
            && let Err(error) = store.unlock(passphrase)
        {
            store.state().vault_trouble = Some(error.to_string());
        }
        store
    }

    /// Opens the vault with a passphrase, or makes it when there is none yet. Passwords that were only
    /// in memory move into it.
    ///
    /// # Errors
    /// [`SecretError::Vault`] when the passphrase is wrong or the file is damaged; the file is then left
    /// alone.
    pub fn unlock(&self, passphrase: &SecretString) -> Result<(), SecretError> {
        let mut vault = Vault::open_or_create(&self.shared.vault_file, passphrase)?;
        let mut state = self.state();
        if state.keystore_refused.is_some() && !state.session.is_empty() {
            vault.extend(state.session.iter().map(|(k, v)| (k.clone(), v.clone())))?;
            state.session.clear();
        }
        state.vault = Some(vault);
        state.vault_trouble = None;
        Ok(())
    }

    /// Where a new password would go now.
    pub fn backend(&self) -> Backend {
        self.state().backend()
    }

    /// What a person should know of it; `None` while the keystore works.
    pub fn sentence(&self) -> Option<String> {
        let state = self.state();
        let why = state.keystore_refused.as_ref()?;
        let why = why.trim_end_matches('.');
        Some(match (&state.vault, &state.vault_trouble) {
            (Some(_), _) => format!(
                "There is no usable keystore ({why}). Passwords are kept in an encrypted file under your passphrase."
            ),
            (None, Some(trouble)) => format!(
                "There is no usable keystore ({why}) and the encrypted file does not open: {trouble}. Passwords are kept until Tipring ends."
            ),
            (None, None) => format!(
                "There is no usable keystore ({why}). Passwords are kept until Tipring ends; give a passphrase to keep them in an encrypted file."
            ),
        })
    }

    /// Whether a vault file is there, so that a passphrase is worth asking for.
    pub fn has_vault_file(&self) -> bool {
        self.shared.vault_file.exists()
    }

    /// Keeps a password and says where. A keystore that refuses is passed over from then on.
    ///
    /// # Errors
    /// When the vault could not be written; the password is then kept in memory all the same.
    pub fn set(
        &self,
        tenant: &TenantId,
        account: &AccountId,
        password: SecretString,
    ) -> Result<Backend, SecretError> {
        self.set_entry(entry_name(tenant, account), password)
    }

    /// [`Self::set`] for a further login of the account.
    ///
    /// # Errors
    /// As for [`Self::set`].
    pub fn set_login(
        &self,
        tenant: &TenantId,
        account: &AccountId,
        login: &Login,
        password: SecretString,
    ) -> Result<Backend, SecretError> {
        self.set_entry(login_name(tenant, account, login), password)
    }

    fn set_entry(&self, key: String, password: SecretString) -> Result<Backend, SecretError> {
        if let Some(keystore) = self.usable_keystore() {
            match keystore.set(&key, &password) {
                Ok(()) => {
                    // An older copy elsewhere would come back when the keystore is away.
                    let mut state = self.state();
                    state.session.remove(&key);
                    if let Some(vault) = &mut state.vault {
                        vault.remove(&key)?;
                    }
                    return Ok(Backend::Keystore);
                }
                Err(error) => self.state().keystore_refused = Some(error.cause()),
            }
        }
        let mut state = self.state();
        if let Some(vault) = &mut state.vault {
            let kept = vault.extend([(key.clone(), password.clone())]);
            if let Err(error) = kept {
                state.session.insert(key, password);
                return Err(error.into());
            }
            state.session.remove(&key);
            return Ok(Backend::Vault);
        }
        state.session.insert(key, password);
        Ok(Backend::SessionOnly)
    }

    /// The password of an account; `None` when there is none.
    ///
    /// # Errors
    /// When the keystore has it and will not give it.
    pub fn password(
        &self,
        tenant: &TenantId,
        account: &AccountId,
    ) -> Result<Option<SecretString>, SecretError> {
        self.entry(&entry_name(tenant, account))
    }

    /// [`Self::password`] of a further login of the account.
    ///
    /// # Errors
    /// As for [`Self::password`].
    pub fn login_password(
        &self,
        tenant: &TenantId,
        account: &AccountId,
        login: &Login,
    ) -> Result<Option<SecretString>, SecretError> {
        self.entry(&login_name(tenant, account, login))
    }

    fn entry(&self, key: &str) -> Result<Option<SecretString>, SecretError> {
        {
            // What was put into memory or the vault is newer than what the keystore may still hold.
            let state = self.state();
            let vault = state.vault.as_ref();
            if let Some(found) = state.session.get(key).or_else(|| vault?.password(key)) {
                return Ok(Some(found.clone()));
            }
        }
        match self.usable_keystore() {
            Some(keystore) => keystore.password(key),
            None => Ok(None),
        }
    }

    /// Forgets the password of an account, wherever it is. Nothing there is no error.
    ///
    /// # Errors
    /// When some copy could not be removed.
    pub fn remove(&self, tenant: &TenantId, account: &AccountId) -> Result<(), SecretError> {
        self.remove_entry(&entry_name(tenant, account))
    }

    /// [`Self::remove`] for a further login of the account.
    ///
    /// # Errors
    /// As for [`Self::remove`].
    pub fn remove_login(
        &self,
        tenant: &TenantId,
        account: &AccountId,
        login: &Login,
    ) -> Result<(), SecretError> {
        self.remove_entry(&login_name(tenant, account, login))
    }

    fn remove_entry(&self, key: &str) -> Result<(), SecretError> {
        {
            let mut state = self.state();
            state.session.remove(key);
            if let Some(vault) = &mut state.vault {
                vault.remove(key)?;
            }
        }
        match self.usable_keystore() {
            Some(keystore) => keystore.remove(key),
            None => Ok(()),
        }
    }

    /// The keystore, unless it was absent or refused.
    fn usable_keystore(&self) -> Option<&Guarded> {
        let usable = self.state().keystore_refused.is_none();
        self.shared.keystore.as_ref().filter(|_| usable)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is one assignment, so a panic elsewhere leaves it whole.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn backend(&self) -> Backend {
        match (&self.keystore_refused, &self.vault) {
            (None, _) => Backend::Keystore,
            (Some(_), Some(_)) => Backend::Vault,
            (Some(_), None) => Backend::SessionOnly,
        }
    }
}

impl std::fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretStore({:?})", self.backend())
    }
}

/// One entry for each account. Ids never hold a slash when we make them; one from an edited file that
/// does is told apart by the length in front.
fn entry_name(tenant: &TenantId, account: &AccountId) -> String {
    let (tenant, account) = (tenant.as_str(), account.as_str());
    if tenant.contains('/') || account.contains('/') {
        format!("{}:{tenant}/{account}", tenant.len())
    } else {
        format!("{tenant}/{account}")
    }
}

/// One entry for each further login, told apart by what it is for: user names may change under it. The
/// length of the realm in front tells where it ends, whatever is in it.
fn login_name(tenant: &TenantId, account: &AccountId, login: &Login) -> String {
    let realm = login.realm.as_deref().unwrap_or_default();
    let server = login.server.as_deref().unwrap_or_default();
    format!(
        "{}#{}:{realm}@{server}",
        entry_name(tenant, account),
        realm.len()
    )
}

/// How long a keystore may take; a prompt on the desktop may hold it up for ever.
const DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
