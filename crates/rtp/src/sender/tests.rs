use super::*;
use crate::packet::RtpPacket;

fn header(bytes: &[u8]) -> RtpHeader {
    RtpPacket::parse(bytes).unwrap().header
}

#[test]
fn sequence_and_timestamp_wrap_and_the_marker_opens_each_spurt() {
    let now = Instant::now();
    let mut sender = Sender::new(7, 0xFFFF, u32::MAX - 99, 8_000);
    let mut out = Vec::new();
    sender.send(now, 0, &[0; 160], 160, &mut out).unwrap();
    assert!(header(&out).marker);
    out.clear();
    sender.send(now, 0, &[0; 160], 160, &mut out).unwrap();
    let second = header(&out);
    assert_eq!((second.sequence_number, second.timestamp), (0, 60));
    assert!(!second.marker);
    sender.skip(800);
    out.clear();
    sender.send(now, 0, &[0; 160], 160, &mut out).unwrap();
    assert!(header(&out).marker);
    assert_eq!(header(&out).timestamp, 60 + 160 + 800);
    assert_eq!((sender.packet_count(), sender.octet_count()), (3, 480));
}

#[test]
fn the_report_names_the_timestamp_of_its_own_instant() {
    let start = Instant::now();
    let mut sender = Sender::new(7, 0, 1_000, 8_000);
    assert_eq!(sender.info(start, 1), None);
    sender
        .send(start, 0, &[0; 160], 160, &mut Vec::new())
        .unwrap();
    let info = sender.info(start + Duration::from_millis(15), 99).unwrap();
    assert_eq!((info.rtp_timestamp, info.ntp_timestamp), (1_120, 99));
    assert_eq!((info.packet_count, info.octet_count), (1, 160));
}

#[test]
fn a_refused_packet_takes_no_number() {
    let now = Instant::now();
    let mut sender = Sender::new(7, 5, 0, 8_000);
    let mut out = Vec::new();
    assert!(sender.send(now, 200, &[1], 160, &mut out).is_err());
    sender.send(now, 8, &[1], 160, &mut out).unwrap();
    assert_eq!(header(&out).sequence_number, 5);
}
