//! INVITEs with a Join (RFC 3911), and ours.

use std::net::SocketAddr;

use model::{CallId, CallState, Command, DialogName, JoinPolicy};
use sip_message::{HeaderName, Method};

use super::house::{House, tone};
use super::peer::{Peer, SDP, carol_with, to_tag, with};

/// Carol, who lets others join like this.
async fn carol(joins: JoinPolicy) -> (House, SocketAddr) {
    carol_with(tone(), |settings| settings.calls.joins = joins).await
}

async fn calls(peer: &Peer, at: SocketAddr, headers: &str) {
    let invite = with(&peer.says("INVITE", 1, None, SDP), headers);
    peer.send(at, &invite).await;
}

/// Dan's call, which Carol takes; how others name it.
async fn taken(house: &mut House, at: SocketAddr, dan: &Peer) -> (CallId, String) {
    calls(dan, at, "").await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&dan.final_response().await);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    let join = format!("Join: c1@{};to-tag={tag};from-tag=dan-1\r\n", dan.local);
    (call, join)
}

#[tokio::test]
async fn who_may_join_a_call_is_taken_at_once_and_all_hear_each_other() {
    let (mut house, at) = carol(JoinPolicy::Always).await;
    let (dan, fay) = (Peer::bind().await, Peer::bind().await);
    let (call, join) = taken(&mut house, at, &dan).await;
    calls(&fay, at, &format!("{join}Require: join\r\n")).await;
    let answer = fay.final_response().await;
    assert_eq!(answer.status.code(), 200);
    fay.send(at, &fay.says("ACK", 1, Some(&to_tag(&answer)), ""))
        .await;
    house
        .until("they are in one conference", |s| {
            let room = s.calls.iter().find(|c| c.id == call)?.conference?;
            let members = s.calls.iter().filter(|c| c.conference == Some(room));
            (members.count() == 2).then_some(())
        })
        .await;
    house.until_notice("has joined the call").await;
    // Whoever joined leaves, and the other two go on talking.
    let bye = fay.says("BYE", 2, Some(&to_tag(&answer)), "");
    fay.send(at, &bye).await;
    house
        .until("the first call is one like any other", |s| {
            let first = s.calls.iter().find(|c| c.id == call)?;
            (first.conference.is_none() && first.state == CallState::Connected).then_some(())
        })
        .await;
    house.close().await;
}

#[tokio::test]
async fn who_may_not_join_hears_no_and_nothing_rings() {
    for (joins, code) in [
        (JoinPolicy::Never, 603),
        // A stranger is not our server.
        (JoinPolicy::FromServer, 603),
    ] {
        let (mut house, at) = carol(joins).await;
        let (dan, fay) = (Peer::bind().await, Peer::bind().await);
        let (_, join) = taken(&mut house, at, &dan).await;
        calls(&fay, at, &join).await;
        assert_eq!(fay.final_response().await.status.code(), code);
        assert_eq!(house.engine.snapshot().calls.len(), 1);
        house.close().await;
    }
}

#[tokio::test]
async fn who_names_no_call_that_is_up_hears_that_there_is_none() {
    let (mut house, at) = carol(JoinPolicy::Always).await;
    let (dan, eve, fay) = (Peer::bind().await, Peer::bind().await, Peer::bind().await);
    calls(&eve, at, "Join: nowhere;to-tag=a;from-tag=b\r\n").await;
    assert_eq!(eve.final_response().await.status.code(), 481);
    let (_, join) = taken(&mut house, at, &dan).await;
    let wrong = join.replace("from-tag=dan-1", "from-tag=somebody");
    calls(&fay, at, &wrong).await;
    assert_eq!(fay.final_response().await.status.code(), 481);
    // More than one call at once is nonsense (RFC 3911 §4).
    let gus = Peer::bind().await;
    calls(&gus, at, &format!("{join}{join}")).await;
    assert_eq!(gus.final_response().await.status.code(), 400);
    house.close().await;
}

#[tokio::test]
async fn a_call_at_another_phone_is_joined_by_naming_it_as_that_phone_does() {
    let (house, _) = carol(JoinPolicy::Never).await;
    let dan = Peer::bind().await;
    house.engine.send(Command::JoinIn {
        account: house.id_of("carol"),
        target: format!("sip:dan@{}", dan.local).as_str().into(),
        dialog: DialogName {
            call_id: "talking-there".to_owned(),
            local_tag: "dans".to_owned(),
            remote_tag: "theirs".to_owned(),
        },
    });
    let (invite, _) = dan.request(Method::Invite).await;
    let join = invite.headers.join().expect("it has a Join");
    assert_eq!(join.call_id, "talking-there");
    assert_eq!((&*join.to_tag, &*join.from_tag), ("dans", "theirs"));
    let require = invite.headers.get(HeaderName::Require).unwrap_or_default();
    assert!(require.contains("join"), "{require}");
    assert!(!invite.headers.has(HeaderName::Replaces));
    house.close().await;
}
