//! The kernel for every processor: curve25519-dalek, with one inversion for all rows.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use sha2::{Digest as _, Sha512};

use super::{Kernel, Mode, Row};

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

    fn verify(&self, rows: &[Row<'_>], mode: Mode) -> Vec<bool> {
        let points: Vec<EdwardsPoint> = rows.iter().map(expected).collect();
        if mode == Mode::Cofactored {
            return points.iter().zip(rows).map(|(point, row)| is_close(point, row.r)).collect();
        }
        let encodings = EdwardsPoint::compress_batch_alloc(&points);
        encodings.iter().zip(rows).map(|(encoding, row)| encoding.as_bytes() == row.r).collect()
    }
}

/// Returns whether R is a point that 8 times is 8 times `expected`.
fn is_close(expected: &EdwardsPoint, r: &[u8; 32]) -> bool {
    let decoded = CompressedEdwardsY(*r).decompress();
    decoded.is_some_and(|r| (expected - r).mul_by_cofactor().is_identity())
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
