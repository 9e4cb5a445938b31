//! Writing a file so that a reader finds the old one or the new one and nothing between.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes beside `path`, forces it to the disk, and moves it over `path`. On an error `path` is as it
/// was. The file is for its owner alone.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    private_dir(dir)?;
    let temp = beside(path);
    let written = write_and_sync(&temp, bytes).and_then(|()| fs::rename(&temp, path));
    if let Err(error) = written {
        // Best effort: a left-over temporary file is overwritten by the next save anyway.
        let _ = fs::remove_file(&temp);
        return Err(error);
    }
    // The rename itself is on disk only when the directory is. Some file systems refuse to open a
    // directory for this; the new file is complete either way.
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
    Ok(())
}

/// Makes a directory with all above it; one that is new is for its owner alone.
///
/// # Errors
/// As the system says.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// What the system says, in words for a person.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        _ => model::system_words(error),
    }
}

/// The first free name `stem.word-N.extension` in the folder of `path`.
pub(crate) fn free_name_beside(path: &Path, word: &str) -> Option<PathBuf> {
    (1..1000)
        .map(|n| numbered(path, word, n))
        .find(|candidate| !candidate.exists())
}

/// `settings.toml` with `broken` and 3 is `settings.broken-3.toml`.
pub(crate) fn numbered(path: &Path, word: &str, n: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.{word}-{n}.{extension}"))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::scratch;

    #[test]
    fn the_new_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let dir = scratch("atomic-replace");
        let path = dir.join("deep/er/file.toml");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = scratch("atomic-mode");
        let path = dir.join("own/file.toml");
        write(&path, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_leaves_the_old_file_untouched() {
        let dir = scratch("atomic-full");
        let path = dir.join("file.toml");
        write(&path, b"precious").unwrap();
        // The kernel's own full disk stands where the temporary file would be.
        std::os::unix::fs::symlink("/dev/full", beside(&path)).unwrap();
        let error = write(&path, b"new").unwrap_err();
        assert_eq!(reason(&error), "the disk is full");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
