//! Why a line is not opened or changed as its caller wants, in what a refusal says of it.

use sdp::{MediaView, SdpError, SessionDescription};
use sip_core::call::MediaWarning;

/// Why there is no description of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No socket is to be had: 503.
    NoSocket,
    /// Theirs is not taken: 488, with this Warning (RFC 3261 §20.43) and why.
    Media(MediaWarning, &'static str),
}

impl Refusal {
    /// What to say of an offer that the negotiator does not take.
    pub(super) fn of(error: &SdpError, offer: &[u8]) -> Self {
        let (warning, why) = match error {
            SdpError::NoCommonMedia { .. } | SdpError::NotEncrypted { .. } => missing(offer),
            SdpError::Malformed(_) => (MediaWarning::Other, "it is malformed"),
            SdpError::TooLarge(_) => (MediaWarning::Other, "it is too large"),
            SdpError::UnusableAddress(_) => {
                let why = "nothing can be sent to its address";
                (MediaWarning::Other, why)
            }
            SdpError::UnexpectedAnswer
            | SdpError::AudioRefused { .. }
            | SdpError::StrangeCrypto
            | SdpError::StrangeHandshake
            | SdpError::OfferPending => (MediaWarning::Other, ""),
        };
        Self::Media(warning, why)
    }
}

/// What an offer lacks in which nothing is for us: audio, a codec, or a way to carry it.
fn missing(offer: &[u8]) -> (MediaWarning, &'static str) {
    let Ok(offer) = SessionDescription::parse(offer) else {
        return (MediaWarning::Other, "");
    };
    let audio = |media: &MediaView<'_>| media.is_audio() && media.port() != 0;
    let mut audio: Vec<MediaView<'_>> = offer.media().filter(audio).collect();
    if audio.is_empty() {
        return (MediaWarning::Type, "only audio is taken");
    }
    audio.retain(|media| media.formats().iter().any(|f| f.codec().is_some()));
    if audio.is_empty() {
        let why = "opus, G722, PCMU and PCMA are spoken";
        return (MediaWarning::Format, why);
    }
    let any = |fits: &dyn Fn(&MediaView<'_>) -> bool| audio.iter().any(fits);
    let why = if any(&|media| media.protocol().is_keyed() && media.has_crypto()) {
        "no a=crypto has one key of a suite that is known"
    } else if any(&|media| media.protocol().is_keyed()) {
        "RTP/SAVP without a=crypto"
    } else if any(&|media| media.protocol().is_dtls()) {
        "keys by DTLS are not done, only by SDES (a=crypto)"
    } else {
        "RTP/AVP and RTP/SAVP are spoken"
    };
    (MediaWarning::Transport, why)
}
