//! How late packets are, as a distribution that forgets (after the method of NetEq).

/// Width of one bucket of the distribution.
const BUCKET_US: i64 = 5_000;
/// Buckets: everything from one second on is in the last.
const BUCKETS: usize = 200;
/// Share of packets that the target shall cover.
const QUANTILE: f32 = 0.95;
/// What one packet leaves of the past, once enough were seen: half is forgotten after twenty
/// seconds of 20 ms packets.
const FORGETTING: f32 = 0.9993;
/// Packets after which the distribution is believed.
const SETTLED: u32 = 25;

/// Slices of the window in which the base (least transit) is looked for.
const SLICE_US: i64 = 100_000;
const SLICES: usize = 40;
/// The path has become longer when this many of the newest slices all lie above the base by more
/// than [`SHIFT_US`].
const SHIFTED_SLICES: usize = 6;
const SHIFT_US: i64 = 80_000;

/// Two packets in a row above the distribution by this much are a peak: the network stood still
/// and delivers what has gathered. One alone is the tail of the distribution.
const PEAK_US: i64 = 30_000;
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
    quantile_us: i64,
    /// The latest peaks, newest last.
    peaks: [Option<Peak>; PEAKS],
    /// Height of the packet before, where that was above the distribution.
    rising: Option<i64>,
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

    pub(super) fn is_settled(&self) -> bool {
        self.packets >= SETTLED
    }

    /// Forgets the timeline but not the distribution: the network is the same.
    pub(super) fn forget_base(&mut self) {
        self.slices = [None; SLICES];
        self.base = None;
    }

    /// Takes in the transit (arrival minus timestamp) of a packet that arrived at `arrival_us`.
    pub(super) fn observe(&mut self, arrival_us: i64, transit_us: i64) {
        self.now_us = arrival_us;
        self.move_base(arrival_us, transit_us);
        let relative = transit_us
            .saturating_sub(self.base.unwrap_or(transit_us))
            .max(0);
        self.note_peak(arrival_us, relative);
        self.packets = self.packets.saturating_add(1);
        // The plain average at first, then the slow one.
        let keep = FORGETTING.min(1.0 - 1.0 / self.packets as f32);
        for weight in &mut self.histogram {
            *weight *= keep;
        }
        let bucket = usize::try_from(relative / BUCKET_US)
            .unwrap_or(0)
            .min(BUCKETS - 1);
        if let Some(weight) = self.histogram.get_mut(bucket) {
            *weight += 1.0 - keep;
        }
        self.quantile_us = self.quantile();
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

    fn quantile(&self) -> i64 {
        let mut sum = 0.0;
        for (index, weight) in (1i64..).zip(&self.histogram) {
            sum += weight;
            if sum >= QUANTILE {
                return index * BUCKET_US;
            }
        }
        BUCKET_US * 200
    }

    fn move_base(&mut self, arrival_us: i64, transit_us: i64) {
        let slice = arrival_us / SLICE_US;
        let index = usize::try_from(slice.rem_euclid(SLICES as i64)).unwrap_or(0);
        if let Some(place) = self.slices.get_mut(index) {
            *place = match *place {
                Some((number, least)) if number == slice => Some((slice, least.min(transit_us))),
                _ => Some((slice, transit_us)),
            };
        }
        let oldest = slice - SLICES as i64;
        let recent = slice - SHIFTED_SLICES as i64;
        let least = |from: i64| {
            let slices = self.slices.iter().flatten();
            slices
                .filter(|(n, _)| *n > from)
                .map(|(_, least)| *least)
                .min()
        };
        let (whole, newest) = (least(oldest), least(recent));
        let filled = self
            .slices
            .iter()
            .flatten()
            .filter(|(n, _)| *n > recent)
            .count();
        self.base = match (whole, newest) {
            (Some(whole), Some(newest))
                if filled == SHIFTED_SLICES && newest > whole + SHIFT_US =>
            {
                for slot in &mut self.slices {
                    if slot.is_some_and(|(n, _)| n <= recent) {
                        *slot = None;
                    }
                }
                Some(newest)
            }
            (whole, _) => whole,
        };
    }

    fn note_peak(&mut self, at: i64, relative: i64) {
        if !self.is_settled() || relative <= self.quantile_us + PEAK_US {
            self.rising = None;
            return;
        }
        let Some(before) = self.rising.replace(relative) else {
            return;
        };
        let height = relative.max(before);
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
