//! The address at which the registrar sees us, and when our Contact says so.

use std::net::SocketAddr;

use super::Registration;
use crate::client::Answered;
use crate::path::Transport;

/// What the server says about our address, and what we made of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping {
    /// In the Contact now.
    pub(super) public: Option<SocketAddr>,
    /// Seen once and not yet believed.
    pub(super) candidate: Option<SocketAddr>,
    /// Whether the Contact was rewritten since our own address last changed.
    pub(super) rewritten: bool,
    /// Our own address at the last answer.
    pub(super) local: Option<SocketAddr>,
}

impl Registration {
    /// What the Contact says from this local address: what the registrar saw there, or what was told
    /// once and for all.
    pub(super) fn public_address(&self, local: Option<SocketAddr>) -> Option<SocketAddr> {
        match (self.config.public, local) {
            (Some(fixed), Some(local)) if fixed.port() == 0 => {
                Some(SocketAddr::new(fixed.ip(), local.port()))
            }
            (Some(fixed), _) => Some(fixed),
            (None, _) => self.mapping.public,
        }
    }

    /// Whether the Contact is to be rewritten now: on the first sight of a mapping, later only
    /// when the same new one is seen twice in a row, so that a mapping which flaps never makes us
    /// register again and again.
    pub(super) fn learn_mapping(
        &mut self,
        answered: &Answered,
        mapped: Option<SocketAddr>,
    ) -> bool {
        let path = answered.path;
        let Some(mapped) = mapped else {
            return false;
        };
        let fixed = self.config.public.is_some() || self.config.inside.holds(path.remote.ip());
        if fixed || !self.config.rewrite_contact || path.transport != Transport::Udp {
            return false;
        }
        let present = self.mapping.public.unwrap_or(path.local);
        if mapped == present || mapped.is_ipv4() != path.local.is_ipv4() {
            self.mapping.candidate = None;
            return false;
        }
        if self.mapping.rewritten && self.mapping.candidate != Some(mapped) {
            self.mapping.candidate = Some(mapped);
            self.notice(format!(
                "the registrar now sees us at {mapped}, waiting whether it stays"
            ));
            return false;
        }
        self.notice(format!(
            "the registrar sees us at {mapped}, the Contact says so from now on"
        ));
        self.mapping.rewritten = true;
        self.mapping.candidate = None;
        self.mapping.public = (mapped != path.local).then_some(mapped);
        true
    }
}
