//! What a handshake has kept and made of memory, whatever comes: of a stranger's datagrams, of the peer's, before there are
//! keys and for the whole call after.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dtls::{Certificate, Event, Handshake, Output, Peer, Role};
use testkit::Counting;

thread_local! {
    /// Bytes that were taken and not given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// Bytes that were taken.
    static TAKEN: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
    let _ = TAKEN.try_with(|taken| taken.set(taken.get() + bytes.max(0)));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

/// So many datagrams, of so many bytes: 40 s at a line of 2 Mbit/s.
const DATAGRAMS: u64 = 8_000;
const LENGTH: usize = 1_200;

/// One side has this much kept at the most, with all its places taken: what the records hold, and what is told about each.
const MOST_HELD: isize = 1_000_000;

/// What one datagram has taken at the most, when it leads to nothing: its copy, its records', and those of the messages.
const MOST_TAKEN: isize = 16 * LENGTH as isize;

fn place(name: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, name], 4_000))
}

fn pair() -> (Handshake, Handshake) {
    let (left, right) = (
        Certificate::generate().unwrap(),
        Certificate::generate().unwrap(),
    );
    let side = |own: &Certificate, other: &Certificate, role| {
        let fingerprints = vec![other.fingerprint().clone()];
        Handshake::new(own, &Peer { fingerprints, role })
    };
    (
        side(&left, &right, Role::Client),
        side(&right, &left, Role::Server),
    )
}

fn drain(side: &mut Handshake) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    loop {
        match side.poll_output() {
            Output::Transmit { datagram, .. } => datagrams.push(datagram),
            Output::Event(Event::Secured { .. }) => {}
            Output::Event(event) => panic!("{event:?}"),
            Output::Deadline(_) => return datagrams,
        }
    }
}

fn secure(mut now: Instant, client: &mut Handshake, server: &mut Handshake) {
    client.handle_remote(now, place(2));
    server.handle_remote(now, place(1));
    for _ in 0..100 {
        for datagram in drain(client) {
            server.handle_datagram(now, &datagram, place(1));
        }
        for datagram in drain(server) {
            client.handle_datagram(now, &datagram, place(2));
        }
        if client.is_secured() && server.is_secured() {
            return;
        }
        now += Duration::from_millis(50);
        client.handle_timeout(now);
        server.handle_timeout(now);
    }
    panic!("no keys within five seconds");
}

/// A datagram full of records, each with this type and epoch, numbers of its own, and this body.
fn full(nth: u64, kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    let records = (LENGTH / (13 + body.len())) as u64;
    let records = (0..records).flat_map(|record| {
        let number = (1_000 + nth * 128 + record).to_be_bytes();
        let head = [kind, 0xFE, 0xFD, 0, epoch];
        [&head[..], &number[2..], &length, body].concat()
    });
    records.collect()
}

/// The head of a fragment: type, length of the message, its number, where the fragment begins, how long it is.
fn head(kind: u8, length: u32, number: u64, offset: u32, carried: u32) -> Vec<u8> {
    let three = |value: u32| value.to_be_bytes()[1..].to_vec();
    let number = (number as u16).to_be_bytes().to_vec();
    [
        vec![kind],
        three(length),
        number,
        three(offset),
        three(carried),
    ]
    .concat()
}

/// What is sent, by its number.
type Sends = fn(u64) -> Vec<u8>;

const KINDS: [(&str, Sends); 8] = [
    ("nothing of a message, for ever", |n| {
        full(n, 22, 0, &head(11, 900, 3, 0, 0).repeat(60))
    }),
    ("nothing of a message, each in a record", |n| {
        full(n, 22, 0, &head(1, 900, 0, 0, 0))
    }),
    ("a byte of a message at a time", |n| {
        let offset = n as u32 % 32_000;
        full(
            n,
            22,
            0,
            &[head(11, 32_000, 3, offset, 1), vec![7]].concat(),
        )
    }),
    ("messages far ahead", |n| {
        full(n, 22, 0, &[head(11, 40, n, 0, 40), vec![7; 40]].concat())
    }),
    ("messages one after the other", |n| {
        full(n, 22, 0, &[head(1, 40, n, 0, 40), vec![7; 40]].concat())
    }),
    ("a message without an end", |n| {
        let offset = n as u32 * 1_100;
        full(
            n,
            22,
            0,
            &[head(11, 0xFF_FFFF, 3, offset, 1_100), vec![7; 1_100]].concat(),
        )
    }),
    ("records of the next epoch", |n| full(n, 22, 1, &[7; 48])),
    ("changes of keys that are not there", |n| {
        full(n, 20, 0, &[1])
    }),
];

/// The most that was kept on the way, and what a datagram took towards the end, on average.
fn flood(now: Instant, side: &mut Handshake, from: SocketAddr, sends: Sends) -> (isize, isize) {
    let held = HELD.get();
    let (mut most, mut late, mut taken) = (0, 0, 0);
    for n in 0..DATAGRAMS {
        let datagram = sends(n);
        let before = TAKEN.get();
        side.handle_datagram(now + Duration::from_millis(n), &datagram, from);
        if n >= DATAGRAMS - 1_000 {
            late += 1;
            taken += TAKEN.get() - before;
        }
        drain(side);
        most = most.max(HELD.get() - held);
    }
    (most, taken / late)
}

#[test]
fn what_comes_during_a_call_is_neither_kept_nor_worked_on() {
    let now = Instant::now();
    for (name, sends) in KINDS {
        let (mut client, mut server) = pair();
        secure(now, &mut client, &mut server);
        for (side, from) in [(&mut client, place(2)), (&mut server, place(1))] {
            let (held, taken) = flood(now, side, from, sends);
            println!("{name}: {held} bytes held, {taken} taken by each datagram");
            assert!(held < 4_096, "{name}: {held}");
            // One record of the next epoch is looked at, as it may be the peer's repeated flight.
            assert!(taken < 4_096, "{name}: {taken}");
        }
    }
}

#[test]
fn what_comes_before_there_are_keys_is_kept_within_bounds() {
    for (name, sends) in KINDS {
        // From the peer's address to either side, in the middle of a handshake, and from strangers that have a place.
        for stranger in [false, true] {
            let now = Instant::now();
            let (mut client, mut server) = pair();
            client.handle_remote(now, place(2));
            let hello = drain(&mut client).remove(0);
            let from = if stranger { place(77) } else { place(1) };
            server.handle_datagram(now, &hello, from);
            drain(&mut server);
            let (held, taken) = flood(now, &mut server, from, sends);
            println!("{name}: {held} bytes held, {taken} taken by each datagram");
            assert!(held < MOST_HELD, "{name}: {held}");
            assert!(taken < MOST_TAKEN, "{name}: {taken}");
            if !stranger {
                let (held, taken) = flood(now, &mut client, place(2), sends);
                println!("{name}: {held} bytes held, {taken} taken by each datagram");
                assert!(held < MOST_HELD, "{name}: {held}");
                assert!(taken < MOST_TAKEN, "{name}: {taken}");
            } else {
                // And the peer is heard as before.
                secure(now, &mut client, &mut server);
            }
        }
    }
}
