//! Types of the single headers, one for each that is more than text.

mod authentication;
mod date;
mod dialog;
mod event;
mod info;
mod media;
mod sequence;

pub use authentication::{AuthenticationInfo, Challenge, Credentials};
pub use date::{Date, Timestamp};
pub(crate) use dialog::CallIdView;
pub use dialog::{CallId, Refresher, Replaces, SessionExpires, SessionId, TargetDialog};
pub use event::{Event, SubscriptionState, Substate};
pub use info::{Mode, Reason, RetryAfter, UriInfo, UserToUser, Warning};
pub(crate) use info::{PrivacyValue, Token};
pub use media::{Coding, MediaType};
pub(crate) use sequence::Number;
pub use sequence::{CSeq, CSeqView, RAck};
