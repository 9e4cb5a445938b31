//! One device each: what was chosen, what is open instead, and when to look again.
//!
//! ```text
//!            needed                 opened
//!   Shut ─────────────► Underway ───────────► Open ──┐ fault: open again, or rest and open again
//!    ▲                     ▲ │                 │ │   │ stands in for another: look again and again whether that is back
//!    └──── not needed ─────┴─┼─────────────────┘ └───┘
//!                            └─ another was chosen: open that; what the first job brings is closed
//! ```
//!
//! Opening blocks, and may block for ever, so a thread does it and is waited for as long as [`Means`] says. What was chosen and is not
//! there is replaced by the system's default, and that by a device of silence, so that a call goes on at its own pace; the
//! user is told, and it is taken back when it returns. A device that does not answer is replaced by silence at once, and by the
//! default with the next look: the default may not answer either.

use std::sync::Arc;
use std::time::Duration;

use audio::{AudioError, Role};
use media::PumpHandle;
use model::DeviceId;

use super::sound::{Open, Ready, Sound};

/// How often open devices are asked whether they still work: what is opened again at once is missed for no longer than that.
pub(super) const WATCH: Duration = Duration::from_millis(100);

/// So much time in watches.
pub(super) const fn watches(time: Duration) -> u32 {
    (time.as_millis() / WATCH.as_millis()) as u32
}

/// Watches of a side between two looks whether the right device is there, …
const LOOK_EVERY: u32 = watches(Duration::from_secs(1));

/// … and shortly after it has lost the only one.
const LOOK_EVERY_AT_FIRST: u32 = watches(Duration::from_millis(500));
const AT_FIRST: u32 = watches(Duration::from_secs(10));

/// A device that failed is opened again at once. If that fails, too, it is left alone for so many watches, and then for twice as
/// many each time, up to [`LONGEST_REST`].
pub(super) const FIRST_REST: u32 = watches(Duration::from_secs(1));
pub(super) const LONGEST_REST: u32 = watches(Duration::from_secs(32));

/// After so many watches without a fault the next one is the first again.
pub(super) const CALM: u32 = watches(Duration::from_secs(30));

/// Where a device is between shut and open.
enum Opening {
    Shut,
    Underway,
    Open(Box<dyn Open>),
}

/// One of the microphone, the speaker, and what rings.
pub(super) struct Side {
    pub(super) role: Role,
    /// What the user chose; none follows the system.
    chosen: Option<DeviceId>,
    /// What did not work as chosen.
    pub(super) trouble: Option<String>,
    opening: Opening,
    /// Which opening this is; what comes of an earlier one is not used.
    number: u64,
    /// What is open is not what was chosen.
    stands_in: bool,
    /// A thread looks whether the right one is there.
    looking: bool,
    watches: u32,
    /// Faults without a calm time between them, and watches since the last.
    faults: u32,
    calm: u32,
    /// Watches until a device that failed again and again may be looked for.
    rest: u32,
}

/// What came of opening a device, or of looking for a better one.
pub(crate) struct Opened {
    role: Role,
    number: u64,
    device: Option<Box<dyn Ready>>,
    stands_in: bool,
    warning: Option<String>,
    /// Only a look: what is open stays where there is nothing better.
    look: bool,
}

impl Opened {
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// Whether a look has found a better device.
    pub(super) fn is_found(&self) -> bool {
        self.look && self.device.is_some()
    }
}

/// What a thread is to do, without the actor.
#[derive(Clone, Debug)]
pub(super) struct Job {
    role: Role,
    number: u64,
    chosen: Option<DeviceId>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Open what was chosen.
    Open,
    /// What was chosen has failed again and again, last with this: have something else, the default if it may be that.
    StandIn { fault: String, default: bool },
    /// Look whether something better is there than this device, or than silence.
    Look { open: Option<String> },
}

impl Side {
    pub(super) fn new(role: Role, chosen: Option<DeviceId>) -> Self {
        Self {
            role,
            chosen,
            trouble: None,
            opening: Opening::Shut,
            number: 0,
            stands_in: false,
            looking: false,
            watches: 0,
            faults: 0,
            calm: 0,
            rest: 0,
        }
    }

    /// The device of the sound system that is open.
    pub(super) fn card(&self) -> Option<&str> {
        match &self.opening {
            Opening::Open(device) => device.card(self.role),
            Opening::Shut | Opening::Underway => None,
        }
    }

    /// Nothing could be opened: silence stands in, or there is not even that.
    pub(super) fn is_without(&self) -> bool {
        match &self.opening {
            Opening::Open(device) => device.card(self.role).is_none(),
            Opening::Shut => self.trouble.is_some(),
            Opening::Underway => false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.opening, Opening::Open(_))
    }

    pub(super) fn is_underway(&self) -> bool {
        matches!(self.opening, Opening::Underway)
    }

    /// Opens or shuts it as it is needed.
    pub(super) fn settle(&mut self, needed: bool) -> Option<Job> {
        match (&self.opening, needed) {
            (Opening::Shut, true) => Some(self.open(What::Open)),
            (Opening::Open(_), false) => {
                self.opening = Opening::Shut;
                None
            }
            _ => None,
        }
    }

    fn open(&mut self, what: What) -> Job {
        self.opening = Opening::Underway;
        self.looking = false;
        self.number += 1;
        self.job(what)
    }

    fn job(&self, what: What) -> Job {
        Job {
            role: self.role,
            number: self.number,
            chosen: self.chosen.clone(),
            what,
        }
    }

    /// Another device was chosen, or the same anew. It is taken at once, whatever the one before it is waiting for.
    pub(super) fn choose(&mut self, device: Option<DeviceId>) -> Option<Job> {
        self.chosen = device;
        (self.faults, self.rest) = (0, 0);
        let is_shut = matches!(self.opening, Opening::Shut);
        (!is_shut).then(|| self.open(What::Open))
    }

    /// What has happened since the last look, and what is to be done about it.
    pub(super) fn watch(&mut self) -> Option<Job> {
        let Opening::Open(device) = &mut self.opening else {
            return None;
        };
        if let Some(fault) = device.poll_fault() {
            return Some(self.on_fault(fault.to_string()));
        }
        self.calm += 1;
        if self.calm > CALM && !self.stands_in {
            self.faults = 0;
        }
        self.watches = self.watches.wrapping_add(1);
        self.rest = self.rest.saturating_sub(1);
        let may_differ = self.stands_in || self.chosen.is_none();
        let every = if self.is_without() && self.calm < AT_FIRST {
            LOOK_EVERY_AT_FIRST
        } else {
            LOOK_EVERY
        };
        let is_time = self.rest == 0 && self.watches.is_multiple_of(every);
        if self.looking || !may_differ || !is_time {
            return None;
        }
        self.looking = true;
        let open = self.card().map(str::to_owned);
        Some(self.job(What::Look { open }))
    }

    fn on_fault(&mut self, fault: String) -> Job {
        self.trouble = Some(fault.clone());
        self.calm = 0;
        self.faults += 1;
        let Some(again) = self.faults.checked_sub(2) else {
            return self.open(What::Open);
        };
        self.rest = LONGEST_REST.min(FIRST_REST << again.min(16));
        // What stands in and fails is no better than silence.
        let default = self.chosen.is_some() && !self.stands_in;
        self.open(What::StandIn { fault, default })
    }

    /// Takes what a thread has opened, unless something else was chosen meanwhile: then it is closed.
    pub(super) fn take(&mut self, opened: Opened, needed: bool, pump: &PumpHandle) {
        let is_awaited = match self.opening {
            Opening::Shut => false,
            Opening::Underway => !opened.look,
            Opening::Open(_) => opened.look,
        };
        if opened.number != self.number || !is_awaited {
            return shut_aside(opened.device);
        }
        if opened.look {
            self.looking = false;
            if opened.device.is_none() {
                return;
            }
        }
        self.trouble = opened.warning;
        self.stands_in = opened.stands_in;
        if !needed {
            self.opening = Opening::Shut;
            return shut_aside(opened.device);
        }
        self.opening = match opened.device.map(|device| device.attach(pump)) {
            Some(Ok(device)) => Opening::Open(device),
            Some(Err(error)) => {
                self.trouble = Some(error.to_string());
                Opening::Shut
            }
            None => Opening::Shut,
        };
    }
}

/// Closes what is not used: that may take its time.
fn shut_aside(device: Option<Box<dyn Ready>>) {
    if let Some(device) = device {
        let thread = std::thread::Builder::new().name("audio-aside".to_owned());
        // Without a thread it is closed here.
        drop(thread.spawn(move || drop(device)));
    }
}

/// What a job is done with.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) sound: Arc<dyn Sound>,
    pub(crate) pump: PumpHandle,
    /// How long the sound system is waited for.
    pub(crate) patience: Duration,
}

impl Job {
    /// Whether what is open stays, should there be nothing better.
    pub(super) fn is_a_look(&self) -> bool {
        matches!(self.what, What::Look { .. })
    }

    /// What came of it where there was no thread to do it.
    pub(super) fn undone(&self, error: std::io::Error) -> Opened {
        self.nothing(Some(AudioError::Thread(error).to_string()))
    }

    /// Does it, on a thread that may block. Takes as long as the sound system is waited for, twice at most.
    pub(super) fn run(&self, means: &Means) -> Opened {
        match &self.what {
            What::Open => self.open(means),
            What::StandIn { fault, default } => {
                let mut warning = fault.clone();
                let device = default.then(|| self.instead(&mut warning, means)).flatten();
                self.or_silence(device, warning, means)
            }
            What::Look { open } => self.look(open.as_deref(), means),
        }
    }

    fn open(&self, means: &Means) -> Opened {
        let error = match self.start(self.chosen(), means) {
            Ok(device) => return self.right(device),
            Err(error) => error,
        };
        let mut warning = error.to_string();
        let hangs = matches!(error, AudioError::Silent { .. } | AudioError::Crowd { .. });
        let may_be_default = self.chosen.is_some() && !hangs && self.role != Role::Ringer;
        let device = may_be_default
            .then(|| self.instead(&mut warning, means))
            .flatten();
        self.or_silence(device, warning, means)
    }

    fn look(&self, open: Option<&str>, means: &Means) -> Opened {
        let (role, id, sound) = (self.role, self.chosen.clone(), Arc::clone(&means.sound));
        let what = format!("look for {role} {}", self.chosen().unwrap_or_default());
        let there = audio::in_time(&what, means.patience, move || {
            sound.is_there(role, id.as_ref().map(DeviceId::as_str))
        });
        let there = there.ok().flatten();
        if there.is_some() && there.as_deref() != open {
            match self.start(self.chosen(), means) {
                Ok(device) => return self.right(device),
                // The default is better than silence.
                Err(error) if open.is_none() && self.chosen.is_some() => {
                    let mut warning = error.to_string();
                    let device = self.instead(&mut warning, means);
                    return Opened {
                        device,
                        ..self.nothing(Some(warning))
                    };
                }
                Err(_) => {}
            }
        }
        self.nothing(None)
    }

    fn chosen(&self) -> Option<&str> {
        self.chosen.as_ref().map(DeviceId::as_str)
    }

    fn nothing(&self, warning: Option<String>) -> Opened {
        Opened {
            role: self.role,
            number: self.number,
            device: None,
            stands_in: true,
            warning,
            look: self.is_a_look(),
        }
    }

    fn right(&self, device: Box<dyn Ready>) -> Opened {
        Opened {
            stands_in: false,
            warning: device.remark(),
            device: Some(device),
            ..self.nothing(None)
        }
    }

    /// The system's default in place of what was chosen.
    fn instead(&self, warning: &mut String, means: &Means) -> Option<Box<dyn Ready>> {
        let default = self.start(None, means).ok()?;
        warning.push_str(" Until it can be used it is the system’s default.");
        Some(default)
    }

    fn or_silence(&self, device: Option<Box<dyn Ready>>, warning: String, means: &Means) -> Opened {
        // What rings does so at the speaker then.
        let silence = || {
            (self.role != Role::Ringer).then(|| means.sound.silence(self.role, &means.pump).ok())
        };
        Opened {
            device: device.or_else(|| silence().flatten()),
            ..self.nothing(Some(warning))
        }
    }

    fn start(&self, id: Option<&str>, means: &Means) -> Result<Box<dyn Ready>, AudioError> {
        let role = self.role;
        let what = match id {
            Some(id) => format!("open {role} {id}"),
            None => format!("open {role}"),
        };
        let (own, means) = (id.map(str::to_owned), means.clone());
        let patience = means.patience;
        audio::in_time(&what, patience, move || {
            means.sound.prepare(role, own.as_deref(), &means.pump)
        })
        .map_err(|why| AudioError::unanswered(role, id, why))?
    }
}
