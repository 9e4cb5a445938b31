//! What was measured, as a table, and the goals among it.

use crate::shell::{Fault, failed};

/// Rows of a table, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
}

struct Row {
    group: String,
    what: String,
    value: String,
    /// The goal in words, and whether it was reached.
    goal: Option<(String, bool)>,
}

impl Figures {
    /// A figure with its unit.
    pub(crate) fn add(&mut self, group: &str, what: &str, value: String) {
        self.rows.push(Row {
            group: group.to_owned(),
            what: what.to_owned(),
            value,
            goal: None,
        });
    }

    /// A figure that is to be at most so much.
    pub(crate) fn add_with_goal(
        &mut self,
        group: &str,
        what: &str,
        (figure, most): (f64, f64),
        unit: &str,
    ) {
        self.add(group, what, format!("{figure:.2} {unit}"));
        if let Some(row) = self.rows.last_mut() {
            row.goal = Some((format!("at most {most:.2} {unit}"), figure <= most));
        }
    }

    /// Prints the table; a group is named in its first row.
    pub(crate) fn print(&self) {
        let mut group = "";
        for row in &self.rows {
            let name = if group == row.group { "" } else { &row.group };
            group = &row.group;
            println!("{}", line(name, row));
        }
    }

    /// Whether all goals were reached.
    pub(crate) fn judge(&self) -> Result<(), Fault> {
        let missed: Vec<String> = self
            .rows
            .iter()
            .filter(|row| row.goal.as_ref().is_some_and(|(_, reached)| !reached))
            .map(|row| format!("{}, {}: {}", row.group, row.what, row.value))
            .collect();
        if missed.is_empty() {
            return Ok(());
        }
        Err(failed(&format!("goals missed: {}", missed.join("; "))))
    }
}

fn line(group: &str, row: &Row) -> String {
    let goal = match &row.goal {
        None => String::new(),
        Some((words, true)) => format!("  {words}: reached"),
        Some((words, false)) => format!("  {words}: MISSED"),
    };
    format!("{group:<26} {:<26} {:>16}{goal}", row.what, row.value)
}

/// The number behind a word at the start of a line of what a program said.
pub(crate) fn value(said: &str, word: &str) -> Result<f64, Fault> {
    said.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == word)
        .and_then(|(_, number)| number.trim().parse().ok())
        .ok_or_else(|| failed(&format!("what was measured says nothing of {word}")))
}

#[cfg(test)]
mod tests {
    use super::{Figures, value};

    #[test]
    fn figures_are_read_by_their_words() {
        let said = "caller-microseconds 83.64\ncaller-bytes 11081\n";
        assert_eq!(value(said, "caller-bytes").unwrap(), 11_081.0);
        assert_eq!(value(said, "caller-microseconds").unwrap(), 83.64);
        assert!(value(said, "callee-bytes").is_err());
    }

    #[test]
    fn a_missed_goal_is_a_failure_that_names_it() {
        let mut figures = Figures::default();
        figures.add("a call", "memory", "9 kB".to_owned());
        figures.add_with_goal("a call", "processor", (0.8, 1.0), "of the other");
        assert!(figures.judge().is_ok());
        figures.add_with_goal("a window", "first frame", (412.0, 300.0), "ms");
        let fault = figures.judge().unwrap_err();
        assert_eq!(fault.text, "goals missed: a window, first frame: 412.00 ms");
        assert_eq!(fault.exit, 1);
    }
}
