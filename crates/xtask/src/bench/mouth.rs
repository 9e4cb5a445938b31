//! From mouth to ear: how long after it was said something is heard.
//!
//! Two programs play the same file, a short tone each second, to each other, and record what they hear.
//! A call's file and recording begin in the same step of 10 ms. So a tone that was said `c` after the
//! beginning is heard by B at `c + delay + (A's beginning - B's beginning)` of its recording, and by A
//! with the difference the other way round: the mean of the two is `c + delay`, whenever each began.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::live::{Running, command};
use crate::shell::{Fault, failed};

const RATE_HZ: u32 = 48_000;
/// Length of the file that is played.
const SECONDS: u32 = 14;
/// Where in each second the tone begins.
const BEGIN_S: f64 = 0.5;
/// Tones that are left out: a buffer takes some seconds to settle.
const SETTLING: usize = 3;

/// The delay of one direction, as the mean of both.
pub(crate) fn to_ear(
    program: &Path,
    home: &Path,
    codec: &str,
    port: u16,
) -> Result<Duration, Fault> {
    let said = home.join("tones.wav");
    fs::write(&said, tones(SECONDS, RATE_HZ))?;
    let start = |name: &str, args: &[&str], aor: &str, bind: &str| -> Result<Running, Fault> {
        let mut command = command(program, &home.join(name));
        command
            .args(args)
            .args(["--aor", aor, "--no-register", "--transport", "udp"])
            .args([
                "--bind", bind, "--codecs", codec, "--audio", "null", "--play",
            ])
            .arg(&said)
            .arg("--record")
            .arg(home.join(format!("{name}.wav")))
            .stdin(Stdio::null())
            .stdout(fs::File::create(home.join(format!("{name}.log")))?)
            .stderr(Stdio::null());
        Ok(Running(command.spawn()?))
    };
    let here = format!("127.0.0.1:{port}");
    let mut callee = start(
        "callee",
        &["answer", "--count", "1"],
        &format!("sip:b@{here}"),
        &here,
    )?;
    sleep(Duration::from_secs(2));
    let call = ["call", &format!("sip:b@{here}"), "--for", "12s"];
    let mut caller = start("caller", &call, "sip:a@127.0.0.1", "127.0.0.1:0")?;
    for (name, side) in [("caller", &mut caller), ("callee", &mut callee)] {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            match side.0.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    return Err(failed(&format!("the {name} does not end")));
                }
                None => sleep(Duration::from_millis(50)),
            }
        };
        if !status.success() {
            let log = home.join(format!("{name}.log"));
            return Err(failed(&format!("the {name} failed; see {}", log.display())));
        }
    }
    let mut sum = 0.0;
    for name in ["caller", "callee"] {
        let bytes = fs::read(home.join(format!("{name}.wav")))?;
        let (rate_hz, samples) =
            read_wav(&bytes).ok_or_else(|| failed("a recording reads oddly"))?;
        sum += shift(&samples, rate_hz)
            .ok_or_else(|| failed(&format!("the {name} heard too few tones")))?;
    }
    // Whole seconds are lost with the numbers of the tones; no delay is that long.
    Ok(Duration::from_secs_f64(sum.rem_euclid(1.0) / 2.0))
}

/// How much later than in the file the tones begin: the median, a fraction of a second.
fn shift(samples: &[i16], rate_hz: u32) -> Option<f64> {
    let begins = onsets(samples, rate_hz);
    let mut shifts: Vec<f64> = begins
        .iter()
        .skip(SETTLING)
        .map(|at| (at - BEGIN_S).rem_euclid(1.0))
        .collect();
    // Around a full second the order would be lost: all are taken relative to the first.
    let first = *shifts.first()?;
    for shift in &mut shifts {
        *shift = (*shift - first + 0.5).rem_euclid(1.0) - 0.5;
    }
    shifts.sort_by(f64::total_cmp);
    let median = shifts.get(shifts.len() / 2)?;
    (shifts.len() >= 3).then_some(first + median)
}

/// Seconds at which something loud begins after quiet.
fn onsets(samples: &[i16], rate_hz: u32) -> Vec<f64> {
    let quiet = rate_hz / 5;
    let mut found = Vec::new();
    let mut since_loud = quiet;
    for (at, sample) in samples.iter().enumerate() {
        if sample.unsigned_abs() > 5_000 {
            if since_loud >= quiet {
                found.push(at as f64 / f64::from(rate_hz));
            }
            since_loud = 0;
        } else {
            since_loud = since_loud.saturating_add(1);
        }
    }
    found
}

/// A WAV file of one channel with a tone of 40 ms in each second.
pub(crate) fn tones(seconds: u32, rate_hz: u32) -> Vec<u8> {
    let samples = (0..seconds * rate_hz).map(|at| {
        let inside = (f64::from(at) / f64::from(rate_hz)).fract() - BEGIN_S;
        if (0.0..0.04).contains(&inside) {
            ((std::f64::consts::TAU * 1_000.0 * inside).sin() * 24_000.0) as i16
        } else {
            0
        }
    });
    let length = seconds * rate_hz * 2;
    let mut out = Vec::new();
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + length).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&1_u16.to_le_bytes());
    out.extend_from_slice(&rate_hz.to_le_bytes());
    out.extend_from_slice(&(rate_hz * 2).to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend(samples.flat_map(i16::to_le_bytes));
    out
}

/// Rate and samples of a WAV file of one channel with 16 bits.
fn read_wav(bytes: &[u8]) -> Option<(u32, Vec<i16>)> {
    let mut rest = bytes.strip_prefix(b"RIFF")?.get(8..)?;
    let mut rate_hz = 0;
    loop {
        let (name, more) = rest.split_at_checked(4)?;
        let (length, more) = more.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let body = more.get(..length.min(more.len()))?;
        match name {
            b"fmt " => {
                if body.get(2..4)? != [1, 0] || body.get(14..16)? != [16, 0] {
                    return None;
                }
                rate_hz = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
            }
            b"data" => {
                let pairs = body.chunks_exact(2);
                let samples =
                    pairs.filter_map(|pair| Some(i16::from_le_bytes(pair.try_into().ok()?)));
                return (rate_hz > 0).then(|| (rate_hz, samples.collect()));
            }
            _ => {}
        }
        rest = more.get(length + length % 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_shift_is_found_again() {
        let (rate_hz, said) = read_wav(&tones(SECONDS, RATE_HZ)).expect("it is our own");
        assert_eq!(rate_hz, RATE_HZ);
        for later_ms in [0, 45, 499, 730] {
            let mut heard = vec![0; later_ms * RATE_HZ as usize / 1_000];
            heard.extend_from_slice(&said);
            let shift = shift(&heard, rate_hz).expect("there are tones");
            let expected = later_ms as f64 / 1_000.0;
            assert!((shift - expected).abs() < 0.001, "{shift} for {expected}");
        }
        assert_eq!(shift(&[0; 48_000], rate_hz), None);
    }
}
