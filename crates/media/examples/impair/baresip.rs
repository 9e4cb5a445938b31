//! Theirs: one baresip speaks, another records what it decodes. The recording lies before the buffer of its sound
//! device, so that what that loses does not count against it; its delay is not known. It leaves out what it has nothing
//! for, which would make gaps shorter than they are heard: they are put back where packets were lost.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use codecs::CodecKind;

use crate::cases::{self, Case, SEED};
use crate::impaired::{Fates, Impairment};
use crate::relay::Relay;
use crate::{RATE_HZ, cut};

/// What it may have recorded too little of, before a piece.
const MISSING_S: usize = 2;

/// Cases that are carried at the same time: they take real time, and so many hardly any of the processor.
const AT_ONCE: usize = 16;

/// A packet of 20 ms.
const PACKET: usize = RATE_HZ as usize / 50;

pub(crate) fn run(folder: &Path, pieces: &[Vec<f32>]) -> Result<(), String> {
    let mut table = String::new();
    for kind in cases::codecs() {
        let cases: Vec<(usize, Case)> = cases::all().into_iter().enumerate().collect();
        for some in cases.chunks(AT_ONCE) {
            let calls = some
                .iter()
                .map(|(number, case)| Call::start(folder, *number, case, kind, pieces))
                .collect::<Result<Vec<_>, _>>()?;
            for call in calls {
                table += &call.finish(folder, kind, pieces)?;
            }
        }
    }
    let path = folder.join("baresip.tsv");
    fs::write(&path, table).map_err(|e| format!("{}: {e}", path.display()))
}

struct Call {
    case: Case,
    name: String,
    heard: PathBuf,
    talker: Running,
    listener: Running,
    relay: Relay,
    ends: Instant,
}

impl Call {
    fn start(
        folder: &Path,
        number: usize,
        case: &Case,
        kind: CodecKind,
        pieces: &[Vec<f32>],
    ) -> Result<Self, String> {
        let name = format!("baresip-{kind}-{number}");
        let home = folder.join(&name);
        let heard = home.join("heard");
        // What an earlier run has left there has another length.
        if home.exists() {
            fs::remove_dir_all(&home).map_err(|e| e.to_string())?;
        }
        fs::create_dir_all(&heard).map_err(|e| e.to_string())?;
        let said = cut::speech(pieces);
        let seconds = said.len() / RATE_HZ as usize;
        let rate_hz = kind.sample_rate_hz();
        let (speech, silence) = (home.join("said.wav"), home.join("silence.wav"));
        cut::store(&speech, &said, rate_hz)?;
        cut::store(
            &silence,
            &vec![0.0; said.len() + 10 * RATE_HZ as usize],
            rate_hz,
        )?;
        let port = free_port()?;
        let listener = baresip(
            &home.join("listener"),
            &Settings {
                port,
                kind,
                says: &silence,
                records: Some(&heard),
                dials: None,
            },
        )?;
        std::thread::sleep(Duration::from_millis(500));
        let relay = Relay::start(port, case.impairment, SEED)?;
        let talker = baresip(
            &home.join("talker"),
            &Settings {
                port: free_port()?,
                kind,
                says: &speech,
                records: None,
                dials: Some(relay.port),
            },
        )?;
        Ok(Self {
            case: case.clone(),
            name,
            heard,
            talker,
            listener,
            relay,
            ends: Instant::now() + Duration::from_secs(seconds as u64 + 3),
        })
    }

    fn finish(self, folder: &Path, kind: CodecKind, pieces: &[Vec<f32>]) -> Result<String, String> {
        std::thread::sleep(self.ends.saturating_duration_since(Instant::now()));
        drop(self.talker);
        std::thread::sleep(Duration::from_millis(500));
        self.listener.quit();
        let fates = self.relay.end().ok_or("the relay has panicked")?;
        let recording = fs::read_dir(&self.heard)
            .map_err(|e| e.to_string())?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().contains("dec"))
            .ok_or_else(|| format!("{}: baresip has recorded nothing", self.name))?;
        let mut heard = vec![0.0; MISSING_S * RATE_HZ as usize];
        let recorded = media::wav::load(&recording).map_err(|e| e.to_string())?;
        let carried = fates.delays.len() + fates.lost;
        heard.extend(in_time(&recorded, self.case.impairment, carried));
        let (files, _) = cut::write(
            folder,
            &self.name,
            pieces,
            &heard,
            2 * MISSING_S,
            cases::scored_at(kind),
        )?;
        let mut row = format!(
            "{}\t{kind}\t{:.4}\t{:.1}\t\t\t\t",
            self.case.name,
            fates.lost as f64 / carried.max(1) as f64,
            fates.p95().as_secs_f64() * 1e3
        );
        for file in files {
            let _ = write!(row, "\t{file}");
        }
        row.push('\n');
        Ok(row)
    }
}

/// What its recording is in the time of the call. Of packets that are lost in a row it makes up one, before what comes next,
/// and records nothing for the others: a loudspeaker has silence there.
fn in_time(recorded: &[f32], impairment: Impairment, carried: usize) -> Vec<f32> {
    let mut fates = Fates::new(impairment, SEED);
    let mut packets = recorded.chunks(PACKET);
    let mut heard = Vec::new();
    let mut lost = 0;
    for _ in 0..carried {
        if fates.next().is_none() {
            lost += 1;
            continue;
        }
        if lost > 0 {
            heard.extend_from_slice(packets.next().unwrap_or_default());
            heard.resize(heard.len() + (lost - 1) * PACKET, 0.0);
            lost = 0;
        }
        heard.extend_from_slice(packets.next().unwrap_or_default());
    }
    heard.extend(packets.flatten());
    heard
}

struct Settings<'a> {
    port: u16,
    kind: CodecKind,
    says: &'a Path,
    records: Option<&'a Path>,
    dials: Option<u16>,
}

fn baresip(home: &Path, settings: &Settings<'_>) -> Result<Running, String> {
    let words = |e: std::io::Error| format!("baresip: {e}");
    fs::create_dir_all(home).map_err(words)?;
    let modules = MODULES
        .iter()
        .map(PathBuf::from)
        .find(|folder| folder.join("g711.so").is_file())
        .ok_or("baresip is not installed: `cargo xtask setup test` does it")?;
    let records = match settings.records {
        Some(folder) => format!("module sndfile.so\nsnd_path {}", folder.display()),
        None => String::new(),
    };
    let text = SETTINGS
        .replace("@PORT@", &settings.port.to_string())
        .replace("@SAYS@", &settings.says.display().to_string())
        .replace("@RATE@", &settings.kind.sample_rate_hz().to_string())
        .replace("@RECORDS@", &records)
        .replace("@MODULES@", &modules.display().to_string());
    fs::write(home.join("config"), text).map_err(words)?;
    fs::write(home.join("contacts"), "").map_err(words)?;
    let codec = match settings.kind {
        CodecKind::Opus => "opus/48000/1",
        CodecKind::G722 => "G722/16000/1",
        CodecKind::Pcmu => "PCMU/8000/1",
        CodecKind::Pcma => "PCMA/8000/1",
    };
    fs::write(
        home.join("accounts"),
        format!(
            "<sip:bench@127.0.0.1;transport=udp>;regint=0;answermode=auto;audio_codecs={codec}\n"
        ),
    )
    .map_err(words)?;
    let log = fs::File::create(home.join("log")).map_err(words)?;
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "baresip", "-4", "-f"]).arg(home);
    if let Some(port) = settings.dials {
        command.args(["-e", &format!("/dial sip:bench@127.0.0.1:{port}")]);
    }
    command
        .env("HOME", home)
        .stdin(Stdio::null())
        .stderr(log.try_clone().map_err(words)?)
        .stdout(log);
    command.spawn().map(Running).map_err(words)
}

/// A port for its signalling, which takes UDP and TCP there and TLS at the next. Those that systems choose themselves are higher,
/// so that none of them is gone before it is used.
fn free_port() -> Result<u16, String> {
    static NEXT: AtomicU16 = AtomicU16::new(11_000);
    for _ in 0..1_000 {
        let port = NEXT.fetch_add(2, Relaxed);
        let is_free = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok();
        if is_free {
            return Ok(port);
        }
    }
    Err("there is no free port for baresip".to_owned())
}

/// A process that ends with us.
struct Running(Child);

impl Running {
    /// Lets it close its files.
    fn quit(mut self) {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let patience = Instant::now() + Duration::from_secs(5);
        while Instant::now() < patience && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const MODULES: [&str; 4] = [
    "/usr/lib/baresip/modules",
    "/usr/lib64/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
    "/usr/lib/aarch64-linux-gnu/baresip/modules",
];

// The jitter buffer is as its own template has it, concealment and FEC are switched on.
const SETTINGS: &str = "\
poll_method epoll
sip_listen 127.0.0.1:@PORT@
net_interface 127.0.0.1
audio_source aufile,@SAYS@
audio_player aubridge,sink
audio_alert aubridge,alert
audio_level no
ausrc_srate @RATE@
ausrc_channels 1
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtp_ports 20000-39998
rtcp_mux no
jitter_buffer_type fixed
jitter_buffer_delay 5-10
opus_bitrate 32000
opus_stereo no
opus_sprop_stereo no
opus_inbandfec yes
opus_packet_loss 10
opus_application voip
module_path @MODULES@
module g711.so
module g722.so
module opus.so
module plc.so
module aubridge.so
module aufile.so
@RECORDS@
module_tmp uuid.so
module_tmp account.so
module_app contact.so
module_app menu.so
";
