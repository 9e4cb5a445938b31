//! The system's keystore behind a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::SecretError;

/// What is asked of a keystore; the second implementation is the one tests hang and refuse with.
pub(super) trait Keystore: Send + Sync + 'static {
    fn status(&self) -> Result<(), SecretError>;
    fn set(&self, key: &str, password: &SecretString) -> Result<(), SecretError>;
    fn password(&self, key: &str) -> Result<Option<SecretString>, SecretError>;
    fn remove(&self, key: &str) -> Result<(), SecretError>;
}

/// Secret Service, Keychain or Credential Manager, whichever the platform has.
pub(super) struct SystemKeystore {
    pub(super) service: String,
}

impl SystemKeystore {
    fn entry(&self, key: &str) -> Result<keyring::Entry, SecretError> {
        keyring::Entry::new(&self.service, key).map_err(said)
    }
}

impl Keystore for SystemKeystore {
    fn status(&self) -> Result<(), SecretError> {
        match keyring::Entry::store_status() {
            Ok(()) => Ok(()),
            Err(error) => {
                // A bus address helps nobody but who looks into the log.
                tracing::info!(target: "secrets", "no keystore: {}", words(error));
                Err(said(keyring::Error::NoDefaultStore))
            }
        }
    }

    fn set(&self, key: &str, password: &SecretString) -> Result<(), SecretError> {
        self.entry(key)?
            .set_password(password.expose_secret())
            .map_err(said)
    }

    fn password(&self, key: &str) -> Result<Option<SecretString>, SecretError> {
        match self.entry(key)?.get_password() {
            Ok(password) => Ok(Some(SecretString::from(password))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(said(error)),
        }
    }

    fn remove(&self, key: &str) -> Result<(), SecretError> {
        match self.entry(key)?.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(said(error)),
        }
    }
}

/// Runs each call on a thread of its own and waits no longer than the deadline. While a call hangs, the
/// next ones fail at once: one thread is all a dead keystore gets.
pub(super) struct Guarded {
    keystore: Arc<dyn Keystore>,
    deadline: Duration,
    hanging: Arc<AtomicBool>,
}

impl Guarded {
    pub(super) fn new(keystore: Arc<dyn Keystore>, deadline: Duration) -> Self {
        Self {
            keystore,
            deadline,
            hanging: Arc::new(AtomicBool::new(false)),
        }
    }

    pub(super) fn status(&self) -> Result<(), SecretError> {
        self.within_deadline(Keystore::status)
    }

    pub(super) fn set(&self, key: &str, password: &SecretString) -> Result<(), SecretError> {
        let (key, password) = (key.to_owned(), password.clone());
        self.within_deadline(move |keystore| keystore.set(&key, &password))
    }

    pub(super) fn password(&self, key: &str) -> Result<Option<SecretString>, SecretError> {
        let key = key.to_owned();
        self.within_deadline(move |keystore| keystore.password(&key))
    }

    pub(super) fn remove(&self, key: &str) -> Result<(), SecretError> {
        let key = key.to_owned();
        self.within_deadline(move |keystore| keystore.remove(&key))
    }

    fn within_deadline<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Keystore) -> Result<T, SecretError> + Send + 'static,
    ) -> Result<T, SecretError> {
        if self.hanging.load(Ordering::SeqCst) {
            return Err(SecretError::Deadline(self.deadline));
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let keystore = Arc::clone(&self.keystore);
        let hanging = Arc::clone(&self.hanging);
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        thread::Builder::new()
            .name("keystore".to_owned())
            .spawn(move || {
                let result = call(&*keystore);
                // The caller may have gone; then its verdict "hanging" ends here.
                done.store(true, Ordering::SeqCst);
                hanging.store(false, Ordering::SeqCst);
                let _ = answer.send(result);
            })
            .map_err(|error| SecretError::Keystore(error.to_string()))?;
        match answered.recv_timeout(self.deadline) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.hanging.store(true, Ordering::SeqCst);
                // It may have ended between the deadline and the line above.
                if is_done.load(Ordering::SeqCst) {
                    self.hanging.store(false, Ordering::SeqCst);
                }
                Err(SecretError::Deadline(self.deadline))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(SecretError::Keystore("it failed inside".to_owned()))
            }
        }
    }
}

fn said(error: keyring::Error) -> SecretError {
    SecretError::Keystore(words(&error))
}

/// The error without what it may carry: some variants hold the secret's bytes.
fn words(error: &keyring::Error) -> String {
    match error {
        keyring::Error::NoDefaultStore => "no keystore answers".to_owned(),
        keyring::Error::NoStorageAccess(_) => "it is locked".to_owned(),
        keyring::Error::BadEncoding(_) | keyring::Error::BadDataFormat(..) => {
            "the entry is damaged".to_owned()
        }
        keyring::Error::Ambiguous(_) => "there are several entries of this name".to_owned(),
        keyring::Error::TooLong(..) => "the entry is too long".to_owned(),
        keyring::Error::PlatformFailure(source) => {
            let text = source.to_string();
            text.lines().next().unwrap_or("it failed").to_owned()
        }
        _ => "it failed".to_owned(),
    }
}
