//! Calls of one tenant that hear each other.
//!
//! A conference begins with two calls and ends with the last but one, which is a call like any other from then on.

use std::num::NonZeroU64;
use std::sync::atomic::Ordering;

use model::CallId;

use super::TenantState;
use crate::dialog::DialogMsg;

impl TenantState {
    /// Brings calls together, in the conference that one of them is in already or in a new one. Whoever is in another
    /// one brings the whole of it.
    pub(super) fn join(&mut self, wanted: &[CallId]) {
        let rooms: Vec<u64> = wanted
            .iter()
            .filter_map(|call| self.room_of(*call))
            .collect();
        let brought = |call: &CallId| {
            self.room_of(*call)
                .is_some_and(|room| rooms.contains(&room))
        };
        let ids: Vec<CallId> = self.shared.hub.read(|state| {
            let ours = state
                .calls
                .iter()
                .filter(|c| c.tenant == self.view.id && c.state.is_up());
            let ids = ours.map(|c| c.id);
            ids.filter(|id| wanted.contains(id) || brought(id))
                .collect()
        });
        if ids.len() < 2 {
            return self.note(
                "call",
                "there are no two calls to bring together".to_owned(),
            );
        }
        let new = || self.shared.conferences.fetch_add(1, Ordering::Relaxed) + 1;
        let room = rooms.first().copied().unwrap_or_else(new);
        for id in &ids {
            self.rooms.insert(*id, room);
            self.tell(*id, DialogMsg::Conference(NonZeroU64::new(room)));
            self.tell(*id, DialogMsg::Hold(false));
        }
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.note(
            "call",
            format!("the calls {} hear each other", ids.join(", ")),
        );
    }

    /// Brings a call that came by itself into the conference of another one, or into a new one with it. Nobody here has
    /// asked for that: who is on hold stays there.
    pub(super) fn admit(&mut self, call: CallId, beside: CallId) {
        let new = || self.shared.conferences.fetch_add(1, Ordering::Relaxed) + 1;
        let room = self.room_of(beside).unwrap_or_else(new);
        for id in [beside, call] {
            if self.rooms.insert(id, room) != Some(room) {
                self.tell(id, DialogMsg::Conference(NonZeroU64::new(room)));
            }
        }
        self.note(
            "call",
            format!("the calls {beside} and {call} hear each other"),
        );
    }

    /// Takes a call out of its conference and holds it, for the person goes on talking to the others.
    pub(super) fn part(&mut self, call: CallId) {
        if self.room_of(call).is_some() {
            self.tell(call, DialogMsg::Conference(None));
            self.tell(call, DialogMsg::Hold(true));
            self.on_parted(call);
        }
    }

    /// A call has left its conference, or has ended. The last one there is in none.
    pub(super) fn on_parted(&mut self, call: CallId) {
        let Some(room) = self.rooms.remove(&call) else {
            return;
        };
        let members = self.rooms.iter().filter(|(_, other)| **other == room);
        let members: Vec<CallId> = members.map(|(id, _)| *id).collect();
        if let [last] = members[..] {
            self.rooms.remove(&last);
            self.tell(last, DialogMsg::Conference(None));
        }
    }

    fn room_of(&self, call: CallId) -> Option<u64> {
        self.rooms.get(&call).copied()
    }
}
