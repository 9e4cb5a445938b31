//! Two streams speak to each other, in virtual time.

mod common;

use std::time::Duration;

use codecs::CodecKind;
use common::{Bench, align, parameters, read_wav, rms, scratch_file, shared, voice};
use media::{Instead, Sink, Source, StreamEvent, StreamHandle, StreamParameters, Tone};

const SECOND: Duration = Duration::from_secs(1);

fn file(samples: &[f32]) -> Source {
    Source::File {
        samples: shared(samples),
        looped: false,
    }
}

fn events(stream: &StreamHandle) -> Vec<StreamEvent> {
    std::iter::from_fn(|| stream.poll_event()).collect()
}

/// From microphone to speaker over a wire; answers delay in milliseconds and correlation.
fn microphone_to_speaker(kind: CodecKind, prepare: impl FnOnce(&mut Bench)) -> (f64, f64) {
    let said = voice(6.0);
    let mut bench = Bench::new();
    let (_left, _right) = bench.pair(
        &parameters(kind),
        (Source::Microphone, Sink::Discard),
        (Source::Silence, Sink::Speaker),
    );
    prepare(&mut bench);
    bench.attach_microphone(said.clone());
    bench.attach_speaker();
    bench.run(6 * SECOND);
    let (delay, correlation) = align(&said[48_000..240_000], &bench.heard()[48_000..], 24_000);
    (delay as f64 / 48.0, correlation)
}

#[test]
fn speech_arrives_with_each_codec() {
    for (kind, least) in [
        (CodecKind::Pcmu, 0.98),
        (CodecKind::Pcma, 0.98),
        (CodecKind::G722, 0.98),
        (CodecKind::Opus, 0.9),
    ] {
        let (delay, correlation) = microphone_to_speaker(kind, |_| {});
        println!("{kind}: {delay:.1} ms, correlation {correlation:.4}");
        assert!(correlation > least, "{kind}: {correlation}");
        // Ring, packet, buffer and ring; what a wire of its own adds is nothing here.
        assert!(delay < 130.0, "{kind}: {delay} ms");
    }
}

#[test]
fn five_percent_loss_leaves_speech_intelligible() {
    for (kind, least) in [
        (CodecKind::Pcmu, 0.85),
        (CodecKind::Pcma, 0.85),
        (CodecKind::G722, 0.85),
        (CodecKind::Opus, 0.8),
    ] {
        let (delay, correlation) = microphone_to_speaker(kind, |bench| {
            bench.wires[0].loss = 0.05;
        });
        println!("{kind}, 5 % lost: {delay:.1} ms, correlation {correlation:.4}");
        assert!(correlation > least, "{kind}: {correlation}");
    }
}

#[test]
fn jitter_is_taken_up_by_the_buffer() {
    for kind in [CodecKind::Pcmu, CodecKind::Opus] {
        let (delay, correlation) = microphone_to_speaker(kind, |bench| {
            bench.wires[0].delay = Duration::from_millis(40);
            bench.wires[0].jitter = Duration::from_millis(30);
        });
        println!("{kind}, 40 + 0..30 ms: {delay:.1} ms, correlation {correlation:.4}");
        assert!(correlation > 0.75, "{kind}: {correlation}");
        assert!(delay < 220.0, "{kind}: {delay} ms");
    }
}

#[test]
fn delay_that_is_no_longer_needed_is_given_back_without_a_click() {
    let path = scratch_file("stretch");
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Tone { hz: 130.0 }, Sink::Discard),
        (Source::Silence, Sink::Record(path.clone())),
    );
    bench.wires[0].jitter = Duration::from_millis(80);
    bench.run(8 * SECOND);
    let much = right.counters().buffer_us() / 1_000;
    bench.wires[0].jitter = Duration::ZERO;
    // What is under way comes in order from here on.
    bench.run(SECOND);
    let before = right.counters().concealed_ms();
    // Half of what it knows of the network is forgotten after 20 s.
    bench.run(100 * SECOND);
    let little = right.counters().buffer_us() / 1_000;
    assert_eq!(right.counters().concealed_ms(), before);
    drop((left, right));
    bench.run(SECOND);
    let (rate, heard) = read_wav(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(rate, 8_000);
    let calm = &heard[9 * 8_000..108 * 8_000];
    let steepest = calm
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(0.0, f32::max);
    println!("{much} ms, then {little} ms, steepest {steepest:.3}");
    assert!(much > 40 && little < 30, "{much} ms, then {little} ms");
    // The tone itself rises by 0.026 a sample at most, and µ-law adds what it rounds.
    assert!(steepest < 0.045, "{steepest}");
}

#[test]
fn counters_tell_what_happened() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (file(&voice(12.0)), Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.wires[0].loss = 0.1;
    bench.run(12 * SECOND);
    let (left, right) = (left.counters(), right.counters());
    assert_eq!(left.sent(), 600);
    assert_eq!(left.sent_bytes(), 600 * 172);
    let wire = &bench.wires[0];
    // The first packet of a source is on probation (RFC 3550 A.1).
    assert!(right.received().abs_diff(wire.carried as u64) <= 1);
    assert!(
        right.lost().abs_diff(wire.lost as u64) <= 2,
        "{}",
        right.lost()
    );
    assert!(right.concealed_ms() > 15 * right.lost());
    assert!(right.receive_level() >= 0.0);
    assert_eq!(right.silent_ms() / 100, 0);
    assert!(right.buffer_us() < 100_000, "{}", right.buffer_us());
    // Reports have crossed at least twice, not over the wire but on their own ports.
    assert!(left.reports_sent() >= 2 && left.reports_received() >= 2);
    let loss = left.peer_loss();
    assert!((0.02..0.25).contains(&loss), "{loss}");
    let trip = left.round_trip().expect("a report about us has come");
    assert!(trip <= Duration::from_millis(20), "{trip:?}");
    assert_eq!(right.actual_peer(), right.announced_peer());
    assert_eq!(bench.handle.counters().streams(), 2);
}

/// A second of voice and three of a quiet room, again and again.
fn talk_and_pauses() -> Vec<f32> {
    let mut said = voice(12.0);
    let mut random = common::Random(3);
    for (n, sample) in said.iter_mut().enumerate() {
        if n / 48_000 % 4 != 0 {
            *sample = 0.0;
        }
        *sample += (random.next() as f32 - 0.5) * 0.006;
    }
    said
}

#[test]
fn a_silence_is_not_sent_and_sounds_like_the_room_it_is() {
    for kind in [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722] {
        let path = scratch_file(&format!("noise-{kind}"));
        let mut bench = Bench::new();
        let suppressing = StreamParameters {
            comfort_noise: Some(13),
            ..parameters(kind)
        };
        let (left, right) = bench.pair(
            &suppressing,
            (file(&talk_and_pauses()), Sink::Discard),
            (Source::Silence, Sink::Record(path.clone())),
        );
        bench.run(12 * SECOND);
        let (sent, concealed) = (left.counters().sent(), right.counters().concealed_ms());
        println!("{kind}: {sent} of 600 packets, {concealed} ms made up");
        // A quarter is speech, with its hangover; what is in between is told once a second.
        assert!((150..300).contains(&sent), "{kind}: {sent}");
        assert_eq!((concealed, right.counters().lost()), (0, 0), "{kind}");
        drop((left, right));
        bench.run(SECOND);
        let (rate, heard) = read_wav(&path);
        std::fs::remove_file(&path).unwrap();
        // The third second of each four, beside the first moments of the stream.
        let rate = rate as usize;
        for pause in [2, 6, 10] {
            let room = rms(&heard[pause * rate..(pause + 1) * rate]);
            assert!(
                (0.0004..0.0025).contains(&room),
                "{kind}, {pause} s: {room}"
            );
        }
    }
}

#[test]
fn opus_sends_little_in_a_silence_when_asked_to() {
    let counted = |dtx| {
        let mut bench = Bench::new();
        let mut said = voice(2.0);
        said.resize(10 * 48_000, 0.0);
        let (left, right) = bench.pair_encoding(
            &parameters(CodecKind::Opus),
            (file(&said), Sink::Discard),
            (Source::Silence, Sink::Discard),
            codecs::EncoderOptions {
                dtx,
                ..codecs::EncoderOptions::default()
            },
        );
        bench.run(10 * SECOND);
        (left.counters().sent(), right.counters().concealed_ms())
    };
    let (plain, saving) = (counted(false), counted(true));
    println!("{plain:?}, {saving:?}");
    assert_eq!(plain.0, 500);
    assert!(saving.0 < 200, "{saving:?}");
}

#[test]
fn packets_sent_twice_are_heard_once_and_mend_loss() {
    let heard = |twice| {
        let mut bench = Bench::new();
        let (left, right) = bench.pair(
            &StreamParameters {
                twice,
                ..parameters(CodecKind::Pcmu)
            },
            (file(&voice(20.0)), Sink::Discard),
            (Source::Silence, Sink::Discard),
        );
        bench.wires[0].loss = 0.1;
        bench.run(20 * SECOND);
        let (left, right) = (left.counters(), right.counters());
        assert_eq!(left.sent(), 1_000);
        assert_eq!(left.sent_again() > 990, twice);
        (right.lost(), right.duplicates())
    };
    let ((lost, _), (lost_twice, duplicates)) = (heard(false), heard(true));
    println!("{lost} lost, sent twice {lost_twice}; {duplicates} came twice");
    // One in a hundred loses both.
    assert!(lost > 70 && lost_twice < 25, "{lost}, {lost_twice}");
    assert!((750..870).contains(&duplicates), "{duplicates}");
}

#[test]
fn an_encrypted_packet_sent_twice_is_no_replay() {
    let mut bench = Bench::new();
    let (_left, right) = bench.pair(
        &StreamParameters {
            twice: true,
            security: Some(common::security(media::Suite::AesCm128HmacSha1_80, 1, 2)),
            ..parameters(CodecKind::Pcmu)
        },
        (file(&voice(4.0)), Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.run(4 * SECOND);
    let right = right.counters();
    assert!(right.received() > 190, "{}", right.received());
    assert!(right.duplicates() > 180, "{}", right.duplicates());
    assert_eq!(
        (right.lost(), right.not_genuine(), right.replayed()),
        (0, 0, 0)
    );
}

#[test]
fn digits_cross_in_both_directions() {
    for kind in [CodecKind::Pcmu, CodecKind::Opus] {
        let mut bench = Bench::new();
        let (left, right) = bench.pair(
            &parameters(kind),
            (Source::Silence, Sink::Discard),
            (Source::Silence, Sink::Discard),
        );
        bench.wires[0].loss = 0.1;
        bench.run(SECOND);
        for digit in "0123456789*#ABCD".chars() {
            left.send_dtmf(digit, Duration::from_millis(100)).unwrap();
        }
        right.send_dtmf('7', Duration::from_millis(200)).unwrap();
        assert!(left.send_dtmf('x', SECOND).is_err());
        bench.run(5 * SECOND);
        let digits = |stream: &StreamHandle| -> Vec<(char, u64)> {
            events(stream)
                .into_iter()
                .filter_map(|event| match event {
                    StreamEvent::Dtmf { digit, duration } => {
                        Some((digit, duration.as_millis() as u64))
                    }
                    _ => None,
                })
                .collect()
        };
        let heard = digits(&right);
        let text: String = heard.iter().map(|(digit, _)| digit).collect();
        assert_eq!(text, "0123456789*#ABCD", "{kind}");
        assert!(
            heard.iter().all(|(_, ms)| (60..=120).contains(ms)),
            "{heard:?}"
        );
        assert_eq!(digits(&left), [('7', 200)], "{kind}");
    }
}

#[test]
fn without_telephone_events_digits_are_heard_as_tones() {
    let path = scratch_file("inband");
    let mut bench = Bench::new();
    let plain = StreamParameters {
        telephone_event: None,
        ..parameters(CodecKind::Pcma)
    };
    let (left, right) = bench.pair(
        &plain,
        (Source::Silence, Sink::Discard),
        (Source::Silence, Sink::Record(path.clone())),
    );
    bench.run(SECOND);
    left.send_dtmf('5', Duration::from_millis(300)).unwrap();
    bench.run(SECOND);
    drop((left, right));
    bench.run(SECOND);
    let (rate, heard) = read_wav(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(rate, 8_000);
    let power = |hz: f32| {
        let (mut re, mut im) = (0.0f32, 0.0f32);
        for (i, sample) in heard[8_000..].iter().enumerate() {
            let angle = std::f32::consts::TAU * hz * i as f32 / 8_000.0;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        (re * re + im * im).sqrt()
    };
    let (low, high, other) = (power(770.0), power(1_336.0), power(1_477.0));
    assert!(
        low > 8.0 * other && high > 8.0 * other,
        "{low} {high} {other}"
    );
}

#[test]
fn digits_in_the_speech_are_told_by_every_codec_unless_events_are_agreed() {
    for kind in [
        CodecKind::Pcmu,
        CodecKind::Pcma,
        CodecKind::G722,
        CodecKind::Opus,
    ] {
        let mut bench = Bench::new();
        let plain = StreamParameters {
            telephone_event: None,
            ..parameters(kind)
        };
        let (left, right) = bench.pair(
            &plain,
            (Source::Silence, Sink::Discard),
            (Source::Tone { hz: 697.0 }, Sink::Discard),
        );
        bench.run(SECOND);
        for digit in "159D*0#".chars() {
            left.send_dtmf(digit, Duration::from_millis(120)).unwrap();
        }
        bench.run(3 * SECOND);
        let digits: String = events(&right)
            .into_iter()
            .filter_map(|event| match event {
                StreamEvent::Dtmf { digit, .. } => Some(digit),
                _ => None,
            })
            .collect();
        assert_eq!(digits, "159D*0#", "{kind}");
        // A tone alone is no digit.
        let told = events(&left)
            .iter()
            .any(|e| matches!(e, StreamEvent::Dtmf { .. }));
        assert!(!told, "{kind}");
    }
}

#[test]
fn a_digit_is_told_as_sent_when_it_goes_out_and_never_when_it_was_taken_back() {
    for as_tones in [false, true] {
        let mut bench = Bench::new();
        let mut agreed = parameters(CodecKind::Pcmu);
        if as_tones {
            agreed.telephone_event = None;
        }
        let (left, right) = bench.pair(
            &agreed,
            (Source::Silence, Sink::Discard),
            (Source::Silence, Sink::Discard),
        );
        bench.run(SECOND);
        for digit in "12a4567".chars() {
            left.send_dtmf(digit, Duration::from_millis(200)).unwrap();
        }
        let sent = |stream: &StreamHandle| -> String {
            let told = events(stream).into_iter();
            told.filter_map(|event| match event {
                StreamEvent::DigitSent(digit) => Some(digit),
                _ => None,
            })
            .collect()
        };
        // The first is under way, then the third.
        bench.run(Duration::from_millis(100));
        assert_eq!(sent(&left), "1", "tones: {as_tones}");
        bench.run(Duration::from_millis(600));
        assert_eq!(sent(&left), "2A", "tones: {as_tones}");
        left.drop_dtmf().unwrap();
        bench.run(2 * SECOND);
        left.send_dtmf('8', Duration::from_millis(100)).unwrap();
        bench.run(SECOND);
        assert_eq!(sent(&left), "8", "tones: {as_tones}");
        assert_eq!(sent(&right), "");
    }
}

#[test]
fn an_echo_brings_back_what_was_said() {
    // Opus turns the phase of low frequencies, here twice.
    for (kind, least) in [(CodecKind::Pcmu, 0.98), (CodecKind::Opus, 0.75)] {
        let said = voice(5.0);
        let path = scratch_file(kind.name());
        let mut bench = Bench::new();
        let (left, _right) = bench.pair(
            &parameters(kind),
            (file(&said), Sink::Record(path.clone())),
            (Source::Echo, Sink::Discard),
        );
        bench.run(5 * SECOND);
        drop(left);
        bench.run(Duration::from_millis(50));
        let (rate, heard) = read_wav(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(rate, kind.sample_rate_hz());
        let said = media::resample::convert_all(&said, 48_000, rate);
        let second = rate as usize;
        let (delay, correlation) = align(&said[second..3 * second], &heard[second..], second / 2);
        let delay = delay * 1_000 / second;
        println!("{kind} echo: {delay} ms, correlation {correlation:.4}");
        assert!(correlation > least, "{kind}: {correlation}");
        assert!(delay < 180, "{kind}: {delay} ms");
    }
}

#[test]
fn hold_stops_packets_and_resume_brings_them_back() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (file(&voice(20.0)), Sink::Discard),
        (Source::Tone { hz: 440.0 }, Sink::Discard),
    );
    bench.run(2 * SECOND);
    let parameters = |stream: &StreamHandle, send, receive| StreamParameters {
        remote: stream.counters().announced_peer(),
        send,
        receive,
        ..parameters(CodecKind::Pcmu)
    };
    // Left holds right: it neither sends nor hears.
    left.update(parameters(&left, false, false)).unwrap();
    bench.run(Duration::from_millis(50));
    let (sent, received) = (left.counters().sent(), left.counters().received());
    bench.run(2 * SECOND);
    assert_eq!(left.counters().sent(), sent);
    assert_eq!(left.counters().received(), received);
    assert!(right.counters().silent_ms() > 1_500);
    assert_eq!(left.counters().receive_level(), 0.0);
    left.update(parameters(&left, true, true)).unwrap();
    bench.run(2 * SECOND);
    assert!(left.counters().sent() >= sent + 97);
    assert!(left.counters().received() >= received + 97);
    assert!(left.counters().receive_level() > 0.15);
    assert!(right.counters().silent_ms() < 100);
    // The time on hold is no loss.
    assert_eq!(right.counters().lost(), 0);
}

/// RFC 3264 §8.4 has a held peer fall silent; not all do, and what nobody listened to was not lost (RFC 3550 §6.4.1).
#[test]
fn what_a_peer_goes_on_sending_during_a_hold_is_no_loss_after_it() {
    let mut bench = Bench::new();
    let tone = || (Source::Tone { hz: 440.0 }, Sink::Discard);
    let (left, right) = bench.pair(&parameters(CodecKind::Pcmu), tone(), tone());
    bench.run(2 * SECOND);
    let receives = |receive| StreamParameters {
        remote: left.counters().announced_peer(),
        receive,
        ..parameters(CodecKind::Pcmu)
    };
    for _ in 0..2 {
        left.update(receives(false)).unwrap();
        bench.run(4 * SECOND);
        left.update(receives(true)).unwrap();
        bench.run(2 * SECOND);
    }
    assert!(right.counters().sent() > 690);
    let heard = left.counters();
    assert!(
        (290..310).contains(&heard.received()),
        "{}",
        heard.received()
    );
    let metrics = heard.metrics().unwrap();
    assert_eq!(
        (heard.lost(), metrics.loss_rate, metrics.discard_rate),
        (0, 0, 0)
    );
    assert!(heard.mos() > Some(4.2), "{:?}", heard.mos());
}

#[test]
fn another_codec_takes_over_in_the_middle() {
    let said = voice(8.0);
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (file(&said), Sink::Discard),
        (Source::Silence, Sink::Speaker),
    );
    bench.attach_speaker();
    bench.run(3 * SECOND);
    for stream in [&left, &right] {
        stream
            .update(StreamParameters {
                remote: stream.counters().announced_peer(),
                ..parameters(CodecKind::Opus)
            })
            .unwrap();
    }
    // A file goes on where it was.
    bench.run(4 * SECOND);
    let (delay, correlation) = align(&said[192_000..288_000], &bench.heard()[192_000..], 24_000);
    println!("after the change: {delay} samples, correlation {correlation:.3}");
    assert!(correlation > 0.88, "{correlation}");
    assert!(!left.counters().failed() && !right.counters().failed());
}

#[test]
fn a_recording_is_what_was_heard_and_as_long() {
    let said = voice(3.0);
    let path = scratch_file("record");
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcma),
        (file(&said), Sink::Discard),
        (Source::Silence, Sink::RecordAndSpeaker(path.clone())),
    );
    bench.attach_speaker();
    bench.run(3 * SECOND);
    drop((left, right));
    bench.run(Duration::from_millis(100));
    let (rate, heard) = read_wav(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!((rate, heard.len()), (8_000, 24_000));
    let said = media::resample::convert_all(&said, 48_000, 8_000);
    let (_, correlation) = align(&said[4_000..20_000], &heard[4_000..], 2_000);
    assert!(correlation > 0.99, "{correlation}");
    assert!(rms(bench.heard()) > 0.02);
}

#[test]
fn both_sides_are_recorded_apart_and_the_tone_is_heard_by_both() {
    let (near, far) = (voice(3.0), voice(4.0)[48_000..].to_vec());
    let path = scratch_file("both");
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::G722),
        (file(&near), Sink::Speaker),
        (file(&far), Sink::Discard),
    );
    bench.attach_speaker();
    let recording = media::Recording {
        path: path.clone(),
        tone: media::ConsentTone::Every(2 * SECOND),
    };
    left.record(Some(&recording)).unwrap();
    bench.run(4 * SECOND);
    left.set_muted(true);
    bench.run(SECOND);
    left.record(None).unwrap();
    bench.run(Duration::from_millis(100));
    let mut reader = hound::WavReader::open(&path).unwrap();
    assert_eq!(
        (reader.spec().channels, reader.spec().sample_rate),
        (2, 16_000)
    );
    let both: Vec<f32> = reader
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect();
    std::fs::remove_file(&path).unwrap();
    let ours: Vec<f32> = both.iter().copied().step_by(2).collect();
    let theirs: Vec<f32> = both.iter().copied().skip(1).step_by(2).collect();
    assert_eq!(ours.len(), 5 * 16_000);
    // From 0.3 s to 1.9 s there is no tone.
    let said = |samples: &[f32]| media::resample::convert_all(samples, 48_000, 16_000);
    let (_, own) = align(&said(&near)[8_000..24_000], &ours[4_800..], 4_000);
    let (_, other) = align(&said(&far)[8_000..24_000], &theirs[4_800..], 6_000);
    assert!(own > 0.99 && other > 0.95, "{own}, {other}");
    // Both have said all; what is left at 4 s is the tone, on the left and in the ear, and the peer hears it, muted as
    // we are.
    let at = |samples: &[f32], rate: usize| rms(&samples[rate * 402 / 100..rate * 418 / 100]);
    assert!(
        (0.05..0.09).contains(&at(&ours, 16_000)),
        "{}",
        at(&ours, 16_000)
    );
    assert!(at(&theirs, 16_000) < 0.01, "{}", at(&theirs, 16_000));
    assert!((0.05..0.09).contains(&at(bench.heard(), 48_000)));
    assert_eq!(rms(&ours[16_000 * 43 / 10..]), 0.0);
    drop((left, right));
}

#[cfg(target_os = "linux")]
#[test]
fn of_two_recordings_the_one_that_ends_early_is_named() {
    let path = scratch_file("named");
    let full = std::path::PathBuf::from("/dev/full");
    let mut bench = Bench::new();
    let (left, _right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Silence, Sink::Record(full.clone())),
        (Source::Silence, Sink::Discard),
    );
    left.record(Some(&media::Recording {
        path: path.clone(),
        tone: media::ConsentTone::Off,
    }))
    .unwrap();
    bench.run(3 * SECOND);
    let ended: Vec<StreamEvent> = events(&left)
        .into_iter()
        .filter(|event| matches!(event, StreamEvent::RecordingEnded { .. }))
        .collect();
    let reason = "the disk is full".to_owned();
    assert_eq!(ended, [StreamEvent::RecordingEnded { path: full, reason }]);
    left.record(None).unwrap();
    bench.run(SECOND);
    assert_eq!(read_wav(&path).1.len(), 2 * 3 * 8_000);
    std::fs::remove_file(&path).unwrap();
}

/// The largest step from one sample to the next.
fn largest_step(heard: &[f32]) -> f32 {
    let steps = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    steps.fold(0.0, f32::max)
}

#[test]
fn a_tone_that_is_stopped_or_gives_way_does_not_click() {
    let mut bench = Bench::new();
    let silence = || (Source::Silence, Sink::Speaker);
    let _call = bench.pair(&parameters(CodecKind::Pcmu), silence(), silence());
    bench.attach_speaker();
    // The ring to the loudspeaker fills first.
    bench.run(SECOND);
    let mut from = bench.heard().len();
    // Full 10 ms of it, whichever its phase is then.
    for times in 0..20 {
        bench.handle.play_tone(Tone::Sine { hz: 433.0 }).unwrap();
        bench.run(SECOND + Duration::from_millis(10 * times));
        bench.handle.play_tone(Tone::Sine { hz: 350.0 }).unwrap();
        bench.run(SECOND);
        bench.handle.stop_tone().unwrap();
        bench.run(Duration::from_millis(100));
        let heard = bench.heard();
        let (step, end) = (largest_step(&heard[from..]), heard.len());
        // Of the sine itself: 2 pi 433 / 48000 of a quarter; two at once while one gives way.
        assert!(step < 0.027, "{step}");
        assert!(heard[end - 480..].iter().all(|sample| *sample == 0.0));
        from = end;
    }
}

#[test]
fn a_call_that_is_held_in_the_middle_of_a_word_does_not_click() {
    let mut bench = Bench::new();
    let tone = || (Source::Tone { hz: 437.0 }, Sink::Discard);
    let (left, _right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Silence, Sink::Speaker),
        tone(),
    );
    bench.attach_speaker();
    let receives = |receive| StreamParameters {
        remote: left.counters().announced_peer(),
        receive,
        ..parameters(CodecKind::Pcmu)
    };
    bench.run(2 * SECOND);
    for times in 0..10 {
        left.update(receives(true)).unwrap();
        bench.run(SECOND + Duration::from_millis(10 * times));
        let plain = largest_step(&bench.heard()[bench.heard().len() - 24_000..]);
        let from = bench.heard().len() - 24_000;
        left.update(receives(false)).unwrap();
        bench.run(SECOND);
        let held = largest_step(&bench.heard()[from..]);
        // It turns round there, which is an edge and no jump; that would be twenty times as large.
        assert!(held < 2.5 * plain, "{held}, {plain} of the tone itself");
    }
}

#[test]
fn a_muted_microphone_sends_silence_and_nothing_else() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Microphone, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.attach_microphone(vec![0.5; 48_000 * 6]);
    bench.run(2 * SECOND);
    assert!(right.counters().receive_level() > 0.4);
    left.set_muted(true);
    bench.run(SECOND);
    assert_eq!(right.counters().receive_level(), 0.0);
    assert!(bench.handle.counters().capture_level() > 0.4);
    left.set_muted(false);
    bench.run(SECOND);
    assert!(right.counters().receive_level() > 0.4);
    assert_eq!(right.counters().lost(), 0);
}

#[test]
fn who_is_muted_from_the_start_is_not_heard_for_a_single_frame() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Microphone, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.attach_microphone(vec![0.5; 48_000 * 2]);
    left.set_muted(true);
    for _ in 0..100 {
        bench.run(SECOND / 100);
        assert_eq!(right.counters().receive_level(), 0.0);
    }
    assert!(right.counters().received() > 40);
}

#[test]
fn streams_and_tones_are_mixed_for_the_speaker() {
    let mut bench = Bench::new();
    let tone = |hz| (Source::Tone { hz }, Sink::Discard);
    let speaker = || (Source::Silence, Sink::Speaker);
    let _one = bench.pair(&parameters(CodecKind::Pcmu), tone(500.0), speaker());
    let two = bench.pair(&parameters(CodecKind::Opus), tone(900.0), speaker());
    bench.attach_speaker();
    bench.handle.play_tone(Tone::Sine { hz: 1_300.0 }).unwrap();
    bench.run(3 * SECOND);
    let power = |heard: &[f32], hz: f32| {
        let (mut re, mut im) = (0.0f32, 0.0f32);
        for (i, sample) in heard.iter().enumerate() {
            let angle = std::f32::consts::TAU * hz * i as f32 / 48_000.0;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        2.0 * (re * re + im * im).sqrt() / heard.len() as f32
    };
    let heard = &bench.heard()[96_000..];
    for hz in [500.0, 900.0, 1_300.0] {
        let level = power(heard, hz);
        assert!((0.18..0.3).contains(&level), "{hz} Hz: {level}");
    }
    two.1.set_volume(0.0);
    bench.handle.stop_tone().unwrap();
    bench.run(SECOND);
    let heard = &bench.heard()[154_000..];
    assert!(power(heard, 500.0) > 0.18);
    assert!(power(heard, 900.0) < 0.01);
    assert!(power(heard, 1_300.0) < 0.01);
}

#[test]
fn media_from_elsewhere_is_followed_when_the_announced_address_is_silent() {
    let mut bench = Bench::new();
    // Left hears of an address where nobody is; right is heard from its real one.
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Tone { hz: 440.0 }, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    let nowhere = "127.0.0.9:9".parse().unwrap();
    left.update(StreamParameters {
        remote: Some(nowhere),
        ..parameters(CodecKind::Pcmu)
    })
    .unwrap();
    bench.run(Duration::from_millis(500));
    assert_eq!(left.counters().target(), Some(nowhere));
    bench.run(2 * SECOND);
    let back = bench.wires[0].address();
    assert_eq!(left.counters().announced_peer(), Some(nowhere));
    assert_eq!(left.counters().actual_peer(), Some(back));
    assert_eq!(left.counters().target(), Some(back));
    assert!(events(&left).contains(&StreamEvent::PeerMoved {
        announced: Some(nowhere),
        actual: back,
    }));
    drop(right);
}

#[test]
fn rubbish_on_the_port_is_counted_and_does_no_harm() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Opus),
        (file(&voice(4.0)), Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    let to = bench.wires[0].to;
    let mut random = common::Random(5);
    for step in 0..300 {
        for _ in 0..5 {
            let length = (random.next() * 200.0) as usize;
            let mut bytes: Vec<u8> = (0..length).map(|_| (random.next() * 256.0) as u8).collect();
            if let Some(first) = bytes.first_mut().filter(|_| step % 2 == 0) {
                *first = 0x80;
            }
            bench.wires[1].socket.send_to(&bytes, to).unwrap();
        }
        bench.step();
    }
    let counters = right.counters();
    assert!(!counters.failed());
    assert!(counters.dropped() > 500, "{}", counters.dropped());
    assert!(counters.received() >= 140, "{}", counters.received());
    drop(left);
}

#[test]
fn the_first_packet_is_an_event_and_a_dropped_handle_ends_the_stream() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Silence, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.run(SECOND);
    let from = bench.wires[1].address();
    assert_eq!(events(&right), [StreamEvent::FirstPacket { from }]);
    let sent = left.counters();
    drop(left);
    bench.run(Duration::from_millis(20));
    assert_eq!(bench.handle.counters().streams(), 1);
    // The farewell is a report.
    assert_eq!(sent.reports_sent(), 1);
    let frozen = sent.sent();
    bench.run(SECOND);
    assert_eq!(sent.sent(), frozen);
    drop(right);
    bench.run(Duration::from_millis(20));
    assert!(bench.pump.is_idle());
}

#[test]
fn a_new_source_behind_the_same_address_is_heard() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Silence, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.run(SECOND);
    let heard = right.counters();
    assert_eq!(heard.receive_level(), 0.0);
    // As when a peer hands the call to another machine of its own: the packets come the same way, under another
    // source identifier, with other numbers.
    drop(left);
    let (other, _control) = media::socket::bind_pair(common::HERE, 0..=0).unwrap();
    let config = media::StreamConfig {
        source: Source::Tone { hz: 440.0 },
        sink: Sink::Discard,
        ..media::StreamConfig::new(
            other,
            StreamParameters {
                remote: Some(bench.wires[0].socket.local_addr().unwrap()),
                ..parameters(CodecKind::Pcmu)
            },
            99,
        )
    };
    let _other = bench.handle.add_stream(config).unwrap();
    bench.run(SECOND);
    assert!(heard.receive_level() > 0.15, "{}", heard.receive_level());
    assert!(heard.received() > 90, "{}", heard.received());
}

#[test]
fn what_is_said_in_place_of_the_microphone_is_all_that_is_heard_and_gives_way_at_its_end() {
    let mut bench = Bench::new();
    let (left, right) = bench.pair(
        &parameters(CodecKind::Pcmu),
        (Source::Microphone, Sink::Discard),
        (Source::Silence, Sink::Discard),
    );
    bench.attach_microphone(vec![0.5; 48_000 * 20]);
    let level = |bench: &mut Bench| {
        bench.run(SECOND);
        right.counters().receive_level()
    };
    assert!(level(&mut bench) > 0.4);
    let silence = Instead {
        source: Source::Silence,
        number: 1,
        alone: true,
    };
    left.say_instead(Some(silence)).unwrap();
    assert_eq!(level(&mut bench), 0.0);
    left.say_instead(None).unwrap();
    assert!(level(&mut bench) > 0.4);
    // Who is muted does not speak; a file does.
    left.set_muted(true);
    let file = |looped| Source::File {
        samples: shared(&vec![0.2; 48_000 * 3]),
        looped,
    };
    let once = Instead {
        source: file(false),
        number: 2,
        alone: false,
    };
    left.say_instead(Some(once)).unwrap();
    assert!((0.15..0.25).contains(&level(&mut bench)));
    // With another codec it goes on where it was.
    for (stream, to) in [(&left, 0), (&right, 1)] {
        stream
            .update(StreamParameters {
                remote: Some(bench.wires[to].address()),
                ..parameters(CodecKind::G722)
            })
            .unwrap();
    }
    assert!((0.15..0.25).contains(&level(&mut bench)));
    let said = |event: &StreamEvent| matches!(event, StreamEvent::Said(_));
    let told = |stream: &StreamHandle| -> Vec<StreamEvent> {
        std::iter::from_fn(|| stream.poll_event())
            .filter(said)
            .collect()
    };
    assert_eq!(told(&left), []);
    bench.run(SECOND);
    assert!(
        level(&mut bench) < 0.01,
        "at its end whoever is muted is so"
    );
    assert_eq!(told(&left), [StreamEvent::Said(2)]);
    let music = Instead {
        source: file(true),
        number: 3,
        alone: true,
    };
    left.say_instead(Some(music)).unwrap();
    bench.run(4 * SECOND);
    assert!((0.15..0.25).contains(&level(&mut bench)));
    left.set_muted(false);
    left.say_instead(None).unwrap();
    assert!(level(&mut bench) > 0.4);
    assert_eq!(told(&left), []);
}
