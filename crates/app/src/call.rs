//! `tipring call`: places one call, or many at a rate, and reports how they went.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use engine::EngineConfig;
use model::{AccountId, CallId, CallState, CallView, Command, Direction, Event, Transfer};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::Outcome;
use crate::cli::{CallArgs, Common};
use crate::session::{Session, Transfers, call_media, interrupted, runtime, sound_ports};

/// How long after the answer the first digit is sent: the peer has to be listening.
const BEFORE_DIGITS: Duration = Duration::from_millis(500);
/// What `,` waits among digits.
const DIGIT_PAUSE: Duration = Duration::from_millis(500);
/// How long one digit takes with the pause after it.
const DIGIT_TIME: Duration = Duration::from_millis(260);

pub(crate) fn run(common: &Common, args: &CallArgs) -> anyhow::Result<Outcome> {
    let media = call_media(&args.audio, args.echo)?;
    runtime()?.block_on(async {
        let config = EngineConfig { media, ring_limit: args.ring_for, ..sound_ports(&args.audio) };
        let mut session = Session::start_with(common, &args.account, config).await?;
        if args.count == 1 {
            session.report.keep_reason();
        }
        session.report.follow_transfers(args.follow_transfers);
        if !session.registered(args.ring_for).await {
            session.give_up().await;
            return Ok(Outcome::Failed);
        }
        let mut run = Run::new(args);
        let mut stopped = false;
        let mut pace = interval(Duration::from_secs_f64(1.0 / args.rate));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while run.ended < run.expected() {
            let next_due = run.due.iter().map(|(at, _)| *at).min();
            let commands = tokio::select! {
                _ = pace.tick(), if run.started < args.count => vec![run.place(&session.account)],
                event = session.next() => run.on_event(Instant::now(), &event),
                () = sleep_until(next_due.unwrap_or_else(Instant::now).into()), if next_due.is_some() => {
                    run.take_due(Instant::now())
                }
                () = interrupted() => {
                    stopped = true;
                    break;
                }
            };
            commands.into_iter().for_each(|command| session.engine.send(command));
        }
        if run.lost() > 0 {
            let lost = run.lost();
            let object = json!({"event": "lost", "calls": lost});
            session.report.own(object, || {
                format!("{lost} calls ended while this machine was too busy to follow them: how is not known.")
            });
        }
        let outcome = match stopped {
            true => run.outcome_when_stopped(),
            false => run.good == run.expected(),
        };
        if stopped && !outcome {
            let text = "Interrupted before every call was answered.";
            let object = json!({"event": "notice", "level": "warning", "text": text});
            session.report.own(object, || text.to_owned());
        }
        session.finish_quietly().await;
        Ok(if outcome { Outcome::Done } else { Outcome::Failed })
    })
}

/// The calls of one run.
struct Run<'a> {
    args: &'a CallArgs,
    calls: BTreeMap<CallId, Progress>,
    transfers: Transfers,
    /// Calls that peers wanted instead of theirs.
    followed: BTreeSet<CallId>,
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
    /// Counted as ended because the snapshot does not have it any more.
    lost: bool,
    /// What it was told to do about where it was sent is on its way.
    sent_on: bool,
}

impl<'a> Run<'a> {
    fn new(args: &'a CallArgs) -> Self {
        Self {
            args,
            calls: BTreeMap::new(),
            transfers: Transfers::new(args.follow_transfers),
            followed: BTreeSet::new(),
            due: Vec::new(),
            started: 0,
            ended: 0,
            good: 0,
        }
    }

    fn place(&mut self, account: &AccountId) -> Command {
        self.started += 1;
        Command::PlaceCall {
            account: account.clone(),
            target: self.args.target.as_str().into(),
            headers: Vec::new(),
            direction: self.args.direction.into(),
        }
    }

    /// What is to be done at once because of it.
    fn on_event(&mut self, now: Instant, event: &Event) -> Vec<Command> {
        match event {
            Event::Resync { snapshot } => self.on_resync(now, &snapshot.calls),
            Event::Call { call } => self.on_call(now, call).into_iter().collect(),
            Event::CallRemoved { call } => {
                self.transfers.forget(*call);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Events were lost. What has ended meanwhile is shown as ended, or was put away to make room for
    /// those that ended later; the newest is never among those, so every older one that is not shown
    /// has ended, even one that was never heard of.
    fn on_resync(&mut self, now: Instant, shown: &[CallView]) -> Vec<Command> {
        let mut commands = Vec::new();
        for call in shown {
            commands.extend(self.on_call(now, call));
        }
        let shown: BTreeSet<CallId> = shown.iter().map(|call| call.id).collect();
        self.transfers.keep(|call| shown.contains(&call));
        let newest = shown.last().max(self.calls.keys().last()).copied();
        let newest = newest.map_or(0, |CallId(id)| id);
        for id in (1..=newest).map(CallId).filter(|id| !shown.contains(id)) {
            if !self.calls.contains_key(&id) && self.placed() >= self.started {
                continue;
            }
            let progress = self.calls.entry(id).or_default();
            if !progress.ended {
                progress.ended = true;
                progress.lost = true;
                self.ended += 1;
            }
        }
        commands
    }

    /// How many of the calls that were started have a name by now.
    fn placed(&self) -> u32 {
        let placed = self.calls.len().saturating_sub(self.followed.len());
        u32::try_from(placed).unwrap_or(u32::MAX)
    }

    /// How many calls there are to be: those that were asked for, and those that peers wanted instead.
    fn expected(&self) -> u32 {
        let more = self.followed.len() + self.transfers.pending();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.args.count.saturating_add(more)
    }

    fn on_call(&mut self, now: Instant, call: &CallView) -> Option<Command> {
        if call.direction != Direction::Outgoing {
            return None;
        }
        if let Some(answer) = self.transfers.on_call(call) {
            self.due.push((now, answer));
        }
        if let Some(Transfer::Following { call, .. }) = &call.transfer {
            self.followed.insert(*call);
        }
        let progress = self.calls.entry(call.id).or_default();
        // It was only late.
        if std::mem::take(&mut progress.lost) {
            progress.ended = false;
            self.ended -= 1;
        }
        // After a gap in the events the end may be the first that is heard of it.
        let connected = call.state.is_up() || call.connected_at.is_some();
        if connected && !std::mem::replace(&mut progress.connected, true) && call.state.is_up() {
            if let Some(talk) = self.args.talk {
                self.due
                    .push((now + talk, Command::EndCall { call: call.id }));
            }
            if let Some(digits) = &self.args.dtmf_send {
                self.due.extend(digits_due(call.id, digits, now));
            }
        }
        let redirect = call.redirect.as_ref();
        let asks = call.state.is_live() && redirect.is_some_and(|r| r.followed.is_none());
        if !std::mem::replace(&mut progress.sent_on, asks) && asks {
            let call = call.id;
            return Some(match self.args.follow {
                true => Command::FollowRedirect { call, target: 0 },
                false => Command::DeclineRedirect { call },
            });
        }
        if call.state != CallState::Ended || std::mem::replace(&mut progress.ended, true) {
            return None;
        }
        self.ended += 1;
        if progress.connected && call.failure.is_none() {
            self.good += 1;
        }
        Some(Command::DismissCall { call: call.id })
    }

    /// To be interrupted is a usual end for calls that were answered.
    fn outcome_when_stopped(&self) -> bool {
        let up = |progress: &&Progress| progress.connected && !progress.ended;
        let up = self.calls.values().filter(up).count();
        self.started > 0
            && usize::try_from(self.good)
                .is_ok_and(|good| good + up == self.started as usize + self.followed.len())
    }

    /// How many calls ended while the events about them were lost.
    fn lost(&self) -> usize {
        self.calls.values().filter(|progress| progress.lost).count()
    }

    /// What is due now, in order.
    fn take_due(&mut self, now: Instant) -> Vec<Command> {
        let (ready, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.due = later;
        ready.into_iter().map(|(_, command)| command).collect()
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
    use clap::Parser;
    use model::{Party, Snapshot, Timestamp};

    use super::*;
    use crate::cli::{Cli, Verb};

    fn args(count: u32) -> CallArgs {
        let line = format!("tipring call 600 --aor sip:a@example.com --count {count} --for 1s");
        match Cli::try_parse_from(line.split(' ')).map(|cli| cli.verb) {
            Ok(Some(Verb::Call(args))) => args,
            _ => panic!("no call"),
        }
    }

    fn view(id: u64, direction: Direction, state: CallState, connected: bool) -> CallView {
        let fields = json!({
            "id": id, "tenant": "t", "account": "a", "direction": direction, "state": state,
            "remote": Party::default(), "held_by_us": false, "held_by_peer": false, "muted": false,
            "created_at": Timestamp(0), "connected_at": connected.then_some(Timestamp(0)),
            "ended_at": null, "codec": null, "media_peer": null, "secured": false, "dtmf_sent": "",
            "dtmf_received": "", "stats": null, "failure": null, "last_status": null,
            "sip_call_id": "x",
        });
        serde_json::from_value(fields).expect("a call")
    }

    fn out(id: u64, state: CallState) -> CallView {
        view(id, Direction::Outgoing, state, state.is_up())
    }

    fn told(call: CallView) -> Event {
        Event::Call {
            call: Box::new(call),
        }
    }

    fn resync(calls: Vec<CallView>) -> Event {
        Event::Resync {
            snapshot: Box::new(Snapshot {
                calls,
                ..Snapshot::default()
            }),
        }
    }

    /// A run that has started all its calls and then lost events: what it counts when it starts over.
    fn check(before: &[CallView], fresh: Vec<CallView>, ended: u32, good: u32, lost: usize) {
        let args = args(4);
        let mut run = Run::new(&args);
        let now = Instant::now();
        (0..4).for_each(|_| drop(run.place(&AccountId::new("a"))));
        for call in before {
            run.on_event(now, &told(call.clone()));
        }
        run.on_event(now, &resync(fresh.clone()));
        assert_eq!((run.ended, run.good, run.lost()), (ended, good, lost));
        // The same said twice changes nothing.
        run.on_event(now, &resync(fresh));
        assert_eq!((run.ended, run.good, run.lost()), (ended, good, lost));
    }

    #[test]
    fn calls_that_ended_while_events_were_lost_are_counted() {
        use CallState::{Connected, Ended, Trying};
        let was_up = |id| view(id, Direction::Outgoing, Ended, true);
        // Ended, and still shown: with its connection or without.
        check(
            &[out(1, Connected)],
            vec![was_up(1), out(2, Ended)],
            2,
            1,
            0,
        );
        // Its whole life was lost, and it was a good one.
        check(&[], vec![was_up(1)], 1, 1, 0);
        // Known once, shown no more.
        check(
            &[out(1, Connected), out(2, Trying)],
            vec![out(2, Connected)],
            1,
            0,
            1,
        );
        check(&[out(1, Connected)], vec![], 1, 0, 1);
        // Never heard of, but a later one is shown.
        check(&[], vec![out(4, Connected)], 3, 0, 3);
        check(
            &[out(1, Connected)],
            vec![out(1, Connected), was_up(3)],
            2,
            1,
            1,
        );
        // Those that were never placed are not ended.
        check(&[], vec![out(1, Trying)], 0, 0, 0);
    }

    #[test]
    fn a_caller_among_the_calls_is_none_of_ours() {
        let args = args(2);
        let mut run = Run::new(&args);
        let now = Instant::now();
        (0..2).for_each(|_| drop(run.place(&AccountId::new("a"))));
        let caller = view(2, Direction::Incoming, CallState::Ended, true);
        let fresh = vec![
            out(1, CallState::Connected),
            caller,
            out(3, CallState::Trying),
        ];
        run.on_event(now, &resync(fresh));
        assert_eq!((run.ended, run.good, run.lost()), (0, 0, 0));
    }

    #[test]
    fn a_call_that_was_only_late_is_counted_when_it_ends() {
        let args = args(2);
        let mut run = Run::new(&args);
        let now = Instant::now();
        (0..2).for_each(|_| drop(run.place(&AccountId::new("a"))));
        run.on_event(now, &resync(vec![out(2, CallState::Connected)]));
        assert_eq!((run.ended, run.lost()), (1, 1));
        run.on_event(now, &told(out(1, CallState::Connected)));
        assert_eq!((run.ended, run.lost()), (0, 0));
        let put_away = run.on_event(
            now,
            &told(view(1, Direction::Outgoing, CallState::Ended, true)),
        );
        assert_eq!(put_away, [Command::DismissCall { call: CallId(1) }]);
        assert_eq!((run.ended, run.good, run.lost()), (1, 1, 0));
        // Both were up, and are to be ended after a second.
        assert_eq!(run.take_due(now).len(), 0);
        assert_eq!(run.take_due(now + Duration::from_secs(1)).len(), 2);
    }

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
