//! dnsmasq: a name server that others wrote, with a zone of the test's own.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use super::folder::Folder;
use super::process::Process;
use super::program::SOON;
use super::{ports, until};

/// A running name server for `test`.
pub(crate) struct NameServer {
    _process: Process,
    pub(crate) port: u16,
}

impl NameServer {
    /// Starts it with these records, each in dnsmasq's own words: `srv-host=…` and the like.
    pub(crate) fn start(folder: &Folder, records: &[String]) -> Self {
        let port = ports::free();
        let mut command = Command::new("dnsmasq");
        // In the foreground, with nothing of this machine: no files, no other servers, no user change.
        command.args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        command.args([
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--local=/test/",
        ]);
        command.args(["--pid-file=", "--log-queries", "--log-facility=-"]);
        command.arg(format!("--port={port}"));
        command.args(records.iter().map(|record| format!("--{record}")));
        // Debian puts it where only root looks.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
        let mut process = Process::start("dnsmasq", folder, &mut command);
        until("dnsmasq to answer", SOON, || {
            process.assert_alive();
            answers(port).then_some(())
        });
        Self {
            _process: process,
            port,
        }
    }
}

/// Whether somebody answers a question for `test.` there.
fn answers(port: u16) -> bool {
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x01\x00\x01";
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else {
        return false;
    };
    let asked = socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .and_then(|()| socket.send_to(question, ("127.0.0.1", port)));
    asked.is_ok() && socket.recv(&mut [0; 512]).is_ok()
}
