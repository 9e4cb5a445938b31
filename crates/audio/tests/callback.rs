//! The callbacks may neither allocate nor free: they run on real-time threads.

use std::cell::Cell;
use std::sync::Arc;

use audio::callback::{Capture, Counters, Playout, Sample};
use rtrb::RingBuffer;
use testkit::Counting;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count(_: isize) {
    if WATCHED.try_with(Cell::get).unwrap_or(false) {
        COUNT.with(|count| count.set(count.get() + 1));
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

/// What `work` allocates and frees.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.set(0);
    WATCHED.set(true);
    work();
    WATCHED.set(false);
    COUNT.get()
}

#[test]
fn the_guard_notices_an_allocation() {
    assert!(allocations(|| drop(std::hint::black_box(vec![0u8; 100]))) >= 2);
}

fn check<T: Sample>(rate_hz: u32) {
    let counters = Arc::new(Counters::default());
    let (producer, _consumer) = RingBuffer::new(1_000);
    let mut capture = Capture::new(producer, 2, rate_hz, Arc::default(), Arc::clone(&counters));
    let (mut feed, ring) = RingBuffer::new(48_000);
    feed.push_entire_slice(&vec![0.1; 2_000]).unwrap();
    let mut playout = Playout::new(ring, 2, rate_hz, Arc::default(), Arc::clone(&counters));
    // Longer than the ring, and longer than what waits: the full and the empty ring are covered too.
    let mut data = vec![T::SILENCE; 4_096];
    let count = allocations(|| {
        for _ in 0..10 {
            capture.take(&data);
            playout.fill(&mut data);
        }
    });
    assert_eq!(count, 0, "at {rate_hz} Hz");
    assert!(counters.dropped() > 0 && counters.missing() > 0);
}

#[test]
fn callbacks_neither_allocate_nor_free() {
    for rate_hz in [48_000, 44_100, 16_000, 96_000] {
        check::<f32>(rate_hz);
        check::<i16>(rate_hz);
        check::<i32>(rate_hz);
    }
}
