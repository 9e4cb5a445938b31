use super::*;
use crate::values::{Refresher, SessionExpires};
use crate::{Fault, HeaderError};

fn headers(lines: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        headers.push(*name, value);
    }
    headers
}

#[test]
fn missing_is_apart_from_malformed() {
    let headers = headers(&[("CSeq", "x")]);
    assert_eq!(headers.to(), Err(HeaderError::Missing(HeaderName::To)));
    assert_eq!(
        headers.cseq(),
        Err(HeaderError::Malformed {
            name: HeaderName::CSeq,
            fault: Fault::Number
        })
    );
    assert_eq!(headers.routes(), Ok(Vec::new()));
}

#[test]
fn new_vias_stand_in_front_and_go_from_the_front() {
    let mut headers = headers(&[
        ("To", "<sip:a@b>"),
        ("Via", "SIP/2.0/UDP one, SIP/2.0/UDP two"),
    ]);
    headers.insert_first(HeaderName::Via, "SIP/2.0/UDP zero");
    let order: Vec<_> = headers.iter().map(Field::value).collect();
    assert_eq!(
        order,
        [
            "<sip:a@b>",
            "SIP/2.0/UDP zero",
            "SIP/2.0/UDP one, SIP/2.0/UDP two"
        ]
    );
    assert_eq!(
        headers.remove_first(HeaderName::Via).as_deref(),
        Some("SIP/2.0/UDP zero")
    );
    headers.replace_first(HeaderName::Via, "SIP/2.0/UDP uno;received=192.0.2.1");
    assert_eq!(
        headers.get(HeaderName::Via),
        Some("SIP/2.0/UDP uno;received=192.0.2.1, SIP/2.0/UDP two")
    );
    assert_eq!(headers.vias().map(|vias| vias.len()), Ok(2));
}

#[test]
fn commas_split_only_what_is_a_list() {
    let headers = headers(&[
        ("Date", "Sat, 21 Nov 2026 09:05:07 GMT"),
        ("Subject", "one, two"),
        ("Contact", "*"),
        ("Supported", "100rel, timer,path"),
        ("Supported", "replaces"),
        ("Allow", ""),
    ]);
    assert_eq!(
        headers.date().map(|date| date.to_string()),
        Ok("Sat, 21 Nov 2026 09:05:07 GMT".to_owned())
    );
    assert_eq!(headers.subject(), Some("one, two"));
    assert!(headers.is_contact_star() && headers.contacts().is_err());
    assert_eq!(
        headers.supported().map(|tags| tags.join(" ")),
        Ok("100rel timer path replaces".to_owned())
    );
    assert_eq!(headers.allow(), Ok(Vec::new()));
}

/// Case 17 of the field reports: challenges come one to a line and joined by commas.
#[test]
fn challenges_are_read_in_both_shapes() {
    let digest = r#"Digest realm="lab, upstairs", nonce="a\"b", qop="auth,auth-int", algorithm=SHA-256, stale=TRUE"#;
    let joined = format!(
        r#"{digest}, Bearer authz_server="https://lab.example/", scope="sip", Digest realm="two",nonce="2""#
    );
    let mut headers = headers(&[
        ("WWW-Authenticate", joined.as_str()),
        ("WWW-Authenticate", digest),
    ]);
    headers.push(HeaderName::ProxyAuthenticate, "Odd");
    headers.push(
        HeaderName::ProxyAuthenticate,
        "Digest realm=\"p\", nonce=\"3\"",
    );
    let challenges = headers.challenges().expect("can be read");
    let schemes: Vec<_> = challenges
        .iter()
        .map(|challenge| challenge.scheme.as_str())
        .collect();
    assert_eq!(schemes, ["Digest", "Bearer", "Digest", "Digest", "Digest"]);
    let first = &challenges[0];
    assert_eq!(
        (first.realm(), first.nonce()),
        (Some("lab, upstairs"), Some("a\"b"))
    );
    assert_eq!(
        first.qop_options().collect::<Vec<_>>(),
        ["auth", "auth-int"]
    );
    assert!(first.is_stale() && challenges[2].realm() == Some("two"));
    assert_eq!(
        crate::Challenge::parse(&first.to_string()).as_ref(),
        Ok(first)
    );
}

#[test]
fn extension_headers_are_read_and_written_back() {
    let headers = headers(&[
        ("Session-Expires", "1800;refresher=uas"),
        ("Min-SE", "90"),
        (
            "Replaces",
            "98732@lab.example;from-tag=r33;to-tag=f;early-only",
        ),
        ("Target-Dialog", "fa77;local-tag=1;remote-tag=2"),
        ("RAck", "776656 1 INVITE"),
        ("Event", "dialog;id=4;call-id=abc@lab.example"),
        (
            "Subscription-State",
            "terminated;reason=noresource;retry-after=7",
        ),
        (
            "Reason",
            "SIP;cause=200;text=\"Call completed elsewhere\", Q.850;cause=16",
        ),
        ("Retry-After", "120 (in a (nested) meeting);duration=60"),
        (
            "Warning",
            "307 lab.example \"no\", 301 192.0.2.1:5060 \"ja\"",
        ),
        ("Privacy", "id;critical"),
        (
            "P-Asserted-Identity",
            "<sip:ada@lab.example>, <tel:+12015550123>",
        ),
        (
            "Diversion",
            "<sip:ben@lab.example>;reason=user-busy;counter=1",
        ),
        (
            "History-Info",
            "<sip:a@b?Reason=SIP%3Bcause%3D302>;index=1, <sip:c@d>;index=1.1",
        ),
        ("Answer-Mode", "Auto;require"),
        (
            "Alert-Info",
            "<http://lab.example/ring.wav>;info=alert-autoanswer",
        ),
        ("User-to-User", "56a390f3d2b7;encoding=hex"),
        (
            "Session-ID",
            "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2",
        ),
        ("Content-Type", "multipart/mixed; boundary=\"a=b\""),
        ("Timestamp", "54.5 .2"),
        (
            "Refer-To",
            "<sip:carol@lab.example?Replaces=1%3Bto-tag%3D2>",
        ),
        ("SIP-ETag", "dx200xyz"),
        ("Service-Route", "<sip:p.lab.example;lr>"),
    ]);
    assert_eq!(headers.faults(), []);
    let expires = headers.session_expires().expect("Session-Expires");
    assert_eq!(expires, SessionExpires::new(1800, Some(Refresher::Uas)));
    assert_eq!(expires.to_string(), "1800;refresher=uas");
    let replaces = headers.replaces().expect("Replaces");
    assert_eq!((replaces.to_tag.as_str(), replaces.early_only), ("f", true));
    assert_eq!(headers.rack().expect("RAck").to_string(), "776656 1 INVITE");
    assert_eq!(headers.event().expect("Event").id(), Some("4"));
    assert_eq!(
        headers.subscription_state().expect("state").retry_after_s(),
        Some(7)
    );
    let reasons = headers.reasons().expect("Reason");
    assert_eq!(
        (reasons[0].text(), reasons[1].cause()),
        (Some("Call completed elsewhere"), Some(16))
    );
    let retry = headers.retry_after().expect("Retry-After");
    assert_eq!(
        (retry.delay_s, retry.comment.as_deref()),
        (120, Some("in a (nested) meeting"))
    );
    assert_eq!(
        headers.warnings().expect("Warning")[1].agent,
        "192.0.2.1:5060"
    );
    assert_eq!(
        headers.privacy(),
        Ok(vec!["id".to_owned(), "critical".to_owned()])
    );
    assert_eq!(
        headers.asserted_identities().expect("PAI")[1]
            .uri
            .user
            .as_deref(),
        Some("+12015550123")
    );
    assert_eq!(
        headers.history().expect("History-Info")[0].uri.headers[0].0,
        "Reason"
    );
    assert_eq!(
        headers
            .session_id()
            .expect("Session-ID")
            .remote
            .map(|half| half.len()),
        Some(32)
    );
    assert_eq!(
        headers.content_type().expect("type").params.get("boundary"),
        Some("a=b")
    );
    assert_eq!(
        headers.timestamp().expect("Timestamp").delay.as_deref(),
        Some(".2")
    );
    assert_eq!(headers.user_to_user().expect("UUI")[0].data, "56a390f3d2b7");
    assert_eq!(headers.min_se(), Ok(90));
}

#[test]
fn dates_know_their_weekday() {
    for text in [
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Tue, 29 Feb 2000 23:59:60 GMT",
        "Sun, 31 Dec 2023 01:02:03 GMT",
    ] {
        let headers = headers(&[("Date", text)]);
        assert_eq!(
            headers.date().map(|date| date.to_string()),
            Ok(text.to_owned())
        );
    }
}

#[test]
fn credentials_do_not_show_in_debug_output() {
    let credentials =
        crate::Credentials::parse(r#"Digest username="ada", response="0123456789abcdef""#)
            .expect("reads");
    let shown = format!("{credentials:?}");
    assert!(
        !shown.contains("0123456789abcdef") && !shown.contains("ada"),
        "{shown}"
    );
}
