//! Faults that other phones had, by their number in our list, and the list of bindings.

use super::*;
use crate::registration::FlowSet;

#[test]
fn case_21_a_rewritten_contact_is_rewritten_once_and_the_old_binding_goes_with_it() {
    let mut bench = Bench::new(config());
    bench.register();
    for round in 0..50 {
        // Another port each time: a mapping that flaps.
        bench.grant_seen(600, Some(&format!("198.51.100.7:{}", 1024 + round)));
    }
    assert_eq!(bench.sent.len(), 2, "the rewrite, and no more");
    let [old, new] = bench.contacts().try_into().unwrap();
    assert_eq!(old.params.get("expires"), Some("0"));
    assert_eq!(new.uri.port, Some(1024));
    // On a connection it is the connection that counts, never the port seen.
    let mut tls = Bench::new(config());
    tls.paths = Ok(vec![path(
        "192.0.2.1:5061",
        "10.0.0.5:40000",
        Transport::Tls,
    )]);
    tls.register();
    tls.grant_seen(600, Some("198.51.100.7:1024"));
    assert_eq!(tls.sent.len(), 1);
    assert_eq!(tls.contact().uri.port, Some(40000));
}

#[test]
fn case_22_our_own_time_is_told_from_those_of_others_and_each_refusal_is_understood() {
    let mut bench = Bench::new(RegistrationConfig {
        reg_id: Some(1),
        ..config()
    });
    bench.register();
    bench.answer(423, &[(HeaderName::MinExpires, "1200")]);
    bench.answer(439, &[]);
    assert_eq!(bench.contact().params.get("reg-id"), None);
    assert_eq!(bench.contact().params.get("expires"), Some("1200"));
    bench.answer(
        200,
        &[(
            HeaderName::Contact,
            "<sip:alice@203.0.113.1>;expires=5, <sip:alice-1@10.0.0.5:40000>;expires=90",
        )],
    );
    assert_eq!(bench.last_registered().granted, s(90));
    bench.wait(s(71));
    assert_eq!(bench.sent.len(), 3);
    bench.wait(s(11));
    assert_eq!(
        bench.last().headers.cseq().unwrap().number,
        bench.sent[2].1.headers.cseq().unwrap().number + 1
    );
    // Granted for no time: said so and tried later.
    bench.grant(0);
    assert!(!bench.registration.is_registered());
    assert!(matches!(
        bench.last_retry().0,
        Trouble::NothingGranted { .. }
    ));
}

#[test]
fn case_23_retry_after_is_heard_and_signing_out_never_overtakes() {
    let mut bench = Bench::new(config());
    bench.register();
    bench.answer(503, &[(HeaderName::RetryAfter, "300")]);
    bench.wait(s(299));
    assert_eq!(bench.sent.len(), 1);
    bench.wait(s(34));
    assert!(bench.sent.len() > 1);
    let before = bench.sent.len();
    bench.unregister();
    assert_eq!(bench.sent.len(), before, "the REGISTER is still on its way");
    bench.grant(600);
    assert_eq!(bench.contact().params.get("expires"), Some("0"));
    bench.answer(200, &[]);
    assert!(bench.registration.is_drained());
}

#[test]
fn case_24_another_network_is_registered_from_within_a_second() {
    let mut bench = Bench::registered(config(), 3600);
    bench.wait(s(600));
    let other = path("192.0.2.1:5060", "172.16.0.9:50000", Transport::Udp);
    bench.paths = Ok(vec![other]);
    let lost = bench.now;
    bench.lose(FLOW);
    assert_eq!(bench.now, lost, "at once");
    assert_eq!(
        bench.contacts().last().unwrap().uri.to_string(),
        "sip:alice-1@172.16.0.9:50000"
    );
    bench.grant(3600);
    assert_eq!(bench.last_registered().path.local, other.local);
}

// ---- Granted times at their ends ----

#[test]
fn a_second_and_thirty_years_are_both_lived_with() {
    let mut second = Bench::registered(config(), 1);
    for _ in 0..10 {
        let sent = second.sent.len();
        second.refresh();
        assert_eq!(second.sent.len(), sent + 1);
        second.grant(1);
        assert!(second.registration.is_registered());
    }
    let mut years = Bench::registered(config(), 30 * 365 * 86_400);
    assert!(years.last_registered().refresh_in <= s(86_400));
    years.wait(s(86_400));
    assert!(years.sent.len() > 1, "within a day");
}

// ---- RFC 3261 §10.2.2 and §10.2.3: the list ----

fn listed(bench: &Bench) -> Vec<(&str, bool)> {
    bench
        .events
        .iter()
        .rev()
        .find_map(|event| match event {
            RegistrationEvent::Bindings(bindings) => {
                Some(bindings.iter().map(|b| (b.uri.reveal(), b.own)).collect())
            }
            _ => None,
        })
        .expect("a list")
}

const OURS: &str = "<sip:alice-1@10.0.0.5:40000>;expires=500";
const FOREIGN: &str = "<sip:alice@203.0.113.1>;expires=30";

#[test]
fn the_list_is_fetched_without_a_contact_and_changes_nothing() {
    let mut bench = Bench::registered(config(), 600);
    let deadline = bench.deadline;
    assert!(bench.registration.fetch_bindings(bench.now));
    bench.settle();
    assert!(!bench.last().headers.has(HeaderName::Contact));
    assert!(!bench.last().headers.has(HeaderName::Expires));
    bench.answer(200, &[(HeaderName::Contact, &format!("{FOREIGN}, {OURS}"))]);
    assert_eq!(
        listed(&bench),
        [
            ("sip:alice@203.0.113.1", false),
            ("sip:alice-1@10.0.0.5:40000", true)
        ]
    );
    assert!(bench.registration.is_registered());
    assert_eq!(bench.deadline, deadline, "the refresh stays due");
    // An account that is off may ask, too, and stays off.
    let mut off = Bench::new(config());
    assert!(off.registration.fetch_bindings(off.now));
    off.settle();
    off.answer(200, &[(HeaderName::Contact, FOREIGN)]);
    assert_eq!(listed(&off), [("sip:alice@203.0.113.1", false)]);
    assert!(off.registration.is_drained());
}

/// RFC 5626 §4.2: one phone, two flows, and by datagrams one URI. Instance and reg-id tell them apart.
#[test]
fn each_flow_reads_its_own_binding_and_knows_the_others_as_ours() {
    let mut bench = Bench::new(RegistrationConfig {
        instance_id: Some("urn:uuid:00000000-0000-1000-8000-000A95A0E128".to_owned()),
        reg_id: Some(2),
        ..config()
    });
    bench.register();
    let uri = bench.contact().uri;
    let flow = |reg_id: u32, expires: u32| {
        format!(
            "<{uri}>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\";reg-id={reg_id};expires={expires}"
        )
    };
    let both = format!("{}, {}, {FOREIGN}", flow(1, 600), flow(2, 20));
    bench.answer(200, &[(HeaderName::Contact, &both)]);
    assert_eq!(bench.last_registered().granted, s(20));
    assert_eq!(bench.last_registered().other_bindings, 1);
    assert!(bench.registration.fetch_bindings(bench.now));
    bench.settle();
    bench.answer(200, &[(HeaderName::Contact, &both)]);
    let own: Vec<bool> = listed(&bench).into_iter().map(|(_, own)| own).collect();
    assert_eq!(own, [true, true, false]);
}

#[test]
fn what_is_asked_of_the_list_while_something_is_on_its_way_is_no_input() {
    let mut bench = Bench::registered(config(), 600);
    bench.registration.register(bench.now);
    bench.settle();
    // Nothing follows from these, so nobody drains them.
    assert!(!bench.registration.fetch_bindings(bench.now));
    assert!(
        !bench
            .registration
            .remove_binding(bench.now, "sip:alice@203.0.113.1")
    );
    assert!(!bench.registration.clear_bindings(bench.now));
    bench.answer(200, &[(HeaderName::Contact, OURS)]);
    assert!(bench.registration.is_registered());
}

#[test]
fn a_refresh_that_falls_due_meanwhile_follows_the_list() {
    let mut bench = Bench::registered(config(), 30);
    bench.wait(s(23));
    assert!(bench.registration.fetch_bindings(bench.now));
    bench.settle();
    bench.wait(s(6));
    assert!(!bench.last().headers.has(HeaderName::Contact));
    bench.answer(200, &[(HeaderName::Contact, OURS)]);
    assert!(bench.last().headers.has(HeaderName::Contact));
    bench.grant(30);
    assert!(bench.registration.is_registered());
}

#[test]
fn one_binding_of_somebody_else_is_removed_and_our_own_is_not() {
    let mut bench = Bench::registered(config(), 600);
    let now = bench.now;
    assert!(
        !bench
            .registration
            .remove_binding(now, "sip:alice-1@10.0.0.5:40000")
    );
    bench.settle();
    assert!(!bench.registration.remove_binding(now, "no uri\r\nX: y"));
    bench.settle();
    assert!(
        bench
            .registration
            .remove_binding(now, "sip:alice@203.0.113.1")
    );
    bench.settle();
    let contacts: Vec<_> = bench.last().headers.get_all(HeaderName::Contact).collect();
    assert_eq!(contacts, ["<sip:alice@203.0.113.1>;expires=0"]);
    bench.answer(200, &[(HeaderName::Contact, OURS)]);
    assert_eq!(listed(&bench), [("sip:alice-1@10.0.0.5:40000", true)]);
    assert!(bench.registration.is_registered());
}

#[test]
fn a_list_that_is_refused_or_does_not_come_harms_nothing() {
    for code in [Some(403), Some(503), None] {
        let mut bench = Bench::registered(config(), 600);
        bench.registration.fetch_bindings(bench.now);
        bench.settle();
        match code {
            Some(code) => bench.answer(code, &[]),
            None => bench.wait(s(33)),
        }
        assert!(bench.registration.is_registered(), "{code:?}");
        assert_eq!(bench.count(is_refused), 0, "{code:?}");
        bench.unregister();
        bench.answer(200, &[]);
        assert!(bench.registration.is_drained(), "{code:?}");
    }
}

#[test]
fn signing_out_does_not_wait_for_the_list() {
    let mut bench = Bench::registered(config(), 600);
    bench.registration.fetch_bindings(bench.now);
    bench.settle();
    bench.unregister();
    assert_eq!(bench.contact().params.get("expires"), Some("0"));
    bench.answer(200, &[]);
    assert_eq!(bench.count(is_unregistered), 1);
    assert!(bench.registration.is_drained());
}

// ---- RFC 5626 §4.3, RFC 5627 §4.4: the Contact of dialogs ----

#[test]
fn dialogs_offer_the_gruu_or_the_flow() {
    let registered = |extra: &str, require: &str| {
        let mut bench = Bench::new(RegistrationConfig {
            reg_id: Some(1),
            gruu: true,
            ..config()
        });
        bench.register();
        let own = format!("<{}>;expires=60{extra}", bench.contact().uri);
        bench.answer(
            200,
            &[(HeaderName::Contact, &own), (HeaderName::Require, require)],
        );
        let contact = bench.last_registered().contact_for_dialogs();
        contact.map(|uri| uri.to_string())
    };
    assert_eq!(
        registered(";pub-gruu=\"sip:alice@example.com;gr=u\"", "outbound").as_deref(),
        Some("sip:alice@example.com;gr=u")
    );
    assert_eq!(
        registered("", "outbound").as_deref(),
        Some("sip:alice-1@10.0.0.5:40000;ob")
    );
    assert_eq!(registered("", "path"), None);
}

// ---- RFC 5626 §4.2: two flows ----

struct Flows {
    now: Instant,
    set: FlowSet,
    paths: Vec<Path>,
    sent: Vec<(Destination, Request)>,
    events: Vec<(u32, RegistrationEvent)>,
    deadline: Option<Instant>,
}

impl Flows {
    fn registering() -> Self {
        Self::with_paths(
            ["192.0.2.1:5060", "192.0.2.2:5060"]
                .map(|remote| path(remote, "10.0.0.5:40000", Transport::Tcp)),
        )
    }

    fn with_paths(paths: [Path; 2]) -> Self {
        let proxies = ["sip:edge.example.com", "sip:edge.example.com"];
        let proxies = proxies.map(|proxy| Uri::parse(proxy).unwrap());
        let mut flows = Self {
            now: Instant::now(),
            set: FlowSet::new(&config(), &proxies, &Seed::from_number(1)),
            paths: paths.to_vec(),
            sent: Vec::new(),
            events: Vec::new(),
            deadline: None,
        };
        flows.set.register(flows.now);
        flows.settle();
        flows
    }

    fn settle(&mut self) {
        loop {
            let mut asked = Vec::new();
            loop {
                match self.set.poll_output() {
                    Output::Transmit(transmit) => match Message::parse(&transmit.bytes).unwrap() {
                        Message::Request(request) => {
                            self.sent.push((transmit.destination, request));
                        }
                        Message::Response(_) => unreachable!("nobody asked"),
                    },
                    Output::Resolve { id, .. } => asked.push(id),
                    Output::Event(event) => self.events.push((event.reg_id, event.event)),
                    Output::Deadline(deadline) => {
                        self.deadline = deadline;
                        break;
                    }
                }
            }
            if asked.is_empty() {
                return;
            }
            for id in asked {
                self.set
                    .handle_resolved(self.now, id, Ok(self.paths.clone()));
                loop {
                    match self.set.poll_output() {
                        Output::Transmit(transmit) => {
                            let Ok(Message::Request(request)) = Message::parse(&transmit.bytes)
                            else {
                                unreachable!("nobody asked")
                            };
                            self.sent.push((transmit.destination, request));
                        }
                        Output::Resolve { .. } => unreachable!("one question at a time"),
                        Output::Event(event) => self.events.push((event.reg_id, event.event)),
                        Output::Deadline(_) => break,
                    }
                }
            }
        }
    }

    fn answer(&mut self, index: usize, code: u16) {
        let contact = self.contact_of(index);
        self.answer_listing(index, code, &contact, true);
    }

    fn contact_of(&self, index: usize) -> String {
        let contact = self.sent[index].1.headers.get(HeaderName::Contact);
        contact.unwrap_or_default().to_owned()
    }

    fn answer_listing(&mut self, index: usize, code: u16, list: &str, outbound: bool) {
        let (destination, request) = self.sent[index].clone();
        let mut response =
            stateless::response(&request, StatusCode::new(code).unwrap(), Some("reg"));
        if code == 200 {
            response.headers.push(HeaderName::Contact, list);
        }
        if code == 200 && outbound {
            response.headers.push(HeaderName::Require, "outbound");
        }
        let flow = u64::from(destination.path().remote.port()) + index as u64;
        let inbound = Inbound {
            flow: FlowId(flow),
            path: *destination.path(),
        };
        self.set.handle_response(self.now, &response, &inbound);
        self.settle();
    }

    fn last_wait(&self) -> Duration {
        self.events
            .iter()
            .rev()
            .find_map(|(_, event)| match event {
                RegistrationEvent::Failed { retry_in, .. } => Some(*retry_in),
                _ => None,
            })
            .expect("a failure")
    }
}

#[test]
fn two_flows_have_numbers_of_their_own_and_one_instance() {
    let mut flows = Flows::registering();
    assert_eq!(flows.sent.len(), 2);
    for (number, (_, request)) in flows.sent.iter().enumerate() {
        let contact = request.headers.contact().unwrap();
        let reg_id = (number + 1).to_string();
        assert_eq!(contact.params.get("reg-id"), Some(reg_id.as_str()));
        assert_eq!(
            contact.params.get("+sip.instance"),
            Some(format!("<{INSTANCE}>").as_str())
        );
        assert_eq!(
            request.headers.get(HeaderName::Supported),
            Some("path, outbound")
        );
    }
    flows.answer(0, 200);
    flows.answer(1, 200);
    assert_eq!(flows.set.standing(), 2);
    flows.set.unregister(flows.now);
    flows.settle();
    assert_eq!(flows.sent.len(), 4);
    flows.answer(2, 200);
    flows.answer(3, 200);
    assert!(flows.set.is_drained());
    assert_eq!(flows.deadline, None);
}

/// RFC 5626 §2: no two flows are one connection.
#[test]
fn what_several_flows_send_says_which_connection_it_is_for() {
    let lanes = |ways: usize| {
        let ways = vec![None; ways];
        let mut set = FlowSet::along(&config(), &ways, &Seed::from_number(1));
        let now = Instant::now();
        set.register(now);
        let [mut asked, mut sent] = [Vec::new(), Vec::new()];
        let mut questions = Vec::new();
        loop {
            match set.poll_output() {
                Output::Resolve { id, lane, .. } => {
                    questions.push(id);
                    asked.push(lane);
                }
                Output::Transmit(transmit) => sent.push(transmit.lane),
                Output::Event(_) => {}
                Output::Deadline(_) => match questions.pop() {
                    Some(id) => {
                        let to = path("192.0.2.1:5060", "10.0.0.5:40000", Transport::Tcp);
                        set.handle_resolved(now, id, Ok(vec![to]));
                    }
                    None => break,
                },
            }
        }
        sent.sort();
        (asked, sent)
    };
    // One alone may share with whatever goes there.
    assert_eq!(lanes(1), (vec![None], vec![None]));
    let three: Vec<_> = (0..3).map(Some).collect();
    assert_eq!(lanes(3), (three.clone(), three));
}

/// RFC 5626 §4.2: two servers are two flows anyway, from wherever the account is bound.
#[test]
fn flows_to_several_servers_need_no_connections_apart() {
    let way = |text: &str| Some(Uri::parse(text).unwrap());
    let ways = [
        way("sip:a.test;lr"),
        way("sip:b.test;lr"),
        way("sip:a.test;lr"),
    ];
    let mut set = FlowSet::along(&config(), &ways, &Seed::from_number(1));
    set.register(Instant::now());
    let mut asked = Vec::new();
    loop {
        match set.poll_output() {
            Output::Resolve { lane, .. } => asked.push(lane),
            Output::Deadline(_) => break,
            _ => {}
        }
    }
    assert_eq!(asked, [Some(0), None, Some(2)]);
}

#[test]
fn a_flow_made_anew_avoids_the_server_of_the_other() {
    let mut flows = Flows::registering();
    flows.answer(0, 200);
    // The second was on its way to the same server, which does not take it; it comes back later.
    flows.answer(1, 500);
    let wait = flows.last_wait();
    flows.now += wait;
    flows.set.handle_timeout(flows.now);
    flows.settle();
    let (destination, _) = flows.sent.last().unwrap();
    assert_eq!(destination.path().remote.to_string(), "192.0.2.2:5060");
}

/// RFC 5626 §4.5.
#[test]
fn the_wait_for_a_flow_depends_on_the_other() {
    let mut none = Flows::registering();
    none.answer(0, 500);
    assert!((s(30)..=s(60)).contains(&none.last_wait()));
    let mut one = Flows::registering();
    one.answer(0, 200);
    one.answer(1, 500);
    assert!((s(90)..=s(180)).contains(&one.last_wait()));
}

#[test]
fn a_way_without_a_proxy_leads_to_the_registrar_itself() {
    let ways = [None, Some(Uri::parse("sip:edge.example.com").unwrap())];
    let mut set = FlowSet::along(&config(), &ways, &Seed::from_number(1));
    assert_eq!(set.len(), 2);
    set.register(Instant::now());
    let mut asked = Vec::new();
    while let Output::Event(_) | Output::Resolve { .. } = {
        let output = set.poll_output();
        if let Output::Resolve { uri, .. } = &output {
            asked.push(uri.to_string());
        }
        output
    } {}
    assert_eq!(
        asked,
        [
            config().registrar.to_string(),
            "sip:edge.example.com".to_owned()
        ]
    );
}

/// Each flow has a URI of its own here, so that a registrar which knows no flows lists two bindings. Beside them is what
/// an earlier start has left.
#[test]
fn the_bindings_of_all_present_flows_are_ours_and_no_more() {
    for outbound in [true, false] {
        let mut flows = Flows::with_paths([
            path("192.0.2.1:5060", "10.0.0.5:40000", Transport::Tcp),
            path("192.0.2.2:5060", "10.0.0.5:40001", Transport::Tcp),
        ]);
        let [one, two] = [0, 1].map(|index| flows.contact_of(index));
        let left = format!(
            "<sip:alice-0@10.0.0.5:39000;transport=tcp>;expires=3500;+sip.instance=\"<{INSTANCE}>\";reg-id={}",
            // Where flows are kept ours have taken the place of those with their numbers.
            if outbound { 3 } else { 1 },
        );
        flows.answer_listing(0, 200, &format!("{left}, {one}"), outbound);
        let both = format!("{left}, {one}, {two}");
        flows.answer_listing(1, 200, &both, outbound);
        let owned = flows
            .events
            .iter()
            .rev()
            .find_map(|(_, event)| match event {
                RegistrationEvent::Registered(registered) => Some(
                    registered
                        .bindings
                        .iter()
                        .map(|bound| bound.own)
                        .collect::<Vec<_>>(),
                ),
                _ => None,
            });
        assert_eq!(owned, Some(vec![false, true, true]), "{outbound}");
        assert!(flows.set.fetch_bindings(flows.now));
        flows.settle();
        let asked = flows.sent.len() - 1;
        flows.answer_listing(asked, 200, &both, false);
        let listed = flows
            .events
            .iter()
            .rev()
            .find_map(|(_, event)| match event {
                RegistrationEvent::Bindings(bindings) => {
                    Some(bindings.iter().map(|bound| bound.own).collect::<Vec<_>>())
                }
                _ => None,
            });
        assert_eq!(listed, Some(vec![false, true, true]), "{outbound}");
    }
}

#[test]
fn the_list_is_asked_for_on_a_flow_that_stands() {
    let mut flows = Flows::registering();
    flows.answer(1, 200);
    assert!(flows.set.fetch_bindings(flows.now));
    flows.settle();
    let (destination, fetch) = flows.sent.last().unwrap();
    assert!(!fetch.headers.has(HeaderName::Contact));
    assert_eq!(destination.path().remote.to_string(), "192.0.2.1:5060");
    let of_second = flows.sent[1].1.headers.get(HeaderName::CallId);
    assert_eq!(fetch.headers.get(HeaderName::CallId), of_second);
}
