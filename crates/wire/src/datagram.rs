//! Datagram sockets and listeners: opened, paired, and the addresses they are seen at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::error::Error;

/// What the kernel may keep for us while we are busy.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// Ports tried until one is free for both UDP and TCP.
const PORT_TRIES: usize = 16;

/// A datagram socket. One of IPv6 is of IPv6 alone, so that the same port can be had for both
/// families and no address comes in disguise.
///
/// # Errors
/// What the system says.
pub fn open_udp(bind: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The kernel may grant less; that is no reason to fail.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    UdpSocket::from_std(socket.into())
}

/// A listener for connections, of its own family alone as [`open_udp`].
///
/// # Errors
/// What the system says.
pub fn open_listener(bind: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, Some(Protocol::TCP))?;
    if bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A listener that was closed a moment ago leaves connections in TIME-WAIT. On Windows the same
    // option would let two programs share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A datagram socket and a listener on the same port, since a Contact names one port for both. Port
/// zero becomes one that is free for both.
///
/// # Errors
/// What the system says.
pub fn open_pair(bind: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let udp = open_udp(bind)?;
        let mut listen = bind;
        listen.set_port(udp.local_addr()?.port());
        match open_listener(listen) {
            Ok(listener) => return Ok((udp, listener)),
            // With a port of our own choosing another one will do.
            Err(error) if bind.port() == 0 => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no port is free")))
}

/// The address that the system would send from, with the scope of a link-local one; the port is
/// zero. Found by connecting a socket that never sends.
///
/// # Errors
/// When there is no way to `remote`.
pub fn local_toward(remote: SocketAddr) -> io::Result<SocketAddr> {
    let any: SocketAddr = if remote.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(remote)?;
    let mut local = socket.local_addr()?;
    local.set_port(0);
    if let (SocketAddr::V6(local), SocketAddr::V6(remote)) = (&mut local, remote)
        && local.ip().is_unicast_link_local()
        && local.scope_id() == 0
    {
        local.set_scope_id(remote.scope_id());
    }
    Ok(local)
}

/// What a peer at `remote` sees of a socket bound to `bound`, when no router is between.
pub(crate) fn seen_by(remote: SocketAddr, bound: SocketAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let mut local = local_toward(remote).unwrap_or(bound);
    local.set_port(bound.port());
    local
}

/// Whether two addresses are one: flow labels do not count, and a scope only where both have one.
pub(crate) fn same_addr(a: SocketAddr, b: SocketAddr) -> bool {
    match (a, b) {
        (SocketAddr::V6(a), SocketAddr::V6(b)) => {
            let scoped = |addr: &SocketAddrV6| addr.scope_id() != 0;
            a.ip() == b.ip()
                && a.port() == b.port()
                && (a.scope_id() == b.scope_id() || !(scoped(&a) && scoped(&b)))
        }
        _ => a == b,
    }
}

/// The address that a source is counted by: whoever has one address of IPv6 has a whole network.
pub fn source_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
    }
}

/// Sends a datagram without waiting; `false` when the kernel had no room for it, so that it is lost
/// as any other may be.
pub(crate) fn send(socket: &UdpSocket, remote: SocketAddr, bytes: &[u8]) -> Result<bool, Error> {
    // Not the runtime's own `try_send_to`: that takes a socket that it has not looked at yet for one
    // without room.
    match SockRef::from(socket).send_to(bytes, &remote.into()) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) if is_too_large(&error) => Err(Error::TooLarge(bytes.len())),
        Err(error) => Err(Error::of_datagram(&error)),
    }
}

fn is_too_large(error: &io::Error) -> bool {
    // EMSGSIZE of Linux, of the BSDs and macOS, and of Windows.
    let number = if cfg!(windows) {
        10_040
    } else if cfg!(target_os = "linux") {
        90
    } else {
        40
    };
    error.raw_os_error() == Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_families_can_have_the_same_port() {
        let (udp, listener) = open_pair("127.0.0.1:0".parse().expect("an address")).expect("v4");
        let port = udp.local_addr().expect("bound").port();
        assert_eq!(listener.local_addr().expect("bound").port(), port);
        let six = open_udp((Ipv6Addr::UNSPECIFIED, port).into()).expect("v6 beside it");
        let six_listener = open_listener((Ipv6Addr::UNSPECIFIED, port).into()).expect("v6");
        assert_eq!(six.local_addr().expect("bound").port(), port);
        drop(six_listener);
        assert!(open_udp((Ipv4Addr::LOCALHOST, port).into()).is_err());
    }

    #[tokio::test]
    async fn a_datagram_can_be_too_large() {
        let socket = open_udp("127.0.0.1:0".parse().expect("an address")).expect("a socket");
        let here = socket.local_addr().expect("bound");
        assert_eq!(send(&socket, here, &[0; 1_000]), Ok(true));
        assert_eq!(
            send(&socket, here, &[0; 65_530]),
            Err(Error::TooLarge(65_530))
        );
    }

    #[test]
    fn scopes_tell_links_apart_and_need_not_be_there() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert!(same_addr(at("[fe80::1%2]:5060"), at("[fe80::1%2]:5060")));
        assert!(same_addr(at("[fe80::1%2]:5060"), at("[fe80::1]:5060")));
        assert!(!same_addr(at("[fe80::1%2]:5060"), at("[fe80::1%3]:5060")));
        assert!(!same_addr(at("[fe80::1]:5060"), at("[fe80::1]:5061")));
        assert_eq!(
            local_toward(at("127.0.0.1:9")).map(|a| a.ip()).ok(),
            "127.0.0.1".parse().ok()
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let source = |text: &str| source_of(text.parse().expect("an address"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
