//! What becomes of children that fail: the tenant's rows of the supervision table.

use std::sync::Arc;

use model::Event;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use sip_core::locate::RestTimes;
use wire::Remembered;

use super::{TenantMsg, TenantState};
use crate::Failover;
use crate::account::AccountMsg;
use crate::dialog::DialogMsg;
use crate::oneshot::OneShotMsg;
use crate::recorder::{RecorderActor, RecorderArgs, RecorderMsg};
use crate::shared::{Service, Shared};
use crate::transport::{KeptSockets, Naming, TransportActor, TransportArgs, TransportMsg};
use crate::wake::now;

impl TenantState {
    /// A person asks for another try after the transport failed too often.
    pub(super) async fn revive(&mut self, myself: &ActorRef<TenantMsg>) {
        if std::mem::take(&mut self.view.degraded) {
            self.transport_budget.refill();
            self.restart_transport(myself).await;
            self.shared.hub.publish(Event::Tenant {
                tenant: self.view.clone(),
            });
        }
    }

    /// A child ended; `error` is why when it was not drained. This is the supervision table.
    pub(super) async fn on_child_ended(
        &mut self,
        myself: &ActorRef<TenantMsg>,
        who: ActorId,
        error: Option<String>,
    ) {
        let _ = self.transport.cast(TransportMsg::Release(who));
        self.one_shots.retain(|actor| actor.get_id() != who);
        if let Some(id) = self
            .calls
            .iter()
            .find(|(_, leg)| leg.get_id() == who)
            .map(|(id, _)| *id)
        {
            if self.calls.remove(&id).is_some()
                && let Some(error) = error
            {
                self.on_dialog_failed(myself, id, &error).await;
            } else {
                self.kept.cards.put(id, None);
            }
            return;
        }
        let account = self
            .accounts
            .iter()
            .find(|(_, a)| a.actor.as_ref().is_some_and(|a| a.get_id() == who));
        if let Some(id) = account.map(|(id, _)| id.clone()) {
            return self.on_account_ended(myself, &id, error).await;
        }
        if who == self.transport.get_id() {
            return self
                .on_transport_failed(myself, &error.unwrap_or_default())
                .await;
        }
        if who == self.recorder.id() && !self.leaving {
            let error = error.unwrap_or_default();
            return self.restart_recorder(myself, &error).await;
        }
    }

    /// Accounts go offline and sign in again on the new transport; calls keep their dialogs.
    pub(super) async fn on_transport_failed(&mut self, myself: &ActorRef<TenantMsg>, error: &str) {
        if self.leaving {
            return;
        }
        self.note("supervision", format!("the transport failed ({error})"));
        if !self.transport_budget.take(now()) {
            self.view.degraded = true;
            self.shared.hub.publish(Event::Tenant {
                tenant: self.view.clone(),
            });
            self.note(
                "supervision",
                "the transport failed too often; this tenant is offline until you sign in"
                    .to_owned(),
            );
            for actor in self.accounts.values().filter_map(|a| a.actor.as_ref()) {
                let _ = actor.cast(AccountMsg::TransportLost);
            }
            return;
        }
        self.restart_transport(myself).await;
    }

    pub(super) async fn restart_transport(&mut self, myself: &ActorRef<TenantMsg>) {
        match start_transport(
            myself,
            &self.shared,
            &self.naming,
            &self.recorder,
            (&self.kept.sockets, &self.remembered),
        )
        .await
        {
            Ok(transport) => {
                self.transport = transport;
                for actor in self.accounts.values().filter_map(|a| a.actor.as_ref()) {
                    let _ = actor.cast(AccountMsg::TransportReplaced(self.transport.clone()));
                }
                for leg in self.calls.values() {
                    let _ = leg.cast(DialogMsg::TransportReplaced(self.transport.clone()));
                }
                for actor in &self.one_shots {
                    let _ = actor.cast(OneShotMsg::TransportReplaced(self.transport.clone()));
                }
                self.note(
                    "supervision",
                    "the transport is back; accounts sign in again".to_owned(),
                );
            }
            Err(error) => self.note(
                "supervision",
                format!("the transport does not start: {error}"),
            ),
        }
    }

    pub(super) async fn restart_recorder(&mut self, myself: &ActorRef<TenantMsg>, error: &str) {
        if !self.recorder_budget.take(now()) {
            return;
        }
        let args = RecorderArgs {
            tenant: self.view.id.clone(),
            hub: Arc::clone(&self.shared.hub),
            dir: self.shared.trace_dir.clone(),
        };
        if let Ok((recorder, _)) =
            Actor::spawn_linked(None, RecorderActor, args, myself.get_cell()).await
        {
            self.recorder.replace(recorder);
            self.note(
                "supervision",
                format!("the recorder failed ({error}) and was started again"),
            );
        }
    }
}

fn rests(failover: &Failover) -> RestTimes {
    let usual = RestTimes::default();
    RestTimes {
        first: failover.first_rest.unwrap_or(usual.first),
        longest: failover.longest_rest.unwrap_or(usual.longest),
    }
}

pub(super) async fn start_transport(
    myself: &ActorRef<TenantMsg>,
    shared: &Arc<Shared>,
    naming: &Naming,
    recorder: &Arc<Service<RecorderMsg>>,
    (sockets, remembered): (&KeptSockets, &Remembered),
) -> Result<ActorRef<TransportMsg>, ActorProcessingErr> {
    let args = TransportArgs {
        tenant: myself.clone(),
        recorder: recorder.clone(),
        sockets: sockets.clone(),
        remembered: remembered.clone(),
        naming: naming.clone(),
        rests: rests(&shared.failover),
        capabilities: shared.capabilities.clone(),
        seed: shared.stateless.clone(),
    };
    Ok(
        Actor::spawn_linked(None, TransportActor, args, myself.get_cell())
            .await?
            .0,
    )
}
