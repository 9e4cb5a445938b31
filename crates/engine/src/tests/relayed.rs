//! Media through a relay behind a stream (RFC 8656 §3.1), which ends in the middle of the call, or has things to carry that are
//! too long.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use model::CallState;
use sip_message::{Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::house::tone;
use super::peer::{Peer, SDP, answer, carol_with};
use crate::relay::{Asking, Carrier, Server, ask};
use crate::transport::{Naming, Resolver};

/// Answers of a relay that asks nobody who they are: this port of 127.0.0.1 is the address there.
fn answered(request: &[u8], port: u16) -> Vec<u8> {
    let kind = u16::from_be_bytes([request[0], request[1]]) | 0x0100;
    let mut attributes = Vec::new();
    if kind == 0x0103 {
        attributes.extend([0x00, 0x16, 0, 8, 0, 1]);
        attributes.extend((port ^ 0x2112).to_be_bytes());
        let ip = u32::from_be_bytes([127, 0, 0, 1]) ^ 0x2112_a442;
        attributes.extend(ip.to_be_bytes());
    }
    attributes.extend([0x00, 0x0d, 0, 4, 0, 0, 2, 88]);
    let mut answer = kind.to_be_bytes().to_vec();
    answer.extend((attributes.len() as u16).to_be_bytes());
    answer.extend(&request[4..20]);
    answer.extend(attributes);
    answer
}

/// Answers whatever is asked on this stream, until it is to end.
async fn serve(mut stream: TcpStream, port: u16, mut end: mpsc::Receiver<()>) {
    let mut waiting = Vec::new();
    let mut buffer = [0; 2_048];
    loop {
        let length = tokio::select! {
            _ = end.recv() => return,
            read = stream.read(&mut buffer) => match read {
                Ok(length @ 1..) => length,
                _ => return,
            },
        };
        waiting.extend(&buffer[..length]);
        while waiting.len() >= 4 {
            let rest = usize::from(u16::from_be_bytes([waiting[2], waiting[3]]));
            let is_stun = waiting[0] < 0x40;
            let whole = if is_stun { rest + 20 } else { rest + 4 };
            let whole = whole.next_multiple_of(4);
            if waiting.len() < whole {
                break;
            }
            let message: Vec<u8> = waiting.drain(..whole).collect();
            // Not what asks for nothing: indications.
            if is_stun && message[0] == 0 && message[1] & 0x10 == 0 {
                let said = stream.write_all(&answered(&message, port)).await;
                assert!(said.is_ok());
            }
        }
    }
}

/// Where the media of a description is wanted.
fn place(request: &Request) -> SocketAddr {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let after = |name: &str| {
        let line = body.lines().find_map(|line| line.strip_prefix(name));
        let words = line.unwrap_or_default().split_whitespace();
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let (ip, port) = (after("c=IN IP4 "), after("m=audio "));
    format!("{}:{}", ip[0], port[0]).parse().expect("a place")
}

/// RFC 8656 §3.1: a relay behind a stream is gone with the stream. Another address is asked for at once, and the peer told.
#[tokio::test]
async fn a_call_whose_relay_goes_away_goes_on_through_another_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let (ends, mut streams) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for port in 50_000_u16.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let (end, ended) = mpsc::channel(1);
            let _ = ends.send(end);
            tokio::spawn(serve(stream, port, ended));
        }
    });
    let with = |account: &mut model::AccountSettings| {
        account.turn = Some(format!("turn:{at}?transport=tcp").into());
    };
    let (mut house, _) = carol_with(tone(), with).await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    let first = place(&invite);
    assert!(first.port() >= 50_000, "it is told at the relay: {first}");
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        dan.local
    );
    dan.send(from, &answer(&invite, "200 OK", &contact, SDP))
        .await;
    house.until_state(call, CallState::Connected).await;
    // Every stream to the relay ends.
    let begun = std::time::Instant::now();
    while let Ok(end) = streams.try_recv() {
        let _ = end.send(()).await;
    }
    let (again, from) = dan.request(Method::Invite).await;
    let second = place(&again);
    println!("from {first} to {second} after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(second.port() >= 50_000 && second != first, "{second}");
    dan.send(from, &answer(&again, "200 OK", &contact, SDP))
        .await;
    house.until_notes("the relay is lost to our media", 1).await;
    house
        .until("it is told", |s| {
            let said = |n: &model::Notice| n.text.reveal().contains("another one is asked for");
            s.notices.iter().any(said).then_some(())
        })
        .await;
    assert_eq!(house.call(call).state, CallState::Connected);
    house.end(call);
    let (bye, from) = dan.request(Method::Bye).await;
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    house.close().await;
}

/// RFC 8656 §12.5: what is too long for media is passed over, and what comes after it is not.
#[tokio::test]
async fn one_long_datagram_of_a_peer_does_not_cost_the_relay() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a stream");
        let mut buffer = [0; 2_048];
        let length = stream.read(&mut buffer).await.expect("a question");
        let answer = answered(&buffer[..length], 50_000);
        stream.write_all(&answer).await.expect("it is there");
        tokio::time::sleep(Duration::from_millis(200)).await;
        for length in [3_000_u16, 160] {
            let mut data = vec![0x40, 0x00];
            data.extend(length.to_be_bytes());
            data.resize(usize::from(length) + 4, 0x80);
            stream.write_all(&data).await.expect("it is there");
        }
        let read = stream.read(&mut buffer);
        let read = tokio::time::timeout(Duration::from_secs(1), read).await;
        !matches!(read, Ok(Ok(0) | Err(_)))
    });
    let media = UdpSocket::bind("127.0.0.1:0").expect("a port");
    media.set_nonblocking(true).expect("it can be");
    let asking = Asking {
        server: Server {
            place: crate::mapped::place(&at.to_string()).expect("a place"),
            secure: false,
            carrier: Some(Carrier::Tcp),
        },
        login: None,
        tls: None,
    };
    let resolver = Resolver::new(&Naming::default(), &sip_core::Seed::from_number(1));
    let asked = ask(&media, asking, &resolver).await;
    let (_client, bridge) = asked
        .map_err(|why| why.to_string())
        .expect("a relay")
        .take();
    assert!(server.await.expect("it ends"), "the stream was closed");
    let mut buffer = [0; 4_096];
    let came = std::iter::from_fn(|| media.recv_from(&mut buffer).ok().map(|(length, _)| length));
    assert!(came.collect::<Vec<_>>().contains(&164));
    // The server has gone now, and that is known.
    let ended = bridge.expect("it is behind a stream").ended();
    let told = tokio::time::timeout(Duration::from_secs(2), ended).await;
    assert!(told.is_ok());
}
