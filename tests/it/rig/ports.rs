//! Ports that nobody else uses.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below what Linux gives to outgoing connections, so that nothing takes them between our look and
/// our use.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_000;
const SPAN: u16 = LAST - FIRST;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port that is free on the loopback address for UDP and TCP, and was not given out before.
pub(crate) fn free() -> u16 {
    free_run(1)
}

/// The first of `count` such ports in a row; even, as RTP wants it.
pub(crate) fn free_run(count: u16) -> u16 {
    for _ in 0..SPAN {
        let step = NEXT.fetch_add(steps(count), Ordering::Relaxed);
        let Some(first) = place(std::process::id(), step, count) else {
            continue;
        };
        if (first..first + count).all(is_free) {
            return first;
        }
    }
    panic!("no run of {count} free ports between {FIRST} and {LAST}");
}

/// How far a run of `count` ports moves on: each begins at an even one.
fn steps(count: u16) -> u32 {
    u32::from(count.next_multiple_of(2))
}

/// Where the run begins that is given out after `step` ports; none if it would not end before the
/// last port. Processes begin at different places. Nothing else may enter here: runs of different
/// lengths must not come to lie on each other.
fn place(process: u32, step: u32, count: u16) -> Option<u16> {
    let seed = (process % u32::from(SPAN)) & !1;
    let offset = u16::try_from((seed + step) % u32::from(SPAN)).ok()?;
    (offset + count <= SPAN).then(|| FIRST + offset)
}

/// Whether somebody listens on this UDP port, by what the system says: to try it would take it for a moment from whom
/// it is waited for.
pub(crate) fn is_taken(port: u16) -> bool {
    let local = format!(":{port:04X}");
    ["/proc/net/udp", "/proc/net/udp6"].iter().any(|table| {
        let table = std::fs::read_to_string(table).unwrap_or_default();
        let mut lines = table.lines().skip(1);
        lines.any(|line| {
            let address = line.split_whitespace().nth(1);
            address.is_some_and(|address| address.ends_with(&local))
        })
    })
}

fn is_free(port: u16) -> bool {
    let here = (Ipv4Addr::LOCALHOST, port);
    UdpSocket::bind(here).is_ok() && TcpListener::bind(here).is_ok()
}

#[test]
fn no_port_is_given_out_twice_before_all_were() {
    for process in (0..u32::from(SPAN))
        .step_by(97)
        .chain([10_958, 10_999, 21_990])
    {
        let mut given = std::collections::HashSet::new();
        let mut step = 0;
        for count in [1, 40, 1, 2, 41, 1].into_iter().cycle() {
            if step + steps(count) > u32::from(SPAN) {
                break;
            }
            if let Some(first) = place(process, step, count) {
                assert_eq!(first % 2, 0);
                assert!((FIRST..LAST).contains(&first) && first + count <= LAST);
                let twice = (first..first + count).find(|port| !given.insert(*port));
                assert_eq!(twice, None, "process {process}");
            }
            step += steps(count);
        }
        assert!(given.len() > usize::from(SPAN) / 2);
    }
}
