//! SIPp at the other end of what phones seldom do: reliable provisional responses and session timers. Its
//! scenarios check what they hear, and its exit status says whether every call went by the scenario.

use std::time::Instant;

use crate::rig::folder::Folder;
use crate::rig::program::{Account, Program, SOON};
use crate::rig::sipp::{Scenario, Sipp};
use crate::rig::{ports, seconds, switchboard};

#[test]
fn every_reliable_provisional_response_is_acknowledged() {
    let folder = Folder::new("sipp_reliable");
    let scenario = Scenario::Text(include_str!("scenarios/reliable.xml"));
    call(&folder, &scenario, 10, "--count 10 --rate 10 --for 1s", 0);
}

/// A session of 90 s, the shortest there is, ends 30 s before its time when nobody refreshes it (RFC 4028
/// §10). Who is granted 20 s, which nobody may grant, refreshes each 10 s and asks for 90.
#[test]
fn sessions_are_refreshed_by_whoever_promised_it_and_ended_when_nobody_does() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder = Folder::new("sipp_caller_refreshes");
            let scenario = Scenario::Text(include_str!("scenarios/caller-refreshes.xml"));
            call(&folder, &scenario, 1, "--for 22s", 0);
        });
        scope.spawn(|| {
            let folder = Folder::new("sipp_callee_refreshes");
            let scenario = Scenario::Text(include_str!("scenarios/callee-refreshes.xml"));
            // Longer than the session would live without the refresh.
            call(&folder, &scenario, 1, "--for 64s", 0);
        });
        scope.spawn(|| {
            let folder = Folder::new("sipp_nobody_refreshes");
            let scenario = Scenario::Text(include_str!("scenarios/nobody-refreshes.xml"));
            let started = Instant::now();
            call(&folder, &scenario, 1, "--for 80s", 1);
            assert!(started.elapsed() >= seconds(60), "{:?}", started.elapsed());
        });
    });
}

#[test]
fn a_session_shorter_than_we_take_is_refused_with_what_we_take() {
    let folder = Folder::new("sipp_short_session");
    let port = ports::free();
    let account = Account::new(
        "sip:alice@127.0.0.1",
        &format!("--no-register --transport udp --codecs pcmu --bind 127.0.0.1:{port}"),
    );
    let alice = Program::start(&folder, "alice", "answer", &account, "--count 2");
    switchboard::wait_taken(port, || {});
    let scenario = Scenario::Text(include_str!("scenarios/short-session.xml"));
    let args = format!("-s alice 127.0.0.1:{port} -timeout 20");
    Sipp::start(&folder, "sipp", &scenario, 1, &args).assert_all_went_well(seconds(25));
    alice.interrupt();
    alice.finish(SOON);
}

/// We call SIPp, and both say that all went well; or we, that it did not.
fn call(folder: &Folder, scenario: &Scenario<'_>, calls: u32, args: &str, code: i32) {
    let mut sipp = Sipp::start(folder, "sipp", scenario, calls, "-timeout 90");
    sipp.assert_alive();
    switchboard::wait_taken(sipp.port, || {});
    let account = Account::new(
        "sip:alice@127.0.0.1",
        "--no-register --transport udp --codecs pcmu",
    );
    let args = format!("sip:bob@127.0.0.1:{} {args}", sipp.port);
    let alice = Program::start(folder, "alice", "call", &account, &args);
    let outcome = alice.finish(seconds(90));
    sipp.assert_all_went_well(SOON);
    outcome.assert_code(code);
}
