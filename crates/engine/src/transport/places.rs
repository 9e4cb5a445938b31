//! Where the servers of each account are, which of them it uses, and which of them rest.
//!
//! What one account of a tenant finds dead, the others need not wait for: the rests are shared. The
//! server that took an account's registration takes its calls first, because a proxy that never saw
//! the registration may not know where to send what comes back.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use model::{AccountId, TargetState, TargetView, Timestamp};
use ractor::ActorId;
use sip_core::Path;
use sip_core::locate::{self, RestTimes, Server, Target, TargetStatus, Targets, Tried};
use sip_message::StatusCode;

use super::{Delivery, Owner};

/// How often an account may leave a server that works for a better one at most; doubled each time
/// that it was in vain.
const BACK_EVERY: Duration = Duration::from_secs(30);
/// The longest wait between two such tries.
const BACK_AT_LEAST_EVERY: Duration = Duration::from_secs(600);
/// A wall clock that is further off than this was set.
const CLOCK_WAS_SET: Duration = Duration::from_secs(1);

/// The servers of one tenant.
pub(super) struct Places {
    targets: Targets,
    accounts: HashMap<AccountId, Place>,
    /// An instant and what the wall clock showed then.
    anchor: Option<(Instant, Timestamp)>,
}

/// The servers of one account.
struct Place {
    owner: Owner,
    /// In the domain's order.
    found: Vec<Target>,
    /// The one that holds the registration.
    home: Option<Server>,
    /// Before this nothing better is tried again.
    not_back_before: Option<Instant>,
    back_wait: Duration,
}

impl Places {
    pub(super) fn new(rests: RestTimes) -> Self {
        Self {
            targets: Targets::new(rests),
            accounts: HashMap::new(),
            anchor: None,
        }
    }

    /// The targets to try for whoever asks, best first. What a registration finds is its account's
    /// list from now on.
    pub(super) fn on_found(
        &mut self,
        now: Instant,
        owner: &Owner,
        found: Vec<Target>,
    ) -> Vec<Target> {
        let home = self.accounts.get(&owner.account).and_then(|p| p.home);
        if !owner.registers {
            return self.targets.in_order(now, &found, home);
        }
        let place = self.place(owner);
        place.found.clone_from(&found);
        self.publish(now, &owner.account);
        // A registration that goes back goes by the domain's order; any other stays by itself.
        self.targets.in_order(now, &found, None)
    }

    /// A request failed at a server.
    pub(super) fn on_tried(&mut self, now: Instant, tried: &Tried) {
        let server = Server::from(&tried.path);
        if self.targets.failed(now, server, &tried.fault) {
            self.publish_all_with(now, server);
        }
    }

    /// Whoever is there has answered a request of ours, and not with 503. Tells whether a server is back by that.
    pub(super) fn on_answered(&mut self, now: Instant, path: &Path, status: StatusCode) -> bool {
        let server = Server::from(path);
        // A phone that was called by its address is no server of anybody's.
        let is_named = self.accounts.values().any(|place| place.names(server));
        let is_news = is_named && self.targets.answered(now, server, status);
        if is_news {
            self.publish_all_with(now, server);
        }
        is_news
    }

    /// Whoever is there has answered a request of ours, and no REGISTER, with 503 and a Retry-After: it rests where
    /// another server can be asked instead (RFC 3261 §21.5.4). Tells whether that is news.
    pub(super) fn on_paused(&mut self, now: Instant, path: &Path, retry_after: Duration) -> bool {
        // By TCP for the size of one request it is the same server.
        let is_it = |target: &&Target| target.addr == path.remote;
        let replaceable = self.accounts.values().filter(|place| {
            let mut others = place.found.iter().filter(|target| !is_it(target));
            others.next().is_some()
        });
        let found = replaceable.flat_map(|place| place.found.iter().filter(is_it));
        let servers: HashSet<Server> = found.map(Target::server).collect();
        let mut is_news = false;
        for server in servers {
            if self.targets.paused(now, server, retry_after) {
                self.publish_all_with(now, server);
                is_news = true;
            }
        }
        is_news
    }

    /// A server holds an account's registration, or none does any more.
    pub(super) fn on_home(&mut self, now: Instant, owner: &Owner, path: Option<Path>) {
        let home = path.as_ref().map(Server::from);
        let revived = home.filter(|server| self.targets.worked(now, *server));
        let place = self.place(owner);
        if place.home != home {
            place.home = home;
            place.back_wait = BACK_EVERY;
        }
        match revived {
            Some(server) => self.publish_all_with(now, server),
            None => self.publish(now, &owner.account),
        }
    }

    pub(super) fn forget(&mut self, owner: ActorId) {
        self.accounts.retain(|_, place| place.owner.id != owner);
    }

    /// Sends back those accounts for which a better server can be tried, and shows the ends of
    /// rests.
    pub(super) fn on_wake(&mut self, now: Instant) {
        let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
        for account in accounts {
            self.publish(now, &account);
            let targets = &self.targets;
            if let Some(place) = self.accounts.get_mut(&account)
                && place.back_at(now, targets).is_some_and(|at| at <= now)
            {
                place.not_back_before = now.checked_add(place.back_wait);
                place.back_wait = place.back_wait.saturating_mul(2).min(BACK_AT_LEAST_EVERY);
                place.owner.deliver(Delivery::BetterServer);
            }
        }
    }

    /// When to call [`Self::on_wake`].
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.accounts
            .values()
            .flat_map(|place| {
                [
                    place.back_at(now, &self.targets),
                    self.targets.next_awake(now, &place.found),
                ]
            })
            .flatten()
            .min()
    }

    fn place(&mut self, owner: &Owner) -> &mut Place {
        let place = self
            .accounts
            .entry(owner.account.clone())
            .or_insert_with(|| Place {
                owner: owner.clone(),
                found: Vec::new(),
                home: None,
                not_back_before: None,
                back_wait: BACK_EVERY,
            });
        place.owner = owner.clone();
        place
    }

    /// The wall clock at `now`, with the same answer for the same instant unless the clock was set:
    /// what has not changed is no news.
    fn wall(&mut self, now: Instant) -> Timestamp {
        let clock = crate::wall();
        let (at, wall) = self.anchor.unwrap_or((now, clock));
        let expected = crate::after(wall, now.saturating_duration_since(at));
        let drift = clock.since(expected).max(expected.since(clock));
        let anchor = if drift > CLOCK_WAS_SET {
            (now, clock)
        } else {
            (at, wall)
        };
        self.anchor = Some(anchor);
        let (at, wall) = anchor;
        crate::after(wall, now.saturating_duration_since(at))
    }

    fn publish_all_with(&mut self, now: Instant, server: Server) {
        let accounts: Vec<AccountId> = self
            .accounts
            .iter()
            .filter(|(_, place)| place.names(server))
            .map(|(account, _)| account.clone())
            .collect();
        for account in accounts {
            self.publish(now, &account);
        }
    }

    fn publish(&mut self, now: Instant, account: &AccountId) {
        let wall = self.wall(now);
        let Some(place) = self.accounts.get(account) else {
            return;
        };
        let listing = self.targets.listing(now, &place.found, place.home);
        place.owner.deliver(Delivery::Targets {
            views: listing.iter().map(|line| view(line, now, wall)).collect(),
            servers: listing.iter().map(|line| line.target.addr).collect(),
        });
    }
}

impl Place {
    /// Whether the account's domain leads to this server.
    fn names(&self, server: Server) -> bool {
        self.found.iter().any(|target| target.server() == server)
    }

    /// When a better server than the present one is to be tried.
    fn back_at(&self, now: Instant, targets: &Targets) -> Option<Instant> {
        let better = targets.better_at(now, &self.found, self.home?)?;
        Some(self.not_back_before.map_or(better, |at| at.max(better)))
    }
}

fn view(line: &TargetStatus, now: Instant, wall: Timestamp) -> TargetView {
    let target = &line.target;
    let (state, until) = match line.state {
        locate::TargetState::Untried => (TargetState::Untried, None),
        locate::TargetState::InUse => (TargetState::InUse, None),
        locate::TargetState::Working => (TargetState::Working, None),
        locate::TargetState::Resting { until } => (TargetState::Resting, Some(until)),
    };
    TargetView {
        address: target.server().to_string(),
        host: target.host.clone(),
        priority: target.priority,
        weight: target.weight,
        state,
        since: line
            .since
            .map(|since| crate::before(wall, now.saturating_duration_since(since))),
        until: until.map(|until| crate::after(wall, until.saturating_duration_since(now))),
        reason: line.why.as_ref().map(|why| why.to_string().into()),
    }
}
