//! Who a message is for: keys by which the transport side finds its owner.
//!
//! ```text
//!   response ── (Call-ID, From tag) ─────────────────────────► owner
//!   request ─┬─ branch + sent-by + method known ─────────────► owner of that server transaction
//!            ├─ To tag: (Call-ID, To tag) known ─────────────► owner of that dialog
//!            └─ neither: a new request, for an account by its Contact user, or answered
//!               statelessly (see crate::stateless)
//! ```
//!
//! Inside the owner, transactions match strictly by branch and method.
//!
//! A NOTIFY carries the From tag of its SUBSCRIBE as To tag, also when it comes before the answer
//! (RFC 6665 §4.4.1), so the key of a [`crate::events::Subscription`] finds it from the first
//! SUBSCRIBE on; one without a To tag belongs to nothing. MESSAGE, PUBLISH and a first SUBSCRIBE
//! are new requests for an account.

#[cfg(test)]
mod tests;

use sip_message::{HeaderName, Method, Request, Response};

use crate::path::Inbound;
pub use crate::transaction::ServerKey;

/// Names a top-level object: its dialogs, all early ones included, and its requests share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerKey {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag: From tag of what we sent first, To tag of what we answered.
    pub local_tag: String,
}

/// The owner of a response: (Call-ID, From tag), both of which the peer only copies (RFC 3261
/// §8.2.6.2). `None` when either is missing: such a response answers nothing that we sent.
pub fn response_owner(response: &Response) -> Option<OwnerKey> {
    Some(OwnerKey {
        call_id: response.headers.get(HeaderName::CallId)?.to_owned(),
        local_tag: response.headers.from().ok()?.tag()?.to_owned(),
    })
}

/// The owner of a request inside a dialog: (Call-ID, To tag). `None` without To tag.
pub fn request_owner(request: &Request) -> Option<OwnerKey> {
    Some(OwnerKey {
        call_id: request.headers.get(HeaderName::CallId)?.to_owned(),
        local_tag: request.headers.to().ok()?.tag()?.to_owned(),
    })
}

/// What a request is, as far as one can tell without knowing the owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestClass {
    /// Outside any dialog: starts something, or repeats what started it.
    Initial(ServerKey),
    /// Inside a dialog of this owner; the key finds the repeats.
    InDialog(OwnerKey, ServerKey),
    /// Cancels the request with this key (RFC 3261 §9.2).
    Cancel(ServerKey),
    /// An ACK: to a refusal when the key is known, else to a 2xx of the dialog of this owner.
    Ack(Option<OwnerKey>, ServerKey),
    /// Its Via cannot be read: counted and dropped.
    Hopeless,
}

impl RequestClass {
    /// Sorts a request.
    pub fn of(request: &Request) -> Self {
        let Some(key) = ServerKey::of(request) else {
            return Self::Hopeless;
        };
        match (&request.method, request_owner(request)) {
            (Method::Cancel, _) => Self::Cancel(key),
            (Method::Ack, owner) => Self::Ack(owner, key),
            (_, Some(owner)) => Self::InDialog(owner, key),
            (_, None) => Self::Initial(key),
        }
    }
}

/// Writes into the top Via where the request really came from: `received` when the address
/// differs from what the Via says or `rport` was asked for, and the port into `rport` (RFC 3261
/// §18.2.1, RFC 3581 §4). To be done once for each received request, before anything answers;
/// doing it twice changes nothing.
pub fn mark_received(request: &mut Request, inbound: &Inbound) {
    let Ok(mut via) = request.headers.via_top() else {
        return;
    };
    let source = inbound.path.remote;
    let asked = via.rport().is_some();
    if !asked && via.sent_by.ip() == Some(source.ip()) {
        return;
    }
    via.set_received(source.ip());
    if asked {
        via.set_rport(source.port());
    }
    request.headers.replace_first(HeaderName::Via, via);
}
