//! Every case of `tests/data/torture`: RFC 4475 and RFC 5118, section by section.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sip_message::framer::{Frame, StreamFramer};
use sip_message::{HeaderName, Layer, Message, Method, facts};

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    rfc: u16,
    section: String,
    about: String,
    verdict: String,
    layer: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/torture")
}

fn cases() -> Vec<Case> {
    let index = std::fs::read_to_string(folder().join("cases.toml")).expect("the index is there");
    toml::from_str::<Cases>(&index)
        .expect("the index is in order")
        .case
}

fn octets(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.sip"))).expect("each case has its file")
}

fn request(name: &str) -> sip_message::Request {
    match Message::parse(&octets(name)).expect("parses") {
        Message::Request(request) => request,
        Message::Response(_) => panic!("{name} is a request"),
    }
}

#[test]
fn every_case_gets_its_verdict_from_its_layer() {
    let mut wrong = Vec::new();
    for case in cases() {
        let facts = facts(&octets(&case.name), false);
        let ours = ["framing", "start-line", "header", "validate"].contains(&case.layer.as_str());
        assert_eq!(
            ours,
            case.verdict == "invalid",
            "{}: verdict and layer",
            case.name
        );
        let layer = facts.layer.map(Layer::as_str);
        if layer != Some(case.layer.as_str()).filter(|_| ours) {
            wrong.push(format!(
                "{} (RFC {} §{}, {}): {layer:?} {:?}",
                case.name, case.rfc, case.section, case.about, facts.errors
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_section_has_a_case_and_every_file_is_listed() {
    let cases = cases();
    let sections: HashSet<_> = cases
        .iter()
        .map(|case| (case.rfc, case.section.clone()))
        .collect();
    let numbered = |rfc: u16, prefix: &'static str, last: u8| {
        (1..=last).map(move |number| (rfc, format!("{prefix}{number}")))
    };
    let due = numbered(4475, "3.1.1.", 13)
        .chain(numbered(4475, "3.1.2.", 19))
        .chain(numbered(4475, "3.2.", 1))
        .chain(numbered(4475, "3.3.", 15))
        .chain(numbered(4475, "3.4.", 1))
        .chain(numbered(5118, "4.", 10));
    for section in due {
        assert!(
            sections.contains(&section),
            "RFC {} §{} has no case",
            section.0,
            section.1
        );
    }
    let listed: HashSet<_> = cases
        .into_iter()
        .map(|case| format!("{}.sip", case.name))
        .collect();
    let files = std::fs::read_dir(folder()).expect("the folder is there");
    for file in files {
        let name = file
            .expect("can be listed")
            .file_name()
            .into_string()
            .expect("is text");
        assert!(
            name == "cases.toml" || listed.contains(&name),
            "{name} is not listed"
        );
    }
}

#[test]
fn what_parses_is_written_back_octet_for_octet() {
    let mut compared = 0;
    for case in cases() {
        let octets = octets(&case.name);
        let Ok(message) = Message::parse(&octets) else {
            continue;
        };
        let written = message.to_bytes();
        // Only octets behind the announced body are not part of the message.
        assert_eq!(
            octets.get(..written.len()),
            Some(written.as_slice()),
            "{}",
            case.name
        );
        assert!(
            written.len() == octets.len() || case.name == "octets_behind_the_body",
            "{}",
            case.name
        );
        compared += 1;
    }
    assert!(compared > 40, "{compared} messages were compared");
}

#[test]
fn broken_requests_can_be_answered() {
    for case in cases()
        .iter()
        .filter(|case| matches!(case.layer.as_str(), "framing" | "start-line"))
    {
        let octets = octets(&case.name);
        let error = Message::parse(&octets).expect_err("is broken");
        let is_response = octets.starts_with(b"SIP/");
        let answer = error.answer();
        assert_eq!(answer.is_none(), is_response, "{}", case.name);
        if let Some(answer) = answer {
            let expected = if case.name == "unknown_version" {
                505
            } else {
                400
            };
            assert_eq!(answer.status.code(), expected, "{}", case.name);
            assert!(answer.headers.has(HeaderName::Via), "{}", case.name);
            assert!(answer.headers.call_id().is_ok(), "{}", case.name);
        }
    }
}

/// Case 26: the octets of a message may arrive one at a time, or in two parts split anywhere.
#[test]
fn streams_may_be_split_anywhere() {
    for case in cases() {
        let octets = octets(&case.name);
        let Ok(message) = Message::parse(&octets) else {
            continue;
        };
        let octets = message.to_bytes();
        if !message.headers().has(HeaderName::ContentLength) {
            continue;
        }
        let whole = vec![Frame::Message(octets.clone())];
        assert_eq!(
            frames(octets.chunks(1)),
            whole,
            "{} octet by octet",
            case.name
        );
        for split in 0..=octets.len() {
            let (head, tail) = octets.split_at(split);
            assert_eq!(
                frames([head, tail].into_iter()),
                whole,
                "{} split at {split}",
                case.name
            );
        }
    }
}

fn frames<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut framer = StreamFramer::new();
    let mut frames = Vec::new();
    for part in parts {
        framer.push(part);
        while let Some(frame) = framer.poll().expect("can be framed") {
            frames.push(frame);
        }
    }
    assert_eq!(framer.buffered(), 0);
    frames
}

#[test]
fn the_tortuous_invite_says_what_it_means() {
    let invite = request("short_but_tortuous_invite");
    let headers = &invite.headers;
    assert_eq!(headers.to().expect("To").tag(), Some("60417q"));
    let from = headers.from().expect("From");
    assert_eq!(
        (from.display.as_deref(), from.tag()),
        (Some(r#"A. Dewdney \""#), Some("55x1"))
    );
    assert_eq!(headers.max_forwards(), Ok(41));
    assert_eq!(headers.cseq().expect("CSeq").number, 11);
    let vias = headers.vias().expect("Via");
    let seen: Vec<_> = vias
        .iter()
        .map(|via| (via.transport.as_str(), via.branch()))
        .collect();
    assert_eq!(
        seen,
        [
            ("UDP", Some("77zzkk")),
            ("TCP", Some("z9hG4bKhop8")),
            ("UDP", Some("z9hG4bKfar9"))
        ]
    );
    let contact = headers.contact().expect("Contact");
    assert_eq!(contact.display.as_deref(), Some(r#"Word "in" quotes"#));
    assert_eq!(contact.params.get("q"), Some("0.25"));
    assert!(headers.routes().expect("Route")[0].uri.is_loose_router());
    assert_eq!(headers.subject(), Some(""));
}

#[test]
fn user_parts_keep_their_semicolons_and_escapes() {
    let options = request("semicolon_in_user_part");
    assert_eq!(options.uri.user.as_deref(), Some("ben;via=y%40far.example"));
    assert_eq!(options.uri.host.to_string(), "lab.example");
    let invite = request("percent_escapes");
    assert_eq!(
        invite.uri.user_decoded().as_deref(),
        Some("sips:ben@lab.example")
    );
    assert_eq!(
        invite
            .headers
            .to()
            .expect("To")
            .uri
            .user_decoded()
            .as_deref(),
        Some("ben")
    );
}

#[test]
fn a_percent_sign_in_a_method_escapes_nothing() {
    assert_eq!(
        request("percent_that_is_no_escape").method,
        Method::Other("RE%47IST%45R".into())
    );
}

/// Case 25: IPv6 references and ports are told apart, `received` is read in both spellings.
#[test]
fn ipv6_addresses_and_ports_are_told_apart() {
    let within = request("ipv6_port_within_brackets").uri;
    assert_eq!(
        (within.host.to_string().as_str(), within.port),
        ("[2001:db8::10:5070]", None)
    );
    let behind = request("ipv6_port_behind_brackets").uri;
    assert_eq!(
        (behind.host.to_string().as_str(), behind.port),
        ("[2001:db8::10]", Some(5070))
    );
    for name in [
        "ipv6_received_with_brackets",
        "ipv6_received_without_brackets",
    ] {
        let via = request(name).headers.via_top().expect("Via");
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok(), "{name}");
    }
    assert_eq!(
        request("ipv6_spare_colon").uri.host.to_string(),
        "[2001:db8::c000:201]"
    );
}
