//! Calls that hear each other: a room for each conference.
//!
//! ```text
//!  heard of A ─┐                 ┌─► A is told: the person, B, C
//!  heard of B ─┼─► sum at 48 kHz ┼─► B is told: the person, A, C
//!  heard of C ─┘   − its own     └─► C is told: the person, A, B
//! ```
//!
//! Each stream adds what it heard in this step, at 48 kHz, whatever the rate of its codec is. When all have heard, each
//! takes the sum without its own part, brings it down to the rate at which it speaks and adds it to what it says
//! itself.

use crate::FRAME_SAMPLES;
use crate::pump::{LINEAR, limit};

/// Conferences at a time; whoever comes to one more is alone.
const MOST_ROOMS: usize = 64;

/// How fast the level comes back after it had to be lowered, each 10 ms: from half to full in 1.5 s.
const RELEASE: f32 = 1.0 / 300.0;

struct Room {
    id: u64,
    /// Streams that added something.
    parts: u32,
    /// Those of them whose peer was heard.
    voices: u32,
    sum: [f32; FRAME_SAMPLES],
}

/// The rooms of one step.
pub(crate) struct Rooms(Vec<Room>);

impl Rooms {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(MOST_ROOMS))
    }

    /// Begins a step: nobody has said anything.
    pub(crate) fn begin(&mut self) {
        self.0.clear();
    }

    /// Adds what one stream has for a room: its peer's voice, or where there is `no_voice` only a tone of its own.
    pub(crate) fn add(&mut self, id: u64, part: &[f32; FRAME_SAMPLES], no_voice: bool) {
        let voices = u32::from(!no_voice);
        if let Some(room) = self.0.iter_mut().find(|room| room.id == id) {
            room.parts += 1;
            room.voices += voices;
            for (sum, sample) in room.sum.iter_mut().zip(part) {
                *sum += sample;
            }
        } else if self.0.len() < MOST_ROOMS {
            self.0.push(Room {
                id,
                parts: 1,
                voices,
                sum: *part,
            });
        }
    }

    /// How many peers are heard in a room.
    pub(crate) fn voices(&self, id: u64) -> u32 {
        let room = self.0.iter().find(|room| room.id == id);
        room.map_or(0, |room| room.voices)
    }

    /// What is said in a room besides `own`, which was added if it is there; nothing where nobody else is.
    pub(crate) fn others(
        &self,
        id: u64,
        own: Option<&[f32; FRAME_SAMPLES]>,
    ) -> Option<[f32; FRAME_SAMPLES]> {
        let room = self.0.iter().find(|room| room.id == id)?;
        if room.parts <= u32::from(own.is_some()) {
            return None;
        }
        let mut others = room.sum;
        for (sum, sample) in others.iter_mut().zip(own.into_iter().flatten()) {
            *sum -= sample;
        }
        Some(others)
    }
}

/// Keeps a sum of voices below full scale: at once quieter when it gets too loud, slowly as loud as before afterwards.
#[derive(Debug)]
pub(crate) struct Leveller {
    gain: f32,
}

impl Leveller {
    pub(crate) fn new() -> Self {
        Self { gain: 1.0 }
    }

    /// Levels 10 ms.
    pub(crate) fn process(&mut self, frame: &mut [f32]) {
        let peak = frame
            .iter()
            .fold(0.0f32, |peak, sample| peak.max(sample.abs()));
        let bearable = if peak > LINEAR { LINEAR / peak } else { 1.0 };
        let wanted = bearable.min(self.gain + RELEASE);
        let step = (wanted - self.gain) / frame.len().max(1) as f32;
        for sample in frame {
            self.gain += step;
            // What is loud before the gain is down is bent.
            *sample = limit(*sample * self.gain);
        }
        self.gain = wanted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_hears_all_but_itself() {
        let mut rooms = Rooms::new();
        let voices = [0.1, 0.2, 0.4].map(|level| [level; FRAME_SAMPLES]);
        for _ in 0..3 {
            rooms.begin();
            voices.iter().for_each(|voice| rooms.add(7, voice, false));
            rooms.add(8, &voices[0], false);
            for (voice, others) in voices.iter().zip([0.6, 0.5, 0.3]) {
                let heard = rooms.others(7, Some(voice)).unwrap();
                assert!(heard.iter().all(|sample| (sample - others).abs() < 1e-6));
            }
            // Who is there and says nothing hears all of them; who is alone hears nothing.
            assert!((rooms.others(7, None).unwrap()[0] - 0.7).abs() < 1e-6);
            assert_eq!(rooms.others(8, Some(&voices[0])), None);
            assert_eq!(rooms.others(9, None), None);
        }
    }

    #[test]
    fn rooms_are_bounded_and_the_one_too_many_is_quiet() {
        let mut rooms = Rooms::new();
        for id in 0..100 {
            rooms.add(id, &[0.1; FRAME_SAMPLES], false);
            rooms.add(id, &[0.1; FRAME_SAMPLES], false);
        }
        assert!(rooms.others(63, None).is_some());
        assert_eq!(rooms.others(64, None), None);
    }

    #[test]
    fn ten_loud_voices_are_lowered_and_one_of_them_left_alone_comes_back() {
        let mut leveller = Leveller::new();
        let tone = |n: usize| (n as f32 * 0.05).sin();
        let mut at = 0;
        let mut run = |gain: f32, frames: usize| {
            let mut last = [0.0; 80];
            for _ in 0..frames {
                last = std::array::from_fn(|n| gain * tone(at + n));
                leveller.process(&mut last);
                assert!(last.iter().all(|sample| sample.abs() <= 1.0));
                at += 80;
            }
            (last, at - 80)
        };
        let (loud, from) = run(5.0, 100);
        // No longer bent: the shape is that of the tone.
        let scale = loud[10] / tone(from + 10);
        assert!((0.7..0.9).contains(&scale), "{scale}");
        for (n, sample) in loud.iter().enumerate() {
            assert!((sample - scale * tone(from + n)).abs() < 0.02, "{n}");
        }
        let (quiet, from) = run(0.5, 300);
        assert!((quiet[10] - 0.5 * tone(from + 10)).abs() < 1e-3);
    }
}
