//! What the tests are made of: folders, ports, processes, the program, its peers, and sound.

pub(crate) mod baresip;
pub(crate) mod capture;
pub(crate) mod control;
pub(crate) mod coturn;
pub(crate) mod desktop;
pub(crate) mod dns;
pub(crate) mod folder;
pub(crate) mod kamailio;
pub(crate) mod linphone;
pub(crate) mod namespaces;
pub(crate) mod peer;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod relay;
pub(crate) mod sipp;
pub(crate) mod sound;
pub(crate) mod switchboard;
#[cfg(target_os = "linux")]
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// Asks again and again until `probe` has an answer; panics with `what` after `limit`.
pub(crate) fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {} s for {what}",
            limit.as_secs_f32()
        );
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Whether `cargo xtask test --quick` runs us.
pub(crate) fn is_quick() -> bool {
    std::env::var("TIPRING_QUICK").is_ok_and(|value| value == "1")
}

/// Shorthand for the many waits.
pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
