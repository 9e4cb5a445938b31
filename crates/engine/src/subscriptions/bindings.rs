//! What the registrar tells of the bindings under our address (RFC 3680).

use std::time::Duration;

use event_bodies::reg_info::{RegContact, RegInfo};
use sip_message::Uri;

use super::SubscriptionsState;
use crate::account::{AccountMsg, Unbound, Wish};

/// Changes of others that are remarked on in one document.
const MOST_REMARKS: usize = 8;
/// A registrar cannot keep us away for longer than this by `probation`.
const LONGEST_PROBATION: Duration = Duration::from_secs(3600);
/// How long, where it does not say.
const PROBATION: Duration = Duration::from_secs(60);

impl SubscriptionsState {
    /// Ours that was ended is told to the account; those of others are remarked on, and the list is asked for anew.
    pub(super) fn take_bindings(&mut self, body: &[u8]) {
        let info = match RegInfo::parse(body) {
            Ok(info) => info,
            Err(error) => return self.note(format!("what is registered: {error}")),
        };
        let contacts: Vec<&RegContact> = info
            .registrations
            .iter()
            .flat_map(|entry| &entry.contacts)
            .collect();
        let own_user = self.args.identity.contact_user.as_str();
        let is_own = |contact: &&RegContact| {
            let uri = Uri::parse(&contact.uri).ok();
            uri.is_some_and(|uri| uri.user.as_deref() == Some(own_user))
        };
        // One that stands, by another flow, keeps us reachable.
        let stands = contacts.iter().any(|c| c.active && is_own(c));
        let ended = contacts.iter().find(|c| !c.active && is_own(c));
        if let Some(contact) = ended.filter(|_| !stands)
            && let Some(unbound) = unbound(contact)
        {
            let _ = self.account.cast(AccountMsg::Unbound(unbound));
        }
        let changed = contacts.iter().filter(|c| !is_own(c) && is_change(c));
        let remarks: Vec<String> = changed.take(MOST_REMARKS).map(|c| remark(c)).collect();
        if remarks.is_empty() {
            return;
        }
        remarks.into_iter().for_each(|text| self.note(text));
        let _ = self.account.cast(AccountMsg::Bindings(Wish::List));
    }
}

/// What the end of our binding means (RFC 3680 §5.2).
fn unbound(contact: &RegContact) -> Option<Unbound> {
    match contact.event.as_str() {
        "deactivated" => Some(Unbound::Deactivated),
        "probation" => {
            let seconds = contact
                .retry_after_s
                .map(u64::from)
                .map(Duration::from_secs);
            let wait = seconds.unwrap_or(PROBATION).min(LONGEST_PROBATION);
            Some(Unbound::Probation(wait))
        }
        "rejected" => Some(Unbound::Rejected),
        // Expired, or taken away by somebody: our next refresh brings it back, if it was not we.
        _ => None,
    }
}

/// Whether something has happened, and not merely stands as it was.
fn is_change(contact: &&&RegContact) -> bool {
    !contact.active || matches!(contact.event.as_str(), "registered" | "created")
}

fn remark(contact: &RegContact) -> String {
    let host = Uri::parse(&contact.uri).map_or_else(|_| "?".to_owned(), |uri| uri.host.to_string());
    match contact.active {
        true => format!("another phone at {host} is registered ({})", contact.event),
        false => format!(
            "another phone at {host} is no longer registered ({})",
            contact.event
        ),
    }
}
