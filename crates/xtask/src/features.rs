//! `cargo xtask features`: every promised feature, what state it is in, and the tests that show it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::shell::{self, Fault, failed, misuse};
use crate::{cases, toml};

/// The promises: a prefix and how many there are. A row can change its state, never vanish.
const PROMISED: &[(&str, &str, usize)] = &[
    ("Signalling", "S", 8),
    ("Media", "M", 8),
    ("Accounts, tenants, people", "A", 9),
    ("Trace and diagnosis", "T", 10),
    ("Desk and desktop", "D", 7),
    ("sipx", "000-", 52),
    ("sipx", "000+", 27),
    ("aiosipua", "001-", 30),
    ("aiosipua", "001+", 26),
    ("telefonia_movil", "002-", 29),
    ("telefonia_movil", "002+", 10),
    ("VoIP", "003-", 52),
    ("VoIP", "003+", 16),
    ("pyVoIP", "004-", 27),
    ("pyVoIP", "004+", 18),
];

const BEGIN: &str = "<!-- features: written by `cargo xtask features --write` -->";
const END: &str = "<!-- /features -->";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Works,
    Part,
    NotYet,
}

/// One promised feature.
struct Row {
    group: &'static str,
    id: String,
    state: State,
    tests: Vec<String>,
}

/// `cargo xtask features [--write]`.
pub(crate) fn features(args: &[String]) -> Result<(), Fault> {
    let write = match args {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => return Err(misuse("features takes --write or nothing")),
    };
    let rows = read()?;
    let sources = Sources::read()?;
    let mut faults = Vec::new();
    for row in &rows {
        for test in &row.tests {
            if !sources.has(test) {
                faults.push(format!("{}: there is no test {test}", row.id));
            }
        }
    }
    if !faults.is_empty() {
        return Err(failed(&format!("features:\n  {}", faults.join("\n  "))));
    }
    cases::check(sources.tests.iter().map(|(_, name)| name.as_str()))?;
    let table = table(&rows);
    print!("{table}");
    refresh_readme(&table, write)
}

/// Checks that every test that a row names was run and passed. `passed` has the names of
/// [`crate::suite`]: `package::path` for unit tests, `package::target::path` for others.
pub(crate) fn check_against_run(passed: &BTreeSet<String>) -> Result<(), Fault> {
    let mut faults = Vec::new();
    let mut named = 0;
    for row in read()? {
        for test in row.tests {
            named += 1;
            if !passed.contains(&test) {
                faults.push(format!("{}: {test} did not run or did not pass", row.id));
            }
        }
    }
    cases::check_against_run(passed)?;
    if faults.is_empty() {
        println!("features: all {named} named tests ran and passed");
        Ok(())
    } else {
        Err(failed(&format!("features:\n  {}", faults.join("\n  "))))
    }
}

fn read() -> Result<Vec<Row>, Fault> {
    let path = shell::root().join("tests/data/features.toml");
    parse(&fs::read_to_string(&path).map_err(|e| failed(&format!("{}: {e}", path.display())))?)
}

fn parse(text: &str) -> Result<Vec<Row>, Fault> {
    let lines =
        toml::parse(text).map_err(|fault| failed(&format!("tests/data/features.toml, {fault}")))?;
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for line in &lines {
        match row(line) {
            Ok(row) if seen.insert(row.id.clone()) => rows.push(row),
            Ok(row) => faults.push(format!("{} stands there twice", row.id)),
            Err(why) => faults.push(format!("line {}: {}: {why}", line.number, line.key)),
        }
    }
    for (group, prefix, count) in PROMISED {
        for number in 1..=*count {
            let id = id(prefix, number);
            if !seen.contains(&id) {
                faults.push(format!("{id} ({group}) is missing"));
            }
        }
    }
    if faults.is_empty() {
        Ok(rows)
    } else {
        Err(failed(&format!(
            "tests/data/features.toml:\n  {}",
            faults.join("\n  ")
        )))
    }
}

fn row(line: &toml::Line) -> Result<Row, &'static str> {
    let group = PROMISED
        .iter()
        .find(|(_, prefix, count)| (1..=*count).any(|number| id(prefix, number) == line.key))
        .map(|(group, ..)| *group)
        .ok_or("no such promise")?;
    let state = match line.text("state") {
        Some("works") => State::Works,
        Some("part") => State::Part,
        Some("not-yet") => State::NotYet,
        _ => return Err("state is works, part or not-yet"),
    };
    let tests = line.list("tests").ok_or("tests are missing")?;
    if line.text("what").is_none_or(str::is_empty) {
        return Err("what is missing");
    }
    match (state, tests.is_empty()) {
        (State::Works | State::Part, true) => Err("a row that works names the test that shows it"),
        (State::NotYet, false) => Err("a row with tests is more than not-yet"),
        _ => Ok(Row {
            group,
            id: line.key.clone(),
            state,
            tests: tests.to_vec(),
        }),
    }
}

/// `S1` for the product's own numbers, `000-01` for the others.
fn id(prefix: &str, number: usize) -> String {
    if prefix.len() == 1 {
        format!("{prefix}{number}")
    } else {
        format!("{prefix}{number:02}")
    }
}

fn table(rows: &[Row]) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for (group, ..) in PROMISED {
        if !groups.contains(group) {
            groups.push(group);
        }
    }
    let mut text = String::from("| | works | in part | not yet |\n| --- | --: | --: | --: |\n");
    let count = |group: Option<&str>, state| {
        rows.iter()
            .filter(|row| group.is_none_or(|group| group == row.group) && row.state == state)
            .count()
    };
    for group in groups.into_iter().map(Some).chain([None]) {
        let name = group.unwrap_or("**all**");
        let (works, part, not_yet) = (
            count(group, State::Works),
            count(group, State::Part),
            count(group, State::NotYet),
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {works} | {part} | {not_yet} |");
    }
    text
}

fn refresh_readme(table: &str, write: bool) -> Result<(), Fault> {
    let path = shell::root().join("README.md");
    let readme = fs::read_to_string(&path)?;
    let Some((head, rest)) = readme.split_once(BEGIN) else {
        return Err(failed("README.md has no place for the table of features"));
    };
    let Some((_, tail)) = rest.split_once(END) else {
        return Err(failed("README.md: the table of features has no end"));
    };
    let fresh = format!("{head}{BEGIN}\n{table}{END}{tail}");
    if fresh == readme {
        return Ok(());
    }
    if write {
        fs::write(&path, fresh)?;
        println!("features: README.md is refreshed");
        return Ok(());
    }
    Err(failed(
        "README.md shows an old table of features; run `cargo xtask features --write`",
    ))
}

/// All test functions, as far as can be seen without compiling: package and function name.
struct Sources {
    tests: BTreeSet<(String, String)>,
}

impl Sources {
    fn read() -> Result<Self, Fault> {
        let root = shell::root();
        let mut tests = BTreeSet::new();
        let mut folders = vec![("tests".to_owned(), root.join("tests/it"))];
        for entry in fs::read_dir(root.join("crates"))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            folders.push((name, entry.path()));
        }
        for (package, folder) in folders {
            for file in shell::files_below(&folder, "rs") {
                collect(&package, &file, &mut tests)?;
            }
        }
        Ok(Self { tests })
    }

    fn has(&self, test: &str) -> bool {
        let (Some((package, _)), Some((_, name))) = (test.split_once("::"), test.rsplit_once("::"))
        else {
            return false;
        };
        self.tests.contains(&(package.to_owned(), name.to_owned()))
    }
}

fn collect(
    package: &str,
    file: &Path,
    tests: &mut BTreeSet<(String, String)>,
) -> Result<(), Fault> {
    let source = fs::read_to_string(file)?;
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            tests.insert((package.to_owned(), rest[..end].to_owned()));
            is_test = false;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PROMISED, id, parse, table};

    fn complete(change: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for (_, prefix, count) in PROMISED {
            for number in 1..=*count {
                text.push_str(&change(&id(prefix, number)));
            }
        }
        text
    }

    fn untouched(id: &str) -> String {
        format!("\"{id}\" = {{ what = \"x\", state = \"not-yet\", tests = [] }}\n")
    }

    #[test]
    fn a_complete_file_is_counted_by_group() {
        let text = complete(|id| match id {
            "S1" => "S1 = { what = \"x\", state = \"works\", tests = [\"a::b\"] }\n".to_owned(),
            _ => untouched(id),
        });
        let table = table(&parse(&text).unwrap());
        assert!(table.contains("| Signalling | 1 | 0 | 7 |"), "{table}");
        assert!(table.contains("| sipx | 0 | 0 | 79 |"), "{table}");
        assert!(table.contains("| **all** | 1 | 0 | 328 |"), "{table}");
    }

    #[test]
    fn rows_can_not_vanish_repeat_or_boast() {
        let refused =
            |change: &dyn Fn(&str) -> String| parse(&complete(change)).err().unwrap().text;
        let gone = refused(&|id| {
            if id == "T4" {
                String::new()
            } else {
                untouched(id)
            }
        });
        assert!(gone.contains("T4 (Trace and diagnosis) is missing"));
        let twice = refused(&|id| untouched(id).repeat(if id == "D7" { 2 } else { 1 }));
        assert!(twice.contains("D7 stands there twice"));
        let boast = refused(&|id| {
            let line = untouched(id);
            if id == "M1" {
                line.replace("not-yet", "works")
            } else {
                line
            }
        });
        assert!(boast.contains("M1: a row that works names the test"));
        let unknown = refused(&|id| {
            if id == "S8" {
                untouched("S8") + &untouched("S9")
            } else {
                untouched(id)
            }
        });
        assert!(unknown.contains("S9: no such promise"));
    }
}
