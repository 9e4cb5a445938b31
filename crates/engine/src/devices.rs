//! The microphone, the speaker and what rings: which there are, which are chosen, and when they are open.
//!
//! Devices are open only while a call needs them, or somebody tries them: an idle phone makes no sound and takes no power.

mod side;
mod sound;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use audio::{AudioError, Role};
use media::country::{self, Country};
use media::{Processing, Tone, Trial};
use model::{
    CallId, CountryView, DeviceId, DeviceRole, DeviceView, DevicesView, Event, SoundTest,
    VoicePolicy, Volume,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};

pub(crate) use self::side::Means;
use self::side::{Job, Opened, Side, WATCH, watches};
pub(crate) use self::sound::System;
use crate::hub::Hub;
use crate::shared::Ringing;

/// Watches until it is asked again which devices there are, where that was not answered.
const LIST_EVERY: u32 = watches(Duration::from_millis(500));
/// How long devices are tried, when nobody ends it before.
const TEST: Duration = Duration::from_secs(30);
/// How long it is heard that a call came to nothing.
const AFTERWARDS: Duration = Duration::from_secs(4);

/// What is said to whoever tries the speaker.
const SENTENCE: &[u8] = include_bytes!("../../../assets/sound/speaker-test.wav");

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
    /// The user set how loud speaker and microphone are; `None` leaves one.
    SetVolume {
        speaker: Option<Volume>,
        microphone: Option<Volume>,
    },
    /// The user chose whose tones are heard.
    ChooseTones(Option<String>),
    /// A call of ours came to nothing, which is heard for a moment.
    CameToNothing {
        /// Somebody is there and speaks already.
        busy: bool,
    },
    /// That was heard long enough.
    HeardEnough(u64),
    /// Look for devices again.
    Refresh,
    /// Open the devices without a call, for this, or shut them again.
    Test(Option<SoundTest>),
    /// The time of this test is up.
    TestOver(u64),
    /// What was found (from the thread that looked).
    Found(Result<audio::Devices, AudioError>),
    /// A device was opened, as far as that was possible (from the thread that did it).
    Opened(Box<Opened>),
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
    /// What is opened, and for whom.
    pub(crate) means: Means,
    /// `false` for scripts and tests that bring their own sound.
    pub(crate) hardware: bool,
    pub(crate) capture: Option<DeviceId>,
    pub(crate) playout: Option<DeviceId>,
    pub(crate) ringer: Option<DeviceId>,
    pub(crate) speaker_volume: Volume,
    pub(crate) microphone_gain: Volume,
    /// The country whose tones are heard; `None` is that of the system's locale.
    pub(crate) tones: Option<String>,
}

impl DevicesArgs {
    /// Another device for this; what was chosen for the rest stays, also where that was for this run alone.
    pub(crate) fn choose(&mut self, role: DeviceRole, device: Option<DeviceId>) {
        *match role {
            DeviceRole::Capture => &mut self.capture,
            DeviceRole::Playout => &mut self.playout,
            DeviceRole::Ringer => &mut self.ringer,
        } = device;
    }

    /// Another volume of the speaker, the microphone, or both.
    pub(crate) fn set_volume(&mut self, speaker: Option<Volume>, microphone: Option<Volume>) {
        self.speaker_volume = speaker.unwrap_or(self.speaker_volume);
        self.microphone_gain = microphone.unwrap_or(self.microphone_gain);
    }
}

pub(crate) struct DevicesState {
    args: DevicesArgs,
    view: DevicesView,
    calls: HashMap<CallId, Need>,
    tone: Option<Tone>,
    /// Microphone, speaker and what rings.
    sides: [Side; 3],
    /// What is heard after a call that came to nothing, and which that was.
    afterwards: Option<Tone>,
    nothings: u64,
    country: &'static Country,
    watched: bool,
    /// How often they were asked.
    watches: u32,
    /// What is done to what the microphone hears, and the devices that this was learned with.
    voice: Option<VoiceOf>,
    /// Whether it was said that this has failed.
    told_of_voice: bool,
    /// Which test of the devices this is, or was the last.
    test: u64,
    /// What is missing altogether.
    missing: Option<&'static str>,
    /// Why it is not known which devices there are.
    unlisted: Option<String>,
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

impl VoiceOf {
    /// Whether both are of the same room.
    fn is_of(&self, other: &Self) -> bool {
        self.capture == other.capture && self.playout == other.playout
    }
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
            chosen_ringer: args.ringer.clone(),
            speaker_volume: args.speaker_volume,
            microphone_gain: args.microphone_gain,
            chosen_tones: args.tones.clone(),
            tones: country::ALL.iter().map(view_of).collect(),
            ..DevicesView::default()
        };
        let sides = [
            Side::new(Role::Capture, args.capture.clone()),
            Side::new(Role::Playout, args.playout.clone()),
            Side::new(Role::Ringer, args.ringer.clone()),
        ];
        tell_volume(&args);
        let state = DevicesState {
            country: country_of(args.tones.as_deref()),
            args,
            view,
            calls: HashMap::new(),
            tone: None,
            sides,
            afterwards: None,
            nothings: 0,
            watched: false,
            watches: 0,
            voice: None,
            told_of_voice: false,
            test: 0,
            missing: None,
            unlisted: None,
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
                    state.afterwards = None;
                    state.end_test();
                }
                state.settle(&myself);
            }
            DevicesMsg::Choose { role, device } => state.on_choose(&myself, role, device),
            DevicesMsg::SetVolume {
                speaker,
                microphone,
            } => state.on_volume(speaker, microphone),
            DevicesMsg::ChooseTones(tones) => {
                state.country = country_of(tones.as_deref());
                state.args.tones.clone_from(&tones);
                state.view.chosen_tones = tones;
                state.publish();
                state.settle(&myself);
            }
            DevicesMsg::CameToNothing { busy } => state.on_nothing(&myself, busy),
            DevicesMsg::HeardEnough(which) if which == state.nothings => {
                state.afterwards = None;
                state.settle(&myself);
            }
            DevicesMsg::HeardEnough(_) => {}
            DevicesMsg::Refresh => state.look(&myself),
            DevicesMsg::Test(what) => state.on_test(&myself, what),
            DevicesMsg::TestOver(test) if test == state.test => state.on_test(&myself, None),
            DevicesMsg::TestOver(_) => {}
            DevicesMsg::Found(found) => state.on_found(found),
            DevicesMsg::Opened(opened) => state.on_opened(&myself, *opened),
            DevicesMsg::Watch => state.on_watch(&myself),
            #[cfg(test)]
            DevicesMsg::Crash => panic!("told to fail"),
        }
        Ok(())
    }
}

impl DevicesState {
    /// Somebody tries the devices. A call that is there shows all that a test would.
    fn on_test(&mut self, myself: &ActorRef<DevicesMsg>, what: Option<SoundTest>) {
        let what = what.filter(|_| self.args.hardware && self.calls.is_empty());
        if let Some(what) = what {
            self.test += 1;
            let test = self.test;
            myself.send_after(TEST, move || DevicesMsg::TestOver(test));
            self.view.testing = true;
            self.view.test = what;
            let trial = match what {
                SoundTest::Ring => None,
                SoundTest::Sentence => media::wav::parse(SENTENCE).ok().map(Trial::Play),
                SoundTest::Loop => Some(Trial::Loop),
            };
            self.tell_pump(self.args.means.pump.try_devices(trial));
            self.publish();
        } else {
            self.end_test();
        }
        self.settle(myself);
    }

    fn end_test(&mut self) {
        if std::mem::take(&mut self.view.testing) {
            self.tell_pump(self.args.means.pump.try_devices(None));
            self.publish();
        }
    }

    fn tell_pump(&self, told: Result<(), media::MediaError>) {
        if let Err(error) = told {
            tracing::warn!(%error, "what is heard could not be changed");
        }
    }

    fn on_choose(
        &mut self,
        myself: &ActorRef<DevicesMsg>,
        role: DeviceRole,
        device: Option<DeviceId>,
    ) {
        let (side, place) = match role {
            DeviceRole::Capture => (0, &mut self.view.chosen_capture),
            DeviceRole::Playout => (1, &mut self.view.chosen_playout),
            DeviceRole::Ringer => (2, &mut self.view.chosen_ringer),
        };
        place.clone_from(&device);
        let side = self.sides.get_mut(side);
        let job = side.and_then(|side| side.choose(device));
        self.publish();
        self.begin(myself, job);
        self.look(myself);
        self.settle(myself);
    }

    /// The calls that are up hear it with the next frame.
    fn on_volume(&mut self, speaker: Option<Volume>, microphone: Option<Volume>) {
        self.args.set_volume(speaker, microphone);
        tell_volume(&self.args);
        self.view.speaker_volume = self.args.speaker_volume;
        self.view.microphone_gain = self.args.microphone_gain;
        self.publish();
    }

    /// A call of ours ended before anybody spoke.
    fn on_nothing(&mut self, myself: &ActorRef<DevicesMsg>, busy: bool) {
        if !self.args.hardware || !self.calls.is_empty() {
            return;
        }
        self.afterwards = Some(if busy {
            Tone::Busy(self.country)
        } else {
            Tone::Congestion(self.country)
        });
        self.nothings += 1;
        let which = self.nothings;
        myself.send_after(AFTERWARDS, move || DevicesMsg::HeardEnough(which));
        self.settle(myself);
    }

    /// Which of microphone, speaker and what rings are needed.
    fn needed(&self) -> [bool; 3] {
        let talks = self.view.testing || !self.calls.is_empty();
        let rings = self.tone_wanted() == Some(Tone::Ring);
        let apart = self.view.chosen_ringer.is_some();
        [talks, talks || self.afterwards.is_some(), apart && rings]
    }

    fn tone_wanted(&self) -> Option<Tone> {
        let needs = || self.calls.values();
        let talking = needs().any(|need| need.talking && need.ringing.is_none());
        let calls = tone_of(
            needs().filter_map(|need| need.ringing),
            talking,
            self.country,
        );
        let rings = self.view.testing && self.view.test == SoundTest::Ring;
        calls.or(self.afterwards).or(rings.then_some(Tone::Ring))
    }

    /// Opens, shuts and sounds whatever the calls need now.
    fn settle(&mut self, myself: &ActorRef<DevicesMsg>) {
        if !self.args.hardware {
            return;
        }
        let needed = self.needed();
        let sides = self.sides.iter_mut().zip(needed);
        let jobs: Vec<Job> = sides
            .filter_map(|(side, needed)| side.settle(needed))
            .collect();
        self.begin(myself, jobs);
        self.forget_a_failed_voice();
        self.process_voice();
        self.sound_tone();
    }

    /// Has the tone sound that is wanted now.
    fn sound_tone(&mut self) {
        let [_, _, ringer] = &self.sides;
        let wanted = self.tone_wanted();
        // It would ring at the speaker until that is open which rings.
        let tone = wanted.filter(|tone| *tone != Tone::Ring || !ringer.is_underway());
        if tone != self.tone {
            self.tone = tone;
            self.tell_pump(match tone {
                Some(tone) => self.args.means.pump.play_tone(tone),
                None => self.args.means.pump.stop_tone(),
            });
        }
    }

    /// Has threads do what blocks, each its own: one that hangs holds up nobody.
    fn begin(&self, myself: &ActorRef<DevicesMsg>, jobs: impl IntoIterator<Item = Job>) {
        for job in jobs {
            let (means, to) = (self.args.means.clone(), myself.clone());
            let todo = job.clone();
            let begun = aside(move || {
                let opened = Box::new(todo.run(&means));
                let _ = to.cast(DevicesMsg::Opened(opened));
            });
            if let Err(error) = begun {
                let undone = Box::new(job.undone(error));
                let _ = myself.cast(DevicesMsg::Opened(undone));
            }
        }
    }

    /// Has a thread list the devices.
    fn look(&self, myself: &ActorRef<DevicesMsg>) {
        let (means, to) = (self.args.means.clone(), myself.clone());
        let begun = aside(move || {
            let sound = Arc::clone(&means.sound);
            let listed = audio::in_time("list", means.patience, move || sound.list());
            let found = listed.map_err(|_| AudioError::Unlisted);
            let _ = to.cast(DevicesMsg::Found(found));
        });
        if let Err(error) = begun {
            tracing::warn!(%error, "sound devices cannot be listed");
        }
    }

    /// What failed in the last call may work in the next; what works has learned something, and is kept.
    fn forget_a_failed_voice(&mut self) {
        if self.calls.is_empty() && self.args.means.pump.counters().voice_failed() {
            self.voice = None;
            self.told_of_voice = false;
        }
    }

    /// Has done to the microphone's sound what the calls want and these devices are good for.
    fn process_voice(&mut self) {
        let [microphone, speaker, _] = &self.sides;
        if !microphone.is_open() || !speaker.is_open() {
            return;
        }
        let card = |side: &Side| side.card().map(str::to_owned);
        let (capture, playout) = (card(microphone), card(speaker));
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
        let pump = &self.args.means.pump;
        let knows_them = self.voice.as_ref().is_some_and(|old| old.is_of(&voice));
        let told = if knows_them {
            pump.change_processing(voice.processing)
        } else {
            pump.set_processing(voice.processing)
        };
        if let Err(error) = told {
            tracing::warn!(%error, "the microphone's sound is left as it is");
            return;
        }
        if voice.processing != Processing::NONE {
            let means = self.args.means.clone();
            // Without it, it is done as well as the machine has time.
            let _ = aside(move || means.sound.raise(&means.pump));
        }
        self.voice = Some(voice);
    }

    fn on_opened(&mut self, myself: &ActorRef<DevicesMsg>, opened: Opened) {
        let needed = self.needed();
        let role = opened.role();
        if opened.is_found() {
            self.look(myself);
        }
        let mut pairs = self.sides.iter_mut().zip(needed);
        let Some((side, needed)) = pairs.find(|(side, _)| side.role == role) else {
            return;
        };
        side.take(opened, needed, &self.args.means.pump);
        self.warn();
        self.process_voice();
        self.sound_tone();
        if !std::mem::replace(&mut self.watched, true) {
            myself.send_after(WATCH, || DevicesMsg::Watch);
        }
    }

    fn on_watch(&mut self, myself: &ActorRef<DevicesMsg>) {
        let jobs: Vec<Job> = self.sides.iter_mut().filter_map(Side::watch).collect();
        self.watches = self.watches.wrapping_add(1);
        let asks_again = self.unlisted.is_some() && self.watches.is_multiple_of(LIST_EVERY);
        if asks_again || jobs.iter().any(|job| !job.is_a_look()) {
            self.look(myself);
        }
        self.begin(myself, jobs);
        self.told_of_voice |= self.args.means.pump.counters().voice_failed();
        self.warn();
        self.watched = self.sides.iter().any(Side::is_open);
        if self.watched {
            myself.send_after(WATCH, || DevicesMsg::Watch);
        }
    }

    fn on_found(&mut self, found: Result<audio::Devices, AudioError>) {
        let devices = match found {
            Ok(devices) => devices,
            Err(error) => {
                // What was there before is shown until it is known better.
                self.unlisted = Some(error.to_string());
                return self.warn();
            }
        };
        self.unlisted = None;
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
        self.missing = missing(&devices);
        self.judge();
        self.publish();
    }

    fn warn(&mut self) {
        if self.judge() {
            self.publish();
        }
    }

    /// Whether it is worse or better than it was shown.
    fn judge(&mut self) -> bool {
        let [microphone, speaker, _] = &self.sides;
        let without = (microphone.is_without(), speaker.is_without());
        let now = (self.warning(), without);
        let shown = &mut self.view;
        let before = (
            shown.warning.take(),
            (shown.without_microphone, shown.without_speaker),
        );
        let is_news = before != now;
        (
            shown.warning,
            (shown.without_microphone, shown.without_speaker),
        ) = now;
        is_news
    }

    /// What is not there explains what cannot be opened.
    fn warning(&self) -> Option<String> {
        let missing = self.missing.map(str::to_owned);
        let voice = || self.told_of_voice.then(|| VOICE_FAILED.to_owned());
        missing
            .or_else(|| self.troubles())
            .or_else(|| self.unlisted.clone())
            .or_else(voice)
    }

    /// What is the matter with each device, in as many sentences.
    fn troubles(&self) -> Option<String> {
        let troubles = self.sides.iter().filter_map(|side| side.trouble.as_deref());
        let troubles: Vec<&str> = troubles.collect();
        (!troubles.is_empty()).then(|| troubles.join(" "))
    }

    fn publish(&self) {
        self.args.hub.publish(Event::Devices {
            devices: self.view.clone(),
        });
    }
}

/// Has the pump speak and play as loud as was chosen, whichever devices are open.
fn tell_volume(args: &DevicesArgs) {
    let pump = &args.means.pump;
    pump.set_playout_volume(args.speaker_volume.factor());
    pump.set_capture_gain(args.microphone_gain.factor());
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

/// Does what blocks. Not by the runtime: it would wait for it when the program ends.
fn aside(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("devices".to_owned());
    thread.spawn(work).map(drop)
}

fn view_of(country: &Country) -> CountryView {
    CountryView {
        code: country.code.to_owned(),
        name: country.name.to_owned(),
    }
}

/// The country that was chosen, or that of the system's locale.
fn country_of(chosen: Option<&str>) -> &'static Country {
    if let Some(country) = chosen.and_then(Country::of) {
        return country;
    }
    let named = ["LC_ALL", "LC_TELEPHONE", "LANG"].map(std::env::var);
    let locale = named.into_iter().flatten().find(|name| !name.is_empty());
    Country::of_locale(&locale.unwrap_or_default())
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

/// What is to sound: who calls here is heard before whoever is called, and softly where somebody is spoken with.
fn tone_of(
    ringing: impl Iterator<Item = Ringing>,
    talking: bool,
    country: &'static Country,
) -> Option<Tone> {
    let (mut here, mut there) = (false, false);
    for which in ringing {
        match which {
            Ringing::Here => here = true,
            Ringing::There => there = true,
        }
    }
    match (here, there, talking) {
        (true, _, true) => Some(Tone::CallWaiting(country)),
        (true, ..) => Some(Tone::Ring),
        (false, true, _) => Some(Tone::Ringback(country)),
        (false, false, _) => None,
    }
}

#[cfg(test)]
mod hanging;
#[cfg(test)]
mod loud;

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
        let country = country_of(Some("GB"));
        let tone = |ringing: &[Ringing]| tone_of(ringing.iter().copied(), false, country);
        assert_eq!(tone(&[]), None);
        assert_eq!(tone(&[Ringing::There]), Some(Tone::Ringback(country)));
        assert_eq!(tone(&[Ringing::Here]), Some(Tone::Ring));
        let both = [Ringing::There, Ringing::Here];
        assert_eq!(tone(&both), Some(Tone::Ring));
        // In a conversation the other one is heard, too.
        let waiting = tone_of([Ringing::Here].into_iter(), true, country);
        assert_eq!(waiting, Some(Tone::CallWaiting(country)));
    }
}
