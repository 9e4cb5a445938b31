//! Wires against wires, and against peers that break the rules, on loopback.

mod hostile;
mod keepalive;
mod trust;
mod ways;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use sip_core::{Destination, FlowId, Path, Transport};
use tokio::sync::mpsc;

use crate::*;

/// How long anything on loopback may take.
const SOON: Duration = Duration::from_secs(20);

/// A wire and what it tells.
struct Side {
    wire: Wire,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Side {
    fn new(limits: Limits) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        // That something was counted is looked up where it matters.
        let sink: Sink =
            Arc::new(move |event| matches!(event, Event::Counted) || sender.send(event).is_ok());
        Self {
            wire: Wire::new(limits, sink),
            events,
        }
    }

    /// Listens on loopback.
    fn listen(&self, door: Door) -> SocketAddr {
        self.listen_at("127.0.0.1:0", door)
    }

    fn listen_at(&self, bind: &str, door: Door) -> SocketAddr {
        let listener = open_listener(bind.parse().expect("an address")).expect("a listener");
        let addr = listener.local_addr().expect("bound");
        self.wire.serve(Arc::new(listener), door);
        addr
    }

    /// Opens a datagram socket on loopback.
    fn datagrams(&self) -> (FlowId, SocketAddr) {
        self.datagrams_at("127.0.0.1:0")
    }

    fn datagrams_at(&self, bind: &str) -> (FlowId, SocketAddr) {
        let socket = open_udp(bind.parse().expect("an address")).expect("a socket");
        let addr = socket.local_addr().expect("bound");
        let flow = self.wire.serve_datagrams(Arc::new(socket));
        (flow.expect("served"), addr)
    }

    /// What happens next, whatever it is.
    async fn any_event(&mut self) -> Event {
        tokio::time::timeout(SOON, self.events.recv())
            .await
            .expect("something happens")
            .expect("the wire lives")
    }

    /// What happens next; steps of a connection on its way up are no surprise.
    async fn event(&mut self) -> Event {
        loop {
            match self.any_event().await {
                Event::Begun { .. } => {}
                event => return event,
            }
        }
    }

    /// The next message; connections that come up meanwhile are no surprise.
    async fn arrived(&mut self) -> Arrived {
        loop {
            match self.event().await {
                Event::Arrived(arrived) => return arrived,
                Event::Up { .. } => {}
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    /// The next connection that ends; messages are let go.
    async fn closed(&mut self) -> Closed {
        loop {
            match self.event().await {
                Event::Closed(closed) => return closed,
                Event::Up { .. } | Event::Arrived(_) => {}
                other => panic!("an end was expected, not {other:?}"),
            }
        }
    }

    async fn up(&mut self) -> (FlowId, Option<Secured>) {
        match self.event().await {
            Event::Up { flow, secured, .. } => (flow, secured),
            other => panic!("a connection was expected, not {other:?}"),
        }
    }
}

/// The way to an address.
fn path(transport: Transport, remote: SocketAddr) -> Path {
    Path {
        transport,
        remote,
        local: local_toward(remote).expect("loopback is there"),
    }
}

fn to(transport: Transport, remote: SocketAddr) -> Destination {
    Destination::Path(path(transport, remote))
}

/// A request that says `word`, and is long enough when asked to be.
fn request(word: &str, body: usize) -> Vec<u8> {
    let mut bytes = format!(
        "OPTIONS sip:{word}@example.org SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{word}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.org>;tag=1\r\nTo: <sip:b@example.org>\r\n\
         Call-ID: {word}\r\nCSeq: 1 OPTIONS\r\nContent-Length: {body}\r\n\r\n"
    )
    .into_bytes();
    bytes.resize(bytes.len() + body, b'x');
    bytes
}

/// An authority of our own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            rcgen::KeyUsagePurpose::KeyCertSign,
            rcgen::KeyUsagePurpose::CrlSign,
        ];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = named("leaf");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.0).expect("a certificate");
        identity(&leaf.pem(), &key)
    }

    /// A certificate for a domain.
    fn issue_for(&self, domain: &str) -> Identity {
        self.issue(|params| params.subject_alt_names = vec![dns(domain)])
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn identity(pem: &str, key: &KeyPair) -> Identity {
    Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).expect("an identity")
}

/// A certificate that only itself vouches for, and its PEM.
fn self_signed(domain: &str) -> (Identity, Vec<u8>) {
    let mut params = named(domain);
    params.subject_alt_names = vec![dns(domain)];
    let key = KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    (identity(&pem, &key), pem.into_bytes())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

fn server(identity: &Identity) -> ServerTls {
    ServerTls::new(identity, None).expect("a server")
}

/// For the server of this domain, trusting these authorities.
fn towards(domain: &str, authorities: &[u8]) -> Towards {
    let roots = Roots::Pem(authorities.to_vec());
    let tls = ClientTls::new(&roots, Remembered::default(), None).expect("a client");
    Towards {
        domain: Some(domain.to_owned()),
        tls: Some(Arc::new(tls)),
        resource: None,
        connect: None,
        lane: None,
    }
}

/// Collects what a peer of plain sockets reads.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn push(&self, bytes: &[u8]) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(bytes);
    }

    fn text(&self) -> String {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}
