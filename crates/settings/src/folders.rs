//! Where the files are.

use std::path::{Path, PathBuf};

/// The folders of one set of files: settings, data, and what lives only while the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    config: PathBuf,
    data: PathBuf,
    runtime: PathBuf,
    standard: bool,
    /// Whether only traces are written.
    traces_only: bool,
}

impl Folders {
    /// Everything under one directory, as `--config DIR` asks.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        let config = dir.into();
        Self {
            data: config.clone(),
            runtime: config.clone(),
            config,
            standard: false,
            traces_only: false,
        }
    }

    /// Where the platform wants them: `~/.config/tipring` and its like. `None` on a system without a
    /// home directory.
    pub fn standard() -> Option<Self> {
        let dirs = directories::ProjectDirs::from("", "", "tipring")?;
        Some(Self {
            config: dirs.config_dir().to_owned(),
            data: dirs.data_local_dir().to_owned(),
            runtime: dirs
                .runtime_dir()
                .unwrap_or_else(|| dirs.data_local_dir())
                .to_owned(),
            standard: true,
            traces_only: false,
        })
    }

    /// The same for a run that only records here. It has an instance id of its own: with that of the
    /// phone that lives here a registrar would take it for that phone, and signing out would sign out
    /// both (RFC 5626 §4.1).
    #[must_use]
    pub fn for_traces_only(mut self) -> Self {
        self.traces_only = true;
        self
    }

    /// The folder that holds `settings.toml`, for [`crate::Settings::load`].
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The encrypted vault, used where there is no keystore.
    pub fn vault_file(&self) -> PathBuf {
        self.data.join("secrets.vault")
    }

    /// The database of the call history.
    pub fn history_file(&self) -> PathBuf {
        self.data.join("history.sqlite")
    }

    /// The folder of the flight recorder.
    pub fn trace_dir(&self) -> PathBuf {
        self.data.join("trace")
    }

    /// The folder for calls that are recorded.
    pub fn recordings_dir(&self) -> PathBuf {
        self.data.join("recordings")
    }

    /// The private socket for scripts and for finding a running program.
    pub fn control_socket(&self) -> PathBuf {
        self.runtime.join("control.sock")
    }

    /// Names this installation towards registrars (RFC 5626 §4.1): what an earlier run kept, else
    /// `fresh`, which is kept for the next one. Where nothing can be written it is `fresh` each time.
    pub fn instance_id(&self, fresh: impl FnOnce() -> String) -> String {
        if self.traces_only {
            return fresh();
        }
        let path = self.data.join("instance");
        if let Ok(text) = std::fs::read_to_string(&path) {
            let text = text.trim();
            if text.starts_with("urn:uuid:") && text.len() == "urn:uuid:".len() + 36 {
                return text.to_owned();
            }
        }
        let id = fresh();
        // A registrar that does not recognise us only keeps an old binding until it ends.
        let _ = crate::atomic::write(&path, format!("{id}\n").as_bytes());
        id
    }

    /// The name under which the keystore files our entries. Two folders never share an entry, so a
    /// trial in a folder of its own cannot overwrite the password of daily use.
    pub fn keystore_service(&self) -> String {
        if self.standard {
            "tipring".to_owned()
        } else {
            let dir = std::path::absolute(&self.config).unwrap_or_else(|_| self.config.clone());
            format!("tipring ({})", dir.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_holds_everything_when_asked() {
        let folders = Folders::at("/somewhere/else");
        for path in [
            folders.config().to_owned(),
            folders.vault_file(),
            folders.history_file(),
            folders.trace_dir(),
            folders.recordings_dir(),
            folders.control_socket(),
        ] {
            assert!(path.starts_with("/somewhere/else"), "{}", path.display());
        }
    }

    #[test]
    fn a_run_that_only_records_is_another_phone() {
        let dir = crate::config::scratch("traces-only");
        let id = |digit: &str| format!("urn:uuid:{}", digit.repeat(36));
        let folders = Folders::at(&*dir);
        assert_eq!(folders.instance_id(|| id("1")), id("1"));
        assert_eq!(folders.instance_id(|| id("2")), id("1"));
        let recording = folders.clone().for_traces_only();
        assert_eq!(recording.instance_id(|| id("3")), id("3"));
        assert_eq!(recording.trace_dir(), folders.trace_dir());
        assert_eq!(folders.instance_id(|| id("4")), id("1"));
    }

    #[test]
    fn two_folders_have_two_names_in_the_keystore() {
        assert_ne!(
            Folders::at("/a").keystore_service(),
            Folders::at("/b").keystore_service()
        );
        assert_ne!(Folders::at("/a").keystore_service(), "tipring");
    }
}
