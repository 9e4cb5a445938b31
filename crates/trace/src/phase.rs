//! The phases of transactions (RFC 3261 §17, RFC 6026 §7), read from what was recorded of them.
//!
//! ```text
//! INVITE, ours:    calling ─1xx→ proceeding ─2xx→ accepted, ─3xx…6xx→ completed
//! INVITE, theirs:  proceeding ─2xx→ accepted, ─3xx…6xx→ completed ─ACK→ confirmed
//! others:          trying ─1xx→ proceeding ─2xx…6xx→ completed
//! ```
//!
//! From there each ends by a timer of its own, which nobody sees on the wire: what comes 64·T1 after the
//! final answer meets a transaction that is terminated.

use std::collections::HashMap;

use model::{TraceBody, TraceRecord};
use sip_message::{Message, Method};

/// 64·T1, after which nothing is left of a transaction, in microseconds.
const LIFE_US: i64 = 32_000_000;

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// An INVITE of ours has no answer yet.
    Calling,
    /// Another request has no answer yet.
    Trying,
    /// There is a provisional answer, or an INVITE came and waits for ours.
    Proceeding,
    /// An INVITE has its 2xx (RFC 6026).
    Accepted,
    /// There is a final answer.
    Completed,
    /// The refusal of an INVITE that came has its ACK.
    Confirmed,
    /// It is long over.
    Terminated,
}

impl Phase {
    /// Its word in the RFC, in small letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Trying => "trying",
            Self::Proceeding => "proceeding",
            Self::Accepted => "accepted",
            Self::Completed => "completed",
            Self::Confirmed => "confirmed",
            Self::Terminated => "terminated",
        }
    }
}

/// What tells transactions apart: whose request, its branch, and the method, an ACK belonging to its INVITE.
type Key = (bool, String, Method);

/// The phase of each record's transaction after it. `None` for notes, for what cannot be read, and for what
/// belongs to no transaction: the ACK of a 2xx, and answers whose request was not recorded.
pub fn phases(records: &[TraceRecord]) -> Vec<Option<Phase>> {
    let mut known: HashMap<Key, (Phase, i64)> = HashMap::new();
    records
        .iter()
        .map(|record| follow(&mut known, record))
        .collect()
}

fn follow(known: &mut HashMap<Key, (Phase, i64)>, record: &TraceRecord) -> Option<Phase> {
    let TraceBody::Sip { sent, bytes, .. } = &record.body else {
        return None;
    };
    let message = Message::parse(bytes).ok()?;
    let branch = message.headers().via_top().ok()?.branch()?.to_owned();
    let (ours, method) = match &message {
        Message::Request(request) => (*sent, request.method.clone()),
        Message::Response(response) => (!*sent, response.headers.cseq().ok()?.method),
    };
    let is_ack = method == Method::Ack;
    let of = if is_ack { Method::Invite } else { method };
    let is_invite = of == Method::Invite;
    let key = (ours, branch, of);
    let before = known.get(&key).copied();
    let now = record.time.0;
    let over = |since: i64| now.saturating_sub(since) > LIFE_US;
    let next = match (&message, before) {
        (_, Some((Phase::Accepted | Phase::Completed | Phase::Confirmed, since)))
            if over(since) =>
        {
            Phase::Terminated
        }
        // RFC 3261 §17.2.1: the ACK of a refusal has the branch of its INVITE.
        (Message::Request(_), Some((Phase::Completed, _))) if is_ack && !ours => Phase::Confirmed,
        (Message::Request(_), Some((phase, _))) => phase,
        (Message::Request(_), None) if is_ack => return None,
        (Message::Request(_), None) => match (is_invite, ours) {
            (true, true) => Phase::Calling,
            (true, false) => Phase::Proceeding,
            (false, _) => Phase::Trying,
        },
        (Message::Response(_), None) => return None,
        (Message::Response(response), Some((phase, _))) => match (phase, response.status.code()) {
            (Phase::Calling | Phase::Trying, 100..=199) => Phase::Proceeding,
            (Phase::Calling | Phase::Trying | Phase::Proceeding, 200..=299) if is_invite => {
                Phase::Accepted
            }
            (Phase::Calling | Phase::Trying | Phase::Proceeding, 200..) => Phase::Completed,
            (phase, _) => phase,
        },
    };
    if before.is_none_or(|(phase, _)| phase != next) {
        known.insert(key, (next, now));
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{TenantId, Timestamp, Transport};

    fn record(at_ms: i64, sent: bool, line: &str, method: &str, branch: &str) -> TraceRecord {
        let text = format!(
            "{line}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{branch}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
             Call-ID: x\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        TraceRecord {
            id: 1,
            time: Timestamp(at_ms * 1000),
            tenant: TenantId::new("t"),
            account: None,
            call: None,
            body: TraceBody::Sip {
                sent,
                transport: Transport::Udp,
                local: "192.0.2.1:5060".to_owned(),
                peer: "192.0.2.2:5060".to_owned(),
                bytes: text.into_bytes().into(),
            },
        }
    }

    /// Follows one transaction: whether we sent it, its line, and the phase after it; a second apart.
    fn check(method: &str, story: &[(bool, &str, Option<Phase>)]) {
        let line = |line: &str| match line.parse::<u16>() {
            Ok(code) => (format!("SIP/2.0 {code} x"), method.to_owned()),
            Err(_) => (format!("{line} sip:c@d SIP/2.0"), line.to_owned()),
        };
        let records: Vec<_> = (0_i64..)
            .zip(story)
            .map(|(at, (sent, text, _))| {
                let (line, method) = line(text);
                record(at * 1000, *sent, &line, &method, "one")
            })
            .collect();
        let expected: Vec<_> = story.iter().map(|(.., phase)| *phase).collect();
        assert_eq!(phases(&records), expected, "{story:?}");
    }

    #[test]
    fn each_kind_of_transaction_goes_through_its_phases() {
        use Phase::{Accepted, Calling, Completed, Confirmed, Proceeding, Trying};
        // RFC 3261 figure 5 with RFC 6026 §7.2.
        check(
            "INVITE",
            &[
                (true, "INVITE", Some(Calling)),
                (true, "INVITE", Some(Calling)),
                (false, "100", Some(Proceeding)),
                (false, "180", Some(Proceeding)),
                (false, "200", Some(Accepted)),
                (false, "200", Some(Accepted)),
            ],
        );
        check(
            "INVITE",
            &[
                (true, "INVITE", Some(Calling)),
                (false, "486", Some(Completed)),
                (true, "ACK", Some(Completed)),
            ],
        );
        // Figure 6.
        check(
            "OPTIONS",
            &[
                (true, "OPTIONS", Some(Trying)),
                (false, "100", Some(Proceeding)),
                (false, "200", Some(Completed)),
            ],
        );
        // Figure 7.
        check(
            "INVITE",
            &[
                (false, "INVITE", Some(Proceeding)),
                (true, "180", Some(Proceeding)),
                (true, "486", Some(Completed)),
                (false, "ACK", Some(Confirmed)),
            ],
        );
        // Figure 8.
        check(
            "BYE",
            &[(false, "BYE", Some(Trying)), (true, "200", Some(Completed))],
        );
        // What stands alone belongs to none.
        check("INVITE", &[(true, "ACK", None)]);
        check("INVITE", &[(false, "200", None)]);
    }

    #[test]
    fn transactions_are_told_apart_and_what_comes_too_late_meets_none() {
        let records = [
            record(0, true, "OPTIONS sip:c@d SIP/2.0", "OPTIONS", "one"),
            record(1, true, "OPTIONS sip:c@d SIP/2.0", "OPTIONS", "two"),
            record(2, false, "SIP/2.0 200 OK", "OPTIONS", "one"),
            // The same branch, but a request of theirs.
            record(3, false, "OPTIONS sip:a@b SIP/2.0", "OPTIONS", "one"),
            record(40_000, false, "SIP/2.0 200 OK", "OPTIONS", "one"),
        ];
        let words: Vec<_> = phases(&records)
            .into_iter()
            .map(|phase| phase.map_or("none", Phase::as_str))
            .collect();
        assert_eq!(
            words,
            ["trying", "trying", "completed", "trying", "terminated"]
        );
    }
}
