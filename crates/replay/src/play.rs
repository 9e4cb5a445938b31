//! A tape played: the same inputs into new objects, and what comes out beside what came out then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sip_core::call::{Call, InfoDigit, MediaWarning, ReferId};
use sip_core::registration::FlowSet;
use sip_core::{FlowId, Output, Path, ResolveError, ResolveId, Seed};
use sip_message::{Message, Request, Response, StatusCode};
use thiserror::Error;

use crate::config::{because, forward_reason, maybe as maybe_text, name, place, uri};
use crate::mask;
use crate::tape::{Fault, Input, Line, Out, Text, Way, unhex};

/// Why a text is no tape.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TapeError {
    /// A line is not one of ours.
    #[error("line {line} is not a line of a tape: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing is on it.
    #[error("there is nothing on the tape")]
    Empty,
}

/// What became of one object of a tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// Its name on the tape.
    pub object: String,
    /// How many inputs it was given.
    pub inputs: usize,
    /// How many messages came out of it as they had come out then.
    pub messages: usize,
    /// The first thing that came out differently.
    pub difference: Option<Difference>,
    /// Why it was not played to the end of the tape, in a sentence.
    pub stopped: Option<String>,
}

/// What came out differently, each as text; nothing where nothing came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line of the tape, counted from 1.
    pub line: usize,
    /// What stands on the tape.
    pub then: Option<String>,
    /// What came now.
    pub now: Option<String>,
}

impl Played {
    /// Whether everything came out as it had.
    pub fn is_same(&self) -> bool {
        self.difference.is_none() && self.stopped.is_none()
    }
}

/// Plays all objects of a tape, each for itself, in the order in which they began. `began` is the
/// instant that stands for the making of each; nothing depends on its value.
///
/// # Errors
/// When the text is no tape.
pub fn play(tape: &str, began: Instant) -> Result<Vec<Played>, TapeError> {
    let mut order = Vec::new();
    let mut players: BTreeMap<String, Player> = BTreeMap::new();
    for (index, text) in tape.lines().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        let number = index + 1;
        let line: Line = serde_json::from_str(text).map_err(|error| TapeError::Line {
            line: number,
            why: error.to_string(),
        })?;
        let player = players.entry(line.object.clone()).or_insert_with(|| {
            order.push(line.object.clone());
            Player::new(&line.object)
        });
        player.step(began, number, &line);
    }
    if order.is_empty() {
        return Err(TapeError::Empty);
    }
    let played = order.iter().filter_map(|name| players.remove(name));
    Ok(played.map(|player| player.played).collect())
}

/// One object on its way through the tape.
struct Player {
    object: Option<Object>,
    played: Played,
}

enum Object {
    Call(Box<Call>),
    Flows(Box<FlowSet>),
}

impl Player {
    fn new(name: &str) -> Self {
        Self {
            object: None,
            played: Played {
                object: name.to_owned(),
                inputs: 0,
                messages: 0,
                difference: None,
                stopped: None,
            },
        }
    }

    fn step(&mut self, began: Instant, number: usize, line: &Line) {
        if !self.played.is_same() {
            return;
        }
        let stopped = match &line.input {
            Input::Unknown => Some("it was told something that a tape has no word for"),
            Input::Stopped => Some("its tape was full"),
            _ => None,
        };
        let done = match (stopped, began.checked_add(Duration::from_nanos(line.at))) {
            (Some(why), _) => Err(why),
            (None, None) => Err("its time is past all clocks"),
            (None, Some(now)) => self.input(now, &line.input),
        };
        if let Err(why) = done {
            self.played.stopped = Some(format!("line {number}: {why}"));
            return;
        }
        self.played.inputs += 1;
        let out = self.object.as_mut().map(Object::drain).unwrap_or_default();
        self.compare(number, &line.out, &out);
    }

    fn input(&mut self, now: Instant, input: &Input) -> Result<(), &'static str> {
        match &mut self.object {
            Some(Object::Call(call)) => tell_call(call, now, input),
            Some(Object::Flows(flows)) => tell_flows(flows, now, input),
            None => {
                let made = make(now, input);
                let made = made.ok_or("how it was made is not on the tape, or cannot be read")?;
                self.object = Some(made);
                Ok(())
            }
        }
        .map_err(|Unfit| "this input does not fit the object, or cannot be read")
    }

    fn compare(&mut self, number: usize, then: &[Out], now: &[Out]) {
        for index in 0..then.len().max(now.len()) {
            let (then, now) = (then.get(index), now.get(index));
            if then == now {
                self.played.messages += usize::from(matches!(now, Some(Out::Send { .. })));
                continue;
            }
            self.played.difference = Some(Difference {
                line: number,
                then: then.map(shown),
                now: now.map(shown),
            });
            return;
        }
    }
}

fn shown(out: &Out) -> String {
    match out {
        Out::Send { to, bytes } => match to.path() {
            Some(path) => format!("to {path}\n{}", bytes.as_str()),
            None => bytes.as_str().to_owned(),
        },
        Out::Resolve { uri, .. } => format!("a question for the way to {uri}"),
    }
}

impl Object {
    fn drain(&mut self) -> Vec<Out> {
        match self {
            Self::Call(call) => drained(|| call.poll_output()),
            Self::Flows(flows) => drained(|| flows.poll_output()),
        }
    }
}

fn drained<E>(mut poll: impl FnMut() -> Output<E>) -> Vec<Out> {
    let mut out = Vec::new();
    loop {
        match poll() {
            Output::Transmit(transmit) => out.push(Out::Send {
                to: Way::of_destination(&transmit.destination),
                bytes: Text::new(&mask::message(&transmit.bytes)),
            }),
            Output::Resolve {
                id, uri, transport, ..
            } => out.push(Out::Resolve {
                id: id.0,
                uri: uri.to_string(),
                transport: transport.map(|transport| transport.as_str().to_owned()),
            }),
            Output::Event(_) => {}
            Output::Deadline(_) => return out,
        }
    }
}

/// Makes an object; nothing when the input makes none or cannot be read.
fn make(now: Instant, input: &Input) -> Option<Object> {
    match input {
        Input::Outgoing {
            seed,
            config,
            offer,
        } => {
            let offer = maybe(offer.as_ref())?;
            let call = Call::outgoing(now, config.config()?, offer, &seed_of(seed)?);
            Some(Object::Call(Box::new(call)))
        }
        Input::Incoming {
            seed,
            config,
            bytes,
            by,
        } => {
            let request = request(bytes)?;
            let (inbound, config) = (by.inbound()?, config.config()?);
            let call = Call::incoming(now, request, inbound, config, &seed_of(seed)?).ok()?;
            Some(Object::Call(Box::new(call)))
        }
        // Older tapes have it so: one registration is a set of one, and says the same.
        Input::Registration { seed, config } => {
            let config = config.config().filter(|config| config.reg_id.is_none())?;
            let flows = FlowSet::plain(&config, &seed_of(seed)?);
            Some(Object::Flows(Box::new(flows)))
        }
        Input::Flows { seed, config, ways } => {
            let (config, seed) = (config.config()?, seed_of(seed)?);
            let way = |way: &Option<String>| maybe_text(way.as_deref(), uri);
            let flows = match ways {
                Some(ways) => {
                    let ways: Option<Vec<_>> = ways.iter().map(way).collect();
                    FlowSet::along(&config, &ways?, &seed)
                }
                None => FlowSet::plain(&config, &seed),
            };
            Some(Object::Flows(Box::new(flows)))
        }
        _ => None,
    }
}

/// An input that is none of this object's.
struct Unfit;

/// A verb that did not fit the state of the call did not then either: what it answers is no output.
fn tell_call(call: &mut Call, now: Instant, input: &Input) -> Result<(), Unfit> {
    tell_call_maybe(call, now, input).ok_or(Unfit)
}

fn tell_call_maybe(call: &mut Call, now: Instant, input: &Input) -> Option<()> {
    let refer = ReferId::from_number;
    let _ = match input {
        Input::Request { bytes, by } => {
            call.handle_request(now, request(bytes)?, by.inbound()?);
            return Some(());
        }
        Input::Response { bytes, by } => {
            call.handle_response(now, response(bytes)?, by.inbound()?);
            return Some(());
        }
        Input::Resolved { id, paths, error } => {
            let result = resolved(paths, error.as_ref().map(Fault::resolve))?;
            call.handle_resolved(now, ResolveId(*id), result);
            return Some(());
        }
        Input::Unsent { branch, error } => {
            call.handle_transport_error(now, branch, error.transport());
            return Some(());
        }
        Input::Timeout => {
            call.handle_timeout(now);
            return Some(());
        }
        Input::MovedTo { way } => {
            call.moved(now, &way.path()?);
            return Some(());
        }
        Input::Warn { code } => {
            call.warn(MediaWarning::from_code(*code)?);
            return Some(());
        }
        Input::TellContact => {
            call.tell_contact(now);
            return Some(());
        }
        Input::Ring { body } => call.ring(now, maybe(body.as_ref())?),
        Input::Progress { code, body } => call.progress(now, status(*code)?, maybe(body.as_ref())?),
        Input::Answer { body } => call.answer(now, body.bytes()?),
        Input::AnswerUnasked { body } => call.answer_unasked(now, body.bytes()?),
        Input::Reject { code } => call.reject(now, status(*code)?),
        Input::Redirect { to } => call.redirect(now, &name(to)?),
        Input::Forward { to, reason } => call.forward(now, &name(to)?, forward_reason(reason)?),
        Input::HangUp => call.hang_up(now),
        Input::HangUpBecause { reason } => call.hang_up_because(now, because(reason)?),
        Input::Reoffer { body } => call.reoffer(now, body.bytes()?),
        Input::AcceptOffer { body } => call.accept_offer(now, body.bytes()?),
        Input::RejectOffer { code } => call.reject_offer(now, status(*code)?),
        Input::Update { offer } => call.update(now, maybe(offer.as_ref())?),
        Input::Info { content_type, body } => call.info(now, content_type, body.bytes()?),
        Input::InfoOfPackage {
            package,
            content_type,
            body,
        } => call.info_of_package(now, package, content_type, body.bytes()?),
        Input::SendDigit {
            digit,
            milliseconds,
        } => {
            let duration = milliseconds.map(Duration::from_millis);
            let digit = *digit;
            call.send_digit(now, InfoDigit { digit, duration })
        }
        Input::Refer { to, replaces, told } => {
            let replaces = match replaces {
                Some(text) => Some(place(text)?),
                None => None,
            };
            let (to, replaces) = (name(to)?, replaces.as_ref());
            let asked = if *told {
                call.refer(now, &to, replaces)
            } else {
                call.refer_untold(now, &to, replaces)
            };
            asked.map(drop)
        }
        Input::AcceptRefer { id } => call.accept_refer(now, refer(*id)),
        Input::RejectRefer { id, code } => call.reject_refer(now, refer(*id), status(*code)?),
        Input::ReportRefer { id, code } => call.report_refer(now, refer(*id), status(*code)?),
        Input::Follow { choice } => call.follow(now, *choice),
        Input::Login { login } => call.login(now, login.credentials()?),
        Input::GiveUpLogin => call.give_up_login(now),
        _ => return None,
    };
    Some(())
}

fn tell_flows(it: &mut FlowSet, now: Instant, input: &Input) -> Result<(), Unfit> {
    match input {
        Input::Register => it.register(now),
        Input::Unregister => it.unregister(now),
        Input::FailBack => it.fail_back(now),
        Input::ClearBindings => drop(it.clear_bindings(now)),
        Input::FetchBindings => drop(it.fetch_bindings(now)),
        Input::RemoveBinding { uri } => drop(it.remove_binding(now, uri)),
        Input::FlowLost { flow } => it.flow_lost(now, FlowId(*flow)),
        Input::Moved => it.moved(now),
        Input::Response { bytes, by } => {
            let (response, inbound) = both(response(bytes), by)?;
            it.handle_response(now, &response, &inbound);
        }
        Input::Resolved { id, paths, error } => {
            let error = error.as_ref().map(Fault::resolve);
            let result = resolved(paths, error).ok_or(Unfit)?;
            it.handle_resolved(now, ResolveId(*id), result);
        }
        Input::Unsent { branch, error } => {
            it.handle_transport_error(now, branch, error.transport());
        }
        Input::Timeout => it.handle_timeout(now),
        _ => return Err(Unfit),
    }
    Ok(())
}

fn both(response: Option<Response>, by: &Way) -> Result<(Response, sip_core::Inbound), Unfit> {
    response.zip(by.inbound()).ok_or(Unfit)
}

fn seed_of(digits: &str) -> Option<Seed> {
    unhex(digits)?.try_into().ok().map(Seed)
}

fn status(code: u16) -> Option<StatusCode> {
    StatusCode::new(code)
}

fn request(bytes: &Text) -> Option<Request> {
    match Message::parse(&bytes.bytes()?) {
        Ok(Message::Request(request)) => Some(request),
        _ => None,
    }
}

fn response(bytes: &Text) -> Option<Response> {
    match Message::parse(&bytes.bytes()?) {
        Ok(Message::Response(response)) => Some(response),
        _ => None,
    }
}

/// Nothing is nothing; broken hexadecimal is a fault.
fn maybe(text: Option<&Text>) -> Option<Option<Vec<u8>>> {
    crate::config::maybe(text, Text::bytes)
}

fn resolved(paths: &[Way], error: Option<ResolveError>) -> Option<Result<Vec<Path>, ResolveError>> {
    match error {
        Some(error) => Some(Err(error)),
        None => paths
            .iter()
            .map(Way::path)
            .collect::<Option<Vec<_>>>()
            .map(Ok),
    }
}
