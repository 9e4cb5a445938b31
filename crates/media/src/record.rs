//! Recording, and everything else that must not happen on the pump: the thread "media-aside".
//!
//! ```text
//!  pump ──samples──► ring ──► Aside ──► WAV or Ogg Opus file, as its name ends
//!  pump ──what is used up──► ring ──► Aside drops it
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hound::{SampleFormat, WavSpec, WavWriter};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::FRAME_SAMPLES;
use crate::handle::MediaError;
use crate::ogg::OggOpus;
use crate::pump::Trash;
use crate::resample::{FromDevice, ToDevice};
use crate::stream::FRAME_MOST;

/// How much a writer may lag behind: the disk is busy, the machine swaps.
const RING_S: usize = 5;

/// How often files are written while something records.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// How often what is in memory goes to the file and its header is brought up to date, so that a crash leaves all but the
/// last second.
const HEADER_EVERY: Duration = Duration::from_millis(500);

/// The pump's end of a recording.
pub(crate) struct Recorder {
    ring: Producer<i16>,
    rate_hz: u32,
    /// What is heard, …
    theirs: Track,
    /// … and what is said, where that is recorded too.
    ours: Track,
}

/// One voice of a recording. For the case that the codec changes in the middle: the file keeps its rate.
#[derive(Default)]
struct Track {
    up: ToDevice,
    down: FromDevice,
}

impl Track {
    /// Brings 10 ms to the rate of the file, the length of `out`.
    fn bring(&mut self, samples: &[i16], rate_hz: u32, file_hz: u32, out: &mut [i16]) {
        if samples.is_empty() {
            out.fill(0);
            return;
        }
        if rate_hz == file_hz && samples.len() == out.len() {
            out.copy_from_slice(samples);
            return;
        }
        let mut frame = [0.0; FRAME_SAMPLES];
        self.up.process(samples, rate_hz, &mut frame);
        self.down.process(&frame, file_hz, out);
    }
}

impl Recorder {
    /// Takes 10 ms; answers how many samples the ring had no room for.
    pub(crate) fn write(&mut self, samples: &[i16], rate_hz: u32) -> usize {
        if rate_hz == self.rate_hz {
            return self.push(samples);
        }
        let mut converted = [0; FRAME_MOST];
        let converted = &mut converted[..self.frame()];
        self.theirs.bring(samples, rate_hz, self.rate_hz, converted);
        self.push(converted)
    }

    /// Takes 10 ms of both sides, each with its rate: the first is left, the second right. Answers how many samples the
    /// ring had no room for; it takes all of them or none, or left would become right.
    pub(crate) fn write_both(&mut self, ours: (&[i16], u32), theirs: (&[i16], u32)) -> usize {
        let length = self.frame();
        let (mut left, mut right) = ([0; FRAME_MOST], [0; FRAME_MOST]);
        let (left, right) = (&mut left[..length], &mut right[..length]);
        self.ours.bring(ours.0, ours.1, self.rate_hz, left);
        self.theirs.bring(theirs.0, theirs.1, self.rate_hz, right);
        let mut both = [0; 2 * FRAME_MOST];
        for (pair, (left, right)) in both.chunks_exact_mut(2).zip(left.iter().zip(right)) {
            pair.copy_from_slice(&[*left, *right]);
        }
        let both = both.get(..2 * length).unwrap_or_default();
        match self.ring.push_entire_slice(both) {
            Ok(()) => 0,
            Err(_) => both.len(),
        }
    }

    /// Whether nobody writes it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// Samples of 10 ms at the rate of the file.
    fn frame(&self) -> usize {
        ((self.rate_hz / 100) as usize).min(FRAME_MOST)
    }

    fn push(&mut self, samples: &[i16]) -> usize {
        let (_, rest) = self.ring.push_partial_slice(samples);
        rest.len()
    }
}

/// The most bytes of samples that a WAV file can have: what follows its first eight bytes is counted in 32 bits.
const MOST_BYTES: u32 = u32::MAX - (SAMPLES_AT as u32 - 8);

/// Further files of one recording: more than a year of it.
const MOST_FILES: u32 = 1_000;

/// A file of either kind.
enum Writer {
    Wav(WavWriter<BufWriter<File>>),
    Opus(Box<OggOpus<File>>),
}

impl Writer {
    fn new(file: File, path: &Path, spec: WavSpec) -> Result<Self, hound::Error> {
        let ends = path.extension().and_then(|end| end.to_str());
        if !ends.is_some_and(|end| end.eq_ignore_ascii_case(OPUS)) {
            return WavWriter::new(BufWriter::new(file), spec).map(Self::Wav);
        }
        let opus = OggOpus::new(file, spec.sample_rate, spec.channels, std::process::id())?;
        Ok(Self::Opus(Box::new(opus)))
    }

    fn finalize(self) -> Result<(), hound::Error> {
        match self {
            Self::Wav(wav) => wav.finalize(),
            Self::Opus(opus) => Ok(opus.finish()?),
        }
    }
}

/// How the names of Ogg Opus files end (RFC 7845 §9).
const OPUS: &str = "opus";

/// The file's end of a recording. A WAV file that can get no longer is followed by another, named after the first.
pub(crate) struct Writing {
    ring: Consumer<i16>,
    writer: Option<Writer>,
    /// Of the file that is written now.
    path: PathBuf,
    /// Of the first.
    first: PathBuf,
    /// Samples of all channels that a file may have, whole frames of them.
    most: u32,
    /// Samples of all channels between two times that the header is brought up to date.
    header_every: usize,
    since_header: usize,
    trouble: Trouble,
}

/// Why a recording ended early, once it has.
pub(crate) type Trouble = Arc<OnceLock<String>>;

/// Creates the file, of one or two channels, and the ring to it.
pub(crate) fn record(
    path: &Path,
    rate_hz: u32,
    channels: u16,
) -> Result<(Recorder, Writing), MediaError> {
    let spec = WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let created = private().create(true).truncate(true).open(path);
    let created = created.map_err(hound::Error::IoError);
    let writer = created.and_then(|file| Writer::new(file, path, spec));
    let writer = writer.map_err(|error| MediaError::Record {
        path: path.to_owned(),
        reason: words(&error),
    })?;
    let a_second = rate_hz as usize * usize::from(channels);
    let (producer, consumer) = RingBuffer::new(a_second * RING_S);
    Ok((
        Recorder {
            ring: producer,
            rate_hz,
            theirs: Track::default(),
            ours: Track::default(),
        },
        Writing {
            ring: consumer,
            writer: Some(writer),
            path: path.to_owned(),
            first: path.to_owned(),
            most: whole_frames(MOST_BYTES, 2 * u32::from(channels)) / 2,
            header_every: a_second * HEADER_EVERY.as_millis() as usize / 1_000,
            since_header: 0,
            trouble: Trouble::default(),
        },
    ))
}

/// How a file is made: for its owner alone, so that others hear nothing of what was said.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

impl Writing {
    /// Where it is told that the recording ended early.
    pub(crate) fn trouble(&self) -> Trouble {
        Arc::clone(&self.trouble)
    }

    fn give_up(&mut self, error: &hound::Error) {
        tracing::error!(%error, path = %self.path.display(), "recording ended: the file cannot be written");
        // What is there is worth having, and saying how long it is takes no room.
        let completed = match self.writer.take() {
            Some(Writer::Opus(opus)) => opus.give_up(),
            _ => complete(&self.path),
        };
        if let Err(error) = completed {
            tracing::error!(%error, path = %self.path.display(), "its header cannot be written");
        }
        let _ = self.trouble.set(words(error));
    }

    /// Writes what waits; false when the recording is over and the file complete.
    fn write(&mut self) -> bool {
        // Asked before the ring is emptied: what comes in between is then written at the next turn.
        let over = self.ring.is_abandoned();
        if let Err(error) = self.drain() {
            self.give_up(&error);
        }
        if over
            && let Some(writer) = self.writer.take()
            && let Err(error) = writer.finalize()
        {
            self.give_up(&error);
        }
        !over && self.writer.is_some()
    }

    fn drain(&mut self) -> Result<(), hound::Error> {
        let waiting = self.ring.slots();
        let (Ok(chunk), Some(writer)) = (self.ring.read_chunk(waiting), &mut self.writer) else {
            return Ok(());
        };
        let (first, second) = chunk.as_slices();
        let samples = first.iter().chain(second);
        let writer = match writer {
            Writer::Wav(wav) => wav,
            Writer::Opus(opus) => {
                opus.write(samples.copied())?;
                chunk.commit_all();
                return Ok(());
            }
        };
        for sample in samples {
            if writer.len() >= self.most {
                let (path, next) = follow(&self.first, writer.spec())?;
                tracing::info!(path = %path.display(), "the recording goes on in another file");
                self.path = path;
                std::mem::replace(writer, next).finalize()?;
            }
            writer.write_sample(*sample)?;
        }
        chunk.commit_all();
        self.since_header += waiting;
        if self.since_header >= self.header_every {
            self.since_header = 0;
            writer.flush()?;
        }
        Ok(())
    }
}

/// Creates the file that follows `first` and those that followed it: `name-2.wav`. What is there is left alone.
fn follow(
    first: &Path,
    spec: WavSpec,
) -> Result<(PathBuf, WavWriter<BufWriter<File>>), hound::Error> {
    let stem = first.file_stem().unwrap_or_default();
    for number in 2..=MOST_FILES {
        let mut name = stem.to_owned();
        name.push(format!("-{number}"));
        if let Some(extension) = first.extension() {
            name.push(".");
            name.push(extension);
        }
        let path = first.with_file_name(name);
        match private().create_new(true).open(&path) {
            Ok(file) => return Ok((path, WavWriter::new(BufWriter::new(file), spec)?)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
}

/// So many bytes or a little less, that no frame is cut.
fn whole_frames(bytes: u32, frame: u32) -> u32 {
    bytes / frame.max(1) * frame.max(1)
}

/// Where the header tells how many bytes a frame has.
const FRAME_AT: u64 = 32;
/// Where the header tells the length of the samples, of what kind each sample is.
const LENGTH_AT: u64 = 40;
/// Where the samples begin.
const SAMPLES_AT: u64 = 44;

/// Writes into the header of a file that was cut short how long it is.
fn complete(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let samples = file.metadata()?.len().saturating_sub(SAMPLES_AT);
    let samples = u32::try_from(samples).unwrap_or(MOST_BYTES).min(MOST_BYTES);
    let mut frame = [0; 2];
    file.seek(SeekFrom::Start(FRAME_AT))?;
    file.read_exact(&mut frame)?;
    let samples = whole_frames(samples, u16::from_le_bytes(frame).into());
    let mut name = [0; 4];
    file.seek(SeekFrom::Start(LENGTH_AT - 4))?;
    file.read_exact(&mut name)?;
    if name != *b"data" {
        return Err(io::ErrorKind::InvalidData.into());
    }
    file.write_all(&samples.to_le_bytes())?;
    file.seek(SeekFrom::Start(4))?;
    file.write_all(&(samples + (SAMPLES_AT as u32 - 8)).to_le_bytes())?;
    file.flush()
}

/// Without the system's number.
fn words(error: &hound::Error) -> String {
    match error {
        hound::Error::IoError(error) if error.kind() == io::ErrorKind::StorageFull => {
            "the disk is full".to_owned()
        }
        hound::Error::IoError(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "permission is missing".to_owned()
        }
        other => {
            let text = other.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}

/// What the pump's helper thread works on. Only tests that run without threads meet it.
pub struct Aside {
    pub(crate) trash: Consumer<Trash>,
    pub(crate) arriving: Arc<Mutex<Vec<Writing>>>,
    pub(crate) writings: Vec<Writing>,
}

impl Aside {
    /// Frees what the pump is done with and writes what is recorded; false when the pump is gone and all
    /// is written.
    pub fn run_once(&mut self) -> bool {
        let over = self.trash.is_abandoned();
        while self.trash.pop().is_ok() {}
        let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        self.writings.append(&mut arriving);
        drop(arriving);
        self.writings.retain_mut(Writing::write);
        !over || !self.writings.is_empty()
    }

    /// The thread's loop.
    pub(crate) fn run(mut self) {
        while self.run_once() {
            if self.writings.is_empty() {
                std::thread::park();
            } else {
                std::thread::park_timeout(WRITE_EVERY);
            }
        }
    }
}

impl std::fmt::Debug for Aside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aside")
            .field("writings", &self.writings.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("tipring-{}-{name}", std::process::id()))
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_hears_what_was_recorded() {
        use std::os::unix::fs::PermissionsExt;
        let path = scratch("private.wav");
        let (recorder, writing) = record(&path, 8_000, 2).expect("there is room");
        let Some(Writer::Wav(writer)) = &writing.writer else {
            panic!("it is another kind of file");
        };
        let spec = writer.spec();
        // It goes on in another file where the first is full.
        let (next, further) = follow(&path, spec).expect("there is room");
        drop((recorder, writing, further));
        for file in [path, next] {
            let made = std::fs::metadata(&file).expect("it is there");
            assert_eq!(made.permissions().mode() & 0o777, 0o600);
            std::fs::remove_file(&file).expect("it is ours");
        }
    }

    #[test]
    fn a_file_that_was_cut_short_can_be_played() {
        let path = scratch("short.wav");
        let (mut recorder, mut writing) = record(&path, 8_000, 1).expect("there is room");
        recorder.write(&[7; 80], 8_000);
        assert!(writing.write());
        if let Some(Writer::Wav(writer)) = &mut writing.writer {
            writer.flush().expect("there is room");
        }
        // The disk took half a sample more, and the header says nothing of any.
        let mut bytes = std::fs::read(&path).expect("it was written");
        bytes[LENGTH_AT as usize..SAMPLES_AT as usize].fill(0);
        bytes.push(1);
        std::fs::write(&path, bytes).expect("there is room");
        complete(&path).expect("it is a recording");
        let reader = hound::WavReader::open(&path).expect("it is sound");
        let samples: Vec<i16> = reader.into_samples().flatten().collect();
        assert_eq!(samples, [7; 80]);
        std::fs::remove_file(&path).expect("it is ours");
    }

    #[test]
    fn a_crash_leaves_all_but_the_last_second_of_both_sides() {
        let path = scratch("crash.wav");
        let (mut recorder, mut writing) = record(&path, 16_000, 2).expect("there is room");
        // 4.9 s, written every 100 ms as the thread does.
        for step in 0..490i16 {
            recorder.write_both((&[step; 160], 16_000), (&[-step; 160], 16_000));
            if step % 10 == 9 {
                assert!(writing.write());
            }
        }
        // The process is gone: nobody completes anything.
        std::mem::forget(writing);
        let reader = hound::WavReader::open(&path).expect("it is sound");
        assert_eq!(reader.spec().channels, 2);
        let samples: Vec<i16> = reader.into_samples().flatten().collect();
        let left: Vec<i16> = samples.iter().copied().step_by(2).collect();
        let right: Vec<i16> = samples.iter().copied().skip(1).step_by(2).collect();
        assert!(left.len() >= 39 * 1_600, "{} samples", left.len());
        for (n, (left, right)) in left.iter().zip(&right).enumerate() {
            assert_eq!((*left, *right), ((n / 160) as i16, -((n / 160) as i16)));
        }
        std::fs::remove_file(&path).expect("it is ours");
    }

    /// The lengths in a WAV file have 32 bits (Multimedia Programming Interface 1.0, RIFF chunks).
    #[test]
    fn a_recording_longer_than_a_file_can_be_goes_on_in_the_next() {
        let path = scratch("long.wav");
        let [second, third, fourth] = [2, 3, 4].map(|n| scratch(&format!("long-{n}.wav")));
        let _ = std::fs::remove_file(&fourth);
        // Somebody's file is in the way.
        std::fs::write(&second, b"not ours").expect("there is room");
        let (mut recorder, mut writing) = record(&path, 8_000, 2).expect("there is room");
        assert_eq!(writing.most % 2, 0);
        assert!(u64::from(writing.most) * 2 + SAMPLES_AT - 8 <= u64::from(u32::MAX));
        writing.most = 400;
        for step in 0..6i16 {
            recorder.write_both((&[step; 80], 8_000), (&[-step; 80], 8_000));
            assert!(writing.write());
        }
        let trouble = writing.trouble();
        drop(recorder);
        assert!(!writing.write());
        assert_eq!(trouble.get(), None);
        let read = |path: &Path| -> Vec<i16> {
            let reader = hound::WavReader::open(path).expect("it is sound");
            assert_eq!(reader.spec().channels, 2);
            reader.into_samples().flatten().collect()
        };
        let parts = [&path, &third, &fourth].map(|path| read(path));
        assert_eq!(parts.each_ref().map(Vec::len), [400, 400, 160]);
        for (n, pair) in parts.concat().chunks_exact(2).enumerate() {
            let step = (n / 80) as i16;
            assert_eq!(pair, [step, -step]);
        }
        assert_eq!(std::fs::read(&second).expect("it is there"), b"not ours");
        for path in [path, second, third, fourth] {
            std::fs::remove_file(path).expect("it is ours");
        }
    }

    #[test]
    fn a_file_past_what_its_header_can_say_is_completed_to_a_whole_frame() {
        let path = scratch("huge.wav");
        let (recorder, mut writing) = record(&path, 8_000, 2).expect("there is room");
        drop(recorder);
        assert!(!writing.write());
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("it is ours");
        // A hole in the file, which takes no room.
        file.set_len(u64::from(u32::MAX) + 1_000)
            .expect("there is room");
        complete(&path).expect("it is a recording");
        let mut header = [0; SAMPLES_AT as usize];
        let mut file = File::open(&path).expect("it is ours");
        file.read_exact(&mut header).expect("it is a recording");
        let length = |at: usize| {
            let bytes: [u8; 4] = header[at..at + 4].try_into().expect("four");
            u32::from_le_bytes(bytes)
        };
        assert_eq!(length(LENGTH_AT as usize) % 4, 0);
        assert_eq!(length(4), length(LENGTH_AT as usize) + 36);
        std::fs::remove_file(&path).expect("it is ours");
    }

    #[test]
    fn the_end_of_its_name_says_what_kind_of_file_a_recording_is() {
        for (name, begins) in [
            ("kind.opus", &b"OggS"[..]),
            ("kind.OPUS", b"OggS"),
            ("kind.wav", b"RIFF"),
            ("kind", b"RIFF"),
        ] {
            let path = scratch(name);
            let (mut recorder, mut writing) = record(&path, 16_000, 2).expect("there is room");
            for _ in 0..300 {
                recorder.write_both((&[700; 160], 16_000), (&[-7; 160], 16_000));
                assert!(writing.write());
            }
            // The process is gone: nobody completes anything.
            std::mem::forget(writing);
            let bytes = std::fs::read(&path).expect("it was written");
            assert!(bytes.starts_with(begins), "{name}");
            std::fs::remove_file(&path).expect("it is ours");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_ends_the_recording_and_is_told() {
        let (mut recorder, mut writing) =
            record(Path::new("/dev/full"), 8_000, 1).expect("it is opened");
        let trouble = writing.trouble();
        // More than waits in memory.
        for _ in 0..100 {
            recorder.write(&[7; 80], 8_000);
        }
        assert!(!writing.write());
        assert_eq!(trouble.get().map(String::as_str), Some("the disk is full"));
    }
}
