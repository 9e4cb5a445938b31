//! Devices that do not answer, and devices that fail again and again.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use audio::{Devices, Fault, FaultKind};
use media::PumpHandle;

use super::side::{CALM, FIRST_REST, LONGEST_REST};
use super::sound::{Open, Ready, Sound};
use super::*;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);

/// A sound system whose devices answer when they are let.
#[derive(Clone, Default)]
struct Fake(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is not answered.
    blocked: HashSet<String>,
    /// What has stopped working.
    stalled: HashSet<String>,
    /// What was opened, attached and closed.
    log: Vec<String>,
    /// Which threads were to come first, each time.
    raised: Vec<Vec<u32>>,
}

impl Fake {
    fn blocking(blocked: &[&str]) -> Self {
        let fake = Self::default();
        fake.state().blocked = blocked.iter().map(|&what| what.to_owned()).collect();
        fake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nobody panics with it")
    }

    fn log(&self, what: String) {
        self.state().log.push(what);
        self.0.changed.notify_all();
    }

    fn answer(&self, what: &str) {
        self.state().blocked.remove(what);
        self.0.changed.notify_all();
    }

    fn wait_for_answer(&self, what: &str) {
        let state = self.state();
        let waits = |state: &mut State| state.blocked.contains(what);
        drop(self.0.changed.wait_while(state, waits));
    }

    fn has(&self, what: &str) -> bool {
        self.state().log.iter().any(|line| line == what)
    }

    fn until(&self, what: &str) {
        let waits = |state: &mut State| !state.log.iter().any(|line| line == what);
        let waited = self.0.changed.wait_timeout_while(self.state(), LONG, waits);
        let (state, waited) = waited.expect("nobody panics with it");
        assert!(!waited.timed_out(), "no “{what}” in {:?}", state.log);
    }

    fn device(&self, role: Role, id: &str) -> FakeDevice {
        FakeDevice {
            fake: self.clone(),
            name: format!("{role} {id}"),
            id: id.to_owned(),
        }
    }

    fn means(&self, patience: Duration) -> Means {
        Means {
            sound: Arc::new(self.clone()),
            pump: PumpHandle::start().expect("a pump"),
            patience,
        }
    }
}

struct FakeDevice {
    fake: Fake,
    name: String,
    id: String,
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.fake.log(format!("close {}", self.name));
    }
}

impl Ready for FakeDevice {
    fn remark(&self) -> Option<String> {
        None
    }

    fn attach(self: Box<Self>, _: &PumpHandle) -> Result<Box<dyn Open>, AudioError> {
        self.fake.log(format!("attach {}", self.name));
        Ok(self)
    }
}

impl Open for FakeDevice {
    fn poll_fault(&mut self) -> Option<Fault> {
        self.fake
            .state()
            .stalled
            .contains(&self.id)
            .then_some(Fault {
                role: Role::Playout,
                kind: FaultKind::Stalled,
            })
    }

    fn card(&self, _: Role) -> Option<&str> {
        (self.id != "silence").then_some(&self.id)
    }
}

impl Sound for Fake {
    fn list(&self) -> Devices {
        self.wait_for_answer("list");
        let device = || audio::Device {
            id: "d".to_owned(),
            name: "D".to_owned(),
        };
        Devices {
            capture: vec![device()],
            playout: vec![device()],
        }
    }

    fn is_there(&self, _: Role, id: Option<&str>) -> Option<String> {
        Some(id.unwrap_or("default").to_owned())
    }

    fn prepare(
        &self,
        role: Role,
        id: Option<&str>,
        _: &PumpHandle,
    ) -> Result<Box<dyn Ready>, AudioError> {
        let device = self.device(role, id.unwrap_or("default"));
        self.log(format!("open {}", device.name));
        self.wait_for_answer(&device.name);
        Ok(Box::new(device))
    }

    fn silence(&self, role: Role, _: &PumpHandle) -> Result<Box<dyn Ready>, AudioError> {
        Ok(Box::new(self.device(role, "silence")))
    }

    fn raise(&self, pump: &PumpHandle) {
        let threads = pump.thread_numbers();
        self.state().raised.push(threads.clone());
        self.log(format!("raise {} threads", threads.len()));
    }
}

/// The actor with these devices chosen, and a call that needs them.
async fn in_a_call(
    fake: &Fake,
    patience: Duration,
    microphone: &str,
    speaker: &str,
) -> (ActorRef<DevicesMsg>, Arc<Hub>) {
    let hub = Hub::new();
    let args = DevicesArgs {
        hub: Arc::clone(&hub),
        means: fake.means(patience),
        hardware: true,
        capture: Some(DeviceId::new(microphone)),
        playout: Some(DeviceId::new(speaker)),
        ringer: None,
        speaker_volume: Volume::default(),
        microphone_gain: Volume::default(),
        tones: None,
    };
    let (actor, _) = Actor::spawn(None, DevicesActor, args)
        .await
        .expect("it starts");
    speak(&actor, 1, VoicePolicy::default());
    (actor, hub)
}

/// A call of an account with this policy.
fn speak(actor: &ActorRef<DevicesMsg>, call: u64, voice: VoicePolicy) {
    let call = DevicesMsg::Call {
        call: CallId(call),
        ringing: None,
        talking: true,
        voice,
    };
    actor.cast(call).expect("it listens");
}

fn choose_speaker(actor: &ActorRef<DevicesMsg>, id: &str) {
    let choice = DevicesMsg::Choose {
        role: DeviceRole::Playout,
        device: Some(DeviceId::new(id)),
    };
    actor.cast(choice).expect("it listens");
}

fn until_warning(hub: &Hub, what: &str, fits: impl Fn(&str) -> bool) {
    let began = Instant::now();
    let warning = || hub.read(|state| state.devices.warning.clone());
    while !warning().is_some_and(|text| fits(&text)) {
        assert!(began.elapsed() < LONG, "{what}: {:?}", warning());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_that_never_opens_is_named_and_the_microphone_works_meanwhile() {
    let fake = Fake::blocking(&["speaker hangs"]);
    let (actor, hub) = in_a_call(&fake, SHORT, "mine", "hangs").await;
    fake.until("attach microphone mine");
    fake.until("attach speaker silence");
    let sentence = "The chosen speaker “hangs” does not answer.";
    until_warning(&hub, "it is named", |text| text.starts_with(sentence));
    // The default is better than silence.
    fake.until("attach speaker default");
    until_warning(&hub, "it is said", |text| {
        text.ends_with("the system’s default.")
    });
    choose_speaker(&actor, "other");
    fake.until("attach speaker other");
    // What answers late is closed.
    fake.answer("speaker hangs");
    fake.until("close speaker hangs");
    assert!(!fake.has("attach speaker hangs"));
    let opened = |what: &&String| *what == "open speaker hangs";
    assert_eq!(
        fake.state().log.iter().filter(opened).count(),
        1,
        "asked once"
    );
    actor.stop(None);
}

/// What a call is told of its lights: nobody hears anything while silence stands in.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_knows_while_silence_stands_in_for_its_speaker() {
    let fake = Fake::blocking(&["speaker hangs", "speaker default"]);
    let (actor, hub) = in_a_call(&fake, SHORT, "mine", "hangs").await;
    let until_without = |wanted: (bool, bool)| {
        let began = Instant::now();
        let without = || hub.read(|s| (s.devices.without_microphone, s.devices.without_speaker));
        while without() != wanted {
            assert!(began.elapsed() < LONG, "{:?}", without());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    fake.until("attach microphone mine");
    until_without((false, true));
    choose_speaker(&actor, "other");
    fake.until("attach speaker other");
    until_without((false, false));
    fake.answer("speaker hangs");
    fake.answer("speaker default");
    actor.stop(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_device_is_taken_at_once_while_one_is_waited_for() {
    let fake = Fake::blocking(&["speaker slow"]);
    let (actor, _) = in_a_call(&fake, LONG * 10, "ours", "slow").await;
    fake.until("open speaker slow");
    let began = Instant::now();
    choose_speaker(&actor, "quick");
    fake.until("attach speaker quick");
    println!("taken after {:?}", began.elapsed());
    fake.answer("speaker slow");
    fake.until("close speaker slow");
    assert!(!fake.has("attach speaker slow") && !fake.has("close speaker quick"));
    actor.stop(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_hangs_is_told_and_holds_up_no_call() {
    let fake = Fake::blocking(&["list"]);
    let (actor, hub) = in_a_call(&fake, SHORT, "heard", "played").await;
    fake.until("attach microphone heard");
    fake.until("attach speaker played");
    until_warning(&hub, "it is told", |text| {
        text == "The system does not answer when it is asked which sound devices there are."
    });
    // It answers, and is asked again without anybody's doing.
    fake.answer("list");
    let began = Instant::now();
    let listed = || hub.read(|s| s.devices.warning.is_none() && s.devices.playout.len() == 1);
    while !listed() {
        assert!(began.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(5));
    }
    actor.stop(None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_works_on_the_microphones_sound_comes_first_as_the_pump_does() {
    let fake = Fake::default();
    let (actor, _) = in_a_call(&fake, LONG, "heard", "played").await;
    // Where threads have numbers.
    let threads = if cfg!(target_os = "linux") { 2 } else { 0 };
    fake.until(&format!("raise {threads} threads"));
    actor.stop(None);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_of_a_room_stays_when_a_call_with_another_policy_begins_beside() {
    let fake = Fake::default();
    let quiet = VoicePolicy {
        noise_suppression: false,
        gain_control: false,
        ..VoicePolicy::default()
    };
    let (actor, _) = in_a_call(&fake, LONG, "heard", "played").await;
    let raised = |times: usize| {
        let began = Instant::now();
        while fake.state().raised.len() < times {
            assert!(began.elapsed() < LONG, "not raised {times} times");
            std::thread::sleep(Duration::from_millis(5));
        }
        fake.state().raised[times - 1].clone()
    };
    let first = raised(1);
    assert_eq!(first.len(), 2, "the pump and who works on the sound");
    speak(&actor, 1, quiet);
    assert_eq!(raised(2), first, "the same thread, so the same state");
    speak(&actor, 2, VoicePolicy::default());
    assert_eq!(raised(3), first);
    // Another room is another room.
    choose_speaker(&actor, "other");
    fake.until("attach speaker other");
    let other = raised(4);
    assert_eq!((other.len(), other[0]), (2, first[0]));
    assert_ne!(other[1], first[1]);
    actor.stop(None);
}

#[test]
fn a_device_that_stalls_again_and_again_is_tried_less_and_less_often_and_taken_back() {
    let fake = Fake::default();
    let means = fake.means(LONG);
    let mut side = Side::new(Role::Playout, Some(DeviceId::new("stalls")));
    let turn = |side: &mut Side, job: Option<Job>| {
        let opened = job.map(|job| job.run(&means));
        if let Some(opened) = opened {
            side.take(opened, true, &means.pump);
        }
    };
    let job = side.settle(true);
    turn(&mut side, job);
    assert_eq!(side.card(), Some("stalls"));
    fake.state()
        .stalled
        .extend(["stalls".to_owned(), "default".to_owned()]);
    // At once, and then with longer and longer rests.
    let job = side.watch();
    turn(&mut side, job);
    assert_eq!(
        side.card(),
        Some("stalls"),
        "once it is opened again at once"
    );
    let mut rests = Vec::new();
    for _ in 0..8 {
        let mut watches = 0;
        // What stands in stalls, too; then it is silence.
        while side.card().is_some() {
            let job = side.watch();
            turn(&mut side, job);
        }
        let trouble = side.trouble.clone().unwrap_or_default();
        assert!(
            trouble.starts_with("The speaker has stopped working."),
            "{trouble}"
        );
        while side.card().is_none() {
            watches += 1;
            assert!(watches < 1_000, "it is never tried again");
            let job = side.watch();
            turn(&mut side, job);
        }
        rests.push(watches);
    }
    println!("watches without it: {rests:?}");
    assert!(rests.is_sorted() && rests[0] >= FIRST_REST, "{rests:?}");
    assert!(
        (LONGEST_REST..LONGEST_REST + 10).contains(&rests[7]),
        "half a minute at most: {rests:?}"
    );
    // It works again: after half a minute its next fault is the first.
    fake.state().stalled.clear();
    for _ in 0..=LONGEST_REST + CALM {
        let job = side.watch();
        turn(&mut side, job);
    }
    assert_eq!(
        (side.card(), side.trouble.as_deref()),
        (Some("stalls"), None)
    );
    fake.state().stalled.insert("stalls".to_owned());
    let job = side.watch();
    turn(&mut side, job);
    assert_eq!(side.card(), Some("stalls"), "it is opened again at once");
}
