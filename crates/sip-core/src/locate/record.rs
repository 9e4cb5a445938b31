//! What is asked of the DNS, and what comes back.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Which records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// Services of a domain (RFC 3403).
    Naptr,
    /// Hosts of a service (RFC 2782).
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Naptr => "NAPTR",
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        })
    }
}

/// One question. Names are in lower case and without the dot at the end, so that equal questions
/// are equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Which records.
    pub kind: RecordKind,
    /// Of which name.
    pub name: String,
}

impl Question {
    /// A question, with its name brought into the one form. `None` when this cannot be a name.
    pub fn new(kind: RecordKind, name: &str) -> Option<Self> {
        Some(Self {
            kind,
            name: normal_name(name)?,
        })
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A service.
    Naptr(Naptr),
    /// A host of a service.
    Srv(Srv),
    /// An address, of either family.
    Address(IpAddr),
}

/// A service of a domain (RFC 3403 §4.1). The regular expression has no place here: for SIP the
/// replacement alone counts (RFC 3263 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones are to be used before higher ones.
    pub order: u16,
    /// Among equal orders, lower ones are preferred.
    pub preference: u16,
    /// `s`: the replacement is the name of SRV records. Other flags lead elsewhere.
    pub flags: String,
    /// `SIP+D2U` and its like.
    pub service: String,
    /// The name to go on with.
    pub replacement: String,
}

/// A host of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones are to be used before higher ones.
    pub priority: u16,
    /// Share of the load among equal priorities.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// The host; `.` says that there is no such service.
    pub target: String,
}

/// How a question was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With records of the kind asked for; aliases have been followed by whoever asked.
    Records(Vec<Record>),
    /// The name exists and has no such records (NODATA, RFC 2308 §2.2).
    NoRecords,
    /// The name does not exist (NXDOMAIN, RFC 2308 §2.1).
    NoSuchName,
    /// A name server could not answer, or its answer could not be read.
    ServerFailed,
    /// No name server answered in time.
    TimedOut,
}

impl Outcome {
    /// Whether this says something about the name, and not just about the name servers.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::ServerFailed | Self::TimedOut)
    }
}

/// An answer and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What.
    pub outcome: Outcome,
    /// Its time to live, as the name server says.
    pub ttl: Duration,
}

impl Answer {
    /// An answer.
    pub fn new(outcome: Outcome, ttl: Duration) -> Self {
        Self { outcome, ttl }
    }

    pub(super) fn records(&self) -> &[Record] {
        match &self.outcome {
            Outcome::Records(records) => records,
            _ => &[],
        }
    }
}

/// The longest name (RFC 1035 §2.3.4), without the dot at the end.
const LONGEST_NAME: usize = 253;
/// The longest label (RFC 1035 §2.3.4).
const LONGEST_LABEL: usize = 63;

/// Lower case, no dot at the end; `None` for what no name server could be asked.
pub(super) fn normal_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels_fit = name
        .split('.')
        .all(|label| !label.is_empty() && label.len() <= LONGEST_LABEL);
    let fits = name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
    (fits && labels_fit).then(|| name.to_ascii_lowercase())
}
