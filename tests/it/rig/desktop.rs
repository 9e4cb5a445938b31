//! A screen and a sound card that are not there: Xvfb, and PulseAudio or PipeWire with null sinks.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::folder::Folder;
use super::process::{self, Process};
use super::program::SOON;
use super::until;

/// A running X server without a monitor.
pub(crate) struct Screen {
    child: Child,
    /// `:7` or so.
    pub(crate) name: String,
}

impl Screen {
    pub(crate) fn start(width: u32, height: u32) -> Self {
        // -noreset: without it the server starts anew when its last client leaves, and the next
        // client may find nothing.
        let mut child = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("Xvfb can not be started ({error}): this test needs it; `cargo xtask setup test` installs it")
            });
        let mut number = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped"))
            .read_line(&mut number)
            .expect("Xvfb says which display it is");
        assert!(!number.trim().is_empty(), "Xvfb ended without a display");
        Self {
            child,
            name: format!(":{}", number.trim()),
        }
    }

    /// One xdotool command line; gives what it prints.
    pub(crate) fn xdotool(&self, args: &[&str]) -> String {
        process::output(
            Command::new("xdotool")
                .args(args)
                .env("DISPLAY", &self.name),
        )
    }

    /// Waits for a window with `title` in its name and gives it the keyboard: there is no window
    /// manager that would.
    pub(crate) fn focus(&self, title: &str) -> String {
        let window = until(
            &format!("a window called {title}"),
            super::seconds(30),
            || {
                let found = Command::new("xdotool")
                    .args(["search", "--onlyvisible", "--name", title])
                    .env("DISPLAY", &self.name)
                    .stderr(Stdio::null())
                    .output()
                    .ok()?;
                let text = String::from_utf8_lossy(&found.stdout).into_owned();
                text.lines().next().map(str::to_owned)
            },
        );
        self.xdotool(&["windowfocus", &window]);
        window
    }

    pub(crate) fn key(&self, name: &str) {
        self.xdotool(&["key", "--clearmodifiers", name]);
    }

    pub(crate) fn text(&self, text: &str) {
        self.xdotool(&["type", "--delay", "30", text]);
    }

    /// Clicks with the first button.
    pub(crate) fn click(&self, x: usize, y: usize) {
        self.xdotool(&["mousemove", &x.to_string(), &y.to_string(), "click", "1"]);
    }

    /// Keeps a picture of the whole screen.
    pub(crate) fn picture(&self, path: &Path) {
        process::output(
            Command::new("import")
                .args(["-window", "root"])
                .arg(path)
                .env("DISPLAY", &self.name),
        );
    }

    /// The middle of the longest row of pixels in one of `colours`, if it is as wide as a button.
    pub(crate) fn widest_run(path: &Path, colours: &[[u8; 3]]) -> Option<(usize, usize)> {
        let width = process::output(Command::new("identify").args(["-format", "%w"]).arg(path));
        let width: usize = width.trim().parse().expect("identify prints a number");
        let pixels = path.with_extension("rgb");
        process::output(
            Command::new("convert")
                .arg(path)
                .args(["-depth", "8"])
                .arg(&pixels),
        );
        let bytes = fs::read(&pixels).expect("convert wrote the pixels");
        let mut widest = (0, 0, 0);
        for (y, row) in bytes.chunks_exact(width * 3).enumerate() {
            let mut run = 0;
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                run = if colours.iter().any(|colour| colour == pixel) {
                    run + 1
                } else {
                    0
                };
                if run > widest.0 {
                    widest = (run, x - run / 2, y);
                }
            }
        }
        // A button with words is wider than any mark, even where its words interrupt the row.
        let (run, x, y) = widest;
        (run >= 48).then_some((x, y))
    }

    /// How many different colours a picture has: an empty window has a handful.
    pub(crate) fn colours(path: &Path) -> u32 {
        process::output(Command::new("identify").args(["-format", "%k"]).arg(path))
            .trim()
            .parse()
            .expect("identify prints a number")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Failing means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whose sound server it is. PipeWire is reached by its plug-in for ALSA, as on desktops that have it; where that plug-in is
/// missing, by PulseAudio's protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    PulseAudio,
    PipeWire,
}

/// A running sound server: `speaker` is what programs play to, `microphone` what they hear.
pub(crate) struct SoundCard {
    // End, in this order, when it goes.
    _servers: Vec<Process>,
    run: PathBuf,
    socket: PathBuf,
    has_plugin: bool,
}

impl SoundCard {
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_by(folder, Server::PulseAudio)
    }

    pub(crate) fn start_by(folder: &Folder, server: Server) -> Self {
        let run = folder.inner("sound");
        let (socket, servers) = match server {
            Server::PulseAudio => (run.join("native"), pulseaudio(folder, &run)),
            Server::PipeWire => (run.join("pulse/native"), pipewire(folder, &run)),
        };
        // Programs of ALSA are to find the server under their default name.
        let plugin = match server {
            Server::PulseAudio => None,
            Server::PipeWire => plugin(),
        };
        let settings = plugin
            .as_deref()
            .map_or_else(|| BY_PULSE.to_owned(), by_plugin);
        fs::write(run.join("asoundrc"), settings).expect("settings can be written");
        let mut card = Self {
            _servers: servers,
            run,
            socket,
            has_plugin: plugin.is_some(),
        };
        card.wait_for_answer();
        let modules = [
            "module-null-sink sink_name=speaker rate=48000 channels=2",
            "module-null-sink sink_name=feed rate=48000 channels=1",
            "module-remap-source source_name=microphone master=feed.monitor",
        ];
        modules.iter().for_each(|module| card.load(module));
        card.pactl(&["set-default-sink", "speaker"]);
        card.pactl(&["set-default-source", "microphone"]);
        until("the sound server's microphone", SOON, || {
            let sources = card.pactl(&["list", "short", "sources"]);
            sources.contains("microphone").then_some(())
        });
        card
    }

    fn wait_for_answer(&mut self) {
        until("the sound server to answer", SOON, || {
            self._servers.iter_mut().for_each(Process::assert_alive);
            let mut ask = Command::new("pactl");
            ask.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
            self.serve(&mut ask);
            ask.status().ok()?.success().then_some(())
        });
    }

    /// Stops the server as it stands: it takes connections and says nothing.
    pub(crate) fn pause(&self) {
        for server in &self._servers {
            process::signal(server.id(), "STOP");
        }
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        for server in &self._servers {
            process::signal(server.id(), "CONT");
        }
    }

    /// Whether ALSA reaches the server by a plug-in of the server's own.
    pub(crate) fn has_plugin(&self) -> bool {
        self.has_plugin
    }

    /// Lets `command` find this sound card.
    pub(crate) fn serve(&self, command: &mut Command) {
        command
            .env("PULSE_SERVER", format!("unix:{}", self.socket.display()))
            .env(
                "ALSA_CONFIG_PATH",
                settings_with(&self.run.join("asoundrc")),
            )
            .env("PIPEWIRE_RUNTIME_DIR", &self.run)
            .env("PULSE_COOKIE", self.run.join("cookie"));
    }

    /// One command to the sound server; gives what it prints.
    pub(crate) fn pactl(&self, args: &[&str]) -> String {
        let mut command = Command::new("pactl");
        command.args(args);
        self.serve(&mut command);
        process::output(&mut command).trim().to_owned()
    }

    fn load(&self, module: &str) {
        let mut args = vec!["load-module"];
        args.extend(module.split(' '));
        self.pactl(&args);
    }

    /// Pulls a sink out.
    pub(crate) fn unplug(&self, sink: &str) {
        let list = self.pactl(&["list", "short", "modules"]);
        let line = list
            .lines()
            .find(|line| line.contains(&format!("sink_name={sink} ")))
            .unwrap_or_else(|| panic!("there is no {sink} in {list}"));
        let number = line.split_whitespace().next().unwrap_or_default();
        self.pactl(&["unload-module", number]);
    }

    /// Plugs a sink in, which is the default then. One of PulseAudio that may rewind plays two seconds of silence in advance while
    /// it is idle, and may take no sound for as long: this one may not.
    pub(crate) fn plug(&self, sink: &str) {
        self.load(&format!(
            "module-null-sink sink_name={sink} norewinds=1 rate=48000 channels=2"
        ));
        self.pactl(&["set-default-sink", sink]);
    }

    /// Writes everything that is played to `path`, raw 16-bit mono at 48 kHz, until it is dropped.
    pub(crate) fn listen(&self, folder: &Folder, path: &Path) -> Process {
        self.listen_at(folder, path, "speaker")
    }

    /// The same of another sink.
    pub(crate) fn listen_at(&self, folder: &Folder, path: &Path, sink: &str) -> Process {
        let mut command = Command::new("sh");
        command.env("SOURCE", format!("{sink}.monitor"));
        command.args(["-c", "exec parec -d $SOURCE --format=s16le --rate=48000 --channels=1 --latency-msec=400 > \"$0\""]).arg(path);
        self.serve(&mut command);
        Process::start("parec", folder, &mut command)
    }

    /// Says a WAV file into the microphone, to its end.
    pub(crate) fn say(&self, file: &Path) {
        let mut command = Command::new("paplay");
        // Much sound on its way: a machine that is busy for a moment then leaves no gap in it.
        command
            .args(["--device=feed", "--latency-msec=800"])
            .arg(file);
        self.serve(&mut command);
        process::output(&mut command);
    }
}

/// Where ALSA is to look: what comes with it, and then this file.
pub(crate) fn settings_with(file: &Path) -> String {
    format!("/usr/share/alsa/alsa.conf:{}", file.display())
}

const BY_PULSE: &str = "\
pcm.!default { type pulse }
ctl.!default { type pulse }
pcm.ringer { type pulse device ringer hint { show on description Ringer } }
";

/// What the plug-in of PipeWire is set up with where it is installed.
fn by_plugin(plugin: &Path) -> String {
    let node =
        |name: &str| format!("type pipewire playback_node \"{name}\" capture_node \"{name}\"");
    let [default, ringer] = ["-1", "ringer"].map(node);
    format!(
        "pcm_type.pipewire {{ lib \"{}\" }}\n\
         pcm.!default {{ {default} }}\n\
         pcm.ringer {{ {ringer} hint {{ show on description Ringer }} }}\n",
        plugin.display()
    )
}

/// PipeWire's plug-in for ALSA: installed, or laid aside by `cargo xtask setup` where it cannot be beside PulseAudio.
fn plugin() -> Option<PathBuf> {
    const NAME: &str = "alsa-lib/libasound_module_pcm_pipewire.so";
    let aside = std::env::var_os("TIPRING_PEERS").map(PathBuf::from);
    let roots = [Some(PathBuf::from("/")), aside];
    roots.into_iter().flatten().find_map(|root| {
        let one_for_each_kind = fs::read_dir(root.join("usr/lib")).into_iter().flatten();
        let mut folders: Vec<PathBuf> = one_for_each_kind
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        folders.push(root.join("usr/lib64"));
        let places = folders.into_iter().map(|folder| folder.join(NAME));
        places.into_iter().find(|place| place.is_file())
    })
}

/// A part of a sound server with a home of its own.
fn part(folder: &Folder, run: &Path, name: &str, args: &[&str]) -> Process {
    let mut command = Command::new(name);
    command
        .args(args)
        .env("HOME", run)
        .env("XDG_RUNTIME_DIR", run)
        .env("DBUS_SESSION_BUS_ADDRESS", bus(run));
    Process::start(name, folder, &mut command)
}

fn bus(run: &Path) -> String {
    format!("unix:path={}", run.join("bus").display())
}

fn pulseaudio(folder: &Folder, run: &Path) -> Vec<Process> {
    let script = run.join("start.pa");
    let line = format!(
        "load-module module-native-protocol-unix auth-anonymous=1 socket={}\n",
        run.join("native").display()
    );
    fs::write(&script, line).expect("a script can be written");
    let script = script.to_str().expect("a path of letters");
    let args = ["--daemonize=no", "--exit-idle-time=-1", "-n", "-F", script];
    vec![part(folder, run, "pulseaudio", &args)]
}

fn pipewire(folder: &Folder, run: &Path) -> Vec<Process> {
    let appears = |process: &mut Process, what: &str| {
        until(what, SOON, || {
            process.assert_alive();
            run.join(what).exists().then_some(())
        });
    };
    let address = format!("--address={}", bus(run));
    let args = ["--session", "--nofork", &address];
    let mut messages = part(folder, run, "dbus-daemon", &args);
    appears(&mut messages, "bus");
    let mut pipewire = part(folder, run, "pipewire", &[]);
    appears(&mut pipewire, "pipewire-0");
    let rules = part(folder, run, "wireplumber", &[]);
    let pulse = part(folder, run, "pipewire-pulse", &[]);
    vec![pulse, rules, pipewire, messages]
}

#[test]
fn what_is_said_into_the_microphone_can_be_recorded() {
    records_what_is_said(Server::PulseAudio);
}

#[test]
fn what_is_said_into_the_microphone_of_pipewire_can_be_recorded() {
    records_what_is_said(Server::PipeWire);
}

fn records_what_is_said(server: Server) {
    let folder = Folder::new(&format!("sound_card_{server:?}"));
    let card = SoundCard::start_by(&folder, server);
    let speech = super::sound::speech(&folder, 48_000);
    let recorded = folder.join("recorded.raw");
    {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "exec parec -d microphone --format=s16le --rate=48000 --channels=1 --latency-msec=400 > \"$0\"",
            ])
            .arg(&recorded);
        card.serve(&mut command);
        let _recording = Process::start("parec-microphone", &folder, &mut command);
        until("the recording to begin", SOON, || {
            fs::metadata(&recorded).ok().filter(|file| file.len() > 0)
        });
        card.say(&speech);
        // What the recorder still holds back.
        std::thread::sleep(super::seconds(1));
    }
    let heard = super::sound::read_raw(&recorded, 48_000);
    let likeness = super::sound::typical_likeness(&super::sound::read(&speech), &heard);
    assert!(likeness > 0.95, "{likeness}");
}
