//! What a call says of itself and offers in each of its states, and what is said before there is one.

use egui_kittest::kittest::Queryable as _;
use model::*;
use ui::{Screen, ViewState};

use crate::behaviour::{shown, talking, with_calls};
use crate::pictures::{base, each, on};
use crate::scene::*;

/// Everything that a call's card may offer.
const ACTS: [&str; 10] = [
    "Answer",
    "Reject",
    "Hang up",
    "Cancel call",
    "Hold",
    "Resume",
    "Mute",
    "Transfer",
    "Ladder",
    "Call again",
];

fn offered(call: CallView) -> Vec<&'static str> {
    let harness = with_calls(vec![call]);
    ACTS.into_iter()
        .filter(|act| harness.query_all_by_label(act).next().is_some())
        .collect()
}

fn bob(state: CallState) -> CallView {
    call(
        1,
        "a1",
        "acme",
        party("Bob Keller", "sip:bob@acme.example"),
        state,
    )
}

#[test]
fn a_call_offers_only_what_its_state_allows() {
    let ringing = incoming(1, "a1", "acme", party("Bob", "sip:bob@acme.example"));
    assert_eq!(offered(ringing), ["Answer", "Reject"]);
    for state in [CallState::Trying, CallState::Ringing, CallState::Early] {
        assert_eq!(offered(bob(state)), ["Cancel call", "Ladder"], "{state:?}");
    }
    assert_eq!(
        offered(bob(CallState::Connected)),
        ["Hang up", "Hold", "Mute", "Transfer", "Ladder"]
    );
    assert_eq!(
        offered(bob(CallState::Held)),
        ["Hang up", "Resume", "Mute", "Transfer", "Ladder"]
    );
    assert_eq!(offered(bob(CallState::Ended)), ["Ladder", "Call again"]);
}

#[test]
fn a_call_says_what_it_does() {
    let ringing = incoming(1, "a1", "acme", party("Bob Keller", "sip:bob@acme.example"));
    for (call, words) in [
        (ringing, "Incoming call"),
        (bob(CallState::Trying), "Calling"),
        (bob(CallState::Ringing), "Ringing"),
        (bob(CallState::Early), "Ringing, with sound"),
        (bob(CallState::Connected), "Connected"),
        (bob(CallState::Held), "On hold"),
        (bob(CallState::Ending), "Hanging up"),
        (bob(CallState::Ended), "Ended"),
    ] {
        let harness = with_calls(vec![call]);
        let spoken = format!("Bob Keller, {words}");
        assert!(harness.query_by_label(&spoken).is_some(), "{words}");
    }
    let harness = shown(on(Screen::Phone, base(ThemeChoice::Dark)));
    for act in ACTS {
        assert!(harness.query_by_label(act).is_none(), "{act} at rest");
    }
}

#[test]
fn the_lock_tells_the_truth_of_each_direction() {
    let MediaSecurity { sent, received, .. } = sdes();
    for (security, words) in [
        (sdes(), "Encrypted"),
        (
            MediaSecurity {
                keys_in_clear: true,
                ..sdes()
            },
            "Encrypted, but the keys were readable on their way",
        ),
        (
            MediaSecurity {
                sent: None,
                received,
                keys_in_clear: false,
            },
            "What you say is not encrypted",
        ),
        (
            MediaSecurity {
                sent,
                received: None,
                keys_in_clear: false,
            },
            "What you hear is not encrypted",
        ),
        (MediaSecurity::default(), "Not encrypted"),
    ] {
        let call = CallView {
            security,
            ..talking()
        };
        let harness = with_calls(vec![call]);
        assert!(harness.query_by_label(words).is_some(), "{words}");
    }
}

#[test]
fn the_account_stands_on_every_row() {
    let mut snapshot = base(ThemeChoice::Dark);
    let office = party("Harbour office", "sip:200@northwind.example");
    snapshot.calls = vec![talking(), incoming(2, "n1", "north", office)];
    snapshot.trace = trace();
    let mut state = on(Screen::Phone, snapshot);
    for (screen, rows) in [
        (
            Screen::Phone,
            [
                "with Reception, Acme GmbH",
                "Harbour office, Incoming call, 200@northwind.example  ·  with dora",
            ],
        ),
        (
            Screen::History,
            [
                "Incoming, Bob Keller, Answered, Reception",
                "Missed, dora@northwind.example",
            ],
        ),
        (
            Screen::Trace,
            [
                "INVITE, reception@acme.example bob@acme.example, Reception",
                "486 Busy Here, dora@northwind.example 4711@northwind.example, dora",
            ],
        ),
    ] {
        state.window.screen = screen;
        let mut harness = shown(state);
        for row in rows {
            let found = harness.query_all_by_label_contains(row).next().is_some();
            assert!(found, "{screen:?}: {row}");
        }
        state = std::mem::take(&mut harness.state_mut().state);
    }
}

fn without(change: impl FnOnce(&mut Snapshot)) -> ViewState {
    let mut snapshot = base(ThemeChoice::Dark);
    change(&mut snapshot);
    on(Screen::Phone, snapshot)
}

fn no_microphone() -> ViewState {
    without(|snapshot| {
        snapshot.devices.capture.clear();
        snapshot.devices.warning = Some("No microphone was found.".to_owned());
    })
}

fn refused_account() -> ViewState {
    let mut state = without(|_| ());
    state.window.dial_account = Some(AccountId::new("a3"));
    state
}

#[test]
fn what_is_missing_for_a_call_is_said() {
    for (state, words) in [
        (
            no_microphone(),
            "There is no microphone: whoever you call will not hear you.",
        ),
        (
            without(|snapshot| {
                snapshot.devices.capture.clear();
                snapshot.devices.playout.clear();
                snapshot.devices.warning = Some("No sound device was found.".to_owned());
            }),
            "There is no microphone and no speaker: a call will be silent.",
        ),
        (
            refused_account(),
            "Warehouse is not registered (Refused): the server may refuse the call.",
        ),
    ] {
        let harness = shown(state);
        assert!(harness.query_by_label(words).is_some(), "{words}");
    }
    let mut harness = shown(refused_account());
    harness
        .get_by_label("Warehouse is not registered (Refused): the server may refuse the call.")
        .click();
    harness.run();
    let window = &harness.state().state.window;
    assert_eq!(window.screen, Screen::Accounts);
    assert_eq!(window.account, Some(AccountId::new("a3")));
}

#[test]
fn phone_with_something_missing_and_half_a_lock() {
    let mut narrow = refused_account();
    narrow.data.preferences.theme = ThemeChoice::Light;
    let mut half = without(|snapshot| {
        let mut call = talking();
        call.security.sent = None;
        snapshot.calls = vec![call];
    });
    half.data.preferences.theme = ThemeChoice::Light;
    each([
        ("phone_missing", WIDE, no_microphone()),
        ("compact_missing", COMPACT, narrow),
        ("phone_half_encrypted", WIDE, half),
    ]);
}
