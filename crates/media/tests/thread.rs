//! The pump's own thread, in real time: it sleeps when idle, survives a burst of commands and leaves in order.

mod common;

use std::time::{Duration, Instant};

use codecs::CodecKind;
use common::{HERE, parameters, read_wav, scratch_file};
use media::{PumpHandle, Sink, Source, StreamConfig, StreamHandle, StreamParameters};

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
