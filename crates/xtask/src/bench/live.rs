//! The release program on loopback: many registrations, many calls, a window that rests, and one call
//! by itself. Driven through the command line and the JSON-RPC socket, as the tests do.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::proc::Sample;
use crate::json::Json;
use crate::shell::{self, Fault, failed};

const ACCOUNTS: usize = 200;
const CALLS: usize = 50;

/// 200 accounts sign in at the built-in switchboard.
pub(crate) fn register() -> Result<(), Fault> {
    let bench = Bench::start("register")?;
    let before = Sample::of(bench.headless.id())?;
    let (took, after) = bench.register_all(ACCOUNTS)?;
    println!("{ACCOUNTS} registrations");
    println!(
        "  all registered after   {:>8.0} ms",
        took.as_secs_f64() * 1e3
    );
    println!(
        "  processor time         {:>8.0} ms",
        after.cpu_since(&before).as_secs_f64() * 1e3
    );
    println!("  memory before          {:>8} kB", before.resident_kb);
    println!("  memory after           {:>8} kB", after.resident_kb);
    println!(
        "  an account             {:>8.1} kB",
        after.resident_kb.saturating_sub(before.resident_kb) as f64 / ACCOUNTS as f64
    );
    sleep(Duration::from_secs(10));
    let rest = Sample::of(bench.headless.id())?;
    println!(
        "  processor at rest      {:>8.2} %",
        rest.cpu_per_cent_since(&after)
    );
    Ok(())
}

/// Fifty echo calls at once.
pub(crate) fn calls() -> Result<(), Fault> {
    let mut bench = Bench::start("calls")?;
    bench.register_all(CALLS)?;
    let before = Sample::of(bench.headless.id())?;
    let accounts = bench.ids("accounts")?;
    let start = Instant::now();
    for account in &accounts {
        bench.call(
            "place_call",
            &format!(r#"{{"account": {account}, "target": "600"}}"#),
        )?;
    }
    bench.until(
        "calls",
        |call| call.at("state").text() == Some("connected"),
        CALLS,
    )?;
    let connected = start.elapsed();
    let talk = Sample::of(bench.headless.id())?;
    sleep(Duration::from_secs(15));
    let end = Sample::of(bench.headless.id())?;
    let stats = bench.stats()?;
    println!("{CALLS} echo calls");
    println!(
        "  all connected after    {:>8.0} ms",
        connected.as_secs_f64() * 1e3
    );
    println!(
        "  processor              {:>8.1} % of one",
        end.cpu_per_cent_since(&talk)
    );
    println!(
        "  memory                 {:>8} kB, {} kB before",
        end.resident_kb, before.resident_kb
    );
    println!("  threads                {:>8}", end.threads);
    print_stats(&stats);
    Ok(())
}

/// One call with each codec.
pub(crate) fn media() -> Result<(), Fault> {
    for codec in ["pcmu", "opus"] {
        let mut bench = Bench::start("media")?;
        bench.add_account(0, codec)?;
        bench.until("accounts", is_registered, 1)?;
        let accounts = bench.ids("accounts")?;
        let account = accounts.first().ok_or_else(|| failed("no account"))?;
        let rest = Sample::of(bench.headless.id())?;
        bench.call(
            "place_call",
            &format!(r#"{{"account": {account}, "target": "600"}}"#),
        )?;
        bench.until(
            "calls",
            |call| call.at("state").text() == Some("connected"),
            1,
        )?;
        let talk = Sample::of(bench.headless.id())?;
        sleep(Duration::from_secs(20));
        let end = Sample::of(bench.headless.id())?;
        println!("one call with {codec}");
        println!(
            "  processor              {:>8.2} % of one",
            end.cpu_per_cent_since(&talk)
        );
        println!(
            "  memory                 {:>8} kB, {} kB before",
            end.resident_kb, rest.resident_kb
        );
        print_stats(&bench.stats()?);
    }
    Ok(())
}

/// The demo's window, untouched for half a minute.
pub(crate) fn idle() -> Result<(), Fault> {
    let program = build()?;
    let home = fresh_home("idle")?;
    let (screen, display) = screen()?;
    let child = command(&program, &home)
        .arg("demo")
        .env("DISPLAY", display)
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(home.join("window.log"))?)
        .spawn()?;
    let mut window = Running(child);
    sleep(Duration::from_secs(10));
    let before = Sample::of(window.id())?;
    sleep(Duration::from_secs(30));
    if window.0.try_wait()?.is_some() {
        return Err(failed("the window ended by itself"));
    }
    let after = Sample::of(window.id())?;
    println!("a window at rest for 30 s");
    println!(
        "  processor              {:>8.2} % of one",
        after.cpu_per_cent_since(&before)
    );
    println!("  memory                 {:>8} kB", after.resident_kb);
    println!("  its share              {:>8} kB", after.proportional_kb);
    println!("  threads                {:>8}", after.threads);
    drop(screen);
    Ok(())
}

/// A switchboard, and a headless program to measure.
struct Bench {
    headless: Running,
    _switchboard: Running,
    control: Control,
    port: u16,
}

impl Bench {
    fn start(name: &str) -> Result<Self, Fault> {
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
        let socket = home.join("control");
        let headless = command(&program, &home.join("headless"))
            .arg("headless")
            .arg("--control")
            .arg(&socket)
            .args(["--audio", "null", "--config"])
            .arg(home.join("settings"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.join("headless.log"))?)
            .spawn()?;
        let headless = Running(headless);
        let control = Control::connect(&socket)?;
        sleep(Duration::from_secs(1));
        Ok(Self {
            headless,
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
        Ok((start.elapsed(), Sample::of(self.headless.id())?))
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

/// Medians of what the calls say of themselves.
fn print_stats(stats: &[Json]) {
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
        if values.is_empty() {
            continue;
        }
        values.sort_by(f64::total_cmp);
        println!(
            "  {name:<22} {:>8.2} (median of {})",
            values[values.len() / 2],
            values.len()
        );
    }
}

/// The program to measure: what TIPRING_BIN names, else a fresh build.
fn build() -> Result<PathBuf, Fault> {
    if let Some(path) = std::env::var_os("TIPRING_BIN") {
        return Ok(path.into());
    }
    // Release speed; the profile only leaves the long link out.
    let words = "build --profile bench --locked --package app --bin tipring";
    shell::run(shell::cargo().args(words.split(' ')))?;
    Ok(shell::target_dir().join("release/tipring"))
}

fn command(program: &Path, home: &Path) -> Command {
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

fn fresh_home(name: &str) -> Result<PathBuf, Fault> {
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

fn free_port() -> Result<u16, Fault> {
    for port in 21_000..31_000 {
        let here = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(here).is_ok() && TcpListener::bind(here).is_ok() {
            return Ok(port);
        }
    }
    Err(failed("no free port"))
}

/// A process that ends with us.
struct Running(Child);

impl Running {
    fn id(&self) -> u32 {
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
