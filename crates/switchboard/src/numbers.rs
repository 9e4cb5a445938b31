//! The test numbers.

use sip_message::StatusCode;

/// What a test number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Sends back what it hears.
    Echo,
    /// Sends the milliwatt tone: 1004 Hz at 0 dBm0.
    Tone,
    /// Rings and is never answered.
    RingForEver,
    /// Answers with this status.
    Status(StatusCode),
}

/// All test numbers with a name: what to dial, another way to dial it, and what it does.
pub const NUMBERS: [(&str, &str, &str); 5] = [
    ("echo", "600", "sends back what it hears"),
    ("tone", "601", "a 1004 Hz tone at 0 dBm0"),
    ("ring", "602", "rings and is never answered"),
    ("busy", "486", "is busy"),
    ("decline", "603", "declines"),
];

impl Number {
    /// The test number that a dialled user part means: a name, its digits (also those that other
    /// exchanges use, 9196 to 9198), or any other status of failure (`404`, `503`, `606` …).
    pub fn dialled(user: &str) -> Option<Self> {
        match user {
            "echo" | "600" | "9196" => Some(Self::Echo),
            "tone" | "601" | "9197" => Some(Self::Tone),
            "ring" | "602" | "9198" => Some(Self::RingForEver),
            "busy" => Some(Self::Status(StatusCode::BUSY_HERE)),
            "decline" => Some(Self::Status(StatusCode::DECLINE)),
            digits if digits.len() == 3 => {
                let code = digits
                    .parse()
                    .ok()
                    .filter(|code| (400..700).contains(code))?;
                StatusCode::new(code).map(Self::Status)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dialled_by_name_or_digits() {
        for (digits, elsewhere, number) in [
            ("600", "9196", Number::Echo),
            ("601", "9197", Number::Tone),
            ("602", "9198", Number::RingForEver),
        ] {
            assert_eq!(Number::dialled(digits), Some(number));
            assert_eq!(Number::dialled(elsewhere), Some(number));
        }
        assert_eq!(Number::dialled("busy"), Number::dialled("486"));
        assert_eq!(
            Number::dialled("699"),
            StatusCode::new(699).map(Number::Status)
        );
        for other in ["399", "700", "0404", "+40", "alice", ""] {
            assert_eq!(Number::dialled(other), None, "{other}");
        }
        for (name, digits, _) in NUMBERS {
            assert_eq!(Number::dialled(name), Number::dialled(digits), "{name}");
        }
    }
}
