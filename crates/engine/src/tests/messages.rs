//! Text messages, out and in.

use model::{Command, FailureKind, MessageState, MessageView};
use sip_message::{HeaderName, Method};

use super::house::{House, account, switchboard, tenant, tone};
use super::peer::{Peer, answer, carol};
use crate::CallMedia;

async fn until_message(
    house: &mut House,
    what: &str,
    fits: impl Fn(&MessageView) -> bool,
) -> MessageView {
    house
        .until(what, |s| s.messages.iter().find(|m| fits(m)).cloned())
        .await
}

fn say(house: &House, to: &Peer, text: &str) {
    house.engine.send(Command::SendMessage {
        account: house.id_of("carol"),
        to: format!("sip:dan@{}", to.local).into(),
        text: text.into(),
    });
}

/// RFC 3428 §4 and §8.
#[tokio::test]
async fn a_message_is_on_its_way_and_then_delivered_stored_or_failed() {
    let (mut house, _) = carol(CallMedia::null()).await;
    let dan = Peer::bind().await;
    for (line, state) in [
        ("200 OK", MessageState::Delivered),
        ("202 Accepted", MessageState::Accepted),
        ("603 Decline", MessageState::Failed),
    ] {
        say(&house, &dan, line);
        let (message, from) = dan.request(Method::Message).await;
        assert_eq!(message.body, line.as_bytes());
        assert!(!message.headers.has(HeaderName::Contact));
        let on_its_way = until_message(&mut house, "it is shown", |m| m.text.reveal() == line);
        assert_eq!(on_its_way.await.state, MessageState::Sending);
        dan.send(from, &answer(&message, line, "", "")).await;
        let ended = until_message(&mut house, "it ends", |m| {
            m.text.reveal() == line && m.state == state
        })
        .await;
        assert_eq!(ended.failure.is_some(), state == MessageState::Failed);
        assert_eq!(
            ended.failure.and_then(|f| f.code()),
            (state == MessageState::Failed).then_some(603)
        );
    }
    house.close().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_says_why() {
    let (mut house, _) = carol(CallMedia::null()).await;
    let account = house.id_of("carol");
    for (to, text) in [("", "hello"), ("dan", "x".repeat(40_000).as_str())] {
        house.engine.send(Command::SendMessage {
            account: account.clone(),
            to: to.into(),
            text: text.into(),
        });
        let failed = until_message(&mut house, "it fails", |m| {
            m.text.reveal() == text && m.state == MessageState::Failed
        })
        .await;
        let what = failed.failure.expect("it says why").what;
        assert!(
            matches!(
                what,
                FailureKind::BadTarget { .. } | FailureKind::NotPossible { .. }
            ),
            "{what:?}"
        );
    }
    assert_eq!(house.count_messages(true, "MESSAGE sip:"), 0);
    house.close().await;
}

/// RFC 3261 §18.1.1, RFC 3428 §8: what is large goes by a stream, or not at all.
#[tokio::test]
async fn a_large_message_goes_by_a_stream() {
    let (house, _) = carol(CallMedia::null()).await;
    let addr = super::peer::free_addr();
    let listener = tokio::net::TcpListener::bind(addr).await.expect("free");
    house.engine.send(Command::SendMessage {
        account: house.id_of("carol"),
        to: format!("sip:dan@{addr}").into(),
        text: "x".repeat(2_000).into(),
    });
    let (mut stream, _) = listener.accept().await.expect("it connects");
    let mut read = vec![0; 8_192];
    let mut length = 0;
    while length < 2_000 {
        let more = tokio::io::AsyncReadExt::read(&mut stream, &mut read[length..]).await;
        length += more.expect("it can be read");
    }
    assert!(read.starts_with(b"MESSAGE sip:dan@"));
    drop((stream, listener));
    house.close().await;
}

/// RFC 3428 §7.
#[tokio::test]
async fn a_message_that_comes_is_shown_once_and_answered_each_time() {
    let (mut house, addr) = carol(CallMedia::null()).await;
    let dan = Peer::bind().await;
    let text = dan
        .says("MESSAGE", 1, None, "are you there?")
        .replace("application/sdp", "text/plain");
    for _ in 0..3 {
        dan.send(addr, &text).await;
        assert_eq!(dan.final_response().await.status.code(), 200);
    }
    let shown = until_message(&mut house, "it is shown", |_| true).await;
    assert_eq!(shown.text.reveal(), "are you there?");
    assert_eq!(shown.state, MessageState::Received);
    assert_eq!(shown.remote.title(), "dan");
    let read = |from: model::Identity| Command::MarkMessagesRead {
        account: shown.account.clone(),
        from: Some(from),
    };
    house.engine.send(read("sip:somebody@else.example".into()));
    house.engine.send(read(shown.remote.uri.clone()));
    until_message(&mut house, "it is read", |m| m.state == MessageState::Read).await;
    assert_eq!(house.engine.snapshot().messages.len(), 1);
    house.engine.send(Command::ClearMessages {
        account: shown.account,
    });
    house
        .until("it is forgotten", |s| s.messages.is_empty().then_some(()))
        .await;
    house.close().await;
}

#[tokio::test]
async fn what_is_no_text_is_refused_with_what_is_and_typing_is_no_message() {
    let (house, addr) = carol(CallMedia::null()).await;
    let dan = Peer::bind().await;
    let says = |cseq, kind: &str, body: &str| {
        dan.says("MESSAGE", cseq, None, body)
            .replace("application/sdp", kind)
    };
    dan.send(addr, &says(1, "image/png", "no picture")).await;
    let refused = dan.final_response().await;
    assert_eq!(refused.status.code(), 415);
    let accept = refused.headers.get(HeaderName::Accept);
    assert_eq!(accept, Some("text/plain, message/cpim"));
    let typing = says(2, "application/im-iscomposing+xml", "<isComposing/>");
    dan.send(addr, &typing).await;
    assert_eq!(dan.final_response().await.status.code(), 200);
    let large = says(3, "text/plain", &"x".repeat(20_000));
    dan.send(addr, &large).await;
    assert_eq!(dan.final_response().await.status.code(), 413);
    assert!(house.engine.snapshot().messages.is_empty());
    house.close().await;
}

#[tokio::test]
async fn two_accounts_of_one_switchboard_write_to_each_other() {
    let mut house = House::open().await;
    house.engine.send(Command::SendMessage {
        account: house.id_of("alice"),
        to: "sip:bob@beta.test".into(),
        text: "grüß dich".into(),
    });
    let bob = house.id_of("bob");
    let came = until_message(&mut house, "bob has it", |m| m.account == bob).await;
    assert_eq!(came.text.reveal(), "grüß dich");
    until_message(&mut house, "alice knows", |m| {
        m.state == MessageState::Delivered
    })
    .await;
    house.close().await;
}

#[tokio::test]
async fn a_message_to_nobody_fails_in_the_servers_words() {
    let (_switchboard, addr) = switchboard().await;
    let given = account("sip:alice@alpha.test", addr, |_| {});
    let mut house = House::start(vec![tenant("Alpha", vec![given])], tone()).await;
    house.until_registered(1).await;
    house.engine.send(Command::SendMessage {
        account: house.id_of("alice"),
        to: "nobody".into(),
        text: "hello".into(),
    });
    let failed = until_message(&mut house, "it fails", |m| m.state == MessageState::Failed).await;
    let failure = failed.failure.expect("it says why");
    assert!(
        failure.code().is_some() && failure.said_by.is_some(),
        "{failure:?}"
    );
    house.close().await;
}

/// RFC 3428 §4 lets a message be said in a call.
#[tokio::test]
async fn a_message_in_a_call_is_a_message_of_the_account() {
    let (mut house, addr) = carol(CallMedia::null()).await;
    let dan = Peer::bind().await;
    dan.send(addr, &dan.says("INVITE", 1, None, super::peer::SDP))
        .await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let answered = dan.final_response().await;
    let tag = super::peer::to_tag(&answered);
    dan.send(addr, &dan.says("ACK", 1, Some(&tag), "")).await;
    let text = dan
        .says("MESSAGE", 2, Some(&tag), "look at this")
        .replace("application/sdp", "text/plain");
    dan.send(addr, &text).await;
    until_message(&mut house, "it is shown", |m| {
        m.text.reveal() == "look at this"
    })
    .await;
    house.close().await;
}
