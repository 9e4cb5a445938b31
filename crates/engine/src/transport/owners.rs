//! Who takes what: keys of dialogs and registrations, and of requests that are not in one yet.

use std::time::Instant;

use ractor::ActorId;
use sip_core::dispatch::{OwnerKey, ServerKey};

use super::{Handler, Owner, SERVER_KEY_LIFE, SERVER_KEYS, TransportState};
use crate::wake::now;

impl TransportState {
    pub(super) fn on_claim(&mut self, key: OwnerKey, server_key: Option<ServerKey>, owner: Owner) {
        if let Some(server_key) = server_key {
            let kept = match self.requests.get_mut(&server_key) {
                Some(handler) => match std::mem::replace(handler, Handler::Owner(owner.clone())) {
                    Handler::Starting(kept) => kept,
                    Handler::Owner(_) | Handler::Refused(_) => Vec::new(),
                },
                None => {
                    self.remember(server_key, Handler::Owner(owner.clone()), now());
                    Vec::new()
                }
            };
            kept.into_iter()
                .for_each(|delivery| owner.deliver(delivery));
        }
        let tags = self.tags_of.entry(key.call_id.clone()).or_default();
        if !tags.contains(&key.local_tag) {
            tags.push(key.local_tag.clone());
        }
        self.owners.insert(key, owner);
    }

    pub(super) fn release(&mut self, id: ActorId) {
        self.names.retain(|(owner, _), _| *owner != id);
        let tags_of = &mut self.tags_of;
        self.owners.retain(|key, owner| {
            let stays = owner.id != id;
            if !stays && let Some(tags) = tags_of.get_mut(&key.call_id) {
                tags.retain(|tag| *tag != key.local_tag);
                if tags.is_empty() {
                    tags_of.remove(&key.call_id);
                }
            }
            stays
        });
    }

    pub(super) fn remember(&mut self, key: ServerKey, handler: Handler, at: Instant) {
        if self.requests.len() < SERVER_KEYS {
            self.request_order.push_back((at, key.clone()));
            self.requests.insert(key, handler);
        }
    }

    /// A request whose owner is in a dialog by now is found by that; one that never got an owner is
    /// forgotten when its repeats must have ended.
    pub(super) fn forget_old_requests(&mut self, at: Instant) {
        while let Some((since, _)) = self.request_order.front() {
            if at.saturating_duration_since(*since) < SERVER_KEY_LIFE {
                break;
            }
            let Some((since, key)) = self.request_order.pop_front() else {
                break;
            };
            match self.requests.get(&key) {
                // A phone may ring for minutes, and CANCEL comes with the branch of the INVITE.
                Some(Handler::Owner(_)) => {
                    self.request_order.push_back((since + SERVER_KEY_LIFE, key));
                }
                Some(Handler::Starting(_) | Handler::Refused(_)) => {
                    self.requests.remove(&key);
                }
                None => {}
            }
        }
    }
}
