//! Our requests on their way: paths, attempts, failover, credentials.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use sip_message::{HeaderName, Headers, Method, Request, Response, Scheme, StatusCode, Uri};

use super::task::{Attempt, Cancel, ClientTask, Fault, Machine, Purpose, TaskId, Way};
use super::{Call, CallConfig, CallEvent, EndKind, NetworkFault};
use crate::auth::{Asked, AuthError, Authenticator, Exchange};
use crate::client::{LARGEST_ON_UDP, written};
use crate::locate::{self, Tried};
use crate::path::{
    Destination, Path, ResolveError, ResolveId, Transmit, Transport, TransportError,
};
use crate::transaction::{ClientInvite, ClientNonInvite, ClientOutput};

/// How many answered attempts of one request are kept for repeats of their answers.
const PAST_LIMIT: usize = 8;

impl Call {
    /// Puts a request on its way to `hop`, by the paths known or asked for.
    pub(super) fn send(
        &mut self,
        now: Instant,
        purpose: Purpose,
        request: Request,
        hop: &Uri,
    ) -> TaskId {
        let id = self.next_task();
        let mut request = request;
        if !matches!(purpose, Purpose::Invite | Purpose::Ack { .. }) {
            self.write_own_headers(&mut request.headers);
        }
        let way = self.way_to(hop);
        let known = matches!(way, Way::Known(_));
        self.clients.push(ClientTask {
            id,
            purpose,
            request,
            hop: hop.clone(),
            way,
            attempt: None,
            past: Vec::new(),
            exchange: Exchange::default(),
            logins_asked: Asked::default(),
            waits_for_login: false,
            cancel: Cancel::No,
            give_up_at: None,
            too_large_for: None,
            lengthened: false,
            done: false,
        });
        if known {
            self.try_next(now, id, nowhere());
        }
        id
    }

    /// The answer to a question for paths.
    pub(super) fn resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        result: Result<Vec<Path>, ResolveError>,
    ) {
        let asked = |task: &&mut ClientTask| matches!(task.way, Way::Asked(asked) if asked == id);
        let Some(task) = self.clients.iter_mut().find(asked) else {
            return;
        };
        let (task_id, hop) = (task.id, task.hop.to_string());
        let (paths, fault) = match result {
            Ok(paths) => (paths, nowhere()),
            Err(error) => (Vec::new(), Fault::Unresolved(error)),
        };
        let destinations = self.in_order(&paths);
        if let Some(task) = self.clients.iter().find(|task| task.id == task_id) {
            self.authenticator.learn(&task.hop, &paths);
        }
        if !paths.is_empty() {
            self.known_way = Some((hop, destinations.clone()));
        }
        if let Some(task) = self.client(task_id) {
            task.way = Way::Known(destinations.into());
        }
        self.try_next(now, task_id, fault);
    }

    /// A message with this branch could not be sent.
    pub(super) fn unsent(&mut self, now: Instant, branch: &str, error: TransportError) {
        let attempt = self.clients.iter_mut().find_map(|task| {
            let id = task.id;
            task.attempt_with(branch).map(|attempt| (id, attempt))
        });
        if let Some((id, attempt)) = attempt {
            if !matches!(attempt.machine, Machine::Ack(_)) {
                attempt.handle_transport_error(now, error);
            } else {
                self.attempt_failed(now, id, Fault::Transport(error));
            }
            return;
        }
        let answered = self.servers.iter_mut().find(|task| task.has_branch(branch));
        match answered {
            Some(task) => task.handle_transport_error(now, error),
            None => self.ignored = self.ignored.saturating_add(1),
        }
    }

    pub(super) fn on_client_output(
        &mut self,
        now: Instant,
        id: TaskId,
        present: bool,
        destination: Destination,
        output: ClientOutput,
    ) {
        match output {
            ClientOutput::Send(bytes) => {
                let task = self.clients.iter().find(|task| task.id == id);
                let for_size = task.is_some_and(|task| task.is_for_size(destination));
                let what = task.map_or_else(String::new, |task| {
                    // The ACK to a refusal comes from the INVITE's transaction.
                    if bytes.starts_with(b"ACK ") {
                        "ACK".to_owned()
                    } else {
                        task.request.method.to_string()
                    }
                });
                self.out.transmit(Transmit {
                    for_size,
                    ..Transmit::new(destination, bytes, what)
                });
            }
            ClientOutput::Deliver(response) if present => self.on_response(now, id, response),
            ClientOutput::TimedOut if present => self.attempt_failed(now, id, Fault::Silence),
            ClientOutput::TransportFailed(error) if present => {
                self.attempt_failed(now, id, Fault::Transport(error));
            }
            // What earlier attempts say is about repeats of answers that were heard.
            ClientOutput::Deliver(_)
            | ClientOutput::TimedOut
            | ClientOutput::TransportFailed(_)
            | ClientOutput::Terminated => {}
        }
    }

    pub(super) fn on_response(&mut self, now: Instant, id: TaskId, response: Response) {
        let Some(task) = self.client(id) else { return };
        let hop = task.hop.to_string();
        let Some(attempt) = &mut task.attempt else {
            return;
        };
        let destination = attempt.destination;
        attempt.answered |= response.status.is_final();
        // TCP was taken for the size of this one request; the next may fit a datagram (RFC 3261 §18.1.1).
        let preferred = task
            .too_large_for
            .filter(|_| task.is_for_size(destination))
            .unwrap_or(destination);
        // RFC 3263 §4.3: the next server is tried.
        if response.status == StatusCode::SERVICE_UNAVAILABLE && self.has_other_path(id) {
            let fault = Fault::Unavailable(Box::new(response));
            return self.attempt_failed(now, id, fault);
        }
        self.prefer(&hop, preferred);
        let Some(task) = self.client(id) else { return };
        match task.purpose {
            Purpose::Invite => self.on_invite_response(now, id, response),
            Purpose::Reinvite { .. } => self.on_reinvite_response(now, id, response),
            Purpose::Update { .. } => self.on_update_response(now, id, &response),
            Purpose::Refer { id: transfer } => {
                self.on_refer_response(now, id, transfer, &response);
            }
            Purpose::Notify { id: transfer, last } => {
                self.on_notify_response(now, id, transfer, last, &response);
            }
            Purpose::Bye | Purpose::Info | Purpose::Cancel | Purpose::Prack { .. } => {
                self.on_plain_response(now, id, &response);
            }
            // No answer belongs to an ACK.
            Purpose::Ack { .. } => {}
        }
    }

    /// A response to BYE, INFO or CANCEL.
    fn on_plain_response(&mut self, now: Instant, id: TaskId, response: &Response) {
        if !response.status.is_final() {
            return;
        }
        let Some(task) = self.client(id) else { return };
        let purpose = task.purpose.clone();
        if is_challenge(response)
            && purpose != Purpose::Cancel
            && self.authorise_and_retry(now, id, response).is_ok()
        {
            return;
        }
        self.finish(id);
        match purpose {
            Purpose::Info if !response.status.is_success() => self.on_info_refused(now, response),
            Purpose::Prack { .. } if !response.status.is_success() => {
                let code = response.status.code();
                self.notice(&format!("the peer answered a PRACK with {code}"));
            }
            _ => {}
        }
    }

    /// Sends a challenged request again with credentials (RFC 3261 §22.2). An error says why not.
    pub(super) fn authorise_and_retry(
        &mut self,
        now: Instant,
        id: TaskId,
        response: &Response,
    ) -> Result<(), EndKind> {
        let task = self.clients.iter_mut().find(|task| task.id == id);
        let Some(task) = task else { return Ok(()) };
        let Err(error) = self
            .authenticator
            .handle_challenge(response, &mut task.exchange)
        else {
            self.send_again(now, id);
            return Ok(());
        };
        if self.waits_for_login(now, id, response, &error) {
            return Ok(());
        }
        Err(self.refusal_of_login(error, response))
    }

    /// Sends a request that was answered once more, as its owner has changed it since.
    pub(super) fn send_again(&mut self, now: Instant, id: TaskId) {
        let task = self.clients.iter_mut().find(|task| task.id == id);
        let Some(task) = task else { return };
        let Some(attempt) = task.attempt.take() else {
            return;
        };
        // The number after the last one of the dialog: the retry is a request of its own (RFC 3261 §8.1.3.5).
        let last = task.request.headers.cseq().map_or(0, |cseq| cseq.number);
        let to = task.request.headers.to().ok();
        let tag = to.and_then(|to| to.tag().map(str::to_owned));
        let early = tag.as_ref().and_then(|tag| self.early.find_mut(tag));
        let in_dialog = match (early, &self.dialog) {
            (Some(early), _) => early.local_cseq(),
            (None, Some(dialog)) => dialog.local_cseq(),
            (None, None) => 0,
        };
        let number = last.max(in_dialog).saturating_add(1);
        let value = format!("{number} {}", task.request.method);
        task.request.headers.set(HeaderName::CSeq, value);
        // The same server first: it is the one that knows its nonce.
        if let Way::Known(left) = &mut task.way {
            left.push_front(attempt.destination);
        }
        keep_for_repeats(task, attempt);
        if let Some(dialog) = &mut self.dialog {
            dialog.set_local_cseq(number);
        }
        if let Some(dialog) = tag.and_then(|tag| self.early.find_mut(&tag)) {
            dialog.set_local_cseq(number);
        }
        self.try_next(now, id, nowhere());
    }

    /// The present attempt came to nothing.
    pub(super) fn attempt_failed(&mut self, now: Instant, id: TaskId, fault: Fault) {
        let Some(task) = self.client(id) else { return };
        let answered = task
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.answered);
        if task.done || (answered && !matches!(fault, Fault::Unavailable(_))) {
            return;
        }
        let hop = task.hop.to_string();
        let attempt = task.attempt.take();
        let cancelled = task.cancel != Cancel::No;
        let failed = attempt.as_ref().map(|attempt| attempt.destination);
        let back = failed.and_then(|failed| task.other_for_size(failed, &fault));
        let given_up = match (&attempt, &task.purpose) {
            (Some(attempt), Purpose::Invite) => {
                Some((attempt.branch.clone(), task.request.clone()))
            }
            _ => None,
        };
        if let Some(attempt) = attempt {
            keep_for_repeats(task, attempt);
        }
        if let (Some(destination), Way::Known(left)) = (back, &mut task.way) {
            left.push_front(destination);
        }
        let next = match &task.way {
            Way::Known(left) if !cancelled => left.front().copied(),
            _ => None,
        };
        if let Some(given_up) = given_up
            && self.given_up.len() < PAST_LIMIT
        {
            self.given_up.push(given_up);
        }
        if let Some(failed) = failed {
            self.rest(&hop, failed);
            // A server that has no TCP for what is large is as good as before.
            if back.is_none() {
                self.tell_tried(failed, &fault);
            }
        }
        if let Some(next) = next {
            self.notice(&format!("{}, trying {}", words(&fault), next.path()));
        }
        if cancelled {
            // Nobody wants it any more, so no other path has to be tried.
            self.finish(id);
        } else {
            self.try_next(now, id, fault);
        }
    }

    /// Asks for the paths of a request again, after all of them have failed.
    pub(super) fn ask_again(&mut self, now: Instant, id: TaskId) {
        let Some(hop) = self.client(id).map(|task| task.hop.clone()) else {
            return;
        };
        let way = self.way_to(&hop);
        let known = matches!(way, Way::Known(_));
        if let Some(task) = self.client(id) {
            task.way = way;
        }
        if known {
            self.try_next(now, id, nowhere());
        }
    }

    /// Tries the next path; without one the request has failed by `fault`.
    fn try_next(&mut self, now: Instant, id: TaskId, fault: Fault) {
        let Some(task) = self.clients.iter_mut().find(|task| task.id == id) else {
            return;
        };
        let Way::Known(left) = &mut task.way else {
            return;
        };
        let Some(destination) = left.pop_front() else {
            return self.task_failed(now, id, fault);
        };
        let branch = self.tokens.branch();
        let mut request = task.request.clone();
        self.session_ids.write(&mut request.headers);
        // The ACK to a 2xx has its INVITE's credentials already.
        if request.method != Method::Ack {
            task.exchange.goes_to(destination.path().remote);
            task.exchange
                .set_secure(destination.transport().is_secure());
            self.authenticator
                .authorize(&mut request, &mut task.exchange, &mut self.tokens);
        }
        let bare = request.clone();
        stamp(&self.config, &mut request, destination.path(), &branch);
        let size = written(&request, destination.transport()).len();
        let mut destination = destination;
        // RFC 3261 §18.1.1: what is too large for a datagram goes over TCP, and that is told. The top Via says so; a
        // Route stays as configured or as the registrar gave it, `transport=udp` included: it is compared by the proxy
        // that it names (§16.4), and of the change of transport the RFC asks the Via alone.
        let bent = destination.transport() == Transport::Udp
            && size > LARGEST_ON_UDP
            && task.too_large_for != Some(destination);
        if bent {
            task.too_large_for = Some(destination);
            destination = over_tcp(destination);
            request = bare;
            stamp(&self.config, &mut request, destination.path(), &branch);
        }
        self.last_tried = Some(destination.path().remote);
        if matches!(task.purpose, Purpose::Invite) {
            self.invited_at = self.last_tried;
        }
        let (timers, reliable) = (self.config.timers, destination.transport().is_reliable());
        let machine = match (&task.purpose, request.method == Method::Invite) {
            (Purpose::Ack { .. }, _) => Machine::Ack(request.to_bytes()),
            (_, true) => {
                let bytes = written(&request, destination.transport());
                Machine::Invite(Box::new(ClientInvite::sent_as(
                    now, request, bytes, &branch, reliable, &timers,
                )))
            }
            (_, false) => {
                let machine = ClientNonInvite::new(now, &request, &branch, reliable, &timers);
                Machine::Other(Box::new(machine))
            }
        };
        task.attempt = Some(Attempt {
            branch,
            destination,
            machine,
            answered: false,
        });
        let is_ack = matches!(task.purpose, Purpose::Ack { .. });
        if bent {
            let next = destination.path().remote;
            self.notice(&format!(
                "a request has {size} bytes, too many for UDP: TCP to {next} comes first"
            ));
        }
        if is_ack {
            self.ack_ready(now, id);
        }
    }

    /// No path is left.
    fn task_failed(&mut self, now: Instant, id: TaskId, fault: Fault) {
        let Some(task) = self.client(id) else { return };
        let (hop, purpose) = (task.hop.to_string(), task.purpose.clone());
        if self
            .known_way
            .as_ref()
            .is_some_and(|(known, _)| *known == hop)
        {
            // All of them failed: the next request asks anew.
            self.known_way = None;
        }
        match purpose {
            Purpose::Invite => {
                self.finish(id);
                let kind = self.end_kind_of(fault);
                self.end(now, kind);
            }
            Purpose::Reinvite { refresh, .. } => {
                self.finish(id);
                self.reoffer_not_carried(now, refresh, &fault);
            }
            Purpose::Update { .. } => {
                self.finish(id);
                self.update_not_carried(now, purpose, &fault);
            }
            // The peer repeats its 2xx: the next one asks for paths again.
            Purpose::Ack { .. } => {
                self.notice("the acknowledgement of an answer could not be sent");
            }
            Purpose::Info => {
                self.finish(id);
                self.notice("an INFO did not reach the peer");
            }
            Purpose::Prack { .. } => {
                self.finish(id);
                self.notice("a PRACK did not reach the peer");
            }
            Purpose::Refer { id: transfer } => {
                self.finish(id);
                self.refer_not_carried(transfer);
            }
            Purpose::Notify { id: transfer, .. } => {
                self.finish(id);
                self.notify_not_carried(transfer);
            }
            Purpose::Bye | Purpose::Cancel => self.finish(id),
        }
    }

    fn end_kind_of(&self, fault: Fault) -> EndKind {
        match fault {
            Fault::Silence => EndKind::Silence {
                address: self.last_tried,
            },
            Fault::Transport(error) => EndKind::Network {
                fault: NetworkFault::Transport(error),
            },
            Fault::Unresolved(error) => EndKind::Network {
                fault: NetworkFault::Unresolved(error),
            },
            Fault::Unavailable(response) => self.status_kind(&response),
        }
    }

    /// What a peer's final refusal says, for the user.
    pub(super) fn status_kind(&self, response: &Response) -> EndKind {
        let first = |name: HeaderName| response.headers.get(name).map(str::to_owned);
        let remarks = [
            HeaderName::Reason,
            HeaderName::Warning,
            HeaderName::RetryAfter,
        ];
        let remarks: Vec<String> = remarks
            .into_iter()
            .filter_map(|name| Some(format!("{name}: {}", response.headers.get(name.clone())?)))
            .collect();
        EndKind::Status {
            code: response.status.code(),
            phrase: response.reason.as_str().into(),
            server: first(HeaderName::Server).or_else(|| first(HeaderName::UserAgent)),
            address: self.source.map(|inbound| inbound.path.remote),
            remark: (!remarks.is_empty()).then(|| remarks.join("; ").into()),
            interval: None,
        }
    }

    fn refusal_of_login(&self, error: AuthError, response: &Response) -> EndKind {
        match error {
            AuthError::NoCredentials { realm } => EndKind::PasswordMissing { realm },
            AuthError::Refused { realm } => EndKind::PasswordRefused { realm },
            AuthError::Stale { realm } => EndKind::LoginStale { realm },
            AuthError::TooWeak { realm, .. } => EndKind::LoginTooWeak { realm },
            AuthError::Weaker { realm } => EndKind::LoginWeaker { realm },
            AuthError::TooOften { .. } | AuthError::NothingKnown { .. } => {
                self.status_kind(response)
            }
        }
    }

    /// Nothing more is to come of this request.
    pub(super) fn finish(&mut self, id: TaskId) {
        if let Some(task) = self.client(id) {
            task.done = true;
            task.give_up_at = None;
        }
    }

    pub(super) fn way_to(&mut self, hop: &Uri) -> Way {
        if let Some((known, destinations)) = &self.known_way
            && *known == hop.to_string()
        {
            return Way::Known(destinations.iter().copied().collect());
        }
        let way = self.next_resolve();
        if let Way::Asked(id) = way {
            self.out.resolve(id, hop.clone(), self.config.transport);
        }
        way
    }

    fn has_other_path(&mut self, id: TaskId) -> bool {
        let cancelled = |task: &ClientTask| task.cancel != Cancel::No;
        self.client(id).is_some_and(|task| {
            !cancelled(task) && matches!(&task.way, Way::Known(left) if !left.is_empty())
        })
    }

    /// This destination answered for the next hop: later requests try it first.
    fn prefer(&mut self, hop: &str, destination: Destination) {
        if let Some((known, destinations)) = &mut self.known_way
            && known == hop
            && destinations.first() != Some(&destination)
        {
            destinations.retain(|other| *other != destination);
            destinations.insert(0, destination);
        }
    }

    /// This destination failed: later requests try it last. It is rested and not removed, since all may fail once.
    fn rest(&mut self, hop: &str, destination: Destination) {
        if let Some((known, destinations)) = &mut self.known_way
            && known == hop
        {
            destinations.retain(|other| *other != destination);
            destinations.push(destination);
        }
    }

    /// Tells which server failed, to whoever keeps the list of them. A 503 is no such failure: it may be the word of
    /// whoever is behind the server, about the one number that was called, and the server itself is as good as before.
    fn tell_tried(&mut self, destination: Destination, fault: &Fault) {
        let fault = match fault {
            Fault::Silence => locate::Fault::Silence,
            Fault::Transport(error) => locate::Fault::Transport(error.clone()),
            Fault::Unavailable(_) | Fault::Unresolved(_) => return,
        };
        let path = *destination.path();
        self.event(CallEvent::Tried(Tried { path, fault }));
    }

    /// Paths as destinations: on the flow that the peer used where that leads the same way, and with that flow as the
    /// last resort. It comes first where the peer's Contact holds a private address and the peer itself was heard from
    /// a public one: a router stands between, and nothing sent to the Contact would arrive.
    fn in_order(&mut self, paths: &[Path]) -> Vec<Destination> {
        let Some(source) = self.source else {
            return paths.iter().copied().map(Destination::Path).collect();
        };
        let flow = source.destination();
        let same = |path: &Path| path.leads_along(&source.path);
        let mut destinations: VecDeque<Destination> = paths
            .iter()
            .map(|path| {
                if same(path) {
                    flow
                } else {
                    Destination::Path(*path)
                }
            })
            .collect();
        if destinations.contains(&flow) {
            return destinations.into();
        }
        let behind_router = !is_private(source.path.remote.ip())
            && paths
                .first()
                .is_some_and(|path| is_private(path.remote.ip()));
        if behind_router {
            destinations.push_front(flow);
            self.notice(
                "the peer's Contact is a private address; requests go to where it was heard from",
            );
        } else {
            destinations.push_back(flow);
        }
        destinations.into()
    }
}

/// The login of an account, ready for challenges.
pub(super) fn authenticator(config: &CallConfig) -> Authenticator {
    Authenticator::at_home(config.credentials.clone(), config.home.clone())
}

/// Whether a response asks for a login.
pub(super) fn is_challenge(response: &Response) -> bool {
    matches!(response.status.code(), 401 | 407)
}

/// Our Contact on a path.
pub(super) fn contact_value(config: &CallConfig, path: &Path, sips: bool) -> String {
    if let Some(contact) = &config.contact {
        return format!("<{contact}>");
    }
    let (user, local) = (&config.contact_user, path.local);
    match (sips, path.transport) {
        // RFC 5630 §5.1: a sips request wants a sips Contact, and TLS goes without saying then.
        (true, _) => format!("<sips:{user}@{local}>"),
        (false, Transport::Udp) => format!("<sip:{user}@{local}>"),
        // RFC 7118 §5.2: `ws` also names the secure kind, as in the Contact that is registered.
        (false, Transport::Wss) => format!("<sip:{user}@{local};transport=ws>"),
        (false, transport) => format!("<sip:{user}@{local};transport={transport}>"),
    }
}

/// Writes what depends on the path: Via, and Contact where the method has one.
fn stamp(config: &CallConfig, request: &mut Request, path: &Path, branch: &str) {
    let mut headers = Headers::new();
    headers.push(HeaderName::Via, path.via_value(branch));
    let sips = request.uri.scheme == Scheme::Sips;
    let with_contact = matches!(
        request.method,
        Method::Invite | Method::Update | Method::Refer | Method::Notify
    );
    for field in request.headers.iter() {
        headers.push(field.name(), field.value());
        if *field.name() == HeaderName::CSeq && with_contact {
            headers.push(HeaderName::Contact, contact_value(config, path, sips));
        }
    }
    request.headers = headers;
}

fn keep_for_repeats(task: &mut ClientTask, attempt: Attempt) {
    if task.past.len() < PAST_LIMIT && !attempt.is_terminated() {
        task.past.push(attempt);
    }
}

/// The same way over TCP.
pub(super) fn over_tcp(destination: Destination) -> Destination {
    Destination::Path(destination.path().over(Transport::Tcp))
}

/// What failed, for a notice.
fn words(fault: &Fault) -> String {
    match fault {
        Fault::Silence => "no answer".to_owned(),
        Fault::Transport(error) => error.to_string(),
        Fault::Unresolved(error) => error.to_string(),
        Fault::Unavailable(response) => format!("answered {}", response.status.code()),
    }
}

fn nowhere() -> Fault {
    Fault::Unresolved(ResolveError::NotFound("no address".to_owned()))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            // RFC 6598: between a provider's routers and ours.
            let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
