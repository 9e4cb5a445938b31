//! Logins of an account beside its own, and questions for those that are missing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccountId, CallId, Identity, Timestamp};

/// Questions that are kept.
const MOST_QUESTIONS: usize = 16;

/// One more login of an account: for a realm, a server, or both. Of several that fit, the one that says most is
/// shown; the account's own is for its own servers. The password is not here: it lives in the secret store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// The realm that it is for, as a server names it in its challenge; whoever asks in that name gets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The host that it is for: requests that go to it, or by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The user name.
    pub user: Identity,
}

impl Login {
    /// Whether another login is for the same, and so would stand in its place.
    #[must_use]
    pub fn is_for_the_same(&self, other: &Self) -> bool {
        self.realm == other.realm && self.server == other.server
    }
}

/// What a login is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginPurpose {
    /// To sign in.
    Registration,
    /// For a call, or something within it.
    Call,
    /// For a text message.
    Message,
    /// To ask a peer what it can do, or for any other request that begins no call.
    Options,
}

/// Somebody asks for a login that the account does not have, or refused the one that it has.
/// [`crate::Command::AnswerLogin`] gives one, and what waits goes on with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginWanted {
    /// Which account is asked.
    pub account: AccountId,
    /// In whose name, as the peer wrote it.
    pub realm: String,
    /// Where the request went that was answered so, `IP:PORT`.
    pub server: Option<String>,
    /// The user name that would be shown.
    pub user: Identity,
    /// Whether one was shown and refused.
    pub refused: bool,
    /// What for.
    pub purpose: LoginPurpose,
    /// The call that waits, if it is one.
    pub call: Option<CallId>,
    /// Since when.
    pub since: Timestamp,
}

impl LoginWanted {
    /// The question in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let whose = match &self.server {
            Some(server) => format!("The server at {server}"),
            None => "The server".to_owned(),
        };
        match self.refused {
            true => format!("{whose} refuses the login for “{}”.", self.realm),
            false => format!(
                "{whose} asks for a login for “{}”, which this account does not have.",
                self.realm
            ),
        }
    }

    /// Puts the question into a list, in the place of the same one; the newest 16 are kept, for anybody who is called
    /// may ask.
    pub fn put_into(&self, list: &mut Vec<Self>) {
        match list.iter_mut().find(|old| old.is_same(self)) {
            Some(old) => *old = self.clone(),
            None => list.push(self.clone()),
        }
        let surplus = list.len().saturating_sub(MOST_QUESTIONS);
        list.drain(..surplus);
    }

    /// Takes the question out of a list: nobody waits for its answer any more.
    pub fn take_from(&self, list: &mut Vec<Self>) {
        list.retain(|other| !other.is_same(self));
    }

    /// Whether this is the same question.
    fn is_same(&self, other: &Self) -> bool {
        self.account == other.account
            && self.realm == other.realm
            && self.purpose == other.purpose
            && self.call == other.call
    }
}

impl fmt::Debug for LoginWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginWanted")
            .field("account", &self.account)
            .field("realm", &self.realm)
            .field("user", &self.user)
            .field("refused", &self.refused)
            .field("purpose", &self.purpose)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Snapshot};

    fn wanted(realm: &str, call: Option<u64>) -> LoginWanted {
        LoginWanted {
            account: AccountId::new("alice"),
            realm: realm.to_owned(),
            server: Some("192.0.2.1:5060".to_owned()),
            user: "alice".into(),
            refused: false,
            purpose: LoginPurpose::Call,
            call: call.map(CallId),
            since: Timestamp(0),
        }
    }

    #[test]
    fn questions_stand_until_they_are_settled_and_each_once() {
        let mut state = Snapshot::default();
        for (realm, call) in [("pbx", 1), ("pbx", 2), ("pbx", 1)] {
            let login = Box::new(wanted(realm, Some(call)));
            state.apply(&Event::LoginWanted { login });
        }
        assert_eq!(state.logins.len(), 2);
        state.apply(&Event::LoginSettled {
            login: Box::new(wanted("pbx", Some(1))),
        });
        let left: Vec<_> = state.logins.iter().map(|login| login.call).collect();
        assert_eq!(left, [Some(CallId(2))]);
        state.apply(&Event::AccountRemoved {
            account: AccountId::new("alice"),
        });
        assert!(state.logins.is_empty());
    }

    #[test]
    fn a_flood_of_questions_keeps_the_newest() {
        let mut state = Snapshot::default();
        for number in 0..100 {
            let login = Box::new(wanted(&format!("realm {number}"), None));
            state.apply(&Event::LoginWanted { login });
        }
        assert_eq!(state.logins.len(), 16);
        assert_eq!(
            state.logins.last().map(|l| l.realm.as_str()),
            Some("realm 99")
        );
    }

    #[test]
    fn a_question_says_who_asks_and_prints_nobody() {
        let question = wanted("pbx", None);
        assert!(
            question
                .sentence()
                .contains("192.0.2.1:5060 asks for a login for “pbx”")
        );
        assert!(!format!("{question:?}").contains("alice@"));
    }
}
