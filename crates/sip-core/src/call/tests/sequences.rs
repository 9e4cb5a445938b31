//! Random users on a random network: whatever they do, each call ends once and leaves nothing behind.

use proptest::prelude::*;
use sip_message::{Method, StatusCode};
use testkit::{Chance, Fate, Link};

use super::peer::say;
use super::*;
use crate::call::{InfoDigit, ReferProgress};

/// What a user tries; most of it does not fit most states.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Ring,
    Progress,
    Answer,
    Reject,
    HangUp,
    Reoffer,
    AcceptOffer,
    RejectOffer,
    Info,
    Digit,
    Update(bool),
    Refer(bool),
    AcceptRefer,
    RejectRefer,
    ReportRefer(u16),
    Redirect,
    Follow,
    Wait(u32),
}

fn verbs() -> impl Strategy<Value = Vec<(u8, Verb)>> {
    let verb = prop_oneof![
        2 => Just(Verb::Ring),
        1 => Just(Verb::Progress),
        4 => Just(Verb::Answer),
        1 => Just(Verb::Reject),
        1 => Just(Verb::HangUp),
        4 => Just(Verb::Reoffer),
        5 => Just(Verb::AcceptOffer),
        1 => Just(Verb::RejectOffer),
        1 => Just(Verb::Info),
        1 => Just(Verb::Digit),
        2 => any::<bool>().prop_map(Verb::Update),
        2 => any::<bool>().prop_map(Verb::Refer),
        2 => Just(Verb::AcceptRefer),
        1 => Just(Verb::RejectRefer),
        2 => prop_oneof![Just(180), Just(200), Just(486)].prop_map(Verb::ReportRefer),
        1 => Just(Verb::Redirect),
        1 => Just(Verb::Follow),
        8 => (0u32..3000).prop_map(Verb::Wait),
        1 => (3000u32..40_000).prop_map(Verb::Wait),
        1 => (40_000u32..200_000).prop_map(Verb::Wait),
    ];
    prop::collection::vec((0u8..6, verb), 0..40)
}

/// Tries a verb; whether it fitted is the call's affair.
fn attempt(phone: &mut Phone, now: Instant, verb: Verb) {
    let Some(call) = &mut phone.call else { return };
    let status = |code| StatusCode::new(code).unwrap();
    let elsewhere = NameAddr::parse("<sip:carol@192.0.2.2>").unwrap();
    let wanted = phone.events.iter().rev().find_map(|event| match event {
        CallEvent::ReferRequested(request) => Some(request.id),
        _ => None,
    });
    let _ = match verb {
        Verb::Ring => call.ring(now, None),
        Verb::Progress => call.progress(now, status(183), Some(ANSWER.to_vec())),
        Verb::Answer => call.answer(now, ANSWER.to_vec()),
        Verb::Reject => call.reject(now, status(603)),
        Verb::HangUp => call.hang_up(now),
        Verb::Reoffer => call.reoffer(now, OFFER.to_vec()),
        Verb::AcceptOffer => call.accept_offer(now, ANSWER.to_vec()),
        Verb::RejectOffer => call.reject_offer(now, status(488)),
        Verb::Info => call.info(now, "text/plain", b"x".to_vec()),
        Verb::Digit => {
            let digit = InfoDigit {
                digit: '5',
                duration: None,
            };
            call.send_digit(now, digit)
        }
        Verb::Update(offer) => call.update(now, offer.then(|| OFFER.to_vec())),
        Verb::Refer(true) => call.refer(now, &elsewhere, None).map(|_| ()),
        Verb::Refer(false) => call.refer_untold(now, &elsewhere, None).map(|_| ()),
        Verb::AcceptRefer => wanted.map_or(Ok(()), |id| call.accept_refer(now, id)),
        Verb::RejectRefer => wanted.map_or(Ok(()), |id| call.reject_refer(now, id, status(603))),
        Verb::ReportRefer(code) => {
            wanted.map_or(Ok(()), |id| call.report_refer(now, id, status(code)))
        }
        Verb::Redirect => call.redirect(now, &elsewhere),
        Verb::Follow => call.follow(now, 0),
        Verb::Wait(_) => return,
    };
}

/// Two phones that can do all there is, with session timers that run out within a test.
fn able(net: &mut Net) -> (NodeId, NodeId) {
    (able_phone(net, ALICE, "alice"), able_phone(net, BOB, "bob"))
}

fn able_phone(net: &mut Net, address: &str, user: &str) -> NodeId {
    let id = add_phone(net, address, user);
    act(net, id, |phone, _| {
        phone.config = phone.config.clone().with_transfers();
        phone.config.redirections = 2;
        phone.config.session_timer.interval = Some(Duration::from_secs(90));
    });
    id
}

/// Where the proxy is that forks.
const PROXY: &str = "192.0.2.9:5060";

/// After any life: nothing is left once the last subscription has run out, each 2xx that arrived was acknowledged,
/// each transfer asked for came to one end.
fn assert_sound(net: &mut Net, ids: &[NodeId]) {
    // The time of a subscription, and that of its last report.
    net.run_for(Duration::from_secs(2 * 600));
    assert_all_gone(net, ids);
    for id in ids {
        let mut asked = Vec::new();
        let mut done = Vec::new();
        for event in &phone(net, *id).events {
            if let CallEvent::Refer { id, progress } = event {
                let list = match progress {
                    ReferProgress::Done(_) => &mut done,
                    _ => &mut asked,
                };
                list.push(*id);
            }
        }
        for (at, id) in done.iter().enumerate() {
            assert!(!done[..at].contains(id), "a transfer ends once");
        }
        assert!(asked.iter().all(|id| done.contains(id)), "and it ends");
    }
    let sent = net.trace();
    for (at, traced) in sent.iter().enumerate() {
        let Ok(Message::Response(ok)) = Message::parse(&traced.packet.payload) else {
            continue;
        };
        let cseq = ok.headers.cseq().unwrap();
        let arrived = matches!(traced.fate, Fate::Carried { copies } if copies > 0);
        let heard = ids
            .iter()
            .any(|id| phone(net, *id).address == traced.packet.to);
        if !arrived || !heard || !ok.status.is_success() || cseq.method != Method::Invite {
            continue;
        }
        // RFC 3261 §17.1.1.2: after Timer B nobody is there to hear it; the callee ends that by itself.
        let tag = ok.headers.to().unwrap().tag().map(str::to_owned);
        let request = |traced: &testkit::Traced<Vec<u8>>, method: Method| {
            matches!(Message::parse(&traced.packet.payload), Ok(Message::Request(request))
                if request.method == method
                    && request.headers.cseq().unwrap().number == cseq.number
                    && (method != Method::Ack || request.headers.to().unwrap().tag().map(str::to_owned) == tag))
        };
        let invited = sent[..at]
            .iter()
            .find(|before| {
                before.packet.from == traced.packet.to && request(before, Method::Invite)
            })
            .expect("a response has a request");
        if traced.at > invited.at + Duration::from_secs(31) {
            continue;
        }
        let acknowledged = sent[at..]
            .iter()
            .any(|later| later.packet.from == traced.packet.to && request(later, Method::Ack));
        assert!(
            acknowledged,
            "a 2xx without ACK at {:?}: {:#?}",
            traced.at,
            sent.iter()
                .map(|traced| format!("{:?} {:?} {}", traced.at, traced.fate, line(&traced.packet)))
                .collect::<Vec<_>>()
        );
    }
}

/// Who there is in a run.
#[derive(Clone, Copy, Debug)]
enum Town {
    /// Two phones that speak with each other.
    Two,
    /// The first one's call goes to two others.
    Forked,
}

/// One run: everything sent, and what both users were told.
fn run(
    seed: u64,
    town: Town,
    late: bool,
    link: Link,
    verbs: &[(u8, Verb)],
) -> (Vec<testkit::Traced<Vec<u8>>>, Vec<CallEvent>) {
    let mut net = Net::new(seed);
    net.set_link(link);
    let (alice, bob) = able(&mut net);
    let mut ids = vec![alice, bob];
    let mut target = "sip:bob@192.0.2.2";
    if let Town::Forked = town {
        ids.push(able_phone(&mut net, CAROL, "carol"));
        let proxy = Peer::Proxy(Proxy::new(PROXY, [BOB, CAROL]));
        net.add(PROXY.parse().unwrap(), proxy);
        target = "sip:bob@192.0.2.9";
    }
    dial(&mut net, alice, target, (!late).then_some(OFFER));
    for (who, verb) in verbs {
        if let Verb::Wait(ms) = verb {
            wait(&mut net, u64::from(*ms));
            continue;
        }
        let id = ids[usize::from(*who) % ids.len()];
        act(&mut net, id, |phone, now| attempt(phone, now, *verb));
    }
    for id in ids.clone() {
        act(&mut net, id, |phone, now| attempt(phone, now, Verb::HangUp));
        let phone = phone(&net, id);
        assert!(
            phone.call.is_none() || phone.ended().is_some(),
            "told to hang up, and not ended"
        );
    }
    // The INVITE may come through only now. Nobody takes it: hang up once more.
    wait(&mut net, 33_000);
    for id in &ids[1..] {
        act(&mut net, *id, |phone, now| {
            attempt(phone, now, Verb::HangUp);
        });
    }
    // A BYE held for its ACK, then its own 64·T1, then the peer's repeats.
    assert_sound(&mut net, &ids);
    let told = ids.iter().flat_map(|id| phone(&net, *id).events.clone());
    let told = told.collect();
    (net.trace().to_vec(), told)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn case_45_every_call_ends_once_and_leaves_nothing(
        seed in any::<u64>(),
        late in any::<bool>(),
        loss in 0u32..500,
        duplicate in 0u32..300,
        reorder in 0u32..300,
        verbs in verbs(),
    ) {
        let link = Link { loss, duplicate, reorder, ..Link::BAD };
        run(seed, Town::Two, late, link, &verbs);
    }

    #[test]
    fn case_45_every_call_that_forks_ends_once_and_leaves_nothing(
        seed in any::<u64>(),
        late in any::<bool>(),
        loss in 0u32..300,
        duplicate in 0u32..300,
        reorder in 0u32..300,
        verbs in verbs(),
    ) {
        let link = Link { loss, duplicate, reorder, ..Link::BAD };
        run(seed, Town::Forked, late, link, &verbs);
    }

    #[test]
    fn the_same_seed_and_inputs_give_the_same_bytes(seed in any::<u64>(), verbs in verbs()) {
        let first = run(seed, Town::Forked, false, Link::BAD, &verbs);
        let second = run(seed, Town::Forked, false, Link::BAD, &verbs);
        prop_assert_eq!(first.0, second.0);
        prop_assert_eq!(first.1, second.1);
    }

    #[test]
    fn messages_turned_upside_down_never_panic(seed in any::<u64>(), verbs in verbs()) {
        let mut net = Net::new(seed);
        let (alice, bob) = able(&mut net);
        dial(&mut net, alice, "sip:bob@192.0.2.2", Some(OFFER));
        let mut chance = Chance::new(seed);
        for (who, verb) in &verbs {
            let id = [alice, bob][usize::from(*who % 2)];
            act(&mut net, id, |phone, now| attempt(phone, now, *verb));
            wait(&mut net, 20);
            // Something that was said before comes once more, changed in one place, to either end.
            let said = net.trace().len();
            if said == 0 {
                continue;
            }
            let index = chance.below(u32::try_from(said).unwrap()) as usize;
            let mut packet = net.trace()[index].packet.clone();
            damage(&mut packet.payload, &mut chance);
            net.inject(packet.from, packet.to, packet.payload);
            wait(&mut net, 20);
        }
        for id in [alice, bob] {
            act(&mut net, id, |phone, now| attempt(phone, now, Verb::HangUp));
        }
        wait(&mut net, 33_000);
        act(&mut net, bob, |phone, now| attempt(phone, now, Verb::HangUp));
        net.run_for(Duration::from_secs(2 * 600));
        assert_all_gone(&mut net, &[alice, bob]);
    }
}

/// Swaps a word of the message for another one that stands elsewhere in SIP, or one byte for any.
fn damage(bytes: &mut Vec<u8>, chance: &mut Chance) {
    const WORDS: [(&str, &str); 24] = [
        ("INVITE", "BYE"),
        ("ACK", "BYE"),
        ("200", "487"),
        ("200", "100"),
        ("180", "200"),
        ("BYE", "INVITE"),
        ("tag=", "tog="),
        ("200", "401"),
        ("487", "200"),
        ("Contact", "Kontakt"),
        ("CSeq: ", "CSeq: 4"),
        ("branch=z9hG4bK", "branch=z9hG4bKx"),
        ("INVITE", "UPDATE"),
        ("INVITE", "REFER"),
        ("INFO", "NOTIFY"),
        ("REFER", "NOTIFY"),
        ("NOTIFY", "INVITE"),
        ("202", "200"),
        ("200", "422"),
        ("Session-Expires: ", "Session-Expires: 4"),
        ("refresher=uas", "refresher=uac"),
        ("active", "terminated"),
        ("refer;id=", "refer;id=9"),
        ("expires=", "expires=0"),
    ];
    let Ok(mut text) = String::from_utf8(bytes.clone()) else {
        return;
    };
    if chance.hits(800) {
        let (from, to) = WORDS[chance.below(24) as usize];
        text = text.replace(from, to);
        *bytes = text.into_bytes();
    } else if !bytes.is_empty() {
        let at = chance.below(u32::try_from(bytes.len()).unwrap()) as usize;
        bytes[at] = u8::try_from(chance.below(256)).unwrap();
    }
}

/// What a peer says that keeps to no rule but the syntax.
#[derive(Clone, Debug)]
enum Said {
    Request {
        method: usize,
        tag: usize,
        step: u32,
        body: usize,
        headers: Vec<usize>,
    },
    /// To the last request with this method.
    Response {
        method: usize,
        code: u16,
        tag: usize,
        body: usize,
        headers: Vec<usize>,
    },
    User(Verb),
}

const METHODS: [&str; 12] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "UPDATE",
    "PRACK",
    "INFO",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "OPTIONS",
    "MESSAGE",
];
const TAGS: [&str; 6] = ["b", "b", "b", "c", "d", ""];
const BODIES: [(&str, &[u8]); 4] = [
    ("", b""),
    ("application/sdp", b"v=0 anything"),
    ("message/sipfrag", b"SIP/2.0 180 Ringing\r\n"),
    ("message/sipfrag", b"SIP/2.0 200 OK\r\n"),
];
const HEADERS: [(&str, &str); 24] = [
    ("Require", "100rel"),
    ("RSeq", "1"),
    ("RSeq", "2"),
    ("RAck", "1 1 INVITE"),
    ("Supported", "timer, 100rel, norefersub"),
    ("Session-Expires", "1;refresher=uas"),
    ("Session-Expires", "90;refresher=uac"),
    ("Session-Expires", "4294967295"),
    ("Min-SE", "4294967295"),
    ("Min-SE", "100"),
    ("Allow", "INVITE, UPDATE, REFER, NOTIFY"),
    ("Allow", "INVITE"),
    ("Refer-To", "<sip:carol@192.0.2.3>"),
    ("Refer-Sub", "false"),
    ("Event", "refer"),
    ("Event", "presence"),
    ("Subscription-State", "active;expires=4294967295"),
    ("Subscription-State", "terminated;reason=timeout"),
    ("Retry-After", "0"),
    ("Info-Package", "poker"),
    ("Session-ID", "a2f5c3d4e5f60718293a4b5c6d7e8f90"),
    ("Record-Route", "<sip:192.0.2.2;lr>"),
    ("Reason", "SIP;cause=200"),
    ("Contact", "<sip:carol@192.0.2.2>, <sip:dave@192.0.2.2>"),
];

fn said() -> impl Strategy<Value = Vec<Said>> {
    let headers = || prop::collection::vec(0..HEADERS.len(), 0..5);
    let code = prop_oneof![
        Just(100u16),
        Just(180),
        Just(183),
        Just(199),
        Just(200),
        Just(202),
        Just(302),
        Just(401),
        Just(408),
        Just(422),
        Just(481),
        Just(486),
        Just(491),
        Just(500),
        Just(503),
        Just(603)
    ];
    let one = prop_oneof![
        4 => (0..METHODS.len(), 0..TAGS.len(), 0u32..3, 0..BODIES.len(), headers()).prop_map(
            |(method, tag, step, body, headers)| Said::Request { method, tag, step, body, headers }
        ),
        6 => (0..METHODS.len(), code, 0..TAGS.len(), 0..BODIES.len(), headers()).prop_map(
            |(method, code, tag, body, headers)| Said::Response { method, code, tag, body, headers }
        ),
        4 => verbs().prop_filter_map("a verb", |verbs| verbs.first().map(|(_, verb)| Said::User(*verb))),
    ];
    prop::collection::vec(one, 0..40)
}

/// The dialog that a phone talks in, as its peer's tag and all that is known of it; none while it does not talk.
/// And what its user was told, but for remarks.
fn standing(net: &Net, id: NodeId) -> Option<(String, String, Vec<CallEvent>)> {
    let phone = phone(net, id);
    let call = phone.call.as_ref()?;
    let dialog = call.dialog().filter(|_| call.phase() == Phase::Talking)?;
    let told = phone.events.iter();
    let told = told.filter(|event| !matches!(event, CallEvent::Notice(_)));
    Some((
        dialog.id().remote_tag.clone(),
        format!("{dialog:?}"),
        told.cloned().collect(),
    ))
}

/// Begins as it should: the call is taken and acknowledged.
fn establish(net: &mut Net, alice: NodeId, carol: NodeId, calls: bool) {
    if calls {
        let invite = super::peer::last(net, carol, "INVITE");
        let mut ok = super::peer::answer(&invite, 200, "b", "sip:carol@192.0.2.3", ANSWER);
        add_headers(&mut ok.headers, &[6, 10]);
        say(net, carol, ALICE, ok.to_bytes());
    } else {
        user(net, alice, |call, now| call.answer(now, ANSWER.to_vec()));
        wait(net, 10);
        let ok = super::peer::answers(net, carol, "INVITE").pop().unwrap();
        let to = ok.headers.get(HeaderName::To).unwrap();
        let invite = super::peer::invite(net, carol, ALICE, "first", 7, OFFER);
        let ack = super::peer::follow(&invite, to, "ACK", "ack", 7);
        say(net, carol, ALICE, ack.to_bytes());
    }
    wait(net, 10);
    assert!(phone(net, alice).established());
}

fn set_type(headers: &mut sip_message::Headers, body: usize) {
    headers.remove(HeaderName::ContentType);
    if body > 0 {
        headers.push(HeaderName::ContentType, BODIES[body].0);
    }
}

fn add_headers(headers: &mut sip_message::Headers, wanted: &[usize]) {
    for index in wanted {
        let (name, value) = HEADERS[*index];
        headers.push(HeaderName::from(name), value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn case_45_a_peer_that_keeps_to_no_rule_leaves_nothing_behind(
        calls in any::<bool>(),
        up in any::<bool>(),
        said in said(),
    ) {
        let mut net = Net::new(1);
        let (alice, _) = able(&mut net);
        let carol = add_script(&mut net, CAROL);
        if calls {
            dial(&mut net, alice, "sip:carol@192.0.2.3", Some(OFFER));
        } else {
            let invite = super::peer::invite(&net, carol, ALICE, "first", 7, OFFER);
            say(&mut net, carol, ALICE, invite.to_bytes());
        }
        wait(&mut net, 10);
        if up {
            establish(&mut net, alice, carol, calls);
        }
        let mut number = 7;
        for (at, what) in said.iter().enumerate() {
            match what {
                Said::User(Verb::Wait(ms)) => wait(&mut net, u64::from(*ms)),
                Said::User(verb) => act(&mut net, alice, |phone, now| attempt(phone, now, *verb)),
                Said::Request { method, tag, step, body, headers } => {
                    number += step;
                    let Some(id) = phone(&net, alice).call.as_ref().map(|call| call.owner_key().clone()) else { break };
                    let from = if calls { TAGS[*tag] } else { "scripttag" };
                    let mut request = super::peer::invite(&net, carol, ALICE, &format!("x{at}"), number, BODIES[*body].1);
                    request.method = Method::parse(METHODS[*method]).unwrap();
                    let own = &mut request.headers;
                    own.set(HeaderName::CSeq, format!("{number} {}", METHODS[*method]));
                    own.set(HeaderName::CallId, id.call_id);
                    own.set(HeaderName::From, format!("<sip:carol@192.0.2.3>;tag={from}"));
                    own.set(HeaderName::To, format!("<sip:alice@192.0.2.1>;tag={}", id.local_tag));
                    set_type(own, *body);
                    add_headers(own, headers);
                    let before = standing(&net, alice);
                    say(&mut net, carol, ALICE, request.to_bytes());
                    // RFC 3261 §12.2.2: both tags name a dialog. What names another one changes nothing in this one.
                    if before.as_ref().is_some_and(|(dialog, ..)| dialog != from) {
                        wait(&mut net, 1);
                        prop_assert_eq!(standing(&net, alice), before);
                    }
                }
                Said::Response { method, code, tag, body, headers } => {
                    let Some(request) = super::peer::heard(&net, carol, METHODS[*method]).pop() else { continue };
                    let contact = "sip:carol@192.0.2.3";
                    let mut response = super::peer::answer(&request, *code, TAGS[*tag], contact, BODIES[*body].1);
                    set_type(&mut response.headers, *body);
                    add_headers(&mut response.headers, headers);
                    say(&mut net, carol, ALICE, response.to_bytes());
                }
            }
            wait(&mut net, 10);
        }
        act(&mut net, alice, |phone, now| attempt(phone, now, Verb::HangUp));
        let told = phone(&net, alice);
        prop_assert!(told.call.is_none() || told.ended().is_some());
        net.run_for(Duration::from_secs(2 * 600));
        assert_all_gone(&mut net, &[alice]);
    }
}
