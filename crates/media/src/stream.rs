//! One stream: both halves, its reports, and where what it hears goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use codecs::{Encoder, EncoderOptions};
use nat::ice::Component;
use nat::stun::{self, TransactionId};
use rtp::srtp::{Renewal, Shield};

use crate::FRAME_SAMPLES;
use crate::arrival::Clocks;
use crate::config::{StreamEvent, StreamParameters, is_reachable, next_port};
use crate::control::{Control, Matter};
use crate::counters::{StreamCounters, Wishes};
use crate::formats::Formats;
use crate::gate::{Gate, Rank, Shaker};
use crate::keeper::{Outcome, Post, Secured, Way};
use crate::receive::ReceivePath;
use crate::record::Recorder;
use crate::relay::Channels;
use crate::resample::ToDevice;
use crate::room::Rooms;
use crate::send::{Around, Instead, Microphone, Prepared, SendPath};
use crate::socket::{LONGEST_DATAGRAM, MOST_LINES, REPORTS, Wire, is_for_reports};
use crate::tape::Tape;

/// 10 ms at the highest rate of any codec.
pub(crate) const FRAME_MOST: usize = FRAME_SAMPLES;

/// How often counters that cost something to find out are brought up to date, in steps.
const TELL_EVERY: u32 = 10;

/// The longest packet that is sent: 60 ms of G.711 with its header.
pub(crate) const LONGEST_PACKET: usize = 1_400;

/// When nothing was sent for so long, something is: routers forget a way after thirty seconds (RFC 6263 §3).
const KEEP_OPEN: Duration = Duration::from_secs(15);

/// The share of the loss that Opus prepared for so far which it goes on preparing for where the peer reports less: a report
/// tells of some seconds, and what is lost comes in bursts.
const STILL_EXPECTED: f32 = 0.75;

/// Where what is heard goes, made ready.
pub(crate) struct Output {
    pub(crate) speaker: bool,
    pub(crate) recorder: Option<Box<Recorder>>,
}

/// A negotiation's result, made ready.
pub(crate) struct Change {
    pub(crate) parameters: StreamParameters,
    /// There when the codec is another; holds the old parts when the change comes back.
    pub(crate) parts: Option<Parts>,
    /// How to encode from now on.
    pub(crate) options: EncoderOptions,
    /// There where the peer may send something else than before.
    pub(crate) formats: Option<Formats>,
    /// The same with keys that are others.
    pub(crate) renewal: Renewal,
    /// The number of the handshake whose keys count.
    pub(crate) handshake: u64,
    /// The same for the port of the reports, where that has a handshake of its own.
    pub(crate) report_renewal: Renewal,
    pub(crate) report_handshake: u64,
    /// The number of the search for a way that counts, and whether it has just begun.
    pub(crate) search: u64,
    pub(crate) searches: bool,
    /// What a search before has found is used until this one has found another.
    pub(crate) keeps: bool,
}

/// What belongs to the codec that we send.
pub(crate) struct Parts {
    pub(crate) encoder: Encoder,
    pub(crate) source: Prepared,
    pub(crate) instead: Option<Box<Instead>>,
}

/// Memory that a step needs and no stream has to keep.
pub(crate) struct Scratch {
    pub(crate) datagram: Box<[u8; LONGEST_DATAGRAM]>,
    pub(crate) packet: Vec<u8>,
    pub(crate) mix: [f32; FRAME_SAMPLES],
    pub(crate) rooms: Rooms,
    pub(crate) post: Post,
    /// Datagrams that may be taken in this step beyond what each socket may.
    pub(crate) spare: usize,
    /// Both clocks at the beginning of this step; none where steps have a time of their own.
    pub(crate) clocks: Option<Clocks>,
}

impl Scratch {
    pub(crate) fn new(post: Post) -> Self {
        Self {
            post,
            spare: 0,
            clocks: None,
            datagram: Box::new([0; LONGEST_DATAGRAM]),
            packet: Vec::with_capacity(LONGEST_PACKET),
            mix: [0.0; FRAME_SAMPLES],
            rooms: Rooms::new(),
        }
    }
}

/// What one step brought, at the codec's rate and, where somebody wants it, at 48 kHz.
pub(crate) struct Heard {
    samples: [i16; FRAME_MOST],
    count: usize,
    wide: [f32; FRAME_SAMPLES],
    /// Whether they are of what came, and more of it was to come.
    live: bool,
    /// The conference that `wide` was added to, with the tone that says that it is recorded.
    room: Option<u64>,
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self {
            samples: [0; FRAME_MOST],
            count: 0,
            wide: [0.0; FRAME_SAMPLES],
            live: false,
            room: None,
        }
    }

    fn samples(&self) -> &[i16] {
        self.samples.get(..self.count).unwrap_or_default()
    }
}

pub(crate) struct Stream {
    pub(crate) id: u64,
    pub(crate) wire: Wire,
    /// Who gets to the keeper.
    pub(crate) gate: Gate,
    pub(crate) shield: Shield,
    /// With whom the keys were made that a handshake made, once they are there.
    pub(crate) secured: Option<SocketAddr>,
    /// The number of the handshake whose keys count.
    pub(crate) handshake: u64,
    /// What stands before the port of the reports, where that has a handshake of its own: its number, from where the peer
    /// has spoken that has proved to be the right one, and that there are no keys to come.
    pub(crate) report_shield: Shield,
    pub(crate) report_handshake: u64,
    pub(crate) report_remote: Option<SocketAddr>,
    pub(crate) report_refused: bool,
    /// When the way to it was last opened, and where to.
    pub(crate) report_opened: Option<(Instant, SocketAddr)>,
    /// The loss that the encoder prepares for, in per cent.
    pub(crate) expected_loss: f32,
    /// The number of the search for a way that counts, and whether it goes on without result.
    pub(crate) search: u64,
    pub(crate) searching: bool,
    /// The relay of each line; that of the line in use carries its packets, unless a way was found that needs none.
    pub(crate) relays: [Option<Box<Channels>>; MOST_LINES],
    /// When the sockets were looked at last, by the clock and not by the steps.
    pub(crate) looked: Option<Instant>,
    /// By which line media goes, and whether past the relay of that.
    pub(crate) line: u8,
    pub(crate) direct: bool,
    /// The ways were tried, and none has answered: the announced addresses have to do.
    pub(crate) without_way: bool,
    /// Where reports go that do not share the port, where a way was looked for and found.
    pub(crate) report_way: Option<nat::ice::Way>,
    pub(crate) parameters: StreamParameters,
    pub(crate) send: SendPath,
    pub(crate) receive: ReceivePath,
    pub(crate) control: Control,
    pub(crate) output: Output,
    /// Takes both sides, where the call is recorded.
    pub(crate) tape: Option<Box<Tape>>,
    pub(crate) counters: Arc<StreamCounters>,
    pub(crate) wishes: Arc<Wishes>,
    pub(crate) up: ToDevice,
    /// What was heard in this step.
    pub(crate) heard: Heard,
    pub(crate) volume: f32,
    pub(crate) seed: u64,
    pub(crate) steps: u32,
    /// When something was last sent to the peer, and where to.
    pub(crate) sent: Option<(Instant, SocketAddr)>,
    /// The packet of the step before, where each is sent twice; empty without one.
    pub(crate) again: Vec<u8>,
    #[cfg(test)]
    pub(crate) fault: bool,
}

impl Stream {
    /// Starts the clocks when the stream gets to the pump.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.receive.begin(now, self.parameters.remote);
        let signalling = self.parameters.signalling;
        self.receive.peer.set_signalling(signalling);
        self.control.begin(now, self.seed);
        self.follow_clock();
    }

    /// What the peer reports counts in the clock of what it gets.
    fn follow_clock(&mut self) {
        let kind = self.send.encoder.kind();
        self.control.set_clock_rate(kind.rtp_clock_hz());
    }

    /// The first half of a step of 10 ms: what is heard is added to the mix if it is for the speaker, and to the room
    /// of its conference.
    pub(crate) fn hear(&mut self, now: Instant, ntp: u64, scratch: &mut Scratch) {
        #[cfg(test)]
        assert!(!self.fault, "a fault that a test wished for");
        self.take_datagrams(now, ntp, scratch);
        let rate_hz = self.send.encoder.kind().sample_rate_hz();
        let tone = self.tape.as_mut().and_then(|tape| {
            tape.begin(rate_hz);
            tape.sound_here()
        });
        self.heard.room = None;
        self.heard.count = (self.receive.rate_hz() / 100) as usize;
        let count = self.heard.count;
        let heard = self.heard.samples.get_mut(..count).unwrap_or_default();
        if self.receive.is_enabled() {
            self.receive.frame(now, heard);
            self.give(scratch);
            self.heard.live = true;
        } else {
            self.receive.rest();
            if std::mem::take(&mut self.heard.live) {
                lead_out(heard);
                self.give(scratch);
            } else {
                heard.fill(0);
            }
        }
        self.join(tone.as_ref(), scratch);
        // Here and not after the speech: the less time between reading and writing them, the truer the round trip.
        let written = scratch.clocks.map_or(now, |clocks| clocks.at());
        self.report(now, (written, ntp));
    }

    /// The second half: what is said.
    pub(crate) fn speak(
        &mut self,
        now: Instant,
        microphone: &mut Microphone,
        scratch: &mut Scratch,
    ) {
        let Scratch { packet, rooms, .. } = scratch;
        self.send.be_silent();
        self.say(now, microphone, rooms, packet);
        self.put_on_tape(rooms);
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(TELL_EVERY) {
            self.receive.tell(now);
        }
    }

    fn take_datagrams(&mut self, now: Instant, ntp: u64, scratch: &mut Scratch) {
        let Scratch {
            datagram: buffer,
            post,
            spare,
            clocks,
            ..
        } = scratch;
        let reports = self.may_report();
        let apart = self.parameters.has_reports_apart();
        let Self {
            id,
            parameters,
            wire,
            relays,
            looked,
            shield,
            report_shield,
            report_remote,
            report_way,
            gate,
            secured,
            receive,
            control,
            counters,
            ..
        } = self;
        let since = std::mem::replace(looked, clocks.map(|clocks| clocks.at()));
        gate.begin_step();
        let shaker = |keys: Option<SocketAddr>, is_expected: bool, from| match keys {
            Some(with) => Shaker::Secured {
                is_it: with == from,
            },
            None if is_expected => Shaker::Expected,
            None => Shaker::Stranger,
        };
        let mut take_control =
            |receive: &mut ReceivePath,
             shield: &mut Shield,
             datagram: &mut [u8],
             arrived: Instant,
             (from, is_known): (SocketAddr, bool)| {
                if *report_remote != Some(from) && !receive.peer.may_speak(now, from, is_known) {
                    return;
                }
                match counters.opened(shield.open_control(now, datagram)) {
                    Some(plain) => {
                        receive.peer.on_sign(now, from);
                        let ntp = clocks.map_or(ntp, |clocks| clocks.ntp(ntp, arrived));
                        control.take(arrived, ntp, plain, from, &mut receive.receiver, counters);
                    }
                    None => counters.dropped.add(1),
                }
            };
        for (line, relay) in (0..).zip(relays.iter()) {
            let alone = is_for_reports(line);
            wire.receive(
                line,
                &mut buffer[..],
                spare,
                |mut datagram, mut from, stamp| {
                    let arrived = clocks.and_then(|clocks| clocks.arrival(stamp?, since));
                    let arrived = arrived.unwrap_or(now);
                    let mut put = |gate: &Gate,
                                   rank: Option<Rank>,
                                   from: SocketAddr,
                                   datagram: &[u8]| {
                        let whose = (*id, gate.waiting());
                        if !rank.is_some_and(|rank| post.put(whose, rank, (line, from), datagram)) {
                            counters.dropped.add(1);
                        }
                    };
                    let mut by_channel = false;
                    if let Some(relay) = relay.as_ref().filter(|relay| relay.server() == from) {
                        let Some((peer, length)) = relay.media(datagram) else {
                            if let Some(peer) = relay.peer(datagram) {
                                receive.peer.on_sign(now, peer);
                            }
                            let rank = gate.relayed(datagram);
                            return put(gate, rank, from, datagram);
                        };
                        (from, by_channel) = (peer, true);
                        datagram = datagram.get_mut(4..4 + length).unwrap_or_default();
                    }
                    // A relay has channels to whom checks have asked.
                    let whence = (from, by_channel || gate.knows(from));
                    // RFC 7983 §7. TURN of others has a first byte that is none of these; it is counted as dropped.
                    if stun::is_stun(datagram) {
                        receive.peer.on_sign(now, from);
                        let rank = gate.stun(datagram, from);
                        put(gate, rank, from, datagram);
                    } else if alone && apart && dtls::looks_like_dtls(datagram) {
                        let expected = [report_way.map(|way| way.to), parameters.reports_at()];
                        let is_expected = expected.contains(&Some(from)) || whence.1;
                        let shaker = shaker(*report_remote, is_expected, from);
                        let rank = gate.shake(true, from, shaker);
                        put(gate, rank, from, datagram);
                    } else if alone {
                        if reports {
                            let shield = if apart {
                                &mut *report_shield
                            } else {
                                &mut *shield
                            };
                            take_control(receive, shield, datagram, arrived, whence);
                        }
                    } else if rtp::looks_like_rtcp(datagram) {
                        take_control(receive, shield, datagram, arrived, whence);
                    } else if parameters.dtls.is_some() && dtls::looks_like_dtls(datagram) {
                        let expected = [receive.peer.target(), receive.peer.announced()];
                        let is_expected = expected.contains(&Some(from)) || whence.1;
                        let rank = gate.shake(false, from, shaker(*secured, is_expected, from));
                        put(gate, rank, from, datagram);
                    } else {
                        receive.take((now, arrived), datagram, whence, shield);
                    }
                },
            );
        }
        if let Some(loss) = self.control.take_loss() {
            let percent = (loss * 100.0).clamp(0.0, 100.0);
            self.expected_loss = percent.max(self.expected_loss * STILL_EXPECTED);
            let expected = self.expected_loss.round() as u8;
            let _ = self.send.encoder.set_expected_loss(expected);
        }
    }

    /// Hands on what was heard.
    fn give(&mut self, scratch: &mut Scratch) {
        let heard = self.heard.samples.get(..self.heard.count);
        let heard = heard.unwrap_or_default();
        self.receive.hear(level(heard));
        let rate_hz = self.receive.rate_hz();
        if let Some(recorder) = &mut self.output.recorder {
            let missed = recorder.write(heard, rate_hz);
            if missed > 0 {
                self.counters.record_overruns.add(missed as u64);
            }
        }
        if !self.output.speaker && self.room().is_none() {
            return;
        }
        self.up.process(heard, rate_hz, &mut self.heard.wide);
        if !self.output.speaker {
            return;
        }
        // A change of volume is spread over the frame.
        let wanted = self.wishes.volume.get();
        let step = (wanted - self.volume) / FRAME_SAMPLES as f32;
        for (sum, sample) in scratch.mix.iter_mut().zip(self.heard.wide) {
            self.volume += step;
            *sum += sample * self.volume;
        }
        self.volume = wanted;
    }

    /// Adds what was heard to the room of its conference, and the tone for those who are recorded to all that is for here.
    fn join(&mut self, tone: Option<&[f32; FRAME_SAMPLES]>, scratch: &mut Scratch) {
        let deaf = !self.receive.is_enabled();
        let room = self.room().filter(|_| !deaf || tone.is_some());
        if let Some(room) = room {
            let own = &mut self.heard.wide;
            if deaf {
                own.fill(0.0);
            }
            if let Some(tone) = tone {
                add(own, tone);
            }
            scratch.rooms.add(room, own, deaf);
            self.heard.room = Some(room);
        }
        if let Some(tone) = tone {
            add(&mut scratch.mix, tone);
        }
    }

    /// Records what was said and heard in this step.
    fn put_on_tape(&mut self, rooms: &Rooms) {
        let own = u32::from(self.receive.is_enabled());
        let others = self.room().map_or(0, |room| rooms.voices(room));
        let Some(tape) = &mut self.tape else { return };
        tape.meet(others.saturating_sub(own));
        let ours = (
            self.send.spoken(),
            self.send.encoder.kind().sample_rate_hz(),
        );
        let theirs = self.receive.rate_hz();
        let missed = tape.write(ours, (self.heard.samples(), theirs));
        if missed > 0 {
            self.counters.record_overruns.add(missed as u64);
        }
    }

    /// The conference that it takes part in.
    fn room(&self) -> Option<u64> {
        Some(self.wishes.room.load(Relaxed)).filter(|room| *room != 0)
    }

    fn say(
        &mut self,
        now: Instant,
        microphone: &mut Microphone,
        rooms: &Rooms,
        packet: &mut Vec<u8>,
    ) {
        let target = self.receive.peer.target();
        self.keep_open(now, target);
        let sends = self.parameters.send && !self.shield.waits() && !self.searching;
        let Some(target) = target.filter(|to| sends && is_reachable(*to)) else {
            self.send.rest();
            self.again.clear();
            self.counters.send_level.set(0.0);
            self.counters.source_level.set(0.0);
            self.counters.we_speak.store(false, Relaxed);
            return;
        };
        if !self.again.is_empty() {
            // Not both at once: what delays or loses the one should not meet the other.
            if self.send_to(&self.again, target) {
                self.counters.sent_again.add(1);
            }
            self.again.clear();
        }
        let others = self.room().and_then(|room| {
            let own = (self.heard.room == Some(room)).then_some(&self.heard.wide);
            rooms.others(room, own)
        });
        let around = Around {
            microphone,
            heard: self.heard.samples(),
            others: others.as_ref(),
            tape: self.tape.as_deref_mut(),
        };
        let ready = self
            .send
            .step(now, around, &self.wishes, &self.counters, packet);
        if let Some(number) = self.send.just_ended() {
            let _ = self.receive.events.push(StreamEvent::Said(number));
        }
        if let Some(digit) = self.send.just_begun() {
            let _ = self.receive.events.push(StreamEvent::DigitSent(digit));
        }
        if !ready {
            return;
        }
        if self.shield.seal(packet) && self.send_to(packet, target) {
            self.sent = Some((now, target));
            self.counters.sent.add(1);
            self.counters.sent_bytes.add(packet.len() as u64);
            if self.parameters.twice {
                self.again.extend_from_slice(packet);
            }
        } else {
            self.counters.send_errors.add(1);
        }
    }

    /// While we say nothing, a router between us and the peer would forget the way, or never learn it: what comes from the
    /// peer, or its handshake, could not pass (RFC 6263 §4.4). With both on hold, too (§3): whoever goes on is to be heard
    /// at once, at the address that was told.
    fn keep_open(&mut self, now: Instant, target: Option<SocketAddr>) {
        if self.searching {
            return;
        }
        let silent = !self.parameters.send || self.shield.waits();
        let Some(target) = target.filter(|to| silent && is_reachable(*to)) else {
            return;
        };
        let is_open = self
            .sent
            .is_some_and(|(at, to)| to == target && now.saturating_duration_since(at) < KEEP_OPEN);
        if is_open {
            return;
        }
        let _ = self.send_to(&self.indication(), target);
        self.sent = Some((now, target));
    }

    /// The same for the port of the reports, while the peer's first word there is waited for, which has to get through a
    /// router. Our own opens the way itself, and so do checks.
    fn open_reports(&mut self, now: Instant, target: SocketAddr) {
        let dtls = self.parameters.dtls.as_ref();
        let listens = dtls.is_some_and(|dtls| dtls.peer.role == dtls::Role::Server);
        if !listens || self.report_refused || self.parameters.ice.is_some() {
            return;
        }
        let is_open = self
            .report_opened
            .is_some_and(|(at, to)| to == target && now.saturating_duration_since(at) < KEEP_OPEN);
        if !is_open {
            let outlet = self.report_outlet();
            send(&self.relays, &self.wire, outlet, &self.indication(), target);
            self.report_opened = Some((now, target));
        }
    }

    /// What says nothing and is not answered (RFC 8489 §3).
    fn indication(&self) -> [u8; 20] {
        let mut id = [0; 12];
        let (name, number) = id.split_at_mut(8);
        name.copy_from_slice(&self.seed.to_be_bytes());
        number.copy_from_slice(&self.steps.to_be_bytes());
        stun::indication(TransactionId(id))
    }

    /// By whichever way leads to the peer.
    fn send_to(&self, packet: &[u8], target: SocketAddr) -> bool {
        send(&self.relays, &self.wire, self.outlet(), packet, target)
    }

    /// By which line media goes, and whether through its relay, where that has one.
    fn outlet(&self) -> (u8, bool) {
        (self.line, !self.direct)
    }

    fn is_relayed(&self) -> bool {
        let relay = self.relays.get(usize::from(self.line));
        relay.is_some_and(Option::is_some) && !self.direct
    }

    /// The same for reports.
    fn report_outlet(&self) -> (u8, bool) {
        match self.report_way {
            _ if self.parameters.rtcp_mux || !self.wire.has(REPORTS) => self.outlet(),
            Some(way) if self.parameters.ice.is_some() => (way.socket, way.relayed),
            _ => (REPORTS, false),
        }
    }

    /// A report, if one is due; when it is written, by both clocks.
    fn report(&mut self, now: Instant, (written, ntp): (Instant, u64)) {
        let Some(target) = self.control_target() else {
            return;
        };
        let outlet = self.report_outlet();
        let apart = self.parameters.has_reports_apart();
        if apart && self.report_shield.waits() {
            return self.open_reports(now, target);
        }
        let mut matter = Matter {
            now,
            written,
            ntp,
            sender: &self.send.sender,
            receiver: &mut self.receive.receiver,
            counters: &self.counters,
            extended: self.parameters.extended_reports,
        };
        let shield = if apart {
            &mut self.report_shield
        } else {
            &mut self.shield
        };
        if let Some(report) = self.control.poll(&mut matter)
            && shield.seal_control(report)
            && send(&self.relays, &self.wire, outlet, report, target)
        {
            self.counters.reports_sent.add(1);
        }
    }

    /// The last report; the stream goes afterwards.
    pub(crate) fn farewell(&mut self, now: Instant, ntp: u64) {
        if self.counters.sent() == 0 && self.counters.received() == 0 {
            return;
        }
        let Some(target) = self.control_target() else {
            return;
        };
        self.receive.tell(now);
        let outlet = self.report_outlet();
        let report = self.control.farewell(&mut Matter {
            now,
            written: now,
            ntp,
            sender: &self.send.sender,
            receiver: &mut self.receive.receiver,
            counters: &self.counters,
            extended: self.parameters.extended_reports,
        });
        let shield = if self.parameters.has_reports_apart() {
            &mut self.report_shield
        } else {
            &mut self.shield
        };
        if shield.seal_control(report) && send(&self.relays, &self.wire, outlet, report, target) {
            self.counters.reports_sent.add(1);
        }
    }

    /// Where reports go: along with the speech when they share its port, to where they come from when
    /// the announced address proved wrong, else to the announced one.
    fn control_target(&self) -> Option<SocketAddr> {
        let target = self.receive.peer.target()?;
        if !self.may_report() || self.searching {
            return None;
        }
        let control = if self.parameters.rtcp_mux || !self.wire.has(REPORTS) {
            target
        } else if self.parameters.ice.is_some() && self.report_way.is_some() {
            self.report_way?.to
        } else if let Some(proven) = self.report_remote {
            proven
        } else if self.receive.peer.moved().is_some() {
            let same_host = |from: &SocketAddr| from.ip() == target.ip();
            self.control
                .from()
                .filter(same_host)
                .unwrap_or_else(|| next_port(target))
        } else {
            self.parameters
                .remote_rtcp
                .unwrap_or_else(|| next_port(target))
        };
        Some(control).filter(|to| is_reachable(*to))
    }

    /// A port for reports alone needs a way of its own (RFC 8445 §4), and where keys come from a handshake one of its own
    /// (RFC 5764 §4.2).
    fn may_report(&self) -> bool {
        let parameters = &self.parameters;
        let has_way = match (&parameters.ice, self.report_way) {
            (Some(_), way) => way.is_some() || self.without_way && !self.is_relayed(),
            (None, _) => !self.is_relayed(),
        };
        let has_port = parameters.dtls.is_none() || self.wire.has(REPORTS);
        parameters.rtcp_mux || has_port && has_way
    }

    /// A way was found, or there is none and the announced address has to do.
    pub(crate) fn go(&mut self, way: &Way) {
        // It may have been under way while a negotiation ended the search, and keeps the number then.
        if way.number != self.search || self.parameters.ice.is_none() {
            return;
        }
        if way.component == Component::Reports {
            self.report_way = way.to;
            return;
        }
        if way.lost {
            self.searching = true;
            let _ = self.receive.events.push(StreamEvent::WayLost);
            return;
        }
        self.searching = false;
        self.direct = way.to.is_some_and(|way| !way.relayed);
        self.line = way.to.map_or(0, |way| way.socket);
        self.without_way = way.to.is_none();
        self.receive.select(way.to.map(|way| way.to));
        let _ = self.receive.events.push(StreamEvent::WayFound(way.to));
    }

    /// What a handshake came to. What is no longer needed goes back in it.
    pub(crate) fn secure(&mut self, now: Instant, outcome: &mut Outcome) {
        if outcome.component == Component::Reports {
            return self.secure_reports(now, outcome);
        }
        if outcome.number != self.handshake {
            return;
        }
        let event = match &mut outcome.result {
            Ok(Secured {
                renewal,
                profile,
                remote,
            }) => {
                let changed = self.shield.change(now, renewal, false);
                self.secured = Some(*remote);
                self.receive.confirm(now, *remote);
                changed.map_or(StreamEvent::KeyServedBefore, |()| {
                    StreamEvent::Secured(*profile)
                })
            }
            Err(failure) => StreamEvent::NotSecured(*failure),
        };
        let _ = self.receive.events.push(event);
    }

    /// The same on the port of the reports.
    fn secure_reports(&mut self, now: Instant, outcome: &mut Outcome) {
        if outcome.number != self.report_handshake {
            return;
        }
        match &mut outcome.result {
            Ok(Secured {
                renewal, remote, ..
            }) => {
                if self.report_shield.change(now, renewal, false).is_err() {
                    let _ = self.receive.events.push(StreamEvent::KeyServedBefore);
                }
                self.report_remote = Some(*remote);
            }
            Err(failure) => {
                self.report_refused = true;
                let event = StreamEvent::ReportsNotSecured(*failure);
                let _ = self.receive.events.push(event);
            }
        }
    }

    /// Follows a negotiation. What is no longer needed goes back in `change`.
    pub(crate) fn change(&mut self, now: Instant, change: &mut Change) {
        if let Some(parts) = &mut change.parts {
            std::mem::swap(&mut parts.encoder, &mut self.send.encoder);
            parts.source.go_on_from(&self.send.source);
            std::mem::swap(&mut parts.source, &mut self.send.source);
            if let (Some(next), Some(last)) = (&mut parts.instead, &self.send.instead) {
                next.source.go_on_from(&last.source);
                next.told = last.told;
            }
            std::mem::swap(&mut parts.instead, &mut self.send.instead);
        }
        // A refusal leaves it as it was, which every decoder can take.
        let _ = self.send.encoder.set_options(&change.options);
        if let Some(formats) = &mut change.formats {
            self.receive.set_formats(formats);
        }
        let same_place = self.parameters.remote == change.parameters.remote;
        if self
            .shield
            .change(now, &mut change.renewal, same_place)
            .is_err()
        {
            let _ = self.receive.events.push(StreamEvent::KeyServedBefore);
        }
        if std::mem::replace(&mut self.handshake, change.handshake) != change.handshake {
            self.secured = None;
        }
        // Only a handshake gives it keys, and those are new each time.
        let _ = self
            .report_shield
            .change(now, &mut change.report_renewal, false);
        let begins_anew = self.report_handshake != change.report_handshake;
        if begins_anew || self.parameters.reports_at() != change.parameters.reports_at() {
            self.report_remote = None;
        }
        if begins_anew {
            (self.report_refused, self.report_opened) = (false, None);
        }
        self.report_handshake = change.report_handshake;
        let search = change.parameters.ice.as_ref();
        if std::mem::replace(&mut self.search, change.search) != change.search || search.is_none() {
            self.gate.search(search, change.keeps);
        }
        let begins = change.searches && !change.keeps;
        self.searching = begins || self.searching && change.parameters.ice.is_some();
        if begins || change.parameters.ice.is_none() {
            (self.report_way, self.without_way) = (None, false);
        }
        if begins || change.parameters.ice.is_none() {
            self.receive.select(None);
        }
        if change.parameters.ice.is_none() {
            (self.line, self.direct) = (0, false);
        }
        std::mem::swap(&mut self.parameters, &mut change.parameters);
        self.send.set_parameters(&self.parameters);
        self.receive.set_parameters(now, &self.parameters);
        let signalling = self.parameters.signalling;
        self.receive.peer.set_signalling(signalling);
        self.follow_clock();
    }

    /// Queues a digit.
    pub(crate) fn press(&mut self, digit: char, duration: Duration) {
        self.send.queue_digit(digit, duration);
    }

    /// Forgets all digits.
    pub(crate) fn unpress(&mut self) {
        self.send.drop_digits();
    }

    /// Marks the stream as dead.
    pub(crate) fn fail(&mut self) {
        self.counters.failed.store(true, Relaxed);
        let _ = self.receive.events.push(StreamEvent::Failed);
    }
}

/// Sends by this line, or through its relay where that is wanted and there is one.
fn send(
    relays: &[Option<Box<Channels>>; MOST_LINES],
    wire: &Wire,
    (line, relayed): (u8, bool),
    packet: &[u8],
    target: SocketAddr,
) -> bool {
    let relay = relays.get(usize::from(line)).and_then(Option::as_deref);
    match relay.filter(|_| relayed) {
        Some(relay) => relay.send(wire, line, packet, target),
        None => wire.send(line, packet, target),
    }
}

fn add(sum: &mut [f32; FRAME_SAMPLES], part: &[f32; FRAME_SAMPLES]) {
    for (sum, sample) in sum.iter_mut().zip(part) {
        *sum += sample;
    }
}

/// In place of what would have followed this frame: the same backwards, which begins where it ended and fades in 5 ms. The rest
/// is silence, so that nothing is left over in what brings it to the rate of the device.
fn lead_out(frame: &mut [i16]) {
    frame.reverse();
    let fading = (frame.len() / 2).max(1) as f32;
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = (f32::from(*sample) * (1.0 - (n + 1) as f32 / fading).max(0.0)) as i16;
    }
}

/// Root mean square, 0.0 to 1.0.
pub(crate) fn level(samples: &[i16]) -> f32 {
    let mut sums = [0.0f32; 8];
    let chunks = samples.chunks_exact(8);
    let rest: f32 = chunks
        .remainder()
        .iter()
        .map(|s| f32::from(*s).powi(2))
        .sum();
    for chunk in chunks {
        for (sum, sample) in sums.iter_mut().zip(chunk) {
            *sum += f32::from(*sample) * f32::from(*sample);
        }
    }
    let sum = sums.iter().sum::<f32>() + rest;
    (sum / samples.len().max(1) as f32).sqrt() / 32_768.0
}

pub(crate) fn to_float(samples: &[i16], out: &mut [f32]) {
    for (sample, out) in samples.iter().zip(out) {
        *out = f32::from(*sample) * (1.0 / 32_768.0);
    }
}

pub(crate) fn to_int(samples: &[f32], out: &mut [i16]) {
    for (sample, out) in samples.iter().zip(out) {
        // `as` saturates.
        *out = (sample * 32_768.0) as i16;
    }
}
