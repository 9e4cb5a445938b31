//! `tipring answer`: waits for calls, and answers or declines them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use engine::{CallMedia, EngineConfig, Source};
use model::{
    AccountView, CallId, CallState, CallView, Command, Direction, Event, FailureKind,
    MediaDirection, NetworkStep,
};
use serde_json::json;
use tokio::time::sleep_until;

use crate::Outcome;
use crate::call::digits_due;
use crate::cli::{AnswerArgs, Common};
use crate::menu::Menu;
use crate::session::{Session, Transfers, call_media, interrupted, runtime, sound_ports};

/// What is on its way when an announcement is over.
const AFTERWARDS: Duration = Duration::from_millis(300);

pub(crate) fn run(common: &Common, args: &AnswerArgs) -> anyhow::Result<Outcome> {
    let media = call_media(&args.audio, args.echo)?;
    let menu = args.menu.as_deref().map(Menu::read).transpose()?;
    let talk = match &media {
        CallMedia::PerCall {
            source: Source::File { samples, .. },
            ..
        } if args.once => Some(engine::wav::length(samples) + AFTERWARDS),
        _ => args.talk,
    };
    if args.announce && matches!(media, CallMedia::Devices) {
        anyhow::bail!(
            "nobody is heard through a microphone before they pick up: --announce takes --play FILE too"
        );
    }
    runtime()?.block_on(async {
        let config = EngineConfig { media, announce: args.announce, ..sound_ports(&args.audio) };
        let mut session = Session::start_with(common, &args.account, config).await?;
        if !session.registered(None).await {
            session.give_up().await;
            return Ok(Outcome::Failed);
        }
        session.report.follow_transfers(args.follow_transfers);
        session.report.own(json!({"event": "waiting", "account": session.account}), || "waiting for calls".to_owned());
        let transfers = Transfers::new(args.follow_transfers);
        let mut run = Run { args, talk, menu, seen: HashMap::new(), transfers, followed: HashMap::new(), due: Vec::new(), ending: HashSet::new(), newest: 0, ended: 0 };
        loop {
            if args.count.is_some_and(|count| run.ended >= count) && !run.is_following() {
                break;
            }
            let next_due = run.due.iter().map(|(at, _)| *at).min();
            tokio::select! {
                event = session.next() => match event {
                    Event::Resync { snapshot } => run.on_resync(&session, &snapshot.calls),
                    Event::Call { call } => run.on_call(&session, &call),
                    Event::Dtmf { call, digit, .. } => run.on_key(&session, call, digit),
                    // Where nobody signs in nothing is tried again: no call will ever come.
                    Event::Account { account }
                        if account.id == session.account && is_deaf(&account) =>
                    {
                        session.give_up().await;
                        return Ok(Outcome::Failed);
                    }
                    Event::CallRemoved { call } => {
                        run.seen.remove(&call);
                        run.followed.remove(&call);
                        run.transfers.forget(call);
                        run.ending.remove(&call);
                    }
                    _ => {}
                },
                () = sleep_until(next_due.unwrap_or_else(Instant::now).into()), if next_due.is_some() => {
                    run.do_due(&session);
                }
                () = interrupted() => break,
            }
        }
        session.finish().await;
        Ok(Outcome::Done)
    })
}

/// Whether an account that does not sign in has no place to be called at.
fn is_deaf(account: &AccountView) -> bool {
    let step = account.failure.as_ref().map(|failure| &failure.what);
    let unbound = matches!(
        step,
        Some(FailureKind::Network {
            step: NetworkStep::Bind,
            ..
        })
    );
    !account.settings.register && unbound
}

struct Run<'a> {
    args: &'a AnswerArgs,
    /// How long each call lasts, where it does not end by itself.
    talk: Option<Duration>,
    menu: Option<Menu>,
    seen: HashMap<CallId, bool>,
    transfers: Transfers,
    /// Calls that callers wanted us to make instead of theirs, and whether they were taken.
    followed: HashMap<CallId, bool>,
    due: Vec<(Instant, Command)>,
    /// Calls that have ended and are being put away.
    ending: HashSet<CallId>,
    /// The newest call that was heard of.
    newest: u64,
    ended: u32,
}

impl Run<'_> {
    /// Events were lost: calls that are not shown any more have ended and were put away, those that
    /// were never heard of among them. The newest is always shown.
    fn on_resync(&mut self, session: &Session, shown: &[CallView]) {
        let heard = self.newest;
        shown.iter().for_each(|call| self.on_call(session, call));
        self.ended += self.gone(heard, shown);
    }

    /// How many calls, of those that were known and of those after the newest that was, are shown no more.
    fn gone(&mut self, heard: u64, shown: &[CallView]) -> u32 {
        let is_shown = |id: CallId| shown.iter().any(|call| call.id == id);
        let unheard = (heard + 1..=self.newest).filter(|id| !is_shown(CallId(*id)));
        let unheard = unheard.count();
        self.transfers.keep(is_shown);
        let known = self.seen.len();
        let ending = &self.ending;
        self.seen
            .retain(|id, _| is_shown(*id) || ending.contains(id));
        u32::try_from(unheard + known - self.seen.len()).unwrap_or(u32::MAX)
    }

    /// Whether a call goes on that a caller wanted us to make, or is still to come.
    fn is_following(&self) -> bool {
        !self.followed.is_empty() || self.transfers.pending() > 0
    }

    /// A call that a caller wanted us to make: it lasts as long as one that came in.
    fn on_followed(&mut self, session: &Session, call: &CallView) {
        if call.state == CallState::Ended {
            self.followed.remove(&call.id);
            if self.ending.insert(call.id) {
                session.engine.send(Command::DismissCall { call: call.id });
            }
            return;
        }
        let was_up = self.followed.insert(call.id, call.state.is_up());
        if call.state.is_up()
            && was_up != Some(true)
            && let Some(talk) = self.talk
        {
            let end = Command::EndCall { call: call.id };
            self.due.push((Instant::now() + talk, end));
        }
    }

    fn on_call(&mut self, session: &Session, call: &CallView) {
        if let Some(answer) = self.transfers.on_call(call) {
            session.engine.send(answer);
        }
        if call.direction != Direction::Incoming {
            return self.on_followed(session, call);
        }
        self.newest = self.newest.max(call.id.0);
        let now = Instant::now();
        // A call that would end another one, and that nobody vouches for, is for a person to take.
        let takes = call.details.replaces.is_none() || self.args.code.is_some();
        if call.state == CallState::Ringing && takes && !self.seen.contains_key(&call.id) {
            self.seen.insert(call.id, false);
            let direction = MediaDirection::from(self.args.direction);
            let reactions = match self.args.code {
                Some(code) => vec![Command::RejectCall {
                    call: call.id,
                    code: Some(code),
                }],
                None => vec![
                    Command::SetDirection {
                        call: call.id,
                        direction,
                    },
                    Command::AnswerCall { call: call.id },
                ],
            };
            if self.args.after.is_zero() {
                reactions
                    .into_iter()
                    .for_each(|reaction| session.engine.send(reaction));
            } else {
                let at = now + self.args.after;
                self.due
                    .extend(reactions.into_iter().map(|reaction| (at, reaction)));
            }
        }
        if call.state.is_up() && self.seen.insert(call.id, true) != Some(true) {
            if let Some(talk) = self.talk {
                self.due
                    .push((now + talk, Command::EndCall { call: call.id }));
            }
            if let Some(digits) = &self.args.dtmf_send {
                self.due.extend(digits_due(call.id, digits, now));
            }
        }
        if call.state == CallState::Ended && self.ending.insert(call.id) {
            self.ended += 1;
            session.engine.send(Command::DismissCall { call: call.id });
        }
    }

    fn on_key(&self, session: &Session, call: CallId, key: char) {
        let chosen = self.menu.as_ref().and_then(|menu| menu.choose(call, key));
        if let Some(command) = chosen {
            session.engine.send(command);
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
