//! Offers that nobody should make: the call goes on where there is something to talk with, and is refused with a word
//! where there is nothing.

use super::*;

fn ours() -> Negotiator {
    Negotiator::new(LocalMedia {
        address: "192.0.2.1".parse().unwrap(),
        port: 4000,
        codecs: vec![Codec::Opus, Codec::Pcmu],
        ptime_ms: 20,
        telephone_event: true,
        session_id: 4711,
    })
}

fn offer(lines: &[&str]) -> Vec<u8> {
    let lines = lines.join("\r\n");
    format!(
        "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n{lines}\r\n"
    )
    .into_bytes()
}

#[test]
fn of_forty_lines_the_usable_one_is_taken_and_of_hundreds_none() {
    let usable = "m=audio 5000 RTP/AVP 0";
    let mut lines = vec!["m=video 6000 RTP/AVP 99"; 39];
    lines.push(usable);
    let (answer, agreed) = ours().handle_offer(&offer(&lines)).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("\r\nm=").count(), 40);
    assert_eq!(answer.matches("\r\nm=video 0 ").count(), 39);
    assert_eq!(agreed.codec, Codec::Pcmu);
    // No number of lines of any kind gets past the limits.
    for count in [100, 1_000] {
        let refused = ours().handle_offer(&offer(&vec![usable; count]));
        assert!(matches!(refused, Err(SdpError::TooLarge(_))), "{count}");
    }
}

#[test]
fn port_0_strange_profiles_and_codecs_without_a_map_are_passed_over() {
    let (answer, agreed) = ours()
        .handle_offer(&offer(&[
            "m=audio 0 RTP/AVP 0",
            "m=audio 5000 RTP/NONSENSE 0",
            "m=audio 5002 TCP/MRCPv2 0",
            "m=audio 5004 RTP/AVP 97 98 0",
        ]))
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let ports: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("m=audio "))
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    assert_eq!(ports, ["0", "0", "0", "4000"]);
    assert_eq!(agreed.codec, Codec::Pcmu);
    assert_eq!(agreed.remote, "198.51.100.7:5004".parse().ok());
    // With nothing but these there is nothing to talk with.
    for lone in ["m=audio 5000 RTP/NONSENSE 0", "m=audio 5004 RTP/AVP 97 98"] {
        let refused = ours().handle_offer(&offer(&[lone]));
        assert!(
            matches!(refused, Err(SdpError::NoCommonMedia { .. })),
            "{lone}: {refused:?}"
        );
    }
}

#[test]
fn parameters_of_a_codec_that_make_no_sense_change_nothing() {
    for fmtp in [
        "a=fmtp:111",
        "a=fmtp:111 ",
        "a=fmtp:111 ;;;===;;",
        "a=fmtp:111 maxaveragebitrate=-1;maxplaybackrate=99999999999999999999",
        "a=fmtp:111 minptime=NaN;useinbandfec=perhaps;stereo=1;stereo=0",
        "a=fmtp:999 useinbandfec=1",
        "a=fmtp:111 \u{fffd}\u{1f4de}=\u{0}",
        "a=fmtp",
        "a=fmtp:",
    ] {
        let lines = [
            "m=audio 5000 RTP/AVP 111",
            "a=rtpmap:111 opus/48000/2",
            fmtp,
        ];
        let (_, agreed) = ours().handle_offer(&offer(&lines)).unwrap();
        assert_eq!(agreed.codec, Codec::Opus, "{fmtp}");
        assert_eq!(agreed.ptime_ms, 20, "{fmtp}");
    }
}

#[test]
fn candidates_and_fingerprints_that_make_no_sense_leave_the_call_without_them() {
    let ice = ours().with_ice(KeySeed::drawn(|bytes| *bytes = [1; 32]));
    let long = format!("a=candidate:{}", "9 ".repeat(2_000));
    for line in [
        "a=candidate:",
        "a=candidate:1 1 udp 99999999999999 1.2.3 0 typ",
        "a=ice-ufrag:",
        "a=ice-pwd:\u{1f4de}",
        "a=fingerprint:sha-256 ZZ:ZZ",
        "a=setup:nobody",
        "a=crypto:1 NONSENSE inline:",
        &long,
    ] {
        let (answer, agreed) = ice
            .clone()
            .handle_offer(&offer(&["m=audio 5000 RTP/AVP 0", "a=rtcp-mux", line]))
            .unwrap();
        assert!(agreed.ice.is_none() && agreed.dtls.is_none() && agreed.crypto.is_none());
        assert!(!String::from_utf8(answer).unwrap().contains("a=ice"));
    }
}
