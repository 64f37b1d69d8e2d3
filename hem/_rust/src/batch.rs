//! Many rows at once: decode, look up keys, verify, and hand back columns.

use rayon::prelude::*;
use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};
use sha2::{Digest as _, Sha256};

use crate::claims::{self, Claims};
use crate::columns::Columns;
use crate::cose::{self, Sign1};
use crate::keys::{Enrolled, KeyTable};
use crate::reason::Reason;
use crate::reason::Reason::{AlgorithmMismatch, KeyUnknown, Met, UeidMismatch};
use crate::signatures::{self, Algorithm, Signed};

/// Rows of one unit of work: enough to share an inversion and little enough to stay in the second-level cache.
const CHUNK: usize = 256;

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
    let mut columns = Columns::with_capacity(spans.spans.len());
    for row in spans.rows() {
        put(&mut columns, row, decode(row), (Met, -1));
    }
    columns
}

/// Decodes rows and verifies each under the key that its kid names.
///
/// A row gets the first reason of: decoding, `KeyUnknown` (before any cryptography), `AlgorithmMismatch`, the signature,
/// `UeidMismatch`. Every row has its own answer, the same for any `threads`, position and count of rows.
///
/// # Errors
/// The system gave no thread. `threads` 0 means one for each core.
pub fn verify(table: &KeyTable, spans: &Spans<'_>, threads: usize) -> Result<Columns, ThreadPoolBuildError> {
    let chunks: Vec<&[(usize, usize)]> = spans.spans.chunks(CHUNK).collect();
    let mut parts = vec![Columns::default(); chunks.len()];
    let work = parts.iter_mut().zip(chunks).collect();
    each(work, threads, |(part, chunk)| *part = verify_chunk(table, spans.data, chunk))?;
    let mut columns = Columns::with_capacity(spans.spans.len());
    for part in parts {
        columns.append(part);
    }
    Ok(columns)
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
pub fn verify_signed(table: &KeyTable, parts: &Parts<'_>, threads: usize) -> Result<Vec<u16>, ThreadPoolBuildError> {
    let mut reasons = vec![KeyUnknown.code(); parts.key_rows.len()];
    let messages = parts.messages.spans.chunks(CHUNK).map(|spans| slices(parts.messages.data, spans));
    let signatures = parts.signatures.spans.chunks(CHUNK).map(|spans| slices(parts.signatures.data, spans));
    let chunks = parts.key_rows.chunks(CHUNK).zip(messages.zip(signatures));
    let work = reasons.chunks_mut(CHUNK).zip(chunks).collect();
    each(work, threads, |(reasons, (key_rows, (messages, signatures)))| {
        let keys = key_rows.iter().map(|&row| table.row(usize::try_from(row).ok()?));
        let rows = reasons.iter_mut().zip(keys).zip(messages.zip(signatures));
        let (known, signed): (Vec<&mut u16>, Vec<Signed<'_>>) = rows
            .filter_map(|((reason, enrolled), (message, signature))| {
                Some((reason, Signed { key: &enrolled?.key, signature, message: [message, b"", b"", b""] }))
            })
            .unzip();
        for (reason, verified) in known.into_iter().zip(signatures::verify_rows(&signed)) {
            *reason = verified.code();
        }
    })?;
    Ok(reasons)
}

/// Does the work on every piece, on no more threads than there are pieces.
fn each<T: Send>(pieces: Vec<T>, threads: usize, work: impl Fn(T) + Sync + Send) -> Result<(), ThreadPoolBuildError> {
    // The caller's thread does what is not worth another one.
    if pieces.len() <= 1 || threads == 1 {
        pieces.into_iter().for_each(work);
        return Ok(());
    }
    // A pool of this call's own: a global one would be dead in a child process after a fork, and would hang it.
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = if threads == 0 { cores() } else { threads };
    let pool = ThreadPoolBuilder::new().num_threads(wanted.min(pieces.len())).build()?;
    pool.install(|| pieces.into_par_iter().for_each(work));
    Ok(())
}

type Decoded<'a> = Result<(Sign1<'a>, Claims<'a>), Reason>;
/// The key to verify a row with, or why there is none and the row of a key that was found but does not fit.
type Found<'a> = Result<(usize, &'a Enrolled), (Reason, i64)>;

fn decode(row: &[u8]) -> Decoded<'_> {
    let sign1 = cose::open(row)?;
    let claims = claims::read(sign1.payload)?;
    Ok((sign1, claims))
}

fn verify_chunk(table: &KeyTable, data: &[u8], spans: &[(usize, usize)]) -> Columns {
    let rows: Vec<(&[u8], Decoded<'_>)> = slices(data, spans).map(|row| (row, decode(row))).collect();
    let found: Vec<Found<'_>> = rows.iter().map(|(_, decoded)| look_up(table, decoded)).collect();
    let work: Vec<Signed<'_>> = rows
        .iter()
        .zip(&found)
        .filter_map(|((_, decoded), found)| {
            let (enrolled, sign1) = (found.as_ref().ok()?.1, &decoded.as_ref().ok()?.0);
            Some(Signed { key: &enrolled.key, signature: sign1.signature, message: sign1.signed })
        })
        .collect();
    let mut verified = signatures::verify_rows(&work).into_iter();
    let mut columns = Columns::with_capacity(rows.len());
    for ((row, decoded), found) in rows.into_iter().zip(found) {
        let verdict = found.map_or_else(
            |refused| refused,
            |(number, enrolled)| (judge(verified.next(), &decoded, enrolled), row_number(number)),
        );
        put(&mut columns, row, decoded, verdict);
    }
    columns
}

fn look_up<'a>(table: &'a KeyTable, decoded: &Decoded<'_>) -> Found<'a> {
    let (sign1, _) = decoded.as_ref().map_err(|&reason| (reason, -1))?;
    let (number, enrolled) = table.find(&sign1.kid).ok_or((KeyUnknown, -1))?;
    if Algorithm::from_cose(sign1.algorithm) == Some(enrolled.key.algorithm()) {
        Ok((number, enrolled))
    } else {
        Err((AlgorithmMismatch, row_number(number)))
    }
}

fn judge(signature: Option<Reason>, decoded: &Decoded<'_>, enrolled: &Enrolled) -> Reason {
    let same_chip = decoded.as_ref().is_ok_and(|(_, claims)| claims.row.ueid == enrolled.ueid);
    match signature.unwrap_or(Reason::SignatureInvalid) {
        Met if !same_chip => UeidMismatch,
        reason => reason,
    }
}

fn row_number(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn put(columns: &mut Columns, row: &[u8], decoded: Decoded<'_>, (reason, key_row): (Reason, i64)) {
    match decoded {
        Err(reason) => columns.push_refused(reason, Sha256::digest(row).into()),
        Ok((Sign1 { algorithm, kid, signed, .. }, mut claims)) => {
            // Not of the row: anyone can turn (r, s) of ECDSA into (r, -s), and a chain must not break by that.
            let digest = signed.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into();
            claims.row.reason = reason.code();
            (claims.row.digest, claims.row.key_row) = (digest, key_row);
            (claims.row.algorithm, claims.row.kid) = (algorithm, kid);
            columns.push(&claims.row, &claims.texts);
        }
    }
}
