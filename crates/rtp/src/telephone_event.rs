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
    /// The pause between two digits, of which the second waits: let the audio of this packet time pass.
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

    /// Lets so much time pass in which nothing is sent. A digit that is under way waits.
    pub fn pass(&mut self, ticks: u32) {
        self.pause_left = self.pause_left.saturating_sub(ticks);
    }

    /// Call once for each packet time of audio, which lasts `packet_ticks` on the event clock and
    /// begins at `timestamp`, whether or not anything waits: that is how the pause after a digit passes.
    pub fn step(&mut self, timestamp: u32, packet_ticks: u32) -> EventStep {
        if self.current.is_none() {
            let pauses = self.pause_left > 0;
            self.pass(packet_ticks.max(1));
            if pauses && !self.queue.is_empty() {
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
        // RFC 4733 §2.5.1.3: what lasts longer than a segment can say fills it to the last tick, without an end, and goes
        // on in one that begins there, with a timestamp of its own and no marker.
        let is_full = self.elapsed >= self.before + SEGMENT && self.total > self.before + SEGMENT;
        let timestamp = self.timestamp;
        let in_segment = if is_full {
            self.before += SEGMENT;
            self.timestamp = timestamp.wrapping_add(SEGMENT);
            SEGMENT
        } else {
            self.elapsed - self.before
        };
        let end = !is_full && self.elapsed >= self.total;
        self.ends_sent += u8::from(end);
        let payload = EventPayload {
            event: self.event,
            end,
            volume: 10,
            duration: u16::try_from(in_segment).unwrap_or(u16::MAX),
        };
        EventPacket {
            marker: std::mem::take(&mut self.first),
            timestamp,
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
    /// The event that was reported last.
    reported: Option<Reported>,
    done: VecDeque<ReceivedDigit>,
}

/// The last packet that belonged to an event that was reported.
#[derive(Debug, Clone, Copy)]
struct Reported {
    event: u8,
    timestamp: u32,
    duration: u16,
    heard: Instant,
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

    /// Another source, or one whose timestamps began anew: what was reported says nothing about what comes.
    pub fn restart(&mut self) {
        if let Some(hearing) = self.current.take() {
            self.report(hearing);
        }
        self.reported = None;
    }

    /// Takes in a packet of the event's payload type. Unreadable ones are ignored.
    pub fn receive(&mut self, now: Instant, header: &RtpHeader, payload: &[u8]) {
        let Some(packet) = EventPayload::parse(payload) else {
            return;
        };
        if self.is_over(header.timestamp) || self.is_end_again(now, header, &packet) {
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
        let reported = |reported: Reported| reported.timestamp.wrapping_sub(timestamp) <= recent;
        let heard = |hearing: Hearing| {
            let age = hearing.timestamp.wrapping_sub(timestamp);
            age > 0 && age <= recent
        };
        self.reported.is_some_and(reported) || self.current.is_some_and(heard)
    }

    /// Whether the packet repeats the end of the event that was reported, as it does twice (RFC 4733 §2.5.1.4), from a sender
    /// that moves the timestamp with each packet: then all else is the same. Who pressed the same key for as long again did
    /// not begin before the first press was over, and where more than an end came of it, that is being heard.
    fn is_end_again(&mut self, now: Instant, header: &RtpHeader, packet: &EventPayload) -> bool {
        let is_plain_end = self.current.is_none() && packet.end && !header.marker;
        let Some(reported) = self.reported.as_mut().filter(|_| is_plain_end) else {
            return false;
        };
        let moved = header.timestamp.wrapping_sub(reported.timestamp);
        let again = (packet.event, packet.duration) == (reported.event, reported.duration)
            && moved <= u32::from(packet.duration)
            && now.saturating_duration_since(reported.heard) < LOST_END;
        if again {
            (reported.timestamp, reported.heard) = (header.timestamp, now);
        }
        again
    }

    fn report(&mut self, hearing: Hearing) {
        self.reported = Some(Reported {
            event: hearing.event,
            timestamp: hearing.timestamp,
            duration: hearing.duration,
            heard: hearing.heard,
        });
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
mod tests;
