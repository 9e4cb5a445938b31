//! One device each: what was chosen, what is open instead, and when to look again.
//!
//! ```text
//!            needed                 opened
//!   Shut ─────────────► Underway ───────────► Open ──┐ fault: open again
//!    ▲                     ▲                   │ │   │ stands in for another: look each second whether that is back
//!    └──── not needed ─────┴───────────────────┘ └───┘
//! ```
//!
//! Opening blocks, so a thread does it. What was chosen and is not there is replaced by the system's default, and that by
//! a device of silence, so that a call goes on at its own pace; the user is told, and it is taken back when it returns.

use audio::{AudioError, CaptureChoice, OpenDevices, PlayoutChoice, Role};
use media::PumpHandle;
use model::DeviceId;

/// Watches of a side between two looks whether the right device is there.
const LOOK_EVERY: u32 = 2;

/// Where a device is between shut and open.
enum Opening {
    Shut,
    Underway,
    Open(OpenDevices),
}

/// One of the microphone, the speaker, and what rings.
pub(super) struct Side {
    pub(super) role: Role,
    /// What the user chose; none follows the system.
    pub(super) chosen: Option<DeviceId>,
    /// What did not work as chosen.
    pub(super) trouble: Option<String>,
    opening: Opening,
    /// What is open is not what was chosen.
    stands_in: bool,
    /// A thread looks whether the right one is there.
    looking: bool,
    watches: u32,
}

/// What came of opening a device, or of looking for a better one.
pub(crate) struct Opened {
    role: Role,
    chosen: Option<DeviceId>,
    devices: Option<OpenDevices>,
    stands_in: bool,
    warning: Option<String>,
    /// Only a look: what is open stays where there is nothing better.
    look: bool,
}

impl Opened {
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// Whether a look has found the right device.
    pub(super) fn is_found(&self) -> bool {
        self.look && self.devices.is_some()
    }
}

/// What a thread is to do, without the actor.
pub(super) struct Job {
    role: Role,
    chosen: Option<DeviceId>,
    /// The device that is open, where this is only a look for the right one.
    open: Option<Option<String>>,
}

impl Side {
    pub(super) fn new(role: Role, chosen: Option<DeviceId>) -> Self {
        Self {
            role,
            chosen,
            trouble: None,
            opening: Opening::Shut,
            stands_in: false,
            looking: false,
            watches: 0,
        }
    }

    /// The device of the sound system that is open.
    pub(super) fn card(&self) -> Option<&str> {
        match &self.opening {
            Opening::Open(devices) => devices.card(self.role),
            Opening::Shut | Opening::Underway => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.opening, Opening::Open(_))
    }

    /// Opens or shuts it as it is needed.
    pub(super) fn settle(&mut self, needed: bool) -> Option<Job> {
        match (&self.opening, needed) {
            (Opening::Shut, true) => Some(self.open()),
            (Opening::Open(_), false) => {
                self.opening = Opening::Shut;
                None
            }
            _ => None,
        }
    }

    fn open(&mut self) -> Job {
        self.opening = Opening::Underway;
        Job {
            role: self.role,
            chosen: self.chosen.clone(),
            open: None,
        }
    }

    /// Takes another device, or the same anew.
    pub(super) fn reopen(&mut self) -> Option<Job> {
        self.is_open().then(|| self.open())
    }

    /// What has happened since the last look, and what is to be done about it.
    pub(super) fn watch(&mut self) -> Option<Job> {
        let Opening::Open(devices) = &mut self.opening else {
            return None;
        };
        if let Some(fault) = devices.poll_fault() {
            self.trouble = Some(fault.to_string());
            return self.reopen();
        }
        self.watches = self.watches.wrapping_add(1);
        let may_differ = self.stands_in || self.chosen.is_none();
        if self.looking || !may_differ || !self.watches.is_multiple_of(LOOK_EVERY) {
            return None;
        }
        self.looking = true;
        Some(Job {
            role: self.role,
            chosen: self.chosen.clone(),
            open: Some(self.card().map(str::to_owned)),
        })
    }

    /// Takes what a thread has opened. What was chosen meanwhile is another job.
    pub(super) fn take(&mut self, opened: Opened, needed: bool) -> Option<Job> {
        if opened.look {
            self.looking = false;
            if opened.devices.is_none() || !self.is_open() {
                return None;
            }
            if opened.chosen != self.chosen {
                // Its ring has taken the place of the other one's in the pump.
                return self.reopen();
            }
        }
        self.trouble = opened.warning;
        self.stands_in = opened.stands_in;
        self.opening = match opened.devices {
            Some(devices) if needed => Opening::Open(devices),
            _ => Opening::Shut,
        };
        if opened.chosen != self.chosen {
            return self.reopen();
        }
        None
    }
}

impl Job {
    /// Whether what is open stays, should there be nothing better.
    pub(super) fn is_a_look(&self) -> bool {
        self.open.is_some()
    }

    /// Does it, on a thread that may block.
    pub(super) fn run(self, pump: &PumpHandle) -> Opened {
        let Self { role, chosen, open } = self;
        let nothing = |look| Opened {
            role,
            chosen: chosen.clone(),
            devices: None,
            stands_in: true,
            warning: None,
            look,
        };
        if let Some(open) = open {
            let there = audio::is_there(role, chosen.as_ref().map(DeviceId::as_str));
            if there.is_none() || there == open {
                return nothing(true);
            }
            return match start(role, chosen.as_ref(), pump) {
                Ok(devices) => Opened {
                    devices: Some(devices),
                    stands_in: false,
                    ..nothing(true)
                },
                Err(_) => nothing(true),
            };
        }
        let error = match start(role, chosen.as_ref(), pump) {
            Ok(devices) => {
                return Opened {
                    devices: Some(devices),
                    stands_in: false,
                    ..nothing(false)
                };
            }
            Err(error) => error,
        };
        let mut warning = error.to_string();
        // It rings at the speaker then.
        let mut devices = None;
        if role != Role::Ringer {
            if chosen.is_some()
                && let Ok(default) = start(role, None, pump)
            {
                warning.push_str(" Until it can be used it is the system’s default.");
                devices = Some(default);
            }
            devices = devices.or_else(|| silence(role, pump).ok());
        }
        Opened {
            devices,
            warning: Some(warning),
            ..nothing(false)
        }
    }
}

fn start(role: Role, id: Option<&DeviceId>, pump: &PumpHandle) -> Result<OpenDevices, AudioError> {
    let id = id.map(|id| id.as_str().to_owned());
    let playout = || id.clone().map_or(PlayoutChoice::Default, PlayoutChoice::Id);
    match role {
        Role::Capture => {
            let choice = id.clone().map_or(CaptureChoice::Default, CaptureChoice::Id);
            audio::open(&choice, &PlayoutChoice::Off, pump)
        }
        Role::Playout => audio::open(&CaptureChoice::Off, &playout(), pump),
        Role::Ringer => audio::open_ringer(id.as_deref(), pump),
    }
}

/// Silence at the pace of speech.
fn silence(role: Role, pump: &PumpHandle) -> Result<OpenDevices, AudioError> {
    match role {
        Role::Capture => audio::open(&CaptureChoice::Null, &PlayoutChoice::Off, pump),
        Role::Playout | Role::Ringer => {
            audio::open(&CaptureChoice::Off, &PlayoutChoice::Null, pump)
        }
    }
}
