//! What is true about the sound of a call.

use model::{CallId, CallState, Command, Silence, SoundView, Volume};

use super::house::{House, notes, tone};
use crate::CallMedia;
use crate::phone::PhoneMsg;

async fn until_sound(
    house: &mut House,
    call: CallId,
    what: &str,
    fits: impl Fn(&SoundView) -> bool,
) -> SoundView {
    house
        .until(what, |s| {
            let sound = &s.calls.iter().find(|c| c.id == call)?.sound;
            fits(sound).then(|| sound.clone())
        })
        .await
}

#[tokio::test]
async fn four_lights_say_what_is_captured_sent_received_and_played_and_why_not() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for call in [out, into] {
        let sound = until_sound(&mut house, call, "all four lights are on", |s| {
            [s.captured, s.sent, s.received, s.played]
                .iter()
                .all(|light| light.on)
        })
        .await;
        assert!(
            sound.captured.level > 0.05 && sound.played.level > 0.05,
            "{sound:?}"
        );
        assert_eq!(sound.silences, []);
        assert!(sound.expected_peer.is_some());
        assert_eq!(sound.actual_peer, sound.expected_peer);
        assert_eq!(sound.target, sound.expected_peer);
    }
    house.engine.send(Command::MuteCall {
        call: out,
        muted: true,
    });
    // The microphone goes on, and the peer hears nothing of it.
    let muted = until_sound(&mut house, out, "it is muted", |s| {
        s.silences == [Silence::Muted]
    })
    .await;
    assert!(muted.captured.on);
    let deaf = until_sound(&mut house, into, "the peer's light is out", |s| {
        s.received.on && !s.played.on
    })
    .await;
    assert!(
        deaf.played.last.is_some(),
        "it says when there was something"
    );
    house.engine.send(Command::HoldCall { call: out });
    house.until_state(into, CallState::Held).await;
    until_sound(&mut house, out, "it is held", |s| {
        s.silences == [Silence::HeldByUs]
    })
    .await;
    until_sound(&mut house, into, "it is held by them", |s| {
        s.silences == [Silence::HeldByPeer]
    })
    .await;
    house.close().await;
}

#[tokio::test]
async fn a_call_is_recorded_when_that_is_asked_for_and_says_so_while_it_is() {
    let home =
        std::env::temp_dir().join(format!("tipring-engine-recording-{}", std::process::id()));
    let folders = settings::Folders::at(&home);
    let into_folder = folders.recordings_dir();
    let mut house = House::open_as(
        |account| account.recording_tone_s = Some(0),
        tone(),
        |config| config.folders = Some(folders),
    )
    .await;
    let (out, _) = house.talk("alice", "sip:bob@beta.test").await;
    let recording = |s: &model::Snapshot| {
        let call = s.calls.iter().find(|c| c.id == out)?;
        Some(call.details.recording.clone())
    };
    // Faster than a file is made: what was said last is what is shown, and so.
    for on in [true, false, true] {
        house.engine.send(Command::RecordCall { call: out, on });
    }
    let file = house.until("it is recorded", |s| recording(s)?).await;
    let file = std::path::PathBuf::from(file);
    assert!(file.starts_with(&into_folder), "{}", file.display());
    // Half a second of it, as it becomes visible.
    house
        .until("something is there", |_| {
            let length = std::fs::metadata(&file).ok()?.len();
            (length > 44 + 48_000).then_some(())
        })
        .await;
    house.engine.send(Command::RecordCall {
        call: out,
        on: false,
    });
    house
        .until("it is recorded no longer", |s| {
            recording(s)?.is_none().then_some(())
        })
        .await;
    house.close().await;
    let bytes = std::fs::read(&file).expect("the recording stays");
    assert_eq!(bytes.get(22..24), Some(&[2, 0][..]), "two channels");
    let samples = media::wav::load(&file).expect("it can be played");
    assert!(samples.iter().any(|sample| sample.abs() > 0.05));
    std::fs::remove_dir_all(&home).expect("it is ours");
}

/// What is heard can be recorded beside both sides: each has a file, and the end of the one is not that of the other.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_heard_fills_its_disk_and_both_sides_are_recorded_on() {
    let home = std::env::temp_dir().join(format!("tipring-engine-two-{}", std::process::id()));
    let media = crate::CallMedia::PerCall {
        source: media::Source::Tone { hz: 440.0 },
        sink: media::Sink::Record("/dev/full".into()),
    };
    let both = home.join("call {call}.wav");
    let mut house = House::open_as(|_| {}, media, |config| config.record_calls = Some(both)).await;
    let (out, _) = house.talk("alice", "sip:bob@beta.test").await;
    house
        .until("the disk is full", |s| {
            (notes(s, "into /dev/full ended early") > 1).then_some(())
        })
        .await;
    let recording = |s: &model::Snapshot| {
        let call = s.calls.iter().find(|c| c.id == out)?;
        call.details.recording.clone()
    };
    let file = house.until("it is recorded", recording).await;
    let length = |file: &str| std::fs::metadata(file).map_or(0, |data| data.len());
    let before = length(&file);
    house
        .until("the other file grows", |s| {
            (length(&file) > before && recording(s).is_some()).then_some(())
        })
        .await;
    house.close().await;
    std::fs::remove_dir_all(&home).expect("it is ours");
}

/// A steady tone of this height, as a file.
fn tone_file(home: &std::path::Path, name: &str, height: f32, seconds: usize) -> String {
    let path = home.join(name);
    let samples: Vec<f32> = (0..48_000 * seconds)
        .map(|n| (n as f32 * 0.05).sin() * height)
        .collect();
    std::fs::create_dir_all(home).expect("a folder can be made");
    media::wav::save(&path, &samples, 48_000).expect("a file can be written");
    path.display().to_string()
}

#[tokio::test]
async fn music_for_holding_that_cannot_be_played_is_told_of_before_anybody_is_held() {
    let home = std::env::temp_dir().join(format!("tipring-engine-music-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a folder");
    let nonsense = home.join("nonsense.wav");
    std::fs::write(&nonsense, "no sound").expect("a file");
    for file in [home.join("missing.wav"), nonsense, home.clone()] {
        let music = Some(file.display().to_string());
        let with = |account: &mut model::AccountSettings| account.hold_music.clone_from(&music);
        let (mut house, _) = super::peer::carol_with(tone(), with).await;
        let words = format!("will hear silence, for {} cannot", file.display());
        house
            .until(&words, |s| {
                let said = |n: &model::Notice| n.text.reveal().contains(&words);
                s.notices.iter().any(said).then_some(())
            })
            .await;
        house.close().await;
    }
    let _ = std::fs::remove_dir_all(home);
}

/// RFC 3264 §8.4: who is on hold is sent silence or music, and nothing of what is said here; a second call goes on meanwhile.
#[tokio::test]
async fn who_is_on_hold_hears_music_or_nothing_and_never_us() {
    let home = std::env::temp_dir().join(format!("tipring-engine-hold-{}", std::process::id()));
    let music = tone_file(&home, "music.wav", 0.1, 1);
    for music in [None, Some(music)] {
        let with = |account: &mut model::AccountSettings| account.hold_music.clone_from(&music);
        let mut house = House::open_as(with, tone(), |_| {}).await;
        let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
        // A sine of a quarter of full scale.
        until_sound(&mut house, into, "we are heard", |s| {
            (0.15..0.2).contains(&s.played.level)
        })
        .await;
        house.engine.send(Command::HoldCall { call: out });
        house.until_state(into, CallState::Held).await;
        until_sound(&mut house, into, "we are heard no more", |s| match music {
            None => !s.played.on,
            Some(_) => (0.06..0.08).contains(&s.played.level),
        })
        .await;
        // For as long as it lasts.
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(3);
        while tokio::time::Instant::now() < until {
            let loud = house.engine.hub.read(|s| {
                let call = s.calls.iter().find(|c| c.id == into);
                call.map(|c| c.sound.played.level)
            });
            assert!(loud.is_some_and(|loud| loud < 0.08), "{loud:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        house.engine.send(Command::ResumeCall { call: out });
        until_sound(&mut house, into, "we are heard again", |s| {
            (0.15..0.2).contains(&s.played.level)
        })
        .await;
        house.close().await;
    }
    std::fs::remove_dir_all(&home).expect("it is ours");
}

/// Music that was read once in a call is there when somebody is held again.
#[tokio::test]
async fn who_is_held_again_hears_the_same_music_at_once() {
    let home = std::env::temp_dir().join(format!("tipring-engine-again-{}", std::process::id()));
    let music = Some(tone_file(&home, "music.wav", 0.1, 1));
    let with = |account: &mut model::AccountSettings| account.hold_music.clone_from(&music);
    let mut house = House::open_as(with, tone(), |_| {}).await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for gone in [false, true] {
        house.engine.send(Command::HoldCall { call: out });
        house.until_state(into, CallState::Held).await;
        until_sound(&mut house, into, "music", |s| {
            (0.06..0.08).contains(&s.played.level)
        })
        .await;
        house.engine.send(Command::ResumeCall { call: out });
        until_sound(&mut house, into, "we are heard", |s| {
            (0.15..0.2).contains(&s.played.level)
        })
        .await;
        if !gone {
            std::fs::remove_dir_all(&home).expect("it is ours");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn a_file_is_played_into_a_call_to_its_end_or_until_that_is_ended() {
    let home = std::env::temp_dir().join(format!("tipring-engine-play-{}", std::process::id()));
    let short = tone_file(&home, "short.wav", 0.1, 4);
    let long = tone_file(&home, "long.wav", 0.05, 60);
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    let play = |house: &House, file: Option<&str>| {
        house.engine.send(Command::PlayFile {
            call: out,
            file: file.map(str::to_owned),
        });
    };
    let playing = |s: &model::Snapshot| {
        let call = s.calls.iter().find(|c| c.id == out)?;
        Some(call.details.playing.clone())
    };
    let is = |what: Option<String>| move |s: &model::Snapshot| (playing(s)? == what).then_some(());
    play(&house, Some(&short));
    house
        .until("it says what is played", is(Some(short.clone())))
        .await;
    until_sound(&mut house, into, "the file is heard", |s| {
        (0.06..0.08).contains(&s.played.level)
    })
    .await;
    house.until("it is at its end", is(None)).await;
    until_sound(&mut house, into, "we are heard again", |s| {
        (0.15..0.2).contains(&s.played.level)
    })
    .await;
    play(&house, Some(&long));
    house
        .until("it says what is played", is(Some(long.clone())))
        .await;
    until_sound(&mut house, into, "the other file is heard", |s| {
        (0.03..0.04).contains(&s.played.level)
    })
    .await;
    play(&house, None);
    house.until("it was ended", is(None)).await;
    until_sound(&mut house, into, "we are heard again", |s| {
        (0.15..0.2).contains(&s.played.level)
    })
    .await;
    // What cannot be played is said, and changes nothing.
    let missing = home.join("missing.wav").display().to_string();
    for (file, why) in [
        (missing.as_str(), "missing.wav is not played"),
        ("/dev/zero", "is no file"),
    ] {
        play(&house, Some(file));
        house
            .until(why, |s| (notes(s, why) > 0).then_some(()))
            .await;
    }
    play(&house, Some(&long));
    house
        .until("it says what is played", is(Some(long.clone())))
        .await;
    house.engine.send(Command::HoldCall { call: out });
    house.until("a hold ends it", is(None)).await;
    house.until_state(into, CallState::Held).await;
    play(&house, Some(&short));
    house
        .until("who is on hold is played nothing", |s| {
            (notes(s, "the call is on hold") > 0).then_some(())
        })
        .await;
    house.close().await;
    std::fs::remove_dir_all(&home).expect("it is ours");
}

#[tokio::test]
async fn tones_that_nobody_knows_are_refused_and_those_before_stay() {
    let mut house = House::start(Vec::new(), tone()).await;
    let choose = |house: &House, country: &str| {
        let country = Some(country.to_owned());
        house.engine.send(Command::ChooseTones { country });
    };
    choose(&house, "GB");
    let chosen = |s: &model::Snapshot| s.devices.chosen_tones.clone();
    let is_british = |s: &model::Snapshot| chosen(s).filter(|code| code == "GB");
    house.until("British tones", is_british).await;
    choose(&house, "XX");
    house
        .until_notice("Other tones were not chosen: the tones of “XX” are not known; there are")
        .await;
    let state = house.engine.snapshot();
    assert_eq!(chosen(&state).as_deref(), Some("GB"));
    house.close().await;
}

fn set_volume(house: &House, speaker: Option<i64>, microphone: Option<i64>) {
    house.engine.send(Command::SetVolume {
        speaker_percent: speaker.map(Volume::nearest),
        microphone_percent: microphone.map(Volume::nearest),
    });
}

/// The volumes of speaker and microphone that are shown, in percent.
fn volumes(state: &model::Snapshot) -> (u8, u8) {
    let devices = &state.devices;
    let (speaker, microphone) = (devices.speaker_volume, devices.microphone_gain);
    (speaker.percent(), microphone.percent())
}

/// A steady tone, root mean square 0.177, for as long as somebody listens.
struct Sine(usize);

impl std::io::Read for Sine {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let whole = bytes.len() / 2 * 2;
        for pair in bytes[..whole].chunks_exact_mut(2) {
            let angle = self.0 as f32 * std::f32::consts::TAU / 120.0;
            pair.copy_from_slice(&((angle.sin() * 8_192.0) as i16).to_le_bytes());
            self.0 = (self.0 + 1) % 120;
        }
        Ok(whole)
    }
}

#[tokio::test]
async fn in_a_call_the_peer_hears_another_volume_of_the_microphone_and_we_of_the_speaker() {
    let program = |config: &mut crate::EngineConfig| config.hardware = false;
    let mut house = House::open_as(|_| {}, CallMedia::Devices, program).await;
    let _pipe = (house.engine.pipe(Sine(0), std::io::sink())).expect("a pipe");
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    // One of the two is silent, so that the speaker plays one voice.
    house.engine.send(Command::MuteCall {
        call: into,
        muted: true,
    });
    until_sound(&mut house, out, "nothing comes back", |s| !s.played.on).await;
    let steps = [
        (None, None, 0.177, 0.177),
        (None, Some(50), 0.088, 0.088),
        (Some(200), None, 0.088, 0.177),
        (Some(50), Some(200), 0.354, 0.177),
        (Some(100), Some(100), 0.177, 0.177),
    ];
    for (speaker, microphone, said, played) in steps {
        set_volume(&house, speaker, microphone);
        let what = format!("{speaker:?} {microphone:?}");
        let near = |level: f32, wanted: f32| (level - wanted).abs() < wanted * 0.12;
        let sound = until_sound(&mut house, into, &what, |s| near(s.played.level, said)).await;
        // Those of the device are not in the state, so the next ones of the call are waited for.
        let engine = &house.engine;
        let began = tokio::time::Instant::now();
        while !near(engine.device_levels().playout, played) {
            let levels = engine.device_levels();
            assert!(began.elapsed().as_secs() < 20, "{what}: {levels:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let (heard, device) = (sound.played.level, house.engine.device_levels().playout);
        println!("speaker {speaker:?}, microphone {microphone:?}: {heard} heard, {device} played");
    }
    // What is started anew knows what was set last.
    set_volume(&house, Some(30), Some(40));
    let is_set = |s: &model::Snapshot| (volumes(s) == (30, 40)).then_some(());
    house.until("both are set", is_set).await;
    house.tell_phone(PhoneMsg::CrashDevices);
    house.until_notice("was started again").await;
    set_volume(&house, Some(60), None);
    let is_set = |s: &model::Snapshot| (volumes(s) == (60, 40)).then_some(());
    house.until("the other is as it was", is_set).await;
    house.close().await;
}

#[tokio::test]
async fn volumes_are_kept_for_the_next_start_and_are_those_of_sound_cards() {
    let home = std::env::temp_dir().join(format!("tipring-engine-volume-{}", std::process::id()));
    let start = |hardware: bool| {
        let folders = settings::Folders::at(&home);
        House::start_with(Vec::new(), CallMedia::Devices, move |config| {
            config.folders = Some(folders);
            config.use_settings = true;
            config.hardware = hardware;
        })
    };
    let mut house = start(true).await;
    let are = |wanted: (u8, u8)| move |s: &model::Snapshot| (volumes(s) == wanted).then_some(());
    // A slider is dragged, and the program ended at once.
    for step in 0..=90 {
        set_volume(&house, Some(step), None);
    }
    set_volume(&house, None, Some(150));
    house.until("both are set", are((90, 150))).await;
    house.close().await;
    let mut house = start(true).await;
    house.until("what was kept", |s| are((90, 150))(s)).await;
    house.close().await;
    // A program that hears and speaks in place of a person is heard as it comes, and may say otherwise.
    let mut house = start(false).await;
    set_volume(&house, Some(20), None);
    house.until("what the program said", are((20, 100))).await;
    house.close().await;
    std::fs::remove_dir_all(&home).expect("it is ours");
}
