//! Calls that hear each other.

use std::time::Duration;

use model::{CallId, CallState, Command, DtmfMode};

use super::house::House;
use crate::tenant::Child;
use crate::{CallMedia, Sink, Source};

/// Louder than this is a digit, quieter than a hundredth of it is silence.
const LOUD: f32 = 0.05;

/// Alice and Amy of one organisation both talk with Bob. Nobody says anything, and digits are tones.
async fn two_calls() -> (House, [CallId; 2], [CallId; 2]) {
    let silence = CallMedia::PerCall {
        source: Source::Silence,
        sink: Sink::Discard,
    };
    let mut house = House::open_with(|s| s.dtmf = DtmfMode::Inband, silence).await;
    let (alice, bob) = house.talk("alice", "sip:bob@beta.test").await;
    let (amy, bob_too) = house.talk("amy", "sip:bob@beta.test").await;
    (house, [alice, amy], [bob, bob_too])
}

fn join(house: &House, calls: &[CallId]) {
    house.engine.send(Command::JoinCalls {
        calls: calls.to_vec(),
    });
}

async fn until_in(house: &mut House, call: CallId, is_in: bool) -> Option<u64> {
    house
        .until("the call is in a conference, or in none", |s| {
            let view = s.calls.iter().find(|c| c.id == call)?;
            (view.conference.is_some() == is_in).then_some(view.conference)
        })
        .await
}

/// Digits are pressed in `from` until they are heard in `to`; answers how loud `from` hears anything at that time.
async fn heard_across(house: &House, from: CallId, to: CallId) -> f32 {
    for _ in 0..20 {
        house.engine.send(Command::SendDtmf {
            call: from,
            digits: "555".into(),
        });
        let mut back = 0.0f32;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            back = back.max(house.engine.levels(from).playout);
            if house.engine.levels(to).playout > LOUD {
                return back;
            }
        }
    }
    panic!("{to} never heard {from}");
}

/// Waits until the digits that are still on their way have sounded.
async fn until_quiet(house: &House, call: CallId) {
    let mut quiet = 0;
    for _ in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let is_quiet = house.engine.levels(call).playout < LOUD / 100.0;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if quiet == 50 {
            return;
        }
    }
    panic!("{call} never hears silence");
}

#[tokio::test]
async fn the_peers_of_two_calls_hear_each_other_and_not_themselves() {
    let (mut house, ours, theirs) = two_calls().await;
    join(&house, &ours);
    let first = until_in(&mut house, ours[0], true).await;
    assert_eq!(until_in(&mut house, ours[1], true).await, first);
    for [from, to] in [theirs, [theirs[1], theirs[0]]] {
        let back = heard_across(&house, from, to).await;
        assert!(back < LOUD / 100.0, "{from} hears itself at {back}");
        until_quiet(&house, to).await;
    }
    house.close().await;
}

#[tokio::test]
async fn who_leaves_a_conference_is_held_and_can_come_back() {
    let (mut house, ours, theirs) = two_calls().await;
    join(&house, &ours);
    let first = until_in(&mut house, ours[0], true).await;
    house
        .engine
        .send(Command::LeaveConference { call: ours[0] });
    house.until_state(ours[0], CallState::Held).await;
    assert_eq!(house.call(ours[0]).conference, None);
    // Who is left alone has a call like any other.
    until_in(&mut house, ours[1], false).await;
    assert_eq!(house.call(ours[1]).state, CallState::Connected);

    join(&house, &ours);
    for call in ours {
        house.until_state(call, CallState::Connected).await;
        assert_ne!(until_in(&mut house, call, true).await, first);
    }
    heard_across(&house, theirs[0], theirs[1]).await;

    // On hold it stays in, and a second joining brings it back to the others.
    house.engine.send(Command::HoldCall { call: ours[0] });
    house.until_state(ours[0], CallState::Held).await;
    assert!(house.call(ours[0]).conference.is_some());
    join(&house, &ours);
    house.until_state(ours[0], CallState::Connected).await;
    heard_across(&house, theirs[0], theirs[1]).await;

    house.end(theirs[0]);
    house.until_state(ours[0], CallState::Ended).await;
    until_in(&mut house, ours[1], false).await;
    assert_eq!(house.call(ours[0]).conference, None);
    house.close().await;
}

#[tokio::test]
async fn a_call_that_fails_inside_leaves_its_conference_and_the_last_is_in_none() {
    let (mut house, [alice, amy], _) = two_calls().await;
    join(&house, &[alice, amy]);
    for call in [alice, amy] {
        until_in(&mut house, call, true).await;
    }
    house.crash("amy", Child::Dialog(amy));
    until_in(&mut house, alice, false).await;
    house.until_state(alice, CallState::Connected).await;
    house.close().await;
}

#[tokio::test]
async fn calls_of_two_organisations_are_never_brought_together() {
    let (mut house, ours, theirs) = two_calls().await;
    join(&house, &[ours[0], theirs[1]]);
    house.until_notes("no two calls", 1).await;
    for call in ours.into_iter().chain(theirs) {
        assert_eq!(house.call(call).conference, None);
    }
    house.close().await;
}
