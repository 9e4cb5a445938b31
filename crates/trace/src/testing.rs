//! Records for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{AccountId, TenantId, Timestamp, TraceBody, TraceRecord, Transport};

/// A message with the headers every message has.
pub(crate) fn message(start: &str, method: &str, cseq: u32) -> String {
    format!(
        "{start}\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-{cseq};rport\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice Liddell\" <sip:alice@example.com>;tag=from-tag\r\n\
         To: <sip:+4930123456@example.com>\r\n\
         Call-ID: call-1@host\r\n\
         CSeq: {cseq} {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The same with a body.
pub(crate) fn with_body(head: &str, kind: &str, body: &str) -> String {
    let length = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    head.replace("Content-Length: 0\r\n", &length) + body
}

/// An offer with a key, and a text: what masking makes shorter or longer.
pub(crate) fn bodies() -> [String; 2] {
    let offer = "v=0\r\no=alice 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 0\r\n\
                 a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
    let text = "We meet at the bridge over the river, as we said, at ten past nine.";
    let invite = message("INVITE sip:+4930123456@example.com SIP/2.0", "INVITE", 1);
    let letter = message("MESSAGE sip:+4930123456@example.com SIP/2.0", "MESSAGE", 2);
    [
        with_body(&invite, "application/sdp", offer),
        with_body(&letter, "text/plain", text),
    ]
}

/// A message recorded at a time in milliseconds.
pub(crate) fn sip(id: u64, at_ms: i64, sent: bool, text: &str) -> TraceRecord {
    TraceRecord {
        id,
        time: Timestamp(at_ms * 1000),
        tenant: TenantId::new("acme"),
        account: Some(AccountId::new("desk")),
        call: None,
        body: TraceBody::Sip {
            sent,
            transport: Transport::Udp,
            local: "127.0.0.1:5070".to_owned(),
            peer: "192.0.2.1:5060".to_owned(),
            bytes: Arc::from(text.as_bytes()),
        },
    }
}

/// A note recorded at a time in milliseconds.
pub(crate) fn note(id: u64, at_ms: i64, topic: &str, text: &str) -> TraceRecord {
    TraceRecord {
        body: TraceBody::Note {
            topic: topic.to_owned(),
            text: text.into(),
            sip_call_id: Some("call-1@host".to_owned()),
        },
        ..sip(id, at_ms, true, "")
    }
}

/// A folder of its own for one test, empty; gone when this is dropped.
pub(crate) struct Scratch(PathBuf);

pub(crate) fn scratch(name: &str) -> Scratch {
    let dir = std::env::temp_dir().join(format!("tipring-trace-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    Scratch(dir)
}

impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the system's to tidy up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Records of anything, and of almost SIP, for property tests.
pub(crate) fn any_records() -> impl proptest::strategy::Strategy<Value = Vec<TraceRecord>> {
    use proptest::prelude::*;
    let start = prop_oneof![
        Just("INVITE sip:a@b SIP/2.0"),
        Just("ACK sip:a@b SIP/2.0"),
        Just("REGISTER sip:b SIP/2.0"),
        Just("SIP/2.0 401 Unauthorized"),
        Just("SIP/2.0 407 Proxy"),
        Just("SIP/2.0 200 OK"),
        Just("SIP/2.0 180 \u{1b}[31mRing"),
    ];
    let method = prop_oneof![Just("INVITE"), Just("REGISTER")];
    let almost = (start, method, 0_u32..4).prop_map(|(s, m, n)| message(s, m, n).into_bytes());
    let bytes = prop_oneof![3 => almost, 1 => prop::collection::vec(any::<u8>(), 0..200)];
    let body = (bytes, any::<bool>(), ".{0,12}", ".{0,12}");
    let record = (any::<i64>(), body, prop::option::of((".{0,8}", ".{0,80}"))).prop_map(
        |(time, (bytes, sent, local, peer), inside)| {
            let mut record = match inside {
                Some((topic, text)) => note(0, 0, &topic, &text),
                None => sip(0, 0, sent, ""),
            };
            record.time = Timestamp(time);
            if let TraceBody::Sip {
                bytes: b,
                local: l,
                peer: p,
                ..
            } = &mut record.body
            {
                *b = bytes.into();
                (*l, *p) = (local, peer);
            }
            record
        },
    );
    prop::collection::vec(record, 0..30)
}
