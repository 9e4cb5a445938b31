//! The registration flows of RFC 3665 §2, message by message.

use super::*;

const CHALLENGE: &str = "Digest realm=\"atlanta.example.com\", qop=\"auth\", \
     nonce=\"ea9c8e88df84f1cec4341ae6cbe5a359\", opaque=\"\", stale=FALSE, algorithm=MD5";
/// Another phone of the same person.
const OTHER: &str = "<sip:+1-972-555-2222@gw1.example.com;user=phone>;expires=7200";

/// The registrar wants a login, and the phone has one.
fn challenged(bench: &mut Bench) {
    let number = bench.last().headers.cseq().unwrap().number;
    bench.answer(401, &[(HeaderName::WwwAuthenticate, CHALLENGE)]);
    let again = bench.last();
    assert_eq!(again.headers.cseq().unwrap().number, number + 1);
    let login = again.headers.get(HeaderName::Authorization).unwrap();
    for part in [
        "username=\"alice\"",
        "realm=\"atlanta.example.com\"",
        "uri=\"sip:example.com\"",
        "nc=00000001",
        "qop=auth",
    ] {
        assert!(login.contains(part), "{part} in {login}");
    }
}

fn methods(bench: &Bench) -> Vec<&str> {
    bench
        .sent
        .iter()
        .map(|(_, request)| request.method.as_str())
        .collect()
}

#[test]
fn section_2_1_a_new_registration() {
    let mut bench = Bench::new(config());
    bench.register();
    challenged(&mut bench); // F1, F2, F3
    bench.grant(600); // F4
    assert_eq!(methods(&bench), ["REGISTER", "REGISTER"]);
    assert!(bench.registration.is_registered());
    let (first, second) = (&bench.sent[0].1, &bench.sent[1].1);
    for name in [HeaderName::CallId, HeaderName::From, HeaderName::To] {
        assert_eq!(
            first.headers.get(name.clone()),
            second.headers.get(name),
            "one Call-ID and one tag for all of them (RFC 3261 §10.2)"
        );
    }
}

#[test]
fn section_2_2_the_contact_list_is_updated() {
    let mut bench = Bench::registered(config(), 600);
    let old = bench.contact().uri.to_string();
    bench.paths = Ok(vec![path(
        "192.0.2.1:5060",
        "10.0.0.77:40000",
        Transport::Udp,
    )]);
    bench.moved(); // F1
    let new = bench.contacts();
    let new = new
        .iter()
        .find(|c| c.uri.to_string() != old)
        .unwrap()
        .uri
        .to_string();
    assert_eq!(new, "sip:alice-1@10.0.0.77:40000");
    let list = format!("{OTHER}, <{new}>;expires=600");
    bench.answer(200, &[(HeaderName::Contact, &list)]); // F2
    let bindings = &bench.last_registered().bindings;
    let listed: Vec<_> = bindings.iter().map(|bound| bound.own).collect();
    assert_eq!(listed, [false, true]);
}

#[test]
fn section_2_3_the_current_contact_list_is_asked_for() {
    let mut bench = Bench::registered(config(), 600);
    assert!(bench.registration.fetch_bindings(bench.now));
    bench.settle(); // F1
    let asked = bench.last();
    assert!(!asked.headers.has(HeaderName::Contact));
    let list = format!("{OTHER}, <sip:alice-1@10.0.0.5:40000>;expires=300");
    bench.answer(200, &[(HeaderName::Contact, &list)]); // F2
    let told = bench.events.iter().rev().find_map(|event| match event {
        RegistrationEvent::Bindings(bindings) => Some(bindings),
        _ => None,
    });
    assert_eq!(told.expect("they are told").len(), 2);
    assert!(bench.registration.is_registered(), "nothing has changed");
}

#[test]
fn section_2_4_the_registration_is_cancelled() {
    let mut bench = Bench::registered(config(), 600);
    assert!(bench.registration.clear_bindings(bench.now));
    bench.settle(); // F1
    assert_eq!(bench.last().headers.get(HeaderName::Contact), Some("*"));
    assert_eq!(bench.last().headers.get(HeaderName::Expires), Some("0"));
    bench.answer(200, &[]); // F2
    assert_eq!(bench.count(is_unregistered), 1);
}

#[test]
fn section_2_5_an_unsuccessful_registration() {
    let mut bench = Bench::new(config());
    bench.register();
    challenged(&mut bench); // F1, F2, F3
    let another = CHALLENGE.replace("ea9c8e88", "cafecafe");
    bench.answer(401, &[(HeaderName::WwwAuthenticate, &another)]); // F4
    assert_eq!(bench.count(is_refused), 1);
    bench.wait(s(100_000));
    assert_eq!(bench.sent.len(), 2, "a person has to act first");
}
