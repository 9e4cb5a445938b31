//! The sound of a test number: a task for each call, with a socket of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use codecs::{CodecKind, Encoder, EncoderOptions};
use rtp::{RtpHeader, RtpPacket, Sender};
use sdp::{Codec, LocalMedia, Negotiated, Negotiator, SdpError};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::numbers::Number;

/// Packet time of what we send.
const PTIME: Duration = Duration::from_millis(20);
/// The milliwatt tone: 1004 Hz at 0 dBm0, which is 3.14 dB below the largest sine of G.711.
const TONE_HZ: f64 = 1004.0;
const TONE_PEAK: f64 = 32_767.0 * 0.6966;
/// A datagram that is larger is no speech.
const DATAGRAM: usize = 2_048;

/// One call's sound.
pub(crate) struct Line {
    number: Number,
    negotiator: Negotiator,
    socket: Arc<UdpSocket>,
    ssrc: u32,
    task: Option<JoinHandle<()>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Line {
    /// Binds a socket at the address that the caller came by.
    pub(crate) async fn open(number: Number, local: IpAddr, random: u64) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
        let negotiator = Negotiator::new(LocalMedia {
            address: local,
            port: socket.local_addr()?.port(),
            codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma],
            ptime_ms: 20,
            telephone_event: true,
            session_id: random >> 2,
        });
        Ok(Self {
            number,
            negotiator,
            socket: Arc::new(socket),
            ssrc: random as u32,
            task: None,
        })
    }

    /// Answers an offer, or makes one when there is none.
    pub(crate) fn describe(&mut self, offer: Option<&[u8]>) -> Result<Vec<u8>, SdpError> {
        match offer {
            Some(offer) => {
                let (answer, agreed) = self.negotiator.handle_offer(offer)?;
                self.start(&agreed);
                Ok(answer)
            }
            None => Ok(self.negotiator.offer()),
        }
    }

    /// Takes the caller's answer to our offer.
    pub(crate) fn handle_answer(&mut self, answer: &[u8]) -> Result<(), SdpError> {
        let agreed = self.negotiator.handle_answer(answer)?;
        self.start(&agreed);
        Ok(())
    }

    fn start(&mut self, agreed: &Negotiated) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let socket = Arc::clone(&self.socket);
        let (ssrc, number) = (self.ssrc, self.number);
        let (remote, sends) = (agreed.remote, agreed.direction.sends());
        let payload_type = agreed.send_payload_type;
        let codec = agreed.codec;
        let events = agreed
            .telephone_event
            .as_ref()
            .map(|e| (e.receive_pt, e.send_pt));
        let media = (agreed.receive_payload_type, payload_type);
        self.task = Some(tokio::spawn(async move {
            match number {
                Number::Tone if sends => tone(&socket, remote, codec, payload_type, ssrc).await,
                Number::Echo if sends => echo(&socket, remote, media, events, ssrc).await,
                _ => {}
            }
        }));
    }
}

/// Sends every packet back under our own SSRC and sequence, to where it came from.
async fn echo(
    socket: &UdpSocket,
    remote: Option<SocketAddr>,
    media: (u8, u8),
    events: Option<(u8, u8)>,
    ssrc: u32,
) {
    let mut buffer = vec![0_u8; DATAGRAM];
    let mut out = Vec::with_capacity(DATAGRAM);
    let mut sequence = ssrc as u16;
    let mut peer = remote;
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let Some(packet) = buffer
            .get(..length)
            .and_then(|bytes| RtpPacket::parse(bytes).ok())
        else {
            continue;
        };
        // A phone behind a router sends from elsewhere than it said; the first to speak is it.
        let peer = *peer.get_or_insert(from);
        let payload_type = match (packet.header.payload_type, events) {
            (pt, _) if pt == media.0 => media.1,
            (pt, Some((receive, send))) if pt == receive => send,
            _ => continue,
        };
        let header = RtpHeader {
            marker: packet.header.marker,
            payload_type,
            sequence_number: sequence,
            timestamp: packet.header.timestamp,
            ssrc,
        };
        sequence = sequence.wrapping_add(1);
        out.clear();
        if header.write(packet.payload, &mut out).is_ok() {
            let to = if from.ip() == peer.ip() { from } else { peer };
            let _ = socket.send_to(&out, to).await;
        }
    }
}

/// Sends the milliwatt tone.
async fn tone(
    socket: &UdpSocket,
    remote: Option<SocketAddr>,
    codec: Codec,
    payload_type: u8,
    ssrc: u32,
) {
    let Some(remote) = remote else { return };
    let kind = match codec {
        Codec::Opus => CodecKind::Opus,
        Codec::Pcmu => CodecKind::Pcmu,
        Codec::Pcma => CodecKind::Pcma,
    };
    let Ok(mut encoder) = Encoder::new(kind, EncoderOptions::default()) else {
        return;
    };
    let rate = f64::from(kind.sample_rate_hz());
    let frame = kind.frame_samples(20);
    let ticks_per_packet = kind.rtp_clock_hz() / 50;
    let mut sender = Sender::new(ssrc, ssrc as u16, ssrc, kind.rtp_clock_hz());
    let mut payload = vec![0_u8; 1_500];
    let mut out = Vec::with_capacity(DATAGRAM);
    let mut position = 0_u64;
    let mut ticks = interval(PTIME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let samples: Vec<i16> = (0..frame as u64)
            .map(|n| {
                let phase = (position + n) as f64 / rate * TONE_HZ * std::f64::consts::TAU;
                (phase.sin() * TONE_PEAK) as i16
            })
            .collect();
        position += frame as u64;
        let Ok(length) = encoder.encode(&samples, &mut payload) else {
            return;
        };
        let Some(bytes) = payload.get(..length) else {
            return;
        };
        out.clear();
        let now = tokio::time::Instant::now().into_std();
        if sender
            .send(now, payload_type, bytes, ticks_per_packet, &mut out)
            .is_ok()
        {
            let _ = socket.send_to(&out, remote).await;
        }
    }
}
