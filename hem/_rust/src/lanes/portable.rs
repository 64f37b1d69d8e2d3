//! The kernel for every processor: curve25519-dalek, with one inversion for all rows.

use std::sync::LazyLock;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity as _, IsIdentity as _};
use sha2::{Digest as _, Sha512};

use super::{Eighth, Entry, Kernel, Mode, Row};
use crate::reason::Reason;
use crate::reason::Reason::{KeyMalformed, KeyWeak};

/// One row after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

/// This kernel keeps nothing beside a key.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Debug)]
pub(crate) struct Tables;

#[cfg(not(target_arch = "x86_64"))]
impl Tables {
    /// Nothing.
    pub(crate) fn new(_: &std::sync::Arc<super::Budget>) -> Self {
        Self
    }
}

/// 1/8 mod L, which is (3 L + 1) / 8.
static EIGHTH: LazyLock<Scalar> = LazyLock::new(|| Scalar::from(8_u8).invert());

impl Kernel for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn form(&self) -> &'static str {
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

    fn enroll(&self, keys: &[[u8; 32]]) -> Vec<Result<Entry, Reason>> {
        keys.iter().map(enrolled).collect()
    }

    fn eighths(&self, keys: &[[u8; 32]]) -> Vec<Eighth> {
        let points: Vec<EdwardsPoint> = keys.iter().map(|key| minus(key) * *EIGHTH).collect();
        EdwardsPoint::compress_batch_alloc(&points)
            .iter()
            .map(|encoding| std::array::from_fn(|at| encoding.as_bytes().get(at).copied().unwrap_or_default()))
            .collect()
    }

    fn admit(&self, keys: &[([u8; 32], Eighth)]) -> Vec<Option<Entry>> {
        keys.iter().map(admitted).collect()
    }
}

fn enrolled(key: &[u8; 32]) -> Result<Entry, Reason> {
    let point = CompressedEdwardsY(*key).decompress().ok_or(KeyMalformed)?;
    if point.compress().to_bytes() != *key {
        return Err(KeyMalformed);
    }
    if point.is_small_order() || !point.is_torsion_free() {
        return Err(KeyWeak);
    }
    Ok(Entry::NONE)
}

fn admitted((key, eighth): &([u8; 32], Eighth)) -> Option<Entry> {
    let (encoding, rest) = eighth.split_first_chunk()?;
    let point = -CompressedEdwardsY(*encoding).decompress()?.mul_by_cofactor();
    let same = point.compress().as_bytes() == key && point != EdwardsPoint::identity();
    (same && rest == [0; 32]).then_some(Entry::NONE)
}

/// The negative of the point of a key that has been enrolled, so that there is one.
fn minus(key: &[u8; 32]) -> EdwardsPoint {
    CompressedEdwardsY(*key).decompress().map_or_else(EdwardsPoint::identity, |point| -point)
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
    EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &minus(row.key.bytes()), &s)
}
