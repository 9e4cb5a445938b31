//! The command line is a contract: exit status, one JSON object per line, words for people on stderr.

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::rig::desktop::Screen;
use crate::rig::folder::Folder;
use crate::rig::kamailio::Kamailio;
use crate::rig::peer::{Heard, Peer, description};
use crate::rig::process::{self, Process};
use crate::rig::program::{self, Account, Program, SOON, is};
use crate::rig::{ports, seconds, switchboard, until};

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

/// What is typed, the exit status, and what stderr must name.
const FAULTS: &[(&str, i32, &str)] = &[
    ("call 600 @A --play missing.wav", 2, "missing.wav"),
    ("call 600 @A --play .", 2, "cannot be played"),
    ("call 600 @A --audio null --record .", 2, "is a folder"),
    (
        "call 600 @A --audio null --record no/where.wav",
        2,
        "no folder no",
    ),
    ("call 600 @A --account alice", 2, "cannot be used with"),
    ("call 600 --account nobody", 2, "nobody"),
    ("call mailto:bob@b.test @A", 2, "cannot be called"),
    ("call https://b.test/x @A", 2, "not with https:"),
    ("call urn:service:sos @A", 2, "not with urn:"),
    ("call 600 @A --host pbx", 2, "pbx.test=192.0.2.1"),
    ("call 600 @A --host pbx=here", 2, "here"),
    ("call 600 @A --header X-Room", 2, "X-Room: 42"),
    ("call 600 @A --codecs gsm", 2, "gsm"),
    ("call 600 @A --count 0", 2, "0 is not in 1"),
    ("call 600 @A --rate nan", 2, "calls a second"),
    ("call 600 @A --dtmf-send 12x3", 2, "“x” is no digit"),
    ("answer @A --dtmf-send 1-2", 2, "“-” is no digit"),
    ("register @A --tls-ca missing.pem", 2, "missing.pem"),
    ("register @A --bind nowhere", 2, "nowhere"),
    (
        "register @A --password-env TIPRING_NO_SUCH",
        2,
        "TIPRING_NO_SUCH is not set",
    ),
    (
        "switchboard --listen pigeon:127.0.0.1:5061",
        2,
        "pigeon:127.0.0.1:5061",
    ),
    (
        "switchboard --listen udp:127.0.0.1:@TAKEN",
        2,
        "another program uses it",
    ),
    (
        "switchboard --listen udp:192.0.2.1:5060",
        2,
        "no such address",
    ),
    (
        "switchboard --users missing.toml",
        2,
        "missing.toml: there is no such file",
    ),
    ("switchboard --users @JUNK", 2, "line 1"),
    ("switchboard --hosts .", 2, "a file is needed"),
    ("switchboard --hosts @JUNK", 2, "line 1"),
    (
        "switchboard --listen udp:127.0.0.1:0 --log .",
        2,
        "a file is needed",
    ),
    (
        "switchboard --listen udp:127.0.0.1:0 --log no/where",
        2,
        "no/where",
    ),
    (
        "trace list --filter metod:INVITE",
        2,
        "no key “metod”; the keys are tenant",
    ),
    ("trace list --filter metod=INVITE", 2, "no key “metod”"),
    ("trace list --filter method:", 2, "after the key “method”"),
    ("trace list --tenant nobody", 2, "nobody"),
    ("trace list --config @JUNK", 2, "a file and no folder"),
    ("headless --config @JUNK", 2, "control socket"),
    ("headless --control .", 2, "control socket"),
    ("ctl ping", 2, "not running"),
    ("ctl ping [1]", 2, "JSON object"),
    (
        "sip parse missing.sip",
        2,
        "missing.sip: there is no such file",
    ),
    ("sip parse .", 2, "a file is needed"),
    ("", 2, "no display"),
];

#[test]
fn a_fault_is_one_sentence_that_says_what_to_look_at() {
    let folder = Folder::new("faults");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let taken = (taken.local_addr().expect("it is bound").port(), taken);
    let junk = folder.inner("home").join("junk");
    std::fs::write(&junk, "one two three\n").expect("the folder can be written");
    for (line, code, named) in FAULTS {
        let line = line
            .replace("@A", "--aor sip:alice@127.0.0.1:9 --no-register")
            .replace("@TAKEN", &taken.0.to_string())
            .replace("@JUNK", &junk.display().to_string());
        let out = run(&folder, &line, b"");
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(*code), "{line}: {out:?}");
        assert!(text.contains(named), "{line}: {named} is missing in {text}");
        assert!(!text.contains("os error"), "{line}: {text}");
        // Faults of single arguments are told by the parser of the command line, in its own form.
        let Some(sentence) = text.strip_prefix("tipring: ") else {
            assert!(text.starts_with("error: "), "{line}: {text}");
            continue;
        };
        assert_eq!(sentence.trim_end().lines().count(), 1, "{line}: {text}");
        let mut parts: Vec<_> = sentence.trim_end().split(": ").collect();
        let count = parts.len();
        parts.sort_unstable();
        parts.dedup();
        assert_eq!(parts.len(), count, "{line}: said twice: {text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_stdout_is_said() {
    let folder = Folder::new("full");
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has a full disk");
    let message = folder.join("message.sip");
    std::fs::write(&message, "OPTIONS sip:a SIP/2.0\r\n\r\n").expect("the folder can be written");
    let out = program::command(&folder.inner("home"))
        .args(["sip", "parse"])
        .arg(&message)
        .stdin(Stdio::null())
        .stdout(full)
        .output()
        .expect("the program starts");
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("the disk is full"), "{text}");
}

#[test]
fn limits_hold_with_a_server_that_says_nothing() {
    let folder = Folder::new("limits");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let server = silent.local_addr().expect("it is bound");
    for (line, named) in [
        ("register @A --for 3s --json", "not registered after 3 s"),
        ("options sip:bob@@S @A --for 2s --json", "\"options\""),
        (
            "call bob @A --no-register --audio null --ring-for 3s --json",
            "ended",
        ),
        (
            "call bob @A --audio null --ring-for 3s --json",
            "not registered after 3 s",
        ),
    ] {
        let line = line
            .replace("@A", "--aor sip:alice@@S --transport udp")
            .replace("@S", &server.to_string());
        let start = std::time::Instant::now();
        let out = run(&folder, &line, b"");
        let took = start.elapsed();
        let text = String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(1), "{line}: {out:?}");
        assert!(text.contains(named), "{line}: {named} is missing in {text}");
        // The limit, a start, and a farewell to a server that does not take leave; the protocol alone would
        // have waited 32 s and longer.
        assert!(took < seconds(20), "{line}: {took:?}");
    }
}

/// A request inside the call that `theirs`, an INVITE or a 200 to ours, belongs to.
fn inside(
    peer: &Peer,
    method: &str,
    number: u32,
    ours: &str,
    theirs: &str,
    theirs_at: &str,
    more: &str,
) -> String {
    format!(
        "{method} {theirs_at} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{method}{number}\r\n\
         Max-Forwards: 70\r\nFrom: {ours}\r\nTo: {theirs}\r\nCSeq: {number} {method}\r\n\
         Contact: <sip:peer@127.0.0.1:{port}>\r\n{more}Content-Length: 0\r\n\r\n",
        port = peer.port,
    )
}

/// Takes a call from the program, whose media comes to nobody.
fn take(peer: &Peer, invite: &Heard, tag: &str) {
    let more = format!(
        "Contact: <sip:peer@127.0.0.1:{}>\r\nContent-Type: application/sdp\r\n\r\n{}",
        peer.port,
        description(ports::free())
    );
    peer.answer(invite, "200 OK", tag, &more);
    peer.wait("ACK ");
}

/// Ends a call that `peer` took as `tag`.
fn hang_up(peer: &Peer, invite: &Heard, tag: &str) {
    let ours = format!("{};tag={tag}", invite.header("To"));
    let theirs = invite.header("From");
    let call_id = format!("Call-ID: {}\r\n", invite.header("Call-ID"));
    let target = invite.uri("Contact");
    let bye = inside(peer, "BYE", 401, &ours, theirs, target, &call_id);
    peer.send(invite.from, &bye);
    peer.wait("SIP/2.0 200");
}

/// The peer asks for a transfer (RFC 3515): nobody is there to decide, so the command line does, and says so.
#[test]
fn a_transfer_that_the_peer_asks_for_is_told_and_declined_or_followed() {
    let folder = Folder::new("asked_to_transfer");
    for (name, more) in [("declines", ""), ("follows", " --follow-transfers")] {
        let follows = !more.is_empty();
        let (peer, third) = (Peer::new(), Peer::new());
        let account = Account::new("sip:alice@127.0.0.1", "--no-register --transport udp");
        let args = format!("sip:bob@127.0.0.1:{} --for 20s{more}", peer.port);
        let mut alice = Program::start(&folder, name, "call", &account, &args);
        let invite = peer.wait("INVITE ");
        take(&peer, &invite, "bob");
        alice.wait_call("connected");
        let call_id = format!("Call-ID: {}\r\n", invite.header("Call-ID"));
        let (ours, theirs) = (
            format!("{};tag=bob", invite.header("To")),
            invite.header("From"),
        );
        let target = format!("sip:carol@127.0.0.1:{}", third.port);
        let refer_to =
            format!("{call_id}Refer-To: <{target}>\r\nReferred-By: <sip:bob@127.0.0.1>\r\n");
        let say = |method, number, more: &str| {
            let text = inside(
                &peer,
                method,
                number,
                &ours,
                theirs,
                invite.uri("Contact"),
                more,
            );
            peer.send(invite.from, &text);
        };
        say("REFER", 301, &refer_to);
        let told = alice.wait_for("the transfer", SOON, |event| is(event, "transfer"));
        assert_eq!(told["state"], "wanted", "{told}");
        assert_eq!(told["target"], target, "{told}");
        assert_eq!(told["by"], "sip:bob@127.0.0.1", "{told}");
        assert_eq!(
            told["answer"],
            if follows { "accepted" } else { "declined" }
        );
        if !follows {
            peer.wait("SIP/2.0 603");
            say("BYE", 302, &call_id);
            peer.wait("SIP/2.0 200");
            let outcome = alice.finish(seconds(15));
            outcome.assert_code(0);
            let called = third.hear(std::time::Duration::from_millis(100));
            assert!(called.is_none(), "nobody else is called: {called:?}");
            continue;
        }
        peer.wait("SIP/2.0 202");
        let second = third.wait("INVITE ");
        assert!(
            second.header("Referred-By").contains("sip:bob@127.0.0.1"),
            "{}",
            second.text
        );
        take(&third, &second, "carol");
        // The one who asked hears how it went, and goes (RFC 5589 §6.1).
        let mut last = String::new();
        while !last.contains("SIP/2.0 200") {
            let notify = peer.wait("NOTIFY ");
            peer.answer(&notify, "200 OK", "", "");
            last.clone_from(&notify.text);
        }
        say("BYE", 302, &call_id);
        let following = alice.wait_for("the other call", SOON, |event| {
            is(event, "transfer") && event["state"] == "following"
        });
        let other = following["other"].clone();
        alice.wait_for("the end of the first", SOON, |event| {
            is(event, "call") && event["state"] == "ended" && event["id"] != other
        });
        // The run goes on with the call that came of it.
        hang_up(&third, &second, "carol");
        alice.finish(seconds(15)).assert_code(0);
    }
}

#[test]
fn one_who_waits_for_calls_declines_a_transfer_or_follows_it() {
    let folder = Folder::new("answers_transfer");
    for (name, more) in [("declines", ""), ("follows", " --follow-transfers")] {
        let follows = !more.is_empty();
        let (peer, third) = (Peer::new(), Peer::new());
        let port = ports::free();
        let account = Account::new(
            "sip:bob@127.0.0.1",
            &format!("--no-register --transport udp --bind 127.0.0.1:{port}"),
        );
        let args = format!("--count 1{more}");
        let mut bob = Program::start(&folder, name, "answer", &account, &args);
        bob.wait_for("its calls", SOON, |event| is(event, "waiting"));
        let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let (ours, to) = ("<sip:peer@127.0.0.1>;tag=peer", "<sip:bob@127.0.0.1>");
        let uri = format!("sip:bob@127.0.0.1:{port}");
        let call_id = format!("Call-ID: {name}-{port}\r\n");
        let offer = description(ports::free());
        let invite = inside(&peer, "INVITE", 1, ours, to, &uri, &call_id).replace(
            "Content-Length: 0\r\n\r\n",
            &format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
                offer.len()
            ),
        );
        peer.send(at, &invite);
        let ok = peer.wait("SIP/2.0 200");
        let theirs = ok.header("To");
        let say = |method, number, more: &str| {
            peer.send(
                at,
                &inside(&peer, method, number, ours, theirs, ok.uri("Contact"), more),
            );
        };
        say("ACK", 1, &call_id);
        bob.wait_call("connected");
        let target = format!("sip:carol@127.0.0.1:{}", third.port);
        say("REFER", 2, &format!("{call_id}Refer-To: <{target}>\r\n"));
        let told = bob.wait_for("the transfer", SOON, |event| is(event, "transfer"));
        assert_eq!(told["target"], target, "{told}");
        if !follows {
            assert_eq!(told["answer"], "declined");
            peer.wait("SIP/2.0 603");
            say("BYE", 3, &call_id);
            bob.finish(seconds(15)).assert_code(0);
            continue;
        }
        peer.wait("SIP/2.0 202");
        let second = third.wait("INVITE ");
        take(&third, &second, "carol");
        let is_over = |text: &str| text.contains("SIP/2.0 200");
        let mut last = String::new();
        while !is_over(&last) {
            let notify = peer.wait("NOTIFY ");
            peer.answer(&notify, "200 OK", "", "");
            last.clone_from(&notify.text);
        }
        say("BYE", 3, &call_id);
        bob.wait_call("ended");
        hang_up(&third, &second, "carol");
        bob.finish(seconds(15)).assert_code(0);
    }
}

#[test]
fn a_broken_settings_file_is_named_with_its_line_and_kept_once() {
    let folder = Folder::new("broken_settings");
    let settings = folder.inner("settings");
    let broken = "version = 2\n\n[preferences\n";
    std::fs::write(settings.join("settings.toml"), broken).expect("the folder can be written");
    for round in ["first", "second"] {
        let mut command = program::command(&folder.inner("home"));
        command.args(["headless", "--audio", "null", "--json", "--config"]);
        command.arg(&settings);
        let mut headless = Program::spawn(&folder, round, &mut command);
        let notice = headless.wait_for("word of the broken file", SOON, |event| {
            is(event, "notice") && event["text"].to_string().contains("settings.toml, line 3")
        });
        let kept = notice["text"].to_string();
        assert!(kept.contains("kept as settings.broken-1.toml"), "{kept}");
        // A window gets the same state when it starts.
        let told = until("the state of the program", SOON, || {
            let out = run(
                &folder,
                &format!("ctl snapshot --config {}", settings.display()),
                b"",
            );
            out.status.success().then_some(out.stdout)
        });
        let state: Value = serde_json::from_slice(&told).expect("it is JSON");
        let told = state["notices"].to_string();
        assert!(told.contains("settings.toml, line 3"), "{told}");
    }
    let kept = settings.join("settings.broken-1.toml");
    assert_eq!(std::fs::read_to_string(kept).ok().as_deref(), Some(broken));
    assert!(!settings.join("settings.broken-2.toml").exists());
}

#[test]
fn what_a_single_command_said_is_in_the_trace_afterwards() {
    let folder = Folder::new("one_shot_trace");
    let (_switchboard, port) = switchboard::start(&folder);
    let line = format!("options sip:127.0.0.1:{port} --aor sip:alice@127.0.0.1:{port}");
    let out = run(&folder, &line, b"");
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    for (filter, count) in [("method=OPTIONS", 2), ("code:200", 1), ("method:INVITE", 0)] {
        let out = run(
            &folder,
            &format!("trace list --json --filter {filter}"),
            b"",
        );
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        let lines = String::from_utf8_lossy(&out.stdout).lines().count();
        assert_eq!(lines, count, "{filter}: {out:?}");
    }
}

#[test]
fn a_second_start_says_that_the_first_has_no_window() {
    let folder = Folder::new("second_headless");
    let settings = folder.inner("settings");
    let mut command = program::command(&folder.inner("home"));
    command.args(["headless", "--audio", "null", "--json", "--config"]);
    command.arg(&settings);
    let mut headless = Program::spawn(&folder, "first", &mut command);
    headless.wait_for("the socket", SOON, |event| is(event, "listening"));
    let other = folder.join("other.sock");
    let other = format!(
        "headless --aor sip:b@127.0.0.1 --no-register --control {}",
        other.display()
    );
    for verb in [
        "",
        "headless",
        "headless --aor sip:b@127.0.0.1 --no-register",
        &other,
    ] {
        let out = program::command(&folder.inner("home"))
            .args(verb.split_whitespace())
            .arg("--config")
            .arg(&settings)
            // No window is opened: nobody listens there.
            .env("DISPLAY", ":4711")
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(text.contains("already running"), "{text}");
        assert!(
            !verb.is_empty() || text.contains("without a window"),
            "{text}"
        );
    }
    // The first one noticed nothing.
    let out = program::command(&folder.inner("home"))
        .args(["ctl", "snapshot", "--config"])
        .arg(&settings)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert_eq!(out.status.code(), Some(0), "{out:?}");
}

#[test]
fn a_second_start_shows_the_window_that_is_there() {
    let folder = Folder::new("second_window");
    let screen = Screen::start(1024, 768);
    let settings = folder.inner("settings");
    let window = || {
        let mut command = program::command(&folder.inner("home"));
        command
            .arg("--config")
            .arg(&settings)
            .env("DISPLAY", &screen.name)
            .env("LIBGL_ALWAYS_SOFTWARE", "1");
        command
    };
    let mut first = Process::start("first", &folder, &mut window());
    screen.focus("Tipring");
    let out = window()
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("already running"), "{text}");
    assert!(text.contains("brought to the front"), "{text}");
    first.assert_alive();
}

#[test]
fn a_missing_password_is_asked_for_at_a_terminal_and_not_shown() {
    let folder = Folder::new("asks");
    let port = ports::free();
    let users = folder.join("users.toml");
    std::fs::write(&users, "[users]\nalice = \"the-right-word\"\n").expect("a file");
    let mut command = program::command(&folder.inner("switchboard"));
    let listen = format!("udp:127.0.0.1:{port}");
    command.args(["switchboard", "--listen", &listen, "--users"]);
    let mut switch = Process::start("switchboard", &folder, command.arg(&users));
    switchboard::wait_taken(port, || switch.assert_alive());

    // A terminal of its own, by the program of every system that records one.
    let home = folder.inner("home");
    let line = format!(
        "{} register --for 1s --aor sip:alice@pbx.test --proxy sip:127.0.0.1:{port};lr",
        program::path().display()
    );
    let seen = folder.join("terminal.log");
    let command = program::command(&home);
    let like = command
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)));
    let mut script = std::process::Command::new("script");
    for (name, value) in like {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut child = script
        .args([
            "-q",
            "-e",
            "-f",
            "-c",
            &line.replace(';', "\\;"),
            "/dev/null",
        ])
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&seen).expect("a file"))
        .spawn()
        .expect("`script` records terminals; it is in the package bsdutils");
    // It ends with its standard input, also when this test fails.
    let mut keys = child.stdin.take().expect("stdin is piped");
    let asked = |times: usize| {
        until("the password to be asked for", SOON, || {
            let shown = std::fs::read_to_string(&seen).unwrap_or_default();
            (shown.matches("Password of alice for “").count() == times).then_some(())
        });
    };
    for (times, word) in [(1, "a-wrong-word\n"), (2, "the-right-word\n")] {
        asked(times);
        keys.write_all(word.as_bytes()).expect("it listens");
    }
    let status = process::wait(&mut child, seconds(20)).expect("it ends");
    let shown = std::fs::read_to_string(&seen).expect("it was recorded");
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(!shown.contains("-word"), "{shown}");
    assert!(shown.contains("refuses the login"), "{shown}");

    // Where nobody sits nobody is asked: the script hears at once that it is missing.
    let line = format!("register --json --aor sip:alice@pbx.test --proxy sip:127.0.0.1:{port};lr");
    let out = run(&folder, &line, b"the-right-word\n");
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert!(!String::from_utf8_lossy(&out.stderr).contains("Password of"));
}

/// Runs a command line, split at blanks, with `input` on stdin.
fn run(folder: &Folder, line: &str, input: &[u8]) -> Output {
    let home = folder.inner("home");
    let mut command = program::command(&home);
    let mut child = command
        .args(line.split_whitespace())
        .current_dir(&home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input);
    child.wait_with_output().expect("the program ends")
}
