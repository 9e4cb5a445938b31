//! What is on the wire: packets of each length, and Opus as the peer wants it.

mod common;

use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, align, parameters, shared, voice};
use media::{OpusWishes, Sink, Source, StreamParameters};
use rtp::RtpPacket;

/// A packet as it was sent: its length with the header, its timestamp, and its payload.
type Sent = (usize, u32, Vec<u8>);

/// What goes over the first wire in so many milliseconds.
fn watch(bench: &mut Bench, ms: u64) -> Vec<Sent> {
    let mut sent = Vec::new();
    for _ in 0..ms / 10 {
        let before = bench.wires[0].carried;
        bench.step();
        let wire = &bench.wires[0];
        if wire.carried > before {
            assert_eq!(wire.carried, before + 1);
            let packet = RtpPacket::parse(&wire.last).unwrap();
            let payload = packet.payload.to_vec();
            sent.push((wire.last.len(), packet.header.timestamp, payload));
        }
    }
    sent
}

fn file(samples: &[f32]) -> Source {
    Source::File {
        samples: shared(samples),
        looped: false,
    }
}

/// RFC 3551 §4.5.2, §4.5.14: 64 kb/s, a tick of 8 kHz for each byte. RFC 7587 §4.2: a tick of 48 kHz whatever the band, and
/// frames of 10, 20, 40 and 60 ms.
#[test]
fn packets_of_every_length_are_as_long_as_they_say_and_are_heard() {
    for kind in [
        CodecKind::Pcmu,
        CodecKind::Pcma,
        CodecKind::G722,
        CodecKind::Opus,
    ] {
        for ptime_ms in [10, 20, 30, 40, 60] {
            let said = voice(6.0);
            let mut bench = Bench::new();
            let asked = StreamParameters {
                ptime_ms,
                ..parameters(kind)
            };
            let (_left, right) = bench.pair(
                &asked,
                (file(&said), Sink::Discard),
                (Source::Silence, Sink::Speaker),
            );
            bench.attach_speaker();
            let sent = watch(&mut bench, 6_000);
            let real_ms = match (kind, ptime_ms) {
                (CodecKind::Opus, 30) => 20,
                (_, ms) => ms,
            };
            let due = 6_000 / real_ms as usize;
            assert!(
                sent.len().abs_diff(due) <= 1,
                "{kind}, {ptime_ms} ms: {}",
                sent.len()
            );
            let ticks = kind.rtp_clock_hz() / 1_000 * real_ms;
            for two in sent.windows(2) {
                assert_eq!(
                    two[1].1.wrapping_sub(two[0].1),
                    ticks,
                    "{kind}, {ptime_ms} ms"
                );
            }
            for (length, _, payload) in &sent {
                if kind != CodecKind::Opus {
                    assert_eq!(*length, 12 + 8 * real_ms as usize, "{kind}, {ptime_ms} ms");
                }
                assert_eq!(kind.payload_ticks(payload), ticks, "{kind}, {ptime_ms} ms");
            }
            let heard = &bench.heard()[96_000..];
            let (delay, likeness) = align(&said[96_000..240_000], heard, 24_000);
            let counters = right.counters();
            println!(
                "{kind}, {ptime_ms} ms: {} packets, {} ms later, likeness {likeness:.4}",
                sent.len(),
                delay / 48
            );
            let least = if kind == CodecKind::Opus { 0.9 } else { 0.98 };
            assert!(likeness > least, "{kind}, {ptime_ms} ms: {likeness}");
            assert!(delay / 48 < 100 + real_ms as usize, "{} ms", delay / 48);
            assert_eq!(
                (counters.lost(), counters.late()),
                (0, 0),
                "{kind}, {ptime_ms} ms"
            );
        }
    }
}

fn wanting(opus: OpusWishes) -> StreamParameters {
    StreamParameters {
        opus,
        ..parameters(CodecKind::Opus)
    }
}

/// Bits in a second of payload.
fn rate(sent: &[Sent], seconds: usize) -> usize {
    let bytes: usize = sent.iter().map(|(_, _, payload)| payload.len()).sum();
    bytes * 8 / seconds
}

/// The band of a packet: its configuration (RFC 6716 §3.1, table 2) in steps from narrow to full.
fn band(payload: &[u8]) -> u8 {
    match payload[0] >> 3 {
        0..4 | 16..20 => 0,
        4..8 => 1,
        8..12 | 20..24 => 2,
        12..14 | 24..28 => 3,
        _ => 4,
    }
}

/// RFC 7587 §6.1, §7, and RFC 3264 §8: a later description counts as the first does.
#[test]
fn opus_follows_what_the_peer_wants_during_the_call() {
    let free = OpusWishes::default();
    let mut bench = Bench::new();
    let mut random = common::Random(5);
    // With all bands, so that a limit is seen.
    let said: Vec<f32> = voice(180.0)
        .iter()
        .map(|sample| sample + (random.next() as f32 - 0.5) * 0.05)
        .collect();
    let (left, _right) = bench.pair(
        &wanting(free),
        (file(&said), Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    let decoder = codecs::Decoder::new(CodecKind::Opus).unwrap();
    let then = |bench: &mut Bench, opus| {
        left.update(StreamParameters {
            remote: left.counters().announced_peer(),
            ..wanting(opus)
        })
        .unwrap();
        // The encoder takes five seconds for each narrower band, so that it is not noticed.
        bench.run(Duration::from_secs(12));
        let sent = watch(bench, 4_000);
        let bits = rate(&sent, 4);
        let widest = sent.iter().map(|s| band(&s.2)).max().unwrap();
        let copies = sent.iter().filter(|s| decoder.carries_fec(&s.2)).count();
        let (least, most) = (
            sent.iter().map(|s| s.0).min().unwrap(),
            sent.iter().map(|s| s.0).max().unwrap(),
        );
        println!("{opus:?}: {bits} b/s, band {widest}, {copies} copies, {least} to {most} bytes");
        (bits, widest, copies, (least, most))
    };
    // Nothing is lost: after some reports nothing goes into copies.
    then(&mut bench, free);
    bench.run(Duration::from_secs(30));
    assert_eq!(then(&mut bench, free).2, 0);
    bench.wires[0].loss = 0.1;
    let (bits, widest, copies, (least, most)) = then(&mut bench, free);
    assert!((26_000..38_000).contains(&bits), "{bits}");
    assert!(widest >= 2 && copies > 50 && most > least + 10);
    let low = OpusWishes {
        most_bps: Some(12_000),
        ..free
    };
    let bits = then(&mut bench, low).0;
    assert!((9_000..14_000).contains(&bits), "{bits}");
    let narrow = OpusWishes {
        playback_rate_hz: 8_000,
        ..free
    };
    assert_eq!(then(&mut bench, narrow).1, 0);
    let alone = OpusWishes { fec: false, ..free };
    assert_eq!(then(&mut bench, alone).2, 0);
    let even = OpusWishes {
        constant_bit_rate: true,
        ..free
    };
    // 32 kb/s in 50 packets a second.
    assert_eq!(then(&mut bench, even).3, (92, 92));
    // And back.
    let (bits, again, copies, _) = then(&mut bench, free);
    assert!((26_000..38_000).contains(&bits), "{bits}");
    assert!(again == widest && copies > 50);
}

/// RFC 7587 §3.1.3, §6.1 (`usedtx`).
#[test]
fn opus_leaves_silence_out_where_the_peer_wants_that() {
    let mut bench = Bench::new();
    let (left, _right) = bench.pair(
        &wanting(OpusWishes::default()),
        (Source::Silence, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.run(Duration::from_millis(100));
    assert_eq!(watch(&mut bench, 4_000).len(), 200);
    let saving = OpusWishes {
        dtx: true,
        ..OpusWishes::default()
    };
    left.update(StreamParameters {
        remote: left.counters().announced_peer(),
        ..wanting(saving)
    })
    .unwrap();
    bench.run(Duration::from_secs(1));
    let sent = watch(&mut bench, 4_000).len();
    println!("{sent} packets in 4 s of silence");
    assert!(sent < 40, "{sent}");
}
