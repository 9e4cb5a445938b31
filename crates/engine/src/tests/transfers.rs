//! Calls that become calls with somebody else.

use std::net::SocketAddr;

use model::{AutoAnswer, CallId, CallState, CallView, Command, Transfer, TransferState};
use sip_message::{HeaderName, Message, Method};

use super::house::{House, messages, tone};
use super::peer::{Peer, SDP, answer, carol, carol_with, to_tag, with};

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

/// Dan's call, which Carol takes; the Replaces that names it as Carol does.
async fn taken(house: &mut House, at: SocketAddr, dan: &Peer) -> (CallId, String) {
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&dan.final_response().await);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    let replaces = format!("Replaces: c1@{};to-tag={tag};from-tag=dan-1\r\n", dan.local);
    (call, replaces)
}

/// RFC 3891 §3: whoever wants the place of a call has to be authorised. Knowing its name is not enough.
#[tokio::test]
async fn whom_nobody_knows_gets_the_place_of_a_call_only_if_a_person_says_so() {
    // Not even where calls are taken without a hand.
    for auto_answer in [AutoAnswer::Never, AutoAnswer::Always] {
        let (mut house, at) = carol_with(tone(), |settings| {
            settings.calls.auto_answer = auto_answer;
        })
        .await;
        let (dan, eve) = (Peer::bind().await, Peer::bind_at("127.0.0.9").await);
        let (old, replaces) = taken(&mut house, at, &dan).await;
        let invite = with(&eve.says("INVITE", 1, None, SDP), &replaces);
        eve.send(at, &invite).await;
        let new = house.until_ringing().await;
        house.until_notice("wants to take the place of").await;
        assert_eq!(house.call(old).state, CallState::Connected);
        house.engine.send(Command::AnswerCall { call: new });
        let tag = to_tag(&eve.final_response().await);
        eve.send(at, &eve.says("ACK", 1, Some(&tag), "")).await;
        house.until_state(new, CallState::Connected).await;
        // RFC 3891 §3: the call that is replaced ends with a BYE.
        let (bye, from) = dan.request(Method::Bye).await;
        dan.send(from, &answer(&bye, "200 OK", "", "")).await;
        house.until_state(old, CallState::Ended).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_person_can_keep_the_call_whose_place_somebody_wants() {
    let (mut house, at) = carol(tone()).await;
    let (dan, eve) = (Peer::bind().await, Peer::bind_at("127.0.0.9").await);
    let (old, replaces) = taken(&mut house, at, &dan).await;
    eve.send(at, &with(&eve.says("INVITE", 1, None, SDP), &replaces))
        .await;
    let new = house.until_ringing().await;
    house.engine.send(Command::RejectCall {
        call: new,
        code: None,
    });
    assert_eq!(eve.final_response().await.status.code(), 486);
    house.until_state(new, CallState::Ended).await;
    assert_eq!(house.call(old).state, CallState::Connected);
    house.close().await;
}

/// Whoever speaks in a call, or the server between, may end it anyhow.
#[tokio::test]
async fn what_comes_from_where_the_call_is_spoken_from_takes_its_place_at_once() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let (old, replaces) = taken(&mut house, at, &dan).await;
    let invite = with(&dan.says("INVITE", 9, None, SDP), &replaces)
        .replace("Call-ID: c1@", "Call-ID: c9@")
        .replace(";tag=dan-1\r\nTo", ";tag=dan-9\r\nTo");
    dan.send(at, &invite).await;
    let (bye, from) = loop {
        let (message, from) = dan.receive().await.expect("a message");
        match message {
            Message::Response(response) if response.status.is_final() => {
                assert_eq!(response.status.code(), 200);
                let cseq = response.headers.cseq().expect("a CSeq").number;
                if cseq == 9 {
                    let ack = dan
                        .says("ACK", 9, Some(&to_tag(&response)), "")
                        .replace("Call-ID: c1@", "Call-ID: c9@")
                        .replace(";tag=dan-1\r\nTo", ";tag=dan-9\r\nTo");
                    dan.send(at, &ack).await;
                }
            }
            Message::Request(request) if request.method == Method::Bye => break (request, from),
            _ => {}
        }
    };
    assert!(
        bye.headers
            .get(HeaderName::CallId)
            .is_some_and(|id| id.starts_with("c1@"))
    );
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    house.until_state(old, CallState::Ended).await;
    let recorded = |s: &model::Snapshot| (messages(s, true, "BYE sip:") > 0).then_some(());
    house.until("the trace of it", recorded).await;
    assert_eq!(
        house.count_messages(true, "SIP/2.0 180"),
        1,
        "the first call alone rang"
    );
    house.close().await;
}
