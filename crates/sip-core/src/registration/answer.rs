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
    /// Its URI as the registrar lists it.
    pub(super) uri: Option<Uri>,
    /// What was odd.
    pub(super) notice: Option<String>,
}

/// By what a registrar can know a binding of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours<'a> {
    /// The URI in the Contact that we sent.
    pub(super) contact: Option<&'a Uri>,
    pub(super) instance: Option<&'a str>,
    /// Of the flow that asks, where there are flows (RFC 5626 §4.2).
    pub(super) reg_id: Option<u32>,
    /// The user part of the Contact.
    pub(super) user: &'a str,
    /// How many flows there are now; their numbers count from 1.
    pub(super) flows: u32,
    /// Whether the registrar keeps to flows. One that does has at most one binding for a flow of an instance (RFC
    /// 5626 §6); to any other the flow is a parameter that it may give back, for outdated bindings too.
    pub(super) outbound: bool,
    /// Further URIs that are bound for us: those of our other flows, and how the registrar lists them.
    pub(super) bound: &'a [Uri],
}

/// Finds our binding in the answer to the REGISTER that made it (RFC 3261 §10.2.4), as [`Ours::find`] has it. The
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
    let Some(own) = ours.find(&contacts) else {
        let text = if contacts.is_empty() {
            "the registrar lists no bindings, trusting its 200"
        } else {
            "the registrar lists other bindings and not ours, trusting its 200"
        };
        let bindings = listed(&contacts, None, ours);
        return OwnBinding {
            granted: general,
            others: others(&bindings),
            bindings,
            notice: Some(text.to_owned()),
            ..OwnBinding::default()
        };
    };

    let only_by_user = !ours.is_uri(own) && !ours.is_instance(own);
    let notice = only_by_user.then(|| format!("the registrar rewrote our binding to {}", own.uri));
    let bindings = listed(&contacts, Some(own), ours);
    OwnBinding {
        granted: expires_of(own).or(general),
        others: others(&bindings),
        gruus: ["pub-gruu", "temp-gruu"].map(|name| gruu(own, name)),
        bindings,
        uri: Some(own.uri.clone()),
        notice,
    }
}

/// All bindings that an answer lists, when it is not about one of ours (RFC 3261 §10.2.3).
pub(super) fn bindings(response: &Response, ours: Ours<'_>) -> Vec<BoundContact> {
    let contacts = response.headers.list::<NameAddr>(HeaderName::Contact);
    listed(&contacts.unwrap_or_default(), None, ours)
}

fn others(bindings: &[BoundContact]) -> usize {
    bindings.iter().filter(|binding| !binding.own).count()
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

/// `own` is the one just bound. Of the others those are ours that signing out removes; what an earlier start of
/// ours has left behind is not among them, though it carries our instance.
fn listed(contacts: &[NameAddr], own: Option<&NameAddr>, ours: Ours<'_>) -> Vec<BoundContact> {
    contacts
        .iter()
        .map(|contact| BoundContact {
            uri: contact.uri.to_string().into(),
            expires: expires_of(contact),
            own: own.is_some_and(|own| std::ptr::eq(own, contact)) || ours.stands_for_us(contact),
        })
        .collect()
}

impl Ours<'_> {
    /// The binding that was just made. Flows may have one URI, so flow and URI together say most. A registrar that
    /// keeps to flows has no second one for ours, and may have rewritten its URI. Any other may list an outdated
    /// binding with our instance and flow, which its URI tells from ours; where all are rewritten, our user part
    /// does, which some leave alone.
    fn find<'a>(&self, contacts: &'a [NameAddr]) -> Option<&'a NameAddr> {
        let first = |is: &dyn Fn(&NameAddr) -> bool| contacts.iter().find(|other| is(other));
        first(&|other| self.is_our_flow(other) && self.is_uri(other))
            .or_else(|| first(&|other| self.outbound && self.is_our_flow(other)))
            .or_else(|| first(&|other| self.is_uri(other)))
            .or_else(|| first(&|other| self.is_our_flow(other) && self.is_user(other)))
            .or_else(|| first(&|other| self.is_instance(other) && self.is_user(other)))
            .or_else(|| first(&|other| self.is_our_flow(other)))
            .or_else(|| first(&|other| self.is_instance(other)))
            .or_else(|| first(&|other| self.is_user(other)))
    }

    /// Whether a binding is known to stand for us: for one of our present flows, or with a URI that we bound.
    fn stands_for_us(&self, other: &NameAddr) -> bool {
        let flows = 1..=self.flows;
        let for_flow = || flow_of(other).is_some_and(|flow| flows.contains(&flow));
        self.is_uri(other)
            || self.bound.iter().any(|uri| uri.equivalent(&other.uri))
            || self.outbound && for_flow() && self.is_instance(other)
    }

    fn is_our_flow(&self, other: &NameAddr) -> bool {
        self.reg_id.is_some() && self.reg_id == flow_of(other) && self.is_instance(other)
    }

    fn is_uri(&self, other: &NameAddr) -> bool {
        self.contact.is_some_and(|uri| uri.equivalent(&other.uri))
    }

    fn is_instance(&self, other: &NameAddr) -> bool {
        other.params.get("+sip.instance").is_some_and(|theirs| {
            let theirs = theirs.trim_matches(['"', '<', '>']);
            self.instance
                .is_some_and(|ours| ours.eq_ignore_ascii_case(theirs))
        })
    }

    fn is_user(&self, other: &NameAddr) -> bool {
        other.uri.user.as_deref() == Some(self.user)
    }
}

/// The number of the flow that a binding is for (RFC 5626 §4.2).
fn flow_of(contact: &NameAddr) -> Option<u32> {
    contact.params.get("reg-id")?.parse().ok()
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
