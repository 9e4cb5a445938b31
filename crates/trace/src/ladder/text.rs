//! A ladder on a terminal.
//!
//! ```text
//!                  127.0.0.1:5070         127.0.0.1:5060
//! 10:00:00.000           │─ INVITE (SDP) ───────▶│
//! 10:00:00.002           │◀───────── 100 Trying ─│
//! ```

use std::time::Duration;

use model::Timestamp;

use super::{Arrow, Ladder, Mark, Row};

/// How to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Only ASCII characters in what we draw.
    pub ascii: bool,
    /// What stands on the left.
    pub times: Times,
    /// Characters between two lifelines, 16 to 60.
    pub column_width: usize,
}

/// What stands on the left of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Times {
    /// Time of day, UTC.
    Absolute,
    /// Since the row above.
    SincePrevious,
    /// Since the first row.
    SinceFirst,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            ascii: false,
            times: Times::Absolute,
            column_width: 36,
        }
    }
}

/// Prints a ladder, one line for each row, each line ended.
///
/// Characters that a terminal would obey are replaced: a peer's reason phrase moves no cursor.
pub fn render(ladder: &Ladder, options: &TextOptions) -> String {
    let pen = Pen::new(ladder, options);
    let mut out = String::new();
    pen.heading(&mut out);
    for row in &ladder.rows {
        pen.row(&mut out, row);
    }
    out
}

struct Pen<'a> {
    ladder: &'a Ladder,
    times: Times,
    width: usize,
    /// Where the first lifeline stands.
    left: usize,
    glyphs: &'static Glyphs,
}

struct Glyphs {
    life: char,
    line: char,
    right: char,
    left: char,
    gap: char,
    dot: char,
    times: char,
}

const LINES: Glyphs = Glyphs {
    life: '│',
    line: '─',
    right: '▶',
    left: '◀',
    gap: '┊',
    dot: '•',
    times: '×',
};

const ASCII: Glyphs = Glyphs {
    life: '|',
    line: '-',
    right: '>',
    left: '<',
    gap: ':',
    dot: '*',
    times: 'x',
};

impl<'a> Pen<'a> {
    fn new(ladder: &'a Ladder, options: &TextOptions) -> Self {
        let address = |at: usize| {
            let column = ladder.columns.get(at);
            column.map_or(0, |column| column.address.chars().count())
        };
        let widest = (0..ladder.columns.len()).map(address).max().unwrap_or(0);
        let width = options.column_width.clamp(16, 60).max(widest.min(58) + 2);
        Self {
            ladder,
            times: options.times,
            width,
            left: TIME + 1 + (address(0).min(width) / 2),
            glyphs: if options.ascii { &ASCII } else { &LINES },
        }
    }

    fn heading(&self, out: &mut String) {
        let mut line = String::new();
        let mut drawn = 0;
        for (at, column) in self.ladder.columns.iter().enumerate() {
            let address = cut(&clean(&column.address), self.width - 1);
            let length = address.chars().count();
            let start = self.lifeline(at).saturating_sub(length / 2);
            let start = start.max(drawn + usize::from(at > 0));
            line.extend(std::iter::repeat_n(' ', start - drawn));
            line.push_str(&address);
            drawn = start + length;
        }
        push_line(out, &line);
    }

    fn row(&self, out: &mut String, row: &Row) {
        match &row.what {
            Mark::Arrow(arrow) => self.arrow(out, row, arrow),
            Mark::Note { topic, text } => {
                let mut line = self.time(row);
                line.push_str(&format!(
                    " {} {}: {}",
                    self.glyphs.dot,
                    clean(topic),
                    clean(text)
                ));
                push_line(out, &line);
            }
            Mark::Gap { length } => {
                let mut cells = self.cells(self.glyphs.gap);
                let words = format!(" {} ", duration(*length));
                write_over(&mut cells, self.left + 1, &words);
                push_line(out, &cells.iter().collect::<String>());
            }
        }
    }

    fn arrow(&self, out: &mut String, row: &Row, arrow: &Arrow) {
        let glyphs = self.glyphs;
        let mut cells = self.cells(glyphs.life);
        write_over(&mut cells, 0, &self.time(row));
        let (from, to) = (self.lifeline(arrow.from), self.lifeline(arrow.to));
        let label = self.label(arrow);
        if from == to {
            let words = format!("{}{} {label}", glyphs.left, glyphs.line);
            extend_to(&mut cells, from + 1 + words.chars().count());
            write_over(&mut cells, from + 1, &words);
        } else {
            let (low, high) = (from.min(to), from.max(to));
            for cell in cells.iter_mut().take(high).skip(low + 1) {
                *cell = glyphs.line;
            }
            let room = (high - low).saturating_sub(5);
            let label = format!(" {} ", cut(&label, room));
            let length = label.chars().count();
            // The words stand where the message comes from, the head where it goes.
            let (head, at, words_at) = if from < to {
                (glyphs.right, high - 1, low + 2)
            } else {
                (glyphs.left, low + 1, (high - 1).saturating_sub(length))
            };
            write_over(&mut cells, words_at, &label);
            write_over(&mut cells, at, &head.to_string());
        }
        push_line(out, &cells.iter().collect::<String>());
    }

    fn label(&self, arrow: &Arrow) -> String {
        let mut label = clean(&arrow.label);
        match (arrow.has_sdp, arrow.authenticated.is_some()) {
            (true, true) => label.push_str(" (SDP, authenticated)"),
            (true, false) => label.push_str(" (SDP)"),
            (false, true) => label.push_str(" (authenticated)"),
            (false, false) => {}
        }
        if arrow.times_seen > 1 {
            label.push_str(&format!(" {}{}", self.glyphs.times, arrow.times_seen));
        }
        label
    }

    fn time(&self, row: &Row) -> String {
        let text = match self.times {
            Times::Absolute => time_of_day(row.time),
            Times::SincePrevious => format!("+{}", seconds(row.since_previous)),
            Times::SinceFirst => seconds(row.since_first),
        };
        format!("{text:>TIME$}")
    }

    /// A line with all lifelines and nothing else.
    fn cells(&self, life: char) -> Vec<char> {
        let last = self.lifeline(self.ladder.columns.len().saturating_sub(1));
        let mut cells = vec![' '; last + 1];
        for column in 0..self.ladder.columns.len() {
            write_over(&mut cells, self.lifeline(column), &life.to_string());
        }
        cells
    }

    fn lifeline(&self, column: usize) -> usize {
        self.left + column * self.width
    }
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

fn extend_to(cells: &mut Vec<char>, length: usize) {
    if cells.len() < length {
        cells.resize(length, ' ');
    }
}

fn write_over(cells: &mut [char], at: usize, text: &str) {
    for (cell, c) in cells.iter_mut().skip(at).zip(text.chars()) {
        *cell = c;
    }
}

/// `12:34:56.789`, out of the RFC 3339 form.
fn time_of_day(time: Timestamp) -> String {
    let text = time.to_string();
    let clock = text
        .split_once('T')
        .map_or(text.as_str(), |(_, clock)| clock);
    clock.chars().take(12).collect()
}

fn seconds(length: Duration) -> String {
    format!("{:.3}", length.as_secs_f64())
}

fn duration(length: Duration) -> String {
    let whole = length.as_secs();
    match whole {
        0..60 => format!("{:.1} s", length.as_secs_f64()),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// At most so many characters, with an ellipsis for what is gone.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if is_unprintable(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Controls, and the marks that turn the direction of text around.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const TIME: usize = 12;
