//! Many calls and many accounts: SIPp calls and is called, with and without losses, and two hundred
//! accounts sign in at the built-in switchboard.

use serde_json::{Value, json};
use std::net::SocketAddr;

use crate::rig::control::Control;
use crate::rig::folder::Folder;
use crate::rig::process::resident_kb;
use crate::rig::program::{self, Account, Program, is};
use crate::rig::relay::Relay;
use crate::rig::sipp::{LOSSY_CALLER, Scenario, Sipp};
use crate::rig::{is_quick, ports, seconds, switchboard};

/// Calls of one run, at [`PER_SECOND`].
fn calls() -> u32 {
    if is_quick() { 100 } else { 1_000 }
}

const PER_SECOND: u32 = 20;

/// An ended call is remembered for 64·T1, 32 s, in case its last messages are repeated (RFC 3261 Timers
/// J, L and M): memory rises for so long, and not any more afterwards.
const SETTLED_S: u32 = 36;

/// What one process may grow by from then until the last call, in kB.
const GROWTH_KB: u64 = 8 * 1024;

#[test]
fn sipp_calls_and_every_call_is_answered() {
    let folder = Folder::new("sipp_calls");
    let (program, port) = answering(&folder);
    let args = format!("alice-ignored 127.0.0.1:{port} -r {PER_SECOND} -d 1000 -timeout 200");
    let args = args.replace("alice-ignored ", "-s alice ");
    let sipp = Sipp::start(&folder, "sipp", &Scenario::BuiltIn("uac"), calls(), &args);
    watch_memory(&program, || sipp.assert_all_went_well(seconds(230)));
}

#[test]
fn sipp_calls_through_a_network_that_loses_one_in_twenty() {
    let folder = Folder::new("sipp_calls_lossy");
    let (program, port) = answering(&folder);
    let relay = Relay::start(SocketAddr::from(([127, 0, 0, 1], port)), 5, 4);
    let args = format!(
        "-s alice 127.0.0.1:{} -r {PER_SECOND} -d 1000 -timeout 250",
        relay.port
    );
    let sipp = Sipp::start(
        &folder,
        "sipp",
        &Scenario::Text(LOSSY_CALLER),
        calls(),
        &args,
    );
    watch_memory(&program, || sipp.assert_all_went_well(seconds(280)));
    let (_, lost) = relay.counts();
    assert!(
        lost > u64::from(calls()) / 10,
        "only {lost} datagrams were lost"
    );
}

#[test]
fn sipp_is_called_and_every_call_is_answered() {
    let folder = Folder::new("sipp_called");
    let mut sipp = Sipp::start(
        &folder,
        "sipp",
        &Scenario::BuiltIn("uas"),
        calls(),
        "-timeout 250",
    );
    sipp.assert_alive();
    call_many(&folder, sipp.port);
    sipp.assert_all_went_well(seconds(60));
}

#[test]
fn sipp_is_called_through_a_network_that_loses_one_in_twenty() {
    let folder = Folder::new("sipp_called_lossy");
    let mut sipp = Sipp::start(
        &folder,
        "sipp",
        &Scenario::BuiltIn("uas"),
        calls(),
        // SIPp takes a repeated INVITE for a mistake when both its 180 and its 200 were lost, and
        // forgets the call; the caller is right to repeat it (RFC 3261 §17.1.1.2, Timer A).
        "-timeout 300 -default_behaviors all,-abortunexp",
    );
    sipp.assert_alive();
    let relay = Relay::start(SocketAddr::from(([127, 0, 0, 1], sipp.port)), 5, 5);
    call_many(&folder, relay.port);
    sipp.assert_all_went_well(seconds(90));
    let (_, lost) = relay.counts();
    assert!(
        lost > u64::from(calls()) / 20,
        "only {lost} datagrams were lost"
    );
}

/// Calls somebody again and again, each time for a second, and wants every call answered.
fn call_many(folder: &Folder, port: u16) {
    let account = Account::new(
        "sip:alice@127.0.0.1",
        "--no-register --transport udp --codecs pcmu",
    );
    let args = format!(
        "sip:bob@127.0.0.1:{port} --count {} --rate {PER_SECOND} --for 1s",
        calls()
    );
    let mut program = Program::start(folder, "alice", "call", &account, &args);
    let limit = seconds(u64::from(calls() / PER_SECOND) + 60);
    let ended = |event: &Value| is(event, "call") && event["state"] == "ended";
    let settled = (SETTLED_S * PER_SECOND).min(calls() * 4 / 5) as usize;
    program.wait_for_nth("end of a call", settled, limit, ended);
    let early = resident_kb(program.id());
    program.wait_for_nth("end of a call", calls() as usize * 19 / 20, limit, ended);
    check_growth(early, resident_kb(program.id()));
    let outcome = program.finish(limit);
    outcome.assert_code(0);
    let failed = outcome
        .events
        .iter()
        .filter(|event| ended(event) && !event["reason"].is_null());
    assert_eq!(failed.count(), 0, "{}", outcome.story);
}

/// Calls a second behind a login.
const LOGINS_PER_SECOND: u32 = 50;

/// Forty-five seconds of it, or as many as `TIPRING_LOAD_SECONDS` says: with 600 the memory may grow by a
/// twentieth, from where the flight recorder is full.
#[test]
fn fifty_calls_a_second_behind_a_login_are_all_let_in_and_leave_nothing_behind() {
    let wanted = std::env::var("TIPRING_LOAD_SECONDS").ok();
    let lasts = wanted.map_or(45, |text| text.parse::<u32>().expect("a number of seconds"));
    let calls = LOGINS_PER_SECOND * lasts;
    let folder = Folder::new("sipp_login");
    let scenario = Scenario::Text(include_str!("scenarios/behind-a-login.xml"));
    let args = format!("-timeout {}", lasts + 120);
    let mut sipp = Sipp::start(&folder, "sipp", &scenario, calls, &args);
    sipp.assert_alive();
    switchboard::wait_taken(sipp.port, || {});
    // Who asks for a password gets it only where the account says that it belongs.
    let account = Account::new(
        "sip:alice@127.0.0.1",
        &format!(
            "--no-register --transport udp --codecs pcmu --proxy sip:127.0.0.1:{};lr",
            sipp.port
        ),
    );
    let args = format!(
        "sip:bob@127.0.0.1:{} --count {calls} --rate {LOGINS_PER_SECOND} --for 1s",
        sipp.port
    );
    let mut program = Program::start(&folder, "alice", "call", &account, &args);
    let files = open_files(program.id());
    let ended = |event: &Value| is(event, "call") && event["state"] == "ended";
    let limit = seconds(u64::from(lasts) * 2 + 60);
    // The recorder keeps 64 MB, which takes four minutes.
    let settled = if lasts >= 600 {
        calls / 2
    } else {
        (SETTLED_S * LOGINS_PER_SECOND).min(calls * 4 / 5)
    };
    program.wait_for_nth("end of a call", settled as usize, limit, ended);
    let early = resident_kb(program.id());
    program.wait_for_nth("end of a call", calls as usize - 50, limit, ended);
    let (late, open) = (resident_kb(program.id()), open_files(program.id()));
    let outcome = program.finish(limit);
    outcome.assert_code(0);
    sipp.assert_all_went_well(seconds(60));
    let failed = outcome
        .events
        .iter()
        .filter(|event| ended(event) && !event["reason"].is_null());
    assert_eq!(failed.count(), 0, "{}", outcome.story);
    println!(
        "{calls} calls at {LOGINS_PER_SECOND} a second: memory {early} kB, at the end {late} kB; {files} files at first, {open} at the end"
    );
    // Each of the calls that are up has two sockets.
    assert!(
        open <= files + 2 * 60,
        "{files} files at first, {open} at the end"
    );
    if lasts >= 600 {
        assert!(
            late <= early + early / 20,
            "memory grew from {early} kB to {late} kB"
        );
    } else {
        check_growth(early, late);
    }
}

/// Files and sockets that a process has open.
fn open_files(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count)
}

#[test]
fn two_hundred_accounts_sign_in_and_fifty_talk_at_once() {
    const ACCOUNTS: usize = 200;
    const CALLS: usize = 50;
    let folder = Folder::new("switchboard_load");
    let (_switchboard, port) = switchboard::start(&folder);
    let (program, mut control) = headless(&folder);
    for number in 0..ACCOUNTS {
        control.call(
            "add_account",
            &json!({"password": "secret", "settings": {"aor": format!("sip:user{number}@127.0.0.1:{port}"),
                "register": true, "expires_s": 300, "bind": "127.0.0.1:0", "transport": "udp", "codecs": ["pcmu"]}}),
        );
    }
    let accounts = control.wait_for("200 registrations", seconds(60), |state| {
        let accounts = state["accounts"].as_array()?;
        let registered = accounts
            .iter()
            .filter(|account| account["state"] == "registered");
        (registered.count() == ACCOUNTS).then(|| accounts.clone())
    });
    for account in accounts.iter().take(CALLS) {
        control.call(
            "place_call",
            &json!({"account": account["id"], "target": "600"}),
        );
    }
    control.wait_for("50 calls with sound", seconds(60), |state| {
        let calls = state["calls"].as_array()?;
        let talking = calls.iter().filter(|call| {
            call["state"] == "connected" && call["stats"]["received"].as_u64() > Some(100)
        });
        (talking.count() == CALLS).then_some(())
    });
    // Some more seconds of it, then nothing may have been lost on the way inside one machine.
    std::thread::sleep(seconds(5));
    let state = control.snapshot();
    for call in state["calls"].as_array().into_iter().flatten() {
        let (received, lost) = (
            call["stats"]["received"].as_u64(),
            call["stats"]["lost"].as_u64(),
        );
        assert!(received > Some(200) && lost < Some(25), "{}", call["stats"]);
        control.call("end_call", &json!({"call": call["id"]}));
    }
    control.wait_for("end of all calls", seconds(20), |state| {
        let calls = state["calls"].as_array()?;
        calls
            .iter()
            .all(|call| call["state"] == "ended")
            .then_some(())
    });
    drop(program);
}

/// `tipring answer` on a port of its own.
fn answering(folder: &Folder) -> (Program, u16) {
    let port = ports::free();
    let account = Account::new(
        "sip:alice@127.0.0.1",
        &format!("--no-register --transport udp --codecs pcmu --bind 127.0.0.1:{port}"),
    );
    let program = Program::start(
        folder,
        "alice",
        "answer",
        &account,
        &format!("--count {}", calls() * 2),
    );
    switchboard::wait_taken(port, || {});
    (program, port)
}

fn headless(folder: &Folder) -> (Program, Control) {
    let home = folder.inner("headless");
    let socket = home.join("control");
    let mut command = program::command(&home);
    command
        .arg("headless")
        .arg("--control")
        .arg(&socket)
        .args(["--audio", "null", "--config"]);
    command.arg(home.join("settings"));
    let program = Program::spawn(folder, "headless", &mut command);
    let control = Control::connect(&socket);
    (program, control)
}

/// Compares the memory when it has settled with that at the end.
fn watch_memory(program: &Program, run: impl FnOnce()) {
    let id = program.id();
    let sampler = std::thread::spawn(move || {
        std::thread::sleep(seconds(u64::from(
            SETTLED_S.min(calls() / PER_SECOND * 4 / 5),
        )));
        resident_kb(id)
    });
    run();
    let early = sampler
        .join()
        .expect("the sampler does not panic while the program lives");
    check_growth(early, resident_kb(id));
}

fn check_growth(early_kb: u64, late_kb: u64) {
    assert!(
        late_kb < early_kb + GROWTH_KB,
        "memory grew from {early_kb} kB to {late_kb} kB"
    );
}
