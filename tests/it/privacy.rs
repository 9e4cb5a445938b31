//! What the program writes about itself names nobody, unless its user asks for names.

use crate::rig::folder::Folder;
use crate::rig::program::{self, Program, SOON};
use crate::rig::{ports, seconds, switchboard};

const CALLER: &str = "quentin.tarleton";
const CALLED: &str = "4915712345910";
const CALLER_SECRET: &str = "k3ep-th1s-to-yourself";
const CALLED_SECRET: &str = "and-th4t-as-well";
const PIN: &str = "735190264";

/// None of the seeds stands in a log, whatever its case.
fn assert_names_nobody(place: &str, log: &str) {
    let digits = CALLED.get(..9).unwrap_or_default();
    for seed in [
        CALLER,
        "quentin",
        "Tarleton",
        CALLED,
        digits,
        CALLER_SECRET,
        CALLED_SECRET,
        PIN,
        "the-secret-room",
    ] {
        let found = log
            .lines()
            .find(|line| line.to_lowercase().contains(&seed.to_lowercase()));
        assert_eq!(found, None, "{seed} stands in the log of {place}");
    }
}

/// A call between two accounts with everything at the loudest; gives each log by who wrote it.
fn logs_of_a_call(folder: &Folder, more: &str) -> Vec<(&'static str, String)> {
    let port = ports::free();
    let users = folder.join("users.toml");
    std::fs::write(
        &users,
        format!(
            "[users]\n\"{CALLER}\" = \"{CALLER_SECRET}\"\n\"{CALLED}\" = \"{CALLED_SECRET}\"\n"
        ),
    )
    .expect("a file can be written");
    let loud = |command: &mut std::process::Command| {
        command
            .env("TIPRING_LOG", "trace")
            .args(more.split_whitespace());
    };
    let mut command = program::command(&folder.inner("switchboard"));
    command.args([
        "switchboard",
        "--listen",
        &format!("udp:127.0.0.1:{port}"),
        "--users",
    ]);
    command.arg(&users);
    loud(&mut command);
    let switch = Program::spawn(folder, "switchboard", &mut command);
    switchboard::wait_taken(port, || ());
    let start = |name: &str, verb: &str, user: &str, password: &str, args: &[&str]| {
        let home = folder.inner(name);
        let mut command = program::command(&home);
        command
            .arg(verb)
            .args(args)
            .args(["--json", "--audio", "null", "-vv"]);
        command.args([
            "--aor",
            &format!("sip:{user}@pbx.test"),
            "--auth-user",
            user,
        ]);
        command.args(["--proxy", &format!("sip:127.0.0.1:{port};lr")]);
        command.args(["--password-env", "TIPRING_TEST_SECRET", "--config"]);
        command
            .arg(home.join("settings"))
            .env("TIPRING_TEST_SECRET", password);
        loud(&mut command);
        Program::spawn(folder, name, &mut command)
    };
    let mut answers = start("answer", "answer", CALLED, CALLED_SECRET, &["--count", "1"]);
    answers.wait_registered();
    let header = ["--header", "X-Room: the-secret-room", "--dtmf-send", PIN];
    let calls = [&[CALLED, "--for", "3s"], &header[..]].concat();
    let calls = start("call", "call", CALLER, CALLER_SECRET, &calls);
    let ended = calls.finish(seconds(30));
    ended.assert_code(0);
    assert!(
        ended.last_call()["remote"]
            .as_str()
            .is_some_and(|uri| uri.contains(CALLED)),
        "the user's own events name everybody\n{}",
        ended.story
    );
    answers.finish(SOON).assert_code(0);
    // One that fails: its words say why, and to whom it went.
    let nobody = format!("sip:{CALLER}@nobody.pbx.invalid:1");
    let fails = start("fails", "call", CALLER, CALLER_SECRET, &[&nobody]);
    fails.finish(seconds(60)).assert_code(1);
    let log = |name: &str| {
        let path = folder.join(format!("{name}.stderr.log"));
        std::fs::read_to_string(path).expect("the log was written")
    };
    drop(switch);
    vec![
        ("call", log("call")),
        ("answer", log("answer")),
        ("fails", log("fails")),
        ("switchboard", log("switchboard")),
    ]
}

#[test]
fn no_log_names_anybody_or_tells_a_secret_at_any_level() {
    let folder = Folder::new("privacy");
    let logs = logs_of_a_call(&folder, "");
    for (place, log) in &logs {
        assert_names_nobody(place, log);
    }
    for (place, log) in &logs[..2] {
        assert!(
            log.contains("registration"),
            "{place} logs what it does: {log}"
        );
    }
}

#[test]
fn whoever_asks_for_names_gets_them_and_still_no_secret() {
    let folder = Folder::new("privacy_shown");
    let logs = logs_of_a_call(&folder, "--log-identities");
    let (_, call) = &logs[0];
    assert!(call.contains("quentin"), "{call}");
    for (place, log) in &logs {
        for secret in [CALLER_SECRET, CALLED_SECRET] {
            assert!(
                !log.contains(secret),
                "{secret} stands in the log of {place}"
            );
        }
    }
}

#[test]
fn the_help_tells_how_to_ask_for_names() {
    let folder = Folder::new("privacy_help");
    let help = program::command(&folder.inner("home"))
        .arg("--help")
        .output();
    let help = String::from_utf8(help.expect("the program starts").stdout).expect("is text");
    assert!(help.contains("--log-identities"), "{help}");
    assert!(help.contains("****5910"), "{help}");
}
