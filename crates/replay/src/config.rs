//! Configurations as they stand on a tape: everything that decides what is sent, but the secrets.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip_core::auth::{Credentials, Home, Strength};
use sip_core::call::{CallConfig, ForwardReason, SessionTimer};
use sip_core::inside::{Inside, Network};
use sip_core::registration::RegistrationConfig;
use sip_core::stateless::Capabilities;
use sip_core::{Timers, Transport};
use sip_message::{HeaderName, Headers, Host, Method, NameAddr, Reason, Replaces, Uri};

use crate::tape::Text;

/// What stands in for a password or a token when a tape is played.
const STAND_IN: &str = "stand-in";

/// A [`CallConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFacts {
    local: String,
    remote: Option<String>,
    contact_user: String,
    contact: Option<String>,
    route: Vec<String>,
    transport: Option<String>,
    /// The only login, on tapes of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<Login>,
    #[serde(default)]
    logins: Vec<Login>,
    #[serde(default)]
    login_wait_ms: Option<u64>,
    home: HomeFacts,
    capabilities: Able,
    extra_headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_offer: Option<Text>,
    ring_limit_ms: Option<u64>,
    replaces: Option<String>,
    join: Option<String>,
    referred_by: Option<String>,
    anonymous: bool,
    preferred_identity: Option<String>,
    trusts_first_hop: bool,
    redirections: u8,
    info_packages: Vec<String>,
    session_id: Option<String>,
    session_interval_ms: Option<u64>,
    session_minimum_ms: u64,
    timers_ms: [u64; 3],
}

/// A [`RegistrationConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationFacts {
    registrar: String,
    aor: String,
    contact_user: Option<String>,
    route: Option<String>,
    transport: Option<String>,
    expires_ms: u64,
    instance_id: Option<String>,
    reg_id: Option<u32>,
    gruu: bool,
    logins: Vec<Login>,
    user_agent: String,
    rewrite_contact: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<std::net::SocketAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inside: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inside_name: Option<String>,
    patience_ms: Option<u64>,
    timers_ms: [u64; 3],
}

/// Credentials without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    username: String,
    realm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    token: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    strong: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    guest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HomeFacts {
    servers: Vec<String>,
    addresses: Vec<std::net::SocketAddr>,
    realms: Vec<String>,
    /// Hash and qop of the weakest login that is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<(u8, bool)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Able {
    allow: Vec<String>,
    supported: Vec<String>,
    accept: Vec<String>,
    allow_events: Vec<String>,
    user_agent: String,
}

impl CallFacts {
    pub(crate) fn of(config: &CallConfig) -> Self {
        let name = |name: &NameAddr| name.to_string();
        let place = |replaces: &Replaces| replaces.to_string();
        let able = &config.capabilities;
        Self {
            local: name(&config.local),
            remote: config.remote.as_ref().map(name),
            contact_user: config.contact_user.clone(),
            contact: config.contact.as_ref().map(Uri::to_string),
            route: config.route.iter().map(Uri::to_string).collect(),
            transport: config.transport.map(word),
            login: None,
            logins: config.credentials.iter().map(Login::of).collect(),
            login_wait_ms: config.login_wait.map(ms),
            home: HomeFacts {
                servers: config.home.servers().iter().map(Uri::to_string).collect(),
                addresses: config.home.addresses().collect(),
                realms: config.home.realms().to_vec(),
                floor: config.home.floor().map(|floor| (floor.hash, floor.qop)),
            },
            capabilities: Able {
                allow: able.allow.iter().map(Method::to_string).collect(),
                supported: able.supported.clone(),
                accept: able.accept.clone(),
                allow_events: able.allow_events.clone(),
                user_agent: able.user_agent.clone(),
            },
            extra_headers: config.extra_headers.clone(),
            second_offer: config.second_offer.as_deref().map(Text::new),
            ring_limit_ms: config.ring_limit.map(ms),
            replaces: config.replaces.as_ref().map(place),
            join: config.join.as_ref().map(place),
            referred_by: config.referred_by.as_ref().map(name),
            anonymous: config.anonymous,
            preferred_identity: config.preferred_identity.as_ref().map(name),
            trusts_first_hop: config.trusts_first_hop,
            redirections: config.redirections,
            info_packages: config.info_packages.clone(),
            session_id: config.session_id.clone(),
            session_interval_ms: config.session_timer.interval.map(ms),
            session_minimum_ms: ms(config.session_timer.minimum),
            timers_ms: timers(&config.timers),
        }
    }

    pub(crate) fn config(&self) -> Option<CallConfig> {
        let mut config = CallConfig::new(name(&self.local)?, &self.contact_user);
        config.remote = maybe(self.remote.as_deref(), name)?;
        config.contact = maybe(self.contact.as_deref(), uri)?;
        config.route = all(&self.route, uri)?;
        config.transport = maybe(self.transport.as_deref(), Transport::parse)?;
        let logins = self.login.iter().chain(&self.logins);
        config.credentials = logins.map(Login::credentials).collect::<Option<_>>()?;
        config.login_wait = self.login_wait_ms.map(Duration::from_millis);
        config.home = Home::new(all(&self.home.servers, uri)?);
        for address in &self.home.addresses {
            config.home.add_address(*address);
        }
        for realm in &self.home.realms {
            config.home.add_realm(realm);
        }
        let floor = self.home.floor;
        let strength = |(hash, qop)| Strength { hash, qop };
        config.home.set_floor(floor.map(strength));
        let able = &self.capabilities;
        config.capabilities = Capabilities {
            allow: all(&able.allow, Method::parse)?,
            supported: able.supported.clone(),
            accept: able.accept.clone(),
            allow_events: able.allow_events.clone(),
            user_agent: able.user_agent.clone(),
        };
        config.extra_headers.clone_from(&self.extra_headers);
        config.second_offer = maybe(self.second_offer.as_ref(), Text::bytes)?;
        config.ring_limit = self.ring_limit_ms.map(Duration::from_millis);
        config.replaces = maybe(self.replaces.as_deref(), place)?;
        config.join = maybe(self.join.as_deref(), place)?;
        config.referred_by = maybe(self.referred_by.as_deref(), name)?;
        config.anonymous = self.anonymous;
        config.preferred_identity = maybe(self.preferred_identity.as_deref(), name)?;
        config.trusts_first_hop = self.trusts_first_hop;
        config.redirections = self.redirections;
        config.info_packages.clone_from(&self.info_packages);
        config.session_id.clone_from(&self.session_id);
        config.session_timer = SessionTimer {
            interval: self.session_interval_ms.map(Duration::from_millis),
            minimum: Duration::from_millis(self.session_minimum_ms),
        };
        config.timers = timers_of(self.timers_ms);
        Some(config)
    }
}

impl RegistrationFacts {
    pub(crate) fn of(config: &RegistrationConfig) -> Self {
        Self {
            registrar: config.registrar.to_string(),
            aor: config.aor.to_string(),
            contact_user: config.contact_user.clone(),
            route: config.route.as_ref().map(Uri::to_string),
            transport: config.transport.map(word),
            expires_ms: ms(config.expires),
            instance_id: config.instance_id.clone(),
            reg_id: config.reg_id,
            gruu: config.gruu,
            logins: config.credentials.iter().map(Login::of).collect(),
            user_agent: config.user_agent.clone(),
            rewrite_contact: config.rewrite_contact,
            public: config.public,
            inside: config
                .inside
                .networks
                .iter()
                .map(ToString::to_string)
                .collect(),
            inside_name: config.inside.name.as_ref().map(ToString::to_string),
            patience_ms: config.patience.map(ms),
            timers_ms: timers(&config.timers),
        }
    }

    pub(crate) fn config(&self) -> Option<RegistrationConfig> {
        let credentials: Option<Vec<_>> = self.logins.iter().map(Login::credentials).collect();
        Some(RegistrationConfig {
            contact_user: self.contact_user.clone(),
            route: maybe(self.route.as_deref(), uri)?,
            transport: maybe(self.transport.as_deref(), Transport::parse)?,
            expires: Duration::from_millis(self.expires_ms),
            instance_id: self.instance_id.clone(),
            reg_id: self.reg_id,
            gruu: self.gruu,
            credentials: credentials?,
            user_agent: self.user_agent.clone(),
            rewrite_contact: self.rewrite_contact,
            public: self.public,
            inside: Inside {
                networks: all(&self.inside, |text| text.parse::<Network>().ok())?,
                name: maybe(self.inside_name.as_deref(), |text| Host::parse(text).ok())?,
            },
            patience: self.patience_ms.map(Duration::from_millis),
            timers: timers_of(self.timers_ms),
            ..RegistrationConfig::new(uri(&self.registrar)?, name(&self.aor)?)
        })
    }
}

impl Login {
    pub(crate) fn of(credentials: &Credentials) -> Self {
        Self {
            username: credentials.username().to_owned(),
            realm: credentials.realm().map(str::to_owned),
            server: credentials.server().map(str::to_owned),
            token: credentials.is_token(),
            strong: credentials.is_strong_only(),
            guest: credentials.is_guest(),
        }
    }

    pub(crate) fn credentials(&self) -> Option<Credentials> {
        if self.guest {
            return Some(Credentials::guest());
        }
        let mut credentials = if self.token {
            Credentials::bearer(STAND_IN)?
        } else {
            Credentials::new(self.username.clone(), STAND_IN).strong_only(self.strong)
        };
        if let Some(realm) = &self.realm {
            credentials = credentials.for_realm(realm.clone());
        }
        if let Some(server) = &self.server {
            credentials = credentials.for_server(server);
        }
        Some(credentials)
    }
}

pub(crate) fn name(text: &str) -> Option<NameAddr> {
    NameAddr::parse(text).ok()
}

pub(crate) fn uri(text: &str) -> Option<Uri> {
    Uri::parse(text).ok()
}

pub(crate) fn place(text: &str) -> Option<Replaces> {
    let mut headers = Headers::new();
    headers.push(HeaderName::Replaces, text);
    headers.replaces().ok()
}

/// Why a call is sent on, as a word.
pub(crate) fn forward_word(reason: ForwardReason) -> &'static str {
    match reason {
        ForwardReason::Unconditional => "unconditional",
        ForwardReason::Busy => "busy",
        ForwardReason::NoAnswer => "no_answer",
    }
}

pub(crate) fn forward_reason(word: &str) -> Option<ForwardReason> {
    match word {
        "unconditional" => Some(ForwardReason::Unconditional),
        "busy" => Some(ForwardReason::Busy),
        "no_answer" => Some(ForwardReason::NoAnswer),
        _ => None,
    }
}

pub(crate) fn because(text: &str) -> Option<Reason> {
    let mut headers = Headers::new();
    headers.push(HeaderName::Reason, text);
    headers.reasons().ok()?.into_iter().next()
}

/// Nothing is nothing; something that cannot be read is a fault.
pub(crate) fn maybe<T, U>(
    value: Option<T>,
    read: impl FnOnce(T) -> Option<U>,
) -> Option<Option<U>> {
    match value {
        Some(value) => read(value).map(Some),
        None => Some(None),
    }
}

pub(crate) fn all<T>(texts: &[String], read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    texts.iter().map(|text| read(text)).collect()
}

fn word(transport: Transport) -> String {
    transport.as_str().to_owned()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn timers(timers: &Timers) -> [u64; 3] {
    [timers.t1, timers.t2, timers.t4].map(ms)
}

fn timers_of([t1, t2, t4]: [u64; 3]) -> Timers {
    let [t1, t2, t4] = [t1, t2, t4].map(Duration::from_millis);
    Timers { t1, t2, t4 }
}
