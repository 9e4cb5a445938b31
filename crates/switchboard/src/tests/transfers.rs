//! Transfers (RFC 3515, RFC 3891, RFC 5589) whose every message goes through the switchboard.

use sip_core::call::{Call, CallEvent, EndKind, Fit, ReferOutcome, ReferProgress, ReferRequest};
use sip_message::{StatusCode, Uri};
use testkit::{Link, NodeId};

use super::phones::{Net, Phone, act, assert_all_forgotten, dial, house, phone, seconds};
use super::*;

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Perfect networks and bad ones.
const LINKS: [(u64, Link); 4] = [
    (1, Link::PERFECT),
    (2, Link::BAD),
    (3, Link::BAD),
    (4, Link::BAD),
];

fn answer(net: &mut Net, id: NodeId, leg: usize) {
    let rings = |net: &Net| phone(net, id).legs.len() > leg;
    assert!(net.run_until(Duration::from_secs(30), rings), "it rings");
    act(net, id, |phone, now| {
        let call = &mut phone.legs[leg].call;
        call.answer(now, b"v=0".to_vec()).expect("it may answer");
    });
}

/// Waits until a call of somebody is up.
fn is_up(net: &mut Net, id: NodeId, leg: usize) {
    let up = |net: &Net| {
        let leg = phone(net, id).legs.get(leg);
        leg.is_some_and(|leg| leg.events.contains(&CallEvent::Established))
    };
    assert!(net.run_until(Duration::from_secs(60), up), "leg {leg}");
}

/// Waits until somebody is asked to call somebody else, and says that it tries.
fn asked(net: &mut Net, id: NodeId) -> ReferRequest {
    let wanted = |phone: &Phone| {
        let mut events = phone.legs[0].events.iter();
        events.find_map(|event| match event {
            CallEvent::ReferRequested(request) => Some((**request).clone()),
            _ => None,
        })
    };
    let is_asked = |net: &Net| wanted(phone(net, id)).is_some();
    assert!(net.run_until(Duration::from_secs(30), is_asked));
    let request = wanted(phone(net, id)).expect("it was there");
    act(net, id, |phone, now| {
        phone.call().accept_refer(now, request.id).expect("it may");
    });
    request
}

/// Tells the one who asked that the new call is up, and waits until that one has heard it.
fn report(net: &mut Net, teller: NodeId, request: &ReferRequest, asker: NodeId) {
    act(net, teller, |phone, now| {
        let call = phone.call();
        call.report_refer(now, request.id, StatusCode::OK)
            .expect("it was accepted");
    });
    let heard = |net: &Net| {
        phone(net, asker).legs[0].events.iter().any(|event| {
            matches!(
                event,
                CallEvent::Refer {
                    progress: ReferProgress::Done(ReferOutcome::Answered {
                        status: StatusCode::OK,
                        ..
                    }),
                    ..
                }
            )
        })
    };
    assert!(net.run_until(Duration::from_secs(60), heard));
}

fn hang_up(net: &mut Net, id: NodeId, leg: usize) {
    act(net, id, |phone, now| {
        let call = &mut phone.legs[leg].call;
        call.hang_up(now).expect("it may hang up");
    });
}

fn ended_by_peer(net: &Net, id: NodeId, leg: usize) {
    let end = phone(net, id).legs[leg].end();
    assert!(matches!(end, Some(EndKind::PeerHungUp { .. })), "{end:?}");
}

#[test]
fn a_blind_transfer_goes_through_and_leaves_nothing() {
    for (seed, link) in LINKS {
        let (mut net, board, [alice, bob, carol, _]) = house(seed, NAMES);
        net.set_link(link);
        dial(&mut net, alice, "bob");
        answer(&mut net, bob, 0);
        is_up(&mut net, bob, 0);
        is_up(&mut net, alice, 0);
        act(&mut net, bob, |phone, now| {
            let carol = Uri::parse("sip:carol@board.test").expect("a URI");
            let call = phone.call();
            call.refer(now, &NameAddr::new(carol), None)
                .expect("the call is up");
        });
        let request = asked(&mut net, alice);
        assert_eq!(request.target.uri.to_string(), "sip:carol@board.test");
        act(&mut net, alice, |phone, now| {
            let mut config = phone.config.clone();
            config.referred_by.clone_from(&request.referred_by);
            phone.dial(now, config, request.target.uri.clone());
        });
        answer(&mut net, carol, 0);
        is_up(&mut net, alice, 1);
        let invitation = phone(&net, carol).legs[0].call.invitation();
        let by = invitation.and_then(|i| i.headers.get(HeaderName::ReferredBy));
        assert!(
            by.is_some_and(|by| by.contains("sip:bob@board.test")),
            "{by:?}"
        );
        report(&mut net, alice, &request, bob);
        hang_up(&mut net, bob, 0);
        seconds(&mut net, 40);
        ended_by_peer(&net, alice, 0);
        assert_eq!(phone(&net, alice).legs[1].end(), None, "they talk on");
        hang_up(&mut net, carol, 0);
        seconds(&mut net, 40);
        ended_by_peer(&net, alice, 1);
        assert_all_forgotten(&mut net, board);
    }
}

#[test]
fn an_attended_transfer_takes_the_place_of_the_second_call() {
    for (seed, link) in LINKS {
        let (mut net, board, [alice, bob, carol, _]) = house(seed, NAMES);
        net.set_link(link);
        dial(&mut net, alice, "bob");
        answer(&mut net, bob, 0);
        is_up(&mut net, bob, 0);
        is_up(&mut net, alice, 0);
        // Bob asks Carol whether she takes it.
        dial(&mut net, bob, "carol");
        answer(&mut net, carol, 0);
        is_up(&mut net, bob, 1);
        is_up(&mut net, carol, 0);
        act(&mut net, bob, |phone, now| {
            let there: &Call = &phone.legs[1].call;
            let replaces = there.as_replaces().expect("a dialog");
            // RFC 5589 §7.3: the very phone that he talks to.
            let target = there.dialog().expect("a dialog").target().clone();
            let call = phone.call();
            call.refer(now, &NameAddr::new(target), Some(&replaces))
                .expect("the call is up");
        });
        let request = asked(&mut net, alice);
        assert_eq!(request.target.uri.host.to_string(), "10.0.0.3");
        act(&mut net, alice, |phone, now| {
            let mut config = phone.config.clone();
            config.replaces.clone_from(&request.replaces);
            config.referred_by.clone_from(&request.referred_by);
            phone.dial(now, config, request.target.uri.clone());
        });
        answer(&mut net, carol, 1);
        act(&mut net, carol, |phone, now| {
            let invitation = phone.legs[1].call.invitation().expect("an INVITE");
            let replaces = invitation.headers.replaces().expect("a Replaces");
            // RFC 3891 §3: it names the call with Bob as Carol knows it, though it went through us.
            let old = &mut phone.legs[0].call;
            assert_eq!(old.replaced_by(&replaces), Fit::Yes { early: false });
            old.hang_up(now).expect("it may hang up");
        });
        is_up(&mut net, alice, 1);
        report(&mut net, alice, &request, bob);
        hang_up(&mut net, bob, 0);
        seconds(&mut net, 40);
        ended_by_peer(&net, bob, 1);
        ended_by_peer(&net, alice, 0);
        assert_eq!(phone(&net, carol).legs[1].end(), None, "they talk on");
        hang_up(&mut net, alice, 1);
        seconds(&mut net, 40);
        ended_by_peer(&net, carol, 1);
        assert_all_forgotten(&mut net, board);
    }
}
