//! A device of ALSA that never opens, beside one that works.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use audio::{CaptureChoice, PlayoutChoice, open};
use media::PumpHandle;

const INSIDE: &str = "TIPRING_TEST_HANGING";

/// What is read from a pipe that nobody writes into waits for ever, and so does who opens it.
fn settings(pipe: &Path) -> String {
    format!(
        "pcm.hangs {{ type file slave.pcm null file \"/dev/null\" infile \"{}\" format raw \
         hint {{ show on description Hangs }} }}\n\
         pcm.works {{ type null hint {{ show on description Works }} }}\n",
        pipe.display()
    )
}

#[test]
fn a_microphone_that_never_opens_is_named_and_the_speaker_opens_meanwhile() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (pipe, config) = (folder.join("hanging-pipe"), folder.join("hanging-asoundrc"));
    let _ = std::fs::remove_file(&pipe);
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()));
    std::fs::write(&config, settings(&pipe)).expect("settings can be written");
    let test = "a_microphone_that_never_opens_is_named_and_the_speaker_opens_meanwhile";
    let out = Command::new(std::env::current_exe().expect("the test knows its file"))
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env(
            "ALSA_CONFIG_PATH",
            format!("/usr/share/alsa/alsa.conf:{}", config.display()),
        )
        .output()
        .expect("the test starts");
    println!("{}", String::from_utf8_lossy(&out.stdout));
    assert!(out.status.success(), "{out:?}");
}

fn inside() {
    let pump = PumpHandle::start().expect("a pump");
    let hears = |pump: &PumpHandle| {
        let hangs = CaptureChoice::Id("alsa:hangs".to_owned());
        let began = Instant::now();
        let error = open(&hangs, &PlayoutChoice::Off, pump).err();
        let sentence = error.map(|error| error.to_string()).unwrap_or_default();
        (sentence, began.elapsed())
    };
    std::thread::scope(|scope| {
        let microphone = scope.spawn(|| hears(&pump));
        // The microphone's turn has begun.
        std::thread::sleep(Duration::from_millis(200));
        let works = PlayoutChoice::Id("alsa:works".to_owned());
        let began = Instant::now();
        let speaker = open(&CaptureChoice::Off, &works, &pump);
        let took = began.elapsed();
        println!("the speaker is open after {took:?}: {speaker:?}");
        assert!(speaker.is_ok() && took < audio::PATIENCE / 2, "{speaker:?}");
        drop(speaker);
        let (sentence, took) = microphone.join().expect("it comes to an end");
        println!("{sentence} After {took:?}.");
        assert_eq!(
            sentence,
            "The chosen microphone “alsa:hangs” does not answer."
        );
    });
    // It is not asked again while it owes an answer.
    let (sentence, took) = hears(&pump);
    println!("{sentence} After {took:?}.");
    assert!(sentence.ends_with("does not answer.") && took < audio::PATIENCE / 2);
    let began = Instant::now();
    let devices = audio::list();
    println!("listed after {:?}: {devices:?}", began.elapsed());
    assert!(
        devices
            .capture
            .iter()
            .any(|device| device.id == "alsa:hangs")
    );
    assert!(
        devices
            .playout
            .iter()
            .any(|device| device.id == "alsa:works")
    );
}
