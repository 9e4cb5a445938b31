//! What a call needs to know of its account and of the phone.

use std::fmt;
use std::time::Duration;

use sip_message::{Method, NameAddr, Replaces, Uri};

use super::refer::{NO_SUBSCRIPTION, TARGET_DIALOG};
use super::timer::SessionTimer;
use super::{reliable, timer};
use crate::auth::{Credentials, Home};
use crate::path::Transport;
use crate::stateless::Capabilities;
use crate::timers::Timers;

/// How to make or take a call.
#[derive(Clone)]
pub struct CallConfig {
    /// Ourselves: the From of an outgoing call (a tag in it is replaced). An incoming call takes the To it received.
    pub local: NameAddr,
    /// Whom to call: request URI and To. Not looked at by an incoming call.
    pub remote: Option<NameAddr>,
    /// User part of our Contact.
    pub contact_user: String,
    /// Our whole Contact, where the address of the path would be wrong (a public address that the registrar told).
    pub contact: Option<Uri>,
    /// Proxies the INVITE has to pass, nearest first: outbound proxy, then the registrar's Service-Route.
    pub route: Vec<Uri>,
    /// The only transport wanted; `None` for what RFC 3263 gives.
    pub transport: Option<Transport>,
    /// The account's logins.
    pub credentials: Vec<Credentials>,
    /// Whose challenges the login answers; nobody's unless told.
    pub home: Home,
    /// How long a request that is asked for a login we do not have, or whose login was refused, waits for one
    /// ([`super::Call::login`]). `None`, as unless changed: it has failed at once.
    pub login_wait: Option<Duration>,
    /// Our methods, extensions, body types and name. Without `100rel` among the extensions no provisional answer is
    /// reliable, either way.
    pub capabilities: Capabilities,
    /// Headers of our own for the INVITE or its answers, as (name, value). Those whose names begin with `X-` go with
    /// every other request of the call, too.
    pub extra_headers: Vec<(String, String)>,
    /// The offer to make when the first one is refused for what it says of media (415, 488 or 606): one new INVITE of
    /// the same call (RFC 3261 §8.1.3.5, §21.4.26). [`super::CallEvent::OfferedAgain`] says that it went out.
    pub second_offer: Option<Vec<u8>>,
    /// How long it may ring, either way. 3 minutes unless changed; `None` for ever.
    pub ring_limit: Option<Duration>,
    /// The call that this one is to take the place of at the far end (RFC 3891): an attended transfer, a pickup.
    pub replaces: Option<Replaces>,
    /// The call that this one is to join at the far end (RFC 3911).
    pub join: Option<Replaces>,
    /// Who asked us to make this call (RFC 3892).
    pub referred_by: Option<NameAddr>,
    /// To call without telling who: an anonymous From and `Privacy: id` (RFC 3323, RFC 3325 §9.3).
    pub anonymous: bool,
    /// Who we are, for a proxy that asserts identities (P-Preferred-Identity, RFC 3325 §9.2): it shows this, or tells
    /// it to nobody where the call is anonymous.
    pub preferred_identity: Option<NameAddr>,
    /// Whether P-Asserted-Identity of calls that come in is to be believed: they come from the account's own server.
    pub trusts_first_hop: bool,
    /// How many redirections (3xx) the user may follow ([`super::Call::follow`]). 0, as unless changed: a 3xx ends the
    /// call at once.
    pub redirections: u8,
    /// Info Packages (RFC 6086) whose INFO we take. INFO of no package is always taken.
    pub info_packages: Vec<String>,
    /// Our half of the Session-ID (RFC 7989), 32 hexadecimal digits, for a call that goes on from another one. `None`
    /// for a new one.
    pub session_id: Option<String>,
    /// What we want of session timers (RFC 4028). Without `timer` among the extensions there are none.
    pub session_timer: SessionTimer,
    /// T1, T2 and T4.
    pub timers: Timers,
}

impl CallConfig {
    /// A configuration with the usual values: no login, no proxy, any transport, and what a call can do.
    #[must_use]
    pub fn new(local: NameAddr, contact_user: &str) -> Self {
        let mut capabilities = Capabilities::default();
        for method in [Method::Prack, Method::Update] {
            if !capabilities.allows(&method) {
                capabilities.allow.push(method);
            }
        }
        for option in [reliable::OPTION, timer::OPTION] {
            if !capabilities.supported.iter().any(|tag| tag == option) {
                capabilities.supported.push(option.to_owned());
            }
        }
        Self {
            local,
            remote: None,
            contact_user: contact_user.to_owned(),
            contact: None,
            route: Vec::new(),
            transport: None,
            credentials: Vec::new(),
            home: Home::default(),
            login_wait: None,
            capabilities,
            extra_headers: Vec::new(),
            second_offer: None,
            ring_limit: Some(Duration::from_secs(180)),
            replaces: None,
            join: None,
            referred_by: None,
            anonymous: false,
            preferred_identity: None,
            trusts_first_hop: false,
            redirections: 0,
            info_packages: Vec::new(),
            session_id: None,
            session_timer: SessionTimer::default(),
            timers: Timers::default(),
        }
    }

    /// The same for an owner that carries out transfers: REFER and NOTIFY are allowed, Replaces, Refer-Sub and
    /// Target-Dialog are understood. Without it a REFER is answered 405, and an INVITE that requires Replaces 420.
    #[must_use]
    pub fn with_transfers(mut self) -> Self {
        for method in [Method::Refer, Method::Notify] {
            if !self.capabilities.allows(&method) {
                self.capabilities.allow.push(method);
            }
        }
        for option in ["replaces", NO_SUBSCRIPTION, TARGET_DIALOG] {
            let tags = &mut self.capabilities.supported;
            if !tags.iter().any(|tag| tag == option) {
                tags.push(option.to_owned());
            }
        }
        self
    }

    /// The same, to call this peer.
    #[must_use]
    pub fn to(mut self, remote: NameAddr) -> Self {
        self.remote = Some(remote);
        self
    }
}

impl fmt::Debug for CallConfig {
    /// Without identities and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallConfig")
            .field("transport", &self.transport)
            .field("proxies", &self.route.len())
            .field("logins", &self.credentials.len())
            .field("ring_limit", &self.ring_limit)
            .finish_non_exhaustive()
    }
}
