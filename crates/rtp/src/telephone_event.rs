//! Dialled digits as telephone events (RFC 4733).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::packet::RtpHeader;
use crate::sender::ticks;

/// Longest duration of one segment, in ticks (RFC 4733 §2.3.5).
const SEGMENT: u32 = 0xFFFF;
/// The final packet is sent this many times (RFC 4733 §2.5.1.4).
const END_PACKETS: u8 = 3;
/// Silence between two digits, so that receivers hear two.
const PAUSE: Duration = Duration::from_millis(60);
/// Digits that wait to be sent.
const MAX_QUEUED: usize = 64;
/// Shortest digit that a gateway will render as one (RFC 4733 §2.5.1.1 leaves it to Q.24).
const SHORTEST: Duration = Duration::from_millis(40);
/// Longest digit that is sent.
const LONGEST: Duration = Duration::from_secs(30);
/// With no packet for this long an event has ended, though its end was lost. Three times the
/// 50 ms between updates that RFC 4733 §2.5.1.2 recommends, and some jitter.
const LOST_END: Duration = Duration::from_millis(200);
/// Received digits that wait to be fetched.
const MAX_RECEIVED: usize = 128;

/// The payload of an event packet (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPayload {
    /// Event code: 0 to 9, 10 `*`, 11 `#`, 12 to 15 `A` to `D`, 16 flash.
    pub event: u8,
    /// Whether the event is over.
    pub end: bool,
    /// Power level below 0 dBm0, 0 to 63.
    pub volume: u8,
    /// How long the event has lasted since the packet's timestamp, in ticks.
    pub duration: u16,
}

impl EventPayload {
    /// Reads a payload. Further blocks behind the first four bytes are not looked at.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low, ..] = *payload else {
            return None;
        };
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3F,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The four bytes on the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        let flags = (u8::from(self.end) << 7) | (self.volume & 0x3F);
        [self.event, flags, high, low]
    }
}

/// The event code of a key (`0`–`9`, `*`, `#`, `A`–`D` in either case).
#[must_use]
pub fn event_of(digit: char) -> Option<u8> {
    Some(match digit.to_ascii_uppercase() {
        '*' => 10,
        '#' => 11,
        letter @ 'A'..='D' => letter as u8 - b'A' + 12,
        other => u8::try_from(other.to_digit(10)?).ok()?,
    })
}

/// The key of an event code; none for events that are no keys.
#[must_use]
pub fn digit_of(event: u8) -> Option<char> {
    Some(match event {
        0..=9 => char::from(b'0' + event),
        10 => '*',
        11 => '#',
        12..=15 => char::from(b'A' + event - 12),
        _ => return None,
    })
}

/// Why a digit is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The character is no key of a telephone.
    #[error("{0:?} is not a key of a telephone")]
    NotADigit(char),
    /// Too many digits wait already.
    #[error("{MAX_QUEUED} digits wait to be sent already")]
    QueueFull,
}

/// A packet to be sent with [`crate::Sender::send_at`], in place of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// Set on the first packet of an event only.
    pub marker: bool,
    /// The instant the event (or its segment) began; the same in each of its packets.
    pub timestamp: u32,
    /// The payload.
    pub payload: [u8; 4],
}

/// What to do instead of sending audio for one packet time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStep {
    /// No event: audio as usual.
    Idle,
    /// Send this; let the audio of this packet time pass.
    Send(EventPacket),
    /// The pause between two digits: let the audio of this packet time pass.
    Pause,
}

/// Sends queued digits, one packet each packet time.
#[derive(Debug, Clone)]
pub struct EventSender {
    clock_rate_hz: u32,
    queue: VecDeque<(u8, u32)>,
    current: Option<Sending>,
    pause_left: u32,
}

#[derive(Debug, Clone, Copy)]
struct Sending {
    event: u8,
    /// Ticks of the whole event.
    total: u32,
    /// Ticks before the current segment.
    before: u32,
    elapsed: u32,
    timestamp: u32,
    first: bool,
    ends_sent: u8,
}

impl EventSender {
    /// Nothing queued. `clock_rate_hz` is that of the negotiated telephone-event payload type.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz: clock_rate_hz.max(1),
            queue: VecDeque::new(),
            current: None,
            pause_left: 0,
        }
    }

    /// Queues a key. Durations are held between 40 ms and 30 s.
    ///
    /// # Errors
    /// No key of a telephone, or 64 keys wait already.
    pub fn queue(&mut self, digit: char, duration: Duration) -> Result<(), EventError> {
        let event = event_of(digit).ok_or(EventError::NotADigit(digit))?;
        if self.queue.len() >= MAX_QUEUED {
            return Err(EventError::QueueFull);
        }
        let total = ticks(duration.clamp(SHORTEST, LONGEST), self.clock_rate_hz);
        self.queue.push_back((event, total));
        Ok(())
    }

    /// Whether an event is being sent or waits.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.current.is_some() || !self.queue.is_empty()
    }

    /// Call once for each packet time of audio, which lasts `packet_ticks` on the event clock and
    /// begins at `timestamp`.
    pub fn step(&mut self, timestamp: u32, packet_ticks: u32) -> EventStep {
        if self.current.is_none() {
            if self.pause_left > 0 {
                self.pause_left = self.pause_left.saturating_sub(packet_ticks.max(1));
                return EventStep::Pause;
            }
            let Some((event, total)) = self.queue.pop_front() else {
                return EventStep::Idle;
            };
            self.current = Some(Sending {
                event,
                total,
                before: 0,
                elapsed: 0,
                timestamp,
                first: true,
                ends_sent: 0,
            });
        }
        let Some(sending) = &mut self.current else {
            return EventStep::Idle;
        };
        let packet = sending.step(packet_ticks.max(1));
        if sending.ends_sent >= END_PACKETS {
            self.current = None;
            self.pause_left = ticks(PAUSE, self.clock_rate_hz);
        }
        EventStep::Send(packet)
    }
}

impl Sending {
    fn step(&mut self, packet_ticks: u32) -> EventPacket {
        // The duration of a packet is what has passed at its end, as with audio.
        self.elapsed = self.elapsed.saturating_add(packet_ticks).min(self.total);
        let mut in_segment = self.elapsed - self.before;
        if in_segment > SEGMENT && self.ends_sent == 0 {
            // RFC 4733 §2.5.1.3: the event goes on in a segment of its own timestamp, without
            // marker and without an end of the one before.
            self.before += SEGMENT;
            self.timestamp = self.timestamp.wrapping_add(SEGMENT);
            in_segment -= SEGMENT;
        }
        let end = self.elapsed >= self.total;
        self.ends_sent += u8::from(end);
        let payload = EventPayload {
            event: self.event,
            end,
            volume: 10,
            duration: u16::try_from(in_segment).unwrap_or(u16::MAX),
        };
        EventPacket {
            marker: std::mem::take(&mut self.first),
            timestamp: self.timestamp,
            payload: payload.to_bytes(),
        }
    }
}

/// A key that the other side pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedDigit {
    /// The key.
    pub digit: char,
    /// How long it was held, as far as the packets tell.
    pub duration: Duration,
}

/// Makes one digit out of the many packets of an event, whichever of them were lost.
#[derive(Debug, Clone)]
pub struct EventReceiver {
    clock_rate_hz: u32,
    current: Option<Hearing>,
    /// Timestamp of the last segment of the event that was reported last.
    reported: Option<u32>,
    done: VecDeque<ReceivedDigit>,
}

#[derive(Debug, Clone, Copy)]
struct Hearing {
    event: u8,
    timestamp: u32,
    /// Ticks of earlier segments.
    before: u32,
    duration: u16,
    heard: Instant,
}

impl EventReceiver {
    /// Nothing heard. `clock_rate_hz` is that of the negotiated telephone-event payload type.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz: clock_rate_hz.max(1),
            current: None,
            reported: None,
            done: VecDeque::new(),
        }
    }

    /// Takes in a packet of the event's payload type. Unreadable ones are ignored.
    pub fn receive(&mut self, now: Instant, header: &RtpHeader, payload: &[u8]) {
        let Some(packet) = EventPayload::parse(payload) else {
            return;
        };
        if self.is_over(header.timestamp) {
            return;
        }
        let hearing = match self.current.take() {
            Some(hearing) if hearing.goes_on_with(header, &packet) => {
                hearing.updated(now, header, &packet)
            }
            before => {
                if let Some(before) = before {
                    // Its end was lost, and the next one has begun.
                    self.report(before);
                }
                Hearing {
                    event: packet.event,
                    timestamp: header.timestamp,
                    before: 0,
                    duration: packet.duration,
                    heard: now,
                }
            }
        };
        if packet.end {
            self.report(hearing);
        } else {
            self.current = Some(hearing);
        }
    }

    /// The next digit that is complete: its end arrived, or nothing of it for 200 ms. Call it
    /// regularly, each packet time is fine.
    pub fn poll(&mut self, now: Instant) -> Option<ReceivedDigit> {
        if let Some(hearing) = self.current
            && now.saturating_duration_since(hearing.heard) >= LOST_END
        {
            self.current = None;
            self.report(hearing);
        }
        self.done.pop_front()
    }

    /// Whether the packet repeats an event that was reported, or is a little older than that or
    /// than the one being heard. Much older is a sender whose timestamps began anew.
    fn is_over(&self, timestamp: u32) -> bool {
        let recent = ticks(LONGEST, self.clock_rate_hz);
        let reported = |reported: u32| reported.wrapping_sub(timestamp) <= recent;
        let heard = |hearing: Hearing| {
            let age = hearing.timestamp.wrapping_sub(timestamp);
            age > 0 && age <= recent
        };
        self.reported.is_some_and(reported) || self.current.is_some_and(heard)
    }

    fn report(&mut self, hearing: Hearing) {
        self.reported = Some(hearing.timestamp);
        let total = u64::from(hearing.before) + u64::from(hearing.duration);
        let duration = Duration::from_micros(total * 1_000_000 / u64::from(self.clock_rate_hz));
        if let Some(digit) = digit_of(hearing.event)
            && self.done.len() < MAX_RECEIVED
        {
            self.done.push_back(ReceivedDigit { digit, duration });
        }
    }
}

impl Hearing {
    fn goes_on_with(&self, header: &RtpHeader, packet: &EventPayload) -> bool {
        if self.event != packet.event {
            return false;
        }
        let moved = header.timestamp.wrapping_sub(self.timestamp);
        // The same segment, the next segment of a long event, or a sender that moves the timestamp
        // with each packet though RFC 4733 §2.2.2 forbids it: its durations grow on.
        moved == 0
            || (moved == SEGMENT && !header.marker)
            || (!header.marker && packet.duration > self.duration && moved < SEGMENT)
    }

    fn updated(self, now: Instant, header: &RtpHeader, packet: &EventPayload) -> Self {
        let next_segment = header.timestamp.wrapping_sub(self.timestamp) == SEGMENT;
        Self {
            timestamp: header.timestamp,
            before: if next_segment {
                self.before.saturating_add(SEGMENT)
            } else {
                self.before
            },
            // Reordered packets do not make it shorter.
            duration: if next_segment {
                packet.duration
            } else {
                packet.duration.max(self.duration)
            },
            heard: now,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICKS: u32 = 160;

    /// All packets of what is queued, one step each 20 ms on an 8 kHz clock.
    fn steps(sender: &mut EventSender, mut timestamp: u32) -> Vec<EventStep> {
        let mut all = Vec::new();
        while sender.is_active() {
            all.push(sender.step(timestamp, TICKS));
            timestamp = timestamp.wrapping_add(TICKS);
        }
        all
    }

    fn packets(steps: &[EventStep]) -> Vec<(EventPacket, EventPayload)> {
        let packets = steps.iter().filter_map(|step| match step {
            EventStep::Send(packet) => Some((*packet, EventPayload::parse(&packet.payload)?)),
            _ => None,
        });
        packets.collect()
    }

    fn header(packet: &EventPacket, sequence_number: u16) -> RtpHeader {
        RtpHeader {
            marker: packet.marker,
            payload_type: 101,
            sequence_number,
            timestamp: packet.timestamp,
            ssrc: 1,
        }
    }

    /// What a receiver makes of the packets that `survives` lets through.
    fn received(
        sent: &[(EventPacket, EventPayload)],
        survives: impl Fn(usize) -> bool,
    ) -> Vec<ReceivedDigit> {
        let start = Instant::now();
        let mut receiver = EventReceiver::new(8_000);
        let mut digits = Vec::new();
        for (index, (packet, _)) in sent.iter().enumerate() {
            let now = start + Duration::from_millis(20) * u32::try_from(index).unwrap();
            if survives(index) {
                receiver.receive(now, &header(packet, index as u16), &packet.payload);
            }
            digits.extend(std::iter::from_fn(|| receiver.poll(now)));
        }
        let end = start + Duration::from_secs(3_600);
        digits.extend(std::iter::from_fn(|| receiver.poll(end)));
        digits
    }

    #[test]
    fn an_event_has_one_marker_one_timestamp_growing_durations_and_three_ends() {
        let mut sender = EventSender::new(8_000);
        sender.queue('5', Duration::from_millis(100)).unwrap();
        let sent = packets(&steps(&mut sender, 4_000));
        let durations: Vec<u16> = sent.iter().map(|(_, p)| p.duration).collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
        let ends: Vec<bool> = sent.iter().map(|(_, p)| p.end).collect();
        assert_eq!(ends, [false, false, false, false, true, true, true]);
        assert!(
            sent.iter()
                .all(|(packet, p)| packet.timestamp == 4_000 && p.event == 5)
        );
        let markers = sent.iter().map(|(packet, _)| packet.marker);
        assert!(markers.eq([true, false, false, false, false, false, false]));
    }

    #[test]
    fn digits_are_apart_by_a_pause_and_each_begins_at_its_own_time() {
        let mut sender = EventSender::new(8_000);
        sender.queue('1', Duration::from_millis(60)).unwrap();
        sender.queue('1', Duration::from_millis(60)).unwrap();
        let all = steps(&mut sender, 0);
        let pauses = all.iter().filter(|step| **step == EventStep::Pause).count();
        assert_eq!(pauses, 3);
        let sent = packets(&all);
        assert_eq!(sent.iter().filter(|(packet, _)| packet.marker).count(), 2);
        assert!(sent[5].0.timestamp >= sent[0].0.timestamp + 480);
        let digits: String = received(&sent, |_| true).iter().map(|d| d.digit).collect();
        assert_eq!(digits, "11");
        // The pause after the last digit, then audio again.
        while sender.step(0, TICKS) == EventStep::Pause {}
        assert_eq!(sender.step(0, TICKS), EventStep::Idle);
    }

    #[test]
    fn a_long_event_goes_on_in_segments_and_is_one_digit() {
        let mut sender = EventSender::new(48_000);
        sender.queue('9', Duration::from_secs(3)).unwrap();
        let mut sent = Vec::new();
        let mut timestamp = 0u32;
        while sender.is_active() {
            if let EventStep::Send(packet) = sender.step(timestamp, 960) {
                sent.push((packet, EventPayload::parse(&packet.payload).unwrap()));
            }
            timestamp += 960;
        }
        let mut stamps: Vec<u32> = sent.iter().map(|(packet, _)| packet.timestamp).collect();
        stamps.dedup();
        assert_eq!(stamps, [0, 0xFFFF, 2 * 0xFFFF]);
        assert_eq!(sent.iter().filter(|(packet, _)| packet.marker).count(), 1);
        assert_eq!(sent.iter().filter(|(_, p)| p.end).count(), 3);
        let start = Instant::now();
        let mut receiver = EventReceiver::new(48_000);
        let mut digits = Vec::new();
        for (packet, _) in &sent {
            receiver.receive(start, &header(packet, 0), &packet.payload);
            digits.extend(receiver.poll(start));
        }
        assert_eq!(digits.len(), 1);
        assert_eq!(digits[0].digit, '9');
        assert!(digits[0].duration.abs_diff(Duration::from_secs(3)) < Duration::from_millis(1));
    }

    #[test]
    fn a_digit_is_reported_once_whatever_is_lost_of_it() {
        let mut sender = EventSender::new(8_000);
        sender.queue('#', Duration::from_millis(100)).unwrap();
        let sent = packets(&steps(&mut sender, 77));
        let whole = received(&sent, |_| true);
        assert_eq!(
            whole,
            [ReceivedDigit {
                digit: '#',
                duration: Duration::from_millis(100)
            }]
        );
        // The beginning, all ends, everything but one packet.
        assert_eq!(received(&sent, |n| n >= 3), whole);
        let cut = received(&sent, |n| n < 4);
        assert_eq!(
            cut,
            [ReceivedDigit {
                digit: '#',
                duration: Duration::from_millis(80)
            }]
        );
        for only in 0..sent.len() {
            assert_eq!(received(&sent, |n| n == only).len(), 1, "{only}");
        }
    }

    #[test]
    fn a_second_digit_ends_the_first_whose_end_was_lost() {
        let mut sender = EventSender::new(8_000);
        sender.queue('1', Duration::from_millis(60)).unwrap();
        sender.queue('2', Duration::from_millis(60)).unwrap();
        let sent = packets(&steps(&mut sender, 0));
        let digits = received(&sent, |n| !(2..5).contains(&n));
        assert_eq!(digits.iter().map(|d| d.digit).collect::<String>(), "12");
    }

    #[test]
    fn reordered_and_repeated_packets_change_nothing() {
        let mut sender = EventSender::new(8_000);
        sender.queue('7', Duration::from_millis(80)).unwrap();
        let mut sent = packets(&steps(&mut sender, 900));
        sent.swap(1, 2);
        let last = sent.len() - 1;
        sent.swap(0, last);
        sent.extend(sent.clone());
        let digits = received(&sent, |_| true);
        assert_eq!(
            digits,
            [ReceivedDigit {
                digit: '7',
                duration: Duration::from_millis(80)
            }]
        );
    }

    #[test]
    fn a_late_packet_of_an_earlier_segment_is_not_another_digit() {
        let start = Instant::now();
        let mut receiver = EventReceiver::new(8_000);
        let send = |receiver: &mut EventReceiver, timestamp, duration, end| {
            let payload = EventPayload {
                event: 6,
                end,
                volume: 10,
                duration,
            };
            let packet = EventPacket {
                marker: false,
                timestamp,
                payload: payload.to_bytes(),
            };
            receiver.receive(start, &header(&packet, 0), &packet.payload);
        };
        send(&mut receiver, 1_000, 0xFFF0, false);
        send(&mut receiver, 1_000 + SEGMENT, 160, false);
        send(&mut receiver, 1_000, 0xFFFF, false);
        send(&mut receiver, 1_000 + SEGMENT, 320, true);
        send(&mut receiver, 1_000 + SEGMENT, 320, true);
        let digits: Vec<_> = std::iter::from_fn(|| receiver.poll(start)).collect();
        assert_eq!(digits.len(), 1);
        assert_eq!(digits[0].duration.as_millis(), (0xFFFF + 320) / 8);
    }

    #[test]
    fn a_sender_that_moves_the_timestamp_is_understood() {
        let start = Instant::now();
        let mut receiver = EventReceiver::new(8_000);
        for n in 1..=5u16 {
            let payload = EventPayload {
                event: 3,
                end: n == 5,
                volume: 10,
                duration: n * 160,
            };
            let packet = EventPacket {
                marker: n == 1,
                timestamp: u32::from(n) * 160,
                payload: payload.to_bytes(),
            };
            receiver.receive(start, &header(&packet, n), &packet.payload);
        }
        let digits: Vec<_> = std::iter::from_fn(|| receiver.poll(start)).collect();
        assert_eq!(
            digits,
            [ReceivedDigit {
                digit: '3',
                duration: Duration::from_millis(100)
            }]
        );
    }

    #[test]
    fn only_keys_are_queued_and_the_queue_has_an_end() {
        let mut sender = EventSender::new(8_000);
        assert_eq!(sender.queue('x', PAUSE), Err(EventError::NotADigit('x')));
        for _ in 0..MAX_QUEUED {
            sender.queue('d', PAUSE).unwrap();
        }
        assert_eq!(sender.queue('1', PAUSE), Err(EventError::QueueFull));
        for (event, digit) in (0u8..).zip("0123456789*#ABCD".chars()) {
            assert_eq!(event_of(digit), Some(event));
            assert_eq!(digit_of(event), Some(digit));
        }
        assert_eq!(digit_of(16), None);
    }

    proptest! {
        #[test]
        fn any_packets_are_survived_and_bounded(packets in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..8), 0u64..500), 0..300)) {
            let mut now = Instant::now();
            let mut receiver = EventReceiver::new(48_000);
            for (timestamp, payload, wait) in packets {
                now += Duration::from_millis(wait);
                let packet = EventPacket { marker: false, timestamp, payload: [0; 4] };
                receiver.receive(now, &header(&packet, 0), &payload);
                prop_assert!(receiver.done.len() <= MAX_RECEIVED);
            }
        }

        #[test]
        fn every_number_arrives_over_a_lossy_line(digits in "[0-9*#A-D]{1,12}", first in 0usize..3) {
            let mut sender = EventSender::new(8_000);
            for digit in digits.chars() {
                sender.queue(digit, Duration::from_millis(100)).unwrap();
            }
            let sent = packets(&steps(&mut sender, u32::MAX - 500));
            // Two of every three packets are lost, never all of an event.
            let heard = received(&sent, |n| n % 3 == first);
            prop_assert_eq!(heard.iter().map(|d| d.digit).collect::<String>(), digits);
        }
    }
}
