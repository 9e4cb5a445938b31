//! What goes wrong with sound, in sentences for the user.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::asking::Unanswered;

/// Which way a device works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It hears.
    Capture,
    /// It plays.
    Playout,
    /// It rings, where that is not the speaker.
    Ringer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capture => "microphone",
            Self::Playout => "speaker",
            Self::Ringer => "device that rings",
        })
    }
}

/// Why a device cannot be opened. The texts are whole sentences, for the user to read.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// There is none.
    #[error("No {0} was found. Connect one, or choose another in the settings.")]
    NoDevice(Role),
    /// The chosen one is not there.
    #[error("The chosen {role} “{id}” is not connected.")]
    NotConnected {
        /// Which way.
        role: Role,
        /// What was chosen.
        id: String,
    },
    /// It was asked and has not answered in time.
    #[error("{} does not answer.", named(*.role, .id.as_deref()))]
    Silent {
        /// Which way.
        role: Role,
        /// What was chosen; none is the system's default.
        id: Option<String>,
    },
    /// It is not asked while so many others have not answered.
    #[error("{} is not tried: too many sound devices do not answer.", named(*.role, .id.as_deref()))]
    Crowd {
        /// Which way.
        role: Role,
        /// What was chosen; none is the system's default.
        id: Option<String>,
    },
    /// The devices there are were asked for, and there was no answer in time.
    #[error("The system does not answer when it is asked which sound devices there are.")]
    Unlisted,
    /// Another program has it.
    #[error(
        "The {0} is in use by another program that shares it with nobody. Close that program, or choose another {0} in the settings."
    )]
    Busy(Role),
    /// The system does not let us.
    #[error("This program has no permission to use the {0}.")]
    Refused(Role),
    /// It has no rate, width or number of channels that we can do.
    #[error("The {0} offers no sound format that this program can use.")]
    Unsupported(Role),
    /// The system says something else.
    #[error("The {role} cannot be opened: {reason}.")]
    Other {
        /// Which way.
        role: Role,
        /// In the system's words.
        reason: String,
    },
    /// The file to play as a microphone cannot be read.
    #[error("The sound file cannot be played: {0}.")]
    Source(#[from] media::wav::WavError),
    /// The file to play into cannot be written.
    #[error("The sound file {path} cannot be written: {reason}.")]
    Target {
        /// The file.
        path: PathBuf,
        /// In the system's words.
        reason: String,
    },
    /// The pump takes nothing.
    #[error("The sound engine does not answer: {0}.")]
    Pump(#[from] media::MediaError),
    /// No thread can be had.
    #[error("The system gives no thread for sound: {0}.")]
    Thread(std::io::Error),
}

fn named(role: Role, id: Option<&str>) -> String {
    match id {
        Some(id) => format!("The chosen {role} “{id}”"),
        None => format!("The system’s {role}"),
    }
}

impl AudioError {
    /// Which of the two devices it is about, where it is about one.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Silent { role, .. } | Self::Crowd { role, .. } => Some(*role),
            Self::NoDevice(role)
            | Self::Busy(role)
            | Self::Refused(role)
            | Self::Unsupported(role)
            | Self::NotConnected { role, .. }
            | Self::Other { role, .. } => Some(*role),
            Self::Source(_) => Some(Role::Capture),
            Self::Target { .. } => Some(Role::Playout),
            Self::Unlisted | Self::Pump(_) | Self::Thread(_) => None,
        }
    }

    /// Why a device was given up that was asked for by [`crate::in_time`].
    #[must_use]
    pub fn unanswered(role: Role, id: Option<&str>, why: Unanswered) -> Self {
        let id = id.map(str::to_owned);
        match why {
            Unanswered::Late => Self::Silent { role, id },
            Unanswered::Crowd => Self::Crowd { role, id },
            Unanswered::Thread(error) => Self::Thread(error),
            Unanswered::Fault => Self::Other {
                role,
                reason: "opening it has failed inside".to_owned(),
            },
        }
    }

    pub(crate) fn from_cpal(role: Role, error: &cpal::Error) -> Self {
        use cpal::ErrorKind;
        match error.kind() {
            ErrorKind::DeviceBusy => Self::Busy(role),
            ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => Self::NoDevice(role),
            ErrorKind::PermissionDenied => Self::Refused(role),
            ErrorKind::UnsupportedConfig | ErrorKind::UnsupportedOperation => {
                Self::Unsupported(role)
            }
            _ => Self::Other {
                role,
                reason: error.to_string().trim_end_matches('.').to_owned(),
            },
        }
    }
}

/// What happened to an open device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FaultKind {
    /// It was unplugged or taken away.
    Gone = 1,
    /// The sound server went, or the stream has to be opened again.
    Interrupted = 2,
    /// The system moved us to another device, or changed this one.
    Changed = 3,
    /// It is open and does nothing: for seconds it has brought or taken no sample.
    Stalled = 4,
    /// Something else.
    Failed = 5,
}

impl FaultKind {
    /// What a back-end's error means for its device; nothing where it goes on.
    pub(crate) fn of(kind: cpal::ErrorKind) -> Option<Self> {
        use cpal::ErrorKind;
        Some(match kind {
            // Late or without real-time priority is not broken.
            ErrorKind::Xrun | ErrorKind::RealtimeDenied => return None,
            ErrorKind::DeviceNotAvailable => Self::Gone,
            ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => Self::Interrupted,
            ErrorKind::DeviceChanged => Self::Changed,
            _ => Self::Failed,
        })
    }
}

/// A fault of an open device, for the user to read and for the program to open another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which device.
    pub role: Role,
    /// What happened.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self.role;
        match self.kind {
            FaultKind::Gone => write!(f, "The {role} was disconnected."),
            FaultKind::Interrupted => write!(f, "The connection to the {role} was interrupted."),
            FaultKind::Changed => write!(f, "The system has changed the {role}."),
            FaultKind::Stalled => write!(f, "The {role} has stopped working."),
            FaultKind::Failed => write!(f, "The {role} reported a fault."),
        }
    }
}

/// Where a back-end's error callback leaves its news: it may run on a real-time thread.
#[derive(Debug, Default)]
pub(crate) struct FaultCell(AtomicU8);

impl FaultCell {
    pub(crate) fn note(&self, kind: cpal::ErrorKind) {
        let Some(kind) = FaultKind::of(kind) else {
            return;
        };
        // The first is the cause, what follows its consequence; but one that says what it is tells more than one that does not.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |before| {
            let is_vague = before == FaultKind::Failed as u8 && kind != FaultKind::Failed;
            (before == 0 || is_vague).then_some(kind as u8)
        });
    }

    pub(crate) fn take(&self) -> Option<FaultKind> {
        Some(match self.0.swap(0, Relaxed) {
            1 => FaultKind::Gone,
            2 => FaultKind::Interrupted,
            3 => FaultKind::Changed,
            4 => FaultKind::Stalled,
            5 => FaultKind::Failed,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpal::ErrorKind;

    #[test]
    fn each_refusal_is_a_sentence() {
        let sentence = |kind, role| {
            let error = cpal::Error::new(kind);
            AudioError::from_cpal(role, &error).to_string()
        };
        assert_eq!(
            sentence(ErrorKind::DeviceBusy, Role::Capture),
            "The microphone is in use by another program that shares it with nobody. \
             Close that program, or choose another microphone in the settings."
        );
        assert_eq!(
            sentence(ErrorKind::DeviceNotAvailable, Role::Playout),
            "No speaker was found. Connect one, or choose another in the settings."
        );
        assert_eq!(
            sentence(ErrorKind::PermissionDenied, Role::Capture),
            "This program has no permission to use the microphone."
        );
        let unanswered = |id, why| AudioError::unanswered(Role::Playout, id, why).to_string();
        assert_eq!(
            unanswered(Some("alsa:jack"), Unanswered::Late),
            "The chosen speaker “alsa:jack” does not answer."
        );
        assert_eq!(
            unanswered(None, Unanswered::Late),
            "The system’s speaker does not answer."
        );
        assert_eq!(
            unanswered(None, Unanswered::Crowd),
            "The system’s speaker is not tried: too many sound devices do not answer."
        );
        let other = sentence(ErrorKind::BackendError, Role::Playout);
        assert!(
            other.starts_with("The speaker cannot be opened: "),
            "{other}"
        );
        assert!(other.ends_with('.') && !other.ends_with(".."), "{other}");
    }

    #[test]
    fn the_first_fault_is_told_once_and_an_xrun_is_none() {
        let cell = FaultCell::default();
        cell.note(ErrorKind::Xrun);
        assert_eq!(cell.take(), None);
        cell.note(ErrorKind::DeviceNotAvailable);
        cell.note(ErrorKind::StreamInvalidated);
        assert_eq!(cell.take(), Some(FaultKind::Gone));
        assert_eq!(cell.take(), None);
        let fault = Fault {
            role: Role::Capture,
            kind: FaultKind::Gone,
        };
        assert_eq!(fault.to_string(), "The microphone was disconnected.");
    }
}
