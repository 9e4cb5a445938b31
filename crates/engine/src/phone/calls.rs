//! Calls: whose they are, and which of them a person is talking to.

use std::collections::BTreeSet;

use model::{
    AccountId, CallId, CallState, CallView, Command, DialogName, Direction, Event, Failure,
    FailureKind, NoticeLevel, TenantId, Transfer,
};
use sip_message::Replaces;

use super::PhoneState;
use crate::dialog::Placement;
use crate::shared::CallMedia;
use crate::tenant::{Dialled, TenantMsg};

impl PhoneState {
    pub(super) fn place_call(&mut self, account: AccountId, dialled: Dialled) {
        let target = dialled.target.clone();
        let call = self.shared.next_call();
        let Some(tenant) = self
            .settings
            .account(&account)
            .map(|(tenant, _)| tenant.id.clone())
        else {
            let failure = Failure::new(FailureKind::BadTarget {
                detail: "There is no such account.".into(),
            });
            return self.shared.publish_still_call(
                &TenantId::new(""),
                &account,
                call,
                &target,
                failure,
            );
        };
        if !self.is_running(&tenant) {
            let failure = Failure::new(FailureKind::Internal {
                detail: "the tenant rests after repeated failures".into(),
            });
            return self
                .shared
                .publish_still_call(&tenant, &account, call, &target, failure);
        }
        self.take_up(&[call], &tenant);
        self.to_tenant(
            &tenant,
            TenantMsg::PlaceCall {
                call,
                account,
                dialled: Box::new(dialled),
            },
        );
    }

    /// Calls whom the account called last: in this run, else as the history says.
    pub(super) fn redial(&mut self, account: AccountId) {
        let last = self.shared.hub.read(|state| {
            let ours =
                |call: &&CallView| call.account == account && call.direction == Direction::Outgoing;
            let call = state.calls.iter().filter(ours).max_by_key(|call| call.id);
            let of_calls = call.map(|call| (call.created_at, call.remote.uri.clone()));
            let mut lines = state.history.iter();
            let line =
                lines.find(|line| line.account == account && line.direction == Direction::Outgoing);
            let of_history = line.map(|line| (line.started_at, line.remote.uri.clone()));
            of_calls
                .into_iter()
                .chain(of_history)
                .max_by_key(|(at, _)| *at)
        });
        match last {
            Some((_, target)) => self.place_call(account, Dialled::to(target)),
            None => {
                let text = "There is nobody to call again: this account has called nobody yet.";
                self.notice(NoticeLevel::Info, text.to_owned());
            }
        }
    }

    /// Calls the one who calls another phone, in place of that call while nobody has taken it (RFC 5359 §2.16).
    pub(super) fn pick_up(
        &mut self,
        account: AccountId,
        target: model::Identity,
        dialog: DialogName,
    ) {
        let replaces = Replaces {
            call_id: dialog.call_id,
            // RFC 3891 §3: tags as the one who is called sees them. It is the other end of the watched phone.
            to_tag: dialog.remote_tag,
            from_tag: dialog.local_tag,
            early_only: true,
        };
        let place = Placement {
            dialog: replaces,
            joins: false,
        };
        let dialled = Dialled {
            place: Some(place),
            ..Dialled::to(target)
        };
        self.place_call(account, dialled);
    }

    /// Calls a phone that has a call, to join that (RFC 3911 §3). Tags are as the one who is called sees them.
    pub(super) fn join_in(
        &mut self,
        account: AccountId,
        target: model::Identity,
        dialog: DialogName,
    ) {
        let place = Placement {
            dialog: Replaces {
                call_id: dialog.call_id,
                to_tag: dialog.local_tag,
                from_tag: dialog.remote_tag,
                early_only: false,
            },
            joins: true,
        };
        let dialled = Dialled {
            place: Some(place),
            ..Dialled::to(target)
        };
        self.place_call(account, dialled);
    }

    /// A person turns to these calls, which are talked to together with those of their conferences: all others are held.
    pub(super) fn take_up(&mut self, calls: &[CallId], tenant: &TenantId) {
        // Both ends of one call may be ours: they are the same conversation.
        let together = calls.iter().flat_map(|call| self.conference_of(*call));
        let ends: Vec<CallId> = together.flat_map(|call| self.ends_of(call)).collect();
        self.hold_all_but(&ends, calls.iter().map(|call| (*call, tenant.clone())));
    }

    /// A person follows a transfer, which is a call of theirs like one that they place. Who asked for it goes on hearing
    /// until that call is up, and is held by their own call then if they do not leave.
    pub(super) fn follow_transfer(&mut self, call: CallId) {
        let wanted = self.shared.hub.read(|s| {
            let view = s.calls.iter().find(|c| c.id == call);
            view.is_some_and(|c| matches!(c.transfer, Some(Transfer::Wanted { .. })))
        });
        if wanted {
            self.hold_all_but(&self.ends_of(call), None);
        }
    }

    /// One microphone and one pair of ears: talking to one means holding the others, however they came about. A call
    /// may have taken itself, or the place of another one, and a peer may have asked for it. `taken` are those that
    /// are taken up by this. Scripts bring sound for each call and hold nothing.
    fn hold_all_but(
        &mut self,
        spared: &[CallId],
        taken: impl IntoIterator<Item = (CallId, TenantId)>,
    ) {
        if !matches!(self.shared.call_media, CallMedia::Devices) {
            return;
        }
        // What rings here is talked to by nobody yet. A call of ours is from its beginning.
        let talked_to = |c: &&CallView| {
            c.state.is_up()
                || c.state == CallState::Answering
                || (c.state.is_live() && c.direction == Direction::Outgoing)
        };
        let (live, newest, shown) = self.shared.hub.read(|s| {
            let live = s.calls.iter().filter(|c| c.state.is_live());
            let live: Vec<CallId> = live.map(|c| c.id).collect();
            let shown = s.calls.iter().filter(talked_to).map(|c| c.id);
            let newest = s.calls.iter().map(|c| c.id).max();
            (live, newest, shown.collect::<BTreeSet<CallId>>())
        });
        // A call that no event has shown yet is younger than the newest that one has.
        self.taken_up
            .retain(|id, _| live.contains(id) || Some(*id) > newest);
        self.taken_up.extend(taken);
        let mut others = shown;
        others.extend(self.taken_up.keys());
        others.retain(|other| !spared.contains(other));
        others
            .into_iter()
            .for_each(|call| self.to_call(call, Command::HoldCall { call }));
    }

    /// This call, and those that hear it.
    fn conference_of(&self, call: CallId) -> Vec<CallId> {
        let calls = self.shared.hub.read(|s| {
            let room = s.calls.iter().find(|c| c.id == call)?.conference?;
            let same = s.calls.iter().filter(|c| c.conference == Some(room));
            Some(same.map(|c| c.id).collect::<Vec<_>>())
        });
        let mut calls = calls.unwrap_or_default();
        calls.push(call);
        calls
    }

    /// This call, and its other end if that is ours too.
    pub(super) fn ends_of(&self, call: CallId) -> Vec<CallId> {
        let mut ends = self.shared.hub.read(|s| {
            let call_id = s
                .calls
                .iter()
                .find(|c| c.id == call)
                .map(|c| c.sip_call_id.as_str())
                .unwrap_or_default();
            let same = |c: &&CallView| !call_id.is_empty() && c.sip_call_id == call_id;
            s.calls
                .iter()
                .filter(same)
                .map(|c| c.id)
                .collect::<Vec<_>>()
        });
        ends.push(call);
        ends
    }

    /// Whose call it is.
    pub(super) fn tenant_of(&self, call: CallId) -> Option<TenantId> {
        let shown = self.shared.hub.read(|s| {
            s.calls
                .iter()
                .find(|c| c.id == call)
                .map(|c| c.tenant.clone())
        });
        shown.or_else(|| self.taken_up.get(&call).cloned())
    }

    pub(super) fn to_call(&self, call: CallId, command: Command) {
        match self.tenant_of(call) {
            Some(tenant) if self.is_running(&tenant) => {
                self.to_tenant(&tenant, TenantMsg::Command(command));
            }
            // Its tenant is gone; what is left is the view.
            Some(_) if matches!(command, Command::DismissCall { .. }) => {
                self.shared.hub.publish(Event::CallRemoved { call });
            }
            _ => {}
        }
    }
}
