//! Media through a relay behind a stream (RFC 8656 §3.1), which ends in the middle of the call, or has things to carry that are
//! too long.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
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

/// Where the addresses are that the relay gives.
pub(super) const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);
const COOKIE: u32 = 0x2112_a442;

/// XOR-PEER-ADDRESS and those like it (RFC 8489 §14.2).
fn mixed(kind: u16, at: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = at.ip() else {
        panic!("this relay is for IPv4");
    };
    let mut attribute = kind.to_be_bytes().to_vec();
    attribute.extend([0, 8, 0, 1]);
    attribute.extend((at.port() ^ 0x2112).to_be_bytes());
    attribute.extend((ip.to_bits() ^ COOKIE).to_be_bytes());
    attribute
}

/// What an attribute of a message holds.
fn value(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(20..)?;
    loop {
        let kind = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
        let length = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
        if kind == wanted {
            return rest.get(4..4 + length);
        }
        rest = rest.get((4 + length).next_multiple_of(4)..)?;
    }
}

/// The peer that a message is about.
fn peer(message: &[u8]) -> Option<SocketAddr> {
    let value = value(message, 0x0012)?;
    let port = u16::from_be_bytes([value[2], value[3]]) ^ 0x2112;
    let ip = u32::from_be_bytes([value[4], value[5], value[6], value[7]]) ^ COOKIE;
    Some(SocketAddr::from((Ipv4Addr::from_bits(ip), port)))
}

/// The answer of a relay that asks nobody who they are, and gives this address.
fn answered(request: &[u8], gives: SocketAddr) -> Vec<u8> {
    let kind = u16::from_be_bytes([request[0], request[1]]) | 0x0100;
    let mut attributes = Vec::new();
    if kind == 0x0103 {
        attributes.extend(mixed(0x0016, gives));
    }
    attributes.extend([0x00, 0x0d, 0, 4, 0, 0, 2, 88]);
    let mut answer = kind.to_be_bytes().to_vec();
    answer.extend((attributes.len() as u16).to_be_bytes());
    answer.extend(&request[4..20]);
    answer.extend(attributes);
    answer
}

/// A relay behind streams (RFC 8656 §3.1) that gives each an address of its own, and carries.
pub(super) struct Relay {
    pub(super) at: SocketAddr,
    streams: mpsc::UnboundedReceiver<mpsc::Sender<()>>,
}

impl Relay {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let (ends, streams) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (end, ended) = mpsc::channel(1);
                let _ = ends.send(end);
                tokio::spawn(serve(stream, ended));
            }
        });
        Self { at, streams }
    }

    /// Ends every stream that there is.
    pub(super) async fn end(&mut self) {
        while let Ok(end) = self.streams.try_recv() {
            let _ = end.send(()).await;
        }
    }
}

/// Serves this stream, until it is to end.
async fn serve(mut stream: TcpStream, mut end: mpsc::Receiver<()>) {
    let there = tokio::net::UdpSocket::bind((THERE, 0))
        .await
        .expect("a port");
    let gives = there.local_addr().expect("an address");
    let mut channels: Vec<([u8; 2], SocketAddr)> = Vec::new();
    let mut waiting = Vec::new();
    let (mut buffer, mut came) = ([0; 2_048], [0; 2_048]);
    loop {
        let length = tokio::select! {
            _ = end.recv() => return,
            read = stream.read(&mut buffer) => match read {
                Ok(length @ 1..) => length,
                _ => return,
            },
            Ok((length, from)) = there.recv_from(&mut came) => {
                let channel = channels.iter().find(|(_, peer)| *peer == from);
                let data = &came[..length];
                let carried = match channel {
                    Some((number, _)) => [&number[..], &(length as u16).to_be_bytes(), data].concat(),
                    None => {
                        let mut attributes = mixed(0x0012, from);
                        attributes.extend([0x00, 0x13]);
                        attributes.extend((length as u16).to_be_bytes());
                        attributes.extend(data);
                        attributes.resize(attributes.len().next_multiple_of(4), 0);
                        let mut message = vec![0x00, 0x17];
                        message.extend((attributes.len() as u16).to_be_bytes());
                        message.extend(COOKIE.to_be_bytes());
                        message.extend([7; 12]);
                        message.extend(attributes);
                        message
                    }
                };
                let mut carried = carried;
                carried.resize(carried.len().next_multiple_of(4), 0);
                let _ = stream.write_all(&carried).await;
                continue;
            }
        };
        waiting.extend(&buffer[..length]);
        while waiting.len() >= 4 {
            let rest = usize::from(u16::from_be_bytes([waiting[2], waiting[3]]));
            let is_stun = waiting[0] < 0x40;
            let whole = if is_stun { rest + 20 } else { rest + 4 };
            let padded = whole.next_multiple_of(4);
            if waiting.len() < padded {
                break;
            }
            let message: Vec<u8> = waiting.drain(..padded).collect();
            let message = &message[..whole];
            if !is_stun {
                let channel = channels
                    .iter()
                    .find(|(number, _)| message.starts_with(number));
                if let Some((_, peer)) = channel {
                    let _ = there.send_to(&message[4..], peer).await;
                }
                continue;
            }
            // Indications ask for nothing.
            if message[..2] == [0x00, 0x16] {
                if let (Some(peer), Some(data)) = (peer(message), value(message, 0x0013)) {
                    let _ = there.send_to(data, peer).await;
                }
                continue;
            }
            if let (Some(number), Some(peer)) = (value(message, 0x000c), peer(message)) {
                channels.push(([number[0], number[1]], peer));
            }
            if message[0] == 0 && message[1] & 0x10 == 0 {
                let said = stream.write_all(&answered(message, gives)).await;
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
    let mut relay = Relay::open().await;
    let at = relay.at;
    let with = |account: &mut model::AccountSettings| {
        account.turn = Some(format!("turn:{at}?transport=tcp").into());
    };
    let (mut house, _) = carol_with(tone(), with).await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    let first = place(&invite);
    assert_eq!(first.ip(), THERE, "it is told at the relay");
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        dan.local
    );
    dan.send(from, &answer(&invite, "200 OK", &contact, SDP))
        .await;
    house.until_state(call, CallState::Connected).await;
    // Every stream to the relay ends.
    let begun = std::time::Instant::now();
    relay.end().await;
    let (again, from) = dan.request(Method::Invite).await;
    let second = place(&again);
    println!("from {first} to {second} after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(second.ip() == THERE && second != first, "{second}");
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

/// The same where it goes while the far end rings and is heard (RFC 3960 §3.1), and again while the peer is told of the next.
#[tokio::test]
async fn a_relay_that_goes_away_at_a_bad_moment_is_replaced_as_well() {
    let mut relay = Relay::open().await;
    let at = relay.at;
    let with = |account: &mut model::AccountSettings| {
        account.turn = Some(format!("turn:{at}?transport=tcp").into());
    };
    let (mut house, _) = carol_with(tone(), with).await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    let first = place(&invite);
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        dan.local
    );
    let ringing = answer(&invite, "183 Session Progress", &contact, SDP);
    dan.send(from, &ringing).await;
    house.until_state(call, CallState::Early).await;
    relay.end().await;
    house.until_notes("the relay is lost to our media", 1).await;
    dan.send(from, &answer(&invite, "200 OK", &contact, SDP))
        .await;
    let (second, _) = next_change(&dan, 0).await;
    let number = second.headers.cseq().expect("a CSeq").number;
    assert!(place(&second).ip() == THERE && place(&second) != first);
    // Before the peer has agreed to it.
    relay.end().await;
    house.until_notes("the relay is lost to our media", 3).await;
    dan.send(from, &answer(&second, "200 OK", &contact, SDP))
        .await;
    let (third, _) = next_change(&dan, number).await;
    assert!(place(&third).ip() == THERE && place(&third) != place(&second));
    dan.send(from, &answer(&third, "200 OK", &contact, SDP))
        .await;
    house
        .until_notes("the call goes on from the new address", 2)
        .await;
    assert_eq!(house.call(call).state, CallState::Connected);
    house.close().await;
}

/// The next INVITE with a higher number than this.
async fn next_change(dan: &Peer, number: u32) -> (Request, SocketAddr) {
    loop {
        let (invite, from) = dan.request(Method::Invite).await;
        let is_inside = invite.headers.to().is_ok_and(|to| to.tag().is_some());
        if is_inside && invite.headers.cseq().expect("a CSeq").number > number {
            return (invite, from);
        }
    }
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
        let answer = answered(&buffer[..length], SocketAddr::from((THERE, 50_000)));
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
