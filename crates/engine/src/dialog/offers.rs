//! Offers and answers: what the call brings goes to `sdp`, what `sdp` says goes to the stream.

use std::time::Duration;

use model::{CallState, Direction, Failure, FailureKind, NoticeLevel, Outcome};
use nat::turn::Refusal;
use ractor::ActorRef;
use sdp::SdpError;
use sip_core::call::MediaWarning;
use sip_message::StatusCode;

use super::{DialogMsg, DialogState, Phase};
use crate::dialog::media_leg::MediaLeg;
use crate::failures;
use crate::wake::now;

/// How often the sound machinery is asked again to take a change.
const MEDIA_TRIES: u8 = 5;
/// How long after.
const MEDIA_WAIT: Duration = Duration::from_millis(100);

/// What our refusal of an offer says of it.
fn warning_of(error: &SdpError) -> MediaWarning {
    match error {
        SdpError::NoCommonMedia { .. } => MediaWarning::Format,
        SdpError::NotEncrypted { .. } => MediaWarning::Transport,
        SdpError::Malformed(_)
        | SdpError::TooLarge(_)
        | SdpError::UnusableAddress(_)
        | SdpError::UnexpectedAnswer
        | SdpError::AudioRefused { .. }
        | SdpError::StrangeCrypto
        | SdpError::StrangeHandshake
        | SdpError::OfferPending => MediaWarning::Other,
    }
}

impl DialogState {
    /// The peer offers. The first offer waits for the user; a later one is answered at once.
    pub(super) async fn on_offer(&mut self, myself: &ActorRef<DialogMsg>, body: Vec<u8>) {
        // A call of ours has made its offer: what the peer offers before it takes the call is a change, too.
        if self.has_session() || self.view.direction == Direction::Outgoing {
            return self.answer_reoffer(myself, &body).await;
        }
        if self.is_turned_away() {
            return;
        }
        let Some(media) = &mut self.media else {
            return self.refuse(StatusCode::SERVER_INTERNAL_ERROR);
        };
        // Ringing for a call that cannot be heard helps nobody: the offer is tried before.
        match media.keep_offer(body) {
            Ok(()) => {
                self.ring(myself);
                if self.shared.announce {
                    self.announce(myself).await;
                }
            }
            Err(error) => self.refuse_offer(&error),
        }
    }

    /// A first offer that nothing can be made of ends the call, and both sides are told why.
    fn refuse_offer(&mut self, error: &SdpError) {
        self.note("media", error.to_string());
        self.refused_offer = Some(failures::offer(error));
        if let Phase::Calling(call) = &mut self.phase {
            call.warn(now(), warning_of(error));
        }
        self.refuse(StatusCode::NOT_ACCEPTABLE_HERE);
    }

    /// The peer leaves the offer to us.
    pub(super) async fn on_offer_wanted(&mut self, myself: &ActorRef<DialogMsg>) {
        if !self.has_session() {
            if !self.is_turned_away() {
                self.ring(myself);
            }
            return;
        }
        // It may be for somebody else (RFC 3725).
        self.gather_anew().await;
        let Some(media) = &mut self.media else { return };
        let offer = media.offer();
        if let Phase::Calling(call) = &mut self.phase {
            let done = call.accept_offer(now(), offer);
            self.after_verb("offer media", done);
        }
    }

    /// Whether the first offer has its answer, so that another one is a change: also before the ACK to our 2xx has come
    /// (RFC 5407 §3.1.4), and while it rings after a session was begun early (RFC 3311 §5.2).
    fn has_session(&self) -> bool {
        let agreed = self.media.as_ref().is_some_and(MediaLeg::is_agreed);
        self.view.state.is_up() || agreed
    }

    pub(super) fn ring(&mut self, myself: &ActorRef<DialogMsg>) {
        // A call that takes the place of another is answered as soon as it may.
        if self.rings_later() {
            return;
        }
        if let Phase::Calling(call) = &mut self.phase {
            let done = call.ring(now(), None);
            self.after_verb("ring", done);
        }
        self.enter(CallState::Ringing);
        self.warn_of_place();
        self.update_tones();
        self.wait_for_a_hand(myself);
    }

    /// The caller hears what the call sends though nobody has taken it (RFC 3960 §3.1): the answer to its offer is in a
    /// 183, and again in the 200 (RFC 3261 §13.3.1.4). Where that is not possible it goes on ringing.
    async fn announce(&mut self, myself: &ActorRef<DialogMsg>) {
        if self.view.state != CallState::Ringing {
            return;
        }
        if let Err(detail) = self.bind_media() {
            return self.note("media", detail);
        }
        let Some(media) = &mut self.media else { return };
        let Some(Ok(body)) = media.take_offer().map(|offer| media.answer(&offer)) else {
            return;
        };
        self.announced = Some(body.clone());
        // What comes of one verb goes out before the next.
        self.drain();
        if let Phase::Calling(call) = &mut self.phase {
            let done = call.progress(now(), StatusCode::SESSION_PROGRESS, Some(body));
            self.after_verb("announce", done);
        }
        self.apply_media(myself).await;
    }

    pub(super) fn refuse(&mut self, status: StatusCode) {
        if let Phase::Calling(call) = &mut self.phase {
            let done = call.reject(now(), status);
            self.after_verb("decline", done);
        }
    }

    async fn answer_reoffer(&mut self, myself: &ActorRef<DialogMsg>, body: &[u8]) {
        let media = self.media.as_ref();
        if media.is_some_and(|media| media.is_left_behind_by(body)) {
            self.gather_anew().await;
        }
        let Some(media) = &mut self.media else { return };
        // Who would not be put on hold by our offer is by our answer.
        if self.held_alone {
            media.set_held(true);
        }
        let outcome = media.answer(body);
        if self.held_alone && outcome.is_err() {
            media.set_held(false);
        }
        let Phase::Calling(call) = &mut self.phase else {
            return;
        };
        match outcome {
            Ok(answer) => {
                let done = call.accept_offer(now(), answer);
                self.after_verb("take the offer", done);
                self.apply_media(myself).await;
            }
            Err(error) => {
                call.warn(now(), warning_of(&error));
                let done = call.reject_offer(now(), StatusCode::NOT_ACCEPTABLE_HERE);
                self.after_verb("refuse the offer", done);
                self.note("media", error.to_string());
            }
        }
    }

    /// The peer answered our offer: the first one, or one for hold and resume.
    pub(super) async fn on_answered(
        &mut self,
        myself: &ActorRef<DialogMsg>,
        body: &[u8],
        early: bool,
    ) {
        let Some(media) = &mut self.media else { return };
        if media.is_settled() {
            // RFC 4028 §7.4: a refresh by re-INVITE describes the session as it stands, and so does its answer.
            return;
        }
        match media.handle_answer(body) {
            Ok(()) => {
                // Who does not want to hear what comes before the answer hears the phone ring over there.
                if !early || self.settings.calls.early_media {
                    self.apply_media(myself).await;
                }
                self.move_is_done();
                self.ways_asked = None;
                self.gather_for_wish().await;
                self.settle_hold();
                if self.view.state.is_up() {
                    self.replace_relay().await;
                }
                if early && self.settings.calls.early_media && !self.view.state.is_up() {
                    self.enter(CallState::Early);
                }
                self.update_tones();
                self.listen_for_media(myself);
                if self.mending.take().is_some() && !self.view.state.is_up() {
                    self.on_established(myself).await;
                }
            }
            Err(error) => {
                let failure = failures::description(&error);
                if let Some(suite) = media.mistaken_suite() {
                    let text = format!(
                        "the answer names {} under a tag that is not that key's (RFC 4568 §5.1.3); \
                         nothing is sent before it is put right",
                        suite.name()
                    );
                    self.note("media", text);
                    // A call that is being taken is so first: only then may there be another offer (RFC 3264 §4).
                    if self.view.state.is_up() {
                        self.offer_unmistakably();
                    }
                    return;
                }
                self.note("media", failure.sentence());
                // An early answer that cannot be used leaves the call without early media; a final
                // one leaves nothing to talk with.
                if !early {
                    self.give_up_unheard(failure);
                }
            }
        }
    }

    /// Makes the offer that puts right an answer that took one of our keys for another, once: RFC 3261 §14.1. Until its own
    /// answer has come there are no keys and there is no sound. True when it waits for that.
    pub(super) fn offer_unmistakably(&mut self) -> bool {
        let Some(media) = &mut self.media else {
            return false;
        };
        let Some(offer) = media.offer_unmistakably() else {
            return false;
        };
        let Phase::Calling(call) = &mut self.phase else {
            return false;
        };
        let done = call.reoffer(now(), offer);
        let failure = failures::description(&SdpError::StrangeCrypto);
        match done {
            Ok(()) => {
                self.note("media", "the key that was meant is offered alone");
                self.mending = Some(failure);
                self.after_verb("offer the key again", done);
            }
            Err(_) => {
                self.after_verb("offer the key again", done);
                self.give_up_unheard(failure);
            }
        }
        true
    }

    /// There is nothing to talk with.
    fn give_up_unheard(&mut self, failure: Failure) {
        self.hang_up();
        self.finish(Some(failure), Outcome::Failed);
    }

    pub(super) async fn on_reoffer_failed(
        &mut self,
        myself: &ActorRef<DialogMsg>,
        status: Option<StatusCode>,
    ) {
        // What that was to put right stays wrong.
        if let Some(failure) = self.mending.take() {
            self.note("media", failure.sentence());
            return self.give_up_unheard(failure);
        }
        let due = self.moving.is_some_and(super::moved::Moving::is_due);
        let media = self.media.as_mut();
        let refused = media.map(|media| {
            let refused = (media.held(), media.direction());
            media.rollback();
            refused
        });
        self.ways_refused(myself, status);
        let moves = self.move_failed(myself) || due;
        // Not asked again by itself: the peer does not want it. A new address is, since without it nothing is heard.
        if let (Some(media), Some((hold, direction))) = (&self.media, refused) {
            // Who does not agree to be put on hold is so all the same.
            self.held_alone = hold && self.hold_wanted && !media.held();
            if !moves && self.hold_wanted == hold {
                self.hold_wanted = hold || media.held();
            }
            if !moves && self.direction_wanted == direction {
                self.direction_wanted = media.direction();
            }
        }
        self.settle_what_is_said();
        let why = status.map_or("it could not be sent".to_owned(), |s| {
            format!("the peer answered {}", s.code())
        });
        self.note("media", format!("the change was not taken: {why}"));
        if self.held_alone {
            let text = "the other side is on hold without having agreed: it is not heard, and hears nobody here";
            self.note("media", text.to_owned());
        }
        self.show_hold();
        // What is to be said from another address goes out with that.
        let asks = self.ways_wanted.is_some() && self.moving.is_none();
        if due || asks {
            self.gather_for_wish().await;
        }
        // What was wished for meanwhile has not been asked yet.
        self.settle_hold();
    }

    /// The peer asked for an offer and did not answer it: it is withdrawn, and what the user wants meanwhile goes out.
    pub(super) fn on_offer_unanswered(&mut self) {
        if let Some(media) = &mut self.media {
            media.rollback();
        }
        self.settle_hold();
    }

    /// Brings stream and view in line with what was agreed.
    pub(super) async fn apply_media(&mut self, myself: &ActorRef<DialogMsg>) {
        self.settle_mute();
        let Some(media) = &mut self.media else { return };
        match media.apply(&self.shared, self.view.id) {
            Ok(true) => {
                if std::mem::take(&mut media.relay_died) {
                    self.relay_gone = Some((0, Refusal::Silent));
                }
                media.watch(myself).await;
                self.record_from_the_start(myself);
            }
            Ok(false) => {}
            Err(detail) => return self.on_media_refused(myself, detail),
        }
        self.media_tries = 0;
        let Some(media) = &mut self.media else { return };
        self.view.codec = media.codec_name();
        self.view.security = media.security();
        self.view.secured = self.view.security.is_private();
        self.held_alone &= !media.held();
        self.view.held_by_us = media.held() || self.held_alone;
        self.view.held_by_peer = media.held_by_peer();
        self.view.details.media = media.agreed_direction();
        media.set_deaf(self.instead.on_hold);
        if let Some(stream) = media.stream() {
            self.shared.live.insert(self.view.id, &stream);
        }
        let unprotected = media.has_lost_protection();
        let remarks = media.remarks();
        if unprotected {
            self.warn_of_plain_media();
        }
        remarks
            .into_iter()
            .for_each(|remark| self.note("media", remark));
        if self.view.state.is_up() {
            self.enter(self.talking_state());
        } else {
            self.publish();
        }
    }

    /// A lock that goes out is seen by nobody who looks elsewhere while they talk.
    fn warn_of_plain_media(&mut self) {
        let text = format!(
            "Call {} is not encrypted any more: the other side's new session description has no keys.",
            self.view.id
        );
        self.note("media", text.clone());
        let tenant = Some(&self.view.tenant);
        self.shared.notice(NoticeLevel::Warning, tenant, text);
    }

    /// The handshake for the keys is over. Without keys there is no sound, and never any in the clear; a call that
    /// cannot be heard is not kept.
    pub(super) fn on_media_secured(&mut self, outcome: Result<dtls::Profile, dtls::Failure>) {
        let Some(media) = &mut self.media else { return };
        match outcome {
            Ok(profile) => {
                media.set_secured(profile);
                self.view.security = media.security();
                self.view.secured = self.view.security.is_private();
                let text = format!("the handshake made keys for {}", profile.name());
                self.note("media", text);
                self.publish();
            }
            Err(failure) if media.goes_on_with_keys(failure) => {
                let text = format!("{failure}; the keys from before are used on");
                self.note("media", text);
            }
            Err(failure) => {
                let detail = failure.to_string();
                self.note("media", detail.clone());
                let failure = Failure::new(FailureKind::NotSecured {
                    detail: detail.into(),
                });
                self.hang_up();
                self.finish(Some(failure), Outcome::Failed);
            }
        }
    }

    /// A stream's actor failed: once in ten seconds it is started again, and the sound never stopped.
    pub(super) async fn on_stream_failed(&mut self, myself: &ActorRef<DialogMsg>) {
        let again = self.stream_budget.take(now());
        let Some(media) = &mut self.media else { return };
        if again {
            media.watch(myself).await;
            self.note(
                "supervision",
                "the stream's supervisor was restarted; the media went on".to_owned(),
            );
        } else {
            media.unwatch();
            self.note(
                "supervision",
                "the stream's figures are lost; the call goes on".to_owned(),
            );
        }
    }

    /// The sound machinery did not take what was agreed. It may have been too busy for a moment; a call that cannot be
    /// heard is not kept.
    fn on_media_refused(&mut self, myself: &ActorRef<DialogMsg>, detail: String) {
        self.note("media", detail.clone());
        let running = self.media.as_ref().is_some_and(MediaLeg::is_running);
        if running && self.media_tries < MEDIA_TRIES {
            self.media_tries += 1;
            myself.send_after(MEDIA_WAIT, || DialogMsg::ApplyMedia);
            return;
        }
        let failure = Failure::new(FailureKind::NoSound {
            detail: detail.into(),
        });
        self.hang_up();
        self.finish(Some(failure), Outcome::Failed);
    }

    /// Answers the call with our description: an answer to the caller's offer, or our own offer.
    pub(super) async fn answer_with_media(&mut self, myself: &ActorRef<DialogMsg>) {
        if let Err(detail) = self.bind_media() {
            self.refuse(StatusCode::SERVICE_UNAVAILABLE);
            self.note("media", detail.clone());
            let failure = Failure::new(FailureKind::NotPossible {
                detail: detail.into(),
            });
            return self.finish(Some(failure), Outcome::Failed);
        }
        // From here on the person is about to talk to this one. To find our address takes its time, in which another call
        // may be taken, or take itself.
        let before = self.view.state;
        self.enter(CallState::Answering);
        self.update_tones();
        self.find_media_address().await;
        let Some(media) = &mut self.media else { return };
        let body = match (self.announced.take(), media.take_offer()) {
            (Some(announced), _) => Ok(announced),
            (None, Some(offer)) => media.answer(&offer),
            (None, None) => Ok(media.offer()),
        };
        let Phase::Calling(call) = &mut self.phase else {
            return;
        };
        match body {
            Ok(body) => {
                let done = match self.view.details.auto_answered {
                    true => call.answer_unasked(now(), body),
                    false => call.answer(now(), body),
                };
                let taken = done.is_ok();
                self.after_verb("answer", done);
                // Until the ACK comes nobody has said that they hear us.
                if !taken && self.view.state == CallState::Answering {
                    self.enter(before);
                }
                if self.media.as_ref().is_some_and(MediaLeg::is_agreed) {
                    self.apply_media(myself).await;
                }
                self.update_tones();
            }
            Err(error) => self.refuse_offer(&error),
        }
    }
}
