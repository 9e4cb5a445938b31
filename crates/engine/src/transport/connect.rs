//! Connections that come up and end, and how to be a client of TLS.

use std::collections::HashSet;
use std::sync::Arc;

use sip_core::Transport;
use sip_message::Uri;
use wire::{ClientTls, Remembered, Roots, Towards};

use super::{Delivery, Held, Received, TransportState, WEBSOCKET_RESOURCE, stream, unsent};

impl TransportState {
    pub(super) fn on_stream(&mut self, event: wire::Event) {
        let closed = match event {
            wire::Event::Arrived(arrived) => {
                return self.on_received(Received {
                    flow: arrived.flow,
                    path: arrived.path,
                    bytes: arrived.bytes,
                    at: arrived.at,
                    wall: crate::wall(),
                    _room: Held::Stream(arrived.room),
                });
            }
            wire::Event::Counted => return self.ask_for_report(),
            wire::Event::Up {
                path,
                secured: Some(secured),
                ..
            } => {
                let shown = secured.certificate.map(|shown| shown.to_string());
                let shown = shown.unwrap_or_else(|| "nobody".to_owned());
                let text = format!(
                    "{path} is {} with {}: {shown}",
                    secured.version, secured.cipher
                );
                return self.note_connection(text);
            }
            wire::Event::Closed(closed) => closed,
            // Datagrams have their sockets beside the wire.
            wire::Event::Up { .. }
            | wire::Event::FlowFailed { .. }
            | wire::Event::Mapped { .. } => {
                return;
            }
        };
        if let wire::Error::Unframed(_) = closed.error {
            self.count("streams that cannot be cut into messages", |c| {
                &mut c.garbage
            });
        }
        if closed.error != wire::Error::Closed {
            self.note_connection(format!("{}: {}", closed.path, closed.error));
        }
        for lost in self.connections.on_closed(&closed) {
            match lost {
                stream::Loss::Unsent {
                    owner,
                    bytes,
                    error,
                } => unsent(&owner, &bytes, error),
                stream::Loss::Flow(flow) => {
                    let mut told = HashSet::new();
                    for owner in self.owners.values() {
                        if told.insert(owner.id) {
                            owner.deliver(Delivery::FlowLost(flow));
                        }
                    }
                }
            }
        }
    }

    /// The domain that is asked for, and how to be a client of TLS there.
    pub(super) fn towards(&mut self, uri: &Uri, tls: Option<Arc<ClientTls>>) -> Towards {
        let scheme_or_word = uri.params.get("transport").and_then(Transport::parse);
        let secure = scheme_or_word.unwrap_or(Transport::Tls);
        Towards {
            domain: uri.sip_host().map(ToString::to_string),
            tls: tls.or_else(|| self.default_tls(secure)),
            resource: Some(WEBSOCKET_RESOURCE.to_owned()),
        }
    }

    /// TLS by the roots of the system, read when it is first needed.
    pub(super) fn default_tls(&mut self, transport: Transport) -> Option<Arc<ClientTls>> {
        if !transport.is_secure() {
            return None;
        }
        if self.system_tls.is_none() {
            let made = ClientTls::new(&Roots::Platform, Remembered::default(), None);
            self.system_tls = made.ok().map(Arc::new);
        }
        self.system_tls.clone()
    }
}
