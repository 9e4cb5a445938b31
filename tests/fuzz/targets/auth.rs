//! Challenges and what a client makes of them; credentials and what a server makes of them.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use sip_core::auth::server::{Verdict, Verifier};
use sip_core::auth::{Algorithm, Authenticator, Credentials, Exchange};
use sip_core::tokens::{Seed, Tokens};
use sip_message::Message;

fuzz_target!(|text: &str| {
    client(text);
    server(text);
});

fn client(text: &str) {
    let received = format!(
        "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: {text}\r\n\
         Proxy-Authenticate: {text}\r\nContent-Length: 0\r\n\r\n"
    );
    let Ok(Message::Response(response)) = Message::parse(received.as_bytes()) else {
        return;
    };
    let _ = response.headers.www_challenges();
    let mut authenticator = Authenticator::new(vec![Credentials::new("a", "secret")]);
    let mut exchange = Exchange::default();
    let mut tokens = Tokens::new(&Seed::from_number(1));
    // A server that asks the same again and again is given up on.
    for round in 0..20 {
        if authenticator
            .handle_challenge(&response, &mut exchange)
            .is_err()
        {
            return;
        }
        assert!(round < 10, "a loop with {text:?}");
        let mut request = request("");
        authenticator.authorize(&mut request, &mut exchange, &mut tokens);
        let written = request.to_bytes();
        let again = Message::parse(&written).expect("what was written can be read");
        assert_eq!(
            again.headers().len(),
            request.headers.len(),
            "{text:?} adds a line"
        );
    }
}

fn server(text: &str) {
    let now = Instant::now();
    let life = Duration::from_secs(60);
    let algorithms = vec![Algorithm::Md5, Algorithm::Sha256];
    let mut verifier = Verifier::new("r", algorithms, false, life, &Seed::from_number(2));
    verifier.challenge(now, false);
    let request = request(text);
    let verdict = verifier.check(now, &request, |_| Some("secret".to_owned()));
    assert!(
        !matches!(verdict, Verdict::Accepted { .. }),
        "{text:?} lets anybody in"
    );
}

fn request(authorization: &str) -> sip_message::Request {
    let head = "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n";
    let line = if authorization.is_empty() || authorization.contains(['\r', '\n']) {
        String::new()
    } else {
        format!("Authorization: {authorization}\r\n")
    };
    let received = format!("{head}{line}Content-Length: 0\r\n\r\n");
    match Message::parse(received.as_bytes()) {
        Ok(Message::Request(request)) => request,
        _ => panic!("a header value of any kind does not spoil a message: {authorization:?}"),
    }
}
