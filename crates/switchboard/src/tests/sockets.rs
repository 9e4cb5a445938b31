//! The sockets, on loopback.

mod secret;

use std::sync::Arc;

use sip_core::Destination;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use rtp::{RtpHeader, RtpPacket};
use sdp::{Codec, LocalMedia, Negotiated, Negotiator};
use sip_message::framer::{Frame, StreamFramer};

use super::*;
use crate::{Config, Counts, Switchboard};

const SOON: Duration = Duration::from_secs(10);

/// Runs a test with sockets on two threads.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test);
}

async fn start() -> (Switchboard, SocketAddr) {
    let config = Config::open_at(addr("127.0.0.1:0"));
    let board = Switchboard::start(config).await.expect("it starts");
    let at = board.local_addrs()[0].1;
    assert_eq!(board.local_addrs()[1], (Transport::Tcp, at));
    (board, at)
}

/// A phone by UDP, TCP, or what the wire brings beyond them.
enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream, StreamFramer),
    Wired(Wired),
}

struct Wired {
    wire: wire::Wire,
    events: tokio::sync::mpsc::UnboundedReceiver<wire::Event>,
    destination: Destination,
    towards: wire::Towards,
}

impl Wire {
    async fn udp(board: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        socket.connect(board).await.expect("a peer");
        Self::Udp(socket)
    }

    async fn tcp(board: SocketAddr) -> Self {
        let stream = TcpStream::connect(board).await.expect("a connection");
        Self::Tcp(stream, StreamFramer::default())
    }

    /// By TLS, WS or WSS; the certificate is trusted by file.
    fn wired(transport: Transport, board: &Switchboard) -> Self {
        let listens = |(t, _): &&(Transport, SocketAddr)| *t == transport;
        let remote = board.local_addrs().iter().find(listens).expect("listens").1;
        let shown = board.certificate().and_then(|c| c.self_signed.clone());
        let roots = wire::Roots::Pem(shown.expect("made at the start").into_bytes());
        let tls = wire::ClientTls::new(&roots, wire::Remembered::default(), None);
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        let sink = move |event| sender.send(event).is_ok();
        Self::Wired(Wired {
            wire: wire::Wire::new(wire::Limits::default(), Arc::new(sink)),
            events,
            destination: Destination::Path(sip_core::Path {
                transport,
                remote,
                local: addr("127.0.0.1:5060"),
            }),
            towards: wire::Towards {
                domain: Some("localhost".to_owned()),
                tls: Some(Arc::new(tls.expect("a client"))),
                resource: None,
                connect: None,
                lane: None,
            },
        })
    }

    fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().expect("an address"),
            Self::Tcp(stream, _) => stream.local_addr().expect("an address"),
            Self::Wired(wired) => wired.destination.path().local,
        }
    }

    fn transport(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Tcp(..) => "TCP",
            Self::Wired(wired) => wired.destination.transport().via_token(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(bytes).await.expect("sent")),
            Self::Tcp(stream, _) => stream.write_all(bytes).await.expect("sent"),
            Self::Wired(wired) => {
                let sent = wired.wire.send(&wired.destination, &wired.towards, bytes);
                assert!(sent.is_ok(), "{sent:?}");
            }
        }
    }

    async fn receive(&mut self) -> Message {
        let mut buffer = vec![0_u8; 65_535];
        loop {
            match self {
                Self::Udp(socket) => {
                    let length = timeout(SOON, socket.recv(&mut buffer)).await;
                    let length = length.expect("soon").expect("a datagram");
                    return Message::parse(&buffer[..length]).expect("a message");
                }
                Self::Tcp(stream, framer) => {
                    if let Some(Frame::Message(bytes)) = framer.poll().expect("framed") {
                        return Message::parse(&bytes).expect("a message");
                    }
                    let length = timeout(SOON, stream.read(&mut buffer)).await;
                    let length = length.expect("soon").expect("bytes");
                    assert!(length > 0, "the connection is open");
                    framer.push(&buffer[..length]);
                }
                Self::Wired(wired) => {
                    let event = timeout(SOON, wired.events.recv()).await;
                    match event.expect("soon").expect("it lives") {
                        wire::Event::Arrived(arrived) => {
                            return Message::parse(&arrived.bytes).expect("a message");
                        }
                        wire::Event::Begun { .. } | wire::Event::Up { .. } => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    /// The next final response.
    async fn answer(&mut self) -> Response {
        loop {
            if let Message::Response(response) = self.receive().await
                && response.status.is_final()
            {
                return response;
            }
        }
    }

    async fn register(&mut self, user: &str) -> Response {
        let (via, transport) = (self.local().to_string(), self.transport());
        let contact = format!("Contact: <sip:{user}@{via};transport={transport}>\r\n");
        let ask = Ask {
            method: "REGISTER",
            uri: "sip:board.test",
            from: &format!("<sip:{user}@board.test>;tag=t"),
            to: &format!("<sip:{user}@board.test>"),
            call_id: &format!("reg-{user}"),
            branch: &format!("z9hG4bKreg{user}"),
            via: &via,
            transport,
            headers: &contact,
            ..Ask::default()
        };
        self.send(ask.text().as_bytes()).await;
        self.answer().await
    }
}

/// Calls a number; answers the 200, what was agreed, and our media socket.
async fn call(
    wire: &mut Wire,
    board: SocketAddr,
    number: &str,
    n: usize,
) -> (Response, Negotiated, UdpSocket) {
    let media = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let mut negotiator = Negotiator::new(LocalMedia {
        address: addr("127.0.0.1:0").ip(),
        port: media.local_addr().expect("an address").port(),
        codecs: vec![Codec::Pcmu],
        ptime_ms: 20,
        telephone_event: true,
        session_id: 1,
    });
    let offer = String::from_utf8(negotiator.offer()).expect("text");
    let (via, uri) = (wire.local().to_string(), format!("sip:{number}@{board}"));
    let contact = format!("Contact: <sip:me@{via}>\r\n");
    let (call_id, branch) = (format!("call-{n}"), format!("z9hG4bKcall{n}"));
    let invite = Ask {
        uri: &uri,
        to: &format!("<{uri}>"),
        call_id: &call_id,
        branch: &branch,
        via: &via,
        transport: wire.transport(),
        headers: &contact,
        body: &offer,
        ..Ask::default()
    };
    wire.send(invite.text().as_bytes()).await;
    let ok = wire.answer().await;
    assert_eq!(ok.status.code(), 200);
    let agreed = negotiator.handle_answer(&ok.body).expect("an answer");
    let ack = within(wire, &ok, "ACK", 1);
    wire.send(ack.as_bytes()).await;
    (ok, agreed, media)
}

fn within(wire: &Wire, ok: &Response, method: &str, cseq: u32) -> String {
    let uri = ok.headers.contact().expect("a Contact").uri.to_string();
    let call_id = ok.headers.call_id().expect("a Call-ID");
    let via = wire.local().to_string();
    Ask {
        method,
        uri: &uri,
        to: ok.headers.get(HeaderName::To).expect("a To"),
        call_id,
        cseq,
        branch: &format!("z9hG4bK{method}{cseq}{call_id}"),
        via: &via,
        transport: wire.transport(),
        headers: "",
        ..Ask::default()
    }
    .text()
}

/// Says a packet and hears what comes back.
async fn echo(media: &UdpSocket, to: SocketAddr, n: u16) -> (RtpHeader, Vec<u8>) {
    let header = RtpHeader {
        marker: n == 0,
        payload_type: 0,
        sequence_number: n,
        timestamp: u32::from(n) * 160,
        ssrc: 0xAAAA,
    };
    let mut packet = Vec::new();
    header
        .write(&[n as u8; 160], &mut packet)
        .expect("a packet");
    media.send_to(&packet, to).await.expect("sent");
    let mut buffer = [0_u8; 2_048];
    let (length, from) = timeout(SOON, media.recv_from(&mut buffer))
        .await
        .expect("soon")
        .expect("a packet");
    assert_eq!(from, to);
    let packet = RtpPacket::parse(&buffer[..length]).expect("a packet");
    (packet.header, packet.payload.to_vec())
}

async fn counts_become(board: &Switchboard, what: impl Fn(Counts) -> bool) -> bool {
    for _ in 0..500 {
        if board.counts().await.is_some_and(&what) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[test]
fn register_and_echo_by_udp_and_by_tcp() {
    run(async {
        let (board, at) = start().await;
        for (n, mut wire) in [Wire::udp(at).await, Wire::tcp(at).await]
            .into_iter()
            .enumerate()
        {
            let user = format!("u{n}");
            assert_eq!(wire.register(&user).await.status.code(), 200);
            let (ok, agreed, media) = call(&mut wire, at, "echo", n).await;
            assert_eq!(agreed.codec, Codec::Pcmu);
            let line = agreed.remote.expect("an address");
            let mut first = None;
            for k in 0..20 {
                let (header, payload) = echo(&media, line, k).await;
                assert_eq!(
                    (payload, header.timestamp),
                    (vec![k as u8; 160], u32::from(k) * 160)
                );
                let (ssrc, start) = *first.get_or_insert((header.ssrc, header.sequence_number));
                assert_ne!(ssrc, 0xAAAA, "it speaks for itself");
                assert_eq!(
                    (header.ssrc, header.sequence_number),
                    (ssrc, start.wrapping_add(k))
                );
            }
            let bye = within(&wire, &ok, "BYE", 2);
            wire.send(bye.as_bytes()).await;
            assert_eq!(wire.answer().await.status.code(), 200);
        }
        assert_eq!(board.counts().await.expect("it runs").bindings, 2);
    });
}

/// A switchboard that listens by every transport.
async fn start_everywhere() -> Switchboard {
    let mut config = Config::open_at(addr("127.0.0.1:0"));
    for transport in [Transport::Tls, Transport::Ws, Transport::Wss] {
        config.listen.push((transport, addr("127.0.0.1:0")));
    }
    Switchboard::start(config).await.expect("it starts")
}

#[test]
fn register_and_echo_by_tls_and_websocket() {
    run(async {
        let board = start_everywhere().await;
        for (n, transport) in [Transport::Tls, Transport::Ws, Transport::Wss]
            .into_iter()
            .enumerate()
        {
            let mut wire = Wire::wired(transport, &board);
            let user = format!("u{n}");
            assert_eq!(wire.register(&user).await.status.code(), 200);
            let at = board.local_addrs()[0].1;
            let (ok, agreed, media) = call(&mut wire, at, "echo", n).await;
            let line = agreed.remote.expect("an address");
            let (_, payload) = echo(&media, line, 1).await;
            assert_eq!(payload, [1; 160]);
            let bye = within(&wire, &ok, "BYE", 2);
            wire.send(bye.as_bytes()).await;
            assert_eq!(wire.answer().await.status.code(), 200);
        }
        assert_eq!(board.counts().await.expect("it runs").bindings, 3);
    });
}

#[test]
fn a_browser_is_called_by_the_connection_it_opened() {
    run(async {
        let board = start_everywhere().await;
        let at = board.local_addrs()[0].1;
        let mut browser = Wire::wired(Transport::Wss, &board);
        // Nobody can find such a name (RFC 7118 §5, RFC 5626), and nobody needs to.
        let register = Ask {
            method: "REGISTER",
            uri: "sip:board.test",
            from: "<sip:bob@board.test>;tag=t",
            to: "<sip:bob@board.test>",
            via: "df7jal23ls0d.invalid",
            transport: "WSS",
            headers: "Contact: <sip:bob@df7jal23ls0d.invalid;transport=ws>\r\n",
            ..Ask::default()
        };
        browser.send(register.text().as_bytes()).await;
        assert_eq!(browser.answer().await.status.code(), 200);
        let mut caller = Wire::udp(at).await;
        let via = caller.local().to_string();
        let invite = Ask {
            via: &via,
            headers: &format!("Contact: <sip:me@{via}>\r\n"),
            branch: "z9hG4bKbrowser",
            ..Ask::default()
        };
        caller.send(invite.text().as_bytes()).await;
        let Message::Request(request) = browser.receive().await else {
            panic!("a call was expected");
        };
        assert_eq!(
            request.uri.to_string(),
            "sip:bob@df7jal23ls0d.invalid;transport=ws"
        );
        let routes = request.headers.record_routes().expect("readable");
        let ways: Vec<_> = routes
            .iter()
            .map(|r| r.uri.params.get("transport"))
            .collect();
        assert_eq!(ways, [Some("wss"), Some("udp")]);
        let vias = request.headers.get_all(HeaderName::Via);
        let vias: String = vias.map(|via| format!("Via: {via}\r\n")).collect();
        let header = |name| request.headers.get(name).unwrap_or_default();
        let busy = format!(
            "SIP/2.0 486 Busy Here\r\n{vias}From: {}\r\nTo: {};tag=b\r\nCall-ID: {}\r\n\
             CSeq: {}\r\nContent-Length: 0\r\n\r\n",
            header(HeaderName::From),
            header(HeaderName::To),
            header(HeaderName::CallId),
            header(HeaderName::CSeq),
        );
        browser.send(busy.as_bytes()).await;
        assert_eq!(caller.answer().await.status.code(), 486);
    });
}

#[test]
fn a_certificate_is_made_once_and_only_where_it_is_needed() {
    run(async {
        let (plain, _) = start().await;
        assert_eq!(plain.certificate(), None);
        let (one, two) = (start_everywhere().await, start_everywhere().await);
        let (one, two) = (one.certificate(), two.certificate());
        assert_ne!(one.map(|c| c.fingerprint), two.map(|c| c.fingerprint));
        // With a certificate of one's own, that one is shown.
        let mut config = Config::open_at(addr("127.0.0.1:0"));
        config.listen.push((Transport::Tls, addr("127.0.0.1:0")));
        let made = rcgen::generate_simple_self_signed(["pbx.test".to_owned()]).expect("made");
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let own = wire::Identity::from_pem(pem.as_bytes(), key.as_bytes()).expect("readable");
        let fingerprint = own.fingerprint();
        config.certificate = Some(own);
        let board = Switchboard::start(config).await.expect("it starts");
        let shown = board.certificate().expect("it has one");
        assert_eq!(
            (shown.fingerprint, &shown.self_signed),
            (fingerprint, &None)
        );
    });
}

#[test]
fn where_a_phone_is_seen_is_told_by_stun() {
    run(async {
        let (_board, at) = start().await;
        let phone = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let id = wire::stun::TransactionId([3; 12]);
        let ask = wire::stun::Binding::Request(id).to_bytes();
        phone.send_to(&ask, at).await.expect("sent");
        let mut buffer = [0_u8; 100];
        let length = timeout(SOON, phone.recv(&mut buffer)).await;
        let length = length.expect("soon").expect("an answer");
        assert_eq!(
            wire::stun::Binding::read(&buffer[..length]),
            Some(wire::stun::Binding::Success(id, phone.local_addr().ok()))
        );
    });
}

#[test]
fn a_tone_comes_unasked_to_the_caller_and_to_nobody_else() {
    run(async {
        let (_board, at) = start().await;
        let mut wire = Wire::udp(at).await;
        let (_, _, media) = call(&mut wire, at, "tone", 1).await;
        let mut buffer = [0_u8; 2_048];
        let mut last = None;
        for _ in 0..10 {
            let length = timeout(SOON, media.recv(&mut buffer)).await;
            let length = length.expect("soon").expect("a packet");
            let packet = RtpPacket::parse(&buffer[..length]).expect("a packet");
            assert_eq!(packet.payload.len(), 160);
            let (sequence, time) = (packet.header.sequence_number, packet.header.timestamp);
            if let Some((before, then)) = last.replace((sequence, time)) {
                assert_eq!(sequence, u16::wrapping_add(before, 1));
                assert_eq!(time, u32::wrapping_add(then, 160));
            }
        }
        // Media announced for another machine: it has to speak first.
        let other = UdpSocket::bind("127.0.0.2:0").await.expect("a socket");
        let port = other.local_addr().expect("an address").port();
        let uri = format!("sip:tone@{at}");
        let via = wire.local().to_string();
        let contact = format!("Contact: <sip:me@{via}>\r\n");
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        );
        let ask = Ask {
            uri: &uri,
            via: &via,
            headers: &contact,
            call_id: "victim",
            branch: "z9hG4bKvictim",
            body: &body,
            ..Ask::default()
        };
        wire.send(ask.text().as_bytes()).await;
        let ok = wire.answer().await;
        let ack = within(&wire, &ok, "ACK", 1);
        wire.send(ack.as_bytes()).await;
        let heard = timeout(Duration::from_millis(300), other.recv(&mut buffer)).await;
        assert!(heard.is_err(), "nobody is flooded who did not speak");
    });
}

#[test]
fn what_is_said_during_a_hold_is_not_heard_after_it() {
    run(async {
        let (_board, at) = start().await;
        let mut wire = Wire::udp(at).await;
        let (ok, agreed, media) = call(&mut wire, at, "echo", 1).await;
        let line = agreed.remote.expect("an address");
        let (before, _) = echo(&media, line, 0).await;
        let port = media.local_addr().expect("an address").port();
        for (cseq, direction) in [(2, "sendonly"), (3, "sendrecv")] {
            let uri = ok.headers.contact().expect("a Contact").uri.to_string();
            let via = wire.local().to_string();
            let body = format!(
                "v=0\r\no=- 1 {cseq} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                 m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
            );
            let ask = Ask {
                uri: &uri,
                to: ok.headers.get(HeaderName::To).expect("a To"),
                call_id: "call-1",
                cseq,
                branch: &format!("z9hG4bKhold{cseq}"),
                via: &via,
                headers: &format!("Contact: <sip:me@{via}>\r\n"),
                body: &body,
                ..Ask::default()
            };
            wire.send(ask.text().as_bytes()).await;
            let changed = wire.answer().await;
            assert_eq!(changed.status.code(), 200);
            let ack = within(&wire, &ok, "ACK", cseq);
            wire.send(ack.as_bytes()).await;
            if direction == "sendonly" {
                for _ in 0..50 {
                    media.send_to(&[0x80; 172], line).await.expect("sent");
                }
                let mut buffer = [0_u8; 2_048];
                let heard = timeout(Duration::from_millis(200), media.recv(&mut buffer)).await;
                assert!(heard.is_err(), "an echo on hold is silent");
            }
        }
        let (after, payload) = echo(&media, line, 9).await;
        assert_eq!(payload, [9; 160]);
        assert_eq!(
            after.sequence_number,
            before.sequence_number.wrapping_add(1)
        );
        assert_eq!(after.ssrc, before.ssrc);
    });
}

#[test]
fn messages_may_come_in_pieces_and_several_at_once() {
    run(async {
        let (_board, at) = start().await;
        let mut wire = Wire::tcp(at).await;
        let via = wire.local().to_string();
        let branches = ["z9hG4bKa", "z9hG4bKb", "z9hG4bKc"];
        let text: String = branches
            .map(|branch| {
                let ask = Ask {
                    method: "OPTIONS",
                    uri: "sip:board.test",
                    via: &via,
                    transport: "TCP",
                    branch,
                    ..Ask::default()
                };
                ask.text()
            })
            .concat();
        for piece in text.as_bytes().chunks(7) {
            wire.send(piece).await;
        }
        for branch in branches {
            let answer = wire.answer().await;
            assert_eq!(answer.status.code(), 200);
            assert_eq!(
                answer.headers.via_top().expect("a Via").branch(),
                Some(branch)
            );
        }
    });
}

#[test]
fn garbage_at_both_sockets_stops_nothing() {
    run(async {
        let (board, at) = start().await;
        let mut state = 1_u32;
        let mut junk = |length: usize| -> Vec<u8> {
            let step = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..length).map(step).collect()
        };
        let wire = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        for n in 0..2_000 {
            wire.send_to(&junk(n % 1_400), at).await.expect("sent");
        }
        for n in 0..100 {
            let mut stream = TcpStream::connect(at).await.expect("a connection");
            let _ = stream.write_all(&junk(100 * n)).await;
            let _ = stream
                .write_all(b"INVITE sip:a SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n")
                .await;
        }
        assert_eq!(
            Wire::udp(at).await.register("alice").await.status.code(),
            200
        );
        assert_eq!(Wire::tcp(at).await.register("bob").await.status.code(), 200);
        assert_eq!(board.counts().await.expect("it runs").bindings, 2);
    });
}

#[test]
fn a_flood_of_connections_locks_nobody_out() {
    run(async {
        let (_board, at) = start().await;
        let mut phone = Wire::tcp(at).await;
        assert_eq!(phone.register("alice").await.status.code(), 200);
        let mut flood = Vec::new();
        // As many as a process may usually open, in several rounds: more than may stay.
        for round in 0..4 {
            for _ in 0..400 {
                match TcpStream::connect(at).await {
                    Ok(stream) => flood.push(stream),
                    Err(error) => panic!("round {round}: {error}"),
                }
            }
            if flood.len() > 400 {
                flood.drain(..400);
            }
        }
        assert_eq!(phone.register("alice2").await.status.code(), 200);
        let mut late = Wire::tcp(at).await;
        assert_eq!(late.register("bob").await.status.code(), 200);
    });
}

#[test]
fn two_hundred_phones_register_at_once() {
    run(async {
        let (board, at) = start().await;
        let mut wires = Vec::new();
        for n in 0..200 {
            let wire = if n % 2 == 0 {
                Wire::udp(at).await
            } else {
                Wire::tcp(at).await
            };
            wires.push(wire);
        }
        let began = Instant::now();
        let mut tasks = Vec::new();
        for (n, mut wire) in wires.into_iter().enumerate() {
            tasks.push(tokio::spawn(async move {
                let answer = wire.register(&format!("u{n}")).await;
                (answer.status.code(), wire)
            }));
        }
        let mut kept = Vec::new();
        for task in tasks {
            let (status, wire) = task.await.expect("it answers");
            assert_eq!(status, 200);
            kept.push(wire);
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(board.counts().await.expect("it runs").bindings, 200);
    });
}

#[test]
fn fifty_calls_hear_their_echo_at_once() {
    run(async {
        let (board, at) = start().await;
        let mut calls = Vec::new();
        for n in 0..50 {
            let mut wire = Wire::udp(at).await;
            let (ok, agreed, media) = call(&mut wire, at, "echo", n).await;
            calls.push((wire, ok, agreed.remote.expect("an address"), media));
        }
        assert_eq!(board.counts().await.expect("it runs").lines, 50);
        for k in 0..50 {
            for (.., line, media) in &calls {
                let (_, payload) = echo(media, *line, k).await;
                assert_eq!(payload[0], k as u8);
            }
        }
        for (wire, ok, ..) in &mut calls {
            let bye = within(wire, ok, "BYE", 2);
            wire.send(bye.as_bytes()).await;
            assert_eq!(wire.answer().await.status.code(), 200);
        }
    });
}

#[test]
fn a_call_to_a_phone_whose_port_is_closed_fails_at_once() {
    run(async {
        let (board, at) = start().await;
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let dead = closed.local_addr().expect("an address");
        drop(closed);
        let mut phone = Wire::tcp(at).await;
        let contact = format!("Contact: <sip:bob@{dead};transport=tcp>\r\n");
        let via = phone.local().to_string();
        let ask = Ask {
            method: "REGISTER",
            uri: "sip:board.test",
            to: "<sip:bob@board.test>",
            via: &via,
            transport: "TCP",
            headers: &contact,
            ..Ask::default()
        };
        phone.send(ask.text().as_bytes()).await;
        assert_eq!(phone.answer().await.status.code(), 200);
        drop(phone);
        assert!(counts_become(&board, |c| c.bindings == 1).await);
        let mut caller = Wire::udp(at).await;
        let via = caller.local().to_string();
        let contact = format!("Contact: <sip:me@{via}>\r\n");
        let call = Ask {
            via: &via,
            headers: &contact,
            branch: "z9hG4bKdead",
            ..Ask::default()
        };
        caller.send(call.text().as_bytes()).await;
        let began = Instant::now();
        assert_eq!(caller.answer().await.status.code(), 500);
        assert!(began.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_start_that_fails_leaves_no_port_taken() {
    run(async {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = taken.local_addr().expect("an address");
        assert!(Switchboard::start(Config::open_at(at)).await.is_err());
        drop(taken);
        let board = Switchboard::start(Config::open_at(at)).await;
        assert!(board.is_ok(), "{:?}", board.err());
    });
}

/// On Linux the whole of 127/8 is one's own, so that addresses can be made up.
#[cfg(target_os = "linux")]
#[test]
fn a_newcomer_by_udp_is_answered_amid_a_hundred_thousand_sources() {
    run(async {
        let (board, at) = start().await;
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let flood = std::thread::spawn(move || {
            let mut sent = 0_u32;
            while sent < 100_000 || !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let host = 0x7f40_0000 | (sent.wrapping_mul(2_654_435_769) >> 10);
                let from = SocketAddr::new(IpAddr::V4(host.into()), 0);
                let Ok(socket) = std::net::UdpSocket::bind(from) else {
                    continue;
                };
                let ask = Ask {
                    method: "OPTIONS",
                    uri: &format!("sip:{at}"),
                    via: &from.to_string(),
                    branch: &format!("z9hG4bKflood{sent}"),
                    headers: "",
                    ..Ask::default()
                };
                let _ = socket.send_to(ask.text().as_bytes(), at);
                sent += 1;
                if sent.is_multiple_of(20) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            sent
        });
        // The flood is there before the newcomer is.
        let heard = |counts: &Counts| counts.looked_at + counts.dropped;
        while heard(&board.counts().await.expect("it runs")) < 10_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let local = socket.local_addr().expect("an address").to_string();
        let register = Ask {
            method: "REGISTER",
            uri: "sip:board.test",
            to: "<sip:alice@board.test>",
            via: &local,
            branch: "z9hG4bKnewcomer",
            headers: &format!("Contact: <sip:alice@{local}>\r\n"),
            ..Ask::default()
        }
        .text();
        // RFC 3261 §17.1.2.2: Timer E, and after 32 s nobody waits any more.
        let mut waits = [500, 1_000, 2_000].into_iter().chain([4_000; 7]);
        let mut buffer = [0_u8; 2_048];
        let mut tries = 0;
        let answer = loop {
            let wait = waits.next().expect("an answer before Timer F");
            socket
                .send_to(register.as_bytes(), at)
                .await
                .expect("it may send");
            tries += 1;
            let answer = timeout(Duration::from_millis(wait), socket.recv(&mut buffer)).await;
            if let Ok(Ok(length)) = answer {
                break buffer[..length].to_vec();
            }
        };
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(answer.starts_with(b"SIP/2.0 200"), "after {tries}");
        let sent = flood.join().expect("the flood ends");
        let counts = board.counts().await.expect("it runs");
        assert!(sent >= 100_000 && heard(&counts) > 10_000, "{counts:?}");
    });
}
