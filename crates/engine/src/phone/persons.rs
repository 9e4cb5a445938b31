//! What persons say to each other and of themselves: messages read, presence chosen.

use model::{AccountId, Command, Event, MessageState, PresenceState, Private};

use super::PhoneState;
use crate::tenant::TenantMsg;

impl PhoneState {
    pub(super) fn mark_messages_read(&self, account: &AccountId, from: Option<&model::Identity>) {
        let unread = self.shared.hub.read(|state| {
            let unread = |m: &&model::MessageView| {
                m.account == *account
                    && m.state == MessageState::Received
                    && from.is_none_or(|from| m.remote.uri == *from)
            };
            state
                .messages
                .iter()
                .filter(unread)
                .cloned()
                .collect::<Vec<_>>()
        });
        for mut message in unread {
            message.state = MessageState::Read;
            self.shared.hub.publish(Event::Message {
                message: Box::new(message),
            });
        }
    }

    /// For one account, or for all of them.
    pub(super) fn set_presence(
        &self,
        account: Option<AccountId>,
        state: PresenceState,
        note: &Private,
    ) {
        for (tenant, entry) in self.settings.accounts() {
            if account.as_ref().is_some_and(|wanted| *wanted != entry.id) {
                continue;
            }
            let command = Command::SetPresence {
                account: Some(entry.id.clone()),
                state,
                note: note.clone(),
            };
            self.to_tenant(&tenant.id, TenantMsg::Command(command));
        }
    }
}
