//! The door to Python, and the only room that names `PyO3`. Bad arguments are exceptions; bad rows are reasons.

mod table;

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use rayon::ThreadPoolBuildError;

use crate::batch::{self, Parts, Spans};
use crate::columns::{Column, Columns};
use crate::ed25519::Mode;
use crate::merkle;
use crate::ranging;
use crate::reason::Reason;
use crate::split::{Split, split as rows_of};
use table::KeyTable;

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

/// The mode of a name.
struct Named(Mode);

impl FromPyObject<'_, '_> for Named {
    type Error = PyErr;

    fn extract(name: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let name: String = name.extract()?;
        let wrong = || PyValueError::new_err(format!("no mode {name:?}, expected 'ed25519' or 'ed25519-cofactored'"));
        Mode::from_name(&name).map(Self).ok_or_else(wrong)
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
/// decoding keep their values. `mode` is "ed25519" or "ed25519-cofactored". `threads` 0 means one for each core; the
/// answers are the same for any number.
///
/// Raises:
///     ValueError: a row is not a span of `data`, or `data` can be written to.
///     RuntimeError: the system gave no thread.
#[pyfunction]
#[pyo3(signature = (table, data, starts, ends, /, *, mode, threads))]
fn verify<'py>(
    py: Python<'py>,
    table: &Bound<'py, KeyTable>,
    data: Lent<'py>,
    starts: PyReadonlyArray1<'_, u64>,
    ends: PyReadonlyArray1<'_, u64>,
    mode: Named,
    threads: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let spans = spans(data.bytes()?, &starts, &ends)?;
    let table = table.get();
    let columns = py.detach(|| batch::verify(&table.read(), &spans, mode.0, threads));
    named(py, columns.map_err(no_thread)?)
}

/// Return a reason (uint16) for each of N signatures, under keys that are rows of `table`; no message is decoded.
///
/// `key_rows` are int64; a row that the table does not have gets the reason `KEY_UNKNOWN`. `messages` and `signatures`
/// are each (data, starts, ends). The reason is 0 only for the signature of that key over exactly those bytes.
/// `mode` and `threads` are those of `verify`.
///
/// Raises:
///     ValueError: not as many keys, messages and signatures; a row is not a span of its data; data can be written to.
///     RuntimeError: the system gave no thread.
#[pyfunction]
#[pyo3(signature = (table, key_rows, messages, signatures, /, *, mode, threads))]
fn verify_signed<'py>(
    py: Python<'py>,
    table: &Bound<'py, KeyTable>,
    key_rows: PyReadonlyArray1<'_, i64>,
    messages: Given<'py>,
    signatures: Given<'py>,
    mode: Named,
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<u16>>> {
    let key_rows: Vec<i64> = key_rows.as_array().iter().copied().collect();
    let (keys, messages, signatures) = (key_rows.len(), given(&messages)?, given(&signatures)?);
    let counts = format!("{keys} keys, {} messages, {} signatures", messages.rows().count(), signatures.rows().count());
    let parts = Parts::new(key_rows, messages, signatures)
        .ok_or_else(|| PyValueError::new_err(format!("{counts}, expected as many of each")))?;
    let table = table.get();
    let reasons = py.detach(|| batch::verify_signed(&table.read(), &parts, mode.0, threads));
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

/// Copies the rows of an array of bytes, so that no other thread can change them while the interpreter is let go.
fn cells<const N: usize>(name: &str, array: &PyReadonlyArray2<'_, u8>) -> PyResult<Vec<[u8; N]>> {
    let width = array.as_array().ncols();
    if width != N {
        return Err(PyValueError::new_err(format!("{name} are {width} bytes wide, expected {N}")));
    }
    let gaps = |_| PyValueError::new_err(format!("{name} have gaps, expected a contiguous array"));
    Ok(array.as_slice().map_err(gaps)?.as_chunks().0.to_vec())
}

/// Return for each reply of the timed phase whether the session key in row `rows` of `keys` made it.
///
/// One row a reply: the key row, and the landmark's key id, number, nonce and code as in `hem.cddl`. A key row that
/// does not exist has made no reply.
///
/// Raises:
///     ValueError: columns of different lengths, or of another width than 32 (keys) or 16 bytes.
#[pyfunction]
#[pyo3(signature = (keys, rows, landmarks, numbers, nonces, macs, /))]
fn check_replies<'py>(
    py: Python<'py>,
    keys: PyReadonlyArray2<'_, u8>,
    rows: PyReadonlyArray1<'_, i64>,
    landmarks: PyReadonlyArray2<'_, u8>,
    numbers: PyReadonlyArray1<'_, u8>,
    nonces: PyReadonlyArray2<'_, u8>,
    macs: PyReadonlyArray2<'_, u8>,
) -> PyResult<Bound<'py, PyAny>> {
    let (keys, landmarks) = (cells("keys", &keys)?, cells("landmarks", &landmarks)?);
    let (nonces, macs) = (cells("nonces", &nonces)?, cells("macs", &macs)?);
    let (rows, numbers) = (rows.as_array().to_vec(), numbers.as_array().to_vec());
    let counts = [rows.len(), landmarks.len(), numbers.len(), nonces.len(), macs.len()];
    if counts.iter().any(|&count| count != rows.len()) {
        return Err(PyValueError::new_err(format!("columns of {counts:?} rows, expected as many")));
    }
    let places = rows.iter().map(|&row| usize::try_from(row).unwrap_or(usize::MAX));
    let named = places.zip(landmarks).zip(numbers).zip(nonces.into_iter().zip(macs));
    let replies =
        named.map(|(((key, landmark), number), (nonce, mac))| ranging::Reply { key, landmark, number, nonce, mac });
    let checked = py.detach(|| ranging::check(&keys, replies));
    array(py, checked.into())
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
    use super::{KeyTable, check_replies, leaf_hashes, level_hashes, reasons, scan, split, verify, verify_signed};

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // the name that Python expects
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
