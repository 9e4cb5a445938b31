//! Our parser beside others, on one message in one run: an INVITE of 1,100 bytes from which Via,
//! From, To, Call-ID, CSeq and Contact are read as typed values.
//!
//! The rounds are interleaved, so that whatever else the machine does falls on all alike, and the
//! medians are compared. Every candidate's values are checked before it is timed.

use std::hint::black_box;
use std::time::Instant;

use rsip::prelude::*;
use rsipstack::sip as stack;
use rsipstack::sip::prelude::{HeadersExt as StackHeadersExt, ToTypedHeader as StackToTypedHeader};
use sip_message::{Limits, Message, MessageView};

const ROUNDS: usize = 41;
const PARSES_PER_ROUND: u32 = 4_000;

/// What every candidate has to read: branch, both tags, Call-ID, number, contact's user.
type Values = (String, String, usize, String, u32, String);

struct Candidate {
    name: &'static str,
    /// Reads and keeps the optimiser from seeing that nobody needs it.
    read: fn(&[u8]),
    /// Reads and shows.
    show: fn(&[u8]) -> Values,
}

fn main() {
    let message = invite();
    let candidates = [
        Candidate {
            name: "sip-message, borrowed",
            read: |bytes| {
                let view = MessageView::parse(bytes, &Limits::default()).expect("it is valid");
                black_box((view.via_top().expect("Via"), view.from().expect("From")));
                black_box((view.to().expect("To"), view.call_id().expect("Call-ID")));
                black_box((view.cseq().expect("CSeq"), view.contact().expect("Contact")));
            },
            show: ours,
        },
        Candidate {
            name: "sip-message, owned",
            read: |bytes| {
                let message = Message::parse(bytes).expect("it is valid");
                let headers = message.headers();
                black_box((
                    headers.via_top().expect("Via"),
                    headers.from().expect("From"),
                ));
                black_box((
                    headers.to().expect("To"),
                    headers.call_id().expect("Call-ID"),
                ));
                black_box((
                    headers.cseq().expect("CSeq"),
                    headers.contact().expect("Contact"),
                ));
            },
            show: ours,
        },
        Candidate {
            name: "rsip 0.4",
            read: |bytes| {
                let request = rsip::Request::try_from(bytes).expect("it is valid");
                let typed = "a header is there and typed";
                black_box(request.via_header().expect(typed).typed().expect(typed));
                black_box(request.from_header().expect(typed).typed().expect(typed));
                black_box(request.to_header().expect(typed).typed().expect(typed));
                black_box(request.call_id_header().expect(typed));
                black_box(request.cseq_header().expect(typed).typed().expect(typed));
                black_box(request.contact_header().expect(typed).typed().expect(typed));
            },
            show: theirs,
        },
        Candidate {
            name: "rsipstack 0.7",
            read: |bytes| {
                let request = stack::Request::try_from(bytes).expect("it is valid");
                let typed = "a header is there and typed";
                black_box(
                    StackToTypedHeader::typed(request.via_header().expect(typed)).expect(typed),
                );
                black_box(
                    StackToTypedHeader::typed(request.from_header().expect(typed)).expect(typed),
                );
                black_box(
                    StackToTypedHeader::typed(request.to_header().expect(typed)).expect(typed),
                );
                black_box(request.call_id_header().expect(typed));
                black_box(
                    StackToTypedHeader::typed(request.cseq_header().expect(typed)).expect(typed),
                );
                black_box(
                    StackToTypedHeader::typed(request.contact_header().expect(typed)).expect(typed),
                );
            },
            show: stacks,
        },
    ];
    let expected: Values = (
        "z9hG4bKnashds8f3a9c1".into(),
        "9fxced76sl".into(),
        message.len(),
        "3848276298220188511@atlanta.example.com".into(),
        314_159,
        "alice".into(),
    );
    for candidate in &candidates {
        assert_eq!((candidate.show)(&message), expected, "{}", candidate.name);
    }

    let mut times = vec![Vec::with_capacity(ROUNDS); candidates.len()];
    for _ in 0..ROUNDS {
        for (candidate, times) in candidates.iter().zip(&mut times) {
            let start = Instant::now();
            for _ in 0..PARSES_PER_ROUND {
                (candidate.read)(black_box(&message));
            }
            times.push(start.elapsed().as_nanos() as f64 / f64::from(PARSES_PER_ROUND));
        }
    }
    report(&candidates, &mut times, message.len());
}

fn report(candidates: &[Candidate], times: &mut [Vec<f64>], bytes: usize) {
    println!("parse: {bytes} bytes, six typed headers, median of {ROUNDS} interleaved rounds\n");
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            times[ROUNDS / 2]
        })
        .collect();
    println!("{:<24} {:>10} {:>14}", "", "ns", "of borrowed");
    for (candidate, median) in candidates.iter().zip(&medians) {
        println!(
            "{:<24} {median:>10.0} {:>13.1}x",
            candidate.name,
            median / medians[0]
        );
    }
}

fn ours(bytes: &[u8]) -> Values {
    let message = Message::parse(bytes).expect("it is valid");
    let headers = message.headers();
    (
        headers
            .via_top()
            .expect("Via")
            .branch()
            .unwrap_or_default()
            .to_owned(),
        headers
            .from()
            .expect("From")
            .tag()
            .unwrap_or_default()
            .to_owned(),
        bytes.len(),
        headers.call_id().expect("Call-ID").to_owned(),
        headers.cseq().expect("CSeq").number,
        headers
            .contact()
            .expect("Contact")
            .uri
            .user
            .unwrap_or_default(),
    )
}

fn theirs(bytes: &[u8]) -> Values {
    let request = rsip::Request::try_from(bytes).expect("it is valid");
    let typed = "a header is there and typed";
    (
        request
            .via_header()
            .expect(typed)
            .typed()
            .expect(typed)
            .branch()
            .expect(typed)
            .to_string(),
        request
            .from_header()
            .expect(typed)
            .typed()
            .expect(typed)
            .tag()
            .expect(typed)
            .to_string(),
        bytes.len(),
        request.call_id_header().expect(typed).value().to_string(),
        request
            .cseq_header()
            .expect(typed)
            .typed()
            .expect(typed)
            .seq,
        request
            .contact_header()
            .expect(typed)
            .typed()
            .expect(typed)
            .uri
            .auth
            .expect(typed)
            .user,
    )
}

fn stacks(bytes: &[u8]) -> Values {
    let request = stack::Request::try_from(bytes).expect("it is valid");
    let typed = "a header is there and typed";
    let via = StackToTypedHeader::typed(request.via_header().expect(typed)).expect(typed);
    let from = StackToTypedHeader::typed(request.from_header().expect(typed)).expect(typed);
    let cseq = StackToTypedHeader::typed(request.cseq_header().expect(typed)).expect(typed);
    let contact = StackToTypedHeader::typed(request.contact_header().expect(typed)).expect(typed);
    (
        via.branch().expect(typed).to_string(),
        from.tag().expect(typed).to_string(),
        bytes.len(),
        stack::prelude::UntypedHeader::value(request.call_id_header().expect(typed)).to_string(),
        cseq.seq,
        contact.uri.auth.expect(typed).user,
    )
}

/// An INVITE as a phone behind two proxies gets it: 1,100 bytes.
fn invite() -> Vec<u8> {
    let body = "v=0\r\no=alice 2890844526 2890844526 IN IP4 192.0.2.101\r\ns=-\r\nc=IN IP4 192.0.2.101\r\nt=0 0\r\n\
        m=audio 49172 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    let head = format!(
        "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP proxy.example.com:5060;branch=z9hG4bKnashds8f3a9c1;rport\r\n\
         Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;received=192.0.2.101\r\n\
         Max-Forwards: 69\r\n\
         Record-Route: <sip:proxy.example.com;lr>\r\n\
         From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
         To: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
         Call-ID: 3848276298220188511@atlanta.example.com\r\n\
         CSeq: 314159 INVITE\r\n\
         Contact: <sip:alice@192.0.2.101:5060;transport=tcp>\r\n\
         Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO\r\n\
         Supported: replaces, timer\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    let name = "User-Agent: ";
    let missing = 1_100 - head.len() - name.len() - body.len() - 4;
    format!("{head}{name}{}\r\n\r\n{body}", "x".repeat(missing)).into_bytes()
}
