//! A picture of each screen and of each state it is designed for.

use egui_kittest::SnapshotResults;
use model::*;
use ui::{Screen, ViewState};

use crate::scene::*;

/// Draws one state and compares it.
fn picture(results: &mut SnapshotResults, name: &str, state: ViewState, size: [f32; 2]) {
    let mut harness = harness(state, size);
    harness.run_steps(3);
    results.add(harness.try_snapshot(name));
    results.extend_harness(&mut harness);
}

/// Draws one state in the dark and in the light theme.
fn both(name: &str, size: [f32; 2], make: impl Fn(ThemeChoice) -> ViewState) {
    let mut results = SnapshotResults::new();
    for (suffix, theme) in [("dark", ThemeChoice::Dark), ("light", ThemeChoice::Light)] {
        picture(&mut results, &format!("{name}_{suffix}"), make(theme), size);
    }
}

fn base(theme: ThemeChoice) -> Snapshot {
    themed(snapshot(), theme, 1.0)
}

fn on(screen: Screen, snapshot: Snapshot) -> ViewState {
    let mut state = state_of(snapshot);
    state.window.screen = screen;
    state
}

fn in_call(theme: ThemeChoice) -> Snapshot {
    let mut snapshot = base(theme);
    let mut one = call(
        1,
        "a1",
        "acme",
        party("Bob Keller", "sip:bob@acme.example"),
        CallState::Connected,
    );
    one.dtmf_sent = "1234#".to_owned();
    let held = call(
        2,
        "n1",
        "north",
        party("Harbour office", "sip:200@northwind.example"),
        CallState::Held,
    );
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
fn phone_incoming() {
    both("phone_incoming", WIDE, |theme| {
        let mut snapshot = base(theme);
        snapshot.calls = vec![incoming(
            3,
            "n1",
            "north",
            party("Harbour office", "sip:200@northwind.example"),
        )];
        on(Screen::Phone, snapshot)
    });
}

#[test]
fn first_run() {
    both("first_run", WIDE, |theme| {
        state_of(themed(Snapshot::default(), theme, 1.0))
    });
}

#[test]
fn history() {
    both("history", WIDE, |theme| on(Screen::History, base(theme)));
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
fn settings() {
    both("settings", WIDE, |theme| on(Screen::Settings, base(theme)));
}

#[test]
fn compact_phone() {
    both("compact_phone", COMPACT, |theme| {
        on(Screen::Phone, base(theme))
    });
}
