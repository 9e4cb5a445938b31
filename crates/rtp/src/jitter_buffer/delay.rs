//! How late packets are, as a distribution that forgets (after the method of NetEq).

/// Width of one bucket of the distribution.
const BUCKET_US: i64 = 5_000;
/// Buckets: everything from one second on is in the last.
const BUCKETS: usize = 200;
/// Share of packets that the target shall cover.
const QUANTILE: f32 = 0.95;
/// Share of packets that are faster than nearly all others.
const FASTEST: f32 = 0.05;
/// What one packet leaves of the past, once enough were seen: half is forgotten after twenty
/// seconds of 20 ms packets.
const FORGETTING: f32 = 0.9993;
/// Packets after which the distribution is believed.
const SETTLED: u32 = 25;

/// Slices of the window in which the base (least transit) is looked for.
const SLICE_US: i64 = 100_000;
const SLICES: usize = 100;
/// Slices in which every packet has to be slower than the distribution, or one in each far below
/// it, until that is taken for another path: a constant delay more or less, and no jitter.
const CHANGED_SLICES: usize = 6;
/// The least change of path that is looked for; smaller ones come out of the window in time.
const CHANGE_US: i64 = 40_000;

/// Two packets above the distribution by this much that arrive together are a peak: the network
/// stood still and delivers what has gathered. One alone is the tail of the distribution.
const PEAK_US: i64 = 30_000;
/// What arrives within this time arrives together.
const TOGETHER_US: i64 = 5_000;
/// Peaks closer than this are one.
const PEAK_APART_US: i64 = 500_000;
/// Two peaks within this time are a habit of the network, and the target covers them.
const PEAK_MEMORY_US: i64 = 10_000_000;
const PEAKS: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct DelayEstimate {
    histogram: [f32; BUCKETS],
    packets: u32,
    /// Ring by slice number: the least transit in it.
    slices: [Option<(i64, i64)>; SLICES],
    base: Option<i64>,
    /// The transit at which the first bucket begins. It follows the base bucket by bucket, and
    /// what was counted moves along: a faster packet than any before makes none of them slower.
    anchor: Option<i64>,
    quantile_us: i64,
    /// The latest peaks, newest last.
    peaks: [Option<Peak>; PEAKS],
    /// Arrival and height of the packet before, where that was above the distribution.
    rising: Option<Peak>,
    now_us: i64,
}

#[derive(Debug, Clone, Copy)]
struct Peak {
    at: i64,
    height: i64,
}

impl DelayEstimate {
    pub(super) fn new() -> Self {
        Self {
            histogram: [0.0; BUCKETS],
            packets: 0,
            slices: [None; SLICES],
            base: None,
            anchor: None,
            quantile_us: 0,
            peaks: [None; PEAKS],
            rising: None,
            now_us: 0,
        }
    }

    /// The least transit lately: what a packet takes at best, on no absolute scale.
    pub(super) fn base_us(&self) -> Option<i64> {
        self.base
    }

    /// When the last packet arrived.
    pub(super) fn now_us(&self) -> i64 {
        self.now_us
    }

    pub(super) fn is_settled(&self) -> bool {
        self.packets >= SETTLED
    }

    /// Forgets the timeline but not the distribution: the network is the same.
    pub(super) fn forget_base(&mut self) {
        self.slices = [None; SLICES];
        self.base = None;
        self.anchor = None;
    }

    /// Takes in the transit (arrival minus timestamp) of a packet that arrived at `arrival_us`.
    pub(super) fn observe(&mut self, arrival_us: i64, transit_us: i64) {
        self.now_us = arrival_us;
        self.move_base(arrival_us, transit_us);
        let base = self.base.unwrap_or(transit_us);
        let anchor = self.move_anchor(base);
        let relative = transit_us.saturating_sub(base).max(0);
        self.note_peak(arrival_us, relative);
        self.packets = self.packets.saturating_add(1);
        // The plain average at first, then the slow one.
        let keep = FORGETTING.min(1.0 - 1.0 / self.packets as f32);
        for weight in &mut self.histogram {
            *weight *= keep;
        }
        let bucket = usize::try_from(transit_us.saturating_sub(anchor) / BUCKET_US)
            .unwrap_or(0)
            .min(BUCKETS - 1);
        if let Some(weight) = self.histogram.get_mut(bucket) {
            *weight += 1.0 - keep;
        }
        self.quantile_us = (self.quantile_at(QUANTILE) + anchor - base).max(0);
    }

    /// The delay that covers what the network does at present.
    pub(super) fn target_us(&self) -> i64 {
        let habit = self.peaks.iter().flatten();
        let recent = habit.filter(|peak| self.now_us - peak.at < PEAK_MEMORY_US);
        let (count, height) = recent.fold((0, 0), |(n, h), peak| (n + 1, peak.height.max(h)));
        if count >= 2 {
            self.quantile_us.max(height)
        } else {
            self.quantile_us
        }
    }

    /// The quantile, as if the packets of a bucket were spread evenly over it.
    fn quantile_at(&self, quantile: f32) -> i64 {
        let mut below = 0.0;
        for (index, weight) in (0i64..).zip(&self.histogram) {
            if below + weight >= quantile {
                let share = ((quantile - below) / weight.max(f32::EPSILON)).clamp(0.0, 1.0);
                return index * BUCKET_US + (share * BUCKET_US as f32) as i64;
            }
            below += weight;
        }
        BUCKET_US * BUCKETS as i64
    }

    fn move_anchor(&mut self, base: i64) -> i64 {
        let anchor = self.anchor.unwrap_or(base);
        let buckets = base.saturating_sub(anchor) / BUCKET_US;
        self.shift(buckets);
        let moved = anchor.saturating_add(buckets.saturating_mul(BUCKET_US));
        self.anchor = Some(moved);
        moved
    }

    /// Moves what was counted down by so many buckets; what falls out at an end stays there.
    fn shift(&mut self, buckets: i64) {
        let steps = usize::try_from(buckets.unsigned_abs())
            .unwrap_or(BUCKETS)
            .min(BUCKETS);
        if steps == 0 {
            return;
        }
        let mut moved = [0.0; BUCKETS];
        for (index, weight) in self.histogram.iter().enumerate() {
            let to = if buckets > 0 {
                index.saturating_sub(steps)
            } else {
                index + steps
            };
            if let Some(place) = moved.get_mut(to.min(BUCKETS - 1)) {
                *place += weight;
            }
        }
        self.histogram = moved;
    }

    fn move_base(&mut self, arrival_us: i64, transit_us: i64) {
        let slice = arrival_us / SLICE_US;
        let index = usize::try_from(slice.rem_euclid(SLICES as i64)).unwrap_or(0);
        let Some(place) = self.slices.get_mut(index) else {
            return;
        };
        let is_new = place.is_none_or(|(number, _)| number != slice);
        *place = match *place {
            Some((number, least)) if number == slice => Some((slice, least.min(transit_us))),
            _ => Some((slice, transit_us)),
        };
        let oldest = slice - SLICES as i64;
        let least = |from: i64| {
            let slices = self.slices.iter().flatten();
            slices
                .filter(move |(n, _)| *n > from)
                .map(|(_, least)| *least)
        };
        if let Some(base) = self.base.filter(|_| is_new && self.is_settled()) {
            // The slice that has just begun says nothing yet.
            let recent = slice - 1 - CHANGED_SLICES as i64;
            let complete = self.slices.iter().flatten().filter(|(n, _)| *n < slice);
            let complete = complete.filter(|(n, _)| *n > recent).count() == CHANGED_SLICES;
            let lowest = least(recent).min().unwrap_or(base);
            let highest = least(recent).max().unwrap_or(base);
            if complete && lowest - base > self.quantile_us + CHANGE_US {
                self.take_longer_path(recent);
            } else if complete && highest + CHANGE_US < base + self.quantile_at(FASTEST) {
                self.shift((self.quantile_at(FASTEST) - (highest - base)) / BUCKET_US);
            }
        }
        let slices = self.slices.iter().flatten().filter(|(n, _)| *n > oldest);
        self.base = slices.map(|(_, least)| *least).min();
    }

    /// Forgets the slices of the path before; the anchor stays with what was counted on it.
    fn take_longer_path(&mut self, recent: i64) {
        for place in &mut self.slices {
            if place.is_some_and(|(number, _)| number <= recent) {
                *place = None;
            }
        }
        // What is in the distribution belongs to the base, wherever that is.
        self.anchor = None;
    }

    fn note_peak(&mut self, at: i64, relative: i64) {
        if !self.is_settled() || relative <= self.quantile_us + PEAK_US {
            self.rising = None;
            return;
        }
        let this = Peak {
            at,
            height: relative,
        };
        let before = self.rising.replace(this);
        let Some(before) = before.filter(|before| at - before.at <= TOGETHER_US) else {
            return;
        };
        let height = relative.max(before.height);
        if let Some(Some(newest)) = self.peaks.last_mut()
            && at - newest.at < PEAK_APART_US
        {
            newest.height = newest.height.max(height);
            return;
        }
        self.peaks.rotate_left(1);
        if let Some(last) = self.peaks.last_mut() {
            *last = Some(Peak { at, height });
        }
    }
}
