//! The header fields by type.

use crate::error::{Fault, HeaderError};
use crate::header_name::HeaderName;
use crate::headers::Headers;
use crate::method::Method;
use crate::name_addr::{NameAddr, NameAddrView};
use crate::value::{Elements, Value, read_whole};
use crate::values::{
    AuthenticationInfo, CSeq, CallId, CallIdView, Challenge, Coding, Credentials, Date, Event,
    MediaType, Mode, Number, PrivacyValue, RAck, Reason, Replaces, RetryAfter, SessionExpires,
    SessionId, SubscriptionState, TargetDialog, Timestamp, Token, UriInfo, UserToUser, Warning,
};
use crate::via::Via;
use crate::view::malformed;

/// Each getter is `Missing` where the header is absent and `Malformed` where its value breaks the
/// grammar; the lists are empty where the header is absent.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Headers {
    /// The topmost Via.
    pub fn via_top(&self) -> Result<Via, HeaderError> {
        self.first(HeaderName::Via)
    }

    /// Every Via, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.list(HeaderName::Via)
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.one(HeaderName::From)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.one(HeaderName::To)
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        self.one::<CallIdView<'_>>(HeaderName::CallId)
            .map(|id| id.0)
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.one(HeaderName::CSeq)
    }

    /// Route, topmost first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::Route)
    }

    /// Record-Route, topmost first.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::RecordRoute)
    }

    /// Every Contact that is an address; `*` is malformed here, see [`Headers::is_contact_star`].
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::Contact)
    }

    /// The first Contact.
    pub fn contact(&self) -> Result<NameAddr, HeaderError> {
        self.first(HeaderName::Contact)
    }

    /// Whether Contact is `*`: every binding, in a REGISTER that removes them (§10.2.2).
    pub fn is_contact_star(&self) -> bool {
        self.get(HeaderName::Contact)
            .is_some_and(|value| value.trim() == "*")
    }

    /// Max-Forwards: hops left, up to 255.
    pub fn max_forwards(&self) -> Result<u8, HeaderError> {
        let number = self.one::<Number>(HeaderName::MaxForwards)?.0;
        u8::try_from(number).map_err(|_| malformed(&HeaderName::MaxForwards, Fault::Range))
    }

    /// Content-Length.
    pub fn content_length(&self) -> Result<usize, HeaderError> {
        let length = self.one::<Number>(HeaderName::ContentLength)?.0;
        usize::try_from(length).map_err(|_| malformed(&HeaderName::ContentLength, Fault::Range))
    }

    /// The challenges of a 401 or 407: WWW-Authenticate, then Proxy-Authenticate. One that cannot
    /// be read is passed over as long as another can (a new scheme must not lock old phones out).
    pub fn challenges(&self) -> Result<Vec<Challenge>, HeaderError> {
        let mut challenges = self.www_challenges()?;
        challenges.extend(self.proxy_challenges()?);
        Ok(challenges)
    }

    /// Expires, in seconds, below 2³².
    pub fn expires(&self) -> Result<u32, HeaderError> {
        self.number(HeaderName::Expires)
    }

    /// Min-Expires, in seconds.
    pub fn min_expires(&self) -> Result<u32, HeaderError> {
        self.number(HeaderName::MinExpires)
    }

    /// Min-SE (RFC 4028), in seconds; its parameters are passed over.
    pub fn min_se(&self) -> Result<u32, HeaderError> {
        self.one::<SessionExpires>(HeaderName::MinSe)
            .map(|min| min.interval_s)
    }

    /// RSeq (RFC 3262).
    pub fn rseq(&self) -> Result<u32, HeaderError> {
        self.number(HeaderName::RSeq)
    }

    /// RAck (RFC 3262).
    pub fn rack(&self) -> Result<RAck, HeaderError> {
        self.one(HeaderName::RAck)
    }

    /// Flow-Timer (RFC 5626), in seconds.
    pub fn flow_timer(&self) -> Result<u32, HeaderError> {
        self.number(HeaderName::FlowTimer)
    }

    /// Path (RFC 3327).
    pub fn paths(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::Path)
    }

    /// Service-Route (RFC 3608).
    pub fn service_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::ServiceRoute)
    }

    /// P-Asserted-Identity (RFC 3325).
    pub fn asserted_identities(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::PAssertedIdentity)
    }

    /// P-Preferred-Identity (RFC 3325).
    pub fn preferred_identities(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::PPreferredIdentity)
    }

    /// P-Associated-URI (RFC 7315).
    pub fn associated_uris(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::PAssociatedUri)
    }

    /// Diversion (RFC 5806), last diverting user first.
    pub fn diversions(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::Diversion)
    }

    /// History-Info (RFC 7044), oldest first.
    pub fn history(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::HistoryInfo)
    }

    /// Remote-Party-ID, which some still send.
    pub fn remote_party_ids(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(HeaderName::RemotePartyId)
    }

    /// Reply-To.
    pub fn reply_to(&self) -> Result<NameAddr, HeaderError> {
        self.one(HeaderName::ReplyTo)
    }

    /// Refer-To (RFC 3515).
    pub fn refer_to(&self) -> Result<NameAddr, HeaderError> {
        self.one(HeaderName::ReferTo)
    }

    /// Referred-By (RFC 3892).
    pub fn referred_by(&self) -> Result<NameAddr, HeaderError> {
        self.one(HeaderName::ReferredBy)
    }

    /// Replaces (RFC 3891).
    pub fn replaces(&self) -> Result<Replaces, HeaderError> {
        self.one(HeaderName::Replaces)
    }

    /// Join (RFC 3911).
    pub fn join(&self) -> Result<Replaces, HeaderError> {
        self.one(HeaderName::Join)
    }

    /// Target-Dialog (RFC 4538).
    pub fn target_dialog(&self) -> Result<TargetDialog, HeaderError> {
        self.one(HeaderName::TargetDialog)
    }

    /// Session-Expires (RFC 4028).
    pub fn session_expires(&self) -> Result<SessionExpires, HeaderError> {
        self.one(HeaderName::SessionExpires)
    }

    /// Session-ID (RFC 7989).
    pub fn session_id(&self) -> Result<SessionId, HeaderError> {
        self.one(HeaderName::SessionId)
    }

    /// Event (RFC 6665).
    pub fn event(&self) -> Result<Event, HeaderError> {
        self.one(HeaderName::Event)
    }

    /// Subscription-State (RFC 6665).
    pub fn subscription_state(&self) -> Result<SubscriptionState, HeaderError> {
        self.one(HeaderName::SubscriptionState)
    }

    /// Allow-Events (RFC 6665).
    pub fn allow_events(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(HeaderName::AllowEvents)
    }

    /// Require: option tags.
    pub fn require(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(HeaderName::Require)
    }

    /// Supported: option tags.
    pub fn supported(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(HeaderName::Supported)
    }

    /// Proxy-Require: option tags.
    pub fn proxy_require(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(HeaderName::ProxyRequire)
    }

    /// Unsupported: option tags.
    pub fn unsupported(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(HeaderName::Unsupported)
    }

    /// Content-Encoding, in the order of application.
    pub fn content_encoding(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(HeaderName::ContentEncoding)
    }

    /// Content-Language.
    pub fn content_language(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(HeaderName::ContentLanguage)
    }

    /// Recv-Info (RFC 6086): info packages.
    pub fn recv_info(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(HeaderName::RecvInfo)
    }

    /// Allow.
    pub fn allow(&self) -> Result<Vec<Method>, HeaderError> {
        self.list(HeaderName::Allow)
    }

    /// Info-Package (RFC 6086).
    pub fn info_package(&self) -> Result<Event, HeaderError> {
        self.one(HeaderName::InfoPackage)
    }

    /// Reason (RFC 3326), one for each protocol.
    pub fn reasons(&self) -> Result<Vec<Reason>, HeaderError> {
        self.list(HeaderName::Reason)
    }

    /// Warning.
    pub fn warnings(&self) -> Result<Vec<Warning>, HeaderError> {
        self.list(HeaderName::Warning)
    }

    /// Retry-After.
    pub fn retry_after(&self) -> Result<RetryAfter, HeaderError> {
        self.one(HeaderName::RetryAfter)
    }

    /// Privacy (RFC 3323).
    pub fn privacy(&self) -> Result<Vec<String>, HeaderError> {
        self.one::<PrivacyValue>(HeaderName::Privacy)
            .map(|privacy| privacy.0)
    }

    /// Answer-Mode (RFC 5373).
    pub fn answer_mode(&self) -> Result<Mode, HeaderError> {
        self.one(HeaderName::AnswerMode)
    }

    /// Priv-Answer-Mode (RFC 5373).
    pub fn priv_answer_mode(&self) -> Result<Mode, HeaderError> {
        self.one(HeaderName::PrivAnswerMode)
    }

    /// Refer-Sub (RFC 4488).
    pub fn refer_sub(&self) -> Result<Mode, HeaderError> {
        self.one(HeaderName::ReferSub)
    }

    /// Alert-Info.
    pub fn alert_info(&self) -> Result<Vec<UriInfo>, HeaderError> {
        self.list(HeaderName::AlertInfo)
    }

    /// Call-Info.
    pub fn call_info(&self) -> Result<Vec<UriInfo>, HeaderError> {
        self.list(HeaderName::CallInfo)
    }

    /// Error-Info.
    pub fn error_info(&self) -> Result<Vec<UriInfo>, HeaderError> {
        self.list(HeaderName::ErrorInfo)
    }

    /// User-to-User (RFC 7433).
    pub fn user_to_user(&self) -> Result<Vec<UserToUser>, HeaderError> {
        self.list(HeaderName::UserToUser)
    }

    /// Security-Client (RFC 3329).
    pub fn security_client(&self) -> Result<Vec<Mode>, HeaderError> {
        self.list(HeaderName::SecurityClient)
    }

    /// Security-Server (RFC 3329).
    pub fn security_server(&self) -> Result<Vec<Mode>, HeaderError> {
        self.list(HeaderName::SecurityServer)
    }

    /// Security-Verify (RFC 3329).
    pub fn security_verify(&self) -> Result<Vec<Mode>, HeaderError> {
        self.list(HeaderName::SecurityVerify)
    }

    /// Content-Type.
    pub fn content_type(&self) -> Result<MediaType, HeaderError> {
        self.one(HeaderName::ContentType)
    }

    /// Content-Disposition.
    pub fn content_disposition(&self) -> Result<Mode, HeaderError> {
        self.one(HeaderName::ContentDisposition)
    }

    /// Accept. Present and empty means that no body is welcome (§20.1).
    pub fn accept(&self) -> Result<Vec<MediaType>, HeaderError> {
        self.list(HeaderName::Accept)
    }

    /// Accept-Encoding.
    pub fn accept_encoding(&self) -> Result<Vec<Coding>, HeaderError> {
        self.list(HeaderName::AcceptEncoding)
    }

    /// Accept-Language.
    pub fn accept_language(&self) -> Result<Vec<Coding>, HeaderError> {
        self.list(HeaderName::AcceptLanguage)
    }

    /// In-Reply-To.
    pub fn in_reply_to(&self) -> Result<Vec<CallId>, HeaderError> {
        self.list(HeaderName::InReplyTo)
    }

    /// Date.
    pub fn date(&self) -> Result<Date, HeaderError> {
        self.one(HeaderName::Date)
    }

    /// Timestamp.
    pub fn timestamp(&self) -> Result<Timestamp, HeaderError> {
        self.one(HeaderName::Timestamp)
    }

    /// Priority.
    pub fn priority(&self) -> Result<String, HeaderError> {
        self.one::<Token>(HeaderName::Priority).map(|token| token.0)
    }

    /// SIP-ETag (RFC 3903).
    pub fn sip_etag(&self) -> Result<String, HeaderError> {
        self.one::<Token>(HeaderName::SipEtag).map(|token| token.0)
    }

    /// SIP-If-Match (RFC 3903).
    pub fn sip_if_match(&self) -> Result<String, HeaderError> {
        self.one::<Token>(HeaderName::SipIfMatch)
            .map(|token| token.0)
    }

    /// MIME-Version.
    pub fn mime_version(&self) -> Result<String, HeaderError> {
        self.one::<Token>(HeaderName::MimeVersion)
            .map(|token| token.0)
    }

    /// Subject, as text.
    pub fn subject(&self) -> Option<&str> {
        self.get(HeaderName::Subject)
    }

    /// Organization, as text.
    pub fn organization(&self) -> Option<&str> {
        self.get(HeaderName::Organization)
    }

    /// User-Agent, as text.
    pub fn user_agent(&self) -> Option<&str> {
        self.get(HeaderName::UserAgent)
    }

    /// Server, as text.
    pub fn server(&self) -> Option<&str> {
        self.get(HeaderName::Server)
    }

    /// Authentication-Info (RFC 7615).
    pub fn authentication_info(&self) -> Result<AuthenticationInfo, HeaderError> {
        self.one(HeaderName::AuthenticationInfo)
    }

    /// Authorization, one for each realm.
    pub fn authorizations(&self) -> Result<Vec<Credentials>, HeaderError> {
        self.list(HeaderName::Authorization)
    }

    /// Proxy-Authorization, one for each realm.
    pub fn proxy_authorizations(&self) -> Result<Vec<Credentials>, HeaderError> {
        self.list(HeaderName::ProxyAuthorization)
    }

    /// WWW-Authenticate, in the server's order of preference.
    pub fn www_challenges(&self) -> Result<Vec<Challenge>, HeaderError> {
        self.challenges_in(HeaderName::WwwAuthenticate)
    }

    /// Proxy-Authenticate, in the proxy's order of preference.
    pub fn proxy_challenges(&self) -> Result<Vec<Challenge>, HeaderError> {
        self.challenges_in(HeaderName::ProxyAuthenticate)
    }

    fn number(&self, name: HeaderName) -> Result<u32, HeaderError> {
        self.one::<Number>(name).map(|number| number.0)
    }

    fn tokens(&self, name: HeaderName) -> Result<Vec<String>, HeaderError> {
        let tokens = self.list::<Token>(name)?;
        Ok(tokens.into_iter().map(|token| token.0).collect())
    }

    fn challenges_in(&self, name: HeaderName) -> Result<Vec<Challenge>, HeaderError> {
        let mut challenges = Vec::new();
        let mut worst = None;
        for value in self.get_all(&name) {
            for challenge in Elements::<Challenge>::new(value.as_bytes()) {
                match challenge {
                    Ok(challenge) => challenges.push(challenge),
                    Err(fault) => worst = Some(malformed(&name, fault)),
                }
            }
        }
        match worst {
            Some(error) if challenges.is_empty() => Err(error),
            _ => Ok(challenges),
        }
    }
}

impl Headers {
    /// Every known header whose value breaks its grammar, whether anybody needs it or not. For
    /// listings; a phone reads what it needs and lets the rest be.
    pub fn faults(&self) -> Vec<HeaderError> {
        let mut faults = Vec::new();
        for field in self.iter() {
            if let Err(fault) = check(field.name(), field.value().as_bytes()) {
                faults.push(malformed(field.name(), fault));
            }
        }
        faults
    }
}

fn check(name: &HeaderName, value: &[u8]) -> Result<(), Fault> {
    use HeaderName as N;
    match name {
        N::Via => several::<Via>(value),
        N::Contact if value == b"*" => Ok(()),
        N::Contact => contacts(value),
        N::Route
        | N::RecordRoute
        | N::Path
        | N::ServiceRoute
        | N::PAssertedIdentity
        | N::PPreferredIdentity
        | N::PAssociatedUri
        | N::Diversion
        | N::HistoryInfo
        | N::RemotePartyId => several::<NameAddr>(value),
        N::From | N::To | N::ReplyTo | N::ReferTo | N::ReferredBy | N::PCalledPartyId => {
            whole::<NameAddr>(value)
        }
        N::CallId => whole::<CallId>(value),
        N::InReplyTo => several::<CallId>(value),
        N::CSeq => whole::<CSeq>(value),
        N::MaxForwards => up_to(value, 255),
        N::Expires | N::MinExpires | N::RSeq | N::ContentLength | N::FlowTimer => {
            whole::<Number>(value)
        }
        N::RAck => whole::<RAck>(value),
        N::SessionExpires | N::MinSe => whole::<SessionExpires>(value),
        N::SessionId => whole::<SessionId>(value),
        N::Replaces | N::Join => whole::<Replaces>(value),
        N::TargetDialog => whole::<TargetDialog>(value),
        N::Event | N::InfoPackage => whole::<Event>(value),
        N::SubscriptionState => whole::<SubscriptionState>(value),
        N::Allow => several_or_none::<Method>(value),
        N::Require
        | N::ProxyRequire
        | N::Unsupported
        | N::ContentEncoding
        | N::ContentLanguage
        | N::AllowEvents => several::<Token>(value),
        N::Supported | N::RecvInfo => several_or_none::<Token>(value),
        N::Reason => several::<Reason>(value),
        N::Warning => several::<Warning>(value),
        N::RetryAfter => whole::<RetryAfter>(value),
        N::Privacy => whole::<PrivacyValue>(value),
        N::AnswerMode | N::PrivAnswerMode | N::ReferSub | N::ContentDisposition => {
            whole::<Mode>(value)
        }
        N::SecurityClient | N::SecurityServer | N::SecurityVerify => several::<Mode>(value),
        N::AlertInfo | N::CallInfo | N::ErrorInfo => several::<UriInfo>(value),
        N::UserToUser => several::<UserToUser>(value),
        N::ContentType => whole::<MediaType>(value),
        N::Accept => several_or_none::<MediaType>(value),
        N::AcceptEncoding | N::AcceptLanguage => several_or_none::<Coding>(value),
        N::Date => whole::<Date>(value),
        N::Timestamp => whole::<Timestamp>(value),
        N::Priority | N::SipEtag | N::SipIfMatch | N::MimeVersion => whole::<Token>(value),
        N::Authorization | N::ProxyAuthorization => several::<Credentials>(value),
        N::WwwAuthenticate | N::ProxyAuthenticate => several::<Challenge>(value),
        N::AuthenticationInfo | N::ProxyAuthenticationInfo => whole::<AuthenticationInfo>(value),
        _ => Ok(()),
    }
}

fn whole<'a, T: Value<'a>>(value: &'a [u8]) -> Result<(), Fault> {
    read_whole::<T>(value).map(drop)
}

fn several<'a, T: Value<'a>>(value: &'a [u8]) -> Result<(), Fault> {
    Elements::<T>::new(value).try_for_each(|element| element.map(drop))
}

fn several_or_none<'a, T: Value<'a>>(value: &'a [u8]) -> Result<(), Fault> {
    if value.is_empty() {
        Ok(())
    } else {
        several::<T>(value)
    }
}

fn up_to(value: &[u8], highest: u32) -> Result<(), Fault> {
    let number = read_whole::<Number>(value)?.0;
    if number > highest {
        Err(Fault::Range)
    } else {
        Ok(())
    }
}

/// Contacts, with `expires` a number that fits.
fn contacts(value: &[u8]) -> Result<(), Fault> {
    for contact in Elements::<NameAddrView<'_>>::new(value) {
        if let Some(expires) = contact?.params.raw("expires") {
            whole::<Number>(expires)?;
        }
    }
    Ok(())
}
