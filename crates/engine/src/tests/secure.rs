//! TLS and WebSocket, from the settings to a call.

use model::{
    AccountSettings, CallState, CertificateFault, CertificateView, Command, Event, FailureKind,
    NetworkStep, NoticeLevel, RegistrationState, Transport,
};
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
            settings.tls_ca = Some(file.display().to_string().into());
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
    let detail = detail.reveal();
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
    settings.tls_cert = Some("/nonexistent/cert.pem".into());
    let error = crate::check_account(&settings)
        .expect_err("the key is missing")
        .sentence();
    assert!(error.reveal().contains("needs its key"), "{error:?}");
    settings.tls_key = Some("/nonexistent/key.pem".into());
    let error = crate::check_account(&settings)
        .expect_err("there are no files")
        .sentence();
    assert!(
        error.reveal().contains("/nonexistent/cert.pem"),
        "{error:?}"
    );
}

/// The certificate that keeps alice from signing in, when it is this that is wrong with it.
async fn until_refused(house: &mut House, fault: CertificateFault) -> CertificateView {
    house
        .until("its certificate is refused", |s| {
            let account = s.accounts.first()?;
            let shown = account.failure.as_ref()?.certificate.as_deref()?;
            (shown.fault == fault).then(|| shown.clone())
        })
        .await
}

#[tokio::test]
async fn a_certificate_can_be_trusted_and_another_one_in_its_place_is_an_alarm() {
    let (board, addr, file) = secure_switchboard(sip_core::Transport::Tls).await;
    let own = board.certificate().expect("it has one").fingerprint;
    let alice = account("sip:alice@alpha.test", addr, |settings| {
        settings.transport = Some(Transport::Tls);
    });
    let mut house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
    let shown = until_refused(&mut house, CertificateFault::SelfSigned).await;
    assert_eq!(shown.fingerprint, own.to_string());
    assert_eq!(shown.host, "127.0.0.1");

    // As if yesterday's had been another one.
    let tenant = house.tenant_of("alice");
    let yesterday = "ab".repeat(32);
    let trust = |fingerprint: &str| Command::TrustCertificate {
        tenant: tenant.clone(),
        host: shown.host.clone(),
        fingerprint: fingerprint.to_owned(),
    };
    house.engine.send(trust(&yesterday));
    let changed = until_refused(&mut house, CertificateFault::Changed).await;
    assert!(
        changed
            .remembered
            .is_some_and(|was| was.starts_with("AB:AB:"))
    );
    let alarm = house
        .until_event("an alarm", |event| match event {
            Event::Notice { notice } if notice.level == NoticeLevel::Error => {
                Some(notice.text.reveal().to_owned())
            }
            _ => None,
        })
        .await;
    assert!(alarm.contains(&shown.fingerprint), "{alarm}");
    assert_eq!(house.account("alice").state, RegistrationState::Silent);

    house.engine.send(trust(&shown.fingerprint.to_lowercase()));
    house.until_registered(1).await;
    let kept = house.engine.snapshot().tenants[0].trusted.clone();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].fingerprint, shown.fingerprint);
    assert_eq!(house.account("alice").failure, None);
    house.engine.send(Command::ForgetCertificate {
        tenant,
        host: shown.host.clone(),
    });
    house
        .until("it is forgotten", |s| {
            s.tenants[0].trusted.is_empty().then_some(())
        })
        .await;
    house.close().await;
    let _ = std::fs::remove_file(file);
}

#[tokio::test]
async fn a_fingerprint_in_the_settings_is_enough_and_a_sips_address_needs_no_files() {
    let (board, addr, file) = secure_switchboard(sip_core::Transport::Tls).await;
    let own = board.certificate().expect("it has one").fingerprint;
    // RFC 3261 §26.2.2: `sips` by TCP is TLS.
    let by = |proxy: String, trust: Option<String>| {
        account("sip:alice@alpha.test", addr, move |settings| {
            settings.proxy = Some(proxy.clone().into());
            settings.tls_trust = trust.clone().into_iter().collect();
        })
    };
    for word in ["", ";transport=tcp", ";transport=tls"] {
        let proxy = format!("sips:{addr}{word};lr");
        let given = vec![tenant("Alpha", vec![by(proxy.clone(), None)])];
        let mut house = House::start(given, tone()).await;
        let shown = until_refused(&mut house, CertificateFault::SelfSigned).await;
        assert_eq!(shown.fingerprint, own.to_string(), "{proxy}");
        house.close().await;
        let given = vec![tenant("Alpha", vec![by(proxy, Some(own.to_string()))])];
        let mut house = House::start(given, tone()).await;
        house.until_registered(1).await;
        house.close().await;
    }
    let mut settings = AccountSettings::new("sip:alice@alpha.test");
    settings.tls_trust = vec!["AB:CD".to_owned()];
    let error = crate::check_account(&settings)
        .expect_err("it is too short")
        .sentence();
    assert!(error.reveal().contains("64 hexadecimal"), "{error:?}");
    let _ = std::fs::remove_file(file);
}

#[tokio::test]
async fn a_websocket_is_asked_for_at_the_path_of_the_settings_and_a_no_names_its_step() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("it is bound");
    let alice = account("sip:alice@alpha.test", addr, |settings| {
        settings.transport = Some(Transport::Ws);
        settings.ws_path = Some("/sip/phones?x=1".to_owned());
    });
    let mut house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(stream.read_u8().await.expect("a request"));
    }
    let asked = String::from_utf8_lossy(&asked).into_owned();
    assert!(
        asked.starts_with("GET /sip/phones?x=1 HTTP/1.1\r\n"),
        "{asked}"
    );
    let no = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(no).await.expect("it is read");
    let failure = house
        .until("it gives up for now", |s| {
            let account = s.accounts.first()?;
            (account.state == RegistrationState::Silent).then(|| account.failure.clone())?
        })
        .await;
    let FailureKind::Network { step, detail } = &failure.what else {
        panic!("{failure:?}");
    };
    let detail = detail.reveal();
    assert_eq!(*step, NetworkStep::WebSocket);
    assert!(detail.contains("HTTP 404"), "{detail}");
    house.close().await;
    let mut settings = AccountSettings::new("sip:alice@alpha.test");
    settings.ws_path = Some("ws me".to_owned());
    assert!(crate::check_account(&settings).is_err());
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_gets_nothing_in_the_clear() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let server = server.expect("a port");
    let addr = server.local_addr().expect("an address");
    let datagrams = tokio::net::UdpSocket::bind(addr).await;
    let datagrams = datagrams.expect("the same port for datagrams");
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            let mut first = vec![0; 4_096];
            let length = stream.read(&mut first).await.unwrap_or(0);
            first.truncate(length);
            let _ = told.send(first);
            let _ = stream.write_all(b"SIP/2.0 400 Bad Request\r\n\r\n").await;
        }
    });
    let alice = account("sip:alice@alpha.test", addr, |settings| {
        settings.transport = Some(Transport::Tls);
    });
    let mut house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
    house
        .until("the handshake fails", |s| {
            let failure = s.accounts.first()?.failure.clone()?;
            let tls = NetworkStep::Tls;
            matches!(failure.what, FailureKind::Network { step, .. } if step == tls).then_some(())
        })
        .await;
    serving.abort();
    let mut connections = 0;
    while let Ok(first) = heard.try_recv() {
        connections += 1;
        // RFC 8446 §5.1: a handshake record, and in it no request.
        assert_eq!(first.get(..2), Some(&[0x16, 0x03][..]), "{first:?}");
        assert!(!first.windows(7).any(|w| w == b"SIP/2.0"), "{first:?}");
    }
    assert!(connections > 0);
    let mut nothing = [0; 16];
    assert!(datagrams.try_recv(&mut nothing).is_err());
    house.close().await;
}

/// A file of the repository.
fn key_file(name: &str) -> String {
    format!(
        "{}/../../tests/data/keys/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[tokio::test]
async fn a_locked_key_waits_for_its_passphrase_and_takes_no_other() {
    let (_board, addr, file) = secure_switchboard(sip_core::Transport::Tls).await;
    let alice = account("sip:alice@alpha.test", addr, |settings| {
        settings.transport = Some(Transport::Tls);
        settings.tls_ca = Some(file.display().to_string().into());
        settings.tls_cert = Some(key_file("desk.pem").into());
        settings.tls_key = Some(key_file("desk-pbkdf2.key").into());
    });
    crate::check_account(&alice.settings).expect("it is no fault that it is locked");
    let mut house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
    house
        .until("it is said", |s| {
            let said = |n: &model::Notice| n.text.reveal().contains("is protected by a passphrase");
            s.notices.iter().any(said).then_some(())
        })
        .await;
    house.until_registered(1).await;
    let alice = house.id_of("alice");
    let give = |passphrase: &str| Command::SetKeyPassphrase {
        account: alice.clone(),
        passphrase: model::Password(passphrase.to_owned()),
    };
    house.engine.send(give("looking glass"));
    house
        .until_notice("the passphrase does not open the key")
        .await;
    house.engine.send(give("wonder"));
    // It signs in anew, with its certificate.
    house.until_notes("TLS 1.3", 2).await;
    house.until_registered(1).await;
    house.close().await;
    let _ = std::fs::remove_file(file);
}
