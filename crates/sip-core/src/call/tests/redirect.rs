//! Following a 3xx with the user's consent (RFC 3261 §8.1.3.4).

use super::peer::{answer, heard, last, response, say};
use super::*;
use crate::call::WrongState;

/// ALICE, who may follow so many redirections, calls `to` at the script.
fn calling(to: &str, redirections: u8) -> (Net, NodeId, NodeId) {
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_script(&mut net, BOB),
    );
    act(&mut net, alice, |phone, _| {
        phone.config.redirections = redirections;
    });
    dial(&mut net, alice, to, Some(OFFER));
    wait(&mut net, 10);
    (net, alice, bob)
}

fn redirect(net: &mut Net, bob: NodeId, contacts: &str) {
    let mut moved = response(&last(net, bob, "INVITE"), 302, "moved");
    moved.headers.push(HeaderName::Contact, contacts);
    say(net, bob, ALICE, moved.to_bytes());
    wait(net, 10);
}

#[test]
fn the_user_chooses_and_the_call_goes_on_with_its_call_id_and_the_next_number() {
    let (mut net, alice, bob) = calling("sip:bob@192.0.2.2", 5);
    let first = last(&net, bob, "INVITE");
    redirect(
        &mut net,
        bob,
        "<sip:low@192.0.2.2>;q=0.1, <sip:high@192.0.2.2?Subject=x>;q=0.9",
    );
    let told = phone(&net, alice).events.last().unwrap();
    let CallEvent::Redirected { contacts } = told else {
        panic!("{told:?}")
    };
    assert_eq!(contacts[0].uri.user.as_deref(), Some("high"));
    wait(&mut net, 30_000);
    assert!(phone(&net, alice).ended().is_none(), "the user thinks");
    assert_eq!(heard(&net, bob, "INVITE").len(), 1);
    user(&mut net, alice, |call, now| call.follow(now, 0));
    wait(&mut net, 10);
    let second = last(&net, bob, "INVITE");
    assert_eq!(
        second.uri.to_string(),
        "sip:high@192.0.2.2",
        "without headers"
    );
    for name in [HeaderName::CallId, HeaderName::From, HeaderName::To] {
        assert_eq!(second.headers.get(name.clone()), first.headers.get(name));
    }
    let number = |request: &Request| request.headers.cseq().unwrap().number;
    assert_eq!(number(&second), number(&first) + 1);
    assert_eq!(second.body, OFFER);
    let ok = answer(&second, 200, "b", "sip:high@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert!(phone(&net, alice).established());
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    assert_eq!(number(&last(&net, bob, "BYE")), number(&second) + 1);
    let bytes = response(&last(&net, bob, "BYE"), 200, "").to_bytes();
    say(&mut net, bob, ALICE, bytes);
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_redirection_goes_neither_round_nor_on_for_ever_nor_to_where_it_is_not_protected() {
    let (mut net, alice, bob) = calling("sip:a@192.0.2.2", 2);
    redirect(&mut net, bob, "<sip:b@192.0.2.2>");
    let wrong = act(&mut net, alice, |phone, now| phone.call().follow(now, 1));
    assert_eq!(wrong, Err(WrongState::Choice));
    user(&mut net, alice, |call, now| call.follow(now, 0));
    wait(&mut net, 10);
    redirect(&mut net, bob, "<sip:a@192.0.2.2>, <sip:c@192.0.2.2>");
    let round = act(&mut net, alice, |phone, now| phone.call().follow(now, 0));
    assert_eq!(round, Err(WrongState::Choice), "it was there before");
    user(&mut net, alice, |call, now| call.follow(now, 1));
    wait(&mut net, 10);
    redirect(&mut net, bob, "<sip:d@192.0.2.2>");
    assert!(
        matches!(
            phone(&net, alice).ended(),
            Some(EndKind::Status { code: 302, .. })
        ),
        "twice is enough"
    );
    assert_eq!(heard(&net, bob, "INVITE").len(), 3);
    assert_all_gone(&mut net, &[alice]);

    let (mut net, alice, bob) = calling("sips:bob@192.0.2.2", 5);
    redirect(&mut net, bob, "<sip:b@192.0.2.2>, <mailto:b@example.com>");
    assert!(matches!(
        phone(&net, alice).ended(),
        Some(EndKind::Status { code: 302, .. })
    ));
}

/// RFC 3261 §19.1.6: a number is called where our own numbers are.
#[test]
fn a_number_in_place_of_an_address_can_be_followed() {
    let (mut net, alice, bob) = calling("sip:bob@192.0.2.2", 5);
    act(&mut net, alice, |phone, _| {
        let local = &mut phone.call().config.local;
        *local = NameAddr::parse("<sip:alice@192.0.2.2>;tag=kept").unwrap();
    });
    redirect(
        &mut net,
        bob,
        "<tel:+49-30.123(456)>, <tel:7042;phone-context=+49-30>",
    );
    let told = phone(&net, alice)
        .events
        .iter()
        .find_map(|event| match event {
            CallEvent::Redirected { contacts } => Some(contacts.clone()),
            _ => None,
        });
    let told: Vec<_> = told.unwrap().iter().map(|c| c.uri.to_string()).collect();
    assert_eq!(
        told,
        [
            "sip:+4930123456@192.0.2.2;user=phone",
            "sip:+49307042@192.0.2.2;user=phone"
        ]
    );
    user(&mut net, alice, |call, now| call.follow(now, 1));
    wait(&mut net, 10);
    assert_eq!(last(&net, bob, "INVITE").uri.to_string(), told[1]);
}

#[test]
fn a_choice_that_nobody_makes_ends_the_call_with_the_3xx() {
    let (mut net, alice, bob) = calling("sip:bob@192.0.2.2", 5);
    redirect(&mut net, bob, "<sip:b@192.0.2.2>");
    wait(&mut net, 59_000);
    assert!(phone(&net, alice).ended().is_none());
    wait(&mut net, 2_000);
    assert!(matches!(
        phone(&net, alice).ended(),
        Some(EndKind::Status { code: 302, .. })
    ));
    let late = act(&mut net, alice, |phone, now| phone.call().follow(now, 0));
    assert_eq!(late, Err(WrongState::NothingDue));
    assert_all_gone(&mut net, &[alice]);
}

/// RFC 3261 §8.1.3.4: the new request goes to the new place, and to no other.
#[test]
fn where_the_new_place_is_silent_the_old_one_is_not_asked_again() {
    let (mut net, alice, bob) = calling("sip:bob@192.0.2.2", 5);
    redirect(&mut net, bob, "<sip:b@192.0.2.99>");
    act(&mut net, alice, |phone, now| phone.call().follow(now, 0)).expect("it is a new place");
    wait(&mut net, 90_000);
    assert_eq!(heard(&net, bob, "INVITE").len(), 1);
    assert!(matches!(
        phone(&net, alice).ended(),
        Some(EndKind::Silence { .. } | EndKind::Network { .. })
    ));
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn a_user_who_goes_nowhere_ends_the_call_with_the_3xx() {
    let (mut net, alice, bob) = calling("sip:bob@192.0.2.2", 5);
    redirect(&mut net, bob, "<sip:b@192.0.2.2>");
    user(&mut net, alice, Call::decline_redirection);
    let ended = phone(&net, alice).ended();
    assert!(
        matches!(ended, Some(EndKind::Status { code: 302, .. })),
        "{ended:?}"
    );
    let late = act(&mut net, alice, |phone, now| {
        phone.call().decline_redirection(now)
    });
    assert_eq!(late, Err(WrongState::NothingDue));
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn the_user_may_hang_up_instead() {
    let (mut net, alice, bob) = calling("sip:bob@192.0.2.2", 5);
    redirect(&mut net, bob, "<sip:b@192.0.2.2>");
    user(&mut net, alice, Call::hang_up);
    assert_eq!(phone(&net, alice).ended(), Some(&EndKind::WeHungUp));
    wait(&mut net, 90_000);
    assert!(heard(&net, bob, "CANCEL").is_empty());
    assert_all_gone(&mut net, &[alice]);
}
