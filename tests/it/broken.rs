//! The switchboard's numbers that are broken on purpose: each of them ends as it says, or stays up without sound, and a
//! person is told why in words.

use crate::rig::folder::Folder;
use crate::rig::program::{Account, Outcome, Program, is};
use crate::rig::{seconds, switchboard};

/// What is dialled and with what, the exit status, and what the reason says.
const NUMBERS: [(&str, &str, i32, &str); 23] = [
    ("404", "", 1, "Number unknown"),
    ("busy", "", 1, "Busy"),
    ("decline", "", 1, "Declined"),
    ("login", "", 1, "Password"),
    ("weak-login", "--no-md5", 1, "by MD5 only"),
    ("extension", "", 1, "Extension mismatch"),
    ("interval", "", 1, "Session too short"),
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

/// What a person was told of a call that was taken.
struct Told {
    /// The reason of its end, if it failed.
    reason: String,
    /// Who ended it.
    ending: String,
    /// For each second: whether sound went out, whether some came, and what was said of that.
    seconds: Vec<(bool, bool, String)>,
}

impl Told {
    fn of(outcome: &Outcome) -> Self {
        let ended = outcome.last_call();
        let media = outcome.events.iter().filter(|event| is(event, "media"));
        let second = |event: &serde_json::Value| {
            let is_on = |light: &str| event["lights"][light]["on"] == true;
            let silences = event["silences"].as_array();
            let said = silences.into_iter().flatten().filter_map(|s| s.as_str());
            let said = said.collect::<Vec<_>>().join(" ");
            (is_on("sent"), is_on("received"), said)
        };
        Self {
            reason: ended["reason"].as_str().unwrap_or_default().to_owned(),
            ending: ended["ending"]["how"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            seconds: media.map(second).collect(),
        }
    }

    /// Whether this was said while sound went out and none came.
    fn hears_nothing(&self, words: &str) -> bool {
        let fits = |(sent, received, said): &(bool, bool, String)| {
            *sent && !received && said.contains(words)
        };
        self.seconds.iter().any(fits)
    }

    fn hears_something(&self) -> bool {
        let fits = |(sent, received, _): &(bool, bool, String)| *sent && *received;
        self.seconds.iter().any(fits)
    }
}

/// The numbers that take the call and are broken afterwards: what is dialled and with what, the exit status, and
/// whether a person is told what is the matter.
type Broken = (&'static str, &'static str, i32, fn(&Told) -> bool);
const TAKEN: [Broken; 6] = [
    ("no-media", "--for 8s", 0, |told| {
        !told.hears_something() && told.hears_nothing("Nothing has come from 127.0.0.1:")
    }),
    // Nobody can know whether somebody listens: both lights are on, and nothing is made up.
    ("deaf", "--for 8s", 0, |told| {
        told.hears_something() && told.seconds.iter().all(|(.., said)| said.is_empty())
    }),
    ("media-stops", "--for 10s", 0, |told| {
        told.hears_something() && told.hears_nothing("Nothing has come for ")
    }),
    ("drop", "--for 20s", 0, |told| {
        told.ending == "by_them" && told.reason.is_empty()
    }),
    (
        "forgets",
        "--for 20s --dtmf info --dtmf-send 5",
        1,
        |told| told.reason.starts_with("Server lost this call") && told.reason.contains("481"),
    ),
    // RFC 3261 §13.3.1.4: it waits for 64·T1, which are 32 s.
    ("no-ack", "--for 45s", 1, |told| {
        told.reason.starts_with("Our confirmation did not arrive") && told.reason.contains("(ACK)")
    }),
];

#[test]
fn every_number_that_breaks_a_call_that_is_up_is_told_by_lights_and_words() {
    let folder = Folder::new("broken_up");
    let (_switchboard, port) = switchboard::start(&folder);
    let calls: Vec<_> = TAKEN
        .iter()
        .map(|(number, args, ..)| {
            let account = Account::new(format!("sip:{number}-1@127.0.0.1:{port}"), "--no-register");
            Program::start(
                &folder,
                number,
                "call",
                &account,
                &format!("{number} {args}"),
            )
        })
        .collect();
    for (call, (number, _, status, is_told)) in calls.into_iter().zip(TAKEN) {
        let outcome = call.finish(seconds(60));
        let told = Told::of(&outcome);
        let mut said: Vec<&str> = told
            .seconds
            .iter()
            .map(|(.., said)| said.as_str())
            .collect();
        said.dedup();
        let said = said.join(" | ");
        println!("{number}: {said} {} {}", told.ending, told.reason);
        assert!(is_told(&told), "{number}\n{}", outcome.story);
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
