//! Encryption between a stream and its sockets: what goes out is protected, what comes in is checked and
//! decrypted, in place. Without keys everything passes as it is.

use rtp::srtp::{Protector, SrtpError, Unprotector};

use crate::config::Security;
use crate::counters::StreamCounters;

/// What stands between the stream and the wire at present.
#[derive(Debug, Default)]
pub(crate) struct Shield {
    protector: Option<Box<Protector>>,
    unprotector: Option<Box<Unprotector>>,
    /// Keys are to come: without them nothing passes.
    guarded: bool,
}

/// What a negotiation changes about it. `None` leaves a direction as it is: a key that stays must go on with
/// its numbers, for the same ones twice would give the key stream away. After the change it holds what was
/// replaced.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    send: Option<Option<Box<Protector>>>,
    receive: Option<Option<Box<Unprotector>>>,
    guarded: Option<bool>,
}

/// The suite's key cannot be used; `media` makes keys from checked ones, so only the name of a key remains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer's key for encrypted media cannot be used")]
pub struct UnusableKey;

impl Renewal {
    /// From what was agreed before to what is agreed now.
    pub(crate) fn new(
        before: Option<&Security>,
        now: Option<&Security>,
    ) -> Result<Self, UnusableKey> {
        let mut renewal = Self::default();
        if before.map(|b| &b.send) != now.map(|n| &n.send) {
            let make = |s: &Security| Protector::new(&s.send).ok_or(UnusableKey).map(Box::new);
            renewal.send = Some(now.map(make).transpose()?);
        }
        let heard = |s: &Security| (s.receive.clone(), s.receive_mki.clone());
        if before.map(heard) != now.map(heard) {
            let make = |s: &Security| {
                let made = Unprotector::new(&s.receive, &s.receive_mki);
                made.ok_or(UnusableKey).map(Box::new)
            };
            renewal.receive = Some(now.map(make).transpose()?);
        }
        Ok(renewal)
    }

    /// New keys for both directions.
    pub(crate) fn fresh(security: &Security) -> Result<Self, UnusableKey> {
        Self::new(None, Some(security))
    }

    /// No keys, and nothing passes until there are: a handshake begins.
    pub(crate) fn close() -> Self {
        Self {
            send: Some(None),
            receive: Some(None),
            guarded: Some(true),
        }
    }

    /// The end of a handshake's keys, before others or none.
    pub(crate) fn after_handshake(security: Option<&Security>) -> Result<Self, UnusableKey> {
        let fresh = security.map_or_else(|| Ok(Self::default()), Self::fresh)?;
        Ok(Self {
            send: fresh.send.or(Some(None)),
            receive: fresh.receive.or(Some(None)),
            guarded: Some(false),
        })
    }
}

impl Shield {
    /// Follows a negotiation.
    pub(crate) fn change(&mut self, renewal: &mut Renewal) {
        if let Some(new) = &mut renewal.send {
            if let (Some(new), Some(old)) = (&mut *new, &self.protector) {
                new.follow(old);
            }
            std::mem::swap(new, &mut self.protector);
        }
        self.guarded = renewal.guarded.unwrap_or(self.guarded);
        if let Some(new) = &mut renewal.receive {
            if let (Some(new), Some(old)) = (&mut *new, &self.unprotector) {
                new.follow(old);
            }
            std::mem::swap(new, &mut self.unprotector);
        }
    }

    /// Whether keys are to come and are not there.
    pub(crate) fn waits(&self) -> bool {
        self.guarded && self.protector.is_none()
    }

    /// Protects an RTP packet; false when it must not be sent.
    pub(crate) fn seal(&mut self, packet: &mut Vec<u8>) -> bool {
        let sealed = self.protector.as_mut().map(|p| p.protect_rtp(packet));
        sealed.map_or(!self.guarded, |sealed| sealed.is_ok())
    }

    /// Protects an RTCP compound; false when it must not be sent.
    pub(crate) fn seal_control(&mut self, packet: &mut Vec<u8>) -> bool {
        let sealed = self.protector.as_mut().map(|p| p.protect_rtcp(packet));
        sealed.map_or(!self.guarded, |sealed| sealed.is_ok())
    }

    /// The RTP packet in a datagram; none when it is not to be used, which is counted.
    pub(crate) fn open<'a>(
        &mut self,
        datagram: &'a mut [u8],
        counters: &StreamCounters,
    ) -> Option<&'a [u8]> {
        match &mut self.unprotector {
            None => (!self.guarded).then_some(datagram),
            Some(unprotector) => {
                let length = unprotector.unprotect_rtp(datagram);
                opened(datagram, length, counters)
            }
        }
    }

    /// The RTCP compound in a datagram; none when it is not to be used, which is counted.
    pub(crate) fn open_control<'a>(
        &mut self,
        datagram: &'a mut [u8],
        counters: &StreamCounters,
    ) -> Option<&'a [u8]> {
        match &mut self.unprotector {
            None => (!self.guarded).then_some(datagram),
            Some(unprotector) => {
                let length = unprotector.unprotect_rtcp(datagram);
                opened(datagram, length, counters)
            }
        }
    }
}

fn opened<'a>(
    datagram: &'a [u8],
    length: Result<usize, SrtpError>,
    counters: &StreamCounters,
) -> Option<&'a [u8]> {
    match length {
        Ok(length) => datagram.get(..length),
        Err(SrtpError::Repeated) => {
            counters.repeated.add(1);
            None
        }
        Err(SrtpError::Replayed) => {
            counters.replayed.add(1);
            None
        }
        Err(_) => {
            counters.not_genuine.add(1);
            None
        }
    }
}
