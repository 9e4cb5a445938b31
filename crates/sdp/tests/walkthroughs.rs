//! Whole conversations between a peer written down by hand and our negotiator, in the order in
//! which RFC 4317 tells its examples: one codec, several, hold, another party, lines that come
//! later, and invitations without an offer.

use sdp::{Codec, Direction, LocalMedia, Negotiated, Negotiator};

fn desk() -> Negotiator {
    Negotiator::new(LocalMedia {
        address: "192.0.2.40".parse().unwrap(),
        port: 30_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        ptime_ms: 20,
        telephone_event: true,
        session_id: 90_001,
    })
}

/// What a peer at 203.0.113.20 says in its `version`th description.
fn peer(version: u32, lines: &[&str]) -> Vec<u8> {
    let mut text = format!(
        "v=0\r\no=gate 5566 {version} IN IP4 203.0.113.20\r\ns=-\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\n"
    );
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.into_bytes()
}

fn media_lines(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("m="));
    lines.map(str::to_owned).collect()
}

fn has_line(bytes: &[u8], line: &str) -> bool {
    std::str::from_utf8(bytes)
        .unwrap()
        .lines()
        .any(|l| l == line)
}

fn ports(has: &Negotiated) -> (Option<u16>, Option<u16>) {
    (
        has.remote.map(|a| a.port()),
        has.remote_rtcp.map(|a| a.port()),
    )
}

#[test]
fn sound_and_picture_are_offered_and_the_sound_is_taken() {
    let mut desk = desk();
    let (answer, has) = desk
        .handle_offer(&peer(
            1,
            &[
                "m=audio 41170 RTP/AVP 0 8 97",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:97 iLBC/8000",
                "m=video 51372 RTP/AVP 31 32",
                "a=rtpmap:31 H261/90000",
                "a=rtpmap:32 MPV/90000",
            ],
        ))
        .unwrap();
    assert_eq!(
        media_lines(&answer),
        ["m=audio 30000 RTP/AVP 0", "m=video 0 RTP/AVP 31 32"]
    );
    assert_eq!(has.codec, Codec::Pcmu);
    assert_eq!(ports(&has), (Some(41_170), Some(41_171)));
}

#[test]
fn the_peer_narrows_the_answered_codecs_to_one() {
    let mut desk = desk();
    desk.offer();
    // It takes both and then settles by an offer of its own.
    let has = desk
        .handle_answer(&peer(1, &["m=audio 41170 RTP/AVP 0 8"]))
        .unwrap();
    assert_eq!(has.codecs.len(), 2);
    let (answer, has) = desk
        .handle_offer(&peer(2, &["m=audio 41170 RTP/AVP 8"]))
        .unwrap();
    assert_eq!(media_lines(&answer), ["m=audio 30000 RTP/AVP 8"]);
    assert_eq!((has.codec, has.codecs.len()), (Codec::Pcma, 1));
}

#[test]
fn the_offers_codecs_are_ours_but_in_another_order() {
    let mut desk = desk();
    let (_, has) = desk
        .handle_offer(&peer(1, &["m=audio 41170 RTP/AVP 18 8 0"]))
        .unwrap();
    // Our order is the user's wish.
    assert_eq!(has.codec, Codec::Pcmu);
}

#[test]
fn a_line_for_digits_of_their_own_is_refused_in_its_place() {
    let mut desk = desk();
    desk.handle_offer(&peer(1, &["m=audio 41170 RTP/AVP 0"]))
        .unwrap();
    let (answer, has) = desk
        .handle_offer(&peer(
            2,
            &[
                "m=audio 41170 RTP/AVP 0",
                "m=audio 41172 RTP/AVP 98",
                "a=rtpmap:98 telephone-event/8000",
                "a=recvonly",
            ],
        ))
        .unwrap();
    assert_eq!(
        media_lines(&answer),
        ["m=audio 30000 RTP/AVP 0", "m=audio 0 RTP/AVP 98"]
    );
    assert_eq!(has.telephone_event, None);
    assert_eq!(has.direction, Direction::SendReceive);
}

#[test]
fn hold_and_its_end_raise_the_version_each_time() {
    let mut desk = desk();
    let first = desk.offer();
    assert!(has_line(&first, "o=- 90001 1 IN IP4 192.0.2.40"));
    desk.handle_answer(&peer(1, &["m=audio 41170 RTP/AVP 0"]))
        .unwrap();
    desk.set_hold(true);
    let second = desk.offer();
    assert!(has_line(&second, "o=- 90001 2 IN IP4 192.0.2.40"));
    assert!(has_line(&second, "a=sendonly"));
    let has = desk
        .handle_answer(&peer(2, &["m=audio 41170 RTP/AVP 0", "a=recvonly"]))
        .unwrap();
    assert!(has.direction.sends() && !has.direction.receives());
    desk.set_hold(false);
    let third = desk.offer();
    assert!(has_line(&third, "o=- 90001 3 IN IP4 192.0.2.40"));
    let has = desk
        .handle_answer(&peer(3, &["m=audio 41170 RTP/AVP 0"]))
        .unwrap();
    assert_eq!(has.direction, Direction::SendReceive);
}

#[test]
fn the_call_is_handed_to_another_party_behind_the_same_dialog() {
    let mut desk = desk();
    desk.offer();
    desk.handle_answer(&peer(1, &["m=audio 41170 RTP/AVP 0"]))
        .unwrap();
    // The exchange holds us, asks for an offer of ours, and brings back another one's answer.
    let (answer, has) = desk
        .handle_offer(&peer(
            2,
            &["m=audio 41170 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=inactive"],
        ))
        .unwrap();
    assert!(has_line(&answer, "a=inactive"));
    assert_eq!((has.remote, has.direction), (None, Direction::Inactive));
    desk.offer();
    let other = b"v=0\r\no=colleague 77 1 IN IP4 198.51.100.9\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    let has = desk.handle_answer(other).unwrap();
    assert_eq!(has.remote, Some("198.51.100.9:6000".parse().unwrap()));
    assert_eq!(
        (has.codec, has.direction),
        (Codec::Pcma, Direction::SendReceive)
    );
    assert!(has.telephone_event.is_some());
}

#[test]
fn an_invitation_without_an_offer_gets_ours_and_the_ack_answers() {
    let mut desk = desk();
    let in_the_200 = desk.offer();
    assert_eq!(media_lines(&in_the_200), ["m=audio 30000 RTP/AVP 0 8 101"]);
    let has = desk
        .handle_answer(&peer(1, &["m=audio 41170 RTP/AVP 8", "a=ptime:30"]))
        .unwrap();
    assert_eq!((has.codec, has.ptime_ms), (Codec::Pcma, 30));
}

#[test]
fn early_media_and_the_final_answer_are_one_answer() {
    let mut desk = desk();
    desk.offer();
    let answer = peer(1, &["m=audio 41170 RTP/AVP 0", "a=sendrecv"]);
    let early = desk.handle_answer(&answer).unwrap();
    assert!(!desk.awaits_answer());
    // A 180 without a body changes nothing, the 200 repeats the body: nobody waits for it.
    assert!(desk.handle_answer(&answer).is_err());
    assert_eq!(desk.agreed(), Some(&early));
}
