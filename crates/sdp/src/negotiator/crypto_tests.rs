//! Keys in offers and answers by the rules of RFC 4568, and peers who have rules of their own.

use super::tests::pcmu_alone;
use super::*;
use crate::crypto::CryptoKey;
use proptest::prelude::*;

const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const OTHER_KEY: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

fn negotiator(encryption: Encryption, seed: u8) -> Negotiator {
    let keys = KeySeed::drawn(|bytes| *bytes = [seed; 32]);
    Negotiator::new(pcmu_alone(seed.into())).with_encryption(encryption, keys)
}

fn body(lines: &[&str]) -> Vec<u8> {
    from("bob", lines)
}

fn from(session: &str, lines: &[&str]) -> Vec<u8> {
    let text = format!(
        "v=0\r\no=- {session} 1 IN IP4 198.51.100.7\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n{}\r\n",
        lines.join("\r\n")
    );
    text.replace("KEY2", OTHER_KEY)
        .replace("KEY", KEY)
        .into_bytes()
}

/// The media lines and the `a=crypto` behind each, with the keys left out.
fn shape(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let wanted = |line: &&str| line.starts_with("m=") || line.starts_with("a=crypto");
    let lines = text.lines().filter(wanted);
    lines
        .map(|line| line.split(" inline:").next().unwrap().to_owned())
        .collect()
}

fn keys(agreed: &Negotiated) -> (&[u8], &[u8]) {
    let crypto = agreed.crypto.as_ref().expect("encrypted");
    (crypto.send_key.reveal(), crypto.receive_key.reveal())
}

const ALL: [Encryption; 4] = [
    Encryption::Off,
    Encryption::OptionalInOneLine,
    Encryption::OptionalInTwoLines,
    Encryption::Required,
];

/// What each offers, under each policy of the other: encrypted where both want it, plain where both may,
/// nothing else; and each sends with what the other expects.
#[test]
fn two_of_us_encrypt_as_their_policies_say() {
    for offering in ALL {
        for answering in ALL {
            let (mut alice, mut bob) = (negotiator(offering, 1), negotiator(answering, 2));
            let offer = alice.offer();
            let answered = bob.handle_offer(&offer);
            let impossible = offering.must() && !answering.may();
            let impossible = impossible || answering.must() && !offering.may();
            if impossible {
                assert!(answered.is_err(), "{offering:?} {answering:?}");
                continue;
            }
            let (answer, at_bob) = answered.unwrap();
            let at_alice = alice.handle_answer(&answer).unwrap();
            let both = offering.may() && answering.may();
            assert_eq!(at_bob.crypto.is_some(), both, "{offering:?} {answering:?}");
            assert_eq!(at_alice.crypto.is_some(), both);
            if both {
                let (a, b) = (keys(&at_alice), keys(&at_bob));
                assert_eq!((a.0, a.1), (b.1, b.0));
                assert_ne!(a.0, a.1);
                let suite = at_alice.crypto.as_ref().map(|crypto| crypto.suite);
                assert_eq!(suite, Some(CryptoSuite::AeadAes256Gcm));
            }
            // A second offer keeps all of it, from either side.
            let (answer, at_alice_again) = alice.handle_offer(&bob.offer()).unwrap();
            let at_bob_again = bob.handle_answer(&answer).unwrap();
            assert_eq!(at_alice_again.crypto, at_alice.crypto);
            assert_eq!(at_bob_again.crypto, at_bob.crypto);
        }
    }
}

#[test]
fn offers_have_the_lines_of_their_policy() {
    let suites = [
        "a=crypto:1 AEAD_AES_256_GCM",
        "a=crypto:2 AEAD_AES_128_GCM",
        "a=crypto:3 AES_256_CM_HMAC_SHA1_80",
        "a=crypto:4 AES_CM_128_HMAC_SHA1_80",
    ];
    let (secure, plain) = ("m=audio 4000 RTP/SAVP 0", "m=audio 4000 RTP/AVP 0");
    let with = |line: &'static str| [&[line], &suites[..]].concat();
    for (encryption, lines) in [
        (Encryption::Off, vec![plain]),
        (Encryption::OptionalInOneLine, with(plain)),
        (
            Encryption::OptionalInTwoLines,
            [with(secure), vec![plain]].concat(),
        ),
        (Encryption::Required, with(secure)),
    ] {
        let mut ours = negotiator(encryption, 1);
        let offer = ours.offer();
        assert_eq!(shape(&offer), lines);
        // The same state makes the same bytes, keys and all.
        ours.rollback();
        assert_eq!(ours.offer(), offer);
    }
}

#[test]
fn a_peer_that_does_not_know_crypto_gets_plain_media_where_that_may_be() {
    let plain = body(&["m=audio 6000 RTP/AVP 0"]);
    let mut ours = negotiator(Encryption::OptionalInOneLine, 1);
    ours.offer();
    assert_eq!(ours.handle_answer(&plain).unwrap().crypto, None);

    let mut ours = negotiator(Encryption::OptionalInTwoLines, 1);
    ours.offer();
    let answer = body(&["m=audio 0 RTP/SAVP 0", "m=audio 6000 RTP/AVP 0"]);
    let agreed = ours.handle_answer(&answer).unwrap();
    assert_eq!(
        (agreed.crypto.is_none(), agreed.remote.unwrap().port()),
        (true, 6000)
    );
    // The line that was refused stays so.
    assert_eq!(
        shape(&ours.offer()),
        ["m=audio 0 RTP/SAVP 0", "m=audio 4000 RTP/AVP 0"]
    );

    let mut ours = negotiator(Encryption::Required, 1);
    ours.offer();
    for answer in [&plain, &body(&["m=audio 6000 RTP/SAVP 0"])] {
        let refused = ours.handle_answer(answer);
        assert!(matches!(refused, Err(SdpError::NotEncrypted { .. })));
    }
    let error = ours.handle_offer(&plain).unwrap_err();
    assert_eq!(error, SdpError::OfferPending);
    ours.rollback();
    let error = ours.handle_offer(&plain).unwrap_err().to_string();
    assert_eq!(
        error,
        "the other side does not encrypt: they have PCMU; we have PCMU over RTP/SAVP"
    );
}

/// RFC 4568 §7.1.3: an RTP/SAVP line without a key is no plain one.
#[test]
fn a_secure_line_without_a_usable_key_is_refused() {
    for encryption in ALL {
        let mut ours = negotiator(encryption, 1);
        for crypto in [
            "a=crypto:1 F8_128_HMAC_SHA1_80 inline:KEY",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTP",
            "a=sendrecv",
        ] {
            let refused = ours.handle_offer(&body(&["m=audio 6000 RTP/SAVP 0", crypto]));
            assert!(refused.is_err(), "{encryption:?} {crypto}");
        }
        let dtls = body(&[
            "m=audio 6000 UDP/TLS/RTP/SAVP 0",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
        ]);
        assert!(ours.handle_offer(&dtls).is_err());
    }
}

#[test]
fn the_answer_takes_their_first_usable_key_and_repeats_its_tag() {
    let mut ours = negotiator(Encryption::Required, 1);
    let offer = body(&[
        "m=audio 6000 RTP/SAVP 0",
        "a=crypto:5 F8_128_HMAC_SHA1_80 inline:KEY",
        "a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:KEY2|2^31|3:1",
        "a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:KEY",
    ]);
    let (answer, agreed) = ours.handle_offer(&offer).unwrap();
    assert_eq!(
        shape(&answer),
        [
            "m=audio 4000 RTP/SAVP 0",
            "a=crypto:7 AES_CM_128_HMAC_SHA1_32"
        ]
    );
    let crypto = agreed.crypto.unwrap();
    assert_eq!(crypto.suite, CryptoSuite::AesCm128HmacSha1_32);
    assert_eq!(crypto.receive_mki, [3]);
    assert_ne!(crypto.send_key, crypto.receive_key);
}

#[test]
fn an_answer_with_another_tag_or_suite_is_no_answer() {
    let answer = |crypto: &str| body(&["m=audio 6000 RTP/SAVP 0", crypto]);
    for encryption in [Encryption::OptionalInOneLine, Encryption::Required] {
        let mut ours = negotiator(encryption, 1);
        ours.offer();
        for wrong in [
            "a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            "a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:KEY",
            "a=crypto:4 nonsense",
        ] {
            let refused = ours.handle_answer(&answer(wrong));
            assert_eq!(refused, Err(SdpError::StrangeCrypto), "{wrong}");
        }
        let right = "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:KEY";
        let agreed = ours.handle_answer(&answer(right)).unwrap();
        assert_eq!(keys(&agreed).1.len(), 30);
        // The suite in force is offered first from now on, with the key that is in use.
        let offer = ours.offer();
        assert_eq!(shape(&offer)[1], "a=crypto:1 AES_CM_128_HMAC_SHA1_80");
    }
}

/// The keys of a description, with what they are under.
fn crypto_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let lines = text.lines().filter_map(|l| l.strip_prefix("a=crypto:"));
    lines.map(str::to_owned).collect()
}

/// A line of a description, by its beginning.
fn line(bytes: &[u8], start: &str) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let found = text.lines().find(|l| l.starts_with(start));
    found.unwrap().to_owned()
}

/// RFC 4568 §5.1.3, RFC 3264 §8: the second offer is another version of the same session and has one key, the one that was
/// offered for that suite; what the first answer refused stays refused.
#[test]
fn a_suite_under_the_tag_of_another_is_offered_alone_and_then_agreed_on() {
    for (encryption, taken, others) in [
        (Encryption::OptionalInOneLine, "RTP/AVP", vec![]),
        (
            Encryption::OptionalInTwoLines,
            "RTP/SAVP",
            vec!["m=audio 0 RTP/AVP 0"],
        ),
        (Encryption::Required, "RTP/SAVP", vec![]),
    ] {
        for tag in [1, 3, 9] {
            let seed = KeySeed::drawn(|bytes| *bytes = [7; 32]);
            let mut ours = negotiator(encryption, 1).with_ice(seed);
            let offer = ours.offer();
            let meant = crypto_lines(&offer).pop().unwrap();
            let media = format!("m=audio 6000 {taken} 0");
            let crypto = format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:KEY");
            let mistake = body(&[&[&*media, &*crypto], &others[..]].concat());
            assert_eq!(ours.handle_answer(&mistake), Err(SdpError::StrangeCrypto));
            let (suite, again) = ours.offer_unmistakably(&mistake).unwrap();
            assert_eq!(suite, CryptoSuite::AesCm128HmacSha1_80);
            let ours_now = format!("m=audio 4000 {taken} 0");
            let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80";
            let lines = [&[&*ours_now, crypto], &others[..]].concat();
            assert_eq!(shape(&again), lines, "{encryption:?}");
            // The key is the one that was meant, and the ways keep their names.
            assert_eq!(crypto_lines(&again), [meant.replacen('4', "1", 1)]);
            for same in ["a=ice-ufrag:", "a=ice-pwd:", "a=candidate:"] {
                assert_eq!(line(&offer, same), line(&again, same));
            }
            let origin = line(&offer, "o=");
            assert_eq!(line(&again, "o="), origin.replacen(" 1 IN", " 2 IN", 1));
            assert!(ours.agreed().is_none());
            // A tag that is still another is no better.
            let still = String::from_utf8(mistake).unwrap();
            let still = still.replace(&format!("crypto:{tag} "), "crypto:4 ");
            let refused = ours.handle_answer(still.as_bytes());
            assert_eq!(refused, Err(SdpError::StrangeCrypto));
            assert_eq!(ours.offer_unmistakably(still.as_bytes()), None);
            let right = still.replace("crypto:4 ", "crypto:1 ");
            let agreed = ours.handle_answer(right.as_bytes()).unwrap();
            assert_eq!(agreed.crypto.as_ref().map(|c| c.suite), Some(suite));
            // From now on all is offered again, behind what is in force.
            assert_eq!(crypto_lines(&ours.offer()).len(), 4);
        }
    }
}

#[test]
fn nothing_else_is_offered_a_second_time() {
    let answer = |line: &str, crypto: &str| body(&[line, crypto]);
    let secure = "m=audio 6000 RTP/SAVP 0";
    for encryption in ALL {
        let mut ours = negotiator(encryption, 1);
        let mistake = answer(secure, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY");
        assert_eq!(ours.offer_unmistakably(&mistake), None, "nothing waits");
        ours.offer();
        for other in [
            answer(secure, "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:KEY"),
            answer(secure, "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:KEY"),
            answer(secure, "a=crypto:1 nonsense"),
            answer(secure, "a=sendrecv"),
            answer(
                "m=audio 0 RTP/SAVP 0",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
            ),
            answer("m=audio 6000 RTP/AVP 0", "a=sendrecv"),
            b"nonsense".to_vec(),
        ] {
            assert_eq!(ours.offer_unmistakably(&other), None, "{encryption:?}");
            assert!(ours.awaits_answer());
        }
    }
    // Where the handshake makes the keys, none was offered that could be mistaken.
    let fingerprint = Fingerprint {
        hash: crate::fingerprint::FingerprintHash::Sha256,
        digest: vec![1; 32],
    };
    let seed = KeySeed::drawn(|bytes| *bytes = [9; 32]);
    let mut ours = negotiator(Encryption::Required, 1).with_dtls(fingerprint, true, seed);
    ours.offer();
    let mistake = answer(secure, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY");
    assert_eq!(ours.offer_unmistakably(&mistake), None);
}

#[test]
fn a_new_key_of_theirs_is_taken_and_ours_stays() {
    let mut ours = negotiator(Encryption::OptionalInOneLine, 1);
    let offer = |key| {
        let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}");
        body(&["m=audio 6000 RTP/AVP 0", &crypto])
    };
    let (_, before) = ours.handle_offer(&offer("KEY")).unwrap();
    let (_, after) = ours.handle_offer(&offer("KEY2")).unwrap();
    assert_eq!(keys(&before).0, keys(&after).0);
    assert_ne!(keys(&before).1, keys(&after).1);
}

#[test]
fn ours_is_another_when_asked_for_at_another_address_and_for_another_party() {
    let mut ours = negotiator(Encryption::Required, 1);
    let offer = |session| {
        let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY";
        from(session, &["m=audio 6000 RTP/SAVP 0", crypto])
    };
    let mut seen: Vec<CryptoKey> = Vec::new();
    let mut check = |agreed: Negotiated, is_new: bool| {
        let key = agreed.crypto.unwrap().send_key;
        assert_eq!(!seen.contains(&key), is_new);
        seen.push(key);
    };
    check(ours.handle_offer(&offer("bob")).unwrap().1, true);
    check(ours.handle_offer(&offer("bob")).unwrap().1, false);
    check(ours.handle_offer(&offer("carol")).unwrap().1, true);
    ours.renew_keys();
    check(ours.handle_offer(&offer("carol")).unwrap().1, true);
    ours.set_address("192.0.2.9".parse().unwrap(), 4002);
    check(ours.handle_offer(&offer("carol")).unwrap().1, true);
    ours.set_address("192.0.2.9".parse().unwrap(), 4002);
    check(ours.handle_offer(&offer("carol")).unwrap().1, false);
    // An offer that cannot be used changes nothing.
    let refused = ours.handle_offer(&from("dave", &["m=audio 6000 RTP/AVP 0"]));
    assert!(refused.is_err());
    check(ours.handle_offer(&offer("carol")).unwrap().1, false);
}

#[test]
fn of_two_lines_the_encrypted_one_is_taken_wherever_it_stands() {
    let secure = "m=audio 6000 RTP/SAVP 0";
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY";
    let plain = "m=audio 6002 RTP/AVP 0";
    for encryption in [Encryption::OptionalInTwoLines, Encryption::Required] {
        for lines in [[secure, crypto, plain], [plain, secure, crypto]] {
            let mut ours = negotiator(encryption, 1);
            let (answer, agreed) = ours.handle_offer(&body(&lines)).unwrap();
            assert_eq!(agreed.remote.unwrap().port(), 6000);
            assert!(agreed.crypto.is_some());
            let answer = shape(&answer);
            assert!(answer.contains(&"m=audio 0 RTP/AVP 0".to_owned()));
            assert!(answer.contains(&"m=audio 4000 RTP/SAVP 0".to_owned()));
        }
    }
    let mut ours = negotiator(Encryption::Off, 1);
    let (_, agreed) = ours.handle_offer(&body(&[secure, crypto, plain])).unwrap();
    assert_eq!(agreed.remote.unwrap().port(), 6002);
}

#[test]
fn a_peer_may_take_the_encryption_back_only_where_it_is_optional() {
    let secured = body(&[
        "m=audio 6000 RTP/AVP 0",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY",
    ]);
    let plain = body(&["m=audio 6000 RTP/AVP 0"]);
    let mut ours = negotiator(Encryption::OptionalInOneLine, 1);
    assert!(ours.handle_offer(&secured).unwrap().1.crypto.is_some());
    let (answer, agreed) = ours.handle_offer(&plain).unwrap();
    assert!(agreed.crypto.is_none());
    assert_eq!(shape(&answer), ["m=audio 4000 RTP/AVP 0"]);
    let mut ours = negotiator(Encryption::Required, 1);
    assert!(ours.handle_offer(&secured).unwrap().1.crypto.is_some());
    assert!(ours.handle_offer(&plain).is_err());
    assert!(ours.agreed().unwrap().crypto.is_some());
}

#[test]
fn no_key_is_shown_by_debug_or_in_a_repair() {
    let mut ours = negotiator(Encryption::OptionalInOneLine, 1);
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY";
    let broken = "crypto:2 AES_CM_128_HMAC_SHA1_80 inline:KEY2";
    let offer = body(&["m=audio 6000 RTP/AVP 0", crypto, broken]);
    let (_, agreed) = ours.handle_offer(&offer).unwrap();
    let shown = format!("{agreed:?}");
    assert!(
        agreed
            .repairs
            .iter()
            .any(|r| r.reveal().contains("one with a key"))
    );
    assert!(!shown.contains(&KEY[..8]) && !shown.contains(&OTHER_KEY[..8]));
    let ours = keys(&agreed).0;
    assert!(!shown.contains(&format!("{}, {}", ours[0], ours[1])));
}

/// What a peer does in one exchange, in the order of the suites of an offer of ours.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// It offers this suite alone, or none.
    Offers(Option<usize>),
    /// It takes this suite of our offer, or none.
    Takes(Option<usize>),
    /// It refuses our offer.
    Refuses,
    /// We hold it, or take it back, and it takes what is in force.
    Holds(bool),
}

/// `m=` and `a=crypto` of a peer that wants this suite, or none, under this tag.
fn wanting(suite: Option<CryptoSuite>, tag: u32) -> Vec<u8> {
    let Some(suite) = suite else {
        return body(&["m=audio 6000 RTP/AVP 0"]);
    };
    let key = "A".repeat((suite.key_len() * 8).div_ceil(6));
    let key = format!("{key}{}", "=".repeat((4 - key.len() % 4) % 4));
    let crypto = format!("a=crypto:{tag} {} inline:{key}", suite.name());
    body(&["m=audio 6000 RTP/AVP 0", &crypto])
}

/// The answer of a peer that takes this suite of the offer, or none.
fn taking(offer: &[u8], suite: Option<CryptoSuite>) -> Vec<u8> {
    let lines = shape(offer);
    let tag = suite.and_then(|suite| {
        let of = |line: &String| line.ends_with(&format!(" {}", suite.name()));
        let line = lines.iter().find(|line| of(line))?;
        let tag = line.strip_prefix("a=crypto:")?.split(' ').next()?;
        tag.parse().ok()
    });
    wanting(suite.filter(|_| tag.is_some()), tag.unwrap_or(0))
}

fn exchange(ours: &mut Negotiator, turn: Turn) {
    let suite = |place: Option<usize>| place.map(|place| CryptoSuite::OFFERED[place]);
    match turn {
        Turn::Offers(place) => {
            ours.handle_offer(&wanting(suite(place), 1)).unwrap();
        }
        Turn::Takes(place) => {
            let offer = ours.offer();
            ours.handle_answer(&taking(&offer, suite(place))).unwrap();
        }
        Turn::Refuses => {
            ours.offer();
            ours.rollback();
        }
        Turn::Holds(hold) => {
            ours.set_hold(hold);
            let in_force = ours.agreed().and_then(|agreed| agreed.crypto.as_ref());
            let in_force = in_force.map(|crypto| crypto.suite);
            let offer = ours.offer();
            ours.handle_answer(&taking(&offer, in_force)).unwrap();
        }
    }
}

/// Our key in force, with its suite.
fn in_force(ours: &Negotiator) -> Option<(CryptoSuite, CryptoKey)> {
    let crypto = ours.agreed()?.crypto.as_ref()?;
    Some((crypto.suite, crypto.send_key.clone()))
}

/// RFC 3711 §9.1, RFC 7714 §13: whatever stands between, the same suite comes back with another key.
#[test]
fn a_key_that_was_in_force_does_not_come_back() {
    let gcm = Some(0);
    for away in [None, Some(1), Some(3)] {
        for (there, back) in [
            (Turn::Offers(away), Turn::Offers(gcm)),
            (Turn::Takes(away), Turn::Offers(gcm)),
            (Turn::Offers(away), Turn::Takes(gcm)),
            (Turn::Takes(away), Turn::Takes(gcm)),
        ] {
            for first in [Turn::Offers(gcm), Turn::Takes(gcm)] {
                let mut ours = negotiator(Encryption::OptionalInOneLine, 1);
                exchange(&mut ours, first);
                let before = in_force(&ours).unwrap();
                // What is offered or refused in between changes nothing, and neither does a hold.
                for turn in [Turn::Holds(true), Turn::Refuses, Turn::Holds(false)] {
                    exchange(&mut ours, turn);
                    assert_eq!(in_force(&ours), Some(before.clone()));
                }
                exchange(&mut ours, there);
                exchange(&mut ours, back);
                let Some((suite, key)) = in_force(&ours) else {
                    // What they made plain we do not offer encrypted again.
                    assert!(matches!(
                        (there, back),
                        (Turn::Offers(None), Turn::Takes(_))
                    ));
                    continue;
                };
                assert_eq!(suite, before.0);
                assert_ne!(key, before.1, "{first:?} {there:?} {back:?}");
            }
        }
    }
}

/// The first offer goes to all forks, and each may take another key of it.
#[test]
fn a_key_that_another_fork_may_have_taken_does_not_come_back() {
    let mut offered = negotiator(Encryption::OptionalInOneLine, 1);
    let offer = offered.offer();
    let fork = |suite| {
        let mut fork = offered.clone();
        fork.handle_answer(&taking(&offer, suite)).unwrap();
        fork
    };
    let [gcm, .., counter] = CryptoSuite::OFFERED;
    let early = in_force(&fork(Some(gcm))).unwrap();
    for taken in [Some(counter), None] {
        let mut ours = fork(taken);
        exchange(&mut ours, Turn::Takes(Some(0)));
        let (suite, key) = in_force(&ours).unwrap();
        assert_eq!(suite, early.0);
        assert_ne!(key, early.1);
    }
    // And from one fork to the next the same key is the same.
    assert_eq!(in_force(&fork(Some(gcm))).unwrap(), early);
}

proptest! {
    /// Whatever is offered, taken, refused and held: a key goes on or is new.
    #[test]
    fn no_key_of_ours_comes_back(
        turns in prop::collection::vec(prop_oneof![
            prop::option::of(0usize..4).prop_map(Turn::Offers),
            prop::option::of(0usize..4).prop_map(Turn::Takes),
            Just(Turn::Refuses),
            any::<bool>().prop_map(Turn::Holds),
        ], 1..20),
    ) {
        let mut ours = negotiator(Encryption::OptionalInOneLine, 1);
        let mut seen: Vec<(CryptoSuite, CryptoKey)> = Vec::new();
        let mut before: Option<(CryptoSuite, CryptoKey)> = None;
        for turn in turns {
            exchange(&mut ours, turn);
            let now = in_force(&ours);
            if let Some(now) = &now {
                match &before {
                    Some(before) if before.0 == now.0 => prop_assert_eq!(before, now),
                    _ => prop_assert!(seen.iter().all(|(_, key)| *key != now.1)),
                }
                seen.push(now.clone());
            }
            before = now;
        }
    }

    /// Whatever is offered: what comes out is encrypted where it must be, and never where it may not.
    #[test]
    fn any_offer_keeps_to_the_policy(
        lines in prop::collection::vec(prop::sample::select(vec![
            "m=audio 6000 RTP/SAVP 0", "m=audio 6000 RTP/AVP 0", "m=audio 0 RTP/SAVP 0", "m=audio 6000 RTP/SAVPF 0",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY", "a=crypto:2 AEAD_AES_128_GCM inline:KEY", "a=crypto:x",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:KEY2|1:4", "a=sendonly",
        ]), 0..8),
        policy in 0usize..4,
        as_answer: bool,
    ) {
        let mut ours = negotiator(ALL[policy], 1);
        let agreed = if as_answer {
            ours.offer();
            let answer = body(&lines);
            let first = ours.handle_answer(&answer).ok();
            if let Some((_, again)) = ours.offer_unmistakably(&answer) {
                prop_assert!(first.is_none());
                prop_assert_eq!(crypto_lines(&again).len(), 1);
                let second = ours.handle_answer(&answer).ok();
                prop_assert_eq!(ours.offer_unmistakably(&answer), None);
                second
            } else {
                first
            }
        } else {
            ours.handle_offer(&body(&lines)).ok().map(|(_, agreed)| agreed)
        };
        if let Some(agreed) = agreed {
            prop_assert!(agreed.crypto.is_some() || !ALL[policy].must());
            prop_assert!(agreed.crypto.is_none() || ALL[policy].may());
        }
    }
}
