//! Whole messages, as a datagram brings them, and every header that can be asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_message::{Headers, Limits, Message, MessageView, validate_request, validate_response};

fuzz_target!(|data: &[u8]| {
    let _ = MessageView::parse(data, &Limits::default());
    let Ok(message) = Message::parse(data) else {
        return;
    };
    read_all(message.headers());
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

fn read_all(headers: &Headers) {
    let _ = (
        headers.vias(),
        headers.from(),
        headers.to(),
        headers.cseq(),
        headers.call_id(),
    );
    let _ = (
        headers.contacts(),
        headers.routes(),
        headers.record_routes(),
        headers.paths(),
    );
    let _ = (
        headers.max_forwards(),
        headers.expires(),
        headers.content_length(),
    );
    let _ = (
        headers.content_type(),
        headers.content_disposition(),
        headers.accept(),
    );
    let _ = (
        headers.challenges(),
        headers.authorizations(),
        headers.authentication_info(),
    );
    let _ = (
        headers.rack(),
        headers.rseq(),
        headers.session_expires(),
        headers.min_se(),
    );
    let _ = (
        headers.refer_to(),
        headers.replaces(),
        headers.target_dialog(),
        headers.event(),
    );
    let _ = (
        headers.subscription_state(),
        headers.reasons(),
        headers.warnings(),
    );
    let _ = (
        headers.retry_after(),
        headers.date(),
        headers.timestamp(),
        headers.alert_info(),
    );
    let _ = (
        headers.allow(),
        headers.supported(),
        headers.require(),
        headers.in_reply_to(),
    );
    let _ = (
        headers.user_to_user(),
        headers.diversions(),
        headers.history(),
    );
    let _ = (
        headers.accept_language(),
        headers.accept_encoding(),
        headers.session_id(),
    );
}
