//! Giving frames out: whose turn it is, what is lost, and when to gain or lose time.

use super::*;

/// What a pull comes to, before anything is lent out.
enum Turn {
    Play(Pace),
    Conceal { samples: i64 },
    Nothing(Empty),
}

impl JitterBuffer {
    /// What to play at `now`. Call it whenever the sound of the previous answer is used up, that
    /// is every 10 ms for [`Playout::Empty`] and once a frame otherwise.
    pub fn pull(&mut self, now: Instant) -> Playout<'_> {
        let now_us = self.clock(now);
        self.is_cut = false;
        match self.turn(now_us) {
            Turn::Play(pace) => self.lend(now_us, pace),
            Turn::Conceal { samples } => {
                let samples = u32::try_from(samples).unwrap_or(0);
                let after = self.next.map(|next| next.sequence);
                let successor = self
                    .store
                    .front()
                    .filter(|slot| Some(slot.sequence) == after && slot.content == Content::Audio);
                Playout::Lost {
                    samples,
                    next: successor.map(|slot| payload_of(slot, Pace::Steady, None)),
                }
            }
            Turn::Nothing(why) => Playout::Empty(why),
        }
    }

    // Every turn of the loop takes a slot out, moves `next` towards the front, or returns.
    fn turn(&mut self, now_us: i64) -> Turn {
        loop {
            let Some(front) = self.store.front() else {
                return Turn::Nothing(self.starve());
            };
            let (sequence, timestamp, content) = (front.sequence, front.timestamp, front.content);
            let Some(next) = self.next else {
                if content != Content::Audio {
                    self.discard_front();
                    continue;
                }
                if now_us < self.due_us(timestamp) {
                    return Turn::Nothing(Empty::Filling);
                }
                let last_played = timestamp - 1;
                self.next = Some(Next {
                    sequence,
                    timestamp,
                    last_played,
                });
                continue;
            };
            let is_audio = content == Content::Audio;
            if sequence < next.sequence || (is_audio && timestamp <= next.last_played) {
                // Only a sender that contradicts itself comes here: time never goes back.
                self.statistics.suspect += 1;
                self.discard_front();
                continue;
            }
            if sequence > next.sequence {
                match self.lose(now_us, next, sequence, is_audio.then_some(timestamp)) {
                    Some(turn) => return turn,
                    None => continue,
                }
            }
            if !is_audio {
                self.silent = true;
                self.discard_front();
                continue;
            }
            if timestamp > next.timestamp {
                // No number is missing: the sender has left that time out, and nothing was lost in it.
                self.pending_us = 0;
            }
            if timestamp > next.timestamp && now_us < self.due_us(timestamp) {
                self.owed_us = 0;
                return Turn::Nothing(Empty::Silence);
            }
            if let Some(turn) = self.adapt(now_us, timestamp) {
                return turn;
            }
        }
    }

    /// The packets from `next` up to `sequence` are not here though it is their turn.
    fn lose(
        &mut self,
        now_us: i64,
        next: Next,
        sequence: i64,
        timestamp: Option<i64>,
    ) -> Option<Turn> {
        self.count_pending();
        let missing = sequence - next.sequence;
        let all = missing.saturating_mul(self.frame.ticks);
        let hole = timestamp.map_or(all, |timestamp| timestamp - next.timestamp);
        let filled = all.min(hole);
        let hole_us = self.ticks_to_us(filled);
        if filled <= 0 || self.silent || hole_us - self.owed_us > LONGEST_CONCEALMENT_US {
            // No time belongs to them, or too much, or it was silent: then the end of the hole is scheduled.
            self.statistics.lost += missing.unsigned_abs();
            self.pattern.count_lost(missing.unsigned_abs());
            self.next = Some(Next { sequence, ..next });
            return None;
        }
        let delay_us = now_us - self.arrival_us(next.timestamp);
        if self.owed_us < STARVED_LIMIT_US && self.target_us() - delay_us >= self.lack_limit_us() {
            // More delay is wanted anyway, and it may only be late: wait a step for it.
            self.owed_us += STEP_US;
            self.statistics.stretched += 1;
            return Some(Turn::Nothing(Empty::Stretch));
        }
        let each = (filled / missing).max(1);
        let each_us = self.ticks_to_us(each);
        self.statistics.lost += 1;
        self.pattern.count_lost(1);
        self.note_loss(now_us);
        self.next = Some(Next {
            sequence: next.sequence + 1,
            timestamp: next.timestamp.saturating_add(each),
            ..next
        });
        if self.owed_us >= each_us {
            self.owed_us -= each_us;
            return None;
        }
        let left_us = each_us - std::mem::take(&mut self.owed_us);
        self.statistics.concealed_ms += left_us.unsigned_abs() / 1_000;
        Some(Turn::Conceal {
            samples: self.us_to_ticks(left_us).max(1),
        })
    }

    /// The front packet's turn has come: play it, or mend the delay first. None after a cut.
    fn adapt(&mut self, now_us: i64, timestamp: i64) -> Option<Turn> {
        let delay_us = now_us - self.arrival_us(timestamp);
        let excess_us = delay_us - self.target_us();
        self.delay_us = Some(delay_us);
        if self.may_cut(now_us, timestamp, delay_us, excess_us) {
            self.statistics.shortened += 1;
            self.cut_front();
            return None;
        }
        if self.may_stretch(now_us, -excess_us) {
            self.statistics.stretched += 1;
            return Some(Turn::Nothing(Empty::Stretch));
        }
        Some(Turn::Play(if excess_us >= STEP_US {
            Pace::Faster
        } else if -excess_us >= self.lack_limit_us() {
            Pace::Slower
        } else {
            Pace::Steady
        }))
    }

    /// Whether to leave out the front packet. Only where its successor waits too: delay that no
    /// waiting packet stands behind is the network's, and cutting would not make it less.
    fn may_cut(&mut self, now_us: i64, timestamp: i64, delay_us: i64, excess_us: i64) -> bool {
        let Some(successor) = self.store.second().filter(|s| s.content == Content::Audio) else {
            return false;
        };
        let frame_us = self.ticks_to_us(successor.timestamp - timestamp);
        if delay_us > micros(self.config.maximum_delay).max(self.target_us() + frame_us) {
            return true;
        }
        // The base moves a little with each slice of time, so the clock starts below the threshold.
        if excess_us < STEP_US {
            self.excess_since = None;
            return false;
        }
        let since = *self.excess_since.get_or_insert(now_us);
        if excess_us < frame_us {
            return false;
        }
        let patience_us = match excess_us {
            _ if self.quiet => 0,
            FAR_US.. => SHORT_PATIENCE_US,
            _ => PATIENCE_US,
        };
        let cut = now_us - since >= patience_us;
        if cut {
            self.excess_since = Some(now_us);
        }
        cut
    }

    fn may_stretch(&mut self, now_us: i64, lack_us: i64) -> bool {
        if lack_us < self.lack_limit_us() {
            self.lack_since = None;
            return false;
        }
        let since = *self.lack_since.get_or_insert(now_us);
        let patience_us = match lack_us {
            _ if self.quiet => 0,
            20_000.. => INSERT_PATIENCE_US,
            // Of little delay there is little left.
            _ if self.target_us() < STEP_US => SMALL_PATIENCE_US,
            _ => PATIENCE_US,
        };
        let stretch = now_us - since >= patience_us;
        if stretch {
            self.lack_since = Some(now_us);
        }
        stretch
    }

    fn lend(&mut self, now_us: i64, pace: Pace) -> Playout<'_> {
        let Some(slot) = self.store.pop_front() else {
            return Playout::Empty(Empty::Starved);
        };
        self.count_pending();
        self.statistics.played += 1;
        self.pattern.count_played();
        self.silent = slot.bytes.len() <= self.config.pause_octets;
        self.owed_us = 0;
        self.delay_us = Some(now_us - self.arrival_us(slot.timestamp));
        self.next = Some(Next {
            sequence: slot.sequence + 1,
            timestamp: slot.timestamp.saturating_add(self.frame.ticks),
            last_played: slot.timestamp,
        });
        let before = std::mem::replace(&mut self.lent, slot);
        self.store.recycle(before);
        let cut = self.is_cut.then_some(self.cut.bytes.as_slice());
        let cut = cut.filter(|_| self.cut.payload_type == self.lent.payload_type);
        Playout::Payload(payload_of(&self.lent, pace, cut))
    }

    /// Leaves the front packet out. Of several in a row the first is what the last sound goes on with.
    fn cut_front(&mut self) {
        if self.is_cut {
            return self.discard_front();
        }
        if let Some(slot) = self.store.pop_front() {
            self.pattern.count_played();
            self.pass(&slot);
            let before = std::mem::replace(&mut self.cut, slot);
            self.store.recycle(before);
            self.is_cut = true;
        }
    }

    /// What came in time and is not decoded: no speech, or cut to have less delay.
    fn discard_front(&mut self) {
        if let Some(slot) = self.store.pop_front() {
            self.pattern.count_played();
            self.pass(&slot);
            self.store.recycle(slot);
        }
    }

    fn starve(&mut self) -> Empty {
        if self.next.is_none() {
            return Empty::Filling;
        }
        if self.silent {
            return Empty::Silence;
        }
        self.owed_us = self.owed_us.saturating_add(STEP_US);
        if self.owed_us > STARVED_LIMIT_US {
            return Empty::Silence;
        }
        self.statistics.starved += 1;
        self.pending_us += STEP_US;
        Empty::Starved
    }

    /// What was made up stood for sound that was late or is lost.
    fn count_pending(&mut self) {
        let made_up = std::mem::take(&mut self.pending_us);
        self.statistics.concealed_ms += made_up.unsigned_abs() / 1_000;
    }

    /// When a packet would have arrived on the fastest way.
    fn arrival_us(&self, timestamp: i64) -> i64 {
        let base = self.estimate.base_us().unwrap_or(0);
        base.saturating_add(self.ticks_to_us(timestamp))
    }

    fn due_us(&self, timestamp: i64) -> i64 {
        self.arrival_us(timestamp).saturating_add(self.target_us())
    }
}

fn payload_of<'a>(slot: &'a Slot, pace: Pace, cut: Option<&'a [u8]>) -> Payload<'a> {
    Payload {
        payload_type: slot.payload_type,
        sequence_number: (slot.sequence & 0xFFFF) as u16,
        timestamp: (slot.timestamp & 0xFFFF_FFFF) as u32,
        marker: slot.marker,
        bytes: &slot.bytes,
        pace,
        cut,
    }
}
