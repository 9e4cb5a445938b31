//! INFO: packages (RFC 6086) and digits, before and after the call is taken.

use super::peer::{
    answer, answers, called_with, calling, calls_script, calls_script_that, follow, last, say,
    within,
};
use super::*;
use crate::call::{InfoDigit, WrongState};

fn check(kind: &str, body: &str, expected: Option<(char, Option<u64>)>) {
    let digit = InfoDigit::parse(kind, body.as_bytes());
    let short = digit.map(|digit| {
        (
            digit.digit,
            digit.duration.map(|length| length.as_millis() as u64),
        )
    });
    assert_eq!(short, expected, "{kind} {body:?}");
}

#[test]
fn digits_are_read_in_both_types_and_all_spellings() {
    let relay = "application/dtmf-relay";
    check(
        relay,
        "Signal=5\r\nDuration=160\r\n",
        Some(('5', Some(160))),
    );
    check(relay, "Signal= #\nDuration= 250", Some(('#', Some(250))));
    check(
        "Application/DTMF-Relay;charset=utf-8",
        "signal=a",
        Some(('A', None)),
    );
    check(relay, "Signal=10\r\n", Some(('*', None)));
    check(relay, "Signal=11\r\n", Some(('#', None)));
    check(relay, "Signal=!\r\n", Some(('!', None)));
    check(
        relay,
        "Signal=1\r\nDuration=99999999\r\n",
        Some(('1', Some(10_000))),
    );
    check(relay, "Signal=1\r\nDuration=-1\r\n", Some(('1', None)));
    check("application/dtmf", "7", Some(('7', None)));
    check("application/dtmf", " *\r\n", Some(('*', None)));
    check(
        "application/dtmf",
        "Signal=9\r\nDuration=100\r\n",
        Some(('9', Some(100))),
    );
    check(relay, "5", None);
    check(relay, "Signal=\r\n", None);
    check(relay, "Signal=99\r\n", None);
    check("application/dtmf", "x", None);
    check("application/dtmf", "", None);
    check("text/plain", "Signal=5", None);
    assert_eq!(InfoDigit::parse(relay, b"Signal=\xff"), None);
}

#[test]
fn a_digit_is_sent_as_relay_before_and_after_the_call_is_taken() {
    let digit = InfoDigit {
        digit: 'd',
        duration: Some(Duration::from_millis(100)),
    };
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let none = act(&mut net, alice, |phone, now| {
        phone.call().send_digit(now, digit)
    });
    assert!(matches!(none, Err(WrongState::Phase(_))), "no dialog yet");
    let early = answer(&request, 183, "b", "sip:early@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, early.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| call.send_digit(now, digit));
    wait(&mut net, 10);
    let info = last(&net, bob, "INFO");
    assert_eq!(info.uri.to_string(), "sip:early@192.0.2.2");
    assert_eq!(
        info.headers.get(HeaderName::ContentType),
        Some("application/dtmf-relay")
    );
    assert_eq!(info.body, b"Signal=D\r\nDuration=100\r\n");
    let ok = answer(&request, 200, "b", "sip:late@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| call.send_digit(now, digit));
    wait(&mut net, 10);
    assert_eq!(
        last(&net, bob, "INFO").uri.to_string(),
        "sip:late@192.0.2.2"
    );
    let wrong = InfoDigit {
        digit: '\r',
        duration: None,
    };
    let wrong = act(&mut net, alice, |phone, now| {
        phone.call().send_digit(now, wrong)
    });
    assert_eq!(wrong, Err(WrongState::Choice));
}

#[test]
fn an_early_info_is_taken_at_both_ends() {
    let told = |net: &Net, id| {
        let infos = phone(net, id).events.iter();
        infos
            .filter(|event| matches!(event, CallEvent::Info { .. }))
            .count()
    };
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    let early = answer(&request, 183, "b", "sip:early@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, early.to_bytes());
    wait(&mut net, 10);
    let mut info = within(&request, "b", "INFO", "i1", 1);
    info.set_body("application/dtmf", b"5".to_vec());
    say(&mut net, bob, ALICE, info.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "INFO").pop().unwrap().status.code(), 200);
    assert_eq!(told(&net, alice), 1);

    let (mut net, alice, bob, request) = called_with(OFFER, |_| {});
    user(&mut net, alice, |call, now| call.ring(now, None));
    wait(&mut net, 10);
    let ringing = answers(&net, bob, "INVITE").pop().unwrap();
    let to = ringing.headers.get(HeaderName::To).unwrap();
    let mut info = follow(&request, to, "INFO", "i1", 8);
    info.set_body("application/dtmf", b"5".to_vec());
    say(&mut net, bob, ALICE, info.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "INFO").pop().unwrap().status.code(), 200);
    assert_eq!(told(&net, alice), 1);
}

#[test]
fn an_info_of_a_package_goes_only_to_who_takes_it() {
    // RFC 6086 §4.2.1 and §5.
    let (mut net, alice, bob) =
        calls_script_that(|ok| ok.headers.push(HeaderName::RecvInfo, "poker, camera"));
    assert_eq!(
        phone(&net, alice).call.as_ref().unwrap().peer_packages(),
        ["poker", "camera"]
    );
    let send = |call: &mut Call, now, package| {
        call.info_of_package(now, package, "application/x", b"all in".to_vec())
    };
    let none = act(&mut net, alice, |phone, now| {
        send(phone.call(), now, "chess")
    });
    assert_eq!(none, Err(WrongState::NotTaken));
    user(&mut net, alice, |call, now| send(call, now, "poker"));
    wait(&mut net, 10);
    let info = last(&net, bob, "INFO");
    assert_eq!(info.headers.get(HeaderName::InfoPackage), Some("poker"));
    assert_eq!(
        info.headers.get(HeaderName::ContentDisposition),
        Some("Info-Package")
    );
    assert_eq!(info.body, b"all in");
}

#[test]
fn an_info_of_an_unknown_package_gets_469_with_what_we_take() {
    let (mut net, alice, bob) = calls_script();
    act(&mut net, alice, |phone, _| {
        phone.call().config.info_packages = vec!["poker".to_owned()];
    });
    let first = last(&net, bob, "INVITE");
    for (cseq, package, code) in [(1, "chess", 469), (2, "Poker", 200)] {
        let mut info = within(&first, "b", "INFO", package, cseq);
        info.headers.push(HeaderName::InfoPackage, package);
        say(&mut net, bob, ALICE, info.to_bytes());
        wait(&mut net, 10);
        assert_eq!(
            answers(&net, bob, "INFO").pop().unwrap().status.code(),
            code
        );
    }
    assert_eq!(
        answers(&net, bob, "INFO")[0]
            .headers
            .get(HeaderName::RecvInfo),
        Some("poker")
    );
    let told = phone(&net, alice).events.last();
    assert!(
        matches!(told, Some(CallEvent::Info { package: Some(package), .. }) if package == "Poker")
    );
    user(&mut net, alice, |call, now| {
        call.reoffer(now, OFFER.to_vec())
    });
    wait(&mut net, 10);
    assert_eq!(
        last(&net, bob, "INVITE").headers.get(HeaderName::RecvInfo),
        Some("poker")
    );
}
