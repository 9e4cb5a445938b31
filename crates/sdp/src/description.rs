//! A whole session description.

use std::fmt;

use sdp_types::Session;

use crate::error::SdpError;
use crate::media::MediaView;
use crate::repair;

/// A session description that was read, with typed views of what a call needs.
///
/// Everything RFC 8866 names is kept and written again by [`SessionDescription::to_bytes`], in
/// the standard's order. For what was received byte for byte, keep the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionDescription {
    session: Session,
    repairs: Vec<String>,
}

/// The media alone: the rest has the keys of a call and the name of its user.
impl fmt::Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDescription")
            .field("version", &self.version())
            .field("media", &self.media().collect::<Vec<_>>())
            .field("repairs", &self.repairs.len())
            .finish_non_exhaustive()
    }
}

impl SessionDescription {
    /// Reads a body.
    ///
    /// # Errors
    /// [`SdpError::TooLarge`] past 64 KiB, 2000 lines or 64 media; [`SdpError::Malformed`] when a
    /// media line or the version is unreadable. Any other unreadable line is left out, see
    /// [`SessionDescription::repairs`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpError> {
        let (session, repairs) = repair::parse(bytes)?;
        Ok(Self { session, repairs })
    }

    pub(crate) fn of(session: Session) -> Self {
        Self {
            session,
            repairs: Vec::new(),
        }
    }

    /// The text on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into memory cannot fail.
        let _ = self.session.write(&mut bytes);
        bytes
    }

    /// What had to be repaired while reading, each as a clause for a log line.
    #[must_use]
    pub fn repairs(&self) -> &[String] {
        &self.repairs
    }

    /// The session id of `o=`.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session.origin.sess_id
    }

    /// The version of `o=`: it rises with each change of the description (RFC 3264 §8).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.session.origin.sess_version
    }

    /// The media lines, in order.
    pub fn media(&self) -> impl ExactSizeIterator<Item = MediaView<'_>> {
        self.session
            .medias
            .iter()
            .map(|media| MediaView::new(&self.session, media))
    }

    /// The codecs of its audio lines in words, for sentences: "opus, PCMU".
    #[must_use]
    pub fn summary(&self) -> String {
        let audio: Vec<MediaView<'_>> = self.media().filter(MediaView::is_audio).collect();
        if audio.is_empty() {
            let kinds: Vec<&str> = self.media().map(|media| media.kind()).collect();
            return if kinds.is_empty() {
                "no media".to_owned()
            } else {
                format!("no audio, only {}", kinds.join(", "))
            };
        }
        let lines: Vec<String> = audio.iter().map(MediaView::summary).collect();
        lines.join("; ")
    }
}

/// The codecs that a body names, in words: "opus, PCMU". Empty when it is no session description.
#[must_use]
pub fn summary(body: &[u8]) -> String {
    SessionDescription::parse(body).map_or_else(|_| String::new(), |d| d.summary())
}
