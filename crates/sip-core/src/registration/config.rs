//! What a registration is for.

use std::net::SocketAddr;
use std::time::Duration;

use sip_message::{NameAddr, Uri};

use crate::auth::Credentials;
use crate::inside::Inside;
use crate::path::Transport;
use crate::timers::Timers;

/// What a registration is for. Does not change while it lives.
#[derive(Clone)]
pub struct RegistrationConfig {
    /// The registrar: `sip:` and the domain. A user part is left out of the request URI.
    pub registrar: Uri,
    /// The address of record, as To and From say it.
    pub aor: NameAddr,
    /// User part of our Contact; a random one that no scanner guesses when `None`.
    pub contact_user: Option<String>,
    /// The outbound proxy through which all goes.
    pub route: Option<Uri>,
    /// The only transport to use; whatever RFC 3263 gives when `None`.
    pub transport: Option<Transport>,
    /// The time to ask for. The registrar grants what it likes.
    pub expires: Duration,
    /// `urn:uuid:…` of this instance (RFC 5626 §4.1), by which the registrar and we tell our
    /// binding from others'.
    pub instance_id: Option<String>,
    /// Number of this flow among those of the instance (RFC 5626 §4.2): the registrar then reaches
    /// us on the flow of the REGISTER and nowhere else. Without an instance it means nothing.
    pub reg_id: Option<u32>,
    /// Whether to ask for URIs that reach this instance from anywhere (RFC 5627). Without an
    /// instance it means nothing.
    pub gruu: bool,
    /// Passwords.
    pub credentials: Vec<Credentials>,
    /// Value of User-Agent; none is sent when empty.
    pub user_agent: String,
    /// Whether to put the address at which the registrar sees us into the Contact (RFC 3581
    /// §4 tells it in the response's Via). Only done on UDP: on a connection it is the
    /// connection that counts and not its address.
    pub rewrite_contact: bool,
    /// The address to tell in the Contact, whatever the registrar sees; port 0 is the local port.
    pub public: Option<SocketAddr>,
    /// Who is inside our own network, and is told the local address or a name all the same.
    pub inside: Inside,
    /// How long one server may be silent while there is another to try; 64·T1 (Timer F) when
    /// `None`, and for the last one always.
    pub patience: Option<Duration>,
    /// Timer values.
    pub timers: Timers,
}

impl RegistrationConfig {
    /// A registration with everything but registrar and address at its default: ten minutes, no
    /// proxy, no password.
    pub fn new(registrar: Uri, aor: NameAddr) -> Self {
        Self {
            registrar,
            aor,
            contact_user: None,
            route: None,
            transport: None,
            expires: Duration::from_secs(600),
            instance_id: None,
            reg_id: None,
            gruu: false,
            credentials: Vec::new(),
            user_agent: String::new(),
            rewrite_contact: true,
            public: None,
            inside: Inside::default(),
            patience: Some(Duration::from_secs(6)),
            timers: Timers::default(),
        }
    }
}
