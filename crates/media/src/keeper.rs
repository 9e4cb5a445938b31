//! What comes to a media port and is no media: handshakes that make keys (DTLS-SRTP), checks which way works (ICE), and
//! questions where we see somebody (STUN). Their arithmetic and their memory are nothing for the pump, so it happens here, on a thread of its
//! own.
//!
//! ```text
//!  socket ─► pump: first byte below 64 (RFC 7983) ─► letters ─► Keeper ─► dtls::Handshake, nat::ice, nat::stun
//!  socket ◄─ pump ◄─ commands: datagrams, and in the end the keys ◄──┘
//! ```

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Instant;

use dtls::{Event, Failure, Handshake, Keys, Output, Profile};
use nat::ice::{self, Component};
use nat::stun::{self, Binding};
use rtp::srtp::{MasterKey, Renewal, Security, Suite};
use rtrb::{Consumer, Producer};

use crate::config::{Dtls, Settled, StreamEvent};
use crate::gate::{self, Rank, Waiting};
use crate::pump::{Command, Common};
use crate::relay::{Change, Relay};
use crate::socket::{LONGEST_DATAGRAM, MOST_LINES, REPORTS, is_for_reports};

/// Letters that may wait; a handshake has a dozen, and repeats what is lost. Of one stream it is a quarter of them.
pub(crate) const LETTERS: usize = 256;

/// A datagram that is no media, on its way from the pump.
pub(crate) struct Letter {
    stream: u64,
    line: u8,
    from: SocketAddr,
    length: usize,
    bytes: [u8; LONGEST_DATAGRAM],
    /// Those of the stream that wait.
    waiting: Waiting,
}

/// The pump's end: hands letters over without waiting and without memory.
pub(crate) struct Post {
    letters: Producer<Letter>,
    keeper: Option<Thread>,
    posted: bool,
}

impl Post {
    pub(crate) fn new(letters: Producer<Letter>, keeper: Option<Thread>) -> Self {
        Self {
            letters,
            keeper,
            posted: false,
        }
    }

    /// False when there is no room, which is as good as lost on the way. `waiting` counts the letters of the stream.
    pub(crate) fn put(
        &mut self,
        (stream, waiting): (u64, &Waiting),
        rank: Rank,
        (line, from): (u8, SocketAddr),
        datagram: &[u8],
    ) -> bool {
        if !gate::may_post(waiting, rank, self.letters.slots(), LETTERS) {
            return false;
        }
        let mut bytes = [0; LONGEST_DATAGRAM];
        let length = datagram.len();
        let Some(room) = bytes.get_mut(..length) else {
            return false;
        };
        room.copy_from_slice(datagram);
        let letter = Letter {
            stream,
            line,
            from,
            length,
            bytes,
            waiting: Waiting::clone(waiting),
        };
        self.posted = true;
        waiting.fetch_add(1, Relaxed);
        let has_room = self.letters.push(letter).is_ok();
        if !has_room {
            waiting.fetch_sub(1, Relaxed);
        }
        has_room
    }

    /// Wakes who reads them, if there are any.
    pub(crate) fn send_off(&mut self) {
        if std::mem::take(&mut self.posted)
            && let Some(keeper) = &self.keeper
        {
            keeper.unpark();
        }
    }
}

/// What the handles ask for.
pub(crate) enum Order {
    /// A handshake of this number for this stream, instead of any before on the same port.
    Begin {
        stream: u64,
        component: Component,
        number: u64,
        dtls: Box<Dtls>,
        remote: Option<SocketAddr>,
    },
    /// A search for a way of this number for this stream, instead of any before; a handshake waits for it.
    Search {
        stream: u64,
        number: u64,
        session: Box<ice::Session>,
        /// What was found before leads to the peer still, from the same sockets: it is used until there is another.
        keeps: bool,
    },
    /// The stream goes where its parameters say.
    EndSearch { stream: u64 },
    /// This line of the stream has this address at a relay, instead of any before.
    Relay {
        stream: u64,
        line: u8,
        relay: Box<Relay>,
    },
    /// Of the relays of this stream only those of these lines are still used: bit 0 is line 0. The sockets stay.
    KeepRelays { stream: u64, lines: u16 },
    /// None of its lines from this one on has one any more; until then what is to go through one that was lost goes nowhere.
    EndRelays { stream: u64, from: u8 },
    /// The peer is to be found there, with what this component carries.
    Remote {
        stream: u64,
        component: Component,
        remote: SocketAddr,
    },
    /// The relay of the media is to carry what comes from this address, whatever its port.
    Permit { stream: u64, ip: IpAddr },
    /// The way to the relay of this line, where that was this server, has ended.
    RelayEnded {
        stream: u64,
        line: u8,
        server: SocketAddr,
    },
    /// The stream needs no handshake any more.
    End { stream: u64, component: Component },
}

/// What a handshake came to, on its way to the pump.
pub(crate) struct Outcome {
    pub(crate) stream: u64,
    /// What its keys protect.
    pub(crate) component: Component,
    /// Of the handshake: a later one makes this worthless.
    pub(crate) number: u64,
    pub(crate) result: Result<Secured, Failure>,
}

/// A way that was found, or that there is none; on its way to the pump.
pub(crate) struct Way {
    pub(crate) stream: u64,
    pub(crate) number: u64,
    /// What it is for.
    pub(crate) component: Component,
    pub(crate) to: Option<ice::Way>,
    /// The one that was found before has gone.
    pub(crate) lost: bool,
}

/// A search for the way of a stream.
struct Search {
    number: u64,
    agent: ice::Agent,
    /// Who found the way that is used until this search has one of its own: it goes on to ask for consent, and to
    /// answer (RFC 8445 §9).
    before: Option<ice::Agent>,
    otherwise: Otherwise,
}

impl Search {
    /// Where to send what this component carries, as long as that is known.
    fn selected_for(&self, component: Component) -> Option<ice::Way> {
        let mut agents = std::iter::once(&self.agent).chain(&self.before);
        agents.find_map(|agent| agent.selected_for(component))
    }

    fn handle_datagram(&mut self, now: Instant, datagram: &[u8], way: ice::Way) -> bool {
        let mut agents = std::iter::once(&mut self.agent).chain(&mut self.before);
        agents.any(|agent| agent.handle_datagram(now, datagram, way))
    }
}

/// What is done while no way is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    /// The peer has not answered a check yet: in time that is given up.
    Search,
    /// It is given up. Media goes to the announced address, where there is one: the peer has never answered a check, so
    /// maybe it cannot.
    Go,
    /// Nothing is sent: the peer can answer, and has not said that it still wants what we send (RFC 7675 §5.1).
    Wait,
}

/// A handshake of a stream: the one on the port of its media, or the one on that of its reports.
struct Talk {
    number: u64,
    handshake: Handshake,
    /// Where the peer is, as it says.
    announced: Option<SocketAddr>,
}

/// Keys and whose they are.
pub(crate) struct Secured {
    pub(crate) renewal: Renewal,
    pub(crate) profile: Profile,
    /// From where the peer spoke that has proved to be the right one.
    pub(crate) remote: SocketAddr,
}

/// Carries the handshakes of all streams.
pub(crate) struct Keeper {
    letters: Consumer<Letter>,
    orders: Arc<Mutex<Vec<Order>>>,
    commands: Arc<Mutex<Producer<Command>>>,
    pump: Option<Thread>,
    handshakes: HashMap<(u64, Component), Talk>,
    searches: HashMap<u64, Search>,
    /// By stream and line.
    relays: HashMap<(u64, u8), Box<Relay>>,
    /// Those that say farewell.
    leaving: Vec<Relay>,
    /// What the pump had no room for.
    waiting: VecDeque<Command>,
}

impl Keeper {
    pub(crate) fn new(
        letters: Consumer<Letter>,
        orders: Arc<Mutex<Vec<Order>>>,
        commands: Arc<Mutex<Producer<Command>>>,
    ) -> Self {
        Self {
            letters,
            orders,
            commands,
            pump: None,
            handshakes: HashMap::new(),
            searches: HashMap::new(),
            relays: HashMap::new(),
            leaving: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The thread's loop; ends with the pump.
    pub(crate) fn run(mut self, common: &Common, pump: Thread) {
        self.pump = Some(pump);
        while !common.shutdown.load(Relaxed) {
            match self.step(Instant::now()) {
                Some(deadline) => {
                    std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
                }
                None => std::thread::park(),
            }
        }
        let now = Instant::now();
        self.relays.values_mut().for_each(|relay| relay.leave(now));
    }

    /// Does what there is to do; answers when there is more.
    pub(crate) fn step(&mut self, now: Instant) -> Option<Instant> {
        self.take_orders(now);
        while let Ok(letter) = self.letters.pop() {
            letter.waiting.fetch_sub(1, Relaxed);
            let datagram = letter.bytes.get(..letter.length).unwrap_or_default();
            let relay = self.relays.get_mut(&(letter.stream, letter.line));
            match relay.filter(|relay| relay.is_from(letter.from)) {
                Some(relay) => {
                    if let Some((peer, payload)) = relay.handle_datagram(now, datagram) {
                        let way = ice::Way {
                            to: peer,
                            socket: letter.line,
                            relayed: true,
                        };
                        self.on_datagram(now, letter.stream, payload, way);
                    }
                }
                None => {
                    let way = ice::Way {
                        to: letter.from,
                        socket: letter.line,
                        relayed: false,
                    };
                    self.on_datagram(now, letter.stream, datagram, way);
                }
            }
        }
        let mut next = self.search(now);
        next = next.into_iter().chain(self.shake_hands(now)).min();
        next = next.into_iter().chain(self.tend_relays(now)).min();
        self.hand_over();
        if !self.waiting.is_empty() {
            let soon = now + crate::TICK;
            next = Some(next.map_or(soon, |next| next.min(soon)));
        }
        next
    }

    /// Something that is no media has come, by this way.
    fn on_datagram(&mut self, now: Instant, stream: u64, datagram: &[u8], way: ice::Way) {
        if stun::is_stun(datagram) {
            if let Some(search) = self.searches.get_mut(&stream)
                && search.handle_datagram(now, datagram, way)
            {
                return;
            }
            // Who asks where we see it is told (RFC 8489 §6.3.1). One with a name asks something else, maybe of a search
            // that we do not know of yet: it asks again.
            if let Some(Binding::Request(id)) = Binding::read(datagram)
                && !stun::names_somebody(datagram)
            {
                let answer = Binding::Success(id, Some(way.to)).to_bytes();
                let lines = &mut Lines {
                    relays: &mut self.relays,
                    waiting: &mut self.waiting,
                };
                lines.send(now, stream, answer, way);
            }
            return;
        }
        if dtls::looks_like_dtls(datagram) {
            let component = component(way.socket);
            if let Some(talk) = self.handshakes.get_mut(&(stream, component)) {
                let whereabouts = whereabouts(
                    (stream, component),
                    talk.announced,
                    &self.searches,
                    &self.relays,
                );
                // On the port of the media who speaks first is answered where it is; that of the reports is not used
                // before there is a way for them.
                if component == Component::Media || whereabouts.outlet.is_some() {
                    talk.handshake.handle_datagram(now, datagram, way.to);
                }
            }
        } else if let Some(relay) = self.relays.get_mut(&(stream, way.socket)) {
            // Media of a peer that has no channel: it is behind a router that changes ports.
            relay.want(now, way.to);
        }
    }

    /// Goes on with the handshakes; answers when there is more.
    fn shake_hands(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for (whose, talk) in &mut self.handshakes {
            let Whereabouts { remote, outlet } =
                whereabouts(*whose, talk.announced, &self.searches, &self.relays);
            if let Some(remote) = remote {
                talk.handshake.handle_remote(now, remote);
            }
            talk.handshake.handle_timeout(now);
            let mut lines = Lines {
                relays: &mut self.relays,
                waiting: &mut self.waiting,
            };
            let deadline = lines.drain(now, *whose, talk, outlet);
            next = next.into_iter().chain(deadline).min();
        }
        next
    }

    /// Keeps the addresses at relays; answers when there is more.
    fn tend_relays(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let waiting = &mut self.waiting;
        self.relays.retain(|(stream, line), relay| {
            let deadline = relay.step(now, |change| match change {
                Change::Channels(channels) => {
                    waiting.push_back(Command::Relay(*stream, *line, Some(channels)));
                }
                Change::Refused(peer, why) => {
                    let event = StreamEvent::RelayRefuses(peer, why);
                    waiting.push_back(Command::Tell(*stream, event));
                }
                Change::Lost(why) => {
                    let event = StreamEvent::RelayLost(*line, why);
                    waiting.push_back(Command::Tell(*stream, event));
                }
            });
            // The pump reads the socket still, and hands over what the relay answers.
            next = next.into_iter().chain(deadline).chain(relay.leaves()).min();
            !relay.is_gone(now)
        });
        self.leaving.retain_mut(|relay| !relay.has_left(now));
        let soon = (!self.leaving.is_empty()).then(|| now + 5 * crate::TICK);
        next.into_iter().chain(soon).min()
    }

    /// Goes on with the searches; answers when there is more.
    fn search(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let lines = &mut Lines {
            relays: &mut self.relays,
            waiting: &mut self.waiting,
        };
        for (stream, search) in &mut self.searches {
            next = next
                .into_iter()
                .chain(search.go_on_as_before(now, *stream, lines))
                .min();
            search.agent.handle_timeout(now);
            loop {
                let event = match search.agent.poll_output() {
                    ice::Output::Transmit { datagram, way } => {
                        lines.send(now, *stream, datagram, way);
                        continue;
                    }
                    ice::Output::Event(event) => event,
                    ice::Output::Deadline(deadline) => {
                        next = next.into_iter().chain(deadline).min();
                        break;
                    }
                };
                let kept = search.before.as_ref().and_then(ice::Agent::selected);
                let component = match event {
                    ice::Event::Selected(component, _) | ice::Event::Lost(component) => component,
                    ice::Event::Failed | ice::Event::Concluded => Component::Media,
                };
                let to = match (event, search.otherwise) {
                    (ice::Event::Selected(Component::Reports, way), _) => Some(way),
                    (ice::Event::Selected(Component::Media, way), _) => {
                        search.otherwise = Otherwise::Wait;
                        search.before = None;
                        Some(way)
                    }
                    (ice::Event::Failed, _) if kept.is_some() => {
                        let told = kept.map(StreamEvent::WayKept);
                        let told = told.map(|told| Command::Tell(*stream, told));
                        lines.waiting.extend(told);
                        continue;
                    }
                    (ice::Event::Failed, Otherwise::Search | Otherwise::Go) => {
                        search.otherwise = Otherwise::Go;
                        None
                    }
                    (ice::Event::Failed, Otherwise::Wait) => {
                        let told = Command::Tell(*stream, StreamEvent::NoWay);
                        lines.waiting.push_back(told);
                        continue;
                    }
                    (ice::Event::Lost(_), _) => None,
                    (ice::Event::Concluded, _) => {
                        let settled = Settled::of(search.number, &search.agent);
                        let told = settled.map(StreamEvent::WaysSettled);
                        let told = told.map(|told| Command::Tell(*stream, told));
                        lines.waiting.extend(told);
                        continue;
                    }
                };
                lines.lead(now, *stream, to);
                let lost = matches!(event, ice::Event::Lost(_));
                lines.waiting.push_back(Command::Way(Way {
                    stream: *stream,
                    number: search.number,
                    component,
                    to,
                    lost,
                }));
            }
        }
        next
    }

    fn take_orders(&mut self, now: Instant) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<Order> = std::mem::take(&mut orders);
        drop(orders);
        for order in taken {
            match order {
                Order::Begin {
                    stream,
                    component,
                    number,
                    dtls,
                    remote,
                } => {
                    let talk = Talk {
                        number,
                        handshake: Handshake::new(&dtls.certificate, &dtls.peer),
                        announced: remote,
                    };
                    self.handshakes.insert((stream, component), talk);
                }
                Order::Relay {
                    stream,
                    line,
                    relay,
                } => {
                    let before = self.relays.insert((stream, line), relay);
                    self.leave(now, before);
                }
                Order::KeepRelays { stream, lines } => {
                    let all = self.relays.iter_mut();
                    let spare = all.filter(|((of, line), relay)| {
                        *of == stream && lines & (1 << line) == 0 && relay.leaves().is_none()
                    });
                    spare.for_each(|(_, relay)| relay.leave(now));
                }
                Order::EndRelays { stream, from } => {
                    for line in from..MOST_LINES as u8 {
                        let before = self.relays.remove(&(stream, line));
                        self.leave(now, before);
                    }
                }
                Order::Remote {
                    stream,
                    component,
                    remote,
                } => {
                    let relay = self.relays.get_mut(&(stream, 0));
                    if let Some(relay) = relay.filter(|_| component == Component::Media) {
                        relay.need(now, remote);
                    }
                    if let Some(talk) = self.handshakes.get_mut(&(stream, component)) {
                        talk.announced = Some(remote);
                    }
                }
                Order::Permit { stream, ip } => {
                    if let Some(relay) = self.relays.get_mut(&(stream, 0)) {
                        relay.permit(now, ip);
                    }
                }
                Order::RelayEnded {
                    stream,
                    line,
                    server,
                } => {
                    let relay = self.relays.get_mut(&(stream, line));
                    let is_it =
                        |relay: &&mut Box<Relay>| relay.is_from(server) && relay.leaves().is_none();
                    if let Some(relay) = relay.filter(is_it) {
                        relay.end();
                    }
                }
                Order::Search {
                    stream,
                    number,
                    session,
                    keeps,
                } => {
                    let agent = ice::Agent::new(now, &session);
                    let last = self.searches.remove(&stream);
                    let otherwise = match last.as_ref().map(|last| last.otherwise) {
                        Some(Otherwise::Wait) => Otherwise::Wait,
                        _ => Otherwise::Search,
                    };
                    // Whichever of the two has a way: never more than one of them is kept.
                    let before = last.filter(|_| keeps).and_then(|last| {
                        let agents = std::iter::once(last.agent).chain(last.before);
                        agents.into_iter().find(|agent| agent.selected().is_some())
                    });
                    let search = Search {
                        number,
                        agent,
                        before,
                        otherwise,
                    };
                    self.searches.insert(stream, search);
                }
                Order::EndSearch { stream } => {
                    self.searches.remove(&stream);
                }
                Order::End { stream, component } => {
                    self.handshakes.remove(&(stream, component));
                }
            }
        }
    }

    /// An address at a relay is given back.
    fn leave(&mut self, now: Instant, relay: Option<Box<Relay>>) {
        if let Some(mut relay) = relay {
            relay.leave(now);
            self.leaving.push(*relay);
        }
    }

    fn hand_over(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(command) = self.waiting.pop_front() {
            if let Err(rtrb::PushError::Full(command)) = commands.push(command) {
                self.waiting.push_front(command);
                break;
            }
        }
        drop(commands);
        if let Some(pump) = &self.pump {
            pump.unpark();
        }
    }
}

impl Search {
    /// Keeps the way that was found before a restart; answers when there is more to do for it.
    fn go_on_as_before(
        &mut self,
        now: Instant,
        stream: u64,
        lines: &mut Lines<'_>,
    ) -> Option<Instant> {
        let before = self.before.as_mut()?;
        before.handle_timeout(now);
        loop {
            let (component, to, lost) = match before.poll_output() {
                ice::Output::Transmit { datagram, way } => {
                    lines.send(now, stream, datagram, way);
                    continue;
                }
                ice::Output::Event(ice::Event::Selected(component, way)) => {
                    (component, Some(way), false)
                }
                ice::Output::Event(ice::Event::Lost(component)) => (component, None, true),
                ice::Output::Event(ice::Event::Failed | ice::Event::Concluded) => continue,
                ice::Output::Deadline(deadline) => return deadline,
            };
            lines.lead(now, stream, to);
            lines.waiting.push_back(Command::Way(Way {
                stream,
                number: self.number,
                component,
                to,
                lost,
            }));
            if lost && component == ice::Component::Media {
                self.before = None;
                return None;
            }
        }
    }
}

/// By which everything goes out that is no media.
struct Lines<'a> {
    relays: &'a mut HashMap<(u64, u8), Box<Relay>>,
    waiting: &'a mut VecDeque<Command>,
}

impl Lines<'_> {
    /// Media goes by this way from now on.
    fn lead(&mut self, now: Instant, stream: u64, way: Option<ice::Way>) {
        if let Some(way) = way.filter(|way| way.relayed)
            && let Some(relay) = self.relays.get_mut(&(stream, way.socket))
        {
            relay.need(now, way.to);
        }
    }

    fn send(&mut self, now: Instant, stream: u64, datagram: Vec<u8>, way: ice::Way) {
        let relay = self.relays.get_mut(&(stream, way.socket));
        match relay.filter(|_| way.relayed) {
            Some(relay) => relay.send(now, &datagram, way.to),
            None => {
                let command = Command::Send(stream, way.socket, datagram.into(), way.to);
                self.waiting.push_back(command);
            }
        }
    }

    fn drain(
        &mut self,
        now: Instant,
        (stream, component): (u64, Component),
        talk: &mut Talk,
        outlet: Option<(u8, bool)>,
    ) -> Option<Instant> {
        loop {
            match talk.handshake.poll_output() {
                Output::Transmit { datagram, to } => {
                    if let Some((socket, relayed)) = outlet {
                        let way = ice::Way {
                            to,
                            socket,
                            relayed,
                        };
                        self.send(now, stream, datagram, way);
                    }
                }
                Output::Event(event) => {
                    let result = match event {
                        Event::Secured { keys, remote } => secured(&keys, remote),
                        Event::Failed(failure) => Err(failure),
                    };
                    let outcome = Outcome {
                        stream,
                        component,
                        number: talk.number,
                        result,
                    };
                    let command = Command::Secured(Box::new(outcome));
                    self.waiting.push_back(command);
                }
                Output::Deadline(deadline) => return deadline,
            }
        }
    }
}

/// Where the other side of a handshake is to be found, and by which line and whether through the relay of that it is
/// talked to.
struct Whereabouts {
    remote: Option<SocketAddr>,
    outlet: Option<(u8, bool)>,
}

/// What the search found counts. Without any it is where the peer says, and without a way that is known nothing is said
/// where there was one: a handshake is data too (RFC 7675 §5.1).
fn whereabouts(
    (stream, component): (u64, Component),
    announced: Option<SocketAddr>,
    searches: &HashMap<u64, Search>,
    relays: &HashMap<(u64, u8), Box<Relay>>,
) -> Whereabouts {
    let search = searches.get(&stream);
    if let Some(way) = search.and_then(|search| search.selected_for(component)) {
        return Whereabouts {
            remote: Some(way.to),
            outlet: Some((way.socket, way.relayed)),
        };
    }
    let otherwise = search.map_or(Otherwise::Go, |search| search.otherwise);
    let outlet = match component {
        // What leads through the relay, where there is one.
        Component::Media => Some((0, true)).filter(|_| otherwise != Otherwise::Wait),
        // What must go through a relay does not go past it.
        Component::Reports => {
            let may = otherwise == Otherwise::Go && !relays.contains_key(&(stream, 0));
            may.then_some((REPORTS, false))
        }
    };
    let goes = otherwise == Otherwise::Go && outlet.is_some();
    Whereabouts {
        remote: announced.filter(|_| goes),
        outlet,
    }
}

/// What a line carries where reports do not share the port of the media.
fn component(line: u8) -> Component {
    match is_for_reports(line) {
        true => Component::Reports,
        false => Component::Media,
    }
}

fn secured(keys: &Keys, remote: SocketAddr) -> Result<Secured, Failure> {
    let suite = suite(keys.profile);
    let key = |bytes: &[u8]| MasterKey::new(suite, bytes).ok_or(Failure::Ours);
    let security = Security {
        send: key(&keys.send)?,
        receive: key(&keys.receive)?,
        receive_mki: Vec::new(),
        context: 0,
    };
    let renewal = Renewal::fresh(&security).map_err(|_| Failure::Ours)?;
    Ok(Secured {
        renewal,
        profile: keys.profile,
        remote,
    })
}

fn suite(profile: Profile) -> Suite {
    match profile {
        Profile::AeadAes256Gcm => Suite::AeadAes256Gcm,
        Profile::AeadAes128Gcm => Suite::AeadAes128Gcm,
        Profile::Aes128CmHmacSha1_80 => Suite::AesCm128HmacSha1_80,
        Profile::Aes128CmHmacSha1_32 => Suite::AesCm128HmacSha1_32,
    }
}
