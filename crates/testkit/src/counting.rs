//! What code takes of memory, counted.

use std::alloc::{GlobalAlloc, Layout, System};

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
