//! What can go wrong with a description, sorted by whose fault it is.

/// Why a description cannot be used, or a step of offer and answer cannot be taken.
///
/// The negotiator is unchanged after each of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It is not a session description, or one that cannot be repaired.
    #[error("malformed session description: {0}")]
    Malformed(String),
    /// It is larger than any call needs.
    #[error("session description is too large: {0}")]
    TooLarge(String),

    /// There is an audio line but no address to send to, or one no media can be sent to.
    #[error("no usable media address: {0}")]
    UnusableAddress(String),
    /// An answer to no offer: the offer was answered already, or none was made.
    #[error("an answer came though no offer waits for one")]
    UnexpectedAnswer,

    /// The two sides have nothing in common.
    #[error("no audio in common: they have {offered}; we have {wanted}")]
    NoCommonMedia {
        /// What the other side offered or answered, in words: "opus, G729", "RTP/SAVP with PCMU".
        offered: String,
        /// What we could have used, in words.
        wanted: String,
    },
    /// The answer refuses the audio line of a first offer (port 0).
    #[error("the other side refused audio; we offered {offered}")]
    AudioRefused {
        /// What we offered, in words.
        offered: String,
    },

    /// Media has to be encrypted and the other side does not do that.
    #[error("the other side does not encrypt: they have {offered}; we have {wanted}")]
    NotEncrypted {
        /// What the other side offered or answered, in words.
        offered: String,
        /// What we could have used, in words.
        wanted: String,
    },
    /// The answer's key belongs to nothing that we offered (RFC 4568 §5.1.3), so that neither side could
    /// understand the other.
    #[error("the answer's a=crypto does not belong to any that we offered")]
    StrangeCrypto,

    /// The answer takes the handshake for the keys and leaves open with whom or who begins it: it has no fingerprint
    /// that proves anything, or `a=setup:holdconn`.
    #[error("the answer's a=fingerprint or a=setup cannot be used")]
    StrangeHandshake,

    /// An offer came while ours is unanswered: glare (RFC 3264 §4, answered by 491).
    #[error("an offer came while ours waits for its answer")]
    OfferPending,
}
