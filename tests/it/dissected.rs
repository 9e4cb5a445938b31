//! Our STUN, TURN and DTLS, as somebody else's dissector (tshark) reads them.

use std::process::Command;

use crate::rig::coturn::Coturn;
use crate::rig::folder::Folder;
use crate::rig::process::{self, Process, signal};
use crate::rig::program::{Account, Program, SOON};
use crate::rig::{ports, seconds, switchboard, until};

/// From here on tshark calls it a warning.
const WARNING: u64 = 0x0060_0000;

#[test]
fn nothing_is_wrong_with_our_stun_turn_and_dtls_in_the_eyes_of_tshark() {
    let folder = Folder::new("dissected");
    let coturn = Coturn::start(&folder);
    let capture = folder.join("call.pcapng");
    let mut command = Command::new("tshark");
    command.args(["-i", "lo", "-f", "udp", "-w"]).arg(&capture);
    let mut tshark = Process::start("tshark", &folder, &mut command);
    until("tshark to capture", SOON, || {
        tshark.assert_alive();
        tshark.log().contains("Capturing on").then_some(())
    });
    let port = ports::free();
    let account = |name: &str, more: &str| {
        let more = format!(
            "--no-register --transport udp --codecs pcmu --srtp required --srtp-keys dtls {more}"
        );
        Account::new(format!("sip:{name}@127.0.0.1"), &more)
    };
    let bob = account("bob", &format!("--bind 127.0.0.1:{port}"));
    let bob = Program::start(&folder, "bob", "answer", &bob, "--count 1 --echo");
    switchboard::wait_taken(port, || {});
    let uri = coturn.uri("udp");
    let alice = account(
        "alice",
        &format!("--stun 127.0.0.1:{} --turn {uri}", coturn.port),
    );
    let args = format!("sip:bob@127.0.0.1:{port} --for 3s");
    let alice = Program::start(&folder, "alice", "call", &alice, &args);
    alice.finish(seconds(20)).assert_code(0);
    bob.finish(SOON).assert_code(0);
    signal(tshark.id(), "INT");
    tshark.wait(SOON);

    // What coturn says is its own business.
    let ours = format!("udp.srcport != {}", coturn.port);
    let count = |what: &str| {
        let mut command = Command::new("tshark");
        command
            .arg("-r")
            .arg(&capture)
            .args(["-d", &format!("udp.port=={},turnchannel", coturn.port)]);
        command.args([
            "-Y",
            &format!("({what}) && {ours}"),
            "-T",
            "fields",
            "-e",
            "frame.number",
        ]);
        command.args(["-e", "_ws.expert.message"]);
        let found = process::output(&mut command);
        (found.lines().count(), found)
    };
    let (stun, _) = count("stun");
    let (dtls, _) = count("dtls");
    assert!(stun >= 6, "{stun} STUN messages were seen");
    assert!(dtls >= 4, "{dtls} DTLS datagrams were seen");
    let (wrong, which) = count(&format!(
        "(stun || dtls) && _ws.expert.severity >= {WARNING}"
    ));
    assert_eq!(wrong, 0, "{which}");
    println!("\n{stun} STUN messages and {dtls} DTLS datagrams of ours, none of them wrong");
}
