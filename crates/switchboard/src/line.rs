//! The sound of a test number: a task for each call, with a socket of its own.
//!
//! ```text
//!  datagram ─► Shield::open ─► RtpPacket ─► echo, digits ─┐
//!              forged, replayed: counted                  ├─► Sender ─► Shield::seal ─► datagram
//!                                          tone, music ───┘
//! ```
//!
//! Without keys the shield lets everything pass as it is. A line sends no reports; those that come by the port of the
//! media are a sign of life and nothing else.

mod refusal;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use codecs::{CodecKind, Encoder, EncoderOptions};
use rtp::srtp::{MasterKey, Renewal, Security, Shield, SrtpError, Suite};
use rtp::telephone_event::EventReceiver;
use rtp::{RtpPacket, Sender, looks_like_rtcp, looks_like_rtp};
use sdp::{
    Codec, CryptoKey, CryptoSuite, Encryption, KeySeed, LocalMedia, Negotiated, NegotiatedCrypto,
    Negotiator, SdpError,
};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

pub(crate) use self::refusal::Refusal;
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

/// What all lines together have refused of encrypted media.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// Packets that were not made with the agreed key, those in the clear among them.
    pub(crate) forged: AtomicU64,
    /// Packets that had come before.
    pub(crate) replayed: AtomicU64,
}

/// What a line tells beside its sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A digit was heard.
    Digit(char),
    /// A packet was not made with the agreed key. Of each call this is told once.
    Forged,
}

/// What a line draws from the operating system's entropy.
pub(crate) struct Drawn {
    /// For the session id, the source, and its first numbers.
    pub(crate) number: u64,
    /// For the keys of the call, and of no other.
    pub(crate) keys: KeySeed,
}

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
    /// from: nobody else gets a tone without having said something. What it refuses is counted in `refused`.
    pub(crate) async fn open(
        number: Number,
        local: IpAddr,
        peer: IpAddr,
        drawn: Drawn,
        refused: Arc<Refused>,
        tells: impl Fn(News) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
        let random = drawn.number;
        let local = LocalMedia {
            address: local,
            port: socket.local_addr()?.port(),
            codecs: Codec::ALL.to_vec(),
            ptime_ms: 20,
            telephone_event: true,
            session_id: random >> 2,
        };
        // In the clear with who has no keys; and a caller who makes no offer gets one that everybody can read.
        let encryption = Encryption::OptionalInOneLine;
        let negotiator = Negotiator::new(local).with_encryption(encryption, drawn.keys);
        let (plan, plans) = watch::channel(None);
        let heard = Arc::new(AtomicU64::new(0));
        let (digits, wanted) = mpsc::channel(16);
        let ssrc = random as u32;
        // Below the middle: who misses the first packets of encrypted media must not take them for such of another round
        // of the numbers.
        let first = (random >> 32) as u16 & 0x7FFF;
        let sound = Sound {
            number,
            tells: Box::new(tells),
            digits: wanted,
            events: None,
            began: None,
            socket,
            peer,
            sender: Sender::new(ssrc, first, ssrc, 8_000),
            shield: Shield::default(),
            security: None,
            refused,
            told_forged: false,
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
    pub(crate) fn describe(&mut self, offer: Option<&[u8]>) -> Result<Vec<u8>, Refusal> {
        match offer {
            Some(offer) => {
                let taken = self.negotiator.handle_offer(offer);
                let (answer, agreed) = taken.map_err(|error| Refusal::of(&error, offer))?;
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
    tells: Box<dyn Fn(News) + Send + Sync>,
    /// Digits to play that came another way.
    digits: mpsc::Receiver<char>,
    events: Option<EventReceiver>,
    /// When it began to send.
    began: Option<Instant>,
    socket: UdpSocket,
    peer: IpAddr,
    /// Numbers all that goes out, so that under a key no number comes twice whatever is sent.
    sender: Sender,
    shield: Shield,
    /// The keys that the shield has.
    security: Option<Security>,
    refused: Arc<Refused>,
    told_forged: bool,
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
                        let agreed = plans.borrow_and_update().clone();
                        plan = self.follow(plan.as_ref(), agreed);
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
                        let bytes = buffer.get_mut(..length).unwrap_or_default();
                        self.on_packet(plan, bytes, from).await;
                    }
                    (Ok(_), None) => {}
                    (Err(_), _) => tokio::time::sleep(PAUSE).await,
                },
            }
        }
    }

    /// Goes by what was agreed from here on; by nothing at all where its keys cannot be used.
    fn follow(
        &mut self,
        before: Option<&Negotiated>,
        agreed: Option<Negotiated>,
    ) -> Option<Negotiated> {
        let agreed = agreed?;
        let security = match &agreed.crypto {
            Some(crypto) => Some(security(crypto)?),
            None => None,
        };
        let mut renewal = Renewal::new(self.security.as_ref(), security.as_ref()).ok()?;
        let same_place = before.is_some_and(|before| before.remote == agreed.remote);
        self.security = security;
        // A key that has served before is refused, and nothing goes out until there is another one.
        let _ = self.shield.change(now(), &mut renewal, same_place);
        Some(agreed)
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
            self.tone = Tone::new(plan.codec);
            self.sender.set_clock_rate(plan.codec.clock_rate_hz());
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
        let now = now();
        let clock = agreed.clock_rate_hz;
        let events = self.events.get_or_insert_with(|| EventReceiver::new(clock));
        events.receive(now, &packet.header, packet.payload);
        let mut heard = Vec::new();
        while let Some(received) = events.poll(now) {
            heard.push(received.digit);
        }
        for digit in heard {
            (self.tells)(News::Digit(digit));
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
    async fn on_packet(&mut self, plan: &Negotiated, bytes: &mut [u8], from: SocketAddr) {
        let is_report = looks_like_rtcp(bytes);
        if self.number == Number::Deaf || !(is_report || looks_like_rtp(bytes)) {
            return;
        }
        // Nobody becomes known by what is not genuine.
        let opened = match is_report {
            true => self.shield.open_control(now(), bytes),
            false => self.shield.open(now(), bytes),
        };
        let packet = match opened {
            Ok(packet) => packet,
            Err(error) => return self.refuse(error),
        };
        if is_report {
            if self.belongs(plan, from) {
                self.heard.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let Ok(packet) = RtpPacket::parse(packet) else {
            return;
        };
        if !self.belongs(plan, from) {
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
        let (marker, timestamp) = (packet.header.marker, packet.header.timestamp);
        self.out.clear();
        let out = &mut self.out;
        let written =
            self.sender
                .send_at(now(), payload_type, marker, timestamp, packet.payload, out);
        if written.is_ok() {
            self.send_to(from).await;
        }
    }

    /// Counts what is not to be heard.
    fn refuse(&mut self, error: SrtpError) {
        match error {
            SrtpError::Replayed | SrtpError::Repeated => {
                self.refused.replayed.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                self.refused.forged.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.told_forged, true) {
                    (self.tells)(News::Forged);
                }
            }
        }
    }

    /// Sends the packet that was written, protected where that was agreed.
    async fn send_to(&mut self, to: SocketAddr) {
        if self.shield.seal(&mut self.out) {
            let _ = self.socket.send_to(&self.out, to).await;
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
        let (sender, payload_type) = (&mut self.sender, plan.send_payload_type);
        if let Some(tone) = &mut self.tone
            && tone.next_packet(number, payload_type, sender, &mut self.out)
        {
            self.send_to(remote).await;
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The keys as the shield takes them.
fn security(agreed: &NegotiatedCrypto) -> Option<Security> {
    let suite = match agreed.suite {
        CryptoSuite::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        CryptoSuite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
        CryptoSuite::AesCm256HmacSha1_80 => Suite::AesCm256HmacSha1_80,
        CryptoSuite::AesCm256HmacSha1_32 => Suite::AesCm256HmacSha1_32,
        CryptoSuite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        CryptoSuite::AeadAes256Gcm => Suite::AeadAes256Gcm,
    };
    let key = |key: &CryptoKey| MasterKey::new(suite, key.reveal());
    Some(Security {
        send: key(&agreed.send_key)?,
        receive: key(&agreed.receive_key)?,
        receive_mki: agreed.receive_mki.clone(),
        context: agreed.context,
    })
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
    samples: Vec<i16>,
    payload: Vec<u8>,
    position: u64,
    /// A digit that is played, as its two frequencies, and for how many packets more.
    digit: Option<((f64, f64), u32)>,
}

impl Tone {
    fn new(codec: Codec) -> Option<Self> {
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
    fn next_packet(
        &mut self,
        number: Number,
        payload_type: u8,
        sender: &mut Sender,
        out: &mut Vec<u8>,
    ) -> bool {
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
        out.clear();
        sender
            .send(now(), payload_type, payload, ticks, out)
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
