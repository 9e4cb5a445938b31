//! Every row of the supervision table, by making the child fail in the middle of a call.

use model::{CallId, CallState, Command, FailureKind, RegistrationState, Snapshot, TraceBody};

use sip_message::Method;

use super::house::{House, tone};
use super::peer::{Peer, SDP, answer, carol, to_tag};
use crate::phone::PhoneMsg;
use crate::tenant::Child;

/// Media still comes in this call.
async fn still_heard(house: &mut House, call: CallId) {
    let heard = house.until_heard(call, 0).await;
    house.until_heard(call, heard + 20).await;
}

/// How many sign-ins the registrar has confirmed, as it was heard. An account that has not noticed yet
/// that its transport failed still shows itself as registered; this cannot be mistaken.
fn confirmed(state: &Snapshot) -> usize {
    let is = |body: &TraceBody| {
        matches!(body, TraceBody::Sip { sent: false, bytes, .. }
            if bytes.starts_with(b"SIP/2.0 200 ")
                && String::from_utf8_lossy(bytes).contains(" REGISTER\r\n"))
    };
    state.trace.iter().filter(|r| is(&r.body)).count()
}

/// The transport of Alice and Amy fails; returns when the registrar knows both at their new address.
async fn fail_transport(house: &mut House, round: usize) {
    let before = house.engine.hub.read(confirmed);
    house.crash("alice", Child::Transport);
    house.until_notes("accounts sign in again", round).await;
    house
        .until("both accounts sign in again", |s| {
            let mut accounts = s.accounts.iter();
            let all = accounts.all(|a| a.state == RegistrationState::Registered);
            (all && confirmed(s) >= before + 2).then_some(())
        })
        .await;
}

/// Hold, resume and hanging up still work between these ends.
async fn still_a_dialog(house: &mut House, ours: CallId, theirs: CallId) {
    house.engine.send(Command::HoldCall { call: ours });
    house.until_state(theirs, CallState::Held).await;
    house.engine.send(Command::ResumeCall { call: ours });
    house.until_state(theirs, CallState::Connected).await;
    house.until_state(ours, CallState::Connected).await;
    house.end(theirs);
    let ended = house.until_state(ours, CallState::Ended).await;
    assert_eq!(ended.failure, None, "it ended as calls end");
    house.until_state(theirs, CallState::Ended).await;
}

#[tokio::test]
async fn a_stream_that_fails_is_started_again_once_and_the_sound_never_stops() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    still_heard(&mut house, out).await;
    house.crash("alice", Child::Stream(out));
    house.until_notes("the media went on", 1).await;
    still_heard(&mut house, out).await;
    house.crash("alice", Child::Stream(out));
    house.until_notes("the call goes on", 1).await;
    // The other end hears it still, and it can be ended as ever.
    still_heard(&mut house, into).await;
    still_a_dialog(&mut house, out, into).await;
    house.close().await;
}

#[tokio::test]
async fn a_dialog_that_fails_ends_its_call_only_and_the_peer_gets_a_bye() {
    let mut house = House::open().await;
    let (other_out, other_into) = house.talk("amy", "sip:bob@beta.test").await;
    for (from, to) in [
        ("alice", "sip:bob@beta.test"),
        ("bob", "sip:alice@alpha.test"),
    ] {
        let (out, into) = house.talk(from, to).await;
        let (ours, theirs) = if from == "alice" {
            (out, into)
        } else {
            (into, out)
        };
        // The CSeq has moved on since the call was answered.
        house.engine.send(Command::HoldCall { call: ours });
        house.until_state(theirs, CallState::Held).await;
        house.until_state(ours, CallState::Held).await;
        house.crash("alice", Child::Dialog(ours));
        let ended = house.until_state(ours, CallState::Ended).await;
        let failure = ended.failure.expect("it failed");
        assert!(matches!(failure.what, FailureKind::Internal { .. }));
        let peer = house.until_state(theirs, CallState::Ended).await;
        assert_eq!(peer.failure, None, "the peer was told with a BYE");
    }
    house.until_notes("the peer is told", 2).await;
    still_heard(&mut house, other_out).await;
    still_a_dialog(&mut house, other_out, other_into).await;
    house.close().await;
}

#[tokio::test]
async fn an_account_that_fails_returns_and_past_its_budget_rests_while_the_call_goes_on() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    let alice = house.id_of("alice");
    let signed_in = "was on its way and is registered";
    house.until_notes(signed_in, 3).await;
    for round in 1..=3 {
        house.crash("alice", Child::Account(alice.clone()));
        house.until_notes("and is started again", round).await;
        house.until_notes(signed_in, 3 + round).await;
    }
    house.crash("alice", Child::Account(alice.clone()));
    let state = |wanted: RegistrationState| {
        let alice = alice.clone();
        move |s: &model::Snapshot| {
            let fits = |a: &&model::AccountView| a.id == alice && a.state == wanted;
            s.accounts.iter().find(fits).cloned()
        }
    };
    let rests = house
        .until("it rests", state(RegistrationState::Degraded))
        .await;
    assert!(rests.failure.is_some(), "and says why");
    still_heard(&mut house, into).await;
    house.engine.send(Command::Register {
        account: alice.clone(),
    });
    house
        .until("a person revives it", state(RegistrationState::Registered))
        .await;
    still_a_dialog(&mut house, out, into).await;
    house.close().await;
}

#[tokio::test]
async fn a_transport_that_fails_is_replaced_and_calls_keep_their_dialogs() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    fail_transport(&mut house, 1).await;
    still_heard(&mut house, out).await;
    still_a_dialog(&mut house, out, into).await;
    // And the peer's requests find their way to the call as well.
    let (out, into) = house.talk("bob", "sip:amy@alpha.test").await;
    fail_transport(&mut house, 2).await;
    still_a_dialog(&mut house, out, into).await;
    house.close().await;
}

#[tokio::test]
async fn a_call_that_rings_can_still_be_given_up_after_the_transport_failed() {
    let mut house = House::open().await;
    let out = house.dial("bob", "sip:alice@alpha.test").await;
    let into = house.until_ringing().await;
    house.crash("alice", Child::Transport);
    house.until_notes("accounts sign in again", 1).await;
    house.end(out);
    let missed = house.until_state(into, CallState::Ended).await;
    assert_eq!(missed.failure, None);
    house.close().await;
}

#[tokio::test]
async fn a_transport_past_its_budget_takes_its_tenant_offline_until_a_person_signs_in() {
    let mut house = House::open().await;
    for round in 1..=3 {
        house.crash("alice", Child::Transport);
        house.until_notes("accounts sign in again", round).await;
    }
    house.crash("alice", Child::Transport);
    let alpha = house.tenant_of("alice");
    house
        .until("the tenant is degraded", |s| {
            let offline = s
                .accounts
                .iter()
                .filter(|a| a.tenant == alpha)
                .all(|a| a.state == RegistrationState::Silent);
            let degraded = s.tenants.iter().any(|t| t.id == alpha && t.degraded);
            (offline && degraded).then_some(())
        })
        .await;
    assert_eq!(house.account("bob").state, RegistrationState::Registered);
    house.engine.send(Command::Register {
        account: house.id_of("alice"),
    });
    house.until_registered(3).await;
    house.talk("alice", "sip:bob@beta.test").await;
    house.close().await;
}

#[tokio::test]
async fn devices_that_fail_are_told_of_and_calls_go_on() {
    let mut house = House::open().await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    for _ in 0..3 {
        house.tell_phone(PhoneMsg::CrashDevices);
    }
    house.until_notice("was started again").await;
    still_heard(&mut house, out).await;
    house.tell_phone(PhoneMsg::CrashDevices);
    house.until_event("it is told", |event| {
        matches!(event, model::Event::Notice { notice } if notice.text.reveal().starts_with("Sound failed")).then_some(())
    })
    .await;
    still_a_dialog(&mut house, out, into).await;
    house.close().await;
}

#[tokio::test]
async fn a_tenant_that_fails_is_alone_with_it() {
    let mut house = House::open().await;
    let (echo, alpha) = (house.dial("bob", "echo").await, house.tenant_of("alice"));
    house.until_state(echo, CallState::Connected).await;
    for round in 0..4 {
        let mine = house.dial("alice", "echo").await;
        house.until_state(mine, CallState::Connected).await;
        house.crash("alice", Child::Tenant);
        let ended = house.until_state(mine, CallState::Ended).await;
        assert!(matches!(
            ended.failure.map(|f| f.what),
            Some(FailureKind::Internal { .. })
        ));
        if round < 3 {
            house.until_notice("was started again").await;
            house.until_registered(3).await;
        }
    }
    house.until_notice("failed too often").await;
    house
        .until("it is degraded", |s| {
            s.tenants
                .iter()
                .any(|t| t.id == alpha && t.degraded)
                .then_some(())
        })
        .await;
    // What it cannot do it says, and the other tenant does not notice.
    let dead = house.dial("alice", "echo").await;
    assert!(
        house
            .until_state(dead, CallState::Ended)
            .await
            .failure
            .is_some()
    );
    still_heard(&mut house, echo).await;
    assert_eq!(house.call(echo).state, CallState::Connected);
    house.engine.send(Command::Register {
        account: house.id_of("alice"),
    });
    let revived = house.until("it is back", |s| {
        s.tenants
            .iter()
            .any(|t| t.id == alpha && !t.degraded)
            .then_some(())
    });
    revived.await;
    let again = house.dial("alice", "echo").await;
    house.until_state(again, CallState::Connected).await;
    house.close().await;
}

#[tokio::test]
async fn a_recorder_or_store_that_fails_is_replaced() {
    let mut house = House::open().await;
    house.crash("alice", Child::Recorder);
    house.until_notes("the recorder failed", 1).await;
    house.tell_phone(PhoneMsg::CrashStore);
    house.until_notice("History and settings failed").await;
    let (out, _) = house.talk("alice", "sip:bob@beta.test").await;
    house.end(out);
    house
        .until("both ends are filed", |s| {
            (s.history.len() == 2).then_some(())
        })
        .await;
    let id = house.call(out).id;
    house
        .until("the call is recorded", |s| {
            s.trace.iter().any(|r| r.call == Some(id)).then_some(())
        })
        .await;
    house.close().await;
}

#[tokio::test]
async fn children_that_end_as_they_should_end_nothing_else() {
    let mut house = House::open().await;
    // A call that never began, a question, a refused call, an account that leaves: all end.
    for target in ["sip:alice@alpha.test:bad", "busy"] {
        let call = house.dial("alice", target).await;
        house.until_state(call, CallState::Ended).await;
    }
    house.engine.send(Command::RemoveAccount {
        account: house.id_of("amy"),
    });
    house.until_message(true, "Expires: 0").await;
    let (out, into) = house.talk("alice", "sip:bob@beta.test").await;
    still_a_dialog(&mut house, out, into).await;
    let failed = |s: &model::Snapshot| super::house::notes_of(s, "supervision");
    assert_eq!(house.engine.hub.read(failed), 0, "nothing failed");
    house.close().await;
}

#[tokio::test]
async fn a_root_that_fails_says_so_to_every_client_and_ends_the_calls() {
    let mut house = House::open().await;
    let mut late = house.engine.subscribe(None);
    let echo = house.dial("alice", "echo").await;
    house.until_state(echo, CallState::Connected).await;
    house.tell_phone(PhoneMsg::Crash);
    house.until_notice("The engine failed inside").await;
    let stopped = |event: &model::Event| (*event == model::Event::Stopped).then_some(());
    house.until_event("it has stopped", stopped).await;
    let ended = house.call(echo);
    assert_eq!(ended.state, CallState::Ended);
    assert!(matches!(
        ended.failure.map(|f| f.what),
        Some(FailureKind::Internal { .. })
    ));
    let told = async { while late.next().await != model::Event::Stopped {} };
    tokio::time::timeout(std::time::Duration::from_secs(5), told)
        .await
        .expect("one who has not looked for a while is told too");
    house.close().await;
}

/// Carol calls dan, dan rings, and carol's actor fails with this: dan hears a CANCEL.
async fn cancelled_after(house: &mut House, fail: impl Fn(&House, CallId)) {
    let dan = Peer::bind().await;
    let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    dan.send(from, &answer(&invite, "180 Ringing", "", ""))
        .await;
    house.until_state(out, CallState::Ringing).await;
    fail(house, out);
    let (cancel, from) = dan.request(Method::Cancel).await;
    assert_eq!(
        cancel.headers.via_top().map(|via| via.to_string()),
        invite.headers.via_top().map(|via| via.to_string()),
        "RFC 3261 §9.1: it is that INVITE's"
    );
    dan.send(from, &answer(&cancel, "200 OK", "", "")).await;
    let refusal = answer(&invite, "487 Request Terminated", "", "");
    dan.send(from, &refusal).await;
    dan.request(Method::Ack).await;
    let ended = house.until_state(out, CallState::Ended).await;
    assert!(ended.failure.is_some(), "it says that it failed inside");
}

/// Dan calls carol, she rings, and her actor fails with this: dan hears a 500, and again when he
/// repeats himself.
async fn refused_after(house: &mut House, at: std::net::SocketAddr, fail: impl Fn(&House, CallId)) {
    let dan = Peer::bind().await;
    let invite = dan.says("INVITE", 1, None, SDP);
    dan.send(at, &invite).await;
    let into = house.until_ringing().await;
    let calls = house.engine.snapshot().calls.len();
    fail(house, into);
    let refusal = dan.final_response().await;
    assert_eq!(refusal.status.code(), 500);
    dan.send(at, &invite).await;
    assert_eq!(
        dan.final_response().await,
        refusal,
        "and nothing rings anew"
    );
    let ack = dan.says("ACK", 1, Some(&to_tag(&refusal)), "");
    let ack = ack.replace("z9hG4bK-ACK-1", "z9hG4bK-INVITE-1");
    dan.send(at, &ack).await;
    house.until_state(into, CallState::Ended).await;
    assert_eq!(house.engine.snapshot().calls.len(), calls);
}

#[tokio::test]
async fn a_dialog_that_fails_before_the_answer_tells_its_peer_too() {
    let (mut house, at) = carol(tone()).await;
    let fail = |house: &House, call: CallId| house.crash("carol", Child::Dialog(call));
    cancelled_after(&mut house, fail).await;
    refused_after(&mut house, at, fail).await;
    house.close().await;
}

#[tokio::test]
async fn the_peers_of_a_tenant_that_failed_hear_of_it() {
    let (mut house, at) = carol(tone()).await;
    let fail = |house: &House, _: CallId| house.crash("carol", Child::Tenant);
    cancelled_after(&mut house, fail).await;
    refused_after(&mut house, at, fail).await;
    // And one whose call is up.
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&dan.final_response().await);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    fail(&house, call);
    let (bye, from) = dan.request(Method::Bye).await;
    assert_eq!(from, at, "from the port that the call has");
    let from_header = bye.headers.from().expect("a From");
    assert_eq!(from_header.tag(), Some(tag.as_str()));
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    house.until_state(call, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn another_ringer_leaves_the_microphone_that_was_given_for_this_run() {
    let microphone = model::DeviceId::new("of-this-run");
    let given = microphone.clone();
    let mut house = House::start_with(Vec::new(), tone(), |config| {
        config.devices.capture = Some(given);
    })
    .await;
    let choose = |house: &House, ringer: &str| {
        house.engine.send(Command::ChooseDevice {
            role: model::DeviceRole::Ringer,
            device: Some(model::DeviceId::new(ringer)),
        });
    };
    choose(&house, "bell");
    house
        .until("it rings there", |s| {
            (s.devices.chosen_ringer.as_ref()?.as_str() == "bell").then_some(())
        })
        .await;
    // What is started anew takes what was chosen last.
    house.tell_phone(PhoneMsg::CrashDevices);
    house.until_notice("was started again").await;
    choose(&house, "another bell");
    let rings_there = |s: &Snapshot| {
        let devices = &s.devices;
        let there = devices.chosen_ringer.as_ref()?.as_str() == "another bell";
        there.then(|| devices.chosen_capture.clone())
    };
    let capture = house.until("it rings elsewhere", rings_there).await;
    assert_eq!(capture, Some(microphone));
    house.close().await;
}
