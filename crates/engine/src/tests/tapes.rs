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
