//! Sound devices as the view shows them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DeviceId, SoundTest};

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Which device.
    pub id: DeviceId,
    /// What the system calls it.
    pub name: String,
}

/// A country whose tones can be heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountryView {
    /// Its two letters (ISO 3166-1); empty for what most of Europe has in common.
    pub code: String,
    /// Its name.
    pub name: String,
}

/// How loud something is, in percent of its amplitude: 0 is silence, 100 as it comes, 200 twice that (6 dB more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u8")]
pub struct Volume(u8);

/// So many percent are no volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeFault(i64);

impl Volume {
    /// The loudest, in percent.
    pub const MOST: u8 = 200;

    /// The volume that is nearest to so many percent.
    pub fn nearest(percent: i64) -> Self {
        Self(u8::try_from(percent.clamp(0, i64::from(Self::MOST))).unwrap_or(Self::MOST))
    }

    /// In percent.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// What a sample is multiplied with.
    pub fn factor(self) -> f32 {
        f32::from(self.0) / 100.0
    }
}

impl Default for Volume {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<i64> for Volume {
    type Error = VolumeFault;

    fn try_from(percent: i64) -> Result<Self, VolumeFault> {
        let volume = Self::nearest(percent);
        match i64::from(volume.0) == percent {
            true => Ok(volume),
            false => Err(VolumeFault(percent)),
        }
    }
}

impl From<Volume> for u8 {
    fn from(volume: Volume) -> Self {
        volume.0
    }
}

impl fmt::Display for VolumeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, percent) = (Volume::MOST, self.0);
        write!(
            f,
            "a volume is between 0 and {most} percent, and not {percent}"
        )
    }
}

impl std::error::Error for VolumeFault {}

/// The devices there are and the ones chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesView {
    /// Microphones.
    pub capture: Vec<DeviceView>,
    /// Speakers.
    pub playout: Vec<DeviceView>,
    /// Chosen microphone; `None` follows the system's default.
    pub chosen_capture: Option<DeviceId>,
    /// Chosen speaker; `None` follows the system's default.
    pub chosen_playout: Option<DeviceId>,
    /// Chosen for ringing, one of the speakers; `None` rings at the speaker.
    #[serde(default)]
    pub chosen_ringer: Option<DeviceId>,
    /// Of everything that the speaker plays; what rings at a device of its own has that device's.
    #[serde(default)]
    pub speaker_volume: Volume,
    /// Of what the microphone hears, after all else that is done to it.
    #[serde(default)]
    pub microphone_gain: Volume,
    /// The country whose tones are heard; `None` is that of the system's language.
    #[serde(default)]
    pub chosen_tones: Option<String>,
    /// Those that there are.
    #[serde(default)]
    pub tones: Vec<CountryView>,
    /// A sentence for the user when sound does not work as chosen.
    pub warning: Option<String>,
    /// Silence stands in for the microphone.
    #[serde(default)]
    pub without_microphone: bool,
    /// What should be heard goes nowhere.
    #[serde(default)]
    pub without_speaker: bool,
    /// Whether the devices are open to be tried ([`crate::Command::TestSound`]).
    #[serde(default)]
    pub testing: bool,
    /// What is heard meanwhile.
    #[serde(default)]
    pub test: SoundTest,
}
