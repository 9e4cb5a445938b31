//! What is heard where a source begins anew, or another follows it, and the digits among what it sends. The peer is a
//! bare socket, in virtual time.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, HERE, parameters};
use media::{Sink, Source, StreamConfig, StreamEvent, StreamHandle, StreamParameters};

const PACKET: Duration = Duration::from_millis(20);
/// Samples of a packet, on the clock of G.711.
const SAMPLES: u32 = 160;

/// A stream that is heard, and a peer that says what it is told packet by packet.
struct Talk {
    bench: Bench,
    stream: StreamHandle,
    peer: UdpSocket,
    to: SocketAddr,
    ssrc: u32,
    number: u16,
    timestamp: u32,
}

impl Talk {
    fn new() -> Self {
        let mut bench = Bench::new();
        let (rtp, _) = media::socket::bind_pair(HERE, 0..=0).unwrap();
        let to = rtp.local_addr().unwrap();
        let peer = UdpSocket::bind((HERE, 0)).unwrap();
        peer.set_nonblocking(true).unwrap();
        let asked = StreamParameters {
            remote: Some(peer.local_addr().unwrap()),
            ..parameters(CodecKind::Pcmu)
        };
        let config = StreamConfig {
            source: Source::Silence,
            sink: Sink::Speaker,
            ..StreamConfig::new(rtp, asked, 3)
        };
        let stream = bench.handle.add_stream(config).unwrap();
        bench.attach_speaker();
        Self {
            bench,
            stream,
            peer,
            to,
            ssrc: 21,
            number: 20_000,
            timestamp: 900_000,
        }
    }

    /// Sends a packet under the next number.
    fn send(&mut self, marker: bool, payload_type: u8, payload: &[u8]) {
        let header = rtp::RtpHeader {
            marker,
            payload_type,
            sequence_number: self.number,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let first = (u8::from(marker) << 7) | header.payload_type;
        let mut packet = vec![0x80, first];
        packet.extend(header.sequence_number.to_be_bytes());
        packet.extend(header.timestamp.to_be_bytes());
        packet.extend(header.ssrc.to_be_bytes());
        packet.extend(payload);
        self.peer.send_to(&packet, self.to).unwrap();
        self.number = self.number.wrapping_add(1);
    }

    /// 20 ms of a tone.
    fn speak(&mut self) {
        let samples: Vec<i16> = (0..SAMPLES)
            .map(|n| {
                let at = f64::from(self.timestamp.wrapping_add(n) % 8_000) / 8_000.0;
                ((at * 500.0 * std::f64::consts::TAU).sin() * 10_000.0) as i16
            })
            .collect();
        let mut payload = [0; SAMPLES as usize];
        codecs::g711::encode_mu_law(&samples, &mut payload);
        self.send(false, 0, &payload);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES);
        self.bench.run(PACKET);
    }

    /// A packet that is lost on its way.
    fn lose(&mut self) {
        self.number = self.number.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES);
        self.bench.run(PACKET);
    }

    fn speak_for(&mut self, packets: usize) {
        (0..packets).for_each(|_| self.speak());
    }

    /// How many milliseconds of what was heard since sample `from` are no silence.
    fn heard_ms(&self, from: usize) -> usize {
        let steps = self.bench.heard()[from..].chunks_exact(480);
        10 * steps.filter(|step| common::rms(step) > 0.05).count()
    }
}

/// RFC 3550 A.1: two packets in a row after a jump back of a hundred and more are a source that began its numbers anew, though
/// its timestamps go on. It is heard on; what a buffer holds back, and the packet that was doubted, are all that it may cost.
#[test]
fn a_source_that_begins_its_numbers_anew_is_heard_on() {
    for back in [102, 1_000, 3_000, 20_000] {
        let mut talk = Talk::new();
        talk.speak_for(200);
        let from = talk.bench.heard().len();
        talk.number = talk.number.wrapping_sub(back);
        talk.speak_for(500);
        let heard = talk.heard_ms(from);
        let counters = talk.stream.counters();
        println!(
            "{back} lower: {heard} ms of 10000, late {}",
            counters.late()
        );
        assert!(heard >= 9_850, "{back}: {heard}");
        assert_eq!(counters.late(), 0, "{back}");
    }
}

/// RFC 4733 §2.5.1.4, and some gateways: the end of a key comes three times, each under a timestamp of its own.
#[test]
fn a_key_whose_end_comes_thrice_under_other_timestamps_is_pressed_once() {
    let mut talk = Talk::new();
    talk.speak_for(50);
    let mut presses = 0;
    for pressed in 1..=2 {
        for n in 1..=7u16 {
            let [high, low] = (n.min(5) * 160).to_be_bytes();
            let flags = if n >= 5 { 0x8A } else { 10 };
            talk.send(n == 1, 101, &[9, flags, high, low]);
            talk.timestamp += SAMPLES;
            talk.bench.run(PACKET);
        }
        talk.speak_for(5);
        let events = std::iter::from_fn(|| talk.stream.poll_event());
        presses += events
            .filter(|event| matches!(event, StreamEvent::Dtmf { digit: '9', .. }))
            .count();
        assert_eq!(presses, pressed);
    }
}
