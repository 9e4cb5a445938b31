//! What the account does with calls by itself: turns them away, sends them on, takes them, follows where they are sent.
//!
//! ```text
//!   INVITE ─► do not disturb ─► 486, 480
//!          ├► forward always ─► 302
//!          ├► too many calls ─► 302, or 486
//!          └► rings ─┬► taken without a hand, after the time that it asks for
//!                    └► nobody takes it ─► 302
//! ```

use std::time::Duration;

use model::{
    AutoAnswer, CallState, CallView, Direction, DoNotDisturb, JoinPolicy, Redirect, RedirectPolicy,
};
use ractor::ActorRef;
use sip_core::call::{CallConfig, CallerInfo, ForwardReason, WrongState};
use sip_message::{NameAddr, StatusCode};

use super::{DialogMsg, DialogState, Phase, party};

/// How often a call may be sent on before the user's phone stops following.
const REDIRECTIONS: u8 = 5;
/// How many places of a redirection are shown.
const PLACES: usize = 8;
/// A caller that wants to be taken after an hour is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Shorter session intervals than this are not allowed (RFC 4028 §4).
const SHORTEST_SESSION_S: u32 = 90;

/// Makes the policies of an account part of how its calls are made and taken.
pub(super) fn configure(config: &mut CallConfig, policies: &model::CallPolicies, outgoing: bool) {
    let seconds = |s: u32| Duration::from_secs(u64::from(s.max(SHORTEST_SESSION_S)));
    config.redirections = match policies.redirects {
        RedirectPolicy::Never => 0,
        RedirectPolicy::Ask | RedirectPolicy::Always => REDIRECTIONS,
    };
    let minimum = policies.min_session_expires_s;
    config.session_timer.minimum = seconds(minimum);
    let interval = seconds(policies.session_expires_s.max(minimum));
    config.session_timer.interval = policies.session_timers.then_some(interval);
    let supported = &mut config.capabilities.supported;
    if !policies.session_timers {
        supported.retain(|tag| tag != "timer");
    }
    if outgoing {
        // It says how calls are taken; a call of ours is to fit into a datagram.
        supported.retain(|tag| tag != super::start::ANSWER_MODE);
    }
    if !outgoing && policies.joins != JoinPolicy::Never {
        supported.push("join".to_owned());
    }
    match policies.prack {
        model::PrackPolicy::Off => supported.retain(|tag| tag != "100rel"),
        model::PrackPolicy::Supported => {}
        model::PrackPolicy::Required if outgoing => {
            let require = ("Require".to_owned(), "100rel".to_owned());
            config.extra_headers.push(require);
        }
        model::PrackPolicy::Required => {}
    }
}

impl DialogState {
    /// Whether a call that came in is turned away or sent on before it rings.
    pub(super) fn is_turned_away(&mut self) -> bool {
        // A call that takes the place of another one is no new call.
        if self.takes_a_place() || self.view.state != CallState::Trying {
            return false;
        }
        let policies = self.settings.calls.clone();
        if policies.forward_always.is_some() {
            let always = policies.forward_always.as_ref();
            return self.send_on(always, ForwardReason::Unconditional)
                || self.turn_away(StatusCode::TEMPORARILY_UNAVAILABLE, "it would go round");
        }
        let busy = policies.forward_busy.as_ref();
        match policies.do_not_disturb {
            DoNotDisturb::Off => {}
            DoNotDisturb::Busy => {
                return self.send_on(busy, ForwardReason::Busy)
                    || self.turn_away(StatusCode::BUSY_HERE, "nobody is to be disturbed");
            }
            DoNotDisturb::Unavailable => {
                let status = StatusCode::TEMPORARILY_UNAVAILABLE;
                return self.turn_away(status, "nobody is to be disturbed");
            }
        }
        let limit = usize::from(policies.most_calls);
        if limit > 0 && self.others(|view| view.account == self.view.account) >= limit {
            return self.send_on(busy, ForwardReason::Busy)
                || self.turn_away(StatusCode::BUSY_HERE, "the line is busy");
        }
        // RFC 5373 §5.3.3.1: who insists on being taken without a hand, and is not, hears no.
        let insists = self
            .invited()
            .is_some_and(|info| wants_answer(&info) && insists(&info));
        if insists && !self.answers_unasked() {
            return self.turn_away(StatusCode::FORBIDDEN, "it insists on being taken at once");
        }
        false
    }

    /// It rings: what happens when nobody does anything.
    pub(super) fn wait_for_a_hand(&mut self, myself: &ActorRef<DialogMsg>) {
        let policies = &self.settings.calls;
        if policies.forward_no_answer.is_some() {
            let wait = Duration::from_secs(u64::from(policies.forward_after_s));
            myself.send_after(wait, || DialogMsg::NotTaken);
        }
        if self.answers_unasked() {
            let asked = self.invited().and_then(|info| answer_after(&info));
            let wait = asked.unwrap_or_default().min(LONGEST_WAIT);
            myself.send_after(wait, || DialogMsg::TakeUnasked);
        }
    }

    /// Nobody took it in time.
    pub(super) fn on_not_taken(&mut self) {
        if self.view.state == CallState::Ringing {
            let target = self.settings.calls.forward_no_answer.clone();
            self.send_on(target.as_ref(), ForwardReason::NoAnswer);
        }
    }

    /// It is taken without a hand, unless somebody speaks with somebody else by now.
    pub(super) async fn on_take_unasked(&mut self, myself: &ActorRef<DialogMsg>) {
        if self.view.state == CallState::Ringing && self.answers_unasked() {
            self.view.details.auto_answered = true;
            self.note("call", "taken without a hand, as set".to_owned());
            self.on_answer(myself).await;
        }
    }

    fn answers_unasked(&self) -> bool {
        let info = self.invited();
        // RFC 5373 §4: who wants a hand gets one.
        let manual = info.as_ref().is_some_and(|info| mode(info, "Manual"));
        let wanted = match self.settings.calls.auto_answer {
            AutoAnswer::Never => false,
            AutoAnswer::WhenAsked => info.as_ref().is_some_and(wants_answer),
            AutoAnswer::Always => !manual,
        };
        let talking = |view: &CallView| {
            let soon = view.state == CallState::Answering || view.direction == Direction::Outgoing;
            view.state.is_up() || (soon && view.state.is_live())
        };
        // Nobody ends a call of ours by a call that takes itself.
        wanted && !self.needs_a_word() && self.others(talking) == 0
    }

    /// How many other calls are like this. The other end of this one, if that is ours, too, is no other call.
    fn others(&self, which: impl Fn(&CallView) -> bool) -> usize {
        let same =
            |view: &CallView| view.id == self.view.id || view.sip_call_id == self.view.sip_call_id;
        self.shared.hub.read(|state| {
            let others = state.calls.iter().filter(|view| !same(view));
            others
                .filter(|view| view.state.is_live() && which(view))
                .count()
        })
    }

    fn invited(&self) -> Option<CallerInfo> {
        match &self.phase {
            Phase::Calling(call) => call.caller_info(),
            Phase::Finding(_) | Phase::Over => None,
        }
    }

    /// Sends the caller on. False where that is not set, or would go round.
    fn send_on(&mut self, to: Option<&model::Private>, reason: ForwardReason) -> bool {
        let Some(to) = to else { return false };
        let target = match self.identity.target(to.reveal()) {
            Ok(target) => NameAddr::new(target),
            Err(detail) => {
                self.note("call", format!("cannot be sent on: {}", detail.reveal()));
                return false;
            }
        };
        let Phase::Calling(call) = &mut self.phase else {
            return false;
        };
        let done = call.forward(super::now(), &target, reason);
        match done {
            Ok(()) => self.note("call", "the caller is sent on, as set".to_owned()),
            Err(WrongState::Choice) => {
                let text = "not sent on: it was sent on too often, or by us";
                self.note("call", text.to_owned());
                return false;
            }
            Err(_) => {}
        }
        self.unseen = true;
        self.after_verb("send the caller on", done);
        true
    }

    fn turn_away(&mut self, status: StatusCode, why: &str) -> bool {
        self.note("call", format!("turned away: {why}"));
        self.unseen = true;
        self.refuse(status);
        true
    }

    /// The call is sent elsewhere (3xx).
    pub(super) fn on_redirected(&mut self, contacts: &[NameAddr]) {
        let targets = contacts.iter().take(PLACES).map(party).collect();
        self.note("call", "the peer can be reached elsewhere".to_owned());
        self.view.redirect = Some(Redirect {
            targets,
            followed: None,
        });
        if self.settings.calls.redirects == RedirectPolicy::Always {
            // The best one that is new and no less protected.
            for target in 0..contacts.len().min(PLACES) {
                if self.follow(target) {
                    return;
                }
            }
            // Nobody is asked where the way is settled, so there is nobody to wait for.
            return self.on_decline_redirect();
        }
        self.publish();
    }

    /// The user chose where to go.
    pub(super) fn on_follow(&mut self, target: u32) {
        let target = usize::try_from(target).unwrap_or(usize::MAX);
        if !self.follow(target) {
            let text = "this place cannot be called: it was before, or it is less protected";
            self.note("call", text.to_owned());
        }
    }

    /// The user wants to go to none of the places.
    pub(super) fn on_decline_redirect(&mut self) {
        let waits = |redirect: &Redirect| redirect.followed.is_none();
        if self.view.redirect.as_ref().is_some_and(waits)
            && let Phase::Calling(call) = &mut self.phase
        {
            let done = call.decline_redirection(super::now());
            self.after_verb("stay here", done);
        }
    }

    fn follow(&mut self, target: usize) -> bool {
        let Phase::Calling(call) = &mut self.phase else {
            return false;
        };
        let done = call.follow(super::now(), target);
        let followed = done.is_ok();
        self.drain();
        if followed && let Some(redirect) = &mut self.view.redirect {
            redirect.followed = u32::try_from(target).ok();
            if let Some(party) = redirect.targets.get(target) {
                self.view.remote = party.clone();
            }
            self.enter(CallState::Trying);
            self.ringback.start_over();
            self.update_tones();
        }
        followed
    }
}

/// Whether the caller asks to be taken without a hand.
fn wants_answer(info: &CallerInfo) -> bool {
    mode(info, "Auto") || answer_after(info).is_some()
}

/// Answer-Mode and Priv-Answer-Mode (RFC 5373). The one that speaks of privilege has no more of it here.
fn mode(info: &CallerInfo, wanted: &str) -> bool {
    let modes = [&info.answer_mode, &info.priv_answer_mode];
    let mut modes = modes.into_iter().flatten();
    modes.any(|mode| mode.mode.eq_ignore_ascii_case(wanted))
}

fn insists(info: &CallerInfo) -> bool {
    let modes = [&info.answer_mode, &info.priv_answer_mode];
    let mut modes = modes.into_iter().flatten();
    modes.any(|mode| mode.params.has("require"))
}

/// After how long a caller wants to be taken, by the headers that PBXes send to desk phones: `answer-after` in Call-Info,
/// `info=alert-autoanswer` and `ring-answer` in Alert-Info.
fn answer_after(info: &CallerInfo) -> Option<Duration> {
    let said = info
        .call_info
        .iter()
        .find_map(|entry| entry.params.get("answer-after"));
    if let Some(said) = said {
        return Some(Duration::from_secs(said.parse().unwrap_or_default()));
    }
    let at_once = ["alert-autoanswer", "ring-answer", "auto answer"];
    let mut alerts = info.alert_info.iter();
    let asked = alerts.any(|entry| {
        let word = entry.params.get("info").unwrap_or_default();
        at_once.iter().any(|known| word.eq_ignore_ascii_case(known))
    });
    asked.then_some(Duration::ZERO)
}
