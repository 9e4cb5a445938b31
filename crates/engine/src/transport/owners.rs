//! Who takes what: keys of dialogs and registrations, and of requests that are not in one yet.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use model::AccountId;
use ractor::ActorId;
use sip_core::dispatch::{OwnerKey, ServerKey};
use sip_core::stateless::StatusLine;
use sip_message::{HeaderName, Method, Request, StatusCode};

use super::guard::Standing;
use super::{Delivery, Owner, TransportState};
use crate::wake::now;

/// How long the key of a handled request is remembered: 64·T1, after which no repeat can come.
const KEY_LIFE: Duration = Duration::from_secs(33);
/// Requests remembered at a time. What cannot be remembered is not begun: its repeats would each
/// begin a call of their own.
const MOST: usize = 16_384;
/// Those of them that are not from servers of ours.
const MOST_OF_OTHERS: usize = 12_288;
/// Those of one source that is no server of ours.
const MOST_OF_ONE: usize = 2_048;
/// Those whose owners are being started.
const MOST_STARTING: usize = 512;
/// Messages kept for an owner that is being started.
const PENDING_PER_OWNER: usize = 8;

/// Who handles a request that is not in a dialog yet.
pub(super) enum Handler {
    Owner(Owner),
    /// The owner is being started; what comes meanwhile is kept for it.
    Starting(Vec<Delivery>),
    /// Nobody takes it; its repeats hear the same.
    Refused(StatusLine),
}

/// Requests outside any dialog that began something, by the keys that their repeats, their CANCEL and
/// the ACK of their refusal carry.
#[derive(Default)]
pub(super) struct Requests {
    known: HashMap<ServerKey, Known>,
    order: VecDeque<(Instant, ServerKey)>,
    of_source: HashMap<IpAddr, usize>,
    of_others: usize,
    starting: usize,
    /// What a request keeps when it comes by another way.
    same: HashMap<Same, ServerKey>,
}

struct Known {
    handler: Handler,
    source: IpAddr,
    is_server: bool,
    same: Option<Same>,
}

/// What stays the same of a request that forks and comes here twice (RFC 3261 §8.2.2.2). Each account
/// is a user agent of its own: two of them may be called by one forked INVITE.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Same {
    account: AccountId,
    call_id: String,
    from_tag: String,
    number: u32,
    method: Method,
}

impl Same {
    fn of(request: &Request, account: &AccountId) -> Option<Self> {
        let cseq = request.headers.cseq().ok()?;
        Some(Self {
            account: account.clone(),
            call_id: request.headers.get(HeaderName::CallId)?.to_owned(),
            from_tag: request.headers.from().ok()?.tag()?.to_owned(),
            number: cseq.number,
            method: cseq.method,
        })
    }
}

impl Requests {
    pub(super) fn handler(&self, key: &ServerKey) -> Option<&Handler> {
        self.known.get(key).map(|known| &known.handler)
    }

    /// Keeps a delivery for an owner that is being started. `None` takes it, else it comes back.
    pub(super) fn keep(&mut self, key: &ServerKey, delivery: Delivery) -> Option<Delivery> {
        let Some(Known {
            handler: Handler::Starting(kept),
            ..
        }) = self.known.get_mut(key)
        else {
            return Some(delivery);
        };
        if kept.len() < PENDING_PER_OWNER {
            kept.push(delivery);
        }
        None
    }

    /// Whether another copy of this request, which came by another way, is at this account already.
    pub(super) fn is_merged(&self, request: &Request, account: &AccountId) -> bool {
        Same::of(request, account).is_some_and(|same| self.same.contains_key(&same))
    }

    /// Remembers that something begins. `false` when as much is remembered as may be.
    pub(super) fn begin(
        &mut self,
        key: ServerKey,
        request: &Request,
        account: &AccountId,
        (source, standing): (IpAddr, Standing),
        at: Instant,
    ) -> bool {
        let is_server = standing == Standing::Server;
        let of_one = self.of_source.get(&source).copied().unwrap_or(0);
        let others_are_many =
            !is_server && (self.of_others >= MOST_OF_OTHERS || of_one >= MOST_OF_ONE);
        if self.known.len() >= MOST || self.starting >= MOST_STARTING || others_are_many {
            return false;
        }
        let same = Same::of(request, account);
        let handler = Handler::Starting(Vec::new());
        self.insert(key, handler, (source, is_server), same, at);
        true
    }

    /// Remembers who refused it, so that its repeats hear the same; only when there is room.
    pub(super) fn refuse_at_once(
        &mut self,
        key: ServerKey,
        status: StatusCode,
        (source, standing): (IpAddr, Standing),
        at: Instant,
    ) {
        let of_one = self.of_source.get(&source).copied().unwrap_or(0);
        if self.known.len() < MOST && self.of_others < MOST_OF_OTHERS && of_one < MOST_OF_ONE {
            let is_server = standing == Standing::Server;
            let handler = Handler::Refused(status.into());
            self.insert(key, handler, (source, is_server), None, at);
        }
    }

    /// The owner is there: what came meanwhile is for it.
    pub(super) fn claim(&mut self, key: ServerKey, owner: Owner) -> Vec<Delivery> {
        let Some(known) = self.known.get_mut(&key) else {
            // Its start took longer than repeats are waited for.
            let nowhere = (std::net::Ipv4Addr::UNSPECIFIED.into(), true);
            self.insert(key, Handler::Owner(owner), nowhere, None, now());
            return Vec::new();
        };
        match std::mem::replace(&mut known.handler, Handler::Owner(owner)) {
            Handler::Starting(kept) => {
                self.starting -= 1;
                kept
            }
            Handler::Owner(_) | Handler::Refused(_) => Vec::new(),
        }
    }

    /// Nobody takes it after all.
    pub(super) fn refuse(&mut self, key: &ServerKey, line: impl Into<StatusLine>) {
        let Some(known) = self.known.get_mut(key) else {
            return;
        };
        if let Handler::Starting(_) =
            std::mem::replace(&mut known.handler, Handler::Refused(line.into()))
        {
            self.starting -= 1;
        }
        // RFC 3261 §8.2.2.2 is about what goes on.
        if let Some(same) = known.same.take() {
            self.same.remove(&same);
        }
    }

    pub(super) fn release(&mut self, owner: ActorId) {
        let is_its = |known: &Known| matches!(&known.handler, Handler::Owner(o) if o.id == owner);
        let its = self.known.iter().filter(|(_, known)| is_its(known));
        let keys: Vec<ServerKey> = its.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.remove(key));
    }

    /// A request whose owner is in a dialog by now is found by that; one that never got an owner is
    /// forgotten when its repeats must have ended.
    pub(super) fn forget_old(&mut self, at: Instant) {
        while let Some((since, _)) = self.order.front() {
            if at.saturating_duration_since(*since) < KEY_LIFE {
                break;
            }
            let Some((since, key)) = self.order.pop_front() else {
                break;
            };
            match self.handler(&key) {
                // A phone may ring for minutes, and CANCEL comes with the branch of the INVITE.
                Some(Handler::Owner(_)) => self.order.push_back((since + KEY_LIFE, key)),
                Some(Handler::Starting(_) | Handler::Refused(_)) => self.remove(&key),
                None => {}
            }
        }
    }

    fn insert(
        &mut self,
        key: ServerKey,
        handler: Handler,
        (source, is_server): (IpAddr, bool),
        same: Option<Same>,
        at: Instant,
    ) {
        self.order.push_back((at, key.clone()));
        if let Some(same) = &same {
            self.same.insert(same.clone(), key.clone());
        }
        if !is_server {
            *self.of_source.entry(source).or_default() += 1;
            self.of_others += 1;
        }
        self.starting += usize::from(matches!(handler, Handler::Starting(_)));
        let known = Known {
            handler,
            source,
            is_server,
            same,
        };
        self.known.insert(key, known);
    }

    fn remove(&mut self, key: &ServerKey) {
        let Some(known) = self.known.remove(key) else {
            return;
        };
        self.starting -= usize::from(matches!(known.handler, Handler::Starting(_)));
        if let Some(same) = &known.same {
            self.same.remove(same);
        }
        if known.is_server {
            return;
        }
        self.of_others -= 1;
        if let Some(count) = self.of_source.get_mut(&known.source) {
            *count -= 1;
            if *count == 0 {
                self.of_source.remove(&known.source);
            }
        }
    }
}

impl TransportState {
    pub(super) fn on_claim(&mut self, key: OwnerKey, server_key: Option<ServerKey>, owner: Owner) {
        if let Some(server_key) = server_key {
            self.requests
                .claim(server_key, owner.clone())
                .into_iter()
                .for_each(|delivery| owner.deliver(delivery));
        }
        let tags = self.tags_of.entry(key.call_id.clone()).or_default();
        if !tags.contains(&key.local_tag) {
            tags.push(key.local_tag.clone());
        }
        self.owners.insert(key, owner);
    }

    pub(super) fn release(&mut self, id: ActorId) {
        self.places.forget(id);
        self.let_all_go(id);
        self.requests.release(id);
        self.names.retain(|(owner, _), _| *owner != id);
        let its = self.owners.iter().filter(|(_, owner)| owner.id == id);
        let keys: Vec<OwnerKey> = its.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.disclaim(key));
    }

    /// Nobody takes what carries this key any more.
    pub(super) fn disclaim(&mut self, key: &OwnerKey) {
        self.owners.remove(key);
        if let Some(tags) = self.tags_of.get_mut(&key.call_id) {
            tags.retain(|tag| *tag != key.local_tag);
            if tags.is_empty() {
                self.tags_of.remove(&key.call_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sip_message::Message;

    use super::*;

    const SERVER: (IpAddr, Standing) = (IpAddr::V4(Ipv4Addr::LOCALHOST), Standing::Server);

    fn caller(last: u8) -> (IpAddr, Standing) {
        (Ipv4Addr::new(192, 0, 2, last).into(), Standing::Stranger)
    }

    fn invite(call: &str, branch: &str) -> (ServerKey, Request) {
        let text = format!(
            "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch}\r\n\
             From: <sip:b@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let Ok(Message::Request(request)) = Message::parse(text.as_bytes()) else {
            panic!("not a request: {text}")
        };
        (ServerKey::of(&request).expect("there is a branch"), request)
    }

    fn alice() -> AccountId {
        AccountId::new("alice")
    }

    #[test]
    fn the_table_has_room_for_servers_when_others_have_filled_their_part() {
        let start = Instant::now();
        let mut requests = Requests::default();
        let mut begin = |call: usize, source, at| {
            let (key, request) = invite(&call.to_string(), &call.to_string());
            let begun = requests.begin(key.clone(), &request, &alice(), source, at);
            if begun {
                requests.refuse(&key, StatusCode::BUSY_HERE);
            }
            begun
        };
        let mut calls = 0..;
        let mut until_full = |source, at| {
            let mut call = || calls.next().expect("numbers do not end");
            std::iter::repeat_with(|| begin(call(), source, at))
                .take_while(|begun| *begun)
                .count()
        };
        assert_eq!(until_full(caller(1), start), MOST_OF_ONE);
        let others: usize = (2..20).map(|i| until_full(caller(i), start)).sum();
        assert_eq!(others, MOST_OF_OTHERS - MOST_OF_ONE);
        assert_eq!(until_full(SERVER, start), MOST - MOST_OF_OTHERS);
        let later = start + KEY_LIFE;
        requests.forget_old(later);
        assert!(requests.known.is_empty() && requests.of_source.is_empty());
        assert_eq!((requests.of_others, requests.starting), (0, 0));
    }

    #[test]
    fn owners_that_are_being_started_are_bounded() {
        let start = Instant::now();
        let mut requests = Requests::default();
        let begun = (0..MOST_STARTING * 2)
            .filter(|call| {
                let (key, request) = invite(&call.to_string(), &call.to_string());
                requests.begin(key, &request, &alice(), SERVER, start)
            })
            .count();
        assert_eq!(begun, MOST_STARTING);
        let (first, _) = invite("0", "0");
        requests.refuse(&first, StatusCode::BUSY_HERE);
        let (key, request) = invite("more", "more");
        assert!(requests.begin(key, &request, &alice(), SERVER, start));
    }

    #[test]
    fn the_same_request_by_another_way_is_known_while_the_first_goes_on() {
        let start = Instant::now();
        let mut requests = Requests::default();
        let (key, request) = invite("call", "one");
        let (_, again) = invite("call", "two");
        let (_, other) = invite("another", "two");
        assert!(requests.begin(key.clone(), &request, &alice(), caller(1), start));
        assert!(requests.is_merged(&again, &alice()));
        assert!(!requests.is_merged(&other, &alice()));
        assert!(
            !requests.is_merged(&again, &AccountId::new("amy")),
            "two accounts may be called by one INVITE"
        );
        requests.refuse(&key, StatusCode::BUSY_HERE);
        assert!(!requests.is_merged(&again, &alice()));
    }
}
