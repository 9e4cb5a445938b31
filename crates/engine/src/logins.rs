//! Questions for logins that are not there, on their way to a person.

use std::sync::Arc;

use model::{AccountId, CallId, Event, Identity, LoginPurpose, LoginWanted, QuestionId};
use sip_core::auth;

use crate::hub::Hub;
use crate::wall;

/// The question that one object asks at present. It ends with the object.
pub(crate) struct LoginQuestion {
    hub: Arc<Hub>,
    asked: Option<Box<LoginWanted>>,
}

impl LoginQuestion {
    /// Asks nothing yet.
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        Self {
            hub: Arc::clone(hub),
            asked: None,
        }
    }

    /// Asks. While the same is asked already, it goes on: several flows ask for one login, and whoever types it is not
    /// to begin anew.
    pub(crate) fn ask(
        &mut self,
        account: &AccountId,
        user: &str,
        (purpose, call): (LoginPurpose, Option<CallId>),
        wanted: &auth::LoginWanted,
    ) {
        let mut login = Box::new(LoginWanted {
            id: QuestionId::default(),
            account: account.clone(),
            realm: wanted.realm.clone(),
            server: wanted.address.map(|address| address.to_string()),
            user: Identity::from(user),
            refused: wanted.refused,
            purpose,
            call,
            since: wall(),
        });
        match &self.asked {
            Some(asked) if is_continued(asked, &login) => {
                if asked.refused == login.refused {
                    return;
                }
                login.id = asked.id;
            }
            _ => {
                self.settle();
                login.id = self.hub.next_question();
            }
        }
        self.asked = Some(login.clone());
        self.hub.publish(Event::LoginWanted { login });
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn settle(&mut self) {
        if let Some(login) = self.asked.take() {
            self.hub.publish(Event::LoginSettled { login });
        }
    }

    /// Whether this is the question that it asks.
    pub(crate) fn is(&self, id: QuestionId) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.id == id)
    }
}

/// Whatever ends its asker, also a fault of ours: nobody is to type for nothing.
impl Drop for LoginQuestion {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Whether a question of one asker goes on in the next one. The flows of a registration have a proxy each, and one login
/// for all; of a call another server is somebody else.
fn is_continued(asked: &LoginWanted, next: &LoginWanted) -> bool {
    asked.realm == next.realm
        && asked.user == next.user
        && (asked.purpose, asked.call) == (next.purpose, next.call)
        && (asked.server == next.server || next.purpose == LoginPurpose::Registration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(realm: &str, refused: bool, address: &str) -> auth::LoginWanted {
        auth::LoginWanted {
            realm: realm.to_owned(),
            refused,
            proxy: false,
            address: address.parse().ok(),
        }
    }

    /// What was told since the last time: `+` a question, `-` its end, with the number and whether one was refused.
    fn told(events: &mut crate::hub::Subscription) -> Vec<(char, u64, bool)> {
        let told = std::iter::from_fn(|| events.try_next()).filter_map(|event| match event {
            Event::LoginWanted { login } => Some(('+', login.id.0, login.refused)),
            Event::LoginSettled { login } => Some(('-', login.id.0, login.refused)),
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn what_several_flows_ask_is_one_question_until_something_else_is_asked() {
        let hub = Hub::new();
        let mut events = hub.subscribe(None);
        // The state as it is, before anything is asked.
        assert_eq!(told(&mut events), []);
        let mut question = LoginQuestion::new(&hub);
        let account = AccountId::new("alice");
        let mut ask = |question: &mut LoginQuestion, purpose, realm, refused, address| {
            let wanted = wanted(realm, refused, address);
            question.ask(&account, "alice", (purpose, None), &wanted);
            told(&mut events)
        };
        let first = (LoginPurpose::Registration, "pbx", "192.0.2.1:5060");
        let (purpose, realm, at) = first;
        assert_eq!(
            ask(&mut question, purpose, realm, false, at),
            [('+', 1, false)]
        );
        // The second flow, by another proxy.
        let other = "192.0.2.2:5060";
        assert_eq!(ask(&mut question, purpose, realm, false, other), []);
        // What was given meanwhile was refused: the same question, and nobody types anew for it.
        assert_eq!(
            ask(&mut question, purpose, realm, true, at),
            [('+', 1, true)]
        );
        assert_eq!(
            ask(&mut question, purpose, "far", true, at),
            [('-', 1, true), ('+', 2, true)]
        );
        // In a call another server is somebody else, whatever name it gives itself.
        let call = LoginPurpose::Call;
        assert_eq!(
            ask(&mut question, call, "far", false, at),
            [('-', 2, true), ('+', 3, false)]
        );
        assert_eq!(
            ask(&mut question, call, "far", false, other),
            [('-', 3, false), ('+', 4, false)]
        );
        assert!(question.is(QuestionId(4)) && !question.is(QuestionId(3)));
        drop(question);
        assert_eq!(told(&mut events), [('-', 4, false)]);
    }
}
