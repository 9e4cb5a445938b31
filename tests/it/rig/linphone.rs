//! Linphone: a phone that others wrote, driven by the lines that its console reads.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};

use super::folder::Folder;
use super::process::Process;
use super::{ports, seconds, switchboard};

/// How one is set up.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    /// How it encrypts media, in its own spelling: `none`, `srtp`, `dtls`.
    pub(crate) encryption: &'static str,
    /// Whether it insists on that.
    pub(crate) must: bool,
    /// Whether it tries ways for its media (ICE).
    pub(crate) tries_ways: bool,
}

/// A running Linphone that takes every call, says what is in a file and records what it hears.
pub(crate) struct Linphone {
    process: Process,
    menu: ChildStdin,
    pub(crate) port: u16,
    /// What it has heard, once it was [closed](Self::close).
    pub(crate) heard: PathBuf,
}

impl Linphone {
    pub(crate) fn start(folder: &Folder, setup: Setup, says: &Path) -> Self {
        let home = folder.inner("linphone");
        // Without a folder for its history it says nothing and listens to nobody.
        fs::create_dir_all(home.join(".local/share/linphone")).expect("a folder can be made");
        let port = ports::free();
        let settings = SETTINGS
            .replace("@PORT@", &port.to_string())
            .replace("@ENCRYPTION@", setup.encryption)
            .replace("@MUST@", if setup.must { "1" } else { "0" })
            .replace("@WAYS@", if setup.tries_ways { "ice" } else { "" });
        let file = home.join("settings");
        fs::write(&file, settings).expect("its settings can be written");
        let mut command = Command::new("linphonec");
        command
            .env("HOME", &home)
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .arg("-c")
            .arg(&file)
            .args(["-a", "-d", "6", "-l"])
            .arg(home.join("linphone.log"));
        let (mut process, menu) = Process::start_talkable("linphone", folder, &mut command);
        switchboard::wait_taken(port, || process.assert_alive());
        let heard = home.join("heard.wav");
        let mut linphone = Self {
            process,
            menu,
            port,
            heard,
        };
        linphone.command("soundcard use files");
        let records = format!("record {}", linphone.heard.display());
        linphone.command(&records);
        linphone.command(&format!("play {}", says.display()));
        linphone
    }

    /// One line of its menu.
    pub(crate) fn command(&mut self, line: &str) {
        self.process.assert_alive();
        writeln!(self.menu, "{line}").expect("it reads its menu");
        self.menu.flush().expect("it reads its menu");
    }

    /// Ends it, so that what it has recorded is complete.
    pub(crate) fn close(mut self) -> PathBuf {
        self.command("quit");
        self.process.wait(seconds(10));
        self.heard
    }
}

// What it prints of each packet would fill its log, and a port of -1 is any.
const SETTINGS: &str = "\
[sip]
sip_port=@PORT@
sip_tcp_port=-1
sip_tls_port=-1
guess_hostname=0
contact=\"lin\" <sip:lin@127.0.0.1>
default_proxy=-1
bind_address=127.0.0.1
register_only_when_network_is_up=0
auto_net_state_mon=0
media_encryption=@ENCRYPTION@
media_encryption_mandatory=@MUST@
[net]
nat_policy_ref=ways
[nat_policy_0]
ref=ways
protocols=@WAYS@
[rtp]
audio_rtp_port=-1
symmetric=1
rtcp_xr_enabled=1
rtcp_xr_voip_metrics_enabled=1
[sound]
echocancellation=0
[misc]
log_collection=0
";
