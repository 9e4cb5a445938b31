//! Where clients come in: one listening end for each program, private to its owner.
//!
//! A lock on a file beside the socket says whether a program is there. It goes with the process however
//! that ends, so a socket whose lock is free is a left-over and is replaced.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Longer paths do not fit `sockaddr_un` (108 bytes with its end); the margin is for the staging folder.
pub(crate) const PATH_BYTES: usize = 90;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another Tipring with the same folder is there: ask it.
    #[error("Tipring is already running")]
    AlreadyRunning,
    /// The path does not fit into a socket address.
    #[error("the path of the control socket may have {PATH_BYTES} characters; --control takes a shorter one: {}", .0.display())]
    PathTooLong(PathBuf),
    /// The system refused.
    #[error("the control socket {} could not be opened: {source}", .path.display())]
    Io {
        /// What it said.
        source: io::Error,
        /// The socket.
        path: PathBuf,
    },
}

/// Holds the place of the one program; the file stays, the lock goes with the process.
#[derive(Debug)]
pub struct Place {
    _lock: File,
}

impl Place {
    /// Takes the place at a socket without opening it, for a program that is asked by another way.
    ///
    /// # Errors
    /// [`BindError::AlreadyRunning`] when another program holds it.
    pub fn take(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Io {
            source,
            path: path.to_owned(),
        };
        if let Some(dir) = path
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty() && !dir.is_dir())
        {
            private_dir(dir, true).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(lock_file(path)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(BindError::AlreadyRunning),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn lock_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn private_dir(dir: &Path, recursive: bool) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(unix)]
pub(crate) use unix::{Door, connect};

#[cfg(not(unix))]
pub(crate) use loopback::{Door, connect};

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

    use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    /// A listening Unix socket.
    pub(crate) struct Door {
        listener: UnixListener,
        path: PathBuf,
        /// Our user, who alone may come in.
        owner: u32,
        _place: Place,
    }

    impl Door {
        pub(crate) fn open(path: &Path) -> Result<Self, BindError> {
            let failed = |source| BindError::Io {
                source,
                path: path.to_owned(),
            };
            if path.as_os_str().len() > PATH_BYTES {
                return Err(BindError::PathTooLong(path.to_owned()));
            }
            // A socket that was left behind is replaced; anything else is somebody's.
            if is_something_else(path) {
                let what = "there is something else of that name, and no socket";
                return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, what)));
            }
            let place = Place::take(path)?;
            // Bound in a folder nobody else can enter, closed to others, then moved to its name: at no
            // moment is there a socket that another user could connect to.
            let staging = path.with_file_name(format!(".{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&staging);
            private_dir(&staging, false).map_err(failed)?;
            let inside = staging.join("s");
            let listener = UnixListener::bind(&inside).and_then(|listener| {
                std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o600))?;
                std::fs::rename(&inside, path)?;
                Ok(listener)
            });
            let _ = std::fs::remove_dir_all(&staging);
            let listener = listener.map_err(failed)?;
            let owner = std::fs::metadata(path).map_err(failed)?.uid();
            Ok(Self {
                listener,
                path: path.to_owned(),
                owner,
                _place: place,
            })
        }

        pub(crate) async fn accept(&self) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream.peer_cred()?.uid();
            if peer != self.owner && peer != 0 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(stream.into_split())
        }
    }

    impl Drop for Door {
        fn drop(&mut self) {
            if !is_something_else(&self.path) {
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }

    fn is_something_else(path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket())
    }

    pub(crate) async fn connect(path: &Path) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
        Ok(UnixStream::connect(path).await?.into_split())
    }
}

/// Where there are no Unix sockets: a port of the loopback interface, and a file for its owner alone
/// that says which port and holds a token. The token is the first line a client sends. Built for the
/// tests everywhere, so that it does not rot.
#[cfg(any(not(unix), test))]
mod loopback {
    use std::io::Write;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A listening loopback port.
    pub(crate) struct Door {
        listener: TcpListener,
        token: String,
        path: PathBuf,
        _place: Place,
    }

    impl Door {
        pub(crate) fn open(path: &Path) -> Result<Self, BindError> {
            let failed = |source| BindError::Io {
                source,
                path: path.to_owned(),
            };
            let place = Place::take(path)?;
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            let port = listener.local_addr().map_err(failed)?.port();
            let token = token().map_err(failed)?;
            write_private(path, &format!("{port} {token}\n")).map_err(failed)?;
            Ok(Self {
                listener: TcpListener::from_std(listener).map_err(failed)?,
                token,
                path: path.to_owned(),
                _place: place,
            })
        }

        pub(crate) async fn accept(&self) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
            let (mut stream, _) = self.listener.accept().await?;
            let mut said = vec![0; self.token.len() + 1];
            // Other users can reach the port: whoever has no token gets no time and no word.
            tokio::time::timeout(TOKEN_TIME, stream.read_exact(&mut said)).await??;
            let expected = format!("{}\n", self.token);
            let differs = said
                .iter()
                .zip(expected.bytes())
                .fold(0, |differs, (a, b)| differs | (*a ^ b));
            if differs != 0 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(stream.into_split())
        }
    }

    impl Drop for Door {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    pub(crate) async fn connect(path: &Path) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
        let text = std::fs::read_to_string(path)?;
        let (port, token) = text
            .trim()
            .split_once(' ')
            .ok_or(io::ErrorKind::InvalidData)?;
        let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(format!("{token}\n").as_bytes()).await?;
        Ok(stream.into_split())
    }

    fn token() -> io::Result<String> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn write_private(path: &Path, text: &str) -> io::Result<()> {
        let _ = std::fs::remove_file(path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(text.as_bytes())
    }

    const TOKEN_TIME: Duration = Duration::from_millis(500);

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test]
        async fn the_token_opens_the_door_and_nothing_else_does() {
            let dir = crate::server::tests::scratch("loopback");
            let path = dir.join("control");
            let door = Door::open(&path).unwrap();
            let (accepted, connected) = tokio::join!(door.accept(), connect(&path));
            assert!(accepted.is_ok() && connected.is_ok());

            let text = std::fs::read_to_string(&path).unwrap();
            let (port, token) = text.trim().split_once(' ').unwrap();
            assert_eq!(token.len(), 64);
            std::fs::write(&path, format!("{port} {}\n", "0".repeat(64))).unwrap();
            let (accepted, _) = tokio::join!(door.accept(), connect(&path));
            assert_eq!(
                accepted.unwrap_err().kind(),
                io::ErrorKind::PermissionDenied
            );
            assert!(matches!(Door::open(&path), Err(BindError::AlreadyRunning)));
            drop(door);
            assert!(!path.exists());
        }
    }
}
