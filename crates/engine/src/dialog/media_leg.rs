//! The media of one call: its sockets, its negotiation, its stream in the pump.

mod quality;
mod spare;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use codecs::CodecKind;
use media::{
    Codec, Dtls, Instead, MasterKey, OpusWishes, Place, Recording, Security, Settled, StreamConfig,
    StreamCounters, StreamHandle, StreamParameters, Suite, TelephoneEvent,
};
use model::{
    CallId, DtmfMode, MediaDirection, MediaSecurity, MediaStats, Protection, Sentence, ServerUri,
    SrtpKeys, SrtpPolicy,
};
use nat::ice::{Base, Component};
use ractor::{Actor, ActorId, ActorRef};
use sdp::{
    CryptoSuite, Direction, DtlsRole, Encryption, Fingerprint, FingerprintHash, KeySeed,
    LocalMedia, Negotiated, NegotiatedCrypto, NegotiatedDtls, NegotiatedIce, Negotiator, SdpError,
};
use sip_core::Path;
use wire::{ClientTls, Remembered, Roots};

use super::ways::Wish;
use super::{DialogMsg, DialogState};
use crate::mapped::{self, Found, Pair, Servers};
use crate::network;
use crate::relay::{self, Asking, Bridge, Relay};
use crate::shared::Shared;
use crate::stream::{self, StreamActor, StreamArgs, StreamMsg};

/// Packet time that is asked for.
const PTIME_MS: u32 = 20;

/// Below this Opus is not speech any more (RFC 7587 §3.1.1).
const LEAST_BITRATE_BPS: u32 = 6_000;

/// The media of one call.
pub(super) struct MediaLeg {
    negotiator: Negotiator,
    /// What our first offer is to each fork that has not answered it, until one of them has the call.
    forks: Option<Box<Negotiator>>,
    /// What we are without encryption, should the peer refuse our first offer.
    plain: Option<Box<Negotiator>>,
    /// What puts right the last answer, if that took one of our keys for another.
    unmistakable: Option<Unmistakable>,
    /// The peer's offer, while the user has not answered.
    kept_offer: Option<Vec<u8>>,
    /// The address that the peer is to send to.
    local: IpAddr,
    /// Bound when the first description of ours is due, which names the port, and not while a call
    /// only rings: whoever floods us with calls takes no sockets. Taken by the stream, or by one that goes on at another
    /// address once the peer has agreed to that.
    sockets: Option<Vec<Pair>>,
    /// Where we were when offer and answer last agreed.
    settled: Option<Stand>,
    /// Addresses of the media at relays were given back, since ways that are used need none.
    gave_back: bool,
    /// Which those ways are, once that is settled.
    ways_settled: Option<Settled>,
    /// Our offers say nothing about ways any more, since the peer did not want them tried anew.
    left_ways: bool,
    /// Its answer to a restart had the same names as before.
    kept_its_names: bool,
    agreed: Option<Negotiated>,
    stream: Option<Arc<StreamHandle>>,
    /// How the stream names itself in packets.
    ssrc: u32,
    watcher: Option<ActorRef<StreamMsg>>,
    held: bool,
    /// Which way media shall flow, hold aside.
    direction: MediaDirection,
    /// What both were before an offer that is still open.
    before: (bool, MediaDirection),
    /// The conference that it takes part in.
    room: Option<NonZeroU64>,
    /// What is said in place of its source.
    instead: Option<Instead>,
    /// The handshake that makes the keys, where it is that.
    dtls: Option<Dtls>,
    /// What it came to, once it has.
    secured: Option<dtls::Profile>,
    /// Where the sockets are, and where else they can be reached, in the order in which they are preferred.
    ways: Option<Vec<Base>>,
    /// The addresses of each pair of them at a relay, until the stream has them.
    relays: Vec<[Option<Relay>; 2]>,
    /// The ways to the relay of each socket, where those are not the sockets' own.
    bridges: Vec<(u8, Bridge)>,
    /// Where the world sees the sockets was asked for.
    asked: bool,
    /// Where the signalling goes, or came from.
    peer: Option<IpAddr>,
    /// Part of the signalling, which carries the keys of an encrypted call, was readable on its way.
    readable: bool,
    /// Nothing is sent while nothing is said, and every packet twice, by the account's settings.
    silence_suppression: bool,
    send_twice: bool,
}

/// A place of our media.
#[derive(Clone)]
struct Stand {
    local: IpAddr,
    ways: Vec<Base>,
    gave_back: bool,
}

/// What we are after an answer that took one of our keys for another.
struct Unmistakable {
    negotiator: Box<Negotiator>,
    /// What the answer named, under the tag of another.
    suite: CryptoSuite,
    /// The offer that waits there.
    offer: Vec<u8>,
}

impl DialogState {
    /// Gets ready to look at offers; the signalling goes over the first of these paths that works.
    pub(super) fn prepare_media(&mut self, paths: &[Path]) {
        let Some(local) = paths.first().map(|path| path.local.ip()) else {
            return;
        };
        let negotiator = Negotiator::new(LocalMedia {
            address: local,
            // Until the ports are bound; no description is shown to anybody before that.
            port: 9,
            codecs: self.identity.codecs.clone(),
            ptime_ms: PTIME_MS,
            // Where digits are to be tones, none are agreed on as events.
            telephone_event: self.settings.dtmf != DtmfMode::Inband,
            // Any number that is another one each time (RFC 8866 §5.2); a short one leaves room in a datagram.
            session_id: crate::shared::random_u64() >> 32,
        });
        let seed = KeySeed::drawn(|bytes| crate::shared::fill(bytes));
        let encryption = encryption(self.settings.srtp);
        let mut negotiator = negotiator
            .with_encryption(encryption, seed)
            .with_extended_reports();
        if self.settings.ice {
            let seed = KeySeed::drawn(|bytes| crate::shared::fill(bytes));
            negotiator = negotiator.with_ice(seed);
        }
        if self.settings.silence_suppression {
            negotiator = negotiator.with_comfort_noise();
        }
        if let Some(kbit) = self.settings.bandwidth_kbit {
            negotiator = negotiator.with_bandwidth(kbit);
        }
        let offered = self.settings.srtp_keys == SrtpKeys::Dtls;
        if let Some(certificate) = &self.shared.certificate {
            negotiator = negotiator.with_dtls(ours(certificate.fingerprint()), offered);
        }
        let direction = self.direction_wanted;
        negotiator.set_direction(in_sdp(direction));
        self.media = Some(MediaLeg {
            negotiator,
            forks: None,
            plain: None,
            unmistakable: None,
            kept_offer: None,
            local,
            sockets: None,
            settled: None,
            gave_back: false,
            ways_settled: None,
            left_ways: false,
            kept_its_names: false,
            agreed: None,
            stream: None,
            ssrc: 0,
            watcher: None,
            held: false,
            direction,
            before: (false, direction),
            room: None,
            instead: None,
            dtls: None,
            secured: None,
            ways: None,
            relays: Vec::new(),
            bridges: Vec::new(),
            asked: false,
            peer: paths.first().map(|path| path.remote.ip()),
            readable: paths.iter().any(|path| !path.transport.is_secure()),
            silence_suppression: self.settings.silence_suppression,
            send_twice: self.settings.send_twice,
        });
    }

    /// Moves the media to this address of ours. The stream stays what it is; what is offered next names the new place.
    pub(super) async fn move_media(&mut self, local: IpAddr) -> Result<(), String> {
        let looks = self.looks_around();
        let peer = self.media.as_ref().and_then(|media| media.peer);
        let told = self.identity.told_address(local, peer);
        // Another network has another router: the same address says nothing about how the world sees it.
        let stays = |media: &&mut MediaLeg| media.local == local && !looks;
        if self.media.as_mut().as_ref().is_none_or(stays) {
            return Ok(());
        }
        let (pairs, port) = self.open_sockets(local)?;
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
    pub(super) fn bind_media(&mut self) -> Result<(), String> {
        let Some(media) = &mut self.media else {
            return Ok(());
        };
        if media.sockets.is_some() || media.stream.is_some() {
            return Ok(());
        }
        let settings = &self.settings;
        let shakes_hands = settings.srtp != SrtpPolicy::Off && settings.srtp_keys == SrtpKeys::Dtls;
        if shakes_hands && self.shared.certificate.is_none() {
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
    fn open_sockets(&self, local: IpAddr) -> Result<(Vec<Pair>, u16), String> {
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
    async fn look_for_media(&mut self, pairs: &[Pair]) -> Vec<Found> {
        let servers = self.servers();
        let mut found = mapped::look(pairs, &servers, &self.resolver, self.settings.ice).await;
        for note in found.iter_mut().flat_map(|found| found.notes.drain(..)) {
            self.note("media", note);
        }
        found
    }
}

impl DialogState {
    /// Finds out where the world sees the media, where the account asks for that, before anybody is told of it. A
    /// server that does not answer costs a second, and the call goes on with the address that we know.
    pub(super) async fn find_media_address(&mut self) {
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
    fn set_ways(&mut self, pairs: &[Pair], found: Vec<Found>) {
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

    /// Our offer as things stand.
    pub(super) fn offer(&mut self) -> Vec<u8> {
        self.before = (self.held, self.direction);
        self.negotiator.offer()
    }

    /// The offer of a call of ours, which several forks may answer.
    pub(super) fn first_offer(&mut self) -> Vec<u8> {
        let offer = self.offer();
        self.forks = Some(Box::new(self.negotiator.clone()));
        offer
    }

    /// The offer to make where the first is refused for its encryption, where the account may do without. What has been
    /// offered stays until it is said that this one went out ([`Self::offered_plainly`]).
    pub(super) fn plain_offer(&mut self) -> Option<Vec<u8>> {
        let mut plain = self.negotiator.clone();
        let offer = plain.offer_plainly()?;
        self.plain = Some(Box::new(plain));
        Some(offer)
    }

    /// The plain offer is the one that waits now.
    pub(super) fn offered_plainly(&mut self) {
        if let Some(plain) = self.plain.take() {
            self.unmistakable = None;
            self.forks = Some(plain.clone());
            self.negotiator = *plain;
        }
    }

    /// The suite that the last answer named under the tag of another, where that can be put right.
    pub(super) fn mistaken_suite(&self) -> Option<CryptoSuite> {
        Some(self.unmistakable.as_ref()?.suite)
    }

    /// The offer that puts right what the last answer mistook. It is the one that waits now.
    pub(super) fn offer_unmistakably(&mut self) -> Option<Vec<u8>> {
        let unmistakable = self.unmistakable.take()?;
        self.forks_are_over();
        self.negotiator = *unmistakable.negotiator;
        Some(unmistakable.offer)
    }

    /// One fork has the call: the others' answers mean nothing any more.
    pub(super) fn forks_are_over(&mut self) {
        self.forks = None;
        self.plain = None;
    }

    /// An offer that asks for silence, or for sound again, these ways.
    pub(super) fn offer_change(&mut self, hold: bool, direction: MediaDirection) -> Vec<u8> {
        self.before = (self.held, self.direction);
        self.want(hold, direction);
        self.negotiator.offer()
    }

    /// Media shall flow these ways from our first description on, if there was none yet.
    pub(super) fn ask_first_for(&mut self, direction: MediaDirection) {
        if !self.is_agreed() && !self.awaits_answer() {
            self.want(self.held, direction);
        }
    }

    fn want(&mut self, hold: bool, direction: MediaDirection) {
        (self.held, self.direction) = (hold, direction);
        self.negotiator.set_hold(hold);
        self.negotiator.set_direction(in_sdp(direction));
    }

    /// Our next description has another key.
    pub(super) fn renew_keys(&mut self) {
        self.negotiator.renew_keys();
    }

    /// Gets the next offer ready for this wish about the ways.
    pub(super) fn ask_for_ways(&mut self, wish: Wish) {
        self.left_ways = wish == Wish::Plain;
        self.negotiator.offer_ice(!self.left_ways);
        if !self.left_ways {
            self.negotiator.restart_ice();
        }
    }

    /// Whether ways were tried once, or are.
    pub(super) fn had_ways(&self) -> bool {
        self.left_ways || self.has_ways()
    }

    /// Whether the peer has agreed to try ways anew and has the names that it had before.
    pub(super) fn kept_its_names(&self) -> bool {
        self.kept_its_names
    }

    /// Whether ways to the peer were agreed on.
    pub(super) fn has_ways(&self) -> bool {
        let agreed = self.agreed.as_ref();
        agreed.is_some_and(|agreed| agreed.ice.is_some())
    }

    /// Whether the way that was found leads from an address that we have still: it is used until there is another one.
    fn may_stay(&self) -> bool {
        let old = self.settled.as_ref().filter(|_| self.has_ways());
        old.is_some_and(|old| UdpSocket::bind((old.local, 0)).is_ok())
    }

    /// The peer does not want our new address. True when the old one is ours still, and the call goes on from there.
    pub(super) fn stay(&mut self) -> bool {
        let Some(old) = self.settled.clone() else {
            return false;
        };
        if self.sockets.is_none() || !self.may_stay() {
            return false;
        }
        self.negotiator.return_to_agreed_place();
        (self.local, self.ways, self.gave_back) = (old.local, Some(old.ways), old.gave_back);
        self.sockets = None;
        self.relays.clear();
        true
    }

    /// Has the stream go on with the sockets of another address.
    fn move_stream(&mut self) -> Result<(), String> {
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
        moved.map_err(|e| e.to_string())
    }

    /// The sockets with their addresses at relays, for the stream.
    fn take_places(&mut self) -> (Vec<Place>, Vec<(u8, Bridge)>) {
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

    /// Whether the media is encrypted with keys that descriptions carry.
    pub(super) fn is_keyed(&self) -> bool {
        self.agreed
            .as_ref()
            .is_some_and(|agreed| agreed.crypto.is_some())
    }

    /// Our open offer came to nothing.
    pub(super) fn rollback(&mut self) {
        let (held, direction) = self.before;
        self.want(held, direction);
        self.negotiator.rollback();
    }

    /// Keeps the peer's first offer for the user's answer, if it can be answered at all.
    pub(super) fn keep_offer(&mut self, body: Vec<u8>) -> Result<(), SdpError> {
        self.negotiator.clone().handle_offer(&body)?;
        self.kept_offer = Some(body);
        Ok(())
    }

    pub(super) fn take_offer(&mut self) -> Option<Vec<u8>> {
        self.kept_offer.take()
    }

    /// Answers an offer.
    pub(super) fn answer(&mut self, offer: &[u8]) -> Result<Vec<u8>, SdpError> {
        let (answer, agreed) = self.negotiator.handle_offer(offer)?;
        self.agreed = Some(agreed);
        Ok(answer)
    }

    /// Takes the peer's answer.
    pub(super) fn handle_answer(&mut self, answer: &[u8]) -> Result<(), SdpError> {
        let mut asked = match &self.forks {
            // Another fork has answered before: to this one the first offer is as new as it was to that.
            Some(forks) if !self.negotiator.awaits_answer() => (**forks).clone(),
            _ => self.negotiator.clone(),
        };
        let agreed = asked.handle_answer(answer);
        self.unmistakable = None;
        let agreed = match agreed {
            Ok(agreed) => agreed,
            Err(error) => {
                let offer = asked.offer_unmistakably(answer);
                self.unmistakable = offer.map(|(suite, offer)| Unmistakable {
                    suite,
                    offer,
                    negotiator: Box::new(asked),
                });
                return Err(error);
            }
        };
        self.negotiator = asked;
        let before = self.agreed.as_ref().and_then(|before| before.ice.as_ref());
        let both = agreed.ice.as_ref().zip(before);
        self.kept_its_names = both
            .is_some_and(|(now, before)| now.local != before.local && now.remote == before.remote);
        self.agreed = Some(agreed);
        self.before = (self.held, self.direction);
        Ok(())
    }

    /// Our first description will name this address, if none was made yet.
    pub(super) fn settle_at(&mut self, local: IpAddr) -> bool {
        let undescribed = self.sockets.is_none() && self.stream.is_none();
        if undescribed {
            self.local = local;
        }
        undescribed
    }

    /// Whether an offer of ours waits for its answer.
    pub(super) fn awaits_answer(&self) -> bool {
        self.negotiator.awaits_answer()
    }

    /// Whether there is a session, and nothing of ours waits for anybody's answer.
    pub(super) fn is_settled(&self) -> bool {
        self.is_agreed() && self.forks.is_none() && !self.awaits_answer()
    }

    pub(super) fn is_agreed(&self) -> bool {
        self.agreed.is_some()
    }

    /// From where media goes, and to where if that is agreed on.
    pub(super) fn way(&self) -> (IpAddr, Option<SocketAddr>) {
        let remote = self.agreed.as_ref().and_then(|agreed| agreed.remote);
        (self.local, remote)
    }

    /// Whether there is a stream.
    pub(super) fn is_running(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether the peer sends, by what was agreed.
    pub(super) fn hears(&self) -> bool {
        self.agreed
            .as_ref()
            .is_some_and(|agreed| agreed.direction.receives())
    }

    /// Whether the peer takes digits as events in the stream (RFC 4733).
    pub(super) fn takes_events(&self) -> bool {
        let events = |agreed: &Negotiated| agreed.telephone_event.is_some();
        self.agreed.as_ref().is_some_and(events)
    }

    pub(super) fn held(&self) -> bool {
        self.held
    }

    /// Which way media shall flow, hold aside.
    pub(super) fn direction(&self) -> MediaDirection {
        self.direction
    }

    /// Which way it flows.
    pub(super) fn agreed_direction(&self) -> MediaDirection {
        let agreed = self.agreed.as_ref().map(|agreed| agreed.direction);
        match agreed.unwrap_or_default() {
            Direction::SendReceive => MediaDirection::Both,
            Direction::SendOnly => MediaDirection::SendOnly,
            Direction::ReceiveOnly => MediaDirection::ReceiveOnly,
            Direction::Inactive => MediaDirection::Inactive,
        }
    }

    pub(super) fn held_by_peer(&self) -> bool {
        self.agreed.as_ref().is_some_and(|a| a.held_by_peer)
    }

    pub(super) fn codec_name(&self) -> Option<String> {
        self.agreed
            .as_ref()
            .map(|a| format!("{}/{}", a.codec.name(), a.codec.clock_rate_hz()))
    }

    /// The same of the codec that the peer is heard with, where that is another.
    pub(super) fn other_codec(&self) -> Option<String> {
        let (agreed, heard) = (self.agreed.as_ref()?, self.counters()?.codec_heard()?);
        let codecs = agreed.codecs.iter().map(|c| c.codec);
        let mut others = codecs.filter(|codec| *codec != agreed.codec);
        let other = others.find(|codec| codec_kind(*codec) == heard)?;
        Some(format!("{}/{}", other.name(), other.clock_rate_hz()))
    }

    /// Takes note of a path that the signalling takes.
    pub(super) fn travels_over(&mut self, path: &Path) {
        self.readable |= !path.transport.is_secure();
    }

    /// What is true about the secrecy of the media. Both directions have keys or none has (RFC 4568).
    pub(super) fn security(&self) -> MediaSecurity {
        let agreed = self.agreed.as_ref().and_then(|a| a.crypto.as_ref());
        if self.dtls.is_some() {
            // Before there are keys nothing is sent or heard at all.
            let protection = self.secured.map(|profile| Protection::Dtls {
                suite: profile.name().to_owned(),
            });
            return MediaSecurity {
                sent: protection.clone(),
                received: protection,
                keys_in_clear: false,
            };
        }
        let Some(crypto) = agreed else {
            return MediaSecurity::default();
        };
        let protection = Protection::Sdes {
            suite: crypto.suite.name().to_owned(),
        };
        MediaSecurity {
            sent: Some(protection.clone()),
            received: Some(protection),
            keys_in_clear: self.readable,
        }
    }

    /// The handshake has made keys.
    pub(super) fn set_secured(&mut self, profile: dtls::Profile) {
        self.secured = Some(profile);
    }

    /// What the peer's SDP made us repair, and an address in it that cannot be right.
    pub(super) fn remarks(&self) -> Vec<Sentence> {
        let Some(agreed) = &self.agreed else {
            return Vec::new();
        };
        let ours = self.negotiator.local().address;
        let hidden = agreed.remote.map(|remote| remote.ip());
        let hidden = hidden.filter(|theirs| nat::reach::is_out_of_reach(*theirs, ours));
        let remark = hidden.map(|theirs| {
            Sentence::new(format!(
                "the peer wants its media at {theirs}, a private address that cannot be reached from here; \
                 media goes to where its own comes from"
            ))
        });
        agreed.repairs.iter().cloned().chain(remark).collect()
    }

    pub(super) fn counters(&self) -> Option<Arc<StreamCounters>> {
        self.stream.as_ref().map(|s| s.counters())
    }

    pub(super) fn stats(&self) -> Option<MediaStats> {
        Some(stream::stats(&*self.counters()?))
    }

    /// Starts the stream, or brings it in line with what was agreed. A new stream is to be watched.
    pub(super) fn apply(&mut self, shared: &Arc<Shared>, call: CallId) -> Result<bool, String> {
        let Some(agreed) = &self.agreed else {
            return Ok(false);
        };
        let mut parameters = parameters(agreed, shared.certificate.as_ref())?;
        parameters.twice = self.send_twice;
        let rtcp_mux = agreed.rtcp_mux;
        let ways = agreed.ice.as_ref().zip(self.ways.as_ref());
        parameters.ice = ways.map(|(agreed, ways)| session(agreed, ways, rtcp_mux));
        if self.dtls != parameters.dtls {
            self.dtls.clone_from(&parameters.dtls);
            self.secured = None;
        }
        self.move_stream()?;
        self.settled = self.ways.clone().map(|ways| Stand {
            local: self.local,
            ways,
            gave_back: self.gave_back,
        });
        let receives = parameters.receive;
        let is_new = match &self.stream {
            Some(stream) => {
                stream.update(parameters).map_err(|e| e.to_string())?;
                false
            }
            None => {
                if self.sockets.is_none() {
                    return Ok(false);
                }
                let (mut places, bridges) = self.take_places();
                if places.is_empty() {
                    return Ok(false);
                }
                let first = places.remove(0);
                let random = crate::shared::random_u64();
                let mut config = StreamConfig::new(first.socket, parameters, random);
                config.rtcp_socket = first.rtcp_socket;
                (config.relay, config.rtcp_relay) = (first.relay, first.rtcp_relay);
                (config.further, self.bridges) = (places, bridges);
                config.encoder.dtx = self.silence_suppression;
                config.cname.clone_from(&shared.cname);
                (config.source, config.sink) = shared.media_of(call);
                self.ssrc = config.ssrc;
                let stream = shared.pump.add_stream(config).map_err(|e| e.to_string())?;
                stream.set_room(self.room);
                if self.instead.is_some() {
                    let said = stream.say_instead(self.instead.clone());
                    said.map_err(|e| e.to_string())?;
                }
                self.stream = Some(Arc::new(stream));
                true
            }
        };
        if let Some(watcher) = &self.watcher {
            let _ = watcher.cast(StreamMsg::Expecting(receives));
        }
        Ok(is_new)
    }

    /// Starts the stream's actor, or starts it again: the stream itself never noticed.
    pub(super) async fn watch(&mut self, dialog: &ActorRef<DialogMsg>) {
        let (Some(handle), Some(agreed)) = (&self.stream, &self.agreed) else {
            return;
        };
        let args = StreamArgs {
            dialog: dialog.clone(),
            handle: Arc::clone(handle),
            expecting: agreed.direction.receives(),
        };
        let started = Actor::spawn_linked(None, StreamActor, args, dialog.get_cell()).await;
        self.watcher = started.ok().map(|(actor, _)| actor);
    }

    pub(super) fn unwatch(&mut self) {
        self.watcher = None;
    }

    pub(super) fn watched_by(&self, id: ActorId) -> bool {
        self.watcher.as_ref().is_some_and(|w| w.get_id() == id)
    }

    /// Lets the peer hear those of the same conference, and them hear it.
    pub(super) fn set_room(&mut self, room: Option<NonZeroU64>) {
        self.room = room;
        if let Some(stream) = &self.stream {
            stream.set_room(room);
        }
    }

    /// Records both sides from now on, or no longer.
    pub(super) fn record(&self, recording: Option<&Recording>) -> Result<(), String> {
        let stream = self.stream.as_ref().ok_or("nothing is heard yet")?;
        stream.record(recording).map_err(|e| e.to_string())
    }

    /// Says this in place of the source from now on, and from the first sound on where there is none yet.
    pub(super) fn say_instead(&mut self, what: Option<Instead>) {
        self.instead.clone_from(&what);
        if let Some(stream) = &self.stream
            && let Err(error) = stream.say_instead(what)
        {
            tracing::warn!(%error, "what the peer is to hear was not changed");
        }
    }

    pub(super) fn set_muted(&self, muted: bool) {
        if let Some(stream) = &self.stream {
            stream.set_muted(muted);
        }
    }

    /// Sends a digit in the stream: as an event where that was agreed, else as a tone.
    pub(super) fn send_digit(&self, digit: char, duration: Duration) {
        if let Some(stream) = &self.stream
            && let Err(error) = stream.send_dtmf(digit, duration)
        {
            tracing::warn!(%error, "a digit was not sent");
        }
    }

    /// Takes the stream out of the pump.
    pub(super) fn close(self) {
        if let Some(watcher) = &self.watcher {
            watcher.stop(Some(crate::DRAINED.to_owned()));
        }
    }

    #[cfg(test)]
    pub(super) fn crash(&self) {
        self.watcher
            .iter()
            .for_each(|w| drop(w.cast(StreamMsg::Crash)));
    }
}

fn parameters(
    agreed: &Negotiated,
    certificate: Option<&dtls::Certificate>,
) -> Result<StreamParameters, String> {
    let security = agreed.crypto.as_ref().map(security).transpose()?;
    let dtls = agreed.dtls.as_ref().map(|agreed| {
        let certificate = certificate.cloned();
        let certificate = certificate.ok_or("there is no certificate for the handshake")?;
        let peer = peer(agreed);
        Ok::<_, String>(Dtls { certificate, peer })
    });
    let dtls = dtls.transpose()?;
    Ok(StreamParameters {
        remote: agreed.remote,
        remote_rtcp: agreed.remote_rtcp,
        rtcp_mux: agreed.rtcp_mux,
        codec: Codec {
            kind: codec_kind(agreed.codec),
            send_payload_type: agreed.send_payload_type,
            receive_payload_type: agreed.receive_payload_type,
        },
        // All but the first, which is the agreed one.
        further_codecs: (agreed.codecs.iter().skip(1))
            .map(|further| media::ReceivedCodec {
                payload_type: further.receive_payload_type,
                kind: codec_kind(further.codec),
            })
            .collect(),
        opus: opus(agreed),
        further_events: (agreed.further_events.iter())
            .map(|event| media::ReceivedEvents {
                payload_type: event.receive_pt,
                clock_rate_hz: event.clock_rate_hz,
            })
            .collect(),
        telephone_event: agreed.telephone_event.as_ref().map(|event| TelephoneEvent {
            send_payload_type: event.send_pt,
            receive_payload_type: event.receive_pt,
            clock_rate_hz: event.clock_rate_hz,
        }),
        ptime_ms: agreed.ptime_ms,
        comfort_noise: agreed.comfort_noise,
        twice: false,
        send: agreed.direction.sends(),
        receive: agreed.direction.receives(),
        security,
        dtls,
        ice: None,
        extended_reports: media::ExtendedReports {
            metrics: agreed.extended_reports.voip_metrics,
            round_trip: agreed.extended_reports.round_trip,
        },
    })
}

/// How the peer wants its Opus (RFC 7587 §6.1, §7, RFC 8866 §5.8).
fn opus(agreed: &Negotiated) -> OpusWishes {
    let theirs = agreed.opus.unwrap_or_default();
    // `b=AS` counts the headers: 40 bytes in each packet.
    let headers = 40 * 8 * 1_000 / u64::from(agreed.ptime_ms.max(1));
    let all = agreed
        .max_bits_per_second
        .and_then(|bits| u32::try_from(bits.saturating_sub(headers)).ok());
    let most = theirs.max_average_bits_per_second.into_iter().chain(all);
    OpusWishes {
        most_bps: most.min().map(|most| most.max(LEAST_BITRATE_BPS)),
        playback_rate_hz: theirs.max_playback_rate_hz,
        fec: theirs.in_band_fec,
        dtx: theirs.dtx,
        constant_bit_rate: theirs.constant_bit_rate,
    }
}

/// What to go by in finding a way.
fn session(agreed: &NegotiatedIce, bases: &[Base], rtcp_mux: bool) -> nat::ice::Session {
    let credentials = |of: &sdp::IceCredentials| nat::ice::Credentials {
        ufrag: of.ufrag.clone(),
        pwd: of.pwd.clone(),
    };
    nat::ice::Session {
        local: credentials(&agreed.local),
        remote: credentials(&agreed.remote),
        // RFC 5761 §5.1.3: what shares the port needs no way of its own.
        bases: bases
            .iter()
            .filter(|base| base.component == Component::Media || !rtcp_mux)
            .copied()
            .collect(),
        candidates: agreed.candidates.clone(),
        controlling: agreed.controlling,
    }
}

/// Our fingerprint as descriptions have it.
fn ours(fingerprint: &dtls::Fingerprint) -> Fingerprint {
    Fingerprint {
        hash: match fingerprint.hash {
            dtls::Hash::Sha256 => FingerprintHash::Sha256,
            dtls::Hash::Sha384 => FingerprintHash::Sha384,
            dtls::Hash::Sha512 => FingerprintHash::Sha512,
        },
        digest: fingerprint.digest.clone(),
    }
}

/// Who the other side has to be in the handshake.
fn peer(agreed: &NegotiatedDtls) -> dtls::Peer {
    let fingerprints = agreed.fingerprints.iter();
    let theirs = fingerprints.map(|fingerprint| dtls::Fingerprint {
        hash: match fingerprint.hash {
            FingerprintHash::Sha256 => dtls::Hash::Sha256,
            FingerprintHash::Sha384 => dtls::Hash::Sha384,
            FingerprintHash::Sha512 => dtls::Hash::Sha512,
        },
        digest: fingerprint.digest.clone(),
    });
    dtls::Peer {
        fingerprints: theirs.collect(),
        role: match agreed.role {
            DtlsRole::Client => dtls::Role::Client,
            DtlsRole::Server => dtls::Role::Server,
        },
    }
}

/// The keys as the stream takes them. A call whose keys could not be used must not go on in the clear.
fn security(crypto: &NegotiatedCrypto) -> Result<Security, String> {
    let suite = match crypto.suite {
        CryptoSuite::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        CryptoSuite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
        CryptoSuite::AesCm256HmacSha1_80 => Suite::AesCm256HmacSha1_80,
        CryptoSuite::AesCm256HmacSha1_32 => Suite::AesCm256HmacSha1_32,
        CryptoSuite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        CryptoSuite::AeadAes256Gcm => Suite::AeadAes256Gcm,
    };
    let key = |key: &sdp::CryptoKey| {
        let key = MasterKey::new(suite, key.reveal());
        key.ok_or_else(|| format!("a key is too short for {}", crypto.suite.name()))
    };
    Ok(Security {
        send: key(&crypto.send_key)?,
        receive: key(&crypto.receive_key)?,
        receive_mki: crypto.receive_mki.clone(),
    })
}

fn in_sdp(direction: MediaDirection) -> Direction {
    Direction::new(direction.sends(), direction.receives())
}

fn encryption(policy: SrtpPolicy) -> Encryption {
    match policy {
        SrtpPolicy::Off => Encryption::Off,
        SrtpPolicy::Optional => Encryption::OptionalInOneLine,
        SrtpPolicy::OptionalTwoLines => Encryption::OptionalInTwoLines,
        SrtpPolicy::Required => Encryption::Required,
    }
}

fn codec_kind(codec: sdp::Codec) -> CodecKind {
    match codec {
        sdp::Codec::Opus => CodecKind::Opus,
        sdp::Codec::G722 => CodecKind::G722,
        sdp::Codec::Pcmu => CodecKind::Pcmu,
        sdp::Codec::Pcma => CodecKind::Pcma,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A side of ours with the codecs that it has.
    fn side(codecs: &[sdp::Codec]) -> Negotiator {
        Negotiator::new(LocalMedia {
            address: IpAddr::from([192, 0, 2, 1]),
            port: 4_000,
            codecs: codecs.to_vec(),
            ptime_ms: PTIME_MS,
            telephone_event: true,
            session_id: 1,
        })
    }

    fn theirs(formats: &str, lines: &str) -> Vec<u8> {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
             m=audio 6000 RTP/AVP {formats}\r\n{lines}"
        )
        .into_bytes()
    }

    fn wishes(lines: &str) -> OpusWishes {
        let lines = format!("{lines}a=rtpmap:111 opus/48000/2\r\n");
        let offer = theirs("111", &lines);
        let agreed = side(&[]).handle_offer(&offer).expect("it is usable").1;
        parameters(&agreed, None).expect("no keys are needed").opus
    }

    #[test]
    fn opus_keeps_to_what_the_peer_wants_at_most() {
        let rate = |lines: &str| {
            let ours = codecs::EncoderOptions::default();
            wishes(lines).with(ours).bitrate_bps
        };
        assert_eq!(rate(""), 32_000);
        assert_eq!(rate("b=AS:64\r\n"), 32_000);
        assert_eq!(rate("b=AS:40\r\n"), 24_000);
        // A third of the packets has a third of the headers.
        assert_eq!(rate("b=AS:32\r\na=ptime:60\r\n"), 26_667);
        assert_eq!(rate("a=fmtp:111 maxaveragebitrate=16000\r\n"), 16_000);
        assert_eq!(
            rate("b=AS:30\r\na=fmtp:111 maxaveragebitrate=16000\r\n"),
            14_000
        );
        assert_eq!(rate("b=AS:1\r\n"), LEAST_BITRATE_BPS);
    }

    /// RFC 7587 §6.1: what each parameter says, and what it means not to say it. The first of these is
    /// the RFC's own (§7.1) with `cbr`.
    #[test]
    fn opus_is_as_the_peer_wants_it() {
        let said = wishes(
            "a=fmtp:111 maxplaybackrate=16000; sprop-maxcapturerate=16000; maxaveragebitrate=20000; \
             stereo=1; useinbandfec=1; usedtx=0; cbr=1\r\n",
        );
        let expected = OpusWishes {
            most_bps: Some(20_000),
            playback_rate_hz: 16_000,
            fec: true,
            dtx: false,
            constant_bit_rate: true,
        };
        assert_eq!(said, expected);
        let expected = OpusWishes {
            most_bps: None,
            playback_rate_hz: 48_000,
            fec: false,
            dtx: false,
            constant_bit_rate: false,
        };
        assert_eq!(wishes(""), expected);
        let expected = OpusWishes {
            dtx: true,
            ..expected
        };
        assert_eq!(wishes("a=fmtp:111 usedtx=1;useinbandfec=0\r\n"), expected);
    }

    /// RFC 3264 §7: what the answer names is to be expected under our numbers; §6.1: the first of it is what is sent.
    #[test]
    fn all_that_an_answer_names_is_listened_for() {
        let mut ours = side(&[]);
        let _ = ours.offer();
        let answer = theirs(
            "0 98 9 101 99",
            "a=rtpmap:98 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=rtpmap:99 telephone-event/48000\r\n",
        );
        let agreed = ours.handle_answer(&answer).expect("it is usable");
        let told = parameters(&agreed, None).expect("no keys are needed");
        assert_eq!(told.codec, Codec::new(CodecKind::Pcmu, 0));
        let further: Vec<(u8, CodecKind)> = (told.further_codecs.iter())
            .map(|codec| (codec.payload_type, codec.kind))
            .collect();
        // They call Opus 98 and we 111: each sends under the number of the other (§5.1).
        assert_eq!(further, [(111, CodecKind::Opus), (9, CodecKind::G722)]);
        let event = told.telephone_event.expect("both want it");
        assert_eq!(
            (event.receive_payload_type, event.clock_rate_hz),
            (101, 8_000)
        );
        let further: Vec<(u8, u32)> = (told.further_events.iter())
            .map(|event| (event.payload_type, event.clock_rate_hz))
            .collect();
        assert_eq!(further, [(110, 48_000)]);
    }

    /// Our answer names one codec, so no other comes (RFC 3264 §6.1).
    #[test]
    fn of_an_offer_that_is_listened_for_which_our_answer_names() {
        let offer = theirs(
            "0 8 96 97",
            "a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n",
        );
        let mut ours = side(&[sdp::Codec::Opus, sdp::Codec::Pcmu]);
        let agreed = ours.handle_offer(&offer).expect("it is usable").1;
        let told = parameters(&agreed, None).expect("no keys are needed");
        assert_eq!(
            told.codec,
            Codec::new(codec_kind(agreed.codec), agreed.receive_payload_type)
        );
        assert_eq!((told.further_codecs, told.further_events), (vec![], vec![]));
    }
}
