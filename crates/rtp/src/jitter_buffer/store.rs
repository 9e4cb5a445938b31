//! The packets that wait, in order of their sequence numbers, with buffers that are used again.

use std::collections::VecDeque;

/// Larger payloads than this are not audio: 120 ms of the largest Opus frames.
pub(super) const LARGEST_PAYLOAD: usize = 8_192;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Content {
    #[default]
    Audio,
    /// Not for the audio decoder: it only keeps its number from being taken for a loss.
    Other,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) sequence: i64,
    pub(super) timestamp: i64,
    pub(super) marker: bool,
    pub(super) payload_type: u8,
    pub(super) content: Content,
    pub(super) bytes: Vec<u8>,
}

/// Room for the payload of any usual packet: 60 ms of G.711.
const USUAL_PAYLOAD: usize = 480;

/// How many packets usually wait at most; their buffers are there from the start, so that the thread
/// that plays does not allocate.
const USUALLY_WAITING: usize = 16;

fn buffer() -> Vec<u8> {
    Vec::with_capacity(USUAL_PAYLOAD)
}

/// A slot that holds nothing yet, with room: its buffer goes round with the others.
pub(super) fn empty_slot() -> Slot {
    Slot {
        bytes: buffer(),
        ..Slot::default()
    }
}

fn spare_buffers(capacity: usize) -> Vec<Vec<u8>> {
    let mut spare = Vec::with_capacity(capacity);
    spare.resize_with(USUALLY_WAITING.min(capacity), buffer);
    spare
}

/// At most `capacity` slots, ascending without repetition.
#[derive(Debug, Clone)]
pub(super) struct Store {
    slots: VecDeque<Slot>,
    spare: Vec<Vec<u8>>,
    capacity: usize,
}

impl Store {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: VecDeque::with_capacity(capacity + 1),
            spare: spare_buffers(capacity),
            capacity,
        }
    }

    /// Puts a slot in its place. False when that number is here already. The caller has made
    /// room before.
    pub(super) fn insert(&mut self, mut slot: Slot, payload: &[u8]) -> bool {
        let place = self.slots.partition_point(|s| s.sequence < slot.sequence);
        if self
            .slots
            .get(place)
            .is_some_and(|s| s.sequence == slot.sequence)
        {
            return false;
        }
        slot.bytes = self.spare.pop().unwrap_or_else(buffer);
        slot.bytes.clear();
        slot.bytes.extend_from_slice(payload);
        self.slots.insert(place, slot);
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= self.capacity
    }

    pub(super) fn front(&self) -> Option<&Slot> {
        self.slots.front()
    }

    pub(super) fn second(&self) -> Option<&Slot> {
        self.slots.get(1)
    }

    pub(super) fn pop_front(&mut self) -> Option<Slot> {
        self.slots.pop_front()
    }

    /// Gives a slot's buffer back.
    pub(super) fn recycle(&mut self, slot: Slot) {
        if self.spare.len() < self.capacity {
            self.spare.push(slot.bytes);
        }
    }

    pub(super) fn clear(&mut self) {
        while let Some(slot) = self.slots.pop_front() {
            self.recycle(slot);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}
