//! Requests of any method, with what is answered to them.

use model::{Answer, Command, Event, Failure, FailureKind, Private};
use sip_message::{HeaderName, Method};

use super::house::House;
use super::logins::{carol, challenge};
use super::peer::{Peer, answer};

fn request(house: &House, method: &str, target: String, headers: &[&str], body: &str) -> Command {
    Command::SendRequest {
        account: house.id_of("carol"),
        method: method.to_owned(),
        target: target.into(),
        headers: headers.iter().map(|line| Private::from(*line)).collect(),
        content_type: None,
        body: body.into(),
    }
}

/// What came of the request with this method.
async fn answered(house: &mut House, method: &str) -> (Option<Box<Answer>>, Option<Failure>) {
    let asked = method;
    house
        .until_event("it is answered", |event| match event {
            Event::RequestAnswered {
                method,
                answer,
                failure,
                ..
            } if method == asked => Some((answer.clone(), failure.clone())),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_request_of_an_unknown_method_logs_in_and_its_whole_answer_is_shown() {
    let proxy = Peer::bind().await;
    let at = proxy.local;
    let mut house =
        carol(move |settings| settings.proxy = Some(format!("sip:{at};lr").into())).await;
    let command = request(&house, "TELEPORT", "dan".to_owned(), &["Event: moon"], "up");
    house.engine.send(command);
    let teleport = || Method::parse("TELEPORT").expect("it is a token");
    let (first, from) = proxy.request(teleport()).await;
    challenge(&proxy, from, &first, 407, "asterisk").await;
    let (second, from) = proxy.request(teleport()).await;
    assert!(second.headers.has(HeaderName::ProxyAuthorization));
    assert_eq!(second.headers.get(HeaderName::Event), Some("moon"));
    assert_eq!(second.body, b"up");
    let reply = answer(&second, "299 Beamed", "X-Where: moon\r\n", "");
    proxy.send(from, &reply).await;
    let (shown, failure) = answered(&mut house, "TELEPORT").await;
    let shown = shown.expect("an answer");
    assert_eq!((shown.code, shown.phrase.reveal()), (299, "Beamed"));
    assert!(shown.headers.contains(&"X-Where: moon".into()));
    assert_eq!(failure, None);
    house.close().await;
}

#[tokio::test]
async fn a_refusal_is_an_answer_with_a_reason_and_what_cannot_be_sent_is_not() {
    let dan = Peer::bind().await;
    let mut house = carol(|_| {}).await;
    let target = format!("sip:dan@{}", dan.local);
    for (method, headers, said) in [
        ("INVITE", &[][..], "begins a call"),
        ("X\r\nVia: y", &[], "no method"),
        ("Y", &["A: b\r\nVia: c"], "not a header"),
    ] {
        let command = request(&house, method, target.clone(), headers, "");
        house.engine.send(command);
        let (shown, failure) = answered(&mut house, method).await;
        assert_eq!(shown, None);
        let failure = failure.expect("a reason");
        assert!(matches!(failure.what, FailureKind::BadRequest { .. }));
        assert!(
            failure.sentence().reveal().contains(said),
            "{}",
            failure.sentence().reveal()
        );
    }
    let command = request(&house, "Z", target, &[], "");
    house.engine.send(command);
    // The first that arrives is the one that could be sent.
    let (x, from) = dan.request(Method::Other("Z".into())).await;
    dan.send(from, &answer(&x, "501 Not Implemented", "", ""))
        .await;
    let (shown, failure) = answered(&mut house, "Z").await;
    assert_eq!(shown.map(|answer| answer.code), Some(501));
    let failure = failure.expect("a reason");
    assert!(matches!(
        failure.what,
        FailureKind::Status { code: 501, .. }
    ));
    house.close().await;
}
