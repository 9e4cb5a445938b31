//! Questions for logins that are not there, on their way to a person.

use model::{AccountId, CallId, Event, Identity, LoginPurpose, LoginWanted};
use sip_core::auth;

use crate::hub::Hub;
use crate::wall;

/// The question that one object asks at present.
#[derive(Debug, Default)]
pub(crate) struct LoginQuestion(Option<Box<LoginWanted>>);

impl LoginQuestion {
    /// Asks.
    pub(crate) fn ask(
        &mut self,
        hub: &Hub,
        account: &AccountId,
        user: &str,
        (purpose, call): (LoginPurpose, Option<CallId>),
        wanted: &auth::LoginWanted,
    ) {
        self.settle(hub);
        let login = Box::new(LoginWanted {
            account: account.clone(),
            realm: wanted.realm.clone(),
            server: wanted.address.map(|address| address.to_string()),
            user: Identity::from(user),
            refused: wanted.refused,
            purpose,
            call,
            since: wall(),
        });
        self.0 = Some(login.clone());
        hub.publish(Event::LoginWanted { login });
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn settle(&mut self, hub: &Hub) {
        if let Some(login) = self.0.take() {
            hub.publish(Event::LoginSettled { login });
        }
    }

    /// Whether it asks for this realm.
    pub(crate) fn is_for(&self, realm: &str) -> bool {
        self.0.as_ref().is_some_and(|login| login.realm == realm)
    }
}
