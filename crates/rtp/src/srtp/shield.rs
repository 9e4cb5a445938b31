//! Encryption between a stream and its sockets: what goes out is protected, what comes in is checked and
//! decrypted, in place. Without keys everything passes as it is.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::{KeyMark, MasterKey, Protector, SrtpError, Unprotector};

/// The keys of an encrypted stream. They are wiped when they go, and `Debug` does not show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// What we protect ours with.
    pub send: MasterKey,
    /// What the peer protects its own with.
    pub receive: MasterKey,
    /// The name of its key that each packet of the peer carries, empty for none.
    pub receive_mki: Vec<u8>,
    /// The cryptographic context that the keys are for (RFC 3711 §3.2.3), by a number. Under new keys of the same one the
    /// rollover counters go on (RFC 3711 §3.3.1); of another, they begin at zero: another party, or another address of ours
    /// (RFC 4568 §7.1.4). Another address of the peer's is another one in any case.
    pub context: u64,
}

/// Keys of ours that are known again. A negotiation that means no harm has few; that all of them are others is for
/// whoever makes them, and this is what stands behind.
const MOST_USED: usize = 256;

/// How long after a new key of the peer's its packets under the one before are still taken (RFC 4568 §7.1.4): they are under
/// way, and it learns late that we know the new one.
const BOTH_KEYS: Duration = Duration::from_secs(2);

/// What stands between the stream and the wire at present.
#[derive(Debug, Default)]
pub struct Shield {
    protector: Option<Box<Protector>>,
    unprotector: Option<Box<Unprotector>>,
    /// That of the key before, and until when it counts. It goes with the next change, for here nothing is freed.
    before: Option<Box<Unprotector>>,
    before_until: Option<Instant>,
    /// Keys are to come: without them nothing passes.
    guarded: bool,
    /// What was agreed on is a key that has served before: nothing goes out.
    refuses: bool,
    used: Used,
}

/// The keys under which this stream has sent, the last so many of them.
#[derive(Debug)]
struct Used {
    marks: Vec<KeyMark>,
    next: usize,
}

impl Default for Used {
    fn default() -> Self {
        Self {
            marks: Vec::with_capacity(MOST_USED),
            next: 0,
        }
    }
}

impl Used {
    /// False when it was noted before.
    fn note(&mut self, mark: KeyMark) -> bool {
        if self.marks.contains(&mark) {
            return false;
        }
        match self.marks.get_mut(self.next) {
            Some(oldest) => *oldest = mark,
            None => self.marks.push(mark),
        }
        self.next = (self.next + 1) % MOST_USED;
        true
    }
}

/// Our key has served this stream before, and its numbers would begin anew: two packets under one number give both away
/// (RFC 3711 §9.1), and with AEAD the means to forge others (RFC 7714 §8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedBefore;

/// What a negotiation changes about it. `None` leaves a direction as it is: a key that stays must go on with
/// its numbers, for the same ones twice would give the key stream away. After the change it holds what was
/// replaced.
#[derive(Debug, Default)]
pub struct Renewal {
    send: Option<Option<Box<Protector>>>,
    /// The new one, where it was refused.
    refused: Option<Box<Protector>>,
    receive: Option<Option<Box<Unprotector>>>,
    /// Holds what was kept from the change before.
    before: Option<Box<Unprotector>>,
    guarded: Option<bool>,
    /// The keys are for the same cryptographic context, so its rollover counters go on.
    same_context: bool,
}

/// The suite's key cannot be used. A [`MasterKey`] has the length that its suite wants, so only the name of a key remains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer's key for encrypted media cannot be used")]
pub struct UnusableKey;

impl Renewal {
    /// From what was agreed before to what is agreed now.
    ///
    /// # Errors
    /// The name of the peer's key is longer than eight bytes.
    pub fn new(before: Option<&Security>, now: Option<&Security>) -> Result<Self, UnusableKey> {
        let mut renewal = Self {
            same_context: before.map(|b| b.context) == now.map(|n| n.context),
            ..Self::default()
        };
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
    ///
    /// # Errors
    /// As with [`Renewal::new`].
    pub fn fresh(security: &Security) -> Result<Self, UnusableKey> {
        Self::new(None, Some(security))
    }

    /// No keys, and nothing passes until there are: a handshake begins.
    #[must_use]
    pub fn close() -> Self {
        Self {
            send: Some(None),
            receive: Some(None),
            guarded: Some(true),
            ..Self::default()
        }
    }

    /// The end of a handshake's keys, before others or none.
    ///
    /// # Errors
    /// As with [`Renewal::new`].
    pub fn after_handshake(security: Option<&Security>) -> Result<Self, UnusableKey> {
        let fresh = security.map_or_else(|| Ok(Self::default()), Self::fresh)?;
        Ok(Self {
            send: fresh.send.or(Some(None)),
            receive: fresh.receive.or(Some(None)),
            guarded: Some(false),
            ..Self::default()
        })
    }
}

impl Shield {
    /// Follows a negotiation. With `same_place` the peer stays where it was, and what it has sent under a key before this
    /// one may still come; the rollover counters go on if the context is the same, too. Elsewhere may be somebody else; and
    /// whoever sends from there cannot be told from who was there before by what is still under way.
    ///
    /// # Errors
    /// What was agreed on for what we send has served before. All else is followed; nothing goes out until there is
    /// another key, or none by agreement.
    pub fn change(
        &mut self,
        now: Instant,
        renewal: &mut Renewal,
        same_place: bool,
    ) -> Result<(), ServedBefore> {
        let changes = renewal.send.is_some();
        let goes_on = same_place && renewal.same_context;
        if let Some(new) = &mut renewal.send {
            let is_new = new.as_ref().is_none_or(|new| self.used.note(new.mark()));
            self.refuses = !is_new;
            if !is_new {
                renewal.refused = new.take();
            }
            if let (Some(new), Some(old)) = (&mut *new, &self.protector)
                && goes_on
            {
                new.follow(old);
            }
            std::mem::swap(new, &mut self.protector);
        }
        self.guarded = renewal.guarded.unwrap_or(self.guarded);
        if let Some(new) = &mut renewal.receive {
            if let (Some(new), Some(old)) = (&mut *new, &self.unprotector)
                && goes_on
            {
                new.follow(old);
            }
            std::mem::swap(new, &mut self.unprotector);
            // From one key to another only, with nothing plain between them, and no handshake before or after.
            let stays = same_place
                && renewal.guarded.is_none()
                && self.unprotector.is_some()
                && new.is_some();
            renewal.before = self.before.take();
            self.before_until = stays.then_some(now + BOTH_KEYS);
            if stays {
                self.before = new.take();
            }
        }
        if changes && self.refuses {
            return Err(ServedBefore);
        }
        Ok(())
    }

    /// Whether nothing may go out: keys are to come and are not there, or may not be used.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.refuses || self.guarded && self.protector.is_none()
    }

    /// Whether only what was made with the peer's key is let in.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.guarded || self.unprotector.is_some()
    }

    /// Protects an RTP packet; false when it must not be sent.
    pub fn seal(&mut self, packet: &mut Vec<u8>) -> bool {
        let sealed = self.protector.as_mut().map(|p| p.protect_rtp(packet));
        sealed.map_or(!self.waits(), |sealed| sealed.is_ok())
    }

    /// Protects an RTCP compound; false when it must not be sent.
    pub fn seal_control(&mut self, packet: &mut Vec<u8>) -> bool {
        let sealed = self.protector.as_mut().map(|p| p.protect_rtcp(packet));
        sealed.map_or(!self.waits(), |sealed| sealed.is_ok())
    }

    /// The RTP packet in a datagram.
    ///
    /// # Errors
    /// It is not to be used.
    pub fn open<'a>(
        &mut self,
        now: Instant,
        datagram: &'a mut [u8],
    ) -> Result<&'a [u8], SrtpError> {
        self.open_with(now, datagram, Unprotector::unprotect_rtp)
    }

    /// The RTCP compound in a datagram.
    ///
    /// # Errors
    /// It is not to be used.
    pub fn open_control<'a>(
        &mut self,
        now: Instant,
        datagram: &'a mut [u8],
    ) -> Result<&'a [u8], SrtpError> {
        self.open_with(now, datagram, Unprotector::unprotect_rtcp)
    }

    fn open_with<'a>(
        &mut self,
        now: Instant,
        datagram: &'a mut [u8],
        unprotect: impl Fn(&mut Unprotector, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Result<&'a [u8], SrtpError> {
        let Some(unprotector) = &mut self.unprotector else {
            return if self.guarded {
                Err(SrtpError::NoKey)
            } else {
                Ok(datagram)
            };
        };
        let mut length = unprotect(unprotector, datagram);
        // What came a second time is genuine under the new one; all else may be of the one before. A key
        // that does not fit leaves the bytes as they are.
        if self.before_until.is_some_and(|until| now < until)
            && !matches!(length, Ok(_) | Err(SrtpError::Repeated))
            && let Some(before) = &mut self.before
        {
            let of_before = unprotect(before, datagram);
            if matches!(of_before, Ok(_) | Err(SrtpError::Repeated)) {
                length = of_before;
            }
        }
        datagram.get(..length?).ok_or(SrtpError::Malformed)
    }
}
