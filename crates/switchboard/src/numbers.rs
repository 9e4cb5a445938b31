//! The test numbers.
//!
//! Those that answer speak Opus, G.722 (RFC 3551 §4.5.2: `G722/8000`, type 9), PCMU and PCMA, the first of these that the
//! caller has. Their media is encrypted where the offer has a key for it: SRTP (RFC 3711, RFC 6188, RFC 7714) with keys by
//! SDES (RFC 4568), in `RTP/SAVP`, or in `RTP/AVP` with `a=crypto`. Keys by a DTLS handshake (RFC 5763) are not done: an
//! offer of nothing else is refused with 488, and its Warning says so; one in `RTP/AVP` with `a=fingerprint` is taken in the
//! clear, as RFC 8643 has it.

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
    /// Plays a little music over and over.
    Music,
    /// Sends the tone before it answers (183), and answers after five seconds.
    EarlyMedia,
    /// Plays each digit that it hears, by RFC 4733 or INFO.
    Digits,
    /// Leaves the caller a message, so that the lamp goes on.
    LeaveMessage,
    /// The caller has heard all messages.
    ClearMessages,
    /// Says nothing at all, not even that it has heard.
    Silent,
    /// Answers and sends no media.
    NoMedia,
    /// Sends, and hears nothing.
    Deaf,
    /// Sends the tone for three seconds, then nothing.
    MediaStops,
    /// Answers with a codec that was not offered.
    NoCommonCodec,
    /// Answers with something that is no session description.
    BadDescription,
    /// Answers, and hangs up after three seconds.
    Drops,
    /// The same, and says why (RFC 3326).
    DropsWithReason,
    /// Answers, and knows nothing of the call afterwards: 481.
    Forgets,
    /// Takes no ACK: its 200 comes again and again (RFC 3261 §13.3.1.4).
    NoAck,
    /// Rings, and answers with 200 when the caller gives up (RFC 3261 §9.1).
    AnswersLate,
    /// Is busy for a while: 503 with Retry-After.
    Overloaded,
    /// Has moved to the echo (302).
    Moved,
    /// Has moved to itself (302).
    MovedInCircles,
    /// Has moved to a closed port.
    MovedToNobody,
    /// Has moved to a name that does not exist.
    MovedToNoName,
    /// Has moved to an address that no machine has (192.0.2.1, RFC 5737), by TCP.
    MovedToNowhere,
    /// Has moved to a port of ours that speaks no TLS, by TLS.
    MovedToNoTls,
    /// Has moved to a port of ours that speaks no WebSocket, by WebSocket.
    MovedToNoWebSocket,
    /// Has moved to where the connection is closed as soon as a request came by it.
    MovedToClosing,
    /// Closes the connection that the request came by.
    Closes,
    /// Asks for a password in the oldest way that there is.
    WeakLogin,
    /// Answers with this status.
    Status(StatusCode),
}

/// All test numbers with a name: what to dial, another way to dial it, and what it does. Any other
/// status of failure is dialled by its three digits.
pub const NUMBERS: [(&str, &str, &str); 34] = [
    ("echo", "600", "sends back what it hears"),
    ("tone", "601", "a 1004 Hz tone at 0 dBm0"),
    ("ring", "602", "rings and is never answered"),
    ("busy", "486", "is busy"),
    ("decline", "603", "declines"),
    ("music", "7001", "a little music, over and over"),
    (
        "early",
        "7002",
        "a tone before it answers, which it does after 5 s",
    ),
    (
        "digits",
        "7003",
        "plays back the digits that it hears (RFC 4733, INFO)",
    ),
    ("leave", "7004", "leaves you a message: the lamp goes on"),
    (
        "clear",
        "7005",
        "your messages are heard: the lamp goes off",
    ),
    ("silent", "7010", "says nothing at all, not even 100"),
    ("no-media", "7011", "answers and sends no sound"),
    ("deaf", "7012", "sends a tone and hears nothing"),
    ("media-stops", "7013", "sends a tone for 3 s, then nothing"),
    (
        "no-codec",
        "7014",
        "answers with a codec that nobody offered",
    ),
    (
        "bad-sdp",
        "7015",
        "answers with something that is no description of media",
    ),
    ("drop", "7016", "answers and hangs up after 3 s"),
    (
        "drop-reason",
        "7017",
        "the same, and says why: Q.850 cause 41",
    ),
    (
        "forgets",
        "7018",
        "answers, and then knows nothing of the call: 481",
    ),
    (
        "no-ack",
        "7019",
        "takes no ACK: its 200 comes again for 32 s",
    ),
    ("late", "7020", "rings, and answers when you give up"),
    ("overload", "7021", "503 with Retry-After"),
    ("moved", "7022", "302 to the echo"),
    ("circle", "7023", "302 to itself"),
    ("refused", "7024", "302 to a port where nobody listens"),
    ("no-name", "7025", "302 to a name that does not exist"),
    (
        "nowhere",
        "7026",
        "302 to an address that no machine has, by TCP",
    ),
    ("no-tls", "7027", "302 by TLS to a port that speaks none"),
    (
        "no-websocket",
        "7028",
        "302 by WebSocket to a port that speaks none",
    ),
    (
        "hangs-up",
        "7029",
        "302 to where the connection is closed when it is used, by TCP",
    ),
    (
        "weak-login",
        "7030",
        "asks for a password by MD5 and without qop, whoever you are",
    ),
    ("login", "401", "asks for a password for ever"),
    (
        "extension",
        "420",
        "wants less than the call asks for: 420, Unsupported",
    ),
    ("interval", "422", "wants a longer session: 422, Min-SE"),
];

/// Where [`Number::MovedToClosing`] leads.
pub(crate) const CLOSES: &str = "hangs-up-now";

impl Number {
    /// The test number that a dialled user part means: a name, its digits (also those that other
    /// exchanges use, 9196 to 9198), or any other status of failure (`404`, `503`, `606` …).
    pub fn dialled(user: &str) -> Option<Self> {
        Some(match user {
            "echo" | "600" | "9196" => Self::Echo,
            "tone" | "601" | "9197" => Self::Tone,
            "ring" | "602" | "9198" => Self::RingForEver,
            "busy" => Self::Status(StatusCode::BUSY_HERE),
            "decline" => Self::Status(StatusCode::DECLINE),
            "music" | "7001" => Self::Music,
            "early" | "7002" => Self::EarlyMedia,
            "digits" | "7003" => Self::Digits,
            "leave" | "7004" => Self::LeaveMessage,
            "clear" | "7005" => Self::ClearMessages,
            "silent" | "7010" => Self::Silent,
            "no-media" | "7011" => Self::NoMedia,
            "deaf" | "7012" => Self::Deaf,
            "media-stops" | "7013" => Self::MediaStops,
            "no-codec" | "7014" => Self::NoCommonCodec,
            "bad-sdp" | "7015" => Self::BadDescription,
            "drop" | "7016" => Self::Drops,
            "drop-reason" | "7017" => Self::DropsWithReason,
            "forgets" | "7018" => Self::Forgets,
            "no-ack" | "7019" => Self::NoAck,
            "late" | "7020" => Self::AnswersLate,
            "overload" | "7021" => Self::Overloaded,
            "moved" | "7022" => Self::Moved,
            "circle" | "7023" => Self::MovedInCircles,
            "refused" | "7024" => Self::MovedToNobody,
            "no-name" | "7025" => Self::MovedToNoName,
            "nowhere" | "7026" => Self::MovedToNowhere,
            "no-tls" | "7027" => Self::MovedToNoTls,
            "no-websocket" | "7028" => Self::MovedToNoWebSocket,
            "hangs-up" | "7029" => Self::MovedToClosing,
            "weak-login" | "7030" => Self::WeakLogin,
            CLOSES => Self::Closes,
            "login" => Self::Status(StatusCode::UNAUTHORIZED),
            "extension" => Self::Status(StatusCode::BAD_EXTENSION),
            "interval" => Self::Status(StatusCode::SESSION_INTERVAL_TOO_SMALL),
            digits if digits.len() == 3 => {
                let code = digits
                    .parse()
                    .ok()
                    .filter(|code| (400..700).contains(code))?;
                Self::Status(StatusCode::new(code)?)
            }
            _ => return None,
        })
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
        for other in ["399", "700", "0404", "+40", "alice", "7000", ""] {
            assert_eq!(Number::dialled(other), None, "{other}");
        }
        for (name, digits, _) in NUMBERS {
            assert!(Number::dialled(name).is_some(), "{name}");
            assert_eq!(Number::dialled(name), Number::dialled(digits), "{name}");
        }
    }
}
