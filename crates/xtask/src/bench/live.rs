//! The release program on loopback: many registrations, many calls, a window that rests, and one call
//! by itself. Driven through the command line and the JSON-RPC socket, as the tests do.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::figures::Figures;
use crate::bench::mouth;
use crate::bench::peer::Peer;
use crate::bench::proc::Sample;
use crate::json::Json;
use crate::shell::{self, Fault, failed};

const ACCOUNTS: usize = 200;
const CALLS: usize = 50;
/// Windows opened for one figure.
const STARTS: usize = 5;

/// 200 accounts sign in at the built-in switchboard.
pub(crate) fn register(figures: &mut Figures) -> Result<(), Fault> {
    let bench = Bench::start("register")?;
    let before = Sample::of(bench.phone.id())?;
    let (took, after) = bench.register_all(ACCOUNTS)?;
    let group = format!("{ACCOUNTS} registrations");
    let account = after.resident_kb.saturating_sub(before.resident_kb) as f64 / ACCOUNTS as f64;
    figures.add(&group, "all registered after", ms(took));
    figures.add(&group, "processor time", ms(after.cpu_since(&before)));
    figures.add(&group, "memory before", kb(before.resident_kb));
    figures.add(&group, "memory after", kb(after.resident_kb));
    figures.add(&group, "memory an account", format!("{account:.1} kB"));
    sleep(Duration::from_secs(10));
    let rest = Sample::of(bench.phone.id())?;
    figures.add(&group, "processor at rest", percent(&rest, &after));
    Ok(())
}

/// Fifty echo calls at once.
pub(crate) fn calls(figures: &mut Figures) -> Result<(), Fault> {
    let mut bench = Bench::start("calls")?;
    bench.register_all(CALLS)?;
    let before = Sample::of(bench.phone.id())?;
    let accounts = bench.ids("accounts")?;
    let start = Instant::now();
    for account in &accounts {
        bench.call(
            "place_call",
            &format!(r#"{{"account": {account}, "target": "600"}}"#),
        )?;
    }
    bench.until("calls", is_connected, CALLS)?;
    let connected = start.elapsed();
    let talk = Sample::of(bench.phone.id())?;
    sleep(Duration::from_secs(15));
    let end = Sample::of(bench.phone.id())?;
    let group = format!("{CALLS} echo calls");
    figures.add(&group, "all connected after", ms(connected));
    figures.add(&group, "processor", percent(&end, &talk));
    figures.add(&group, "memory before", kb(before.resident_kb));
    figures.add(&group, "memory", kb(end.resident_kb));
    figures.add(&group, "threads", end.threads.to_string());
    add_stats(figures, &group, &bench.stats()?);
    Ok(())
}

/// One call with each codec: by itself, from mouth to ear, and with baresip beside it.
pub(crate) fn media(figures: &mut Figures) -> Result<(), Fault> {
    for codec in ["pcmu", "opus"] {
        let mut bench = Bench::start("media")?;
        bench.add_account(0, codec)?;
        bench.until("accounts", is_registered, 1)?;
        let accounts = bench.ids("accounts")?;
        let account = accounts.first().ok_or_else(|| failed("no account"))?;
        let rest = Sample::of(bench.phone.id())?;
        bench.call(
            "place_call",
            &format!(r#"{{"account": {account}, "target": "600"}}"#),
        )?;
        bench.until("calls", is_connected, 1)?;
        let other = match codec {
            "pcmu" => Some(Peer::call(&fresh_home("baresip")?, bench.port)?),
            _ => None,
        };
        // What it takes to begin a call is another figure.
        sleep(Duration::from_secs(3));
        let talk = Sample::of(bench.phone.id())?;
        let other_talk = other.as_ref().map(Peer::sample).transpose()?;
        sleep(Duration::from_secs(30));
        let end = Sample::of(bench.phone.id())?;
        let group = format!("one call with {codec}");
        figures.add(&group, "processor", percent(&end, &talk));
        figures.add(&group, "memory before", kb(rest.resident_kb));
        figures.add(&group, "memory", kb(end.resident_kb));
        if let (Some(other), Some(other_talk)) = (&other, other_talk) {
            let other_end = other.sample()?;
            other.assert_talking()?;
            figures.add(
                &group,
                "processor of baresip",
                percent(&other_end, &other_talk),
            );
            figures.add(&group, "memory of baresip", kb(other_end.resident_kb));
            let cpu = end.cpu_per_cent_since(&talk)
                / other_end.cpu_per_cent_since(&other_talk).max(0.001);
            let memory = end.resident_kb as f64 / other_end.resident_kb.max(1) as f64;
            figures.add_with_goal(&group, "processor, ours", (cpu, 1.0), "of baresip\u{2019}s");
            figures.add(
                &group,
                "memory, ours",
                format!("{memory:.2} of baresip\u{2019}s"),
            );
        }
        add_stats(figures, &group, &bench.stats()?);
        drop((bench, other));
        let delay = mouth::to_ear(&build()?, &fresh_home("mouth")?, codec, free_port()?)?;
        figures.add(&group, "mouth to ear", ms(delay));
    }
    Ok(())
}

/// A window that opens, several times, and the demo's window, untouched for half a minute.
pub(crate) fn idle(figures: &mut Figures) -> Result<(), Fault> {
    let program = build()?;
    let home = fresh_home("idle")?;
    let (screen, display) = screen()?;
    let mut times = Vec::new();
    for round in 0..STARTS {
        let (_window, took) = window(&program, &home.join(round.to_string()), &display, &[])?;
        times.push(took);
    }
    times.sort();
    let took = times.get(times.len() / 2).copied().unwrap_or_default();
    let group = "a window that opens";
    let first = (took.as_secs_f64() * 1e3, 300.0);
    figures.add_with_goal(group, "first frame after", first, "ms");

    // Two accounts, at a switchboard that is another program, as a provider's is.
    let mut bench = Bench::start_with("idle-window", |program, home| {
        let settings = home.join("settings").display().to_string();
        let (window, _) = window(program, home, &display, &["--config", &settings])?;
        Ok((window, home.join("settings/control.sock")))
    })?;
    bench.register_all(2)?;
    sleep(Duration::from_secs(10));
    let before = Sample::of(bench.phone.id())?;
    sleep(Duration::from_secs(30));
    if bench.phone.0.try_wait()?.is_some() {
        return Err(failed("the window ended by itself"));
    }
    let after = Sample::of(bench.phone.id())?;
    let group = "a window with two accounts at rest for 30 s";
    let processor = (after.cpu_per_cent_since(&before), 0.5);
    figures.add_with_goal(group, "processor", processor, "% of one");
    // Most of it is the driver's: it draws with the processor here, and brings a compiler along.
    let memory = (after.resident_kb as f64 / 1000.0, 130.0);
    figures.add_with_goal(group, "memory", memory, "MB");
    figures.add(group, "its share of memory", kb(after.proportional_kb));
    figures.add(group, "threads", after.threads.to_string());
    drop(screen);
    Ok(())
}

/// Starts a window and waits for its first frame, which it tells in its log.
fn window(
    program: &Path,
    home: &Path,
    display: &str,
    args: &[&str],
) -> Result<(Running, Duration), Fault> {
    let mut command = command(program, home);
    command
        .args(args)
        .env("DISPLAY", display)
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .env("TIPRING_LOG", "warn,window=debug")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let mut window = Running(command.spawn()?);
    let log = window.0.stderr.take().ok_or_else(|| failed("no log"))?;
    let mut copy = fs::File::create(home.join("window.log"))?;
    let (sender, told) = mpsc::channel();
    // Ends with the window.
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if line.contains("the first frame is drawn") {
                let _ = sender.send(start.elapsed());
            }
            let _ = writeln!(copy, "{line}");
        }
    });
    match told.recv_timeout(Duration::from_secs(30)) {
        Ok(took) => Ok((window, took)),
        Err(_) => Err(failed(&format!(
            "the window drew nothing; see {}",
            home.join("window.log").display()
        ))),
    }
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

fn kb(amount: u64) -> String {
    format!("{amount} kB")
}

fn percent(now: &Sample, earlier: &Sample) -> String {
    format!("{:.2} % of one", now.cpu_per_cent_since(earlier))
}

/// A switchboard, and a program to measure.
struct Bench {
    phone: Running,
    _switchboard: Running,
    control: Control,
    port: u16,
}

impl Bench {
    /// A program without a window.
    fn start(name: &str) -> Result<Self, Fault> {
        Self::start_with(name, |program, home| {
            let socket = home.join("control");
            let headless = command(program, &home.join("headless"))
                .arg("headless")
                .arg("--control")
                .arg(&socket)
                .args(["--audio", "null", "--config"])
                .arg(home.join("settings"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(home.join("headless.log"))?)
                .spawn()?;
            Ok((Running(headless), socket))
        })
    }

    /// A program that `begin` starts in a fresh folder, and the socket that it listens at.
    fn start_with(
        name: &str,
        begin: impl FnOnce(&Path, &Path) -> Result<(Running, PathBuf), Fault>,
    ) -> Result<Self, Fault> {
        let program = build()?;
        let home = fresh_home(name)?;
        let port = free_port()?;
        let switchboard = command(&program, &home.join("switchboard"))
            .args(["switchboard", "--listen", &format!("udp:127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let switchboard = Running(switchboard);
        let (phone, socket) = begin(&program, &home)?;
        let control = Control::connect(&socket)?;
        sleep(Duration::from_secs(1));
        Ok(Self {
            phone,
            _switchboard: switchboard,
            control,
            port,
        })
    }

    /// Adds accounts and waits until all are registered.
    fn register_all(&self, count: usize) -> Result<(Duration, Sample), Fault> {
        let start = Instant::now();
        for number in 0..count {
            self.add_account(number, "pcmu")?;
        }
        self.until("accounts", is_registered, count)?;
        Ok((start.elapsed(), Sample::of(self.phone.id())?))
    }

    fn add_account(&self, number: usize, codec: &str) -> Result<(), Fault> {
        let port = self.port;
        let params = format!(
            r#"{{"password": "secret", "settings": {{"aor": "sip:user{number}@127.0.0.1:{port}", "register": true,
            "expires_s": 300, "bind": "127.0.0.1:0", "transport": "udp", "codecs": ["{codec}"]}}}}"#
        );
        self.call("add_account", &params).map(drop)
    }

    fn call(&self, method: &str, params: &str) -> Result<Json, Fault> {
        self.control.call(method, params)
    }

    fn snapshot(&self) -> Result<Json, Fault> {
        self.call("snapshot", "{}")
    }

    /// The ids of a list of the state, as JSON text.
    fn ids(&self, list: &str) -> Result<Vec<String>, Fault> {
        let state = self.snapshot()?;
        Ok(state
            .at(list)
            .list()
            .iter()
            .filter_map(|item| item.at("id").text())
            .map(|id| format!("{id:?}"))
            .collect())
    }

    /// Waits until `count` items of a list are as wished.
    fn until(&self, list: &str, wish: impl Fn(&Json) -> bool, count: usize) -> Result<(), Fault> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let state = self.snapshot()?;
            let found = state
                .at(list)
                .list()
                .iter()
                .filter(|item| wish(item))
                .count();
            if found == count {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(failed(&format!("{found} of {count} {list} after a minute")));
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// The media figures of all calls.
    fn stats(&mut self) -> Result<Vec<Json>, Fault> {
        let state = self.snapshot()?;
        Ok(state
            .at("calls")
            .list()
            .iter()
            .map(|call| call.at("stats").clone())
            .collect())
    }
}

fn is_registered(account: &Json) -> bool {
    account.at("state").text() == Some("registered")
}

fn is_connected(call: &Json) -> bool {
    call.at("state").text() == Some("connected")
}

/// Medians of what the calls say of themselves.
fn add_stats(figures: &mut Figures, group: &str, stats: &[Json]) {
    for name in [
        "sent",
        "received",
        "lost",
        "jitter_ms",
        "rtt_ms",
        "buffer_ms",
        "mos",
    ] {
        let mut values: Vec<f64> = stats
            .iter()
            .filter_map(|stats| stats.at(name).number())
            .collect();
        values.sort_by(f64::total_cmp);
        let Some(median) = values.get(values.len() / 2) else {
            continue;
        };
        figures.add(group, name, format!("{median:.2}"));
    }
}

/// The program to measure: what TIPRING_BIN names, else a fresh build.
pub(crate) fn build() -> Result<PathBuf, Fault> {
    if let Some(path) = std::env::var_os("TIPRING_BIN") {
        return Ok(path.into());
    }
    // Release speed; the profile only leaves the long link out.
    let words = "build --profile bench --locked --package app --bin tipring";
    shell::run(shell::cargo().args(words.split(' ')))?;
    Ok(shell::target_dir().join("release/tipring"))
}

pub(crate) fn command(program: &Path, home: &Path) -> Command {
    // A folder that cannot be made shows as the program's own error.
    let _ = fs::create_dir_all(home);
    let mut command = Command::new(program);
    command
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_STATE_HOME", home.join("state"));
    command
}

pub(crate) fn fresh_home(name: &str) -> Result<PathBuf, Fault> {
    let home = shell::artifacts_dir().join("bench").join(name);
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    Ok(home)
}

fn screen() -> Result<(Running, String), Fault> {
    let child = Command::new("Xvfb")
        .args([
            "-displayfd",
            "1",
            "-nolisten",
            "tcp",
            "-noreset",
            "-screen",
            "0",
            "1280x800x24",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&format!("Xvfb: {error}")))?;
    let mut screen = Running(child);
    let mut number = String::new();
    if let Some(out) = screen.0.stdout.take() {
        BufReader::new(out).read_line(&mut number)?;
    }
    Ok((screen, format!(":{}", number.trim())))
}

pub(crate) fn free_port() -> Result<u16, Fault> {
    for port in 21_000..31_000 {
        let here = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(here).is_ok() && TcpListener::bind(here).is_ok() {
            return Ok(port);
        }
    }
    Err(failed("no free port"))
}

/// A process that ends with us.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        shell::end(&mut self.0);
    }
}

/// JSON-RPC, one object per line.
struct Control {
    path: PathBuf,
}

impl Control {
    fn connect(path: &Path) -> Result<Self, Fault> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(path).is_err() {
            if Instant::now() > deadline {
                return Err(failed(&format!("nobody listens at {}", path.display())));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    fn call(&self, method: &str, params: &str) -> Result<Json, Fault> {
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let params = params.replace('\n', " ");
        writeln!(
            stream,
            r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params}}}"#
        )?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let answer = Json::parse(line.trim())?;
        if *answer.at("error") != Json::Null {
            return Err(failed(&format!("{method}: {}", line.trim())));
        }
        Ok(answer.at("result").clone())
    }
}
