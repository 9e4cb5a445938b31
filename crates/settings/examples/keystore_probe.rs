//! Says which keystore this machine has and whether it keeps a password:
//! `cargo run -p settings --example keystore_probe`.

use model::{AccountId, TenantId};
use settings::Folders;
use settings::secrets::{ExposeSecret, SecretOptions, SecretStore};

fn main() {
    let dir = std::env::temp_dir().join("tipring-keystore-probe");
    let store = SecretStore::open(SecretOptions::new(&Folders::at(dir)));
    println!(
        "at the start: {:?}, {:?}",
        store.backend(),
        store.sentence()
    );
    let (tenant, account) = (TenantId::new("probe"), AccountId::new("probe"));
    println!("set: {:?}", store.set(&tenant, &account, "a trial".into()));
    let read = store.password(&tenant, &account);
    println!(
        "read back: {:?}",
        read.map(|p| p.is_some_and(|p| p.expose_secret() == "a trial"))
    );
    println!("remove: {:?}", store.remove(&tenant, &account));
    let read = store.password(&tenant, &account);
    println!("gone: {:?}", read.map(|p| p.is_none()));
    println!("at the end: {:?}, {:?}", store.backend(), store.sentence());
}
