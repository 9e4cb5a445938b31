//! Replaces (RFC 3891), Join (RFC 3911) and Target-Dialog (RFC 4538).

use sip_message::{Replaces, StatusCode, TargetDialog};

use super::peer::{answer, answers, called_with, calling, invite, say};
use super::*;
use crate::call::Fit;

fn replaces(call_id: &str, to_tag: &str, from_tag: &str) -> Replaces {
    Replaces {
        call_id: call_id.to_owned(),
        to_tag: to_tag.to_owned(),
        from_tag: from_tag.to_owned(),
        early_only: false,
    }
}

fn call(net: &Net, id: NodeId) -> &Call {
    phone(net, id).call.as_ref().unwrap()
}

#[test]
fn each_end_finds_its_call_by_what_the_other_end_names() {
    let (mut net, alice, bob) = talking(1);
    for (one, other) in [(alice, bob), (bob, alice)] {
        let mut named = call(&net, one).as_replaces().unwrap();
        assert_eq!(
            call(&net, other).replaced_by(&named),
            Fit::Yes { early: false }
        );
        assert_eq!(
            call(&net, other).joined_by(&named),
            Fit::Yes { early: false }
        );
        assert_eq!(
            call(&net, one).replaced_by(&named),
            Fit::Other,
            "the tags are the other way round"
        );
        named.early_only = true;
        assert_eq!(
            call(&net, other).replaced_by(&named),
            Fit::No(StatusCode::BUSY_HERE)
        );
        named.to_tag.push('x');
        assert_eq!(call(&net, other).replaced_by(&named), Fit::Other);
        let target = call(&net, one).as_target_dialog().unwrap();
        assert!(call(&net, other).is_target_of(&target));
        let swapped = TargetDialog {
            call_id: target.call_id.clone(),
            local_tag: target.remote_tag.clone(),
            remote_tag: target.local_tag.clone(),
        };
        assert!(!call(&net, other).is_target_of(&swapped));
    }
    let named = call(&net, alice).as_replaces().unwrap();
    let target = call(&net, alice).as_target_dialog().unwrap();
    user(&mut net, bob, Call::hang_up);
    assert_eq!(
        call(&net, bob).replaced_by(&named),
        Fit::No(StatusCode::DECLINE)
    );
    assert!(!call(&net, bob).is_target_of(&target));
}

#[test]
fn an_early_dialog_is_replaced_at_the_end_that_called_and_not_where_it_rings() {
    // RFC 3891 §3.
    let (mut net, alice, bob, request) = calling(Some(OFFER));
    for tag in ["x", "y"] {
        let ringing = answer(&request, 180, tag, "sip:bob@192.0.2.2", b"");
        say(&mut net, bob, ALICE, ringing.to_bytes());
        wait(&mut net, 10);
    }
    let owner = call(&net, alice).owner_key().clone();
    for tag in ["x", "y"] {
        let named = replaces(&owner.call_id, &owner.local_tag, tag);
        assert_eq!(
            call(&net, alice).replaced_by(&named),
            Fit::Yes { early: true }
        );
        let no = Fit::No(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
        assert_eq!(call(&net, alice).joined_by(&named), no);
    }
    let named = replaces(&owner.call_id, &owner.local_tag, "z");
    assert_eq!(call(&net, alice).replaced_by(&named), Fit::Other);

    let (net, alice, _, _) = called_with(OFFER, |_| {});
    let owner = call(&net, alice).owner_key().clone();
    let named = replaces(&owner.call_id, &owner.local_tag, "scripttag");
    let no = Fit::No(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST);
    assert_eq!(call(&net, alice).replaced_by(&named), no);
}

#[test]
fn an_invite_says_whom_it_replaces_or_joins_and_insists() {
    let wish = replaces("98732@sip.example.com", "r33th4x0r", "ff87ff");
    for join in [false, true] {
        let mut net = Net::new(1);
        let (alice, bob) = (
            add_phone(&mut net, ALICE, "alice"),
            add_script(&mut net, BOB),
        );
        act(&mut net, alice, |phone, _| {
            let config = &mut phone.config;
            *(if join {
                &mut config.join
            } else {
                &mut config.replaces
            }) = Some(wish.clone());
            config.referred_by = Some(NameAddr::parse("<sip:carol@192.0.2.3>").unwrap());
        });
        dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
        wait(&mut net, 10);
        let request = super::peer::last(&net, bob, "INVITE");
        let (header, option) = if join {
            (HeaderName::Join, "join")
        } else {
            (HeaderName::Replaces, "replaces")
        };
        assert_eq!(
            request.headers.get(header),
            Some("98732@sip.example.com;to-tag=r33th4x0r;from-tag=ff87ff")
        );
        assert_eq!(request.headers.get(HeaderName::Require), Some(option));
        assert_eq!(
            request.headers.get(HeaderName::ReferredBy),
            Some("<sip:carol@192.0.2.3>")
        );
    }
}

#[test]
fn an_incoming_invite_shows_what_it_wants_and_a_contradictory_one_gets_400() {
    let good = "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff;early-only";
    let cases: [(&[(HeaderName, &str)], u16); 4] = [
        (
            &[(HeaderName::Replaces, good), (HeaderName::Replaces, good)],
            400,
        ),
        (
            &[(HeaderName::Replaces, good), (HeaderName::Join, good)],
            400,
        ),
        (
            &[(HeaderName::Replaces, "98732@sip.example.com;to-tag=x")],
            400,
        ),
        (&[(HeaderName::Replaces, good)], 0),
    ];
    for (headers, code) in cases {
        let mut net = Net::new(1);
        let (alice, bob) = (
            add_phone(&mut net, ALICE, "alice"),
            add_script(&mut net, BOB),
        );
        let mut request = invite(&net, bob, ALICE, "first", 7, OFFER);
        for (name, value) in headers {
            request.headers.push(name.clone(), *value);
        }
        say(&mut net, bob, ALICE, request.to_bytes());
        wait(&mut net, 10);
        if code > 0 {
            assert_eq!(answers(&net, bob, "INVITE")[0].status.code(), code);
            assert!(phone(&net, alice).call.is_none());
            continue;
        }
        let wish = call(&net, alice)
            .invitation()
            .unwrap()
            .headers
            .replaces()
            .unwrap();
        assert_eq!(
            (
                wish.to_tag.as_str(),
                wish.from_tag.as_str(),
                wish.early_only
            ),
            ("ff87ff", "r33th4x0r", true)
        );
    }
}

#[test]
fn an_invite_that_insists_on_replaces_is_told_when_nobody_carries_that_out() {
    let mut net = Net::new(1);
    let (alice, bob) = (
        add_phone(&mut net, ALICE, "alice"),
        add_script(&mut net, BOB),
    );
    let mut request = invite(&net, bob, ALICE, "first", 7, OFFER);
    request.headers.push(HeaderName::Require, "replaces");
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    assert_eq!(answers(&net, bob, "INVITE")[0].status.code(), 420);
    act(&mut net, alice, |phone, _| {
        phone.config = phone.config.clone().with_transfers();
    });
    request.headers.set(HeaderName::CSeq, "8 INVITE");
    let mut via = request.headers.via_top().unwrap();
    via.params.set("branch", "z9hG4bKsecond");
    request.headers.set(HeaderName::Via, via);
    say(&mut net, bob, ALICE, request.to_bytes());
    wait(&mut net, 10);
    assert!(phone(&net, alice).call.is_some());
}
