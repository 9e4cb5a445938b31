//! What comes in: connections and datagrams.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sip_core::{FlowId, Path, Transport};
use tokio::net::{TcpListener, UdpSocket};

use super::bindings::on_stun;
use super::{Arrived, Event, Room, Shared};
use crate::connection::Door;
use crate::datagram::seen_by;
use crate::stun;

/// The largest datagram there is.
const DATAGRAM: usize = 65_535;
/// How long to leave a socket alone that could not be read or accept.
const REST: Duration = Duration::from_millis(100);

pub(super) async fn accept(shared: Arc<Shared>, listener: Arc<TcpListener>, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => Shared::take_in(&shared, stream, remote, &door),
            // Out of file descriptors, most likely: give others the time to close some.
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

pub(super) async fn read_datagrams(
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    flow: FlowId,
    bound: SocketAddr,
) {
    let mut buffer = vec![0_u8; DATAGRAM];
    // Asking the system for its address toward a peer takes time, and peers send more than once.
    let mut last_seen: Option<(IpAddr, SocketAddr)> = None;
    loop {
        // An error here belongs to something sent earlier; the socket is as good as before.
        let Ok((length, remote)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let at = tokio::time::Instant::now().into_std();
        let Some(bytes) = buffer.get(..length) else {
            continue;
        };
        if stun::is_stun(bytes) {
            on_stun(&shared, &socket, remote, bytes);
            continue;
        }
        // Keepalives of others (RFC 5626 §4.4, and zeroes from some routers and phones).
        if bytes.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
            continue;
        }
        let Ok(room) = Arc::clone(&shared.datagrams).try_acquire_owned() else {
            // When nobody keeps up, the senders' timers are the queue.
            shared.count(&shared.dropped);
            continue;
        };
        let local = match last_seen {
            Some((ip, local)) if ip == remote.ip() && bound.ip().is_unspecified() => local,
            _ => seen_by(remote, bound),
        };
        last_seen = Some((remote.ip(), local));
        let path = Path {
            transport: Transport::Udp,
            remote,
            local,
        };
        let arrived = Arrived {
            flow,
            path,
            at,
            bytes: bytes.to_vec(),
            room: Room::of_datagram(room),
        };
        if !shared.tell(Event::Arrived(arrived)) {
            return;
        }
    }
}
