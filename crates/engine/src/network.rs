//! Notices when the machine comes to another network, loses it or gets it back, and when it slept.
//!
//! ```text
//! route socket (Linux) ──┐
//!                        ├─▶ settle ─▶ look at addresses, ways and clocks ─▶ Moved ─▶ every tenant
//! once a second ─────────┘
//! ```
//!
//! What counts is found by looking, each time anew: the addresses of the interfaces, and the
//! addresses that the system would send from. The route socket only says that a look is due, so a
//! platform without one is a second slower and misses nothing. Whoever speaks over a path decides by
//! [`Mooring`] whether a change is any of its business: a new address on an interface that it does
//! not use is not.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::time::SystemTime;
use std::time::{Duration, Instant};

use sip_core::Path;
use tokio::time::MissedTickBehavior;

/// How often is looked without having been told.
const TICK: Duration = Duration::from_secs(1);
/// A change comes in several steps (address, route, another address): so long nothing more may come.
const SETTLE: Duration = Duration::from_millis(150);
/// How many steps are waited for at most.
const STEPS: u32 = 6;
/// Who was not run for so long slept, or was stopped: a busy machine is not that late.
const SLEPT: Duration = Duration::from_secs(5);
/// Places far away: documentation prefixes (RFC 5737, RFC 3849). Nothing is ever sent there; the
/// routing table is asked where it would leave.
const FAR: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    SocketAddr::new(
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        9,
    ),
];

/// What has changed about the machine's place in the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// How long the program was not run: the machine slept, or we were stopped.
    pub(crate) slept: Option<Duration>,
    /// Addresses that the machine has no more.
    pub(crate) gone: BTreeSet<IpAddr>,
    /// Addresses that it did not have.
    pub(crate) new: BTreeSet<IpAddr>,
    /// The addresses that packets to far away leave from now, one a family.
    pub(crate) ways: Vec<IpAddr>,
}

impl fmt::Display for Moved {
    /// A sentence for the record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |addresses: &BTreeSet<IpAddr>| {
            let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            texts.join(" and ")
        };
        let mut parts = Vec::new();
        if let Some(slept) = self.slept {
            parts.push(format!("the program was not run for {} s", slept.as_secs()));
        }
        if !self.gone.is_empty() {
            parts.push(format!("{} is gone", listed(&self.gone)));
        }
        if !self.new.is_empty() {
            parts.push(format!("{} is new", listed(&self.new)));
        }
        match self.ways.as_slice() {
            [] => parts.push("no way leads out".to_owned()),
            ways => parts.push(format!(
                "the way out is from {}",
                listed(&ways.iter().copied().collect())
            )),
        }
        write!(f, "the network: {}", parts.join(", "))
    }
}

/// What a change means for whoever speaks over a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drift {
    /// Nothing: the path is as it was.
    Moored,
    /// No way leads to the peer at the moment.
    Adrift,
    /// The path may lead there from elsewhere or through other routers than before: what is known
    /// about us at its other end has to be said anew.
    Ashore,
}

/// Follows one path through the changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mooring {
    adrift: bool,
}

impl Mooring {
    /// What `moved` means for `path`. `bind` is the address that its owner insists on, if it does.
    pub(crate) fn on_moved(&mut self, moved: &Moved, path: &Path, bind: Option<IpAddr>) -> Drift {
        self.judge(moved, path.local.ip(), source_of(path.remote, bind).ok())
    }

    /// The rule, for a path that left from `was` and now leaves from `is`.
    fn judge(&mut self, moved: &Moved, was: IpAddr, is: Option<IpAddr>) -> Drift {
        let Some(is) = is else {
            self.adrift = true;
            return Drift::Adrift;
        };
        let was_adrift = std::mem::take(&mut self.adrift);
        // An address that is gone and back within one look counts as gone.
        let changed = is != was || moved.gone.contains(&was) || moved.new.contains(&was);
        // A router in between may have forgotten us in our sleep; one inside this machine has not.
        let slept = moved.slept.is_some() && !is.is_loopback();
        if was_adrift || changed || slept {
            Drift::Ashore
        } else {
            Drift::Moored
        }
    }
}

/// The address that a packet to `remote` leaves from, found by connecting a socket that never
/// sends; with `bind`, whether it can leave from there.
pub(crate) fn source_of(remote: SocketAddr, bind: Option<IpAddr>) -> io::Result<IpAddr> {
    let any = if remote.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let from = bind.filter(|ip| ip.is_ipv4() == remote.is_ipv4());
    let socket = UdpSocket::bind((from.unwrap_or(any), 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// The addresses of this machine from which media may go (RFC 8445 §5.1.1.1), the likelier ones first: that of the way
/// out of each family, then in the order of the interfaces. Loopback and link-local addresses lead nowhere; of several
/// IPv6 addresses of one interface in one network, one is enough.
pub(crate) fn media_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let found: Vec<(String, IpAddr)> = interfaces
        .into_iter()
        .map(|interface| {
            let ip = interface.ip();
            (interface.name, ip)
        })
        .collect();
    let ways = FAR.iter().filter_map(|far| source_of(*far, None).ok());
    let ways: Vec<IpAddr> = ways.collect();
    chosen(&found, &ways, &marks())
}

/// What the system says about an IPv6 address besides that it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    /// Nothing new is to be begun from it, or nothing yet (RFC 4862 §2).
    unready: bool,
    /// It changes from day to day, so that nobody can be followed by it (RFC 8981).
    temporary: bool,
}

fn chosen(
    found: &[(String, IpAddr)],
    ways: &[IpAddr],
    marks: &HashMap<IpAddr, Mark>,
) -> Vec<IpAddr> {
    let mark = |ip: &IpAddr| marks.get(ip).copied().unwrap_or_default();
    let mut all: Vec<&(String, IpAddr)> = found
        .iter()
        .filter(|(_, ip)| is_of_use(ip) && !is_out_of_use(ip) && !mark(ip).unready)
        .collect();
    // RFC 8445 §5.1.1.1: who has an address by which nobody can be followed does not tell the other one.
    all.sort_by_key(|(_, ip)| (!ways.contains(ip), !mark(ip).temporary));
    let mut networks: Vec<(&str, [u16; 4])> = Vec::new();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (interface, ip) in all {
        if let IpAddr::V6(v6) = ip {
            let [a, b, c, d, ..] = v6.segments();
            let network = (interface.as_str(), [a, b, c, d]);
            if networks.contains(&network) {
                continue;
            }
            networks.push(network);
        }
        if !addresses.contains(ip) {
            addresses.push(*ip);
        }
    }
    // The sort has brought temporary ones forward; among the rest the order of the interfaces counts.
    let place = |ip: &IpAddr| found.iter().position(|(_, other)| other == ip);
    addresses.sort_by_key(|ip| (!ways.contains(ip), place(ip)));
    addresses
}

/// IPv6 addresses of a kind that is not used any more (RFC 8445 §5.1.1.1): those that stand for IPv4 ones, and site-local
/// ones.
fn is_out_of_use(ip: &IpAddr) -> bool {
    let IpAddr::V6(ip) = ip else { return false };
    let is_site_local = ip.segments()[0] & 0xffc0 == 0xfec0;
    is_site_local || ip.to_ipv4().is_some()
}

/// By `if_inet6` of proc(5): address, number, length of the prefix, scope, flags, name.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn marks() -> HashMap<IpAddr, Mark> {
    read_marks(&std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default())
}

/// Other systems tell it in other ways; there all addresses are as good as any.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn marks() -> HashMap<IpAddr, Mark> {
    HashMap::new()
}

#[cfg(any(target_os = "linux", target_os = "android", test))]
fn read_marks(text: &str) -> HashMap<IpAddr, Mark> {
    const TEMPORARY: u8 = 0x01;
    const DUPLICATE: u8 = 0x08;
    const DEPRECATED: u8 = 0x20;
    const TENTATIVE: u8 = 0x40;
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u8::from_str_radix(words.nth(3)?, 16).ok()?;
        let mark = Mark {
            unready: flags & (DUPLICATE | DEPRECATED | TENTATIVE) != 0,
            temporary: flags & TEMPORARY != 0,
        };
        Some((IpAddr::V6(address.into()), mark))
    };
    text.lines().filter_map(read).collect()
}

/// Looks for changes until `tell` says that nobody listens any more.
pub(crate) async fn watch(tell: impl Fn(Arc<Moved>) -> bool) {
    let mut hints = Hints::open();
    let mut place = Place::look();
    let mut clocks = Clocks::read();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let hinted = tokio::select! {
            _ = tick.tick() => false,
            () = hints.next() => true,
        };
        if hinted || Place::look() != place {
            settle(&mut hints).await;
        }
        let read = Clocks::read();
        let slept = read.slept_since(&clocks);
        clocks = read;
        let found = Place::look();
        if let Some(moved) = found.after(&place, slept)
            && !tell(Arc::new(moved))
        {
            return;
        }
        place = found;
    }
}

/// Waits until nothing more is heard of a change.
async fn settle(hints: &mut Hints) {
    for _ in 0..STEPS {
        if tokio::time::timeout(SETTLE, hints.next()).await.is_err() {
            return;
        }
    }
}

/// Where the machine is in the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    addresses: BTreeSet<IpAddr>,
    ways: Vec<IpAddr>,
}

impl Place {
    fn look() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let addresses = interfaces
            .iter()
            .map(if_addrs::Interface::ip)
            .filter(is_of_use);
        let ways = FAR.iter().filter_map(|far| source_of(*far, None).ok());
        Self {
            addresses: addresses.collect(),
            ways: ways.filter(is_of_use).collect(),
        }
    }

    /// What has changed since `before`, if anything has.
    fn after(&self, before: &Self, slept: Option<Duration>) -> Option<Moved> {
        if self == before && slept.is_none() {
            return None;
        }
        Some(Moved {
            slept,
            gone: &before.addresses - &self.addresses,
            new: &self.addresses - &before.addresses,
            ways: self.ways.clone(),
        })
    }
}

/// Whether packets to elsewhere can come from there.
fn is_of_use(ip: &IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_loopback() && !ip.is_unspecified() && !is_link_local
}

/// Two clocks: one that goes on while the machine sleeps, and the one of the runtime's timers, which
/// may not.
struct Clocks {
    awake: Instant,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    always: Duration,
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    always: SystemTime,
}

impl Clocks {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn read() -> Self {
        use nix::time::{ClockId, clock_gettime};
        // Kernels before 2.6.39 do not have it: there a sleep shows in nothing.
        let always = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        Self {
            awake: Instant::now(),
            always,
        }
    }

    /// The wall clock stands in for one that nobody can set: who sets it forward is taken to have
    /// slept, and signs in once more.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn read() -> Self {
        Self {
            awake: Instant::now(),
            always: SystemTime::now(),
        }
    }

    /// How much longer than one tick it was since `before`, when it was much longer.
    fn slept_since(&self, before: &Self) -> Option<Duration> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let always = self.always.saturating_sub(before.always);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let always = self
            .always
            .duration_since(before.always)
            .unwrap_or_default();
        let awake = self.awake.saturating_duration_since(before.awake);
        let passed = always.max(awake).saturating_sub(TICK);
        (passed >= SLEPT).then_some(passed)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod hints {
    use std::io;
    use std::os::fd::AsRawFd;

    use nix::libc;
    use nix::sys::socket::{
        AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
    };
    use tokio::net::UdpSocket;

    /// Links, addresses and routes of both families (rtnetlink(7)).
    const GROUPS: i32 = libc::RTMGRP_LINK
        | libc::RTMGRP_IPV4_IFADDR
        | libc::RTMGRP_IPV4_ROUTE
        | libc::RTMGRP_IPV6_IFADDR
        | libc::RTMGRP_IPV6_ROUTE;
    /// Messages read in one go.
    const MANY: u32 = 64;

    /// The kernel's word that something has changed. What, is found by looking.
    ///
    /// It is no UDP socket. Reading and waiting are the same for every kind, and nothing else is done
    /// with it.
    pub(super) struct Hints(Option<UdpSocket>);

    impl Hints {
        /// Where no such socket is to be had, the tick has to do.
        pub(super) fn open() -> Self {
            let open = || {
                let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
                let kind = SockProtocol::NetlinkRoute;
                let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, kind).ok()?;
                let groups = NetlinkAddr::new(0, GROUPS.unsigned_abs());
                bind(socket.as_raw_fd(), &groups).ok()?;
                UdpSocket::from_std(std::net::UdpSocket::from(socket)).ok()
            };
            Self(open())
        }

        /// Comes back when something has changed.
        pub(super) async fn next(&mut self) {
            let Some(socket) = &self.0 else {
                return std::future::pending().await;
            };
            if socket.readable().await.is_err() {
                self.0 = None;
                return;
            }
            let mut message = [0; 8 * 1024];
            for _ in 0..MANY {
                match socket.try_recv(&mut message) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    // An overflow is an error with more behind it, and a change as well.
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod hints {
    /// Nobody tells us here: the tick has to do.
    pub(super) struct Hints;

    impl Hints {
        pub(super) fn open() -> Self {
            Self
        }

        pub(super) async fn next(&mut self) {
            std::future::pending().await
        }
    }
}

use self::hints::Hints;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn place(addresses: &[&str], ways: &[&str]) -> Place {
        Place {
            addresses: addresses.iter().map(|a| ip(a)).collect(),
            ways: ways.iter().map(|a| ip(a)).collect(),
        }
    }

    #[test]
    fn a_change_names_what_is_gone_and_what_is_new() {
        let before = place(&["10.0.0.2", "fd00::2"], &["10.0.0.2"]);
        assert_eq!(before.after(&before.clone(), None), None);

        let after = place(&["10.0.0.7", "fd00::2"], &["10.0.0.7"]);
        let moved = after.after(&before, None).expect("it differs");
        assert_eq!(
            moved.to_string(),
            "the network: 10.0.0.2 is gone, 10.0.0.7 is new, the way out is from 10.0.0.7"
        );
        let lost = place(&[], &[]).after(&after, None).expect("it differs");
        assert_eq!(
            lost.to_string(),
            "the network: 10.0.0.7 and fd00::2 is gone, no way leads out"
        );
        let slept = before.after(&before.clone(), Some(Duration::from_secs(60)));
        assert_eq!(
            slept.expect("a sleep is news").to_string(),
            "the network: the program was not run for 60 s, the way out is from 10.0.0.2"
        );
    }

    #[test]
    fn a_path_that_left_from_where_we_are_not_any_more_is_made_anew() {
        let (old, new) = (ip("10.0.0.2"), ip("10.0.0.7"));
        let moved = Moved {
            gone: [old].into(),
            new: [new].into(),
            ..Moved::default()
        };
        let judge = |was, is| Mooring::default().judge(&moved, was, is);
        assert_eq!(judge(old, Some(new)), Drift::Ashore);
        assert_eq!(judge(old, None), Drift::Adrift);
        // On another interface, where nothing changed.
        let other = ip("172.16.0.1");
        assert_eq!(judge(other, Some(other)), Drift::Moored);
    }

    #[test]
    fn a_path_that_was_lost_is_made_anew_when_a_way_leads_there_again() {
        let here = ip("10.0.0.2");
        let mut mooring = Mooring::default();
        let moved = Moved::default();
        assert_eq!(mooring.judge(&moved, here, None), Drift::Adrift);
        assert_eq!(mooring.judge(&moved, here, None), Drift::Adrift);
        assert_eq!(mooring.judge(&moved, here, Some(here)), Drift::Ashore);
        assert_eq!(mooring.judge(&moved, here, Some(here)), Drift::Moored);
    }

    #[test]
    fn after_a_sleep_every_path_out_of_the_machine_is_made_anew() {
        let (here, inside) = (ip("10.0.0.2"), ip("127.0.0.1"));
        let moved = Moved {
            slept: Some(Duration::from_secs(60)),
            ..Moved::default()
        };
        let judge = |was| Mooring::default().judge(&moved, was, Some(was));
        assert_eq!(judge(here), Drift::Ashore);
        assert_eq!(judge(inside), Drift::Moored);
    }

    #[test]
    fn a_tick_that_is_late_is_no_sleep_and_a_minute_is_one() {
        let before = Clocks::read();
        let later = |passed: Duration| Clocks {
            awake: before.awake + passed,
            always: before.always,
        };
        assert_eq!(later(Duration::from_secs(4)).slept_since(&before), None);
        let minute = later(Duration::from_secs(61)).slept_since(&before);
        assert_eq!(minute, Some(Duration::from_secs(60)));
    }

    #[test]
    fn this_machine_reaches_itself_from_itself() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
        let from = source_of(here, None).expect("there is a loopback");
        assert_eq!(from, ip("127.0.0.1"));
    }

    /// RFC 8445 §5.1.1.1: which addresses may carry media, and in which order.
    #[test]
    fn media_may_leave_from_every_address_that_leads_somewhere_once_a_network() {
        let found = [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("docker0", "172.17.0.1"),
            ("eth0", "192.0.2.7"),
            ("eth0", "169.254.3.4"),
            ("eth0", "fe80::7"),
            ("eth0", "2001:db8:1::7"),
            ("eth0", "2001:db8:1::8888"),
            ("eth0", "2001:db8:9::7"),
            ("wlan0", "2001:db8:1::9"),
            ("wlan0", "fec0::1"),
            ("wlan0", "::ffff:192.0.2.9"),
            ("wlan0", "198.51.100.7"),
        ];
        let found = found.map(|(name, text)| (name.to_owned(), ip(text)));
        let flags = "\
            20010db8000100000000000000008888 02 40 00 01     eth0\n\
            20010db8000100000000000000000007 02 40 00 80     eth0\n\
            20010db8000900000000000000000007 02 40 00 a0     eth0\n\
            broken\n\
            20010db8 02\n";
        let ways = [ip("198.51.100.7"), ip("2001:db8:1::9")];
        let all = chosen(&found, &ways, &read_marks(flags));
        // That of the way out of each family first; of one interface's network the one that nobody is followed by; none
        // that is on its way out.
        let wanted = [
            "2001:db8:1::9",
            "198.51.100.7",
            "172.17.0.1",
            "192.0.2.7",
            "2001:db8:1::8888",
        ];
        assert_eq!(all, wanted.map(ip));
        // The system's own choice for far away goes before that.
        let ways = [ip("2001:db8:1::7")];
        let all = chosen(&found, &ways, &read_marks(flags));
        assert!(all.contains(&ip("2001:db8:1::7")) && !all.contains(&ip("2001:db8:1::8888")));
        assert!(chosen(&[], &[], &HashMap::new()).is_empty());
    }
}
