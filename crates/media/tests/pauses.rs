//! Times in which a peer says nothing on purpose: what is heard then, and that nothing is told to be lost or made up.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, HERE, parameters, rms, shared, voice};
use media::{
    ExtendedReports, ReceivedCodec, Sink, Source, StreamConfig, StreamHandle, StreamParameters,
};
use rtp::RtpHeader;

struct Raw {
    socket: UdpSocket,
    control: UdpSocket,
    to: SocketAddr,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Raw {
    fn send(&mut self, payload_type: u8, payload: &[u8]) {
        let header = RtpHeader {
            marker: false,
            payload_type,
            sequence_number: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let mut packet = Vec::new();
        header.write(payload, &mut packet).unwrap();
        self.socket.send_to(&packet, self.to).unwrap();
        self.sequence = self.sequence.wrapping_add(1);
    }
}

fn listen(bench: &Bench, parameters: StreamParameters) -> (StreamHandle, Raw) {
    let (socket, control) = media::socket::bind_pair(HERE, 0..=0).unwrap();
    let (rtp, rtcp) = media::socket::bind_pair(HERE, 0..=0).unwrap();
    let to = socket.local_addr().unwrap();
    let config = StreamConfig {
        rtcp_socket: Some(control),
        source: Source::Silence,
        sink: Sink::Speaker,
        ..StreamConfig::new(
            socket,
            StreamParameters {
                remote: Some(rtp.local_addr().unwrap()),
                ..parameters
            },
            5,
        )
    };
    let stream = bench.handle.add_stream(config).unwrap();
    let raw = Raw {
        socket: rtp,
        control: rtcp,
        to,
        sequence: 10,
        timestamp: 1_000,
        ssrc: 77,
    };
    (stream, raw)
}

/// A tone of 200 Hz in PCMU, 20 ms.
fn tone(place: u32) -> Vec<u8> {
    (0..160)
        .map(|n| {
            let t = (place + n) as f32 / 8_000.0;
            let sample = (t * 200.0 * std::f32::consts::TAU).sin() * 8_000.0;
            codecs::g711::mu_law_code(sample as i16)
        })
        .collect()
}

fn speak(bench: &mut Bench, peer: &mut Raw, packets: u32) {
    for _ in 0..packets {
        peer.send(0, &tone(peer.timestamp));
        peer.timestamp = peer.timestamp.wrapping_add(160);
        bench.step();
        bench.step();
    }
}

/// RFC 3389 §4: noise is for the time until the next audio. Speech has come since, and then the network dies.
#[test]
fn a_dead_network_is_silence_and_not_the_noise_of_a_pause_that_is_over() {
    let mut bench = Bench::new();
    bench.attach_speaker();
    let (stream, mut peer) = listen(&bench, parameters(CodecKind::Pcmu));
    speak(&mut bench, &mut peer, 50);
    // A pause of a second, told as noise of -40 dB.
    peer.send(13, &[40]);
    for _ in 0..100 {
        bench.step();
    }
    peer.timestamp = peer.timestamp.wrapping_add(8_000);
    speak(&mut bench, &mut peer, 100);
    let at = bench.heard().len();
    // Nothing comes any more.
    bench.run(Duration::from_secs(20));
    let heard = &bench.heard()[at + 48_000..];
    let counters = stream.counters();
    println!(
        "a dead network sounds like {:.4} ({:.0} dB), level {:.4}, silent for {} ms",
        rms(heard),
        20.0 * rms(heard).log10(),
        counters.receive_level(),
        counters.silent_ms()
    );
    assert!(rms(heard) < 0.000_5, "{}", rms(heard));
}

/// Who is judged is heard. A pause that was told of is none of the network's doing.
#[test]
fn what_does_not_come_is_not_judged_by_what_came_before() {
    let mut bench = Bench::new();
    bench.attach_speaker();
    let (stream, mut peer) = listen(&bench, parameters(CodecKind::Pcmu));
    speak(&mut bench, &mut peer, 200);
    assert!(stream.counters().mos().is_some_and(|mos| mos > 4.3));
    peer.send(13, &[60]);
    assert!(!stream.counters().pauses());
    bench.run(Duration::from_secs(10));
    assert!(stream.counters().pauses());
    peer.timestamp = peer.timestamp.wrapping_add(80_000);
    assert!(stream.counters().mos().is_some_and(|mos| mos > 4.3));
    speak(&mut bench, &mut peer, 100);
    bench.run(Duration::from_secs(2));
    assert!(stream.counters().mos().is_some());
    bench.run(Duration::from_secs(2));
    assert_eq!(stream.counters().mos(), None);
    speak(&mut bench, &mut peer, 100);
    assert!(stream.counters().mos().is_some_and(|mos| mos > 1.0));
}

/// RFC 4733 §2.5: events go in place of the speech, so that nothing is missing while a key is held, and nothing is made up.
#[test]
fn a_key_that_the_peer_presses_is_no_concealment() {
    let mut bench = Bench::new();
    bench.attach_speaker();
    let (stream, mut peer) = listen(&bench, parameters(CodecKind::Pcmu));
    speak(&mut bench, &mut peer, 100);
    let before = stream.counters().concealed_ms();
    let mut all = Vec::new();
    for _ in 0..4 {
        let at = bench.heard().len();
        let begin = peer.timestamp;
        // 400 ms of an event, a packet each 20 ms.
        for n in 1..=20u32 {
            let stamp = peer.timestamp;
            peer.timestamp = begin;
            let duration = (n * 160) as u16;
            let [high, low] = duration.to_be_bytes();
            let end = if n == 20 { 0x80 } else { 0 };
            peer.send(101, &[5, end | 10, high, low]);
            peer.timestamp = stamp.wrapping_add(160);
            bench.step();
            bench.step();
        }
        let heard = &bench.heard()[at..];
        // After what the buffer still had.
        all.push(rms(&heard[48 * 80..48 * 380]));
        speak(&mut bench, &mut peer, 50);
    }
    let made_up = stream.counters().concealed_ms() - before;
    println!(
        "made up {made_up} ms for four keys with lost {}, late {}; heard meanwhile {all:?}",
        stream.counters().lost(),
        stream.counters().late()
    );
    assert_eq!(made_up, 0);
    assert!(all.iter().all(|loud| *loud < 0.000_5), "{all:?}");
    // A tone of 200 Hz goes by 0.0065 from sample to sample; where it was cut off by 0.24.
    let steps = bench.heard()[48_000..]
        .windows(2)
        .map(|two| (two[1] - two[0]).abs());
    let steepest = steps.fold(0.0, f32::max);
    println!("the steepest step is {steepest:.4}");
    assert!(steepest < 0.05, "{steepest}");
}

/// RFC 7587 §3.1.3: silence that Opus leaves out is not lost.
#[test]
fn silence_that_opus_leaves_out_is_no_concealment() {
    let mut bench = Bench::new();
    let mut said = voice(2.0);
    said.resize(30 * 48_000, 0.0);
    let (_left, right) = bench.pair_encoding(
        &parameters(CodecKind::Opus),
        (
            Source::File {
                samples: shared(&said),
                looped: false,
            },
            Sink::Discard,
        ),
        (Source::Silence, Sink::Discard),
        codecs::EncoderOptions {
            dtx: true,
            ..codecs::EncoderOptions::default()
        },
    );
    bench.run(Duration::from_secs(30));
    let c = right.counters();
    println!(
        "30 s, 28 of them left out: lost {}, late {}, made up {} ms, played {} ms: {:.0} % concealed",
        c.lost(),
        c.late(),
        c.concealed_ms(),
        c.played_ms(),
        100.0 * c.concealed_ms() as f64 / c.played_ms().max(c.concealed_ms()) as f64
    );
    assert_eq!((c.lost(), c.late()), (0, 0));
    assert!(c.concealed_ms() < 100, "{}", c.concealed_ms());
}

/// RFC 3611 §4.7.3: what the peer says of its own delay is a part of what is judged here. Nobody keeps sound for a minute.
#[test]
fn a_peer_whose_report_is_nonsense_does_not_make_a_perfect_call_a_bad_one() {
    let mut bench = Bench::new();
    let (stream, mut peer) = listen(
        &bench,
        StreamParameters {
            extended_reports: ExtendedReports {
                metrics: true,
                round_trip: false,
            },
            ..parameters(CodecKind::Pcmu)
        },
    );
    speak(&mut bench, &mut peer, 250);
    let before = stream.counters().mos();
    // Our SSRC stands in our packets.
    let mut buffer = [0; 2_048];
    peer.socket.set_nonblocking(true).unwrap();
    let (length, _) = peer.socket.recv_from(&mut buffer).unwrap();
    assert!(length > 12);
    let ours: [u8; 4] = buffer[8..12].try_into().unwrap();
    let mut block = [127u8; 32];
    block[..4].copy_from_slice(&ours);
    block[4..16].fill(0);
    // Round trip unknown, end system delay 65,535 ms.
    block[14..16].fill(0xff);
    let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 77];
    report.extend([0x80, 207, 0, 10, 0, 0, 0, 77, 7, 0, 0, 8]);
    report.extend(block);
    let to = SocketAddr::new(peer.to.ip(), peer.to.port() + 1);
    peer.control.send_to(&report, to).unwrap();
    speak(&mut bench, &mut peer, 100);
    let after = stream.counters().mos();
    println!(
        "MOS before {before:?}, after {after:?}, reports {}",
        stream.counters().reports_received()
    );
    assert!(after.unwrap() > 4.3);
}

/// A phone that sends nothing while nobody speaks, and says nothing of it: numbers go on, and timestamps show the time. What was
/// made up until that was known is not counted as lost sound.
#[test]
fn silence_that_a_phone_leaves_out_without_a_word_is_no_concealment() {
    let mut bench = Bench::new();
    bench.attach_speaker();
    let (stream, mut peer) = listen(&bench, parameters(CodecKind::Pcmu));
    for _ in 0..10 {
        speak(&mut bench, &mut peer, 50);
        for _ in 0..100 {
            bench.step();
        }
        peer.timestamp = peer.timestamp.wrapping_add(8_000);
    }
    speak(&mut bench, &mut peer, 50);
    let counters = stream.counters();
    assert_eq!((counters.lost(), counters.late()), (0, 0));
    assert_eq!(counters.concealed_ms(), 0);
    // What does not come in time is: 100 ms of speech, all of which comes at once.
    for _ in 0..10 {
        bench.step();
    }
    for _ in 0..5 {
        peer.send(0, &tone(peer.timestamp));
        peer.timestamp = peer.timestamp.wrapping_add(160);
    }
    speak(&mut bench, &mut peer, 50);
    let made_up = stream.counters().concealed_ms();
    assert!((50..=120).contains(&made_up), "{made_up}");
}

/// On hold, or not any more.
fn hold(stream: &StreamHandle, parameters: &StreamParameters, held: bool) {
    let parameters = StreamParameters {
        remote: stream.counters().announced_peer(),
        receive: !held,
        ..parameters.clone()
    };
    stream.update(parameters).unwrap();
}

/// RFC 3264 §8.4: what was said before a hold belongs to the time before it. Its end is silent until the peer speaks.
#[test]
fn nothing_of_what_was_said_before_a_hold_is_heard_after_it() {
    let alone = parameters(CodecKind::Pcmu);
    // As heard at the rate of the codec, and of a wider one.
    let beside_opus = StreamParameters {
        further_codecs: vec![ReceivedCodec {
            payload_type: 111,
            kind: CodecKind::Opus,
        }],
        ..alone.clone()
    };
    for parameters in [alone, beside_opus] {
        let mut bench = Bench::new();
        bench.attach_speaker();
        let (stream, mut peer) = listen(&bench, parameters.clone());
        for round in 0..3 {
            let at = bench.heard().len();
            speak(&mut bench, &mut peer, 50);
            let loud = rms(&bench.heard()[at + 24_000..]);
            assert!(loud > 0.1, "round {round}: {loud}");
            hold(&stream, &parameters, true);
            bench.run(Duration::from_secs(1));
            let at = bench.heard().len();
            hold(&stream, &parameters, false);
            bench.run(Duration::from_millis(500));
            let heard = &bench.heard()[at..];
            let peak = heard.iter().fold(0f32, |peak, s| peak.max(s.abs()));
            println!("round {round}: a peak of {peak:.5} after the hold");
            assert_eq!(peak, 0.0);
            // The time on hold was none of its clock.
            peer.timestamp = peer.timestamp.wrapping_add(12_000);
        }
    }
}

/// 20 ms of silence that goes on, as Opus tells it (RFC 6716 §3.1, §3.2.1): a frame of no octets.
const OPUS_PAUSE: [u8; 1] = [0x78];

/// Whoever pauses with Opus has said so, and has said nothing of it for the time after a hold, or for another source.
#[test]
fn a_pause_ends_with_a_hold_and_with_its_source() {
    let parameters = parameters(CodecKind::Opus);
    let pause = |bench: &mut Bench, stream: &StreamHandle, peer: &mut Raw| {
        for _ in 0..50 {
            peer.send(111, &OPUS_PAUSE);
            peer.timestamp = peer.timestamp.wrapping_add(960);
            bench.run(Duration::from_millis(20));
        }
        bench.run(Duration::from_secs(1));
        assert!(stream.counters().pauses());
    };
    let mut bench = Bench::new();
    let (stream, mut peer) = listen(&bench, parameters.clone());
    pause(&mut bench, &stream, &mut peer);
    hold(&stream, &parameters, true);
    bench.run(Duration::from_secs(1));
    hold(&stream, &parameters, false);
    bench.run(Duration::from_secs(1));
    assert!(!stream.counters().pauses());
    // Another source: all that comes of it is a key.
    peer.timestamp = peer.timestamp.wrapping_add(96_000);
    pause(&mut bench, &stream, &mut peer);
    (peer.ssrc, peer.sequence) = (78, 9_000);
    bench.run(Duration::from_secs(6));
    for n in 1..=5u8 {
        let [high, low] = (u16::from(n) * 960).to_be_bytes();
        peer.send(101, &[5, 10, high, low]);
        bench.run(Duration::from_millis(20));
    }
    bench.run(Duration::from_secs(1));
    assert!(!stream.counters().pauses());
}
