//! Ed25519 under one rule for every path (`protocols/decisions/0002-ed25519-rule.md`): exact, cofactorless, strict.
//!
//! A signature (R, s) of M by A is accepted if and only if s < L, R is canonical and not of small order, and the 32
//! bytes of R are the encoding of [s]B - [k]A, with k = SHA-512(R || A || M) mod L. A is checked once, at enrollment:
//! canonical, on the curve, and of order L. With such an A the comparison leaves no R outside the group of prime order.

use std::sync::LazyLock;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

use crate::cose::Parts;
use crate::reason::Reason;
use crate::reason::Reason::{KeyMalformed, KeyWeak, Met, SignatureInvalid, SignatureMalformed};

/// Little-endian bytes of p = 2^255 - 19.
const P: [u8; 32] = {
    let mut bytes = [0xFF; 32];
    (bytes[0], bytes[31]) = (0xED, 0x7F);
    bytes
};

/// The y coordinates of the eight points of small order: five values, since x and -x share one.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> =
    LazyLock::new(|| EIGHT_TORSION.map(|point| without_sign(point.compress().to_bytes())));

/// A public key that passed the checks of enrollment.
#[derive(Clone, Debug)]
pub struct Key {
    bytes: [u8; 32],
    minus: EdwardsPoint,
}

impl Key {
    /// Returns the key that `bytes` encode.
    ///
    /// # Errors
    /// `KeyMalformed`: not 32 bytes, not on the curve, or not the canonical encoding. `KeyWeak`: of small order, or
    /// with a part of small order: such a key would let its holder make signatures on which verifiers disagree.
    pub fn new(bytes: &[u8]) -> Result<Self, Reason> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyMalformed)?;
        let point = CompressedEdwardsY(bytes).decompress().ok_or(KeyMalformed)?;
        if point.compress().to_bytes() != bytes {
            return Err(KeyMalformed);
        }
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(KeyWeak);
        }
        Ok(Self { bytes, minus: -point })
    }
}

/// One signature to check.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Whose it should be.
    pub key: &'a Key,
    /// R and s.
    pub signature: &'a [u8],
    /// What it should cover, in pieces.
    pub message: Parts<'a>,
}

/// Returns a reason for each row, in order; what one row gets does not depend on any other row.
#[must_use]
pub fn verify_rows(rows: &[Signed<'_>]) -> Vec<Reason> {
    let read: Vec<Result<(Scalar, [u8; 32]), Reason>> = rows.iter().map(|row| signature(row.signature)).collect();
    let points: Vec<EdwardsPoint> =
        read.iter().zip(rows).filter_map(|(read, row)| read.as_ref().ok().map(|(s, r)| expected(row, s, r))).collect();
    // One inversion serves all rows here; the encodings are those of `compress`, row by row.
    let mut encodings = EdwardsPoint::compress_batch_alloc(&points).into_iter();
    read.into_iter()
        .map(|read| match read {
            Err(reason) => reason,
            Ok((_, r)) if encodings.next().is_some_and(|encoding| encoding.to_bytes() == r) => Met,
            Ok(_) => SignatureInvalid,
        })
        .collect()
}

fn signature(bytes: &[u8]) -> Result<(Scalar, [u8; 32]), Reason> {
    let (r, s) = bytes.split_first_chunk::<32>().ok_or(SignatureMalformed)?;
    let s: [u8; 32] = s.try_into().map_err(|_| SignatureMalformed)?;
    let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)).ok_or(SignatureMalformed)?;
    let y = without_sign(*r);
    if y.iter().rev().ge(P.iter().rev()) || SMALL_ORDER.contains(&y) {
        return Err(SignatureMalformed);
    }
    Ok((s, *r))
}

/// Returns the point that R must encode: [s]B - [k]A.
fn expected(row: &Signed<'_>, s: &Scalar, r: &[u8; 32]) -> EdwardsPoint {
    let mut hash = Sha512::new_with_prefix(r).chain_update(row.key.bytes);
    for part in row.message {
        hash.update(part);
    }
    let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &row.key.minus, s)
}

const fn without_sign(mut encoding: [u8; 32]) -> [u8; 32] {
    encoding[31] &= 0x7F;
    encoding
}
