//! The location service: who can be reached where, and for how long (RFC 3261 §10.3).
//!
//! Where everybody may register, a datagram proves nothing: its sender may be made up. A binding is
//! *proven* when it came by a connection or with a password, or when somebody at its address has
//! shown since that it gets what is sent there. Where there is no room, the dead make way first, then
//! the unproven, the oldest first; what is proven stays. When room grows short, the unproven are
//! asked whether they are there, so that those who are become proven in time.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sip_core::{FlowId, Inbound};
use sip_message::Uri;

/// Bindings of one address of record at most.
const BINDINGS: usize = 16;
/// Bindings at most.
const ALL_BINDINGS: usize = 8_192;
/// Of one source where everybody may register; then those that it has not renewed for longest go.
const BINDINGS_OF_A_SOURCE: usize = 1_024;
/// Of one source for one address of record there.
const BINDINGS_OF_A_SOURCE_AT_ONE: usize = 8;
/// So many unproven ones, and it is time to ask who is there.
const CROWD: usize = ALL_BINDINGS / 4;
/// How many of those who have waited longest are asked at a time, beside the newest.
const ASKED_AT_ONCE: usize = 2;

/// How the user part of a temporary GRUU begins.
pub(crate) const TEMPORARY: &str = "tgruu.";

/// An address of record: user and domain, the domain in lower case and without a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Masked, for a log; the wire gets what `Display` writes.
impl std::fmt::Debug for Aor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        privacy::Identity::new(self.to_string()).fmt(f)
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
    /// `reg-id` (RFC 5626 §4.2): which of several ways to the same phone it is.
    pub reg_id: Option<u32>,
    /// The proxies between the phone and us (RFC 3327), the nearest to us first.
    pub path: Vec<String>,
    /// User part of the GRUU that tells nobody who it is (RFC 5627 §3.1.2).
    pub temporary: Option<String>,
    /// When it was added or renewed.
    pub renewed: Instant,
    /// Whether somebody is known to be at the address that it came from.
    pub proven: bool,
    /// Its name here.
    id: u64,
    call_id: String,
    cseq: u32,
}

impl Binding {
    /// Whether this is the phone that a `gr` parameter names (RFC 5627 §5.1).
    pub fn has_instance(&self, gr: &str) -> bool {
        let instance = self.instance.as_deref().map(bare);
        instance.is_some_and(|instance| instance.eq_ignore_ascii_case(gr))
    }
}

/// An instance without its brackets: `urn:uuid:…`.
pub(crate) fn bare(instance: &str) -> &str {
    instance.trim_start_matches('<').trim_end_matches('>')
}

/// What a REGISTER wants to do to one binding.
#[derive(Clone, Debug)]
pub struct Update {
    /// The Contact.
    pub contact: Uri,
    /// `+sip.instance`.
    pub instance: Option<String>,
    /// `reg-id`, where the phone keeps several ways (RFC 5626 §6).
    pub reg_id: Option<u32>,
    /// Path, as sent.
    pub path: Vec<String>,
    /// User part of the temporary GRUU that it is given.
    pub temporary: Option<String>,
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
    /// Whether its sender is known to be at the address that it came from.
    pub proven: bool,
}

/// Somebody who is to be asked whether it is there.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) id: u64,
    pub(crate) contact: Uri,
    pub(crate) path: Vec<String>,
    pub(crate) inbound: Inbound,
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
#[derive(Default)]
pub struct Location {
    /// By user, then by domain: those who dial a name at our own address do not know its domain.
    records: HashMap<String, HashMap<String, Vec<Binding>>>,
    /// By the address that the Contact says, who registered it and by which way: that way leads
    /// through routers that the Contact knows nothing of. The one who came first stands first; what
    /// others register later changes nothing for it.
    ways: HashMap<String, Vec<(Aor, Inbound)>>,
    /// All bindings in the order in which they make way, and those of each source.
    order: BTreeSet<Rank>,
    sources: HashMap<IpAddr, BTreeSet<Rank>>,
    /// Whose each binding is.
    by_id: HashMap<u64, Aor>,
    last_id: u64,
    /// How many are unproven, and which of those have not been asked whether they are there.
    unproven: usize,
    unasked: BTreeSet<u64>,
    /// Who is to be asked now.
    asks: Vec<u64>,
    /// Whether anybody may register anything, so that nobody may take all the room.
    open: bool,
    /// Bindings that made room for others.
    evicted: u64,
    /// Whose bindings have changed since it was last asked.
    changed: Vec<Aor>,
    /// No binding ends earlier.
    next_end: Option<Instant>,
}

/// What makes way first stands first: how well it is known, how long ago it was renewed, and its name.
type Rank = (Standing, Instant, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// The way to it is gone.
    Dead,
    Unproven,
    Proven,
}

impl Binding {
    fn standing(&self) -> Standing {
        match (self.alive, self.proven) {
            (false, _) => Standing::Dead,
            (true, false) => Standing::Unproven,
            (true, true) => Standing::Proven,
        }
    }

    fn rank(&self) -> Rank {
        (self.standing(), self.renewed, self.id)
    }

    fn source(&self) -> IpAddr {
        self.inbound.path.remote.ip()
    }
}

impl Location {
    /// A table for a house where everybody may register: one source gets a part of it at most.
    pub fn open() -> Self {
        Self {
            open: true,
            ..Self::default()
        }
    }

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
        let first_new = self.last_id + 1;
        let mut pushed_out = 0;
        for update in updates {
            let old = before.iter().find(|b| is_same_phone(b, &update));
            if old.is_some_and(|old| old.call_id == update.call_id && update.cseq <= old.cseq) {
                return Err(Refusal::OutOfOrder);
            }
            self.last_id += 1;
            pushed_out += apply(now, &mut after, update, self.open, self.last_id)?;
        }
        let more = after.len().saturating_sub(before.len());
        if let Some(newest) = after.last().filter(|_| more > 0) {
            self.make_room(aor, newest.source(), more)?;
        }
        self.evicted = self.evicted.saturating_add(pushed_out);
        self.replace(aor, before, after);
        if self.unproven >= CROWD || pushed_out > 0 {
            let oldest = self.unasked.iter().take(ASKED_AT_ONCE);
            let newest = self.unasked.range(first_new..);
            self.asks.extend(oldest.chain(newest).copied());
        }
        Ok(())
    }

    /// Who is to be asked whether it is there, each once.
    pub(crate) fn take_asks(&mut self) -> Vec<Ask> {
        let mut asks = Vec::new();
        for id in std::mem::take(&mut self.asks) {
            if self.unasked.remove(&id)
                && let Some(binding) = self.of_id(id)
            {
                asks.push(Ask {
                    id,
                    contact: binding.contact.clone(),
                    path: binding.path.clone(),
                    inbound: binding.inbound,
                });
            }
        }
        asks
    }

    /// The way by which somebody came who was asked under this name.
    pub(crate) fn asked(&self, id: u64) -> Option<Inbound> {
        self.of_id(id).map(|binding| binding.inbound)
    }

    /// Somebody at this address has shown that it gets what is sent there.
    pub fn prove(&mut self, source: IpAddr) {
        let ranks = self.sources.get(&source).into_iter().flatten();
        let unproven = ranks.filter(|(standing, ..)| *standing == Standing::Unproven);
        let ids: Vec<u64> = unproven.map(|(_, _, id)| *id).collect();
        for id in ids {
            let Some(aor) = self.by_id.get(&id).cloned() else {
                continue;
            };
            self.change(&aor, |binding| binding.proven |= binding.id == id);
        }
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
        let ended = self
            .each()
            .filter(|(_, _, bindings)| bindings.iter().any(|b| b.alive && b.inbound.flow == flow));
        let ended: Vec<Aor> = ended
            .map(|(user, domain, _)| aor_of(user, domain))
            .collect();
        for aor in ended {
            self.change(&aor, |binding| {
                binding.alive &= binding.inbound.flow != flow;
            });
        }
        self.ways.retain(|_, ways| {
            ways.retain(|(_, inbound)| inbound.flow != flow);
            !ways.is_empty()
        });
    }

    /// The bindings of an address, the most wanted first.
    pub fn bindings(&mut self, now: Instant, aor: &Aor) -> Vec<Binding> {
        self.expire(now);
        let mut found = self.record(aor).unwrap_or_default().to_vec();
        found.sort_by_key(|b| std::cmp::Reverse(b.q));
        found
    }

    /// Who has this temporary GRUU, and the phone that it means.
    pub fn of_temporary(&mut self, now: Instant, uri: &Uri) -> Option<(Aor, Vec<Binding>)> {
        let user = uri.user.as_deref().filter(|_| uri.params.has("gr"))?;
        if !user.starts_with(TEMPORARY) {
            return None;
        }
        self.expire(now);
        let has = |b: &&Binding| b.temporary.as_deref() == Some(user);
        self.each().find_map(|(name, domain, bindings)| {
            let found: Vec<Binding> = bindings.iter().filter(has).cloned().collect();
            (!found.is_empty()).then(|| (aor_of(name, domain), found))
        })
    }

    /// The only address of record with this user part, whatever its domain: for those who dial a
    /// name at the switchboard's own address.
    pub fn only_of_user(&mut self, now: Instant, user: &str) -> Option<Aor> {
        self.expire(now);
        let mut domains = self.records.get(user).into_iter().flat_map(HashMap::keys);
        match (domains.next().cloned(), domains.next()) {
            (Some(domain), None) => {
                let user = user.to_owned();
                Some(Aor { user, domain })
            }
            _ => None,
        }
    }

    /// The way by which a phone with this Contact registered: that of the first, and before it of one
    /// that came from the very address that the Contact says. What others register later under the
    /// same Contact does not lead its calls away.
    pub fn way_to(&self, contact: &Uri) -> Option<&(Aor, Inbound)> {
        let ways = self.ways.get(&address_of(contact)?)?;
        let host = contact.sip_host()?.ip();
        let at_home = |way: &&(Aor, Inbound)| Some(way.1.path.remote.ip()) == host;
        ways.iter().find(at_home).or_else(|| ways.first())
    }

    /// The way by which this Contact is registered by somebody who is `wanted`.
    pub fn way_of(&self, contact: &Uri, wanted: impl Fn(&Aor) -> bool) -> Option<Inbound> {
        let ways = self.ways.get(&address_of(contact)?)?;
        let way = ways.iter().find(|(aor, _)| wanted(aor))?;
        Some(way.1)
    }

    /// Whether this address of record has a binding that came by this very way.
    pub fn is_from(&self, aor: &Aor, inbound: &Inbound) -> bool {
        let bindings = self.record(aor).unwrap_or_default();
        bindings
            .iter()
            .any(|b| b.inbound.flow == inbound.flow && b.inbound.path.remote == inbound.path.remote)
    }

    /// Whether anybody is registered from this very address.
    pub fn knows_source(&self, ip: IpAddr) -> bool {
        self.sources.contains_key(&ip)
    }

    /// The bindings of an address as they stand.
    pub fn record_of(&self, aor: &Aor) -> &[Binding] {
        self.record(aor).unwrap_or_default()
    }

    /// Whose bindings have changed since this was last asked.
    pub fn take_changed(&mut self) -> Vec<Aor> {
        std::mem::take(&mut self.changed)
    }

    /// How many bindings made room for others since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted
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
        let ended: Vec<Aor> = self
            .each()
            .filter(|(_, _, bindings)| bindings.iter().any(|b| b.expires <= now))
            .map(|(user, domain, _)| aor_of(user, domain))
            .collect();
        for aor in ended {
            self.keep(&aor, |binding| binding.expires > now);
        }
        self.next_end = self.all().map(|b| b.expires).min();
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nobody can be reached.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Binding> {
        self.each().flat_map(|(_, _, bindings)| bindings)
    }

    fn each(&self) -> impl Iterator<Item = (&String, &String, &Vec<Binding>)> {
        self.records.iter().flat_map(|(user, domains)| {
            let domains = domains.iter();
            domains.map(move |(domain, bindings)| (user, domain, bindings))
        })
    }

    /// Removes the bindings of an address of record that are not to be kept.
    fn keep(&mut self, aor: &Aor, wanted: impl Fn(&Binding) -> bool) {
        let before = self.record(aor).unwrap_or_default().to_vec();
        let after = before.iter().filter(|b| wanted(b)).cloned().collect();
        self.replace(aor, before, after);
    }

    /// Room for `more` bindings of a source: what nobody can be reached by any more goes first, then
    /// what nobody is known to be at, then what the same source has not renewed for longest. No other
    /// source's proven binding ever goes, and nothing of what is being registered right now.
    fn make_room(&mut self, aor: &Aor, source: IpAddr, more: usize) -> Result<(), Refusal> {
        loop {
            let own = self.sources.get(&source);
            let own_full = self.open && own.map_or(0, BTreeSet::len) + more > BINDINGS_OF_A_SOURCE;
            if !own_full && self.order.len() + more <= ALL_BINDINGS {
                return Ok(());
            }
            let others = self.order.iter().filter(|_| !own_full);
            let others = others.take_while(|(standing, ..)| *standing < Standing::Proven);
            let own = own.into_iter().flatten().filter(|_| self.open);
            let mut whose = others
                .chain(own)
                .filter_map(|(_, _, id)| Some((*id, self.by_id.get(id)?)));
            let found = whose.find(|(_, whose)| *whose != aor);
            let Some((id, whose)) = found.map(|(id, whose)| (id, whose.clone())) else {
                return Err(Refusal::Full);
            };
            self.keep(&whose, |binding| binding.id != id);
            self.evicted = self.evicted.saturating_add(1);
        }
    }

    fn of_id(&self, id: u64) -> Option<&Binding> {
        let bindings = self.record(self.by_id.get(&id)?)?;
        bindings.iter().find(|binding| binding.id == id)
    }

    /// Changes how well the bindings of an address of record are known.
    fn change(&mut self, aor: &Aor, change: impl Fn(&mut Binding)) {
        let bindings = self
            .records
            .get_mut(&aor.user)
            .and_then(|domains| domains.get_mut(&aor.domain));
        let Some(bindings) = bindings else { return };
        let before = bindings.clone();
        bindings.iter_mut().for_each(change);
        let after = bindings.clone();
        for binding in &before {
            self.unfile(binding);
        }
        for binding in &after {
            self.file(aor, binding);
            if binding.standing() != Standing::Unproven {
                self.unasked.remove(&binding.id);
            }
        }
    }

    fn file(&mut self, aor: &Aor, binding: &Binding) {
        let rank = binding.rank();
        self.order.insert(rank);
        self.sources
            .entry(binding.source())
            .or_default()
            .insert(rank);
        self.by_id.insert(binding.id, aor.clone());
        if binding.standing() == Standing::Unproven {
            self.unproven += 1;
        }
    }

    fn unfile(&mut self, binding: &Binding) {
        let rank = binding.rank();
        self.order.remove(&rank);
        if let Some(ranks) = self.sources.get_mut(&binding.source()) {
            ranks.remove(&rank);
            if ranks.is_empty() {
                self.sources.remove(&binding.source());
            }
        }
        self.by_id.remove(&binding.id);
        if binding.standing() == Standing::Unproven {
            self.unproven -= 1;
        }
    }

    fn record(&self, aor: &Aor) -> Option<&[Binding]> {
        let bindings = self.records.get(&aor.user)?.get(&aor.domain)?;
        Some(bindings.as_slice())
    }

    fn replace(&mut self, aor: &Aor, before: Vec<Binding>, after: Vec<Binding>) {
        self.changed.push(aor.clone());
        for binding in &before {
            self.unfile(binding);
            if !after.iter().any(|b| b.id == binding.id) {
                self.unasked.remove(&binding.id);
            }
        }
        for binding in &after {
            self.file(aor, binding);
            let known = before.iter().any(|b| b.id == binding.id);
            if binding.standing() == Standing::Unproven && !known {
                self.unasked.insert(binding.id);
            }
        }
        self.replace_ways(aor, &before, &after);
        for binding in &after {
            let end = self
                .next_end
                .map_or(binding.expires, |end| end.min(binding.expires));
            self.next_end = Some(end);
        }
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

    /// Who renews keeps its place.
    fn replace_ways(&mut self, aor: &Aor, before: &[Binding], after: &[Binding]) {
        let address = |binding: &Binding| address_of(&binding.contact);
        let new: HashMap<String, Inbound> = after
            .iter()
            .filter(|b| b.alive)
            .filter_map(|b| Some((address(b)?, b.inbound)))
            .collect();
        for gone in before.iter().filter_map(address) {
            if let Some(ways) = self
                .ways
                .get_mut(&gone)
                .filter(|_| !new.contains_key(&gone))
            {
                ways.retain(|(whose, _)| whose != aor);
                if ways.is_empty() {
                    self.ways.remove(&gone);
                }
            }
        }
        for (address, inbound) in new {
            let ways = self.ways.entry(address).or_default();
            match ways.iter_mut().find(|(whose, _)| whose == aor) {
                Some(way) => way.1 = inbound,
                None => ways.push((aor.clone(), inbound)),
            }
        }
    }
}

/// Does to the bindings of one address of record what is wanted; how many were pushed out for it that
/// nobody is known to be at.
fn apply(
    now: Instant,
    bindings: &mut Vec<Binding>,
    update: Update,
    open: bool,
    id: u64,
) -> Result<u64, Refusal> {
    let place = bindings.iter().position(|b| is_same_phone(b, &update));
    let old = place.map(|place| bindings.remove(place));
    if update.expires.is_zero() {
        return Ok(0);
    }
    let mut pushed_out = 0;
    let source = |b: &&Binding| b.source() == update.inbound.path.remote.ip();
    let own = bindings.iter().filter(source).count();
    if bindings.len() >= BINDINGS || (open && own >= BINDINGS_OF_A_SOURCE_AT_ONE) {
        // A phone that is started again and again leaves its old addresses behind.
        let dead = bindings.iter().position(|b| !b.alive);
        let oldest = bindings.iter().filter(source).map(|b| b.renewed).min();
        let own = bindings
            .iter()
            .position(|b| open && source(&b) && Some(b.renewed) == oldest && b.renewed < now);
        let others = bindings.iter().enumerate();
        let unproven = others
            .filter(|(_, b)| open && !b.proven && b.renewed < now && bindings.len() >= BINDINGS)
            .min_by_key(|(_, b)| b.rank())
            .map(|(at, _)| at);
        pushed_out = u64::from(dead.is_none() && own.is_none() && unproven.is_some());
        bindings.remove(dead.or(own).or(unproven).ok_or(Refusal::Full)?);
    }
    // Who renews from where it was known to be is still known there.
    let still = old.filter(|old| old.inbound.path.remote == update.inbound.path.remote);
    bindings.push(Binding {
        contact: update.contact,
        instance: update.instance,
        inbound: update.inbound,
        alive: true,
        q: update.q,
        expires: now + update.expires,
        reg_id: update.reg_id,
        path: update.path,
        temporary: update.temporary,
        renewed: now,
        proven: update.proven || still.as_ref().is_some_and(|old| old.proven),
        id,
        call_id: update.call_id,
        cseq: update.cseq,
    });
    Ok(pushed_out)
}

/// Whether an update is about this binding: with `reg-id` the instance and the number tell (RFC 5626
/// §6), with an instance alone the instance, else the Contact (RFC 3261 §10.3 step 7).
fn is_same_phone(binding: &Binding, update: &Update) -> bool {
    match (&binding.instance, &update.instance) {
        (Some(old), Some(new)) if binding.reg_id.is_some() || update.reg_id.is_some() => {
            old == new && binding.reg_id == update.reg_id
        }
        (Some(old), Some(new)) => old == new,
        _ => binding.contact.equivalent(&update.contact),
    }
}

fn aor_of(user: &str, domain: &str) -> Aor {
    Aor {
        user: user.to_owned(),
        domain: domain.to_owned(),
    }
}

/// What tells a Contact from others: phones behind two routers may have the same address within.
pub(crate) fn address_of(contact: &Uri) -> Option<String> {
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
            reg_id: None,
            path: Vec::new(),
            temporary: None,
            inbound: Inbound {
                flow: FlowId(1),
                path,
            },
            q: 1000,
            expires: Duration::from_secs(expires_s),
            call_id: "c1".to_owned(),
            cseq,
            proven: true,
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
        assert_eq!(location.way_to(&contact), Some(&(aor(), inbound)));
        location.expire(now + Duration::from_secs(59));
        assert_eq!(location.way_to(&contact), Some(&(aor(), inbound)));
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
