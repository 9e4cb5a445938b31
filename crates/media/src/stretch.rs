//! Sound made a little shorter or longer without a change of its pitch.
//!
//! ```text
//!  shorter:  ▓▓A▓▓│▓▓B▓▓│▓▓rest▓▓   →   ▓A╲╱B▓│▓▓rest▓▓
//!  longer:   ▓▓A▓▓│▓▓B▓▓│▓▓rest▓▓   →   ▓▓A▓▓│▓B╲╱A▓│▓▓B▓▓│▓▓rest▓▓
//! ```
//!
//! A and B are two periods of the voice that follow each other. What is led over from one to the other fits on both of
//! its sides, so nothing clicks, and one period more or less is not heard as such. Sound that does not repeat is left as
//! it is, unless it is quiet, or the change is wanted for so long that any place will do: then the best there is.
//!
//! Where a whole packet is left out, its beginning is led over to the best place in the beginning of the next.

use crate::stream::level;

/// Periods that are looked for, in samples of 8 kHz: 200 Hz and 100 Hz. A higher voice gives two or three of its own, and
/// a lower one is left alone.
const SHORTEST: usize = 40;
const LONGEST: usize = 80;

/// How alike two periods are, at least, where a change can wait.
const ALIKE: f32 = 0.8;

/// When a change is wanted for so long (in milliseconds), everything is alike enough: before the jitter buffer's patience
/// ends, which leaves out a whole packet after a second.
const PATIENCE_MS: u32 = 800;

/// In this part of a second what was left out is led over to what follows, and in twice that the best place for it is
/// looked for: 5 ms and 10 ms.
const LEAD: usize = 200;

/// Below this root mean square nothing has to be alike: -54 dB.
const QUIET: f32 = 0.002;

/// Takes one period out of the first `count` samples; answers how many are left. It is wanted for `wanted_ms`.
pub(crate) fn shorten(samples: &mut [i16], count: usize, rate_hz: u32, wanted_ms: u32) -> usize {
    let Some(frame) = samples.get_mut(..count) else {
        return count;
    };
    let Some(period) = period(frame, rate_hz, wanted_ms) else {
        return count;
    };
    for n in 0..period {
        frame[n] = led_over(frame[n], frame[n + period], n, period);
    }
    frame.copy_within(2 * period.., period);
    count - period
}

/// Puts one period more into the first `count` samples, if `samples` have room for it; answers how many there are then. It
/// is wanted for `wanted_ms`.
pub(crate) fn lengthen(samples: &mut [i16], count: usize, rate_hz: u32, wanted_ms: u32) -> usize {
    let Some(period) = samples
        .get(..count)
        .and_then(|frame| period(frame, rate_hz, wanted_ms))
    else {
        return count;
    };
    if samples.len() < count + period {
        return count;
    }
    // From the second period on everything moves on by one; in its old place it is led over to the first.
    samples.copy_within(period..count, 2 * period);
    for n in 0..period {
        samples[period + n] = led_over(samples[2 * period + n], samples[n], n, period);
    }
    count + period
}

fn led_over(from: i16, to: i16, n: usize, length: usize) -> i16 {
    let weight = (n + 1) as f32 / (length + 1) as f32;
    (f32::from(from) * (1.0 - weight) + f32::from(to) * weight).round() as i16
}

/// The length of the period with which a frame begins, if it has two of them that are alike.
fn period(frame: &[i16], rate_hz: u32, wanted_ms: u32) -> Option<usize> {
    let scale = (rate_hz as usize / 8_000).max(1);
    let longest = (LONGEST * scale).min(frame.len() / 2);
    if longest < SHORTEST * scale {
        return None;
    }
    let (period, alike) = (SHORTEST * scale..=longest)
        .step_by(scale)
        .map(|period| (period, likeness(&frame[..period], &frame[period..], scale)))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    // From what is not heard at all to the opposite of it.
    let impatience = wanted_ms.min(PATIENCE_MS) as f32 / PATIENCE_MS as f32;
    let enough = ALIKE - impatience * (1.0 + ALIKE);
    (alike >= enough || level(frame) < QUIET).then_some(period)
}

/// Leads over from `cut`, with which the sound before would go on, to the first `count` samples, at the place where they
/// are most alike; answers how many are left of them.
pub(crate) fn join(cut: &[i16], samples: &mut [i16], count: usize, rate_hz: u32) -> usize {
    let lead = (rate_hz as usize / LEAD).min(cut.len()).min(count);
    let Some(frame) = samples.get_mut(..count) else {
        return count;
    };
    let scale = (rate_hz as usize / 8_000).max(1);
    let places = (0..=(2 * lead).min(count - lead)).step_by(scale);
    let best = places
        .map(|place| (place, likeness(&cut[..lead], &frame[place..], scale)))
        .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    let place = best.map_or(0, |(place, _)| place);
    frame.copy_within(place.., 0);
    for (n, (to, from)) in frame.iter_mut().zip(cut).take(lead).enumerate() {
        *to = led_over(*from, *to, n, lead);
    }
    count - place
}

fn likeness(one: &[i16], other: &[i16], step: usize) -> f32 {
    let (mut product, mut first, mut second) = (0.0f32, 1.0f32, 1.0f32);
    for (a, b) in one.iter().zip(other).step_by(step) {
        let (a, b) = (f32::from(*a), f32::from(*b));
        product += a * b;
        first += a * a;
        second += b * b;
    }
    product / (first * second).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u32; 3] = [8_000, 16_000, 48_000];

    fn tone(rate: u32, hz: f32, samples: usize) -> Vec<i16> {
        let step = hz * std::f32::consts::TAU / rate as f32;
        (0..samples)
            .map(|n| ((n as f32 * step).sin() * 8_000.0) as i16)
            .collect()
    }

    /// The largest step between two samples.
    fn steepest(samples: &[i16]) -> i32 {
        let steps = samples
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs());
        steps.max().unwrap_or(0)
    }

    /// Plays a tone in frames of 20 ms through `change`, every third of which is changed.
    fn played(
        rate: u32,
        hz: f32,
        change: fn(&mut [i16], usize, u32, u32) -> usize,
    ) -> (Vec<i16>, usize) {
        let frame = rate as usize / 50;
        let sound = tone(rate, hz, frame * 60);
        let mut out = Vec::new();
        for (n, chunk) in sound.chunks(frame).enumerate() {
            let mut room = vec![0; 2 * frame];
            room[..frame].copy_from_slice(chunk);
            let count = if n % 3 == 0 {
                change(&mut room, frame, rate, 0)
            } else {
                frame
            };
            out.extend_from_slice(&room[..count]);
        }
        (out, sound.len())
    }

    #[test]
    fn a_voice_gets_shorter_and_longer_without_a_click() {
        for rate in RATES {
            for hz in [105.0, 130.0, 160.0, 220.0, 310.0] {
                let plain = steepest(&tone(rate, hz, rate as usize));
                let (short, whole) = played(rate, hz, shorten);
                let (long, _) = played(rate, hz, lengthen);
                let change = rate as usize / 50 * 60 / 20;
                assert!(
                    short.len() + change < whole,
                    "{rate}, {hz}: {} of {whole}",
                    short.len()
                );
                assert!(
                    long.len() > whole + change,
                    "{rate}, {hz}: {} of {whole}",
                    long.len()
                );
                for (out, what) in [(short, "shorter"), (long, "longer")] {
                    let steep = steepest(&out);
                    assert!(
                        steep <= plain * 13 / 10 + 2,
                        "{what} {rate}, {hz}: {steep}, plain {plain}"
                    );
                }
            }
        }
    }

    #[test]
    fn its_pitch_stays_what_it_was() {
        let crossings = |sound: &[i16]| {
            let rises = sound.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
            rises as f32 * 8_000.0 / sound.len() as f32
        };
        for change in [shorten, lengthen] {
            let (out, _) = played(8_000, 150.0, change);
            let hz = crossings(&out);
            assert!((145.0..155.0).contains(&hz), "{hz}");
        }
    }

    #[test]
    fn noise_is_left_alone_and_silence_is_not() {
        let mut state = 3u64;
        let mut noise: Vec<i16> = (0..320)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                ((state >> 48) as i16) / 4
            })
            .collect();
        let before = noise.clone();
        assert_eq!(shorten(&mut noise, 160, 8_000, 0), 160);
        assert_eq!(lengthen(&mut noise, 160, 8_000, 0), 160);
        assert_eq!(noise, before);
        let mut silence = vec![0; 320];
        assert!(shorten(&mut silence, 160, 8_000, 0) < 160);
        assert!(lengthen(&mut silence, 160, 8_000, 0) > 160);
    }

    /// Five tones without a common period.
    fn chord(rate: u32, samples: usize) -> Vec<i16> {
        let tones = [331.7, 487.3, 729.1, 1_013.9, 1_371.3];
        let sample = |n: usize| {
            let tone = |hz: &f32| (hz * n as f32 / rate as f32 * std::f32::consts::TAU).sin();
            (tones.iter().map(tone).sum::<f32>() * 2_000.0) as i16
        };
        (0..samples).map(sample).collect()
    }

    #[test]
    fn what_is_wanted_for_long_is_done_also_where_nothing_repeats_and_does_not_click() {
        for rate in RATES {
            let frame = rate as usize / 50;
            let sound = chord(rate, 50 * frame);
            let plain = steepest(&sound);
            for change in [shorten, lengthen] {
                let mut done = 0;
                for at in (frame..48 * frame).step_by(frame / 3) {
                    let mut room = vec![0; 2 * frame];
                    room[..frame].copy_from_slice(&sound[at..at + frame]);
                    let count = change(&mut room, frame, rate, PATIENCE_MS);
                    done += usize::from(count != frame);
                    let whole = [&sound[..at], &room[..count], &sound[at + frame..]].concat();
                    let steep = steepest(&whole);
                    assert!(
                        steep <= plain * 11 / 10 + 2,
                        "{rate}: {steep}, plain {plain}"
                    );
                }
                assert!(done > 130, "{rate}: {done}");
            }
        }
    }

    #[test]
    fn a_packet_is_left_out_without_a_click() {
        for rate in RATES {
            let frame = rate as usize / 50;
            let sound = chord(rate, 50 * frame);
            let plain = steepest(&sound);
            for at in (frame..48 * frame).step_by(frame / 3) {
                let (cut, next) = (&sound[at..at + frame], &sound[at + frame..at + 2 * frame]);
                let mut room = vec![0; 2 * frame];
                room[..frame].copy_from_slice(next);
                let count = join(cut, &mut room, frame, rate);
                assert!((frame / 2..=frame).contains(&count));
                let whole = [&sound[..at], &room[..count], &sound[at + 2 * frame..]].concat();
                let steep = steepest(&whole);
                assert!(
                    steep <= plain * 11 / 10 + 2,
                    "{rate}: {steep}, plain {plain}"
                );
            }
        }
        for (cut, count, room) in [
            (0, 160, 160),
            (3, 160, 160),
            (160, 3, 3),
            (160, 0, 0),
            (9, 20, 10),
        ] {
            assert!(join(&vec![5; cut], &mut vec![5; room], count, 8_000) <= count);
        }
    }

    #[test]
    fn no_length_is_too_strange() {
        for count in 0..200 {
            for room in [count, count + 30, count + 200] {
                let mut samples = vec![5; room];
                assert!(shorten(&mut samples, count, 8_000, 0) <= count);
                assert!((count..=room).contains(&lengthen(&mut samples, count, 8_000, 0)));
            }
        }
        assert_eq!(shorten(&mut [1; 10], 20, 8_000, 0), 20);
        assert_eq!(lengthen(&mut [1; 10], 20, 8_000, 0), 20);
    }
}
