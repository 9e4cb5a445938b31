//! Floods from addresses that are made up.

use super::*;
use crate::sources::Loud;

/// The n-th made-up address; none of them is in the network of our phones.
fn forged(n: u32) -> SocketAddr {
    let ip = 0x2000_0000 | (n.wrapping_mul(2_654_435_769) >> 3);
    SocketAddr::new(IpAddr::V4(ip.into()), 5060)
}

/// A message as it comes from the wire: looked at or not.
fn take(bench: &mut Bench, from: &str, text: &str) -> bool {
    let inbound = inbound(Transport::Udp, from);
    let admitted = bench.exchange.admits(bench.now, &inbound, text.as_bytes());
    if admitted {
        let message = Message::parse(text.as_bytes()).expect("a message");
        bench.exchange.handle_message(bench.now, message, inbound);
        bench.act();
    }
    admitted
}

fn register(user: &str, at: &str, n: u32) -> String {
    Ask {
        method: "REGISTER",
        uri: "sip:board.test",
        from: &format!("<sip:{user}@board.test>;tag=r{n}"),
        to: &format!("<sip:{user}@board.test>"),
        call_id: &format!("register-{user}-{n}"),
        via: at,
        branch: &format!("z9hG4bKreg{user}{n}"),
        headers: &format!("Contact: <sip:{user}@{at}>\r\nExpires: 3600\r\n"),
        ..Ask::default()
    }
    .text()
}

/// Phones at these addresses answer what they are asked.
fn answer_questions(bench: &mut Bench, phones: &[String]) -> usize {
    let mut asked = 0;
    let sent = std::mem::take(&mut bench.sent);
    for Sent { to, message, .. } in sent {
        let Message::Request(request) = message else {
            continue;
        };
        let to = to.to_string();
        if request.method.as_str() == "OPTIONS" && phones.contains(&to) {
            asked += 1;
            let answer = reply(&request, 200, "there", "");
            assert!(take(bench, &to, &answer), "an answer of a guest");
        }
    }
    asked
}

#[test]
fn a_newcomer_is_served_amid_a_hundred_thousand_forged_sources() {
    let mut bench = Bench::open();
    bench.register_contact(Transport::Tcp, "bob", BOB, &format!("<sip:bob@{BOB}>"));
    bench.register_contact(
        Transport::Tcp,
        "alice",
        ALICE,
        &format!("<sip:alice@{ALICE}>"),
    );
    let began = bench.now;
    // RFC 3261 §17.1.2.2: Timer E, from when the flood has been there for three seconds.
    let mut tries = [3.0, 3.5, 4.5, 6.5].iter().peekable();
    let mut answered = None;
    for n in 0..100_000_u32 {
        let from = forged(n).to_string();
        let (branch, call_id) = (format!("z9hG4bKf{n}"), format!("f{n}"));
        let text = match n % 3 {
            0 => register(&format!("f{n}"), &from, n),
            kind => Ask {
                method: if kind == 1 { "INVITE" } else { "OPTIONS" },
                from: &format!("<sip:f{n}@board.test>;tag=f"),
                call_id: &call_id,
                branch: &branch,
                via: &from,
                ..Ask::default()
            }
            .text(),
        };
        take(&mut bench, &from, &text);
        bench.sent.clear();
        bench.wait(Duration::from_micros(100));
        let since = bench.now.duration_since(began).as_secs_f64();
        if let Some(at) = tries.next_if(|at| **at <= since)
            && answered.is_none()
        {
            take(&mut bench, CAROL, &register("carol", CAROL, 0));
            let heard = bench.heard().contains(&"10.0.0.3 200 REGISTER".to_owned());
            answered = heard.then_some(*at);
        }
        if n % 10_000 == 0 {
            let ask = Ask {
                method: "MESSAGE",
                branch: &format!("z9hG4bKknown{n}"),
                headers: "",
                transport: "TCP",
                ..Ask::default()
            };
            bench.sent.clear();
            bench.say_by(Transport::Tcp, ALICE, &ask.text());
            bench.request_to(BOB, "MESSAGE");
        }
    }
    assert!(answered.is_some_and(|at| at <= 4.5), "{answered:?}");
    let counts = bench.exchange.counts();
    assert!(
        counts.requests <= 32_768 && counts.bindings <= 8_192,
        "{counts:?}"
    );
    assert!(counts.looked_at < 30_000, "{counts:?}");
    let loud = bench.exchange.take_loudest();
    assert!(
        matches!(loud, Some(Loud::Crowd(n)) if n > 70_000),
        "{loud:?}"
    );
    bench.sent.clear();
    bench.wait_s(300);
    bench.assert_forgets();
}

#[test]
fn forged_registrations_push_out_nobody_who_is_there() {
    let mut bench = Bench::open();
    let at = |n: u32| format!("10.3.0.{n}:5060");
    let phones: Vec<String> = (1..21).map(at).collect();
    // Ten are there before the flood, and have never been sent anything.
    for (n, phone) in phones.iter().enumerate().take(10) {
        bench.register(&format!("there{n}"), phone);
    }
    let mut asked = 0;
    for n in 0..12_000_u32 {
        let from = forged(n).to_string();
        take(&mut bench, &from, &register(&format!("f{n}"), &from, n));
        asked += answer_questions(&mut bench, &phones);
        bench.wait(Duration::from_millis(2));
        if n >= 2_000 && n % 1_000 == 0 && n / 1_000 < 12 {
            let newcomer = 8 + n / 1_000;
            let phone = &phones[newcomer as usize];
            let text = register(&format!("there{newcomer}"), phone, 0);
            assert!(take(&mut bench, phone, &text));
            assert!(
                bench
                    .heard()
                    .iter()
                    .any(|line| line.ends_with("200 REGISTER"))
            );
            // It is asked as soon as another comes after it, at the latest.
            answer_questions(&mut bench, &phones);
        }
    }
    assert!(asked >= 10, "{asked}");
    let counts = bench.exchange.counts();
    assert_eq!(counts.bindings, 8_192, "{counts:?}");
    assert!(counts.evicted > 3_000, "{counts:?}");
    bench.sent.clear();
    let mut reached = Vec::new();
    for (n, phone) in phones.iter().enumerate().take(10) {
        let ask = Ask {
            uri: &format!("sip:there{n}@board.test"),
            call_id: &format!("there{n}"),
            branch: &format!("z9hG4bKthere{n}"),
            ..Ask::default()
        };
        bench.say(ALICE, &ask.text());
        let to = addr(phone);
        reached.extend(bench.sent.drain(..).any(|sent| sent.to == to).then_some(n));
    }
    assert_eq!(reached.len(), 10, "{reached:?}");
}

#[test]
fn forged_registrations_for_one_user_do_not_push_out_its_phone() {
    let mut bench = Bench::open();
    let phones = [BOB.to_owned()];
    bench.register("bob", BOB);
    for n in 0..200_u32 {
        let from = forged(n).to_string();
        take(&mut bench, &from, &register("bob", &from, n));
        answer_questions(&mut bench, &phones);
        bench.wait(Duration::from_millis(10));
        if n == 10 {
            // Somebody calls, and Bob's phone answers: it is there.
            bench.say(ALICE, &Ask::default().text());
            let copy = bench.request_to(BOB, "INVITE");
            bench.say(BOB, &reply(&copy, 486, "b", ""));
            bench.sent.clear();
        }
    }
    assert_eq!(bench.exchange.counts().bindings, 16);
    let ask = Ask {
        branch: "z9hG4bKlast",
        call_id: "last",
        ..Ask::default()
    };
    bench.say(ALICE, &ask.text());
    bench.request_to(BOB, "INVITE");
}

#[test]
fn an_answer_that_could_have_been_guessed_proves_nothing() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    for n in 0..17_u32 {
        let from = forged(n).to_string();
        bench.wait(Duration::from_millis(10));
        take(&mut bench, &from, &register("bob", &from, n));
    }
    let to = forged(16);
    let asked = bench.sent.iter().find_map(|sent| match &sent.message {
        Message::Request(request) if sent.to == to => Some(request.clone()),
        _ => None,
    });
    let question = asked.expect("the newest is asked");
    assert_eq!(question.method.as_str(), "OPTIONS");
    let branch = question.headers.via_top().expect("a Via");
    let branch = branch.branch().expect("a branch").to_owned();
    bench.sent.clear();
    // From elsewhere, and with another mark, it is nothing; nor is it carried to anybody.
    let answer = reply(&question, 200, "x", "");
    take(&mut bench, CAROL, &answer);
    let mut other = branch.clone();
    let last = other.pop().expect("a digit");
    other.push(if last == '0' { '1' } else { '0' });
    take(
        &mut bench,
        &to.to_string(),
        &answer.replace(&branch, &other),
    );
    let aor = crate::Aor {
        user: "bob".to_owned(),
        domain: "board.test".to_owned(),
    };
    let proven = |bench: &Bench| {
        let record = bench.exchange.record_of(&aor);
        record.iter().filter(|b| b.proven).count()
    };
    assert_eq!(proven(&bench), 0);
    take(&mut bench, &to.to_string(), &answer);
    assert_eq!(proven(&bench), 1);
    assert_eq!(bench.heard(), [""; 0]);
}

#[test]
fn where_there_is_no_room_the_answer_says_when_to_come_again() {
    let mut bench = Bench::open();
    for n in 0..8_192_u32 {
        let at = format!("10.2.{}.1:{}", n / 1_024, 1_024 + n % 1_024);
        let contact = format!("<sip:u{n}@{at};transport=tcp>");
        bench.register_contact(Transport::Tcp, &format!("u{n}"), &at, &contact);
        bench.wait(Duration::from_millis(4));
    }
    let text = register("latecomer", CAROL, 0);
    assert!(take(&mut bench, CAROL, &text));
    let refusal = bench.response_to(CAROL, 503);
    // RFC 3261 §20.33.
    let later = refusal.headers.get(HeaderName::RetryAfter);
    let later: u32 = later.and_then(|s| s.parse().ok()).expect("seconds");
    assert!((5..10).contains(&later), "{later}");
    assert_eq!(bench.exchange.counts().refused_full, 1);
}

#[test]
fn a_contact_of_great_length_is_not_kept() {
    let mut bench = Bench::open();
    let long = "x".repeat(5_000);
    let text =
        register("bob", BOB, 0).replace("Contact: <sip:bob@", &format!("Contact: <sip:{long}@"));
    bench.say(BOB, &text);
    bench.response_to(BOB, 513);
    assert_eq!(bench.exchange.counts().bindings, 0);
}
