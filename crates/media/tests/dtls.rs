//! Keys by a handshake on the stream's own path, in virtual time: what is sent before, with, and without them.

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, align, parameters, voice};
use dtls::{Certificate, Failure, Peer, Profile, Role};
use media::{Dtls, Sink, Source, StreamEvent, StreamHandle, StreamParameters};

const SECOND: Duration = Duration::from_secs(1);

/// Both ends show the same certificate, which makes no difference.
fn dtls(role: Role) -> Dtls {
    let certificate = Certificate::generate().unwrap();
    let fingerprints = vec![certificate.fingerprint().clone()];
    Dtls {
        certificate,
        peer: Peer { fingerprints, role },
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
