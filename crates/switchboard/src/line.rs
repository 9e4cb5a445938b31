//! The sound of a test number: a task for each call, with a socket of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use codecs::{CodecKind, Encoder, EncoderOptions};
use rtp::telephone_event::EventReceiver;
use rtp::{RtpHeader, RtpPacket, Sender};
use sdp::{Codec, LocalMedia, Negotiated, Negotiator, SdpError};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::numbers::Number;

/// Packet time of what we send.
const PTIME: Duration = Duration::from_millis(20);
/// The milliwatt tone: 1004 Hz at 0 dBm0, which is 3.14 dB below the largest sine of G.711.
const TONE_HZ: f64 = 1004.0;
const TONE_PEAK: f64 = 32_767.0 * 0.6966;
/// The notes of the music, a second each.
const TUNE: [f64; 8] = [261.63, 329.63, 392.0, 523.25, 440.0, 392.0, 329.63, 293.66];
/// How many packets of 20 ms a digit is played for.
const DIGIT_PACKETS: u32 = 10;
/// When the number falls silent that does.
const STOPS_AFTER: Duration = Duration::from_secs(3);
/// A datagram that is larger is no speech.
const DATAGRAM: usize = 2_048;
/// How long a socket that fails is left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// One call's sound.
pub(crate) struct Line {
    negotiator: Negotiator,
    plan: watch::Sender<Option<Negotiated>>,
    heard: Arc<AtomicU64>,
    digits: mpsc::Sender<char>,
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
        hears: impl Fn(char) + Send + Sync + 'static,
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
        let (digits, wanted) = mpsc::channel(16);
        let sound = Sound {
            number,
            hears: Box::new(hears),
            digits: wanted,
            events: None,
            began: None,
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
            digits,
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

    /// Plays a digit; one more than it can remember is left out.
    pub(crate) fn play(&self, digit: char) {
        let _ = self.digits.try_send(digit);
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
    /// Told of each digit that is heard.
    hears: Box<dyn Fn(char) + Send + Sync>,
    /// Digits to play that came another way.
    digits: mpsc::Receiver<char>,
    events: Option<EventReceiver>,
    /// When it began to send.
    began: Option<Instant>,
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
            let is_tone = self.makes_sound() && plan.as_ref().is_some_and(sends);
            tokio::select! {
                // What was agreed holds for all that is heard after the answer.
                biased;
                changed = plans.changed() => match changed {
                    Ok(()) => {
                        plan = plans.borrow_and_update().clone();
                        self.from = None;
                        ticks.reset_immediately();
                    }
                    Err(_) => return,
                },
                Some(digit) = self.digits.recv() => self.play(&plan, digit),
                _ = tick(&mut ticks, is_tone) => {
                    if let Some(plan) = &plan {
                        self.send_tone(plan).await;
                    }
                }
                received = self.socket.recv_from(&mut buffer) => match (received, &plan) {
                    (Ok((length, from)), Some(plan)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        self.on_packet(plan, bytes, from).await;
                    }
                    (Ok(_), None) => {}
                    (Err(_), _) => tokio::time::sleep(PAUSE).await,
                },
            }
        }
    }

    /// Whether it sends by itself now.
    fn makes_sound(&self) -> bool {
        match self.number {
            Number::Echo | Number::NoMedia | Number::NoCommonCodec | Number::BadDescription => {
                false
            }
            Number::Digits => self.tone.as_ref().is_some_and(Tone::plays_digit),
            Number::MediaStops => self.began.is_none_or(|began| began.elapsed() < STOPS_AFTER),
            _ => true,
        }
    }

    /// Plays a digit for a while.
    fn play(&mut self, plan: &Option<Negotiated>, digit: char) {
        let Some(plan) = plan.as_ref().filter(|_| self.number == Number::Digits) else {
            return;
        };
        self.prepare(plan);
        if let Some(tone) = &mut self.tone {
            tone.digit = frequencies(digit).map(|pair| (pair, DIGIT_PACKETS));
        }
    }

    /// Makes the encoder for what was agreed.
    fn prepare(&mut self, plan: &Negotiated) {
        let other = |tone: &Tone| tone.codec != plan.codec;
        if self.tone.as_ref().is_none_or(other) {
            self.tone = Tone::new(plan.codec, self.ssrc);
        }
    }

    /// Digits among what is heard (RFC 4733), each told and played once.
    fn on_event(&mut self, plan: &Negotiated, packet: &RtpPacket<'_>) {
        let Some(agreed) = plan.telephone_event.as_ref() else {
            return;
        };
        if packet.header.payload_type != agreed.receive_pt {
            return;
        }
        let now = tokio::time::Instant::now().into_std();
        let clock = agreed.clock_rate_hz;
        let events = self.events.get_or_insert_with(|| EventReceiver::new(clock));
        events.receive(now, &packet.header, packet.payload);
        let mut heard = Vec::new();
        while let Some(received) = events.poll(now) {
            heard.push(received.digit);
        }
        for digit in heard {
            (self.hears)(digit);
            self.play(&Some(plan.clone()), digit);
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
        if self.number == Number::Deaf || !self.belongs(plan, from) {
            return;
        }
        self.on_event(plan, &packet);
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
        self.prepare(plan);
        self.began.get_or_insert_with(Instant::now);
        let number = self.number;
        if let Some(tone) = &mut self.tone
            && tone.next_packet(number, plan.send_payload_type, &mut self.out)
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
    /// A digit that is played, as its two frequencies, and for how many packets more.
    digit: Option<((f64, f64), u32)>,
}

impl Tone {
    fn new(codec: Codec, ssrc: u32) -> Option<Self> {
        let kind = match codec {
            Codec::Opus => CodecKind::Opus,
            Codec::G722 => CodecKind::G722,
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
            digit: None,
        })
    }

    fn plays_digit(&self) -> bool {
        self.digit.is_some()
    }

    /// Writes the next packet; false when it could not be made.
    fn next_packet(&mut self, number: Number, payload_type: u8, out: &mut Vec<u8>) -> bool {
        let rate = u64::from(self.kind.sample_rate_hz());
        let frame = self.kind.frame_samples(20) as u64;
        let start = self.position;
        // The phase of a whole second of 1004 Hz is a whole number of turns.
        self.position = (start + frame) % (rate * TUNE.len() as u64);
        let digit = self.digit.map(|(pair, _)| pair);
        self.digit = self
            .digit
            .and_then(|(pair, left)| Some((pair, left.checked_sub(1)?)));
        self.samples.clear();
        self.samples.extend((start..start + frame).map(|n| {
            let at = n as f64 / rate as f64;
            (sample(number, digit, at) * 32_767.0) as i16
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

/// What is played at a time in seconds, from -1 to 1.
fn sample(number: Number, digit: Option<(f64, f64)>, at: f64) -> f64 {
    let sine = |hz: f64| (at * hz * std::f64::consts::TAU).sin();
    match (number, digit) {
        (Number::Digits, Some((low, high))) => 0.25 * (sine(low) + sine(high)),
        (Number::Digits, None) => 0.0,
        (Number::Music, _) => {
            // A note a second, struck and fading, with its octave.
            let note = TUNE.get(at as usize % TUNE.len()).copied().unwrap_or(440.0);
            let fade = (-2.0 * at.fract()).exp() * (at.fract() * 200.0).min(1.0);
            0.3 * fade * (sine(note) + 0.3 * sine(2.0 * note))
        }
        _ => TONE_PEAK / 32_767.0 * sine(TONE_HZ),
    }
}

/// The two frequencies of a digit (ITU-T Q.23).
fn frequencies(digit: char) -> Option<(f64, f64)> {
    const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    let rows = ["123A", "456B", "789C", "*0#D"];
    let digit = digit.to_ascii_uppercase();
    rows.iter().zip(LOW).find_map(|(row, low)| {
        let column = row.find(digit)?;
        Some((low, *HIGH.get(column)?))
    })
}
