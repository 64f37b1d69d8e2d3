//! Many rows at once: decode, look up keys, verify, and hand back columns.

use rayon::ThreadPoolBuildError;
use sha2::{Digest as _, Sha256};

use crate::claims::{self, Claims};
use crate::columns::{Columns, Place};
use crate::cose::{self, Sign1};
use crate::ed25519::Mode;
use crate::keys::{Enrolled, KeyTable};
use crate::pool::each;
use crate::reason::Reason;
use crate::reason::Reason::{AlgorithmMismatch, KeyUnknown, Met, SignatureInvalid, UeidMismatch};
use crate::signatures::{self, Algorithm, Signed};

/// Rows of one unit of work: enough to share an inversion and little enough to stay in the second-level cache.
const CHUNK: usize = 256;
/// Rows of one unit at most where all rows of a unit satisfy one equation: the more, the less each of them takes.
const ONE_EQUATION: usize = 65_536;

/// Rows within one buffer, each known to lie inside it.
#[derive(Clone, Debug)]
pub struct Spans<'a> {
    data: &'a [u8],
    spans: Vec<(usize, usize)>,
}

impl<'a> Spans<'a> {
    /// Returns the rows of `data` from start to end, or the number of the first that is out of it or back to front.
    ///
    /// # Errors
    /// The number of the first wrong span.
    pub fn new(data: &'a [u8], spans: Vec<(usize, usize)>) -> Result<Self, usize> {
        match spans.iter().position(|&(start, end)| data.get(start..end).is_none()) {
            Some(row) => Err(row),
            None => Ok(Self { data, spans }),
        }
    }

    /// The bytes of each row.
    pub fn rows(&self) -> impl Iterator<Item = &'a [u8]> {
        slices(self.data, &self.spans)
    }
}

fn slices<'a>(data: &'a [u8], spans: &[(usize, usize)]) -> impl Iterator<Item = &'a [u8]> {
    spans.iter().map(|&(start, end)| data.get(start..end).unwrap_or_default())
}

/// Decodes rows; no signature is looked at, so nothing in the columns may be believed.
#[must_use]
pub fn scan(spans: &Spans<'_>) -> Columns {
    let rows = spans.spans.len();
    let scanned = Columns::filled(rows, rows.max(1), |places| {
        for place in places {
            for (at, row) in spans.rows().enumerate() {
                let _ = read(place, at, row, Met);
            }
        }
        Ok::<(), std::convert::Infallible>(())
    });
    scanned.unwrap_or_default()
}

/// Decodes rows and verifies each under the key that its kid names.
///
/// A row gets the first reason of: decoding, `KeyUnknown` (before any cryptography), `AlgorithmMismatch`, the signature,
/// `UeidMismatch`. Every row has its own answer, the same for any `threads`, position and count of rows.
///
/// # Errors
/// The system gave no thread. `threads` 0 means one for each core.
pub fn verify(
    table: &KeyTable,
    spans: &Spans<'_>,
    mode: Mode,
    threads: usize,
) -> Result<Columns, ThreadPoolBuildError> {
    let (threads, unit) = division(mode, spans.spans.len(), threads);
    Columns::filled(spans.spans.len(), unit, |places| {
        let work = places.iter_mut().zip(spans.spans.chunks(unit)).collect();
        each(work, threads, |(place, chunk)| verify_chunk(table, slices(spans.data, chunk), mode, place))
    })
}

/// Threads, and rows of one unit of work: where large units pay, each thread has as many as any other.
fn division(mode: Mode, rows: usize, threads: usize) -> (usize, usize) {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if threads == 0 { cores() } else { threads };
    let unit = match mode {
        Mode::Exact => CHUNK,
        Mode::Cofactored => rows.div_ceil(threads * rows.div_ceil(threads * ONE_EQUATION).max(1)).max(CHUNK),
    };
    (threads, unit)
}

/// Signatures in parts: whose each should be, what it should cover, and the signature itself.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    key_rows: Vec<i64>,
    messages: Spans<'a>,
    signatures: Spans<'a>,
}

impl<'a> Parts<'a> {
    /// Returns the parts together; None if one has more rows than another.
    #[must_use]
    pub fn new(key_rows: Vec<i64>, messages: Spans<'a>, signatures: Spans<'a>) -> Option<Self> {
        let same = key_rows.len() == messages.spans.len() && key_rows.len() == signatures.spans.len();
        same.then_some(Self { key_rows, messages, signatures })
    }
}

/// Verifies signatures of messages of any form, each under the key of a row of the table; nothing is decoded.
///
/// Returns the code of a reason for each: `KeyUnknown` where the table has no such row, that of the signature elsewhere.
/// Every row has its own answer, the same for any `threads`, position and count of rows.
///
/// # Errors
/// The system gave no thread. `threads` 0 means one for each core.
pub fn verify_signed(
    table: &KeyTable,
    parts: &Parts<'_>,
    mode: Mode,
    threads: usize,
) -> Result<Vec<u16>, ThreadPoolBuildError> {
    let (threads, unit) = division(mode, parts.key_rows.len(), threads);
    let mut reasons = vec![KeyUnknown.code(); parts.key_rows.len()];
    let messages = parts.messages.spans.chunks(unit).map(|spans| slices(parts.messages.data, spans));
    let signatures = parts.signatures.spans.chunks(unit).map(|spans| slices(parts.signatures.data, spans));
    let chunks = parts.key_rows.chunks(unit).zip(messages.zip(signatures));
    let work = reasons.chunks_mut(unit).zip(chunks).collect();
    each(work, threads, |(reasons, (key_rows, (messages, signatures)))| {
        let keys = key_rows.iter().map(|&row| table.row(usize::try_from(row).ok()?));
        let rows = reasons.iter_mut().zip(keys).zip(messages.zip(signatures));
        let (known, signed): (Vec<&mut u16>, Vec<Signed<'_>>) = rows
            .filter_map(|((reason, enrolled), (message, signature))| {
                Some((reason, Signed { key: &enrolled?.key, signature, message: [message, b"", b"", b""] }))
            })
            .unzip();
        for (reason, verified) in known.into_iter().zip(signatures::verify_rows(mode, &signed)) {
            *reason = verified.code();
        }
    })?;
    Ok(reasons)
}

/// Decodes a row into its place, and returns what is left to verify, if it was read: then its reason is `until`.
fn read<'a>(place: &mut Place<'_, 'a>, at: usize, row: &'a [u8], until: Reason) -> Option<Sign1<'a>> {
    match decode(row) {
        Err(reason) => {
            place.put_refused(at, reason, Sha256::digest(row).into());
            None
        }
        Ok((sign1, mut claims)) => {
            // Not of the row: anyone can turn (r, s) of ECDSA into (r, -s), and a chain must not break by that.
            let hash = sign1.signed.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part));
            (claims.row.digest, claims.row.key_row) = (hash.finalize().into(), -1);
            claims.row.reason = until.code();
            (claims.row.algorithm, claims.row.kid) = (sign1.algorithm, sign1.kid);
            place.put(at, &claims.row, &claims.texts);
            Some(sign1)
        }
    }
}

fn decode(row: &[u8]) -> Result<(Sign1<'_>, Claims<'_>), Reason> {
    let sign1 = cose::open(row)?;
    let claims = claims::read(sign1.payload)?;
    Ok((sign1, claims))
}

fn verify_chunk<'a>(table: &KeyTable, rows: impl Iterator<Item = &'a [u8]>, mode: Mode, place: &mut Place<'_, 'a>) {
    let mut found: Vec<(usize, i64, &Enrolled)> = Vec::with_capacity(CHUNK);
    let mut work: Vec<Signed<'_>> = Vec::with_capacity(CHUNK);
    for (at, row) in rows.enumerate() {
        // Refused until it is judged: were a verdict ever missing, no row would be good for that.
        let Some(sign1) = read(place, at, row, SignatureInvalid) else { continue };
        match look_up(table, &sign1) {
            Err((reason, number)) => place.judge(at, reason, number),
            Ok((number, enrolled)) => {
                found.push((at, number, enrolled));
                work.push(Signed { key: &enrolled.key, signature: sign1.signature, message: sign1.signed });
            }
        }
    }
    for ((at, number, enrolled), verified) in found.into_iter().zip(signatures::verify_rows(mode, &work)) {
        let same_chip = place.ueid(at) == Some(&enrolled.ueid);
        place.judge(at, if verified == Met && !same_chip { UeidMismatch } else { verified }, number);
    }
}

/// The key to verify a row with and its number; or why there is none, and the number of a key that does not fit.
fn look_up<'a>(table: &'a KeyTable, sign1: &Sign1<'_>) -> Result<(i64, &'a Enrolled), (Reason, i64)> {
    let (number, enrolled) = table.find(&sign1.kid).ok_or((KeyUnknown, -1))?;
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    if Algorithm::from_cose(sign1.algorithm) == Some(enrolled.key.algorithm()) {
        Ok((number, enrolled))
    } else {
        Err((AlgorithmMismatch, number))
    }
}
