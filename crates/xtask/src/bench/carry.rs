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

/// One to five hundred calls, with each codec, in the clear and encrypted; and one with all that is done to the microphone's
/// sound.
pub(crate) fn carry(figures: &mut Figures) -> Result<(), Fault> {
    let program = build()?;
    eprintln!("measuring nothing …");
    let mut command = Command::new(&program);
    let said = shell::output(command.args(["0", "nothing", "plain", SECONDS]))?;
    let nothing = value(&said, "processor-percent")?;
    // The second and the third no program can do without: where they are above the goal, the machine is what misses it.
    for (what, percent) in [
        ("an empty thread that wakes as often", nothing),
        (
            "one that wakes for its packets alone",
            value(&said, "percent-of-the-least")?,
        ),
        (
            "one that wakes as often as that, and sends none",
            value(&said, "percent-of-waking")?,
        ),
    ] {
        figures.add("nothing", what, format!("{percent:.3} % of one"));
    }
    for codec in ["pcmu", "opus"] {
        for protection in ["plain", "srtp"] {
            for calls in CALLS {
                eprintln!("measuring {calls} of {codec}, {protection} …");
                measure(figures, &program, nothing, (calls, codec, protection))?;
            }
        }
    }
    eprintln!("measuring 1 of pcmu with voice processing …");
    measure_voice(figures, &program)
}

/// One call as most people have it. What is done to the microphone's sound is on another thread than the rest.
fn measure_voice(figures: &mut Figures, program: &Path) -> Result<(), Fault> {
    let mut command = Command::new(program);
    let said = shell::output(command.args(["1", "pcmu", "plain", SECONDS, "voice"]))?;
    let figure = |word: &str| value(&said, word);
    let group = "1 of pcmu, voice processed";
    let (pump, voice) = (
        figure("processor-percent")?,
        figure("processor-percent-of-the-voice")?,
    );
    for (what, percent) in [
        ("processor for the call", pump + voice),
        ("of these for the voice", voice),
    ] {
        figures.add(group, what, format!("{percent:.3} % of one"));
    }
    let waited = figure("wait-for-the-voice-us")?;
    figures.add(
        group,
        "the pump waits, each step",
        format!("{waited:.0} us"),
    );
    let late = figure("late-voice")?;
    figures.add_with_goal(group, "frames not done in time", (late, 0.0), "frames");
    let failed = figure("voice-failed")?;
    figures.add_with_goal(group, "given up", (failed, 0.0), "times");
    add_steps(figures, group, &said, true)
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
    let whole = "processor for a call";
    if calls == 1 && codec == "pcmu" {
        let unit = "% of one";
        figures.add_with_goal(&group, whole, (a_call, MOST_FOR_A_CALL), unit);
        // Of a machine that wakes slowly most is neither codec nor packet; what is left is told from two sides.
        let in_steps = figure("percent-of-the-time-in-steps")?;
        let beyond = a_call - nothing;
        for (what, share) in [
            ("in its steps", in_steps),
            ("beyond the empty thread", beyond),
        ] {
            figures.add(&group, what, format!("{share:.3} {unit}"));
        }
    } else {
        figures.add(&group, whole, format!("{a_call:.3} % of one"));
    }
    let all = figure("processor-percent")?;
    figures.add(&group, "processor", format!("{all:.1} % of one"));
    let all_in_time = calls <= 200 && codec == "pcmu";
    add_steps(figures, &group, &said, all_in_time)
}

/// What is said of the steps, the packets and the memory in all cases.
fn add_steps(
    figures: &mut Figures,
    group: &str,
    said: &str,
    all_in_time: bool,
) -> Result<(), Fault> {
    let figure = |word: &str| value(said, word);
    let late = figure("late-steps")? + figure("skipped-steps")?;
    if all_in_time {
        figures.add_with_goal(group, "steps 5 ms late", (late, 0.0), "steps");
    } else {
        figures.add(group, "steps 5 ms late", format!("{late:.0} steps"));
    }
    let longest = figure("longest-step-us")? / 1_000.0;
    figures.add(group, "longest step", format!("{longest:.2} ms"));
    let lost = figure("lost")?;
    figures.add(group, "packets lost", format!("{lost:.0}"));
    for thread in ["pump", "callback"] {
        let allocations = figure(&format!("allocations-of-the-{thread}"))?;
        let what = format!("allocations of the {thread}");
        figures.add_with_goal(group, &what, (allocations, 0.0), "");
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
