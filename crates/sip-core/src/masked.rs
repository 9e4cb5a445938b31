//! What this crate's types show of themselves to `Debug`: what happened, and not to whom.
//!
//! URIs and messages mask themselves (`sip_message`), and so do the texts of people and peers (`privacy`). Here stand the
//! types that hold octets: digits and other bodies, messages on their way. Each is counted.

use std::fmt::{Debug, Formatter, Result};

use crate::auth::server::Verdict;
use crate::call::{CallEvent, CallerInfo};
use crate::client::{Answered, ContactTemplate};
use crate::events::SubscriptionConfig;
use crate::registration::RegistrationConfig;
use crate::transaction::{ClientOutput, ServerOutput};

/// Somebody's text: how long it is.
struct Text<'a>(&'a str);

impl Debug for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} characters", self.0.chars().count())
    }
}

/// A body: how large it is.
struct Octets<'a>(&'a [u8]);

impl Debug for Octets<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Debug for CallEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Trying => f.write_str("Trying"),
            Self::Progress { status, dialog, .. } => f
                .debug_struct("Progress")
                .field("status", status)
                .field("dialog", dialog)
                .finish_non_exhaustive(),
            Self::Offer { body } => f.debug_tuple("Offer").field(&Octets(body)).finish(),
            Self::OfferWanted => f.write_str("OfferWanted"),
            Self::Answer { body, early } => f
                .debug_struct("Answer")
                .field("body", &Octets(body))
                .field("early", early)
                .finish(),
            Self::Established => f.write_str("Established"),
            Self::OfferedAgain { status } => f.debug_tuple("OfferedAgain").field(status).finish(),
            Self::ReofferFailed { status } => f.debug_tuple("ReofferFailed").field(status).finish(),
            Self::OfferUnanswered => f.write_str("OfferUnanswered"),
            // Digits are a card number as often as not.
            Self::Info {
                package,
                content_type,
                body,
            } => f
                .debug_struct("Info")
                .field("package", package)
                .field("content_type", content_type)
                .field("body", &Octets(body))
                .finish(),
            Self::Refer { id, progress } => f
                .debug_struct("Refer")
                .field("id", id)
                .field("progress", progress)
                .finish(),
            Self::ReferRequested(request) => {
                f.debug_tuple("ReferRequested").field(request).finish()
            }
            Self::Redirected { contacts } => f.debug_tuple("Redirected").field(contacts).finish(),
            Self::LoginWanted(wanted) => f.debug_tuple("LoginWanted").field(wanted).finish(),
            Self::LoginSettled { realm } => f.debug_tuple("LoginSettled").field(realm).finish(),
            Self::Ended(reason) => f.debug_tuple("Ended").field(reason).finish(),
            Self::Tried(tried) => f.debug_tuple("Tried").field(tried).finish(),
            Self::Notice(sentence) => f.debug_tuple("Notice").field(sentence).finish(),
        }
    }
}

impl Debug for ClientOutput {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Send(bytes) => f.debug_tuple("Send").field(&Octets(bytes)).finish(),
            Self::Deliver(response) => f.debug_tuple("Deliver").field(response).finish(),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::TransportFailed(error) => f.debug_tuple("TransportFailed").field(error).finish(),
            Self::Terminated => f.write_str("Terminated"),
        }
    }
}

impl Debug for ServerOutput {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Send(bytes) => f.debug_tuple("Send").field(&Octets(bytes)).finish(),
            Self::Ack(request) => f.debug_tuple("Ack").field(request).finish(),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::TransportFailed(error) => f.debug_tuple("TransportFailed").field(error).finish(),
            Self::Terminated => f.write_str("Terminated"),
        }
    }
}

impl Debug for CallerInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CallerInfo")
            .field("from", &self.from)
            .field("asserted", &self.asserted)
            .field("privacy", &self.privacy)
            .field("forwarded", &(self.history.len() + self.diversions.len()))
            .field("subject", &self.subject.as_deref().map(Text))
            .finish_non_exhaustive()
    }
}

impl Debug for RegistrationConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RegistrationConfig")
            .field("registrar", &self.registrar)
            .field("aor", &self.aor)
            .field("route", &self.route)
            .field("transport", &self.transport)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Debug for SubscriptionConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("SubscriptionConfig")
            .field("target", &self.target)
            .field("event", &self.event.package)
            .field("route", &self.route)
            .field("transport", &self.transport)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Debug for ContactTemplate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ContactTemplate")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl Debug for Answered {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Answered")
            .field("response", &self.response)
            .field("inbound", &self.inbound)
            .field("path", &self.path)
            .field("round_trip", &self.round_trip)
            .finish_non_exhaustive()
    }
}

impl Debug for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Accepted { .. } => "Accepted",
            Self::Missing => "Missing",
            Self::Stale => "Stale",
            Self::Wrong { .. } => "Wrong",
            Self::Malformed => "Malformed",
        })
    }
}

#[cfg(test)]
mod tests {
    use sip_message::{Event, NameAddr, Uri};

    use super::*;
    use crate::call::EndKind;
    use crate::registration::BoundContact;

    /// What a person would not want to find in a log.
    const PEOPLE: [&str; 4] = ["quentin", "5550100", "tarantino", "4711"];

    fn check(shown: &dyn Debug) {
        let shown = format!("{shown:?} {shown:#?}").to_lowercase();
        for person in PEOPLE {
            assert!(!shown.contains(person), "{person} stands in {shown}");
        }
        // Nor do the numbers of the octets: `4711` begins so.
        assert!(!shown.contains("52, 55"), "{shown}");
    }

    #[test]
    fn nobody_is_named_by_the_debug_output_of_what_happened() {
        let uri = "sip:quentin@example.com";
        let name = NameAddr::parse("\"Quentin Tarantino\" <sip:5550100@example.com>").unwrap();
        let text = || Some("SIP;cause=200;text=\"quentin took it\"".into());
        check(&CallEvent::Info {
            package: None,
            content_type: "application/dtmf".to_owned(),
            body: b"4711".to_vec(),
        });
        check(&CallEvent::Offer {
            body: b"o=quentin 4711 1 IN IP4 192.0.2.1".to_vec(),
        });
        check(&CallEvent::Redirected {
            contacts: vec![name.clone()],
        });
        check(&EndKind::Status {
            code: 404,
            phrase: "no Quentin here".into(),
            server: None,
            address: None,
            remark: text(),
            interval: None,
        });
        check(&EndKind::PeerHungUp { reason: text() });
        check(&EndKind::Cancelled { reason: text() });
        check(&EndKind::Unusable {
            detail: "\u{201c}quentin\u{201d} is unknown".into(),
        });
        let bound = BoundContact {
            uri: uri.into(),
            expires: None,
            own: false,
        };
        check(&bound);
        check(&crate::registration::RegistrationEvent::Bindings(vec![
            bound,
        ]));
        check(&ContactTemplate {
            user: "quentin".to_owned(),
            public: None,
            name: None,
            params: vec!["tarantino".to_owned()],
        });
        let target = Uri::parse(uri).unwrap();
        check(&RegistrationConfig::new(target.clone(), name.clone()));
        check(&SubscriptionConfig::new(
            target,
            name,
            "quentin",
            Event::new("dialog"),
        ));
        check(&Verdict::Wrong {
            username: "quentin".to_owned(),
        });
    }
}
