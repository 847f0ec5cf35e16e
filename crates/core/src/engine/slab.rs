//! Numbered slots in chunks. **Invariant:** a value never moves while it lives, and growth copies nothing.
//!
//! A `Vec` would double its memory and copy every user under the caller's lock when it grows; a chunk is a constant cost.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// Where a value lives. Reused after the value is removed.
pub(super) type Slot = u32;

/// No slot.
pub(super) const NIL: Slot = Slot::MAX;

/// Values per chunk. A power of two, small enough that an engine with a few users costs a few pages.
const CHUNK: usize = 256;

/// A value, or a link of the list of free slots. Values with a spare bit pattern (every name has one) pay nothing for the choice.
#[derive(Debug)]
enum Entry<T> {
    Vacant(Slot),
    Occupied(T),
}

#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Entry<T>>>,
    free: Slot,
    len: usize,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: NIL, len: 0 }
    }

    /// How many values there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How many slots there are, free ones included.
    pub(super) fn slots(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Whether a value of any kind fits.
    pub(super) fn is_full(&self) -> bool {
        self.free == NIL && self.slots() >= NIL as usize
    }

    /// Callers ask [`is_full`](Self::is_full) first; their own limits are far below it.
    pub(super) fn insert(&mut self, value: T) -> Slot {
        self.len += 1;
        if self.free != NIL {
            let slot = self.free;
            let entry = &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK];
            if let Entry::Vacant(next) = entry {
                self.free = *next;
            }
            *entry = Entry::Occupied(value);
            return slot;
        }
        let slot = self.slots();
        if slot.is_multiple_of(CHUNK) {
            let mut chunk = Vec::new();
            chunk.reserve_exact(CHUNK);
            self.chunks.push(chunk);
        }
        self.chunks[slot / CHUNK].push(Entry::Occupied(value));
        slot as Slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let entry = self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)?;
        if matches!(entry, Entry::Vacant(_)) {
            return None;
        }
        let Entry::Occupied(value) = core::mem::replace(entry, Entry::Vacant(self.free)) else { return None };
        self.free = slot;
        self.len -= 1;
        Some(value)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        match self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)? {
            Entry::Occupied(value) => Some(value),
            Entry::Vacant(_) => None,
        }
    }

    /// Visits the values of the slots from `from` to `end`, which is no more than there are.
    pub(super) fn visit(&self, from: usize, end: usize, mut visitor: impl FnMut(&T)) {
        let mut slot = from;
        while slot < end {
            let values = &self.chunks[slot / CHUNK][slot % CHUNK..];
            let values = &values[..values.len().min(end - slot)];
            for entry in values {
                if let Entry::Occupied(value) = entry {
                    visitor(value);
                }
            }
            slot += values.len().max(1);
        }
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        match self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)? {
            Entry::Occupied(value) => Some(value),
            Entry::Vacant(_) => None,
        }
    }
}

/// For slots that the engine itself wrote down: a vacant one there is a bug of the engine, not an input.
impl<T> Index<Slot> for Slab<T> {
    type Output = T;
    fn index(&self, slot: Slot) -> &T {
        match &self.chunks[slot as usize / CHUNK][slot as usize % CHUNK] {
            Entry::Occupied(value) => value,
            Entry::Vacant(_) => unreachable!("slot {slot} is vacant"),
        }
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        match &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK] {
            Entry::Occupied(value) => value,
            Entry::Vacant(_) => unreachable!("slot {slot} is vacant"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_the_next_one_used_and_others_stay_where_they_are() {
        let mut slab = Slab::new();
        let slots: Vec<Slot> = (0..600).map(|value: u64| slab.insert(value)).collect();
        assert_eq!(slab.remove(slots[300]), Some(300));
        assert_eq!(slab.remove(slots[300]), None);
        assert_eq!(slab.get(slots[300]), None);
        assert_eq!((slab.len(), slab.slots()), (599, 600));
        assert_eq!(slab.insert(7), slots[300]);
        assert_eq!((slab[slots[299]], slab[slots[300]], slab[slots[599]]), (299, 7, 599));
        assert_eq!(slab.get(600), None);
    }

    #[test]
    fn a_visit_ends_with_the_last_slot_also_where_a_chunk_ends() {
        let mut slab = Slab::new();
        for value in 0..2 * CHUNK {
            slab.insert(value);
        }
        let mut seen = Vec::new();
        slab.visit(CHUNK - 1, slab.slots(), |&value| seen.push(value));
        assert_eq!(seen, (CHUNK - 1..2 * CHUNK).collect::<Vec<_>>());
    }

    #[test]
    fn a_user_with_one_session_fits_into_136_bytes() {
        assert_eq!(size_of::<Entry<super::super::user::User>>(), 64);
        assert_eq!(size_of::<Entry<super::super::session::Session>>(), 72);
    }
}
