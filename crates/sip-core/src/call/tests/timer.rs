//! Session timers (RFC 4028): who refreshes, when, with what, and what happens when nobody does.

use sip_message::{Refresher, SessionExpires};

use super::peer::{
    answer, answered_with, answers, called_by_script_with, calling, calls_script_that, follow,
    heard, last, offer_from, response, say, within,
};
use super::*;
use crate::call::IntervalRefused;

const MINUTE: u64 = 60_000;

fn expires(text: &str) -> impl Fn(&mut Response) {
    move |response| {
        response.headers.push(HeaderName::SessionExpires, text);
        response.headers.push(HeaderName::Require, "timer");
        response
            .headers
            .push(HeaderName::Allow, "INVITE, ACK, BYE, CANCEL, UPDATE");
    }
}

fn without_update(text: &str) -> impl Fn(&mut Response) {
    move |response| {
        expires(text)(response);
        response
            .headers
            .set(HeaderName::Allow, "INVITE, ACK, BYE, CANCEL");
    }
}

fn asked_for(text: &str) -> impl Fn(&mut Request) {
    move |request| {
        request.headers.push(HeaderName::Supported, "timer");
        request.headers.push(HeaderName::SessionExpires, text);
        request
            .headers
            .push(HeaderName::Allow, "INVITE, ACK, BYE, CANCEL, UPDATE");
    }
}

fn interval(net: &Net, id: NodeId) -> Option<(u64, bool)> {
    let agreed = phone(net, id).call.as_ref().unwrap().session_interval()?;
    Some((agreed.interval.as_secs(), agreed.we_refresh))
}

fn named(headers: &sip_message::Headers) -> Option<(u32, Option<Refresher>)> {
    let expires: SessionExpires = headers.session_expires().ok()?;
    Some((expires.interval_s, expires.refresher))
}

/// Says 200 to the last UPDATE heard, granting this.
fn grant(net: &mut Net, bob: NodeId, text: &str) {
    let update = last(net, bob, "UPDATE");
    let mut ok = response(&update, 200, "");
    expires(text)(&mut ok);
    say(net, bob, ALICE, ok.to_bytes());
    wait(net, 10);
}

#[test]
fn the_first_invite_asks_for_thirty_minutes_and_names_no_refresher() {
    // RFC 4028 §7.1: Supported is a must, and the refresher is better left to the other end.
    let (net, _, _, request) = calling(Some(OFFER));
    let supported = request.headers.supported().unwrap();
    assert!(supported.iter().any(|tag| tag == "timer"));
    assert_eq!(named(&request.headers), Some((1800, None)));
    assert_eq!(request.headers.get(HeaderName::MinSe), None);
    drop(net);
}

#[test]
fn two_phones_agree_and_the_callee_refreshes_by_update() {
    let (mut net, alice, bob) = talking(5);
    assert_eq!(interval(&net, alice), Some((1800, false)));
    assert_eq!(interval(&net, bob), Some((1800, true)));
    let from = net.elapsed();
    wait(&mut net, 15 * MINUTE + 1000);
    assert_eq!(wire_since(&net, from), [".2>.1 UPDATE", ".1>.2 200 UPDATE"]);
    let update = requests(&net, "UPDATE").pop().unwrap();
    assert!(update.body.is_empty(), "RFC 4028 §7.4: without an offer");
    // The callee is the UAC of its UPDATE: it stays the refresher (RFC 4028 §7.4).
    assert_eq!(named(&update.headers), Some((1800, Some(Refresher::Uac))));
    let ok = responses(&net, "UPDATE").pop().unwrap();
    assert_eq!(named(&ok.headers), Some((1800, Some(Refresher::Uac))));
    wait(&mut net, 120 * MINUTE);
    assert!(phone(&net, alice).ended().is_none() && phone(&net, bob).ended().is_none());
    assert_eq!(requests(&net, "UPDATE").len(), 9);
    user(&mut net, alice, Call::hang_up);
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn case_35_a_caller_made_refresher_refreshes_at_half_and_each_2xx_arms_anew() {
    let (mut net, alice, bob) = calls_script_that(expires("200;refresher=uac"));
    assert_eq!(interval(&net, alice), Some((200, true)));
    wait(&mut net, 99_900);
    assert!(heard(&net, bob, "UPDATE").is_empty());
    wait(&mut net, 200);
    let update = last(&net, bob, "UPDATE");
    assert_eq!(named(&update.headers), Some((200, Some(Refresher::Uac))));
    grant(&mut net, bob, "120;refresher=uac");
    wait(&mut net, 59_800);
    assert_eq!(heard(&net, bob, "UPDATE").len(), 1);
    wait(&mut net, 400);
    assert_eq!(
        heard(&net, bob, "UPDATE").len(),
        2,
        "half of the new interval"
    );
    grant(&mut net, bob, "120;refresher=uas");
    assert_eq!(interval(&net, alice), Some((120, false)));
    // Now the peer is silent: not before the third of 120 s is all that is left.
    wait(&mut net, 87_900);
    assert!(phone(&net, alice).ended().is_none());
    wait(&mut net, 200);
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::SessionExpired));
    let bye = last(&net, bob, "BYE");
    let reason = bye.headers.get(HeaderName::Reason).unwrap();
    assert_eq!(reason, "SIP;cause=408;text=\"session timer expired\"");
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn case_35_without_a_refresh_bye_goes_min_of_32_s_and_a_third_before_the_end_and_not_before() {
    // RFC 4028 §10.
    for (seconds, last_try, end) in [(1800_u64, 1_738_000, 1_768_000), (90, 52_500, 60_000)] {
        let (mut net, alice, bob) = calls_script_that(expires(&format!("{seconds};refresher=uas")));
        wait(&mut net, last_try - 100);
        assert!(
            heard(&net, bob, "UPDATE").is_empty(),
            "the peer is the refresher"
        );
        wait(&mut net, end - last_try);
        assert!(phone(&net, alice).ended().is_none());
        assert!(!heard(&net, bob, "UPDATE").is_empty(), "it may be there");
        wait(&mut net, 200);
        assert_eq!(phone(&net, alice).ended(), Some(&EndKind::SessionExpired));
        assert_eq!(heard(&net, bob, "BYE").len(), 1);
    }
}

/// RFC 4028 §10 ends the call of a peer that is gone. One that is there and has forgotten that it is the refresher answers.
#[test]
fn a_peer_that_forgets_to_refresh_and_answers_keeps_the_call() {
    let (mut net, alice, bob) = calls_script_that(expires("90;refresher=uas"));
    for _ in 0..5 {
        let before = heard(&net, bob, "UPDATE").len();
        wait(&mut net, 52_600);
        let update = heard(&net, bob, "UPDATE").pop().unwrap();
        assert_eq!(heard(&net, bob, "UPDATE").len(), before + 1);
        // Whose turn it is stays as it was agreed.
        assert_eq!(named(&update.headers), Some((90, Some(Refresher::Uas))));
        let mut ok = answer(&update, 200, "b", "sip:bob@192.0.2.2", b"");
        expires("90;refresher=uas")(&mut ok);
        say(&mut net, bob, ALICE, ok.to_bytes());
    }
    assert!(phone(&net, alice).ended().is_none());
}

#[test]
fn case_35_the_timer_is_armed_by_the_2xx_that_confirms_an_early_dialog() {
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let ringing = answer(&request, 180, "b", "sip:bob@192.0.2.2", b"");
    say(&mut net, bob, ALICE, ringing.to_bytes());
    wait(&mut net, 60_000);
    assert_eq!(interval(&net, alice), None, "nothing runs before the 2xx");
    let mut ok = answer(&request, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    expires("90;refresher=uac")(&mut ok);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 45_100);
    assert_eq!(heard(&net, bob, "UPDATE").len(), 1);
}

#[test]
fn case_35_a_422_is_followed_once_with_its_min_se() {
    // RFC 4028 §7.3: the same Call-ID, the next number, Session-Expires no shorter than Min-SE.
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let mut short = response(&request, 422, "proxy");
    short.headers.push(HeaderName::MinSe, 3600);
    say(&mut net, bob, ALICE, short.to_bytes());
    wait(&mut net, 10);
    let again = last(&net, bob, "INVITE");
    assert_eq!(
        again.headers.cseq().unwrap().number,
        request.headers.cseq().unwrap().number + 1
    );
    assert_eq!(
        again.headers.get(HeaderName::CallId),
        request.headers.get(HeaderName::CallId)
    );
    assert_eq!(
        again.headers.get(HeaderName::To),
        request.headers.get(HeaderName::To)
    );
    assert_eq!(named(&again.headers), Some((3600, None)));
    assert_eq!(again.headers.min_se().unwrap(), 3600);
    assert_eq!(again.body, OFFER);
    assert!(phone(&net, alice).ended().is_none());
    let mut short = response(&again, 422, "proxy");
    short.headers.push(HeaderName::MinSe, 7200);
    say(&mut net, bob, ALICE, short.to_bytes());
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "INVITE").len(), 2, "once is enough");
    let refused = IntervalRefused {
        asked_s: Some(3600),
        least_s: Some(7200),
        lengthened: true,
    };
    assert_eq!(interval_refused(&net, alice), Some(refused));
    assert_all_gone(&mut net, &[alice]);
}

/// What the 422 was about that ended the call.
fn interval_refused(net: &Net, id: NodeId) -> Option<IntervalRefused> {
    match phone(net, id).ended() {
        Some(EndKind::Status {
            code: 422,
            interval,
            ..
        }) => *interval,
        other => panic!("{other:?}"),
    }
}

/// RFC 4028 §6 and §7.3: a 422 owes a Min-SE, and asks for more than there was.
#[test]
fn a_422_that_names_nothing_longer_ends_the_call_and_says_what_was_asked_for() {
    let least = |name: &str| (!name.is_empty()).then(|| name.parse().unwrap());
    for (wish, min_se) in [
        (Some(1800), ""),
        (Some(1800), "90"),
        (Some(1800), "1800"),
        (None, ""),
        (None, "3600"),
    ] {
        let mut net = Net::new(1);
        let alice = add_phone(&mut net, ALICE, "alice");
        let bob = add_script(&mut net, BOB);
        act(&mut net, alice, |phone, _| {
            phone.config.session_timer.interval = wish.map(Duration::from_secs);
        });
        dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
        wait(&mut net, 10);
        let request = last(&net, bob, "INVITE");
        let mut short = response(&request, 422, "proxy");
        if !min_se.is_empty() {
            short.headers.push(HeaderName::MinSe, min_se);
        }
        say(&mut net, bob, ALICE, short.to_bytes());
        wait(&mut net, 10);
        assert_eq!(heard(&net, bob, "INVITE").len(), 1, "{wish:?} {min_se}");
        let refused = IntervalRefused {
            asked_s: wish.map(|wish| u32::try_from(wish).unwrap()),
            least_s: least(min_se),
            lengthened: false,
        };
        assert_eq!(interval_refused(&net, alice), Some(refused));
        assert_all_gone(&mut net, &[alice]);
    }
}

#[test]
fn case_35_a_422_to_a_reinvite_and_to_an_update_is_followed_and_the_call_goes_on() {
    let (mut net, alice, bob) = calls_script_that(expires("100;refresher=uac"));
    user(&mut net, alice, |call, now| {
        call.reoffer(now, b"v=0 hold".to_vec())
    });
    wait(&mut net, 10);
    let reinvite = last(&net, bob, "INVITE");
    let mut short = response(&reinvite, 422, "");
    short.headers.push(HeaderName::MinSe, 300);
    say(&mut net, bob, ALICE, short.to_bytes());
    wait(&mut net, 10);
    let again = last(&net, bob, "INVITE");
    assert_eq!(named(&again.headers), Some((300, Some(Refresher::Uac))));
    let mut ok = answer(&again, 200, "", "sip:bob@192.0.2.2", b"v=0 held");
    expires("300;refresher=uac")(&mut ok);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        phone(&net, alice).answers_told(),
        ["v=0 answer", "v=0 held"]
    );
    wait(&mut net, 150_000);
    let update = last(&net, bob, "UPDATE");
    assert_eq!(
        update.headers.min_se().unwrap(),
        300,
        "RFC 4028 §7.4: named once, named always"
    );
    let mut short = response(&update, 422, "");
    short.headers.push(HeaderName::MinSe, 400);
    say(&mut net, bob, ALICE, short.to_bytes());
    wait(&mut net, 10);
    assert_eq!(
        named(&last(&net, bob, "UPDATE").headers),
        Some((400, Some(Refresher::Uac)))
    );
    assert!(phone(&net, alice).ended().is_none());
}

#[test]
fn an_invite_that_asks_for_less_than_our_minimum_gets_422_with_min_se() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    let mut request = super::peer::invite(&net, bob, ALICE, "first", 7, OFFER);
    asked_for("60")(&mut request);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    let refusal = &answers(&net, bob, "INVITE")[0];
    assert_eq!(refusal.status.code(), 422);
    assert_eq!(refusal.headers.min_se().unwrap(), 90);
    assert!(phone(&net, alice).call.is_none());
    // RFC 4028 §9: one that does not know the extension is not refused so (a proxy asked for it).
    request.headers.remove(HeaderName::Supported);
    request.headers.set(HeaderName::CSeq, "8 INVITE");
    request.headers.set(HeaderName::CallId, "another");
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    assert!(phone(&net, alice).call.is_some());
}

#[test]
fn an_update_and_a_reinvite_that_ask_for_less_get_422_and_change_nothing() {
    let (mut net, alice, bob, request, to) = called_by_script_with(asked_for("1800;refresher=uac"));
    assert_eq!(interval(&net, alice), Some((1800, false)));
    for (method, cseq) in [("UPDATE", 8), ("INVITE", 9)] {
        let mut short = offer_from(&request, &to, method, cseq, b"");
        short.method = sip_message::Method::parse(method).unwrap();
        short
            .headers
            .set(HeaderName::CSeq, format!("{cseq} {method}"));
        short.headers.set(HeaderName::SessionExpires, "30");
        say(&mut net, bob, ALICE, short.to_bytes());
        wait(&mut net, 10);
        let refusal = answers(&net, bob, method).pop().unwrap();
        assert_eq!(refusal.status.code(), 422);
        assert_eq!(refusal.headers.min_se().unwrap(), 90);
    }
    assert_eq!(interval(&net, alice), Some((1800, false)));
    assert_eq!(
        phone(&net, alice).events.len(),
        2,
        "an offer, then established"
    );
}

#[test]
fn a_callee_answers_the_table_of_refreshers() {
    // RFC 4028 §9, Table 2: what the caller asks, whether it knows the extension, what the 2xx says, Require.
    let cases = [
        (
            Some("1800;refresher=uac"),
            true,
            Some((1800, Refresher::Uac)),
            true,
        ),
        (
            Some("1800;refresher=uas"),
            true,
            Some((1800, Refresher::Uas)),
            true,
        ),
        (Some("1800"), true, Some((1800, Refresher::Uas)), true),
        (None, true, Some((1800, Refresher::Uas)), true),
        (Some("600"), true, Some((600, Refresher::Uas)), true),
        (Some("7200"), true, Some((1800, Refresher::Uas)), true),
        (Some("1800"), false, Some((1800, Refresher::Uas)), false),
        (None, false, None, false),
    ];
    for (asked, known, expected, required) in cases {
        let (net, alice, bob, _, _) = answered_with(OFFER, |request| {
            if known {
                request.headers.push(HeaderName::Supported, "timer");
            }
            if let Some(asked) = asked {
                request.headers.push(HeaderName::SessionExpires, asked);
            }
        });
        let ok = answers(&net, bob, "INVITE").pop().unwrap();
        let expected = expected.map(|(interval, refresher)| (interval, Some(refresher)));
        assert_eq!(named(&ok.headers), expected, "{asked:?} {known}");
        let require = ok.headers.get(HeaderName::Require) == Some("timer");
        assert_eq!(require, required, "{asked:?} {known}");
        let ours = expected
            .map(|(interval, refresher)| (u64::from(interval), refresher == Some(Refresher::Uas)));
        assert_eq!(interval(&net, alice), ours);
    }
}

#[test]
fn a_peer_that_asks_for_a_minimum_is_not_given_less() {
    let (net, _, bob, _, _) = answered_with(OFFER, |request| {
        asked_for("7200")(request);
        request.headers.push(HeaderName::MinSe, 3600);
    });
    let ok = answers(&net, bob, "INVITE").pop().unwrap();
    assert_eq!(named(&ok.headers), Some((3600, Some(Refresher::Uas))));
}

#[test]
fn a_peer_without_the_extension_runs_no_timer() {
    let (mut net, alice, bob) = calls_script_that(|_| {});
    assert_eq!(interval(&net, alice), None);
    wait(&mut net, 120 * MINUTE);
    assert!(phone(&net, alice).ended().is_none());
    assert!(heard(&net, bob, "UPDATE").is_empty());
    assert_eq!(heard(&net, bob, "INVITE").len(), 1);
}

#[test]
fn a_2xx_without_session_expires_turns_the_timer_off() {
    // RFC 4028 §7.2.
    let (mut net, alice, bob) = calls_script_that(expires("90;refresher=uac"));
    wait(&mut net, 45_100);
    let ok = response(&last(&net, bob, "UPDATE"), 200, "");
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 30 * MINUTE);
    assert_eq!(interval(&net, alice), None);
    assert_eq!(heard(&net, bob, "UPDATE").len(), 1);
    assert!(phone(&net, alice).ended().is_none());
}

#[test]
fn a_peer_without_update_is_refreshed_by_a_reinvite_with_the_same_description() {
    let (mut net, alice, bob) = calls_script_that(without_update("90;refresher=uac"));
    let events = phone(&net, alice).events.len();
    wait(&mut net, 45_100);
    assert!(heard(&net, bob, "UPDATE").is_empty());
    let reinvite = last(&net, bob, "INVITE");
    assert_eq!(reinvite.body, OFFER, "RFC 4028 §7.4: unchanged");
    assert_eq!(named(&reinvite.headers), Some((90, Some(Refresher::Uac))));
    let mut ok = answer(&reinvite, 200, "", "sip:bob@192.0.2.2", ANSWER);
    without_update("90;refresher=uac")(&mut ok);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 40_000);
    assert_eq!(heard(&net, bob, "ACK").len(), 2);
    assert!(phone(&net, alice).ended().is_none(), "armed anew");
    let told = phone(&net, alice).events.len();
    assert_eq!(told, events, "the session is as it was");
}

/// RFC 3264 §4: each offer has its own answer. That to a refresh is not the one that an offer waits for which goes out after it.
#[test]
fn the_answer_to_a_refresh_is_not_that_to_an_offer_that_waits() {
    const RESUMED: &[u8] = b"v=0 resumed";
    let (mut net, alice, bob) = calls_script_that(without_update("90;refresher=uac"));
    wait(&mut net, 45_100);
    let refresh = last(&net, bob, "INVITE");
    assert_eq!(refresh.body, OFFER);
    let told = phone(&net, alice).answers_told().len();
    user(&mut net, alice, |call, now| {
        call.reoffer(now, RESUMED.to_vec())
    });
    let mut ok = answer(&refresh, 200, "", "sip:bob@192.0.2.2", ANSWER);
    without_update("90;refresher=uac")(&mut ok);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 1_000);
    assert_eq!(phone(&net, alice).answers_told().len(), told);
    let offer = last(&net, bob, "INVITE");
    assert_eq!(offer.body, RESUMED);
    let mut ok = answer(&offer, 200, "", "sip:bob@192.0.2.2", b"v=0 agreed");
    without_update("90;refresher=uac")(&mut ok);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 100);
    let answers = phone(&net, alice).answers_told();
    assert_eq!(answers.len(), told + 1);
    assert_eq!(answers.last().map(String::as_str), Some("v=0 agreed"));
}

#[test]
fn an_update_that_the_peer_does_not_know_after_all_becomes_a_reinvite() {
    let (mut net, alice, bob) = calls_script_that(expires("90;refresher=uac"));
    wait(&mut net, 45_100);
    let no = response(&last(&net, bob, "UPDATE"), 501, "");
    say(&mut net, bob, ALICE, no.to_bytes());
    wait(&mut net, 10);
    assert_eq!(heard(&net, bob, "INVITE").len(), 2);
    assert!(phone(&net, alice).ended().is_none());
}

#[test]
fn case_35_a_refresh_answered_408_or_481_or_not_at_all_ends_the_call_with_bye() {
    // RFC 4028 §10.
    for code in [Some(408), Some(481), None] {
        let (mut net, alice, bob) = calls_script_that(expires("1800;refresher=uac"));
        wait(&mut net, 15 * MINUTE + 100);
        let update = last(&net, bob, "UPDATE");
        if let Some(code) = code {
            say(&mut net, bob, ALICE, response(&update, code, "").to_bytes());
        }
        wait(&mut net, 33_000);
        match (code, phone(&net, alice).ended()) {
            (Some(code), Some(EndKind::Status { code: said, .. })) => assert_eq!(code, *said),
            (None, Some(EndKind::Silence { .. })) => {}
            (_, other) => panic!("{other:?}"),
        }
        assert!(!heard(&net, bob, "BYE").is_empty());
        assert_all_gone(&mut net, &[alice]);
    }
}

#[test]
fn a_refresh_refused_otherwise_leaves_the_call_until_the_interval_is_over() {
    let (mut net, alice, bob) = calls_script_that(expires("1800;refresher=uac"));
    wait(&mut net, 15 * MINUTE + 100);
    let bytes = response(&last(&net, bob, "UPDATE"), 403, "").to_bytes();
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 10 * MINUTE);
    assert!(phone(&net, alice).ended().is_none());
    assert_eq!(
        heard(&net, bob, "UPDATE").len(),
        1,
        "not asked again and again"
    );
    wait(&mut net, 5 * MINUTE);
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::SessionExpired));
}

#[test]
fn a_refresh_that_met_a_busy_server_is_tried_again_before_the_end() {
    let (mut net, alice, bob) = calls_script_that(expires("1800;refresher=uac"));
    wait(&mut net, 15 * MINUTE + 100);
    let bytes = response(&last(&net, bob, "UPDATE"), 503, "").to_bytes();
    say(&mut net, bob, ALICE, bytes);
    wait(&mut net, 430_000);
    assert_eq!(heard(&net, bob, "UPDATE").len(), 1);
    wait(&mut net, 4_100);
    assert_eq!(
        heard(&net, bob, "UPDATE").len(),
        2,
        "in half of the time left"
    );
    grant(&mut net, bob, "1800;refresher=uac");
    wait(&mut net, 10 * MINUTE);
    assert!(phone(&net, alice).ended().is_none());
}

#[test]
fn a_refresh_of_the_peer_by_reinvite_or_update_arms_anew() {
    let (mut net, alice, bob) = calls_script_that(expires("90;refresher=uas"));
    let first = heard(&net, bob, "INVITE")[0].clone();
    wait(&mut net, 50_000);
    let mut update = within(&first, "b", "UPDATE", "u1", 1);
    asked_for("90;refresher=uac")(&mut update);
    say(&mut net, bob, ALICE, update.to_bytes());
    wait(&mut net, 50_000);
    assert!(phone(&net, alice).ended().is_none());
    assert_eq!(interval(&net, alice), Some((90, false)));
    let mut reinvite = within(&first, "b", "INVITE", "u2", 2);
    asked_for("90;refresher=uac")(&mut reinvite);
    reinvite.set_body("application/sdp", OFFER.to_vec());
    say(&mut net, bob, ALICE, reinvite.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.accept_offer(now, ANSWER.to_vec())
    });
    wait(&mut net, 10);
    let to = first.headers.get(HeaderName::From).unwrap();
    let ack = follow(&reinvite, to, "ACK", "u3", 2);
    say(&mut net, bob, ALICE, ack.to_bytes());
    wait(&mut net, 50_000);
    assert!(phone(&net, alice).ended().is_none());
    wait(&mut net, 11_000);
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::SessionExpired));
}

#[test]
fn a_tiny_interval_is_told_and_does_not_make_a_flood() {
    let (mut net, alice, bob) = calls_script_that(expires("1;refresher=uac"));
    assert!(
        phone(&net, alice)
            .notices()
            .iter()
            .any(|text| text.contains("90 s"))
    );
    for _ in 0..6 {
        wait(&mut net, 10_100);
        if !heard(&net, bob, "UPDATE").is_empty() {
            grant(&mut net, bob, "1;refresher=uac");
        }
    }
    let mut numbers: Vec<_> = heard(&net, bob, "UPDATE")
        .iter()
        .map(|update| update.headers.cseq().unwrap().number)
        .collect();
    numbers.dedup();
    assert!((4..=6).contains(&numbers.len()), "{numbers:?}");
    assert!(phone(&net, alice).ended().is_none());
}

#[test]
fn without_the_option_there_are_no_session_timers() {
    let mut net = Net::new(1);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_script(&mut net, BOB);
    act(&mut net, alice, |phone, _| {
        let tags = &mut phone.config.capabilities.supported;
        tags.retain(|tag| tag != "timer");
    });
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let request = last(&net, bob, "INVITE");
    assert_eq!(request.headers.get(HeaderName::SessionExpires), None);
    assert_eq!(request.headers.get(HeaderName::Supported), Some("100rel"));
}
