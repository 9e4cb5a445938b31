//! RTCP: reports out and in (RFC 3550 §6).

use std::net::SocketAddr;
use std::time::Instant;

use rtp::rtcp::{Incoming, Report, ReportBlock, Schedule, round_trip};
use rtp::{Receiver, Sender};

use crate::counters::StreamCounters;

/// What a call of speech is about; RTCP gets a twentieth, and at this size always its shortest interval.
const SESSION_BITS_PER_SECOND: u32 = 64_000;

/// A compound of ours is far smaller.
const REPORT_CAPACITY: usize = 512;

pub(crate) struct Control {
    schedule: Schedule,
    ssrc: u32,
    cname: String,
    report: Vec<u8>,
    /// Where the peer's reports come from.
    from: Option<SocketAddr>,
    /// Packets that were sent at the last report and at the one before.
    sent_before: [u32; 2],
    /// The loss that the peer told last, until it is asked for.
    news: Option<f32>,
}

impl Control {
    pub(crate) fn new(now: Instant, ssrc: u32, cname: String, seed: u64) -> Self {
        Self {
            schedule: Schedule::new(now, SESSION_BITS_PER_SECOND, seed),
            ssrc,
            cname,
            report: Vec::with_capacity(REPORT_CAPACITY),
            from: None,
            sent_before: [0; 2],
            news: None,
        }
    }

    /// Starts the clock of the reports anew.
    pub(crate) fn begin(&mut self, now: Instant, seed: u64) {
        self.schedule = Schedule::new(now, SESSION_BITS_PER_SECOND, seed);
    }

    /// Takes in a datagram.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        ntp: u64,
        datagram: &[u8],
        from: SocketAddr,
        receiver: &mut Receiver,
        counters: &StreamCounters,
    ) {
        let Ok(incoming) = Incoming::parse(datagram) else {
            counters.dropped.add(1);
            return;
        };
        counters.reports_received.add(1);
        self.from = Some(from);
        self.schedule.on_received(datagram.len());
        for (ssrc, info) in &incoming.senders {
            receiver.on_sender_report(now, *ssrc, info.ntp_timestamp);
        }
        for (_, block) in &incoming.blocks {
            if block.ssrc == self.ssrc {
                self.on_block_about_us(ntp, block, counters);
            }
        }
    }

    fn on_block_about_us(&mut self, ntp: u64, block: &ReportBlock, counters: &StreamCounters) {
        if let Some(trip) = round_trip(block, ntp) {
            // 0 means unknown, so the fastest trip is a microsecond.
            let us = u64::try_from(trip.as_micros()).unwrap_or(u64::MAX).max(1);
            counters.round_trip_us.set(us);
        }
        let loss = f32::from(block.fraction_lost) / 256.0;
        counters.peer_loss.set(loss);
        counters
            .peer_lost
            .set(u64::try_from(block.cumulative_lost).unwrap_or(0));
        self.news = Some(loss);
        counters.peer_jitter_us.set(u64::from(block.jitter));
    }

    /// What the peer has told about loss since the last call.
    pub(crate) fn take_loss(&mut self) -> Option<f32> {
        self.news.take()
    }

    /// Where the peer's reports come from.
    pub(crate) fn from(&self) -> Option<SocketAddr> {
        self.from
    }

    /// A report, if one is due.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        ntp: u64,
        sender: &Sender,
        receiver: &mut Receiver,
    ) -> Option<&mut Vec<u8>> {
        if now < self.schedule.deadline() {
            return None;
        }
        self.schedule
            .set_senders(self.sends(sender), receiver.ssrc().is_some());
        if !self.schedule.handle_timeout(now) {
            return None;
        }
        self.write(now, ntp, sender, receiver, None);
        self.schedule.on_sent(now, self.report.len());
        (!self.report.is_empty()).then_some(&mut self.report)
    }

    /// The last report, with BYE (RFC 3550 §6.3.7).
    pub(crate) fn farewell(
        &mut self,
        now: Instant,
        ntp: u64,
        sender: &Sender,
        receiver: &mut Receiver,
    ) -> &mut Vec<u8> {
        self.write(now, ntp, sender, receiver, Some(""));
        &mut self.report
    }

    fn sends(&self, sender: &Sender) -> bool {
        sender.packet_count() != self.sent_before[1]
    }

    fn write(
        &mut self,
        now: Instant,
        ntp: u64,
        sender: &Sender,
        receiver: &mut Receiver,
        bye: Option<&str>,
    ) {
        // A sender report while we have sent since the report before the last (RFC 3550 §6.4).
        let sends = self.sends(sender);
        self.sent_before = [sender.packet_count(), self.sent_before[0]];
        let block = receiver.report_block(now);
        self.report.clear();
        let report = Report {
            ssrc: self.ssrc,
            cname: &self.cname,
            sender: sender.info(now, ntp).filter(|_| sends),
            blocks: block.as_slice(),
            bye,
        };
        if report.write(&mut self.report).is_err() {
            self.report.clear();
        }
    }
}
