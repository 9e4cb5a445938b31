//! Times and figures as people read them.

use std::time::Duration;

use model::Timestamp;

const DAY_S: i64 = 86_400;

/// A moment in local time, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    seconds: i64,
    micros: i64,
}

impl Local {
    pub(crate) fn new(time: Timestamp, utc_offset_s: i32) -> Self {
        Self {
            seconds: time.0.div_euclid(1_000_000) + i64::from(utc_offset_s),
            micros: time.0.rem_euclid(1_000_000),
        }
    }

    /// Days since 1970-01-01, by the local calendar.
    pub(crate) fn day(self) -> i64 {
        self.seconds.div_euclid(DAY_S)
    }

    fn second_of_day(self) -> i64 {
        self.seconds.rem_euclid(DAY_S)
    }

    /// `14:03`.
    pub(crate) fn clock(self) -> String {
        let s = self.second_of_day();
        format!("{:02}:{:02}", s / 3600, s / 60 % 60)
    }

    /// `14:03:27`.
    pub(crate) fn clock_seconds(self) -> String {
        let s = self.second_of_day();
        format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }

    /// `14:03:27.412`.
    pub(crate) fn clock_millis(self) -> String {
        format!("{}.{:03}", self.clock_seconds(), self.micros / 1000)
    }

    /// `2026-11-20`.
    pub(crate) fn date(self) -> String {
        let midnight = Timestamp(self.day() * DAY_S * 1_000_000);
        let mut text = midnight.to_string();
        text.truncate(10);
        text
    }
}

/// A length of talk: `0:07`, `12:40`, `1:02:33`.
pub(crate) fn talk(duration: Duration) -> String {
    let s = duration.as_secs();
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

/// A rough length: `40 s`, `12 min`, `3 h`, `5 d`.
pub(crate) fn rough(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..90 => format!("{s} s"),
        90..5400 => format!("{} min", (s + 30) / 60),
        5400..172_800 => format!("{} h", (s + 1800) / 3600),
        _ => format!("{} d", (s + 43_200) / 86_400),
    }
}

/// A count with its thousands apart: `1 204` with a thin space.
pub(crate) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

/// A figure with one place behind the point, and none from a hundred on.
pub(crate) fn figure(value: f32) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_follows_the_offset_over_midnight() {
        let time = Timestamp::parse("2026-11-20T23:30:05.250000Z").unwrap();
        assert_eq!(Local::new(time, 0).clock_millis(), "23:30:05.250");
        let berlin = Local::new(time, 3600);
        assert_eq!(berlin.clock(), "00:30");
        assert_eq!(berlin.date(), "2026-11-21");
        assert_eq!(berlin.day(), Local::new(time, 0).day() + 1);
        assert_eq!(Local::new(Timestamp(-1), 0).clock_millis(), "23:59:59.999");
    }

    #[test]
    fn lengths_and_counts_read_well() {
        let s = Duration::from_secs;
        assert_eq!(talk(s(7)), "0:07");
        assert_eq!(talk(s(3753)), "1:02:33");
        assert_eq!(rough(s(40)), "40 s");
        assert_eq!(rough(s(720)), "12 min");
        assert_eq!(rough(s(3 * 3600)), "3 h");
        assert_eq!(rough(s(5 * 86_400)), "5 d");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_204_000), "1\u{2009}204\u{2009}000");
        assert_eq!(figure(0.25), "0.2");
        assert_eq!(figure(123.4), "123");
    }
}
