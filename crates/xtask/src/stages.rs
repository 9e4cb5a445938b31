//! Named, timed steps and the table at their end.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::shell::{Fault, failed};

/// What came of each step so far.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    done: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    took: Duration,
    /// A note when it went well, the fault when not.
    outcome: Result<String, String>,
}

impl Stages {
    /// Runs one step, whatever became of those before it. Says whether it went well.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<String, Fault>,
    ) -> bool {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = step().map_err(|fault| fault.text);
        if let Err(text) = &outcome {
            println!("FAILED {name}: {text}");
        }
        let went_well = outcome.is_ok();
        self.done.push(Stage {
            name,
            took: start.elapsed(),
            outcome,
        });
        went_well
    }

    /// Notes a step that could not even start.
    pub(crate) fn not_run(&mut self, name: &'static str, why: &str) {
        self.done.push(Stage {
            name,
            took: Duration::ZERO,
            outcome: Err(format!("not run: {why}")),
        });
    }

    /// Prints the table; an error when any step failed.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        if self.done.is_empty() {
            return Err(failed("no stage ran"));
        }
        print!("\n{}", self.table());
        let bad: Vec<&str> = self
            .done
            .iter()
            .filter(|stage| stage.outcome.is_err())
            .map(|stage| stage.name)
            .collect();
        if bad.is_empty() {
            println!("PASSED");
            Ok(())
        } else {
            println!("FAILED");
            Err(failed(&format!("failed: {}", bad.join(", "))))
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let mut total = Duration::ZERO;
        for stage in &self.done {
            total += stage.took;
            let (word, note) = match &stage.outcome {
                Ok(note) => ("ok", note.as_str()),
                Err(fault) => ("FAILED", fault.as_str()),
            };
            let mut lines = note.lines();
            let note = lines.next().unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<10} {word:<7} {:>7.1} s  {note}",
                stage.name,
                stage.took.as_secs_f64()
            );
            // What failed is named here too: this is what is read first, and at times all that is kept.
            for line in lines {
                let _ = writeln!(text, "{:>29}{line}", "");
            }
        }
        let _ = writeln!(text, "{:<18} {:>7.1} s", "all", total.as_secs_f64());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Stages;
    use crate::shell::failed;

    #[test]
    fn nothing_that_ran_is_nothing_that_passed() {
        assert!(Stages::default().finish().is_err());
    }

    #[test]
    fn one_failed_step_fails_the_whole_and_does_not_stop_the_rest() {
        let mut stages = Stages::default();
        assert!(!stages.run("first", || Err(failed("no kamailio\nmore words"))));
        assert!(stages.run("second", || Ok("3 tests".to_owned())));
        let table = stages.table();
        assert!(table.contains("first      FAILED"), "{table}");
        assert!(table.contains("no kamailio\n"), "{table}");
        assert!(table.contains(" more words\n"), "{table}");
        assert!(table.contains("3 tests"), "{table}");
        assert!(stages.finish().unwrap_err().text.ends_with("failed: first"));
    }

    #[test]
    fn a_step_that_could_not_start_counts_as_failed() {
        let mut stages = Stages::default();
        stages.not_run("unit", "the build failed");
        assert!(stages.finish().is_err());
    }
}
