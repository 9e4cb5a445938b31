//! What is shown of who calls.

use std::time::Duration;

use model::{CallView, Party};

use super::house::tone;
use super::peer::{Peer, SDP, carol, carol_with, with};

/// How long until an INVITE is repeated (RFC 3261 §17.1.1.1).
const T1: Duration = Duration::from_millis(500);

/// What is shown of a call with these headers, from a peer that is carol's proxy or not.
async fn shown(headers: &str, from_proxy: bool) -> CallView {
    let dan = Peer::bind().await;
    let proxy = format!("sip:{};lr", dan.local);
    let (mut house, at) = match from_proxy {
        true => carol_with(tone(), |settings| settings.proxy = Some(proxy.into())).await,
        false => carol(tone()).await,
    };
    let invite = with(&dan.says("INVITE", 1, None, SDP), headers);
    // Repeated as over any network, until it is heard.
    let call = loop {
        dan.send(at, &invite).await;
        let ringing = tokio::time::timeout(T1, house.until_ringing()).await;
        if let Ok(call) = ringing {
            break call;
        }
    };
    let view = house.call(call);
    house.close().await;
    view
}

fn uris(parties: &[Party]) -> Vec<&str> {
    parties.iter().map(|party| party.uri.reveal()).collect()
}

#[tokio::test]
async fn an_asserted_identity_is_shown_where_the_accounts_own_server_asserts_it() {
    let asserted = "P-Asserted-Identity: \"Director\" <sip:+49301234@carrier.example>\r\n";
    let view = shown(asserted, true).await;
    assert_eq!(view.remote.uri.reveal(), "sip:+49301234@carrier.example");
    assert_eq!(view.remote.title(), "Director");
    assert!(view.details.asserted);
    let claims = view.details.claims.expect("From says something else");
    assert_eq!(claims.uri.reveal(), "sip:dan@127.0.0.1");
    // Anybody can write it: from anywhere else it is as if it were not there.
    let view = shown(asserted, false).await;
    assert_eq!(view.remote.uri.reveal(), "sip:dan@127.0.0.1");
    assert!(!view.details.asserted && view.details.claims.is_none());
}

#[tokio::test]
async fn a_caller_who_wants_no_name_shown_has_none_though_the_server_tells_it() {
    let headers = "P-Asserted-Identity: <sip:dan@carrier.example>\r\nPrivacy: id; critical\r\n";
    let view = shown(headers, true).await;
    assert_eq!(view.remote.title(), "Anonymous");
    assert!(view.details.anonymous && !view.details.asserted);
    assert_eq!(view.remote.uri.reveal(), "sip:anonymous@anonymous.invalid");
    assert!(view.details.claims.is_none());
}

#[tokio::test]
async fn those_who_sent_the_call_on_are_shown_the_last_one_first() {
    let diverted = "Diversion: <sip:boss@127.0.0.1>;reason=unconditional\r\n\
        Diversion: <sip:desk@127.0.0.1>;reason=no-answer\r\n";
    let view = shown(diverted, false).await;
    assert_eq!(
        uris(&view.details.forwarded_by),
        ["sip:boss@127.0.0.1", "sip:desk@127.0.0.1"]
    );
    // RFC 7044: a contact of the one who is called is no forwarding, another user is.
    let history = "History-Info: <sip:desk@127.0.0.1>;index=1, \
        <sip:desk@192.0.2.7>;index=1.1;rc=1, <sip:boss@127.0.0.1>;index=1.2;mp=1.1, \
        <sip:carol@127.0.0.1>;index=1.3;mp=1.2\r\n";
    let view = shown(history, false).await;
    assert_eq!(
        uris(&view.details.forwarded_by),
        ["sip:boss@127.0.0.1", "sip:desk@192.0.2.7"]
    );
    let private = "History-Info: <sip:desk@127.0.0.1?Privacy=history>;index=1, \
        <sip:carol@127.0.0.1>;index=1.1;mp=1\r\n";
    let view = shown(private, false).await;
    assert_eq!(uris(&view.details.forwarded_by), [""; 0]);
}

#[tokio::test]
async fn what_else_a_call_says_is_shown_and_bounded() {
    let long = "x".repeat(2000);
    let asserted = format!(
        "P-Asserted-Identity: \"{}\" <sip:+49301234@carrier.example>\r\nSubject: {long}\r\n",
        "ü".repeat(2000)
    );
    let view = shown(&asserted, true).await;
    assert_eq!(view.remote.title(), format!("{}…", "ü".repeat(128)));
    let subject = view.details.subject.expect("one was sent");
    assert_eq!(subject.reveal(), format!("{}…", &long[..512]));
    let many: String = (0..100).map(|n| format!("X-N{n}: {n}\r\n")).collect();
    let headers = format!(
        "Identity: eyJhbGciOiJFUzI1NiJ9..sig;info=<https://cert.example/1>\r\n\
         Subject: lunch\r\nSession-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000\r\n\
         Target-Dialog: other-call;local-tag=a;remote-tag=b\r\n\
         P-Early-Media: supported\r\nX-Long: {long}\r\n{many}"
    );
    let view = shown(&headers, false).await;
    let details = view.details;
    assert!(details.signed);
    assert_eq!(
        details.subject.as_ref().map(model::Private::reveal),
        Some("lunch")
    );
    assert!(
        details
            .session_id
            .ends_with("/ab30317f1a784dc48ff824d0d3715d86"),
        "{}",
        details.session_id
    );
    assert_eq!(details.target_dialog.as_deref(), Some("other-call"));
    let header = |name: &str| details.headers.iter().find(|h| h.name == name);
    assert_eq!(header("P-Early-Media").unwrap().value, "supported");
    assert_eq!(header("X-Long").unwrap().value.reveal().len(), 512);
    assert_eq!(header("X-N3").unwrap().value, "3");
    assert_eq!(details.headers.len(), 32);
    assert!(header("P-Asserted-Identity").is_none());
}
