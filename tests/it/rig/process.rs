//! Child processes that end with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A process that is ended, by its own id, when this is dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with everything it prints in `folder/name.log`. Panics with a clear word when
    /// the program is not there.
    pub(crate) fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        Self::spawn(name, folder, command)
    }

    /// The same of a program that is told things where a person would type them.
    pub(crate) fn start_talkable(
        name: &str,
        folder: &Path,
        command: &mut Command,
    ) -> (Self, ChildStdin) {
        command.stdin(Stdio::piped());
        let mut process = Self::spawn(name, folder, command);
        let menu = process.child.stdin.take().expect("it is a pipe");
        (process, menu)
    }

    fn spawn(name: &str, folder: &Path, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).expect("a log can be written");
        let other = file.try_clone().expect("a file can be shared");
        command.stdout(file).stderr(other);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{}", cannot_start(command, &error)));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far, control characters and colours included.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', "")
    }

    /// Panics with its last words when it has ended.
    pub(crate) fn assert_alive(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!(
                "{} ended early ({status}):\n{}",
                self.name,
                tail(&self.log())
            );
        }
    }

    /// Waits for its end by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        wait(&mut self.child, limit).unwrap_or_else(|| {
            panic!(
                "{} still runs after {} s:\n{}",
                self.name,
                limit.as_secs(),
                tail(&self.log())
            )
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Some have children of their own and end them only when they are asked nicely.
        signal(self.id(), "TERM");
        if wait(&mut self.child, Duration::from_secs(2)).is_none() {
            // Failing means that it is gone already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs `command` to its end and gives what it printed; panics when it fails.
pub(crate) fn output(command: &mut Command) -> String {
    let out = command
        .output()
        .unwrap_or_else(|error| panic!("{}", cannot_start(command, &error)));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{command:?}: {}\n{text}{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    text
}

/// Sends a signal to one process that we started.
pub(crate) fn signal(id: u32, name: &str) {
    // It may be gone already.
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Waits for an end; nothing after `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Resident memory of a process in kB, from /proc.
pub(crate) fn resident_kb(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("process {id} has no memory figure: it has ended"))
}

/// The last lines of a log.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!(
        "{} can not be started ({error}): this test needs it; `cargo xtask setup test` installs it",
        command.get_program().to_string_lossy()
    )
}
