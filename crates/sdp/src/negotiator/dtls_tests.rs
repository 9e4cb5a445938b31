//! Keys by a handshake: what offers and answers say about it, and peers who have rules of their own.

use super::tests::pcmu_alone;
use super::*;
use crate::fingerprint::FingerprintHash;

fn fingerprint(seed: u8) -> Fingerprint {
    Fingerprint {
        hash: FingerprintHash::Sha256,
        digest: vec![seed; 32],
    }
}

/// One that offers the handshake, or only takes it.
fn negotiator(encryption: Encryption, seed: u8, offered: bool) -> Negotiator {
    let key_seed = KeySeed::drawn(|bytes| *bytes = [seed; 32]);
    Negotiator::new(pcmu_alone(seed.into()))
        .with_encryption(encryption, key_seed)
        .with_dtls(fingerprint(seed), offered, another_seed(seed))
}

fn body(session: &str, lines: &[&str]) -> Vec<u8> {
    let text = format!(
        "v=0\r\no=- {session} 1 IN IP4 198.51.100.7\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n{}\r\n",
        lines.join("\r\n")
    );
    text.replace("SEVEN", &fingerprint(7).to_value())
        .into_bytes()
}

fn another_seed(seed: u8) -> KeySeed {
    KeySeed::drawn(|bytes| *bytes = [seed + 100; 32])
}

/// What a description of ours calls the association.
fn name_in(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut names = text
        .lines()
        .filter_map(|line| line.strip_prefix("a=tls-id:"));
    let name = names.next().map(str::to_owned);
    assert_eq!(names.next(), None, "{text}");
    name
}

/// The media lines and what is said about keys behind each.
fn shape(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let begins = ["m=", "a=crypto", "a=fingerprint", "a=setup"];
    let wanted = |line: &&str| begins.iter().any(|begin| line.starts_with(begin));
    let lines = text.lines().filter(wanted);
    lines
        .map(|line| line.split([' ', ':']).take(3).collect::<Vec<_>>().join(" "))
        .collect()
}

const ALL: [Encryption; 4] = [
    Encryption::Off,
    Encryption::OptionalInOneLine,
    Encryption::OptionalInTwoLines,
    Encryption::Required,
];

/// Under each policy: a handshake where both may encrypt and at least one offers it, with roles that fit.
#[test]
fn two_of_us_take_the_handshake_before_keys_that_can_be_read() {
    for offering in ALL {
        for answering in ALL {
            let (mut alice, mut bob) = (
                negotiator(offering, 1, true),
                negotiator(answering, 2, false),
            );
            let answered = bob.handle_offer(&alice.offer());
            let may = offering.may() && answering.may();
            let impossible = (offering.must() || answering.must()) && !may;
            assert_eq!(answered.is_err(), impossible, "{offering:?} {answering:?}");
            let Ok((answer, at_bob)) = answered else {
                continue;
            };
            let at_alice = alice.handle_answer(&answer).unwrap();
            assert_eq!(at_bob.dtls.is_some(), may, "{offering:?} {answering:?}");
            assert_eq!(at_alice.dtls.is_some(), may);
            assert!(at_alice.crypto.is_none() && at_bob.crypto.is_none());
            if let (Some(a), Some(b)) = (&at_alice.dtls, &at_bob.dtls) {
                // RFC 5763 §5: the answerer begins.
                assert_eq!((a.role, b.role), (DtlsRole::Server, DtlsRole::Client));
                assert_eq!(a.fingerprints, [fingerprint(2)]);
                assert_eq!(b.fingerprints, [fingerprint(1)]);
            }
            // A later offer from either side keeps who is what: no new handshake.
            let (answer, at_alice_again) = alice.handle_offer(&bob.offer()).unwrap();
            let at_bob_again = bob.handle_answer(&answer).unwrap();
            assert_eq!(at_alice_again.dtls, at_alice.dtls);
            assert_eq!(at_bob_again.dtls, at_bob.dtls);
            let (answer, at_bob_again) = bob.handle_offer(&alice.offer()).unwrap();
            assert_eq!(at_bob_again.dtls, at_bob.dtls);
            assert_eq!(alice.handle_answer(&answer).unwrap().dtls, at_alice.dtls);
        }
    }
}

#[test]
fn offers_have_the_lines_of_their_policy_and_no_keys() {
    let (secure, plain) = ("m=audio 4000 UDP/TLS/RTP/SAVP", "m=audio 4000 RTP/AVP");
    let by = ["a=fingerprint sha-256 01", "a=setup actpass"];
    let with = |line: &'static str| [&[line], &by[..]].concat();
    for (encryption, lines) in [
        (Encryption::Off, vec![plain]),
        (Encryption::OptionalInOneLine, with(plain)),
        (
            Encryption::OptionalInTwoLines,
            [with(secure), vec![plain]].concat(),
        ),
        (Encryption::Required, with(secure)),
    ] {
        let offer = negotiator(encryption, 1, true).offer();
        assert_eq!(shape(&offer), lines, "{encryption:?}");
    }
}

#[test]
fn an_offer_says_who_begins_and_the_answer_says_the_other_half() {
    let line = "m=audio 5000 UDP/TLS/RTP/SAVPF 0";
    for (setup, role, answer) in [
        ("a=setup:actpass", DtlsRole::Client, "a=setup active"),
        ("a=setup:passive", DtlsRole::Client, "a=setup active"),
        ("a=setup:active", DtlsRole::Server, "a=setup passive"),
        ("a=ptime:20", DtlsRole::Server, "a=setup passive"),
    ] {
        let offers = [
            body("bob", &[line, "a=fingerprint:SEVEN", setup]),
            // The session may say it for all its lines.
            body("bob", &["a=fingerprint:SEVEN", setup, line]),
        ];
        for offer in offers {
            let mut ours = negotiator(Encryption::Required, 1, false);
            let (bytes, agreed) = ours.handle_offer(&offer).unwrap();
            let dtls = agreed.dtls.unwrap();
            assert_eq!((dtls.role, dtls.fingerprints), (role, vec![fingerprint(7)]));
            let wanted = [
                "m=audio 4000 UDP/TLS/RTP/SAVPF",
                "a=fingerprint sha-256 01",
                answer,
            ];
            assert_eq!(shape(&bytes), wanted);
        }
    }
}

/// RFC 5763 §5, RFC 8842 §5.3: where the offer leaves it to the answer, the one begins whose first word can arrive. ICE would
/// find a way to the other, and who has begun once stays what it is.
#[test]
fn who_announces_an_address_that_leads_nowhere_begins_itself() {
    let out_of_reach = |theirs: IpAddr, _: IpAddr| theirs == IpAddr::from([192, 168, 1, 5]);
    let offer = |address: &str, setup: &str, more: &[&str]| {
        let line = "m=audio 5000 UDP/TLS/RTP/SAVP 0";
        let connection = format!("c=IN IP4 {address}");
        let lines = [line, &connection, "a=fingerprint:SEVEN", setup];
        body("bob", &[&lines, more].concat())
    };
    let hidden = "192.168.1.5";
    let ways = [
        "a=ice-ufrag:abcd",
        "a=ice-pwd:asd88fgpdd777uzjYhagZg",
        "a=candidate:1 1 UDP 2130706431 192.168.1.5 5000 typ host",
    ];
    let ours = || negotiator(Encryption::Required, 1, false).with_reach(out_of_reach);
    let with_ice = || ours().with_ice(KeySeed::drawn(|bytes| *bytes = [3; 32]));
    let role = |ours: &mut Negotiator, offer: &[u8]| {
        let (answer, agreed) = ours.handle_offer(offer).unwrap();
        let role = agreed.dtls.unwrap().role;
        let said = match role {
            DtlsRole::Client => "a=setup active",
            DtlsRole::Server => "a=setup passive",
        };
        assert!(shape(&answer).iter().any(|line| line == said), "{said}");
        role
    };
    let (client, server) = (DtlsRole::Client, DtlsRole::Server);
    let either = "a=setup:actpass";
    for (mut ours, offer, expected) in [
        (ours(), offer(hidden, either, &[]), server),
        (ours(), offer("198.51.100.7", either, &[]), client),
        // It says itself who begins.
        (ours(), offer(hidden, "a=setup:passive", &[]), client),
        // Ways are tried where both want that.
        (with_ice(), offer(hidden, either, &ways), client),
        (with_ice(), offer(hidden, either, &[]), server),
        (ours(), offer(hidden, either, &ways), server),
    ] {
        assert_eq!(role(&mut ours, &offer), expected);
    }
    // From another network, and back: no new handshake.
    let mut ours = ours();
    for address in [hidden, "198.51.100.7", hidden] {
        assert_eq!(role(&mut ours, &offer(address, either, &[])), server);
    }
}

#[test]
fn what_offers_no_handshake_that_proves_anything_is_refused_or_plain() {
    let secure = "m=audio 5000 UDP/TLS/RTP/SAVP 0";
    let weak = "a=fingerprint:sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB";
    for lines in [
        vec![secure, "a=setup:actpass"],
        vec![secure, weak, "a=setup:actpass"],
        vec![secure, "a=fingerprint:SEVEN", "a=setup:holdconn"],
    ] {
        for encryption in ALL {
            let mut ours = negotiator(encryption, 1, false);
            assert!(
                ours.handle_offer(&body("bob", &lines)).is_err(),
                "{lines:?}"
            );
        }
    }
    // Who does not encrypt takes no line that must be.
    let offer = body("bob", &[secure, "a=fingerprint:SEVEN", "a=setup:actpass"]);
    let mut off = negotiator(Encryption::Off, 1, false);
    assert!(off.handle_offer(&offer).is_err());
    // In a plain line it is an invitation, which may be declined.
    let open = ["m=audio 5000 RTP/AVP 0", weak, "a=setup:actpass"];
    let mut ours = negotiator(Encryption::OptionalInOneLine, 1, true);
    let (_, agreed) = ours.handle_offer(&body("bob", &open)).unwrap();
    assert_eq!(agreed.dtls, None);
    // Who wants nothing but a handshake takes no readable key.
    let keyed = [
        "m=audio 5000 RTP/SAVP 0",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
    ];
    let mut ours = negotiator(Encryption::Required, 1, true);
    assert!(ours.handle_offer(&body("bob", &keyed)).is_err());
}

#[test]
fn answers_that_leave_the_handshake_open_are_not_taken_and_plain_ones_only_where_they_may() {
    let answer = |encryption, lines: &[&str]| {
        let mut ours = negotiator(encryption, 1, true);
        ours.offer();
        ours.handle_answer(&body("bob", lines))
    };
    let (secure, plain) = ("m=audio 5000 UDP/TLS/RTP/SAVP 0", "m=audio 5000 RTP/AVP 0");
    for (setup, role) in [
        ("a=setup:active", DtlsRole::Server),
        ("a=setup:passive", DtlsRole::Client),
        ("a=setup:actpass", DtlsRole::Client),
        ("a=ptime:20", DtlsRole::Client),
    ] {
        let lines = [secure, "a=fingerprint:SEVEN", setup];
        let agreed = answer(Encryption::Required, &lines).unwrap();
        assert_eq!(agreed.dtls.unwrap().role, role, "{setup}");
    }
    let strange = Err(SdpError::StrangeHandshake);
    let holds = [secure, "a=fingerprint:SEVEN", "a=setup:holdconn"];
    assert_eq!(answer(Encryption::Required, &holds), strange);
    let weak = [plain, "a=fingerprint:md5 00:01", "a=setup:active"];
    assert_eq!(answer(Encryption::OptionalInOneLine, &weak), strange);
    for lines in [&[secure][..], &[plain]] {
        let refused = answer(Encryption::Required, lines);
        assert!(
            matches!(refused, Err(SdpError::NotEncrypted { .. })),
            "{refused:?}"
        );
    }
    let agreed = answer(Encryption::OptionalInOneLine, &[plain]).unwrap();
    assert!(agreed.dtls.is_none() && agreed.crypto.is_none());
}

/// RFC 8842 §5.2, §5.3, §5.5: both sides name the association, and each keeps its name while it goes on.
#[test]
fn an_association_that_goes_on_keeps_its_names() {
    let mut alice = negotiator(Encryption::Required, 1, true);
    let mut bob = negotiator(Encryption::Required, 2, false);
    let offer = alice.offer();
    let (answer, at_bob) = bob.handle_offer(&offer).unwrap();
    let at_alice = alice.handle_answer(&answer).unwrap();
    let (a, b) = (name_in(&offer).unwrap(), name_in(&answer).unwrap());
    assert!(a.len() >= 20 && b.len() >= 20 && a != b);
    let names = |ours: &str, theirs: &str| Association {
        ours: ours.to_owned(),
        theirs: theirs.to_owned(),
    };
    assert_eq!(at_alice.dtls.unwrap().association, Some(names(&a, &b)));
    assert_eq!(at_bob.dtls.unwrap().association, Some(names(&b, &a)));
    alice.set_hold(true);
    let offer = alice.offer();
    assert_eq!(name_in(&offer).as_ref(), Some(&a));
    let (answer, at_bob) = bob.handle_offer(&offer).unwrap();
    assert_eq!(name_in(&answer).as_ref(), Some(&b));
    assert_eq!(at_bob.dtls.unwrap().association, Some(names(&b, &a)));
}

/// RFC 8842 §4, §5.3: who moves without ICE wants another association, and says so; the answer names another one, too. What was
/// offered and refused is taken back.
#[test]
fn who_moves_names_another_association() {
    let mut alice = negotiator(Encryption::Required, 1, true);
    let mut bob = negotiator(Encryption::Required, 2, false);
    let first = alice.offer();
    let (answer, _) = bob.handle_offer(&first).unwrap();
    alice.handle_answer(&answer).unwrap();
    let old = alice.local().clone();
    alice.set_address([198, 51, 100, 9].into(), 4_100);
    let moved = alice.offer();
    assert_ne!(name_in(&moved), name_in(&first));
    let (other, at_bob) = bob.handle_offer(&moved).unwrap();
    assert_ne!(name_in(&other), name_in(&answer));
    let at_alice = alice.handle_answer(&other).unwrap();
    let (a, b) = (at_alice.dtls.unwrap(), at_bob.dtls.unwrap());
    assert_eq!(
        Some(&a.association.as_ref().unwrap().theirs),
        b.association.as_ref().map(|b| &b.ours)
    );
    assert_eq!(
        Some(&a.association.as_ref().unwrap().ours),
        b.association.as_ref().map(|b| &b.theirs)
    );
    // Who comes back to where nothing was agreed on since is called as before.
    alice.set_address(old.address, old.port);
    alice.offer();
    alice.rollback();
    alice.return_to_agreed_place();
    assert_eq!(name_in(&alice.offer()), name_in(&moved));
}

/// RFC 8842 §6: with ICE the same association goes on by another way.
#[test]
fn who_moves_with_ice_goes_on_with_the_association() {
    let with_ice = |seed: u8| {
        let mut ours = negotiator(Encryption::Required, seed, seed == 1);
        ours = ours.with_ice(another_seed(seed + 10));
        ours
    };
    let (mut alice, mut bob) = (with_ice(1), with_ice(2));
    let first = alice.offer();
    let (answer, _) = bob.handle_offer(&first).unwrap();
    assert!(alice.handle_answer(&answer).unwrap().ice.is_some());
    alice.set_address([198, 51, 100, 9].into(), 4_100);
    let moved = alice.offer();
    assert_eq!(name_in(&moved), name_in(&first));
    let (again, _) = bob.handle_offer(&moved).unwrap();
    assert_eq!(name_in(&again), name_in(&answer));
}

/// RFC 8842 §5.3: an answer names the association where the offer does. A name against the grammar is none.
#[test]
fn who_does_not_know_names_is_not_told_any() {
    let line = "m=audio 5000 UDP/TLS/RTP/SAVP 0";
    let rest = ["a=fingerprint:SEVEN", "a=setup:actpass"];
    for name in [
        "a=ptime:20",
        "a=tls-id:short",
        "a=tls-id:no spaces in a name, please",
    ] {
        let mut ours = negotiator(Encryption::Required, 1, false);
        let offer = body("bob", &[line, rest[0], rest[1], name]);
        let (answer, agreed) = ours.handle_offer(&offer).unwrap();
        assert_eq!(name_in(&answer), None, "{name}");
        assert_eq!(agreed.dtls.unwrap().association, None);
        // An offer of ours does.
        assert!(name_in(&ours.offer()).is_some());
    }
    let mut ours = negotiator(Encryption::Required, 1, false);
    let named = body(
        "bob",
        &[line, rest[0], rest[1], "a=tls-id:abc3de65cddef001be82"],
    );
    let (answer, agreed) = ours.handle_offer(&named).unwrap();
    let association = agreed.dtls.unwrap().association.unwrap();
    assert_eq!(association.theirs, "abc3de65cddef001be82");
    assert_eq!(Some(association.ours), name_in(&answer));
}

/// RFC 8842 §5.3: another name in an offer is another association, with another name of ours. One that is refused changes
/// nothing.
#[test]
fn another_name_of_theirs_is_another_association() {
    let offer = |name: &str, format: &str| {
        let line = format!("m=audio 5000 UDP/TLS/RTP/SAVP {format}");
        let name = format!("a=tls-id:{name}");
        body(
            "bob",
            &[&line, "a=fingerprint:SEVEN", "a=setup:actpass", &name],
        )
    };
    let mut ours = negotiator(Encryption::Required, 1, false);
    let answered = |ours: &mut Negotiator, name: &str| {
        name_in(&ours.handle_offer(&offer(name, "0")).unwrap().0)
    };
    let first = answered(&mut ours, "the-first-of-their-names");
    assert_eq!(answered(&mut ours, "the-first-of-their-names"), first);
    assert!(
        ours.handle_offer(&offer("a-name-that-is-refused", "99"))
            .is_err()
    );
    assert_eq!(answered(&mut ours, "the-first-of-their-names"), first);
    let second = answered(&mut ours, "another-of-their-names");
    assert_ne!(second, first);
    assert_eq!(answered(&mut ours, "another-of-their-names"), second);
}

/// RFC 8842 §5.1, §5.3: the name stands in a line, and is that of the association of this line. The pictures that we refuse
/// have one of their own; what becomes of that is no reason for another handshake.
#[test]
fn the_name_of_a_line_that_is_not_taken_changes_nothing() {
    let session = |session: &str, audio: Option<&str>, video: &str| {
        let [audio, video] = [audio, Some(video)].map(|name| match name {
            Some(name) => format!("a=tls-id:{name}"),
            None => "a=mid:unnamed".to_owned(),
        });
        let by = ["a=fingerprint:SEVEN", "a=setup:actpass"];
        let lines = [
            "m=audio 5000 UDP/TLS/RTP/SAVP 0",
            &audio,
            "m=video 5002 UDP/TLS/RTP/SAVP 96",
            &video,
        ];
        let [one, other] = [&lines[..2], &lines[2..]].map(|line| [line, &by[..]].concat());
        // Whichever line stands first.
        [
            body(session, &[&one[..], &other].concat()),
            body(session, &[&other[..], &one].concat()),
        ]
    };
    let (speech, other_speech) = ("the-name-of-their-speech", "another-name-for-their-speech");
    let (pictures, other_pictures) = ("the-name-of-their-pictures", "another-name-of-pictures");
    // At last none is named: by the same party, which goes on (§5.5), or by another one.
    for (order, last, goes_on) in [(0, "carol", true), (1, "carol", true), (0, "dave", false)] {
        let mut ours = negotiator(Encryption::Required, 1, false);
        let mut answered = |offers: [Vec<u8>; 2], theirs: Option<&str>| {
            let (answer, agreed) = ours.handle_offer(&offers[order]).unwrap();
            let name = ours.dtls.as_ref().map(|dtls| dtls.name.clone());
            let association = agreed.dtls.unwrap().association;
            let told = association.as_ref().map(|names| names.ours.clone());
            assert_eq!(name_in(&answer), told);
            assert_eq!(told, name.clone().filter(|_| theirs.is_some()));
            assert_eq!(association.map(|names| names.theirs).as_deref(), theirs);
            name
        };
        let first = answered(session("bob", Some(speech), pictures), Some(speech));
        for same in [
            session("bob", Some(speech), pictures),
            session("bob", Some(speech), other_pictures),
            // Somebody between us writes the session anew: the ends of the association are the same.
            session("carol", Some(speech), pictures),
        ] {
            assert_eq!(answered(same, Some(speech)), first);
        }
        let other = session("carol", Some(other_speech), pictures);
        let second = answered(other, Some(other_speech));
        assert_ne!(second, first);
        // Whoever gives the name of speech to the pictures.
        let swapped = session("carol", Some(other_speech), speech);
        assert_eq!(answered(swapped, Some(other_speech)), second);
        let unnamed = session(last, None, other_speech);
        assert_eq!(answered(unnamed, None) == second, goes_on);
    }
}
