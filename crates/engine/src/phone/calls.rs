//! Calls: whose they are, and which of them a person is talking to.

use model::{AccountId, CallId, CallView, Command, Event, Failure, FailureKind, TenantId};

use super::PhoneState;
use crate::shared::CallMedia;
use crate::tenant::TenantMsg;

impl PhoneState {
    pub(super) fn place_call(
        &mut self,
        account: AccountId,
        target: model::Identity,
        headers: Vec<model::Private>,
    ) {
        let call = self.shared.next_call();
        let Some(tenant) = self
            .settings
            .account(&account)
            .map(|(tenant, _)| tenant.id.clone())
        else {
            let failure = Failure::new(FailureKind::BadTarget {
                detail: "There is no such account.".to_owned(),
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
                detail: "the tenant rests after repeated failures".to_owned(),
            });
            return self
                .shared
                .publish_still_call(&tenant, &account, call, &target, failure);
        }
        self.take_up(call, tenant.clone());
        self.to_tenant(
            &tenant,
            TenantMsg::PlaceCall {
                call,
                account,
                target,
                headers,
            },
        );
    }

    /// One microphone and one pair of ears: talking to one means holding the others, those included
    /// that were taken up a moment ago and are not up yet. Scripts bring sound for each call and
    /// hold nothing.
    pub(super) fn take_up(&mut self, call: CallId, tenant: TenantId) {
        if !matches!(self.shared.call_media, CallMedia::Devices) {
            return;
        }
        // A call that no event has shown yet is younger than the newest that one has.
        let (live, newest) = self.shared.hub.read(|s| {
            let live: Vec<CallId> = s
                .calls
                .iter()
                .filter(|c| c.state.is_live())
                .map(|c| c.id)
                .collect();
            (live, s.calls.iter().map(|c| c.id).max())
        });
        self.taken_up
            .retain(|id, _| live.contains(id) || Some(*id) > newest);
        self.taken_up.insert(call, tenant);
        let others: Vec<CallId> = self.taken_up.keys().copied().collect();
        // Both ends of one call may be ours: they are the same conversation.
        let ends = self.ends_of(call);
        let others = others.into_iter().filter(|other| !ends.contains(other));
        others.for_each(|call| self.to_call(call, Command::HoldCall { call }));
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
