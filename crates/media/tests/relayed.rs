//! A stream whose media goes through a relay (RFC 8656), mostly without ICE.

mod common;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, HERE, parameters};
use media::{Place, Sink, Source, StreamConfig, StreamEvent, StreamHandle, StreamParameters};
use nat::ice::{self, Agent, Base, Component, Credentials, Session, Way};
use nat::turn::{Client, Config, Output, Refusal};

const SECOND: Duration = Duration::from_secs(1);

/// A relay that asks nobody who they are. What it carries on is kept.
struct Relay {
    socket: UdpSocket,
    client: Option<SocketAddr>,
    channels: HashMap<u16, SocketAddr>,
    permitted: Vec<IpAddr>,
    carried: Vec<SocketAddr>,
    /// The same of STUN, with what it says.
    asked: Vec<(SocketAddr, Vec<u8>)>,
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// An address as XOR-…-ADDRESS has it (RFC 8489 §14.2), and back again.
fn mixed(bytes: [u8; 6]) -> [u8; 6] {
    let with = [
        COOKIE[0], COOKIE[1], COOKIE[0], COOKIE[1], COOKIE[2], COOKIE[3],
    ];
    std::array::from_fn(|n| bytes[n] ^ with[n])
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    let mut bytes = [kind.to_be_bytes(), length.to_be_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn address(kind: u16, at: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = at.ip() else {
        panic!("IPv4 here")
    };
    let [high, low] = at.port().to_be_bytes();
    let [a, b, c, d] = ip.octets();
    let value = [&[0, 1][..], &mixed([high, low, a, b, c, d])].concat();
    attribute(kind, &value)
}

fn message(kind: u16, id: &[u8], attributes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(attributes.len()).unwrap();
    let head = [kind.to_be_bytes(), length.to_be_bytes()].concat();
    [&head, &COOKIE[..], id, attributes].concat()
}

fn value(request: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = request.get(20..)?;
    while rest.len() >= 4 {
        let kind = u16::from_be_bytes([rest[0], rest[1]]);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if kind == wanted {
            return rest.get(4..4 + length);
        }
        rest = rest.get((4 + length).next_multiple_of(4)..)?;
    }
    None
}

fn peer(request: &[u8]) -> SocketAddr {
    let bytes = value(request, 0x0012).unwrap()[2..8].try_into().unwrap();
    let [high, low, a, b, c, d] = mixed(bytes);
    SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
}

impl Relay {
    fn open() -> Self {
        let socket = UdpSocket::bind((HERE, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            client: None,
            channels: HashMap::new(),
            permitted: Vec::new(),
            carried: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn at(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn step(&mut self) {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let request = &buffer[..length];
            self.client = Some(from);
            let kind = u16::from_be_bytes([request[0], request[1]]);
            let lifetime = attribute(0x000d, &600u32.to_be_bytes());
            let attributes = match kind {
                0x0003 => [
                    address(0x0016, "127.0.0.1:50000".parse().unwrap()),
                    lifetime,
                ]
                .concat(),
                0x0004 => lifetime,
                0x0008 => {
                    self.permitted.push(peer(request).ip());
                    Vec::new()
                }
                0x0009 => {
                    let number = value(request, 0x000c).unwrap();
                    let number = u16::from_be_bytes([number[0], number[1]]);
                    self.channels.insert(number, peer(request));
                    self.permitted.push(peer(request).ip());
                    Vec::new()
                }
                0x4000..=0x4fff => {
                    if let Some(to) = self.channels.get(&kind).copied() {
                        self.carry(to, request[4..].to_vec());
                    }
                    continue;
                }
                0x0016 => {
                    let to = peer(request);
                    if self.permitted.contains(&to.ip()) {
                        self.carry(to, value(request, 0x0013).unwrap().to_vec());
                    }
                    continue;
                }
                _ => continue,
            };
            let answer = message(kind | 0x0100, &request[8..20], &attributes);
            self.socket.send_to(&answer, from).unwrap();
        }
    }

    fn carry(&mut self, to: SocketAddr, payload: Vec<u8>) {
        if nat::stun::is_stun(&payload) {
            self.asked.push((to, payload));
        } else {
            self.carried.push(to);
        }
    }

    /// A peer has sent this to the address at the relay. Of those that were not permitted nothing is carried (§9).
    fn deliver(&self, from: SocketAddr, payload: &[u8]) {
        let (Some(client), true) = (self.client, self.permitted.contains(&from.ip())) else {
            return;
        };
        let channel = self.channels.iter().find(|(_, peer)| **peer == from);
        let datagram = match channel {
            Some((number, _)) => {
                let length = u16::try_from(payload.len()).unwrap();
                let head = [number.to_be_bytes(), length.to_be_bytes()].concat();
                [&head, payload].concat()
            }
            None => {
                let attributes = [address(0x0012, from), attribute(0x0013, payload)].concat();
                message(0x0017, &[7; 12], &attributes)
            }
        };
        self.socket.send_to(&datagram, client).unwrap();
    }
}

/// A socket with its address at the relay.
fn place(bench: &Bench, relay: &mut Relay) -> Place {
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    socket.set_read_timeout(Some(SECOND)).unwrap();
    let config = Config {
        server: relay.at(),
        reliable: false,
        ipv6: false,
        login: None,
        seed: [7; 16],
    };
    let mut client = Client::new(bench.now, config);
    let mut buffer = [0; 2_048];
    while client.allocation().is_none() {
        if let Output::Transmit(datagram) = client.poll_output() {
            socket.send_to(&datagram, relay.at()).unwrap();
            relay.step();
            let (length, _) = socket.recv_from(&mut buffer).unwrap();
            client.handle_datagram(bench.now, &buffer[..length]);
        }
    }
    Place {
        socket,
        rtcp_socket: None,
        relay: Some(client),
        rtcp_relay: None,
    }
}

fn stream(bench: &mut Bench, relay: &mut Relay, parameters: StreamParameters) -> StreamHandle {
    let place = place(bench, relay);
    let mut config = StreamConfig::new(place.socket, parameters, 7);
    config.relay = place.relay;
    (config.source, config.sink) = (Source::Silence, Sink::Discard);
    bench.handle.add_stream(config).unwrap()
}

/// Speech of a peer, 20 ms of it in each packet.
fn speech(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.resize(172, 0xff);
    packet
}

/// RFC 8656 §9: a relay carries nothing of whom it was not told. A peer behind a router tells an address of its own house, and
/// its media comes from where its signalling does.
#[test]
fn a_peer_behind_a_router_is_heard_through_the_relay_and_answered_there() {
    let mut bench = Bench::new();
    let mut relay = Relay::open();
    let signals: IpAddr = "198.51.100.7".parse().unwrap();
    let parameters = StreamParameters {
        remote: Some("10.9.8.7:4000".parse().unwrap()),
        signalling: Some(signals),
        ..parameters(CodecKind::Pcmu)
    };
    let stream = stream(&mut bench, &mut relay, parameters);
    let from = SocketAddr::new(signals, 61_234);
    for tick in 0..600u16 {
        bench.step();
        relay.step();
        if tick % 2 == 0 {
            relay.deliver(from, &speech(tick / 2));
        }
    }
    let received = stream.counters().received();
    assert!(received > 280, "{received} packets of 300 were heard");
    assert_eq!(stream.counters().target(), Some(from));
    let back = relay.carried.iter().filter(|peer| **peer == from).count();
    assert!(back > 200, "{back} packets were carried back");
    // It is permitted for no longer than five minutes at once.
    let permitted = |relay: &Relay| relay.permitted.iter().filter(|ip| **ip == signals).count();
    let before = permitted(&relay);
    for _ in 0..25_000 {
        bench.step();
        relay.step();
    }
    assert!(permitted(&relay) > before);
}

/// Whoever wants a relay may want that the peer does not see where they are: without it nothing goes there before that is
/// agreed on.
#[test]
fn what_was_to_go_through_a_relay_does_not_go_past_it_when_that_is_lost() {
    let mut bench = Bench::new();
    let mut relay = Relay::open();
    let peer = UdpSocket::bind((HERE, 0)).unwrap();
    peer.set_nonblocking(true).unwrap();
    let parameters = StreamParameters {
        remote: Some(peer.local_addr().unwrap()),
        ..parameters(CodecKind::Pcmu)
    };
    let stream = stream(&mut bench, &mut relay, parameters);
    let mut run = |relay: &mut Relay, time: Duration| {
        for _ in 0..time.as_millis() / 10 {
            bench.step();
            relay.step();
        }
        let mut past = 0;
        while peer.recv_from(&mut [0; 2_048]).is_ok() {
            past += 1;
        }
        (std::mem::take(&mut relay.carried).len(), past)
    };
    let lost = |stream: &StreamHandle| {
        let mut events = std::iter::from_fn(|| stream.poll_event());
        events.find(|event| matches!(event, StreamEvent::RelayLost(..)))
    };
    let (carried, past) = run(&mut relay, 2 * SECOND);
    assert!(carried > 90 && past == 0, "{carried} {past}");
    // That of another relay is nothing to this one.
    stream.relay_ended(0, "127.0.0.1:9".parse().unwrap());
    let (carried, past) = run(&mut relay, SECOND);
    assert!(carried > 45 && past == 0, "{carried} {past}");
    assert_eq!(lost(&stream), None);
    stream.relay_ended(0, relay.at());
    run(&mut relay, Duration::from_millis(40));
    assert_eq!(
        lost(&stream),
        Some(StreamEvent::RelayLost(0, Refusal::Ended))
    );
    assert_eq!(run(&mut relay, 2 * SECOND), (0, 0));
    // Other sockets without one are what was agreed on then.
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    let direct = Place {
        socket,
        rtcp_socket: None,
        relay: None,
        rtcp_relay: None,
    };
    stream.move_to(direct, Vec::new()).unwrap();
    let (carried, past) = run(&mut relay, 2 * SECOND);
    assert!(carried == 0 && past > 90, "{carried} {past}");
}

/// A stream that goes on with another relay is heard through that at once.
#[test]
fn another_relay_carries_to_the_same_peer() {
    let mut bench = Bench::new();
    let (mut first, mut second) = (Relay::open(), Relay::open());
    let to: SocketAddr = "198.51.100.7:4000".parse().unwrap();
    let parameters = StreamParameters {
        remote: Some(to),
        ..parameters(CodecKind::Pcmu)
    };
    let stream = stream(&mut bench, &mut first, parameters);
    for _ in 0..100 {
        bench.step();
        first.step();
    }
    stream.relay_ended(0, first.at());
    let other = place(&bench, &mut second);
    stream.move_to(other, Vec::new()).unwrap();
    first.carried.clear();
    for _ in 0..100 {
        bench.step();
        second.step();
    }
    first.step();
    let carried = second.carried.len();
    assert!(carried > 45, "{carried}");
    assert!(second.carried.iter().all(|peer| *peer == to));
}

/// RFC 8656 §9, §11, §12: a machine with containers and tunnels has more addresses than there are channels. Only the last can
/// be reached, and only through the relay; media goes there by a channel.
#[test]
fn of_more_candidates_than_channels_the_last_is_found_through_the_relay() {
    let mut bench = Bench::new();
    let mut relay = Relay::open();
    let relayed: SocketAddr = "127.0.0.1:50000".parse().unwrap();
    let places: Vec<SocketAddr> = (1..=24)
        .map(|n| SocketAddr::from(([127, 8, 15, n], 9)))
        .collect();
    let candidates: Vec<String> = (0..)
        .zip(&places)
        .map(|(n, at)| {
            let priority = 2_130_706_431 - n * 256;
            format!("{n} 1 udp {priority} {} {} typ host", at.ip(), at.port())
        })
        .collect();
    let last = *places.last().unwrap();
    let [one, other] = ["ours", "theirs"].map(|side| Credentials {
        ufrag: side.to_owned(),
        pwd: format!("a-password-of-22-signs-{side}"),
    });
    let place = place(&bench, &mut relay);
    let base = |at: SocketAddr, relayed: Option<SocketAddr>| Base {
        socket: 0,
        component: Component::Media,
        at,
        mapped: None,
        relayed,
    };
    let ours = Session {
        local: one.clone(),
        remote: other.clone(),
        bases: vec![base(place.socket.local_addr().unwrap(), Some(relayed))],
        candidates,
        controlling: true,
    };
    let theirs = Session {
        local: other,
        remote: one,
        bases: vec![base(last, None)],
        candidates: vec!["1 1 udp 16777215 127.0.0.1 50000 typ relay".to_owned()],
        controlling: false,
    };
    let parameters = StreamParameters {
        remote: places.first().copied(),
        rtcp_mux: true,
        ice: Some(ours),
        ..parameters(CodecKind::Pcmu)
    };
    let mut config = StreamConfig::new(place.socket, parameters, 7);
    config.relay = place.relay;
    (config.source, config.sink) = (Source::Silence, Sink::Discard);
    let stream = bench.handle.add_stream(config).unwrap();
    let mut peer = Agent::new(bench.now, &theirs);
    let way = Way {
        to: relayed,
        socket: 0,
        relayed: false,
    };
    let mut first = None;
    for tick in 0..1_500 {
        bench.step();
        relay.step();
        for (_, question) in std::mem::take(&mut relay.asked)
            .into_iter()
            .filter(|(to, _)| *to == last)
        {
            peer.handle_datagram(bench.now, &question, way);
        }
        peer.handle_timeout(bench.now);
        loop {
            match peer.poll_output() {
                ice::Output::Transmit { datagram, .. } => relay.deliver(last, &datagram),
                ice::Output::Event(_) => {}
                ice::Output::Deadline(_) => break,
            }
        }
        if first.is_none() && relay.carried.contains(&last) {
            first = Some(tick * 10);
        }
    }
    let found = std::iter::from_fn(|| stream.poll_event())
        .find(|event| matches!(event, StreamEvent::WayFound(_)));
    println!("media got there after {first:?} ms");
    let to = Way {
        to: last,
        socket: 0,
        relayed: true,
    };
    assert_eq!(found, Some(StreamEvent::WayFound(Some(to))));
    let carried = relay.carried.iter().filter(|to| **to == last).count();
    assert!(carried > 400, "{carried} packets got there");
    assert_eq!(carried, relay.carried.len());
    assert!(relay.channels.len() > 16 && relay.channels.values().any(|to| *to == last));
}
