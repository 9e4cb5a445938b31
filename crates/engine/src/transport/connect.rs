//! Connections that come up and end, and how to be a client of TLS.

use std::collections::HashSet;
use std::sync::Arc;

use model::{AccountId, CertificateFault, WayStep};
use sip_core::{Transport, TransportError};
use sip_message::{Scheme, Uri};
use wire::{ClientTls, Roots, Towards};

use super::{Delivery, Held, Received, TransportState, WEBSOCKET_RESOURCE, stream, unsent};
use crate::failures;
use crate::tenant::TenantMsg;
use crate::wake::now;

/// What a step is called by those who wait for it.
fn under_way(step: wire::Step) -> Option<WayStep> {
    match step {
        wire::Step::Connect => Some(WayStep::Connecting),
        wire::Step::Tls => Some(WayStep::Tls),
        wire::Step::WebSocket => Some(WayStep::WebSocket),
        wire::Step::Flow | wire::Step::Setup => None,
    }
}

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
            wire::Event::Begun { flow, path, step } => {
                self.connections.on_step(flow, &path, under_way(step));
                return;
            }
            wire::Event::Up {
                flow,
                path,
                secured,
                accepted,
            } => {
                self.connections.on_step(flow, &path, None);
                if !accepted {
                    self.without_tcp.on_up(&path);
                }
                let Some(secured) = secured else { return };
                let shown = secured.certificate.map(|shown| shown.to_string());
                let shown = shown.unwrap_or_else(|| "nobody".to_owned());
                let text = format!(
                    "{path} is {} with {}: {shown}",
                    secured.version, secured.cipher
                );
                return self.note_connection(text);
            }
            wire::Event::Closed(closed) => closed,
            wire::Event::FlowFailed { flow, remote } => return self.on_flow_failed(flow, remote),
            wire::Event::Mapped {
                flow,
                remote,
                mapped,
            } => return self.on_mapped(flow, remote, mapped),
        };
        if let wire::Error::Unframed(_) = closed.error {
            self.count("streams that cannot be cut into messages", |c| {
                &mut c.garbage
            });
        }
        if closed.error != wire::Error::Closed {
            self.note_connection(format!("{}: {}", closed.path, closed.error));
        }
        if !closed.was_up {
            let error = TransportError::from(&closed.error);
            self.without_tcp.on_failed(now(), &closed.path, &error);
        }
        for lost in self.connections.on_closed(&closed) {
            match lost {
                stream::Loss::Unsent {
                    owner,
                    bytes,
                    error,
                    domain,
                } => {
                    if let Some((fault, shown)) = closed.error.certificate() {
                        let host = domain.unwrap_or_else(|| closed.path.remote.ip().to_string());
                        let host = host.trim_end_matches('.').to_ascii_lowercase();
                        let shown = Box::new(failures::certificate(host, fault, shown));
                        if shown.fault == CertificateFault::Changed {
                            let alarm = TenantMsg::CertificateChanged(shown.clone());
                            let _ = self.args.tenant.cast(alarm);
                        }
                        owner.deliver(Delivery::Untrusted(shown));
                    }
                    unsent(&owner, &bytes, error);
                }
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
    pub(super) fn towards(
        &mut self,
        account: &AccountId,
        uri: &Uri,
        tls: Option<Arc<ClientTls>>,
    ) -> Towards {
        let reachable = self.reachable.get(account);
        let resource = reachable.and_then(|account| account.ws_path.clone());
        let resource = resource.unwrap_or_else(|| WEBSOCKET_RESOURCE.to_owned());
        Towards {
            domain: uri.sip_host().map(ToString::to_string),
            tls: tls.or_else(|| self.system_tls(uri)),
            resource: Some(resource),
            connect: None,
            lane: None,
        }
    }

    /// TLS by the roots of the system for whatever may lead there by TLS: a `sips:` URI does by any
    /// transport (RFC 3261 §26.2.2), and one that names no transport by what DNS says.
    fn system_tls(&mut self, uri: &Uri) -> Option<Arc<ClientTls>> {
        let word = uri.params.get("transport").and_then(Transport::parse);
        let is_plain = word.is_some_and(|transport| !transport.is_secure());
        if is_plain && uri.scheme != Scheme::Sips {
            return None;
        }
        self.default_tls(Transport::Tls)
    }

    /// TLS by the roots of the system, read when it is first needed.
    pub(super) fn default_tls(&mut self, transport: Transport) -> Option<Arc<ClientTls>> {
        if !transport.is_secure() {
            return None;
        }
        if self.system_tls.is_none() {
            let remembered = self.args.remembered.clone();
            let made = ClientTls::new(&Roots::Platform, remembered, None);
            if let Err(error) = &made {
                self.note_connection(format!("TLS cannot be used: {error}"));
            }
            self.system_tls = made.ok().map(Arc::new);
        }
        self.system_tls.clone()
    }
}
