//! Files of sound that calls say in place of the microphone: in memory once, however many calls say the same.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use media::Ready;

/// What is in a file.
#[derive(Debug)]
pub(crate) struct Sound {
    /// At 48 kHz.
    pub(crate) samples: Arc<[f32]>,
    /// The same for the codec of the call, where there is one.
    pub(crate) ready: Option<Ready>,
}

impl Sound {
    pub(crate) fn is_for(&self, rate_hz: Option<u32>) -> bool {
        self.ready.as_ref().map(Ready::rate_hz) == rate_hz
    }
}

/// The sounds that calls hold on to. It holds on to none itself.
#[derive(Default)]
pub(crate) struct Sounds {
    places: Mutex<HashMap<Key, Arc<Mutex<Place>>>>,
}

/// A file, and the rate of the codecs in hertz.
type Key = (PathBuf, Option<u32>);

/// One file for codecs of one rate.
#[derive(Default)]
struct Place {
    /// How long the file was, and when it was written last.
    state: Option<(u64, Option<SystemTime>)>,
    sound: Weak<Sound>,
}

impl Sounds {
    /// Reads a file for codecs of this rate in hertz, if nobody has it; whoever wants the same meanwhile waits for that. Not for
    /// who must not wait: a disk may be slow, and so is bringing minutes of sound to another rate.
    ///
    /// # Errors
    /// Why it cannot be played, in words.
    pub(crate) fn read(&self, file: &Path, rate_hz: Option<u32>) -> Result<Arc<Sound>, String> {
        let place = {
            let mut places = locked(&self.places);
            // Whoever reads has a place in hand.
            places.retain(|_, place| {
                Arc::strong_count(place) > 1 || locked(place).sound.strong_count() > 0
            });
            Arc::clone(places.entry((file.to_owned(), rate_hz)).or_default())
        };
        let mut place = locked(&place);
        let data = std::fs::metadata(file).ok();
        let state = data.as_ref().map(|data| (data.len(), data.modified().ok()));
        if let Some(sound) = place.sound.upgrade()
            && place.state == state
        {
            return Ok(sound);
        }
        // A pipe or a device might never end, and is none of what is played.
        if data.is_some_and(|data| !data.is_file()) {
            return Err(format!("{} is no file", file.display()));
        }
        let samples = media::wav::load(file).map_err(|error| error.to_string())?;
        let ready = rate_hz.map(|rate_hz| Ready::new(&samples, rate_hz));
        let sound = Arc::new(Sound { samples, ready });
        *place = Place {
            state,
            sound: Arc::downgrade(&sound),
        };
        Ok(sound)
    }
}

/// Whoever panicked while it was theirs has left it as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(PathBuf);

    impl Home {
        fn new(name: &str) -> Self {
            let name = format!("tipring-sounds-{name}-{}", std::process::id());
            let home = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&home).unwrap();
            Self(home)
        }

        fn file(&self, name: &str, seconds: usize) -> PathBuf {
            let path = self.0.join(name);
            media::wav::save(&path, &vec![0.1; 48_000 * seconds], 8_000).unwrap();
            path
        }
    }

    impl Drop for Home {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_many_say_is_in_memory_once() {
        let home = Home::new("once");
        let (file, sounds) = (home.file("music.wav", 2), Sounds::default());
        let all: Vec<_> = std::thread::scope(|scope| {
            let one = || sounds.read(&file, Some(8_000)).unwrap();
            let readers: Vec<_> = (0..20).map(|_| scope.spawn(one)).collect();
            readers.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for one in &all {
            assert!(Arc::ptr_eq(one, &all[0]));
        }
        assert_eq!(all[0].samples.len(), 96_000);
        assert!(all[0].is_for(Some(8_000)) && !all[0].is_for(Some(16_000)));
        let other = sounds.read(&file, Some(16_000)).unwrap();
        assert!(other.is_for(Some(16_000)));
    }

    #[test]
    fn nothing_is_kept_that_nobody_says() {
        let home = Home::new("kept");
        let sounds = Sounds::default();
        for n in 0..50 {
            let file = home.file(&format!("{n}.wav"), 1);
            drop(sounds.read(&file, None).unwrap());
        }
        // The last one is found to be gone when somebody looks again.
        assert_eq!(locked(&sounds.places).len(), 1);
    }

    #[test]
    fn a_file_that_was_written_anew_is_read_anew() {
        let home = Home::new("anew");
        let (file, sounds) = (home.file("music.wav", 1), Sounds::default());
        let before = sounds.read(&file, None).unwrap();
        home.file("music.wav", 3);
        let after = sounds.read(&file, None).unwrap();
        assert_eq!(
            (before.samples.len(), after.samples.len()),
            (48_000, 144_000)
        );
    }

    #[test]
    fn what_is_no_file_of_sound_is_told() {
        let (home, sounds) = (Home::new("told"), Sounds::default());
        let words = sounds.read(&home.0, None).unwrap_err();
        assert!(words.ends_with("is no file"), "{words}");
        assert!(sounds.read(&home.0.join("missing.wav"), None).is_err());
    }
}
