//! The message log: one file and the one before it, so that a switchboard that runs for months does
//! not fill the disk.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

/// A file that is appended to, of about so many bytes at most.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    limit: u64,
}

impl Log {
    /// Opens a file, behind what it already has.
    pub(crate) async fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = append(path).await?;
        let meta = file.metadata().await?;
        Ok(Self {
            path: path.to_owned(),
            // A pipe or a terminal has no length, and is never full.
            bytes: if meta.is_file() { meta.len() } else { 0 },
            limit: if meta.is_file() { limit } else { u64::MAX },
            file,
        })
    }

    /// Appends `text`, in a new file when this one would become too long.
    pub(crate) async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let more = text.len() as u64;
        if self.bytes > 0 && self.bytes.saturating_add(more) > self.limit {
            fs::rename(&self.path, older(&self.path)).await?;
            self.file = append(&self.path).await?;
            self.bytes = 0;
        }
        self.file.write_all(text).await?;
        self.file.flush().await?;
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }
}

async fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path).await
}

/// `calls.log` before was `calls.log.1`.
fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_never_takes_more_than_twice_its_limit() {
        let dir = std::env::temp_dir().join(format!("tipring-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("messages.log");
        std::fs::write(&path, b"of an earlier run\n").unwrap();
        let mut log = Log::open(&path, 100).await.unwrap();
        let mut told = Vec::new();
        for number in 0..50 {
            log.write(format!("message {number:02}\n").as_bytes())
                .await
                .unwrap();
            let mut names: Vec<_> = std::fs::read_dir(&dir)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            names.sort();
            let bytes: u64 = names.iter().map(|p| p.metadata().unwrap().len()).sum();
            assert!(names.len() <= 2 && bytes <= 200, "{names:?}: {bytes}");
            told = names;
        }
        let text: String = told
            .iter()
            .rev()
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(text.ends_with("message 49\n"), "{text}");
        assert!(text.contains("message 42\n"), "{text}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
