//! STUN bindings: who asks us, and whom we ask to keep a way of datagrams open.

use std::net::SocketAddr;
use std::sync::Arc;

use sip_core::FlowId;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use super::{Event, Keepalive, Shared};
use crate::connection::{spread, until};
use crate::datagram::{self, same_addr};
use crate::stun::{self, Binding, TransactionId};

/// How often a STUN request is sent (RFC 8489 §6.2.1).
const STUN_TRIES: u32 = 7;
/// How many first waits the last STUN request gets (RFC 8489 §6.2.1).
const STUN_LAST: u32 = 16;

/// Reads the STUN messages of sockets that somebody else reads.
#[derive(Clone)]
pub struct Stun(pub(super) Arc<Shared>);

impl std::fmt::Debug for Stun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stun").finish_non_exhaustive()
    }
}

impl Stun {
    /// Whether a datagram is STUN; if so it is dealt with. `socket` is where it came to.
    pub fn takes(&self, socket: &UdpSocket, remote: SocketAddr, datagram: &[u8]) -> bool {
        let is_stun = stun::is_stun(datagram);
        if is_stun {
            on_stun(&self.0, socket, remote, datagram);
        }
        is_stun
    }
}

pub(super) fn on_stun(shared: &Shared, socket: &UdpSocket, remote: SocketAddr, bytes: &[u8]) {
    let (id, mapped) = match Binding::read(bytes) {
        Some(Binding::Request(id)) if shared.limits.answers_stun => {
            let answer = Binding::Success(id, Some(remote)).to_bytes();
            // Lost or refused: whoever asks does so again.
            let _ = datagram::send(socket, remote, &answer);
            return;
        }
        Some(Binding::Success(id, mapped)) => (id, mapped),
        Some(Binding::Error(id)) => (id, None),
        _ => return,
    };
    let mut table = shared.table();
    let is_expected = table
        .asked
        .get(&id)
        .is_some_and(|(asked, _)| same_addr(*asked, remote));
    if is_expected && let Some((_, waiting)) = table.asked.remove(&id) {
        let _ = waiting.send(mapped);
    }
}

pub(super) async fn keep_alive(
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    flow: FlowId,
    remote: SocketAddr,
    keepalive: Keepalive,
) {
    let mut known = None;
    let mut keepalive = keepalive;
    let mut has_answered = false;
    if let Keepalive::StunOrCrlf(every) = keepalive {
        until(spread(Some(every))).await;
    }
    loop {
        let every = match keepalive {
            Keepalive::Crlf(every) => {
                until(spread(Some(every))).await;
                let _ = datagram::send(&socket, remote, b"\r\n\r\n");
                continue;
            }
            Keepalive::Stun(every) | Keepalive::StunOrCrlf(every) => every,
        };
        match ask_where(&shared, &socket, remote).await {
            Some(mapped) => {
                has_answered = true;
                if let Some(mapped) = mapped
                    && known.replace(mapped) != Some(mapped)
                {
                    shared.tell(Event::Mapped {
                        flow,
                        remote,
                        mapped,
                    });
                }
            }
            None if !has_answered && matches!(keepalive, Keepalive::StunOrCrlf(_)) => {
                keepalive = Keepalive::Crlf(every);
                continue;
            }
            None => {
                shared.tell(Event::FlowFailed { flow, remote });
                return;
            }
        }
        until(spread(Some(every))).await;
    }
}

/// One STUN transaction: `None` when nobody answered.
async fn ask_where(
    shared: &Arc<Shared>,
    socket: &UdpSocket,
    remote: SocketAddr,
) -> Option<Option<SocketAddr>> {
    let mut id = [0; 12];
    getrandom::fill(&mut id).ok()?;
    let id = TransactionId(id);
    let (waiting, mut answer) = oneshot::channel();
    shared.table().asked.insert(id, (remote, waiting));
    let _asked = Asked {
        shared: Arc::clone(shared),
        id,
    };
    let request = Binding::Request(id).to_bytes();
    let mut wait = shared.limits.stun_first;
    for this in 1..=STUN_TRIES {
        // What cannot be sent now may be sent a little later.
        let _ = datagram::send(socket, remote, &request);
        let patience = if this == STUN_TRIES {
            shared.limits.stun_first * STUN_LAST
        } else {
            wait
        };
        if let Ok(answered) = tokio::time::timeout(patience, &mut answer).await {
            return answered.ok();
        }
        wait *= 2;
    }
    None
}

/// Takes a STUN request off the list, however its wait ends.
struct Asked {
    shared: Arc<Shared>,
    id: TransactionId,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.shared.table().asked.remove(&self.id);
    }
}
