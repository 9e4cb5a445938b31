//! Waiting messages: `application/simple-message-summary` (RFC 3842 §5.2).

use privacy::Identity;

use std::fmt::Write;

use crate::BodyError;

/// The Content-Type.
pub const CONTENT_TYPE: &str = "application/simple-message-summary";
/// The package.
pub const PACKAGE: &str = "message-summary";

/// What waits for somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageSummary {
    /// Whether anything waits; the lamp.
    pub waiting: bool,
    /// The account that it waits in, often the number to call for listening.
    pub account: Option<Identity>,
    /// Counts by class, in the order told.
    pub counts: Vec<(MessageClass, Counts)>,
}

/// A kind of message (RFC 3458).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageClass {
    /// Spoken.
    Voice,
    /// Faxed.
    Fax,
    /// Paged.
    Pager,
    /// Several media.
    Multimedia,
    /// Written.
    Text,
    /// None of these.
    None,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// Not heard yet.
    pub new: u32,
    /// Heard.
    pub old: u32,
    /// Of the new ones, urgent.
    pub new_urgent: u32,
    /// Of the old ones, urgent.
    pub old_urgent: u32,
}

/// A larger body is not read.
const LARGEST: usize = 64 * 1024;
/// Lines looked at.
const MOST_LINES: usize = 64;
const CLASSES: [(MessageClass, &str); 6] = [
    (MessageClass::Voice, "voice-message"),
    (MessageClass::Fax, "fax-message"),
    (MessageClass::Pager, "pager-message"),
    (MessageClass::Multimedia, "multimedia-message"),
    (MessageClass::Text, "text-message"),
    (MessageClass::None, "none"),
];

impl MessageSummary {
    /// Reads a summary. A line that cannot be read is passed over; only the status line has to be
    /// there.
    ///
    /// # Errors
    ///
    /// [`BodyError`] says what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        if body.len() > LARGEST {
            return Err(BodyError::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| BodyError::NotUtf8)?;
        let mut summary = Self::default();
        let mut told = false;
        for line in text.lines().take(MOST_LINES) {
            // What follows an empty line is about single messages.
            if line.trim().is_empty() && told {
                break;
            }
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "messages-waiting" => {
                    summary.waiting = value.eq_ignore_ascii_case("yes");
                    told = true;
                }
                "message-account" => summary.account = Some(value.into()),
                _ => {
                    let class = CLASSES.iter().find(|(_, known)| *known == name);
                    if let (Some((class, _)), Some(counts)) = (class, Counts::parse(value)) {
                        summary.counts.retain(|(other, _)| other != class);
                        summary.counts.push((*class, counts));
                    }
                }
            }
        }
        if told {
            Ok(summary)
        } else {
            Err(BodyError::Missing("Messages-Waiting"))
        }
    }

    /// The body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!(
            "Messages-Waiting: {}\r\n",
            if self.waiting { "yes" } else { "no" }
        );
        if let Some(account) = &self.account {
            let account: String = account
                .reveal()
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            let _ = write!(text, "Message-Account: {account}\r\n");
        }
        for (class, counts) in &self.counts {
            let name = match class {
                MessageClass::Voice => "Voice-Message",
                MessageClass::Fax => "Fax-Message",
                MessageClass::Pager => "Pager-Message",
                MessageClass::Multimedia => "Multimedia-Message",
                MessageClass::Text => "Text-Message",
                MessageClass::None => "None",
            };
            let Counts {
                new,
                old,
                new_urgent,
                old_urgent,
            } = counts;
            let _ = write!(text, "{name}: {new}/{old} ({new_urgent}/{old_urgent})\r\n");
        }
        text.into_bytes()
    }

    /// The counts of a class.
    pub fn of(&self, class: MessageClass) -> Option<Counts> {
        self.counts
            .iter()
            .find(|(other, _)| *other == class)
            .map(|(_, counts)| *counts)
    }

    /// How many spoken messages are new.
    pub fn new_voice(&self) -> Option<u32> {
        self.of(MessageClass::Voice).map(|counts| counts.new)
    }
}

impl Counts {
    /// `new/old`, with ` (new urgent/old urgent)` behind it or not.
    fn parse(text: &str) -> Option<Self> {
        let pair = |text: &str| -> Option<(u32, u32)> {
            let (new, old) = text.split_once('/')?;
            Some((new.trim().parse().ok()?, old.trim().parse().ok()?))
        };
        let (all, urgent) = match text.split_once('(') {
            Some((all, urgent)) => (all, urgent.trim_end().strip_suffix(')').and_then(pair)),
            None => (text, None),
        };
        let (new, old) = pair(all)?;
        let (new_urgent, old_urgent) = urgent.unwrap_or_default();
        Some(Self {
            new,
            old,
            new_urgent,
            old_urgent,
        })
    }
}
