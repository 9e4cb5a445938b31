//! What the test harness says: which tests passed, which did not, and in which words.

use std::collections::BTreeSet;

use crate::shell::{Fault, failed};

/// How much of a failed test's last words is repeated at the end: who reads only the end of a log of thousands of lines
/// should know why.
const LINES: usize = 12;
const LINE: usize = 240;

/// Counts what the executables print.
#[derive(Default)]
pub(crate) struct Tally {
    passed: BTreeSet<String>,
    failed: Vec<String>,
    ignored: Vec<String>,
    words: Vec<String>,
    /// Within the last words of a failed test: how many lines of them may still come.
    left: usize,
}

impl Tally {
    /// Reads one line of the test harness, `test path::name ... ok`, or of a failed test's words.
    pub(crate) fn note(&mut self, executable: &str, line: &str) {
        if let Some((path, outcome)) = line
            .strip_prefix("test ")
            .and_then(|l| l.split_once(" ... "))
        {
            let path = path.strip_suffix(" - should panic").unwrap_or(path);
            let name = format!("{executable}::{path}");
            if outcome == "ok" {
                self.passed.insert(name);
            } else if outcome.starts_with("FAILED") {
                self.failed.push(name);
            } else if outcome.starts_with("ignored") {
                self.ignored.push(name);
            }
        } else if line.starts_with("thread '") && line.contains(" panicked at ") {
            self.left = LINES;
            self.keep(line);
        } else if line.starts_with("stack backtrace:") || line.starts_with("note: ") {
            self.left = 0;
        } else {
            self.keep(line);
        }
    }

    fn keep(&mut self, line: &str) {
        if self.left > 0 {
            self.left -= 1;
            self.words.push(line.chars().take(LINE).collect());
        }
    }

    /// How many have failed so far.
    pub(crate) fn failures(&self) -> usize {
        self.failed.len()
    }

    /// An executable failed that has not said which test.
    pub(crate) fn broke(&mut self, executable: &str, fault: &Fault) {
        self.failed.push(format!("{executable} ({fault})"));
    }

    /// The sum. Adds those that passed to `passed`; without a test, or with one that failed or is switched off (it shows
    /// nothing), this is a failure.
    pub(crate) fn finish(self, passed: &mut BTreeSet<String>) -> Result<String, Fault> {
        let count = self.passed.len();
        passed.extend(self.passed);
        let mut bad = self.failed;
        bad.extend(self.ignored.iter().map(|name| format!("{name} (ignored)")));
        if !bad.is_empty() {
            let lines: Vec<_> = bad.iter().chain(&self.words).cloned().collect();
            return Err(failed(&format!(
                "{} of {} tests failed:\n  {}",
                bad.len(),
                count + bad.len(),
                lines.join("\n  ")
            )));
        }
        if count == 0 {
            return Err(failed("no test ran"));
        }
        Ok(format!("{count} tests"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.note("sdp", line));
        tally
    }

    #[test]
    fn the_lines_of_the_harness_are_counted() {
        let tally = read(&[
            "running 4 tests",
            "test a::works ... ok",
            "test a::panics - should panic ... ok",
            "test a::breaks ... FAILED",
            "test a::rests ... ignored, no reason",
            "test result: FAILED. 2 passed; 1 failed",
        ]);
        assert!(tally.passed.contains("sdp::a::panics"));
        let mut passed = BTreeSet::new();
        let fault = tally.finish(&mut passed).unwrap_err();
        assert_eq!(passed.len(), 2);
        assert!(fault.text.starts_with("2 of 4 tests failed"), "{fault}");
        assert!(fault.text.contains("sdp::a::rests (ignored)"), "{fault}");
    }

    #[test]
    fn what_a_failed_test_said_is_repeated_and_its_stack_is_not() {
        let tally = read(&[
            "test a::breaks ... FAILED",
            "---- a::breaks stdout ----",
            "much that it printed before",
            "",
            "thread 'a::breaks' (7) panicked at crates/sdp/a.rs:9:5:",
            "three is not four",
            "stack backtrace:",
            "   0: somewhere",
        ]);
        let fault = tally.finish(&mut BTreeSet::new()).unwrap_err();
        let said = "a.rs:9:5:\n  three is not four";
        assert!(fault.text.ends_with(said), "{fault}");
        assert!(!fault.text.contains("before"), "{fault}");
    }

    #[test]
    fn long_last_words_are_cut() {
        let mut lines = vec!["thread 'a' (7) panicked at a.rs:1:1:"];
        let long = "x".repeat(1_000);
        lines.extend(std::iter::repeat_n(long.as_str(), 1_000));
        let words = read(&lines).words;
        assert_eq!(words.len(), LINES);
        assert!(words.iter().all(|line| line.len() <= LINE));
    }

    #[test]
    fn an_empty_run_is_a_failure() {
        assert!(Tally::default().finish(&mut BTreeSet::new()).is_err());
    }
}
