//! One entry of the flight recorder.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{AccountId, CallId, Sentence, TenantId, Timestamp, Transport};

/// One thing that happened: a SIP message, or an event inside the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRecord {
    /// Counted up from 1 per tenant; also the order of things.
    pub id: u64,
    /// When it was received, or handed to the socket.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which account it belongs to, when known.
    pub account: Option<AccountId>,
    /// Which call it belongs to, when known.
    pub call: Option<CallId>,
    /// What happened.
    pub body: TraceBody,
}

/// What a [`TraceRecord`] holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TraceBody {
    /// A SIP message as it was on the wire, or what was meant to be one.
    Sip {
        /// Whether we sent it.
        sent: bool,
        /// How it travelled.
        transport: Transport,
        /// Our address, `IP:PORT`.
        local: String,
        /// The peer's address, `IP:PORT`.
        peer: String,
        /// The bytes. In JSON they are text, with U+FFFD for what is not UTF-8; files that must give
        /// the bytes back use the recorder's own format.
        #[serde(with = "lossy_text")]
        bytes: Arc<[u8]>,
    },
    /// Something inside: a restart, a fallback, a repaired fault of a peer, a timer.
    Note {
        /// A short word for filters, e.g. `supervision`, `transport`, `media`.
        topic: String,
        /// One sentence.
        text: Sentence,
        /// Call-ID it belongs to, when there is one.
        sip_call_id: Option<String>,
    },
}

/// Without the message, which is full of people; the recorder and its exports have it.
impl fmt::Debug for TraceBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip {
                sent,
                transport,
                local,
                peer,
                bytes,
            } => f
                .debug_struct("Sip")
                .field("sent", sent)
                .field("transport", transport)
                .field("local", local)
                .field("peer", peer)
                .field("bytes", &bytes.len())
                .finish(),
            Self::Note {
                topic,
                text,
                sip_call_id,
            } => f
                .debug_struct("Note")
                .field("topic", topic)
                .field("text", text)
                .field("sip_call_id", sip_call_id)
                .finish(),
        }
    }
}

impl TraceBody {
    /// Bytes of what it holds.
    pub fn size(&self) -> usize {
        match self {
            Self::Sip { bytes, .. } => bytes.len(),
            Self::Note { text, .. } => text.reveal().len(),
        }
    }
}

mod lossy_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Arc<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<[u8]>, D::Error> {
        Ok(Arc::from(String::deserialize(deserializer)?.into_bytes()))
    }
}
