//! What comes in: read, recorded, and brought to its owner.

use std::time::Instant;

use model::AccountId;
use sip_core::dispatch::{self, OwnerKey, ServerKey};
use sip_core::{Inbound, Path};
use sip_message::{HeaderName, Message, Method, Request, validate_request};

use super::{Delivery, Handler, Owner, PENDING_PER_OWNER, Received, TransportState, branch_of};
use crate::tenant::TenantMsg;

impl TransportState {
    pub(super) fn on_received(&mut self, received: Received) {
        let Received {
            flow,
            path,
            bytes,
            at,
            wall,
            _room,
        } = received;
        if !self.limiter.admit(path.remote.ip(), at) {
            let what = "messages beyond what one source may send";
            return self.count(wall, what, |c| &mut c.flooded);
        }
        let message = match Message::parse(&bytes) {
            Ok(message) => message,
            Err(error) => {
                self.count(wall, "no SIP at all, or too broken to answer", |c| {
                    &mut c.garbage
                });
                // Keepalives and stray line ends are no news.
                if bytes.iter().any(|b| !b.is_ascii_whitespace() && *b != 0) {
                    self.record(wall, false, path, &bytes, None, None);
                    if let Some(response) = error.answer() {
                        self.answer_statelessly(flow, path, &response.to_bytes(), None);
                    }
                }
                return;
            }
        };
        self.forget_old_requests(at);
        if matches!(message, Message::Response(_))
            && let Some(branch) = branch_of(&message)
        {
            if path.transport.is_reliable() {
                self.connections.on_response(&branch);
            } else {
                self.unanswered.on_answered(&branch);
            }
        }
        let owner = self.owner_of(&message);
        let called = match (&message, &owner) {
            (Message::Request(request), None) => self.new_call_for(request, &path),
            _ => None,
        };
        // A new call is in the record as that of whoever is called.
        let account = owner.as_ref().map(|o| &o.account).or(called.as_ref());
        let call = owner.as_ref().and_then(|o| o.call);
        self.record(wall, false, path, &bytes, account.cloned(), call);
        let inbound = Inbound { flow, path };
        match (message, owner) {
            (message, Some(owner)) => {
                owner.deliver(Delivery::Message {
                    message: Box::new(message),
                    inbound,
                    at,
                });
            }
            (Message::Response(_), None) => {
                self.count(wall, "responses that answer nothing here", |c| {
                    &mut c.stray_responses
                });
            }
            (Message::Request(request), None) => self.on_new_request(request, inbound, at, called),
        }
    }

    /// Who a message belongs to, by keys alone.
    pub(super) fn owner_of(&self, message: &Message) -> Option<Owner> {
        let key = match message {
            Message::Response(response) => dispatch::response_owner(response),
            Message::Request(request) => {
                if let Some(Handler::Owner(owner)) =
                    ServerKey::of(request).and_then(|key| self.requests.get(&key))
                {
                    return Some(owner.clone());
                }
                dispatch::request_owner(request)
            }
        };
        if let Some(owner) = key.and_then(|key| self.owners.get(&key)) {
            return Some(owner.clone());
        }
        match message {
            Message::Request(request) => self.owner_by_call_id(request),
            Message::Response(_) => None,
        }
    }

    /// A peer forgot our tag, or invented one for its ACK: the call it names can tell whether the
    /// rest fits. Decides only when one owner alone can be meant. An INVITE without To tag starts
    /// something new, whatever its Call-ID.
    pub(super) fn owner_by_call_id(&self, request: &Request) -> Option<Owner> {
        let untagged = request.headers.to().is_ok_and(|to| to.tag().is_none());
        let repairable = match request.method {
            Method::Ack => true,
            Method::Invite => false,
            _ => untagged,
        };
        let call_id = request.headers.get(HeaderName::CallId)?;
        let from = request.headers.from().ok()?;
        let mut fitting = self
            .tags_of
            .get(call_id)
            .filter(|_| repairable)?
            .iter()
            // Both ends of the call may be ours; nobody sends to itself.
            .filter(|tag| from.tag() != Some(tag.as_str()));
        let (Some(tag), None) = (fitting.next(), fitting.next()) else {
            return None;
        };
        let key = OwnerKey {
            call_id: call_id.to_owned(),
            local_tag: tag.clone(),
        };
        self.owners.get(&key).cloned()
    }

    /// Whom a request calls that begins a call: an INVITE outside any dialog, in good order.
    pub(super) fn new_call_for(&self, request: &Request, path: &Path) -> Option<AccountId> {
        let is_call = request.method == Method::Invite
            && request.headers.to().is_ok_and(|to| to.tag().is_none())
            && validate_request(request).is_ok();
        is_call.then(|| self.called_account(request, path))?
    }

    pub(super) fn on_new_request(
        &mut self,
        request: Request,
        inbound: Inbound,
        at: Instant,
        called: Option<AccountId>,
    ) {
        let server_key = ServerKey::of(&request);
        let handler = server_key
            .as_ref()
            .and_then(|key| self.requests.get_mut(key));
        match handler {
            Some(Handler::Starting(kept)) => {
                if kept.len() < PENDING_PER_OWNER {
                    let message = Box::new(Message::Request(request));
                    kept.push(Delivery::Message {
                        message,
                        inbound,
                        at,
                    });
                }
                return;
            }
            Some(Handler::Refused(status)) if request.method == Method::Invite => {
                let status = *status;
                return self.refuse(request, inbound, status, called);
            }
            _ => {}
        }
        let Some(account) = called else {
            return self.turn_away(request, inbound);
        };
        if let Some(key) = server_key {
            self.remember(key, Handler::Starting(Vec::new()), at);
        }
        let _ = self.args.tenant.cast(TenantMsg::NewCall {
            account,
            request: Box::new(request),
            inbound,
            at,
        });
    }

    /// The account a new request is for: the one whose Contact it names, or whose address it names
    /// when it comes from where that account's calls come from.
    pub(super) fn called_account(&self, request: &Request, path: &Path) -> Option<AccountId> {
        let user = request.uri.user_decoded().unwrap_or_default();
        let by_contact = self
            .reachable
            .values()
            .find(|r| !user.is_empty() && r.contact_user == user);
        let by_address = || {
            self.reachable.values().find(|r| {
                r.aor_user == user
                    && r.servers
                        .as_ref()
                        .is_none_or(|servers| servers.contains(&path.remote.ip()))
            })
        };
        by_contact.or_else(by_address).map(|r| r.account.clone())
    }
}
