//! Taking packets in: which series they belong to, and whether they come in time.

use super::*;

impl JitterBuffer {
    pub(super) fn take(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        content: Content,
        payload: &[u8],
    ) -> Inserted {
        let now_us = self.clock(now);
        self.statistics.received += 1;
        let another = self
            .ssrc
            .replace(header.ssrc)
            .is_some_and(|s| s != header.ssrc);
        if another {
            self.restart();
        }
        let Some(highest) = self.highest else {
            self.begin(now_us, header, content, payload);
            return if another {
                Inserted::Restarted
            } else {
                Inserted::Kept
            };
        };
        let sequence = nearest_sequence(highest.sequence, header.sequence_number);
        let timestamp = nearest_timestamp(highest.timestamp, header.timestamp);
        if self.is_strange(now_us, sequence, timestamp, content) {
            return self.take_strange(now_us, header, timestamp, content, payload);
        }
        self.suspect = None;
        let transit_us = now_us.saturating_sub(self.ticks_to_us(timestamp));
        if self.was_seen(sequence) {
            self.statistics.duplicates += 1;
            return Inserted::Duplicate;
        }
        if content == Content::Audio {
            self.estimate.observe(now_us, transit_us);
        }
        self.note_highest(highest, sequence, timestamp, content);
        self.make_room();
        if self.next.is_some_and(|next| sequence < next.sequence) {
            self.statistics.late += u64::from(content == Content::Audio);
            return Inserted::Late;
        }
        let slot = Slot {
            sequence,
            timestamp,
            marker: header.marker,
            payload_type: header.payload_type,
            content,
            bytes: Vec::new(),
        };
        if self.store.insert(slot, payload) {
            Inserted::Kept
        } else {
            self.statistics.duplicates += 1;
            Inserted::Duplicate
        }
    }

    /// The first packet of a series.
    fn begin(&mut self, now_us: i64, header: &RtpHeader, content: Content, payload: &[u8]) {
        let (sequence, timestamp) = (
            i64::from(header.sequence_number),
            i64::from(header.timestamp),
        );
        self.highest = Some(Newest {
            sequence,
            timestamp,
            is_audio: content == Content::Audio,
            seen: 1,
        });
        if content == Content::Audio {
            let transit_us = now_us.saturating_sub(self.ticks_to_us(timestamp));
            self.estimate.observe(now_us, transit_us);
        }
        let slot = Slot {
            sequence,
            timestamp,
            marker: header.marker,
            payload_type: header.payload_type,
            content,
            bytes: Vec::new(),
        };
        self.store.insert(slot, payload);
    }

    fn is_strange(&self, now_us: i64, sequence: i64, timestamp: i64, content: Content) -> bool {
        let highest = self.highest.map_or(sequence, |highest| highest.sequence);
        if sequence.abs_diff(highest) > SEQUENCE_JUMP.unsigned_abs() {
            return true;
        }
        // A telephone event keeps the timestamp of its beginning, however long it lasts.
        let transit_us = now_us.saturating_sub(self.ticks_to_us(timestamp));
        content == Content::Audio
            && self
                .estimate
                .base_us()
                .is_some_and(|base| transit_us.abs_diff(base) > TIMELINE_JUMP_US.unsigned_abs())
    }

    /// One strange packet is an accident, or an attack; two in a row that agree are a new series.
    fn take_strange(
        &mut self,
        now_us: i64,
        header: &RtpHeader,
        timestamp: i64,
        content: Content,
        payload: &[u8],
    ) -> Inserted {
        let agrees = self.suspect.is_some_and(|suspect| {
            let timestamp = nearest_timestamp(suspect.timestamp, header.timestamp);
            let transit_us = now_us.saturating_sub(self.ticks_to_us(timestamp));
            suspect.successor == header.sequence_number
                && transit_us.abs_diff(suspect.transit_us) < AGREEMENT_US.unsigned_abs()
        });
        if agrees {
            self.restart();
            self.begin(now_us, header, content, payload);
            return Inserted::Restarted;
        }
        self.statistics.suspect += 1;
        self.suspect = Some(Suspect {
            successor: header.sequence_number.wrapping_add(1),
            transit_us: now_us.saturating_sub(self.ticks_to_us(timestamp)),
            timestamp,
        });
        Inserted::Suspect
    }

    fn was_seen(&self, sequence: i64) -> bool {
        self.highest.is_some_and(|highest| {
            u32::try_from(highest.sequence - sequence)
                .ok()
                .and_then(|age| highest.seen.checked_shr(age))
                .is_some_and(|seen| seen & 1 == 1)
        })
    }

    fn note_highest(&mut self, highest: Newest, sequence: i64, timestamp: i64, content: Content) {
        let is_audio = content == Content::Audio;
        let step = sequence - highest.sequence;
        if step <= 0 {
            let bit = u32::try_from(-step)
                .ok()
                .and_then(|age| 1u128.checked_shl(age));
            let seen = highest.seen | bit.unwrap_or(0);
            self.highest = Some(Newest { seen, ..highest });
            return;
        }
        let ticks = timestamp - highest.timestamp;
        let longest = self.us_to_ticks(micros(LONGEST_FRAME));
        if step == 1 && is_audio && highest.is_audio && (1..=longest).contains(&ticks) {
            self.frame.learn(ticks);
        }
        let shifted = u32::try_from(step)
            .ok()
            .and_then(|step| highest.seen.checked_shl(step));
        self.highest = Some(Newest {
            sequence,
            timestamp: if is_audio {
                timestamp
            } else {
                highest.timestamp
            },
            is_audio,
            seen: shifted.unwrap_or(0) | 1,
        });
    }

    fn make_room(&mut self) {
        while self.store.is_full() {
            let Some(slot) = self.store.pop_front() else {
                return;
            };
            self.statistics.overflowed += 1;
            self.pattern.count_lost(1);
            self.pass(&slot);
            self.store.recycle(slot);
        }
    }

    /// Moves the playout point behind a slot that is not played.
    pub(super) fn pass(&mut self, slot: &Slot) {
        if let Some(next) = &mut self.next
            && slot.sequence >= next.sequence
        {
            next.sequence = slot.sequence + 1;
            if slot.content == Content::Audio {
                next.timestamp = slot.timestamp.saturating_add(self.frame.ticks);
            }
        }
    }

    pub(super) fn restart(&mut self) {
        self.statistics.restarts += 1;
        self.forget_series();
        self.estimate.forget_base();
    }

    pub(super) fn forget_series(&mut self) {
        self.store.clear();
        self.highest = None;
        self.suspect = None;
        self.next = None;
        self.owed_us = 0;
        self.silent = false;
        self.pending_us = 0;
        self.excess_since = None;
        self.lack_since = None;
        self.delay_us = None;
    }

    /// Microseconds since the first time anything happened here. A packet may have arrived before that.
    pub(super) fn clock(&mut self, now: Instant) -> i64 {
        let epoch = *self.epoch.get_or_insert(now);
        match now.checked_duration_since(epoch) {
            Some(since) => micros(since),
            None => -micros(epoch.saturating_duration_since(now)),
        }
    }

    pub(super) fn ticks_to_us(&self, ticks: i64) -> i64 {
        // Wide, for a timestamp of 2³² ticks in microseconds times the rate is beyond 64 bit.
        let us = i128::from(ticks) * 1_000_000 / i128::from(self.config.clock_rate_hz);
        i64::try_from(us).unwrap_or(if us < 0 { i64::MIN } else { i64::MAX })
    }

    pub(super) fn us_to_ticks(&self, us: i64) -> i64 {
        let ticks = i128::from(us) * i128::from(self.config.clock_rate_hz) / 1_000_000;
        i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
