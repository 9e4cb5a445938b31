//! Recordings as Ogg Opus files (RFC 3533, RFC 7845).
//!
//! ```text
//!  samples ─► 20 ms each ─► Opus ─► packets ─► a page for each half second ─► file
//! ```
//!
//! A file that is still written, or whose writer is gone, is as good as one that is complete: on each page that
//! is the last for now the end of the stream is marked, and that mark is taken away in the same write that adds the next
//! page. No writer of Ogg that is to be had goes back to a page that it has written, so the pages are made here; there is
//! little to them.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use codecs::{LONGEST_PAYLOAD, RecordingEncoder};

/// Packets of a page: half a second.
const PACKETS: usize = 25;
/// What a packet carries.
const FRAME_MS: u32 = 20;
/// Positions are counted at this rate, whatever the sound's is (RFC 7845 §4).
const POSITIONS_HZ: u32 = 48_000;
const POSITIONS_A_PACKET: u64 = (POSITIONS_HZ / 1_000 * FRAME_MS) as u64;

/// The header of a page before its table of lengths (RFC 3533 §6), and where things are in it.
const HEADER: usize = 27;
const CHECKSUM_AT: usize = 22;
/// Kinds of pages.
const ORDINARY: u8 = 0;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// An Ogg Opus file that is written.
pub(crate) struct OggOpus<W> {
    file: W,
    encoder: RecordingEncoder,
    /// Samples of all channels that make no packet yet.
    frame: Vec<i16>,
    frame_samples: usize,
    /// Packets that make no page yet, and their lengths.
    packets: Vec<u8>,
    lengths: Vec<usize>,
    /// The last page, where it begins in the file, and how many were written.
    page: Vec<u8>,
    page_at: u64,
    pages: u32,
    serial: u32,
    /// Where the next page ends, in positions.
    position: u64,
    /// What a decoder makes at first and nobody is to hear.
    pre_skip: u64,
    /// Positions of sound that came in.
    heard: u64,
}

impl OggOpus<File> {
    /// Leaves the pages that are complete, which takes no more room: the file can get no longer.
    ///
    /// # Errors
    /// Not even that can be written.
    pub(crate) fn give_up(mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.page_at))?;
        self.file.write_all(&self.page)?;
        self.file.set_len(self.page_at + self.page.len() as u64)
    }
}

impl<W: Write + Seek> OggOpus<W> {
    /// Begins a file of one or two channels at one of the rates of our codecs. `serial` tells streams of one file apart,
    /// and there is only one.
    ///
    /// # Errors
    /// It cannot be written, or libopus makes no such encoder.
    pub(crate) fn new(file: W, rate_hz: u32, channels: u16, serial: u32) -> io::Result<Self> {
        let encoder = RecordingEncoder::new(rate_hz, channels).map_err(io::Error::other)?;
        let frame_samples = (rate_hz / 1_000 * FRAME_MS) as usize * usize::from(channels);
        let scale = u64::from(POSITIONS_HZ / rate_hz);
        let pre_skip = u64::from(encoder.lookahead()) * scale;
        let mut new = Self {
            file,
            encoder,
            frame: Vec::with_capacity(frame_samples),
            frame_samples,
            packets: Vec::new(),
            lengths: Vec::new(),
            page: Vec::new(),
            page_at: 0,
            pages: 0,
            serial,
            position: 0,
            pre_skip,
            heard: 0,
        };
        new.head(rate_hz, channels)?;
        Ok(new)
    }

    /// RFC 7845 §5: what it is on a page of its own, and who made it on the next.
    fn head(&mut self, rate_hz: u32, channels: u16) -> io::Result<()> {
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels as u8);
        head.extend((self.pre_skip as u16).to_le_bytes());
        head.extend(rate_hz.to_le_bytes());
        // No gain, and channels in their usual order.
        head.extend([0, 0, 0]);
        let mut tags = b"OpusTags".to_vec();
        let vendor = concat!("Tipring ", env!("CARGO_PKG_VERSION"));
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor.as_bytes());
        tags.extend(0u32.to_le_bytes());
        for (packet, kind) in [(head, FIRST), (tags, ORDINARY)] {
            let page = self.make_page(&packet, &[packet.len()], kind);
            self.file.write_all(&page)?;
            self.page_at += page.len() as u64;
        }
        self.file.flush()
    }

    /// Takes samples of all channels in turn.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&mut self, samples: impl Iterator<Item = i16>) -> io::Result<()> {
        for sample in samples {
            self.frame.push(sample);
            if self.frame.len() == self.frame_samples {
                self.heard += POSITIONS_A_PACKET;
                self.encode()?;
                if self.lengths.len() == PACKETS {
                    self.write_page(self.position)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is left. The file is cut to what was heard (RFC 7845 §4.4).
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let left = self.frame.len() as u64;
        self.heard += left * POSITIONS_A_PACKET / self.frame_samples.max(1) as u64;
        let end = self.pre_skip + self.heard;
        while self.position < end {
            self.frame.resize(self.frame_samples, 0);
            self.encode()?;
            if self.lengths.len() == PACKETS && self.position < end {
                self.write_page(self.position)?;
            }
        }
        self.write_page(end)
    }

    /// Makes a packet of a frame.
    fn encode(&mut self) -> io::Result<()> {
        let before = self.packets.len();
        self.packets.resize(before + LONGEST_PAYLOAD, 0);
        let room = self.packets.get_mut(before..).unwrap_or_default();
        let length = self.encoder.encode(&self.frame, room);
        let length = length.map_err(io::Error::other)?;
        self.packets.truncate(before + length);
        self.lengths.push(length);
        self.frame.clear();
        self.position += POSITIONS_A_PACKET;
        Ok(())
    }

    /// Adds a page that ends at `position` and says that it is the last; the one before does so no longer.
    fn write_page(&mut self, position: u64) -> io::Result<()> {
        if self.lengths.is_empty() {
            return Ok(());
        }
        self.position = position;
        let packets = std::mem::take(&mut self.packets);
        let lengths = std::mem::take(&mut self.lengths);
        let page = self.make_page(&packets, &lengths, LAST);
        let mut bytes = self.page.clone();
        mark(&mut bytes, ORDINARY);
        bytes.extend(&page);
        self.file.seek(SeekFrom::Start(self.page_at))?;
        // At once, so that a crash leaves the one end or the other.
        self.file.write_all(&bytes)?;
        self.file.flush()?;
        self.page_at += self.page.len() as u64;
        self.page = page;
        Ok(())
    }

    fn make_page(&mut self, packets: &[u8], lengths: &[usize], kind: u8) -> Vec<u8> {
        let mut page = b"OggS\x00".to_vec();
        page.push(kind);
        page.extend(self.position.to_le_bytes());
        page.extend(self.serial.to_le_bytes());
        page.extend(self.pages.to_le_bytes());
        page.extend([0; 4]);
        // Each length is as many times 255 as go into it, and the rest.
        let lacing = lengths.iter().flat_map(|length| {
            let full = std::iter::repeat_n(255, length / 255);
            full.chain([(length % 255) as u8])
        });
        let lacing: Vec<u8> = lacing.collect();
        page.push(lacing.len() as u8);
        page.extend(lacing);
        page.extend(packets);
        mark(&mut page, kind);
        self.pages += 1;
        page
    }
}

/// Says what kind of page it is, and brings its checksum up to date.
fn mark(page: &mut [u8], kind: u8) {
    if page.len() < HEADER {
        return;
    }
    page[5] = kind;
    page[CHECKSUM_AT..CHECKSUM_AT + 4].fill(0);
    let sum = checksum(page);
    page[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
}

/// RFC 3533 §6: CRC-32 with the generator 0x04c11db7, from nothing and not turned round.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
            (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// One page of a file, as RFC 3533 §6 has it.
    #[derive(Debug)]
    struct Page {
        kind: u8,
        position: u64,
        serial: u32,
        number: u32,
        packets: Vec<Vec<u8>>,
    }

    fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
        bytes[at..at + N].try_into().expect("so many")
    }

    fn pages(mut bytes: &[u8]) -> Vec<Page> {
        let mut pages = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(&bytes[..5], b"OggS\0");
            let count = usize::from(bytes[26]);
            let lacing = &bytes[HEADER..HEADER + count];
            let length: usize = lacing.iter().map(|part| usize::from(*part)).sum();
            let (page, rest) = bytes.split_at(HEADER + count + length);
            let mut blank = page.to_vec();
            blank[CHECKSUM_AT..CHECKSUM_AT + 4].fill(0);
            let sum = u32::from_le_bytes(number(page, CHECKSUM_AT));
            assert_eq!(checksum(&blank), sum);
            let mut body = &page[HEADER + count..];
            let mut packets = Vec::new();
            for lengths in lacing.split_inclusive(|part| *part < 255) {
                let length = lengths.iter().map(|part| usize::from(*part)).sum();
                packets.push(body[..length].to_vec());
                body = &body[length..];
            }
            pages.push(Page {
                kind: page[5],
                position: u64::from_le_bytes(number(page, 6)),
                serial: u32::from_le_bytes(number(page, 14)),
                number: u32::from_le_bytes(number(page, 18)),
                packets,
            });
            bytes = rest;
        }
        pages
    }

    /// What has to be true of a file at any time: RFC 3533 §4 and §6, RFC 7845 §3 to §5.
    fn check(bytes: &[u8], rate_hz: u32, channels: u16) -> Vec<Page> {
        let pages = pages(bytes);
        for (n, page) in pages.iter().enumerate() {
            assert_eq!((page.serial, page.number), (7, n as u32));
            let last = n > 1 && n == pages.len() - 1;
            let kind = if last { LAST } else { ORDINARY };
            assert_eq!(page.kind, if n == 0 { FIRST } else { kind }, "page {n}");
            // At most a second on a page.
            assert!(page.packets.len() <= 50);
        }
        let [head, tags] = [&pages[0], &pages[1]].map(|page| {
            assert_eq!((page.position, page.packets.len()), (0, 1));
            &page.packets[0]
        });
        assert_eq!((&head[..9], head.len()), (&b"OpusHead\x01"[..], 19));
        assert_eq!(u16::from(head[9]), channels);
        assert_eq!(u32::from_le_bytes(number(head, 12)), rate_hz);
        assert_eq!(head[16..], [0, 0, 0]);
        assert_eq!(&tags[..8], b"OpusTags");
        let mut position = 0;
        for page in &pages[2..] {
            position += page.packets.len() as u64 * 960;
            // Only the last may end within its last packet (§4.4).
            let cut = position - page.position;
            assert!(cut == 0 || page.kind == LAST && cut < 960, "{page:?}");
        }
        pages
    }

    fn pre_skip(page: &Page) -> u64 {
        u16::from_le_bytes(number(&page.packets[0], 10)).into()
    }

    #[test]
    fn a_file_is_complete_whenever_its_writer_is_gone_and_as_long_as_what_was_heard() {
        for (rate_hz, channels) in [
            (8_000, 1),
            (8_000, 2),
            (16_000, 2),
            (48_000, 1),
            (48_000, 2),
        ] {
            let mut file = Cursor::new(Vec::new());
            let mut opus = OggOpus::new(&mut file, rate_hz, channels, 7).expect("there is room");
            let channels_count = usize::from(channels);
            // 3.27 s and three samples, in pieces of 70 ms.
            let samples = (rate_hz as usize * 327 / 100 + 3) * channels_count;
            let said: Vec<i16> = (0..samples).map(|n| (n * 331 % 20_011) as i16).collect();
            for (n, piece) in said
                .chunks(rate_hz as usize * 7 / 100 * channels_count)
                .enumerate()
            {
                opus.write(piece.iter().copied()).expect("there is room");
                let now = opus.file.get_ref().clone();
                let pages = check(&now, rate_hz, channels);
                let written = pages.last().map_or(0, |page| page.position);
                let heard = ((n + 1) * 70 * 48) as u64;
                assert!(
                    heard.saturating_sub(written) < 24_000 + 960,
                    "{heard} {written}"
                );
            }
            opus.finish().expect("there is room");
            let pages = check(file.get_ref(), rate_hz, channels);
            let end = pages.last().map_or(0, |page| page.position);
            let heard = (samples / channels_count) as u64 * u64::from(48_000 / rate_hz);
            let skipped = pre_skip(&pages[0]);
            assert!((1..2_000).contains(&skipped), "{skipped}");
            assert!(
                end.abs_diff(skipped + heard) <= 6,
                "{end} {skipped} {heard}"
            );
        }
    }

    #[test]
    fn a_recording_of_nothing_is_a_file_with_nothing_to_hear() {
        let mut file = Cursor::new(Vec::new());
        let opus = OggOpus::new(&mut file, 8_000, 2, 7).expect("there is room");
        opus.finish().expect("there is room");
        let pages = check(file.get_ref(), 8_000, 2);
        assert_eq!(
            pages.last().map(|page| page.position),
            Some(pre_skip(&pages[0]))
        );
    }

    /// As on a full disk: of the next page a part was written, over the end of the one before.
    #[test]
    fn a_file_that_can_get_no_longer_keeps_its_last_whole_page() {
        let path = std::env::temp_dir().join(format!("tipring-{}-full.opus", std::process::id()));
        let file = File::create(&path).expect("there is room");
        let mut opus = OggOpus::new(file, 8_000, 1, 7).expect("there is room");
        opus.write(std::iter::repeat_n(900, 12_000))
            .expect("there is room");
        let before = std::fs::read(&path).expect("it was written");
        let torn = vec![0xee; 3 * opus.page.len()];
        opus.file
            .seek(SeekFrom::Start(opus.page_at))
            .expect("it is a file");
        opus.file.write_all(&torn).expect("there is room");
        opus.give_up().expect("it is a file");
        let after = std::fs::read(&path).expect("it is there");
        assert_eq!(after, before);
        assert_eq!(check(&after, 8_000, 1).len(), 5);
        std::fs::remove_file(&path).expect("it is ours");
    }

    #[test]
    fn the_checksum_is_that_of_the_catalogues() {
        // CRC-32/CKSUM takes the same steps, and is turned over at its end.
        assert_eq!(checksum(b"123456789"), !0x765e_7680);
    }
}
