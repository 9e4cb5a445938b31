//! The switchboard's numbers that are broken on purpose: each of them ends as it says, and a person is told
//! why in words.

use crate::rig::folder::Folder;
use crate::rig::program::{Account, Program};
use crate::rig::{seconds, switchboard};

/// What is dialled and with what, the exit status, and what the reason says.
const NUMBERS: [(&str, &str, i32, &str); 23] = [
    ("404", "", 1, "Number unknown"),
    ("busy", "", 1, "Busy"),
    ("decline", "", 1, "Declined"),
    ("login", "", 1, "Password"),
    ("weak-login", "--no-md5", 1, "by MD5 only"),
    ("extension", "", 1, "Extension mismatch"),
    ("interval", "", 1, "422"),
    ("overload", "", 1, "Retry-After: 30"),
    ("no-codec", "", 1, "they want G729"),
    ("bad-sdp", "", 1, "cannot be followed"),
    ("drop-reason", "", 0, "Q.850 cause 41"),
    ("circle", "", 1, "Moved"),
    ("circle", "--follow", 1, "Moved"),
    ("moved", "", 1, "sip:echo@127.0.0.1"),
    ("refused", "--follow", 1, "Port closed"),
    ("no-name", "--follow", 1, "Name not found"),
    ("no-tls", "--follow", 1, "TLS"),
    ("no-websocket", "--follow", 1, "WebSocket"),
    ("hangs-up", "--follow", 1, "closed"),
    // What is said of an address that no machine has is each network's own affair.
    ("nowhere", "--follow --ring-for 4s", 1, ": "),
    ("ring", "--ring-for 2s", 1, "picked up"),
    ("late", "--ring-for 2s", 1, "picked up"),
    ("silent", "--ring-for 4s", 1, "127.0.0.1"),
];

#[test]
fn every_number_that_is_broken_on_purpose_ends_in_its_sentence() {
    let folder = Folder::new("broken");
    let (_switchboard, port) = switchboard::start(&folder);
    let calls: Vec<_> = NUMBERS
        .iter()
        .enumerate()
        .map(|(row, (number, args, ..))| {
            let aor = format!("sip:caller{row}@127.0.0.1:{port}");
            let account = Account::new(aor, "--no-register");
            let args = format!("{number} --for 8s {args}");
            Program::start(&folder, &format!("{row}-{number}"), "call", &account, &args)
        })
        .collect();
    for (call, (number, args, status, words)) in calls.into_iter().zip(NUMBERS) {
        let outcome = call.finish(seconds(60));
        let ended = outcome.last_call();
        let reason = ended["reason"].as_str().unwrap_or_default();
        println!("{number} {args}: {reason}");
        assert!(
            reason.contains(words),
            "{number} {args}: “{words}” is not in “{reason}”\n{}",
            outcome.story
        );
        outcome.assert_code(status);
    }
}

/// Of whom it is asked stands with the caller's own registration, so it takes one behind a login.
#[test]
fn a_login_that_is_weaker_than_the_registration_is_not_given() {
    let folder = Folder::new("broken_login");
    let users = folder.join("users.toml");
    std::fs::write(&users, "[users]\nalice = \"secret\"\n").expect("a file");
    let (_switchboard, port) = switchboard::start_with(&folder, |command| {
        command.arg("--users").arg(&users);
    });
    let account = Account::new(format!("sip:alice@127.0.0.1:{port}"), "");
    let call = Program::start(&folder, "alice", "call", &account, "weak-login --for 8s");
    let outcome = call.finish(seconds(60));
    let ended = outcome.last_call();
    let reason = ended["reason"].as_str().unwrap_or_default();
    println!("{reason}");
    assert!(reason.contains("in a weaker way"), "{}", outcome.story);
    outcome.assert_code(1);
}
