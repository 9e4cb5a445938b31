//! One request, and what it has shown to whom.

use std::net::SocketAddr;

use sip_message::Request;

use super::{AuthError, Challenge, Session, home};

/// How often one realm may say `stale` for one request.
const MOST_STALE: u8 = 3;

/// The state of one logical request through its challenges. Each request has its own, so that a
/// refusal of one says nothing about another (a 407 to SUBSCRIBE does not log the account out).
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    pub(super) rounds: u8,
    attempts: Vec<Attempt>,
    /// Where the request went last.
    pub(super) peer: Option<SocketAddr>,
    /// The hosts that it names as its next hop and, where nobody but the next hop is on the way
    /// there, as its end.
    pub(super) hosts: Hosts,
    /// The realm whose login a person was waited for, so that its nonce may have expired meanwhile.
    waited: Option<String>,
    /// Whether nobody can read along there.
    pub(super) secure: bool,
    /// Who was shown a token.
    pub(super) shown: Vec<(bool, String)>,
}

/// Where a request says that it goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    pub(super) next_hop: String,
    /// The host of its URI, unless a Route leads by others still.
    pub(super) end: Option<String>,
}

/// What this request showed to one realm.
#[derive(Clone, Debug)]
struct Attempt {
    proxy: bool,
    realm: String,
    /// The nonce of the credentials last sent.
    nonce: String,
    /// Whether the nonce was handed out for this very request. If not, a refusal may merely mean
    /// that it has expired, also from servers that never say `stale`.
    fresh: bool,
    stale: u8,
}

impl Hosts {
    pub(super) fn of(request: &Request) -> Self {
        let routes = request.headers.routes().unwrap_or_default();
        let next_hop = routes.first().map_or(&request.uri, |route| &route.uri);
        Self {
            next_hop: home::host_of(next_hop),
            end: (routes.len() <= 1).then(|| home::host_of(&request.uri)),
        }
    }
}

impl Exchange {
    /// Says where the request goes, before it is authorized for that: a challenge comes from there.
    pub fn goes_to(&mut self, peer: SocketAddr) {
        self.peer = Some(peer);
    }

    /// Says whether nobody can read along there; without that no token is shown.
    pub fn set_secure(&mut self, secure: bool) {
        self.secure = secure;
    }

    /// A person has given another login for this realm: what was shown to it before counts no more.
    pub fn forgive(&mut self, realm: &str) {
        self.attempts.retain(|attempt| attempt.realm != realm);
        self.rounds = 0;
        self.waited = Some(realm.to_owned());
    }

    /// Whether another try for this challenge can help.
    pub(super) fn check(&mut self, challenge: &Challenge) -> Result<(), AuthError> {
        let realm = challenge.realm.clone();
        let Some(attempt) = self.attempt(challenge) else {
            return Ok(());
        };
        if attempt.nonce == challenge.nonce {
            // The very nonce that we answered: more of the same is a loop, whether it is called stale or not.
            return Err(match challenge.stale {
                true => AuthError::Stale { realm },
                false => AuthError::Refused { realm },
            });
        }
        if challenge.stale {
            attempt.stale += 1;
            if attempt.stale > MOST_STALE {
                return Err(AuthError::Stale { realm });
            }
            return Ok(());
        }
        if attempt.fresh {
            return Err(AuthError::Refused { realm });
        }
        Ok(())
    }

    /// Realm and nonce of what was shown to a proxy, or to the server at the end, where that was one realm's alone: an
    /// Authentication-Info names no realm.
    pub(super) fn only_one_shown(&self, proxy: bool) -> Option<(&str, &str)> {
        let mut shown = self.attempts.iter().filter(|shown| shown.proxy == proxy);
        let one = shown.next()?;
        let others = shown.next().is_some();
        (!others).then_some((one.realm.as_str(), one.nonce.as_str()))
    }

    fn attempt(&mut self, challenge: &Challenge) -> Option<&mut Attempt> {
        self.attempts
            .iter_mut()
            .find(|attempt| attempt.realm == challenge.realm && attempt.proxy == challenge.proxy)
    }

    pub(super) fn sent(&mut self, session: &Session) {
        let realm = &session.challenge.realm;
        let waited = self.waited.take_if(|waited| waited == realm).is_some();
        let fresh = self.rounds > 0 && session.nonce_count == 1 && !waited;
        let nonce = session.challenge.nonce.clone();
        match self.attempt(&session.challenge) {
            Some(attempt) => {
                attempt.fresh |= fresh;
                attempt.nonce = nonce;
            }
            None => self.attempts.push(Attempt {
                proxy: session.challenge.proxy,
                realm: session.challenge.realm.clone(),
                nonce,
                fresh,
                stale: 0,
            }),
        }
    }
}
