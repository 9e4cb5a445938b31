//! Lamps, waiting messages, presence and bindings, as a phone is told of them.

use event_bodies::dialog_info::{DialogInfo, DialogTable, Lamp};
use event_bodies::message_summary::MessageSummary;
use event_bodies::presence::Presence;
use event_bodies::reg_info::RegInfo;

use super::*;

/// Carol watches Bob.
fn watch(bench: &mut Bench, package: &str, n: u32) -> Response {
    let ask = Ask {
        method: "SUBSCRIBE",
        from: "<sip:carol@board.test>;tag=c",
        to: "<sip:bob@board.test>",
        via: CAROL,
        call_id: &format!("watch-{n}"),
        branch: &format!("z9hG4bKwatch{n}"),
        headers: &format!("Contact: <sip:carol@{CAROL}>\r\nEvent: {package}\r\nExpires: 600\r\n"),
        ..Ask::default()
    };
    bench.say(CAROL, &ask.text());
    bench.response_to(CAROL, 200)
}

/// The next NOTIFY that Carol gets, answered.
fn told(bench: &mut Bench) -> Request {
    // A NOTIFY is repeated half a second later.
    for _ in 0..20 {
        if bench.sent.iter().any(|sent| sent.to == addr(CAROL)) {
            break;
        }
        bench.wait(Duration::from_millis(50));
    }
    let notify = bench.request_to(CAROL, "NOTIFY");
    bench.say(CAROL, &reply(&notify, 200, "", ""));
    notify
}

fn lamp(notify: &Request) -> Lamp {
    let info = DialogInfo::parse(&notify.body).expect("a document");
    assert_eq!(info.entity, "sip:bob@board.test");
    let mut table = DialogTable::default();
    table.apply(&info);
    table.lamp()
}

fn bye() -> Ask<'static> {
    Ask {
        method: "BYE",
        to: "<sip:bob@board.test>;tag=b",
        cseq: 2,
        branch: "z9hG4bKbye",
        ..Ask::default()
    }
}

#[test]
fn a_lamp_follows_a_call_from_its_ringing_to_its_end() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    let ok = watch(&mut bench, "dialog", 1);
    assert_eq!(ok.headers.expires(), Ok(600));
    assert_eq!(lamp(&told(&mut bench)), Lamp::Idle);
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    let mut notify = told(&mut bench);
    if lamp(&notify) != Lamp::Ringing {
        notify = told(&mut bench);
    }
    assert_eq!(lamp(&notify), Lamp::Ringing);
    let info = DialogInfo::parse(&notify.body).expect("a document");
    let pickup = info.dialogs[0].pickup().expect("it can be picked up");
    assert_eq!(
        (&*pickup.call_id, &*pickup.to_tag, &*pickup.from_tag),
        ("call", "b", "alice")
    );
    bench.say(BOB, &reply(&copy, 200, "b", BOB));
    let ok = bench.response_to(ALICE, 200);
    assert_eq!(lamp(&told(&mut bench)), Lamp::Busy);
    let routes: Vec<String> = routes_of(&ok)
        .iter()
        .map(|r| format!("Route: {r}\r\n"))
        .collect();
    let routes = routes.concat();
    let uri = format!("sip:bob@{BOB}");
    let ask = Ask {
        uri: &uri,
        headers: &routes,
        ..bye()
    };
    bench.say(ALICE, &ask.text());
    let there = bench.request_to(BOB, "BYE");
    bench.say(BOB, &reply(&there, 200, "b", ""));
    assert_eq!(lamp(&told(&mut bench)), Lamp::Idle);
    bench.sent.clear();
    bench.wait_s(700);
    let last = bench.request_to(CAROL, "NOTIFY");
    let state = last.headers.get(HeaderName::SubscriptionState);
    assert!(
        state.is_some_and(|s| s.starts_with("terminated")),
        "{state:?}"
    );
    bench.say(CAROL, &reply(&last, 200, "", ""));
    bench.wait_s(PATIENCE * 2);
    assert_eq!(bench.exchange.counts().subscriptions, 0);
    bench.assert_forgets();
}

#[test]
fn a_call_that_fails_puts_the_lamp_out() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    watch(&mut bench, "dialog", 1);
    told(&mut bench);
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    told(&mut bench);
    bench.say(BOB, &reply(&copy, 486, "b", ""));
    let mut last = lamp(&told(&mut bench));
    for _ in 0..3 {
        bench.wait(Duration::from_millis(300));
        if bench.sent.iter().any(|sent| sent.to == addr(CAROL)) {
            last = lamp(&told(&mut bench));
        }
    }
    assert_eq!(last, Lamp::Idle);
}

#[test]
fn a_number_leaves_a_message_and_another_clears_it() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    watch(&mut bench, "message-summary", 1);
    let none = MessageSummary::parse(&told(&mut bench).body).expect("a summary");
    assert!(!none.waiting);
    for (n, number) in ["leave", "clear"].into_iter().enumerate() {
        let call_id = format!("mail-{n}");
        let invite = Ask {
            uri: &format!("sip:{number}@10.0.0.9"),
            from: "<sip:bob@board.test>;tag=m",
            to: &format!("<sip:{number}@10.0.0.9>"),
            via: BOB,
            call_id: &call_id,
            branch: &format!("z9hG4bKmail{n}"),
            headers: "Contact: <sip:bob@10.0.0.2:5060>\r\n",
            body: "v=0",
            ..Ask::default()
        };
        bench.say(BOB, &invite.text());
        let ok = bench.response_to(BOB, 200);
        let ack = Ask {
            method: "ACK",
            to: ok.headers.get(HeaderName::To).expect("a To"),
            branch: &format!("z9hG4bKack{n}"),
            body: "",
            ..invite
        };
        bench.say(BOB, &ack.text());
        let summary = MessageSummary::parse(&told(&mut bench).body).expect("a summary");
        assert_eq!(summary.waiting, number == "leave", "{number}");
        assert_eq!(summary.new_voice(), Some(u32::from(number == "leave")));
        bench.wait_s(4);
        let hung_up = bench.request_to(BOB, "BYE");
        bench.say(BOB, &reply(&hung_up, 200, "m", ""));
    }
}

fn publish(headers: &str, body: &str, n: u32) -> String {
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/pidf+xml\r\n"
    };
    Ask {
        method: "PUBLISH",
        from: "<sip:bob@board.test>;tag=p",
        to: "<sip:bob@board.test>",
        via: BOB,
        cseq: n,
        call_id: "publish",
        branch: &format!("z9hG4bKpub{n}"),
        headers: &format!("Event: presence\r\n{kind}{headers}"),
        body,
        ..Ask::default()
    }
    .text()
    .replace("Content-Type: application/sdp\r\n", "")
}

#[test]
fn presence_is_published_renewed_changed_and_removed() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    watch(&mut bench, "presence", 1);
    let here = Presence::parse(&told(&mut bench).body).expect("a document");
    assert_eq!(here.is_open(), Some(true), "he is registered");
    let away = Presence {
        entity: "sip:bob@board.test".into(),
        activities: vec!["away".to_owned()],
        ..Presence::default()
    };
    let body = String::from_utf8(away.to_bytes()).expect("text");
    bench.say(BOB, &publish("Expires: 600\r\n", &body, 1));
    let ok = bench.response_to(BOB, 200);
    let etag = ok.headers.sip_etag().expect("an entity tag");
    assert!(
        Presence::parse(&told(&mut bench).body)
            .expect("one")
            .does("away")
    );
    // A renewal without a body gets another tag, and the old one is none any more.
    let renewal = publish(&format!("SIP-If-Match: {etag}\r\nExpires: 600\r\n"), "", 2);
    bench.say(BOB, &renewal);
    let ok = bench.response_to(BOB, 200);
    let newer = ok.headers.sip_etag().expect("an entity tag");
    assert_ne!(etag, newer);
    bench.say(
        BOB,
        &renewal
            .replace("z9hG4bKpub2", "z9hG4bKpub3")
            .replace("CSeq: 2", "CSeq: 3"),
    );
    bench.response_to(BOB, 412);
    told(&mut bench);
    bench.say(BOB, &publish("Expires: 5\r\n", &body, 4));
    assert_eq!(bench.response_to(BOB, 423).headers.min_expires(), Ok(30));
    bench.say(
        BOB,
        &publish(&format!("SIP-If-Match: {newer}\r\nExpires: 0\r\n"), "", 5),
    );
    bench.response_to(BOB, 200);
    assert!(
        !Presence::parse(&told(&mut bench).body)
            .expect("one")
            .does("away")
    );
    bench.say(BOB, &publish("Expires: 600\r\n", "<not presence", 6));
    bench.response_to(BOB, 400);
}

/// RFC 6035: whoever had a call may tell how it sounded; nothing of it is kept.
#[test]
fn reports_on_calls_are_taken_and_nothing_else_in_their_name() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    let report = |kind: &str, body: &str, n: u32| {
        publish("", body, n)
            .replace("Event: presence", "Event: vq-rtcpxr")
            .replace("application/pidf+xml", kind)
            .replace("PUBLISH sip:bob@", "PUBLISH sip:collector@")
    };
    let body = "VQSessionReport:CallTerm\r\nCallID:1\r\n";
    bench.say(BOB, &report("application/vq-rtcpxr", body, 1));
    let ok = bench.response_to(BOB, 200);
    assert!(ok.headers.sip_etag().is_ok());
    assert_eq!(ok.headers.expires(), Ok(0));
    bench.say(BOB, &report("text/plain", body, 2));
    bench.response_to(BOB, 415);
    bench.say(BOB, &report("application/vq-rtcpxr", "<presence/>", 3));
    bench.response_to(BOB, 400);
}

#[test]
fn bindings_are_told_as_they_come() {
    let mut bench = Bench::open();
    watch(&mut bench, "reg", 1);
    let contacts = |notify: Request| {
        let info = RegInfo::parse(&notify.body).expect("a document");
        info.registrations[0].contacts.len()
    };
    assert_eq!(contacts(told(&mut bench)), 0);
    bench.register("bob", BOB);
    assert_eq!(contacts(told(&mut bench)), 1);
}

#[test]
fn another_package_goes_to_the_phone_and_one_s_own_messages_and_phones_to_nobody_else() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    let ask = Ask {
        method: "SUBSCRIBE",
        headers: "Contact: <sip:alice@10.0.0.1>\r\nEvent: weather\r\n",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    bench.request_to(BOB, "SUBSCRIBE");
    // RFC 3680 §4.4: where somebody's phones are is told to nobody else either.
    for package in ["message-summary", "reg"] {
        let mut bench = Bench::new(list(), Hosts::default());
        let ask = |cseq| {
            Ask {
                method: "SUBSCRIBE",
                cseq,
                branch: &format!("z9hG4bKs{cseq}"),
                headers: &format!("Contact: <sip:alice@10.0.0.1>\r\nEvent: {package}\r\n"),
                ..Ask::default()
            }
            .text()
        };
        bench.say(ALICE, &ask(1));
        let challenge = bench.response_to(ALICE, 407);
        let asked = register::with_login(&challenge, &ask(2), "alice", "one");
        bench.say(ALICE, &asked);
        bench.response_to(ALICE, 403);
        assert_eq!(bench.exchange.counts().subscriptions, 0);
    }
}

#[test]
fn subscriptions_are_bounded_for_each_source() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    for n in 0..1_100 {
        let ask = Ask {
            method: "SUBSCRIBE",
            via: DAVE,
            call_id: &format!("many-{n}"),
            branch: &format!("z9hG4bKmany{n}"),
            headers: "Contact: <sip:d@10.0.0.4>\r\nEvent: presence\r\nExpires: 600\r\n",
            ..Ask::default()
        };
        bench.say(DAVE, &ask.text());
        bench.wait(Duration::from_millis(8));
        bench.sent.clear();
    }
    assert!(bench.exchange.counts().subscriptions <= 1_024);
    watch(&mut bench, "presence", 1);
}

#[test]
fn several_changes_at_once_are_told_as_one() {
    let mut bench = Bench::open();
    // Bob calls himself: both parties of the call are one, and his binding changes meanwhile.
    bench.register("bob", BOB);
    watch(&mut bench, "dialog", 1);
    told(&mut bench);
    watch(&mut bench, "presence", 2);
    told(&mut bench);
    let own = Ask {
        from: "<sip:bob@board.test>;tag=own",
        via: BOB,
        ..Ask::default()
    };
    bench.say(BOB, &own.text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    bench.register("bob", BOB);
    bench.say(BOB, &reply(&copy, 486, "b", ""));
    bench.wait_s(3);
    let notifies = bench.sent.iter().filter(|sent| sent.to == addr(CAROL));
    assert!(notifies.count() > 0);
}
