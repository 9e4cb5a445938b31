//! Two ends with clocks of their own, and between them a network whose faults follow from a seed and the number of the
//! packet alone: the same losses and delays hit whoever is measured. All of it in virtual time.
//!
//! ```text
//!  said ─► capture ring ─► pump A ─► socket ─► faults ─► socket ─► pump B ─► playout ring ─► heard
//!          10 ms of A's clock                  true time            10 ms of B's clock
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{
    Aside, Pace, Pump, PumpHandle, Sink, Source, StreamConfig, StreamCounters, StreamHandle,
    StreamParameters,
};
use rtrb::{Consumer, Producer, RingBuffer};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the network does to the packets of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Impairment {
    /// The share that never arrives.
    pub(crate) loss: f64,
    /// How many are lost in a row on average; 1.0 for each by its own luck.
    pub(crate) burst: f64,
    /// Up to so much more delay, evenly spread, each packet by its own luck: they overtake each other.
    pub(crate) jitter: Duration,
    /// The share that is held back by [`HELD_BACK`], so that others overtake it.
    pub(crate) reordered: f64,
    /// How much faster than the receiver's the sender's clock runs, in millionths.
    pub(crate) drift_ppm: f64,
}

/// What every packet takes.
pub(crate) const BASE_DELAY: Duration = Duration::from_millis(20);

/// Two packets of 20 ms and a half.
const HELD_BACK: Duration = Duration::from_millis(50);

impl Impairment {
    pub(crate) const NONE: Self = Self {
        loss: 0.0,
        burst: 1.0,
        jitter: Duration::ZERO,
        reordered: 0.0,
        drift_ppm: 0.0,
    };
}

/// The fates of packets, one after the other.
pub(crate) struct Fates {
    impairment: Impairment,
    state: u64,
    losing: bool,
    /// Delays of what arrives, beyond [`BASE_DELAY`].
    pub(crate) delays: Vec<Duration>,
    pub(crate) lost: usize,
}

impl Fates {
    pub(crate) fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            state: seed,
            losing: false,
            delays: Vec::new(),
            lost: 0,
        }
    }

    /// From 0.0 to 1.0 (splitmix64).
    fn draw(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The delay of the next packet; none when it is lost. Takes as many draws in each case, so that a fault that is
    /// switched off does not shift the others.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let (luck, jitter, held) = (self.draw(), self.draw(), self.draw());
        let Impairment { loss, burst, .. } = self.impairment;
        self.losing = if burst <= 1.0 {
            luck < loss
        } else {
            // Gilbert's two states: bursts end with 1/burst, and begin so often that the share is met.
            let begins = loss / (burst * (1.0 - loss));
            luck < if self.losing {
                1.0 - 1.0 / burst
            } else {
                begins
            }
        };
        if self.losing {
            self.lost += 1;
            return None;
        }
        let mut more = self.impairment.jitter.mul_f64(jitter);
        if held < self.impairment.reordered {
            more += HELD_BACK;
        }
        self.delays.push(more);
        Some(BASE_DELAY + more)
    }

    /// What 95 of 100 packets that arrive do not exceed, beyond [`BASE_DELAY`].
    pub(crate) fn p95(&self) -> Duration {
        let mut delays = self.delays.clone();
        delays.sort();
        delays
            .get(delays.len() * 95 / 100)
            .copied()
            .unwrap_or_default()
    }
}

/// One program: a pump with a clock.
struct End {
    handle: PumpHandle,
    pump: Pump,
    aside: Aside,
    /// Steps of 10 ms by its own clock.
    ticks: u64,
    /// True nanoseconds of a step.
    tick_ns: f64,
}

impl End {
    fn new(tick_ns: f64) -> Self {
        let (handle, pump, aside) = PumpHandle::manual();
        Self {
            handle,
            pump,
            aside,
            ticks: 0,
            tick_ns,
        }
    }

    /// The true time of its next step.
    fn due_ns(&self) -> f64 {
        self.ticks as f64 * self.tick_ns
    }

    /// The same by its own clock.
    fn now(&self, origin: Instant) -> Instant {
        origin + Duration::from_millis(10 * self.ticks)
    }

    fn step(&mut self, origin: Instant) {
        let now = self.now(origin);
        // Any wall clock will do as long as it runs with the other.
        let ntp = (1_000_000u64 << 32) + (self.ticks << 32) / 100;
        self.pump.step(now, ntp);
        self.aside.run_once();
        self.ticks += 1;
    }
}

/// Somebody speaks at one end and is heard at the other.
pub(crate) struct Line {
    origin: Instant,
    from: End,
    to: End,
    talker: StreamHandle,
    _listener: StreamHandle,
    counters: Arc<StreamCounters>,
    /// The talker's packets come out here and go on from the other.
    near: UdpSocket,
    far: UdpSocket,
    target: SocketAddr,
    pub(crate) fates: Fates,
    under_way: Vec<(f64, u64, Vec<u8>)>,
    carried: u64,
    microphone: Option<(Producer<f32>, Vec<f32>, usize)>,
    speaker: (Consumer<f32>, Vec<f32>),
    /// What the microphone tells, and the speaker.
    paces: [Arc<Pace>; 2],
}

impl Line {
    /// The talker says `said` (48 kHz) through its microphone.
    pub(crate) fn speaking(
        said: Vec<f32>,
        parameters: &StreamParameters,
        impairment: Impairment,
        seed: u64,
    ) -> Self {
        let mut line = Self::new(Source::Microphone, parameters, impairment, seed);
        let (producer, consumer) = RingBuffer::new(48_000);
        line.from
            .handle
            .attach_capture(consumer, Arc::clone(&line.paces[0]))
            .expect("the pump is idle");
        line.microphone = Some((producer, said, 0));
        line
    }

    /// The talker is a source.
    pub(crate) fn new(
        source: Source,
        parameters: &StreamParameters,
        impairment: Impairment,
        seed: u64,
    ) -> Self {
        let from = End::new(1e7 / (1.0 + impairment.drift_ppm * 1e-6));
        let to = End::new(1e7);
        let bind = || UdpSocket::bind((HERE, 0)).expect("loopback has ports");
        let (near, far) = (bind(), bind());
        near.set_nonblocking(true).expect("a socket has modes");
        let pair = || media::socket::bind_pair(HERE, 0..=0).expect("loopback has ports");
        let ((from_rtp, from_rtcp), (to_rtp, to_rtcp)) = (pair(), pair());
        let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        let (target, back) = (address(&to_rtp), address(&from_rtp));
        let toward = |rtp, rtcp, remote, remote_rtcp, random, source, sink| StreamConfig {
            rtcp_socket: Some(rtcp),
            source,
            sink,
            ..StreamConfig::new(
                rtp,
                StreamParameters {
                    remote: Some(remote),
                    remote_rtcp: Some(remote_rtcp),
                    ..parameters.clone()
                },
                random,
            )
        };
        let (from_reports, to_reports) = (address(&from_rtcp), address(&to_rtcp));
        let talker = toward(
            from_rtp,
            from_rtcp,
            address(&near),
            to_reports,
            1,
            source,
            Sink::Discard,
        );
        let mut listener = toward(
            to_rtp,
            to_rtcp,
            back,
            from_reports,
            2,
            Source::Silence,
            Sink::Speaker,
        );
        // What comes from `far` is the peer, whose own address it is not.
        listener.parameters.remote = Some(address(&far));
        let talker = from.handle.add_stream(talker).expect("there is room");
        let listener = to.handle.add_stream(listener).expect("there is room");
        let (producer, consumer) = RingBuffer::new(48_000);
        let origin = Instant::now();
        let paces = [(); 2].map(|()| Arc::new(Pace::new(origin)));
        to.handle
            .attach_playout(producer, Arc::clone(&paces[1]))
            .expect("the pump is idle");
        Self {
            origin,
            paces,
            from,
            to,
            talker,
            counters: listener.counters(),
            _listener: listener,
            near,
            far,
            target,
            fates: Fates::new(impairment, seed),
            under_way: Vec::new(),
            carried: 0,
            microphone: None,
            speaker: (consumer, Vec::new()),
        }
    }

    /// Lets true time pass; `look` is called at each step of the receiver.
    pub(crate) fn run(&mut self, time: Duration, mut look: impl FnMut(&StreamCounters)) {
        let end_ns = self.to.due_ns() + time.as_nanos() as f64;
        while self.to.due_ns() < end_ns {
            if self.from.due_ns() <= self.to.due_ns() {
                self.speak();
            } else {
                self.hear();
                look(&self.counters);
            }
        }
    }

    fn speak(&mut self) {
        let now_ns = self.from.due_ns();
        if let Some((ring, said, position)) = &mut self.microphone {
            let frame: Vec<f32> = (*position..*position + 480)
                .map(|n| said.get(n).copied().unwrap_or(0.0))
                .collect();
            *position += 480;
            let _ = ring.push_entire_slice(&frame);
            self.paces[0].tell(480, 480, self.from.now(self.origin));
        }
        self.from.step(self.origin);
        let mut buffer = [0; 2_048];
        while let Ok((length, _)) = self.near.recv_from(&mut buffer) {
            let Some(delay) = self.fates.next() else {
                continue;
            };
            let due_ns = now_ns + delay.as_nanos() as f64;
            self.under_way
                .push((due_ns, self.carried, buffer[..length].to_vec()));
            self.carried += 1;
        }
        self.under_way
            .sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }

    fn hear(&mut self) {
        let now_ns = self.to.due_ns();
        let due = self.under_way.partition_point(|(due, ..)| *due <= now_ns);
        for (_, _, packet) in self.under_way.drain(..due) {
            self.far
                .send_to(&packet, self.target)
                .expect("loopback carries it");
        }
        let at = self.to.now(self.origin);
        self.to.step(self.origin);
        let (ring, heard) = &mut self.speaker;
        let mut frame = [0.0; 480];
        let played = ring.pop_partial_slice(&mut frame).0.len();
        self.paces[1].tell(played, 480, at);
        heard.extend_from_slice(&frame);
    }

    /// What the listener's loudspeaker has played, at 48 kHz of its clock.
    pub(crate) fn heard(&self) -> &[f32] {
        &self.speaker.1
    }

    /// The listener's.
    pub(crate) fn counters(&self) -> &StreamCounters {
        &self.counters
    }

    /// The talker's.
    pub(crate) fn sent(&self) -> u64 {
        self.talker.counters().sent()
    }
}

/// The steepest change of slope: a click stands out of sound without high frequencies as a peak of it.
pub(crate) fn sharpest(samples: &[f32]) -> f32 {
    samples
        .windows(3)
        .map(|w| (w[0] - 2.0 * w[1] + w[2]).abs())
        .fold(0.0, f32::max)
}
