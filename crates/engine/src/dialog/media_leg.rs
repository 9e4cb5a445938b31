//! The media of one call: its sockets, its negotiation, its stream in the pump.

mod places;
mod quality;
mod spare;
mod terms;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use media::{
    Dtls, Instead, Ready, Settled, Sink, Source, StreamConfig, StreamCounters, StreamHandle,
};
use model::{
    CallId, DtmfMode, MediaDirection, MediaSecurity, MediaStats, Protection, Sentence, SrtpKeys,
};
use nat::ice::Base;
use ractor::{Actor, ActorId, ActorRef};
use sdp::{CryptoSuite, Direction, KeySeed, LocalMedia, Negotiated, Negotiator, SdpError};
use sip_core::Path;

use self::terms::{codec_kind, encryption, in_sdp, ours, parameters, session};
use super::ways::Wish;
use super::{DialogMsg, DialogState};
use crate::lights::Without;
use crate::mapped::Pair;
use crate::relay::{Bridge, Relay};
use crate::shared::Shared;
use crate::stream::{self, StreamActor, StreamArgs, StreamMsg};

/// Packet time that is asked for.
const PTIME_MS: u32 = 20;

/// What was heard within this time is heard now.
const LATELY_MS: u64 = 3_000;

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
    /// Whether the relay of the media was gone before the stream got it.
    pub(super) relay_died: bool,
    /// Whether the microphone is cut off.
    muted: bool,
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
    /// Who hears what the stream sends: an address, and the session id of whoever is there. None while nobody does.
    digits_for: Option<(Option<SocketAddr>, String)>,
    held: bool,
    /// Which way media shall flow, hold aside.
    direction: MediaDirection,
    /// What both were before an offer that is still open.
    before: (bool, MediaDirection),
    /// The conference that it takes part in.
    room: Option<NonZeroU64>,
    /// What is said in place of its source.
    instead: Option<Instead>,
    /// What is sent otherwise is the microphone.
    from_microphone: bool,
    /// What comes is heard at the speaker.
    to_speaker: bool,
    /// What is shown in handshakes, of this call alone: two organisations whom we call cannot tell by it that they know the same
    /// phone. None where it could not be made.
    certificate: Option<dtls::Certificate>,
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
    /// Where it comes from.
    signals_from: Option<IpAddr>,
    /// Part of the signalling, which carries the keys of an encrypted call, was readable on its way.
    readable: bool,
    /// What was agreed last has keys.
    was_protected: bool,
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
        negotiator = negotiator.with_reach(nat::reach::is_out_of_reach);
        let offered = self.settings.srtp_keys == SrtpKeys::Dtls;
        let certificate = crate::shared::certificate();
        if let Some(certificate) = &certificate {
            let seed = KeySeed::drawn(|bytes| crate::shared::fill(bytes));
            let fingerprint = ours(certificate.fingerprint());
            negotiator = negotiator.with_dtls(fingerprint, offered, seed);
        }
        let direction = self.direction_wanted;
        negotiator.set_direction(in_sdp(direction));
        self.media = Some(MediaLeg {
            negotiator,
            certificate,
            forks: None,
            plain: None,
            unmistakable: None,
            kept_offer: None,
            local,
            sockets: None,
            settled: None,
            gave_back: false,
            relay_died: false,
            muted: false,
            ways_settled: None,
            left_ways: false,
            kept_its_names: false,
            agreed: None,
            stream: None,
            ssrc: 0,
            watcher: None,
            digits_for: None,
            held: false,
            direction,
            before: (false, direction),
            room: None,
            instead: None,
            from_microphone: false,
            to_speaker: false,
            dtls: None,
            secured: None,
            ways: None,
            relays: Vec::new(),
            bridges: Vec::new(),
            asked: false,
            peer: paths.first().map(|path| path.remote.ip()),
            signals_from: paths.first().map(|path| path.remote.ip()),
            readable: paths.iter().any(|path| !path.transport.is_secure()),
            was_protected: false,
            silence_suppression: self.settings.silence_suppression,
            send_twice: self.settings.send_twice,
        });
    }
}

impl MediaLeg {
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

    /// The call is held, and media shall flow these ways, from our first description on, if there was none yet.
    pub(super) fn ask_first_for(&mut self, hold: bool, direction: MediaDirection) {
        if !self.is_agreed() && !self.awaits_answer() {
            self.want(hold, direction);
        }
    }

    /// The call is held, or not any more, in our next description.
    pub(super) fn set_held(&mut self, held: bool) {
        self.want(held, self.direction);
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

    /// The rate of that in hertz, as sound and not in timestamps.
    pub(super) fn rate_hz(&self) -> Option<u32> {
        let agreed = self.agreed.as_ref()?;
        Some(codec_kind(agreed.codec).sample_rate_hz())
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
        self.signals_from = Some(path.remote.ip());
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

    /// Whether keys were agreed on before, and are not any more. Asked once after each agreement.
    pub(super) fn has_lost_protection(&mut self) -> bool {
        let agreed = self.agreed.as_ref();
        let protected = agreed.is_some_and(|a| a.crypto.is_some() || a.dtls.is_some());
        std::mem::replace(&mut self.was_protected, protected) && !protected
    }

    /// Which of the devices that it should have could not be had.
    pub(super) fn without(&self, shared: &Shared) -> Without {
        let all = shared.hub.read(|state| {
            let devices = &state.devices;
            Without {
                microphone: devices.without_microphone,
                speaker: devices.without_speaker,
                microphone_down: devices.microphone_gain.percent() == 0,
                speaker_down: devices.speaker_volume.percent() == 0,
            }
        });
        Without {
            microphone: all.microphone && self.from_microphone,
            speaker: all.speaker && self.to_speaker,
            microphone_down: all.microphone_down && self.from_microphone,
            speaker_down: all.speaker_down && self.to_speaker,
        }
    }

    /// Whether keys of an earlier handshake are used on after this one came to nothing: something was heard with them a moment
    /// ago, or nothing is to be heard now, and nobody has said no.
    pub(super) fn goes_on_with_keys(&self, failure: dtls::Failure) -> bool {
        let Some(counters) = self.counters().filter(|_| self.secured.is_some()) else {
            return false;
        };
        let is_quiet = self
            .agreed
            .as_ref()
            .is_some_and(|a| !a.direction.receives());
        let was_heard = counters.silent_ms() < LATELY_MS;
        was_heard || is_quiet && failure == dtls::Failure::NoAnswer
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
            let what = match nat::reach::is_of_another_family(theirs, ours) {
                true if theirs.is_ipv4() => "an IPv4 address, and this call is carried by IPv6",
                true => "an IPv6 address, and this call is carried by IPv4",
                false => "a private address that cannot be reached from here",
            };
            Sentence::new(format!(
                "the peer wants its media at {theirs}, {what}; media goes to where its own comes from"
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
        let mut parameters = parameters(agreed, self.certificate.as_ref())?;
        parameters.twice = self.send_twice;
        parameters.signalling = self.signals_from;
        let rtcp_mux = agreed.rtcp_mux;
        let ways = agreed.ice.as_ref().zip(self.ways.as_ref());
        parameters.ice = ways.map(|(agreed, ways)| session(agreed, ways, rtcp_mux));
        let goes_on = match (&self.dtls, &parameters.dtls) {
            (Some(before), Some(now)) => before.is_with(now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !goes_on {
            self.secured = None;
        }
        self.dtls.clone_from(&parameters.dtls);
        self.move_stream()?;
        self.settled = self.ways.clone().map(|ways| Stand {
            local: self.local,
            ways,
            gave_back: self.gave_back,
        });
        let receives = parameters.receive;
        // Where ways are found by ICE the address only tells which of them is used.
        let place = parameters.remote.filter(|_| parameters.ice.is_none());
        let party = self.negotiator.peer_session().map(str::to_owned);
        let digits_for = party
            .filter(|_| parameters.send)
            .map(|party| (place, party));
        let is_new = match &self.stream {
            Some(stream) => {
                // Digits that wait were for who listened when they were pressed.
                if self.digits_for != digits_for {
                    self.drop_digits();
                }
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
                config.muted = self.muted;
                config.cname = crate::shared::cname();
                (config.source, config.sink) = shared.media_of(call);
                self.from_microphone = matches!(config.source, Source::Microphone);
                self.to_speaker = matches!(config.sink, Sink::Speaker | Sink::RecordAndSpeaker(_));
                self.ssrc = config.ssrc;
                let stream = shared.pump.add_stream(config).map_err(|e| e.to_string())?;
                stream.set_room(self.room);
                if self.instead.is_some() {
                    let said = stream.say_instead(self.instead.clone());
                    said.map_err(|e| e.to_string())?;
                }
                self.stream = Some(Arc::new(stream));
                self.watch_bridges();
                true
            }
        };
        self.digits_for = digits_for;
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
            from_microphone: self.from_microphone,
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

    /// What is heard and said, for who records it elsewhere.
    pub(super) fn stream(&self) -> Option<Arc<StreamHandle>> {
        self.stream.clone()
    }

    /// Says this in place of the source from now on, and from the first sound on where there is none yet; a file that was
    /// made ready for the codec is not converted.
    pub(super) fn say_instead(&mut self, what: Option<Instead>, ready: Option<&Ready>) {
        self.instead.clone_from(&what);
        if let Some(stream) = &self.stream
            && let Err(error) = stream.say_ready(what, ready)
        {
            tracing::warn!(%error, "what the peer is to hear was not changed");
        }
    }

    /// Whether nothing of the source is sent, from the first packet on where there is none yet.
    pub(super) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
        if let Some(stream) = &self.stream {
            stream.set_muted(muted);
        }
    }

    /// Whether what the peer says is played to nobody.
    pub(super) fn set_deaf(&self, deaf: bool) {
        if let Some(stream) = &self.stream {
            stream.set_volume(if deaf { 0.0 } else { 1.0 });
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

    /// Why digits pressed now would not go out in the stream: they would wait, and be sent to whoever is there later.
    pub(super) fn holds_digits_back(&self) -> Option<&'static str> {
        let agreed = self.agreed.as_ref().filter(|_| self.stream.is_some());
        let Some(agreed) = agreed else {
            return Some("there is no media yet");
        };
        if self.held {
            Some("the call is on hold")
        } else if agreed.held_by_peer {
            Some("the other side holds the call")
        } else if !agreed.direction.sends() || agreed.remote.is_none() {
            Some("nothing is sent to the other side")
        } else if self.dtls.is_some() && self.secured.is_none() {
            Some("there are no keys for the media yet")
        } else {
            None
        }
    }

    /// Forgets the digits that wait in the stream.
    pub(super) fn drop_digits(&self) {
        if let Some(stream) = &self.stream
            && let Err(error) = stream.drop_dtmf()
        {
            tracing::warn!(%error, "digits that wait were not taken back");
        }
    }

    /// Takes the stream out of the pump, whoever is busy with it still.
    pub(super) fn close(self) {
        if let Some(stream) = &self.stream {
            stream.end();
        }
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
