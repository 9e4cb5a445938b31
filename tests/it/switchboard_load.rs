//! Fifty calls a second with logins through the built-in switchboard.
//!
//! `SWITCHBOARD_LOAD_S` says for how many seconds; without it half a minute.

use serde_json::Value;

use crate::rig::folder::Folder;
use crate::rig::process::resident_kb;
use crate::rig::program::{self, Program, is};
use crate::rig::sipp::{Scenario, Sipp};
use crate::rig::{ports, seconds, switchboard};

const PER_SECOND: u32 = 50;
/// What is over is remembered for 64·T1, in case its last messages are repeated: from then on memory
/// does not rise.
const SETTLED_S: u64 = 40;
/// What it may rise by from then to the end, in hundredths.
const GROWTH_PERCENT: u64 = 5;
/// The allocator gives back and takes again in pieces of this size, in kB.
const NOISE_KB: u64 = 2 * 1024;

fn load_s() -> u32 {
    let asked = std::env::var("SWITCHBOARD_LOAD_S").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(30)
}

/// A switchboard with a user who has to sign in, and the name of one who is called at a port.
fn start(folder: &Folder, port: u16, callee: u16) -> Program {
    let mut command = program::command(&folder.inner("switchboard"));
    command.arg("--json").arg("switchboard").arg("--md5");
    command.args(["--listen", &format!("udp:127.0.0.1:{port}")]);
    let inner = folder.inner("switchboard");
    let (users, hosts) = (inner.join("users.toml"), inner.join("hosts"));
    std::fs::write(&users, "[users]\nalice = \"pa\"\n").expect("a file");
    std::fs::write(&hosts, format!("bob.test 127.0.0.1:{callee}\n")).expect("a file");
    command
        .arg("--users")
        .arg(&users)
        .arg("--hosts")
        .arg(&hosts);
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
        &Scenario::Text(CALLEE),
        calls,
        &format!("-timeout {}", limit.as_secs()),
    );
    let mut board = start(&folder, port, callee.port);
    switchboard::wait_taken(port, || {});
    let args = format!(
        "-s bob 127.0.0.1:{port} -r {PER_SECOND} -d 1000 -timeout {}",
        limit.as_secs()
    );
    let caller = Sipp::start(&folder, "caller", &Scenario::Text(CALLER), calls, &args);
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
            late <= early + early * GROWTH_PERCENT / 100 + NOISE_KB,
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

/// Signs in with a login, calls with a login, and hangs up after a second.
const CALLER: &str = r#"<?xml version="1.0" encoding="us-ascii"?>
<scenario name="caller who signs in and calls">
<send retrans="500"><![CDATA[
REGISTER sip:127.0.0.1:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:alice@127.0.0.1>;tag=[pid]r[call_number]
To: <sip:alice@127.0.0.1>
Call-ID: r///[call_id]
CSeq: 1 REGISTER
Contact: <sip:alice@[local_ip]:[local_port]>;expires=3600
Content-Length: 0

]]></send>
<recv response="401" auth="true"></recv>
<send retrans="500"><![CDATA[
REGISTER sip:127.0.0.1:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:alice@127.0.0.1>;tag=[pid]r[call_number]
To: <sip:alice@127.0.0.1>
Call-ID: r///[call_id]
CSeq: 2 REGISTER
Contact: <sip:alice@[local_ip]:[local_port]>;expires=3600
[authentication username=alice password=pa]
Content-Length: 0

]]></send>
<recv response="200"></recv>
<send retrans="500"><![CDATA[
INVITE sip:[service]@bob.test SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:alice@127.0.0.1>;tag=[pid]c[call_number]
To: <sip:[service]@bob.test>
Call-ID: [call_id]
CSeq: 3 INVITE
Contact: <sip:alice@[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
<recv response="407" auth="true"></recv>
<send><![CDATA[
ACK sip:[service]@bob.test SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch-3]
Max-Forwards: 70
From: <sip:alice@127.0.0.1>;tag=[pid]c[call_number]
To: <sip:[service]@bob.test>[peer_tag_param]
Call-ID: [call_id]
CSeq: 3 ACK
Content-Length: 0

]]></send>
<send retrans="500"><![CDATA[
INVITE sip:[service]@bob.test SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:alice@127.0.0.1>;tag=[pid]c[call_number]
To: <sip:[service]@bob.test>
Call-ID: [call_id]
CSeq: 4 INVITE
Contact: <sip:alice@[local_ip]:[local_port]>
[authentication username=alice password=pa]
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
<recv response="100" optional="true"></recv>
<recv response="180" optional="true"></recv>
<recv response="200" rrs="true" rtd="true"></recv>
<send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
[routes]
From: <sip:alice@127.0.0.1>;tag=[pid]c[call_number]
To: <sip:[service]@bob.test>[peer_tag_param]
Call-ID: [call_id]
CSeq: 4 ACK
Content-Length: 0

]]></send>
<pause/>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
[routes]
From: <sip:alice@127.0.0.1>;tag=[pid]c[call_number]
To: <sip:[service]@bob.test>[peer_tag_param]
Call-ID: [call_id]
CSeq: 5 BYE
Content-Length: 0

]]></send>
<recv response="200" crlf="true"></recv>
</scenario>
"#;

/// Answers, and says by which way it was called: SIPp's own scenario does not.
const CALLEE: &str = r#"<?xml version="1.0" encoding="us-ascii"?>
<scenario name="somebody who answers and stays on the route">
<recv request="INVITE"></recv>
<send><![CDATA[
SIP/2.0 180 Ringing
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=[pid]b[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:bob@[local_ip]:[local_port]>
Content-Length: 0

]]></send>
<send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=[pid]b[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:bob@[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
<recv request="ACK" crlf="true"></recv>
<recv request="BYE"></recv>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
<timewait milliseconds="4000"/>
</scenario>
"#;
