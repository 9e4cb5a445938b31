//! The program under test, and the events that it prints.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::folder::{Folder, target_dir};
use super::namespaces::Place;
use super::process;

/// How long anything may take that involves no waiting by design.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The path of the program: what `cargo xtask test` built, else what lies beside us.
pub(crate) fn path() -> PathBuf {
    let path = match std::env::var_os("TIPRING_BIN") {
        Some(path) => path.into(),
        None => target_dir().join("debug/tipring"),
    };
    assert!(
        path.is_file(),
        "there is no program at {}: `cargo xtask test --only e2e` builds it",
        path.display()
    );
    path
}

/// A command for the program with a home of its own: no settings, key store or display of the
/// machine reach it.
pub(crate) fn command(home: &Path) -> Command {
    let mut command = Command::new(path());
    command
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("RUST_BACKTRACE", "1");
    command
}

/// An account given in place.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) aor: String,
    pub(crate) password: &'static str,
    /// More of the command line: `--transport tcp` and the like.
    pub(crate) more: Vec<String>,
}

impl Account {
    pub(crate) fn new(aor: impl Into<String>, more: &str) -> Self {
        Self {
            aor: aor.into(),
            password: "secret",
            more: more.split_whitespace().map(str::to_owned).collect(),
        }
    }

    #[must_use]
    pub(crate) fn with_password(mut self, password: &'static str) -> Self {
        self.password = password;
        self
    }

    #[must_use]
    pub(crate) fn with(mut self, more: &str) -> Self {
        self.more.extend(more.split_whitespace().map(str::to_owned));
        self
    }
}

/// A running `tipring VERB … --json`.
pub(crate) struct Program {
    name: String,
    child: Child,
    events: Arc<Events>,
    stderr: PathBuf,
}

#[derive(Default)]
struct Events {
    seen: Mutex<Vec<Value>>,
    changed: Condvar,
}

impl Program {
    /// Starts `tipring VERB` as `account`; `args` are split at blanks.
    pub(crate) fn start(
        folder: &Folder,
        name: &str,
        verb: &str,
        account: &Account,
        args: &str,
    ) -> Self {
        Self::spawn(
            folder,
            name,
            &mut Self::line(folder, name, verb, account, args),
        )
    }

    /// The same in another network.
    pub(crate) fn start_at(
        place: &Place,
        folder: &Folder,
        name: &str,
        verb: &str,
        account: &Account,
        args: &str,
    ) -> Self {
        let line = Self::line(folder, name, verb, account, args);
        Self::spawn(folder, name, &mut place.command(&line))
    }

    fn line(folder: &Folder, name: &str, verb: &str, account: &Account, args: &str) -> Command {
        let home = folder.inner(name);
        let mut command = command(&home);
        command
            .arg(verb)
            .args(args.split_whitespace())
            .args([
                "--aor",
                &account.aor,
                "--password-env",
                "TIPRING_TEST_SECRET",
            ])
            .args(&account.more)
            .args(["--json", "--config"])
            .arg(home.join("settings"))
            .env("TIPRING_TEST_SECRET", account.password);
        if matches!(verb, "call" | "answer") {
            command.args(["--audio", "null"]);
        }
        command
    }

    /// Starts any command whose stdout has events.
    pub(crate) fn spawn(folder: &Folder, name: &str, command: &mut Command) -> Self {
        let stderr = folder.join(format!("{name}.stderr.log"));
        let stdout = folder.join(format!("{name}.events.jsonl"));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).expect("a log can be written"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let events = Arc::new(Events::default());
        let shared = Arc::clone(&events);
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut copy = File::create(stdout).expect("a log can be written");
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                use std::io::Write;
                // The copy is for people; a full disk shows elsewhere.
                let _ = writeln!(copy, "{line}");
                let event = serde_json::from_str(&line)
                    .unwrap_or_else(|_| Value::String(format!("not JSON: {line}")));
                shared
                    .seen
                    .lock()
                    .expect("nobody panics with it")
                    .push(event);
                shared.changed.notify_all();
            }
        });
        Self {
            name: name.to_owned(),
            child,
            events,
            stderr,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.events
            .seen
            .lock()
            .expect("nobody panics with it")
            .clone()
    }

    /// Waits for the first event, old or new, that `fits`.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        self.wait_for_nth(what, 1, limit, fits)
    }

    /// Waits for the `count`th event that `fits`.
    pub(crate) fn wait_for_nth(
        &mut self,
        what: &str,
        count: usize,
        limit: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + limit;
        let mut ended = None;
        // Each event is looked at once: a program that is not read from as fast as it tells loses some.
        let (mut looked_at, mut left) = (0, count);
        loop {
            {
                let seen = self.events.seen.lock().expect("nobody panics with it");
                for event in seen.iter().skip(looked_at).filter(|event| fits(event)) {
                    left -= 1;
                    if left == 0 {
                        return event.clone();
                    }
                }
                looked_at = seen.len();
                // The wait is short, for a program that ends without a word is to be noticed.
                let _ = self
                    .events
                    .changed
                    .wait_timeout(seen, Duration::from_millis(100))
                    .expect("nobody panics with it");
            }
            if let Some(status) = ended {
                panic!(
                    "{} ended ({status}) without {what}\n{}",
                    self.name,
                    self.story()
                );
            }
            // What it printed last may still be in the pipe: one more round is made.
            ended = self.child.try_wait().ok().flatten();
            assert!(
                Instant::now() < deadline,
                "{}: no {what} in {} s\n{}",
                self.name,
                limit.as_secs(),
                self.story()
            );
        }
    }

    /// Waits until the account is registered.
    pub(crate) fn wait_registered(&mut self) -> Value {
        self.wait_for("registration", SOON, |event| {
            is(event, "registration") && event["state"] == "registered"
        })
    }

    /// Waits until a call is in this state.
    pub(crate) fn wait_call(&mut self, state: &str) -> Value {
        self.wait_for(&format!("call in state {state}"), SOON, |event| {
            is(event, "call") && event["state"] == state
        })
    }

    /// Ends it as Ctrl-C would.
    pub(crate) fn interrupt(&self) {
        process::signal(self.id(), "INT");
    }

    /// Waits for its end; gives its exit code and all events.
    pub(crate) fn finish(mut self, limit: Duration) -> Outcome {
        let Some(status) = process::wait(&mut self.child, limit) else {
            panic!(
                "{} still runs after {} s\n{}",
                self.name,
                limit.as_secs(),
                self.story()
            );
        };
        // The reader ends with the pipe, moments after the process.
        std::thread::sleep(Duration::from_millis(100));
        Outcome {
            code: status.code(),
            events: self.events(),
            story: self.story(),
        }
    }

    /// Everything that helps to see what went wrong.
    pub(crate) fn story(&self) -> String {
        let mut text = String::from("events:\n");
        let events = self.events();
        for event in &events[events.len().saturating_sub(60)..] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {event}");
        }
        let log = std::fs::read_to_string(&self.stderr).unwrap_or_default();
        let _ = write!(text, "stderr:\n{}", process::tail(&log));
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        process::signal(self.id(), "TERM");
        if process::wait(&mut self.child, Duration::from_secs(3)).is_none() {
            // Failing means that it is gone already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// How a run of the program ended.
pub(crate) struct Outcome {
    /// Exit status; nothing when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
    /// For the message of a failed assertion.
    pub(crate) story: String,
}

impl Outcome {
    /// The last event about a call.
    pub(crate) fn last_call(&self) -> &Value {
        self.events
            .iter()
            .rev()
            .find(|event| is(event, "call"))
            .unwrap_or_else(|| panic!("no event about a call\n{}", self.story))
    }

    /// Checks the exit status.
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{}", self.story);
    }
}

/// Whether an event is of this kind.
pub(crate) fn is(event: &Value, kind: &str) -> bool {
    event["event"] == kind
}
