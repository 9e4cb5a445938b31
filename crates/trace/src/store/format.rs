//! The bytes of a segment file.
//!
//! ```text
//! segment:  "TRTRACE1"  record*
//! record:   length u32   checksum u32 (CRC-32 of the payload)   payload
//! payload:  id u64   time i64   flags u8   [account text]   [call u64]
//!           then SIP:   transport u8   local text   peer text   bytes to the end
//!           or a note:  topic text   [Call-ID text]   text to the end
//! text:     length u16   UTF-8
//! ```
//!
//! Numbers are little-endian. The tenant is the folder's. In the bytes of messages secrets are withheld,
//! octet by octet: files are copied and backed up, and no reader of a trace needs them.

use std::sync::Arc;

use model::{AccountId, CallId, TenantId, Timestamp, TraceBody, TraceRecord, Transport};

use crate::redact::withhold;

pub(super) const MAGIC: &[u8; 8] = b"TRTRACE1";

/// A payload is never longer; a length beyond it is damage.
const MOST: usize = 1 << 20;

const HAS_ACCOUNT: u8 = 1;
const HAS_CALL: u8 = 2;
const IS_NOTE: u8 = 4;
const IS_SENT: u8 = 8;
const HAS_CALL_ID: u8 = 16;

/// Appends a record. One too long for the format is cut: a trace never refuses.
pub(super) fn write(out: &mut Vec<u8>, record: &TraceRecord) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    payload(out, record);
    out.truncate(start + 8 + MOST);
    let payload = out.get(start + 8..).unwrap_or_default();
    let length = payload.len() as u32;
    let checksum = crc32(payload);
    let head = length
        .to_le_bytes()
        .into_iter()
        .chain(checksum.to_le_bytes());
    for (byte, value) in out.iter_mut().skip(start).zip(head) {
        *byte = value;
    }
}

fn payload(out: &mut Vec<u8>, record: &TraceRecord) {
    out.extend_from_slice(&record.id.to_le_bytes());
    out.extend_from_slice(&record.time.0.to_le_bytes());
    let mut flags = 0;
    if record.account.is_some() {
        flags |= HAS_ACCOUNT;
    }
    if record.call.is_some() {
        flags |= HAS_CALL;
    }
    flags |= match &record.body {
        TraceBody::Sip { sent: true, .. } => IS_SENT,
        TraceBody::Sip { .. } => 0,
        TraceBody::Note { sip_call_id, .. } if sip_call_id.is_some() => IS_NOTE | HAS_CALL_ID,
        TraceBody::Note { .. } => IS_NOTE,
    };
    out.push(flags);
    if let Some(account) = &record.account {
        text(out, account.as_str());
    }
    if let Some(call) = record.call {
        out.extend_from_slice(&call.0.to_le_bytes());
    }
    match &record.body {
        TraceBody::Sip {
            transport,
            local,
            peer,
            bytes,
            ..
        } => {
            out.push(match transport {
                Transport::Udp => 0,
                Transport::Tcp => 1,
                Transport::Tls => 2,
                Transport::Ws => 3,
                Transport::Wss => 4,
            });
            text(out, local);
            text(out, peer);
            out.extend_from_slice(&withhold(bytes));
        }
        TraceBody::Note {
            topic,
            text: sentence,
            sip_call_id,
        } => {
            text(out, topic);
            if let Some(call_id) = sip_call_id {
                text(out, call_id);
            }
            out.extend_from_slice(sentence.reveal().as_bytes());
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    let length = text.floor_char_boundary(usize::from(u16::MAX));
    out.extend_from_slice(&(length as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes().get(..length).unwrap_or_default());
}

/// Reads what a segment holds, up to the first place that cannot be read over. Records whose checksum
/// is wrong are left out.
pub(super) fn read(bytes: &[u8], tenant: &TenantId) -> Vec<TraceRecord> {
    let mut records = Vec::new();
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return records;
    };
    while let Some((record, after)) = next(rest, tenant) {
        records.extend(record);
        rest = after;
    }
    records
}

/// The record at the start, if its checksum holds, and what follows; `None` at the end or at a tear.
fn next<'a>(bytes: &'a [u8], tenant: &TenantId) -> Option<(Option<TraceRecord>, &'a [u8])> {
    let mut rest = bytes;
    let length = u32::from_le_bytes(take(&mut rest)?) as usize;
    let checksum = u32::from_le_bytes(take(&mut rest)?);
    if length > MOST {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    let record = (crc32(payload) == checksum).then(|| read_payload(payload, tenant));
    Some((record.flatten(), rest))
}

fn read_payload(mut rest: &[u8], tenant: &TenantId) -> Option<TraceRecord> {
    let id = u64::from_le_bytes(take(&mut rest)?);
    let time = Timestamp(i64::from_le_bytes(take(&mut rest)?));
    let [flags] = take(&mut rest)?;
    let account = match flags & HAS_ACCOUNT {
        0 => None,
        _ => Some(AccountId::new(read_text(&mut rest)?)),
    };
    let call = match flags & HAS_CALL {
        0 => None,
        _ => Some(CallId(u64::from_le_bytes(take(&mut rest)?))),
    };
    let body = if flags & IS_NOTE == 0 {
        let [transport] = take(&mut rest)?;
        let transport = match transport {
            0 => Transport::Udp,
            1 => Transport::Tcp,
            2 => Transport::Tls,
            3 => Transport::Ws,
            4 => Transport::Wss,
            _ => return None,
        };
        TraceBody::Sip {
            sent: flags & IS_SENT != 0,
            transport,
            local: read_text(&mut rest)?.to_owned(),
            peer: read_text(&mut rest)?.to_owned(),
            bytes: Arc::from(rest),
        }
    } else {
        let topic = read_text(&mut rest)?.to_owned();
        let sip_call_id = match flags & HAS_CALL_ID {
            0 => None,
            _ => Some(read_text(&mut rest)?.to_owned()),
        };
        TraceBody::Note {
            topic,
            text: String::from_utf8_lossy(rest).into_owned().into(),
            sip_call_id,
        }
    };
    Some(TraceRecord {
        id,
        time,
        tenant: tenant.clone(),
        account,
        call,
        body,
    })
}

fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(u16::from_le_bytes(take(bytes)?));
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// CRC-32 as of IEEE 802.3, reflected, polynomial 0xEDB88320.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let mut value = n as u32;
            let mut bit = 0;
            while bit < 8 {
                let low = value & 1;
                value >>= 1;
                if low == 1 {
                    value ^= 0xedb8_8320;
                }
                bit += 1;
            }
            table[n] = value;
            n += 1;
        }
        table
    };
    let mut crc = !0_u32;
    for byte in bytes {
        let at = (crc as u8 ^ byte) as usize;
        crc = TABLE[at] ^ (crc >> 8);
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
