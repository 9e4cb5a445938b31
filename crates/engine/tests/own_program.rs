//! A program of one's own has what it needs with the public face alone.

use std::net::SocketAddr;
use std::time::Duration;

use engine::{EngineHandle, GivenAccount};
use model::{AccountSettings, CallState, CallView, Command, Event, RegistrationState};
use switchboard::{Config, Switchboard};
use tokio::time::timeout;

#[path = "../examples/receptionist.rs"]
#[allow(dead_code)]
mod receptionist;

/// Busy machines are slow, and a test that waits in vain should end.
const PATIENCE: Duration = Duration::from_secs(30);

async fn phone(user: &str, proxy: SocketAddr, anonymous: bool) -> EngineHandle {
    let mut settings = AccountSettings::new(format!("sip:{user}@example.test"));
    settings.proxy = Some(format!("sip:{proxy};lr").into());
    settings.mwi = false;
    settings.calls.anonymous = anonymous;
    let account = GivenAccount {
        settings,
        password: None,
        relay_password: None,
        logins: Vec::new(),
    };
    let engine = receptionist::start(account).await.expect("it starts");
    let mut events = engine.subscribe(None);
    let registered = async {
        loop {
            if let Event::Account { account } = events.next().await
                && account.state == RegistrationState::Registered
            {
                return;
            }
            let there = engine.snapshot().accounts;
            if there
                .iter()
                .any(|a| a.state == RegistrationState::Registered)
            {
                return;
            }
        }
    };
    timeout(PATIENCE, registered).await.expect("it signs in");
    engine
}

/// Calls the receptionist and waits until the call is up or over.
async fn call(from: &EngineHandle) -> CallView {
    let account = from.snapshot().accounts.first().map(|a| a.id.clone());
    let mut events = from.subscribe(None);
    from.send(Command::PlaceCall {
        account: account.expect("an account"),
        target: "alice".into(),
        headers: Vec::new(),
        direction: model::MediaDirection::Both,
    });
    let settled = async {
        loop {
            match events.next().await {
                Event::Call { call } if call.state.is_up() || call.state == CallState::Ended => {
                    return *call;
                }
                _ => {}
            }
        }
    };
    timeout(PATIENCE, settled).await.expect("an answer")
}

#[tokio::test]
async fn it_takes_calls_and_sends_away_who_does_not_say_who_calls() {
    let here = "127.0.0.1:0".parse().expect("an address");
    let board = Switchboard::start(Config::open_at(here)).await;
    let board = board.expect("it starts");
    let proxy = board.local_addrs().first().expect("it listens").1;
    let alice = phone("alice", proxy, false).await;
    let (hub, commands) = (alice.hub(), alice.sender());
    let deciding = tokio::spawn(async move {
        let mut events = hub.subscribe(None);
        loop {
            if let Some(command) = receptionist::decide(&events.next().await) {
                commands.send(command);
            }
        }
    });
    let bob = phone("bob", proxy, false).await;
    assert!(call(&bob).await.state.is_up());
    let nobody = phone("carol", proxy, true).await;
    let refused = call(&nobody).await;
    assert_eq!(refused.last_status.map(|(code, _)| code), Some(433));
    deciding.abort();
    for phone in [bob, nobody, alice] {
        phone.shutdown(Duration::from_secs(5)).await;
    }
}
