//! What event packages say: the bodies of NOTIFY and PUBLISH, read and written.
//!
//! | Package | Body | Module |
//! | --- | --- | --- |
//! | `message-summary` | `application/simple-message-summary` (RFC 3842) | [`message_summary`] |
//! | `dialog` | `application/dialog-info+xml` (RFC 4235) | [`dialog_info`] |
//! | `presence` | `application/pidf+xml` (RFC 3863) with activities (RFC 4480) | [`presence`] |
//! | `reg` | `application/reginfo+xml` (RFC 3680) | [`reg_info`] |
//! | `conference` | `application/conference-info+xml` (RFC 4575) | [`conference`] |
//! | `vq-rtcpxr` | `application/vq-rtcpxr` (RFC 6035) | [`voice_quality`] |
//!
//! Nothing in here knows SIP, sockets or clocks. Bodies come from strangers: XML is read by a
//! bounded reader without document types and without entities but the five that XML has; elements
//! and attributes that nobody knows are passed over, and namespaces are not looked at, because
//! phones in the field get them wrong.

pub mod conference;
pub mod dialog_info;
pub mod message_summary;
pub mod presence;
pub mod reg_info;
#[cfg(test)]
mod tests;
pub mod voice_quality;
mod xml;

use thiserror::Error;

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// It is no UTF-8.
    #[error("the body is no UTF-8")]
    NotUtf8,
    /// It is larger than any body that is meant well.
    #[error("the body is too large")]
    TooLarge,
    /// It is nested deeper, or has more elements, than any body that is meant well.
    #[error("the body has too many elements")]
    TooManyElements,
    /// It brings a document type or entities of its own.
    #[error("the body declares a document type or uses an entity")]
    Declaration,
    /// It is no well-formed XML; the text says where the fault lies.
    #[error("the body is no well-formed XML: {0}")]
    IllFormed(String),
    /// It is something else.
    #[error("the body is something else: {0}")]
    SomethingElse(String),
    /// It lacks what it must have.
    #[error("the body lacks {0}")]
    Missing(&'static str),
}

/// Whether a document has all of the state or only what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it: what is not in it is not there.
    Full,
    /// What changed since the version before.
    Partial,
}

/// What taking a document into a table came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The table has it.
    Taken,
    /// It is older than what the table has, and was left out.
    Old,
    /// A document before it is missing: the table keeps what it had, and its owner asks for all of
    /// it again by refreshing the subscription.
    Gap,
}

/// RFC 4235 §4.3, RFC 3680 §5.1 and RFC 4575 §4.6 agree on versions: a full document counts when it
/// is not older, a partial one only right after the one before.
fn judge(last: Option<u32>, version: u32, scope: Scope) -> Applied {
    match (last, scope) {
        (None, Scope::Full) => Applied::Taken,
        (None, Scope::Partial) => Applied::Gap,
        (Some(last), _) if version <= last => Applied::Old,
        (Some(_), Scope::Full) => Applied::Taken,
        (Some(last), Scope::Partial) if last.checked_add(1) == Some(version) => Applied::Taken,
        (Some(_), Scope::Partial) => Applied::Gap,
    }
}
