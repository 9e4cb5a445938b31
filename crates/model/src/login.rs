//! Logins of an account beside its own, and questions for those that are missing.

use std::fmt;
use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::{AccountId, CallId, Identity, QuestionId, Timestamp};

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

    /// Whether it can be used: it has a user name, and is for somebody who can be met.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check(&self) -> Result<(), LoginFault> {
        if self.user.reveal().trim().is_empty() {
            return Err(LoginFault::NoUser);
        }
        match &self.server {
            None if self.realm.is_none() => Err(LoginFault::ForNobody),
            Some(server) if !is_host(server) => Err(LoginFault::Server(server.clone())),
            _ => Ok(()),
        }
    }
}

/// What a further login lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginFault {
    /// There is nobody to be.
    NoUser,
    /// Neither a realm nor a server is named.
    ForNobody,
    /// What is named as the server is more than a host, or less, and no request ever goes there.
    Server(String),
}

impl fmt::Display for LoginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser => f.write_str("a further login needs a user name"),
            Self::ForNobody => f.write_str("a further login is for a realm, a server, or both"),
            Self::Server(server) => write!(
                f,
                "“{server}” is no server for a login: it is a host without a port, like pbx.example.com or 192.0.2.1"
            ),
        }
    }
}

impl std::error::Error for LoginFault {}

/// Whether this is a host and nothing else (RFC 3261 §25.1, `host`; names as they are, with underscores).
fn is_host(text: &str) -> bool {
    let address = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if address.unwrap_or(text).parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.len() <= 63 && label.bytes().all(fine)
    };
    name.len() <= 253 && name.split('.').all(is_label)
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginWanted {
    /// Names the question; the answer goes to whoever asked it.
    pub id: QuestionId,
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
        match list.iter_mut().find(|old| old.id == self.id) {
            Some(old) => *old = self.clone(),
            None => list.push(self.clone()),
        }
        let surplus = list.len().saturating_sub(MOST_QUESTIONS);
        list.drain(..surplus);
    }

    /// Takes the question out of a list: nobody waits for its answer any more.
    pub fn take_from(&self, list: &mut Vec<Self>) {
        list.retain(|other| other.id != self.id);
    }

    /// Whether whoever asks this is the same server as asks the other in the same name: the answer to one is the answer to
    /// the other. A realm alone is text that anybody can write.
    #[must_use]
    pub fn is_of_the_same_asker(&self, other: &Self) -> bool {
        self.account == other.account
            && self.realm == other.realm
            && self.server.is_some()
            && self.server == other.server
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Snapshot};

    fn wanted(id: u64, realm: &str, call: Option<u64>) -> LoginWanted {
        LoginWanted {
            id: QuestionId(id),
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
        for (id, call) in [(1, 1), (2, 2), (1, 1)] {
            let login = Box::new(wanted(id, "pbx", Some(call)));
            state.apply(&Event::LoginWanted { login });
        }
        assert_eq!(state.logins.len(), 2);
        state.apply(&Event::LoginSettled {
            login: Box::new(wanted(1, "pbx", Some(1))),
        });
        let left: Vec<_> = state.logins.iter().map(|login| login.call).collect();
        assert_eq!(left, [Some(CallId(2))]);
        state.apply(&Event::AccountRemoved {
            account: AccountId::new("alice"),
        });
        assert!(state.logins.is_empty());
    }

    #[test]
    fn two_who_ask_in_the_same_name_are_one_only_at_the_same_address() {
        let question = wanted(1, "pbx", None);
        assert!(question.is_of_the_same_asker(&wanted(2, "pbx", Some(1))));
        for server in [Some("192.0.2.66:5060".to_owned()), None] {
            let other = LoginWanted {
                server,
                ..wanted(2, "pbx", None)
            };
            assert!(!question.is_of_the_same_asker(&other));
            // Both stand: neither takes the place of the other.
            let mut list = vec![question.clone()];
            other.put_into(&mut list);
            assert_eq!(list.len(), 2);
        }
    }

    #[test]
    fn a_login_has_a_user_and_is_for_a_realm_or_for_a_host_and_nothing_more() {
        let login = |user: &str, realm: Option<&str>, server: Option<&str>| Login {
            realm: realm.map(str::to_owned),
            server: server.map(str::to_owned),
            user: user.into(),
        };
        assert_eq!(login("alice", Some("pbx"), None).check(), Ok(()));
        for user in ["", " "] {
            let fault = login(user, Some("pbx"), None).check();
            assert_eq!(fault, Err(LoginFault::NoUser));
        }
        assert_eq!(
            login("alice", None, None).check(),
            Err(LoginFault::ForNobody)
        );
        for (server, good) in [
            ("pbx.example", true),
            ("PBX.example.", true),
            ("192.0.2.1", true),
            ("[2001:db8::1]", true),
            ("2001:db8::1", true),
            ("pbx.example:5070", false),
            ("192.0.2.1:5060", false),
            ("[2001:db8::1]:5060", false),
            ("sip:pbx.example", false),
            ("pbx.example;transport=tcp", false),
            ("alice@pbx.example", false),
            ("pbx..example", false),
            (" pbx.example", false),
            ("", false),
        ] {
            let fault = login("alice", Some("pbx"), Some(server)).check();
            assert_eq!(fault.is_ok(), good, "{server:?}: {fault:?}");
        }
    }

    #[test]
    fn a_flood_of_questions_keeps_the_newest() {
        let mut state = Snapshot::default();
        for number in 0..100 {
            let login = Box::new(wanted(number, &format!("realm {number}"), None));
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
        let question = wanted(1, "pbx", None);
        assert!(
            question
                .sentence()
                .contains("192.0.2.1:5060 asks for a login for “pbx”")
        );
        assert!(!format!("{question:?}").contains("alice@"));
    }
}
