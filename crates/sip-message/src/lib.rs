//! SIP syntax: URIs, headers, messages, stream framing and limits.
//!
//! The crate turns octets into [`Message`]s and back and knows nothing of transactions, dialogs,
//! sockets or clocks. It is layered the way faults are (RFC 4475):
//!
//! 1. [`MessageView`] finds the start line, the header lines and the body in the received octets
//!    without copying or allocating. Only *framing* and the start line can fail here.
//! 2. One header's *value* is read when somebody asks for it, as a borrowed view ([`ViaView`],
//!    [`NameAddrView`], …) or as an owned value ([`Via`], [`NameAddr`], …). A broken header that
//!    nobody asks for spoils nothing.
//! 3. [`validate_request`] and [`validate_response`] check what several headers say together.
//!
//! Whatever was forgiven is told: see [`Repair`]. An untouched message is written back octet for
//! octet; a changed one keeps every line that was not changed.

mod error;
mod facts;
pub mod framer;
mod header_name;
mod headers;
mod host;
mod limits;
mod masked;
mod message;
mod method;
mod name_addr;
mod params;
mod repair;
mod scan;
mod status;
mod uri;
mod validate;
mod value;
mod values;
mod via;
mod view;

pub use error::{Fault, HeaderError, Layer, ParseError, ParseErrorKind, Salvage, UriError};
pub use facts::{AddressFacts, Facts, Kind, ViaFacts, facts, stream_facts};
pub use header_name::HeaderName;
pub use headers::{Field, Headers};
pub use host::{Host, HostView};
pub use limits::Limits;
pub use message::{Message, Request, Response, SerializeError};
pub use method::{Method, MethodView};
pub use name_addr::{NameAddr, NameAddrView};
pub use params::{ParamView, Params, ParamsView};
pub use repair::{Repair, Repairs};
pub use scan::Scan;
pub use status::StatusCode;
pub use uri::{Scheme, Uri, UriView};
pub use validate::{ValidateError, ValidateErrorKind, validate_request, validate_response};
pub use value::{Elements, Value, read_whole};
pub use values::{
    AuthenticationInfo, CSeq, CSeqView, CallId, Challenge, Coding, Credentials, Date, Event,
    MediaType, Mode, RAck, Reason, Refresher, Replaces, RetryAfter, SessionExpires, SessionId,
    SubscriptionState, Substate, TargetDialog, Timestamp, UriInfo, UserToUser, Warning,
};
pub use via::{MAGIC_COOKIE, Via, ViaView};
pub use view::{HeaderView, MessageView, StartLineView};
