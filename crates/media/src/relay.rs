//! A stream's address at a relay (TURN): what the pump has to know of it, and what the keeper does for it.
//!
//! ```text
//!  speech ─► pump ─► four bytes before it ─► the relay ─► peer          no memory, no question
//!  checks, handshakes, questions to the relay ─► keeper, on the same socket
//! ```

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nat::turn::{self, Client, Event, Output, Received, Refusal};

use crate::socket::Wire;
use crate::stream::LONGEST_PACKET;

/// Peers whose packets pass through the pump; `nat` has no more channels.
const MOST: usize = 16;

/// How long the answer to the farewell is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// Datagrams that are read in one look; the relay has few words.
const MOST_PER_LOOK: usize = 32;

/// Which channels lead to whom.
#[derive(Debug, Clone)]
pub(crate) struct Channels {
    server: SocketAddr,
    list: [Option<(u16, SocketAddr)>; MOST],
    /// Which of them something went through since that was looked at.
    used: Arc<[AtomicBool; MOST]>,
}

impl Channels {
    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// Whose packet this is, and how long, where it is media; the rest is for the keeper.
    pub(crate) fn media(&self, datagram: &[u8]) -> Option<(SocketAddr, usize)> {
        let (_, payload) = turn::unwrapped(datagram)?;
        // RFC 7983 §7.
        payload
            .first()
            .filter(|first| (128..192).contains(*first))?;
        let (number, _) = turn::unwrapped(datagram)?;
        let peer = self.through(|(channel, _)| *channel == number)?.1;
        Some((peer, payload.len()))
    }

    /// The channel that this is true of. It is used.
    fn through(&self, is: impl Fn(&(u16, SocketAddr)) -> bool) -> Option<(u16, SocketAddr)> {
        let mut channels = self.list.iter().zip(self.used.iter());
        channels.find_map(|(channel, used)| {
            let channel = channel.filter(&is)?;
            used.store(true, Relaxed);
            Some(channel)
        })
    }

    /// Whose packet this is, whatever it carries, where it came by a channel.
    pub(crate) fn peer(&self, datagram: &[u8]) -> Option<SocketAddr> {
        let (number, _) = turn::unwrapped(datagram)?;
        let channels = self.list.iter().flatten();
        let mut ours = channels.filter(|(channel, _)| *channel == number);
        ours.next().map(|(_, peer)| *peer)
    }

    /// False when there is no channel to there, or the system refused.
    pub(crate) fn send(&self, wire: &Wire, line: u8, packet: &[u8], to: SocketAddr) -> bool {
        let Some((number, _)) = self.through(|(_, peer)| *peer == to) else {
            return false;
        };
        let mut datagram = [0; LONGEST_PACKET + 4];
        let Some(head) = turn::channel_head(number, packet.len()) else {
            return false;
        };
        let whole = packet.len() + head.len();
        let Some(room) = datagram.get_mut(..whole) else {
            return false;
        };
        let (front, back) = room.split_at_mut(head.len());
        front.copy_from_slice(&head);
        back.copy_from_slice(packet);
        wire.send(line, room, self.server)
    }
}

/// What has become of a relay.
pub(crate) enum Change {
    /// There are other channels: one more, or none any more.
    Channels(Box<Channels>),
    /// This peer is not reached.
    Refused(SocketAddr, Refusal),
    /// There is none any more.
    Lost(Refusal),
}

/// The keeper's end.
pub(crate) struct Relay {
    client: Client,
    socket: UdpSocket,
    /// What the pump was told last.
    shown: Option<Channels>,
    leaves: Option<Instant>,
}

impl Relay {
    pub(crate) fn new(client: Client, socket: UdpSocket) -> Self {
        Self {
            client,
            socket,
            shown: None,
            leaves: None,
        }
    }

    pub(crate) fn is_from(&self, from: SocketAddr) -> bool {
        self.client.server() == from
    }

    /// What it is for the pump.
    pub(crate) fn channels(&mut self) -> Channels {
        let mut list = [None; MOST];
        let places = list.iter_mut().zip(self.client.channels());
        places.for_each(|(place, channel)| *place = Some(channel));
        let channels = Channels {
            server: self.client.server(),
            list,
            used: Arc::default(),
        };
        self.shown = Some(channels.clone());
        channels
    }

    pub(crate) fn want(&mut self, now: Instant, peer: SocketAddr) {
        self.note_use(now);
        self.client.want(now, peer);
    }

    /// Media goes to this peer: it has a channel at any rate.
    pub(crate) fn need(&mut self, now: Instant, peer: SocketAddr) {
        self.note_use(now);
        self.client.need(now, peer);
    }

    /// What comes from this address is to be carried, whatever its port.
    pub(crate) fn permit(&mut self, now: Instant, ip: IpAddr) {
        self.client.permit(now, ip);
    }

    /// The stream to it has ended.
    pub(crate) fn end(&mut self) {
        self.client.handle_end();
    }

    /// What the pump sends and takes does not pass through here.
    fn note_use(&mut self, now: Instant) {
        let shown = self.shown.iter();
        for (channel, used) in shown.flat_map(|shown| shown.list.iter().zip(shown.used.iter())) {
            if let Some((number, _)) = channel
                && used.swap(false, Relaxed)
            {
                self.client.is_used(now, *number);
            }
        }
    }

    /// Has it carried to a peer; what comes before the relay has agreed to that is lost, as on any way.
    pub(crate) fn send(&mut self, now: Instant, datagram: &[u8], to: SocketAddr) {
        if let Some(wrapped) = self.client.wrap(now, to, datagram) {
            let _ = self.socket.send_to(&wrapped, self.client.server());
        }
    }

    pub(crate) fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        datagram: &'a [u8],
    ) -> Option<(SocketAddr, &'a [u8])> {
        match self.client.handle_datagram(now, datagram) {
            Received::Data { peer, payload } => Some((peer, payload)),
            Received::Handled | Received::Unknown => None,
        }
    }

    /// Says what there is to say to it; answers what has become of it, and when there is more to do.
    pub(crate) fn step(&mut self, now: Instant, mut tell: impl FnMut(Change)) -> Option<Instant> {
        self.note_use(now);
        self.client.handle_timeout(now);
        loop {
            match self.client.poll_output() {
                Output::Transmit(datagram) => {
                    let _ = self.socket.send_to(&datagram, self.client.server());
                }
                Output::Event(Event::Bound { .. }) => {
                    tell(Change::Channels(Box::new(self.channels())));
                }
                Output::Event(Event::PeerRefused { peer, why }) => tell(Change::Refused(peer, why)),
                Output::Event(Event::Lost(why)) => {
                    // What was to go through it does not go past it.
                    tell(Change::Channels(Box::new(self.channels())));
                    tell(Change::Lost(why));
                }
                Output::Event(Event::Allocated(_) | Event::Released) => {}
                Output::Deadline(deadline) => return deadline,
            }
        }
    }

    /// Whether the address was given back, and the answer to that is here or not worth waiting for any more.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        let late = |end: Instant| self.client.is_over() || now >= end;
        self.leaves.is_some_and(late)
    }

    /// Until when the answer to the farewell is waited for, once it was said.
    pub(crate) fn leaves(&self) -> Option<Instant> {
        self.leaves
    }

    /// Gives the address back.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.client.release(now);
        self.leaves = Some(now + FAREWELL);
        self.step(now, |_| {});
    }

    /// Goes on with the farewell; true when it is done. Nobody else reads the socket any more.
    pub(crate) fn has_left(&mut self, now: Instant) -> bool {
        let mut buffer = [0; 2_048];
        for _ in 0..MOST_PER_LOOK {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else {
                break;
            };
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            if self.is_from(from) {
                let datagram = buffer.get(..length).unwrap_or_default();
                self.client.handle_datagram(now, datagram);
            }
        }
        self.step(now, |_| {});
        self.client.is_over() || self.leaves.is_none_or(|end| now >= end)
    }
}
