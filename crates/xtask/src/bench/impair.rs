//! What is left of speech behind a bad network, by codec: scored by PESQ, beside what baresip makes of the same speech
//! and the same faults. `crates/media/examples/impair` carries it; here are the speech, the scores and the goals.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::pesq::Scorer;
use crate::shell::{self, Fault, failed};

/// The least score of a codec at 5 % loss and 30 ms of jitter, on the narrow-band scale.
const LEAST_SCORES: [(&str, f64); 4] = [("opus", 3.6), ("G722", 2.8), ("PCMU", 2.8), ("PCMA", 2.8)];
const SCORED_CASE: &str = "5 % lost, jitter 30 ms";
/// What the buffer may add beyond the 95th percentile of jitter.
const MOST_BEYOND_MS: f64 = 20.0;
/// How much steeper a tone may become by the correction of clocks: less than the noise of the coding varies.
const MOST_STEEPER: f64 = 1.25;

/// Six voices, two sentences each: where every tenth packet is lost, it matters which.
const SPEECH: [(&str, &str); 6] = [
    (
        "en-gb",
        "The old ferry leaves the harbour at six in the morning. Nobody had told us that the kitchen was closed.",
    ),
    (
        "en-us+f3",
        "She put seven yellow cushions on a chair beside the fire. A short walk before breakfast makes the day longer.",
    ),
    (
        "en-gb+m3",
        "Please bring the other key when you come back tonight. We watched the first ships pass through thick fog.",
    ),
    (
        "en-us",
        "Four large windows look out over the river and the mill. He asked again whether the parcel had come with the post.",
    ),
    (
        "en-gb-scotland+f2",
        "Take the second road on the left behind the church. My sister has never liked the taste of green apples.",
    ),
    (
        "en-us+m7",
        "The meeting on Thursday was moved to a quarter past nine. Fresh bread and strong coffee were waiting on the table.",
    ),
];

/// `cargo xtask bench impair`.
pub(crate) fn impair() -> Result<(), Fault> {
    let home = shell::artifacts_dir().join("bench/impair");
    fs::create_dir_all(&home)?;
    let python = Scorer::new()?;
    let mut said = Vec::new();
    for (number, (voice, words)) in SPEECH.iter().enumerate() {
        let path = home.join(format!("speech-{number}.wav"));
        let mut command = Command::new("espeak-ng");
        command.args(["-v", voice, "-s", "150", "-w"]).arg(&path);
        shell::output(command.arg(words))?;
        said.push(path);
    }
    let mut build = shell::cargo();
    shell::run(build.args(["build", "--locked", "-p", "media", "--example", "impair"]))?;
    let program = shell::target_dir().join("debug/examples/impair");
    let mut rows = Vec::new();
    for who in ["ours", "baresip"] {
        eprintln!("{who} …");
        shell::run(Command::new(&program).arg(who).arg(&home).args(&said))?;
        rows.push(Row::read(&home.join(format!("{who}.tsv")), &python, &home)?);
    }
    let [ours, theirs] = rows.as_slice() else {
        return Err(failed("there is nothing to compare"));
    };
    let missed = print(ours, theirs);
    if missed.is_empty() {
        println!("\nall goals reached");
        return Ok(());
    }
    Err(failed(&format!("goals missed: {}", missed.join("; "))))
}

/// One case with one codec.
#[derive(Debug, Default)]
struct Row {
    case: String,
    codec: String,
    lost: f64,
    p95_ms: f64,
    /// Not known of baresip, as is all that follows but the scores.
    to_ear_ms: Option<f64>,
    buffer_ms: Option<f64>,
    concealed: Option<f64>,
    steeper: Option<f64>,
    narrow: f64,
    wide: Option<f64>,
    files: Vec<String>,
}

impl Row {
    fn read(path: &Path, python: &Scorer, home: &Path) -> Result<Vec<Self>, Fault> {
        let text = fs::read_to_string(path)?;
        let mut rows: Vec<Self> = text
            .lines()
            .map(|line| Self::parse(line).ok_or_else(|| failed(&format!("odd row: {line}"))))
            .collect::<Result<_, _>>()?;
        let pairs: Vec<&str> = rows
            .iter()
            .flat_map(|row| row.files.iter().map(String::as_str))
            .collect();
        let scores = python.score(home, &pairs)?;
        for row in &mut rows {
            let mean = |rate: &str| {
                let found: Vec<f64> = row
                    .files
                    .iter()
                    .filter(|path| path.ends_with(rate))
                    .filter_map(|path| scores.get(path.as_str()).copied())
                    .collect();
                (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
            };
            let (narrow, wide) = (mean("-8000.wav"), mean("-16000.wav"));
            row.narrow = narrow.ok_or_else(|| failed("there is no score"))?;
            row.wide = wide;
        }
        Ok(rows)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('\t');
        let mut text = || columns.next().map(str::to_owned);
        let (case, codec) = (text()?, text()?);
        let number = |text: Option<String>| text.and_then(|text| text.parse::<f64>().ok());
        Some(Self {
            case,
            codec,
            lost: number(text())?,
            p95_ms: number(text())?,
            to_ear_ms: number(text()),
            buffer_ms: number(text()),
            concealed: number(text()),
            steeper: number(text()).filter(|steeper| *steeper > 0.0),
            narrow: 0.0,
            wide: None,
            files: columns.map(str::to_owned).collect(),
        })
    }
}

/// Prints the table; answers the goals that were missed.
fn print(ours: &[Row], theirs: &[Row]) -> Vec<String> {
    let mut missed = Vec::new();
    let mut codec = "";
    for row in ours {
        if row.codec != codec {
            codec = &row.codec;
            println!(
                "\n{:<40} {:>6} {:>6} {:>7} {:>7} {:>7} {:>6} {:>6} {:>14}",
                codec, "lost", "p95", "to ear", "buffer", "made up", "PESQ", "wide", "baresip"
            );
        }
        let other = theirs
            .iter()
            .find(|other| other.case == row.case && other.codec == row.codec);
        println!("{}", line(row, other));
        missed.extend(judge(row, other));
    }
    missed
}

fn line(row: &Row, other: Option<&Row>) -> String {
    let optional = |value: Option<f64>, unit: &str| {
        value.map_or_else(String::new, |value| format!("{value:.0}{unit}"))
    };
    let wide = |row: &Row| {
        row.wide
            .map_or_else(String::new, |wide| format!("{wide:.2}"))
    };
    let other = other.map_or_else(String::new, |other| {
        format!("{:.2} {:>5}", other.narrow, wide(other))
    });
    let steeper = row
        .steeper
        .map_or_else(String::new, |steeper| format!("  steepest {steeper:.2}"));
    format!(
        "{:<40} {:>4.1} % {:>3.0} ms {:>7} {:>7} {:>7} {:>6.2} {:>6} {other:>14}{steeper}",
        row.case,
        row.lost * 100.0,
        row.p95_ms,
        optional(row.to_ear_ms, " ms"),
        optional(row.buffer_ms, " ms"),
        row.concealed
            .map_or_else(String::new, |share| format!("{:.1} %", share * 100.0)),
        row.narrow,
        wide(row),
    )
}

fn judge(row: &Row, other: Option<&Row>) -> Vec<String> {
    let name = format!("{} with {}", row.case, row.codec);
    let mut missed = Vec::new();
    let least = LEAST_SCORES.iter().find(|(codec, _)| *codec == row.codec);
    if let Some((_, least)) = least
        && row.case == SCORED_CASE
        && row.narrow < *least
    {
        missed.push(format!("{name}: {:.2} instead of {least}", row.narrow));
    }
    let most = row.p95_ms + MOST_BEYOND_MS;
    if let Some(buffer) = row.buffer_ms.filter(|buffer| *buffer > most) {
        missed.push(format!("{name}: the buffer adds {buffer:.0} ms"));
    }
    if let Some(steeper) = row.steeper.filter(|steeper| *steeper > MOST_STEEPER) {
        missed.push(format!("{name}: a tone is {steeper:.2} times as steep"));
    }
    if let Some(other) = other.filter(|other| other.narrow >= row.narrow) {
        missed.push(format!(
            "{name}: {:.2}, and baresip {:.2}",
            row.narrow, other.narrow
        ));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::{Row, judge};

    fn row(line: &str) -> Row {
        Row::parse(line).expect("it is a row")
    }

    #[test]
    fn a_row_is_read_and_judged() {
        let mut ours =
            row("5 % lost, jitter 30 ms\tPCMU\t0.05\t28.5\t110.0\t45.0\t0.05\t0.00\ta-8000.wav\tb");
        assert_eq!((ours.files.len(), ours.steeper), (2, None));
        ours.narrow = 2.9;
        let mut theirs = row("5 % lost, jitter 30 ms\tPCMU\t0.05\t28.5\t\t\t\t\ta\tb");
        assert_eq!((theirs.buffer_ms, theirs.files.len()), (None, 2));
        theirs.narrow = 2.5;
        assert!(judge(&ours, Some(&theirs)).is_empty());
        theirs.narrow = 3.0;
        ours.buffer_ms = Some(49.0);
        ours.steeper = Some(1.3);
        assert_eq!(judge(&ours, Some(&theirs)).len(), 3);
        ours.narrow = 2.7;
        assert_eq!(judge(&ours, None).len(), 3);
    }
}
