//! The call flows of RFC 3665 §3, message by message. Phones are ours; proxies are led by the hand and do to each
//! message what the RFC's own proxies do.

use super::peer::{answer, answers, heard, last, response, say, within};
use super::*;
use sip_message::{Method, StatusCode};

const P1: &str = "192.0.2.11:5060";
const P2: &str = "192.0.2.12:5060";

/// A proxy that passes on what it is told to.
#[derive(Clone, Copy)]
struct Proxy {
    id: NodeId,
    address: &'static str,
    /// Whether it wants to stay on the way of the dialog.
    stays: bool,
}

impl Proxy {
    fn add(net: &mut Net, address: &'static str) -> Self {
        let id = add_script(net, address);
        Self {
            id,
            address,
            stays: true,
        }
    }

    fn host(self) -> &'static str {
        self.address.split(':').next().unwrap()
    }

    /// Passes on the last request with this method that it heard (RFC 3261 §16.6).
    fn forward(self, net: &mut Net, method: &str, to: &str) {
        self.forward_changed(net, method, to, |_| {});
    }

    fn forward_changed(
        self,
        net: &mut Net,
        method: &str,
        to: &str,
        change: impl FnOnce(&mut Request),
    ) {
        let mut request = last(net, self.id, method);
        let headers = &mut request.headers;
        let own = headers
            .get(HeaderName::Route)
            .is_some_and(|route| route.contains(self.host()));
        if own {
            headers.remove_first(HeaderName::Route);
        }
        let hops = headers.max_forwards().unwrap();
        headers.set(HeaderName::MaxForwards, hops - 1);
        let via = headers.via_top().unwrap();
        let branch = format!("{}-{}", via.branch().unwrap(), self.host());
        headers.insert_first(
            HeaderName::Via,
            format!("SIP/2.0/UDP {};branch={branch}", self.address),
        );
        if self.stays && method == "INVITE" {
            let here = format!("<sip:{};lr>", self.host());
            headers.insert_first(HeaderName::RecordRoute, here);
        }
        change(&mut request);
        say(net, self.id, to, request.to_bytes());
        wait(net, 10);
    }

    /// Passes the last answer to this method back (RFC 3261 §16.7).
    fn back(self, net: &mut Net, method: &str, to: &str) {
        self.back_changed(net, method, to, |_| {});
    }

    fn back_changed(
        self,
        net: &mut Net,
        method: &str,
        to: &str,
        change: impl FnOnce(&mut Response),
    ) {
        let mut response = answers(net, self.id, method)
            .pop()
            .expect("it was answered");
        response.headers.remove_first(HeaderName::Via);
        change(&mut response);
        say(net, self.id, to, response.to_bytes());
        wait(net, 10);
    }

    /// Answers the last request with this method itself.
    fn says(self, net: &mut Net, method: &str, to: &str, code: u16) {
        let tag = if code == 100 { "" } else { "proxy" };
        let response = response(&last(net, self.id, method), code, tag);
        say(net, self.id, to, response.to_bytes());
        wait(net, 10);
    }

    /// Asks for a login.
    fn challenges(self, net: &mut Net, to: &str, realm: &str) {
        let mut refusal = response(&last(net, self.id, "INVITE"), 407, self.host());
        refusal.headers.push(
            HeaderName::ProxyAuthenticate,
            format!("Digest realm=\"{realm}\", qop=\"auth\", nonce=\"f84f1cec41e6cbe5aea9c8e88d359\", opaque=\"\", stale=FALSE, algorithm=MD5"),
        );
        say(net, self.id, to, refusal.to_bytes());
        wait(net, 10);
    }

    /// What it passed on last with INVITE, as ACK or CANCEL of its own hop (RFC 3261 §9.1, §17.1.1.3).
    fn of_its_own_hop(self, net: &mut Net, method: Method, to: &str) {
        let here: SocketAddr = self.address.parse().unwrap();
        let sent = net.trace().iter().rev().find_map(|traced| {
            match Message::parse(&traced.packet.payload) {
                Ok(Message::Request(request))
                    if traced.packet.from == here && request.method == Method::Invite =>
                {
                    Some(request)
                }
                _ => None,
            }
        });
        let sent = sent.expect("it passed an INVITE on");
        let mut request = Request::new(method.clone(), sent.uri.clone());
        let top = sent.headers.via_top().unwrap();
        let headers = &mut request.headers;
        headers.push(HeaderName::Via, top);
        headers.push(HeaderName::MaxForwards, 70);
        for name in [HeaderName::From, HeaderName::To, HeaderName::CallId] {
            headers.push(name.clone(), sent.headers.get(name).unwrap());
        }
        if method == Method::Ack {
            let refusal = answers(net, self.id, "INVITE").pop().unwrap();
            let to = refusal.headers.get(HeaderName::To).unwrap().to_owned();
            headers.set(HeaderName::To, to);
        }
        let number = sent.headers.cseq().unwrap().number;
        headers.push(HeaderName::CSeq, format!("{number} {method}"));
        say(net, self.id, to, request.to_bytes());
        wait(net, 10);
    }
}

/// Alice in atlanta.example.com with its proxy, Bob in biloxi.example.com with his.
struct Trapezoid {
    net: Net,
    alice: NodeId,
    bob: NodeId,
    p1: Proxy,
    p2: Proxy,
}

impl Trapezoid {
    fn new(seed: u64) -> Self {
        let mut net = Net::new(seed);
        let alice = add_phone(&mut net, ALICE, "alice");
        let bob = add_phone(&mut net, BOB, "bob");
        let (p1, p2) = (Proxy::add(&mut net, P1), Proxy::add(&mut net, P2));
        act(&mut net, alice, |phone, _| {
            phone.config.route = vec![Uri::parse("sip:192.0.2.11;lr").unwrap()];
            phone.config.credentials = vec![Credentials::new("alice", "secret")];
            phone.config.home = Home::new(vec![Uri::parse("sip:192.0.2.11").unwrap()]);
        });
        Self {
            net,
            alice,
            bob,
            p1,
            p2,
        }
    }

    fn dial(&mut self) {
        dial(
            &mut self.net,
            self.alice,
            "sip:bob@biloxi.example.com",
            Some(OFFER),
        );
        wait(&mut self.net, 10);
    }

    /// The INVITE goes to Bob: P1 has it.
    fn invite_to_bob(&mut self) {
        self.p1.forward(&mut self.net, "INVITE", P2);
        self.p1.says(&mut self.net, "INVITE", ALICE, 100);
        self.invite_from_p2();
    }

    fn invite_from_p2(&mut self) {
        self.p2
            .forward_changed(&mut self.net, "INVITE", BOB, |request| {
                // The location service names Bob's Contact (RFC 3261 §16.5).
                request.uri = Uri::parse("sip:bob@192.0.2.2").unwrap();
            });
        self.p2.says(&mut self.net, "INVITE", P1, 100);
    }

    /// Bob's last answer to this method goes back to Alice.
    fn back_to_alice(&mut self, method: &str) {
        self.p2.back(&mut self.net, method, P1);
        self.p1.back(&mut self.net, method, ALICE);
    }

    fn bob(
        &mut self,
        verb: impl FnOnce(&mut Call, Instant) -> Result<(), super::super::WrongState>,
    ) {
        user(&mut self.net, self.bob, verb);
        wait(&mut self.net, 10);
    }

    /// Alice's ACK goes to Bob, then Bob hangs up.
    fn ack_and_bye_from_bob(&mut self) {
        self.p1.forward(&mut self.net, "ACK", P2);
        self.p2.forward(&mut self.net, "ACK", BOB);
        self.bob(Call::hang_up);
        self.p2.forward(&mut self.net, "BYE", P1);
        self.p1.forward(&mut self.net, "BYE", ALICE);
        self.p1.back(&mut self.net, "BYE", P2);
        self.p2.back(&mut self.net, "BYE", BOB);
    }

    fn ends_well(mut self) {
        assert_eq!(phone(&self.net, self.bob).ended(), Some(&EndKind::WeHungUp));
        assert_eq!(
            phone(&self.net, self.alice).ended(),
            Some(&EndKind::PeerHungUp { reason: None })
        );
        assert_all_gone(&mut self.net, &[self.alice, self.bob]);
    }

    /// A failure of Bob or of P2 goes back to Alice, acknowledged hop by hop.
    fn failure_to_alice(&mut self) {
        self.p2.back(&mut self.net, "INVITE", P1);
        self.p1.of_its_own_hop(&mut self.net, Method::Ack, P2);
        self.p1.back(&mut self.net, "INVITE", ALICE);
    }

    fn assert_status(&self, expected: u16) {
        let end = phone(&self.net, self.alice).ended();
        assert!(
            matches!(end, Some(EndKind::Status { code, .. }) if *code == expected),
            "{end:?}"
        );
    }
}

/// The values of a header in the last request with this method that a phone or proxy was sent.
fn values(request: &Request, name: HeaderName) -> Vec<&str> {
    request.headers.get_all(name).collect()
}

#[test]
fn section_3_1_a_session_is_established_and_ended() {
    let mut net = Net::new(31);
    let alice = add_phone(&mut net, ALICE, "alice");
    let bob = add_phone(&mut net, BOB, "bob");
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    user(&mut net, bob, |call, now| call.ring(now, None));
    wait(&mut net, 10);
    user(&mut net, bob, |call, now| call.answer(now, ANSWER.to_vec()));
    wait(&mut net, 10);
    user(&mut net, bob, Call::hang_up);
    wait(&mut net, 10);
    assert_wire(
        &net,
        &[
            ".1>.2 INVITE",     // F1
            ".2>.1 180 INVITE", // F2
            ".2>.1 200 INVITE", // F3
            ".1>.2 ACK",        // F4
            ".2>.1 BYE",        // F5
            ".1>.2 200 BYE",    // F6
        ],
    );
    // One tag for each end in all that it says (RFC 3261 §12.1.1), and numbers of its own.
    let invite = &requests(&net, "INVITE")[0];
    let ours = invite.headers.from().unwrap().tag().unwrap().to_owned();
    let answers = responses(&net, "INVITE");
    let theirs: Vec<_> = answers
        .iter()
        .map(|answer| answer.headers.to().unwrap().tag().unwrap().to_owned())
        .collect();
    assert_eq!(theirs[0], theirs[1], "180 and 200");
    let (ack, bye) = (&requests(&net, "ACK")[0], &requests(&net, "BYE")[0]);
    assert_eq!(ack.headers.to().unwrap().tag(), Some(theirs[0].as_str()));
    assert_eq!(bye.headers.from().unwrap().tag(), Some(theirs[0].as_str()));
    assert_eq!(bye.headers.to().unwrap().tag(), Some(ours.as_str()));
    // Requests tell how many hops they may take, answers do not (RFC 3261 §8.1.1.6).
    for request in [invite, ack, bye] {
        assert_eq!(request.headers.get(HeaderName::MaxForwards), Some("70"));
    }
    for answer in answers.iter().chain(&responses(&net, "BYE")) {
        assert!(!answer.headers.has(HeaderName::MaxForwards));
    }
    assert_all_gone(&mut net, &[alice, bob]);
}

#[test]
fn section_3_2_a_session_through_two_proxies() {
    let mut t = Trapezoid::new(32);
    t.dial();
    t.p1.challenges(&mut t.net, ALICE, "atlanta.example.com");
    t.invite_to_bob();
    t.bob(|call, now| call.ring(now, None));
    t.back_to_alice("INVITE");
    t.bob(|call, now| call.answer(now, ANSWER.to_vec()));
    t.back_to_alice("INVITE");
    assert!(phone(&t.net, t.alice).established());
    t.ack_and_bye_from_bob();
    assert_wire(
        &t.net,
        &[
            ".1>.11 INVITE",      // F1
            ".11>.1 407 INVITE",  // F2
            ".1>.11 ACK",         // F3
            ".1>.11 INVITE",      // F4
            ".11>.12 INVITE",     // F5
            ".11>.1 100 INVITE",  // F6
            ".12>.2 INVITE",      // F7
            ".12>.11 100 INVITE", // F8
            ".2>.12 180 INVITE",  // F9
            ".12>.11 180 INVITE", // F10
            ".11>.1 180 INVITE",  // F11
            ".2>.12 200 INVITE",  // F12
            ".12>.11 200 INVITE", // F13
            ".11>.1 200 INVITE",  // F14
            ".1>.11 ACK",         // F15
            ".11>.12 ACK",        // F16
            ".12>.2 ACK",         // F17
            ".2>.12 BYE",         // F18
            ".12>.11 BYE",        // F19
            ".11>.1 BYE",         // F20
            ".1>.11 200 BYE",     // F21
            ".11>.12 200 BYE",    // F22
            ".12>.2 200 BYE",     // F23
        ],
    );
    // What the proxies wrote into the INVITE comes back in the 200 as it was, and leads ACK and BYE.
    let route = ["<sip:192.0.2.12;lr>", "<sip:192.0.2.11;lr>"];
    let ok = &answers(&t.net, t.p2.id, "INVITE")[1];
    let recorded: Vec<_> = ok.headers.get_all(HeaderName::RecordRoute).collect();
    assert_eq!(recorded, route);
    let bye = last(&t.net, t.p2.id, "BYE");
    assert_eq!(values(&bye, HeaderName::Route), route);
    let ack = last(&t.net, t.p1.id, "ACK");
    let back: Vec<_> = route.into_iter().rev().collect();
    assert_eq!(values(&ack, HeaderName::Route), back);
    assert_eq!(ack.uri.to_string(), "sip:bob@192.0.2.2:5060", "his Contact");
    t.ends_well();
}

#[test]
fn proxies_that_do_not_stay_are_left_out_once_the_call_is_set_up() {
    let mut t = Trapezoid::new(33);
    (t.p1.stays, t.p2.stays) = (false, false);
    t.dial();
    t.invite_to_bob();
    t.bob(|call, now| call.answer(now, ANSWER.to_vec()));
    t.back_to_alice("INVITE");
    user(&mut t.net, t.alice, Call::hang_up);
    wait(&mut t.net, 10);
    let lines = wire(&t.net);
    assert_eq!(
        lines[lines.len() - 3..],
        [".1>.2 ACK", ".1>.2 BYE", ".2>.1 200 BYE"]
    );
    assert_all_gone(&mut t.net, &[t.alice, t.bob]);
}

#[test]
fn section_3_3_a_session_with_two_proxies_that_both_ask_for_a_login() {
    let mut t = Trapezoid::new(34);
    t.dial();
    t.p1.challenges(&mut t.net, ALICE, "atlanta.example.com");
    t.p1.forward(&mut t.net, "INVITE", P2);
    t.p1.says(&mut t.net, "INVITE", ALICE, 100);
    t.p2.challenges(&mut t.net, P1, "biloxi.example.com");
    t.p1.of_its_own_hop(&mut t.net, Method::Ack, P2);
    t.p1.back(&mut t.net, "INVITE", ALICE);
    t.invite_to_bob();
    t.bob(|call, now| call.ring(now, None));
    t.back_to_alice("INVITE");
    t.bob(|call, now| call.answer(now, ANSWER.to_vec()));
    t.back_to_alice("INVITE");
    t.ack_and_bye_from_bob();
    assert_wire(
        &t.net,
        &[
            ".1>.11 INVITE",      // F1
            ".11>.1 407 INVITE",  // F2
            ".1>.11 ACK",         // F3
            ".1>.11 INVITE",      // F4
            ".11>.12 INVITE",     // F5
            ".11>.1 100 INVITE",  // F6
            ".12>.11 407 INVITE", // F7
            ".11>.12 ACK",        // F8
            ".11>.1 407 INVITE",  // F9
            ".1>.11 ACK",         // F10
            ".1>.11 INVITE",      // F11
            ".11>.12 INVITE",     // F12
            ".11>.1 100 INVITE",  // F13
            ".12>.2 INVITE",      // F14
            ".12>.11 100 INVITE", // F15
            ".2>.12 180 INVITE",  // F16
            ".12>.11 180 INVITE", // F17
            ".11>.1 180 INVITE",  // F18
            ".2>.12 200 INVITE",  // F19
            ".12>.11 200 INVITE", // F20
            ".11>.1 200 INVITE",  // F21
            ".1>.11 ACK",         // F22
            ".11>.12 ACK",        // F23
            ".12>.2 ACK",         // F24
            ".2>.12 BYE",         // F25
            ".12>.11 BYE",        // F26
            ".11>.1 BYE",         // F27
            ".1>.11 200 BYE",     // F28
            ".11>.12 200 BYE",    // F29
            ".12>.2 200 BYE",     // F30
        ],
    );
    let tries = heard(&t.net, t.p1.id, "INVITE");
    let numbers: Vec<_> = tries
        .iter()
        .map(|r| r.headers.cseq().unwrap().number)
        .collect();
    assert_eq!([numbers[1], numbers[2]], [numbers[0] + 1, numbers[0] + 2]);
    let logins = values(&tries[2], HeaderName::ProxyAuthorization);
    assert_eq!(logins.len(), 2, "one for each realm (RFC 3261 §22.3)");
    for realm in ["atlanta.example.com", "biloxi.example.com"] {
        assert!(logins.iter().any(|login| login.contains(realm)), "{realm}");
    }
    t.ends_well();
}

#[test]
fn section_3_4_a_session_after_a_proxy_failed() {
    let mut t = Trapezoid::new(35);
    act(&mut t.net, t.alice, |phone, _| {
        let proxies = Uri::parse("sip:atlanta.example.com;lr").unwrap();
        phone.config.route = vec![proxies.clone()];
        phone.config.home = Home::new(vec![proxies]);
        let both = vec![P1.parse().unwrap(), P2.parse().unwrap()];
        phone.names.insert("atlanta.example.com".to_owned(), both);
    });
    t.dial();
    // The first proxy is out of service: it hears the INVITE again and again and says nothing (F1).
    let p2 = t.p2.id;
    let came = t.net.run_until(Duration::from_secs(40), |net| {
        !heard(net, p2, "INVITE").is_empty()
    });
    assert!(came, "the second proxy is tried");
    let began = t.net.elapsed();
    assert!(heard(&t.net, t.p1.id, "INVITE").len() > 2);
    let first = last(&t.net, p2, "INVITE");
    t.p2.challenges(&mut t.net, ALICE, "atlanta.example.com");
    let second = last(&t.net, p2, "INVITE");
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    t.p2.forward_changed(&mut t.net, "INVITE", BOB, |request| {
        request.headers.remove(HeaderName::Route);
        request.uri = Uri::parse("sip:bob@192.0.2.2").unwrap();
    });
    t.p2.says(&mut t.net, "INVITE", ALICE, 100);
    t.bob(|call, now| call.ring(now, None));
    t.p2.back(&mut t.net, "INVITE", ALICE);
    t.bob(|call, now| call.answer(now, ANSWER.to_vec()));
    t.p2.back(&mut t.net, "INVITE", ALICE);
    t.p2.forward(&mut t.net, "ACK", BOB);
    t.bob(Call::hang_up);
    t.p2.forward(&mut t.net, "BYE", ALICE);
    t.p2.back(&mut t.net, "BYE", BOB);
    assert_eq!(
        wire_since(&t.net, began)
            .into_iter()
            .filter(|line| line != ".1>.12 INVITE")
            .collect::<Vec<_>>(),
        [
            ".12>.1 407 INVITE", // F3
            ".1>.12 ACK",        // F4
            ".12>.2 INVITE",     // F6
            ".12>.1 100 INVITE", // F7
            ".2>.12 180 INVITE", // F8
            ".12>.1 180 INVITE", // F9
            ".2>.12 200 INVITE", // F10
            ".12>.1 200 INVITE", // F11
            ".1>.12 ACK",        // F12
            ".12>.2 ACK",        // F13
            ".2>.12 BYE",        // F14
            ".12>.1 BYE",        // F15
            ".1>.12 200 BYE",    // F16
            ".12>.2 200 BYE",    // F17
        ]
    );
    t.ends_well();
}

#[test]
fn section_3_5_a_session_through_a_gateway_that_rewrites_the_descriptions() {
    let mut t = Trapezoid::new(36);
    let (outside, inside) = (b"v=0 offer by the gateway", b"v=0 answer by the gateway");
    t.dial();
    t.p1.forward_changed(&mut t.net, "INVITE", BOB, |request| {
        request.uri = Uri::parse("sip:bob@192.0.2.2").unwrap();
        request.set_body("application/sdp", outside.to_vec());
    });
    t.p1.says(&mut t.net, "INVITE", ALICE, 100);
    t.bob(|call, now| call.ring(now, None));
    t.p1.back(&mut t.net, "INVITE", ALICE);
    t.bob(|call, now| call.answer(now, ANSWER.to_vec()));
    t.p1.back_changed(&mut t.net, "INVITE", ALICE, |response| {
        response.set_body("application/sdp", inside.to_vec());
    });
    t.p1.forward(&mut t.net, "ACK", BOB);
    t.bob(Call::hang_up);
    t.p1.forward(&mut t.net, "BYE", ALICE);
    t.p1.back(&mut t.net, "BYE", BOB);
    assert_wire(
        &t.net,
        &[
            ".1>.11 INVITE",     // F1
            ".11>.2 INVITE",     // F2
            ".11>.1 100 INVITE", // F3
            ".2>.11 180 INVITE", // F4
            ".11>.1 180 INVITE", // F5
            ".2>.11 200 INVITE", // F6
            ".11>.1 200 INVITE", // F7
            ".1>.11 ACK",        // F8
            ".11>.2 ACK",        // F9
            ".2>.11 BYE",        // F10
            ".11>.1 BYE",        // F11
            ".1>.11 200 BYE",    // F12
            ".11>.2 200 BYE",    // F13
        ],
    );
    let offered = CallEvent::Offer {
        body: outside.to_vec(),
    };
    assert_eq!(phone(&t.net, t.bob).events[0], offered);
    assert_eq!(
        phone(&t.net, t.alice).answers_told(),
        ["v=0 answer by the gateway"]
    );
    t.ends_well();
}

#[test]
fn section_3_6_a_session_through_a_redirection_with_the_answer_in_the_ack() {
    let mut t = Trapezoid::new(37);
    act(&mut t.net, t.alice, |phone, _| {
        phone.config.route.clear();
        phone.config.redirections = 5;
        for (name, proxy) in [("biloxi.example.com", P1), ("chicago.example.com", P2)] {
            let at = vec![proxy.parse().unwrap()];
            phone.names.insert(name.to_owned(), at);
        }
    });
    dial(&mut t.net, t.alice, "sip:bob@biloxi.example.com", None);
    wait(&mut t.net, 10);
    let mut moved = response(&last(&t.net, t.p1.id, "INVITE"), 302, "moved");
    moved
        .headers
        .push(HeaderName::Contact, "<sip:bob@chicago.example.com>");
    say(&mut t.net, t.p1.id, ALICE, moved.to_bytes());
    wait(&mut t.net, 10);
    user(&mut t.net, t.alice, |call, now| call.follow(now, 0));
    wait(&mut t.net, 10);
    t.p2.forward_changed(&mut t.net, "INVITE", BOB, |request| {
        request.uri = Uri::parse("sip:bob@192.0.2.2").unwrap();
    });
    t.p2.says(&mut t.net, "INVITE", ALICE, 100);
    assert_eq!(phone(&t.net, t.bob).events, [CallEvent::OfferWanted]);
    t.bob(|call, now| call.ring(now, None));
    t.p2.back(&mut t.net, "INVITE", ALICE);
    t.bob(|call, now| call.answer(now, OFFER.to_vec()));
    t.p2.back(&mut t.net, "INVITE", ALICE);
    user(&mut t.net, t.alice, |call, now| {
        call.accept_offer(now, ANSWER.to_vec())
    });
    wait(&mut t.net, 10);
    t.p2.forward(&mut t.net, "ACK", BOB);
    t.bob(Call::hang_up);
    t.p2.forward(&mut t.net, "BYE", ALICE);
    t.p2.back(&mut t.net, "BYE", BOB);
    assert_wire(
        &t.net,
        &[
            ".1>.11 INVITE",     // F1
            ".11>.1 302 INVITE", // F2
            ".1>.11 ACK",        // F3
            ".1>.12 INVITE",     // F4
            ".12>.2 INVITE",     // F5
            ".12>.1 100 INVITE", // F6
            ".2>.12 180 INVITE", // F7
            ".12>.1 180 INVITE", // F8
            ".2>.12 200 INVITE", // F9
            ".12>.1 200 INVITE", // F10
            ".1>.12 ACK",        // F11
            ".12>.2 ACK",        // F12
            ".2>.12 BYE",        // F13
            ".12>.1 BYE",        // F14
            ".1>.12 200 BYE",    // F15
            ".12>.2 200 BYE",    // F16
        ],
    );
    assert_eq!(last(&t.net, t.p2.id, "ACK").body, ANSWER);
    assert_eq!(phone(&t.net, t.bob).answers_told(), ["v=0 answer"]);
    t.ends_well();
}

#[test]
fn section_3_7_a_session_whose_callee_moves_to_another_address() {
    let mut net = Net::new(38);
    let alice = add_phone(&mut net, ALICE, "alice");
    let (bob, elsewhere) = (add_script(&mut net, BOB), add_script(&mut net, CAROL));
    dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
    wait(&mut net, 10);
    let invite = last(&net, bob, "INVITE");
    say(&mut net, bob, ALICE, response(&invite, 180, "b").to_bytes());
    let ok = answer(&invite, 200, "b", "sip:bob@192.0.2.2", ANSWER);
    say(&mut net, bob, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    // Bob's laptop has another address from here on: it says so with a re-INVITE.
    let from_there = |method: &str, branch: &str| {
        let mut request = within(&invite, "b", method, branch, 14);
        let via = format!("SIP/2.0/UDP {CAROL};branch=z9hG4bK{branch};rport");
        request.headers.set(HeaderName::Via, via);
        let contact = "<sip:bob@192.0.2.3>";
        request.headers.set(HeaderName::Contact, contact);
        request
    };
    let mut change = from_there("INVITE", "moved");
    change.set_body("application/sdp", OFFER.to_vec());
    say(&mut net, elsewhere, ALICE, change.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, |call, now| {
        call.accept_offer(now, ANSWER.to_vec())
    });
    wait(&mut net, 10);
    let ack = from_there("ACK", "acked");
    say(&mut net, elsewhere, ALICE, ack.to_bytes());
    wait(&mut net, 10);
    user(&mut net, alice, Call::hang_up);
    wait(&mut net, 10);
    let bye = last(&net, elsewhere, "BYE");
    assert_eq!(bye.uri.to_string(), "sip:bob@192.0.2.3");
    let ok = response(&bye, 200, "");
    say(&mut net, elsewhere, ALICE, ok.to_bytes());
    wait(&mut net, 10);
    assert_wire(
        &net,
        &[
            ".1>.2 INVITE",     // F1
            ".2>.1 180 INVITE", // F2
            ".2>.1 200 INVITE", // F3
            ".1>.2 ACK",        // F4
            ".3>.1 INVITE",     // F5
            ".1>.3 200 INVITE", // F6
            ".3>.1 ACK",        // F7
            ".1>.3 BYE",        // F8
            ".3>.1 200 BYE",    // F9
        ],
    );
    assert_all_gone(&mut net, &[alice]);
}

#[test]
fn section_3_8_nobody_answers_and_the_caller_gives_up() {
    let mut t = Trapezoid::new(39);
    t.dial();
    t.invite_to_bob();
    t.bob(|call, now| call.ring(now, None));
    t.back_to_alice("INVITE");
    user(&mut t.net, t.alice, Call::hang_up);
    wait(&mut t.net, 10);
    t.p1.says(&mut t.net, "CANCEL", ALICE, 200);
    t.p1.of_its_own_hop(&mut t.net, Method::Cancel, P2);
    t.p2.says(&mut t.net, "CANCEL", P1, 200);
    t.p2.of_its_own_hop(&mut t.net, Method::Cancel, BOB);
    t.p2.of_its_own_hop(&mut t.net, Method::Ack, BOB);
    t.failure_to_alice();
    assert_eq!(
        wire(&t.net)[8..],
        [
            ".1>.11 CANCEL",      // F10
            ".11>.1 200 CANCEL",  // F11
            ".11>.12 CANCEL",     // F12
            ".12>.11 200 CANCEL", // F13
            ".12>.2 CANCEL",      // F14
            ".2>.12 200 CANCEL",  // F15
            ".2>.12 487 INVITE",  // F16
            ".12>.2 ACK",         // F17
            ".12>.11 487 INVITE", // F18
            ".11>.12 ACK",        // F19
            ".11>.1 487 INVITE",  // F20
            ".1>.11 ACK",         // F21
        ]
    );
    assert_eq!(phone(&t.net, t.alice).ended(), Some(&EndKind::WeHungUp));
    assert_eq!(
        phone(&t.net, t.bob).ended(),
        Some(&EndKind::Cancelled { reason: None })
    );
    assert_all_gone(&mut t.net, &[t.alice, t.bob]);
}

/// Bob refuses with this status, before or after it rang.
fn bob_refuses(seed: u64, rings: bool, status: StatusCode) -> Trapezoid {
    let mut t = Trapezoid::new(seed);
    t.dial();
    t.invite_to_bob();
    if rings {
        t.bob(|call, now| call.ring(now, None));
        t.back_to_alice("INVITE");
    }
    t.bob(|call, now| call.reject(now, status));
    t.p2.of_its_own_hop(&mut t.net, Method::Ack, BOB);
    t.failure_to_alice();
    t
}

#[test]
fn section_3_9_the_callee_is_busy() {
    let mut t = bob_refuses(40, false, StatusCode::BUSY_HERE);
    assert_wire(
        &t.net,
        &[
            ".1>.11 INVITE",      // F1
            ".11>.12 INVITE",     // F2
            ".11>.1 100 INVITE",  // F3
            ".12>.2 INVITE",      // F4
            ".12>.11 100 INVITE", // F5
            ".2>.12 486 INVITE",  // F6
            ".12>.2 ACK",         // F7
            ".12>.11 486 INVITE", // F8
            ".11>.12 ACK",        // F9
            ".11>.1 486 INVITE",  // F10
            ".1>.11 ACK",         // F11
        ],
    );
    t.assert_status(486);
    assert_all_gone(&mut t.net, &[t.alice, t.bob]);
}

#[test]
fn section_3_10_the_callee_does_not_answer_at_all() {
    let mut t = Trapezoid::new(41);
    // Bob's phone hears nothing of it.
    let gone: SocketAddr = BOB.parse().unwrap();
    t.net.set_rule(move |_, packet| match packet.to == gone {
        true => testkit::Verdict::Drop,
        false => testkit::Verdict::Pass,
    });
    t.dial();
    t.invite_to_bob();
    // Timer B of the proxy is over (RFC 3261 §16.8); meanwhile Alice waits patiently.
    wait(&mut t.net, 32_000);
    assert!(phone(&t.net, t.alice).ended().is_none());
    t.p2.says(&mut t.net, "INVITE", P1, 480);
    t.p1.of_its_own_hop(&mut t.net, Method::Ack, P2);
    t.p1.back(&mut t.net, "INVITE", ALICE);
    assert_eq!(
        wire(&t.net)[5..],
        [
            ".12>.11 480 INVITE", // F12
            ".11>.12 ACK",        // F13
            ".11>.1 480 INVITE",  // F14
            ".1>.11 ACK",         // F15
        ]
    );
    t.assert_status(480);
    assert_all_gone(&mut t.net, &[t.alice]);
}

#[test]
fn section_3_11_the_callee_is_temporarily_unavailable() {
    let mut t = bob_refuses(42, true, StatusCode::TEMPORARILY_UNAVAILABLE);
    assert_eq!(
        wire(&t.net)[5..],
        [
            ".2>.12 180 INVITE",  // F6
            ".12>.11 180 INVITE", // F7
            ".11>.1 180 INVITE",  // F8
            ".2>.12 480 INVITE",  // F9
            ".12>.2 ACK",         // F10
            ".12>.11 480 INVITE", // F11
            ".11>.12 ACK",        // F12
            ".11>.1 480 INVITE",  // F13
            ".1>.11 ACK",         // F14
        ]
    );
    t.assert_status(480);
    assert_all_gone(&mut t.net, &[t.alice, t.bob]);
}
