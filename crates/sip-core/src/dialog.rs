//! Dialogs: what two ends remember of each other (RFC 3261 §12).
//!
//! ```text
//!             1xx with To tag                2xx
//!   request ───────────────────▶ Early ───────────────▶ Confirmed
//!      └──────────────────────── 2xx ───────────────────────▲
//! ```
//!
//! One INVITE may create several dialogs, one for each To tag that answers: a [`DialogSet`] keeps them.

use std::fmt;

use sip_message::{HeaderName, Headers, Method, NameAddr, Request, Response, Uri};

/// What names a dialog: Call-ID and both tags, seen from our side (RFC 3261 §12).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty for a peer that sends none (RFC 2543, or a broken one).
    pub remote_tag: String,
}

/// How far a dialog has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogState {
    /// Made by a provisional answer.
    Early,
    /// Made or confirmed by a 2xx.
    Confirmed,
}

/// One dialog, from our side.
#[derive(Clone)]
pub struct Dialog {
    id: DialogId,
    state: DialogState,
    /// Ourselves, with our tag: From of what we send.
    local: NameAddr,
    /// The peer, with its tag: To of what we send.
    remote: NameAddr,
    /// CSeq of the last request we sent in it.
    local_cseq: u32,
    /// CSeq of the last request the peer sent in it; `None` before the first.
    remote_cseq: Option<u32>,
    /// Where requests go in the end: the peer's Contact.
    target: Uri,
    /// Proxies that want to stay in the path, nearest first.
    route_set: Vec<NameAddr>,
    /// Methods of the peer's last Allow; `None` while it has sent none.
    allowed: Option<Vec<Method>>,
}

impl fmt::Debug for Dialog {
    /// Without identities.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog")
            .field("state", &self.state)
            .field("local_cseq", &self.local_cseq)
            .field("remote_cseq", &self.remote_cseq)
            .field("proxies", &self.route_set.len())
            .finish_non_exhaustive()
    }
}

impl Dialog {
    /// The dialog that a response to our request makes (RFC 3261 §12.1.2).
    ///
    /// `None` when the request is not one of ours (no From tag). A response without a To tag makes a dialog with an
    /// empty one, and one without a usable Contact gets the request URI as target: both are a peer's fault that its
    /// caller may want to tell.
    pub fn from_response(request: &Request, response: &Response) -> Option<Self> {
        let local = request.headers.from().ok()?;
        let local_tag = local.tag()?.to_owned();
        let call_id = request.headers.call_id().ok()?.to_string();
        let local_cseq = request.headers.cseq().ok()?.number;
        let remote = response
            .headers
            .to()
            .or_else(|_| request.headers.to())
            .ok()?;
        let remote_tag = remote.tag().unwrap_or_default().to_owned();
        let mut dialog = Self {
            id: DialogId {
                call_id,
                local_tag,
                remote_tag,
            },
            state: DialogState::Early,
            local,
            remote,
            local_cseq,
            remote_cseq: None,
            target: contact(&response.headers).unwrap_or_else(|| request.uri.clone()),
            route_set: Vec::new(),
            allowed: None,
        };
        dialog.take_routes_of(response);
        dialog.learn(&response.headers);
        if response.status.is_success() {
            dialog.state = DialogState::Confirmed;
        }
        Some(dialog)
    }

    /// The dialog that our response to a peer's request makes (RFC 3261 §12.1.1). `local_tag` is the To tag that the
    /// response carries; `first_cseq` the number that our own first request in it gets.
    ///
    /// `None` when the request lacks what RFC 3261 §8.1.1 makes mandatory. One without a Contact gets its From URI as
    /// target.
    pub fn from_request(request: &Request, local_tag: &str, first_cseq: u32) -> Option<Self> {
        let remote = request.headers.from().ok()?;
        let mut local = request.headers.to().ok()?;
        local.set_tag(local_tag);
        let mut dialog = Self {
            id: DialogId {
                call_id: request.headers.call_id().ok()?.to_string(),
                local_tag: local_tag.to_owned(),
                remote_tag: remote.tag().unwrap_or_default().to_owned(),
            },
            state: DialogState::Early,
            local,
            target: contact(&request.headers).unwrap_or_else(|| remote.uri.clone()),
            remote,
            local_cseq: first_cseq.saturating_sub(1),
            remote_cseq: Some(request.headers.cseq().ok()?.number),
            // In the order received (RFC 3261 §12.1.1).
            route_set: request.headers.record_routes().unwrap_or_default(),
            allowed: None,
        };
        dialog.learn(&request.headers);
        Some(dialog)
    }

    /// A 2xx came for it: the route set and the target are those of this 2xx, whatever the provisional answers before
    /// it said (RFC 3261 §13.2.2.4).
    pub fn confirm_by_response(&mut self, response: &Response) {
        self.state = DialogState::Confirmed;
        self.take_routes_of(response);
        self.refresh_target(&response.headers);
    }

    /// We sent a 2xx.
    pub fn confirm(&mut self) {
        self.state = DialogState::Confirmed;
    }

    /// Moves the target to the Contact of a target refresh: a 2xx to INVITE or UPDATE, or such a request that was
    /// accepted (RFC 3261 §12.2). False when there was no usable Contact; the target stays then.
    pub fn refresh_target(&mut self, headers: &Headers) -> bool {
        self.learn(headers);
        match contact(headers) {
            Some(target) => {
                self.target = target;
                true
            }
            None => false,
        }
    }

    /// Whether the peer says that it takes requests with this method (RFC 3261 §20.5). One that says nothing of it is
    /// taken to know no extension.
    pub fn takes(&self, method: &Method) -> bool {
        self.allowed
            .as_ref()
            .is_some_and(|allowed| allowed.contains(method))
    }

    /// The peer refused this method, whatever its Allow said.
    pub fn does_not_take(&mut self, method: &Method) {
        if let Some(allowed) = &mut self.allowed {
            allowed.retain(|other| other != method);
        }
    }

    /// Notes the CSeq of a peer's request other than ACK and CANCEL. False when it is lower than one before and the
    /// request has to be refused with 500 (RFC 3261 §12.2.2). A jump is legal.
    pub fn accept_cseq(&mut self, number: u32) -> bool {
        if self.remote_cseq.is_some_and(|last| number < last) {
            return false;
        }
        self.remote_cseq = Some(number);
        true
    }

    /// The next request in the dialog (RFC 3261 §12.2.1.1), without Via and Contact: these depend on the path.
    pub fn request(&mut self, method: Method) -> Request {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.request_with_cseq(method, self.local_cseq)
    }

    /// The ACK for a 2xx to the INVITE with this CSeq (RFC 3261 §13.2.2.4), without Via.
    pub fn ack(&self, invite_cseq: u32) -> Request {
        self.request_with_cseq(Method::Ack, invite_cseq)
    }

    /// Its name.
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// How far it has come.
    pub fn state(&self) -> DialogState {
        self.state
    }

    /// Ourselves, with our tag.
    pub fn local(&self) -> &NameAddr {
        &self.local
    }

    /// The peer, with its tag.
    pub fn remote(&self) -> &NameAddr {
        &self.remote
    }

    /// The peer's Contact.
    pub fn target(&self) -> &Uri {
        &self.target
    }

    /// Proxies to pass, nearest first.
    pub fn route_set(&self) -> &[NameAddr] {
        &self.route_set
    }

    /// CSeq of our last request.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Our requests in the dialog have got this far by a retry outside of it (RFC 3261 §22.2).
    pub fn set_local_cseq(&mut self, number: u32) {
        self.local_cseq = self.local_cseq.max(number);
    }

    /// Where the next request is sent first: the nearest proxy, or the target.
    pub fn next_hop(&self) -> &Uri {
        self.route_set
            .first()
            .map_or(&self.target, |route| &route.uri)
    }

    fn request_with_cseq(&self, method: Method, cseq: u32) -> Request {
        let (uri, routes) = request_line(&self.target, &self.route_set);
        let mut request = Request::new(method, uri);
        let headers = &mut request.headers;
        headers.push(HeaderName::From, &self.local);
        headers.push(HeaderName::To, &self.remote);
        headers.push(HeaderName::CallId, &self.id.call_id);
        headers.push(HeaderName::CSeq, format!("{cseq} {}", request.method));
        headers.push(HeaderName::MaxForwards, 70);
        for route in routes {
            headers.push(HeaderName::Route, route);
        }
        request
    }

    fn learn(&mut self, headers: &Headers) {
        if headers.has(HeaderName::Allow)
            && let Ok(allowed) = headers.allow()
        {
            self.allowed = Some(allowed);
        }
    }

    fn take_routes_of(&mut self, response: &Response) {
        // Reversed, because the answer lists them from the far end (RFC 3261 §12.1.2). An empty list counts, too.
        self.route_set = response.headers.record_routes().unwrap_or_default();
        self.route_set.reverse();
    }
}

/// The dialogs that one INVITE made, one for each To tag. Bounded: a peer that answers with more is not listened to.
#[derive(Clone, Debug, Default)]
pub struct DialogSet {
    dialogs: Vec<Dialog>,
}

impl DialogSet {
    /// How many forks of one call are kept apart.
    pub const LIMIT: usize = 32;

    /// Adds a dialog. False when the set is full.
    pub fn insert(&mut self, dialog: Dialog) -> bool {
        if self.is_full() {
            return false;
        }
        self.dialogs.push(dialog);
        true
    }

    /// Whether no other has room.
    pub fn is_full(&self) -> bool {
        self.dialogs.len() >= Self::LIMIT
    }

    /// The peers' tags, oldest first unless some were taken out.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.dialogs
            .iter()
            .map(|dialog| dialog.id.remote_tag.as_str())
    }

    /// The dialog with this tag of the peer.
    pub fn find_mut(&mut self, remote_tag: &str) -> Option<&mut Dialog> {
        self.dialogs
            .iter_mut()
            .find(|dialog| dialog.id.remote_tag == remote_tag)
    }

    /// The dialog with this tag of the peer, to look at.
    pub fn find(&self, remote_tag: &str) -> Option<&Dialog> {
        self.dialogs
            .iter()
            .find(|dialog| dialog.id.remote_tag == remote_tag)
    }

    /// Takes the dialog with this tag of the peer out of the set.
    pub fn take(&mut self, remote_tag: &str) -> Option<Dialog> {
        let index = self
            .dialogs
            .iter()
            .position(|dialog| dialog.id.remote_tag == remote_tag)?;
        Some(self.dialogs.swap_remove(index))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.dialogs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.dialogs.is_empty()
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.dialogs.clear();
    }
}

/// The request URI and the Route values for a target behind these proxies (RFC 3261 §12.2.1.1).
pub(crate) fn request_line(target: &Uri, route_set: &[NameAddr]) -> (Uri, Vec<String>) {
    let texts = |routes: &[NameAddr]| routes.iter().map(ToString::to_string).collect::<Vec<_>>();
    match route_set.split_first() {
        // A strict router (RFC 2543): it is the request URI, and the target comes last.
        Some((first, rest)) if !first.uri.is_loose_router() => {
            let mut routes = texts(rest);
            routes.push(format!("<{target}>"));
            (bare(&first.uri), routes)
        }
        _ => (bare(target), texts(route_set)),
    }
}

/// The first Contact that is an address.
fn contact(headers: &Headers) -> Option<Uri> {
    let contact: NameAddr = headers.first(HeaderName::Contact).ok()?;
    Some(contact.uri)
}

/// The URI as it may stand in a request line: without headers and `method` (RFC 3261 §19.1.1, Table 1).
fn bare(uri: &Uri) -> Uri {
    let mut uri = uri.clone();
    uri.headers.clear();
    uri.params.remove("method");
    uri
}
