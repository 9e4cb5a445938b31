//! The registrar (RFC 3261 §10.3).

use std::time::{Duration, Instant};

use sip_core::Inbound;
use sip_core::stateless;
use sip_message::{HeaderName, NameAddr, Request, Response, StatusCode};

use crate::location::{Aor, Location, Refusal, TEMPORARY, Update, bare};
use crate::seal::Secret;

/// The longest registration that is granted.
const MOST: Duration = Duration::from_secs(3_600);
/// The shortest.
const LEAST: Duration = Duration::from_secs(5);
/// What is granted to those who ask for nothing in particular.
const USUAL: Duration = Duration::from_secs(600);

/// How often a phone is to show that its way is open (RFC 5626 §4.4).
const FLOW_TIMER: Duration = Duration::from_secs(120);
/// Proxies between a phone and us at most, and octets of one.
const PATH: usize = 8;
const PATH_OCTETS: usize = 512;
/// Octets of what is kept of one Contact at most, each of its parts.
const PART_OCTETS: usize = 1_024;
/// RFC 5626 §11.6.
const FIRST_HOP_LACKS_OUTBOUND: StatusCode = match StatusCode::new(439) {
    Some(status) => status,
    None => StatusCode::BAD_REQUEST,
};

/// RFC 3261 §21.5.7.
const MESSAGE_TOO_LARGE: StatusCode = match StatusCode::new(513) {
    Some(status) => status,
    None => StatusCode::BAD_REQUEST,
};

/// What a REGISTER that may be obeyed did.
pub(crate) struct Registered {
    /// The answer, to be tagged and sent.
    pub(crate) response: Response,
    /// A line for the log when something changed.
    pub(crate) change: Option<String>,
}

/// Obeys a REGISTER whose sender has been checked, and who may be known to be where it came from.
pub(crate) fn register(
    now: Instant,
    request: &Request,
    (inbound, proven): (Inbound, bool),
    aor: &Aor,
    location: &mut Location,
    secret: &Secret,
    to_tag: &str,
) -> Registered {
    let refuse = |status| Registered {
        response: stateless::response(request, status, Some(to_tag)),
        change: None,
    };
    let headers = &request.headers;
    let wanted_for_all = headers
        .expires()
        .ok()
        .map(|s| Duration::from_secs(u64::from(s)));
    let extras = match Extras::of(request) {
        Ok(extras) => extras,
        Err(status) => return refuse(status),
    };
    let raw: Vec<&str> = headers.get_all(HeaderName::Contact).collect();
    let mut change = None;
    if raw.iter().any(|value| value.trim() == "*") {
        // §10.3 step 6: the star stands alone and only ever with zero.
        if raw.len() > 1 || wanted_for_all != Some(Duration::ZERO) {
            return refuse(StatusCode::BAD_REQUEST);
        }
        let (Ok(call_id), Ok(cseq)) = (headers.call_id(), headers.cseq()) else {
            return refuse(StatusCode::BAD_REQUEST);
        };
        if location.clear(aor, call_id, cseq.number).is_err() {
            return refuse(StatusCode::SERVER_INTERNAL_ERROR);
        }
        change = Some(format!("{aor} removed all bindings"));
    } else if !raw.is_empty() {
        let Ok(contacts) = headers.contacts() else {
            return refuse(StatusCode::BAD_REQUEST);
        };
        let (Ok(call_id), Ok(cseq)) = (headers.call_id(), headers.cseq()) else {
            return refuse(StatusCode::BAD_REQUEST);
        };
        let call_id = call_id.to_string();
        let wanted: Vec<(NameAddr, Duration)> = contacts
            .into_iter()
            .map(|contact| {
                let own = contact
                    .params
                    .get("expires")
                    .and_then(|e| e.parse().ok())
                    .map(Duration::from_secs);
                let wanted = own.or(wanted_for_all).unwrap_or(USUAL);
                (contact, wanted)
            })
            .collect();
        if wanted
            .iter()
            .any(|(_, expires)| !expires.is_zero() && *expires < LEAST)
        {
            let mut response = refuse(StatusCode::INTERVAL_TOO_BRIEF);
            response
                .response
                .headers
                .push(HeaderName::MinExpires, LEAST.as_secs());
            return response;
        }
        if [&aor.user, &aor.domain, &call_id]
            .into_iter()
            .any(|part| part.len() > PART_OCTETS)
            || wanted
                .iter()
                .any(|(contact, _)| contact.to_string().len() > PART_OCTETS)
        {
            return refuse(MESSAGE_TOO_LARGE);
        }
        let updates: Vec<Update> = wanted
            .into_iter()
            .map(|(contact, expires)| Update {
                reg_id: extras.reg_id(&contact),
                path: extras.path.clone(),
                temporary: contact
                    .params
                    .get("+sip.instance")
                    .filter(|_| extras.gruu)
                    .map(|instance| temporary(secret, aor, instance, &call_id)),
                instance: contact.params.get("+sip.instance").map(str::to_owned),
                q: preference(&contact),
                contact: contact.uri,
                inbound,
                expires: expires.min(MOST),
                call_id: call_id.clone(),
                cseq: cseq.number,
                proven,
            })
            .collect();
        change = updates.last().map(|update| in_words(aor, update));
        match location.update_all(now, aor, updates) {
            Ok(()) => {}
            Err(Refusal::OutOfOrder) => return refuse(StatusCode::SERVER_INTERNAL_ERROR),
            Err(Refusal::Full) => {
                let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE);
                let later = secret.retry_after(request);
                response
                    .response
                    .headers
                    .push(HeaderName::RetryAfter, later);
                return response;
            }
        }
    }
    let mut response = stateless::response(request, StatusCode::OK, Some(to_tag));
    let mut outbound = false;
    for binding in location.bindings(now, aor) {
        let mut contact = NameAddr::new(binding.contact);
        let params = &mut contact.params;
        let left = binding.expires.saturating_duration_since(now);
        params.set("expires", left.as_secs_f64().round().to_string());
        if let Some(reg_id) = binding.reg_id {
            outbound = true;
            params.set("reg-id", reg_id.to_string());
        }
        // RFC 5627 §5.3: to those who ask.
        if let Some(instance) = binding.instance.as_deref().filter(|_| extras.gruu) {
            let gruu = format!("sip:{aor};gr={}", bare(instance));
            params.set_quoted("pub-gruu", gruu);
            if let Some(user) = &binding.temporary {
                let gruu = format!("sip:{user}@{};gr", aor.domain);
                params.set_quoted("temp-gruu", gruu);
            }
        }
        if let Some(instance) = binding.instance {
            params.set_quoted("+sip.instance", instance);
        }
        response.headers.push(HeaderName::Contact, contact);
    }
    // RFC 3327 §5.3.
    for hop in &extras.path {
        response.headers.push(HeaderName::Path, hop.as_str());
    }
    if extras.outbound && outbound {
        // RFC 5626 §6, and RFC 3608: calls go by the way that is kept open.
        response.headers.push(HeaderName::Require, "outbound");
        response
            .headers
            .push(HeaderName::FlowTimer, FLOW_TIMER.as_secs());
        let (local, transport) = (inbound.path.local, inbound.path.transport.as_str());
        let route = format!("<sip:{local};transport={transport};lr>");
        response.headers.push(HeaderName::ServiceRoute, route);
    }
    Registered { response, change }
}

/// What a REGISTER wants beyond RFC 3261.
struct Extras {
    /// Several ways to one phone (RFC 5626).
    outbound: bool,
    /// URIs that reach one phone from anywhere (RFC 5627).
    gruu: bool,
    /// The proxies that it came through (RFC 3327).
    path: Vec<String>,
}

impl Extras {
    fn of(request: &Request) -> Result<Self, StatusCode> {
        let headers = &request.headers;
        let tags = [headers.supported(), headers.require()];
        let tags: Vec<String> = tags.into_iter().flatten().flatten().collect();
        let wants = |tag: &str| tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        let hops = headers.paths().unwrap_or_default();
        if hops.len() > PATH || hops.iter().any(|hop| hop.to_string().len() > PATH_OCTETS) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let contacts = headers.contacts().unwrap_or_default();
        let keeps_ways = contacts.iter().any(|contact| contact.params.has("reg-id"));
        let mut outbound = wants("outbound");
        // RFC 5626 §6: the proxy nearest to the phone, whose Path is the last, keeps the way open or
        // nobody does.
        let through_proxies = headers.vias().is_ok_and(|vias| vias.len() > 1);
        let edge_helps = hops.last().is_some_and(|hop| hop.uri.params.has("ob"));
        if outbound && keeps_ways && through_proxies && !edge_helps {
            if headers
                .require()
                .is_ok_and(|tags| tags.iter().any(|t| t == "outbound"))
            {
                return Err(FIRST_HOP_LACKS_OUTBOUND);
            }
            outbound = false;
        }
        Ok(Self {
            outbound,
            gruu: wants("gruu"),
            path: hops.iter().map(ToString::to_string).collect(),
        })
    }

    /// `reg-id` counts only with an instance and where outbound is understood (RFC 5626 §6).
    fn reg_id(&self, contact: &NameAddr) -> Option<u32> {
        let id = contact.params.get("reg-id")?.parse().ok()?;
        (self.outbound && contact.params.has("+sip.instance") && id > 0).then_some(id)
    }
}

/// The user part of a GRUU that is another for each Call-ID, and tells nothing.
fn temporary(secret: &Secret, aor: &Aor, instance: &str, call_id: &str) -> String {
    let words = [&aor.user, &aor.domain].map(String::as_bytes);
    let [user, domain] = words;
    let digits = secret.digits(&[
        b"gruu",
        user,
        domain,
        instance.as_bytes(),
        call_id.as_bytes(),
    ]);
    format!("{TEMPORARY}{digits}")
}

/// `q` in thousandths; whoever says nothing is wanted as much as anybody.
fn preference(contact: &NameAddr) -> u16 {
    let q = contact.params.get("q").and_then(|q| q.parse::<f32>().ok());
    (q.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u16
}

fn in_words(aor: &Aor, update: &Update) -> String {
    let contact = &update.contact;
    if update.expires.is_zero() {
        format!("{aor} signed out at {contact}")
    } else {
        let seconds = update.expires.as_secs();
        format!("{aor} signed in at {contact} for {seconds} s")
    }
}
