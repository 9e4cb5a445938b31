//! Sound devices as the view shows them.

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
