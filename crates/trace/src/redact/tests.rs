use proptest::prelude::*;

use super::*;
use crate::testing::{bodies, message, note, sip};

fn invite() -> String {
    let head = message("INVITE sip:+4930123456@example.com SIP/2.0", "INVITE", 1);
    let head = head.replace(
        "Max-Forwards: 70",
        "Max-Forwards: 70\r\n\
         Authorization: Digest username=\"alice\", realm=\"example.com\",\r\n \
         nonce=\"abc\", response=\"6629fae49393a05397450978507c4ef1\", uri=\"sip:+4930123456@example.com\"\r\n\
         Contact: <sip:alice:s3cretpass@192.0.2.7:5070>\r\n\
         P-Asserted-Identity: Liddell <tel:+4930999888>\r\n\
         Subject: about the raise\r\n\
         X-Caller: alice@example.com called\r\n\
         Content-Type: application/sdp",
    );
    format!(
        "{head}v=0\r\no=alice 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/SAVP 0\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
    )
}

#[test]
fn a_message_keeps_its_shape_and_loses_its_people() {
    let text = super::message(&sip(1, 0, true, &invite()));
    for gone in [
        "alice",
        "Alice",
        "Liddell\"",
        "Liddell <",
        "4930123456",
        "4930999888",
        "6629fae",
        "s3cretpass",
        "WVNfX",
        "raise",
    ] {
        assert!(!text.contains(gone), "{gone} is still in\n{text}");
    }
    for kept in [
        "INVITE sip:*******3456@example.com SIP/2.0\r\n",
        "From: \"*********dell\" <sip:***ce@example.com>;tag=from-tag\r\n",
        "response=\"[withheld]\"",
        "realm=\"example.com\"",
        "inline:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
        "m=audio 4000 RTP/SAVP 0\r\n",
        "Call-ID: call-1@host\r\n",
        "CSeq: 1 INVITE\r\n",
        "Subject: [withheld]\r\n",
        "X-Caller: ***ce@example.com called\r\n",
        "branch=z9hG4bK-1",
        "c=IN IP4 192.0.2.7",
    ] {
        assert!(text.contains(kept), "{kept} is missing in\n{text}");
    }
}

#[test]
fn bodies_whose_grammar_is_unknown_are_withheld() {
    let text = message("MESSAGE sip:bob@example.com SIP/2.0", "MESSAGE", 1).replace(
        "Content-Length: 0",
        "Content-Type: text/plain\r\nContent-Length: 21",
    );
    let record = sip(1, 0, true, &format!("{text}meet me at the bridge"));
    assert!(!super::message(&record).contains("bridge"));
    let dtmf = text.replace("text/plain", "application/dtmf-relay");
    let record = sip(1, 0, true, &format!("{dtmf}Signal=5\r\nDuration=160"));
    assert!(!super::message(&record).contains("Signal"));
}

/// RFC 3261 §20.14: who reads what was masked reads the message that it was, and what was wrong with its length still is.
#[test]
fn what_is_masked_says_how_long_it_is_as_it_did_before() {
    let hidden = RedactOptions {
        addresses: true,
        ..RedactOptions::default()
    };
    for options in [
        RedactOptions::default(),
        RedactOptions::secrets_only(),
        hidden,
    ] {
        for text in bodies() {
            let masked = |text: &str| {
                let record = sip(1, 0, true, text);
                Redactor::new([&record], options.clone()).text(&record)
            };
            let shown = masked(&text);
            let read = sip_message::Message::parse(shown.as_bytes()).expect(&shown);
            let (_, body) = shown.split_once("\r\n\r\n").unwrap();
            assert_eq!(read.body(), body.as_bytes(), "{shown}");
            assert!(shown.contains(&format!("Content-Length: {}\r\n", body.len())));
            // Short and long names of it, and five octets more than there are.
            let (before, rest) = text.split_once("Content-Length: ").unwrap();
            let (length, rest) = rest.split_once('\r').unwrap();
            let length: usize = length.parse().unwrap();
            let cut = masked(&format!("{before}l : {}\r{rest}", length + 5));
            assert!(
                cut.contains(&format!("\r\nl : {}\r\n", body.len() + 5)),
                "{cut}"
            );
            assert!(
                sip_message::Message::parse(cut.as_bytes()).is_err(),
                "{cut}"
            );
        }
    }
}

#[test]
fn credentials_of_any_kind_are_withheld() {
    for (value, secret) in [
        ("Bearer eyJhbGciOi", "eyJhbGciOi"),
        ("Basic YWxpY2U6cHc=", "YWxpY2U6cHc="),
        ("Digest response=abcdef0123", "abcdef0123"),
        ("Digest RESPONSE = \"abcdef0123\"", "abcdef0123"),
    ] {
        let text = message("REGISTER sip:b SIP/2.0", "REGISTER", 1)
            .replace("Max-Forwards: 70", &format!("Proxy-Authorization: {value}"));
        let shown = super::message(&sip(1, 0, true, &text));
        assert!(!shown.contains(secret), "{shown}");
        let mut own = Redactor::new([&sip(1, 0, true, &text)], RedactOptions::secrets_only());
        let shown = own.text(&sip(1, 0, true, &text));
        assert!(
            !shown.contains(secret) && shown.contains("Alice Liddell"),
            "{shown}"
        );
    }
}

#[test]
fn one_person_has_one_pseudonym_and_two_people_have_two() {
    let from = |id, user: &str| {
        let text = message("INVITE sip:x@y SIP/2.0", "INVITE", 1);
        sip(
            id,
            0,
            true,
            &text.replace("sip:alice@", &format!("sip:{user}@")),
        )
    };
    let records = [
        from(1, "030111222"),
        from(2, "040111222"),
        from(3, "030111222"),
        note(4, 0, "call", "Call from 040111222 ended."),
    ];
    let mut redactor = Redactor::new(&records, RedactOptions::default());
    let shown: Vec<String> = records.iter().map(|r| redactor.text(r)).collect();
    assert!(shown[0].contains("<sip:*****1222@"), "{}", shown[0]);
    assert!(shown[1].contains("<sip:*****1222~2@"), "{}", shown[1]);
    assert!(shown[2].contains("<sip:*****1222@"), "{}", shown[2]);
    assert_eq!(shown[3], "Call from *****1222~2 ended.");
}

#[test]
fn addresses_are_replaced_when_asked_and_stay_told_apart() {
    let options = RedactOptions {
        addresses: true,
        ..RedactOptions::default()
    };
    let text = "Peer 203.0.113.9:5060, then 203.0.113.10 and 203.0.113.9, [fe80::1]:5060, 127.0.0.1. At 12:30.";
    let record = note(1, 0, "net", text);
    let shown = Redactor::new([&record], options).text(&record);
    assert_eq!(
        shown,
        "Peer 192.0.2.1:5060, then 192.0.2.2 and 192.0.2.1, [2001:db8::3]:5060, 127.0.0.1. At 12:30."
    );
}

/// An account is named after its address, and nobody's name is too short to be kept back.
#[test]
fn the_name_of_an_account_names_nobody() {
    let mut record = sip(1, 0, true, &invite());
    record.account = Some(AccountId::new("al-example-com"));
    let mut redactor = Redactor::new([&record], RedactOptions::default());
    let masked = redactor.record(&record).account;
    assert_eq!(masked, Some(AccountId::new("**-example-com")));
    let mut open = Redactor::new([&record], RedactOptions::none());
    assert_eq!(open.record(&record).account, record.account);
}

#[test]
fn the_search_of_the_result_finds_what_was_missed() {
    let record = sip(1, 0, true, &invite());
    let redactor = Redactor::new([&record], RedactOptions::default());
    assert_eq!(redactor.leaks("all is well"), [] as [String; 0]);
    assert_eq!(redactor.leaks("it was ALICE"), ["alice"]);
    assert_eq!(redactor.leaks("6629fae49393a05397450978507c4ef1").len(), 1);
}

proptest! {
    #[test]
    fn nothing_seeded_survives_wherever_it_stands(
        user in "[a-z][a-z0-9.]{9,14}",
        number in "[1-9][0-9]{10,12}",
        name in "[A-Z][a-z]{5,9} [A-Z][a-z]{5,9}",
        secret in "[0-9a-f]{32}",
        key in "[A-Za-z0-9+]{40}",
        header in prop::sample::select(vec!["X-Any", "User-Agent", "Call-Info", "Call-ID", "Reason", "Via"]),
        fold in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let space = if fold { "\r\n " } else { " " };
        let text = message(&format!("INVITE sip:{number}@example.com SIP/2.0"), "INVITE", 1)
            .replace("sip:alice@", &format!("sip:{user}@"))
            .replace("Alice Liddell", &name)
            .replace("Max-Forwards: 70", &format!(
                "{header}: about {user} and {number} ({name})\r\n\
                 Authorization: Digest username=\"{user}\",{space}response=\"{secret}\"\r\n\
                 Content-Type: application/sdp"
            ));
        let text = format!("{text}v=0\r\no={user} 1 1 IN IP4 192.0.2.7\r\na=crypto:1 X inline:{key}|2^20\r\n");
        let whole = sip(1, 0, true, &text);
        let note = note(2, 0, "call", &format!("{name} at {number} told {secret}; {user}."));
        // A torn message beside the whole one has the same people in it.
        let end = text.floor_char_boundary(cut.index(text.len()));
        let torn = sip(3, 0, false, &text[..end]);
        let records = [whole, note, torn];
        for export in [
            crate::export::text(&records, &RedactOptions::default()).unwrap(),
            crate::export::json(&records, &RedactOptions::default()).unwrap(),
        ] {
            for seeded in [&user, &number, &name, &secret, &key] {
                prop_assert!(!export.contains(seeded.as_str()), "{} in\n{}", seeded, export);
            }
        }
    }

    #[test]
    fn anything_can_be_masked(records in crate::testing::any_records()) {
        for record in &records {
            super::message(record);
        }
        let mut redactor = Redactor::new(&records, RedactOptions { addresses: true, ..RedactOptions::default() });
        for record in &records {
            redactor.record(record);
        }
    }
}
