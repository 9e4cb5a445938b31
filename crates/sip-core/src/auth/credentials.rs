//! What is shown to those who ask, and what is missing.

use std::fmt;
use std::net::SocketAddr;

use sip_message::StatusCode;
use zeroize::Zeroizing;

use super::{AuthError, bearer, home};

/// A realm that is longer is nobody's name, and no person is asked about it.
const LONGEST_REALM: usize = 128;

/// A user name and its password, for one realm or server or for any. The password is overwritten
/// when dropped and never shown.
#[derive(Clone)]
pub struct Credentials {
    pub(super) realm: Option<String>,
    /// The only host that they are for, in small letters.
    pub(super) server: Option<String>,
    pub(super) username: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) kind: Kind,
    /// Whether nothing is answered that could be broken: MD5 (RFC 8760 §2).
    pub(super) strong: bool,
}

/// What credentials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Password,
    /// The secret is a bearer token.
    Token,
    /// Nobody's: what anybody may try.
    Guest,
}

impl Credentials {
    /// A token to show to servers that ask for one (RFC 8898), over secure transports only; `None`
    /// when it is none that can stand in a header.
    pub fn bearer(token: impl Into<String>) -> Option<Self> {
        let token = Zeroizing::new(token.into());
        bearer::is_token(&token).then(|| Self {
            realm: None,
            server: None,
            username: String::new(),
            secret: token,
            kind: Kind::Token,
            strong: false,
        })
    }

    /// Nobody's name and no password, for those who ask and for whom there is nothing else: a
    /// server may let guests in by it (RFC 3261 §22.2).
    pub fn guest() -> Self {
        Self {
            kind: Kind::Guest,
            ..Self::new("anonymous", "")
        }
    }

    /// Credentials for whatever realm asks, as far as the [`Home`](super::Home) lets it.
    pub fn new(username: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            realm: None,
            server: None,
            username: username.into(),
            secret: Zeroizing::new(secret.into()),
            kind: Kind::Password,
            strong: false,
        }
    }

    /// The same, with no answer to a challenge whose strongest algorithm is MD5.
    #[must_use]
    pub fn strong_only(self, strong: bool) -> Self {
        Self { strong, ..self }
    }

    /// The same for one realm only, whoever asks in its name. It goes before credentials for any
    /// realm.
    pub fn for_realm(self, realm: impl Into<String>) -> Self {
        Self {
            realm: Some(realm.into()),
            ..self
        }
    }

    /// The same for requests only that go to this host: where it was found (RFC 3263), or by our own
    /// server straight to it. Its name in a URI proves nothing, for anybody can write it there.
    pub fn for_server(self, server: &str) -> Self {
        Self {
            server: Some(home::host_name(server)),
            ..self
        }
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The only realm that they are for, if there is one.
    pub fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }

    /// Whether challenges by MD5 get no answer.
    pub fn is_strong_only(&self) -> bool {
        self.strong
    }

    /// The only host that they are for, if there is one.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Whether the secret is a bearer token and no password.
    pub fn is_token(&self) -> bool {
        self.kind == Kind::Token
    }

    /// Whether they are nobody's.
    pub fn is_guest(&self) -> bool {
        self.kind == Kind::Guest
    }

    /// Whether they are the account's own, for no realm and server by name.
    pub(super) fn is_accounts_own(&self) -> bool {
        self.kind == Kind::Password && self.realm.is_none() && self.server.is_none()
    }

    /// How well they fit who asks, the best with the highest number; `None` where they are not for
    /// them. Those that name nothing are for the account's own servers alone: `entitled`.
    pub(super) fn fit(
        &self,
        realm: &str,
        goes_to: impl Fn(&str) -> bool,
        entitled: bool,
    ) -> Option<u8> {
        if self.is_guest() {
            return Some(0);
        }
        let realm = match &self.realm {
            Some(own) => (own == realm).then_some(true)?,
            None => false,
        };
        let server = match &self.server {
            Some(own) => goes_to(own).then_some(true)?,
            None => false,
        };
        match (realm, server) {
            (true, true) => Some(4),
            (true, false) => Some(3),
            (false, true) => Some(2),
            (false, false) => entitled.then_some(1),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("realm", &self.realm)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// Somebody asks for a login that we do not have, or refused the one that we have.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginWanted {
    /// In whose name it is asked for, as the peer wrote it.
    pub realm: String,
    /// Whether one was shown and refused.
    pub refused: bool,
    /// Whether a proxy asks, and not the server at the end.
    pub proxy: bool,
    /// Where the request went that was answered so.
    pub address: Option<SocketAddr>,
}

impl LoginWanted {
    /// What a person can do about a challenge with this status, from this address, that is not answered for this error;
    /// nothing where no login helps.
    pub fn of(error: &AuthError, status: StatusCode, address: Option<SocketAddr>) -> Option<Self> {
        let (realm, refused) = match error {
            AuthError::NoCredentials { realm } => (realm, false),
            AuthError::Refused { realm } => (realm, true),
            AuthError::NothingKnown { .. }
            | AuthError::Stale { .. }
            | AuthError::TooOften { .. }
            | AuthError::TooWeak { .. }
            | AuthError::Weaker { .. } => return None,
        };
        let can_be_shown = realm.len() <= LONGEST_REALM && !realm.contains(char::is_control);
        can_be_shown.then(|| Self {
            realm: realm.clone(),
            refused,
            proxy: status == StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            address,
        })
    }
}

/// How often a person was asked for the login of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked(u8);

/// How often one is asked at most: for who mistypes, and no endless loop.
const MOST_QUESTIONS: u8 = 3;

impl Asked {
    /// Asks once more, unless that was done often enough.
    pub(crate) fn again(
        &mut self,
        error: &AuthError,
        status: StatusCode,
        address: Option<SocketAddr>,
    ) -> Option<LoginWanted> {
        let wanted = LoginWanted::of(error, status, address).filter(|_| self.0 < MOST_QUESTIONS)?;
        self.0 += 1;
        Some(wanted)
    }

    /// Nobody answers: there is no use in asking again.
    pub(crate) fn in_vain(&mut self) {
        self.0 = MOST_QUESTIONS;
    }
}

impl fmt::Debug for LoginWanted {
    /// Without where, which may be somebody's home.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginWanted")
            .field("realm", &self.realm)
            .field("refused", &self.refused)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
