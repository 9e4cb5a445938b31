//! What comes in: read, recorded, and brought to its owner.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use event_bodies::message_summary;
use model::{AccountId, Timestamp};
use sip_core::dispatch::{self, OwnerKey, ServerKey};
use sip_core::refresh::retry_after;
use sip_core::{FlowId, Inbound, Path};
use sip_message::{
    HeaderName, Message, Method, ParseError, Request, Response, StatusCode, validate_request,
};

use super::owners::Handler;
use super::{Delivery, Owner, Reachable, Received, TransportState, branch_of};
use crate::failures::Unreadable;
use crate::identity;
use crate::recorder::RecorderMsg;
use crate::tenant::TenantMsg;
use crate::wake::now;

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
        let message = match Message::parse(&bytes) {
            Ok(message) => message,
            Err(error) => return self.on_broken(flow, path, &bytes, wall, &error),
        };
        self.requests.forget_old(at);
        let mut without_tcp = None;
        if matches!(message, Message::Response(_))
            && let Some(branch) = branch_of(&message)
        {
            if path.transport.is_reliable() {
                self.connections.on_response(&branch);
            } else {
                self.unanswered.on_answered(&branch);
                without_tcp = self.without_tcp.on_answer(now(), &branch);
            }
        }
        let owner = self.owner_of(&message);
        // A text message is one wherever it is said, also in a call (RFC 3428 §4).
        let (owner, said_in_call) = match (&message, owner) {
            (Message::Request(request), Some(owner)) if request.method == Method::Message => {
                (None, Some(owner.account))
            }
            (_, owner) => (owner, None),
        };
        let called = match (&message, &owner) {
            (Message::Request(request), None) => {
                said_in_call.or_else(|| self.new_request_for(request, &path))
            }
            _ => None,
        };
        // A new call is in the record as that of whoever is called.
        let account = owner.as_ref().map(|o| &o.account).or(called.as_ref());
        let call = owner.as_ref().and_then(|o| o.call);
        self.record(wall, false, path, &bytes, account.cloned(), call);
        let mut message = message;
        if let (Message::Response(response), Some(owner)) = (&mut message, &owner)
            && let Some(text) = owner.rules.incoming(response)
        {
            self.args.recorder.cast(RecorderMsg::Note {
                time: wall,
                topic: "rules",
                text: text.into(),
                account: Some(owner.account.clone()),
                call: owner.call,
                sip_call_id: None,
            });
        }
        let inbound = Inbound { flow, path };
        match (message, owner) {
            (message, Some(owner)) => {
                if let Some(remote) = without_tcp {
                    self.args.recorder.cast(RecorderMsg::Note {
                        time: wall,
                        topic: "transport",
                        text: format!(
                            "{remote} answers by UDP and not by TCP: requests too large for UDP go there by UDP at once for ten minutes"
                        )
                        .into(),
                        account: Some(owner.account.clone()),
                        call: owner.call,
                        sip_call_id: None,
                    });
                }
                if let Message::Response(response) = &message
                    && self.on_answer_of_a_server(response, &path)
                {
                    let myself = self.myself.clone();
                    self.arm(&myself);
                }
                owner.deliver(Delivery::Message {
                    message: Box::new(message),
                    inbound,
                    at,
                });
            }
            (Message::Response(_), None) => {
                self.count("responses that answer nothing here", |c| {
                    &mut c.stray_responses
                });
            }
            (Message::Request(request), None) => self.on_new_request(request, inbound, at, called),
        }
    }

    /// What an answer to a request of ours says about whoever gave it. Tells whether a server is back or rests by that.
    fn on_answer_of_a_server(&mut self, response: &Response, path: &Path) -> bool {
        if response.status != StatusCode::SERVICE_UNAVAILABLE {
            return self.places.on_answered(now(), path, response.status);
        }
        // The registration tells of its own.
        let cseq = response.headers.cseq();
        let is_told = cseq.is_ok_and(|cseq| cseq.method == Method::Register);
        let pause = retry_after(response).filter(|_| !is_told);
        pause.is_some_and(|pause| self.places.on_paused(now(), path, pause))
    }

    /// What cannot be read as a whole, but perhaps enough of it for an answer.
    fn on_broken(
        &mut self,
        flow: FlowId,
        path: Path,
        bytes: &[u8],
        wall: Timestamp,
        error: &ParseError,
    ) {
        // Keepalives and stray line ends are no news.
        if bytes.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
            return;
        }
        let why = error.kind;
        if why.status() == StatusCode::MESSAGE_TOO_LARGE {
            self.count(&format!("past a limit ({why})"), |c| &mut c.oversized);
        } else {
            let what = format!("no SIP at all, or too broken to answer ({why})");
            self.count(&what, |c| &mut c.garbage);
        }
        let asked = self.owner_of_broken(error);
        let owner = asked.as_ref().map(|(owner, _)| owner);
        let account = owner.map(|owner| owner.account.clone());
        let call = owner.and_then(|owner| owner.call);
        self.record(wall, false, path, bytes, account, call);
        if let Some((owner, branch)) = asked {
            owner.deliver(Delivery::Unreadable(Unreadable {
                from: path.remote,
                why,
                branch,
                status: error.salvage.as_ref().and_then(|salvage| salvage.status),
            }));
        }
        if let Some(response) = error.answer() {
            self.answer_a_stranger(flow, path, &response);
        }
    }

    /// Who has asked what a broken response answers, found as that of any other, and the branch in it. The owner, who
    /// knows whether a request of its own with that branch is open, is told why the answer cannot be read, and nothing
    /// else comes of it.
    fn owner_of_broken(&self, error: &ParseError) -> Option<(Owner, String)> {
        let salvage = error.salvage.as_ref().filter(|s| s.method.is_none())?;
        let mut response = Response::new(StatusCode::OK);
        response.headers = salvage.headers.clone();
        let via = response.headers.via_top().ok()?;
        let branch = via.branch()?.to_owned();
        let owner = self.owner_of(&Message::Response(response))?;
        Some((owner, branch))
    }

    /// Who a message belongs to, by keys alone.
    pub(super) fn owner_of(&self, message: &Message) -> Option<Owner> {
        let key = match message {
            Message::Response(response) => dispatch::response_owner(response),
            Message::Request(request) => {
                if let Some(Handler::Owner(owner)) =
                    ServerKey::of(request).and_then(|key| self.requests.handler(&key))
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
            Message::Request(request) => self
                .owner_by_target_dialog(request)
                .or_else(|| self.owner_by_call_id(request)),
            Message::Response(_) => None,
        }
    }

    /// Whose dialog a request outside of any knows (RFC 4538): a REFER is about that call.
    fn owner_by_target_dialog(&self, request: &Request) -> Option<Owner> {
        let headers = &request.headers;
        let outside = headers.to().is_ok_and(|to| to.tag().is_none());
        if request.method != Method::Refer || !outside {
            return None;
        }
        let target = headers.target_dialog().ok()?;
        let key = OwnerKey {
            call_id: target.call_id,
            local_tag: target.remote_tag,
        };
        self.owners.get(&key).cloned()
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

    /// For which account a request is that belongs to nothing yet: a call, a text message, or word of
    /// waiting messages that nobody asked for (RFC 3842 §3.3), outside any dialog and in good order.
    pub(super) fn new_request_for(&self, request: &Request, path: &Path) -> Option<AccountId> {
        let taken = match request.method {
            Method::Invite | Method::Message => true,
            Method::Notify => {
                let event = request.headers.event();
                event.is_ok_and(|event| event.package == message_summary::PACKAGE)
            }
            _ => false,
        };
        let is_new = taken
            && request.headers.to().is_ok_and(|to| to.tag().is_none())
            && validate_request(request).is_ok();
        is_new.then(|| self.called_account(request, path))?
    }

    pub(super) fn on_new_request(
        &mut self,
        request: Request,
        inbound: Inbound,
        at: Instant,
        called: Option<AccountId>,
    ) {
        let Some(key) = ServerKey::of(&request) else {
            return self.turn_away(request, inbound);
        };
        let refused = match self.requests.handler(&key) {
            Some(Handler::Starting(_)) => {
                let delivery = Delivery::Message {
                    message: Box::new(Message::Request(request)),
                    inbound,
                    at,
                };
                // There is one, so nothing comes back.
                self.requests.keep(&key, delivery);
                return;
            }
            Some(Handler::Refused(line)) => Some(line.clone()),
            Some(Handler::Owner(_)) | None => None,
        };
        match (refused, &request.method) {
            (Some(line), Method::Invite | Method::Message | Method::Notify) => {
                return self.refuse(request, inbound, line, called);
            }
            // It was waited for, and it ends there.
            (Some(_), Method::Ack) => return,
            // RFC 3261 §9.2: what it means to cancel is known, and over.
            (Some(_), Method::Cancel) => {
                return self.refuse(request, inbound, StatusCode::OK, None);
            }
            _ => {}
        }
        match called {
            Some(account) => self.begin_call(key, request, inbound, at, account),
            None => self.turn_away(request, inbound),
        }
    }

    fn begin_call(
        &mut self,
        key: ServerKey,
        request: Request,
        inbound: Inbound,
        at: Instant,
        account: AccountId,
    ) {
        let ip = inbound.path.remote.ip();
        let source = (wire::source_of(ip), self.guard.standing(ip, at));
        if self.requests.is_merged(&request, &account) {
            // RFC 3261 §8.2.2.2: it has forked on its way, and one copy is enough.
            self.count("requests that came a second time by another way", |c| {
                &mut c.merged
            });
            let status = StatusCode::LOOP_DETECTED;
            self.requests.refuse_at_once(key, status, source, at);
            return self.refuse(request, inbound, status, Some(account));
        }
        if !self.requests.begin(key, &request, &account, source, at) {
            self.count("requests refused because too many are known", |c| {
                &mut c.overloaded
            });
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return self.refuse(request, inbound, status, Some(account));
        }
        let request = Box::new(request);
        let _ = self.args.tenant.cast(if request.method == Method::Invite {
            TenantMsg::NewCall {
                account,
                request,
                inbound,
                at,
            }
        } else {
            TenantMsg::NewWord {
                account,
                request,
                inbound,
            }
        });
    }

    /// The account a new request is for: the one whose Contact it names, or whose address it names when it comes from
    /// where that account's calls come from. Extension 100 is at many PBXes: of several accounts with that user the one
    /// is meant whose domain is named, then whose local address it came to, then whose server it came from.
    ///
    /// A trunk's server calls numbers that are nobody's address. Such a call is for the account there, if it is the only
    /// one, and so is the question whether a call would be taken (RFC 3261 §11.2). The Contact of an earlier start is no
    /// such number: its binding is outdated, and whoever calls it calls the present one as well.
    pub(super) fn called_account(&self, request: &Request, path: &Path) -> Option<AccountId> {
        let user = request.uri.user_decoded().unwrap_or_default();
        let by_contact = self
            .reachable
            .values()
            .find(|r| !user.is_empty() && r.contact_user == user);
        if let Some(found) = by_contact {
            return Some(found.account.clone());
        }
        let from = path.remote.ip();
        let fitness = |r: &&Reachable| {
            (
                r.aor_host.equivalent(&request.uri.host),
                r.takes_calls_at(path.local),
                r.servers.is_some(),
                // Always the same one of those that fit as well.
                Reverse(r.account.clone()),
            )
        };
        let admitting = || self.reachable.values().filter(|r| r.admits(from));
        let named = admitting().filter(|r| r.aor_user == user);
        let by_address = named.max_by_key(fitness);
        let alone = || {
            if !matches!(request.method, Method::Invite | Method::Options) {
                return None;
            }
            let mut here = admitting().filter(|r| r.servers.is_some());
            let only = here.next().filter(|_| here.next().is_none())?;
            (!identity::is_contact_user(&user, &only.aor_user)).then_some(only)
        };
        by_address.or_else(alone).map(|r| r.account.clone())
    }
}

impl Reachable {
    /// Whether whoever speaks from there may call the address of record.
    fn admits(&self, from: IpAddr) -> bool {
        let servers = self.servers.as_ref();
        servers.is_none_or(|servers| servers.contains(&from))
    }

    /// How well a local address fits: better than any is the one that the account asked for, worse another one.
    fn takes_calls_at(&self, local: SocketAddr) -> u8 {
        match self.bind.filter(|bind| bind.port() != 0) {
            None => 1,
            Some(bind) if bind.port() != local.port() => 0,
            Some(bind) if bind.ip().is_unspecified() || bind.ip() == local.ip() => 2,
            Some(_) => 0,
        }
    }
}
