//! The lines of a tape.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sip_core::{Destination, FlowId, Inbound, Path, ResolveError, Transport, TransportError};

use crate::config::{CallFacts, Login, RegistrationFacts};

/// One input of one object, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Names the object on this tape.
    pub object: String,
    /// Nanoseconds since the object was made.
    pub at: u64,
    /// What went in.
    pub input: Input,
    /// What came out before the next input.
    pub out: Vec<Out>,
}

/// What goes into an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "each is the function of sip-core that has its name"
)]
pub enum Input {
    /// A call of ours is made.
    Outgoing {
        seed: String,
        config: Box<CallFacts>,
        offer: Option<Text>,
    },
    /// A call comes in.
    Incoming {
        seed: String,
        config: Box<CallFacts>,
        bytes: Text,
        by: Way,
    },
    /// A registration is made.
    Registration {
        seed: String,
        config: Box<RegistrationFacts>,
    },
    /// The registrations of several flows are made.
    Flows {
        seed: String,
        config: Box<RegistrationFacts>,
        /// The proxy of each flow, `None` for the registrar itself; nothing at all for one plain
        /// registration.
        ways: Option<Vec<Option<String>>>,
    },

    Request {
        bytes: Text,
        by: Way,
    },
    Response {
        bytes: Text,
        by: Way,
    },
    Resolved {
        id: u64,
        paths: Vec<Way>,
        error: Option<Fault>,
    },
    Unsent {
        branch: String,
        error: Fault,
    },
    Timeout,

    Ring {
        body: Option<Text>,
    },
    Progress {
        code: u16,
        body: Option<Text>,
    },
    Answer {
        body: Text,
    },
    AnswerUnasked {
        body: Text,
    },
    Reject {
        code: u16,
    },
    Redirect {
        to: String,
    },
    Forward {
        to: String,
        /// `unconditional`, `busy` or `no_answer`.
        reason: String,
    },
    HangUp,
    HangUpBecause {
        reason: String,
    },
    Reoffer {
        body: Text,
    },
    AcceptOffer {
        body: Text,
    },
    RejectOffer {
        code: u16,
    },
    Warn {
        code: u16,
    },
    Update {
        offer: Option<Text>,
    },
    Info {
        content_type: String,
        body: Text,
    },
    InfoOfPackage {
        package: String,
        content_type: String,
        body: Text,
    },
    SendDigit {
        digit: char,
        milliseconds: Option<u64>,
    },
    Refer {
        to: String,
        replaces: Option<String>,
        told: bool,
    },
    AcceptRefer {
        id: u32,
    },
    RejectRefer {
        id: u32,
        code: u16,
    },
    ReportRefer {
        id: u32,
        code: u16,
    },
    Follow {
        choice: usize,
    },
    Login {
        login: Login,
    },
    GiveUpLogin,
    /// Our address in a call is another one, and this is a way from there.
    MovedTo {
        way: Way,
    },
    TellContact,

    Register,
    Unregister,
    FailBack,
    ClearBindings,
    FetchBindings,
    RemoveBinding {
        uri: String,
    },
    FlowLost {
        flow: u64,
    },
    Moved,

    /// Something that the tape has no word for: from here on the object cannot be played.
    Unknown,
    /// The tape of this object is full.
    Stopped,
}

/// What comes out of an object and has an effect outside: events are told to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Out {
    /// A message, without what a secret decides.
    Send {
        /// Where to.
        to: Way,
        /// The whole message.
        bytes: Text,
    },
    /// A question for paths.
    Resolve {
        /// Names the answer.
        id: u64,
        /// The next hop.
        uri: String,
        /// The only transport wanted.
        transport: Option<String>,
    },
}

/// Bytes: as text where they are text, else in hexadecimal behind `hex:`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

const HEX: &str = "hex:";

impl Text {
    /// Of bytes.
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.starts_with(HEX) => Self(text.to_owned()),
            _ => Self(format!("{HEX}{}", hex(bytes))),
        }
    }

    /// The bytes; nothing when the hexadecimal is broken.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self.0.strip_prefix(HEX) {
            Some(digits) => unhex(digits),
            None => Some(self.0.clone().into_bytes()),
        }
    }

    /// As it stands on the tape.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    bytes.collect()
}

/// A way through the network, and the flow where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    transport: String,
    remote: SocketAddr,
    local: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flow: Option<u64>,
}

impl Way {
    pub(crate) fn of_path(path: &Path) -> Self {
        Self {
            transport: path.transport.as_str().to_owned(),
            remote: path.remote,
            local: path.local,
            flow: None,
        }
    }

    pub(crate) fn of_inbound(inbound: &Inbound) -> Self {
        Self {
            flow: Some(inbound.flow.0),
            ..Self::of_path(&inbound.path)
        }
    }

    pub(crate) fn of_destination(destination: &Destination) -> Self {
        let flow = match destination {
            Destination::Flow { id, .. } => Some(id.0),
            Destination::Path(_) => None,
        };
        Self {
            flow,
            ..Self::of_path(destination.path())
        }
    }

    pub(crate) fn path(&self) -> Option<Path> {
        Some(Path {
            transport: Transport::parse(&self.transport)?,
            remote: self.remote,
            local: self.local,
        })
    }

    pub(crate) fn inbound(&self) -> Option<Inbound> {
        Some(Inbound {
            flow: FlowId(self.flow?),
            path: self.path()?,
        })
    }
}

/// What failed: a word, and a sentence where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    what: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
}

impl Fault {
    fn new(what: &str, text: &str) -> Self {
        Self {
            what: what.to_owned(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn of_transport(error: &TransportError) -> Self {
        match error {
            TransportError::Refused => Self::new("refused", ""),
            TransportError::Unreachable => Self::new("unreachable", ""),
            TransportError::TimedOut => Self::new("timed_out", ""),
            TransportError::NoTcp => Self::new("no_tcp", ""),
            TransportError::Closed => Self::new("closed", ""),
            TransportError::TooLarge => Self::new("too_large", ""),
            TransportError::Tls(text) => Self::new("tls", text),
            TransportError::WebSocket(text) => Self::new("websocket", text),
            TransportError::Other(text) => Self::new("other", text),
        }
    }

    pub(crate) fn transport(&self) -> TransportError {
        match self.what.as_str() {
            "refused" => TransportError::Refused,
            "unreachable" => TransportError::Unreachable,
            "timed_out" => TransportError::TimedOut,
            "no_tcp" => TransportError::NoTcp,
            "closed" => TransportError::Closed,
            "too_large" => TransportError::TooLarge,
            "tls" => TransportError::Tls(self.text.clone()),
            "websocket" => TransportError::WebSocket(self.text.clone()),
            _ => TransportError::Other(self.text.clone()),
        }
    }

    pub(crate) fn of_resolve(error: &ResolveError) -> Self {
        match error {
            ResolveError::NotFound(text) => Self::new("not_found", text),
            ResolveError::NoAnswer => Self::new("no_answer", ""),
            ResolveError::Unusable(text) => Self::new("unusable", text),
            ResolveError::Other(text) => Self::new("other", text),
        }
    }

    pub(crate) fn resolve(&self) -> ResolveError {
        match self.what.as_str() {
            "not_found" => ResolveError::NotFound(self.text.clone()),
            "no_answer" => ResolveError::NoAnswer,
            "unusable" => ResolveError::Unusable(self.text.clone()),
            _ => ResolveError::Other(self.text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Text, unhex};

    #[test]
    fn bytes_come_back_as_they_were() {
        for bytes in [&b"INVITE"[..], b"\xff\x00", b"hex:", b""] {
            assert_eq!(Text::new(bytes).bytes().as_deref(), Some(bytes));
        }
        assert_eq!(Text::new("grüß".as_bytes()).as_str(), "grüß");
    }

    #[test]
    fn broken_hexadecimal_is_nothing() {
        for text in ["1", "zz", "ü0"] {
            assert_eq!(unhex(text), None);
        }
    }
}
