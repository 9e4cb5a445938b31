//! The pump's own thread, in real time: it sleeps when idle, survives a burst of commands and leaves in order.

mod common;

#[cfg(target_os = "linux")]
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use codecs::CodecKind;
use common::{HERE, parameters, read_wav, scratch_file};
use media::{PumpHandle, Sink, Source, StreamConfig, StreamHandle, StreamParameters};
#[cfg(target_os = "linux")]
use rtp::rtcp::{Item, Report, ReportBlock, SenderInfo, compact_ntp, xr::ExtendedReport};

fn pair(pump: &PumpHandle, kind: CodecKind, sink: Sink) -> [StreamHandle; 2] {
    let one = media::socket::bind_pair(HERE, 0..=0).unwrap();
    let other = media::socket::bind_pair(HERE, 0..=0).unwrap();
    let to = [&other.0, &one.0].map(|socket| socket.local_addr().ok());
    let source = Source::Tone { hz: 440.0 };
    [(one, to[0], sink), (other, to[1], Sink::Discard)].map(|(sockets, remote, sink)| {
        let parameters = StreamParameters {
            remote,
            ..parameters(kind)
        };
        let config = StreamConfig {
            rtcp_socket: Some(sockets.1),
            source: source.clone(),
            sink,
            ..StreamConfig::new(sockets.0, parameters, remote.unwrap().port().into())
        };
        pump.add_stream(config).unwrap()
    })
}

/// Real time passes here; a loaded machine may take its own.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_idle_pump_does_not_tick() {
    let pump = PumpHandle::start().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(pump.counters().ticks(), 0);
    let streams = pair(&pump, CodecKind::Pcmu, Sink::Discard);
    wait_until("speech flows", || streams[0].counters().received() > 5);
    drop(streams);
    wait_until("the streams end", || pump.counters().streams() == 0);
    wait_until("the pump sleeps", || {
        let ticks = pump.counters().ticks();
        std::thread::sleep(Duration::from_millis(100));
        pump.counters().ticks() == ticks
    });
}

#[test]
fn a_removed_stream_gives_its_ports_back() {
    let pump = PumpHandle::start().unwrap();
    let (rtp, rtcp) = media::socket::bind_pair(HERE, 0..=0).unwrap();
    let port = rtp.local_addr().unwrap().port();
    let config = StreamConfig {
        rtcp_socket: Some(rtcp),
        ..StreamConfig::new(rtp, parameters(CodecKind::Pcmu), 1)
    };
    let stream = pump.add_stream(config).unwrap();
    wait_until("the stream is there", || pump.counters().streams() == 1);
    assert!(media::socket::bind_pair(HERE, port..=port + 1).is_err());
    drop(stream);
    wait_until("the ports are free", || {
        media::socket::bind_pair(HERE, port..=port + 1).is_ok()
    });
}

#[test]
fn shutting_down_completes_the_recordings() {
    let path = scratch_file("shutdown");
    let pump = PumpHandle::start().unwrap();
    let streams = pair(&pump, CodecKind::Pcma, Sink::Record(path.clone()));
    wait_until("speech flows", || streams[0].counters().played_ms() > 300);
    pump.shutdown();
    let (_, heard) = read_wav(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(heard.len() >= 2_400, "{}", heard.len());
    assert!(common::rms(&heard) > 0.1);
    drop(streams);
}

/// How many threads of this program work on the microphone's sound.
#[cfg(target_os = "linux")]
fn voices() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // One may end while it is looked at.
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "tipring-voice").count()
}

#[cfg(target_os = "linux")]
#[test]
fn the_microphones_sound_has_one_thread_while_something_is_done_to_it() {
    let pump = PumpHandle::start().unwrap();
    assert_eq!((voices(), pump.thread_numbers().len()), (0, 1));
    for _ in 0..5 {
        pump.set_processing(media::Processing::ALL).unwrap();
        assert!(voices() >= 1);
        assert_eq!(pump.thread_numbers().len(), 2);
    }
    wait_until("all but the last have ended", || voices() == 1);
    assert_eq!(pump.thread_numbers().len(), 2);
    pump.set_processing(media::Processing::NONE).unwrap();
    wait_until("it ends with what it was for", || voices() == 0);
    assert_eq!(pump.thread_numbers().len(), 1);
    // There is nothing that could be kept.
    pump.change_processing(media::Processing::ALL).unwrap();
    assert!(voices() == 1);
    // The same one when something else is done to the sound of the same devices, also after nothing was.
    let threads = pump.thread_numbers();
    let echo = media::Processing {
        echo: true,
        ..media::Processing::NONE
    };
    for processing in [echo, media::Processing::NONE, media::Processing::ALL] {
        pump.change_processing(processing).unwrap();
        assert_eq!((pump.thread_numbers(), voices()), (threads.clone(), 1));
    }
    pump.shutdown();
    wait_until("it ends with the pump", || voices() == 0);
}

/// The far end of a stream, which notes when it says something and when it is told something.
#[cfg(target_os = "linux")]
struct Far {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    began: Instant,
    sequence: u16,
    /// Our clock in the last report of theirs, and when that came.
    theirs: Option<(u32, u32, Instant)>,
    /// When our last report left.
    ours: Option<(u32, Instant)>,
    /// What they say of us: jitter, and the round trip that comes of it.
    told: Option<(Duration, Duration)>,
}

#[cfg(target_os = "linux")]
impl Far {
    const SSRC: u32 = 0x5EED;

    /// A packet whose timestamp is the time at which it leaves.
    fn speak(&mut self, to: SocketAddr) {
        let ticks = self.began.elapsed().as_micros() * 8_000 / 1_000_000;
        let mut packet = vec![0x80, 0];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend((ticks as u32).to_be_bytes());
        packet.extend(Self::SSRC.to_be_bytes());
        packet.extend([0xFF; 160]);
        self.sequence += 1;
        self.rtp.send_to(&packet, to).unwrap();
    }

    /// Reads what has come meanwhile.
    fn listen(&mut self) {
        let mut buffer = [0; 2_048];
        while self.rtp.recv(&mut buffer).is_ok() {}
        while let Ok(length) = self.rtcp.recv(&mut buffer) {
            let now = Instant::now();
            let (mut theirs, mut told) = (None, None);
            rtp::rtcp::read(&buffer[..length], |item| match item {
                Item::Sender { from, info } => {
                    theirs = Some((from, compact_ntp(info.ntp_timestamp), now));
                }
                Item::Block { block, .. } => told = Some(block),
                _ => {}
            })
            .unwrap();
            self.theirs = theirs.or(self.theirs);
            if let (Some(block), Some((left, at))) = (told, self.ours)
                && block.last_sr == left
            {
                let lay = Duration::from_secs_f64(f64::from(block.delay_since_last_sr) / 65_536.0);
                let jitter = Duration::from_secs_f64(f64::from(block.jitter) / 8_000.0);
                self.told = Some((jitter, (now - at).saturating_sub(lay)));
            }
        }
    }

    /// Reports, as a sender and about them.
    fn report(&mut self, to: SocketAddr) {
        let ntp_timestamp = 0x1234_5678_0000_0000
            + ((self.began.elapsed().as_nanos() << 32) / 1_000_000_000) as u64;
        let now = Instant::now();
        let block = self.theirs.map(|(ssrc, last_sr, at)| ReportBlock {
            ssrc,
            fraction_lost: 0,
            cumulative_lost: 0,
            extended_highest_sequence: 1,
            jitter: 0,
            last_sr,
            delay_since_last_sr: ((now - at).as_secs_f64() * 65_536.0) as u32,
        });
        let report = Report {
            ssrc: Self::SSRC,
            cname: "far",
            sender: Some(SenderInfo {
                ntp_timestamp,
                rtp_timestamp: 0,
                packet_count: self.sequence.into(),
                octet_count: 0,
            }),
            blocks: block.as_slice(),
            extended: ExtendedReport::default(),
            bye: None,
        };
        let mut bytes = Vec::new();
        report.write(&mut bytes).unwrap();
        self.ours = Some((compact_ntp(ntp_timestamp), now));
        self.rtcp.send_to(&bytes, to).unwrap();
    }
}

/// What leaves in a step is there a moment after it, and is found in the next one: the time in between is part of the buffer's
/// delay, to the microsecond.
#[test]
#[cfg(target_os = "linux")]
fn the_delay_begins_when_a_packet_arrives_and_not_when_it_is_found() {
    let pump = PumpHandle::start().unwrap();
    let streams = [5, 6].map(|random| {
        let (socket, _) = media::socket::bind_pair(HERE, 0..=0).unwrap();
        let parameters = StreamParameters {
            remote: socket.local_addr().ok(),
            ..parameters(CodecKind::Pcmu)
        };
        let config = StreamConfig {
            source: Source::Tone { hz: 440.0 },
            sink: Sink::Discard,
            ..StreamConfig::new(socket, parameters, random)
        };
        pump.add_stream(config).unwrap()
    });
    std::thread::sleep(Duration::from_secs(3));
    let delays = streams
        .each_ref()
        .map(|stream| stream.counters().buffer_us());
    println!("{delays:?} us");
    // By steps they would be of 10 ms or 20 ms, both of them.
    assert!(delays.iter().any(|us| us % 10_000 != 0), "{delays:?}");
    for us in delays {
        assert!((1_000..60_000).contains(&us), "{delays:?}");
    }
}

/// RFC 3550 §6.4.1: jitter is of the arrival, and so are LSR and DLSR; the pump looks every 10 ms, which is no matter of the
/// network. What comes 3 ms after a step is found 7 ms later.
#[cfg(target_os = "linux")]
#[test]
fn a_short_way_without_jitter_is_told_as_such() {
    let most = Duration::from_millis(3);
    let mut seen = Vec::new();
    // A machine that is busy may hold up whoever measures, but hardly three times.
    for _ in 0..3 {
        let pump = PumpHandle::start().unwrap();
        let (near, near_rtcp) = media::socket::bind_pair(HERE, 0..=0).unwrap();
        let (rtp, rtcp) = media::socket::bind_pair(HERE, 0..=0).unwrap();
        let to = near.local_addr().unwrap();
        let to_rtcp = near_rtcp.local_addr().unwrap();
        let parameters = StreamParameters {
            remote: rtp.local_addr().ok(),
            remote_rtcp: rtcp.local_addr().ok(),
            ..parameters(CodecKind::Pcmu)
        };
        let config = StreamConfig {
            rtcp_socket: Some(near_rtcp),
            source: Source::Tone { hz: 440.0 },
            sink: Sink::Discard,
            ..StreamConfig::new(near, parameters, 5)
        };
        let stream = pump.add_stream(config).unwrap();
        let mut far = Far {
            rtp,
            rtcp,
            began: Instant::now(),
            sequence: 0,
            theirs: None,
            ours: None,
            told: None,
        };
        let mut random = 1u32;
        let (mut speaks_at, mut answered) = (far.began, None);
        while far.told.is_none() || stream.counters().round_trip().is_none() {
            assert!(far.began.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(1));
            far.listen();
            if Instant::now() >= speaks_at {
                far.speak(to);
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                speaks_at += Duration::from_millis(13 + u64::from(random >> 28));
            }
            // Theirs leave in a step.
            if let Some((_, which, at)) = far.theirs
                && answered != Some(which)
                && at.elapsed() >= Duration::from_millis(3)
            {
                far.report(to_rtcp);
                answered = Some(which);
            }
        }
        let (jitter, their_trip) = far.told.unwrap();
        let trip = stream.counters().round_trip().unwrap();
        println!("jitter {jitter:?}, there and back {their_trip:?} and {trip:?}");
        seen.push([jitter, their_trip, trip]);
        if seen
            .iter()
            .any(|all| all.iter().all(|figure| *figure < most))
        {
            return;
        }
    }
    panic!("{seen:?}");
}

#[test]
fn a_hundred_streams_keep_the_step() {
    let pump = PumpHandle::start().unwrap();
    let streams: Vec<_> = (0..50)
        .map(|_| pair(&pump, CodecKind::Pcmu, Sink::Discard))
        .collect();
    wait_until("all streams are heard", || {
        streams
            .iter()
            .flatten()
            .all(|stream| stream.counters().received() > 50)
    });
    let lost: u64 = streams
        .iter()
        .flatten()
        .map(|stream| stream.counters().lost())
        .sum();
    assert_eq!(lost, 0);
    // On a machine that others use too a step may be skipped now and then.
    let (ticks, skipped) = (pump.counters().ticks(), pump.counters().skipped_ticks());
    assert!(
        skipped * 20 < ticks,
        "{skipped} of {ticks} steps were skipped"
    );
}
