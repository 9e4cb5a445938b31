//! Where the world sees a media socket: asked of a STUN server before the socket is told to anybody (RFC 8489), and of a
//! relay where there is one to be used ([`crate::relay`]).

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::relay::{Asking, Relay};
use crate::transport::Resolver;
use model::AccountId;
use nat::stun::{Binding, TransactionId};
use sip_core::locate::{Families, Kind, NextHop, Target};
use sip_core::{ResolveError, Transport};
use sip_message::Host;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Servers of one name that are tried before a call does without.
pub(crate) const MOST_SERVERS: usize = 3;

/// A person waits for the call to begin: a server that does not answer within this is done without.
const PATIENCE: Duration = Duration::from_millis(1_000);

/// When the question is asked again. RFC 8489 §6.2.1 begins with 500 ms, for want of knowing how long a call may wait.
const AGAIN: Duration = Duration::from_millis(250);

/// Room for any answer; longer ones are none.
const LONGEST: usize = 1_500;

/// A server as a person writes it: `stun:HOST:PORT` (RFC 7064), or the same without the scheme; none for what is neither.
pub(crate) fn server(text: &str) -> Option<Place> {
    let text = text.trim();
    let rest = match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("stun") => rest,
        _ => text,
    };
    place(rest)
}

/// Where a server is, as far as that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

/// Host and port, where one is written.
pub(crate) fn place(text: &str) -> Option<Place> {
    let made = |host: &str, port: Option<&str>| {
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
            None => None,
        };
        let bare = !host.is_empty() && !host.contains(char::is_whitespace);
        let host = bare.then(|| Host::parse(host).ok()).flatten()?;
        Some(Place { host, port })
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port),
            None if port.is_empty() => None,
            None => return None,
        };
        return made(&format!("[{host}]"), port);
    }
    match text.split_once(':') {
        // More than one colon is an IPv6 address without a port.
        Some((_, rest)) if rest.contains(':') => made(&format!("[{text}]"), None),
        Some((host, port)) => made(host, Some(port)),
        None => made(text, None),
    }
}

/// Where the server sees each of these sockets. Of several the next one is asked when one is silent, or does not tell.
///
/// # Errors
/// Why nobody knows, as a sentence's end.
pub(crate) async fn ask(
    sockets: [&UdpSocket; 2],
    server: &str,
    resolver: &Resolver,
) -> Result<[SocketAddr; 2], String> {
    let place = self::server(server).ok_or("the STUN server's address is none")?;
    let local = sockets[0].local_addr().map_err(|error| error.to_string())?;
    let search = Search {
        kind: Kind::Stun,
        place,
        transport: None,
        transports: &[Transport::Udp],
    };
    let found = find(resolver, search, local, PATIENCE, "STUN server").await?;
    let mut left = found.len().min(MOST_SERVERS);
    let mut failures = Failures::new(left);
    for target in found.into_iter().take(MOST_SERVERS) {
        left -= 1;
        // Another one is worth no long wait for this one.
        let patience = if left == 0 { PATIENCE } else { PATIENCE / 2 };
        let until = Instant::now() + patience;
        let (first, second) = tokio::join!(
            ask_one(sockets[0], target.addr, until),
            ask_one(sockets[1], target.addr, until)
        );
        match (first, second) {
            (Ok(first), Ok(second)) => return Ok([first, second]),
            (Err(why), _) | (_, Err(why)) => failures.add(&target, why),
        }
    }
    Err(failures.told())
}

/// Why each of several servers is of no use.
pub(crate) struct Failures {
    alone: bool,
    told: Vec<String>,
}

impl Failures {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            alone: servers < 2,
            told: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, target: &Target, why: String) {
        self.told.push(match self.alone {
            true => why,
            false => format!("{why}, at {} by {}", target.addr, target.transport),
        });
    }

    /// As a sentence's end.
    pub(crate) fn told(self) -> String {
        self.told.join("; ")
    }
}

/// What server is searched for.
pub(crate) struct Search<'a> {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// The way that is written.
    pub(crate) transport: Option<Transport>,
    /// Those that there are.
    pub(crate) transports: &'a [Transport],
}

/// The addresses of a server, of the family of ours, in the order in which to try them (RFC 5928, RFC 8489 §8.1).
pub(crate) async fn find(
    resolver: &Resolver,
    search: Search<'_>,
    local: SocketAddr,
    patience: Duration,
    what: &str,
) -> Result<Vec<Target>, String> {
    let families = match local.is_ipv4() {
        true => Families::V4Only,
        false => Families::V6Only,
    };
    let Search {
        kind,
        place,
        transport,
        transports,
    } = search;
    let is_literal = !matches!(place.host, Host::Name(_));
    let hop = NextHop {
        secure: false,
        host: place.host,
        port: place.port,
        transport,
    };
    let searched = resolver.search_among(kind, families, hop, transports, None);
    let Ok(searched) = timeout(patience, searched).await else {
        return Err(format!("name servers do not say where the {what} is"));
    };
    match searched.result {
        Ok(located) => Ok(located.targets),
        Err(_) if is_literal => Err(format!("the {what} has no address of this family")),
        Err(ResolveError::NoAnswer) => Err(format!("name servers do not say where the {what} is")),
        Err(ResolveError::Unusable(why) | ResolveError::Other(why)) => {
            Err(format!("the {what} is of no use: {why}"))
        }
        Err(ResolveError::NotFound(_)) => Err(format!(
            "the {what}'s name is not known, or has no address of this family"
        )),
    }
}

/// Another handle on the same socket: what comes later is for the stream.
pub(crate) fn handle(socket: &UdpSocket) -> Result<tokio::net::UdpSocket, String> {
    let socket = socket.try_clone().and_then(|socket| {
        socket.set_nonblocking(true)?;
        tokio::net::UdpSocket::from_std(socket)
    });
    socket.map_err(|error| format!("the media socket cannot be asked: {error}"))
}

/// Whom to ask.
#[derive(Clone, Default)]
pub(crate) struct Servers {
    pub(crate) stun: Option<String>,
    pub(crate) relay: Option<Asking>,
}

/// A kind of server that helps media through routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Server {
    Stun,
    Relay,
}

/// How long a server that is of no use is not spoken of again.
const QUIET: Duration = Duration::from_secs(3_600);

/// Most servers whose failure is remembered.
const MOST_FAILING: usize = 1_000;

/// The servers of accounts that were of no use when they were last asked, so that a person is told once and not at each call.
#[derive(Default)]
pub(crate) struct Failing(Mutex<HashMap<(AccountId, Server), Instant>>);

impl Failing {
    /// Whether this is to be told.
    pub(crate) fn is_news(&self, account: AccountId, server: Server, is_of_use: bool) -> bool {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account, server);
        if is_of_use {
            failing.remove(&key);
            return false;
        }
        let now = Instant::now();
        failing.retain(|_, told| now.duration_since(*told) < QUIET);
        if failing.contains_key(&key) || failing.len() >= MOST_FAILING {
            return false;
        }
        failing.insert(key, now);
        true
    }

    /// The account has other settings: what was said of its servers may be true no more.
    pub(crate) fn forget(&self, account: &AccountId) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing.retain(|(other, _), _| other != account);
    }
}

/// The two sockets of one address, for media and for reports.
pub(crate) type Pair = (UdpSocket, UdpSocket);

/// What is known of the places of media sockets besides where they are.
#[derive(Default)]
pub(crate) struct Found {
    /// Where the world sees them.
    pub(crate) mapped: Option<[SocketAddr; 2]>,
    /// Their addresses at a relay.
    pub(crate) relays: [Option<Relay>; 2],
    /// What is to be told about it.
    pub(crate) notes: Vec<String>,
    /// Of each kind of server that was asked, whether it was of use, and else why not.
    pub(crate) served: Vec<(Server, Result<(), String>)>,
}

impl Found {
    /// Whether the relay sees the first socket itself.
    pub(crate) fn relay_sees_media(&self) -> bool {
        let [relay, _] = &self.relays;
        relay.as_ref().is_some_and(Relay::sees_media)
    }

    fn is_served(&mut self, server: Server, note: String) {
        self.notes.push(note);
        self.served.push((server, Ok(())));
    }

    fn is_not_served(&mut self, server: Server, why: String) {
        self.notes.push(why.clone());
        self.served.push((server, Err(why)));
    }
}

/// Asks the STUN server and the relay, of those that there are, from the sockets of each address, all at once. Who does
/// not answer is done without. With `reports` those have an address at the relay, too. What is found out about addresses
/// beside the first is told to nobody: not each of them leads to the server.
pub(crate) async fn look(
    pairs: &[Pair],
    servers: &Servers,
    resolver: &Resolver,
    reports: bool,
) -> Vec<Found> {
    let mut asked = JoinSet::new();
    for (number, (rtp, rtcp)) in pairs.iter().enumerate() {
        let (Ok(rtp), Ok(rtcp)) = (rtp.try_clone(), rtcp.try_clone()) else {
            continue;
        };
        let (servers, resolver) = (servers.clone(), resolver.clone());
        asked.spawn(async move {
            let found = look_from([&rtp, &rtcp], servers, &resolver, reports).await;
            (number, found)
        });
    }
    let mut all: Vec<Found> = pairs.iter().map(|_| Found::default()).collect();
    while let Some(done) = asked.join_next().await {
        let Ok((number, mut found)) = done else {
            continue;
        };
        if number > 0 {
            found.notes.clear();
            found.served.clear();
        }
        if let Some(place) = all.get_mut(number) {
            *place = found;
        }
    }
    all
}

async fn look_from(
    sockets: [&UdpSocket; 2],
    servers: Servers,
    resolver: &Resolver,
    reports: bool,
) -> Found {
    let mut found = Found::default();
    if let Some(server) = servers.stun {
        match ask(sockets, &server, resolver).await {
            Ok(mapped) => {
                found.mapped = Some(mapped);
                found.is_served(
                    Server::Stun,
                    format!("the STUN server sees our media at {}", mapped[0]),
                );
            }
            Err(why) => found.is_not_served(
                Server::Stun,
                format!("where our media is seen is not known: {why}"),
            ),
        }
    }
    if let Some(asking) = servers.relay {
        let second = asking.clone();
        let (first, second) =
            tokio::join!(crate::relay::ask(sockets[0], asking, resolver), async {
                match reports {
                    // A relay that has no more to give leaves the reports without: they are not why people call.
                    true => crate::relay::ask(sockets[1], second, resolver).await.ok(),
                    false => None,
                }
            });
        match first {
            Ok(relay) => {
                let note = format!("the relay gives our media {}", relay.allocation.relayed);
                found.relays = [Some(relay), second];
                found.is_served(Server::Relay, note);
            }
            Err(why) => found.is_not_served(
                Server::Relay,
                format!("there is no relay for our media: {why}"),
            ),
        }
    }
    found
}

async fn ask_one(
    socket: &UdpSocket,
    server: SocketAddr,
    until: Instant,
) -> Result<SocketAddr, String> {
    let socket = handle(socket)?;
    let mut id = [0; 12];
    crate::shared::fill(&mut id);
    let id = TransactionId(id);
    let question = Binding::Request(id).to_bytes();
    let mut buffer = [0; LONGEST];
    while Instant::now() < until {
        // What cannot be sent now may be in a moment.
        let _ = socket.send_to(&question, server).await;
        let again = until.min(Instant::now() + AGAIN);
        while let Ok(received) = timeout_at(again, socket.recv_from(&mut buffer)).await {
            let Ok((length, from)) = received else {
                // Where nobody listens some systems say so at once, and would for each question.
                sleep_until(again).await;
                break;
            };
            // Whoever else has found the port is not asked.
            let answer = buffer.get(..length).and_then(Binding::read);
            match answer.filter(|_| from == server) {
                Some(Binding::Success(answered, Some(mapped))) if answered == id => {
                    return Ok(SocketAddr::new(mapped.ip().to_canonical(), mapped.port()));
                }
                Some(Binding::Success(answered, None) | Binding::Error(answered))
                    if answered == id =>
                {
                    return Err("the STUN server does not tell where it sees us".to_owned());
                }
                _ => {}
            }
        }
    }
    Err("the STUN server does not answer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Naming;
    use sip_core::Seed;

    #[test]
    fn servers_are_read_as_rfc_7064_and_people_write_them() {
        let read = |host: &str, port| {
            let host = Host::parse(host).unwrap();
            Some(Place { host, port })
        };
        for (text, place) in [
            ("stun.example.com", read("stun.example.com", None)),
            ("stun:stun.example.com", read("stun.example.com", None)),
            ("STUN:192.0.2.1:3479", read("192.0.2.1", Some(3479))),
            ("stun:[2001:db8::1]", read("[2001:db8::1]", None)),
            (
                " stun.example.com:19302 ",
                read("stun.example.com", Some(19302)),
            ),
            ("192.0.2.1:3479", read("192.0.2.1", Some(3479))),
            ("2001:db8::1", read("[2001:db8::1]", None)),
            ("[2001:db8::1]", read("[2001:db8::1]", None)),
            ("[2001:db8::1]:9", read("[2001:db8::1]", Some(9))),
            ("", None),
            ("stun:", None),
            (":3478", None),
            ("a b", None),
            ("host:port", None),
            ("host:0", None),
            ("host:99999", None),
            ("[::1]x", None),
        ] {
            assert_eq!(server(text), place, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_each_call_is_spoken_of_once_an_hour_and_anew_when_it_had_served() {
        let failing = Failing::default();
        let (one, two) = (AccountId::new("one"), AccountId::new("two"));
        let fails = |account: &AccountId, server| failing.is_news(account.clone(), server, false);
        assert!(fails(&one, Server::Stun));
        assert!(!fails(&one, Server::Stun));
        assert!(fails(&one, Server::Relay) && fails(&two, Server::Stun));
        assert!(!failing.is_news(one.clone(), Server::Stun, true));
        assert!(fails(&one, Server::Stun));
        failing.forget(&one);
        assert!(fails(&one, Server::Stun) && !fails(&two, Server::Stun));
        tokio::time::advance(QUIET).await;
        assert!(fails(&one, Server::Stun) && fails(&two, Server::Stun));
    }

    #[tokio::test]
    async fn a_server_that_is_silent_or_others_who_answer_are_done_without() {
        let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (one, two, silent, liar) = (bind(), bind(), bind(), bind());
        let to = one.local_addr().unwrap();
        // It answers before it is asked, and is not the one that is asked.
        let lie = Binding::Success(TransactionId([0; 12]), "198.51.100.9:1".parse().ok());
        liar.send_to(&lie.to_bytes(), to).unwrap();
        let server = silent.local_addr().unwrap().to_string();
        let resolver = Resolver::new(&Naming::default(), &Seed::from_number(1));
        let said = ask([&one, &two], &server, &resolver).await;
        assert_eq!(said, Err("the STUN server does not answer".to_owned()));
    }

    /// RFC 2782, RFC 8489 §8.1: the next server of the name is asked when one is silent.
    #[tokio::test]
    async fn the_next_server_of_a_name_is_asked_and_each_failure_says_where() {
        let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (one, two, silent) = (bind(), bind(), bind());
        let second = "127.0.0.2:0".parse::<SocketAddr>().unwrap();
        let port = silent.local_addr().unwrap().port();
        let answers = tokio::net::UdpSocket::bind((second.ip(), port))
            .await
            .unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; LONGEST];
            while let Ok((length, from)) = answers.recv_from(&mut buffer).await {
                if let Some(Binding::Request(id)) = Binding::read(&buffer[..length]) {
                    let told = Binding::Success(id, Some(from)).to_bytes();
                    let _ = answers.send_to(&told, from).await;
                }
            }
        });
        let hosts = |ips: &[&str]| Naming {
            hosts: [(
                "stun.test".to_owned(),
                ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            )]
            .into(),
            dns_servers: Vec::new(),
        };
        let resolver = |ips: &[&str]| Resolver::new(&hosts(ips), &Seed::from_number(1));
        let server = format!("stun:stun.test:{port}");
        let said = ask(
            [&one, &two],
            &server,
            &resolver(&["127.0.0.1", "127.0.0.2"]),
        )
        .await;
        let here = [one.local_addr().unwrap(), two.local_addr().unwrap()];
        assert_eq!(said, Ok(here));
        let said = ask(
            [&one, &two],
            &server,
            &resolver(&["127.0.0.1", "127.0.0.3"]),
        )
        .await;
        let told = format!(
            "the STUN server does not answer, at 127.0.0.1:{port} by udp; the STUN server does not answer, at 127.0.0.3:{port} by udp"
        );
        assert_eq!(
            said.map_err(|why| why.to_lowercase()),
            Err(told.to_lowercase())
        );
        let said = ask([&one, &two], "[::1]", &resolver(&[])).await;
        assert_eq!(
            said,
            Err("the STUN server has no address of this family".to_owned())
        );
    }
}
