//! Ways in offers and answers by the rules of RFC 8839, and peers without.

use super::tests::pcmu_alone;
use super::*;

fn negotiator(seed: u8) -> Negotiator {
    Negotiator::new(pcmu_alone(seed.into()))
}

fn with_ice(seed: u8) -> Negotiator {
    negotiator(seed).with_ice(KeySeed::drawn(|bytes| *bytes = [seed; 32]))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An offer or answer of a peer with these attributes.
fn peer(session: u32, attributes: &[&str]) -> Vec<u8> {
    let lines = attributes.join("\r\n");
    format!(
        "v=0\r\no=- {session} 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
         m=audio 5000 RTP/AVP 0\r\n{lines}\r\n"
    )
    .into_bytes()
}

const UFRAG: &str = "a=ice-ufrag:8hhY";
const PWD: &str = "a=ice-pwd:asd88fgpdd777uzjYhagZg";
const HOST: &str = "a=candidate:1 1 UDP 2130706431 198.51.100.7 5000 typ host";
const REPORTS: &str = "a=candidate:1 2 UDP 2130706430 198.51.100.7 5001 typ host";

#[test]
fn two_of_us_try_ways_and_go_on_with_what_they_found() {
    let (mut alice, mut bob) = (with_ice(1), with_ice(2));
    let (answer, at_bob) = bob.handle_offer(&alice.offer()).unwrap();
    let at_alice = alice.handle_answer(&answer).unwrap();
    let (a, b) = (at_alice.ice.clone().unwrap(), at_bob.ice.unwrap());
    assert_eq!((&a.local, &a.remote), (&b.remote, &b.local));
    assert!(a.controlling && !b.controlling);
    let host = "1 1 udp 2130706431 192.0.2.1 4000 typ host";
    assert_eq!(
        (a.candidates, b.candidates),
        (vec![host.to_owned()], vec![host.to_owned()])
    );
    // Hold and resume are no restart.
    alice.set_hold(true);
    let (answer, at_bob) = bob.handle_offer(&alice.offer()).unwrap();
    let held = alice.handle_answer(&answer).unwrap().ice.unwrap();
    assert_eq!((&held.local, &held.remote), (&a.local, &a.remote));
    assert_eq!(at_bob.ice.unwrap().local, a.remote);
    // Another place of ours is one, for both.
    alice.set_address("192.0.2.77".parse().unwrap(), 4400);
    let (answer, at_bob) = bob.handle_offer(&alice.offer()).unwrap();
    let moved = alice.handle_answer(&answer).unwrap().ice.unwrap();
    assert_ne!(moved.local, a.local);
    assert_ne!(moved.remote, a.remote);
    assert_eq!(at_bob.ice.unwrap().remote, moved.local);
}

#[test]
fn where_the_world_sees_us_is_a_candidate_beside_where_we_are() {
    let mut ours = with_ice(1);
    ours.set_address("203.0.113.9".parse().unwrap(), 61_000);
    let told = [
        "1 1 udp 2130706431 10.0.0.7 4000 typ host",
        "2 1 udp 1694498815 203.0.113.9 61000 typ srflx raddr 10.0.0.7 rport 4000",
        "3 1 udp 16777215 198.51.100.3 50000 typ relay raddr 203.0.113.9 rport 61000",
        "1 2 udp 2130706430 10.0.0.7 4001 typ host",
    ];
    ours.set_ways(told.map(str::to_owned).to_vec());
    let offer = text(&ours.offer());
    for line in [
        "a=candidate:1 1 udp 2130706431 10.0.0.7 4000 typ host",
        "a=candidate:2 1 udp 1694498815 203.0.113.9 61000 typ srflx raddr 10.0.0.7 rport 4000",
        "a=candidate:3 1 udp 16777215 198.51.100.3 50000 typ relay raddr 203.0.113.9 rport 61000",
        "a=candidate:1 2 udp 2130706430 10.0.0.7 4001 typ host",
        "a=ice-options:ice2",
        "c=IN IP4 203.0.113.9",
        "a=rtcp-mux",
    ] {
        assert!(offer.contains(&format!("{line}\r\n")), "{line}\n{offer}");
    }
    let value = |name: &str| {
        let line = offer.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    };
    let credentials = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
    assert!(crate::ice::IceCredentials::parse(&credentials.0, &credentials.1).is_some());
    // The same state makes the same bytes.
    ours.rollback();
    assert_eq!(text(&ours.offer()), offer);
}

#[test]
fn peers_without_it_are_called_as_ever() {
    for answer in [
        &["a=rtcp-mux"][..],
        &["a=rtcp-mux", UFRAG, "a=ice-pwd:short", HOST],
        &["a=rtcp-mux", UFRAG, HOST],
    ] {
        let mut ours = with_ice(1);
        ours.offer();
        assert_eq!(ours.handle_answer(&peer(7, answer)).unwrap().ice, None);
    }
    let (answer, agreed) = with_ice(1).handle_offer(&peer(7, &["a=rtcp-mux"])).unwrap();
    assert_eq!(agreed.ice, None);
    assert!(!text(&answer).contains("a=ice"), "{}", text(&answer));
    assert!(!text(&answer).contains("a=candidate"));
    // Who has it off says and takes nothing.
    let full = ["a=rtcp-mux", UFRAG, PWD, HOST];
    let (answer, agreed) = negotiator(1).handle_offer(&peer(7, &full)).unwrap();
    assert!(agreed.ice.is_none() && !text(&answer).contains("a=ice"));
}

#[test]
fn who_faces_a_lite_peer_nominates_and_only_the_first_component_counts() {
    let full = ["a=rtcp-mux", UFRAG, PWD, HOST, REPORTS];
    let (_, agreed) = with_ice(1).handle_offer(&peer(7, &full)).unwrap();
    let ice = agreed.ice.unwrap();
    assert!(!ice.controlling);
    assert_eq!(ice.candidates.len(), 1);
    let lite = text(&peer(7, &full)).replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n");
    let (_, agreed) = with_ice(1).handle_offer(lite.as_bytes()).unwrap();
    assert!(agreed.ice.unwrap().controlling);
}

/// RFC 8839 §4.2.5: a gateway that puts itself into the path of the media, and knows nothing of ICE, is not gone around.
#[test]
fn where_the_address_was_changed_on_its_way_media_goes_there_and_ice_is_left_out() {
    let full = ["a=rtcp-mux", UFRAG, PWD, HOST, REPORTS];
    let told = |from: &str, to: &str| text(&peer(7, &full)).replace(from, to);
    for changed in [
        told("m=audio 5000", "m=audio 5002"),
        told("c=IN IP4 198.51.100.7", "c=IN IP4 203.0.113.7"),
    ] {
        let mut ours = with_ice(1);
        let (answer, agreed) = ours.handle_offer(changed.as_bytes()).unwrap();
        let answer = text(&answer);
        assert!(answer.contains("a=ice-mismatch\r\n"), "{answer}");
        assert!(!answer.contains("a=ice-ufrag") && !answer.contains("a=candidate"));
        assert_eq!(agreed.ice, None);
        assert_ne!(agreed.remote, Some("198.51.100.7:5000".parse().unwrap()));
        assert_eq!(agreed.repairs.len(), 1);
        // Neither is a later offer of ours about their address.
        assert!(!text(&ours.offer()).contains("ice-mismatch"));
        ours.rollback();
        // The gateway has gone: so has the reason.
        let (answer, agreed) = ours.handle_offer(&peer(7, &full)).unwrap();
        assert!(agreed.ice.is_some() && !text(&answer).contains("ice-mismatch"));
        // Who has it off has nothing to say.
        let (answer, agreed) = negotiator(1).handle_offer(changed.as_bytes()).unwrap();
        assert!(agreed.repairs.is_empty() && !text(&answer).contains("ice-mismatch"));
    }
    // Nobody's address yet, that of a hold, one with a name, and no candidates at all say nothing.
    for fine in [
        told("m=audio 5000", "m=audio 9"),
        told("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0"),
        told("198.51.100.7 5000 typ", "4a0b1c.local 5000 typ"),
        told(HOST, "a=x"),
    ] {
        let (_, agreed) = with_ice(1).handle_offer(fine.as_bytes()).unwrap();
        assert!(agreed.ice.is_some() && agreed.repairs.is_empty(), "{fine}");
    }
    // The other side has found it.
    let mut ours = with_ice(1);
    ours.offer();
    let answer = peer(7, &["a=rtcp-mux", "a=ice-mismatch", UFRAG, PWD, HOST]);
    let agreed = ours.handle_answer(&answer).unwrap();
    assert_eq!((agreed.ice, agreed.repairs.len()), (None, 1));
}

/// RFC 8445 §9: a restart is an agreement as any other. One that was refused has never been.
/// RFC 8839 §4.4.1.2.2: in later offers the candidates are those of the ways that are used, and the address in the line is
/// one of them. That is no restart (§4.4.1.1.1), and no change of keys.
#[test]
fn an_address_that_was_given_back_is_told_no_more_and_nothing_begins_anew() {
    let relay = "2 1 udp 16777215 203.0.113.1 50000 typ relay raddr 192.0.2.1 rport 4000";
    let host = "1 1 udp 2130706431 192.0.2.1 4000 typ host";
    let with_keys = |seed| {
        let keys = KeySeed::drawn(|bytes| *bytes = [seed + 100; 32]);
        with_ice(seed).with_encryption(Encryption::Required, keys)
    };
    let (mut alice, mut bob) = (with_keys(1), with_keys(2));
    alice.set_address("203.0.113.1".parse().unwrap(), 50_000);
    alice.set_rtcp_port(Some(50_007));
    alice.set_ways([relay, host].map(str::to_owned).to_vec());
    let first = text(&alice.offer());
    let (answer, _) = bob.handle_offer(first.as_bytes()).unwrap();
    let before = alice.handle_answer(&answer).unwrap();
    let ours = "192.0.2.1".parse().unwrap();
    alice.retell(ours, 4000, None, vec![host.to_owned()]);
    let line = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default().to_owned()
    };
    // RFC 3264 §8: who has begun the session stays the same.
    let but_origin = |bytes: &[u8]| {
        let (whole, first) = (text(bytes), line(&first, "o="));
        let now = line(&whole, "o=");
        let who = |line: &str| {
            line.split(' ')
                .enumerate()
                .filter(|(at, _)| *at != 2)
                .map(|(_, word)| word.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(who(&now), who(&first));
        whole.replace(&now, "")
    };
    let offer = but_origin(&alice.offer());
    assert!(
        !offer.contains("203.0.113.1") && !offer.contains("50000"),
        "{offer}"
    );
    assert!(!offer.contains("50007"), "{offer}");
    assert!(
        offer.contains("c=IN IP4 192.0.2.1\r\n") && offer.contains(host),
        "{offer}"
    );
    for same in ["a=ice-ufrag", "a=ice-pwd", "a=crypto"] {
        assert_eq!(line(&offer, same), line(&first, same));
    }
    // Refused, and offered again after a restart that was refused: the address does not come back.
    alice.rollback();
    alice.restart_ice();
    alice.offer();
    alice.rollback();
    assert_eq!(
        line(&text(&alice.offer()), "a=ice-ufrag"),
        line(&first, "a=ice-ufrag")
    );
    alice.rollback();
    alice.set_address("192.0.2.77".parse().unwrap(), 4400);
    alice.return_to_agreed_place();
    bob.set_hold(true);
    let (answer, held) = alice.handle_offer(&bob.offer()).unwrap();
    assert!(
        !but_origin(&answer).contains("203.0.113.1"),
        "{}",
        text(&answer)
    );
    assert_eq!(held.ice.unwrap().local, before.ice.unwrap().local);
    assert!(bob.handle_answer(&answer).is_ok());
}

#[test]
fn a_restart_that_was_refused_leaves_the_names_that_were_agreed_on() {
    let (mut alice, mut bob) = (with_ice(1), with_ice(2));
    let (answer, _) = bob.handle_offer(&alice.offer()).unwrap();
    let before = alice.handle_answer(&answer).unwrap().ice.unwrap();
    alice.restart_ice();
    let refused = text(&alice.offer());
    assert!(!refused.contains(&before.local.ufrag), "{refused}");
    alice.rollback();
    // The peer holds: an answer must not have other names than the session (RFC 8839 §4.4.1.1.1).
    bob.set_hold(true);
    let (answer, held) = alice.handle_offer(&bob.offer()).unwrap();
    assert_eq!(held.ice.unwrap().local, before.local);
    assert_eq!(
        bob.handle_answer(&answer).unwrap().ice.unwrap().local,
        before.remote
    );
    // The next restart has names of its own, not those that were refused.
    alice.restart_ice();
    let next = text(&alice.offer());
    let name = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("a=ice-ufrag"));
        line.unwrap().to_owned()
    };
    assert_ne!(name(&next), name(&refused));
}

#[test]
fn who_moved_and_was_refused_may_go_back_to_the_place_and_the_names_that_were_agreed_on() {
    let (mut alice, mut bob) = (with_ice(1), with_ice(2));
    let agreed = text(&alice.offer());
    let (answer, _) = bob.handle_offer(agreed.as_bytes()).unwrap();
    let before = alice.handle_answer(&answer).unwrap().ice.unwrap();
    alice.set_address("192.0.2.77".parse().unwrap(), 4400);
    let moved = text(&alice.offer());
    alice.rollback();
    // Who is elsewhere has other names still, for checks to the old place say nothing about the new one.
    assert_eq!(text(&alice.offer()), moved);
    alice.rollback();
    alice.return_to_agreed_place();
    let back = text(&alice.offer());
    assert!(back.contains("c=IN IP4 192.0.2.1\r\n"), "{back}");
    assert!(back.contains(&before.local.ufrag), "{back}");
}

#[test]
fn ways_are_taken_out_of_a_session_by_an_offer_without_them() {
    let (mut alice, mut bob) = (with_ice(1), with_ice(2));
    let (answer, _) = bob.handle_offer(&alice.offer()).unwrap();
    assert!(alice.handle_answer(&answer).unwrap().ice.is_some());
    alice.restart_ice();
    alice.offer_ice(false);
    let offer = text(&alice.offer());
    assert!(!offer.contains("a=ice-") && !offer.contains("a=candidate"));
    let (answer, at_bob) = bob.handle_offer(offer.as_bytes()).unwrap();
    assert_eq!(at_bob.ice, None);
    assert_eq!(alice.handle_answer(&answer).unwrap().ice, None);
    // Even an answer that has them makes none of it.
    alice.offer();
    let full = ["a=rtcp-mux", UFRAG, PWD, HOST];
    assert_eq!(alice.handle_answer(&peer(7, &full)).unwrap().ice, None);
    // Who asks for them is answered with them.
    bob.restart_ice();
    let (_, agreed) = alice.handle_offer(&bob.offer()).unwrap();
    assert!(agreed.ice.is_some());
}

/// RFC 5761 §5.1.3, RFC 8445 §4: who may share the port or not is told both, and who does not has two components.
#[test]
fn reports_that_do_not_share_the_port_are_a_component_of_their_own() {
    let told = [
        "1 1 udp 2130706431 192.0.2.1 4000 typ host",
        "1 2 udp 2130706430 192.0.2.1 4001 typ host",
    ];
    let ours = || {
        let mut ours = with_ice(1);
        ours.set_ways(told.map(str::to_owned).to_vec());
        ours
    };
    let both = |text: &str| text.contains("a=candidate:1 1 ") && text.contains("a=candidate:1 2 ");
    let mut alice = ours();
    let offer = text(&alice.offer());
    assert!(both(&offer) && offer.contains("a=rtcp-mux\r\n"), "{offer}");
    let apart = alice
        .handle_answer(&peer(7, &[UFRAG, PWD, HOST, REPORTS]))
        .unwrap();
    assert!(!apart.rtcp_mux);
    assert_eq!(apart.ice.unwrap().candidates.len(), 2);
    let (answer, apart) = ours()
        .handle_offer(&peer(7, &[UFRAG, PWD, HOST, REPORTS]))
        .unwrap();
    let answer = text(&answer);
    assert!(both(&answer) && !answer.contains("rtcp-mux"), "{answer}");
    assert_eq!(apart.ice.unwrap().candidates.len(), 2);
    // Who shares it needs no more than the one.
    let (answer, agreed) = ours()
        .handle_offer(&peer(7, &["a=rtcp-mux", UFRAG, PWD, HOST, REPORTS]))
        .unwrap();
    let answer = text(&answer);
    assert!(
        answer.contains("a=candidate:1 1 ") && !answer.contains("a=candidate:1 2 "),
        "{answer}"
    );
    assert_eq!(agreed.ice.unwrap().candidates.len(), 1);
}

/// RFC 8839 §4.4.1.1.1: a restart is one of a stream. That of the video, which is refused, has credentials of its own.
#[test]
fn other_credentials_of_a_line_that_is_not_taken_restart_nothing() {
    let (video, theirs) = (
        "m=video 5002 RTP/AVP 96",
        "a=ice-pwd:Af3klRvOMm1aTzjdd92a7e",
    );
    let mut ours = with_ice(1);
    let mut answered = |lines: &[&str]| {
        let (_, agreed) = ours.handle_offer(&peer(7, lines)).unwrap();
        agreed.ice.unwrap().local
    };
    let with = |ufrag: &str| answered(&[UFRAG, PWD, HOST, video, ufrag, theirs]);
    let both = ["a=ice-ufrag:one1", "a=ice-ufrag:one1", "a=ice-ufrag:two2"].map(with);
    assert!(both.iter().all(|ours| *ours == both[0]));
    let other = [
        "a=ice-ufrag:9iiZ",
        PWD,
        HOST,
        video,
        "a=ice-ufrag:two2",
        theirs,
    ];
    assert_ne!(answered(&other), both[0]);
}

#[test]
fn of_many_candidates_some_of_each_component_are_read() {
    let mut lines = vec![UFRAG.to_owned(), PWD.to_owned()];
    for n in 0..200 {
        let component = 1 + n % 3;
        lines.push(format!(
            "a=candidate:{n} {component} udp 1 198.51.100.7 5000 typ host"
        ));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (_, agreed) = with_ice(1).handle_offer(&peer(7, &lines)).unwrap();
    assert_eq!(agreed.ice.unwrap().candidates.len(), 64);
}
