//! What the peer hears in place of the microphone: silence or music while we hold it, and files that are played into the call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use media::Source;
use model::NoticeLevel;
use ractor::ActorRef;

use super::media_leg::MediaLeg;
use super::{DialogMsg, DialogState};
use crate::shared::Shared;
use crate::sounds::Sound;

/// Longer music for holding is read again when nobody is held, in samples at 48 kHz: five minutes of it are 58 MB.
const MOST_KEPT: usize = 5 * 60 * media::SAMPLE_RATE_HZ as usize;

/// What is said instead, and what is being read for it.
pub(super) struct Instead {
    myself: ActorRef<DialogMsg>,
    /// The peer is on hold, so nobody here is heard.
    pub(super) on_hold: bool,
    /// The number of what is to be said: what was read for another one counts no more.
    number: u64,
    /// Music for holding that is said or was read before: who is held again need not wait for it.
    kept: Option<(PathBuf, Arc<Sound>)>,
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

    /// Reads a file elsewhere, for codecs of this rate in hertz.
    fn read(&self, shared: &Arc<Shared>, file: PathBuf, rate_hz: Option<u32>) {
        let (myself, number) = (self.myself.clone(), self.number);
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || {
            let sound = shared.sounds.read(&file, rate_hz);
            let _ = myself.cast(DialogMsg::Read(number, file, sound));
        });
    }
}

impl DialogState {
    /// Whom we hold hears nobody here from the moment that it is wanted, and is not heard, whatever the peer makes of the re-INVITE.
    pub(super) fn settle_what_is_said(&mut self) {
        let hold = self.hold_wanted;
        let Some(media) = &mut self.media else { return };
        if std::mem::replace(&mut self.instead.on_hold, hold) == hold {
            return;
        }
        media.set_deaf(hold);
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
            let short = |(_, sound): &(PathBuf, Arc<Sound>)| sound.samples.len() <= MOST_KEPT;
            self.instead.kept = self.instead.kept.take().filter(short);
            return;
        };
        let music = PathBuf::from(music);
        let kept = self.instead.kept.as_ref();
        match kept.filter(|(file, sound)| *file == music && sound.is_for(rate_hz)) {
            Some((_, sound)) => {
                let sound = Arc::clone(sound);
                self.on_read(self.instead.number, &music, Ok(sound));
            }
            None => self.instead.read(&self.shared, music, rate_hz),
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
                self.instead.read(&self.shared, file, rate_hz);
            }
            None => self.say_no_more(),
        }
    }

    pub(super) fn on_read(&mut self, number: u64, file: &Path, sound: Result<Arc<Sound>, String>) {
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
        if on_hold {
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
