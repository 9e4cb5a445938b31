//! Datagrams that found nobody (RFC 3261 §18.4): a host that has no listener at a port says so with
//! an ICMP message, within milliseconds, where a transaction alone would wait for 32 seconds.
//!
//! ```text
//! request ──▶ socket ──▶ closed port           Unanswered: branch → where it went, whose it is
//!                 ▲           │ ICMP, quotes the request          ▲
//!                 └── error queue ──▶ Undelivered{to, branch} ────┘ ──▶ Delivery::Unsent
//! ```
//!
//! Anybody can forge ICMP. So it is heard only for a request outside any dialog that nobody has
//! answered yet, and only when it quotes the branch of that request, which only those on its way know.
//!
//! Linux keeps such messages for a socket that serves many peers when asked to (`IP_RECVERR`). Other
//! systems tell sockets with one peer alone, or tell no address; there the timers decide.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_core::TransportError;
use sip_message::{Message, Method};

/// Requests that wait for their first answer; past it the oldest are forgotten.
const MOST: usize = 4_096;
/// 64·T1, after which the request has failed by itself.
const LIFE: Duration = Duration::from_secs(32);

/// What a socket heard of a datagram of ours.
#[derive(Debug)]
pub(crate) struct Undelivered {
    /// Where the datagram was sent.
    pub(crate) to: SocketAddr,
    /// The branch of the request in it.
    pub(crate) branch: String,
    /// What is the matter there.
    pub(crate) error: TransportError,
}

/// The requests outside any dialog that went out in datagrams and that nobody has answered.
pub(super) struct Unanswered<O> {
    by_branch: HashMap<String, (SocketAddr, O)>,
    order: VecDeque<(Instant, String)>,
}

impl<O> Default for Unanswered<O> {
    fn default() -> Self {
        Self {
            by_branch: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<O: Clone> Unanswered<O> {
    /// A datagram goes out.
    pub(super) fn on_sent(&mut self, now: Instant, to: SocketAddr, bytes: &[u8], owner: &O) {
        self.forget_old(now);
        if bytes.starts_with(b"SIP/2.0 ") {
            return;
        }
        let Ok(Message::Request(request)) = Message::parse(bytes) else {
            return;
        };
        // A CANCEL goes to somebody who has answered, an ACK is not waited for.
        let waits = !matches!(request.method, Method::Ack | Method::Cancel)
            && request.headers.to().is_ok_and(|to| to.tag().is_none());
        let via = request.headers.via_top().ok();
        let Some(branch) = via.as_ref().and_then(|via| via.branch()).filter(|_| waits) else {
            return;
        };
        let old = self
            .by_branch
            .insert(branch.to_owned(), (to, owner.clone()));
        if old.is_none() {
            self.order.push_back((now, branch.to_owned()));
        }
    }

    /// Somebody has answered, if only with a 100: from now on the peer's word counts.
    pub(super) fn on_answered(&mut self, branch: &str) {
        self.by_branch.remove(branch);
    }

    /// Whose request it was that could not be delivered, if it waits and went there.
    pub(super) fn take(&mut self, undelivered: &Undelivered) -> Option<O> {
        let (to, _) = self.by_branch.get(&undelivered.branch)?;
        if *to != undelivered.to {
            return None;
        }
        self.by_branch
            .remove(&undelivered.branch)
            .map(|(_, owner)| owner)
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((since, branch)) = self.order.front() {
            let young = now.saturating_duration_since(*since) < LIFE;
            if young && self.order.len() < MOST {
                return;
            }
            self.by_branch.remove(branch);
            self.order.pop_front();
        }
    }
}

/// The branch in the first Via of the start of a request of ours.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn quoted_branch(quoted: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(quoted)
        .or_else(|error| std::str::from_utf8(quoted.get(..error.valid_up_to()).unwrap_or_default()))
        .ok()?;
    // What is large is written with short names.
    let via = text
        .split("\r\n")
        .skip(1)
        .find_map(|line| line.strip_prefix("Via:").or(line.strip_prefix("v:")))?;
    let (_, rest) = via.split_once(";branch=")?;
    // What is cut off at the end is nothing that we know.
    let branch = rest.split([';', ',', ' ']).next()?;
    (!branch.is_empty()).then(|| branch.to_owned())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod queue {
    use std::io::{self, IoSliceMut};
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
    };

    use super::{Undelivered, quoted_branch};
    use crate::transport::transport_error;

    /// Messages taken at a time; more of them wait for the next time.
    const AT_ONCE: usize = 64;
    /// Hosts quote what fits into 576 bytes (RFC 1812 §4.3.2.3), the branch comes in the first 200.
    const QUOTED: usize = 2_048;

    /// Asks the system to keep what is heard of datagrams that did not arrive.
    pub(in crate::transport) fn listen(socket: &socket2::Socket, ipv6: bool) -> io::Result<()> {
        if ipv6 {
            setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
        } else {
            setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
        }
        Ok(())
    }

    /// Takes what was kept. An error that is left unread would be that of the next sending.
    pub(in crate::transport) fn take(socket: &impl AsRawFd) -> Vec<Undelivered> {
        let mut found = Vec::new();
        for _ in 0..AT_ONCE {
            match take_one(socket) {
                Ok(undelivered) => found.extend(undelivered),
                Err(_) => break,
            }
        }
        found
    }

    fn take_one(socket: &impl AsRawFd) -> nix::Result<Option<Undelivered>> {
        let mut quoted = [0_u8; QUOTED];
        let mut space = nix::cmsg_space!(nix::libc::sock_extended_err, nix::libc::sockaddr_in6);
        let mut slices = [IoSliceMut::new(&mut quoted)];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        )?;
        let number = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => i32::try_from(error.ee_errno).ok(),
            _ => None,
        });
        let to = message.address.as_ref().and_then(address);
        let length = message.bytes;
        let known = number.map(|number| transport_error(&io::Error::from_raw_os_error(number)));
        let branch = quoted.get(..length).and_then(quoted_branch);
        let (Some(error), Some(to), Some(branch)) = (known.filter(is_final), to, branch) else {
            return Ok(None);
        };
        Ok(Some(Undelivered { to, branch, error }))
    }

    /// Nobody is there; and not that a datagram was too large for the way.
    fn is_final(error: &sip_core::TransportError) -> bool {
        use sip_core::TransportError::{Refused, Unreachable};
        matches!(error, Refused | Unreachable)
    }

    fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = storage
            .as_sockaddr_in()
            .map(|v4| SocketAddr::from((v4.ip(), v4.port())));
        let v6 = || {
            let v6 = storage.as_sockaddr_in6()?;
            Some(SocketAddr::from((v6.ip(), v6.port())))
        };
        v4.or_else(v6)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod queue {
    use std::io;

    use super::Undelivered;

    /// Nothing to ask for here.
    pub(in crate::transport) fn listen(_: &socket2::Socket, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// Nothing is kept here.
    pub(in crate::transport) fn take<S>(_: &S) -> Vec<Undelivered> {
        Vec::new()
    }
}

pub(super) use queue::{listen, take};

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(branch: &str, to_tag: &str) -> Vec<u8> {
        format!(
            "INVITE sip:bob@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:bob@h>{to_tag}\r\nCall-ID: c\r\n\
             CSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\r\n"
        )
        .into_bytes()
    }

    fn heard(to: SocketAddr, branch: &str) -> Undelivered {
        Undelivered {
            to,
            branch: branch.to_owned(),
            error: TransportError::Refused,
        }
    }

    #[test]
    fn only_a_request_that_went_there_and_waits_for_its_first_answer_can_be_lost() {
        let start = Instant::now();
        let [there, elsewhere] = [5060, 5070].map(|port| SocketAddr::from(([192, 0, 2, 9], port)));
        let mut unanswered = Unanswered::default();
        let mut send = |branch: &str, to_tag: &str| {
            unanswered.on_sent(start, there, &invite(branch, to_tag), &7);
        };
        send("z9hG4bK1", "");
        send("z9hG4bK2", "");
        send("z9hG4bK3", ";tag=dialog");
        unanswered.on_answered("z9hG4bK2");
        for (lost, why) in [
            (heard(elsewhere, "z9hG4bK1"), "another place"),
            (heard(there, "z9hG4bK2"), "answered"),
            (heard(there, "z9hG4bK3"), "in a dialog"),
            (heard(there, "z9hG4bK4"), "invented"),
        ] {
            assert_eq!(unanswered.take(&lost), None, "{why}");
        }
        assert_eq!(unanswered.take(&heard(there, "z9hG4bK1")), Some(7));
        assert_eq!(unanswered.take(&heard(there, "z9hG4bK1")), None, "once");
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_time() {
        let start = Instant::now();
        let there = SocketAddr::from(([192, 0, 2, 9], 5060));
        let mut unanswered = Unanswered::default();
        for i in 0..MOST * 2 {
            unanswered.on_sent(start, there, &invite(&format!("z9hG4bK{i}"), ""), &());
        }
        assert!(unanswered.by_branch.len() <= MOST && unanswered.order.len() <= MOST);
        unanswered.on_sent(start + LIFE, there, &invite("z9hG4bKlast", ""), &());
        assert_eq!((unanswered.by_branch.len(), unanswered.order.len()), (1, 1));
    }

    #[test]
    fn the_branch_is_read_from_what_is_quoted_and_from_nowhere_else() {
        let request = "INVITE sip:bob@h;branch=z9hG4bKfalse SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKtrue;rport\r\nFrom: x\r\n";
        assert_eq!(
            quoted_branch(request.as_bytes()).as_deref(),
            Some("z9hG4bKtrue")
        );
        for useless in [
            "",
            "INVITE sip:bob@h;branch=z9hG4bKfalse SIP/2.0\r\n",
            "\r\nVia: SIP/2.0/UDP h;branch=",
            "\r\nFrom: <sip:a@b;branch=z9hG4bKfalse>\r\n",
        ] {
            assert_eq!(quoted_branch(useless.as_bytes()), None, "{useless}");
        }
        let short = request.replace("\r\nVia: ", "\r\nv: ");
        assert_eq!(
            quoted_branch(short.as_bytes()).as_deref(),
            Some("z9hG4bKtrue")
        );
        let mut broken = request.as_bytes().to_vec();
        broken.extend([0xff, 0xfe]);
        assert_eq!(quoted_branch(&broken).as_deref(), Some("z9hG4bKtrue"));
    }
}
