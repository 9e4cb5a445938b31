//! The buffer behind simulated networks: time moves in steps of a millisecond and nothing sleeps.

use std::collections::HashMap;

use super::*;
use proptest::prelude::*;

const RATE: u32 = 48_000;

/// SplitMix64, so that a seed names a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Laplacian around zero with this standard deviation.
    fn laplacian(&mut self, deviation: f64) -> f64 {
        let u = self.next() - 0.5;
        -deviation / 2f64.sqrt() * u.signum() * (1.0 - 2.0 * u.abs()).max(1e-12).ln()
    }
}

/// One packet on its way.
#[derive(Clone, Copy)]
struct Sent {
    sequence_number: u16,
    timestamp: u32,
    ssrc: u32,
    sent_us: i64,
    /// None: lost on the way.
    arrives_us: Option<i64>,
    length_ms: i64,
}

/// A talker with `ptime` whose packets take 40 ms and what `extra` adds, in milliseconds.
fn talk(seconds: i64, ptime_ms: i64, mut extra: impl FnMut(i64, i64) -> Option<f64>) -> Vec<Sent> {
    let packets = (0..seconds * 1_000 / ptime_ms).map(|n| {
        let sent_us = n * ptime_ms * 1_000;
        let arrives_us =
            extra(n, sent_us / 1_000).map(|ms| sent_us + 40_000 + (ms.max(0.0) * 1_000.0) as i64);
        Sent {
            sequence_number: (n + 65_000) as u16,
            timestamp: (n * ptime_ms * i64::from(RATE / 1_000) + 4_294_900_000) as u32,
            ssrc: 1,
            sent_us,
            arrives_us,
            length_ms: ptime_ms,
        }
    });
    packets.collect()
}

/// One answer of the buffer: when, and for payloads how long after the fastest arrival.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Heard {
    Payload {
        at_ms: i64,
        timestamp: u32,
        delay_ms: f64,
    },
    Lost {
        at_ms: i64,
        ms: f64,
        with_next: bool,
    },
    Empty {
        at_ms: i64,
        why: Empty,
    },
}

struct Run {
    heard: Vec<Heard>,
    statistics: JitterBufferStatistics,
    /// Target at each tick.
    targets: Vec<f32>,
}

impl Run {
    fn delays(&self, from_ms: i64, to_ms: i64) -> Vec<f64> {
        let delays = self.heard.iter().filter_map(|heard| match heard {
            Heard::Payload {
                at_ms, delay_ms, ..
            } if (from_ms..to_ms).contains(at_ms) => Some(*delay_ms),
            _ => None,
        });
        delays.collect()
    }

    fn mean_delay(&self, from_ms: i64, to_ms: i64) -> f64 {
        let delays = self.delays(from_ms, to_ms);
        assert!(!delays.is_empty());
        delays.iter().sum::<f64>() / delays.len() as f64
    }

    fn count(&self, which: Empty) -> usize {
        let of = |heard: &&Heard| matches!(heard, Heard::Empty { why, .. } if *why == which);
        self.heard.iter().filter(of).count()
    }

    fn played(&self) -> usize {
        self.delays(i64::MIN, i64::MAX).len()
    }
}

/// Plays `packets` on a device whose clock is `drift_ppm` fast, through a caller that is quiet
/// when `quiet` says so for a moment in milliseconds.
fn play(packets: &[Sent], drift_ppm: f64, quiet: impl Fn(i64) -> bool) -> Run {
    play_by(packets, drift_ppm, quiet, 0.0)
}

/// The same through a caller that stretches and shortens sound by up to `elasticity` on request.
fn play_by(packets: &[Sent], drift_ppm: f64, quiet: impl Fn(i64) -> bool, elasticity: f64) -> Run {
    let buffer = JitterBuffer::new(JitterBufferConfig::new(RATE));
    play_in(buffer, packets, drift_ppm, quiet, elasticity)
}

/// The same in a buffer that was told something before.
fn play_in(
    mut buffer: JitterBuffer,
    packets: &[Sent],
    drift_ppm: f64,
    quiet: impl Fn(i64) -> bool,
    elasticity: f64,
) -> Run {
    let start = Instant::now();
    let mut arriving: Vec<&Sent> = packets.iter().filter(|p| p.arrives_us.is_some()).collect();
    arriving.sort_by_key(|p| p.arrives_us);
    let mut arriving = arriving.into_iter().peekable();
    let sent_at: HashMap<u32, i64> = packets.iter().map(|p| (p.timestamp, p.sent_us)).collect();
    // What is on its way when the talker stops is left out.
    let end_us = packets.iter().map(|p| p.sent_us).max().unwrap_or(0);
    let mut run = Run {
        heard: Vec::new(),
        statistics: buffer.statistics(),
        targets: Vec::new(),
    };
    let mut fifo_ms = 0.0;
    let step_us = 10_000.0 / (1.0 + drift_ppm / 1e6);
    for tick in 0.. {
        // The device is somewhere between two packets.
        let now_us = (f64::from(tick) * step_us) as i64 + 3_000;
        if now_us > end_us {
            break;
        }
        while let Some(packet) = arriving.next_if(|p| p.arrives_us.unwrap() <= now_us) {
            let at = start + Duration::from_micros(packet.arrives_us.unwrap() as u64);
            let header = RtpHeader {
                marker: false,
                payload_type: 111,
                sequence_number: packet.sequence_number,
                timestamp: packet.timestamp,
                ssrc: packet.ssrc,
            };
            let payload = [packet.length_ms as u8];
            let packet = RtpPacket {
                header,
                contributors: 0,
                payload: &payload,
            };
            let _ = buffer.insert(at, &packet);
        }
        let (now, at_ms) = (start + Duration::from_micros(now_us as u64), now_us / 1_000);
        while fifo_ms < 10.0 {
            buffer.heard(quiet(at_ms));
            let heard = match buffer.pull(now) {
                Playout::Payload(payload) => {
                    let sent_us = sent_at[&payload.timestamp];
                    let factor = match payload.pace {
                        Pace::Steady => 1.0,
                        Pace::Faster => 1.0 - elasticity,
                        Pace::Slower => 1.0 + elasticity,
                    };
                    fifo_ms += f64::from(payload.bytes[0]) * factor;
                    let delay_ms = (now_us - sent_us - 40_000) as f64 / 1_000.0;
                    Heard::Payload {
                        at_ms,
                        timestamp: payload.timestamp,
                        delay_ms,
                    }
                }
                Playout::Lost { samples, next } => {
                    let ms = f64::from(samples) / f64::from(RATE / 1_000);
                    fifo_ms += ms;
                    Heard::Lost {
                        at_ms,
                        ms,
                        with_next: next.is_some(),
                    }
                }
                Playout::Empty(why) => {
                    fifo_ms += 10.0;
                    Heard::Empty { at_ms, why }
                }
            };
            run.heard.push(heard);
        }
        fifo_ms -= 10.0;
        run.targets.push(buffer.statistics().target_ms);
    }
    run.statistics = buffer.statistics();
    run
}

fn never(_: i64) -> bool {
    false
}

/// Half a second of speech, a third of a second of pause, on and on.
fn pauses(at_ms: i64) -> bool {
    at_ms % 833 > 500
}

fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

fn in_order(run: &Run) -> bool {
    let stamps: Vec<u32> = run
        .heard
        .iter()
        .filter_map(|heard| match heard {
            Heard::Payload { timestamp, .. } => Some(*timestamp),
            _ => None,
        })
        .collect();
    stamps
        .windows(2)
        .all(|pair| pair[1].wrapping_sub(pair[0]).cast_signed() > 0)
}

#[test]
fn at_constant_delay_nothing_is_late_and_the_delay_is_small() {
    for ptime in [10, 20, 30, 40, 60] {
        for quiet in [never, pauses] {
            let run = play(&talk(20, ptime, |_, _| Some(0.0)), 0.0, quiet);
            let statistics = run.statistics;
            assert_eq!(
                (statistics.late, statistics.lost, statistics.starved),
                (0, 0, 0),
                "{ptime}"
            );
            assert!(in_order(&run));
            let delay = run.mean_delay(10_000, 20_000);
            assert!(
                delay <= 10.0 + 20.0f64.max(ptime as f64),
                "{ptime} ms: {delay}"
            );
            assert!(
                statistics.shortened <= 4,
                "{ptime}: {}",
                statistics.shortened
            );
        }
    }
}

#[test]
fn delay_follows_the_jitter_and_few_packets_are_late() {
    let kinds = [
        "uniform 40",
        "uniform 80",
        "laplacian 10",
        "laplacian 30",
        "exponential 15",
    ];
    for (seed, kind) in (0..15u64).zip(kinds.into_iter().cycle()) {
        for quiet in [never, pauses] {
            let mut random = Random(seed);
            let mut drawn = Vec::new();
            let packets = talk(60, 20, |_, _| {
                let extra = match kind {
                    "uniform 40" => random.next() * 40.0,
                    "uniform 80" => random.next() * 80.0,
                    "laplacian 10" => random.laplacian(10.0) + 50.0,
                    "laplacian 30" => random.laplacian(30.0) + 150.0,
                    _ => -15.0 * (1.0 - random.next()).ln(),
                };
                drawn.push(extra.max(0.0));
                Some(extra)
            });
            let run = play(&packets, 0.0, quiet);
            let jitter = percentile(drawn.clone(), 0.95);
            let delay = run.mean_delay(20_000, 60_000);
            let gone = 1.0 - run.played() as f64 / run.statistics.received as f64;
            assert!(
                delay <= jitter + 20.0,
                "{seed} {kind}: {delay} against {jitter}"
            );
            // The 95th percentile leaves one packet of twenty late; where the tail is short, fewer.
            let most = if kind == "laplacian 30" { 0.06 } else { 0.04 };
            assert!(gone <= most, "{seed} {kind}: {gone}");
            assert!(in_order(&run));
        }
    }
}

#[test]
fn after_a_spike_the_low_delay_is_back_within_three_seconds() {
    for quiet in [never, pauses] {
        // Everything sent during 200 ms arrives at its end.
        let packets = talk(30, 20, |_, at| {
            Some(if (15_000..15_200).contains(&at) {
                (15_200 - at) as f64
            } else {
                0.0
            })
        });
        let run = play(&packets, 0.0, quiet);
        let before = run.mean_delay(12_000, 15_000);
        let after = run.mean_delay(18_200, 20_000);
        assert!(after <= before + 20.0, "{before} then {after}");
        assert_eq!(run.statistics.lost, 0);
    }
}

#[test]
fn repeated_bursts_raise_the_target_soon_and_it_sinks_when_they_end() {
    // Half a second without arrivals would be a catastrophe; 120 ms each second is Wi-Fi.
    let packets = talk(60, 20, |_, at| {
        let phase = at % 1_000;
        let bursts = (10_000..30_000).contains(&at) && phase < 120;
        Some(if bursts { (120 - phase) as f64 } else { 0.0 })
    });
    let run = play(&packets, 0.0, pauses);
    let starved_at: Vec<i64> = run
        .heard
        .iter()
        .filter_map(|h| match h {
            Heard::Empty {
                at_ms,
                why: Empty::Starved,
            } => Some(*at_ms),
            _ => None,
        })
        .collect();
    // The first two bursts teach it; from then on they are covered.
    assert!(starved_at.iter().any(|at| *at < 13_000));
    assert!(starved_at.iter().all(|at| *at < 13_000), "{starved_at:?}");
    let target_at = |ms: usize| run.targets[ms / 10];
    assert!(target_at(13_000) >= 100.0 && target_at(29_000) >= 100.0);
    assert!(target_at(50_000) <= 40.0, "{}", target_at(50_000));
    let low = run.mean_delay(50_000, 60_000);
    assert!(low <= 50.0, "{low}");
}

#[test]
fn random_loss_is_concealed_packet_by_packet_with_the_next_one_shown() {
    let mut random = Random(9);
    let packets = talk(30, 20, |_, _| (random.next() > 0.05).then_some(0.0));
    let missing = packets.iter().filter(|p| p.arrives_us.is_none()).count();
    let run = play(&packets, 0.0, never);
    assert!(
        run.statistics.lost.abs_diff(missing as u64) <= 1,
        "{:?} {missing}",
        run.statistics
    );
    assert_eq!(run.statistics.late, 0);
    let shown = run.heard.iter().filter(|h| {
        matches!(
            h,
            Heard::Lost {
                with_next: true,
                ..
            }
        )
    });
    assert!(shown.count() * 10 >= missing * 8);
    // What was filled in is what was missing: the delay did not creep.
    assert!(run.mean_delay(25_000, 30_000) <= 40.0);
}

#[test]
fn a_successor_that_mends_is_waited_for_while_packets_are_lost() {
    let with = |repairs| {
        let mut random = Random(10);
        let packets = talk(150, 20, |_, at| {
            (random.next() > 0.05 || at > 60_000).then_some(0.0)
        });
        let mut buffer = JitterBuffer::new(JitterBufferConfig::new(RATE));
        buffer.set_repairs(repairs);
        let run = play_in(buffer, &packets, 0.0, pauses, 0.1);
        let during = run.mean_delay(20_000, 60_000);
        let after = run.mean_delay(130_000, 150_000);
        // What was made up because its successor was not here yet.
        let starved = run.count(Empty::Starved);
        println!("repairs {repairs}: {starved} starved, {during:.0} ms, then {after:.0} ms");
        (starved, during, after)
    };
    let (plain, mended) = (with(false), with(true));
    assert!(mended.0 * 4 < plain.0, "{mended:?}, {plain:?}");
    // One packet more, and only as long as it helps.
    assert!(mended.1 < plain.1 + 25.0, "{mended:?}, {plain:?}");
    assert!(mended.2 < plain.2 + 10.0, "{mended:?}, {plain:?}");
}

#[test]
fn a_burst_of_loss_costs_its_own_time_only() {
    let packets = talk(20, 20, |_, at| {
        (!(10_000..10_120).contains(&at)).then_some(0.0)
    });
    let run = play(&packets, 0.0, never);
    assert_eq!(run.statistics.lost, 6);
    let before = run.mean_delay(8_000, 10_000);
    let after = run.mean_delay(10_200, 11_000);
    assert!((after - before).abs() <= 10.0, "{before} {after}");
}

#[test]
fn reordered_packets_are_played_in_order() {
    let packets = talk(20, 20, |n, _| Some(if n % 10 == 3 { 30.0 } else { 0.0 }));
    let run = play(&packets, 0.0, never);
    assert!(in_order(&run));
    let gone = packets.len() - run.played();
    assert!(gone <= 6, "{gone} {:?}", run.statistics);
}

#[test]
fn a_pause_of_the_sender_is_silence_and_not_loss() {
    // Discontinuous transmission: one packet each 400 ms for two seconds of four.
    let mut sequence = 0u16;
    let packets: Vec<Sent> = talk(20, 20, |_, _| Some(0.0))
        .into_iter()
        .filter(|p| {
            let ms = p.sent_us / 1_000;
            ms % 4_000 < 2_000 || ms % 400 == 0
        })
        .map(|p| {
            sequence += 1;
            Sent {
                sequence_number: sequence,
                ..p
            }
        })
        .collect();
    let run = play(&packets, 0.0, never);
    assert_eq!((run.statistics.lost, run.statistics.late), (0, 0));
    let accounted = run.played() + run.statistics.shortened as usize + run.statistics.waiting;
    assert_eq!(accounted as u64, run.statistics.received);
    assert!(run.count(Empty::Silence) > 300);
    // Each spurt is due at the target: after a pause the delay is right at once.
    let delays = run.delays(8_000, 20_000);
    assert!(delays.iter().all(|d| *d <= 30.0), "{delays:?}");
}

#[test]
fn clock_drift_is_followed_for_ten_minutes() {
    for ppm in [-300.0, -50.0, 50.0, 300.0] {
        for quiet in [never, pauses] {
            let mut random = Random(7);
            let packets = talk(600, 20, |_, _| Some(random.next() * 10.0));
            let run = play(&packets, ppm, quiet);
            let late = run.statistics.late + run.statistics.lost;
            assert!(
                late * 1_000 <= packets.len() as u64,
                "{ppm}: {:?}",
                run.statistics
            );
            assert!(run.statistics.starved <= 25, "{ppm}: {:?}", run.statistics);
            for minute in 1..10 {
                let delay = run.mean_delay(minute * 60_000, (minute + 1) * 60_000);
                assert!(delay <= 50.0, "{ppm} ppm, minute {minute}: {delay}");
            }
            // 300 ppm of ten minutes are 180 ms: nine frames, and some for the start.
            assert!(
                run.statistics.shortened <= 20,
                "{ppm}: {:?}",
                run.statistics
            );
        }
    }
}

/// A network without jitter is given hardly any delay. Clocks that drift apart use that up, and are noticed before a packet comes
/// after its turn.
#[test]
fn a_small_delay_is_kept_up_without_a_gap_while_clocks_drift() {
    // A pump that follows its microphone moves its steps by 2 500 ppm for some seconds.
    for ppm in [-2_500.0, -200.0, -100.0, 100.0, 200.0, 2_500.0] {
        for (elasticity, quiet) in [
            (0.25, never as fn(i64) -> bool),
            (0.0, never),
            (0.0, pauses),
        ] {
            let packets = talk(600, 20, |_, _| Some(0.0));
            let run = play_by(&packets, ppm, quiet, elasticity);
            let statistics = run.statistics;
            let gaps = (statistics.late, statistics.lost, statistics.starved);
            assert_eq!(gaps, (0, 0, 0), "{ppm}: {statistics:?}");
            let delays = run.delays(10_000, 600_000);
            let least = percentile(delays.clone(), 0.0);
            let mean = delays.iter().sum::<f64>() / delays.len() as f64;
            println!("{ppm} ppm: at least {least:.1} ms, in the mean {mean:.1} ms");
            assert!(least > 0.0, "{ppm}: {least}");
            assert!(mean < 15.0, "{ppm}: {mean}");
        }
    }
}

#[test]
fn the_packet_time_may_change_in_the_middle() {
    let mut packets = Vec::new();
    let mut at_ms = 0i64;
    for (number, length_ms) in (0..300u16).map(|n| (n, [20, 60, 10][usize::from(n / 100)])) {
        packets.push(Sent {
            sequence_number: number,
            timestamp: (at_ms * 48) as u32,
            ssrc: 1,
            sent_us: at_ms * 1_000,
            arrives_us: Some(at_ms * 1_000 + 40_000 + length_ms * 1_000),
            length_ms,
        });
        at_ms += length_ms;
    }
    let run = play(&packets, 0.0, never);
    assert_eq!(run.statistics.lost, 0, "{:?}", run.statistics);
    let accounted = run.played() + run.statistics.shortened as usize + run.statistics.waiting;
    assert_eq!(accounted as u64, run.statistics.received);
    assert!(run.statistics.starved + run.statistics.stretched <= 10);
}

#[test]
fn another_source_or_new_numbers_begin_a_new_series() {
    let mut packets = talk(12, 20, |_, _| Some(0.0));
    for packet in &mut packets {
        match packet.sent_us {
            0..4_000_000 => {}
            4_000_000..8_000_000 => packet.ssrc = 2,
            _ => {
                packet.ssrc = 2;
                packet.sequence_number = packet.sequence_number.wrapping_add(30_000);
                packet.timestamp = packet.timestamp.wrapping_add(2_000_000_000);
            }
        }
    }
    let run = play(&packets, 0.0, never);
    assert_eq!(run.statistics.restarts, 2);
    assert!(run.played() >= packets.len() - 12, "{:?}", run.statistics);
}

/// RFC 3550 A.1: two in a row after a jump of a hundred are a source that began anew, however near its numbers are. Whoever has
/// judged that tells it, and what follows is not late.
#[test]
fn numbers_that_are_said_to_begin_anew_are_not_late() {
    for back in [100, 1_000, 3_000u16] {
        let mut buffer = JitterBuffer::new(JitterBufferConfig::new(RATE));
        let start = Instant::now();
        let run = |buffer: &mut JitterBuffer, n: i64, number: u16| {
            let now = start + Duration::from_millis(n.unsigned_abs() * 20);
            let header = RtpHeader {
                marker: false,
                payload_type: 0,
                sequence_number: number,
                timestamp: n as u32 * 960,
                ssrc: 1,
            };
            let packet = RtpPacket {
                header,
                contributors: 0,
                payload: &[7],
            };
            let _ = buffer.insert(now, &packet);
            while !matches!(buffer.pull(now), Playout::Payload(_) | Playout::Empty(_)) {}
        };
        (0..200).for_each(|n| run(&mut buffer, n, 10_000 + n as u16));
        let (before, target) = (buffer.statistics(), buffer.statistics().target_ms);
        buffer.begin_source();
        assert_eq!(buffer.statistics().target_ms, target);
        (200..300).for_each(|n| run(&mut buffer, n, 10_000 + n as u16 - back));
        let after = buffer.statistics();
        assert_eq!((after.late, after.restarts - before.restarts), (0, 1));
        assert!(after.played - before.played >= 97, "{back}: {after:?}");
    }
}

#[test]
fn one_strange_packet_changes_nothing() {
    let mut packets = talk(6, 20, |_, _| Some(0.0));
    packets[150].timestamp = packets[150].timestamp.wrapping_add(1_000_000_000);
    packets[200].sequence_number = packets[200].sequence_number.wrapping_add(20_000);
    let run = play(&packets, 0.0, never);
    assert_eq!((run.statistics.restarts, run.statistics.suspect), (0, 2));
    assert_eq!(run.statistics.lost, 2);
}

#[test]
fn timestamps_that_stood_still_on_hold_do_not_leave_a_large_delay() {
    for hold_ms in [500i64, 1_500, 30_000] {
        let mut packets = talk(20, 20, |_, _| Some(0.0));
        for packet in packets.iter_mut().filter(|p| p.sent_us >= 10_000_000) {
            packet.sent_us += hold_ms * 1_000;
            packet.arrives_us = packet.arrives_us.map(|at| at + hold_ms * 1_000);
        }
        let run = play(&packets, 0.0, never);
        let end = 20_000 + hold_ms;
        let delay = run.mean_delay(end - 3_000, end);
        assert!(delay <= 40.0, "{hold_ms}: {delay}");
        assert!(run.played() + 10 >= packets.len());
    }
}

#[test]
fn a_longer_path_is_a_new_base_and_not_jitter() {
    let packets = talk(30, 20, |_, at| Some(if at >= 10_000 { 150.0 } else { 0.0 }));
    let run = play(&packets, 0.0, pauses);
    // The path itself is 150 ms; what the buffer adds is small again.
    let delay = run.mean_delay(20_000, 30_000);
    assert!(delay <= 150.0 + 40.0, "{delay}");
}

#[test]
fn a_shorter_path_lowers_the_delay_again() {
    let packets = talk(40, 20, |_, at| Some(if at >= 20_000 { 0.0 } else { 150.0 }));
    for quiet in [never, pauses] {
        let run = play(&packets, 0.0, quiet);
        let delay = run.mean_delay(25_000, 40_000);
        assert!(delay <= 40.0, "{delay}");
        assert!(run.targets[2_600] <= 25.0, "{}", run.targets[2_600]);
        assert_eq!(run.statistics.lost, 0);
    }
}

#[test]
fn a_caller_that_stretches_needs_no_cuts() {
    let packets = talk(30, 20, |_, at| {
        Some(if (15_000..15_200).contains(&at) {
            (15_200 - at) as f64
        } else {
            0.0
        })
    });
    let cut = play(&packets, 0.0, never);
    let stretched = play_by(&packets, 0.0, never, 0.15);
    assert!(stretched.statistics.shortened < cut.statistics.shortened / 2);
    let after = stretched.mean_delay(18_200, 20_000);
    assert!(after <= 35.0, "{after}");
    assert_eq!(stretched.statistics.lost, 0);
}

#[test]
fn jitter_with_loss_is_no_worse_than_either() {
    let mut random = Random(21);
    let mut lost = 0u64;
    let packets = talk(60, 20, |_, _| {
        let arrives = random.next() > 0.1;
        lost += u64::from(!arrives);
        arrives.then(|| random.next() * 60.0)
    });
    let run = play(&packets, 0.0, pauses);
    assert!(in_order(&run));
    assert!(run.statistics.lost <= lost + packets.len() as u64 / 50);
    assert!(run.statistics.late <= packets.len() as u64 / 50);
    assert!(run.mean_delay(20_000, 60_000) <= 80.0);
    // Sound was made for all the time: the sum of what was played is the time that passed.
    let filled: f64 = run
        .heard
        .iter()
        .map(|heard| match heard {
            Heard::Payload { .. } => 20.0,
            Heard::Lost { ms, .. } => *ms,
            Heard::Empty { .. } => 10.0,
        })
        .sum();
    assert!((filled - 60_000.0).abs() <= 100.0, "{filled}");
}

#[test]
fn duplicates_are_dropped_and_counted() {
    let mut packets = talk(4, 20, |_, _| Some(0.0));
    let again: Vec<Sent> = packets
        .iter()
        .map(|p| Sent {
            arrives_us: p.arrives_us.map(|a| a + 5_000),
            ..*p
        })
        .collect();
    let count = packets.len();
    packets.extend(again);
    let run = play(&packets, 0.0, never);
    assert!(run.played() <= count && run.statistics.duplicates >= count as u64 - 10);
    assert_eq!((run.statistics.late, run.statistics.lost), (0, 0));
}

#[test]
fn a_pause_that_was_told_is_silence_from_its_first_moment() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(JitterBufferConfig::new(8_000));
    let mut silent = Vec::new();
    // Half a second of speech, two of silence with noise told at its begin and in its middle, and speech again.
    let mut sequence_number = 65_530u16;
    let mut left = 0i64;
    for n in 0..200u32 {
        let now = start + Duration::from_millis(u64::from(n) * 20);
        let header = RtpHeader {
            marker: n == 125,
            payload_type: 0,
            sequence_number,
            timestamp: n * 160,
            ssrc: 5,
        };
        let pause = (25..125).contains(&n);
        if matches!(n, 25 | 75) {
            let _ = buffer.insert_other(now, &header);
        } else if !pause {
            let packet = RtpPacket {
                header,
                contributors: 0,
                payload: &[0; 160],
            };
            let _ = buffer.insert(now, &packet);
        }
        // The last packet before the end of the pause is lost: nobody notices.
        sequence_number =
            sequence_number.wrapping_add(u16::from(!pause || matches!(n, 25 | 75 | 124)));
        left += 20;
        while left > 0 {
            match buffer.pull(now + Duration::from_millis(20 - left.unsigned_abs())) {
                Playout::Payload(_) => left -= 20,
                Playout::Lost { .. } => panic!("{n}: nothing was lost that is missed"),
                Playout::Empty(why) => {
                    if n > 4 {
                        assert_eq!(why, Empty::Silence, "{n}");
                        silent.push(n);
                    }
                    left -= 10;
                }
            }
        }
    }
    let statistics = buffer.statistics();
    assert_eq!((statistics.concealed_ms, statistics.starved), (0, 0));
    // As long as it was, and behind it as much delay as before.
    assert!(silent.len().abs_diff(200) <= 3, "{}", silent.len());
    assert!(statistics.delay_ms < 60.0, "{}", statistics.delay_ms);
}

#[test]
fn event_packets_between_audio_are_not_lost_audio() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(JitterBufferConfig::new(8_000));
    let mut lost = 0;
    for n in 0..200u16 {
        let now = start + Duration::from_millis(u64::from(n) * 20);
        let is_event = (80..95).contains(&n);
        let timestamp = if is_event {
            80 * 160
        } else {
            u32::from(n) * 160
        };
        let header = RtpHeader {
            marker: false,
            payload_type: 0,
            sequence_number: n,
            timestamp,
            ssrc: 5,
        };
        if is_event {
            let _ = buffer.insert_other(now, &header);
        } else {
            let packet = RtpPacket {
                header,
                contributors: 0,
                payload: &[0; 160],
            };
            let _ = buffer.insert(now, &packet);
        }
        let mut left = 20;
        while left > 0 {
            match buffer.pull(now + Duration::from_millis(20 - left)) {
                Playout::Payload(_) => left = left.saturating_sub(20),
                Playout::Lost { .. } => lost += 1,
                Playout::Empty(_) => left = left.saturating_sub(10),
            }
        }
    }
    assert_eq!(lost, 0);
    assert_eq!(buffer.statistics().lost, 0);
}

#[derive(Debug, Clone)]
enum Step {
    Insert {
        sequence: u16,
        timestamp: u32,
        ssrc: u8,
        other: bool,
        length: usize,
    },
    Pull,
    Wait(u32),
    Quiet(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u16..400, -50i32..50, any::<bool>(), 0usize..20).prop_map(|(sequence, skew, other, length)| Step::Insert {
            sequence,
            timestamp: (i64::from(sequence) * 960 + i64::from(skew) * 17) as u32,
            ssrc: 0,
            other: other && sequence % 7 == 0,
            length,
        }),
        1 => (any::<u16>(), any::<u32>(), 0u8..2, any::<bool>(), 0usize..20).prop_map(
            |(sequence, timestamp, ssrc, other, length)| Step::Insert { sequence, timestamp, ssrc, other, length }
        ),
        6 => Just(Step::Pull),
        4 => (0u32..60).prop_map(Step::Wait),
        1 => (0u32..20_000_000).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Quiet),
    ]
}

proptest! {
    #[test]
    fn nothing_panics_grows_or_goes_back_in_time(steps in proptest::collection::vec(any_step(), 0..300)) {
        let mut now = Instant::now();
        let config = JitterBufferConfig { capacity: 16, ..JitterBufferConfig::new(RATE) };
        let mut buffer = JitterBuffer::new(config);
        let mut last: Option<u32> = None;
        let mut series = 0;
        for step in steps {
            match step {
                Step::Insert { sequence, timestamp, ssrc, other, length } => {
                    let header = RtpHeader {
                        marker: false, payload_type: 0, sequence_number: sequence, timestamp, ssrc: u32::from(ssrc),
                    };
                    let payload = vec![0; length];
                    let _ = if other {
                        buffer.insert_other(now, &header)
                    } else {
                        buffer.insert(now, &RtpPacket { header, contributors: 0, payload: &payload })
                    };
                }
                Step::Pull => {
                    let restarts = buffer.statistics().restarts;
                    if restarts != series {
                        (series, last) = (restarts, None);
                    }
                    match buffer.pull(now) {
                        Playout::Payload(payload) => {
                            if let Some(last) = last {
                                let step = payload.timestamp.wrapping_sub(last).cast_signed();
                                prop_assert!(step > 0, "{last} then {}", payload.timestamp);
                            }
                            last = Some(payload.timestamp);
                        }
                        Playout::Lost { samples, .. } => {
                            prop_assert!(samples > 0 && samples <= RATE);
                        }
                        Playout::Empty(_) => {}
                    }
                }
                Step::Wait(ms) => now += Duration::from_millis(u64::from(ms)),
                Step::Quiet(quiet) => buffer.heard(quiet),
            }
            let statistics = buffer.statistics();
            prop_assert!(statistics.waiting <= 16);
            prop_assert!(statistics.target_ms <= 400.0);
        }
    }
}
