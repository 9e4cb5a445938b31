//! A folder of its own for each test, kept after it: logs, recordings, pictures.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// The folder of one test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// An empty folder called `name`.
    pub(crate) fn new(name: &str) -> Self {
        let path = artifacts_dir().join("e2e").join(name);
        if path.exists() {
            fs::remove_dir_all(&path).expect("the folder of the last run can be removed");
        }
        fs::create_dir_all(&path).expect("a folder for the test can be made");
        Self(path)
    }

    /// A folder inside, made when it is not there.
    pub(crate) fn inner(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("a folder inside the test's can be made");
        path
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

/// Where artefacts go: what `cargo xtask test` says, else beside our own executable.
fn artifacts_dir() -> PathBuf {
    match std::env::var_os("TIPRING_ARTIFACTS") {
        Some(dir) => dir.into(),
        None => target_dir().join("artifacts"),
    }
}

/// Where cargo built us: `…/target`, from `…/target/debug/deps/it-…`.
pub(crate) fn target_dir() -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    own.ancestors()
        .nth(3)
        .expect("a test lies in target/PROFILE/deps")
        .to_owned()
}
