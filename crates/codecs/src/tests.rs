use super::*;

/// Something like a voice: harmonics of a gliding pitch under a syllable envelope.
///
/// The pitch is high because libopus cuts low frequencies in speech mode and turns the phase of what lies
/// just above: nobody hears that, but it would spoil a comparison of waveforms.
fn voice(rate_hz: u32, seconds: f64) -> Vec<i16> {
    let rate = f64::from(rate_hz);
    let mut phase = 0.0f64;
    (0..(rate * seconds) as usize)
        .map(|i| {
            let t = i as f64 / rate;
            phase += std::f64::consts::TAU * (220.0 + 25.0 * (t * 2.1).sin()) / rate;
            let envelope = 0.35 + 0.65 * (t * 9.0).sin().powi(2);
            let tone: f64 = (1..=14).map(f64::from).map(|h| (phase * h).sin() / h).sum();
            (tone * envelope * 5_000.0) as i16
        })
        .collect()
}

fn snr_db(wanted: &[i16], got: &[i16]) -> f64 {
    let (mut signal, mut noise) = (0.0f64, 1e-9f64);
    for (a, b) in wanted.iter().zip(got) {
        signal += f64::from(*a).powi(2);
        noise += (f64::from(*a) - f64::from(*b)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0f64, 1e-9f64, 1e-9f64);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    ab / (aa * bb).sqrt()
}

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64
}

/// Runs a signal through; `lost(n)` says which payloads do not arrive, `fec` whether the next one helps.
fn through(kind: CodecKind, signal: &[i16], lost: impl Fn(usize) -> bool, fec: bool) -> Vec<i16> {
    let frame = kind.frame_samples(20);
    let mut encoder = Encoder::new(kind, EncoderOptions::default()).unwrap();
    let mut decoder = Decoder::new(kind).unwrap();
    let mut payload = [0; LONGEST_PAYLOAD];
    let payloads: Vec<Vec<u8>> = signal
        .chunks_exact(frame)
        .map(|samples| {
            let length = encoder.encode(samples, &mut payload).unwrap();
            payload[..length].to_vec()
        })
        .collect();
    let mut heard = Vec::new();
    let mut out = vec![0; frame];
    for (n, payload) in payloads.iter().enumerate() {
        if !lost(n) {
            assert_eq!(decoder.decode(payload, &mut out), Ok(frame));
        } else if let Some(next) = payloads.get(n + 1).filter(|_| fec && !lost(n + 1)) {
            decoder.decode_fec(next, &mut out);
        } else {
            decoder.conceal(&mut out);
        }
        heard.extend_from_slice(&out);
    }
    heard
}

/// The delay of Opus as used here, in samples: encoder look-ahead.
fn best_correlation(wanted: &[i16], heard: &[i16], longest_delay: usize) -> (usize, f64) {
    (0..longest_delay)
        .map(|delay| (delay, correlation(wanted, &heard[delay..])))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap()
}

/// G.711 tables 2a and 2b by their rule: sixteen steps per segment, steps doubling, in 14-bit units.
/// The first interval is half as wide as its neighbours, because it is shared with the other sign.
fn mu_law_by_definition(magnitude: u16) -> (u8, i32) {
    let mut lower = 0i32;
    let mut code = 0u8;
    for segment in 0..8 {
        let step = 2 << segment;
        for place in 0..16 {
            let width = if segment == 0 && place == 0 { 1 } else { step };
            let upper = lower + width;
            if i32::from(magnitude) < upper * 4 || code == 127 {
                let middle = if code == 0 { 0 } else { (lower + upper) * 2 };
                return (code, middle);
            }
            lower = upper;
            code += 1;
        }
    }
    unreachable!("the last interval takes the rest")
}

/// G.711 tables 1a and 1b by their rule: steps 2, 2, 4, 8 … 128 in 13-bit units.
fn a_law_by_definition(magnitude: u16) -> (u8, i32) {
    let mut lower = 0i32;
    let mut code = 0u8;
    for segment in 0..8 {
        let step = if segment == 0 { 2 } else { 1 << segment };
        for _ in 0..16 {
            let upper = lower + step;
            if i32::from(magnitude) < upper * 8 || code == 127 {
                return (code, (lower + upper) * 4);
            }
            lower = upper;
            code += 1;
        }
    }
    unreachable!("the last interval takes the rest")
}

fn decoded_mu(code: u8) -> i16 {
    let mut out = [0];
    g711::decode_mu_law(&[code], &mut out);
    out[0]
}

fn decoded_a(code: u8) -> i16 {
    let mut out = [0];
    g711::decode_a_law(&[code], &mut out);
    out[0]
}

#[test]
fn mu_law_codes_every_sample_as_g711_defines() {
    for sample in i16::MIN..=i16::MAX {
        let (place, value) = mu_law_by_definition(sample.unsigned_abs());
        let sign = if sample < 0 { 0x80 } else { 0 };
        let code = g711::mu_law_code(sample);
        assert_eq!(code, !(sign | place), "sample {sample}");
        let value = if sample < 0 { -value } else { value };
        assert_eq!(i32::from(decoded_mu(code)), value, "sample {sample}");
    }
}

#[test]
fn a_law_codes_every_sample_as_g711_defines() {
    for sample in i16::MIN..=i16::MAX {
        let (place, value) = a_law_by_definition(sample.unsigned_abs());
        let sign = if sample < 0 { 0 } else { 0x80 };
        let code = g711::a_law_code(sample);
        assert_eq!(code, (sign | place) ^ 0x55, "sample {sample}");
        let value = if sample < 0 { -value } else { value };
        assert_eq!(i32::from(decoded_a(code)), value, "sample {sample}");
    }
}

#[test]
fn all_256_codes_survive_a_round_trip_and_mirror_at_zero() {
    for code in 0..=255u8 {
        // µ-law has two zeros; encoding knows only the positive one.
        if code != 0x7f {
            assert_eq!(g711::mu_law_code(decoded_mu(code)), code);
        }
        assert_eq!(g711::a_law_code(decoded_a(code)), code);
        assert_eq!(decoded_mu(code), -decoded_mu(code ^ 0x80));
        assert_eq!(decoded_a(code), -decoded_a(code ^ 0x80));
    }
    assert_eq!(decoded_mu(0x7f), 0);
    assert_eq!(g711::mu_law_code(0), g711::MU_LAW_SILENCE);
    assert_eq!(g711::a_law_code(0), g711::A_LAW_SILENCE);
}

#[test]
fn g711_error_stays_within_half_a_step() {
    for sample in -32_600i32..=32_600 {
        let magnitude = sample.abs();
        let heard = i32::from(decoded_mu(g711::mu_law_code(sample as i16)));
        let bound = 4.max((magnitude + 132) / 32);
        assert!((heard - sample).abs() <= bound, "µ-law {sample} {heard}");
        let heard = i32::from(decoded_a(g711::a_law_code(sample as i16)));
        let bound = 8.max(magnitude / 32);
        assert!((heard - sample).abs() <= bound, "A-law {sample} {heard}");
    }
}

#[test]
fn g711_speech_keeps_36_db() {
    let signal = voice(8_000, 2.0);
    for kind in [CodecKind::Pcmu, CodecKind::Pcma] {
        let snr = snr_db(&signal, &through(kind, &signal, |_| false, false));
        println!("{kind}: {snr:.1} dB");
        assert!(snr > 36.0, "{kind}: {snr:.1} dB");
    }
}

#[test]
fn opus_speech_comes_back_after_its_look_ahead() {
    let signal = voice(48_000, 2.0);
    let heard = through(CodecKind::Opus, &signal, |_| false, false);
    let body = &signal[48_000..80_000];
    let (delay, correlation) = best_correlation(body, &heard[48_000..], 960);
    let snr = snr_db(body, &heard[48_000 + delay..]);
    println!("opus: delay {delay}, correlation {correlation:.4}, {snr:.1} dB");
    assert!((250..400).contains(&delay), "delay {delay}");
    assert!(correlation > 0.9, "correlation {correlation}");
    assert!(snr > 6.0, "{snr:.1} dB");
}

#[test]
fn opus_fec_restores_what_concealment_only_guesses() {
    let signal = voice(48_000, 4.0);
    let lost = |n: usize| n % 10 == 7;
    let whole = through(CodecKind::Opus, &signal, |_| false, false);
    let score = |fec| correlation(&whole, &through(CodecKind::Opus, &signal, lost, fec));
    let (concealed, restored) = (score(false), score(true));
    println!("10 % lost: concealed {concealed:.3}, with FEC {restored:.3}");
    assert!(restored > 0.9, "{restored}");
    assert!(restored > concealed, "{restored} against {concealed}");
}

#[test]
fn opus_rate_follows_the_option() {
    let signal = voice(48_000, 4.0);
    let rate = |bitrate_bps| {
        let options = EncoderOptions {
            bitrate_bps,
            ..EncoderOptions::default()
        };
        let mut encoder = Encoder::new(CodecKind::Opus, options).unwrap();
        let mut payload = [0; LONGEST_PAYLOAD];
        let bytes: usize = signal
            .chunks_exact(960)
            .map(|frame| encoder.encode(frame, &mut payload).unwrap())
            .sum();
        bytes * 8 / 4
    };
    // The rate is variable: an easy signal stays below what was asked, none may go far above.
    let (low, high) = (rate(16_000), rate(32_000));
    println!("asked 16000 and 32000, got {low} and {high} b/s");
    assert!((8_000..18_000).contains(&low), "{low}");
    assert!((20_000..35_000).contains(&high), "{high}");
}

#[test]
fn opus_dtx_stops_sending_in_silence() {
    let options = EncoderOptions {
        dtx: true,
        ..EncoderOptions::default()
    };
    let mut encoder = Encoder::new(CodecKind::Opus, options).unwrap();
    let mut payload = [0; LONGEST_PAYLOAD];
    let sent = (0..100)
        .filter(|_| encoder.encode(&[0; 960], &mut payload).unwrap() > 0)
        .count();
    assert!(sent < 40, "{sent} of 100 silent frames were sent");
}

#[test]
fn g711_concealment_follows_the_voice_and_fades_in_120_ms() {
    let signal = voice(8_000, 2.0);
    let frame = 160;
    // One frame lost.
    let heard = through(CodecKind::Pcmu, &signal, |n| n == 50, false);
    let span = 50 * frame..51 * frame;
    let correlation = correlation(&signal[span.clone()], &heard[span.clone()]);
    println!("20 ms gap: correlation {correlation:.3}");
    assert!(correlation > 0.8, "{correlation}");
    // Eight frames lost: silent from 120 ms on, not from the start.
    let heard = through(CodecKind::Pcmu, &signal, |n| (50..58).contains(&n), false);
    assert!(power(&heard[span.clone()]) > 0.3 * power(&signal[span]));
    assert_eq!(power(&heard[50 * frame + 960..58 * frame]), 0.0);
    // And the voice is back at once after the blend.
    assert!(
        snr_db(
            &signal[59 * frame..63 * frame],
            &heard[59 * frame..63 * frame]
        ) > 30.0
    );
}

#[test]
fn g711_concealment_begins_and_ends_without_a_click() {
    let tone: Vec<i16> = (0..8_000)
        .map(|i| ((f64::from(i) * 0.3).sin() * 8_000.0) as i16)
        .collect();
    let heard = through(CodecKind::Pcma, &tone, |n| n % 9 == 4, false);
    let steepest = |samples: &[i16]| {
        samples
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
            .max()
    };
    let (clean, gapped) = (steepest(&tone).unwrap(), steepest(&heard).unwrap());
    println!("steepest step {clean} in the tone, {gapped} with gaps");
    assert!(gapped < clean * 3 / 2, "{gapped} against {clean}");
}

#[test]
fn broken_payloads_are_errors_and_leave_a_working_decoder() {
    for kind in [
        CodecKind::Opus,
        CodecKind::G722,
        CodecKind::Pcmu,
        CodecKind::Pcma,
    ] {
        let mut decoder = Decoder::new(kind).unwrap();
        let mut out = [0; LONGEST_FRAME_SAMPLES];
        assert!(matches!(
            decoder.decode(&[], &mut out),
            Err(CodecError::BadPayload { .. })
        ));
        // Every first byte with a little of anything after it must not do harm.
        for toc in 0..=255u8 {
            for length in [1usize, 2, 3, 9, 60, 1275] {
                let mut payload = vec![toc; length];
                for (i, byte) in payload.iter_mut().enumerate().skip(1) {
                    *byte = (i as u8).wrapping_mul(toc | 1);
                }
                let _ = decoder.decode(&payload, &mut out);
                decoder.decode_fec(&payload, &mut out[..kind.frame_samples(20)]);
            }
        }
        decoder.conceal(&mut out[..kind.frame_samples(20)]);
        let frame = vec![0; kind.frame_samples(20)];
        let mut payload = [0; LONGEST_PAYLOAD];
        let mut encoder = Encoder::new(kind, EncoderOptions::default()).unwrap();
        let length = encoder.encode(&frame, &mut payload).unwrap();
        assert_eq!(
            decoder.decode(&payload[..length], &mut out),
            Ok(frame.len())
        );
    }
}

#[test]
fn wrong_lengths_are_told() {
    let mut opus = Encoder::new(CodecKind::Opus, EncoderOptions::default()).unwrap();
    let mut payload = [0; LONGEST_PAYLOAD];
    assert_eq!(
        opus.encode(&[0; 961], &mut payload),
        Err(CodecError::BadFrame {
            codec: CodecKind::Opus,
            samples: 961
        })
    );
    let mut pcmu = Encoder::new(CodecKind::Pcmu, EncoderOptions::default()).unwrap();
    assert_eq!(
        pcmu.encode(&[0; 160], &mut [0; 80]),
        Err(CodecError::BufferTooShort {
            given: 80,
            needed: 160
        })
    );
    let mut decoder = Decoder::new(CodecKind::Pcma).unwrap();
    assert_eq!(
        decoder.decode(&[0; 160], &mut [0; 80]),
        Err(CodecError::BufferTooShort {
            given: 80,
            needed: 160
        })
    );
}

/// A triangle, noise and a square wave for a second each. The sums are those of another implementation of
/// the recommendation (spandsp 0.0.6) for the same samples, so every bit is right.
#[test]
fn g722_makes_the_bits_of_the_recommendation() {
    let mut noise = 88_172_645_463_325_252u64;
    let samples: Vec<i16> = (0..48_000i32)
        .map(|i| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            match i / 16_000 {
                0 => ((i % 36 - 18).abs() * 1_500 - 13_500) as i16,
                1 => (noise >> 50) as i16 - 8_192,
                _ if (i / 8) % 2 == 0 => 20_000,
                _ => -20_000,
            }
        })
        .collect();
    let (mut bits, mut heard) = (vec![0; 24_000], vec![0; 48_000]);
    g722::Encoder::default().encode(&samples, &mut bits);
    g722::Decoder::default().decode(&bits, &mut heard);
    let sum = |bytes: &[u8]| {
        let start = 0xcbf2_9ce4_8422_2325_u64;
        let next = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        bytes.iter().fold(start, next)
    };
    let heard: Vec<u8> = heard.iter().flat_map(|s| s.to_le_bytes()).collect();
    assert_eq!(sum(&bits), 0xd3de_e8a0_8648_8374);
    assert_eq!(sum(&heard), 0x5ef7_c4b4_73a9_afd6);
}

#[test]
fn g722_carries_twice_the_band_in_the_same_packets() {
    assert_eq!(CodecKind::G722.frame_samples(20), 320);
    assert_eq!(CodecKind::G722.ticks(320), 160);
    assert_eq!(CodecKind::G722.samples(160), 320);
    let mut encoder = Encoder::new(CodecKind::G722, EncoderOptions::default()).unwrap();
    let mut payload = [0; LONGEST_PAYLOAD];
    assert_eq!(encoder.encode(&[0; 320], &mut payload), Ok(160));
    let odd = encoder.encode(&[0; 3], &mut payload);
    assert!(matches!(odd, Err(CodecError::BadFrame { samples: 3, .. })));
    let said = voice(16_000, 2.0);
    let heard = through(CodecKind::G722, &said, |_| false, false);
    let (delay, alike) = best_correlation(&said, &heard, 60);
    println!("G.722: {delay} samples late, correlation {alike:.4}");
    assert!(alike > 0.99, "{alike}");
    // 6 kHz comes through, which G.711 cannot carry at all.
    let tone: Vec<i16> = (0..16_000)
        .map(|i| ((f64::from(i) * 6.0 / 16.0 * std::f64::consts::TAU).sin() * 8_000.0) as i16)
        .collect();
    let heard = through(CodecKind::G722, &tone, |_| false, false);
    let share = power(&heard[4_000..]) / power(&tone[4_000..]);
    assert!((0.7..1.3).contains(&share), "{share}");
}

#[test]
fn g722_gaps_are_filled_from_the_voice_before() {
    let said = voice(16_000, 4.0);
    let clean = through(CodecKind::G722, &said, |_| false, false);
    let heard = through(CodecKind::G722, &said, |n| n % 20 == 10, false);
    let alike = correlation(&clean, &heard);
    println!("G.722 at 5 % loss: correlation {alike:.4}");
    assert!(alike > 0.93, "{alike}");
    let silent = clean.chunks(320).enumerate();
    let silent: Vec<i16> = silent
        .flat_map(|(n, frame)| frame.iter().map(move |s| if n % 20 == 10 { 0 } else { *s }))
        .collect();
    assert!(alike > correlation(&clean, &silent));
}

#[test]
fn linked_libopus_is_the_current_one() {
    assert!(libopus_version().contains("1.6.1"), "{}", libopus_version());
}

/// RFC 6716 §3.1, table 2, and §3.2: the configuration says how long a frame is, the code and the count how many there are.
#[test]
fn a_payload_says_how_long_it_is() {
    let opus = |packet: &[u8]| CodecKind::Opus.payload_ticks(packet);
    // SILK of 10, 20, 40 and 60 ms, hybrid of 10 and 20, CELT of 2.5, 5, 10 and 20.
    let lengths = [
        (0, 480),
        (1, 960),
        (2, 1_920),
        (3, 2_880),
        (12, 480),
        (13, 960),
        (16, 120),
        (17, 240),
        (30, 480),
        (31, 960),
    ];
    for (configuration, samples) in lengths {
        assert_eq!(opus(&[configuration << 3]), samples);
        assert_eq!(opus(&[configuration << 3 | 1, 7]), 2 * samples);
        assert_eq!(opus(&[configuration << 3 | 2, 7]), 2 * samples);
    }
    // Three frames of 20 ms, with the bits for padding and a variable rate.
    assert_eq!(opus(&[1 << 3 | 3, 0xC3]), 2_880);
    // Empty, without its count, of no frames, and longer than 120 ms: as if it were 20.
    for broken in [&[][..], &[1 << 3 | 3], &[1 << 3 | 3, 0], &[1 << 3 | 3, 7]] {
        assert_eq!(opus(broken), 960, "{broken:?}");
    }
    assert_eq!(CodecKind::Pcmu.payload_ticks(&[0; 240]), 240);
    assert_eq!(CodecKind::G722.payload_ticks(&[0; 240]), 240);
    assert_eq!(CodecKind::Pcma.payload_ticks(&[]), 160);
}
