//! Devices without hardware drive the pump in real time.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use audio::{CaptureChoice, PlayoutChoice, Role, open};
use codecs::CodecKind;
use media::{Codec, PumpHandle, Sink, Source, StreamConfig, StreamParameters, Tone};

fn scratch_file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tipring-audio-{}-{name}.wav", std::process::id()))
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write_sine(path: &PathBuf, rate_hz: u32, hz: f32, seconds: u32) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for i in 0..rate_hz * seconds {
        let angle = std::f32::consts::TAU * hz * i as f32 / rate_hz as f32;
        for _ in 0..2 {
            writer
                .write_sample((angle.sin() * 10_000.0) as i16)
                .unwrap();
        }
    }
    writer.finalize().unwrap();
}

/// The level of a tone: the median over windows of 50 ms, for on a busy machine a stretched or
/// concealed step moves the phase, and a sum over half a second would cancel itself.
fn level(samples: &[f32], hz: f32) -> f32 {
    let mut levels: Vec<f32> = samples
        .chunks_exact(2_400)
        .map(|part| power(part, hz))
        .collect();
    levels.sort_by(f32::total_cmp);
    levels[levels.len() / 2]
}

fn power(samples: &[f32], hz: f32) -> f32 {
    let (mut re, mut im) = (0.0f32, 0.0f32);
    for (i, sample) in samples.iter().enumerate() {
        let angle = std::f32::consts::TAU * hz * (i % 48_000) as f32 / 48_000.0;
        re += sample * angle.cos();
        im += sample * angle.sin();
    }
    2.0 * (re * re + im * im).sqrt() / samples.len() as f32
}

#[test]
fn null_devices_keep_both_rings_in_time() {
    let pump = PumpHandle::start().unwrap();
    let mut devices = open(&CaptureChoice::Null, &PlayoutChoice::Null, &pump).unwrap();
    wait_until("the pump steps", || pump.counters().ticks() > 60);
    let (began, before) = (Instant::now(), pump.counters().ticks());
    wait_until("half a second passes", || {
        pump.counters().ticks() >= before + 50
    });
    let took = began.elapsed();
    assert!(took > Duration::from_millis(400), "{took:?}");
    // A stall of this machine leaves something behind, which is worked off.
    let counters = pump.counters();
    wait_until("neither ring piles up", || {
        counters.playout_waiting_ms() < 100 && counters.capture_waiting_ms() < 100
    });
    assert_eq!(devices.poll_fault(), None);
    drop(devices);
    // Closing is enough: the pump lets go of the rings and sleeps.
    wait_until("the pump sleeps", || {
        let ticks = pump.counters().ticks();
        std::thread::sleep(Duration::from_millis(100));
        pump.counters().ticks() == ticks
    });
}

#[test]
fn a_sound_file_goes_through_a_call_into_another() {
    let (said, heard) = (scratch_file("said"), scratch_file("heard"));
    write_sine(&said, 44_100, 600.0, 2);
    let pump = PumpHandle::start().unwrap();
    let capture = CaptureChoice::Wav {
        path: said.clone(),
        looped: true,
    };
    let devices = open(&capture, &PlayoutChoice::Wav(heard.clone()), &pump).unwrap();
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (socket, control) = media::socket::bind_pair(here, 0..=0).unwrap();
    // A stream that sends to itself hears itself.
    let parameters = StreamParameters {
        remote: socket.local_addr().ok(),
        ..StreamParameters::new(Codec::new(CodecKind::Pcma, 8))
    };
    let config = StreamConfig {
        rtcp_socket: Some(control),
        source: Source::Microphone,
        sink: Sink::Speaker,
        ..StreamConfig::new(socket, parameters, 5)
    };
    let stream = pump.add_stream(config).unwrap();
    wait_until("speech flows", || stream.counters().played_ms() > 1_500);
    assert!(pump.counters().capture_level() > 0.2);
    drop((stream, devices));
    let samples = media::wav::load(&heard).unwrap();
    std::fs::remove_file(&said).unwrap();
    std::fs::remove_file(&heard).unwrap();
    assert!(samples.len() > 60_000, "{}", samples.len());
    let tail = &samples[samples.len() - 28_800..samples.len() - 4_800];
    let heard = level(tail, 600.0);
    assert!((0.25..0.35).contains(&heard), "{heard}");
    let other = level(tail, 900.0);
    assert!(other < 0.01, "{other}");
}

#[test]
fn a_sound_test_needs_no_call() {
    let heard = scratch_file("test");
    let pump = PumpHandle::start().unwrap();
    let playout = PlayoutChoice::Wav(heard.clone());
    let devices = open(&CaptureChoice::Off, &playout, &pump).unwrap();
    pump.play_tone(Tone::Sine { hz: 440.0 }).unwrap();
    wait_until("the tone plays", || pump.counters().ticks() > 60);
    assert!(pump.counters().playout_level() > 0.15);
    pump.stop_tone().unwrap();
    drop(devices);
    let samples = media::wav::load(&heard).unwrap();
    std::fs::remove_file(&heard).unwrap();
    let level = power(&samples[9_600..24_000], 440.0);
    assert!((0.2..0.3).contains(&level), "{level}");
}

#[test]
fn what_cannot_be_opened_is_a_sentence_about_the_right_device() {
    let pump = PumpHandle::start().unwrap();
    let nowhere = "alsa:plughw:CARD=Nowhere,DEV=9".to_owned();
    let capture = CaptureChoice::Id(nowhere.clone());
    let error = open(&capture, &PlayoutChoice::Null, &pump).unwrap_err();
    assert_eq!(error.role(), Some(Role::Capture));
    assert_eq!(
        error.to_string(),
        format!("The chosen microphone “{nowhere}” is not connected.")
    );
    let missing = CaptureChoice::Wav {
        path: scratch_file("missing"),
        looped: false,
    };
    let error = open(&missing, &PlayoutChoice::Null, &pump).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("The sound file cannot be played")
    );
    let unwritable = PlayoutChoice::Wav("/nowhere/at/all.wav".into());
    let error = open(&CaptureChoice::Null, &unwritable, &pump).unwrap_err();
    assert_eq!(error.role(), Some(Role::Playout));
    // Nothing of it was attached.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(pump.counters().ticks(), 0);
}
