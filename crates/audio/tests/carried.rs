//! One call as it is in the program, in real time: a card's callbacks, the pump's own thread, and all that can be done to what the
//! microphone hears. Neither of the two threads that must be in time allocates.

#![cfg(target_os = "linux")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use audio::callback::{Capture, Counters, Playout};
use codecs::CodecKind;
use media::{
    Codec, ExtendedReports, Pace, Processing, PumpHandle, Sink, Source, StreamConfig,
    StreamParameters,
};
use rtrb::RingBuffer;
use testkit::{Counting, by_thread, taken_by};

#[global_allocator]
static ALLOCATOR: Counting = Counting(by_thread);

/// Until all that is done for the first time has been.
const WARM_UP: Duration = Duration::from_secs(4);
/// A report goes out every few seconds.
const WATCHED: Duration = Duration::from_secs(8);

/// A card of stereo at 44.1 kHz; tells the number of its thread.
fn card(pump: &PumpHandle, stop: &Arc<AtomicBool>) -> (std::thread::JoinHandle<()>, u32) {
    let (captured, ring) = RingBuffer::new(4_800);
    let (hears, plays) = (Arc::<Pace>::default(), Arc::<Pace>::default());
    pump.attach_capture(ring, Arc::clone(&hears)).unwrap();
    let (ring, played) = RingBuffer::new(4_800);
    pump.attach_playout(ring, Arc::clone(&plays)).unwrap();
    let counters = Arc::new(Counters::default());
    let mut capture = Capture::new(captured, 2, 44_100, hears, Arc::clone(&counters));
    let mut playout = Playout::new(played, 2, 44_100, plays, counters);
    let stop = Arc::clone(stop);
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        tell.send(media::thread_number().unwrap()).unwrap();
        let mut data = [0i16; 882];
        let (began, mut blocks) = (Instant::now(), 0u32);
        while !stop.load(Relaxed) {
            // What is played is heard again, with a tone.
            for (n, pair) in (0u16..).zip(data.chunks_exact_mut(2)) {
                let tone = (f32::from(n) * std::f32::consts::TAU / 63.0).sin() * 3_000.0;
                pair.fill(pair[0] / 2 + tone as i16);
            }
            capture.take(&data);
            playout.fill(&mut data);
            blocks += 1;
            let next = began + Duration::from_millis(10) * blocks;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    (thread, told.recv().unwrap())
}

#[test]
fn neither_pump_nor_callback_allocates_while_the_microphones_sound_is_processed() {
    let pump = PumpHandle::start().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (card, callback) = card(&pump, &stop);
    pump.set_processing(Processing::ALL).unwrap();
    let (socket, reports) =
        media::socket::bind_pair(IpAddr::V4(Ipv4Addr::LOCALHOST), 0..=0).unwrap();
    let parameters = StreamParameters {
        remote: socket.local_addr().ok(),
        remote_rtcp: reports.local_addr().ok(),
        extended_reports: ExtendedReports {
            metrics: true,
            round_trip: true,
        },
        ..StreamParameters::new(Codec::new(CodecKind::Pcmu, 0))
    };
    let config = StreamConfig {
        rtcp_socket: Some(reports),
        source: Source::Microphone,
        sink: Sink::Speaker,
        ..StreamConfig::new(socket, parameters, 1)
    };
    let stream = pump.add_stream(config).unwrap();
    std::thread::sleep(WARM_UP);
    let &[pumps, voice] = &pump.thread_numbers()[..] else {
        panic!("it is processed on a thread of its own");
    };
    let taken = || [pumps, callback, voice].map(|thread| taken_by(thread).unwrap());
    let (before, steps) = (taken(), pump.counters().ticks());
    std::thread::sleep(WATCHED);
    let (after, counters) = (taken(), pump.counters());
    let steps = counters.ticks() - steps;
    println!(
        "in {steps} steps: {} by the pump, {} by the callbacks, {} for the voice; {} frames late",
        after[0] - before[0],
        after[1] - before[1],
        after[2] - before[2],
        counters.voice_late()
    );
    assert_eq!(after[..2], before[..2]);
    // It is the work that is done there.
    assert!(after[2] - before[2] > steps);
    assert!(!counters.voice_failed() && counters.capture_level() > 0.0);
    assert!(steps > 400 && stream.counters().received() > 400);
    assert!(stream.counters().reports_received() >= 2);
    stop.store(true, Relaxed);
    card.join().unwrap();
    drop(stream);
    pump.shutdown();
}
