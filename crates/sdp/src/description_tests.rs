//! Descriptions as peers really send them.

use proptest::prelude::*;

use crate::{Codec, Direction, FormatMap, Protocol, SdpError, SessionDescription, summary};

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap()
}

const PLAIN: &str = "v=0\r\no=- 1 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\nb=AS:64\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\n";

#[test]
fn what_is_well_formed_is_written_as_it_was_read() {
    let read = parse(PLAIN);
    assert_eq!(String::from_utf8(read.to_bytes()).unwrap(), PLAIN);
    assert!(read.repairs().is_empty());
    assert_eq!((read.session_id(), read.version()), ("1", 7));
    let audio = read.media().next().unwrap();
    assert_eq!(
        (audio.port(), audio.protocol(), audio.direction()),
        (4000, Protocol::Avp, Direction::SendOnly)
    );
    assert_eq!(audio.bandwidth_bits_per_second(), Some(64_000));
}

#[test]
fn lines_about_ways_handshakes_and_keys_are_kept_as_they_came() {
    // RFC 8839 §5, RFC 8122 §5, RFC 8842 §5, RFC 4568 §9, RFC 3611 §5; and what nobody knows.
    let lines = "v=0\r\no=- 1 7 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n\
        a=ice-lite\r\na=ice-options:trickle ice2\r\na=group:BUNDLE 0\r\n\
        a=fingerprint:sha-256 AB:CD:EF:01:AB:CD:EF:01:AB:CD:EF:01:AB:CD:EF:01:AB:CD:EF:01:AB:CD:EF:01:AB:CD:EF:01:AB:CD:EF:01\r\n\
        m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 192.0.2.1\r\n\
        a=mid:0\r\na=ice-ufrag:F7gI\r\na=ice-pwd:x9cml/YzichV2+XlhiMu8g\r\n\
        a=candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host\r\n\
        a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998 generation 0\r\n\
        a=end-of-candidates\r\na=setup:actpass\r\na=tls-id:abc3de65cddef001be82\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP\r\n\
        a=crypto:2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm\r\n\
        a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\na=x-nobody-knows:this 1\r\n";
    let read = parse(lines);
    assert_eq!(String::from_utf8(read.to_bytes()).unwrap(), lines);
    assert!(read.repairs().is_empty());
    let audio = read.media().next().unwrap();
    assert!(audio.has_fingerprint() && audio.has_crypto() && audio.ice().is_some());
}

#[test]
fn line_ends_nul_bytes_and_blank_lines_do_not_matter() {
    for text in [
        PLAIN.replace("\r\n", "\n"),
        PLAIN.trim_end().to_owned(),
        PLAIN.replace("\r\n", "\r\n\r\n"),
        PLAIN.replace("s=-", "s=\0-"),
        PLAIN.replace("s=-", "s=- \t"),
        format!("\r\n\r\n{PLAIN}"),
        format!("{PLAIN}\0\0\0"),
    ] {
        assert_eq!(
            String::from_utf8(parse(&text).to_bytes()).unwrap(),
            PLAIN,
            "{text:?}"
        );
    }
}

#[test]
fn an_origin_with_spaces_or_without_a_number_is_repaired_and_told() {
    let read = parse(&PLAIN.replace("o=- 1 7", "o=Front Desk 2 1 7"));
    assert_eq!((read.session_id(), read.version()), ("1", 7));
    assert_eq!(read.repairs().len(), 1);
    assert!(
        String::from_utf8(read.to_bytes())
            .unwrap()
            .contains("o=Front_Desk_2 1 7 IN IP4")
    );
    let read = parse(&PLAIN.replace("o=- 1 7", "o=- 1 -7"));
    assert_eq!((read.version(), read.repairs().len()), (7, 1));
    let read = parse(&PLAIN.replace("o=- 1 7", "o=- 99999999999999999999999 7"));
    assert_eq!(read.session_id(), "99999999999999999999999");
}

#[test]
fn a_bad_line_nobody_needs_does_not_spoil_the_rest() {
    for line in [
        "b=AS:much",
        "c=IN",
        "no type at all",
        "z=1 x",
        "r=7d",
        "t=now later",
        "ä=1",
        "i=\u{1}",
        "a=",
        "k=prompt\r\nk=again",
        "o=x",
        "s=again",
    ] {
        let text = PLAIN.replace("t=0 0\r\n", &format!("t=0 0\r\n{line}\r\n"));
        let read = parse(&text);
        assert_eq!(read.media().next().unwrap().port(), 4000, "{line}");
    }
    let read = parse(&PLAIN.replace("v=0\r\n", ""));
    assert_eq!(read.repairs(), ["the v= line was missing"]);
}

#[test]
fn bytes_that_are_no_text_are_survived() {
    let mut bytes = PLAIN.as_bytes().to_vec();
    let at = bytes.windows(3).position(|w| w == b"s=-").unwrap();
    bytes[at + 2] = 0xE9;
    assert_eq!(SessionDescription::parse(&bytes).unwrap().media().len(), 1);
}

#[test]
fn malformed_maps_leave_the_static_meaning_or_none() {
    let text = "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0 8 96 97 300 x\na=rtpmap:0 PCMU\na=rtpmap:8\na=rtpmap:96 opus/fast/2\na=rtpmap:97   opus/48000/2  \n";
    let read = parse(text);
    let formats = read.media().next().unwrap().formats();
    let codecs: Vec<Option<Codec>> = formats.iter().map(FormatMap::codec).collect();
    assert_eq!(
        codecs,
        [
            Some(Codec::Pcmu),
            Some(Codec::Pcma),
            None,
            Some(Codec::Opus)
        ]
    );
}

#[test]
fn a_map_goes_before_the_static_meaning() {
    let read = parse("v=0\nm=audio 4000 RTP/AVP 0\na=rtpmap:0 G726-32/8000\n");
    assert_eq!(read.media().next().unwrap().formats()[0].codec(), None);
    let read = parse("v=0\nm=audio 4000 RTP/AVP 96\na=rtpmap:96 pcmu/8000/1\n");
    assert_eq!(
        read.media().next().unwrap().formats()[0].codec(),
        Some(Codec::Pcmu)
    );
    let read = parse("v=0\nm=audio 4000 RTP/AVP 96\na=rtpmap:96 PCMU/16000\n");
    assert_eq!(read.media().next().unwrap().formats()[0].codec(), None);
}

#[test]
fn what_cannot_be_repaired_is_named() {
    for text in [
        "",
        "\r\n",
        "v=1\r\nm=audio 1 RTP/AVP 0",
        "v=0\r\nm=audio x RTP/AVP 0",
        "v=0\r\nm=audio 70000 RTP/AVP 0",
        "v=0\r\nm=audio",
    ] {
        let result = SessionDescription::parse(text.as_bytes());
        assert!(
            matches!(result, Err(SdpError::Malformed(_))),
            "{text:?} {result:?}"
        );
    }
}

#[test]
fn size_lines_and_media_have_limits() {
    let too_many = "v=0\r\n".to_owned() + &"m=audio 0 RTP/AVP 0\r\n".repeat(65);
    let too_long = "v=0\r\n".to_owned() + &"a=x\r\n".repeat(2_001);
    for text in [too_many, too_long, "a".repeat(65_537)] {
        let result = SessionDescription::parse(text.as_bytes());
        assert!(matches!(result, Err(SdpError::TooLarge(_))));
    }
    let many_bad = "v=0\r\n".to_owned() + &"b=bad\r\n".repeat(40);
    assert!(matches!(
        SessionDescription::parse(many_bad.as_bytes()),
        Err(SdpError::Malformed(_))
    ));
}

#[test]
fn the_summary_is_made_for_sentences() {
    assert_eq!(summary(PLAIN.as_bytes()), "PCMU, PCMA");
    assert_eq!(
        summary(b"v=0\nm=audio 1 RTP/AVP 96 0 13 101 99\na=rtpmap:96 Opus/48000/2\na=rtpmap:101 telephone-event/8000\nm=video 2 RTP/AVP 97\n"),
        "opus, PCMU, payload type 99"
    );
    assert_eq!(
        summary(b"v=0\nm=audio 1 RTP/SAVP 18\n"),
        "RTP/SAVP with G729"
    );
    assert_eq!(
        summary(b"v=0\nm=image 1 udptl t38\n"),
        "no audio, only image"
    );
    assert_eq!(summary(b"v=0\n"), "no media");
    assert_eq!(summary(b"hello"), "");
}

#[test]
fn directions_are_seen_from_both_ends() {
    for (one, other) in [
        (Direction::SendReceive, Direction::SendReceive),
        (Direction::SendOnly, Direction::ReceiveOnly),
        (Direction::Inactive, Direction::Inactive),
    ] {
        assert_eq!((one.reversed(), other.reversed()), (other, one));
        assert_eq!(Direction::parse(one.as_str()), Some(one));
    }
    assert_eq!(
        Direction::SendOnly.and(Direction::ReceiveOnly),
        Direction::Inactive
    );
    assert_eq!(Direction::parse("SendRecv"), Some(Direction::SendReceive));
    assert_eq!(Direction::parse("both"), None);
}

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[vosiuepcbtrzkam]=[ -~]{0,40}",
        "m=(audio|video) [0-9]{1,6}(/[0-9])? (RTP/AVP|RTP/SAVP|x) [0-9 ]{0,12}",
        "a=(rtpmap|fmtp|ptime|maxptime|rtcp|sendonly|inactive)(:[0-9]{1,3})?( [a-z/0-9=;]{0,20})?",
        "c=IN IP[46] [0-9a-f.:/]{0,20}",
        "o=[a-z ]{0,10} -?[0-9]{0,22} -?[0-9]{0,22} IN IP4 [0-9.]{0,15}",
        "[\\x00-\\x7f]{0,20}",
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = SessionDescription::parse(&bytes);
        let _ = summary(&bytes);
    }

    #[test]
    fn lines_of_any_kind_are_read_or_refused_and_then_stable(lines in proptest::collection::vec(any_line(), 0..20)) {
        let text = format!("v=0\r\n{}", lines.join("\r\n"));
        if let Ok(read) = SessionDescription::parse(text.as_bytes()) {
            for media in read.media() {
                let _ = (media.formats(), media.direction(), media.address(), media.rtcp_address());
                let _ = (media.ptime_ms(), media.maxptime_ms(), media.bandwidth_bits_per_second(), media.summary());
            }
            // What we write is read again as the same, without anything left to repair.
            let written = read.to_bytes();
            let again = SessionDescription::parse(&written).unwrap();
            prop_assert_eq!(again.to_bytes(), written);
        }
    }
}

/// RFC 3605: another address may be named for reports. One that is nobody's, or for many, or of another family, counts for
/// nothing: the port does.
#[test]
fn reports_go_to_one_receiver() {
    for (line, to) in [
        ("a=rtcp:4001", "203.0.113.20:4001"),
        ("a=rtcp:4001 IN IP4 203.0.113.21", "203.0.113.21:4001"),
        ("a=rtcp:4001 IN IP4 239.1.1.1", "203.0.113.20:4001"),
        ("a=rtcp:4001 IN IP4 255.255.255.255", "203.0.113.20:4001"),
        ("a=rtcp:4001 IN IP6 ff02::1", "203.0.113.20:4001"),
        ("a=rtcp:4001 IN IP6 2001:db8::1", "203.0.113.20:4001"),
        ("a=rtcp:4001 IN IP4 0.0.0.0", "203.0.113.20:4001"),
        ("a=rtcp:4001 IN IP4 gate.example.net", "203.0.113.20:4001"),
    ] {
        let text = format!(
            "v=0\r\no=gate 5566 1 IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 0\r\n{line}\r\n"
        );
        let description = SessionDescription::parse(text.as_bytes()).unwrap();
        let found = description
            .media()
            .next()
            .and_then(|media| media.rtcp_address());
        assert_eq!(found, to.parse().ok(), "{line}");
    }
}
