//! What a tenant's sockets dropped, refused and left aside.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What went by at a tenant's sockets without reaching anybody, since its transport was started.
///
/// Keepalives are in none of the counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// No SIP at all, or too broken to answer.
    pub garbage: u64,
    /// Larger than a message may be.
    pub oversized: u64,
    /// Dropped unread because their source, or all strangers together, sent more than they may.
    pub limited: u64,
    /// Dropped unread because what had come before was not handled yet.
    pub no_room: u64,
    /// Requests that belong to nothing here.
    pub strangers: u64,
    /// Those of them that got no answer, since their source had its share of answers.
    pub unanswered: u64,
    /// Responses that answer nothing here.
    pub stray_responses: u64,
    /// Requests that came a second time by another way (RFC 3261 §8.2.2.2).
    pub merged: u64,
    /// New requests that were answered with 503 because as many as may be were remembered.
    pub overloaded: u64,
    /// Messages of ours that the system had no room to send.
    pub crowded_out: u64,
    /// Connections of peers that were closed at once, or to make room.
    pub turned_away: u64,
    /// Messages that went over the wire and that the flight recorder left out.
    pub unrecorded: u64,
    /// The sources that were limited most, the worst first; a handful at most.
    pub sources: Vec<LimitedSource>,
}

/// A source that sent more than it may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitedSource {
    /// Its address; of IPv6 the network.
    pub address: String,
    /// Messages of it that were dropped unread.
    pub dropped: u64,
    /// When the last of them came.
    pub last: Timestamp,
}

impl Traffic {
    /// Whether nothing went by.
    pub fn is_quiet(&self) -> bool {
        self.parts().all(|(_, count)| count == 0)
    }

    /// The counts that are not zero, with the words for them.
    pub fn worth_telling(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.parts().filter(|(_, count)| *count > 0)
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("no SIP, or too broken to answer", self.garbage),
            ("too large", self.oversized),
            ("beyond what a source may send", self.limited),
            ("dropped for want of room", self.no_room),
            ("requests that belong to nothing here", self.strangers),
            ("of them without an answer", self.unanswered),
            ("responses that answer nothing here", self.stray_responses),
            ("requests that came twice", self.merged),
            ("new requests refused for want of room", self.overloaded),
            ("not sent for want of room", self.crowded_out),
            ("connections turned away", self.turned_away),
            ("left out of the record", self.unrecorded),
        ]
        .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_told() {
        let mut traffic = Traffic::default();
        assert!(traffic.is_quiet());
        traffic.limited = 7;
        let told: Vec<_> = traffic.worth_telling().collect();
        assert_eq!(told, [("beyond what a source may send", 7)]);
        assert!(!traffic.is_quiet());
    }
}
