use super::keystore::Keystore;
use super::*;
use crate::config::{Scratch, scratch};
use std::sync::Condvar;
use std::time::Instant;

/// A keystore that does as it is told.
#[derive(Default)]
struct Fake {
    entries: Mutex<BTreeMap<String, String>>,
    absent: bool,
    locked: bool,
    hangs: Option<Arc<(Mutex<bool>, Condvar)>>,
    /// Goes with the store.
    _dir: Option<Scratch>,
}

impl Fake {
    fn answer(&self) -> Result<(), SecretError> {
        if let Some(gate) = &self.hangs {
            let mut open = gate.0.lock().unwrap();
            while !*open {
                open = gate.1.wait(open).unwrap();
            }
        }
        Ok(())
    }
}

impl Keystore for Fake {
    fn status(&self) -> Result<(), SecretError> {
        if self.absent {
            return Err(SecretError::Keystore("no keystore answers".to_owned()));
        }
        Ok(())
    }

    fn set(&self, key: &str, password: &SecretString) -> Result<(), SecretError> {
        self.answer()?;
        if self.locked {
            return Err(SecretError::Keystore("it is locked".to_owned()));
        }
        let password = password.expose_secret().to_owned();
        self.entries
            .lock()
            .unwrap()
            .insert(key.to_owned(), password);
        Ok(())
    }

    fn password(&self, key: &str) -> Result<Option<SecretString>, SecretError> {
        self.answer()?;
        let entries = self.entries.lock().unwrap();
        Ok(entries.get(key).map(|p| SecretString::from(p.as_str())))
    }

    fn remove(&self, key: &str) -> Result<(), SecretError> {
        self.entries.lock().unwrap().remove(key);
        Ok(())
    }
}

fn store(name: &str, fake: Fake, passphrase: Option<&str>) -> (SecretStore, Arc<Fake>) {
    let dir = scratch(name);
    let file = dir.join("secrets.vault");
    let fake = Arc::new(Fake {
        _dir: Some(dir),
        ..fake
    });
    let guarded = Guarded::new(fake.clone(), Duration::from_millis(50));
    let passphrase = passphrase.map(SecretString::from);
    let store = SecretStore::with_keystore(Some(guarded), file, passphrase.as_ref());
    (store, fake)
}

fn ids() -> (TenantId, AccountId) {
    (TenantId::new("acme"), AccountId::new("alice"))
}

fn shown(store: &SecretStore) -> Option<String> {
    let (tenant, account) = ids();
    let password = store.password(&tenant, &account).unwrap();
    password.map(|p| p.expose_secret().to_owned())
}

#[test]
fn the_keystore_is_used_when_it_works() {
    let (store, fake) = store("keystore", Fake::default(), Some("phrase"));
    let (tenant, account) = ids();
    assert_eq!(store.backend(), Backend::Keystore);
    assert_eq!(store.sentence(), None);
    let kept = store.set(&tenant, &account, "pw".into()).unwrap();
    assert_eq!(kept, Backend::Keystore);
    assert_eq!(fake.entries.lock().unwrap()["acme/alice"], "pw");
    assert_eq!(shown(&store).as_deref(), Some("pw"));
    store.remove(&tenant, &account).unwrap();
    assert_eq!(shown(&store), None);
    assert!(!store.has_vault_file());
}

#[test]
fn each_login_of_an_account_has_a_secret_of_its_own() {
    let (store, fake) = store("logins", Fake::default(), Some("phrase"));
    let (tenant, account) = ids();
    let login = |realm: Option<&str>, server: Option<&str>| Login {
        realm: realm.map(str::to_owned),
        server: server.map(str::to_owned),
        user: "alice".into(),
    };
    // Realms and servers that would read alike if they were only put side by side.
    let logins = [
        login(Some("pbx"), None),
        login(None, Some("pbx")),
        login(Some("pbx"), Some("host")),
        login(Some("pbx@host"), None),
        login(Some("p"), Some("bx@host")),
    ];
    store.set(&tenant, &account, "own".into()).unwrap();
    for (number, login) in logins.iter().enumerate() {
        let password = format!("pw{number}").into();
        store.set_login(&tenant, &account, login, password).unwrap();
    }
    assert_eq!(fake.entries.lock().unwrap().len(), logins.len() + 1);
    let read = |login: &Login| {
        let found = store.login_password(&tenant, &account, login).unwrap();
        found.map(|found| found.expose_secret().to_owned())
    };
    for (number, login) in logins.iter().enumerate() {
        assert_eq!(read(login), Some(format!("pw{number}")));
    }
    store.remove_login(&tenant, &account, &logins[0]).unwrap();
    assert_eq!(read(&logins[0]), None);
    assert_eq!(read(&logins[2]).as_deref(), Some("pw2"));
    assert_eq!(shown(&store).as_deref(), Some("own"));
}

#[test]
fn without_a_keystore_the_vault_keeps_passwords_over_a_restart() {
    let absent = || Fake {
        absent: true,
        ..Fake::default()
    };
    let (tenant, account) = ids();
    // The folder goes with the second of the two.
    let (first, _folder) = store("vault", absent(), Some("phrase"));
    assert_eq!(first.backend(), Backend::Vault);
    let kept = first.set(&tenant, &account, "pw".into()).unwrap();
    assert_eq!(kept, Backend::Vault);
    let path = first.shared.vault_file.clone();
    drop(first);

    let open = |phrase: &str| {
        SecretStore::with_keystore(None, path.clone(), Some(&SecretString::from(phrase)))
    };
    assert_eq!(shown(&open("phrase")).as_deref(), Some("pw"));
    let wrong = open("wrong");
    assert_eq!(wrong.backend(), Backend::SessionOnly);
    assert!(wrong.sentence().unwrap().contains("passphrase is wrong"));
    assert_eq!(shown(&wrong), None);
}

#[test]
fn with_neither_a_password_lives_in_memory_and_moves_into_a_vault_opened_later() {
    let absent = Fake {
        absent: true,
        ..Fake::default()
    };
    let (store, _) = store("session", absent, None);
    let (tenant, account) = ids();
    let kept = store.set(&tenant, &account, "pw".into()).unwrap();
    assert_eq!(kept, Backend::SessionOnly);
    assert!(store.sentence().unwrap().contains("until Tipring ends"));
    assert_eq!(shown(&store).as_deref(), Some("pw"));
    let folder = store.shared.vault_file.parent().unwrap();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);

    store.unlock(&"phrase".into()).unwrap();
    assert_eq!(store.backend(), Backend::Vault);
    assert_eq!(shown(&store).as_deref(), Some("pw"));
    assert!(store.has_vault_file());
}

#[test]
fn a_locked_keystore_is_passed_over_and_named() {
    let locked = Fake {
        locked: true,
        ..Fake::default()
    };
    let (store, _) = store("locked", locked, None);
    let (tenant, account) = ids();
    assert_eq!(store.backend(), Backend::Keystore);
    let kept = store.set(&tenant, &account, "pw".into()).unwrap();
    assert_eq!(kept, Backend::SessionOnly);
    assert_eq!(store.backend(), Backend::SessionOnly);
    assert!(store.sentence().unwrap().contains("it is locked"));
}

#[test]
fn a_keystore_that_hangs_costs_one_deadline_and_one_thread() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let hanging = Fake {
        hangs: Some(gate.clone()),
        ..Fake::default()
    };
    let (store, _) = store("hangs", hanging, None);
    let (tenant, account) = ids();
    let error = store.password(&tenant, &account).unwrap_err();
    assert!(matches!(error, SecretError::Deadline(_)), "{error}");
    let began = Instant::now();
    for _ in 0..1000 {
        assert!(store.password(&tenant, &account).is_err());
    }
    // A thousand deadlines would be fifty seconds.
    assert!(began.elapsed() < Duration::from_secs(5));
    let kept = store.set(&tenant, &account, "pw".into()).unwrap();
    assert_eq!(kept, Backend::SessionOnly);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

#[test]
fn the_real_keystore_is_asked_without_a_panic_whatever_this_machine_has() {
    let dir = scratch("system");
    let mut options = SecretOptions::new(&Folders::at(&*dir));
    options.passphrase = Some("phrase".into());
    let store = SecretStore::open(options);
    let (tenant, account) = ids();
    store.set(&tenant, &account, "pw".into()).unwrap();
    assert_eq!(shown(&store).as_deref(), Some("pw"));
    store.remove(&tenant, &account).unwrap();
    assert_eq!(shown(&store), None);
}

#[test]
fn nothing_that_prints_shows_a_password() {
    let (store, _) = store("debug", Fake::default(), None);
    let (tenant, account) = ids();
    store.set(&tenant, &account, "pw-in-clear".into()).unwrap();
    assert!(!format!("{store:?}").contains("pw-in-clear"));
}

#[test]
fn ids_with_slashes_do_not_share_an_entry() {
    let name = |t: &str, a: &str| entry_name(&TenantId::new(t), &AccountId::new(a));
    assert_ne!(name("a/b", "c"), name("a", "b/c"));
}
