//! Tapes: what went into the protocol objects, line by line, beside the segments of a tenant. What is on
//! a line is the affair of who writes it; nothing is read here but for whole files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::TenantId;

use super::tenant_dir;

/// Bytes of a tape; then it is put aside and a new one is begun, and the one put aside before goes.
const MOST: u64 = 16 << 20;
const BUFFER: usize = 64 << 10;
const PRESENT: &str = "tape.jsonl";
const BEFORE: &str = "tape-before.jsonl";

/// Writes the tape of one tenant.
pub struct Tapes {
    dir: PathBuf,
    file: File,
    bytes: u64,
    most: u64,
    buffer: Vec<u8>,
}

impl Tapes {
    /// Opens the tape of a tenant in the folder that its records are in, and goes on where it ends.
    ///
    /// # Errors
    /// When the folder or the file cannot be made.
    pub fn open(dir: &Path, tenant: &TenantId) -> io::Result<Self> {
        Self::open_with(dir, tenant, MOST)
    }

    fn open_with(dir: &Path, tenant: &TenantId, most: u64) -> io::Result<Self> {
        let dir = tenant_dir(dir, tenant);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&dir)?;
        let file = begin(&dir)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            dir,
            file,
            bytes,
            most,
            buffer: Vec::new(),
        })
    }

    /// Adds a line; it is in the file after [`Tapes::flush`] at the latest.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what has gathered, in one piece, so that several programs may write to one tape.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.bytes >= self.most {
            fs::rename(self.dir.join(PRESENT), self.dir.join(BEFORE))?;
            self.file = begin(&self.dir)?;
            self.bytes = 0;
        }
        self.file.write_all(&self.buffer)?;
        self.bytes = self.bytes.saturating_add(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for Tapes {
    fn drop(&mut self) {
        // Who cannot write any more has been told so by the flush before.
        let _ = self.flush();
    }
}

fn begin(dir: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(dir.join(PRESENT))
}

/// The stored tape of a tenant, the part that was put aside first. Empty when there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_tape(dir: &Path, tenant: &TenantId) -> io::Result<String> {
    let dir = tenant_dir(dir, tenant);
    let mut tape = String::new();
    for name in [BEFORE, PRESENT] {
        match fs::read_to_string(dir.join(name)) {
            Ok(text) => tape.push_str(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tape)
}

#[cfg(test)]
mod tests {
    use super::{Tapes, read_tape};
    use model::TenantId;

    #[test]
    fn a_tape_goes_on_where_it_ended_and_the_oldest_part_gives_way() {
        let dir = std::env::temp_dir().join(format!("tipring-tapes-{}", std::process::id()));
        let tenant = TenantId::new("acme");
        for part in ["first", "second", "third"] {
            let mut tapes = Tapes::open_with(&dir, &tenant, 10).unwrap();
            tapes.write(part).unwrap();
            tapes.write(part).unwrap();
        }
        // Two lines are past the limit, so the next ones begin anew.
        let tape = read_tape(&dir, &tenant).unwrap();
        assert_eq!(tape, "second\nsecond\nthird\nthird\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let file = dir.join("t-acme").join(super::PRESENT);
            let mode = std::fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read_tape(&dir, &tenant).unwrap(), "");
    }
}
