//! The INVITE that we send, and its final answer.

use std::time::Instant;

use sip_message::{
    HeaderName, Headers, Host, Method, NameAddr, Request, Response, StatusCode, Uri,
};

use super::body::session_description;
use super::reliable::OPTION;
use super::send::is_challenge;
use super::task::{Cancel, ClientTask, Purpose, TaskId};
use super::{Call, CallConfig, CallEvent, CallTimer, Due, EndKind, Owed, Phase, Role};
use crate::dialog::{Dialog, request_line};
use crate::dispatch::OwnerKey;
use crate::path::Inbound;
use crate::tokens::{Seed, Tokens};
use crate::transaction::response_matches;

impl Call {
    /// Calls `config.remote`. With an offer the answer comes in an [`CallEvent::Answer`]; without one the peer makes
    /// the offer ([`CallEvent::Offer`], to be answered with [`Call::accept_offer`]).
    ///
    /// Outputs have to be drained at once, as after each input.
    #[must_use]
    pub fn outgoing(now: Instant, config: CallConfig, offer: Option<Vec<u8>>, seed: &Seed) -> Self {
        let mut tokens = Tokens::new(seed);
        let owner = OwnerKey {
            call_id: tokens.call_id(),
            local_tag: tokens.tag(),
        };
        let first_cseq = tokens.cseq();
        let mut call = Self::new(config, &tokens.seed(), Role::Caller, owner);
        let Some(remote) = call.config.remote.clone() else {
            call.end(
                now,
                EndKind::Unusable {
                    detail: "nobody to call was named".into(),
                },
            );
            return call;
        };
        call.described.clone_from(&offer);
        let request = call.invite_request(&remote, first_cseq, offer);
        let hop = call.config.route.first().unwrap_or(&remote.uri).clone();
        call.send(now, Purpose::Invite, request, &hop);
        if let Some(limit) = call.config.ring_limit {
            call.deadlines.set(CallTimer::RingLimit, now + limit);
        }
        call
    }

    /// The INVITE without what depends on the path (RFC 3261 §8.1.1).
    pub(super) fn invite_request(
        &mut self,
        remote: &NameAddr,
        cseq: u32,
        offer: Option<Vec<u8>>,
    ) -> Request {
        let mut from = match self.config.anonymous {
            true => anonymous(),
            false => self.config.local.clone(),
        };
        from.set_tag(&self.owner.local_tag);
        let mut to = remote.clone();
        to.params.remove("tag");
        to.uri.headers.clear();
        let route: Vec<NameAddr> = self.config.route.iter().map(as_route).collect();
        let (uri, routes) = request_line(&remote.uri, &route);
        let mut request = Request::new(Method::Invite, uri);
        let headers = &mut request.headers;
        headers.push(HeaderName::From, from);
        headers.push(HeaderName::To, to);
        headers.push(HeaderName::CallId, &self.owner.call_id);
        headers.push(HeaderName::CSeq, format!("{cseq} INVITE"));
        headers.push(HeaderName::MaxForwards, 70);
        for route in routes {
            headers.push(HeaderName::Route, route);
        }
        self.describe_ourselves(headers, true);
        self.ask_for_timer(headers);
        let (replaces, join) = (&self.config.replaces, &self.config.join);
        let wishes = [
            (HeaderName::Replaces, "replaces", replaces),
            (HeaderName::Join, "join", join),
        ];
        for (name, option, wish) in wishes {
            if let Some(wish) = wish {
                // A peer that does not know it would take the call for a new one, and ring.
                headers.push(HeaderName::Require, option);
                headers.push(name, wish);
            }
        }
        if self.config.anonymous {
            headers.push(HeaderName::Privacy, "id");
        }
        if let Some(identity) = &self.config.preferred_identity {
            headers.push(HeaderName::PPreferredIdentity, identity);
        }
        if let Some(by) = &self.config.referred_by {
            headers.push(HeaderName::ReferredBy, by);
        }
        for (name, value) in &self.config.extra_headers {
            headers.push(name.as_str(), value);
        }
        if let Some(offer) = offer.filter(|offer| !offer.is_empty()) {
            request.set_body("application/sdp", offer);
        }
        request
    }

    /// Allow, Supported and User-Agent, for requests. Reliable provisional answers are for the first INVITE only.
    pub(super) fn describe_ourselves(&self, headers: &mut Headers, reliable: bool) {
        let ours = &self.config.capabilities;
        headers.push(HeaderName::Allow, ours.allow_value());
        let supported: Vec<&str> = ours
            .supported
            .iter()
            .map(String::as_str)
            .filter(|tag| reliable || !tag.eq_ignore_ascii_case(OPTION))
            .collect();
        if !supported.is_empty() {
            headers.push(HeaderName::Supported, supported.join(", "));
        }
        if !self.config.info_packages.is_empty() {
            // RFC 6086 §5.2.
            headers.push(HeaderName::RecvInfo, self.config.info_packages.join(", "));
        }
        if !ours.user_agent.is_empty() {
            headers.push(HeaderName::UserAgent, &ours.user_agent);
        }
    }

    /// A response to the INVITE of the call (RFC 3261 §13.2.2).
    pub(super) fn on_invite_response(&mut self, now: Instant, id: TaskId, response: Response) {
        if !std::mem::replace(&mut self.heard, true) {
            self.event(CallEvent::Trying);
        }
        self.cancel_if_held(now, id, &response);
        let status = response.status;
        if status.is_provisional() {
            self.on_provisional(now, id, &response);
        } else if status.is_success() {
            self.on_invite_success(now, id, &response);
        } else {
            self.on_invite_refused(now, id, response);
        }
    }

    /// A 2xx. The first one makes the call; each other fork gets its own ACK and a BYE (RFC 3261 §13.2.2.4).
    fn on_invite_success(&mut self, now: Instant, id: TaskId, response: &Response) {
        let tag = to_tag(response);
        let Ok(cseq) = response.headers.cseq().map(|cseq| cseq.number) else {
            return;
        };
        if self.acknowledge_again(now, cseq, &tag) {
            return;
        }
        let Some((mut dialog, offered)) = self.answered_dialog(id, response, &tag) else {
            return;
        };
        dialog.confirm_by_response(response);
        if tag.is_empty() {
            self.notice("a 2xx without To tag was taken as the only answer");
        }
        if !response.headers.has(HeaderName::Contact) {
            self.notice("a 2xx without Contact: requests go to where the call was sent");
        }
        self.finish_invite(id);
        if self.phase != Phase::Calling {
            // Cancelled too late, or another fork was first.
            return self.drop_fork(now, dialog, cseq);
        }
        let body = session_description(&response.headers, &response.body);
        let early = self.take_early_answer(&tag);
        self.phase = Phase::Talking;
        self.deadlines.clear(CallTimer::RingLimit);
        self.dialog = Some(dialog.clone());
        self.timer_from_answer(now, &response.headers);
        match (offered, early, body) {
            (true, None, Some(body)) => {
                self.acknowledge(now, &dialog, cseq, None, false);
                self.event(CallEvent::Answer { body, early: false });
                self.event(CallEvent::Established);
            }
            // RFC 3264 and RFC 3261 §13.2.1: one answer to one offer, the first one.
            (true, Some(early), body) => {
                if body.is_some_and(|body| body != early.body) {
                    self.notice("another session description in the 2xx was ignored: the early one was the answer");
                }
                self.acknowledge(now, &dialog, cseq, None, false);
                if !early.told_last {
                    // Another fork's early media is what the owner hears now.
                    self.event(CallEvent::Answer {
                        body: early.body,
                        early: false,
                    });
                }
                self.event(CallEvent::Established);
            }
            // The offer came in a reliable provisional answer, and its answer went with the PRACK (RFC 3262 §5).
            (false, _, _) if self.early_offers.contains(&tag) => {
                self.acknowledge(now, &dialog, cseq, None, false);
                self.event(CallEvent::Established);
            }
            // The peer did not wait for our answer to its early offer: it goes with the ACK.
            (false, _, None) if matches!(&self.due, Due::OurAnswerInPrack { tag: due, .. } if *due == tag) =>
            {
                self.due = Due::OurAnswerInAck { cseq, tag };
            }
            (false, _, Some(body)) => {
                self.due = Due::OurAnswerInAck { cseq, tag };
                self.event(CallEvent::Offer { body });
            }
            (_, None, None) | (false, Some(_), None) => {
                self.dialog = None;
                self.drop_fork(now, dialog, cseq);
                let owed = if offered { Owed::Answer } else { Owed::Offer };
                self.end(now, EndKind::NoSessionDescription { owed });
            }
        }
    }

    /// The dialog that a 2xx confirms or makes, and whether our INVITE held an offer.
    fn answered_dialog(
        &mut self,
        id: TaskId,
        response: &Response,
        tag: &str,
    ) -> Option<(Dialog, bool)> {
        let early = self.early.take(tag);
        let task = self.client(id)?;
        let offered = !task.request.body.is_empty();
        let dialog = early.or_else(|| Dialog::from_response(&task.request, response));
        Some((dialog?, offered))
    }

    /// Acknowledges a 2xx that nobody wants and ends its dialog (RFC 3261 §13.2.2.4). Where there are more of them than
    /// are kept apart, those that are done with make room. The 2xx for which there is none comes again, and then
    /// another BYE has had its answer.
    fn drop_fork(&mut self, now: Instant, dialog: Dialog, cseq: u32) {
        let acknowledged = |task: &&ClientTask| matches!(task.purpose, Purpose::Ack { .. });
        if self.clients.iter().filter(acknowledged).count() >= Self::FORK_LIMIT {
            self.ignored = self.ignored.saturating_add(1);
            return;
        }
        if self.early.is_full() {
            self.forget_a_fork();
        }
        if self.early.insert(dialog.clone()) {
            self.acknowledge(now, &dialog, cseq, None, true);
        } else {
            self.ignored = self.ignored.saturating_add(1);
        }
    }

    /// Forgets a fork in which nothing is under way. A 2xx of it, should it still come, says all that is needed to
    /// end it.
    fn forget_a_fork(&mut self) {
        let busy = |tag: &str| {
            self.clients.iter().any(|task| match &task.purpose {
                Purpose::Ack {
                    tag: of, then_bye, ..
                } => of == tag && *then_bye,
                Purpose::Bye | Purpose::Prack { .. } | Purpose::Update { .. } => {
                    task.is_open() && to_tag_of(&task.request.headers) == tag
                }
                _ => false,
            })
        };
        let idle = self.early.tags().find(|tag| !busy(tag)).map(str::to_owned);
        if let Some(tag) = idle {
            self.early.take(&tag);
        }
    }

    /// A response to nothing that is under way. A 2xx to an INVITE that was given up on its path, for silence or a
    /// broken connection, came too late: another path has the call. Its dialog exists, so it is ended properly.
    pub(super) fn on_stray_response(
        &mut self,
        now: Instant,
        response: &Response,
        inbound: Inbound,
    ) {
        let to_given_up = |(branch, _): &&(String, Request)| {
            response.status.is_success() && response_matches(response, branch, &Method::Invite)
        };
        let known = self.given_up.iter().find(to_given_up);
        let cseq = response.headers.cseq().map(|cseq| cseq.number);
        let (Some((_, request)), Ok(cseq)) = (known, cseq) else {
            self.ignored = self.ignored.saturating_add(1);
            return;
        };
        let dialog = Dialog::from_response(request, response);
        self.source = Some(inbound);
        if self.acknowledge_again(now, cseq, &to_tag(response)) {
            return;
        }
        if let Some(dialog) = dialog {
            self.notice(
                "a path that was given up answered late; that answer was acknowledged and ended",
            );
            self.drop_fork(now, dialog, cseq);
        }
    }

    /// The INVITE has its answer; its transaction goes on to take 2xx of other forks.
    fn finish_invite(&mut self, id: TaskId) {
        self.finish(id);
        if let Some(task) = self.client(id) {
            task.cancel = Cancel::No;
        }
    }

    fn on_invite_refused(&mut self, now: Instant, id: TaskId, response: Response) {
        if self.phase != Phase::Calling {
            return self.finish(id);
        }
        if response.status == StatusCode::SESSION_INTERVAL_TOO_SMALL
            && self.lengthen_and_retry(now, id, &response)
        {
            return;
        }
        if self.offer_again(now, id, response.status) {
            return;
        }
        let mut kind = if is_challenge(&response) {
            match self.authorise_and_retry(now, id, &response) {
                Ok(()) => return,
                Err(kind) => kind,
            }
        } else {
            self.status_kind(&response)
        };
        if response.status == StatusCode::SESSION_INTERVAL_TOO_SMALL
            && let EndKind::Status { interval, .. } = &mut kind
        {
            *interval = Some(self.interval_refused(id, &response));
        }
        let request = self.client(id).map(|task| task.request.clone());
        self.finish(id);
        if let (true, Some(request)) = (response.status.is_redirect(), request) {
            let contacts = response
                .headers
                .list::<NameAddr>(HeaderName::Contact)
                .unwrap_or_default();
            return self.on_redirected(now, request, by_preference(contacts), kind);
        }
        self.end(now, kind);
    }
}

impl Call {
    /// Makes the second offer where the first is refused for its media, once. The early dialogs of the refused INVITE
    /// are gone; what was learned of logins is not.
    fn offer_again(&mut self, now: Instant, id: TaskId, status: StatusCode) -> bool {
        let about_media = matches!(
            status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE
                | StatusCode::NOT_ACCEPTABLE_HERE
                | StatusCode::NOT_ACCEPTABLE_ANYWHERE
        );
        let offered = self
            .client(id)
            .is_some_and(|task| !task.request.body.is_empty());
        if !about_media || !offered {
            return false;
        }
        let Some(offer) = self.config.second_offer.take() else {
            return false;
        };
        self.early.clear();
        self.early_answers.clear();
        self.early_offers.clear();
        self.taken.clear();
        self.told = None;
        self.described = Some(offer.clone());
        if let Some(task) = self.client(id) {
            task.request.body = offer;
        }
        self.event(CallEvent::OfferedAgain { status });
        self.send_again(now, id);
        true
    }
}

/// The tag of a response's To, empty when there is none.
pub(super) fn to_tag(response: &Response) -> String {
    to_tag_of(&response.headers)
}

fn to_tag_of(headers: &Headers) -> String {
    let to = headers.to().ok();
    to.and_then(|to| to.tag().map(str::to_owned))
        .unwrap_or_default()
}

/// Nobody (RFC 3323 §4.1.1.3).
fn anonymous() -> NameAddr {
    let host = Host::Name("anonymous.invalid".to_owned());
    NameAddr::new(Uri::sip(host).with_user("anonymous")).with_display("Anonymous")
}

/// A proxy of ours as Route: loose routing, unless it was configured otherwise.
fn as_route(uri: &Uri) -> NameAddr {
    let mut uri = uri.clone();
    if !uri.is_loose_router() {
        uri.params.set_flag("lr");
    }
    NameAddr::new(uri)
}

/// Contacts of a redirection, highest q first, as sent where it is equal (RFC 3261 §20.10).
fn by_preference(mut contacts: Vec<NameAddr>) -> Vec<NameAddr> {
    let q = |contact: &NameAddr| {
        let q = contact.params.get("q").and_then(|q| q.parse::<f32>().ok());
        // In thousandths, so that they can be compared.
        q.map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32)
    };
    contacts.sort_by_key(|contact| std::cmp::Reverse(q(contact)));
    contacts
}
