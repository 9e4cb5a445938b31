//! Fifty calls a second with logins through the built-in switchboard, and garbage at its listeners.
//!
//! `TIPRING_LOAD_SECONDS` says for how many seconds; without it half a minute. `cargo xtask bench load`
//! runs it for ten minutes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rig::folder::Folder;
use crate::rig::process::resident_kb;
use crate::rig::program::{self, Program, is};
use crate::rig::sipp::{Scenario, Sipp};
use crate::rig::{ports, seconds, switchboard};

const PER_SECOND: u32 = 50;
/// What is over is remembered for 64·T1, in case its last messages are repeated (RFC 3261 §17): from
/// then on memory does not rise.
const SETTLED_S: u64 = 40;
/// What it may rise by from then to the end, in hundredths.
const GROWTH_PERCENT: u64 = 5;

fn load_s() -> u32 {
    let asked = std::env::var("TIPRING_LOAD_SECONDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(30)
}

/// A switchboard that listens there; for one who is called at a port, with a user who has to sign in.
fn start(folder: &Folder, listen: &[String], callee: Option<u16>) -> Program {
    let mut command = program::command(&folder.inner("switchboard"));
    command.arg("--json").arg("switchboard").arg("--md5");
    for at in listen {
        command.args(["--listen", at]);
    }
    if let Some(callee) = callee {
        let inner = folder.inner("switchboard");
        let (users, hosts) = (inner.join("users.toml"), inner.join("hosts"));
        std::fs::write(&users, "[users]\nalice = \"pa\"\n").expect("a file");
        std::fs::write(&hosts, format!("bob.test 127.0.0.1:{callee}\n")).expect("a file");
        command
            .arg("--users")
            .arg(&users)
            .arg("--hosts")
            .arg(&hosts);
    }
    Program::spawn(folder, "switchboard", &mut command)
}

#[test]
fn fifty_calls_a_second_with_logins_are_all_carried_and_forgotten() {
    let folder = Folder::new("switchboard_calls");
    let port = ports::free();
    let calls = load_s() * PER_SECOND;
    let limit = seconds(u64::from(load_s()) + 90);
    let callee = Sipp::start(
        &folder,
        "callee",
        &Scenario::Text(&callee_scenario()),
        calls,
        &format!("-timeout {}", limit.as_secs()),
    );
    let listen = [format!("udp:127.0.0.1:{port}")];
    let mut board = start(&folder, &listen, Some(callee.port));
    switchboard::wait_taken(port, || {});
    // On a busy machine SIPp repeats itself, and takes a second challenge, which bears a nonce of its
    // own, for a mistake: it is to go on with the first, as every client transaction does (RFC 3261
    // §17.1.1.2). A call that does not come to its end is lost all the same.
    let args = format!(
        "-s bob 127.0.0.1:{port} -r {PER_SECOND} -d 1000 -timeout {} -default_behaviors all,-abortunexp",
        limit.as_secs()
    );
    let caller = Sipp::start(
        &folder,
        "caller",
        &Scenario::Text(&caller_scenario()),
        calls,
        &args,
    );
    let id = board.id();
    let settled = std::thread::spawn(move || {
        std::thread::sleep(seconds(SETTLED_S.min(u64::from(load_s()) * 9 / 10)));
        resident_kb(id)
    });
    caller.assert_all_went_well(limit);
    callee.assert_all_went_well(seconds(60));
    let late = resident_kb(id);
    let early = settled.join().expect("the sampler does not panic");
    // A short run ends while the table of what may be repeated still fills.
    if u64::from(load_s()) > SETTLED_S {
        assert!(
            late <= early + early * GROWTH_PERCENT / 100,
            "memory grew from {early} kB to {late} kB"
        );
    }
    println!(
        "{calls} calls at {PER_SECOND} a second: {early} kB when settled, {late} kB at the end"
    );
    // 32 s later nothing of it is under way.
    let forgotten = |event: &Value| {
        is(event, "counts")
            && event["requests"] == 0
            && event["lines"] == 0
            && event["looked_at"].as_u64() > Some(u64::from(calls) * 5)
    };
    let counts = board.wait_for("end of all requests", seconds(90), forgotten);
    assert_eq!(counts["dropped"], 0, "{counts}");
    assert_eq!(counts["refused_full"], 0, "{counts}");
}

#[test]
fn garbage_at_every_listener_is_survived_and_leaves_nothing() {
    let folder = Folder::new("switchboard_garbage");
    let (udp, ws) = (ports::free(), ports::free());
    let listen = [
        format!("udp:127.0.0.1:{udp}"),
        format!("tcp:127.0.0.1:{udp}"),
        format!("ws:127.0.0.1:{ws}"),
    ];
    let mut board = start(&folder, &listen, None);
    switchboard::wait_taken(udp, || {});
    let before = resident_kb(board.id());
    let mut dice = Dice(0x0dd5_eed5);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let began = Instant::now();
    for turn in 0..40_000_u32 {
        let message = dice.message(udp);
        let _ = socket.send_to(&message, (Ipv4Addr::LOCALHOST, udp));
        if turn % 100 == 0 {
            for port in [udp, ws] {
                let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                if let Ok(mut stream) = TcpStream::connect_timeout(&at, seconds(5)) {
                    if port == ws && dice.below(2) == 0 {
                        let _ = stream.write_all(UPGRADE);
                    }
                    let _ = stream.write_all(&dice.message(udp));
                    let _ = stream.write_all(&dice.message(udp));
                }
            }
        }
        if turn % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    println!(
        "40000 datagrams and 800 connections in {:?}",
        began.elapsed()
    );
    // Somebody else is answered, by each way.
    let other = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).expect("a socket");
    other
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a time to wait");
    let local = other.local_addr().expect("an address");
    let mut buffer = [0_u8; 4_096];
    // The datagrams before it may still fill the kernel's buffer: as every client, it asks again.
    let answered = (0..10).find_map(|_| {
        let question = options("UDP", local, udp);
        let to = (Ipv4Addr::LOCALHOST, udp);
        other.send_to(question.as_bytes(), to).expect("sent");
        other.recv(&mut buffer).ok()
    });
    let length = answered.expect("an answer by UDP");
    assert!(buffer[..length].starts_with(b"SIP/2.0 200"));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, udp)).expect("a connection");
    stream
        .set_read_timeout(Some(seconds(5)))
        .expect("a time to wait");
    let local = stream.local_addr().expect("an address");
    stream
        .write_all(options("TCP", local, udp).as_bytes())
        .expect("sent");
    let length = stream.read(&mut buffer).expect("an answer by TCP");
    assert!(buffer[..length].starts_with(b"SIP/2.0 200"));
    let quiet = |event: &Value| is(event, "counts") && event["requests"] == 0;
    board.wait_for("end of all requests", seconds(300), quiet);
    let after = resident_kb(board.id());
    assert!(after < before + 96 * 1024, "{before} kB became {after} kB");
}

const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: sip\r\n\r\n";

fn options(transport: &str, local: SocketAddr, port: u16) -> String {
    format!(
        "OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bKq;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:q@x>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: q\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A small generator: the test needs variety, not quality.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    /// A message, mostly with something wrong; or nothing like one.
    fn message(&mut self, port: u16) -> Vec<u8> {
        if self.below(4) == 0 {
            let length = self.below(1_400);
            return (0..length).map(|_| self.below(256) as u8).collect();
        }
        let methods = [
            "INVITE",
            "ACK",
            "BYE",
            "CANCEL",
            "REGISTER",
            "SUBSCRIBE",
            "PUBLISH",
            "MESSAGE",
            "REFER",
        ];
        let method = methods[self.below(methods.len())];
        let users = ["echo", "forgets", "early", "bob", "404", "circle"];
        let user = users[self.below(users.len())];
        let extras = [
            "Contact: <sip:bob@127.0.0.1:9>\r\nExpires: 60\r\n",
            "Contact: *\r\nExpires: 0\r\n",
            "Event: dialog\r\nContact: <sip:x@127.0.0.1:9>\r\n",
            "Route: <sip:AAAA@127.0.0.1;lr>\r\n",
            "Authorization: Digest response = \"x\"\r\n",
            "Content-Length: 99999\r\n",
        ];
        let extra = extras[self.below(extras.len())];
        let mut text = format!(
            "{method} sip:{user}@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bob@127.0.0.1>;tag={}\r\nTo: <sip:{user}@127.0.0.1>\r\n\
             Call-ID: {}\r\nCSeq: {} {method}\r\n{extra}\r\n",
            self.below(100_000),
            self.below(9),
            self.below(500),
            self.below(99),
        )
        .into_bytes();
        for _ in 0..self.below(5) {
            let at = self.below(text.len());
            text[at] = self.below(256) as u8;
        }
        text
    }
}

/// What both sides offer.
const SESSION: &str = "Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
";
/// Nothing to say.
const EMPTY: &str = "Content-Length: 0\n\n";
/// SIPp's word for an answer to the challenge before.
const LOGIN: &str = "[authentication username=alice password=pa]\n";

/// Signs in with a login, calls with a login, and hangs up after a second.
fn caller_scenario() -> String {
    let request = |method: &str, to: &str, cseq: u32, more: &str| {
        let uri = match method {
            "REGISTER" => "sip:127.0.0.1:[remote_port]",
            "INVITE" => "sip:[service]@bob.test",
            _ => "[next_url]",
        };
        let (call_id, tag) = match method {
            "REGISTER" => ("r///[call_id]", "r"),
            _ => ("[call_id]", "c"),
        };
        format!(
            "{method} {uri} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:alice@127.0.0.1>;tag=[pid]{tag}[call_number]
To: {to}
Call-ID: {call_id}
CSeq: {cseq} {method}
{more}"
        )
    };
    let register = |cseq, login: &str| {
        let contact = "Contact: <sip:alice@[local_ip]:[local_port]>;expires=3600\n";
        let more = format!("{contact}{login}{EMPTY}");
        send(
            true,
            &request("REGISTER", "<sip:alice@127.0.0.1>", cseq, &more),
        )
    };
    let invite = |cseq, login: &str| {
        let more = format!("Contact: <sip:alice@[local_ip]:[local_port]>\n{login}{SESSION}");
        send(
            true,
            &request("INVITE", "<sip:[service]@bob.test>", cseq, &more),
        )
    };
    let peer = "<sip:[service]@bob.test>[peer_tag_param]";
    let within = |method: &str, cseq, repeats| {
        send(
            repeats,
            &request(method, peer, cseq, &format!("[routes]\n{EMPTY}")),
        )
    };
    // RFC 3261 §17.1.1.3: the ACK of a failure has the request URI and the branch of its INVITE.
    let refused = request("ACK", peer, 3, EMPTY)
        .replace("[next_url]", "sip:[service]@bob.test")
        .replace("[branch]", "[branch-3]");
    scenario(&[
        register(1, ""),
        receive("response=\"401\" auth=\"true\""),
        register(2, LOGIN),
        receive("response=\"200\""),
        invite(3, ""),
        receive("response=\"407\" auth=\"true\""),
        send(false, &refused),
        invite(4, LOGIN),
        receive("response=\"100\" optional=\"true\""),
        receive("response=\"180\" optional=\"true\""),
        receive("response=\"200\" rrs=\"true\""),
        within("ACK", 4, false),
        "<pause/>".to_owned(),
        within("BYE", 5, true),
        receive("response=\"200\""),
    ])
}

/// Answers, and says by which way it was called: SIPp's own scenario does not.
fn callee_scenario() -> String {
    let answer = |status: &str, routes: &str, more: &str| {
        format!(
            "SIP/2.0 {status}
[last_Via:]
{routes}[last_From:]
[last_To:];tag=[pid]b[call_number]
[last_Call-ID:]
[last_CSeq:]
{more}"
        )
    };
    let routes = "[last_Record-Route:]\n";
    let contact = "Contact: <sip:bob@[local_ip]:[local_port]>\n";
    let bye = answer("200 OK", "", EMPTY).replace(";tag=[pid]b[call_number]", "");
    scenario(&[
        receive("request=\"INVITE\""),
        send(
            false,
            &answer("180 Ringing", routes, &format!("{contact}{EMPTY}")),
        ),
        send(
            true,
            &answer("200 OK", routes, &format!("{contact}{SESSION}")),
        ),
        receive("request=\"ACK\""),
        receive("request=\"BYE\""),
        send(false, &bye),
        "<timewait milliseconds=\"4000\"/>".to_owned(),
    ])
}

fn scenario(steps: &[String]) -> String {
    let steps = steps.join("\n");
    format!(
        "<?xml version=\"1.0\" encoding=\"us-ascii\"?>\n<scenario name=\"load\">\n{steps}\n</scenario>\n"
    )
}

/// Sends a message, again and again until something comes where it repeats.
fn send(repeats: bool, message: &str) -> String {
    let repeats = if repeats { " retrans=\"500\"" } else { "" };
    format!("<send{repeats}><![CDATA[\n{message}]]></send>")
}

fn receive(what: &str) -> String {
    format!("<recv {what}></recv>")
}
