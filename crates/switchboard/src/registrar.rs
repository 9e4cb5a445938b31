//! The registrar (RFC 3261 §10.3).

use std::time::{Duration, Instant};

use sip_core::Inbound;
use sip_core::stateless;
use sip_message::{HeaderName, NameAddr, Request, Response, StatusCode};

use crate::location::{Aor, Location, Refusal, Update};

/// The longest registration that is granted.
const MOST: Duration = Duration::from_secs(3_600);
/// The shortest.
const LEAST: Duration = Duration::from_secs(5);
/// What is granted to those who ask for nothing in particular.
const USUAL: Duration = Duration::from_secs(600);

/// What a REGISTER that may be obeyed did.
pub(crate) struct Registered {
    /// The answer, to be tagged and sent.
    pub(crate) response: Response,
    /// A line for the log when something changed.
    pub(crate) change: Option<String>,
}

/// Obeys a REGISTER whose sender has been checked.
pub(crate) fn register(
    now: Instant,
    request: &Request,
    inbound: Inbound,
    aor: &Aor,
    location: &mut Location,
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
        let updates: Vec<Update> = wanted
            .into_iter()
            .map(|(contact, expires)| Update {
                instance: contact.params.get("+sip.instance").map(str::to_owned),
                reg_id: None,
                q: preference(&contact),
                contact: contact.uri,
                inbound,
                expires: expires.min(MOST),
                call_id: call_id.clone(),
                cseq: cseq.number,
            })
            .collect();
        change = updates.last().map(|update| in_words(aor, update));
        match location.update_all(now, aor, updates) {
            Ok(()) => {}
            Err(Refusal::OutOfOrder) => return refuse(StatusCode::SERVER_INTERNAL_ERROR),
            Err(Refusal::Full) => return refuse(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    let mut response = stateless::response(request, StatusCode::OK, Some(to_tag));
    for binding in location.bindings(now, aor) {
        let mut contact = NameAddr::new(binding.contact);
        let left = binding.expires.saturating_duration_since(now);
        contact
            .params
            .set("expires", left.as_secs_f64().round().to_string());
        if let Some(instance) = binding.instance {
            contact.params.set_quoted("+sip.instance", instance);
        }
        response.headers.push(HeaderName::Contact, contact);
    }
    Registered { response, change }
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
