//! How much of a peer's input is looked at before it is refused.

/// Bounds on one message. Past them parsing fails; nothing grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a whole message, start line to body.
    pub message: usize,
    /// Header lines of a message; at most [`Limits::MOST_HEADERS`], which is also the default.
    pub headers: usize,
    /// Octets of one header's value, folds included.
    pub value: usize,
    /// Octets of the start line.
    pub start_line: usize,
}

impl Limits {
    /// The most header lines that any setting can allow, since the index has a fixed size.
    pub const MOST_HEADERS: usize = 128;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 64 * 1024,
            headers: Self::MOST_HEADERS,
            value: 16 * 1024,
            start_line: 8 * 1024,
        }
    }
}
