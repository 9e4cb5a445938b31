//! Calls to the test numbers: each is a [`Call`] of our own with a line for its sound.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sip_core::call::{Call, CallConfig, CallEvent};
use sip_core::dispatch::{self, OwnerKey};
use sip_core::transaction::ServerKey;
use sip_core::{Inbound, Output, Path, ResolveId, Transport, TransportError};
use sip_message::{Host, Method, NameAddr, Request, Response, StatusCode, Uri};

use super::{Action, Exchange, Fate};
use crate::numbers::Number;
use crate::proxy::Sending;
use crate::sources::Source;

/// Calls to test numbers at most, those included that are over and may have to repeat a message.
const LINES: usize = 4_096;
/// Of one source at most; and of one that nobody knows.
const LINES_OF_A_SOURCE: usize = LINES / 2;
const LINES_OF_A_STRANGER: usize = LINES / 4;
/// How long the number that is never answered rings: a caller that died must not ring for ever.
const RING_LIMIT: Duration = Duration::from_secs(30 * 60);

/// One call to a test number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LineId(pub(crate) u64);

/// All calls to test numbers, and how they are found.
#[derive(Default)]
pub(super) struct Lines {
    lines: HashMap<LineId, Line>,
    by_request: HashMap<ServerKey, LineId>,
    by_owner: HashMap<OwnerKey, LineId>,
    /// Lines by their deadlines.
    alarms: BTreeSet<(Instant, LineId)>,
    /// Lines that were told something since they were last drained.
    touched: Vec<LineId>,
    /// How many calls each source has.
    sources: HashMap<Source, usize>,
    last: u64,
}

struct Line {
    call: Call,
    number: Number,
    server_key: Option<ServerKey>,
    inbound: Inbound,
    /// Whether the INVITE has been answered with 200.
    answered: bool,
    /// The deadline under which it is filed.
    filed: Option<Instant>,
}

enum LineInput {
    Event(CallEvent),
    Resolved(ResolveId, Path),
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    fn of_source(&self, source: Source) -> usize {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The line that a request is for; it will be drained.
    pub(super) fn find_for(&mut self, key: &ServerKey, request: &Request) -> Option<&mut Call> {
        let id = self.by_request.get(key).or_else(|| {
            let owner = dispatch::request_owner(request)?;
            self.by_owner.get(&owner)
        });
        let id = *id?;
        self.touch(id)
    }

    /// The line that asked what is answered here; it will be drained.
    pub(super) fn find_asker(&mut self, response: &Response) -> Option<&mut Call> {
        let owner = dispatch::response_owner(response)?;
        let id = *self.by_owner.get(&owner)?;
        self.touch(id)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let due = self.alarms.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<LineId> = due.map(|(_, id)| *id).collect();
        for id in due {
            if let Some(call) = self.touch(id) {
                call.handle_timeout(now);
            }
        }
    }

    pub(super) fn handle_transport_error(
        &mut self,
        now: Instant,
        branch: &str,
        error: &TransportError,
    ) {
        for (id, line) in &mut self.lines {
            line.call.handle_transport_error(now, branch, error.clone());
            self.touched.push(*id);
        }
    }

    fn touch(&mut self, id: LineId) -> Option<&mut Call> {
        self.touched.push(id);
        self.lines.get_mut(&id).map(|line| &mut line.call)
    }

    fn add(&mut self, call: Call, number: Number, key: Option<ServerKey>, inbound: Inbound) {
        self.last += 1;
        let id = LineId(self.last);
        self.by_owner.insert(call.owner_key().clone(), id);
        if let Some(key) = &key {
            self.by_request.insert(key.clone(), id);
        }
        *self.sources.entry(Source::of(&inbound)).or_default() += 1;
        let line = Line {
            call,
            number,
            server_key: key,
            inbound,
            answered: false,
            filed: None,
        };
        self.lines.insert(id, line);
        self.touched.push(id);
    }

    /// Files a line under its new deadline, or forgets it when it is over.
    fn file(&mut self, id: LineId, deadline: Option<Instant>) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if let Some(at) = line.filed.take() {
            self.alarms.remove(&(at, id));
        }
        if line.call.is_drained() {
            self.by_owner.remove(line.call.owner_key());
            if let Some(key) = &line.server_key {
                self.by_request.remove(key);
            }
            let source = Source::of(&line.inbound);
            if let Some(count) = self.sources.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    self.sources.remove(&source);
                }
            }
            self.lines.remove(&id);
        } else if let Some(at) = deadline {
            line.filed = Some(at);
            self.alarms.insert((at, id));
        }
    }
}

impl Exchange {
    pub(super) fn dial_number(
        &mut self,
        now: Instant,
        request: Request,
        inbound: Inbound,
        number: Number,
    ) -> Option<Fate> {
        if let Number::Status(status) = number {
            return Some(self.answer_with_status(now, &request, status));
        }
        match request.method {
            Method::Invite => {}
            Method::Options => return Some(self.answer(&request, StatusCode::OK)),
            _ => return Some(self.answer(&request, StatusCode::METHOD_NOT_ALLOWED)),
        }
        let source = Source::of(&inbound);
        let most = if self.sources.is_trusted(now, source) {
            LINES_OF_A_SOURCE
        } else {
            LINES_OF_A_STRANGER
        };
        if self.lines.len() >= LINES || self.lines.of_source(source) >= most {
            self.tally.refused_full += 1;
            return Some(self.answer(&request, StatusCode::SERVICE_UNAVAILABLE));
        }
        let mut local = NameAddr::new(request.uri.clone());
        local.display = Some("Tipring switchboard".to_owned());
        let user = request.uri.user.clone().unwrap_or_default();
        let mut config = CallConfig::new(local, &user);
        config.capabilities = self.capabilities.clone();
        if number == Number::RingForEver {
            config.ring_limit = Some(RING_LIMIT);
        }
        let key = ServerKey::of(&request);
        let seed = self.tokens.seed();
        match Call::incoming(now, request, inbound, config, &seed) {
            Ok(call) => self.lines.add(call, number, key, inbound),
            Err(rejection) => {
                let bytes = rejection.response.to_bytes();
                self.actions.push(Action::Send(Sending {
                    destination: rejection.destination,
                    bytes,
                }));
            }
        }
        None
    }

    /// A 401 or 407 has to ask for something (§8.1.3.5).
    fn answer_with_status(&mut self, now: Instant, request: &Request, status: StatusCode) -> Fate {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                self.ask_for_login(now, request, status, false)
            }
            _ => self.answer(request, status),
        }
    }

    /// The line of a test number has its session description.
    pub(crate) fn answer_line(
        &mut self,
        now: Instant,
        id: LineId,
        body: Result<Vec<u8>, StatusCode>,
    ) {
        if let Some(line) = self.lines.lines.get_mut(&id) {
            let result = match (body, line.answered) {
                (Ok(body), false) => {
                    line.answered = true;
                    line.call.answer(now, body)
                }
                (Ok(body), true) => line.call.accept_offer(now, body),
                (Err(status), false) => line.call.reject(now, status),
                (Err(status), true) => line.call.reject_offer(now, status),
            };
            self.lines.touched.push(id);
            if let Err(error) = result {
                self.actions
                    .push(Action::Log(format!("line {}: {error}", id.0)));
            }
        }
        self.settle(now);
    }

    /// Nobody has been heard on a line for so long that nobody can be there.
    pub(crate) fn hang_up_line(&mut self, now: Instant, id: LineId) {
        if let Some(call) = self.lines.touch(id)
            && call.hang_up(now).is_ok()
        {
            let line = format!("line {}: nobody is there any more", id.0);
            self.actions.push(Action::Log(line));
        }
        self.settle(now);
    }

    pub(super) fn drain_lines(&mut self, now: Instant) {
        let mut touched = std::mem::take(&mut self.lines.touched);
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            self.drain_line(now, id);
        }
    }

    /// Polls a line dry; what it asks and tells is handled one by one, each followed by a drain.
    fn drain_line(&mut self, now: Instant, id: LineId) {
        let mut inputs = VecDeque::new();
        loop {
            let Some(line) = self.lines.lines.get_mut(&id) else {
                return;
            };
            match line.call.poll_output() {
                Output::Transmit(transmit) => {
                    let sending = Sending {
                        destination: transmit.destination,
                        bytes: transmit.bytes,
                    };
                    self.actions.push(Action::Send(sending));
                }
                Output::Resolve {
                    id: question,
                    uri,
                    transport,
                } => {
                    let path = path_to_caller(&line.inbound, &uri, transport);
                    inputs.push_back(LineInput::Resolved(question, path));
                }
                Output::Event(event) => inputs.push_back(LineInput::Event(event)),
                Output::Deadline(deadline) => match inputs.pop_front() {
                    Some(input) => self.on_line_input(now, id, input),
                    None => return self.lines.file(id, deadline),
                },
            }
        }
    }

    fn on_line_input(&mut self, now: Instant, id: LineId, input: LineInput) {
        let Some(line) = self.lines.lines.get_mut(&id) else {
            return;
        };
        match input {
            LineInput::Resolved(question, path) => {
                line.call.handle_resolved(now, question, Ok(vec![path]));
            }
            LineInput::Event(CallEvent::Offer { body }) => self.on_line_offer(now, id, Some(body)),
            LineInput::Event(CallEvent::OfferWanted) => self.on_line_offer(now, id, None),
            LineInput::Event(CallEvent::Answer { body, .. }) => {
                self.actions.push(Action::LineAnswered {
                    line: id,
                    answer: body,
                });
            }
            LineInput::Event(CallEvent::Ended(_)) => {
                self.actions.push(Action::CloseLine { line: id });
            }
            LineInput::Event(_) => {}
        }
    }

    fn on_line_offer(&mut self, now: Instant, id: LineId, offer: Option<Vec<u8>>) {
        let Some(line) = self.lines.lines.get_mut(&id) else {
            return;
        };
        if line.answered {
            self.actions.push(Action::ChangeLine { line: id, offer });
            return;
        }
        if line.call.ring(now, None).is_err() {
            return;
        }
        if line.number != Number::RingForEver {
            let (local, peer): (IpAddr, IpAddr) =
                (line.inbound.path.local.ip(), line.inbound.path.remote.ip());
            self.actions.push(Action::OpenLine {
                line: id,
                number: line.number,
                offer,
                local,
                peer,
            });
        }
    }
}

/// The way back to a caller: where its call came from, whatever its Contact says, or one INVITE would
/// have us call whomever it names. A Contact at the very same address tells the port.
fn path_to_caller(inbound: &Inbound, contact: &Uri, transport: Option<Transport>) -> Path {
    let mut path = inbound.path;
    let ip = contact.sip_host().and_then(Host::ip);
    if path.transport == Transport::Udp && ip == Some(path.remote.ip()) {
        let port = contact.port.unwrap_or(path.transport.default_port());
        path.remote.set_port(port);
    }
    transport.map_or(path, |transport| path.over(transport))
}
