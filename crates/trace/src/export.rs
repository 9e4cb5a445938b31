//! Handing a trace out: as text for people, as JSON lines for programs.
//!
//! Masked by default, and searched once more before it leaves.

use model::{TraceBody, TraceRecord};
use serde_json::json;

use crate::phase;
use crate::redact::{RedactOptions, Redactor};

/// Something that should have been masked is still there: nothing is handed out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} identities or secrets would have been exported unmasked; nothing was written")]
pub struct Leak {
    /// How many.
    pub count: usize,
}

/// The records as text, oldest first: a line about each, its text, an empty line.
///
/// # Errors
/// [`Leak`] when the search of the result finds what should be masked.
pub fn text(records: &[TraceRecord], options: &RedactOptions) -> Result<String, Leak> {
    let mut redactor = Redactor::new(records, options.clone());
    let mut out = String::new();
    for (record, phase) in records.iter().zip(phase::phases(records)) {
        let record = checked(redactor.record(record), &redactor)?;
        let account = record.account.as_ref().map_or("-", |id| id.as_str());
        match &record.body {
            TraceBody::Sip {
                sent,
                transport,
                local,
                peer,
                bytes,
            } => {
                let arrow = if *sent { "->" } else { "<-" };
                let transport = transport.as_str();
                let phase = phase.map_or(String::new(), |phase| format!(" {}", phase.as_str()));
                out.push_str(&format!(
                    "{} {account} {transport} {local} {arrow} {peer}{phase}\n",
                    record.time
                ));
                out.push_str(&String::from_utf8_lossy(bytes).replace("\r\n", "\n"));
            }
            TraceBody::Note { topic, text, .. } => {
                let text = text.reveal();
                out.push_str(&format!("{} {account} {topic}: {text}\n", record.time));
            }
        }
        out.push_str(if out.ends_with('\n') { "\n" } else { "\n\n" });
    }
    Ok(out)
}

/// The records as JSON, one object on each line, oldest first.
///
/// # Errors
/// [`Leak`] when the search of the result finds what should be masked.
pub fn json(records: &[TraceRecord], options: &RedactOptions) -> Result<String, Leak> {
    let mut redactor = Redactor::new(records, options.clone());
    let mut out = String::new();
    for record in records {
        let record = checked(redactor.record(record), &redactor)?;
        let mut object = match &record.body {
            TraceBody::Sip {
                sent,
                transport,
                local,
                peer,
                bytes,
            } => json!({
                "kind": "sip",
                "direction": if *sent { "sent" } else { "received" },
                "transport": transport,
                "local": local,
                "peer": peer,
                "text": String::from_utf8_lossy(bytes),
            }),
            TraceBody::Note {
                topic,
                text,
                sip_call_id,
            } => json!({
                "kind": "note",
                "topic": topic,
                "text": text,
                "call_id": sip_call_id,
            }),
        };
        if let Some(fields) = object.as_object_mut() {
            fields.insert("id".to_owned(), json!(record.id));
            fields.insert("time".to_owned(), json!(record.time));
            fields.insert("account".to_owned(), json!(record.account));
            fields.insert("call".to_owned(), json!(record.call));
        }
        out.push_str(&object.to_string());
        out.push('\n');
    }
    Ok(out)
}

/// Searches all that a record brings into the export. Times, numbers and the words of the format are
/// ours and are not searched: a user may be called `00000` or `direction`.
pub(crate) fn checked(record: TraceRecord, redactor: &Redactor) -> Result<TraceRecord, Leak> {
    let account = record.account.as_ref().map_or("", |id| id.as_str());
    let leaks = |texts: &[&str]| texts.iter().map(|text| redactor.leaks(text).len()).sum();
    let count: usize = match &record.body {
        TraceBody::Sip {
            local, peer, bytes, ..
        } => leaks(&[account, local, peer, &String::from_utf8_lossy(bytes)]),
        TraceBody::Note {
            topic,
            text,
            sip_call_id,
        } => leaks(&[
            account,
            topic,
            text.reveal(),
            sip_call_id.as_deref().unwrap_or(""),
        ]),
    };
    match count {
        0 => Ok(record),
        count => Err(Leak { count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{message, note, sip};

    fn records() -> Vec<TraceRecord> {
        let invite = message("INVITE sip:600@example.com SIP/2.0", "INVITE", 1);
        vec![
            sip(1, 0, true, &invite),
            note(2, 5, "media", "Sound flows."),
        ]
    }

    #[test]
    fn text_has_a_line_about_each_record_and_then_the_record() {
        let text = text(&records(), &RedactOptions::default()).unwrap();
        let mut lines = text.lines();
        assert_eq!(
            lines.next().unwrap(),
            "1970-01-01T00:00:00.000000Z desk udp 127.0.0.1:5070 -> 192.0.2.1:5060 calling"
        );
        assert_eq!(lines.next().unwrap(), "INVITE sip:***@example.com SIP/2.0");
        assert!(text.ends_with("1970-01-01T00:00:00.005000Z desk media: Sound flows.\n\n"));
    }

    #[test]
    fn json_is_one_object_on_each_line() {
        let text = json(&records(), &RedactOptions::default()).unwrap();
        let objects: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0]["direction"], "sent");
        assert_eq!(objects[1]["call_id"], "call-1@host");
        assert!(!text.contains("Liddell\""));
    }

    #[test]
    fn a_user_with_an_odd_name_keeps_nobody_from_exporting() {
        for user in [
            "00000",
            "direction",
            "received",
            "media",
            "withheld",
            "1970-01",
            "text/plain",
        ] {
            let invite = message("INVITE sip:600@example.com SIP/2.0", "INVITE", 1)
                .replace("sip:alice@", &format!("sip:{user}@"));
            let records = [
                sip(1, 0, true, &invite),
                note(2, 5, "media", "Sound flows."),
            ];
            assert!(text(&records, &RedactOptions::default()).is_ok(), "{user}");
            assert!(json(&records, &RedactOptions::default()).is_ok(), "{user}");
        }
    }

    #[test]
    fn asked_for_in_so_many_words_everything_is_there() {
        let raw = text(&records(), &RedactOptions::none()).unwrap();
        assert!(raw.contains("\"Alice Liddell\" <sip:alice@example.com>"));
    }
}
