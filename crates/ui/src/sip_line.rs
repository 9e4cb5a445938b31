//! A trace record in the words of a list.

use model::{TraceBody, TraceRecord};

/// What a list shows of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SipLine {
    /// `INVITE`, `200 OK`, or the topic of a note.
    pub(crate) what: String,
    /// Method of the request, or of the request that a response answers.
    pub(crate) method: String,
    /// Status of a response.
    pub(crate) code: Option<u16>,
    /// Who the From header names.
    pub(crate) from: String,
    /// Who the To header names.
    pub(crate) to: String,
    /// Call-ID.
    pub(crate) call_id: String,
    /// Whether it carries a session description.
    pub(crate) sdp: bool,
    /// A note's sentence.
    pub(crate) note: Option<String>,
}

impl SipLine {
    /// Reads what a list needs, and only the head of the message.
    pub(crate) fn of(record: &TraceRecord) -> Self {
        match &record.body {
            TraceBody::Sip { bytes, .. } => Self::message(bytes),
            TraceBody::Note {
                topic,
                text,
                sip_call_id,
            } => Self {
                what: topic.clone(),
                note: Some(text.clone()),
                call_id: sip_call_id.clone().unwrap_or_default(),
                ..Self::default()
            },
        }
    }

    fn message(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let mut line = Self::default();
        let start = lines.next().unwrap_or("");
        match start.strip_prefix("SIP/2.0 ") {
            Some(status) => {
                let (code, phrase) = status.split_once(' ').unwrap_or((status, ""));
                line.code = code.parse().ok();
                line.what = format!("{code} {phrase}").trim_end().to_owned();
            }
            None => {
                line.method = start.split(' ').next().unwrap_or("").to_owned();
                line.what.clone_from(&line.method);
            }
        }
        for header in lines.take_while(|l| !l.is_empty()) {
            let Some((name, value)) = header.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "from" | "f" => line.from = who(value),
                "to" | "t" => line.to = who(value),
                "call-id" | "i" => value.clone_into(&mut line.call_id),
                "content-type" | "c" => line.sdp = value.starts_with("application/sdp"),
                "cseq" if line.code.is_some() => {
                    line.method = value.rsplit(' ').next().unwrap_or("").to_owned();
                }
                _ => {}
            }
        }
        line
    }

    /// Whether it is one of those that go round all day: OPTIONS, and REGISTER unless it fails.
    pub(crate) fn is_noise(&self) -> bool {
        match self.method.as_str() {
            "OPTIONS" => true,
            "REGISTER" => self
                .code
                .is_none_or(|code| code < 400 || matches!(code, 401 | 407 | 423)),
            _ => false,
        }
    }
}

/// The address of a From or To header without brackets, scheme and parameters.
fn who(value: &str) -> String {
    let uri = match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => value.split(';').next().unwrap_or(value),
    };
    let uri = uri.split(';').next().unwrap_or(uri);
    uri.strip_prefix("sip:").unwrap_or(uri).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_is_and_between_whom() {
        let line = SipLine::message(
            b"SIP/2.0 404 Not Found\r\nf: \"A\" <sip:alice@a.example;x=1>;tag=1\r\nTo: sip:bob@b.example;tag=2\r\n\
              i: abc@host\r\nCSeq: 7 INVITE\r\n\r\nTo: body",
        );
        assert_eq!(line.what, "404 Not Found");
        assert_eq!((line.code, line.method.as_str()), (Some(404), "INVITE"));
        assert_eq!(
            (line.from.as_str(), line.to.as_str()),
            ("alice@a.example", "bob@b.example")
        );
        assert_eq!(line.call_id, "abc@host");
    }

    #[test]
    fn what_is_not_sip_is_shown_as_it_is() {
        for bytes in [&b""[..], b"\r\n\r\n", b"\xff\xfe", b"SIP/2.0", b"SIP/2.0 x"] {
            let line = SipLine::message(bytes);
            assert_eq!(line.code, None);
        }
    }

    #[test]
    fn a_failing_registration_is_no_noise() {
        let of = |text: &str| SipLine::message(text.as_bytes()).is_noise();
        assert!(of("OPTIONS sip:a SIP/2.0\r\n\r\n"));
        assert!(of("REGISTER sip:a SIP/2.0\r\n\r\n"));
        assert!(of("SIP/2.0 401 Unauthorized\r\nCSeq: 1 REGISTER\r\n\r\n"));
        assert!(!of("SIP/2.0 403 Forbidden\r\nCSeq: 1 REGISTER\r\n\r\n"));
        assert!(!of("SIP/2.0 401 Unauthorized\r\nCSeq: 1 INVITE\r\n\r\n"));
    }
}
