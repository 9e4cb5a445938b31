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
    // Audio again, for nothing waits.
    assert_eq!(sender.step(0, TICKS), EventStep::Idle);
}

/// The pause is between two digits, not before one that comes when it is long over, nor after the last one.
#[test]
fn a_digit_that_comes_later_begins_at_once() {
    // After so many packet times of 20 ms, so much of the pause of 60 ms is left.
    for (idle, pauses) in [(250, 0), (3, 0), (2, 1), (1, 2), (0, 3)] {
        let mut sender = EventSender::new(8_000);
        sender.queue('1', Duration::from_millis(60)).unwrap();
        assert_eq!(packets(&steps(&mut sender, 0)).len(), 5);
        for n in 0..idle {
            assert_eq!(sender.step(n * TICKS, TICKS), EventStep::Idle);
        }
        sender.queue('2', Duration::from_millis(60)).unwrap();
        let all = steps(&mut sender, 90_000);
        let paused = all.iter().take_while(|step| **step == EventStep::Pause);
        assert_eq!(paused.count(), pauses, "{idle}");
        assert_eq!(packets(&all).len() + pauses, all.len());
    }
    // Time in which nothing may be sent counts, too.
    let mut sender = EventSender::new(8_000);
    sender.queue('1', Duration::from_millis(60)).unwrap();
    steps(&mut sender, 0);
    sender.pass(480);
    sender.queue('2', Duration::from_millis(60)).unwrap();
    assert!(matches!(sender.step(0, TICKS), EventStep::Send(_)));
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

/// RFC 4733 §2.5.1.3: the last packet of a full segment says 0xFFFF and does not end the event, the next segment begins where
/// it ended, and all segments together are as long as the key was held.
#[test]
fn a_full_segment_says_so_in_its_last_packet() {
    for (rate_hz, seconds, packet_ticks) in [
        (8_000, 12, 160),
        (8_000, 9, 80),
        (8_000, 30, 480),
        (48_000, 12, 960),
        (48_000, 2, 480),
        (48_000, 30, 2_880),
    ] {
        let mut sender = EventSender::new(rate_hz);
        let held = Duration::from_secs(u64::from(seconds));
        sender.queue('4', held).unwrap();
        let begun = u32::MAX - 1_000;
        let mut sent = Vec::new();
        while sender.is_active() {
            if let EventStep::Send(packet) = sender.step(begun, packet_ticks) {
                sent.push((packet, EventPayload::parse(&packet.payload).unwrap()));
            }
        }
        let segments: Vec<_> = sent
            .chunk_by(|a, b| a.0.timestamp == b.0.timestamp)
            .collect();
        let total = rate_hz * seconds;
        let full = total / 0xFFFF;
        assert_eq!(segments.len() as u32, full + 1, "{rate_hz} {seconds}");
        let mut sum = 0;
        for (nth, segment) in (0..).zip(&segments) {
            let (packet, last) = segment.last().unwrap();
            assert_eq!(packet.timestamp, begun.wrapping_add(nth * 0xFFFF));
            let is_last = nth == full;
            if !is_last {
                assert_eq!(last.duration, 0xFFFF, "{rate_hz} {seconds} {nth}");
            }
            let ends = segment.iter().filter(|(_, payload)| payload.end).count();
            assert_eq!(ends, if is_last { 3 } else { 0 });
            let markers = segment.iter().filter(|(packet, _)| packet.marker).count();
            assert_eq!(markers, usize::from(nth == 0));
            let durations = segment.iter().map(|(_, payload)| payload.duration);
            assert!(durations.is_sorted());
            sum += u32::from(last.duration);
        }
        assert_eq!(sum, total);
        // Nothing takes longer for it but, at most, one packet at the very end.
        let packets = total.div_ceil(packet_ticks) as usize + 2;
        assert!(
            (packets..=packets + 1).contains(&sent.len()),
            "{}",
            sent.len()
        );
        // Whichever packet is lost, it is one key, held for as long.
        let start = Instant::now();
        for lost in 0..sent.len() {
            let mut receiver = EventReceiver::new(rate_hz);
            let kept = sent.iter().enumerate().filter(|(n, _)| *n != lost);
            for (_, (packet, _)) in kept {
                receiver.receive(start, &header(packet, 0), &packet.payload);
            }
            let digits: Vec<_> = std::iter::from_fn(|| receiver.poll(start)).collect();
            let expected = ReceivedDigit {
                digit: '4',
                duration: held,
            };
            assert_eq!(digits, [expected], "{rate_hz} {seconds} {lost}");
        }
    }
}

/// A key held for exactly what a segment can say needs no second one.
#[test]
fn what_fits_into_a_segment_ends_in_it() {
    let mut sender = EventSender::new(0xFFFF);
    sender.queue('4', Duration::from_secs(1)).unwrap();
    let sent = packets(&steps(&mut sender, 0));
    assert!(sent.iter().all(|(packet, _)| packet.timestamp == 0));
    let ends: Vec<u16> = sent
        .iter()
        .filter(|(_, p)| p.end)
        .map(|(_, p)| p.duration)
        .collect();
    assert_eq!(ends, [0xFFFF; 3]);
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

/// Presses of one key by a sender that moves the timestamp with each packet: how long each is held, in packets, and how many
/// packets later the next begins. Three ends each (RFC 4733 §2.5.1.4). Those packets arrive that `survives` names by press and
/// place.
fn moving(presses: &[(u16, u32)], survives: impl Fn(usize, u16) -> bool) -> String {
    let start = Instant::now();
    let mut receiver = EventReceiver::new(8_000);
    let (mut step, mut digits) = (0u32, String::new());
    for (press, (held, pause)) in presses.iter().enumerate() {
        for n in 0..held + 2 {
            let payload = EventPayload {
                event: 5,
                end: n + 1 >= *held,
                volume: 10,
                duration: TICKS as u16 * (n + 1).min(*held),
            };
            let packet = EventPacket {
                marker: n == 0,
                timestamp: (u32::MAX - 500).wrapping_add(step * TICKS),
                payload: payload.to_bytes(),
            };
            let now = start + Duration::from_millis(20) * step;
            if survives(press, n) {
                receiver.receive(now, &header(&packet, step as u16), &packet.payload);
            }
            digits.extend(std::iter::from_fn(|| receiver.poll(now)).map(|d| d.digit));
            step += 1;
        }
        step += pause;
    }
    let end = start + Duration::from_secs(3_600);
    digits.extend(std::iter::from_fn(|| receiver.poll(end)).map(|d| d.digit));
    digits
}

/// RFC 4733 §2.5.1.4: the final packet comes three times; that is one press of a key also where its timestamp has moved on.
#[test]
fn three_ends_with_timestamps_that_move_are_one_digit() {
    for held in 2..40 {
        assert_eq!(moving(&[(held, 0)], |_, _| true), "5", "{held}");
        for lost in 0..held + 2 {
            assert_eq!(moving(&[(held, 0)], |_, n| n != lost), "5", "{held} {lost}");
        }
    }
}

/// The same key, held for as long again, is pressed twice, as soon as it may be (40 ms between two digits, Q.24) and whatever
/// is left of the second press.
#[test]
fn a_key_that_is_pressed_twice_is_two_digits_from_any_sender() {
    for held in 2..10 {
        for pause in 2..6 {
            let presses = [(held, pause), (held, 0)];
            assert_eq!(moving(&presses, |_, _| true), "55", "{held} {pause}");
            for lost in 0..held + 2 {
                let heard = moving(&presses, |press, n| press == 0 || n != lost);
                assert_eq!(heard, "55", "{held} {pause} {lost}");
            }
            // Nothing but the ends.
            let ends = |press, n| press == 0 || n + 1 >= held;
            assert_eq!(moving(&presses, ends), "55", "{held} {pause}");
        }
    }
    let mut sender = EventSender::new(8_000);
    sender.queue('5', Duration::from_millis(60)).unwrap();
    sender.queue('5', Duration::from_millis(60)).unwrap();
    let sent = packets(&steps(&mut sender, 0));
    let digits = received(&sent, |n| !(5..7).contains(&n));
    assert_eq!(digits.len(), 2);
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
