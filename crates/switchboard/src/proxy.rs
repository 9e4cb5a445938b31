//! The stateful, forking proxy (RFC 3261 §16).
//!
//! ```text
//!                        ┌─ branch ── client transaction ──▶ binding 1
//!  server transaction ──▶ context ─── branch ── client transaction ──▶ binding 2
//!                        └─ …
//! ```
//!
//! A context lives from a request to its best answer. Provisional answers and successes go up at
//! once; of the failures the best waits until every branch has spoken (§16.7). A success or a 6xx
//! cancels the others. A branch that stays silent after its CANCEL is given up 64·T1 later (§9.1).

use std::time::{Duration, Instant};

use sip_core::transaction::{
    ClientInvite, ClientNonInvite, ClientOutput, ServerInvite, ServerKey, ServerNonInvite,
    ServerOutput,
};
use sip_core::{Destination, Inbound, Timers, TransportError, stateless};
use sip_message::{HeaderName, Method, Request, Response, StatusCode};

use crate::sources::Charge;

/// What branches are told that lose to another one (RFC 3326 §2).
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";
/// The same, where one has said that nobody is to be had.
const EVERYWHERE: &str = "SIP;cause=600;text=\"Busy Everywhere\"";
/// A Reason beyond this many bytes is not passed on.
const LONGEST_REASON: usize = 512;

/// Timer C (§16.6 step 11): how long a branch may ring without a word.
const TIMER_C: Duration = Duration::from_secs(181);
/// Challenges of other branches that are handed on at most.
const CHALLENGES: usize = 16;

/// One request on its way to one or more places.
pub(crate) struct Context {
    request: Request,
    inbound: Inbound,
    pub(crate) key: ServerKey,
    /// The deadline under which the exchange has it filed.
    pub(crate) filed: Option<Instant>,
    /// Whom it is charged to, from when the exchange keeps it.
    pub(crate) charge: Option<Charge>,
    /// The call that it begins, when that is watched, and how far it has come since it was last asked.
    pub(crate) watched: Option<(String, String)>,
    pub(crate) progress: Option<(StatusCode, Option<String>)>,
    server: Server,
    branches: Vec<Branch>,
    /// The best failure so far.
    best: Option<Response>,
    /// What all 401s and 407s ask for (§16.7 step 7).
    challenges: Vec<(HeaderName, String)>,
    /// To tag of the answers that we make ourselves.
    tag: String,
    /// Whether a final answer has gone up.
    answered: bool,
    /// Whether it was a 2xx.
    accepted: bool,
    /// What a CANCEL says, when it is not the caller who gave up (RFC 3326).
    cancel_reason: Option<String>,
}

enum Server {
    Invite(ServerInvite),
    Other(ServerNonInvite),
}

struct Branch {
    destination: Destination,
    client: Client,
    cancel: Option<ClientNonInvite>,
    /// A CANCEL is due as soon as the branch has said something (§9.1).
    cancel_due: bool,
    finished: bool,
    /// Other ways to the same phone, the best last.
    spares: Vec<Target>,
    /// Timer C; after the CANCEL, until when a final answer is waited for (§9.1).
    patience: Option<Instant>,
}

impl Branch {
    /// The `branch` in the Via of its copy.
    fn name(&self) -> &str {
        match &self.client {
            Client::Invite(client) => client.branch(),
            Client::Other(client) => client.branch(),
        }
    }

    /// Nothing more is expected of it.
    fn finish(&mut self) {
        self.finished = true;
        self.patience = None;
    }
}

enum Client {
    Invite(Box<ClientInvite>),
    Other(ClientNonInvite),
}

/// Something to be sent.
pub(crate) struct Sending {
    pub(crate) destination: Destination,
    pub(crate) bytes: Vec<u8>,
}

/// A copy of the request for one target, Via and all, and where to send it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) request: Request,
    pub(crate) branch: String,
    pub(crate) destination: Destination,
    /// Other ways to the same phone, tried one after another when this one is gone (RFC 5626 §5.3).
    pub(crate) spares: Vec<Target>,
}

impl Context {
    /// Takes a request, its Via already marked with where it came from.
    pub(crate) fn new(
        now: Instant,
        request: Request,
        inbound: Inbound,
        key: ServerKey,
        tag: String,
    ) -> Self {
        let reliable = inbound.path.transport.is_reliable();
        let timers = Timers::default();
        let server = if request.method == Method::Invite {
            Server::Invite(ServerInvite::new(now, &request, reliable, &timers))
        } else {
            Server::Other(ServerNonInvite::new(now, &request, reliable, &timers))
        };
        Self {
            request,
            inbound,
            key,
            filed: None,
            charge: None,
            watched: None,
            progress: None,
            server,
            branches: Vec::new(),
            best: None,
            challenges: Vec::new(),
            tag,
            answered: false,
            accepted: false,
            cancel_reason: None,
        }
    }

    /// Forwards to all targets at once; without any there is nobody to be reached (§16.7 step 6).
    pub(crate) fn fork(&mut self, now: Instant, targets: Vec<Target>) {
        if targets.is_empty() {
            let response = self.own_answer(StatusCode::TEMPORARILY_UNAVAILABLE);
            return self.respond(now, response);
        }
        for target in targets {
            self.start(now, target);
        }
    }

    fn start(&mut self, now: Instant, target: Target) {
        let timers = Timers::default();
        let reliable = target.destination.transport().is_reliable();
        let client = if target.request.method == Method::Invite {
            let client = ClientInvite::new(now, target.request, &target.branch, reliable, &timers);
            Client::Invite(Box::new(client))
        } else {
            Client::Other(ClientNonInvite::new(
                now,
                &target.request,
                &target.branch,
                reliable,
                &timers,
            ))
        };
        let patience = matches!(client, Client::Invite(_)).then(|| now + TIMER_C);
        self.branches.push(Branch {
            destination: target.destination,
            client,
            cancel: None,
            cancel_due: false,
            finished: false,
            spares: target.spares,
            patience,
        });
    }

    /// The way that a branch took to a phone is gone: by another, if there is one.
    fn goes_another_way(&mut self, now: Instant, index: usize) -> bool {
        let Some(branch) = self.branches.get_mut(index) else {
            return false;
        };
        if self.answered || branch.cancel.is_some() || branch.cancel_due {
            return false;
        }
        let mut spares = std::mem::take(&mut branch.spares);
        let Some(mut next) = spares.pop() else {
            return false;
        };
        branch.finish();
        next.spares = spares;
        self.start(now, next);
        true
    }

    /// Answers by ourselves.
    pub(crate) fn respond(&mut self, now: Instant, response: Response) {
        self.answered |= response.status.is_final();
        self.accepted |= response.status.is_success();
        let tag = response.headers.to().ok();
        let tag = tag.and_then(|to| to.tag().map(str::to_owned));
        self.progress = Some((response.status, tag));
        match &mut self.server {
            Server::Invite(server) => server.respond(now, response),
            Server::Other(server) => server.respond(now, response),
        }
    }

    /// Takes a repeat of the request, or the ACK of its failure.
    pub(crate) fn handle_request(&mut self, now: Instant, request: &Request) {
        match &mut self.server {
            Server::Invite(server) => server.handle_request(now, request),
            Server::Other(server) => server.handle_request(now, request),
        }
    }

    /// The caller has given up: so do all branches, and their answers tell the caller. Why it gave up, or that
    /// somebody else took the call, is passed on (RFC 3326 §1).
    pub(crate) fn handle_cancel(&mut self, now: Instant, cancel: &Request) {
        let reasons: Vec<&str> = cancel.headers.get_all(HeaderName::Reason).collect();
        let reason = reasons.join(", ");
        let fits = !reason.is_empty() && reason.len() <= LONGEST_REASON;
        self.cancel_branches(now, fits.then_some(reason));
    }

    /// Where the copy with this branch went.
    pub(crate) fn way_of(&self, branch: &str) -> Option<Destination> {
        let sent = self.branches.iter().find(|b| b.name() == branch);
        sent.map(|branch| branch.destination)
    }

    /// To tag of the answers that we make ourselves.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// About how many bytes a request of this size with so many copies holds: each message twice, as
    /// parts and as sent.
    pub(crate) fn weight_of(size: usize, copies: usize) -> usize {
        size.saturating_mul(2 + 2 * copies)
    }

    /// Whether a 2xx has gone up, so that an ACK with this very branch is meant for the far end.
    pub(crate) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// Takes a response whose top Via is ours.
    pub(crate) fn handle_response(&mut self, now: Instant, mut response: Response) {
        // A transaction answers for one hop and wants to see that hop's Via only; the others are
        // those of the request and are put back on the way up.
        let Some(via) = response.headers.remove_first(HeaderName::Via) else {
            return;
        };
        response.headers.remove(HeaderName::Via);
        response.headers.insert_first(HeaderName::Via, via);
        for branch in &mut self.branches {
            let by_cancel = branch
                .cancel
                .as_mut()
                .is_some_and(|c| c.handle_response(now, &response));
            let taken = by_cancel
                || match &mut branch.client {
                    Client::Invite(client) => client.handle_response(now, &response),
                    Client::Other(client) => client.handle_response(now, &response),
                };
            if taken {
                return;
            }
        }
    }

    /// The branches that responses to its copies carry.
    pub(crate) fn branches(&self) -> impl Iterator<Item = &str> {
        self.branches.iter().map(Branch::name)
    }

    /// Takes the news that something with this branch could not be sent.
    pub(crate) fn handle_transport_error(
        &mut self,
        now: Instant,
        sent: &str,
        error: &TransportError,
    ) {
        for branch in &mut self.branches {
            match &mut branch.client {
                Client::Invite(c) if c.branch() == sent => {
                    c.handle_transport_error(now, error.clone());
                    if let Some(cancel) = &mut branch.cancel {
                        cancel.handle_transport_error(now, error.clone());
                    }
                }
                Client::Other(c) if c.branch() == sent => {
                    c.handle_transport_error(now, error.clone());
                }
                _ => {}
            }
        }
    }

    /// Lets due timers fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.server {
            Server::Invite(server) => server.handle_timeout(now),
            Server::Other(server) => server.handle_timeout(now),
        }
        for branch in &mut self.branches {
            match &mut branch.client {
                Client::Invite(client) => client.handle_timeout(now),
                Client::Other(client) => client.handle_timeout(now),
            }
            if let Some(cancel) = &mut branch.cancel {
                cancel.handle_timeout(now);
            }
        }
        self.give_up_the_silent(now);
        self.send_due_cancels(now);
    }

    /// Timer C cancels a branch (§16.8); one that was cancelled and is still silent has failed.
    fn give_up_the_silent(&mut self, now: Instant) {
        let mut silent = false;
        for branch in &mut self.branches {
            if branch.finished || branch.patience.is_none_or(|at| at > now) {
                continue;
            }
            if branch.cancel.is_none() {
                branch.patience = None;
                branch.cancel_due = true;
            } else {
                branch.finish();
                silent = true;
            }
        }
        if silent {
            self.offer_best(self.own_answer(StatusCode::REQUEST_TIMEOUT));
        }
    }

    /// Everything there is to send now.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Sending> {
        let mut sendings = Vec::new();
        loop {
            let before = sendings.len();
            let mut progress = false;
            for index in 0..self.branches.len() {
                while let Some(output) = self.poll_branch(index) {
                    progress = true;
                    self.on_client_output(now, index, output, &mut sendings);
                }
            }
            self.send_due_cancels(now);
            self.answer_when_all_have_spoken(now);
            while let Some(output) = self.poll_server() {
                progress = true;
                if let ServerOutput::Send(bytes) = output {
                    sendings.push(Sending {
                        destination: self.inbound.destination(),
                        bytes,
                    });
                }
            }
            if !progress && sendings.len() == before {
                return sendings;
            }
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let server = match &self.server {
            Server::Invite(server) => server.deadline(),
            Server::Other(server) => server.deadline(),
        };
        let branches = self.branches.iter().flat_map(|branch| {
            let client = match &branch.client {
                Client::Invite(client) => client.deadline(),
                Client::Other(client) => client.deadline(),
            };
            [
                client,
                branch.cancel.as_ref().and_then(ClientNonInvite::deadline),
                branch.patience,
            ]
        });
        branches.chain([server]).flatten().min()
    }

    /// Whether everything about it is over.
    pub(crate) fn is_over(&self) -> bool {
        let server = match &self.server {
            Server::Invite(server) => server.is_terminated(),
            Server::Other(server) => server.is_terminated(),
        };
        // A branch that was given up has no timer left that would end its transaction.
        server
            && self.branches.iter().all(|branch| match &branch.client {
                Client::Invite(client) => {
                    client.is_terminated() || branch.finished && client.is_proceeding()
                }
                Client::Other(client) => client.is_terminated(),
            })
    }

    fn poll_branch(&mut self, index: usize) -> Option<ClientOutput> {
        let branch = self.branches.get_mut(index)?;
        if let Some(ClientOutput::Send(bytes)) = branch
            .cancel
            .as_mut()
            .and_then(ClientNonInvite::poll_output)
        {
            return Some(ClientOutput::Send(bytes));
        }
        match &mut branch.client {
            Client::Invite(client) => client.poll_output(),
            Client::Other(client) => client.poll_output(),
        }
    }

    fn poll_server(&mut self) -> Option<ServerOutput> {
        match &mut self.server {
            Server::Invite(server) => server.poll_output(),
            Server::Other(server) => server.poll_output(),
        }
    }

    fn on_client_output(
        &mut self,
        now: Instant,
        index: usize,
        output: ClientOutput,
        sendings: &mut Vec<Sending>,
    ) {
        let Some(branch) = self.branches.get_mut(index) else {
            return;
        };
        match output {
            ClientOutput::Send(bytes) => sendings.push(Sending {
                destination: branch.destination,
                bytes,
            }),
            ClientOutput::Deliver(response) => self.on_response(now, index, response),
            ClientOutput::TimedOut => {
                branch.finish();
                // RFC 4320 §4.2: nobody is helped by a 408 to a non-INVITE; silence says the same.
                if matches!(branch.client, Client::Invite(_)) {
                    self.offer_best(self.own_answer(StatusCode::REQUEST_TIMEOUT));
                }
            }
            // §16.9: as if it had answered 503, which goes up as a 500.
            ClientOutput::TransportFailed(_) => {
                branch.finish();
                if self.goes_another_way(now, index) {
                    return;
                }
                self.offer_best(self.own_answer(StatusCode::SERVER_INTERNAL_ERROR));
            }
            ClientOutput::Terminated => branch.finish(),
        }
    }

    fn on_response(&mut self, now: Instant, index: usize, mut response: Response) {
        // §16.7 step 3: our own Via comes off, and those of the request lead back.
        response.headers.remove(HeaderName::Via);
        let vias: Vec<&str> = self.request.headers.get_all(HeaderName::Via).collect();
        for via in vias.into_iter().rev() {
            response.headers.insert_first(HeaderName::Via, via);
        }
        let status = response.status;
        if let Some(branch) = self.branches.get_mut(index) {
            if status.is_final() {
                branch.finish();
            } else if status != StatusCode::TRYING && branch.cancel.is_none() {
                branch.patience = branch.patience.map(|_| now + TIMER_C);
            }
        }
        match status.code() {
            100 => {}
            101..=199 => {
                if !self.answered {
                    self.respond(now, response);
                }
            }
            200..=299 => {
                self.respond(now, response);
                // RFC 3326 §3.1: the other phones are not to show a missed call.
                self.cancel_branches(now, Some(ELSEWHERE.to_owned()));
            }
            430 if self.goes_another_way(now, index) => {}
            code => {
                self.offer_best(response);
                if code >= 600 {
                    self.cancel_branches(now, Some(EVERYWHERE.to_owned()));
                }
            }
        }
    }

    /// Keeps the better of two failures (§16.7 step 6): a 6xx before all, then the lowest class, and
    /// within the fours what tells the caller how to do better.
    fn offer_best(&mut self, response: Response) {
        if matches!(response.status.code(), 401 | 407) {
            for name in [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate] {
                let values = response.headers.get_all(name.clone());
                let found = values.map(|value| (name.clone(), value.to_owned()));
                self.challenges.extend(found);
            }
            self.challenges.truncate(CHALLENGES);
        }
        if self
            .best
            .as_ref()
            .is_none_or(|best| rank(response.status) < rank(best.status))
        {
            self.best = Some(response);
        }
    }

    fn answer_when_all_have_spoken(&mut self, now: Instant) {
        if self.answered || self.branches.is_empty() || !self.branches.iter().all(|b| b.finished) {
            return;
        }
        let Some(best) = self.best.take() else {
            // Only a non-INVITE ends without a word.
            self.answered = true;
            return;
        };
        let best = match best.status.code() {
            // §16.7: a 503 says that we cannot serve anything, which is not so.
            503 => self.own_answer(StatusCode::SERVER_INTERNAL_ERROR),
            401 | 407 => self.with_all_challenges(best),
            _ => best,
        };
        self.respond(now, best);
    }

    /// §16.7 step 7: the caller can answer all of them at once, or never gets past the fork.
    fn with_all_challenges(&mut self, mut best: Response) -> Response {
        best.headers.remove(HeaderName::WwwAuthenticate);
        best.headers.remove(HeaderName::ProxyAuthenticate);
        for (name, value) in std::mem::take(&mut self.challenges) {
            best.headers.push(name, value);
        }
        best
    }

    fn own_answer(&self, status: StatusCode) -> Response {
        stateless::response(&self.request, status, Some(&self.tag))
    }

    /// The first reason there is counts: what came later did not end the branches.
    fn cancel_branches(&mut self, now: Instant, reason: Option<String>) {
        self.cancel_reason = self.cancel_reason.take().or(reason);
        for branch in &mut self.branches {
            branch.cancel_due |= !branch.finished && branch.cancel.is_none();
        }
        self.send_due_cancels(now);
    }

    fn send_due_cancels(&mut self, now: Instant) {
        for branch in &mut self.branches {
            let Client::Invite(client) = &branch.client else {
                continue;
            };
            if branch.cancel_due && branch.cancel.is_none() && client.is_proceeding() {
                branch.cancel_due = false;
                branch.patience = Some(now + Timers::default().patience());
                let reliable = branch.destination.transport().is_reliable();
                let mut request = client.cancel_request();
                if let Some(reason) = &self.cancel_reason {
                    request.headers.push(HeaderName::Reason, reason.as_str());
                }
                let cancel = ClientNonInvite::new(
                    now,
                    &request,
                    client.branch(),
                    reliable,
                    &Timers::default(),
                );
                branch.cancel = Some(cancel);
            }
        }
    }
}

/// §16.7 step 6: any 6xx, then the lowest class; of the fours first those that tell how to do better.
fn rank(status: StatusCode) -> u16 {
    match status.code() {
        code @ 600..=699 => code - 600,
        code @ 300..=399 => 1_000 + code,
        code @ (401 | 407 | 415 | 420 | 484) => 2_000 + code,
        // A timeout says the least.
        408 => 4_000,
        code @ 400..=499 => 3_000 + code,
        code => 5_000 + code,
    }
}
