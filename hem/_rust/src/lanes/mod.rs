//! Verification of Ed25519 in lanes: four signatures at once where the processor has AVX2 and FMA.
//!
//! A [`Kernel`] says of each row whether R is the encoding of [s]B - [k]A, or, in the cofactored mode, whether 8 times
//! the two are the same point. There are two, with the same answers to
//! every row: `Lanes`, with tables of the multiples of each key, and `Portable`, which is curve25519-dalek. Which one
//! runs is settled once in a process, by the processor and by `HEM_NO_SIMD`. This is the only folder with unsafe code.
#![allow(clippy::indexing_slicing)] // arrays of fixed sizes, where a wrong index would be caught by any test

#[cfg(all(test, target_arch = "x86_64"))]
mod bounds;
#[cfg(target_arch = "x86_64")]
mod buckets;
#[cfg(target_arch = "x86_64")]
mod cofactored;
#[cfg(all(test, target_arch = "x86_64"))]
mod cofactored_tests;
#[cfg(target_arch = "x86_64")]
mod decode;
mod digits;
#[cfg(target_arch = "x86_64")]
mod entry;
#[cfg(target_arch = "x86_64")]
mod fe;
#[cfg(target_arch = "x86_64")]
mod kernel;
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

use std::sync::LazyLock;

use crate::cose::Parts;
use crate::ed25519::{Key, Mode};

#[cfg(target_arch = "x86_64")]
pub(crate) use kernel::Tables;
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

/// A way to check the equation of many rows.
pub(crate) trait Kernel: Send + Sync {
    /// The name that reports and benchmarks give it.
    fn name(&self) -> &'static str;

    /// Returns for each row whether the equation of the mode holds, whatever the other rows are.
    fn verify(&self, rows: &[Row<'_>], mode: Mode) -> Vec<bool>;
}

/// Returns the kernel of this process.
pub(crate) fn kernel() -> &'static dyn Kernel {
    static KERNEL: LazyLock<Box<dyn Kernel>> = LazyLock::new(|| match std::env::var_os("HEM_NO_SIMD") {
        None => fastest(),
        Some(value) if value.is_empty() || value == "0" => fastest(),
        Some(_) => Box::new(Portable),
    });
    &**KERNEL
}

fn fastest() -> Box<dyn Kernel> {
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = kernel::Lanes::detect() {
        return Box::new(lanes);
    }
    Box::new(Portable)
}

/// Returns whether `bytes` are a number below L.
pub(crate) fn is_reduced(bytes: &[u8; 32]) -> bool {
    digits::is_reduced(bytes)
}

/// Lets the tables of all keys of this process take `bytes` in all; a kernel without tables has no use for it.
pub(crate) fn set_table_limit(bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    tables::set_limit(bytes);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
