//! What happens to the call; each leaves it up.

use std::net::SocketAddr;
use std::time::Instant;

use sip_core::call::{Call, CallEvent, InfoDigit, ReferId, ReferOutcome, ReferProgress};
use sip_message::{HeaderName, Message, Method, NameAddr, Replaces, Request, StatusCode};
use testkit::{Link, Verdict};

use super::phone::{Mood, Phone, branch_of, line};
use super::{BOTH, CALLEE, CALLER, NAMES, PATIENCE, ROUGH, SECOND, Town, address};

/// Something that happens to a call, by its name.
type Happening = (&'static str, fn(&mut Town));

pub(crate) const HAPPENINGS: [Happening; 19] = [
    ("refreshes, by either and by both methods", refreshes),
    ("hold and resume", holds),
    ("both change the session at once", glare),
    ("another codec", changes_codec),
    ("another packet time", changes_packet_time),
    ("other keys", changes_keys),
    ("a change that is refused", refuses),
    ("a change that nobody answers", thinks),
    ("other addresses", moves),
    ("digits", presses),
    ("a transfer that is refused", refuses_transfer),
    ("a transfer that fails", fails_to_transfer),
    (
        "transfers without reports, and without a decision",
        transfers,
    ),
    ("requests of every kind within the dialog", asks),
    ("requests with an old CSeq", asks_late),
    ("strangers", strangers),
    (
        "repeats of requests and responses, and a late CANCEL",
        repeats,
    ),
    ("a network that stands still", stands_still),
    ("nothing can be sent", unplugs),
];

/// RFC 4028 §10: whoever is the refresher refreshes, by UPDATE where the peer allows that, else by re-INVITE.
fn refreshes(town: &mut Town) {
    for (who, method) in [
        (CALLEE, "UPDATE"),
        (CALLER, "UPDATE"),
        (CALLER, "INVITE"),
        (CALLEE, "INVITE"),
    ] {
        let other = 1 - who;
        if town.refresher() != Some(who) {
            // RFC 4028 §7.4 only recommends that the refresher stays who it is.
            let role = (";refresher=uac", ";refresher=uas");
            // With nothing of the refresher's on its way that says otherwise.
            tell_contact(town, other);
            town.phone_mut(other).rewrites.push(role);
            tell_contact(town, other);
            town.until("the other one refreshes", |town| {
                town.refresher() == Some(who)
            });
            town.agree("another refresher");
            town.phone_mut(other).rewrites.clear();
        }
        if method == "INVITE" {
            town.phone_mut(other).rewrites.push((", UPDATE", ""));
            tell_contact(town, other);
        }
        town.agree("before a refresh");
        let before = BOTH.map(|who| town.last_cseq(who));
        town.until("a refresh", |town| town.phone(who).answered > before[who]);
        town.agree("a refresh");
        let cseq = format!("{} {method}", before[who] + 1);
        let said = town.said(who, method);
        assert!(
            said.iter().any(|text| line(text, "CSeq: ") == cseq),
            "{method}"
        );
        assert_eq!(town.last_cseq(who), before[who] + 1);
        assert_eq!(town.last_cseq(other), before[other]);
        assert_eq!(town.refresher(), Some(who));
        if method == "INVITE" {
            town.phone_mut(other).rewrites.clear();
            tell_contact(town, other);
        }
    }
}

/// An UPDATE without an offer: the peer learns our Contact and our Allow, and the session is refreshed (RFC 3311 §5.1).
fn tell_contact(town: &mut Town, who: usize) {
    town.agree("before an UPDATE");
    say_contact(town, who);
}

/// The same of who has moved.
fn say_contact(town: &mut Town, who: usize) {
    town.forget();
    town.act(who, |phone, now| {
        let sent = phone.call().update(now, None);
        sent.expect("the peer takes it");
    });
    // Two refreshes that cross may each say that the other side refreshes: one after the other.
    let number = town.last_cseq(who);
    town.until("an answer", |town| town.phone(who).answered >= number);
}

/// Changes the session by re-INVITE and waits until both agree.
fn change(town: &mut Town, who: usize, what: &str, wish: impl FnOnce(&mut Phone)) {
    town.forget();
    town.act(who, |phone, now| {
        wish(phone);
        phone.reoffer(now);
    });
    town.agree(what);
    let answered = |event: &CallEvent| matches!(event, CallEvent::Answer { early: false, .. });
    assert!(town.is_told(who, answered), "{what}");
}

/// The same by UPDATE.
fn update(town: &mut Town, who: usize, what: &str, wish: impl Fn(&mut Phone)) {
    for _ in 0..100 {
        let sent = town.act(who, |phone, now| {
            wish(phone);
            phone.update(now)
        });
        if sent {
            return town.agree(what);
        }
        town.wait(SECOND);
    }
    panic!("no UPDATE may be sent");
}

fn holds(town: &mut Town) {
    for who in BOTH {
        for holds in [true, false] {
            change(town, who, "hold by re-INVITE", |phone| phone.holds = holds);
        }
        for holds in [true, false] {
            update(town, who, "hold by UPDATE", |phone| phone.holds = holds);
        }
    }
    // Each holds the other, and lets go in the same order.
    for holds in [true, false] {
        for who in BOTH {
            change(town, who, "both hold", |phone| phone.holds = holds);
        }
    }
}

/// RFC 3261 §14.1 and §14.2, RFC 3311 §5.2: each is answered 491, and each comes again after its own time.
fn glare(town: &mut Town) {
    for holds in [true, false] {
        town.forget();
        // That both are on their way at once, one of them must not be lost.
        town.net.set_link(Link::PERFECT);
        for who in BOTH {
            town.act(who, |phone, now| {
                phone.holds = holds;
                phone.reoffer(now);
            });
        }
        town.wait(SECOND / 10);
        town.net.set_link(ROUGH);
        for who in BOTH {
            assert_eq!(town.said(who, "SIP/2.0 491").len(), 1);
        }
        town.agree("re-INVITEs at once");
        for who in BOTH {
            assert!(!town.is_told(who, failed), "a change was lost");
        }
    }
    for (first, holds) in [
        (CALLER, true),
        (CALLEE, true),
        (CALLER, false),
        (CALLEE, false),
    ] {
        town.agree("before both at once");
        town.until("an UPDATE may be sent", |town| {
            town.counts().iter().all(|c| c[3] == 0)
        });
        town.forget();
        town.net.set_link(Link::PERFECT);
        town.act(first, |phone, now| {
            phone.holds = holds;
            phone.reoffer(now);
        });
        town.act(1 - first, |phone, now| assert!(phone.update(now)));
        town.wait(SECOND / 10);
        town.net.set_link(ROUGH);
        assert!(!town.said(first, "SIP/2.0 491").is_empty());
        town.agree("a re-INVITE and an UPDATE at once");
    }
    // And without care for what is lost.
    for holds in [true, false] {
        for who in BOTH {
            town.act(who, |phone, now| {
                phone.holds = holds;
                phone.reoffer(now);
            });
        }
        town.agree("re-INVITEs at once, over a bad network");
    }
}

fn failed(event: &CallEvent) -> bool {
    matches!(event, CallEvent::ReofferFailed { .. })
}

fn changes_codec(town: &mut Town) {
    let codecs = [
        "111 opus/48000/2",
        "9 G722/8000",
        "8 PCMA/8000",
        "0 PCMU/8000",
    ];
    for (nth, codec) in codecs.into_iter().enumerate() {
        codec.clone_into(&mut town.codec);
        change(town, nth % 2, "another codec", |phone| {
            codec.clone_into(&mut phone.codec);
        });
    }
}

fn changes_packet_time(town: &mut Town) {
    for (nth, ptime) in ["10", "40", "60", "20"].into_iter().enumerate() {
        ptime.clone_into(&mut town.ptime);
        change(town, nth % 2, "another packet time", |phone| {
            ptime.clone_into(&mut phone.ptime);
        });
    }
}

/// RFC 4568 §7.1.4: either says new ones at any time.
fn changes_keys(town: &mut Town) {
    for who in BOTH {
        change(town, who, "other keys", |phone| phone.key += 1);
        update(town, who, "other keys by UPDATE", |phone| {
            phone.key = next_key(phone);
        });
    }
}

/// The number after the one that is agreed.
fn next_key(phone: &Phone) -> u64 {
    let agreed = line(&phone.agreed.ours, "a=crypto:");
    let digits = agreed.rsplit(':').next().unwrap_or_default();
    digits.parse::<u64>().expect("a number") + 1
}

/// RFC 3261 §14.1: the session stays as it was.
fn refuses(town: &mut Town) {
    for who in BOTH {
        for by_update in [false, true] {
            town.forget();
            let before = BOTH.map(|who| town.phone(who).agreed.clone());
            town.phone_mut(1 - who).mood = Mood::Refuses;
            "9 G722/8000".clone_into(&mut town.phone_mut(who).codec);
            if by_update {
                town.until("an UPDATE may be sent", |town| town.counts()[who][3] == 0);
                town.act(who, |phone, now| assert!(phone.update(now)));
            } else {
                town.act(who, Phone::reoffer);
            }
            town.until("a refusal", |town| town.is_told(who, failed));
            let status = Some(StatusCode::NOT_ACCEPTABLE_HERE);
            assert!(town.is_told(who, |event| *event == CallEvent::ReofferFailed { status }));
            town.phone_mut(1 - who).mood = Mood::Takes;
            "0 PCMU/8000".clone_into(&mut town.phone_mut(who).codec);
            assert_eq!(before, BOTH.map(|who| town.phone(who).agreed.clone()));
            town.agree("a refusal");
        }
    }
}

/// Given up after 64 s by a CANCEL, with a session timer that runs meanwhile; by one side in each round.
fn thinks(town: &mut Town) {
    let who = usize::from(town.round % 2 == 1);
    tell_contact(town, who);
    let before = BOTH.map(|who| town.phone(who).agreed.clone());
    town.phone_mut(1 - who).mood = Mood::Thinks;
    town.act(who, |phone, now| {
        phone.holds = true;
        phone.reoffer(now);
    });
    town.until("it is given up", |town| town.is_told(who, failed));
    town.until("it is cancelled", |town| {
        !town.said(1 - who, "SIP/2.0 487").is_empty()
    });
    town.phone_mut(who).holds = false;
    town.phone_mut(1 - who).mood = Mood::Takes;
    assert_eq!(before, BOTH.map(|who| town.phone(who).agreed.clone()));
    town.agree("a change that was given up");
    change(town, 1 - who, "after that", |phone| phone.key += 1);
}

/// RFC 3261 §12.2 and RFC 3311 §5.1: a re-INVITE or an UPDATE tells the peer where we are.
fn moves(town: &mut Town) {
    for who in BOTH {
        for away in [true, false] {
            // Nothing of the peer's is on its way: it would go to where nobody is, to its end.
            town.net.set_link(Link::PERFECT);
            town.wait(SECOND);
            tell_contact(town, 1 - who);
            town.wait(SECOND / 10);
            town.net.set_link(ROUGH);
            town.act(who, |phone, now| phone.move_to(now, address(who, away)));
            if away {
                change(town, who, "another address", |_| ());
            } else {
                say_contact(town, who);
            }
            town.agree("another address");
            change(town, 1 - who, "to where the other is now", |phone| {
                phone.key += 1;
            });
        }
        // The descriptions name the old address again.
        change(town, who, "the first address", |_| ());
    }
    // A change that is on its way has failed: the answer to it, which was given, finds nobody.
    town.forget();
    town.net.set_link(Link::PERFECT);
    town.act(CALLER, |phone, now| {
        phone.holds = true;
        phone.reoffer(now);
    });
    town.act(CALLER, |phone, now| {
        phone.move_to(now, address(CALLER, true));
    });
    town.wait(SECOND / 10);
    town.net.set_link(ROUGH);
    assert_eq!(town.counts()[CALLEE][3], 1, "it waits for an ACK");
    town.until("the change has failed", |town| town.is_told(CALLER, failed));
    change(town, CALLER, "the same from there", |_| ());
    town.act(CALLER, |phone, now| {
        phone.holds = false;
        phone.move_to(now, address(CALLER, false));
    });
    change(town, CALLER, "back", |_| ());
}

fn presses(town: &mut Town) {
    for who in BOTH {
        tell_contact(town, who);
    }
    town.forget();
    for digit in "0123456789*#".chars() {
        let wanted = InfoDigit {
            digit,
            duration: Some(SECOND / 10),
        };
        for who in BOTH {
            let sent = town.act(who, |phone, now| phone.call().send_digit(now, wanted));
            sent.expect("a digit of a call that is up");
        }
        // The next one must not overtake it (RFC 3261 §12.2.2).
        town.until("a digit", |town| {
            BOTH.into_iter()
                .all(|who| pressed(town, who).ends_with(digit))
        });
    }
    for who in BOTH {
        assert_eq!(pressed(town, who), "0123456789*#");
    }
}

/// The digits that this one was told of.
fn pressed(town: &Town, who: usize) -> String {
    let told = &town.phone(who).told;
    let digits = told.iter().filter_map(|event| match event {
        CallEvent::Info {
            content_type, body, ..
        } => InfoDigit::parse(content_type, body),
        _ => None,
    });
    digits.map(|digit| digit.digit).collect()
}

/// Asks the peer to call Carol in the place of a call of ours with her (RFC 3891), and gives the number of the REFER there.
fn refer(town: &mut Town, who: usize, told: bool) {
    let other = 1 - who;
    tell_contact(town, who);
    town.forget();
    let carol = NameAddr::parse("<sip:carol@192.0.2.3>").expect("an address");
    let replaces = Replaces {
        call_id: "consultation@192.0.2.3".to_owned(),
        to_tag: "carol".to_owned(),
        from_tag: "ours".to_owned(),
        early_only: false,
    };
    let id = town.act(who, |phone, now| match told {
        true => phone.call().refer(now, &carol, Some(&replaces)),
        false => phone.call().refer_untold(now, &carol, Some(&replaces)),
    });
    id.expect("the call is up");
    town.until("a REFER", |town| !town.phone(other).requested.is_empty());
    let asked = &town.phone(other).requested[0];
    assert_eq!(asked.replaces.as_ref(), Some(&replaces));
    assert_eq!(asked.wants_reports, told);
}

/// What the peer does about the REFER.
fn decide(town: &mut Town, who: usize, verb: impl Fn(&mut Phone, Instant, ReferId)) {
    town.act(who, |phone, now| {
        let id = phone.requested[0].id;
        verb(phone, now, id);
    });
}

/// Waits for the end of the transfer and of its subscription on both sides.
fn done(town: &mut Town, who: usize, fits: impl Fn(&ReferOutcome) -> bool) {
    let ended = |event: &CallEvent| {
        matches!(
            event,
            CallEvent::Refer {
                progress: ReferProgress::Done(_),
                ..
            }
        )
    };
    town.until("the outcome of a transfer", |town| town.is_told(who, ended));
    let so = |event: &CallEvent| matches!(event, CallEvent::Refer { progress: ReferProgress::Done(outcome), .. } if fits(outcome));
    assert!(town.is_told(who, so), "{:?}", town.phone(who).told);
    town.phone_mut(1 - who).requested = Vec::new();
    town.until("no subscription is left", |town| {
        town.counts().iter().all(|counts| counts[4] == 0)
    });
}

fn refuses_transfer(town: &mut Town) {
    for who in BOTH {
        refer(town, who, true);
        decide(town, 1 - who, |phone, now, id| {
            let refused = phone.call().reject_refer(now, id, StatusCode::DECLINE);
            refused.expect("it is undecided");
        });
        done(
            town,
            who,
            |outcome| matches!(outcome, ReferOutcome::Refused { status } if *status == StatusCode::DECLINE),
        );
    }
}

/// An attended transfer that is tried: RFC 3515 §2.4.4 to §2.4.7.
fn fails_to_transfer(town: &mut Town) {
    for who in BOTH {
        refer(town, who, true);
        decide(town, 1 - who, |phone, now, id| {
            phone.call().accept_refer(now, id).expect("it is undecided");
        });
        town.wait(2 * SECOND);
        for status in [StatusCode::RINGING, StatusCode::BUSY_HERE] {
            decide(town, 1 - who, |phone, now, id| {
                phone
                    .call()
                    .report_refer(now, id, status)
                    .expect("it is accepted");
            });
            town.wait(3 * SECOND);
        }
        done(
            town,
            who,
            |outcome| matches!(outcome, ReferOutcome::Answered { status, .. } if *status == StatusCode::BUSY_HERE),
        );
        let accepted = |event: &CallEvent| {
            matches!(
                event,
                CallEvent::Refer {
                    progress: ReferProgress::Accepted,
                    ..
                }
            )
        };
        assert!(town.is_told(who, accepted));
    }
}

/// RFC 4488: nobody wants reports. RFC 3515 §2.4.2: whoever does not decide has the REFER answered all the same.
fn transfers(town: &mut Town) {
    for who in BOTH {
        refer(town, who, false);
        decide(town, 1 - who, |phone, now, id| {
            phone.call().accept_refer(now, id).expect("it is undecided");
        });
        done(town, who, |outcome| *outcome == ReferOutcome::Untold);
        refer(town, who, true);
        town.wait(12 * SECOND);
        decide(town, 1 - who, |phone, now, id| {
            let refused = phone.call().reject_refer(now, id, StatusCode::DECLINE);
            refused.expect("it is undecided");
        });
        done(
            town,
            who,
            |outcome| matches!(outcome, ReferOutcome::Answered { status, .. } if *status == StatusCode::DECLINE),
        );
    }
}

/// A method, headers, a body, and the status of the answer.
type Question = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
);

/// What a call answers that no call asks; RFC 3261 §8.2 and §11.2, RFC 6086 §4.2.2, RFC 6665 §4.1.3, RFC 4028 §6.
fn asks(town: &mut Town) {
    let table: [Question; 13] = [
        ("OPTIONS", &[], "", 200),
        ("MESSAGE", &[("Content-Type", "text/plain")], "Hello", 405),
        ("SUBSCRIBE", &[("Event", "dialog")], "", 405),
        ("X-PING", &[], "", 405),
        ("INFO", &[("Require", "no-such-extension")], "", 420),
        ("INFO", &[("Info-Package", "no-such-package")], "", 469),
        (
            "NOTIFY",
            &[("Event", "presence"), ("Subscription-State", "active")],
            "",
            489,
        ),
        (
            "NOTIFY",
            &[
                ("Event", "refer;id=4000000000"),
                ("Subscription-State", "active"),
            ],
            "",
            481,
        ),
        (
            "UPDATE",
            &[("Supported", "timer"), ("Session-Expires", "20")],
            "",
            422,
        ),
        ("UPDATE", &[("Content-Type", "text/plain")], "Hello", 415),
        ("REFER", &[], "", 400),
        ("REFER", &[("Refer-To", "<https://example.com>")], "", 416),
        ("PRACK", &[("RAck", "1 1 INVITE")], "", 481),
    ];
    for who in BOTH {
        tell_contact(town, who);
        town.forget();
        for (method, headers, body, wanted) in table {
            let mut request = town.write(who, method);
            for (name, value) in headers {
                request.headers.push(HeaderName::from(*name), value);
            }
            request.body = body.into();
            let from = town.phone(who).address;
            let code = town.ask(from, 1 - who, &request);
            assert_eq!(code, wanted, "{method} {headers:?}");
        }
        assert!(
            town.phone(1 - who).told.iter().all(is_notice),
            "{:?}",
            town.phone(1 - who).told
        );
        town.agree("requests of every kind");
    }
}

fn is_notice(event: &CallEvent) -> bool {
    matches!(event, CallEvent::Notice(_))
}

/// RFC 3261 §12.2.2.
fn asks_late(town: &mut Town) {
    for who in BOTH {
        town.forget();
        for method in ["INFO", "INVITE", "UPDATE", "REFER", "NOTIFY", "BYE"] {
            let mut request = town.write(who, method);
            let cseq = request.headers.cseq().expect("it was written here");
            let late = format!("{} {method}", cseq.number - 3);
            request.headers.set(HeaderName::CSeq, late);
            let from = town.phone(who).address;
            assert_eq!(town.ask(from, 1 - who, &request), 500, "{method}");
        }
        assert!(town.phone(1 - who).told.iter().all(is_notice));
        town.agree("requests with an old CSeq");
    }
}

/// RFC 3261 §12.2.2: Call-ID and both tags name a dialog, and whoever lacks one of them is in none.
fn strangers(town: &mut Town) {
    let elsewhere: SocketAddr = "203.0.113.9:5060".parse().expect("an address");
    for who in BOTH {
        town.forget();
        for method in [
            "BYE", "INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "CANCEL",
        ] {
            let mut request = town.write(who, method);
            let from = request.headers.from().expect("it was written here");
            request
                .headers
                .set(HeaderName::From, with_tag(from, "stranger"));
            assert_eq!(town.ask(elsewhere, 1 - who, &request), 481, "{method}");
        }
        for method in ["BYE", "INFO"] {
            let mut request = town.write(who, method);
            let to = request.headers.to().expect("it was written here");
            request
                .headers
                .set(HeaderName::To, with_tag(to, "stranger"));
            assert_eq!(town.ask(elsewhere, 1 - who, &request), 481, "{method}");
        }
        // Whoever has seen the INVITE knows all but the tag of the answer.
        let mut bye = town.write(who, "BYE");
        let mut to = bye.headers.to().expect("it was written here");
        to.params.remove("tag");
        bye.headers.set(HeaderName::To, to);
        assert_eq!(town.ask(elsewhere, 1 - who, &bye), 481);
        let ack = town.write(who, "ACK");
        let there = town.phone(1 - who).address;
        town.net.inject(elsewhere, there, ack.to_bytes());
        // More of them than anybody keeps.
        for _ in 0..200 {
            let mut request = town.write(who, "INFO");
            let from = request.headers.from().expect("it was written here");
            request
                .headers
                .set(HeaderName::From, with_tag(from, "stranger"));
            town.net.inject(elsewhere, there, request.to_bytes());
        }
        town.wait(SECOND);
        assert!(town.counts()[1 - who][1] <= Call::SERVER_LIMIT);
        assert!(town.phone(1 - who).told.iter().all(is_notice));
        town.agree("strangers");
    }
}

fn with_tag(mut name: NameAddr, tag: &str) -> NameAddr {
    name.set_tag(tag);
    name
}

/// RFC 3261 §17 and §13.2.2.4: what comes again changes nothing, while it may come again and after that; and a CANCEL of what
/// was answered does not, either (§9.2).
fn repeats(town: &mut Town) {
    let mut kept = Vec::new();
    for who in BOTH {
        change(town, who, "a change to be repeated", |phone| phone.key += 1);
        let invite = town.said(who, "INVITE").pop().expect("it was sent");
        let ack = town.said(who, "ACK").pop().expect("it was sent");
        let of_invite = |text: &Vec<u8>| {
            branch_of(text) == branch_of(&invite) && line(text, "CSeq: ").ends_with("INVITE")
        };
        let mut taken = town.said(1 - who, "SIP/2.0 200");
        taken.retain(of_invite);
        let ok = taken.pop().expect("it was taken");
        let here = town.phone(who).address;
        let there = town.phone(1 - who).address;
        let cancel = cancel_of(&invite);
        assert_eq!(town.ask(here, 1 - who, &cancel), 200);
        town.forget();
        for _ in 0..200 {
            town.net.inject(here, there, invite.clone());
            town.net.inject(here, there, ack.clone());
            town.net.inject(there, here, ok.clone());
            town.wait(SECOND / 100);
        }
        town.wait(2 * SECOND);
        for who in BOTH {
            assert!(
                town.phone(who).told.is_empty(),
                "{:?}",
                town.phone(who).told
            );
        }
        // The answer to a repeat is the one that was given, and the ACK the one that was sent.
        let mut answers = town.said(1 - who, "SIP/2.0");
        answers.retain(of_invite);
        assert!(answers.iter().all(|text| *text == ok));
        assert!(town.said(who, "ACK").iter().all(|text| *text == ack));
        town.agree("repeats");
        kept.push((here, there, invite, ok));
    }
    for who in BOTH {
        tell_contact(town, who);
    }
    town.wait(PATIENCE + 10 * SECOND);
    for (who, (here, there, invite, ok)) in kept.into_iter().enumerate() {
        town.forget();
        assert_eq!(town.ask(here, 1 - who, &cancel_of(&invite)), 481);
        let Ok(Message::Request(request)) = Message::parse(&invite) else {
            panic!("an INVITE is a request");
        };
        assert_eq!(
            town.ask(here, 1 - who, &request),
            500,
            "its CSeq is an old one by now"
        );
        for _ in 0..20 {
            town.net.inject(there, here, ok.clone());
        }
        town.wait(2 * SECOND);
        assert!(town.said(who, "ACK").is_empty(), "to a 2xx of long ago");
        town.agree("late repeats");
    }
}

/// RFC 3261 §9.1.
fn cancel_of(invite: &[u8]) -> Request {
    let Ok(Message::Request(invite)) = Message::parse(invite) else {
        panic!("an INVITE is a request");
    };
    let mut cancel = Request::new(Method::Cancel, invite.uri.clone());
    for field in invite.headers.iter() {
        let kept = [
            HeaderName::Via,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::MaxForwards,
        ];
        if kept.contains(field.name()) {
            cancel.headers.push(field.name(), field.value());
        }
    }
    let number = invite.headers.cseq().expect("it was sent by a call").number;
    cancel
        .headers
        .push(HeaderName::CSeq, format!("{number} CANCEL"));
    cancel
}

/// For eight seconds all is lost, and then nothing: with one in ten lost behind that, the last repeats would be too few now and then.
fn stands_still(town: &mut Town) {
    for who in BOTH {
        tell_contact(town, who);
        town.forget();
        town.net.set_rule(|_, _| Verdict::Drop);
        town.act(who, |phone, now| {
            phone.key += 1;
            phone.reoffer(now);
        });
        town.wait(8 * SECOND);
        town.net.clear_rule();
        town.net.set_link(Link::PERFECT);
        town.agree("a change while the network stood still");
        town.net.set_link(ROUGH);
    }
    // The answer is lost, and all that repeats it for a while.
    for who in BOTH {
        tell_contact(town, who);
        town.forget();
        let from = town.phone(1 - who).address;
        town.net
            .set_rule(move |_, packet| match packet.from == from {
                true => Verdict::Drop,
                false => Verdict::Pass,
            });
        town.act(who, |phone, now| {
            phone.key += 1;
            phone.reoffer(now);
        });
        town.wait(6 * SECOND);
        town.net.clear_rule();
        town.net.set_link(Link::PERFECT);
        town.agree("a change whose answer was lost");
        town.net.set_link(ROUGH);
    }
}

/// What cannot be sent has failed, and the call goes on.
fn unplugs(town: &mut Town) {
    for who in BOTH {
        tell_contact(town, who);
        let before = town.phone(who).agreed.clone();
        town.forget();
        town.phone_mut(who).unplugged = true;
        town.act(who, |phone, now| {
            phone.codec = "9 G722/8000".to_owned();
            phone.reoffer(now);
        });
        assert!(town.is_told(who, |event| *event
            == CallEvent::ReofferFailed { status: None }));
        for digit in [None, Some('5')] {
            let sent = town.act(who, |phone, now| match digit {
                None => phone.call().update(now, None),
                Some(digit) => {
                    let duration = None;
                    phone.call().send_digit(now, InfoDigit { digit, duration })
                }
            });
            assert_eq!(sent, Ok(()));
        }
        let carol = NameAddr::parse("<sip:carol@192.0.2.3>").expect("an address");
        town.act(who, |phone, now| {
            phone.call().refer(now, &carol, None).expect("it is up")
        });
        assert!(town.is_told(who, |event| {
            matches!(
                event,
                CallEvent::Refer {
                    progress: ReferProgress::Done(ReferOutcome::Unsent),
                    ..
                }
            )
        }));
        town.phone_mut(who).unplugged = false;
        town.phone_mut(who).codec = town.codec.clone();
        assert_eq!(before, town.phone(who).agreed, "{}", NAMES[who]);
        change(town, who, "it can be sent again", |phone| phone.key += 1);
    }
}
