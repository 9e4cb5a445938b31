//! What was forgiven: faults of a peer that a message was read in spite of.

use std::fmt;

/// One kind of forgiven fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Repair {
    /// Line ends came before the start line (allowed by RFC 3261 §7.5, and used as keepalives).
    LeadingBlankLines,
    /// A line ended in LF without CR.
    BareLineFeed,
    /// A CR stood alone within a line and was read as a space.
    LoneCarriageReturn,
    /// A datagram had no Content-Length; the body is what was left of it.
    MissingContentLength,
    /// Content-Length was given more than once, with the same value.
    RepeatedContentLength,
    /// Octets followed the body in the datagram and were dropped (RFC 3261 §18.3).
    TrailingOctets,
    /// Line ends followed the body in the datagram and were dropped.
    TrailingBlankLines,
    /// A line among the headers was no header field and was passed over.
    NotAField,
    /// White space stood in front of the first header field.
    StrayFold,
    /// The status line had no space behind the code.
    MissingReasonSpace,
    /// Octets that are not UTF-8 were read as ISO 8859-1.
    NotUtf8,
    /// `lr` had a value, such as `lr=on`.
    ValuedLr,
    /// A display name had characters that belong in quotes.
    SloppyDisplayName,
    /// The same header, allowed once, was sent again with the same value.
    RepeatedHeader,
}

impl Repair {
    /// Every kind, in the order of the variants.
    pub const ALL: [Self; 14] = [
        Self::LeadingBlankLines,
        Self::BareLineFeed,
        Self::LoneCarriageReturn,
        Self::MissingContentLength,
        Self::RepeatedContentLength,
        Self::TrailingOctets,
        Self::TrailingBlankLines,
        Self::NotAField,
        Self::StrayFold,
        Self::MissingReasonSpace,
        Self::NotUtf8,
        Self::ValuedLr,
        Self::SloppyDisplayName,
        Self::RepeatedHeader,
    ];

    /// A sentence for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeadingBlankLines => "line ends came before the start line",
            Self::BareLineFeed => "a line ended in LF without CR",
            Self::LoneCarriageReturn => "a CR stood alone within a line",
            Self::MissingContentLength => "Content-Length is missing",
            Self::RepeatedContentLength => "Content-Length is repeated",
            Self::TrailingOctets => "octets after the body were dropped",
            Self::TrailingBlankLines => "line ends after the body were dropped",
            Self::NotAField => "a line that is no header field was passed over",
            Self::StrayFold => "the first header line begins with white space",
            Self::MissingReasonSpace => "the status line has no space after the code",
            Self::NotUtf8 => "text that is not UTF-8 was read as ISO 8859-1",
            Self::ValuedLr => "lr has a value",
            Self::SloppyDisplayName => "a display name should have been quoted",
            Self::RepeatedHeader => "a header that may stand once is repeated",
        }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of forgiven faults; needs no allocation.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs(u32);

impl Repairs {
    /// Whether nothing was forgiven.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this was forgiven.
    pub fn contains(self, repair: Repair) -> bool {
        self.0 & 1 << repair as u8 != 0
    }

    /// The kinds that were forgiven.
    pub fn iter(self) -> impl Iterator<Item = Repair> {
        Repair::ALL
            .into_iter()
            .filter(move |repair| self.contains(*repair))
    }

    pub(crate) fn add(&mut self, repair: Repair) {
        self.0 |= 1 << repair as u8;
    }
}

impl fmt::Debug for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
