//! SIP over WebSocket (RFC 7118): the upgrade with subprotocol `sip`, on both sides.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{self, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::error::{Error, WebSocketError};
use crate::limits::Limits;
use crate::tls::tls_error;

/// The subprotocol (RFC 7118 §4.1).
const SIP: &str = "sip";
/// What is read at a time.
const READ_BUFFER: usize = 8 * 1024;
/// How many protocols a client may offer that are looked at.
const OFFERS: usize = 32;

/// Asks the server for a WebSocket. `host` is the domain that was asked for, if one was.
pub(crate) async fn connect<S>(
    stream: S,
    host: Option<&str>,
    remote: SocketAddr,
    resource: &str,
    secure: bool,
    limits: &Limits,
) -> Result<WebSocketStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(host, remote, resource, secure)
        .map_err(|e| Error::Unusable(format!("no WebSocket can be asked for: {e}")))?;
    let asking = tokio_tungstenite::client_async_with_config(request, stream, Some(config(limits)));
    patiently(limits.handshake, asking).await.map(|(ws, _)| ws)
}

/// Answers a client that asks for a WebSocket at this address of ours: with 400 when it does not want SIP on it, with 403
/// when it is a page that has no business here.
pub(crate) async fn accept<S>(
    stream: S,
    local: IpAddr,
    limits: &Limits,
) -> Result<WebSocketStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The type is the library's own.
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, mut response: Response| {
        let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        let wants_sip = offers
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .take(OFFERS)
            .any(|offer| offer.trim().eq_ignore_ascii_case(SIP));
        if let Some(page) = foreign_page(request, local, &limits.pages) {
            let words = format!("pages of {page} have no business here\n");
            let mut refusal = ErrorResponse::new(Some(words));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            return Err(refusal);
        }
        if wants_sip {
            let chosen = HeaderValue::from_static(SIP);
            response
                .headers_mut()
                .insert(SEC_WEBSOCKET_PROTOCOL, chosen);
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some("subprotocol \"sip\" is required\n".to_owned()));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        Err(refusal)
    };
    let accepting =
        tokio_tungstenite::accept_hdr_async_with_config(stream, choose, Some(config(limits)));
    patiently(limits.handshake, accepting).await
}

/// Where the page is from that asks, if it is none of ours: a browser says so (RFC 6455 §10.2), and would else let any
/// page in the world speak SIP to this machine in the name of who looks at it. Phones have no page. What the browser
/// believes this machine to be called proves nothing: whoever owns a name can have it lead here.
fn foreign_page(request: &Request, local: IpAddr, pages: &[String]) -> Option<String> {
    let origin = request.headers().get(ORIGIN)?.to_str().unwrap_or("?");
    let page = origin.parse::<http::Uri>().ok();
    let page = page.as_ref().and_then(http::Uri::host);
    let own = page.is_some_and(|page| is_ours(page, local, pages));
    (!own).then(|| origin.chars().take(80).collect())
}

/// Whether a page from this host is one of ours: from an address, which no name server hands out, the very one that is
/// asked; from whoever looks at it; or from a host that we were told of.
fn is_ours(page: &str, local: IpAddr, pages: &[String]) -> bool {
    let bare = page
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare.unwrap_or(page).parse::<IpAddr>() {
        Ok(address) if address.to_canonical() == local.to_canonical() => true,
        Ok(address) if address.is_loopback() => true,
        _ if page.eq_ignore_ascii_case("localhost") => true,
        _ => pages.iter().any(|told| told.eq_ignore_ascii_case(page)),
    }
}

fn request(
    host: Option<&str>,
    remote: SocketAddr,
    resource: &str,
    secure: bool,
) -> Result<http::Request<()>, http::Error> {
    let (scheme, usual_port) = if secure { ("wss", 443) } else { ("ws", 80) };
    let authority = match host {
        Some(host) if remote.port() == usual_port => host.to_owned(),
        Some(host) => format!("{host}:{}", remote.port()),
        // Scope ids are for this machine only.
        None => SocketAddr::new(remote.ip(), remote.port()).to_string(),
    };
    http::Request::builder()
        .uri(format!("{scheme}://{authority}{resource}"))
        .header("Host", authority)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .header(SEC_WEBSOCKET_PROTOCOL, SIP)
        .body(())
}

fn config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(limits.queued_octets.saturating_add(2 * limits.message))
        .max_message_size(Some(limits.message))
        .max_frame_size(Some(limits.message))
}

async fn patiently<T>(
    patience: Duration,
    handshake: impl Future<Output = Result<T, WsError>>,
) -> Result<T, Error> {
    match tokio::time::timeout(patience, handshake).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(of_handshake(&error)),
        Err(_) => Err(WebSocketError::TimedOut.into()),
    }
}

fn of_handshake(error: &WsError) -> Error {
    Error::WebSocket(match error {
        WsError::Http(response) => WebSocketError::Status {
            status: response.status().as_u16(),
            phrase: response
                .status()
                .canonical_reason()
                .unwrap_or_default()
                .to_owned(),
        },
        WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => {
            WebSocketError::SubprotocolMissing
        }
        WsError::Protocol(ProtocolError::HandshakeIncomplete) => {
            WebSocketError::Handshake("the other side closed the connection".to_owned())
        }
        WsError::Protocol(ProtocolError::HttparseError(_)) => {
            WebSocketError::Handshake("the other side does not speak HTTP".to_owned())
        }
        WsError::Io(error) => match tls_error(error, false) {
            Some(error) => return error.into(),
            None => WebSocketError::Handshake(error.to_string()),
        },
        other => WebSocketError::Handshake(other.to_string()),
    })
}

/// Why a WebSocket that was up is no more.
pub(crate) fn of_flow(error: &WsError) -> Error {
    match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Error::Closed,
        WsError::Io(error) => {
            tls_error(error, false).map_or_else(|| Error::of_connection(error), Error::from)
        }
        WsError::WriteBufferFull(_) => Error::SlowReader,
        other => Error::Unframed(other.to_string()),
    }
}
