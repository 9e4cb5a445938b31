//! Memory and processor time of a process, as /proc tells them.

use std::fs;
use std::time::{Duration, Instant};

use crate::shell::{Fault, failed};

/// A process at one moment.
pub(crate) struct Sample {
    at: Instant,
    cpu: Duration,
    /// Resident memory.
    pub(crate) resident_kb: u64,
    /// Its share of memory, where pages used by several count in parts.
    pub(crate) proportional_kb: u64,
    pub(crate) threads: u64,
}

impl Sample {
    pub(crate) fn of(id: u32) -> Result<Self, Fault> {
        let read = |name: &str| {
            let path = format!("/proc/{id}/{name}");
            fs::read_to_string(&path).map_err(|error| failed(&format!("{path}: {error}")))
        };
        let status = read("status")?;
        // Only root and the owner may read it; without it the figure is missing, not the run.
        let rollup = read("smaps_rollup").unwrap_or_default();
        Ok(Self {
            at: Instant::now(),
            cpu: cpu_time(&read("stat")?).ok_or_else(|| failed("/proc/…/stat reads oddly"))?,
            resident_kb: number(&status, "VmRSS:"),
            proportional_kb: number(&rollup, "Pss:"),
            threads: number(&status, "Threads:"),
        })
    }

    /// Share of one processor since `earlier`, in per cent.
    pub(crate) fn cpu_per_cent_since(&self, earlier: &Self) -> f64 {
        let wall = (self.at - earlier.at).as_secs_f64();
        100.0 * (self.cpu.saturating_sub(earlier.cpu)).as_secs_f64() / wall.max(0.001)
    }

    /// Processor time since `earlier`.
    pub(crate) fn cpu_since(&self, earlier: &Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }
}

/// User and system time of proc(5)'s `stat`, in hundredths of a second: what Linux has shown to
/// programs for as long as there is /proc.
fn cpu_time(stat: &str) -> Option<Duration> {
    // The name in parentheses may hold blanks; what follows does not.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

fn number(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Sample, cpu_time, number};
    use std::time::Duration;

    #[test]
    fn a_name_with_blanks_and_parentheses_is_passed_over() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn figures_are_found_by_their_key() {
        assert_eq!(number("VmPeak:\t9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"), 1234);
        assert_eq!(number("", "VmRSS:"), 0);
    }

    #[test]
    fn we_use_memory_ourselves() {
        let own = Sample::of(std::process::id()).unwrap();
        assert!(own.resident_kb > 100 && own.threads >= 1);
    }
}
