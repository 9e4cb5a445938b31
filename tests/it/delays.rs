//! How long sound takes from the microphone to the wire, and from the wire to the speaker, through a sound server.
//!
//! Short tones are said into the microphone of a sound server; the peer sends them back. Four clocks that are one look at
//! them: a tap at the microphone, what tshark saw leave, what it saw come, and a tap at the speaker. What the taps take
//! themselves is taken out where the sound server knows it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::hold::Call;
use crate::rig::capture::{Capture, Sound};
use crate::rig::desktop::{Server, SoundCard};
use crate::rig::folder::Folder;
use crate::rig::program::{Account, Program, SOON};
use crate::rig::{ports, switchboard, until};

/// Tones, one each second.
const TONES: usize = 14;
/// So many of them are left out: buffers take some seconds to settle.
const SETTLING: usize = 5;
const TONE_S: f64 = 0.1;
const RATE_HZ: u32 = 48_000;
/// What both ways may take on a machine that is busy with other tests, in seconds beyond the packet and the buffer.
const PATIENT: f64 = 0.25;

#[test]
fn sound_reaches_the_wire_and_the_speaker_through_pulseaudio() {
    measure(Server::PulseAudio);
}

#[test]
fn sound_reaches_the_wire_and_the_speaker_through_pipewire() {
    measure(Server::PipeWire);
}

/// What echo control and noise suppression take for themselves, for they work in windows.
const PROCESSING: f64 = 0.015;

/// `TIPRING_DELAYS` asks for what a quiet machine should reach: 25 ms to the wire and 20 ms to the speaker.
fn limits(processed: bool) -> [f64; 2] {
    match std::env::var_os("TIPRING_DELAYS") {
        Some(_) if processed => [0.025 + PROCESSING, 0.020],
        Some(_) => [0.025, 0.020],
        None => [PATIENT / 2.0; 2],
    }
}

/// What the jitter buffer keeps where there is no jitter: 5 ms, and up to a step of 10 ms.
const LEAST_BUFFER: f64 = 0.015;

/// Calls in a row of which the middle counts, where a quiet machine is asked for: even that is held up at times, and whoever was
/// keeps more in hand for half a minute.
const CALLS: usize = 5;

/// Measures speech as it comes and, where a quiet machine is asked for, also as accounts have it unless they say otherwise.
fn measure(server: Server) {
    if std::env::var_os("TIPRING_DELAYS").is_none() {
        return judge(server, false, &[measure_as(server, false)]);
    }
    for processed in [false, true] {
        let calls: Vec<Delays> = (0..CALLS).map(|_| measure_as(server, processed)).collect();
        judge(server, processed, &calls);
    }
}

/// What was measured in a call, in seconds: to the wire beyond the packet, to the speaker beyond the buffer, and what that kept.
struct Delays {
    out: f64,
    back: f64,
    buffer: f64,
}

fn judge(server: Server, processed: bool, calls: &[Delays]) {
    // The nearest tone is taken for the right one, and there is one each second. None may be worse than on a busy machine.
    for call in calls {
        let both = call.out + call.back;
        assert!(both > 0.0 && both < PATIENT, "{both} s in all");
    }
    let middle = |of: fn(&Delays) -> f64| {
        let mut all: Vec<f64> = calls.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let [out_limit, back_limit] = limits(processed);
    let (out, back) = (middle(|call| call.out), middle(|call| call.back));
    let heard = middle(|call| call.back + call.buffer);
    let (both, limit) = (middle(|call| call.out + call.back), out_limit + back_limit);
    println!(
        "{server:?}, the middle of {}: {:.1} ms to the wire, {:.1} ms to the speaker, with the buffer {:.1} ms, {:.1} ms in all",
        calls.len(),
        out * 1e3,
        back * 1e3,
        heard * 1e3,
        both * 1e3
    );
    // PipeWire answers zero whatever its taps take. That is missing on the way to the wire and is too much on the way to the
    // speaker, and there is none of it in their sum. So it is with what a busy machine takes for itself.
    let is_exact = matches!(server, Server::PulseAudio);
    if is_exact && std::env::var_os("TIPRING_DELAYS").is_some() {
        assert!(out < out_limit, "{out} s to the wire");
        assert!(back < back_limit, "{back} s to the speaker");
        assert!(
            heard < back_limit + LEAST_BUFFER,
            "{heard} s with the buffer"
        );
    }
    assert!(both < limit, "{both} s in all");
}

fn measure_as(server: Server, processed: bool) -> Delays {
    let folder = Folder::new(&format!("delays_{server:?}_{processed}"));
    like_a_desktop(&folder);
    let card = SoundCard::start_by(&folder, server);
    // No module between the tap and us.
    card.pactl(&["set-default-source", "feed.monitor"]);
    let (port, range) = (ports::free(), Sound::free());
    let capture = Capture::start(&folder, &format!("port {port} or {range}"));
    let bob = Account::new(
        "sip:bob@127.0.0.1",
        &format!(
            "--no-register --transport udp --codecs pcmu --bind 127.0.0.1:{port} {}",
            range.option()
        ),
    );
    let bob = Program::start(&folder, "bob", "answer", &bob, "--count 1 --echo");
    switchboard::wait_taken(port, || {});

    // Before the call: a sound server may halt for a moment for each who comes, and the call would remember it.
    let microphone = Tap::start(&card, "feed.monitor");
    let speaker = Tap::start(&card, "speaker.monitor");

    let parts = [
        "echo_cancellation",
        "noise_suppression",
        "gain_control",
        "high_pass",
    ];
    let voice = parts.map(|part| (part.to_owned(), processed.into()));
    let voice = serde_json::Value::Object(voice.into_iter().collect());
    let mut call = Call::place_with(&folder, port, &voice, |command| {
        command.args(["--audio", "devices"]);
        card.serve(command);
    });

    let tones = tones(&folder);
    let buffer = std::thread::scope(|scope| {
        let saying = scope.spawn(|| card.say(&tones));
        let mut waited = Vec::new();
        while !saying.is_finished() {
            std::thread::sleep(Duration::from_millis(500));
            let buffer = &call.control.snapshot()["calls"][0]["stats"]["buffer_ms"];
            waited.extend(buffer.as_f64().map(|ms| ms / 1e3));
        }
        median(waited.split_off(SETTLING * 2))
    });
    call.end();
    bob.finish(SOON).assert_code(0);
    let seen = capture.stop(&format!("udp.port=={port},sip"));

    let said = microphone.onsets();
    let heard = speaker.onsets();
    let packets = |to_bob: bool| -> Vec<Packet> {
        let side = if to_bob { "dst" } else { "src" };
        let filter = format!(
            "rtp && udp.{side}port in {{{}..{}}}",
            range.first(),
            range.last()
        );
        let lines = seen.fields(&filter, &["frame.time_epoch", "rtp.payload"]);
        lines.lines().filter_map(Packet::read).collect()
    };
    let (sent, came) = (onsets(&packets(true)), onsets(&packets(false)));
    // From when the last sample of a packet was said to when the packet left.
    let out = matched(&said, &sent, |said, (left, rest)| left - rest - said);
    // From when the tone could have been played, had nothing waited, to when it was.
    let back = matched(&heard, &came, |heard, (came, rest)| {
        heard - (came + Packet::LENGTH_S - rest) - buffer
    });
    let (out, back) = (median(out), median(back));
    println!(
        "\n{server:?}{}, {}: microphone to wire {:.1} ms beyond the packet, wire to speaker {:.1} ms beyond the buffer of {:.1} ms, {:.1} ms in all",
        match server {
            Server::PipeWire if card.has_plugin() => " by its plug-in",
            Server::PipeWire => " by the protocol of PulseAudio",
            Server::PulseAudio => "",
        },
        if processed {
            "without echo and noise"
        } else {
            "as it comes"
        },
        out * 1e3,
        back * 1e3,
        buffer * 1e3,
        (out + back) * 1e3
    );
    println!(
        "taken out of it: what is heard at the microphone is handed over {:.1} ms later, and at the speaker {:.1} ms",
        microphone.late() * 1e3,
        speaker.late() * 1e3
    );
    Delays { out, back, buffer }
}

/// PipeWire works in blocks of 21 ms in virtual machines, whatever it is asked for. Here it is to be like a desktop, too: these
/// are the bounds that it has outside of them.
fn like_a_desktop(folder: &Folder) {
    let home = folder.inner("sound").join(".config/pipewire");
    for (file, properties) in [
        (
            "pipewire.conf",
            "context.properties = { vm.overrides = { default.clock.min-quantum = 16 } }",
        ),
        (
            "pipewire-pulse.conf",
            "pulse.properties = { vm.overrides = { pulse.min.quantum = 256/48000 } }",
        ),
    ] {
        let folder = home.join(format!("{file}.d"));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        std::fs::write(folder.join("desktop.conf"), properties).expect("settings can be written");
    }
}

/// A tone each second, begun at full strength.
fn tones(folder: &Folder) -> std::path::PathBuf {
    let path = folder.join("tones.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(&path, spec).expect("a file can be written");
    for at in 0..TONES * RATE_HZ as usize {
        let at = (at % RATE_HZ as usize) as f64 / f64::from(RATE_HZ) - 0.5;
        let on = (0.0..TONE_S).contains(&at);
        let value = (at * 1_000.0 * std::f64::consts::TAU).cos() * 16_000.0;
        let value = if on { value as i16 } else { 0 };
        file.write_sample(value).expect("a file can be written");
    }
    file.finalize().expect("a file can be written");
    path
}

/// Where tones begin: each index at which a quarter of the usual peak is passed after a third of a second below it.
fn begins(samples: &[f32], rate_hz: f64) -> Vec<usize> {
    let window = rate_hz as usize;
    let mut peaks: Vec<f32> = samples
        .chunks(window)
        .map(|part| part.iter().fold(0.0, |most: f32, x| most.max(x.abs())))
        .collect();
    peaks.sort_by(f32::total_cmp);
    let loud = peaks.get(peaks.len() * 2 / 3).copied().unwrap_or(0.0) / 4.0;
    let quiet = (rate_hz / 3.0) as usize;
    let mut last = None;
    let mut found = Vec::new();
    for (at, _) in samples
        .iter()
        .enumerate()
        .filter(|(_, x)| loud > 0.0 && x.abs() > loud)
    {
        if last.is_none_or(|last| at - last > quiet) {
            found.push(at);
        }
        last = Some(at);
    }
    found
}

/// For each of `those` the one of `these` that belongs to it, and how far they are apart.
fn matched<T: Copy>(these: &[f64], those: &[T], apart: impl Fn(f64, T) -> f64) -> Vec<f64> {
    let near = |one: &T| {
        let all = these.iter().map(|at| apart(*at, *one));
        all.min_by(|a, b| a.abs().total_cmp(&b.abs()))
    };
    those.iter().skip(SETTLING).filter_map(near).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    assert!(
        values.len() >= TONES / 2,
        "{} tones were measured",
        values.len()
    );
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One RTP packet of PCMU.
struct Packet {
    /// When it was on the wire, in seconds since 1970.
    at: f64,
    samples: Vec<f32>,
}

impl Packet {
    const RATE_HZ: f64 = 8_000.0;
    const LENGTH_S: f64 = 0.02;

    /// From a line of tshark: the time, a tab, and the payload in hexadecimal.
    fn read(line: &str) -> Option<Self> {
        let (at, payload) = line.split_once('\t')?;
        let digits: Vec<u8> = payload.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let samples = digits
            .chunks_exact(2)
            .filter_map(byte)
            .map(linear)
            .collect();
        Some(Self {
            at: at.parse().ok()?,
            samples,
        })
    }
}

/// ITU-T G.711 µ-law, full scale 1.
fn linear(code: u8) -> f32 {
    let code = !code;
    let size = ((f32::from(code & 0x0f) * 2.0 + 33.0) * f32::from(1u16 << ((code >> 4) & 7))
        - 33.0)
        / 8_031.0;
    if code & 0x80 == 0 { size } else { -size }
}

/// For each tone when its packet was on the wire, and how much of the packet comes after its beginning, in seconds.
fn onsets(packets: &[Packet]) -> Vec<(f64, f64)> {
    let all: Vec<f32> = packets
        .iter()
        .flat_map(|packet| packet.samples.clone())
        .collect();
    let place = |at: usize| {
        let mut before = 0;
        let packet = packets.iter().find(|packet| {
            before += packet.samples.len();
            before > at
        })?;
        Some((packet.at, (before - at) as f64 / Packet::RATE_HZ))
    };
    begins(&all, Packet::RATE_HZ)
        .into_iter()
        .filter_map(place)
        .collect()
}

/// Hears what a sink or source has, and knows when.
///
/// What it hears is handed over some milliseconds after it was there, or before, for a sink lets others hear what it is
/// about to play. PulseAudio knows how long, and parec asks it twenty times a second.
struct Tap {
    child: Child,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    samples: Vec<f32>,
    /// When the first sample would have been handed over at the latest, in seconds since 1970: the least over all pieces, so
    /// that what kept a piece waiting here does not count.
    began: Option<f64>,
    /// How much later sound is handed over than it was there, as the server says again and again, in seconds.
    late: Vec<f64>,
}

impl Tap {
    fn start(card: &SoundCard, source: &str) -> Self {
        let mut command = Command::new("parec");
        command
            .args([
                "--format=s16le",
                "--channels=1",
                "--latency-msec=2",
                "--verbose",
                "-d",
                source,
            ])
            .arg(format!("--rate={RATE_HZ}"))
            .env("LC_ALL", "C")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        card.serve(&mut command);
        let mut child = command.spawn().expect("parec can be started");
        let stderr = child.stderr.take().expect("stderr is piped");
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            let mut odd = Vec::new();
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .expect("after 1970")
                    .as_secs_f64();
                odd.extend_from_slice(&bytes[..count]);
                let whole = odd.len() & !1;
                let mut heard = all.lock().expect("nobody panics with it");
                heard.samples.extend(
                    odd[..whole]
                        .chunks_exact(2)
                        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0),
                );
                odd.drain(..whole);
                let began = now - heard.samples.len() as f64 / f64::from(RATE_HZ);
                heard.began = Some(heard.began.map_or(began, |least| least.min(began)));
            }
        });
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            // Each line takes the place of the one before.
            let lines = BufReader::new(stderr).split(b'\r').map_while(Result::ok);
            for late in lines.filter_map(|line| latency(&String::from_utf8_lossy(&line))) {
                all.lock().expect("nobody panics with it").late.push(late);
            }
        });
        let tap = Self { child, heard };
        until("the tap to run", SOON, || {
            tap.heard.lock().expect("nobody panics with it").began
        });
        tap
    }

    /// How much later sound is handed over than it was there, in seconds.
    fn late(&self) -> f64 {
        let late = self
            .heard
            .lock()
            .expect("nobody panics with it")
            .late
            .clone();
        median(late)
    }

    /// When each tone began, in seconds since 1970.
    fn onsets(&self) -> Vec<f64> {
        let late = self.late();
        let heard = self.heard.lock().expect("nobody panics with it");
        let began = heard.began.expect("something was heard");
        let rate = f64::from(RATE_HZ);
        begins(&heard.samples, rate)
            .into_iter()
            .map(|at| began + at as f64 / rate - late)
            .collect()
    }
}

/// From a line of parec like `Time: 2.837 sec; Latency: 1765 usec.`, in seconds.
fn latency(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("Latency: ")?;
    let microseconds: f64 = rest.split(' ').next()?.parse().ok()?;
    Some(microseconds / 1e6)
}

impl Drop for Tap {
    fn drop(&mut self) {
        // Failing means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
