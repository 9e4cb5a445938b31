//! An object whose inputs are written down.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use sip_core::auth::Credentials;
use sip_core::call::{
    Call, CallConfig, CallEvent, ForwardReason, InfoDigit, MediaWarning, ReferId, Rejection,
    WrongState,
};
use sip_core::registration::{FlowEvent, FlowSet, RegistrationConfig};
use sip_core::{FlowId, Inbound, Output, Path, ResolveError, ResolveId, Seed, TransportError};
use sip_message::{NameAddr, Reason, Replaces, Request, Response, StatusCode, Uri};

use crate::config::{CallFacts, Login, RegistrationFacts, forward_word};
use crate::mask;
use crate::tape::{Fault, Input, Line, Out, Text, Way, hex};

/// Where the lines of a tape go, each a JSON object without its line end.
pub type Sink = Box<dyn FnMut(String) + Send>;

/// Inputs of one object that are written down at most.
pub const MOST_INPUTS: u32 = 4_096;
/// Bytes of one object's tape at most, about.
pub const MOST_BYTES: usize = 4 << 20;

/// A call, or the flows of a registration, with what goes into it written down.
///
/// It is used as the object itself is. What the object can be told beside its functions here goes
/// through [`DerefMut`], which nobody can write down: it is on the tape as [`Input::Unknown`].
pub struct Taped<T> {
    object: T,
    tape: Option<Box<Tape>>,
}

struct Tape {
    sink: Sink,
    name: String,
    began: Instant,
    /// The input whose outputs are being polled.
    line: Option<Line>,
    inputs: u32,
    bytes: usize,
}

impl<T> Taped<T> {
    /// An object that is not written down.
    pub fn untaped(object: T) -> Self {
        Self { object, tape: None }
    }

    fn made(
        object: T,
        now: Instant,
        name: String,
        sink: Option<Sink>,
        input: impl FnOnce() -> Input,
    ) -> Self {
        let tape = sink.map(|sink| {
            Box::new(Tape {
                sink,
                name,
                began: now,
                line: None,
                inputs: 0,
                bytes: 0,
            })
        });
        let mut taped = Self { object, tape };
        taped.note(now, input);
        taped
    }

    /// An input that comes now. What came out of the one before is complete.
    fn note(&mut self, now: Instant, input: impl FnOnce() -> Input) {
        if let Some(tape) = &mut self.tape {
            tape.begin(now, input());
            if tape.is_full() {
                tape.begin(now, Input::Stopped);
                tape.write();
                self.tape = None;
            }
        }
    }

    fn saw<E>(&mut self, output: &Output<E>) {
        let Some(tape) = &mut self.tape else { return };
        let out = match output {
            Output::Transmit(transmit) => Out::Send {
                to: Way::of_destination(&transmit.destination),
                bytes: Text::new(&mask::message(&transmit.bytes)),
            },
            Output::Resolve {
                id, uri, transport, ..
            } => Out::Resolve {
                id: id.0,
                uri: uri.to_string(),
                transport: transport.map(|transport| transport.as_str().to_owned()),
            },
            Output::Event(_) => return,
            Output::Deadline(_) => return tape.write(),
        };
        if let Some(line) = &mut tape.line {
            line.out.push(out);
        }
    }
}

impl Tape {
    fn begin(&mut self, now: Instant, input: Input) {
        self.write();
        let at = now.saturating_duration_since(self.began).as_nanos();
        self.line = Some(Line {
            object: self.name.clone(),
            at: u64::try_from(at).unwrap_or(u64::MAX),
            input,
            out: Vec::new(),
        });
    }

    fn write(&mut self) {
        let Some(line) = self.line.take() else { return };
        // Nothing on a line can fail to be written as JSON.
        if let Ok(text) = serde_json::to_string(&line) {
            self.inputs = self.inputs.saturating_add(1);
            self.bytes = self.bytes.saturating_add(text.len());
            (self.sink)(text);
        }
    }

    fn is_full(&self) -> bool {
        self.inputs >= MOST_INPUTS || self.bytes >= MOST_BYTES
    }
}

impl<T> Deref for Taped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T> DerefMut for Taped<T> {
    fn deref_mut(&mut self) -> &mut T {
        if let Some(tape) = &mut self.tape {
            // When it came does not matter: nothing behind it can be played.
            let began = tape.began;
            tape.begin(began, Input::Unknown);
        }
        &mut self.object
    }
}

impl<T: fmt::Debug> fmt::Debug for Taped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

fn text(bytes: &[u8]) -> Text {
    Text::new(&mask::body(bytes))
}

fn maybe(bytes: Option<&Vec<u8>>) -> Option<Text> {
    bytes.map(|bytes| text(bytes))
}

fn resolved(id: ResolveId, result: &Result<Vec<Path>, ResolveError>) -> Input {
    let (paths, error) = match result {
        Ok(paths) => (paths.iter().map(Way::of_path).collect(), None),
        Err(error) => (Vec::new(), Some(Fault::of_resolve(error))),
    };
    Input::Resolved {
        id: id.0,
        paths,
        error,
    }
}

fn received(bytes: &[u8], inbound: &Inbound) -> (Text, Way) {
    (Text::new(&mask::message(bytes)), Way::of_inbound(inbound))
}

/// Calls. Each function is that of [`Call`] with the same name.
#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "they are those of Call"
)]
impl Taped<Call> {
    pub fn outgoing(
        now: Instant,
        config: CallConfig,
        offer: Option<Vec<u8>>,
        seed: &Seed,
        tape: Option<(String, Sink)>,
    ) -> Self {
        let Some((name, sink)) = tape else {
            return Self::untaped(Call::outgoing(now, config, offer, seed));
        };
        let input = Input::Outgoing {
            seed: hex(&seed.0),
            config: Box::new(CallFacts::of(&config)),
            offer: maybe(offer.as_ref()),
        };
        let call = Call::outgoing(now, config, offer, seed);
        Self::made(call, now, name, Some(sink), || input)
    }

    pub fn incoming(
        now: Instant,
        request: Request,
        inbound: Inbound,
        config: CallConfig,
        seed: &Seed,
        tape: Option<(String, Sink)>,
    ) -> Result<Self, Rejection> {
        let Some((name, sink)) = tape else {
            return Call::incoming(now, request, inbound, config, seed).map(Self::untaped);
        };
        let (bytes, by) = received(&request.to_bytes(), &inbound);
        let input = Input::Incoming {
            seed: hex(&seed.0),
            config: Box::new(CallFacts::of(&config)),
            bytes,
            by,
        };
        let call = Call::incoming(now, request, inbound, config, seed)?;
        Ok(Self::made(call, now, name, Some(sink), || input))
    }

    pub fn handle_request(&mut self, now: Instant, request: Request, inbound: Inbound) {
        self.note(now, || {
            let (bytes, by) = received(&request.to_bytes(), &inbound);
            Input::Request { bytes, by }
        });
        self.object.handle_request(now, request, inbound);
    }

    pub fn handle_response(&mut self, now: Instant, response: Response, inbound: Inbound) {
        self.note(now, || {
            let (bytes, by) = received(&response.to_bytes(), &inbound);
            Input::Response { bytes, by }
        });
        self.object.handle_response(now, response, inbound);
    }

    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        result: Result<Vec<Path>, ResolveError>,
    ) {
        self.note(now, || resolved(id, &result));
        self.object.handle_resolved(now, id, result);
    }

    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.note(now, || Input::Unsent {
            branch: branch.to_owned(),
            error: Fault::of_transport(&error),
        });
        self.object.handle_transport_error(now, branch, error);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.note(now, || Input::Timeout);
        self.object.handle_timeout(now);
    }

    pub fn poll_output(&mut self) -> Output<CallEvent> {
        let output = self.object.poll_output();
        self.saw(&output);
        output
    }

    pub fn ring(&mut self, now: Instant, body: Option<Vec<u8>>) -> Result<(), WrongState> {
        self.note(now, || Input::Ring {
            body: maybe(body.as_ref()),
        });
        self.object.ring(now, body)
    }

    pub fn progress(
        &mut self,
        now: Instant,
        status: StatusCode,
        body: Option<Vec<u8>>,
    ) -> Result<(), WrongState> {
        self.note(now, || Input::Progress {
            code: status.code(),
            body: maybe(body.as_ref()),
        });
        self.object.progress(now, status, body)
    }

    pub fn answer(&mut self, now: Instant, body: Vec<u8>) -> Result<(), WrongState> {
        self.note(now, || Input::Answer { body: text(&body) });
        self.object.answer(now, body)
    }

    pub fn answer_unasked(&mut self, now: Instant, body: Vec<u8>) -> Result<(), WrongState> {
        self.note(now, || Input::AnswerUnasked { body: text(&body) });
        self.object.answer_unasked(now, body)
    }

    pub fn reject(&mut self, now: Instant, status: StatusCode) -> Result<(), WrongState> {
        self.note(now, || Input::Reject {
            code: status.code(),
        });
        self.object.reject(now, status)
    }

    pub fn redirect(&mut self, now: Instant, to: &NameAddr) -> Result<(), WrongState> {
        self.note(now, || Input::Redirect { to: to.to_string() });
        self.object.redirect(now, to)
    }

    pub fn forward(
        &mut self,
        now: Instant,
        to: &NameAddr,
        reason: ForwardReason,
    ) -> Result<(), WrongState> {
        self.note(now, || Input::Forward {
            to: to.to_string(),
            reason: forward_word(reason).to_owned(),
        });
        self.object.forward(now, to, reason)
    }

    pub fn moved(&mut self, now: Instant, way: &Path) {
        self.note(now, || Input::MovedTo {
            way: Way::of_path(way),
        });
        self.object.moved(now, way);
    }

    pub fn tell_contact(&mut self, now: Instant) -> usize {
        self.note(now, || Input::TellContact);
        self.object.tell_contact(now)
    }

    pub fn hang_up(&mut self, now: Instant) -> Result<(), WrongState> {
        self.note(now, || Input::HangUp);
        self.object.hang_up(now)
    }

    pub fn hang_up_because(&mut self, now: Instant, reason: Reason) -> Result<(), WrongState> {
        self.note(now, || Input::HangUpBecause {
            reason: reason.to_string(),
        });
        self.object.hang_up_because(now, reason)
    }

    pub fn reoffer(&mut self, now: Instant, body: Vec<u8>) -> Result<(), WrongState> {
        self.note(now, || Input::Reoffer { body: text(&body) });
        self.object.reoffer(now, body)
    }

    pub fn accept_offer(&mut self, now: Instant, body: Vec<u8>) -> Result<(), WrongState> {
        self.note(now, || Input::AcceptOffer { body: text(&body) });
        self.object.accept_offer(now, body)
    }

    pub fn reject_offer(&mut self, now: Instant, status: StatusCode) -> Result<(), WrongState> {
        self.note(now, || Input::RejectOffer {
            code: status.code(),
        });
        self.object.reject_offer(now, status)
    }

    pub fn warn(&mut self, now: Instant, warning: MediaWarning) {
        self.note(now, || Input::Warn {
            code: warning.code(),
        });
        self.object.warn(warning);
    }

    pub fn update(&mut self, now: Instant, offer: Option<Vec<u8>>) -> Result<(), WrongState> {
        self.note(now, || Input::Update {
            offer: maybe(offer.as_ref()),
        });
        self.object.update(now, offer)
    }

    pub fn info(
        &mut self,
        now: Instant,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(), WrongState> {
        self.note(now, || Input::Info {
            content_type: content_type.to_owned(),
            body: text(&body),
        });
        self.object.info(now, content_type, body)
    }

    pub fn info_of_package(
        &mut self,
        now: Instant,
        package: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(), WrongState> {
        self.note(now, || Input::InfoOfPackage {
            package: package.to_owned(),
            content_type: content_type.to_owned(),
            body: text(&body),
        });
        self.object
            .info_of_package(now, package, content_type, body)
    }

    pub fn send_digit(&mut self, now: Instant, wanted: InfoDigit) -> Result<(), WrongState> {
        self.note(now, || Input::SendDigit {
            digit: wanted.digit,
            milliseconds: wanted.duration.map(milliseconds),
        });
        self.object.send_digit(now, wanted)
    }

    pub fn refer(
        &mut self,
        now: Instant,
        target: &NameAddr,
        replaces: Option<&Replaces>,
    ) -> Result<ReferId, WrongState> {
        self.note(now, || refer(target, replaces, true));
        self.object.refer(now, target, replaces)
    }

    pub fn refer_untold(
        &mut self,
        now: Instant,
        target: &NameAddr,
        replaces: Option<&Replaces>,
    ) -> Result<ReferId, WrongState> {
        self.note(now, || refer(target, replaces, false));
        self.object.refer_untold(now, target, replaces)
    }

    pub fn accept_refer(&mut self, now: Instant, id: ReferId) -> Result<(), WrongState> {
        self.note(now, || Input::AcceptRefer { id: id.number() });
        self.object.accept_refer(now, id)
    }

    pub fn reject_refer(
        &mut self,
        now: Instant,
        id: ReferId,
        status: StatusCode,
    ) -> Result<(), WrongState> {
        self.note(now, || Input::RejectRefer {
            id: id.number(),
            code: status.code(),
        });
        self.object.reject_refer(now, id, status)
    }

    pub fn report_refer(
        &mut self,
        now: Instant,
        id: ReferId,
        status: StatusCode,
    ) -> Result<(), WrongState> {
        self.note(now, || Input::ReportRefer {
            id: id.number(),
            code: status.code(),
        });
        self.object.report_refer(now, id, status)
    }

    pub fn follow(&mut self, now: Instant, choice: usize) -> Result<(), WrongState> {
        self.note(now, || Input::Follow { choice });
        self.object.follow(now, choice)
    }

    pub fn login(&mut self, now: Instant, credentials: Credentials) -> Result<(), WrongState> {
        self.note(now, || Input::Login {
            login: Login::of(&credentials),
        });
        self.object.login(now, credentials)
    }

    pub fn give_up_login(&mut self, now: Instant) -> Result<(), WrongState> {
        self.note(now, || Input::GiveUpLogin);
        self.object.give_up_login(now)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn refer(target: &NameAddr, replaces: Option<&Replaces>, told: bool) -> Input {
    Input::Refer {
        to: target.to_string(),
        replaces: replaces.map(Replaces::to_string),
        told,
    }
}

/// The flows of an account: of one without flows its plain registration, which is the same. Each function is that of
/// [`FlowSet`] with the same name.
#[allow(missing_docs, reason = "they are those of FlowSet")]
impl Taped<FlowSet> {
    /// `ways` as for [`FlowSet::along`]; `None` for [`FlowSet::plain`].
    pub fn flows(
        now: Instant,
        config: &RegistrationConfig,
        ways: Option<&[Option<Uri>]>,
        seed: &Seed,
        tape: Option<(String, Sink)>,
    ) -> Self {
        let flows = match ways {
            Some(ways) => FlowSet::along(config, ways, seed),
            None => FlowSet::plain(config, seed),
        };
        let Some((name, sink)) = tape else {
            return Self::untaped(flows);
        };
        let text = |way: &Option<Uri>| way.as_ref().map(Uri::to_string);
        Self::made(flows, now, name, Some(sink), || Input::Flows {
            seed: hex(&seed.0),
            config: Box::new(RegistrationFacts::of(config)),
            ways: ways.map(|ways| ways.iter().map(text).collect()),
        })
    }

    pub fn fail_back(&mut self, now: Instant) {
        self.note(now, || Input::FailBack);
        self.object.fail_back(now);
    }

    pub fn clear_bindings(&mut self, now: Instant) -> bool {
        self.note(now, || Input::ClearBindings);
        self.object.clear_bindings(now)
    }

    pub fn fetch_bindings(&mut self, now: Instant) -> bool {
        self.note(now, || Input::FetchBindings);
        self.object.fetch_bindings(now)
    }

    pub fn remove_binding(&mut self, now: Instant, uri: &str) -> bool {
        self.note(now, || Input::RemoveBinding {
            uri: uri.to_owned(),
        });
        self.object.remove_binding(now, uri)
    }

    pub fn register(&mut self, now: Instant) {
        self.note(now, || Input::Register);
        self.object.register(now);
    }

    pub fn unregister(&mut self, now: Instant) {
        self.note(now, || Input::Unregister);
        self.object.unregister(now);
    }

    pub fn flow_lost(&mut self, now: Instant, flow: FlowId) {
        self.note(now, || Input::FlowLost { flow: flow.0 });
        self.object.flow_lost(now, flow);
    }

    pub fn moved(&mut self, now: Instant) {
        self.note(now, || Input::Moved);
        self.object.moved(now);
    }

    pub fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        result: Result<Vec<Path>, ResolveError>,
    ) {
        self.note(now, || resolved(id, &result));
        self.object.handle_resolved(now, id, result);
    }

    pub fn handle_response(&mut self, now: Instant, response: &Response, inbound: &Inbound) {
        self.note(now, || {
            let (bytes, by) = received(&response.to_bytes(), inbound);
            Input::Response { bytes, by }
        });
        self.object.handle_response(now, response, inbound);
    }

    pub fn handle_transport_error(&mut self, now: Instant, branch: &str, error: TransportError) {
        self.note(now, || Input::Unsent {
            branch: branch.to_owned(),
            error: Fault::of_transport(&error),
        });
        self.object.handle_transport_error(now, branch, error);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.note(now, || Input::Timeout);
        self.object.handle_timeout(now);
    }

    pub fn poll_output(&mut self) -> Output<FlowEvent> {
        let output = self.object.poll_output();
        self.saw(&output);
        output
    }
}
