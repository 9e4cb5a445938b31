//! Waiting messages, lamps and presence, at a server that says exactly what a test wants.

use std::net::SocketAddr;

use model::{
    AccountSettings, AccountView, Command, LampState, PresenceState, RegistrationState, WatchKind,
};
use secrecy::SecretString;
use sip_message::{HeaderName, Message, Method, Request};

use super::house::{House, PASSWORD, notes, tenant, tone};
use super::peer::{Peer, answer, carol, free_addr};
use crate::tenant::Child;
use crate::{CallMedia, GivenAccount};

const SUMMARY: &str = "Messages-Waiting: yes\r\nMessage-Account: sip:voicemail@carol.test\r\n\
    Voice-Message: 4/8 (1/2)\r\n";

/// Carol, who signs in at this server.
pub(super) fn at_server(server: SocketAddr, change: impl Fn(&mut AccountSettings)) -> GivenAccount {
    let mut settings = AccountSettings::new("sip:carol@carol.test");
    settings.proxy = Some(format!("sip:{server};lr").into());
    settings.bind = Some(free_addr().to_string());
    settings.mwi = false;
    change(&mut settings);
    GivenAccount {
        logins: Vec::new(),
        settings,
        password: Some(SecretString::from(PASSWORD)),
        relay_password: None,
    }
}

pub(super) async fn accept_registration(server: &Peer, more: &str) -> (Request, SocketAddr) {
    let (register, from) = server.request(Method::Register).await;
    let contact = register
        .headers
        .get(HeaderName::Contact)
        .unwrap_or("<sip:carol@192.0.2.77>");
    let granted = format!("Contact: {contact}\r\n{more}");
    server
        .send(from, &answer(&register, "200 OK", &granted, ""))
        .await;
    (register, from)
}

/// Carol's phone, registered.
async fn signed_in(change: impl Fn(&mut AccountSettings)) -> (House, Peer) {
    let server = Peer::bind().await;
    let given = at_server(server.local, change);
    let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
    accept_registration(&server, "").await;
    house.until_registered(1).await;
    (house, server)
}

async fn until_view(
    house: &mut House,
    what: &str,
    fits: impl Fn(&AccountView) -> bool,
) -> AccountView {
    house
        .until(what, |s| s.accounts.first().filter(|a| fits(a)).cloned())
        .await
}

/// A NOTIFY in the subscription that this SUBSCRIBE made.
fn notify(
    server: &Peer,
    subscribe: &Request,
    cseq: u32,
    state: &str,
    body: (&str, &str),
) -> String {
    let of = |name| subscribe.headers.get(name).expect("it is there");
    let contact = subscribe.headers.contact().expect("a Contact").uri;
    let local = server.local;
    let (kind, text) = body;
    let kind = if text.is_empty() {
        String::new()
    } else {
        format!("Content-Type: {kind}\r\n")
    };
    format!(
        "NOTIFY {contact} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {local};branch=z9hG4bK-{}-{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: {};tag=peer\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\n\
         Contact: <sip:{local}>\r\nEvent: {}\r\nSubscription-State: {state}\r\n\
         {kind}Content-Length: {}\r\n\r\n{text}",
        of(HeaderName::CallId),
        of(HeaderName::To),
        of(HeaderName::From),
        of(HeaderName::CallId),
        of(HeaderName::Event),
        text.len()
    )
}

async fn accept_subscription(server: &Peer) -> (Request, SocketAddr) {
    let (subscribe, from) = server.request(Method::Subscribe).await;
    let more = format!("Expires: 3600\r\nContact: <sip:{}>\r\n", server.local);
    server
        .send(from, &answer(&subscribe, "200 OK", &more, ""))
        .await;
    (subscribe, from)
}

/// RFC 3842.
#[tokio::test]
async fn waiting_messages_are_asked_for_and_shown_with_whom_to_call() {
    let (mut house, server) = signed_in(|s| s.mwi = true).await;
    let (subscribe, from) = accept_subscription(&server).await;
    assert_eq!(
        subscribe.headers.get(HeaderName::Event),
        Some("message-summary")
    );
    assert_eq!(subscribe.uri.to_string(), "sip:carol@carol.test");
    let kind = "application/simple-message-summary";
    let text = notify(
        &server,
        &subscribe,
        1,
        "active;expires=3600",
        (kind, SUMMARY),
    );
    server.send(from, &text).await;
    assert_eq!(server.final_response().await.status.code(), 200);
    let view = until_view(&mut house, "they are shown", |a| a.waiting.is_some()).await;
    let waiting = view.waiting.expect("it is there");
    assert_eq!((waiting.new, waiting.old, waiting.urgent), (4, 8, 1));
    assert!(waiting.waiting);
    assert_eq!(
        waiting.mailbox.expect("it was told").reveal(),
        "sip:voicemail@carol.test"
    );
    // RFC 6665 §4.1.2.3: the end of the program ends the subscription.
    house.engine.send(Command::Shutdown);
    let (bye, _) = server.request(Method::Subscribe).await;
    assert_eq!(bye.headers.get(HeaderName::Expires), Some("0"));
    house.close().await;
}

#[tokio::test]
async fn a_server_without_mailboxes_costs_one_question_and_a_sentence() {
    let (mut house, server) = signed_in(|s| s.mwi = true).await;
    let (subscribe, from) = server.request(Method::Subscribe).await;
    server
        .send(from, &answer(&subscribe, "489 Bad Event", "", ""))
        .await;
    let view = until_view(&mut house, "it is said", |a| a.waiting_sentence.is_some()).await;
    let sentence = view.waiting_sentence.expect("it is there").into_revealed();
    assert!(
        sentence.starts_with("The server does not offer waiting messages (489 Bad Event"),
        "{sentence}"
    );
    assert_eq!(view.state, RegistrationState::Registered);
    tokio::time::pause();
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    tokio::time::resume();
    assert_eq!(house.count_messages(true, "SUBSCRIBE sip:"), 1);
    house.close().await;
}

/// RFC 3842 §3.3 knows servers that tell without being asked.
#[tokio::test]
async fn waiting_messages_are_taken_from_our_server_without_a_subscription() {
    let (mut house, server) = signed_in(|s| s.mwi = true).await;
    let bind: SocketAddr = house
        .account("carol")
        .settings
        .bind
        .unwrap()
        .parse()
        .unwrap();
    let unasked = |cseq| {
        server
            .says("NOTIFY", cseq, None, SUMMARY)
            .replace("application/sdp", "application/simple-message-summary")
            .replace(
                "Max-Forwards",
                "Event: message-summary\r\nSubscription-State: active\r\nMax-Forwards",
            )
    };
    server.send(bind, &unasked(1)).await;
    let view = until_view(&mut house, "they are shown", |a| a.waiting.is_some()).await;
    assert_eq!(view.waiting.map(|w| w.new), Some(4));
    // A stranger is not believed.
    let stranger = Peer::bind().await;
    let forged = stranger
        .says("NOTIFY", 2, None, SUMMARY)
        .replace("sip:carol@127.0.0.1 SIP", "sip:someone@127.0.0.1 SIP")
        .replace("Max-Forwards", "Event: message-summary\r\nMax-Forwards");
    stranger.send(bind, &forged).await;
    assert_eq!(stranger.final_response().await.status.code(), 481);
    house.close().await;
}

fn dialog_info(version: u32, dialog: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" \
         version=\"{version}\" state=\"full\" entity=\"sip:bob@carol.test\">{dialog}</dialog-info>"
    )
}

/// RFC 4235.
#[tokio::test]
async fn a_lamp_rings_talks_and_goes_out_and_tells_what_a_pickup_needs() {
    let (mut house, server) = signed_in(|s| s.watched = vec!["bob".into()]).await;
    let lamp = house.account("carol").lamps;
    assert_eq!(lamp[0].lamp, LampState::Unknown);
    let (subscribe, from) = accept_subscription(&server).await;
    assert_eq!(subscribe.headers.get(HeaderName::Event), Some("dialog"));
    assert_eq!(subscribe.uri.to_string(), "sip:bob@carol.test");
    let kind = "application/dialog-info+xml";
    let rings = "<dialog id=\"d1\" call-id=\"c9\" local-tag=\"bob-1\" remote-tag=\"eve-1\" \
        direction=\"recipient\"><state>early</state><remote><identity display=\"Eve\">\
        sip:eve@carol.test</identity></remote></dialog>";
    let talks = "<dialog id=\"d1\" call-id=\"c9\"><state>confirmed</state></dialog>";
    for (cseq, body, state) in [
        (1, String::new(), LampState::Idle),
        (2, dialog_info(1, rings), LampState::Ringing),
        (3, dialog_info(2, talks), LampState::Talking),
        (4, dialog_info(3, ""), LampState::Idle),
    ] {
        let text = notify(&server, &subscribe, cseq, "active", (kind, &body));
        server.send(from, &text).await;
        let view = until_view(&mut house, &format!("the lamp is {state:?}"), |a| {
            a.lamps[0].lamp == state
        })
        .await;
        if state == LampState::Ringing {
            let call = view.lamps[0]
                .ringing()
                .expect("it can be picked up")
                .clone();
            assert_eq!(call.call_id.as_deref(), Some("c9"));
            assert_eq!(call.local_tag.as_deref(), Some("bob-1"));
            assert_eq!(call.remote_tag.as_deref(), Some("eve-1"));
            assert_eq!(call.remote.expect("it was told").title(), "Eve");
        }
    }
    // What is no document changes nothing, and costs nothing but a note.
    let broken = notify(&server, &subscribe, 5, "active", (kind, "<dialog-info"));
    server.send(from, &broken).await;
    house.until_notes("what a lamp was told", 1).await;
    assert_eq!(house.account("carol").lamps[0].lamp, LampState::Idle);
    // RFC 6665 §4.1.3: a refusal for good puts the lamp out.
    let over = notify(
        &server,
        &subscribe,
        6,
        "terminated;reason=rejected",
        ("", ""),
    );
    server.send(from, &over).await;
    let view = until_view(&mut house, "nothing is known", |a| {
        a.lamps[0].lamp == LampState::Unknown
    })
    .await;
    assert!(view.lamps[0].sentence.is_some());
    house.close().await;
}

/// Waits until the record has as many of these, and sees that it has no more.
async fn until_asked(house: &mut House, what: &str, times: usize) {
    house
        .until("it is in the record", |s| {
            (super::house::messages(s, true, what) >= times).then_some(())
        })
        .await;
    assert_eq!(house.count_messages(true, what), times);
}

/// RFC 4235 §3.10: a state that is missing is asked for. A notifier whose states never fit is not asked as fast as it
/// answers, and the lamp says so.
#[tokio::test]
async fn a_lamp_whose_states_come_with_gaps_is_asked_at_once_and_then_later() {
    let (mut house, server) = signed_in(|s| s.watched = vec!["bob".into()]).await;
    let (subscribe, from) = accept_subscription(&server).await;
    let kind = "application/dialog-info+xml";
    let partial = |version| dialog_info(version, "").replace("\"full\"", "\"partial\"");
    let text = notify(&server, &subscribe, 1, "active", (kind, &partial(5)));
    server.send(from, &text).await;
    accept_subscription(&server).await;
    assert_eq!(house.account("carol").lamps[0].sentence, None);
    let text = notify(&server, &subscribe, 2, "active", (kind, &partial(9)));
    server.send(from, &text).await;
    let view = until_view(&mut house, "it is said", |a| a.lamps[0].sentence.is_some()).await;
    let sentence = view.lamps[0].sentence.as_ref().map(model::Sentence::reveal);
    let words = "Its states come with gaps: asked again in 1 s.";
    assert_eq!(sentence, Some(words));
    // Nothing more for what is said meanwhile.
    for number in 3..30 {
        let text = notify(
            &server,
            &subscribe,
            number,
            "active",
            (kind, &partial(number * 9)),
        );
        server.send(from, &text).await;
    }
    accept_subscription(&server).await;
    until_asked(&mut house, "SUBSCRIBE sip:", 3).await;
    let full = dialog_info(1_000, "");
    let text = notify(&server, &subscribe, 30, "active", (kind, &full));
    server.send(from, &text).await;
    until_view(&mut house, "it is known", |a| {
        a.lamps[0].sentence.is_none() && a.lamps[0].lamp == LampState::Idle
    })
    .await;
    house.close().await;
}

/// RFC 3856, RFC 3863, RFC 4480.
#[tokio::test]
async fn presence_of_others_is_shown() {
    let (mut house, server) = signed_in(|s| {
        s.watched = vec!["sip:bob@carol.test".into()];
        s.watch = WatchKind::Presence;
    })
    .await;
    let (subscribe, from) = accept_subscription(&server).await;
    assert_eq!(subscribe.headers.get(HeaderName::Event), Some("presence"));
    let body = "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
        entity=\"sip:bob@carol.test\"><tuple id=\"a\"><status><basic>open</basic></status></tuple>\
        <note>back at ten</note><person><activities><on-the-phone/></activities></person></presence>";
    let kind = "application/pidf+xml";
    let text = notify(&server, &subscribe, 1, "active", (kind, body));
    server.send(from, &text).await;
    let view = until_view(&mut house, "it is shown", |a| a.lamps[0].presence.is_some()).await;
    let lamp = &view.lamps[0];
    let presence = lamp.presence.as_ref().expect("it is there");
    assert_eq!(presence.open, Some(true));
    assert_eq!(presence.activities, ["on-the-phone"]);
    assert_eq!(
        presence.note.as_ref().map(model::Private::reveal),
        Some("back at ten")
    );
    assert_eq!(lamp.lamp, LampState::Talking);
    house.close().await;
}

/// RFC 3903.
#[tokio::test]
async fn our_presence_is_published_changed_and_taken_away() {
    let (mut house, server) = signed_in(|s| s.publish_presence = true).await;
    let (publish, from) = server.request(Method::Publish).await;
    let text = String::from_utf8_lossy(&publish.body).into_owned();
    assert!(text.contains("<basic>open</basic>"), "{text}");
    assert!(!publish.headers.has(HeaderName::SipIfMatch));
    let done = |request: &Request, etag: &str| {
        let more = format!("SIP-ETag: {etag}\r\nExpires: 3600\r\n");
        answer(request, "200 OK", &more, "")
    };
    server.send(from, &done(&publish, "e1")).await;
    until_view(&mut house, "the server has it", |a| {
        a.presence.as_ref().is_some_and(|p| p.published)
    })
    .await;
    house.engine.send(Command::SetPresence {
        account: None,
        state: PresenceState::Away,
        note: "at lunch".into(),
    });
    let (change, from) = server.request(Method::Publish).await;
    assert_eq!(change.headers.get(HeaderName::SipIfMatch), Some("e1"));
    let text = String::from_utf8_lossy(&change.body).into_owned();
    assert!(
        text.contains("<rpid:away/>") && text.contains("at lunch") && text.contains("closed"),
        "{text}"
    );
    server.send(from, &done(&change, "e2")).await;
    let view = until_view(&mut house, "it is shown", |a| {
        a.presence
            .as_ref()
            .is_some_and(|p| p.state == PresenceState::Away && p.published)
    })
    .await;
    assert_eq!(
        view.presence.map(|p| p.note.reveal().to_owned()),
        Some("at lunch".to_owned())
    );
    // A call is told by itself.
    let dan = Peer::bind().await;
    let call = house.dial("carol", &format!("sip:dan@{}", dan.local)).await;
    let (invite, from) = server.request(Method::Invite).await;
    let more = format!(
        "Contact: <sip:dan@{}>\r\nContent-Type: application/sdp\r\n",
        server.local
    );
    let answered = answer(&invite, "200 OK", &more, super::peer::SDP);
    server.send(from, &answered).await;
    let (on_the_phone, from) = server.request(Method::Publish).await;
    let text = String::from_utf8_lossy(&on_the_phone.body).into_owned();
    assert!(text.contains("<rpid:on-the-phone/>"), "{text}");
    server.send(from, &done(&on_the_phone, "e3")).await;
    house.end(call);
    let (hung_up, from) = server.request(Method::Publish).await;
    assert!(!String::from_utf8_lossy(&hung_up.body).contains("on-the-phone"));
    server.send(from, &done(&hung_up, "e4")).await;
    house
        .until("the server has the last word", |s| {
            let own = s.accounts.first()?.presence.as_ref()?;
            (!own.on_the_phone && own.published).then_some(())
        })
        .await;
    house.engine.send(Command::Shutdown);
    let (bye, _) = server.request(Method::Publish).await;
    assert_eq!(bye.headers.get(HeaderName::Expires), Some("0"));
    house.close().await;
}

#[tokio::test]
async fn one_question_is_on_its_way_at_a_time() {
    let (mut house, server) = signed_in(|s| {
        s.mwi = true;
        s.watched = (1..=5).map(|n| format!("{n}").as_str().into()).collect();
    })
    .await;
    for asked in 1..=6 {
        let (subscribe, from) = server.request(Method::Subscribe).await;
        house
            .until("it is in the record", |s| {
                (super::house::messages(s, true, "SUBSCRIBE sip:") >= asked).then_some(())
            })
            .await;
        assert_eq!(house.count_messages(true, "SUBSCRIBE sip:"), asked);
        server
            .send(from, &answer(&subscribe, "404 Not Found", "", ""))
            .await;
    }
    house.close().await;
}

/// RFC 6665 §4.1.3 and §7.2.
#[tokio::test]
async fn ten_thousand_notifications_of_nothing_do_no_harm() {
    let (mut house, addr) = carol(CallMedia::null()).await;
    let dan = Peer::bind().await;
    for number in 0..10_000 {
        let notify = dan.says("NOTIFY", number + 1, Some("nobody"), "").replace(
            "Max-Forwards",
            "Event: dialog\r\nSubscription-State: active\r\nMax-Forwards",
        );
        dan.send(addr, &notify).await;
        if number == 0 {
            assert_eq!(dan.final_response().await.status.code(), 481);
        }
    }
    // She is there as before for everybody else, which the source limit counts apart.
    house
        .until_notes("so far: messages beyond what one source may send", 1)
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let eve = Peer::bind().await;
    let hello = eve
        .says("MESSAGE", 1, None, "hello")
        .replace("application/sdp", "text/plain");
    eve.send(addr, &hello).await;
    assert_eq!(eve.final_response().await.status.code(), 200);
    let state = house.engine.snapshot();
    assert!(state.trace.len() <= 2_000 && state.accounts[0].lamps.is_empty());
    house.close().await;
}

#[tokio::test]
async fn nobody_can_subscribe_here_and_is_told_what_we_notify_of() {
    let (house, addr) = carol(CallMedia::null()).await;
    let dan = Peer::bind().await;
    let subscribe = dan.says("SUBSCRIBE", 1, None, "").replace(
        "Max-Forwards",
        "Event: dialog\r\nExpires: 60\r\nMax-Forwards",
    );
    dan.send(addr, &subscribe).await;
    let refused = dan.final_response().await;
    assert_eq!(refused.status.code(), 489);
    assert_eq!(refused.headers.get(HeaderName::AllowEvents), Some("refer"));
    house.close().await;
}

#[tokio::test]
async fn what_watches_others_fails_alone_and_asks_again() {
    let (mut house, server) = signed_in(|s| s.watched = vec!["bob".into()]).await;
    for round in 1..=3 {
        accept_subscription(&server).await;
        let carol = house.id_of("carol");
        house.crash("carol", Child::Watch(carol));
        house.until_notes("is started again", round).await;
    }
    accept_subscription(&server).await;
    let carol = house.id_of("carol");
    house.crash("carol", Child::Watch(carol));
    house.until_notes("rests until new settings", 1).await;
    assert_eq!(house.account("carol").state, RegistrationState::Registered);
    assert_eq!(house.count_messages(true, "REGISTER sip:"), 1);
    house.close().await;
}

/// RFC 3680: the state of this binding and of another phone's.
fn reg_info(contact: &str, event: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"1\" state=\"partial\">\
         <registration aor=\"sip:carol@carol.test\" id=\"r\" state=\"active\">\
         <contact id=\"1\" state=\"terminated\" event=\"{event}\"{more}><uri>{contact}</uri></contact>\
         <contact id=\"2\" state=\"active\" event=\"registered\"><uri>sip:carol@192.0.2.77</uri></contact>\
         </registration></reginfo>"
    )
}

#[tokio::test]
async fn rfc3680_5_2_who_was_deactivated_signs_in_anew_and_who_was_rejected_stays_away() {
    for (event, more) in [
        ("deactivated", ""),
        ("probation", " retry-after=\"1\""),
        ("rejected", ""),
    ] {
        let server = Peer::bind().await;
        let given = at_server(server.local, |s| {
            s.reg_event = true;
            s.flows = 0;
        });
        let mut house = House::start(vec![tenant("Solo", vec![given])], tone()).await;
        let (register, _) = accept_registration(&server, "").await;
        house.until_registered(1).await;
        let contact = register
            .headers
            .contact()
            .expect("a Contact")
            .uri
            .to_string();
        let (subscribe, from) = accept_subscription(&server).await;
        assert_eq!(subscribe.headers.get(HeaderName::Event), Some("reg"));
        let body = reg_info(&contact, event, more);
        let kind = "application/reginfo+xml";
        let text = notify(&server, &subscribe, 1, "active;expires=3600", (kind, &body));
        server.send(from, &text).await;
        house
            .until_notes("another phone at 192.0.2.77 is registered", 1)
            .await;
        if event == "rejected" {
            house.until_notice("wants no other").await;
            stays_away(&mut house, &server, &subscribe, &contact).await;
        } else {
            house.until_notes("signs in anew", 1).await;
            // One is for the list with the other phone, and one puts us back on it.
            let mut renewed = false;
            while !renewed {
                let (again, _) = accept_registration(&server, "").await;
                renewed = again.headers.has(HeaderName::Contact);
            }
            // A registrar that ends at once what it grants is not asked at once again.
            house.until_registered(1).await;
            let body = reg_info(&contact, "deactivated", "");
            let text = notify(&server, &subscribe, 2, "active;expires=3600", (kind, &body));
            server.send(from, &text).await;
            house.until_notes("signs in anew in 60 s", 1).await;
        }
        house.close().await;
    }
}

/// Takes the goodbye of who was rejected, and sees that nothing brings her back but a person.
async fn stays_away(house: &mut House, server: &Peer, subscribe: &Request, contact: &str) {
    let signs_in = |register: &Request| {
        let expires = register.headers.get(HeaderName::Expires);
        register.headers.has(HeaderName::Contact) && expires != Some("0")
    };
    let mut gone = false;
    while !gone {
        let (register, from) = server.request(Method::Register).await;
        assert!(!signs_in(&register), "she is to stay away");
        gone = register.headers.get(HeaderName::Expires) == Some("0");
        server
            .send(from, &answer(&register, "200 OK", "", ""))
            .await;
    }
    until_view(house, "she is signed out", |account| {
        account.state == RegistrationState::Off
    })
    .await;
    // What comes late does not change that.
    let body = reg_info(contact, "deactivated", "");
    let kind = ("application/reginfo+xml", body.as_str());
    let at = subscribe.headers.contact().expect("a Contact").uri;
    let at = format!("{}:{}", at.host, at.port.unwrap_or(5060));
    let text = notify(server, subscribe, 2, "active;expires=3600", kind);
    server.send(at.parse().expect("an address"), &text).await;
    while let Some((message, from)) = server.receive().await {
        if let Message::Request(request) = message {
            assert!(!signs_in(&request), "she is to stay away");
            server.send(from, &answer(&request, "200 OK", "", "")).await;
        }
    }
    assert_eq!(house.account("carol").state, RegistrationState::Off);
}

#[tokio::test]
async fn what_a_registrar_says_again_of_other_phones_is_no_news() {
    let (mut house, server) = signed_in(|s| {
        s.reg_event = true;
        s.flows = 0;
    })
    .await;
    let (subscribe, from) = accept_subscription(&server).await;
    let full = |version: u32, host: &str| {
        format!(
            "<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" \
             state=\"full\"><registration aor=\"sip:carol@carol.test\" id=\"r\" state=\"active\">\
             <contact id=\"1\" state=\"active\" event=\"registered\"><uri>sip:carol@{host}</uri></contact>\
             </registration></reginfo>"
        )
    };
    for (number, host) in [(1, "192.0.2.77"), (2, "192.0.2.77"), (3, "192.0.2.78")] {
        let body = full(number, host);
        let kind = ("application/reginfo+xml", body.as_str());
        let text = notify(&server, &subscribe, number, "active;expires=3600", kind);
        server.send(from, &text).await;
    }
    house
        .until_notes("another phone at 192.0.2.77 is no longer registered", 1)
        .await;
    house
        .until_notes("another phone at 192.0.2.78 is registered", 1)
        .await;
    let state = house.engine.snapshot();
    assert_eq!(
        notes(&state, "another phone at 192.0.2.77 is registered"),
        1
    );
    house.close().await;
}

/// RFC 3680: a phone that comes and goes with each question does not make us ask for ever.
#[tokio::test]
async fn phones_that_come_and_go_are_listed_at_once_and_then_later() {
    let (mut house, server) = signed_in(|s| {
        s.reg_event = true;
        s.flows = 0;
    })
    .await;
    let (subscribe, from) = accept_subscription(&server).await;
    let other = |number: u32| {
        let state = if number % 2 == 1 {
            "active"
        } else {
            "terminated"
        };
        format!(
            "<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{number}\" \
             state=\"partial\"><registration aor=\"sip:carol@carol.test\" id=\"r\" state=\"active\">\
             <contact id=\"1\" state=\"{state}\" event=\"registered\"><uri>sip:carol@192.0.2.77</uri></contact>\
             </registration></reginfo>"
        )
    };
    for number in 1..20 {
        let body = other(number);
        let kind = ("application/reginfo+xml", body.as_str());
        let text = notify(&server, &subscribe, number, "active;expires=3600", kind);
        server.send(from, &text).await;
        if number == 1 {
            let (list, _) = accept_registration(&server, "").await;
            assert!(
                !list.headers.has(HeaderName::Contact),
                "it asks for the list"
            );
        }
    }
    house
        .until_notes("come and go: their list is asked for again in 1 s", 1)
        .await;
    let (list, _) = accept_registration(&server, "").await;
    assert!(
        !list.headers.has(HeaderName::Contact),
        "it asks for the list"
    );
    // The one that signs in, and two lists for nineteen changes.
    until_asked(&mut house, "REGISTER sip:", 3).await;
    house.close().await;
}
