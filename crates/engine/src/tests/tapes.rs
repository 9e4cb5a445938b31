//! What goes into calls and registrations is written down, and played again the same comes out.

use std::time::Instant;

use model::{CallState, Command, TenantId};
use settings::Folders;

use super::house::{House, PASSWORD, account, switchboard, tenant, tone};

#[tokio::test]
async fn a_call_and_its_registrations_can_be_played_again() {
    let root = std::env::temp_dir().join(format!("tipring-engine-tapes-{}", std::process::id()));
    let folders = Folders::at(&root);
    let (_switchboard, addr) = switchboard().await;
    let given = vec![tenant(
        "Alpha",
        vec![
            account("sip:alice@alpha.test", addr, |_| {}),
            account("sip:amy@alpha.test", addr, |_| {}),
        ],
    )];
    let mut house = House::start_with(given, tone(), |config| {
        config.folders = Some(folders.clone());
    })
    .await;
    house.until_registered(2).await;
    let (out, into) = house.talk("alice", "amy").await;
    house.engine.send(Command::HoldCall { call: out });
    house.until_state(out, CallState::Held).await;
    house.engine.send(Command::ResumeCall { call: out });
    house.until_state(out, CallState::Connected).await;
    house.engine.send(Command::SendDtmf {
        call: out,
        digits: "5".to_owned().into(),
    });
    house.end(into);
    for call in [out, into] {
        house.until_state(call, CallState::Ended).await;
    }
    house.close().await;

    let dir = folders.trace_dir();
    let tenants: Vec<TenantId> = trace::store::stored_tenants(&dir).expect("it is there");
    let tape: String = tenants
        .iter()
        .map(|tenant| trace::store::read_tape(&dir, tenant).expect("it can be read"))
        .collect();
    assert!(!tape.contains(PASSWORD));
    let played = replay::play(&tape, Instant::now()).expect("it is a tape");
    assert_eq!(played.len(), 4, "two registrations and two ends of a call");
    for object in &played {
        assert!(object.is_same(), "{object:#?}");
        assert!(object.messages >= 2, "{object:#?}");
    }
    std::fs::remove_dir_all(&root).expect("it was ours");
}

/// Every file below a folder.
fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("it is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

/// What stands behind each of these words in what was said, up to a quotation mark or the end of the line.
fn behind(said: &str, word: &str) -> Vec<String> {
    let pieces = said.split(word).skip(1);
    pieces
        .filter_map(|piece| piece.split(['"', '|', '\r', '\n']).next())
        .filter(|secret| secret.len() >= 8)
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn no_file_has_a_secret_of_an_encrypted_call_between_registered_phones() {
    let root = std::env::temp_dir().join(format!("tipring-engine-secrets-{}", std::process::id()));
    let folders = Folders::at(&root);
    let (_switchboard, addr) = switchboard().await;
    let encrypted = |s: &mut model::AccountSettings| s.srtp = model::SrtpPolicy::Required;
    let given = vec![tenant(
        "Alpha",
        vec![
            account("sip:alice@alpha.test", addr, encrypted),
            account("sip:amy@alpha.test", addr, encrypted),
        ],
    )];
    let mut house = House::start_with(given, tone(), |config| {
        config.folders = Some(folders.clone());
    })
    .await;
    house.until_registered(2).await;
    let (out, into) = house.talk("alice", "amy").await;
    house.end(out);
    for call in [out, into] {
        house.until_state(call, CallState::Ended).await;
    }
    // The recorder tells what was said a little later than it was.
    let mut secrets = house
        .until(
            "the logins of both and the keys of the call are told",
            |s| {
                let said: Vec<String> = s.trace.iter().map(trace::redact::raw_text).collect();
                let of =
                    |word| -> Vec<String> { said.iter().flat_map(|s| behind(s, word)).collect() };
                let (logins, keys) = (of(" response=\""), of("inline:"));
                (logins.len() >= 3 && keys.len() >= 2).then(|| [logins, keys].concat())
            },
        )
        .await;
    house.close().await;
    secrets.push(PASSWORD.to_owned());

    let files = files(&root);
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).expect("it can be read");
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{secret} stands in {}", file.display());
        }
    }
    std::fs::remove_dir_all(&root).expect("it was ours");
}
