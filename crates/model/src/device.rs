//! Sound devices as the view shows them.

use serde::{Deserialize, Serialize};

use crate::DeviceId;

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Which device.
    pub id: DeviceId,
    /// What the system calls it.
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
    /// A sentence for the user when sound does not work as chosen.
    pub warning: Option<String>,
    /// Whether the devices are open to be tried ([`crate::Command::TestSound`]).
    #[serde(default)]
    pub testing: bool,
}
