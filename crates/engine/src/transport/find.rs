//! From a next hop to the ways that lead there.

use ractor::ActorRef;
use sip_core::locate::Target;
use sip_core::{Path, ResolveError, ResolveId};
use wire::Towards;

use super::sockets::Place;
use super::{Delivery, Owner, TransportMsg, TransportState, resolve, transport_error};
use crate::recorder::RecorderMsg;
use crate::wake::now;

impl TransportState {
    pub(super) fn on_resolved(
        &mut self,
        owner: &Owner,
        id: ResolveId,
        from: Place,
        towards: Towards,
        search: resolve::Search,
    ) {
        for text in search.notices {
            self.args.recorder.cast(RecorderMsg::Note {
                time: crate::wall(),
                topic: "transport",
                text,
                account: Some(owner.account.clone()),
                call: owner.call,
                sip_call_id: None,
            });
        }
        let result = match search.result {
            Ok(located) => {
                let targets = self.places.on_found(now(), owner, located.targets);
                if owner.registers {
                    let servers = targets.iter().map(|target| target.addr.ip());
                    servers.for_each(|server| self.guard.know_server(server, now()));
                }
                self.paths(targets, from)
            }
            Err(error) => Err(error),
        };
        for path in result.iter().flatten() {
            if path.transport.is_reliable() {
                self.names.insert((owner.id, path.remote), towards.clone());
            }
        }
        owner.deliver(Delivery::Resolved { id, result });
    }

    /// Targets with the local address that leads there; those that no way leads to are left out.
    pub(super) fn paths(
        &mut self,
        targets: Vec<Target>,
        from: Place,
    ) -> Result<Vec<Path>, ResolveError> {
        let mut paths = Vec::new();
        let mut trouble = None;
        for target in &targets {
            match self.sockets.local_for(target, from, &mut self.connections) {
                Ok(local) => paths.push(Path {
                    transport: target.transport,
                    remote: target.addr,
                    local,
                }),
                Err(error) => trouble = Some(transport_error(&error).to_string()),
            }
        }
        if paths.is_empty() {
            return Err(ResolveError::Unusable(
                trouble.unwrap_or_else(|| "no usable address".to_owned()),
            ));
        }
        Ok(paths)
    }

    /// Wakes up for the end of the next rest.
    pub(super) fn arm(&mut self, myself: &ActorRef<TransportMsg>) {
        let deadline = self.places.deadline(now());
        self.wake.arm(deadline, myself, TransportMsg::Wake);
    }
}
