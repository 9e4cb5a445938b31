//! What calls cost: `media_load CALLS pcmu|opus plain|srtp SECONDS`, in real time; with `voice` behind it, all is done to the
//! microphone's sound that can be. `media_load 0 nothing plain SECONDS` tells what
//! the machine itself takes for one of PCMU: a thread that wakes as often, looks at as many sockets and sends as much, and
//! does nothing. Then the same for the least that any program must do, to wake for each packet that is to be sent and to look
//! once; and for waking alone.
//!
//! All calls are in one pump, as in the program. Each sends to itself over loopback, so that what is measured is
//! one end of each and nothing else: what it says comes back, is buffered, decoded and mixed. The first speaks
//! from a microphone, all are heard by a loudspeaker, and both have callbacks as a sound card has them.
//!
//! Counted are the allocations of each thread, too; the thread that carries the media and the one with the
//! callbacks must not have any once they are warm.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use audio::callback::{Capture, Counters, Playout};
use codecs::CodecKind;
use media::{
    Codec, ExtendedReports, MasterKey, Pace, Processing, PumpHandle, Security, Sink, Source,
    StreamConfig, StreamHandle, StreamParameters, Suite,
};
use rtrb::RingBuffer;
use testkit::Counting;

/// Until all that is done for the first time has been: jitter buffers settle, and two reports have gone out.
const WARM_UP: Duration = Duration::from_secs(8);

#[global_allocator]
static ALLOCATOR: Counting = Counting(testkit::by_thread);

/// The thread that works on the microphone's sound.
const VOICE: &str = "tipring-voice";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "media_load CALLS pcmu|opus|nothing plain|srtp SECONDS [voice]";
    let (calls, codec, protection, seconds, processing) = match &arguments[..] {
        [calls, codec, protection, seconds] => {
            (calls, codec, protection, seconds, Processing::NONE)
        }
        [calls, codec, protection, seconds, word] if word == "voice" => {
            (calls, codec, protection, seconds, Processing::ALL)
        }
        _ => return Err(usage.into()),
    };
    let calls: u32 = calls.parse()?;
    if codec == "nothing" {
        let time = Duration::from_secs(seconds.parse()?);
        println!("processor-percent {:.3}", nothing(time, 2, 2)?);
        println!("percent-of-the-least {:.3}", nothing(time, 1, 1)?);
        println!("percent-of-waking {:.3}", nothing(time, 1, 0)?);
        return Ok(());
    }
    let kind = match codec.as_str() {
        "pcmu" => CodecKind::Pcmu,
        "opus" => CodecKind::Opus,
        other => return Err(format!("{other} is no codec to measure").into()),
    };
    let security = match protection.as_str() {
        "plain" => None,
        "srtp" => Some(security()?),
        other => return Err(format!("{other} is neither plain nor srtp").into()),
    };
    let pump = PumpHandle::start()?;
    let stop = Arc::new(AtomicBool::new(false));
    let device = device(&pump, &stop, processing != Processing::NONE)?;
    pump.set_processing(processing)?;
    let streams: Vec<StreamHandle> = (0..calls)
        .map(|call| stream(&pump, kind, security.clone(), call))
        .collect::<Result<_, _>>()?;
    std::thread::sleep(WARM_UP);

    let before = Moment::now(&pump)?;
    std::thread::sleep(Duration::from_secs(seconds.parse()?));
    let after = Moment::now(&pump)?;

    let cpu = after.cpu("media") - before.cpu("media");
    let share = 100.0 * cpu / (after.at - before.at).as_secs_f64();
    let counters = pump.counters();
    let total = |count: fn(&StreamHandle) -> u64| streams.iter().map(count).sum::<u64>();
    println!("processor-percent {share:.3}");
    println!(
        "processor-percent-a-call {:.4}",
        share / f64::from(calls.max(1))
    );
    let in_steps = Duration::from_nanos(after.in_steps_ns - before.in_steps_ns);
    println!(
        "percent-of-the-time-in-steps {:.3}",
        100.0 * in_steps.as_secs_f64() / (after.at - before.at).as_secs_f64()
    );
    let voice = after.cpu(VOICE) - before.cpu(VOICE);
    println!(
        "processor-percent-of-the-voice {:.3}",
        100.0 * voice / (after.at - before.at).as_secs_f64()
    );
    let steps = after.steps - before.steps;
    println!("late-voice {}", after.late_voice - before.late_voice);
    println!("voice-failed {}", u8::from(counters.voice_failed()));
    println!(
        "wait-for-the-voice-us {:.1}",
        (after.waited_us - before.waited_us) as f64 / steps.max(1) as f64
    );
    println!("steps {steps}");
    println!("late-steps {}", after.late - before.late);
    println!("skipped-steps {}", after.skipped - before.skipped);
    println!("longest-step-us {}", counters.longest_step_us());
    println!(
        "allocations-of-the-pump {}",
        after.count("media") - before.count("media")
    );
    println!(
        "allocations-of-the-callback {}",
        after.count("callback") - before.count("callback")
    );
    println!(
        "allocations-of-the-voice {}",
        after.count(VOICE) - before.count(VOICE)
    );
    println!(
        "reports {}",
        total(|stream| stream.counters().reports_sent())
    );
    println!("received {}", total(|stream| stream.counters().received()));
    println!("lost {}", total(|stream| stream.counters().lost()));
    drop(streams);
    stop.store(true, Relaxed);
    pump.shutdown();
    device.join().map_err(|_| "the callbacks have failed")?;
    Ok(())
}

/// Sends a packet every 20 ms to itself, wakes so many times for each and looks at so many sockets then; without any, it sends none.
/// Answers per cent of a processor.
fn nothing(time: Duration, wakes: u32, looks: usize) -> Result<f64, Box<dyn Error>> {
    const PACKET: Duration = Duration::from_millis(20);
    let (socket, rtcp_socket) = media::socket::bind_pair(IpAddr::V4(Ipv4Addr::LOCALHOST), 0..=0)?;
    let sockets = [socket, rtcp_socket];
    for socket in &sockets {
        socket.set_nonblocking(true)?;
    }
    let [socket, _] = &sockets;
    let to = socket.local_addr()?;
    let packet = [0x80; 172];
    let mut buffer = [0; 2_048];
    let (began, before) = (Instant::now(), used_by_this_thread()?);
    let mut steps = 0u32;
    while began.elapsed() < time {
        steps += 1;
        let next = began + PACKET * steps / wakes;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        for socket in sockets.iter().take(looks) {
            while socket.recv_from(&mut buffer).is_ok() {}
        }
        if looks > 0 && steps.is_multiple_of(wakes) {
            socket.send_to(&packet, to)?;
        }
    }
    let used = used_by_this_thread()? - before;
    Ok(100.0 * used / began.elapsed().as_secs_f64())
}

/// Seconds of processor.
fn used_by_this_thread() -> Result<f64, Box<dyn Error>> {
    seconds_in(&fs::read_to_string("/proc/thread-self/schedstat")?)
}

fn seconds_in(schedstat: &str) -> Result<f64, Box<dyn Error>> {
    let ns: u64 = schedstat.split_whitespace().next().unwrap_or("0").parse()?;
    Ok(ns as f64 / 1e9)
}

/// Keys that are the same both ways, for a call that talks to itself.
fn security() -> Result<Security, Box<dyn Error>> {
    let suite = Suite::AesCm128HmacSha1_80;
    let key = MasterKey::new(suite, &vec![7; suite.master_len()]).ok_or("the key does not fit")?;
    Ok(Security {
        send: key.clone(),
        receive: key,
        receive_mki: Vec::new(),
        context: 0,
    })
}

fn stream(
    pump: &PumpHandle,
    kind: CodecKind,
    security: Option<Security>,
    call: u32,
) -> Result<StreamHandle, Box<dyn Error>> {
    let (socket, rtcp_socket) = media::socket::bind_pair(IpAddr::V4(Ipv4Addr::LOCALHOST), 0..=0)?;
    let codec = Codec::new(kind, kind.static_payload_type().unwrap_or(111));
    let parameters = StreamParameters {
        remote: Some(socket.local_addr()?),
        remote_rtcp: Some(rtcp_socket.local_addr()?),
        security,
        extended_reports: ExtendedReports {
            metrics: true,
            round_trip: true,
        },
        ..StreamParameters::new(codec)
    };
    let speech: Arc<[f32]> = (0..48_000u16)
        .map(|n| (f32::from(n) * 0.05).sin() * (f32::from(n) * 0.0007).sin() * 0.3)
        .collect();
    let source = match call {
        0 => Source::Microphone,
        _ => Source::File {
            samples: speech,
            looped: true,
        },
    };
    let config = StreamConfig {
        rtcp_socket: Some(rtcp_socket),
        source,
        sink: Sink::Speaker,
        ..StreamConfig::new(socket, parameters, u64::from(call) + 1)
    };
    Ok(pump.add_stream(config)?)
}

/// A sound card of stereo at 44.1 kHz, so that its callbacks have something to do. It hears what it plays; where somebody `speaks`
/// in the room it hears a part of that, and something like them.
fn device(
    pump: &PumpHandle,
    stop: &Arc<AtomicBool>,
    speaks: bool,
) -> Result<std::thread::JoinHandle<()>, Box<dyn Error>> {
    const RATE_HZ: u32 = 44_100;
    let counters = Arc::new(Counters::default());
    let (captured, ring) = RingBuffer::new(4_800);
    let (hears, plays) = (Arc::<Pace>::default(), Arc::<Pace>::default());
    pump.attach_capture(ring, Arc::clone(&hears))?;
    let (ring, played) = RingBuffer::new(4_800);
    pump.attach_playout(ring, Arc::clone(&plays))?;
    let mut capture = Capture::new(captured, 2, RATE_HZ, hears, Arc::clone(&counters));
    let mut playout = Playout::new(played, 2, RATE_HZ, plays, counters);
    let stop = Arc::clone(stop);
    let thread = std::thread::Builder::new().name("callback".to_owned());
    Ok(thread.spawn(move || {
        let mut data = [0i16; 882];
        let (began, mut blocks) = (Instant::now(), 0u32);
        while !stop.load(Relaxed) {
            if speaks {
                speak(&mut data, blocks);
            }
            capture.take(&data);
            playout.fill(&mut data);
            blocks += 1;
            let next = began + Duration::from_millis(10) * blocks;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    })?)
}

/// Half of each second a chord of a low voice, over what is there at a quarter of its strength.
fn speak(data: &mut [i16], block: u32) {
    for (at, pair) in (block * 441..).zip(data.chunks_exact_mut(2)) {
        let time = f64::from(at) / 44_100.0;
        let harmonics = (1..=10).map(f64::from);
        let waves = harmonics.map(|n| (time * std::f64::consts::TAU * 130.0 * n).sin() / n);
        let is_loud = time.fract() < 0.5;
        let said = if is_loud {
            waves.sum::<f64>() * 4_000.0
        } else {
            0.0
        };
        pair.fill(pair[0] / 4 + said as i16);
    }
}

/// What has been used by the threads of this name so far.
struct Moment {
    at: Instant,
    steps: u64,
    late: u64,
    skipped: u64,
    in_steps_ns: u64,
    late_voice: u64,
    waited_us: u64,
    /// Seconds of processor and allocations, by the names of threads.
    used: BTreeMap<String, (f64, u64)>,
}

impl Moment {
    fn now(pump: &PumpHandle) -> Result<Self, Box<dyn Error>> {
        let mut used: BTreeMap<String, (f64, u64)> = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            let name = fs::read_to_string(path.join("comm"))?;
            let seconds = seconds_in(&fs::read_to_string(path.join("schedstat"))?)?;
            let number = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            let counted = number.and_then(testkit::taken_by);
            let (cpu, allocations) = used.entry(name.trim().to_owned()).or_default();
            *cpu += seconds;
            *allocations += counted.unwrap_or(0);
        }
        let counters = pump.counters();
        Ok(Self {
            at: Instant::now(),
            steps: counters.ticks(),
            late: counters.late_ticks(),
            skipped: counters.skipped_ticks(),
            in_steps_ns: counters.in_steps_ns(),
            late_voice: counters.voice_late(),
            waited_us: counters.voice_waited_us(),
            used,
        })
    }

    fn cpu(&self, thread: &str) -> f64 {
        self.used.get(thread).map_or(0.0, |(cpu, _)| *cpu)
    }

    fn count(&self, thread: &str) -> u64 {
        self.used.get(thread).map_or(0, |(_, count)| *count)
    }
}
