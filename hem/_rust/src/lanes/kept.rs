//! What is kept beside a key: the tables of its multiples, as far as the budget reaches.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::Budget;
use super::tables::{Comb, Wide};

/// The multiples of one key, as far as they have been built: 32 bytes. A clone starts with none.
#[derive(Debug)]
pub(crate) struct Tables {
    comb: Slot<Comb>,
    wide: Slot<Wide>,
    /// Signatures since `since`.
    pub(super) seen: AtomicU32,
    /// When the count began, in rows that this process had seen.
    pub(super) since: AtomicU32,
    budget: Arc<Budget>,
}

impl Tables {
    /// No table yet, and what those to come may take.
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        let (comb, wide) = (Slot::default(), Slot::default());
        Self { comb, wide, seen: AtomicU32::new(0), since: AtomicU32::new(0), budget: Arc::clone(budget) }
    }

    pub(super) fn comb(&self) -> Option<&Comb> {
        self.comb.get()
    }

    pub(super) fn wide(&self) -> Option<&Wide> {
        self.wide.get()
    }

    /// Keeps a comb if there is room for it.
    pub(super) fn keep_comb(&self, comb: Box<Comb>) {
        self.keep(&self.comb, comb);
    }

    /// Keeps a larger table if there is room for it.
    pub(super) fn keep_wide(&self, wide: Box<Wide>) {
        self.keep(&self.wide, wide);
    }

    /// Whether there is room for a comb.
    pub(super) fn has_room_for_comb(&self) -> bool {
        self.budget.has(size_of::<Comb>())
    }

    /// Whether there is room for a larger table.
    pub(super) fn has_room_for_wide(&self) -> bool {
        self.budget.has_half_for(size_of::<Wide>())
    }

    fn keep<T: Send + Sync>(&self, slot: &Slot<T>, table: Box<T>) {
        // If there is one already, another thread was first, with the same table.
        if self.budget.take(size_of::<T>()) && !slot.put(table) {
            self.budget.give_back(size_of::<T>());
        }
    }
}

impl Clone for Tables {
    fn clone(&self) -> Self {
        Self::new(&self.budget)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let comb = self.comb().map_or(0, size_of_val);
        self.budget.give_back(comb + self.wide().map_or(0, size_of_val));
    }
}

/// A place of 8 bytes for a table on the heap: empty until one is put there, and never empty again.
#[derive(Debug)]
struct Slot<T: Send + Sync>(AtomicPtr<T>);

impl<T: Send + Sync> Default for Slot<T> {
    fn default() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }
}

impl<T: Send + Sync> Slot<T> {
    fn get(&self) -> Option<&T> {
        // SAFETY: null, or out of a box, which only `drop` takes back; what was written to it before is seen after it.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Puts a table into an empty place, and returns whether it was empty.
    fn put(&self, table: Box<T>) -> bool {
        let table = Box::into_raw(table);
        let put = self.0.compare_exchange(null_mut(), table, Ordering::Release, Ordering::Relaxed).is_ok();
        if !put {
            // SAFETY: out of the box above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(table) });
        }
        put
    }
}

impl<T: Send + Sync> Drop for Slot<T> {
    fn drop(&mut self) {
        let table = *self.0.get_mut();
        if !table.is_null() {
            // SAFETY: out of a box that was put here, and with the place go all references that `get` gave.
            drop(unsafe { Box::from_raw(table) });
        }
    }
}
