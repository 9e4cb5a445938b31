//! TLS and WebSocket, from the settings to a call.

use model::{AccountSettings, CallState, FailureKind, NetworkStep, RegistrationState, Transport};
use switchboard::{Config, Switchboard};

use super::house::{House, account, tenant, tone};

/// A switchboard that listens by this transport, and the file that holds its certificate.
async fn secure_switchboard(
    transport: sip_core::Transport,
) -> (Switchboard, std::net::SocketAddr, std::path::PathBuf) {
    let here: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut config = Config::open_at(here);
    config.listen = vec![(transport, here)];
    let board = Switchboard::start(config).await.expect("it starts");
    let addr = board.local_addrs().first().expect("it listens").1;
    let file = std::env::temp_dir().join(format!(
        "tipring-{}-{}.pem",
        std::process::id(),
        addr.port()
    ));
    let pem = board.certificate().and_then(|c| c.self_signed.clone());
    std::fs::write(&file, pem.unwrap_or_default()).expect("a file");
    (board, addr, file)
}

async fn sign_in_and_call(transport: sip_core::Transport, word: Transport) {
    let (_board, addr, file) = secure_switchboard(transport).await;
    let change = |settings: &mut AccountSettings| {
        settings.transport = Some(word);
        if transport.is_secure() {
            settings.tls_ca = Some(file.display().to_string());
        }
    };
    let given = vec![
        tenant("Alpha", vec![account("sip:alice@alpha.test", addr, change)]),
        tenant("Beta", vec![account("sip:bob@beta.test", addr, change)]),
    ];
    let mut house = House::start(given, tone()).await;
    house.until_registered(2).await;
    let via = format!("Via: SIP/2.0/{} ", transport.via_token());
    house.until_message(true, &via).await;
    if transport.is_secure() {
        house.until_notes("TLS 1.3", 2).await;
    }
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.until_heard(out, 10).await;
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    house.close().await;
    let _ = std::fs::remove_file(file);
}

#[tokio::test]
async fn accounts_sign_in_and_call_by_tls() {
    sign_in_and_call(sip_core::Transport::Tls, Transport::Tls).await;
}

#[tokio::test]
async fn accounts_sign_in_and_call_by_websocket() {
    sign_in_and_call(sip_core::Transport::Ws, Transport::Ws).await;
}

#[tokio::test]
async fn accounts_sign_in_and_call_by_websocket_in_tls() {
    sign_in_and_call(sip_core::Transport::Wss, Transport::Wss).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_said_to_be_that() {
    let (_board, addr, file) = secure_switchboard(sip_core::Transport::Tls).await;
    // The roots of the system know nothing of it.
    let alice = account("sip:alice@alpha.test", addr, |settings| {
        settings.transport = Some(Transport::Tls);
    });
    let mut house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
    let silent = house
        .until("it gives up for now", |s| {
            let mut all = s.accounts.iter();
            all.find(|a| a.state == RegistrationState::Silent).cloned()
        })
        .await;
    let failure = silent.failure.expect("it says why");
    let FailureKind::Network { step, detail } = &failure.what else {
        panic!("{failure:?}");
    };
    assert_eq!(*step, NetworkStep::Tls);
    assert!(
        detail.contains("the certificate is self-signed"),
        "{detail}"
    );
    assert!(detail.contains("SHA-256 "), "{detail}");
    house.close().await;
    let _ = std::fs::remove_file(file);
}

#[test]
fn files_for_tls_are_checked_with_the_settings() {
    let mut settings = AccountSettings::new("sip:alice@alpha.test");
    settings.tls_cert = Some("/nonexistent/cert.pem".to_owned());
    let error = crate::check_account(&settings).expect_err("the key is missing");
    assert!(error.to_string().contains("needs its key"), "{error}");
    settings.tls_key = Some("/nonexistent/key.pem".to_owned());
    let error = crate::check_account(&settings).expect_err("there are no files");
    assert!(
        error.to_string().contains("/nonexistent/cert.pem"),
        "{error}"
    );
}
