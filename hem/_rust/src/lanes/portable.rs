//! The kernel for every processor: curve25519-dalek, with one inversion for all rows.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

use super::{Kernel, Row};

/// One row after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// This kernel keeps nothing beside a key.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables;

impl Kernel for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn verify(&self, rows: &[Row<'_>]) -> Vec<bool> {
        let points: Vec<EdwardsPoint> = rows.iter().map(expected).collect();
        let encodings = EdwardsPoint::compress_batch_alloc(&points);
        encodings.iter().zip(rows).map(|(encoding, row)| encoding.as_bytes() == row.r).collect()
    }
}

/// Returns the point that R must encode: [s]B - [k]A.
fn expected(row: &Row<'_>) -> EdwardsPoint {
    let mut hash = Sha512::new_with_prefix(row.r).chain_update(row.key.bytes());
    for part in row.message {
        hash.update(part);
    }
    let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    // s is below L, so nothing is reduced here.
    let s = Scalar::from_bytes_mod_order(*row.s);
    EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, row.key.minus(), &s)
}
