//! What the answer to a REGISTER says.

use std::net::SocketAddr;
use std::time::Duration;

use privacy::Identity;
use sip_message::{HeaderName, NameAddr, Response, Uri};

use super::BoundContact;
use crate::refresh::seconds;

/// Our binding among those that the registrar lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OwnBinding {
    /// The time granted to it; `None` when the answer says nothing about it.
    pub(super) granted: Option<Duration>,
    /// Bindings of others.
    pub(super) others: usize,
    /// Its `pub-gruu` and `temp-gruu`.
    pub(super) gruus: [Option<Identity>; 2],
    /// All of them, ours included.
    pub(super) bindings: Vec<BoundContact>,
    /// What was odd.
    pub(super) notice: Option<String>,
}

/// By what a registrar can know a binding of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours<'a> {
    /// The URI in the Contact that we sent.
    pub(super) contact: &'a str,
    pub(super) instance: Option<&'a str>,
    /// Of the flow that asks, where there are flows (RFC 5626 §4.2).
    pub(super) reg_id: Option<u32>,
    /// The user part of the Contact.
    pub(super) user: &'a str,
}

/// Finds our binding (RFC 3261 §10.2.4): by the flow that it is for, else by its URI, else by the instance
/// that it carries, else by our user part, which some registrars leave alone while they rewrite the rest. The
/// granted time is its `expires`, else that of the Expires header. Those of our other flows are ours as well.
pub(super) fn own_binding(response: &Response, ours: Ours<'_>) -> OwnBinding {
    let general = seconds(response, HeaderName::Expires);
    let Ok(contacts) = response.headers.list::<NameAddr>(HeaderName::Contact) else {
        return OwnBinding {
            granted: general,
            notice: Some("the registrar's list of bindings cannot be read".to_owned()),
            ..OwnBinding::default()
        };
    };
    let Some((own, how)) = find_own(&contacts, ours) else {
        let text = if contacts.is_empty() {
            "the registrar lists no bindings, trusting its 200"
        } else {
            "the registrar lists other bindings and not ours, trusting its 200"
        };
        return OwnBinding {
            granted: general,
            others: contacts.len(),
            bindings: listed(&contacts, None, ours),
            notice: Some(text.to_owned()),
            ..OwnBinding::default()
        };
    };

    let notice =
        (how == How::User).then(|| format!("the registrar rewrote our binding to {}", own.uri));
    let bindings = listed(&contacts, Some(own), ours);
    OwnBinding {
        granted: expires_of(own).or(general),
        others: bindings.iter().filter(|binding| !binding.own).count(),
        gruus: ["pub-gruu", "temp-gruu"].map(|name| gruu(own, name)),
        bindings,
        notice,
    }
}

/// A GRUU that is a URI; anything else is worth nothing.
fn gruu(own: &NameAddr, name: &str) -> Option<Identity> {
    let text = own.params.get(name)?.trim_matches('"');
    Uri::parse(text).ok().map(|uri| uri.to_string().into())
}

/// Whether the registrar keeps to the flow: it says so by requiring it (RFC 5626 §6).
pub(super) fn requires_outbound(response: &Response) -> bool {
    response
        .headers
        .get_all(HeaderName::Require)
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim().eq_ignore_ascii_case("outbound"))
}

fn expires_of(contact: &NameAddr) -> Option<Duration> {
    let seconds: u32 = contact.params.get("expires")?.trim().parse().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}

fn listed(contacts: &[NameAddr], own: Option<&NameAddr>, ours: Ours<'_>) -> Vec<BoundContact> {
    contacts
        .iter()
        .map(|contact| BoundContact {
            uri: contact.uri.to_string().into(),
            expires: expires_of(contact),
            own: own.is_some_and(|own| std::ptr::eq(own, contact) || ours.is_flow(contact, None)),
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Flow,
    Instance,
    Uri,
    User,
}

impl Ours<'_> {
    /// Whether a binding carries our instance, and the number of a flow: this one, or any.
    fn is_flow(&self, other: &NameAddr, reg_id: Option<u32>) -> bool {
        let number = other.params.get("reg-id").and_then(|id| id.parse().ok());
        let fits = number.is_some_and(|number: u32| reg_id.is_none_or(|ours| ours == number));
        fits && self.is_instance(other)
    }

    fn is_instance(&self, other: &NameAddr) -> bool {
        other.params.get("+sip.instance").is_some_and(|theirs| {
            let theirs = theirs.trim_matches(['"', '<', '>']);
            self.instance
                .is_some_and(|ours| ours.eq_ignore_ascii_case(theirs))
        })
    }
}

fn find_own<'a>(contacts: &'a [NameAddr], ours: Ours<'_>) -> Option<(&'a NameAddr, How)> {
    let uri = Uri::parse(ours.contact).ok();
    let same_uri = |other: &NameAddr| uri.as_ref().is_some_and(|uri| uri.equivalent(&other.uri));
    // Flows may have one URI. Without them the URI decides first where the instance has several bindings, e.g.
    // an outdated one.
    let by = |how: How| {
        contacts.iter().find(|other| match how {
            How::Flow => ours.reg_id.is_some() && ours.is_flow(other, ours.reg_id),
            How::Instance => ours.is_instance(other),
            How::Uri => same_uri(other),
            How::User => other.uri.user.as_deref() == Some(ours.user),
        })
    };
    [How::Flow, How::Uri, How::Instance, How::User]
        .into_iter()
        .find_map(|how| by(how).map(|own| (own, how)))
}

/// How the server sees us: `received` and `rport` of our Via as it came back (RFC 3581 §4). What
/// is missing of the two is as we said it ourselves; `None` when both are.
pub fn mapped_address(response: &Response) -> Option<SocketAddr> {
    let via = response.headers.via_top().ok()?;
    let (received, rport) = (via.received(), via.rport().flatten());
    if received.is_none() && rport.is_none() {
        return None;
    }
    let ip = received.or_else(|| via.sent_by.ip())?;
    let port = rport.or(via.port)?;
    Some(SocketAddr::new(ip, port))
}

/// All elements of a list of addresses, as text; none when it cannot be read.
pub(super) fn values<T: From<String>>(response: &Response, name: HeaderName) -> Vec<T> {
    response
        .headers
        .list::<NameAddr>(name)
        .unwrap_or_default()
        .iter()
        .map(|value| T::from(value.to_string()))
        .collect()
}

/// Our own Contact value apart: the URI, and the parameters behind it.
pub(super) fn split_contact(value: &str) -> (&str, &str) {
    let inner = value.strip_prefix('<').unwrap_or(value);
    inner.split_once('>').unwrap_or((inner, ""))
}
