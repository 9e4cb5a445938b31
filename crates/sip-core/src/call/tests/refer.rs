//! Transfers (RFC 3515): blind and attended, both roles, their reports, and subscriptions that outlive the session.

use sip_message::{Method, Replaces, StatusCode};
use testkit::Verdict;

use super::peer::{
    answers, called_by_script, calls_script, calls_script_that, follow, heard, last, response, say,
    within,
};
use super::*;
use crate::call::{ReferId, ReferOutcome, ReferProgress, ReferRequest, WrongState};

fn address(text: &str) -> NameAddr {
    NameAddr::parse(text).unwrap()
}

fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap()
}

/// What was told of transfers that this phone asked for, in short.
fn told(net: &Net, id: NodeId) -> Vec<String> {
    let short = |event: &CallEvent| match event {
        CallEvent::Refer { progress, .. } => Some(match progress {
            ReferProgress::Accepted => "accepted".to_owned(),
            ReferProgress::Progress { status, .. } => status.code().to_string(),
            ReferProgress::Done(ReferOutcome::Answered { status, .. }) => {
                format!("done {}", status.code())
            }
            ReferProgress::Done(ReferOutcome::Refused { status }) => {
                format!("refused {}", status.code())
            }
            ReferProgress::Done(other) => format!("{other:?}"),
        }),
        _ => None,
    };
    phone(net, id).events.iter().filter_map(short).collect()
}

/// What this phone is asked to do.
fn asked(net: &Net, id: NodeId) -> Vec<ReferRequest> {
    let request = |event: &CallEvent| match event {
        CallEvent::ReferRequested(request) => Some((**request).clone()),
        _ => None,
    };
    phone(net, id).events.iter().filter_map(request).collect()
}

fn refer(net: &mut Net, id: NodeId, to: &str) -> ReferId {
    let target = address(to);
    act(net, id, |phone, now| phone.call().refer(now, &target, None)).unwrap()
}

/// Two phones that carry out transfers, talking; the first one called.
fn with_transfers(seed: u64) -> (Net, NodeId, NodeId) {
    let mut net = Net::new(seed);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_phone(&mut net, BOB, "bob"),
    );
    for id in [alice, bob] {
        act(&mut net, id, |phone, _| {
            phone.config = phone.config.clone().with_transfers();
        });
    }
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    user(&mut net, bob, |call, now| call.answer(now, ANSWER.to_vec()));
    wait(&mut net, 100);
    (net, alice, bob)
}

/// A NOTIFY of the script for the last REFER it heard.
fn notify(net: &Net, bob: NodeId, cseq: u32, state: &str, line: &str) -> Request {
    let first = heard(net, bob, "INVITE")[0].clone();
    let refer = last(net, bob, "REFER");
    let mut notify = within(&first, "b", "NOTIFY", &format!("n{cseq}"), cseq);
    let number = refer.headers.cseq().unwrap().number;
    notify
        .headers
        .push(HeaderName::Event, format!("refer;id={number}"));
    notify.headers.push(HeaderName::SubscriptionState, state);
    notify.set_body("message/sipfrag", format!("{line}\r\n").into_bytes());
    notify
}

fn tell(net: &mut Net, bob: NodeId, cseq: u32, state: &str, line: &str) -> u16 {
    let bytes = notify(net, bob, cseq, state, line).to_bytes();
    say(net, bob, ALICE, bytes);
    wait(net, 10);
    answers(net, bob, "NOTIFY").last().unwrap().status.code()
}

fn accept(net: &mut Net, bob: NodeId) {
    let bytes = response(&last(net, bob, "REFER"), 202, "").to_bytes();
    say(net, bob, ALICE, bytes);
    wait(net, 10);
}

/// A script that called ALICE, who carries out transfers, with its INVITE and the To of the dialog.
fn transferring() -> (Net, NodeId, NodeId, Request, String) {
    let (mut net, alice, bob, request, to) = called_by_script();
    act(&mut net, alice, |phone, _| {
        let config = phone.config.clone().with_transfers();
        phone.call().config.capabilities = config.capabilities;
    });
    (net, alice, bob, request, to)
}

fn ask(
    net: &mut Net,
    bob: NodeId,
    first: &Request,
    to: &str,
    cseq: u32,
    change: impl FnOnce(&mut Request),
) {
    let mut refer = follow(first, to, "REFER", &format!("r{cseq}"), cseq);
    change(&mut refer);
    say(net, bob, ALICE, refer.to_bytes());
    wait(net, 10);
}

fn to_carol(refer: &mut Request) {
    refer
        .headers
        .push(HeaderName::ReferTo, "<sip:carol@192.0.2.3>");
}

/// What each NOTIFY that the script heard says: Event, Subscription-State up to its parameters, the status line.
fn reports(net: &Net, bob: NodeId) -> Vec<(String, String, String)> {
    let of = |notify: &Request| {
        let value = |name| notify.headers.get(name).unwrap().to_owned();
        let state = value(HeaderName::SubscriptionState);
        let state = state.split(";expires").next().unwrap().to_owned();
        let body = String::from_utf8(notify.body.clone()).unwrap();
        (value(HeaderName::Event), state, body.trim_end().to_owned())
    };
    heard(net, bob, "NOTIFY").iter().map(of).collect()
}

fn confirm_reports(net: &mut Net, bob: NodeId) {
    for notify in heard(net, bob, "NOTIFY") {
        say(net, bob, ALICE, response(&notify, 200, "").to_bytes());
    }
    wait(net, 10);
}

#[test]
fn a_blind_transfer_is_told_from_100_to_200_and_ended_by_the_transferor() {
    let (mut net, alice, bob) = with_transfers(1);
    let from = net.elapsed();
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 10);
    let refer = requests(&net, "REFER").pop().unwrap();
    assert_eq!(
        refer.headers.get(HeaderName::ReferTo),
        Some("<sip:carol@192.0.2.3>")
    );
    assert_eq!(
        refer.headers.get(HeaderName::ReferredBy),
        Some("<sip:alice@192.0.2.1>")
    );
    assert!(refer.headers.has(HeaderName::Contact), "RFC 3515 §2.2");
    let wanted = asked(&net, bob).pop().unwrap();
    assert_eq!(wanted.target, address("<sip:carol@192.0.2.3>"));
    assert_eq!(wanted.referred_by, Some(address("<sip:alice@192.0.2.1>")));
    assert!(wanted.wants_reports && wanted.replaces.is_none());
    user(&mut net, bob, |call, now| call.accept_refer(now, wanted.id));
    wait(&mut net, 10);
    for code in [180, 200] {
        user(&mut net, bob, |call, now| {
            call.report_refer(now, wanted.id, status(code))
        });
        wait(&mut net, 10);
    }
    assert_eq!(
        wire_since(&net, from),
        [
            ".1>.2 REFER",
            ".2>.1 202 REFER",
            ".2>.1 NOTIFY",
            ".1>.2 200 NOTIFY",
            ".2>.1 NOTIFY",
            ".1>.2 200 NOTIFY",
            ".2>.1 NOTIFY",
            ".1>.2 200 NOTIFY",
        ]
    );
    assert_eq!(told(&net, alice), ["accepted", "100", "180", "done 200"]);
    let late = act(&mut net, bob, |phone, now| {
        phone.call().report_refer(now, wanted.id, status(200))
    });
    assert_eq!(late, Err(WrongState::NothingDue));
    user(&mut net, alice, Call::hang_up);
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn an_attended_transfer_names_the_call_to_replace() {
    let (mut net, alice, bob) = with_transfers(2);
    let replaces = Replaces {
        call_id: "12345@192.168.118.3".to_owned(),
        to_tag: "12345".to_owned(),
        from_tag: "5FFE-3994".to_owned(),
        early_only: false,
    };
    let target = address("<sip:carol@192.0.2.3>");
    act(&mut net, alice, |phone, now| {
        phone.call().refer(now, &target, Some(&replaces))
    })
    .unwrap();
    wait(&mut net, 10);
    let refer = requests(&net, "REFER").pop().unwrap();
    // RFC 3891 §4 and RFC 3261 §19.1.1: what a header in a URI may not hold is escaped.
    assert_eq!(
        refer.headers.get(HeaderName::ReferTo),
        Some(
            "<sip:carol@192.0.2.3?Replaces=12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994>"
        )
    );
    let wanted = asked(&net, bob).pop().unwrap();
    assert_eq!(wanted.replaces, Some(replaces));
    assert_eq!(wanted.target, target, "the address alone");
}

#[test]
fn case_38_the_last_report_comes_home_although_the_transferor_left() {
    // RFC 5057: BYE ends the session, not the subscription.
    for transferor_leaves in [true, false] {
        let (mut net, alice, bob) = with_transfers(3);
        refer(&mut net, alice, "<sip:carol@192.0.2.3>");
        wait(&mut net, 10);
        let id = asked(&net, bob)[0].id;
        user(&mut net, bob, |call, now| call.accept_refer(now, id));
        wait(&mut net, 10);
        user(
            &mut net,
            if transferor_leaves { alice } else { bob },
            Call::hang_up,
        );
        wait(&mut net, 90_000);
        assert!(phone(&net, alice).ended().is_some() && phone(&net, bob).ended().is_some());
        for id in [alice, bob] {
            assert!(
                !phone(&net, id).call.as_ref().unwrap().is_drained(),
                "a usage is left"
            );
        }
        user(&mut net, bob, |call, now| {
            call.report_refer(now, id, status(180))
        });
        wait(&mut net, 10);
        user(&mut net, bob, |call, now| {
            call.report_refer(now, id, status(486))
        });
        wait(&mut net, 10);
        assert_eq!(told(&net, alice), ["accepted", "100", "180", "done 486"]);
        assert_all_gone(&mut net, &[alice, bob]);
    }
}

#[test]
fn case_38_a_call_without_a_last_report_is_drained_after_the_limit_of_the_subscription() {
    let (mut net, alice, bob) = calls_script();
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 10);
    accept(&mut net, bob);
    assert_eq!(
        tell(&mut net, bob, 1, "active;expires=120", "SIP/2.0 100 Trying"),
        200
    );
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    let bytes = response(&last(&net, bob, "BYE"), 200, "").to_bytes();
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 119_000);
    assert!(!phone(&net, alice).call.as_ref().unwrap().is_drained());
    wait(&mut net, 2_000);
    assert_eq!(
        told(&net, alice),
        ["accepted", "100", "Lost { reason: None }"]
    );
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn case_39_a_notify_before_the_202_is_taken_for_it() {
    let (mut net, alice, bob) = calls_script();
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 10);
    assert_eq!(
        tell(&mut net, bob, 1, "active;expires=60", "SIP/2.0 100 Trying"),
        200
    );
    assert_eq!(told(&net, alice), ["accepted", "100"]);
    accept(&mut net, bob);
    assert_eq!(
        tell(
            &mut net,
            bob,
            2,
            "terminated;reason=noresource",
            "SIP/2.0 200 OK"
        ),
        200
    );
    assert_eq!(told(&net, alice), ["accepted", "100", "done 200"]);
    assert_eq!(
        tell(&mut net, bob, 3, "active", "SIP/2.0 180 Ringing"),
        481,
        "that subscription is over"
    );
}

#[test]
fn a_last_notify_before_the_202_is_the_outcome() {
    let (mut net, alice, bob) = calls_script();
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 10);
    assert_eq!(
        tell(
            &mut net,
            bob,
            1,
            "terminated;reason=noresource",
            "SIP/2.0 603 Decline"
        ),
        200
    );
    accept(&mut net, bob);
    assert_eq!(told(&net, alice), ["accepted", "done 603"]);
    user(&mut net, alice, Call::hang_up);
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_refused_refer_leaves_the_call_and_says_how_it_was_refused() {
    for code in [405, 603, 503] {
        let (mut net, alice, bob) = calls_script();
        refer(&mut net, alice, "<sip:carol@192.0.2.3>");
        wait(&mut net, 10);
        let bytes = response(&last(&net, bob, "REFER"), code, "").to_bytes();
        say(&mut net, bob, ALICE, bytes);
        wait(&mut net, 10);
        assert_eq!(told(&net, alice), [format!("refused {code}")]);
        assert!(phone(&net, alice).ended().is_none());
    }
}

#[test]
fn a_refer_that_nobody_answers_is_told_unsent_and_one_without_notify_lost() {
    let (mut net, alice, bob) = calls_script();
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 33_000);
    assert_eq!(told(&net, alice), ["Unsent"]);
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 10);
    accept(&mut net, bob);
    // RFC 6665 §4.1.2.4, Timer N.
    wait(&mut net, 31_900);
    assert_eq!(told(&net, alice).len(), 2);
    wait(&mut net, 200);
    assert_eq!(
        told(&net, alice),
        ["Unsent", "accepted", "Lost { reason: None }"]
    );
    assert!(phone(&net, alice).ended().is_none());
}

#[test]
fn two_transfers_at_once_are_told_apart_by_their_id() {
    // RFC 3515 §2.4.6.
    let (mut net, alice, bob) = with_transfers(4);
    let first = refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    let second = refer(&mut net, alice, "<sip:dave@192.0.2.4>");
    wait(&mut net, 10);
    let wanted = asked(&net, bob);
    assert_eq!(wanted.len(), 2);
    for request in &wanted {
        user(&mut net, bob, |call, now| {
            call.accept_refer(now, request.id)
        });
    }
    wait(&mut net, 10);
    for (request, code) in [(&wanted[1], 486), (&wanted[0], 200)] {
        user(&mut net, bob, |call, now| {
            call.report_refer(now, request.id, status(code))
        });
        wait(&mut net, 10);
    }
    let outcomes: Vec<(ReferId, u16)> = phone(&net, alice)
        .events
        .iter()
        .filter_map(|event| match event {
            CallEvent::Refer {
                id,
                progress: ReferProgress::Done(ReferOutcome::Answered { status, .. }),
            } => Some((*id, status.code())),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [(second, 486), (first, 200)]);
}

#[test]
fn a_transfer_without_reports_is_accepted_so_and_over() {
    // RFC 4488 §4.
    let (mut net, alice, bob) = with_transfers(5);
    let target = address("<sip:carol@192.0.2.3>");
    act(&mut net, alice, |phone, now| {
        phone.call().refer_untold(now, &target, None)
    })
    .unwrap();
    wait(&mut net, 10);
    let wanted = asked(&net, bob).pop().unwrap();
    assert!(!wanted.wants_reports);
    user(&mut net, bob, |call, now| call.accept_refer(now, wanted.id));
    wait(&mut net, 10);
    let ok = responses(&net, "REFER").pop().unwrap();
    assert_eq!(
        (ok.status.code(), ok.headers.get(HeaderName::ReferSub)),
        (202, Some("false"))
    );
    assert!(requests(&net, "NOTIFY").is_empty());
    assert_eq!(told(&net, alice), ["accepted", "Untold"]);
    assert_eq!(phone(&net, bob).call.as_ref().unwrap().counts()[4], 0);
}

#[test]
fn reports_go_out_in_order_and_what_is_overtaken_is_not_said() {
    let (mut net, alice, bob, request, to) = transferring();
    ask(&mut net, bob, &request, &to, 8, to_carol);
    let id = asked(&net, alice)[0].id;
    user(&mut net, alice, |call, now| call.accept_refer(now, id));
    for code in [180, 183, 200] {
        user(&mut net, alice, |call, now| {
            call.report_refer(now, id, status(code))
        });
    }
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "NOTIFY").len(), 1, "one at a time");
    confirm_reports(&mut net, bob);
    assert_eq!(
        reports(&net, bob),
        [
            (
                "refer;id=8".to_owned(),
                "active".to_owned(),
                "SIP/2.0 100 Trying".to_owned()
            ),
            (
                "refer;id=8".to_owned(),
                "terminated;reason=noresource".to_owned(),
                "SIP/2.0 200 OK".to_owned()
            ),
        ]
    );
    let notify = last(&net, bob, "NOTIFY");
    assert_eq!(
        notify.headers.get(HeaderName::ContentType),
        Some("message/sipfrag;version=2.0")
    );
    assert!(
        notify.headers.has(HeaderName::Contact),
        "RFC 6665: a target refresh"
    );
    confirm_reports(&mut net, bob);
    assert_eq!(phone(&net, alice).call.as_ref().unwrap().counts()[4], 0);
}

#[test]
fn a_refer_that_the_user_declines_gets_the_users_answer() {
    let (mut net, alice, bob, request, to) = transferring();
    ask(&mut net, bob, &request, &to, 8, to_carol);
    let id = asked(&net, alice)[0].id;
    let wrong = act(&mut net, alice, |phone, now| {
        phone.call().reject_refer(now, id, status(200))
    });
    assert_eq!(wrong, Err(WrongState::Status(200)));
    user(&mut net, alice, |call, now| {
        call.reject_refer(now, id, status(603))
    });
    wait(&mut net, 10);
    assert_eq!(
        answers(&net, bob, "REFER").pop().unwrap().status.code(),
        603
    );
    assert!(heard(&net, bob, "NOTIFY").is_empty());
    let again = act(&mut net, alice, |phone, now| {
        phone.call().accept_refer(now, id)
    });
    assert_eq!(again, Err(WrongState::NothingDue));
}

#[test]
fn a_refer_is_answered_before_its_transaction_runs_out_although_the_user_thinks() {
    // RFC 3515 §2.4.2: 202 at once, and the NOTIFY says that it is pending.
    for (yes, last_state, line) in [
        (true, "active", "SIP/2.0 100 Trying"),
        (false, "terminated;reason=rejected", "SIP/2.0 603 Decline"),
    ] {
        let (mut net, alice, bob, request, to) = transferring();
        ask(&mut net, bob, &request, &to, 8, to_carol);
        wait(&mut net, 9_900);
        let heard: Vec<_> = answers(&net, bob, "REFER");
        assert!(heard.iter().all(|answer| answer.status.is_provisional()));
        wait(&mut net, 200);
        assert_eq!(
            answers(&net, bob, "REFER").pop().unwrap().status.code(),
            202
        );
        assert_eq!(reports(&net, bob)[0].1, "pending");
        confirm_reports(&mut net, bob);
        wait(&mut net, 60_000);
        let id = asked(&net, alice)[0].id;
        user(&mut net, alice, |call, now| {
            if yes {
                call.accept_refer(now, id)
            } else {
                call.reject_refer(now, id, status(603))
            }
        });
        wait(&mut net, 10);
        let report = reports(&net, bob).pop().unwrap();
        assert_eq!((report.1.as_str(), report.2.as_str()), (last_state, line));
    }
}

#[test]
fn a_subscription_whose_time_is_over_is_closed_with_timeout() {
    let (mut net, alice, bob, request, to) = transferring();
    ask(&mut net, bob, &request, &to, 8, to_carol);
    let id = asked(&net, alice)[0].id;
    user(&mut net, alice, |call, now| call.accept_refer(now, id));
    wait(&mut net, 10);
    confirm_reports(&mut net, bob);
    wait(&mut net, 600_100);
    assert_eq!(
        reports(&net, bob).pop().unwrap().1,
        "terminated;reason=timeout"
    );
}

#[test]
fn a_report_that_is_refused_ends_its_subscription_and_not_the_call() {
    // RFC 5057 §5.1.
    let (mut net, alice, bob, request, to) = transferring();
    ask(&mut net, bob, &request, &to, 8, to_carol);
    let id = asked(&net, alice)[0].id;
    user(&mut net, alice, |call, now| call.accept_refer(now, id));
    wait(&mut net, 10);
    let bytes = response(&last(&net, bob, "NOTIFY"), 481, "").to_bytes();
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 10);
    assert!(phone(&net, alice).ended().is_none());
    assert_eq!(phone(&net, alice).call.as_ref().unwrap().counts()[4], 0);
}

#[test]
fn a_refer_that_breaks_a_rule_is_refused_before_anybody_is_asked() {
    // RFC 3515 §2.4.2 and what a phone does not do.
    let cases: [(&[&str], u16); 6] = [
        (&[], 400),
        (&["<sip:carol@192.0.2.3>", "<sip:dave@192.0.2.4>"], 400),
        (&["<http://example.com/>"], 416),
        (&["<sip:carol@192.0.2.3;method=BYE>"], 603),
        (&["<sip:carol@192.0.2.3?Replaces=nothing>"], 400),
        (&["<>"], 400),
    ];
    for (targets, code) in cases {
        let (mut net, alice, bob, request, to) = transferring();
        ask(&mut net, bob, &request, &to, 8, |refer| {
            for target in targets {
                refer.headers.push(HeaderName::ReferTo, *target);
            }
        });
        assert_eq!(
            answers(&net, bob, "REFER").pop().unwrap().status.code(),
            code,
            "{targets:?}"
        );
        assert!(asked(&net, alice).is_empty());
    }
}

#[test]
fn without_transfers_a_refer_is_answered_405_with_what_is_allowed() {
    let (mut net, alice, bob, request, to) = called_by_script();
    ask(&mut net, bob, &request, &to, 8, to_carol);
    let refusal = answers(&net, bob, "REFER").pop().unwrap();
    assert_eq!(refusal.status.code(), 405);
    assert!(
        !refusal
            .headers
            .get(HeaderName::Allow)
            .unwrap()
            .contains("REFER")
    );
    assert!(asked(&net, alice).is_empty());
}

#[test]
fn a_notify_of_nothing_we_asked_for_is_refused() {
    let (mut net, alice, bob) = calls_script();
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 10);
    accept(&mut net, bob);
    let mut other = notify(&net, bob, 1, "active", "SIP/2.0 100 Trying");
    other.headers.set(HeaderName::Event, "refer;id=1");
    say(&mut net, bob, ALICE, other.to_bytes());
    let mut other = notify(&net, bob, 2, "active", "SIP/2.0 100 Trying");
    other.headers.set(HeaderName::Event, "presence");
    say(&mut net, bob, ALICE, other.to_bytes());
    wait(&mut net, 10);
    let codes: Vec<_> = answers(&net, bob, "NOTIFY")
        .iter()
        .map(|answer| answer.status.code())
        .collect();
    assert_eq!(codes, [481, 489]);
    assert_eq!(told(&net, alice), ["accepted"]);
}

#[test]
fn a_flood_of_refers_and_reports_does_not_grow_the_call() {
    let (mut net, alice, bob, request, to) = transferring();
    for cseq in 8..40 {
        ask(&mut net, bob, &request, &to, cseq, to_carol);
    }
    assert_eq!(asked(&net, alice).len(), 8);
    assert_eq!(phone(&net, alice).call.as_ref().unwrap().counts()[4], 8);
    let id = asked(&net, alice)[0].id;
    user(&mut net, alice, |call, now| call.accept_refer(now, id));
    for _ in 0..100 {
        user(&mut net, alice, |call, now| {
            call.report_refer(now, id, status(180))
        });
    }
    wait(&mut net, 10);
    confirm_reports(&mut net, bob);
    confirm_reports(&mut net, bob);
    assert!(heard(&net, bob, "NOTIFY").len() <= 3);
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 600_000);
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_transfer_survives_lost_messages() {
    let (mut net, alice, bob) = with_transfers(6);
    let mut lost = 0;
    net.set_rule(move |_, packet| {
        let first =
            packet.payload.starts_with(b"NOTIFY") || packet.payload.starts_with(b"SIP/2.0 202");
        if first && lost < 2 {
            lost += 1;
            return Verdict::Drop;
        }
        Verdict::Pass
    });
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 2_000);
    let id = asked(&net, bob)[0].id;
    user(&mut net, bob, |call, now| call.accept_refer(now, id));
    wait(&mut net, 5_000);
    user(&mut net, bob, |call, now| {
        call.report_refer(now, id, status(200))
    });
    wait(&mut net, 5_000);
    assert_eq!(told(&net, alice), ["accepted", "100", "done 200"]);
}

#[test]
fn a_challenged_refer_is_named_by_the_number_of_its_second_try() {
    let (mut net, alice, bob) = calls_script_that(|_| {});
    act(&mut net, alice, |phone, _| {
        let login = vec![Credentials::new("alice", "secret")];
        phone.call().authenticator = crate::auth::Authenticator::new(login);
    });
    refer(&mut net, alice, "<sip:carol@192.0.2.3>");
    wait(&mut net, 10);
    let mut challenge = response(&last(&net, bob, "REFER"), 407, "");
    challenge.headers.push(
        HeaderName::ProxyAuthenticate,
        "Digest realm=\"r\", nonce=\"n\", algorithm=MD5",
    );
    say(&mut net, bob, ALICE, challenge.to_bytes());
    wait(&mut net, 10);
    accept(&mut net, bob);
    assert_eq!(
        tell(
            &mut net,
            bob,
            1,
            "terminated;reason=noresource",
            "SIP/2.0 200 OK"
        ),
        200
    );
    assert_eq!(told(&net, alice), ["accepted", "done 200"]);
}

/// RFC 5057 §5.1: what a proxy says of one request is not said of the call.
#[test]
fn a_refer_or_info_that_is_timed_out_on_its_way_leaves_the_call_and_a_481_ends_it() {
    for (method, code, ends) in [
        ("REFER", 408, false),
        ("REFER", 481, true),
        ("INFO", 408, false),
        ("INFO", 481, true),
    ] {
        let (mut net, alice, bob) = calls_script();
        if method == "REFER" {
            refer(&mut net, alice, "<sip:carol@192.0.2.3>");
        } else {
            user(&mut net, alice, |call, now| {
                call.info(now, "text/plain", b"x".to_vec())
            });
        }
        wait(&mut net, 10);
        let asked = last(&net, bob, method);
        say(&mut net, bob, ALICE, response(&asked, code, "b").to_bytes());
        wait(&mut net, 10);
        assert_eq!(
            phone(&net, alice).ended().is_some(),
            ends,
            "{method} {code}"
        );
        assert_eq!(heard(&net, bob, "BYE").len(), usize::from(ends));
        if method == "REFER" {
            assert_eq!(told(&net, alice), [format!("refused {code}")]);
        }
    }
}

/// RFC 4538 §4, §5: who knows the dialog of a call may ask for its transfer from outside of it. That makes a dialog of
/// its own (RFC 6665 §4.4.1), in which it is reported, and is no part of the call's.
#[test]
fn who_names_the_call_may_ask_for_its_transfer_from_outside() {
    let (mut net, alice, bob, first, _) = transferring();
    let target = phone(&net, alice).call.as_ref().unwrap();
    let target = target.as_target_dialog().unwrap();
    // As the other end sees it.
    let named = format!(
        "{};local-tag={};remote-tag={}",
        target.call_id, target.remote_tag, target.local_tag
    );
    let outside = |number: u32, named: &str| {
        let mut refer = first.clone();
        refer.method = Method::Refer;
        refer.body.clear();
        let headers = &mut refer.headers;
        headers.remove(HeaderName::ContentType);
        headers.set(HeaderName::CallId, "another@call");
        headers.set(HeaderName::CSeq, format!("{number} REFER"));
        headers.set(HeaderName::From, "<sip:desk@192.0.2.2>;tag=desk");
        headers.set(
            HeaderName::Via,
            format!("SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKout{number}"),
        );
        headers.set(HeaderName::Contact, "<sip:desk@192.0.2.2>");
        headers.push(HeaderName::RecordRoute, "<sip:192.0.2.2;lr>");
        headers.push(HeaderName::ReferTo, "<sip:carol@192.0.2.2>");
        headers.push(HeaderName::Require, "tdialog");
        headers.push(HeaderName::TargetDialog, named);
        refer
    };
    // The wrong way round it is somebody who has only read it.
    let swapped = format!(
        "{};local-tag={};remote-tag={}",
        target.call_id, target.local_tag, target.remote_tag
    );
    say(&mut net, bob, ALICE, outside(1, &swapped).to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        answers(&net, bob, "REFER").last().unwrap().status.code(),
        481
    );
    assert!(asked(&net, alice).is_empty());

    say(&mut net, bob, ALICE, outside(2, &named).to_bytes());
    wait(&mut net, 10);
    let request = asked(&net, alice)[0].clone();
    let key = request.dialog.clone().expect("a dialog of its own");
    assert_eq!(key.call_id, "another@call");
    act(&mut net, alice, |phone, now| {
        phone.call().accept_refer(now, request.id)
    })
    .unwrap();
    wait(&mut net, 10);
    let accepted = answers(&net, bob, "REFER").last().unwrap().clone();
    assert_eq!(accepted.status.code(), 202);
    // RFC 3261 §12.1.1.
    let routes = accepted.headers.get_all(HeaderName::RecordRoute).count();
    assert_eq!(routes, 1);
    assert!(accepted.headers.has(HeaderName::Contact));
    for (number, status) in [(1, None), (2, Some(180)), (3, Some(200))] {
        if let Some(code) = status {
            let id = request.id;
            act(&mut net, alice, |phone, now| {
                phone.call().report_refer(now, id, self::status(code))
            })
            .unwrap();
            wait(&mut net, 10);
        }
        let note = last(&net, bob, "NOTIFY");
        assert_eq!(note.headers.get(HeaderName::CallId), Some("another@call"));
        assert_eq!(note.headers.cseq().unwrap().number, number);
        assert_eq!(note.headers.to().unwrap().tag(), Some("desk"));
        assert_eq!(
            note.headers.from().unwrap().tag(),
            accepted.headers.to().unwrap().tag()
        );
        assert!(note.headers.has(HeaderName::Route));
        say(&mut net, bob, ALICE, response(&note, 200, "").to_bytes());
        wait(&mut net, 10);
    }
    assert!(phone(&net, alice).ended().is_none(), "the call goes on");
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    let bytes = response(&last(&net, bob, "BYE"), 200, "").to_bytes();
    say(&mut net, bob, ALICE, bytes);
    assert_all_gone(&mut net, &[alice]);
}
