//! Ports that nobody else uses.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what Linux gives to outgoing connections, so that nothing takes them between our look and
/// our use.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that is free on the loopback address for UDP and TCP, and was not given out before.
pub(crate) fn free() -> u16 {
    free_run(1)
}

/// The first of `count` such ports in a row; even, as RTP wants it.
pub(crate) fn free_run(count: u16) -> u16 {
    let span = LAST - FIRST;
    let seed = (std::process::id() % u32::from(span)) as u16;
    for _ in 0..span {
        let step = NEXT.fetch_add(count + count % 2, Ordering::Relaxed);
        let first = (FIRST + (seed.wrapping_add(step)) % (span - count)) & !1;
        if (first..first + count).all(is_free) {
            return first;
        }
    }
    panic!("no run of {count} free ports between {FIRST} and {LAST}");
}

fn is_free(port: u16) -> bool {
    let here = (Ipv4Addr::LOCALHOST, port);
    UdpSocket::bind(here).is_ok() && TcpListener::bind(here).is_ok()
}
