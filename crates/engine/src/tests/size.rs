//! How large our requests are: past 1300 bytes they may not go by UDP (RFC 3261 §18.1.1).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::{AccountSettings, Command, MessageState};
use secrecy::SecretString;
use sip_message::Method;
use tokio::net::{TcpListener, TcpStream};

use super::house::{House, PASSWORD, messages, notes, tenant, tone};
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

/// A listener that takes no more connections: the system drops each SYN, as a firewall does.
struct Deaf {
    listener: socket2::Socket,
    taken: Vec<std::net::TcpStream>,
}

impl Deaf {
    fn at(addr: SocketAddr) -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        listener.bind(&addr.into()).expect("the port");
        listener.listen(0).expect("it listens");
        let mut taken = Vec::new();
        while let Ok(stream) =
            std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(200))
        {
            taken.push(stream);
            assert!(taken.len() < 100, "its queue has an end");
        }
        Self { listener, taken }
    }

    /// Listens again, and takes whoever comes next.
    async fn listen(self) -> TcpStream {
        let ours = |stream: &std::net::TcpStream| stream.local_addr().expect("connected");
        let ours: Vec<SocketAddr> = self.taken.iter().map(ours).collect();
        self.listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(self.listener.into()).expect("a socket");
        loop {
            let accepting = tokio::time::timeout(Duration::from_secs(5), listener.accept());
            let (stream, from) = accepting
                .await
                .expect("somebody comes")
                .expect("a connection");
            if !ours.contains(&from) {
                return stream;
            }
        }
    }
}

#[tokio::test]
async fn a_connection_whose_first_packet_is_lost_still_takes_what_is_large() {
    let mut house = carol(|_| {}).await;
    let dan = Peer::bind().await;
    let deaf = Deaf::at(dan.local);
    house.engine.send(Command::SendMessage {
        account: house.id_of("carol"),
        to: format!("sip:dan@{}", dan.local).into(),
        text: "long ".repeat(300).into(),
    });
    house.until_message(true, "SIP/2.0/TCP").await;
    // RFC 6298 §2: it is said again after one second.
    let mut stream = deaf.listen().await;
    let said = stream::request(&mut stream, Method::Message).await;
    assert!(String::from_utf8_lossy(&said.body).starts_with("long "));
    let by_udp = "MESSAGE sip:";
    assert_eq!(house.count_messages(true, by_udp), 1, "and by nothing else");
    house.close().await;
}

#[tokio::test]
async fn where_what_is_large_is_lost_by_udp_and_what_is_small_arrives_tcp_is_tried_again() {
    let mut house = carol(|_| {}).await;
    let dan = Peer::bind().await;
    let deaf = Deaf::at(dan.local);
    let say = |house: &House, text: String| {
        house.engine.send(Command::SendMessage {
            account: house.id_of("carol"),
            to: format!("sip:dan@{}", dan.local).into(),
            text: text.into(),
        });
    };
    say(&house, "first ".repeat(300));
    house.until_message(true, "SIP/2.0/UDP").await;
    // The network drops its fragments; what fits into one packet is answered.
    say(&house, "small".to_owned());
    loop {
        let (request, from) = dan.request(Method::Message).await;
        if request.body.len() < LARGEST {
            dan.send(from, &answer(&request, "200 OK", "", "")).await;
            break;
        }
    }
    house
        .until("the small one is delivered", |s| {
            let small = s.messages.iter().find(|m| m.text.reveal() == "small")?;
            (small.state == MessageState::Delivered).then_some(())
        })
        .await;
    assert_eq!(house.count_messages(true, "SIP/2.0/TCP"), 1);
    say(&house, "second ".repeat(300));
    house
        .until("the next large one is tried by TCP", |s| {
            (messages(s, true, "SIP/2.0/TCP") == 2).then_some(())
        })
        .await;
    drop(deaf);
    house.close().await;
}

#[tokio::test]
async fn where_tcp_is_filtered_what_is_large_goes_by_udp_soon_and_then_at_once() {
    let mut house = carol(|_| {}).await;
    let dan = Peer::bind().await;
    let deaf = Deaf::at(dan.local);
    let target = format!("sip:dan@{}", dan.local);
    let say = |house: &House, text: &str| {
        house.engine.send(Command::SendMessage {
            account: house.id_of("carol"),
            to: target.as_str().into(),
            text: text.repeat(300).into(),
        });
    };
    // RFC 3261 §18.1.1: TCP is tried, and UDP where it does not come up.
    let started = Instant::now();
    say(&house, "first ");
    let (request, from) = dan.request(Method::Message).await;
    let waited = started.elapsed();
    println!("by UDP after {waited:.1?}");
    // RFC 6298 §2: the first packet is said again after one second.
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    house.until_message(true, "SIP/2.0/TCP").await;
    dan.send(from, &answer(&request, "200 OK", "", "")).await;
    house.until_notes("answers by UDP and not by TCP", 1).await;

    for text in ["second ", "third "] {
        say(&house, text);
        let (request, from) = loop {
            let (request, from) = dan.request(Method::Message).await;
            if String::from_utf8_lossy(&request.body).starts_with(text) {
                break (request, from);
            }
        };
        dan.send(from, &answer(&request, "200 OK", "", "")).await;
    }
    house.until_message(true, "third ").await;
    // TCP was tried for none of them, and that was told once.
    assert_eq!(house.count_messages(true, "SIP/2.0/TCP"), 1);
    let told = house
        .engine
        .hub
        .read(|s| notes(s, "answers by UDP and not by TCP"));
    assert_eq!(told, 1);
    // Nor is it told as tried where it was not.
    for (words, count) in [
        ("has no TCP (connection timed out)", 1),
        ("TCP is known not to lead there", 2),
    ] {
        let told = house.engine.hub.read(|s| notes(s, words));
        assert_eq!(told, count, "{words}");
    }
    drop(deaf);
    house.close().await;
}
