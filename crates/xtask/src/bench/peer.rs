//! baresip beside us, in a call of its own to the same switchboard.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bench::live::{Running, free_port};
use crate::bench::mouth::tones;
use crate::bench::proc::Sample;
use crate::shell::{Fault, failed};

/// A running baresip in a PCMU call with the echo number.
pub(crate) struct Peer {
    process: Running,
    log: PathBuf,
}

impl Peer {
    /// Calls the echo number of the switchboard at `port`, and waits until the call is up.
    pub(crate) fn call(home: &Path, port: u16) -> Result<Self, Fault> {
        let modules = MODULES
            .iter()
            .map(PathBuf::from)
            .find(|folder| folder.join("g711.so").is_file())
            .ok_or_else(|| failed("baresip is not installed: `cargo xtask setup test` does it"))?;
        let said = home.join("tones.wav");
        fs::write(&said, tones(120, 8_000))?;
        let settings = SETTINGS
            .replace("@SAID@", &said.display().to_string())
            .replace("@PORT@", &free_port()?.to_string())
            .replace("@MODULES@", &modules.display().to_string());
        fs::write(home.join("config"), settings)?;
        fs::write(home.join("contacts"), "")?;
        fs::write(
            home.join("accounts"),
            "<sip:bench@127.0.0.1;transport=udp>;regint=0;audio_codecs=PCMU/8000/1\n",
        )?;
        let log = home.join("baresip.log");
        let out = fs::File::create(&log)?;
        // stdbuf becomes baresip, which would keep its words to itself when nobody looks.
        let child = Command::new("stdbuf")
            .args(["-oL", "baresip", "-4", "-f"])
            .arg(home)
            .args(["-e", &format!("/dial sip:600@127.0.0.1:{port}")])
            .env("HOME", home)
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()
            .map_err(|error| failed(&format!("baresip: {error}")))?;
        let process = Running(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !fs::read_to_string(&log)
            .unwrap_or_default()
            .contains("Call established")
        {
            if Instant::now() > deadline {
                let words = format!("baresip is in no call; see {}", log.display());
                return Err(failed(&words));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(Self { process, log })
    }

    /// Fails when it does not hear what it says: a call without sound costs nothing.
    pub(crate) fn assert_talking(&self) -> Result<(), Fault> {
        // It prints the bits a second that it sends and receives, many times a second.
        let log = fs::read(&self.log)?;
        let told = String::from_utf8_lossy(&log);
        let rates = told
            .rsplit_once("audio=")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .and_then(|rates| rates.split_once('/'));
        match rates {
            Some((sent, received)) if sent != "0" && received != "0" => Ok(()),
            _ => Err(failed(&format!(
                "baresip\u{2019}s call has no sound; see {}",
                self.log.display()
            ))),
        }
    }

    /// Its processor time and memory.
    pub(crate) fn sample(&self) -> Result<Sample, Fault> {
        Sample::of(self.process.id())
    }
}

const MODULES: [&str; 4] = [
    "/usr/lib/baresip/modules",
    "/usr/lib64/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
    "/usr/lib/aarch64-linux-gnu/baresip/modules",
];

// No sound card, as with our null device. The echo number says what it hears, so somebody has to begin.
const SETTINGS: &str = "\
poll_method epoll
sip_listen 127.0.0.1:@PORT@
net_interface 127.0.0.1
audio_source aufile,@SAID@
audio_player aubridge,sink
audio_alert aubridge,alert
audio_level no
ausrc_srate 8000
ausrc_channels 1
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
rtcp_mux no
jitter_buffer_type fixed
jitter_buffer_delay 2-10
module_path @MODULES@
module g711.so
module aubridge.so
module aufile.so
module_tmp uuid.so
module_tmp account.so
module_app contact.so
module_app menu.so
";
