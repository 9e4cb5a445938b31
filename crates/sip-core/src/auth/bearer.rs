//! Bearer tokens (RFC 8898): what a server asks for, and when a token is shown.

use sip_message::{HeaderName, Response};

use super::challenge::parse_schemes;

/// A server asks for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BearerChallenge {
    /// Whether a proxy asks rather than the server at the end.
    pub proxy: bool,
    /// In whose name.
    pub realm: String,
    /// Where a token can be had: an https URI (RFC 8898 §3).
    pub authz_server: Option<String>,
    /// What the token has to be good for.
    pub scope: Option<String>,
    /// What was wrong with the token shown: `invalid_token`, `insufficient_scope`, …
    pub error: Option<String>,
}

/// Challenges taken from one response.
const MOST: usize = 8;

/// The bearer challenges of a 401 or 407, one for each realm and kind of asker.
pub(super) fn challenges(response: &Response) -> Vec<BearerChallenge> {
    let mut all: Vec<BearerChallenge> = Vec::new();
    for (name, proxy) in [
        (HeaderName::WwwAuthenticate, false),
        (HeaderName::ProxyAuthenticate, true),
    ] {
        for scheme in response.headers.get_all(name).flat_map(parse_schemes) {
            let Some(realm) = scheme
                .value("realm")
                .filter(|_| scheme.scheme.eq_ignore_ascii_case("Bearer") && all.len() < MOST)
            else {
                continue;
            };
            if all.iter().any(|c| c.proxy == proxy && c.realm == realm) {
                continue;
            }
            let value = |name| scheme.value(name).map(str::to_owned);
            all.push(BearerChallenge {
                proxy,
                realm: realm.to_owned(),
                authz_server: value("authz_server"),
                scope: value("scope"),
                error: value("error"),
            });
        }
    }
    all
}

/// Whether it is a token that can stand in a header (RFC 6750 §2.1).
pub(super) fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use sip_message::{HeaderName, Method, Request, Response, StatusCode, Uri};

    use crate::auth::{AuthError, Authenticator, Credentials, Exchange, Home};
    use crate::tokens::{Seed, Tokens};

    const BEARER: &str =
        "Bearer realm=\"example.com\", scope=\"sip\", authz_server=\"https://idp.example.com/\"";
    const DIGEST: &str = "Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\"";

    fn challenge(values: &[&str]) -> Response {
        let mut response = Response::new(StatusCode::UNAUTHORIZED);
        for value in values {
            response.headers.push(HeaderName::WwwAuthenticate, value);
        }
        response
    }

    fn secured() -> Exchange {
        let mut exchange = Exchange::default();
        exchange.goes_to("192.0.2.1:5061".parse().unwrap());
        exchange.set_secure(true);
        exchange
    }

    fn token() -> Credentials {
        Credentials::bearer("mF_9.B5f-4.1JqM==").unwrap()
    }

    fn authorized(authenticator: &mut Authenticator, exchange: &mut Exchange) -> Vec<String> {
        let uri = Uri::parse("sip:example.com").unwrap();
        let mut request = Request::new(Method::Register, uri);
        let mut tokens = Tokens::new(&Seed::from_number(1));
        authenticator.authorize(&mut request, exchange, &mut tokens);
        let values = request.headers.get_all(HeaderName::Authorization);
        values.map(str::to_owned).collect()
    }

    /// RFC 8898 §2.1.1.
    #[test]
    fn a_token_is_shown_to_who_asks_for_one_and_before_a_password() {
        let password = Credentials::new("alice", "wonder");
        let mut authenticator = Authenticator::new(vec![password, token()]);
        let mut exchange = secured();
        let asked = challenge(&[DIGEST, BEARER]);
        authenticator
            .handle_challenge(&asked, &mut exchange)
            .unwrap();
        assert_eq!(
            authorized(&mut authenticator, &mut exchange),
            ["Bearer mF_9.B5f-4.1JqM=="]
        );
        let told = authenticator.token_wanted().unwrap();
        assert_eq!(
            told.authz_server.as_deref(),
            Some("https://idp.example.com/")
        );
        assert_eq!(told.scope.as_deref(), Some("sip"));
        // The requests that follow carry it at once.
        assert_eq!(authorized(&mut authenticator, &mut secured()).len(), 1);
    }

    #[test]
    fn a_token_refused_is_not_shown_again_and_the_password_is_tried() {
        let password = Credentials::new("alice", "wonder");
        let mut authenticator = Authenticator::new(vec![token(), password]);
        let mut exchange = secured();
        let asked = challenge(&[BEARER, DIGEST]);
        authenticator
            .handle_challenge(&asked, &mut exchange)
            .unwrap();
        authorized(&mut authenticator, &mut exchange);
        let refused = challenge(&[&format!("{BEARER}, error=\"invalid_token\""), DIGEST]);
        authenticator
            .handle_challenge(&refused, &mut exchange)
            .unwrap();
        assert_eq!(
            authenticator.token_wanted().unwrap().error.as_deref(),
            Some("invalid_token")
        );
        let shown = authorized(&mut authenticator, &mut exchange);
        assert!(
            shown.len() == 1 && shown[0].starts_with("Digest "),
            "{shown:?}"
        );
        // Where nothing else is offered it is a refusal.
        let mut only = Authenticator::new(vec![token()]);
        let mut exchange = secured();
        only.handle_challenge(&challenge(&[BEARER]), &mut exchange)
            .unwrap();
        authorized(&mut only, &mut exchange);
        assert_eq!(
            only.handle_challenge(&challenge(&[BEARER]), &mut exchange),
            Err(AuthError::Refused {
                realm: "example.com".to_owned()
            })
        );
    }

    #[test]
    fn a_token_is_shown_neither_in_the_open_nor_to_strangers_nor_as_a_password() {
        let mut open = Exchange::default();
        open.goes_to("192.0.2.1:5060".parse().unwrap());
        let asked = challenge(&[BEARER]);
        for (mut authenticator, mut exchange) in [
            (Authenticator::new(vec![token()]), open),
            (
                Authenticator::at_home(vec![token()], Home::default()),
                secured(),
            ),
            (
                Authenticator::new(vec![Credentials::new("alice", "wonder")]),
                secured(),
            ),
        ] {
            assert!(matches!(
                authenticator.handle_challenge(&asked, &mut exchange),
                Err(AuthError::NothingKnown { .. })
            ));
            assert!(authorized(&mut authenticator, &mut exchange).is_empty());
            assert!(authenticator.token_wanted().is_some());
        }
        let mut only_token = Authenticator::new(vec![token()]);
        assert!(matches!(
            only_token.handle_challenge(&challenge(&[DIGEST]), &mut secured()),
            Err(AuthError::NoCredentials { .. })
        ));
    }

    #[test]
    fn a_token_shown_over_tls_is_not_shown_again_in_the_open() {
        let mut authenticator = Authenticator::new(vec![token()]);
        let mut exchange = secured();
        authenticator
            .handle_challenge(&challenge(&[BEARER]), &mut exchange)
            .unwrap();
        assert_eq!(authorized(&mut authenticator, &mut exchange).len(), 1);
        assert!(authorized(&mut authenticator, &mut Exchange::default()).is_empty());
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "==", "a b", "a\r\nX: y", "a\"b", "ä"] {
            assert!(Credentials::bearer(text).is_none(), "{text:?}");
        }
        assert_eq!(
            format!("{:?}", token()),
            "Credentials { realm: None, server: None, .. }"
        );
    }
}
