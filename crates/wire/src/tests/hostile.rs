//! Peers that break the rules, do not read, or are simply too many.

use super::*;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// A plain connection to a door.
async fn knock(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.expect("connected")
}

/// What the other side says until it hangs up.
async fn rest(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let reading = stream.read_to_end(&mut heard);
    // A reset is an end like any other.
    let _ = tokio::time::timeout(SOON, reading)
        .await
        .expect("it hangs up");
    String::from_utf8_lossy(&heard).into_owned()
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A WebSocket made by hand, so that it can misbehave.
async fn websocket(addr: SocketAddr) -> WebSocketStream<TcpStream> {
    let mut stream = knock(addr).await;
    let ask = format!("{UPGRADE}Sec-WebSocket-Protocol: other, sip\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-protocol: sip\r\n"), "{head}");
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

#[tokio::test]
async fn a_stream_that_cannot_be_followed_is_answered_and_closed() {
    let mut side = Side::new(Limits::of_a_server());
    let addr = side.listen(Door::Tcp);
    let mut peer = knock(addr).await;
    let broken = String::from_utf8(request("a", 0))
        .expect("text")
        .replace("Content-Length: 0", "Content-Length: many");
    peer.write_all(broken.as_bytes()).await.expect("written");
    let closed = side.closed().await;
    assert!(matches!(closed.error, Error::Unframed(_)), "{closed:?}");
    let heard = rest(&mut peer).await;
    assert!(heard.starts_with("SIP/2.0 400 "), "{heard}");
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_not_kept() {
    let mut side = Side::new(Limits {
        message: 2_000,
        ..Limits::of_a_server()
    });
    let addr = side.listen(Door::Tcp);
    let mut peer = knock(addr).await;
    peer.write_all(&request("a", 3_000)).await.expect("written");
    let closed = side.closed().await;
    assert!(matches!(closed.error, Error::Unframed(_)), "{closed:?}");

    let addr = side.listen(Door::Ws);
    let mut peer = websocket(addr).await;
    let huge = Message::Binary(Bytes::from(request("a", 3_000)));
    peer.send(huge).await.expect("written");
    let closed = side.closed().await;
    assert!(matches!(closed.error, Error::Unframed(_)), "{closed:?}");
}

#[tokio::test]
async fn a_message_that_drips_in_is_given_up() {
    let mut side = Side::new(Limits {
        unfinished: Duration::from_millis(400),
        ..Limits::of_a_server()
    });
    let tcp = side.listen(Door::Tcp);
    let ws = side.listen(Door::Ws);
    let drip = |mut peer: TcpStream, bytes: Vec<u8>| {
        tokio::spawn(async move {
            for byte in bytes {
                if peer.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    // A whole message first: one that is proven has no right to this either.
    let mut peer = knock(tcp).await;
    peer.write_all(&request("a", 0)).await.expect("written");
    side.arrived().await;
    let dripping = drip(peer, request("b", 0));
    assert_eq!(side.closed().await.error, Error::Unfinished);
    dripping.abort();

    let peer = websocket(ws).await.into_inner();
    let mut frame = vec![0x82, 0xfe, 0x01, 0x00, 1, 2, 3, 4];
    frame.resize(264, 0);
    let dripping = drip(peer, frame);
    assert_eq!(side.closed().await.error, Error::Unfinished);
    dripping.abort();
}

/// RFC 3261 §7.5: line ends between messages are ignored, and some peers end every message with one too many.
#[tokio::test]
async fn a_line_end_too_many_is_no_message_that_drips_in() {
    let mut side = Side::new(Limits {
        unfinished: Duration::from_millis(100),
        ..Limits::of_a_server()
    });
    let addr = side.listen(Door::Tcp);
    let mut peer = knock(addr).await;
    for name in ["a", "b", "c"] {
        let message = [request(name, 0), b"\r\n".to_vec()].concat();
        peer.write_all(&message).await.expect("written");
        side.arrived().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // One that has begun behind it has to end in time as ever.
    peer.write_all(b"OPTIONS sip").await.expect("written");
    assert_eq!(side.closed().await.error, Error::Unfinished);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    let mut here = Side::new(Limits {
        write: Duration::from_millis(300),
        queued_octets: 500_000,
        ..Limits::default()
    });
    let destination = to(Transport::Tcp, addr);
    let bytes = request("a", 50_000);
    let mut sent = 0_usize;
    let flow = loop {
        match here.wire.send(&destination, &Towards::default(), &bytes) {
            Ok(_) => sent += 1,
            Err(error) => {
                assert_eq!(error, Error::SlowReader);
                break sent;
            }
        }
        // What the kernels take is more than what we keep.
        tokio::task::yield_now().await;
    };
    assert!(flow >= 9, "some are kept: {sent}");
    let _held = listener.accept().await.expect("connected");
    // It is filled up again until a write does not get through.
    let closed = loop {
        let _ = here.wire.send(&destination, &Towards::default(), &bytes);
        let waiting = tokio::time::timeout(Duration::from_millis(1), here.closed());
        if let Ok(closed) = waiting.await {
            break closed;
        }
    };
    assert_eq!(closed.error, Error::SlowReader);
    let octets: usize = closed.unsent.iter().map(Vec::len).sum();
    assert!((50_000..=600_000).contains(&octets), "{octets} came back");
}

#[tokio::test]
async fn a_peer_waits_while_its_messages_are_not_handled() {
    let mut side = Side::new(Limits {
        arrived: 3,
        ..Limits::of_a_server()
    });
    let addr = side.listen(Door::Tcp);
    let mut peer = knock(addr).await;
    for _ in 0..10 {
        peer.write_all(&request("a", 0)).await.expect("written");
    }
    side.up().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(side.arrived().await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(side.events.try_recv().is_err(), "there is no room");
    // Another peer's datagrams have room of their own, and are dropped when it is full.
    let (_, udp) = side.datagrams();
    let sender = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a socket");
    for _ in 0..5 {
        sender.send_to(&request("u", 0), udp).await.expect("sent");
    }
    for _ in 0..3 {
        held.push(side.arrived().await);
    }
    while side.wire.counts().dropped < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(held);
    for _ in 0..7 {
        assert_eq!(side.arrived().await.path.transport, Transport::Tcp);
    }
}

#[tokio::test]
async fn one_connection_cannot_take_all_the_room() {
    let mut side = Side::new(Limits {
        arrived_octets: 2_000,
        ..Limits::of_a_server()
    });
    let addr = side.listen(Door::Tcp);
    let mut greedy = knock(addr).await;
    for _ in 0..20 {
        greedy
            .write_all(&request("a", 1_000))
            .await
            .expect("written");
    }
    let held = side.arrived().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(side.events.try_recv().is_err(), "its share is taken");
    let mut modest = knock(addr).await;
    modest.write_all(&request("b", 0)).await.expect("written");
    assert_ne!(side.arrived().await.flow, held.flow);
}

#[tokio::test]
async fn connections_that_bring_nothing_are_closed() {
    let mut side = Side::new(Limits {
        unproven: Duration::from_millis(300),
        idle: Duration::from_millis(900),
        handshake: Duration::from_millis(300),
        ..Limits::of_a_server()
    });
    let addr = side.listen(Door::Tcp);
    // Keepalives are no messages.
    let mut chatty = knock(addr).await;
    let pinging = tokio::spawn(async move {
        while chatty.write_all(b"\r\n\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    assert_eq!(side.closed().await.error, Error::Idle);
    pinging.await.expect("it notices");
    // One that brought a message may stay longer, but not for ever.
    let mut proven = knock(addr).await;
    let since = std::time::Instant::now();
    proven.write_all(&request("a", 0)).await.expect("written");
    assert_eq!(side.closed().await.error, Error::Idle);
    assert!(since.elapsed() >= Duration::from_millis(900));
    // Nor may a handshake take for ever.
    let tls = Authority::new("Lab").issue_for("pbx.example");
    let _tls = knock(side.listen(Door::Tls(server(&tls)))).await;
    assert_eq!(side.closed().await.error, Error::Tls(TlsError::TimedOut));
    let _ws = knock(side.listen(Door::Ws)).await;
    let timed_out = Error::WebSocket(WebSocketError::TimedOut);
    assert_eq!(side.closed().await.error, timed_out);
    assert_eq!(side.wire.connections(), 0);
}

#[tokio::test]
async fn a_crowd_gives_way_and_those_that_proved_themselves_stay() {
    let mut side = Side::new(Limits {
        accepted: 3,
        ..Limits::of_a_server()
    });
    let addr = side.listen(Door::Tcp);
    let mut proven = knock(addr).await;
    proven.write_all(&request("a", 0)).await.expect("written");
    let first = side.arrived().await.flow;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(knock(addr).await);
    }
    for _ in 0..2 {
        let closed = side.closed().await;
        assert_eq!(closed.error, Error::Displaced);
        assert_ne!(closed.flow, first);
    }
    assert_eq!(side.wire.connections(), 3);
    assert_eq!(side.wire.counts().turned_away, 2);
    // Connections of ours are not given up for theirs, and find a way out.
    let client = Side::new(Limits {
        connections: 1,
        ..Limits::default()
    });
    let send = |port: u16| {
        let mut addr = addr;
        addr.set_port(port);
        let destination = to(Transport::Tcp, addr);
        client
            .wire
            .send(&destination, &Towards::default(), &request("c", 0))
    };
    send(addr.port()).expect("the first");
    assert_eq!(send(9), Err(Error::Full));
}

#[tokio::test]
async fn one_source_cannot_take_all_places() {
    let mut side = Side::new(Limits {
        accepted_per_source: 2,
        ..Limits::of_a_server()
    });
    let addr = side.listen(Door::Tcp);
    let _one = knock(addr).await;
    let _two = knock(addr).await;
    side.up().await;
    side.up().await;
    let mut three = knock(addr).await;
    assert_eq!(rest(&mut three).await, "");
    assert_eq!(side.wire.connections(), 2);
    // Another source is welcome.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.2:0".parse().expect("an address"))
        .expect("loopback is wide");
    let _four = socket.connect(addr).await.expect("connected");
    side.up().await;
}

/// RFC 6455 §10.2: a page of another place must not speak through the browser of who looks at it.
#[tokio::test]
async fn a_page_from_elsewhere_gets_no_websocket() {
    let side = Side::new(Limits {
        pages: vec!["pbx.test".to_owned(), "192.0.2.7".to_owned()],
        ..Limits::of_a_server()
    });
    let addr = side.listen(Door::Ws);
    for (host, origin, status) in [
        ("pbx.test:8080", "https://evil.example", "403"),
        ("pbx.test:8080", "http://pbx.test.evil.example", "403"),
        ("pbx.test:8080", "null", "403"),
        // Its own name leads here by now, so the browser takes it for the page's own server.
        ("evil.example:8080", "http://evil.example:8080", "403"),
        ("192.0.2.66:8080", "http://192.0.2.66:8080", "403"),
        ("pbx.test:8080", "http://PBX.test:3000", "101"),
        ("any.name", "http://192.0.2.7", "101"),
        // From this very machine, by its address, and from that of who looks at it.
        ("127.0.0.1", "http://127.0.0.1:8000", "101"),
        ("127.0.0.1", "http://localhost:3000", "101"),
        ("[::1]", "http://[::1]:3000", "101"),
    ] {
        let mut peer = knock(addr).await;
        let upgrade = UPGRADE.replace("Host: a\r\n", &format!("Host: {host}\r\n"));
        let ask = format!("{upgrade}Origin: {origin}\r\nSec-WebSocket-Protocol: sip\r\n\r\n");
        peer.write_all(ask.as_bytes()).await.expect("written");
        let mut status_line = vec![0; 12];
        peer.read_exact(&mut status_line).await.expect("an answer");
        let wanted = format!("HTTP/1.1 {status}");
        assert_eq!(String::from_utf8_lossy(&status_line), wanted, "{origin}");
    }
}

#[tokio::test]
async fn a_websocket_without_sip_is_refused() {
    let mut side = Side::new(Limits::of_a_server());
    let addr = side.listen(Door::Ws);
    for protocols in ["", "Sec-WebSocket-Protocol: chat, xmpp\r\n"] {
        let mut peer = knock(addr).await;
        let ask = format!("{UPGRADE}{protocols}\r\n");
        peer.write_all(ask.as_bytes()).await.expect("written");
        let heard = rest(&mut peer).await;
        assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
        let closed = side.closed().await;
        assert_eq!(closed.error.step(), Step::WebSocket);
    }
}

/// A server of HTTP that says this to whoever asks.
async fn http(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap_or(0));
            }
            // RFC 6455 §1.3; the tests of these answers do not get as far as the key.
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    addr
}

#[tokio::test]
async fn a_websocket_server_can_say_no_in_its_own_words() {
    let ask = |addr| async move {
        let mut here = Side::new(Limits::default());
        here.wire
            .send(
                &to(Transport::Ws, addr),
                &Towards::default(),
                &request("a", 0),
            )
            .expect("queued");
        let closed = here.closed().await;
        assert_eq!(closed.unsent.len(), 1);
        closed.error
    };
    let missing = http("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    let error = ask(missing).await;
    let status = WebSocketError::Status {
        status: 404,
        phrase: "Not Found".to_owned(),
    };
    assert_eq!(error, Error::WebSocket(status));
    assert!(error.to_string().contains("HTTP 404"), "{error}");
    let sip = http("SIP/2.0 400 Bad Request\r\n\r\n").await;
    assert!(matches!(
        ask(sip).await,
        Error::WebSocket(WebSocketError::Handshake(_))
    ));
    let curt = http("").await;
    assert!(matches!(
        ask(curt).await,
        Error::WebSocket(WebSocketError::Handshake(_))
    ));
}

#[tokio::test]
async fn a_websocket_server_without_sip_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("connected");
        let _ = tokio_tungstenite::accept_async(stream).await;
        std::future::pending::<()>().await;
    });
    let mut here = Side::new(Limits::default());
    here.wire
        .send(
            &to(Transport::Ws, addr),
            &Towards::default(),
            &request("a", 0),
        )
        .expect("queued");
    let missing = Error::WebSocket(WebSocketError::SubprotocolMissing);
    assert_eq!(here.closed().await.error, missing);
}

#[tokio::test]
async fn frames_of_a_websocket_are_taken_as_they_come() {
    let mut side = Side::new(Limits::of_a_server());
    let addr = side.listen(Door::Ws);
    let mut peer = websocket(addr).await;
    let message = request("a", 4);
    let text = String::from_utf8(message.clone()).expect("text");
    peer.send(Message::Text(text.into()))
        .await
        .expect("written");
    let arrived = side.arrived().await;
    assert_eq!(arrived.bytes, message);
    peer.send(Message::Binary(message.clone().into()))
        .await
        .expect("written");
    assert_eq!(side.arrived().await.bytes, message);
    // Keepalives of streams are ignored, those of WebSocket answered.
    peer.send(Message::Text("\r\n\r\n".into()))
        .await
        .expect("written");
    peer.send(Message::Ping(Bytes::from_static(b"are you there")))
        .await
        .expect("written");
    let pong = peer.next().await.expect("open").expect("a frame");
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"are you there")));
    // What is no text goes out as it is.
    let mut odd = request("b", 0);
    odd.extend([0xff, 0xfe]);
    side.wire
        .answer(arrived.flow, &arrived.path, &odd)
        .expect("answered");
    let frame = peer.next().await.expect("open").expect("a frame");
    assert_eq!(frame, Message::Binary(odd.into()));
    side.wire
        .answer(arrived.flow, &arrived.path, &message)
        .expect("answered");
    let frame = peer.next().await.expect("open").expect("a frame");
    assert!(frame.is_text());
    peer.close(None).await.expect("written");
    assert_eq!(side.closed().await.error, Error::Closed);
}

#[tokio::test]
async fn noise_harms_nobody() {
    let mut side = Side::new(Limits::of_a_server());
    let tls = Authority::new("Lab").issue_for("pbx.example");
    let doors = [
        side.listen(Door::Tcp),
        side.listen(Door::Tls(server(&tls))),
        side.listen(Door::Ws),
        side.listen(Door::Wss(server(&tls))),
    ];
    let (_, udp) = side.datagrams();
    let sender = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a socket");
    // A linear congruential generator: the same noise each time.
    let mut seed = 1_u32;
    for round in 0..40_usize {
        let noise: Vec<u8> = (0..round * 40)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes().into_iter().next().unwrap_or(0)
            })
            .collect();
        for door in doors {
            let mut peer = knock(door).await;
            let _ = peer.write_all(&noise).await;
        }
        sender.send_to(&noise, udp).await.expect("sent");
    }
    sender.send_to(&request("a", 0), udp).await.expect("sent");
    let mut fine = knock(*doors.first().expect("a door")).await;
    fine.write_all(&request("b", 0)).await.expect("written");
    let mut wanted = vec![request("a", 0), request("b", 0)];
    while !wanted.is_empty() {
        if let Event::Arrived(arrived) = side.event().await {
            wanted.retain(|bytes| *bytes != arrived.bytes);
        }
    }
    drop(fine);
    while side.wire.connections() > 0 {
        side.event().await;
    }
}

#[tokio::test]
async fn that_connections_are_turned_away_is_told_once_until_somebody_looks() {
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let sink: Sink = std::sync::Arc::new(move |event| {
        matches!(event, Event::Counted) && sender.send(()).is_ok()
    });
    let limits = Limits {
        accepted_per_source: 0,
        ..Limits::default()
    };
    let wire = Wire::new(limits, sink);
    let listener = open_listener("127.0.0.1:0".parse().expect("an address")).expect("a listener");
    let addr = listener.local_addr().expect("bound");
    wire.serve(std::sync::Arc::new(listener), Door::Tcp);
    for round in 1..=2 {
        let mut knocked = Vec::new();
        for _ in 0..20 {
            knocked.push(knock(addr).await);
        }
        tokio::time::timeout(SOON, events.recv())
            .await
            .expect("it is told")
            .expect("the wire lives");
        for mut stream in knocked {
            // Closed without a word.
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
        }
        assert!(events.try_recv().is_err(), "and told once");
        assert_eq!(wire.counts().turned_away, round * 20);
    }
}
