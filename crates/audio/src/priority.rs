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

#[cfg(not(target_os = "linux"))]
mod system {
    /// Nothing is done here, and nothing is promised.
    pub(super) fn first<T>(_: &media::PumpHandle, work: impl FnOnce(bool) -> T) -> T {
        work(false)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::sync::mpsc;
    use std::time::Duration;

    use media::PumpHandle;
    use rustix::process::{Pid, getpriority_process, setpriority_process};
    use zbus::blocking::{Connection, connection};

    /// What PulseAudio and PipeWire give their own threads.
    pub(super) const NICENESS: i32 = -11;

    /// How long RealtimeKit may take in all. Who did not answer is not asked again.
    const PATIENCE: Duration = Duration::from_millis(500);
    static SILENT: AtomicBool = AtomicBool::new(false);

    /// How often they are looked for, 10 ms apart.
    const LOOKS: u32 = 10;

    /// How the threads are called that cpal and the plug-in for PulseAudio start. Those of PipeWire see to themselves.
    const WORKERS: [&str; 3] = ["cpal_alsa_in", "cpal_alsa_out", "threaded-ml"];

    pub(super) fn first<T>(pump: &PumpHandle, work: impl FnOnce(bool) -> T) -> T {
        let (Some(opener), Some(pumps)) = (media::thread_number(), pump.thread_number()) else {
            return work(false);
        };
        let threads = vec![opener, pumps];
        if threads.iter().all(|thread| raise(*thread)) {
            return work(true);
        }
        let by_kit = !SILENT.load(Relaxed) && ask_in_time(threads);
        let outcome = work(by_kit);
        if by_kit {
            ask_in_time(workers());
        }
        outcome
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

    /// Whether RealtimeKit has raised all of them.
    fn ask_in_time(threads: Vec<u32>) -> bool {
        // A bus that takes us and says nothing holds up this thread and nobody else.
        let (answer, answers) = mpsc::channel();
        let asker = std::thread::Builder::new().name("audio-priority".to_owned());
        let asks = asker.spawn(move || {
            let bus = connection::Builder::system().and_then(|bus| connect(bus));
            let _ = answer.send(bus.map(|bus| ask_all(&bus, &threads)));
        });
        match asks.map(|_| answers.recv_timeout(PATIENCE)) {
            Ok(Ok(Ok(raised))) => raised,
            Ok(Ok(Err(error))) => {
                tracing::debug!(%error, "sound has no priority: there is no system bus");
                false
            }
            _ => {
                SILENT.store(true, Relaxed);
                tracing::debug!("sound has no priority: RealtimeKit is silent");
                false
            }
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

    use zbus::blocking::connection::Builder;

    use super::*;

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

    struct Kit(mpsc::Sender<(u64, i32)>);

    #[zbus::interface(name = "org.freedesktop.RealtimeKit1")]
    impl Kit {
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
            .serve_at("/org/freedesktop/RealtimeKit1", Kit(asked))
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
