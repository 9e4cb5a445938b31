//! CSeq and what counts like it: RSeq and RAck (RFC 3261 §20.16, RFC 3262 §7).

use std::fmt;

use crate::error::Fault;
use crate::method::{Method, MethodView};
use crate::scan::Scan;
use crate::value::Value;

/// The highest number a CSeq may have (RFC 3261 §8.1.1.5).
const HIGHEST: u64 = (1 << 31) - 1;

/// CSeq: the number of a request within its dialog, with the method.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The number, below 2³¹.
    pub number: u32,
    /// The method, equal to the request's.
    pub method: Method,
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl From<CSeqView<'_>> for CSeq {
    fn from(view: CSeqView<'_>) -> Self {
        Self {
            number: view.number,
            method: view.method.into(),
        }
    }
}

impl<'a> Value<'a> for CSeq {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        CSeqView::read(scan).map(Self::from)
    }
}

/// CSeq as borrowed from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeqView<'a> {
    /// The number, below 2³¹.
    pub number: u32,
    /// The method.
    pub method: MethodView<'a>,
}

impl<'a> Value<'a> for CSeqView<'a> {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let number = read_u32(scan, HIGHEST)?;
        separated(scan)?;
        Ok(Self {
            number,
            method: MethodView::read(scan)?,
        })
    }
}

fn read_u32(scan: &mut Scan<'_>, highest: u64) -> Result<u32, Fault> {
    u32::try_from(scan.number_up_to(highest)?).map_err(|_| Fault::Range)
}

/// At least one blank.
fn separated(scan: &mut Scan<'_>) -> Result<(), Fault> {
    let before = scan.at();
    scan.lws();
    if scan.at() == before {
        Err(Fault::Separator)
    } else {
        Ok(())
    }
}

/// A header that is one number: Expires, Max-Forwards, RSeq, Min-SE, …
pub(crate) struct Number(pub(crate) u32);

impl<'a> Value<'a> for Number {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        read_u32(scan, u64::from(u32::MAX)).map(Self)
    }
}

/// RAck: which reliable provisional response a PRACK is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RAck {
    /// The RSeq of the response.
    pub response: u32,
    /// The CSeq of the response.
    pub cseq: CSeq,
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.response, self.cseq)
    }
}

impl<'a> Value<'a> for RAck {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let response = read_u32(scan, u64::from(u32::MAX))?;
        separated(scan)?;
        Ok(Self {
            response,
            cseq: CSeq::read(scan)?,
        })
    }
}
