//! Digits in INFO: `application/dtmf-relay`, as gateways speak it, and the bare `application/dtmf`.

use std::time::{Duration, Instant};

use super::{Call, WrongState};

/// The type in which digits are sent.
const RELAY: &str = "application/dtmf-relay";
/// No digit lasts longer, whatever its sender says.
const LONGEST: Duration = Duration::from_secs(10);

/// A digit of an INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoDigit {
    /// `0` to `9`, `*`, `#`, `A` to `D`, or `!` for a flash of the hook.
    pub digit: char,
    /// How long it was held down, where that was said.
    pub duration: Option<Duration>,
}

impl InfoDigit {
    /// The digit in the body of an INFO; `None` where there is none that can be read, or another type of body.
    #[must_use]
    pub fn parse(content_type: &str, body: &[u8]) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        let text = std::str::from_utf8(body).ok()?;
        let value = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let relay = kind.eq_ignore_ascii_case(RELAY);
        if !relay && !kind.eq_ignore_ascii_case("application/dtmf") {
            return None;
        }
        // The bare type has nothing but the digit; some write it as in the other one.
        let signal = match value("Signal") {
            Some(signal) => signal,
            None if relay => return None,
            None => text.trim(),
        };
        let duration = value("Duration").and_then(|duration| duration.parse().ok());
        Some(Self {
            digit: digit(signal)?,
            duration: duration.map(|ms| Duration::from_millis(ms).min(LONGEST)),
        })
    }

    fn body(self) -> String {
        let signal = self.digit;
        let duration = self.duration.unwrap_or(Duration::from_millis(160));
        format!("Signal={signal}\r\nDuration={}\r\n", duration.as_millis())
    }
}

impl Call {
    /// Sends a digit by INFO, as `application/dtmf-relay`.
    ///
    /// # Errors
    /// [`WrongState::Phase`] where there is no dialog, [`WrongState::Choice`] for what is no digit.
    pub fn send_digit(&mut self, now: Instant, wanted: InfoDigit) -> Result<(), WrongState> {
        let digit = digit(wanted.digit.encode_utf8(&mut [0; 4])).ok_or(WrongState::Choice)?;
        let body = InfoDigit { digit, ..wanted }.body();
        self.info(now, RELAY, body.into_bytes())
    }
}

/// A digit as it is written, or by its number among the events of RFC 4733.
fn digit(signal: &str) -> Option<char> {
    let mut letters = signal.chars();
    let digit = match (letters.next()?.to_ascii_uppercase(), letters.next()) {
        (one, None) => one,
        _ => match signal {
            "10" => '*',
            "11" => '#',
            "12" => 'A',
            "13" => 'B',
            "14" => 'C',
            "15" => 'D',
            "16" => '!',
            _ => return None,
        },
    };
    (digit.is_ascii_digit() || "*#ABCD!".contains(digit)).then_some(digit)
}
