//! Session descriptions as offers and as answers.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use sdp::{Codec, LocalMedia, Negotiator, SessionDescription, summary};

fuzz_target!(|data: &[u8]| {
    let _ = summary(data);
    if let Ok(description) = SessionDescription::parse(data) {
        for media in description.media() {
            let _ = (media.formats(), media.address(), media.rtcp_address());
            let _ = (media.direction(), media.ptime_ms(), media.summary());
            let _ = media.bandwidth_bits_per_second();
        }
        let written = description.to_bytes();
        let again = SessionDescription::parse(&written).expect("what was written can be read");
        assert_eq!(again.to_bytes(), written);
    }

    let mut callee = negotiator();
    if let Ok((answer, _)) = callee.handle_offer(data) {
        let answer = SessionDescription::parse(&answer).expect("our answer can be read");
        let offer = SessionDescription::parse(data).expect("an answered offer could be read");
        // RFC 3264 §6: an answer has as many media lines as the offer.
        assert_eq!(answer.media().len(), offer.media().len());
        callee.set_hold(true);
        let _ = callee.offer();
        let _ = callee.handle_answer(data);
    }
    let mut caller = negotiator();
    let _ = caller.offer();
    let _ = caller.handle_answer(data);
});

fn negotiator() -> Negotiator {
    Negotiator::new(LocalMedia {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        port: 4_000,
        codecs: vec![Codec::Opus, Codec::Pcmu, Codec::Pcma],
        ptime_ms: 20,
        telephone_event: true,
        session_id: 1,
    })
}
