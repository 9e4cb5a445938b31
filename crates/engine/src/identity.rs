//! What an account's settings mean to the protocol.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::{AccountSettings, LoginFault, LoginKind, Private, Sentence, ServerUri};
use secrecy::{ExposeSecret, SecretString};
use sip_core::auth::{Credentials, Home};
use sip_core::inside::{Inside, Network};
use sip_core::{Path, Transport};
use sip_message::{Host, NameAddr, Uri, UriError};
use wire::{ClientTls, Remembered, Roots};

use crate::account::AccountFacts;
use crate::names;
use crate::own_headers;
use crate::rules::Rules;

/// Settings that cannot be used. What was typed is kept as it may be told to a person: by [`IdentityError::sentence`],
/// and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The address of record.
    Aor(model::Identity),
    /// The registrar.
    Registrar(ServerUri),
    /// The outbound proxy.
    Proxy(ServerUri),
    /// The local address.
    Bind(String),
    /// The files for TLS.
    Tls(Private),
    /// The public address.
    Public(String),
    /// A network that is inside.
    Inside(String),
    /// The name for peers inside.
    InsideName(String),
    /// The path of a WebSocket server.
    WebSocketPath(Private),
    /// The STUN server is neither a host nor a host with a port.
    Stun(ServerUri),
    /// The relay is none of the forms that name one.
    Turn(ServerUri),
    /// A further login.
    Login(LoginFault),
    /// Somebody to watch, and what is wrong with it.
    Watched(model::Identity, Sentence),
    /// An extra header.
    Header(Private),
    /// A header that requests carry already, or that steers them.
    OwnHeader(Private),
    /// A rule for headers, and what is wrong with it.
    Rule(Private, &'static str),
    /// Where calls are to be sent on to.
    Forward(Private),
    /// Who is told how calls sounded.
    Collector(model::Identity),
    /// A codec.
    Codec(String),
    /// A registration for no time, by which the registrar would forget the phone (RFC 3261 §10.2.2).
    Expires,
}

impl IdentityError {
    /// What is wrong, and what a good value looks like; without a full stop.
    pub fn sentence(&self) -> Sentence {
        let text = match self {
            Self::Aor(typed) => format!(
                "“{}” is not a SIP address; it looks like sip:alice@example.com",
                typed.reveal()
            ),
            Self::Registrar(typed) => format!(
                "“{}” is not a registrar; it looks like sip:example.com or sip:192.0.2.1:5060",
                typed.reveal()
            ),
            Self::Proxy(typed) => format!(
                "“{}” is not a proxy; it looks like sip:proxy.example.com:5060;transport=tcp;lr",
                typed.reveal()
            ),
            Self::Bind(typed) => format!(
                "“{typed}” is not a local address or the name of a network interface that has one; it looks like \
                 192.0.2.10:5060 or eth0"
            ),
            Self::Tls(why) => format!("TLS cannot be used: {}", why.reveal()),
            Self::Public(typed) => format!(
                "“{typed}” is not a public address; it looks like 198.51.100.7 or 198.51.100.7:5060"
            ),
            Self::Inside(typed) => {
                format!("“{typed}” is not a network; it looks like 192.168.0.0/16 or 2001:db8::/32")
            }
            Self::InsideName(typed) => {
                format!("“{typed}” is not a name for peers inside; it looks like phone.example.com")
            }
            Self::WebSocketPath(typed) => {
                format!("“{}” is not a path; it looks like /ws", typed.reveal())
            }
            Self::Stun(typed) => format!(
                "`{}` is no STUN server: a host or HOST:PORT is needed",
                typed.reveal()
            ),
            Self::Turn(typed) => format!(
                "`{}` is no relay: turn:HOST, turn:HOST:PORT?transport=tcp or turns:HOST is needed",
                typed.reveal()
            ),
            Self::Login(fault) => fault.to_string(),
            Self::Watched(typed, why) => {
                format!("“{}” cannot be watched: {}", typed.reveal(), why.reveal())
            }
            Self::Header(typed) => format!(
                "“{}” is not a header; it looks like X-Room: 42",
                typed.reveal()
            ),
            Self::OwnHeader(typed) => format!(
                "“{}” is written by Tipring itself; a header of your own looks like X-Room: 42",
                typed.reveal()
            ),
            Self::Rule(typed, why) => format!(
                "“{}” is not a rule for headers: {why}; one looks like out INVITE add X-Room: 42",
                typed.reveal()
            ),
            Self::Collector(typed) => format!(
                "“{}” is nobody who can be told how calls sounded; it looks like sip:quality@example.com",
                typed.reveal()
            ),
            Self::Forward(typed) => format!(
                "calls cannot be sent on to “{}”; it looks like 602 or sip:bob@example.com",
                typed.reveal()
            ),
            Self::Expires => {
                "a registration for 0 s would sign out; 600 s are usual, 30 s the least".to_owned()
            }
            Self::Codec(typed) => {
                format!("“{typed}” is not a codec; there are opus, g722, pcmu and pcma")
            }
        };
        text.into()
    }
}

/// An account as the protocol sees it.
#[derive(Clone)]
pub(crate) struct Identity {
    /// What From says, without a tag.
    pub(crate) from: NameAddr,
    /// Where REGISTER goes.
    pub(crate) registrar: Uri,
    /// The next hop of everything, when one is set.
    pub(crate) proxy: Option<Uri>,
    /// Further proxies, each for a flow of its own (RFC 5626 §4.2).
    pub(crate) more_proxies: Vec<Uri>,
    /// The address to tell in place of the local one; port 0 is the local port.
    pub(crate) public: Option<SocketAddr>,
    /// Who is inside our own network, and what is told there.
    pub(crate) inside: Inside,
    pub(crate) transport: Option<Transport>,
    pub(crate) bind: Option<SocketAddr>,
    /// The user part of our Contact. Part of it cannot be guessed, so that only those who were told
    /// by our registrar reach the account by it.
    pub(crate) contact_user: String,
    pub(crate) headers: Vec<(String, String)>,
    /// What is changed in requests before they leave, and in answers before they are looked at.
    pub(crate) rules: Arc<Rules>,
    pub(crate) codecs: Vec<sdp::Codec>,
    /// How to be a client of TLS, when the settings name files for that.
    pub(crate) tls: Option<Arc<ClientTls>>,
    /// The file of the key that waits for its passphrase: until then there is no certificate of ours.
    pub(crate) locked_key: Option<Private>,
    /// What WebSocket servers are asked for, where the settings say so.
    pub(crate) ws_path: Option<String>,
    auth_user: String,
    /// Whether those who ask for a login that is not there are shown that of a guest.
    pub(crate) guest_login: bool,
    /// How long what needs a login that is not there waits for a person to give one.
    pub(crate) login_wait: Option<Duration>,
    /// Whether the secret is a bearer token.
    token: bool,
    /// Whether challenges by MD5 get no answer.
    strong_login: bool,
}

/// The address of record, masked.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = model::Identity::new(self.from.uri.to_string());
        f.debug_tuple("Identity").field(&address).finish()
    }
}

/// What the settings say of our own network.
fn inside(settings: &AccountSettings) -> Result<Inside, IdentityError> {
    let network = |text: &String| {
        let network = text.parse::<Network>();
        network.map_err(|_| IdentityError::Inside(text.clone()))
    };
    let name = |text: &String| {
        let name = Host::parse(text.trim());
        name.map_err(|_| IdentityError::InsideName(text.clone()))
    };
    Ok(Inside {
        networks: settings
            .inside
            .iter()
            .map(network)
            .collect::<Result<_, _>>()?,
        name: settings.inside_name.as_ref().map(name).transpose()?,
    })
}

/// What the settings say about TLS, where `None` leaves it to the roots of the system, and the file of a key
/// whose passphrase is not known.
fn client_tls(
    settings: &AccountSettings,
    key_passphrase: Option<&SecretString>,
) -> Result<(Option<Arc<ClientTls>>, Option<Private>), IdentityError> {
    let has_files =
        settings.tls_ca.is_some() || settings.tls_cert.is_some() || settings.tls_key.is_some();
    if !has_files && settings.tls_trust.is_empty() {
        return Ok((None, None));
    }
    let mut locked = None;
    let read = |file: &str| {
        std::fs::read(file).map_err(|error| IdentityError::Tls(format!("{file}: {error}").into()))
    };
    let refused = |error: wire::TlsError| IdentityError::Tls(error.to_string().into());
    let roots = match &settings.tls_ca {
        Some(file) => Roots::Pem(read(file.reveal())?),
        None => Roots::Platform,
    };
    let own = match (&settings.tls_cert, &settings.tls_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let passphrase = key_passphrase.map(ExposeSecret::expose_secret);
            let (certificate, pem) = (read(certificate.reveal())?, read(key.reveal())?);
            match wire::Identity::from_pem_with(&certificate, &pem, passphrase) {
                Ok(own) => Some(own),
                Err(wire::TlsError::KeyLocked) => {
                    locked = Some(key.clone());
                    None
                }
                Err(error @ wire::TlsError::WrongPassphrase) => {
                    return Err(IdentityError::Tls(
                        format!("{}: {error}", key.reveal()).into(),
                    ));
                }
                Err(error) => return Err(refused(error)),
            }
        }
        _ => {
            let text = "a certificate needs its key, and a key its certificate";
            return Err(IdentityError::Tls(text.into()));
        }
    };
    let remembered = Remembered::default();
    for text in &settings.tls_trust {
        let fingerprint = text.parse::<wire::Fingerprint>();
        let fingerprint =
            fingerprint.map_err(|error| IdentityError::Tls(format!("“{text}”: {error}").into()))?;
        remembered.accept(fingerprint);
    }
    let tls = ClientTls::new(&roots, remembered, own.as_ref()).map_err(refused)?;
    Ok((Some(Arc::new(tls)), locked))
}

impl Identity {
    /// Reads the settings; `secret` makes the Contact hard to guess and stays the same for an
    /// account as long as the program runs.
    pub(crate) fn new(settings: &AccountSettings, secret: u32) -> Result<Self, IdentityError> {
        Self::at(settings, secret, None, None)
    }

    /// The same, at this local address unless the settings name another, and with the passphrase of a
    /// locked key.
    pub(crate) fn at(
        settings: &AccountSettings,
        secret: u32,
        tenant_bind: Option<&str>,
        key_passphrase: Option<&SecretString>,
    ) -> Result<Self, IdentityError> {
        let aor = parse_aor(settings.aor.reveal())
            .ok_or_else(|| IdentityError::Aor(settings.aor.clone()))?;
        let registrar = match settings.registrar.as_ref().map(ServerUri::reveal) {
            Some(text) => {
                parse_host_uri(text).ok_or_else(|| IdentityError::Registrar(text.into()))?
            }
            None => Uri {
                user: None,
                password: None,
                ..aor.clone()
            },
        };
        let parse_proxy = |text: &ServerUri| {
            parse_host_uri(text.reveal()).ok_or_else(|| IdentityError::Proxy(text.clone()))
        };
        let proxy = settings.proxy.as_ref().map(parse_proxy).transpose()?;
        let more_proxies = settings
            .more_proxies
            .iter()
            .map(parse_proxy)
            .collect::<Result<_, _>>()?;
        if settings.register && settings.expires_s == 0 {
            return Err(IdentityError::Expires);
        }
        let bind = settings.bind.as_deref().or(tenant_bind);
        let bind = bind.map(local_address).transpose()?;
        let public = match settings.public_address.as_deref() {
            Some(text) => {
                Some(parse_bind(text).ok_or_else(|| IdentityError::Public(text.to_owned()))?)
            }
            None => None,
        };
        if let Some(text) = &settings.stun
            && crate::mapped::server(text.reveal()).is_none()
        {
            return Err(IdentityError::Stun(text.clone()));
        }
        if let Some(text) = &settings.turn
            && crate::relay::server(text.reveal()).is_none()
        {
            return Err(IdentityError::Turn(text.clone()));
        }
        let headers = settings
            .headers
            .iter()
            .map(|line| own_headers::parse_header(line.reveal()))
            .collect::<Result<_, _>>()?;
        let codecs = settings
            .codecs
            .iter()
            .map(|name| {
                sdp::Codec::from_name(name).ok_or_else(|| IdentityError::Codec(name.clone()))
            })
            .collect::<Result<_, _>>()?;
        let user = aor.user.clone().unwrap_or_default();
        let display = Some(settings.display_name.reveal().to_owned()).filter(|d| !d.is_empty());
        // The domain of an address of record has no port of its own unless one was typed.
        let mut address = aor.clone();
        address.params = Default::default();
        address.headers.clear();
        let mut from = NameAddr::new(address);
        from.display = display;
        let (tls, locked_key) = client_tls(settings, key_passphrase)?;
        let identity = Self {
            from,
            registrar,
            proxy,
            more_proxies,
            public,
            inside: inside(settings)?,
            token: settings.login == LoginKind::Token,
            strong_login: settings.strong_login,
            guest_login: settings.guest_login,
            login_wait: login_wait(settings),
            transport: settings.transport.map(names::core_transport),
            bind,
            contact_user: contact_user(&user, secret),
            headers,
            rules: Arc::new(Rules::parse(&settings.header_rules)?),
            codecs,
            tls,
            locked_key,
            ws_path: settings
                .ws_path
                .as_deref()
                .map(websocket_path)
                .transpose()?,
            auth_user: settings
                .auth_user
                .as_ref()
                .map_or(user, |name| name.reveal().to_owned()),
        };
        for login in &settings.logins {
            login.check().map_err(IdentityError::Login)?;
        }
        for watched in &settings.watched {
            if let Err(why) = identity.target(watched.reveal()) {
                return Err(IdentityError::Watched(watched.clone(), why));
            }
        }
        Ok(identity)
    }

    /// The address to tell a peer where this is the local one.
    pub(crate) fn told_address(&self, local: IpAddr, peer: Option<IpAddr>) -> IpAddr {
        if peer.is_some_and(|peer| self.inside.holds(peer)) {
            return local;
        }
        self.public
            .map(|public| public.ip())
            .filter(|public| public.is_ipv4() == local.is_ipv4())
            .unwrap_or(local)
    }

    /// The Contact for a call by this way, where it leads to somebody inside. An address that reaches us from
    /// anywhere, or by a flow that the registrar keeps, is good inside, too.
    pub(crate) fn contact_inside(&self, path: &Path, present: Option<&Uri>) -> Option<Uri> {
        let from_anywhere = |uri: &Uri| uri.params.has("gr") || uri.params.has("ob");
        let told = self.inside.told(path)?;
        if present.is_some_and(from_anywhere) {
            return None;
        }
        let transport = match path.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
            // RFC 7118 §5.2: `ws` also names the secure kind.
            Transport::Ws | Transport::Wss => ";transport=ws",
        };
        Uri::parse(&format!("sip:{}@{told}{transport}", self.contact_user)).ok()
    }

    /// Takes what servers need not know of from new settings.
    pub(crate) fn set_aside(&mut self, settings: &AccountSettings) {
        self.login_wait = login_wait(settings);
    }

    /// The name for logins.
    pub(crate) fn login_name(&self) -> &str {
        &self.auth_user
    }

    /// User part of the address of record.
    pub(crate) fn user(&self) -> &str {
        self.from.uri.user.as_deref().unwrap_or("")
    }

    /// The name and password, or the token, to answer challenges with.
    pub(crate) fn credentials(&self, password: Option<&SecretString>) -> Option<Credentials> {
        if self.token {
            return password
                .and_then(|token| Credentials::bearer(token.expose_secret().to_owned()));
        }
        password.map(|password| {
            let password = password.expose_secret().to_owned();
            self.as_strong(Credentials::new(self.auth_user.clone(), password))
        })
    }

    /// Credentials that answer what the account lets be answered.
    pub(crate) fn as_strong(&self, credentials: Credentials) -> Credentials {
        credentials.strong_only(self.strong_login)
    }

    /// Whose challenges the password answers: the servers of the settings, those that the registrar
    /// named or answered from, and the realms that it let us in by.
    pub(crate) fn home(&self, facts: &AccountFacts) -> Home {
        let domain = Uri {
            user: None,
            password: None,
            ..self.from.uri.clone()
        };
        let mut home = Home::new(vec![domain, self.registrar.clone()]);
        let routes = facts.service_route.iter().map(|route| route.uri.clone());
        let proxies = self.proxy.clone().into_iter().chain(routes);
        proxies.for_each(|proxy| home.add_server(proxy));
        facts.servers.iter().for_each(|at| home.add_address(*at));
        facts.realms.iter().for_each(|realm| home.add_realm(realm));
        home.set_floor(facts.weakest_login);
        home
    }

    /// What every request of the account passes, nearest first: the outbound proxy, then what the registrar named
    /// (RFC 3608 §6.2). Most registrars name the proxy that the registration came by, which is not visited twice.
    pub(crate) fn route(&self, facts: &AccountFacts) -> Vec<Uri> {
        let mut services = facts.service_route.iter().map(|route| route.uri.clone());
        let mut route: Vec<Uri> = Vec::new();
        if let Some(proxy) = self.proxy.clone() {
            match services.next() {
                Some(first) => match same_hop(&proxy, &first) {
                    Some(both) => route.push(both),
                    None => route.extend([proxy, first]),
                },
                None => route.push(proxy),
            }
        }
        route.extend(services);
        route
    }

    /// The URI of what a person typed: a number or name at the account's domain, `user@host`, or a
    /// whole URI.
    pub(crate) fn target(&self, typed: &str) -> Result<Uri, Sentence> {
        target_at(&self.from.uri, typed)
    }

    /// Who is told how calls sounded: a SIP address with or without its scheme. A word alone is none, for whoever has that
    /// name at home would be told who called whom.
    pub(crate) fn collector(&self, typed: &str) -> Result<Uri, Sentence> {
        let lower = typed.trim().to_ascii_lowercase();
        let is_address =
            lower.starts_with("sip:") || lower.starts_with("sips:") || lower.contains('@');
        if !is_address {
            return Err(format!("“{typed}” is no SIP address.").into());
        }
        self.target(typed)
    }
}

/// Whether something that was typed can be called at all, whatever the account.
///
/// # Errors
/// A sentence on why not.
pub fn check_target(typed: &str) -> Result<(), Sentence> {
    let anywhere = Uri::parse("sip:nobody@example.invalid").map_err(|e| e.to_string())?;
    target_at(&anywhere, typed).map(drop)
}

/// The user part of our Contacts: new at each start, so that nobody else guesses it.
fn contact_user(user: &str, secret: u32) -> String {
    format!("{user}-{secret:08x}")
}

/// Whether a user part is made as [`contact_user`] makes it for this user, in this start or an earlier one.
pub(crate) fn is_contact_user(text: &str, user: &str) -> bool {
    let secret = text
        .strip_prefix(user)
        .and_then(|rest| rest.strip_prefix('-'));
    secret.is_some_and(|secret| {
        secret.len() == 8 && secret.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

fn target_at(account: &Uri, typed: &str) -> Result<Uri, Sentence> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Err("Nothing was typed.".into());
    }
    let lower = typed.to_ascii_lowercase();
    if lower.starts_with("sip:") || lower.starts_with("sips:") {
        return Uri::parse(typed).map_err(|e| no_address(typed, &e));
    }
    if let Some(number) = lower.strip_prefix("tel:") {
        let number = tel_number(number).ok_or_else(|| {
            format!("“{typed}” holds no number; it looks like tel:+49-30-123456.")
        })?;
        return at_domain(account, &number, typed);
    }
    if let Some(rest) = lower.strip_prefix("callto:") {
        // As long as in capitals, too.
        let rest = typed.get(typed.len() - rest.len()..).unwrap_or_default();
        return target_at(account, rest.trim_start_matches('/'));
    }
    if let Some(scheme) = other_scheme(&lower) {
        return Err(format!(
            "“{typed}” cannot be called: what is called begins with sip:, sips: or tel:, and not with {scheme}:."
        )
        .into());
    }
    if typed.contains('@') {
        let scheme = account.scheme.as_str();
        return Uri::parse(&format!("{scheme}:{typed}")).map_err(|e| no_address(typed, &e));
    }
    let user = number(typed).unwrap_or_else(|| typed.to_owned());
    at_domain(account, &user, typed)
}

/// Schemes of addresses that are no telephone's. Without a list `mailto:x@y` could not be told from a name with a
/// password before a host.
const OTHER_SCHEMES: [&str; 24] = [
    "acct", "data", "facetime", "file", "ftp", "geo", "h323", "http", "https", "iax", "iax2", "im",
    "ldap", "mailto", "msteams", "news", "pres", "sms", "smsto", "skype", "urn", "ws", "wss",
    "xmpp",
];

/// The scheme of an address that is not for telephones. A host with a port is none, nor is a name with a password.
fn other_scheme(lower: &str) -> Option<&str> {
    let (scheme, rest) = lower.split_once(':')?;
    let mut letters = scheme.chars();
    // RFC 3986 §3.1.
    let is_one = letters.next().is_some_and(|c| c.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let is_port = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    let is_other = rest.starts_with("//") || (OTHER_SCHEMES.contains(&scheme) && !is_port);
    (is_one && is_other).then_some(scheme)
}

fn at_domain(domain: &Uri, user: &str, typed: &str) -> Result<Uri, Sentence> {
    if user.is_empty() || user == "+" {
        return Err(format!("“{typed}” holds no number.").into());
    }
    // The registrar's host is where numbers live when it was given with its own port.
    let mut text = format!(
        "{}:{}@{}",
        domain.scheme.as_str(),
        escape_user(user),
        domain.host
    );
    if let Some(port) = domain.port {
        text.push_str(&format!(":{port}"));
    }
    Uri::parse(&text).map_err(|e| no_address(typed, &e))
}

fn no_address(typed: &str, error: &UriError) -> Sentence {
    format!("“{typed}” is not an address: {error}.").into()
}

/// The number that a person wrote with signs between, as the network wants it: without. `None` where it is
/// none. A zero in brackets behind a country code is dialled inside the country only: `+49 (0)30 123`.
fn number(written: &str) -> Option<String> {
    let international = written.trim_start().starts_with('+');
    let written = match international {
        true => written.replacen("(0)", "", 1),
        false => written.to_owned(),
    };
    let mut number = String::with_capacity(written.len());
    for c in written.chars() {
        match c {
            '0'..='9' | '*' | '#' => number.push(c),
            '+' if number.is_empty() => number.push(c),
            '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {}
            c if c.is_whitespace() => {}
            // Marks of direction that come along when a number is copied from a page.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            _ => return None,
        }
    }
    Some(number)
}

/// The number of what stands behind `tel:` (RFC 3966 §3). A local number with a context that is a prefix gets
/// it in front (§5.1.4); one whose context is a domain is dialled as it is.
fn tel_number(text: &str) -> Option<String> {
    let mut parts = text.split(';');
    // Links on pages have blanks escaped.
    let subscriber = number(&parts.next()?.replace("%20", " "))?;
    let context = parts.find_map(|part| part.strip_prefix("phone-context="));
    match context.and_then(number) {
        Some(prefix) if prefix.starts_with('+') && !subscriber.starts_with('+') => {
            Some(prefix + &subscriber)
        }
        _ => Some(subscriber),
    }
}

/// Escapes what may not stand in the user part as it is (RFC 3261 §25.1 `user`).
fn escape_user(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn parse_aor(text: &str) -> Option<Uri> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let uri = if lower.starts_with("sip:") || lower.starts_with("sips:") {
        Uri::parse(text).ok()?
    } else {
        Uri::parse(&format!("sip:{text}")).ok()?
    };
    uri.user
        .as_deref()
        .is_some_and(|u| !u.is_empty())
        .then_some(uri)
}

fn parse_host_uri(text: &str) -> Option<Uri> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("sip:") || lower.starts_with("sips:") {
        Uri::parse(text).ok()
    } else {
        Uri::parse(&format!("sip:{text}")).ok()
    }
}

/// The one URI for a proxy and the first Service-Route, where both name the same place (RFC 3261 §19.1.4). A transport that only one of them names is no difference: it says how, not where. Parameters of
/// the registrar's stay, since they mean something to it.
fn same_hop(proxy: &Uri, service: &Uri) -> Option<Uri> {
    let bare = |uri: &Uri| {
        let mut uri = uri.clone();
        uri.params.remove("transport");
        uri
    };
    let transport = |uri: &Uri| uri.params.get("transport").map(str::to_ascii_lowercase);
    let ways = (transport(proxy), transport(service));
    let same_way = match &ways {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    };
    if !same_way || !bare(proxy).equivalent(&bare(service)) {
        return None;
    }
    let mut both = service.clone();
    if let (Some(ours), None) = ways {
        both.params.set("transport", ours);
    }
    Some(both)
}

/// A local address, `IP` or `IP:PORT`, or that of a network interface by its name.
pub(crate) fn local_address(text: &str) -> Result<SocketAddr, IdentityError> {
    parse_bind(text)
        .or_else(|| interface_address(text.trim()))
        .ok_or_else(|| IdentityError::Bind(text.to_owned()))
}

/// The first address of an interface, one of IPv4 before one of IPv6. Addresses that mean something on
/// one link only are left out: they cannot be told to others.
#[cfg(unix)]
fn interface_address(name: &str) -> Option<SocketAddr> {
    let of_interface = nix::ifaddrs::getifaddrs()
        .ok()?
        .filter(|interface| interface.interface_name == name)
        .filter_map(|interface| interface.address);
    let mut ipv6 = None;
    for address in of_interface {
        if let Some(v4) = address.as_sockaddr_in() {
            return Some(SocketAddr::from((v4.ip(), 0)));
        }
        let v6 = address
            .as_sockaddr_in6()
            .map(nix::sys::socket::SockaddrIn6::ip);
        ipv6 = ipv6.or(v6.filter(|ip| !ip.is_unicast_link_local()));
    }
    ipv6.map(|ip| SocketAddr::from((ip, 0)))
}

/// Interfaces have no short names here.
#[cfg(not(unix))]
fn interface_address(_: &str) -> Option<SocketAddr> {
    None
}

fn parse_bind(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|ip| SocketAddr::new(ip, 0)))
}

/// How long what needs a login that is not there waits for a person.
fn login_wait(settings: &AccountSettings) -> Option<Duration> {
    let seconds = settings.login_wait_s;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// A path of HTTP (RFC 9112 §3.2.1), with or without a query.
fn websocket_path(text: &str) -> Result<String, IdentityError> {
    let text = text.trim();
    let fine = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    match fine {
        true => Ok(text.to_owned()),
        false => Err(IdentityError::WebSocketPath(text.into())),
    }
}

/// Whether settings can be used, said in a sentence when not.
pub(crate) fn check(settings: &AccountSettings) -> Result<(), IdentityError> {
    let identity = Identity::new(settings, 0)?;
    let calls = &settings.calls;
    let places = [
        &calls.forward_always,
        &calls.forward_busy,
        &calls.forward_no_answer,
    ];
    for place in places.into_iter().flatten() {
        identity
            .target(place.reveal())
            .map_err(|_| IdentityError::Forward(place.clone()))?;
    }
    if let Some(collector) = &settings.quality_report {
        identity
            .collector(collector.reveal())
            .map_err(|_| IdentityError::Collector(collector.clone()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(aor: &str) -> Identity {
        Identity::new(&AccountSettings::new(aor), 0xBEEF).expect("the settings are good")
    }

    #[test]
    fn a_contact_is_told_from_a_number_by_its_user_and_its_secret() {
        for secret in [0, 0xbad_cafe, u32::MAX] {
            assert!(is_contact_user(&contact_user("bob", secret), "bob"));
            assert!(is_contact_user(&contact_user("a-b", secret), "a-b"));
        }
        for number in [
            "bob",
            "bob-",
            "bob-0badcaf",
            "bob-0badcafe1",
            "bob-0badcafg",
            "bobby-0badcafe",
            "030-12345678",
            "0badcafe",
            "",
        ] {
            assert!(!is_contact_user(number, "bob"), "{number}");
        }
    }

    #[test]
    fn a_collector_of_quality_is_an_address_and_no_word() {
        let told = |collector: &str| {
            let mut settings = AccountSettings::new("sip:alice@example.com");
            settings.quality_report = Some(collector.into());
            check(&settings)
        };
        for good in [
            "sip:quality@example.com",
            "SIPS:quality@example.com:5061",
            "sip:collector.example.com",
            "quality@example.com",
        ] {
            assert!(told(good).is_ok(), "{good}");
        }
        for bad in ["nonsense", "", "600", "tel:+49301234", "sip:", "http://a@b"] {
            let error = told(bad).expect_err(bad);
            assert!(matches!(error, IdentityError::Collector(_)), "{error:?}");
            assert!(
                error
                    .sentence()
                    .reveal()
                    .contains("sip:quality@example.com")
            );
        }
    }

    #[test]
    fn what_a_person_types_becomes_an_address() {
        let alice = identity("sip:alice@example.com");
        for (typed, uri) in [
            ("600", "sip:600@example.com"),
            (" +49 (30) 123-456 ", "sip:+4930123456@example.com"),
            ("bob", "sip:bob@example.com"),
            ("bob@example.org", "sip:bob@example.org"),
            (
                "sip:bob@192.0.2.1:5070;transport=tcp",
                "sip:bob@192.0.2.1:5070;transport=tcp",
            ),
            ("tel:+49-30-123", "sip:+4930123@example.com"),
            // RFC 3966 §5.1.4 and §6.
            ("tel:+1-201-555-0123", "sip:+12015550123@example.com"),
            (
                "TEL:+1%20(201)%20555.0123;ext=7",
                "sip:+12015550123@example.com",
            ),
            (
                "tel:863-1234;phone-context=+1-914-555",
                "sip:+19145558631234@example.com",
            ),
            ("tel:7042;phone-context=example.com", "sip:7042@example.com"),
            // As on letterheads and pages.
            ("+49 (0)30 / 12 34-56", "sip:+4930123456@example.com"),
            ("(030) 1234.56", "sip:030123456@example.com"),
            (
                "+1\u{a0}201\u{2011}555\u{2013}0123",
                "sip:+12015550123@example.com",
            ),
            ("\u{202a}+4930123\u{202c}", "sip:+4930123@example.com"),
            ("1+1", "sip:1+1@example.com"),
            ("*97#", "sip:*97%23@example.com"),
        ] {
            assert_eq!(
                alice.target(typed).map(|u| u.to_string()),
                Ok(uri.to_owned()),
                "{typed}"
            );
        }
        for typed in [
            "", "   ", "tel:", "tel:+", "tel:bob", "()", "sip:", "sip:bob@",
        ] {
            assert!(alice.target(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn an_address_of_another_kind_is_called_by_its_name() {
        let alice = identity("sip:alice@example.com");
        for (typed, scheme) in [
            ("mailto:bob@example.org", "mailto"),
            ("MailTo:bob@example.org", "mailto"),
            ("http://example.org/x", "http"),
            ("https://bob@example.org", "https"),
            ("urn:service:sos", "urn"),
            ("xmpp:bob@example.org", "xmpp"),
            ("gopher://example.org", "gopher"),
            ("callto:mailto:bob@example.org", "mailto"),
        ] {
            let why = alice.target(typed).expect_err(typed);
            let words = format!("and not with {scheme}:.");
            assert!(why.reveal().ends_with(&words), "{typed}: {why:?}");
            assert!(why.reveal().contains("cannot be called"), "{why:?}");
        }
        // What only looks like one.
        for (typed, uri) in [
            ("bob:secret@example.org", "sip:bob:secret@example.org"),
            ("bob:5@example.org", "sip:bob:5@example.org"),
            ("bob@example.org:5070", "sip:bob@example.org:5070"),
            ("bob@[2001:db8::1]:5070", "sip:bob@[2001:db8::1]:5070"),
            ("pbx:5070", "sip:pbx%3A5070@example.com"),
            ("sms:5070", "sip:sms%3A5070@example.com"),
            ("callto:+49-30-123456", "sip:+4930123456@example.com"),
            ("callto://Bob@example.org", "sip:Bob@example.org"),
            ("CALLTO:sips:bob@example.org", "sips:bob@example.org"),
            ("1:2", "sip:1%3A2@example.com"),
            ("sip:urn:x@example.org", "sip:urn:x@example.org"),
        ] {
            let target = alice.target(typed).map(|target| target.to_string());
            assert_eq!(target, Ok(uri.to_owned()), "{typed}");
        }
    }

    #[test]
    fn the_registrar_is_the_domain_unless_one_is_set() {
        let alice = identity("sip:alice@example.com:5070");
        assert_eq!(alice.registrar.to_string(), "sip:example.com:5070");
        assert_eq!(alice.contact_user, "alice-0000beef");
        // The user goes, the scheme and the port stay.
        let secure = identity("sips:alice@example.com:5071");
        assert_eq!(secure.registrar.to_string(), "sips:example.com:5071");
        let mut settings = AccountSettings::new("alice@example.com");
        settings.registrar = Some("192.0.2.1:5080".into());
        let alice = Identity::new(&settings, 0).expect("the settings are good");
        assert_eq!(alice.registrar.to_string(), "sip:192.0.2.1:5080");
        assert_eq!(alice.from.uri.to_string(), "sip:alice@example.com");
    }

    #[test]
    fn bad_settings_say_what_a_good_value_looks_like() {
        let with = |change: fn(&mut AccountSettings)| {
            let mut settings = AccountSettings::new("sip:alice@example.com");
            change(&mut settings);
            check(&settings)
                .expect_err("the settings are bad")
                .sentence()
                .into_revealed()
        };
        for nobody in ["", "  ", "sip:", "sip:example.com", "alice"] {
            let settings = AccountSettings::new(nobody);
            let said = check(&settings).expect_err("it is no address");
            let said = said.sentence().into_revealed();
            assert!(
                said.contains("it looks like sip:alice@example.com"),
                "{said}"
            );
        }
        assert!(
            with(|s| s.header_rules = vec!["out".into()]).contains("out INVITE add X-Room: 42")
        );
        assert!(with(|s| s.aor = "example.com".into()).contains("sip:alice@example.com"));
        assert!(with(|s| s.bind = Some("nowhere".to_owned())).contains("192.0.2.10:5060"));
        assert!(with(|s| s.headers = vec!["X-A: 1\r\nVia: x".into()]).contains("X-Room: 42"));
        for line in ["call-id: 42", "Route:", "Max-Forwards: 0", "k: 100rel"] {
            let settings = AccountSettings {
                headers: vec![line.into()],
                ..AccountSettings::new("sip:alice@example.com")
            };
            let said = check(&settings).expect_err("it is ours");
            let said = said.sentence().into_revealed();
            let name = line.split(':').next().unwrap_or_default();
            assert!(
                said.starts_with(&format!("“{name}” is written by Tipring itself")),
                "{said}"
            );
        }
        assert!(with(|s| s.codecs = vec!["g729".to_owned()]).contains("opus"));
        assert!(with(|s| s.expires_s = 0).contains("600 s"));
        let door = with(|s| s.calls.forward_busy = Some("sip:".into()));
        assert!(door.contains("bob@example.com"), "{door}");
    }

    #[test]
    fn a_service_route_that_is_the_outbound_proxy_is_not_visited_twice() {
        let route = |proxy: &str, services: &[&str]| -> Vec<String> {
            let mut settings = AccountSettings::new("sip:alice@example.com");
            settings.proxy = Some(proxy.into());
            let identity = Identity::new(&settings, 0).expect("the settings are good");
            let service = |uri: &&str| NameAddr::new(Uri::parse(uri).expect("written well"));
            let facts = AccountFacts {
                service_route: services.iter().map(service).collect(),
                ..AccountFacts::default()
            };
            let route = identity.route(&facts);
            route.iter().map(ToString::to_string).collect()
        };
        let proxy = "sip:p.example.com:5060;transport=udp;lr";
        assert_eq!(route(proxy, &[]), [proxy]);
        assert_eq!(route(proxy, &[proxy]), [proxy]);
        let named_otherwise = "sip:P.example.com:5060;LR;transport=UDP";
        assert_eq!(route(proxy, &[named_otherwise]).len(), 1);
        // The way that a person set is kept, and what the registrar wants to see again.
        let stamped = "sip:p.example.com:5060;lr;session=abc";
        let both = route(proxy, &[stamped]);
        assert_eq!(
            both,
            ["sip:p.example.com:5060;lr;session=abc;transport=udp"]
        );
        for other in [
            "sip:p.example.com;lr",
            "sip:p.example.com:5061;lr",
            "sip:q.example.com:5060;lr",
            "sip:orig@p.example.com:5060;lr",
            "sips:p.example.com:5060;lr",
            "sip:p.example.com:5060;transport=tcp;lr",
        ] {
            assert_eq!(route(proxy, &[other]), [proxy, other]);
            let behind = [proxy, other];
            assert_eq!(route(proxy, &behind), behind, "only the first can be it");
        }
    }
}
