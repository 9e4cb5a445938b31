//! The server's side: challenges made and credentials checked, for a registrar or proxy of our
//! own (RFC 3261 §22, RFC 7616 §3.3 and §3.4, RFC 8760).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sip_message::{HeaderName, Request};
use zeroize::Zeroizing;

use super::challenge::{SchemeParams, parse_schemes};
use super::digest::{Algorithm, DigestInput, Qop};
use crate::tokens::{Seed, Tokens};

/// What came of looking at a request's credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Right. The user may still not be allowed what the request asks for.
    Accepted {
        /// Who it is.
        username: String,
    },
    /// No credentials for our realm: challenge.
    Missing,
    /// Right, but the nonce is too old, unknown or was counted backwards: challenge with
    /// `stale`, and the client need not ask its user.
    Stale,
    /// Wrong: challenge without `stale`, or refuse.
    Wrong {
        /// Who it claims to be.
        username: String,
    },
    /// Credentials for our realm that make no sense: 400.
    Malformed,
}

/// Makes challenges for one realm and checks the answers.
///
/// A nonce tells by itself when it was made and that it was made here, so that a challenge that nobody
/// answers leaves nothing behind: a flood of requests without credentials neither fills a table nor
/// pushes out the nonces of those who answer (RFC 7616 §3.3 on what a nonce may be made of). Only a
/// nonce that was answered rightly is remembered, with its count.
#[derive(Debug)]
pub struct Verifier {
    realm: String,
    /// As offered, the strongest first.
    algorithms: Vec<Algorithm>,
    proxy: bool,
    nonce_life: Duration,
    /// From when the times in nonces count: the first that it was asked anything.
    epoch: Option<Instant>,
    /// Nonces that were answered, by their random part, and the highest count seen with each. The
    /// room for all of them is there from the start, so that nothing grows while they come.
    counts: HashMap<u64, u32>,
    /// The same in the order of their first use, with when they were made.
    order: VecDeque<Nonce>,
    /// A nonce made no later than this and not remembered may have been forgotten: it is stale.
    horizon: Option<Duration>,
    tokens: Tokens,
}

/// A nonce that was made here.
#[derive(Clone, Copy, Debug)]
struct Nonce {
    made: Duration,
    random: u64,
}

/// Answered nonces remembered; the oldest goes first, and its user is asked again with `stale`.
const MOST_NONCES: usize = 16_384;
/// Digits of the time, in milliseconds; of the random part; and of the part that proves the others.
const NONCE_PARTS: [usize; 3] = [12, 16, 16];

impl Verifier {
    /// For a realm, offering these algorithms (the strongest is put first). `proxy` tells which
    /// pair of headers is used: Proxy-Authenticate and Proxy-Authorization, or WWW-Authenticate
    /// and Authorization.
    pub fn new(
        realm: impl Into<String>,
        mut algorithms: Vec<Algorithm>,
        proxy: bool,
        nonce_life: Duration,
        seed: &Seed,
    ) -> Self {
        algorithms.sort_by_key(|algorithm| std::cmp::Reverse(algorithm.strength()));
        Self {
            realm: realm.into(),
            algorithms,
            proxy,
            nonce_life,
            epoch: None,
            counts: HashMap::with_capacity(MOST_NONCES + 1),
            order: VecDeque::with_capacity(MOST_NONCES + 1),
            horizon: None,
            tokens: Tokens::new(seed),
        }
    }

    /// The header that challenges: of a 407 or of a 401.
    pub fn challenge_header(&self) -> HeaderName {
        if self.proxy {
            HeaderName::ProxyAuthenticate
        } else {
            HeaderName::WwwAuthenticate
        }
    }

    /// Header values for a challenge, one for each algorithm, with one new nonce for all.
    pub fn challenge(&mut self, now: Instant, stale: bool) -> Vec<String> {
        let made = self.since_epoch(now).as_millis();
        let mut nonce = format!("{:012x}{}", made & 0xffff_ffff_ffff, self.tokens.hex(8));
        nonce.push_str(&self.proof_of(&nonce));
        let stale = if stale { ", stale=true" } else { "" };
        self.algorithms
            .iter()
            .map(|algorithm| {
                format!(
                    "Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth,auth-int\"{stale}",
                    self.realm,
                    algorithm.as_str()
                )
            })
            .collect()
    }

    /// Checks the credentials of a request. `secret_of` knows the password of a user; unknown
    /// users take the same way through as wrong passwords.
    pub fn check(
        &mut self,
        now: Instant,
        request: &Request,
        secret_of: impl Fn(&str) -> Option<String>,
    ) -> Verdict {
        let name = if self.proxy {
            HeaderName::ProxyAuthorization
        } else {
            HeaderName::Authorization
        };
        let ours = request
            .headers
            .get_all(name)
            .flat_map(parse_schemes)
            .find(|scheme| scheme.is_digest() && scheme.value("realm") == Some(&self.realm));
        let Some(scheme) = ours else {
            return Verdict::Missing;
        };
        let Some(answer) = Answer::of(&scheme) else {
            return Verdict::Malformed;
        };
        if !self.algorithms.contains(&answer.algorithm) {
            return Verdict::Malformed;
        }
        let username = unescape(answer.username);
        let secret = secret_of(&username).map(Zeroizing::new);
        let known = secret.is_some();
        let secret = secret.unwrap_or_default();
        let expected = answer.expected(request, &self.realm, &username, &secret);
        if !equal_in_constant_time(expected.as_bytes(), answer.response.as_bytes()) || !known {
            return Verdict::Wrong { username };
        }
        let now = self.since_epoch(now);
        let Some(nonce) = self.made(answer.nonce) else {
            return Verdict::Stale;
        };
        let forgotten = self.horizon.is_some_and(|horizon| nonce.made <= horizon);
        let seen = self.counts.get(&nonce.random).copied();
        if now.saturating_sub(nonce.made) >= self.nonce_life || (seen.is_none() && forgotten) {
            return Verdict::Stale;
        }
        // RFC 7616 §3.4: a count that does not go up is a replay. A client without qop cannot
        // count; for it the nonce is good once.
        let count = answer.count().unwrap_or(1);
        if count <= seen.unwrap_or(0) {
            return Verdict::Stale;
        }
        if seen.is_none() {
            self.order.push_back(nonce);
        }
        self.counts.insert(nonce.random, count);
        self.forget_old(now);
        Verdict::Accepted { username }
    }

    /// How many nonces are remembered: those that were answered.
    pub fn nonces(&self) -> usize {
        self.counts.len()
    }

    fn since_epoch(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.epoch.get_or_insert(now))
    }

    /// Digits that only we can put behind the others.
    fn proof_of(&self, digits: &str) -> String {
        self.tokens.tag_of(&["nonce", digits])
    }

    /// What a nonce says, if it was made here.
    fn made(&self, nonce: &str) -> Option<Nonce> {
        let [time, random, proof] = NONCE_PARTS;
        let (digits, theirs) = nonce.split_at_checked(time + random)?;
        let ours = self.proof_of(digits);
        if theirs.len() != proof || !equal_in_constant_time(ours.as_bytes(), theirs.as_bytes()) {
            return None;
        }
        let (millis, random) = digits.split_at_checked(time)?;
        Some(Nonce {
            made: Duration::from_millis(u64::from_str_radix(millis, 16).ok()?),
            random: u64::from_str_radix(random, 16).ok()?,
        })
    }

    fn forget_old(&mut self, now: Duration) {
        while let Some(first) = self.order.front() {
            let over = now.saturating_sub(first.made) >= self.nonce_life;
            if !over && self.order.len() <= MOST_NONCES {
                return;
            }
            let Some(gone) = self.order.pop_front() else {
                return;
            };
            self.counts.remove(&gone.random);
            self.horizon = self.horizon.max(Some(gone.made));
        }
    }
}

/// The parameters of an Authorization header that the check needs.
struct Answer<'a> {
    algorithm: Algorithm,
    qop: Option<Qop>,
    username: &'a str,
    nonce: &'a str,
    uri: &'a str,
    response: &'a str,
    cnonce: &'a str,
    nc: &'a str,
}

impl<'a> Answer<'a> {
    fn of(scheme: &'a SchemeParams) -> Option<Self> {
        let qop = match scheme.value("qop") {
            Some(token) => Some(Qop::parse(token)?),
            None => None,
        };
        let answer = Self {
            algorithm: scheme
                .value("algorithm")
                .map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            qop,
            username: scheme.value("username")?,
            nonce: scheme.value("nonce")?,
            uri: scheme.value("uri")?,
            response: scheme.value("response")?,
            cnonce: scheme.value("cnonce").unwrap_or_default(),
            nc: scheme.value("nc").unwrap_or_default(),
        };
        let counted = answer.nc.len() == 8 && answer.count().is_some() && !answer.cnonce.is_empty();
        (qop.is_none() || counted).then_some(answer)
    }

    fn count(&self) -> Option<u32> {
        self.qop.and_then(|_| u32::from_str_radix(self.nc, 16).ok())
    }

    /// What `response` must be. The URI is the one that the client says: proxies before us may
    /// have changed the request's.
    fn expected(&self, request: &Request, realm: &str, username: &str, secret: &str) -> String {
        DigestInput {
            algorithm: self.algorithm,
            qop: self.qop,
            username,
            realm,
            secret,
            method: request.method.as_str(),
            uri: self.uri,
            nonce: self.nonce,
            cnonce: self.cnonce,
            nc: self.nc,
            body: &request.body,
        }
        .response()
    }
}

/// Takes as long for the first wrong byte as for the last, so that time does not tell how much
/// was right.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut escaped = false;
    for character in text.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            result.push(character);
        }
    }
    result
}
