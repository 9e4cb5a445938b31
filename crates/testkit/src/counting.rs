//! What code takes of memory, counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The system's allocator, which tells how many octets each thread takes, and as a negative number what it gives back.
///
/// ```
/// use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
/// static HELD: AtomicIsize = AtomicIsize::new(0);
/// #[global_allocator]
/// static ALLOCATOR: testkit::Counting = testkit::Counting(|octets| {
///     HELD.fetch_add(octets, Relaxed);
/// });
/// let before = HELD.load(Relaxed);
/// let some = vec![0_u8; 1_000];
/// assert!(HELD.load(Relaxed) >= before + 1_000);
/// drop(some);
/// ```
///
/// What is called may not allocate without end itself: it is called for that, too.
pub struct Counting(pub fn(isize));

#[expect(unsafe_code, reason = "an allocator cannot be written without it")]
// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        (self.0)(layout.size().cast_signed());
        // SAFETY: the caller's contract is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        (self.0)(-layout.size().cast_signed());
        // SAFETY: the caller's contract is ours.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Threads that are told apart by [`by_thread`]; all further ones count as the last.
const THREADS: usize = 64;

/// For each thread in the order of their first allocations: its number with the system, and its count.
static NUMBERS: [AtomicU64; THREADS] = [const { AtomicU64::new(0) }; THREADS];
static COUNTS: [AtomicU64; THREADS] = [const { AtomicU64::new(0) }; THREADS];
static SEEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Where this thread stands in both, once it does.
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// For [`Counting`]: how often each thread takes and gives back. On Linux, where threads have numbers.
pub fn by_thread(_: isize) {
    let _ = PLACE.try_with(|place| {
        let at = place.get().unwrap_or_else(|| {
            let at = SEEN.fetch_add(1, Relaxed).min(THREADS - 1);
            // First, for to find out the number allocates, too.
            place.set(Some(at));
            let number = std::fs::read_link("/proc/thread-self").ok();
            let number = number.as_deref().and_then(|link| link.file_name());
            let number = number.and_then(|name| name.to_str()?.parse().ok());
            NUMBERS[at].store(number.unwrap_or(0), Relaxed);
            at
        });
        COUNTS[at].fetch_add(1, Relaxed);
    });
}

/// How often the thread of this number has taken or given back memory, as [`by_thread`] has counted; `None` of one that never has.
#[must_use]
pub fn taken_by(thread: u32) -> Option<u64> {
    let places = NUMBERS.iter().zip(&COUNTS);
    // A number may be that of an older thread that has ended, too.
    let counts = places.filter(|(number, _)| number.load(Relaxed) == u64::from(thread));
    counts
        .map(|(_, count)| count.load(Relaxed))
        .reduce(|a, b| a + b)
}
