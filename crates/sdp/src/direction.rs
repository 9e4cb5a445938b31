//! Which way media flows (RFC 3264 §5.1, RFC 8866 §6.7).

/// Which way media flows, seen by whoever states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendReceive,
    /// We send and do not listen: the other side is on hold.
    SendOnly,
    /// We listen and do not send: we are on hold.
    ReceiveOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// From its two halves.
    #[must_use]
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendReceive,
            (true, false) => Self::SendOnly,
            (false, true) => Self::ReceiveOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether who states it sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendReceive | Self::SendOnly)
    }

    /// Whether who states it receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::ReceiveOnly)
    }

    /// The same flow seen from the other end.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::new(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    /// The attribute's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendReceive => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::ReceiveOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// From the attribute's name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::SendReceive,
            Self::SendOnly,
            Self::ReceiveOnly,
            Self::Inactive,
        ];
        all.into_iter()
            .find(|d| d.as_str().eq_ignore_ascii_case(name.trim()))
    }
}
