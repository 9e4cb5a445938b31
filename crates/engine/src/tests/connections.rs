//! Which connection a message takes.

use std::net::SocketAddr;
use std::time::Duration;

use model::{CallId, CallState, Command, RegistrationState};
use sip_message::{HeaderName, Method, Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::house::{House, tenant, tone};
use super::peer::{SDP, answer, carol, free_addr, stream, to_tag};
use crate::GivenAccount;

async fn accept(listener: &TcpListener) -> TcpStream {
    let accepting = tokio::time::timeout(Duration::from_secs(5), listener.accept());
    accepting.await.expect("in time").expect("a connection").0
}

/// Connects as soon as somebody listens.
async fn connect(to: SocketAddr) -> TcpStream {
    for _ in 0..100 {
        if let Ok(stream) = TcpStream::connect(to).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody listens at {to}");
}

/// A proxy, where it is, and somebody who registers nowhere and calls by it.
async fn behind_a_proxy() -> (TcpListener, SocketAddr, House) {
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = proxy.local_addr().expect("it is bound");
    let mut settings = model::AccountSettings::new("sip:carol@127.0.0.1");
    settings.register = false;
    settings.bind = Some(free_addr().to_string());
    settings.proxy = Some(format!("sip:{at};transport=tcp;lr").into());
    settings.transport = Some(model::Transport::Tcp);
    let given = GivenAccount {
        logins: Vec::new(),
        settings,
        password: None,
        relay_password: None,
    };
    let house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    (proxy, at, house)
}

/// Ends a call, and takes its BYE.
async fn ends(house: &mut House, call: CallId, by: &mut TcpStream) {
    house.end(call);
    takes_bye(house, call, by).await;
}

async fn takes_bye(house: &mut House, call: CallId, by: &mut TcpStream) {
    let bye = stream::request(by, Method::Bye).await;
    stream::write(by, &answer(&bye, "200 OK", "", "")).await;
    house.until_state(call, CallState::Ended).await;
}

/// That nobody has connected and nobody does.
async fn nobody_connects(listener: &TcpListener) {
    let accepting = tokio::time::timeout(Duration::from_millis(300), listener.accept());
    assert!(accepting.await.is_err(), "another connection was opened");
}

#[tokio::test]
async fn case_29_all_of_a_dialog_goes_by_one_connection() {
    let (proxy, at, mut house) = behind_a_proxy().await;
    let out = house.dial("carol", "dan").await;
    let mut only = accept(&proxy).await;
    let invite = stream::request(&mut only, Method::Invite).await;
    // The peer is elsewhere; what says where to go is the proxy in between.
    let more = format!(
        "Record-Route: <sip:{at};transport=tcp;lr>\r\nContact: <sip:dan@192.0.2.9>\r\n\
         Content-Type: application/sdp\r\n"
    );
    stream::write(&mut only, &answer(&invite, "200 OK", &more, SDP)).await;
    stream::request(&mut only, Method::Ack).await;
    house.until_state(out, CallState::Connected).await;
    house.engine.send(Command::HoldCall { call: out });
    let again = stream::request(&mut only, Method::Invite).await;
    let held = SDP.to_owned() + "a=recvonly\r\n";
    stream::write(&mut only, &answer(&again, "200 OK", &more, &held)).await;
    stream::request(&mut only, Method::Ack).await;
    ends(&mut house, out, &mut only).await;
    nobody_connects(&proxy).await;
    house.close().await;
}

/// An ACK has no answer: that its connection ends is all that can be heard of it (RFC 3261 §18.4).
#[tokio::test]
async fn an_ack_is_said_again_when_its_connection_ends_behind_it() {
    let (proxy, at, mut house) = behind_a_proxy().await;
    let out = house.dial("carol", "dan").await;
    let mut first = accept(&proxy).await;
    let invite = stream::request(&mut first, Method::Invite).await;
    let more =
        format!("Contact: <sip:dan@{at};transport=tcp>\r\nContent-Type: application/sdp\r\n");
    stream::write(&mut first, &answer(&invite, "200 OK", &more, SDP)).await;
    let ack = stream::request(&mut first, Method::Ack).await;
    // Whether it was read before the connection ended nobody there can know.
    drop(first);
    let mut second = accept(&proxy).await;
    assert_eq!(stream::request(&mut second, Method::Ack).await, ack);
    // Once is enough: that of a second connection is told to nobody, and the call goes on.
    drop(second);
    nobody_connects(&proxy).await;
    house.until_state(out, CallState::Connected).await;
    house.end(out);
    let mut third = accept(&proxy).await;
    takes_bye(&mut house, out, &mut third).await;
    house.close().await;
}

/// RFC 3261 §17.1.1.2: with it that transaction is over.
#[tokio::test]
async fn an_ack_to_a_refusal_is_not_said_again_on_a_connection_of_its_own() {
    let (proxy, _, mut house) = behind_a_proxy().await;
    let out = house.dial("carol", "dan").await;
    let mut only = accept(&proxy).await;
    let invite = stream::request(&mut only, Method::Invite).await;
    stream::write(&mut only, &answer(&invite, "486 Busy Here", "", "")).await;
    stream::request(&mut only, Method::Ack).await;
    drop(only);
    house.until_state(out, CallState::Ended).await;
    nobody_connects(&proxy).await;
    house.close().await;
}

#[tokio::test]
async fn case_29_an_answer_takes_the_connection_of_its_request_and_the_via_when_that_is_gone() {
    let (mut house, at) = carol(tone()).await;
    // RFC 3261 §18.2.2: where the peer listens stands in its Via, where it calls from does not.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let via = listener.local_addr().expect("it is bound");
    let says = |method: &str, cseq: u32, tag: &str, body: &str| {
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} sip:carol@127.0.0.1 SIP/2.0\r\n\
             Via: SIP/2.0/TCP {via};branch=z9hG4bK-{method}-{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:dan@127.0.0.1>;tag=dan-1\r\n\
             To: <sip:carol@127.0.0.1>{tag}\r\nCall-ID: c1@{via}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:dan@{via};transport=tcp>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut first = connect(at).await;
    stream::write(&mut first, &says("INVITE", 1, "", SDP)).await;
    let call = house.until_ringing().await;
    let ringing = stream::response(&mut first, StatusCode::RINGING).await;
    let tag = format!(";tag={}", to_tag(&ringing));
    nobody_connects(&listener).await;

    first.shutdown().await.expect("it can be closed");
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.engine.send(Command::AnswerCall { call });
    let mut second = accept(&listener).await;
    stream::response(&mut second, StatusCode::OK).await;
    stream::write(&mut second, &says("ACK", 1, &tag, "")).await;
    house.until_state(call, CallState::Connected).await;
    // What carol says next goes by the connection that is there.
    ends(&mut house, call, &mut second).await;
    nobody_connects(&listener).await;
    house.close().await;
}

/// Carol, who signs in at this registrar by TCP.
fn registering(at: SocketAddr, flows: u8) -> GivenAccount {
    let mut settings = model::AccountSettings::new("sip:carol@carol.test");
    settings.registrar = Some(format!("sip:{at};transport=tcp").into());
    settings.transport = Some(model::Transport::Tcp);
    settings.mwi = false;
    settings.flows = flows;
    GivenAccount {
        logins: Vec::new(),
        settings,
        password: None,
        relay_password: None,
    }
}

async fn grant(stream: &mut TcpStream) -> Request {
    let register = stream::request(stream, Method::Register).await;
    let contact = register
        .headers
        .get(HeaderName::Contact)
        .expect("a Contact");
    let granted = format!("Contact: {contact}\r\nRequire: outbound\r\n");
    stream::write(stream, &answer(&register, "200 OK", &granted, "")).await;
    register
}

/// A phone that has registered, its registrar and the connection between them.
async fn registered() -> (House, TcpListener, TcpStream) {
    let registrar = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = registrar.local_addr().expect("it is bound");
    let mut house = House::start(vec![tenant("Solo", vec![registering(at, 1)])], tone()).await;
    let mut first = accept(&registrar).await;
    grant(&mut first).await;
    house.until_registered(1).await;
    (house, registrar, first)
}

/// Waits until so many REGISTERs have been answered: while one is on its way no other one is sent.
async fn until_granted(house: &mut House, count: usize) {
    house
        .until("another answer to a REGISTER", |s| {
            let account = s.accounts.first()?;
            (account.round_trips_ms.len() == count).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_lost_connection_to_the_registrar_is_told_and_made_again() {
    let (mut house, registrar, first) = registered().await;
    // It breaks, and another one is made at once.
    drop(first);
    let mut second = accept(&registrar).await;
    grant(&mut second).await;
    house.until_registered(1).await;
    // Nobody is there any more: that is said, and when it is tried again.
    let at = registrar.local_addr().expect("it is bound");
    drop(registrar);
    drop(second);
    house
        .until("the account is offline", |s| {
            let account = s.accounts.first()?;
            let offline = account.state == model::RegistrationState::Silent;
            (offline && account.failure.is_some() && account.retry_at.is_some()).then_some(())
        })
        .await;
    let registrar = TcpListener::bind(at).await.expect("the port is free again");
    let account = house.id_of("carol");
    house.engine.send(Command::Register { account });
    let mut third = accept(&registrar).await;
    grant(&mut third).await;
    house.until_registered(1).await;
    house.close().await;
}

/// Lets as much time go by as a connection may be silent after a request.
async fn silence() {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(30)).await;
    tokio::time::resume();
}

/// That the phone has given it up.
async fn is_over(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let reading = stream.read_to_end(&mut rest);
    let read = tokio::time::timeout(Duration::from_secs(5), reading);
    read.await.expect("it ends").expect("without a reset");
    // A ping, when nothing came, was the last word.
    assert!(rest.ends_with(b"\r\n\r\n"), "{rest:?}");
}

/// RFC 5626 §4.5: a flow that has failed is replaced by another. The server there takes what is sent and says nothing.
#[tokio::test]
async fn a_registration_does_not_die_on_a_connection_that_has_fallen_silent() {
    let (mut house, registrar, mut first) = registered().await;
    let account = house.id_of("carol");
    house.engine.send(Command::Register {
        account: account.clone(),
    });
    let refresh = stream::request(&mut first, Method::Register).await;
    silence().await;
    let mut second = accept(&registrar).await;
    let again = grant(&mut second).await;
    // The very request, which the server may have had: it was not answered yet.
    let of = |request: &Request, name| request.headers.get(name).map(str::to_owned);
    for name in [HeaderName::Via, HeaderName::CallId, HeaderName::CSeq] {
        assert_eq!(of(&again, name.clone()), of(&refresh, name));
    }
    until_granted(&mut house, 2).await;
    let was_lost = house.seen.iter().any(|event| match event {
        model::Event::Account { account } => account.state == RegistrationState::Silent,
        _ => false,
    });
    assert!(!was_lost, "it was never given up");
    is_over(first).await;
    // What is said next goes by the new one.
    house.engine.send(Command::Register { account });
    grant(&mut second).await;
    until_granted(&mut house, 3).await;
    nobody_connects(&registrar).await;
    house.close().await;
}

#[tokio::test]
async fn a_call_does_not_die_on_a_connection_that_has_fallen_silent() {
    let (proxy, at, mut house) = behind_a_proxy().await;
    let more = format!(
        "Record-Route: <sip:{at};transport=tcp;lr>\r\nContact: <sip:dan@192.0.2.9>\r\n\
         Content-Type: application/sdp\r\n"
    );
    // A call that begins.
    let out = house.dial("carol", "dan").await;
    let mut first = accept(&proxy).await;
    let invite = stream::request(&mut first, Method::Invite).await;
    silence().await;
    let mut second = accept(&proxy).await;
    let again = stream::request(&mut second, Method::Invite).await;
    assert_eq!(again, invite);
    stream::write(&mut second, &answer(&again, "200 OK", &more, SDP)).await;
    stream::request(&mut second, Method::Ack).await;
    house.until_state(out, CallState::Connected).await;
    is_over(first).await;
    // And one that goes on.
    house.engine.send(Command::HoldCall { call: out });
    let hold = stream::request(&mut second, Method::Invite).await;
    silence().await;
    let mut third = accept(&proxy).await;
    let again = stream::request(&mut third, Method::Invite).await;
    assert_eq!(again, hold);
    let held = SDP.replace("o=- 1 1", "o=- 1 2") + "a=recvonly\r\n";
    stream::write(&mut third, &answer(&again, "200 OK", &more, &held)).await;
    stream::request(&mut third, Method::Ack).await;
    house.until_state(out, CallState::Held).await;
    is_over(second).await;
    ends(&mut house, out, &mut third).await;
    nobody_connects(&proxy).await;
    house.close().await;
}

/// RFC 5626 §2: a flow is a connection, and §4.2: two are wanted so that one may fail.
#[tokio::test]
async fn two_flows_to_one_server_are_two_connections() {
    let registrar = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = registrar.local_addr().expect("it is bound");
    let mut house = House::start(vec![tenant("Solo", vec![registering(at, 2)])], tone()).await;
    let reg_id = |register: &Request| {
        let contact = register.headers.contact().expect("a Contact");
        contact.params.get("reg-id").map(str::to_owned)
    };
    let mut flows = [accept(&registrar).await, accept(&registrar).await];
    let mut ids = [None, None];
    for (flow, id) in flows.iter_mut().zip(&mut ids) {
        *id = reg_id(&grant(flow).await);
    }
    let mut both = ids.clone();
    both.sort();
    assert_eq!(both, ["1", "2"].map(|id| Some(id.to_owned())));
    let both_stand = |s: &model::Snapshot| {
        let flows = &s.accounts.first()?.flows;
        let stand = flows
            .iter()
            .all(|f| f.state == RegistrationState::Registered);
        (flows.len() == 2 && stand).then_some(())
    };
    house.until("both stand", both_stand).await;
    // Each is refreshed where it is.
    let account = house.id_of("carol");
    house.engine.send(Command::Register { account });
    for (flow, id) in flows.iter_mut().zip(&ids) {
        assert_eq!(reg_id(&grant(flow).await), *id);
    }
    until_granted(&mut house, 4).await;
    // One breaks: it is made anew on a connection of its own, and the other one stays as it is.
    let [broken, mut other] = flows;
    drop(broken);
    let mut third = accept(&registrar).await;
    assert_eq!(reg_id(&grant(&mut third).await), ids[0]);
    until_granted(&mut house, 5).await;
    let account = house.id_of("carol");
    house.engine.send(Command::Register { account });
    assert_eq!(reg_id(&grant(&mut other).await), ids[1]);
    assert_eq!(reg_id(&grant(&mut third).await), ids[0]);
    nobody_connects(&registrar).await;
    house.close().await;
}
