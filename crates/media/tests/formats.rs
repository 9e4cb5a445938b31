//! A peer that goes from one agreed codec to another without a word (RFC 3264 §7), in virtual time.

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use codecs::{CodecKind, Encoder, EncoderOptions, LONGEST_PAYLOAD};
use common::{Bench, HERE, align, codec, parameters, rms, voice};
use media::{
    ReceivedCodec, ReceivedEvents, Sink, Source, StreamConfig, StreamEvent, StreamHandle,
    StreamParameters,
};
use rtp::RtpHeader;

const ALL: [CodecKind; 4] = [
    CodecKind::Pcmu,
    CodecKind::Pcma,
    CodecKind::G722,
    CodecKind::Opus,
];

/// A peer that says the same in any codec, in packets of 20 ms.
struct Peer {
    socket: UdpSocket,
    /// What it says, at the rate of each codec.
    said: Vec<Vec<i16>>,
    encoders: Vec<Encoder>,
    /// Where each codec's timestamps are: anywhere, and they stand still while it is not used.
    timestamps: [u32; 4],
    sequence: u16,
    packets: usize,
}

impl Peer {
    fn new(said: &[f32]) -> Self {
        let samples = |kind: &CodecKind| {
            let converted = media::resample::convert_all(said, 48_000, kind.sample_rate_hz());
            let samples = converted.iter().map(|s| (s * 32_768.0) as i16);
            samples.collect()
        };
        let options = EncoderOptions::default();
        let encoder = |kind: &CodecKind| Encoder::new(*kind, options).unwrap();
        Self {
            socket: UdpSocket::bind((HERE, 0)).unwrap(),
            said: ALL.iter().map(samples).collect(),
            encoders: ALL.iter().map(encoder).collect(),
            timestamps: [7_000, 7_000, 7_000, 4_000_000_000],
            sequence: 65_500,
            packets: 0,
        }
    }

    /// The next 20 ms in this codec, under this payload type, lost or not.
    fn say(&mut self, kind: CodecKind, payload_type: u8, to: &Listener, arrives: bool) {
        let place = ALL.iter().position(|k| *k == kind).unwrap();
        let count = kind.frame_samples(20);
        let mut frame = vec![0; count];
        let from = self.packets * count;
        let said = self.said[place].get(from..from + count);
        if let Some(said) = said {
            frame.copy_from_slice(said);
        }
        let mut payload = [0; LONGEST_PAYLOAD];
        let length = self.encoders[place].encode(&frame, &mut payload).unwrap();
        if arrives {
            self.send(payload_type, self.timestamps[place], &payload[..length], to);
        }
        let ticks = kind.ticks(count);
        // Those of one clock are one timeline.
        for (timestamp, other) in self.timestamps.iter_mut().zip(ALL) {
            if other.rtp_clock_hz() == kind.rtp_clock_hz() {
                *timestamp = timestamp.wrapping_add(ticks);
            }
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
    }

    fn send(&self, payload_type: u8, timestamp: u32, payload: &[u8], to: &Listener) {
        let header = RtpHeader {
            marker: false,
            payload_type,
            sequence_number: self.sequence,
            timestamp,
            ssrc: 77,
        };
        let mut packet = Vec::new();
        header.write(payload, &mut packet).unwrap();
        self.socket.send_to(&packet, to.address).unwrap();
    }
}

struct Listener {
    stream: StreamHandle,
    address: std::net::SocketAddr,
}

fn all_agreed(first: CodecKind) -> StreamParameters {
    let others = ALL.iter().filter(|kind| **kind != first);
    StreamParameters {
        further_codecs: others
            .map(|kind| ReceivedCodec {
                payload_type: codec(*kind).receive_payload_type,
                kind: *kind,
            })
            .collect(),
        ..parameters(first)
    }
}

fn listen(bench: &Bench, parameters: StreamParameters, source: Source, peer: &Peer) -> Listener {
    let (socket, _control) = media::socket::bind_pair(HERE, 0..=0).unwrap();
    let address = socket.local_addr().unwrap();
    let parameters = StreamParameters {
        remote: Some(peer.socket.local_addr().unwrap()),
        ..parameters
    };
    let config = StreamConfig {
        source,
        sink: Sink::Speaker,
        ..StreamConfig::new(socket, parameters, 5)
    };
    let stream = bench.handle.add_stream(config).unwrap();
    Listener { stream, address }
}

fn number(kind: CodecKind) -> u8 {
    codec(kind).receive_payload_type
}

/// The longest time below this level, and the steepest step from sample to sample.
fn gap_and_step(heard: &[f32], level: f32) -> (f32, f32) {
    let (mut longest, mut run) = (0, 0);
    // 1 ms each.
    for piece in heard.chunks(48) {
        run = if rms(piece) < level { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let steps = heard.windows(2).map(|two| (two[1] - two[0]).abs());
    (longest as f32, steps.fold(0.0, f32::max))
}

/// RFC 3264 §7: the answer's formats are all to be expected, whatever is sent.
#[test]
fn every_agreed_codec_is_heard_in_the_middle_of_a_stream() {
    for first in ALL {
        let said = voice(11.0);
        let mut peer = Peer::new(&said);
        let mut bench = Bench::new();
        bench.attach_speaker();
        let listener = listen(&bench, all_agreed(first), Source::Silence, &peer);
        let order = [
            CodecKind::Pcmu,
            CodecKind::Pcma,
            CodecKind::G722,
            CodecKind::Opus,
        ];
        // Until the buffer has found its delay.
        for _ in 0..100 {
            peer.say(first, number(first), &listener, true);
            bench.run(Duration::from_millis(20));
        }
        for kind in order {
            for _ in 0..100 {
                peer.say(kind, number(kind), &listener, true);
                bench.run(Duration::from_millis(20));
            }
            assert_eq!(listener.stream.counters().codec_heard(), Some(kind));
        }
        let counters = listener.stream.counters();
        let figures = (counters.dropped(), counters.lost(), counters.late());
        let concealed = counters.concealed_ms();
        bench.run(Duration::from_millis(500));
        for (n, kind) in order.into_iter().enumerate() {
            // All of it, from the change on.
            let from = (n + 1) * 96_000;
            let (delay, likeness) =
                align(&said[from..from + 96_000], &bench.heard()[from..], 12_000);
            println!("{first} agreed, {kind}: {} ms, {likeness:.4}", delay / 48);
            let least = if kind == CodecKind::Opus { 0.9 } else { 0.97 };
            assert!(likeness > least, "{first} agreed, {kind}: {likeness}");
        }
        println!("dropped, lost, late: {figures:?}, concealed {concealed} ms");
        // The first packet is on probation (RFC 3550 A.1), and heard with the second.
        assert_eq!(figures, (0, 0, 0), "{first}");
        assert_eq!(concealed, 0, "{first}");
        assert!(counters.jitter_us() < 5_000, "{}", counters.jitter_us());
    }
}

#[test]
fn a_change_of_codec_is_neither_a_gap_nor_a_click() {
    let tone: Vec<f32> = (0..480_000)
        .map(|n| 0.25 * (std::f32::consts::TAU * 300.0 * n as f32 / 48_000.0).sin())
        .collect();
    for first in ALL {
        for (from, to) in ALL.iter().flat_map(|a| ALL.iter().map(move |b| (*a, *b))) {
            if from == to {
                continue;
            }
            let mut peer = Peer::new(&tone);
            let mut bench = Bench::new();
            bench.attach_speaker();
            let listener = listen(&bench, all_agreed(first), Source::Silence, &peer);
            for n in 0..100 {
                let kind = if n < 50 { from } else { to };
                peer.say(kind, number(kind), &listener, true);
                bench.run(Duration::from_millis(20));
            }
            let heard = &bench.heard()[38_400..];
            let (gap, step) = gap_and_step(heard, 0.05);
            let calm = gap_and_step(&bench.heard()[19_200..38_400], 0.05).1;
            println!(
                "{first} agreed, {from} to {to}: {gap} ms of silence, step {step:.4}, {calm:.4} before"
            );
            // The tone itself rises by 0.0098 a sample.
            assert!(gap < 5.0, "{first} agreed, {from} to {to}: {gap} ms");
            assert!(step < 0.03, "{first} agreed, {from} to {to}: {step}");
        }
    }
}

#[test]
fn what_is_not_agreed_is_dropped_and_counted() {
    let said = voice(4.0);
    let mut peer = Peer::new(&said);
    let mut bench = Bench::new();
    bench.attach_speaker();
    let agreed = StreamParameters {
        further_codecs: vec![ReceivedCodec {
            payload_type: 8,
            kind: CodecKind::Pcma,
        }],
        ..parameters(CodecKind::Pcmu)
    };
    let listener = listen(&bench, agreed, Source::Silence, &peer);
    for (kind, payload_type) in [
        (CodecKind::Pcmu, 0),
        (CodecKind::G722, 9),
        (CodecKind::Pcmu, 96),
        (CodecKind::Pcma, 8),
    ] {
        for _ in 0..50 {
            peer.say(kind, payload_type, &listener, true);
            bench.run(Duration::from_millis(20));
        }
    }
    let counters = listener.stream.counters();
    assert_eq!((counters.dropped(), counters.received()), (100, 100));
    assert_eq!(counters.codec_heard(), Some(CodecKind::Pcma));
}

/// The numbers are those of each side (RFC 3264 §5.1): what we send under 100 they may send under 111.
#[test]
fn the_payload_types_of_both_directions_need_not_be_the_same() {
    let said = voice(3.0);
    let mut peer = Peer::new(&said);
    let mut bench = Bench::new();
    bench.attach_speaker();
    let mut agreed = parameters(CodecKind::Pcmu);
    agreed.codec.send_payload_type = 96;
    agreed.codec.receive_payload_type = 97;
    agreed.further_codecs = vec![ReceivedCodec {
        payload_type: 96,
        kind: CodecKind::Opus,
    }];
    let listener = listen(&bench, agreed, Source::Silence, &peer);
    for n in 0..150 {
        let (kind, number) = if n < 75 {
            (CodecKind::Pcmu, 97)
        } else {
            (CodecKind::Opus, 96)
        };
        peer.say(kind, number, &listener, true);
        bench.run(Duration::from_millis(20));
    }
    let (_, likeness) = align(&said[91_200..124_800], &bench.heard()[91_200..], 12_000);
    assert!(likeness > 0.9, "{likeness}");
    let mut packet = [0; 2_048];
    let (_, _) = peer.socket.recv_from(&mut packet).unwrap();
    assert_eq!(packet[1] & 0x7F, 96);
}

#[test]
fn another_codec_with_each_packet_is_heard_and_nothing_gathers() {
    for (kinds, least) in [(&ALL[..2], 0.97), (&ALL[..3], 0.8), (&ALL[..], 0.4)] {
        let said = voice(9.0);
        let mut peer = Peer::new(&said);
        let mut bench = Bench::new();
        bench.attach_speaker();
        let listener = listen(&bench, all_agreed(CodecKind::Pcmu), Source::Silence, &peer);
        for n in 0..400 {
            let kind = kinds[n % kinds.len()];
            // One in forty never comes, each time of another codec.
            peer.say(kind, number(kind), &listener, n % 41 != 40);
            bench.run(Duration::from_millis(20));
        }
        let counters = listener.stream.counters();
        let heard = &bench.heard()[96_000..];
        let (_, likeness) = align(&said[96_000..336_000], heard, 12_000);
        println!(
            "{kinds:?}: likeness {likeness:.3}, buffer {} ms, lost {}, concealed {} ms, late {}",
            counters.buffer_us() / 1_000,
            counters.lost(),
            counters.concealed_ms(),
            counters.late(),
        );
        assert_eq!((counters.lost(), counters.late()), (9, 0));
        // No more is made up than was lost; where the buffer takes its time for one more packet, that is some of it.
        assert!(
            counters.concealed_ms() <= 9 * 20,
            "{}",
            counters.concealed_ms()
        );
        assert!(counters.buffer_us() < 80_000, "{}", counters.buffer_us());
        // The encoder of G.722 gets every third frame here and that of Opus every fourth: they have little to go by.
        assert!(likeness > least, "{likeness}");
        assert!(!counters.failed());
    }
}

/// RFC 4733 §2.1: events count in the clock of the codec that they stand beside.
#[test]
fn digits_are_told_in_the_clock_of_their_payload_type() {
    let mut peer = Peer::new(&voice(9.0));
    let mut bench = Bench::new();
    bench.attach_speaker();
    let agreed = StreamParameters {
        further_events: vec![ReceivedEvents {
            payload_type: 110,
            clock_rate_hz: 48_000,
        }],
        ..all_agreed(CodecKind::Pcmu)
    };
    let listener = listen(&bench, agreed, Source::Silence, &peer);
    for (kind, events, event) in [(CodecKind::Pcmu, 101, 5), (CodecKind::Opus, 110, 11)] {
        for _ in 0..50 {
            peer.say(kind, number(kind), &listener, true);
            bench.run(Duration::from_millis(20));
        }
        let place = ALL.iter().position(|k| *k == kind).unwrap();
        let timestamp = peer.timestamps[place];
        for n in 1..=7u32 {
            let ticks = kind.rtp_clock_hz() / 50 * n.min(5);
            let end = if n >= 5 { 0x80 } else { 0 };
            let payload = [event, end | 10, (ticks >> 8) as u8, ticks as u8];
            peer.send(events, timestamp, &payload, &listener);
            peer.sequence = peer.sequence.wrapping_add(1);
            peer.timestamps[place] = timestamp + n * kind.rtp_clock_hz() / 50;
            peer.packets += 1;
            bench.run(Duration::from_millis(20));
        }
    }
    bench.run(Duration::from_millis(300));
    let told: Vec<(char, u128)> = std::iter::from_fn(|| listener.stream.poll_event())
        .filter_map(|event| match event {
            StreamEvent::Dtmf { digit, duration } => Some((digit, duration.as_millis())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [('5', 100), ('#', 100)]);
    assert_eq!(listener.stream.counters().lost(), 0);
}

/// What is sent stays what was agreed (RFC 3264 §6.1), and an echo is one at any rate.
#[test]
fn what_is_sent_is_what_was_agreed() {
    let said = voice(4.0);
    let mut peer = Peer::new(&said);
    let mut bench = Bench::new();
    bench.attach_speaker();
    let listener = listen(&bench, all_agreed(CodecKind::Pcmu), Source::Echo, &peer);
    peer.socket.set_nonblocking(true).unwrap();
    let (mut heard, mut packet) = (Vec::new(), [0; 2_048]);
    let mut decoder = codecs::Decoder::new(CodecKind::Pcmu).unwrap();
    for _ in 0..150 {
        peer.say(CodecKind::Opus, 111, &listener, true);
        bench.run(Duration::from_millis(20));
        while let Ok((length, _)) = peer.socket.recv_from(&mut packet) {
            if rtp::looks_like_rtcp(&packet[..length]) {
                continue;
            }
            assert_eq!((packet[1] & 0x7F, length), (0, 172));
            let mut frame = [0; 160];
            decoder.decode(&packet[12..length], &mut frame).unwrap();
            heard.extend(frame.iter().map(|s| f32::from(*s) / 32_768.0));
        }
    }
    let said = media::resample::convert_all(&said, 48_000, 8_000);
    let (_, likeness) = align(&said[8_000..20_000], &heard[8_000..], 2_000);
    println!("the echo: {likeness:.4}");
    assert!(likeness > 0.88, "{likeness}");
}

/// A refresh of the session (RFC 4028) says the same again: nothing of it is heard.
#[test]
fn the_same_agreement_again_is_not_heard() {
    let tone: Vec<f32> = (0..240_000)
        .map(|n| 0.25 * (std::f32::consts::TAU * 300.0 * n as f32 / 48_000.0).sin())
        .collect();
    let mut peer = Peer::new(&tone);
    let mut bench = Bench::new();
    bench.attach_speaker();
    let listener = listen(&bench, all_agreed(CodecKind::Pcmu), Source::Silence, &peer);
    for n in 0..150 {
        peer.say(CodecKind::G722, 9, &listener, true);
        bench.run(Duration::from_millis(20));
        // Once the same, and once without the codec that nobody uses.
        let mut parameters = all_agreed(CodecKind::Pcmu);
        parameters.remote = listener.stream.counters().announced_peer();
        if n == 120 {
            parameters
                .further_codecs
                .retain(|c| c.kind != CodecKind::Pcma);
        }
        if n == 100 || n == 120 {
            listener.stream.update(parameters).unwrap();
        }
    }
    let (gap, step) = gap_and_step(&bench.heard()[48_000..144_000], 0.05);
    println!("{gap} ms, {step:.4}");
    assert!(gap == 0.0 && step < 0.015, "{gap} ms, {step}");
}
