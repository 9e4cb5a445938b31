//! Date and Timestamp (RFC 3261 §20.17, §20.38).

use std::fmt;

use crate::error::Fault;
use crate::scan::Scan;
use crate::value::Value;

/// A date of RFC 1123, always in GMT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Four digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60, leap second included.
    pub second: u8,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl Date {
    /// The name of the day, by Zeller's congruence counted from Monday.
    fn weekday(&self) -> &'static str {
        let (year, month) = if self.month < 3 {
            (u32::from(self.year) + 399, u32::from(self.month) + 12)
        } else {
            (u32::from(self.year) + 400, u32::from(self.month))
        };
        let days =
            u32::from(self.day) + 13 * (month + 1) / 5 + year + year / 4 + year / 400 - year / 100;
        DAYS.get((days as usize + 5) % 7)
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = MONTHS
            .get(usize::from(self.month).wrapping_sub(1))
            .copied()
            .unwrap_or_default();
        write!(
            f,
            "{}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT",
            self.weekday(),
            self.day,
            self.year,
            self.hour,
            self.minute,
            self.second
        )
    }
}

impl<'a> Value<'a> for Date {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let weekday = scan.take_while(|byte| byte.is_ascii_alphabetic());
        if !DAYS
            .iter()
            .any(|day| day.as_bytes().eq_ignore_ascii_case(weekday))
            || !scan.separator(b',')
        {
            return Err(Fault::Date);
        }
        let day = digits(scan, 1, 31)?;
        scan.lws();
        let name = scan.take_while(|byte| byte.is_ascii_alphabetic());
        let month = MONTHS
            .iter()
            .position(|month| month.as_bytes().eq_ignore_ascii_case(name));
        let month = month.ok_or(Fault::Date)?;
        scan.lws();
        let year = digits(scan, 1000, 9999)?;
        scan.lws();
        let hour = digits(scan, 0, 23)?;
        let minute = scan
            .eat(b':')
            .then(|| digits(scan, 0, 59))
            .ok_or(Fault::Date)??;
        let second = scan
            .eat(b':')
            .then(|| digits(scan, 0, 60))
            .ok_or(Fault::Date)??;
        scan.lws();
        // Any other zone is not allowed, however right it may be (RFC 4475 §3.1.2.12).
        if scan.take_while(|byte| byte.is_ascii_graphic()) != b"GMT" {
            return Err(Fault::Date);
        }
        let small = |number: u16| u8::try_from(number).map_err(|_| Fault::Date);
        Ok(Self {
            year,
            month: u8::try_from(month + 1).map_err(|_| Fault::Date)?,
            day: small(day)?,
            hour: small(hour)?,
            minute: small(minute)?,
            second: small(second)?,
        })
    }
}

fn digits(scan: &mut Scan<'_>, lowest: u16, highest: u16) -> Result<u16, Fault> {
    let number = scan
        .number()
        .ok()
        .and_then(|number| u16::try_from(number).ok());
    number
        .filter(|number| (lowest..=highest).contains(number))
        .ok_or(Fault::Date)
}

/// Timestamp: when the request was sent, in the sender's own time, with the delay of the answer.
/// Kept as the digits that were sent, since they have to come back as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds, perhaps with a fraction.
    pub sent: String,
    /// Seconds that the answering side took, perhaps with a fraction.
    pub delay: Option<String>,
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sent)?;
        self.delay
            .as_ref()
            .map_or(Ok(()), |delay| write!(f, " {delay}"))
    }
}

impl<'a> Value<'a> for Timestamp {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let sent = decimal(scan)?.ok_or(Fault::Number)?;
        scan.lws();
        Ok(Self {
            sent,
            delay: decimal(scan)?,
        })
    }
}

/// `*(DIGIT) [ "." *(DIGIT) ]`.
fn decimal(scan: &mut Scan<'_>) -> Result<Option<String>, Fault> {
    let start = scan.at();
    scan.take_while(|byte| byte.is_ascii_digit());
    if scan.eat(b'.') {
        scan.take_while(|byte| byte.is_ascii_digit());
    }
    match crate::scan::ascii(scan.since(start)) {
        "" => Ok(None),
        "." => Err(Fault::Number),
        number => Ok(Some(number.to_owned())),
    }
}
