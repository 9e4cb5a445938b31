//! The way up: TCP, then TLS where there is TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use sip_core::Path;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::{Beginning, Door, Towards};
use crate::error::{ConnectError, Error, Step};
use crate::limits::Limits;
use crate::tls::Secured;

/// A stream of any kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A stream that is ready for SIP or for a WebSocket.
pub(super) struct Begun {
    pub(super) stream: Box<dyn Io>,
    pub(super) secured: Option<Secured>,
    /// `None` on the side of the server.
    pub(super) towards: Option<Towards>,
}

pub(super) async fn begin(
    path: &Path,
    beginning: Beginning,
    limits: &Limits,
    on_step: impl Fn(Step),
) -> Result<Begun, Error> {
    match beginning {
        Beginning::Open(towards) => {
            let patience = towards
                .connect
                .unwrap_or(limits.connect)
                .min(limits.connect);
            let stream = open(path, patience, limits.unacknowledged).await?;
            if !path.transport.is_secure() {
                return Ok(Begun {
                    stream: Box::new(stream),
                    secured: None,
                    towards: Some(towards),
                });
            }
            let Some(tls) = &towards.tls else {
                return Err(Error::Unusable("TLS is not set up".to_owned()));
            };
            let domain = match &towards.domain {
                Some(domain) => domain.clone(),
                None => path.remote.ip().to_string(),
            };
            on_step(Step::Tls);
            let (stream, secured) = tls.connect(&domain, stream, limits.handshake).await?;
            Ok(Begun {
                stream: Box::new(stream),
                secured: Some(secured),
                towards: Some(towards),
            })
        }
        Beginning::Accepted(stream, door) => {
            // SIP messages are whole thoughts: waiting to fill a segment only delays them.
            let _ = stream.set_nodelay(true);
            give_up_after(&stream, limits.unacknowledged);
            match door {
                Door::Tcp | Door::Ws => Ok(Begun {
                    stream: Box::new(stream),
                    secured: None,
                    towards: None,
                }),
                Door::Tls(tls) | Door::Wss(tls) => {
                    let (stream, secured) = tls.accept(stream, limits.handshake).await?;
                    Ok(Begun {
                        stream: Box::new(stream),
                        secured: Some(secured),
                        towards: None,
                    })
                }
            }
        }
    }
}

async fn open(
    path: &Path,
    patience: Duration,
    unacknowledged: Duration,
) -> Result<TcpStream, Error> {
    let connecting = connect_from(path.local, path.remote);
    let stream = tokio::time::timeout(patience, connecting)
        .await
        .map_err(|_| ConnectError::TimedOut)?
        .map_err(|e| Error::of_connecting(&e))?;
    let _ = stream.set_nodelay(true);
    give_up_after(&stream, unacknowledged);
    Ok(stream)
}

/// A router that has lost its state, or a server that has gone, says nothing: what is written goes nowhere, and without
/// this the system goes on trying for a quarter of an hour.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn give_up_after(stream: &TcpStream, unacknowledged: Duration) {
    // Without it the silence after a request tells.
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(unacknowledged));
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn give_up_after(_: &TcpStream, _: Duration) {}

/// Connects from the address that our Via names; where that is none of this machine, from whichever
/// the system takes.
async fn connect_from(local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    let mut local = local;
    local.set_port(0);
    if local.is_ipv4() == remote.is_ipv4() && !local.ip().is_unspecified() {
        let _ = socket.bind(local);
    }
    socket.connect(remote).await
}

/// Counts what is read.
pub(super) struct Metered {
    pub(super) inner: Box<dyn Io>,
    pub(super) read: Arc<AtomicU64>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        self.read
            .fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(all(test, any(target_os = "android", target_os = "linux")))]
mod tests {
    use super::*;

    /// RFC 5482 §3.3: it is the side that sends which is to give up.
    #[tokio::test]
    async fn the_system_is_told_when_to_give_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a listener");
        let remote = listener.local_addr().expect("bound");
        let path = Path {
            transport: sip_core::Transport::Tcp,
            remote,
            local: remote,
        };
        let limits = Limits::default();
        let opened = open(&path, limits.connect, limits.unacknowledged);
        let opened = opened.await.expect("a connection");
        let after = socket2::SockRef::from(&opened).tcp_user_timeout();
        assert_eq!(after.expect("it tells"), Some(Duration::from_secs(10)));
    }
}
