//! The window on a screen without a monitor, with sound from a card that is not there.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::rig::desktop::{Screen, SoundCard};
use crate::rig::folder::Folder;
use crate::rig::process::Process;
use crate::rig::program::{self, SOON};
use crate::rig::{seconds, sound, until};

#[test]
fn a_call_is_dialled_in_the_window_and_what_is_said_comes_back() {
    let folder = Folder::new("window");
    let screen = Screen::start(1280, 800);
    let card = SoundCard::start(&folder);
    let speech = sound::speech(&folder, 48_000);
    let home = folder.inner("home");
    let mut command = program::command(&home);
    command
        .arg("demo")
        .env("DISPLAY", &screen.name)
        .env("LIBGL_ALWAYS_SOFTWARE", "1");
    card.serve(&mut command);
    let mut tipring = Process::start("tipring", &folder, &mut command);
    screen.focus("Tipring");
    // The accounts of the demo are to be green before anything is dialled.
    wait_for(&home, &mut tipring, "registered accounts", |state| {
        let accounts = state["accounts"].as_array()?;
        let green = |account: &Value| account["state"] == "registered";
        (!accounts.is_empty() && accounts.iter().all(green)).then_some(())
    });
    picture(&screen, &folder, "start");

    screen.text("600");
    screen.key("Return");
    wait_for(&home, &mut tipring, "a connected call", |state| {
        let calls = state["calls"].as_array()?;
        calls
            .iter()
            .any(|call| call["state"] == "connected")
            .then_some(())
    });
    let heard = folder.join("heard.raw");
    {
        let _listening = card.listen(&folder, &heard);
        until("the recording to begin", SOON, || {
            std::fs::metadata(&heard).ok().filter(|file| file.len() > 0)
        });
        card.say(&speech);
        picture(&screen, &folder, "call");
        std::thread::sleep(seconds(2));
    }
    let likeness = sound::likeness(&sound::read(&speech), &sound::read_raw(&heard, 48_000));
    tipring.assert_alive();

    screen.key("Escape");
    picture(&screen, &folder, "after");
    assert!(
        sound::loudness(&sound::read_raw(&heard, 48_000)) > 0.005,
        "nothing was heard"
    );
    assert!(
        likeness >= 0.8,
        "the echo is like what was said by {likeness}"
    );
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
    let mut command: Command = program::command(home);
    let out = command
        .args(["ctl", "snapshot"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    serde_json::from_slice(&out.stdout).ok()
}
