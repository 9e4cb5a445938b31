//! Where a request goes next, and how its copy looks (RFC 3261 §16.4 to §16.6).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use sip_core::{Destination, Inbound, Path, Transport};
use sip_message::{HeaderName, Headers, Method, NameAddr, Request, StatusCode, Uri, Via};

use super::{Action, Exchange, Fate};
use crate::location::{Aor, Binding, address_of};
use crate::proxy::{Sending, Target};
use crate::seal::{Hop, Ways};

/// RFC 5626 §5.3.1: the connection to the phone is gone.
const FLOW_FAILED: StatusCode = match StatusCode::new(430) {
    Some(status) => status,
    None => StatusCode::SERVER_INTERNAL_ERROR,
};

/// What the Routes of a request say.
struct Routed {
    /// The side of the dialog that it goes to, when one of our Routes on top was made for this very
    /// dialog.
    toward: Option<Hop>,
    /// The side that it comes from.
    from: Option<Hop>,
    /// Whether a Route of ours claims to be that.
    claims: bool,
    /// The first Route that is not ours.
    next: Option<Uri>,
}

impl Exchange {
    /// Requests inside a dialog come with the Route that our Record-Route made (§16.4, §16.12), and
    /// go where that says: it cannot be written by anybody else. `None`: a request that opens
    /// something, for the address that its request URI says.
    pub(super) fn follow_route(&mut self, request: &Request, answer_to: Inbound) -> Option<Fate> {
        let routed = self.read_routes(request);
        let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
        match routed {
            Routed {
                toward: Some(hop), ..
            } if in_dialog => {
                let uri = routed.next.as_ref().unwrap_or(&request.uri);
                let Some(destination) = self.way_toward(&hop, uri) else {
                    return Some(self.answer(request, FLOW_FAILED));
                };
                if self.is_ours(&destination.path().remote) {
                    return Some(self.answer(request, StatusCode::LOOP_DETECTED));
                }
                let target = self.target(request, None, Hop { destination, ..hop }, answer_to);
                Some(match target {
                    Some(target) => Fate::Forward(vec![target]),
                    None => self.answer(request, StatusCode::TOO_MANY_HOPS),
                })
            }
            // §12.2.2: the dialog is none that came through us.
            _ if in_dialog => {
                self.not_relayed();
                let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
                Some(self.answer(request, status))
            }
            Routed {
                toward: None,
                claims: true,
                ..
            } => {
                self.not_relayed();
                Some(self.answer(request, StatusCode::FORBIDDEN))
            }
            Routed {
                next: Some(next), ..
            } if self.table_destination(&next).is_none() => {
                self.not_relayed();
                Some(self.answer(request, StatusCode::FORBIDDEN))
            }
            _ => None,
        }
    }

    /// The ACK of a 2xx has no transaction (§16.11): it goes its way once.
    pub(super) fn forward_ack(&mut self, request: &Request, answer_to: Inbound) {
        let routed = self.read_routes(request);
        let Some(hop) = routed.toward else {
            return;
        };
        let uri = routed.next.as_ref().unwrap_or(&request.uri);
        let Some(destination) = self.way_toward(&hop, uri) else {
            return;
        };
        if !self.is_ours(&destination.path().remote)
            && let Some(target) = self.target(request, None, Hop { destination, ..hop }, answer_to)
        {
            let bytes = target.request.to_bytes();
            self.actions
                .push(Action::Send(Sending { destination, bytes }));
        }
    }

    /// A strict router before us put our Route into the request URI, and the real one at the end
    /// of the Routes (§16.4).
    pub(super) fn undo_strict_routing(&self, request: &mut Request) {
        if !self.is_our_route(&request.uri) || self.sides_of(request, &request.uri).is_none() {
            return;
        }
        let mut routes = request.headers.routes().unwrap_or_default();
        let Some(last) = routes.pop() else { return };
        // Our own Route, taken from the request URI, is put where a loose router would have left it.
        routes.insert(0, NameAddr::new(request.uri.clone()));
        request.uri = last.uri;
        set_routes(request, &routes);
    }

    /// The first Route that is not ours.
    pub(super) fn next_route(&self, request: &Request) -> Option<Uri> {
        self.read_routes(request).next
    }

    fn read_routes(&self, request: &Request) -> Routed {
        let routes = request.headers.routes().unwrap_or_default();
        let own = self.own_routes(&routes);
        let ours = routes.iter().take(own);
        let claimed: Vec<&Uri> = ours
            .map(|route| &route.uri)
            .filter(|uri| uri.user.is_some())
            .collect();
        let next = routes.get(own);
        let sides = claimed.iter().find_map(|uri| self.sides_of(request, uri));
        let (from, toward) = sides.unzip();
        Routed {
            toward,
            from,
            claims: !claimed.is_empty(),
            next: next.map(|route| route.uri.clone()),
        }
    }

    /// The side of the dialog that its sender is at, as the Routes on top say.
    pub(super) fn way_of_sender(&self, request: &Request) -> Option<Destination> {
        self.read_routes(request).from.map(|hop| hop.destination)
    }

    /// The sides of the dialog that a request with this Route comes from and goes to.
    fn sides_of(&self, request: &Request, route: &Uri) -> Option<(Hop, Hop)> {
        let token = route.user.as_deref()?;
        let call_id = request.headers.get(HeaderName::CallId)?;
        let (from, to) = (request.headers.from().ok()?, request.headers.to().ok()?);
        let open = |tag: Option<&str>| Ways::open(&self.secret, token, call_id, tag?);
        let by_caller = open(from.tag()).map(|ways| (ways.caller, ways.callee));
        by_caller.or_else(|| open(to.tag()).map(|ways| (ways.callee, ways.caller)))
    }

    /// The way to a side of a dialog: that by which the dialog was made, unless the same user has
    /// registered the Contact that is wanted now by another, or the old one is gone.
    fn way_toward(&self, hop: &Hop, uri: &Uri) -> Option<Destination> {
        let is_alive = match hop.destination {
            Destination::Flow { id, path } => {
                !path.transport.is_reliable() || self.live.contains(&id)
            }
            Destination::Path(_) => true,
        };
        if is_alive && self.contact_digest(uri) == hop.contact {
            return Some(hop.destination);
        }
        let same_user = |aor: &Aor| hop.owner != 0 && self.owner_digest(aor) == hop.owner;
        match self.location.way_of(uri, same_user) {
            Some(inbound) => Some(inbound.destination()),
            None => is_alive.then_some(hop.destination),
        }
    }

    fn owner_digest(&self, aor: &Aor) -> u32 {
        let (user, domain) = (aor.user.as_bytes(), aor.domain.as_bytes());
        self.secret.short(&[b"owner", user, domain]).max(1)
    }

    fn contact_digest(&self, uri: &Uri) -> u32 {
        let address = address_of(uri).unwrap_or_default();
        self.secret.short(&[b"contact", address.as_bytes()])
    }

    /// Where a copy goes, and as whose phone.
    pub(super) fn hop(&self, destination: Destination, owner: Option<&Aor>, contact: &Uri) -> Hop {
        Hop {
            destination,
            owner: owner.map_or(0, |aor| self.owner_digest(aor)),
            contact: self.contact_digest(contact),
        }
    }

    /// The sender of a request, whom requests the other way are to reach.
    fn sender(&self, request: &Request, answer_to: Inbound) -> Hop {
        let from = request.headers.from().ok();
        let aor = from.and_then(|from| Aor::of(&from.uri));
        let aor = aor.filter(|aor| self.location.is_from(aor, &answer_to));
        let contact = request.headers.contact().ok();
        let contact = contact.map_or_else(|| request.uri.clone(), |contact| contact.uri);
        self.hop(answer_to.destination(), aor.as_ref(), &contact)
    }

    /// The host table's address for a request that is not for us.
    pub(super) fn table_destination(&self, uri: &Uri) -> Option<Destination> {
        let host = uri.sip_host()?.to_string();
        let addr = self.hosts.find(&host).filter(|addr| !self.is_ours(addr))?;
        Some(Destination::Path(self.path_to(transport_of(uri)?, addr)))
    }

    /// Who is meant by a request URI, and where they can be reached.
    pub(super) fn find_bindings(&mut self, now: Instant, uri: &Uri) -> Option<(Aor, Vec<Binding>)> {
        if let Some(found) = self.location.of_temporary(now, uri) {
            return Some(found);
        }
        let aor = Aor::of(uri)?;
        let mut exact = self.location.bindings(now, &aor);
        if let Some(instance) = uri.params.get("gr") {
            // RFC 5627 §5.1: one phone of several.
            exact.retain(|binding| binding.has_instance(instance));
            return Some((aor, exact));
        }
        if !exact.is_empty() {
            return Some((aor, exact));
        }
        // Those who dial a name at our own address mean whoever has that name.
        if !self.is_at_our_address(uri) {
            return None;
        }
        let aor = self.location.only_of_user(now, &aor.user)?;
        let bindings = self.location.bindings(now, &aor);
        (!bindings.is_empty()).then_some((aor, bindings))
    }

    pub(super) fn is_at_our_address(&self, uri: &Uri) -> bool {
        let ip = uri.sip_host().and_then(sip_message::Host::ip);
        ip.is_some_and(|ip| self.is_our_ip(ip))
    }

    /// One copy for each binding that can be reached without coming back to us.
    pub(super) fn targets_of(
        &mut self,
        request: &Request,
        aor: &Aor,
        bindings: Vec<Binding>,
        answer_to: Inbound,
    ) -> Vec<Target> {
        // RFC 5626 §5.3: of several ways to one phone the newest that lives, the others after it.
        let mut phones: Vec<Vec<Binding>> = Vec::new();
        for binding in bindings {
            let same = |phone: &&mut Vec<Binding>| {
                let first = phone.first();
                binding.reg_id.is_some()
                    && first.is_some_and(|b| b.reg_id.is_some() && b.instance == binding.instance)
            };
            match phones.iter_mut().find(same) {
                Some(phone) => phone.push(binding),
                None => phones.push(vec![binding]),
            }
        }
        let mut targets = Vec::new();
        for mut phone in phones {
            phone.sort_by_key(|binding| (binding.alive, binding.renewed));
            let mut ways: Vec<Target> = phone
                .into_iter()
                .filter_map(|binding| self.target_of(request, aor, binding, answer_to))
                .collect();
            if let Some(mut best) = ways.pop() {
                best.spares = ways;
                targets.push(best);
            }
        }
        targets
    }

    fn target_of(
        &mut self,
        request: &Request,
        aor: &Aor,
        binding: Binding,
        answer_to: Inbound,
    ) -> Option<Target> {
        let destination = if binding.alive {
            binding.inbound.destination()
        } else {
            self.at_its_contact(&binding)?
        };
        if binding.contact.sip_host().is_none() || self.is_ours(&destination.path().remote) {
            return None;
        }
        let hop = self.hop(destination, Some(aor), &binding.contact);
        let mut target = self.target(request, Some(binding.contact), hop, answer_to)?;
        // RFC 3327 §5.4: the proxies between it and us, to the nearest of which its REGISTER's way
        // leads back.
        for hop in binding.path.iter().rev() {
            target
                .request
                .headers
                .insert_first(HeaderName::Route, hop.as_str());
        }
        Some(target)
    }

    /// Where a phone listens whose connection has ended: at the address that it registered from. No
    /// Contact has us send to anybody else.
    fn at_its_contact(&self, binding: &Binding) -> Option<Destination> {
        let contact = &binding.contact;
        let transport = transport_of(contact)?;
        let ip = contact.sip_host()?.ip()?;
        let addr = SocketAddr::new(ip, contact.port.unwrap_or(transport.default_port()));
        let came_from = binding.inbound.path.remote.ip();
        (ip == came_from).then(|| Destination::Path(self.path_to(transport, addr)))
    }

    /// A copy of a request for one target (§16.6); `None` when it has come too far.
    pub(super) fn target(
        &mut self,
        request: &Request,
        uri: Option<Uri>,
        callee: Hop,
        answer_to: Inbound,
    ) -> Option<Target> {
        let destination = callee.destination;
        let mut copy = request.clone();
        if let Some(uri) = uri {
            copy.uri = uri;
        }
        self.take_own_routes(&mut copy);
        self.take_unvouched(&mut copy.headers, &answer_to);
        let hops = copy.headers.max_forwards().unwrap_or(70).checked_sub(1)?;
        copy.headers.set(HeaderName::MaxForwards, hops);
        if matches!(
            copy.method,
            Method::Invite | Method::Subscribe | Method::Refer
        ) {
            let token = self.token(request, callee, answer_to)?;
            let (from, to) = (answer_to.path, *destination.path());
            // Two entries when the ways differ, each with the address its side can reach.
            if from.transport != to.transport || from.local != to.local {
                copy.headers
                    .insert_first(HeaderName::RecordRoute, record_route(from, &token));
            }
            copy.headers
                .insert_first(HeaderName::RecordRoute, record_route(to, &token));
        }
        let branch = format!("{}.{}", self.tokens.branch(), self.loop_mark(request));
        let via = Via::parse(&destination.path().via_value(&branch)).ok()?;
        copy.headers.insert_first(HeaderName::Via, via);
        Some(Target {
            request: copy,
            branch,
            destination,
            spares: Vec::new(),
        })
    }

    fn token(&self, request: &Request, callee: Hop, answer_to: Inbound) -> Option<String> {
        let ways = Ways {
            caller: self.sender(request, answer_to),
            callee,
        };
        let call_id = request.headers.get(HeaderName::CallId)?;
        let from = request.headers.from().ok()?;
        Some(ways.seal(&self.secret, call_id, from.tag().unwrap_or_default()))
    }

    /// Whether this came from a machine that whoever runs us has written into the host table. By
    /// datagrams it has to be the very port: such a machine is a server and sends from where it
    /// listens.
    fn is_neighbour(&self, inbound: &Inbound) -> bool {
        let Path {
            transport, remote, ..
        } = inbound.path;
        self.hosts
            .has(|addr| addr.ip() == remote.ip() && (transport.is_reliable() || *addr == remote))
    }

    /// Takes out of a message what its sender may not say of itself or of others. Whoever reads these
    /// headers believes them because only servers write them, for users whom they have checked:
    ///
    /// - P-Asserted-Identity (RFC 3325 §5) says who calls, whatever From says; P-Preferred-Identity
    ///   is meant for the first server alone and ends there (§9.2); Remote-Party-ID is what both were
    ///   before they had an RFC.
    /// - Diversion (RFC 5806 §5 asks for trust between all who handle it) and History-Info (RFC 7044
    ///   §10.2) say for whom a call was before: a caller who writes them speaks as a colleague of whom
    ///   it names, is shown as forwarded by them, and may be let into their mailbox.
    ///
    /// From a neighbour all of them pass, but for what it says to keep within (RFC 3325 §7): who stands
    /// behind us are phones.
    pub(super) fn take_unvouched(&self, headers: &mut Headers, from: &Inbound) {
        headers.remove(HeaderName::PPreferredIdentity);
        let is_private = headers
            .get_all(HeaderName::Privacy)
            .flat_map(|value| value.split(';'))
            .any(|word| word.trim().eq_ignore_ascii_case("id"));
        let neighbour = self.is_neighbour(from);
        if !neighbour || is_private {
            headers.remove(HeaderName::PAssertedIdentity);
            headers.remove(HeaderName::RemotePartyId);
        }
        if !neighbour {
            headers.remove(HeaderName::Diversion);
            headers.remove(HeaderName::HistoryInfo);
        }
    }

    /// Takes our Routes off the top, and makes room for a strict router that comes next (§16.6
    /// steps 1 and 6).
    fn take_own_routes(&self, copy: &mut Request) {
        let Ok(mut routes) = copy.headers.routes() else {
            return;
        };
        let before = routes.len();
        let own = self.own_routes(&routes);
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
        let of = |name| headers.get(name).unwrap_or_default().as_bytes();
        let (uri, routes) = (request.uri.to_string(), routes.join(","));
        self.secret.digits(&[
            b"loop",
            uri.as_bytes(),
            routes.as_bytes(),
            of(HeaderName::From),
            of(HeaderName::To),
            of(HeaderName::CallId),
            of(HeaderName::CSeq),
        ])
    }

    pub(super) fn path_to(&self, transport: Transport, remote: SocketAddr) -> Path {
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

    /// How many Routes at the top are ours. The first may bear a name that the table does not know: whoever sent this
    /// here found us by it. Those behind it are others'.
    fn own_routes(&self, routes: &[NameAddr]) -> usize {
        let by_name = routes
            .first()
            .is_some_and(|route| self.is_our_route(&route.uri) || self.is_found_by(&route.uri));
        let first = usize::from(by_name);
        let behind = routes.iter().skip(first);
        first
            + behind
                .take_while(|route| self.is_our_route(&route.uri))
                .count()
    }

    /// Whether this is a name, of nobody else's that we know, with a port of ours.
    fn is_found_by(&self, uri: &Uri) -> bool {
        let port = uri.port.unwrap_or(5060);
        let listening = self.listening.iter().any(|(_, local)| local.port() == port);
        let unknown = uri.sip_host().is_some_and(|host| {
            host.ip().is_none() && self.hosts.find(&host.to_string()).is_none()
        });
        listening && unknown
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

fn record_route(path: Path, token: &str) -> String {
    let (local, transport) = (path.local, path.transport.as_str());
    format!("<sip:{token}@{local};transport={transport};lr>")
}
