//! Event and Subscription-State (RFC 6665 §8.2).

use std::fmt;

use crate::error::Fault;
use crate::params::{Params, ParamsView};
use crate::scan::Scan;
use crate::value::Value;

/// Event: the package of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The package with its templates: `dialog`, `presence.winfo`, …
    pub package: String,
    /// Parameters, `id` among them.
    pub params: Params,
}

impl Event {
    /// A package without parameters.
    pub fn new(package: impl Into<String>) -> Self {
        Self {
            package: package.into(),
            params: Params::new(),
        }
    }

    /// Which of several subscriptions of one package in a dialog.
    pub fn id(&self) -> Option<&str> {
        self.params.get("id")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.package)?;
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for Event {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let package = scan.token()?.to_owned();
        Ok(Self {
            package,
            params: ParamsView::read(scan)?.into(),
        })
    }
}

/// The state of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Substate {
    /// `active`.
    Active,
    /// `pending`.
    Pending,
    /// `terminated`.
    Terminated,
    /// Any other token.
    Other(String),
}

/// Subscription-State, in NOTIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// The state.
    pub state: Substate,
    /// Parameters: `expires`, `reason`, `retry-after`.
    pub params: Params,
}

impl SubscriptionState {
    /// Seconds until the subscription ends.
    pub fn expires_s(&self) -> Option<u32> {
        self.params.get("expires")?.parse().ok()
    }

    /// Why it was ended: `deactivated`, `timeout`, `noresource`, …
    pub fn reason(&self) -> Option<&str> {
        self.params.get("reason")
    }

    /// Seconds to wait before subscribing again.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.params.get("retry-after")?.parse().ok()
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            Substate::Active => "active",
            Substate::Pending => "pending",
            Substate::Terminated => "terminated",
            Substate::Other(state) => state,
        })?;
        self.params.write_in_header(f)
    }
}

impl<'a> Value<'a> for SubscriptionState {
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault> {
        let state = scan.token()?;
        let state = match state.to_ascii_lowercase().as_str() {
            "active" => Substate::Active,
            "pending" => Substate::Pending,
            "terminated" => Substate::Terminated,
            _ => Substate::Other(state.to_owned()),
        };
        Ok(Self {
            state,
            params: ParamsView::read(scan)?.into(),
        })
    }
}
