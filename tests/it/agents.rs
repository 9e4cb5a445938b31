//! Programs in place of persons: they hear and speak, choose by keys, are told of calls, and send what they like.

use std::io::{Read, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::rig::folder::Folder;
use crate::rig::program::{self, Account, Program, SOON, is};
use crate::rig::{seconds, switchboard};

const RATE: usize = 48_000;
const TONE_HZ: f32 = 1_000.0;

/// 16 bits, little-endian, 48 kHz.
fn tone(length_s: usize) -> Vec<u8> {
    let sample = |n: usize| {
        let phase = n as f32 * TONE_HZ * std::f32::consts::TAU / RATE as f32;
        (phase.sin() * 8_000.0) as i16
    };
    (0..length_s * RATE)
        .flat_map(|n| sample(n).to_le_bytes())
        .collect()
}

/// How much of the power is at the tone's frequency, or where it comes to be while the clock of a device is followed by
/// 0.4 % of pitch.
fn purity(samples: &[f32]) -> f32 {
    let shifts = (-4..=4_i8).map(|shift| 1.0 + f32::from(shift) * 0.001);
    let purities = shifts.map(|shift| purity_at(TONE_HZ * shift, samples));
    purities.fold(0.0, f32::max)
}

fn purity_at(hz: f32, samples: &[f32]) -> f32 {
    let (mut real, mut imaginary, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = n as f32 * hz * std::f32::consts::TAU / RATE as f32;
        real += sample * phase.cos();
        imaginary += sample * phase.sin();
        power += sample * sample;
    }
    2.0 * (real * real + imaginary * imaginary) / (power * samples.len() as f32).max(1.0)
}

#[test]
fn a_program_is_heard_by_what_it_writes_and_hears_by_what_it_reads() {
    let folder = Folder::new("pipe");
    let (_switchboard, port) = switchboard::start(&folder);
    let mut command = program::command(&folder.inner("home"));
    command
        .args(["call", "600", "--audio", "pipe", "--codecs", "pcmu"])
        .args(["--for", "2s", "--json", "--aor"])
        .arg(format!("sip:alice@127.0.0.1:{port}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("it is piped");
    // It ends when nobody reads on.
    std::thread::spawn(move || input.write_all(&tone(30)));
    let mut heard = Vec::new();
    let mut output = child.stdout.take().expect("it is piped");
    output.read_to_end(&mut heard).expect("it can be read");
    let out = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{told}");
    assert!(told.contains(r#""event":"call""#), "{told}");
    let samples = heard.chunks_exact(2);
    let samples: Vec<f32> = samples
        .map(|pair| pair.try_into().map_or(0, i16::from_le_bytes).into())
        .collect();
    // The best half second of what the echo sent back.
    let best = samples
        .windows(RATE / 2)
        .step_by(RATE / 10)
        .map(purity)
        .fold(0.0, f32::max);
    assert!(best > 0.8, "{best} of {} samples: {told}", samples.len());
}

#[test]
fn a_caller_chooses_by_a_key_and_the_log_of_calls_names_nobody() {
    let folder = Folder::new("menu");
    let (_switchboard, port) = switchboard::start(&folder);
    let keys = folder.join("keys.txt");
    std::fs::write(&keys, "# our menu\n1 call 601\n9 hang-up\n").expect("it can be written");
    let log = folder.join("calls.jsonl");
    let account = |user: &str| Account::new(format!("sip:{user}@127.0.0.1:{port}"), "");
    let menu = format!(
        "--count 1 --menu {} --events {}",
        keys.display(),
        log.display()
    );
    let mut receptionist = Program::start(&folder, "bob", "answer", &account("bob.builder"), &menu);
    receptionist.wait_for("its calls", SOON, |event| is(event, "waiting"));
    let line = "bob.builder --dtmf-send ,,,9 --for 30s";
    let caller = Program::start(&folder, "alice", "call", &account("alice.jones"), line);
    // Long before it would end by itself: the key ends it.
    let caller = caller.finish(seconds(20));
    caller.assert_code(0);
    receptionist.finish(seconds(15)).assert_code(0);
    let text = std::fs::read_to_string(&log).expect("there is a log");
    let told: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    let names: Vec<_> = told.iter().filter_map(|l| l["event"].as_str()).collect();
    assert_eq!(names.first(), Some(&"incoming_call"), "{text}");
    assert!(names.contains(&"call_answered"), "{text}");
    assert_eq!(names.last(), Some(&"call_ended"), "{text}");
    for name in ["bob.b", "alice.j"] {
        assert!(!text.contains(name), "{text}");
    }
}

#[test]
fn a_method_that_nobody_knows_is_sent_and_its_answer_shown() {
    let folder = Folder::new("send");
    let (_switchboard, port) = switchboard::start(&folder);
    let send = |method: &str, more: &[&str]| {
        let out = program::command(&folder.inner("home"))
            .args(["send", method, "600", "--json", "--aor"])
            .arg(format!("sip:alice@127.0.0.1:{port}"))
            .args(more)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let answer = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|event| event["event"] == "answer");
        (answer.unwrap_or_default(), out.status.code())
    };
    let (answer, _) = send("X-PING", &["--header", "X-Room: 42", "--body", "up"]);
    assert!(answer["code"].as_u64() >= Some(200), "{answer}");
    let headers = answer["headers"].to_string();
    assert!(headers.contains("X-PING"), "its CSeq came back: {answer}");
    let (refused, code) = send("X-PING", &["--header", "Via: SIP/2.0/UDP 192.0.2.1"]);
    assert_eq!(code, Some(1));
    assert!(refused["code"].is_null(), "{refused}");
    let reason = refused["reason"].to_string();
    assert!(reason.contains("The request was not sent"), "{reason}");
}
