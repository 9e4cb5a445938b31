//! Which headers are the program's own, and those that a person writes beside them.

use sip_message::HeaderName;

use crate::identity::IdentityError;

/// A header that is added to requests, `Name: value`.
pub(crate) fn parse_header(line: &str) -> Result<(String, String), IdentityError> {
    parse_header_unless(line, is_ours)
}

/// The same, with another idea of what is not to be had.
pub(crate) fn parse_header_unless(
    line: &str,
    is_kept: impl Fn(&HeaderName) -> bool,
) -> Result<(String, String), IdentityError> {
    let wrong = || IdentityError::Header(line.into());
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let (name, value) = (name.trim(), value.trim());
    let known = HeaderName::parse(name).ok_or_else(wrong)?;
    if value.contains(['\r', '\n', '\0']) {
        return Err(wrong());
    }
    if is_kept(&known) {
        return Err(IdentityError::OwnHeader(name.into()));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Whether every request of ours has this header: who sends it, to whom, in which transaction, by which way,
/// with which password, what it carries and how long it is.
pub(crate) fn is_made(name: &HeaderName) -> bool {
    use HeaderName as H;
    matches!(
        name,
        H::Via
            | H::From
            | H::To
            | H::CallId
            | H::CSeq
            | H::MaxForwards
            | H::ContentLength
            | H::ContentType
            | H::ContentEncoding
            | H::Authorization
            | H::ProxyAuthorization
            | H::Route
            | H::RecordRoute
            | H::UserAgent
    )
}

/// Whether requests of ours have this header already, or it decides where they go and what they mean: a second
/// one would make the request unreadable, or another one than we think it is.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    use HeaderName as H;
    is_made(name)
        || matches!(
            name,
            H::Contact
                | H::Path
                | H::ServiceRoute
                | H::Require
                | H::ProxyRequire
                | H::Supported
                | H::Allow
                | H::SessionExpires
                | H::MinSe
                | H::RAck
                | H::RSeq
                | H::Event
                | H::Replaces
                | H::Join
                | H::TargetDialog
                | H::SessionId
                | H::RecvInfo
                | H::ContentDisposition
                | H::ReferTo
        )
}

/// Whether a header makes a message, of ours or of a peer, what it is. Those that only tell who we are and what
/// we know may be set, beside all that we never write.
pub(crate) fn is_essential(name: &HeaderName) -> bool {
    use HeaderName as H;
    let tells = matches!(name, H::UserAgent | H::Allow);
    let of_answers = matches!(
        name,
        H::WwwAuthenticate
            | H::ProxyAuthenticate
            | H::AuthenticationInfo
            | H::Expires
            | H::MinExpires
            | H::SipEtag
            | H::SipIfMatch
            | H::SubscriptionState
            | H::FlowTimer
            | H::Unsupported
    );
    !tells && (is_ours(name) || of_answers)
}
