//! What makes a message belong to a transaction (RFC 3261 §17.1.3 and §17.2.3).

use privacy::Identity;
use sip_message::{HeaderName, Method, Request, Response, Via};

use crate::tokens::MAGIC_COOKIE;

/// Whether a response answers the request with this branch and method (RFC 3261 §17.1.3). One
/// with more than one Via was meant for another element (§8.1.3.3) and answers nothing of ours.
pub fn response_matches(response: &Response, branch: &str, method: &Method) -> bool {
    let Ok(vias) = response.headers.vias() else {
        return false;
    };
    let [via] = vias.as_slice() else {
        return false;
    };
    via.branch() == Some(branch)
        && response
            .headers
            .cseq()
            .is_ok_and(|cseq| cseq.method == *method)
}

/// Under which a new request, its repeats, its CANCEL and the ACK to its refusal find each other
/// (RFC 3261 §17.2.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerKey {
    /// The branch has the cookie of RFC 3261: unique by itself.
    Branch {
        /// The branch, cookie included.
        branch: String,
        /// Host and port of the top Via in lower case: two peers may have drawn the same branch.
        sent_by: String,
        /// The method; INVITE also for its ACK and CANCEL.
        method: Method,
    },
    /// From an RFC 2543 element: the fields that do not change between an INVITE, its repeats,
    /// its ACK and its CANCEL. The To tag, which only the ACK has, stays out.
    Legacy {
        /// The request URI as sent.
        uri: Identity,
        /// The From tag, empty when there is none.
        from_tag: String,
        /// The Call-ID.
        call_id: String,
        /// The number of the CSeq.
        cseq: u32,
        /// The top Via as sent, without the marks of its reception.
        via: String,
        /// The method; INVITE also for its ACK and CANCEL.
        method: Method,
    },
}

impl ServerKey {
    /// The key of a request; `None` when its top Via cannot be read, so that no answer could
    /// ever find its way either.
    pub fn of(request: &Request) -> Option<Self> {
        let method = match request.method {
            Method::Ack | Method::Cancel => Method::Invite,
            ref other => other.clone(),
        };
        Self::with_method(request, method)
    }

    /// The key of a CANCEL's own transaction: it has the branch of what it cancels, and repeats
    /// of its own that want the same answer (RFC 3261 §9.2). The same as [`Self::of`] for any
    /// other method.
    pub fn of_cancel(request: &Request) -> Option<Self> {
        match request.method {
            Method::Cancel => Self::with_method(request, Method::Cancel),
            _ => Self::of(request),
        }
    }

    fn with_method(request: &Request, method: Method) -> Option<Self> {
        let via = request.headers.via_top().ok()?;
        if let Some(branch) = via.branch().filter(|branch| has_cookie(branch)) {
            return Some(Self::Branch {
                branch: branch.to_owned(),
                sent_by: sent_by(&via),
                method,
            });
        }
        let from = request.headers.from().ok()?;
        Some(Self::Legacy {
            uri: request.uri.to_string().into(),
            from_tag: from.tag().unwrap_or_default().to_owned(),
            call_id: request.headers.get(HeaderName::CallId)?.to_owned(),
            cseq: request.headers.cseq().ok()?.number,
            via: unmarked(via).to_string(),
            method,
        })
    }
}

/// Whether a branch was made by an RFC 3261 element and says more than just that.
fn has_cookie(branch: &str) -> bool {
    branch.len() > MAGIC_COOKIE.len()
        && branch
            .get(..MAGIC_COOKIE.len())
            .is_some_and(|cookie| cookie.eq_ignore_ascii_case(MAGIC_COOKIE))
}

fn sent_by(via: &Via) -> String {
    let mut text = via.sent_by.to_string().to_ascii_lowercase();
    if let Some(port) = via.port {
        text.push(':');
        text.push_str(&port.to_string());
    }
    text
}

fn unmarked(mut via: Via) -> Via {
    via.params.remove("received");
    via.params.remove("rport");
    via
}
