//! The machine in another network, or awake again.

use sip_core::Path;

use super::TransportState;
use super::resolve::Resolver;
use super::without_tcp::WithoutTcp;
use crate::network::{Drift, Mooring, Moved};
use crate::shared;

impl TransportState {
    /// Sockets stay: whatever is bound to all addresses has the new ones. Connections end that left
    /// from where we are not any more, or that nobody may know behind us after a sleep; another
    /// network has other name servers, and other answers to the same questions.
    pub(super) fn on_moved(&mut self, moved: &Moved) {
        self.sockets.forget_ways();
        self.without_tcp = WithoutTcp::default();
        self.resolver = Resolver::new(&self.args.naming, &shared::seed());
        let is_bad = |path: &Path| {
            let bind = Some(path.local.ip()).filter(|ip| !moved.gone.contains(ip));
            Mooring::default().on_moved(moved, path, bind) != Drift::Moored
        };
        self.connections.close_where(is_bad);
    }
}
