//! Calls to and from Linphone: plain, with keys in the description and by a handshake, insisted on or only offered, and with
//! ways found by ICE. Where this machine has IPv6 it announces an address of that, whatever we have.

use std::thread;

use serde_json::Value;

use crate::baresip::on_its_own;
use crate::rig::folder::Folder;
use crate::rig::linphone::{Linphone, Setup};
use crate::rig::program::{Outcome, Program, SOON, is};
use crate::rig::{ports, seconds, sound, switchboard};

/// Rows of a table that are called at the same time; each takes little of a processor and ten seconds.
const AT_ONCE: usize = 4;

/// Opus makes other waves of speech, which sound the same: whatever is not the speech at all has less than half of this.
const ALIKE: f32 = 0.8;

/// One row: what it is called, how Linphone is set up, what we are told, and what the keys come from.
type Row = (&'static str, Setup, &'static str, Option<&'static str>);

const fn linphone(encryption: &'static str, must: bool, tries_ways: bool) -> Setup {
    Setup {
        encryption,
        must,
        tries_ways,
    }
}

/// Keys beside plain RTP (RFC 8643) it passes over, and of two lines it wants none: without encryption it is asked again.
const WE_CALL: [Row; 9] = [
    ("plain", linphone("none", false, false), "", None),
    (
        "we may",
        linphone("none", false, false),
        "--srtp optional",
        None,
    ),
    (
        "both may",
        linphone("srtp", false, false),
        "--srtp optional",
        None,
    ),
    (
        "both may, two lines",
        linphone("srtp", false, false),
        "--srtp optional-two-lines",
        None,
    ),
    (
        "both must",
        linphone("srtp", true, false),
        "--srtp required",
        Some("sdes"),
    ),
    (
        "handshake",
        linphone("dtls", true, false),
        "--srtp required --srtp-keys dtls",
        Some("dtls"),
    ),
    ("ways", linphone("none", false, true), "--ice", None),
    (
        "ways, keys",
        linphone("srtp", true, true),
        "--ice --srtp required",
        Some("sdes"),
    ),
    (
        "ways, handshake",
        linphone("dtls", true, true),
        "--ice --srtp required --srtp-keys dtls",
        Some("dtls"),
    ),
];

const IT_CALLS: [Row; 8] = [
    ("plain", linphone("none", false, false), "", None),
    (
        "both may",
        linphone("srtp", false, false),
        "--srtp optional",
        Some("sdes"),
    ),
    (
        "both must",
        linphone("srtp", true, false),
        "--srtp required",
        Some("sdes"),
    ),
    (
        "it may shake hands",
        linphone("dtls", false, false),
        "--srtp optional",
        Some("dtls"),
    ),
    (
        "it must shake hands",
        linphone("dtls", true, false),
        "--srtp required",
        Some("dtls"),
    ),
    ("ways", linphone("none", false, true), "--ice", None),
    (
        "ways, keys",
        linphone("srtp", true, true),
        "--ice --srtp required",
        Some("sdes"),
    ),
    (
        "ways, handshake",
        linphone("dtls", true, true),
        "--ice --srtp required",
        Some("dtls"),
    ),
];

#[test]
fn it_is_called_and_both_are_heard() {
    table("we call Linphone", &WE_CALL, we_call);
}

/// It presses keys, holds the call and goes on, too.
#[test]
fn it_calls_and_both_are_heard() {
    table("Linphone calls us", &IT_CALLS, it_calls);
}

/// It insists on encryption and we do without: each is told why there is no call.
#[test]
fn where_only_one_insists_on_encryption_both_are_told_why_there_is_no_call() {
    let folder = Folder::new("linphone_refused");
    let speech = sound::speech(&folder, 48_000);
    let mut it = Linphone::start(&folder, linphone("srtp", true, false), &speech);
    let args = format!("sip:lin@127.0.0.1:{} --for 5s", it.port);
    let outcome = Program::start(&folder, "we", "call", &on_its_own(), &args).finish(SOON);
    assert_eq!(outcome.last_call()["code"], 488, "{}", outcome.story);
    let port = ports::free();
    let us = on_its_own().with(&format!("--srtp off --bind 127.0.0.1:{port}"));
    let us = Program::start(&folder, "us", "answer", &us, "--count 1");
    switchboard::wait_taken(port, || {});
    it.command(&format!("call sip:alice@127.0.0.1:{port}"));
    let outcome = us.finish(SOON);
    let why = outcome.last_call()["reason"].as_str().unwrap_or_default();
    assert!(why.contains("they want RTP/SAVP"), "{}", outcome.story);
}

/// What is heard, here and there: likeness to what was said.
struct Heard {
    here: f32,
    there: f32,
    outcome: Outcome,
}

fn table(title: &str, rows: &'static [Row], carry: fn(&str, &Row) -> Heard) {
    println!("{title}\n{:<22}{:>8}{:>8}   keys", "", "here", "there");
    let mut bad = Vec::new();
    for some in rows.chunks(AT_ONCE) {
        let carried: Vec<_> = some
            .iter()
            .map(|row| {
                let folder = format!("{title} {}", row.0).replace([' ', ','], "_");
                thread::spawn(move || carry(&folder, row))
            })
            .collect();
        for (row, carried) in some.iter().zip(carried) {
            let Ok(heard) = carried.join() else {
                bad.push(row.0);
                continue;
            };
            let security = security(&heard.outcome);
            let by = security["sent"]["by"].as_str();
            println!(
                "{:<22}{:>8.2}{:>8.2}   {}",
                row.0,
                heard.here,
                heard.there,
                security["sent"]["suite"].as_str().unwrap_or("none")
            );
            let is_right = by == row.3 && security["sent"] == security["received"];
            if !is_right || heard.here < ALIKE || heard.there < ALIKE {
                println!("{}", heard.outcome.story);
                bad.push(row.0);
            }
        }
    }
    assert!(bad.is_empty(), "{title}: {bad:?}");
}

fn we_call(folder: &str, (_, setup, ours, _): &Row) -> Heard {
    let folder = Folder::new(folder);
    let speech = sound::speech(&folder, 48_000);
    let it = Linphone::start(&folder, *setup, &speech);
    let heard = folder.join("heard.wav");
    let args = format!(
        "sip:lin@127.0.0.1:{} --for 9s --play {} --record {}",
        it.port,
        speech.display(),
        heard.display()
    );
    let us = on_its_own().with(ours);
    let outcome = Program::start(&folder, "we", "call", &us, &args).finish(seconds(40));
    outcome.assert_code(0);
    let there = it.close();
    Heard {
        here: sound::begins_like(&speech, &heard),
        there: sound::begins_like(&speech, &there),
        outcome,
    }
}

fn it_calls(folder: &str, (_, setup, ours, _): &Row) -> Heard {
    let folder = Folder::new(folder);
    let speech = sound::speech(&folder, 48_000);
    let mut it = Linphone::start(&folder, *setup, &speech);
    let (heard, port) = (folder.join("heard.wav"), ports::free());
    let us = on_its_own().with(&format!("{ours} --bind 127.0.0.1:{port}"));
    let args = format!(
        "--count 1 --play {} --record {}",
        speech.display(),
        heard.display()
    );
    let mut us = Program::start(&folder, "us", "answer", &us, &args);
    switchboard::wait_taken(port, || {});
    it.command(&format!("call sip:alice@127.0.0.1:{port}"));
    us.wait_call("connected");
    thread::sleep(seconds(6));
    for (count, digit) in [(1, "4"), (2, "#")] {
        it.command(digit);
        let event = us.wait_for_nth("digit", count, SOON, |event| is(event, "dtmf"));
        assert_eq!(event["digit"], digit, "{event}");
    }
    it.command("pause");
    us.wait_for("hold", SOON, |event| {
        is(event, "call") && event["held_by_peer"] == true
    });
    it.command("resume");
    us.wait_for("the end of it", SOON, |event| {
        is(event, "call") && event["state"] == "connected" && event["held_by_peer"] == false
    });
    it.command("terminate");
    let outcome = us.finish(SOON);
    outcome.assert_code(0);
    let there = it.close();
    Heard {
        here: sound::begins_like(&speech, &heard),
        there: sound::begins_like(&speech, &there),
        outcome,
    }
}

/// What the program says about the secrecy of its call.
fn security(outcome: &Outcome) -> Value {
    let media = outcome.events.iter().rfind(|event| is(event, "media"));
    media
        .map(|event| event["security"].clone())
        .unwrap_or_default()
}
