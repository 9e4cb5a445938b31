//! The microphone and the speaker: which there are, which are chosen, and when they are open.
//!
//! Devices are open only while a call needs them, or somebody tries them: an idle phone makes no sound and takes no power.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use audio::{CaptureChoice, OpenDevices, PlayoutChoice, Role};
use media::{Processing, PumpHandle, Tone};
use model::{CallId, DeviceId, DeviceRole, DeviceView, DevicesView, Event, VoicePolicy};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::hub::Hub;
use crate::shared::Ringing;

/// How often open devices are asked whether they still work.
const WATCH: Duration = Duration::from_millis(500);
/// How long devices are tried, when nobody ends it before.
const TEST: Duration = Duration::from_secs(30);

/// Said once in a call.
const VOICE_FAILED: &str = "The processing of the microphone's sound has failed and is off for this call; others may hear an echo of themselves.";

/// What a [`DevicesActor`] can be told.
pub(crate) enum DevicesMsg {
    /// A call needs devices, or does not.
    Call {
        /// Which.
        call: CallId,
        /// Which tone it has sounding.
        ringing: Option<Ringing>,
        /// Whether there is sound in it.
        talking: bool,
        /// What its account wants done to what the microphone hears.
        voice: VoicePolicy,
    },
    /// The user chose.
    Choose {
        /// Microphone or speaker.
        role: DeviceRole,
        /// Which; `None` follows the system.
        device: Option<DeviceId>,
    },
    /// Look for devices again.
    Refresh,
    /// Open the devices without a call, or shut them again.
    Test(bool),
    /// The time of this test is up.
    TestOver(u64),
    /// What was found (from the thread that looked).
    Found(Box<audio::Devices>),
    /// Devices were opened, as far as that was possible (from the thread that did it).
    Opened(Opened),
    /// Ask the open devices whether they still work.
    Watch,
    /// Fail, so that the supervisor's answer can be seen.
    #[cfg(test)]
    Crash,
}

/// Owns the devices.
pub(crate) struct DevicesActor;

/// What a [`DevicesActor`] is started with.
#[derive(Clone)]
pub(crate) struct DevicesArgs {
    pub(crate) hub: Arc<Hub>,
    pub(crate) pump: PumpHandle,
    /// `false` for scripts and tests that bring their own sound.
    pub(crate) hardware: bool,
    pub(crate) capture: Option<DeviceId>,
    pub(crate) playout: Option<DeviceId>,
}

pub(crate) struct DevicesState {
    args: DevicesArgs,
    view: DevicesView,
    calls: HashMap<CallId, Need>,
    tone: Option<Tone>,
    open: Opening,
    /// What is done to what the microphone hears, and the devices that this was learned with.
    voice: Option<VoiceOf>,
    /// Whether it was said that this has failed.
    told_of_voice: bool,
    /// Which test of the devices this is, or was the last.
    test: u64,
    /// What is missing altogether.
    missing: Option<&'static str>,
    /// What did not work as chosen.
    trouble: Option<String>,
}

/// What one call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    ringing: Option<Ringing>,
    talking: bool,
    voice: VoicePolicy,
}

/// What is done to what the microphone hears belongs to a pair of devices, not to a call: it knows their room.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VoiceOf {
    capture: Option<String>,
    playout: Option<String>,
    processing: Processing,
}

/// Where the devices are between shut and open. Opening blocks, so a thread does it.
enum Opening {
    Shut,
    Underway,
    Open(OpenDevices),
}

impl Actor for DevicesActor {
    type Msg = DevicesMsg;
    type State = DevicesState;
    type Arguments = DevicesArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let view = DevicesView {
            chosen_capture: args.capture.clone(),
            chosen_playout: args.playout.clone(),
            ..DevicesView::default()
        };
        let state = DevicesState {
            args,
            view,
            calls: HashMap::new(),
            tone: None,
            open: Opening::Shut,
            voice: None,
            told_of_voice: false,
            test: 0,
            missing: None,
            trouble: None,
        };
        if state.args.hardware {
            let _ = myself.cast(DevicesMsg::Refresh);
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DevicesMsg::Call {
                call,
                ringing,
                talking,
                voice,
            } => {
                if ringing.is_none() && !talking {
                    state.calls.remove(&call);
                } else {
                    let need = Need {
                        ringing,
                        talking,
                        voice,
                    };
                    state.calls.insert(call, need);
                    state.end_test();
                }
                state.settle(&myself);
            }
            DevicesMsg::Choose { role, device } => {
                match role {
                    DeviceRole::Capture => state.view.chosen_capture = device,
                    DeviceRole::Playout => state.view.chosen_playout = device,
                }
                state.publish();
                state.reopen(&myself);
            }
            DevicesMsg::Refresh => look(&myself),
            DevicesMsg::Test(on) => state.on_test(&myself, on),
            DevicesMsg::TestOver(test) if test == state.test => state.on_test(&myself, false),
            DevicesMsg::TestOver(_) => {}
            DevicesMsg::Found(devices) => state.on_found(&devices),
            DevicesMsg::Opened(opened) => state.on_opened(&myself, opened),
            DevicesMsg::Watch => state.on_watch(&myself),
            #[cfg(test)]
            DevicesMsg::Crash => panic!("told to fail"),
        }
        Ok(())
    }
}

impl DevicesState {
    /// Somebody tries the devices. A call that is there shows all that a test would.
    fn on_test(&mut self, myself: &ActorRef<DevicesMsg>, on: bool) {
        if on && self.args.hardware && self.calls.is_empty() {
            self.test += 1;
            let test = self.test;
            myself.send_after(TEST, move || DevicesMsg::TestOver(test));
            self.view.testing = true;
            self.publish();
        } else {
            self.end_test();
        }
        self.settle(myself);
    }

    fn end_test(&mut self) {
        if std::mem::take(&mut self.view.testing) {
            self.publish();
        }
    }

    fn is_needed(&self) -> bool {
        self.view.testing || !self.calls.is_empty()
    }

    /// Opens, shuts and sounds whatever the calls need now.
    fn settle(&mut self, myself: &ActorRef<DevicesMsg>) {
        if !self.args.hardware {
            return;
        }
        match (&self.open, self.is_needed()) {
            (Opening::Shut, true) => self.start_opening(myself),
            (Opening::Open(_), false) => self.shut(),
            _ => self.process_voice(),
        }
        let calls = tone_of(self.calls.values().filter_map(|need| need.ringing));
        let tone = calls.or(self.view.testing.then_some(Tone::Ring));
        if tone != self.tone {
            self.tone = tone;
            let told = match tone {
                Some(tone) => self.args.pump.play_tone(tone),
                None => self.args.pump.stop_tone(),
            };
            if let Err(error) = told {
                tracing::warn!(%error, "the tone could not be changed");
            }
        }
    }

    /// What failed in the last call may work in the next; what works has learned something, and is kept.
    fn shut(&mut self) {
        self.open = Opening::Shut;
        if self.args.pump.counters().voice_failed() {
            self.voice = None;
            self.told_of_voice = false;
        }
    }

    /// Has done to the microphone's sound what the calls want and these devices are good for.
    fn process_voice(&mut self) {
        let Opening::Open(devices) = &self.open else {
            return;
        };
        let card = |role| devices.card(role).map(str::to_owned);
        let (capture, playout) = (card(Role::Capture), card(Role::Playout));
        let wanted = wanted_of(self.calls.values().map(|need| need.voice));
        let voice = VoiceOf {
            processing: fitting(wanted, capture.is_some(), playout.is_some()),
            capture,
            playout,
        };
        // Nothing is asked for while devices are tried, and what was learned is not forgotten over that.
        if self.calls.is_empty() || self.voice.as_ref() == Some(&voice) {
            return;
        }
        match self.args.pump.set_processing(voice.processing) {
            Ok(()) => self.voice = Some(voice),
            Err(error) => tracing::warn!(%error, "the microphone's sound is left as it is"),
        }
    }

    fn start_opening(&mut self, myself: &ActorRef<DevicesMsg>) {
        self.open = Opening::Underway;
        let capture = self.view.chosen_capture.clone();
        let playout = self.view.chosen_playout.clone();
        let (pump, myself) = (self.args.pump.clone(), myself.clone());
        tokio::task::spawn_blocking(move || {
            let opened = open_what_works(capture.as_ref(), playout.as_ref(), &pump);
            let _ = myself.cast(DevicesMsg::Opened(opened));
        });
    }

    fn on_opened(&mut self, myself: &ActorRef<DevicesMsg>, opened: Opened) {
        self.warn(opened.warning);
        self.open = match opened.devices {
            Some(devices) if self.is_needed() => Opening::Open(devices),
            _ => Opening::Shut,
        };
        self.process_voice();
        myself.send_after(WATCH, || DevicesMsg::Watch);
    }

    fn on_watch(&mut self, myself: &ActorRef<DevicesMsg>) {
        let Opening::Open(devices) = &mut self.open else {
            return;
        };
        if let Some(fault) = devices.poll_fault() {
            self.warn(Some(fault.to_string()));
            self.reopen(myself);
        } else {
            if self.args.pump.counters().voice_failed() && !self.told_of_voice {
                self.told_of_voice = true;
                self.warn(Some(VOICE_FAILED.to_owned()));
            }
            myself.send_after(WATCH, || DevicesMsg::Watch);
        }
    }

    fn reopen(&mut self, myself: &ActorRef<DevicesMsg>) {
        if matches!(self.open, Opening::Open(_)) {
            self.open = Opening::Shut;
            self.start_opening(myself);
            look(myself);
        }
    }

    fn on_found(&mut self, devices: &audio::Devices) {
        let views = |list: &[audio::Device]| {
            list.iter()
                .map(|d| DeviceView {
                    id: DeviceId::new(d.id.as_str()),
                    name: d.name.clone(),
                })
                .collect()
        };
        self.view.capture = views(&devices.capture);
        self.view.playout = views(&devices.playout);
        self.missing = missing(devices);
        self.view.warning = self.warning();
        self.publish();
    }

    fn warn(&mut self, trouble: Option<String>) {
        self.trouble = trouble;
        let warning = self.warning();
        if self.view.warning != warning {
            self.view.warning = warning;
            self.publish();
        }
    }

    /// What is not there explains what cannot be opened.
    fn warning(&self) -> Option<String> {
        let missing = self.missing.map(str::to_owned);
        missing.or_else(|| self.trouble.clone())
    }

    fn publish(&self) {
        self.args.hub.publish(Event::Devices {
            devices: self.view.clone(),
        });
    }
}

/// What a person should know when there is nothing to speak into or to hear with.
fn missing(devices: &audio::Devices) -> Option<&'static str> {
    match (devices.capture.is_empty(), devices.playout.is_empty()) {
        (true, true) => {
            Some("There is no microphone and no speaker; calls work, and nobody hears anything.")
        }
        (true, false) => Some("There is no microphone; others do not hear you."),
        (false, true) => Some("There is no speaker; you do not hear others."),
        (false, false) => None,
    }
}

/// Lists the devices on a thread that may block: back-ends take their time.
fn look(myself: &ActorRef<DevicesMsg>) {
    let myself = myself.clone();
    tokio::task::spawn_blocking(move || {
        let devices = Box::new(audio::list());
        let _ = myself.cast(DevicesMsg::Found(devices));
    });
}

/// What came of opening devices.
pub(crate) struct Opened {
    devices: Option<OpenDevices>,
    warning: Option<String>,
}

/// Opens what was chosen; what cannot be opened is replaced by a device of silence, so that the call
/// goes on at its own pace, and the user is told.
fn open_what_works(
    capture: Option<&DeviceId>,
    playout: Option<&DeviceId>,
    pump: &PumpHandle,
) -> Opened {
    let mut capture = capture.map_or(CaptureChoice::Default, |id| {
        CaptureChoice::Id(id.as_str().to_owned())
    });
    let mut playout = playout.map_or(PlayoutChoice::Default, |id| {
        PlayoutChoice::Id(id.as_str().to_owned())
    });
    let mut warning = None;
    loop {
        let error = match audio::open(&capture, &playout, pump) {
            Ok(devices) => {
                return Opened {
                    devices: Some(devices),
                    warning,
                };
            }
            Err(error) => error,
        };
        warning = Some(error.to_string());
        let silent = capture == CaptureChoice::Null && playout == PlayoutChoice::Null;
        match error.role() {
            _ if silent => {
                return Opened {
                    devices: None,
                    warning,
                };
            }
            Some(Role::Capture) if capture != CaptureChoice::Null => capture = CaptureChoice::Null,
            Some(Role::Playout) if playout != PlayoutChoice::Null => playout = PlayoutChoice::Null,
            _ => {
                capture = CaptureChoice::Null;
                playout = PlayoutChoice::Null;
            }
        }
    }
}

/// What all calls together want done: the one microphone is that of all of them.
fn wanted_of(policies: impl Iterator<Item = VoicePolicy>) -> Processing {
    let each = policies.map(|policy| Processing {
        echo: policy.echo_cancellation,
        noise: policy.noise_suppression,
        gain: policy.gain_control,
        high_pass: policy.high_pass,
    });
    each.fold(Processing::NONE, Processing::or)
}

/// What of it makes sense: only a room gives back what is played into it, and a sound file is what it is.
fn fitting(wanted: Processing, microphone: bool, speaker: bool) -> Processing {
    if !microphone {
        return Processing::NONE;
    }
    Processing {
        echo: wanted.echo && speaker,
        ..wanted
    }
}

/// What is to sound: who calls here is heard before whoever is called.
fn tone_of(mut ringing: impl Iterator<Item = Ringing> + Clone) -> Option<Tone> {
    if ringing.clone().any(|which| which == Ringing::Here) {
        Some(Tone::Ring)
    } else if ringing.any(|which| which == Ringing::There) {
        Some(Tone::Ringback)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_said_in_one_sentence() {
        let device = || audio::Device {
            id: "d".to_owned(),
            name: "D".to_owned(),
        };
        let said = |capture: usize, playout: usize| {
            let list = |n| std::iter::repeat_with(device).take(n).collect();
            missing(&audio::Devices {
                capture: list(capture),
                playout: list(playout),
            })
        };
        assert_eq!(said(1, 1), None);
        assert!(said(0, 1).is_some_and(|s| s.starts_with("There is no microphone;")));
        assert!(said(1, 0).is_some_and(|s| s.starts_with("There is no speaker;")));
        assert!(said(0, 0).is_some_and(|s| s.contains("no microphone and no speaker")));
    }

    #[test]
    fn echo_is_taken_out_only_where_there_is_a_room() {
        let plain = VoicePolicy {
            echo_cancellation: false,
            noise_suppression: false,
            gain_control: false,
            high_pass: true,
        };
        let wanted = wanted_of([plain].into_iter());
        let high_pass = Processing {
            high_pass: true,
            ..Processing::NONE
        };
        assert_eq!(wanted, high_pass);
        // Two calls, one microphone.
        let wanted = wanted_of([plain, VoicePolicy::default()].into_iter());
        assert_eq!(wanted, Processing::ALL);
        assert_eq!(fitting(wanted, true, true), Processing::ALL);
        assert!(!fitting(wanted, true, false).echo);
        assert!(fitting(wanted, true, false).noise);
        assert_eq!(fitting(wanted, false, true), Processing::NONE);
    }

    #[test]
    fn whoever_calls_makes_the_phone_ring_and_whoever_is_called_is_heard_ringing() {
        let tone = |ringing: &[Ringing]| tone_of(ringing.iter().copied());
        assert_eq!(tone(&[]), None);
        assert_eq!(tone(&[Ringing::There]), Some(Tone::Ringback));
        assert_eq!(tone(&[Ringing::Here]), Some(Tone::Ring));
        let both = [Ringing::There, Ringing::Here];
        assert_eq!(tone(&both), Some(Tone::Ring));
    }
}
