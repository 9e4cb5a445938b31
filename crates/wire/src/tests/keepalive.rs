//! Pings, pongs and STUN.

use super::*;
use crate::stun::{Binding, TransactionId};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

const OFTEN: Duration = Duration::from_millis(50);

fn impatient() -> Limits {
    Limits {
        pong: Duration::from_millis(300),
        stun_first: Duration::from_millis(5),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_ping_gets_one_pong_between_messages() {
    let mut side = Side::new(Limits::of_a_server());
    let addr = side.listen(Door::Tcp);
    let mut peer = TcpStream::connect(addr).await.expect("connected");
    let mut bytes = request("a", 5);
    bytes.extend(b"\r\n\r\n");
    bytes.extend(request("b", 0));
    peer.write_all(&bytes).await.expect("written");
    assert_eq!(side.arrived().await.bytes, request("a", 5));
    assert_eq!(side.arrived().await.bytes, request("b", 0));
    let mut pong = [0; 2];
    peer.read_exact(&mut pong).await.expect("a pong");
    assert_eq!(&pong, b"\r\n");
}

#[tokio::test]
async fn two_wires_keep_each_other_alive_on_every_transport() {
    let authority = Authority::new("Lab");
    let tls = server(&authority.issue_for("pbx.example"));
    let towards = towards("pbx.example", &authority.pem());
    for door in [Door::Tcp, Door::Tls(tls.clone()), Door::Ws, Door::Wss(tls)] {
        let transport = door.transport();
        let mut there = Side::new(impatient());
        let mut here = Side::new(impatient());
        let addr = there.listen(door);
        let flow = here
            .wire
            .send(&to(transport, addr), &towards, &request("a", 0))
            .expect("sent");
        here.wire.keep_alive(flow, Some(OFTEN));
        let flow_there = there.arrived().await.flow;
        there.wire.keep_alive(flow_there, Some(OFTEN));
        here.up().await;
        // Several times the patience: had one pong been missed, the flow would have failed.
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(here.events.try_recv().is_err(), "{transport}");
        assert!(there.events.try_recv().is_err(), "{transport}");
        here.wire
            .send(&to(transport, addr), &towards, &request("b", 0))
            .expect("sent");
        assert_eq!(there.arrived().await.flow, flow_there);
    }
}

#[tokio::test]
async fn a_ping_without_pong_fails_the_flow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    let mut here = Side::new(impatient());
    let flow = here
        .wire
        .send(
            &to(Transport::Tcp, addr),
            &Towards::default(),
            &request("a", 0),
        )
        .expect("sent");
    here.wire.keep_alive(flow, Some(OFTEN));
    let (mut peer, _) = listener.accept().await.expect("connected");
    let heard = Heard::default();
    let reading = heard.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 1_024];
        while let Ok(length @ 1..) = peer.read(&mut buffer).await {
            reading.push(buffer.get(..length).unwrap_or_default());
        }
    });
    let closed = here.closed().await;
    assert_eq!(closed.error, Error::FlowFailed);
    assert!(
        heard.text().ends_with("\r\n\r\n\r\n\r\n"),
        "one ping was sent"
    );
}

#[tokio::test]
async fn a_keepalive_can_be_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    let mut here = Side::new(impatient());
    let flow = here
        .wire
        .send(
            &to(Transport::Tcp, addr),
            &Towards::default(),
            &request("a", 0),
        )
        .expect("sent");
    let (_peer, _) = listener.accept().await.expect("connected");
    here.up().await;
    here.wire.keep_alive(flow, Some(Duration::from_millis(400)));
    here.wire.keep_alive(flow, None);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert!(here.events.try_recv().is_err(), "no ping, no failure");
}

#[tokio::test]
async fn stun_requests_are_answered_by_servers_only() {
    let server_side = Side::new(Limits::of_a_server());
    let (_, addr) = server_side.datagrams();
    let (_, client_addr) = Side::new(Limits::default()).datagrams();
    let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let id = TransactionId([9; 12]);
    let ask = Binding::Request(id).to_bytes();
    peer.send_to(&ask, client_addr).await.expect("sent");
    peer.send_to(&ask, addr).await.expect("sent");
    let mut buffer = [0; 100];
    let (length, from) = peer.recv_from(&mut buffer).await.expect("an answer");
    assert_eq!(from, addr);
    let mapped = peer.local_addr().ok();
    assert_eq!(
        Binding::read(buffer.get(..length).unwrap_or_default()),
        Some(Binding::Success(id, mapped))
    );
}

#[tokio::test]
async fn stun_tells_where_we_are_seen() {
    let server_side = Side::new(Limits::of_a_server());
    let (_, addr) = server_side.datagrams();
    let mut here = Side::new(impatient());
    let (flow, local) = here.datagrams();
    here.wire
        .keep_alive_datagrams(flow, addr, Some(Keepalive::Stun(OFTEN)));
    match here.event().await {
        Event::Mapped {
            flow: told,
            remote,
            mapped,
        } => assert_eq!((told, remote, mapped), (flow, addr, local)),
        other => panic!("{other:?}"),
    }
    // The same again is no news, and no failure.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(here.events.try_recv().is_err());
    drop(server_side);
    match here.event().await {
        Event::FlowFailed { flow: told, remote } => assert_eq!((told, remote), (flow, addr)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_of_somebody_else_is_none() {
    let asked = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let other = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let mut here = Side::new(impatient());
    let (flow, local) = here.datagrams();
    let remote = asked.local_addr().expect("bound");
    here.wire
        .keep_alive_datagrams(flow, remote, Some(Keepalive::Stun(OFTEN)));
    let mut buffer = [0; 100];
    let (length, _) = asked.recv_from(&mut buffer).await.expect("a request");
    let Some(Binding::Request(id)) = Binding::read(buffer.get(..length).unwrap_or_default()) else {
        panic!("no request");
    };
    let lie = Binding::Success(id, "192.0.2.1:1".parse().ok()).to_bytes();
    other.send_to(&lie, local).await.expect("sent");
    match here.event().await {
        Event::FlowFailed { .. } => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn line_ends_keep_a_way_open_and_are_no_messages() {
    let mut there = Side::new(Limits::of_a_server());
    let (_, addr) = there.datagrams();
    let here = Side::new(Limits::default());
    let (flow, _) = here.datagrams();
    let witness = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let every = Some(Keepalive::Crlf(OFTEN));
    let remote = witness.local_addr().expect("bound");
    here.wire.keep_alive_datagrams(flow, remote, every);
    here.wire.keep_alive_datagrams(flow, addr, every);
    let mut buffer = [0; 100];
    for _ in 0..3 {
        let (length, _) = witness.recv_from(&mut buffer).await.expect("a keepalive");
        assert_eq!(buffer.get(..length), Some(b"\r\n\r\n".as_slice()));
    }
    witness.send_to(&request("a", 0), addr).await.expect("sent");
    assert_eq!(there.arrived().await.bytes, request("a", 0));
    assert!(there.events.try_recv().is_err());
}

#[tokio::test]
async fn a_peer_that_knows_no_pings_is_left_in_peace_until_it_answers_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    let mut here = Side::new(Limits {
        pong: Duration::from_millis(40),
        ..Limits::default()
    });
    let flow = here
        .wire
        .send(
            &to(Transport::Tcp, addr),
            &Towards::default(),
            &request("a", 0),
        )
        .expect("sent");
    here.wire.keep_alive_of_any(flow, OFTEN);
    let (mut peer, _) = listener.accept().await.expect("connected");
    here.up().await;
    let mut heard = Vec::new();
    while heard.windows(4).filter(|w| w == b"\r\n\r\n").count() < 6 {
        heard.push(peer.read_u8().await.expect("pings come"));
    }
    assert!(here.events.try_recv().is_err(), "it lives");
    peer.write_all(b"\r\n").await.expect("a pong");
    assert_eq!(
        here.closed().await.error,
        Error::FlowFailed,
        "the next had none"
    );
}

#[tokio::test]
async fn who_speaks_no_stun_gets_line_ends_and_who_does_is_supervised() {
    let here = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let here = Arc::new(here);
    let mut side = Side::new(impatient());
    let flow = side.wire.lend_datagrams(Arc::clone(&here)).expect("lent");
    let (stun, socket) = (side.wire.stun(), Arc::clone(&here));
    tokio::spawn(async move {
        let mut buffer = [0; 1_024];
        while let Ok((length, remote)) = socket.recv_from(&mut buffer).await {
            let datagram = buffer.get(..length).unwrap_or_default();
            assert!(stun.takes(&socket, remote, datagram), "nothing else comes");
        }
    });
    let keepalive = Some(Keepalive::StunOrCrlf(OFTEN));

    let deaf = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let remote = deaf.local_addr().expect("bound");
    side.wire.keep_alive_datagrams(flow, remote, keepalive);
    let mut buffer = [0; 1_024];
    let mut asked = 0;
    loop {
        let (length, _) = deaf.recv_from(&mut buffer).await.expect("something");
        if &buffer[..length] == b"\r\n\r\n" {
            break;
        }
        asked += 1;
    }
    assert_eq!(asked, 7, "RFC 8489 §6.2.1");
    side.wire.keep_alive_datagrams(flow, remote, None);
    assert!(side.events.try_recv().is_err(), "that is no failure");

    let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let remote = peer.local_addr().expect("bound");
    side.wire.keep_alive_datagrams(flow, remote, keepalive);
    let (length, from) = peer.recv_from(&mut buffer).await.expect("a request");
    let Some(Binding::Request(id)) = Binding::read(&buffer[..length]) else {
        panic!("no STUN request")
    };
    let answer = Binding::Success(id, Some(from)).to_bytes();
    peer.send_to(&answer, from).await.expect("sent");
    match side.event().await {
        Event::Mapped { mapped, .. } => assert_eq!(mapped, from),
        other => panic!("{other:?}"),
    }
    match side.event().await {
        Event::FlowFailed { remote: failed, .. } => assert_eq!(failed, remote),
        other => panic!("{other:?}"),
    }
}

/// A client that waits for a sign of life for 1.6 seconds, and asks for one after half of it.
fn waiting_for_answers() -> Limits {
    Limits {
        answer: Duration::from_millis(1_600),
        pong: Duration::from_millis(800),
        ..Limits::default()
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    (listener, addr)
}

fn send(side: &Side, way: &Destination, word: &str) -> FlowId {
    let sent = side.wire.send(way, &Towards::default(), &request(word, 0));
    sent.expect("sent")
}

/// The next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    let accepting = tokio::time::timeout(SOON, listener.accept());
    accepting.await.expect("in time").expect("a connection").0
}

async fn reads(peer: &mut TcpStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    peer.read_exact(&mut read).await.expect("it comes");
    assert_eq!(read, bytes, "{}", String::from_utf8_lossy(&read));
}

/// The server of a WebSocket, by hand, so that it can fall silent.
async fn accept_websocket(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    // The type is the library's own.
    #[allow(clippy::result_large_err)]
    let choose = |_: &Request, mut response: Response| {
        let chosen = HeaderValue::from_static("sip");
        let headers = response.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", chosen);
        Ok(response)
    };
    let stream = accept(listener).await;
    let shaken = tokio_tungstenite::accept_hdr_async(stream, choose).await;
    shaken.expect("a WebSocket")
}

/// RFC 3261 §17.1.2.2: a server owes an answer within 64·T1, and whoever knows keepalives answers a ping.
#[tokio::test]
async fn a_connection_on_which_nothing_comes_after_a_request_has_failed() {
    let (listener, addr) = listener().await;
    let mut here = Side::new(waiting_for_answers());
    let way = to(Transport::Tcp, addr);
    let first = send(&here, &way, "a");
    let started = std::time::Instant::now();
    let mut peer = accept(&listener).await;
    reads(&mut peer, &request("a", 0)).await;
    reads(&mut peer, b"\r\n\r\n").await;
    here.up().await;
    let closed = here.closed().await;
    let took = started.elapsed();
    assert_eq!((closed.flow, closed.error), (first, Error::Silent));
    assert_eq!(closed.unheard, [request("a", 0)]);
    assert!(took >= Duration::from_millis(1_500), "{took:?}");
    // What comes next has a connection of its own.
    assert_ne!(send(&here, &way, "b"), first);
    let mut peer = accept(&listener).await;
    reads(&mut peer, &request("b", 0)).await;
}

/// A proxy has nothing to say while the one it asks is silent (RFC 4320 §4.2), and lives.
#[tokio::test]
async fn a_pong_is_a_sign_of_life_and_so_is_any_message() {
    let (listener, addr) = listener().await;
    let mut here = Side::new(waiting_for_answers());
    let way = to(Transport::Tcp, addr);
    let flow = send(&here, &way, "a");
    let mut peer = accept(&listener).await;
    reads(&mut peer, &request("a", 0)).await;
    reads(&mut peer, b"\r\n\r\n").await;
    peer.write_all(b"\r\n").await.expect("a pong");
    tokio::time::sleep(waiting_for_answers().answer * 5 / 4).await;
    // Another request, and something of the peer's own after it.
    assert_eq!(send(&here, &way, "b"), flow);
    reads(&mut peer, &request("b", 0)).await;
    peer.write_all(&request("c", 0)).await.expect("written");
    tokio::time::sleep(waiting_for_answers().answer * 5 / 4).await;
    here.up().await;
    assert_eq!(here.arrived().await.bytes, request("c", 0));
    assert!(here.events.try_recv().is_err(), "it lives");
    // A response is no question: nothing is owed.
    let response = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    let path = path(Transport::Tcp, addr);
    here.wire.answer(flow, &path, response).expect("answered");
    reads(&mut peer, response).await;
    tokio::time::sleep(waiting_for_answers().answer * 5 / 4).await;
    assert!(here.events.try_recv().is_err(), "it lives");
}

#[tokio::test]
async fn who_answers_late_and_knows_no_pings_is_left_in_peace() {
    let (listener, addr) = listener().await;
    let mut here = Side::new(waiting_for_answers());
    send(&here, &to(Transport::Tcp, addr), "a");
    let mut peer = accept(&listener).await;
    reads(&mut peer, &request("a", 0)).await;
    reads(&mut peer, b"\r\n\r\n").await;
    let response = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    peer.write_all(response).await.expect("written");
    tokio::time::sleep(waiting_for_answers().pong * 5 / 4).await;
    here.up().await;
    assert_eq!(here.arrived().await.bytes, response);
    assert!(here.events.try_recv().is_err(), "it lives");
}

#[tokio::test]
async fn a_websocket_on_which_nothing_comes_after_a_request_has_failed() {
    let (listener, addr) = listener().await;
    let mut here = Side::new(waiting_for_answers());
    let way = to(Transport::Ws, addr);
    // One that answers pings lives, whatever it thinks of requests.
    let flow = send(&here, &way, "a");
    let mut peer = accept_websocket(&listener).await;
    assert!(peer.next().await.expect("open").expect("a frame").is_text());
    assert!(peer.next().await.expect("open").expect("a frame").is_ping());
    // The library answers with what it does next.
    peer.flush().await.expect("a pong");
    tokio::time::sleep(waiting_for_answers().answer * 5 / 4).await;
    here.up().await;
    assert!(here.events.try_recv().is_err(), "it lives");
    // One that is not heard any more does not.
    assert_eq!(send(&here, &way, "b"), flow);
    assert_eq!(here.closed().await.error, Error::Silent);
}

/// RFC 6455 §5.5.1: after a Close nothing is sent any more and nothing comes, however long TCP lasts.
#[tokio::test]
async fn a_websocket_that_is_closed_is_lost_at_once() {
    let (listener, addr) = listener().await;
    let mut here = Side::new(Limits::default());
    let way = to(Transport::Ws, addr);
    let flow = send(&here, &way, "a");
    let mut peer = accept_websocket(&listener).await;
    here.up().await;
    assert!(peer.next().await.expect("open").expect("a frame").is_text());
    let going_away = CloseFrame {
        code: CloseCode::Away,
        reason: "bye".into(),
    };
    let close = Message::Close(Some(going_away));
    peer.send(close).await.expect("written");
    let closing = tokio::time::timeout(Duration::from_secs(2), here.closed());
    let closed = closing.await.expect("at once");
    assert_eq!((closed.flow, closed.error), (flow, Error::Closed));
    assert!(closed.was_up);
    // It is answered, and then it ends.
    let answer = peer.next().await.expect("an answer").expect("a frame");
    assert!(matches!(&answer, Message::Close(Some(f)) if f.code == CloseCode::Away));
    let end = peer.next().await;
    let ended = matches!(end, None | Some(Err(WsError::ConnectionClosed)));
    assert!(ended, "{end:?}");
    // What comes next has a connection of its own.
    assert_ne!(send(&here, &way, "b"), flow);
    let mut again = accept_websocket(&listener).await;
    let frame = again.next().await.expect("open").expect("a frame");
    assert!(frame.is_text());
}
