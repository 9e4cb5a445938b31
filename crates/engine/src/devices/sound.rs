//! Where devices come from: the sound system, or what a test has in its place.

use audio::{
    AudioError, CaptureChoice, Devices, Fault, OpenDevices, PlayoutChoice, Prepared, Role,
};
use media::PumpHandle;

/// A sound system. All of this may block for ever but for silence.
pub(crate) trait Sound: Send + Sync + 'static {
    /// Which devices there are.
    fn list(&self) -> Devices;

    /// The id of this device, or of the system's default, if it is there.
    fn is_there(&self, role: Role, id: Option<&str>) -> Option<String>;

    /// Opens a device, or the system's default.
    fn prepare(
        &self,
        role: Role,
        id: Option<&str>,
        pump: &PumpHandle,
    ) -> Result<Box<dyn Ready>, AudioError>;

    /// Silence at the pace of speech.
    fn silence(&self, role: Role, pump: &PumpHandle) -> Result<Box<dyn Ready>, AudioError>;

    /// Has those threads of the pump come first that are there by now; opening a device does so, too.
    fn raise(&self, pump: &PumpHandle);
}

/// A device that is open, and not used before it is attached.
pub(crate) trait Ready: Send {
    /// What the user should know of how it works.
    fn remark(&self) -> Option<String>;

    /// Gives it to the pump. Does not block.
    fn attach(self: Box<Self>, pump: &PumpHandle) -> Result<Box<dyn Open>, AudioError>;
}

/// A device that is used.
pub(crate) trait Open: Send {
    /// What has happened to it since it was asked last.
    fn poll_fault(&mut self) -> Option<Fault>;

    /// Which device of the sound system it is.
    fn card(&self, role: Role) -> Option<&str>;
}

/// The system's own.
pub(crate) struct System;

impl Sound for System {
    fn list(&self) -> Devices {
        audio::list()
    }

    fn is_there(&self, role: Role, id: Option<&str>) -> Option<String> {
        audio::is_there(role, id)
    }

    fn prepare(
        &self,
        role: Role,
        id: Option<&str>,
        pump: &PumpHandle,
    ) -> Result<Box<dyn Ready>, AudioError> {
        let own = id.map(str::to_owned);
        let prepared = match role {
            Role::Capture => {
                let choice = own.map_or(CaptureChoice::Default, CaptureChoice::Id);
                audio::prepare(&choice, &PlayoutChoice::Off, pump)
            }
            Role::Playout => {
                let choice = own.map_or(PlayoutChoice::Default, PlayoutChoice::Id);
                audio::prepare(&CaptureChoice::Off, &choice, pump)
            }
            Role::Ringer => audio::prepare_ringer(id, pump),
        };
        Ok(Box::new(prepared?))
    }

    fn silence(&self, role: Role, pump: &PumpHandle) -> Result<Box<dyn Ready>, AudioError> {
        let (capture, playout) = match role {
            Role::Capture => (CaptureChoice::Null, PlayoutChoice::Off),
            Role::Playout | Role::Ringer => (CaptureChoice::Off, PlayoutChoice::Null),
        };
        Ok(Box::new(audio::prepare(&capture, &playout, pump)?))
    }

    fn raise(&self, pump: &PumpHandle) {
        audio::raise(pump);
    }
}

impl Ready for Prepared {
    fn remark(&self) -> Option<String> {
        Prepared::remark(self).map(str::to_owned)
    }

    fn attach(self: Box<Self>, pump: &PumpHandle) -> Result<Box<dyn Open>, AudioError> {
        Ok(Box::new(Prepared::attach(*self, pump)?))
    }
}

impl Open for OpenDevices {
    fn poll_fault(&mut self) -> Option<Fault> {
        OpenDevices::poll_fault(self)
    }

    fn card(&self, role: Role) -> Option<&str> {
        OpenDevices::card(self, role)
    }
}
