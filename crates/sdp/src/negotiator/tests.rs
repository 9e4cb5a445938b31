//! Offer and answer by the rules of RFC 3264.

use super::*;

fn local(port: u16) -> LocalMedia {
    LocalMedia {
        address: "192.0.2.1".parse().unwrap(),
        port,
        codecs: Codec::ALL.to_vec(),
        ptime_ms: 20,
        telephone_event: true,
        session_id: 4711,
    }
}

#[test]
fn two_of_us_agree_on_the_first_codec_and_matching_events() {
    let mut alice = Negotiator::new(local(4000));
    let mut bob = Negotiator::new(local(5000));
    let offer = alice.offer();
    let (answer, bob_has) = bob.handle_offer(&offer).unwrap();
    let alice_has = alice.handle_answer(&answer).unwrap();
    assert_eq!(alice_has.codec, Codec::Opus);
    assert_eq!(alice_has.remote, Some("192.0.2.1:5000".parse().unwrap()));
    assert_eq!(bob_has.remote, Some("192.0.2.1:4000".parse().unwrap()));
    assert_eq!(
        alice_has.telephone_event.map(|e| e.clock_rate_hz),
        Some(48_000)
    );
    assert_eq!(alice_has.direction, Direction::SendReceive);
    assert!(alice_has.rtcp_mux && bob_has.rtcp_mux);
}
