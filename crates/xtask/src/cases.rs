//! The numbered faults of `tests/data/cases.toml`: each has a test by its number.

use std::collections::BTreeSet;
use std::fs;

use crate::shell::{self, Fault, failed};
use crate::toml;

/// Cases can be added, none can vanish.
const COUNT: usize = 45;

/// Checks that there is a test for each case; `tests` are the names of all test functions.
pub(crate) fn check<'a>(tests: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    let cases = read()?;
    let found: BTreeSet<usize> = tests.filter_map(number_of).collect();
    refuse(&missing(&cases, &found), "no test is called")?;
    let strangers: Vec<usize> = found.difference(&cases).copied().collect();
    refuse(&strangers, "no case has the number of")?;
    println!("cases: all {} have tests by their numbers", cases.len());
    Ok(())
}

/// Checks that a test of each case ran and passed; names as in [`crate::features`].
pub(crate) fn check_against_run(passed: &BTreeSet<String>) -> Result<(), Fault> {
    let names = passed.iter().filter_map(|path| path.rsplit("::").next());
    let found: BTreeSet<usize> = names.filter_map(number_of).collect();
    refuse(&missing(&read()?, &found), "no test ran that is called")
}

fn refuse(cases: &[usize], why: &str) -> Result<(), Fault> {
    if cases.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = cases.iter().map(|case| format!("case_{case}_…")).collect();
    Err(failed(&format!("cases: {why} {}", names.join(", "))))
}

fn missing(cases: &BTreeSet<usize>, found: &BTreeSet<usize>) -> Vec<usize> {
    cases.difference(found).copied().collect()
}

/// The number in `case_7_what_is_checked`.
fn number_of(test: &str) -> Option<usize> {
    let (number, what) = test.strip_prefix("case_")?.split_once('_')?;
    if what.is_empty() {
        return None;
    }
    number.parse().ok()
}

fn read() -> Result<BTreeSet<usize>, Fault> {
    let path = shell::root().join("tests/data/cases.toml");
    let text = fs::read_to_string(&path)
        .map_err(|error| failed(&format!("{}: {error}", path.display())))?;
    parse(&text)
}

fn parse(text: &str) -> Result<BTreeSet<usize>, Fault> {
    let wrong = |what: &str| failed(&format!("tests/data/cases.toml: {what}"));
    let mut cases = BTreeSet::new();
    for line in toml::parse(text).map_err(|fault| wrong(&fault.text))? {
        let number = line.key.parse().map_err(|_| wrong(&line.key))?;
        if line.text("what").is_none_or(str::is_empty) {
            return Err(wrong(&format!("{number} does not say what is checked")));
        }
        if !cases.insert(number) {
            return Err(wrong(&format!("{number} stands there twice")));
        }
    }
    match (1..=COUNT).find(|number| !cases.contains(number)) {
        Some(number) => Err(wrong(&format!("{number} is missing"))),
        None => Ok(cases),
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNT, missing, number_of, parse};

    fn file(change: impl Fn(usize) -> String) -> String {
        (1..=COUNT).map(change).collect()
    }

    fn line(number: usize) -> String {
        format!("{number} = {{ what = \"x\" }}\n")
    }

    #[test]
    fn a_test_is_known_by_its_number() {
        assert_eq!(number_of("case_7_a_thing_is_right"), Some(7));
        for other in ["case_7", "case_7_", "case_x_y", "a_case_7_x"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_case_without_a_test_is_named() {
        let cases = parse(&file(line)).unwrap();
        let found = cases.iter().copied().filter(|case| *case != 31).collect();
        assert_eq!(missing(&cases, &found), [31]);
    }

    #[test]
    fn cases_can_not_vanish_or_say_nothing() {
        let refused = |text: &str| parse(text).unwrap_err().text;
        let gone = file(|number| {
            if number == 9 {
                String::new()
            } else {
                line(number)
            }
        });
        assert!(refused(&gone).contains("9 is missing"));
        assert!(refused(&(file(line) + &line(3))).contains("3 stands there twice"));
        let silent = file(|number| line(number).replace('x', if number == 4 { "" } else { "x" }));
        assert!(refused(&silent).contains("4 does not say"));
    }
}
