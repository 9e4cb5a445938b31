//! Ways to registrars that are kept open.

use std::time::Duration;

use model::{RegistrationState, Transport};
use sip_message::framer::{Frame, StreamFramer};
use sip_message::{Message, Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use wire::stun::Binding;

use super::house::{House, account, tenant, tone};
use super::peer::answer;

/// How long anything may take that happens each second.
const SOON: Duration = Duration::from_secs(10);

/// A registrar's yes, with the wish to hear of us each second.
fn granted(request: &Request) -> String {
    let contacts = request.headers.get_all(sip_message::HeaderName::Contact);
    let contacts: String = contacts.map(|c| format!("Contact: {c}\r\n")).collect();
    let more = format!("{contacts}Expires: 600\r\nFlow-Timer: 1\r\n");
    answer(request, "200 OK", &more, "")
}

#[tokio::test]
async fn a_server_that_sees_us_elsewhere_all_of_a_sudden_is_registered_with_anew() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let at = server.local_addr().expect("it is bound");
    let alice = account("sip:alice@alpha.test", at, |_| {});
    let mut house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
    let mut asked = 0_u16;
    let mut registered = 0;
    let mut buffer = [0; 65_535];
    let serving = async {
        while registered < 2 {
            let (length, from) = server.recv_from(&mut buffer).await.expect("it works");
            let bytes = &buffer[..length];
            if let Some(Binding::Request(id)) = Binding::read(bytes) {
                asked += 1;
                // The router forgot us once.
                let port = if asked < 3 { 40_000 } else { 40_001 };
                let seen = std::net::SocketAddr::from(([192, 0, 2, 1], port));
                let seen = Binding::Success(id, Some(seen)).to_bytes();
                server.send_to(&seen, from).await.expect("it is sent");
            } else if let Ok(Message::Request(request)) = Message::parse(bytes) {
                assert_eq!(request.method, Method::Register);
                registered += 1;
                server
                    .send_to(granted(&request).as_bytes(), from)
                    .await
                    .expect("it is sent");
            } else {
                panic!("{}", String::from_utf8_lossy(bytes));
            }
        }
    };
    tokio::time::timeout(SOON, serving).await.expect("in time");
    assert_eq!(asked, 3, "at once when it is seen, and not before");
    house.until_notes("sees us at 192.0.2.1:40001 now", 1).await;
    house.close().await;
}

#[tokio::test]
async fn a_connection_to_the_registrar_is_kept_alive_and_the_pong_is_no_garbage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("it is bound");
    let alice = account("sip:alice@alpha.test", at, |settings| {
        settings.transport = Some(Transport::Tcp);
    });
    let house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut framer = StreamFramer::default();
        let mut chunk = [0; 4_096];
        let mut pings = 0;
        while pings < 2 {
            let length = stream.read(&mut chunk).await.expect("it lives");
            assert!(length > 0, "the connection stays");
            framer.push(&chunk[..length]);
            while let Some(frame) = framer.poll().expect("it is SIP") {
                match frame {
                    Frame::Message(bytes) => {
                        let Ok(Message::Request(request)) = Message::parse(&bytes) else {
                            panic!("not a request")
                        };
                        let text = granted(&request);
                        stream.write_all(text.as_bytes()).await.expect("written");
                    }
                    Frame::Ping => {
                        pings += 1;
                        stream.write_all(b"\r\n").await.expect("written");
                    }
                    Frame::Pong => {}
                }
            }
        }
        stream
    };
    let stream = tokio::time::timeout(SOON, serving).await.expect("in time");
    let state = house.account("alice").state;
    assert_eq!(state, RegistrationState::Registered);
    assert_eq!(house.engine.snapshot().tenants[0].traffic.garbage, 0);
    // Once it has answered it has to, and an end is an end at once.
    drop(stream);
    let (mut again, _) = tokio::time::timeout(SOON, listener.accept())
        .await
        .expect("it comes back")
        .expect("a connection");
    let mut begun = [0; 9];
    again.read_exact(&mut begun).await.expect("a message");
    assert_eq!(&begun, b"REGISTER ");
    house.close().await;
}
