//! Stands between two programs in real time: carries their signalling, and puts itself into the path of the sound that
//! goes one way, with the faults of a case.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::impaired::{Fates, Impairment};

/// What a packet takes at first where a clock is too fast: from then on each takes a little less.
const AHEAD: Duration = Duration::from_millis(20);

/// Carries until it is dropped.
pub(crate) struct Relay {
    /// Where the caller sends its INVITE.
    pub(crate) port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Fates>>,
}

impl Relay {
    pub(crate) fn start(
        callee_port: u16,
        impairment: Impairment,
        seed: u64,
    ) -> Result<Self, String> {
        let words = |e: std::io::Error| format!("relay: {e}");
        let signalling = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(words)?;
        let sound = five_digits().map_err(words)?;
        for socket in [&signalling, &sound] {
            socket.set_nonblocking(true).map_err(words)?;
        }
        let port = signalling.local_addr().map_err(words)?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = Carrier {
            signalling,
            sound,
            callee: (Ipv4Addr::LOCALHOST, callee_port).into(),
            caller: None,
            target: None,
            fates: Fates::new(impairment, seed),
            drift_ppm: impairment.drift_ppm,
            began: None,
            under_way: Vec::new(),
        };
        let thread = std::thread::spawn(move || work.run(&stopped));
        Ok(Self {
            port,
            stop,
            thread: Some(thread),
        })
    }

    /// Ends it; answers what the packets met.
    pub(crate) fn end(mut self) -> Option<Fates> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take()?.join().ok()
    }
}

/// A port whose number is as long as those of baresip's media, so that a description keeps its length.
fn five_digits() -> std::io::Result<UdpSocket> {
    let mut last = None;
    for port in (40_000..60_000).step_by(2) {
        match UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

struct Carrier {
    signalling: UdpSocket,
    sound: UdpSocket,
    callee: SocketAddr,
    caller: Option<SocketAddr>,
    target: Option<SocketAddr>,
    fates: Fates,
    drift_ppm: f64,
    /// When the first packet came.
    began: Option<Instant>,
    under_way: Vec<(Instant, Vec<u8>)>,
}

impl Carrier {
    fn run(mut self, stop: &AtomicBool) -> Fates {
        while !stop.load(Ordering::Relaxed) {
            self.carry_signalling();
            self.carry_sound();
            std::thread::sleep(Duration::from_micros(500));
        }
        self.fates
    }

    fn carry_signalling(&mut self) {
        let mut buffer = [0; 8_192];
        while let Ok((length, from)) = self.signalling.recv_from(&mut buffer) {
            let message = &mut buffer[..length];
            let to = if from == self.callee {
                self.step_in(message);
                self.caller
            } else {
                self.caller = Some(from);
                Some(self.callee)
            };
            if let Some(to) = to {
                let _ = self.signalling.send_to(message, to);
            }
        }
    }

    /// Puts our own port into the description of the callee.
    fn step_in(&mut self, message: &mut [u8]) {
        let Some(at) = message.windows(8).position(|w| w == b"m=audio ") else {
            return;
        };
        let Some(digits) = message.get_mut(at + 8..at + 13) else {
            return;
        };
        let port = std::str::from_utf8(digits)
            .ok()
            .and_then(|d| d.parse().ok());
        let (Some(port), Ok(own)) = (port, self.sound.local_addr()) else {
            return;
        };
        if port != own.port() {
            self.target = Some((Ipv4Addr::LOCALHOST, port).into());
        }
        digits.copy_from_slice(format!("{:05}", own.port()).as_bytes());
    }

    /// How far the clock that packets come by has gone away from the one they are to seem to come by: one that is too fast
    /// brings each of them sooner.
    fn drifted(&mut self, now: Instant) -> Duration {
        let elapsed = now - *self.began.get_or_insert(now);
        let away = elapsed.as_secs_f64() * self.drift_ppm / 1e6;
        Duration::from_secs_f64((AHEAD.as_secs_f64() - away).max(0.0))
    }

    fn carry_sound(&mut self) {
        let mut buffer = [0; 2_048];
        let now = Instant::now();
        while let Ok((length, _)) = self.sound.recv_from(&mut buffer) {
            let drifted = self.drifted(now);
            if let Some(delay) = self.fates.next().map(|delay| delay + drifted) {
                self.under_way
                    .push((now + delay, buffer[..length].to_vec()));
            }
        }
        self.under_way.sort_by_key(|(due, _)| *due);
        let due = self.under_way.partition_point(|(due, _)| *due <= now);
        for (_, packet) in self.under_way.drain(..due) {
            if let Some(target) = self.target {
                let _ = self.sound.send_to(&packet, target);
            }
        }
    }
}
