//! What strangers send to a media port, and much of it: calls go on, and nobody's handshakes and questions wait for it.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, HERE, parameters};
use dtls::{Certificate, Peer, Role};
use media::{Dtls, Sink, Source, StreamEvent, StreamHandle, StreamParameters};
use nat::ice::{Base, Component, Credentials, Session};
use nat::stun::{self, Binding, TransactionId};
use nat::turn::{Client, Config, Output};

const SECOND: Duration = Duration::from_secs(1);

fn call(bench: &mut Bench, parameters: &StreamParameters) -> [StreamHandle; 2] {
    let silence = || (Source::Silence, Sink::Discard);
    bench.pair(parameters, silence(), silence()).into()
}

/// Where the first call's stream of this side takes media.
fn port(bench: &Bench, side: usize) -> SocketAddr {
    bench.wires[1 - side].to
}

/// Each side looks for the other, the first of them controlling; answers what they were told. What they announce is not where they are found: that
/// another place than the announced one is the way is the usual thing.
fn search(
    bench: &Bench,
    call: usize,
    streams: &[StreamHandle; 2],
    parameters: &StreamParameters,
) -> [StreamParameters; 2] {
    let credentials = |side: usize| Credentials {
        ufrag: format!("side{side}"),
        pwd: format!("a-password-of-22-signs-{side}"),
    };
    let nobody = UdpSocket::bind((HERE, 0)).unwrap();
    let told = [0, 1].map(|side| {
        let at = bench.wires[2 * call + side].address();
        let candidate = format!("1 1 udp 2130706431 {} {} typ host", at.ip(), at.port());
        let session = Session {
            local: credentials(side),
            remote: credentials(1 - side),
            bases: vec![Base {
                socket: 0,
                component: Component::Media,
                at: bench.wires[2 * call + 1 - side].to,
                mapped: None,
                relayed: None,
            }],
            candidates: vec![candidate],
            controlling: side == 0,
        };
        StreamParameters {
            remote: Some(nobody.local_addr().unwrap()),
            rtcp_mux: true,
            ice: Some(session),
            ..parameters.clone()
        }
    });
    for (stream, told) in streams.iter().zip(&told) {
        stream.update(told.clone()).unwrap();
    }
    told
}

fn events(stream: &StreamHandle) -> Vec<StreamEvent> {
    std::iter::from_fn(|| stream.poll_event()).collect()
}

fn stranger() -> UdpSocket {
    let stranger = UdpSocket::bind((HERE, 0)).unwrap();
    stranger.set_nonblocking(true).unwrap();
    stranger
}

fn question(number: u8) -> Vec<u8> {
    Binding::Request(TransactionId([number; 12])).to_bytes()
}

/// A question to somebody by name (RFC 8489 §14.3), who is not us.
fn named(name: &str) -> Vec<u8> {
    let mut bytes = question(9);
    bytes.extend([0, 6, 0, name.len() as u8]);
    bytes.extend(name.bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes[3] = (bytes.len() - 20) as u8;
    bytes
}

/// The answers that a socket has got.
fn answers(socket: &UdpSocket) -> usize {
    let mut buffer = [0; 2_048];
    let got = std::iter::from_fn(|| {
        socket.recv_from(&mut buffer).ok().map(|(length, _)| {
            matches!(Binding::read(&buffer[..length]), Some(Binding::Success(..)))
        })
    });
    got.filter(|is_answer| *is_answer).count()
}

/// RFC 7675 §5.1: the peer is asked every five seconds, and nothing is sent after thirty without an answer. Who controls
/// (side 0) and who is controlled are flooded in turn.
#[test]
fn strangers_questions_cost_nobody_the_consent_of_the_peer() {
    for flooded in [0, 1] {
        for (rate, what) in [
            (4, question(1)),
            (
                16,
                Binding::Success(TransactionId([3; 12]), None).to_bytes(),
            ),
            (64, question(1)),
            (64, named("somebody:else")),
            (150, question(1)),
        ] {
            let mut bench = Bench::new();
            let parameters = parameters(CodecKind::Pcmu);
            let streams = call(&mut bench, &parameters);
            let stranger = stranger();
            search(&bench, 0, &streams, &parameters);
            let to = port(&bench, flooded);
            for _ in 0..4_000 {
                for _ in 0..rate {
                    stranger.send_to(&what, to).unwrap();
                }
                bench.step();
            }
            let heard = streams.each_ref().map(|s| s.counters().received());
            println!("side {flooded}, {rate} a step: heard {heard:?} of 2000");
            for stream in &streams {
                let events = events(stream);
                let found = |e: &StreamEvent| matches!(e, StreamEvent::WayFound(Some(_)));
                assert!(events.iter().any(found), "{events:?}");
                assert!(!events.contains(&StreamEvent::WayLost), "{events:?}");
            }
            // The search takes its time, and then all arrives.
            assert!(heard.iter().all(|heard| *heard > 1_950), "{heard:?}");
            assert!(answers(&stranger) <= 4_000 * 4);
        }
    }
}

/// What is no STUN does not push the speech out of the system's buffer either.
#[test]
fn speech_goes_on_through_a_flood() {
    let mut bench = Bench::new();
    let [left, right] = call(&mut bench, &parameters(CodecKind::Pcmu));
    let calm = call(&mut bench, &parameters(CodecKind::Pcmu));
    bench.run(2 * SECOND);
    let before = [&left, &right, &calm[1]].map(|s| s.counters().received());
    let stranger = stranger();
    let to = port(&bench, 1);
    for _ in 0..500 {
        for _ in 0..400 {
            stranger.send_to(&[0x55; 100], to).unwrap();
        }
        bench.step();
    }
    let after = [&left, &right, &calm[1]].map(|s| s.counters().received());
    let heard: Vec<_> = before.iter().zip(after).map(|(b, a)| a - b).collect();
    println!("400 a step: heard {heard:?} of 250");
    assert!(heard.iter().all(|heard| *heard >= 249), "{heard:?}");
    assert!(right.counters().dropped() >= 199_000);
}

fn secured(role: Role) -> StreamParameters {
    let certificate = Certificate::generate().unwrap();
    let fingerprints = vec![certificate.fingerprint().clone()];
    StreamParameters {
        dtls: Some(Dtls {
            certificate,
            peer: Peer { fingerprints, role },
            association: None,
        }),
        rtcp_mux: true,
        ..parameters(CodecKind::Pcmu)
    }
}

/// Sends what looks like DTLS (RFC 7983 §7) and is none.
fn shake(stranger: &UdpSocket, to: SocketAddr, times: usize) {
    for _ in 0..times {
        stranger.send_to(&[22; 14], to).unwrap();
    }
}

#[test]
fn a_flood_of_handshakes_at_one_call_leaves_the_questions_of_all_to_be_answered() {
    for begun in [false, true] {
        let mut bench = Bench::new();
        let mine = call(&mut bench, &secured(Role::Client));
        let to = port(&bench, 1);
        let first = stranger();
        if begun {
            bench.run(2 * SECOND);
        } else {
            // The peer says nothing, so that its handshake is waited for.
            bench.wires.iter_mut().for_each(|wire| wire.loss = 1.0);
        }
        let _other = call(&mut bench, &parameters(CodecKind::Pcmu));
        let other_port = bench.wires[2].to;
        bench.run(SECOND / 10);
        let askers = [(stranger(), to), (stranger(), other_port)];
        for number in 0..20 {
            shake(&first, to, 64);
            for (asker, at) in &askers {
                asker.send_to(&question(number), *at).unwrap();
            }
            bench.step();
        }
        bench.step();
        let answered = askers.each_ref().map(|(asker, _)| answers(asker));
        println!("keys {begun}: answered {answered:?} of 20");
        assert_eq!(answered, [20, 20]);
        let keys = |e: &StreamEvent| matches!(e, StreamEvent::Secured(_));
        assert_eq!(events(&mine[1]).iter().any(keys), begun);
    }
}

/// The peer is where it has said to be, or behind a router where nobody expects it; each side waits for the other in turn.
#[test]
fn a_handshake_comes_through_a_flood_of_others() {
    for role in [Role::Client, Role::Server] {
        for is_elsewhere in [false, true] {
            let mut bench = Bench::new();
            let parameters = secured(role);
            let streams = call(&mut bench, &parameters);
            let calm = call(&mut bench, &parameters);
            let nobody = stranger();
            let server = usize::from(role == Role::Client);
            if is_elsewhere {
                let mut dtls = parameters.dtls.clone().unwrap();
                dtls.peer.role = Role::Server;
                streams[server]
                    .update(StreamParameters {
                        dtls: Some(dtls),
                        remote: Some(nobody.local_addr().unwrap()),
                        ..parameters.clone()
                    })
                    .unwrap();
            }
            let strangers = [stranger(), stranger()];
            let ports = [port(&bench, 0), port(&bench, 1)];
            for _ in 0..500 {
                for (stranger, port) in strangers.iter().zip(ports) {
                    shake(stranger, port, 64);
                }
                bench.step();
            }
            let keys = |e: &StreamEvent| matches!(e, StreamEvent::Secured(_));
            for stream in streams.iter().chain(&calm) {
                let events = events(stream);
                assert!(
                    events.iter().any(keys),
                    "{role:?}, {is_elsewhere}: {events:?}"
                );
                let heard = stream.counters().received();
                println!("{role:?}, elsewhere {is_elsewhere}: heard {heard} of 250");
                assert!(heard > 200, "{heard}");
            }
        }
    }
}

/// With ICE the checks of a second call are answered while the first is flooded.
#[test]
fn a_way_is_found_while_another_call_is_flooded() {
    let mut bench = Bench::new();
    let flooded = call(&mut bench, &secured(Role::Client));
    let to = port(&bench, 1);
    let stranger = stranger();
    bench.run(SECOND);
    let parameters = parameters(CodecKind::Pcmu);
    let streams = call(&mut bench, &parameters);
    search(&bench, 1, &streams, &parameters);
    for _ in 0..500 {
        shake(&stranger, to, 64);
        bench.step();
    }
    let heard = streams.each_ref().map(|s| s.counters().received());
    println!("heard {heard:?} of 250");
    assert!(heard.iter().all(|heard| *heard > 240), "{heard:?}");
    assert!(flooded[1].counters().received() > 260);
}

/// PCMU of 20 ms from one source (RFC 3550 §5.1, RFC 3551 §4.5.14).
fn speech(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.resize(172, 0x55);
    packet
}

/// Steps in which a stranger speaks to this side as somebody on a telephone does; answers how many packets that side took.
fn talk(
    bench: &mut Bench,
    who: &UdpSocket,
    to: SocketAddr,
    from: u16,
    stream: &StreamHandle,
) -> u64 {
    let before = stream.counters().received();
    for number in from..from + 500 {
        who.send_to(&speech(number), to).unwrap();
        bench.step();
        bench.step();
    }
    stream.counters().received() - before
}

/// RFC 8445 §12.1: the peer sends on pairs that were checked. The others are not the peer, while that talks, in a pause, and
/// also where they were there first.
#[test]
#[cfg(not(target_os = "macos"))] // It has no second address of its own without being told.
fn nobody_talks_over_the_peer_of_a_way_that_was_found() {
    for listens in [0, 1] {
        let mut bench = Bench::new();
        let parameters = parameters(CodecKind::Pcmu);
        let silent = StreamParameters {
            send: false,
            ..parameters.clone()
        };
        let streams = call(&mut bench, &silent);
        // On the peer's own machine it could be the peer.
        let stranger = UdpSocket::bind(("127.0.0.2", 0)).unwrap();
        let to = port(&bench, listens);
        let peer = bench.wires[listens].address();
        let stream = &streams[listens];
        // Before anybody is known, whoever speaks is heard.
        let quick = talk(&mut bench, &stranger, to, 0, stream);
        assert!(quick >= 498, "{quick}");
        let told = search(&bench, 0, &streams, &parameters);
        talk(&mut bench, &stranger, to, 500, stream);
        let talking = talk(&mut bench, &stranger, to, 1_000, stream);
        assert_eq!(stream.counters().actual_peer(), Some(peer));
        // The peer says nothing for a minute, by agreement.
        let quiet = StreamParameters {
            send: false,
            ..told[1 - listens].clone()
        };
        streams[1 - listens].update(quiet).unwrap();
        bench.run(SECOND / 10);
        let mut pausing = 0;
        for n in 1..6 {
            pausing += talk(&mut bench, &stranger, to, 1_000 + 500 * n, stream);
        }
        println!(
            "side {listens}: {talking} of 500 were the peer's, {pausing} of 2500 the stranger's in a pause"
        );
        assert!((499..=501).contains(&talking), "{talking}");
        assert_eq!(pausing, 0);
        let events = events(stream);
        assert!(!events.contains(&StreamEvent::WayLost), "{events:?}");
    }
}

/// What a relay that serves everybody for forty seconds answers (RFC 8656 §7.2, §8.2, §12.2); nothing to what is no question.
fn granted(datagram: &[u8]) -> Option<Vec<u8>> {
    let kind = u16::from_be_bytes([*datagram.first()?, *datagram.get(1)?]);
    if !stun::is_request(datagram) {
        return None;
    }
    let mut answer = (kind | 0x0100).to_be_bytes().to_vec();
    answer.extend([0, 0]);
    answer.extend(datagram.get(4..20)?);
    // LIFETIME, and XOR-RELAYED-ADDRESS: 192.0.2.1, port 50000.
    answer.extend([0x00, 0x0d, 0, 4, 0, 0, 0, 40]);
    let [a, b] = (50_000u16 ^ 0x2112).to_be_bytes();
    answer.extend([0x00, 0x16, 0, 8, 0, 1, a, b]);
    answer.extend([192 ^ 0x21, 0x12, 2 ^ 0xa4, 1 ^ 0x42]);
    answer[3] = (answer.len() - 20) as u8;
    Some(answer)
}

#[test]
fn an_address_at_a_relay_outlives_a_flood() {
    let mut bench = Bench::new();
    let relay = stranger();
    let mut client = Client::new(
        bench.now,
        Config {
            server: relay.local_addr().unwrap(),
            reliable: false,
            ipv6: false,
            login: None,
            seed: [7; 16],
        },
    );
    while let Output::Transmit(datagram) = client.poll_output() {
        client.handle_datagram(bench.now, &granted(&datagram).unwrap());
    }
    assert!(client.allocation().is_some());
    let (rtp, _) = media::socket::bind_pair(HERE, 0..=0).unwrap();
    let at = rtp.local_addr().unwrap();
    let nobody = stranger();
    let parameters = StreamParameters {
        remote: Some(nobody.local_addr().unwrap()),
        ..parameters(CodecKind::Pcmu)
    };
    let mut config = media::StreamConfig::new(rtp, parameters, 7);
    (config.source, config.sink) = (Source::Silence, Sink::Discard);
    config.relay = Some(client);
    let stream = bench.handle.add_stream(config).unwrap();
    let stranger = stranger();
    let (mut asked, mut carried) = (0, 0);
    let mut buffer = [0; 2_048];
    for _ in 0..12_000 {
        for _ in 0..32 {
            stranger.send_to(&question(1), at).unwrap();
        }
        while let Ok((length, from)) = relay.recv_from(&mut buffer) {
            carried += usize::from(buffer[0] == 0x40);
            if let Some(answer) = granted(&buffer[..length]) {
                asked += 1;
                relay.send_to(&answer, from).unwrap();
            }
        }
        bench.step();
    }
    println!("asked {asked} times, carried {carried} of 6000");
    let events = events(&stream);
    assert!(events.is_empty(), "{events:?}");
    // The address every twenty seconds, and its channel: none of it twice.
    assert!((6..=9).contains(&asked), "{asked}");
    assert!(carried > 5_900, "{carried}");
}
