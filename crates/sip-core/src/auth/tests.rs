//! Challenges and answers between the two halves, and against peers that misbehave.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_message::{HeaderName, Message, Method, Request, Response, StatusCode, Uri};

use super::server::{Verdict, Verifier};
use super::{Algorithm, AuthError, Authenticator, Credentials, Exchange, Home, Strength};
use crate::path::{Path, Transport};
use crate::tokens::{Seed, Tokens};

fn register() -> Request {
    let mut request = Request::new(Method::Register, Uri::parse("sip:example.com").unwrap());
    request.headers.push(HeaderName::CSeq, "1 REGISTER");
    request
}

/// A 401 or 407 with these challenge values, each a header of its own.
fn challenged(code: u16, values: &[&str]) -> Response {
    let mut response = Response::new(StatusCode::new(code).unwrap());
    let name = if code == 407 {
        HeaderName::ProxyAuthenticate
    } else {
        HeaderName::WwwAuthenticate
    };
    for value in values {
        response.headers.push(&name, value);
    }
    response
}

struct Client {
    authenticator: Authenticator,
    exchange: Exchange,
    tokens: Tokens,
}

impl Client {
    fn new(credentials: Vec<Credentials>) -> Self {
        Self {
            authenticator: Authenticator::new(credentials),
            exchange: Exchange::default(),
            tokens: Tokens::new(&Seed::from_number(1)),
        }
    }

    fn alice() -> Self {
        Self::new(vec![Credentials::new("alice", "wonder")])
    }

    fn take(&mut self, code: u16, values: &[&str]) -> Result<(), AuthError> {
        let response = challenged(code, values);
        self.authenticator
            .handle_challenge(&response, &mut self.exchange)
    }

    fn send(&mut self) -> Request {
        let mut request = register();
        self.authenticator
            .authorize(&mut request, &mut self.exchange, &mut self.tokens);
        request
    }

    /// The Authorization and Proxy-Authorization values of the next sending.
    fn values(&mut self) -> Vec<String> {
        let request = self.send();
        [HeaderName::Authorization, HeaderName::ProxyAuthorization]
            .into_iter()
            .flat_map(|name| {
                request
                    .headers
                    .get_all(name)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

const MD5: &str = r#"Digest realm="r", nonce="n1", algorithm=MD5, qop="auth""#;
const SHA256: &str = r#"Digest realm="r", nonce="n2", algorithm=SHA-256, qop="auth""#;

#[test]
fn before_the_first_challenge_nothing_is_added() {
    assert_eq!(Client::alice().values(), [""; 0]);
}

#[test]
fn each_algorithm_and_protection_passes_our_own_verifier() {
    let now = Instant::now();
    for algorithm in [
        Algorithm::Md5,
        Algorithm::Md5Sess,
        Algorithm::Sha256,
        Algorithm::Sha256Sess,
        Algorithm::Sha512_256,
        Algorithm::Sha512_256Sess,
    ] {
        for proxy in [false, true] {
            let mut verifier = verifier(vec![algorithm], proxy);
            let values = verifier.challenge(now, false);
            let code = if proxy { 407 } else { 401 };
            for qop in ["auth,auth-int", "auth-int", "auth"] {
                let mut client = Client::alice();
                let values: Vec<String> = values
                    .iter()
                    .map(|v| v.replace("auth,auth-int", qop))
                    .collect();
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                client.take(code, &values).unwrap();
                let verdict = verifier.check(now, &client.send(), secret_of);
                // One nonce for three clients: the count goes up only for the first.
                let good = Verdict::Accepted {
                    username: "alice".to_owned(),
                };
                if qop == "auth,auth-int" {
                    assert_eq!(verdict, good, "{algorithm:?}");
                } else {
                    assert_eq!(verdict, Verdict::Stale, "{algorithm:?} {qop}");
                }
            }
        }
    }
}

#[test]
fn case_16_the_strongest_known_of_several_wins_and_unknown_ones_are_skipped() {
    let mut client = Client::alice();
    client
        .take(
            401,
            &[
                r#"Bearer realm="r", authz_server="https://a.example""#,
                r#"Digest realm="r", nonce="n0", algorithm=SHA3-512, qop="auth""#,
                MD5,
                SHA256,
            ],
        )
        .unwrap();
    let [value] = client.values().try_into().unwrap();
    assert!(value.contains("algorithm=SHA-256"), "{value}");
    assert!(value.contains("nonce=\"n2\""), "{value}");
}

#[test]
fn where_md5_is_switched_off_it_gets_no_answer_and_what_is_stronger_does() {
    let strong = || Client::new(vec![Credentials::new("alice", "wonder").strong_only(true)]);
    let session = MD5.replace("=MD5", "=MD5-sess");
    let unnamed = MD5.replace("algorithm=MD5, ", "");
    for (weak, named) in [(MD5, "MD5"), (&session, "MD5-sess"), (&unnamed, "MD5")] {
        let mut client = strong();
        let (realm, algorithm) = ("r".to_owned(), named);
        let refused = Err(AuthError::TooWeak { realm, algorithm });
        assert_eq!(client.take(401, &[weak]), refused);
        assert_eq!(client.values(), [""; 0]);
    }
    let mut client = strong();
    client.take(401, &[MD5, SHA256]).unwrap();
    let [value] = client.values().try_into().unwrap();
    assert!(value.contains("algorithm=SHA-256"), "{value}");
}

#[test]
fn basic_is_never_answered() {
    // RFC 3261 §22: it is deprecated, and the password would stand there to read.
    let mut client = Client::alice();
    let refused = client.take(401, &[r#"Basic realm="r""#]).unwrap_err();
    let offered = "Basic".to_owned();
    assert_eq!(refused, AuthError::NothingKnown { offered });
    assert_eq!(client.values(), [""; 0]);
}

#[test]
fn comma_joined_challenges_are_read_like_separate_ones() {
    let mut client = Client::alice();
    let joined = format!("NewScheme a=b, {MD5}, {SHA256}");
    client.take(401, &[&joined]).unwrap();
    let [value] = client.values().try_into().unwrap();
    assert!(value.contains("algorithm=SHA-256"), "{value}");
}

#[test]
fn case_17_every_realm_is_answered_in_a_header_of_its_own_with_its_own_credentials() {
    let mut client = Client::new(vec![
        Credentials::new("anybody", "x"),
        Credentials::new("proxy-user", "y").for_realm("proxy"),
    ]);
    let both = r#"Digest realm="home", nonce="a", qop="auth", Digest realm="proxy", nonce="b", qop="auth""#;
    client.take(407, &[both]).unwrap();
    let values = client.values();
    assert_eq!(values.len(), 2);
    assert!(values[0].contains("username=\"anybody\"") && values[0].contains("realm=\"home\""));
    assert!(values[1].contains("username=\"proxy-user\"") && values[1].contains("realm=\"proxy\""));
    // And a 401 that follows adds the server's own realm without losing the proxies'.
    client.take(401, &[MD5]).unwrap();
    assert_eq!(client.values().len(), 3);
}

#[test]
fn without_algorithm_it_is_md5_and_without_qop_the_old_form() {
    let mut client = Client::alice();
    client
        .take(401, &[r#"Digest realm="r", nonce="n", opaque="o""#])
        .unwrap();
    let [value] = client.values().try_into().unwrap();
    // MD5(MD5("alice:r:wonder"):n:MD5("REGISTER:sip:example.com")), by Python's hashlib.
    assert_eq!(
        value,
        "Digest username=\"alice\", realm=\"r\", nonce=\"n\", uri=\"sip:example.com\", \
         response=\"508dcf52012627b22b43848840a53dde\", opaque=\"o\""
    );
}

#[test]
fn the_nonce_count_goes_up_with_each_request_and_starts_anew_with_a_nonce() {
    let mut client = Client::alice();
    client.take(401, &[MD5]).unwrap();
    assert!(client.values()[0].contains("nc=00000001"));
    assert!(client.values()[0].contains("nc=00000002"));
    client.exchange = Exchange::default();
    client.take(401, &[&MD5.replace("n1", "n9")]).unwrap();
    assert!(client.values()[0].contains("nc=00000001"));
}

#[test]
fn the_same_nonce_refused_is_the_end_even_if_it_calls_itself_stale() {
    let mut client = Client::alice();
    client.take(401, &[MD5]).unwrap();
    client.send();
    let refused = Err(AuthError::Refused {
        realm: "r".to_owned(),
    });
    assert_eq!(client.take(401, &[MD5]), refused);
    // RFC 7616 §3.3: whoever says `stale` has not judged the password.
    let stale = Err(AuthError::Stale {
        realm: "r".to_owned(),
    });
    assert_eq!(client.take(401, &[&format!("{MD5}, stale=true")]), stale);
}

#[test]
fn a_new_nonce_without_stale_after_our_answer_is_a_refusal() {
    let mut client = Client::alice();
    client.take(401, &[MD5]).unwrap();
    client.send();
    assert!(matches!(
        client.take(401, &[&MD5.replace("n1", "n2")]),
        Err(AuthError::Refused { .. })
    ));
}

#[test]
fn each_new_stale_nonce_gets_one_retry_and_there_is_a_cap() {
    let mut client = Client::alice();
    client.take(401, &[MD5]).unwrap();
    client.send();
    let mut retries = 0;
    let end = loop {
        let stale = format!("{}, stale=true", MD5.replace("n1", &format!("s{retries}")));
        match client.take(401, &[&stale]) {
            Ok(()) => retries += 1,
            Err(error) => break error,
        }
        client.send();
        assert!(retries < 100, "endless");
    };
    assert_eq!(retries, 3);
    assert!(matches!(end, AuthError::Stale { .. }), "{end}");
}

#[test]
fn a_remembered_nonce_that_expired_may_be_refused_once_without_the_word_stale() {
    let mut client = Client::alice();
    client.take(401, &[MD5]).unwrap();
    client.send();
    // The next request uses the nonce at once; the server has forgotten it and never says stale.
    client.exchange = Exchange::default();
    client.send();
    client.take(401, &[&MD5.replace("n1", "n2")]).unwrap();
    client.send();
    assert!(matches!(
        client.take(401, &[&MD5.replace("n1", "n3")]),
        Err(AuthError::Refused { .. })
    ));
}

#[test]
fn case_15_ever_new_realms_do_not_make_an_endless_loop() {
    let mut client = Client::alice();
    let mut rounds = 0;
    while client
        .take(
            407,
            &[&format!(
                "Digest realm=\"r{rounds}\", nonce=\"n\", qop=\"auth\""
            )],
        )
        .is_ok()
    {
        client.send();
        rounds += 1;
        assert!(rounds < 100, "endless");
    }
    assert_eq!(rounds, 8);
}

#[test]
fn a_failure_of_one_request_leaves_the_others_alone() {
    let mut client = Client::alice();
    client.take(401, &[MD5]).unwrap();
    client.send();
    assert!(client.take(401, &[MD5]).is_err());
    client.exchange = Exchange::default();
    client.take(401, &[&MD5.replace("n1", "n2")]).unwrap();
    assert_eq!(client.values().len(), 1);
}

#[test]
fn what_cannot_be_answered_says_why() {
    let mut nobody = Client::new(vec![Credentials::new("a", "b").for_realm("other")]);
    assert_eq!(
        nobody.take(401, &[MD5]),
        Err(AuthError::NoCredentials {
            realm: "r".to_owned()
        })
    );
    assert_eq!(
        Client::alice().take(
            401,
            &[
                r#"Bearer realm="r""#,
                r#"Digest realm="r", nonce="n", algorithm=SHA3-256"#
            ]
        ),
        Err(AuthError::NothingKnown {
            offered: "Bearer, Digest SHA3-256".to_owned()
        })
    );
    assert!(matches!(
        Client::alice().take(401, &[]),
        Err(AuthError::NothingKnown { .. })
    ));
}

#[test]
fn a_peer_cannot_break_out_of_the_header() {
    let mut client = Client::alice();
    let response = b"SIP/2.0 401 Unauthorized\r\n\
        WWW-Authenticate: Digest realm=\"a\\\"b\", nonce=\"n\"\r\n\r\n";
    let Ok(Message::Response(response)) = Message::parse(response) else {
        panic!("not a response");
    };
    client
        .authenticator
        .handle_challenge(&response, &mut client.exchange)
        .unwrap();
    let request = client.send();
    assert!(request.try_to_bytes().is_ok());
    assert!(client.values()[0].contains(r#"realm="a\"b""#));
}

fn of_realm(realm: &str) -> String {
    format!("Digest realm=\"{realm}\", nonce=\"n\", algorithm=MD5")
}

/// Where pbx.example was found.
const PBX: &str = "192.0.2.9:5060";
const OWN: &str = "192.0.2.1:5060";
const STRANGER: &str = "192.0.2.66:5060";

fn path_to(address: &str) -> Path {
    Path {
        transport: Transport::Udp,
        remote: address.parse().unwrap(),
        local: "192.0.2.100:5060".parse().unwrap(),
    }
}

/// Whose name is shown to `realm` at this address, for a request to this URI by these Routes.
fn shown(
    logins: &[Credentials],
    home: &Home,
    (uri, routes, at): (&str, &[&str], &str),
    realm: &str,
) -> Option<String> {
    shown_after(401, logins, home, (uri, routes, at), realm)
}

/// The same where this is the answer that asks.
fn shown_after(
    status: u16,
    logins: &[Credentials],
    home: &Home,
    (uri, routes, at): (&str, &[&str], &str),
    realm: &str,
) -> Option<String> {
    let mut client = Client::new(logins.to_vec());
    client.authenticator = Authenticator::at_home(logins.to_vec(), home.clone());
    for (hop, found) in [
        ("sip:PBX.example", PBX),
        ("sip:pbx.example;maddr=192.0.2.66", STRANGER),
        ("sip:stranger.example", STRANGER),
    ] {
        let hop = Uri::parse(hop).unwrap();
        client.authenticator.learn(&hop, &[path_to(found)]);
    }
    client.exchange.goes_to(at.parse().unwrap());
    let mut request = Request::new(Method::Message, Uri::parse(uri).unwrap());
    for route in routes {
        request.headers.push(HeaderName::Route, *route);
    }
    client
        .authenticator
        .authorize(&mut request, &mut client.exchange, &mut client.tokens);
    client.take(status, &[&of_realm(realm)]).ok()?;
    client
        .authenticator
        .authorize(&mut request, &mut client.exchange, &mut client.tokens);
    let name = match status {
        401 => HeaderName::Authorization,
        _ => HeaderName::ProxyAuthorization,
    };
    let value = request.headers.get(name)?;
    let (_, rest) = value.split_once("username=\"")?;
    rest.split('"').next().map(str::to_owned)
}

#[test]
fn the_login_that_says_most_is_shown_then_the_accounts_own_then_a_guests() {
    let mut logins = vec![
        Credentials::guest(),
        Credentials::new("own", "p"),
        Credentials::new("by-server", "p").for_server("PBX.example."),
        Credentials::new("by-realm", "p").for_realm("sales"),
        Credentials::new("by-both", "p")
            .for_realm("sales")
            .for_server("pbx.example"),
    ];
    let mut home = Home::default();
    home.add_realm("home");
    home.add_address(OWN.parse().unwrap());
    let (proxy, evil) = ("<sip:proxy.example;lr>", "<sip:stranger.example;lr>");
    let straight: (&str, &[&str], &str) = ("sip:bob@pbx.example", &[], PBX);
    let by_ours: (&str, &[&str], &str) = ("sip:bob@pbx.example", &[proxy], OWN);
    let elsewhere: (&str, &[&str], &str) = ("sip:bob@example.net", &[], STRANGER);
    let cases = [
        (straight, "sales", "by-both"),
        (by_ours, "sales", "by-both"),
        (elsewhere, "sales", "by-realm"),
        (straight, "support", "by-server"),
        (by_ours, "support", "by-server"),
        // Our own proxy asks for our own login, wherever the request ends.
        (by_ours, "home", "own"),
        // A realm that anybody can write makes nobody one of our servers.
        (elsewhere, "home", "anonymous"),
        (straight, "home", "by-server"),
        (elsewhere, "stranger", "anonymous"),
        // Whatever the URI names, a stranger is where the request goes.
        (("sip:bob@pbx.example", &[evil], STRANGER), "x", "anonymous"),
        (
            ("sip:bob@pbx.example;maddr=192.0.2.66", &[], STRANGER),
            "x",
            "anonymous",
        ),
        // By our own proxy on to a stranger: what our proxy asks for is the account's own login.
        (("sip:bob@pbx.example", &[proxy, evil], OWN), "x", "own"),
    ];
    // RFC 3261 §22.2: whatever the order in which they are written down.
    for _ in 0..logins.len() {
        for (way, realm, user) in &cases {
            let found = shown(&logins, &home, *way, realm);
            assert_eq!(found.as_deref(), Some(*user), "{way:?} {realm}");
        }
        logins.rotate_left(1);
    }
    logins.retain(|login| !login.is_guest());
    assert_eq!(shown(&logins, &home, elsewhere, "stranger"), None);
}

#[test]
fn a_server_is_the_same_however_its_name_or_address_is_written() {
    for (written, meant) in [
        ("PBX.Example.", "pbx.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ] {
        let login = Credentials::new("alice", "p").for_server(written);
        assert_eq!(login.server(), Some(meant));
    }
}

#[test]
fn rfc3261_22_3_what_a_proxy_of_ours_asks_for_is_no_login_of_the_server_behind_it() {
    let logins = [
        Credentials::new("own", "p"),
        Credentials::new("pbx", "p").for_server("pbx.example"),
    ];
    let mut home = Home::default();
    home.add_address(OWN.parse().unwrap());
    let by_ours: (&str, &[&str], &str) = ("sip:bob@pbx.example", &["<sip:proxy.example;lr>"], OWN);
    let straight: (&str, &[&str], &str) = ("sip:bob@pbx.example", &[], PBX);
    // Before any registration no realm is known to be ours: the status tells who asks.
    for (way, status, user) in [
        (by_ours, 407, "own"),
        (by_ours, 401, "pbx"),
        // The server itself may ask as a proxy, when it is the one that the request went to.
        (straight, 407, "pbx"),
        (straight, 401, "pbx"),
    ] {
        let found = shown_after(status, &logins, &home, way, "anything");
        assert_eq!(found.as_deref(), Some(user), "{status} {way:?}");
    }
}

#[test]
fn a_guest_who_is_not_let_in_is_one_without_a_login() {
    let mut client = Client::new(vec![Credentials::guest()]);
    client.take(401, &[&of_realm("pbx")]).unwrap();
    assert!(client.values()[0].contains("username=\"anonymous\""));
    let again = "Digest realm=\"pbx\", nonce=\"m\", algorithm=MD5";
    let realm = "pbx".to_owned();
    assert_eq!(
        client.take(401, &[again]),
        Err(AuthError::NoCredentials { realm })
    );
}

#[test]
fn passwords_do_not_show() {
    let client = Client::alice();
    let shown = format!("{:?}", client.authenticator);
    assert!(!shown.contains("wonder"), "{shown}");
}

// ---- The server's side ----

fn verifier(algorithms: Vec<Algorithm>, proxy: bool) -> Verifier {
    Verifier::new(
        "r",
        algorithms,
        proxy,
        Duration::from_secs(60),
        &Seed::from_number(2),
    )
}

fn secret_of(user: &str) -> Option<String> {
    (user == "alice").then(|| "wonder".to_owned())
}

/// A client that has answered a challenge of this verifier.
fn answered(verifier: &mut Verifier, now: Instant, credentials: Credentials) -> Client {
    let mut client = Client::new(vec![credentials]);
    let values = verifier.challenge(now, false);
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    client.take(401, &values).unwrap();
    client
}

#[test]
fn several_algorithms_are_offered_strongest_first_with_one_nonce() {
    let mut verifier = verifier(vec![Algorithm::Md5, Algorithm::Sha256], false);
    let values = verifier.challenge(Instant::now(), true);
    assert_eq!(values.len(), 2);
    assert!(values[0].contains("algorithm=SHA-256"));
    assert!(values[1].contains("algorithm=MD5"));
    assert!(values.iter().all(|value| value.ends_with("stale=true")));
    let nonces: Vec<&str> = values.iter().filter_map(|v| v.split('"').nth(3)).collect();
    assert_eq!(nonces[0], nonces[1]);
}

#[test]
fn wrong_passwords_and_unknown_users_are_wrong() {
    let now = Instant::now();
    let mut verifier = verifier(vec![Algorithm::Sha256], false);
    for (user, secret) in [("alice", "guess"), ("mallory", "wonder"), ("mallory", "")] {
        let mut client = answered(&mut verifier, now, Credentials::new(user, secret));
        assert_eq!(
            verifier.check(now, &client.send(), secret_of),
            Verdict::Wrong {
                username: user.to_owned()
            }
        );
    }
}

#[test]
fn a_replayed_request_is_stale_and_the_next_count_is_fine() {
    let now = Instant::now();
    let mut verifier = verifier(vec![Algorithm::Sha256], false);
    let mut client = answered(&mut verifier, now, Credentials::new("alice", "wonder"));
    let first = client.send();
    let accepted = Verdict::Accepted {
        username: "alice".to_owned(),
    };
    assert_eq!(verifier.check(now, &first, secret_of), accepted);
    assert_eq!(verifier.check(now, &first, secret_of), Verdict::Stale);
    assert_eq!(verifier.check(now, &client.send(), secret_of), accepted);
}

#[test]
fn an_old_nonce_is_stale_and_is_forgotten() {
    let now = Instant::now();
    let mut verifier = verifier(vec![Algorithm::Sha256], false);
    let mut client = answered(&mut verifier, now, Credentials::new("alice", "wonder"));
    let later = now + Duration::from_secs(60);
    assert_eq!(
        verifier.check(later, &client.send(), secret_of),
        Verdict::Stale
    );
    assert_eq!(verifier.nonces(), 0);
}

#[test]
fn a_changed_body_breaks_auth_int() {
    let now = Instant::now();
    let mut verifier = verifier(vec![Algorithm::Sha256], false);
    let values = verifier.challenge(now, false);
    let values = values[0].replace("auth,auth-int", "auth-int");
    let mut client = Client::alice();
    client.take(401, &[&values]).unwrap();
    let mut request = client.send();
    request.body = b"changed on the way".to_vec();
    assert!(matches!(
        verifier.check(now, &request, secret_of),
        Verdict::Wrong { .. }
    ));
}

#[test]
fn no_credentials_for_our_realm_are_missing_and_broken_ones_malformed() {
    let now = Instant::now();
    let mut verifier = verifier(vec![Algorithm::Sha256], false);
    let mut request = register();
    assert_eq!(verifier.check(now, &request, secret_of), Verdict::Missing);
    request
        .headers
        .push(HeaderName::Authorization, "Digest realm=\"other\"");
    assert_eq!(verifier.check(now, &request, secret_of), Verdict::Missing);
    request.headers.push(
        HeaderName::Authorization,
        "Digest realm=\"r\", username=\"a\"",
    );
    assert_eq!(verifier.check(now, &request, secret_of), Verdict::Malformed);
}

#[test]
fn challenges_that_nobody_answers_leave_nothing_behind_and_push_nobody_out() {
    let now = Instant::now();
    let mut verifier = verifier(vec![Algorithm::Md5], false);
    let mut client = answered(&mut verifier, now, Credentials::new("alice", "wonder"));
    for _ in 0..100_000 {
        verifier.challenge(now, false);
    }
    assert_eq!(verifier.nonces(), 0);
    let verdict = verifier.check(now, &client.send(), secret_of);
    assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
    assert_eq!(verifier.nonces(), 1);
}

#[test]
fn answered_nonces_are_bounded_and_a_forgotten_one_cannot_be_replayed() {
    let now = Instant::now();
    let mut verifier = verifier(vec![Algorithm::Md5], false);
    let login = |verifier: &mut Verifier| {
        let mut client = answered(verifier, now, Credentials::new("alice", "wonder"));
        let request = client.send();
        let verdict = verifier.check(now, &request, secret_of);
        assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
        request
    };
    let first = login(&mut verifier);
    for _ in 0..16_384 {
        // Everything is made in the same moment: only the last of them may be told apart.
        let mut client = answered(&mut verifier, now, Credentials::new("alice", "wonder"));
        verifier.check(now, &client.send(), secret_of);
    }
    assert_eq!(verifier.nonces(), 16_384);
    assert_eq!(verifier.check(now, &first, secret_of), Verdict::Stale);
}

#[test]
fn a_nonce_that_was_not_made_here_is_stale() {
    let now = Instant::now();
    let mut ours = verifier(vec![Algorithm::Md5], false);
    let algorithms = vec![Algorithm::Md5];
    let life = Duration::from_secs(60);
    let mut other = Verifier::new("r", algorithms, false, life, &Seed::from_number(3));
    let mut client = answered(&mut other, now, Credentials::new("alice", "wonder"));
    ours.challenge(now, false);
    assert_eq!(
        ours.check(now, &client.send(), secret_of),
        Verdict::Stale,
        "right password, foreign nonce"
    );
}

#[test]
fn what_our_own_servers_asked_for_is_not_shown_to_strangers() {
    let ours = SocketAddr::from(([192, 0, 2, 1], 5060));
    let stranger = SocketAddr::from(([192, 0, 2, 66], 5060));
    let mut home = Home::new(vec![Uri::parse("sip:example.com").unwrap()]);
    home.add_address(ours);
    let mut client = Client::new(Vec::new());
    client.authenticator = Authenticator::at_home(vec![Credentials::new("alice", "w")], home);
    client.exchange.goes_to(ours);
    let challenge = "Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\"";
    client.take(407, &[challenge]).unwrap();
    assert_eq!(
        client.values().len(),
        1,
        "a realm unlike the domain is fine"
    );
    client.exchange = Exchange::default();
    client.exchange.goes_to(stranger);
    assert!(client.values().is_empty());
    assert_eq!(
        client.take(401, &[challenge]),
        Err(AuthError::NoCredentials {
            realm: "pbx".to_owned()
        })
    );
}

#[test]
fn knowing_our_realm_makes_nobody_one_of_our_servers() {
    let ours = SocketAddr::from(([192, 0, 2, 1], 5060));
    let stranger = SocketAddr::from(([192, 0, 2, 66], 5060));
    let challenge = "Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\"";
    for (peer, answered) in [(ours, true), (stranger, false)] {
        let mut client = registered_client(None);
        client.exchange.goes_to(peer);
        assert_eq!(client.take(401, &[challenge]).is_ok(), answered, "{peer}");
    }
}

/// Alice, whose registration was granted in the realm `pbx` at 192.0.2.1, and so shown.
fn registered_client(floor: Option<Strength>) -> Client {
    let ours = SocketAddr::from(([192, 0, 2, 1], 5060));
    let mut home = Home::new(vec![Uri::parse("sip:example.com").unwrap()]);
    home.add_address(ours);
    home.add_realm("pbx");
    home.set_floor(floor);
    let mut client = Client::new(Vec::new());
    let login = vec![Credentials::new("alice", "w")];
    client.authenticator = Authenticator::at_home(login, home);
    client.exchange.goes_to(ours);
    client
}

#[test]
fn the_password_is_shown_in_no_weaker_way_than_the_registration_showed_it() {
    let md5 = "Digest realm=\"pbx\", nonce=\"n\"";
    let md5_qop = "Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\"";
    let sess = "Digest realm=\"pbx\", nonce=\"n\", algorithm=MD5-sess";
    let sha = "Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256";
    let sha_qop = "Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256";
    let best = "Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\", algorithm=SHA-512-256";
    let all = [md5, md5_qop, sess, sha, sha_qop, best];
    // What the registrar asked for, then who of all those gets an answer.
    for (granted, answered) in [
        (md5, [true; 6]),
        (md5_qop, [false, true, true, false, true, true]),
        (sha, [false, false, false, true, true, true]),
        (sha_qop, [false, false, false, false, true, true]),
        (best, [false, false, false, false, false, true]),
    ] {
        let mut registering = Client::alice();
        registering.take(401, &[granted]).unwrap();
        let floor = registering.authenticator.weakest();
        for (challenge, answered) in all.into_iter().zip(answered) {
            for status in [401, 407] {
                let mut client = registered_client(floor);
                let taken = client.take(status, &[challenge]);
                let realm = "pbx".to_owned();
                let expected = if answered {
                    Ok(())
                } else {
                    Err(AuthError::Weaker { realm })
                };
                assert_eq!(taken, expected, "{granted}, then {challenge}");
            }
        }
    }
}

#[test]
fn another_realm_is_no_way_around_and_a_login_of_its_own_is_one() {
    let floor = Strength { hash: 1, qop: true };
    let challenge = "Digest realm=\"lure\", nonce=\"n\"";
    let mut client = registered_client(Some(floor));
    let realm = "lure".to_owned();
    assert_eq!(
        client.take(407, &[challenge]),
        Err(AuthError::Weaker { realm })
    );
    let mut client = registered_client(Some(floor));
    let login = Credentials::new("alice", "other").for_realm("lure");
    client.authenticator.add_credentials(login);
    assert_eq!(client.take(407, &[challenge]), Ok(()));
}

#[test]
fn two_realms_on_the_way_to_the_registrar_leave_what_both_have() {
    let mut registering = Client::alice();
    let proxy = "Digest realm=\"edge\", nonce=\"n\", algorithm=SHA-256";
    let registrar = "Digest realm=\"pbx\", nonce=\"n\", qop=\"auth\", algorithm=MD5";
    registering.take(407, &[proxy]).unwrap();
    registering.take(401, &[registrar]).unwrap();
    let both = Strength {
        hash: 0,
        qop: false,
    };
    assert_eq!(registering.authenticator.weakest(), Some(both));
    assert_eq!(Client::alice().authenticator.weakest(), None);
}

#[test]
fn a_server_is_known_by_host_and_port_in_any_writing() {
    let uri = |text: &str| Uri::parse(text).unwrap();
    let home = Home::new(vec![uri("sip:Example.com"), uri("sips:pbx.example.org")]);
    for ours in [
        "sip:example.com",
        "sip:bob@EXAMPLE.com.",
        "sip:example.com:5060;lr",
        "sip:pbx.example.org:5061",
    ] {
        assert!(home.is_server(&uri(ours)), "{ours}");
    }
    for strange in [
        "sip:example.org",
        "sip:example.com:5070",
        "sip:example.com.evil.test",
        "sip:example.com@evil.test",
        "sip:bob@example.com;maddr=192.0.2.66",
        "tel:+123",
    ] {
        assert!(!home.is_server(&uri(strange)), "{strange}");
    }
}

// ---- RFC 7616 §3.5 and RFC 7615: Authentication-Info ----

impl Client {
    /// The server lets the request in and says this.
    fn let_in(&mut self, code: u16, name: HeaderName, value: &str) {
        let mut response = Response::new(StatusCode::new(code).unwrap());
        response.headers.push(&name, value);
        self.authenticator.handle_success(&response, &self.exchange);
    }

    /// The one value of the request that comes next.
    fn next_value(&mut self) -> String {
        self.exchange = Exchange::default();
        let values = self.values();
        assert_eq!(values.len(), 1, "{values:?}");
        values.into_iter().next().unwrap()
    }
}

#[test]
fn rfc7616_3_5_the_next_nonce_is_that_of_the_next_request() {
    for (code, name) in [
        (401, HeaderName::AuthenticationInfo),
        (407, HeaderName::ProxyAuthenticationInfo),
    ] {
        let mut client = Client::alice();
        client.take(code, &[MD5]).unwrap();
        assert!(client.values()[0].contains("nonce=\"n1\""));
        client.let_in(200, name.clone(), "nextnonce=\"n9\", qop=auth, nc=00000001");
        let value = client.next_value();
        assert!(value.contains("nonce=\"n9\""), "{value}");
        assert!(value.contains("nc=00000001"), "{value}");
        // The one after it goes on counting, and the server may change it whenever it likes.
        assert!(client.next_value().contains("nc=00000002"));
        client.let_in(200, name, "NextNonce = \"n10\"");
        assert!(client.next_value().contains("nonce=\"n10\""));
    }
}

/// What the digest is computed over is the new nonce, so that the server that gave it out accepts the answer.
#[test]
fn the_next_nonce_goes_into_the_answer() {
    let mut client = Client::alice();
    client.take(401, &[SHA256]).unwrap();
    let first = client.values().remove(0);
    client.let_in(200, HeaderName::AuthenticationInfo, "nextnonce=\"n2\"");
    assert!(
        client.next_value().contains("nc=00000002"),
        "the same nonce counts on"
    );
    client.let_in(200, HeaderName::AuthenticationInfo, "nextnonce=\"n3\"");
    let next = client.next_value();
    let response = |value: &str| {
        let (_, rest) = value.split_once("response=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    assert_ne!(response(&first), response(&next));
    // A refusal of it is one of the nonce: it was not handed out for this request.
    let stale = SHA256.replace("n2", "n4");
    assert_eq!(client.take(401, &[&stale]), Ok(()));
}

#[test]
fn a_next_nonce_is_not_taken_from_just_anybody() {
    let taken = |client: &mut Client| client.next_value().contains("nonce=\"n9\"");
    let next = "nextnonce=\"n9\"";
    let answered = |mut client: Client| {
        client.take(401, &[MD5]).unwrap();
        client.values();
        client
    };
    // What lets nobody in.
    let mut client = answered(Client::alice());
    client.let_in(403, HeaderName::AuthenticationInfo, next);
    assert!(!taken(&mut client));
    // A proxy has nothing to say for the server at the end.
    let mut client = answered(Client::alice());
    client.let_in(200, HeaderName::ProxyAuthenticationInfo, next);
    assert!(!taken(&mut client));
    // Which of two realms?
    let mut client = Client::new(vec![
        Credentials::new("alice", "wonder"),
        Credentials::new("alice", "land").for_realm("other"),
    ]);
    let other = MD5.replace("\"r\"", "\"other\"");
    client.take(401, &[MD5, &other]).unwrap();
    assert_eq!(client.values().len(), 2);
    client.let_in(200, HeaderName::AuthenticationInfo, next);
    assert!(
        client
            .values()
            .iter()
            .all(|value| value.contains("nonce=\"n1\""))
    );
    // A request that may end anywhere: whoever answers it could be a stranger.
    let mut client = Client::alice();
    client.authenticator =
        Authenticator::at_home(vec![Credentials::new("alice", "wonder")], Home::default());
    client.take(401, &[MD5]).unwrap_err();
    client.let_in(200, HeaderName::AuthenticationInfo, next);
    assert_eq!(client.values(), [""; 0]);
    // Nothing at all, or without end.
    let long = format!("nextnonce=\"{}\"", "9".repeat(2_000));
    for value in ["nextnonce=\"\"", "nextnonce", "", "rspauth=\"n9\"", &long] {
        let mut client = answered(Client::alice());
        client.let_in(200, HeaderName::AuthenticationInfo, value);
        assert!(client.next_value().contains("nonce=\"n1\""), "{value}");
    }
}
