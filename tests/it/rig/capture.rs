//! What goes by on loopback, as somebody else (tshark) reads it.

use std::path::PathBuf;
use std::process::Command;

use super::folder::Folder;
use super::process::{self, Process, signal};
use super::program::SOON;
use super::{ports, until};

/// The ports for sound of the phone that is called, by which its call is told from all others of the machine.
pub(crate) struct Sound(u16);

impl Sound {
    const COUNT: u16 = 8;

    pub(crate) fn free() -> Self {
        Self(ports::free_run(Self::COUNT))
    }

    pub(crate) fn first(&self) -> u16 {
        self.0
    }

    pub(crate) fn last(&self) -> u16 {
        self.0 + Self::COUNT - 1
    }

    pub(crate) fn option(&self) -> String {
        format!("--rtp-ports {}-{}", self.0, self.last())
    }
}

impl std::fmt::Display for Sound {
    /// As a filter of a capture.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "portrange {}-{}", self.0, self.last())
    }
}

/// tshark that writes down what goes by on loopback.
pub(crate) struct Capture {
    tshark: Process,
    file: PathBuf,
}

impl Capture {
    /// Of what goes by, only what this filter lets through: other calls of the machine are not ours to judge.
    pub(crate) fn start(folder: &Folder, filter: &str) -> Self {
        let file = folder.join("call.pcapng");
        let filter = format!("udp and ({filter})");
        let mut command = Command::new("tshark");
        command.args(["-i", "lo", "-f", &filter, "-w"]).arg(&file);
        let mut tshark = Process::start("tshark", folder, &mut command);
        until("tshark to capture", SOON, || {
            tshark.assert_alive();
            tshark.log().contains("Capturing on").then_some(())
        });
        Self { tshark, file }
    }

    /// What was written down, of which one port is to be read as something that it does not look like.
    pub(crate) fn stop(mut self, decode: &str) -> Captured {
        signal(self.tshark.id(), "INT");
        self.tshark.wait(SOON);
        Captured {
            file: self.file,
            decode: decode.to_owned(),
        }
    }
}

pub(crate) struct Captured {
    file: PathBuf,
    decode: String,
}

impl Captured {
    /// These fields of each frame that fits, a frame a line.
    pub(crate) fn fields(&self, what: &str, fields: &[&str]) -> String {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(["-d", &self.decode]);
        command.args(["-Y", what, "-T", "fields"]);
        fields.iter().for_each(|field| {
            command.args(["-e", field]);
        });
        process::output(&mut command)
    }
}
