use proptest::prelude::*;

use super::*;

#[test]
fn a_good_message_gives_every_fact() {
    let facts = facts(
        b"REGISTER sip:lab.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5066;rport;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\nFrom: Ada <sip:ada@lab.example>;tag=1\r\nTo: <sip:%61da@lab.example>\r\nCall-ID: x@y\r\n\
        CSeq: 7 REGISTER\r\nContact: <sip:ada@192.0.2.1>\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    assert!(facts.is_valid(), "{:?}", facts.errors);
    assert_eq!(
        (facts.kind, facts.method.as_deref()),
        (Some(Kind::Request), Some("REGISTER"))
    );
    assert_eq!(facts.uri.as_deref(), Some("sip:lab.example"));
    let via = &facts.via[0];
    assert_eq!(
        (via.host.as_str(), via.port, via.branch.as_deref()),
        ("192.0.2.1", Some(5066), Some("z9hG4bK1"))
    );
    assert_eq!(via.params[0], ("rport".to_owned(), None));
    assert_eq!(facts.from.and_then(|from| from.tag).as_deref(), Some("1"));
    assert_eq!(facts.to.and_then(|to| to.user).as_deref(), Some("ada"));
    assert_eq!(facts.cseq, Some((7, "REGISTER".to_owned())));
    assert_eq!(facts.contacts[0].host.as_deref(), Some("192.0.2.1"));
    assert_eq!(
        (
            facts.max_forwards,
            facts.content_length,
            facts.headers.len()
        ),
        (Some(70), Some(0), 8)
    );
}

#[test]
fn a_broken_message_gives_what_could_be_read() {
    let facts = facts(
        b"INVITE <sip:ben@lab.example> SIP/2.0\r\nCall-ID: broken\r\nCSeq: 1 INVITE\r\n\r\n",
        false,
    );
    assert_eq!(facts.layer, Some(Layer::StartLine));
    assert_eq!(
        (facts.method.as_deref(), facts.uri.as_deref()),
        (Some("INVITE"), Some("<sip:ben@lab.example>"))
    );
    assert_eq!(
        (facts.call_id.as_deref(), facts.headers.len()),
        (Some("broken"), 2)
    );
}

#[test]
fn a_stream_is_told_message_by_message_up_to_where_it_breaks() {
    let good = "OPTIONS sip:a@lab.example SIP/2.0\r\nVia: SIP/2.0/TCP a.example\r\nFrom: sip:a@b;tag=1\r\n\
        To: sip:a@b\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let all = stream_facts(
        format!("{good}\r\n\r\n{good}OPTIONS sip:a@b SIP/2.0\r\nl: x\r\n\r\n").as_bytes(),
    );
    let layers: Vec<_> = all.iter().map(|facts| facts.layer).collect();
    assert_eq!(layers, [None, None, Some(Layer::Framing)]);
    let cut = stream_facts(&good.as_bytes()[..40]);
    assert_eq!(
        cut.iter().map(|facts| facts.layer).collect::<Vec<_>>(),
        [Some(Layer::Framing)]
    );
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(bytes in any::<Vec<u8>>(), as_stream: bool) {
        facts(&bytes, as_stream);
        stream_facts(&bytes);
    }
}
