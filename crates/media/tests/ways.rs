//! Ways through routers: questions where somebody is seen, and datagrams that keep a way open.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, parameters};
use media::{Sink, Source, StreamEvent, StreamHandle, StreamParameters};
use nat::ice::{Base, Component, Credentials, Session, Way};
use nat::stun::{Binding, TransactionId, indication};

const SECOND: Duration = Duration::from_secs(1);

fn call(parameters: &StreamParameters) -> (Bench, StreamHandle, StreamHandle) {
    let mut bench = Bench::new();
    let silence = || (Source::Silence, Sink::Discard);
    let (left, right) = bench.pair(parameters, silence(), silence());
    (bench, left, right)
}

/// STUN and media that a wire carried.
fn carried(bench: &Bench, wire: usize) -> (u32, u32) {
    let first = &bench.wires[wire].first_bytes;
    (first[..4].iter().sum(), first[128..192].iter().sum())
}

#[test]
fn who_asks_a_media_port_is_told_where_it_is_seen_and_a_flood_of_questions_hurts_nobody() {
    let (mut bench, _left, right) = call(&parameters(CodecKind::Pcmu));
    let asker = UdpSocket::bind((common::HERE, 0)).unwrap();
    asker.set_nonblocking(true).unwrap();
    let seen = asker.local_addr().unwrap();
    let to: SocketAddr = bench.wires[0].to;
    bench.run(SECOND);
    let id = TransactionId([7; 12]);
    let question = Binding::Request(id).to_bytes();
    asker.send_to(&question, to).unwrap();
    bench.run(SECOND);
    let mut buffer = [0; 200];
    let (length, _) = asker.recv_from(&mut buffer).unwrap();
    let answer = Binding::read(&buffer[..length]);
    assert_eq!(answer, Some(Binding::Success(id, Some(seen))));
    // Neither answers nor indications are answered, and nothing else that looks like it.
    let mut broken = question.clone();
    broken[3] = 4;
    for datagram in [
        &buffer[..length],
        &indication(id),
        &Binding::Error(id).to_bytes(),
        &broken,
    ] {
        asker.send_to(datagram, to).unwrap();
    }
    bench.run(SECOND);
    assert!(asker.recv_from(&mut buffer).is_err());
    let before = right.counters().received();
    for _ in 0..100 {
        for _ in 0..50 {
            asker.send_to(&question, to).unwrap();
        }
        bench.run(Duration::from_millis(10));
    }
    let mut answers = 0;
    while asker.recv_from(&mut buffer).is_ok() {
        answers += 1;
    }
    assert!((1..=400).contains(&answers), "{answers}");
    assert!(right.counters().received() >= before + 48);
}

#[test]
fn who_only_hears_opens_the_way_and_keeps_it_open() {
    let hears = StreamParameters {
        send: false,
        ..parameters(CodecKind::Pcmu)
    };
    let (mut bench, _left, right) = call(&hears);
    bench.run(SECOND);
    assert_eq!(carried(&bench, 0), (1, 0));
    bench.run(30 * SECOND);
    assert_eq!(carried(&bench, 0), (3, 0));
    // Who speaks needs nothing beside.
    let remote = Some(bench.wires[1].address());
    let speaks = StreamParameters {
        remote,
        ..parameters(CodecKind::Pcmu)
    };
    right.update(speaks).unwrap();
    let (before, _) = carried(&bench, 1);
    bench.run(40 * SECOND);
    assert_eq!(carried(&bench, 1).0, before);
    assert!(carried(&bench, 1).1 > 1_900);
    right
        .update(StreamParameters {
            remote,
            receive: false,
            ..hears
        })
        .unwrap();
    // A call that is silent both ways needs it as well: who goes on is to be heard at once (RFC 6263 §3).
    bench.run(40 * SECOND);
    assert_eq!(carried(&bench, 1).0, before + 2);
}

/// Two sides of a search, whose sockets are where the wires end.
fn session(bench: &Bench, ours: usize, candidates: &[String]) -> Session {
    nth_session(bench, 0, ours, candidates)
}

/// One with credentials of its own.
fn nth_session(bench: &Bench, nth: usize, ours: usize, candidates: &[String]) -> Session {
    let credentials = |side: usize| Credentials {
        ufrag: format!("side{side}-{nth}"),
        pwd: format!("a-password-of-22-signs-{side}-{nth}"),
    };
    Session {
        local: credentials(ours),
        remote: credentials(1 - ours),
        bases: vec![Base {
            socket: 0,
            component: Component::Media,
            at: bench.wires[1 - ours].to,
            mapped: None,
            relayed: None,
        }],
        candidates: candidates.to_vec(),
        controlling: ours == 0,
    }
}

/// A candidate at the socket that carries towards the other side.
fn candidate(at: SocketAddr) -> String {
    format!("1 1 udp 2130706431 {} {} typ host", at.ip(), at.port())
}

/// Has both sides look for each other, for the `nth` time.
fn search(bench: &Bench, streams: [&StreamHandle; 2], nth: usize) {
    let ends = [bench.wires[0].address(), bench.wires[1].address()];
    for (side, stream) in streams.into_iter().enumerate() {
        stream
            .update(StreamParameters {
                remote: Some(ends[side]),
                rtcp_mux: true,
                ice: Some(nth_session(bench, nth, side, &[candidate(ends[side])])),
                ..parameters(CodecKind::Pcmu)
            })
            .unwrap();
    }
}

fn lose(bench: &mut Bench, loss: f64) {
    for wire in &mut bench.wires {
        wire.loss = loss;
    }
}

fn events(stream: &StreamHandle) -> Vec<StreamEvent> {
    std::iter::from_fn(|| stream.poll_event()).collect()
}

#[test]
fn nothing_is_sent_before_a_way_is_found_and_then_it_goes_there() {
    let silent = parameters(CodecKind::Pcmu);
    let (mut bench, left, right) = call(&silent);
    let nobody = UdpSocket::bind((common::HERE, 0)).unwrap();
    let nobody = nobody.local_addr().unwrap();
    let ends = [bench.wires[0].address(), bench.wires[1].address()];
    // Both were told of a place where nobody is; among the candidates is the right one.
    for (side, stream) in [(0, &left), (1, &right)] {
        let offered = [candidate(nobody), candidate(ends[side])];
        stream
            .update(StreamParameters {
                remote: Some(nobody),
                rtcp_mux: true,
                ice: Some(session(&bench, side, &offered)),
                ..silent.clone()
            })
            .unwrap();
    }
    bench.run(5 * SECOND);
    for (side, stream) in [(0, &left), (1, &right)] {
        let found = std::iter::from_fn(|| stream.poll_event())
            .find(|event| matches!(event, StreamEvent::WayFound(_)));
        let way = Way {
            to: ends[side],
            socket: 0,
            relayed: false,
        };
        assert_eq!(found, Some(StreamEvent::WayFound(Some(way))));
        assert_eq!(stream.counters().target(), Some(ends[side]));
        let (checks, media) = carried(&bench, side);
        assert!(checks > 0 && media > 150, "{checks} {media}");
    }
}

/// RFC 7675 §5.1: without an answer for 30 seconds nothing more is sent, and a restart brings consent again.
#[test]
fn who_answers_no_more_is_sent_nothing_more_until_a_way_is_found_again() {
    let (mut bench, left, right) = call(&parameters(CodecKind::Pcmu));
    search(&bench, [&left, &right], 0);
    bench.run(60 * SECOND);
    for stream in [&left, &right] {
        let events = events(stream);
        assert!(!events.contains(&StreamEvent::WayLost), "{events:?}");
    }
    lose(&mut bench, 1.0);
    bench.run(45 * SECOND);
    for stream in [&left, &right] {
        let events = events(stream);
        assert!(events.contains(&StreamEvent::WayLost), "{events:?}");
    }
    lose(&mut bench, 0.0);
    let before = [carried(&bench, 0).1, carried(&bench, 1).1];
    bench.run(5 * SECOND);
    assert_eq!([carried(&bench, 0).1, carried(&bench, 1).1], before);
    search(&bench, [&left, &right], 1);
    bench.run(5 * SECOND);
    for (side, stream) in [(0, &left), (1, &right)] {
        let events = events(stream);
        let found = |event: &StreamEvent| matches!(event, StreamEvent::WayFound(Some(_)));
        assert!(events.iter().any(found), "{events:?}");
        assert!(carried(&bench, side).1 > before[side] + 150);
    }
}

/// RFC 7675 §5.1: a restart that nobody answers is no consent either, however it was before. The peer has shown that it
/// can answer, so the announced address is no better than silence.
#[test]
fn a_restart_that_is_not_answered_sends_nothing_where_consent_was_lost() {
    let (mut bench, left, right) = call(&parameters(CodecKind::Pcmu));
    search(&bench, [&left, &right], 0);
    bench.run(5 * SECOND);
    lose(&mut bench, 1.0);
    bench.run(35 * SECOND);
    assert!(events(&left).contains(&StreamEvent::WayLost));
    // Twice, so that it does not matter how the search before ended.
    for nth in [1, 2] {
        search(&bench, [&left, &right], nth);
        bench.run(20 * SECOND);
        let told = events(&left);
        assert!(told.contains(&StreamEvent::NoWay), "{told:?}");
        assert!(!told.contains(&StreamEvent::WayFound(None)), "{told:?}");
    }
    let sent = [left.counters().sent(), right.counters().sent()];
    bench.run(20 * SECOND);
    assert_eq!([left.counters().sent(), right.counters().sent()], sent);
    // With the line mended and a restart it goes on.
    lose(&mut bench, 0.0);
    search(&bench, [&left, &right], 3);
    bench.run(5 * SECOND);
    assert!(left.counters().sent() > sent[0] + 150);
    assert!(right.counters().sent() > sent[1] + 150);
}

#[test]
fn where_no_way_answers_media_goes_where_the_description_says() {
    let silent = parameters(CodecKind::Pcmu);
    let (mut bench, left, _right) = call(&silent);
    let nobody = UdpSocket::bind((common::HERE, 0)).unwrap();
    let nobody = candidate(nobody.local_addr().unwrap());
    left.update(StreamParameters {
        remote: Some(bench.wires[0].address()),
        rtcp_mux: true,
        ice: Some(session(&bench, 0, &[nobody])),
        ..silent
    })
    .unwrap();
    bench.run(9 * SECOND);
    assert_eq!(carried(&bench, 0).1, 0);
    bench.run(3 * SECOND);
    assert!(carried(&bench, 0).1 > 50);
    let events = events(&left);
    assert!(events.contains(&StreamEvent::WayFound(None)), "{events:?}");
}

/// RFC 8445 §9: data goes on over the old pair until the restart has another. A peer that never heard of the restart is
/// no reason for silence, and neither is one whose new names nobody knows.
#[test]
fn a_restart_interrupts_nothing_and_the_old_way_goes_on_where_it_finds_none() {
    let silent = parameters(CodecKind::Pcmu);
    let (mut bench, left, right) = call(&silent);
    let ends = [bench.wires[0].address(), bench.wires[1].address()];
    let search = |bench: &Bench, nth: usize, side: usize, stream: &StreamHandle| {
        let session = nth_session(bench, nth, side, &[candidate(ends[side])]);
        stream
            .update(StreamParameters {
                remote: Some(ends[side]),
                rtcp_mux: true,
                ice: Some(session),
                ..silent.clone()
            })
            .unwrap();
    };
    let events = |stream: &StreamHandle| -> Vec<StreamEvent> {
        std::iter::from_fn(|| stream.poll_event()).collect()
    };
    search(&bench, 0, 0, &left);
    search(&bench, 0, 1, &right);
    bench.run(5 * SECOND);
    // Only the left one knows of a restart: all it asks by its new names is in vain.
    search(&bench, 1, 0, &left);
    let sent = left.counters().sent();
    let second = |bench: &mut Bench| {
        let before = left.counters().sent();
        bench.run(SECOND);
        left.counters().sent() - before
    };
    for nth in 0..12 {
        assert!(second(&mut bench) >= 49, "second {nth}");
    }
    let way = Way {
        to: ends[0],
        socket: 0,
        relayed: false,
    };
    let told = events(&left);
    assert!(told.contains(&StreamEvent::WayKept(way)), "{told:?}");
    assert!(!told.contains(&StreamEvent::NoWay), "{told:?}");
    // Consent is asked for on the old way, and given, as long as that lasts (RFC 7675 §5.1).
    bench.run(60 * SECOND);
    assert!(left.counters().sent() >= sent + 71 * 49);
    let lost = |told: &[StreamEvent]| told.contains(&StreamEvent::WayLost);
    assert!(!lost(&events(&left)) && !lost(&events(&right)));
    // A restart on both sides finds the way anew, without a gap.
    search(&bench, 2, 0, &left);
    search(&bench, 2, 1, &right);
    for nth in 0..3 {
        assert!(
            second(&mut bench) >= 49,
            "second {nth} of the second restart"
        );
    }
    let told = events(&left);
    assert!(told.contains(&StreamEvent::WayFound(Some(way))), "{told:?}");
    // And a peer that is gone in the middle of one is sent nothing more.
    search(&bench, 3, 0, &left);
    bench.wires[0].loss = 1.0;
    bench.wires[1].loss = 1.0;
    bench.run(35 * SECOND);
    let told = events(&left);
    assert!(lost(&told), "{told:?}");
    assert_eq!(second(&mut bench), 0);
}

/// Somebody with two ports who answers checks, and takes them from one socket of ours only.
struct Hand {
    agent: nat::ice::Agent,
    sockets: [UdpSocket; 2],
    /// Whose checks are taken, each component.
    hears: [SocketAddr; 2],
    /// Media and reports that came, and from where.
    media: Vec<SocketAddr>,
    reports: Vec<SocketAddr>,
}

impl Hand {
    fn step(&mut self, now: std::time::Instant) {
        let mut buffer = [0; 2_048];
        for (number, socket) in (0u8..).zip(&self.sockets) {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let datagram = &buffer[..length];
                match buffer[0] {
                    0..4 if self.hears.contains(&from) => {
                        let way = Way {
                            to: from,
                            socket: number,
                            relayed: false,
                        };
                        self.agent.handle_datagram(now, datagram, way);
                    }
                    128..192 if (192..224).contains(&buffer[1]) => self.reports.push(from),
                    128..192 => self.media.push(from),
                    _ => {}
                }
            }
        }
        self.agent.handle_timeout(now);
        loop {
            match self.agent.poll_output() {
                nat::ice::Output::Transmit { datagram, way } => {
                    let socket = &self.sockets[usize::from(way.socket)];
                    socket.send_to(&datagram, way.to).unwrap();
                }
                nat::ice::Output::Event(_) => {}
                nat::ice::Output::Deadline(_) => return,
            }
        }
    }
}

/// RFC 8445 §5.1.1.1, §4: of the sockets at two addresses the one whose checks are answered carries media, and reports
/// have a way of their own where they do not share the port.
#[test]
fn media_and_reports_leave_from_whichever_sockets_a_way_was_found() {
    let mut bench = Bench::new();
    let bind = || media::socket::bind_pair(common::HERE, 0..=0).unwrap();
    let (rtp, rtcp) = bind();
    let (further_rtp, further_rtcp) = bind();
    let (hand_rtp, hand_rtcp) = bind();
    let place = |socket: &UdpSocket| socket.local_addr().unwrap();
    let base = |socket, component, at| Base {
        socket,
        component,
        at,
        mapped: None,
        relayed: None,
    };
    let theirs = [
        base(0, Component::Media, place(&hand_rtp)),
        base(1, Component::Reports, place(&hand_rtcp)),
    ];
    let ours = [
        base(0, Component::Media, place(&rtp)),
        base(1, Component::Reports, place(&rtcp)),
        base(2, Component::Media, place(&further_rtp)),
        base(3, Component::Reports, place(&further_rtcp)),
    ];
    let session = |side: usize, bases: &[Base], others: &[Base]| Session {
        local: nth_credentials(side),
        remote: nth_credentials(1 - side),
        bases: bases.to_vec(),
        candidates: nat::ice::described(others),
        controlling: side == 0,
    };
    let mut hand = Hand {
        agent: nat::ice::Agent::new(bench.now, &session(1, &theirs, &ours)),
        hears: [place(&further_rtp), place(&further_rtcp)],
        sockets: [hand_rtp, hand_rtcp],
        media: Vec::new(),
        reports: Vec::new(),
    };
    let wanted = hand.hears;
    let parameters = StreamParameters {
        ice: Some(session(0, &ours, &theirs)),
        ..parameters(CodecKind::Pcmu)
    };
    let mut config = media::StreamConfig::new(rtp, parameters, 7);
    (config.source, config.sink) = (Source::Silence, Sink::Discard);
    config.rtcp_socket = Some(rtcp);
    config.further.push(media::Place {
        socket: further_rtp,
        rtcp_socket: Some(further_rtcp),
        relay: None,
        rtcp_relay: None,
    });
    let stream = bench.handle.add_stream(config).unwrap();
    for _ in 0..2_000 {
        bench.step();
        hand.step(bench.now);
    }
    assert!(hand.media.len() > 900, "{}", hand.media.len());
    assert!(hand.media.iter().all(|from| *from == wanted[0]));
    assert!(hand.reports.len() > 1, "{}", hand.reports.len());
    assert!(hand.reports.iter().all(|from| *from == wanted[1]));
    drop(stream);
}

fn nth_credentials(side: usize) -> Credentials {
    Credentials {
        ufrag: format!("side{side}"),
        pwd: format!("a-password-of-22-signs-{side}"),
    }
}
