//! Peers that are careless, and peers that mean no good.

use std::time::Duration;

use model::{CallState, Command, Direction, Outcome};
use sip_message::{Message, Method, StatusCode};

use super::called::listens_at;
use super::house::{House, messages, tenant, tone};
use super::peer::{Peer, SDP, answer, carol, free_addr, stream, to_tag};
use crate::GivenAccount;

/// Dan calls carol and she answers.
async fn answered(house: &mut House, dan: &Peer, at: std::net::SocketAddr) -> String {
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let response = dan.final_response().await;
    assert_eq!(response.status, StatusCode::OK);
    to_tag(&response)
}

#[tokio::test]
async fn a_peer_that_forgets_our_tag_can_still_hang_up() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let tag = answered(&mut house, &dan, at).await;
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    let call = house.call(model::CallId(1)).id;
    house.until_state(call, CallState::Connected).await;
    dan.send(at, &dan.says("BYE", 2, None, "")).await;
    let response = dan.final_response().await;
    assert_eq!(response.status, StatusCode::OK);
    house.until_state(call, CallState::Ended).await;
    house.until_notes("missing To tag", 1).await;
    house.close().await;
}

/// RFC 5407 §3.1.4: the ACK was lost or overtaken. The change has its answer, and so has each one after it.
#[tokio::test]
async fn a_change_that_comes_before_the_ack_is_answered_and_freezes_nothing() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let tag = answered(&mut house, &dan, at).await;
    for (cseq, method) in [(2, "INVITE"), (3, "UPDATE"), (4, "INVITE")] {
        dan.send(at, &dan.says(method, cseq, Some(&tag), SDP)).await;
        let response = loop {
            let response = dan.final_response().await;
            let number = response.headers.cseq().expect("a CSeq").number;
            // The 200 before comes again until its ACK does.
            if number == cseq {
                break response;
            }
        };
        assert_eq!(response.status, StatusCode::OK, "{method}");
        let before = if method == "INVITE" { cseq } else { 1 };
        dan.send(at, &dan.says("ACK", before, Some(&tag), "")).await;
        if cseq == 2 {
            dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
        }
    }
    let call = house.call(model::CallId(1)).id;
    house.until_state(call, CallState::Connected).await;
    house.engine.send(Command::HoldCall { call });
    let (hold, _) = dan.request(Method::Invite).await;
    assert!(String::from_utf8_lossy(&hold.body).contains("a=sendonly"));
    house.close().await;
}

#[tokio::test]
async fn who_hangs_up_before_the_answer_is_acknowledged_is_heard_no_more() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let tag = answered(&mut house, &dan, at).await;
    let call = house.call(model::CallId(1)).id;
    house.engine.send(Command::EndCall { call });
    house.until_state(call, CallState::Ended).await;
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    // RFC 3261 section 15: the BYE had to wait for the ACK.
    let (bye, from) = dan.request(Method::Bye).await;
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    house.close().await;
}

#[tokio::test]
async fn an_ack_with_an_invented_tag_reaches_the_call_it_names() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    answered(&mut house, &dan, at).await;
    dan.send(at, &dan.says("ACK", 1, Some("invented"), ""))
        .await;
    house
        .until_state(model::CallId(1), CallState::Connected)
        .await;
    house.close().await;
}

#[tokio::test]
async fn a_call_without_an_offer_gets_ours_and_takes_the_answer_from_the_ack() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    dan.send(at, &dan.says("INVITE", 1, None, "")).await;
    let call = house.until_ringing().await;
    house.engine.send(Command::AnswerCall { call });
    let response = dan.final_response().await;
    let offer = String::from_utf8_lossy(&response.body).into_owned();
    // PCMU is payload type 0 without being mapped (RFC 3551 section 6).
    let formats = offer.lines().find_map(|line| line.strip_prefix("m=audio "));
    let pcmu = |formats: &str| formats.split(' ').skip(2).any(|format| format == "0");
    assert!(formats.is_some_and(pcmu), "{offer}");
    let tag = to_tag(&response);
    dan.send(at, &dan.says("ACK", 1, Some(&tag), SDP)).await;
    let view = house.until_state(call, CallState::Connected).await;
    assert_eq!(view.codec.as_deref(), Some("PCMU/8000"));
    house.end(call);
    let (bye, from) = dan.request(Method::Bye).await;
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    house.until_state(call, CallState::Ended).await;
    house.close().await;
}

#[tokio::test]
async fn an_answer_that_shares_no_codec_ends_the_call_and_the_reason_stays() {
    let (mut house, _) = carol(tone()).await;
    let dan = Peer::bind().await;
    let out = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = dan.request(Method::Invite).await;
    let contact = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        dan.local
    );
    let useless = SDP.replace("RTP/AVP 0\r\na=rtpmap:0 PCMU/8000", "RTP/AVP 18");
    dan.send(from, &answer(&invite, "200 OK", &contact, &useless))
        .await;
    let (bye, from) = dan.request(Method::Bye).await;
    dan.send(from, &answer(&bye, "200 OK", "", "")).await;
    let ended = house.until_state(out, CallState::Ended).await;
    let failure = ended.failure.expect("it says why");
    assert!(
        matches!(failure.what, model::FailureKind::NoCommonMedia { .. }),
        "{failure:?}"
    );
    let filed = house
        .until("it is filed", |s| s.history.first().cloned())
        .await;
    assert_eq!(filed.outcome, Outcome::Failed);
    assert_eq!(filed.status, None, "the peer had said OK");
    house.close().await;
}

#[tokio::test]
async fn an_offer_without_a_codec_of_ours_is_refused_with_488_and_nothing_rings() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let useless = SDP.replace("RTP/AVP 0\r\na=rtpmap:0 PCMU/8000", "RTP/AVP 18");
    dan.send(at, &dan.says("INVITE", 1, None, &useless)).await;
    let refusal = dan.final_response().await;
    assert_eq!(refusal.status.code(), 488);
    // RFC 3261 §13.3.1.3: it says why, by the name that our Contact has.
    let warnings = refusal.headers.warnings().expect("they are well formed");
    let said: Vec<(u16, &str)> = warnings.iter().map(|w| (w.code, &*w.agent)).collect();
    assert_eq!(said, [(305, &*at.to_string())]);
    // So it does here.
    let filed = house
        .until("it is filed", |s| s.history.first().cloned())
        .await;
    assert_eq!(filed.outcome, Outcome::Failed);
    let call = house
        .until("the end of it", |s| {
            let over = s.calls.iter().find(|call| call.state == CallState::Ended);
            over.cloned()
        })
        .await;
    let failure = call.failure.expect("it says why");
    let sentence = failure.sentence().reveal().to_owned();
    assert!(
        sentence.contains("PCMU") && sentence.contains("G729"),
        "{sentence}"
    );
    let recorded = |s: &model::Snapshot| (messages(s, true, "SIP/2.0 488") > 0).then_some(());
    house.until("the trace of it", recorded).await;
    assert_eq!(house.count_messages(true, "SIP/2.0 180"), 0);
    house.close().await;
}

/// A caller without encryption where the account wants it, and one whose offer is none.
#[tokio::test]
async fn what_is_wrong_with_an_offer_is_told_here_as_well() {
    for (offer, words) in [
        (SDP.to_owned(), "PCMU without encryption"),
        (
            SDP.replace("c=IN IP4 127.0.0.1", "c=IN IP4 nowhere"),
            "session description",
        ),
        ("v=0\r\nnonsense".to_owned(), "they want no media"),
    ] {
        let with = |account: &mut model::AccountSettings| {
            if words.ends_with("encryption") {
                account.srtp = model::SrtpPolicy::Required;
            }
        };
        let (mut house, at) = super::peer::carol_with(tone(), with).await;
        let dan = Peer::bind().await;
        dan.send(at, &dan.says("INVITE", 1, None, &offer)).await;
        assert_eq!(dan.final_response().await.status.code(), 488, "{offer}");
        let call = house
            .until("the end of it", |s| {
                let over = s.calls.iter().find(|call| call.state == CallState::Ended);
                over.cloned()
            })
            .await;
        let sentence = call.failure.expect("it says why").sentence();
        let sentence = sentence.reveal();
        assert!(sentence.contains(words), "{sentence}");
        house.close().await;
    }
}

#[tokio::test]
async fn a_scanner_never_rings_and_gets_one_cheap_answer() {
    let mut house = House::open().await;
    let port = house
        .until("where we listen", |s| listens_at(s, "alice"))
        .await;
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let dan = Peer::bind().await;
    // The number of an emergency desk, the user itself from nowhere near its registrar.
    for (cseq, user) in [(1, "100"), (2, "00442079460000"), (3, "carol")] {
        let invite = dan.says("INVITE", cseq, None, SDP).replacen(
            "sip:carol@127.0.0.1 SIP",
            &format!("sip:{user}@127.0.0.1 SIP"),
            1,
        );
        dan.send(at, &invite).await;
        let (message, _) = dan.receive().await.expect("an answer");
        let Message::Response(response) = message else {
            panic!("not an answer")
        };
        assert_eq!(
            response.status,
            StatusCode::NOT_FOUND,
            "at once, with nothing before it"
        );
    }
    dan.send(at, &dan.says("BYE", 9, Some("none-of-ours"), ""))
        .await;
    assert_eq!(dan.final_response().await.status.code(), 481);
    // RFC 3261 §11.2: an OPTIONS hears what an INVITE would; the phone itself tells what it can.
    for (cseq, to) in [(11, "sip:nobody@127.0.0.1"), (12, "sip:carol@127.0.0.1")] {
        let asked = dan.says("OPTIONS", cseq, None, "");
        dan.send(at, &asked.replacen("sip:carol@127.0.0.1", to, 1))
            .await;
        let said = dan.final_response().await.status;
        assert_eq!(said, StatusCode::NOT_FOUND, "{to}");
    }
    let asked = dan.says("OPTIONS", 10, None, "");
    let asked = asked.replacen("sip:carol@127.0.0.1", "sip:127.0.0.1", 1);
    dan.send(at, &asked).await;
    let options = dan.final_response().await;
    assert_eq!(options.status, StatusCode::OK);
    let allow = options
        .headers
        .get(sip_message::HeaderName::Allow)
        .unwrap_or("");
    for method in ["INVITE", "BYE", "INFO", "PRACK", "UPDATE"] {
        assert!(allow.contains(method), "{method} is not in {allow}");
    }
    house
        .until_notes("requests that belong to nothing here", 3)
        .await;
    let state = house.engine.snapshot();
    assert!(state.calls.is_empty() && state.history.is_empty());
    house.close().await;
}

/// Whoever asks us something is no better known for the answer.
#[tokio::test]
async fn one_call_to_somebody_here_opens_no_way_for_guesses() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind_at("127.0.0.9").await;
    dan.send(at, &dan.says("INVITE", 1, None, SDP)).await;
    let call = house.until_ringing().await;
    let guess = |cseq: u32| {
        let invite = dan.says("INVITE", cseq, None, SDP);
        invite.replacen(
            "sip:carol@127.0.0.1 SIP",
            &format!("sip:{cseq}@127.0.0.1 SIP"),
            1,
        )
    };
    for cseq in 2..20 {
        dan.send(at, &guess(cseq)).await;
    }
    let phone = dan.says("OPTIONS", 50, None, "");
    dan.send(
        at,
        &phone.replacen("sip:carol@127.0.0.1", "sip:127.0.0.1", 1),
    )
    .await;
    let mut not_here = 0;
    loop {
        let response = dan.final_response().await;
        match response.headers.cseq().expect("a CSeq").number {
            50 => break,
            _ => not_here += u32::from(response.status == StatusCode::NOT_FOUND),
        }
    }
    assert_eq!(not_here, 1);
    // Who is talked with is known.
    house.engine.send(Command::AnswerCall { call });
    assert_eq!(dan.final_response().await.status, StatusCode::OK);
    for cseq in 60..64 {
        dan.send(at, &guess(cseq)).await;
        let response = loop {
            let response = dan.final_response().await;
            if response.headers.cseq().expect("a CSeq").number == cseq {
                break response;
            }
        };
        assert_eq!(response.status, StatusCode::NOT_FOUND);
    }
    house.close().await;
}

#[tokio::test]
async fn a_repeated_request_hears_the_same_again_and_makes_no_second_call() {
    let (house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let demanding = dan.says("INVITE", 4, None, SDP).replacen(
        "Max-Forwards: 70\r\n",
        "Max-Forwards: 70\r\nRequire: moon\r\n",
        1,
    );
    for (code, text) in [
        (200, dan.says("OPTIONS", 1, None, "")),
        (405, dan.says("BREW", 2, None, "")),
        (481, dan.says("CANCEL", 3, None, "")),
        (420, demanding),
    ] {
        let mut tags = Vec::new();
        for _ in 0..3 {
            dan.send(at, &text).await;
            let response = dan.final_response().await;
            assert_eq!(response.status.code(), code);
            tags.push(to_tag(&response));
        }
        assert!(
            tags.iter().all(|tag| *tag == tags[0]),
            "RFC 3261 §8.2.7: {code} with {tags:?}"
        );
    }
    let state = house.engine.snapshot();
    assert!(state.calls.len() <= 1, "{:?}", state.calls);
    house.close().await;
}

#[tokio::test]
async fn garbage_and_floods_are_counted_and_harm_nobody() {
    let (mut house, at) = carol(tone()).await;
    let dan = Peer::bind().await;
    let nonsense = [
        "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "INVITE",
        "INVITE sip:carol@127.0.0.1 SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
        "\u{0}\u{1}\u{2}\u{fffd}",
    ];
    for text in nonsense {
        dan.send(at, text).await;
    }
    house.until_notes("too broken to answer", 1).await;
    // More than one source may send at once; whoever sends it, the phone stays usable for others.
    let stray = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n";
    let flood = std::net::UdpSocket::bind(("127.0.0.2", 0)).expect("the loopback net is ours");
    while house
        .engine
        .hub
        .read(|s| super::house::notes(s, "what one source may send"))
        == 0
    {
        for _ in 0..200 {
            let _ = flood.send_to(stray.as_bytes(), at);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let tag = answered(&mut house, &dan, at).await;
    dan.send(at, &dan.says("ACK", 1, Some(&tag), "")).await;
    house
        .until_state(model::CallId(1), CallState::Connected)
        .await;
    house.close().await;
}

#[tokio::test]
async fn a_connection_that_breaks_in_a_call_is_replaced() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let at = proxy.local_addr().expect("it is bound");
    let mut settings = model::AccountSettings::new("sip:carol@127.0.0.1");
    settings.register = false;
    settings.bind = Some(free_addr().to_string());
    settings.proxy = Some(format!("sip:{at};transport=tcp;lr").into());
    settings.transport = Some(model::Transport::Tcp);
    let given = GivenAccount {
        logins: Vec::new(),
        settings,
        password: None,
        relay_password: None,
    };
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    let out = house.dial("carol", "dan").await;
    let accepting = tokio::time::timeout(Duration::from_secs(5), proxy.accept());
    let (mut first, _) = accepting.await.expect("in time").expect("a connection");
    let invite = stream::request(&mut first, Method::Invite).await;
    let more =
        format!("Contact: <sip:dan@{at};transport=tcp>\r\nContent-Type: application/sdp\r\n");
    stream::write(&mut first, &answer(&invite, "200 OK", &more, SDP)).await;
    stream::request(&mut first, Method::Ack).await;
    house.until_state(out, CallState::Connected).await;
    drop(first);
    house.end(out);
    let another = tokio::time::timeout(Duration::from_secs(5), proxy.accept());
    let (mut second, _) = another.await.expect("in time").expect("another connection");
    let bye = stream::request(&mut second, Method::Bye).await;
    stream::write(&mut second, &answer(&bye, "200 OK", "", "")).await;
    let ended = house.until_state(out, CallState::Ended).await;
    assert_eq!(
        (ended.direction, ended.failure),
        (Direction::Outgoing, None)
    );
    house.close().await;
}
