//! Why something failed: what a person is told, and what we tell a peer.

use std::net::SocketAddr;
use std::time::Duration;

use model::{
    AccountView, CallState, Command, Failure, FailureKind, OwedDescription, RegistrationState,
};
use sip_message::{Method, Request, StatusCode};

use super::house::{House, account, tenant, tone};
use super::logins;
use super::peer::{Peer, SDP, answer, carol, free_addr, to_tag, with};
use super::watching::at_server;

/// More Contacts than a message may have header lines.
const CROWD: usize = 900;

async fn told(house: &mut House, call: model::CallId) -> (Failure, String) {
    let ended = house.until_state(call, CallState::Ended).await;
    let failure = ended.failure.expect("it says why");
    let sentence = failure.sentence().into_revealed();
    (failure, sentence)
}

async fn until_account(house: &mut House, state: RegistrationState) -> (AccountView, Failure) {
    let fits = |s: &model::Snapshot| {
        let account = s.accounts.iter().find(|account| account.state == state)?;
        Some((account.clone(), account.failure.clone()?))
    };
    house.until(&format!("{state:?} with a reason"), fits).await
}

/// Lets protocol time go by.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// RFC 3261 §13.2.1: the answer is in the 2xx at the latest. §13.2.2.4: a 2xx is acknowledged, whatever it says.
#[tokio::test]
async fn a_call_that_is_taken_without_an_answer_to_our_offer_says_what_is_missing() {
    let (mut house, _) = carol(tone()).await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    assert!(!invite.body.is_empty(), "it holds the offer");
    let contact = format!("Contact: <sip:dan@{}>\r\n", dan.local);
    dan.send(from, &answer(&invite, "200 OK", &contact, ""))
        .await;
    dan.request(Method::Ack).await;
    dan.request(Method::Bye).await;
    let (failure, sentence) = told(&mut house, call).await;
    let owed = OwedDescription::Answer;
    assert_eq!(failure.what, FailureKind::DescriptionMissing { owed });
    assert!(sentence.contains("has not said where to send sound"));
    assert!(sentence.contains("owes an answer"), "{sentence}");
    assert!(!sentence.contains("codec") && !sentence.contains("format"));
    house.close().await;
}

/// RFC 3261 §13.2.1: where the offer is in the 2xx, the answer is in the ACK.
#[tokio::test]
async fn a_caller_whose_ack_owes_an_answer_is_told_of_and_hung_up_on() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, "")).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let ok = dan.final_response().await;
    assert!(!ok.body.is_empty(), "it holds the offer");
    dan.send(at, &dan.says("ACK", 1, Some(&to_tag(&ok)), ""))
        .await;
    dan.request(Method::Bye).await;
    let (failure, sentence) = told(&mut house, call).await;
    let owed = OwedDescription::AnswerInAck;
    assert_eq!(failure.what, FailureKind::DescriptionMissing { owed });
    assert!(sentence.contains("its ACK owes an answer"), "{sentence}");
    house.close().await;
}

/// RFC 3261 §13.3.1.4: after 64·T1 without an ACK a BYE ends it.
#[tokio::test]
async fn a_caller_that_never_acknowledges_is_not_told_as_a_silent_server() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    dan.final_response().await;
    pass(33).await;
    dan.request(Method::Bye).await;
    let (failure, sentence) = told(&mut house, call).await;
    assert_eq!(failure.what, FailureKind::NotAcknowledged);
    assert!(sentence.contains("never confirmed"), "{sentence}");
    house.close().await;
}

fn without(request: &str, name: &str) -> String {
    let start = format!("{name}:");
    let lines = request.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with(&start)).collect()
}

fn instead(request: &str, name: &str, value: &str) -> String {
    with(&without(request, name), &format!("{name}: {value}\r\n"))
}

/// What a 400 says has to name what is wrong.
async fn assert_named(peer: &Peer, what: &str, phrase: &str) {
    let response = peer.final_response().await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST, "{what}");
    assert_eq!(response.reason, phrase, "{what}");
}

/// RFC 3261 §21.4.1: "The Reason-Phrase SHOULD identify the syntax problem in more detail".
#[tokio::test]
async fn a_400_of_ours_names_the_header_that_is_missing_or_malformed() {
    let (house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let mut cseq = 0;
    let mut says = |method: &str, body: &str| {
        cseq += 1;
        dan.says(method, cseq, None, body)
    };
    let mut cases = Vec::new();
    for method in ["INVITE", "OPTIONS", "BYE", "MESSAGE"] {
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let request = without(&says(method, ""), name);
            cases.push((request, format!("Missing {name} Header")));
        }
        let forwards = says(method, "").replace("Max-Forwards: 70", "Max-Forwards: 256");
        cases.push((forwards, "Malformed Max-Forwards Header".to_owned()));
        let from =
            says(method, "").replace("From: <sip:dan@127.0.0.1>", "From: <sip:dan@127.0.0.1");
        cases.push((from, "Malformed From Header".to_owned()));
    }
    for (name, value, phrase) in [
        ("Contact", "<sip:", "Malformed Contact Header"),
        (
            "Contact",
            "<mailto:dan@example.com>",
            "No SIP URI in Contact Header",
        ),
        ("Replaces", "none", "Malformed Replaces Header"),
        (
            "Replaces",
            "a;to-tag=b;from-tag=c\r\nReplaces: d;to-tag=e;from-tag=f",
            "Repeated Replaces Header",
        ),
        ("Join", "none", "Malformed Join Header"),
        (
            "Join",
            "a;to-tag=b;from-tag=c\r\nJoin: d;to-tag=e;from-tag=f",
            "Repeated Join Header",
        ),
        (
            "Replaces",
            "a;to-tag=b;from-tag=c\r\nJoin: d;to-tag=e;from-tag=f",
            "Replaces and Join Header Together",
        ),
    ] {
        let request = instead(&says("INVITE", SDP), name, value);
        cases.push((request, phrase.to_owned()));
    }
    cases.push((
        without(&says("INVITE", SDP), "Contact"),
        "Missing Contact Header".to_owned(),
    ));
    cases.push((
        without(&says("MESSAGE", "hello"), "Content-Type"),
        "Missing Content-Type Header".to_owned(),
    ));
    let kind = instead(&says("MESSAGE", "hello"), "Content-Type", "nonsense");
    cases.push((kind, "Malformed Content-Type Header".to_owned()));
    let wrapped = instead(&says("MESSAGE", "hello"), "Content-Type", "message/cpim");
    cases.push((wrapped, "Malformed CPIM Body".to_owned()));
    for (host, (request, phrase)) in cases.into_iter().enumerate() {
        // Strangers get so many answers each.
        let peer = Peer::bind_at(&format!("127.0.1.{}", host + 1)).await;
        let request = request.replace(&dan.local.to_string(), &peer.local.to_string());
        peer.send(at, &request).await;
        assert_named(&peer, &request, &phrase).await;
        // A repeat hears the same.
        peer.send(at, &request).await;
        assert_named(&peer, &request, &phrase).await;
    }
    house.close().await;
}

/// The same within a call (RFC 3515 §2.4.2 on Refer-To).
#[tokio::test]
async fn a_400_within_a_call_names_the_header_too() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let tag = to_tag(&dan.final_response().await);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    house.until_state(call, CallState::Connected).await;
    let refer = |cseq, headers: &str| with(&dan.says("REFER", cseq, Some(&tag), ""), headers);
    for (request, phrase) in [
        (refer(2, ""), "Missing Refer-To Header"),
        (refer(3, "Refer-To: <sip:\r\n"), "Malformed Refer-To Header"),
        (
            refer(
                4,
                "Refer-To: <sip:eve@127.0.0.1>\r\nRefer-To: <sip:eve@127.0.0.2>\r\n",
            ),
            "Repeated Refer-To Header",
        ),
        (
            refer(5, "Refer-To: <sip:eve@127.0.0.1?Replaces=nothing>\r\n"),
            "Malformed Replaces in Refer-To Header",
        ),
        (
            dan.says("UPDATE", 6, Some(&tag), SDP)
                .replace("Max-Forwards: 70", "Max-Forwards: x"),
            "Malformed Max-Forwards Header",
        ),
    ] {
        dan.send(at, &request).await;
        assert_named(&dan, &request, phrase).await;
    }
    // None of it has cost the call.
    assert_eq!(house.call(call).state, CallState::Connected);
    house.close().await;
}

/// Answers each REGISTER with a challenge that calls the login stale, with another nonce each time or with one for ever.
async fn stale_for_ever(server: Peer, fresh: bool) {
    for round in 0_u32.. {
        let (request, from) = server.request(Method::Register).await;
        let nonce = if fresh { round } else { 0 };
        let stale = if round == 0 { "" } else { ", stale=true" };
        let more = format!(
            "WWW-Authenticate: Digest realm=\"pbx\", nonce=\"n{nonce}\", qop=\"auth\"{stale}\r\n"
        );
        server
            .send(from, &answer(&request, "401 Unauthorized", &more, ""))
            .await;
    }
}

/// RFC 7616 §3.3: `stale` is about the nonce; the user need not be asked for another password.
#[tokio::test]
async fn a_registrar_that_calls_each_nonce_stale_is_told_as_such_and_tried_again() {
    for fresh in [true, false] {
        let server = Peer::bind().await;
        let given = at_server(server.local, |_| {});
        let answering = tokio::spawn(stale_for_ever(server, fresh));
        let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
        let (account, failure) = until_account(&mut house, RegistrationState::Silent).await;
        let realm = "pbx".to_owned();
        assert_eq!(failure.what, FailureKind::LoginStale { realm }, "{fresh}");
        let sentence = failure.sentence().into_revealed();
        assert!(sentence.contains("(stale)"), "{sentence}");
        assert!(account.retry_at.is_some(), "a clock can be set right");
        let asked = house.engine.snapshot().logins.len();
        assert_eq!(asked, 0, "nobody is asked for a password");
        answering.abort();
        house.close().await;
    }
}

/// The same in a call.
#[tokio::test]
async fn a_call_whose_login_is_called_stale_again_and_again_says_so() {
    let proxy = Peer::bind().await;
    let at = proxy.local;
    let change = move |settings: &mut model::AccountSettings| {
        settings.proxy = Some(format!("sip:{at};lr").into());
    };
    let mut house = logins::carol(change).await;
    let call = house.dial("carol", "dan").await;
    for round in 0..5 {
        let (invite, from) = proxy.request(Method::Invite).await;
        let stale = if round == 0 { "" } else { ", stale=true" };
        let more = format!(
            "Proxy-Authenticate: Digest realm=\"pbx\", nonce=\"n{round}\", qop=\"auth\"{stale}\r\n"
        );
        let line = "407 Proxy Authentication Required";
        proxy.send(from, &answer(&invite, line, &more, "")).await;
        proxy.request(Method::Ack).await;
    }
    let (failure, sentence) = told(&mut house, call).await;
    let realm = "pbx".to_owned();
    assert_eq!(failure.what, FailureKind::LoginStale { realm });
    assert!(!sentence.contains("Password not accepted"), "{sentence}");
    house.close().await;
}

/// RFC 3261 §21.4.17: a 423 names the least time. §10.2.8: without that nobody knows what to ask for.
#[tokio::test]
async fn a_registrar_that_wants_longer_and_does_not_say_how_long_is_told_as_such() {
    for (more, least, words) in [
        ("", None, "does not say how long"),
        ("Min-Expires: 10\r\n", Some(10), "although it names 10 s"),
    ] {
        let server = Peer::bind().await;
        let given = at_server(server.local, |settings| settings.expires_s = 300);
        let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
        let (register, from) = server.request(Method::Register).await;
        server
            .send(from, &answer(&register, "423 Interval Too Brief", more, ""))
            .await;
        let (_, failure) = until_account(&mut house, RegistrationState::Refused).await;
        assert_eq!(
            failure.what,
            FailureKind::IntervalTooBrief {
                asked_s: 300,
                least_s: least
            }
        );
        assert_eq!(failure.code(), Some(423));
        let sentence = failure.sentence().into_revealed();
        assert!(sentence.contains(words), "{sentence}");
        assert!(sentence.contains(&server.local.to_string()), "{sentence}");
        house.close().await;
    }
}

/// RFC 4028 §6 and §7.3: a 422 names the least interval, and who is told one that is longer asks for that.
#[tokio::test]
async fn a_callee_that_wants_rarer_refreshes_is_told_by_what_it_refused() {
    let (mut house, _) = carol(tone()).await;
    let dan = Peer::bind().await;
    for (min_se, asked_s, least_s, lengthened, words) in [
        ("", 1800, None, false, "does not say how often"),
        (
            "Min-SE: 90\r\n",
            1800,
            Some(90),
            false,
            "names 90 s as the least",
        ),
        (
            "Min-SE: 3600\r\n",
            3600,
            Some(3600),
            true,
            "refused also the 3600 s that it had named itself",
        ),
    ] {
        let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
        for _ in 0..=usize::from(lengthened) {
            let (invite, from) = dan.request(Method::Invite).await;
            let short = answer(&invite, "422 Session Interval Too Small", min_se, "");
            dan.send(from, &short).await;
            dan.request(Method::Ack).await;
        }
        let (failure, sentence) = told(&mut house, call).await;
        assert_eq!(
            failure.what,
            FailureKind::SessionTooShort {
                phrase: "Session Interval Too Small".into(),
                asked_s: Some(asked_s),
                least_s,
                lengthened,
            }
        );
        assert!(sentence.contains(words), "{sentence}");
        assert!(sentence.contains(&dan.local.to_string()), "{sentence}");
    }
    house.close().await;
}

/// An answer with far more Contacts than are read.
fn crowded(request: &Request, line: &str) -> String {
    let contacts: String = (0..CROWD)
        .map(|n| format!("Contact: <sip:carol@192.0.2.1:{n}>\r\n"))
        .collect();
    answer(request, line, &contacts, "")
}

async fn answered_unreadably(by_another: bool) -> (Failure, SocketAddr) {
    let server = Peer::bind().await;
    let given = at_server(server.local, |_| {});
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let (register, from) = server.request(Method::Register).await;
    let text = crowded(&register, "200 OK");
    if by_another {
        let another = Peer::bind().await;
        another.send(from, &text).await;
    } else {
        server.send(from, &text).await;
    }
    house
        .until_message(false, "Contact: <sip:carol@192.0.2.1:1>")
        .await;
    // Timer F.
    pass(33).await;
    let (account, failure) = until_account(&mut house, RegistrationState::Silent).await;
    assert!(account.retry_at.is_some(), "it is tried again");
    house.close().await;
    (failure, server.local)
}

#[tokio::test]
async fn a_registrar_whose_answer_cannot_be_read_is_not_told_as_silent() {
    let (failure, server) = answered_unreadably(false).await;
    assert!(matches!(failure.what, FailureKind::BadAnswer { .. }));
    let sentence = failure.sentence().into_revealed();
    assert!(sentence.contains("too many headers"), "{sentence}");
    assert!(sentence.contains(&server.to_string()), "{sentence}");
}

#[tokio::test]
async fn what_somebody_else_says_unreadably_is_not_put_down_to_a_silent_registrar() {
    let (failure, server) = answered_unreadably(true).await;
    assert!(
        matches!(&failure.what, FailureKind::NoAnswer { asked: Some(asked) }
        if asked.contains(&server.to_string())),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_call_that_is_taken_by_an_answer_that_cannot_be_read_says_so() {
    let (mut house, _) = carol(tone()).await;
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    dan.send(from, &crowded(&invite, "200 OK")).await;
    house
        .until_message(false, "Contact: <sip:carol@192.0.2.1:1>")
        .await;
    // Timer B.
    pass(33).await;
    let (failure, sentence) = told(&mut house, call).await;
    assert!(matches!(failure.what, FailureKind::BadAnswer { .. }));
    assert!(sentence.contains("too many headers"), "{sentence}");
    house.close().await;
}

/// A call that our own time to ring ends: each answer comes from the callee or from somebody else. What is said of it.
async fn rung_out(answers: impl Fn(&Request) -> Vec<(bool, String)>) -> Failure {
    let carol = account("sip:carol@127.0.0.1", free_addr(), |settings| {
        settings.register = false;
        settings.proxy = None;
    });
    let given = vec![tenant("Solo", vec![carol])];
    let limit = Duration::from_secs(20);
    let mut house = House::start_with(given, tone(), |c| c.ring_limit = Some(limit)).await;
    house
        .until("carol is there", |s| s.accounts.first().map(|_| ()))
        .await;
    let (dan, eve) = (Peer::bind().await, Peer::bind().await);
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    for (number, (by_callee, answer)) in answers(&invite).into_iter().enumerate() {
        let peer = if by_callee { &dan } else { &eve };
        let mark = format!("Subject: answer {number}");
        let text = answer.replacen("Via:", &format!("{mark}\r\nVia:"), 1);
        peer.send(from, &text).await;
        house.until_message(false, &mark).await;
    }
    pass(21).await;
    let (failure, _) = told(&mut house, call).await;
    house.close().await;
    failure
}

fn rings(invite: &Request) -> String {
    answer(invite, "180 Ringing", "", "")
}

/// RFC 3261 §8.1.1.7 and §17.1.3: an answer belongs to the request with its branch.
#[tokio::test]
async fn a_call_that_rings_out_is_put_down_to_a_broken_answer_only_where_that_was_to_end_it() {
    let is_broken = |failure: &Failure| matches!(failure.what, FailureKind::BadAnswer { .. });
    // It rang, and what another phone said besides changes nothing.
    let besides = |invite: &Request| crowded(invite, "183 Session Progress");
    for by_callee in [true, false] {
        let failure = rung_out(|i| vec![(true, rings(i)), (by_callee, besides(i))]).await;
        assert_eq!(failure.what, FailureKind::NotPickedUp, "{by_callee}");
    }
    // Nothing else was heard of it, or it was taken.
    let failure = rung_out(|i| vec![(true, besides(i))]).await;
    assert!(is_broken(&failure), "{failure:?}");
    let failure = rung_out(|i| vec![(true, rings(i)), (true, crowded(i, "200 OK"))]).await;
    assert!(is_broken(&failure), "{failure:?}");
    // It answers nothing that was asked, whatever its branch begins with.
    let guessed = |invite: &Request| {
        let via = invite.headers.via_top().expect("it has one");
        let branch = via.branch().expect("it has one");
        crowded(invite, "200 OK").replace(branch, "z9hG4bKguessed")
    };
    let failure = rung_out(|i| vec![(true, guessed(i))]).await;
    assert!(!is_broken(&failure), "{failure:?}");
    let failure = rung_out(|i| vec![(true, rings(i)), (false, guessed(i))]).await;
    assert_eq!(failure.what, FailureKind::NotPickedUp);
}
