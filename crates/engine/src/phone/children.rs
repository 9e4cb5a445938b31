//! What becomes of children that fail: the root's rows of the supervision table.

use std::sync::Arc;

use model::{
    AccountView, CallState, CallView, Direction, Event, NoticeLevel, TenantId, TenantView,
};
use ractor::{Actor, ActorId, ActorRef};

use super::{PhoneMsg, PhoneState, TenantChild};
use crate::devices::{DevicesActor, DevicesMsg};
use crate::shared::Ringing;
use crate::store::{StoreActor, StoreMsg};
use crate::supervise::Budget;
use crate::tenant::{AccountSpec, TenantActor, TenantArgs};
use crate::wake::now;

impl PhoneState {
    pub(super) async fn start_tenant(&mut self, myself: &ActorRef<PhoneMsg>, id: &TenantId) {
        let Some(tenant) = self.settings.tenant(id).cloned() else {
            return;
        };
        let mut accounts = Vec::new();
        for account in &tenant.accounts {
            match self.identity_of(&account.id, &account.settings, tenant.bind.as_deref()) {
                Ok(identity) => accounts.push(AccountSpec {
                    id: account.id.clone(),
                    settings: account.settings.clone(),
                    identity,
                    passwords: self.passwords_of(&account.id),
                }),
                Err(error) => {
                    self.notice(
                        NoticeLevel::Error,
                        format!(
                            "Account “{}”: {}.",
                            account.id.as_str(),
                            error.sentence().reveal()
                        ),
                    );
                }
            }
        }
        let view = TenantView {
            id: id.clone(),
            name: tenant.name.clone(),
            colour: tenant.colour,
            degraded: false,
            bind: tenant.bind.clone(),
            traffic: model::Traffic::default(),
            trusted: tenant.trusted.clone(),
        };
        let kept = self.tenants.get(id).map(|child| child.kept.clone());
        let kept = kept.unwrap_or_default();
        // What was said for this run comes before what is kept.
        let mut naming = self.shared.naming.clone();
        for (name, ips) in tenant.hosts {
            naming.hosts.entry(name).or_insert(ips);
        }
        if naming.dns_servers.is_empty() {
            naming.dns_servers = tenant.dns_servers;
        }
        let args = TenantArgs {
            shared: Arc::clone(&self.shared),
            naming,
            view,
            accounts,
            kept: kept.clone(),
        };
        let actor = match Actor::spawn_linked(None, TenantActor, args, myself.get_cell()).await {
            Ok((actor, _)) => Some(actor),
            Err(error) => {
                self.notice(
                    NoticeLevel::Error,
                    format!("Tenant {id} could not be started: {error}."),
                );
                None
            }
        };
        let child = self
            .tenants
            .entry(id.clone())
            .or_insert_with(|| TenantChild {
                actor: None,
                budget: Budget::tenant(),
                removed: false,
                kept,
            });
        child.actor = actor;
    }

    /// A child ended; `error` is why when it was not drained. The others do not notice.
    pub(super) async fn on_child_ended(
        &mut self,
        myself: &ActorRef<PhoneMsg>,
        who: ActorId,
        error: Option<String>,
    ) {
        if who == self.shared.devices.id() {
            return self
                .on_devices_failed(myself, &error.unwrap_or_default())
                .await;
        }
        if who == self.shared.store.id() {
            return self
                .on_store_failed(myself, &error.unwrap_or_default())
                .await;
        }
        let found = self
            .tenants
            .iter()
            .find(|(_, t)| t.actor.as_ref().is_some_and(|a| a.get_id() == who));
        let Some(id) = found.map(|(id, _)| id.clone()) else {
            return;
        };
        let Some(child) = self.tenants.get_mut(&id) else {
            return;
        };
        child.actor = None;
        if child.removed {
            self.tenants.remove(&id);
            // Its last calls were filed after the history was cleared.
            self.shared.store.cast(StoreMsg::ClearHistory(id.clone()));
            self.shared.hub.publish(Event::TenantRemoved { tenant: id });
            return;
        }
        let Some(error) = error.filter(|_| !self.leaving) else {
            return;
        };
        let again = child.budget.take(now());
        if !again {
            // Nobody would read from its sockets.
            child.kept.sockets = Default::default();
        }
        // A tenant that failed took its calls with it.
        let of_tenant = |call: &CallView| call.tenant == id;
        self.shared.fail_calls(of_tenant, "the tenant's own actor");
        if again {
            self.notice(
                NoticeLevel::Warning,
                format!("Tenant {id} failed inside ({error}) and was started again."),
            );
            self.start_tenant(myself, &id).await;
        } else {
            self.notice(
                NoticeLevel::Error,
                format!("Tenant {id} failed too often ({error}) and rests."),
            );
            let view = self
                .shared
                .hub
                .read(|s| s.tenants.iter().find(|t| t.id == id).cloned());
            if let Some(mut tenant) = view {
                tenant.degraded = true;
                self.shared.hub.publish(Event::Tenant { tenant });
            }
        }
    }

    /// Calls go on with a null device, and the user is told.
    pub(super) async fn on_devices_failed(&mut self, myself: &ActorRef<PhoneMsg>, error: &str) {
        if self.leaving {
            return;
        }
        if !self.devices_budget.take(now()) {
            self.devices_args.hardware = false;
            self.notice(
                NoticeLevel::Error,
                format!("Sound failed too often ({error}); calls go on without it."),
            );
        } else {
            self.notice(
                NoticeLevel::Warning,
                format!("Sound failed ({error}) and was started again."),
            );
        }
        let args = self.devices_args.clone();
        if let Ok((devices, _)) =
            Actor::spawn_linked(None, DevicesActor, args, myself.get_cell()).await
        {
            self.shared.devices.replace(devices);
            // Calls that ring or are up still need sound.
            let needs: Vec<DevicesMsg> = self.shared.hub.read(|s| {
                let need = |call| need_of(call, &s.accounts);
                s.calls.iter().filter_map(need).collect()
            });
            needs
                .into_iter()
                .for_each(|need| self.shared.devices.cast(need));
        }
    }

    /// Calls are filed and settings saved by a new one; what was in the mailbox is lost.
    pub(super) async fn on_store_failed(&mut self, myself: &ActorRef<PhoneMsg>, error: &str) {
        if self.leaving {
            return;
        }
        if !self.store_budget.take(now()) {
            return self.notice(
                NoticeLevel::Error,
                format!("History and settings failed too often ({error}); they are kept no more."),
            );
        }
        self.notice(
            NoticeLevel::Warning,
            format!("History and settings failed ({error}) and were started again."),
        );
        let args = self.store_args.clone();
        if let Ok((store, _)) = Actor::spawn_linked(None, StoreActor, args, myself.get_cell()).await
        {
            self.shared.store.replace(store);
            self.save();
        }
    }
}

/// What a call needs of the devices, from what is seen of it and of its account.
fn need_of(call: &CallView, accounts: &[AccountView]) -> Option<DevicesMsg> {
    let ringing = match (call.direction, call.state) {
        (Direction::Incoming, CallState::Ringing) => Some(Ringing::Here),
        (Direction::Outgoing, CallState::Ringing) => Some(Ringing::There),
        _ => None,
    };
    let soon = matches!(call.state, CallState::Answering | CallState::Early);
    let talking = call.state.is_up() || soon;
    let account = accounts.iter().find(|a| a.id == call.account);
    let voice = account.map(|a| a.settings.voice).unwrap_or_default();
    (ringing.is_some() || talking).then_some(DevicesMsg::Call {
        call: call.id,
        ringing,
        talking,
        voice,
    })
}
