//! Events between user agents (RFC 6665, and peers of RFC 3265): [`Subscription`] asks to be told
//! of somebody's state, [`Notifier`] tells ours, [`Publication`] hands ours to a server that tells it
//! on (RFC 3903), and [`InstantMessage`] says a sentence (RFC 3428).
//!
//! What the states mean stands in the bodies, which are bytes here.

pub(crate) mod answers;
mod fault;
mod instant;
mod notifier;
mod publication;
mod subscription;

pub use fault::Fault;
pub(crate) use instant::READABLE;
pub use instant::{
    Broken, InstantMessage, MessageConfig, MessageEvent, MessageRefusal, ReceivedMessage,
    answer_message, read_message,
};
pub use notifier::{Notifier, NotifierConfig, NotifierEnd, NotifierEvent};
pub use publication::{Publication, PublicationConfig, PublicationEvent};
pub use subscription::{
    Forks, LegId, LegState, Notified, Subscription, SubscriptionConfig, SubscriptionEnd,
    SubscriptionEvent,
};

use sip_message::{HeaderName, Method, NameAddr, Request, Uri};

use crate::client::ContactTemplate;
use crate::dispatch::OwnerKey;
use crate::registration::route_value;

/// A request outside any dialog, without Via, CSeq and Contact (RFC 3261 §8.1.1).
pub(crate) fn outside_dialogs(
    method: Method,
    target: &Uri,
    to: &NameAddr,
    from: &NameAddr,
    key: &OwnerKey,
    route: &[Uri],
) -> Request {
    let mut uri = target.clone();
    uri.headers.clear();
    let mut request = Request::new(method, uri);
    let headers = &mut request.headers;
    for proxy in route {
        headers.push(HeaderName::Route, route_value(proxy));
    }
    headers.push(HeaderName::From, from.clone().with_tag(&key.local_tag));
    headers.push(HeaderName::To, to);
    headers.push(HeaderName::CallId, key.call_id.as_str());
    request
}

/// Our Contact: the URI that reaches us from anywhere where we have one (RFC 5627 §4.4), else one
/// made for the path.
pub(crate) fn contact_template(
    request: &mut Request,
    user: &str,
    whole: Option<&Uri>,
) -> Option<ContactTemplate> {
    match whole {
        Some(uri) => {
            request
                .headers
                .push(HeaderName::Contact, format!("<{uri}>"));
            None
        }
        None => Some(ContactTemplate {
            user: user.to_owned(),
            public: None,
            name: None,
            params: Vec::new(),
        }),
    }
}
