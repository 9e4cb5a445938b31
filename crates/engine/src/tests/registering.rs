//! Signing in and out.

use std::time::Duration;

use model::{Command, FailureKind, NetworkStep, RegistrationState};
use secrecy::SecretString;
use sip_message::Method;

use super::house::{House, PASSWORD, account, switchboard, tenant, tone};
use super::logins::challenge;
use super::peer::{Peer, free_addr};
use super::watching::{accept_registration, at_server};

async fn until_account(house: &mut House, state: RegistrationState) -> model::AccountView {
    house
        .until(&format!("the account is {state:?}"), |s| {
            s.accounts.iter().find(|a| a.state == state).cloned()
        })
        .await
}

#[tokio::test]
async fn an_account_signs_out_and_in_again_and_the_record_tells_of_it() {
    let mut house = House::open().await;
    let alice = house.account("alice");
    assert!(alice.expires_at.is_some() && alice.round_trip_ms.is_some() && alice.target.is_some());
    house.engine.send(Command::Unregister {
        account: alice.id.clone(),
    });
    until_account(&mut house, RegistrationState::Off).await;
    let unreachable = house.dial("bob", "sip:alice@alpha.test").await;
    let ended = house
        .until_state(unreachable, model::CallState::Ended)
        .await;
    assert!(ended.failure.is_some_and(|f| f.code().is_some()));
    house.engine.send(Command::Register { account: alice.id });
    house.until_registered(3).await;
    for words in [
        "was off and is on its way",
        "was on its way and is registered",
        "was registered and is signing out",
        "was signing out and is off",
    ] {
        house.until_notes(words, 1).await;
    }
    house.close().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_words_and_not_tried_for_ever() {
    let (_switchboard, addr) = switchboard().await;
    let mut wrong = account("sip:alice@alpha.test", addr, |_| {});
    wrong.password = Some(SecretString::from("wrong"));
    let mut house = House::start(vec![tenant("Alpha", vec![wrong])], tone()).await;
    let refused = until_account(&mut house, RegistrationState::Refused).await;
    let failure = refused.failure.expect("it says why");
    assert!(matches!(failure.what, FailureKind::PasswordRefused { .. }));
    assert!(failure.registering && failure.said_by.is_some());
    assert_eq!(refused.retry_at, None);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    tokio::time::resume();
    let tried = house.count_messages(true, "REGISTER sip:");
    assert!(tried <= 3, "{tried} tries in an hour");
    // With the right one it goes on at once.
    house.engine.send(Command::UpdateAccount {
        account: house.id_of("alice"),
        settings: Box::new(refused.settings),
        password: Some(model::Password(PASSWORD.to_owned())),
    });
    house.until_registered(1).await;
    house.close().await;
}

#[tokio::test]
async fn a_silent_server_is_named_and_tried_again_and_new_settings_do_not_wait_for_it() {
    let silent = Peer::bind().await;
    let given = account("sip:alice@alpha.test", silent.local, |_| {});
    let mut house = House::start(vec![tenant("Alpha", vec![given])], tone()).await;
    silent.request(sip_message::Method::Register).await;
    // Timer F.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(33)).await;
    tokio::time::resume();
    let failed = until_account(&mut house, RegistrationState::Silent).await;
    let failure = failed.failure.expect("it says why");
    assert!(
        matches!(&failure.what, FailureKind::NoAnswer { asked: Some(asked) }
        if asked.contains(&silent.local.to_string())),
        "{failure:?}"
    );
    assert_eq!(failure.code(), None, "nobody sent one");
    assert!(failed.retry_at.is_some());
    let (_switchboard, addr) = switchboard().await;
    house.engine.send(Command::Register {
        account: failed.id.clone(),
    });
    until_account(&mut house, RegistrationState::Trying).await;
    let mut settings = failed.settings;
    settings.proxy = Some(format!("sip:{addr};lr").into());
    house.engine.send(Command::UpdateAccount {
        account: failed.id,
        settings: Box::new(settings),
        password: None,
    });
    house.until_registered(1).await;
    house.close().await;
}

#[tokio::test]
async fn what_it_does_with_calls_is_changed_without_signing_in_anew() {
    let (_switchboard, addr) = switchboard().await;
    let given = account("sip:alice@alpha.test", addr, |_| {});
    let mut house = House::start(vec![tenant("Alpha", vec![given])], tone()).await;
    house.until_registered(1).await;
    let before = house.count_messages(true, "REGISTER sip:");
    let alice = house.engine.snapshot().accounts.remove(0);
    let mut settings = alice.settings;
    settings.calls.do_not_disturb = model::DoNotDisturb::Busy;
    house.engine.send(Command::UpdateAccount {
        account: alice.id.clone(),
        settings: Box::new(settings),
        password: None,
    });
    let now = |s: &model::Snapshot| {
        let account = s.accounts.first()?;
        (account.settings.calls.do_not_disturb == model::DoNotDisturb::Busy)
            .then_some(account.state)
    };
    let state = house.until("it is not to be disturbed", now).await;
    assert_eq!(state, RegistrationState::Registered);
    assert_eq!(house.count_messages(true, "REGISTER sip:"), before);
    house.engine.send(Command::PlaceCall {
        account: alice.id,
        target: "alice".into(),
        headers: Vec::new(),
        direction: model::MediaDirection::Both,
    });
    let busy = |s: &model::Snapshot| {
        let ended = |c: &&model::CallView| c.last_status.as_ref().is_some_and(|s| s.0 == 486);
        s.calls.iter().find(ended).map(drop)
    };
    house.until("the next caller hears busy", busy).await;
    house.close().await;
}

#[tokio::test]
async fn a_closed_port_is_told_apart_from_silence_over_tcp() {
    let closed = free_addr();
    let given = account("sip:alice@alpha.test", closed, |s| {
        s.transport = Some(model::Transport::Tcp);
    });
    let mut house = House::start(vec![tenant("Alpha", vec![given])], tone()).await;
    let failed = until_account(&mut house, RegistrationState::Silent).await;
    let step = failed.failure.map(|f| f.what);
    assert!(
        matches!(
            step,
            Some(FailureKind::Network {
                step: NetworkStep::Refused,
                ..
            })
        ),
        "{step:?}"
    );
    house.close().await;
}

#[tokio::test]
async fn a_local_port_that_is_taken_gives_way_to_another_one_which_is_said_and_registered() {
    let (_switchboard, addr) = switchboard().await;
    let taken = Peer::bind().await;
    let bind = taken.local.to_string();
    let given = account("sip:alice@alpha.test", addr, |s| {
        s.bind = Some(bind.clone());
    });
    let mut house = House::start(vec![tenant("Alpha", vec![given])], tone()).await;
    house.until_registered(1).await;
    let port = taken.local.port();
    let said = format!("Port {port} of 127.0.0.1 is used by another program");
    house.until_notice(&said).await;
    let (local, text) = house
        .until("a REGISTER", |s| {
            s.trace.iter().find_map(|record| match &record.body {
                model::TraceBody::Sip {
                    sent: true,
                    local,
                    bytes,
                    ..
                } if bytes.starts_with(b"REGISTER ") => {
                    Some((local.clone(), String::from_utf8_lossy(bytes).into_owned()))
                }
                _ => None,
            })
        })
        .await;
    assert_ne!(local, bind);
    for told in ["Via: SIP/2.0/UDP ", "@"] {
        assert!(text.contains(&format!("{told}{local}")), "{local}: {text}");
    }
    drop(taken);
    house.close().await;
}

#[tokio::test]
async fn a_local_address_that_is_taken_is_named_and_taken_when_it_is_free() {
    let (_switchboard, addr) = switchboard().await;
    let taken = Peer::bind().await;
    let bind = taken.local.to_string();
    // A trunk is called at the port that was agreed on.
    let given = account("sip:alice@alpha.test", addr, |s| {
        s.bind = Some(bind.clone());
        s.register = false;
    });
    let mut house = House::start(vec![tenant("Alpha", vec![given])], tone()).await;
    let listening = house
        .until("the address is named", |s| {
            let account = s.accounts.first()?;
            let failure = account.failure.clone()?;
            matches!(
                failure.what,
                FailureKind::Network {
                    step: NetworkStep::Bind,
                    ..
                }
            )
            .then_some(account.listening)
        })
        .await;
    assert!(!listening);
    drop(taken);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(10)).await;
    tokio::time::resume();
    house
        .until("the address is ours", |s| {
            let account = s.accounts.first()?;
            (account.failure.is_none() && account.listening).then_some(())
        })
        .await;
    // Said once, and heard.
    let caller = Peer::bind().await;
    let at = bind.parse().expect("an address");
    caller.send(at, &caller.says("OPTIONS", 1, None, "")).await;
    caller.final_response().await;
    house.close().await;
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_said_and_change_nothing() {
    let mut house = House::open().await;
    house.engine.send(Command::AddAccount {
        tenant: None,
        settings: Box::new(model::AccountSettings::new("example.com")),
        password: None,
    });
    house.until_notice("is not a SIP address").await;
    assert_eq!(house.engine.snapshot().accounts.len(), 3);
    house.close().await;
}

#[tokio::test]
async fn what_no_server_sees_is_set_without_signing_out() {
    let registrar = Peer::bind().await;
    let given = at_server(registrar.local, |s| s.login_wait_s = 0);
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    accept_registration(&registrar, "").await;
    house.until_registered(1).await;
    let mut settings = house.account("carol").settings;
    settings.voice.echo_cancellation = !settings.voice.echo_cancellation;
    settings.recording_tone_s = Some(15);
    settings.quality_report = Some("sip:quality@carol.test".into());
    settings.login_wait_s = 60;
    let wanted = settings.clone();
    house.engine.send(Command::UpdateAccount {
        account: house.id_of("carol"),
        settings: Box::new(settings),
        password: None,
    });
    house
        .until("it is taken", |s| {
            (s.accounts.first()?.settings == wanted).then_some(())
        })
        .await;
    // The next call waits for its login already.
    house.dial("carol", "dan").await;
    let (invite, from) = registrar.request(Method::Invite).await;
    challenge(&registrar, from, &invite, 401, "somebody").await;
    registrar.request(Method::Ack).await;
    let (invite, from) = registrar.request(Method::Invite).await;
    challenge(&registrar, from, &invite, 401, "somebody").await;
    house
        .until("a person is asked", |s| s.logins.first().map(|_| ()))
        .await;
    house.until_message(true, "REGISTER sip:").await;
    let marks = house.account("carol").marks.len();
    assert_eq!(house.account("carol").state, RegistrationState::Registered);
    assert_eq!((marks, house.count_messages(true, "REGISTER sip:")), (2, 1));
    house.close().await;
}
