//! Names of things that outlive a message.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use privacy::identities_are_shown;

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the id as it stands.
            pub fn new(id: impl Into<Arc<str>>) -> Self {
                Self(id.into())
            }

            /// The id as text, as it stands in settings and in JSON.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

name_id! {
    /// One tenant. Chosen when the tenant is made, never changed, never shown to a person.
    TenantId
}
name_id! {
    /// One account, unique over all tenants. Chosen when the account is made, never changed.
    AccountId
}
name_id! {
    /// One sound device as its back-end names it; stable over restarts where the back-end allows.
    DeviceId
}

macro_rules! printed_id {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

printed_id! { TenantId DeviceId }

/// An account's id is made from its address, so it is not printed: `AccountId(#1f3a)`. The four digits
/// tell the accounts of one log apart, and fit too many names to lead back to one.
impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if identities_are_shown() {
            return write!(f, "AccountId({})", self.0);
        }
        // FNV-1a, folded to 16 bits.
        let hash = self.0.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        write!(f, "AccountId(#{:04x})", (hash >> 16) ^ (hash & 0xffff))
    }
}

/// One call as the user sees it. Given by the engine, counted up from 1 in one run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One question for a login: who asks, and for what. Counted up from 1 in one run of the program.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct QuestionId(pub u64);

impl fmt::Display for QuestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::AccountId;

    #[test]
    fn an_account_is_told_apart_in_a_log_and_not_named() {
        let printed = |id: &str| format!("{:?}", AccountId::new(id));
        assert!(!printed("alice-example-com").contains("alice"));
        assert_ne!(printed("alice-example-com"), printed("bob-example-com"));
        assert_eq!(printed("alice-example-com").len(), "AccountId(#0000)".len());
    }
}
