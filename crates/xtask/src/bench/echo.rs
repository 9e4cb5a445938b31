//! How well the echo of the loudspeaker is taken out of what the microphone hears, and what is left of near speech meanwhile.
//! `crates/media/examples/echo` holds the conversations; here are the scores and the goals. Of near speech the goal is how
//! much of it is swallowed; its PESQ is printed and has none, for both voices are about as loud at the microphone.

use std::fs;
use std::process::Command;

use super::pesq::Scorer;
use crate::shell::{self, Fault, failed};

/// How far the echo of a sentence at −6 dB has to be down after two seconds.
const LEAST_DOWN_DB: f64 = 30.0;

/// How much of near speech may be swallowed while both speak, in per cent of its frames: a tenth by echo control, and what noise
/// suppression lowers besides.
const MOST_SWALLOWED: f64 = 16.0;

/// `cargo xtask bench echo`.
pub(super) fn echo() -> Result<(), Fault> {
    let home = shell::artifacts_dir().join("bench/echo");
    fs::create_dir_all(&home)?;
    let scorer = Scorer::new()?;
    let mut build = shell::cargo();
    shell::run(build.args(["build", "--locked", "--workspace", "--example", "echo"]))?;
    shell::run(Command::new(shell::target_dir().join("debug/examples/echo")).arg(&home))?;
    let table = fs::read_to_string(home.join("echo.tsv"))?;
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split('\t').collect()).collect();
    let pairs: Vec<&str> = rows
        .iter()
        .flat_map(|row| row.iter().skip(8).copied())
        .collect();
    let scores = scorer.score(&home, &pairs)?;
    println!(
        "{:>7} {:<5} {:>9} {:>12} {:>8} {:>9} {:>9} {:>6} {:>6} {:>8}",
        "delay",
        "what",
        "down",
        "after both",
        "near",
        "likeness",
        "swallowed",
        "PESQ",
        "wide",
        "10 ms"
    );
    let mut missed = Vec::new();
    for row in &rows {
        let [
            delay,
            what,
            down,
            after,
            near,
            likeness,
            swallowed,
            cost,
            _,
            heard_narrow,
            _,
            heard_wide,
        ] = row.as_slice()
        else {
            return Err(failed(&format!("odd row: {row:?}")));
        };
        let score = |path: &str| scores.get(path).copied().unwrap_or(0.0);
        let (narrow, wide) = (score(heard_narrow), score(heard_wide));
        println!(
            "{delay:>4} ms {what:<5} {down:>6} dB {after:>9} dB {near:>5} dB {likeness:>9} {swallowed:>7} % {narrow:>6.2} {wide:>6.2} {cost:>5} us"
        );
        let name = format!("{delay} ms, {what}");
        for (words, value) in [("down", down), ("down after both spoke", after)] {
            if value.parse().is_ok_and(|value: f64| value < LEAST_DOWN_DB) {
                missed.push(format!("{name}: {value} dB {words}"));
            }
        }
        if swallowed
            .parse()
            .is_ok_and(|share: f64| share > MOST_SWALLOWED)
        {
            missed.push(format!("{name}: {swallowed} % swallowed"));
        }
    }
    if missed.is_empty() {
        println!("\nall goals reached");
        return Ok(());
    }
    Err(failed(&format!("goals missed: {}", missed.join("; "))))
}
