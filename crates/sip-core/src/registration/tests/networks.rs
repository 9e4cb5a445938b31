//! Lost flows, mappings, and the list of bindings.

use super::*;
use crate::registration::BoundContact;
use privacy::Identity;

#[test]
fn a_lost_flow_registers_anew_at_once_on_the_new_network_and_removes_the_old_binding() {
    let mut bench = Bench::registered(config(), 600);
    bench.wait(s(60));
    let other = path("192.0.2.1:5060", "172.16.0.9:50000", Transport::Udp);
    bench.paths = Ok(vec![other]);
    bench.lose(FLOW);
    assert_eq!(bench.sent.len(), 2);
    let [old, new] = bench.contacts().try_into().unwrap();
    assert_eq!(old.uri.to_string(), "sip:alice-1@10.0.0.5:40000");
    assert_eq!(old.params.get("expires"), Some("0"));
    assert_eq!(new.uri.to_string(), "sip:alice-1@172.16.0.9:50000");
    bench.grant(600);
    assert_eq!(bench.last_registered().path.local, other.local);
    bench.wait(s(550));
    assert_eq!(bench.contacts().len(), 1);
}

#[test]
fn a_lost_flow_is_not_used_again() {
    let mut bench = Bench::registered(config(), 600);
    bench.wait(s(60));
    bench.lose(FLOW);
    assert_eq!(bench.sent[1].0, Destination::Path(udp()));
}

#[test]
fn another_network_registers_anew_at_once_even_while_a_register_waits_for_its_answer() {
    let mut bench = Bench::registered(config(), 600);
    bench.wait(s(550));
    let before = bench.sent.len();
    assert!(before > 1, "the refresh, which nobody answers");
    let other = path("192.0.2.1:5060", "172.16.0.9:50000", Transport::Udp);
    bench.paths = Ok(vec![other]);
    bench.moved();
    assert_eq!(bench.sent.len(), before + 1);
    assert_eq!(bench.sent[before].0, Destination::Path(other));
    let [old, new] = bench.contacts().try_into().unwrap();
    assert_eq!(old.params.get("expires"), Some("0"));
    assert_eq!(new.uri.to_string(), "sip:alice-1@172.16.0.9:50000");
    bench.grant(600);
    assert_eq!(bench.last_registered().path.local, other.local);
    // What was given up is not sent again.
    bench.wait(s(60));
    assert_eq!(bench.sent.len(), before + 1);
}

#[test]
fn another_network_does_not_wait_for_the_end_of_a_back_off() {
    let mut bench = Bench::registered(config(), 600);
    bench.wait(s(60));
    bench.paths = Err(ResolveError::NoAnswer);
    bench.lose(FLOW);
    assert_eq!(bench.sent.len(), 1);
    bench.paths = Ok(vec![udp()]);
    bench.moved();
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn another_network_does_not_sign_in_who_is_signed_out() {
    let mut bench = Bench::registered(config(), 600);
    bench.unregister();
    let sent = bench.sent.len();
    bench.moved();
    assert_eq!(bench.sent.len(), sent);
}

#[test]
fn the_flow_of_somebody_else_is_none_of_our_business() {
    let mut bench = Bench::registered(config(), 600);
    bench.lose(FlowId(1234));
    assert_eq!(bench.sent.len(), 1);
}

#[test]
fn a_server_that_accepts_and_hangs_up_is_not_called_in_a_tight_loop() {
    let mut bench = Bench::registered(config(), 600);
    bench.lose(FLOW);
    assert_eq!(bench.sent.len(), 2, "once at once");
    bench.grant(600);
    let mut waits = Vec::new();
    for _ in 0..4 {
        bench.lose(FLOW);
        let (what, retry_in) = bench.last_retry();
        assert_eq!(*what, Trouble::FlowLost);
        waits.push(retry_in);
        bench.wait(retry_in);
        bench.grant(600);
    }
    assert!(waits[0] >= s(2) && waits[3] >= s(20), "{waits:?}");
    bench.wait(s(31));
    let sent = bench.sent.len();
    bench.lose(FLOW);
    assert_eq!(bench.sent.len(), sent + 1, "a stable one again at once");
}

// ---- The registrar's list ----

#[test]
fn the_list_of_bindings_says_which_is_ours() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(
        200,
        &[(
            HeaderName::Contact,
            "<sip:alice@203.0.113.1>;expires=30, <sip:alice-1@10.0.0.5:40000>;expires=300",
        )],
    );
    let listed: Vec<_> = bench
        .last_registered()
        .bindings
        .iter()
        .map(|bound| (bound.uri.reveal(), bound.expires, bound.own))
        .collect();
    assert_eq!(
        listed,
        [
            ("sip:alice@203.0.113.1", Some(s(30)), false),
            ("sip:alice-1@10.0.0.5:40000", Some(s(300)), true)
        ]
    );
}

#[test]
fn clearing_removes_all_bindings_and_a_wanted_account_comes_back() {
    let mut bench = Bench::registered(config(), 600);
    assert!(bench.registration.clear_bindings(bench.now));
    bench.settle();
    assert_eq!(bench.last().headers.get(HeaderName::Contact), Some("*"));
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("0"));
    assert!(!bench.registration.clear_bindings(bench.now));
    bench.settle();
    bench.answer(200, &[]);
    assert_eq!(bench.count(is_unregistered), 1);
    assert_eq!(bench.contact().params.get("expires"), Some("600"));
    bench.grant(600);
    assert!(bench.registration.is_registered());
}

#[test]
fn clearing_works_for_an_account_that_is_off() {
    let mut bench = Bench::new(config());
    assert!(bench.registration.clear_bindings(bench.now));
    bench.settle();
    bench.answer(200, &[]);
    assert_eq!(bench.sent.len(), 1);
    assert_eq!(bench.count(is_unregistered), 1);
    assert!(bench.registration.is_drained());
}

const MAPPED: &str = "198.51.100.7:1024";

#[test]
fn the_mapped_address_is_told_and_put_into_the_contact_once() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.grant_seen(600, Some(MAPPED));
    let mapped: SocketAddr = MAPPED.parse().unwrap();
    assert_eq!(bench.last_registered().mapped, Some(mapped));
    assert_eq!(bench.sent.len(), 2);
    let [old, new] = bench.contacts().try_into().unwrap();
    assert_eq!(old.uri.to_string(), "sip:alice-1@10.0.0.5:40000");
    assert_eq!(old.params.get("expires"), Some("0"));
    assert_eq!(new.uri.to_string(), format!("sip:alice-1@{MAPPED}"));
    bench.grant_seen(600, Some(MAPPED));
    assert_eq!(bench.sent.len(), 2);
    bench.refresh();
    bench.grant_seen(600, Some(MAPPED));
    assert_eq!(bench.sent.len(), 3);
    assert_eq!(bench.contacts().len(), 1);
}

#[test]
fn a_mapping_that_flaps_never_makes_us_register_again_and_again() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.grant_seen(600, Some("198.51.100.7:1024"));
    assert_eq!(bench.sent.len(), 2, "one rewrite at first sight");
    for port in 1025..1064 {
        bench.grant_seen(600, Some(&format!("198.51.100.7:{port}")));
        let sent = bench.sent.len();
        assert!(bench.deadline.unwrap() > bench.now + s(400), "at once");
        bench.refresh();
        assert_eq!(bench.sent.len(), sent + 1);
    }
    assert_eq!(bench.contact().uri.port, Some(1024));

    let mut two = Bench::new(config());
    two.register();
    two.grant_seen(600, Some("198.51.100.7:1"));
    for port in [1, 2, 1, 2, 1, 2, 1] {
        two.grant_seen(600, Some(&format!("198.51.100.7:{port}")));
        two.refresh();
        assert_eq!(two.contact().uri.port, Some(1));
    }
}

#[test]
fn a_mapping_that_really_changed_is_believed_the_second_time() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.grant_seen(600, Some("198.51.100.7:1"));
    for port in [1, 2] {
        bench.grant_seen(600, Some(&format!("198.51.100.7:{port}")));
        bench.refresh();
    }
    assert_eq!(bench.contact().uri.port, Some(1));
    bench.grant_seen(600, Some("198.51.100.7:2"));
    let [old, new] = bench.contacts().try_into().unwrap();
    assert_eq!((old.uri.port, new.uri.port), (Some(1), Some(2)));
}

#[test]
fn on_connections_and_when_told_not_to_the_contact_stays_ours() {
    let mut tls = Bench::new(config());
    tls.paths = Ok(vec![path(
        "192.0.2.1:5061",
        "10.0.0.5:40000",
        Transport::Tls,
    )]);
    let mut told = Bench::new(RegistrationConfig {
        rewrite_contact: false,
        ..config()
    });
    for bench in [&mut tls, &mut told] {
        bench.register();
        bench.grant_seen(600, Some(MAPPED));
        assert_eq!(bench.sent.len(), 1);
        assert!(bench.last_registered().mapped.is_some());
    }
}

#[test]
fn no_mapping_is_told_where_the_server_sees_what_we_say() {
    let mut bench = Bench::registered(config(), 600);
    assert_eq!(bench.last_registered().mapped, None);
    bench.refresh();
    bench.grant_seen(600, Some("10.0.0.5:40000"));
    assert_eq!(
        bench.last_registered().mapped,
        Some("10.0.0.5:40000".parse().unwrap())
    );
    assert_eq!(bench.contacts().len(), 1);
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn an_address_that_was_set_is_told_whatever_the_registrar_sees() {
    for (set, told) in [
        ("198.51.100.7:0", "198.51.100.7:40000"),
        ("198.51.100.7:6000", "198.51.100.7:6000"),
    ] {
        let mut bench = Bench::new(RegistrationConfig {
            public: Some(set.parse().unwrap()),
            ..config()
        });
        bench.register();
        let contact = bench.contact().uri.to_string();
        assert!(contact.ends_with(&format!("@{told}")), "{contact}");
        bench.grant(600);
        assert_eq!(bench.sent.len(), 1, "what it sees changes nothing");
    }
}

#[test]
fn a_list_that_is_not_given_is_told_apart_from_the_registration() {
    let mut bench = Bench::registered(config(), 600);
    assert!(bench.registration.fetch_bindings(bench.now));
    bench.settle();
    bench.answer(403, &[]);
    let told = |event: &RegistrationEvent| matches!(event, RegistrationEvent::NotListed(why) if why.reveal().starts_with("403 "));
    assert_eq!(bench.count(told), 1);
    assert!(bench.registration.is_registered());
}

// ---- Outbound and GRUU ----

fn outbound() -> RegistrationConfig {
    RegistrationConfig {
        reg_id: Some(1),
        gruu: true,
        ..config()
    }
}

#[test]
fn outbound_and_gruu_are_asked_for_and_told() {
    let mut bench = Bench::new(outbound());
    bench.register();
    assert_eq!(
        bench.last().headers.get(HeaderName::Supported),
        Some("path, outbound, gruu")
    );
    let contact = bench.contact();
    assert_eq!(contact.params.get("reg-id"), Some("1"));
    let own = format!(
        "<{}>;expires=60;pub-gruu=\"sip:alice@example.com;gr=urn:x\";temp-gruu=\"sip:t1@example.com;gr\"",
        contact.uri
    );
    bench.answer(
        200,
        &[
            (HeaderName::Contact, &own),
            (HeaderName::Require, "outbound"),
            (HeaderName::FlowTimer, "120"),
        ],
    );
    let registered = bench.last_registered();
    assert!(registered.outbound);
    assert_eq!(registered.flow_timer, Some(s(120)));
    assert_eq!(
        registered.public_gruu.as_ref().map(Identity::reveal),
        Some("sip:alice@example.com;gr=urn:x")
    );
    assert_eq!(
        registered.temporary_gruu.as_ref().map(Identity::reveal),
        Some("sip:t1@example.com;gr")
    );
}

// ---- What an earlier start of ours has left at the registrar (RFC 5626 §4.2.1: the instance stays) ----

/// An entry of a registrar that gives back the parameters of a Contact.
fn entry(uri: &str, flow: u32, expires: u32) -> String {
    format!("<{uri}>;expires={expires};+sip.instance=\"<{INSTANCE}>\";reg-id={flow}")
}

const PRESENT: &str = "sip:alice-1@10.0.0.5:40000";
const DEAD: &str = "sip:alice-0@10.0.0.5:39000";

/// A REGISTER that is answered with these entries.
fn listing(config: RegistrationConfig, entries: &[String], require: Option<&str>) -> Bench {
    let mut bench = Bench::new(config);
    bench.register();
    let list = entries.join(", ");
    let mut headers = vec![(HeaderName::Contact, list.as_str())];
    headers.extend(require.map(|tag| (HeaderName::Require, tag)));
    bench.answer(200, &headers);
    bench
}

fn owned(bindings: &[BoundContact]) -> Vec<bool> {
    bindings.iter().map(|bound| bound.own).collect()
}

fn fetched(bench: &mut Bench, entries: &[String]) -> Vec<bool> {
    assert!(bench.registration.fetch_bindings(bench.now));
    bench.settle();
    bench.answer(200, &[(HeaderName::Contact, &entries.join(", "))]);
    match bench.events.last() {
        Some(RegistrationEvent::Bindings(bindings)) => owned(bindings),
        other => panic!("{other:?}"),
    }
}

/// RFC 5626 §6: without `Require: outbound` the registrar has not taken the flow for one, and RFC 3261 §10.2.4 counts:
/// the binding is the one with our URI.
#[test]
fn an_outdated_binding_of_our_instance_and_flow_is_not_the_present_one() {
    let plain = RegistrationConfig {
        reg_id: None,
        ..outbound()
    };
    let (dead, live) = (entry(DEAD, 1, 3500), entry(PRESENT, 1, 120));
    for config in [outbound(), plain] {
        for entries in [[dead.clone(), live.clone()], [live.clone(), dead.clone()]] {
            let mut bench = listing(config.clone(), &entries, None);
            let registered = bench.last_registered();
            assert_eq!(registered.granted, s(120), "{entries:?}");
            assert!(registered.refresh_in < s(120), "{entries:?}");
            assert_eq!(registered.other_bindings, 1, "{entries:?}");
            let ours: Vec<bool> = entries.iter().map(|entry| *entry == live).collect();
            assert_eq!(owned(&registered.bindings), ours, "{entries:?}");
            assert_eq!(fetched(&mut bench, &entries), ours, "{entries:?}");
            // So it can be removed, and ours stays.
            assert!(bench.registration.remove_binding(bench.now, DEAD));
            bench.settle();
            assert_eq!(
                bench.last().headers.get(HeaderName::Contact),
                Some("<sip:alice-0@10.0.0.5:39000>;expires=0")
            );
        }
    }
}

/// The same where the registrar puts its own address into every Contact: the user part of each start is another.
#[test]
fn an_outdated_binding_is_told_by_its_user_where_all_addresses_are_rewritten() {
    let entries = [
        entry("sip:alice-0@198.51.100.1:9", 1, 3500),
        entry("sip:alice-1@198.51.100.1:9", 1, 120),
    ];
    let mut bench = listing(outbound(), &entries, None);
    assert_eq!(bench.last_registered().granted, s(120));
    assert_eq!(owned(&bench.last_registered().bindings), [false, true]);
    assert_eq!(fetched(&mut bench, &entries), [false, true]);
    // Once ours is gone from the list, the outdated one does not take its place.
    assert_eq!(fetched(&mut bench, &entries[..1]), [false]);
}

/// RFC 5626 §6: a registrar that keeps to flows has one binding for a flow of an instance, whatever its URI.
#[test]
fn where_flows_are_kept_the_flow_says_which_binding_is_ours() {
    let rewritten = "sip:edge-7@198.51.100.1:9";
    let entries = [entry(DEAD, 2, 3500), entry(rewritten, 1, 120)];
    let mut bench = listing(outbound(), &entries, Some("outbound"));
    assert_eq!(bench.last_registered().granted, s(120));
    // There were two flows once, and there is one now: signing out does not remove the second.
    assert_eq!(owned(&bench.last_registered().bindings), [false, true]);
    assert_eq!(fetched(&mut bench, &entries), [false, true]);
}

#[test]
fn what_an_earlier_start_left_is_not_ours_while_signed_out() {
    let mut bench = Bench::new(outbound());
    assert_eq!(fetched(&mut bench, &[entry(DEAD, 1, 3500)]), [false]);
    let mut bench = listing(outbound(), &[entry(PRESENT, 1, 60)], Some("outbound"));
    bench.unregister();
    bench.answer(200, &[]);
    assert_eq!(fetched(&mut bench, &[entry(DEAD, 1, 3500)]), [false]);
}

#[test]
fn a_first_hop_without_outbound_gets_a_plain_register_once() {
    let mut bench = Bench::new(outbound());
    bench.register();
    bench.answer(439, &[]);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.contact().params.get("reg-id"), None);
    assert_eq!(
        bench.last().headers.get(HeaderName::Supported),
        Some("path, gruu")
    );
    bench.answer(439, &[]);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.count(is_refused), 1);
}

#[test]
fn without_an_instance_neither_is_asked_for() {
    let mut bench = Bench::new(RegistrationConfig {
        instance_id: None,
        ..outbound()
    });
    bench.register();
    assert_eq!(
        bench.last().headers.get(HeaderName::Supported),
        Some("path")
    );
    assert_eq!(bench.contact().params.get("reg-id"), None);
}
