//! The door to Python, and the only file that names `PyO3`. Bad arguments are exceptions; bad rows are reasons.

use std::sync::{PoisonError, RwLock};

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use rayon::ThreadPoolBuildError;

use crate::batch::{self, Parts, Spans};
use crate::columns::{Column, Columns};
use crate::reason::Reason;
use crate::split::{Split, split as rows_of};
use crate::{keys, merkle};

/// Enrolled attestation keys; the row number of a key is its chip's row number.
#[pyclass(frozen, module = "hem._core")]
#[derive(Default)]
struct KeyTable {
    // A lock, not a borrow: one thread may enroll while another verifies without the interpreter.
    table: RwLock<keys::KeyTable>,
}

#[pymethods]
impl KeyTable {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Append a key as the next row and return 0, or return the code of a reason and append nothing.
    ///
    /// `public_key` is raw: 32 bytes for Ed25519, an uncompressed SEC 1 point for ES256 and ES384, the encoding of
    /// FIPS 204 for ML-DSA. `kid` has 16 bytes and is taken as given, `ueid` has 17.
    ///
    /// Raises:
    ///     ValueError: `kid` or `ueid` has another length.
    fn enroll(&self, py: Python<'_>, algorithm: i64, public_key: &[u8], kid: &[u8], ueid: &[u8]) -> PyResult<u16> {
        let kid = kid.try_into().map_err(|_| wrong_length("kid", kid, 16))?;
        let ueid = ueid.try_into().map_err(|_| wrong_length("ueid", ueid, 17))?;
        let Ok(algorithm) = i32::try_from(algorithm) else {
            return Ok(Reason::UnknownAlgorithm.code());
        };
        // Waiting for a running verify must not stop every other thread of the interpreter.
        let reason = py.detach(|| {
            self.table.write().unwrap_or_else(PoisonError::into_inner).enroll(algorithm, public_key, kid, ueid)
        });
        Ok(reason.code())
    }
}

fn wrong_length(name: &str, got: &[u8], expected: usize) -> PyErr {
    PyValueError::new_err(format!("{name} has {} bytes, expected {expected}", got.len()))
}

/// Bytes that the caller lends for one call: a `bytes` object, or a read-only, contiguous array over any other buffer.
enum Lent<'py> {
    Bytes(Bound<'py, PyBytes>),
    Array(PyReadonlyArray1<'py, u8>),
}

impl<'py> FromPyObject<'_, 'py> for Lent<'py> {
    type Error = PyErr;

    fn extract(data: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = data.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.to_owned()));
        }
        let given = data.get_type().name()?;
        let wrong = |_| PyTypeError::new_err(format!("data is a {given}, expected bytes or an array of uint8"));
        data.extract().map(Self::Array).map_err(wrong)
    }
}

impl Lent<'_> {
    /// Refuses memory that another thread could write to while the interpreter is let go: the bytes that are verified
    /// would not be the bytes that the caller reads afterwards.
    fn bytes(&self) -> PyResult<&[u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.as_bytes()),
            Self::Array(array) if array.getattr("flags")?.getattr("writeable")?.is_truthy()? => {
                Err(PyValueError::new_err("the data can be written to, expected read-only bytes"))
            }
            Self::Array(array) => {
                array.as_slice().map_err(|_| PyValueError::new_err("the data has gaps, expected contiguous bytes"))
            }
        }
    }
}

/// Return the start and the end of at most `limit` rows of a file, a reason, and where the next row starts.
///
/// `data` is a CBOR sequence: byte strings that each wrap one message, or bare messages (first byte 0xd2), or a piece
/// of one: `last` says whether its end is the end of the file. From the first item that is neither, which gives the
/// reason, the rest of the file is one last row. A start behind the end of `data` says how many bytes to pass over.
#[pyfunction]
#[pyo3(signature = (data, start, /, *, limit, last))]
fn split<'py>(py: Python<'py>, data: &[u8], start: usize, limit: usize, last: bool) -> Piece<'py> {
    let Split { rows, reason, next } = py.detach(|| rows_of(data, start, limit, last));
    let starts: Vec<u64> = rows.iter().map(|&(start, _)| start as u64).collect();
    let ends: Vec<u64> = rows.iter().map(|&(_, end)| end as u64).collect();
    (starts.into_pyarray(py), ends.into_pyarray(py), reason.code(), next)
}

/// Starts, ends, a reason, and where to go on.
type Piece<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>, u16, usize);

/// Copies the spans, so that no other thread can change them while the interpreter is let go.
fn spans<'a>(
    data: &'a [u8],
    starts: &PyReadonlyArray1<'_, u64>,
    ends: &PyReadonlyArray1<'_, u64>,
) -> PyResult<Spans<'a>> {
    let (starts, ends) = (starts.as_array(), ends.as_array());
    if starts.len() != ends.len() {
        return Err(PyValueError::new_err(format!(
            "{} starts and {} ends, expected as many",
            starts.len(),
            ends.len()
        )));
    }
    // On a machine with narrower addresses a span that does not fit lies outside the data all the more.
    let index = |&at: &u64| usize::try_from(at).unwrap_or(usize::MAX);
    let pairs = starts.iter().zip(ends).map(|(start, end)| (index(start), index(end))).collect();
    Spans::new(data, pairs)
        .map_err(|row| PyValueError::new_err(format!("row {row} is not a span of the data ({} bytes)", data.len())))
}

/// Return the columns of the decoded rows of `data`, whose signatures are not looked at: believe nothing.
///
/// Raises:
///     ValueError: a row is not a span of `data`, or `data` can be written to.
#[pyfunction]
#[pyo3(signature = (data, starts, ends, /))]
fn scan<'py>(
    py: Python<'py>,
    data: Lent<'py>,
    starts: PyReadonlyArray1<'_, u64>,
    ends: PyReadonlyArray1<'_, u64>,
) -> PyResult<Bound<'py, PyDict>> {
    let spans = spans(data.bytes()?, &starts, &ends)?;
    let columns = py.detach(|| batch::scan(&spans));
    named(py, columns)
}

/// Return the columns of the rows of `data`, each decoded, matched with its key, and verified.
///
/// `reason` is 0 only for a row whose signature is that of the enrolled key of the chip it names. Rows refused after
/// decoding keep their values. `threads` 0 means one for each core; the answers are the same for any number.
///
/// Raises:
///     ValueError: a row is not a span of `data`, or `data` can be written to.
///     RuntimeError: the system gave no thread.
#[pyfunction]
#[pyo3(signature = (table, data, starts, ends, /, *, threads))]
fn verify<'py>(
    py: Python<'py>,
    table: &Bound<'py, KeyTable>,
    data: Lent<'py>,
    starts: PyReadonlyArray1<'_, u64>,
    ends: PyReadonlyArray1<'_, u64>,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let spans = spans(data.bytes()?, &starts, &ends)?;
    let table = table.get();
    let columns = py.detach(|| {
        let table = table.table.read().unwrap_or_else(PoisonError::into_inner);
        batch::verify(&table, &spans, threads)
    });
    named(py, columns.map_err(no_thread)?)
}

/// Return a reason (uint16) for each of N signatures, under keys that are rows of `table`; no message is decoded.
///
/// `key_rows` are int64; a row that the table does not have gets the reason `KEY_UNKNOWN`. `messages` and `signatures`
/// are each (data, starts, ends). The reason is 0 only for the signature of that key over exactly those bytes.
/// `threads` 0 means one for each core; the answers are the same for any number.
///
/// Raises:
///     ValueError: not as many keys, messages and signatures; a row is not a span of its data; data can be written to.
///     RuntimeError: the system gave no thread.
#[pyfunction]
#[pyo3(signature = (table, key_rows, messages, signatures, /, *, threads))]
fn verify_signed<'py>(
    py: Python<'py>,
    table: &Bound<'py, KeyTable>,
    key_rows: PyReadonlyArray1<'_, i64>,
    messages: Given<'py>,
    signatures: Given<'py>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<u16>>> {
    let key_rows: Vec<i64> = key_rows.as_array().iter().copied().collect();
    let (keys, messages, signatures) = (key_rows.len(), given(&messages)?, given(&signatures)?);
    let counts = format!("{keys} keys, {} messages, {} signatures", messages.rows().count(), signatures.rows().count());
    let parts = Parts::new(key_rows, messages, signatures)
        .ok_or_else(|| PyValueError::new_err(format!("{counts}, expected as many of each")))?;
    let table = table.get();
    let reasons = py.detach(|| {
        let table = table.table.read().unwrap_or_else(PoisonError::into_inner);
        batch::verify_signed(&table, &parts, threads)
    });
    Ok(reasons.map_err(no_thread)?.into_pyarray(py))
}

/// Rows as they come from Python: data, starts, ends.
type Given<'py> = (Lent<'py>, PyReadonlyArray1<'py, u64>, PyReadonlyArray1<'py, u64>);

fn given<'a>((data, starts, ends): &'a Given<'_>) -> PyResult<Spans<'a>> {
    spans(data.bytes()?, starts, ends)
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
fn no_thread(error: ThreadPoolBuildError) -> PyErr {
    PyRuntimeError::new_err(format!("threads: {error}"))
}

fn named(py: Python<'_>, columns: Columns) -> PyResult<Bound<'_, PyDict>> {
    let (columns, strings) = columns.into_named();
    let dict = PyDict::new(py);
    for (name, column) in columns {
        dict.set_item(name, array(py, column)?)?;
    }
    dict.set_item("strings", PyList::new(py, strings.iter().map(|string| PyBytes::new(py, string)))?)?;
    Ok(dict)
}

fn array(py: Python<'_>, column: Column) -> PyResult<Bound<'_, PyAny>> {
    Ok(match column {
        Column::Bool(cells) => cells.into_pyarray(py).into_any(),
        Column::U8(cells) => cells.into_pyarray(py).into_any(),
        Column::U16(cells) => cells.into_pyarray(py).into_any(),
        Column::U32(cells) => cells.into_pyarray(py).into_any(),
        Column::U64(cells) => cells.into_pyarray(py).into_any(),
        Column::I32(cells) => cells.into_pyarray(py).into_any(),
        Column::I64(cells) => cells.into_pyarray(py).into_any(),
        Column::F64(cells) => cells.into_pyarray(py).into_any(),
        Column::Bytes(cells, width) => {
            let rows = cells.len() / width.max(1);
            cells.into_pyarray(py).reshape([rows, width])?.into_any()
        }
    })
}

/// Return the RFC 6962 leaf hash of each row of `data`.
///
/// Raises:
///     ValueError: a row is not a span of `data`, or `data` can be written to.
#[pyfunction]
#[pyo3(signature = (data, starts, ends, /))]
fn leaf_hashes<'py>(
    py: Python<'py>,
    data: Lent<'py>,
    starts: PyReadonlyArray1<'_, u64>,
    ends: PyReadonlyArray1<'_, u64>,
) -> PyResult<Bound<'py, PyAny>> {
    let spans = spans(data.bytes()?, &starts, &ends)?;
    let hashes: Vec<[u8; 32]> = py.detach(|| spans.rows().map(merkle::leaf).collect());
    array(py, hashes.into())
}

/// Return the RFC 6962 hashes of the parents of `nodes`, taken in pairs from the left.
///
/// Raises:
///     ValueError: an odd number of nodes, or nodes that are not 32 bytes wide.
#[pyfunction]
#[pyo3(signature = (nodes, /))]
fn level_hashes<'py>(py: Python<'py>, nodes: PyReadonlyArray2<'_, u8>) -> PyResult<Bound<'py, PyAny>> {
    let nodes = nodes.as_array();
    if nodes.ncols() != 32 {
        return Err(PyValueError::new_err(format!("nodes are {} bytes wide, expected 32", nodes.ncols())));
    }
    let bytes: Vec<u8> = nodes.iter().copied().collect();
    let level = py.detach(|| merkle::level(bytes.as_chunks().0));
    let hashes = level.ok_or_else(|| PyValueError::new_err(format!("{} nodes, expected pairs", nodes.nrows())))?;
    array(py, hashes.into())
}

/// Return the code and the name of every reason of the compiled part.
#[pyfunction]
fn reasons() -> Vec<(u16, &'static str)> {
    Reason::ALL.iter().map(|reason| (reason.code(), reason.name())).collect()
}

/// The compiled heart of hem. Only `hem.core` imports it.
#[pymodule(gil_used = true)]
mod _core {
    #[pymodule_export]
    use super::{KeyTable, leaf_hashes, level_hashes, reasons, scan, split, verify, verify_signed};

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // the name that Python expects
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
