//! Every way to a server that there is: UDP, TCP, TLS, WebSocket and secure WebSocket over IPv4 and IPv6, with
//! kamailio at the other end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::program::{Program, SOON, is};
use crate::rig::seconds;

const WAYS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];

#[test]
fn accounts_sign_in_call_and_sign_out_by_every_way() {
    let folder = Folder::new("ways");
    let kamailio = Kamailio::start(&folder);
    println!("\nway   address    signed in  connected  media  signed out");
    for host in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        for way in WAYS {
            go(&folder, &kamailio, way, host);
        }
    }
}

fn go(folder: &Folder, kamailio: &Kamailio, way: &str, host: IpAddr) {
    let family = if host.is_ipv4() { "v4" } else { "v6" };
    let bob = kamailio.account_at("bob@south.test", way, host);
    let name = format!("bob-{way}-{family}");
    let started = Instant::now();
    let mut bob = Program::start(folder, &name, "answer", &bob, "--count 1 --echo");
    bob.wait_registered();
    let signed_in = started.elapsed();

    let alice = kamailio.account_at("alice@north.test", way, host);
    let name = format!("alice-{way}-{family}");
    let started = Instant::now();
    let mut alice = Program::start(folder, &name, "call", &alice, "sip:bob@south.test --for 3s");
    alice.wait_call("connected");
    let connected = started.elapsed();
    let alice = alice.finish(seconds(20));
    alice.assert_code(0);
    let media = alice.events.iter().rfind(|event| is(event, "media"));
    let media = media.unwrap_or_else(|| panic!("no event about media\n{}", alice.story));
    assert!(media["received"].as_u64() > Some(80), "{media}");
    let bob = bob.finish(SOON);
    bob.assert_code(0);

    let log = kamailio.log();
    let seen = |method: &str, user: &str| {
        log.lines().any(|line| {
            line.contains(&format!("SEEN {method} "))
                && line.contains(user)
                && line.ends_with(&format!("/{way}"))
        })
    };
    assert!(seen("REGISTER", "bob@south.test"), "{log}");
    assert!(seen("INVITE", "alice@north.test"), "{log}");
    assert!(seen("BYE", "alice@north.test"), "{log}");
    // Signed in after a challenge and signed out: at least three, and the last says 0.
    let signed_out = log
        .lines()
        .rfind(|line| line.contains("SEEN REGISTER") && line.contains("bob@south.test"))
        .is_some_and(|line| line.contains(" for 0 "));
    assert!(signed_out, "{log}");
    println!(
        "{way:<5} {host:<10} {:>6} ms  {:>6} ms  {:>5}  yes",
        signed_in.as_millis(),
        connected.as_millis(),
        media["received"],
    );
}
