//! The door to Python, and the only file that names `PyO3`. Bad arguments are exceptions; bad rows are reasons.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::batch::{self, Spans};
use crate::columns::{Column, Columns};
use crate::ed25519::Budget;
use crate::keys::{self, Candidate};
use crate::reason::Reason;
use crate::{merkle, split as rows_of};

/// Enrolled attestation keys; the row number of a key is its chip's row number.
///
/// `table_bytes` is what tables of multiples of the keys may take in memory: with less, rows take longer, and no answer
/// changes.
#[pyclass(frozen, module = "hem._core")]
struct KeyTable {
    // A lock, not a borrow: one thread may enroll while another verifies without the interpreter.
    table: RwLock<keys::KeyTable>,
}

impl KeyTable {
    fn read(&self) -> RwLockReadGuard<'_, keys::KeyTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, keys::KeyTable> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl KeyTable {
    #[new]
    #[pyo3(signature = (*, table_bytes=Budget::DEFAULT))]
    fn new(table_bytes: usize) -> Self {
        Self { table: RwLock::new(keys::KeyTable::new(table_bytes)) }
    }

    /// Return an empty table that knows a file made by `save`.
    ///
    /// As long as the keys that the file was saved with are enrolled in the same order, most of the work of checking
    /// them is saved. No key comes out of the file, and none passes that would not pass without it.
    ///
    /// Raises:
    ///     OSError: the file cannot be read.
    ///     ValueError: it is damaged, of another version, or of another kernel.
    #[staticmethod]
    #[pyo3(signature = (path, *, table_bytes=Budget::DEFAULT))]
    fn open(py: Python<'_>, path: PathBuf, table_bytes: usize) -> PyResult<Self> {
        let table = py.detach(|| keys::KeyTable::open(&path, table_bytes)).map_err(|error| at(&path, &error))?;
        Ok(Self { table: RwLock::new(table) })
    }

    fn __len__(&self) -> usize {
        self.read().len()
    }

    /// How many of the last rows are in no file that this table was opened from or saved to.
    #[getter]
    fn unsaved(&self) -> usize {
        self.read().unsaved()
    }

    /// Append a key as the next row and return 0, or return the code of a reason and append nothing.
    ///
    /// `public_key` is raw: 32 bytes for Ed25519, an uncompressed SEC 1 point for ES256 and ES384, the encoding of
    /// FIPS 204 for ML-DSA. `kid` has 16 bytes and is taken as given, `ueid` has 17.
    ///
    /// Raises:
    ///     ValueError: `kid` or `ueid` has another length.
    fn enroll(&self, py: Python<'_>, algorithm: i64, public_key: &[u8], kid: &[u8], ueid: &[u8]) -> PyResult<u16> {
        let candidate = candidate(algorithm, public_key, kid, ueid)?;
        // Waiting for a running verify must not stop every other thread of the interpreter.
        let reasons = py.detach(|| self.write().enroll_many(&[candidate]));
        Ok(reasons.first().copied().unwrap_or_default().code())
    }

    /// Do what `enroll` does for each row of four columns in order, sooner, and return the column of codes.
    ///
    /// Raises:
    ///     ValueError: a `kid` or `ueid` has another length, or a column another number of rows; nothing is enrolled.
    fn enroll_many<'py>(
        &self,
        py: Python<'py>,
        algorithms: Vec<i64>,
        public_keys: Vec<PyBackedBytes>,
        kids: Vec<PyBackedBytes>,
        ueids: Vec<PyBackedBytes>,
    ) -> PyResult<Bound<'py, PyArray1<u16>>> {
        let lengths = [public_keys.len(), kids.len(), ueids.len()];
        if lengths != [algorithms.len(); 3] {
            let rows = algorithms.len();
            return Err(PyValueError::new_err(format!("columns of {rows} and {lengths:?} rows, expected as many")));
        }
        let candidates: Vec<Candidate<'_>> = algorithms
            .iter()
            .zip(&public_keys)
            .zip(kids.iter().zip(&ueids))
            .map(|((algorithm, key), (kid, ueid))| candidate(*algorithm, key, kid, ueid))
            .collect::<PyResult<_>>()?;
        let reasons = py.detach(|| self.write().enroll_many(&candidates));
        Ok(reasons.into_iter().map(Reason::code).collect::<Vec<u16>>().into_pyarray(py))
    }

    /// Make `path` the file of this table, whole or not at all, durably.
    ///
    /// Raises:
    ///     OSError: the system does not do it; a file that was there is as it was.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.write().save(&path)).map_err(|error| at(&path, &error))
    }
}

/// A candidate; a number that no algorithm can have becomes one that none has.
fn candidate<'a>(algorithm: i64, public_key: &'a [u8], kid: &[u8], ueid: &[u8]) -> PyResult<Candidate<'a>> {
    let kid = kid.try_into().map_err(|_| wrong_length("kid", kid, 16))?;
    let ueid = ueid.try_into().map_err(|_| wrong_length("ueid", ueid, 17))?;
    Ok(Candidate { algorithm: i32::try_from(algorithm).unwrap_or_default(), public_key, kid, ueid })
}

fn wrong_length(name: &str, got: &[u8], expected: usize) -> PyErr {
    PyValueError::new_err(format!("{name} has {} bytes, expected {expected}", got.len()))
}

/// What is wrong with a file, as Python has it: damage is a wrong value, all else is of the system.
fn at(path: &Path, error: &io::Error) -> PyErr {
    let text = error.to_string();
    if error.kind() == io::ErrorKind::InvalidData {
        return PyValueError::new_err(format!("{}: {text}", path.display()));
    }
    let text = text.split_once(" (os error").map_or(&*text, |(text, _)| text).to_owned();
    PyOSError::new_err((error.raw_os_error().unwrap_or_default(), text, path.display().to_string()))
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

/// Return the start and the end of each row of a file, and a reason that is not 0 if its last row is damaged.
///
/// `data` is a CBOR sequence: byte strings that each wrap one message, or bare messages (first byte 0xd2). From the
/// first item that is neither, the rest of the file is one last row.
#[pyfunction]
#[pyo3(signature = (data, /))]
fn split<'py>(py: Python<'py>, data: &[u8]) -> (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>, u16) {
    let (rows, reason) = py.detach(|| rows_of(data));
    let starts: Vec<u64> = rows.iter().map(|&(start, _)| start as u64).collect();
    let ends: Vec<u64> = rows.iter().map(|&(_, end)| end as u64).collect();
    (starts.into_pyarray(py), ends.into_pyarray(py), reason.code())
}

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
    let columns = py.detach(|| batch::verify(&table.read(), &spans, threads));
    named(py, columns.map_err(|error| PyRuntimeError::new_err(format!("threads: {error}")))?)
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
    use super::{KeyTable, leaf_hashes, level_hashes, reasons, scan, split, verify};

    #[pymodule_export]
    #[allow(non_upper_case_globals)] // the name that Python expects
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
