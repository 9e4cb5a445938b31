//! A network in namespaces of the kernel: a phone behind a router that translates addresses, and servers
//! beyond it.
//!
//! ```text
//! ┌ phone ─────────────┐   ┌ router ──────────────────────────────┐   ┌ far ─────────────┐
//! │ 10.77.0.2 ── inside│───│ 10.77.0.1  masquerade  198.51.100.2 ─│───│ 198.51.100.1     │
//! └────────────────────┘   └──────────────────────────────────────┘   └──────────────────┘
//! ```
//!
//! A second phone may be behind a second router, which is on the other side of the servers: `far` has 203.0.113.1 there,
//! and carries what is for others. Between each router and `far` there is a bad [`Wire`] then.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(target_os = "linux")]
use testkit::Counts;

use super::process;
#[cfg(target_os = "linux")]
use super::wire::Wire;

/// Where the servers are.
pub(crate) const FAR: &str = "198.51.100.1";
/// Where the phone seems to be, seen from there.
pub(crate) const OUTSIDE: &str = "198.51.100.2";
/// Where the phone is at first.
pub(crate) const PHONE: &str = "10.77.0.2";
/// And where, if there is no router between it and the servers.
pub(crate) const BESIDE: &str = "198.51.100.3";

static MADE: AtomicU32 = AtomicU32::new(0);

/// How routers choose the port at which the world sees a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports {
    /// The same one for whomever the socket writes to: a hole for one is one that others can find.
    Kept,
    /// Another one for each, so that nobody can be told of it: only a relay helps.
    Drawn,
}

/// Which addresses there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Families {
    Four,
    Six,
    Both,
}

/// What carries no media between two networks, while signalling passes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// The first network.
    First,
    /// IPv4, in both.
    Four,
    /// IPv6, in both.
    Six,
}

/// Namespaces, gone with this.
pub(crate) struct Network {
    name: String,
    places: Vec<&'static str>,
    #[cfg(target_os = "linux")]
    wires: Vec<Wire>,
}

/// One of the namespaces, for whoever is to run there.
#[derive(Clone)]
pub(crate) struct Place(String);

impl Network {
    pub(crate) fn new() -> Self {
        let mut network = Self::empty();
        network.first_half("masquerade", |network| {
            network.link("router", "outside", "far", "inside");
        });
        network
    }

    /// A phone beside the servers, without a router.
    pub(crate) fn without_router() -> Self {
        let mut network = Self::empty();
        network.add("phone");
        network.add("far");
        network.link("phone", "inside", "far", "inside");
        network.ip("phone", &format!("addr add {BESIDE}/24 dev inside"));
        network.ip("far", &format!("addr add {FAR}/24 dev inside"));
        network
    }

    /// Two phones behind a router each, and between each router and the servers a wire whose luck is drawn from `seed`.
    #[cfg(target_os = "linux")]
    pub(crate) fn with_two_routers(ports: Ports, seed: u64) -> Self {
        let rule = match ports {
            Ports::Kept => "masquerade",
            Ports::Drawn => "masquerade fully-random",
        };
        let mut network = Self::empty();
        network.add("wire");
        // It is to say nothing of its own.
        let silent = ["all", "default"].map(|of| format!("net.ipv6.conf.{of}.disable_ipv6=1"));
        for setting in &silent {
            network.run("wire", "sysctl", &["-q", "-w", setting]);
        }
        network.first_half(rule, |network| {
            network.link_by_wire("router", "inside", seed);
        });
        network.add("phone2");
        network.add("router2");
        network.link("phone2", "inside", "router2", "near");
        network.link_by_wire("router2", "second", seed + 1);
        network.ip("phone2", "addr add 10.88.0.2/24 dev inside");
        network.ip("router2", "addr add 10.88.0.1/24 dev near");
        network.ip("router2", "addr add 203.0.113.2/24 dev outside");
        network.ip("far", "addr add 203.0.113.1/24 dev second");
        network.ip("phone2", "route add default via 10.88.0.1");
        network.ip("router2", "route add default via 203.0.113.1");
        network.ip("router", &format!("route add default via {FAR}"));
        network.make_router("router2", rule);
        network.run("far", "sysctl", &["-q", "-w", "net.ipv4.ip_forward=1"]);
        // As on the Internet, a datagram to a private address goes out and nowhere.
        network.ip("far", &format!("route add 10.0.0.0/8 via {OUTSIDE}"));
        network
    }

    /// Two phones that are both in two networks: 192.0.2.0/24 with 2001:db8:1::/64, and 198.51.100.0/24 with
    /// 2001:db8:2::/64. The first phone is 1 in each, the second one 2. Media has the usual
    /// ports of the program, from 16384 to 32767.
    pub(crate) fn with_two_networks(families: Families, broken: Broken) -> Self {
        let mut network = Self::empty();
        let phones = ["phone", "phone2"];
        phones.into_iter().for_each(|phone| network.add(phone));
        for (end, four, six) in [
            ("first", "192.0.2", "2001:db8:1::"),
            ("second", "198.51.100", "2001:db8:2::"),
        ] {
            network.link("phone", end, "phone2", end);
            for (phone, number) in phones.into_iter().zip(1..) {
                if families != Families::Six {
                    network.ip(phone, &format!("addr add {four}.{number}/24 dev {end}"));
                }
                if families != Families::Four {
                    network.ip(phone, &format!("addr add {six}{number}/64 dev {end} nodad"));
                }
            }
        }
        let rule = match broken {
            Broken::Nothing => return network,
            Broken::First => "iifname first",
            Broken::Four => "meta nfproto ipv4",
            Broken::Six => "meta nfproto ipv6",
        };
        let rules = format!(
            "add table inet bad; add chain inet bad in {{ type filter hook prerouting priority 0; }}; \
             add rule inet bad in {rule} udp dport 16384-32767 drop"
        );
        phones
            .into_iter()
            .for_each(|phone| network.run(phone, "nft", &[&rules]));
        network
    }

    fn empty() -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("tipring-{}-{number}", std::process::id()),
            places: Vec::new(),
            #[cfg(target_os = "linux")]
            wires: Vec::new(),
        }
    }

    fn add(&mut self, place: &'static str) {
        let made = Command::new("ip")
            .args(["netns", "add", &self.place(place).0])
            .output();
        let made = made.unwrap_or_else(|error| panic!("ip can not be started ({error}): this test needs it; `cargo xtask setup test` installs it"));
        assert!(
            made.status.success(),
            "network namespaces can not be made here, and this test needs them: run it as root, in a container with \
             the capabilities NET_ADMIN and SYS_ADMIN ({})",
            String::from_utf8_lossy(&made.stderr).trim()
        );
        self.places.push(place);
        self.ip(place, "link set lo up");
    }

    /// The phone, its router with this rule of translation, and the servers, which somebody has to join.
    fn first_half(&mut self, rule: &str, join: impl FnOnce(&mut Self)) {
        let (phone, router, far) = ("phone", "router", "far");
        for place in [phone, router, far] {
            self.add(place);
        }
        let network = self;
        network.link(phone, "inside", router, "near");
        join(network);
        network.ip(phone, &format!("addr add {PHONE}/24 dev inside"));
        network.ip(router, "addr add 10.77.0.1/24 dev near");
        network.ip(router, &format!("addr add {OUTSIDE}/24 dev outside"));
        network.ip(far, &format!("addr add {FAR}/24 dev inside"));
        network.route_back();
        network.make_router(router, rule);
    }

    fn make_router(&self, router: &str, rule: &str) {
        // A home router's patience, so that it forgets whoever is silent for half a minute.
        for setting in [
            "net.ipv4.ip_forward=1",
            "net.netfilter.nf_conntrack_udp_timeout=15",
            "net.netfilter.nf_conntrack_udp_timeout_stream=30",
        ] {
            self.run(router, "sysctl", &["-q", "-w", setting]);
        }
        // What nobody asked for is dropped and not remembered.
        let rules = format!(
            "add table ip nat; add chain ip nat out {{ type nat hook postrouting priority 100; }}; \
             add rule ip nat out oifname outside {rule}; \
             add chain ip nat in {{ type filter hook input priority 0; }}; \
             add rule ip nat in iifname outside ct state new drop; \
             add chain ip nat through {{ type filter hook forward priority 0; }}; \
             add rule ip nat through iifname outside ct state new drop"
        );
        self.run(router, "nft", &[&rules]);
    }

    pub(crate) fn phone(&self) -> Place {
        self.place("phone")
    }

    /// Behind the second router.
    pub(crate) fn second_phone(&self) -> Place {
        self.place("phone2")
    }

    pub(crate) fn far(&self) -> Place {
        self.place("far")
    }

    /// The phone's interface has another address at once, as when it comes to another network.
    pub(crate) fn change_address(&self, from: &str, to: &str) {
        self.ip("phone", &format!("addr del {from}/24 dev inside"));
        self.ip("phone", &format!("addr add {to}/24 dev inside"));
        self.route_back();
    }

    /// The phone's interface has no such address any more.
    pub(crate) fn take_address(&self, address: &str) {
        self.ip("phone", &format!("addr del {address}/24 dev inside"));
    }

    /// It has this one from now on.
    pub(crate) fn give_address(&self, address: &str) {
        self.ip("phone", &format!("addr add {address}/24 dev inside"));
    }

    /// What belongs to the connection that the servers see come from this port is dropped without a word, both ways. Others
    /// pass.
    pub(crate) fn forget_connection(&self, port: u16) {
        let rules = format!(
            "add table inet forgotten; \
             add chain inet forgotten in {{ type filter hook input priority 0; }}; \
             add rule inet forgotten in tcp sport {port} drop; \
             add chain inet forgotten out {{ type filter hook output priority 0; }}; \
             add rule inet forgotten out tcp dport {port} drop"
        );
        self.run("far", "nft", &[&rules]);
    }

    /// No way leads out of the phone any more.
    pub(crate) fn route_away(&self) {
        self.ip("phone", "route del default");
    }

    /// It leads out again.
    pub(crate) fn route_back(&self) {
        self.ip("phone", "route replace default via 10.77.0.1");
    }

    fn place(&self, place: &str) -> Place {
        Place(format!("{}-{place}", self.name))
    }

    fn link(&self, a: &str, a_end: &str, b: &str, b_end: &str) {
        let (a_place, b_place) = (self.place(a).0, self.place(b).0);
        let line =
            format!("link add {a_end} netns {a_place} type veth peer name {b_end} netns {b_place}");
        process::output(Command::new("ip").args(line.split(' ')));
        self.ip(a, &format!("link set {a_end} up"));
        self.ip(b, &format!("link set {b_end} up"));
    }

    /// Joins the outside of a router to this end of the servers. The wire's ends are called like what they lead to.
    #[cfg(target_os = "linux")]
    fn link_by_wire(&mut self, router: &'static str, far_end: &'static str, seed: u64) {
        self.link(router, "outside", "wire", router);
        self.link("far", far_end, "wire", far_end);
        for (place, end) in [(router, "outside"), ("far", far_end)] {
            // A frame is not to be larger than a cable takes.
            self.ip(place, &format!("link set {end} gso_max_segs 1"));
        }
        let wire = Wire::start(&self.place("wire").0, [router, far_end], seed);
        self.wires.push(wire);
    }

    /// What has become of what went between the routers and the servers.
    #[cfg(target_os = "linux")]
    pub(crate) fn counts(&self) -> Counts {
        let all = self.wires.iter().map(Wire::counts);
        all.fold(Counts::default(), std::ops::Add::add)
    }

    fn ip(&self, place: &str, line: &str) {
        let mut command = Command::new("ip");
        command.args(["-n", &self.place(place).0]);
        process::output(command.args(line.split(' ')));
    }

    fn run(&self, place: &str, program: &str, args: &[&str]) {
        let mut command = Command::new(program);
        with_sbin(command.args(args));
        process::output(&mut self.place(place).command(&command));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        self.wires.clear();
        for place in &self.places {
            // One that is gone already is gone.
            let _ = Command::new("ip")
                .args(["netns", "del", &self.place(place).0])
                .output();
        }
    }
}

impl Place {
    /// The same command, to be run there. Its process has the id of the one that is started.
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.0]);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    /// Whether somebody there has this UDP port.
    pub(crate) fn is_taken(&self, port: u16) -> bool {
        let mut command = Command::new("ss");
        command.args(["-Hlun", &format!("sport = :{port}")]);
        !process::output(with_sbin(&mut self.command(&command)))
            .trim()
            .is_empty()
    }
}

/// Debian has these programs where only root looks.
fn with_sbin(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"))
}
