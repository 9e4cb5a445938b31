//! One call of hours, in virtual time, in which everything happens that can happen to one, again and again: it goes on, holds no
//! more memory in the end than after the first time round, and leaves nothing behind.
//!
//! A round lasts ten minutes. Two of them are run; `TIPRING_HOURS` asks for more, which is what
//! `cargo xtask bench hours` does.

mod common;

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, TICK, mirrored, parameters, scratch_file, shared, voice};
use dtls::{Certificate, Peer, Role};
use media::{
    ConsentTone, Dtls, ExtendedReports, MasterKey, Place, Processing, Recording, Security, Sink,
    Source, StreamConfig, StreamEvent, StreamHandle, StreamParameters, Suite, Tone, country,
};
use nat::ice::{Base, Component, Credentials, Session};
use testkit::Counting;

thread_local! {
    /// Bytes that were taken and not given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

const SECOND: Duration = Duration::from_secs(1);
const ROOM: Option<NonZeroU64> = NonZeroU64::new(7);

/// What the end may hold beyond what was held after the first round.
const MOST_MORE: isize = 4_096;

/// Something that happens to a call, by its name.
type Happening = (&'static str, fn(&mut Call));

/// What happens; each leaves a call of which both hear each other.
const HAPPENINGS: [Happening; 13] = [
    ("loss and jitter", Call::suffers),
    ("digits", Call::presses),
    ("hold", Call::holds),
    ("another codec", Call::changes_codec),
    ("another packet time", Call::changes_packet_time),
    ("keys by the description", Call::changes_keys),
    ("keys by a handshake", Call::shakes_hands),
    ("ways", Call::searches),
    ("recording", Call::records),
    ("a conference", Call::meets),
    (
        "silence, twice, and a network that stands still",
        Call::stutters,
    ),
    ("other addresses and another peer", Call::moves),
    ("other devices", Call::changes_devices),
];

/// Left and right, and how they are agreed.
struct Call {
    bench: Bench,
    left: StreamHandle,
    right: StreamHandle,
    agreed: StreamParameters,
    speech: std::sync::Arc<[f32]>,
    microphone: Vec<f32>,
    round: u64,
    /// What has been told of both since the last look.
    told: [Vec<StreamEvent>; 2],
}

impl Call {
    fn begin(bench: Bench) -> Self {
        let mut bench = bench;
        let speech = shared(&voice(3.0));
        let agreed = plain(CodecKind::Pcmu);
        let (left, right) = bench.pair(
            &agreed,
            (Source::Microphone, Sink::Speaker),
            (looped(&speech), Sink::Speaker),
        );
        let mut call = Self {
            bench,
            left,
            right,
            agreed,
            microphone: speech.to_vec(),
            speech,
            round: 0,
            told: Default::default(),
        };
        call.attach();
        call
    }

    fn attach(&mut self) {
        self.bench.attach_microphone(self.microphone.clone());
        self.bench.attach_speaker();
    }

    /// Without a call and without devices.
    fn hang_up(self) -> Bench {
        let mut bench = self.bench;
        (bench.microphone, bench.speaker) = (None, None);
        bench
    }

    fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / TICK.as_millis() {
            self.bench.step();
            // What is said goes on and on, and what is heard is not kept.
            if let Some((_, samples, at)) = &mut self.bench.microphone {
                *at %= samples.len() / 480 * 480;
            }
            if let Some((_, heard)) = &mut self.bench.speaker {
                heard.clear();
            }
        }
        for (told, stream) in self.told.iter_mut().zip([&self.left, &self.right]) {
            told.extend(std::iter::from_fn(|| stream.poll_event()));
        }
    }

    fn network(&mut self, loss: f64, jitter: Duration, delay: Duration) {
        for wire in &mut self.bench.wires {
            (wire.loss, wire.jitter, wire.delay) = (loss, jitter, delay);
        }
    }

    /// Both follow what was agreed, each by its own view.
    fn agree(&mut self, agreed: StreamParameters) {
        let ends = self.ends();
        let with = |remote, security, dtls| StreamParameters {
            remote: Some(remote),
            security,
            dtls,
            ..agreed.clone()
        };
        let theirs = agreed.dtls.clone().map(|mut dtls| {
            dtls.peer.role = Role::Server;
            dtls
        });
        let left = with(ends[0], agreed.security.clone(), agreed.dtls.clone());
        let right = with(ends[1], agreed.security.as_ref().map(mirrored), theirs);
        self.left.update(left).unwrap();
        self.right.update(right).unwrap();
        self.agreed = agreed;
    }

    /// Where each finds the other.
    fn ends(&self) -> [SocketAddr; 2] {
        [self.bench.wires[0].address(), self.bench.wires[1].address()]
    }

    fn received(&self) -> [u64; 2] {
        [&self.left, &self.right].map(|stream| stream.counters().received())
    }

    /// Over a good network both hear each other.
    fn assert_heard(&mut self, what: &str) {
        self.network(0.0, Duration::ZERO, Duration::from_millis(20));
        self.run(2 * SECOND);
        let before = self.received();
        let mut spoke = [false; 2];
        for _ in 0..30 {
            self.run(SECOND / 10);
            let counters = [&self.left, &self.right].map(StreamHandle::counters);
            for (spoke, counters) in spoke.iter_mut().zip(counters) {
                *spoke |= counters.they_speak();
            }
        }
        let after = self.received();
        for (side, (before, after)) in before.into_iter().zip(after).enumerate() {
            let packets = after - before;
            assert!(packets >= 148, "{what}, {side}: {packets} packets in 3 s");
        }
        assert_eq!(spoke, [true; 2], "{what}");
        for stream in [&self.left, &self.right] {
            assert!(!stream.counters().failed(), "{what}");
        }
    }

    fn suffers(&mut self) {
        self.network(0.05, Duration::from_millis(60), Duration::from_millis(40));
        self.run(60 * SECOND);
    }

    fn presses(&mut self) {
        self.network(0.05, Duration::from_millis(20), Duration::from_millis(20));
        self.told = Default::default();
        for digit in "0123456789*#".chars() {
            let held = Duration::from_millis(120);
            self.left.send_dtmf(digit, held).unwrap();
            self.right.send_dtmf(digit, held).unwrap();
        }
        self.run(30 * SECOND);
        for told in &self.told {
            let digits: String = told.iter().filter_map(digit).collect();
            assert_eq!(digits, "0123456789*#");
        }
    }

    fn holds(&mut self) {
        let agreed = self.agreed.clone();
        for (send, receive) in [(true, false), (false, false), (false, true)] {
            let ends = self.ends();
            let with = |remote, send, receive| StreamParameters {
                remote: Some(remote),
                send,
                receive,
                ..agreed.clone()
            };
            self.left.update(with(ends[0], send, receive)).unwrap();
            self.right.update(with(ends[1], receive, send)).unwrap();
            self.run(15 * SECOND);
        }
        self.agree(agreed);
    }

    fn changes_codec(&mut self) {
        self.network(0.05, Duration::from_millis(30), Duration::from_millis(20));
        for kind in [CodecKind::Opus, CodecKind::G722, CodecKind::Pcma] {
            self.agree(plain(kind));
            self.run(15 * SECOND);
        }
        self.agree(plain(CodecKind::Pcmu));
    }

    fn changes_packet_time(&mut self) {
        let agreed = self.agreed.clone();
        for ptime_ms in [10, 40, 60, 30] {
            self.agree(StreamParameters {
                ptime_ms,
                ..agreed.clone()
            });
            self.run(10 * SECOND);
        }
        self.agree(agreed);
    }

    fn changes_keys(&mut self) {
        for (n, suite) in (1..).zip(Suite::ALL) {
            self.agree(StreamParameters {
                security: Some(self.keys(suite, n)),
                ..plain(CodecKind::Pcmu)
            });
            self.run(6 * SECOND);
        }
        let forged = self.left.counters().not_genuine();
        let stranger = UdpSocket::bind((common::HERE, 0)).unwrap();
        let to = self.bench.wires[1].to;
        for _ in 0..50 {
            let _ = self.bench.wires[1].out.send_to(&[0x80; 200], to);
            let _ = stranger.send_to(&[0x80; 200], to);
            self.run(TICK);
        }
        assert!(self.left.counters().not_genuine() > forged);
        // Of these both ends say what the other has said last.
        self.agree(plain(CodecKind::Pcmu));
    }

    /// Others in each round: none may serve twice.
    fn keys(&self, suite: Suite, n: u8) -> Security {
        let key = |side| {
            let mut bytes = vec![n; suite.master_len()];
            bytes[0] = side;
            bytes[1..9].copy_from_slice(&self.round.to_be_bytes());
            MasterKey::new(suite, &bytes).unwrap()
        };
        Security {
            send: key(1),
            receive: key(2),
            receive_mki: Vec::new(),
            context: 0,
        }
    }

    fn shakes_hands(&mut self) {
        self.network(0.05, Duration::from_millis(30), Duration::from_millis(20));
        for _ in 0..2 {
            self.told = Default::default();
            let certificate = Certificate::generate().unwrap();
            let fingerprints = vec![certificate.fingerprint().clone()];
            let role = Role::Client;
            self.agree(StreamParameters {
                rtcp_mux: true,
                dtls: Some(Dtls {
                    certificate,
                    peer: Peer { fingerprints, role },
                    association: None,
                }),
                ..plain(CodecKind::Opus)
            });
            self.run(15 * SECOND);
            for told in &self.told {
                assert!(told.iter().any(is_secured), "{told:?}");
            }
        }
        self.assert_heard("with keys of a handshake");
        self.agree(plain(CodecKind::Pcmu));
    }

    fn searches(&mut self) {
        self.network(0.05, Duration::from_millis(10), Duration::from_millis(10));
        for nth in 0..2 {
            self.told = Default::default();
            let ends = self.ends();
            for (side, stream) in [&self.left, &self.right].into_iter().enumerate() {
                let at = self.bench.wires[1 - side].to;
                let name = self.round * 2 + nth;
                let parameters = StreamParameters {
                    remote: Some(ends[side]),
                    rtcp_mux: true,
                    ice: Some(session(side, name, at, ends[side])),
                    ..plain(CodecKind::Pcmu)
                };
                stream.update(parameters).unwrap();
            }
            self.run(40 * SECOND);
            for told in &self.told {
                assert!(told.iter().any(is_way), "{told:?}");
            }
        }
        self.agree(plain(CodecKind::Pcmu));
    }

    fn records(&mut self) {
        for ending in ["wav", "opus"] {
            let both = scratch_file("hours-both").with_extension(ending);
            let heard = scratch_file("hours-heard").with_extension(ending);
            let recording = Recording {
                path: both.clone(),
                tone: ConsentTone::Every(5 * SECOND),
            };
            self.left.record(Some(&recording)).unwrap();
            self.right.set_sink(&Sink::Record(heard.clone())).unwrap();
            self.right.set_source(Source::Tone { hz: 440.0 }).unwrap();
            self.run(15 * SECOND);
            self.left.record(None).unwrap();
            self.right.set_sink(&Sink::Speaker).unwrap();
            self.right.set_source(looped(&self.speech)).unwrap();
            self.run(SECOND);
            for path in [both, heard] {
                let length = std::fs::metadata(&path).unwrap().len();
                std::fs::remove_file(&path).unwrap();
                assert!(length > 10_000, "{length} bytes of {ending}");
            }
        }
    }

    /// Two more calls come, are brought together with this one, and go.
    fn meets(&mut self) {
        let wires = self.bench.wires.len();
        {
            let source = || (looped(&self.speech), Sink::Discard);
            let others = [CodecKind::Opus, CodecKind::G722].map(|kind| {
                self.bench
                    .pair(&plain(kind), source(), (Source::Echo, Sink::Discard))
            });
            self.left.set_room(ROOM);
            for (ours, _) in &others {
                ours.set_room(ROOM);
            }
            self.run(20 * SECOND);
            for (ours, theirs) in &others {
                assert!(ours.counters().received() > 900);
                assert!(theirs.counters().received() > 900);
            }
            self.left.set_room(None);
        }
        self.run(SECOND);
        self.bench.wires.truncate(wires);
        self.bench.wires.shrink_to_fit();
        assert_eq!(self.bench.handle.counters().streams(), 2);
    }

    fn stutters(&mut self) {
        let agreed = self.agreed.clone();
        self.agree(StreamParameters {
            twice: true,
            comfort_noise: Some(13),
            ..agreed.clone()
        });
        self.right.set_source(Source::Silence).unwrap();
        self.left.set_muted(true);
        self.run(15 * SECOND);
        self.left.set_muted(false);
        self.right.set_source(looped(&self.speech)).unwrap();
        for _ in 0..15 {
            // A quarter of a second passes over what waits, and then it all comes.
            for _ in 0..25 {
                self.bench.now += TICK;
                self.bench.ticks += 1;
            }
            self.run(2 * SECOND);
        }
        self.agree(agreed);
    }

    fn moves(&mut self) {
        let (socket, rtcp_socket) = media::socket::bind_pair(common::HERE, 0..=0).unwrap();
        self.bench.wires[1].to = socket.local_addr().unwrap();
        let place = Place {
            socket,
            rtcp_socket: Some(rtcp_socket),
            relay: None,
            rtcp_relay: None,
        };
        self.left.move_to(place, Vec::new()).unwrap();
        self.run(15 * SECOND);
        // Whoever was there hands over to somebody else, with numbers of their own.
        let (socket, rtcp_socket) = media::socket::bind_pair(common::HERE, 0..=0).unwrap();
        self.bench.wires[0].to = socket.local_addr().unwrap();
        let parameters = StreamParameters {
            remote: Some(self.ends()[1]),
            ..self.agreed.clone()
        };
        let config = StreamConfig {
            rtcp_socket: Some(rtcp_socket),
            source: looped(&self.speech),
            sink: Sink::Speaker,
            ..StreamConfig::new(socket, parameters, 1_000 + self.round)
        };
        self.right = self.bench.handle.add_stream(config).unwrap();
        self.run(15 * SECOND);
    }

    fn changes_devices(&mut self) {
        let handle = self.bench.handle.clone();
        handle.set_processing(Processing::ALL).unwrap();
        handle
            .play_tone(Tone::CallWaiting(&country::ALL[0]))
            .unwrap();
        self.run(10 * SECOND);
        (self.bench.microphone, self.bench.speaker) = (None, None);
        self.run(5 * SECOND);
        assert_eq!(handle.counters().streams(), 2);
        self.attach();
        self.run(10 * SECOND);
        handle.stop_tone().unwrap();
    }
}

fn plain(kind: CodecKind) -> StreamParameters {
    StreamParameters {
        extended_reports: ExtendedReports {
            metrics: true,
            round_trip: true,
        },
        ..parameters(kind)
    }
}

fn looped(speech: &std::sync::Arc<[f32]>) -> Source {
    Source::File {
        samples: speech.clone(),
        looped: true,
    }
}

fn digit(event: &StreamEvent) -> Option<char> {
    match event {
        StreamEvent::Dtmf { digit, .. } => Some(*digit),
        _ => None,
    }
}

fn is_secured(event: &StreamEvent) -> bool {
    matches!(event, StreamEvent::Secured(_))
}

fn is_way(event: &StreamEvent) -> bool {
    matches!(event, StreamEvent::WayFound(Some(_)))
}

/// One side's view of a search.
fn session(side: usize, nth: u64, at: SocketAddr, other: SocketAddr) -> Session {
    let credentials = |side: usize| Credentials {
        ufrag: format!("side{side}-{nth}"),
        pwd: format!("a-password-of-22-signs-{side}-{nth}"),
    };
    let candidate = format!(
        "1 1 udp 2130706431 {} {} typ host",
        other.ip(),
        other.port()
    );
    Session {
        local: credentials(side),
        remote: credentials(1 - side),
        bases: vec![Base {
            socket: 0,
            component: Component::Media,
            at,
            mapped: None,
            relayed: None,
        }],
        candidates: vec![candidate],
        controlling: side == 0,
    }
}

#[test]
fn a_call_of_hours_holds_no_more_than_one_of_minutes_and_leaves_nothing() {
    let hours = std::env::var("TIPRING_HOURS").ok();
    let hours: Option<f64> = hours.map(|hours| hours.parse().expect("a number of hours"));
    let least = Duration::from_secs_f64(hours.unwrap_or(0.0) * 3_600.0);
    // What the libraries beneath take once and keep is taken here.
    drop(Certificate::generate().unwrap());
    let before = HELD.get();
    let bench = Bench::new();
    let (handle, began) = (bench.handle.clone(), bench.now);
    let mut call = Call::begin(bench);
    let mut after_a_round = None;
    while call.round < 2 || call.bench.now - began < least {
        for (what, happen) in HAPPENINGS {
            happen(&mut call);
            call.assert_heard(what);
        }
        call.told = Default::default();
        call.round += 1;
        let held = HELD.get();
        let hours = (call.bench.now - began).as_secs_f64() / 3_600.0;
        println!("{hours:.2} hours: {held} bytes held");
        // The first round is when all that is needed is taken.
        let first = *after_a_round.get_or_insert(held);
        assert!(
            held <= first + MOST_MORE,
            "{held} bytes, {first} after the first round"
        );
    }
    let mut bench = call.hang_up();
    bench.run(2 * SECOND);
    let streams = handle.counters().streams();
    assert_eq!(streams, 0);
    assert!(bench.pump.is_idle());
    drop((bench, handle));
    let left_behind = HELD.get() - before;
    println!("{streams} streams, {left_behind} bytes left behind");
    assert!(left_behind <= MOST_MORE, "{left_behind} bytes left behind");
}
