//! What the registrar tells of the bindings under our address (RFC 3680).

use std::time::Duration;

use event_bodies::Scope;
use event_bodies::reg_info::{RegContact, RegInfo};
use model::Identity;
use sip_message::Uri;

use super::SubscriptionsState;
use crate::account::{AccountMsg, Unbound, Wish};
use crate::wake::now;

/// Changes of others that are remarked on in one document.
const MOST_REMARKS: usize = 8;
/// A registrar cannot keep us away for longer than this by `probation`.
const LONGEST_PROBATION: Duration = Duration::from_secs(3600);
/// How long, where it does not say.
const PROBATION: Duration = Duration::from_secs(60);

/// Bindings of others that are kept in mind.
const MOST_OTHERS: usize = 256;

/// The bindings of other phones, as they were told of last: the URI, and whether it is there.
#[derive(Debug, Default)]
pub(super) struct Others(Vec<(Identity, bool)>);

impl Others {
    /// Takes what a document says of them, and answers what is different since. `event` tells what led to a state,
    /// however long ago that was (RFC 3680 §5.2), so it makes no news. What a full document leaves out is gone.
    fn take<'a>(&mut self, contacts: &[&'a RegContact], scope: Scope) -> Vec<Change<'a>> {
        let mut changes = Vec::new();
        for contact in contacts.iter().take(MOST_OTHERS) {
            let known = self.0.iter().position(|(uri, _)| *uri == contact.uri);
            let before = known.map(|at| self.0.remove(at).1);
            if self.0.len() >= MOST_OTHERS {
                self.0.remove(0);
            }
            self.0.push((contact.uri.clone(), contact.active));
            if before != Some(contact.active) {
                changes.push(Change::Told(contact));
            }
        }
        if scope == Scope::Full {
            let told = |uri: &Identity| contacts.iter().any(|contact| contact.uri == *uri);
            self.0.retain(|(uri, active)| {
                let stays = told(uri);
                if !stays && *active {
                    changes.push(Change::LeftOut(uri.clone()));
                }
                stays
            });
        }
        changes
    }
}

/// What is different with a phone of somebody else.
enum Change<'a> {
    /// As this says.
    Told(&'a RegContact),
    /// Nothing is said of it any more.
    LeftOut(Identity),
}

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
            let uri = Uri::parse(contact.uri.reveal()).ok();
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
        let others: Vec<&RegContact> = contacts.iter().copied().filter(|c| !is_own(c)).collect();
        let changes = self.others.take(&others, info.scope);
        let remarks: Vec<String> = changes.iter().take(MOST_REMARKS).map(remark).collect();
        if remarks.is_empty() {
            return;
        }
        remarks.into_iter().for_each(|text| self.note(text));
        let due = self.list.deadline().is_some();
        let wait = self.list.want(now());
        if wait.is_zero() {
            self.ask_for_list();
        } else if !due {
            let seconds = wait.as_millis().div_ceil(1000);
            self.note(format!(
                "other phones come and go: their list is asked for again in {seconds} s"
            ));
        }
    }

    pub(super) fn ask_for_list(&self) {
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

fn remark(change: &Change<'_>) -> String {
    let host = |uri: &Identity| {
        let uri = Uri::parse(uri.reveal());
        uri.map_or_else(|_| "?".to_owned(), |uri| uri.host.to_string())
    };
    match change {
        Change::Told(RegContact {
            uri, event, active, ..
        }) => {
            let (at, no_longer) = (host(uri), if *active { "" } else { " no longer" });
            format!("another phone at {at} is{no_longer} registered ({event})")
        }
        Change::LeftOut(uri) => format!("another phone at {} is no longer registered", host(uri)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(number: usize, active: bool, event: &str) -> RegContact {
        RegContact {
            id: format!("c{number}"),
            active,
            event: event.to_owned(),
            uri: format!("sip:carol@h{number}.example").into(),
            display: None,
            expires_s: None,
            retry_after_s: None,
            call_id: None,
            cseq: None,
        }
    }

    fn remarks(others: &mut Others, contacts: &[RegContact], scope: Scope) -> Vec<String> {
        let contacts: Vec<&RegContact> = contacts.iter().collect();
        others.take(&contacts, scope).iter().map(remark).collect()
    }

    #[test]
    fn rfc3680_5_2_what_merely_stands_is_no_news_and_what_is_left_out_is_gone() {
        let mut others = Others::default();
        let is = |number: usize| {
            format!("another phone at h{number}.example is registered (registered)")
        };
        let both = [
            contact(1, true, "registered"),
            contact(2, true, "registered"),
        ];
        assert_eq!(remarks(&mut others, &both, Scope::Full), [is(1), is(2)]);
        // The registrar says everything anew whenever anything happens, and how it came about.
        for _ in 0..3 {
            assert_eq!(remarks(&mut others, &both, Scope::Full), [""; 0]);
        }
        let refreshed = [contact(1, true, "refreshed")];
        assert_eq!(remarks(&mut others, &refreshed, Scope::Partial), [""; 0]);
        assert_eq!(
            remarks(&mut others, &refreshed, Scope::Full),
            ["another phone at h2.example is no longer registered"]
        );
        let gone = [contact(1, false, "expired")];
        for (times, scope) in [(1, Scope::Partial), (0, Scope::Partial), (0, Scope::Full)] {
            let told = remarks(&mut others, &gone, scope);
            let one = "another phone at h1.example is no longer registered (expired)";
            assert_eq!(told, vec![one; times]);
        }
        assert_eq!(remarks(&mut others, &both, Scope::Full), [is(1), is(2)]);
    }

    #[test]
    fn a_registrar_with_endless_phones_is_not_remembered_without_end() {
        let mut others = Others::default();
        for round in 0..10 {
            let many: Vec<RegContact> = (0..1_000)
                .map(|number| contact(round * 1_000 + number, true, "created"))
                .collect();
            remarks(&mut others, &many, Scope::Partial);
            assert_eq!(others.0.len(), MOST_OTHERS);
        }
    }
}
