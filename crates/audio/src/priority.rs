//! Threads that carry sound come before those that draw, compile or fetch mail.
//!
//! A card that is served 5 ms at a time is heard to crackle when somebody else has the processor for 10. On Linux a thread's
//! niceness decides who comes first, and threads that it starts have the same: so devices are opened on a thread that
//! was raised ([`first`]), and whatever back-end and plug-in start for them comes first, too. Few people may do that
//! themselves; for others RealtimeKit does it, which PulseAudio and PipeWire use as well. What it has raised does not hand it
//! on, so it is asked for the threads of the callbacks by their names. It also gives real-time priority, which is not asked
//! for: a fault of ours would take a processor away from everybody.
//!
//! macOS and Windows raise the threads of the callbacks themselves.

use media::PumpHandle;

use crate::fault::AudioError;

/// Runs `work` on a thread that comes before ordinary ones, as all do that it starts, and as the pump does from then on.
/// `work` is told whether the system has let them.
///
/// # Errors
/// [`AudioError::Thread`]: there is no thread for it.
pub(crate) fn first<T: Send>(
    pump: &PumpHandle,
    work: impl FnOnce(bool) -> T + Send,
) -> Result<T, AudioError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("audio-open".to_owned());
        let opener = thread.spawn_scoped(scope, || system::first(pump, work));
        let opened = opener.map_err(AudioError::Thread)?.join();
        opened.map_err(|fault| std::panic::resume_unwind(fault))
    })
}

/// Has the threads of `pump` come before ordinary ones that it has started since a device was opened: the one that works on the
/// microphone's sound. It may take half a second.
pub fn raise(pump: &PumpHandle) {
    system::also(pump);
}

#[cfg(not(target_os = "linux"))]
mod system {
    /// Nothing here either.
    pub(super) fn also(_: &media::PumpHandle) {}

    /// Nothing is done here, and nothing is promised.
    pub(super) fn first<T>(_: &media::PumpHandle, work: impl FnOnce(bool) -> T) -> T {
        work(false)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};
    use std::time::{Duration, Instant};

    use media::PumpHandle;
    use rustix::process::{Pid, getpriority_process, setpriority_process};
    use zbus::blocking::{Connection, connection};

    /// What PulseAudio and PipeWire give their own threads.
    pub(super) const NICENESS: i32 = -11;

    /// How long RealtimeKit may take in all.
    pub(super) const PATIENCE: Duration = Duration::from_millis(500);

    /// Who did not answer is asked again when devices are opened so much later: it may have been started meanwhile.
    pub(super) const AGAIN: Duration = Duration::from_secs(30);

    /// Questions that nobody answers, and that do not end by themselves, at a time.
    pub(super) const MOST_OPEN: usize = 3;

    static KIT: LazyLock<Kit> = LazyLock::new(|| Kit::at(None));

    /// How often they are looked for, 10 ms apart.
    const LOOKS: u32 = 10;

    /// How the threads are called that cpal and the plug-in for PulseAudio start. Those of PipeWire see to themselves.
    const WORKERS: [&str; 3] = ["cpal_alsa_in", "cpal_alsa_out", "threaded-ml"];

    pub(super) fn first<T>(pump: &PumpHandle, work: impl FnOnce(bool) -> T) -> T {
        let pumps = pump.thread_numbers();
        let Some(opener) = media::thread_number().filter(|_| !pumps.is_empty()) else {
            return work(false);
        };
        let threads = [vec![opener], pumps.clone()].concat();
        if threads.iter().all(|thread| raise(*thread)) {
            return work(true);
        }
        match KIT.standing(Instant::now()) {
            Standing::Answers => {
                let by_kit = KIT.ask_in_time(threads);
                let outcome = work(by_kit);
                if by_kit {
                    KIT.ask_in_time(workers());
                }
                outcome
            }
            Standing::Silent => work(false),
            // Nobody waits for one that was silent.
            Standing::ToBeTried => {
                let outcome = work(false);
                KIT.ask_aside(move || [pumps, workers()].concat());
                outcome
            }
        }
    }

    pub(super) fn also(pump: &PumpHandle) {
        let threads = pump.thread_numbers();
        if threads.iter().all(|thread| raise(*thread)) {
            return;
        }
        match KIT.standing(Instant::now()) {
            Standing::Answers => drop(KIT.ask_in_time(threads)),
            Standing::Silent => {}
            Standing::ToBeTried => KIT.ask_aside(move || threads),
        }
    }

    /// The threads of the callbacks, once there are no more of them than a moment before: each gives itself its name.
    fn workers() -> Vec<u32> {
        let mut workers = Vec::new();
        for _ in 0..LOOKS {
            let before = std::mem::replace(&mut workers, threads_called(&WORKERS));
            if !workers.is_empty() && workers == before {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        workers
    }

    /// A number of the system's; it takes that of a thread for that of a process here.
    fn number(thread: u32) -> Option<Pid> {
        Pid::from_raw(i32::try_from(thread).ok()?)
    }

    fn is_raised(thread: u32) -> bool {
        number(thread)
            .and_then(|thread| getpriority_process(Some(thread)).ok())
            .is_some_and(|niceness| niceness <= NICENESS)
    }

    fn raise(thread: u32) -> bool {
        is_raised(thread)
            || number(thread)
                .is_some_and(|thread| setpriority_process(Some(thread), NICENESS).is_ok())
    }

    /// The threads of this program that are called like that.
    pub(super) fn threads_called(names: &[&str]) -> Vec<u32> {
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
        let fits = |thread: std::io::Result<std::fs::DirEntry>| {
            let path = thread.ok()?.path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            let number = path.file_name()?.to_str()?.parse().ok()?;
            names.contains(&name.trim_end()).then_some(number)
        };
        threads.filter_map(fits).collect()
    }

    /// RealtimeKit, and what is known of it.
    pub(super) struct Kit {
        /// Where its bus is; that of the system without.
        bus: Option<String>,
        told: Arc<Told>,
    }

    /// How it did so far.
    #[derive(Default)]
    struct Told {
        /// When it was last asked and did not answer, unless it has since.
        silent_at: Mutex<Option<Instant>>,
        open: AtomicUsize,
    }

    /// What is to be expected of it.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Standing {
        Answers,
        /// It was asked and said nothing.
        Silent,
        /// That was a while ago.
        ToBeTried,
    }

    impl Kit {
        pub(super) fn at(bus: Option<String>) -> Self {
            let told = Arc::default();
            Self { bus, told }
        }

        pub(super) fn standing(&self, now: Instant) -> Standing {
            match *self.told.silent_at() {
                None => Standing::Answers,
                Some(at) if now.saturating_duration_since(at) < AGAIN => Standing::Silent,
                Some(_) if self.told.open.load(Relaxed) >= MOST_OPEN => Standing::Silent,
                Some(_) => Standing::ToBeTried,
            }
        }

        /// Whether it has raised all of them.
        pub(super) fn ask_in_time(&self, threads: Vec<u32>) -> bool {
            // A bus that takes us and says nothing holds up this thread and nobody else.
            let answers = self.ask(move || threads);
            match answers.map(|answers| answers.recv_timeout(PATIENCE)) {
                Ok(Ok(Ok(raised))) => raised,
                Ok(Ok(Err(error))) => {
                    tracing::debug!(%error, "sound has no priority: there is no system bus");
                    false
                }
                _ => {
                    *self.told.silent_at() = Some(Instant::now());
                    tracing::debug!("sound has no priority: RealtimeKit is silent");
                    false
                }
            }
        }

        /// Asks for these threads and waits for nothing: who answers in time is asked as ever from then on.
        pub(super) fn ask_aside(&self, threads: impl FnOnce() -> Vec<u32> + Send + 'static) {
            *self.told.silent_at() = Some(Instant::now());
            // Whoever cannot start a thread has other troubles.
            let _ = self.ask(threads);
        }

        fn ask(
            &self,
            threads: impl FnOnce() -> Vec<u32> + Send + 'static,
        ) -> std::io::Result<mpsc::Receiver<zbus::Result<bool>>> {
            let (answer, answers) = mpsc::channel();
            let (bus, told) = (self.bus.clone(), Arc::clone(&self.told));
            let asker = std::thread::Builder::new().name("audio-priority".to_owned());
            asker.spawn(move || {
                let threads = threads();
                told.open.fetch_add(1, Relaxed);
                let asked_at = Instant::now();
                let bus = match &bus {
                    None => connection::Builder::system(),
                    Some(bus) => connection::Builder::address(bus.as_str()),
                };
                let bus = bus.and_then(|bus| connect(bus));
                let raised = bus.map(|bus| ask_all(&bus, &threads));
                if asked_at.elapsed() < PATIENCE {
                    *told.silent_at() = None;
                }
                told.open.fetch_sub(1, Relaxed);
                let _ = answer.send(raised);
            })?;
            Ok(answers)
        }
    }

    impl Told {
        /// Nothing in there can be left half done by a panic.
        fn silent_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
            self.silent_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        }
    }

    pub(super) fn connect(bus: connection::Builder<'_>) -> zbus::Result<Connection> {
        bus.method_timeout(PATIENCE).build()
    }

    /// Asks for each, whatever became of the others.
    pub(super) fn ask_all(bus: &Connection, threads: &[u32]) -> bool {
        let name = "org.freedesktop.RealtimeKit1";
        let mut all = true;
        for thread in threads.iter().filter(|thread| !is_raised(**thread)) {
            let wish = (u64::from(*thread), NICENESS);
            let place = "/org/freedesktop/RealtimeKit1";
            let answer = bus.call_method(
                Some(name),
                place,
                Some(name),
                "MakeThreadHighPriority",
                &wish,
            );
            if let Err(error) = answer {
                tracing::debug!(%error, thread, "a thread for sound has no priority");
                all = false;
            }
        }
        all
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use zbus::blocking::connection::Builder;

    use super::*;

    /// What takes no time but that of a busy machine.
    const SOON: Duration = Duration::from_secs(10);

    fn niceness(thread: u32) -> i32 {
        let thread = i32::try_from(thread).expect("a small number");
        let thread = rustix::process::Pid::from_raw(thread);
        rustix::process::getpriority_process(thread).expect("it is there")
    }

    fn here() -> u32 {
        media::thread_number().expect("every thread has one")
    }

    #[test]
    fn what_opens_a_device_comes_first_with_all_that_it_starts_and_the_pump() {
        let pump = PumpHandle::start().expect("a pump");
        let before = niceness(here());
        let seen = first(&pump, |raised| {
            let started = std::thread::spawn(|| niceness(here()));
            (raised, niceness(here()), started.join().expect("it ends"))
        });
        let (raised, opener, started) = seen.expect("there is a thread for it");
        let pumps = pump.thread_number().expect("it has a thread");
        if raised {
            assert_eq!((opener, niceness(pumps)), (-11, -11));
            // What RealtimeKit has raised does not hand it on.
            assert!([-11, 0].contains(&started), "{started}");
        } else {
            assert_eq!((opener, started), (before, before));
        }
        assert_eq!(niceness(here()), before, "who asks stays as it was");
        pump.shutdown();
    }

    #[test]
    fn the_thread_that_works_on_the_microphones_sound_comes_where_the_pump_does() {
        let pump = PumpHandle::start().expect("a pump");
        first(&pump, |_| ()).expect("there is a thread for it");
        let processing = media::Processing::ALL;
        pump.set_processing(processing).expect("it is idle");
        let threads = pump.thread_numbers();
        assert_eq!(threads.len(), 2);
        assert_eq!(threads.first().copied(), pump.thread_number());
        raise(&pump);
        let raised: Vec<i32> = threads.iter().copied().map(niceness).collect();
        assert_eq!(raised.first(), raised.last());
        pump.shutdown();
    }

    #[test]
    fn a_fault_while_a_device_is_opened_is_not_swallowed() {
        let pump = PumpHandle::start().expect("a pump");
        let opening = std::panic::AssertUnwindSafe(|| first(&pump, |_| panic!("a fault")));
        assert!(std::panic::catch_unwind(opening).is_err());
        pump.shutdown();
    }

    /// A bus of our own; it ends with this.
    struct Bus(Child, String);

    impl Bus {
        fn start() -> Self {
            let mut command = Command::new("dbus-daemon");
            command.args(["--session", "--nofork", "--print-address"]);
            let mut child = command
                .stdout(Stdio::piped())
                .spawn()
                .expect("dbus-daemon is installed");
            let stdout = child.stdout.take().expect("it is piped");
            let mut address = String::new();
            let read = BufReader::new(stdout).read_line(&mut address);
            read.expect("it says where it is");
            Self(child, address.trim().to_owned())
        }

        fn client(&self) -> Builder<'_> {
            Builder::address(self.1.as_str()).expect("an address")
        }
    }

    impl Drop for Bus {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Numbers of threads that there are none of: the system counts to 4 194 304.
    const REFUSED: u32 = 5_000_000;

    struct Kit1(mpsc::Sender<(u64, i32)>);

    #[zbus::interface(name = "org.freedesktop.RealtimeKit1")]
    impl Kit1 {
        fn make_thread_high_priority(&self, thread: u64, priority: i32) -> zbus::fdo::Result<()> {
            if thread == u64::from(REFUSED) {
                return Err(zbus::fdo::Error::AccessDenied("not this one".to_owned()));
            }
            self.0
                .send((thread, priority))
                .map_err(|_| zbus::fdo::Error::Failed("over".to_owned()))
        }
    }

    #[test]
    fn who_may_not_do_it_asks_realtimekit() {
        let bus = Bus::start();
        let ours = system::connect(bus.client()).expect("the bus answers");
        assert!(!system::ask_all(&ours, &[5_000_001]), "nobody is there yet");
        let (asked, heard) = mpsc::channel();
        let kit = bus
            .client()
            .serve_at("/org/freedesktop/RealtimeKit1", Kit1(asked))
            .and_then(|kit| kit.name("org.freedesktop.RealtimeKit1"))
            .and_then(Builder::build)
            .expect("it is there");
        // One that ended meanwhile does not keep the others from it.
        assert!(!system::ask_all(&ours, &[5_000_001, REFUSED, 5_000_002]));
        let asked: Vec<_> = heard.try_iter().collect();
        assert_eq!(asked, [(5_000_001, -11), (5_000_002, -11)]);
        assert!(system::ask_all(&ours, &[5_000_003]));
        drop(kit);
    }

    /// Gone with this.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("tipring-priority-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).expect("there is room");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A place where a bus would be, that takes whoever comes and says nothing. Gives how many came.
    fn silent_bus(folder: &std::path::Path) -> (String, mpsc::Receiver<()>) {
        let place = folder.join("bus");
        let listener = std::os::unix::net::UnixListener::bind(&place).expect("there is room");
        let (came, coming) = mpsc::channel();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().flatten() {
                kept.push(stream);
                if came.send(()).is_err() {
                    return;
                }
            }
        });
        (format!("unix:path={}", place.display()), coming)
    }

    #[test]
    fn who_was_silent_is_asked_again_later_and_nobody_waits_for_that() {
        use system::{AGAIN, Kit, MOST_OPEN, PATIENCE, Standing};
        let folder = Folder::new("silent");
        let (address, coming) = silent_bus(&folder.0);
        let kit = Kit::at(Some(address));
        assert_eq!(kit.standing(Instant::now()), Standing::Answers);
        assert!(!kit.ask_in_time(vec![REFUSED]));
        let came = |count: usize| {
            let came = (0..count).all(|_| coming.recv_timeout(SOON).is_ok());
            came && coming.try_recv().is_err()
        };
        assert!(came(1), "it was asked");
        let silent = Instant::now();
        assert_eq!(kit.standing(silent), Standing::Silent);
        let early = silent + AGAIN - Duration::from_secs(1);
        assert_eq!(kit.standing(early), Standing::Silent);
        // Each time it is asked once, on a thread of its own, and only so many wait for an answer.
        for asked in 2..=MOST_OPEN {
            assert_eq!(kit.standing(Instant::now() + AGAIN), Standing::ToBeTried);
            let started = Instant::now();
            kit.ask_aside(|| vec![REFUSED]);
            assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
            assert!(came(1), "question {asked}");
            assert_eq!(kit.standing(Instant::now()), Standing::Silent);
        }
        let later = Instant::now() + 100 * AGAIN;
        assert_eq!(kit.standing(later), Standing::Silent);
    }

    #[test]
    fn who_answers_after_it_was_silent_is_asked_as_before() {
        use system::{AGAIN, Kit, Standing};
        let bus = Bus::start();
        let folder = Folder::new("later");
        let place = folder.0.join("bus");
        // Nothing is there yet but somebody who says nothing; then the bus takes its place.
        let kit = Kit::at(Some(format!("unix:path={}", place.display())));
        let listener = std::os::unix::net::UnixListener::bind(&place).expect("there is room");
        assert!(!kit.ask_in_time(vec![REFUSED]));
        assert_eq!(kit.standing(Instant::now() + AGAIN), Standing::ToBeTried);
        drop(listener);
        std::fs::remove_file(&place).expect("it is there");
        let (_, real) = bus.1.split_once("unix:path=").expect("a place");
        let real = real.split(',').next().expect("a path");
        std::os::unix::fs::symlink(real, &place).expect("there is room");
        let (asked, heard) = mpsc::channel();
        let server = bus
            .client()
            .serve_at("/org/freedesktop/RealtimeKit1", Kit1(asked))
            .and_then(|kit| kit.name("org.freedesktop.RealtimeKit1"))
            .and_then(Builder::build)
            .expect("it is there");
        kit.ask_aside(|| vec![5_000_004]);
        assert_eq!(heard.recv_timeout(SOON), Ok((5_000_004, -11)));
        let deadline = Instant::now() + SOON;
        while kit.standing(Instant::now()) != Standing::Answers {
            assert!(Instant::now() < deadline, "it has answered");
            std::thread::yield_now();
        }
        assert!(kit.ask_in_time(vec![5_000_005]));
        drop(server);
    }

    #[test]
    fn threads_are_known_by_their_names() {
        let (number, numbers) = mpsc::channel();
        let (end, over) = mpsc::channel::<()>();
        let worker = std::thread::Builder::new().name("sound-worker".to_owned());
        let worker = worker.spawn(move || {
            number.send(here()).expect("somebody waits");
            let _ = over.recv();
        });
        let started = numbers.recv().expect("it runs");
        assert_eq!(
            system::threads_called(&["nobody", "sound-worker"]),
            [started]
        );
        drop(end);
        worker.expect("it started").join().expect("it ends");
        assert!(system::threads_called(&["sound-worker"]).is_empty());
    }
}
