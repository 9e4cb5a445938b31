//! Request methods (RFC 3261 §7.1 and the extensions that name more of them).

use std::fmt;
use std::str::FromStr;

use crate::error::Fault;
use crate::scan::{Scan, is_token};
use crate::value::Value;

/// A request method. Methods are case-sensitive: `invite` is an unknown method, not INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// INVITE, RFC 3261.
    Invite,
    /// ACK, RFC 3261.
    Ack,
    /// BYE, RFC 3261.
    Bye,
    /// CANCEL, RFC 3261.
    Cancel,
    /// REGISTER, RFC 3261.
    Register,
    /// OPTIONS, RFC 3261.
    Options,
    /// INFO, RFC 6086.
    Info,
    /// PRACK, RFC 3262.
    Prack,
    /// UPDATE, RFC 3311.
    Update,
    /// REFER, RFC 3515.
    Refer,
    /// SUBSCRIBE, RFC 6665.
    Subscribe,
    /// NOTIFY, RFC 6665.
    Notify,
    /// MESSAGE, RFC 3428.
    Message,
    /// PUBLISH, RFC 3903.
    Publish,
    /// Any other token.
    Other(Box<str>),
}

impl Method {
    /// Reads a method; `None` where the text is not a token.
    pub fn parse(text: &str) -> Option<Self> {
        MethodView::from_token(text).map(Self::from)
    }

    /// The method as it stands in a start line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
            Self::Info => "INFO",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Refer => "REFER",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(name) => name,
        }
    }

    /// Whether this crate knows the method by name.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        Self::parse(text).ok_or(Fault::Token)
    }
}

impl From<MethodView<'_>> for Method {
    fn from(view: MethodView<'_>) -> Self {
        match view.0 {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "REGISTER" => Self::Register,
            "OPTIONS" => Self::Options,
            "INFO" => Self::Info,
            "PRACK" => Self::Prack,
            "UPDATE" => Self::Update,
            "REFER" => Self::Refer,
            "SUBSCRIBE" => Self::Subscribe,
            "NOTIFY" => Self::Notify,
            "MESSAGE" => Self::Message,
            "PUBLISH" => Self::Publish,
            other => Self::Other(other.into()),
        }
    }
}

/// A method as borrowed from a message: any token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodView<'a>(&'a str);

impl<'a> MethodView<'a> {
    pub(crate) fn from_token(text: &'a str) -> Option<Self> {
        is_token(text).then_some(Self(text))
    }

    /// The method as it was sent.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl PartialEq<Method> for MethodView<'_> {
    fn eq(&self, other: &Method) -> bool {
        self.0 == other.as_str()
    }
}

impl<'a> Value<'a> for MethodView<'a> {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        scan.token().map(Self)
    }
}

impl<'a> Value<'a> for Method {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        MethodView::read(scan).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::parse("INVITE"), Some(Method::Invite));
        assert_eq!(
            Method::parse("invite"),
            Some(Method::Other("invite".into()))
        );
    }

    #[test]
    fn what_is_not_a_token_is_not_a_method() {
        for text in ["", "IN VITE", "INVITE\r\n", "a(b"] {
            assert_eq!(Method::parse(text), None, "{text:?}");
        }
    }
}
