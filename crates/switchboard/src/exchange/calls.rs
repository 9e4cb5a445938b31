//! Calls to the test numbers: each is a [`Call`] of our own with a line for its sound.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use event_bodies::dialog_info::DialogState;
use sip_core::call::{Call, CallConfig, CallEvent, InfoDigit};
use sip_core::dispatch::{self, OwnerKey};
use sip_core::transaction::ServerKey;
use sip_core::{Destination, Inbound, Output, Path, ResolveId, Transport, TransportError};
use sip_message::{HeaderName, Host, Method, NameAddr, Reason, Request, Response, StatusCode, Uri};

use super::events::CallKey;
use super::{Action, Exchange, Fate};
use crate::line::Refusal;
use crate::location::Aor;
use crate::numbers::{CLOSES, Number};
use crate::proxy::Sending;
use crate::sources::Source;

/// Calls to test numbers at most, those included that are over and may have to repeat a message.
const LINES: usize = 4_096;
/// Of one source at most; and of one that nobody knows.
const LINES_OF_A_SOURCE: usize = LINES / 2;
const LINES_OF_A_STRANGER: usize = LINES / 4;
/// How long a number with early media lets the caller wait.
const EARLY: Duration = Duration::from_secs(5);
/// How long the numbers talk that hang up by themselves.
const SHORT_TALK: Duration = Duration::from_secs(3);
/// G.729, which nobody here speaks, as the answer to anything.
const OTHER_CODEC: &[u8] =
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 9 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n";
/// How long the number that is never answered rings: a caller that died must not ring for ever.
const RING_LIMIT: Duration = Duration::from_secs(30 * 60);

/// One call to a test number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LineId(pub(crate) u64);

/// All calls to test numbers, and how they are found.
#[derive(Default)]
pub(super) struct Lines {
    lines: HashMap<LineId, Box<Line>>,
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
    /// What the caller offered, until it is answered.
    offer: Option<Vec<u8>>,
    /// Whether the INVITE has been answered with 200.
    answered: bool,
    /// What it does by itself, and when.
    script: Option<(Instant, Step)>,
    /// Who calls, and the call as lamps know it.
    watched: Option<CallKey>,
    /// The deadline under which it is filed.
    filed: Option<Instant>,
}

/// What a number does by itself.
enum Step {
    /// Answers with what it said in its early media.
    Answer(Vec<u8>),
    HangUp,
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

    /// The way to the caller in whose dialog a request is.
    pub(super) fn way_of_owner(&self, request: &Request) -> Option<Destination> {
        let id = self.by_owner.get(&dispatch::request_owner(request)?)?;
        Some(self.lines.get(id)?.inbound.destination())
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

    /// What is due of what numbers do by themselves.
    fn due_steps(&mut self, now: Instant) -> Vec<(LineId, Step)> {
        let due = self.alarms.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<LineId> = due.map(|(_, id)| *id).collect();
        let mut steps = Vec::new();
        for id in due {
            if let Some(line) = self.lines.get_mut(&id)
                && line.script.as_ref().is_some_and(|(at, _)| *at <= now)
            {
                steps.extend(line.script.take().map(|(_, step)| (id, step)));
            }
        }
        steps
    }

    fn number_for(&self, key: &ServerKey, request: &Request) -> Option<(LineId, Number)> {
        let id = self.by_request.get(key).or_else(|| {
            let owner = dispatch::request_owner(request)?;
            self.by_owner.get(&owner)
        })?;
        Some((*id, self.lines.get(id)?.number))
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

    fn add(
        &mut self,
        call: Call,
        number: Number,
        key: Option<ServerKey>,
        inbound: Inbound,
        watched: Option<CallKey>,
    ) {
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
            offer: None,
            answered: false,
            script: None,
            watched,
            filed: None,
        };
        self.lines.insert(id, Box::new(line));
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
            return;
        }
        let script = line.script.as_ref().map(|(at, _)| *at);
        if let Some(at) = deadline.into_iter().chain(script).min() {
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
        if request.method == Method::Message {
            return Some(self.message_to_number(request, inbound, number));
        }
        if let Some(fate) = self.answer_at_once(now, &request, inbound, number) {
            return fate;
        }
        match request.method {
            Method::Invite => {}
            Method::Options => return Some(self.answer(&request, StatusCode::OK)),
            _ => return Some(self.answer(&request, StatusCode::METHOD_NOT_ALLOWED)),
        }
        let source = Source::of(&inbound);
        let most = if self.sources.is_proven(now, source) {
            LINES_OF_A_SOURCE
        } else {
            LINES_OF_A_STRANGER
        };
        if self.lines.len() >= LINES || self.lines.of_source(source) >= most {
            return Some(Fate::Refuse(Box::new(self.no_room(&request))));
        }
        let mut local = NameAddr::new(request.uri.clone());
        local.display = Some("Tipring switchboard".to_owned());
        let user = request.uri.user.clone().unwrap_or_default();
        let mut config = CallConfig::new(local, &user);
        config.capabilities.user_agent = self.capabilities.user_agent.clone();
        if number == Number::RingForEver {
            config.ring_limit = Some(RING_LIMIT);
        }
        let key = ServerKey::of(&request);
        let seed = self.tokens.seed();
        let watched = self.watch(now, &request, 1);
        match Call::incoming(now, request, inbound, config, &seed) {
            Ok(call) => self.lines.add(call, number, key, inbound, watched),
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

    /// The numbers that answer once and keep nothing; the fate is `None` for the one that says nothing.
    fn answer_at_once(
        &mut self,
        now: Instant,
        request: &Request,
        inbound: Inbound,
        number: Number,
    ) -> Option<Option<Fate>> {
        let to = |user: &str| {
            let mut uri = request.uri.clone();
            uri.user = Some(user.to_owned());
            uri
        };
        // Our port for plain TCP, whatever is to be spoken there.
        let tcp = self.path_to(Transport::Tcp, inbound.path.remote).local;
        let by_tcp = |user: &str, transport: &str| {
            Uri::parse(&format!("sip:{user}@{tcp};transport={transport}")).ok()
        };
        let moved = match number {
            Number::Silent => return Some(None),
            Number::Status(status) => {
                return Some(Some(self.answer_with_status(now, request, status)));
            }
            Number::WeakLogin => {
                let mut fate = self.answer(request, StatusCode::UNAUTHORIZED);
                let nonce = self.tokens.nonce();
                // As RFC 2069 has it: no algorithm is MD5.
                let asked = format!("Digest realm=\"{}\", nonce=\"{nonce}\"", self.realm);
                fate.add(HeaderName::WwwAuthenticate, &asked);
                return Some(Some(fate));
            }
            Number::Overloaded => {
                let mut fate = self.answer(request, StatusCode::SERVICE_UNAVAILABLE);
                fate.add(HeaderName::RetryAfter, "30");
                return Some(Some(fate));
            }
            Number::Moved => to("echo"),
            Number::MovedInCircles => to("circle"),
            Number::MovedToNobody => Uri::parse("sip:nobody@127.0.0.1:9").ok()?,
            Number::MovedToNowhere => Uri::parse("sip:nobody@192.0.2.1;transport=tcp").ok()?,
            Number::MovedToNoTls => by_tcp("echo", "tls")?,
            Number::MovedToNoWebSocket => by_tcp("echo", "ws")?,
            Number::MovedToClosing => by_tcp(CLOSES, "tcp")?,
            Number::Closes => {
                // A datagram has nothing that could be closed: there it says nothing.
                if inbound.path.transport.is_reliable() {
                    self.actions.push(Action::CloseFlow { flow: inbound.flow });
                }
                return Some(None);
            }
            Number::MovedToNoName => Uri::parse("sip:nobody@no-such-name.invalid").ok()?,
            _ => return None,
        };
        // RFC 3261 §11.2: OPTIONS is told what an INVITE would be.
        if !matches!(request.method, Method::Invite | Method::Options) {
            return None;
        }
        let mut fate = self.answer(request, StatusCode::MOVED_TEMPORARILY);
        fate.add(HeaderName::Contact, &format!("<{moved}>"));
        Some(Some(fate))
    }

    /// Statuses that have to say more than themselves.
    fn answer_with_status(&mut self, now: Instant, request: &Request, status: StatusCode) -> Fate {
        if matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        ) {
            // §8.1.3.5: they ask for something.
            return self.ask_for_login(now, request, status, false);
        }
        let mut fate = self.answer(request, status);
        let (name, value) = match status.code() {
            // §20.43: there is no other reason.
            488 => {
                let value = "399 switchboard \"This is what was dialled\"";
                (HeaderName::Warning, value)
            }
            420 => (HeaderName::Unsupported, "100rel, timer"),
            421 => (HeaderName::Require, "no-such-extension"),
            422 => (HeaderName::MinSe, "3600"),
            423 => (HeaderName::MinExpires, "7200"),
            _ => return fate,
        };
        fate.remove(name.clone());
        fate.add(name, value);
        fate
    }

    /// A text message to a number: the echo says it back, the others take it.
    fn message_to_number(&mut self, request: Request, inbound: Inbound, number: Number) -> Fate {
        if let Number::Status(status) = number {
            return self.answer(&request, status);
        }
        if number != Number::Echo {
            return self.answer(&request, StatusCode::METHOD_NOT_ALLOWED);
        }
        // It goes back as a message of its own, by the way it came.
        let back = self.message_back(&request, inbound);
        let fate = self.answer(&request, StatusCode::OK);
        self.actions.extend(back);
        fate
    }

    fn message_back(&mut self, request: &Request, inbound: Inbound) -> Option<Action> {
        let from = request.headers.from().ok()?;
        let contact = request.headers.contact().ok().map(|contact| contact.uri);
        let aor = Aor::of(&from.uri).filter(|aor| self.location.is_from(aor, &inbound));
        let mut bindings = match &aor {
            Some(aor) => self.location.record_of(aor).to_vec(),
            None => Vec::new(),
        };
        let target = bindings.pop().map(|binding| binding.contact);
        let mut back = Request::new(
            Method::Message,
            target.or(contact).unwrap_or_else(|| from.uri.clone()),
        );
        let headers = &mut back.headers;
        let via = inbound.path.via_value(&self.tokens.branch());
        headers.push(HeaderName::Via, via);
        headers.push(HeaderName::MaxForwards, 70);
        let own = NameAddr::new(request.uri.clone()).with_tag(&self.tokens.tag());
        headers.push(HeaderName::From, own);
        headers.push(HeaderName::To, NameAddr::new(from.uri));
        headers.push(HeaderName::CallId, self.tokens.call_id());
        headers.push(HeaderName::CSeq, "1 MESSAGE");
        let kind = request.headers.get(HeaderName::ContentType)?.to_owned();
        headers.push(HeaderName::ContentType, kind);
        back.body = request.body.clone();
        Some(Action::Send(Sending {
            destination: inbound.destination(),
            bytes: back.to_bytes(),
        }))
    }

    /// What the broken numbers do instead of what a phone would; whether that is all.
    pub(super) fn misbehave(
        &mut self,
        now: Instant,
        key: &ServerKey,
        request: &Request,
        answer_to: &Inbound,
    ) -> bool {
        let Some((id, number)) = self.lines.number_for(key, request) else {
            return false;
        };
        let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
        match (number, &request.method) {
            (Number::NoAck, Method::Ack) => true,
            (Number::Forgets, method) if in_dialog && *method != Method::Ack => {
                let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
                self.refuse(request, answer_to, status);
                if *method == Method::Bye
                    && let Some(call) = self.lines.touch(id)
                {
                    // Nobody waits for it: the caller has forgotten it as well by now.
                    let _ = call.hang_up(now);
                    self.actions.push(Action::CloseLine { line: id });
                }
                true
            }
            (Number::AnswersLate, Method::Cancel) => {
                self.refuse(request, answer_to, StatusCode::OK);
                self.open_line(id);
                true
            }
            _ => false,
        }
    }

    pub(super) fn handle_line_timeouts(&mut self, now: Instant) {
        for (id, step) in self.lines.due_steps(now) {
            let Some(line) = self.lines.lines.get_mut(&id) else {
                continue;
            };
            self.lines.touched.push(id);
            let done = match step {
                Step::Answer(body) if !line.answered => {
                    line.answered = true;
                    line.call.answer(now, body)
                }
                Step::Answer(_) => Ok(()),
                Step::HangUp if line.number == Number::DropsWithReason => {
                    let reason = Reason::new("Q.850", 41, "Temporary failure");
                    line.call.hang_up_because(now, reason)
                }
                Step::HangUp => line.call.hang_up(now),
            };
            if let Err(error) = done {
                let line = format!("line {}: {error}", id.0);
                self.actions.push(Action::Log(line));
            }
            self.drain_line(now, id);
        }
        self.lines.handle_timeout(now);
    }

    /// The line of a test number has its session description.
    pub(crate) fn answer_line(&mut self, now: Instant, id: LineId, body: Result<Vec<u8>, Refusal>) {
        if let Some(line) = self.lines.lines.get_mut(&id) {
            let body = match line.number {
                Number::NoCommonCodec => body.map(|_| OTHER_CODEC.to_vec()),
                Number::BadDescription => body.map(|_| b"this is no session\r\n".to_vec()),
                _ => body,
            };
            let body = body.map_err(|refusal| match refusal {
                Refusal::NoSocket => StatusCode::SERVICE_UNAVAILABLE,
                Refusal::Media(warning, why) => {
                    line.call.warn_because(warning, why);
                    StatusCode::NOT_ACCEPTABLE_HERE
                }
            });
            let result = match (body, line.answered) {
                (Ok(body), false) if line.number == Number::EarlyMedia && line.script.is_none() => {
                    let early =
                        line.call
                            .progress(now, StatusCode::SESSION_PROGRESS, Some(body.clone()));
                    // A caller without an offer and without PRACK cannot be told anything early.
                    let wait = if early.is_ok() { EARLY } else { Duration::ZERO };
                    line.script = Some((now + wait, Step::Answer(body)));
                    Ok(())
                }
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
                    ..
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
            LineInput::Event(CallEvent::Established) => self.on_line_up(now, id),
            LineInput::Event(CallEvent::Info {
                content_type, body, ..
            }) => {
                if let Some(pressed) = InfoDigit::parse(&content_type, &body) {
                    let digit = pressed.digit;
                    self.actions.push(Action::PlayDigit { line: id, digit });
                }
            }
            LineInput::Event(CallEvent::Ended(_)) => {
                let watched = line.watched.take();
                self.actions.push(Action::CloseLine { line: id });
                if let Some(key) = watched {
                    self.events.end_call(&key);
                }
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
        let early = line.number == Number::EarlyMedia;
        if !early && line.call.ring(now, None).is_err() {
            return;
        }
        line.offer = offer;
        if !matches!(line.number, Number::RingForEver | Number::AnswersLate) {
            self.open_line(id);
        }
    }

    /// The call is up.
    fn on_line_up(&mut self, now: Instant, id: LineId) {
        let Some(line) = self.lines.lines.get_mut(&id) else {
            return;
        };
        let number = line.number;
        if matches!(
            number,
            Number::Drops | Number::DropsWithReason | Number::LeaveMessage | Number::ClearMessages
        ) {
            line.script = Some((now + SHORT_TALK, Step::HangUp));
        }
        let caller = line.call.invitation().and_then(|i| i.headers.from().ok());
        if let Some(key) = line.watched.clone() {
            self.events.call_becomes(&key, DialogState::Confirmed, None);
        }
        if matches!(number, Number::LeaveMessage | Number::ClearMessages)
            && let Some(aor) = caller.and_then(|from| self.whose(now, &from.uri))
        {
            self.events.mail(&aor, number == Number::LeaveMessage);
        }
    }

    /// Opens the sound of a line.
    fn open_line(&mut self, id: LineId) {
        if let Some(line) = self.lines.lines.get_mut(&id) {
            let offer = line.offer.take();
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
pub(super) fn path_to_caller(
    inbound: &Inbound,
    contact: &Uri,
    transport: Option<Transport>,
) -> Path {
    let mut path = inbound.path;
    let ip = contact.sip_host().and_then(Host::ip);
    if path.transport == Transport::Udp && ip == Some(path.remote.ip()) {
        let port = contact.port.unwrap_or(path.transport.default_port());
        path.remote.set_port(port);
    }
    transport.map_or(path, |transport| path.over(transport))
}
