//! The sound of a test number: a task for each call, with a socket of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use codecs::{CodecKind, Encoder, EncoderOptions};
use rtp::{RtpHeader, RtpPacket, Sender};
use sdp::{Codec, LocalMedia, Negotiated, Negotiator, SdpError};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::numbers::Number;

/// Packet time of what we send.
const PTIME: Duration = Duration::from_millis(20);
/// The milliwatt tone: 1004 Hz at 0 dBm0, which is 3.14 dB below the largest sine of G.711.
const TONE_HZ: f64 = 1004.0;
const TONE_PEAK: f64 = 32_767.0 * 0.6966;
/// A datagram that is larger is no speech.
const DATAGRAM: usize = 2_048;
/// How long a socket that fails is left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// One call's sound.
pub(crate) struct Line {
    negotiator: Negotiator,
    plan: watch::Sender<Option<Negotiated>>,
    heard: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// Binds a socket at the address that the caller came to. `peer` is where the caller came
    /// from: nobody else gets a tone without having said something.
    pub(crate) async fn open(
        number: Number,
        local: IpAddr,
        peer: IpAddr,
        random: u64,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
        let negotiator = Negotiator::new(LocalMedia {
            address: local,
            port: socket.local_addr()?.port(),
            codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma],
            ptime_ms: 20,
            telephone_event: true,
            session_id: random >> 2,
        });
        let (plan, plans) = watch::channel(None);
        let heard = Arc::new(AtomicU64::new(0));
        let sound = Sound {
            number,
            socket,
            peer,
            ssrc: random as u32,
            sequence: (random >> 32) as u16,
            heard: Arc::clone(&heard),
            from: None,
            tone: None,
            out: Vec::with_capacity(DATAGRAM),
        };
        Ok(Self {
            negotiator,
            plan,
            heard,
            task: tokio::spawn(sound.run(plans)),
        })
    }

    /// Answers an offer, or makes one when there is none.
    pub(crate) fn describe(&mut self, offer: Option<&[u8]>) -> Result<Vec<u8>, SdpError> {
        match offer {
            Some(offer) => {
                let (answer, agreed) = self.negotiator.handle_offer(offer)?;
                self.plan.send_replace(Some(agreed));
                Ok(answer)
            }
            None => Ok(self.negotiator.offer()),
        }
    }

    /// Takes the caller's answer to our offer.
    pub(crate) fn handle_answer(&mut self, answer: &[u8]) -> Result<(), SdpError> {
        let agreed = self.negotiator.handle_answer(answer)?;
        self.plan.send_replace(Some(agreed));
        Ok(())
    }

    /// How many packets have been heard.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

/// What the task of a line owns. It lives as long as the call, so that sequence numbers and time
/// stamps go on through holds, and what comes during a hold is thrown away at once.
struct Sound {
    number: Number,
    socket: UdpSocket,
    peer: IpAddr,
    ssrc: u32,
    sequence: u16,
    heard: Arc<AtomicU64>,
    /// Who speaks, when it is not the announced address.
    from: Option<SocketAddr>,
    tone: Option<Tone>,
    out: Vec<u8>,
}

impl Sound {
    async fn run(mut self, mut plans: watch::Receiver<Option<Negotiated>>) {
        let mut buffer = vec![0_u8; DATAGRAM];
        let mut ticks = interval(PTIME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut plan = None;
        loop {
            let is_tone = self.number == Number::Tone && plan.as_ref().is_some_and(sends);
            tokio::select! {
                changed = plans.changed() => match changed {
                    Ok(()) => {
                        plan = plans.borrow_and_update().clone();
                        self.from = None;
                        ticks.reset_immediately();
                    }
                    Err(_) => return,
                },
                received = self.socket.recv_from(&mut buffer) => match (received, &plan) {
                    (Ok((length, from)), Some(plan)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        self.on_packet(plan, bytes, from).await;
                    }
                    (Ok(_), None) => {}
                    (Err(_), _) => tokio::time::sleep(PAUSE).await,
                },
                _ = tick(&mut ticks, is_tone) => {
                    if let Some(plan) = &plan {
                        self.send_tone(plan).await;
                    }
                }
            }
        }
    }

    /// Whether a packet from there belongs to the call: the announced address, or else the first
    /// to speak, because a phone behind a router sends from elsewhere than it said.
    fn belongs(&mut self, plan: &Negotiated, from: SocketAddr) -> bool {
        plan.remote
            .is_some_and(|announced| announced.ip() == from.ip())
            || *self.from.get_or_insert(from) == from
    }

    /// Counts what is heard; an echo sends it back under our own SSRC and sequence numbers.
    async fn on_packet(&mut self, plan: &Negotiated, bytes: &[u8], from: SocketAddr) {
        let Ok(packet) = RtpPacket::parse(bytes) else {
            return;
        };
        if !self.belongs(plan, from) {
            return;
        }
        self.heard.fetch_add(1, Ordering::Relaxed);
        if self.number != Number::Echo || !sends(plan) {
            return;
        }
        let events = plan.telephone_event.as_ref();
        let payload_type = match (packet.header.payload_type, events) {
            (pt, _) if pt == plan.receive_payload_type => plan.send_payload_type,
            (pt, Some(events)) if pt == events.receive_pt => events.send_pt,
            _ => return,
        };
        let header = RtpHeader {
            marker: packet.header.marker,
            payload_type,
            sequence_number: self.sequence,
            timestamp: packet.header.timestamp,
            ssrc: self.ssrc,
        };
        self.out.clear();
        if header.write(packet.payload, &mut self.out).is_ok() {
            self.sequence = self.sequence.wrapping_add(1);
            let _ = self.socket.send_to(&self.out, from).await;
        }
    }

    /// The next packet of the tone, to where media came from or was announced. An announced
    /// address that is not the caller's own has to say something first: else one INVITE would
    /// have us flood whomever it names.
    async fn send_tone(&mut self, plan: &Negotiated) {
        let announced = plan
            .remote
            .filter(|remote| remote.ip() == self.peer || self.heard.load(Ordering::Relaxed) > 0);
        let Some(remote) = self.from.or(announced) else {
            return;
        };
        if self
            .tone
            .as_ref()
            .is_none_or(|tone| tone.codec != plan.codec)
        {
            self.tone = Tone::new(plan.codec, self.ssrc);
        }
        if let Some(tone) = &mut self.tone
            && tone.next_packet(plan.send_payload_type, &mut self.out)
        {
            let _ = self.socket.send_to(&self.out, remote).await;
        }
    }
}

fn sends(plan: &Negotiated) -> bool {
    plan.direction.sends()
}

/// The next tick, or never.
async fn tick(ticks: &mut Interval, wanted: bool) {
    if wanted {
        ticks.tick().await;
    } else {
        std::future::pending::<()>().await;
    }
}

/// The milliwatt tone, packet by packet.
struct Tone {
    codec: Codec,
    kind: CodecKind,
    encoder: Encoder,
    sender: Sender,
    samples: Vec<i16>,
    payload: Vec<u8>,
    position: u64,
}

impl Tone {
    fn new(codec: Codec, ssrc: u32) -> Option<Self> {
        let kind = match codec {
            Codec::Opus => CodecKind::Opus,
            Codec::Pcmu => CodecKind::Pcmu,
            Codec::Pcma => CodecKind::Pcma,
        };
        Some(Self {
            codec,
            kind,
            encoder: Encoder::new(kind, EncoderOptions::default()).ok()?,
            sender: Sender::new(ssrc, ssrc as u16, ssrc, kind.rtp_clock_hz()),
            samples: Vec::new(),
            payload: vec![0_u8; 1_500],
            position: 0,
        })
    }

    /// Writes the next packet; false when it could not be made.
    fn next_packet(&mut self, payload_type: u8, out: &mut Vec<u8>) -> bool {
        let rate = u64::from(self.kind.sample_rate_hz());
        let frame = self.kind.frame_samples(20) as u64;
        let start = self.position;
        // The phase of a whole second of 1004 Hz is a whole number of turns.
        self.position = (start + frame) % rate;
        self.samples.clear();
        self.samples.extend((start..start + frame).map(|n| {
            let phase = n as f64 / rate as f64 * TONE_HZ * std::f64::consts::TAU;
            (phase.sin() * TONE_PEAK) as i16
        }));
        let Ok(length) = self.encoder.encode(&self.samples, &mut self.payload) else {
            return false;
        };
        let payload = self.payload.get(..length).unwrap_or_default();
        let ticks = self.kind.rtp_clock_hz() / 50;
        let now = tokio::time::Instant::now().into_std();
        out.clear();
        self.sender
            .send(now, payload_type, payload, ticks, out)
            .is_ok()
    }
}
