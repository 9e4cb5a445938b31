//! What no peer should do, and how much of it is borne.

use super::*;
use crate::sources::Loud;

/// A small generator: the tests need variety, not quality.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

#[test]
fn ten_thousand_garbled_messages_leave_nothing_behind() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    let mut dice = Dice(0x5eed);
    let methods = [
        "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "WHAT",
    ];
    let uris = [
        "sip:bob@board.test",
        "sip:echo@10.0.0.9",
        "sip:404@h",
        "tel:1",
        "sip:10.0.0.9",
    ];
    let routes = [
        "",
        "Route: <sip:10.0.0.9:5060;lr>\r\n",
        "Route: <sip:10.0.0.9;lr;seal=0>, <sip:203.0.113.1>\r\n",
        "Contact: *\r\nExpires: 0\r\n",
        "Proxy-Require: x\r\n",
    ];
    let mut taken = 0;
    for n in 0..10_000 {
        let (call_id, branch) = (
            format!("c{}", dice.below(50)),
            format!("z9hG4bK{}", dice.below(3_000)),
        );
        let ask = Ask {
            method: methods[dice.below(methods.len())],
            uri: uris[dice.below(uris.len())],
            to: ["<sip:bob@board.test>", "<sip:bob@board.test>;tag=b"][dice.below(2)],
            headers: routes[dice.below(routes.len())],
            call_id: &call_id,
            branch: &branch,
            hops: [0, 1, 70][dice.below(3)],
            cseq: n,
            ..Ask::default()
        };
        let mut bytes = ask.text().into_bytes();
        for _ in 0..dice.below(4) {
            let at = dice.below(bytes.len());
            bytes[at] = dice.below(256) as u8;
        }
        let transport = [Transport::Udp, Transport::Tcp][dice.below(2)];
        if let Ok(message) = Message::parse(&bytes) {
            taken += 1;
            let inbound = inbound(transport, CAROL);
            if bench.exchange.admits(bench.now, &inbound, &bytes) {
                bench.exchange.handle_message(bench.now, message, inbound);
            }
            bench.act();
        }
        if dice.below(10) == 0 {
            bench.wait(Duration::from_millis(50));
        }
        // Answers to what came of it, with all sorts of statuses.
        if let Some(sent) = bench.sent.pop()
            && let Message::Request(request) = sent.message
        {
            let status = [100, 180, 200, 302, 486, 603][dice.below(6)];
            bench.say(BOB, &reply(&request, status, "b", BOB));
        }
        bench.sent.clear();
    }
    assert!(taken > 3_000, "most are readable: {taken}");
    // Phones that rang and fell silent are given up after Timer C and a CANCEL; the number that
    // rings for ever after its half hour.
    bench.wait_s(3_600);
    bench.assert_forgets();
}

#[test]
fn responses_that_nobody_asked_for_are_dropped() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    bench.say(ALICE, &Ask::default().text());
    let copy = bench.request_to(BOB, "INVITE");
    let ok = reply(&copy, 200, "b", BOB);
    let via = copy.headers.via_top().expect("a Via");
    let branch = via.branch().expect("a branch");
    bench.say(BOB, &ok.replace(branch, "z9hG4bKother"));
    bench.say(BOB, &ok.replace("1 INVITE", "1 BYE"));
    assert_eq!(bench.heard(), [""; 0]);
    bench.say(BOB, &ok);
    bench.response_to(ALICE, 200);
    bench.assert_forgets();
}

#[test]
fn requests_under_way_are_bounded_by_number_and_by_size() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    let body = "x".repeat(60_000);
    let mut refused = 0;
    for n in 0..2_000 {
        let branch = format!("z9hG4bK{n}");
        let ask = Ask {
            method: "MESSAGE",
            branch: &branch,
            body: &body,
            ..Ask::default()
        };
        bench.say(ALICE, &ask.text());
        bench.wait(Duration::from_millis(5));
        refused += usize::from(bench.sent.last().and_then(code) == Some(503));
        bench.sent.clear();
    }
    assert!(refused > 0, "large ones are refused at some point");
    assert!(bench.exchange.held() < 65 << 20, "a stranger's share");
    bench.wait_s(PATIENCE * 2);
    bench.sent.clear();
    bench.assert_forgets();
    for n in 0..6_000 {
        let branch = format!("z9hG4bKs{n}");
        let ask = Ask {
            method: "MESSAGE",
            branch: &branch,
            ..Ask::default()
        };
        bench.say(ALICE, &ask.text());
        bench.wait(Duration::from_millis(4));
        bench.sent.clear();
    }
    assert_eq!(bench.exchange.counts().requests, 4_096);
    // Somebody else is served as if nothing were.
    let other = Ask {
        branch: "z9hG4bKother",
        via: CAROL,
        ..Ask::default()
    };
    bench.say(CAROL, &other.text());
    bench.request_to(BOB, "INVITE");
    bench.sent.clear();
    bench.wait_s(300);
    bench.assert_forgets();
}

#[test]
fn a_flood_of_questions_leaves_nothing_and_nobody_else_waits() {
    for users in [Users::Open, list()] {
        let open = matches!(users, Users::Open);
        let mut bench = Bench::new(users, Hosts::default());
        let mut answered = 0;
        for n in 0..20_000_u32 {
            let branch = format!("z9hG4bKf{n}");
            let ask = Ask {
                method: ["OPTIONS", "INVITE", "MESSAGE", "SUBSCRIBE"][n as usize % 4],
                uri: ["sip:10.0.0.9:5060", "sip:nobody@10.0.0.9"][n as usize / 4 % 2],
                branch: &branch,
                via: DAVE,
                ..Ask::default()
            };
            bench.say(DAVE, &ask.text());
            answered += bench.sent.len();
            bench.sent.clear();
            // 700 a second for half a minute.
            bench.wait(Duration::from_micros(1_428));
            if n % 1_000 == 999 {
                let status = if open { 200 } else { 401 };
                let register = Ask {
                    method: "REGISTER",
                    uri: "sip:board.test",
                    to: "<sip:alice@board.test>",
                    branch: &format!("z9hG4bKreg{n}"),
                    cseq: n,
                    ..Ask::default()
                };
                bench.say(ALICE, &register.text());
                bench.response_to(ALICE, status);
            }
        }
        let counts = bench.exchange.counts();
        assert!(counts.requests <= 20, "{counts:?}");
        assert!((5_000..9_000).contains(&answered), "{answered}");
        assert!(counts.dropped > 10_000, "{counts:?}");
        let loudest = bench.exchange.take_loudest().expect("somebody");
        assert!(matches!(loudest, Loud::Source(ip, _) if ip == addr(DAVE).ip()));
        bench.assert_forgets();
    }
}

#[test]
fn registrations_of_one_source_do_not_take_the_room_of_others() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    for n in 0..6_000 {
        bench.register(&format!("u{n}"), DAVE);
        bench.wait(Duration::from_millis(10));
    }
    let counts = bench.exchange.counts();
    assert_eq!(counts.bindings, 1 + 1_024, "{counts:?}");
    assert!(counts.evicted > 4_900, "{counts:?}");
    bench.register("carol", CAROL);
    bench.say(ALICE, &Ask::default().text());
    bench.request_to(BOB, "INVITE");
    bench.sent.clear();
    // The newest of the loud one are there, the oldest are not.
    for (user, there) in [("u5999", true), ("u0", false)] {
        let ask = Ask {
            uri: &format!("sip:{user}@board.test"),
            branch: &format!("z9hG4bK{user}"),
            ..Ask::default()
        };
        bench.say(ALICE, &ask.text());
        let reached = bench.sent.drain(..).any(|sent| sent.to == addr(DAVE));
        assert_eq!(reached, there, "{user}");
    }
}

/// Makes a whole call of Alice to Bob; how long the exchange took for it.
fn whole_call(bench: &mut Bench, n: usize) -> Duration {
    let (call_id, branch) = (format!("call-{n}"), format!("z9hG4bKi{n}"));
    let invite = Ask {
        call_id: &call_id,
        branch: &branch,
        ..Ask::default()
    };
    let began = Instant::now();
    bench.say(ALICE, &invite.text());
    let copy = bench.request_to(BOB, "INVITE");
    bench.say(BOB, &reply(&copy, 180, "b", BOB));
    bench.say(BOB, &reply(&copy, 200, "b", BOB));
    let ok = bench.response_to(ALICE, 200);
    let routes: Vec<String> = routes_of(&ok)
        .iter()
        .map(|r| format!("Route: {r}\r\n"))
        .collect();
    let (routes, uri) = (routes.concat(), format!("sip:bob@{BOB}"));
    for (method, cseq) in [("ACK", 1), ("BYE", 2)] {
        let branch = format!("z9hG4bK{method}{n}");
        let ask = Ask {
            method,
            cseq,
            uri: &uri,
            to: "<sip:bob@board.test>;tag=b",
            headers: &routes,
            branch: &branch,
            ..invite
        };
        bench.say(ALICE, &ask.text());
    }
    let bye = bench.request_to(BOB, "BYE");
    bench.say(BOB, &reply(&bye, 200, "b", ""));
    bench.response_to(ALICE, 200);
    let took = began.elapsed();
    bench.sent.clear();
    took
}

#[test]
fn a_call_costs_the_same_with_thousands_of_finished_ones_around() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    bench.register("alice", ALICE);
    for n in 0..500 {
        bench.register(
            &format!("u{n}"),
            &format!("10.1.{}.{}:5060", n / 250, n % 250),
        );
    }
    let quickest = |bench: &mut Bench, range: std::ops::Range<usize>| {
        let times = range.map(|n| whole_call(bench, n));
        times.min().expect("some calls")
    };
    let alone = quickest(&mut bench, 0..50);
    for n in 50..4_000 {
        whole_call(&mut bench, n);
        bench.wait(Duration::from_millis(5));
    }
    assert!(bench.exchange.counts().requests > 7_000);
    let crowded = quickest(&mut bench, 4_000..4_050);
    assert!(
        crowded < alone * 4 + Duration::from_micros(200),
        "{alone:?} alone, {crowded:?} with many"
    );
    bench.assert_forgets();
}

#[test]
fn fifty_calls_a_second_for_a_minute_are_all_served() {
    let mut bench = Bench::open();
    bench.register("bob", BOB);
    bench.register("alice", ALICE);
    let began = Instant::now();
    let mut most = 0;
    for n in 0..3_000 {
        whole_call(&mut bench, n);
        bench.wait(Duration::from_millis(20));
        most = most.max(bench.exchange.counts().requests);
    }
    assert!(
        (3_000..4_096).contains(&most),
        "32 s of calls linger: {most}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "a minute of calls takes a part of a minute"
    );
    bench.assert_forgets();
}
