//! Messages over every transport.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// There, back on the same flow, and again on the same connection.
async fn check(transport: Transport, bind: &str) {
    let authority = Authority::new("Lab");
    let identity = authority.issue_for("pbx.example");
    let mut server_side = Side::new(Limits::of_a_server());
    let mut client = Side::new(Limits::default());
    let addr = match transport {
        Transport::Udp => {
            client.datagrams_at(bind);
            server_side.datagrams_at(bind).1
        }
        Transport::Tcp => server_side.listen_at(bind, Door::Tcp),
        Transport::Tls => server_side.listen_at(bind, Door::Tls(server(&identity))),
        Transport::Ws => server_side.listen_at(bind, Door::Ws),
        Transport::Wss => server_side.listen_at(bind, Door::Wss(server(&identity))),
    };
    let towards = towards("pbx.example", &authority.pem());
    let mut destination = to(transport, addr);
    if transport == Transport::Udp {
        // Datagrams leave by the socket that the path names.
        let local = client.datagrams_at(bind).1;
        destination = Destination::Path(Path {
            local,
            ..*destination.path()
        });
    }
    // One of a single frame and one of many segments.
    for (word, body) in [("one", 0), ("two", 30_000)] {
        let bytes = request(word, body);
        let flow = client
            .wire
            .send(&destination, &towards, &bytes)
            .expect("sent");
        let there = server_side.arrived().await;
        assert_eq!(there.bytes, bytes, "{transport} {word}");
        assert_eq!(there.path.transport, transport);
        assert_eq!(there.path.local.ip(), addr.ip());
        let answer = request("answer", 10);
        server_side
            .wire
            .answer(there.flow, &there.path, &answer)
            .expect("answered");
        let back = client.arrived().await;
        assert_eq!(back.bytes, answer);
        assert_eq!(back.flow, flow, "it comes back on the flow");
        assert_eq!(back.path.remote, addr);
    }
    if transport != Transport::Udp {
        assert_eq!(client.wire.connections(), 1, "it is used again");
    }
}

#[tokio::test]
async fn udp_carries_messages() {
    check(Transport::Udp, "127.0.0.1:0").await;
}

#[tokio::test]
async fn tcp_carries_messages() {
    check(Transport::Tcp, "127.0.0.1:0").await;
}

#[tokio::test]
async fn tls_carries_messages() {
    check(Transport::Tls, "127.0.0.1:0").await;
}

#[tokio::test]
async fn websocket_carries_messages() {
    check(Transport::Ws, "127.0.0.1:0").await;
}

#[tokio::test]
async fn websocket_in_tls_carries_messages() {
    check(Transport::Wss, "127.0.0.1:0").await;
}

#[tokio::test]
async fn ipv6_carries_messages() {
    for transport in [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
    ] {
        check(transport, "[::1]:0").await;
    }
}

#[tokio::test]
async fn what_a_connection_waits_for_on_its_way_up_is_told() {
    // The kernel takes connections there, and nobody says anything.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = silent.local_addr().expect("it is bound");
    let authority = Authority::new("Lab");
    for (transport, expected) in [
        (Transport::Tls, Step::Tls),
        (Transport::Wss, Step::Tls),
        (Transport::Ws, Step::WebSocket),
    ] {
        let mut client = Side::new(Limits::default());
        let towards = towards("a.example", &authority.pem());
        client
            .wire
            .send(&to(transport, addr), &towards, &request("lost", 0))
            .expect("it is tried");
        match client.any_event().await {
            Event::Begun { step, .. } => assert_eq!(step, expected, "{transport}"),
            other => panic!("{transport}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn who_can_wait_does_not_join_a_connection_made_in_haste() {
    let server_side = Side::new(Limits::of_a_server());
    let destination = to(Transport::Tcp, server_side.listen(Door::Tcp));
    let patient = Towards::default();
    let hasty = Towards {
        connect: Some(std::time::Duration::from_secs(1)),
        ..Towards::default()
    };
    let client = Side::new(Limits::default());
    let send = |towards: &Towards| {
        let sent = client.wire.send(&destination, towards, &request("x", 0));
        sent.expect("sent")
    };
    let in_haste = send(&hasty);
    assert_eq!(send(&hasty), in_haste);
    let with_time = send(&patient);
    assert_ne!(with_time, in_haste);
    assert_eq!(send(&patient), with_time);
    assert_eq!(client.wire.connections(), 2);
}

#[tokio::test]
async fn rfc3261_18_a_connection_made_in_haste_is_used_by_everybody_once_it_is_up() {
    let server_side = Side::new(Limits::of_a_server());
    let destination = to(Transport::Tcp, server_side.listen(Door::Tcp));
    let hasty = Towards {
        connect: Some(Duration::from_secs(1)),
        ..Towards::default()
    };
    let mut client = Side::new(Limits::default());
    let sent = client.wire.send(&destination, &hasty, &request("x", 0));
    let in_haste = sent.expect("sent");
    let (up, _) = client.up().await;
    assert_eq!(up, in_haste);
    let patient = Towards::default();
    let sent = client.wire.send(&destination, &patient, &request("y", 0));
    assert_eq!(sent.expect("sent"), in_haste);
    assert_eq!(client.wire.connections(), 1);
}

#[tokio::test]
async fn connections_are_kept_apart_by_domain_and_settings() {
    let authority = Authority::new("Lab");
    let identity = authority
        .issue(|params| params.subject_alt_names = vec![dns("a.example"), dns("b.example")]);
    let server_side = Side::new(Limits::of_a_server());
    let client = Side::new(Limits::default());
    let addr = server_side.listen(Door::Tls(server(&identity)));
    let destination = to(Transport::Tls, addr);
    let a = towards("a.example", &authority.pem());
    let b = Towards {
        domain: Some("b.example".to_owned()),
        ..a.clone()
    };
    let other_settings = towards("a.example", &authority.pem());
    let send = |towards: &Towards| {
        client
            .wire
            .send(&destination, towards, &request("x", 0))
            .expect("sent")
    };
    let first = send(&a);
    let same = Towards {
        domain: Some("A.example".to_owned()),
        ..a.clone()
    };
    assert_eq!(send(&same), first);
    assert_ne!(send(&b), first);
    assert_ne!(send(&other_settings), first);
    assert_eq!(client.wire.connections(), 3);
}

/// RFC 5626 §2: two flows are two connections, also where they lead to one server.
#[tokio::test]
async fn lanes_are_connections_of_their_own() {
    let mut there = Side::new(Limits::of_a_server());
    let here = Side::new(Limits::default());
    let addr = there.listen(Door::Tcp);
    let sent = |lane| {
        let towards = Towards {
            lane,
            ..Towards::default()
        };
        let sent = here
            .wire
            .send(&to(Transport::Tcp, addr), &towards, &request("a", 0));
        sent.expect("sent")
    };
    let any = sent(None);
    let [first, second] = [0, 1].map(|lane| sent(Some(lane)));
    assert!(any != first && any != second && first != second);
    assert_eq!([0, 1].map(|lane| sent(Some(lane))), [first, second]);
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..5 {
        ports.insert(there.arrived().await.path.remote.port());
    }
    assert_eq!(ports.len(), 3);
    // Whoever has none takes any of them.
    assert!([any, first, second].contains(&sent(None)));
    assert!(ports.contains(&there.arrived().await.path.remote.port()));
    // One that is gone is made anew, and the other one is left alone.
    here.wire.close(first);
    let again = sent(Some(0));
    assert!(again != first && again != second);
    // A peer's own connection is none of them.
    let inbound = loop {
        if let Event::Arrived(arrived) = there.event().await {
            break arrived;
        }
    };
    let back = |lane| {
        let towards = Towards {
            lane,
            ..Towards::default()
        };
        let way = Destination::Path(inbound.path);
        let sent = there.wire.send(&way, &towards, &request("b", 0));
        sent.expect("queued")
    };
    assert_eq!(back(None), inbound.flow);
    assert_ne!(back(Some(0)), inbound.flow);
}

#[tokio::test]
async fn requests_of_ours_go_back_on_a_peers_connection() {
    let mut server_side = Side::new(Limits::of_a_server());
    let mut client = Side::new(Limits::default());
    let addr = server_side.listen(Door::Tcp);
    client
        .wire
        .send(
            &to(Transport::Tcp, addr),
            &Towards::default(),
            &request("a", 0),
        )
        .expect("sent");
    let there = server_side.arrived().await;
    // By its flow, and by its address alone.
    let by_flow = Destination::Flow {
        id: there.flow,
        path: there.path,
    };
    for destination in [by_flow, Destination::Path(there.path)] {
        let flow = server_side
            .wire
            .send(&destination, &Towards::default(), &request("b", 0));
        assert_eq!(flow, Ok(there.flow));
        client.arrived().await;
    }
}

#[tokio::test]
async fn what_was_not_written_comes_back_with_the_reason() {
    let mut client = Side::new(Limits::default());
    // A port that was free a moment ago.
    let addr = open_listener("127.0.0.1:0".parse().expect("an address"))
        .and_then(|l| l.local_addr())
        .expect("a port");
    let (one, two) = (request("one", 0), request("two", 0));
    for bytes in [&one, &two] {
        client
            .wire
            .send(&to(Transport::Tcp, addr), &Towards::default(), bytes)
            .expect("queued");
    }
    let closed = client.closed().await;
    assert_eq!(closed.error, Error::Connect(ConnectError::Refused));
    assert_eq!(closed.error.step(), Step::Connect);
    assert_eq!(closed.unsent, [one, two]);
    assert!(!closed.was_up && !closed.accepted);
    assert_eq!(client.wire.connections(), 0);
}

#[tokio::test]
async fn what_nobody_can_have_answered_comes_back_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a listener");
    let addr = listener.local_addr().expect("bound");
    let mut client = Side::new(Limits::default());
    let destination = to(Transport::Tcp, addr);
    let (one, two) = (request("one", 0), request("two", 0));
    let answer = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    let sent = client.wire.send(&destination, &Towards::default(), &one);
    assert!(sent.is_ok(), "{sent:?}");
    let (mut peer, _) = listener.accept().await.expect("connected");
    let mut buffer = vec![0; one.len()];
    peer.read_exact(&mut buffer).await.expect("the first");
    peer.write_all(answer).await.expect("answered");
    client.up().await;
    assert!(matches!(client.event().await, Event::Arrived(_)));
    for bytes in [answer.as_slice(), &two] {
        let sent = client.wire.send(&destination, &Towards::default(), bytes);
        assert!(sent.is_ok(), "{sent:?}");
    }
    let mut buffer = vec![0; answer.len() + two.len()];
    peer.read_exact(&mut buffer).await.expect("the second");
    drop(peer);
    let closed = client.closed().await;
    assert_eq!((closed.unsent.len(), closed.unheard), (0, vec![two]));
}

#[tokio::test]
async fn a_closed_connection_gives_way_to_a_new_one() {
    let mut server_side = Side::new(Limits::of_a_server());
    let mut client = Side::new(Limits::default());
    let addr = server_side.listen(Door::Tcp);
    let send = |client: &Side, destination: &Destination| {
        client
            .wire
            .send(destination, &Towards::default(), &request("a", 0))
            .expect("sent")
    };
    let first = send(&client, &to(Transport::Tcp, addr));
    let there = server_side.arrived().await;
    server_side.wire.close(there.flow);
    assert_eq!(server_side.closed().await.error, Error::Dismissed);
    let closed = client.closed().await;
    assert_eq!((closed.flow, closed.error), (first, Error::Closed));
    assert!(closed.was_up && closed.unsent.is_empty());
    // The flow is gone; its path leads there again.
    let gone = Destination::Flow {
        id: first,
        path: path(Transport::Tcp, addr),
    };
    assert!(!client.wire.has(first));
    assert_ne!(send(&client, &gone), first);
    server_side.arrived().await;
    // An answer goes to its flow or nowhere.
    assert_eq!(
        client.wire.answer(first, gone.path(), b"x"),
        Err(Error::Closed)
    );
}

#[tokio::test]
async fn nothing_is_sent_by_what_is_not_set_up() {
    let client = Side::new(Limits::default());
    let addr: SocketAddr = "127.0.0.1:9".parse().expect("an address");
    for transport in [Transport::Udp, Transport::Tls, Transport::Wss] {
        let sent = client
            .wire
            .send(&to(transport, addr), &Towards::default(), &request("a", 0));
        assert!(matches!(sent, Err(Error::Unusable(_))), "{sent:?}");
    }
    let huge = request("a", 70_000);
    let sent = client
        .wire
        .send(&to(Transport::Tcp, addr), &Towards::default(), &huge);
    assert_eq!(sent, Err(Error::TooLarge(huge.len())));
}

#[tokio::test]
async fn dropping_a_wire_frees_its_connections_and_keeps_its_socket() {
    let mut server_side = Side::new(Limits::of_a_server());
    let addr = server_side.listen(Door::Tcp);
    let client = Side::new(Limits::default());
    let socket = Arc::new(open_udp("127.0.0.1:0".parse().expect("an address")).expect("a socket"));
    client
        .wire
        .serve_datagrams(Arc::clone(&socket))
        .expect("served");
    client
        .wire
        .send(
            &to(Transport::Tcp, addr),
            &Towards::default(),
            &request("a", 0),
        )
        .expect("sent");
    server_side.arrived().await;
    drop(client);
    assert_eq!(server_side.closed().await.error, Error::Closed);
    // The next wire takes the socket over.
    let mut next = Side::new(Limits::default());
    next.wire
        .serve_datagrams(Arc::clone(&socket))
        .expect("served");
    let here = socket.local_addr().expect("bound");
    let sender = open_udp("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    // The reader of the old wire may take the first ones away before it is gone.
    loop {
        sender.send_to(&request("a", 0), here).await.expect("sent");
        let waiting = tokio::time::timeout(Duration::from_millis(200), next.arrived());
        if waiting.await.is_ok() {
            break;
        }
    }
}
