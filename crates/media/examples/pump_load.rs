//! How much of a core the pump takes: `pump_load [calls] [pcmu|opus] [seconds]`, in real time over loopback.
//!
//! Each call is one stream that plays a looped file and one that echoes; so a call here is two streams.

use std::time::{Duration, Instant};

use codecs::CodecKind;
use media::{Codec, PumpHandle, Sink, Source, StreamConfig, StreamParameters};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let calls: u32 = arguments.next().map_or(1, |text| text.parse().unwrap_or(1));
    let kind = match arguments.next().as_deref() {
        Some("opus") => CodecKind::Opus,
        _ => CodecKind::Pcmu,
    };
    let seconds: u64 = arguments
        .next()
        .map_or(10, |text| text.parse().unwrap_or(10));
    let here = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let speech: std::sync::Arc<[f32]> = (0..48_000)
        .map(|i| (i as f32 * 0.05).sin() * (i as f32 * 0.0007).sin() * 0.3)
        .collect();
    let pump = PumpHandle::start().expect("threads can be had");
    let mut streams = Vec::new();
    for call in 0..calls {
        let one = media::socket::bind_pair(here, 0..=0).expect("ports can be had");
        let other = media::socket::bind_pair(here, 0..=0).expect("ports can be had");
        let addresses = [&one.0, &other.0].map(|socket| socket.local_addr().ok());
        let said = Source::File {
            samples: speech.clone(),
            looped: true,
        };
        for (n, (sockets, remote, source)) in [
            (one, addresses[1], said),
            (other, addresses[0], Source::Echo),
        ]
        .into_iter()
        .enumerate()
        {
            let codec = Codec::new(kind, kind.static_payload_type().unwrap_or(111));
            let parameters = StreamParameters {
                remote,
                ..StreamParameters::new(codec)
            };
            let random = u64::from(call) * 2 + n as u64 + 1;
            let config = StreamConfig {
                rtcp_socket: Some(sockets.1),
                source,
                sink: Sink::Discard,
                ..StreamConfig::new(sockets.0, parameters, random)
            };
            streams.push(pump.add_stream(config).expect("a stream can be added"));
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    let (cpu, began) = (cpu_seconds(), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let share = (cpu_seconds() - cpu) / began.elapsed().as_secs_f64() * 100.0;
    let counters = pump.counters();
    let lost: u64 = streams.iter().map(|stream| stream.counters().lost()).sum();
    let received: u64 = streams
        .iter()
        .map(|stream| stream.counters().received())
        .sum();
    println!(
        "{} streams of {kind}: {share:.2} % of a core; ticks {}, late {}, skipped {}, longest step {} us, received {received}, lost {lost}",
        streams.len(),
        counters.ticks(),
        counters.late_ticks(),
        counters.skipped_ticks(),
        counters.longest_step_us(),
    );
    drop(streams);
    std::thread::sleep(Duration::from_millis(100));
    let (cpu, ticks) = (cpu_seconds(), pump.counters().ticks());
    std::thread::sleep(Duration::from_secs(2));
    println!(
        "idle: {:.3} % of a core, {} ticks in 2 s",
        (cpu_seconds() - cpu) * 50.0,
        pump.counters().ticks() - ticks
    );
    pump.shutdown();
}

/// CPU time of this process, where `/proc` tells it.
fn cpu_seconds() -> f64 {
    let total: u64 = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    total as f64 / 1e9
}
