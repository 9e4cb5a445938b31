//! Encrypted streams, in virtual time: what is on the wire, what is let in, and changes of keys.

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, align, mirrored, parameters, security, voice};
use media::{Security, Sink, Source, StreamEvent, StreamHandle, StreamParameters, Suite};

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
    update_with(bench, wire, stream, security, false);
}

/// With the reports on the same wire, where that is wanted.
fn update_with(
    bench: &Bench,
    wire: usize,
    stream: &StreamHandle,
    security: Option<Security>,
    rtcp_mux: bool,
) {
    let parameters = StreamParameters {
        security,
        remote: Some(bench.wires[wire].address()),
        rtcp_mux,
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

/// RFC 4568 §7.1.4: the peer knows our new key once our offer has come; under the one before there are packets under way, and
/// there will be until its answer has come to us.
#[test]
fn a_new_key_takes_over_in_the_middle_and_the_other_direction_goes_on() {
    for suite in Suite::ALL {
        let (mut bench, left, right) = call(&secured(security(Suite::AeadAes256Gcm, 1, 2)));
        for wire in &mut bench.wires {
            wire.delay = Duration::from_millis(80);
        }
        bench.run(SECOND);
        for wire in &mut bench.wires {
            wire.jitter = Duration::from_millis(30);
        }
        bench.run(SECOND);
        // Left offers a new key, or another suite: right is told first, and left goes by the answer.
        let mut renewed = security(suite, 3, 2);
        if suite != Suite::AeadAes256Gcm {
            renewed = security(suite, 3, 4);
        }
        update(&bench, 1, &right, Some(mirrored(&renewed)));
        if suite == Suite::AeadAes256Gcm {
            bench.run(Duration::from_millis(200));
        }
        update(&bench, 0, &left, Some(renewed.clone()));
        bench.run(3 * SECOND);
        // The same again changes nothing: the numbers go on, so nothing is refused as used.
        update(&bench, 0, &left, Some(renewed.clone()));
        bench.run(SECOND);
        // What is on its way arrives, and every packet that was sent was heard, the very first, too, though none is believed
        // alone (RFC 3550 A.1).
        let hush = |bench: &Bench, wire: usize, security: Security| StreamParameters {
            remote: Some(bench.wires[wire].address()),
            send: false,
            ..secured(security)
        };
        left.update(hush(&bench, 0, renewed.clone())).unwrap();
        right.update(hush(&bench, 1, mirrored(&renewed))).unwrap();
        bench.run(SECOND);
        for (from, to) in [(&left, &right), (&right, &left)] {
            let (sent, received) = (from.counters().sent(), to.counters().received());
            let dropped = to.counters().dropped();
            println!("{suite:?}: {received} of {sent} heard, {dropped} dropped");
            assert!(sent > 290, "{suite:?}: {sent}");
            assert_eq!((sent - received, dropped), (0, 0), "{suite:?}");
            assert_eq!(to.counters().not_genuine(), 0, "{suite:?}");
            assert_eq!(from.counters().send_errors(), 0, "{suite:?}");
        }
    }
}

/// The key before has its two seconds, in which nobody else gets in with it or without.
#[test]
fn the_key_before_counts_for_a_moment_and_only_from_key_to_key() {
    let (first, second) = (
        security(Suite::AeadAes128Gcm, 1, 2),
        security(Suite::AeadAes128Gcm, 3, 2),
    );
    let (mut bench, _left, right) = call(&secured(first.clone()));
    bench.run(SECOND);
    update(&bench, 1, &right, Some(mirrored(&second)));
    let counters = || {
        let counters = right.counters();
        (counters.received(), counters.not_genuine())
    };
    // Left never learns of it.
    let (heard, refused) = counters();
    bench.run(Duration::from_millis(1_900));
    let (heard, heard_before) = (counters().0, heard);
    assert!(heard >= heard_before + 94, "{heard} {heard_before}");
    assert_eq!(counters().1, refused);
    // What is forged meanwhile is what it always was.
    let to = bench.wires[0].to;
    let mut forged = bench.wires[0].last.clone();
    forged[3] = forged[3].wrapping_add(9);
    bench.wires[0].out.send_to(&forged, to).unwrap();
    bench.wires[0].out.send_to(&forged[..172], to).unwrap();
    bench.run(Duration::from_millis(200));
    let (heard, refused) = counters();
    assert!(refused >= 2, "{refused}");
    bench.run(SECOND);
    assert_eq!(counters().0, heard, "after two seconds");
    assert!(counters().1 >= refused + 49);

    // Over plain media, or to another place, the key before is gone at once.
    let elsewhere = UdpSocket::bind((common::HERE, 0)).unwrap();
    for moves in [false, true] {
        let (mut bench, _left, right) = call(&secured(first.clone()));
        bench.run(SECOND);
        if moves {
            let there = StreamParameters {
                remote: elsewhere.local_addr().ok(),
                ..secured(mirrored(&second))
            };
            right.update(there).unwrap();
        } else {
            update(&bench, 1, &right, None);
            update(&bench, 1, &right, Some(mirrored(&second)));
        }
        let heard = right.counters().received();
        bench.run(SECOND);
        assert_eq!(right.counters().received(), heard, "moves: {moves}");
        assert!(right.counters().not_genuine() >= 49);
    }
}

/// RFC 3711 §9.1: no two packets under one key and number, so no key begins a second time. Not on the way over another suite,
/// or over no encryption, and not with the other tag of the same cipher either.
#[test]
fn a_key_that_has_served_before_sends_nothing_encrypted_or_plain() {
    let key = security;
    let (gcm, counter) = (Suite::AeadAes256Gcm, Suite::AesCm128HmacSha1_80);
    for (first, between, again) in [
        (key(gcm, 1, 2), None, key(gcm, 1, 7)),
        (key(gcm, 1, 2), Some(key(counter, 3, 6)), key(gcm, 1, 7)),
        (key(counter, 1, 2), None, key(counter, 1, 7)),
        (
            key(counter, 1, 2),
            Some(key(gcm, 3, 6)),
            key(Suite::AesCm128HmacSha1_32, 1, 7),
        ),
    ] {
        let (mut bench, left, right) = call(&secured(first.clone()));
        bench.run(SECOND);
        let agree = |bench: &mut Bench, security: Option<&Security>| {
            update_with(bench, 1, &right, security.map(mirrored), true);
            update_with(bench, 0, &left, security.cloned(), true);
            while left.poll_event().is_some() {}
            bench.run(8 * SECOND);
        };
        agree(&mut bench, between.as_ref());
        bench.wires[0].step(bench.now);
        // RFC 7983 §7: the rest keeps a router open, and says nothing.
        let media = |bench: &Bench| bench.wires[0].first_bytes[128..192].iter().sum::<u32>();
        let carried = media(&bench);
        let heard = right.counters().reports_received();
        assert!(carried > 440 && heard > 0, "{carried} {heard}");
        agree(&mut bench, Some(&again));
        assert_eq!(left.poll_event(), Some(StreamEvent::KeyServedBefore));
        assert_eq!(media(&bench), carried, "{between:?}");
        assert_eq!(right.counters().reports_received(), heard);
        // The other direction goes on, and the same words again are no reason to begin.
        let received = left.counters().received();
        agree(&mut bench, Some(&again));
        assert_eq!(media(&bench), carried);
        assert!(left.counters().received() > received + 390);
        let received = left.counters().received();
        // With another key all is well.
        agree(&mut bench, Some(&key(gcm, 5, 8)));
        assert!(media(&bench) > carried + 390);
        assert!(right.counters().reports_received() > heard);
        assert!(left.counters().received() > received + 390);
        assert_eq!(left.poll_event(), None);
    }
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
