//! Too much of everything, and who must not notice.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{CallState, Command, Snapshot, Traffic};
use sip_message::{HeaderName, Message, Method, StatusCode};

use super::house::{House, account, messages, notes, switchboard, tenant, tone};
use super::peer::{Peer, SDP, answer, carol, free_addr, to_tag};

/// Sends as fast as it can from an address of its own until it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Flood {
    fn of(
        from: &str,
        to: SocketAddr,
        mut message: impl FnMut(u64) -> String + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind((from, 0)).expect("the loopback net is ours");
        socket.set_nonblocking(true).expect("it can be");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                sent += u64::from(socket.send_to(message(sent).as_bytes(), to).is_ok());
            }
            sent
        });
        let thread = Some(thread);
        Self { stop, thread }
    }

    /// The same from another address of the loopback net each time, as if they were forged.
    fn from_everywhere(to: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sent = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                // A stride without common factor: each address once in sixteen million.
                let host = 0x7f00_0000 + (sent.wrapping_mul(6_700_417) & 0x00ff_ffff) as u32;
                let socket = UdpSocket::bind((std::net::Ipv4Addr::from(host), 0));
                let message = options(sent, 0);
                let is_sent = |socket: UdpSocket| socket.send_to(message.as_bytes(), to).is_ok();
                sent += 1;
                // The kernel's queue is not what is tried here.
                if !socket.is_ok_and(is_sent) || sent.is_multiple_of(100) {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            sent
        });
        let thread = Some(thread);
        Self { stop, thread }
    }

    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it runs");
        thread.join().expect("it only sends")
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn options(number: u64, body: usize) -> String {
    format!(
        "OPTIONS sip:carol@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9:5060;branch=z9hG4bK{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@y>;tag=1\r\nTo: <sip:carol@127.0.0.1>\r\nCall-ID: {number}\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: {body}\r\n\r\n{}",
        "z".repeat(body)
    )
}

fn traffic(state: &Snapshot) -> Traffic {
    state.tenants[0].traffic.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_takes_no_memory_and_nothing_from_a_call_and_its_registrar() {
    let (_switchboard, proxy) = switchboard().await;
    let at = free_addr();
    let alice = account("sip:alice@alpha.test", proxy, |settings| {
        settings.bind = Some(at.to_string());
    });
    let mut house = House::start(vec![tenant("Alpha", vec![alice])], tone()).await;
    house.until_registered(1).await;
    let echo = house.dial("alice", "echo").await;
    house.until_state(echo, CallState::Connected).await;
    let flood = Flood::of("127.0.0.9", at, |i| options(i, 8_000));
    let begun = Instant::now();
    house
        .until("it is limited and told", |s| {
            let traffic = traffic(s);
            (traffic.limited > 5_000).then_some(traffic)
        })
        .await;
    // Requests of ours and their answers go through all the while: each is a round trip.
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        house.engine.send(Command::SendOptions {
            account: house.id_of("alice"),
            target: "sip:alpha.test".into(),
        });
        asked += 1;
        house
            .until_event("the registrar's answer", |event| match event {
                model::Event::OptionsAnswered { status, .. } if status.is_some() => Some(()),
                _ => None,
            })
            .await;
        house.seen.clear();
    }
    let heard = house.until_heard(echo, 0).await;
    house.until_heard(echo, heard + 50).await;
    let sent = flood.end();
    let state = house.engine.snapshot();
    let told = traffic(&state);
    assert!(sent > 10_000 && asked > 3, "{sent} {asked}");
    assert_eq!(told.sources[0].address, "127.0.0.9");
    assert!(told.sources[0].dropped > 5_000, "{told:?}");
    // A stranger is let in 1,000 times and 200 times a second, and large datagrams count for more.
    let let_in = told.strangers;
    assert!(let_in < 1_000 + 200 * 30, "{told:?}");
    assert!(told.unanswered > 0, "{told:?}");
    let answers = messages(&state, true, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.9");
    assert!(answers <= 20 + 10 * 30, "{answers}");
    house.end(echo);
    house.until_state(echo, CallState::Ended).await;
    let leaving = Instant::now();
    house.close().await;
    assert!(leaving.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_gets_through_a_flood_from_thousands_of_forged_addresses() {
    let (mut house, at) = carol(tone()).await;
    let flood = Flood::from_everywhere(at);
    house
        .until("it is limited and told", |s| {
            (traffic(s).limited > 2_000).then_some(())
        })
        .await;
    let caller = Peer::bind_at("127.201.7.9").await;
    let invite = caller.says("INVITE", 1, None, SDP);
    // RFC 3261 §17.1.1.2: the waits of Timer A until Timer B ends it.
    let mut rings = false;
    for wait_ms in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 500] {
        caller.send(at, &invite).await;
        let answer = tokio::time::timeout(Duration::from_millis(wait_ms), caller.octets()).await;
        rings = matches!(answer, Ok(Some(_)));
        if rings {
            break;
        }
    }
    assert!(rings, "{:?}", traffic(&house.engine.snapshot()));
    house.until_ringing().await;
    flood.end();
    house.close().await;
}

#[tokio::test]
async fn what_is_dropped_is_counted_and_keepalives_are_not() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, "\r\n\r\n").await;
    dan.send(at, "\0\0\0\0").await;
    dan.send(at, "GET / HTTP/1.1\r\n\r\n").await;
    dan.send(
        at,
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n",
    )
    .await;
    dan.send(at, &dan.says("BYE", 9, Some("none-of-ours"), ""))
        .await;
    dan.final_response().await;
    let traffic = house
        .until("it is told", |s| {
            let traffic = traffic(s);
            (traffic.strangers > 0).then_some(traffic)
        })
        .await;
    assert_eq!(
        (traffic.garbage, traffic.stray_responses, traffic.strangers),
        (1, 1, 1)
    );
    house.close().await;
}

#[tokio::test]
async fn an_invite_that_comes_by_two_ways_rings_once() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let first = dan.says("INVITE", 1, None, SDP);
    let second = first.replace("z9hG4bK-INVITE-1", "z9hG4bK-by-another-way");
    dan.send(at, &first).await;
    let call = house.until_ringing().await;
    for _ in 0..2 {
        dan.send(at, &second).await;
        let refusal = dan.final_response().await;
        assert_eq!(
            refusal.status,
            StatusCode::LOOP_DETECTED,
            "RFC 3261 §8.2.2.2"
        );
    }
    // The next INVITE of the same dialog identifiers is a new one.
    let state = house.engine.snapshot();
    assert_eq!((state.calls.len(), state.calls[0].id), (1, call));
    house.engine.send(Command::AnswerCall { call });
    let answered = dan.final_response().await;
    assert_eq!(answered.status, StatusCode::OK);
    dan.send(at, &dan.says("ACK", 1, Some(&to_tag(&answered)), ""))
        .await;
    house.until_state(call, CallState::Connected).await;
    dan.send(at, &second.replace("by-another-way", "by-a-third"))
        .await;
    assert_eq!(dan.final_response().await.status, StatusCode::LOOP_DETECTED);
    assert_eq!(house.engine.snapshot().calls.len(), 1);
    house
        .until("it is counted", |s| (traffic(s).merged == 2).then_some(()))
        .await;
    house.close().await;
}

#[tokio::test]
async fn answers_go_where_the_via_says_unless_the_source_port_was_asked_for() {
    let (house, at) = carol(tone()).await;
    let (dan, listens) = (Peer::bind().await, Peer::bind().await);
    let asks = |cseq: u32, rport: &str| {
        dan.says("OPTIONS", cseq, None, "")
            .replace(
                &format!("UDP {};branch", dan.local),
                &format!("UDP {};branch", listens.local),
            )
            .replace(";rport\r\n", &format!("{rport}\r\n"))
    };
    dan.send(at, &asks(1, "")).await;
    assert_eq!(
        listens.final_response().await.status,
        StatusCode::OK,
        "RFC 3261 §18.2.2"
    );
    dan.send(at, &asks(2, ";rport")).await;
    assert_eq!(
        dan.final_response().await.status,
        StatusCode::OK,
        "RFC 3581 §4"
    );
    dan.send(at, &asks(3, ";maddr=127.0.0.77")).await;
    listens.final_response().await;
    // So do those of a call.
    let invite = dan
        .says("INVITE", 4, None, SDP)
        .replace(
            &format!("UDP {};branch", dan.local),
            &format!("UDP {};branch", listens.local),
        )
        .replace(";rport\r\n", "\r\n");
    dan.send(at, &invite).await;
    let Some((Message::Response(ringing), _)) = listens.receive().await else {
        panic!("no answer where the Via says")
    };
    assert!(!ringing.status.is_final());
    let cseq = ringing.headers.get(HeaderName::CSeq).unwrap_or_default();
    assert!(cseq.contains(Method::Invite.as_str()), "{cseq}");
    house.close().await;
}

#[tokio::test]
async fn connections_without_end_make_few_notes_and_are_counted() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("OPTIONS", 1, None, "")).await;
    dan.final_response().await;
    for _ in 0..300 {
        let mut stream = tokio::net::TcpStream::connect(at)
            .await
            .expect("it listens");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect("it can be written");
        // Closed by the other side, as this is no SIP.
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    }
    house
        .until("it is counted", |s| {
            (traffic(s).garbage >= 300).then_some(())
        })
        .await;
    let state = house.engine.snapshot();
    let written = notes(&state, "127.0.0.1:");
    assert!((1..=60).contains(&written), "{written} notes");
    house.close().await;
}

#[tokio::test]
async fn more_calls_than_can_be_remembered_are_refused_and_not_begun_twice() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    // Whom we call is known, so that each of its calls has an answer.
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    dan.send(from, &answer(&invite, "486 Busy Here", "", ""))
        .await;
    house.until_state(call, CallState::Ended).await;
    // One source may have so many requests remembered.
    let remembered = 2_048;
    let mut refused = 0;
    for call in 0..remembered + 20 {
        let id = format!("many-{call}@");
        let invite = dan
            .says("INVITE", 1, None, SDP)
            .replace("c1@", &id)
            .replace("z9hG4bK-INVITE-1", &format!("z9hG4bK-many-{call}"));
        dan.send(at, &invite).await;
        loop {
            let (message, _) = dan.receive().await.expect("every call is answered at once");
            let Message::Response(response) = message else {
                continue;
            };
            let call_id = response.headers.get(HeaderName::CallId).unwrap_or_default();
            if call_id.starts_with(&id) {
                let unavailable = response.status == StatusCode::SERVICE_UNAVAILABLE;
                assert_eq!(response.headers.has(HeaderName::RetryAfter), unavailable);
                refused += usize::from(unavailable);
                break;
            }
        }
    }
    assert_eq!(refused, 20);
    house
        .until("it is counted", |s| {
            (traffic(s).overloaded == 20).then_some(())
        })
        .await;
    // Somebody else can call, as soon as a phone is free to ring.
    let ringing = house.until_ringing().await;
    house.engine.send(Command::RejectCall {
        call: ringing,
        code: Some(486),
    });
    house.until_state(ringing, CallState::Ended).await;
    let eve = Peer::bind_at("127.0.0.5").await;
    eve.send(at, &eve.says("INVITE", 1, None, SDP)).await;
    let Some((Message::Response(response), _)) = eve.receive().await else {
        panic!("no answer")
    };
    assert!(!response.status.is_final(), "{}", response.status.code());
    house.close().await;
}
