//! What an account does with calls by itself.

use model::{
    AutoAnswer, CallId, CallPolicies, CallState, Command, DialogName, DoNotDisturb, FailureKind,
    Outcome, PrackPolicy, RedirectPolicy,
};
use sip_message::{HeaderName, Method, Response};

use super::house::{House, tone};
use super::peer::{Peer, SDP, answer, carol_with, to_tag, with};

async fn carol(change: impl Fn(&mut CallPolicies)) -> (House, std::net::SocketAddr) {
    carol_with(tone(), |settings| change(&mut settings.calls)).await
}

/// Calls carol with these headers as the only call, and hears the final answer.
async fn heard(change: impl Fn(&mut CallPolicies), headers: &str) -> (House, Response) {
    let (house, at) = carol(change).await;
    let dan = Peer::bind().await;
    dan.send(at, &with(&dan.says("INVITE", 1, None, SDP), headers))
        .await;
    let response = dan.final_response().await;
    (house, response)
}

/// A call of its own to carol from this peer.
async fn calls(dan: &Peer, at: std::net::SocketAddr, headers: &str) {
    dan.send(at, &with(&dan.says("INVITE", 1, None, SDP), headers))
        .await;
}

fn header(response: &Response, name: HeaderName) -> String {
    response.headers.get(name).unwrap_or_default().to_owned()
}

async fn until_filed(house: &mut House) -> Outcome {
    house
        .until("it is filed", |s| {
            s.history.first().map(|line| line.outcome)
        })
        .await
}

#[tokio::test]
async fn who_is_not_to_be_disturbed_is_not_and_finds_the_call_among_those_missed() {
    for (wish, code) in [(DoNotDisturb::Busy, 486), (DoNotDisturb::Unavailable, 480)] {
        let (mut house, response) = heard(|calls| calls.do_not_disturb = wish, "").await;
        assert_eq!(response.status.code(), code);
        assert_eq!(until_filed(&mut house).await, Outcome::Missed);
        assert_eq!(house.count_messages(true, "SIP/2.0 180"), 0, "nothing rang");
        house.close().await;
    }
}

#[tokio::test]
async fn calls_are_sent_on_with_who_did_it_and_why_and_not_in_circles() {
    let always = |calls: &mut CallPolicies| calls.forward_always = Some("bob@127.0.0.1".into());
    let (house, moved) = heard(always, "Supported: histinfo\r\n").await;
    assert_eq!(moved.status.code(), 302);
    assert_eq!(header(&moved, HeaderName::Contact), "<sip:bob@127.0.0.1>");
    assert_eq!(
        header(&moved, HeaderName::Diversion),
        "<sip:carol@127.0.0.1>;reason=unconditional;counter=1"
    );
    assert_eq!(
        header(&moved, HeaderName::HistoryInfo),
        "<sip:carol@127.0.0.1>;index=1, <sip:bob@127.0.0.1;cause=302>;index=1.1;mp=1"
    );
    house.close().await;
    for past in [
        "Diversion: <sip:carol@127.0.0.1>;reason=unconditional\r\n",
        "Diversion: <sip:x@127.0.0.1>;reason=unconditional;counter=5\r\n",
    ] {
        let (house, refused) = heard(always, past).await;
        assert_eq!(refused.status.code(), 480, "{past}");
        house.close().await;
    }
    let busy = |calls: &mut CallPolicies| {
        calls.do_not_disturb = DoNotDisturb::Busy;
        calls.forward_busy = Some("bob@127.0.0.1".into());
    };
    let (house, moved) = heard(busy, "Diversion: <sip:a@127.0.0.1>;reason=no-answer\r\n").await;
    let diversions: Vec<_> = moved.headers.get_all(HeaderName::Diversion).collect();
    assert_eq!(
        diversions,
        [
            "<sip:carol@127.0.0.1>;reason=user-busy;counter=1",
            "<sip:a@127.0.0.1>;reason=no-answer"
        ]
    );
    assert!(!moved.headers.has(HeaderName::HistoryInfo), "nobody asked");
    house.close().await;
}

#[tokio::test]
async fn a_call_that_nobody_takes_is_sent_on_after_the_time_that_is_set() {
    let later = |calls: &mut CallPolicies| {
        calls.forward_no_answer = Some("bob@127.0.0.1".into());
        calls.forward_after_s = 1;
    };
    let (house, at) = carol(later).await;
    let dan = Peer::bind().await;
    calls(&dan, at, "").await;
    let response = dan.final_response().await;
    assert_eq!(response.status.code(), 302);
    assert!(header(&response, HeaderName::Diversion).contains("reason=no-answer"));
    assert_eq!(house.count_messages(true, "SIP/2.0 180"), 1, "it rang");
    house.close().await;
}

#[tokio::test]
async fn an_account_with_as_many_calls_as_it_carries_is_busy() {
    let (mut house, at) = carol(|calls| calls.most_calls = 1).await;
    let (dan, eve) = (Peer::bind().await, Peer::bind().await);
    calls(&dan, at, "").await;
    house.until_ringing().await;
    calls(&eve, at, "").await;
    assert_eq!(eve.final_response().await.status.code(), 486);
    house.close().await;
}

#[tokio::test]
async fn calls_that_ask_for_it_are_taken_without_a_hand_where_that_is_set() {
    let asks = [
        "Call-Info: <sip:127.0.0.1>;answer-after=0\r\n",
        "Alert-Info: <http://127.0.0.1>;info=alert-autoanswer\r\n",
        "Answer-Mode: Auto\r\n",
        "Priv-Answer-Mode: Auto\r\n",
    ];
    for headers in asks {
        let when_asked = |calls: &mut CallPolicies| calls.auto_answer = AutoAnswer::WhenAsked;
        let (mut house, response) = heard(when_asked, headers).await;
        assert_eq!(response.status.code(), 200, "{headers}");
        // RFC 5373 §4.3: who said how it wants to be taken hears how it was.
        for name in ["Answer-Mode", "Priv-Answer-Mode"] {
            let said = response.headers.get(HeaderName::from(name));
            let asked = headers.starts_with(&format!("{name}:"));
            assert_eq!(said, asked.then_some("Auto"), "{headers}");
        }
        house
            .until("it is shown to be taken so", |s| {
                s.calls.first()?.details.auto_answered.then_some(())
            })
            .await;
        house.close().await;
    }
    // Nobody asked, or a hand is wanted, or it is not set: it rings.
    for (policy, headers) in [
        (AutoAnswer::WhenAsked, ""),
        (AutoAnswer::Always, "Answer-Mode: Manual\r\n"),
        (AutoAnswer::Never, asks[0]),
    ] {
        let (mut house, at) = carol(|calls| calls.auto_answer = policy).await;
        let dan = Peer::bind().await;
        calls(&dan, at, headers).await;
        let call = house.until_ringing().await;
        let nothing = tokio::time::timeout(std::time::Duration::from_millis(300), async {
            house.until_state(call, CallState::Connected).await
        });
        assert!(nothing.await.is_err(), "{policy:?} {headers}");
        house.close().await;
    }
    let (house, response) = heard(|_| {}, "Answer-Mode: Auto;require\r\n").await;
    assert_eq!(response.status.code(), 403);
    house.close().await;
}

/// RFC 5373 §5: who requires that we understand how it wants to be taken is not told that we do not.
#[tokio::test]
async fn rfc5373_answermode_may_be_required_and_is_told_of() {
    let when_asked = |calls: &mut CallPolicies| calls.auto_answer = AutoAnswer::WhenAsked;
    let required = "Require: answermode\r\nAnswer-Mode: Auto;require\r\n";
    let (house, response) = heard(when_asked, required).await;
    assert_eq!(response.status.code(), 200);
    assert_eq!(header(&response, HeaderName::AnswerMode), "Auto");
    assert!(header(&response, HeaderName::Supported).contains("answermode"));
    house.close().await;
    // Understood, and not done: nobody has allowed it.
    let (house, response) = heard(|_| {}, required).await;
    assert_eq!(response.status.code(), 403);
    house.close().await;
    // Whoever requires the extension and a hand gets both.
    let (mut house, at) = carol(when_asked).await;
    let dan = Peer::bind().await;
    let manual = "Require: answermode\r\nAnswer-Mode: Manual;require\r\n";
    calls(&dan, at, manual).await;
    house.until_ringing().await;
    let asks = Peer::bind().await;
    asks.send(at, &asks.says("OPTIONS", 1, None, "")).await;
    let told = asks.final_response().await;
    assert!(header(&told, HeaderName::Supported).contains("answermode"));
    house.close().await;
}

#[tokio::test]
async fn a_call_that_is_up_is_never_put_aside_for_one_that_takes_itself() {
    let (mut house, at) = carol(|calls| calls.auto_answer = AutoAnswer::Always).await;
    let (dan, eve) = (Peer::bind().await, Peer::bind().await);
    calls(&dan, at, "").await;
    let response = dan.final_response().await;
    let tag = to_tag(&response);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(CallId(1), CallState::Connected).await;
    calls(&eve, at, "").await;
    let second = house.until_ringing().await;
    house.until_message(true, "SIP/2.0 180").await;
    assert_eq!(house.call(second).state, CallState::Ringing);
    assert_eq!(house.call(CallId(1)).state, CallState::Connected);
    house.close().await;
}

/// Carol calls a peer that sends her elsewhere: to a second one.
async fn sent_elsewhere(policy: RedirectPolicy) -> (House, CallId, Peer) {
    let (mut house, _) = carol(|calls| calls.redirects = policy).await;
    let (dan, eve) = (Peer::bind().await, Peer::bind().await);
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    let contact = format!(
        "Contact: <sip:dan@{}>;q=1, <sip:eve@{}>;q=0.5\r\n",
        dan.local, eve.local
    );
    let moved = answer(&invite, "302 Moved Temporarily", &contact, "");
    dan.send(from, &moved).await;
    (house, call, eve)
}

#[tokio::test]
async fn the_user_chooses_where_to_go_when_a_call_is_sent_elsewhere() {
    let (mut house, call, eve) = sent_elsewhere(RedirectPolicy::Ask).await;
    let redirect = house
        .until("the user is asked", |s| s.calls.first()?.redirect.clone())
        .await;
    assert_eq!(redirect.targets.len(), 2);
    assert_eq!(redirect.followed, None);
    // Where it was already is no choice.
    house
        .engine
        .send(Command::FollowRedirect { call, target: 0 });
    house.until_notes("this place cannot be called", 1).await;
    house
        .engine
        .send(Command::FollowRedirect { call, target: 1 });
    let (invite, from) = eve.request(Method::Invite).await;
    assert!(invite.uri.to_string().starts_with("sip:eve@"));
    let more = format!(
        "Contact: <sip:eve@{}>\r\nContent-Type: application/sdp\r\n",
        eve.local
    );
    eve.send(from, &answer(&invite, "200 OK", &more, SDP)).await;
    let view = house.until_state(call, CallState::Connected).await;
    assert_eq!(view.remote.title(), "eve");
    assert_eq!(view.redirect.and_then(|r| r.followed), Some(1));
    house.close().await;
}

#[tokio::test]
async fn a_call_that_is_sent_elsewhere_goes_there_or_ends_as_set() {
    let (house, _, eve) = sent_elsewhere(RedirectPolicy::Always).await;
    eve.request(Method::Invite).await;
    house.close().await;
    let (mut house, call, _) = sent_elsewhere(RedirectPolicy::Never).await;
    let view = house.until_state(call, CallState::Ended).await;
    assert_eq!(view.last_status.map(|(code, _)| code), Some(302));
    house.close().await;
    let (mut house, call, _) = sent_elsewhere(RedirectPolicy::Ask).await;
    house
        .until("the user is asked", |s| s.calls.first()?.redirect.clone())
        .await;
    house.engine.send(Command::DeclineRedirect { call });
    let view = house.until_state(call, CallState::Ended).await;
    let failure = view.failure.expect("it was sent elsewhere and did not go");
    assert_eq!(failure.code(), Some(302));
    assert!(
        failure.sentence().reveal().contains("sip:eve@"),
        "{failure:?}"
    );
    house.close().await;
}

#[tokio::test]
async fn a_call_that_always_follows_and_is_sent_in_circles_ends() {
    let (mut house, _) = carol(|calls| calls.redirects = RedirectPolicy::Always).await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    let contact = format!("Contact: <sip:dan@{}>\r\n", dan.local);
    let moved = answer(&invite, "302 Moved Temporarily", &contact, "");
    dan.send(from, &moved).await;
    let view = house.until_state(call, CallState::Ended).await;
    assert_eq!(view.failure.and_then(|failure| failure.code()), Some(302));
    house.close().await;
}

/// RFC 3326 §3.1: who took the call is said with the CANCEL, and then nobody missed it.
#[tokio::test]
async fn a_call_that_another_phone_took_is_not_missed() {
    for (reason, outcome, says) in [
        ("", Outcome::Missed, None),
        (
            "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n",
            Outcome::Elsewhere,
            Some("Another phone took the call."),
        ),
    ] {
        let (mut house, at) = carol(|_| {}).await;
        let dan = Peer::bind().await;
        calls(&dan, at, "").await;
        let call = house.until_ringing().await;
        let cancel = dan.says("CANCEL", 1, None, "");
        let cancel = cancel.replace("z9hG4bK-CANCEL-1", "z9hG4bK-INVITE-1");
        dan.send(at, &with(&cancel, reason)).await;
        let view = house.until_state(call, CallState::Ended).await;
        assert_eq!(view.why_ended().as_ref().map(model::Sentence::reveal), says);
        assert_eq!(until_filed(&mut house).await, outcome);
        house.close().await;
    }
}

/// RFC 3326 §2: one value for each protocol, and also one header for each value.
#[tokio::test]
async fn who_hangs_up_with_a_reason_is_quoted() {
    let (mut house, at) = carol(|calls| calls.auto_answer = AutoAnswer::Always).await;
    let dan = Peer::bind().await;
    calls(&dan, at, "").await;
    let tag = to_tag(&dan.final_response().await);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    let bye = dan.says("BYE", 2, Some(&tag), "");
    let reasons = "Reason: Q.850;cause=41\r\nReason: SIP;cause=503;text=\"Media gone\"\r\n";
    dan.send(at, &with(&bye, reasons)).await;
    let view = house
        .until("it has ended", |s| {
            let call = s.calls.first()?;
            (call.state == CallState::Ended).then(|| call.clone())
        })
        .await;
    assert_eq!(view.failure, None);
    assert_eq!(
        view.why_ended().as_ref().map(model::Sentence::reveal),
        Some(
            "They hung up: a temporary failure in the network (Q.850 cause 41); “Media gone” (SIP 503)."
        )
    );
    let filed = house
        .until("it is filed", |s| s.history.first().cloned())
        .await;
    assert_eq!(filed.outcome, Outcome::Answered);
    assert_eq!(filed.sentence, view.why_ended());
    house.close().await;
}

#[tokio::test]
async fn session_timers_and_acknowledged_ringing_are_asked_for_as_set() {
    for (policy, session, supported, require) in [
        (CallPolicies::default(), Some("1800"), "100rel", ""),
        (
            CallPolicies {
                session_expires_s: 600,
                prack: PrackPolicy::Required,
                ..CallPolicies::default()
            },
            Some("600"),
            "100rel",
            "100rel",
        ),
        (
            CallPolicies {
                session_timers: false,
                prack: PrackPolicy::Off,
                ..CallPolicies::default()
            },
            None,
            "",
            "",
        ),
    ] {
        let (mut house, _) = carol(|calls| *calls = policy.clone()).await;
        let dan = Peer::bind().await;
        house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
        let (invite, _) = dan.request(Method::Invite).await;
        let text = |name: HeaderName| invite.headers.get(name).unwrap_or_default().to_owned();
        let expires = invite.headers.get(HeaderName::SessionExpires);
        assert_eq!(expires, session);
        assert_eq!(
            text(HeaderName::Supported).contains("timer"),
            session.is_some()
        );
        assert!(text(HeaderName::Supported).contains(supported));
        assert_eq!(
            text(HeaderName::Supported).contains("100rel"),
            !supported.is_empty()
        );
        assert_eq!(text(HeaderName::Require), require);
        house.close().await;
    }
}

#[tokio::test]
async fn the_last_one_who_was_called_is_called_again() {
    let (mut house, _) = carol(|_| {}).await;
    let dan = Peer::bind().await;
    let account = house.id_of("carol");
    house.engine.send(Command::Redial {
        account: account.clone(),
    });
    house.until_notice("nobody to call again").await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    dan.send(from, &answer(&invite, "486 Busy Here", "", ""))
        .await;
    house.until_state(call, CallState::Ended).await;
    house.engine.send(Command::DismissCall { call });
    house.engine.send(Command::Redial { account });
    loop {
        let (again, _) = dan.request(Method::Invite).await;
        if again.headers.get(HeaderName::CallId) != invite.headers.get(HeaderName::CallId) {
            assert_eq!(again.uri, invite.uri);
            break;
        }
    }
    house.close().await;
}

#[tokio::test]
async fn a_call_that_rings_elsewhere_is_taken_from_there_while_nobody_has_it() {
    let (house, _) = carol(|_| {}).await;
    let dan = Peer::bind().await;
    house.engine.send(Command::PickUp {
        account: house.id_of("carol"),
        target: format!("sip:dan@{}", dan.local).as_str().into(),
        dialog: DialogName {
            call_id: "ringing-there".to_owned(),
            local_tag: "theirs".to_owned(),
            remote_tag: "dans".to_owned(),
        },
    });
    let (invite, _) = dan.request(Method::Invite).await;
    let replaces = invite.headers.replaces().expect("it has a Replaces");
    assert_eq!(replaces.call_id, "ringing-there");
    assert_eq!((&*replaces.to_tag, &*replaces.from_tag), ("dans", "theirs"));
    assert!(replaces.early_only);
    assert!(header_of(&invite, HeaderName::Require).contains("replaces"));
    house.close().await;
}

fn header_of(request: &sip_message::Request, name: HeaderName) -> String {
    request.headers.get(name).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn headers_for_one_call_go_out_and_those_that_make_a_call_do_not() {
    let (mut house, _) = carol(|_| {}).await;
    let dan = Peer::bind().await;
    let place = |headers: &[&str]| Command::PlaceCall {
        account: house.id_of("carol"),
        target: format!("sip:dan@{}", dan.local).as_str().into(),
        headers: headers.iter().map(|line| (*line).into()).collect(),
        direction: model::MediaDirection::Both,
    };
    let good = place(&["X-Room: 42"]);
    let bad = [
        "Via: SIP/2.0/UDP 9.9.9.9",
        "Route: <sip:9.9.9.9;lr>",
        "From: <sip:forged@bank>",
        "Replaces: a;to-tag=b;from-tag=c",
        "X-A: a\r\nX-Evil: 1",
        "NoColon",
    ]
    .map(|line| place(&[line]));
    house.engine.send(good);
    let (invite, _) = dan.request(Method::Invite).await;
    assert_eq!(header_of(&invite, HeaderName::Other("X-Room".into())), "42");
    for (command, call) in bad.into_iter().zip(2..) {
        house.engine.send(command);
        let view = house.until_state(CallId(call), CallState::Ended).await;
        let failure = view.failure.expect("there is a reason");
        assert!(matches!(failure.what, FailureKind::BadHeader { .. }));
    }
    house.close().await;
}

#[tokio::test]
async fn requests_leave_and_answers_come_as_the_rules_of_the_account_want_them() {
    let (mut house, _) = carol_with(tone(), |settings| {
        let rules = [
            "out INVITE add X-Room: 42",
            "out * set User-Agent: Desk 7",
            "out ACK compact",
            "in INVITE remove Reason",
        ];
        settings.header_rules = rules.map(Into::into).to_vec();
    })
    .await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    assert_eq!(header_of(&invite, HeaderName::Other("X-Room".into())), "42");
    assert_eq!(header_of(&invite, HeaderName::UserAgent), "Desk 7");
    let refusal = answer(&invite, "486 Busy Here", "Reason: Q.850;cause=17\r\n", "");
    dan.send(from, &refusal).await;
    let ack = dan.octets().await.expect("an ACK comes");
    let ack = String::from_utf8_lossy(&ack).into_owned();
    assert!(ack.starts_with("ACK ") && ack.contains("\r\nv: "), "{ack}");
    let view = house.until_state(call, CallState::Ended).await;
    assert!(view.failure.is_some());
    // The record shows what was sent, and that an answer was changed.
    house.until_message(true, "X-Room: 42").await;
    house.until_notes("Reason removed", 1).await;
    house.close().await;
}

#[tokio::test]
async fn requests_that_cannot_be_meant_for_a_phone_are_refused_with_the_right_code() {
    let (house, at) = carol(|_| {}).await;
    let dan = Peer::bind().await;
    let carols = "sip:carol@127.0.0.1 SIP/2.0";
    for (method, uri, headers, body, code) in [
        ("OPTIONS", "http://example.com/x", "", "", 416),
        ("INVITE", "http://example.com/x", "", SDP, 416),
        ("INVITE", "sips:carol@127.0.0.1", "", SDP, 403),
        (
            "INVITE",
            "sip:carol@127.0.0.1",
            "Content-Encoding: gzip\r\n",
            SDP,
            415,
        ),
        (
            "REFER",
            "sip:carol@127.0.0.1",
            "Refer-To: <sip:x@y>\r\n",
            "",
            403,
        ),
    ] {
        let text = dan.says(method, u32::from(code), None, body);
        let text = text.replacen(carols, &format!("{uri} SIP/2.0"), 1);
        dan.send(at, &with(&text, headers)).await;
        let response = dan.final_response().await;
        assert_eq!(response.status.code(), code, "{method} {uri} {headers}");
        if code == 415 {
            assert_eq!(header(&response, HeaderName::AcceptEncoding), "identity");
        }
    }
    house.close().await;
}
