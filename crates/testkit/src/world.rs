use crate::{Chance, Link};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One peer of a [`World`].
///
/// After each call the node has put all it wants to send into the outbox and answers [`Node::deadline`] truthfully.
pub trait Node<P> {
    /// A packet arrived at one of the node's addresses.
    fn handle_packet(&mut self, now: Instant, packet: Packet<P>, out: &mut Outbox<P>);

    /// The instant of [`Node::deadline`] has come. A node that leaves its deadline in the past is called for ever; the
    /// world notices and panics.
    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<P>);

    /// When the node wants to be woken next; `None` when only a packet can move it.
    fn deadline(&self) -> Option<Instant>;
}

/// Index of a node, in the order of [`World::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Something under way from one address to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<P> {
    /// Address it was sent from.
    pub from: SocketAddr,
    /// Address it is for.
    pub to: SocketAddr,
    /// What it carries.
    pub payload: P,
}

/// Where a node puts what it sends.
#[derive(Debug)]
pub struct Outbox<P>(Vec<Packet<P>>);

impl<P> Outbox<P> {
    /// Sends `payload`.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: P) {
        self.0.push(Packet { from, to, payload });
    }
}

/// What a test's own rule decides about a packet before the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The link decides.
    Pass,
    /// It is lost.
    Drop,
    /// It arrives, after this delay and untouched by the link's luck.
    Delay(Duration),
}

/// What became of a packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Under way or arrived, in this many copies.
    Carried {
        /// 1, or 2 for a duplicate.
        copies: usize,
    },
    /// Lost by the link.
    Lost,
    /// Dropped by the test's rule.
    Dropped,
    /// Nobody has that address.
    NoSuchAddress,
}

/// One line of the world's record: a packet at the moment it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced<P> {
    /// Time since the world began.
    pub at: Duration,
    /// What was sent.
    pub packet: Packet<P>,
    /// What became of it.
    pub fate: Fate,
}

type Rule<P> = Box<dyn FnMut(Duration, &Packet<P>) -> Verdict>;

/// Peers, the network between them, and the clock.
pub struct World<P, N> {
    began: Instant,
    now: Instant,
    nodes: Vec<N>,
    addresses: HashMap<SocketAddr, NodeId>,
    link: Link,
    links: HashMap<(SocketAddr, SocketAddr), Link>,
    rule: Option<Rule<P>>,
    chance: Chance,
    /// Keyed by arrival, then by the order of sending, so that ties are not luck.
    under_way: BTreeMap<(Instant, u64), Packet<P>>,
    sent: u64,
    trace: Vec<Traced<P>>,
}

impl<P: Clone, N: Node<P>> World<P, N> {
    /// An empty world whose luck is drawn from `seed`, with [`Link::PERFECT`] between everybody.
    ///
    /// The clock starts at the real instant of the call, because an `Instant` cannot be made otherwise; nothing
    /// depends on its value.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let began = Instant::now();
        Self {
            began,
            now: began,
            nodes: Vec::new(),
            addresses: HashMap::new(),
            link: Link::PERFECT,
            links: HashMap::new(),
            rule: None,
            chance: Chance::new(seed),
            under_way: BTreeMap::new(),
            sent: 0,
            trace: Vec::new(),
        }
    }

    /// Adds a peer that is reached at `address`.
    pub fn add(&mut self, address: SocketAddr, node: N) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.bind(address, id);
        id
    }

    /// Gives a peer one more address.
    pub fn bind(&mut self, address: SocketAddr, node: NodeId) {
        self.addresses.insert(address, node);
    }

    /// Sets the link between all addresses that have none of their own.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// Sets the link of one direction.
    pub fn set_link_between(&mut self, from: SocketAddr, to: SocketAddr, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Sets the test's own rule: it sees each packet as it is sent, with the time since the world began, and decides
    /// before the link does.
    pub fn set_rule(&mut self, rule: impl FnMut(Duration, &Packet<P>) -> Verdict + 'static) {
        self.rule = Some(Box::new(rule));
    }

    /// Takes the rule away.
    pub fn clear_rule(&mut self) {
        self.rule = None;
    }

    /// Puts a packet on the network that no node sent.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, payload: P) {
        self.carry(Packet { from, to, payload });
    }

    /// Lets the test act on a node at the present instant, as its user would.
    pub fn with<R>(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut N, Instant, &mut Outbox<P>) -> R,
    ) -> R {
        let mut out = Outbox(Vec::new());
        let result = act(&mut self.nodes[id.0], self.now, &mut out);
        self.carry_all(out);
        result
    }

    /// Jumps to the earliest pending event and lets it happen. False when nothing is pending.
    ///
    /// # Panics
    /// When a node asks to be woken at the same instant more than ten thousand times in a row.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_event() else {
            return false;
        };
        self.now = self.now.max(at);
        self.deliver_due();
        self.wake_due();
        true
    }

    /// Runs for `time` and leaves the clock exactly there.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next_event().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Runs until `done` is true, for at most `limit`. Answers whether it became true.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            match self.next_event() {
                Some(at) if at <= end => {
                    self.step();
                }
                _ => {
                    self.now = end;
                    return done(self);
                }
            }
        }
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &N {
        &self.nodes[id.0]
    }

    /// The node with this id, to set it up. What it wants to send goes through [`World::with`].
    pub fn node_mut(&mut self, id: NodeId) -> &mut N {
        &mut self.nodes[id.0]
    }

    /// All that was sent so far, in order.
    #[must_use]
    pub fn trace(&self) -> &[Traced<P>] {
        &self.trace
    }

    /// The same, and it is forgotten here: a world that lasts for hours would hold all of it.
    pub fn take_trace(&mut self) -> Vec<Traced<P>> {
        std::mem::take(&mut self.trace)
    }

    /// How many packets are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    /// When something happens next.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let packet = self.under_way.keys().next().map(|(at, _)| *at);
        let timer = self.nodes.iter().filter_map(Node::deadline).min();
        [packet, timer].into_iter().flatten().min()
    }

    fn deliver_due(&mut self) {
        while let Some(entry) = self.under_way.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            let packet = entry.remove();
            let Some(id) = self.addresses.get(&packet.to).copied() else {
                continue;
            };
            let now = self.now;
            let mut out = Outbox(Vec::new());
            self.nodes[id.0].handle_packet(now, packet, &mut out);
            self.carry_all(out);
        }
    }

    fn wake_due(&mut self) {
        for index in 0..self.nodes.len() {
            let mut wakes = 0;
            while self.nodes[index]
                .deadline()
                .is_some_and(|at| at <= self.now)
            {
                wakes += 1;
                assert!(
                    wakes <= 10_000,
                    "node {index} leaves its deadline in the past"
                );
                let mut out = Outbox(Vec::new());
                self.nodes[index].handle_timeout(self.now, &mut out);
                self.carry_all(out);
            }
        }
    }

    fn carry_all(&mut self, out: Outbox<P>) {
        for packet in out.0 {
            self.carry(packet);
        }
    }

    fn carry(&mut self, packet: Packet<P>) {
        let at = self.elapsed();
        let verdict = self
            .rule
            .as_mut()
            .map_or(Verdict::Pass, |rule| rule(at, &packet));
        let link = self
            .links
            .get(&(packet.from, packet.to))
            .copied()
            .unwrap_or(self.link);
        // The link's luck is drawn in every case, so that a rule does not shift the luck of later packets.
        let drawn = link.draw(&mut self.chance);
        let (delays, fate) = match verdict {
            _ if !self.addresses.contains_key(&packet.to) => (Vec::new(), Fate::NoSuchAddress),
            Verdict::Drop => (Vec::new(), Fate::Dropped),
            Verdict::Delay(delay) => (vec![delay], Fate::Carried { copies: 1 }),
            Verdict::Pass if drawn.is_empty() => (drawn, Fate::Lost),
            Verdict::Pass => {
                let copies = drawn.len();
                (drawn, Fate::Carried { copies })
            }
        };
        for delay in delays {
            self.under_way
                .insert((self.now + delay, self.sent), packet.clone());
            self.sent += 1;
        }
        self.trace.push(Traced { at, packet, fate });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "192.0.2.1:1000";
    const B: &str = "192.0.2.2:1000";

    /// Counts what it hears, answers even numbers with half of them, and sends 100 each time its timer fires.
    struct Counter {
        address: SocketAddr,
        heard: Vec<(Instant, u32)>,
        wake_at: Option<Instant>,
    }

    impl Node<u32> for Counter {
        fn handle_packet(&mut self, now: Instant, packet: Packet<u32>, out: &mut Outbox<u32>) {
            self.heard.push((now, packet.payload));
            if packet.payload > 0 && packet.payload.is_multiple_of(2) {
                out.send(self.address, packet.from, packet.payload / 2);
            }
        }

        fn handle_timeout(&mut self, _now: Instant, out: &mut Outbox<u32>) {
            self.wake_at = None;
            out.send(self.address, B.parse().unwrap(), 100);
        }

        fn deadline(&self) -> Option<Instant> {
            self.wake_at
        }
    }

    fn world(seed: u64) -> (World<u32, Counter>, NodeId, NodeId) {
        let mut world = World::new(seed);
        let mut add = |text: &str| {
            let address = text.parse().unwrap();
            world.add(
                address,
                Counter {
                    address,
                    heard: Vec::new(),
                    wake_at: None,
                },
            )
        };
        let (a, b) = (add(A), add(B));
        (world, a, b)
    }

    fn send(world: &mut World<u32, Counter>, from: NodeId, number: u32) {
        world.with(from, |node, _, out| {
            out.send(node.address, B.parse().unwrap(), number);
        });
    }

    #[test]
    fn packets_arrive_after_their_delay_and_are_answered() {
        let (mut world, a, b) = world(1);
        world.set_link(Link {
            delay: Duration::from_millis(30),
            ..Link::PERFECT
        });
        send(&mut world, a, 8);
        world.run_for(Duration::from_secs(1));
        assert_eq!(
            world
                .node(b)
                .heard
                .iter()
                .map(|(_, n)| *n)
                .collect::<Vec<_>>(),
            [8, 2]
        );
        assert_eq!(
            world
                .node(a)
                .heard
                .iter()
                .map(|(_, n)| *n)
                .collect::<Vec<_>>(),
            [4, 1]
        );
        assert_eq!(
            world.node(b).heard[0].0 - world.began,
            Duration::from_millis(30)
        );
        assert_eq!(world.elapsed(), Duration::from_secs(1));
        assert_eq!(world.in_flight(), 0);
    }

    #[test]
    fn a_step_jumps_to_the_timer_and_not_past_it() {
        let (mut world, a, b) = world(1);
        let at = world.now() + Duration::from_secs(32);
        world.node_mut(a).wake_at = Some(at);
        assert!(world.step());
        assert_eq!(world.now(), at);
        world.run_for(Duration::from_millis(1));
        assert_eq!(world.node(b).heard.len(), 1);
    }

    #[test]
    fn loss_and_duplicates_come_at_their_rates() {
        let (mut world, a, b) = world(5);
        world.set_link(Link {
            loss: 200,
            duplicate: 100,
            ..Link::PERFECT
        });
        for _ in 0..5000 {
            send(&mut world, a, 1);
        }
        world.run_for(Duration::from_secs(1));
        let heard = world.node(b).heard.len();
        // 5000 · 0.8 · 1.1 = 4400
        assert!((4200..4600).contains(&heard), "{heard}");
    }

    #[test]
    fn reordering_lets_later_packets_overtake() {
        let (mut world, a, b) = world(9);
        world.set_link(Link {
            reorder: 300,
            ..Link::PERFECT
        });
        for number in 0..50 {
            send(&mut world, a, 2 * number + 1);
            world.run_for(Duration::from_millis(10));
        }
        world.run_for(Duration::from_secs(1));
        let heard: Vec<_> = world.node(b).heard.iter().map(|(_, n)| *n).collect();
        assert_eq!(heard.len(), 50);
        assert!(!heard.is_sorted());
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let run = |seed| {
            let (mut world, a, _) = world(seed);
            world.set_link(Link::BAD);
            for number in 0..200 {
                send(&mut world, a, number);
            }
            world.run_for(Duration::from_secs(5));
            world.trace().to_vec()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }

    #[test]
    fn a_rule_decides_before_the_link() {
        let (mut world, a, b) = world(1);
        world.set_rule(|_, packet| match packet.payload {
            1 => Verdict::Drop,
            3 => Verdict::Delay(Duration::from_secs(2)),
            _ => Verdict::Pass,
        });
        for number in [1, 3, 5] {
            send(&mut world, a, number);
        }
        world.run_for(Duration::from_secs(3));
        assert_eq!(
            world
                .node(b)
                .heard
                .iter()
                .map(|(_, n)| *n)
                .collect::<Vec<_>>(),
            [5, 3]
        );
        assert_eq!(world.trace()[0].fate, Fate::Dropped);
    }

    #[test]
    fn an_unknown_address_is_noted() {
        let (mut world, _, _) = world(1);
        world.inject(A.parse().unwrap(), "203.0.113.9:5".parse().unwrap(), 1);
        assert_eq!(world.trace()[0].fate, Fate::NoSuchAddress);
        assert_eq!(world.in_flight(), 0);
    }

    #[test]
    fn run_until_stops_at_the_condition() {
        let (mut world, a, b) = world(1);
        send(&mut world, a, 2);
        assert!(world.run_until(Duration::from_secs(9), |world| {
            !world.node(b).heard.is_empty()
        }));
        assert_eq!(world.elapsed(), Duration::from_millis(1));
        assert!(
            !world.run_until(Duration::from_secs(9), |world| world.node(b).heard.len()
                > 5)
        );
        assert_eq!(world.elapsed(), Duration::from_millis(9001));
    }
}
