//! Handing a trace out for Wireshark and sngrep: pcapng, masked and searched like every export.
//!
//! The messages were recorded above the transport, so the packets around them are made here:
//!
//! ```text
//!   UDP        one IP packet a message (fragmented by nobody, whatever its size)
//!   TCP        a stream of our own between the two addresses, numbered by the octets that are in it
//!   TLS, WS,   one IP packet a message, of UDP as well: what is shown is what was inside, and who sees
//!   WSS        the port of TLS or HTTP on a stream looks for those and finds neither
//! ```
//!
//! A packet that shows what was inside something else says so in its comment. Notes are comments of the
//! message that follows them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::{TraceBody, TraceRecord, Transport};

use crate::export::{Leak, checked};
use crate::redact::{RedactOptions, Redactor};

/// The records as a pcapng file, oldest first.
///
/// # Errors
/// [`Leak`] when the search of the result finds what should be masked.
pub fn pcapng(records: &[TraceRecord], options: &RedactOptions) -> Result<Vec<u8>, Leak> {
    let mut redactor = Redactor::new(records, options.clone());
    let mut file = File::begin();
    let mut comments = Vec::new();
    for record in records {
        let record = checked(redactor.record(record), &redactor)?;
        match &record.body {
            TraceBody::Note { topic, text, .. } => {
                comments.push(format!("{topic}: {}", text.reveal()));
            }
            TraceBody::Sip {
                sent,
                transport,
                local,
                peer,
                bytes,
            } => {
                if is_wrapped(*transport) {
                    comments.push(format!("inside {}", transport.as_str()));
                }
                let ends = (address(local), address(peer));
                let (from, to) = if *sent { ends } else { (ends.1, ends.0) };
                let micros = u64::try_from(record.time.0).unwrap_or(0);
                file.message(micros, *transport, (from, to), bytes, &comments);
                comments.clear();
            }
        }
    }
    Ok(file.bytes)
}

/// Octets of a message in one packet of a stream.
const SEGMENT: usize = 60_000;
/// The longest payload of a UDP datagram over IPv4; what is longer is cut, and says so.
const DATAGRAM: usize = 65_507 - 20;

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
/// Packets begin with their IP header.
const LINKTYPE_RAW: u16 = 101;

struct File {
    bytes: Vec<u8>,
    /// The next sequence number of each direction of a stream.
    streams: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl File {
    fn begin() -> Self {
        let mut file = Self {
            bytes: Vec::new(),
            streams: HashMap::new(),
        };
        let mut section = Vec::new();
        section.extend(0x1A2B_3C4D_u32.to_le_bytes());
        section.extend(1_u16.to_le_bytes());
        section.extend(0_u16.to_le_bytes());
        // The length of the section is not told.
        section.extend(u64::MAX.to_le_bytes());
        option(&mut section, 4, b"Tipring");
        end_of_options(&mut section);
        file.block(SECTION, &section);
        let mut interface = Vec::new();
        interface.extend(LINKTYPE_RAW.to_le_bytes());
        interface.extend(0_u16.to_le_bytes());
        // No limit to what of a packet is kept; times are in microseconds, as they are unless told.
        interface.extend(0_u32.to_le_bytes());
        option(&mut interface, 2, b"sip");
        end_of_options(&mut interface);
        file.block(INTERFACE, &interface);
        file
    }

    fn message(
        &mut self,
        micros: u64,
        transport: Transport,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        comments: &[String],
    ) {
        let (from, to) = one_family(from, to);
        if transport != Transport::Tcp {
            let kept = bytes.get(..DATAGRAM).unwrap_or(bytes);
            let packet = ip(from, to, 17, &udp(from, to, kept));
            return self.packet(micros, &packet, comments);
        }
        for (index, part) in bytes.chunks(SEGMENT).enumerate() {
            let seq = self.next(from, to);
            let ack = self.next(to, from);
            let packet = ip(from, to, 6, &tcp(from, to, seq, ack, part));
            let comments = if index == 0 { comments } else { &[] };
            self.packet(micros, &packet, comments);
            let length = u32::try_from(part.len()).unwrap_or(0);
            self.streams.insert((from, to), seq.wrapping_add(length));
        }
    }

    fn next(&mut self, from: SocketAddr, to: SocketAddr) -> u32 {
        *self.streams.entry((from, to)).or_insert(1)
    }

    fn packet(&mut self, micros: u64, packet: &[u8], comments: &[String]) {
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(packet.len() + 40);
        body.extend(0_u32.to_le_bytes());
        body.extend(((micros >> 32) as u32).to_le_bytes());
        body.extend((micros as u32).to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend_from_slice(packet);
        pad(&mut body);
        for comment in comments {
            option(&mut body, 1, comment.as_bytes());
        }
        if !comments.is_empty() {
            end_of_options(&mut body);
        }
        self.block(PACKET, &body);
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend_from_slice(body);
        self.bytes.extend(length.to_le_bytes());
    }
}

/// An option of a block; one too long for its length is cut.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend(0_u32.to_le_bytes());
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn ip(from: SocketAddr, to: SocketAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(payload.len() + 40);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(payload.len() + 20).unwrap_or(u16::MAX);
            packet.extend([0x45, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum = checksum(&[&packet]);
            packet.splice(10..12, sum.to_be_bytes());
        }
        (from, to) => {
            let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(v6(from));
            packet.extend(v6(to));
        }
    }
    packet.extend_from_slice(payload);
    packet
}

fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
    let mut datagram = Vec::with_capacity(payload.len() + 8);
    datagram.extend(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend_from_slice(payload);
    // RFC 768: nothing means "not computed", so a sum of nothing is written as all ones.
    let sum = match checksum(&[&pseudo(from, to, 17, datagram.len()), &datagram]) {
        0 => u16::MAX,
        sum => sum,
    };
    datagram.splice(6..8, sum.to_be_bytes());
    datagram
}

fn tcp(from: SocketAddr, to: SocketAddr, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(payload.len() + 20);
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    // Five words of header; ACK and PSH; a full window.
    segment.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    let sum = checksum(&[&pseudo(from, to, 6, segment.len()), &segment]);
    segment.splice(16..18, sum.to_be_bytes());
    segment
}

/// What RFC 768, 9293 and 8200 §8.1 put before the sum.
fn pseudo(from: SocketAddr, to: SocketAddr, protocol: u8, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(0).to_be_bytes();
    let mut header = Vec::with_capacity(40);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend(from.octets());
            header.extend(to.octets());
        }
        (from, to) => {
            header.extend(v6(from));
            header.extend(v6(to));
        }
    }
    // Its fields add up to the same in either order and width.
    header.extend(length);
    header.extend([0, 0, 0, protocol]);
    header
}

/// The Internet checksum (RFC 1071).
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let high = pair.first().copied().unwrap_or(0);
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([high, low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The address of a record; what cannot be read is nobody's.
fn address(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))
}

/// A packet has two addresses of one family; nobody's is taken for either.
fn one_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    let nobody = |port| SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port);
    match (from.is_ipv4(), to.is_ipv4()) {
        (true, false) if from.ip().is_unspecified() => (nobody(from.port()), to),
        (false, true) if to.ip().is_unspecified() => (from, nobody(to.port())),
        _ => (from, to),
    }
}

fn is_wrapped(transport: Transport) -> bool {
    !matches!(transport, Transport::Udp | Transport::Tcp)
}

#[cfg(test)]
mod tests {
    use super::{address, checksum, pcapng};
    use crate::redact::RedactOptions;
    use crate::testing::{bodies, message, note, scratch, sip};
    use model::{TraceBody, TraceRecord, Transport};

    /// The blocks of a file: their kinds and bodies.
    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut blocks = Vec::new();
        while !file.is_empty() {
            let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
            let (kind, length) = (word(0), word(4) as usize);
            assert_eq!(length % 4, 0);
            assert_eq!(word(length - 4) as usize, length, "both lengths agree");
            blocks.push((kind, file[8..length - 4].to_vec()));
            file = &file[length..];
        }
        blocks
    }

    fn over(record: TraceRecord, by: Transport, from: &str, at: &str) -> TraceRecord {
        let TraceBody::Sip { sent, bytes, .. } = record.body else {
            panic!("it is a message");
        };
        TraceRecord {
            body: TraceBody::Sip {
                sent,
                transport: by,
                local: from.to_owned(),
                peer: at.to_owned(),
                bytes,
            },
            ..record
        }
    }

    /// One message by each transport and family.
    fn records() -> Vec<TraceRecord> {
        let invite = message("INVITE sip:+4930123456@example.com SIP/2.0", "INVITE", 1);
        let ok = message("SIP/2.0 200 OK", "INVITE", 1);
        vec![
            sip(1, 1_700_000_000_000, true, &invite),
            note(2, 1_700_000_000_005, "transport", "A word about alice."),
            sip(3, 1_700_000_000_010, false, &ok),
            over(
                sip(4, 1_700_000_000_020, true, &invite),
                Transport::Tcp,
                "[2001:db8::1]:40000",
                "[2001:db8::2]:5060",
            ),
            over(
                sip(5, 1_700_000_000_030, false, &ok),
                Transport::Tcp,
                "[2001:db8::1]:40000",
                "[2001:db8::2]:5060",
            ),
            over(
                sip(6, 1_700_000_000_040, true, &invite),
                Transport::Tls,
                "192.0.2.1:40001",
                "192.0.2.2:5061",
            ),
            over(
                sip(7, 1_700_000_000_050, true, &invite),
                Transport::Ws,
                "192.0.2.1:40002",
                "192.0.2.2:80",
            ),
        ]
    }

    #[test]
    fn each_message_is_a_packet_with_its_time_and_sound_sums() {
        let file = pcapng(&records(), &RedactOptions::none()).unwrap();
        let blocks = blocks(&file);
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds[..2], [super::SECTION, super::INTERFACE]);
        assert_eq!(
            kinds.iter().filter(|kind| **kind == super::PACKET).count(),
            6
        );
        let (_, first) = &blocks[2];
        let word = |at: usize| u64::from(u32::from_le_bytes(first[at..at + 4].try_into().unwrap()));
        assert_eq!(word(4) << 32 | word(8), 1_700_000_000_000_000);
        let packet = &first[20..20 + word(12) as usize];
        assert_eq!(packet[0], 0x45);
        assert_eq!(
            checksum(&[&packet[..20]]),
            0,
            "a right header adds up to nothing"
        );
        assert!(packet.ends_with(b"Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn what_leaves_is_masked() {
        let file = pcapng(&records(), &RedactOptions::default()).unwrap();
        let text = String::from_utf8_lossy(&file);
        for secret in ["Liddell", "alice", "+4930123456"] {
            assert!(!text.contains(secret), "{secret}");
        }
        assert!(text.contains("transport: A word"));
    }

    #[test]
    fn addresses_that_cannot_be_read_are_nobodys() {
        assert_eq!(address("nowhere").to_string(), "0.0.0.0:0");
        let odd = over(
            records().remove(0),
            Transport::Udp,
            "nowhere",
            "[2001:db8::1]:5060",
        );
        assert_eq!(
            blocks(&pcapng(&[odd], &RedactOptions::none()).unwrap()).len(),
            3
        );
    }

    /// Wireshark's own reader on what we wrote: what was masked is as long as it says, above all on a stream, where the
    /// next message would be taken for the rest of it.
    #[test]
    fn tshark_reads_every_message_as_sip() {
        let dir = scratch("pcapng");
        let path = dir.join("trace.pcapng");
        let mut records = records();
        for (id, text) in (8..).zip(bodies()) {
            for (half, transport) in [(0, Transport::Udp), (1, Transport::Tcp)] {
                let record = sip(id, 1_700_000_000_040 + half, true, &text);
                let (from, to) = ("192.0.2.1:40003", "192.0.2.2:5060");
                records.push(over(record, transport, from, to));
            }
        }
        std::fs::write(&path, pcapng(&records, &RedactOptions::default()).unwrap()).unwrap();
        let tshark = std::process::Command::new("tshark")
            .arg("-r")
            .arg(&path)
            .args([
                "-o",
                "ip.check_checksum:TRUE",
                "-o",
                "tcp.check_checksum:TRUE",
            ])
            .args(["-o", "udp.check_checksum:TRUE", "-T", "fields"])
            .args([
                "-e",
                "frame.time_epoch",
                "-e",
                "sip.CSeq.method",
                "-e",
                "_ws.malformed",
                "-e",
                "sip.msg_body",
            ])
            .output();
        let Ok(output) = tshark else {
            assert!(
                std::env::var_os("CI").is_none(),
                "tshark is missing, and a build server has to have it"
            );
            eprintln!("tshark is not installed: our own reading of the file has to do");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<Vec<&str>> = said.lines().map(|l| l.split('\t').collect()).collect();
        assert_eq!(lines.len(), 10, "{said}");
        for line in &lines {
            assert!(line[0].starts_with("1700000000.0"), "{line:?}");
            assert!(line[2].is_empty(), "{line:?}");
        }
        let methods: Vec<&str> = lines.iter().map(|line| line[1]).collect();
        assert_eq!(methods[..8], ["INVITE"; 8], "{said}");
        assert_eq!(methods[8..], ["MESSAGE"; 2], "{said}");
        assert!(lines[6..].iter().all(|line| !line[3].is_empty()), "{said}");
    }
}
