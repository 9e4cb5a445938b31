//! What a click or a key asks for.

use std::time::Duration;

use egui::{Key, Modifiers, Role};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use model::*;
use ui::{Action, Screen, ViewState, apply, next_repaint};

use crate::scene::*;

pub(crate) type Shown = Harness<'static, App>;

const CTRL: Modifiers = Modifiers::COMMAND;

pub(crate) fn shown(state: ViewState) -> Shown {
    let mut harness = harness(state, WIDE);
    harness.run();
    harness
}

pub(crate) fn with_calls(calls: Vec<CallView>) -> Shown {
    let mut snapshot = snapshot();
    snapshot.calls = calls;
    shown(state_of(snapshot))
}

pub(crate) fn talking() -> CallView {
    let bob = party("Bob Keller", "sip:bob@acme.example");
    call(1, "a1", "acme", bob, CallState::Connected)
}

fn ringing() -> CallView {
    let office = party("Harbour office", "sip:200@northwind.example");
    incoming(2, "n1", "north", office)
}

fn on(screen: Screen) -> ViewState {
    let mut state = state_of(snapshot());
    state.window.screen = screen;
    state
}

/// What was asked for since the last time.
pub(crate) fn asked(harness: &mut Shown) -> Vec<Action> {
    harness.run();
    std::mem::take(&mut harness.state_mut().actions)
}

pub(crate) fn commands(harness: &mut Shown) -> Vec<Command> {
    asked(harness)
        .into_iter()
        .map(|action| match action {
            Action::Command(command) => command,
            other => panic!("{other:?} is not for the engine"),
        })
        .collect()
}

/// Types into a field.
pub(crate) fn typed(harness: &mut Shown, field: &str, text: &str) {
    harness
        .get_by_role_and_label(Role::TextInput, field)
        .focus();
    harness.run();
    harness
        .get_by_role_and_label(Role::TextInput, field)
        .type_text(text);
    harness.run();
}

pub(crate) fn place(account: &str, target: &str) -> Command {
    Command::PlaceCall {
        account: AccountId::new(account),
        target: target.into(),
        headers: Vec::new(),
        direction: model::MediaDirection::Both,
    }
}

#[test]
fn a_number_and_enter_place_a_call_with_the_account_that_is_shown() {
    let mut harness = shown(on(Screen::Phone));
    harness.key_press_modifiers(CTRL, Key::L);
    harness.run();
    harness
        .get_by_label("Number or address")
        .type_text("0049301234");
    harness.run();
    harness.key_press(Key::Enter);
    assert_eq!(commands(&mut harness), [place("a1", "0049301234")]);
    assert_eq!(harness.state().state.window.dial, "");
    assert!(!harness.get_by_label("Number or address").is_focused());
}

#[test]
fn calling_nobody_brings_the_last_number_back_and_does_not_dial_it() {
    let mut harness = shown(on(Screen::Phone));
    harness.get_by_label("Call").click();
    assert_eq!(commands(&mut harness), []);
    assert_eq!(
        harness.state().state.window.dial,
        "+4930901820@acme.example"
    );
    harness.get_by_label("Call").click();
    assert_eq!(
        commands(&mut harness),
        [place("a2", "+4930901820@acme.example")]
    );
}

#[test]
fn another_account_can_be_chosen_by_typing_its_name() {
    let mut harness = shown(on(Screen::Phone));
    harness.get_by_label("Account to call with").click();
    harness.run();
    harness
        .get_by_label("Find an account")
        .type_text("north fax");
    harness.run();
    harness.key_press(Key::Enter);
    harness.run();
    let window = &harness.state().state.window;
    assert_eq!(window.dial_account, Some(AccountId::new("n2")));
}

#[test]
fn an_incoming_call_is_answered_or_rejected_by_click_and_key() {
    for (deed, wanted) in [
        ("Answer", Command::AnswerCall { call: CallId(2) }),
        (
            "Reject",
            Command::RejectCall {
                call: CallId(2),
                code: None,
            },
        ),
    ] {
        let mut harness = with_calls(vec![ringing()]);
        harness.get_by_label(deed).click();
        assert_eq!(commands(&mut harness), [wanted]);
    }
    let mut harness = with_calls(vec![ringing()]);
    harness.key_press_modifiers(CTRL, Key::Y);
    assert_eq!(
        commands(&mut harness),
        [Command::AnswerCall { call: CallId(2) }]
    );
    harness.key_press_modifiers(CTRL | Modifiers::SHIFT, Key::D);
    assert_eq!(
        commands(&mut harness),
        [Command::RejectCall {
            call: CallId(2),
            code: None
        }]
    );
}

#[test]
fn an_incoming_call_takes_no_keyboard_and_moves_no_screen() {
    let mut harness = shown(on(Screen::Phone));
    harness.key_press_modifiers(CTRL, Key::L);
    harness.run();
    harness.get_by_label("Number or address").type_text("12");
    harness.run();
    let event = Event::Call {
        call: Box::new(ringing()),
    };
    apply(&mut harness.state_mut().state, event);
    harness.run();
    assert!(harness.get_by_label("Number or address").is_focused());
    harness.get_by_label("Number or address").type_text("34");
    assert_eq!(asked(&mut harness), []);
    assert_eq!(harness.state().state.window.dial, "1234");
}

#[test]
fn hanging_up_never_rejects_a_call_that_has_just_come_in() {
    let mut harness = with_calls(vec![ringing()]);
    harness.key_press_modifiers(CTRL, Key::D);
    assert_eq!(commands(&mut harness), []);
    let mut harness = with_calls(vec![talking(), ringing()]);
    harness.key_press_modifiers(CTRL, Key::D);
    assert_eq!(
        commands(&mut harness),
        [Command::EndCall { call: CallId(1) }]
    );
}

#[test]
fn a_call_is_held_muted_and_ended_by_its_buttons_and_keys() {
    let call = CallId(1);
    let mute = Command::MuteCall { call, muted: true };
    let mut harness = with_calls(vec![talking()]);
    for (label, wanted) in [
        ("Hold", Command::HoldCall { call }),
        ("Mute", mute.clone()),
        ("Hang up", Command::EndCall { call }),
    ] {
        harness.get_by_label(label).click();
        assert_eq!(commands(&mut harness), [wanted]);
    }
    for (key, wanted) in [
        (Key::H, Command::HoldCall { call }),
        (Key::M, mute),
        (Key::D, Command::EndCall { call }),
    ] {
        harness.key_press_modifiers(CTRL, key);
        assert_eq!(commands(&mut harness), [wanted]);
    }
}

#[test]
fn digits_are_tones_in_a_call_and_the_number_without_one() {
    let mut harness = with_calls(vec![talking()]);
    harness.get_by_label("5").click();
    let tone = |digits: &str| Command::SendDtmf {
        call: CallId(1),
        digits: digits.into(),
    };
    assert_eq!(commands(&mut harness), [tone("5")]);
    harness.event(egui::Event::Text("#".to_owned()));
    assert_eq!(commands(&mut harness), [tone("#")]);

    let mut harness = shown(on(Screen::Phone));
    harness.get_by_label("5").click();
    harness.run();
    harness.event(egui::Event::Text("7".to_owned()));
    assert_eq!(commands(&mut harness), []);
    assert_eq!(harness.state().state.window.dial, "57");
}

#[test]
fn a_call_stands_above_every_other_screen() {
    for screen in [
        Screen::History,
        Screen::Trace,
        Screen::Accounts,
        Screen::Settings,
    ] {
        let mut snapshot = snapshot();
        snapshot.calls = vec![ringing()];
        let mut state = state_of(snapshot);
        state.window.screen = screen;
        let mut harness = shown(state);
        harness.get_by_label("Answer").click();
        assert_eq!(
            commands(&mut harness),
            [Command::AnswerCall { call: CallId(2) }],
            "{screen:?}"
        );
    }
}

#[test]
fn two_fields_and_a_button_make_the_first_account() {
    let mut harness = shown(state_of(Snapshot::default()));
    harness.get_by_label("Address").focus();
    harness.get_by_label("Address").type_text("alice");
    harness.run();
    harness.get_by_label("Connect").click();
    assert_eq!(asked(&mut harness), []);
    harness.get_by_label_contains("An address looks like");
    harness.get_by_label("Address").type_text("@example.com");
    harness.run();
    harness.get_by_label("Password").focus();
    harness.get_by_label("Password").type_text("s3cret");
    harness.run();
    harness.get_by_label("Connect").click();
    assert_eq!(
        commands(&mut harness),
        [Command::AddAccount {
            tenant: None,
            settings: Box::new(AccountSettings::new("sip:alice@example.com")),
            password: Some(Password("s3cret".to_owned())),
        }]
    );
}

#[test]
fn the_switchboard_can_be_tried_without_an_account() {
    let mut harness = shown(state_of(Snapshot::default()));
    harness.get_by_label("Try the built-in switchboard").click();
    assert_eq!(asked(&mut harness), [Action::StartDemo]);
}

#[test]
fn a_refused_account_is_found_by_the_status_bar_and_retried() {
    let mut harness = shown(on(Screen::Phone));
    harness.get_by_label("2 need a look").click();
    harness.run();
    harness.get_by_label("Server refuses this account");
    harness.get_by_label("Retry now").click();
    assert_eq!(
        commands(&mut harness),
        [Command::Register {
            account: AccountId::new("a3")
        }]
    );
    harness.get_by_label("2 need a look").click();
    harness.run();
    harness.get_by_label("Server silent");
}

#[test]
fn the_accounts_are_walked_with_the_arrows() {
    let mut harness = shown(on(Screen::Accounts));
    for (key, account) in [
        (Key::ArrowDown, "a1"),
        (Key::ArrowDown, "a2"),
        (Key::J, "a3"),
        (Key::J, "n1"),
        (Key::ArrowUp, "a3"),
    ] {
        harness.key_press(key);
        harness.run();
        let chosen = harness.state().state.window.account.clone();
        assert_eq!(chosen, Some(AccountId::new(account)));
    }
}

#[test]
fn what_is_copied_from_the_trace_is_masked() {
    let mut harness = traced();
    harness.state_mut().state.window.trace.selected = Some(7);
    harness.run();
    for button in ["Copy message", "Copy call"] {
        harness.get_by_label(button).click();
        let mut copied = Vec::new();
        for _ in 0..6 {
            harness.step();
            for command in &harness.output().platform_output.commands {
                if let egui::OutputCommand::CopyText(text) = command {
                    copied.push(text.clone());
                }
            }
        }
        assert_eq!(copied.len(), 1, "{button}");
        assert!(copied[0].contains("INVITE sip:"));
        for secret in ["6629fae49393a05397450978507c4ef1", "reception@"] {
            assert!(!copied[0].contains(secret), "{button} copies {secret}");
        }
        harness.run();
    }
}

#[test]
fn removing_is_asked_about_first() {
    let mut state = on(Screen::Accounts);
    state.window.account = Some(AccountId::new("a3"));
    let mut harness = harness(state, [1100.0, 1100.0]);
    harness.run();
    harness.get_by_label("Remove…").click();
    assert_eq!(commands(&mut harness), []);
    harness.get_by_label("Cancel").click();
    assert_eq!(commands(&mut harness), []);
    harness.get_by_label("Remove…").click();
    harness.run();
    harness.get_by_label("Remove").click();
    assert_eq!(
        commands(&mut harness),
        [Command::RemoveAccount {
            account: AccountId::new("a3")
        }]
    );
}

#[test]
fn an_edited_account_keeps_its_password_when_none_is_typed() {
    let mut state = on(Screen::Accounts);
    state.window.account = Some(AccountId::new("a1"));
    let mut harness = shown(state);
    harness.get_by_label("Edit…").click();
    harness.run();
    harness.get_by_label("Save").click();
    let settings = harness.state().state.data.accounts[0].settings.clone();
    assert_eq!(
        commands(&mut harness),
        [Command::UpdateAccount {
            account: AccountId::new("a1"),
            settings: Box::new(settings),
            password: None,
        }]
    );
}

#[test]
fn a_tenant_in_the_rail_narrows_what_is_listed() {
    let mut harness = shown(on(Screen::Phone));
    harness.key_press_modifiers(CTRL, Key::Num3);
    harness.run();
    assert_eq!(
        harness.state().state.window.tenant,
        Some(TenantId::new("north"))
    );
    assert_eq!(
        harness.state().state.window.dial_account,
        Some(AccountId::new("n1"))
    );
    assert!(
        harness
            .query_by_label_contains("Warehouse, Refused")
            .is_none()
    );
    harness.get_by_label("All organisations").click();
    harness.run();
    harness.get_by_label("Warehouse, Refused");
}

#[test]
fn a_wish_for_a_filter_that_is_not_there_is_forgotten() {
    let mut harness = shown(on(Screen::Settings));
    harness.key_press_modifiers(CTRL, Key::F);
    harness.run();
    harness.key_press(Key::F9);
    harness.run();
    assert!(!harness.get_by_label("Find a call").is_focused());
    harness.key_press_modifiers(CTRL, Key::F);
    harness.run();
    assert!(harness.get_by_label("Find a call").is_focused());
}

#[test]
fn history_is_filtered_walked_and_redialled() {
    let mut harness = shown(on(Screen::History));
    harness.key_press_modifiers(CTRL, Key::F);
    harness.run();
    harness.get_by_label("Find a call").type_text("warehouse");
    harness.run();
    assert!(harness.query_by_label_contains("Harbour office").is_none());
    harness.key_press(Key::Tab);
    harness.run();
    harness.get_by_label_contains("Warehouse gate").click();
    harness.run();
    harness.get_by_label("Call again").click();
    assert_eq!(
        commands(&mut harness),
        [place("a3", "sip:gate@[2001:db8:85a3::8a2e:370:7334]:5070")]
    );
    harness.get_by_label("Show the ladder of this call").click();
    harness.run();
    assert_eq!(harness.state().state.window.screen, Screen::Trace);
}

fn traced() -> Shown {
    let mut snapshot = snapshot();
    snapshot.trace = trace();
    let mut state = state_of(snapshot);
    state.window.screen = Screen::Trace;
    shown(state)
}

#[test]
fn the_trace_is_walked_with_the_keys_of_sngrep() {
    let mut harness = traced();
    harness.key_press(Key::J);
    harness.run();
    harness.key_press(Key::J);
    harness.run();
    harness.key_press(Key::K);
    harness.run();
    // The first two are an OPTIONS and its answer: noise.
    assert_eq!(harness.state().state.window.trace.selected, Some(2));
    for _ in 0..2 {
        harness.key_press(Key::ArrowDown);
        harness.run();
    }
    harness.key_press(Key::Enter);
    harness.run();
    let call = harness.state().state.window.trace.call.clone();
    assert_eq!(call.as_deref(), Some("c7b1f0@192.0.2.5"));
    assert!(harness.query_by_label_contains("403 Forbidden").is_none());
    harness.key_press(Key::Escape);
    harness.run();
    assert_eq!(harness.state().state.window.trace.call, None);
    harness.key_press(Key::P);
    harness.run();
    assert!(harness.state().state.window.trace.paused.is_some());
    harness.key_press(Key::T);
    harness.run();
    assert!(harness.state().state.window.trace.message_hidden);
    harness.key_press(Key::Slash);
    harness.run();
    assert!(harness.get_by_label("Filter the trace").is_focused());
}

#[test]
fn noise_is_hidden_with_its_count_and_shown_on_demand() {
    let mut harness = traced();
    assert!(harness.query_by_label_contains("OPTIONS").is_none());
    harness.get_by_label("2 hidden as noise").click();
    harness.run();
    harness.get_by_label_contains("OPTIONS, reception@acme.example");
}

#[test]
fn the_trace_is_filtered_in_its_language_and_a_slip_empties_nothing() {
    let mut harness = traced();
    let listed = |harness: &Shown| harness.get_all_by_role(Role::ListBoxOption).count();
    let all = listed(&harness);
    harness.key_press(Key::Slash);
    harness.run();
    harness
        .get_by_label("Filter the trace")
        .type_text("code:4xx");
    harness.run();
    assert_eq!(listed(&harness), 3);
    harness.get_by_label("Filter the trace").type_text(" code:");
    harness.run();
    harness.get_by_label_contains("at character");
    assert_eq!(listed(&harness), 3);
    harness.state_mut().state.window.trace.filter.clear();
    harness.run();
    assert_eq!(listed(&harness), all);
}

#[test]
fn a_paused_trace_stands_still_and_goes_on_where_it_stood() {
    let mut harness = traced();
    let rows = |harness: &Shown| {
        harness
            .get_all_by_role(Role::ListBoxOption)
            .filter(|n| {
                n.accesskit_node()
                    .label()
                    .is_some_and(|l| l.starts_with("BYE"))
            })
            .count()
    };
    assert_eq!(rows(&harness), 1);
    harness.get_by_label("Pause").click();
    harness.run();
    let mut again = trace();
    again.truncate(22);
    let last = again.pop().into_iter().collect();
    apply(
        &mut harness.state_mut().state,
        Event::Trace { records: last },
    );
    harness.run();
    assert_eq!(rows(&harness), 1);
    harness.get_by_label("Go on").click();
    harness.run();
    assert_eq!(rows(&harness), 2);
}

#[test]
fn looks_are_chosen_in_the_settings() {
    let mut harness = shown(on(Screen::Settings));
    harness.get_by_label("Theme: High contrast").click();
    let asked_for = Preferences {
        theme: ThemeChoice::HighContrast,
        text_scale: 1.0,
    };
    assert_eq!(
        commands(&mut harness),
        [Command::SetPreferences {
            preferences: asked_for
        }]
    );
    harness.key_press_modifiers(CTRL, Key::Plus);
    let asked_for = Preferences {
        theme: ThemeChoice::Dark,
        text_scale: 1.1,
    };
    assert_eq!(
        commands(&mut harness),
        [Command::SetPreferences {
            preferences: asked_for
        }]
    );
}

#[test]
fn a_device_is_chosen_by_its_name() {
    let mut harness = shown(on(Screen::Settings));
    harness.get_by_label("Speaker").click();
    harness.run();
    harness.get_by_label("HDMI output").click();
    assert_eq!(
        commands(&mut harness),
        [Command::ChooseDevice {
            role: DeviceRole::Playout,
            device: Some(DeviceId::new("hw:2")),
        }]
    );
}

#[test]
fn the_keyboard_walks_in_reading_order() {
    let mut harness = shown(on(Screen::Phone));
    harness.key_press_modifiers(CTRL, Key::L);
    harness.run();
    harness.key_press(Key::Tab);
    harness.run();
    assert!(harness.get_by_label("Call").is_focused());
    for label in [
        "Number or address",
        "Do not disturb",
        "Account to call with",
    ] {
        harness.key_press_modifiers(Modifiers::SHIFT, Key::Tab);
        harness.run();
        assert!(harness.get_by_label(label).is_focused(), "{label}");
    }
}

#[test]
fn what_is_out_of_sight_is_not_drawn() {
    let mut snapshot = snapshot();
    let mut line = snapshot.history[0].clone();
    snapshot.history = (0..10_000)
        .map(|id| {
            line.id = id;
            line.clone()
        })
        .collect();
    let record = trace().remove(20);
    snapshot.trace = std::iter::repeat_n(record, ui::TRACE_RECORDS).collect();
    let mut state = state_of(snapshot);
    for screen in [Screen::History, Screen::Trace] {
        state.window.screen = screen;
        let mut harness = shown(std::mem::take(&mut state));
        let rows = harness.get_all_by_role(Role::ListBoxOption).count();
        assert!((10..60).contains(&rows), "{screen:?} draws {rows}");
        state = std::mem::take(&mut harness.state_mut().state);
    }
}

#[test]
fn nothing_is_drawn_again_without_a_reason() {
    let mut state = state_of(snapshot());
    state.window.account = Some(AccountId::new("c1"));
    for screen in Screen::ALL {
        state.window.screen = screen;
        assert_eq!(next_repaint(&state, now()), None, "{screen:?}");
        let mut harness = harness(std::mem::take(&mut state), WIDE);
        harness.run();
        // The cursor in a field does not blink.
        harness.key_press_modifiers(CTRL, Key::F);
        harness.run();
        harness.step();
        let output = harness.output();
        let delays: Vec<Duration> = output
            .viewport_output
            .values()
            .map(|v| v.repaint_delay)
            .collect();
        assert!(
            delays.iter().all(|d| *d == Duration::MAX),
            "{screen:?} wants to be drawn again in {delays:?}"
        );
        state = std::mem::take(&mut harness.state_mut().state);
    }
}

#[test]
fn a_notice_asks_for_one_frame_when_its_time_is_over_and_for_none_after() {
    let mut snapshot = snapshot();
    snapshot.notices = vec![Notice {
        time: now(),
        level: NoticeLevel::Warning,
        tenant: None,
        text: "The port is taken; another one is used.".into(),
    }];
    let state = state_of(snapshot);
    let later = |seconds: i64| Timestamp(now().0 + seconds * 1_000_000);
    assert_eq!(
        next_repaint(&state, later(5)),
        Some(Duration::from_secs(10))
    );
    assert_eq!(next_repaint(&state, later(15)), None);
    assert_eq!(next_repaint(&state, later(3_600)), None);
}

#[test]
fn timers_tick_and_meters_move_only_while_they_are_seen() {
    let mut snapshot = snapshot();
    snapshot.calls = vec![talking()];
    let mut state = state_of(snapshot);
    assert_eq!(next_repaint(&state, now()), Some(Duration::from_millis(66)));
    state.window.screen = Screen::History;
    assert_eq!(next_repaint(&state, now()), Some(Duration::from_secs(1)));
    let mut over = talking();
    over.state = CallState::Ended;
    apply(
        &mut state,
        Event::Call {
            call: Box::new(over),
        },
    );
    assert_eq!(next_repaint(&state, now()), None);
}

#[test]
fn the_echo_of_the_demonstration_is_one_click_away() {
    let mut state = state_of(Snapshot {
        history: Vec::new(),
        ..snapshot()
    });
    let suggest = |words: &str, target: &str| ui::Suggestion {
        words: words.to_owned(),
        target: target.to_owned(),
    };
    state.window.suggestions = vec![
        suggest("Call the echo test", "echo"),
        suggest("A busy number", "busy"),
    ];
    let mut harness = shown(state);
    harness.get_by_label("Call the echo test").click();
    assert_eq!(commands(&mut harness), [place("a1", "echo")]);
    // It stays so when there are calls to list.
    let mut state = state_of(snapshot());
    state.window.suggestions = vec![
        suggest("Call the echo test", "echo"),
        suggest("A busy number", "busy"),
    ];
    let mut harness = shown(state);
    harness.get_by_label("A busy number").click();
    assert_eq!(commands(&mut harness), [place("a1", "busy")]);
}

#[test]
fn sound_that_is_not_there_is_said_where_it_would_be_ready() {
    let said = |capture: bool, playout: bool| {
        let mut snapshot = snapshot();
        if !capture {
            snapshot.devices.capture.clear();
        }
        if !playout {
            snapshot.devices.playout.clear();
        }
        if !(capture && playout) {
            snapshot.devices.warning = Some("Something is missing.".to_owned());
        }
        let harness = shown(state_of(snapshot));
        [
            "Sound ready",
            "No microphone",
            "No speaker",
            "No microphone, no speaker",
        ]
        .into_iter()
        .filter(|words| harness.query_by_label(words).is_some())
        .collect::<Vec<_>>()
    };
    assert_eq!(said(true, true), ["Sound ready"]);
    assert_eq!(said(false, true), ["No microphone"]);
    assert_eq!(said(true, false), ["No speaker"]);
    assert_eq!(said(false, false), ["No microphone, no speaker"]);
}

#[test]
fn a_certificate_is_trusted_only_after_its_fingerprint_was_shown() {
    let fingerprint = self_signed().fingerprint;
    let mut failure = refused();
    failure.certificate = Some(Box::new(self_signed()));
    let mut snapshot = snapshot();
    snapshot.accounts[2].failure = Some(failure);
    let mut state = state_of(snapshot);
    state.window.screen = Screen::Accounts;
    state.window.account = Some(AccountId::new("a3"));
    let mut harness = shown(state);
    harness.get_by_label("Trust this certificate…").click();
    assert_eq!(commands(&mut harness), []);
    assert!(harness.query_by_label(&fingerprint).is_some());
    harness.get_by_label("Trust").click();
    let trust = Command::TrustCertificate {
        tenant: TenantId::new("acme"),
        host: "pbx.acme.example".to_owned(),
        fingerprint,
    };
    assert_eq!(commands(&mut harness), [trust]);
}

#[test]
fn phones_of_others_are_removed_from_the_registrar_only_after_a_question() {
    let mut snapshot = snapshot();
    snapshot.accounts[0].bindings = vec![BindingView {
        uri: "sip:reception@192.0.2.91:5060".into(),
        own: false,
        expires_at: None,
    }];
    let mut state = state_of(snapshot);
    state.window.screen = Screen::Accounts;
    state.window.account = Some(AccountId::new("a1"));
    let mut harness = shown(state);
    harness.get_by_label("Remove all…").click();
    assert_eq!(commands(&mut harness), []);
    harness.get_by_label("Remove").click();
    let clear = Command::ClearBindings {
        account: AccountId::new("a1"),
    };
    assert_eq!(commands(&mut harness), [clear]);
}
