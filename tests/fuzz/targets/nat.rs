//! What comes to a media port and is STUN: questions, checks of ways, a relay's words, and its stream.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use nat::ice::{Agent, Base, Component, Credentials, Output, Session, Way};
use nat::stun::Binding;
use nat::turn::{self, Client, Config, Frames, Login};

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let place = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let credentials = |name: &str| Credentials {
        ufrag: name.to_owned(),
        pwd: format!("{name}-with-a-password-of-its-own"),
    };
    let base = |socket: u8, component, relayed| Base {
        socket,
        component,
        at: place(4000 + u16::from(socket)),
        mapped: None,
        relayed,
    };
    let session = Session {
        local: credentials("left"),
        remote: credentials("right"),
        bases: vec![
            base(0, Component::Media, Some(place(5000))),
            base(1, Component::Reports, None),
        ],
        candidates: vec![
            "1 1 udp 1 192.0.2.1 6000 typ host".to_owned(),
            "1 2 udp 1 192.0.2.1 6001 typ host".to_owned(),
        ],
        controlling: true,
    };
    let mut agent = Agent::new(now, &session);
    let config = Config {
        server: place(3478),
        reliable: false,
        ipv6: false,
        login: Some(Login::new("alice", "secret")),
        seed: [7; 16],
    };
    let mut client = Client::new(now, config);
    let mut frames = Frames::default();
    let mut rest = data;
    // Two bytes before each datagram: its length, and the hundredths of a second since the last with who gets it.
    while let [length, wait, after @ ..] = rest {
        let (datagram, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(wait >> 1) * 10);
        let _ = Binding::read(datagram);
        let relayed = wait & 1 == 1;
        let to = place(6000);
        let socket = length & 1;
        let way = Way {
            to,
            socket,
            relayed,
        };
        agent.handle_datagram(now, datagram, way);
        agent.handle_timeout(now);
        while !matches!(agent.poll_output(), Output::Deadline(_)) {}
        client.handle_datagram(now, datagram);
        client.want(now, to);
        client.handle_timeout(now);
        while !matches!(client.poll_output(), turn::Output::Deadline(_)) {}
        frames.push(datagram);
        while let Ok(Some(_)) = frames.poll() {}
    }
});
