//! How large our requests are: past 1300 bytes they may not go by UDP (RFC 3261 §18.1.1).

use model::{AccountSettings, Command, MessageState};
use secrecy::SecretString;
use sip_message::Method;
use tokio::net::TcpListener;

use super::house::{House, PASSWORD, tenant, tone};
use super::logins::carol;
use super::peer::{Peer, answer, stream};
use crate::GivenAccount;

/// What a call to dan with a login is left, that a peer's long names may take.
const LARGEST: usize = 1250;

#[tokio::test]
async fn a_call_with_a_login_and_all_codecs_is_small_enough_for_a_datagram() {
    let proxy = Peer::bind().await;
    let mut settings = AccountSettings::new("sip:alice@example.com");
    settings.register = false;
    settings.display_name = "Alice".into();
    settings.proxy = Some(format!("sip:{};lr", proxy.local).into());
    let given = GivenAccount {
        logins: Vec::new(),
        settings,
        password: Some(SecretString::from(PASSWORD)),
        relay_password: None,
    };
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    house
        .until("alice is there", |s| s.accounts.first().map(|_| ()))
        .await;
    house.dial("alice", "bob").await;
    let (invite, from) = proxy.request(Method::Invite).await;
    let nonce = "Z8JxUWfCcCVUkjN1VTn1Zl6Hk2pWq0cTz8Jx";
    let challenge = format!(
        "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"{nonce}\", qop=\"auth\", algorithm=SHA-256\r\n\
         Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5\r\n"
    );
    let refusal = answer(&invite, "407 Proxy Authentication Required", &challenge, "");
    proxy.send(from, &refusal).await;
    let (with_login, _) = proxy.request(Method::Invite).await;
    // As it came, with the short names of headers.
    let bytes = with_login.to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("algorithm=SHA-256"), "{text}");
    println!("{} bytes with a login", bytes.len());
    assert!(bytes.len() < LARGEST, "{} bytes:\n{text}", bytes.len());
    house.close().await;
}

#[tokio::test]
async fn what_may_have_arrived_by_tcp_does_not_come_by_udp_too() {
    let mut house = carol(|_| {}).await;
    let dan = Peer::bind().await;
    let listener = TcpListener::bind(dan.local).await.expect("the port");
    house.engine.send(Command::SendMessage {
        account: house.id_of("carol"),
        to: format!("sip:dan@{}", dan.local).into(),
        text: "long ".repeat(300).into(),
    });
    let (mut taken, _) = listener.accept().await.expect("it comes by TCP");
    stream::request(&mut taken, Method::Message).await;
    // Dan has it, and his server ends before it has answered.
    drop(listener);
    drop(taken);
    house
        .until("it is told as failed", |s| {
            let failed = s.messages.last()?.state == MessageState::Failed;
            failed.then_some(())
        })
        .await;
    house.until_message(true, "MESSAGE sip:").await;
    assert_eq!(house.count_messages(true, "MESSAGE sip:"), 1);
    house.close().await;
}
