//! What SIP's types show of themselves to `Debug`: their shape without their people.
//!
//! A `Debug` output ends up in logs, panics and the sentences of others, where no caller may be read.
//! So the user part of a URI is masked but for its end (`sip:****5910@telefonica.de`),
//! display names and passwords are gone, header values, bodies and received octets are counted. What
//! tells one transaction from another (branch, tag, addresses of machines) stays. The text itself is
//! what `Display` and `to_bytes` write, for the wire.

use std::fmt::{Debug, Formatter, Result};

use crate::facts::{AddressFacts, Facts, ViaFacts};
use crate::framer::{Frame, StreamFramer};
use crate::headers::{Field, Headers};
use crate::message::{Request, Response};
use crate::name_addr::{NameAddr, NameAddrView};
use crate::params::{ParamView, Params, ParamsView};
use crate::uri::{Uri, UriView};
use crate::values::{UserToUser, Warning};
use crate::view::{HeaderView, MessageView, StartLineView};

/// Parameters whose values name no person.
const PLAIN: [&str; 12] = [
    "branch",
    "tag",
    "rport",
    "received",
    "transport",
    "maddr",
    "lr",
    "expires",
    "q",
    "realm",
    "algorithm",
    "stale",
];

/// What stands in place of a person's name.
const HIDDEN: &str = "****";

/// One star for each hidden character; at most half of them and four are shown, and four or fewer are hidden whole.
fn write_user(user: &str, f: &mut Formatter<'_>) -> Result {
    let length = user.chars().count();
    let shown = if length > 4 { (length / 2).min(4) } else { 0 };
    let hidden = length - shown;
    for _ in 0..hidden {
        f.write_str("*")?;
    }
    user.chars().skip(hidden).try_for_each(|c| write!(f, "{c}"))
}

fn write_params(params: &Params, f: &mut Formatter<'_>) -> Result {
    params.iter().try_for_each(|(name, value)| {
        let plain = PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(name));
        match value {
            None => write!(f, ";{name}"),
            Some(value) if plain => write!(f, ";{name}={value}"),
            Some(_) => write!(f, ";{name}={HIDDEN}"),
        }
    })
}

impl Debug for Uri {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}:", self.scheme)?;
        if self.opaque.is_some() {
            return f.write_str(HIDDEN);
        }
        if let Some(user) = &self.user {
            write_user(user, f)?;
        }
        if self.sip_host().is_some() {
            let at = if self.user.is_some() { "@" } else { "" };
            write!(f, "{at}{}", self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write_params(&self.params, f)?;
        match self.headers.len() {
            0 => Ok(()),
            count => write!(f, "?({count})"),
        }
    }
}

impl Debug for UriView<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Uri::from(*self).fmt(f)
    }
}

impl Debug for NameAddr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.display.is_some() {
            write!(f, "\"{HIDDEN}\" ")?;
        }
        write!(f, "<{:?}>", self.uri)?;
        write_params(&self.params, f)
    }
}

impl Debug for NameAddrView<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        NameAddr::from(*self).fmt(f)
    }
}

impl Debug for Params {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_params(self, f)
    }
}

impl Debug for ParamsView<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Params::from(*self).fmt(f)
    }
}

impl Debug for ParamView<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut params = Params::new();
        params.push(*self);
        params.fmt(f)
    }
}

impl Debug for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}({})", self.name(), self.value().len())
    }
}

impl Debug for Headers {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Debug for HeaderView<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}({})", self.name, self.value.len())
    }
}

impl Debug for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("headers", &self.headers)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Debug for Response {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Debug for StartLineView<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Request { method, uri } => f
                .debug_struct("Request")
                .field("method", method)
                .field("uri", &UriView::parse(uri))
                .finish(),
            Self::Response { status, reason } => f
                .debug_struct("Response")
                .field("status", status)
                .field("reason", &reason.len())
                .finish(),
        }
    }
}

impl Debug for MessageView<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("MessageView")
            .field("start_line", &self.start())
            .field("headers", &self.headers().collect::<Vec<_>>())
            .field("body", &self.body().len())
            .finish_non_exhaustive()
    }
}

impl Debug for Frame {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Message(octets) => write!(f, "Message({} octets)", octets.len()),
            Self::Ping => f.write_str("Ping"),
            Self::Pong => f.write_str("Pong"),
        }
    }
}

impl Debug for StreamFramer {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("StreamFramer")
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

impl Debug for Facts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Facts")
            .field("layer", &self.layer)
            .field("errors", &self.errors)
            .field("repairs", &self.repairs)
            .field("method", &self.method)
            .field("status", &self.status)
            .field("via", &self.via)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("contacts", &self.contacts)
            .finish_non_exhaustive()
    }
}

impl Debug for ViaFacts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ViaFacts")
            .field("transport", &self.transport)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("branch", &self.branch)
            .finish_non_exhaustive()
    }
}

impl Debug for AddressFacts {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("AddressFacts")
            .field("uri", &Uri::parse(&self.uri))
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

impl Debug for UserToUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "UserToUser({})", self.data.len())
    }
}

impl Debug for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "Warning({:03} {})", self.code, self.agent)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use crate::framer::StreamFramer;
    use crate::{Limits, Message, MessageView, NameAddr, Uri, facts};

    #[test]
    fn a_uri_keeps_its_host_and_the_end_of_its_user() {
        for (text, printed) in [
            ("sip:12345910@telefonica.de", "sip:****5910@telefonica.de"),
            (
                "sip:bob:s3cret@[2001:db8::1]:5070;transport=tcp;x=bob?Subject=bob",
                "sip:***@[2001:db8::1]:5070;transport=tcp;x=****?(1)",
            ),
            ("sip:pbx.example.com;lr", "sip:pbx.example.com;lr"),
            ("tel:+4930123456", "tel:*******3456"),
            ("mailto:bob@example.com", "mailto:****"),
        ] {
            let uri = Uri::parse(text).expect("is a URI");
            assert_eq!(format!("{uri:?}"), printed);
            assert_eq!(uri.to_string(), text, "the wire has it all");
        }
        let address = NameAddr::parse("\"Alice\" <sip:12345910@telefonica.de>;tag=7;x=Alice");
        assert_eq!(
            format!("{:?}", address.expect("is an address")),
            "\"****\" <sip:****5910@telefonica.de>;tag=7;x=****"
        );
    }

    #[test]
    fn nobody_is_named_by_the_debug_output_of_a_message() {
        let bytes = b"INVITE sip:12345910@telefonica.de;x=Liddell SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;x=Liddell\r\n\
            From: \"Liddell\" <sip:Liddell:s3cret@b.test>;tag=1\r\n\
            To: <tel:+4912345910>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:Liddell@192.0.2.1>\r\n\
            Subject: Liddell\r\nX-Who: Liddell\r\nUser-to-User: Liddell\r\nWarning: 399 b \"Liddell\"\r\n\
            Authorization: Digest username=\"Liddell\",response=\"s3cret\"\r\n\
            Content-Length: 7\r\n\r\nLiddell";
        let view = MessageView::parse(bytes, &Limits::default()).expect("parses");
        let message = Message::parse(bytes).expect("parses");
        let headers = message.headers();
        let mut framer = StreamFramer::new();
        framer.push(bytes);
        let waiting = format!("{framer:?}");
        let frame = framer.poll();
        let octets = format!("{:?}", b"Liddell");
        let octets = octets.trim_matches(['[', ']']);
        let all: [&dyn Debug; 14] = [
            &view,
            &view.start(),
            &view.from(),
            &view.contact(),
            &message,
            &waiting,
            &frame,
            &facts(bytes, true),
            &headers.from(),
            &headers.to(),
            &headers.contacts(),
            &headers.vias(),
            &headers.iter().collect::<Vec<_>>(),
            &Message::parse(&bytes[..bytes.len() - 1]),
        ];
        for (place, printed) in all.iter().map(|part| format!("{part:?}")).enumerate() {
            for gone in ["Liddell", "s3cret", "12345910", octets] {
                assert!(!printed.contains(gone), "{gone} in {place}: {printed}");
            }
        }
        assert!(format!("{message:?}").contains("sip:****5910@telefonica.de"));
    }
}
