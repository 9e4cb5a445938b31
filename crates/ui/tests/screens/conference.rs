//! Calls that are brought together, and those that are taken out again.

use egui::{Key, Modifiers, Role};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use model::*;
use ui::{Joining, Screen, ViewState};

use crate::behaviour::{Shown, commands, talking, with_calls};
use crate::pictures::{base, both, each, on};
use crate::scene::*;

fn held(id: u64, tenant: &str, name: &str) -> CallView {
    let account = if tenant == "acme" { "a2" } else { "n1" };
    let uri = format!("sip:{}@{tenant}.example", name.to_lowercase());
    call(id, account, tenant, party(name, &uri), CallState::Held)
}

fn carol() -> CallView {
    held(2, "acme", "Carol")
}

fn dave() -> CallView {
    held(3, "acme", "Dave")
}

/// Calls that hear each other.
fn together(calls: impl IntoIterator<Item = CallView>) -> Vec<CallView> {
    let joined = |call: CallView| CallView {
        conference: Some(1),
        state: CallState::Connected,
        held_by_us: false,
        ..call
    };
    calls.into_iter().map(joined).collect()
}

fn join(calls: &[u64]) -> Command {
    Command::JoinCalls {
        calls: calls.iter().map(|id| CallId(*id)).collect(),
    }
}

fn offers(harness: &Shown, label: &str) -> bool {
    harness.query_all_by_label(label).next().is_some()
}

#[test]
fn two_calls_are_brought_together_by_click_and_key() {
    let mut harness = with_calls(vec![carol(), talking()]);
    harness.get_by_label("Join").click();
    assert_eq!(commands(&mut harness), [join(&[1, 2])]);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::J);
    assert_eq!(commands(&mut harness), [join(&[1, 2])]);
}

#[test]
fn of_several_calls_it_is_asked_which() {
    for (choice, wanted) in [
        ("Join with Dave", join(&[1, 3])),
        ("Join all 3 calls", join(&[1, 2, 3])),
    ] {
        let mut harness = with_calls(vec![carol(), dave(), talking()]);
        harness.key_press_modifiers(Modifiers::COMMAND, Key::J);
        assert_eq!(commands(&mut harness), []);
        // The first choice has the keyboard.
        assert!(harness.get_by_label("Join all 3 calls").is_focused());
        harness.get_by_label(choice).focus();
        harness.run();
        harness.key_press(Key::Enter);
        assert_eq!(commands(&mut harness), [wanted]);
        assert!(!offers(&harness, choice));
    }
    let mut harness = with_calls(vec![carol(), dave(), talking()]);
    harness.get_by_label("Join").click();
    harness.run();
    harness.key_press(Key::Escape);
    assert_eq!(commands(&mut harness), []);
    assert!(!offers(&harness, "Join with Dave"));
}

#[test]
fn calls_of_other_organisations_and_calls_that_are_not_up_stay_apart() {
    let ringing = CallView {
        state: CallState::Ringing,
        ..carol()
    };
    let dora = held(4, "north", "Dora");
    for other in [ringing, dora] {
        let mut harness = with_calls(vec![other, talking()]);
        assert!(!offers(&harness, "Join"));
        harness.key_press_modifiers(Modifiers::COMMAND, Key::J);
        assert_eq!(commands(&mut harness), []);
    }
}

#[test]
fn a_conference_says_who_is_in_it_and_lets_each_be_taken_out() {
    let mut harness = with_calls(together([talking(), carol(), dave()]));
    harness.state_mut().state.window.call = Some(CallId(1));
    harness.run();
    let line = harness.get_by_label("Conference with Carol and Dave");
    assert_eq!(line.accesskit_node().role(), Role::Status);
    // One on the card, and one on the line of each other.
    let buttons: Vec<_> = harness.get_all_by_label("Take out").collect();
    assert_eq!(buttons.len(), 3);
    drop(buttons);
    assert!(!offers(&harness, "Join"));
    let first = harness.get_all_by_label("Take out").next();
    first.expect("a button").click();
    let leave = Command::LeaveConference { call: CallId(1) };
    assert_eq!(commands(&mut harness), [leave]);
}

#[test]
fn a_third_call_joins_the_conference_that_is_there() {
    let mut calls = together([talking(), carol()]);
    calls.push(dave());
    let mut harness = with_calls(calls);
    harness.state_mut().state.window.call = Some(CallId(1));
    harness.run();
    harness.get_by_label("Join").click();
    assert_eq!(commands(&mut harness), [join(&[1, 3])]);
}

/// A conference that the peer is the middle of.
fn bridge() -> CallView {
    let member = |name: &str, state| Member {
        who: party(name, &format!("sip:{}@acme.example", name.to_lowercase())),
        state,
    };
    let mut call = talking();
    call.details.roster = Some(Roster {
        subject: Some("Harvest".into()),
        members: vec![
            member("Alice", MemberState::Present),
            member("Carol", MemberState::Held),
            member("Dave", MemberState::Coming),
            member("Erin", MemberState::Gone),
        ],
        count: 60,
        ..Roster::default()
    });
    call
}

#[test]
fn the_roster_of_the_peers_conference_is_listed_with_the_details() {
    let mut harness = with_calls(vec![bridge()]);
    harness.get_by_label("Show all details").click();
    harness.run();
    for member in [
        "Alice",
        "Carol (on hold)",
        "Dave (is being called)",
        "Erin (has left)",
        "56 more",
    ] {
        assert!(offers(&harness, member), "{member}");
    }
}

fn conference(theme: ThemeChoice) -> ViewState {
    let mut snapshot = base(theme);
    snapshot.calls = together([talking(), carol(), dave()]);
    snapshot.calls.push(held(4, "north", "Dora"));
    let mut state = on(Screen::Phone, snapshot);
    state.window.call = Some(CallId(1));
    state
}

#[test]
fn phone_in_a_conference() {
    both("phone_conference", WIDE, conference);
}

#[test]
fn conferences_that_are_narrow_far_away_or_yet_to_be() {
    let mut roster = base(ThemeChoice::Dark);
    roster.calls = vec![bridge()];
    let mut roster = on(Screen::Phone, roster);
    roster.window.figures = true;
    let mut asked = base(ThemeChoice::Light);
    asked.calls = vec![carol(), dave(), talking()];
    let mut asked = on(Screen::Phone, asked);
    asked.window.joining = Some(Joining::of(CallId(1)));
    each([
        ("compact_conference", COMPACT, conference(ThemeChoice::Dark)),
        ("phone_roster", [1100.0, 800.0], roster),
        ("phone_join", WIDE, asked),
    ]);
}
