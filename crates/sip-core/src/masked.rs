//! What this crate's types show of themselves to `Debug`: what happened, and not to whom.
//!
//! URIs and messages mask themselves (`sip_message`). Here stand the types that hold what people wrote as plain text:
//! addresses that a registrar lists, phrases and reasons of peers, digits and other bodies. Each is counted.

use std::fmt::{Debug, Formatter, Result};

use crate::auth::server::Verdict;
use crate::call::{CallEvent, CallerInfo, EndKind};
use crate::client::{Answered, ContactTemplate};
use crate::events::SubscriptionConfig;
use crate::registration::{BoundContact, Registered, RegistrationConfig};

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

impl Debug for EndKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let told = |text: &Option<String>| text.as_ref().map(|text| text.chars().count());
        match self {
            Self::Status {
                code,
                server,
                address,
                remark,
                ..
            } => f
                .debug_struct("Status")
                .field("code", code)
                .field("server", server)
                .field("address", address)
                .field("remark", &told(remark))
                .finish_non_exhaustive(),
            Self::NoAnswer => f.write_str("NoAnswer"),
            Self::Silence { address } => f.debug_tuple("Silence").field(address).finish(),
            Self::Network { fault } => f.debug_tuple("Network").field(fault).finish(),
            Self::PeerHungUp { reason } => {
                f.debug_tuple("PeerHungUp").field(&told(reason)).finish()
            }
            Self::WeHungUp => f.write_str("WeHungUp"),
            Self::WeRejected { code } => f.debug_tuple("WeRejected").field(code).finish(),
            Self::Cancelled { reason } => f.debug_tuple("Cancelled").field(&told(reason)).finish(),
            Self::PasswordRefused { realm } => {
                f.debug_tuple("PasswordRefused").field(realm).finish()
            }
            Self::PasswordMissing { realm } => {
                f.debug_tuple("PasswordMissing").field(realm).finish()
            }
            Self::LoginTooWeak { realm } => f.debug_tuple("LoginTooWeak").field(realm).finish(),
            Self::NotAcknowledged => f.write_str("NotAcknowledged"),
            Self::SessionExpired => f.write_str("SessionExpired"),
            Self::NoSessionDescription => f.write_str("NoSessionDescription"),
            Self::Unusable { detail } => f.debug_tuple("Unusable").field(&Text(detail)).finish(),
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

impl Debug for BoundContact {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("BoundContact")
            .field("uri", &Text(&self.uri))
            .field("expires", &self.expires)
            .field("own", &self.own)
            .finish()
    }
}

impl Debug for Registered {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Registered")
            .field("granted", &self.granted)
            .field("refresh_in", &self.refresh_in)
            .field("flow", &self.flow)
            .field("path", &self.path)
            .field("round_trip", &self.round_trip)
            .field("mapped", &self.mapped)
            .field("service_route", &self.service_route.len())
            .field("realms", &self.realms)
            .field("outbound", &self.outbound)
            .field("bindings", &self.bindings)
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
        let text = || Some("SIP;cause=200;text=\"quentin took it\"".to_owned());
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
            phrase: "no Quentin here".to_owned(),
            server: None,
            address: None,
            remark: text(),
        });
        check(&EndKind::PeerHungUp { reason: text() });
        check(&EndKind::Cancelled { reason: text() });
        check(&EndKind::Unusable {
            detail: "quentin".to_owned(),
        });
        let bound = BoundContact {
            uri: uri.to_owned(),
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
