//! Our own switchboard, as a process of its own.

use std::process::Command;

use super::folder::Folder;
use super::process::Process;
use super::program::{self, SOON};
use super::{ports, until};

/// A running `tipring switchboard` that takes every user, on UDP and TCP, and its port.
pub(crate) fn start(folder: &Folder) -> (Process, u16) {
    start_with(folder, |_| {})
}

/// The same with more on its command line.
pub(crate) fn start_with(folder: &Folder, more: impl FnOnce(&mut Command)) -> (Process, u16) {
    let port = ports::free();
    let mut command = program::command(&folder.inner("switchboard"));
    command.args(["switchboard", "--listen", &format!("udp:127.0.0.1:{port}")]);
    command.args(["--listen", &format!("tcp:127.0.0.1:{port}")]);
    more(&mut command);
    let mut process = Process::start("switchboard", folder, &mut command);
    wait_taken(port, || process.assert_alive());
    (process, port)
}

/// Waits until somebody listens on a UDP port.
pub(crate) fn wait_taken(port: u16, mut check: impl FnMut()) {
    until("the port to be taken", SOON, || {
        check();
        ports::is_taken(port).then_some(())
    });
}
