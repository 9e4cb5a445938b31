//! Threads that carry sound come before those that draw, compile or fetch mail.
//!
//! A card that is served 5 ms at a time is heard to crackle when somebody else has the processor for 10. On Linux a thread's
//! niceness decides who comes first, and threads that it starts have the same: so devices are opened on a thread that
//! was raised ([`first`]), and whatever back-end and plug-in start for them comes first, too. Few people may do that
//! themselves; for others RealtimeKit does it, which PulseAudio and PipeWire use as well. What it has raised does not hand it
//! on, so it is asked for each of the new threads. It also gives real-time priority, which is not asked for: a fault of ours
//! would take a processor away from everybody.
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
    use std::time::Duration;

    use media::PumpHandle;
    use rustix::process::{Pid, setpriority_process};
    use zbus::blocking::{Connection, connection};

    /// What PulseAudio and PipeWire give their own threads.
    pub(super) const NICENESS: i32 = -11;

    /// How long RealtimeKit may take to answer.
    const PATIENCE: Duration = Duration::from_millis(500);

    pub(super) fn first<T>(pump: &PumpHandle, work: impl FnOnce(bool) -> T) -> T {
        let threads = [media::thread_number(), pump.thread_number()];
        let threads = threads.into_iter().flatten();
        if threads.clone().all(|thread| raise(thread).is_ok()) {
            return work(true);
        }
        let kit = connection::Builder::system().and_then(connect);
        let raised = kit.and_then(|kit| {
            threads.clone().try_for_each(|thread| ask(&kit, thread))?;
            Ok(kit)
        });
        if let Err(error) = &raised {
            tracing::debug!(%error, "sound has no priority");
        }
        let before = all_threads();
        let outcome = work(raised.is_ok());
        if let Ok(kit) = raised {
            let started = all_threads().into_iter().filter(|t| !before.contains(t));
            if let Err(error) = started.into_iter().try_for_each(|thread| ask(&kit, thread)) {
                tracing::debug!(%error, "a thread of a sound device has no priority");
            }
        }
        outcome
    }

    fn raise(thread: u32) -> rustix::io::Result<()> {
        // The kernel takes the number of a thread for that of a process here.
        let number = i32::try_from(thread).ok().and_then(Pid::from_raw);
        setpriority_process(number, NICENESS)
    }

    /// The numbers of all threads of this program.
    pub(super) fn all_threads() -> Vec<u32> {
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
        let number = |thread: std::io::Result<std::fs::DirEntry>| {
            thread.ok()?.file_name().to_str()?.parse().ok()
        };
        threads.filter_map(number).collect()
    }

    pub(super) fn connect(bus: connection::Builder<'_>) -> zbus::Result<Connection> {
        bus.method_timeout(PATIENCE).build()
    }

    /// Asks RealtimeKit to raise a thread.
    pub(super) fn ask(bus: &Connection, thread: u32) -> zbus::Result<()> {
        let name = "org.freedesktop.RealtimeKit1";
        bus.call_method(
            Some(name),
            "/org/freedesktop/RealtimeKit1",
            Some(name),
            "MakeThreadHighPriority",
            &(u64::from(thread), NICENESS),
        )?;
        Ok(())
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
        assert_eq!(started, opener);
        if raised {
            assert_eq!((opener, niceness(pumps)), (-11, -11));
        } else {
            assert_eq!(opener, before);
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

    struct Kit(mpsc::Sender<(u64, i32)>);

    #[zbus::interface(name = "org.freedesktop.RealtimeKit1")]
    impl Kit {
        fn make_thread_high_priority(&self, thread: u64, priority: i32) -> zbus::fdo::Result<()> {
            if thread == 1 {
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
        assert!(system::ask(&ours, 7).is_err(), "nobody is there yet");
        let (asked, heard) = mpsc::channel();
        let kit = bus
            .client()
            .serve_at("/org/freedesktop/RealtimeKit1", Kit(asked))
            .and_then(|kit| kit.name("org.freedesktop.RealtimeKit1"))
            .and_then(Builder::build)
            .expect("it is there");
        system::ask(&ours, 4_711).expect("it does so");
        assert_eq!(heard.try_recv(), Ok((4_711, -11)));
        assert!(system::ask(&ours, 1).is_err(), "it refuses");
        drop(kit);
    }

    #[test]
    fn threads_that_were_started_are_known() {
        let before = system::all_threads();
        assert!(before.contains(&here()));
        let (number, numbers) = mpsc::channel();
        let (end, over) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            number.send(here()).expect("somebody waits");
            let _ = over.recv();
        });
        let started = numbers.recv().expect("it runs");
        assert!(!before.contains(&started) && system::all_threads().contains(&started));
        drop(end);
        thread.join().expect("it ends");
    }
}
