//! A peer that says it is the middle of a conference is asked who is in it (RFC 4575, RFC 4579).

use model::{CallState, Command, MemberState, Roster};
use sip_message::{HeaderName, Method, Request};

use super::house::tone;
use super::peer::{Peer, SDP, answer, carol, to_tag};

/// A document of the conference in the dialog that this SUBSCRIBE made.
fn notify(dan: &Peer, subscribe: &Request, number: u32, state: &str, body: &str) -> String {
    let header = |name| subscribe.headers.get(name).unwrap_or_default();
    let contact = subscribe.headers.contact().expect("a Contact").uri;
    format!(
        "NOTIFY {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKn{number}\r\nMax-Forwards: 70\r\n\
         From: {};tag=peer\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} NOTIFY\r\n\
         Contact: <sip:room@{}>\r\nEvent: conference\r\nSubscription-State: {state}\r\n\
         Content-Type: application/conference-info+xml\r\nContent-Length: {}\r\n\r\n{body}",
        dan.local,
        header(HeaderName::To),
        header(HeaderName::From),
        header(HeaderName::CallId),
        dan.local,
        body.len(),
    )
}

fn user(name: &str, status: &str) -> String {
    format!(
        "<user entity=\"sip:{name}@example.com\" state=\"full\"><display-text>{name}</display-text>\
         <endpoint entity=\"sip:{name}@192.0.2.1\"><status>{status}</status></endpoint></user>"
    )
}

fn document(version: u32, state: &str, users: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" \
         entity=\"sip:room@example.com\" state=\"{state}\" version=\"{version}\">\
         <conference-description><subject>Harvest</subject></conference-description>\
         <users state=\"{state}\">{users}</users></conference-info>"
    )
}

fn seen(conference: &Roster) -> Vec<(&str, MemberState)> {
    let members = conference.members.iter();
    members.map(|m| (m.who.title(), m.state)).collect()
}

#[tokio::test]
async fn who_is_in_a_conference_is_shown_as_long_as_the_call_lasts() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let own = format!("<sip:dan@{}>", dan.local);
    let focus = format!("<sip:room@{}>;isfocus", dan.local);
    let invite = dan.says("INVITE", 1, None, SDP).replacen(&own, &focus, 1);
    dan.send(at, &invite).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let ok = dan.final_response().await;
    let ack = dan.says("ACK", 1, Some(&to_tag(&ok)), "");
    dan.send(at, &ack).await;
    house.until_state(call, CallState::Connected).await;
    let (subscribe, from) = dan.request(Method::Subscribe).await;
    assert_eq!(subscribe.uri.to_string(), format!("sip:room@{}", dan.local));
    assert_eq!(subscribe.headers.get(HeaderName::Event), Some("conference"));
    assert!(house.call(call).details.roster.is_some(), "it is one");
    let granted = format!("Expires: 3600\r\nContact: <sip:room@{}>\r\n", dan.local);
    dan.send(from, &answer(&subscribe, "200 OK", &granted, ""))
        .await;

    let all = user("Bob", "connected") + &user("Eve", "on-hold") + &user("Mia", "dialing-out");
    let full = document(1, "full", &all);
    dan.send(from, &notify(&dan, &subscribe, 1, "active", &full))
        .await;
    let shown = house
        .until("the roster is shown", |s| {
            let conference = s.calls.first()?.details.roster.clone()?;
            (conference.count == 3).then_some(conference)
        })
        .await;
    let states = [
        ("Bob", MemberState::Present),
        ("Eve", MemberState::Held),
        ("Mia", MemberState::Coming),
    ];
    assert_eq!(seen(&shown), states);
    assert_eq!(
        shown.subject.as_ref().map(model::Private::reveal),
        Some("Harvest")
    );

    // RFC 4575 §4.3: what changed, and nothing else.
    let left = "<user entity=\"sip:Eve@example.com\" state=\"deleted\"/>";
    let partial = document(2, "partial", left);
    dan.send(from, &notify(&dan, &subscribe, 2, "active", &partial))
        .await;
    house
        .until("somebody has left", |s| {
            let conference = s.calls.first()?.details.roster.as_ref()?;
            (conference.count == 2).then_some(())
        })
        .await;

    // What cannot be read changes nothing, and costs no call.
    let nonsense = notify(&dan, &subscribe, 3, "active", "<conference-info");
    dan.send(from, &nonsense).await;
    house.until_notes("its roster:", 1).await;
    assert_eq!(house.call(call).state, CallState::Connected);

    // A document is missing (RFC 4575 §4.3): all of it is asked for, at once only the first time.
    let grant = |again: &Request| answer(again, "200 OK", &granted, "");
    let gap = document(7, "partial", left);
    dan.send(from, &notify(&dan, &subscribe, 4, "active", &gap))
        .await;
    let (again, from) = dan.request(Method::Subscribe).await;
    dan.send(from, &grant(&again)).await;
    let gap = document(9, "partial", left);
    dan.send(from, &notify(&dan, &subscribe, 5, "active", &gap))
        .await;
    let sentence = house
        .until("it is said", |s| {
            let roster = s.calls.first()?.details.roster.as_ref()?;
            roster.sentence.clone()
        })
        .await;
    let words = "Its states come with gaps: asked again in 1 s.";
    assert_eq!(sentence.reveal(), words);
    let (again, from) = dan.request(Method::Subscribe).await;
    dan.send(from, &grant(&again)).await;
    let both = user("Bob", "connected") + &user("Mia", "connected");
    let full = document(10, "full", &both);
    dan.send(from, &notify(&dan, &subscribe, 6, "active", &full))
        .await;
    house
        .until("the roster is whole", |s| {
            let roster = s.calls.first()?.details.roster.as_ref()?;
            roster.sentence.is_none().then_some(())
        })
        .await;

    house.end(call);
    let (goodbye, _) = dan.request(Method::Subscribe).await;
    assert_eq!(goodbye.headers.expires(), Ok(0), "nobody asks for ever");
    let last = house.until_state(call, CallState::Ended).await;
    let last = last.details.roster.expect("it stays to be seen");
    assert_eq!(last.members.len(), 2);
    house.close().await;
}
