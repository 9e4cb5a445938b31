//! The sockets: the only place of this crate that touches the network.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Room for a burst after a stall: about two seconds of speech.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// Expedited forwarding (RFC 3246, RFC 4594 §4.1), as the byte that IP carries.
const EXPEDITED: u32 = 46 << 2;

/// How many pairs are tried when the system chooses the port.
const ATTEMPTS: usize = 64;

/// Datagrams taken from one socket in one step, however many other sockets are flooded.
const MOST_PER_STEP: usize = 64;

/// Datagrams taken beyond that, from all sockets in one step. What is left in a buffer of the system comes late, and when
/// that is full good and bad are lost alike; but a flood must not hold up the other streams. Each socket takes half of
/// what those before it have left.
pub(crate) const SPARE_PER_STEP: usize = 1_024;

/// Longer datagrams are cut; no audio is.
pub(crate) const LONGEST_DATAGRAM: usize = 2048;

/// Why no ports could be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The range holds no even port followed by an odd one.
    #[error("the port range {}-{} holds no pair", .0.start(), .0.end())]
    EmptyRange(RangeInclusive<u16>),
    /// All pairs of the range are taken, or the address is not ours.
    #[error("no free pair of ports, last refusal: {reason}, address {address}")]
    NoPair {
        /// Why the last one was refused.
        reason: std::io::Error,
        /// The address asked for.
        address: IpAddr,
    },
}

/// Binds an even port for RTP and the next one for RTCP (RFC 3550 §11). `0..=0` lets the system choose.
///
/// Successive calls begin at successive places in the range, so that a call does not at once get the ports of
/// the call before, to which stray packets may still come.
///
/// # Errors
/// No pair is free, or the address is not one of this machine.
pub fn bind_pair(
    ip: IpAddr,
    range: RangeInclusive<u16>,
) -> Result<(UdpSocket, UdpSocket), BindError> {
    static TURN: AtomicU32 = AtomicU32::new(0);
    if range == (0..=0) {
        return bind_any_pair(ip);
    }
    let first = u32::from(range.start().next_multiple_of(2));
    let pairs = (u32::from(*range.end()) + 1).saturating_sub(first) / 2;
    if pairs == 0 {
        return Err(BindError::EmptyRange(range));
    }
    let start = TURN.fetch_add(1, Relaxed);
    let mut refusal = ErrorKind::AddrInUse.into();
    for n in 0..pairs {
        let port = first + (start.wrapping_add(n) % pairs) * 2;
        match bind_two(ip, port as u16) {
            Ok(pair) => return Ok(pair),
            Err(error) => refusal = error,
        }
    }
    Err(BindError::NoPair {
        reason: refusal,
        address: ip,
    })
}

fn bind_any_pair(ip: IpAddr) -> Result<(UdpSocket, UdpSocket), BindError> {
    let mut refusal = ErrorKind::AddrInUse.into();
    for _ in 0..ATTEMPTS {
        let pair = bind(ip, 0).and_then(|socket| {
            let port = socket.local_addr()?.port();
            if port.is_multiple_of(2) && port < u16::MAX {
                return Ok((socket, bind(ip, port + 1)?));
            }
            drop(socket);
            bind_two(ip, port & !1)
        });
        match pair {
            Ok(pair) => return Ok(pair),
            Err(error) => refusal = error,
        }
    }
    Err(BindError::NoPair {
        reason: refusal,
        address: ip,
    })
}

fn bind_two(ip: IpAddr, port: u16) -> std::io::Result<(UdpSocket, UdpSocket)> {
    Ok((bind(ip, port)?, bind(ip, port.saturating_add(1))?))
}

fn bind(ip: IpAddr, port: u16) -> std::io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    // Both are wishes: a system that refuses them still carries speech.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    expedite(&socket, ip);
    Ok(socket.into())
}

/// Marks what is sent as speech, where the system lets us: the same six bits in IPv4 and IPv6 (RFC 2474 §3). A wish as well.
fn expedite(socket: &Socket, ip: IpAddr) {
    // A socket for every address of IPv6 is, on most systems, one for those of IPv4, too.
    if ip.is_ipv4() || ip.is_unspecified() {
        let _ = socket.set_tos_v4(EXPEDITED);
    }
    // Windows has another way for both, which asks for rights or a flow of its own.
    #[cfg(unix)]
    if ip.is_ipv6() {
        let _ = socket.set_tclass_v6(EXPEDITED);
    }
}

/// Addresses at which one stream has sockets.
pub const MOST_PLACES: usize = 4;

/// Its sockets: at each address that of the media, with an even number, and that of the reports with the next.
pub(crate) const MOST_LINES: usize = 2 * MOST_PLACES;

/// The line of the reports where they have no way of their own.
pub(crate) const REPORTS: u8 = 1;

/// The sockets of one stream.
#[derive(Debug)]
pub(crate) struct Wire {
    lines: [Option<UdpSocket>; MOST_LINES],
}

impl Wire {
    /// The number of a socket that has no place is passed over.
    pub(crate) fn new(lines: impl Iterator<Item = (u8, UdpSocket)>) -> std::io::Result<Self> {
        let mut wire = Self {
            lines: Default::default(),
        };
        for (line, socket) in lines {
            socket.set_nonblocking(true)?;
            noted::begin(&socket);
            if let Some(place) = wire.lines.get_mut(usize::from(line)) {
                *place = Some(socket);
            }
        }
        Ok(wire)
    }

    /// Hands on what has arrived on this line, if there is one, from where, and when by the wall clock, as time since 1970, where
    /// the system tells. `spare` is what may be taken beyond what each line may.
    pub(crate) fn receive(
        &self,
        line: u8,
        buffer: &mut [u8],
        spare: &mut usize,
        take: impl FnMut(&mut [u8], SocketAddr, Option<Duration>),
    ) {
        if let Some(socket) = self.line(line) {
            let most = MOST_PER_STEP + *spare / 2;
            let taken = receive_all(socket, buffer, most, take);
            *spare = spare.saturating_sub(taken.saturating_sub(MOST_PER_STEP));
        }
    }

    /// False when the system refused.
    pub(crate) fn send(&self, line: u8, datagram: &[u8], to: SocketAddr) -> bool {
        let socket = self.line(line);
        socket.is_some_and(|socket| socket.send_to(datagram, to).is_ok())
    }

    pub(crate) fn has(&self, line: u8) -> bool {
        self.line(line).is_some()
    }

    fn line(&self, line: u8) -> Option<&UdpSocket> {
        self.lines.get(usize::from(line))?.as_ref()
    }
}

/// Whether this is a line for reports.
pub(crate) fn is_for_reports(line: u8) -> bool {
    !line.is_multiple_of(2)
}

/// Answers how often it has looked.
fn receive_all(
    socket: &UdpSocket,
    buffer: &mut [u8],
    most: usize,
    mut take: impl FnMut(&mut [u8], SocketAddr, Option<Duration>),
) -> usize {
    for looked in 0..most {
        match noted::receive(socket, buffer) {
            Ok((length, from, stamp)) => {
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                take(buffer.get_mut(..length).unwrap_or_default(), from, stamp);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return looked,
            // Some systems report here that an earlier datagram of ours was not wanted (ICMP).
            Err(_) => {}
        }
    }
    most
}

/// Datagrams with the time at which the system got them.
#[cfg(target_os = "linux")]
mod noted {
    use std::io::{self, ErrorKind, IoSliceMut};
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
    };

    /// Room for the time, aligned as the system writes it.
    #[repr(align(16))]
    struct Space([u8; 64]);

    /// A wish: without it the time is not told. The first who wants it gets that of the reading for a moment.
    pub(super) fn begin(socket: &UdpSocket) {
        let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &true);
    }

    pub(super) fn receive(
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(usize, SocketAddr, Option<Duration>)> {
        let mut space = Space([0; 64]);
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut space.0),
            MsgFlags::empty(),
        )?;
        let from = message.address.as_ref().and_then(|from| {
            let v4 = from.as_sockaddr_in().map(|from| (*from).into());
            v4.map(SocketAddr::V4)
                .or_else(|| Some(SocketAddr::V6((*from.as_sockaddr_in6()?).into())))
        });
        let from = from.ok_or(ErrorKind::InvalidData)?;
        let stamp = message.cmsgs().ok().and_then(|mut told| {
            told.find_map(|told| match told {
                ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
                _ => None,
            })
        });
        Ok((message.bytes, from, stamp))
    }
}

#[cfg(not(target_os = "linux"))]
mod noted {
    use std::io;
    use std::net::{SocketAddr, UdpSocket};
    use std::time::Duration;

    pub(super) fn begin(_: &UdpSocket) {}

    pub(super) fn receive(
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(usize, SocketAddr, Option<Duration>)> {
        let (length, from) = socket.recv_from(buffer)?;
        Ok((length, from, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn pairs_are_even_and_odd_and_successive_calls_get_others() {
        let range = 42_001..=42_009;
        let (first, first_control) = bind_pair(HERE, range.clone()).unwrap();
        let (second, _second_control) = bind_pair(HERE, range).unwrap();
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        assert!(port(&first).is_multiple_of(2));
        assert!((42_002..=42_008).contains(&port(&first)));
        assert_eq!(port(&first_control), port(&first) + 1);
        assert_ne!(port(&first), port(&second));
    }

    /// RFC 4594 §4.1: telephony is EF, 46 in the six bits (RFC 3246 §2.7), whichever the version of the protocol
    /// (RFC 2474 §3). As the system says that it will write it.
    #[cfg(target_os = "linux")]
    #[test]
    fn speech_is_marked_in_either_version_of_the_protocol() {
        use socket2::SockRef;
        use std::net::{Ipv4Addr, Ipv6Addr};
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let anywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        for place in [v6, anywhere] {
            let (rtp, rtcp) = bind_pair(place, 0..=0).unwrap();
            for socket in [&rtp, &rtcp] {
                assert_eq!(
                    SockRef::from(socket).tclass_v6().unwrap() >> 2,
                    46,
                    "{place}"
                );
            }
        }
        for place in [HERE, IpAddr::V4(Ipv4Addr::UNSPECIFIED), anywhere] {
            let (rtp, rtcp) = bind_pair(place, 0..=0).unwrap();
            for socket in [&rtp, &rtcp] {
                assert_eq!(SockRef::from(socket).tos_v4().unwrap() >> 2, 46, "{place}");
            }
        }
    }

    #[test]
    fn the_system_may_choose() {
        let (rtp, rtcp) = bind_pair(HERE, 0..=0).unwrap();
        let port = rtp.local_addr().unwrap().port();
        assert!(port.is_multiple_of(2));
        assert_eq!(rtcp.local_addr().unwrap().port(), port + 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn datagrams_are_found_together_and_have_come_one_after_the_other() {
        for place in [HERE, IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)] {
            let (socket, _) = bind_pair(place, 0..=0).unwrap();
            let to = socket.local_addr().unwrap();
            let other = UdpSocket::bind((place, 0)).unwrap();
            let wire = Wire::new([(0, socket)].into_iter()).unwrap();
            // The system begins a moment after the first who wants it.
            std::thread::sleep(Duration::from_millis(100));
            other.send_to(b"one", to).unwrap();
            std::thread::sleep(Duration::from_millis(30));
            other.send_to(b"the other", to).unwrap();
            let mut found = Vec::new();
            wire.receive(0, &mut [0; 100], &mut 0, |datagram, from, stamp| {
                found.push((datagram.to_vec(), from, stamp.unwrap()));
            });
            let [(one, from, first), (other_one, _, second)] = &found[..] else {
                panic!("{found:?}");
            };
            assert_eq!((&one[..], &other_one[..]), (&b"one"[..], &b"the other"[..]));
            assert_eq!(*from, other.local_addr().unwrap());
            assert!(*second - *first >= Duration::from_millis(30));
            let clocks = crate::arrival::Clocks::now();
            let ago = clocks.at() - clocks.arrival(*first, None).unwrap();
            assert!(ago >= Duration::from_millis(30), "{ago:?}");
        }
    }

    #[test]
    fn a_full_or_empty_range_is_told() {
        assert!(matches!(
            bind_pair(HERE, 42_101..=42_102),
            Err(BindError::EmptyRange(_))
        ));
        let _taken = bind(HERE, 42_105).unwrap();
        assert!(matches!(
            bind_pair(HERE, 42_104..=42_105),
            Err(BindError::NoPair { .. })
        ));
    }
}
