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
    /// How loud it speaks.
    amplitude: f64,
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
            amplitude: 10_000.0,
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
                ((at * 500.0 * std::f64::consts::TAU).sin() * self.amplitude) as i16
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

    /// How many milliseconds of what was heard since sample `from` are loud.
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

/// A key that is pressed long after another begins with the next packet, and up to it there is speech: each packet time has
/// its packet.
#[test]
fn before_a_key_that_is_pressed_by_itself_no_speech_is_left_out() {
    let mut talk = Talk::new();
    talk.speak_for(50);
    let mut sent = Vec::new();
    for step in 0..1_500u32 {
        if step % 500 == 400 {
            let held = Duration::from_millis(100);
            talk.stream.send_dtmf('4', held).unwrap();
        }
        talk.bench.step();
        let mut buffer = [0; 1_500];
        while let Ok(length) = talk.peer.recv(&mut buffer) {
            let packet = rtp::RtpPacket::parse(&buffer[..length]).unwrap();
            sent.push((step, packet.header.payload_type, packet.header.marker));
        }
    }
    let gaps: Vec<u32> = sent[1..]
        .windows(2)
        .map(|two| two[1].0 - two[0].0)
        .collect();
    let longest = gaps.iter().max().unwrap();
    let begun: Vec<u32> = sent
        .iter()
        .filter(|s| s.1 == 101 && s.2)
        .map(|s| s.0)
        .collect();
    println!(
        "keys at {begun:?}, {} ms from packet to packet",
        longest * 10
    );
    assert_eq!(begun.len(), 3);
    // 400, 900 and 1400 are when they were pressed, in steps of 10 ms.
    assert!(
        begun
            .iter()
            .zip([400, 900, 1_400])
            .all(|(at, pressed)| at - pressed <= 2)
    );
    assert_eq!(*longest, 2);
}

/// RFC 3550 §6.4.1 counts by source, and a stream counts from its beginning: what was lost of a source that is gone was lost,
/// as what was received of it was received.
#[test]
fn what_was_lost_of_a_former_source_stays_lost() {
    let mut talk = Talk::new();
    let mut before = 0;
    for source in 1..=3 {
        talk.ssrc = 70 + source;
        talk.number = 1_000 * source as u16;
        talk.speak_for(20);
        for _ in 0..100 {
            talk.lose();
            talk.speak_for(4);
        }
        let counters = talk.stream.counters();
        let (lost, received) = (counters.lost(), counters.received());
        println!("after {source} sources {lost} lost, {received} received");
        assert_eq!(lost, before + 100);
        before = lost;
        talk.bench.run(Duration::from_millis(300));
    }
}

/// An announcement, then who is called: another source, without a pause and where the former one stops. What it says first is
/// heard, though it takes a moment until it is believed; so is the first packet of the first.
#[test]
fn the_first_words_of_another_source_are_heard() {
    let mut talk = Talk::new();
    for source in 1..=5u32 {
        let (from, received) = (talk.bench.heard().len(), talk.stream.counters().received());
        talk.ssrc = 400 + source;
        talk.number = 7_777 * source as u16;
        talk.timestamp = talk.timestamp.wrapping_add(1_000_000 * source);
        talk.speak_for(100);
        let received = talk.stream.counters().received() - received;
        let heard = talk.heard_ms(from);
        println!("source {source}: {received} of 100 packets, {heard} ms of 2000");
        assert!(received >= 99, "{source}: {received}");
        assert_eq!(talk.stream.counters().dropped(), 0);
    }
}

/// A source that begins with a loud 60 ms where the one before has ended in silence: those are heard, though the delay that has
/// gathered meanwhile is given back.
#[test]
fn a_loud_beginning_after_a_silence_is_not_left_out() {
    let mut talk = Talk::new();
    for source in 1..=5u32 {
        let from = talk.bench.heard().len();
        talk.ssrc = 900 + source;
        talk.amplitude = 10_000.0;
        talk.speak_for(3);
        talk.amplitude = 1_500.0;
        talk.speak_for(100);
        let counters = talk.stream.counters();
        let (delay, heard) = (counters.buffer_us() / 1_000, talk.heard_ms(from));
        println!("source {source}: {heard} ms of 60, and 2 s later a delay of {delay} ms");
        assert!(heard >= 40, "{source}: {heard}");
        assert!(delay <= 60, "{source}: {delay}");
        talk.amplitude = 0.0;
        talk.speak_for(20);
    }
}

/// A stranger who sends to the same port while the source talks is not heard, neither then nor when the source has stopped: of
/// what it says, that alone is heard which comes after that.
#[test]
fn who_speaks_between_is_not_heard_later() {
    let mut talk = Talk::new();
    talk.speak_for(100);
    let received = talk.stream.counters().received();
    let mut other = (5, 50, 70);
    for _ in 0..50 {
        talk.speak();
        let theirs = (talk.ssrc, talk.number, talk.timestamp);
        (talk.ssrc, talk.number, talk.timestamp) = other;
        talk.send(false, 0, &[0xFF; 160]);
        other = (talk.ssrc, talk.number, talk.timestamp + SAMPLES);
        (talk.ssrc, talk.number, talk.timestamp) = theirs;
    }
    assert_eq!(talk.stream.counters().received() - received, 50);
    // The source stops, the stranger goes on: it is heard from about here on, and nothing from before.
    (talk.ssrc, talk.number, talk.timestamp) = other;
    talk.speak_for(20);
    let heard = talk.stream.counters().received() - received - 50;
    println!(
        "{heard} of 20 packets, and {} that were not heard",
        talk.stream.counters().dropped()
    );
    assert!((20..=21).contains(&heard), "{heard}");
}
