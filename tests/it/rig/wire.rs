//! A wire between two interfaces that loses, doubles, delays and mixes up what goes over it.
//!
//! ```text
//! ┌ router ──┐   ┌ wire ──────────────────────────────────────┐   ┌ far ─────┐
//! │ outside ─│───│─ packet socket ─▶ UnderWay ─▶ packet socket│───│─ inside  │
//! └──────────┘   └──────────────── ◀─ UnderWay ◀──────────────┘   └──────────┘
//! ```
//!
//! Kernels need a module for this (sch_netem), which virtual machines often do not have, so bytes are moved here: each frame
//! that comes in on one side goes out on the other, as on a cable. The namespace in the middle has no addresses and routes
//! nothing. All of IPv4 fares as [`LINK`] has it, media and signalling, UDP and TCP; what only finds neighbours goes straight.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use testkit::{Counts, Link, UnderWay};

/// What each wire does to each direction. Between two phones there are two of them.
pub(crate) const LINK: Link = Link {
    loss: 20,
    duplicate: 5,
    reorder: 10,
    reorder_by: Duration::from_millis(30),
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(20),
};

/// A wire, cut when this is dropped.
pub(crate) struct Wire {
    is_cut: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// One between two interfaces of a namespace of `ip netns`.
    pub(crate) fn start(namespace: &str, ends: [&str; 2], seed: u64) -> Self {
        let (is_cut, counts) = (Arc::<AtomicBool>::default(), Arc::default());
        let (cut, shared) = (Arc::clone(&is_cut), Arc::clone(&counts));
        let (namespace, ends) = (namespace.to_owned(), ends.map(str::to_owned));
        let (tell, told) = std::sync::mpsc::channel();
        // A thread can be in another network than its process.
        let thread = std::thread::spawn(move || {
            let sockets = enter(&namespace).and_then(|()| {
                let [a, b] = &ends;
                Ok([open(a)?, open(b)?])
            });
            match sockets {
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
                Ok(sockets) => {
                    let _ = tell.send(Ok(()));
                    carry(&sockets, seed, &cut, &shared);
                }
            }
        });
        told.recv()
            .expect("the thread says whether it can")
            .unwrap_or_else(|error| {
                panic!("packet sockets can not be opened here, and this test needs them: {error}")
            });
        Self {
            is_cut,
            counts,
            thread: Some(thread),
        }
    }

    /// What has become of the datagrams, both directions together.
    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.is_cut.store(true, Ordering::Relaxed);
        // If it has panicked, the test has failed for want of a wire.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The calling thread goes into a namespace.
fn enter(namespace: &str) -> io::Result<()> {
    let namespace = File::open(format!("/run/netns/{namespace}"))?;
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}

/// A socket for the frames of an interface, those for others included.
fn open(interface: &str) -> io::Result<OwnedFd> {
    // As the kernel lists it, it has no protocol, and the socket keeps its own: every one.
    let address = getifaddrs()?
        .filter(|of| of.interface_name == interface)
        .find_map(|of| of.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::other(format!("there is no interface {interface}")))?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        flags,
        SockProtocol::EthAll,
    )?;
    bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

/// Moves frames until the wire is cut.
fn carry(sockets: &[OwnedFd; 2], seed: u64, is_cut: &AtomicBool, counts: &Mutex<Counts>) {
    let [a, b] = sockets;
    let mut ways =
        [(a, b, seed), (b, a, !seed)].map(|(from, to, seed)| (from, to, UnderWay::new(LINK, seed)));
    let mut buffer = vec![0; 65_536];
    while !is_cut.load(Ordering::Relaxed) {
        for (from, to, way) in &mut ways {
            // An interface that goes away says so once in an error, and then is silent.
            while let Ok(length) = recv(from.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                let frame = &mut buffer[..length];
                fill_checksum(frame);
                if is_ipv4(frame) {
                    way.handle_packet(Instant::now(), frame.to_vec());
                } else {
                    put(to, frame);
                }
            }
            while let Some(frame) = way.poll_arrived(Instant::now()) {
                put(to, &frame);
            }
        }
        let [(_, _, first), (_, _, second)] = &ways;
        *counts.lock().unwrap_or_else(PoisonError::into_inner) = first.counts() + second.counts();
        wait(&ways);
    }
}

/// Until there is something to do, or it is time to see whether the wire is cut.
fn wait(ways: &[(&OwnedFd, &OwnedFd, UnderWay<Vec<u8>>); 2]) {
    const LOOK: Duration = Duration::from_millis(50);
    let now = Instant::now();
    let next = ways.iter().filter_map(|(_, _, way)| way.next_in(now)).min();
    let wait = next.unwrap_or(LOOK).min(LOOK);
    // Whole milliseconds, and never too few.
    let wait = wait.as_micros().div_ceil(1_000);
    let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
    let mut sockets = ways
        .each_ref()
        .map(|(from, _, _)| PollFd::new(from.as_fd(), PollFlags::POLLIN));
    // Interrupted is as good as waited.
    let _ = poll(&mut sockets, wait);
}

/// What a cable that is plugged out does not carry is lost.
fn put(to: &OwnedFd, frame: &[u8]) {
    let _ = send(to.as_raw_fd(), frame, MsgFlags::empty());
}

const ETHERNET_BYTES: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

fn is_ipv4(frame: &[u8]) -> bool {
    frame.get(12..ETHERNET_BYTES) == Some(&[0x08, 0x00])
}

/// Writes the checksum of TCP or UDP into a frame: between virtual interfaces kernels leave that to the hardware, which
/// is this.
fn fill_checksum(frame: &mut [u8]) -> Option<()> {
    if !is_ipv4(frame) {
        return None;
    }
    let packet = frame.get_mut(ETHERNET_BYTES..)?;
    let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let header = usize::from(packet.first()? & 0x0f) * 4;
    // Parts of a datagram have been summed before it was cut.
    let is_part = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff != 0;
    let protocol = *packet.get(9)?;
    let at = match protocol {
        _ if is_part => return None,
        TCP => 16,
        UDP => 6,
        _ => return None,
    };
    let addresses: [u8; 8] = packet.get(12..20)?.try_into().ok()?;
    let body = packet.get_mut(header..length)?;
    body.get_mut(at..at + 2)?.fill(0);
    // RFC 9293 §3.1: addresses, protocol and length are summed, too.
    let sum = sum(&addresses) + sum(body) + u64::from(protocol) + body.len() as u64;
    let sum = !fold(sum);
    // RFC 768: zero stands for none.
    let sum = if sum == 0 { u16::MAX } else { sum };
    body.get_mut(at..at + 2)?
        .copy_from_slice(&sum.to_be_bytes());
    Some(())
}

fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2);
    words
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[test]
fn checksums_are_those_of_the_standards() {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    // 192.0.2.1 to 192.0.2.2, UDP, a datagram of three bytes; its header's own sum is not looked at.
    frame.extend([0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend([0x30, 0x39, 0x00, 0x35, 0, 11, 0xff, 0xff, 1, 2, 3]);
    // The least frame of Ethernet is longer.
    frame.resize(60, 0xee);
    assert_eq!(fill_checksum(&mut frame), Some(()));
    // c000 + 0201 + c000 + 0202 + 0011 + 000b + 3039 + 0035 + 000b + 0102 + 0300 = 1b89a, so b89b, and its complement.
    assert_eq!(frame[40..42], [0x47, 0x64]);
    // A part of a datagram is left alone.
    frame[20] = 0x20;
    frame[40] = 7;
    assert_eq!(fill_checksum(&mut frame), None);
    assert_eq!(frame[40], 7);
    // And so is what is cut short.
    frame[20] = 0;
    frame.truncate(36);
    assert_eq!(fill_checksum(&mut frame), None);
}
