//! What the transport brings goes into the call; what the call says of it comes out, and has its effects here.

use std::time::Instant;

use model::CallState;
use ractor::ActorRef;
use sip_core::call::CallEvent;
use sip_message::{Message, Method, StatusCode};

use super::moved::MOVED_LOOK_UP;
use super::{DialogMsg, DialogState, FIRST_LOOK_UP, Phase};
use crate::drive::{self, Outlet};
use crate::transport::{Delivery, TransportMsg};
use crate::wake::now;
use crate::wall;

impl DialogState {
    /// The dialog stays; what it said and asked on the old transport finds its way on the new one.
    pub(super) fn on_transport_replaced(&mut self) {
        self.claim(None);
        self.claim_focus();
        self.claim_all_outside();
        let outlet = Outlet::of(&self.owner, &self.transport, &self.identity);
        self.questions.ask_again(&outlet);
    }

    /// What the transport brought; what it says beside its purpose is shown.
    pub(super) async fn on_delivery(&mut self, myself: &ActorRef<DialogMsg>, delivery: Delivery) {
        if let Delivery::Resolved { id, .. } = &delivery {
            self.questions.on_answer(*id);
        }
        let Some(delivery) = self.focus.take(delivery) else {
            return;
        };
        if let Delivery::Resolved {
            id: FIRST_LOOK_UP,
            result,
        } = delivery
        {
            return self.on_path_found(result).await;
        }
        if let Delivery::Resolved {
            id: MOVED_LOOK_UP,
            result,
        } = delivery
        {
            return self.on_way_after_move(myself, result).await;
        }
        if let (Delivery::Message { inbound, .. }, Some(media)) = (&delivery, &mut self.media) {
            media.travels_over(&inbound.path);
        }
        let Phase::Calling(call) = &mut self.phase else {
            return;
        };
        match delivery {
            Delivery::Message {
                message,
                inbound,
                at,
            } => {
                self.focus.look_at(&message);
                let from = inbound.path.remote;
                let peer = &mut self.view.details.peer;
                peer.get_or_insert_with(|| from.to_string());
                match *message {
                    Message::Request(request) => call.handle_request(at, request, inbound),
                    Message::Response(response) => {
                        self.heard = true;
                        self.unreadable = None;
                        let of_call = response
                            .headers
                            .cseq()
                            .is_ok_and(|cseq| cseq.method == Method::Invite);
                        let status = response.status;
                        if of_call && status.code() > 100 {
                            self.view.last_status =
                                Some((status.code(), response.reason.as_str().into()));
                        }
                        call.handle_response(at, response, inbound);
                    }
                }
            }
            Delivery::Resolved { id, result } => call.handle_resolved(now(), id, result),
            Delivery::Unreadable(unreadable) => {
                // Where it rings, only what would have ended that is missed.
                let rings = matches!(self.view.last_status, Some((101..200, _)));
                let ends = unreadable.status.is_some_and(StatusCode::is_final);
                if call.awaits_answer_to(&unreadable.branch) && (ends || !rings) {
                    self.unreadable = Some(unreadable);
                }
            }
            Delivery::Unsent { branch, error } => {
                call.handle_transport_error(now(), &branch, error);
            }
            // Requests find another connection by themselves.
            Delivery::FlowLost(_) | Delivery::Targets { .. } | Delivery::BetterServer => {}
            Delivery::Untrusted(certificate) => self.untrusted = Some(certificate),
            Delivery::OnTheWay { to, step } => self.on_the_way = Some((to, step)),
        }
        if self.learn() {
            self.publish();
        }
    }

    /// Drains the call, handling its events one by one, and re-arms the wake-up.
    pub(super) async fn drive(&mut self, myself: &ActorRef<DialogMsg>) {
        loop {
            let of_call = self.drain();
            let of_focus = self.drive_focus();
            let deadline = of_call.into_iter().chain(of_focus).min();
            match self.events.pop_front() {
                Some(event) => self.on_event(myself, event).await,
                None => {
                    self.wake.arm(deadline, myself, DialogMsg::Wake);
                    break;
                }
            }
        }
        self.draw_card();
    }

    /// Polls the call dry. Every verb is followed by this before the next one.
    pub(super) fn drain(&mut self) -> Option<Instant> {
        let Phase::Calling(call) = &mut self.phase else {
            return None;
        };
        let outlet = Outlet::of(&self.owner, &self.transport, &self.identity);
        drive::drain(
            || call.poll_output(),
            &outlet,
            &mut self.questions,
            &mut self.events,
        )
    }

    pub(super) async fn on_event(&mut self, myself: &ActorRef<DialogMsg>, event: CallEvent) {
        // What was queued before we ended it ourselves brings nothing back.
        let over = self.view.state == CallState::Ended;
        match event {
            CallEvent::Notice(text) => self.note("call", text),
            CallEvent::Tried(tried) => {
                let _ = self.transport.cast(TransportMsg::Tried(tried));
            }
            // A transfer is told to its end, also when the call is over.
            CallEvent::Refer { id, progress } => self.on_refer_progress(id, progress),
            CallEvent::LoginSettled { .. } => self.login.settle(),
            _ if over => {}
            CallEvent::LoginWanted(wanted) => self.on_login_wanted(&wanted),
            CallEvent::Trying => {}
            CallEvent::Progress { status, reason, .. } => {
                self.view.last_status = Some((status.code(), reason));
                self.report(status);
                if status == StatusCode::RINGING {
                    self.ringback.ring(now());
                }
                if self.view.state == CallState::Trying && status == StatusCode::RINGING {
                    self.enter(CallState::Ringing);
                } else {
                    self.publish();
                }
                self.update_tones();
                self.listen_for_media(myself);
            }
            CallEvent::Offer { body } => self.on_offer(myself, body).await,
            CallEvent::OfferWanted => self.on_offer_wanted(myself).await,
            CallEvent::Answer { body, early } => self.on_answered(myself, &body, early).await,
            CallEvent::OfferedAgain { status } => {
                if let Some(media) = &mut self.media {
                    media.offered_plainly();
                }
                self.note(
                    "media",
                    format!(
                        "the offer with encryption was refused ({}); the call is offered without, as the account allows",
                        status.code()
                    ),
                );
            }
            CallEvent::Established => self.on_established(myself).await,
            CallEvent::ReofferFailed { status } => self.on_reoffer_failed(myself, status).await,
            CallEvent::OfferUnanswered => self.on_offer_unanswered(),
            CallEvent::Info {
                content_type, body, ..
            } => self.on_info(&content_type, &body),
            CallEvent::ReferRequested(request) => self.on_refer_requested(request),
            CallEvent::Redirected { contacts } => self.on_redirected(&contacts),
            CallEvent::Ended(reason) => self.on_ended(&reason.kind),
        }
    }

    /// The peer has taken the call, or we have and it knows; where the keys are not agreed on yet, once they are.
    pub(super) async fn on_established(&mut self, myself: &ActorRef<DialogMsg>) {
        if self.offer_unmistakably() {
            return;
        }
        if let Some(media) = &mut self.media {
            media.forks_are_over();
            if media.is_agreed() && !media.is_running() {
                self.apply_media(myself).await;
            }
        }
        if self.view.connected_at.is_none() {
            self.view.connected_at = Some(wall());
        }
        if let Phase::Calling(call) = &self.phase
            && let Some(dialog) = call.dialog()
        {
            let id = dialog.id();
            self.tags = Some([id.local_tag.clone(), id.remote_tag.clone()]);
        }
        self.enter(self.talking_state());
        self.update_tones();
        self.move_on_when_taken();
        self.settle_hold();
        self.report(StatusCode::OK);
        self.take_place(myself);
        self.replace_relay().await;
    }

    pub(super) fn talking_state(&self) -> CallState {
        if self.view.held_by_us || self.view.held_by_peer {
            CallState::Held
        } else {
            CallState::Connected
        }
    }
}
