//! The program against itself and against phones and servers that others wrote.
//!
//! Everything is driven through the command line and the JSON-RPC socket, as a user's script would.
//! A peer that is not installed fails the test that needs it, with a sentence that says so.
//! `cargo xtask test --only e2e` builds the program, installs the peers and runs all of this.

// Processes are ended by signals and the control socket is a Unix socket.
#![cfg(unix)]

mod rig;

mod agents;
mod baresip;
mod broken;
mod certificates;
mod command_line;
mod delays;
mod devices;
mod dissected;
mod forks;
mod hold;
mod hostile;
mod ice;
mod kamailio;
mod linphone;
mod load;
mod messages;
mod moving;
mod networks;
mod numbers;
mod pbx;
mod privacy;
mod recordings;
// Its wires are packet sockets.
#[cfg(target_os = "linux")]
mod routers;
mod servers;
mod sipp;
mod srtp;
mod strange;
mod switchboard_load;
mod tenants;
mod transfer;
mod turn;
mod ways;
mod window;
