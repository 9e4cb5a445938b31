//! What is true about the sound of a call, place by place.
//!
//! ```text
//!  microphone ─► captured ─► sent ─► the network ─► received ─► played ─► speaker
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{MediaDirection, MediaStats, Timestamp, VoiceQuality};

/// One of the four lights of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Light {
    /// Whether there was anything in the last second.
    pub on: bool,
    /// The loudest of the last second: root mean square of 10 ms, 0 (silence) to 1 (full scale). For packets it is that of
    /// what they carry.
    pub level: f32,
    /// When there was something last; absent when there never was.
    pub last: Option<Timestamp>,
}

/// What is true about the sound of a call at this second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SoundView {
    /// What the microphone, or the file in its place, gave: sound, not silence.
    pub captured: Light,
    /// Packets that left, whatever they carry.
    pub sent: Light,
    /// Packets that came and were taken.
    pub received: Light,
    /// What was made of them for the speaker: sound, not silence.
    pub played: Light,
    /// Where the peer said that its sound is.
    pub expected_peer: Option<String>,
    /// Where its packets come from.
    pub actual_peer: Option<String>,
    /// Where ours go.
    pub target: Option<String>,
    /// Whether somebody speaks into what is sent.
    pub we_speak: bool,
    /// Whether somebody speaks in what is heard.
    pub they_speak: bool,
    /// How the peer is heard here.
    pub quality: Option<VoiceQuality>,
    /// How we are heard at the peer, where it tells (RTCP-XR).
    pub peer_quality: Option<VoiceQuality>,
    /// Why there is no sound one way or the other, what is surest first; empty when there is sound, or when the reason is
    /// not known.
    pub silences: Vec<Silence>,
    /// The course of the call: at most [`SoundView::MOST_MARKS`] marks, oldest first. Brought up to date every ten
    /// seconds.
    pub course: Vec<SoundMark>,
}

impl SoundView {
    /// Marks that a course has at most. A longer call has marks that stand for more than a second.
    pub const MOST_MARKS: usize = 240;
}

/// A stretch in the course of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoundMark {
    /// Its end.
    pub at: Timestamp,
    /// How many seconds it stands for.
    pub seconds: u32,
    /// The figures at its end.
    pub stats: MediaStats,
    /// The loudest that was captured in it.
    pub captured: f32,
    /// The loudest that was played in it.
    pub played: f32,
}

/// Why a call has no sound in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Silence {
    /// The user cut the microphone off.
    Muted,
    /// We hold the call.
    HeldByUs,
    /// The peer holds the call.
    HeldByPeer,
    /// It was agreed that sound flows these ways only.
    Agreed {
        /// Which.
        direction: MediaDirection,
    },
    /// There is no microphone that could be used.
    NoMicrophone,
    /// The microphone's volume is set to nothing.
    MicrophoneDown,
    /// The microphone gives silence.
    NothingCaptured,
    /// The peer has named no address, so nothing can be sent.
    NoAddress,
    /// The network refuses our packets.
    NotSent {
        /// How many since one last went out.
        packets: u64,
    },
    /// The peer reports that it gets nothing of what we send.
    NotArriving,
    /// Nothing has ever come from the peer.
    NeverReceived {
        /// Where it was expected from.
        expected: Option<String>,
        /// That address can only be reached in the peer's own network.
        private: bool,
    },
    /// Something has come before, and nothing comes now.
    StoppedReceiving {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// What comes is not encrypted with the key that was agreed on.
    WrongKey {
        /// How many packets so far.
        packets: u64,
    },
    /// What comes is not what was agreed on: another sender, or another codec.
    Dropped {
        /// How many packets so far.
        packets: u64,
    },
    /// What comes cannot be played: its timestamps contradict each other, or it is always too late.
    Discarded {
        /// How many packets since something was last played.
        packets: u64,
    },
    /// The peer sends packets of silence.
    SilenceReceived,
    /// There is no speaker that could be used.
    NoSpeaker,
    /// The speaker's volume is set to nothing.
    SpeakerDown,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Muted => f.write_str("Your microphone is switched off for this call."),
            Self::HeldByUs => f.write_str("You hold this call."),
            Self::HeldByPeer => f.write_str("The other side holds this call."),
            Self::Agreed { direction } => f.write_str(match direction {
                MediaDirection::Both => "Sound goes both ways, as was agreed.",
                MediaDirection::SendOnly => "Sound goes out only, as was agreed.",
                MediaDirection::ReceiveOnly => "Sound comes in only, as was agreed.",
                MediaDirection::Inactive => "There is no sound in this call, as was agreed.",
            }),
            Self::NoMicrophone => f.write_str("There is no microphone that can be used."),
            Self::MicrophoneDown => {
                f.write_str("The volume of your microphone is set to 0 %: the other side hears nothing.")
            }
            Self::NothingCaptured => f.write_str(
                "Your microphone gives nothing: it may be switched off at the device, or another one is chosen.",
            ),
            Self::NoAddress => {
                f.write_str("The other side has not said where its sound is to go.")
            }
            Self::NotSent { packets } => {
                write!(f, "The network refuses what is sent: {packets} packets so far.")
            }
            Self::NotArriving => f.write_str(
                "The other side reports that it gets nothing of what is sent: something on the way drops it.",
            ),
            Self::NeverReceived { expected, private } => {
                match expected {
                    Some(expected) => write!(f, "Nothing has come from {expected}")?,
                    None => f.write_str("Nothing has come from the other side")?,
                }
                f.write_str(if *private {
                    ", an address that only works in its own network."
                } else {
                    ": it sends nothing, or a firewall drops it."
                })
            }
            Self::StoppedReceiving { seconds } => write!(f, "Nothing has come for {seconds} s."),
            Self::WrongKey { packets } => write!(
                f,
                "What comes is not encrypted with the agreed key: {packets} packets so far.",
            ),
            Self::Dropped { packets } => write!(
                f,
                "What comes is not what was agreed on, by its sender or its codec: {packets} packets so far.",
            ),
            Self::Discarded { packets } => write!(
                f,
                "What comes cannot be played: its timestamps contradict each other, or it is too late; {packets} packets so far.",
            ),
            Self::SilenceReceived => f.write_str("The other side sends silence."),
            Self::NoSpeaker => f.write_str("There is no speaker that can be used."),
            Self::SpeakerDown => f.write_str("The volume of your speaker is set to 0 %."),
        }
    }
}

impl Silence {
    /// Whether it is about what we say; else it is about what we hear.
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Agreed {
                direction: MediaDirection::ReceiveOnly | MediaDirection::Inactive
            } | Self::Muted
                | Self::NoMicrophone
                | Self::MicrophoneDown
                | Self::NothingCaptured
                | Self::NoAddress
                | Self::NotSent { .. }
                | Self::NotArriving
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_a_sentence() {
        let private = |private| Silence::NeverReceived {
            expected: Some("10.0.0.7:4000".to_owned()),
            private,
        };
        assert_eq!(
            private(true).to_string(),
            "Nothing has come from 10.0.0.7:4000, an address that only works in its own network."
        );
        for silence in [
            Silence::Muted,
            Silence::NoMicrophone,
            Silence::NoSpeaker,
            Silence::MicrophoneDown,
            Silence::SpeakerDown,
            Silence::NothingCaptured,
            Silence::NotSent { packets: 3 },
            private(false),
            Silence::StoppedReceiving { seconds: 4 },
            Silence::Discarded { packets: 7 },
            Silence::SilenceReceived,
        ] {
            let text = silence.to_string();
            assert!(
                text.ends_with('.') && text.starts_with(char::is_uppercase),
                "{text}"
            );
        }
    }
}
