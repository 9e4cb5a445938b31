//! A stream of media datagrams, with steps of time between them: packets, reports, digits and the
//! jitter buffer that plays them.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use rtp::telephone_event::EventReceiver;
use rtp::{JitterBuffer, JitterBufferConfig, Receiver, RtpPacket, looks_like_rtcp, rtcp};

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let mut receiver = Receiver::new(8_000);
    let mut digits = EventReceiver::new(8_000);
    let mut buffer = JitterBuffer::new(JitterBufferConfig::new(8_000));
    let mut rest = data;
    // Two bytes before each datagram: its length and the milliseconds since the last.
    while let [length, wait, after @ ..] = rest {
        let (datagram, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(*wait));
        if looks_like_rtcp(datagram) {
            let _ = rtcp::read(datagram, |item| {
                let _ = format!("{item:?}");
            });
        } else if let Ok(packet) = RtpPacket::parse(datagram) {
            if receiver.receive(now, &packet.header).is_accepted() {
                digits.receive(now, &packet.header, packet.payload);
                buffer.insert(now, &packet);
            }
        }
        for _ in 0..2 {
            let _ = format!("{:?}", buffer.pull(now));
        }
        while digits.poll(now).is_some() {}
        let _ = receiver.report_block(now);
    }
    let _ = (receiver.statistics(), buffer.statistics());
});
