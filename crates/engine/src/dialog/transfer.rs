//! Calls that become calls with somebody else: transfers, asked for by either side, and INVITEs that take the place of a
//! call (RFC 3515, RFC 3891, RFC 5589).
//!
//! ```text
//!   blind      user ─► Transfer ─► REFER                          the peer calls, reports, and our call ends
//!   attended   user ─► Lend (to the other call) ─► Transfer ─► REFER with Replaces
//!   asked      REFER ─► view: Wanted ─► user ─► tenant: a new call, which reports back with Reported
//!   joined     INVITE with Join     ─► a new call ─► MayReplace (the old) ─► Fits (the new) ─► JoinedBy (the old)
//!   replaced   INVITE with Replaces ─► a new call ─► MayReplace (the old) ─► Fits (the new) ─► Replaced (the old)
//! ```
//!
//! Call-ID and tags are known to whoever has seen a message of a call, and so are no permission to take its place
//! (RFC 3891 §3, §8). Our server has looked at who asks, and whoever speaks in the old call may end it anyhow: what comes
//! from there is taken at once. From elsewhere it rings, and a person decides.

use std::collections::VecDeque;
use std::time::Duration;

use model::{CallId, CallState, Direction, MediaDirection, Private, Transfer, TransferState};
use ractor::ActorRef;
use sip_core::Path;
use sip_core::call::{Fit, ReferId, ReferOutcome, ReferProgress, ReferRequest, WrongState};
use sip_core::dispatch::OwnerKey;
use sip_message::{NameAddr, Reason, Replaces, StatusCode};

use super::{DialogMsg, DialogState, Phase, party};
use crate::tenant::TenantMsg;
use crate::transport::TransportMsg;
use crate::wake::now;

/// How long a peer that transferred us has to hang up before it is put on hold.
const COURTESY: Duration = Duration::from_secs(1);

/// How long a call that is asked for its place has to say something: it may end while it is asked, or be busy with
/// opening a sound device.
const PLACE_WAIT: Duration = Duration::from_secs(10);

/// Dialogs of transfers from outside that are known at a time.
const OUTSIDE: usize = 8;

/// A call that is made because a peer asked for it.
pub(crate) struct Referral {
    /// The call that it was asked in, and the name of the asking there.
    pub(crate) asked_in: ActorRef<DialogMsg>,
    pub(crate) refer: ReferId,
    /// The call at the far end to take the place of.
    pub(crate) replaces: Option<Replaces>,
    /// Who asked, to be sent on.
    pub(crate) referred_by: Option<NameAddr>,
}

/// Another call that a call is about.
#[derive(Clone)]
pub(crate) struct Placement {
    /// Which.
    pub(crate) dialog: Replaces,
    /// Whether it is to be joined (RFC 3911), or its place to be taken (RFC 3891).
    pub(crate) joins: bool,
}

/// Another call that an INVITE is about.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) place: Placement,
    /// Where it came from.
    pub(crate) from: Path,
}

/// A call that may be the one that is meant.
pub(crate) struct Candidate {
    pub(crate) dialog: ActorRef<DialogMsg>,
    /// Whether its account lets who asks without that a person says so, wherever the call is spoken from.
    pub(crate) trusts: bool,
}

/// A call that has come by itself to take the place of another one, or to join it.
pub(crate) struct Heir {
    pub(crate) call: CallId,
    pub(crate) dialog: ActorRef<DialogMsg>,
}

/// What the peer of a call does not get of the person here. Whoever comes for that call gets no more.
#[derive(Clone, Copy)]
pub(crate) struct Withheld {
    /// The person speaks with somebody else.
    hold: bool,
    muted: bool,
    /// Which way media may flow.
    direction: MediaDirection,
}

/// What a dialog knows of its transfers.
#[derive(Default)]
pub(super) struct Transfers {
    /// The one that we asked for last.
    ours: Option<ReferId>,
    /// The one that the peer asked for and the user has not decided.
    wanted: Option<Box<ReferRequest>>,
    /// Who wants to know how this call goes.
    reports_to: Option<(ActorRef<DialogMsg>, ReferId)>,
    /// The call that this one takes the place of.
    place: Place,
    /// The dialogs of transfers that were asked for from outside, the oldest first.
    outside: VecDeque<OwnerKey>,
}

impl Transfers {
    /// Whether another call is still there whose place this one takes, or that it joins, without a person's word.
    pub(super) fn has_no_place_yet(&self) -> bool {
        matches!(self.place, Place::Granted { .. } | Place::Taking)
    }
}

#[derive(Default)]
enum Place {
    /// A call like any other.
    #[default]
    Own,
    /// Those that have its Call-ID are asked whether they are meant and may be replaced.
    Asked {
        candidates: Vec<ActorRef<DialogMsg>>,
        joins: bool,
        /// Whether there was something to ring for meanwhile.
        rings: bool,
    },
    /// A person has to say whether it may: it rings.
    Offered {
        old: ActorRef<DialogMsg>,
        /// With whom that is.
        with: Private,
    },
    /// It may; the old call ends when this one is up, or hears it from then on.
    Granted {
        old: ActorRef<DialogMsg>,
        joins: bool,
    },
    /// It has been told that this one is up, and is about to say what of the person this one does not get.
    Taking,
}

impl DialogState {
    /// Remembers whom to tell how this call goes.
    pub(super) fn report_to(&mut self, asked_in: ActorRef<DialogMsg>, refer: ReferId) {
        self.transfers.reports_to = Some((asked_in, refer));
    }

    /// This call wants the place of one of `candidates`, which are asked. Two have one Call-ID where we are both
    /// ends of a call.
    pub(super) fn ask_for_place(
        &mut self,
        myself: &ActorRef<DialogMsg>,
        candidates: Vec<Candidate>,
        claim: &Claim,
    ) {
        for candidate in &candidates {
            // One that has just ended says nothing.
            let _ = candidate.dialog.cast(DialogMsg::MayReplace {
                claim: claim.clone(),
                trusts: candidate.trusts,
                asker: myself.clone(),
            });
        }
        myself.send_after(PLACE_WAIT, || DialogMsg::PlaceUnanswered);
        let dialogs = candidates.into_iter().map(|candidate| candidate.dialog);
        self.transfers.place = Place::Asked {
            candidates: dialogs.collect(),
            joins: claim.place.joins,
            rings: false,
        };
    }

    /// Whether this call is to take the place of another one, so that nothing rings for it.
    pub(super) fn takes_a_place(&self) -> bool {
        matches!(
            self.transfers.place,
            Place::Asked { .. } | Place::Granted { .. }
        )
    }

    /// Whether a person has to say that this call may take the place of another one.
    pub(super) fn needs_a_word(&self) -> bool {
        matches!(self.transfers.place, Place::Offered { .. })
    }

    /// Whether it does not ring because it is to take a place; it may have to later.
    pub(super) fn rings_later(&mut self) -> bool {
        if let Place::Asked { rings, .. } = &mut self.transfers.place {
            *rings = true;
        }
        self.takes_a_place()
    }

    /// The user asks the peer to call somebody else, or to speak with the peer of another call of ours.
    pub(super) fn on_transfer(&mut self, target: NameAddr, replaces: Option<Replaces>) {
        let party = party(&target);
        let Phase::Calling(call) = &mut self.phase else {
            return;
        };
        let asked = call.refer(now(), &target, replaces.as_ref());
        let state = match asked {
            Ok(id) => {
                self.transfers.ours = Some(id);
                TransferState::Asked
            }
            Err(_) => TransferState::Failed,
        };
        self.after_verb("transfer", asked.map(drop));
        self.show(Transfer::Ours {
            target: party,
            state,
            status: None,
        });
    }

    /// This call is the one that the peer of `to` is connected with.
    pub(super) fn on_lend(&mut self, to: &ActorRef<DialogMsg>) {
        let Phase::Calling(call) = &self.phase else {
            return;
        };
        let (Some(replaces), Some(dialog)) = (call.as_replaces(), call.dialog()) else {
            return self.note("call", "there is nobody here to connect with".to_owned());
        };
        // RFC 5589 §7.3: the contact where it can be reached from anywhere, else the address.
        let mut target = dialog.remote().clone();
        if dialog.target().params.has("gr") {
            target.uri = dialog.target().clone();
        }
        target.params.remove("tag");
        let _ = to.cast(DialogMsg::Transfer {
            target: Box::new(target),
            replaces: Some(Box::new(replaces)),
        });
    }

    /// How a transfer of ours goes.
    pub(super) fn on_refer_progress(&mut self, id: ReferId, progress: ReferProgress) {
        let Some(Transfer::Ours { target, status, .. }) = &self.view.transfer else {
            return;
        };
        if self.transfers.ours != Some(id) {
            return;
        }
        let (target, before) = (target.clone(), status.clone());
        let (state, status) = match progress {
            ReferProgress::Accepted => (TransferState::Trying, before),
            ReferProgress::Progress { status, reason } => {
                (TransferState::Trying, Some((status.code(), reason)))
            }
            ReferProgress::Done(outcome) => {
                let done = matches!(
                    &outcome,
                    ReferOutcome::Answered { status, .. } if status.is_success()
                ) || outcome == ReferOutcome::Untold;
                let state = match done {
                    true => TransferState::Done,
                    false => TransferState::Failed,
                };
                let status = match outcome {
                    ReferOutcome::Answered { status, reason } => Some((status.code(), reason)),
                    ReferOutcome::Refused { status } => {
                        Some((status.code(), status.phrase().into()))
                    }
                    ReferOutcome::Untold | ReferOutcome::Lost { .. } | ReferOutcome::Unsent => {
                        before
                    }
                };
                (state, status)
            }
        };
        let done = state == TransferState::Done;
        self.note(
            "call",
            format!("transfer: {}", said(state, status.as_ref())),
        );
        self.show(Transfer::Ours {
            target,
            state,
            status,
        });
        // RFC 5589 §6.1: who transfers leaves when the others talk.
        if done && self.view.state.is_live() {
            self.on_end();
        }
    }

    /// The peer asks us to call somebody: the user decides.
    pub(super) fn on_refer_requested(&mut self, request: Box<ReferRequest>) {
        let scheme = request.target.uri.scheme.as_str().to_ascii_lowercase();
        let refusal = if !matches!(scheme.as_str(), "sip" | "sips" | "tel") {
            Some(StatusCode::UNSUPPORTED_URI_SCHEME)
        } else if self.transfers.wanted.is_some() || !self.view.state.is_up() {
            Some(StatusCode::DECLINE)
        } else {
            None
        };
        if let Some(status) = refusal {
            return self.refuse_refer(request.id, status);
        }
        if let Some(key) = request.dialog.clone() {
            self.claim_outside(key);
        }
        self.show(Transfer::Wanted {
            target: party(&request.target),
            by: request.referred_by.as_ref().map(party),
        });
        self.transfers.wanted = Some(request);
    }

    /// What answers our reports of a transfer that was asked for outside of the call comes to this call, too.
    fn claim_outside(&mut self, key: OwnerKey) {
        if self.transfers.outside.len() >= OUTSIDE
            && let Some(oldest) = self.transfers.outside.pop_front()
        {
            let _ = self.transport.cast(TransportMsg::Disclaim(oldest));
        }
        self.transfers.outside.push_back(key.clone());
        self.claim_key(key, None);
    }

    /// On another transport, all of them once more.
    pub(super) fn claim_all_outside(&self) {
        let keys = self.transfers.outside.iter();
        keys.for_each(|key| self.claim_key(key.clone(), None));
    }

    /// The user decided about it.
    pub(super) fn on_answer_transfer(&mut self, myself: &ActorRef<DialogMsg>, accept: bool) {
        let Some(request) = self.transfers.wanted.take() else {
            return;
        };
        if !accept {
            self.refuse_refer(request.id, StatusCode::DECLINE);
            self.view.transfer = None;
            return self.publish();
        }
        if let Phase::Calling(call) = &mut self.phase {
            let done = call.accept_refer(now(), request.id);
            self.after_verb("follow a transfer", done);
        }
        let ReferRequest {
            id,
            target,
            replaces,
            referred_by,
            ..
        } = *request;
        let _ = self.tenant.cast(TenantMsg::FollowTransfer {
            account: self.view.account.clone(),
            target: target.uri,
            referral: Box::new(Referral {
                asked_in: myself.clone(),
                refer: id,
                replaces,
                referred_by,
            }),
        });
    }

    fn refuse_refer(&mut self, id: ReferId, status: StatusCode) {
        if let Phase::Calling(call) = &mut self.phase {
            let done = call.reject_refer(now(), id, status);
            self.after_verb("refuse a transfer", done);
        }
    }

    /// The new call that the peer asked for exists.
    pub(super) fn on_following(&mut self, call: model::CallId) {
        if let Some(transfer) = &self.view.transfer {
            let target = transfer.target().clone();
            self.show(Transfer::Following { target, call });
        }
    }

    /// How the call goes that the peer asked for.
    pub(super) fn on_reported(
        &mut self,
        myself: &ActorRef<DialogMsg>,
        id: ReferId,
        status: StatusCode,
    ) {
        if let Phase::Calling(call) = &mut self.phase {
            match call.report_refer(now(), id, status) {
                // The peer may have stopped to listen.
                Ok(()) | Err(WrongState::NothingDue) => self.after_verb("report", Ok(())),
                Err(error) => self.after_verb("report", Err(error)),
            }
        }
        if status.is_success() && self.view.state.is_up() {
            // One pair of ears. The peer that sent us on hangs up when it hears of this, and waits on hold if not.
            myself.send_after(COURTESY, || DialogMsg::Hold(true));
        }
    }

    /// Tells whoever asked for this call how it goes.
    pub(super) fn report(&mut self, status: StatusCode) {
        let Some((asked_in, refer)) = &self.transfers.reports_to else {
            return;
        };
        let _ = asked_in.cast(DialogMsg::Reported {
            refer: *refer,
            status,
        });
        if status.is_final() {
            self.transfers.reports_to = None;
        }
    }

    /// A new call wants this one's place.
    pub(super) fn on_may_replace(
        &self,
        myself: &ActorRef<DialogMsg>,
        claim: &Claim,
        trusts: bool,
        asker: &ActorRef<DialogMsg>,
    ) {
        let place = &claim.place;
        let fit = match &self.phase {
            Phase::Calling(call) if place.joins => call.joined_by(&place.dialog),
            Phase::Calling(call) => call.replaced_by(&place.dialog),
            Phase::Finding(_) | Phase::Over => Fit::Other,
        };
        let speaks = match &self.phase {
            Phase::Calling(call) => call.is_spoken_from(&claim.from),
            Phase::Finding(_) | Phase::Over => false,
        };
        let _ = asker.cast(DialogMsg::Fits {
            old: myself.clone(),
            call: self.view.id,
            with: self.view.remote.title().to_owned().into(),
            fit,
            trusted: trusts || speaks,
            withheld: self.withheld(),
        });
    }

    fn withheld(&self) -> Withheld {
        Withheld {
            hold: self.hold_wanted,
            muted: self.view.muted,
            direction: self.direction_wanted,
        }
    }

    /// Nobody has said that the peer of this call may have more of the person than that of the other one has.
    pub(super) fn withhold(&mut self, withheld: Withheld) {
        if withheld.muted {
            self.on_mute(true);
        }
        if !withheld.direction.is_both() {
            self.on_direction(withheld.direction);
        }
        if withheld.hold {
            if let Some(media) = &mut self.media {
                media.ask_first_for(true, self.direction_wanted);
            }
            self.on_hold(true);
        }
        self.have_place();
    }

    /// Whether this call may have the place it wants.
    pub(super) async fn on_fits(
        &mut self,
        myself: &ActorRef<DialogMsg>,
        (old, call): (ActorRef<DialogMsg>, CallId),
        with: Private,
        fit: Fit,
        trusted: bool,
        withheld: Withheld,
    ) {
        let Place::Asked {
            candidates,
            joins,
            rings,
        } = &mut self.transfers.place
        else {
            return;
        };
        let (joins, rings) = (*joins, *rings);
        candidates.retain(|candidate| candidate.get_id() != old.get_id());
        let refusal = match fit {
            Fit::Yes { .. } if !trusted => {
                self.transfers.place = Place::Offered { old, with };
                self.view.details.replaces = Some(call);
                let text =
                    "it wants the place of another call, and nobody here knows who asks: it rings";
                self.note("call", text.to_owned());
                let waits = rings && self.view.state == CallState::Trying;
                if waits && !self.is_turned_away() {
                    self.ring(myself);
                }
                return;
            }
            Fit::Yes { .. } => {
                self.transfers.place = Place::Granted { old, joins };
                self.withhold(withheld);
                // Nobody is asked: the user talks in the old call, or has tried to.
                return self.on_answer(myself).await;
            }
            Fit::Other if !candidates.is_empty() => return,
            Fit::Other => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            Fit::No(status) => status,
        };
        self.on_reject(Some(refusal.code()));
    }

    /// Nobody has said anything about the place that this call wants: whoever had it is no more (RFC 3891 §3).
    pub(super) fn on_place_unanswered(&mut self) {
        if matches!(self.transfers.place, Place::Asked { .. }) {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            self.on_reject(Some(status.code()));
        }
        self.have_place();
    }

    /// Whoever had the place of this call has said what there was to say, or never will.
    fn have_place(&mut self) {
        if matches!(self.transfers.place, Place::Taking) {
            self.transfers.place = Place::Own;
            self.settle_mute();
        }
    }

    /// It rings, and a person has to know what an answer does.
    pub(super) fn warn_of_place(&self) {
        if let Place::Offered { with, .. } = &self.transfers.place {
            let text = format!(
                "{} wants to take the place of {} in your call. If you answer, that call ends.",
                self.view.remote.title(),
                with.reveal()
            );
            let tenant = Some(&self.view.tenant);
            self.shared
                .notice(model::NoticeLevel::Warning, tenant, text);
        }
    }

    /// This call is up: the one whose place it takes ends, the one that it joins hears it.
    pub(super) fn take_place(&mut self, myself: &ActorRef<DialogMsg>) {
        let heir = || Heir {
            call: self.view.id,
            dialog: myself.clone(),
        };
        match std::mem::take(&mut self.transfers.place) {
            Place::Granted { old, joins } => {
                let taken = match joins {
                    true => DialogMsg::JoinedBy(heir()),
                    false => DialogMsg::Replaced(Some(heir())),
                };
                if old.cast(taken).is_ok() {
                    self.transfers.place = Place::Taking;
                    myself.send_after(COURTESY, || DialogMsg::PlaceUnanswered);
                }
            }
            // A person took it, and so has turned to it.
            Place::Offered { old, .. } => drop(old.cast(DialogMsg::Replaced(None))),
            Place::Own | Place::Asked { .. } | Place::Taking => {}
        }
        self.settle_mute();
    }

    /// Somebody has joined this call: all hear each other, and the person is told that they do.
    pub(super) fn on_joined_by(&mut self, heir: &Heir) {
        if self.refuses_heirs() {
            let _ = heir.dialog.cast(DialogMsg::End);
            return;
        }
        let call = heir.call;
        self.note("call", format!("call {call} has joined this one"));
        let text = format!(
            "Somebody has joined the call with {}.",
            self.view.remote.title()
        );
        self.shared
            .notice(model::NoticeLevel::Info, Some(&self.view.tenant), text);
        // The person may have turned to somebody else since it was let in.
        let _ = heir.dialog.cast(DialogMsg::Withhold(self.withheld()));
        self.admit(call);
    }

    pub(super) fn on_replaced(&mut self, heir: Option<&Heir>) {
        if let Some(heir) = heir.filter(|_| self.refuses_heirs()) {
            let _ = heir.dialog.cast(DialogMsg::End);
            return;
        }
        self.note("call", "another call took the place of this one".to_owned());
        if let Some(heir) = heir {
            let _ = heir.dialog.cast(DialogMsg::Withhold(self.withheld()));
            if self.view.conference.is_some() {
                self.admit(heir.call);
            }
        }
        // Where it still rings, somebody else has picked it up (RFC 3326 §2), and nobody has missed anything there.
        let picked_up = !self.view.state.is_up() && self.view.direction == Direction::Outgoing;
        let reason = picked_up.then(|| Reason::new("SIP", 200, "Call completed elsewhere"));
        self.end_because(reason);
    }

    /// Whether the person has hung this call up: who comes for it comes too late, though nobody has told them before.
    fn refuses_heirs(&self) -> bool {
        self.hung_up
    }

    /// That call is heard together with this one.
    fn admit(&self, call: CallId) {
        let beside = self.view.id;
        let _ = self.tenant.cast(TenantMsg::Admit { call, beside });
    }

    fn show(&mut self, transfer: Transfer) {
        self.view.transfer = Some(transfer);
        self.publish();
    }
}

/// How a call ended for whoever asked for it, where no peer said a status.
pub(super) fn status_of_end(state: CallState, last: Option<&(u16, model::Private)>) -> StatusCode {
    let said = last.and_then(|(code, _)| StatusCode::new(*code));
    match said.filter(|status| status.code() >= 300) {
        Some(status) => status,
        None if state == CallState::Ringing => StatusCode::TEMPORARILY_UNAVAILABLE,
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn said(state: TransferState, status: Option<&(u16, model::Private)>) -> String {
    let what = match state {
        TransferState::Asked => "the peer is asked",
        TransferState::Trying => "the peer tries",
        TransferState::Done => "done",
        TransferState::Failed => "it did not work",
    };
    match status {
        Some((code, phrase)) => format!("{what} ({code} {})", phrase.reveal()),
        None => what.to_owned(),
    }
}
