//! Numbers that the pump writes and everybody reads.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst,
};
use std::time::Duration;

use codecs::CodecKind;
use rtp::rtcp::xr::VoipMetrics;
use rtp::srtp::SrtpError;

/// A number between threads; each is exact for itself, they are not a consistent whole.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A fraction between threads.
#[derive(Debug, Default)]
pub(crate) struct Fraction(AtomicU32);

impl Fraction {
    pub(crate) fn set(&self, value: f32) {
        self.0.store(value.to_bits(), Relaxed);
    }

    pub(crate) fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Relaxed))
    }
}

/// Words between threads that belong together: written by one, guarded by a version that is odd while they are written.
#[derive(Debug)]
struct Words<const N: usize> {
    version: AtomicU32,
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Self {
            version: AtomicU32::new(0),
            words: [const { AtomicU64::new(0) }; N],
        }
    }
}

impl<const N: usize> Words<N> {
    fn set(&self, words: [u64; N]) {
        self.version.fetch_add(1, SeqCst);
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(word, SeqCst);
        }
        self.version.fetch_add(1, SeqCst);
    }

    fn get(&self) -> Option<[u64; N]> {
        // The writer needs nanoseconds; who meets it a hundred times in a row gets nothing.
        for _ in 0..100 {
            let before = self.version.load(SeqCst);
            let words = self.words.each_ref().map(|word| word.load(SeqCst));
            if before.is_multiple_of(2) && before == self.version.load(SeqCst) {
                return Some(words);
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// An address between threads.
#[derive(Debug, Default)]
pub(crate) struct Address(Words<3>);

/// Set in the word of the port when there is an address.
const PRESENT: u64 = 1 << 16;

impl Address {
    pub(crate) fn set(&self, address: Option<SocketAddr>) {
        let bits = address.map_or(0, |address| match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        });
        let port = address.map_or(0, |address| u64::from(address.port()) | PRESENT);
        self.0.set([(bits >> 64) as u64, bits as u64, port]);
    }

    pub(crate) fn get(&self) -> Option<SocketAddr> {
        let [high, low, port] = self.0.get()?;
        let bits = (u128::from(high) << 64) | u128::from(low);
        let ip = IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical();
        (port & PRESENT != 0).then(|| SocketAddr::new(ip, port as u16))
    }
}

/// Metrics between threads, as they are on the wire.
#[derive(Debug, Default)]
pub(crate) struct MetricsCell(Words<5>);

impl MetricsCell {
    pub(crate) fn set(&self, metrics: &VoipMetrics) {
        let bytes = metrics.to_bytes();
        let mut words = bytes.chunks_exact(8).map(|word| {
            let word = word.try_into().unwrap_or_default();
            u64::from_be_bytes(word)
        });
        // The first word tells that there are any.
        self.0.set(std::array::from_fn(|n| match n {
            0 => 1,
            _ => words.next().unwrap_or(0),
        }));
    }

    pub(crate) fn get(&self) -> Option<VoipMetrics> {
        let [there, words @ ..] = self.0.get()?;
        let mut bytes = [0; VoipMetrics::LENGTH];
        for (room, word) in bytes.chunks_exact_mut(8).zip(words) {
            room.copy_from_slice(&word.to_be_bytes());
        }
        (there != 0).then(|| VoipMetrics::from_bytes(&bytes))
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What one stream counts. Written by the pump, read at any time by anyone.
        #[derive(Debug, Default)]
        pub struct StreamCounters {
            $(pub(crate) $name: Count,)*
            pub(crate) source_level: Fraction,
            pub(crate) send_level: Fraction,
            pub(crate) receive_level: Fraction,
            pub(crate) peer_loss: Fraction,
            pub(crate) announced: Address,
            pub(crate) actual: Address,
            pub(crate) target: Address,
            pub(crate) failed: AtomicBool,
            pub(crate) we_speak: AtomicBool,
            pub(crate) they_speak: AtomicBool,
            pub(crate) pauses: AtomicBool,
            pub(crate) mos: Fraction,
            pub(crate) codec_heard: AtomicU8,
            pub(crate) metrics: MetricsCell,
            pub(crate) peer_metrics: MetricsCell,
        }

        impl StreamCounters {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> u64 { self.$name.get() })*
        }
    };
}

counts! {
    /// RTP packets sent, telephone events among them.
    sent,
    /// Bytes of RTP sent, with their RTP headers.
    sent_bytes,
    /// Second copies of RTP packets, where each is sent twice.
    sent_again,
    /// Packets that the socket refused.
    send_errors,
    /// RTP packets received and accepted.
    received,
    /// Bytes of RTP received, with their RTP headers.
    received_bytes,
    /// Packets that the sequence numbers promise and that never came (RFC 3550 A.3).
    lost,
    /// Packets that came after their turn.
    late,
    /// Packets that came and could not be played: too late, too many at once, or with timestamps that fit nothing.
    discarded,
    /// Packets that came twice.
    duplicates,
    /// Datagrams dropped: no RTP, an unknown payload type, or not from where they should come. With those that
    /// encryption refused.
    dropped,
    /// Datagrams of an encrypted stream that were not made with the peer's key.
    not_genuine,
    /// Datagrams of an encrypted stream that had come before, but for second copies of packets that just came.
    replayed,
    /// Second copies of packets of an encrypted stream; they are among the duplicates.
    repeated,
    /// Interarrival jitter in microseconds (RFC 3550 §6.4.1).
    jitter_us,
    /// The last round trip in microseconds, 0 before the first report. Where the system does not tell when a report arrived, it is up
    /// to 10 ms too long at each end.
    round_trip_us,
    /// What the jitter buffer adds at present, in microseconds.
    buffer_us,
    /// Sound made up for what was missing, in milliseconds.
    concealed_ms,
    /// Sound heard, concealed or not, in milliseconds.
    played_ms,
    /// Packets the peer says it has lost.
    peer_lost,
    /// Jitter the peer sees, in microseconds.
    peer_jitter_us,
    /// RTCP compounds sent.
    reports_sent,
    /// RTCP compounds received.
    reports_received,
    /// Samples of a recording that its writer was too slow for.
    record_overruns,
    /// Milliseconds since the last packet was accepted, or since the stream began.
    silent_ms,
}

/// In the order of their numbers between threads, from 1 on.
const CODECS: [CodecKind; 4] = [
    CodecKind::Opus,
    CodecKind::G722,
    CodecKind::Pcmu,
    CodecKind::Pcma,
];

impl StreamCounters {
    /// The codec of what was played last; none before the first packet was. The peer may send another than we do.
    #[must_use]
    pub fn codec_heard(&self) -> Option<CodecKind> {
        let number = usize::from(self.codec_heard.load(Relaxed));
        CODECS.get(number.checked_sub(1)?).copied()
    }

    /// The packet that encryption let through; of one that it refused is noted why.
    pub(crate) fn opened<'a>(&self, opened: Result<&'a [u8], SrtpError>) -> Option<&'a [u8]> {
        match opened {
            Ok(packet) => return Some(packet),
            // Before there are keys nothing can be said of it.
            Err(SrtpError::NoKey) => {}
            Err(SrtpError::Repeated) => self.repeated.add(1),
            Err(SrtpError::Replayed) => self.replayed.add(1),
            Err(_) => self.not_genuine.add(1),
        }
        None
    }

    pub(crate) fn hear_codec(&self, kind: CodecKind) {
        let place = CODECS.iter().position(|codec| *codec == kind);
        let number = place.and_then(|place| u8::try_from(place + 1).ok());
        self.codec_heard.store(number.unwrap_or(0), Relaxed);
    }

    /// Level of what the source gave, before it is muted: root mean square of the last 10 ms, 0.0 to 1.0.
    #[must_use]
    pub fn source_level(&self) -> f32 {
        self.source_level.get()
    }

    /// Level of what is sent: root mean square of the last packet, 0.0 to 1.0.
    #[must_use]
    pub fn send_level(&self) -> f32 {
        self.send_level.get()
    }

    /// Level of what is heard: root mean square of the last 10 ms, 0.0 to 1.0.
    #[must_use]
    pub fn receive_level(&self) -> f32 {
        self.receive_level.get()
    }

    /// Share of our packets that the peer lost between its last two reports, 0.0 to 1.0.
    #[must_use]
    pub fn peer_loss(&self) -> f32 {
        self.peer_loss.get()
    }

    /// Whether somebody speaks into what is sent.
    #[must_use]
    pub fn we_speak(&self) -> bool {
        self.we_speak.load(Relaxed)
    }

    /// Whether somebody speaks in what is heard.
    #[must_use]
    pub fn they_speak(&self) -> bool {
        self.they_speak.load(Relaxed)
    }

    /// Whether the peer has said last that it says nothing for a while: by comfort noise (RFC 3389), or by silence that Opus
    /// leaves out.
    pub fn pauses(&self) -> bool {
        self.pauses.load(Relaxed)
    }

    /// How good the conversation was in the last second in which something was expected, by the E-model, 1.0 to 4.5; once there
    /// is enough to judge.
    #[must_use]
    pub fn mos(&self) -> Option<f32> {
        Some(self.mos.get()).filter(|mos| *mos > 0.0)
    }

    /// How the peer is heard, once it is.
    #[must_use]
    pub fn metrics(&self) -> Option<VoipMetrics> {
        self.metrics.get()
    }

    /// How the peer says that it hears us, once it does (RFC 3611 §4.7).
    #[must_use]
    pub fn peer_metrics(&self) -> Option<VoipMetrics> {
        self.peer_metrics.get()
    }

    /// The last round trip, where a report has told it.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        let us = self.round_trip_us();
        (us > 0).then(|| Duration::from_micros(us))
    }

    /// The peer's address by its SDP.
    #[must_use]
    pub fn announced_peer(&self) -> Option<SocketAddr> {
        self.announced.get()
    }

    /// Where the last accepted packet came from.
    #[must_use]
    pub fn actual_peer(&self) -> Option<SocketAddr> {
        self.actual.get()
    }

    /// Where packets go.
    #[must_use]
    pub fn target(&self) -> Option<SocketAddr> {
        self.target.get()
    }

    /// Whether a fault has ended the stream.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

/// What the pump counts for itself.
#[derive(Debug, Default)]
pub struct PumpCounters {
    pub(crate) ticks: Count,
    pub(crate) late_ticks: Count,
    pub(crate) skipped_ticks: Count,
    pub(crate) longest_step_us: Count,
    pub(crate) in_steps_ns: Count,
    pub(crate) streams: Count,
    pub(crate) capture_underruns: Count,
    pub(crate) capture_level: Fraction,
    pub(crate) playout_level: Fraction,
    pub(crate) playout_waiting_ms: Count,
    pub(crate) capture_waiting_ms: Count,
    pub(crate) voice_failed: AtomicBool,
    pub(crate) voice_late: Count,
    pub(crate) voice_waited_us: Count,
}

impl PumpCounters {
    /// Steps done. It stands still while the pump sleeps.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.ticks.get()
    }

    /// Steps that began 5 ms or more after their deadline.
    #[must_use]
    pub fn late_ticks(&self) -> u64 {
        self.late_ticks.get()
    }

    /// Steps given up because the machine was away (suspended, stopped) for long.
    #[must_use]
    pub fn skipped_ticks(&self) -> u64 {
        self.skipped_ticks.get()
    }

    /// The longest step, in microseconds.
    #[must_use]
    pub fn longest_step_us(&self) -> u64 {
        self.longest_step_us.get()
    }

    /// How long all steps have taken, in nanoseconds: what the pump does, without the system putting it to sleep and waking it.
    #[must_use]
    pub fn in_steps_ns(&self) -> u64 {
        self.in_steps_ns.get()
    }

    /// Streams carried at present.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.streams.get()
    }

    /// Steps for which the microphone had nothing.
    #[must_use]
    pub fn capture_underruns(&self) -> u64 {
        self.capture_underruns.get()
    }

    /// Level of the microphone: root mean square of the last 10 ms, 0.0 to 1.0. Also without a call.
    #[must_use]
    pub fn capture_level(&self) -> f32 {
        self.capture_level.get()
    }

    /// Level of what goes to the speaker.
    #[must_use]
    pub fn playout_level(&self) -> f32 {
        self.playout_level.get()
    }

    /// Sound that waits in the playout ring, in milliseconds.
    #[must_use]
    pub fn playout_waiting_ms(&self) -> u64 {
        self.playout_waiting_ms.get()
    }

    /// Sound that waits in the capture ring, in milliseconds.
    #[must_use]
    pub fn capture_waiting_ms(&self) -> u64 {
        self.capture_waiting_ms.get()
    }

    /// Whether a fault, or being late for a second, has ended what was done to the microphone's sound ([`crate::Voice`]). It
    /// stays so until that is set anew.
    #[must_use]
    pub fn voice_failed(&self) -> bool {
        self.voice_failed.load(Relaxed)
    }

    /// Frames of the microphone, 10 ms each, whose processing was not done in time ([`crate::Voice`]): there was silence in
    /// their place.
    #[must_use]
    pub fn voice_late(&self) -> u64 {
        self.voice_late.get()
    }

    /// How long the pump has waited for that processing, in microseconds and in all.
    #[must_use]
    pub fn voice_waited_us(&self) -> u64 {
        self.voice_waited_us.get()
    }
}

/// What the handle asks for without the command ring, so that it is never lost.
#[derive(Debug)]
pub(crate) struct Wishes {
    pub(crate) removed: AtomicBool,
    pub(crate) muted: AtomicBool,
    /// Gain of what is heard, 1.0 as it came.
    pub(crate) volume: Fraction,
    /// The conference that it takes part in; 0 is none.
    pub(crate) room: AtomicU64,
}

impl Default for Wishes {
    fn default() -> Self {
        let volume = Fraction::default();
        volume.set(1.0);
        Self {
            removed: AtomicBool::new(false),
            muted: AtomicBool::new(false),
            volume,
            room: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_come_back_as_they_were_set() {
        let cell = Address::default();
        assert_eq!(cell.get(), None);
        for text in ["192.0.2.7:4000", "[2001:db8::1]:65535"] {
            let address = Some(text.parse().unwrap());
            cell.set(address);
            assert_eq!(cell.get(), address);
        }
        cell.set(None);
        assert_eq!(cell.get(), None);
    }
}
