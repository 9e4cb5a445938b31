//! libasound writes to stderr by itself, and a command's stderr is for people.
#![cfg(target_os = "linux")]

use std::process::Command;

const WHAT: &str = "TIPRING_TEST_QUIET";

/// A default device of a type that there is none of, which libasound complains about.
const BROKEN: &str = "pcm.!default { type nothing hint { show on description \"broken\" } }\nctl.!default { type nothing }\n";

#[test]
fn complaints_of_the_sound_library_stay_out_of_stderr() {
    match std::env::var(WHAT).as_deref() {
        Ok("raw") => assert!(alsa::PCM::new("default", alsa::Direction::Playback, false).is_err()),
        Ok(_) => drop(audio::list()),
        Err(_) => {
            let complaints = "ALSA lib";
            let raw = stderr_of("raw");
            assert!(raw.contains(complaints), "it did not complain: {raw}");
            let listed = stderr_of("list");
            assert!(!listed.contains(complaints), "{listed}");
        }
    }
}

/// What this test, doing `what` in a process of its own, writes to stderr.
fn stderr_of(what: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let settings = folder.join("asoundrc");
    std::fs::write(&settings, BROKEN).expect("settings can be written");
    let test = "complaints_of_the_sound_library_stay_out_of_stderr";
    let program = std::env::current_exe().expect("the test knows its file");
    let out = Command::new(program)
        .args([test, "--exact", "--nocapture"])
        .env(WHAT, what)
        .env(
            "ALSA_CONFIG_PATH",
            format!("/usr/share/alsa/alsa.conf:{}", settings.display()),
        )
        .output()
        .expect("the test starts");
    assert!(out.status.success(), "{out:?}");
    String::from_utf8_lossy(&out.stderr).into_owned()
}
