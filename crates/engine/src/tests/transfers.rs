//! Calls that become calls with somebody else.

use std::net::SocketAddr;

use model::{
    AutoAnswer, CallId, CallState, CallView, Command, DoNotDisturb, RegistrationState, Transfer,
    TransferState,
};
use sip_message::{HeaderName, Message, Method};

use super::house::{House, messages, tenant, tone};
use super::peer::{Peer, SDP, answer, carol, carol_with, to_tag, with};
use super::watching::{accept_registration, at_server};

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

/// What a server says of its own account's calls counts, and of no other's (RFC 3891 §3).
#[tokio::test]
async fn the_server_of_one_account_does_not_speak_for_the_calls_of_another() {
    let (ours, theirs) = (Peer::bind().await, Peer::bind_at("127.0.0.8").await);
    let at =
        |server: &Peer, aor: &'static str| at_server(server.local, move |s| s.aor = aor.into());
    let given = vec![
        at(&ours, "sip:carol@carol.test"),
        at(&theirs, "sip:erin@erin.test"),
    ];
    let mut house = House::start(vec![tenant("Solo", given)], tone()).await;
    let (_, carol) = accept_registration(&ours, "").await;
    let (_, erin) = accept_registration(&theirs, "").await;
    house.until_registered(2).await;
    let (old, replaces) = taken(&mut house, carol, &ours).await;
    let invite = with(&theirs.says("INVITE", 1, None, SDP), &replaces).replacen(
        "sip:carol@127.0.0.1 SIP",
        "sip:erin@erin.test SIP",
        1,
    );
    theirs.send(erin, &invite).await;
    let new = house.until_ringing().await;
    assert_eq!(house.call(new).details.replaces, Some(old));
    house.until_notice("wants to take the place of").await;
    assert_eq!(house.call(old).state, CallState::Connected);
    house.close().await;
}

/// RFC 5626 §4.2: each flow's server speaks for the account.
#[tokio::test]
async fn the_server_of_the_second_flow_takes_the_place_of_a_call_at_once() {
    let (one, two) = (Peer::bind().await, Peer::bind().await);
    let second = two.local;
    let given = at_server(one.local, |s| {
        s.more_proxies = vec![format!("sip:{second};lr").into()];
    });
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let outbound = "Require: outbound\r\n";
    let (_, at) = accept_registration(&one, outbound).await;
    accept_registration(&two, outbound).await;
    house
        .until("both flows stand", |s| {
            let flows = &s.accounts.first()?.flows;
            let stand = |f: &&model::FlowView| f.state == RegistrationState::Registered;
            (flows.iter().filter(stand).count() == 2).then_some(())
        })
        .await;
    // The call came from somebody else's server, so that only the account's own can speak for it.
    let dan = Peer::bind_at("127.0.0.1").await;
    let (old, replaces) = taken(&mut house, at, &dan).await;
    two.send(at, &with(&two.says("INVITE", 1, None, SDP), &replaces))
        .await;
    let taken = two.final_response().await;
    assert_eq!(taken.status.code(), 200);
    two.send(at, &two.says("ACK", 1, Some(&to_tag(&taken)), ""))
        .await;
    let (bye, from) = dan.request(Method::Bye).await;
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    house.until_state(old, CallState::Ended).await;
    house.close().await;
}

/// RFC 3891 §3 lets no call wait for a place for ever; do not disturb holds for whoever nobody vouches for.
#[tokio::test]
async fn who_is_turned_away_wants_no_place() {
    let (mut house, at) = carol(tone()).await;
    let (dan, eve) = (Peer::bind().await, Peer::bind_at("127.0.0.9").await);
    let (old, replaces) = taken(&mut house, at, &dan).await;
    let account = house.call(old).account;
    let mut settings = house.engine.snapshot().accounts[0].settings.clone();
    settings.calls.do_not_disturb = DoNotDisturb::Busy;
    house.engine.send(Command::UpdateAccount {
        account,
        settings: Box::new(settings),
        password: None,
    });
    house
        .until("nobody disturbs", |s| {
            let calls = &s.accounts.first()?.settings.calls;
            (calls.do_not_disturb == DoNotDisturb::Busy).then_some(())
        })
        .await;
    eve.send(at, &with(&eve.says("INVITE", 1, None, SDP), &replaces))
        .await;
    assert_eq!(eve.final_response().await.status.code(), 486);
    assert_eq!(house.call(old).state, CallState::Connected);
    let notices = house.engine.snapshot().notices;
    let warned = |n: &model::Notice| n.text.reveal().contains("wants to take the place of");
    assert!(!notices.iter().any(warned));
    house.close().await;
}

/// Our tag, out of the Replaces that names the call as its peer does not.
fn our_tag(replaces: &str) -> &str {
    let behind = replaces.split("to-tag=").nth(1);
    let tag = behind.and_then(|rest| rest.split(';').next());
    tag.expect("there is one")
}

/// RFC 4538: who names the call may ask for its transfer from outside of it; a person decides, as inside.
#[tokio::test]
async fn who_knows_a_call_may_ask_for_its_transfer_from_outside() {
    let (mut house, at) = carol(tone()).await;
    let (dan, desk) = (Peer::bind().await, Peer::bind_at("127.0.0.9").await);
    let (call, replaces) = taken(&mut house, at, &dan).await;
    let tag = our_tag(&replaces);
    let refer = |number: u32, tag: &str| {
        let headers = format!(
            "Refer-To: <sip:{}>\r\nRequire: tdialog\r\nTarget-Dialog: c1@{};local-tag=dan-1;remote-tag={tag}\r\n",
            dan.local, dan.local
        );
        with(&desk.says("REFER", number, None, ""), &headers)
    };
    desk.send(at, &refer(1, "guessed")).await;
    let refused = desk.final_response().await;
    assert!(refused.status.code() >= 400, "{}", refused.status);
    desk.send(at, &refer(2, tag)).await;
    until_wanted(&mut house, call).await;
    house
        .engine
        .send(Command::AnswerTransfer { call, accept: true });
    let accepted = loop {
        let response = desk.final_response().await;
        if response.headers.cseq().expect("a CSeq").number == 2 {
            break response;
        }
    };
    assert_eq!(accepted.status.code(), 202);
    let (notify, from) = desk.request(Method::Notify).await;
    assert!(String::from_utf8_lossy(&notify.body).starts_with("SIP/2.0 100"));
    desk.send(from, &answer(&notify, "200 OK", "", "")).await;
    // The new call is made, and how it goes is told outside, too.
    let (invite, from) = dan.request(Method::Invite).await;
    dan.send(from, &answer(&invite, "486 Busy Here", "", ""))
        .await;
    let (notify, from) = desk.request(Method::Notify).await;
    assert!(String::from_utf8_lossy(&notify.body).starts_with("SIP/2.0 486"));
    desk.send(from, &answer(&notify, "200 OK", "", "")).await;
    assert_eq!(house.call(call).state, CallState::Connected);
    house.close().await;
}

/// RFC 3261 §19.1.6: a number is called where the account's numbers are.
#[tokio::test]
async fn a_transfer_to_a_number_calls_it_at_home() {
    let server = Peer::bind().await;
    let given = at_server(server.local, |_| {});
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let (_, at) = accept_registration(&server, "").await;
    house.until_registered(1).await;
    let (call, replaces) = taken(&mut house, at, &server).await;
    let ours = our_tag(&replaces);
    let refer = with(
        &server.says("REFER", 2, Some(ours), ""),
        "Refer-To: <tel:+49-30-123>\r\n",
    );
    server.send(at, &refer).await;
    until_wanted(&mut house, call).await;
    house
        .engine
        .send(Command::AnswerTransfer { call, accept: true });
    let (invite, _) = server.request(Method::Invite).await;
    assert_eq!(invite.uri.to_string(), "sip:+4930123@carol.test;user=phone");
    house.close().await;
}
