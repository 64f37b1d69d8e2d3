//! How much memory tables of multiples may take.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that the tables of some keys may take together, and those that they take.
///
/// With less memory rows of keys without a table take longer; no answer changes.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    taken: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // a kernel without tables takes nothing
impl Budget {
    /// 1 GiB: the combs of 170,000 keys.
    pub const DEFAULT: usize = 1 << 30;

    /// Returns a budget of `limit` bytes, all of them free.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }

    /// Takes `bytes` if there are as many.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let more = |taken| self.after(taken, bytes);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether there are `bytes` to take.
    pub(super) fn has(&self, bytes: usize) -> bool {
        self.after(self.taken.load(Ordering::Relaxed), bytes).is_some()
    }

    /// Whether `bytes` more fit into half of the budget: the other half is kept for combs, so that nobody can drive the
    /// combs of a fleet out with many messages under few keys.
    pub(super) fn has_half_for(&self, bytes: usize) -> bool {
        let taken = self.taken.load(Ordering::Relaxed).saturating_mul(2);
        self.after(taken, bytes.saturating_mul(2)).is_some()
    }

    /// What is taken after `bytes` more, if the limit allows it.
    fn after(&self, taken: usize, bytes: usize) -> Option<usize> {
        taken.checked_add(bytes).filter(|&sum| sum <= self.limit)
    }
}
