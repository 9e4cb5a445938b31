//! Media that is to flow one way only, or none.

use model::{CallState, Command, MediaDirection, Silence};
use sip_message::{Method, Request};

use super::house::{House, tone};
use super::peer::{Peer, SDP, answer, carol, to_tag};

/// The direction that a description names.
fn direction(body: &[u8]) -> &str {
    let text = std::str::from_utf8(body).expect("it is text");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("a="));
    let named = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let line = lines.find(|line| named.contains(line));
    // RFC 3264 §5.1: what nothing is said of flows both ways.
    line.unwrap_or("sendrecv")
}

/// Answers an offer of ours with this direction.
fn accepted(peer: &Peer, invite: &Request, version: u32, direction: &str) -> String {
    let more = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        peer.local
    );
    let body = SDP.replace("o=- 1 1", &format!("o=- 1 {version}"));
    let body = format!("{body}a={direction}\r\n");
    answer(invite, "200 OK", &more, &body)
}

async fn until_flows(house: &mut House, call: model::CallId, direction: MediaDirection) {
    house
        .until(&format!("media is {direction:?}"), |s| {
            let call = s.calls.iter().find(|c| c.id == call)?;
            (call.details.media == direction).then_some(())
        })
        .await;
}

#[tokio::test]
async fn rfc3264_5_1_a_call_is_made_with_the_direction_that_is_asked_for_and_changed_later() {
    let (mut house, _) = carol(tone()).await;
    let dan = Peer::bind().await;
    house.engine.send(Command::PlaceCall {
        account: house.id_of("carol"),
        target: format!("sip:dan@{}", dan.local).into(),
        headers: Vec::new(),
        direction: MediaDirection::ReceiveOnly,
    });
    let (invite, from) = dan.request(Method::Invite).await;
    assert_eq!(direction(&invite.body), "recvonly");
    dan.send(from, &accepted(&dan, &invite, 1, "sendonly"))
        .await;
    // RFC 3264 §6.1 leaves the peer no other answer: that is no hold.
    let call = house
        .until("it is up", |s| {
            let up = |c: &&model::CallView| c.state == CallState::Connected;
            s.calls.iter().find(up).map(|c| c.id)
        })
        .await;
    until_flows(&mut house, call, MediaDirection::ReceiveOnly).await;
    let agreed = Silence::Agreed {
        direction: MediaDirection::ReceiveOnly,
    };
    house
        .until("it is said why nothing is sent", |s| {
            let call = s.calls.iter().find(|c| c.id == call)?;
            (call.sound.silences.first() == Some(&agreed)).then_some(())
        })
        .await;

    // A hold takes the rest, and gives back what there was (§8.4).
    house.engine.send(Command::HoldCall { call });
    let (held, from) = dan.request(Method::Invite).await;
    assert_eq!(direction(&held.body), "inactive");
    dan.send(from, &accepted(&dan, &held, 2, "inactive")).await;
    house.until_state(call, CallState::Held).await;
    house.engine.send(Command::ResumeCall { call });
    let (resumed, from) = dan.request(Method::Invite).await;
    assert_eq!(direction(&resumed.body), "recvonly");
    dan.send(from, &accepted(&dan, &resumed, 3, "sendonly"))
        .await;
    house.until_state(call, CallState::Connected).await;

    // What the peer does not want is as it was, and not asked for again.
    let both = Command::SetDirection {
        call,
        direction: MediaDirection::Both,
    };
    house.engine.send(both.clone());
    let (changed, from) = dan.request(Method::Invite).await;
    assert_eq!(direction(&changed.body), "sendrecv");
    dan.send(from, &answer(&changed, "488 Not Acceptable Here", "", ""))
        .await;
    house.until_notes("the change was not taken", 1).await;
    until_flows(&mut house, call, MediaDirection::ReceiveOnly).await;
    house.engine.send(both);
    let (changed, from) = dan.request(Method::Invite).await;
    assert_eq!(direction(&changed.body), "sendrecv");
    dan.send(from, &accepted(&dan, &changed, 4, "sendrecv"))
        .await;
    until_flows(&mut house, call, MediaDirection::Both).await;
    house.close().await;
}

#[tokio::test]
async fn rfc3264_6_1_a_call_is_answered_with_what_is_asked_for_as_far_as_the_offer_lets() {
    use MediaDirection::{Both, Inactive, ReceiveOnly, SendOnly};
    for (offered, asked, answered, flows) in [
        ("sendrecv", SendOnly, "sendonly", SendOnly),
        ("sendrecv", ReceiveOnly, "recvonly", ReceiveOnly),
        ("sendrecv", Inactive, "inactive", Inactive),
        ("recvonly", Both, "sendonly", SendOnly),
        ("sendonly", ReceiveOnly, "recvonly", ReceiveOnly),
        ("sendonly", SendOnly, "inactive", Inactive),
    ] {
        let (mut house, addr) = carol(tone()).await;
        let dan = Peer::bind().await;
        let body = format!("{SDP}a={offered}\r\n");
        dan.send(addr, &dan.says("INVITE", 1, None, &body)).await;
        let call = house.until_ringing().await;
        house.engine.send(Command::SetDirection {
            call,
            direction: asked,
        });
        house.engine.send(Command::AnswerCall { call });
        let taken = dan.final_response().await;
        assert_eq!(direction(&taken.body), answered, "{offered} {asked:?}");
        let tag = to_tag(&taken);
        dan.send(addr, &dan.says("ACK", 1, Some(&tag), "")).await;
        until_flows(&mut house, call, flows).await;
        house.close().await;
    }
}

#[tokio::test]
async fn sound_goes_one_way_between_two_phones_and_the_other_end_is_told() {
    let mut house = House::open().await;
    house.engine.send(Command::PlaceCall {
        account: house.id_of("alice"),
        target: "sip:bob@beta.test".into(),
        headers: Vec::new(),
        direction: MediaDirection::ReceiveOnly,
    });
    let into = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call: into });
    until_flows(&mut house, into, MediaDirection::SendOnly).await;
    let out = house
        .until("the caller hears", |s| {
            let heard = |c: &&model::CallView| {
                c.id != into && c.stats.as_ref().is_some_and(|stats| stats.received > 20)
            };
            s.calls.iter().find(heard).map(|c| c.id)
        })
        .await;
    let callee = house.call(into).stats;
    assert_eq!(callee.map_or(0, |stats| stats.received), 0);
    house.end(out);
    house.until_state(into, CallState::Ended).await;
    house.close().await;
}
