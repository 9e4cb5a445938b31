//! A picture of each screen and of each state it is designed for.

use egui_kittest::{Harness, SnapshotResults, kittest::Queryable as _};
use model::*;
use ui::{AccountForm, Phase, Question, Screen, ViewState, apply};

use crate::scene::*;

/// Draws one state in one theme, lets `act` do something, and compares.
pub(crate) fn picture(
    results: &mut SnapshotResults,
    name: &str,
    state: ViewState,
    size: [f32; 2],
    act: impl Fn(&mut Harness<'static, App>),
) {
    let mut harness = harness(state, size);
    harness.run_steps(2);
    act(&mut harness);
    harness.run_steps(2);
    results.add(harness.try_snapshot(name));
    results.extend_harness(&mut harness);
}

/// Draws one state in the dark and in the light theme.
pub(crate) fn both(name: &str, size: [f32; 2], make: impl Fn(ThemeChoice) -> ViewState) {
    both_after(name, size, make, |_| {});
}

pub(crate) fn both_after(
    name: &str,
    size: [f32; 2],
    make: impl Fn(ThemeChoice) -> ViewState,
    act: impl Fn(&mut Harness<'static, App>),
) {
    let mut results = SnapshotResults::new();
    for (suffix, theme) in [("dark", ThemeChoice::Dark), ("light", ThemeChoice::Light)] {
        let name = format!("{name}_{suffix}");
        picture(&mut results, &name, make(theme), size, &act);
    }
}

/// Draws one state once, where the theme changes nothing that another picture does not show.
pub(crate) fn one(name: &str, size: [f32; 2], state: ViewState) {
    let mut results = SnapshotResults::new();
    picture(&mut results, name, state, size, |_| {});
}

/// Draws several states once each.
pub(crate) fn each<const N: usize>(pictures: [(&str, [f32; 2], ViewState); N]) {
    let mut results = SnapshotResults::new();
    for (name, size, state) in pictures {
        picture(&mut results, name, state, size, |_| {});
    }
}

pub(crate) fn base(theme: ThemeChoice) -> Snapshot {
    themed(snapshot(), theme, 1.0)
}

pub(crate) fn on(screen: Screen, snapshot: Snapshot) -> ViewState {
    let mut state = state_of(snapshot);
    state.window.screen = screen;
    state
}

fn bob() -> Party {
    party("Bob Keller", "sip:bob@acme.example")
}

fn harbour() -> Party {
    party("Harbour office", "sip:200@northwind.example")
}

fn in_call(theme: ThemeChoice) -> Snapshot {
    let mut snapshot = base(theme);
    let mut one = call(1, "a1", "acme", bob(), CallState::Connected);
    one.dtmf_sent = "1234#".into();
    let held = call(2, "n1", "north", harbour(), CallState::Held);
    snapshot.calls = vec![held, one];
    snapshot
}

#[test]
fn phone_idle() {
    both("phone_idle", WIDE, |theme| on(Screen::Phone, base(theme)));
}

#[test]
fn phone_in_call() {
    both("phone_in_call", WIDE, |theme| {
        on(Screen::Phone, in_call(theme))
    });
}

#[test]
fn phone_transfer() {
    let make = |theme| {
        let mut snapshot = base(theme);
        let carol = party("Carol Weber", "sip:carol@acme.example");
        let held = call(2, "a2", "acme", carol, CallState::Held);
        let talking = call(1, "a1", "acme", bob(), CallState::Connected);
        snapshot.calls = vec![held, talking];
        let mut state = on(Screen::Phone, snapshot);
        state.window.transfer = Some(ui::TransferForm::of(CallId(1)));
        state
    };
    both("phone_transfer", WIDE, make);
}

#[test]
fn phone_asked_to_call_somebody_else() {
    let mut snapshot = base(ThemeChoice::Dark);
    let mut talking = call(1, "a1", "acme", bob(), CallState::Connected);
    talking.transfer = Some(Transfer::Wanted {
        target: party("Carol Weber", "sip:carol@acme.example"),
        by: None,
    });
    let harbour = party("Harbour office", "sip:200@northwind.example");
    let mut moved = call(2, "n1", "north", harbour, CallState::Held);
    moved.transfer = Some(Transfer::Ours {
        target: party("Night desk", "sip:night@northwind.example"),
        state: TransferState::Trying,
        status: Some((180, "Ringing".into())),
    });
    snapshot.calls = vec![moved, talking];
    let mut moving = on(Screen::Phone, snapshot.clone());
    moving.window.call = Some(CallId(2));
    each([
        ("phone_transfer_wanted", WIDE, on(Screen::Phone, snapshot)),
        ("phone_transfer_progress", WIDE, moving),
    ]);
}

#[test]
fn phone_call_that_says_much_beside_itself() {
    let make = |theme| {
        let mut snapshot = base(theme);
        let mut ringing = incoming(1, "a1", "acme", bob());
        let header = |name: &str, value: &str| ExtraHeader {
            name: name.to_owned(),
            value: value.into(),
        };
        ringing.details = CallDetails {
            asserted: true,
            signed: true,
            forwarded_by: vec![
                party("Switchboard", "sip:0@acme.example"),
                party("", "sip:+4930901820@acme.example"),
            ],
            subject: Some("Delivery of Friday".into()),
            headers: vec![header("X-Queue", "sales"), header("X-Room", "42")],
            ..CallDetails::default()
        };
        snapshot.calls = vec![ringing];
        on(Screen::Phone, snapshot)
    };
    both("phone_details", WIDE, make);
}

#[test]
fn phone_call_sent_elsewhere() {
    let mut snapshot = base(ThemeChoice::Dark);
    let mut calling = call(1, "a1", "acme", bob(), CallState::Trying);
    calling.redirect = Some(Redirect {
        targets: vec![
            party("", "sip:+491701234567@mobile.example"),
            party("Voicemail", "sip:vm-200@acme.example"),
        ],
        followed: None,
    });
    snapshot.calls = vec![calling];
    one("phone_redirect", WIDE, on(Screen::Phone, snapshot));
}

#[test]
fn phone_of_the_demonstration() {
    let make = |theme, history: bool| {
        let mut snapshot = base(theme);
        if !history {
            snapshot.history.clear();
        }
        let mut state = on(Screen::Phone, snapshot);
        state.window.suggestions = [
            ("Call the echo test", "echo"),
            ("Bob at the clinic", "sip:bob@northlight.test"),
            ("A busy number", "busy"),
            ("An unknown number", "404"),
        ]
        .map(|(words, target)| ui::Suggestion {
            words: words.to_owned(),
            target: target.to_owned(),
        })
        .to_vec();
        state
    };
    each([
        ("phone_demo_dark", WIDE, make(ThemeChoice::Dark, false)),
        ("phone_demo_light", WIDE, make(ThemeChoice::Light, false)),
        ("phone_demo_later", WIDE, make(ThemeChoice::Dark, true)),
        ("compact_demo", COMPACT, make(ThemeChoice::Dark, true)),
    ]);
}

#[test]
fn phone_incoming() {
    both("phone_incoming", WIDE, |theme| {
        let mut snapshot = base(theme);
        snapshot.calls = vec![incoming(3, "n1", "north", harbour())];
        on(Screen::Phone, snapshot)
    });
}

#[test]
fn phone_incoming_while_talking() {
    both("phone_call_waiting", WIDE, |theme| {
        let mut snapshot = base(theme);
        let mut talking = call(1, "a1", "acme", bob(), CallState::Connected);
        talking.muted = true;
        snapshot.calls = vec![talking, incoming(3, "n1", "north", harbour())];
        on(Screen::Phone, snapshot)
    });
}

#[test]
fn phone_while_it_rings_there() {
    both("phone_ringing", WIDE, |theme| {
        let mut snapshot = base(theme);
        let mut held = call(2, "n1", "north", harbour(), CallState::Held);
        held.held_by_us = false;
        held.held_by_peer = true;
        snapshot.calls = vec![
            held,
            call(
                1,
                "a1",
                "acme",
                party("", "sip:+4930901820@acme.example"),
                CallState::Ringing,
            ),
        ];
        let mut state = on(Screen::Phone, snapshot);
        state.window.call = Some(CallId(1));
        state
    });
}

#[test]
fn phone_after_a_failed_call() {
    both("phone_failed", WIDE, |theme| {
        let mut snapshot = base(theme);
        let mut over = call(
            4,
            "n1",
            "north",
            party("", "sip:00442079460000@northwind.example"),
            CallState::Ended,
        );
        over.ended_at = Some(at("2026-11-20T14:31:58Z"));
        over.failure = Some(
            Failure::new(FailureKind::Status {
                code: 404,
                phrase: "Not Found".into(),
            })
            .said_by("udp:192.0.2.40:5060 (Asterisk PBX 20.5)"),
        );
        snapshot.calls = vec![over];
        on(Screen::Phone, snapshot)
    });
}

#[test]
fn phone_with_nothing_yet() {
    let mut snapshot = base(ThemeChoice::Dark);
    snapshot.history.clear();
    one("phone_empty", WIDE, on(Screen::Phone, snapshot));
}

#[test]
fn phone_with_long_names() {
    let mut snapshot = base(ThemeChoice::Light);
    snapshot.tenants[0].name =
        "Gesellschaft für angewandte Fernmeldetechnik und Vermittlung mbH & Co. KG".to_owned();
    snapshot.accounts[0].settings.label =
        "Zentrale Auftragsannahme und Störungsmeldung (Nachtdienst)".into();
    let long = party(
        "Prof. Dr. Maximiliane-Alexandra von Schwarzenberg-Hohenlohe",
        "sip:maximiliane.von.schwarzenberg@[2001:db8:85a3:8d3:1319:8a2e:370:7348]:5061;transport=tls",
    );
    snapshot.calls = vec![
        call(1, "a1", "acme", long.clone(), CallState::Connected),
        incoming(2, "a1", "acme", long),
    ];
    one("phone_long", WIDE, on(Screen::Phone, snapshot));
}

/// Ten customers with fifty accounts each.
fn crowded(theme: ThemeChoice) -> Snapshot {
    let mut snapshot = base(theme);
    snapshot.tenants.clear();
    snapshot.accounts.clear();
    for t in 0..10u8 {
        let id = format!("t{t}");
        snapshot
            .tenants
            .push(tenant(&id, &format!("Customer {:02} Ltd", t + 1), t));
        for a in 0..50 {
            let state = match (t, a % 17) {
                (3, 5) => RegistrationState::Refused,
                (6, 9) => RegistrationState::Silent,
                (6, 3) => RegistrationState::Trying,
                _ => RegistrationState::Registered,
            };
            snapshot.accounts.push(account(
                &format!("t{t}a{a}"),
                &id,
                &format!("Extension {}", 1000 + a),
                &format!("sip:{}@pbx{t}.example", 1000 + a),
                state,
            ));
        }
    }
    snapshot
}

#[test]
fn five_hundred_accounts() {
    both("accounts_crowded", WIDE, |theme| {
        let mut state = on(Screen::Accounts, crowded(theme));
        state.window.account = Some(AccountId::new("t0a3"));
        state
    });
}

#[test]
fn choosing_the_account_to_call_with() {
    both_after(
        "phone_choose_account",
        WIDE,
        |theme| on(Screen::Phone, base(theme)),
        |harness| {
            harness.get_by_label("Account to call with").click();
            harness.run_steps(2);
        },
    );
}

#[test]
fn first_run() {
    both("first_run", WIDE, |theme| {
        state_of(themed(Snapshot::default(), theme, 1.0))
    });
}

#[test]
fn first_run_with_a_fault() {
    let mut state = state_of(themed(Snapshot::default(), ThemeChoice::Dark, 1.0));
    state.window.first = AccountForm::new(None);
    state.window.first.address = "alice".to_owned();
    state.window.first.password = "correct horse".to_owned();
    state.window.first.tried = true;
    one("first_run_fault", WIDE, state);
}

#[test]
fn history() {
    both("history", WIDE, |theme| {
        let mut state = on(Screen::History, base(theme));
        state.window.history_line = Some(997);
        state
    });
}

#[test]
fn history_where_nothing_matches() {
    let mut state = on(Screen::History, base(ThemeChoice::Dark));
    state.window.history.text = "nobody".to_owned();
    one("history_no_match", WIDE, state);
}

#[test]
fn history_that_is_empty() {
    let mut snapshot = base(ThemeChoice::Light);
    snapshot.history.clear();
    one("history_empty", WIDE, on(Screen::History, snapshot));
}

#[test]
fn account_refused() {
    both("account_refused", WIDE, |theme| {
        let mut state = on(Screen::Accounts, base(theme));
        state.window.account = Some(AccountId::new("a3"));
        state
    });
}

#[test]
fn account_with_servers_mailbox_and_lamps() {
    both("account_around", [1100.0, 900.0], |theme| {
        let mut snapshot = base(theme);
        let target = |address: &str, state, reason: Option<&str>| TargetView {
            address: address.to_owned(),
            host: "sip.acme.example".to_owned(),
            priority: 10,
            weight: 0,
            state,
            since: None,
            until: reason.map(|_| at("2026-11-20T14:33:07Z")),
            reason: reason.map(Into::into),
        };
        let lamp = |watched: &str, lamp| LampView {
            watched: watched.into(),
            lamp,
            ..LampView::default()
        };
        let account = &mut snapshot.accounts[0];
        account.targets = vec![
            target("udp:192.0.2.17:5060", TargetState::InUse, None),
            target(
                "udp:192.0.2.18:5060",
                TargetState::Resting,
                Some("no answer"),
            ),
        ];
        account.waiting = Some(WaitingView {
            waiting: true,
            new: 3,
            urgent: 1,
            ..WaitingView::default()
        });
        account.lamps = vec![
            lamp("bob@acme.example", LampState::Talking),
            lamp("carol@acme.example", LampState::Ringing),
            lamp("200", LampState::Idle),
        ];
        account.bindings = vec![
            BindingView {
                uri: "sip:reception-1f@192.0.2.5:5060".into(),
                own: true,
                expires_at: Some(at("2026-11-20T14:40:30Z")),
            },
            BindingView {
                uri: "sip:reception@192.0.2.91:5060".into(),
                own: false,
                expires_at: None,
            },
        ];
        snapshot.tenants[0].traffic.limited = 412;
        let mut state = on(Screen::Accounts, snapshot);
        state.window.account = Some(AccountId::new("a1"));
        state
    });
}

#[test]
fn account_registered_with_an_answer_to_options() {
    let mut state = on(Screen::Accounts, base(ThemeChoice::Light));
    state.window.account = Some(AccountId::new("a1"));
    apply(
        &mut state,
        Event::OptionsAnswered {
            account: AccountId::new("a1"),
            target: "sip:acme.example".into(),
            status: Some((200, "OK".into())),
            round_trip_ms: Some(21.7),
            allow: [
                "INVITE", "ACK", "CANCEL", "OPTIONS", "BYE", "REFER", "NOTIFY",
            ]
            .map(str::to_owned)
            .to_vec(),
            server: Some("Kamailio 5.8.2".to_owned()),
            failure: None,
        },
    );
    one("account_registered", WIDE, state);
}

#[test]
fn account_form() {
    both("account_form", WIDE, |theme| {
        let mut state = on(Screen::Accounts, base(theme));
        let mut form = AccountForm::edit(&state.data.accounts[2]);
        form.advanced = true;
        form.tried = true;
        form.open.insert("Server and transport");
        *form.typed("Registrar") = "http://pbx".to_owned();
        state.window.form = Some(form);
        state
    });
}

#[test]
fn settings() {
    both("settings", WIDE, |theme| {
        let mut snapshot = base(theme);
        snapshot.devices.warning = Some(
            "The microphone Jabra Evolve2 65 is gone. Others cannot hear you until another is chosen."
                .to_owned(),
        );
        on(Screen::Settings, snapshot)
    });
}

#[test]
fn notices_over_a_screen_with_a_call() {
    both("notices", WIDE, |theme| {
        let mut state = on(Screen::History, in_call(theme));
        for (level, tenant, text) in [
            (NoticeLevel::Info, None, "The sound devices have changed."),
            (
                NoticeLevel::Warning,
                Some("north"),
                "The message was too long for UDP and went over TCP (RFC 3261 18.1.1).",
            ),
            (
                NoticeLevel::Error,
                Some("acme"),
                "The transport of this organisation failed three times and rests. Retry from its accounts.",
            ),
        ] {
            apply(
                &mut state,
                Event::Notice {
                    notice: Notice {
                        time: at("2026-11-20T14:32:05Z"),
                        level,
                        tenant: tenant.map(TenantId::new),
                        text: text.into(),
                    },
                },
            );
        }
        state
    });
}

#[test]
fn shortcut_sheet() {
    both("shortcuts", WIDE, |theme| {
        let mut state = on(Screen::Phone, base(theme));
        state.window.sheet = true;
        state
    });
}

#[test]
fn a_question_before_something_is_removed() {
    let mut state = on(Screen::Settings, base(ThemeChoice::Dark));
    state.window.question = Some(Question::RemoveTenant(TenantId::new("acme")));
    one("question", WIDE, state);
}

#[test]
fn before_and_after_the_engine() {
    let mut results = SnapshotResults::new();
    let mut state = ViewState::default();
    state.data.preferences.theme = ThemeChoice::Dark;
    picture(&mut results, "starting", state, WIDE, |_| {});
    let mut state = on(Screen::Phone, base(ThemeChoice::Dark));
    apply(&mut state, Event::Stopped);
    assert_eq!(state.data.phase, Phase::Stopped);
    picture(&mut results, "stopped", state, WIDE, |_| {});
}

#[test]
fn compact_phone() {
    both("compact_phone", COMPACT, |theme| {
        on(Screen::Phone, base(theme))
    });
}

#[test]
fn compact_calls() {
    both("compact_in_call", COMPACT, |theme| {
        on(Screen::Phone, in_call(theme))
    });
}

#[test]
fn compact_incoming() {
    both("compact_incoming", COMPACT, |theme| {
        let mut snapshot = base(theme);
        snapshot.calls = vec![incoming(3, "n1", "north", harbour())];
        on(Screen::Phone, snapshot)
    });
}

#[test]
fn compact_lists() {
    let mut results = SnapshotResults::new();
    let mut state = on(Screen::History, base(ThemeChoice::Dark));
    state.window.history_line = Some(998);
    picture(&mut results, "compact_history", state, COMPACT, |_| {});
    let state = on(Screen::Accounts, base(ThemeChoice::Light));
    picture(&mut results, "compact_accounts", state, COMPACT, |_| {});
    let mut state = on(Screen::Accounts, base(ThemeChoice::Dark));
    state.window.account = Some(AccountId::new("a3"));
    picture(&mut results, "compact_account", state, COMPACT, |_| {});
    let state = on(Screen::Settings, base(ThemeChoice::Light));
    picture(&mut results, "compact_settings", state, COMPACT, |_| {});
}

#[test]
fn text_at_twice_its_size() {
    let mut results = SnapshotResults::new();
    let snapshot = themed(in_call(ThemeChoice::Dark), ThemeChoice::Dark, 2.0);
    let state = on(Screen::Phone, snapshot);
    picture(&mut results, "text_200_phone", state, WIDE, |_| {});
    let snapshot = themed(base(ThemeChoice::Light), ThemeChoice::Light, 2.0);
    let state = on(Screen::History, snapshot);
    picture(&mut results, "text_200_history", state, WIDE, |_| {});
}

#[test]
fn high_contrast() {
    let theme = ThemeChoice::HighContrast;
    let mut results = SnapshotResults::new();
    let state = on(Screen::Phone, in_call(theme));
    picture(&mut results, "contrast_phone", state, WIDE, |_| {});
    let mut state = on(Screen::Accounts, base(theme));
    state.window.account = Some(AccountId::new("a3"));
    picture(&mut results, "contrast_account", state, WIDE, |_| {});
}

fn traced(theme: ThemeChoice) -> ViewState {
    let mut snapshot = base(theme);
    snapshot.trace = trace();
    on(Screen::Trace, snapshot)
}

#[test]
fn trace_list() {
    both("trace", WIDE, traced);
}

#[test]
fn trace_with_ladder_and_message() {
    both_after("trace_ladder", WIDE, traced, |harness| {
        harness.state_mut().state.window.trace.selected = Some(7);
    });
}

#[test]
fn trace_of_one_refused_call() {
    both_after("trace_call", WIDE, traced, |harness| {
        let trace = &mut harness.state_mut().state.window.trace;
        trace.call = Some("99aa01@192.0.2.5".to_owned());
        trace.selected = Some(15);
    });
}

#[test]
fn trace_states() {
    let mut results = SnapshotResults::new();
    let state = on(Screen::Trace, base(ThemeChoice::Dark));
    picture(&mut results, "trace_empty", state, WIDE, |_| {});
    let mut state = traced(ThemeChoice::Light);
    state.window.trace.filter = "subscribe".to_owned();
    picture(&mut results, "trace_no_match", state, WIDE, |_| {});
    let mut state = traced(ThemeChoice::Dark);
    state.window.trace.filter = "method:INVITE code:".to_owned();
    picture(&mut results, "trace_wrong_filter", state, WIDE, |_| {});
    let state = traced(ThemeChoice::Dark);
    picture(&mut results, "compact_trace", state, COMPACT, |harness| {
        harness.state_mut().state.window.trace.selected = Some(7);
    });
}
