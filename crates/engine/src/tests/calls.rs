//! Calls from dialling to hanging up.

use model::{CallState, Command, Direction, FailureKind, Outcome, Transport};

use super::house::{House, account, switchboard, tenant, tone};
use super::peer::{Peer, SDP, carol, to_tag};
use crate::CallMedia;

#[tokio::test]
async fn organisations_call_each_other_both_ways() {
    let mut house = House::open().await;
    for (from, to) in [
        ("alice", "sip:bob@beta.test"),
        ("bob", "sip:amy@alpha.test"),
    ] {
        let (out, into) = house.talk(from, to).await;
        house.until_heard(out, 20).await;
        house.until_heard(into, 20).await;
        assert_eq!(house.call(out).codec.as_deref(), Some("opus/48000"));
        house.end(into);
        let ended = house.until_state(out, CallState::Ended).await;
        assert_eq!(ended.failure, None, "hanging up is no failure");
        house.until_state(into, CallState::Ended).await;
    }
    let filed = house
        .until("four calls are filed", |s| {
            (s.history.len() == 4).then(|| s.history.clone())
        })
        .await;
    assert!(
        filed
            .iter()
            .all(|h| h.outcome == Outcome::Answered && h.status.is_none())
    );
    house.close().await;
}

#[tokio::test]
async fn a_call_over_tcp_goes_through_from_end_to_end() {
    let mut house =
        House::open_with(|settings| settings.transport = Some(Transport::Tcp), tone()).await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.until_heard(out, 10).await;
    house.engine.send(Command::HoldCall { call: into });
    house.until_state(out, CallState::Held).await;
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    let udp = house.engine.snapshot().trace.iter().any(|r| {
        matches!(&r.body, model::TraceBody::Sip { transport, .. } if *transport != Transport::Tcp)
    });
    assert!(!udp, "everything went over TCP");
    house.close().await;
}

/// RFC 3261 §13.3.1.4: until the ACK is there the caller may not know of it.
#[tokio::test]
async fn a_call_that_is_taken_rings_no_more_and_is_connected_when_the_caller_has_confirmed() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let ok = dan.final_response().await;
    let answering = house.until_state(call, CallState::Answering).await;
    assert_eq!(answering.connected_at, None);
    // To press it again changes nothing.
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&ok);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    let connected = house.until_state(call, CallState::Connected).await;
    assert!(connected.connected_at.is_some());
    house.close().await;
}

#[tokio::test]
async fn a_call_is_declined_with_the_code_that_the_user_chose() {
    let mut house = House::open().await;
    for (code, said) in [
        (None, 486),
        (Some(603), 603),
        (Some(480), 480),
        (Some(200), 486),
    ] {
        let out = house.dial("alice", "sip:bob@beta.test").await;
        let into = house.until_ringing().await;
        house.engine.send(Command::RejectCall { call: into, code });
        let failed = house.until_state(out, CallState::Ended).await;
        assert_eq!(failed.failure.and_then(|f| f.code()), Some(said));
        house.until_state(into, CallState::Ended).await;
    }
    let declined = house
        .until("the calls are filed", |s| {
            let declined = |h: &&model::HistoryEntry| h.outcome == Outcome::Declined;
            let count = s.history.iter().filter(declined).count();
            (s.history.len() == 8).then_some(count)
        })
        .await;
    assert_eq!(declined, 4);
    house.close().await;
}

#[tokio::test]
async fn a_caller_who_gives_up_is_missed() {
    let mut house = House::open().await;
    let out = house.dial("alice", "sip:bob@beta.test").await;
    let into = house.until_ringing().await;
    house.end(out);
    let missed = house.until_state(into, CallState::Ended).await;
    assert_eq!(missed.failure, None);
    let outcome = |direction: Direction| {
        move |s: &model::Snapshot| {
            s.history
                .iter()
                .find(|h| h.direction == direction)
                .map(|h| h.outcome)
        }
    };
    let theirs = house
        .until("it is filed", outcome(Direction::Incoming))
        .await;
    let ours = house
        .until("it is filed", outcome(Direction::Outgoing))
        .await;
    assert_eq!((ours, theirs), (Outcome::Cancelled, Outcome::Missed));
    house.close().await;
}

#[tokio::test]
async fn ringing_can_be_given_up_at_the_test_number_that_rings_for_ever() {
    let mut house = House::open().await;
    let out = house.dial("alice", "ring").await;
    house.until_state(out, CallState::Ringing).await;
    house.end(out);
    house.until_state(out, CallState::Ended).await;
    house.until_message(true, "CANCEL sip:").await;
    house.until_message(false, "SIP/2.0 487").await;
    house.close().await;
}

#[tokio::test]
async fn failures_say_what_the_peer_said_or_what_was_typed() {
    let mut house = House::open().await;
    for (target, code) in [("nobody-here", 404), ("busy", 486), ("603", 603)] {
        let out = house.dial("alice", target).await;
        let ended = house.until_state(out, CallState::Ended).await;
        let failure = ended.failure.expect("it failed");
        assert_eq!(failure.code(), Some(code), "{target}");
        assert!(failure.said_by.is_some(), "whoever said no is named");
    }
    let out = house.dial("alice", "sip:bob@").await;
    let ended = house.until_state(out, CallState::Ended).await;
    let failure = ended.failure.expect("it failed");
    assert!(matches!(failure.what, FailureKind::BadTarget { .. }));
    assert_eq!(house.count_messages(true, "sip:bob@ "), 0);
    house.close().await;
}

#[tokio::test]
async fn taking_up_a_second_call_holds_the_first_even_before_it_is_up() {
    let (_switchboard, addr) = switchboard().await;
    let bob = vec![account("sip:bob@beta.test", addr, |_| {})];
    let mut beta = House::start(vec![tenant("Beta", bob)], tone()).await;
    let both = ["sip:alice@alpha.test", "sip:amy@alpha.test"];
    let both = both.map(|aor| account(aor, addr, |_| {})).to_vec();
    let mut house = House::start(vec![tenant("Alpha", both)], CallMedia::Devices).await;
    beta.until_registered(1).await;
    house.until_registered(2).await;
    let first = beta.dial("bob", "sip:alice@alpha.test").await;
    let rings_first = house.until_ringing().await;
    let second = beta.dial("bob", "sip:amy@alpha.test").await;
    let rings_second = house
        .until("the second rings", |s| {
            let rings = |c: &&model::CallView| {
                c.direction == Direction::Incoming
                    && c.state == CallState::Ringing
                    && c.id != rings_first
            };
            s.calls.iter().find(rings).map(|c| c.id)
        })
        .await;
    // In one breath: no event of the first answer can have come back.
    house.engine.send(Command::AnswerCall { call: rings_first });
    house
        .engine
        .send(Command::AnswerCall { call: rings_second });
    house
        .until("the first is held by us", |s| {
            let call = |id| s.calls.iter().find(|c| c.id == id);
            let held = call(rings_first)?.held_by_us && call(rings_first)?.state == CallState::Held;
            let talks = call(rings_second)?.state.is_up() && !call(rings_second)?.held_by_us;
            (held && talks).then_some(())
        })
        .await;
    // Back to the first: the second is held instead.
    house.engine.send(Command::ResumeCall { call: rings_first });
    house
        .until("the calls change places", |s| {
            let call = |id| s.calls.iter().find(|c| c.id == id);
            (!call(rings_first)?.held_by_us && call(rings_second)?.held_by_us).then_some(())
        })
        .await;
    for call in [first, second] {
        beta.end(call);
        beta.until_state(call, CallState::Ended).await;
    }
    house.close().await;
    beta.close().await;
}

#[tokio::test]
async fn both_ends_of_a_call_may_be_ours_and_neither_is_held() {
    let mut house = House::open_with(|_| {}, CallMedia::Devices).await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    house.engine.send(Command::ResumeCall { call: out });
    house.engine.send(Command::MuteCall {
        call: into,
        muted: true,
    });
    house
        .until("it is muted", |s| {
            s.calls.iter().any(|c| c.muted).then_some(())
        })
        .await;
    assert!(!house.call(out).held_by_us && !house.call(into).held_by_us);
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn fifty_calls_at_once_all_carry_sound() {
    let mut house = House::open().await;
    let account = house.id_of("alice");
    for _ in 0..50 {
        house.engine.send(Command::PlaceCall {
            account: account.clone(),
            target: "echo".into(),
            headers: Vec::new(),
            direction: model::MediaDirection::Both,
        });
    }
    house
        .until("fifty calls are up and heard", |s| {
            let fine = |c: &&model::CallView| {
                c.state == CallState::Connected && c.stats.as_ref().is_some_and(|s| s.received > 0)
            };
            (s.calls.iter().filter(fine).count() == 50).then_some(())
        })
        .await;
    let calls: Vec<_> = house.engine.snapshot().calls.iter().map(|c| c.id).collect();
    calls.into_iter().for_each(|call| house.end(call));
    house
        .until("all have ended", |s| {
            s.calls.iter().all(|c| !c.state.is_live()).then_some(())
        })
        .await;
    assert_eq!(
        house.engine.levels(model::CallId(1)),
        model::Levels::default(),
        "nothing is left of them"
    );
    house.close().await;
}

#[tokio::test]
async fn an_ended_call_can_be_put_away_and_stays_away() {
    let mut house = House::open().await;
    let out = house.dial("alice", "busy").await;
    house.until_state(out, CallState::Ended).await;
    house.engine.send(Command::DismissCall { call: out });
    house
        .until("it is gone", |s| {
            s.calls.iter().all(|c| c.id != out).then_some(())
        })
        .await;
    house.engine.send(Command::SendOptions {
        account: house.id_of("alice"),
        target: "echo".into(),
    });
    let status = house
        .until_event("the OPTIONS is answered", |event| match event {
            model::Event::OptionsAnswered {
                status, failure, ..
            } => Some((status.clone(), failure.clone())),
            _ => None,
        })
        .await;
    assert!(status.0.is_some(), "{:?}", status.1);
    assert!(house.engine.snapshot().calls.is_empty());
    house.close().await;
}

#[tokio::test]
async fn an_invite_that_comes_in_stands_in_the_record_as_that_of_whoever_is_called() {
    let mut house = House::open().await;
    house.dial("bob", "sip:alice@alpha.test").await;
    house.until_ringing().await;
    let alice = house.id_of("alice");
    let accounts = house
        .until("the INVITE is recorded", |s| {
            let came = |r: &&model::TraceRecord| {
                matches!(&r.body, model::TraceBody::Sip { sent: false, bytes, .. }
                    if bytes.starts_with(b"INVITE "))
            };
            let found: Vec<_> = s
                .trace
                .iter()
                .filter(came)
                .map(|r| r.account.clone())
                .collect();
            (!found.is_empty()).then_some(found)
        })
        .await;
    assert!(
        accounts
            .iter()
            .all(|account| *account == Some(alice.clone())),
        "{accounts:?}"
    );
    house.close().await;
}
