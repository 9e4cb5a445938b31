//! What the peer hears in place of the microphone: silence or music while we hold it, and files that are played into the call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use media::{Ready, Source};
use model::NoticeLevel;
use ractor::ActorRef;

use super::media_leg::MediaLeg;
use super::{DialogMsg, DialogState};

/// Longer music for holding is read again each time, in samples at 48 kHz: five minutes of it are 58 MB.
const MOST_KEPT: usize = 5 * 60 * media::SAMPLE_RATE_HZ as usize;

/// What is said instead, and what is being read for it.
pub(super) struct Instead {
    myself: ActorRef<DialogMsg>,
    /// The peer is on hold, so nobody here is heard.
    on_hold: bool,
    /// The number of what is to be said: what was read for another one counts no more.
    number: u64,
    /// Music for holding that was read before: who is held again need not wait for it.
    kept: Option<(PathBuf, Sound)>,
}

/// What is in a file.
#[derive(Clone)]
pub(crate) struct Sound {
    samples: Arc<[f32]>,
    /// The same for the codec of the call, where there is one.
    ready: Option<Ready>,
}

impl Sound {
    /// Converts, which takes its time.
    fn new(samples: Arc<[f32]>, rate_hz: Option<u32>) -> Self {
        let ready = rate_hz.map(|rate_hz| Ready::new(&samples, rate_hz));
        Self { samples, ready }
    }

    fn is_for(&self, rate_hz: Option<u32>) -> bool {
        self.ready.as_ref().map(Ready::rate_hz) == rate_hz
    }
}

impl Instead {
    pub(super) fn new(myself: &ActorRef<DialogMsg>) -> Self {
        Self {
            myself: myself.clone(),
            on_hold: false,
            number: 0,
            kept: None,
        }
    }

    /// Reads a file elsewhere, for codecs of this rate in hertz: a disk may be slow, and so is bringing minutes of sound to
    /// another rate.
    fn read(&self, file: PathBuf, rate_hz: Option<u32>) {
        let (myself, number) = (self.myself.clone(), self.number);
        tokio::task::spawn_blocking(move || {
            let sound = read(&file).map(|samples| Sound::new(samples, rate_hz));
            let _ = myself.cast(DialogMsg::Read(number, file, sound));
        });
    }
}

/// A pipe or a device might never end, and is none of what is played.
pub(crate) fn read(file: &Path) -> Result<Arc<[f32]>, String> {
    let is_file = std::fs::metadata(file).map(|data| data.is_file());
    if matches!(is_file, Ok(false)) {
        return Err(format!("{} is no file", file.display()));
    }
    media::wav::load(file).map_err(|error| error.to_string())
}

impl DialogState {
    /// Whom we hold hears nobody here from the moment that it is wanted, whatever the peer makes of the re-INVITE.
    pub(super) fn settle_what_is_said(&mut self) {
        let hold = self.hold_wanted;
        let Some(media) = &mut self.media else { return };
        if std::mem::replace(&mut self.instead.on_hold, hold) == hold {
            return;
        }
        if hold {
            media.drop_digits();
        }
        self.instead.number += 1;
        let silence = media::Instead {
            source: Source::Silence,
            number: self.instead.number,
            alone: true,
        };
        media.say_instead(hold.then_some(silence), None);
        let rate_hz = media.rate_hz();
        if self.view.details.playing.take().is_some() {
            self.publish();
        }
        let Some(music) = self.settings.hold_music.clone().filter(|_| hold) else {
            return;
        };
        let music = PathBuf::from(music);
        let kept = self.instead.kept.as_ref();
        match kept.filter(|(file, sound)| *file == music && sound.is_for(rate_hz)) {
            Some((_, sound)) => {
                let sound = sound.clone();
                self.on_read(self.instead.number, &music, Ok(sound));
            }
            None => self.instead.read(music, rate_hz),
        }
    }

    /// The user wants this played to the peer, or nothing any more.
    pub(super) fn on_play(&mut self, file: Option<PathBuf>) {
        if self.instead.on_hold {
            if let Some(file) = file {
                self.not_played(&file, "the call is on hold");
            }
            return;
        }
        self.instead.number += 1;
        match file {
            Some(file) => {
                let rate_hz = self.media.as_ref().and_then(MediaLeg::rate_hz);
                self.instead.read(file, rate_hz);
            }
            None => self.say_no_more(),
        }
    }

    pub(super) fn on_read(&mut self, number: u64, file: &Path, sound: Result<Sound, String>) {
        if number != self.instead.number {
            return;
        }
        let on_hold = self.instead.on_hold;
        let sound = match sound {
            Ok(sound) => sound,
            Err(reason) => return self.not_played(file, &reason),
        };
        let Some(media) = &mut self.media else { return };
        let what = media::Instead {
            source: Source::File {
                samples: Arc::clone(&sound.samples),
                looped: on_hold,
            },
            number,
            alone: on_hold,
        };
        media.say_instead(Some(what), sound.ready.as_ref());
        if on_hold && sound.samples.len() <= MOST_KEPT {
            self.instead.kept = Some((file.to_owned(), sound));
        }
        let name = file.display().to_string();
        if on_hold {
            return self.note("media", format!("who is on hold hears {name}"));
        }
        self.note("media", format!("{name} is played into the call"));
        self.view.details.playing = Some(name);
        self.publish();
    }

    pub(super) fn on_said(&mut self, number: u64) {
        if number == self.instead.number {
            self.say_no_more();
        }
    }

    /// The file is at its end, or is not to be heard any longer.
    fn say_no_more(&mut self) {
        let Some(file) = self.view.details.playing.take() else {
            return;
        };
        if let Some(media) = &mut self.media {
            media.say_instead(None, None);
        }
        self.note("media", format!("{file} is played no longer"));
        self.publish();
    }

    fn not_played(&mut self, file: &Path, reason: &str) {
        let text = format!(
            "{} is not played into call {}: {reason}.",
            file.display(),
            self.view.id
        );
        self.note("media", text.clone());
        let tenant = Some(&self.view.tenant);
        self.shared.notice(NoticeLevel::Warning, tenant, text);
    }
}
