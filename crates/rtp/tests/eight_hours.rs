//! One call of eight hours, in which everything happens that can happen to one, again and again: nothing piles up.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rtp::jitter_buffer::Empty;
use rtp::telephone_event::{EventReceiver, EventSender, EventStep};
use rtp::{JitterBuffer, JitterBufferConfig, Playout, Receiver, RtpPacket, Sender, Verdict};
use testkit::Counting;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    /// Bytes that were taken and not given back while it was watched.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    if WATCHED.try_with(Cell::get).unwrap_or(false) {
        HELD.with(|held| held.set(held.get() + bytes));
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

const RATE: u32 = 8_000;
const AUDIO: u8 = 0;
const EVENTS: u8 = 101;
const NOISE: u8 = 13;

/// Packets of 20 ms in a minute.
const MINUTE: u64 = 3_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Somebody who speaks, and the network behind.
struct Talker {
    sender: Sender,
    events: EventSender,
    random: Random,
    under_way: BTreeMap<(u64, u64), Vec<u8>>,
    number: u64,
    pressed: u32,
    sources: u32,
    last_sequence: u16,
}

impl Talker {
    /// What happens in the packet time `n`; times are in microseconds.
    fn speak(&mut self, now: Instant, n: u64, at_us: u64) {
        let (minute, within) = (n / MINUTE % 10, n % MINUTE);
        match (minute, within) {
            (2, 0 | 500 | 1_000) => {
                let digit = char::from(b'0' + (within / 500) as u8);
                assert!(self.events.queue(digit, Duration::from_millis(120)).is_ok());
                self.pressed += 1;
            }
            (4, 0) => {
                self.sources += 1;
                self.sender = Sender::new(7_000 + n as u32, n as u16, n as u32, RATE);
            }
            (5, 0) => {
                self.sources += 1;
                // Far from where they were: what is near would be loss.
                let sequence = self.last_sequence.wrapping_add(30_000);
                let timestamp = self.sender.timestamp().wrapping_add(2_000_000_000);
                self.sender = Sender::new(self.sender.ssrc(), sequence, timestamp, RATE);
            }
            _ => {}
        }
        let mut packet = Vec::new();
        let held = minute == 3 && within < 250;
        let pause = minute == 6 && within < 1_500;
        if self.events.is_active() {
            match self.events.step(self.sender.timestamp(), 160) {
                EventStep::Send(event) => {
                    let _ = self.sender.send_at(
                        now,
                        EVENTS,
                        event.marker,
                        event.timestamp,
                        &event.payload,
                        &mut packet,
                    );
                }
                EventStep::Pause | EventStep::Idle => {}
            }
            self.sender.skip(160);
        } else if held || pause && !within.is_multiple_of(50) {
            self.sender.skip(160);
        } else if pause {
            let at = self.sender.timestamp();
            let _ = self
                .sender
                .send_at(now, NOISE, false, at, &[60], &mut packet);
            self.sender.skip(160);
        } else {
            let _ = self.sender.send(now, AUDIO, &[0x7f; 160], 160, &mut packet);
        }
        if !packet.is_empty() {
            self.carry(minute, within, at_us, &packet);
        }
    }

    fn carry(&mut self, minute: u64, within: u64, at_us: u64, packet: &[u8]) {
        self.last_sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let stands_still = minute == 9 && within % 500 < 12;
        let delay_us = match minute {
            // The network stands still for a quarter of a second, and then brings all at once.
            9 if stands_still => (12 - within % 500) * 20_000,
            8 if self.random.next() < 0.1 => 60_000,
            _ => (self.random.next() * 30_000.0) as u64,
        };
        let gap = minute == 1 && (1_000..1_020).contains(&within);
        // A digit begins with packets of its own that tell the same again; it survives what is lost.
        if gap || self.random.next() < 0.02 {
            return;
        }
        for copy in 0..if minute == 7 { 2 } else { 1 } {
            self.number += 1;
            let arrives = at_us + delay_us + copy * 7_000;
            self.under_way
                .insert((arrives, self.number), packet.to_vec());
        }
    }
}

/// Who hears: everything that a stream keeps between packet and decoder.
struct Listener {
    receiver: Receiver,
    jitter: JitterBuffer,
    digits: EventReceiver,
    heard: u32,
    left_ms: u64,
    concealed_ms: u64,
    silent_ms: u64,
}

impl Listener {
    fn take(&mut self, now: Instant, datagram: &[u8]) {
        let Ok(packet) = RtpPacket::parse(datagram) else {
            panic!("what was written cannot be read");
        };
        let Verdict::Accept { restarted, .. } = self.receiver.receive(now, &packet.header) else {
            return;
        };
        if restarted {
            self.digits.restart();
            self.jitter.begin_source();
        }
        match packet.header.payload_type {
            AUDIO => drop(self.jitter.insert(now, &packet)),
            NOISE => drop(self.jitter.insert_other(now, &packet.header)),
            _ => {
                self.digits.receive(now, &packet.header, packet.payload);
                let _ = self.jitter.insert_other(now, &packet.header);
            }
        }
    }

    /// 10 ms of sound.
    fn play(&mut self, now: Instant) {
        while self.left_ms < 10 {
            match self.jitter.pull(now) {
                Playout::Payload(_) => self.left_ms += 20,
                Playout::Lost { samples, .. } => {
                    let ms = u64::from(samples / (RATE / 1_000)).max(1);
                    self.left_ms += ms;
                    self.concealed_ms += ms;
                }
                Playout::Empty(why) => {
                    self.left_ms += 10;
                    match why {
                        Empty::Starved | Empty::Stretch => self.concealed_ms += 10,
                        Empty::Silence | Empty::Filling => self.silent_ms += 10,
                    }
                }
            }
            self.jitter.heard(true);
        }
        self.left_ms -= 10;
        while self.digits.poll(now).is_some() {
            self.heard += 1;
        }
    }
}

#[test]
fn a_call_of_eight_hours_holds_no_more_than_one_of_an_hour() {
    const HOURS: u64 = 8;
    let start = Instant::now();
    let mut talker = Talker {
        // Both numbers wrap soon, and again and again.
        sender: Sender::new(7, 65_000, u32::MAX - 8_000, RATE),
        events: EventSender::new(RATE),
        random: Random(42),
        under_way: BTreeMap::new(),
        number: 0,
        pressed: 0,
        sources: 0,
        last_sequence: 0,
    };
    let mut listener = Listener {
        receiver: Receiver::new(RATE),
        jitter: JitterBuffer::new(JitterBufferConfig::new(RATE)),
        digits: EventReceiver::new(RATE),
        heard: 0,
        left_ms: 0,
        concealed_ms: 0,
        silent_ms: 0,
    };
    let mut after_an_hour = 0;
    for n in 0..HOURS * 60 * MINUTE {
        // Its clock is 150 millionths slow.
        let sent_us = n * 20_003;
        talker.speak(start + Duration::from_micros(sent_us), n, sent_us);
        for step in 0..2 {
            let now_us = n * 20_003 + step * 10_000;
            let now = start + Duration::from_micros(now_us);
            while let Some(entry) = talker.under_way.first_entry()
                && entry.key().0 <= now_us
            {
                let (key, datagram) = entry.remove_entry();
                WATCHED.set(true);
                listener.take(start + Duration::from_micros(key.0), &datagram);
                WATCHED.set(false);
            }
            WATCHED.set(true);
            listener.play(now);
            WATCHED.set(false);
        }
        if (n + 1) % (60 * MINUTE) == 0 {
            let statistics = listener.jitter.statistics();
            println!(
                "hour {}: {} bytes held, {} wait, {:.0} ms, {} ms made up, {} digits",
                (n + 1) / (60 * MINUTE),
                HELD.get(),
                statistics.waiting,
                statistics.delay_ms,
                listener.concealed_ms,
                listener.heard
            );
            if after_an_hour == 0 {
                after_an_hour = HELD.get();
            }
            assert!(statistics.waiting < 30, "{statistics:?}");
            assert!(statistics.delay_ms < 400.0, "{statistics:?}");
        }
    }
    assert!(
        HELD.get() <= after_an_hour.max(0) + 1_024,
        "{} bytes, {after_an_hour} after an hour",
        HELD.get()
    );
    // Silence, until everything that waited was played.
    for n in 0..100u64 {
        let now = start + Duration::from_micros(HOURS * 60 * MINUTE * 20_003 + n * 10_000);
        listener.play(now);
    }
    assert_eq!(listener.jitter.statistics().waiting, 0);
    let heard = listener.receiver.statistics();
    // Late packets of an old series may look like one more.
    assert!(heard.restarts.abs_diff(talker.sources) <= 2, "{heard:?}");
    // Of a new source what comes in its first moments, while the old one might still talk.
    assert!(heard.foreign < 10 * u64::from(talker.sources), "{heard:?}");
    assert_eq!(listener.heard, talker.pressed);
    // Two in a hundred were lost, a fiftieth of the time nothing came, and the network stood still now and then.
    let whole_ms = HOURS * 3_600_000;
    let share = listener.concealed_ms as f64 / whole_ms as f64;
    assert!((0.015..0.06).contains(&share), "{share}");
}
