//! Where the media of a call is: its sockets, how the world sees them, and what of that the peer is told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use media::Place;
use model::{NoticeLevel, ServerUri, SrtpKeys, SrtpPolicy};
use nat::ice::{Base, Component};
use wire::{ClientTls, Remembered, Roots};

use super::MediaLeg;
use crate::dialog::DialogState;
use crate::mapped::{self, Found, Pair, Servers};
use crate::network;
use crate::relay::{self, Asking, Bridge, Relay};

impl DialogState {
    /// Moves the media to this address of ours. The stream stays what it is; what is offered next names the new place.
    pub(in crate::dialog) async fn move_media(&mut self, local: IpAddr) -> Result<(), String> {
        let looks = self.looks_around();
        let peer = self.media.as_ref().and_then(|media| media.peer);
        let told = self.identity.told_address(local, peer);
        // Another network has another router: the same address says nothing about how the world sees it.
        let stays = |media: &&mut MediaLeg| media.local == local && !looks;
        if self.media.as_mut().as_ref().is_none_or(stays) {
            return Ok(());
        }
        let (pairs, port) = self.open_sockets(local)?;
        self.relay_gone = None;
        let found = self.look_for_media(&pairs).await;
        let Some(media) = &mut self.media else {
            return Ok(());
        };
        let stays = media.may_stay();
        media.local = local;
        media.negotiator.set_address(told, port);
        media.set_ways(&pairs, found);
        media.sockets = Some(pairs);
        if stays {
            return Ok(());
        }
        media.move_stream()
    }

    /// Whether others are asked where our media is.
    fn looks_around(&self) -> bool {
        let asks = self.settings.stun.is_some() || self.settings.turn.is_some();
        // Who is inside reaches us where we are.
        let peer = self.media.as_ref().and_then(|media| media.peer);
        let inside = peer.is_some_and(|peer| self.identity.inside.holds(peer));
        asks && self.identity.public.is_none() && !inside
    }

    /// Whom the account names to be asked where our media is.
    fn servers(&self) -> Servers {
        if !self.looks_around() {
            return Servers::default();
        }
        let relay = self
            .settings
            .turn
            .as_ref()
            .and_then(|uri| relay::server(uri.reveal()));
        let relay = relay.map(|server| Asking {
            tls: self.relay_tls(server.secure),
            login: self.relay_login.clone(),
            server,
        });
        let stun = self.settings.stun.clone().map(ServerUri::into_revealed);
        Servers { stun, relay }
    }

    /// TLS towards the relay, by the roots of the account, or of the system.
    fn relay_tls(&self, secure: bool) -> Option<Arc<ClientTls>> {
        if !secure {
            return None;
        }
        self.identity.tls.clone().or_else(|| {
            let made = ClientTls::new(&Roots::Platform, Remembered::default(), None);
            made.ok().map(Arc::new)
        })
    }

    /// Binds the ports, if they are not yet: from here on there can be offers and answers of ours.
    pub(in crate::dialog) fn bind_media(&mut self) -> Result<(), String> {
        let Some(media) = &mut self.media else {
            return Ok(());
        };
        if media.sockets.is_some() || media.stream.is_some() {
            return Ok(());
        }
        let settings = &self.settings;
        let shakes_hands = settings.srtp != SrtpPolicy::Off && settings.srtp_keys == SrtpKeys::Dtls;
        if shakes_hands && media.certificate.is_none() {
            // Whoever chose the handshake does not want keys that can be read instead.
            return Err("there is no certificate for the handshake that makes the keys".to_owned());
        }
        let (local, peer) = (media.local, media.peer);
        let (pairs, port) = self.open_sockets(local)?;
        let told = self.identity.told_address(local, peer);
        let Some(media) = &mut self.media else {
            return Ok(());
        };
        media.negotiator.set_address(told, port);
        media.set_ways(&pairs, Vec::new());
        media.sockets = Some(pairs);
        Ok(())
    }

    /// Sockets at this address, whose port is told, and where ways are tried, at others of ours.
    pub(super) fn open_sockets(&self, local: IpAddr) -> Result<(Vec<Pair>, u16), String> {
        let open = |ip: IpAddr| media::socket::bind_pair(ip, self.shared.media_ports.clone());
        let first = open(local).map_err(|e| {
            let why = model::without_numbers(&e.to_string());
            format!("no media port can be opened on {local}: {why}")
        })?;
        let port = first.0.local_addr().map_err(|e| e.to_string())?.port();
        // One that is not to be had is one way less.
        let others = self.further_addresses(local).into_iter();
        let others = others.filter_map(|ip| open(ip).ok());
        Ok((std::iter::once(first).chain(others).collect(), port))
    }

    /// Where else we are, for whoever tries ways and insists on no address (RFC 8445 §5.1.1.1).
    fn further_addresses(&self, local: IpAddr) -> Vec<IpAddr> {
        let bind = self.identity.bind.map(|bind| bind.ip());
        if !self.settings.ice || bind.is_some_and(|ip| !ip.is_unspecified()) {
            return Vec::new();
        }
        let mut others = network::media_addresses();
        others.retain(|ip| *ip != local);
        let mut ordered = nat::ice::in_order(&others);
        ordered.truncate(media::socket::MOST_PLACES - 1);
        ordered
    }

    /// Asks others where our media is, and notes what they say.
    pub(super) async fn look_for_media(&mut self, pairs: &[Pair]) -> Vec<Found> {
        let servers = self.servers();
        let mut found = mapped::look(pairs, &servers, &self.resolver, self.settings.ice).await;
        for note in found.iter_mut().flat_map(|found| found.notes.drain(..)) {
            self.note("media", note);
        }
        for (server, served) in found.iter_mut().flat_map(|found| found.served.drain(..)) {
            self.tell_of_server(server, served.err());
        }
        found
    }

    /// A call may do without, and be silent for it: whoever set the server up has to know.
    fn tell_of_server(&self, server: mapped::Server, failure: Option<String>) {
        let (failing, account) = (&self.shared.failing, self.view.account.clone());
        if failing.is_news(account, server, failure.is_none()) {
            let why = failure.unwrap_or_default();
            let text = format!(
                "Routers may keep the sound of call {} away: {why}.",
                self.view.id
            );
            let tenant = Some(&self.view.tenant);
            self.shared.notice(NoticeLevel::Warning, tenant, text);
        }
    }

    /// Finds out where the world sees the media, where the account asks for that, before anybody is told of it. A
    /// server that does not answer costs a second, and the call goes on with the address that we know.
    pub(in crate::dialog) async fn find_media_address(&mut self) {
        let media = self.media.as_mut().filter(|media| !media.asked);
        let Some(pairs) = media.and_then(|media| media.sockets.take()) else {
            return;
        };
        let found = self.look_for_media(&pairs).await;
        let Some(media) = &mut self.media else { return };
        media.set_ways(&pairs, found);
        media.sockets = Some(pairs);
        media.asked = true;
    }
}

impl MediaLeg {
    /// Takes note of where our media is. Told is where most can reach it: at the relay, where there is one (RFC 8445
    /// §5.1.4), else where the world sees it.
    pub(super) fn set_ways(&mut self, pairs: &[Pair], found: Vec<Found>) {
        let local = self.negotiator.local();
        let told = SocketAddr::new(local.address, local.port);
        let mut found = found.into_iter();
        let mut bases = Vec::new();
        self.gave_back = false;
        self.relays.clear();
        for (number, (rtp, rtcp)) in (0..).step_by(2).zip(pairs) {
            let found = found.next().unwrap_or_default();
            let (Ok(rtp), Ok(rtcp)) = (rtp.local_addr(), rtcp.local_addr()) else {
                continue;
            };
            let sees_media = found.relay_sees_media();
            let mapped = found.mapped.map_or([None; 2], |mapped| mapped.map(Some));
            let places = [(Component::Media, rtp), (Component::Reports, rtcp)];
            for (((component, at), mapped), relay) in places.iter().zip(mapped).zip(&found.relays) {
                let allocation = relay.as_ref().map(|relay| relay.allocation);
                // A relay at the other end of a stream sees the stream and not the media.
                let by_relay = allocation.and_then(|allocation| allocation.mapped);
                let by_relay = by_relay.filter(|seen| seen.ip() != at.ip() && sees_media);
                let is_told = number == 0 && *component == Component::Media;
                let public = Some(told).filter(|told| is_told && told != at);
                bases.push(Base {
                    socket: number + component.number() - 1,
                    component: *component,
                    at: *at,
                    mapped: mapped.or(by_relay).or(public).filter(|mapped| mapped != at),
                    relayed: allocation.map(|allocation| allocation.relayed),
                });
            }
            if number == 0 {
                self.tell_place(mapped, &bases);
            }
            self.relays.push(found.relays);
        }
        let addresses: Vec<IpAddr> = bases.iter().map(|base| base.at.ip()).collect();
        let mut distinct = addresses;
        distinct.dedup();
        let order = nat::ice::in_order(&distinct);
        bases.sort_by_key(|base| order.iter().position(|ip| *ip == base.at.ip()));
        self.negotiator.set_ways(nat::ice::described(&bases));
        self.ways = Some(bases);
    }

    /// Tells where most can reach the sockets of the first address, by what is known of them.
    fn tell_place(&mut self, mapped: [Option<SocketAddr>; 2], bases: &[Base]) {
        let relayed = |component| {
            let mut bases = bases.iter();
            bases
                .find(|base| base.component == component)
                .and_then(|base| base.relayed)
        };
        let [rtp, rtcp] = mapped;
        let by_relay = relayed(Component::Media);
        let Some(at) = by_relay.or(rtp) else {
            return self.negotiator.set_rtcp_port(None);
        };
        self.negotiator.set_address(at.ip(), at.port());
        let other = match by_relay {
            Some(_) => relayed(Component::Reports),
            None => rtcp,
        };
        let next = at.port().checked_add(1);
        let other = other.filter(|other| other.ip() == at.ip() && Some(other.port()) != next);
        self.negotiator
            .set_rtcp_port(other.map(|other| other.port()));
    }

    /// Has the stream go on with the sockets of another address.
    pub(super) fn move_stream(&mut self) -> Result<(), String> {
        let (Some(stream), true) = (&self.stream, self.sockets.is_some()) else {
            return Ok(());
        };
        let stream = Arc::clone(stream);
        let (mut places, bridges) = self.take_places();
        if places.is_empty() {
            return Ok(());
        }
        let moved = stream.move_to(places.remove(0), places);
        self.bridges = bridges;
        self.watch_bridges();
        moved.map_err(|e| e.to_string())
    }

    /// Has the stream told when the connections to its relays end, which its sockets do not see.
    pub(super) fn watch_bridges(&self) {
        let Some(stream) = &self.stream else { return };
        for (number, bridge) in &self.bridges {
            let (ended, at, number) = (bridge.ended(), bridge.at(), *number);
            let stream = Arc::downgrade(stream);
            tokio::spawn(async move {
                ended.await;
                if let Some(stream) = stream.upgrade() {
                    stream.relay_ended(number, at);
                }
            });
        }
    }

    /// Whether ways are tried, by what was agreed.
    pub(in crate::dialog) fn tries_ways(&self) -> bool {
        self.agreed
            .as_ref()
            .is_some_and(|agreed| agreed.ice.is_some())
    }

    /// The sockets with their addresses at relays, for the stream.
    pub(super) fn take_places(&mut self) -> (Vec<Place>, Vec<(u8, Bridge)>) {
        // The stream has it all the same: nothing goes past a relay that was told.
        let media = self.relays.first().and_then(|[relay, _]| relay.as_ref());
        self.relay_died = media.is_some_and(Relay::is_over);
        let mut relays = std::mem::take(&mut self.relays).into_iter();
        let mut bridges = Vec::new();
        let mut take = |number: u8, relay: Option<Relay>| {
            let (client, bridge) = relay.map(Relay::take).unwrap_or_default();
            bridges.extend(bridge.map(|bridge| (number, bridge)));
            client
        };
        let pairs = self.sockets.take().into_iter().flatten();
        let places = (0..)
            .step_by(2)
            .zip(pairs)
            .map(|(number, (socket, rtcp_socket))| {
                let [relay, rtcp_relay] = relays.next().unwrap_or_default();
                Place {
                    socket,
                    rtcp_socket: Some(rtcp_socket),
                    relay: take(number, relay),
                    rtcp_relay: take(number + 1, rtcp_relay),
                }
            });
        (places.collect(), bridges)
    }
}
