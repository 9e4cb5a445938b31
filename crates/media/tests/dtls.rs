//! Keys by a handshake on the stream's own path, in virtual time: what is sent before, with, and without them; and by a
//! second one where the reports have a port of their own (RFC 5764 §4.2).

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use codecs::CodecKind;
use common::{Bench, Random, align, parameters, voice};
use dtls::{Certificate, Failure, Handshake, Output, Peer, Profile, Role};
use media::{Dtls, Sink, Source, StreamEvent, StreamHandle, StreamParameters};
use nat::ice::{Base, Component, Credentials, Session};

const SECOND: Duration = Duration::from_secs(1);

/// Both ends show the same certificate, which makes no difference.
fn dtls(role: Role) -> Dtls {
    let certificate = Certificate::generate().unwrap();
    let fingerprints = vec![certificate.fingerprint().clone()];
    Dtls {
        certificate,
        peer: Peer { fingerprints, role },
        association: None,
    }
}

fn with(dtls: Dtls) -> StreamParameters {
    StreamParameters {
        dtls: Some(dtls),
        rtcp_mux: true,
        ..parameters(CodecKind::Pcmu)
    }
}

/// A microphone on the left, a speaker on the right.
fn call(parameters: &StreamParameters) -> (Bench, StreamHandle, StreamHandle) {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        parameters,
        (Source::Microphone, Sink::Discard),
        (Source::Tone { hz: 440.0 }, Sink::Speaker),
    );
    bench.attach_microphone(voice(20.0));
    bench.attach_speaker();
    (bench, left, right)
}

fn events(stream: &StreamHandle) -> Vec<StreamEvent> {
    std::iter::from_fn(|| stream.poll_event()).collect()
}

/// Packets of media on a wire, and of handshakes.
fn carried(bench: &Bench, wire: usize) -> (u32, u32) {
    let first = &bench.wires[wire].first_bytes;
    let sum = |range: std::ops::RangeInclusive<usize>| first[range].iter().sum();
    (sum(128..=191), sum(20..=63))
}

#[test]
fn speech_and_reports_cross_with_keys_that_a_handshake_made() {
    let parameters = with(dtls(Role::Client));
    let (mut bench, left, right) = call(&parameters);
    bench.wires.iter_mut().for_each(|wire| wire.loss = 0.1);
    bench.run(3 * SECOND);
    bench.wires.iter_mut().for_each(|wire| wire.loss = 0.0);
    bench.run(8 * SECOND);
    let said = voice(9.0);
    let (_, alike) = align(&said[192_000..384_000], &bench.heard()[192_000..], 24_000);
    assert!(alike > 0.98, "{alike}");
    for stream in [&left, &right] {
        let first = events(stream).into_iter().next();
        assert_eq!(first, Some(StreamEvent::Secured(Profile::AeadAes256Gcm)));
        assert_eq!(stream.counters().not_genuine(), 0);
        assert!(stream.counters().reports_received() > 0);
    }
    // PCMU of 20 ms with its header and the tag of GCM.
    assert_eq!(bench.wires[0].last.len(), 12 + 160 + 16);
    // What was agreed again goes on; somebody else begins anew, and until then nothing is said.
    let carried_before = carried(&bench, 0);
    let again = StreamParameters {
        remote: Some(bench.wires[0].address()),
        ..parameters
    };
    left.update(again.clone()).unwrap();
    bench.run(SECOND);
    let (media, handshakes) = carried(&bench, 0);
    assert!(media > carried_before.0 + 45);
    assert_eq!(handshakes, carried_before.1);
    left.update(StreamParameters {
        dtls: Some(dtls(Role::Client)),
        ..again
    })
    .unwrap();
    bench.run(SECOND);
    let after = carried(&bench, 0);
    assert!(after.0 <= media + 1, "{after:?}");
    assert!(after.1 > handshakes);
}

#[test]
fn without_the_right_certificate_nothing_is_sent_and_nothing_heard() {
    let parameters = with(dtls(Role::Client));
    let (mut bench, left, right) = call(&parameters);
    // The right end was told of another peer.
    let mut other = dtls(Role::Server);
    other.certificate = parameters.dtls.as_ref().unwrap().certificate.clone();
    other.peer.fingerprints = vec![Certificate::generate().unwrap().fingerprint().clone()];
    right
        .update(StreamParameters {
            dtls: Some(other),
            remote: Some(bench.wires[1].address()),
            ..parameters.clone()
        })
        .unwrap();
    // Whoever sends in the clear meanwhile is not heard.
    let stranger = UdpSocket::bind((common::HERE, 0)).unwrap();
    let mut plain = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
    plain.resize(172, 0x11);
    for _ in 0..25 {
        for wire in &bench.wires {
            stranger.send_to(&plain, wire.to).unwrap();
            wire.out.send_to(&plain, wire.to).unwrap();
        }
        bench.run(SECOND);
    }
    let failed = |failure| vec![StreamEvent::NotSecured(failure)];
    assert_eq!(events(&right), failed(Failure::WrongCertificate));
    assert_eq!(events(&left), failed(Failure::Refused));
    for (wire, stream) in [(0, &left), (1, &right)] {
        let (media, handshakes) = carried(&bench, wire);
        assert_eq!(media, 0);
        assert!(handshakes > 0);
        assert_eq!(stream.counters().received(), 0);
        assert_eq!(stream.counters().sent(), 0);
    }
    assert!(bench.heard().iter().all(|sample| sample.abs() < 1e-4));
}

#[test]
fn sound_goes_to_where_the_peer_has_proved_to_be() {
    let parameters = with(dtls(Role::Client));
    let (mut bench, _left, right) = call(&parameters);
    // A peer behind a router: where it says it is, nobody answers.
    let nobody = UdpSocket::bind((common::HERE, 0)).unwrap();
    let nobody = nobody.local_addr().unwrap();
    let mut dtls = parameters.dtls.clone().unwrap();
    dtls.peer.role = Role::Server;
    right
        .update(StreamParameters {
            dtls: Some(dtls),
            remote: Some(nobody),
            ..parameters.clone()
        })
        .unwrap();
    bench.run(2 * SECOND);
    let actual = bench.wires[1].address();
    assert_eq!(right.counters().target(), Some(actual));
    assert!(carried(&bench, 1).0 > 50);
    assert!(events(&right).contains(&StreamEvent::PeerMoved {
        announced: Some(nobody),
        actual,
    }));
}

fn apart(dtls: Dtls) -> StreamParameters {
    StreamParameters {
        rtcp_mux: false,
        ..with(dtls)
    }
}

/// The role of the one side is what the other is not.
fn turned(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// Two that speak to each other, and whose reports have ports and wires of their own.
fn call_apart(parameters: &StreamParameters) -> (Bench, StreamHandle, StreamHandle) {
    let mut bench = Bench::new();
    bench.reports_by_wire = true;
    let tone = |hz| (Source::Tone { hz }, Sink::Discard);
    let (left, right) = bench.pair(parameters, tone(440.0), tone(300.0));
    (bench, left, right)
}

/// What a side is told when nothing changes but the fields that a test changes.
fn told(bench: &Bench, side: usize, parameters: &StreamParameters) -> StreamParameters {
    let mut told = StreamParameters {
        remote: Some(bench.wires[side].address()),
        remote_rtcp: Some(bench.report_wires[side].address()),
        ..parameters.clone()
    };
    if let Some(dtls) = told.dtls.as_mut().filter(|_| side == 1) {
        dtls.peer.role = turned(dtls.peer.role);
    }
    told
}

/// What a side sent to the port of the other's reports: handshakes, reports, and whatever else.
fn on_report_port(bench: &Bench, side: usize) -> [Vec<&[u8]>; 3] {
    let mut sorted = [const { Vec::new() }; 3];
    for datagram in bench.report_wires[side].kept.iter().flatten() {
        let kind = match datagram[0] {
            20..=63 => 0,
            128..=191 => 1,
            _ => 2,
        };
        sorted[kind].push(&datagram[..]);
    }
    sorted
}

/// The random number of each first flight among these (RFC 6347 §4.2.1).
fn hellos(datagrams: &[Vec<u8>]) -> Vec<&[u8]> {
    let is_hello = |d: &&Vec<u8>| d[0] == 22 && d[13] == 1;
    let mut randoms: Vec<_> = datagrams
        .iter()
        .filter(is_hello)
        .map(|d| &d[27..59])
        .collect();
    randoms.dedup();
    randoms
}

/// Nothing but handshakes, encrypted reports, and STUN that opens a way (RFC 6263) may be seen there.
fn assert_nothing_in_clear(bench: &Bench) {
    for side in [0, 1] {
        let [_, reports, others] = on_report_port(bench, side);
        for (number, report) in (1u32..).zip(reports) {
            // RFC 7714 §9.1: behind the tag the word with the bit for encryption and the number, which goes up by one.
            let word = report.last_chunk().copied().map(u32::from_be_bytes);
            let first = word.map(|word| word >> 31 == 1 && word & 0x7fff_ffff <= number);
            assert_eq!(first, Some(true), "{report:02x?}");
            // The name is 16 signs, and the bench's clock begins here.
            let is_name = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
            assert!(!report.windows(16).any(is_name), "{report:02x?}");
            assert_ne!(report[8..11], [0, 0x0f, 0x42], "{report:02x?}");
        }
        // RFC 8489 §5: the type of an indication, and the cookie.
        let is_stun = |d: &&[u8]| d[..2] == [0, 0x11] && d[4..8] == [0x21, 0x12, 0xa4, 0x42];
        assert!(others.iter().all(is_stun), "{others:02x?}");
        assert!(others.len() <= 3, "{}", others.len());
    }
}

/// RFC 5764 §4.2, figure 2: two sessions, one of which protects the RTP packets and one the RTCP packets.
#[test]
fn reports_with_a_port_of_their_own_have_a_handshake_and_keys_of_their_own() {
    for role in [Role::Client, Role::Server] {
        let (mut bench, left, right) = call_apart(&apart(dtls(role)));
        bench.wires.iter_mut().for_each(|w| w.kept = Some(vec![]));
        for wire in &mut bench.report_wires {
            wire.delay = Duration::from_millis(40);
        }
        bench.run(25 * SECOND);
        let client = usize::from(role == Role::Server);
        let of_media = bench.wires[client].kept.clone().unwrap();
        let of_reports = bench.report_wires[client].kept.clone().unwrap();
        // The same side begins both, and neither continues the other.
        let first = [hellos(&of_media), hellos(&of_reports)];
        assert_eq!(first.each_ref().map(Vec::len), [1, 1]);
        assert_ne!(first[0], first[1]);
        for wires in [&bench.wires, &bench.report_wires] {
            assert!(hellos(wires[1 - client].kept.as_ref().unwrap()).is_empty());
        }
        for (side, stream) in [(0, &left), (1, &right)] {
            let counters = stream.counters();
            let [_, reports, _] = on_report_port(&bench, side);
            let [_, theirs, _] = on_report_port(&bench, 1 - side);
            assert_eq!(reports.len() as u64, counters.reports_sent());
            assert!(counters.reports_received() >= 3, "{role:?} {side}");
            // The last may be on its way, and who has the keys first may speak before the other has them.
            assert!(counters.reports_received() + 2 >= theirs.len() as u64);
            let trip = counters.round_trip().expect("it was measured");
            println!("{role:?} {side}: {} reports, {trip:?}", reports.len());
            let expected = Duration::from_millis(80)..Duration::from_millis(115);
            assert!(expected.contains(&trip), "{trip:?}");
            assert_eq!(counters.not_genuine(), 0);
            let told = events(stream);
            assert_eq!(told[0], StreamEvent::Secured(Profile::AeadAes256Gcm));
            let failed = |e: &StreamEvent| matches!(e, StreamEvent::ReportsNotSecured(_));
            assert!(!told.iter().any(failed), "{told:?}");
        }
        assert_nothing_in_clear(&bench);
        // With the keys of the media it is not genuine; with its own it was heard before.
        let [_, reports, _] = on_report_port(&bench, 0);
        let report = reports[0];
        bench.wires[0]
            .out
            .send_to(report, bench.wires[0].to)
            .unwrap();
        let way = &bench.report_wires[0];
        way.out.send_to(report, way.to).unwrap();
        let before = right.counters().reports_received();
        bench.run(Duration::from_millis(20));
        let counters = right.counters();
        assert_eq!((counters.not_genuine(), counters.replayed()), (1, 1));
        assert!(counters.reports_received() <= before + 1);
    }
}

#[test]
fn lost_flights_on_the_port_of_the_reports_are_said_again() {
    let mut repeated = 0;
    for seed in 1..=8 {
        let (mut bench, left, right) = call_apart(&apart(dtls(Role::Client)));
        for (n, wire) in (0..).zip(&mut bench.report_wires) {
            (wire.loss, wire.random) = (0.3, Random(seed * 2 + n));
        }
        bench.run(12 * SECOND);
        bench
            .report_wires
            .iter_mut()
            .for_each(|wire| wire.loss = 0.0);
        bench.run(12 * SECOND);
        for stream in [&left, &right] {
            assert!(stream.counters().reports_received() > 0, "seed {seed}");
        }
        let [flights, ..] = on_report_port(&bench, 0);
        repeated += usize::from(flights.len() > 5);
        assert_nothing_in_clear(&bench);
    }
    assert!(repeated > 0);
}

/// A peer that does one handshake only: it is heard as well as any, and is not pestered.
#[test]
fn speech_goes_on_where_nobody_answers_on_the_port_of_the_reports() {
    let (mut bench, left, right) = call_apart(&apart(dtls(Role::Client)));
    bench
        .report_wires
        .iter_mut()
        .for_each(|wire| wire.loss = 1.0);
    bench.run(25 * SECOND);
    let sent = |bench: &Bench| [0, 1].map(|side| bench.report_wires[side].lost);
    let before = sent(&bench);
    println!("unanswered: {before:?}");
    // A flight of one datagram every 400 ms for 20 s, and what opens a way.
    assert!(
        (2..=50).contains(&before[0]) && before[1] <= 2,
        "{before:?}"
    );
    // What speaks in the clear there is not heard, before and after.
    let plain = [0x81, 201, 0, 7, 0, 0, 0, 9].map(u8::from);
    let plain: Vec<u8> = plain.into_iter().chain([0; 24]).collect();
    assert!(rtp::rtcp::read(&plain, |_| {}).is_ok());
    for _ in 0..25 {
        for wire in &bench.report_wires {
            wire.out.send_to(&plain, wire.to).unwrap();
        }
        bench.run(SECOND);
    }
    assert_eq!(sent(&bench), before);
    for stream in [&left, &right] {
        let counters = stream.counters();
        assert!(counters.received() > 49 * 50, "{}", counters.received());
        assert_eq!(
            (counters.reports_sent(), counters.reports_received()),
            (0, 0)
        );
        let news = events(stream);
        assert_eq!(news[0], StreamEvent::Secured(Profile::AeadAes256Gcm));
        let failed = StreamEvent::ReportsNotSecured(Failure::NoAnswer);
        assert_eq!(news.iter().filter(|event| **event == failed).count(), 1);
    }
    assert_nothing_in_clear(&bench);
}

/// Somebody at the port of a peer's reports, with a certificate of its own.
struct Impostor {
    socket: UdpSocket,
    handshake: Handshake,
}

impl Impostor {
    fn new(ours: &Dtls) -> Self {
        let socket = UdpSocket::bind((common::HERE, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let peer = Peer {
            fingerprints: vec![ours.certificate.fingerprint().clone()],
            role: turned(ours.peer.role),
        };
        let handshake = Handshake::new(&Certificate::generate().unwrap(), &peer);
        Self { socket, handshake }
    }

    fn step(&mut self, now: Instant, to: SocketAddr) {
        self.handshake.handle_remote(now, to);
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            if dtls::looks_like_dtls(&buffer[..length]) {
                self.handshake.handle_datagram(now, &buffer[..length], from);
            } else {
                assert!(
                    buffer[0] < 4,
                    "it is told something: {:02x?}",
                    &buffer[..length]
                );
            }
        }
        self.handshake.handle_timeout(now);
        while let Output::Transmit { datagram, to } = self.handshake.poll_output() {
            self.socket.send_to(&datagram, to).unwrap();
        }
    }
}

/// RFC 5763 §5: the certificate has to be the announced one, on each path that keys are made for. Here the media's was.
#[test]
fn with_another_certificate_on_their_port_there_are_no_reports_and_the_speech_goes_on() {
    for role in [Role::Client, Role::Server] {
        let ours = dtls(role);
        let parameters = apart(ours.clone());
        let (mut bench, left, right) = call_apart(&parameters);
        let mut impostor = Impostor::new(&ours);
        left.update(StreamParameters {
            remote_rtcp: Some(impostor.socket.local_addr().unwrap()),
            ..told(&bench, 0, &parameters)
        })
        .unwrap();
        let port = bench.report_wires[1].to;
        for _ in 0..3_000 {
            bench.step();
            impostor.step(bench.now, port);
        }
        assert!(!impostor.handshake.is_secured());
        let news = events(&left);
        let wrong = StreamEvent::ReportsNotSecured(Failure::WrongCertificate);
        assert!(news.contains(&wrong), "{role:?} {news:?}");
        assert!(news.contains(&StreamEvent::Secured(Profile::AeadAes256Gcm)));
        for stream in [&left, &right] {
            let counters = stream.counters();
            assert!(counters.received() > 29 * 50);
            assert_eq!(
                (counters.reports_sent(), counters.reports_received()),
                (0, 0)
            );
        }
    }
}

#[test]
fn reports_go_to_where_the_peer_has_proved_to_be() {
    let parameters = apart(dtls(Role::Client));
    let (mut bench, left, right) = call_apart(&parameters);
    // A peer behind a router: at the port that it announced for its reports nobody answers.
    let nobody = UdpSocket::bind((common::HERE, 0)).unwrap();
    nobody.set_nonblocking(true).unwrap();
    right
        .update(StreamParameters {
            remote_rtcp: Some(nobody.local_addr().unwrap()),
            ..told(&bench, 1, &parameters)
        })
        .unwrap();
    bench.run(20 * SECOND);
    assert!(left.counters().reports_received() >= 2);
    assert!(right.counters().reports_received() >= 2);
    // The way there was opened for the peer's first word, and nothing else was said there.
    let mut buffer = [0; 2_048];
    let (length, _) = nobody.recv_from(&mut buffer).unwrap();
    assert_eq!((length, &buffer[..2]), (20, &[0, 0x11][..]));
    assert!(nobody.recv_from(&mut buffer).is_err());
    assert_nothing_in_clear(&bench);
}

#[test]
fn reports_move_between_the_ports_as_is_agreed() {
    let parameters = apart(dtls(Role::Client));
    let (mut bench, left, right) = call_apart(&parameters);
    let update = |bench: &Bench, parameters: &StreamParameters| {
        for (side, stream) in [(0, &left), (1, &right)] {
            stream.update(told(bench, side, parameters)).unwrap();
        }
    };
    let figures = |bench: &Bench| {
        let reports = [&left, &right].map(|s| s.counters().reports_received());
        let apart = [0, 1].map(|side| on_report_port(bench, side)[1].len());
        let shaken = hellos(bench.report_wires[0].kept.as_ref().unwrap()).len();
        (reports, apart, shaken)
    };
    bench.run(12 * SECOND);
    let (first, by_port, shaken) = figures(&bench);
    assert!(first.iter().all(|n| *n > 0) && by_port.iter().all(|n| *n > 0));
    assert_eq!(shaken, 1);
    // What is agreed again goes on.
    update(&bench, &parameters);
    bench.run(12 * SECOND);
    let (second, by_port, shaken) = figures(&bench);
    assert!(second[0] > first[0] && second[1] > first[1]);
    assert_eq!(shaken, 1);
    // They share the port of the media, and its keys.
    let shared = StreamParameters {
        rtcp_mux: true,
        ..parameters.clone()
    };
    update(&bench, &shared);
    bench.run(15 * SECOND);
    let (third, still, shaken) = figures(&bench);
    assert!(third[0] > second[0] && third[1] > second[1], "{third:?}");
    assert_eq!((still, shaken), (by_port, 1));
    // They leave it again: another handshake, and speech does not wait for it.
    let speech = left.counters().received();
    update(&bench, &parameters);
    bench.run(15 * SECOND);
    let (fourth, moved, shaken) = figures(&bench);
    assert!(fourth[0] > third[0] && fourth[1] > third[1], "{fourth:?}");
    assert!(moved[0] > still[0] && moved[1] > still[1], "{moved:?}");
    assert_eq!(shaken, 2);
    assert!(left.counters().received() >= speech + 740);
    // Somebody else, with other roles: both begin anew.
    let other = apart(dtls(Role::Server));
    update(&bench, &other);
    bench.run(15 * SECOND);
    let (fifth, ..) = figures(&bench);
    assert!(fifth[0] > fourth[0] && fifth[1] > fourth[1], "{fifth:?}");
    assert_eq!(
        hellos(bench.report_wires[1].kept.as_ref().unwrap()).len(),
        1
    );
    for stream in [&left, &right] {
        let told = events(stream);
        let secured = |e: &&StreamEvent| matches!(e, StreamEvent::Secured(_));
        assert_eq!(told.iter().filter(secured).count(), 2, "{told:?}");
        assert!(stream.counters().received() > 0);
    }
    assert_nothing_in_clear(&bench);
}

/// RFC 8445 §4: each component has a way of its own, and nothing but checks goes before it is found.
#[test]
fn the_handshake_of_the_reports_goes_the_way_that_was_found_for_them() {
    let parameters = apart(dtls(Role::Client));
    let (mut bench, left, right) = call_apart(&parameters);
    let nobody = UdpSocket::bind((common::HERE, 0)).unwrap();
    nobody.set_nonblocking(true).unwrap();
    let astray = nobody.local_addr().unwrap();
    let credentials = |side: usize| Credentials {
        ufrag: format!("side{side}"),
        pwd: format!("a-password-of-22-signs-{side}"),
    };
    let candidate = |component, at: SocketAddr| {
        format!(
            "1 {component} udp 2130706431 {} {} typ host",
            at.ip(),
            at.port()
        )
    };
    for (side, stream) in [(0, &left), (1, &right)] {
        let lines = [
            (0, Component::Media, &bench.wires),
            (1, Component::Reports, &bench.report_wires),
        ];
        let session = Session {
            local: credentials(side),
            remote: credentials(1 - side),
            bases: lines
                .iter()
                .map(|(socket, component, wires)| Base {
                    socket: *socket,
                    component: *component,
                    at: wires[1 - side].to,
                    mapped: None,
                    relayed: None,
                })
                .collect(),
            candidates: lines
                .iter()
                .map(|(socket, _, wires)| candidate(socket + 1, wires[side].address()))
                .collect(),
            controlling: side == 0,
        };
        stream
            .update(StreamParameters {
                remote: Some(astray),
                remote_rtcp: Some(astray),
                ice: Some(session),
                ..told(&bench, side, &parameters)
            })
            .unwrap();
    }
    bench.run(20 * SECOND);
    for (side, stream) in [(0, &left), (1, &right)] {
        let counters = stream.counters();
        assert!(counters.reports_received() >= 2 && counters.round_trip().is_some());
        // The first word is a check, and handshakes come after it.
        let kept = bench.report_wires[side].kept.as_ref().unwrap();
        assert!(kept[0][0] < 4, "{:02x?}", kept[0]);
        let [flights, reports, _] = on_report_port(&bench, side);
        assert!(!flights.is_empty() && !reports.is_empty());
    }
    assert!(nobody.recv_from(&mut [0; 2_048]).is_err());
}

/// Whoever sends anything at all to the port of the reports.
#[test]
fn what_strangers_send_to_the_port_of_the_reports_does_no_harm() {
    let parameters = apart(dtls(Role::Server));
    let (mut bench, left, right) = call_apart(&parameters);
    let stranger = UdpSocket::bind((common::HERE, 0)).unwrap();
    let mut random = Random(99);
    // What the peer itself will say first, in many broken forms: from strangers, and as if from the peer.
    let mut hello: Vec<u8> = Vec::new();
    for tick in 0..1_200 {
        let first = bench.report_wires[1].kept.as_ref().unwrap().first();
        if let Some(first) = first.filter(|_| hello.is_empty()) {
            hello = first.clone();
        }
        for n in 0..40 {
            let mut datagram: Vec<u8> = match n % 4 {
                0 => hello.clone(),
                1 => vec![22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 1, 0, 0, 188],
                2 => vec![0x80, 200, 0, 6],
                _ => vec![20 + (random.next() * 40.0) as u8],
            };
            datagram.resize(16 + (random.next() * 1_400.0) as usize, n as u8);
            for _ in 0..n / 8 {
                let place = (random.next() * datagram.len() as f64) as usize;
                datagram[place] = (random.next() * 256.0) as u8;
            }
            let way = &bench.report_wires[tick % 2];
            // The peer's own port only after the handshake: before, who can speak as the peer can end it.
            let socket = if tick > 600 && n % 3 == 0 {
                &way.out
            } else {
                &stranger
            };
            socket.send_to(&datagram, way.to).unwrap();
        }
        bench.step();
    }
    // They do not even wait for its end.
    let during = [&left, &right].map(|s| s.counters().reports_received());
    println!("during the flood {during:?} reports");
    assert!(during.iter().all(|n| *n > 0), "{during:?}");
    bench.run(15 * SECOND);
    let carried = |side: usize| on_report_port(&bench, side)[1].len() as u64;
    for (stream, sent) in [(&left, carried(1)), (&right, carried(0))] {
        let counters = stream.counters();
        println!("{sent} reports, {} not genuine", counters.not_genuine());
        assert!(counters.received() > 26 * 50, "{}", counters.received());
        assert!(counters.reports_received() >= 2 && counters.not_genuine() > 1_000);
        // A flood may take a real one's place in the socket, but nothing else counts as one.
        assert!(counters.reports_received() <= sent);
        assert!(!counters.failed());
    }
    assert_nothing_in_clear(&bench);
    // Who asks gets questions back, and no one else's reports.
    stranger.set_nonblocking(true).unwrap();
    let mut buffer = [0; 2_048];
    while let Ok((length, _)) = stranger.recv_from(&mut buffer) {
        assert!(dtls::looks_like_dtls(&buffer[..length]));
    }
}

/// RFC 5763 §6.6, RFC 8842 §4: without ICE another address is another association, whatever certificate is shown there.
#[test]
fn the_same_certificate_at_another_address_is_shaken_hands_with_anew() {
    for role in [Role::Client, Role::Server] {
        let ours = with(dtls(role));
        let (mut bench, left, right) = call(&ours);
        bench.run(3 * SECOND);
        let told = events(&left);
        assert!(told.iter().any(|e| matches!(e, StreamEvent::Secured(_))));
        // Another machine of the same house, which knows nothing of the keys of the first.
        let (rtp, _) = media::socket::bind_pair(common::HERE, 0..=0).unwrap();
        let at = rtp.local_addr().unwrap();
        let mut theirs = StreamParameters {
            remote: Some(bench.wires[1].to),
            ..ours.clone()
        };
        if let Some(dtls) = &mut theirs.dtls {
            dtls.peer.role = match role {
                Role::Client => Role::Server,
                Role::Server => Role::Client,
            };
        }
        let config = media::StreamConfig {
            source: Source::Tone { hz: 440.0 },
            sink: Sink::Discard,
            ..media::StreamConfig::new(rtp, theirs, 77)
        };
        let other = bench.handle.add_stream(config).unwrap();
        drop(right);
        let moved = StreamParameters {
            remote: Some(at),
            ..ours.clone()
        };
        left.update(moved.clone()).unwrap();
        let received = left.counters().received();
        bench.run(5 * SECOND);
        for stream in [&left, &other] {
            let told = events(stream);
            let secured = |e: &&StreamEvent| matches!(e, StreamEvent::Secured(_));
            assert_eq!(told.iter().filter(secured).count(), 1, "{told:?}");
        }
        // The same description again is nothing new.
        left.update(moved).unwrap();
        bench.run(5 * SECOND);
        assert_eq!(events(&left), []);
        let heard = [
            other.counters().received(),
            left.counters().received() - received,
        ];
        assert!(heard.iter().all(|packets| *packets > 400), "{heard:?}");
    }
}

/// The same terms with names for the association.
fn named(parameters: &StreamParameters, ours: &str, theirs: &str) -> StreamParameters {
    let mut named = parameters.clone();
    if let Some(dtls) = &mut named.dtls {
        dtls.association = Some(media::Association {
            ours: ours.to_owned(),
            theirs: theirs.to_owned(),
        });
    }
    named
}

/// What the other side has agreed to: the other role, and where it finds this one.
fn seen_by_the_other(
    parameters: &StreamParameters,
    remote: Option<SocketAddr>,
) -> StreamParameters {
    let mut theirs = StreamParameters {
        remote,
        ..parameters.clone()
    };
    if let Some(dtls) = &mut theirs.dtls {
        dtls.peer.role = Role::Server;
    }
    theirs
}

/// How many handshakes have made keys since this was asked last.
fn secured(stream: &StreamHandle) -> usize {
    let told = events(stream);
    let secured = |e: &&StreamEvent| matches!(e, StreamEvent::Secured(_));
    told.iter().filter(secured).count()
}

/// RFC 8842 §4: while the names stay the association goes on, also at another address; another name is another one. With the
/// same certificates the keys of before are used until there are others.
#[test]
fn names_tell_whether_an_association_goes_on() {
    let (one, other) = ("the-name-that-one-gave", "the-name-that-the-other-gave");
    let ours = named(&with(dtls(Role::Client)), one, other);
    let (mut bench, left, right) = call(&ours);
    bench.run(3 * SECOND);
    assert_eq!([&left, &right].map(secured), [1, 1]);
    let places = [0, 1].map(|wire: usize| Some(bench.wires[wire].address()));
    // Elsewhere, as they say, it is the same: what comes there is media and no handshake.
    let elsewhere = UdpSocket::bind((common::HERE, 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    left.update(StreamParameters {
        remote: elsewhere.local_addr().ok(),
        ..ours.clone()
    })
    .unwrap();
    bench.run(SECOND);
    let mut first = [0; 2_000];
    let came = std::iter::from_fn(|| elsewhere.recv(&mut first).ok().map(|_| first[0]));
    let came: Vec<u8> = came.collect();
    let is_media = |byte: &u8| (128..=191).contains(byte);
    assert!(came.len() > 40 && came.iter().all(is_media), "{came:?}");
    let back = StreamParameters {
        remote: places[0],
        ..ours.clone()
    };
    left.update(back).unwrap();
    bench.run(SECOND);
    assert_eq!([&left, &right].map(secured), [0, 0]);
    // Another one, as they say.
    let before = [&left, &right].map(|stream| stream.counters().received());
    let again = named(
        &ours,
        "another-name-that-one-gave",
        "another-name-of-the-other",
    );
    right.update(seen_by_the_other(&again, places[1])).unwrap();
    let again = StreamParameters {
        remote: places[0],
        ..again
    };
    left.update(again).unwrap();
    bench.run(10 * SECOND);
    assert_eq!([&left, &right].map(secured), [1, 1]);
    for (stream, before) in [&left, &right].into_iter().zip(before) {
        let came = stream.counters().received() - before;
        assert!((495..=502).contains(&came), "{came}");
    }
}

/// RFC 5763 §6.6: who has another address itself begins anew as well, where nobody says that it is the same association.
#[test]
fn who_has_moved_itself_shakes_hands_anew() {
    let ours = with(dtls(Role::Client));
    let (mut bench, left, right) = call(&ours);
    bench.run(3 * SECOND);
    assert_eq!([&left, &right].map(secured), [1, 1]);
    let (rtp, _) = media::socket::bind_pair(common::HERE, 0..=0).unwrap();
    let place = media::Place {
        socket: rtp.try_clone().unwrap(),
        rtcp_socket: None,
        relay: None,
        rtcp_relay: None,
    };
    left.move_to(place, Vec::new()).unwrap();
    bench.wires[1].to = rtp.local_addr().unwrap();
    let to = Some(bench.wires[0].address());
    let here = StreamParameters {
        remote: to,
        ..ours.clone()
    };
    // Before the other side knows of it, and then again: it is one handshake.
    left.update(here.clone()).unwrap();
    left.update(here).unwrap();
    // To the other side it is a peer at another address: another socket in front of the same one.
    let seen = UdpSocket::bind((common::HERE, 0)).unwrap();
    let way = common::Wire::new(&seen, &bench.wires[1].out, rtp.local_addr().unwrap(), 5);
    bench.wires.push(way);
    bench.wires[0].out = seen.try_clone().unwrap();
    right
        .update(seen_by_the_other(&ours, seen.local_addr().ok()))
        .unwrap();
    let before = [&left, &right].map(|stream| stream.counters().received());
    bench.run(10 * SECOND);
    assert_eq!([&left, &right].map(secured), [1, 1]);
    for (stream, before) in [&left, &right].into_iter().zip(before) {
        let came = stream.counters().received() - before;
        assert!(came > 490, "{came}");
    }
}

/// Whoever moves and goes on with the keys that there are, as some do, is not cut off by that.
#[test]
fn who_moves_and_shakes_no_hands_goes_on_with_the_keys_there_are() {
    let ours = with(dtls(Role::Client));
    let (mut bench, left, right) = call(&ours);
    bench.run(3 * SECOND);
    // What goes to the new address is carried to the same peer, but for handshakes.
    let nobody = std::net::UdpSocket::bind((common::HERE, 0)).unwrap();
    left.update(StreamParameters {
        remote: nobody.local_addr().ok(),
        ..ours
    })
    .unwrap();
    let before = left.counters().received();
    bench.run(30 * SECOND);
    assert!(left.counters().received() - before > 1_400);
    let told = events(&left);
    let failed = |e: &StreamEvent| matches!(e, StreamEvent::NotSecured(_));
    assert!(told.iter().any(failed), "{told:?}");
    drop(right);
}
