//! Bytes that nobody should send, at the sockets of the switchboard and of a waiting phone: nothing
//! rings, nothing grows, and the next honest call goes through.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::rig::folder::Folder;
use crate::rig::process::resident_kb;
use crate::rig::program::{Account, Program, SOON, is};
use crate::rig::{ports, seconds, switchboard};

/// Datagrams of each kind.
const MANY: u32 = 4_000;

/// What hostile input may cost in kB: the flight recorder keeps the newest 64 MB of what came.
const MOST_KB: u64 = 112 * 1024;
/// What the same again may cost once it is full.
const MORE_KB: u64 = 6 * 1024;

#[test]
fn a_switchboard_survives_garbage() {
    let folder = Folder::new("hostile_switchboard");
    let (mut switchboard, port) = switchboard::start(&folder);
    check_memory(switchboard.id(), || {
        bombard(port);
        bombard_stream(port);
    });
    switchboard.assert_alive();

    let alice = Account::new(format!("sip:alice@127.0.0.1:{port}"), "--transport udp");
    let outcome =
        Program::start(&folder, "alice", "call", &alice, "600 --for 2s").finish(seconds(30));
    outcome.assert_code(0);
    switchboard.assert_alive();
}

#[test]
fn a_waiting_phone_survives_garbage_and_does_not_ring() {
    let folder = Folder::new("hostile_phone");
    let port = ports::free();
    let account = Account::new(
        "sip:bob@127.0.0.1",
        &format!("--no-register --transport udp --bind 127.0.0.1:{port}"),
    );
    let bob = Program::start(&folder, "bob", "answer", &account, "--count 1");
    switchboard::wait_taken(port, || {});
    check_memory(bob.id(), || bombard(port));
    let rang = bob.events().iter().any(|event| is(event, "call"));
    assert!(!rang, "garbage made it ring\n{}", bob.story());

    let alice = Account::new("sip:alice@127.0.0.1", "--no-register --transport udp");
    let args = format!("sip:bob@127.0.0.1:{port} --for 2s");
    let outcome = Program::start(&folder, "alice", "call", &alice, &args).finish(seconds(30));
    outcome.assert_code(0);
    bob.finish(SOON).assert_code(0);
}

/// Attacks until the recorder is full and twice more: then nothing grows.
fn check_memory(id: u32, attack: impl Fn()) {
    let mut memory = vec![resident_kb(id)];
    for _ in 0..7 {
        attack();
        memory.push(resident_kb(id));
    }
    let [first, .., full, more] = memory[..] else {
        unreachable!("there are eight figures");
    };
    assert!(
        more < first + MOST_KB,
        "memory grew too much: {memory:?} kB"
    );
    assert!(
        more < full + MORE_KB,
        "memory does not stop growing: {memory:?} kB"
    );
}

/// Noise, broken messages, empty ones, oversized ones, answers that nobody asked for.
fn bombard(port: u16) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
    socket
        .connect((Ipv4Addr::LOCALHOST, port))
        .expect("a datagram socket can be pointed");
    let mut dice = Dice(0x5eed);
    let template = template();
    for number in 0..MANY {
        let datagram = match number % 6 {
            0 => dice.bytes(1_200),
            1 => dice.spoil(template.as_bytes(), 6),
            2 => template.as_bytes()[..dice.below(template.len())].to_vec(),
            3 => format!(
                "INVITE sip:x SIP/2.0\r\n{}\r\n",
                "a:b\r\n".repeat(dice.below(8_000))
            )
            .into_bytes(),
            4 => template
                .replace("INVITE sip:bob@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK")
                .into_bytes(),
            _ => format!(
                "INVITE sip:{} SIP/2.0\r\n\r\n",
                "x".repeat(dice.below(60_000))
            )
            .into_bytes(),
        };
        // A full queue or an ICMP error of an earlier one is none of our concern.
        let _ = socket.send(&datagram);
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // What it may want to say is read and thrown away, so that nothing piles up.
    let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
    while socket.recv(&mut [0; 2048]).is_ok() {}
}

/// The same over streams: lengths that lie, headers that never end, connections that stay silent.
fn bombard_stream(port: u16) {
    let mut dice = Dice(0xfeed);
    let mut open = Vec::new();
    for number in 0..120 {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
            continue;
        };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
        let bytes = match number % 5 {
            0 => dice.bytes(20_000),
            1 => template()
                .replace("Content-Length: 0", "Content-Length: 4294967296")
                .into_bytes(),
            2 => format!("INVITE sip:x SIP/2.0\r\nX: {}", "y".repeat(300_000)).into_bytes(),
            3 => b"\r\n".repeat(20_000),
            _ => Vec::new(),
        };
        // Being cut off in the middle is what we hope for.
        let _ = stream.write_all(&bytes);
        open.push(stream);
    }
}

/// A message that is almost right: its target is nobody's.
fn template() -> String {
    "INVITE sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKhostile\r\nMax-Forwards: 70\r\n\
     From: <sip:mallory@127.0.0.1>;tag=m\r\nTo: <sip:bob@127.0.0.1>;tag=none\r\nCall-ID: hostile\r\nCSeq: 1 INVITE\r\n\
     Contact: <sip:mallory@127.0.0.1:9>\r\nContent-Length: 0\r\n\r\n"
        .to_owned()
}

/// A small generator (splitmix64): the same garbage each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let count = self.below(longest);
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Changes some bytes.
    fn spoil(&mut self, original: &[u8], changes: usize) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..changes {
            let at = self.below(bytes.len());
            bytes[at] = self.next() as u8;
        }
        bytes
    }
}
