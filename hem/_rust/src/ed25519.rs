//! Ed25519 under one rule for every path (`protocols/decisions/0002-ed25519-rule.md`): exact, cofactorless, strict.
//!
//! A signature (R, s) of M by A is accepted if and only if s < L, R is canonical and not of small order, and the 32
//! bytes of R are the encoding of [s]B - [k]A, with k = SHA-512(R || A || M) mod L. A is checked once, at enrollment:
//! canonical, on the curve, and of order L. With such an A the comparison leaves no R outside the group of prime order.

use std::sync::{Arc, LazyLock};

use curve25519_dalek::constants::EIGHT_TORSION;

use crate::cose::Parts;
pub use crate::lanes::Budget;
use crate::lanes::{self, Eighth, Entry, Kernel, Portable, Row, Tables};
use crate::reason::Reason;
use crate::reason::Reason::{KeyMalformed, Met, SignatureInvalid, SignatureMalformed};

/// Little-endian bytes of p = 2^255 - 19.
const P: [u8; 32] = {
    let mut bytes = [0xFF; 32];
    (bytes[0], bytes[31]) = (0xED, 0x7F);
    bytes
};

/// The y coordinates of the eight points of small order: five values, since x and -x share one.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> =
    LazyLock::new(|| EIGHT_TORSION.map(|point| without_sign(point.compress().to_bytes())));

/// A public key that passed the checks of enrollment: 160 bytes, 128 of them the key and the rest for its tables.
#[derive(Clone, Debug)]
pub struct Key {
    bytes: [u8; 32],
    /// An `Entry`, at any alignment.
    entry: [u64; 12],
    tables: Tables,
}

impl Key {
    /// Returns the key that `bytes` encode, whose tables share a budget of `Budget::DEFAULT` with all such keys.
    ///
    /// # Errors
    /// `KeyMalformed`: not 32 bytes, not on the curve, or not the canonical encoding. `KeyWeak`: of small order, or
    /// with a part of small order: such a key would let its holder make signatures on which verifiers disagree.
    pub fn new(bytes: &[u8]) -> Result<Self, Reason> {
        static BUDGET: LazyLock<Arc<Budget>> = LazyLock::new(Arc::default);
        Self::new_many(&[bytes.try_into().map_err(|_| KeyMalformed)?], &BUDGET).pop().unwrap_or(Err(KeyMalformed))
    }

    /// Returns for each encoding what `new` would, sooner than one by one. Their tables share `budget`.
    #[must_use]
    pub fn new_many(encodings: &[[u8; 32]], budget: &Arc<Budget>) -> Vec<Result<Self, Reason>> {
        let checked = lanes::kernel().enroll(encodings);
        encodings.iter().zip(checked).map(|(bytes, entry)| Ok(Self::of(*bytes, entry?, budget))).collect()
    }

    /// Returns for each encoding the key, or None if the eighth beside it, out of a file, does not show that it is one.
    pub(crate) fn admitted(encodings: &[([u8; 32], Eighth)], budget: &Arc<Budget>) -> Vec<Option<Self>> {
        let checked = lanes::kernel().admit(encodings);
        encodings.iter().zip(checked).map(|((bytes, _), entry)| Some(Self::of(*bytes, entry?, budget))).collect()
    }

    /// Returns what shows that these, which are keys, are keys.
    pub(crate) fn eighths(encodings: &[[u8; 32]]) -> Vec<Eighth> {
        lanes::kernel().eighths(encodings)
    }

    /// The key that a kernel has checked.
    pub(crate) fn of(bytes: [u8; 32], entry: Entry, budget: &Arc<Budget>) -> Self {
        Self { bytes, entry: entry.into_words(), tables: Tables::new(budget) }
    }

    /// The encoding.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The entry of the negative point; `Entry::NONE` if the portable kernel enrolled the key.
    pub(crate) const fn entry(&self) -> Entry {
        Entry::from_words(self.entry)
    }

    /// What the kernel keeps beside the key.
    pub(crate) const fn tables(&self) -> &Tables {
        &self.tables
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

/// Which equation a signature must satisfy. All other checks are the same.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// R is the encoding of [s]B - [k]A.
    #[default]
    Exact,
    /// R is a point, and [8]([s]B - [k]A - R) is the neutral one (`protocols/decisions/0008-cofactored-mode.md`).
    Cofactored,
}

impl Mode {
    /// The name that asks for the mode and that results carry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "ed25519",
            Self::Cofactored => "ed25519-cofactored",
        }
    }

    /// Returns the mode of a name; None if no mode has it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Exact, Self::Cofactored].into_iter().find(|mode| mode.name() == name)
    }
}

/// Returns a reason for each row, in order; what one row gets does not depend on any other row.
#[must_use]
pub fn verify_rows(rows: &[Signed<'_>]) -> Vec<Reason> {
    verify_rows_in(Mode::Exact, rows)
}

/// Returns what `verify_rows` does, by the equation of a mode. The cofactored one is faster only on thousands of rows in
/// one call; a call takes up to 20 MiB for a while.
#[must_use]
pub fn verify_rows_in(mode: Mode, rows: &[Signed<'_>]) -> Vec<Reason> {
    verify_with(lanes::kernel(), mode, rows)
}

/// Returns what `verify_rows` would on a processor without vector instructions, for comparison.
#[must_use]
pub fn verify_rows_portable(rows: &[Signed<'_>]) -> Vec<Reason> {
    verify_rows_portable_in(Mode::Exact, rows)
}

/// Returns what `verify_rows_in` would on a processor without vector instructions: each row alone, by curve25519-dalek.
#[must_use]
pub fn verify_rows_portable_in(mode: Mode, rows: &[Signed<'_>]) -> Vec<Reason> {
    verify_with(&Portable, mode, rows)
}

/// Returns the name of what `verify_rows` runs on.
#[must_use]
pub fn kernel() -> &'static str {
    lanes::kernel().name()
}

/// Returns the name of the form that it keeps keys in: what is proved of a key in a file helps kernels of the same form.
#[must_use]
pub fn form() -> &'static str {
    lanes::kernel().form()
}

fn verify_with(kernel: &dyn Kernel, mode: Mode, rows: &[Signed<'_>]) -> Vec<Reason> {
    let read: Vec<Result<Row<'_>, Reason>> = rows.iter().map(read).collect();
    let sound: Vec<Row<'_>> = read.iter().filter_map(|row| row.ok()).collect();
    let mut verdicts = kernel.verify(&sound, mode).into_iter();
    read.iter()
        .map(|row| match row {
            Err(reason) => *reason,
            Ok(_) if verdicts.next() == Some(true) => Met,
            Ok(_) => SignatureInvalid,
        })
        .collect()
}

/// Checks all of a signature but its equation.
fn read<'a>(row: &Signed<'a>) -> Result<Row<'a>, Reason> {
    let (r, s) = row.signature.split_first_chunk::<32>().ok_or(SignatureMalformed)?;
    let s: &[u8; 32] = s.try_into().map_err(|_| SignatureMalformed)?;
    let y = without_sign(*r);
    if !lanes::is_reduced(s) || y.iter().rev().ge(P.iter().rev()) || SMALL_ORDER.contains(&y) {
        return Err(SignatureMalformed);
    }
    Ok(Row { key: row.key, r, s, message: row.message })
}

const fn without_sign(mut encoding: [u8; 32]) -> [u8; 32] {
    encoding[31] &= 0x7F;
    encoding
}
