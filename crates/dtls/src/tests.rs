//! Handshakes between two of ours, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{
    Certificate, Event, Failure, Fingerprint, Handshake, Hash, Keys, MOST_REMOTES, Output, Peer,
    Profile, Role, looks_like_dtls,
};

fn place(name: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, name], 4_000))
}

fn expecting(certificate: &Certificate, role: Role) -> Peer {
    Peer {
        fingerprints: vec![certificate.fingerprint().clone()],
        role,
    }
}

/// Two sides and the path between them.
struct Path {
    now: Instant,
    client: Handshake,
    server: Handshake,
    /// How many of a hundred are lost, and what chooses them.
    loses: u32,
    chance: u32,
    /// Which of the datagrams of each side are lost besides, counted from its first.
    drops: [Vec<usize>; 2],
    sent: [usize; 2],
    /// How long a datagram takes, and what has not arrived yet: when, from which side, and what.
    takes: Duration,
    on_the_way: Vec<(Instant, usize, Vec<u8>)>,
    events: [Vec<Event>; 2],
    /// Where the client says it is.
    announced: SocketAddr,
}

impl Path {
    fn new() -> Self {
        let (left, right) = certificates();
        Self::between(
            Handshake::new(&left, &expecting(&right, Role::Client)),
            Handshake::new(&right, &expecting(&left, Role::Server)),
        )
    }

    fn between(client: Handshake, server: Handshake) -> Self {
        Self {
            now: Instant::now(),
            client,
            server,
            loses: 0,
            chance: 1,
            drops: [Vec::new(), Vec::new()],
            sent: [0, 0],
            takes: Duration::ZERO,
            on_the_way: Vec::new(),
            events: [Vec::new(), Vec::new()],
            announced: place(1),
        }
    }

    /// Until nothing is left to do or a minute has passed.
    fn run(&mut self) {
        let end = self.now + Duration::from_secs(60);
        self.client.handle_remote(self.now, place(2));
        self.server.handle_remote(self.now, self.announced);
        while self.now < end {
            let wake = self.exchange();
            let done = self.events.iter().all(|events| !events.is_empty());
            let Some(wake) = wake.filter(|_| !done) else {
                return;
            };
            self.now = wake.max(self.now);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
    }

    /// Carries datagrams until none is there to be carried; answers when there is more.
    fn exchange(&mut self) -> Option<Instant> {
        loop {
            let mut next = None::<Instant>;
            for side in [0, 1] {
                let (datagrams, deadline) = self.drain(side);
                let arrives = self.now + self.takes;
                let new = datagrams.into_iter().map(|bytes| (arrives, side, bytes));
                self.on_the_way.extend(new);
                next = next.into_iter().chain(deadline).min();
            }
            let now = self.now;
            let there = self.on_the_way.extract_if(.., |(at, ..)| *at <= now);
            let there: Vec<_> = there.collect();
            if there.is_empty() {
                let arrivals = self.on_the_way.iter().map(|(at, ..)| *at);
                return next.into_iter().chain(arrivals).min();
            }
            for (_, side, datagram) in &there {
                assert!(looks_like_dtls(datagram));
                match side {
                    0 => self.server.handle_datagram(now, datagram, place(1)),
                    _ => self.client.handle_datagram(now, datagram, place(2)),
                }
            }
        }
    }

    fn drain(&mut self, side: usize) -> (Vec<Vec<u8>>, Option<Instant>) {
        let mut datagrams = Vec::new();
        loop {
            let output = match side {
                0 => self.client.poll_output(),
                _ => self.server.poll_output(),
            };
            match output {
                Output::Transmit { datagram, to } => {
                    self.chance = self
                        .chance
                        .wrapping_mul(1_664_525)
                        .wrapping_add(1_013_904_223);
                    let lost = (self.chance >> 16) % 100 < self.loses
                        || self.drops[side].contains(&self.sent[side]);
                    self.sent[side] += 1;
                    if !lost && to == place(2 - side as u8) {
                        datagrams.push(datagram);
                    }
                }
                Output::Event(event) => self.events[side].push(event),
                Output::Deadline(deadline) => return (datagrams, deadline),
            }
        }
    }

    /// The server's last words are lost; nothing is left to be said.
    fn exchange_nothing(&mut self) {
        self.drain(0);
        self.drain(1);
    }

    fn keys(&self) -> [&Keys; 2] {
        let keys = |side: usize| match self.events[side].as_slice() {
            [Event::Secured { keys, remote }] => {
                assert_eq!(*remote, place(2 - side as u8));
                keys
            }
            other => panic!("side {side}: {other:?}"),
        };
        [keys(0), keys(1)]
    }

    fn assert_secured(&self) {
        let [client, server] = self.keys();
        assert_eq!(client.profile, Profile::AeadAes256Gcm);
        assert_eq!(client.send, server.receive);
        assert_eq!(client.receive, server.send);
        assert_ne!(client.send, client.receive);
        assert_eq!(client.send.len(), 32 + 12);
    }
}

fn certificates() -> (Certificate, Certificate) {
    let new = || Certificate::generate().unwrap();
    (new(), new())
}

#[test]
fn both_sides_come_to_the_same_keys_each_way_and_show_none_of_them() {
    let mut path = Path::new();
    path.run();
    path.assert_secured();
    assert!(path.client.is_secured() && path.server.is_secured());
    let shown = format!("{:?} {:?} {:?}", path.keys(), path.client, path.events);
    assert!(!shown.contains('['.to_string().repeat(3).as_str()));
    assert!(
        shown.contains("AeadAes256Gcm") && !shown.contains("send"),
        "{shown}"
    );
}

#[test]
fn flights_are_repeated_until_they_arrive() {
    for seed in 1..20 {
        let mut path = Path::new();
        (path.loses, path.chance) = (30, seed);
        let began = path.now;
        path.run();
        path.assert_secured();
        let took = path.now - began;
        assert!(took < Duration::from_secs(10), "{seed}: {took:?}");
    }
}

/// RFC 6347 §4.2.4: a flight that was lost is said again in time, also when the repetition of what it answers comes
/// before.
#[test]
fn a_lost_flight_is_repeated_also_when_the_peer_repeats_its_own_before() {
    for takes in [0, 1, 30, 150, 390] {
        for side in [0, 1] {
            for lost in [
                vec![0],
                vec![1],
                vec![2],
                vec![1, 2],
                vec![2, 3],
                vec![0, 2, 4],
            ] {
                let mut path = Path::new();
                path.takes = Duration::from_millis(takes);
                path.drops[side].clone_from(&lost);
                let began = path.now;
                path.run();
                path.assert_secured();
                let took = path.now - began;
                let most = Duration::from_millis(450) * lost.len() as u32 + 8 * path.takes;
                assert!(took < most, "{takes} ms, side {side}, {lost:?}: {took:?}");
            }
        }
    }
    for seed in 1..40 {
        let mut path = Path::new();
        (path.loses, path.chance) = (30, seed);
        path.takes = Duration::from_millis(40);
        let began = path.now;
        path.run();
        path.assert_secured();
        let took = path.now - began;
        assert!(took < Duration::from_secs(10), "{seed}: {took:?}");
    }
}

#[test]
fn who_begins_from_the_start_is_followed() {
    let (left, right) = certificates();
    let mut path = Path::between(
        Handshake::new(&left, &expecting(&right, Role::Client)),
        Handshake::new(&right, &expecting(&left, Role::Server)),
    );
    path.client.handle_remote(path.now, place(2));
    let (to_server, _) = path.drain(0);
    for datagram in &to_server {
        path.server.handle_datagram(path.now, datagram, place(1));
    }
    // The client's program starts again, with the same certificate and at the same place.
    path.client = Handshake::new(&left, &expecting(&right, Role::Client));
    path.run();
    path.assert_secured();
}

#[test]
fn a_lost_last_flight_is_repeated_for_who_asks_again() {
    let mut path = Path::new();
    path.client.handle_remote(path.now, place(2));
    // The server's last flight goes nowhere.
    loop {
        let (to_server, _) = path.drain(0);
        for datagram in &to_server {
            path.server.handle_datagram(path.now, datagram, place(1));
        }
        let (to_client, _) = path.drain(1);
        if path.server.is_secured() {
            assert!(!to_client.is_empty());
            break;
        }
        for datagram in &to_client {
            path.client.handle_datagram(path.now, datagram, place(2));
        }
    }
    assert!(!path.client.is_secured());
    path.run();
    path.assert_secured();
}

#[test]
fn another_certificate_than_the_announced_one_gives_no_keys_to_either_side() {
    let (left, right) = certificates();
    let other = Certificate::generate().unwrap();
    // The client was told of another server: it ends it, and the server hears that.
    let mut path = Path::between(
        Handshake::new(&left, &expecting(&other, Role::Client)),
        Handshake::new(&right, &expecting(&left, Role::Server)),
    );
    path.run();
    assert_eq!(path.events[0], [Event::Failed(Failure::WrongCertificate)]);
    assert_eq!(path.events[1], [Event::Failed(Failure::Refused)]);
    // The server was told of another client.
    let mut path = Path::between(
        Handshake::new(&left, &expecting(&right, Role::Client)),
        Handshake::new(&right, &expecting(&other, Role::Server)),
    );
    path.run();
    assert_eq!(path.events[1], [Event::Failed(Failure::WrongCertificate)]);
    assert!(!path.client.is_secured() && !path.server.is_secured());
    // Announced with a hash that is stronger than the one that fits.
    let mut peer = expecting(&right, Role::Client);
    peer.fingerprints
        .push(Fingerprint::of(Hash::Sha512, b"another"));
    let mut path = Path::between(
        Handshake::new(&left, &peer),
        Handshake::new(&right, &expecting(&left, Role::Server)),
    );
    path.run();
    assert_eq!(path.events[0], [Event::Failed(Failure::WrongCertificate)]);
}

#[test]
fn nobody_there_is_said_after_a_time_and_nobody_announced_is_our_fault() {
    let (left, right) = certificates();
    let mut alone = Handshake::new(&left, &expecting(&right, Role::Client));
    let began = Instant::now();
    let mut now = began;
    alone.handle_remote(now, place(2));
    let mut sent = 0;
    let failure = loop {
        match alone.poll_output() {
            Output::Transmit { .. } => sent += 1,
            Output::Event(event) => break event,
            Output::Deadline(at) => {
                now = at.expect("there is a deadline while it waits").max(now);
                alone.handle_timeout(now);
            }
        }
    };
    assert_eq!(failure, Event::Failed(Failure::NoAnswer));
    assert_eq!(now - began, Duration::from_secs(20));
    assert!((20..100).contains(&sent), "{sent} repetitions");
    assert_eq!(alone.poll_output(), Output::Deadline(None));

    let nobody = Peer {
        fingerprints: Vec::new(),
        role: Role::Server,
    };
    let mut handshake = Handshake::new(&left, &nobody);
    assert_eq!(
        handshake.poll_output(),
        Output::Event(Event::Failed(Failure::Ours))
    );
}

#[test]
fn strangers_neither_end_it_nor_take_its_place_nor_grow_it() {
    let (stranger, _) = certificates();
    let mut path = Path::new();
    path.server.handle_remote(path.now, place(1));
    // More strangers than there is room for begin a handshake with the server, and go no further.
    for n in 0..(3 * MOST_REMOTES as u8) {
        let to = Peer {
            fingerprints: vec![stranger.fingerprint().clone()],
            role: Role::Client,
        };
        let mut handshake = Handshake::new(&stranger, &to);
        handshake.handle_remote(path.now, place(2));
        let Output::Transmit { datagram, .. } = handshake.poll_output() else {
            panic!("no first flight");
        };
        path.server
            .handle_datagram(path.now, &datagram, place(100 + n));
    }
    let (_, _) = path.drain(1);
    // Junk of every kind in the peer's name and in others'.
    for first in 0..=255u8 {
        for length in [1, 13, 14, 60, 1_200] {
            let mut junk = vec![first; length];
            for from in [1, 2, 77] {
                path.client.handle_datagram(path.now, &junk, place(from));
                path.server.handle_datagram(path.now, &junk, place(from));
            }
            // A record of the first epoch, of version 1.2, whose length is right.
            if length > 13 {
                junk[1..3].copy_from_slice(&[0xFE, 0xFD]);
                junk[3..11].fill(0);
                junk[11..13].copy_from_slice(&((length - 13) as u16).to_be_bytes());
                path.server.handle_datagram(path.now, &junk, place(1));
                path.server.handle_datagram(path.now, &junk, place(78));
            }
        }
    }
    path.run();
    path.assert_secured();
    // And afterwards.
    let late = path.events.clone();
    for from in [1, 2, 77] {
        path.server
            .handle_datagram(path.now, &[22; 200], place(from));
        path.client
            .handle_datagram(path.now, &[21; 15], place(from));
    }
    path.exchange();
    assert_eq!(path.events, late);
}

/// The first datagram of a client that talks to `place(2)`.
fn first_flight(certificate: &Certificate) -> Vec<u8> {
    let mut client = Handshake::new(certificate, &expecting(certificate, Role::Client));
    client.handle_remote(Instant::now(), place(2));
    match client.poll_output() {
        Output::Transmit { datagram, .. } => datagram,
        other => panic!("{other:?}"),
    }
}

/// RFC 6347 §4.2.1: who has not returned the cookie may be anybody. The client comes from where nobody said that it is.
#[test]
fn strangers_that_are_not_there_take_no_place_from_an_unannounced_peer() {
    let mut hello = first_flight(&Certificate::generate().unwrap());
    for strangers in [MOST_REMOTES as u8, 60] {
        let mut path = Path::new();
        path.announced = place(200);
        path.server.handle_remote(path.now, path.announced);
        path.client.handle_remote(path.now, place(2));
        for n in 0..strangers {
            // Each with a random number of its own.
            hello[30] = n;
            path.server
                .handle_datagram(path.now, &hello, place(100 + n));
        }
        path.drain(1);
        let began = path.now;
        path.run();
        path.assert_secured();
        assert!(path.now - began < Duration::from_secs(1));
    }
}

/// RFC 6347 §4.2.1: a place that was paid for with the cookie is not for who has paid nothing, unless its holder sleeps.
#[test]
fn who_has_returned_the_cookie_keeps_its_place_and_who_sleeps_on_it_does_not() {
    let stranger = Certificate::generate().unwrap();
    let mut hello = first_flight(&stranger);
    // The client has returned the cookie, and the server's flight is on its way while strangers come.
    let mut path = Path::new();
    path.announced = place(200);
    path.client.handle_remote(path.now, place(2));
    for _ in 0..2 {
        let (to_server, _) = path.drain(0);
        for datagram in &to_server {
            path.server.handle_datagram(path.now, datagram, place(1));
        }
        let (to_client, _) = path.drain(1);
        for datagram in &to_client {
            path.client.handle_datagram(path.now, datagram, place(2));
        }
    }
    for n in 0..60 {
        hello[30] = n;
        path.server
            .handle_datagram(path.now, &hello, place(100 + n));
    }
    path.drain(1);
    path.run();
    path.assert_secured();
    // Strangers that are there, all places theirs, go no further.
    let mut path = Path::new();
    path.announced = place(200);
    path.server.handle_remote(path.now, path.announced);
    for n in 0..MOST_REMOTES as u8 {
        let to = expecting(&stranger, Role::Client);
        let mut client = Handshake::new(&stranger, &to);
        client.handle_remote(path.now, place(2));
        for _ in 0..2 {
            while let Output::Transmit { datagram, .. } = client.poll_output() {
                path.server
                    .handle_datagram(path.now, &datagram, place(100 + n));
            }
            while let Output::Transmit { datagram, .. } = path.server.poll_output() {
                client.handle_datagram(path.now, &datagram, place(2));
            }
        }
    }
    let began = path.now;
    path.run();
    path.assert_secured();
    let took = path.now - began;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// Everything that a side says until there is nothing more, with no time between.
fn said(handshake: &mut Handshake) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    while let Output::Transmit { datagram, .. } = handshake.poll_output() {
        said.push(datagram);
    }
    said
}

/// RFC 6347 §4.2.4: the server answers a repeated last flight for twice the time that TCP takes a segment to live.
#[test]
fn the_last_flight_is_repeated_for_four_minutes_at_a_rate_and_then_nothing_is_kept() {
    // A client that has said its last flight, and another time, each time with new numbers of the records.
    let repeating = || {
        let mut path = Path::new();
        path.client.handle_remote(path.now, place(2));
        while !path.server.is_secured() {
            let (to_server, _) = path.drain(0);
            for datagram in &to_server {
                path.server.handle_datagram(path.now, datagram, place(1));
            }
            if !path.server.is_secured() {
                for datagram in &said(&mut path.server) {
                    path.client.handle_datagram(path.now, datagram, place(2));
                }
            }
        }
        path.exchange_nothing();
        path
    };
    let mut path = repeating();
    let secured = path.now;
    let asked = |path: &mut Path, at: Duration| {
        // The client's own timer, whenever it would be: what counts is when it arrives.
        let Output::Deadline(Some(deadline)) = path.client.poll_output() else {
            panic!("the client waits for nothing");
        };
        path.client.handle_timeout(deadline);
        let flight = said(&mut path.client);
        assert!(!flight.is_empty());
        for datagram in &flight {
            path.server
                .handle_datagram(secured + at, datagram, place(1));
        }
        said(&mut path.server).len()
    };
    assert_eq!(asked(&mut path, Duration::from_secs(1)), 1);
    assert_eq!(asked(&mut path, Duration::from_millis(1_050)), 0);
    assert_eq!(asked(&mut path, Duration::from_millis(1_150)), 1);
    assert_eq!(asked(&mut path, Duration::from_secs(239)), 1);
    // Who asks in its name and has no keys gets nothing.
    let open = first_flight(&Certificate::generate().unwrap());
    path.server
        .handle_datagram(secured + Duration::from_secs(239), &open, place(1));
    assert_eq!(said(&mut path.server).len(), 0);
    let last = secured + Duration::from_secs(240);
    assert_eq!(path.server.poll_output(), Output::Deadline(Some(last)));
    path.server.handle_timeout(last);
    assert_eq!(path.server.poll_output(), Output::Deadline(None));
    assert_eq!(asked(&mut path, Duration::from_secs(241)), 0);
    // A client has nothing to repeat.
    let mut path = Path::new();
    path.run();
    path.assert_secured();
    assert_eq!(path.client.poll_output(), Output::Deadline(None));
}

#[test]
fn everything_of_a_handshake_that_holds_a_key_wipes_it() {
    fn wipes<T: zeroize::ZeroizeOnDrop>(_: &T) {}
    let mut path = Path::new();
    path.run();
    for keys in path.keys() {
        // Each field by its name: one that comes is to be looked at here.
        let Keys {
            profile: _,
            send,
            receive,
        } = keys;
        wipes(send);
        wipes(receive);
    }
    // The halves of the material, as they are taken apart.
    let material = zeroize::Zeroizing::new(vec![7; Profile::AeadAes256Gcm.material_len()]);
    let keys = Keys::from_material(Profile::AeadAes256Gcm, &material, true).unwrap();
    assert_eq!(keys.send.capacity(), keys.send.len());
}
