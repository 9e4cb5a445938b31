//! Which devices there are.

use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait};

use crate::asking::{in_time, is_given_up, turn};
use crate::complaints::to_the_log;
use crate::fault::{AudioError, Role};

/// A device to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// For [`crate::CaptureChoice::Id`] and [`crate::PlayoutChoice::Id`]; the same after a restart.
    pub id: String,
    /// For the user to read.
    pub name: String,
}

/// The devices there are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Microphones.
    pub capture: Vec<Device>,
    /// Speakers.
    pub playout: Vec<Device>,
}

/// How long a name may take that has to be opened to see whether there is something behind it.
const LOOK: Duration = Duration::from_secs(1);

/// The same of the next ones, once a name did not answer.
const GLANCE: Duration = Duration::from_millis(200);

/// Looks for devices. There is no event for a device that comes or goes, so this is asked again when the user
/// looks or a device failed. It may take a tenth of a second, or seconds when the sound system does not answer, and where it
/// hangs altogether it takes for ever: ask by [`in_time`].
#[must_use]
pub fn list() -> Devices {
    to_the_log(look)
}

fn look() -> Devices {
    let mut devices = Devices::default();
    let found = match cpal::default_host().devices() {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "sound devices cannot be listed");
            return devices;
        }
    };
    let mut patience = LOOK;
    for device in found {
        let (Ok(id), Ok(description)) = (device.id(), device.description()) else {
            continue;
        };
        if !is_for_people(id.id()) {
            continue;
        }
        let entry = Device {
            id: id.to_string(),
            name: name_of(description.name(), id.id()),
        };
        let named = names_a_card(id.id());
        if description.supports_input()
            && !devices.capture.contains(&entry)
            && (named || answers(&device, Role::Capture, &mut patience))
        {
            devices.capture.push(entry.clone());
        }
        if description.supports_output()
            && !devices.playout.contains(&entry)
            && (named || answers(&device, Role::Playout, &mut patience))
        {
            devices.playout.push(entry);
        }
    }
    devices
}

/// ALSA names each card many times over (raw, shared, surround, each plug-in); of those one per card is kept,
/// the one that converts, and the sound servers. Other back-ends' names have none of these forms.
fn is_for_people(id: &str) -> bool {
    const MACHINERY: [&str; 20] = [
        "null",
        "hw",
        "sysdefault",
        "front",
        "surround21",
        "surround40",
        "surround41",
        "surround50",
        "surround51",
        "surround71",
        "iec958",
        "spdif",
        "hdmi",
        "dmix",
        "dsnoop",
        "usbstream",
        "lavrate",
        "samplerate",
        "speexrate",
        "jack",
    ];
    const CONVERTERS: [&str; 5] = ["oss", "upmix", "vdownmix", "speex", "modem"];
    let kind = id.split(':').next().unwrap_or(id);
    !MACHINERY.contains(&kind) && !CONVERTERS.contains(&kind)
}

/// Whether an id is that of a piece of hardware. ALSA lists its other names, `default` and those of sound servers,
/// also where there is no card and no server runs.
fn names_a_card(id: &str) -> bool {
    !cfg!(target_os = "linux") || id.contains("CARD=")
}

/// Whether there is something behind a device's name. What does not answer is there: whoever chooses it is told.
fn answers(device: &cpal::Device, role: Role, patience: &mut Duration) -> bool {
    let device = device.clone();
    let what = format!("look at {}, {role}", id_of(&device).unwrap_or_default());
    let asked = in_time(&what, *patience, move || {
        to_the_log(|| {
            let _turn = turn();
            reach(&device, role);
            leads_somewhere(match role {
                Role::Capture => device.default_input_config(),
                Role::Playout | Role::Ringer => device.default_output_config(),
            })
        })
    });
    asked.unwrap_or_else(|_| {
        *patience = GLANCE;
        true
    })
}

fn id_of(device: &cpal::Device) -> Option<String> {
    device.id().ok().map(|id| id.to_string())
}

/// Whether there is something behind a name, be it busy or forbidden.
fn leads_somewhere<T>(asked: Result<T, cpal::Error>) -> bool {
    use cpal::ErrorKind::{BackendError, DeviceNotAvailable, HostUnavailable};
    asked.err().is_none_or(|error| {
        !matches!(
            error.kind(),
            DeviceNotAvailable | HostUnavailable | BackendError
        )
    })
}

/// The first line of the description, which is the card's and the device's name.
fn name_of(name: &str, id: &str) -> String {
    let line = name.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        id.to_owned()
    } else {
        line.to_owned()
    }
}

/// The id of this device, or of the system's default, if it is there now. Where the sound system hangs it takes for ever: ask by
/// [`in_time`].
#[must_use]
pub fn is_there(role: Role, id: Option<&str>) -> Option<String> {
    to_the_log(|| id_of(&find(role, id).ok()?))
}

/// The device of that id, or the system's default, once it has answered.
pub(crate) fn find_awake(role: Role, id: Option<&str>) -> Result<cpal::Device, AudioError> {
    let device = find(role, id)?;
    reach(&device, role);
    if is_given_up() {
        let id = id.map(str::to_owned);
        return Err(AudioError::Silent { role, id });
    }
    Ok(device)
}

/// Returns when a device can be opened or refuses to be. cpal opens one device of ALSA at a time: one that hangs there would
/// keep all others shut, so it hangs here.
#[cfg(target_os = "linux")]
fn reach(device: &cpal::Device, role: Role) {
    let Ok(id) = device.id() else {
        return;
    };
    if id.host() == cpal::HostId::Alsa {
        let direction = match role {
            Role::Capture => alsa::Direction::Capture,
            Role::Playout | Role::Ringer => alsa::Direction::Playback,
        };
        // Why it refuses is said when it is opened to be used.
        let _ = alsa::PCM::new(id.id(), direction, true);
    }
}

/// Other systems open each device by itself.
#[cfg(not(target_os = "linux"))]
fn reach(_: &cpal::Device, _: Role) {}

/// The device of that id, or the system's default.
pub(crate) fn find(role: Role, id: Option<&str>) -> Result<cpal::Device, AudioError> {
    let host = cpal::default_host();
    let Some(id) = id else {
        let device = match role {
            Role::Capture => host.default_input_device(),
            Role::Playout | Role::Ringer => host.default_output_device(),
        };
        return device.ok_or(AudioError::NoDevice(role));
    };
    let not_connected = || AudioError::NotConnected {
        role,
        id: id.to_owned(),
    };
    let parsed: cpal::DeviceId = id.parse().map_err(|_| not_connected())?;
    host.device_by_id(&parsed).ok_or_else(not_connected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_listed_once_and_machinery_not_at_all() {
        for id in ["default", "pulse", "pipewire", "plughw:CARD=PCH,DEV=0"] {
            assert!(is_for_people(id), "{id}");
        }
        for id in [
            "null",
            "hw:CARD=PCH,DEV=0",
            "surround51:CARD=PCH,DEV=0",
            "oss",
        ] {
            assert!(!is_for_people(id), "{id}");
        }
    }

    #[test]
    fn a_name_with_nothing_behind_it_is_no_device() {
        use cpal::ErrorKind;
        let asked = |kind: ErrorKind| leads_somewhere::<()>(Err(kind.into()));
        assert!(leads_somewhere(Ok(())));
        for kind in [ErrorKind::DeviceBusy, ErrorKind::PermissionDenied] {
            assert!(asked(kind), "{kind:?} says that there is one");
        }
        for kind in [
            ErrorKind::DeviceNotAvailable,
            ErrorKind::HostUnavailable,
            ErrorKind::BackendError,
        ] {
            assert!(!asked(kind), "{kind:?}");
        }
        assert!(names_a_card("plughw:CARD=PCH,DEV=0"));
        assert_eq!(names_a_card("default"), !cfg!(target_os = "linux"));
    }

    #[test]
    fn listing_without_a_sound_card_is_harmless() {
        let devices = list();
        println!("{devices:?}");
        for device in devices.capture.iter().chain(&devices.playout) {
            assert!(!device.id.is_empty() && !device.name.is_empty());
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        for id in ["alsa:plughw:CARD=Nowhere,DEV=9", "not even an id"] {
            let Err(error) = find(Role::Playout, Some(id)) else {
                panic!("{id} was found");
            };
            assert_eq!(
                error.to_string(),
                format!("The chosen speaker “{id}” is not connected.")
            );
        }
    }
}
