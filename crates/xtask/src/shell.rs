//! Faults, paths and child processes.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Why a verb failed: a sentence for the terminal and the exit status.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) text: String,
    pub(crate) exit: u8,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        failed(&error.to_string())
    }
}

/// The work was done and its outcome is no.
pub(crate) fn failed(text: &str) -> Fault {
    Fault {
        text: text.to_owned(),
        exit: 1,
    }
}

/// The command line makes no sense.
pub(crate) fn misuse(text: &str) -> Fault {
    Fault {
        text: text.to_owned(),
        exit: 2,
    }
}

/// Top folder of the checkout that cargo runs us for. It need not be the one we were compiled in:
/// checkouts may share a target folder.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.ancestors().nth(2).unwrap_or(&here).to_owned()
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where pictures, logs and recordings of a run are kept.
pub(crate) fn artifacts_dir() -> PathBuf {
    target_dir().join("artifacts")
}

/// What the tests' peers need and cannot be installed: the root of a system of its own.
pub(crate) fn peers_dir() -> PathBuf {
    target_dir().join("peers")
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs `command` on this terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Fault> {
    let shown = show(command);
    let status = command
        .status()
        .map_err(|error| failed(&format!("{shown}: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(&format!("{shown}: {status}")))
    }
}

/// Runs `command` silently and gives what it printed, or what went wrong.
pub(crate) fn output(command: &mut Command) -> Result<String, Fault> {
    let shown = show(command);
    let out = command
        .output()
        .map_err(|error| failed(&format!("{shown}: {error}")))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        let words = String::from_utf8_lossy(&out.stderr);
        Err(failed(&format!("{shown}: {}\n{words}", out.status)))
    }
}

/// Whether a program of this name can be started.
pub(crate) fn has_program(name: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else {
        return false;
    };
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(name).is_file())
}

/// The command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

/// Runs `command`, copies every line it prints to the terminal and to `log`, and shows each to
/// `line`. Ends it when it runs longer than `limit`.
pub(crate) fn watch(
    command: &mut Command,
    log: &Path,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<(), Fault> {
    let shown = show(command);
    // A pipe each: the test harness writes a line in pieces, and what a library says in between would break it.
    let (printed, stdout) = std::io::pipe()?;
    let (complained, stderr) = std::io::pipe()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| failed(&format!("{shown}: {error}")))?;
    // The command keeps the pipe's writing ends until it is told to forget them: without this the
    // reader would never see the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options().create(true).append(true).open(log)?;
    writeln!(file, "$ {shown}")?;
    let (sender, lines) = mpsc::channel();
    // The readers are not joined: a grandchild that outlives its parent may hold a pipe open.
    for reader in [printed, complained] {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for text in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&text).into_owned();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);

    let deadline = Instant::now() + limit;
    let mut ended: Option<ExitStatus> = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(text) => {
                println!("{text}");
                writeln!(file, "{text}")?;
                line(&text);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) if ended.is_some() => break,
            Err(mpsc::RecvTimeoutError::Timeout) => ended = child.try_wait()?,
        }
        if Instant::now() > deadline && ended.is_none() {
            end(&mut child);
            return Err(failed(&format!(
                "{shown}: still running after {} s, ended",
                limit.as_secs()
            )));
        }
    }
    let status = match ended {
        Some(status) => status,
        None => child.wait()?,
    };
    if status.success() {
        Ok(())
    } else {
        Err(failed(&format!("{shown}: {status}")))
    }
}

/// Ends a child that we started.
pub(crate) fn end(child: &mut Child) {
    // Failing means that it is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Every file below `dir` that ends in `.extension`.
pub(crate) fn files_below(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_printed_in_pieces_stays_whole() {
        let mut command = Command::new("sh");
        let words = "printf 'test a ... '; echo noise >&2; sleep 0.1; echo ok; printf end";
        command.args(["-c", words]);
        let log = std::env::temp_dir().join(format!("xtask-watch-{}.log", std::process::id()));
        let mut lines = Vec::new();
        let outcome = watch(&mut command, &log, Duration::from_secs(10), |line| {
            lines.push(line.to_owned());
        });
        let kept = fs::read_to_string(&log);
        let _ = fs::remove_file(&log);
        outcome.expect("it ends well");
        lines.sort();
        assert_eq!(lines, ["end", "noise", "test a ... ok"]);
        assert!(kept.expect("it is logged").contains("\ntest a ... ok\n"));
    }
}
