//! Two streams over real loopback sockets, in virtual time: a pump is stepped by hand and between the two
//! ends sits a wire that loses, delays and reorders what it carries.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use codecs::CodecKind;
use media::{
    Aside, Codec, MasterKey, Pace, Pump, PumpHandle, Security, Sink, Source, StreamConfig,
    StreamHandle, StreamParameters, Suite, TelephoneEvent,
};
use rtrb::{Consumer, Producer, RingBuffer};

pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// A small generator of numbers; the same seed gives the same numbers.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One direction of the wire.
pub(crate) struct Wire {
    /// The sender's packets are addressed here.
    pub(crate) socket: UdpSocket,
    /// The receiver sees them come from here, and addresses its own to it.
    pub(crate) out: UdpSocket,
    pub(crate) to: SocketAddr,
    pub(crate) loss: f64,
    pub(crate) delay: Duration,
    /// Up to so much more, evenly spread.
    pub(crate) jitter: Duration,
    pub(crate) random: Random,
    pub(crate) carried: usize,
    pub(crate) lost: usize,
    /// The last packet that was carried.
    pub(crate) last: Vec<u8>,
    /// How many began with each byte.
    pub(crate) first_bytes: [u32; 256],
    /// All that the sender sent, lost or not, where that is to be kept.
    pub(crate) kept: Option<Vec<Vec<u8>>>,
    waiting: Vec<(Instant, Vec<u8>)>,
}

impl Wire {
    pub(crate) fn new(socket: &UdpSocket, out: &UdpSocket, to: SocketAddr, seed: u64) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self {
            socket: socket.try_clone().unwrap(),
            out: out.try_clone().unwrap(),
            to,
            loss: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            random: Random(seed),
            carried: 0,
            lost: 0,
            last: Vec::new(),
            first_bytes: [0; 256],
            kept: None,
            waiting: Vec::new(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn step(&mut self, now: Instant) {
        let mut buffer = [0; 2048];
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            if let Some(kept) = &mut self.kept {
                kept.push(buffer[..length].to_vec());
            }
            if self.random.next() < self.loss {
                self.lost += 1;
                continue;
            }
            self.carried += 1;
            self.last = buffer[..length].to_vec();
            self.first_bytes[usize::from(buffer[0])] += 1;
            let due = now + self.delay + self.jitter.mul_f64(self.random.next());
            self.waiting.push((due, buffer[..length].to_vec()));
        }
        self.waiting.sort_by_key(|(due, _)| *due);
        while self.waiting.first().is_some_and(|(due, _)| *due <= now) {
            let (_, packet) = self.waiting.remove(0);
            self.out.send_to(&packet, self.to).unwrap();
        }
    }
}

/// A pump in virtual time with a microphone and a speaker made of vectors.
pub(crate) struct Bench {
    pub(crate) handle: PumpHandle,
    pub(crate) pump: Pump,
    pub(crate) aside: Aside,
    pub(crate) now: Instant,
    pub(crate) ticks: u64,
    pub(crate) microphone: Option<(Producer<f32>, Vec<f32>, usize)>,
    pub(crate) speaker: Option<(Consumer<f32>, Vec<f32>)>,
    /// What the microphone tells, and the speaker.
    paces: [Arc<Pace>; 2],
    pub(crate) wires: Vec<Wire>,
    /// Reports go by wires too, from now on, and what is sent there is kept; else they go straight there.
    pub(crate) reports_by_wire: bool,
    pub(crate) report_wires: Vec<Wire>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (handle, pump, aside) = PumpHandle::manual();
        let now = Instant::now();
        Self {
            handle,
            pump,
            aside,
            now,
            paces: [(); 2].map(|()| Arc::new(Pace::new(now))),
            ticks: 0,
            microphone: None,
            speaker: None,
            wires: Vec::new(),
            reports_by_wire: false,
            report_wires: Vec::new(),
        }
    }

    pub(crate) fn attach_microphone(&mut self, samples: Vec<f32>) {
        let (producer, consumer) = RingBuffer::new(48_000);
        let pace = Arc::clone(&self.paces[0]);
        self.handle.attach_capture(consumer, pace).unwrap();
        self.microphone = Some((producer, samples, 0));
    }

    pub(crate) fn attach_speaker(&mut self) {
        let (producer, consumer) = RingBuffer::new(48_000);
        let pace = Arc::clone(&self.paces[1]);
        self.handle.attach_playout(producer, pace).unwrap();
        self.speaker = Some((consumer, Vec::new()));
    }

    /// What the speaker has played.
    pub(crate) fn heard(&self) -> &[f32] {
        &self.speaker.as_ref().unwrap().1
    }

    pub(crate) fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.step();
        }
    }

    pub(crate) fn step(&mut self) {
        if let Some((ring, samples, position)) = &mut self.microphone {
            let frame: Vec<f32> = (*position..*position + 480)
                .map(|i| samples.get(i).copied().unwrap_or(0.0))
                .collect();
            *position += 480;
            ring.push_entire_slice(&frame).unwrap();
            self.paces[0].tell(480, 480, self.now);
        }
        for wire in self.wires.iter_mut().chain(&mut self.report_wires) {
            wire.step(self.now);
        }
        // Any wall clock will do as long as it runs with the other.
        let ntp = (1_000_000u64 << 32) + (self.ticks << 32) / 100;
        self.pump.step(self.now, ntp);
        self.aside.run_once();
        if let Some((ring, heard)) = &mut self.speaker {
            let mut frame = [0.0; 480];
            let played = ring.pop_partial_slice(&mut frame).0.len();
            self.paces[1].tell(played, 480, self.now);
            heard.extend_from_slice(&frame);
        }
        self.now += TICK;
        self.ticks += 1;
    }

    /// Two streams that speak to each other, `left` and `right`, each with a source and a sink, over two
    /// perfect wires: 0 carries from left to right, 1 from right to left.
    pub(crate) fn pair(
        &mut self,
        parameters: &StreamParameters,
        left: (Source, Sink),
        right: (Source, Sink),
    ) -> (StreamHandle, StreamHandle) {
        self.pair_encoding(parameters, left, right, codecs::EncoderOptions::default())
    }

    /// The same with encoders that work as they are told.
    pub(crate) fn pair_encoding(
        &mut self,
        parameters: &StreamParameters,
        left: (Source, Sink),
        right: (Source, Sink),
        encoder: codecs::EncoderOptions,
    ) -> (StreamHandle, StreamHandle) {
        let (left_rtp, left_rtcp) = media::socket::bind_pair(HERE, 0..=0).unwrap();
        let (right_rtp, right_rtcp) = media::socket::bind_pair(HERE, 0..=0).unwrap();
        // Left knows right by the one socket, right knows left by the other.
        let near_left = UdpSocket::bind((HERE, 0)).unwrap();
        let near_right = UdpSocket::bind((HERE, 0)).unwrap();
        let seed = 11 + self.wires.len() as u64;
        let right_address = right_rtp.local_addr().unwrap();
        let there = Wire::new(&near_left, &near_right, right_address, seed);
        let left_address = left_rtp.local_addr().unwrap();
        let back = Wire::new(&near_right, &near_left, left_address, seed + 100);
        let config = |rtp, rtcp: UdpSocket, remote, other, random, (source, sink)| {
            let mirrored = parameters.security.as_ref().map(mirrored);
            let parameters = StreamParameters {
                remote: Some(remote),
                remote_rtcp: Some(other),
                security: if random == 1 {
                    parameters.security.clone()
                } else {
                    mirrored
                },
                dtls: parameters.dtls.clone().map(|mut dtls| {
                    if random != 1 {
                        dtls.peer.role = match dtls.peer.role {
                            dtls::Role::Client => dtls::Role::Server,
                            dtls::Role::Server => dtls::Role::Client,
                        };
                    }
                    dtls
                }),
                ..parameters.clone()
            };
            StreamConfig {
                rtcp_socket: Some(rtcp),
                encoder,
                source,
                sink,
                ..StreamConfig::new(rtp, parameters, random)
            }
        };
        let mut other = right_rtcp.local_addr().unwrap();
        let mut one = left_rtcp.local_addr().unwrap();
        if self.reports_by_wire {
            let near_left = UdpSocket::bind((HERE, 0)).unwrap();
            let near_right = UdpSocket::bind((HERE, 0)).unwrap();
            let mut there = Wire::new(&near_left, &near_right, other, seed + 200);
            let mut back = Wire::new(&near_right, &near_left, one, seed + 300);
            (there.kept, back.kept) = (Some(Vec::new()), Some(Vec::new()));
            (other, one) = (there.address(), back.address());
            self.report_wires.extend([there, back]);
        }
        let left = config(left_rtp, left_rtcp, there.address(), other, 1, left);
        let right = config(right_rtp, right_rtcp, back.address(), one, 2, right);
        self.wires.push(there);
        self.wires.push(back);
        (
            self.handle.add_stream(left).unwrap(),
            self.handle.add_stream(right).unwrap(),
        )
    }
}

/// Keys made of two numbers.
pub(crate) fn security(suite: Suite, send: u8, receive: u8) -> Security {
    let key = |fill| MasterKey::new(suite, &vec![fill; suite.master_len()]).unwrap();
    Security {
        send: key(send),
        receive: key(receive),
        receive_mki: Vec::new(),
        context: 0,
    }
}

/// The keys as the other end has them.
pub(crate) fn mirrored(security: &Security) -> Security {
    Security {
        send: security.receive.clone(),
        receive: security.send.clone(),
        receive_mki: Vec::new(),
        context: security.context,
    }
}

pub(crate) fn codec(kind: CodecKind) -> Codec {
    Codec::new(kind, kind.static_payload_type().unwrap_or(111))
}

pub(crate) fn parameters(kind: CodecKind) -> StreamParameters {
    StreamParameters {
        telephone_event: Some(TelephoneEvent {
            send_payload_type: 101,
            receive_payload_type: 101,
            clock_rate_hz: kind.rtp_clock_hz(),
        }),
        ..StreamParameters::new(codec(kind))
    }
}

/// Something like a voice at 48 kHz: a gliding pitch with harmonics up to 3 kHz, in syllables of changing
/// length. Its pitch is above what Opus turns the phase of in speech mode.
pub(crate) fn voice(seconds: f64) -> Vec<f32> {
    let mut phase = 0.0f64;
    let mut random = Random(77);
    let (mut syllable_end, mut syllable_start, mut loud) = (0usize, 0usize, 0.0);
    (0..(48_000.0 * seconds) as usize)
        .map(|i| {
            if i >= syllable_end {
                syllable_start = i;
                syllable_end = i + 4_800 + (random.next() * 12_000.0) as usize;
                loud = if random.next() < 0.2 {
                    0.0
                } else {
                    0.5 + 0.5 * random.next()
                };
            }
            let t = i as f64 / 48_000.0;
            let place = (i - syllable_start) as f64 / (syllable_end - syllable_start) as f64;
            let envelope = (place * std::f64::consts::PI).sin() * loud;
            phase += std::f64::consts::TAU
                * (230.0 + 40.0 * (t * 1.7).sin() + 15.0 * (t * 5.3).sin())
                / 48_000.0;
            let tone: f64 = (1..=12).map(f64::from).map(|h| (phase * h).sin() / h).sum();
            (tone * envelope * 0.2) as f32
        })
        .collect()
}

pub(crate) fn shared(samples: &[f32]) -> Arc<[f32]> {
    samples.to_vec().into()
}

/// The delay at which `heard` resembles `said` most, in samples, and how much (1.0: the same but for its
/// level).
pub(crate) fn align(said: &[f32], heard: &[f32], longest: usize) -> (usize, f64) {
    let score = |delay: usize, step: usize| {
        let (mut ab, mut aa, mut bb) = (0.0f64, 1e-12f64, 1e-12f64);
        for (a, b) in said
            .iter()
            .zip(&heard[delay.min(heard.len())..])
            .step_by(step)
        {
            let (a, b) = (f64::from(*a), f64::from(*b));
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        ab / (aa * bb).sqrt()
    };
    let best = |range: &mut dyn Iterator<Item = usize>, step| {
        range
            .map(|delay| (delay, score(delay, step)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap()
    };
    // The voice's shortest period is long against 8 samples.
    let (coarse, _) = best(&mut (0..longest).step_by(8), 7);
    best(&mut (coarse.saturating_sub(8)..coarse + 9), 1)
}

pub(crate) fn read_wav(path: &PathBuf) -> (u32, Vec<f32>) {
    let reader = hound::WavReader::open(path).unwrap();
    let rate = reader.spec().sample_rate;
    let samples = reader
        .into_samples::<i16>()
        .map(|s| f32::from(s.unwrap()) / 32_768.0)
        .collect();
    (rate, samples)
}

/// A path in the directory for temporary files that no other test uses.
pub(crate) fn scratch_file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tipring-media-{}-{name}.wav", std::process::id()))
}

pub(crate) fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}
