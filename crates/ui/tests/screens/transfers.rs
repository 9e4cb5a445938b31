//! Transfers: asked for by us, shown while they go on, and decided about when the peer asks.

use egui::{Key, Modifiers, Role};
use egui_kittest::{
    Harness,
    kittest::{NodeT as _, Queryable as _},
};
use model::*;
use ui::{Action, apply};

use crate::scene::*;

type Shown = Harness<'static, App>;

fn with_calls(calls: Vec<CallView>) -> Shown {
    let mut snapshot = snapshot();
    snapshot.calls = calls;
    let mut harness = harness(state_of(snapshot), WIDE);
    harness.run();
    harness
}

fn commands(harness: &mut Shown) -> Vec<Command> {
    harness.run();
    let actions = std::mem::take(&mut harness.state_mut().actions);
    let command = |action| match action {
        Action::Command(command) => command,
        Action::StartDemo => panic!("nobody asked for the demonstration"),
    };
    actions.into_iter().map(command).collect()
}

fn bob() -> CallView {
    let bob = party("Bob Keller", "sip:bob@acme.example");
    call(1, "a1", "acme", bob, CallState::Connected)
}

fn held(id: u64, tenant: &str, name: &str) -> CallView {
    let account = if tenant == "acme" { "a2" } else { "n1" };
    let uri = format!("sip:{id}@{tenant}.example");
    call(id, account, tenant, party(name, &uri), CallState::Held)
}

#[test]
fn a_number_sends_the_peer_there() {
    let mut harness = with_calls(vec![bob()]);
    harness.get_by_label("Transfer").click();
    harness.run();
    // The field has the keyboard at once.
    let field = harness.get_by_label("Number to transfer to");
    assert!(field.is_focused());
    field.type_text("200");
    harness.run();
    harness.key_press(Key::Enter);
    let target = "200".into();
    assert_eq!(
        commands(&mut harness),
        [Command::TransferCall {
            call: CallId(1),
            target
        }]
    );
    assert!(harness.query_by_label("Number to transfer to").is_none());
}

#[test]
fn a_key_opens_the_form_and_another_puts_it_away_without_asking_for_anything() {
    let mut harness = with_calls(vec![bob()]);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::T);
    harness.run();
    assert!(harness.query_by_label("Number to transfer to").is_some());
    // Nothing typed is nobody to call.
    harness.key_press(Key::Enter);
    harness.run();
    harness.key_press(Key::Escape);
    assert_eq!(commands(&mut harness), []);
    assert!(harness.query_by_label("Number to transfer to").is_none());
}

#[test]
fn two_calls_of_one_organisation_are_connected_and_those_of_others_are_not_offered() {
    let mut harness = with_calls(vec![
        held(2, "acme", "Carol"),
        held(3, "north", "Dora"),
        bob(),
    ]);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::T);
    harness.run();
    assert!(harness.query_by_label("Connect with Dora").is_none());
    harness.get_by_label("Connect with Carol").click();
    let connect = Command::ConnectCalls {
        call: CallId(1),
        other: CallId(2),
    };
    assert_eq!(commands(&mut harness), [connect]);
}

#[test]
fn a_transfer_says_how_far_it_is_and_keeps_the_button_until_it_has_ended() {
    let mut harness = with_calls(vec![bob()]);
    let ringing = Some((180, "Ringing".into()));
    let declined = Some((603, "Decline".into()));
    for (state, status, said, again) in [
        (TransferState::Asked, None, "Asked to call Carol", false),
        (
            TransferState::Trying,
            ringing,
            "Calls Carol  ·  180 Ringing",
            false,
        ),
        (
            TransferState::Failed,
            declined,
            "Not transferred to Carol  ·  603 Decline",
            true,
        ),
    ] {
        let target = party("Carol", "sip:carol@acme.example");
        let view = CallView {
            transfer: Some(Transfer::Ours {
                target,
                state,
                status,
            }),
            ..bob()
        };
        let event = Event::Call {
            call: Box::new(view),
        };
        apply(&mut harness.state_mut().state, event);
        harness.run();
        let line = harness.get_by_label(said);
        assert_eq!(line.accesskit_node().role(), Role::Status);
        let button = harness.get_by_role_and_label(Role::Button, "Transfer");
        assert_eq!(!button.accesskit_node().is_disabled(), again, "{said}");
    }
}

#[test]
fn the_peers_wish_is_an_alert_that_is_followed_or_refused() {
    for (button, accept) in [("Call Carol", true), ("Stay here", false)] {
        let wanted = CallView {
            transfer: Some(Transfer::Wanted {
                target: party("Carol", "sip:carol@acme.example"),
                by: None,
            }),
            ..bob()
        };
        let mut harness = with_calls(vec![wanted]);
        let alert = "Bob Keller asks you to call Carol instead.";
        let node = harness.get_by_label(alert).accesskit_node();
        assert_eq!(node.role(), Role::Alert);
        harness.get_by_label(button).click();
        let answer = Command::AnswerTransfer {
            call: CallId(1),
            accept,
        };
        assert_eq!(commands(&mut harness), [answer]);
    }
}

#[test]
fn a_call_that_ends_takes_its_form_with_it() {
    let mut harness = with_calls(vec![bob()]);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::T);
    harness.run();
    let ended = CallView {
        state: CallState::Ended,
        ..bob()
    };
    apply(
        &mut harness.state_mut().state,
        Event::Call {
            call: Box::new(ended),
        },
    );
    harness.run();
    assert!(harness.query_by_label("Number to transfer to").is_none());
    assert_eq!(harness.state().state.window.transfer, None);
}

#[test]
fn where_a_call_was_sent_is_asked_before_it_goes_there() {
    let sent_on = sent_on(bob());
    for (button, wanted) in [
        (
            "Call desk",
            Command::FollowRedirect {
                call: CallId(1),
                target: 1,
            },
        ),
        (
            "Call none of them",
            Command::DeclineRedirect { call: CallId(1) },
        ),
    ] {
        let mut harness = with_calls(vec![sent_on.clone()]);
        let alert = "Bob Keller is to be reached elsewhere. Where do you want to call?";
        assert_eq!(
            harness.get_by_label(alert).accesskit_node().role(),
            Role::Alert
        );
        harness.get_by_label(button).click();
        assert_eq!(commands(&mut harness), [wanted]);
    }
}
