//! The window on a screen without a monitor, with sound from a card that is not there.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::rig::desktop::{Screen, SoundCard};
use crate::rig::folder::Folder;
use crate::rig::process::Process;
use crate::rig::program::{self, SOON};
use crate::rig::{seconds, sound, switchboard, until};

#[test]
fn a_call_is_dialled_in_the_window_and_what_is_said_comes_back() {
    let folder = Folder::new("window");
    let screen = Screen::start(1280, 800);
    let card = SoundCard::start(&folder);
    let speech = sound::speech(&folder, 48_000);
    let (_switchboard, port) = switchboard::start(&folder);

    let home = folder.inner("home");
    let mut command = program::command(&home);
    command
        .arg("--config")
        .arg(home.join("settings"))
        .env("DISPLAY", &screen.name)
        .env("LIBGL_ALWAYS_SOFTWARE", "1");
    card.serve(&mut command);
    let mut tipring = Process::start("tipring", &folder, &mut command);
    screen.focus("Tipring");
    picture(&screen, &folder, "1-first-run");
    ctl(
        &home,
        "add_account",
        &json!({"password": "secret", "settings": {"aor": format!("sip:alice@127.0.0.1:{port}"),
            "register": true, "expires_s": 300, "transport": "udp", "bind": "127.0.0.1:0", "codecs": ["pcmu"]}}),
    );
    wait_for(&home, &mut tipring, "a registered account", |state| {
        (state["accounts"][0]["state"] == "registered").then_some(())
    });
    picture(&screen, &folder, "2-registered");

    screen.text("600");
    picture(&screen, &folder, "3-dialled");
    screen.key("Return");
    // Sound flows once the devices are open, which on this sound card takes a moment.
    wait_for(&home, &mut tipring, "a call with sound", |state| {
        let call = &state["calls"][0];
        let talks = call["state"] == "connected" && call["stats"]["received"].as_u64() > Some(150);
        talks.then_some(())
    });
    let heard = folder.join("heard.raw");
    // A screen drawn in software and sound in real time share the cores with whatever else runs. One
    // clean pass of three shows what is asked: that the way through the window's call is whole.
    let original = sound::read(&speech);
    let mut passes = Vec::new();
    while passes.last().is_none_or(|likeness| *likeness < 0.9) && passes.len() < 3 {
        {
            let _listening = card.listen(&folder, &heard);
            until("the recording to begin", SOON, || {
                std::fs::metadata(&heard).ok().filter(|file| file.len() > 0)
            });
            card.say(&speech);
            std::thread::sleep(seconds(2));
        }
        tipring.assert_alive();
        let recorded = sound::read_raw(&heard, 48_000);
        assert!(sound::loudness(&recorded) > 0.005, "nothing was heard");
        passes.push(sound::likeness(&original, &recorded));
    }
    println!("the echo is like what was said by {passes:?}");
    assert!(passes.last().is_some_and(|likeness| *likeness >= 0.9));
    picture(&screen, &folder, "4-call");

    let call = wait_for(&home, &mut tipring, "the call", |state| {
        state["calls"][0]["id"].as_u64()
    });
    ctl(&home, "end_call", &json!({"call": call}));
    wait_for(&home, &mut tipring, "the end of the call", |state| {
        let call = &state["calls"][0];
        (call.is_null() || call["state"] == "ended").then_some(())
    });
    picture(&screen, &folder, "5-ended");
}

/// Keeps a picture of the screen, and makes sure that there is something on it.
fn picture(screen: &Screen, folder: &Folder, name: &str) {
    // One frame and a bit.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let path = folder.join(format!("{name}.png"));
    screen.picture(&path);
    let colours = Screen::colours(&path);
    assert!(
        colours > 60,
        "{} has {colours} colours only",
        path.display()
    );
}

/// Asks the running window for its state until `find` has an answer.
fn wait_for<T>(
    home: &Path,
    tipring: &mut Process,
    what: &str,
    find: impl Fn(&Value) -> Option<T>,
) -> T {
    until(what, seconds(30), || {
        tipring.assert_alive();
        find(&snapshot(home)?)
    })
}

fn snapshot(home: &Path) -> Option<Value> {
    let mut command = program::command(home);
    command
        .arg("ctl")
        .arg("--config")
        .arg(home.join("settings"))
        .arg("snapshot");
    let out = command.stdin(Stdio::null()).output().ok()?;
    serde_json::from_slice(&out.stdout).ok()
}

/// Asks the running window for something, as soon as it listens.
fn ctl(home: &Path, method: &str, params: &Value) {
    until("the window's control socket", SOON, || {
        let mut command = program::command(home);
        command
            .arg("ctl")
            .arg("--config")
            .arg(home.join("settings"))
            .arg(method);
        let out = command
            .arg(params.to_string())
            .stdin(Stdio::null())
            .output()
            .ok()?;
        out.status.success().then_some(())
    });
}
