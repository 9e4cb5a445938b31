//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): [`Authenticator`] answers
//! challenges, [`server`] makes and checks them. [`Home`] says whose challenges are answered.

mod bearer;
mod challenge;
mod credentials;
mod digest;
mod exchange;
mod home;
pub mod server;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;

use sip_message::{HeaderName, Request, Response, Uri};
use thiserror::Error;

pub use bearer::BearerChallenge;
pub use challenge::{Challenge, Strength};
pub(crate) use credentials::Asked;
pub use credentials::{Credentials, LoginWanted};
pub use digest::{Algorithm, Qop};
pub use exchange::Exchange;
pub use home::Home;

use crate::path::Path;
use crate::tokens::Tokens;
use challenge::parse_schemes;
use digest::DigestInput;
use exchange::Hosts;

/// Why a challenge is not answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// The response holds no challenge that we understand. Names what was offered.
    #[error("no authentication method that we know: {offered}")]
    NothingKnown {
        /// Schemes and algorithms offered, `Bearer`, `Digest SHA3-256`; empty when none were.
        offered: String,
    },
    /// There are no credentials for this realm, or not for whoever asks in its name.
    #[error("no password for realm {realm}")]
    NoCredentials {
        /// The realm that asked.
        realm: String,
    },
    /// The server saw our credentials and refused them.
    #[error("password refused by realm {realm}")]
    Refused {
        /// The realm that refused.
        realm: String,
    },
    /// The strongest that the server knows is weaker than what may be answered.
    #[error("realm {realm} asks for a login by {algorithm} only")]
    TooWeak {
        /// The realm that asks.
        realm: String,
        /// What it wants.
        algorithm: &'static str,
    },
    /// It asks for the account's own password in a weaker way than the registration showed it.
    #[error("realm {realm} asks for a weaker login than the registration did")]
    Weaker {
        /// The realm that asks.
        realm: String,
    },
    /// The server calls each nonce stale, also the one that it has just given: of the password nothing is said
    /// (RFC 7616 §3.3).
    #[error("realm {realm} calls each nonce stale")]
    Stale {
        /// The realm that asks.
        realm: String,
    },
    /// The server calls for new credentials again and again.
    #[error("realm {realm} asks without end")]
    TooOften {
        /// The realm that asks.
        realm: String,
    },
}

/// How often one request may be sent with new credentials: enough for a chain of proxies with a
/// stale nonce each, and no endless loop.
const MOST_ROUNDS: u8 = 8;
/// Realms remembered.
const MOST_REALMS: usize = 16;
/// A `nextnonce` beyond this many bytes is not taken: it would be in each request that follows.
const LONGEST_NONCE: usize = 1024;
/// Addresses remembered of the hosts that have a login of their own.
const MOST_FOUND: usize = 64;

/// Answers challenges for one object. It remembers the challenge of each realm, so that the
/// requests that follow carry credentials at once, with the nonce count going up.
#[derive(Clone, Debug)]
pub struct Authenticator {
    credentials: Vec<Credentials>,
    sessions: Vec<Session>,
    /// Realms that asked for a token and are shown it, and whether a proxy asked in their name.
    bearers: Vec<(bool, String)>,
    /// What was last asked for in the way of tokens.
    token_wanted: Option<BearerChallenge>,
    /// Whose challenges are answered; `None` where all requests go to the account's own servers.
    home: Option<Home>,
    /// Where the hosts that have a login of their own were found, the oldest first.
    found: VecDeque<(String, SocketAddr)>,
}

/// The last challenge of one realm and how often it was answered.
#[derive(Clone, Debug)]
struct Session {
    challenge: Challenge,
    nonce_count: u32,
}

impl Authenticator {
    /// Answers with these credentials, whoever asks: for requests that go to the account's own
    /// servers and nowhere else, like REGISTER.
    pub fn new(credentials: Vec<Credentials>) -> Self {
        Self {
            credentials,
            sessions: Vec::new(),
            bearers: Vec::new(),
            token_wanted: None,
            home: None,
            found: VecDeque::new(),
        }
    }

    /// Answers with these credentials, as far as `home` says that they are for whoever asks.
    pub fn at_home(credentials: Vec<Credentials>, home: Home) -> Self {
        Self {
            home: Some(home),
            ..Self::new(credentials)
        }
    }

    /// Whose challenges are answered; `None` where all are.
    pub fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    /// Takes note of where a next hop was found (RFC 3263), if it is one of our servers or has a
    /// login of its own; that of a stranger teaches nothing.
    pub fn learn(&mut self, hop: &Uri, paths: &[Path]) {
        if let Some(home) = &mut self.home {
            home.learn(hop, paths);
        }
        let host = home::host_of(hop);
        let mut logins = self.credentials.iter();
        let has_login = logins.any(|login| login.server.as_ref() == Some(&host));
        // A `maddr` leads elsewhere, whatever the host's name.
        if !has_login || hop.params.has("maddr") {
            return;
        }
        for path in paths {
            let found = (host.clone(), path.remote);
            if self.found.contains(&found) {
                continue;
            }
            if self.found.len() >= MOST_FOUND {
                self.found.pop_front();
            }
            self.found.push_back(found);
        }
    }

    /// Takes other credentials and forgets what servers said about the old ones.
    pub fn set_credentials(&mut self, credentials: Vec<Credentials>) {
        self.credentials = credentials;
        self.sessions.clear();
        self.bearers.clear();
    }

    /// Takes one more login, before those that are for the same; what its realm said of others is
    /// forgotten.
    pub fn add_credentials(&mut self, credentials: Credentials) {
        let same = |other: &Credentials| {
            other.kind == credentials.kind
                && other.realm == credentials.realm
                && other.server == credentials.server
        };
        self.credentials.retain(|other| !same(other));
        self.sessions.retain(|session| {
            let other = |realm: &String| session.challenge.realm != *realm;
            credentials.realm.as_ref().is_some_and(other)
        });
        self.credentials.insert(0, credentials);
    }

    /// The last challenge that asked for a token: where one can be had, and what was wrong with the
    /// one shown.
    pub fn token_wanted(&self) -> Option<&BearerChallenge> {
        self.token_wanted.as_ref()
    }

    /// The realms that have asked so far.
    pub fn realms(&self) -> impl Iterator<Item = &str> {
        self.sessions
            .iter()
            .map(|session| session.challenge.realm.as_str())
    }

    /// The weakest way in which one of them asked; `None` when none has.
    pub fn weakest(&self) -> Option<Strength> {
        let asked = self.sessions.iter().map(|s| s.challenge.strength());
        asked.reduce(Strength::weaker_of)
    }

    /// Takes a 401 or 407. `Ok`: send the request again, [`Self::authorize`]d anew, with a new
    /// branch and the next CSeq. All realms that the response names are answered together.
    ///
    /// # Errors
    ///
    /// When sending again cannot help. Whose fault it is stands in the error.
    pub fn handle_challenge(
        &mut self,
        response: &Response,
        exchange: &mut Exchange,
    ) -> Result<(), AuthError> {
        let (mut challenges, offered) = strongest_per_realm(response);
        let bearers = self.bearers_to_show(response, exchange, &mut challenges)?;
        let digest = challenges.first().map(|first| &first.realm);
        let Some(first) = digest.or(bearers.first().map(|(_, realm)| realm)) else {
            return Err(AuthError::NothingKnown { offered });
        };
        exchange.rounds = exchange.rounds.saturating_add(1);
        if exchange.rounds > MOST_ROUNDS {
            return Err(AuthError::TooOften {
                realm: first.clone(),
            });
        }
        // First everything that forbids a retry: half an answer only costs a round trip.
        for challenge in &challenges {
            let credentials = self.credentials_for(&challenge.realm, challenge.proxy, exchange)?;
            if credentials.strong && challenge.algorithm.strength() == 0 {
                return Err(AuthError::TooWeak {
                    realm: challenge.realm.clone(),
                    algorithm: challenge.algorithm.as_str(),
                });
            }
            let floor = self.home.as_ref().and_then(Home::floor);
            if credentials.is_accounts_own()
                && floor.is_some_and(|floor| challenge.strength().lacks(floor))
            {
                return Err(AuthError::Weaker {
                    realm: challenge.realm.clone(),
                });
            }
            match exchange.check(challenge) {
                // A guest is not let in. Of a password of ours nobody has said anything.
                Err(AuthError::Refused { realm }) if credentials.is_guest() => {
                    return Err(AuthError::NoCredentials { realm });
                }
                outcome => outcome?,
            }
        }
        for challenge in challenges {
            self.bearers
                .retain(|(proxy, realm)| *proxy != challenge.proxy || *realm != challenge.realm);
            self.remember(challenge);
        }
        for bearer in bearers {
            self.sessions
                .retain(|s| s.challenge.proxy != bearer.0 || s.challenge.realm != bearer.1);
            if !self.bearers.contains(&bearer) && self.bearers.len() < MOST_REALMS {
                self.bearers.push(bearer);
            }
        }
        Ok(())
    }

    /// Takes the answer to a request that was let in: the nonce that the server wants next (RFC 7616 §3.5), which saves
    /// the question with a server that takes each nonce once. Only where all requests go to the account's own servers:
    /// in the answer to any other a stranger could choose what is proved to our server next.
    pub fn handle_success(&mut self, response: &Response, exchange: &Exchange) {
        if self.home.is_some() || !response.status.is_success() {
            return;
        }
        for (name, proxy) in [
            (HeaderName::AuthenticationInfo, false),
            (HeaderName::ProxyAuthenticationInfo, true),
        ] {
            let Some(next) = response.headers.get(name).and_then(next_nonce) else {
                continue;
            };
            let Some((realm, nonce)) = exchange.only_one_shown(proxy) else {
                continue;
            };
            let session = self.sessions.iter_mut().find(|session| {
                let challenge = &session.challenge;
                challenge.proxy == proxy && challenge.realm == realm && challenge.nonce == nonce
            });
            if let Some(session) = session.filter(|session| session.challenge.nonce != next) {
                session.challenge.nonce = next;
                session.challenge.stale = false;
                session.nonce_count = 0;
            }
        }
    }

    /// Who gets a token. Whoever does is asked for no password; whoever has seen it in vain is
    /// answered with a password, if that was asked for, too.
    fn bearers_to_show(
        &mut self,
        response: &Response,
        exchange: &Exchange,
        challenges: &mut Vec<Challenge>,
    ) -> Result<Vec<(bool, String)>, AuthError> {
        let mut to_show = Vec::new();
        for bearer in bearer::challenges(response) {
            let (proxy, realm) = (bearer.proxy, bearer.realm.clone());
            self.token_wanted = Some(bearer);
            let same = |challenge: &Challenge| challenge.proxy == proxy && challenge.realm == realm;
            if self.token_for(&realm, proxy, exchange).is_none() {
                continue;
            }
            if !exchange.shown.contains(&(proxy, realm.clone())) {
                challenges.retain(|challenge| !same(challenge));
                to_show.push((proxy, realm));
            } else if !challenges.iter().any(same) {
                return Err(AuthError::Refused { realm });
            }
        }
        Ok(to_show)
    }

    /// The token for who asks in the name of `realm`, where nobody can read along (RFC 8898 §2).
    fn token_for(&self, realm: &str, proxy: bool, exchange: &Exchange) -> Option<&Credentials> {
        self.choose(realm, proxy, exchange, true)
            .ok()
            .filter(|_| exchange.secure)
    }

    /// Puts credentials for all known realms into the request, in place of older ones, one
    /// header for each. Before the first challenge it does nothing. Where the request goes the
    /// exchange has been told ([`Exchange::goes_to`]): strangers do not get what our own servers
    /// asked for.
    pub fn authorize(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
        tokens: &mut Tokens,
    ) {
        request.headers.remove(HeaderName::Authorization);
        request.headers.remove(HeaderName::ProxyAuthorization);
        let uri = request.uri.to_string();
        if self.credentials.iter().any(|c| c.server.is_some()) {
            exchange.hosts = Hosts::of(request);
        }
        for index in 0..self.sessions.len() {
            let asked = self.sessions.get(index).map(|s| &s.challenge);
            let entitled = asked.is_some_and(|challenge| {
                let login = self.credentials_for(&challenge.realm, challenge.proxy, exchange);
                login.is_ok()
            });
            let Some(session) = self.sessions.get_mut(index).filter(|_| entitled) else {
                continue;
            };
            session.nonce_count = session.nonce_count.saturating_add(1);
            let Some(session) = self.sessions.get(index) else {
                break;
            };
            let (realm, proxy) = (&session.challenge.realm, session.challenge.proxy);
            let Ok(credentials) = self.credentials_for(realm, proxy, exchange) else {
                continue;
            };
            let value = session.answer(credentials, request, &uri, &tokens.cnonce());
            let name = if session.challenge.proxy {
                HeaderName::ProxyAuthorization
            } else {
                HeaderName::Authorization
            };
            request.headers.push(name, value);
            exchange.sent(session);
        }
        for (proxy, realm) in &self.bearers {
            let Some(token) = self.token_for(realm, *proxy, exchange) else {
                continue;
            };
            let name = if *proxy {
                HeaderName::ProxyAuthorization
            } else {
                HeaderName::Authorization
            };
            request
                .headers
                .push(name, format!("Bearer {}", token.secret.as_str()));
            let shown = (*proxy, realm.clone());
            if !exchange.shown.contains(&shown) {
                exchange.shown.push(shown);
            }
        }
    }

    /// Whether a realm has asked so far.
    pub fn has_session(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// The login that whoever the request went to gets when it asks in the name of `realm`: the
    /// most specific first, then the account's own, then that of a guest. Whether it asks as a `proxy`
    /// says who on the way it is.
    fn credentials_for(
        &self,
        realm: &str,
        proxy: bool,
        exchange: &Exchange,
    ) -> Result<&Credentials, AuthError> {
        self.choose(realm, proxy, exchange, false)
    }

    fn choose(
        &self,
        realm: &str,
        proxy: bool,
        exchange: &Exchange,
        token: bool,
    ) -> Result<&Credentials, AuthError> {
        let peer = exchange.peer;
        let entitled = match &self.home {
            None => true,
            Some(home) => peer.is_some_and(|peer| home.is_at(peer)),
        };
        let mut best: Option<(u8, &Credentials)> = None;
        for credentials in self.credentials.iter().filter(|c| c.is_token() == token) {
            let of_server = |server: &str| self.is_asked_by(server, realm, proxy, exchange);
            let fit = credentials.fit(realm, of_server, entitled);
            if let Some(fit) = fit.filter(|fit| best.is_none_or(|(other, _)| *fit > other)) {
                best = Some((fit, credentials));
            }
        }
        let (_, credentials) = best.ok_or_else(|| AuthError::NoCredentials {
            realm: realm.to_owned(),
        })?;
        Ok(credentials)
    }

    /// Whether it is this host that asks. A request to it that goes by our own server comes back with the
    /// questions of both: a 407 is our server's, for only a proxy says that (RFC 3261 §22.3), and so is what is
    /// asked in a realm of the account's own.
    fn is_asked_by(&self, server: &str, realm: &str, proxy: bool, exchange: &Exchange) -> bool {
        let hosts = &exchange.hosts;
        let ends_there = !proxy && hosts.end.as_deref() == Some(server);
        let Some(home) = &self.home else {
            return ends_there || hosts.next_hop == server;
        };
        exchange.peer.is_some_and(|peer| {
            let mut found = self.found.iter();
            found.any(|(host, at)| host == server && *at == peer)
                || (ends_there && !home.has_realm(realm) && home.is_at(peer))
        })
    }

    fn remember(&mut self, challenge: Challenge) {
        self.sessions.retain(|session| {
            session.challenge.realm != challenge.realm || session.challenge.proxy != challenge.proxy
        });
        if self.sessions.len() == MOST_REALMS {
            self.sessions.remove(0);
        }
        self.sessions.push(Session {
            challenge,
            nonce_count: 0,
        });
    }
}

impl Session {
    /// The value of Authorization or Proxy-Authorization (RFC 3261 §20.7, RFC 7616 §3.4).
    fn answer(
        &self,
        credentials: &Credentials,
        request: &Request,
        uri: &str,
        cnonce: &str,
    ) -> String {
        let challenge = &self.challenge;
        let nc = format!("{:08x}", self.nonce_count);
        let response = DigestInput {
            algorithm: challenge.algorithm,
            qop: challenge.qop,
            username: &credentials.username,
            realm: &challenge.realm,
            secret: &credentials.secret,
            method: request.method.as_str(),
            uri,
            nonce: &challenge.nonce,
            cnonce,
            nc: &nc,
            body: &request.body,
        }
        .response();
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\"",
            escape(&credentials.username),
            challenge.realm,
            challenge.nonce,
        );
        if challenge.algorithm_named {
            value.push_str(", algorithm=");
            value.push_str(challenge.algorithm.as_str());
        }
        // Without qop a client nonce is only legal where the algorithm needs it.
        if challenge.qop.is_some() || challenge.algorithm.is_session() {
            value.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &challenge.opaque {
            value.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if let Some(qop) = challenge.qop {
            value.push_str(&format!(", qop={}, nc={nc}", qop.as_str()));
        }
        value
    }
}

/// The challenges to answer, one for each realm and kind of asker, and in words what was offered.
/// Of several for one realm the strongest that we know is taken, of equally strong ones the first
/// (RFC 8760 §2.4 lets the server order them).
fn strongest_per_realm(response: &Response) -> (Vec<Challenge>, String) {
    let mut best: Vec<Challenge> = Vec::new();
    let mut offered: Vec<String> = Vec::new();
    for (name, proxy) in [
        (HeaderName::WwwAuthenticate, false),
        (HeaderName::ProxyAuthenticate, true),
    ] {
        for scheme in response.headers.get_all(name).flat_map(parse_schemes) {
            let algorithm = scheme.value("algorithm").unwrap_or_default();
            offered.push(format!("{} {algorithm}", scheme.scheme).trim().to_owned());
            let Some(challenge) = Challenge::of(&scheme, proxy) else {
                continue;
            };
            let room = best.len() < MOST_REALMS;
            let same = best
                .iter_mut()
                .find(|other| other.realm == challenge.realm && other.proxy == proxy);
            match same {
                Some(other) if challenge.algorithm.strength() > other.algorithm.strength() => {
                    *other = challenge;
                }
                Some(_) => {}
                None if room => best.push(challenge),
                None => {}
            }
        }
    }
    offered.truncate(MOST_REALMS);
    (best, offered.join(", "))
}

/// The `nextnonce` of an Authentication-Info, which has no scheme and else the same form as a challenge.
fn next_nonce(value: &str) -> Option<String> {
    let schemes = parse_schemes(&format!("Digest {value}"));
    let next = schemes.first()?.value("nextnonce")?;
    let fits = !next.is_empty() && next.len() <= LONGEST_NONCE;
    fits.then(|| next.to_owned())
}

/// Puts a backslash before what would end a quoted string.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
