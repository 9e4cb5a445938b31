//! The location service: who can be reached where, and for how long (RFC 3261 §10.3).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sip_core::{FlowId, Inbound};
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
    /// Whether that way still exists: a connection may have ended.
    pub alive: bool,
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
    /// By user, then by domain: those who dial a name at our own address do not know its domain.
    records: HashMap<String, HashMap<String, Vec<Binding>>>,
    count: usize,
    /// By the address that the Contact says, for requests inside a dialog: the way of the
    /// registration leads through routers that the Contact knows nothing of.
    ways: HashMap<String, Inbound>,
    /// No binding ends earlier.
    next_end: Option<Instant>,
}

impl Location {
    /// Adds, renews or removes one binding.
    ///
    /// # Errors
    /// When it came out of order or there is no room.
    pub fn update(&mut self, now: Instant, aor: &Aor, update: Update) -> Result<(), Refusal> {
        self.update_all(now, aor, vec![update])
    }

    /// Does all of what one REGISTER wants, or nothing (RFC 3261 §10.3 step 7).
    ///
    /// # Errors
    /// When it came out of order or there is no room.
    pub fn update_all(
        &mut self,
        now: Instant,
        aor: &Aor,
        updates: Vec<Update>,
    ) -> Result<(), Refusal> {
        self.expire(now);
        let before = self.record(aor).unwrap_or_default().to_vec();
        let mut after = before.clone();
        for update in updates {
            let old = before.iter().find(|b| is_same_phone(b, &update));
            if old.is_some_and(|old| old.call_id == update.call_id && update.cseq <= old.cseq) {
                return Err(Refusal::OutOfOrder);
            }
            apply(now, &mut after, update)?;
        }
        if before.is_empty() && !after.is_empty() && self.count >= RECORDS {
            return Err(Refusal::Full);
        }
        self.replace(aor, before, after);
        Ok(())
    }

    /// Removes all bindings of an address (`Contact: *`).
    ///
    /// # Errors
    /// When the same phone has said something newer (RFC 3261 §10.3 step 6).
    pub fn clear(&mut self, aor: &Aor, call_id: &str, cseq: u32) -> Result<(), Refusal> {
        let before = self.record(aor).unwrap_or_default().to_vec();
        if before
            .iter()
            .any(|b| b.call_id == call_id && cseq <= b.cseq)
        {
            return Err(Refusal::OutOfOrder);
        }
        self.replace(aor, before, Vec::new());
        Ok(())
    }

    /// A connection has ended: phones that registered by it are tried at their Contact.
    pub fn forget_flow(&mut self, flow: FlowId) {
        for binding in self
            .records
            .values_mut()
            .flat_map(HashMap::values_mut)
            .flatten()
        {
            binding.alive &= binding.inbound.flow != flow;
        }
        self.ways.retain(|_, inbound| inbound.flow != flow);
    }

    /// The bindings of an address, the most wanted first.
    pub fn bindings(&mut self, now: Instant, aor: &Aor) -> Vec<Binding> {
        self.expire(now);
        let mut found = self.record(aor).unwrap_or_default().to_vec();
        found.sort_by_key(|b| std::cmp::Reverse(b.q));
        found
    }

    /// The bindings of the only address with this user part, whatever its domain: for those who
    /// dial a name at the switchboard's own address.
    pub fn bindings_of_user(&mut self, now: Instant, user: &str) -> Vec<Binding> {
        self.expire(now);
        let mut domains = self.records.get(user).into_iter().flat_map(HashMap::keys);
        match (domains.next().cloned(), domains.next()) {
            (Some(domain), None) => {
                let user = user.to_owned();
                self.bindings(now, &Aor { user, domain })
            }
            _ => Vec::new(),
        }
    }

    /// The way by which the phone with this Contact registered.
    pub fn way_to(&self, contact: &Uri) -> Option<Inbound> {
        self.ways.get(&address_of(contact)?).copied()
    }

    /// When the next binding may end.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_end
    }

    /// Forgets what has ended. Costs nothing before [`Self::deadline`].
    pub fn expire(&mut self, now: Instant) {
        if self.next_end.is_none_or(|end| end > now) {
            return;
        }
        for domains in self.records.values_mut() {
            for bindings in domains.values_mut() {
                bindings.retain(|b| b.expires > now);
            }
            domains.retain(|_, bindings| !bindings.is_empty());
        }
        self.records.retain(|_, domains| !domains.is_empty());
        self.count = self.records.values().map(HashMap::len).sum();
        self.ways = self
            .all()
            .filter(|b| b.alive)
            .filter_map(|b| Some((address_of(&b.contact)?, b.inbound)))
            .collect();
        self.next_end = self.all().map(|b| b.expires).min();
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.all().count()
    }

    /// Whether nobody can be reached.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Binding> {
        self.records.values().flat_map(HashMap::values).flatten()
    }

    fn record(&self, aor: &Aor) -> Option<&[Binding]> {
        let bindings = self.records.get(&aor.user)?.get(&aor.domain)?;
        Some(bindings.as_slice())
    }

    fn replace(&mut self, aor: &Aor, before: Vec<Binding>, after: Vec<Binding>) {
        for address in before.iter().filter_map(|b| address_of(&b.contact)) {
            self.ways.remove(&address);
        }
        for binding in &after {
            if let Some(address) = address_of(&binding.contact).filter(|_| binding.alive) {
                self.ways.insert(address, binding.inbound);
            }
            let end = self
                .next_end
                .map_or(binding.expires, |end| end.min(binding.expires));
            self.next_end = Some(end);
        }
        self.count = self.count + usize::from(!after.is_empty()) - usize::from(!before.is_empty());
        if !after.is_empty() {
            let domains = self.records.entry(aor.user.clone()).or_default();
            domains.insert(aor.domain.clone(), after);
        } else if let Some(domains) = self.records.get_mut(&aor.user) {
            domains.remove(&aor.domain);
            if domains.is_empty() {
                self.records.remove(&aor.user);
            }
        }
        if self.records.is_empty() {
            self.next_end = None;
        }
    }
}

fn apply(now: Instant, bindings: &mut Vec<Binding>, update: Update) -> Result<(), Refusal> {
    let place = bindings.iter().position(|b| is_same_phone(b, &update));
    if let Some(place) = place {
        bindings.remove(place);
    }
    if update.expires.is_zero() {
        return Ok(());
    }
    if bindings.len() >= BINDINGS {
        return Err(Refusal::Full);
    }
    bindings.push(Binding {
        contact: update.contact,
        instance: update.instance,
        inbound: update.inbound,
        alive: true,
        q: update.q,
        expires: now + update.expires,
        call_id: update.call_id,
        cseq: update.cseq,
    });
    Ok(())
}

fn is_same_phone(binding: &Binding, update: &Update) -> bool {
    match (&binding.instance, &update.instance) {
        (Some(old), Some(new)) => old == new,
        _ => binding.contact.equivalent(&update.contact),
    }
}

/// What tells a Contact from others: phones behind two routers may have the same address within.
fn address_of(contact: &Uri) -> Option<String> {
    let host = contact.sip_host()?.to_string().to_ascii_lowercase();
    let user = contact.user_decoded().unwrap_or_default();
    let port = contact.port.unwrap_or(5060);
    let transport = contact.params.get("transport").unwrap_or("udp");
    let transport = transport.to_ascii_lowercase();
    Some(format!("{transport}:{user}@{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip_core::{Path, Transport};

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
        assert_eq!(location.clear(&aor(), "c1", 7), Err(Refusal::OutOfOrder));
        assert_eq!(location.bindings(now, &aor()).len(), 1);
        assert_eq!(location.clear(&aor(), "c1", 8), Ok(()));
        assert_eq!((location.len(), location.deadline()), (0, None));
    }

    #[test]
    fn a_register_is_obeyed_whole_or_not_at_all() {
        let now = Instant::now();
        let mut location = Location::default();
        let first = update("sip:alice@192.0.2.1", None, 60, 7);
        assert_eq!(location.update(now, &aor(), first), Ok(()));
        let both = vec![
            update("sip:alice@192.0.2.2", None, 60, 7),
            update("sip:alice@192.0.2.1", None, 60, 7),
        ];
        assert_eq!(
            location.update_all(now, &aor(), both),
            Err(Refusal::OutOfOrder)
        );
        assert_eq!(location.len(), 1);
        let again = vec![
            update("sip:alice@192.0.2.2", None, 60, 8),
            update("sip:alice@192.0.2.2", None, 60, 8),
        ];
        assert_eq!(location.update_all(now, &aor(), again), Ok(()));
        assert_eq!(location.len(), 2, "the same Contact twice is one binding");
    }

    #[test]
    fn the_way_of_a_registration_is_found_by_its_contact_until_it_ends() {
        let now = Instant::now();
        let mut location = Location::default();
        let contact = Uri::parse("sip:alice@10.0.0.7:5062").expect("a URI");
        let wanted = update("sip:alice@10.0.0.7:5062", None, 60, 1);
        let inbound = wanted.inbound;
        assert_eq!(location.update(now, &aor(), wanted), Ok(()));
        assert_eq!(location.way_to(&contact), Some(inbound));
        location.expire(now + Duration::from_secs(59));
        assert_eq!(location.way_to(&contact), Some(inbound));
        location.expire(now + Duration::from_secs(60));
        assert_eq!(location.way_to(&contact), None);
        let wanted = update("sip:alice@10.0.0.7:5062", None, 60, 2);
        assert_eq!(location.update(now, &aor(), wanted), Ok(()));
        location.forget_flow(FlowId(1));
        assert_eq!((location.way_to(&contact), location.len()), (None, 1));
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
