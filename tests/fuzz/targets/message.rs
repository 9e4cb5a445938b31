//! Whole messages, as a datagram brings them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_message::{Limits, Message, MessageView, validate_request, validate_response};

fuzz_target!(|data: &[u8]| {
    let _ = MessageView::parse(data, &Limits::default());
    let Ok(message) = Message::parse(data) else {
        return;
    };
    let headers = message.headers();
    let _ = (headers.vias(), headers.from(), headers.to(), headers.cseq());
    let _ = (headers.contacts(), headers.routes(), headers.record_routes());
    let _ = (headers.call_id(), headers.max_forwards(), headers.expires());
    let _ = (headers.content_length(), headers.content_type());
    match &message {
        Message::Request(request) => {
            let _ = validate_request(request);
        }
        Message::Response(response) => {
            let _ = validate_response(response);
        }
    }
    let written = message.to_bytes();
    let again = Message::parse(&written).expect("what was written can be read");
    assert_eq!(again.to_bytes(), written);
});
