//! baresip: a phone that others wrote, driven over its control port.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::folder::Folder;
use super::namespaces::Place;
use super::process::{Process, signal};
use super::program::SOON;
use super::{ports, until};

/// What its microphone hears.
pub(crate) enum Hears {
    /// What its speaker plays.
    Echo,
    /// A WAV file, mono, whose end ends the call.
    File(PathBuf),
}

/// What it does with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    AtOnce,
    /// Rings until it is told something.
    Never,
}

/// A running baresip, registered at a registrar or on its own.
pub(crate) struct Baresip {
    process: Process,
    control: Control,
    pub(crate) port: u16,
    heard: PathBuf,
}

/// How one is set up.
pub(crate) struct Setup<'a> {
    /// `user@domain`.
    pub(crate) address: &'a str,
    /// Where it registers; nothing leaves it on its own.
    pub(crate) proxy_port: Option<u16>,
    /// In its own spelling: `PCMU/8000/1`, `opus/48000/1`. An unknown one means all.
    pub(crate) codecs: &'a str,
    pub(crate) hears: Hears,
    pub(crate) answers: Answers,
    /// How it encrypts media, in its own spelling: `srtp` offers it, `srtp-mand` asks for it, `dtls_srtp` asks for
    /// a handshake.
    pub(crate) encryption: Option<&'a str>,
    /// The address at which it tries ways for its media (ICE), which loopback is not for; nothing is loopback without.
    pub(crate) tries_ways_at: Option<Ipv4Addr>,
    /// Its reports have a port of their own where they else would share that of the media.
    pub(crate) reports_apart: bool,
}

impl Baresip {
    pub(crate) fn start(folder: &Folder, name: &str, setup: &Setup<'_>) -> Self {
        let (process, port, control_port, heard) = launch(folder, name, setup, None);
        let mut process = process;
        let stream = until("baresip's control port", SOON, || {
            process.assert_alive();
            TcpStream::connect((Ipv4Addr::LOCALHOST, control_port)).ok()
        });
        let mut baresip = Self {
            process,
            control: Control::new(stream),
            port,
            heard,
        };
        if setup.proxy_port.is_some() {
            // The event may come before we listen to events, the line in the log stays.
            until("baresip's registration", SOON, || {
                baresip.process.assert_alive();
                baresip.log().contains("200 OK").then_some(())
            });
        }
        baresip
    }

    /// One command of its menu.
    pub(crate) fn command(&mut self, name: &str, params: &str) -> Value {
        self.control.command(name, params)
    }

    /// Waits for an event, old or new.
    pub(crate) fn wait_event(
        &mut self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(event) = self.control.events.iter().find(|event| fits(event)) {
                return event.clone();
            }
            if Instant::now() > deadline {
                panic!(
                    "baresip: no {what} in {} s; events {:?}\n{}",
                    limit.as_secs(),
                    self.control.events,
                    super::process::tail(&self.process.log())
                );
            }
            self.control.read(Duration::from_millis(100));
        }
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// What its speaker played, as WAV files, when it was started with a recording sink.
    pub(crate) fn heard(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.heard)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.sort();
        files
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // Asked nicely it waits for its un-registration first.
        signal(self.process.id(), "KILL");
    }
}

/// One in another network, behind a router, that takes every call and is registered at a proxy by TCP.
pub(crate) struct Far<'a> {
    pub(crate) place: &'a Place,
    /// Its address there.
    pub(crate) here: Ipv4Addr,
    /// `HOST:PORT`.
    pub(crate) proxy: String,
    /// How its media finds its way, in its own spelling: `ice`, `turn`.
    pub(crate) ways: &'a str,
    /// `turn:HOST:PORT`.
    pub(crate) relay: String,
}

impl Far<'_> {
    /// Starts it. It is there once it is registered, and gone with the process.
    pub(crate) fn start(&self, folder: &Folder, name: &str, setup: &Setup<'_>) -> Process {
        let (mut process, ..) = launch(folder, name, setup, Some(self));
        until("baresip's registration", SOON, || {
            process.assert_alive();
            process.log().contains("200 OK").then_some(())
        });
        process
    }
}

/// The process, its SIP port, its control port, and the folder for what it hears.
fn launch(
    folder: &Folder,
    name: &str,
    setup: &Setup<'_>,
    far: Option<&Far<'_>>,
) -> (Process, u16, u16, PathBuf) {
    let run = folder.inner(name);
    let port = ports::free();
    let control_port = ports::free();
    let rtp = ports::free_run(40);
    let heard = run.join("heard");
    fs::create_dir_all(&heard).expect("a folder can be made");
    let (source, sink, rate) = sound(setup, &heard);
    let settings = SETTINGS
        .replace("@PORT@", &port.to_string())
        .replace("@CONTROL@", &control_port.to_string())
        .replace("@RTP@", &format!("{rtp}-{}", rtp + 38))
        .replace("@SOURCE@", &source)
        .replace("@SINK@", &sink)
        .replace("@RATE@", &rate)
        .replace("@MUX@", if shares_port(setup) { "yes" } else { "no" })
        .replace(
            "@HERE@",
            &far.map_or(here(setup), |far| far.here).to_string(),
        )
        .replace(
            "@ICE@",
            match far {
                Some(_) => "module turn.so\nmodule ice.so",
                None if setup.tries_ways_at.is_some() => "module ice.so",
                None => "",
            },
        )
        .replace(
            "@DTLS@",
            if shakes_hands(setup) {
                "module dtls_srtp.so"
            } else {
                ""
            },
        )
        .replace("@HEARD@", &heard.display().to_string())
        .replace("@MODULES@", &modules().display().to_string());
    fs::write(run.join("config"), settings).expect("settings can be written");
    fs::write(run.join("contacts"), "").expect("settings can be written");
    fs::write(run.join("accounts"), account(setup, far)).expect("settings can be written");

    // stdbuf becomes baresip, which would keep its words to itself when nobody looks.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "baresip", "-4", "-f"]);
    command.arg(&run).env("HOME", &run);
    if let Some(far) = far {
        command = far.place.command(&command);
    }
    let process = Process::start(name, folder, &mut command);
    (process, port, control_port, heard)
}

/// Whether its keys come from a handshake.
fn shakes_hands(setup: &Setup<'_>) -> bool {
    setup
        .encryption
        .is_some_and(|name| name.starts_with("dtls"))
}

/// Where media needs a handshake or a way they share the port, as with most peers.
fn shares_port(setup: &Setup<'_>) -> bool {
    !setup.reports_apart && (shakes_hands(setup) || setup.tries_ways_at.is_some())
}

fn here(setup: &Setup<'_>) -> Ipv4Addr {
    setup.tries_ways_at.unwrap_or(Ipv4Addr::LOCALHOST)
}

fn account(setup: &Setup<'_>, far: Option<&Far<'_>>) -> String {
    let answer = match setup.answers {
        Answers::AtOnce => "auto",
        Answers::Never => "manual",
    };
    let place = match setup.proxy_port {
        Some(port) => format!(";outbound=\"sip:127.0.0.1:{port};transport=udp\";regint=120"),
        None => ";regint=0".to_owned(),
    };
    let encryption = setup.encryption.map(|name| format!(";mediaenc={name}"));
    if let Some(far) = far {
        let Far {
            proxy, ways, relay, ..
        } = far;
        return format!(
            "<sip:{};transport=tcp>;auth_pass=secret;answermode={answer};audio_codecs={};\
             outbound=\"sip:{proxy};transport=tcp\";regint=120;medianat={ways};stunserver=\"{relay}\";\
             stunuser=bob;stunpass=secret{}\n",
            setup.address,
            setup.codecs,
            encryption.unwrap_or_default()
        );
    }
    let ways = setup.tries_ways_at.map(|_| ";medianat=ice");
    format!(
        "<sip:{};transport=udp>;auth_pass=secret;answermode={answer};audio_codecs={}{place}{}{}\n",
        setup.address,
        setup.codecs,
        encryption.unwrap_or_default(),
        ways.unwrap_or_default()
    )
}

/// Source, sink and the rate they need.
fn sound(setup: &Setup<'_>, _heard: &Path) -> (String, String, String) {
    match &setup.hears {
        Hears::Echo => (
            "aubridge,loop".to_owned(),
            "aubridge,loop".to_owned(),
            String::new(),
        ),
        Hears::File(path) => {
            let rate = hound::WavReader::open(path)
                .expect("the file that baresip is to play can be read")
                .spec()
                .sample_rate;
            (
                format!("aufile,{}", path.display()),
                "aubridge,sink".to_owned(),
                format!("ausrc_srate {rate}\nausrc_channels 1"),
            )
        }
    }
}

/// Where its modules are installed.
pub(crate) fn modules() -> PathBuf {
    ["/usr/lib/baresip/modules", "/usr/lib64/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules", "/usr/lib/aarch64-linux-gnu/baresip/modules"]
        .iter()
        .map(PathBuf::from)
        .find(|folder| folder.join("g711.so").is_file())
        .expect("baresip's modules are not installed: this test needs them; `cargo xtask setup test` installs them")
}

// It would take the first real interface for its SDP: net_interface keeps it on loopback.
const SETTINGS: &str = "\
poll_method epoll
sip_listen @HERE@:@PORT@
net_interface @HERE@
call_local_timeout 120
call_max_calls 64
audio_source @SOURCE@
audio_player @SINK@
audio_alert aubridge,alert
audio_level no
@RATE@
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports @RTP@
rtcp_mux @MUX@
rtp_stats yes
jitter_buffer_type fixed
jitter_buffer_delay 2-10
opus_bitrate 32000
opus_stereo no
opus_inbandfec yes
snd_path @HEARD@
module_path @MODULES@
module g711.so
module opus.so
module g722.so
module srtp.so
@ICE@
@DTLS@
module aubridge.so
module aufile.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app contact.so
module_app ctrl_tcp.so
module_app menu.so
ctrl_tcp_listen 127.0.0.1:@CONTROL@
";

/// JSON objects as netstrings, both ways.
struct Control {
    stream: TcpStream,
    buffer: Vec<u8>,
    events: Vec<Value>,
    answers: Vec<Value>,
}

impl Control {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn command(&mut self, name: &str, params: &str) -> Value {
        self.answers.clear();
        let text = json!({"command": name, "params": params, "token": "1"}).to_string();
        write!(self.stream, "{}:{text},", text.len()).expect("baresip listens");
        until(&format!("baresip's answer to {name}"), SOON, || {
            self.read(Duration::from_millis(50));
            self.answers.pop()
        })
    }

    /// Reads what is there, waiting for `patience` at most.
    fn read(&mut self, patience: Duration) {
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a time-out can be set");
        let mut chunk = [0; 16 * 1024];
        // A time-out is the usual end.
        if let Ok(count) = self.stream.read(&mut chunk) {
            self.buffer.extend_from_slice(&chunk[..count]);
        }
        while let Some(value) = self.next_object() {
            if value["response"] == true {
                self.answers.push(value);
            } else {
                self.events.push(value);
            }
        }
    }

    fn next_object(&mut self) -> Option<Value> {
        let colon = self.buffer.iter().position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(&self.buffer[..colon])
            .ok()?
            .parse()
            .ok()?;
        let text = self.buffer.get(colon + 1..colon + 1 + length)?;
        let value = serde_json::from_slice(text).unwrap_or(Value::Null);
        let end = (colon + 2 + length).min(self.buffer.len());
        self.buffer.drain(..end);
        Some(value)
    }
}
