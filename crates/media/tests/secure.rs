//! Encrypted streams, in virtual time: what is on the wire, what is let in, and changes of keys.

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, align, mirrored, parameters, security, voice};
use media::{Security, Sink, Source, StreamHandle, StreamParameters, Suite};

const SECOND: Duration = Duration::from_secs(1);

fn secured(security: Security) -> StreamParameters {
    StreamParameters {
        security: Some(security),
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

fn update(bench: &Bench, wire: usize, stream: &StreamHandle, security: Option<Security>) {
    let parameters = StreamParameters {
        security,
        remote: Some(bench.wires[wire].address()),
        ..parameters(CodecKind::Pcmu)
    };
    stream.update(parameters).unwrap();
}

#[test]
fn speech_and_reports_cross_with_every_suite_and_cannot_be_read_on_the_way() {
    for suite in Suite::ALL {
        let (mut bench, left, right) = call(&secured(security(suite, 1, 2)));
        bench.run(8 * SECOND);
        let said = voice(6.0);
        let (_, alike) = align(&said[48_000..240_000], &bench.heard()[48_000..], 24_000);
        assert!(alike > 0.98, "{suite:?}: {alike}");
        let counters = right.counters();
        assert_eq!((counters.not_genuine(), counters.replayed()), (0, 0));
        assert!(counters.received() > 380, "{suite:?}");
        assert!(counters.reports_received() > 0, "{suite:?}");
        assert!(left.counters().round_trip().is_some(), "{suite:?}");
        // 440 Hz of PCMU repeats itself; what is on the wire does not.
        let packet = &bench.wires[1].last;
        let mut seen = [false; 256];
        packet[12..172]
            .iter()
            .for_each(|b| seen[usize::from(*b)] = true);
        assert!(packet.len() > 172, "{suite:?}");
        let different = seen.iter().filter(|seen| **seen).count();
        assert!(different > 100, "{suite:?}: {different} different bytes");
    }
}

#[test]
fn what_is_plain_forged_or_replayed_is_not_heard_and_makes_no_peer_known() {
    let (mut bench, _left, right) = call(&secured(security(Suite::AesCm128HmacSha1_80, 1, 2)));
    bench.run(SECOND);
    let before = right.counters().received();
    let genuine = bench.wires[0].last.clone();
    let to = bench.wires[0].to;
    let stranger = UdpSocket::bind((common::HERE, 0)).unwrap();
    bench.wires[0].loss = 1.0;
    for n in 0..100u16 {
        // A replay from the peer's own address, and plain packets in its name from there and elsewhere.
        bench.wires[0].out.send_to(&genuine, to).unwrap();
        let mut plain = genuine[..172].to_vec();
        let number = u16::from_be_bytes([plain[2], plain[3]]) + 1 + n;
        plain[2..4].copy_from_slice(&number.to_be_bytes());
        bench.wires[0].out.send_to(&plain, to).unwrap();
        stranger.send_to(&plain, to).unwrap();
        bench.run(Duration::from_millis(20));
    }
    let counters = right.counters();
    assert_eq!(counters.received(), before);
    assert!(counters.replayed() >= 99, "{}", counters.replayed());
    assert!(counters.not_genuine() >= 100, "{}", counters.not_genuine());
    assert_ne!(counters.target(), stranger.local_addr().ok());
    assert_ne!(counters.actual_peer(), stranger.local_addr().ok());
    // And the true one is heard again.
    bench.wires[0].loss = 0.0;
    bench.run(SECOND);
    assert!(counters.received() > before + 40);
}

#[test]
fn a_new_key_takes_over_in_the_middle_and_the_other_direction_goes_on() {
    let suite = Suite::AeadAes256Gcm;
    let (mut bench, left, right) = call(&secured(security(suite, 1, 2)));
    bench.run(2 * SECOND);
    // Left has a new key. Right knows it a moment later, as with the answer to a re-INVITE.
    let renewed = security(suite, 3, 2);
    update(&bench, 0, &left, Some(renewed.clone()));
    bench.run(Duration::from_millis(60));
    let missed = right.counters().not_genuine();
    assert!((1..=4).contains(&missed), "{missed}");
    update(&bench, 1, &right, Some(mirrored(&renewed)));
    let before = (left.counters().received(), right.counters().received());
    bench.run(2 * SECOND);
    assert_eq!(right.counters().not_genuine(), missed);
    assert_eq!(left.counters().not_genuine(), 0);
    assert!(left.counters().received() >= before.0 + 98);
    assert!(right.counters().received() >= before.1 + 98);
    // The same again changes nothing: the numbers go on, so nothing is refused as used.
    update(&bench, 0, &left, Some(renewed.clone()));
    bench.run(SECOND);
    assert_eq!(left.counters().send_errors(), 0);
    assert_eq!(right.counters().not_genuine(), missed);
}

#[test]
fn encryption_can_begin_and_end_within_a_call() {
    let plain = parameters(CodecKind::Pcmu);
    let (mut bench, left, right) = call(&plain);
    bench.run(SECOND);
    let keys = security(Suite::AesCm256HmacSha1_80, 5, 6);
    for security in [Some(keys), None] {
        update(&bench, 0, &left, security.clone());
        update(&bench, 1, &right, security.as_ref().map(mirrored));
        let before = right.counters().received();
        bench.run(SECOND);
        assert!(right.counters().received() >= before + 48);
        let tag = if security.is_some() { 10 } else { 0 };
        assert_eq!(bench.wires[0].last.len(), 172 + tag);
    }
}

/// Over more packets than the numbers count: the rollover counter moves on at both ends. On hold, too.
#[test]
fn the_numbers_may_wrap_while_the_peer_is_on_hold() {
    let (mut bench, _left, right) = call(&secured(security(Suite::AesCm128HmacSha1_80, 1, 2)));
    bench.run(SECOND);
    let hold = |receive| {
        let security = mirrored(&security(Suite::AesCm128HmacSha1_80, 1, 2));
        StreamParameters {
            remote: Some(bench.wires[1].address()),
            receive,
            ..secured(security)
        }
    };
    let (held, resumed) = (hold(false), hold(true));
    right.update(held).unwrap();
    bench.microphone = None;
    for _ in 0..70_000 {
        bench.run(Duration::from_millis(20));
    }
    let before = right.counters().received();
    right.update(resumed).unwrap();
    bench.run(SECOND);
    assert!(right.counters().received() >= before + 45);
    assert_eq!(right.counters().not_genuine(), 0);
}
