//! Where the world sees a media socket: asked of a STUN server before the socket is told to anybody (RFC 8489), and of a
//! relay where there is one to be used ([`crate::relay`]).

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::relay::{Asking, Relay};
use nat::stun::{Binding, TransactionId};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// Where STUN servers listen (RFC 8489 §8.2).
const PORT: u16 = 3478;

/// A person waits for the call to begin: a server that does not answer within this is done without.
const PATIENCE: Duration = Duration::from_millis(1_000);

/// When the question is asked again. RFC 8489 §6.2.1 begins with 500 ms, for want of knowing how long a call may wait.
const AGAIN: Duration = Duration::from_millis(250);

/// Room for any answer; longer ones are none.
const LONGEST: usize = 1_500;

/// Host and port of a server as a person writes them; none for what is neither.
pub(crate) fn server(text: &str) -> Option<(&str, u16)> {
    place(text.trim(), PORT)
}

/// The same, with this port where none is written.
pub(crate) fn place(text: &str, usual: u16) -> Option<(&str, u16)> {
    let bare = |host: &'_ str| !host.is_empty() && !host.contains(char::is_whitespace);
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None => port.is_empty().then_some(usual)?,
        };
        return bare(host).then_some((host, port));
    }
    let (host, port) = match text.split_once(':') {
        // More than one colon is an IPv6 address without a port.
        Some((_, rest)) if rest.contains(':') => (text, usual),
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, usual),
    };
    bare(host).then_some((host, port))
}

/// Where the server sees each of these sockets.
///
/// # Errors
/// Why nobody knows, as a sentence's end.
pub(crate) async fn ask(sockets: [&UdpSocket; 2], server: &str) -> Result<[SocketAddr; 2], String> {
    let (host, port) = self::server(server).ok_or("the STUN server's address is none")?;
    let until = Instant::now() + PATIENCE;
    let local = sockets[0].local_addr().map_err(|error| error.to_string())?;
    let server = find(host, port, local, PATIENCE, "STUN server").await?;
    let (first, second) = tokio::join!(
        ask_one(sockets[0], server, until),
        ask_one(sockets[1], server, until)
    );
    Ok([first?, second?])
}

/// The address of a server, of the family of ours.
pub(crate) async fn find(
    host: &str,
    port: u16,
    local: SocketAddr,
    patience: Duration,
    what: &str,
) -> Result<SocketAddr, String> {
    let found = timeout(patience, tokio::net::lookup_host((host, port))).await;
    let Ok(Ok(mut found)) = found else {
        return Err(format!("the {what}'s name is not known"));
    };
    let server = found.find(|found| found.is_ipv4() == local.is_ipv4());
    server.ok_or_else(|| format!("the {what} has no address of this family"))
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
}

impl Found {
    /// Whether the relay sees the first socket itself.
    pub(crate) fn relay_sees_media(&self) -> bool {
        let [relay, _] = &self.relays;
        relay.as_ref().is_some_and(Relay::sees_media)
    }
}

/// Asks the STUN server and the relay, of those that there are, from the sockets of each address, all at once. Who does
/// not answer is done without. With `reports` those have an address at the relay, too. What is found out about addresses
/// beside the first is told to nobody: not each of them leads to the server.
pub(crate) async fn look(pairs: &[Pair], servers: &Servers, reports: bool) -> Vec<Found> {
    let mut asked = JoinSet::new();
    for (number, (rtp, rtcp)) in pairs.iter().enumerate() {
        let (Ok(rtp), Ok(rtcp)) = (rtp.try_clone(), rtcp.try_clone()) else {
            continue;
        };
        let servers = servers.clone();
        asked.spawn(async move { (number, look_from([&rtp, &rtcp], servers, reports).await) });
    }
    let mut all: Vec<Found> = pairs.iter().map(|_| Found::default()).collect();
    while let Some(done) = asked.join_next().await {
        let Ok((number, mut found)) = done else {
            continue;
        };
        if number > 0 {
            found.notes.clear();
        }
        if let Some(place) = all.get_mut(number) {
            *place = found;
        }
    }
    all
}

async fn look_from(sockets: [&UdpSocket; 2], servers: Servers, reports: bool) -> Found {
    let mut found = Found::default();
    if let Some(server) = servers.stun {
        let note = match ask(sockets, &server).await {
            Ok(mapped) => {
                found.mapped = Some(mapped);
                format!("the STUN server sees our media at {}", mapped[0])
            }
            Err(why) => format!("where our media is seen is not known: {why}"),
        };
        found.notes.push(note);
    }
    if let Some(asking) = servers.relay {
        let second = asking.clone();
        let (first, second) = tokio::join!(crate::relay::ask(sockets[0], asking), async {
            match reports {
                // A relay that has no more to give leaves the reports without: they are not why people call.
                true => crate::relay::ask(sockets[1], second).await.ok(),
                false => None,
            }
        });
        let note = match first {
            Ok(relay) => {
                let note = format!("the relay gives our media {}", relay.allocation.relayed);
                found.relays = [Some(relay), second];
                note
            }
            Err(why) => format!("there is no relay for our media: {why}"),
        };
        found.notes.push(note);
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
        while let Ok(Ok((length, from))) = timeout_at(again, socket.recv_from(&mut buffer)).await {
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

    #[test]
    fn servers_are_read_as_people_write_them() {
        for (text, read) in [
            ("stun.example.com", Some(("stun.example.com", 3478))),
            (
                " stun.example.com:19302 ",
                Some(("stun.example.com", 19302)),
            ),
            ("192.0.2.1:3479", Some(("192.0.2.1", 3479))),
            ("2001:db8::1", Some(("2001:db8::1", 3478))),
            ("[2001:db8::1]", Some(("2001:db8::1", 3478))),
            ("[2001:db8::1]:9", Some(("2001:db8::1", 9))),
            ("", None),
            (":3478", None),
            ("a b", None),
            ("host:port", None),
            ("host:99999", None),
            ("[::1]x", None),
        ] {
            assert_eq!(server(text), read, "{text}");
        }
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
        let said = ask([&one, &two], &server).await;
        assert_eq!(said, Err("the STUN server does not answer".to_owned()));
    }
}
