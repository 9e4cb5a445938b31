//! What an INVITE says beside the call itself: who calls, by which way it came, how it wants to be announced and taken.

use sip_message::{HeaderName, Headers, Mode, NameAddr, Replaces, SessionId, UriInfo, UserToUser};

use super::Call;

/// How many headers of the peer's own are kept.
const LIMIT: usize = 32;

/// What the INVITE of a call that came in says, read. What cannot be read is as if it were not there.
#[derive(Clone, PartialEq)]
pub struct CallerInfo {
    /// From, as the caller wrote it.
    pub from: Option<NameAddr>,
    /// P-Asserted-Identity (RFC 3325): who the network says is calling. Empty unless
    /// [`super::CallConfig::trusts_first_hop`], since anybody can write it.
    pub asserted: Vec<NameAddr>,
    /// Privacy (RFC 3323): like `id`. Who asks for it is not to be shown to others.
    pub privacy: Vec<String>,
    /// History-Info (RFC 7044), oldest first.
    pub history: Vec<NameAddr>,
    /// Diversion (RFC 5806), latest first.
    pub diversions: Vec<NameAddr>,
    /// Alert-Info: how it wants to ring.
    pub alert_info: Vec<UriInfo>,
    /// Call-Info: a picture, a card, `answer-after`.
    pub call_info: Vec<UriInfo>,
    /// Answer-Mode (RFC 5373).
    pub answer_mode: Option<Mode>,
    /// Priv-Answer-Mode (RFC 5373).
    pub priv_answer_mode: Option<Mode>,
    /// User-to-User (RFC 7433).
    pub user_to_user: Vec<UserToUser>,
    /// The call that this one is to take the place of (RFC 3891); see [`Call::replaced_by`].
    pub replaces: Option<Replaces>,
    /// The call that this one is to join (RFC 3911); see [`Call::joined_by`].
    pub join: Option<Replaces>,
    /// Who sent the caller here (RFC 3892).
    pub referred_by: Option<NameAddr>,
    /// Subject.
    pub subject: Option<String>,
    /// Session-ID (RFC 7989).
    pub session_id: Option<SessionId>,
    /// Headers of the caller's own, as (name, value): see [`Call::peer_headers`].
    pub own_headers: Vec<(String, String)>,
}

impl Call {
    /// What the INVITE says beside the call; `None` for a call of ours.
    #[must_use]
    pub fn caller_info(&self) -> Option<CallerInfo> {
        let headers = &self.invitation()?.headers;
        let trusted = self.config.trusts_first_hop;
        let asserted = headers.asserted_identities().ok();
        Some(CallerInfo {
            from: headers.from().ok(),
            asserted: asserted.filter(|_| trusted).unwrap_or_default(),
            privacy: headers.privacy().unwrap_or_default(),
            history: headers.history().unwrap_or_default(),
            diversions: headers.diversions().unwrap_or_default(),
            alert_info: headers.alert_info().unwrap_or_default(),
            call_info: headers.call_info().unwrap_or_default(),
            answer_mode: headers.answer_mode().ok(),
            priv_answer_mode: headers.priv_answer_mode().ok(),
            user_to_user: headers.user_to_user().unwrap_or_default(),
            replaces: headers.replaces().ok(),
            join: headers.join().ok(),
            referred_by: headers.referred_by().ok(),
            subject: headers.subject().map(str::to_owned),
            session_id: headers.session_id().ok(),
            own_headers: own_headers(headers),
        })
    }

    /// Headers of the peer's own in its last message that had any, as (name, value): those that no standard names, like
    /// `X-…`, and those that its network adds for others (`P-…`), but for identities.
    #[must_use]
    pub fn peer_headers(&self) -> &[(String, String)] {
        &self.peer_headers
    }

    /// Notes what each message of the peer may tell beside its purpose.
    pub(super) fn learn(&mut self, headers: &Headers) {
        self.session_ids.learn(headers);
        let own = own_headers(headers);
        if !own.is_empty() {
            self.peer_headers = own;
        }
        if headers.has(HeaderName::RecvInfo)
            && let Ok(packages) = headers.recv_info()
        {
            self.peer_packages = packages.into_iter().take(LIMIT).collect();
        }
    }

    /// Our own headers in requests that are not the first INVITE: those that mean nothing to SIP.
    pub(super) fn write_own_headers(&self, headers: &mut Headers) {
        for (name, value) in &self.config.extra_headers {
            if is_own(name) {
                headers.push(name.as_str(), value);
            }
        }
    }
}

fn own_headers(headers: &Headers) -> Vec<(String, String)> {
    let own = headers
        .iter()
        .filter(|field| is_peers_own(field.name()))
        .map(|field| (field.name().to_string(), field.value().to_owned()));
    own.take(LIMIT).collect()
}

/// Whether it means nothing here and may mean something to a person.
fn is_peers_own(name: &HeaderName) -> bool {
    let of_network = name
        .as_str()
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("p-"));
    match name {
        // RFC 3325: whom to believe these is a question of its own.
        HeaderName::PAssertedIdentity | HeaderName::PPreferredIdentity => false,
        HeaderName::Other(_) => true,
        _ => of_network || is_own(name.as_str()),
    }
}

fn is_own(name: &str) -> bool {
    name.get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}
