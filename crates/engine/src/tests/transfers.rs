//! Calls that become calls with somebody else.

use model::{CallId, CallState, CallView, Command, Transfer, TransferState};

use super::house::{House, tone};
use super::peer::{Peer, SDP, carol};

/// Waits until a peer asks this call to go elsewhere; gives whom it is to call.
async fn until_wanted(house: &mut House, call: CallId) -> String {
    house
        .until("a transfer is asked for", |s| {
            let view = s.calls.iter().find(|c| c.id == call)?;
            match &view.transfer {
                Some(Transfer::Wanted { target, .. }) => Some(target.uri.reveal().to_owned()),
                _ => None,
            }
        })
        .await
}

async fn until_following(house: &mut House, call: CallId) -> CallId {
    house
        .until("the transfer is followed", |s| {
            let view = s.calls.iter().find(|c| c.id == call)?;
            match &view.transfer {
                Some(Transfer::Following { call, .. }) => Some(*call),
                _ => None,
            }
        })
        .await
}

async fn until_transferred(house: &mut House, call: CallId, wanted: TransferState) -> CallView {
    house
        .until(&format!("the transfer is {wanted:?}"), |s| {
            let view = s.calls.iter().find(|c| c.id == call)?;
            match &view.transfer {
                Some(Transfer::Ours { state, .. }) if *state == wanted => Some(view.clone()),
                _ => None,
            }
        })
        .await
}

fn status(view: &CallView) -> Option<u16> {
    match &view.transfer {
        Some(Transfer::Ours { status, .. }) => status.as_ref().map(|(code, _)| *code),
        _ => None,
    }
}

#[tokio::test]
async fn a_blind_transfer_is_followed_and_reported_to_its_end() {
    let mut house = House::open().await;
    let (alice, bob) = house.talk("alice", "sip:bob@beta.test").await;
    house.engine.send(Command::TransferCall {
        call: bob,
        target: "sip:amy@alpha.test".into(),
    });
    assert_eq!(until_wanted(&mut house, alice).await, "sip:amy@alpha.test");
    house.engine.send(Command::AnswerTransfer {
        call: alice,
        accept: true,
    });
    let new = until_following(&mut house, alice).await;
    let amy = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call: amy });
    for call in [new, amy] {
        house.until_state(call, CallState::Connected).await;
    }
    // Who transferred has left, and was told why it may.
    let left = until_transferred(&mut house, bob, TransferState::Done).await;
    assert_eq!(status(&left), Some(200));
    for call in [alice, bob] {
        let ended = house.until_state(call, CallState::Ended).await;
        assert_eq!(ended.failure, None, "{ended:?}");
    }
    house.until_heard(amy, 10).await;
    assert!(house.count_messages(true, "INVITE sip:amy@alpha.test") > 0);
    house.close().await;
}

#[tokio::test]
async fn a_transfer_that_is_declined_or_leads_nowhere_leaves_the_call_as_it_was() {
    let mut house = House::open().await;
    let (alice, bob) = house.talk("alice", "sip:bob@beta.test").await;
    let ask = |target: &str| Command::TransferCall {
        call: bob,
        target: target.into(),
    };
    house.engine.send(ask("sip:amy@alpha.test"));
    until_wanted(&mut house, alice).await;
    house.engine.send(Command::AnswerTransfer {
        call: alice,
        accept: false,
    });
    let refused = until_transferred(&mut house, bob, TransferState::Failed).await;
    assert_eq!(status(&refused), Some(603));

    house.engine.send(ask("486"));
    until_wanted(&mut house, alice).await;
    house.engine.send(Command::AnswerTransfer {
        call: alice,
        accept: true,
    });
    let new = until_following(&mut house, alice).await;
    house.until_state(new, CallState::Ended).await;
    house
        .until("it is reported that the number is busy", |s| {
            let view = s.calls.iter().find(|c| c.id == bob)?;
            (status(view) == Some(486)).then_some(())
        })
        .await;
    for call in [alice, bob] {
        assert_eq!(house.call(call).state, CallState::Connected);
    }
    house.close().await;
}

#[tokio::test]
async fn an_attended_transfer_connects_the_two_and_leaves() {
    let mut house = House::open().await;
    let (to_bob, bob) = house.talk("alice", "sip:bob@beta.test").await;
    let (to_amy, amy) = house.talk("alice", "sip:amy@alpha.test").await;
    house.engine.send(Command::ConnectCalls {
        call: to_bob,
        other: to_amy,
    });
    let target = until_wanted(&mut house, bob).await;
    assert!(target.starts_with("sip:amy@"), "{target}");
    house.engine.send(Command::AnswerTransfer {
        call: bob,
        accept: true,
    });
    let new = until_following(&mut house, bob).await;
    house.until_state(new, CallState::Connected).await;
    for call in [to_bob, bob, to_amy, amy] {
        let ended = house.until_state(call, CallState::Ended).await;
        assert_eq!(ended.failure, None, "{ended:?}");
    }
    // Nothing rang at the target: the new call took the place of the old one at once.
    let taken = house
        .until("the new call is up at both ends", |s| {
            s.calls
                .iter()
                .find(|c| c.id != new && c.state == CallState::Connected)
                .cloned()
        })
        .await;
    house.until_heard(taken.id, 10).await;
    house.close().await;
}

#[tokio::test]
async fn an_invite_for_the_place_of_an_unknown_call_is_told_so_and_does_not_ring() {
    let (house, addr) = carol(tone()).await;
    let peer = Peer::bind().await;
    let invite = peer.says("INVITE", 1, None, SDP).replace(
        "Max-Forwards",
        "Replaces: nobody@example.test;to-tag=a;from-tag=b\r\nMax-Forwards",
    );
    peer.send(addr, &invite).await;
    let response = peer.final_response().await;
    // RFC 3891 §3.
    assert_eq!(response.status.code(), 481);
    assert!(house.engine.snapshot().calls.is_empty());
    house.close().await;
}
