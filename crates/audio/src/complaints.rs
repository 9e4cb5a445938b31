//! What the sound system's library says by itself.

/// Does something with sound devices. What libasound and its plug-ins complain about meanwhile, in this thread, goes
/// to the log and not to stderr, where it would stand between the sentences of a command. That a device cannot be had
/// is said by the error of the call; these lines only tell how the library came to it.
#[cfg(target_os = "linux")]
pub(crate) fn to_the_log<T>(work: impl FnOnce() -> T) -> T {
    // A new buffer each time: the library keeps writing into the last one, and it would grow with the process.
    let Ok(said) = alsa::Output::local_error_handler() else {
        return work();
    };
    let done = work();
    if let Ok(said) = said.try_borrow() {
        said.buffer_string(|text| {
            for line in String::from_utf8_lossy(text).lines() {
                tracing::debug!(line, "ALSA");
            }
        });
    }
    done
}

/// Does something with sound devices. Other systems keep their complaints to themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn to_the_log<T>(work: impl FnOnce() -> T) -> T {
    work()
}
