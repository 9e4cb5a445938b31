//! Counts what the pump allocates and frees while it works: nothing.

mod common;

use std::cell::Cell;
use std::net::UdpSocket;
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, parameters, security, shared, voice};
use media::{
    Dtls, ExtendedReports, ReceivedCodec, Sink, Source, StreamConfig, StreamParameters, Suite,
};
use testkit::Counting;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Octets that this thread holds.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(octets: isize) {
    let _ = HELD.try_with(|held| held.set(held.get() + octets));
    if WATCHED.try_with(Cell::get).unwrap_or(false) {
        COUNT.with(|count| count.set(count.get() + 1));
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

/// With all that reports can have.
fn talkative(kind: CodecKind) -> StreamParameters {
    StreamParameters {
        extended_reports: ExtendedReports {
            metrics: true,
            round_trip: true,
        },
        ..parameters(kind)
    }
}

#[test]
fn a_warm_pump_neither_allocates_nor_frees() {
    let mut bench = Bench::new();
    let mut streams = Vec::new();
    for kind in [
        CodecKind::Pcmu,
        CodecKind::Pcma,
        CodecKind::G722,
        CodecKind::Opus,
    ] {
        let looped = Source::File {
            samples: shared(&voice(1.0)),
            looped: true,
        };
        streams.push(bench.pair(
            &talkative(kind),
            (Source::Microphone, Sink::Speaker),
            (Source::Echo, Sink::Discard),
        ));
        streams.push(bench.pair(
            &talkative(kind),
            (looped, Sink::Speaker),
            (Source::Tone { hz: 300.0 }, Sink::Speaker),
        ));
    }
    for suite in Suite::ALL {
        let secured = StreamParameters {
            security: Some(security(suite, 1, 2)),
            ..talkative(CodecKind::Pcmu)
        };
        streams.push(bench.pair(
            &secured,
            (Source::Microphone, Sink::Speaker),
            (Source::Echo, Sink::Discard),
        ));
    }
    for wire in &mut bench.wires {
        wire.loss = 0.05;
    }
    bench.attach_microphone(voice(3.0));
    bench.attach_speaker();
    bench.run(Duration::from_millis(500));
    let mut worst = 0;
    // The first reports come after a second and more.
    for _ in 0..400 {
        let ntp = bench.ticks << 32;
        for wire in &mut bench.wires {
            wire.step(bench.now);
        }
        COUNT.set(0);
        WATCHED.set(true);
        bench.pump.step(bench.now, ntp);
        WATCHED.set(false);
        worst = worst.max(COUNT.get());
        bench.now += common::TICK;
        bench.ticks += 1;
    }
    assert_eq!(worst, 0, "allocations in one step");
    for (left, right) in &streams {
        let reports = left.counters().reports_received() + right.counters().reports_received();
        assert!(reports >= 2 && left.counters().peer_metrics().is_some());
    }
    let heard: u64 = streams
        .iter()
        .map(|(left, _)| left.counters().received())
        .sum();
    assert!(heard > 200, "{heard}");
}

/// Keys by handshakes, one on the port of the media and one on that of the reports.
fn by_handshakes() -> StreamParameters {
    let certificate = dtls::Certificate::generate().unwrap();
    let fingerprints = vec![certificate.fingerprint().clone()];
    let role = dtls::Role::Client;
    StreamParameters {
        dtls: Some(Dtls {
            certificate,
            peer: dtls::Peer { fingerprints, role },
            association: None,
        }),
        ..talkative(CodecKind::Pcmu)
    }
}

/// With all its threads on this one.
#[test]
fn once_there_are_keys_by_handshakes_nothing_is_allocated_either() {
    let mut bench = Bench::new();
    let tone = || (Source::Tone { hz: 300.0 }, Sink::Discard);
    let (left, right) = bench.pair(&by_handshakes(), tone(), tone());
    bench.run(Duration::from_secs(8));
    let reports = || [&left, &right].map(|s| s.counters().reports_received());
    let before = reports();
    let stranger = UdpSocket::bind((common::HERE, 0)).unwrap();
    let mut worst = 0;
    for _ in 0..1_500 {
        // Whoever sends what looks like a handshake, or media, or nothing.
        for first in [22, 0x80, 0xff] {
            for _ in 0..30 {
                stranger.send_to(&[first; 60], bench.wires[0].to).unwrap();
            }
        }
        for wire in &mut bench.wires {
            wire.step(bench.now);
        }
        COUNT.set(0);
        WATCHED.set(true);
        bench.pump.step(bench.now, bench.ticks << 32);
        WATCHED.set(false);
        worst = worst.max(COUNT.get());
        bench.now += common::TICK;
        bench.ticks += 1;
    }
    assert_eq!(worst, 0, "allocations in one step");
    let after = reports();
    assert!(after[0] > before[0] && after[1] > before[1], "{after:?}");
}

#[test]
fn first_flights_of_strangers_to_the_port_of_the_reports_take_no_memory_for_good() {
    let mut bench = Bench::new();
    bench.reports_by_wire = true;
    let tone = || (Source::Tone { hz: 300.0 }, Sink::Discard);
    let (_left, right) = bench.pair(&by_handshakes(), tone(), tone());
    // Its own first flight gets to nobody, so that the other side goes on waiting for it.
    bench.report_wires[0].loss = 1.0;
    bench.run(Duration::from_millis(50));
    let sent = bench.report_wires[0].kept.take().unwrap();
    let mut hellos = sent.into_iter().filter(|d| d[0] == 22 && d[13] == 1);
    let hello = hellos.next().expect("it begins at once");
    bench.report_wires[1].kept = None;
    let strangers: Vec<_> = (0..50)
        .map(|_| UdpSocket::bind((common::HERE, 0)).unwrap())
        .collect();
    let mut held = Vec::new();
    for second in 0..15u8 {
        for tick in 0..100u8 {
            for (n, stranger) in (0u8..).zip(&strangers) {
                let mut forged = hello.clone();
                forged[27..30].copy_from_slice(&[second, tick, n]);
                stranger.send_to(&forged, bench.report_wires[0].to).unwrap();
            }
            bench.step();
        }
        held.push(HELD.get());
    }
    println!("held {held:?}, dropped {}", right.counters().dropped());
    assert!(right.counters().dropped() > 10_000);
    // 75 000 datagrams of 150 octets and more.
    assert!(held[14] - held[3] < 100_000, "{held:?}");
    assert!(right.counters().received() > 14 * 50);
}

/// RFC 3264 §7: the peer may go from codec to codec, here with each packet.
#[test]
fn a_change_of_codec_neither_allocates_nor_frees() {
    let kinds = [
        CodecKind::Pcmu,
        CodecKind::Opus,
        CodecKind::Pcma,
        CodecKind::G722,
    ];
    let agreed = StreamParameters {
        further_codecs: kinds
            .iter()
            .map(|kind| ReceivedCodec {
                payload_type: kind.static_payload_type().unwrap_or(111),
                kind: *kind,
            })
            .collect(),
        ..talkative(CodecKind::Pcmu)
    };
    let mut bench = Bench::new();
    let (socket, _control) = media::socket::bind_pair(common::HERE, 0..=0).unwrap();
    let (to, peer) = (
        socket.local_addr().unwrap(),
        std::net::UdpSocket::bind((common::HERE, 0)).unwrap(),
    );
    let config = StreamConfig {
        source: Source::Echo,
        ..StreamConfig::new(socket, agreed, 3)
    };
    let stream = bench.handle.add_stream(config).unwrap();
    bench.attach_speaker();
    let mut encoders =
        kinds.map(|kind| codecs::Encoder::new(kind, codecs::EncoderOptions::default()).unwrap());
    let mut say = |number: u16, kind: usize| {
        let mut payload = [0; codecs::LONGEST_PAYLOAD];
        let frame: Vec<i16> = (0..kinds[kind].frame_samples(20) as i16)
            .map(|n| n % 50 * 100)
            .collect();
        let length = encoders[kind].encode(&frame, &mut payload).unwrap();
        let header = rtp::RtpHeader {
            marker: false,
            payload_type: kinds[kind].static_payload_type().unwrap_or(111),
            sequence_number: number,
            timestamp: u32::from(number) * 160,
            ssrc: 9,
        };
        let mut packet = Vec::new();
        header.write(&payload[..length], &mut packet).unwrap();
        peer.send_to(&packet, to).unwrap();
    };
    let mut worst = 0;
    for step in 0..600u16 {
        if step.is_multiple_of(2) {
            // Warm with the agreed one alone; then the others come for the first time.
            let kind = if step < 200 {
                0
            } else {
                usize::from(step / 2) % 4
            };
            say(step / 2, kind);
        }
        let ntp = bench.ticks << 32;
        COUNT.set(0);
        WATCHED.set(step >= 100);
        bench.pump.step(bench.now, ntp);
        WATCHED.set(false);
        worst = worst.max(COUNT.get());
        bench.now += common::TICK;
        bench.ticks += 1;
    }
    assert_eq!(worst, 0, "allocations in one step");
    let counters = stream.counters();
    assert!(counters.received() > 290, "{}", counters.received());
    assert_eq!(
        counters.codec_heard().map(|k| kinds.contains(&k)),
        Some(true)
    );
}
