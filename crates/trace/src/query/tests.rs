use proptest::prelude::*;

use super::*;
use crate::summary::summary;
use crate::testing::{any_records, message, note, sip};

fn records() -> Vec<TraceRecord> {
    vec![
        sip(
            1,
            0,
            true,
            &message("INVITE sip:600@example.com SIP/2.0", "INVITE", 1),
        ),
        sip(2, 10, false, &message("SIP/2.0 486 Busy Here", "INVITE", 1)),
        sip(
            3,
            20,
            true,
            &message("OPTIONS sip:example.com SIP/2.0", "OPTIONS", 5),
        ),
        note(4, 30, "transport", "TCP to the proxy was closed."),
        sip(5, 40, false, "garbage"),
    ]
}

fn found(query: &str) -> Vec<u64> {
    let query = Query::parse(query).unwrap();
    let matching = |record: &&TraceRecord| query.matches(&summary(record), record);
    records().iter().filter(matching).map(|r| r.id).collect()
}

#[test]
fn each_key_finds_what_it_says() {
    for (query, ids) in [
        ("", &[1, 2, 3, 4, 5][..]),
        ("method:invite", &[1, 2]),
        ("method:INVITE is:request", &[1]),
        ("code:486", &[2]),
        ("code:4xx", &[2]),
        ("code:48x", &[2]),
        ("code:500-599", &[]),
        ("account:DESK", &[1, 2, 3, 4, 5]),
        ("account:alice", &[1, 2, 3]),
        ("tenant:club", &[]),
        ("call:call-1", &[1, 2, 3, 4]),
        ("number:30-123456", &[1, 2, 3]),
        ("number:600", &[1]),
        ("from:liddell", &[1, 2, 3]),
        ("to:liddell", &[]),
        ("to:123456", &[1, 2, 3]),
        ("peer:192.0.2.1", &[1, 2, 3, 5]),
        ("transport:tcp", &[]),
        ("dir:sent", &[1, 3]),
        ("topic:transport", &[4]),
        ("is:failure", &[2]),
        ("is:noise", &[3]),
        ("is:broken", &[5]),
        ("is:note", &[4]),
        ("since:1970-01-01T00:00:00.020Z", &[3, 4, 5]),
        ("since:1970", &[1, 2, 3, 4, 5]),
        ("until:1970-01-01T00:00:00.010000Z", &[1, 2]),
        ("until:1970-02", &[1, 2, 3, 4, 5]),
        ("until:1969", &[]),
        ("text:\"to the PROXY\"", &[4]),
        ("sip:600@", &[1]),
        ("busy", &[2]),
    ] {
        assert_eq!(found(query), ids, "{query}");
    }
}

#[test]
fn parts_combine_as_they_read() {
    assert_eq!(found("method:INVITE not code:4xx"), [1]);
    assert_eq!(found("method:INVITE -code:4xx"), [1]);
    assert_eq!(found("code:486 or is:note"), [2, 4]);
    assert_eq!(found("(code:486 or is:note) and topic:transport"), [4]);
    assert_eq!(found("code:486 or is:note topic:transport"), [2, 4]);
    assert_eq!(found("not (is:request or is:note)"), [2, 5]);
    assert_eq!(found("not not is:note"), [4]);
    assert_eq!(
        found("\"or\""),
        [1, 2, 3, 4],
        "in Max-Forwards and transport"
    );
}

#[test]
fn an_error_says_where_and_what_would_do() {
    for (query, at, words) in [
        ("method:INVITE code:9999", 14, "like 404, 4xx"),
        ("code:xxx", 0, "like 404"),
        ("colour:red", 0, "the keys are tenant"),
        ("(a or b", 0, "never closed"),
        ("a or b)", 6, "closes nothing"),
        ("a or", 4, "missing at the end"),
        ("or a", 0, "nothing before"),
        ("ä \"b", 2, "never ends"),
        ("method:", 0, "nothing after the key"),
        ("transport:sctp", 0, "udp, tcp"),
        ("number:abc", 0, "is not a number"),
        ("since:yesterday", 0, "a time like"),
        ("since:2026-13", 0, "a time like"),
    ] {
        let error = Query::parse(query).unwrap_err();
        assert_eq!(error.at, at, "{query}: {error}");
        assert!(error.to_string().contains(words), "{query}: {error}");
    }
    assert!(Query::parse(&"(".repeat(200)).is_err());
    assert!(Query::parse(&"a ".repeat(10_000)).is_err());
}

#[test]
fn noise_is_hidden_and_counted_and_a_failing_refresh_is_not_noise() {
    let register = |id, n| {
        sip(
            id,
            0,
            true,
            &message("REGISTER sip:b SIP/2.0", "REGISTER", n),
        )
    };
    let reply = |id, n, status: &str| {
        sip(
            id,
            0,
            false,
            &message(&format!("SIP/2.0 {status}"), "REGISTER", n),
        )
    };
    let records = [
        register(0, 1),
        reply(1, 1, "401 Unauthorized"),
        register(2, 2),
        reply(3, 2, "200 OK"),
        register(4, 3),
        reply(5, 3, "200 OK"),
        sip(6, 0, false, "\r\n\r\n"),
        register(7, 4),
        reply(8, 4, "403 Forbidden"),
        register(9, 5),
        note(10, 0, "media", "hello"),
    ];
    let select = |query: &str, with_noise| {
        let mut index = Index::default();
        let mut selection = Selection::new(Query::parse(query).unwrap(), with_noise);
        for (number, record) in records.iter().enumerate() {
            let row = index.summary(number as u64, record).clone();
            selection.add(number as u64, &row, record);
        }
        selection
    };
    let quiet = select("", false);
    // The refresh that fails was noise when it went out; its answer is not.
    assert_eq!(*quiet.shown(), [0, 1, 2, 3, 8, 9, 10]);
    assert_eq!(quiet.hidden_noise(), 4);
    assert_eq!(select("", true).shown().len(), 11);
    let mut filtered = select("method:REGISTER", false);
    assert_eq!(*filtered.shown(), [0, 1, 2, 3, 8, 9]);
    assert_eq!(
        (filtered.hidden_noise(), filtered.hidden_by_filter()),
        (3, 2)
    );
    filtered.forget_before(3);
    assert_eq!(*filtered.shown(), [3, 8, 9]);
}

#[test]
fn the_index_follows_a_log_that_loses_its_oldest() {
    let mut index = Index::default();
    let record = |id| note(id, 0, "topic", &id.to_string());
    for number in 0..100 {
        assert_eq!(index.summary(number, &record(number)).id, number);
        index.forget_before(number.saturating_sub(10));
        assert!(index.len() <= 11);
    }
    assert_eq!(index.summary(95, &record(0)).id, 95, "made once and kept");
    assert_eq!(index.summary(10_000_000_000, &record(7)).id, 7);
    assert_eq!(index.summary(3, &record(8)).id, 8);
}

#[test]
fn an_equals_sign_stands_for_a_colon() {
    for (one, other) in [
        ("method=INVITE", "method:INVITE"),
        ("code=4xx number=\"12 3\"", "code:4xx number:\"12 3\""),
        ("not dir=in", "not dir:in"),
    ] {
        assert_eq!(Query::parse(one), Query::parse(other), "{one}");
    }
    let text = Query::parse("\"branch=z9hG4bK\"").unwrap();
    assert_eq!(text, Query::parse("text:\"branch=z9hG4bK\"").unwrap());
}

#[test]
fn a_key_without_a_value_and_one_that_is_not_known_are_named() {
    for (query, named) in [
        ("method:", "after the key \u{201c}method\u{201d}"),
        ("from=\"\"", "after the key \u{201c}from\u{201d}"),
        ("metod:INVITE", "no key \u{201c}metod\u{201d}"),
        ("metod=INVITE", "no key \u{201c}metod\u{201d}"),
        ("metod:", "no key \u{201c}metod\u{201d}"),
    ] {
        let error = Query::parse(query).unwrap_err().to_string();
        assert!(error.contains(named), "{query}: {error}");
    }
    let error = Query::parse("metod=INVITE").unwrap_err().to_string();
    assert!(error.contains("method, code, call"), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_a_query_or_an_error_and_never_a_panic(
        text in "[a-zA-Z:=\"() xX0-9é!*-]{0,60}",
        records in any_records(),
    ) {
        match Query::parse(&text) {
            Ok(query) => for record in &records {
                query.matches(&summary(record), record);
            },
            Err(error) => prop_assert!(error.at <= text.chars().count()),
        }
    }

    #[test]
    fn not_turns_every_answer_around(records in any_records(), code in 100_u16..700) {
        let plain = Query::parse(&format!("code:{code} or from:alice")).unwrap();
        let turned = Query::parse(&format!("not (code:{code} or from:alice)")).unwrap();
        for record in &records {
            let row = summary(record);
            prop_assert_ne!(plain.matches(&row, record), turned.matches(&row, record));
        }
    }
}
