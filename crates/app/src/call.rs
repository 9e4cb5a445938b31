//! `tipring call`: places one call, or many at a rate, and reports how they went.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use engine::EngineConfig;
use model::{CallId, CallState, CallView, Command, Direction, Event};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::Outcome;
use crate::cli::{CallArgs, Common};
use crate::session::{Session, call_media, interrupted, runtime};

/// How long after the answer the first digit is sent: the peer has to be listening.
const BEFORE_DIGITS: Duration = Duration::from_millis(500);
/// What `,` waits among digits.
const DIGIT_PAUSE: Duration = Duration::from_millis(500);
/// How long one digit takes with the pause after it.
const DIGIT_TIME: Duration = Duration::from_millis(260);

pub(crate) fn run(common: &Common, args: &CallArgs) -> anyhow::Result<Outcome> {
    let media = call_media(&args.audio, args.echo)?;
    runtime()?.block_on(async {
        let config = EngineConfig { media, ring_limit: args.ring_for, ..EngineConfig::default() };
        let mut session = Session::start_with(common, &args.account, config).await?;
        if args.count == 1 {
            session.report.keep_reason();
        }
        if !session.registered(args.ring_for).await {
            session.give_up().await;
            return Ok(Outcome::Failed);
        }
        let mut run = Run { args, calls: HashMap::new(), due: Vec::new(), started: 0, ended: 0, good: 0 };
        let mut pace = interval(Duration::from_secs_f64(1.0 / args.rate));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while run.ended < args.count {
            let next_due = run.due.iter().map(|(at, _)| *at).min();
            tokio::select! {
                _ = pace.tick(), if run.started < args.count => run.place(&session),
                event = session.next() => run.on_event(&session, event),
                () = sleep_until(next_due.unwrap_or_else(Instant::now).into()), if next_due.is_some() => {
                    run.do_due(&session);
                }
                () = interrupted() => break,
            }
        }
        session.finish_quietly().await;
        Ok(if run.good == args.count { Outcome::Done } else { Outcome::Failed })
    })
}

/// The calls of one run.
struct Run<'a> {
    args: &'a CallArgs,
    calls: HashMap<CallId, Progress>,
    /// What is to be done, and when.
    due: Vec<(Instant, Command)>,
    started: u32,
    ended: u32,
    good: u32,
}

#[derive(Default)]
struct Progress {
    connected: bool,
    ended: bool,
}

impl Run<'_> {
    fn place(&mut self, session: &Session) {
        self.started += 1;
        session.engine.send(Command::PlaceCall {
            account: session.account.clone(),
            target: self.args.target.as_str().into(),
            headers: Vec::new(),
        });
    }

    fn on_event(&mut self, session: &Session, event: Event) {
        match event {
            Event::Resync { snapshot } => snapshot
                .calls
                .iter()
                .for_each(|call| self.on_call(session, call)),
            Event::Call { call } => self.on_call(session, &call),
            _ => {}
        }
    }

    fn on_call(&mut self, session: &Session, call: &CallView) {
        if call.direction != Direction::Outgoing {
            return;
        }
        let progress = self.calls.entry(call.id).or_default();
        let now = Instant::now();
        if call.state.is_up() && !progress.connected {
            progress.connected = true;
            if let Some(talk) = self.args.talk {
                self.due
                    .push((now + talk, Command::EndCall { call: call.id }));
            }
            if let Some(digits) = &self.args.dtmf_send {
                self.due.extend(digits_due(call.id, digits, now));
            }
        }
        if call.state == CallState::Ended && !progress.ended {
            progress.ended = true;
            self.ended += 1;
            if progress.connected && call.failure.is_none() {
                self.good += 1;
            }
            session.engine.send(Command::DismissCall { call: call.id });
        }
    }

    fn do_due(&mut self, session: &Session) {
        let now = Instant::now();
        let (ready, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.due = later;
        ready
            .into_iter()
            .for_each(|(_, command)| session.engine.send(command));
    }
}

/// Digits with their pauses as commands to send.
pub(crate) fn digits_due(
    call: CallId,
    digits: &str,
    connected: Instant,
) -> Vec<(Instant, Command)> {
    let mut at = connected + BEFORE_DIGITS;
    let mut due = Vec::new();
    for part in digits.split_inclusive([',', 'p', 'P']) {
        let bare = part.trim_end_matches([',', 'p', 'P']);
        if !bare.is_empty() {
            let digits = bare.to_owned();
            due.push((
                at,
                Command::SendDtmf {
                    call,
                    digits: digits.into(),
                },
            ));
            at += DIGIT_TIME * u32::try_from(bare.chars().count()).unwrap_or(u32::MAX);
        }
        if bare.len() < part.len() {
            at += DIGIT_PAUSE;
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_waits_among_digits() {
        let start = Instant::now();
        let due = digits_due(CallId(1), "12,p3", start);
        let times: Vec<_> = due
            .iter()
            .map(|(at, _)| (*at - start).as_millis())
            .collect();
        assert_eq!(times, [500, 500 + 520 + 1000]);
        let parts: Vec<_> = due
            .iter()
            .map(|(_, d)| match d {
                Command::SendDtmf { digits, .. } => digits.reveal(),
                _ => "",
            })
            .collect();
        assert_eq!(parts, ["12", "3"]);
    }
}
