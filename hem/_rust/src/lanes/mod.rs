//! Verification of Ed25519 in lanes: four signatures at once where the processor has AVX2 and FMA, eight with AVX-512 IFMA.
//!
//! A [`Kernel`] says of each row whether R is the encoding of [s]B - [k]A, or, in the cofactored mode, whether 8 times
//! the two are the same point. There are three, with the same answers to every row: `Lanes`, with tables of the multiples
//! of each key, over a field of doubles (`lanes`) or of integers (`lanes-ifma`), and `Portable`, which is
//! curve25519-dalek. Which one runs is settled once in a process, by the processor and by `HEM_NO_SIMD`: `ifma` keeps
//! the integers out, anything else but 0 the lanes. This is the only folder with unsafe code.
#![allow(clippy::indexing_slicing)] // arrays of fixed sizes, where a wrong index would be caught by any test

#[cfg(all(test, target_arch = "x86_64"))]
mod bounds;
#[cfg(target_arch = "x86_64")]
mod buckets;
mod budget;
#[cfg(target_arch = "x86_64")]
mod cofactored;
#[cfg(all(test, target_arch = "x86_64"))]
mod cofactored_tests;
#[cfg(target_arch = "x86_64")]
mod decode;
mod digits;
#[cfg(target_arch = "x86_64")]
mod enroll;
#[cfg(target_arch = "x86_64")]
mod entry;
#[cfg(target_arch = "x86_64")]
mod fe;
#[cfg(target_arch = "x86_64")]
mod fi;
#[cfg(target_arch = "x86_64")]
mod field;
#[cfg(all(test, target_arch = "x86_64"))]
mod field_tests;
#[cfg(target_arch = "x86_64")]
mod kept;
#[cfg(target_arch = "x86_64")]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod madd;
pub(crate) mod map;
#[cfg(target_arch = "x86_64")]
mod order;
#[cfg(target_arch = "x86_64")]
mod plan;
#[cfg(target_arch = "x86_64")]
mod point;
mod portable;
#[cfg(target_arch = "x86_64")]
mod product;
#[cfg(target_arch = "x86_64")]
mod sha512;
#[cfg(target_arch = "x86_64")]
mod tables;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
#[cfg(target_arch = "x86_64")]
mod wide;
#[cfg(all(test, target_arch = "x86_64"))]
mod wide_tests;

use std::sync::LazyLock;

use crate::cose::Parts;
use crate::ed25519::{Key, Mode};
use crate::reason::Reason;

pub use budget::Budget;
#[cfg(target_arch = "x86_64")]
pub(crate) use kept::Tables;
pub(crate) use portable::Portable;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use portable::Tables;

/// A signature that has passed every check but the equation: s < L, R canonical and not of small order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) key: &'a Key,
    pub(crate) r: &'a [u8; 32],
    pub(crate) s: &'a [u8; 32],
    pub(crate) message: Parts<'a>,
}

/// A point as the twelve words of (y + x) / 2, (y - x) / 2 and d x y, each packed into 255 bits; all zero, which is
/// no point, where a kernel has no use for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(32))]
pub(crate) struct Entry([u64; 12]);

impl Entry {
    /// What a kernel without entries gives.
    pub(crate) const NONE: Self = Self([0; 12]);

    /// The words, which need no alignment.
    pub(crate) const fn into_words(self) -> [u64; 12] {
        self.0
    }

    /// The entry that was made into words.
    pub(crate) const fn from_words(words: [u64; 12]) -> Self {
        Self(words)
    }
}

/// A point that is [1/8](-A), in the form of the kernel that made it. That there is one shows that A has order L or 1:
/// whatever point is taken 8 times, no part of small order is left.
pub(crate) type Eighth = [u8; 64];

/// What a kernel does with many keys or rows at once; what one of them gets does not depend on the others.
pub(crate) trait Kernel: Send + Sync {
    /// The name that reports and benchmarks give it.
    fn name(&self) -> &'static str;

    /// The name of the form that entries and eighths have: kernels of one form can use each other's.
    fn form(&self) -> &'static str;

    /// Returns for each row whether the equation of the mode holds, whatever the other rows are.
    fn verify(&self, rows: &[Row<'_>], mode: Mode) -> Vec<bool>;

    /// Returns for each public key the entry of -A, or `KeyMalformed` or `KeyWeak` by the rule of `ed25519`.
    fn enroll(&self, keys: &[[u8; 32]]) -> Vec<Result<Entry, Reason>>;

    /// Returns the eighth of each key. All must have passed `enroll`.
    fn eighths(&self, keys: &[[u8; 32]]) -> Vec<Eighth>;

    /// Returns what `enroll` would, sooner, for each key whose eighth this is. Neither need be of any worth.
    fn admit(&self, keys: &[([u8; 32], Eighth)]) -> Vec<Option<Entry>>;
}

/// Returns the kernel of this process.
pub(crate) fn kernel() -> &'static dyn Kernel {
    static KERNEL: LazyLock<Box<dyn Kernel>> = LazyLock::new(|| match std::env::var_os("HEM_NO_SIMD") {
        None => fastest(true),
        Some(value) if value.is_empty() || value == "0" => fastest(true),
        Some(value) if value == "ifma" => fastest(false),
        Some(_) => Box::new(Portable),
    });
    &**KERNEL
}

#[cfg(target_arch = "x86_64")]
fn fastest(with_ifma: bool) -> Box<dyn Kernel> {
    if let Some(lanes) = kernel::Lanes::<fi::Fi4>::detect().filter(|_| with_ifma) {
        return Box::new(lanes);
    }
    if let Some(lanes) = kernel::Lanes::<fe::Fe4>::detect() {
        return Box::new(lanes);
    }
    Box::new(Portable)
}

#[cfg(not(target_arch = "x86_64"))]
fn fastest(_: bool) -> Box<dyn Kernel> {
    Box::new(Portable)
}

/// Returns whether `bytes` are a number below L.
pub(crate) fn is_reduced(bytes: &[u8; 32]) -> bool {
    digits::is_reduced(bytes)
}
