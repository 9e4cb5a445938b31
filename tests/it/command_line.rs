//! The command line is a contract: exit status, one JSON object per line, words for people on stderr.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::program::{self, Program};
use crate::rig::seconds;

#[test]
fn nonsense_is_a_usage_error() {
    let folder = Folder::new("usage");
    for line in [
        "dance",
        "call",
        "call sip:bob@example.com",
        "register --aor nonsense --password-env HOME",
        "register --aor sip:a@example.com --password-env TIPRING_NO_SUCH_VARIABLE",
        "register --aor sip:a@example.com --password-env HOME --transport pigeon",
        "switchboard --listen udp:nowhere",
    ] {
        let out = run(&folder, line, b"");
        assert_eq!(out.status.code(), Some(2), "{line}: {out:?}");
        assert!(!out.stderr.is_empty(), "{line}: no word about it");
    }
}

#[test]
fn a_good_message_is_valid_and_told_field_by_field() {
    let folder = Folder::new("parse_good");
    let message = b"INVITE sip:bob@example.com SIP/2.0\r\nv: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKa;rport\r\n\
        Max-Forwards: 70\r\nf: \"Alice, A\" <sip:alice@example.com>;tag=1\r\nt: <sip:bob@example.com>\r\ni: a@b\r\n\
        CSeq: 7 INVITE\r\nm: <sip:alice@192.0.2.1:5060>\r\nl: 4\r\n\r\nbody";
    let out = run(&folder, "sip parse -", message);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let parsed: Value = serde_json::from_slice(&out.stdout).expect("one JSON object");
    assert_eq!(parsed["verdict"], "valid", "{parsed}");
    assert!(parsed["layer"].is_null(), "{parsed}");
    assert_eq!(parsed["kind"], "request", "{parsed}");
    assert_eq!(parsed["method"], "INVITE", "{parsed}");
    assert_eq!(parsed["via"][0]["branch"], "z9hG4bKa", "{parsed}");
    assert_eq!(parsed["from"]["display"], "Alice, A", "{parsed}");
    assert_eq!(parsed["from"]["tag"], "1", "{parsed}");
    assert_eq!(parsed["to"]["user"], "bob", "{parsed}");
    assert_eq!(parsed["cseq"]["number"], 7, "{parsed}");
    assert_eq!(parsed["body_bytes"], 4, "{parsed}");
}

#[test]
fn any_bytes_are_judged_and_never_crash() {
    let folder = Folder::new("parse_bad");
    let cases: &[&[u8]] = &[
        b"",
        b"\0\0\0\0",
        b"\xff\xfe\r\n\r\n",
        b"INVITE\r\n\r\n",
        b"SIP/2.0 99999 No\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nCSeq: 99999999999999999999 OPTIONS\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS sip:a SIP/7.0\r\n\r\n",
    ];
    for bytes in cases {
        let out = run(&folder, "sip parse -", bytes);
        assert_eq!(out.status.code(), Some(1), "{bytes:?}: {out:?}");
        let parsed: Value = serde_json::from_slice(&out.stdout).expect("one JSON object");
        assert_eq!(parsed["verdict"], "invalid", "{parsed}");
        assert!(parsed["layer"].is_string(), "{parsed}");
    }
}

#[test]
fn a_stream_is_cut_into_its_messages() {
    let folder = Folder::new("parse_stream");
    let one = "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
        From: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 2\r\n\r\nab";
    let stream = format!("{one}\r\n\r\n{one}{one}");
    let out = run(&folder, "sip parse --stream -", stream.as_bytes());
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let lines = String::from_utf8_lossy(&out.stdout).lines().count();
    assert_eq!(lines, 3, "{out:?}");
}

#[test]
fn options_are_answered_with_their_round_trip() {
    let folder = Folder::new("options");
    let kamailio = Kamailio::start(&folder);
    let account = kamailio
        .account("alice@north.test", "udp")
        .with("--no-register");
    let outcome =
        Program::start(&folder, "alice", "options", &account, "sip:north.test").finish(seconds(15));
    outcome.assert_code(0);
    let told = outcome
        .events
        .iter()
        .any(|event| event.to_string().contains("200"));
    assert!(told, "{}", outcome.story);
}

#[test]
fn the_demo_runs_without_a_display_and_prints_its_ladder() {
    let folder = Folder::new("demo_headless");
    let home = folder.inner("home");
    let mut command = program::command(&home);
    let out = command
        .arg("demo")
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&out.stdout);
    std::fs::write(folder.join("demo.txt"), &*text).expect("the folder can be written");
    assert!(out.status.success(), "{out:?}");
    for word in ["INVITE", "200", "ACK", "BYE"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

/// Runs a command line, split at blanks, with `input` on stdin.
fn run(folder: &Folder, line: &str, input: &[u8]) -> Output {
    let mut command = program::command(&folder.inner("home"));
    let mut child = command
        .args(line.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input);
    child.wait_with_output().expect("the program ends")
}
