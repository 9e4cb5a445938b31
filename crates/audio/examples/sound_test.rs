//! Tries the sound devices by hand: `sound_test list`, or `sound_test [seconds] [capture id] [playout id]`, which
//! plays a tone and shows what the microphone hears.

use std::time::Duration;

use audio::{CaptureChoice, PlayoutChoice};
use media::{PumpHandle, Tone};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("list") {
        let devices = audio::list();
        for (title, list) in [("capture", devices.capture), ("playout", devices.playout)] {
            println!("{title}");
            for device in list {
                println!("  {:40} {}", device.id, device.name);
            }
        }
        return Ok(());
    }
    let seconds: u64 = first.map_or(Ok(5), |text| text.parse())?;
    let capture = arguments
        .next()
        .map_or(CaptureChoice::Default, CaptureChoice::Id);
    let playout = arguments
        .next()
        .map_or(PlayoutChoice::Default, PlayoutChoice::Id);
    let pump = PumpHandle::start()?;
    let mut devices = audio::open(&capture, &playout, &pump)?;
    pump.play_tone(Tone::Sine { hz: 440.0 })?;
    for _ in 0..seconds * 2 {
        std::thread::sleep(Duration::from_millis(500));
        let counters = pump.counters();
        println!(
            "heard {:.4}, played {:.4}, waiting {} and {} ms, underruns {}, missing {:?}, callbacks {:?} and {:?}",
            counters.capture_level(),
            counters.playout_level(),
            counters.capture_waiting_ms(),
            counters.playout_waiting_ms(),
            counters.capture_underruns(),
            devices
                .playout_counters()
                .map(audio::callback::Counters::missing),
            devices
                .capture_counters()
                .map(audio::callback::Counters::callbacks),
            devices
                .playout_counters()
                .map(audio::callback::Counters::callbacks),
        );
        if let Some(fault) = devices.poll_fault() {
            println!("{fault}");
        }
    }
    drop(devices);
    pump.shutdown();
    Ok(())
}
