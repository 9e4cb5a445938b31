//! Headers that name or govern a dialog: Call-ID, Replaces, Join, Target-Dialog, Session-Expires,
//! Session-ID (RFC 3261 §20.8, RFC 3891, RFC 3911, RFC 4538, RFC 4028, RFC 7989).

use std::fmt;

use crate::error::Fault;
use crate::params::{Params, ParamsView};
use crate::scan::{Scan, WORD, ascii};
use crate::value::Value;

/// Call-ID as an owned value; also one element of In-Reply-To. Compared octet by octet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub String);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'a> Value<'a> for CallId {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        CallIdView::read(scan).map(|id| Self(id.0.to_owned()))
    }
}

/// `callid = word ["@" word]`.
pub(crate) struct CallIdView<'a>(pub(crate) &'a str);

impl<'a> Value<'a> for CallIdView<'a> {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let start = scan.at();
        let first = scan.take(WORD);
        if first.is_empty() {
            return Err(if scan.is_done() {
                Fault::Empty
            } else {
                Fault::Token
            });
        }
        if scan.eat(b'@') && scan.take(WORD).is_empty() {
            return Err(Fault::Token);
        }
        Ok(Self(ascii(scan.since(start))))
    }
}

/// Replaces (RFC 3891): the dialog that the new one takes the place of. Join (RFC 3911) is written
/// the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// The Call-ID of that dialog.
    pub call_id: String,
    /// `to-tag`: the tag of the side that gets the request.
    pub to_tag: String,
    /// `from-tag`: the tag of the other side.
    pub from_tag: String,
    /// Only while that dialog is early.
    pub early_only: bool,
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{};to-tag={};from-tag={}",
            self.call_id, self.to_tag, self.from_tag
        )?;
        f.write_str(if self.early_only { ";early-only" } else { "" })
    }
}

impl<'a> Value<'a> for Replaces {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let call_id = CallIdView::read(scan)?.0.to_owned();
        let params = ParamsView::read(scan)?;
        let tag = |name| params.token(name).map(str::to_owned).ok_or(Fault::Param);
        Ok(Self {
            call_id,
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.has("early-only"),
        })
    }
}

/// Target-Dialog (RFC 4538): a dialog that the sender knows, to show that it may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetDialog {
    /// The Call-ID of that dialog.
    pub call_id: String,
    /// `local-tag`, as the sender of the request sees it.
    pub local_tag: String,
    /// `remote-tag`, as the sender of the request sees it.
    pub remote_tag: String,
}

impl fmt::Display for TargetDialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{};local-tag={};remote-tag={}",
            self.call_id, self.local_tag, self.remote_tag
        )
    }
}

impl<'a> Value<'a> for TargetDialog {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let call_id = CallIdView::read(scan)?.0.to_owned();
        let params = ParamsView::read(scan)?;
        let tag = |name| params.token(name).map(str::to_owned).ok_or(Fault::Param);
        Ok(Self {
            call_id,
            local_tag: tag("local-tag")?,
            remote_tag: tag("remote-tag")?,
        })
    }
}

/// Who refreshes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answers it.
    Uas,
}

/// Session-Expires (RFC 4028).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The session interval in seconds.
    pub interval_s: u32,
    /// Who refreshes, where that is said.
    pub refresher: Option<Refresher>,
    /// Other parameters.
    pub params: Params,
}

impl SessionExpires {
    /// An interval with its refresher.
    pub fn new(interval_s: u32, refresher: Option<Refresher>) -> Self {
        Self {
            interval_s,
            refresher,
            params: Params::new(),
        }
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.interval_s)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac")?,
            Some(Refresher::Uas) => f.write_str(";refresher=uas")?,
            None => {}
        }
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for SessionExpires {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let interval_s = super::Number::read(scan)?.0;
        let mut params = Params::from(ParamsView::read(scan)?);
        let refresher = match params
            .get("refresher")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("uac") => Some(Refresher::Uac),
            Some("uas") => Some(Refresher::Uas),
            _ => None,
        };
        if refresher.is_some() {
            params.remove("refresher");
        }
        Ok(Self {
            interval_s,
            refresher,
            params,
        })
    }
}

/// Session-ID (RFC 7989): the same on every leg of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionId {
    /// The sender's half: 32 hexadecimal digits.
    pub local: String,
    /// The other side's half, where it was sent.
    pub remote: Option<String>,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local)?;
        self.remote
            .as_ref()
            .map_or(Ok(()), |remote| write!(f, ";remote={remote}"))
    }
}

impl<'a> Value<'a> for SessionId {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let local = scan.take_while(|byte| byte.is_ascii_hexdigit());
        if local.len() != 32 {
            return Err(Fault::Number);
        }
        let params = ParamsView::read(scan)?;
        Ok(Self {
            local: ascii(local).to_owned(),
            remote: params.token("remote").map(str::to_owned),
        })
    }
}
