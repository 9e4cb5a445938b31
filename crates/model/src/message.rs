//! Text messages (RFC 3428) as the view shows them.

use serde::{Deserialize, Serialize};

use crate::{AccountId, Direction, Failure, Party, Private, TenantId, Timestamp};

/// What became of a text message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// It came, and is not marked as read.
    Received,
    /// It came, and was read.
    Read,
    /// On its way.
    Sending,
    /// The other end has it.
    Delivered,
    /// A server has it and passes it on later (202); whether it arrives, nobody will say.
    Accepted,
    /// It did not arrive; the failure says why.
    Failed,
}

/// A text message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    /// Its number, unique as long as the program runs.
    pub id: u64,
    /// Whose account.
    pub tenant: TenantId,
    /// Which account.
    pub account: AccountId,
    /// Who wrote it: `Outgoing` is us.
    pub direction: Direction,
    /// The other end.
    pub remote: Party,
    /// What it says.
    pub text: Private,
    /// Its subject, when there is one.
    #[serde(default)]
    pub subject: Option<Private>,
    /// When it was sent or came.
    pub time: Timestamp,
    /// What became of it.
    pub state: MessageState,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Round trip in milliseconds, for one that was delivered at the first try.
    #[serde(default)]
    pub round_trip_ms: Option<f32>,
}

/// How many messages of one account are kept in view.
const OF_ACCOUNT: usize = 100;
/// How many bytes the messages of all accounts may hold.
const BYTES: usize = 2 * 1024 * 1024;

impl MessageView {
    /// Puts it into a list in place of what was known of it, and lets the oldest of its account leave
    /// when there are too many: a talkative account takes nothing from the others.
    pub fn put_into(&self, list: &mut Vec<Self>) {
        match list.iter_mut().find(|m| m.id == self.id) {
            Some(old) => *old = self.clone(),
            None => list.push(self.clone()),
        }
        let of_account = |m: &Self| m.account == self.account;
        let size = |m: &Self| m.text.reveal().len();
        let mut count = list.iter().filter(|m| of_account(m)).count();
        let mut bytes: usize = list.iter().map(size).sum();
        while count > OF_ACCOUNT || (bytes > BYTES && count > 1) {
            let Some(oldest) = list.iter().position(of_account) else {
                return;
            };
            bytes -= size(&list.remove(oldest));
            count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Snapshot};

    fn message(id: u64, account: &str, text: &str) -> Event {
        Event::Message {
            message: Box::new(MessageView {
                id,
                tenant: TenantId::new("a"),
                account: AccountId::new(account),
                direction: Direction::Incoming,
                remote: Party::default(),
                text: text.into(),
                subject: None,
                time: Timestamp(0),
                state: MessageState::Received,
                failure: None,
                round_trip_ms: None,
            }),
        }
    }

    #[test]
    fn messages_are_replaced_by_number_and_bounded_for_each_account() {
        let mut state = Snapshot::default();
        state.apply(&message(1, "quiet", "one"));
        state.apply(&message(1, "quiet", "one, changed"));
        for id in 10..400 {
            state.apply(&message(id, "loud", "x"));
        }
        assert_eq!(state.messages.len(), 1 + OF_ACCOUNT);
        assert_eq!(state.messages[0].text.reveal(), "one, changed");
        assert_eq!(state.messages.last().map(|m| m.id), Some(399));
        let large = "x".repeat(BYTES / 4);
        for id in 500..520 {
            state.apply(&message(id, "loud", &large));
        }
        let bytes: usize = state.messages.iter().map(|m| m.text.reveal().len()).sum();
        assert!(bytes <= BYTES && state.messages.len() < 10);
        assert_eq!(state.messages[0].id, 1, "the quiet one keeps what it has");
        state.apply(&Event::MessagesCleared {
            account: AccountId::new("quiet"),
        });
        assert!(state.messages.iter().all(|m| m.id >= 500));
    }
}
