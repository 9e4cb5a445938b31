//! Development only: a virtual network in virtual time.
//!
//! Tests of protocol objects need two things the real world does not give: time that jumps and a network that
//! misbehaves the same way twice. A [`World`] owns the peers ([`Node`]), the packets under way and the clock. A step
//! jumps to the earliest thing that is due, be it a packet that arrives or a timer that fires, so a test of a
//! 32-second timeout takes microseconds.
//!
//! ```text
//!   node A ──Outbox──▶ [ rule ] ─▶ [ link: loss, delay, duplicates, reordering ] ─▶ queue by arrival ─▶ node B
//!                      a test's     drawn from the world's seed                     ties by send order
//!                      own verdict
//! ```
//!
//! Everything random comes from one seed: the same seed and the same nodes give the same run, packet for packet.
//! Between real programs, in the time of day, [`UnderWay`] does what a world's links do.
//! Beside them stands [`Counting`], an allocator for tests that promise how much memory is taken.
//!
//! The payload is a type parameter: SIP messages, RTP packets or plain numbers travel alike.

mod chance;
mod counting;
mod link;
mod under_way;
mod world;

pub use chance::Chance;
pub use counting::{Counting, by_thread, taken_by};
pub use link::Link;
pub use under_way::{Counts, UnderWay};
pub use world::{Fate, Node, NodeId, Outbox, Packet, Traced, Verdict, World};
