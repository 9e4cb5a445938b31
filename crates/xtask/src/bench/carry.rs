//! What it costs to carry the media of many calls in one process: `crates/audio/examples/media_load.rs` is what
//! runs, once for each number of calls.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::figures::{Figures, value};
use crate::shell::{self, Fault};

/// How many at once.
const CALLS: [u32; 4] = [1, 50, 200, 500];
/// How long each is measured.
const SECONDS: &str = "10";
/// A call of PCMU alone, in per cent of one processor.
const MOST_FOR_A_CALL: f64 = 0.3;

/// One to five hundred calls, with each codec, in the clear and encrypted.
pub(crate) fn carry(figures: &mut Figures) -> Result<(), Fault> {
    let program = build()?;
    eprintln!("measuring nothing …");
    let mut command = Command::new(&program);
    let said = shell::output(command.args(["0", "nothing", "plain", SECONDS]))?;
    let nothing = value(&said, "processor-percent")?;
    figures.add(
        "nothing",
        "an empty thread that wakes and sends as often as a call",
        format!("{nothing:.3} % of one"),
    );
    for codec in ["pcmu", "opus"] {
        for protection in ["plain", "srtp"] {
            for calls in CALLS {
                eprintln!("measuring {calls} of {codec}, {protection} …");
                measure(figures, &program, nothing, (calls, codec, protection))?;
            }
        }
    }
    Ok(())
}

/// `nothing` is what one call takes of a processor before anything is done for it.
fn measure(
    figures: &mut Figures,
    program: &Path,
    nothing: f64,
    (calls, codec, protection): (u32, &str, &str),
) -> Result<(), Fault> {
    let count = calls.to_string();
    let mut command = Command::new(program);
    let said = shell::output(command.args([count.as_str(), codec, protection, SECONDS]))?;
    let figure = |word: &str| value(&said, word);
    let group = format!("{calls} of {codec}, {protection}");
    let a_call = figure("processor-percent-a-call")?;
    if calls == 1 && codec == "pcmu" {
        let what = "processor for a call";
        figures.add_with_goal(&group, what, (a_call, MOST_FOR_A_CALL), "% of one");
        let own = a_call - nothing;
        figures.add(
            &group,
            "of these our own work",
            format!("{own:.3} % of one"),
        );
    } else {
        figures.add(
            &group,
            "processor for a call",
            format!("{a_call:.3} % of one"),
        );
    }
    let all = figure("processor-percent")?;
    figures.add(&group, "processor", format!("{all:.1} % of one"));
    let late = figure("late-steps")? + figure("skipped-steps")?;
    if calls <= 200 && codec == "pcmu" {
        figures.add_with_goal(&group, "steps 5 ms late", (late, 0.0), "steps");
    } else {
        figures.add(&group, "steps 5 ms late", format!("{late:.0} steps"));
    }
    let longest = figure("longest-step-us")? / 1_000.0;
    figures.add(&group, "longest step", format!("{longest:.2} ms"));
    let lost = figure("lost")?;
    figures.add(&group, "packets lost", format!("{lost:.0}"));
    for thread in ["pump", "callback"] {
        let allocations = figure(&format!("allocations-of-the-{thread}"))?;
        let what = format!("allocations of the {thread}");
        figures.add_with_goal(&group, &what, (allocations, 0.0), "");
    }
    Ok(())
}

fn build() -> Result<PathBuf, Fault> {
    let mut command = shell::cargo();
    command
        .args(["build", "--locked", "--profile", "bench", "-p", "audio"])
        .args(["--example", "media_load"]);
    shell::run(&mut command)?;
    Ok(shell::target_dir().join("release/examples/media_load"))
}
