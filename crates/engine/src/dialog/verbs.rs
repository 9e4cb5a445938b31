//! What the user does to a call.

use std::num::NonZeroU64;
use std::time::Duration;

use model::{
    CallState, Direction, DtmfMode, Event, LoginPurpose, MediaDirection, NoticeLevel, Outcome,
    QuestionId, SoundView,
};
use ractor::ActorRef;
use sip_core::call::{InfoDigit, WrongState};
use sip_message::{Method, Reason, StatusCode};

use super::media_leg::MediaLeg;
use super::{DialogMsg, DialogState, Phase};
use crate::devices::DevicesMsg;
use crate::lights;
use crate::passwords::GivenLogin;
use crate::shared::Ringing;
use crate::wake::now;

/// How many digits of each direction a call shows; older ones give way.
const DIGITS_SHOWN: usize = 256;
/// How long one digit sounds.
const DIGIT: Duration = Duration::from_millis(160);

fn push_digit(shown: &mut String, digit: char) {
    if shown.len() >= DIGITS_SHOWN {
        shown.remove(0);
    }
    shown.push(digit);
}

impl DialogState {
    /// Somebody on the way asks for a login that is not there: a person is asked for it.
    pub(super) fn on_login_wanted(&mut self, wanted: &sip_core::auth::LoginWanted) {
        let why = match wanted.refused {
            true => "refused",
            false => "missing",
        };
        self.note(
            "call",
            format!(
                "a login for “{}” is {why}; a person is asked for it",
                wanted.realm
            ),
        );
        self.login.ask(
            &self.view.account,
            self.identity.login_name(),
            (LoginPurpose::Call, Some(self.view.id)),
            wanted,
        );
    }

    /// A person gave it, or gives none.
    pub(super) fn on_login(&mut self, question: QuestionId, given: Option<&GivenLogin>) {
        let Phase::Calling(call) = &mut self.phase else {
            return;
        };
        if !self.login.is(question) {
            return;
        }
        // Whoever waits no longer has said so already.
        let _ = match given {
            Some(given) => call.login(now(), given.credentials(&self.identity)),
            None => call.give_up_login(now()),
        };
    }

    pub(super) async fn on_answer(&mut self, myself: &ActorRef<DialogMsg>) {
        let ringing = self.view.direction == Direction::Incoming
            && matches!(self.view.state, CallState::Trying | CallState::Ringing);
        if ringing {
            self.answer_with_media(myself).await;
        }
    }

    pub(super) fn on_reject(&mut self, code: Option<u16>) {
        let status = code
            .and_then(StatusCode::new)
            .filter(|s| s.code() >= 300)
            .unwrap_or(StatusCode::BUSY_HERE);
        if self.view.direction == Direction::Incoming
            && !self.view.state.is_up()
            && let Phase::Calling(call) = &mut self.phase
        {
            let done = call.reject(now(), status);
            self.after_verb("decline", done);
        }
    }

    pub(super) fn on_end(&mut self) {
        self.end_because(None);
    }

    /// Ends the call; whoever is on the way hears why, where there is a reason to tell (RFC 3326).
    pub(super) fn end_because(&mut self, reason: Option<Reason>) {
        match &self.phase {
            Phase::Finding(_) => {
                self.phase = Phase::Over;
                self.finish(None, Outcome::Cancelled);
            }
            Phase::Calling(call) if self.view.state.is_live() => {
                // An answer that the peer has not acknowledged is no more to be declined: a BYE ends it
                // (RFC 3261 §15).
                if call.phase() == sip_core::call::Phase::Ringing {
                    // A program that ends declines nothing: 603 would have a proxy take the call from every other phone
                    // that rings for it (RFC 3261 §16.7).
                    self.unseen |= self.leaving;
                    return self.on_reject(Some(if self.leaving { 480 } else { 603 }));
                }
                self.hang_up_because(reason);
                self.close_media();
                self.enter(CallState::Ending);
                self.update_tones();
            }
            Phase::Calling(_) | Phase::Over => {}
        }
    }

    pub(super) fn hang_up(&mut self) {
        self.hang_up_because(None);
    }

    fn hang_up_because(&mut self, reason: Option<Reason>) {
        if let Phase::Calling(call) = &mut self.phase {
            let done = match reason {
                Some(reason) => call.hang_up_because(now(), reason),
                None => call.hang_up(now()),
            };
            self.after_verb("hang up", done);
        }
    }

    /// Every verb is followed by a drain before the next one; one that came at the wrong time is
    /// noted, since a person's click and a peer's message can always cross.
    pub(super) fn after_verb(&mut self, verb: &str, done: Result<(), WrongState>) {
        self.drain();
        if let Err(error) = done {
            self.note("call", format!("could not {verb}: {error}"));
        }
    }

    pub(super) fn on_hold(&mut self, hold: bool) {
        self.hold_wanted = hold;
        // Who refused may be asked again; who was not held by an agreement is talked to again without one.
        let was_alone = std::mem::take(&mut self.held_alone);
        self.settle_hold();
        self.settle_mute();
        if was_alone && !hold {
            self.show_hold();
        }
    }

    /// Whether the microphone is cut off. A call for the place of another one gets nothing before it has it: until then it
    /// knows nothing of what the person does with that one.
    pub(super) fn settle_mute(&mut self) {
        let muted = self.view.muted || self.transfers.has_no_place_yet();
        if let Some(media) = &mut self.media {
            media.set_muted(muted);
        }
    }

    /// Shows whether the peer is on hold.
    pub(super) fn show_hold(&mut self) {
        let agreed = self.media.as_ref().is_some_and(MediaLeg::held);
        self.view.held_by_us = agreed || self.held_alone;
        if self.view.state.is_up() {
            self.enter(self.talking_state());
        }
    }

    /// An answer that was given while it rang stands until the call is up, and is changed then.
    pub(super) fn on_direction(&mut self, direction: MediaDirection) {
        self.direction_wanted = direction;
        if let Some(media) = &mut self.media {
            media.ask_first_for(self.hold_wanted, direction);
        }
        self.settle_hold();
    }

    /// Brings hold and direction in line with what the user wants, and tells the peer of a new address of ours, once the call is up
    /// and no other change is under way.
    pub(super) fn settle_hold(&mut self) {
        self.settle_what_is_said();
        let (hold, direction) = (self.hold_wanted, self.direction_wanted);
        let Some(media) = &mut self.media else { return };
        let moves = self.moving.is_some_and(super::moved::Moving::is_due);
        let hold_changes = media.held() != hold && !self.held_alone;
        let changes = hold_changes || media.direction() != direction;
        let due = changes || moves || self.keys_wanted || self.ways_wanted.is_some();
        if !self.view.state.is_up() || !due || media.awaits_answer() {
            return;
        }
        if std::mem::take(&mut self.keys_wanted) {
            media.renew_keys();
        }
        self.ways_asked = self.ways_wanted.take();
        if let Some(wish) = self.ways_asked {
            media.ask_for_ways(wish);
        }
        let offer = media.offer_change(hold, direction);
        if let Some(moving) = &mut self.moving {
            moving.goes_out();
        }
        if let Phase::Calling(call) = &mut self.phase {
            let done = call.reoffer(now(), offer);
            if done.is_err() {
                media.rollback();
            }
            self.after_verb("change the call", done);
        }
    }

    /// Other keys are a new offer; who has none needs none.
    pub(super) fn on_renew_keys(&mut self) {
        let keyed = self.media.as_ref().is_some_and(MediaLeg::is_keyed);
        if self.view.state.is_up() && keyed {
            self.keys_wanted = true;
            self.settle_hold();
        } else {
            self.note("media", "there are no keys to renew".to_owned());
        }
    }

    pub(super) fn on_mute(&mut self, muted: bool) {
        self.view.muted = muted;
        self.settle_mute();
        self.publish();
    }

    pub(super) fn on_conference(&mut self, room: Option<NonZeroU64>) {
        if !self.view.state.is_live() {
            return;
        }
        self.view.conference = room.map(NonZeroU64::get);
        if let Some(media) = &mut self.media {
            media.set_room(room);
        }
        self.publish();
    }

    pub(super) fn on_digits(&mut self, digits: &str) {
        let digits: Vec<char> = digits
            .chars()
            .map(|c| c.to_ascii_uppercase())
            .filter(|c| c.is_ascii_digit() || "*#ABCD".contains(*c))
            .collect();
        let by_info = self.digits_by_info();
        if !by_info
            && !digits.is_empty()
            && let Some(why) = self.digits_are_held_back()
        {
            return self.refuse_digits(why);
        }
        for digit in digits {
            if !by_info {
                // It tells when its turn has come.
                if let Some(media) = &self.media {
                    media.send_digit(digit, DIGIT);
                }
            } else if self.send_digit_by_info(digit) {
                push_digit(self.view.dtmf_sent.reveal_mut(), digit);
            }
        }
        self.publish();
    }

    /// A digit goes out with the sound.
    pub(super) fn on_digit_sent(&mut self, digit: char) {
        push_digit(self.view.dtmf_sent.reveal_mut(), digit);
        self.publish();
    }

    fn send_digit_by_info(&mut self, digit: char) -> bool {
        let Phase::Calling(call) = &mut self.phase else {
            return false;
        };
        let duration = Some(DIGIT);
        let done = call.send_digit(now(), InfoDigit { digit, duration });
        let sent = done.is_ok();
        self.after_verb("send a digit", done);
        sent
    }

    /// Why digits would not go out with the sound now. A hold counts from the moment that it is wanted.
    fn digits_are_held_back(&self) -> Option<&'static str> {
        if self.hold_wanted {
            return Some("the call is on hold");
        }
        match &self.media {
            Some(media) => media.holds_digits_back(),
            None => Some("there is no media yet"),
        }
    }

    /// Digits that could not go out now would go to whoever is there later, perhaps a PIN to a stranger.
    fn refuse_digits(&mut self, why: &str) {
        let text = format!("Digits are not sent in call {}: {why}.", self.view.id);
        self.note("media", text.clone());
        let tenant = Some(&self.view.tenant);
        self.shared.notice(NoticeLevel::Warning, tenant, text);
    }

    pub(super) fn on_digit_heard(&mut self, digit: char, duration_ms: Option<u32>) {
        if !self.keys.takes(now()) {
            return;
        }
        push_digit(self.view.dtmf_received.reveal_mut(), digit);
        self.publish();
        self.shared.hub.publish(Event::Dtmf {
            call: self.view.id,
            digit,
            duration_ms,
        });
    }

    /// Whether digits go in INFO requests, and not with the sound.
    fn digits_by_info(&self) -> bool {
        match self.settings.dtmf {
            DtmfMode::Info => true,
            DtmfMode::Rfc4733 | DtmfMode::Inband => false,
            DtmfMode::Auto => {
                let events = self.media.as_ref().is_some_and(MediaLeg::takes_events);
                let takes_info = match &self.phase {
                    Phase::Calling(call) => call
                        .dialog()
                        .is_some_and(|dialog| dialog.takes(&Method::Info)),
                    Phase::Finding(_) | Phase::Over => false,
                };
                !events && takes_info
            }
        }
    }

    /// The peer sent an INFO: a digit, or something that means nothing here.
    pub(super) fn on_info(&mut self, content_type: &str, body: &[u8]) {
        match InfoDigit::parse(content_type, body) {
            Some(InfoDigit { digit, duration }) => {
                let duration_ms = duration.and_then(|time| u32::try_from(time.as_millis()).ok());
                self.on_digit_heard(digit, duration_ms);
            }
            None => {
                let kind = content_type.split(';').next().unwrap_or_default().trim();
                self.note("call", format!("an INFO of type {kind} was passed over"));
            }
        }
    }

    pub(super) fn on_dismiss(&mut self) {
        if !self.view.state.is_live() && !self.dismissed {
            self.dismissed = true;
            self.shared
                .hub
                .publish(Event::CallRemoved { call: self.view.id });
        }
    }

    /// Shows what is true about the sound; its course is told less often.
    pub(super) fn on_sound(&mut self, mut sound: SoundView) {
        let without = self.media.as_ref().map(|media| media.without(&self.shared));
        lights::explain(&mut sound, &self.view, without.unwrap_or_default());
        if sound.course.is_empty() {
            sound.course = std::mem::take(&mut self.view.sound.course);
        }
        self.view.sound = sound;
    }

    pub(super) fn on_media_silent(&mut self, silent: bool) {
        let text = if silent {
            "no media has arrived for 10 s"
        } else {
            "media arrives again"
        };
        self.note("media", text.to_owned());
    }

    /// What the user hears beside the peer: the ring tone, or the tone of the other phone ringing.
    pub(super) fn update_tones(&self) {
        let heard = |media: &MediaLeg| media.is_running() && media.hears();
        let early_media = self.media.as_ref().is_some_and(heard);
        // Sound cards take their time to open: whoever calls somebody is about to talk.
        let calling = self.view.direction == Direction::Outgoing;
        let awaited = early_media || calling || self.view.state == CallState::Answering;
        let ringing = match (self.view.direction, self.view.state) {
            (Direction::Incoming, CallState::Ringing) => Some(Ringing::Here),
            // Whether anything was agreed on says nothing about whether something is heard.
            (Direction::Outgoing, CallState::Ringing | CallState::Early)
                if self.ringback.sounds() =>
            {
                Some(Ringing::There)
            }
            _ => None,
        };
        let message = DevicesMsg::Call {
            call: self.view.id,
            ringing,
            talking: awaited && self.view.state.is_live(),
            voice: self.settings.voice,
        };
        self.shared.devices.cast(message);
    }

    /// Takes the stream out of the pump and lets the devices rest.
    pub(super) fn close_media(&mut self) {
        self.report_quality();
        self.shared.live.remove(self.view.id);
        self.no_recording_begins();
        if let Some(media) = self.media.take() {
            // The last second's figures would leave out what came since.
            self.view.stats = media.stats().or(self.view.stats.take());
            media.close();
        }
    }
}
