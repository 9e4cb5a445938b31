//! The location service: who can be reached where, and for how long (RFC 3261 §10.3).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sip_core::Inbound;
use sip_message::Uri;

/// Addresses of record that the table holds at most.
const RECORDS: usize = 4_096;
/// Bindings of one address of record at most.
const BINDINGS: usize = 16;

/// An address of record: user and domain, the domain in lower case and without a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aor {
    /// The user part as sent.
    pub user: String,
    /// The domain in lower case.
    pub domain: String,
}

impl Aor {
    /// The address of record of a URI; `None` when it has no user part.
    pub fn of(uri: &Uri) -> Option<Self> {
        let user = uri.user_decoded().filter(|user| !user.is_empty())?;
        let domain = uri.sip_host()?.to_string().to_ascii_lowercase();
        Some(Self { user, domain })
    }
}

impl std::fmt::Display for Aor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.user, self.domain)
    }
}

/// One place where somebody can be reached.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The Contact as registered.
    pub contact: Uri,
    /// `+sip.instance`, when given: a phone that comes back with another address replaces itself.
    pub instance: Option<String>,
    /// The way the REGISTER came by, which is the way back through any router.
    pub inbound: Inbound,
    /// Preference, 0 to 1000.
    pub q: u16,
    /// When it ends.
    pub expires: Instant,
    call_id: String,
    cseq: u32,
}

/// What a REGISTER wants to do to one binding.
#[derive(Clone, Debug)]
pub struct Update {
    /// The Contact.
    pub contact: Uri,
    /// `+sip.instance`.
    pub instance: Option<String>,
    /// The way the REGISTER came by.
    pub inbound: Inbound,
    /// Preference, 0 to 1000.
    pub q: u16,
    /// For how long; zero removes.
    pub expires: Duration,
    /// Call-ID of the REGISTER.
    pub call_id: String,
    /// CSeq number of the REGISTER.
    pub cseq: u32,
}

/// Why a REGISTER was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An older REGISTER of the same phone came late (RFC 3261 §10.3 step 7).
    OutOfOrder,
    /// The table is full.
    Full,
}

/// Who can be reached where.
#[derive(Debug, Default)]
pub struct Location {
    records: HashMap<Aor, Vec<Binding>>,
}

impl Location {
    /// Adds, renews or removes one binding.
    ///
    /// # Errors
    /// When it came out of order or there is no room.
    pub fn update(&mut self, now: Instant, aor: &Aor, update: Update) -> Result<(), Refusal> {
        self.expire(now);
        if self.records.len() >= RECORDS && !self.records.contains_key(aor) {
            return Err(Refusal::Full);
        }
        let bindings = self.records.entry(aor.clone()).or_default();
        let place = bindings
            .iter()
            .position(|b| match (&b.instance, &update.instance) {
                (Some(old), Some(new)) => old == new,
                _ => b.contact.equivalent(&update.contact),
            });
        if let Some(old) = place.and_then(|place| bindings.get(place))
            && old.call_id == update.call_id
            && update.cseq <= old.cseq
        {
            return Err(Refusal::OutOfOrder);
        }
        if update.expires.is_zero() {
            if let Some(place) = place {
                bindings.remove(place);
            }
        } else {
            let binding = Binding {
                contact: update.contact,
                instance: update.instance,
                inbound: update.inbound,
                q: update.q,
                expires: now + update.expires,
                call_id: update.call_id,
                cseq: update.cseq,
            };
            match place {
                Some(place) => bindings[place] = binding,
                None if bindings.len() >= BINDINGS => return Err(Refusal::Full),
                None => bindings.push(binding),
            }
        }
        self.records.retain(|_, bindings| !bindings.is_empty());
        Ok(())
    }

    /// Removes all bindings of an address (`Contact: *`).
    pub fn clear(&mut self, aor: &Aor) {
        self.records.remove(aor);
    }

    /// The bindings of an address, the most wanted first.
    pub fn bindings(&mut self, now: Instant, aor: &Aor) -> Vec<Binding> {
        self.expire(now);
        let mut found = self.records.get(aor).cloned().unwrap_or_default();
        found.sort_by_key(|b| std::cmp::Reverse(b.q));
        found
    }

    /// The bindings of the only address with this user part, whatever its domain: for those who
    /// dial a name at the switchboard's own address.
    pub fn bindings_of_user(&mut self, now: Instant, user: &str) -> Vec<Binding> {
        self.expire(now);
        let mut aors = self.records.keys().filter(|aor| aor.user == user);
        match (aors.next().cloned(), aors.next()) {
            (Some(aor), None) => self.bindings(now, &aor),
            _ => Vec::new(),
        }
    }

    /// When the next binding ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.records.values().flatten().map(|b| b.expires).min()
    }

    /// Forgets what has ended.
    pub fn expire(&mut self, now: Instant) {
        for bindings in self.records.values_mut() {
            bindings.retain(|b| b.expires > now);
        }
        self.records.retain(|_, bindings| !bindings.is_empty());
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    /// Whether nobody can be reached.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip_core::{FlowId, Path, Transport};

    fn aor() -> Aor {
        Aor {
            user: "alice".to_owned(),
            domain: "example.com".to_owned(),
        }
    }

    fn update(contact: &str, instance: Option<&str>, expires_s: u64, cseq: u32) -> Update {
        let path = Path {
            transport: Transport::Udp,
            remote: "192.0.2.1:5060".parse().expect("an address"),
            local: "192.0.2.9:5060".parse().expect("an address"),
        };
        Update {
            contact: Uri::parse(contact).expect("a URI"),
            instance: instance.map(str::to_owned),
            inbound: Inbound {
                flow: FlowId(1),
                path,
            },
            q: 1000,
            expires: Duration::from_secs(expires_s),
            call_id: "c1".to_owned(),
            cseq,
        }
    }

    #[test]
    fn bindings_are_added_renewed_removed_and_end_by_themselves() {
        let now = Instant::now();
        let mut location = Location::default();
        assert_eq!(
            location.update(now, &aor(), update("sip:alice@192.0.2.1", None, 60, 1)),
            Ok(())
        );
        assert_eq!(
            location.update(now, &aor(), update("sip:alice@192.0.2.2", None, 120, 2)),
            Ok(())
        );
        assert_eq!(location.bindings(now, &aor()).len(), 2);
        let later = now + Duration::from_secs(61);
        assert_eq!(location.bindings(later, &aor()).len(), 1);
        assert_eq!(
            location.update(later, &aor(), update("sip:alice@192.0.2.2", None, 0, 3)),
            Ok(())
        );
        assert!(location.is_empty());
    }

    #[test]
    fn a_phone_that_comes_back_with_another_address_replaces_itself() {
        let now = Instant::now();
        let mut location = Location::default();
        for (n, host) in ["192.0.2.1:5060", "192.0.2.1:40112"].iter().enumerate() {
            let contact = format!("sip:alice@{host}");
            let update = update(&contact, Some("urn:uuid:1"), 60, n as u32 + 1);
            assert_eq!(location.update(now, &aor(), update), Ok(()));
        }
        let bindings = location.bindings(now, &aor());
        assert_eq!(bindings.len(), 1);
        assert_eq!(bindings[0].contact.port, Some(40_112));
    }

    #[test]
    fn an_old_register_that_comes_late_changes_nothing() {
        let now = Instant::now();
        let mut location = Location::default();
        assert_eq!(
            location.update(now, &aor(), update("sip:alice@192.0.2.1", None, 60, 7)),
            Ok(())
        );
        assert_eq!(
            location.update(now, &aor(), update("sip:alice@192.0.2.1", None, 0, 6)),
            Err(Refusal::OutOfOrder)
        );
        assert_eq!(location.bindings(now, &aor()).len(), 1);
    }

    #[test]
    fn the_table_does_not_grow_without_end() {
        let now = Instant::now();
        let mut location = Location::default();
        let refused = (0..100)
            .filter(|n| {
                let contact = format!("sip:alice@192.0.2.1:{}", 1000 + n);
                location.update(now, &aor(), update(&contact, None, 60, *n)) == Err(Refusal::Full)
            })
            .count();
        assert_eq!((location.len(), refused), (BINDINGS, 100 - BINDINGS));
    }
}
