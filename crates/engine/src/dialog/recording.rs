//! Recording both sides of a call, and saying so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use media::{ConsentTone, Recording};
use model::NoticeLevel;

use ractor::ActorRef;

use super::media_leg::MediaLeg;
use super::{DialogMsg, DialogState};

/// A recording whose file is being made.
pub(super) struct Beginning {
    file: PathBuf,
    /// Whether the user wants it still. One that is not is ended once it has begun: another one beside it would be taken
    /// for it.
    wanted: bool,
}

impl DialogState {
    /// The user wants the call recorded, or no longer.
    pub(super) fn on_record(&mut self, myself: &ActorRef<DialogMsg>, on: bool) {
        if let Some(begins) = &mut self.recording_begins {
            begins.wanted = on;
            return;
        }
        if on == self.view.details.recording.is_some() {
            return;
        }
        if !on {
            let file = self.view.details.recording.take().unwrap_or_default();
            self.end_recording();
            self.note("media", format!("the recording is complete: {file}"));
            return self.publish();
        }
        let Some(folder) = self.shared.recordings.clone() else {
            return self.not_recorded("there is no folder for recordings");
        };
        // Names of people do not stand in names of files.
        let time = crate::wall().to_string().replace(':', ".");
        let day_and_second = time.split('.').take(3).collect::<Vec<_>>().join(".");
        let kind = if self.settings.recording_opus {
            "opus"
        } else {
            "wav"
        };
        let name = format!("{day_and_second}Z call {}.{kind}", self.view.id);
        self.begin_recording(myself, folder.join(name));
    }

    /// Records from the first sound on, where every call is to be.
    pub(super) fn record_from_the_start(&mut self, myself: &ActorRef<DialogMsg>) {
        if let Some(file) = &self.shared.record_calls {
            let file = crate::shared::file_of(file, self.view.id);
            self.begin_recording(myself, file);
        }
    }

    /// The file is made elsewhere, for a disk may be slow.
    fn begin_recording(&mut self, myself: &ActorRef<DialogMsg>, file: PathBuf) {
        let Some(stream) = self.media.as_ref().and_then(MediaLeg::stream) else {
            return self.not_recorded("nothing is heard yet");
        };
        let tone = match self.settings.recording_tone_s {
            None => ConsentTone::Off,
            Some(0) => ConsentTone::AtStart,
            Some(seconds) => ConsentTone::Every(Duration::from_secs(seconds.into())),
        };
        self.recording_begins = Some(Beginning {
            file: file.clone(),
            wanted: true,
        });
        let myself = myself.clone();
        tokio::task::spawn_blocking(move || {
            let recording = Recording {
                path: file.clone(),
                tone,
            };
            let begun = make_room(&file)
                .and_then(|()| stream.record(Some(&recording)).map_err(|e| e.to_string()));
            let _ = myself.cast(DialogMsg::RecordingBegun(file, begun));
        });
    }

    pub(super) fn on_recording_begun(&mut self, file: &Path, begun: Result<(), String>) {
        // The call may have ended meanwhile, or have another stream.
        let begins = self.recording_begins.take_if(|begins| begins.file == file);
        let Some(Beginning { wanted, .. }) = begins else {
            return;
        };
        match begun {
            Err(reason) if wanted => return self.not_recorded(&reason),
            Err(_) => return,
            Ok(()) if !wanted => return self.end_recording(),
            Ok(()) => {}
        }
        let file = file.display().to_string();
        self.note("media", format!("the call is recorded: {file}"));
        self.view.details.recording = Some(file);
        self.publish();
    }

    /// The call ends, and whoever counts on its recording hears that there is none.
    pub(super) fn no_recording_begins(&mut self) {
        let begins = self.recording_begins.take();
        if begins.is_some_and(|begins| begins.wanted) {
            self.not_recorded("the call ended before the file was made");
        }
    }

    fn end_recording(&mut self) {
        let stream = self.media.as_ref().and_then(MediaLeg::stream);
        if let Some(Err(error)) = stream.map(|stream| stream.record(None)) {
            tracing::warn!(%error, "the recording goes on until the call ends");
        }
    }

    fn not_recorded(&mut self, reason: &str) {
        let text = format!("Call {} is not recorded: {reason}.", self.view.id);
        self.note("media", text.clone());
        let tenant = Some(&self.view.tenant);
        self.shared.notice(NoticeLevel::Warning, tenant, text);
    }

    /// The call goes on, and whoever counts on its recording hears of it now. What is heard may be recorded beside both
    /// sides: the end of the one is not that of the other.
    pub(super) fn on_recording_ended(&mut self, file: &Path, reason: &str) {
        let text = format!(
            "The recording of call {} into {} ended early: {reason}. What was recorded until then can be played.",
            self.view.id,
            file.display()
        );
        self.note("media", text.clone());
        self.shared
            .notice(NoticeLevel::Warning, Some(&self.view.tenant), text);
        let recording = &mut self.view.details.recording;
        if recording.take_if(|both| Path::new(both) == file).is_some() {
            self.publish();
        }
    }
}

/// Makes the folder of a file, for its owner alone: what is said in calls is nobody else's business.
fn make_room(file: &Path) -> Result<(), String> {
    let folder = file.parent().map(PathBuf::from).unwrap_or_default();
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    settings::private_dir(&folder)
        .map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_looks_into_the_folder_of_the_recordings() {
        let home = std::env::temp_dir().join(format!("tipring-recordings-{}", std::process::id()));
        let file = home.join("recordings/call.wav");
        make_room(&file).expect("it can be made");
        for folder in file.ancestors().skip(1).take(2) {
            let made = std::fs::metadata(folder).expect("it is there");
            assert_eq!(
                made.permissions().mode() & 0o777,
                0o700,
                "{}",
                folder.display()
            );
        }
        std::fs::remove_dir_all(home).expect("it can be removed");
    }
}
