//! coturn: a STUN server and relay (TURN) that others wrote.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use super::folder::Folder;
use super::namespaces::Place;
use super::process::Process;
use super::program::SOON;
use super::{kamailio, ports, until};

/// How many ports it has for peers.
const PEERS: u16 = 40;

/// A running coturn, with the users alice and bob, whose password is that of all test accounts.
pub(crate) struct Coturn {
    process: Process,
    host: Ipv4Addr,
    pub(crate) port: u16,
    /// For TLS, with a certificate for `relay.test` and both loopback addresses.
    pub(crate) tls_port: u16,
    first_peer: u16,
    /// Who vouches for its certificate.
    pub(crate) ca: PathBuf,
}

impl Coturn {
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_with(folder, None, Ipv4Addr::LOCALHOST)
    }

    /// One in another network, which listens at `host` there.
    pub(crate) fn start_at(place: &Place, host: Ipv4Addr, folder: &Folder) -> Self {
        Self::start_with(folder, Some(place), host)
    }

    fn start_with(folder: &Folder, place: Option<&Place>, host: Ipv4Addr) -> Self {
        let (port, tls_port, first_peer) = (ports::free(), ports::free(), ports::free_run(PEERS));
        let run = folder.inner("coturn");
        let ca = kamailio::certificates(&run);
        let folder_of = run.display();
        let settings = format!(
            "listening-ip={host}\nrelay-ip={host}\nlistening-port={port}\ntls-listening-port={tls_port}\n\
             min-port={first_peer}\nmax-port={}\nlt-cred-mech\nuser=alice:secret\nuser=bob:secret\nrealm=relay.test\n\
             cert={folder_of}/server.pem\npkey={folder_of}/server.key\nuserdb={folder_of}/users\n\
             pidfile={folder_of}/pid\nlog-file=stdout\nsimple-log\nverbose\nno-cli\ncli-password=secret\n\
             allow-loopback-peers\nno-multicast-peers\nno-dtls\n",
            first_peer + PEERS - 1
        );
        let path = run.join("turnserver.conf");
        fs::write(&path, settings).expect("settings can be written");
        let mut command = Command::new("turnserver");
        command.arg("-c").arg(&path);
        if let Some(place) = place {
            command = place.command(&command);
        }
        let mut process = Process::start("coturn", folder, &mut command);
        until("coturn to listen", SOON, || {
            process.assert_alive();
            let listens = match place {
                Some(place) => place.is_taken(port),
                None => TcpStream::connect((host, tls_port)).is_ok(),
            };
            listens.then_some(())
        });
        Self {
            process,
            host,
            port,
            tls_port,
            first_peer,
            ca,
        }
    }

    /// How an account names it, by `udp`, `tcp` or `tls`.
    pub(crate) fn uri(&self, carrier: &str) -> String {
        let Self {
            host,
            port,
            tls_port,
            ..
        } = self;
        match carrier {
            "tls" => format!("turns:{host}:{tls_port}"),
            carrier => format!("turn:{host}:{port}?transport={carrier}"),
        }
    }

    /// Whether this is an address that it gives away.
    pub(crate) fn gives(&self, address: &str) -> bool {
        let address = address.parse::<SocketAddr>();
        let peers = self.first_peer..self.first_peer + PEERS;
        address.is_ok_and(|at| at.ip() == self.host && peers.contains(&at.port()))
    }

    /// How many addresses it has given away so far, and how many of them it got back. A request that came twice, or was sent
    /// again since its answer was lost, is said twice, of the same session.
    pub(crate) fn given_and_back(&self) -> [usize; 2] {
        let log = self.log();
        let session =
            |line: &str| Some(line.split_once("session ")?.1.split_once(':')?.0.to_owned());
        ["ALLOCATE processed, success", "lifetime=0"].map(|step| {
            let lines = log.lines().filter(|line| line.contains(step));
            lines.filter_map(session).collect::<BTreeSet<_>>().len()
        })
    }

    /// How many addresses it has given away and did not get back.
    pub(crate) fn open(&self) -> usize {
        let [given, back] = self.given_and_back();
        given.saturating_sub(back)
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}
