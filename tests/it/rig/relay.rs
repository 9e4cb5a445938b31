//! A UDP relay that loses datagrams: the kernel here has no emulator of bad networks, and a seed makes
//! the same losses each time.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Carries datagrams between whoever writes to `port` and a target, until it is dropped.
pub(crate) struct Relay {
    pub(crate) port: u16,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    carried: AtomicU64,
    lost: AtomicU64,
}

impl Relay {
    /// Loses `per_cent` of what goes either way.
    pub(crate) fn start(target: SocketAddr, per_cent: u32, seed: u64) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, super::ports::free()))
            .expect("a free port can be bound");
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be bound");
        far.connect(target)
            .expect("a datagram socket can be pointed");
        let port = near
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let client = Arc::new(std::sync::Mutex::new(None));
        for socket in [&near, &far] {
            socket
                .set_read_timeout(Some(Duration::from_millis(100)))
                .expect("a time-out can be set");
        }
        let (near, far) = (Arc::new(near), Arc::new(far));

        let outward = {
            let (near, far) = (Arc::clone(&near), Arc::clone(&far));
            let (stop, counts, client) = (stop.clone(), counts.clone(), client.clone());
            let mut dice = Dice(seed);
            std::thread::spawn(move || {
                let mut datagram = [0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((count, from)) = near.recv_from(&mut datagram) else {
                        continue;
                    };
                    *client.lock().expect("nobody panics with it") = Some(from);
                    if dice.loses(per_cent, &counts) {
                        continue;
                    }
                    // An ICMP error of an earlier datagram shows here; the next one is another try.
                    let _ = far.send(&datagram[..count]);
                }
            })
        };
        let inward = {
            let (stop, counts) = (stop.clone(), counts.clone());
            let mut dice = Dice(seed ^ 0x5555_5555);
            std::thread::spawn(move || {
                let mut datagram = [0; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    let Ok(count) = far.recv(&mut datagram) else {
                        continue;
                    };
                    let to: Option<SocketAddr> = *client.lock().expect("nobody panics with it");
                    let Some(to) = to else { continue };
                    if dice.loses(per_cent, &counts) {
                        continue;
                    }
                    let _ = near.send_to(&datagram[..count], to);
                }
            })
        };
        Self {
            port,
            stop,
            counts,
            threads: vec![outward, inward],
        }
    }

    /// Datagrams carried and lost so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.counts.carried.load(Ordering::Relaxed),
            self.counts.lost.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// A small generator (splitmix64): the same seed, the same losses.
struct Dice(u64);

impl Dice {
    fn loses(&mut self, per_cent: u32, counts: &Counts) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let loses = (mixed ^ (mixed >> 31)) % 100 < u64::from(per_cent);
        let counter = if loses { &counts.lost } else { &counts.carried };
        counter.fetch_add(1, Ordering::Relaxed);
        loses
    }
}

#[test]
fn a_relay_loses_about_what_it_was_told() {
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = echo.local_addr().unwrap();
    let relay = Relay::start(target, 10, 7);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut arrived = 0;
    echo.set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    for number in 0..400_u32 {
        client
            .send_to(&number.to_be_bytes(), ("127.0.0.1", relay.port))
            .unwrap();
        arrived += u32::from(echo.recv(&mut [0; 16]).is_ok());
    }
    assert!((330..390).contains(&arrived), "{arrived} of 400 arrived");
    let (carried, lost) = relay.counts();
    assert_eq!(carried + lost, 400);
}
