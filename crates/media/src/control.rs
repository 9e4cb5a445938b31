//! RTCP: reports out and in (RFC 3550 §6, RFC 3611).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtp::rtcp::xr::{ExtendedReport, ReferenceDelay};
use rtp::rtcp::{self, Item, Report, ReportBlock, Schedule, compact_ntp, round_trip};
use rtp::{Receiver, Sender};

use crate::config::ExtendedReports;
use crate::counters::StreamCounters;

/// What a call of speech is about; RTCP gets a twentieth, and at this size always its shortest interval.
const SESSION_BITS_PER_SECOND: u32 = 64_000;

/// A compound of ours is far smaller.
const REPORT_CAPACITY: usize = 640;

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
    /// Ticks a second of what the peer hears.
    clock_rate_hz: u32,
    /// A clock of the peer's that waits for our answer: whose, its middle, and when it came.
    reference: Option<(u32, u32, Instant)>,
}

/// What a report is made of.
pub(crate) struct Matter<'a> {
    pub(crate) now: Instant,
    /// When it is written, by the clock that tells when others' reports have arrived, …
    pub(crate) written: Instant,
    /// … and by the wall clock.
    pub(crate) ntp: u64,
    pub(crate) sender: &'a Sender,
    pub(crate) receiver: &'a mut Receiver,
    pub(crate) counters: &'a StreamCounters,
    /// What the peer asks for.
    pub(crate) extended: ExtendedReports,
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
            clock_rate_hz: 8_000,
            reference: None,
        }
    }

    /// Starts the clock of the reports anew.
    pub(crate) fn begin(&mut self, now: Instant, seed: u64) {
        self.schedule = Schedule::new(now, SESSION_BITS_PER_SECOND, seed);
    }

    /// Follows a negotiation.
    pub(crate) fn set_clock_rate(&mut self, clock_rate_hz: u32) {
        self.clock_rate_hz = clock_rate_hz.max(1);
    }

    /// Takes in a datagram: when it has arrived, by both clocks.
    pub(crate) fn take(
        &mut self,
        arrived: Instant,
        ntp: u64,
        datagram: &[u8],
        from: SocketAddr,
        receiver: &mut Receiver,
        counters: &StreamCounters,
    ) {
        let read = rtcp::read(datagram, |item| match item {
            Item::Sender { from, info } => {
                receiver.on_sender_report(arrived, from, info.ntp_timestamp);
            }
            Item::Block { block, .. } if block.ssrc == self.ssrc => {
                self.on_block_about_us(ntp, &block, counters);
            }
            Item::ReferenceTime { from, ntp } => {
                self.reference = Some((from, compact_ntp(ntp), arrived));
            }
            Item::Delay { delay, .. } if delay.ssrc == self.ssrc => {
                tell_trip(delay.round_trip(ntp), counters);
            }
            Item::Metrics { metrics, .. } if metrics.ssrc == self.ssrc => {
                counters.peer_metrics.set(&metrics);
            }
            _ => {}
        });
        if read.is_err() {
            counters.dropped.add(1);
            return;
        }
        counters.reports_received.add(1);
        self.from = Some(from);
        self.schedule.on_received(datagram.len());
    }

    fn on_block_about_us(&mut self, ntp: u64, block: &ReportBlock, counters: &StreamCounters) {
        tell_trip(round_trip(block, ntp), counters);
        let loss = f32::from(block.fraction_lost) / 256.0;
        counters.peer_loss.set(loss);
        counters
            .peer_lost
            .set(u64::try_from(block.cumulative_lost).unwrap_or(0));
        self.news = Some(loss);
        let jitter_us = u64::from(block.jitter) * 1_000_000 / u64::from(self.clock_rate_hz);
        counters.peer_jitter_us.set(jitter_us);
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
    pub(crate) fn poll(&mut self, matter: &mut Matter<'_>) -> Option<&mut Vec<u8>> {
        let now = matter.now;
        if now < self.schedule.deadline() {
            return None;
        }
        if !self.schedule.handle_timeout(now) {
            return None;
        }
        self.write(matter, None);
        self.schedule.on_sent(now, self.report.len());
        (!self.report.is_empty()).then_some(&mut self.report)
    }

    /// The last report, with BYE (RFC 3550 §6.3.7).
    pub(crate) fn farewell(&mut self, matter: &mut Matter<'_>) -> &mut Vec<u8> {
        self.write(matter, Some(""));
        &mut self.report
    }

    fn sends(&self, sender: &Sender) -> bool {
        sender.packet_count() != self.sent_before[1]
    }

    fn write(&mut self, matter: &mut Matter<'_>, bye: Option<&str>) {
        let (now, written) = (matter.now, matter.written);
        let (ntp, sender) = (matter.ntp, matter.sender);
        // A sender report while we have sent since the report before the last (RFC 3550 §6.4).
        let sends = self.sends(sender);
        self.sent_before = [sender.packet_count(), self.sent_before[0]];
        let block = matter.receiver.report_block(written);
        let asked = matter.extended;
        let answer = self.reference.take().filter(|_| asked.round_trip);
        let answer = answer.map(|(ssrc, last_reference, at)| ReferenceDelay {
            ssrc,
            last_reference,
            delay: in_65536ths(written.saturating_duration_since(at)),
        });
        self.report.clear();
        let report = Report {
            ssrc: self.ssrc,
            cname: &self.cname,
            sender: sender.info(now, ntp).filter(|_| sends),
            blocks: block.as_slice(),
            extended: ExtendedReport {
                reference_time: asked.round_trip.then_some(ntp),
                delays: answer.as_slice(),
                metrics: matter.counters.metrics().filter(|_| asked.metrics),
            },
            bye,
        };
        if report.write(&mut self.report).is_err() {
            self.report.clear();
        }
    }
}

fn tell_trip(trip: Option<Duration>, counters: &StreamCounters) {
    if let Some(trip) = trip {
        // 0 means unknown, so the fastest trip is a microsecond.
        let us = u64::try_from(trip.as_micros()).unwrap_or(u64::MAX).max(1);
        counters.round_trip_us.set(us);
    }
}

/// `as` saturates: what lay there for a day lay there for long.
fn in_65536ths(time: Duration) -> u32 {
    (time.as_secs_f64() * 65_536.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 3_000_000_000 << 32;

    /// One who reports and has never sent a packet.
    struct End {
        control: Control,
        sender: Sender,
        receiver: Receiver,
        counters: StreamCounters,
    }

    impl End {
        fn new(now: Instant, ssrc: u32) -> Self {
            Self {
                control: Control::new(now, ssrc, "x".to_owned(), 1),
                sender: Sender::new(ssrc, 1, 1, 8_000),
                receiver: Receiver::new(8_000),
                counters: StreamCounters::default(),
            }
        }

        fn reports(&mut self, now: Instant, ntp: u64) -> Vec<u8> {
            let mut matter = Matter {
                now,
                written: now,
                ntp,
                sender: &self.sender,
                receiver: &mut self.receiver,
                counters: &self.counters,
                extended: ExtendedReports {
                    metrics: true,
                    round_trip: true,
                },
            };
            self.control.farewell(&mut matter).clone()
        }

        fn takes(&mut self, now: Instant, ntp: u64, report: &[u8]) {
            let from = ([127, 0, 0, 1], 9).into();
            self.control
                .take(now, ntp, report, from, &mut self.receiver, &self.counters);
        }
    }

    #[test]
    fn who_sends_nothing_learns_the_round_trip_from_the_answer_to_its_clock() {
        let began = Instant::now();
        let at = |ms: u64| {
            let now = began + Duration::from_millis(ms);
            (now, WALL + (ms << 32) / 1_000)
        };
        let (mut one, mut other) = (End::new(began, 1), End::new(began, 2));
        let (now, ntp) = at(0);
        let report = one.reports(now, ntp);
        // The other's wall clock is another.
        let (now, _) = at(20);
        other.takes(now, 7, &report);
        let (now, _) = at(520);
        let answer = other.reports(now, 8);
        let (now, ntp) = at(540);
        one.takes(now, ntp, &answer);
        let trip = one.counters.round_trip().expect("it was answered");
        assert!((39..=41).contains(&trip.as_millis()), "{trip:?}");
        // Each clock is answered once.
        assert_eq!(other.control.reference, None);
        assert_eq!(other.counters.round_trip(), None);
    }
}
