//! Where a request goes next, and how its copy looks (RFC 3261 §16.4 to §16.6).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use sip_core::{Destination, Inbound, Path, Transport};
use sip_message::{HeaderName, Method, NameAddr, Request, StatusCode, Uri, Via};

use super::{Action, Exchange, Fate};
use crate::location::{Aor, Binding};
use crate::proxy::{Sending, Target};

/// URI parameter of our Record-Route by which we know that a dialog really came through us.
const SEAL: &str = "seal";

impl Exchange {
    /// Requests inside a dialog come with the Route that our Record-Route made (§16.4, §16.12).
    pub(super) fn follow_route(&mut self, request: &Request, inbound: Inbound) -> Option<Fate> {
        let (hop, sealed) = self.next_hop(request)?;
        let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
        if !in_dialog {
            // An outbound proxy's Route on a new request: we are it, and look the request up.
            return None;
        }
        let Some(destination) = self.destination_of(&hop) else {
            return Some(self.answer(request, StatusCode::NOT_FOUND));
        };
        if self.is_ours(&destination.path().remote) {
            return Some(self.answer(request, StatusCode::LOOP_DETECTED));
        }
        // Whoever could write any Route could have us send anything anywhere.
        if !sealed && !self.is_known(&hop, &destination) {
            return None;
        }
        Some(match self.target(request, None, destination, inbound) {
            Some(target) => Fate::Forward(vec![target]),
            None => self.answer(request, StatusCode::TOO_MANY_HOPS),
        })
    }

    /// The ACK of a 2xx has no transaction (§16.11): it goes its way once.
    pub(super) fn forward_ack(&mut self, request: &Request, inbound: Inbound) {
        let Some((hop, sealed)) = self.next_hop(request) else {
            return;
        };
        let Some(destination) = self.destination_of(&hop) else {
            return;
        };
        let may = sealed || self.is_known(&hop, &destination);
        if may
            && !self.is_ours(&destination.path().remote)
            && let Some(target) = self.target(request, None, destination, inbound)
        {
            let bytes = target.request.to_bytes();
            self.actions
                .push(Action::Send(Sending { destination, bytes }));
        }
    }

    /// A strict router before us put our Route into the request URI, and the real one at the end
    /// of the Routes (§16.4).
    pub(super) fn undo_strict_routing(&self, request: &mut Request) {
        if !self.is_our_route(&request.uri) || !request.uri.params.has(SEAL) {
            return;
        }
        let mut routes = request.headers.routes().unwrap_or_default();
        let Some(last) = routes.pop() else { return };
        // Our own Route, taken from the request URI, is put where a loose router would have left it.
        routes.insert(0, NameAddr::new(request.uri.clone()));
        request.uri = last.uri;
        set_routes(request, &routes);
    }

    /// Where an ongoing dialog wants to go when its top Route is ours, and whether the Route is
    /// one that we made for this very dialog.
    fn next_hop(&self, request: &Request) -> Option<(Uri, bool)> {
        let routes = request.headers.routes().unwrap_or_default();
        let top = routes.first().filter(|top| self.is_our_route(&top.uri))?;
        let seal = self.seal_of(request);
        let sealed = top.uri.params.get(SEAL) == Some(seal.as_str());
        let next = routes.iter().find(|route| !self.is_our_route(&route.uri));
        Some((next.map_or(&request.uri, |next| &next.uri).clone(), sealed))
    }

    /// Somebody whom one may reach through us anyway.
    fn is_known(&self, hop: &Uri, destination: &Destination) -> bool {
        self.location.way_to(hop).is_some() || self.hosts.has_addr(&destination.path().remote)
    }

    /// The host table's address for a request that is not for us.
    pub(super) fn table_destination(&self, uri: &Uri) -> Option<Destination> {
        let host = uri.sip_host()?.to_string();
        let addr = self.hosts.find(&host).filter(|addr| !self.is_ours(addr))?;
        Some(Destination::Path(self.path_to(transport_of(uri)?, addr)))
    }

    pub(super) fn find_bindings(&mut self, now: Instant, uri: &Uri) -> Vec<Binding> {
        let Some(aor) = Aor::of(uri) else {
            return Vec::new();
        };
        let exact = self.location.bindings(now, &aor);
        if !exact.is_empty() {
            return exact;
        }
        // Those who dial a name at our own address mean whoever has that name.
        let at_our_address = uri
            .sip_host()
            .and_then(sip_message::Host::ip)
            .is_some_and(|ip| self.is_our_ip(ip));
        if at_our_address {
            self.location.bindings_of_user(now, &aor.user)
        } else {
            Vec::new()
        }
    }

    /// One copy for each binding that can be reached without coming back to us.
    pub(super) fn targets_of(
        &mut self,
        request: &Request,
        bindings: Vec<Binding>,
        inbound: Inbound,
    ) -> Vec<Target> {
        let mut targets = Vec::new();
        for binding in bindings {
            let destination = if binding.alive {
                Some(binding.inbound.destination())
            } else {
                self.destination_of(&binding.contact)
            };
            if let Some(destination) = destination
                && binding.contact.sip_host().is_some()
                && !self.is_ours(&destination.path().remote)
            {
                targets.extend(self.target(request, Some(binding.contact), destination, inbound));
            }
        }
        targets
    }

    /// A copy of a request for one target (§16.6); `None` when it has come too far.
    pub(super) fn target(
        &mut self,
        request: &Request,
        uri: Option<Uri>,
        destination: Destination,
        inbound: Inbound,
    ) -> Option<Target> {
        let mut copy = request.clone();
        if let Some(uri) = uri {
            copy.uri = uri;
        }
        self.take_own_routes(&mut copy);
        let hops = copy.headers.max_forwards().unwrap_or(70).checked_sub(1)?;
        copy.headers.set(HeaderName::MaxForwards, hops);
        if matches!(
            copy.method,
            Method::Invite | Method::Subscribe | Method::Refer
        ) {
            let seal = self.seal_of(request);
            let (from, to) = (inbound.path, *destination.path());
            // Two entries when the ways differ, each with the address its side can reach.
            if from.transport != to.transport || from.local != to.local {
                copy.headers
                    .insert_first(HeaderName::RecordRoute, record_route(from, &seal));
            }
            copy.headers
                .insert_first(HeaderName::RecordRoute, record_route(to, &seal));
        }
        let branch = format!("{}.{}", self.tokens.branch(), self.loop_mark(request));
        let via = Via::parse(&destination.path().via_value(&branch)).ok()?;
        copy.headers.insert_first(HeaderName::Via, via);
        Some(Target {
            request: copy,
            branch,
            destination,
        })
    }

    /// Takes our Routes off the top, and makes room for a strict router that comes next (§16.6
    /// steps 1 and 6).
    fn take_own_routes(&self, copy: &mut Request) {
        let Ok(mut routes) = copy.headers.routes() else {
            return;
        };
        let before = routes.len();
        let own = routes
            .iter()
            .take_while(|route| self.is_our_route(&route.uri))
            .count();
        routes.drain(..own);
        if let Some(next) = routes.first()
            && !next.uri.is_loose_router()
            && next.uri.sip_host().is_some()
        {
            let next = routes.remove(0);
            routes.push(NameAddr::new(std::mem::replace(&mut copy.uri, next.uri)));
        } else if routes.len() == before {
            return;
        }
        set_routes(copy, &routes);
    }

    /// Whether this very request has been here before (§16.3 step 4).
    pub(super) fn has_looped(&self, request: &Request) -> bool {
        let mark = self.loop_mark(request);
        let vias = request.headers.vias().unwrap_or_default();
        vias.iter().any(|via| {
            via.branch()
                .and_then(|branch| branch.rsplit_once('.'))
                .is_some_and(|(_, theirs)| theirs == mark)
        })
    }

    /// Of all that decides where a request goes (§16.6 step 8): the same again is a loop, another
    /// request URI is a spiral and may pass.
    fn loop_mark(&self, request: &Request) -> String {
        let headers = &request.headers;
        let routes = headers.routes().unwrap_or_default();
        let routes: Vec<String> = routes
            .iter()
            .filter(|route| !self.is_our_route(&route.uri))
            .map(|route| route.uri.to_string())
            .collect();
        self.keyed(&(
            "loop",
            request.uri.to_string(),
            routes,
            headers.get(HeaderName::From),
            headers.get(HeaderName::To),
            headers.get(HeaderName::CallId),
            headers.get(HeaderName::CSeq),
        ))
    }

    fn seal_of(&self, request: &Request) -> String {
        self.keyed(&("seal", request.headers.get(HeaderName::CallId)))
    }

    /// Sixteen digits that only we can make.
    fn keyed(&self, value: &impl Hash) -> String {
        let mut hasher = DefaultHasher::new();
        self.secret.0.hash(&mut hasher);
        value.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// The way to a next hop: that by which it registered, else what its URI says.
    pub(super) fn destination_of(&self, hop: &Uri) -> Option<Destination> {
        if let Some(inbound) = self.location.way_to(hop) {
            return Some(inbound.destination());
        }
        let transport = transport_of(hop)?;
        let host = hop.sip_host()?;
        let addr = match host.ip() {
            Some(ip) => SocketAddr::new(ip, hop.port.unwrap_or(transport.default_port())),
            None => self.hosts.find(&host.to_string())?,
        };
        Some(Destination::Path(self.path_to(transport, addr)))
    }

    fn path_to(&self, transport: Transport, remote: SocketAddr) -> Path {
        let ip = (self.source_ip)(remote);
        let fits = |(t, local): &&(Transport, SocketAddr)| {
            *t == transport && local.is_ipv4() == remote.is_ipv4()
        };
        let leads_there =
            |(_, local): &&(Transport, SocketAddr)| local.ip() == ip || local.ip().is_unspecified();
        let all = || self.listening.iter().filter(fits);
        let local = all().find(leads_there).or_else(|| all().next());
        let port = local.map_or(transport.default_port(), |(_, local)| local.port());
        let ip = match local {
            Some((_, local)) if !local.ip().is_unspecified() => local.ip(),
            _ => ip,
        };
        Path {
            transport,
            remote,
            local: SocketAddr::new(ip, port),
        }
    }

    fn is_our_route(&self, uri: &Uri) -> bool {
        let Some(host) = uri.sip_host() else {
            return false;
        };
        let port = uri.port.unwrap_or(5060);
        let listening = self.listening.iter().any(|(_, local)| local.port() == port);
        let ours = match host.ip() {
            Some(ip) => self.is_our_ip(ip),
            None => self
                .hosts
                .find(&host.to_string())
                .is_some_and(|addr| self.is_ours(&addr)),
        };
        listening && ours
    }

    pub(super) fn is_ours(&self, addr: &SocketAddr) -> bool {
        self.is_our_ip(addr.ip())
            && self
                .listening
                .iter()
                .any(|(_, local)| local.port() == addr.port())
    }

    fn is_our_ip(&self, ip: IpAddr) -> bool {
        self.listening.iter().any(|(_, local)| {
            local.ip() == ip
                || local.ip().is_unspecified()
                    && local.is_ipv4() == ip.is_ipv4()
                    // What is sent to one of our own addresses leaves from that address.
                    && (self.source_ip)(SocketAddr::new(ip, local.port())) == ip
        })
    }
}

/// The transport that a URI asks for.
fn transport_of(uri: &Uri) -> Option<Transport> {
    match uri.params.get("transport") {
        Some(word) => Transport::parse(word),
        None => Some(Transport::Udp),
    }
}

fn set_routes(request: &mut Request, routes: &[NameAddr]) {
    request.headers.remove(HeaderName::Route);
    for route in routes {
        request.headers.push(HeaderName::Route, route);
    }
}

fn record_route(path: Path, seal: &str) -> String {
    let (local, transport) = (path.local, path.transport.as_str());
    format!("<sip:{local};transport={transport};lr;{SEAL}={seal}>")
}
