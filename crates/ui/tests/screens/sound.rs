//! What a call's card says of its sound: the four lights, why one is off, the figures, and the lock.

use std::time::Duration;

use egui::Key;
use egui::accesskit::Role;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use model::*;
use ui::{Screen, ViewState, apply, next_repaint};

use crate::behaviour::{Shown, commands, shown, talking, with_calls};
use crate::pictures::{base, both, each, on};
use crate::scene::*;

/// A call without sound one way or the other.
fn silent(dark: &[usize], silences: Vec<Silence>) -> CallView {
    let mut call = talking();
    let sound = &mut call.sound;
    let lights = [
        &mut sound.captured,
        &mut sound.sent,
        &mut sound.received,
        &mut sound.played,
    ];
    for (index, light) in lights.into_iter().enumerate() {
        light.on = !dark.contains(&index);
    }
    sound.silences = silences;
    call
}

fn one_sided() -> CallView {
    let why = Silence::NeverReceived {
        expected: Some("10.0.0.12:40208".to_owned()),
        private: true,
    };
    let mut call = silent(&[2, 3], vec![why]);
    call.sound.actual_peer = None;
    call.stats = None;
    call
}

fn says(harness: &Shown, words: &str) {
    assert!(harness.query_by_label(words).is_some(), "{words}");
}

#[test]
fn four_lights_say_how_far_the_sound_comes() {
    let harness = with_calls(vec![talking()]);
    for place in ["Captured", "Sent", "Received", "Played"] {
        says(&harness, &format!("{place}: yes"));
    }
    let harness = with_calls(vec![one_sided()]);
    for words in ["Captured: yes", "Sent: yes", "Received: no", "Played: no"] {
        says(&harness, words);
    }
    says(
        &harness,
        "Nothing has come from 10.0.0.12:40208, an address that only works in its own network.",
    );
}

#[test]
fn a_reason_that_counts_on_is_said_once() {
    let mut harness = with_calls(vec![talking()]);
    for seconds in [3, 4] {
        let why = Silence::StoppedReceiving { seconds };
        let call = Box::new(silent(&[2, 3], vec![why]));
        apply(&mut harness.state_mut().state, Event::Call { call });
        harness.run();
        says(&harness, "Nothing comes from the other side.");
    }
    // Where it came from and where it should are two places.
    says(
        &harness,
        "Expected from 10.0.0.12:40208, last came from 192.0.2.77:40208.",
    );
}

#[test]
fn every_figure_is_a_key_away_and_stays_away_otherwise() {
    let mut harness = with_calls(vec![talking()]);
    says(
        &harness,
        "Good 4.3 · 0.2 % lost · jitter 4.2 ms · round trip 31.0 ms · opus",
    );
    assert!(harness.query_by_label("Buffer: 60.0 ms").is_none());
    harness.get_by_label("Show all details").focus();
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    for figure in [
        "Codec: opus/48000",
        "Packets sent: 12\u{2009}190",
        "Lost: 24 (0.2 %)",
        "Buffer: 60.0 ms",
        "Expected from: 10.0.0.12:40208",
        "Comes from: 192.0.2.77:40208",
        "Sent to: 192.0.2.77:40208",
        "Quality over the call: 4.3 now, 3.1 at worst",
    ] {
        says(&harness, figure);
    }
    harness.get_by_label("Hide the details").click();
    harness.run();
    assert!(harness.query_by_label("Buffer: 60.0 ms").is_none());
}

#[test]
fn how_the_other_side_hears_us_is_among_the_figures_once_it_tells() {
    let mut call = talking();
    call.sound.peer_quality = Some(VoiceQuality {
        lost: 0.04,
        discarded: 0.01,
        mos_cq: Some(3.4),
        ..VoiceQuality::default()
    });
    let mut harness = with_calls(vec![call]);
    harness.get_by_label("Show all details").click();
    harness.run();
    says(&harness, "They hear you: Poor 3.4, 5.0 % lost");
}

#[test]
fn a_codec_that_only_the_other_side_sends_is_among_the_figures() {
    let mut call = talking();
    call.codec = Some("opus/48000/2".to_owned());
    call.details.heard_codec = Some("PCMA/8000".to_owned());
    let mut harness = with_calls(vec![call]);
    harness.get_by_label("Show all details").click();
    harness.run();
    says(&harness, "Codec: opus/48000/2, they send PCMA/8000");
}

#[test]
fn keys_are_renewed_in_the_menu_of_the_lock_where_there_are_some() {
    let mut harness = with_calls(vec![talking()]);
    harness.get_by_label("Encrypted").focus();
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    says(
        &harness,
        "Sent: AES_CM_128_HMAC_SHA1_80, key from the signalling (SDES)",
    );
    harness.get_by_label("Renew keys").focus();
    harness.run();
    assert!(harness.get_by_label("Renew keys").is_focused());
    harness.key_press(Key::Enter);
    let renew = Command::RenewKeys { call: CallId(1) };
    assert_eq!(commands(&mut harness), [renew]);

    let dtls = || {
        Some(Protection::Dtls {
            suite: "SRTP_AEAD_AES_256_GCM".to_owned(),
        })
    };
    for (security, lock) in [
        (MediaSecurity::default(), "Not encrypted"),
        (
            MediaSecurity {
                sent: dtls(),
                received: dtls(),
                keys_in_clear: false,
            },
            "Encrypted",
        ),
    ] {
        let call = CallView {
            security,
            ..talking()
        };
        let mut harness = with_calls(vec![call]);
        harness.get_by_label(lock).click();
        harness.run();
        assert!(harness.query_by_label("Renew keys").is_none(), "{lock}");
    }
}

/// What a slider, or the button beside it, asks for.
fn set_volume(speaker: Option<i64>, microphone: Option<i64>) -> Command {
    Command::SetVolume {
        speaker_percent: speaker.map(Volume::nearest),
        microphone_percent: microphone.map(Volume::nearest),
    }
}

/// The settings with these volumes of speaker and microphone.
fn with_volumes(speaker: i64, microphone: i64) -> Shown {
    let mut snapshot = base(ThemeChoice::Dark);
    snapshot.devices.speaker_volume = Volume::nearest(speaker);
    snapshot.devices.microphone_gain = Volume::nearest(microphone);
    shown(on(Screen::Settings, snapshot))
}

#[test]
fn volumes_are_set_by_the_keyboard_by_the_pointer_and_by_a_screen_reader() {
    let slider = |harness: &Shown, name: &str| {
        let node = harness.get_by_role_and_label(Role::Slider, name);
        let node = node.accesskit_node();
        (
            node.numeric_value(),
            node.min_numeric_value(),
            node.max_numeric_value(),
        )
    };
    // What was set elsewhere need not be a step, and asks for nothing by being shown.
    let mut harness = with_volumes(73, 100);
    let range = (Some(0.0), Some(200.0));
    let shown = |value: f64| (Some(value), range.0, range.1);
    assert_eq!(slider(&harness, "Speaker volume"), shown(73.0));
    assert_eq!(slider(&harness, "Microphone gain"), shown(100.0));
    assert_eq!(commands(&mut harness), []);

    for (name, key, expected) in [
        (
            "Speaker volume",
            Key::ArrowRight,
            set_volume(Some(80), None),
        ),
        ("Speaker volume", Key::ArrowLeft, set_volume(Some(70), None)),
        (
            "Microphone gain",
            Key::ArrowRight,
            set_volume(None, Some(105)),
        ),
    ] {
        harness.get_by_role_and_label(Role::Slider, name).focus();
        harness.run();
        harness.key_press(key);
        assert_eq!(commands(&mut harness), [expected], "{name} {key:?}");
    }

    let rect = harness
        .get_by_role_and_label(Role::Slider, "Speaker volume")
        .rect();
    harness.drag_at(rect.center());
    harness.run();
    let mut sent = commands(&mut harness);
    harness.hover_at(rect.right_center());
    sent.extend(commands(&mut harness));
    harness.drop_at(rect.right_center());
    sent.extend(commands(&mut harness));
    assert_eq!(sent.first(), Some(&set_volume(Some(100), None)), "{sent:?}");
    assert_eq!(sent.last(), Some(&set_volume(Some(200), None)), "{sent:?}");

    let slider = harness.get_by_role_and_label(Role::Slider, "Microphone gain");
    slider.set_value_accesskit(0.0);
    assert_eq!(commands(&mut harness), [set_volume(None, Some(0))]);
}

#[test]
fn a_volume_is_put_back_by_a_button_of_its_own() {
    let mut harness = with_volumes(40, 160);
    harness.get_by_label("Reset: Speaker volume").click();
    assert_eq!(commands(&mut harness), [set_volume(Some(100), None)]);
    harness.get_by_label("Reset: Microphone gain").focus();
    harness.run();
    harness.key_press(Key::Enter);
    assert_eq!(commands(&mut harness), [set_volume(None, Some(100))]);
    let harness = with_volumes(100, 100);
    let reset = harness.get_by_label("Reset: Speaker volume");
    assert!(
        reset.accesskit_node().is_disabled(),
        "there is nothing to put back"
    );
}

fn trying(theme: ThemeChoice) -> ViewState {
    let mut snapshot = base(theme);
    snapshot.devices.testing = true;
    on(Screen::Settings, snapshot)
}

#[test]
fn devices_are_tried_without_a_call_and_left_alone_after() {
    let test = |on| Command::TestSound {
        on,
        with: model::SoundTest::Ring,
    };
    let mut harness = shown(on(Screen::Settings, base(ThemeChoice::Dark)));
    assert!(harness.query_by_label("Microphone level").is_none());
    harness.get_by_label("Try microphone and speaker").focus();
    harness.run();
    harness.key_press(Key::Enter);
    assert_eq!(commands(&mut harness), [test(true)]);
    let mut devices = harness.state().state.data.devices.clone();
    devices.testing = true;
    apply(&mut harness.state_mut().state, Event::Devices { devices });
    let frame = next_repaint(&harness.state().state, now());
    assert!(frame.is_some_and(|wait| wait < Duration::from_millis(100)));
    harness.step();
    for meter in ["Microphone level", "Speaker level"] {
        assert!(harness.query_by_label(meter).is_some(), "{meter}");
    }
    // Looking at something else ends it; so does the button.
    harness.key_press(Key::F4);
    harness.step();
    harness.step();
    assert_eq!(
        std::mem::take(&mut harness.state_mut().actions),
        [ui::Action::Command(test(false))]
    );
    let mut harness = shown(trying(ThemeChoice::Dark));
    harness.get_by_label("Stop").click();
    assert_eq!(commands(&mut harness), [test(false)]);
    // A call shows all of that itself.
    let mut snapshot = base(ThemeChoice::Dark);
    snapshot.calls = vec![talking()];
    let mut harness = shown(on(Screen::Settings, snapshot));
    harness.get_by_label("Try microphone and speaker").click();
    assert_eq!(commands(&mut harness), []);
}

#[test]
fn a_test_of_the_ringing_says_where_it_rings() {
    let says_ringer = |test: SoundTest, ringer: bool| {
        let mut state = trying(ThemeChoice::Dark);
        let devices = &mut state.data.devices;
        devices.test = test;
        let first = devices.playout.first().map(|device| device.id.clone());
        devices.chosen_ringer = first.filter(|_| ringer);
        let harness = shown(state);
        let at = |words: &str| harness.query_all_by_label_contains(words).next().is_some();
        let ringer = at("comes from the device that it rings at");
        assert_ne!(ringer, at("comes from the speaker"));
        ringer
    };
    assert!(says_ringer(SoundTest::Ring, true));
    assert!(!says_ringer(SoundTest::Ring, false));
    assert!(!says_ringer(SoundTest::Sentence, true));
}

#[test]
fn settings_while_devices_are_tried() {
    both("settings_sound", WIDE, trying);
}

#[test]
fn phone_with_sound_in_one_direction() {
    both("phone_one_sided", WIDE, |theme| {
        let mut snapshot = base(theme);
        snapshot.calls = vec![one_sided()];
        on(Screen::Phone, snapshot)
    });
}

#[test]
fn narrow_and_large_with_no_sound() {
    let mut snapshot = base(ThemeChoice::Light);
    let mut muted = silent(&[0], vec![Silence::Muted]);
    muted.muted = true;
    snapshot.calls = vec![muted];
    let narrow = on(Screen::Phone, snapshot);
    let large = themed(base(ThemeChoice::Dark), ThemeChoice::Dark, 2.0);
    let mut large = on(Screen::Phone, large);
    let call = Box::new(one_sided());
    apply(&mut large, Event::Call { call });
    each([
        ("compact_muted", COMPACT, narrow),
        ("text_200_one_sided", COMPACT, large),
    ]);
}

#[test]
fn phone_with_all_figures_of_a_call() {
    both("phone_figures", WIDE, |theme| {
        let mut snapshot = base(theme);
        snapshot.calls = vec![talking()];
        let mut state = on(Screen::Phone, snapshot);
        state.window.figures = true;
        state
    });
}

/// Chooses this line of the menu that is open.
fn choose(harness: &mut Shown, line: &str) {
    harness.get_by_label(line).focus();
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
}

#[test]
fn a_call_is_placed_with_sound_one_way_by_the_keyboard() {
    let mut harness = shown(on(Screen::History, base(ThemeChoice::Dark)));
    harness.state_mut().state.window.dial = "201".to_owned();
    harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::Enter);
    harness.run();
    choose(&mut harness, "Only to you");
    let sent = commands(&mut harness);
    let [
        Command::PlaceCall {
            target, direction, ..
        },
    ] = sent.as_slice()
    else {
        panic!("{sent:?}");
    };
    assert_eq!(target.reveal(), "201");
    assert_eq!(*direction, MediaDirection::ReceiveOnly);
    // The next one is like any other.
    let mut harness = shown(on(Screen::Phone, base(ThemeChoice::Dark)));
    harness.state_mut().state.window.dial = "201".to_owned();
    harness.run();
    harness.get_by_label("Call").click();
    harness.run();
    let sent = commands(&mut harness);
    assert!(matches!(
        sent.as_slice(),
        [Command::PlaceCall { direction, .. }] if direction.is_both()
    ));
}

#[test]
fn who_asks_for_sound_one_way_under_an_open_keypad_is_asked_at_once_and_not_later() {
    let mut snapshot = base(ThemeChoice::Dark);
    snapshot.calls = vec![talking()];
    let mut harness = harness(on(Screen::Phone, snapshot), COMPACT);
    harness.state_mut().state.window.keypad = true;
    harness.run();
    harness.key_press_modifiers(egui::Modifiers::COMMAND, Key::Enter);
    harness.run();
    assert!(harness.query_by_label("Only to you").is_some());
    harness.key_press(Key::Escape);
    harness.run();
    harness.run();
    assert!(harness.query_by_label("Only to you").is_none());
}

#[test]
fn a_call_that_rings_is_answered_with_sound_one_way() {
    let office = party("Harbour office", "sip:200@northwind.example");
    let call = incoming(2, "n1", "north", office);
    let id = call.id;
    let mut harness = with_calls(vec![call]);
    let answer = harness.get_by_role_and_label(egui::accesskit::Role::Button, "Answer");
    answer.click_secondary();
    harness.run();
    choose(&mut harness, "Only from you");
    let wanted = [
        Command::SetDirection {
            call: id,
            direction: MediaDirection::SendOnly,
        },
        Command::AnswerCall { call: id },
    ];
    assert_eq!(commands(&mut harness), wanted);
}

#[test]
fn which_way_sound_flows_is_shown_in_the_figures_and_changed_there() {
    let mut call = talking();
    call.details.media = MediaDirection::ReceiveOnly;
    let mut harness = with_calls(vec![call.clone()]);
    harness.state_mut().state.window.figures = true;
    harness.run();
    let at = harness.get_by_label("Sound flows");
    assert_eq!(at.value().as_deref(), Some("Only to you"));
    at.focus();
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    choose(&mut harness, "Both ways");
    let change = Command::SetDirection {
        call: call.id,
        direction: MediaDirection::Both,
    };
    assert_eq!(commands(&mut harness), [change]);
    // On hold it stands still whatever is wanted.
    call.state = CallState::Held;
    call.held_by_us = true;
    let mut harness = with_calls(vec![call]);
    harness.state_mut().state.window.figures = true;
    harness.run();
    assert!(harness.query_by_label("Sound flows").is_none());
}

/// A file on its way from another window.
#[derive(Debug)]
struct Dropped(std::path::PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("nobody reads it here".to_owned())
    }
}

#[test]
fn a_file_that_is_dropped_on_the_window_is_played_into_the_call_and_can_be_ended() {
    let file = "/music/greeting.wav";
    let mut harness = with_calls(vec![talking()]);
    let dropped = std::sync::Arc::new(Dropped(file.into()));
    harness.input_mut().dropped_files.push(dropped);
    let call = talking().id;
    let play = |file: Option<&str>| Command::PlayFile {
        call,
        file: file.map(str::to_owned),
    };
    assert_eq!(commands(&mut harness), [play(Some(file))]);
    assert!(harness.query_by_label("Stop playing").is_none());
    let mut playing = talking();
    playing.details.playing = Some(file.to_owned());
    let mut harness = with_calls(vec![playing]);
    harness.get_by_label("Stop playing").click();
    assert_eq!(commands(&mut harness), [play(None)]);
    // Without a call there is nobody to hear it.
    let mut harness = with_calls(Vec::new());
    let dropped = std::sync::Arc::new(Dropped(file.into()));
    harness.input_mut().dropped_files.push(dropped);
    assert_eq!(commands(&mut harness), []);
}
